"""Starting and stopping where something is wrong: damaged state, odd environments, signals (threats.md §4: 26, 56, 60, 65 to 69, 79).

What is always true: a clear line and exit 1, never a second CA, never a file of the first one changed.
"""

import concurrent.futures
import hashlib
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import subprocess
import time

import pytest

import cadtest
import csrs
from csrs import csr, dns

NAS = csr(names=[dns("nas.lan")])


@pytest.fixture(scope="module")
def made():
    """The state of a CA that has issued and ended in order; tests take copies."""
    with cadtest.Daemon() as daemon:
        for number in range(300):
            daemon.issue(csr(names=[dns(f"h{number}.lan")]), label="x" * 200).expect(201)
        daemon.id = daemon.get("/v1/ca").expect(200).json["fingerprint"]
        assert daemon.stop() == 0
        yield daemon


class Copy(cadtest.Daemon):
    """A daemon on a copy of a state folder, not started."""

    def __init__(self, of, *args, **more):
        super().__init__(*args, **more)
        self.id = of.id
        shutil.rmtree(self.state)
        shutil.copytree(of.state, self.state, symlinks=True)

    def sums(self):
        """Of every file of the CA: keys, certificates, database; not of what any start writes."""
        return {path.relative_to(self.state): hashlib.sha256(path.read_bytes()).hexdigest() for path in self.state.rglob("*")
                if path.is_file() and not path.is_symlink() and path.name not in ("lock", "mark", "log", "endpoints.json", "cad.db-shm", "cad.db-wal")}


@pytest.fixture
def copy(made):
    daemon = Copy(made)
    yield daemon
    daemon.close()


def one_line(said):
    """What a person has to read is the last line; it is the only one from cad itself that is an error."""
    lines = [line for line in said.splitlines() if line.strip()]
    assert lines and lines[-1].startswith("cad: "), said
    assert "Sanitizer" not in said and "Traceback" not in said
    return lines[-1]


def check_refused(daemon, *words):
    before = daemon.sums()
    line = one_line(daemon.start_refused())
    for word in words:
        assert word in line, line
    assert daemon.sums() == before, "a file of the CA was changed"
    assert not daemon.socket.exists() or not daemon.socket.is_socket()
    return line


# -- 65: the database --------------------------------------------------------------------------

def sql(daemon, *statements):
    with sqlite3.connect(daemon.state / "cad.db") as db:
        for statement in statements:
            db.execute(statement)
    db.close()


