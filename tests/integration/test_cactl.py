"""cactl, as people and scripts use it.

Its own behaviour (exit codes, tables, errors, what it does not believe) is tested against a small CA in
Python that can be told to misbehave; the whole way against the real cad.
"""

import contextlib
import datetime
import hashlib
import http.server
import ipaddress
import json
import os
import pathlib
import pty
import re
import resource
import select
import signal
import socket
import socketserver
import ssl
import stat
import subprocess
import threading
import time
import unicodedata
import urllib.parse

import cadtest
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CACTL = cadtest.BUILD / "client" / "cactl"
SOURCE = pathlib.Path(__file__).resolve().parents[2]
LIMIT_S = 60
DONE, REFUSED, USAGE, UNREACHABLE = 0, 1, 2, 3
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(autouse=True, scope="module")
def built():
    if not CACTL.exists():
        if os.environ.get("CAD_BUILD_DIR"):
            raise FileNotFoundError(CACTL)
        pytest.skip(f"not built: {CACTL}")


# ---- a CA that can be told to misbehave ----------------------------------------------------------

def now():
    return datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)


def pem(*certs):
    return "".join(c.public_bytes(serialization.Encoding.PEM).decode() for c in certs)


def fingerprint(cert):
    return cert.fingerprint(hashes.SHA256()).hex()


def fingerprint_words(digest):
    """The first 132 bits of it, 11 a word, computed here from the list alone."""
    words = (pathlib.Path(__file__).parents[2] / "lib/pki/words/english.txt").read_text().split()
    bits = f"{int(digest, 16):0256b}"
    return " ".join(words[int(bits[at:at + 11], 2)] for at in range(0, 132, 11))


def named(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Ca:
    """Root and intermediate in Python, and what they sign."""

    def __init__(self, name="Test CA"):
        self.root_key, self.key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self.root = self.sign_ca(f"{name} Root", self.root_key, None, 1)
        self.intermediate = self.sign_ca(f"{name} 1", self.key, self.root, 0)

    def builder(self, subject, public, issuer_name, days):
        return (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer_name)
                .public_key(public).serial_number(int.from_bytes(b"\x01" + os.urandom(18), "big"))
                .not_valid_before((now() - datetime.timedelta(minutes=5)).replace(tzinfo=None))
                .not_valid_after((now() + datetime.timedelta(days=days)).replace(tzinfo=None))
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False))

    def sign_ca(self, name, key, issuer, path):
        usage = dict.fromkeys(("digital_signature", "content_commitment", "key_encipherment",
                               "data_encipherment", "key_agreement", "encipher_only",
                               "decipher_only"), False)
        builder = self.builder(named(name), key.public_key(),
                               issuer.subject if issuer else named(name), 3650)
        builder = (builder.add_extension(x509.BasicConstraints(True, path), True)
                   .add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), True))
        if issuer:
            builder = builder.add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.root_key.public_key()),
                False)
        return builder.sign(self.root_key, hashes.SHA256())

    def sign(self, public, subject, san, days=90):
        usage = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment",
                               "key_agreement", "key_cert_sign", "crl_sign", "encipher_only",
                               "decipher_only"), False)
        return (self.builder(subject, public, self.intermediate.subject, days)
                .add_extension(x509.BasicConstraints(False, None), True)
                .add_extension(x509.KeyUsage(digital_signature=True, **usage), True)
                .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
                .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(
                    self.key.public_key()), False)
                .add_extension(x509.SubjectAlternativeName(list(san)), not subject.rdns)
                .sign(self.key, hashes.SHA256()))


def name_text(name):
    return str(name.value)


def row(serial="01" * 19, **more):
    """A certificate as a list shows it."""
    return {"serial": serial, "names": ["nas.lan"], "profile": "server", "status": "valid",
            "not_before": "2026-01-01T00:00:00Z",
            "not_after": (now() + datetime.timedelta(days=90)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            **more}


class Reply:
    def __init__(self, status, body, kind="application/json", **headers):
        if not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        self.body = body.encode() if isinstance(body, str) else body
        self.status, self.kind, self.headers = status, kind, headers


def problem(status, slug, title, **more):
    headers = more.pop("headers", {})
    return Reply(status, {"type": f"urn:cad:problem:{slug}", "title": title, "status": status,
                          **more}, "application/problem+json", **headers)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fake = self.server.fake
        path = urllib.parse.urlsplit(self.path)
        fake.requests.append((self.command, self.path, dict(self.headers), body))
        chosen = fake.replies.get((self.command, path.path))
        if callable(chosen):
            chosen = chosen(self, body)
        elif isinstance(chosen, list):
            chosen = chosen.pop(0) if chosen else None
        if chosen == "hang up":
            self.close_connection = True
            return
        reply = chosen or fake.standard(self.command, path.path, body)
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.kind)
        self.send_header("Content-Length", str(len(reply.body)))
        for name, value in reply.headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(reply.body)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass

    def address_string(self):
        return "socket"


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


class TcpServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


class Fake:
    """A cad of a kind, on a Unix socket; @replies overrides what it says, by method and path."""

    def __init__(self, folder):
        self.ca, self.replies, self.requests = Ca(), {}, []
        self.socket = folder / "cad.sock"
        self.certificates = {}
        self.serve(UnixServer(str(self.socket), Handler))

    def serve(self, server):
        server.fake = self
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server

    def serve_https(self, names=("localhost",)):
        """Return: its port."""
        key = ec.generate_private_key(ec.SECP256R1())
        cert = self.ca.sign(key.public_key(), named(names[0]), [x509.DNSName(n) for n in names])
        folder = self.socket.parent
        (folder / "tls.pem").write_text(pem(cert, self.ca.intermediate))
        (folder / "tls-key.pem").write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption()))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "tls.pem", folder / "tls-key.pem")
        server = TcpServer(("127.0.0.1", 0), Handler)
        server.socket = context.wrap_socket(server.socket, server_side=True,
                                            do_handshake_on_connect=False)
        return self.serve(server).server_address[1]

    def posts(self, path="/v1/certificates"):
        return [json.loads(body) for method, target, _, body in self.requests
                if method == "POST" and target == path]

    def ca_object(self):
        def describe(cert):
            return {"subject": cert.subject.rfc4514_string(), "fingerprint": fingerprint(cert),
                    "not_before": cert.not_valid_before.isoformat() + "Z",
                    "not_after": cert.not_valid_after.isoformat() + "Z"}
        return {"name": "Home CA", "fingerprint": fingerprint(self.ca.root),
                "issuers": [{"id": "int-1", "state": "active", **describe(self.ca.intermediate)}],
                "root": describe(self.ca.root),
                "constraints": {"permitted": [{"type": "dns", "value": "lan"}], "excluded": [],
                                "text": "lan and what is below it"},
                "urls": {"crl": "http://ca.lan/crl/1.crl"}, "public_url": "http://ca.lan"}

    def issued(self, cert, profile):
        san = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        value = row(f"{cert.serial_number:038x}", names=[name_text(n) for n in san],
                    profile=profile, fingerprint=fingerprint(cert), certificate=pem(cert),
                    chain=pem(self.ca.intermediate))
        self.certificates[value["serial"]] = value
        return value

    def issue(self, body):
        wish = json.loads(body)
        csr = x509.load_pem_x509_csr(wish["csr"].encode())
        san = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        cert = self.ca.sign(csr.public_key(), csr.subject, san)
        return Reply(201, self.issued(cert, wish.get("profile", "server")))

    def standard(self, method, path, body):
        if path == "/v1/certificates":
            return self.issue(body) if method == "POST" else Reply(
                200, {"certificates": list(self.certificates.values()), "next": None})
        if path.startswith("/v1/certificates/"):
            serial, _, action = path.removeprefix("/v1/certificates/").partition("/")
            if serial not in self.certificates:
                return problem(404, "not-found", "There is no such thing here",
                               detail=f"no certificate has the serial {serial}")
            if action == "revoke":
                self.certificates[serial]["status"] = "revoked"
            return Reply(200, self.certificates[serial])
        return {
            "/v1/health": Reply(200, {"status": "ok", "version": "1", "checks": [
                {"name": "store", "status": "ok", "detail": ""}]}),
            "/v1/ca": Reply(200, self.ca_object()),
            "/v1/ca/root.pem": Reply(200, pem(self.ca.root), "application/x-pem-file"),
            "/v1/ca/bundle.pem": Reply(200, pem(self.ca.root, self.ca.intermediate),
                                       "application/x-pem-file"),
            "/v1/profiles": Reply(200, {"profiles": [
                {"name": "server", "description": "a server", "name_types": ["dns", "ip"],
                 "key_types": ["ECDSA P-256", "RSA"], "rsa_bits_min": 2048, "rsa_bits_max": 4096,
                 "key_usage": ["digitalSignature"], "extended_key_usage": ["serverAuth"],
                 "validity_default": "90d", "validity_max": "397d", "enrolment": "token",
                 "wildcards": True}]}),
        }.get(path) or problem(404, "not-found", "There is no such thing here")


