"""The real cad and cad-signer, started in a directory of their own and spoken to over their socket.

    with cadtest.Daemon() as ca:                     # makes a CA with the defaults
        answer = ca.issue(csr_der)                   # POST /v1/certificates
        answer = ca.get("/v1/certificates?limit=10") # any status comes back as an Answer
        answer.expect(200).json["certificates"]      # AssertionError for another status
        ca.raw(b"GET / HTTP/1.1\r\n\r\n")            # bytes in, bytes out
        ca.stop(); ca.start()                        # the same state directory again

The binaries are those of $CAD_BUILD_DIR, by default `build` beside `tests`. Where that default does
not exist the tests are skipped; a build directory that was named must have them.

With CAD_CHECK_OPENAPI=1 every answer is held against docs/openapi.yaml, in whatever test (contract.py).

Every wait here is bounded, and only processes that were started here are ever signalled.
"""

import atexit
import contextlib
import functools
import http.client
import json
import os
import pathlib
import pickle
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

import pytest
from cryptography import x509

BUILD = pathlib.Path(os.environ.get("CAD_BUILD_DIR") or
                     pathlib.Path(__file__).resolve().parents[2] / "build")
CAD = BUILD / "daemon" / "cad"

START_S, STOP_S, ANSWER_S = 30, 10, 30
RAW_MAX = 4 * 1024 * 1024       # bytes of an answer to raw()

# What a sanitizer prints; halting makes the row at fault the one that fails.
REPORTS = re.compile(
    r"ERROR: (Address|Leak|Thread|Memory)Sanitizer|WARNING: ThreadSanitizer|runtime error:")
SANITIZERS = {"ASAN_OPTIONS": "halt_on_error=1:detect_leaks=0:abort_on_error=0",
              "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
              "TSAN_OPTIONS": "halt_on_error=0"}


def require_build():
    """Skip where there is no build; fail where one was named that has no cad."""
    if CAD.exists():
        return
    if os.environ.get("CAD_BUILD_DIR"):
        raise FileNotFoundError(f"$CAD_BUILD_DIR has no daemon/cad: {BUILD}")
    pytest.skip(f"not built: {CAD}")


@functools.lru_cache(None)
def sanitized():
    """Is this a build with a sanitizer? Then times and memory say nothing."""
    binary = CAD.read_bytes()
    return any(name in binary for name in (b"__asan_init", b"__ubsan_handle", b"__tsan_init"))


def listen_args(tcp=False):
    """The Unix socket alone, so that nothing is issued but what a test asks for; @tcp: HTTPS and plain HTTP on
    free loopback ports, too."""
    where = "127.0.0.1:0" if tcp else "no"
    return ["--https", where, "--http", where]


# What a program that is killed leaves in its temporary folder goes with the tests.
SCRATCH = tempfile.mkdtemp(prefix="cad-scratch-")
os.chmod(SCRATCH, 0o1777)
atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)


def environment():
    """Nothing of ours but the sanitizers' options."""
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": SCRATCH,
            **{name: os.environ.get(name, options) for name, options in SANITIZERS.items()}}


