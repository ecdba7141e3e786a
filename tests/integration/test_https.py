"""cad's own HTTPS and plain HTTP: sockets, names, and a certificate that looks after itself (threats.md §4 rows 69, 73, 78, R-23)."""

import contextlib
import datetime
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import cadtest
from csrs import csr, dns
from test_http_hygiene import ANSWER_S, connect_tcp, get, read_reply, tls_client

ON = "127.0.0.1:0"
NAS = csr(names=[dns("nas.lan")])


@pytest.fixture(scope="module")
def ca():
    with cadtest.Daemon(tcp=True) as daemon:
        yield daemon


@pytest.fixture
def own():
    """One that a test may do anything to; it starts it itself."""
    daemon = cadtest.Daemon(tcp=True)
    try:
        yield daemon
        daemon.check_log()
    finally:
        daemon.close()


def configured(daemon, *lines):
    """@lines as its configuration, now and when it is read again."""
    conf = daemon.base / "conf" / "cad.conf"
    conf.parent.mkdir(mode=0o755, exist_ok=True)
    conf.write_text("\n".join(lines) + "\n")
    daemon.args = ["--config", conf]
    return daemon


def root(daemon):
    path = daemon.base / "root.pem"
    path.write_bytes(daemon.get("/v1/ca/root.pem").expect(200).body)
    return path


def shown(daemon):
    """The certificate that HTTPS shows now, whoever made it."""
    with connect_tcp(daemon.port("https"), ssl._create_unverified_context()) as sock:
        return x509.load_der_x509_certificate(sock.getpeercert(binary_form=True))


def names(certificate):
    san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {*san.get_values_for_type(x509.DNSName), *map(str, san.get_values_for_type(x509.IPAddress))}


def serial(certificate):
    return f"{certificate.serial_number:x}"


def https(daemon, path, host="localhost", **headers):
    """Over a verified connection to @host. Return: (status, body)"""
    fields = "".join(f"{name}: {value}\r\n" for name, value in {"Host": host, "Connection": "close", **headers}.items())
    with socket.create_connection(("127.0.0.1", daemon.port("https")), timeout=ANSWER_S) as plain, \
            tls_client(root(daemon)).wrap_socket(plain, server_hostname=host) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\n{fields}\r\n".encode())
        reply = read_reply(sock)
        return reply.status, reply.body


def http(daemon, path, host="localhost", **more):
    with connect_tcp(daemon.port("http")) as sock:
        sock.sendall(get(path.encode(), headers=f"Host: {host}\r\nConnection: close\r\n".encode(), **more))
        return read_reply(sock, head=more.get("method") == b"HEAD")


def check(daemon):
    """The row of /v1/health."""
    rows = {row["name"]: row for row in daemon.get("/v1/health").json["checks"]}
    return rows.get("https")


def hang_up(daemon):
    daemon.process.send_signal(signal.SIGHUP)


def until(happened, limit_s=10):
    limit = time.monotonic() + limit_s
    while not happened():
        assert time.monotonic() < limit
        time.sleep(0.05)


# -- what is shown ---------------------------------------------------------------------------------


