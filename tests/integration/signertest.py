"""The real cad-signer, spoken to as cad does: frames over a SOCK_SEQPACKET socketpair.

    with signertest.Signer() as signer:              # makes a CA, serves, says HELLO
        signer.issue(names=["nas.lan"]).expect("certificate").leaf
        signer.issue(names=["google.com"]).expect("error").slug
        signer.raw(b"garbage")                       # bytes in, an Answer out

This is cad in other hands: nothing here checks what it sends. Every wait is bounded, and only
processes that were started here are ever signalled.
"""

import fcntl
import functools
import hashlib
import ipaddress
import os
import pathlib
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

import cadtest
import csrs
import der
import pytest
from cryptography import x509

SIGNER = cadtest.BUILD / "daemon" / "cad-signer"
START_S, ANSWER_S, STOP_S = 30, 20, 10
FRAME_MAX = 64 * 1024
FAKETIME = next((path for path in pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")),
                None)

HELLO, ISSUE, STATUS = 1, 2, 3
HELLO_OK, CERTIFICATE, STATUS_OK, ERROR = 65, 66, 67, 127
CRL, CRL_OK = 4, 68
ANCHORS, ANCHORS_OK = 6, 69
TYPES = {HELLO_OK: "hello", CERTIFICATE: "certificate", STATUS_OK: "status", CRL_OK: "crl",
         ANCHORS_OK: "anchors", ERROR: "error"}
HOUR, DAY = 3600, 86400
ANY = object()


# -- Frames ------------------------------------------------------------------------------------

def field(value):
    """Text, octets, or a number (8 octets)."""
    if isinstance(value, int):
        value = struct.pack(">q", value)
    elif isinstance(value, str):
        value = value.encode()
    return struct.pack(">I", len(value)) + value


def frame(kind, number, *fields, version=1, reserved=0, length=None):
    body = b"".join(field(value) for value in fields)
    return struct.pack(">IBBHI", 12 + len(body) if length is None else length, version, kind,
                       reserved, number) + body


def fields_of(data):
    found, at = [], 12
    while at < len(data):
        size = int.from_bytes(data[at:at + 4], "big")
        found.append(data[at + 4:at + 4 + size])
        assert len(found[-1]) == size, "a field is longer than its frame"
        at += 4 + size
    return found


class Answer:
    """One frame of the signer's."""

    def __init__(self, data):
        length, self.version, self.type, reserved, self.id = struct.unpack(">IBBHI", data[:12])
        assert length == len(data) and self.version == 1 and reserved == 0, data[:12].hex()
        self.kind, self.fields = TYPES[self.type], fields_of(data)

    def expect(self, *kinds):
        assert self.kind in kinds, f"{self!r} in place of {kinds}"
        return self

    @property
    def slug(self):
        return self.expect("error").fields[0].decode()

    @property
    def field(self):
        return self.expect("error").fields[1].decode()

    @property
    def text(self):
        return self.expect("error").fields[2].decode()

    @property
    def leaf(self):
        return self.expect("certificate").fields[1]

    def __repr__(self):
        shown = [value.decode() for value in self.fields] if self.type == ERROR else len(self.fields)
        return f"{self.kind} {self.id} {shown}"


# -- What cad would know by itself -------------------------------------------------------------

# name: (name types, key usage, extended key usage, default, maximum, grace in days, enrolment,
# wildcards, nocheck), as lib/pki/profile.c; a digest that differs is refused as stale
DNS_, EMAIL_, URI_, IP_ = 1 << 2, 1 << 1, 1 << 6, 1 << 7
PROFILES = {
    "server": (DNS_ | IP_, 5, 1, 90, 397, 0, "token", 1, 0),
    "client": (DNS_ | IP_ | EMAIL_ | URI_, 5, 2, 90, 397, 0, "token", 0, 0),
    "peer": (DNS_ | IP_, 5, 3, 90, 397, 0, "token", 1, 0),
    "device": (DNS_ | IP_, 5, 3, 365, 825, 30, "token", 0, 0),
    "user": (EMAIL_, 5, 6, 365, 825, 0, "approval", 0, 0),
    "admin": (DNS_ | IP_ | EMAIL_, 5, 2, 90, 397, 0, "admin", 0, 0),
    "https": (DNS_ | IP_, 5, 1, 90, 397, 0, "internal", 0, 0),
    "ocsp": (DNS_ | IP_, 1, 8, 7, 30, 0, "internal", 0, 1),
}


def digest(name, rsa_bits_max=4096):
    kinds, usage, extended, default, most, grace, enrolment, wildcards, nocheck = PROFILES[name]
    return hashlib.sha256((
        f"profile 1\nname={name}\nnames={kinds:x}\nkeys=1f\nrsa=2048-{rsa_bits_max}\n"
        f"ku={usage:x}\neku={extended:x}\ndefault={default * DAY}\nmax={most * DAY}\nbackdate={HOUR}\n"
        f"grace={grace * DAY}\nenrolment={enrolment}\nwildcards={wildcards}\nnocheck={nocheck}\n"
        f"strict=1\n").encode()).digest()


def general_name(text):
    if isinstance(text, bytes):
        return text
    try:
        return csrs.ip(ipaddress.ip_address(text).packed)
    except ValueError:
        pass
    if "://" in text or text.startswith("urn:"):
        return csrs.uri(text)
    return csrs.email(text) if "@" in text else csrs.dns(text)


def general_names(names):
    return names if isinstance(names, bytes) else der.seq(*(general_name(name) for name in names))


def issue_frame(number=1, *, profile="server", names=("nas.lan",), spki=None, cn="", issuer="",
                not_before=None, days=90, not_after=None, profile_digest=None, now=None, more=()):
    now = int(time.time()) if now is None else now
    not_before = now - HOUR if not_before is None else not_before
    not_after = not_before + days * DAY - 1 if not_after is None else not_after
    if profile_digest is None:
        profile_digest = digest(profile) if profile in PROFILES else bytes(32)
    return frame(ISSUE, number, issuer, profile, profile_digest,
                 csrs.p256().spki if spki is None else spki, cn, general_names(names), not_before,
                 not_after, *more)


# -- CRLs --------------------------------------------------------------------------------------

F_ADD_SEALS, F_GET_SEALS = 1033, 1034
SEALS = 2 | 4 | 8       # shrink, grow, write


def crl_entry(serial, reason=0, at=1_700_000_000, size=None, pad=b"\0\0"):
    """A struct crl_entry: @serial as octets or a number."""
    if isinstance(serial, int):
        serial = serial.to_bytes((serial.bit_length() + 7) // 8, "big")
    return struct.pack("=B20sB2sq", len(serial) if size is None else size, serial, reason, pad, at)


def memfd(octets, seals=SEALS):
    """A file in memory, to be closed by the caller. @seals: 0: none"""
    fd = os.memfd_create("entries", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    view = memoryview(octets)
    while view:
        view = view[os.write(fd, view):]
    if seals:
        fcntl.fcntl(fd, F_ADD_SEALS, seals)
    return fd


def read_all(fd):
    size, octets = os.fstat(fd).st_size, bytearray()
    while len(octets) < size:
        octets += os.pread(fd, size - len(octets), len(octets))
    return bytes(octets)


# -- The process -------------------------------------------------------------------------------

def require_build():
    if SIGNER.exists():
        return
    if os.environ.get("CAD_BUILD_DIR"):
        raise FileNotFoundError(f"$CAD_BUILD_DIR has no daemon/cad-signer: {cadtest.BUILD}")
    pytest.skip(f"not built: {SIGNER}")


@functools.lru_cache(None)
def sanitized():
    binary = SIGNER.read_bytes()
    return any(name in binary for name in (b"__asan_init", b"__ubsan_handle", b"__tsan_init"))


def faked(when):
    """Environment for a process whose clock says so: "+31d", "+1430m x60", "@1970-01-02 00:00:00"."""
    if not FAKETIME:
        pytest.skip("libfaketime is not installed")
    if sanitized():
        pytest.skip("libfaketime and the sanitizers do not go together")
    return {"LD_PRELOAD": str(FAKETIME), "FAKETIME": when, "DONT_FAKE_MONOTONIC": "1"}


def run(*args, env=None, **more):
    """A command of cad-signer's. Return: the CompletedProcess."""
    require_build()
    return subprocess.run([SIGNER, *map(str, args)], capture_output=True, text=True,
                          timeout=START_S, env={**cadtest.environment(), **(env or {})}, **more)


class Signer:
    """@conf: text of signer.conf; @profiles: {name: text} of profiles.d; @init: options of init,
    None makes no CA; @state: an existing state directory, which is then kept."""

    def __init__(self, conf="", profiles=None, init=(), env=None, state=None, args=()):
        require_build()
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="cad-signer-"))
        self.state = pathlib.Path(state) if state else self.base / "state"
        self.config = self.base / "config"
        (self.config / "profiles.d").mkdir(parents=True, mode=0o755)
        if conf:
            (self.config / "signer.conf").write_text(conf)
        for name, text in (profiles or {}).items():
            (self.config / "profiles.d" / f"{name}.conf").write_text(text)
        self.args, self.env, self.log = list(args), env or {}, self.base / "stderr"
        self.process = self.socket = None
        self.waiting, self.next_id = {}, 100
        if init is not None and not (self.state / "ca").exists():
            made = self.command("init", *init)
            assert made.returncode == 0, made.stderr

    # -- life --------------------------------------------------------------------------------

    def places(self):
        return ["--state-dir", self.state, "--config-dir", self.config]

    def command(self, name, *args, env=None):
        return run(name, *self.places(), *args, env=env)

    def start(self, env=None, hello=True):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket, self.waiting = ours, {}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [SIGNER, "serve", *self.places(), "--socket-fd", str(theirs.fileno()), *self.args],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**cadtest.environment(), **self.env, **(env or {})}, cwd=self.base)
        theirs.close()
        if hello:
            self.hello()
        return self

    def stop(self):
        """Close the socket, as cad does when it ends. Return: the exit code."""
        self.socket.close()
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the signer lives {STOP_S} s after its socket") from None

    def kill(self):
        self.process.kill()
        self.process.wait(STOP_S)
        self.socket.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        try:
            if self.process and self.process.poll() is None:
                self.kill()
            report = cadtest.REPORTS.search(self.stderr())
            assert not report, self.stderr()[-4000:]
        finally:
            shutil.rmtree(self.base, ignore_errors=True)

    # -- talk --------------------------------------------------------------------------------

    def send(self, data, timeout_s=ANSWER_S):
        self.socket.settimeout(timeout_s)
        self.socket.send(data)

    def receive(self, timeout_s=ANSWER_S):
        """The next Answer, whoever it is for."""
        self.socket.settimeout(timeout_s)
        try:
            data = self.socket.recv(FRAME_MAX + 1)
        except socket.timeout:
            raise AssertionError(f"no answer in {timeout_s} s: {self.tail()}") from None
        assert data, f"the signer has gone ({self.process.poll()}): {self.tail()}"
        return Answer(data)

    def raw(self, data, number=ANY):
        """Send octets; wait for the answer with this id."""
        self.send(data)
        answer = self.receive()
        assert number is ANY or answer.id == number, f"{answer!r} is not for {number}"
        return answer

    def hello(self):
        return self.raw(frame(HELLO, 1), 1).expect("hello")

    def status(self):
        names = ("issued", "last_hour", "per_hour")
        fields = self.raw(frame(STATUS, 2), 2).expect("status").fields
        return {**{name: int.from_bytes(fields[i], "big") for i, name in enumerate(names)},
                "clock": fields[3].decode(), "log": fields[4].decode()}

    def issue(self, **wish):
        self.next_id += 1
        return self.raw(issue_frame(self.next_id, **wish), self.next_id)

    def issue_many(self, count, **wish):
        """@count certificates, as many in flight as the socket holds both ways (an answer that is not
        taken is dropped). Return: their DER, in the order of the answers."""
        leaves, sent = [], 0
        window = max(2, min(64, 64 * 1024 // len(issue_frame(**wish))))
        while len(leaves) < count:
            while sent < count and sent - len(leaves) < window:
                self.send(issue_frame(sent + 1, **wish))
                sent += 1
            leaves.append(self.receive().leaf)
        return leaves

    def send_with(self, data, fds, timeout_s=ANSWER_S):
        """A frame with descriptors beside it."""
        self.socket.settimeout(timeout_s)
        socket.send_fds(self.socket, [data], fds)

    def receive_with(self, timeout_s=ANSWER_S):
        """Return: the next Answer, and the descriptors beside it (the caller's)."""
        self.socket.settimeout(timeout_s)
        data, fds, _, _ = socket.recv_fds(self.socket, FRAME_MAX + 1, 8)
        assert data, f"the signer has gone ({self.process.poll()}): {self.tail()}"
        return Answer(data), fds

    def crl_frame(self, number=ANY, entries=0, issuer="int-1", this_update=None, next_update=None,
                  id=9, more=()):
        now = int(time.time())
        return frame(CRL, id, issuer, now if number is ANY else number,
                     now - 300 if this_update is None else this_update,
                     now + 7 * DAY if next_update is None else next_update, entries, *more)

    def crl(self, entries=(), number=0, count=None, fd=None, timeout_s=60, **wish):
        """Have a CRL made. @entries: of crl_entry(); @fd: instead of them. Return: the Answer with .der"""
        octets = b"".join(entries)
        ours = memfd(octets) if fd is None else os.dup(fd)
        self.next_id += 1
        try:
            self.send_with(self.crl_frame(number, len(octets) // 32 if count is None else count,
                                          id=self.next_id, **wish), [ours])
        finally:
            os.close(ours)
        answer, fds = self.receive_with(timeout_s)
        assert answer.id == self.next_id, repr(answer)
        assert len(fds) == (answer.type == CRL_OK), f"{len(fds)} descriptors beside {answer!r}"
        if fds:
            assert fcntl.fcntl(fds[0], F_GET_SEALS) & SEALS == SEALS, "the CRL is not sealed"
            answer.der = read_all(fds[0])
            answer.number = int.from_bytes(answer.fields[1], "big")
            assert int.from_bytes(answer.fields[2], "big") == len(answer.der)
            os.close(fds[0])
        return answer

    # -- look --------------------------------------------------------------------------------

    def lines(self):
        """The signer's own log: a dict a signature."""
        path = self.state / "log"
        text = path.read_text() if path.exists() else ""
        assert not text or text.endswith("\n"), "half a line"
        found = []
        for line in text.splitlines():
            words = line.split(" ", 2)
            if len(words) == 3 and words[1] == "issue":
                found.append({"time": words[0], **dict(pair.split("=", 1)
                                                       for pair in words[2].split(" "))})
        return found

    def ca_id(self):
        return self.hello().fields[0].decode()

    def issuers(self):
        """{id: (state, certificate)} of HELLO."""
        fields = self.hello().fields[10:]
        return {fields[i].decode(): (int.from_bytes(fields[i + 1], "big"),
                                     x509.load_der_x509_certificate(fields[i + 2]))
                for i in range(0, len(fields), 3)}

    def root(self):
        return x509.load_der_x509_certificate(self.hello().fields[8])

    def crl_lines(self):
        """The CRLs in the signer's own log: a dict each."""
        text = (self.state / "log").read_text() if (self.state / "log").exists() else ""
        words = [line.split(" ") for line in text.splitlines()]
        return [{"time": line[0], **dict(pair.split("=", 1) for pair in line[2:])}
                for line in words if line[1:2] == ["crl"]]

    def memory_kib(self, what="VmRSS"):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(f"{what}:"):
                return int(line.split()[1])
        return 0

    def cpu_ns(self):
        """Processor time that it has used so far, nanoseconds, as cadtest's does it."""
        return time.clock_gettime_ns((~self.process.pid << 3) | 2)

    def descriptors(self):
        """How many it has open; 0 where that is not to be seen: it is not dumpable, and only root may look."""
        try:
            return len(os.listdir(f"/proc/{self.process.pid}/fd"))
        except PermissionError:
            return 0

    def alive(self):
        return self.process.poll() is None

    def stderr(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tail(self):
        return self.stderr()[-2000:]

    def wait_until(self, holds, timeout_s, what):
        until = time.monotonic() + timeout_s
        while not holds():
            assert time.monotonic() < until, f"{what}: {self.tail()}"
            time.sleep(0.05)
