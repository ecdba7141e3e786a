"""TLS as it is spoken to http-echo: versions, client certificates of every kind, and what happens to those who do it wrong
(threats.md §4 rows 47 and 52)."""

import concurrent.futures
import contextlib
import datetime
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time
import warnings

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

import cadtest
import test_http_hygiene
from test_http_hygiene import ANSWER_S, GONE, Echo, certificates, connect_tcp, get, read_reply, readable

pytestmark = pytest.mark.sanitize

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
NOW = datetime.datetime.utcnow()
DAY = datetime.timedelta(days=1)


@pytest.fixture(scope="module")
def echo():
    with Echo(kind="tls", per_address_max=200, request_timeout_s=20) as running:
        yield running


def s_client(server, *args, text="", timeout=10):
    """What openssl s_client says, both streams together."""
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{server.port('tls')}", *args], input=text.encode(),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout)
    return done.stdout.decode(errors="replace")


def alive(server):
    assert server.ask(get(b"/v1/work"), kind="tls").status == 200


# -- versions and ciphers -------------------------------------------------------------------------


@pytest.mark.parametrize("version, number", [("tls1", 769), ("tls1_1", 770)])
def test_old_versions_are_told_so(echo, version, number):
    said = s_client(echo, f"-{version}", "-cipher", "ALL:@SECLEVEL=0")
    assert "alert protocol version" in said and "Cipher is (NONE)" in said
    alive(echo)


@pytest.mark.parametrize("version", VERSIONS)
def test_versions_of_today_are_spoken(echo, version):
    with echo.connect("tls", version=VERSIONS[version]) as sock:
        assert sock.version() == f"TLSv{version}"
        name, _, bits = sock.cipher()
        assert bits >= 128 and ("GCM" in name or "CHACHA20" in name or "CCM" in name), name


@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES128-SHA256", "AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-SHA256",
                                    "aNULL", "RC4-SHA", "NULL-SHA", "DES-CBC3-SHA"])