@pytest.fixture
def fake(tmp_path_factory):
    # a folder of its own: tmp_path is where cactl writes
    return Fake(pathlib.Path(tmp_path_factory.mktemp("ca")))


def environment(**more):
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent",
            **{name: os.environ.get(name, options)
               for name, options in cadtest.SANITIZERS.items()}, **more}


def cactl(*args, at=None, cwd=None, env=None, **more):
    """Run it; @at: a Fake, a Daemon or a path whose socket it shall use."""
    where = ["--socket", str(getattr(at, "socket", at))] if at else []
    more.setdefault("stdin", None if "input" in more else subprocess.DEVNULL)
    if more["stdin"] is None:
        del more["stdin"]
    if not {"stdout", "stderr"} & set(more):
        more["capture_output"] = True
    done = subprocess.run([CACTL, *where, *map(str, args)], cwd=cwd,
                          env=environment(**(env or {})), text=True, timeout=LIMIT_S, **more)
    report = cadtest.REPORTS.search(done.stderr or "")
    assert not report, done.stderr
    return done


def expect(code, *args, **more):
    done = cactl(*args, **more)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def one_line(text):
    assert text.count("\n") == 1 and text.endswith("\n"), text
    assert text.startswith("cactl: "), text
    return text


# ---- where is the CA? ----------------------------------------------------------------------------

def test_without_a_ca_it_says_where_it_looked_and_how_to_start_one(tmp_path):
    done = expect(UNREACHABLE, "status", env={"HOME": str(tmp_path)})
    assert done.stdout == ""
    for word in ("/run/cad/cad.sock", f"{tmp_path}/.local/state/cad/cad.sock", "--socket",
                 "systemctl start cad"):
        assert word in one_line(done.stderr)


def test_the_socket_is_found_in_the_users_own_state_directory(fake, tmp_path):
    (tmp_path / "cad").mkdir()
    (tmp_path / "cad" / "cad.sock").symlink_to(fake.socket)
    expect(DONE, "status", env={"XDG_STATE_HOME": str(tmp_path)})


def test_the_environment_names_a_socket_and_the_option_wins(fake, tmp_path):
    expect(DONE, "ca", "show", env={"CAD_SOCKET": str(fake.socket)})
    expect(DONE, "ca", "show", at=fake, env={"CAD_SOCKET": str(tmp_path / "none")})
    expect(UNREACHABLE, "ca", "show", at=tmp_path / "none", env={"CAD_SOCKET": str(fake.socket)})


def test_a_socket_that_is_none_says_what_it_is(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("")
    stale = tmp_path / "stale"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(stale))
    rows = [(tmp_path / "none", "is not there"), (plain, "is not a socket"),
            (stale, "nobody listens"), (tmp_path / ("x" * 108), "107 bytes"),
            (tmp_path, "is not a socket")]
    for path, why in rows:
        assert why in one_line(expect(UNREACHABLE, "status", at=path).stderr)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_without_permission_it_says_who_you_are_and_whose_the_socket_is(fake):
    for folder in fake.socket.parents:
        if folder.stat().st_uid == os.geteuid() and folder != pathlib.Path("/tmp"):
            with contextlib.suppress(OSError):
                folder.chmod(folder.stat().st_mode | 0o011)
    fake.socket.chmod(0o600)
    done = expect(UNREACHABLE, "status", at=fake, user=65534, group=65534, extra_groups=[])
    assert "nobody (uid 65534) may not open" in one_line(done.stderr)
    assert "sudo" in done.stderr


def serve_once(folder, answer):
    """A socket whose every caller gets @answer and is hung up on. Return: its path."""
    path = folder / "odd.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(8)

    def run():
        while True:
            peer, _ = listener.accept()
            with peer:
                readable, _, _ = select.select([peer], [], [], 5)
                with contextlib.suppress(OSError):
                    if readable and peer.recv(65536) and answer:
                        peer.sendall(answer)
    threading.Thread(target=run, daemon=True).start()
    return path


