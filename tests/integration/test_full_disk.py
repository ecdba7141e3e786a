"""A disk that fills up under load, and has room again (threats.md §4: 54, 56).

503 with Retry-After that names the disk, health is red, reads go on, nothing is half issued; when there
is room again cad goes on by itself. A real file system where we may mount one, and a limit on the size
of files, which needs no rights, everywhere.
"""

import contextlib
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time

import cadtest
import csrs
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "torture"))

import crash  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.sanitize]

CALLERS = 16
HEALS_S = 10            # after there is room again
DISK = "space|disk|full|too large"


@contextlib.contextmanager
def mounted(folder, size):
    """A tmpfs of @size on @folder; skips where we may not."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "cad-test", folder],
                          capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


class Disk:
    """A small disk that can be filled and emptied."""

    def __init__(self, folder):
        self.folder, self.file = folder, folder / "filler"

    def fill(self):
        with open(self.file, "ab", buffering=0) as file:
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(65536))
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(512))

    def empty(self):
        self.file.unlink()


# What is on the small disk: (mounts: folder below the state, size; which is filled).
LAYOUTS = {
    "all of it": (((".", "64m"),), "."),
    "the store alone": (((".", "64m"), ("signer", "128m")), "."),
    "the signer's log alone": (((".", "128m"), ("signer", "32m")), "signer"),
}


@pytest.fixture
def base(tmp_path_factory):
    """Short: the path of a socket has 107 octets."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="cad-disk-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def layout(base, name):
    """(state directory, Disk)"""
    mounts, filled = LAYOUTS[name]
    state = base / "state"
    state.mkdir(mode=0o700)
    with contextlib.ExitStack() as stack:
        for folder, size in mounts:
            stack.enter_context(mounted(state / folder, size))
        yield state, Disk(state / filled)


def wish(ca):
    return ca.issue(csrs.csr(names=[csrs.dns("nas.lan")]))


def wait_for_red(ca):
    """The first refusal for want of room: an Answer."""
    found = []

    def refused():
        found[:] = [wish(ca)]
        return found[0].status != 201
    ca.wait_until(refused, 60, "the disk is full, and cad goes on issuing")
    return found[0]


def check_problem(answer):
    answer.expect(503)
    assert answer.type == "application/problem+json" and int(answer.headers["retry-after"]) > 0
    assert re.search(DISK, answer.json["detail"]), f"what is wrong is not said: {answer!r}"


def check_reads(ca, serial):
    for path in (f"/v1/certificates/{serial}", f"/v1/certificates/{serial}.pem", "/v1/certificates?limit=5",
                 "/v1/certificates?name=nas.lan", "/v1/ca", "/v1/ca/root.pem", "/v1/ca/bundle.pem", "/v1/profiles"):
        ca.get(path).expect(200)


def wait_until_red(ca):
    """Health says which check fails. What is almost full may take a small write in between: it is waited for."""
    found = []

    def red():
        found[:] = [ca.get("/v1/health").expect(200, 503)]
        return found[0].status == 503
    ca.wait_until(red, HEALS_S, "health does not see it")
    failing = [check for check in found[0].json["checks"] if check["status"] == "failing"]
    assert failing and re.search(DISK, str(failing)), found


def heals(ca, begun):
    limit = time.monotonic() + HEALS_S
    while (health := ca.get("/v1/health")).status != 200:
        assert time.monotonic() < limit, f"health stays red: {health.json['checks'][:4]}, {os.statvfs(ca.state)}"
        time.sleep(0.05)
    ca.wait_until(lambda: wish(ca).status == 201, HEALS_S, "nothing is issued though there is room")
    assert time.monotonic() - begun < HEALS_S