def test_weak_ciphers_are_not_spoken(echo, cipher):
    said = s_client(echo, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0")
    assert "Cipher is (NONE)" in said or "no cipher match" in said or "no ciphers available" in said, said
    alive(echo)


@pytest.mark.parametrize("group", ["ffdhe2048", "ffdhe8192"])
def test_groups_that_cost_us_dear_are_not_spoken(echo, group):
    said = s_client(echo, "-tls1_3", "-groups", group)
    assert "Cipher is (NONE)" in said, said
    alive(echo)


def test_renegotiation_ends_the_connection(echo):
    """At once, and costs nobody else anything."""
    process = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{echo.port('tls')}", "-tls1_2", "-legacy_renegotiation"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        process.stdin.write(b"R\n")
        process.stdin.flush()
        time.sleep(0.5)
        process.stdin.write(b"R\n")
        with contextlib.suppress(BrokenPipeError):
            process.stdin.flush()
        said = process.communicate(timeout=5)[0].decode(errors="replace")
        assert said.count("RENEGOTIATING") >= 1 and "HTTP/1.1" not in said
    finally:
        process.kill()
        process.wait()
    alive(echo)


def test_http_in_the_clear_gets_no_answer(echo):
    with connect_tcp(echo.port("tls")) as sock:
        sock.sendall(get(b"/v1/quick"))
        with contextlib.suppress(*GONE):
            assert not sock.recv(1000).startswith(b"HTTP/")
    alive(echo)


def test_a_failed_handshake_is_logged_once_a_minute():
    with Echo(kind="tls") as server:
        for _ in range(20):
            s_client(server, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
        with connect_tcp(server.port("tls")):      # who says nothing, is nothing: a port scan
            pass
        lines = re.findall(rb"no TLS with .*", server.output())
        assert len(lines) == 1 and b"127.0.0.1" in lines[0] and b"TLS 1.1" in lines[0], lines
        alive(server)


@pytest.mark.slow
def test_the_end_of_a_connection_touches_nothing_that_is_gone(tmp_path, monkeypatch):
    """libmicrohttpd frees the session before it says that the connection ends. GnuTLS is not ours to instrument: valgrind sees it."""
    if not shutil.which("valgrind"):
        pytest.skip("valgrind is not installed")
    if cadtest.sanitized():
        pytest.skip("valgrind and the sanitizers do not go together")
    wrapper, report = tmp_path / "http-echo", tmp_path / "report"
    wrapper.write_text(f'#!/bin/sh\nexec valgrind --quiet --log-file={report} "{test_http_hygiene.ECHO}" "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setattr(test_http_hygiene, "ECHO", wrapper)
    with Echo(kind="tls", handshake_timeout_s=20) as server:
        alive(server)
        for args in (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], ["-CAfile", "/dev/null", "-verify_return_error"]):
            s_client(server, *args, timeout=60)
        with connect_tcp(server.port("tls")) as sock:
            sock.sendall(hello()[:100])
        alive(server)
    assert report.read_text() == ""


def hello():
    """A real ClientHello."""
    context, incoming, outgoing = ssl.create_default_context(), ssl.MemoryBIO(), ssl.MemoryBIO()
    context.check_hostname = False
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


def test_broken_handshakes_break_nothing():
    """Cut off, changed, repeated, and far too long names: whatever comes, the others are served."""
    good, chance = hello(), random.Random(52)
    rows = [good[:n] for n in range(0, len(good), 7)]
    for _ in range(300):
        row = bytearray(good)
        for _ in range(chance.randrange(1, 9)):
            row[chance.randrange(len(row))] = chance.randrange(256)
        rows.append(bytes(row))
    rows += [good * 3, b"\x16\x03\x01\x40\x00" + b"\x01\x00\x3f\xfc\x03\x03" + bytes(0x3ffa), b"\x15\x03\x03\x00\x02\x02\x28" * 100,
             b"\x80\x2e\x01\x00\x02" + bytes(60), b"\x16\x03\x01\xff\xff" + bytes(65535), b"\x17\x03\x03\x00\x20" + bytes(32), long_name(good)]
    with Echo(kind="tls", handshake_timeout_s=2, per_address_max=500) as server:
        before = server.fds()
        for row in rows:
            with contextlib.suppress(OSError), connect_tcp(server.port("tls")) as sock:
                sock.sendall(row)
                sock.shutdown(socket.SHUT_WR)
                sock.settimeout(0.02)
                with contextlib.suppress(OSError):
                    sock.recv(1000)
        alive(server)
        until = time.monotonic() + 10
        while server.fds() > before + 1:
            assert time.monotonic() < until, f"{server.fds()} descriptors, {before} before"
            time.sleep(0.1)


def long_name(good):
    """The same with a server name of nearly 16 KiB in place of 'localhost'."""
    name = b"a" * 16000
    at = good.index(b"localhost")
    start, end = at - 9, at + 9         # type and length of the extension, of the list, type and length of the name
    extension = struct.pack("!HHHBH", 0, len(name) + 5, len(name) + 3, 0, len(name)) + name
    body = bytearray(good[:start] + extension + good[end:])
    grown = len(extension) - (end - start)
    struct.pack_into("!H", body, 3, struct.unpack_from("!H", good, 3)[0] + grown)
    struct.pack_into("!I", body, 5, struct.unpack_from("!I", good, 5)[0] + grown)
    at = 5 + 4 + 2 + 32
    at += 1 + body[at]
    at += 2 + struct.unpack_from("!H", body, at)[0]
    at += 1 + body[at]
    struct.pack_into("!H", body, at, struct.unpack_from("!H", good, at)[0] + grown)
    return bytes(body)


# -- slow ones ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", hello()[:50]], ids=["nothing", "half a hello"])
def test_a_handshake_that_does_not_come_is_dropped(sent):
    with Echo(kind="tls", handshake_timeout_s=1, request_timeout_s=30) as server, connect_tcp(server.port("tls")) as sock:
        start = time.monotonic()
        sock.sendall(sent)
        assert readable(sock, 6)
        with contextlib.suppress(*GONE):
            assert sock.recv(1000) == b""
        assert 0.8 < time.monotonic() - start < 4


def test_a_request_has_its_own_time_after_the_handshake():
    with Echo(kind="tls", handshake_timeout_s=1, request_timeout_s=30) as server, server.connect("tls") as sock:
        time.sleep(2.5)
        sock.sendall(get(b"/v1/quick"))
        assert read_reply(sock).status == 200


@pytest.mark.parametrize("sent", [b"", hello()[:50], hello()], ids=["nothing", "half a hello", "a whole hello"])
def test_a_handshake_that_waits_costs_nothing(sent):
    """With epoll, libmicrohttpd 0.9.75 takes a whole processor for it."""
    with Echo(kind="tls") as server, connect_tcp(server.port("tls")) as sock:
        sock.sendall(sent)
        time.sleep(0.3)
        before = server.cpu_s()
        time.sleep(1)
        assert server.cpu_s() - before < 0.1


def test_a_connection_that_waits_costs_nothing():
    with Echo(kind="tls") as server, contextlib.ExitStack() as stack:
        for sent in (b"", b"GET /v1/qu", get(b"/v1/quick"), get(b"/v1/slow?ms=2500"), get(b"/v1/big?kib=20000")):
            stack.enter_context(server.connect("tls")).sendall(sent)
        time.sleep(0.5)
        before = server.cpu_s()
        time.sleep(1)
        assert server.cpu_s() - before < 0.1


@pytest.mark.slow
def test_handshakes_that_do_not_come_delay_nobody():
    with Echo(kind="tls", per_address_max=1000, handshake_timeout_s=20) as server, contextlib.ExitStack() as stack:
        for i in range(300):
            stack.enter_context(connect_tcp(server.port("tls"))).sendall(hello()[:i % 100])
        times = []
        for _ in range(20):
            start = time.monotonic()
            alive(server)
            times.append(time.monotonic() - start)
        assert sorted(times)[10] < 0.25, times


# -- certificates of clients ---------------------------------------------------------------------


def name_of(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def make(key, subject="client", issuer=None, issuer_key=None, before=NOW - DAY, after=NOW + DAY, extensions=(), digest=hashes.SHA256()):
    builder = (x509.CertificateBuilder().subject_name(name_of(subject)).issuer_name(name_of(issuer or subject)).public_key(key.public_key())
               .serial_number(x509.random_serial_number()).not_valid_before(before).not_valid_after(after))
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    signer = issuer_key or key
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")     # SHA-1 is deprecated: that is why it is here
        return builder.sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else digest)


def chain_of(length):
    key = ec.generate_private_key(ec.SECP256R1())
    issuer_keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(length)]
    found = [make(key, "leaf", "ca-0", issuer_keys[0])]
    found += [make(issuer_keys[i], f"ca-{i}", f"ca-{i + 1}", issuer_keys[i + 1],
                   extensions=[(x509.BasicConstraints(True, None), True)]) for i in range(length - 1)]
    return key, found


def self_loop():
    """Two that have signed each other, over and over."""
    a, b = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    return a, [make(a, "a", "b", b), make(b, "b", "a", a)] * 4


def usage(**wanted):
    every = dict.fromkeys(("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
                           "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(**{**every, **wanted})


def one(key, **more):
    return key, [make(key, **more)]


def curve(which=ec.SECP256R1):
    return ec.generate_private_key(which())


CLIENTS = {
    "self-signed": lambda: one(curve()),
    "expired": lambda: one(curve(), before=NOW - 9 * DAY, after=NOW - DAY),
    "not yet valid": lambda: one(curve(), before=NOW + DAY, after=NOW + 9 * DAY),
    "of 1951": lambda: one(curve(), before=datetime.datetime(1951, 1, 1), after=datetime.datetime(1952, 1, 1)),
    "P-384": lambda: one(curve(ec.SECP384R1)),
    "P-521": lambda: one(curve(ec.SECP521R1)),
    "Ed25519": lambda: one(ed25519.Ed25519PrivateKey.generate()),
    "RSA-2048": lambda: one(rsa.generate_private_key(65537, 2048)),
    "RSA-1024": lambda: one(rsa.generate_private_key(65537, 1024)),
    "RSA-4096": lambda: one(rsa.generate_private_key(65537, 4096)),
    "RSA with exponent 3": lambda: one(rsa.generate_private_key(3, 2048)),
    "signed with SHA-1": lambda: one(rsa.generate_private_key(65537, 2048), digest=hashes.SHA1()),
    "a CA": lambda: one(curve(), extensions=[(x509.BasicConstraints(True, 0), True)]),
    "for servers alone": lambda: one(curve(), extensions=[(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), True)]),
    "an unknown critical extension": lambda: one(curve(), extensions=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)]),
    "an empty subject": lambda: one(curve(), subject=" "),
    "a chain of 20": lambda: chain_of(20),
    "a loop": self_loop,
    "30 KiB of names": lambda: one(curve(), extensions=[(x509.SubjectAlternativeName([x509.DNSName(f"host-{i}.example.lan") for i in range(900)]), False)]),
}