def test_a_client_that_trusts_the_root_accepts_it(ca):
    for host in ("localhost", "127.0.0.1"):
        done = subprocess.run(["curl", "-sS", "--cacert", root(ca), "--noproxy", "*", f"https://{host}:{ca.port('https')}/v1/ca"],
                              capture_output=True, text=True, timeout=30)
        assert done.returncode == 0 and json.loads(done.stdout)["name"], done
    done = subprocess.run(["curl", "-sS", "--noproxy", "*", f"https://localhost:{ca.port('https')}/v1/ca"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 60, done
    assert https(ca, "/v1/health")[0] == 200


@pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
def test_the_chain_is_leaf_and_intermediate(ca, version):
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{ca.port('https')}", f"-{version}", "-showcerts", "-CAfile", root(ca),
                           "-no-CApath", "-no-CAstore", "-verify_return_error", "-verify_hostname", "localhost"],
                          input="", capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and "Verify return code: 0 (ok)" in done.stdout, done
    assert done.stdout.count("BEGIN CERTIFICATE") == 2 and "client certificate CA names sent" in done.stdout
    assert "Requested Signature Algorithms" in done.stdout, "no client certificate is asked for"


def test_its_certificate_is_for_what_this_host_is_called(ca):
    certificate = shown(ca)
    public = re.match(r"http://\[?([^]:]*)", ca.get("/v1/ca").json["public_url"]).group(1)
    assert {"localhost", "127.0.0.1", "::1", public} <= names(certificate)
    label = socket.gethostname().partition(".")[0].lower()
    if re.fullmatch("[a-z0-9-]+", label) and label != "localhost":
        assert f"{label}.local" in names(certificate)
    detail = check(ca)["detail"]
    if "constraints do not permit" in detail:
        refused = detail.partition("not for ")[2].partition(":")[0].split(", ")
        assert not set(refused) & names(certificate), detail
    assert all(name in detail for name in names(certificate)), detail


def test_it_is_the_ca_s_own(ca):
    certificate = shown(ca)
    row = ca.get(f"/v1/certificates/{serial(certificate)}").expect(200).json
    assert row["profile"] == "https" and row["status"] == "valid" and row["label"] == "HTTPS of cad"
    assert ca.get("/v1/certificates?profile=https").expect(200).json["certificates"]
    life = certificate.not_valid_after - certificate.not_valid_before
    assert datetime.timedelta(days=89) < life <= datetime.timedelta(days=90)
    assert isinstance(certificate.public_key().curve, ec.SECP256R1)
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [x.dotted_string for x in usage] == ["1.3.6.1.5.5.7.3.1"]


def test_nobody_else_gets_one(ca):
    answer = ca.issue(NAS, profile="https")
    assert answer.status == 403 and answer.json["field"] == "profile", answer


def test_the_key_is_for_its_owner_s_eyes(ca):
    path = ca.state / "https.pem"
    assert path.stat().st_mode & 0o7777 == 0o600
    assert path.read_text().count("BEGIN CERTIFICATE") == 2 and path.read_text().count("PRIVATE KEY") == 2


# -- what answers where ---------------------------------------------------------------------------


def test_endpoints_say_where(ca):
    found = ca.endpoints
    assert found["socket"] == str(ca.socket) and found["pid"] == ca.pid and found["version"]
    for kind in ("https", "http"):
        assert re.fullmatch(r"127\.0\.0\.1:[1-9]\d+", found[kind]), found
    assert f"HTTPS {found['https']}, plain HTTP {found['http']}" in ca.log_text()


@pytest.mark.parametrize("path", ["/v1/ca", "/v1/health", "/v1/ca/root.pem", "/v1/certificates", "/v1/certificates/01", "/v1/profiles", "/metrics",
                                  "/v1/tokens", "/v1/requests", "/v1/audit", "/acme/directory", "/.well-known/est/cacerts", "/index.html"])
def test_the_rest_of_the_api_is_not_in_the_clear(ca, path):
    reply = http(ca, path)
    assert reply.status == 404 and json.loads(reply.body)["type"] == "urn:cad:problem:not-found", reply


def test_in_the_clear_only_get_and_head(ca):
    for method, status in ((b"GET", 200), (b"HEAD", 200), (b"POST", 405), (b"PUT", 405), (b"DELETE", 405), (b"OPTIONS", 405)):
        assert http(ca, "/root.crt", method=method).status == status


def test_in_the_clear_nobody_says_who_he_is(ca):
    with connect_tcp(ca.port("http")) as sock:
        sock.sendall(get(b"/root.crt", headers=b"Host: localhost\r\nAuthorization: Bearer nonsense\r\n"))
        assert read_reply(sock).status == 200


def test_over_https_who_says_nothing_may_read_what_is_public(ca):
    assert https(ca, "/v1/ca")[0] == 200
    assert https(ca, f"/v1/certificates/{serial(shown(ca))}")[0] == 200
    status, body = https(ca, "/v1/certificates")
    assert status == 401 and json.loads(body)["type"] == "urn:cad:problem:unauthenticated"


def test_hosts_of_this_ca_are_let_in_and_no_others(ca):
    public = ca.get("/v1/ca").json["public_url"].removeprefix("http://")
    for host in (public, "localhost", "LOCALHOST:99", "127.0.0.1", "192.168.77.5:8080", "[fd00::1]"):
        assert http(ca, "/root.crt", host=host).status == 200, host
    for host in ("evil.example", "localhost.evil.example", "xlocalhost", "127.0.0.1.nip.io", "ca"):
        reply = http(ca, "/root.crt", host=host)
        assert reply.status == 403 and json.loads(reply.body)["type"] == "urn:cad:problem:host-not-allowed", reply


# -- sockets --------------------------------------------------------------------------------------


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.mark.parametrize("option, setting", [("--https", "Https="), ("--http", "Http=")])
def test_a_port_that_is_taken_is_an_error_that_says_what_to_do(own, option, setting):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        own.listen = [*own.listen, option, f"127.0.0.1:{port}"]
        said = own.start_refused()
    assert str(port) in said and option in said and setting in said and "taken" in said and said.count("\n") == 1, said
    own.start()     # and with the port free, it starts


@pytest.mark.parametrize("text", ["nonsense", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:http", "::1:8443", "[::1]", "[::1:8443",
                                  "localhost:8443", "1.2.3:80", ":x", "[]:80", "a" * 300 + ":80", "127.0.0.1:8443 "])
@pytest.mark.parametrize("option", ["--https", "--http"])
def test_an_address_that_is_none_is_refused(own, option, text):
    done = cadtest.run(["--state-dir", own.state, option, text], cwd=own.base)
    assert done.returncode == 2 and option in done.stderr and "8443" in done.stderr, done
    done = cadtest.run(["check-config", *configured(own, "[Listen]", f"Http={text.strip()[:150]}").args], cwd=own.base)
    if text.strip() != text:
        return
    assert done.returncode == 1 and "cad.conf:2:" in done.stderr, done


def test_an_address_of_nobody_here_is_refused(own):
    own.listen = ["--http", "no", "--https", "192.0.2.250:0"]
    said = own.start_refused()
    assert "192.0.2.250" in said and "no interface" in said and "--https" in said, said


def test_a_port_alone_is_every_address_of_both_families(own):
    own.listen = ["--https", "0", "--http", "*:0"]
    own.start()
    for kind in ("https", "http"):
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            if family == socket.AF_INET6 and not own.endpoints[kind].startswith("["):
                continue        # a kernel without IPv6
            with socket.socket(family) as sock:
                sock.settimeout(ANSWER_S)
                sock.connect((host, own.port(kind)))
    with own.connect() as sock:
        sock.sendall(get(b"/v1/ca"))
        assert read_reply(sock).status == 200


def test_the_peer_of_a_dual_stack_socket_is_written_as_people_do(own):
    own.listen = ["--https", "0", "--http", "no"]
    configured(own, "[Limits]", "ConnectionsPerPeer=2")
    own.start()
    held = [socket.create_connection(("127.0.0.1", own.port("https")), timeout=ANSWER_S) for _ in range(2)]
    with socket.create_connection(("127.0.0.1", own.port("https")), timeout=ANSWER_S) as third:
        with contextlib.suppress(ConnectionResetError):
            assert third.recv(10) == b""
    if own.endpoints["https"].startswith("["):
        with socket.create_connection(("::1", own.port("https")), timeout=ANSWER_S) as other, pytest.raises(TimeoutError):
            other.settimeout(0.3)
            other.recv(10)
    for sock in held:
        sock.close()


def test_what_is_turned_off_is_not_there(own):
    own.listen = ["--https", "no", "--http", "no"]
    own.start()
    assert "https" not in own.endpoints and "http" not in own.endpoints
    assert not (own.state / "https.pem").exists() and check(own) is None
    assert own.get("/v1/certificates").json["certificates"] == []
    found = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, timeout=10).stdout
    assert f"pid={own.pid}," not in found


def test_the_configuration_says_it_and_the_command_line_wins(own):
    ports = free_port(), free_port()
    own.listen = []
    configured(own, "[Listen]", f"Https=127.0.0.1:{ports[0]}", "Http=no")
    own.start()
    assert own.endpoints["https"] == f"127.0.0.1:{ports[0]}" and "http" not in own.endpoints
    assert own.stop() == 0
    own.args += ["--https", "no", f"--http=127.0.0.1:{ports[1]}"]
    own.start()
    assert own.endpoints["http"] == f"127.0.0.1:{ports[1]}" and "https" not in own.endpoints


def test_two_on_one_state_are_told_about_the_state(own):
    own.start()
    own.listen = ["--https", own.endpoints["https"], "--http", "no"]
    done = cadtest.run(["--state-dir", own.state, *own.listen], cwd=own.base)
    assert done.returncode == 1 and f"process {own.pid}" in done.stderr, done


def test_its_ports_are_free_when_it_has_ended(own):
    own.start()
    own.listen = ["--https", own.endpoints["https"], "--http", own.endpoints["http"]]
    for _ in range(3):
        with connect_tcp(own.port("https"), tls_client(root(own))) as sock:     # leaves a socket in TIME_WAIT
            sock.sendall(get(b"/v1/ca"))
            assert read_reply(sock).status == 200
            assert own.stop() == 0
        own.start()


# -- sockets that systemd passes -------------------------------------------------------------------


class Activated:
    """cad under systemd-socket-activate: the first connection starts it."""

    def __init__(self, daemon, sockets, *more):
        if not shutil.which("systemd-socket-activate"):
            pytest.skip("no systemd-socket-activate here")
        words = [word for _, where in sockets for word in ("-l", where)]
        with open(daemon.log, "wb") as log:
            daemon.process = subprocess.Popen(["systemd-socket-activate", *words, "--fdname=" + ":".join(name for name, _ in sockets), cadtest.CAD,
                                               "--state-dir", daemon.state, *more], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                              env=daemon.env, cwd=daemon.base)
        self.daemon = daemon
        daemon.wait_until(lambda: daemon.log_text().count("Listening on") == len(sockets), 10, "systemd-socket-activate does not listen")


def test_sockets_that_are_passed_win_by_name(own):
    ports = free_port(), free_port()
    passed = own.base / "passed.sock"
    own.socket = passed
    Activated(own, [("http", f"127.0.0.1:{ports[0]}"), ("rest", str(passed)), ("https", f"127.0.0.1:{ports[1]}")],
              "--https", "127.0.0.1:1", "--http", "no", "--socket", own.base / "never.sock")
    with own.connect() as sock:
        sock.sendall(get(b"/v1/ca"))
        assert read_reply(sock, timeout=30).status == 200
    own.wait_until(own.ready, 20, "cad is not ready")
    found = own.endpoints
    assert found["https"] == f"127.0.0.1:{ports[1]}" and found["http"] == f"127.0.0.1:{ports[0]}" and found["socket"] == str(passed)
    assert https(own, "/v1/ca")[0] == 200 and http(own, "/root.crt").status == 200
    assert not (own.base / "never.sock").exists()
    assert own.stop() == 0
    assert passed.exists(), "the socket of the service manager is not ours to remove"


def test_what_is_not_passed_is_opened_by_the_configuration(own):
    port = free_port()
    Activated(own, [("https", f"127.0.0.1:{port}")], "--http", ON)
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    own.wait_until(own.ready, 20, "cad is not ready")
    assert own.port("https") == port and own.port("http") and own.endpoints["socket"] == str(own.socket)


@pytest.mark.parametrize("name, kind, words", [("cad.socket", "tcp", ["cad.socket", "FileDescriptorName="]), ("", "tcp", ["FileDescriptorName="]),
                                               ("https", "unix", ["https", "TCP"]), ("rest", "tcp", ["rest", "Unix"])])
def test_a_passed_socket_that_is_not_known_is_refused(own, name, kind, words):
    port, path = free_port(), own.base / "x.sock"
    Activated(own, [(name or "unknown", f"127.0.0.1:{port}" if kind == "tcp" else str(path))], *cadtest.listen_args())
    with contextlib.suppress(OSError):
        if kind == "tcp":
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        else:
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(str(path))
            sock.close()
    assert own.process.wait(20) == 1, own.log_text()
    assert all(word in own.log_text() for word in words), own.log_text()
    assert not own.ready_file.exists()


# -- a certificate that looks after itself ---------------------------------------------------------


def test_a_restart_keeps_it(own):
    own.start()
    before = shown(own)
    assert own.stop() == 0
    own.start()
    assert shown(own) == before and len(own.get("/v1/certificates?profile=https").json["certificates"]) == 1


@pytest.mark.parametrize("damage", [
    lambda path: path.unlink(),
    lambda path: path.write_bytes(b"nonsense"),
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(path.read_bytes()[:400]),
    lambda path: path.write_bytes(re.sub(rb"-----BEGIN PRIV.*?END PRIVATE KEY-----\n", b"", path.read_bytes(), flags=re.DOTALL)),
    lambda path: path.chmod(0o644),
    lambda path: (path.unlink(), path.mkdir()),
    lambda path: (path.unlink(), path.symlink_to("/etc/passwd")),
], ids=["gone", "nonsense", "empty", "cut off", "no key", "for all to read", "a folder", "a link"])
def test_a_file_of_no_use_is_replaced(own, damage):
    own.start()
    before = shown(own)
    assert own.stop() == 0
    damage(own.state / "https.pem")
    own.start()
    assert serial(shown(own)) != serial(before) and https(own, "/v1/ca")[0] == 200
    if not (own.state / "https.pem").is_dir():
        assert (own.state / "https.pem").stat().st_mode & 0o777 == 0o600 and not (own.state / "https.pem").is_symlink()


def test_another_ca_s_certificate_is_not_shown(own, ca):
    own.start()
    assert own.stop() == 0
    shutil.copy(ca.state / "https.pem", own.state / "https.pem")
    own.start()
    assert serial(shown(own)) != serial(shown(ca)) and https(own, "/v1/ca")[0] == 200


@pytest.mark.sanitize
def test_a_hang_up_renews_without_a_break(own):
    own.start()
    before = shown(own)
    with connect_tcp(own.port("https"), tls_client(root(own))) as kept:
        hang_up(own)                        # nothing is due: it stays
        time.sleep(1.5)
        assert shown(own) == before
        (own.state / "https.pem").unlink()
        hang_up(own)
        until(lambda: shown(own) != before)
        for _ in range(3):
            kept.sendall(get(b"/v1/ca"))
            assert read_reply(kept, wait_close=0).status == 200
    assert https(own, "/v1/ca")[0] == 200
    key = serialization.load_pem_private_key((own.state / "https.pem").read_bytes(), None)
    assert key.public_key().public_numbers() == shown(own).public_key().public_numbers() != before.public_key().public_numbers()


@pytest.mark.sanitize
def test_names_that_are_added_come_in(own):
    configured(own, "[Listen]", "Names=ca.home.arpa", "Names=10.9.8.7 box.lan, outside.example")
    own.start()
    assert {"ca.home.arpa", "10.9.8.7", "box.lan"} <= names(shown(own)) and "outside.example" not in names(shown(own))
    assert "outside.example" in check(own)["detail"] and "outside.example" in own.log_text()
    for host in ("ca.home.arpa", "box.lan:8080", "outside.example"):
        assert http(own, "/root.crt", host=host).status == 200
    configured(own, "[Listen]", "Names=late.lan")
    hang_up(own)
    until(lambda: "late.lan" in names(shown(own)))
    assert http(own, "/root.crt", host="late.lan").status == 200 and http(own, "/root.crt", host="box.lan").status == 403


@pytest.mark.parametrize("value", ["a b.lan c_d", "*.lan", "a@home.lan", "http://x.lan", "-x.lan"])
def test_names_that_are_none_are_refused(own, value):
    done = cadtest.run(["check-config", *configured(own, "[Listen]", f"Names={value}").args], cwd=own.base)
    assert done.returncode == 1 and "cad.conf:2:" in done.stderr, done


@pytest.mark.parametrize("value", ["59s", "398d", "0", "soon"])
def test_a_validity_out_of_range_is_refused(own, value):
    done = cadtest.run(["check-config", *configured(own, "[Listen]", f"HttpsValidity={value}").args], cwd=own.base)
    assert done.returncode == 1 and "cad.conf:2:" in done.stderr, done


@pytest.mark.slow
def test_it_is_renewed_when_a_third_of_its_life_is_left(own):
    configured(own, "[Listen]", "HttpsValidity=60s")
    own.start()
    first = shown(own)
    assert first.not_valid_after - first.not_valid_before == datetime.timedelta(seconds=59)
    with connect_tcp(own.port("https"), tls_client(root(own))) as kept:
        start = time.monotonic()
        while shown(own) == first:
            assert time.monotonic() - start < 50
            time.sleep(0.2)
            kept.sendall(get(b"/v1/ca"))
            assert read_reply(kept, wait_close=0).status == 200
    assert datetime.datetime.utcnow() < first.not_valid_after and time.monotonic() - start > 20
    assert https(own, "/v1/ca")[0] == 200 and "runs out" in own.log_text()


@pytest.mark.sanitize
def test_a_revoked_one_is_replaced(own):
    own.start()
    before = shown(own)
    own.post(f"/v1/certificates/{serial(before)}/revoke", {"reason": "key_compromise"}).expect(200)
    hang_up(own)        # else within a quarter of a minute
    until(lambda: shown(own) != before)
    assert https(own, "/v1/ca")[0] == 200 and "revoked" in own.log_text()


def issuer(daemon):
    """The intermediate's certificate and key, as the signer keeps them."""
    folder = daemon.state / "signer" / "ca"
    return (x509.load_pem_x509_certificate((folder / "int-1.crt").read_bytes()),
            serialization.load_pem_private_key((folder / "int-1.key").read_bytes(), None))


def expire(daemon):
    """Put a certificate in place that is as cad makes them, and has expired."""
    was = x509.load_pem_x509_certificate((daemon.state / "https.pem").read_bytes().partition(b"END PRIVATE KEY-----\n")[2])
    certificate, key = issuer(daemon)
    own_key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.utcnow()
    builder = (x509.CertificateBuilder().subject_name(was.subject).issuer_name(certificate.subject).public_key(own_key.public_key())
               .serial_number(was.serial_number + 1).not_valid_before(certificate.not_valid_before).not_valid_after(now - datetime.timedelta(seconds=5)))
    for extension in was.extensions:
        value = x509.SubjectKeyIdentifier.from_public_key(own_key.public_key()) if isinstance(extension.value, x509.SubjectKeyIdentifier) else extension.value
        builder = builder.add_extension(value, extension.critical)
    made = builder.sign(key, hashes.SHA256())
    pem = [own_key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())]
    pem += [c.public_bytes(serialization.Encoding.PEM) for c in (made, certificate)]
    (daemon.state / "https.pem").write_bytes(b"".join(pem))
    return made


