"""What was answered outlives a power cut: the order of writing, syncing and renaming of what is no database of SQLite's."""

import pathlib
import shutil
import signal
import subprocess
import sys
import time

import cadtest
import csrs
import durable
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "torture"))

import client_moments  # noqa: E402

STRACE = ["strace", "-f", "-y", "-s", "8", "-e", f"trace={durable.CALLS}", "-o"]


@pytest.fixture(autouse=True)
def strace():
    cadtest.require_build()
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    if cadtest.sanitized():
        pytest.skip("a sanitizer's own system calls are not what is looked at")


@pytest.fixture(scope="module")
def shared():
    made = client_moments.Shared()
    yield made
    made.close()


@pytest.mark.parametrize("name", ["enroll", "renew", "deploy", "deploy restore", "restore", "restore with keys"])
def test_what_is_said_to_be_done_is_on_disk(shared, tmp_path, name):
    thing, log = client_moments.THINGS[name](shared), tmp_path / "calls"
    try:
        start = thing.start
        thing.start = lambda argv, *more: start([*STRACE, log, *argv], *more)
        done = thing.run()
        assert done.returncode == 0, done
        lost = durable.losses(log.read_text(), thing.base)
        assert not lost, "\n".join(lost)
    finally:
        thing.close()


def test_an_intermediate_is_on_disk_before_it_is_said_to_be_there(tmp_path):
    with cadtest.Daemon() as ca:
        log = tmp_path / "calls"
        tracer = subprocess.Popen([*STRACE, log, "-p", str(ca.signer_pid)], stderr=subprocess.PIPE)
        try:
            assert b"attached" in tracer.stderr.readline()
            for path in ("/v1/ca/intermediates/int-2/activate", "/v1/ca/intermediates"):
                ca.post(path, {}).expect(200, 201)
                time.sleep(0.2)
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(20)
        text = log.read_text()
        assert "ca.conf.tmp" in text
        lost = [one for one in durable.losses(text, ca.state / "signer" / "ca")]
        assert not lost, "\n".join(lost)
        ca.post("/v1/certificates", {"csr": csrs.pem(csrs.csr(csrs.EcKey(), names=[csrs.dns("nas.lan")]))}).expect(201)


@pytest.mark.parametrize("wrong, text", [
    ("", '1 openat(5</d>, "a.tmp", O_CREAT) = 3</d/a.tmp>\n1 write(3</d/a.tmp>, "x", 1) = 1\n1 fsync(3</d/a.tmp>) = 0\n'
         '1 renameat(5</d>, "a.tmp", 5</d>, "a") = 0\n1 fsync(5</d>) = 0\n'),
    ("/d/a.tmp becomes /d/a", '1 write(3</d/a.tmp>, "x", 1) = 1\n1 renameat(5</d>, "a.tmp", 5</d>, "a") = 0\n1 fsync(5</d>) = 0\n'),
    ("/d/b becomes /d/c", '1 mkdir("/d/b", 0700) = 0\n1 openat(5</d/b>, "x", O_CREAT) = 6</d/b/x>\n1 rename("/d/b", "/d/c") = 0\n1 fsync(5</d>) = 0\n'),
])
def test_the_order_of_calls_is_judged_right(wrong, text):
    lost = durable.losses(text, "/d")
    assert [wrong in one for one in lost] == ([True] if wrong else []), lost
