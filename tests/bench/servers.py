"""The servers that are measured: cad and cfssl, how they start, what runs below them, how they end.

Every process that was started is stopped by its id.
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

START_TIMEOUT_S = 30
STOP_TIMEOUT_S = 10
MB = 1e6
ADMIN_NAME = "bench@home.lan"   # of the client certificate that may do everything over HTTPS

# What cfssl's own first migration for SQLite makes; Debian's package comes without the migrations.
CFSSL_SCHEMA = """
CREATE TABLE certificates (
  serial_number blob NOT NULL, authority_key_identifier blob NOT NULL, ca_label blob,
  status blob NOT NULL, reason int, expiry timestamp, revoked_at timestamp, pem blob NOT NULL,
  PRIMARY KEY (serial_number, authority_key_identifier));
"""


class Failure(Exception):
    """A sentence for a person; the run ends with status 1."""


def run(command, timeout_s=60, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          timeout=timeout_s, **options)
    if done.returncode != 0:
        raise Failure(f"{Path(command[0]).name} ended with {done.returncode}: "
                      f"{done.stderr.strip()[-600:]}")
    if Path(command[0]).name.startswith("bench-"):
        sys.stderr.write(done.stderr)   # the first bad answer, in words
    return done.stdout


def say(text):
    print(text, file=sys.stderr, flush=True)


# ---- processes ----

def process_stat(pid):
    """(parent, start time in ticks) or None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else (int(fields[1]), int(fields[19]))


def descendants(pid):
    """{pid: start time} of all below pid."""
    parents = {}
    for entry in os.listdir("/proc"):
        stat = process_stat(entry) if entry.isdigit() else None
        if stat:
            parents[int(entry)] = stat
    found, front = {}, {pid}
    while front:
        front = {child for child, (parent, _) in parents.items()
                 if parent in front and child not in found}
        found.update({child: parents[child][1] for child in front})
    return found


def process_name(pid):
    return Path(f"/proc/{pid}/comm").read_text().strip()


def resident_kb(pid):
    """Exact where the kernel lets us, else the counter of /proc/PID/status."""
    for path, field in ((f"/proc/{pid}/smaps_rollup", "Rss:"), (f"/proc/{pid}/status", "VmRSS:")):
        with contextlib.suppress(OSError):
            for line in Path(path).read_text().splitlines():
                if line.startswith(field):
                    return int(line.split()[1])
    raise Failure(f"cannot read the resident size of process {pid}")