@pytest.mark.parametrize("answer, code, why", [
    (b"SSH-2.0-OpenSSH_9.2\r\n", UNREACHABLE, "does not speak HTTP"),
    (b"", UNREACHABLE, "closed without an answer"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", UNREACHABLE, "broke within the answer"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", REFUSED, "not JSON"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", REFUSED, "not JSON"),
    (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", REFUSED, "not older"),
    (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", REFUSED, "500"),
    (b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", REFUSED,
     "301"),
])
def test_what_is_no_cad_is_said_to_be_none(tmp_path, answer, code, why):
    done = expect(code, "profile", "list", at=serve_once(tmp_path, answer))
    assert why in one_line(done.stderr) and done.stdout == ""


def test_an_answer_without_end_is_cut_off(fake):
    fake.replies["GET", "/v1/ca"] = Reply(200, b'{"a": "' + b"x" * (17 << 20) + b'"}')
    assert "16 MiB" in one_line(expect(REFUSED, "ca", "show", at=fake).stderr)


@pytest.mark.parametrize("body", ['{"a": 1, "a": 2}', "[" * 100000, '{"name": "\\u0000"}',
                                  '{"name": "\\ud800"}', "", "null"])
def test_json_that_is_none_is_refused(fake, body):
    fake.replies["GET", "/v1/ca"] = Reply(200, body)
    assert "not JSON" in one_line(expect(REFUSED, "ca", "show", at=fake).stderr)


def test_json_of_other_types_does_no_harm(fake):
    fake.replies["GET", "/v1/ca"] = Reply(200, {"name": 5, "issuers": "x", "root": [],
                                                "constraints": None, "urls": 1})
    expect(DONE, "ca", "show", at=fake)
    fake.replies["GET", "/v1/certificates"] = Reply(200, {"certificates": [1, None, {}, {
        "names": "x", "not_after": "soon"}], "next": 7})
    expect(DONE, "cert", "list", at=fake)
    fake.replies["GET", "/v1/health"] = Reply(200, {"status": "ok", "checks": {"a": 1}})
    expect(DONE, "status", at=fake)


def test_a_broken_connection_is_tried_once_more_with_the_same_key(fake, tmp_path):
    fake.replies["POST", "/v1/certificates"] = ["hang up"]
    expect(DONE, "issue", "nas.lan", at=fake, cwd=tmp_path)
    keys = [headers["Idempotency-Key"] for method, _, headers, _ in fake.requests
            if method == "POST"]
    assert len(keys) == 2 and keys[0] == keys[1] and len(keys[0]) >= 32
    fake.replies["POST", "/v1/certificates"] = lambda *_: "hang up"
    expect(UNREACHABLE, "issue", "b.lan", at=fake, cwd=tmp_path)


# ---- problems ------------------------------------------------------------------------------------

def test_a_problem_is_one_line_with_detail_field_and_request(fake, tmp_path):
    fake.replies["POST", "/v1/certificates"] = problem(
        400, "name-not-permitted", "A name is outside what this CA may issue for",
        detail="'bank.com' is outside: cad init --permit-dns", field="csr.san[0]",
        request_id="0a1b")
    done = expect(REFUSED, "issue", "bank.com", at=fake, cwd=tmp_path)
    for word in ("outside what this CA", "cad init --permit-dns", "field csr.san[0]",
                 "request 0a1b"):
        assert word in one_line(done.stderr)
    assert os.listdir(tmp_path) == []


def test_a_refused_caller_learns_who_it_is_and_what_to_set(fake):
    fake.replies["GET", "/v1/certificates"] = problem(403, "forbidden", "The caller may not do this")
    line = one_line(expect(REFUSED, "cert", "list", at=fake).stderr)
    assert f"uid {os.geteuid()}" in line and "[Access]" in line


def test_a_busy_ca_says_when_to_try_again(fake):
    fake.replies["GET", "/v1/ca"] = problem(503, "overloaded", "The service is overloaded",
                                            headers={"Retry_After": "3"})
    assert "try again in 3 s" in one_line(expect(REFUSED, "ca", "show", at=fake).stderr)


def test_controls_in_answers_never_reach_the_terminal(fake):
    evil = "a\x1b[2J\x07\u009b31m\u202eb\nc\x7f"
    fake.replies["GET", "/v1/ca"] = Reply(200, {**fake.ca_object(), "name": evil})
    fake.replies["GET", "/v1/certificates"] = Reply(200, {"certificates": [
        row(names=[evil], profile=evil, status=evil, serial=evil)]})
    fake.replies["GET", "/v1/profiles"] = problem(400, evil, evil, detail=evil, field=evil)
    shown = ""
    for words in (["ca", "show"], ["cert", "list"], ["profile", "list"], ["status"],
                  ["ca", "show", "--json"], ["cert", "list", "--json"]):
        done = cactl(*words, at=fake)
        shown += done.stdout + done.stderr
    bad = [c for c in shown if unicodedata.category(c) in ("Cc", "Cf") and c != "\n"]
    assert bad == []
    assert json.loads(cactl("ca", "show", "--json", at=fake).stdout)["name"] == evil
    assert len(cactl("cert", "list", at=fake).stdout.splitlines()) == 2


# ---- the command line ----------------------------------------------------------------------------

@pytest.mark.parametrize("words, why", [
    ([], "--help"), (["isue"], "there is no 'cactl isue'"), (["cert"], "cactl cert --help"),
    (["cert", "lst"], "there is no 'cactl cert lst'"), (["issue"], "missing"),
    (["status", "now"], "too many"), (["status", "--colour"], "no option --colour"),
    (["--out", "x", "issue"], "behind it"), (["cert", "list", "--limit"], "wants N"),
    (["status", "--json=yes"], "takes no value"), (["status", "-x"], "no option -x"),
    (["issue", "a.lan", "--days", "3", "--days", "4"], "twice"),
    (["issue", "a.lan", "--days", "3", "--validity", "3d"], "give one"),
    (["issue", "a.lan", "--days", "-3"], "whole number"), (["issue", "a.lan", "--days", "0"], "whole"),
    (["issue", "a.lan", "--validity", "soon"], "90d"), (["issue", "a.lan", "--key", "dsa"], "--key"),
    (["issue", "a.lan", "--client", "--peer"], "give one"), (["issue", "a b"], "a b"),
    (["issue", "a.lan", "--name", "../x"], "--name"), (["issue", "a.lan", "--name", ""], "--name"),
    (["issue", "root"], "root.pem"), (["issue", "a.lan", "--p12-ask"], "terminal"),
    (["cert", "list", "--expires-before", "soon"], "2027-01-31"),
    (["cert", "revoke", "01" * 19, "--reason", "x", "--socket", "a", "--url", "https://b"], "give one"),
    (["--root", "x", "status"], "--url"), (["--url", "ftp://x", "status"], "https://"),
    (["--url", "https://x/y", "status"], "https://"),
    (["--url", "https://u:p@x", "status"], "https://"),
    (["--url", "https://x", "--fingerprint", "abc", "status"], "64 hex"),
    (["cert", "show", "nothing-like-that"], "HOST:PORT"),
])
def test_wrong_usage_ends_with_2_and_one_line(words, why, tmp_path):
    done = expect(USAGE, *words, cwd=tmp_path)
    assert why in one_line(done.stderr) and done.stdout == "" and not done.stderr.endswith(" \n")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("words", [
    "acme account"])
def test_what_comes_later_is_said_not_to_be_here(words):
    assert "not in this version" in one_line(expect(USAGE, *words.split()).stderr)


def commands():
    lines = cactl("--help").stdout.split("Options:")[0].splitlines()[1:]
    return [re.match(r"  ((?:\S+ )*?\S+)(?: \[?[A-Z]\S*)*  ", line).group(1) for line in lines
            if line.strip()]


def options(text):
    return set(re.findall(r"^ .{4}--([a-z0-9-]+)", text, re.MULTILINE))


def test_every_command_has_help_a_place_in_the_man_page_and_completion():
    man = (SOURCE / "docs/man/cactl.1.scd").read_text()
    completion = (SOURCE / "client/completion/cactl.bash").read_text()
    assert len(commands()) >= 10
    for command in commands():
        text = expect(DONE, *command.split(), "--help").stdout
        assert f"*{command}*" in man, command
        own = options(text.split("Options of every command")[0])
        assert own <= set(re.findall(r"\*--([a-z0-9-]+)", man)), (command, own)
        for word in command.split() + [f"--{name}" for name in own]:
            assert re.search(rf"(?<![\w-]){word}(?![\w-])", completion), (command, word)
    for option in options(cactl("--help").stdout):
        assert f"*--{option}" in man and f"--{option}" in completion


def complete(*words, where=()):
    script = f"""
        source {SOURCE}/client/completion/cactl.bash
        COMP_WORDS=({' '.join(map(str, (CACTL, *where, *words)))} "")
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _cactl; printf '%s\\n' "${{COMPREPLY[@]}}" """
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=LIMIT_S,
                          cwd="/", env=environment()).stdout.split()


def test_completion_knows_commands_profiles_and_serials(fake):
    where = ("--socket", str(fake.socket))
    assert {"status", "issue", "cert"} <= set(complete())
    assert complete("profile") == ["list", "show"]
    assert complete("profile", "show", where=where) == ["server"]
    fake.certificates["ab" * 19] = row("ab" * 19)
    assert "ab" * 19 in complete("cert", "revoke", where=where)
    assert set(complete("issue", "--profile", where=("--socket", "/nonexistent"))) >= {"server", "user"}


def test_help_and_version_go_to_standard_output():
    assert re.fullmatch(r"cactl \d+\.\d+\.\d+\n", expect(DONE, "--version").stdout)
    assert expect(DONE, "help").stdout == expect(DONE, "--help").stdout
    assert expect(DONE, "help", "issue").stdout == expect(DONE, "issue", "--help").stdout


# ---- standard output -----------------------------------------------------------------------------

def test_a_full_disk_behind_standard_output_is_an_error(fake):
    for words in (["--help"], ["ca", "show"], ["ca", "show", "--json"], ["cert", "list", "--json"]):
        with open("/dev/full", "w") as full:
            done = expect(REFUSED, *words, at=fake, stdout=full, stderr=subprocess.PIPE)
        assert "No space left" in one_line(done.stderr)


def test_a_broken_pipe_is_an_error_and_ends_a_long_list(fake):
    page = {"certificates": [row(f"{i:038x}") for i in range(500)], "next": None}
    count = 0

    def pages(*_):
        nonlocal count
        count += 1
        return Reply(200, {**page, "next": str(count)})
    fake.replies["GET", "/v1/certificates"] = pages
    for words in ([], ["--json"]):
        read, write = os.pipe()
        os.close(read)
        done = expect(REFUSED, "cert", "list", "--all", *words, at=fake, stdout=write,
                      stderr=subprocess.PIPE)
        os.close(write)
        assert "Broken pipe" in one_line(done.stderr) and count < 10


def test_closed_descriptors_are_no_files_to_write_to(fake, tmp_path):
    done = subprocess.run(["sh", "-c", '"$0" --socket "$1" issue nas.lan <&- >&- 2>&-', CACTL,
                           fake.socket], cwd=tmp_path, env=environment(), timeout=LIMIT_S)
    assert done.returncode == REFUSED
    assert (tmp_path / "nas.lan-key.pem").read_text().count("-----") == 4


def test_json_is_the_object_of_the_api(fake):
    for words, path in ((["ca", "show"], "/v1/ca"), (["profile", "list"], "/v1/profiles")):
        shown = json.loads(expect(DONE, *words, "--json", at=fake).stdout)
        assert shown == json.loads(fake.standard("GET", path, b"").body)
    assert json.loads(expect(DONE, "profile", "show", "server", "--json", at=fake).stdout)[
        "name"] == "server"


def display_width(text):
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
               for c in text)


def test_columns_are_aligned_by_what_the_terminal_shows(fake):
    names = ["nas.lan", "電子計算機.lan", "büro.lan", "e\u0301.lan"]
    fake.replies["GET", "/v1/certificates"] = Reply(200, {"certificates": [
        row(f"{i:038x}", names=[name]) for i, name in enumerate(names)]})
    lines = expect(DONE, "cert", "list", at=fake).stdout.splitlines()
    assert len(lines) == 5
    starts = {display_width(line[:line.rindex("server")]) for line in lines[1:]}
    assert starts == {display_width(lines[0][:lines[0].index("PROFILE")])}


def on_terminal(*args, at, columns=80, answer=None, **env):
    """Run it with a terminal as standard input, output and error. Return: exit code, what was shown."""
    pid, fd = pty.fork()
    if pid == 0:
        import fcntl
        import struct
        import termios
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        os.execve(CACTL, [str(CACTL), "--socket", str(at.socket), *map(str, args)],
                  environment(TERM="xterm", **env))
    shown, limit = b"", time.monotonic() + LIMIT_S
    try:
        while time.monotonic() < limit:
            if not select.select([fd], [], [], 1)[0]:
                continue
            try:
                part = os.read(fd, 65536)
            except OSError:
                break
            if not part:
                break
            shown += part
            if answer and answer[0] in shown:
                os.write(fd, answer[1])
                answer = None
    finally:
        os.close(fd)
        with contextlib.suppress(ProcessLookupError):
            if time.monotonic() >= limit:
                os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode().replace("\r\n", "\n")


def test_colour_is_for_terminals_that_want_it(fake):
    fake.certificates["01" * 19] = row()
    assert "\x1b" not in expect(DONE, "cert", "list", at=fake).stdout
    assert "\x1b[32mvalid" in on_terminal("cert", "list", at=fake)[1]
    assert "\x1b" not in on_terminal("cert", "list", at=fake, NO_COLOR="1")[1]
    assert "\x1b" in on_terminal("cert", "list", at=fake, NO_COLOR="")[1]


def test_a_narrow_terminal_cuts_names_and_a_pipe_does_not(fake):
    name = "a-rather-long-name-" * 5 + ".lan"
    fake.certificates["01" * 19] = row(names=[name])
    code, shown = on_terminal("cert", "list", at=fake, columns=90)
    assert code == DONE
    assert all(display_width(ESCAPES.sub("", line)) <= 90 for line in shown.splitlines())
    assert "…" in shown and name in expect(DONE, "cert", "list", at=fake).stdout


# ---- status --------------------------------------------------------------------------------------

def test_status_shows_what_matters(fake):
    fake.certificates["02" * 19] = row("02" * 19, names=["late.lan"])
    shown = expect(DONE, "status", at=fake).stdout
    for word in ("Home CA", "ok", "int-1, active", "in 10 years", "lan and what is below it",
                 "late.lan", "in 3 months"):
        assert word in shown, shown
    asked = [target for _, target, _, _ in fake.requests if "expires_before" in target]
    assert asked and all("status=valid" in target for target in asked)


def test_status_says_first_what_the_daemon_warns_of(fake):
    warning = "both processes have one user: this is no boundary"
    fake.replies["GET", "/v1/health"] = Reply(200, {"status": "ok", "version": "1", "checks": [
        {"name": "separation", "status": "warning", "detail": warning}]})
    lines = expect(DONE, "status", at=fake).stdout.splitlines()
    assert any("warning" in line and warning in line for line in lines[:4])


def test_status_of_a_ca_that_is_not_well_is_shown_and_ends_with_1(fake):
    fake.replies["GET", "/v1/health"] = Reply(503, {"status": "failing", "version": "1", "checks": [
        {"name": "signer", "status": "failing", "detail": "the signer does not answer"}]})
    done = expect(REFUSED, "status", at=fake)
    assert "the signer does not answer" in done.stdout and "not well" in one_line(done.stderr)
    assert expect(REFUSED, "--quiet", "status", at=fake).stdout == ""


def test_status_without_the_right_to_list_shows_the_rest(fake):
    fake.replies["GET", "/v1/certificates"] = problem(403, "forbidden", "The caller may not do this")
    assert "only a reader" in expect(DONE, "status", at=fake).stdout
    assert json.loads(expect(DONE, "status", "--json", at=fake).stdout)["expires_next"] is None


# ---- issue ---------------------------------------------------------------------------------------

def openssl(*args, code=0, **more):
    done = subprocess.run(["openssl", *map(str, args)], capture_output=True, text=True,
                          timeout=LIMIT_S, **more)
    assert done.returncode == code, done.stderr
    return done.stdout


def check_pair(folder, base):
    """openssl accepts the chain, key and certificate belong together, the key is for its owner."""
    leaf, key = folder / f"{base}.pem", folder / f"{base}-key.pem"
    openssl("verify", "-x509_strict", "-CAfile", folder / "root.pem", "-untrusted", leaf, leaf)
    assert openssl("x509", "-in", leaf, "-noout", "-pubkey") == openssl("pkey", "-in", key, "-pubout")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(leaf.stat().st_mode) == 0o644
    return leaf.read_text()


def test_issue_writes_key_chain_and_root(fake, tmp_path):
    shown = expect(DONE, "issue", "nas.lan", "192.168.1.5", "::1", at=fake, cwd=tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["nas.lan-key.pem", "nas.lan.pem", "root.pem"]
    assert check_pair(tmp_path, "nas.lan").count("BEGIN CERTIFICATE") == 2
    for word in ("nas.lan-key.pem", "192.168.1.5", "::1", "in 3 months"):
        assert word in shown.stdout
    assert "cactl trust install --root" in shown.stderr
    assert list(fake.posts()[0]) == ["csr", "profile"]
    csr = x509.load_pem_x509_csr(fake.posts()[0]["csr"].encode())
    assert csr.is_signature_valid and csr.subject == named("nas.lan")
    san = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name.value for name in san] == ["nas.lan", ipaddress.ip_address("192.168.1.5"),
                                            ipaddress.ip_address("::1")]


@pytest.mark.parametrize("words, base, profile", [
    (["*.nas.lan", "nas.lan"], "_wildcard.nas.lan", "server"), (["fe80::1"], "fe80__1", "server"),
    (["Anna@home.lan"], "Anna_at_home.lan", "user"), (["NAS.lan"], "nas.lan", "server"),
    (["a@home.lan", "nas.lan"], "a_at_home.lan", "server"),
    (["spiffe://home.lan/nas/web"], "spiffe___home.lan_nas_web", "client"),
    (["a.lan", "--client"], "a.lan", "client"), (["a.lan", "--peer"], "a.lan", "peer"),
    (["a.lan", "--profile", "device", "--name", "box"], "box", "device")])
def test_names_choose_the_files_and_the_profile(fake, tmp_path, words, base, profile):
    expect(DONE, "issue", *words, at=fake, cwd=tmp_path)
    check_pair(tmp_path, base)
    assert fake.posts()[0]["profile"] == profile


@pytest.mark.parametrize("words, member, value", [
    (["--days", "30"], "validity", "30d"), (["--validity", "12h"], "validity", "12h"),
    (["--label", "büro"], "label", "büro")])
def test_wishes_reach_the_ca(fake, tmp_path, words, member, value):
    expect(DONE, "issue", "a.lan", *words, at=fake, cwd=tmp_path)
    assert fake.posts()[0][member] == value


@pytest.mark.parametrize("kind, shown", [
    ("ecdsa-p256", "prime256v1"), ("ecdsa-p384", "secp384r1"), ("ecdsa-p521", "secp521r1"),
    ("ed25519", "ED25519"), ("rsa-2048", "2048 bit")])
def test_keys_of_every_kind_are_made(fake, tmp_path, kind, shown):
    expect(DONE, "issue", "a.lan", "--key", kind, at=fake, cwd=tmp_path)
    check_pair(tmp_path, "a.lan")
    assert shown in openssl("pkey", "-in", tmp_path / "a.lan-key.pem", "-noout", "-text")


def test_a_folder_is_made_and_a_link_to_one_followed(fake, tmp_path):
    expect(DONE, "issue", "a.lan", "--out", tmp_path / "x" / "y", at=fake)
    check_pair(tmp_path / "x" / "y", "a.lan")
    (tmp_path / "link").symlink_to(tmp_path / "x")
    shown = expect(DONE, "issue", "b.lan", "--out", tmp_path / "link", at=fake).stdout
    check_pair(tmp_path / "x", "b.lan")
    assert f"{tmp_path}/link/b.lan.pem" in shown


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_key_that_is_there_is_kept_unless_forced(fake, tmp_path):
    expect(DONE, "issue", "a.lan", at=fake, cwd=tmp_path)
    before = contents(tmp_path)
    line = one_line(expect(REFUSED, "issue", "a.lan", at=fake, cwd=tmp_path).stderr)
    assert "a.lan-key.pem is there already" in line and "--force" in line
    assert contents(tmp_path) == before and len(fake.posts()) == 1
    expect(DONE, "issue", "a.lan", "--force", at=fake, cwd=tmp_path)
    after = contents(tmp_path)
    assert sorted(after) == sorted(before) and after["a.lan-key.pem"] != before["a.lan-key.pem"]
    check_pair(tmp_path, "a.lan")


@pytest.mark.parametrize("taken", ["a.lan.pem", "a.lan-key.pem", "root.pem"])
def test_what_is_no_file_is_not_replaced_even_by_force(fake, tmp_path, taken):
    (tmp_path / taken).symlink_to("/etc/hostname")
    expect(REFUSED, "issue", "a.lan", "--force", at=fake, cwd=tmp_path)
    assert os.listdir(tmp_path) == [taken] and fake.posts() == []


def test_the_root_of_another_ca_is_kept_and_the_same_root_is_fine(fake, tmp_path):
    (tmp_path / "root.pem").write_text(pem(Ca().root))
    before = contents(tmp_path)
    assert "another CA" in one_line(expect(REFUSED, "issue", "a.lan", at=fake, cwd=tmp_path).stderr)
    assert contents(tmp_path) == before and fake.posts() == []
    (tmp_path / "root.pem").write_text(pem(fake.ca.root))
    expect(DONE, "issue", "a.lan", at=fake, cwd=tmp_path)
    expect(DONE, "issue", "b.lan", at=fake, cwd=tmp_path)


def misissue(fake, how):
    """An answer that is not what was asked for."""
    def answer(_handler, body):
        csr = x509.load_pem_x509_csr(json.loads(body)["csr"].encode())
        san = list(csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        ca, public = fake.ca, csr.public_key()
        if how == "another key":
            public = ec.generate_private_key(ec.SECP256R1()).public_key()
        elif how == "one name more":
            san.append(x509.DNSName("evil.lan"))
        elif how == "one name less":
            san.pop()
        elif how == "another CA":
            ca = Ca()
        value = fake.issued(ca.sign(public, csr.subject, san), "server")
        if how == "another CA":
            value["chain"] = pem(ca.intermediate)
        elif how == "no chain":
            value["chain"] = ""
        elif how == "no certificate":
            value["certificate"] = "none"
        elif how == "two certificates":
            value["certificate"] *= 2
        return Reply(201, value)
    return answer


@pytest.mark.parametrize("how", ["another key", "one name more", "one name less", "another CA",
                                 "no chain", "no certificate", "two certificates"])
def test_a_certificate_that_was_not_asked_for_is_not_written(fake, tmp_path, how):
    fake.replies["POST", "/v1/certificates"] = misissue(fake, how)
    done = expect(REFUSED, "issue", "a.lan", "b.lan", at=fake, cwd=tmp_path)
    assert "nothing was written" in one_line(done.stderr) and os.listdir(tmp_path) == []


def no_room():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))