def truncate(part):
    def damage(daemon):
        size = (daemon.state / "cad.db").stat().st_size
        os.truncate(daemon.state / "cad.db", int(size * part) // 4096 * 4096)
    return damage


def another_ca(daemon):
    with cadtest.Daemon() as other:
        other.issue(NAS).expect(201)
        other.stop()
        shutil.copy(other.state / "cad.db", daemon.state / "cad.db")


def write(text):
    return lambda daemon: (daemon.state / "cad.db").write_bytes(text)


def gone(daemon):
    (daemon.state / "cad.db").unlink()


def gone_but_its_log(daemon):
    (daemon.state / "cad.db").rename(daemon.state / "cad.db-wal")


def first_page(daemon):
    with open(daemon.state / "cad.db", "r+b") as db:
        db.seek(100)
        db.write(b"\xff" * 3000)


@pytest.mark.parametrize("damage, words", [
    (write(b""), ["cad.db", "empty", "backup"]), (write(b"hello\n" * 1000), ["cad.db", "not a database"]),
    (write(b"SQLite format 3\0"), ["cad.db", "not a database"]),
    (lambda daemon: sql(daemon, "PRAGMA application_id = 42"), ["cad.db", "another program"]),
    (lambda daemon: sql(daemon, "PRAGMA user_version = 99"), ["cad.db", "newer"]),
    (another_ca, ["cad.db", "belongs to the CA"]), (gone, ["cad.db", "backup"]), (gone_but_its_log, ["cad.db", "backup"]),
    (first_page, ["cad.db"]), (truncate(0.02), ["cad.db"]), (truncate(0.5), ["cad.db", "backup"]),
    (lambda daemon: sql(daemon, "DROP TABLE certificates"), ["cad.db"]), (lambda daemon: sql(daemon, "DELETE FROM meta"), ["cad.db"]),
], ids=["empty", "text", "only a header", "another program", "newer", "another CA", "gone", "only its log", "first page", "one page left",
        "half", "no table", "no owner"])
def test_a_damaged_database_is_refused(copy, damage, words):
    damage(copy)
    check_refused(copy, *words)


def test_a_damaged_page_is_an_error_and_no_lie(made):
    """A page in the middle is not looked at on start: what needs it fails clearly, the rest goes on, health says it."""
    copy = Copy(made)
    try:
        size = (copy.state / "cad.db").stat().st_size
        with open(copy.state / "cad.db", "r+b") as db:
            for page in range(4, size // 4096 - 1):
                db.seek(page * 4096)
                db.write(b"\xa5" * 4096)
        try:
            copy.start()
        except AssertionError:
            assert "cad.db" in one_line(copy.log_text())
            return
        assert copy.get("/v1/ca").expect(200).json["fingerprint"] == copy.id
        seen = [copy.get("/v1/certificates?limit=1000"), copy.issue(NAS), copy.get("/v1/certificates/" + "1" * 38)]
        for answer in seen:
            assert answer.status in (200, 201, 404, 500, 503), answer
        assert any(answer.status >= 500 for answer in seen)
        copy.check_alive()
    finally:
        copy.close()


def test_a_killed_daemon_s_log_is_played_in():
    with cadtest.Daemon() as daemon:
        serials = [daemon.issue(NAS).expect(201).json["serial"] for _ in range(20)]
        daemon.kill()
        assert (daemon.state / "cad.db-wal").stat().st_size
        (daemon.state / "cad.db-shm").write_bytes(os.urandom(32768))      # made again, whoever's it is
        daemon.start()
        for serial in serials:
            daemon.get(f"/v1/certificates/{serial}").expect(200)


# -- 66: the CA's own files --------------------------------------------------------------------

def ca_file(name):
    return lambda daemon: daemon.state / "signer" / "ca" / name


def remove(name):
    return lambda daemon: ca_file(name)(daemon).unlink()


def swap(daemon):
    keys = [ca_file(f"int-{n}.key")(daemon) for n in (1, 2)]
    texts = [key.read_bytes() for key in keys]
    keys[0].write_bytes(texts[1])
    keys[1].write_bytes(texts[0])


def garble(name):
    return lambda daemon: ca_file(name)(daemon).write_text("-----BEGIN NOTHING-----\n")


@pytest.mark.parametrize("damage, words", [
    (remove("int-1.key"), ["int-1"]), (remove("int-1.crt"), ["int-1"]), (remove("root.crt"), ["root"]), (remove("ca.conf"), ["ca.conf"]),
    (swap, ["int-1"]), (garble("int-1.key"), ["int-1"]), (garble("int-1.crt"), ["int-1"]), (garble("root.crt"), ["root"]),
    (garble("ca.conf"), ["ca.conf"]), (lambda daemon: ca_file("int-1.key")(daemon).write_bytes(b""), ["int-1"]),
    (lambda daemon: shutil.rmtree(daemon.state / "signer" / "ca"), ["backup"]),
    (lambda daemon: shutil.rmtree(daemon.state / "signer"), ["cad.db", "backup"]),
    (lambda daemon: ca_file("int-1.key")(daemon).chmod(0o644), ["int-1.key", "chmod 600"]),
    (lambda daemon: ca_file("int-1.key")(daemon).chmod(0o640), ["int-1.key", "chmod 600"]),
    (lambda daemon: os.link(ca_file("int-1.key")(daemon), daemon.base / "copy.key"), ["int-1.key", "link"]),
], ids=["no key", "no certificate", "no root", "no ca.conf", "keys swapped", "garbled key", "garbled certificate", "garbled root", "garbled ca.conf",
        "empty key", "no CA", "no signer's folder", "key for all", "key for a group", "key with two links"])
def test_a_damaged_ca_is_refused(copy, damage, words):
    damage(copy)
    check_refused(copy, *words)


def test_a_root_key_that_was_taken_away_is_no_damage(copy):
    """It is only needed to make intermediates."""
    ca_file("root.key")(copy).unlink()
    copy.start()
    copy.issue(NAS).expect(201)
    assert copy.get("/v1/ca").json["root_key_present"] is False


# -- 67: what is there in place of a file ------------------------------------------------------

def replace(path, make):
    def damage(daemon):
        target = daemon.state / path
        kept = daemon.base / "kept"
        target.rename(kept)
        make(target, kept)
    return damage


def link(target, kept):
    target.symlink_to(kept)


def folder(target, kept):
    target.mkdir()


def fifo(target, kept):
    os.mkfifo(target)


def foreign(target, kept):
    shutil.copy2(kept, target)
    os.chown(target, 12345, 12345)


@pytest.mark.parametrize("path", ["cad.db", "signer/ca/int-1.key", "signer/ca/int-1.crt", "signer/ca/ca.conf", "signer/log", "signer/mark"])
@pytest.mark.parametrize("make", [link, folder, fifo, foreign], ids=lambda make: make.__name__)
def test_what_is_no_file_of_ours_is_refused_by_name(copy, path, make):
    if make is foreign and os.geteuid() != 0:
        pytest.skip("only root gives files away")
    if make is foreign and path == "signer/log":
        pytest.skip("test_signer.py has it")
    replace(path, make)(copy)
    line = one_line(copy.start_refused())
    assert pathlib.PurePath(path).name.split(".")[0] in line, line


@pytest.mark.parametrize("make, words", [
    (lambda d: (d.state.rename(d.base / "kept"), d.state.symlink_to(d.base / "kept")), ["state", "symbolic link"]),
    (lambda d: (d.state.rename(d.base / "kept"), d.state.write_text("")), ["state"]),
    (lambda d: d.state.chmod(0o777), ["state", "chmod"]), (lambda d: d.state.chmod(0o770), ["state", "chmod"]),
    (lambda d: (d.state / "signer").chmod(0o777), ["signer", "chmod"]),
], ids=["a link", "a file", "for everybody", "for a group", "the signer's for everybody"])
def test_a_state_folder_that_others_may_change_is_refused(copy, make, words):
    make(copy)
    line = one_line(copy.start_refused())
    for word in words:
        assert word in line, line


def test_a_state_folder_of_another_user_is_refused(copy):
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    os.chown(copy.state, 4002, 4002)
    copy.state.chmod(0o755)
    done = cadtest.run(["--state-dir", copy.state, *cadtest.listen_args(), "--socket", "/nowhere/x"], preexec_fn=lambda: (os.setgroups([]), os.setgid(4001), os.setuid(4001)))
    assert done.returncode == 1 and "uid 4002" in one_line(done.stderr)


# -- 68: two -----------------------------------------------------------------------------------

@pytest.mark.sanitize
def test_a_second_daemon_says_who_is_there(made):
    copy = Copy(made)
    try:
        copy.start()
        done = cadtest.run(["--state-dir", copy.state, *cadtest.listen_args(), "--socket", copy.base / "other.sock"])
        assert done.returncode == 1 and f"process {copy.pid}" in one_line(done.stderr)
        done = cadtest.run(["init", "--again", "--state-dir", copy.state])
        assert done.returncode == 1 and "in use by process" in done.stderr
        copy.issue(NAS).expect(201)
        copy.kill()
        copy.start()        # a lock of one who is dead is no lock
        copy.issue(NAS).expect(201)
    finally:
        copy.close()


@pytest.mark.slow
def test_of_ten_that_start_at_once_one_serves_one_ca(tmp_path):
    cadtest.require_build()
    state = tmp_path / "s"
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        daemons = [subprocess.Popen([cadtest.CAD, "--state-dir", state, *cadtest.listen_args()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.PIPE, text=True, env=cadtest.environment()) for _ in range(10)]
        try:
            until = time.monotonic() + 30
            while sum(daemon.poll() is None for daemon in daemons) > 1 or not (state / "endpoints.json").exists():
                assert time.monotonic() < until and any(daemon.poll() is None for daemon in daemons)
                time.sleep(0.02)
            for daemon in daemons:
                if daemon.poll() is not None:
                    assert daemon.returncode == 1 and "already in use" in daemon.stderr.read()
        finally:
            for daemon in daemons:
                if daemon.poll() is None:
                    daemon.terminate()
            for daemon in daemons:
                daemon.wait(10)
                daemon.stderr.close()


# -- 69: sockets -------------------------------------------------------------------------------

def test_a_stale_socket_is_replaced(copy):
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(copy.socket))
    copy.start()
    copy.issue(NAS).expect(201)
    assert copy.stop() == 0 and not copy.socket.exists() and not copy.ready_file.exists()


def test_a_socket_that_somebody_listens_on_is_left_alone(copy):
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(copy.socket))
        live.listen()
        line = one_line(copy.start_refused())
        assert "cad.sock" in line and "listens" in line and copy.socket.is_socket()


@pytest.mark.parametrize("make", [lambda p: p.write_text("x"), lambda p: p.mkdir(), lambda p: p.symlink_to("/dev/null"), lambda p: os.mkfifo(p)],
                         ids=["file", "folder", "link", "fifo"])
def test_a_file_in_the_socket_s_place_is_left_alone(copy, make):
    make(copy.socket)
    before = copy.socket.lstat()
    line = one_line(copy.start_refused())
    assert "cad.sock" in line and "no socket" in line and copy.socket.lstat().st_ino == before.st_ino


@pytest.mark.parametrize("length, fine", [(107, True), (108, False), (109, False), (500, False)])
def test_a_socket_s_path_has_a_limit(copy, length, fine):
    path = str(copy.base / "x")
    path += "y" * (length - len(path))
    copy.args, copy.socket = ["--socket", path], pathlib.Path(path)
    if fine:
        copy.start()
        copy.issue(NAS).expect(201)
    else:
        line = one_line(copy.start_refused())
        assert str(length) in line and "107" in line and "--socket" in line


def test_a_socket_s_folder_must_be_there(copy):
    copy.args = ["--socket", copy.base / "nowhere" / "cad.sock"]
    assert "nowhere" in one_line(copy.start_refused())


# -- 56: nothing can be written ----------------------------------------------------------------

def test_a_read_only_file_system_is_said(copy):
    script = ('mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" || exit 99; shift; exec "$@"')
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", copy.state, cadtest.CAD, "--state-dir", copy.state,
                           *cadtest.listen_args(), "--socket", copy.base / "x.sock"], capture_output=True, text=True, timeout=30, env=copy.env)
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip("no mounts here")
    assert done.returncode == 1 and "ead-only" in one_line(done.stderr)
    copy.start()
    copy.issue(NAS).expect(201)


