"""The signer's side of the audit: anchors in its log, kept over restarts, not to be had in floods, and none of a wrong kind."""

import hashlib
import time

import pytest

import signertest
from signertest import ANCHORS, ANCHORS_OK, ERROR, Signer, faked, frame

ANCHOR = 5

pytestmark = pytest.mark.sanitize


def a_hash(number, chain=b""):
    return hashlib.sha256(chain + number.to_bytes(8, "big")).digest()


def anchor(signer, number, chain=b""):
    return signer.raw(frame(ANCHOR, 7, number, a_hash(number, chain)), number=7)


def kept(answer):
    """(time, number, hash) of each in an ANCHORS_OK."""
    assert answer.type == ANCHORS_OK, answer
    fields = answer.fields
    numbers = [int.from_bytes(field, "big", signed=True) for field in fields if len(field) == 8]
    count, times, rows = numbers[0], numbers[1::2], numbers[2::2]
    hashes = [field for field in fields if len(field) == 32]
    assert count == len(times) == len(rows) == len(hashes)
    return list(zip(times, rows, hashes))


def ask(signer):
    return kept(signer.raw(frame(ANCHORS, 8), number=8))


def in_log(signer):
    log = signer.state / "log"
    return [line for line in log.read_text().splitlines() if " audit " in line] if log.exists() else []


def test_an_anchor_is_a_line_of_the_log_and_is_given_back():
    with Signer() as signer:
        assert ask(signer) == []
        found = kept(anchor(signer, 5))
        assert [(number, value) for _, number, value in found] == [(5, a_hash(5))]
        assert abs(found[0][0] - time.time()) < 30
        assert ask(signer) == found
        assert len(in_log(signer)) == 1 and in_log(signer)[0].endswith(f" audit number=5 hash={a_hash(5).hex()}")


def test_the_same_again_is_no_line():
    with Signer() as signer:
        first = kept(anchor(signer, 5))
        assert kept(anchor(signer, 5)) == first and len(in_log(signer)) == 1


def test_a_second_has_one_anchor_at_most():
    with Signer() as signer:
        kept(anchor(signer, 1))
        for number in range(2, 50):
            answer = anchor(signer, number)
            assert answer.type == ERROR and answer.slug == "rate-limited"
        assert len(in_log(signer)) == 1
        time.sleep(1)
        assert [number for _, number, _ in kept(anchor(signer, 50))] == [1, 50]


@pytest.mark.parametrize("number, chain", [(3, b""), (5, b"other")])
def test_going_back_is_taken_written_and_said(number, chain):
    """A backup may have been restored: cad goes on, and nobody forgets it."""
    with Signer() as signer:
        kept(anchor(signer, 5))
        time.sleep(1)
        found = kept(anchor(signer, number, chain))
        assert [(row, value) for _, row, value in found] == [(5, a_hash(5)), (number, a_hash(number, chain))]
        assert len(in_log(signer)) == 2
        assert f"went back from row 5 to row {number}" in signer.log.read_text()


def test_they_outlive_the_signer_and_a_kill():
    with Signer() as signer:
        first = kept(anchor(signer, 5))
        signer.stop()
        signer.start()
        assert ask(signer) == first
        time.sleep(1)
        second = kept(anchor(signer, 9))
        time.sleep(2.5)         # the file is written within a second
        signer.kill()
        signer.start()
        assert ask(signer) == second


@pytest.mark.parametrize("fields", [
    (), (5,), (5, a_hash(5), 1), (a_hash(5), 5), (0, a_hash(5)), (-1, a_hash(5)), (5, a_hash(5)[:31]), (5, a_hash(5) + b"x"),
])
def test_what_is_no_anchor_is_refused(fields):
    with Signer() as signer:
        answer = signer.raw(frame(ANCHOR, 7, *fields), number=7)
        assert answer.type == ERROR and answer.slug == "message-malformed"
        assert ask(signer) == [] and in_log(signer) == []


def test_a_question_carries_nothing():
    with Signer() as signer:
        answer = signer.raw(frame(ANCHORS, 7, 1), number=7)
        assert answer.type == ERROR and answer.slug == "message-malformed"


def test_anchors_alone_are_no_issuance():
    with Signer() as signer:
        kept(anchor(signer, 5))
        signer.stop()
        (signer.state / "mark").unlink()        # then the log tells
        signer.start()
        assert signer.status()["issued"] == 0


def test_a_clock_that_cannot_be_right_sets_no_anchor():
    with Signer() as signer:
        signer.issue(names=["nas.lan"]).expect("certificate")
        signer.stop()
        signer.start(env=faked("-1d"))
        answer = anchor(signer, 5)
        assert answer.type == ERROR and answer.slug == "clock"
        assert in_log(signer) == []


def test_a_file_that_cannot_be_read_is_said():
    with Signer() as signer:
        kept(anchor(signer, 5))
        signer.stop()
        (signer.state / "anchors").write_text("rubbish\n")
        signer.start(hello=False)
        answer = signer.receive()
        assert answer.type == ERROR and "anchors" in answer.text