def test_a_full_disk_is_found_out_before_the_ca_is_asked(fake, tmp_path):
    (tmp_path / "a.lan-key.pem").write_text("old")
    done = expect(REFUSED, "issue", "a.lan", "--force", at=fake, cwd=tmp_path, preexec_fn=no_room)
    assert "a.lan-key.pem" in one_line(done.stderr)
    assert contents(tmp_path) == {"a.lan-key.pem": b"old"} and fake.posts() == []


def test_a_certificate_whose_key_cannot_be_kept_is_named(fake, tmp_path):
    # the folder fills up while the CA works: something appears under the certificate's name
    def answer(_handler, body):
        (tmp_path / "a.lan.pem").write_text("somebody else's")
        return fake.issue(body)
    fake.replies["POST", "/v1/certificates"] = answer
    line = one_line(expect(REFUSED, "issue", "a.lan", at=fake, cwd=tmp_path).stderr)
    assert f"cactl cert revoke {next(iter(fake.certificates))}" in line
    assert contents(tmp_path) == {"a.lan.pem": b"somebody else's"}


def test_killed_while_the_ca_works_it_leaves_nothing(fake, tmp_path):
    arrived, go_on = threading.Event(), threading.Event()

    def answer(_handler, _body):
        arrived.set()
        go_on.wait(LIMIT_S)
        return "hang up"
    fake.replies["POST", "/v1/certificates"] = answer
    child = subprocess.Popen([CACTL, "--socket", fake.socket, "issue", "a.lan"], cwd=tmp_path,
                             env=environment(), stdin=subprocess.DEVNULL)
    assert arrived.wait(LIMIT_S)
    child.kill()
    child.wait(LIMIT_S)
    go_on.set()
    assert os.listdir(tmp_path) == []


