"""HTTP as attackers and broken clients speak it (threats.md R-27 to R-29; §4 rows 46 to 53), on every listener: the Unix
socket, HTTPS and plain HTTP.

The rows run against the real cad and against `http-echo`, a server on the room daemon/http alone whose limits
can be set low and whose handlers are slow, late or silent on purpose. Its binary is $CAD_HTTP_ECHO, by default
tests/http-echo in the build directory.
"""

import atexit
import contextlib
import functools
import json
import os
import pathlib
import resource
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time

import pytest

import cadtest

ECHO = pathlib.Path(os.environ.get("CAD_HTTP_ECHO") or cadtest.BUILD / "tests" / "http-echo")
HOST = b"Host: localhost\r\n"
START_S, STOP_S, ANSWER_S = 10, 15, 10


# -- speaking ----------------------------------------------------------------------------------


class Reply:
    """The first answer in a stream of bytes; closed: the other side closed after it."""

    def __init__(self, data, closed):
        self.data, self.closed = data, closed
        head, _, self.body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1]) if lines[0].startswith("HTTP/") else None
        self.headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()

    @property
    def complete(self):
        return (self.status is not None and b"\r\n\r\n" in self.data and
                len(self.body) >= int(self.headers.get("content-length", 0)))

    def __repr__(self):
        return f"{self.status} closed={self.closed} {self.data[:600]!r}"


def readable(sock, timeout):
    """As select(), which knows no descriptor over 1023, and nothing of what TLS has read already."""
    if isinstance(sock, ssl.SSLSocket) and sock.pending():
        return True
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return poll.poll(max(0, timeout) * 1000)


def read_reply(sock, timeout=ANSWER_S, wait_close=0.1, head=False):
    """One answer, and whether the connection is closed after it: at once, unless it says that it will be."""
    found, until = b"", time.monotonic() + timeout
    while True:
        reply = Reply(found, False)
        if reply.complete or (head and b"\r\n\r\n" in found):
            break
        left = until - time.monotonic()
        if left <= 0 or not readable(sock, left):
            raise AssertionError(f"no whole answer in {timeout} s: {found[:600]!r}")
        try:
            part = sock.recv(65536)
        except ConnectionResetError:
            part = b""
        if not part:
            return Reply(found, True)
        found += part
    if reply.headers.get("connection", "").lower() == "close":
        wait_close = max(wait_close, 2)
    if readable(sock, wait_close):
        try:
            more = sock.recv(65536)
        except ConnectionResetError:
            more = b""
        return Reply(found + more, not more)
    return Reply(found, False)