def revoke(ca, load, serial):
    """Where there is room for that much: whether it is revoked now, as its state says too."""
    load.revoking.add(serial)
    answer = ca.post(f"/v1/certificates/{serial}/revoke", {"reason": "superseded"}).expect(200, 409, 503)
    if answer.status == 503:
        check_problem(answer)
    revoked = ca.get(f"/v1/certificates/{serial}").expect(200).json["status"] == "revoked"
    assert revoked == (answer.status != 503)
    return revoked


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_full_disk_stops_issuance_and_nothing_else(base, name):
    cadtest.require_build()
    with layout(base, name) as (state, disk), cadtest.Daemon(state=state) as ca:
        first, pids = wish(ca).expect(201).json["serial"], ca.pids()
        with crash.Load(ca, CALLERS) as load:
            load.wait_for_more(50, 20)
            for _ in range(2):
                disk.fill()
                check_problem(wait_for_red(ca))
                wait_until_red(ca)
                check_reads(ca, first)
                revoke(ca, load, first)
                time.sleep(1.5)         # more than a pulse of each process on the full disk
                wait_until_red(ca)
                disk.empty()
                heals(ca, time.monotonic())
                load.wait_for_more(50, HEALS_S)
        failures = int(re.search(r"^cad_store_commit_failures_total (\d+)$", ca.get("/metrics").expect(200).body.decode(), re.M)[1])
        # with all of it on one disk, the signer may have stopped it before the store had to
        assert name == "all of it" or (failures > 0) == (name == "the store alone")
        assert ca.pids() == pids, "a process did not live through it"
        rows = crash.check(ca, load)
        assert revoke(ca, load, first)
        assert ca.stop() == 0, ca.tail()
        crash.check_database(ca)
        ca.start()
        assert crash.check(ca, load) == rows
        assert ca.get(f"/v1/certificates/{first}").json["status"] == "revoked"
        ca.check_log()


def test_killed_on_a_full_disk_and_started_when_there_is_room(base):
    """Started while it is full it comes up, or says why not; afterwards all that was answered is there."""
    cadtest.require_build()
    with layout(base, "all of it") as (state, disk), cadtest.Daemon(state=state) as ca:
        with crash.Load(ca, CALLERS) as load:
            load.wait_for_more(50, 20)
            disk.fill()
            check_problem(wait_for_red(ca))
        ca.kill()
        try:
            ca.start()
        except AssertionError as failed:
            assert "space" in str(failed) or "full" in str(failed), failed
        if ca.process.poll() is None:
            ca.process.kill()
            ca.process.wait(cadtest.STOP_S)
        disk.empty()
        ca.start()
        crash.check(ca, load)
        wish(ca).expect(201)


def test_a_read_only_file_system_is_refused_by_name(base):
    """At start; when it can be written again, so does cad, and it is the same CA."""
    cadtest.require_build()
    with layout(base, "all of it") as (state, _), cadtest.Daemon(state=state) as ca:
        serial, root = wish(ca).expect(201).json["serial"], ca.get("/v1/ca/root.pem").body
        assert ca.stop() == 0
        subprocess.run(["mount", "-o", "remount,ro", state], check=True)
        done = subprocess.run([cadtest.CAD, "--state-dir", state, *cadtest.listen_args()], capture_output=True, text=True,
                              timeout=cadtest.START_S, env=cadtest.environment())
        assert done.returncode == 1 and "ead-only file system" in done.stderr, done
        subprocess.run(["mount", "-o", "remount,rw", state], check=True)
        ca.start()
        assert ca.get("/v1/ca/root.pem").body == root
        ca.get(f"/v1/certificates/{serial}").expect(200)


@pytest.mark.parametrize("who", ("cad", "cad-signer"))
def test_a_limit_on_the_size_of_files_is_like_a_full_disk(who):
    """RLIMIT_FSIZE at what the files have now: every write that makes one larger fails (EFBIG)."""
    cadtest.require_build()
    with cadtest.Daemon() as ca:
        first = wish(ca).expect(201).json["serial"]
        pids = ca.pids()
        files = [ca.state / "cad.db-wal"] if who == "cad" else [ca.state / "signer" / "log"]
        pid = ca.pid if who == "cad" else ca.signer_pid
        with crash.Load(ca, 4) as load:
            load.wait_for_more(20, 20)
            limit = max(path.stat().st_size for path in files)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            check_problem(wait_for_red(ca))
            wait_until_red(ca)
            check_reads(ca, first)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            heals(ca, time.monotonic())
            load.wait_for_more(20, HEALS_S)
        assert ca.pids() == pids, "a process did not live through it"
        crash.check(ca, load)
        ca.check_log()