def load_p12(path, password):
    key, leaf, chain = pkcs12.load_key_and_certificates(path.read_bytes(), password.encode())
    return key, leaf, chain


def test_a_pkcs12_file_opens_with_the_password_that_is_shown_once(fake, tmp_path):
    shown = expect(DONE, "issue", "a.lan", "--p12", at=fake, cwd=tmp_path).stdout
    password = re.search(r"password\s+(\S+)", shown).group(1)
    assert len(password) == 24
    text = openssl("pkcs12", "-in", tmp_path / "a.lan.p12", "-nodes", "-passin", f"pass:{password}")
    assert text.count("BEGIN CERTIFICATE") == 2 and text.count("BEGIN PRIVATE KEY") == 1
    info = subprocess.run(["openssl", "pkcs12", "-in", tmp_path / "a.lan.p12", "-info", "-noout",
                           "-passin", f"pass:{password}"], capture_output=True, text=True).stderr
    assert "AES-256-CBC" in info and "sha256" in info.lower()
    key, leaf, chain = load_p12(tmp_path / "a.lan.p12", password)
    assert leaf.public_key().public_numbers() == key.public_key().public_numbers()
    assert chain == [fake.ca.intermediate]
    assert stat.S_IMODE((tmp_path / "a.lan.p12").stat().st_mode) == 0o600
    openssl("pkcs12", "-in", tmp_path / "a.lan.p12", "-nodes", "-passin", "pass:wrong", code=1)