def pem_file(path, key, chain):
    if not isinstance(key, bytes):
        key = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(key + b"".join(c.public_bytes(serialization.Encoding.PEM) for c in chain))
    return path


def sizes(chain):
    return [len(c.public_bytes(serialization.Encoding.DER)) for c in chain]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", CLIENTS)
def test_any_client_certificate_passes_the_handshake_and_is_handed_up(echo, tmp_path, kind, version):
    """Whether it is worth anything is not for TLS to say (design.md §8): 401 tells more than a broken handshake."""
    key, chain = CLIENTS[kind]()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(echo.identity)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.load_cert_chain(pem_file(tmp_path / "client.pem", key, chain))
    context.minimum_version = context.maximum_version = VERSIONS[version]
    with connect_tcp(echo.port("tls"), context) as sock:
        for asked in (1, 2):
            sock.sendall(get(b"/v1/whoami"))
            who = json.loads(read_reply(sock, wait_close=0).body)
            assert who["certificates"] == sizes(chain) and who["asked"] == asked, who


def test_no_certificate_is_no_certificate(echo):
    assert json.loads(echo.ask(get(b"/v1/whoami"), kind="tls").body)["certificates"] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_certificate_without_its_key_proves_nothing(echo, tmp_path, version):
    """openssl signs with another key than the certificate's: the signature in the handshake is wrong."""
    key, chain = one(curve())
    pem_file(tmp_path / "c.pem", key, chain)
    pem_file(tmp_path / "k.pem", curve(), [])
    said = s_client(echo, "-cert", str(tmp_path / "c.pem"), "-key", str(tmp_path / "k.pem"), f"-tls{version.replace('.', '_')}",
                    text=get(b"/v1/whoami").decode())
    assert "HTTP/1.1 200" not in said, said
    alive(echo)


