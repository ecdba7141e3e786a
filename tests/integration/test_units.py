"""The units: what systemd says of them, and cad and cad-signer as they ask to be run: a socket that was passed, a word when
ready, a watchdog, and their system-call filters. A boot under a real systemd is tests/boot.sh."""

import contextlib
import ctypes
import errno
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time

import pytest

import cadtest
from csrs import csr, dns

UNITS = ["cad.service", "cad.socket", "cad-https.socket", "cad-http.socket", "cad-signer.service", "cad-signer.socket",
         "cad-backup.service", "cad-backup.timer", "cactl-renew.service", "cactl-renew.timer"]
SCORES = {"cad.service": 15, "cad-signer.service": 8, "cad-backup.service": 25, "cactl-renew.service": 27}     # tenths
SYSTEMD = cadtest.BUILD / "systemd"
needs_analyze = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")


def setting(unit, name):
    """All values of a setting of a unit, in order."""
    return re.findall(rf"^{name}=(.*)$", (SYSTEMD / unit).read_text(), re.MULTILINE)


@pytest.fixture
def units(tmp_path):
    """The units as built, with the programs where they are built."""
    for unit in UNITS:
        text = (SYSTEMD / unit).read_text()
        for program in (cadtest.CAD, cadtest.CAD.parent / "cad-signer", cadtest.BUILD / "client" / "cactl"):
            text = re.sub(rf"(?<==|\+)\S*/{program.name}(?= )", str(program), text)
        (tmp_path / unit).write_text(text)
    return tmp_path


@needs_analyze
def test_systemd_finds_nothing_to_say_of_them(units):
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *[units / unit for unit in UNITS]], text=True,
                          capture_output=True, timeout=60)
    ours = [line for line in (done.stdout + done.stderr).splitlines() if str(units) in line or "cad" in line.split(":")[0]]
    assert done.returncode == 0 and not ours, done


@needs_analyze
@pytest.mark.parametrize("unit", SCORES)
def test_the_score_is_as_promised(units, unit):
    done = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--no-pager", f"--threshold={SCORES[unit]}",
                           units / unit], text=True, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def test_programs_are_where_they_are_installed():
    for unit in UNITS:
        for line in setting(unit, "ExecStart(?:Post)?"):
            assert re.match(r"\+?/\S+/s?bin/(cad|cad-signer|cactl) ", line), line


# -- System-call filters -----------------------------------------------------------------------

def expand(names):
    found = set()
    for name in names:
        if not name.startswith("@"):
            found.add(name)
            continue
        listed = subprocess.run(["systemd-analyze", "syscall-filter", name], text=True, capture_output=True, timeout=60,
                                check=True).stdout.splitlines()
        found |= expand(line.strip() for line in listed[1:] if line.strip() and not line.strip().startswith("#"))
    return found


def allowed_calls(unit):
    """As systemd.exec(5) reads the lines: the first makes a list of what is allowed, "~" takes away."""
    calls = set()
    for line in setting(unit, "SystemCallFilter"):
        names = line.lstrip("~").split()
        calls = calls - expand(names) if line.startswith("~") else calls | expand(names)
    return calls | expand(["@default"])


def filtered(unit):
    """For preexec_fn: become a batch process as the unit says, then the unit's calls alone; others fail with EPERM."""
    import seccomp
    calls = allowed_calls(unit)

    def enter():
        assert setting(unit, "CPUSchedulingPolicy") == ["batch"]
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        rules = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
        for call in sorted(calls):
            try:
                rules.add_rule(seccomp.ALLOW, call)
            except (RuntimeError, ValueError, OSError):
                pass    # not of this architecture
        rules.load()
    return enter


@needs_analyze
def test_the_filters_let_all_through_that_is_needed():
    """The whole life of both processes: making the CA, issuing, revoking, reading anew, the signer killed, the end."""
    pytest.importorskip("seccomp")
    for name in ("SystemCallFilter", "SystemCallErrorNumber"):      # one filter for both: cad starts its signer here
        assert setting("cad-signer.service", name) == setting("cad.service", name)
    daemon = cadtest.Daemon()
    enter = filtered("cad.service")
    try:
        with open(daemon.log, "ab") as log:
            daemon.process = subprocess.Popen(
                [cadtest.CAD, "--state-dir", daemon.state, *cadtest.listen_args()], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env=daemon.env, cwd=daemon.base, preexec_fn=enter)
        daemon.wait_until(daemon.ready, 60, "it is not ready under the units' filter")
        serial = daemon.issue(csr(names=[dns("nas.lan")])).expect(201).json["serial"]
        daemon.post(f"/v1/certificates/{serial}/revoke", {"reason": "superseded"}).expect(200)
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_until(lambda: "read anew" in daemon.log_text(), 10, "no reload")
        daemon.get("/v1/certificates").expect(200)
        os.kill(daemon.signer_pid, signal.SIGKILL)
        daemon.wait_until(lambda: daemon.issue(csr(names=[dns("b.lan")])).status == 201, 20, "the signer does not come back")
        time.sleep(1.5)     # a tick of the signer, a pulse of cad
        daemon.issue(csr(names=[dns("c.lan")])).expect(201)
        assert daemon.stop() == 0
    finally:
        daemon.close()