GONE = (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


def send(sock, data):
    """All of it, unless the other side has closed by then: its answer may be there all the same."""
    with contextlib.suppress(*GONE):
        sock.sendall(data)


@functools.lru_cache(None)
def certificates():
    """A folder with server.pem and other.pem (key and certificate in one file each, for localhost) and clients of every kind."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="http-pem-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, key, subject in (("server", "EC", "localhost"), ("other", "EC", "localhost"), ("client", "EC", "client"),
                               ("rsa", "RSA", "rsa")):
        make_certificate(folder / f"{name}.pem", key, subject)
    return folder


def make_certificate(path, key, subject, *more):
    kind = ["-newkey", "rsa:2048"] if key == "RSA" else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    cadtest.openssl("req", "-x509", *kind, "-nodes", "-days", "30", "-subj", f"/CN={subject}",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", *more,
                    "-keyout", f"{path}.key", "-out", f"{path}.crt")
    path.touch(mode=0o600)
    path.write_bytes(pathlib.Path(f"{path}.key").read_bytes() + pathlib.Path(f"{path}.crt").read_bytes())


def tls_client(root, client=None, version=None):
    """A context that trusts @root alone; @client: a file with key and certificate to show."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(root)
    if client:
        context.load_cert_chain(client)
    if version:
        context.minimum_version = context.maximum_version = version
    return context


def connect_tcp(port, context=None):
    sock = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not context:
        return sock
    try:
        return context.wrap_socket(sock, server_hostname="localhost")
    except BaseException:
        sock.close()
        raise


class Echo:
    """A running http-echo; limits as in struct http_limits."""

    get, post = b"/v1/quick", b"/v1/json"

    def __init__(self, kind="unix", nofile=None, identity=None, **limits):
        if not ECHO.exists():
            if os.environ.get("CAD_HTTP_ECHO") or os.environ.get("CAD_BUILD_DIR"):
                raise FileNotFoundError(f"not built: {ECHO}")
            pytest.skip(f"not built: {ECHO}")
        self.base = tempfile.TemporaryDirectory(prefix="http-")
        self.path = os.path.join(self.base.name, "s")
        self.log = os.path.join(self.base.name, "log")
        self.kind = kind
        self.identity = os.path.join(self.base.name, "identity.pem")
        shutil.copy(certificates() / (identity or "server.pem"), self.identity)
        args = [f"{name}={value}" for name, value in limits.items()]
        args += {"unix": [], "tcp": ["tcp=1"], "tls": [f"tls={self.identity}"], "all": ["tcp=1", f"tls={self.identity}"]}[kind]
        before = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))) if nofile else None
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([ECHO, self.path, *args], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            preexec_fn=before, env=cadtest.environment() | {"ASAN_OPTIONS": "halt_on_error=1"})
        until = time.monotonic() + START_S
        while b"serving with" not in self.output():
            assert time.monotonic() < until and self.process.poll() is None, self.output()
            time.sleep(0.01)

    def output(self):
        with open(self.log, "rb") as log:
            return log.read()

    def port(self, kind):
        return int(pathlib.Path(f"{self.path}.{kind}").read_text())

    def connect(self, kind=None, **client):
        kind = kind or self.kind
        if kind == "tcp":
            return connect_tcp(self.port("tcp"))
        if kind == "tls":
            return connect_tcp(self.port("tls"), tls_client(self.identity, **client))
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(self.path)         # without a timeout: with one, a full backlog is an error at once
        sock.settimeout(ANSWER_S)
        return sock

    def ask(self, data, kind=None, client=None, version=None, **kwargs):
        with self.connect(kind, client=client, version=version) if kind == "tls" else self.connect(kind) as sock:
            send(sock, data)
            return read_reply(sock, **kwargs)

    def fds(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def cpu_s(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, expected=0):
        """SIGTERM: it must end by itself, without a word of a sanitizer."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_S)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
        output = self.output()
        self.base.cleanup()
        assert code == expected and not cadtest.REPORTS.search(output.decode("utf-8", "replace")), output[-4000:].decode("utf-8", "replace")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            with contextlib.suppress(AssertionError):
                self.stop()
        else:
            self.stop()


class Cad:
    """The real daemon, in the same words."""

    def __init__(self, daemon, kind):
        self.daemon, self.kind = daemon, kind
        # what anybody may do there
        self.get, self.post = {"unix": (b"/v1/ca", b"/v1/certificates"), "tls": (b"/v1/ca", b"/v1/requests"),
                               "tcp": (b"/root.crt", None)}[kind]
        self.root = daemon.base / "root.pem"
        self.root.write_bytes(daemon.get("/v1/ca/root.pem").expect(200).body)

    def connect(self):
        if self.kind == "unix":
            return self.daemon.connect()
        if self.kind == "tcp":
            return connect_tcp(self.daemon.port("http"))
        return connect_tcp(self.daemon.port("https"), tls_client(self.root))

    def ask(self, data, **kwargs):
        with self.connect() as sock:
            send(sock, data)
            return read_reply(sock, **kwargs)


KINDS = ["unix", "tcp", "tls"]


@pytest.fixture(scope="module", params=[f"{name}-{kind}" for name in ("http-echo", "cad") for kind in KINDS])
def server(request):
    name, kind = request.param.rsplit("-", 1)
    if name == "cad":
        with cadtest.Daemon(tcp=True) as daemon:
            yield Cad(daemon, kind)
    else:
        with Echo(kind=kind) as echo:
            yield echo


def filled(data, server):
    """With the paths of a server; a row that posts is not for one that takes nothing."""
    if b"{post}" in data and not server.post:
        pytest.skip("nothing is posted there")
    return data.replace(b"{get}", server.get).replace(b"{post}", server.post or b"")


# -- rows 46, 48, 49, 50, 51: one request, one answer --------------------------------------------

JSON = b"Content-Type: application/json\r\n"


def get(path=b"{get}", headers=HOST, version=b"HTTP/1.1", method=b"GET"):
    return method + b" " + path + b" " + version + b"\r\n" + headers + b"\r\n"


def post(body, headers=JSON, length=True):
    framing = b"Content-Length: %d\r\n" % len(body) if length else b""
    return b"POST {post} HTTP/1.1\r\n" + HOST + headers + framing + b"\r\n" + body


# why, bytes ({get} and {post} are paths of the server), statuses, is closed, is a problem document
ROWS = [
    # row 46: where a request ends must not be a matter of opinion
    ("two lengths that differ", post(b"abc", b"Content-Length: 2\r\n"), {400}, True, True),
    ("two lengths that do not", post(b"abc", b"Content-Length: 3\r\n"), {400}, True, True),
    ("length and chunks", post(b"0\r\n\r\n", b"Transfer-Encoding: chunked\r\n"), {400}, True, True),
    ("gzip, chunked", post(b"0\r\n\r\n", b"Transfer-Encoding: gzip, chunked\r\n", False), {400}, True, True),
    ("chunked twice", post(b"0\r\n\r\n", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", False), {400}, True, True),
    ("chunks on HTTP/1.0", b"POST {post} HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}, True, True),
    ("a signed length", post(b"abc", b"Content-Length: +3\r\n", False), {400}, True, False),
    ("a negative length", post(b"abc", b"Content-Length: -1\r\n", False), {400}, True, False),
    ("a list of lengths", post(b"abc", b"Content-Length: 3, 3\r\n", False), {400}, True, False),
    ("a length over 64 bit", post(b"abc", b"Content-Length: 99999999999999999999\r\n", False), {400, 413}, True, False),
    ("bare LF everywhere", get().replace(b"\r\n", b"\n"), {400}, True, True),
    ("bare LF after the request line", b"GET {get} HTTP/1.1\n" + HOST + b"\r\n", {400}, True, True),
    ("bare LF after a field", get(headers=b"X-A: 1\n" + HOST), {400}, True, True),
    ("bare CR in a field", get(headers=b"X-A: 1\rX-B: 2\r\n" + HOST), {400}, True, True),
    ("NUL in a field", get(headers=b"X-A: 1\0X\r\n" + HOST), {400}, True, True),
    ("NUL in the last field", get(headers=HOST + b"X-A: 1\0X\r\n"), {400}, True, True),
    ("NUL in a name", get(headers=HOST + b"X\0A: 1\r\n"), {400}, True, False),
    ("NUL in the path", get(b"{get}\0x"), {400}, True, True),
    ("a folded field", get(headers=b"X-A: 1\r\n 2\r\n" + HOST), {400}, True, True),
    ("a folded Host", get(headers=b"Host: a\r\n\tb\r\n"), {400}, True, True),
    ("the first field folded", get(headers=b" X-A: 1\r\n" + HOST), {400}, True, True),
    ("a space before the colon", get(headers=b"X-A : 1\r\n" + HOST), {400}, True, True),
    ("a name that is no token", get(headers=b"X(A): 1\r\n" + HOST), {400}, True, True),
    ("a line without a colon", get(headers=HOST + b"nothing\r\n"), {400}, True, False),
    ("two Hosts", get(headers=HOST + HOST), {400}, True, True),
    ("no Host", get(headers=b""), {400}, True, True),
    ("a Host that is none", get(headers=b"Host: a/b\r\n"), {400}, True, True),
    ("two Authorizations", get(headers=HOST + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"), {400}, True, True),
    ("another Expect", post(b"", b"Expect: nothing\r\n"), {400}, True, True),
    ("65 fields", get(headers=HOST + b"X-A: 1\r\n" * 64), {400}, True, True),
    ("32 KiB of fields", get(headers=HOST + b"X-A: " + b"a" * 32768 + b"\r\n"), {431}, True, False),
    ("HTTP/0.9", b"GET {get}\r\n\r\n", {400}, True, False),
    ("HTTP/2.0", get(version=b"HTTP/2.0"), {505}, True, False),
    ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", {400, None}, True, False),
    # row 48: bodies
    ("a body over the cap, not sent", post(b"", b"Content-Length: 1073741824\r\n", False), {413}, True, True),
    ("the same with 100-continue", post(b"", b"Expect: 100-continue\r\nContent-Length: 1073741824\r\n", False), {413}, True, True),
    ("a body where there is none", b"GET {get} HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc", {413}, True, True),
    # row 49: paths and methods
    ("..", get(b"/v1/../v1/ca"), {400, 404}, False, True),
    (".. out of the root", get(b"/../../etc/passwd"), {400, 404}, False, True),
    ("%2e%2e", get(b"/v1/%2e%2e{get}"), {400, 404}, False, True),
    ("%2f", get(b"/v1%2fca"), {400, 404}, False, True),
    ("%00", get(b"{get}%00"), {400, 404}, False, True),
    ("a needless escape", get(b"/v%31/ca"), {400, 404}, False, True),
    ("//", get(b"/{get}"), {400, 404}, False, True),
    ("a path of 4 KiB", get(b"/" + b"a" * 4096), {400, 404, 414}, False, True),
    ("a path of 16 KiB", get(b"/" + b"a" * 16384), {414}, True, False),
    ("absolute form", get(b"http://localhost{get}"), {400, 404}, False, True),
    ("a space in the path", get(b"/v1/a b"), {400}, False, True),
    ("a byte over 127 in the path", get(b"/v1/\xff"), {400, 404}, False, True),
    ("OPTIONS *", get(b"*", method=b"OPTIONS"), {405}, False, True),
    ("OPTIONS of a path", get(method=b"OPTIONS"), {405}, False, True),
    ("TRACE", get(method=b"TRACE"), {405}, False, True),
    ("CONNECT", get(b"localhost:443", method=b"CONNECT"), {405}, False, True),
    ("another method", get(method=b"DELETE"), {405}, False, True),
    ("a method that nobody knows", get(method=b"FROB"), {405}, False, True),
    ("a lower-case method", get(method=b"get"), {405}, False, True),
    ("%zz in the query", get(b"{get}?a=%zz"), {400}, False, True),
    ("%00 in the query", get(b"{get}?a=%00"), {400}, False, True),
    ("the same parameter twice", get(b"{get}?limit=1&limit=2"), {400}, False, True),
    # row 50: bodies that parsers read differently
    ("a byte order mark", post(b'\xef\xbb\xbf{"csr":"x"}'), {400}, False, True),
    ("depth 100 000", post(b"[" * 30000 + b"]" * 30000), {400, 413}, None, True),
    ("1e999", post(b'{"csr":1e999}'), {400}, False, True),
    ("NaN", post(b'{"csr":NaN}'), {400}, False, True),
    ("the same name twice", post(b'{"csr":"x","csr":"y"}'), {400}, False, True),
    ("a lone surrogate", post(b'{"csr":"\\ud800"}'), {400}, False, True),
    ("NUL as an escape", post(b'{"csr":"\\u0000"}'), {400}, False, True),
    ("an unknown member", post(b'{"csr":"x","oops":1}'), {400}, False, True),
    ("no JSON at all", post(b"csr=x"), {400}, False, True),
    ("nothing", post(b""), {400}, False, True),
    ("a gzip body", post(b"\x1f\x8b\x08", JSON + b"Content-Encoding: gzip\r\n"), {415}, None, True),
    ("UTF-16", post(b"{}", b"Content-Type: application/json; charset=utf-16\r\n"), {415}, None, True),
    ("no media type", post(b"{}", b""), {415}, False, True),
    ("another media type", post(b"a=b", b"Content-Type: application/x-www-form-urlencoded\r\n"), {415}, False, True),
    # row 51: pages of others
    ("a foreign Origin", get(headers=HOST + b"Origin: https://evil.example\r\n"), {403}, False, True),
    ("Origin null", get(headers=HOST + b"Origin: null\r\n"), {403}, False, True),
]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_bad_request_gets_a_clear_refusal(server, row):
    _, data, statuses, closed, problem = row
    reply = server.ask(filled(data, server))
    assert reply.status in statuses, reply
    assert closed is None or reply.closed == closed, reply
    if problem:
        assert reply.headers["content-type"] == "application/problem+json", reply
        document = json.loads(reply.body)
        assert document["type"].startswith("urn:cad:problem:") and document["status"] == reply.status, document
        assert document["detail"] and document["title"], document
        assert document["request_id"] == reply.headers["x-request-id"], document
        assert reply.headers["cache-control"] == "no-store" and reply.headers["x-content-type-options"] == "nosniff"
    if reply.status == 405:
        assert "GET" in reply.headers["allow"], reply
    assert server.ask(get(server.get)).status == 200


GOOD = [
    ("a plain GET", get(), 200),
    ("a cookie is nothing to us", get(headers=HOST + b"Cookie: token=abc\r\n"), 200),
    ("an address as Host", get(headers=b"Host: 127.0.0.1:80\r\n"), 200),
    ("an IPv6 address as Host", get(headers=b"Host: [fd00::5]:80\r\n"), 200),
    ("a Host in upper case", get(headers=b"Host: LOCALHOST:1\r\n"), 200),
    ("an empty Host", get(headers=b"Host:\r\n"), 200),
    ("HTTP/1.0 without a Host", get(headers=b"", version=b"HTTP/1.0"), 200),
    ("an empty line before", b"\r\n" + get(), 200),
    ("white space around values", get(headers=b"Host: \t localhost\r\nX-A:1 \r\nX-B:\r\nX-C: \r\n"), 200),
    ("an empty query", get(b"{get}?"), 200),
    ("60 fields of 200 bytes", get(headers=HOST + b"".join(b"X-%d: %s\r\n" % (i, b"a" * 150) for i in range(60))), 200),
]


@pytest.mark.parametrize("row", GOOD, ids=[row[0] for row in GOOD])
def test_odd_but_good_request_is_answered(server, row):
    reply = server.ask(filled(row[1], server))
    assert reply.status == row[2], reply


def test_a_foreign_host_is_refused_where_browsers_come(server):
    """DNS rebinding: the page's own name, pointed here."""
    reply = server.ask(get(server.get, headers=b"Host: whatever.example:1\r\n"))
    assert reply.status == (200 if server.kind == "unix" else 403), reply
    if server.kind != "unix":
        assert json.loads(reply.body)["type"] == "urn:cad:problem:host-not-allowed"
    own = {"unix": 403, "tcp": 200, "tls": 403}[server.kind]
    assert server.ask(get(server.get, headers=HOST + b"Origin: http://localhost\r\n")).status == own
    own = {"unix": 403, "tcp": 403, "tls": 200}[server.kind]
    assert server.ask(get(server.get, headers=HOST + b"Origin: https://localhost\r\n")).status == own


@pytest.mark.parametrize("data", [get(headers=HOST + b"X-A: 1\r\n"), post(b'{"oops":"x"}')], ids=["GET", "POST"])
def test_request_in_writes_of_one_byte(server, data):
    with server.connect() as sock:
        for byte in filled(data, server):
            sock.sendall(bytes([byte]))
        assert read_reply(sock).status in (200, 400)


def test_head_is_get_without_the_content(server):
    head = server.ask(get(server.get, method=b"HEAD"), head=True)
    full = server.ask(get(server.get))
    assert head.status == 200 and head.body == b"" and not head.closed
    assert head.headers["content-length"] == str(len(full.body))


def test_pipelined_requests_are_answered_in_order(server):
    with server.connect() as sock:
        sock.sendall(get(server.get) * 5 + get(server.get, headers=HOST + b"Connection: close\r\n"))
        found = b""
        while part := sock.recv(65536):
            found += part
    assert found.count(b"HTTP/1.1 200 ") == 6


def test_a_smuggled_second_request_is_not_answered(server):
    inner = get(b"/v1/smuggled")
    reply = server.ask(filled(post(inner, b"Content-Length: 0\r\n"), server))
    assert reply.status == 400 and reply.closed and reply.data.count(b"HTTP/1.1 ") == 1, reply


def test_expect_is_answered_only_for_a_body_that_is_taken(server):
    with server.connect() as sock:
        sock.sendall(filled(post(b"", JSON + b"Expect: 100-continue\r\nContent-Length: 12\r\n", False), server))
        assert sock.recv(100).startswith(b"HTTP/1.1 100 ")
        sock.sendall(b'{"oops":"x"}')
        assert read_reply(sock).status == 400


# -- http-echo alone -----------------------------------------------------------------------------


@pytest.fixture(scope="module", params=KINDS)
def echo(request):
    with Echo(kind=request.param) as running:
        yield running


def test_refused_sender_reads_why_though_it_goes_on_sending(echo):
    body = b"x" * 200_000   # over the cap, within what is drained
    with echo.connect() as sock:
        sock.sendall(b"POST /v1/echo HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 4096):
            sock.sendall(body[start:start + 4096])
            time.sleep(0.001)
        assert read_reply(sock).status == 413


def test_chunked_body_is_capped_too(echo):
    head = b"POST /v1/echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    chunk = b"1000\r\n" + b"x" * 4096 + b"\r\n"
    assert echo.ask(head + chunk * 16 + b"0\r\n\r\n").status == 200
    reply = echo.ask(head + chunk * 16 + b"1\r\nx\r\n0\r\n\r\n")
    assert reply.status == 413 and reply.closed, reply
    with echo.connect() as sock:        # without end
        with contextlib.suppress(*GONE):
            for _ in range(1000):
                sock.sendall(head + chunk * 16 if _ == 0 else chunk * 16)
            raise AssertionError("64 MiB were taken")


def test_refusals_come_before_the_body(echo):
    for path, status in ((b"forbidden", 403), (b"nothing", 404)):
        reply = echo.ask(b"POST /v1/" + path + b" HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\n", timeout=2)
        assert reply.status == status and reply.closed, reply
    for expect in (b"", b"Expect: 100-continue\r\n"):       # one more than is taken: nobody is told to send it
        reply = echo.ask(b"POST /v1/echo HTTP/1.1\r\n" + HOST + expect + b"Content-Length: 65537\r\n\r\n", timeout=2)
        assert reply.status == 413 and reply.closed, reply
    reply = echo.ask(get(b"/v1/unauthenticated"))
    assert reply.status == 401 and reply.headers["www-authenticate"].startswith("Bearer"), reply


@pytest.mark.parametrize("path,status", [(b"work", 200), (b"defer", 201), (b"defer-quick", 201), (b"defer-and-send", 200)])
def test_answers_from_every_thread(echo, path, status):
    with echo.connect() as sock:
        for _ in range(200):
            sock.sendall(get(b"/v1/" + path))
            assert read_reply(sock, wait_close=0).status == status


def test_faults_do_not_show_their_inside(echo):
    reply = echo.ask(get(b"/v1/fault"))
    assert reply.status == 500 and b"secret" not in reply.body
    assert json.loads(reply.body)["request_id"].encode() in echo.output() and b"/secret/path" in echo.output()
    reply = echo.ask(get(b"/v1/full"))
    assert reply.status == 503 and reply.headers["retry-after"].isdigit()
    assert echo.ask(get(b"/v1/silent")).status == 500
    reply = echo.ask(get(b"/v1/injection"))
    assert reply.status == 500 and "x-evil" not in reply.headers


def test_query_and_parameters_reach_the_handler(echo):
    assert json.loads(echo.ask(get(b"/v1/query?name=%2A.nas+lan&limit=%C3%A9&ms")).body) == [
        ["name", "*.nas lan"], ["limit", "\u00e9"], ["ms", ""]]
    assert json.loads(echo.ask(get(b"/v1/repeats?name=a&name=b")).body) == [["name", "a"], ["name", "b"]]
    assert b"known are" in echo.ask(get(b"/v1/query?oops=1")).body
    assert json.loads(echo.ask(get(b"/v1/items/01ab.chain.pem")).body) == {"id": "01ab.chain.pem"}
    assert echo.ask(get(b"/v1/tcp-only")).status == (200 if echo.kind == "tcp" else 404)
    assert echo.ask(get(b"/v1/not-tcp")).status == (404 if echo.kind == "tcp" else 200)


def test_a_caller_that_is_not_known_on_a_second_look_gets_no_further(echo):
    reply = echo.ask(get(b"/v1/unknown"))
    assert reply.status == 401 and b"nobody knows" in reply.body and "www-authenticate" in reply.headers, reply


def test_credentials_in_the_clear_are_not_looked_at(echo):
    who = json.loads(echo.ask(get(b"/v1/whoami", headers=HOST + b"authorization: Bearer x\r\n")).body)
    assert who["authorization"] == (echo.kind != "tcp")


def test_what_is_kept_with_a_connection_stays_with_it(echo):
    for _ in range(2):
        with echo.connect() as sock:
            for asked in (1, 2, 3):
                sock.sendall(get(b"/v1/whoami"))
                assert json.loads(read_reply(sock, wait_close=0).body)["asked"] == asked


def test_the_peer_is_the_kernels_word(echo):
    if echo.kind != "unix":
        with echo.connect() as sock:
            sock.sendall(get(b"/v1/whoami"))
            who = json.loads(read_reply(sock).body)
            assert who["peer"] == "127.0.0.1:%d" % sock.getsockname()[1] and who["uid"] == 0 and not who["certificates"]
        return
    who = json.loads(echo.ask(get(b"/v1/whoami")).body)
    assert who["uid"] == os.getuid() and f"pid:{os.getpid()}" in who["peer"] and who["principal"]
    assert who["groups"] == len(os.getgroups())


# -- row 47: slow ones ---------------------------------------------------------------------------


def drip(sock, data, seconds):
    """One byte now and then: never idle, never done. Return: seconds until the other side closed."""
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        try:
            sock.sendall(data[:1])
            data = data[1:] or b"a"
        except GONE:
            return time.monotonic() - start
        if readable(sock, 0.2):
            with contextlib.suppress(*GONE):
                assert sock.recv(1000) == b""
            return time.monotonic() - start
    raise AssertionError(f"still open after {seconds} s")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("data", [
    b"GET /v1/quick HTTP/1.1\r\nHost: localhost\r\nX-A: " + b"a" * 1000,
    b"POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n" + b"a" * 1000,
], ids=["header", "body"])
def test_slow_request_is_dropped_at_the_limit(kind, data):
    with Echo(kind=kind, request_timeout_s=2) as server, server.connect() as sock:
        assert 1.5 < drip(sock, data, 10) < 5


@pytest.mark.slow
def test_slow_reader_is_dropped_at_the_limit():
    with Echo(answer_timeout_s=1) as server, server.connect() as sock:
        sock.sendall(get(b"/v1/big?kib=256"))       # more than the socket holds; may take 1 + 4 s
        time.sleep(0.5)                             # it is accepted by then
        before = server.fds()
        time.sleep(1.5)
        assert server.fds() == before
        until = time.monotonic() + 8
        while server.fds() == before:
            assert time.monotonic() < until
            time.sleep(0.1)
        found = 0
        while part := sock.recv(65536):
            found += len(part)
        assert found < 256 * 1024


@pytest.mark.slow
def test_idle_connection_is_dropped_and_work_is_not():
    with Echo(request_timeout_s=1) as server:
        with server.connect() as idle, server.connect() as working:
            working.sendall(get(b"/v1/slow?ms=3500"))
            assert readable(idle, 4) and idle.recv(1) == b""
            assert read_reply(working).status == 200


def test_a_thousand_idle_connections_delay_nobody():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 3000:
        pytest.skip(f"at most {hard} files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 3000), hard))

    def p99(server, n=400):
        times = []
        with server.connect() as sock:
            for _ in range(n):
                start = time.monotonic()
                sock.sendall(get(b"/v1/work"))
                assert read_reply(sock, wait_close=0).status == 200
                times.append(time.monotonic() - start)
        return sorted(times)[n * 99 // 100]

    with Echo(connections_max=2000, per_owner_max=2000, request_timeout_s=20) as server:
        alone = p99(server)
        with contextlib.ExitStack() as stack:
            for i in range(1000):
                sock = stack.enter_context(server.connect())
                sock.sendall((b"", b"GET /v1/work HT", b"POST /v1/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\na")[i % 3])
            crowd = p99(server)
        # twice as much is what is promised, and for the bench to measure; here a machine that is busy must not fail
        assert crowd < 2 * alone + 0.1, f"p99 {crowd * 1e3:.2f} ms beside {alone * 1e3:.2f} ms alone"
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# -- limits -------------------------------------------------------------------------------


def answered(sock):
    sock.sendall(get(b"/v1/quick"))
    return read_reply(sock, wait_close=0).status == 200


def begun(sock):
    """@sock, with a request in hand that waits for its body."""
    send(sock, b"POST /v1/echo HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert sock.recv(100).startswith(b"HTTP/1.1 100 ")
    return sock


def finished(sock):
    send(sock, b"{}")
    return read_reply(sock, wait_close=0).status == 200


def joined(server):
    """A connection that was answered. One rests a moment after its client has read the answer: up to then nobody makes room."""
    until = time.monotonic() + 5
    while True:
        with contextlib.suppress(OSError, AssertionError):
            sock = server.connect()
            if answered(sock):
                return sock
            sock.close()
        assert time.monotonic() < until


def ended(sock):
    """Whether the server has closed it: nothing is on its way from it."""
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def test_connections_of_one_user_are_bounded():
    with Echo(per_owner_max=4) as server:
        held = [begun(server.connect()) for _ in range(4)]
        reply = server.ask(b"")
        assert reply.status == 429 and reply.closed and "retry-after" in reply.headers, reply
        assert json.loads(reply.body)["status"] == 429
        held.pop().close()
        until = time.monotonic() + 5
        while server.ask(get(b"/v1/quick")).status != 200:
            assert time.monotonic() < until
        assert all(finished(sock) and answered(sock) for sock in held)
        for sock in held:
            sock.close()


def test_connections_of_one_address_are_bounded_over_all_listeners():
    with Echo(kind="all", per_address_max=4) as server:
        held = [begun(server.connect(kind)) for kind in ("tcp", "tcp", "tls", "tls")]
        reply = server.ask(b"", kind="tcp")
        assert reply.status == 429 and reply.closed and json.loads(reply.body)["status"] == 429, reply
        with pytest.raises((ssl.SSLError, OSError)):
            server.connect("tls")
        with server.connect("unix") as unix:        # nobody's address
            assert answered(unix)
        held.pop().close()
        until = time.monotonic() + 5
        while server.ask(get(b"/v1/quick"), kind="tcp").status != 200:
            assert time.monotonic() < until
        for sock in held:
            sock.close()


@pytest.mark.parametrize("kind", KINDS)
def test_at_the_limit_the_longest_resting_connection_makes_room(kind):
    """A browser holds on to what it has opened: its next connection must not be the one that is refused."""
    with Echo(kind=kind, per_address_max=4, per_owner_max=4) as server, contextlib.ExitStack() as stack:
        first, second, third, busy = (stack.enter_context(server.connect()) for _ in range(4))
        for sock in (first, second, third):
            assert answered(sock)
            time.sleep(0.05)        # they rest since different milliseconds
        assert answered(first)      # now the second rests for longest
        begun(busy)
        newcomer = stack.enter_context(joined(server))
        assert ended(second) and finished(busy) and answered(first) and answered(third) and answered(newcomer)


@pytest.mark.parametrize("kind", KINDS)
def test_few_descriptors_make_no_busy_loop(kind):
    with Echo(kind=kind, nofile=64, per_address_max=100, request_timeout_s=3, handshake_timeout_s=3) as server:
        held = []
        for _ in range(60):     # waits in the backlog where it is not accepted
            held.append(server.connect() if kind == "unix" else connect_tcp(server.port(kind)))
        time.sleep(0.3)
        before = server.cpu_s()
        time.sleep(2)
        assert server.cpu_s() - before < 0.1
        assert server.fds() < 64
        for sock in held:
            sock.close()
        until = time.monotonic() + 10
        while True:
            with contextlib.suppress(AssertionError):
                if server.ask(get(b"/v1/work"), timeout=2).status == 200:
                    break
            assert time.monotonic() < until


def test_full_queue_is_told_at_once():
    with Echo(workers=1, queue_max=1) as server:
        held = [server.connect() for _ in range(6)]
        for sock in held:
            sock.sendall(get(b"/v1/slow?ms=700"))
        replies = [read_reply(sock) for sock in held]
        refused = [reply for reply in replies if reply.status == 503]
        # one at work and one waiting; fewer, if all come before the worker has taken the first
        assert {reply.status for reply in replies} == {200, 503} and 4 <= len(refused) <= 5, replies
        assert all("retry-after" in reply.headers and not reply.closed for reply in refused)
        for sock in held:
            sock.close()


# -- row 53: those who go away --------------------------------------------------------------------


def reset(sock):
    """Close with RST where there is such a thing."""
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("kind", KINDS)
def test_clients_that_go_away_leave_nothing_behind(kind):
    requests = [b"", b"GET /v1/qu", get(b"/v1/quick"), get(b"/v1/work"), get(b"/v1/slow?ms=50"), get(b"/v1/defer"),
                get(b"/v1/big?kib=2048"), b"POST /v1/echo HTTP/1.1\r\n" + HOST + b"Content-Length: 60000\r\n\r\nabc",
                b"POST /v1/defer-post HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc",
                b"POST /v1/echo HTTP/1.1\r\n" + HOST + b"Content-Length: 90000\r\n\r\nabc"]
    with Echo(kind=kind, per_address_max=256, request_timeout_s=2, handshake_timeout_s=2) as server:
        server.ask(get(b"/v1/work"))
        before = server.fds()
        for i in range(300):
            sock = server.connect()
            send(sock, requests[i % len(requests)])
            if i % 3 == 0:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_WR)
            if i % 7 == 0:
                time.sleep(0.005)
            reset(sock)
        until = time.monotonic() + 15
        while server.fds() > before:
            assert time.monotonic() < until, f"{server.fds()} descriptors, {before} before"
            time.sleep(0.1)
        assert server.ask(get(b"/v1/work")).status == 200


def test_half_closed_client_gets_its_answer(echo):
    if echo.kind == "tls":
        pytest.skip("a half-closed TLS connection is a closed one")
    with echo.connect() as sock:
        sock.sendall(get(b"/v1/slow?ms=100"))
        sock.shutdown(socket.SHUT_WR)
        assert read_reply(sock).status == 200


# -- the end -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_stopping_finishes_the_work_in_hand_and_refuses_more(kind):
    server = Echo(kind=kind, workers=4)
    held = [server.connect() for _ in range(4)]
    idle = server.connect()
    idle.sendall(get(b"/v1/quick"))
    assert read_reply(idle).status == 200
    for sock in held:
        sock.sendall(get(b"/v1/slow?ms=1000"))
    time.sleep(0.3)
    server.signal(signal.SIGTERM)
    time.sleep(0.2)
    idle.sendall(get(b"/v1/work"))
    late = read_reply(idle)
    assert late.status == 503 and late.closed and "retry-after" in late.headers, late
    replies = [read_reply(sock) for sock in held]
    assert all(reply.status == 200 for reply in replies), replies
    start = time.monotonic()
    server.stop()
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("kind", KINDS)
def test_stopping_under_load_answers_or_closes(kind):
    """Whatever was begun is answered whole; the end comes within the time, and nothing hangs."""
    for _ in range(3):
        server = Echo(kind=kind, per_address_max=64)
        broken = []

        def caller(path, server=server, broken=broken):
            try:
                with server.connect() as sock:
                    while True:
                        sock.sendall(get(path))
                        reply = read_reply(sock, wait_close=0)
                        if not reply.complete and reply.data:
                            broken.append(reply)
                        if reply.status != 200 and reply.status != 201:
                            return
            except OSError:
                return

        threads = [threading.Thread(target=caller, args=(path,))
                   for path in (b"/v1/work", b"/v1/defer", b"/v1/defer-quick", b"/v1/quick") * 6]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        server.stop()
        for thread in threads:
            thread.join(ANSWER_S)
            assert not thread.is_alive()
        assert not broken, broken[:3]


@pytest.mark.slow
def test_a_stop_while_others_connect_is_no_crash():
    """libmicrohttpd's own way to accept no more races with its threads: one stop in sixty ended in abort()."""
    for _ in range(200):
        with Echo(nofile=64) as server:
            stop = False

            def caller(server=server):
                while not stop:
                    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
                        sock.settimeout(1)
                        sock.connect(server.path)
                        sock.sendall(get(b"/v1/quick"))
                        sock.recv(100)

            threads = [threading.Thread(target=caller) for _ in range(6)]
            for thread in threads:
                thread.start()
            time.sleep(0.05)
            try:
                server.signal(signal.SIGTERM)
                assert server.process.wait(STOP_S) == 0, server.output()
            finally:
                stop = True
                for thread in threads:
                    thread.join()


def test_work_that_does_not_end_bounds_the_stop():
    server = Echo(stop_timeout_s=1)
    with server.connect() as sock:
        sock.sendall(get(b"/v1/slow?ms=20000"))
        time.sleep(0.3)
        start = time.monotonic()
        server.stop(expected=3)
        assert time.monotonic() - start < 5


def test_descriptors_are_few_and_steady(echo):
    before = echo.fds()
    for _ in range(200):
        assert echo.ask(get(b"/v1/work"), wait_close=0).status == 200
    time.sleep(0.5)
    assert echo.fds() <= before + 2