# -- 79: odd environments ----------------------------------------------------------------------

ODD = {
    "time zone": {"env": {"TZ": "Pacific/Kiritimati"}}, "a time zone that is none": {"env": {"TZ": "Nowhere/Land"}},
    "locale": {"env": {"LC_ALL": "tr_TR.UTF-8", "LANG": "de_DE.ISO-8859-1"}}, "no environment": {"env": None},
    "umask 000": {"umask": 0}, "umask 777": {"umask": 0o777}, "folder /": {"cwd": "/"},
    "stdin closed": {"close": [0]}, "all of 0 to 2 closed": {"close": [0, 1, 2]}, "HOME is nowhere": {"env": {"HOME": "/nonexistent"}},
    "SIGPIPE ignored": {"ignore": [signal.SIGPIPE, signal.SIGCHLD]}, "signals blocked": {"block": [signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD]},
    "a nice value": {"nice": 10}, "no core limit": {}, "64 descriptors": {"nofile": 64}, "TMPDIR is nowhere": {"env": {"TMPDIR": "/nonexistent"}},
}


@pytest.mark.parametrize("what", ODD)
def test_an_odd_environment_changes_nothing(what):
    import resource
    how = ODD[what]

    def before():
        if "umask" in how:
            os.umask(how["umask"])
        for number in how.get("ignore", ()):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, how.get("block", ()))
        os.nice(how.get("nice", 0))
        if "nofile" in how:
            resource.setrlimit(resource.RLIMIT_NOFILE, (how["nofile"], how["nofile"]))
        for number in how.get("close", ()):
            os.close(number)

    daemon = cadtest.Daemon()
    try:
        shutil.rmtree(daemon.state)
        env = {} if "env" in how and how["env"] is None else {**daemon.env, **how.get("env", {})}
        if cadtest.sanitized():
            env = {**daemon.env, **env}
        with open(daemon.log, "wb") as log:
            daemon.process = subprocess.Popen([cadtest.CAD, "--state-dir", daemon.state, *daemon.listen], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                              env=env, cwd=how.get("cwd", daemon.base), preexec_fn=before)
        daemon.wait_until(daemon.ready, 30, "cad is not ready")
        issued = daemon.issue(NAS).expect(201).json
        assert issued["not_before"].endswith("Z")
        begin = time.strptime(issued["not_before"], "%Y-%m-%dT%H:%M:%SZ")
        import calendar
        assert 3500 < time.time() - calendar.timegm(begin) < 3700
        for key in daemon.state.rglob("*.key"):
            assert key.stat().st_mode & 0o777 == 0o600, key
        for path in [daemon.state, daemon.state / "signer", daemon.state / "signer" / "ca"]:
            assert path.stat().st_mode & 0o777 == 0o700, path
        assert (daemon.state / "cad.db").stat().st_mode & 0o777 == 0o600
        assert daemon.socket.stat().st_mode & 0o777 == 0o660
        # a descriptor of 0 to 2 that is not open must not become one of cad's own files; only root looks into the signer
        for pid in daemon.pids() if os.geteuid() == 0 else [daemon.pid]:
            for number in range(3):
                target = os.readlink(f"/proc/{pid}/fd/{number}")
                assert not target.endswith((".db", "lock", ".key")) and "socket" not in target, (number, target)
        assert daemon.stop() == 0
        daemon.check_log()
    finally:
        daemon.close()