def test_an_expired_one_is_renewed_at_once(own):
    own.start()
    assert own.stop() == 0
    time.sleep(6)
    expired = expire(own)
    own.start()
    assert serial(shown(own)) != serial(expired) and https(own, "/v1/ca")[0] == 200


@pytest.mark.slow
@pytest.mark.sanitize
def test_an_expired_one_that_cannot_be_renewed_stops_nothing(own):
    """R-23: the signer refuses, since it signed at a later time once; cad starts, says so, and mends it when it can."""
    own.start()
    assert own.stop() == 0
    time.sleep(6)
    expired = expire(own)
    mark = own.state / "signer" / "mark"
    mark.write_text(re.sub(r"^\d+", str(int((time.time() + 86400) * 1000)), mark.read_text()))
    own.ready = own.ready_file.exists
    own.start()
    assert shown(own) == expired
    row = check(own)
    assert row["status"] == "failing" and "expired" in row["detail"], row
    health = own.get("/v1/health")
    assert health.status == 503 and own.get("/v1/certificates").status == 200
    assert http(own, "/root.crt").status == 200
    assert own.stop() == 0
    done = cadtest.run(["clock", "accept", "--state-dir", own.state])
    assert done.returncode == 0, done
    own.start()
    until(lambda: serial(shown(own)) != serial(expired))
    assert check(own)["status"] == "ok"