def huge_rsa():
    """A key that makes verifying dear: a public exponent as long as the modulus."""
    p, q = (rsa.generate_private_key(65537, 2048).private_numbers().p for _ in range(2))
    phi, chance = (p - 1) * (q - 1), random.Random(1)
    while True:
        e = chance.getrandbits(2000) | 1 << 1999 | 1
        with contextlib.suppress(ValueError):
            d = pow(e, -1, phi)
            return one(rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(e, p * q)).private_key())


def huge_pss():
    """The same, as a key for RSA-PSS alone: it is of another kind to GnuTLS, and not cheaper."""
    exponent = random.Random(1).getrandbits(2000) | 1 << 1999 | 1
    with tempfile.TemporaryDirectory() as folder:
        key = f"{folder}/key.pem"
        cadtest.openssl("genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048", "-pkeyopt", f"rsa_keygen_pubexp:{exponent}", "-out", key)
        cadtest.openssl("req", "-x509", "-new", "-key", key, "-subj", "/CN=dear", "-out", f"{folder}/cert.pem")
        return pathlib.Path(key).read_bytes(), [x509.load_pem_x509_certificate(pathlib.Path(f"{folder}/cert.pem").read_bytes())]


UNUSABLE = {
    "a key for PSS that does": (huge_pss, b"RSA key"),
    "a key that costs us dear": (huge_rsa, b"RSA key"),     # verifying happens where other connections wait
    "not for signing": (lambda: one(curve(), extensions=[(usage(key_agreement=True), True)]), b"digital signatures"),
    "for signing certificates alone": (lambda: one(curve(), extensions=[(usage(key_cert_sign=True), True)]), b"digital signatures"),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", UNUSABLE)
def test_what_tls_cannot_use_gets_an_alert(tmp_path, kind, version):
    with Echo(kind="tls") as server:
        client = pem_file(tmp_path / "client.pem", *UNUSABLE[kind][0]())
        before = server.cpu_s()
        with pytest.raises(ssl.SSLError, match="(?i)unsupported.certificate"):
            with server.connect("tls", client=client, version=VERSIONS[version]) as sock:
                sock.recv(100)      # TLS 1.3: the client is done before the server is
        assert server.cpu_s() - before < 0.2
        alive(server)
        assert UNUSABLE[kind][1] in server.output()


def test_a_flood_of_client_certificates_leaves_nothing_behind(tmp_path):
    path = pem_file(tmp_path / "client.pem", *chain_of(5))
    with Echo(kind="tls", per_address_max=64) as server:
        server.ask(get(b"/v1/whoami"), kind="tls", client=path)
        before = server.fds()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: server.ask(get(b"/v1/whoami"), kind="tls", client=path).status, range(200)))
        assert found == [200] * 200
        until = time.monotonic() + 5
        while server.fds() > before:
            assert time.monotonic() < until
            time.sleep(0.05)