class Answer:
    """One HTTP answer: status, headers (lower-case names), body."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def type(self):
        return self.headers.get("content-type", "").split(";")[0].strip()

    @property
    def json(self):
        return json.loads(self.body)

    def expect(self, *statuses):
        assert self.status in statuses, f"{self!r} in place of {statuses}"
        return self

    def __repr__(self):
        return f"{self.status} {self.type} {self.body[:1000]!r}"


def read_by_another(answer):
    """AssertionError where a certificate that was made now is not one to another implementation, or has what that does not know."""
    for text in re.findall(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", answer.body.replace(rb"\n", b"\n"), re.DOTALL):
        for extension in x509.load_pem_x509_certificate(text).extensions:
            assert not isinstance(extension.value, x509.UnrecognizedExtension), extension


def judged(method, path, answer, listener, body=None, headers=None):
    """The same answer, if every new certificate in it is one to others; with CAD_CHECK_OPENAPI=1, AssertionError where
    docs/openapi.yaml does not know it."""
    if answer.status == 201:
        read_by_another(answer)
    if os.environ.get("CAD_CHECK_OPENAPI") == "1":
        import contract
        contract.shared().check(method, path, answer, listener, body, headers)
    return answer


class Daemon:
    """@args: more of cad's options; @env: more of its environment; @state: an existing state
    directory, which is then kept; @tcp: HTTPS and plain HTTP, too (see listen_args())."""

    def __init__(self, args=(), env=None, state=None, tcp=False):
        require_build()
        self.base = pathlib.Path(tempfile.mkdtemp(
            prefix="cad-"))   # short: a socket path has 107 octets
        self.base.chmod(0o755)                      # cad may drop to users of its own
        self.state = pathlib.Path(state) if state else self.base / "state"
        self.state.mkdir(mode=0o700, exist_ok=True)
        self.socket, self.log = self.state / "cad.sock", self.base / "log"
        self.listen, self.args = listen_args(tcp), list(args)
        self.env = {**environment(), **(env or {})}
        self.process, self.signers = None, set()    # every signer that was seen

    # -- life --------------------------------------------------------------------------------

    def start(self):
        """Start it and wait until it answers; AssertionError with its log if it does not."""
        (self.state / "endpoints.json").unlink(missing_ok=True)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([CAD, "--state-dir", self.state, *self.listen, *self.args],
                stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, env=self.env, cwd=self.base)
        self.wait_until(self.ready, START_S, "cad is not ready")
        return self

    def start_refused(self, env=None, **more):
        """Start it where it must not start. Return: what it said; it has ended with 1 and READY was never told."""
        self.log.unlink(missing_ok=True)
        done = run(["--state-dir", self.state, *self.listen, *self.args], env={**self.env, **(env or {})}, cwd=self.base, **more)
        assert done.returncode == 1, f"it ended with {done.returncode}:\n{done.stderr}"
        assert not self.ready_file.exists()
        return done.stderr

    @property
    def ready_file(self):
        return self.state / "endpoints.json"

    @property
    def endpoints(self):
        return json.loads(self.ready_file.read_text())

    def port(self, kind):
        """Of "https" or "http"."""
        return int(self.endpoints[kind].rpartition(":")[2])

    def check_alive(self):
        """AssertionError with the log if cad has ended."""
        assert self.process.poll(
            ) is None, f"cad ended with {self.process.returncode}:\n{self.tail()}"

    def ready(self):
        self.check_alive()
        try:
            return (self.state / "endpoints.json").exists() and self.get("/v1/health").status == 200
        except OSError:
            return False

    def stop(self):
        """SIGTERM and wait. Return: the exit code."""
        signer = self.signer_pid
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"cad lives {STOP_S} s after SIGTERM:\n{self.tail()}") from None
        if signer:
            self.wait_until(lambda: not is_signer(signer), STOP_S,
            f"cad-signer {signer} outlives cad")
        return code

    def kill(self):
        """SIGKILL to cad; its signer has to end by itself."""
        signer = self.signer_pid
        self.process.kill()
        self.process.wait(STOP_S)
        if signer:
            self.wait_until(lambda: not is_signer(signer), STOP_S,
            f"cad-signer {signer} outlives cad")

    def close(self):
        """End both, whatever they are doing, and remove the directory ($CAD_KEEP=1 leaves it)."""
        if self.process and self.process.poll() is None:
            self.pids()
            self.process.kill()
            self.process.wait(STOP_S)
        for pid in filter(is_signer, self.signers):
            os.kill(pid, signal.SIGKILL)
        if not os.environ.get("CAD_KEEP"):
            shutil.rmtree(self.base, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_):
        self.close()

    def wait_until(self, happened, limit_s, otherwise):
        """Poll @happened; AssertionError with @otherwise and the log after @limit_s."""
        limit = time.monotonic() + limit_s
        while not happened():
            assert time.monotonic() < limit, f"{otherwise} after {limit_s} s:\n{self.tail()}"
            time.sleep(0.01)

    # -- talk --------------------------------------------------------------------------------

    def connect(self):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # With a timeout of Python's, a full backlog is an error at once; the kernel's waits.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", ANSWER_S, 0))
        try:
            sock.connect(str(self.socket))
            sock.settimeout(ANSWER_S)
        except BaseException:
            sock.close()
            self.check_alive()
            raise
        return sock

    def request(self, method, path, body=None, headers=None):
        """One request on a connection of its own. A body is sent until the answer comes."""
        lines = {"Host": "localhost", "Connection": "close", **(headers or {})}
        if body is not None:
            lines.setdefault("Content-Length", str(len(body)))
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        with self.connect() as sock:
            send_until_answered(sock, f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + (body
            or b""))
            response = http.client.HTTPResponse(sock, method=method)
            response.begin()
            with response:
                fields = {name.lower(): value for name, value in response.getheaders()}
                answer = Answer(response.status, fields, response.read())
        return judged(method, path, answer, "unix", body, headers)

    def get(self, path, **headers):
        return self.request("GET", path, headers=headers)

    def post(self, path, value, **headers):
        """@value: bytes as they are, anything else as JSON."""
        if not isinstance(value, bytes):
            value = json.dumps(value).encode()
        return self.request("POST", path, value, {"Content-Type": "application/json", **headers})

    def issue(self, csr, **fields):
        """A certificate for a CSR in DER; @fields are the other members of the JSON."""
        import csrs
        return self.post("/v1/certificates", {"csr": csrs.pem(csr), **fields})

    def as_user(self, uid, gid, groups, method, path, body=None, headers=None):
        """A request from another user: uid, gid and groups of the process that connects."""
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            self.check_alive = lambda: None     # cad is no child of this process
            try:
                os.setgroups(groups)
                os.setresgid(gid, gid, gid)
                os.setresuid(uid, uid, uid)
                answer = self.request(method, path, body, headers)
                told = pickle.dumps((answer.status, answer.headers, answer.body))
            except BaseException as error:      # to the test, whatever it is
                told = pickle.dumps(repr(error))
            with open(writer, "wb") as out:
                out.write(told)
            os._exit(0)
        os.close(writer)
        with open(reader, "rb") as told:
            found = pickle.load(told)
        os.waitpid(pid, 0)
        assert not isinstance(found, str), found
        return Answer(*found)

    def raw(self, data):
        """Send bytes, then everything that comes back until the other side closes or says no more
        for a second."""
        with self.connect() as sock:
            send_until_answered(sock, data)
            found = b""
            while len(found) < RAW_MAX and polled(sock, select.POLLIN, 1 if found else ANSWER_S):
                try:
                    part = sock.recv(65536)
                except ConnectionResetError:
                    break
                if not part:
                    break
                found += part
            return found

    # -- look --------------------------------------------------------------------------------

    @property
    def pid(self):
        return self.process.pid

    @property
    def signer_pid(self):
        """The pid of the cad-signer that this cad started, None without one."""
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
            except OSError:
                continue
            if name.startswith("cad-signer") and int(rest.split()[1]) == self.pid:
                self.signers.add(int(stat.parent.name))
                return int(stat.parent.name)
        return None

    @contextlib.contextmanager
    def signer_stopped(self):
        """Within it the signer stands still: each of its threads, which kill() does not wait for."""
        pid = self.signer_pid
        os.kill(pid, signal.SIGSTOP)
        try:
            self.wait_until(lambda: all(stat.read_text().rpartition(")")[2].split()[0] == "T"
                                        for stat in pathlib.Path(f"/proc/{pid}/task").glob("*/stat")), STOP_S, "the signer goes on")
            yield pid
        finally:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:          # cad has lost patience with it
                pass

    def pids(self):
        return [pid for pid in (self.pid, self.signer_pid) if pid]

    def cpu_ns(self):
        """Processor time that both processes have used so far, nanoseconds."""
        # The id of another process's CPU clock, as clock_getcpuclockid(3) makes it on Linux.
        return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in self.pids())

    def memory_kib(self, field="VmRSS"):
        """Resident memory of both processes; with "VmHWM" its highest ever."""
        return sum(int(re.search(rf"^{field}:\s+(\d+)",
            pathlib.Path(f"/proc/{pid}/status").read_text(),
                                 re.MULTILINE).group(1)) for pid in self.pids())

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def kept(self):
        """Path and content of all that it writes: its log, and its state. What is renamed meanwhile is read under its new name or not."""
        for path in [self.log, *self.state.rglob("*")]:
            with contextlib.suppress(FileNotFoundError):
                if path.is_file():
                    yield path, path.read_bytes()

    def tail(self):
        return self.log_text()[-4000:]

    def signer_log(self):
        """The signer's log, in lines."""
        path = self.state / "signer" / "log"
        return path.read_text(errors="replace").splitlines() if path.exists() else []

    def signed(self):
        """Of these, the certificates: CRLs and anchors of the audit come by themselves, at any time."""
        return [line for line in self.signer_log() if " issue " in line]

    def check_log(self):
        """AssertionError if a sanitizer has found something."""
        found = REPORTS.search(self.log_text())
        assert not found, self.log_text()[found.start():][:6000]


