"""A signer that answers with something else than was asked: cad gives none of it out and keeps none of it.

The signer is trusted with the keys; what comes from it is compared all the same (threats.md §4 row 64): a
mistake of one process must not become a certificate, and a broken one must not stop the other.
"""

import os
import shutil
import signal
import threading
import time

import cadtest
import csrs
import fakesigner
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.sanitize]

BACK_S = 10             # after a signer that is broken, until the next certificate
ANSWER_S = 5            # threats.md §4 row 64


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    """A daemon that is a copy of cad, beside a cad-signer that is a liar."""
    cadtest.require_build()
    real = cadtest.CAD.parent / "cad-signer"
    folder = tmp_path_factory.mktemp("bin")
    patch = pytest.MonkeyPatch()
    patch.setattr(cadtest, "CAD", folder / "cad")
    try:
        shutil.copy2(real.parent / "cad", folder / "cad")
        fakesigner.install(folder, real)
        with cadtest.Daemon() as daemon:
            daemon.folder = folder
            yield daemon
            daemon.check_log()
    finally:
        patch.undo()


@pytest.fixture
def told(ca):
    """told(way): from now on do this with certificates. Afterwards all is right again by itself."""
    pid, before = ca.pid, rows(ca)
    yield lambda way: fakesigner.say(ca.folder, way)
    fakesigner.say(ca.folder, "honest")
    ca.wait_until(lambda: wish(ca).status == 201, BACK_S, "it does not heal")
    assert ca.pid == pid and ca.process.poll() is None
    assert ca.get("/v1/health").json["status"] == "ok"
    assert rows(ca) > before


def wish(ca, key=None, name="nas.lan", **fields):
    return ca.issue(csrs.csr(key, names=[csrs.dns(name)]), **fields)


def rows(ca):
    found, cursor = set(), ""
    while cursor is not None:
        page = ca.get(f"/v1/certificates?limit=500{cursor and '&cursor='}{cursor}").expect(200).json
        found |= {row["serial"] for row in page["certificates"]}
        cursor = page["next"]
    return found


def check_refused(ca, before, statuses):
    begun = time.monotonic()
    answer = wish(ca, label="wrong").expect(*statuses)
    assert time.monotonic() - begun < ANSWER_S
    assert answer.type == "application/problem+json" and b"BEGIN CERTIFICATE" not in answer.body
    assert answer.status != 503 or int(answer.headers["retry-after"]) > 0
    assert rows(ca) == before, "what the signer made up is in the store"


@pytest.mark.parametrize("way", fakesigner.GOOD)
def test_what_is_right_is_taken(ca, told, way):
    told(way)
    wish(ca).expect(201)


@pytest.mark.parametrize("way", fakesigner.LEAVES)
def test_another_certificate_than_asked_for_is_not_given_out(ca, told, way):
    before = rows(ca)
    told(way)
    check_refused(ca, before, {500})


@pytest.mark.parametrize("way", fakesigner.FRAMES)
def test_a_signer_that_talks_nonsense_is_borne(ca, told, way):
    before = rows(ca)
    told(way)
    check_refused(ca, before, fakesigner.FRAMES[way][1])


def test_a_wrong_signature_is_noticed(ca, told):
    """The first leaf of each signer is proved through the whole chain (and one a minute after that): design §2."""
    before = rows(ca)
    told("a wrong signature")
    old = ca.signer_pid
    os.kill(old, signal.SIGKILL)
    ca.wait_until(lambda: ca.signer_pid not in (None, old) and ca.get("/v1/health").status == 200, BACK_S,
                  "the signer does not come back")
    check_refused(ca, before, {500})
    check_refused(ca, before, {500})    # not only the first: each one until one is right


@pytest.mark.parametrize("way", fakesigner.CRLS)
def test_another_crl_than_asked_for_is_not_published(ca, told, way):
    def crl():
        return ca.get("/crl/int-1.crl").expect(200).body

    ca.post(f"/v1/certificates/{wish(ca).expect(201).json['serial']}/revoke", {}).expect(200)
    ca.post("/v1/crls", {}).expect(200)
    before = crl()
    told(way)
    if way == "a CRL signed anew":      # not wrong: the others prove something
        ca.post("/v1/crls", {}).expect(200)
        assert crl() != before
        return
    answer = ca.post("/v1/crls", {}).expect(500)
    assert answer.type == "application/problem+json" and crl() == before
    assert "crl" in [check["name"] for check in ca.get("/v1/health").json["checks"] if check["status"] != "ok"]
    fakesigner.say(ca.folder, "honest")
    ca.post("/v1/crls", {}).expect(200)
    assert crl() != before


def test_an_answer_that_came_late_is_nobodys(ca, told):
    before = rows(ca)
    told("an answer that is late")
    check_refused(ca, before, {503})
    time.sleep(fakesigner.LATE_S - 2)
    assert rows(ca) == before


def test_answers_that_are_swapped_reach_nobody(ca, told):
    """Two callers with keys of their own, the signer mixes them up."""
    before, answers = rows(ca), []
    told("swapped")
    callers = [threading.Thread(target=lambda: answers.append(wish(ca, csrs.EcKey()).status)) for _ in range(2)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(cadtest.ANSWER_S)
    assert answers == [500, 500] and rows(ca) == before