def test_relative_paths_are_those_of_the_start(tmp_path):
    daemon = cadtest.Daemon()
    try:
        (daemon.base / "d").mkdir()
        daemon.state = daemon.base / "d" / "s"
        daemon.socket = daemon.state / "cad.sock"
        with open(daemon.log, "wb") as log:
            daemon.process = subprocess.Popen([cadtest.CAD, "--state-dir", "d/s", *daemon.listen], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                              env=daemon.env, cwd=daemon.base)
        daemon.wait_until(daemon.ready, 30, "cad is not ready")
        daemon.issue(NAS).expect(201)
        assert daemon.ready_file.read_text().count(str(daemon.socket)) == 1
    finally:
        daemon.close()


# -- 26, 60: the end ---------------------------------------------------------------------------

def under_load(daemon, end, callers=100):
    """@callers issue without pause; @end() is called in the middle. Return: the serials that were answered."""
    answered, stop = [], False
    pems = [csrs.pem(csr(names=[dns(f"h{number}.lan")])) for number in range(8)]

    def caller(number):
        mine = []
        while not stop:
            try:
                answer = daemon.post("/v1/certificates", {"csr": pems[number % 8]})
            except (OSError, ValueError, AssertionError, Exception):
                break
            if answer.status == 201:
                mine.append(answer.json["serial"])
            elif answer.status in (429, 503):
                time.sleep(0.01)
        return mine

    with concurrent.futures.ThreadPoolExecutor(callers) as pool:
        work = [pool.submit(caller, number) for number in range(callers)]
        time.sleep(0.7)
        started = time.monotonic()
        code = end()
        took = time.monotonic() - started
        stop = True
        for each in work:
            answered += each.result(30)
    return answered, code, took