@pytest.mark.parametrize("words", [[], ["--p12-legacy"], ["--key", "ed25519"], ["--key", "rsa-2048"]])
def test_a_pkcs12_password_comes_from_a_file(fake, tmp_path, words):
    (tmp_path / "password").write_text("pässword one\n")
    done = expect(DONE, "issue", "a.lan", "--p12-password-file", "password", *words, at=fake,
                  cwd=tmp_path)
    assert "password" not in done.stdout
    load_p12(tmp_path / "a.lan.p12", "pässword one")


def test_a_made_password_is_not_lost_by_json_or_quiet(fake, tmp_path):
    for number, words in enumerate((["--json"], ["--quiet"])):
        done = expect(DONE, "issue", f"{number}.lan", "--p12", *words, at=fake, cwd=tmp_path)
        password = re.search(r"password of \S+: (\S+)\n", done.stderr).group(1)
        load_p12(tmp_path / f"{number}.lan.p12", password)
        assert done.stdout == "" if words == ["--quiet"] else json.loads(done.stdout)["serial"]


# ---- cert ----------------------------------------------------------------------------------------

def make_csr(names=("nas.lan",), encoding=serialization.Encoding.PEM):
    key = ec.generate_private_key(ec.SECP256R1())
    csr = (x509.CertificateSigningRequestBuilder().subject_name(named(names[0]))
           .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), False)
           .sign(key, hashes.SHA256()))
    return csr.public_bytes(encoding), key


def test_sign_takes_a_file_in_pem_or_der_and_prints_the_chain(fake, tmp_path):
    for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER):
        (tmp_path / "csr").write_bytes(make_csr(encoding=encoding)[0])
        done = expect(DONE, "cert", "sign", "csr", at=fake, cwd=tmp_path)
        assert done.stdout.count("BEGIN CERTIFICATE") == 2 and done.stderr.startswith("issued ")
        assert "profile" not in fake.posts()[-1]


def test_sign_reads_standard_input_and_writes_a_file(fake, tmp_path):
    done = expect(DONE, "cert", "sign", "-", "--out", "chain.pem", "--profile", "peer",
                  "--validity", "10d", at=fake, cwd=tmp_path, input=make_csr()[0].decode())
    assert done.stdout == "" and (tmp_path / "chain.pem").read_text().count("BEGIN") == 2
    assert fake.posts()[0]["profile"] == "peer" and fake.posts()[0]["validity"] == "10d"


def test_sign_writes_through_a_device_and_does_not_replace_it(fake, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    fd = os.open(tmp_path / "pipe", os.O_RDWR)
    expect(DONE, "cert", "sign", "-", "--out", "pipe", at=fake, cwd=tmp_path,
           input=make_csr()[0].decode())
    assert os.read(fd, 65536).count(b"BEGIN") == 2 and os.listdir(tmp_path) == ["pipe"]
    os.close(fd)


def test_sign_sends_no_private_key(fake):
    csr, key = make_csr()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                               serialization.NoEncryption())
    done = expect(REFUSED, "cert", "sign", "-", at=fake, input=(secret + csr).decode())
    assert "private key" in one_line(done.stderr).lower() and fake.requests == []


@pytest.mark.parametrize("text", ["", "junk", pem(Ca().root)], ids=["empty", "junk", "certificate"])
def test_sign_refuses_what_is_no_csr(fake, text):
    one_line(expect(REFUSED, "cert", "sign", "-", at=fake, input=text).stderr)
    assert fake.requests == []


def test_sign_with_other_names_sends_them_and_expects_them(fake):
    csr = make_csr(("a.lan", "b.lan"))[0].decode()
    done = expect(REFUSED, "cert", "sign", "-", "--name", "a.lan", at=fake, input=csr)
    assert fake.posts()[0]["names"] == ["a.lan"] and "not asked for: b.lan" in done.stderr


def test_list_filters_are_the_apis(fake):
    expect(DONE, "cert", "list", "--name", "*.lan", "--status", "revoked", "--profile", "a b&c",
           "--expires-before", "2027-01-31", "--issued-after", "30d", "--limit", "7", "--spki",
           "ab", "--fingerprint-of", "cd", at=fake)
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(fake.requests[0][1]).query)
    then = datetime.datetime.fromisoformat(query.pop("issued_after")[0].replace("Z", "+00:00"))
    assert abs((now() - then).total_seconds() - 30 * 86400) < 120
    assert query == {"name": ["*.lan"], "status": ["revoked"], "profile": ["a b&c"],
                     "expires_before": ["2027-01-31T00:00:00Z"], "limit": ["7"], "spki": ["ab"],
                     "fingerprint": ["cd"]}


def paged(fake):
    def answer(handler, _body):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(handler.path).query)
        page = int(query.get("cursor", ["0"])[0])
        return Reply(200, {"certificates": [row(f"{page * 2 + i:038x}") for i in range(2)],
                           "next": str(page + 1) if page < 2 else None})
    fake.replies["GET", "/v1/certificates"] = answer


def test_all_pages_come_on_request_and_a_hint_otherwise(fake):
    paged(fake)
    done = expect(DONE, "cert", "list", at=fake)
    assert len(done.stdout.splitlines()) == 3 and "--all" in done.stderr
    done = expect(DONE, "cert", "list", "--all", at=fake)
    assert len(done.stdout.splitlines()) == 7 and done.stderr == ""
    found = json.loads(expect(DONE, "cert", "list", "--all", "--json", at=fake).stdout)
    assert [int(c["serial"], 16) for c in found["certificates"]] == list(range(6))
    assert found["next"] is None


def test_an_empty_list_is_json_too_and_failure_prints_nothing(fake):
    for words in ([], ["--all"]):
        assert json.loads(expect(DONE, "cert", "list", "--json", *words, at=fake).stdout)[
            "certificates"] == []
    fake.replies["GET", "/v1/certificates"] = problem(403, "forbidden", "no")
    assert expect(REFUSED, "cert", "list", "--json", "--all", at=fake).stdout == ""


def test_a_cursor_that_does_not_move_ends_the_list(fake):
    fake.replies["GET", "/v1/certificates"] = lambda *_: Reply(
        200, {"certificates": [row()], "next": "same"})
    expect(DONE, "cert", "list", "--all", at=fake)
    assert len(fake.requests) == 2


def test_show_of_a_serial_is_decoded_here(fake, tmp_path):
    expect(DONE, "issue", "nas.lan", at=fake, cwd=tmp_path)
    serial, value = next(iter(fake.certificates.items()))
    copied = ":".join(serial[i:i + 2] for i in range(0, len(serial), 2)).upper()
    for written in (serial, copied):
        shown = expect(DONE, "cert", "show", written, at=fake).stdout
        for word in ("nas.lan", serial, "valid", "ECDSA P-256", "serverAuth", "Test CA 1"):
            assert word in shown, shown
    assert expect(DONE, "cert", "show", serial, "--pem", at=fake).stdout == value["certificate"]
    assert json.loads(expect(DONE, "cert", "show", serial, "--json", at=fake).stdout) == value
    line = one_line(expect(REFUSED, "cert", "show", "ee" * 19, at=fake).stderr)
    assert "no certificate has the serial" in line


def test_show_of_a_file_needs_no_ca(fake, tmp_path):
    expect(DONE, "issue", "nas.lan", at=fake, cwd=tmp_path)
    shown = expect(DONE, "cert", "show", "nas.lan.pem", cwd=tmp_path).stdout
    assert "certificate 1 of 2" in shown and "certificate 2 of 2" in shown
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem(fake.ca.root))).hexdigest()
    shown = expect(DONE, "cert", "show", "root.pem", cwd=tmp_path).stdout
    assert digest in shown.replace(" ", "") and "(itself)" in shown
    found = json.loads(expect(DONE, "cert", "show", "nas.lan.pem", "--json", cwd=tmp_path).stdout)
    assert [c["ca"] for c in found["certificates"]] == [False, True]
    assert found["certificates"][0]["names"] == ["nas.lan"]
    der = ssl.PEM_cert_to_DER_cert(pem(fake.ca.root))
    done = subprocess.run([CACTL, "cert", "show", "-", "--pem"], input=der, capture_output=True,
                          env=environment(), timeout=LIMIT_S)
    assert done.stdout.decode() == pem(fake.ca.root)