def test_a_filter_that_lacks_a_call_is_noticed():
    """The test above can fail."""
    seccomp = pytest.importorskip("seccomp")

    def enter():
        rules = seccomp.SyscallFilter(seccomp.ALLOW)
        rules.add_rule(seccomp.KILL_PROCESS, "epoll_wait")
        rules.load()
    daemon = cadtest.Daemon()
    try:
        with open(daemon.log, "ab") as log:
            daemon.process = subprocess.Popen([cadtest.CAD, "--state-dir", daemon.state, *cadtest.listen_args()], stdout=log,
                                              stderr=log, env=daemon.env, cwd=daemon.base, preexec_fn=enter)
        assert daemon.process.wait(30) == -signal.SIGSYS
    finally:
        daemon.close()


# -- Readiness and watchdog --------------------------------------------------------------------

class Manager:
    """The service manager's end of $NOTIFY_SOCKET."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="cadn-")
        os.chmod(self.folder, 0o755)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.path = self.folder + "/n"
        self.socket.bind(self.path)
        os.chmod(self.path, 0o666)

    def close(self):
        self.socket.close()
        shutil.rmtree(self.folder)

    def said(self, seconds, last=None):
        """Everything that comes within so many seconds, or until @last is among it."""
        words, until = [], time.monotonic() + seconds
        while last not in words:
            self.socket.settimeout(max(until - time.monotonic(), 0.001))
            try:
                words += self.socket.recv(4096).decode().split("\n")
            except (TimeoutError, BlockingIOError):
                break
        return words


@pytest.fixture
def manager():
    manager = Manager()
    yield manager
    manager.close()


def test_ready_is_said_when_everything_answers_and_the_watchdog_is_fed(manager):
    daemon = cadtest.Daemon(env={"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "4000000"})
    try:
        daemon.start()
        words = manager.said(3)
        assert words.count("READY=1") == 1 and words.count("WATCHDOG=1") >= 2, words
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(10) == 0
        assert "STOPPING=1" in manager.said(0.2)
    finally:
        daemon.close()


def test_ready_is_never_said_where_the_signer_cannot_work(manager):
    daemon = cadtest.Daemon(env={"NOTIFY_SOCKET": manager.path})
    try:
        daemon.start()
        daemon.stop()
        (daemon.state / "signer" / "ca" / "int-1.key").unlink()
        manager.said(0)
        daemon.start_refused()
        assert "READY=1" not in manager.said(0.2)
    finally:
        daemon.close()


def test_a_store_that_stands_still_is_not_fed(manager):
    """Somebody else keeps the database: the commit waits, and the watchdog hears nothing more until it goes on."""
    daemon = cadtest.Daemon(env={"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "3000000"})
    try:
        daemon.start()
        assert "WATCHDOG=1" in manager.said(3, "WATCHDOG=1")
        other = sqlite3.connect(daemon.state / "cad.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        time.sleep(2.5)     # what came back before this still counts for a while
        manager.said(0)
        assert "WATCHDOG=1" not in manager.said(1.5)
        other.execute("ROLLBACK")
        other.close()
        assert "WATCHDOG=1" in manager.said(5, "WATCHDOG=1")
    finally:
        daemon.close()


PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000


@contextlib.contextmanager
def held(pid, name):
    """The threads of this name stand still, the others go on."""
    libc = ctypes.CDLL(None, use_errno=True)
    threads = [int(task.name) for task in pathlib.Path(f"/proc/{pid}/task").iterdir() if (task / "comm").read_text() == name + "\n"]
    assert threads, f"there is no thread {name}"

    def ptrace(what, thread):
        return libc.ptrace(ctypes.c_long(what), ctypes.c_int(thread), None, None)

    if ptrace(PTRACE_SEIZE, threads[0]) < 0:
        pytest.skip(f"threads cannot be held here: {os.strerror(ctypes.get_errno())}")
    try:
        for thread in threads:
            assert thread == threads[0] or ptrace(PTRACE_SEIZE, thread) == 0
            assert ptrace(PTRACE_INTERRUPT, thread) == 0 and os.waitpid(thread, WALL)[0] == thread
        yield
    finally:
        for thread in threads:
            ptrace(PTRACE_DETACH, thread)


def test_workers_that_stand_still_are_not_fed(manager):
    """All else goes on: what is answered at once is answered, and main, which tells the watchdog, does not do so in their place."""
    daemon = cadtest.Daemon(env={"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "2000000"})
    try:
        daemon.start()
        assert "WATCHDOG=1" in manager.said(3, "WATCHDOG=1")
        with held(daemon.pid, "worker"):
            time.sleep(2)       # what came back before this still counts for a while
            manager.said(0)
            assert "WATCHDOG=1" not in manager.said(1.2)
            daemon.get("/v1/ca").expect(200)
        assert "WATCHDOG=1" in manager.said(5, "WATCHDOG=1")
    finally:
        daemon.close()


# -- A signer of its own -----------------------------------------------------------------------

class SignerService:
    """What cad-signer.socket and cad-signer.service do: listen, and start the signer when somebody connects."""

    def __init__(self, base, *args):
        self.base, self.args, self.path = base, args, str(base / "s.sock")
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(self.path)
        self.listener.listen(8)
        self.process, self.manager, self.starts = None, Manager(), 0
        self.log = open(base / "signer.log", "ab")

    def start(self):
        fd = self.listener.fileno()
        script = f"exec 3<&{fd}; export LISTEN_PID=$$; exec \"$@\""
        self.process = subprocess.Popen(
            ["bash", "-c", script, "sh", cadtest.CAD.parent / "cad-signer", "serve", "--state-dir", self.base / "signer", "--store",
             self.base / "state" / "cad.db", "--peer-user", pwd.getpwuid(os.geteuid()).pw_name, *self.args], pass_fds=[fd], stdout=self.log, stderr=self.log,
            env={**cadtest.environment(), "LISTEN_FDS": "1", "NOTIFY_SOCKET": self.manager.path, "WATCHDOG_USEC": "4000000"})
        self.starts += 1

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self.listener.close()
        self.manager.close()
        self.log.close()


@pytest.fixture
def apart():
    daemon = cadtest.Daemon()
    service = SignerService(daemon.base)
    daemon.args += ["--signer-socket", service.path]
    yield daemon, service
    service.close()
    daemon.close()


def test_a_signer_of_its_own_is_found_by_its_socket_and_comes_back(apart):
    daemon, service = apart
    service.start()
    assert "READY=1" in service.manager.said(20, "READY=1")
    daemon.start()
    assert daemon.signer_pid is None    # no child of cad's
    daemon.issue(csr(names=[dns("nas.lan")])).expect(201)
    assert "WATCHDOG=1" in service.manager.said(2.5, "WATCHDOG=1")
    service.process.kill()
    service.process.wait(10)
    service.start()
    daemon.wait_until(lambda: daemon.issue(csr(names=[dns("b.lan")])).status == 201, 20, "cad does not connect again")
    assert daemon.stop() == 0
    assert service.process.wait(10) == 0    # it ends with its connection


def test_without_a_signer_behind_the_socket_cad_says_where_to_look(apart):
    daemon, service = apart
    service.listener.close()
    os.unlink(service.path)
    said = daemon.start_refused()
    assert service.path in said and "cad-signer.socket" in said
    service.listener = socket.socket(socket.AF_UNIX)


def test_a_signer_that_cannot_begin_tells_cad_why(apart):
    daemon, service = apart
    (daemon.base / "signer").mkdir(mode=0o700)
    (daemon.base / "signer" / "ca").mkdir(mode=0o700)
    pending = subprocess.Popen([cadtest.CAD, "--state-dir", daemon.state, *cadtest.listen_args(), *daemon.args], text=True,
                               stderr=subprocess.PIPE, env=daemon.env)
    try:
        time.sleep(0.5)     # it has connected: that is what starts the service
        service.start()
        _, said = pending.communicate(timeout=30)
    finally:
        pending.kill()
    assert pending.returncode == 1 and "ca.conf" in said, said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_others_are_turned_away_from_the_signer(apart):
    daemon, service = apart
    os.chmod(service.path, 0o777)
    service.start()
    assert "READY=1" in service.manager.said(20, "READY=1")
    pid = os.fork()
    if pid == 0:
        os.setresgid(4711, 4711, 4711)
        os.setresuid(4711, 4711, 4711)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
            stranger.settimeout(5)
            stranger.connect(service.path)
            os._exit(0 if stranger.recv(10) == b"" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert "uid 4711" in pathlib.Path(service.log.name).read_text()
    daemon.start()      # and still there for cad
    daemon.issue(csr(names=[dns("nas.lan")])).expect(201)


def test_root_writes_down_which_ca_it_is(apart):
    daemon, service = apart
    service.start()
    assert "READY=1" in service.manager.said(20, "READY=1")
    config = daemon.base / "etc"
    config.mkdir(mode=0o755)
    command = [cadtest.CAD.parent / "cad-signer", "remember", "--state-dir", daemon.base / "signer", "--config-dir", config]
    for _ in range(2):      # beside a signer at work, as often as one likes
        subprocess.run(command, check=True, timeout=30)
    known = (config / "ca-id").read_text().strip()
    assert re.fullmatch("[0-9a-f]{64}", known)
    (config / "ca-id").write_text("0" * 64 + "\n")
    done = subprocess.run(command, text=True, capture_output=True, timeout=30)
    assert done.returncode == 1 and known[:16] in done.stderr, done