def run(args, timeout=START_S, **more):
    """cad with these words, to its end; its output as text."""
    require_build()
    more.setdefault("env", environment())
    more.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run([CAD, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
                          timeout=timeout, **more)


def openssl(*args, input=None):
    """Output of openssl with these words, as text; AssertionError if it fails."""
    if isinstance(input, str):
        input = input.encode()
    done = subprocess.run(["openssl", *args], input=input, capture_output=True, timeout=30)
    assert done.returncode == 0, (args, done.stderr)
    return done.stdout.decode(errors="replace")


def is_signer(pid):
    """Is this pid still a running cad-signer, of this build?"""
    try:
        if pathlib.Path(f"/proc/{pid}/exe").resolve() != (CAD.parent / "cad-signer").resolve():
            return False
        name, _, rest = pathlib.Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(
        ")")
    except OSError:
        return False
    return name.startswith("cad-signer") and rest.split()[0] != "Z"


def polled(sock, events, seconds):
    """What is ready of @events; select() knows no descriptor over 1023."""
    poll = select.poll()
    poll.register(sock, events)
    return sum(found for _, found in poll.poll(max(0, seconds) * 1000))


def send_until_answered(sock, data):
    """Send @data, but stop as soon as an answer comes or the other side closes: a body over a cap
    is answered before it has been read."""
    view, limit = memoryview(data), time.monotonic() + ANSWER_S
    while view:
        ready = polled(sock, select.POLLIN | select.POLLOUT, limit - time.monotonic())
        assert ready, "the request is not read"
        if ready & ~select.POLLOUT:
            return
        try:
            view = view[sock.send(view[:65536], socket.MSG_NOSIGNAL):]
        except (BrokenPipeError, ConnectionResetError):
            return