# -- its own certificate -------------------------------------------------------------------------


def shown(server, context=None):
    context = context or ssl._create_unverified_context()
    with connect_tcp(server.port("tls"), context) as sock:
        return sock.getpeercert(binary_form=True)


def swap(server, name):
    shutil.copy(certificates() / name, f"{server.identity}.new")     # never half of it
    os.replace(f"{server.identity}.new", server.identity)
    server.signal(signal.SIGHUP)


def der(name):
    return ssl.PEM_cert_to_DER_cert(re.search(r"-----BEGIN CERT.*", (certificates() / name).read_text(), re.DOTALL).group())


def test_a_new_certificate_takes_over_without_a_break():
    with Echo(kind="tls") as server, server.connect("tls") as kept:
        assert shown(server) == der("server.pem")
        swap(server, "other.pem")
        until = time.monotonic() + 5
        while shown(server) != der("other.pem"):
            assert time.monotonic() < until
        for _ in range(3):      # the connection that began with the old one
            kept.sendall(get(b"/v1/work"))
            assert read_reply(kept, wait_close=0).status == 200
        assert kept.getpeercert(binary_form=True) == der("server.pem")


def test_handshakes_while_the_certificate_changes_all_succeed():
    with Echo(kind="tls", per_address_max=64) as server:
        context, done, failed = ssl._create_unverified_context(), threading.Event(), []

        def caller():
            while not done.is_set():
                try:
                    assert shown(server, context) in (der("server.pem"), der("other.pem"))
                except (OSError, AssertionError) as error:
                    failed.append(error)

        threads = [threading.Thread(target=caller) for _ in range(6)]
        for thread in threads:
            thread.start()
        for i in range(60):
            swap(server, ("other.pem", "server.pem")[i % 2])
            time.sleep(0.02)
        done.set()
        for thread in threads:
            thread.join(ANSWER_S)
        assert not failed, failed[:3]


def test_without_a_certificate_handshakes_fail_and_nothing_else():
    with Echo(kind="all") as server:
        pathlib.Path(server.identity).write_text("nothing")
        server.signal(signal.SIGHUP)
        until = time.monotonic() + 5
        while True:
            try:
                shown(server)
            except OSError:
                break
            assert time.monotonic() < until
        assert server.ask(get(b"/v1/quick"), kind="tcp").status == 200
        assert b"there is no certificate for HTTPS yet" in server.output()
        shutil.copy(certificates() / "server.pem", server.identity)
        server.signal(signal.SIGHUP)
        while True:
            with contextlib.suppress(OSError):
                if shown(server) == der("server.pem"):
                    break
            assert time.monotonic() < until