def test_a_new_ca_may_still_be_made_when_nothing_else_was_issued(own):
    own.start()
    before, old = shown(own), root(own).read_bytes()
    assert own.stop() == 0
    done = cadtest.run(["init", "--again", "--permit-dns", "example.org", "--state-dir", own.state])
    assert done.returncode == 0, done.stderr
    own.start()
    assert root(own).read_bytes() != old and serial(shown(own)) != serial(before) and https(own, "/v1/ca")[0] == 200
    own.issue(NAS).expect(201)
    assert own.stop() == 0
    done = cadtest.run(["init", "--again", "--state-dir", own.state])
    assert done.returncode == 1 and "issued" in done.stderr, done


def test_the_hint_about_a_new_ca_stays_as_long_as_it_is_true(own):
    own.start()
    assert own.stop() == 0
    own.log.unlink()
    own.start()
    assert "--again" in own.log_text()


def test_an_address_that_comes_is_taken_in(own):
    """In a network of its own, with an interface that gets an address later."""
    script = "ip link set lo up && ip link add v0 type veth peer name v1 && ip link set v0 up && exec \"$@\""
    with open(own.log, "ab") as log:
        own.process = subprocess.Popen(["unshare", "-n", "sh", "-c", script, "sh", cadtest.CAD, "--state-dir", own.state, *own.listen],
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=own.env, cwd=own.base)
    try:
        own.wait_until(own.ready, 20, "cad is not ready")
    except AssertionError:
        if re.search("unshare|RTNETLINK|Cannot|Operation not", own.log_text()):
            pytest.skip("no networks of one's own here")
        raise
    inside = ["nsenter", "-n", "-t", str(own.pid)]
    look = f"import ssl,sys; sys.stdout.write(ssl.get_server_certificate(('127.0.0.1', {own.port('https')})))"

    def seen():
        pem = subprocess.run([*inside, sys.executable, "-c", look], capture_output=True, check=True, timeout=20).stdout
        return names(x509.load_pem_x509_certificate(pem))

    assert "10.77.0.1" not in seen()
    for address in ("10.77.0.1/24", "fd77::1/64", "169.254.7.7/16"):
        subprocess.run([*inside, "ip", "addr", "add", address, "dev", "v0", *(["nodad"] if ":" in address else [])], check=True, timeout=10)
    hang_up(own)
    until(lambda: {"10.77.0.1", "fd77::1"} <= seen())
    assert not {name for name in seen() if name.startswith(("169.254", "fe80"))}