@pytest.mark.parametrize("typed, kept, both", [
    ("bücher.lan", "xn--bcher-kva.lan", "xn--bcher-kva.lan (bücher.lan)"),
    ("xn--bcher-kva.lan", "xn--bcher-kva.lan", "xn--bcher-kva.lan (bücher.lan)"),
    ("*.bücher.lan", "*.xn--bcher-kva.lan", "*.xn--bcher-kva.lan (*.bücher.lan)"),
    ("nas.lan", "nas.lan", "nas.lan"),
])
def test_an_international_name_is_shown_both_ways(fake, tmp_path, typed, kept, both):
    said = expect(DONE, "issue", typed, "--name", "x", at=fake, cwd=tmp_path).stdout
    shown = expect(DONE, "cert", "show", "x.pem", cwd=tmp_path).stdout
    for text in (said, shown):
        assert re.search(rf"^  names +{re.escape(both)}$", text, re.MULTILINE), text
    found = json.loads(expect(DONE, "cert", "show", "x.pem", "--json", cwd=tmp_path).stdout)
    assert found["certificates"][0]["names"] == [kept]


def test_show_says_what_a_file_is_that_is_no_certificate(fake, tmp_path):
    expect(DONE, "issue", "nas.lan", at=fake, cwd=tmp_path)
    (tmp_path / "a.csr").write_bytes(make_csr()[0])
    (tmp_path / "empty").write_text("")
    rows = [("nas.lan-key.pem", "private key"), ("a.csr", "cactl cert sign a.csr"),
            ("empty", "no certificate"), (".", "directory"), ("/dev/zero", "1 MiB")]
    for path, why in rows:
        assert why in one_line(expect(REFUSED, "cert", "show", path, cwd=tmp_path).stderr).replace(
            "Is a", "a").lower().replace("1 mib", "1 MiB"), path


def test_show_of_a_server_prints_the_chain_that_it_shows(fake):
    port = fake.serve_https()
    done = expect(DONE, "cert", "show", f"localhost:{port}")
    assert "certificate 2 of 2" in done.stdout and "shows 2 certificates" in done.stderr
    text = expect(DONE, "cert", "show", f"127.0.0.1:{port}", "--pem").stdout
    assert text == (fake.socket.parent / "tls.pem").read_text()