def check_all_there(daemon, answered):
    assert len(answered) > 20 and len(set(answered)) == len(answered)
    with sqlite3.connect(f"file:{daemon.state}/cad.db?mode=ro", uri=True) as db:
        stored = {bytes(row[0]).hex() for row in db.execute("SELECT serial FROM certificates")}
    db.close()
    assert set(answered) <= stored
    daemon.start()
    for serial in answered[::7]:
        daemon.get(f"/v1/certificates/{serial}").expect(200)
    daemon.issue(NAS).expect(201)


@pytest.mark.sanitize
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_the_end_under_load_is_quick_and_loses_nothing(number):
    with cadtest.Daemon() as daemon:
        def end():
            daemon.process.send_signal(number)
            return daemon.process.wait(10)
        answered, code, took = under_load(daemon, end)
        assert code == 0 and took < (20 if cadtest.sanitized() else 5), (code, took, daemon.tail())
        check_all_there(daemon, answered)


def test_a_second_sigterm_changes_nothing():
    with cadtest.Daemon() as daemon:
        def end():
            for _ in range(5):
                if daemon.process.poll() is None:
                    daemon.process.send_signal(signal.SIGTERM)
                time.sleep(0.005)
            return daemon.process.wait(10)
        answered, code, took = under_load(daemon, end)
        assert code == 0 and took < (20 if cadtest.sanitized() else 5), (code, took)
        check_all_there(daemon, answered)


def test_a_kill_under_load_loses_nothing():
    with cadtest.Daemon() as daemon:
        answered, _, _ = under_load(daemon, daemon.kill)
        check_all_there(daemon, answered)


def test_signals_that_mean_nothing_do_nothing():
    with cadtest.Daemon() as daemon:
        for number in (signal.SIGPIPE, signal.SIGHUP, signal.SIGCHLD, signal.SIGWINCH, signal.SIGURG):
            daemon.process.send_signal(number)
        daemon.issue(NAS).expect(201)
        daemon.check_alive()


def test_a_stop_during_the_start_ends_it():
    daemon = cadtest.Daemon()
    try:
        for delay in (0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1):
            with open(daemon.log, "ab") as log:
                daemon.process = subprocess.Popen([cadtest.CAD, "--state-dir", daemon.state, *daemon.listen], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                  env=daemon.env, cwd=daemon.base)
            time.sleep(delay)
            daemon.process.send_signal(signal.SIGTERM)
            assert daemon.process.wait(10) in (0, -signal.SIGTERM)
        daemon.start()
        daemon.issue(NAS).expect(201)
    finally:
        daemon.close()