# -- the public URL -------------------------------------------------------------------------------


def crl_url(certificate):
    points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    return points[0].full_name[0].value


def test_the_public_url_is_as_configured(own):
    configured(own, "[Listen]", "PublicUrl=http://ca.home.arpa:8080")
    own.start()
    assert own.get("/v1/ca").json["public_url"] == "http://ca.home.arpa:8080"
    assert "ca.home.arpa" in names(shown(own)) and crl_url(shown(own)).startswith("http://ca.home.arpa:8080/crl/")
    assert http(own, "/root.crt", host="ca.home.arpa:8080").status == 200
    assert own.stop() == 0
    configured(own, "[Listen]", "PublicUrl=http://pki.lan")      # another one, later
    own.start()
    issued = own.issue(NAS).expect(201).json["certificate"]
    assert crl_url(x509.load_pem_x509_certificate(issued.encode())).startswith("http://pki.lan/crl/")
    assert "pki.lan" in names(shown(own)) and own.get("/v1/ca").json["public_url"] == "http://pki.lan"


@pytest.mark.parametrize("value", ["https://ca.lan", "ca.lan", "http://", "http://ca.lan/x", "http://ca.lan:0"])
def test_a_public_url_that_is_none_is_refused(own, value):
    done = cadtest.run(["check-config", *configured(own, "[Listen]", f"PublicUrl={value}").args], cwd=own.base)
    assert done.returncode == 1 and "cad.conf:2:" in done.stderr, done