def test_show_of_a_server_that_is_none_is_unreachable(fake, tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        one_line(expect(UNREACHABLE, "cert", "show", f"127.0.0.1:{port}").stderr)
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as plain:
        threading.Thread(target=plain.handle_request, daemon=True).start()
        line = one_line(expect(UNREACHABLE, "cert", "show",
                               f"127.0.0.1:{plain.server_address[1]}").stderr)
        assert "TLS handshake failed" in line
    one_line(expect(UNREACHABLE, "cert", "show", "no-such-host.invalid:443").stderr)


def test_revoke_asks_and_without_a_terminal_wants_yes(fake):
    fake.certificates["ab" * 19] = row("ab" * 19)
    path = f"/v1/certificates/{'ab' * 19}/revoke"
    line = one_line(expect(USAGE, "cert", "revoke", "ab" * 19, at=fake).stderr)
    assert "--yes" in line and fake.posts(path) == []
    code, shown = on_terminal("cert", "revoke", "ab" * 19, at=fake, answer=(b"[y/N]", b"n\n"))
    assert code == REFUSED and "nas.lan" in shown and fake.posts(path) == []
    code, shown = on_terminal("cert", "revoke", "ab" * 19, at=fake, answer=(b"[y/N]", b"y\n"))
    assert code == DONE and fake.posts(path) == [{"reason": "unspecified"}]
    expect(DONE, "cert", "revoke", "ab" * 19, "--yes", "--reason", "key_compromise", at=fake)
    assert fake.posts(path)[1] == {"reason": "key_compromise"}


def test_revoke_of_a_file_is_of_that_certificate_alone(fake, tmp_path):
    expect(DONE, "issue", "nas.lan", at=fake, cwd=tmp_path)
    serial, value = next(iter(fake.certificates.items()))
    fingerprint_there = value["fingerprint"]
    value["fingerprint"] = "00" * 32
    line = one_line(expect(REFUSED, "cert", "revoke", "nas.lan.pem", "--yes", at=fake,
                           cwd=tmp_path).stderr)
    assert "not one of this CA" in line and value["status"] == "valid"
    value["fingerprint"] = fingerprint_there
    expect(DONE, "cert", "revoke", "nas.lan.pem", "--yes", at=fake, cwd=tmp_path)
    assert fake.certificates[serial]["status"] == "revoked"


# ---- ca, profile ---------------------------------------------------------------------------------

def test_the_fingerprint_is_computed_here_from_the_root(fake):
    fake.replies["GET", "/v1/ca"] = Reply(200, {**fake.ca_object(), "fingerprint": "lie"})
    shown, words = expect(DONE, "ca", "fingerprint", at=fake).stdout.splitlines()
    assert shown.replace(" ", "").strip() == fingerprint(fake.ca.root)
    assert [len(group) for group in shown.split()] == [4] * 16
    assert words == fingerprint_words(fingerprint(fake.ca.root))
    assert json.loads(expect(DONE, "ca", "fingerprint", "--json", at=fake).stdout) == {
        "fingerprint": fingerprint(fake.ca.root), "words": words}


def test_ca_show_prints_certificates_and_nothing_else_as_pem(fake):
    fake.replies["GET", "/v1/ca/root.pem"] = Reply(200, "\x1b[2Jhello\n" + pem(fake.ca.root))
    assert expect(DONE, "ca", "show", "--pem", at=fake).stdout == pem(fake.ca.root)
    assert expect(DONE, "ca", "show", "--bundle", at=fake).stdout == pem(fake.ca.root,
                                                                        fake.ca.intermediate)


def test_profiles_are_listed_and_an_unknown_one_is_answered_with_those_there_are(fake):
    assert "397d" in expect(DONE, "profile", "list", at=fake).stdout
    shown = expect(DONE, "profile", "show", "server", at=fake).stdout
    assert "serverAuth" in shown and "2048 bits at least, 4096 at most" in shown
    line = one_line(expect(REFUSED, "profile", "show", "none", at=fake).stderr)
    assert "there are server" in line


# ---- over the network ----------------------------------------------------------------------------

def test_a_url_is_verified_against_the_root_that_is_given(fake, tmp_path):
    (tmp_path / "root.pem").write_text(pem(fake.ca.root))
    (tmp_path / "other.pem").write_text(pem(Ca().root))
    url = f"https://localhost:{fake.serve_https()}"
    expect(DONE, "--url", url, "--root", tmp_path / "root.pem", "ca", "show")
    expect(DONE, "--url", url + "/", "--root", tmp_path / "root.pem", "issue", "a.lan", cwd=tmp_path)
    count = len(fake.requests)
    for words in (["--root", tmp_path / "other.pem"], []):
        line = one_line(expect(UNREACHABLE, "--url", url, *words, "ca", "show").stderr)
        assert "--fingerprint" in line
    expect(USAGE, "--url", url, "--root", tmp_path / "none", "ca", "show")
    url = url.replace("localhost", "127.0.0.1")
    expect(UNREACHABLE, "--url", url, "--root", tmp_path / "root.pem", "ca", "show")
    assert len(fake.requests) == count


def test_a_url_is_verified_against_the_fingerprint_that_is_given(fake, tmp_path):
    url = f"https://localhost:{fake.serve_https()}"
    good = fingerprint(fake.ca.root)
    for text in (good, good.upper(), " ".join(re.findall("....", good)), ":".join(
            re.findall("..", good)), fingerprint_words(good), fingerprint_words(good).upper()):
        expect(DONE, "--url", url, "--fingerprint", text, "ca", "show")
    for wrong in ("00" * 32, fingerprint_words("00" * 32)):
        fake.requests.clear()
        line = one_line(expect(REFUSED, "--url", url, "--fingerprint", wrong, "issue", "a.lan",
                               cwd=tmp_path).stderr)
        assert "another fingerprint" in line
        assert [target for _, target, _, _ in fake.requests] == ["/v1/ca/root.pem"]
    # a root that is handed out beside the pinned one is not trusted
    other = Ca()
    fake.replies["GET", "/v1/ca/root.pem"] = Reply(200, pem(other.root) + pem(fake.ca.root))
    expect(UNREACHABLE, "--url", url, "--fingerprint", fingerprint(other.root), "ca", "show")


# ---- the whole way, with the real cad ------------------------------------------------------------

@pytest.fixture(scope="module")
def cad():
    with cadtest.Daemon() as daemon:
        yield daemon
        daemon.check_log()


def test_a_certificate_from_issue_to_revocation(cad, tmp_path):
    serial = json.loads(expect(DONE, "issue", "box.lan", "10.0.0.7", "--json", at=cad,
                               cwd=tmp_path).stdout)["serial"]
    check_pair(tmp_path, "box.lan")
    assert serial in expect(DONE, "cert", "list", "--name", "box.lan", at=cad).stdout
    shown = expect(DONE, "cert", "show", serial, at=cad).stdout
    assert "10.0.0.7" in shown and re.search(r"status\s+valid", shown)
    expect(DONE, "cert", "revoke", "box.lan.pem", "--yes", "--reason", "superseded", at=cad,
           cwd=tmp_path)
    assert re.search(r"status\s+revoked.*superseded", expect(DONE, "cert", "show", serial, at=cad).stdout)
    assert serial in expect(DONE, "cert", "list", "--status", "revoked", at=cad).stdout
    assert serial not in expect(DONE, "cert", "list", "--status", "valid", "--all", at=cad).stdout
    one_line(expect(REFUSED, "cert", "revoke", serial, "--yes", at=cad).stderr)


def test_a_hold_is_lifted(cad, tmp_path):
    expect(DONE, "issue", "hold.lan", at=cad, cwd=tmp_path)
    expect(DONE, "cert", "revoke", "hold.lan.pem", "--yes", "--reason", "certificate_hold", at=cad,
           cwd=tmp_path)
    expect(DONE, "cert", "revoke", "hold.lan.pem", "--yes", "--reason", "remove_from_crl", at=cad,
           cwd=tmp_path)
    found = json.loads(expect(DONE, "cert", "list", "--name", "hold.lan", "--json", at=cad).stdout)
    assert [c["status"] for c in found["certificates"]] == ["valid"]


def test_a_reason_that_there_is_not_is_refused(cad, tmp_path):
    expect(DONE, "issue", "r.lan", at=cad, cwd=tmp_path)
    line = one_line(expect(REFUSED, "cert", "revoke", "r.lan.pem", "--yes", "--reason", "boredom",
                           at=cad, cwd=tmp_path).stderr)
    assert "boredom" in line


@pytest.mark.parametrize("words", [
    ["*.w.lan"], ["localhost", "127.0.0.1", "::1"], ["anna@home.lan"], ["c.lan", "--client"],
    ["p.lan", "--peer"], ["bücher.lan"], ["e.lan", "--key", "ed25519"],
    ["r.lan", "--key", "rsa-2048"], ["d.lan", "--days", "7"]])
def test_every_kind_of_wish_is_granted(cad, tmp_path, words):
    expect(DONE, "issue", *words, at=cad, cwd=tmp_path)
    key = next(tmp_path.glob("*-key.pem"))
    check_pair(tmp_path, key.name.removesuffix("-key.pem"))


def test_a_name_outside_the_constraints_is_refused_with_the_way_out(cad, tmp_path):
    line = one_line(expect(REFUSED, "issue", "www.example.com", at=cad, cwd=tmp_path).stderr)
    assert "www.example.com" in line and "--permit-dns" in line and os.listdir(tmp_path) == []


def test_a_csr_from_elsewhere_is_signed(cad, tmp_path):
    (tmp_path / "a.csr").write_bytes(make_csr(("a.lan", "b.lan"))[0])
    expect(DONE, "cert", "sign", "a.csr", "--out", "a.pem", "--label", "büro", at=cad, cwd=tmp_path)
    (tmp_path / "root.pem").write_text(expect(DONE, "ca", "show", "--pem", at=cad).stdout)
    openssl("verify", "-CAfile", "root.pem", "-untrusted", "a.pem", "a.pem", cwd=tmp_path)
    assert "büro" in expect(DONE, "cert", "show", json.loads(expect(
        DONE, "cert", "list", "--name", "b.lan", "--json", at=cad).stdout)["certificates"][0][
            "serial"], at=cad).stdout
    one_line(expect(REFUSED, "cert", "sign", "a.csr", "--profile", "none", at=cad,
                    cwd=tmp_path).stderr)


def test_status_ca_and_profiles_of_the_real_one(cad, tmp_path):
    expect(DONE, "issue", "s.lan", at=cad, cwd=tmp_path)
    shown = expect(DONE, "status", at=cad).stdout
    for word in ("health", "active", "standby", "home.arpa", "expires next", str(cad.socket)):
        assert word in shown, shown
    root = ssl.PEM_cert_to_DER_cert((tmp_path / "root.pem").read_text())
    digest = expect(DONE, "ca", "fingerprint", at=cad).stdout.splitlines()[0].replace(" ", "")
    assert digest == hashlib.sha256(root).hexdigest()
    shown = expect(DONE, "ca", "show", at=cad).stdout
    assert digest in shown.replace(" ", "") and "192.168.0.0/16" in shown
    for profile in ("server", "client", "peer", "device", "user"):
        assert profile in expect(DONE, "profile", "list", at=cad).stdout
        expect(DONE, "profile", "show", profile, at=cad)
    assert expect(DONE, "ca", "show", "--bundle", at=cad).stdout.count("BEGIN CERTIFICATE") == 3


def test_pages_of_the_real_one_come_whole(cad, tmp_path):
    for i in range(5):
        expect(DONE, "issue", f"{i}.page.lan", at=cad, cwd=tmp_path)
    whole = json.loads(expect(DONE, "cert", "list", "--name", "*.page.lan", "--all", "--limit", "2",
                              "--json", at=cad).stdout)
    assert {c["names"][0] for c in whole["certificates"]} == {f"{i}.page.lan" for i in range(5)}


def test_a_key_that_is_out_is_out_in_every_certificate_that_has_it(cad, tmp_path):
    expect(DONE, "issue", "nas.lan", at=cad, cwd=tmp_path)
    old = json.loads(expect(DONE, "--json", "cert", "list", "--name", "nas.lan", "--status", "valid", at=cad).stdout)["certificates"][0]["serial"]
    expect(DONE, "cert", "renew", old, at=cad, cwd=tmp_path)
    told = expect(DONE, "cert", "revoke", old, "--yes", "--reason", "key_compromise", at=cad).stderr
    other = re.search(r"cactl cert revoke ([0-9a-f]+) --reason key_compromise", told)
    assert other and other.group(1) != old, told
    told = expect(DONE, "cert", "revoke", other.group(1), "--yes", "--reason", "key_compromise", at=cad).stderr
    assert "same key" not in told


@pytest.mark.skipif(os.geteuid() != 0, reason="root has every role on the socket")
def test_root_is_not_told_to_become_root(cad):
    line = one_line(expect(REFUSED, "token", "create", "nas.lan", "--profile", "admin", at=cad).stderr)
    assert "admin issues them" in line and "run this as root" not in line