class Server:
    """A server under measurement; subclasses say how it starts and when it is ready."""

    name = ""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.log = self.directory / f"{self.name}.log"
        self.process = None
        self.children = {}

    def spawn(self, command):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([str(word) for word in command], cwd=self.directory,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait_until(self, ready):
        deadline = time.monotonic() + START_TIMEOUT_S
        while not ready():
            if self.process.poll() is not None:
                raise Failure(f"{self.name} ended with {self.process.returncode} at start:\n"
                              f"{self.log_tail()}")
            if time.monotonic() > deadline:
                raise Failure(f"{self.name} was not ready after {START_TIMEOUT_S} s:\n"
                              f"{self.log_tail()}")
            time.sleep(0.0002)

    def log_tail(self):
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else "(no output)"

    def pids(self):
        self.children.update(descendants(self.process.pid))
        return [self.process.pid] + sorted(descendants(self.process.pid))

    def stop(self):
        if not self.process:
            return
        if self.process.poll() is None:
            self.children.update(descendants(self.process.pid))
            self.process.terminate()
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                say(f"{self.name} did not end within {STOP_TIMEOUT_S} s of SIGTERM; killed")
                self.process.kill()
                self.process.wait()
        self.stop_orphans()
        self.process = None

    def stop_orphans(self):
        deadline = time.monotonic() + 2
        while self.orphans() and time.monotonic() < deadline:
            time.sleep(0.005)
        for pid in self.orphans():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.children = {}

    def orphans(self):
        """Of the children we knew; the start time tells a recycled id apart."""
        return [pid for pid, began in self.children.items()
                if (process_stat(pid) or (0, 0))[1] == began]


class Cad(Server):
    def __init__(self, directory, options, name="cad"):
        self.name = name
        super().__init__(Path(directory) / name)
        self.directory.mkdir(mode=0o711)
        self.api = options.cad_api
        self.state = self.directory / "state"
        self.socket = self.state / "cad.sock"
        if len(str(self.socket).encode()) > 107:
            raise Failure(f"'{self.socket}' is too long for a Unix socket; give a shorter --dir")
        self.state.mkdir(mode=0o700)
        program = options.build_dir / "daemon" / "cad"
        # All callers have one uid and address here, and the limit for each peer is 16 by default. A connection that was
        # closed is counted until its thread comes to it.
        config = self.directory / "cad.conf"
        config.write_text(f"[Limits]\nConnectionsPerPeer={4 * options.connections + 8}\n"
                          f"[Access]\nAdmin=uid:{os.geteuid()} cert:{ADMIN_NAME}\n")
        self.command = [program, "--config", options.cad_config or config,
                        "--state-dir", self.state]
        usage = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=10)
        for option in ("--https", "--http"):
            # A free port, where this cad listens on one at all.
            if re.search(rf"{option}\b", usage.stdout + usage.stderr):
                self.command += [option, "127.0.0.1:0"]
        self.command += options.cad_arg

    def target(self):
        return ["--unix", self.socket]

    def endpoint(self, name):
        return json.loads((self.state / "endpoints.json").read_text())[name]

    def ask(self, method, path, body=b"", port=None, timeout_s=10):
        """(status, head, body) on the socket, or on a port; status 0 while nobody answers there."""
        request = (f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                   + (f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                      if body else "") + "\r\n").encode() + body
        with socket.socket(socket.AF_INET if port else socket.AF_UNIX) as s:
            s.settimeout(timeout_s)
            try:
                if port:
                    host, _, number = self.endpoint(port).rpartition(":")
                    s.connect((host, int(number)))
                else:
                    s.connect(str(self.socket))
                s.sendall(request)
                answer = b"".join(iter(lambda: s.recv(65536), b""))
            except OSError:
                return 0, "", b""
        head, _, body = answer.partition(b"\r\n\r\n")
        status = int(head.split()[1]) if head.startswith(b"HTTP/1.1 ") else 0
        return status, head.decode("latin-1"), body

    def get(self, path):
        """(status, body) of a GET on the socket, or (0, b"") while nobody answers there."""
        status, _, body = self.ask("GET", path)
        return status, body

    def post(self, path, document, expected, timeout_s=10):
        """The JSON that comes back."""
        body = json.dumps(document).encode() if document else b""
        status, _, answer = self.ask("POST", path, body, timeout_s=timeout_s)
        if status != expected:
            raise Failure(f"{self.name}: POST {path} answered {status}: {answer[:300]!r}")
        return json.loads(answer)

    def start(self):
        """Returns the milliseconds from spawning to the first whole answer."""
        began = time.monotonic()
        self.spawn(self.command)
        self.wait_until(lambda: self.get("/v1/ca")[0] == 200)
        elapsed = time.monotonic() - began
        if not any(process_name(pid) == "cad-signer" for pid in self.pids()):
            raise Failure("cad answers, but has no cad-signer below it: "
                          "its processor time would be missing")
        return elapsed * 1000

    def trust(self, body):
        """(root PEM, intermediates PEM) to verify an answer with."""
        status, root = self.get("/v1/ca/root.pem")
        if status != 200:
            raise Failure(f"cad: GET /v1/ca/root.pem answered {status}")
        return root.decode(), json.loads(body)["chain"] if self.api == "cad" else body

    def leaf(self, body):
        return json.loads(body)["certificate"] if self.api == "cad" else body

    def check_stored(self, serial):
        status, _ = self.get(f"/v1/certificates/{serial}")
        if status != 200:
            raise Failure(f"cad answered with certificate {serial}, but GET of it says {status}")


class Cfssl(Server):
    api = "cfssl"

    def __init__(self, directory, name, journal_mode=None):
        self.name = name
        super().__init__(directory)
        self.ca = self.directory / f"{name}-ca.pem"
        key, config = self.directory / f"{name}-ca.key", self.directory / f"{name}.json"
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "3650", "-subj", "/CN=Benchmark CA",
             "-addext", "basicConstraints=critical,CA:TRUE",
             "-addext", "keyUsage=critical,keyCertSign,cRLSign",
             "-keyout", key, "-out", self.ca], stdin=subprocess.DEVNULL)
        profile = {"expiry": "2160h", "usages": ["digital signature", "server auth"]}
        config.write_text(json.dumps({"signing": {"default": profile}}))
        # Log level 2 leaves out the four lines a request that it writes otherwise: to its
        # advantage, as cad-signer goes on logging each signature.
        self.command = ["cfssl", "serve", "-address", "127.0.0.1", "-loglevel", "2",
                        "-ca", self.ca, "-ca-key", key, "-config", config]
        if journal_mode:
            self.command += ["-db-config", self.database(journal_mode)]

    def database(self, journal_mode):
        path, config = self.directory / f"{self.name}.db", self.directory / f"{self.name}-db.json"
        run(["sqlite3", path], input=f"PRAGMA journal_mode={journal_mode};{CFSSL_SCHEMA}")
        config.write_text(json.dumps({"driver": "sqlite3", "data_source": str(path)}))
        return config

    def target(self):
        return ["--tcp", f"127.0.0.1:{self.port}"]

    def start(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.spawn(self.command + ["-port", self.port])
        self.wait_until(self.listens)

    def listens(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def trust(self, _body):
        return self.ca.read_text(), ""

    def leaf(self, body):
        return json.loads(body)["result"]["certificate"]

    def check_stored(self, _serial):
        pass


class Static(Server):
    """libmicrohttpd and one file (bench-serve)."""

    def __init__(self, directory, name, program, path, threads):
        self.name = name
        super().__init__(directory)
        self.command = [program, path, threads]

    def start(self):
        self.spawn(self.command)
        self.wait_until(lambda: "\n" in self.log.read_text())

    def target(self):
        return ["--tcp", f"127.0.0.1:{self.log.read_text().strip()}"]