def test_a_new_ca_points_to_the_port_that_it_is_given(own):
    port = free_port()
    own.listen = ["--https", "no", "--http", f"127.0.0.1:{port}"]
    own.start()
    assert own.get("/v1/ca").json["public_url"].endswith(f":{port}")


def test_init_takes_url_and_port_from_the_configuration_too(own):
    configured(own, "[Listen]", "Http=127.0.0.1:8099")
    done = cadtest.run(["init", *own.args, "--state-dir", own.state])
    assert done.returncode == 0 and re.search(r"public URL +http://\S+:8099\n", done.stdout), done
    configured(own, "[Listen]", "PublicUrl=http://ca.lan")
    for more, url in (([], "http://ca.lan"), (["--public-url", "http://pki.lan"], "http://pki.lan")):
        done = cadtest.run(["init", "--again", *own.args, "--state-dir", own.state, *more])
        assert done.returncode == 0 and re.search(rf"public URL +{url}\n", done.stdout), done


# -- the end --------------------------------------------------------------------------------------


@pytest.mark.sanitize
def test_a_stop_with_connections_of_every_kind_is_clean(own):
    own.start()
    held = [connect_tcp(own.port("https"), tls_client(root(own))) for _ in range(4)]
    held += [connect_tcp(own.port("https")) for _ in range(4)]      # in the middle of a handshake
    held += [connect_tcp(own.port("http")) for _ in range(4)]
    for sock in held[:4]:
        sock.sendall(get(b"/v1/health"))
    start = time.monotonic()
    assert own.stop() == 0
    assert time.monotonic() - start < 6
    for sock in held:
        sock.close()
    own.check_log()
    assert not own.ready_file.exists()
