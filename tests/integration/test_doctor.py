"""cactl doctor: a real TLS server, or a file, for each fault, and what is said of it."""

import contextlib
import datetime
import http.server
import ipaddress
import json
import os
import pathlib
import random
import re
import socket
import ssl
import subprocess
import tempfile
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs7, pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID as EKU
from cryptography.x509.oid import NameOID

import cadtest
import flight
import https

CACTL = cadtest.BUILD / "client" / "cactl"
NOW = datetime.datetime.utcnow().replace(microsecond=0)
DAY = datetime.timedelta(days=1)
FAST_S = 1.0        # a host that answers (design: issue 5, Speed)
BOUND_S = 9         # one that does not


# -- certificates ----------------------------------------------------------------------------------

def name(cn):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)] if cn else [])


def alternative(text):
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def usage(**bits):
    wanted = dict.fromkeys(("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
                            "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(**{**wanted, **bits})


class Authority:
    """A CA of these tests: a key and a certificate, and what it issues."""

    def __init__(self, cn, parent=None, key=None, ca=True, sign=True, path_length=None, permit=None, purposes=None, start=NOW - 30 * DAY,
                 days=3650, public=None, digest=hashes.SHA256()):
        self.key = (key() if callable(key) else key) or ec.generate_private_key(ec.SECP256R1())
        self.name = name(cn)
        builder = (x509.CertificateBuilder().subject_name(self.name).issuer_name(parent.name if parent else self.name)
                   .public_key(public or self.key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(start).not_valid_after(start + days * DAY)
                   .add_extension(usage(key_cert_sign=sign, crl_sign=True, digital_signature=True), True))
        if ca is not None:
            builder = builder.add_extension(x509.BasicConstraints(ca, path_length if ca else None), True)
        if permit:
            builder = builder.add_extension(x509.NameConstraints([x509.DNSName(one) for one in permit], None), True)
        if purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), False)
        signer = parent.key if parent else self.key
        self.certificate = builder.sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else digest)

    def issue(self, *names, key=None, cn="nas.lan", start=NOW - DAY, days=90, purposes=(EKU.SERVER_AUTH,), bits=None, ca=None,
              digest=hashes.SHA256(), extra=None, issuer=None):
        """A leaf, as (certificate, key)."""
        key = (key() if callable(key) else key) or ec.generate_private_key(ec.SECP256R1())
        builder = (x509.CertificateBuilder().subject_name(name(cn)).issuer_name(issuer or self.name).public_key(key.public_key())
                   .serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(start + days * DAY)
                   .add_extension(usage(**(bits if bits is not None else {"digital_signature": True})), True))
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([one if isinstance(one, x509.GeneralName) else alternative(one)
                                                                         for one in names]), False)
        if purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), False)
        if ca is not None:
            builder = builder.add_extension(x509.BasicConstraints(ca, None), True)
        if extra:
            builder = builder.add_extension(*extra)
        return builder.sign(self.key, None if isinstance(self.key, ed25519.Ed25519PrivateKey) else digest), key


def pem(*certificates):
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def key_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


# -- servers ---------------------------------------------------------------------------------------

class Listener:
    """A socket whose every connection is handed to @serve, in a thread of its own."""

    def __init__(self, serve):
        self.serve, self.closing = serve, threading.Event()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(peer,), daemon=True).start()

    def talk(self, peer):
        with contextlib.suppress(OSError, ssl.SSLError), peer:
            peer.settimeout(20)
            self.serve(peer, self.closing)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.socket.close()


def tls_server(folder, chain, key, newest=None, wants=False, date=None):
    """A TLS server that shows @chain as it is, weak or not; @date: of its answer to a request."""
    file = folder / "server.pem"
    file.write_bytes(pem(*chain) + key_pem(key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    if newest:
        context.minimum_version = newest
        context.maximum_version = newest
    context.load_cert_chain(file)
    if wants:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(file)

    def serve(peer, closing):
        with context.wrap_socket(peer, server_side=True) as session:
            if session.recv(4096) and date:
                session.sendall(f"HTTP/1.1 200 OK\r\nDate: {http_date(date)}\r\n\r\n".encode())
    return Listener(serve)


def http_date(when):
    return when.strftime("%a, %d %b %Y %H:%M:%S GMT")


# -- the doctor ------------------------------------------------------------------------------------

class Pki:
    def __init__(self, base):
        self.base = base
        self.root = Authority("Test Root", permit=["lan", "home.arpa"])
        self.middle = Authority("Test Issuer", self.root, path_length=0)
        self.stranger = Authority("Stranger")
        self.root_file = base / "root.pem"
        self.root_file.write_bytes(pem(self.root.certificate))
        self.other_file = base / "other.pem"
        self.env = {**cadtest.environment(), "HOME": str(base), "XDG_STATE_HOME": str(base), "SSL_CERT_FILE": "/nonexistent"}

    def run(self, *args, root=True, env=None, input=None):
        more = ["--root", self.root_file] if root is True else ["--root", root] if root else []
        return subprocess.run([CACTL, "doctor", *map(str, args), *map(str, more)], capture_output=True, cwd=self.base, input=input or b"",
                              env={**self.env, **(env or {})}, timeout=30)

    def look(self, *args, **more):
        """Exit code and the JSON."""
        done = self.run(*args, "--json", **more)
        assert done.returncode in (0, 1), done
        assert not any(report in done.stderr.decode() for report in ("Sanitizer", "runtime error")), done
        return done.returncode, json.loads(done.stdout)


@pytest.fixture(scope="module")
def pki():
    cadtest.require_build()
    with tempfile.TemporaryDirectory(prefix="cad-") as base:
        yield Pki(pathlib.Path(base))


@pytest.fixture(scope="module")
def good(pki):
    return pki.middle.issue("nas.lan")


def codes(seen):
    return {finding["code"] for finding in seen["findings"]}


def texts(seen):
    return " | ".join(finding["text"] for finding in seen["findings"])


def rsa_key(bits, exponent=65537):
    """Made when it is wanted: the table of faults is read in every run of the tests."""
    return lambda: rsa.generate_private_key(exponent, bits)


class Fault:
    """@make: (pki) → (chain, key); @says: in the sentences; @args: of cactl doctor; @by: kinds of device that refuse it, where that
    is told."""

    def __init__(self, make, codes, *says, exit=1, args=("--name", "nas.lan"), by=None, **server):
        self.make, self.codes, self.says, self.exit, self.args, self.by, self.server = make, set(codes), says, exit, args, by, server


DEVICES = {"chrome": "Chrome, Edge, browsers on Android", "firefox": "Firefox", "apple": "iPhones, iPads, Macs", "apps": "Android apps",
           "java": "Java", "linux": "curl, OpenSSL, GnuTLS", "old": "old devices"}


def leaf(*names, by="middle", chain=("middle",), **fields):
    """A server's chain: the leaf of @by, then these CAs."""
    def make(pki):
        certificate, key = getattr(pki, by).issue(*(names or ("nas.lan",)), **fields)
        return [certificate, *(getattr(pki, one).certificate for one in chain)], key
    return make


def nameless(**fields):
    def make(pki):
        certificate, key = pki.middle.issue(**fields)
        return [certificate, pki.middle.certificate], key
    return make


def below(**fields):
    """A chain over an intermediate of its own."""
    def make(pki):
        middle = Authority("Odd Issuer", pki.root, **fields)
        certificate, key = middle.issue("nas.lan")
        return [certificate, middle.certificate], key
    return make


def self_signed(**fields):
    def make(pki):
        own = Authority("nas.lan", **{"days": 90, **fields})
        certificate, _ = own.issue("nas.lan", key=own.key)
        return [certificate], own.key
    return make


def self_signed_ca(pki):
    key = ec.generate_private_key(ec.SECP256R1())
    return [Authority("nas.lan", key=key, days=3650).certificate], key


def ordered(pick):
    """The good chain, picked anew from leaf, middle, root, stranger."""
    def make(pki):
        certificate, key = pki.middle.issue("nas.lan")
        return [[certificate, pki.middle.certificate, pki.root.certificate, pki.stranger.certificate][i] for i in pick], key
    return make


def long_way(pki):
    """Five CAs, sent in the wrong order."""
    upper = Authority("Upper", pki.root)
    lower = Authority("Lower", upper)
    certificate, key = lower.issue("nas.lan")
    return [certificate, upper.certificate, lower.certificate], key


def deep(count, junk=0):
    def make(pki):
        way = [Authority("CA 0", pki.root)]
        for i in range(1, count):
            way.append(Authority(f"CA {i}", way[-1]))
        certificate, key = way[-1].issue("nas.lan")
        return [certificate, *(one.certificate for one in reversed(way))], key
    return make


def namesake(pki):
    """Signed by another CA of the same name, as after making the CA anew."""
    other = Authority("Test Issuer", Authority("Test Root"))
    certificate, key = other.issue("nas.lan")
    return [certificate, other.certificate], key


def forged(pki):
    """It names our issuer, and somebody else's key has signed it."""
    certificate, key = pki.stranger.issue("nas.lan", issuer=pki.middle.name)
    return [certificate, pki.middle.certificate], key


def weak_issuer(pki):
    """Its own signature is as it should be, and its key is not."""
    middle = Authority("Weak Issuer", pki.root, key=rsa_key(1024))
    certificate, key = middle.issue("nas.lan")
    return [certificate, middle.certificate], key


def sha1_root(pki):
    """A root's signature of itself proves nothing to anybody: it may be as weak as it likes."""
    root = Authority("Old Root", digest=hashes.SHA1())
    pki.other_file.write_bytes(pem(root.certificate))
    certificate, key = root.issue("nas.lan")
    return [certificate], key


def rollover(pki):
    """A CA's new key, signed by its old one: it is no root, and no CA more in the row (RFC 5280 §4.2.1.9), but for GnuTLS."""
    newer = Authority("Test Issuer", pki.middle, path_length=0)
    certificate, key = newer.issue("nas.lan")
    return [certificate, newer.certificate, pki.middle.certificate], key


def confined_below(pki):
    """The root may issue for it, and an intermediate that is confined may not."""
    middle = Authority("Narrow Issuer", pki.root, permit=["home.arpa"])
    certificate, key = middle.issue("nas.lan")
    return [certificate, middle.certificate], key


def named_like_its_issuer(pki):
    """Subject and issuer are the same, and it is not signed with its own key: not self-signed."""
    certificate, key = pki.stranger.issue("nas.lan", cn="Stranger")
    return [certificate, pki.stranger.certificate], key


RSA, PSS = bytes.fromhex("2a864886f70d010101 0500"), bytes.fromhex("2a864886f70d01010a 3000")


def heavy(modulus_bits, exponent_bits, kind=RSA):
    """An issuer whose key nobody would compute with: for its size, or for its exponent."""
    def make(pki):
        random_bits = random.Random(5).getrandbits
        modulus = random_bits(modulus_bits) | 1 << modulus_bits - 1 | 1
        exponent = random_bits(exponent_bits) | 1 << exponent_bits - 1 | 1
        monster = Authority("Monster", pki.root, public=rsa.RSAPublicNumbers(exponent, modulus).public_key())
        certificate, key = pki.stranger.issue("nas.lan", issuer=monster.name)
        der = monster.certificate.public_bytes(serialization.Encoding.DER)
        return [certificate, x509.load_der_x509_certificate(der.replace(RSA, kind))], key
    return make


def heavy_dsa(pki):
    """An issuer with a key of DSA, the order of whose group is as long as its prime."""
    def der(tag, *parts):
        body = b"".join(parts)
        return bytes([tag]) + (bytes([len(body)]) if len(body) < 128 else b"\x82" + len(body).to_bytes(2, "big")) + body
    number = der(2, b"\0\xff" + random.Random(5).randbytes(500) + b"\1")
    spki = der(0x30, der(0x30, bytes.fromhex("06072a8648ce380401"), der(0x30, number, number, number)), der(3, b"\0", number))
    monster = Authority("Monster", pki.root, public=serialization.load_der_public_key(spki))
    certificate, key = pki.stranger.issue("nas.lan", issuer=monster.name)
    return [certificate, monster.certificate], key


def second_level(pki):
    """A CA below one that permits none (path length 0)."""
    lower = Authority("Too Deep", pki.middle)
    certificate, key = lower.issue("nas.lan")
    return [certificate, lower.certificate, pki.middle.certificate], key


def many_namesakes(pki):
    """A hundred and fifty CAs of one name, none of which has signed it."""
    certificate, key = pki.stranger.issue("nas.lan", issuer=name("Test Issuer"))
    key2 = ec.generate_private_key(ec.SECP256R1())
    return [certificate, *(Authority("Test Issuer", pki.root, key=key2).certificate for _ in range(150))], key


UNKNOWN = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)
HUGE = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x04\x82\x9c\x40" + b"x" * 40000), False)

FAULTS = {
    "a good server": Fault(leaf(), [], exit=0, by=""),
    "a good one with RSA": Fault(leaf(key=rsa_key(2048)), [], exit=0),
    "a good one by its address": Fault(leaf("127.0.0.1", "nas.lan"), [], exit=0, args=()),
    "a wildcard": Fault(leaf("*.nas.lan"), [], exit=0, args=("--name", "x.nas.lan")),
    "a peer for both": Fault(leaf(purposes=(EKU.SERVER_AUTH, EKU.CLIENT_AUTH)), [], exit=0, args=("--name", "nas.lan", "--purpose", "both")),
    "a server that wants a certificate": Fault(leaf(), ["client-certificate"], exit=0, wants=True),
    "one that wants it in TLS 1.2, and hangs up": Fault(leaf(), ["client-certificate"], exit=0, wants=True, newest=ssl.TLSVersion.TLSv1_2),
    "a root with SHA-1": Fault(sha1_root, [], exit=0, args=("--name", "nas.lan", "--other-root")),
    "a client for any use": Fault(leaf(purposes=(EKU.ANY_EXTENDED_KEY_USAGE,)), [], exit=0, args=("--purpose", "client")),
    "a client for what, unsaid": Fault(leaf(purposes=()), [], exit=0, args=("--purpose", "client")),
    # trust
    "untrusted root": Fault(leaf(by="stranger", chain=("stranger",)), ["root-untrusted"], "'Stranger'"),
    "unknown issuer": Fault(leaf(by="stranger", chain=()), ["issuer-unknown"], "'Stranger'", "'nas.lan'"),
    "self-signed": Fault(self_signed(), ["self-signed"], "'nas.lan'"),
    "self-signed CA for ten years": Fault(self_signed_ca, ["self-signed", "leaf-is-ca", "life-too-long", "purpose-missing", "name-only-cn"],
                                          "3650"),
    "missing intermediate": Fault(leaf(chain=()), ["intermediate-missing"], "'Test Issuer'", args=("--name", "nas.lan", "--bundle"),
                                  by="firefox apps java linux old"),
    "CA made anew": Fault(namesake, ["signature-wrong"], "'Test Root'"),
    "forged": Fault(forged, ["signature-wrong"], "'Test Issuer'"),
    "named like its issuer": Fault(named_like_its_issuer, ["root-untrusted"], "'Stranger'"),
    # order
    "wrong order": Fault(long_way, ["chain-order"], "'Lower'", "number 3", by="old"),
    "root sent along": Fault(ordered([0, 1, 2]), ["root-sent"], "'Test Root'", exit=0),
    "a stray one": Fault(ordered([0, 3, 1]), ["chain-stray"], "'Stranger'", exit=0),
    # issuers
    "issuer is no CA": Fault(below(ca=False), ["issuer-not-ca"], "'Odd Issuer'"),
    "issuer may not sign": Fault(below(sign=False), ["issuer-key-usage"], "keyCertSign"),
    "issuer for clients alone": Fault(below(purposes=[EKU.CLIENT_AUTH]), ["issuer-purpose"], "serverAuth"),
    "issuer for servers alone": Fault(below(purposes=[EKU.SERVER_AUTH]), ["issuer-purpose", "client-purpose"], "clientAuth",
                                      args=("--purpose", "client")),
    "issuer expired": Fault(below(start=NOW - 100 * DAY, days=99), ["issuer-expired"], f"{NOW - DAY:%Y-%m-%d}"),
    "issuer from the future": Fault(below(start=NOW + 5 * DAY), ["issuer-not-yet-valid"], f"{NOW + 5 * DAY:%Y-%m-%d}"),
    "too many CAs": Fault(second_level, ["path-length"], "'Test Issuer'", "permits 0"),
    "a CA with a new key": Fault(rollover, ["chain-refused"], "GnuTLS"),
    "outside the constraints": Fault(leaf("www.bank.com"), ["name-constraints"], "'www.bank.com'", "'Test Root'",
                                     args=("--name", "www.bank.com")),
    "outside an intermediate's constraints": Fault(confined_below, ["name-constraints"], "'Narrow Issuer'", "home.arpa"),
    # names
    "another host": Fault(leaf("nas.lan", "nas2.lan"), ["name-mismatch"], "'printer.lan'", "nas.lan, nas2.lan", args=("--name", "Printer.LAN")),
    "another address": Fault(leaf("nas.lan", "192.168.1.5"), ["name-mismatch"], "'127.0.0.1'", "192.168.1.5", args=()),
    "an address as a DNS name": Fault(leaf(x509.DNSName("127.0.0.1"), "nas.lan"), ["ip-as-dns"], "127.0.0.1", args=()),
    "common name alone": Fault(nameless(), ["name-only-cn"], "'nas.lan'"),
    "common name beside a mail address": Fault(leaf(x509.RFC822Name("anna@nas.lan")), ["name-mismatch"], "common name alone"),
    "common name beside others": Fault(leaf("other.lan"), ["name-mismatch"], "common name alone"),
    "no name at all": Fault(nameless(cn=""), ["no-names"]),
    "a wildcard too wide": Fault(leaf("*.lan"), ["name-mismatch"], "*.lan", "wildcard"),
    "a wildcard one deeper": Fault(leaf("*.nas.lan"), ["name-mismatch"], args=("--name", "a.b.nas.lan")),
    # time
    "expired": Fault(leaf(start=NOW - 100 * DAY, days=90), ["expired"], f"{NOW - 10 * DAY:%Y-%m-%d}", "10 days ago"),
    "not yet valid": Fault(leaf(start=NOW + 3 * DAY), ["not-yet-valid"], f"{NOW + 3 * DAY:%Y-%m-%d}"),
    "expires soon": Fault(leaf(start=NOW - 88 * DAY, days=90), ["expires-soon"], f"{NOW + 2 * DAY:%Y-%m-%d}", exit=0),
    "too long for Apple": Fault(leaf(days=826), ["life-too-long"], "826", by="apple"),
    "just not too long for Apple": Fault(leaf(start=NOW, days=824), [], exit=0),
    "the server's clock, or ours": Fault(leaf(start=NOW - 100 * DAY, days=90), ["expired", "clock-unclear"], f"{NOW - 50 * DAY:%Y-%m-%d}",
                                         date=NOW - 50 * DAY),
    "our clock, before the CA was": Fault(leaf(), ["not-yet-valid", "issuer-not-yet-valid", "clock-here"], "1999-12-31",
                                          args=("--name", "nas.lan", "--time", "1999-12-31")),
    # purpose
    "for clients": Fault(leaf(purposes=(EKU.CLIENT_AUTH,)), ["server-purpose"], "clientAuth"),
    "for servers, as a client": Fault(leaf(), ["client-purpose"], "serverAuth", args=("--purpose", "client")),
    "for code": Fault(leaf(purposes=(EKU.CODE_SIGNING,)), ["server-purpose", "client-purpose"], "codeSigning",
                      args=("--name", "nas.lan", "--purpose", "both")),
    "for what, unsaid": Fault(leaf(purposes=()), ["purpose-missing"], "serverAuth", by="apple"),
    "for anything": Fault(leaf(purposes=(EKU.ANY_EXTENDED_KEY_USAGE,)), ["purpose-missing"], "anyExtendedKeyUsage", by="firefox apple"),
    "key for encryption alone": Fault(leaf(key=rsa_key(2048), bits={"key_encipherment": True}), ["key-usage"], "keyEncipherment"),
    "a CA as a server": Fault(leaf(ca=True), ["leaf-is-ca"], "'nas.lan'", by="firefox"),
    # keys and signatures
    "RSA-1024": Fault(leaf(key=rsa_key(1024)), ["key-weak"], "1024", by="apple linux"),
    "RSA-1024 above": Fault(weak_issuer, ["key-weak"], "'Weak Issuer'", "1024"),
    "RSA-768": Fault(leaf(key=rsa_key(768)), ["key-weak"], "768", by=" ".join(DEVICES)),
    "RSA with exponent 3": Fault(leaf(key=rsa_key(2048, 3)), ["key-unsafe"], "exponent", exit=0),
    "SHA-1": Fault(leaf(digest=hashes.SHA1()), ["signature-sha1"], "SHA1", by="chrome firefox apple apps linux"),
    "SHA-1 above": Fault(below(digest=hashes.SHA1()), ["signature-sha1"], "'Odd Issuer'"),
    "Ed25519": Fault(leaf(key=ed25519.Ed25519PrivateKey.generate), ["key-type"], "Ed25519", by="chrome firefox apple apps old"),
    "signed with Ed25519": Fault(below(key=ed25519.Ed25519PrivateKey.generate), ["signature-type"], "Ed25519"),
    "P-521": Fault(leaf(key=lambda: ec.generate_private_key(ec.SECP521R1())), ["key-type"], "P-521", by="chrome"),
    "an unknown critical extension": Fault(leaf(extra=UNKNOWN), ["unknown-critical"]),
    # TLS
    "TLS 1.0": Fault(leaf(), ["tls-old"], "TLS1.0", by="chrome firefox apple apps java linux", newest=ssl.TLSVersion.TLSv1),
    "TLS 1.1": Fault(leaf(), ["tls-old"], "TLS1.1", newest=ssl.TLSVersion.TLSv1_1),
    "TLS 1.2": Fault(leaf(), [], exit=0, newest=ssl.TLSVersion.TLSv1_2),
    # hostile
    "eleven certificates": Fault(deep(10), ["chain-long", "root-untrusted"], "11 certificates"),
    "an endless chain": Fault(many_namesakes, ["chain-long", "chain-oversized", "signature-wrong"], "151 certificates"),
    "a huge certificate": Fault(leaf(extra=HUGE), ["chain-oversized"], "KiB"),
    "a key too large": Fault(heavy(16384, 17), ["key-oversized"], "'Monster'"),
    "an exponent too large": Fault(heavy(2048, 2000), ["key-oversized"], "'Monster'"),
    "an exponent too large, for PSS": Fault(heavy(2048, 2000, PSS), ["key-oversized"], "'Monster'"),
    "a group too large, for DSA": Fault(heavy_dsa, ["key-oversized"], "'Monster'"),
    "a NUL in a name": Fault(leaf(x509.DNSName("nas.lan\0.evil.lan"), cn="x"), ["name-mismatch"], "it is for nas.lan?.evil.lan"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_each_fault_is_found_and_named(pki, fault, tmp_path):
    chain, key = fault.make(pki)
    root = True
    args = [one for one in fault.args if one not in ("--bundle", "--other-root")]
    if "--other-root" in fault.args:
        root = pki.other_file
    if "--bundle" in fault.args:        # the root, and an intermediate that is known
        root = tmp_path / "bundle.pem"
        root.write_bytes(pem(pki.root.certificate, pki.middle.certificate))
    with tls_server(tmp_path, chain, key, **fault.server) as server:
        code, seen = pki.look(f"127.0.0.1:{server.port}", *args, root=root)
    assert codes(seen) == fault.codes, seen
    assert code == fault.exit, seen
    if fault.by is not None:
        assert {row["device"] for row in seen["devices"] if row["refuses"]} == {DEVICES[one] for one in fault.by.split()}, seen
    for text in fault.says:
        assert text in texts(seen), seen
    for finding in seen["findings"]:
        assert finding["mend"] or finding["severity"] == "note", finding
        assert finding["refused_by"] or finding["severity"] in ("warning", "note"), finding


def test_a_server_that_answers_is_judged_within_a_second(pki, good, tmp_path):
    """The best of a few: other tests run beside this one."""
    def took():
        start = time.monotonic()
        pki.look(f"127.0.0.1:{server.port}", "--name", "nas.lan", root=None, env={"SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt"})
        return time.monotonic() - start
    with tls_server(tmp_path, [good[0], pki.middle.certificate], good[1]) as server:
        assert min(took() for _ in range(5)) < FAST_S


@pytest.mark.parametrize("cipher", ["3DES-CBC", "ARCFOUR-128"])
def test_an_old_cipher_is_too_old(pki, good, tmp_path, cipher):
    """By gnutls-serv: Debian's OpenSSL has neither any more."""
    (tmp_path / "chain.pem").write_bytes(pem(good[0], pki.middle.certificate))
    (tmp_path / "key.pem").write_bytes(key_pem(good[1]))
    port = free_port()
    server = subprocess.Popen(["gnutls-serv", "-q", "--disable-client-cert", "-p", str(port), "--x509certfile", tmp_path / "chain.pem", "--x509keyfile", tmp_path / "key.pem",
                               "--priority", f"NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+{cipher}"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.02)
        code, seen = pki.look(f"127.0.0.1:{port}", "--name", "nas.lan")
    finally:
        server.kill()
        server.wait(10)
    assert (code, codes(seen)) == (1, {"tls-old"}) and cipher in texts(seen), seen


# -- hostile servers -------------------------------------------------------------------------------

def silent(peer, closing):
    closing.wait(20)


def dripping(peer, closing):
    peer.recv(4096)
    peer.sendall(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")
    while not closing.wait(0.05):
        peer.sendall(b"\x00")


def endless(peer, closing):
    """A ServerHello that is said to be of 16 MiB, as fast as it goes."""
    peer.recv(4096)
    record = b"\x16\x03\x03\x40\x00" + b"\x02\xff\xff\xff".ljust(0x4000, b"\x00")
    while not closing.is_set():
        peer.sendall(record)


def warnings(peer, closing):
    """Alerts of no weight, without end."""
    peer.recv(4096)
    while not closing.is_set():
        peer.sendall(b"\x15\x03\x03\x00\x02\x01\x5a" * 500)


def plain_http(peer, closing):
    peer.recv(4096)
    peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def ssh(peer, closing):
    peer.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
    closing.wait(20)


def hanging_up(peer, closing):
    peer.recv(4096)


def alert(peer, closing):
    peer.recv(4096)
    peer.sendall(b"\x15\x03\x03\x00\x02\x02\x28")


def noise(peer, closing):
    peer.recv(4096)
    peer.sendall(b"\x16" + random.Random(7).randbytes(65536))
    closing.wait(20)


def half_way(chain, key, folder):
    """TLS 1.2 as far as the server's certificate, and then nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    (folder / "half.pem").write_bytes(pem(*chain) + key_pem(key))
    context.load_cert_chain(folder / "half.pem")

    def serve(peer, closing):
        received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(received, sent, server_side=True)
        received.write(peer.recv(4096))
        with contextlib.suppress(ssl.SSLWantReadError):
            session.do_handshake()
        peer.sendall(sent.read())
        closing.wait(20)
    return serve


def flying(context, change):
    def serve(peer, closing):
        flight.send(peer, context, change)
        closing.wait(20)
    return serve


@pytest.mark.sanitize
def test_no_signature_is_checked_with_a_key_that_would_take_hours(pki, tmp_path):
    """By the server's own certificate, in the handshake."""
    with Listener(flying(flight.context(tmp_path, "ECDHE-RSA-AES128-GCM-SHA256"), flight.monstrous_key())) as server:
        start = time.monotonic()
        code, seen = pki.look(f"127.0.0.1:{server.port}", "--name", "nas.lan")
    assert code == 1 and "key-oversized" in codes(seen) and "65536 bits" in texts(seen), seen
    assert time.monotonic() - start < BOUND_S


@pytest.mark.sanitize
def test_no_key_is_exchanged_in_a_group_that_would_take_hours(pki, tmp_path):
    cadtest.openssl("genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048", "-out", str(tmp_path / "dh.pem"))
    context = flight.context(tmp_path, "DHE-RSA-AES128-GCM-SHA256")
    context.load_dh_params(tmp_path / "dh.pem")
    with Listener(flying(context, flight.monstrous_group())) as server:
        code, seen = pki.look(f"127.0.0.1:{server.port}", "--name", "nas.lan")
    assert code == 1 and "tls-oversized" in codes(seen) and "65536 bits" in texts(seen), seen


@pytest.mark.sanitize
def test_servers_that_stall_are_findings_in_bounded_time(pki, tmp_path):
    """All at once, since each takes all of its time."""
    certificate, key = pki.middle.issue("nas.lan", start=NOW - 100 * DAY, days=90)
    seen = {}

    def look(name, serve):
        with Listener(serve) as server:
            seen[name] = pki.look(f"127.0.0.1:{server.port}", "--name", "nas.lan")
    start = time.monotonic()
    threads = [threading.Thread(target=look, args=row) for row in
               (("silent", silent), ("dripping", dripping), ("half", half_way([certificate, pki.middle.certificate], key, tmp_path)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - start < BOUND_S
    for code, told in seen.values():
        assert code == 1 and "tls-stalled" in codes(told) and "does not finish" in texts(told), told
    assert len(seen) == 3 and codes(seen["half"][1]) == {"tls-stalled", "expired"}, seen      # what came before is judged


@pytest.mark.sanitize
@pytest.mark.parametrize("serve, wanted, says", [
    (endless, "tls-oversized", "larger than"),
    (warnings, "tls-failed", "fails"),
    (plain_http, "not-tls", "HTTP/1.1 400 Bad Reques"),
    (ssh, "not-tls", "SSH-2.0-OpenSSH_9.2"),
    (hanging_up, "tls-failed", "hangs up"),
    (alert, "tls-failed", "Handshake failed"),
    (noise, "tls-failed", "fails"),
], ids=lambda value: getattr(value, "__name__", None))
def test_a_hostile_server_is_a_finding_in_bounded_time(pki, serve, wanted, says):
    with Listener(serve) as server:
        start = time.monotonic()
        code, seen = pki.look(f"127.0.0.1:{server.port}")
        took = time.monotonic() - start
    assert (code, codes(seen)) == (1, {wanted}), seen
    assert says in texts(seen), seen
    assert took < BOUND_S


def test_no_server_is_exit_code_3(pki):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    done = pki.run(f"127.0.0.1:{port}")
    assert done.returncode == 3 and b"cannot connect" in done.stderr and done.stdout == b""
    done = pki.run("https://no-such-host.invalid/")
    assert done.returncode == 3 and b"no-such-host.invalid" in done.stderr


@pytest.mark.parametrize("args, says", [
    (["http://nas.lan/"], b"https://nas.lan"), (["gopher://nas.lan"], b"no TLS"), (["./nothing.pem"], b"no such file"),
    (["nas lan:443"], b"no name of a host"), (["a@b:443"], b""), (["nas.lan:99999"], b""), ([""], b"no such file"),
    (["https://user:pw@nas.lan/"], b"write https://"), (["nas.lan:1", "--purpose", "cook"], b"server, client or both"),
    (["nas.lan:1", "--time", "soon"], b"--time soon"), ([], b"something is missing"), (["a", "b"], b"too many"),
    (["nothere.pem"], b"nothere.pem: there is no such file"), (["NOTHERE.P7B"], b"no such file"),
])
def test_wrong_usage_is_exit_code_2(pki, args, says):
    done = pki.run(*args, root=None)
    assert done.returncode == 2 and says in done.stderr and done.stderr.count(b"\n") == 1, done


def test_a_root_has_to_be_one(pki, tmp_path):
    (tmp_path / "no").write_text("hello")
    done = pki.run(pki.root_file, root=tmp_path / "no")
    assert done.returncode == 2 and b"there is no certificate" in done.stderr


# -- files -----------------------------------------------------------------------------------------

def forms(pki, certificate, key):
    chain = [certificate, pki.middle.certificate]
    hidden = serialization.BestAvailableEncryption(b"secret")
    return {
        "PEM": pem(*chain), "PEM with CRLF": pem(*chain).replace(b"\n", b"\r\n"), "PEM with its key": pem(*chain) + key_pem(key),
        "PKCS#7": pkcs7.serialize_certificates(chain, serialization.Encoding.DER),
        "PKCS#7 in PEM": pkcs7.serialize_certificates(chain, serialization.Encoding.PEM),
        "PKCS#12": pkcs12.serialize_key_and_certificates(b"nas", key, certificate, chain[1:], hidden),
    }


@pytest.mark.parametrize("form", ["PEM", "PEM with CRLF", "PEM with its key", "PKCS#7", "PKCS#7 in PEM", "PKCS#12"])
def test_a_good_file_of_any_kind_has_no_finding(pki, good, tmp_path, form):
    file = tmp_path / "nas"
    file.write_bytes(forms(pki, *good)[form])
    (tmp_path / "password").write_text("secret\n")
    code, seen = pki.look(file, "--name", "nas.lan", "--password-file", tmp_path / "password")
    assert (code, seen["findings"], len(seen["chain"])) == (0, [], 2), seen


def test_der_and_standard_input(pki, good, tmp_path):
    code, seen = pki.look("-", input=good[0].public_bytes(serialization.Encoding.DER))
    assert (code, codes(seen)) == (1, {"issuer-unknown"}), seen


def test_an_encrypted_file_wants_its_password(pki, good, tmp_path):
    file = tmp_path / "nas.p12"
    file.write_bytes(forms(pki, *good)["PKCS#12"])
    (tmp_path / "password").write_text("wrong\n")
    done = pki.run(file)
    assert done.returncode == 1 and b"--password-file" in done.stderr, done
    done = pki.run(file, "--password-file", tmp_path / "password")
    assert done.returncode == 1 and b"password does not open" in done.stderr, done


@pytest.mark.sanitize
def test_what_only_a_file_can_have(pki, good, tmp_path):
    file = tmp_path / "nas.pem"
    file.write_bytes(pem(pki.root.certificate, pki.middle.certificate, good[0]))
    code, seen = pki.look(file)
    assert code == 1 and {"leaf-not-first", "chain-order"} <= codes(seen) and "number 3" in texts(seen), seen
    file.write_bytes(pem(good[0], pki.middle.certificate) + key_pem(pki.stranger.key))
    code, seen = pki.look(file)
    assert (code, codes(seen)) == (1, {"key-mismatch"}), seen
    file.write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    code, seen = pki.look(file)
    assert (code, codes(seen)) == (1, {"unreadable"}), seen
    file.write_bytes(b"")
    code, seen = pki.look(file)
    assert (code, codes(seen)) == (1, {"unreadable"}), seen


def test_a_clients_file_is_judged_as_a_clients(pki, tmp_path):
    certificate, _ = pki.middle.issue(x509.RFC822Name("anna@home.lan"), cn="Anna", purposes=(EKU.CLIENT_AUTH,))
    file = tmp_path / "anna.pem"
    file.write_bytes(pem(certificate, pki.middle.certificate))
    code, seen = pki.look(file)
    assert (code, seen["findings"]) == (0, []), seen


def test_md5_is_found(pki, tmp_path):
    """By openssl: python3-cryptography signs with MD5 no more."""
    (tmp_path / "ca.pem").write_bytes(pem(pki.root.certificate))
    (tmp_path / "ca.key").write_bytes(key_pem(pki.root.key))
    rsa_root = Authority("RSA Root", key=rsa_key(2048))
    (tmp_path / "ca.pem").write_bytes(pem(rsa_root.certificate))
    (tmp_path / "ca.key").write_bytes(key_pem(rsa_root.key))
    (tmp_path / "ext").write_text("subjectAltName=DNS:nas.lan\nextendedKeyUsage=serverAuth\nkeyUsage=digitalSignature\n")
    cadtest.openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=nas.lan", "-keyout", str(tmp_path / "nas.key"), "-out",
                    str(tmp_path / "nas.csr"))
    cadtest.openssl("x509", "-req", "-md5", "-in", str(tmp_path / "nas.csr"), "-CA", str(tmp_path / "ca.pem"), "-CAkey", str(tmp_path / "ca.key"),
                    "-days", "90", "-extfile", str(tmp_path / "ext"), "-out", str(tmp_path / "nas.pem"))
    code, seen = pki.look(tmp_path / "nas.pem", root=tmp_path / "ca.pem")
    assert (code, codes(seen)) == (1, {"signature-md5"}) and "MD5" in texts(seen), seen


def test_version_1_is_found(pki, tmp_path):
    cadtest.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=nas.lan", "-keyout", str(tmp_path / "k"), "-out", str(tmp_path / "r"))
    cadtest.openssl("req", "-new", "-key", str(tmp_path / "k"), "-subj", "/CN=nas.lan", "-out", str(tmp_path / "csr"))
    cadtest.openssl("x509", "-req", "-in", str(tmp_path / "csr"), "-signkey", str(tmp_path / "k"), "-days", "9", "-out", str(tmp_path / "v1.pem"))
    code, seen = pki.look(tmp_path / "v1.pem")
    assert code == 1 and {"self-signed", "loose", "name-only-cn"} <= codes(seen) and "version 1" in texts(seen), seen


# -- for people ------------------------------------------------------------------------------------

def test_people_get_a_verdict_first_then_what_mends_it(pki, tmp_path):
    certificate, key = pki.middle.issue("nas.lan", start=NOW - 100 * DAY, days=90)
    with tls_server(tmp_path, [certificate, pki.middle.certificate, pki.root.certificate], key) as server:
        done = pki.run(f"127.0.0.1:{server.port}")
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 1 and done.stderr == b""
    assert lines[0] == f"127.0.0.1:{server.port} would be refused: expired; it is for another name"
    text = "\n".join(lines)
    order = [text.index(f"code          {code}\n") for code in ("expired", "name-mismatch", "root-sent")]
    assert order == sorted(order)
    assert f"cactl cert renew {certificate.serial_number.to_bytes(20, 'big').lstrip(bytes(1)).hex()} --out" in text
    assert "cactl issue 127.0.0.1 nas.lan" in text
    assert "Who makes what" not in text           # all kinds of device are of one mind
    done = pki.run(pki.root_file, "--quiet", root=None)
    assert done.stdout.decode().count("\n") == 1


def test_devices_that_differ_are_told_apart(pki, tmp_path):
    certificate, key = pki.middle.issue("nas.lan", days=1000)
    file = tmp_path / "nas.pem"
    file.write_bytes(pem(certificate, pki.middle.certificate))
    done = pki.run(file)
    assert done.returncode == 1 and b"iPhones, iPads, Macs: refused: good for too long\n" in done.stdout and b"Firefox: takes it once" in done.stdout


def test_a_good_server_is_told_by_each_kind_of_device(pki, good, tmp_path):
    with tls_server(tmp_path, [good[0], pki.middle.certificate], good[1]) as server:
        code, seen = pki.look(f"127.0.0.1:{server.port}", "--name", "nas.lan")
    told = {row["device"]: row["text"] for row in seen["devices"]}
    assert code == 0 and seen["verdict"] == "fine"
    assert "network security config" in told["Android apps"] and "cacerts" in told["Java"]
    assert "name constraints" in told["old devices"] and "RSA" in told["old devices"]


def test_names_out_of_a_certificate_do_not_get_into_a_command(pki, tmp_path):
    file = tmp_path / "nas.pem"
    for evil in ([x509.DNSName("$(reboot).lan"), x509.DNSName("-x.lan")],           # no names
                 [x509.RFC822Name("-x@nas.lan"), x509.RFC822Name("`reboot`@nas.lan"), x509.UniformResourceIdentifier("http://nas.lan/$(reboot)")]):
        certificate, _ = pki.stranger.issue("nas.lan", *evil)
        file.write_bytes(pem(certificate))
        _, seen = pki.look(file)
        assert not any("reboot" in finding["mend"] or " -x" in finding["mend"] for finding in seen["findings"]), seen


def test_a_command_is_for_whose_certificate_it_is_and_for_its_purpose(pki, tmp_path):
    """One of our own CA is renewed; anybody else's is replaced by a new one, of the kind that is asked about."""
    certificate, _ = pki.middle.issue("nas.lan", start=NOW - 100 * DAY, days=90, purposes=(EKU.SERVER_AUTH, EKU.CLIENT_AUTH))
    file = tmp_path / "nas.pem"
    file.write_bytes(pem(certificate, pki.middle.certificate))
    others = {"root": None, "env": {"SSL_CERT_FILE": str(pki.root_file)}}
    for purpose, more, wanted in (("server", {}, "cactl cert renew "), ("server", others, "cactl issue nas.lan"),
                                  ("client", others, "cactl issue --client nas.lan"), ("both", others, "cactl issue --peer nas.lan")):
        _, seen = pki.look(file, "--purpose", purpose, **more)
        assert codes(seen) == {"expired"} and seen["findings"][0]["mend"].startswith(wanted), seen


def test_a_key_alone_is_no_certificate(pki, good, tmp_path):
    (tmp_path / "key.pem").write_bytes(key_pem(good[1]))
    code, seen = pki.look(tmp_path / "key.pem")
    assert (code, codes(seen)) == (1, {"no-certificate"}), seen


def test_a_certificate_of_no_server_says_so(pki, tmp_path):
    certificate, _ = pki.middle.issue(x509.RFC822Name("anna@nas.lan"))
    (tmp_path / "anna.pem").write_bytes(pem(certificate, pki.middle.certificate))
    code, seen = pki.look(tmp_path / "anna.pem")
    assert (code, codes(seen)) == (1, {"name-mismatch"}) and "anna@nas.lan" in texts(seen), seen


def test_a_file_of_a_ca_says_whose_it_is_first(pki, good, tmp_path):
    (tmp_path / "leaf.pem").write_bytes(pem(good[0], pki.middle.certificate))
    first = pki.run(pki.root_file, root=None).stdout.decode().splitlines()[0]
    assert "certificate of a CA" in first and f"cactl trust install --root {pki.root_file}" in first and "cactl issue NAME" in first
    assert b"certificate of a CA" not in pki.run(tmp_path / "leaf.pem").stdout


def test_the_json_has_what_the_guide_promises(pki, tmp_path):
    certificate, key = pki.middle.issue("nas.lan", days=1000)
    with tls_server(tmp_path, [certificate, pki.middle.certificate], key, newest=ssl.TLSVersion.TLSv1_3) as server:
        _, seen = pki.look(f"127.0.0.1:{server.port}", "--name", "nas.lan")
    assert set(seen) == {"subject", "verdict", "text", "address", "tls", "findings", "devices", "unchecked", "chain"}
    assert (seen["subject"], seen["address"], seen["tls"], seen["verdict"]) == (f"127.0.0.1:{server.port}", "127.0.0.1", "TLS1.3", "some-refuse")
    finding, = seen["findings"]
    assert set(finding) == {"code", "severity", "title", "text", "refused_by", "mend"}
    assert (finding["severity"], finding["title"], finding["refused_by"]) == ("some-refuse", "good for too long", DEVICES["apple"])
    assert len(seen["devices"]) == len(DEVICES) and len(seen["chain"]) == 2


def test_a_server_is_asked_for_the_name_and_for_no_address(pki, good, tmp_path):
    """RFC 6066 §3: literal addresses are not permitted in server_name."""
    asked = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (tmp_path / "server.pem").write_bytes(pem(good[0], pki.middle.certificate) + key_pem(good[1]))
    context.load_cert_chain(tmp_path / "server.pem")
    context.sni_callback = lambda _, name, __: asked.append(name)

    def serve(peer, closing):
        with context.wrap_socket(peer, server_side=True) as session:
            session.recv(16)
    with Listener(serve) as server:
        pki.look(f"127.0.0.1:{server.port}", "--name", "nas.lan")
        pki.look(f"127.0.0.1:{server.port}")
    assert asked == ["nas.lan", None]


def test_a_root_that_is_named_is_the_only_one(pki, good, tmp_path):
    (tmp_path / "stranger.pem").write_bytes(pem(pki.stranger.certificate))
    (tmp_path / "nas.pem").write_bytes(pem(good[0], pki.middle.certificate))
    code, seen = pki.look(tmp_path / "nas.pem", root=tmp_path / "stranger.pem", env={"SSL_CERT_FILE": str(pki.root_file)})
    assert (code, codes(seen)) == (1, {"root-untrusted"}), seen


def test_the_system_may_trust_it(pki, good, tmp_path):
    with tls_server(tmp_path, [good[0], pki.middle.certificate], good[1]) as server:
        code, seen = pki.look(f"127.0.0.1:{server.port}", "--name", "nas.lan", root=None, env={"SSL_CERT_FILE": str(pki.root_file)})
        assert (code, seen["findings"]) == (0, []), seen
        code, seen = pki.look(f"127.0.0.1:{server.port}", "--name", "nas.lan", root=None)
        assert (code, codes(seen)) == (1, {"root-untrusted"}), seen


def test_the_guide_has_every_code_and_how_grave_it_is():
    top = pathlib.Path(__file__).resolve().parents[2]
    there = re.findall(r'^        \[DIAGNOSIS_\w+\] =\s+\{ "([a-z0-9-]+)", "([^"]+)", DIAGNOSIS_([A-Z]+),', (top / "lib/pki/diagnosis.c").read_text(),
                       re.MULTILINE)
    grades = {"refused": "REFUSED", "some refuse": "SOME", "warning": "WARNING", "note": "NOTE"}
    told = [(code, title, grades[grade]) for code, title, grade in
            re.findall(r"^\| `([a-z0-9-]+)` \| (.+) \| ([a-z ]+) \|$", (top / "docs/guides/doctor.md").read_text(), re.MULTILINE)]
    assert len(there) > 50 and told == there


# -- with a CA -------------------------------------------------------------------------------------

def free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def ca(pki):
    port = free_port()
    config = pki.base / "cad.conf"
    config.write_text(f"[Listen]\nPublicUrl=http://127.0.0.1:{port}\n")
    daemon = cadtest.Daemon(["--config", config, "--https", "127.0.0.1:0", "--http", f"127.0.0.1:{port}"])
    daemon.listen = []
    with daemon:
        (pki.base / "ca.pem").write_bytes(daemon.get("/v1/ca/root.pem").expect(200).body)
        yield daemon
        assert daemon.stop() == 0
        daemon.check_log()


class Device:
    def __init__(self, ca, *names, key=None, **fields):
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        answer = ca.post("/v1/certificates", {"csr": https.csr_pem(self.key, *names), **fields}).expect(201).json
        self.serial = answer["serial"]
        self.chain = x509.load_pem_x509_certificate(answer["certificate"].encode())
        self.rest = [x509.load_pem_x509_certificate(block.encode() + b"-----END CERTIFICATE-----\n")
                     for block in answer["chain"].split("-----END CERTIFICATE-----\n") if block.strip()]


def by_socket(ca):
    return {"CAD_SOCKET": str(ca.socket)}


def test_a_server_of_the_ca_is_fine_but_for_this_machine(pki, ca, tmp_path):
    nas = Device(ca, "nas.lan")
    with tls_server(tmp_path, [nas.chain, *nas.rest], nas.key) as server:
        code, seen = pki.look(f"127.0.0.1:{server.port}", "--name", "nas.lan", root=None, env=by_socket(ca))
        assert (code, codes(seen), seen["unchecked"]) == (0, {"root-not-installed"}, []), seen
        # a CA on this machine has the same clock, and is no witness
        code, seen = pki.look(f"127.0.0.1:{server.port}", "--name", "nas.lan", "--time", "400d", root=None, env=by_socket(ca))
        assert (code, codes(seen)) == (1, {"expired", "root-not-installed"}), seen
        code, seen = pki.look(f"127.0.0.1:{server.port}", "--name", "nas.lan", root=None,
                              env={**by_socket(ca), "SSL_CERT_FILE": str(pki.base / "ca.pem")})
        assert (code, codes(seen)) == (0, set()), seen
    with tls_server(tmp_path, [nas.chain], nas.key) as server:
        code, seen = pki.look(f"127.0.0.1:{server.port}", "--name", "nas.lan", root=None, env=by_socket(ca))
        assert code == 1 and "intermediate-missing" in codes(seen), seen
        assert f"cactl cert renew {nas.serial}" in seen["findings"][0]["mend"]


def test_the_ca_itself_is_fine(pki, ca):
    code, seen = pki.look(f"https://localhost:{ca.port('https')}/", root=pki.base / "ca.pem", env=by_socket(ca))
    assert (code, codes(seen)) == (0, {"client-certificate"}), seen


def test_revoked_by_the_cas_word_and_by_its_crl(pki, ca, tmp_path):
    lost, held = Device(ca, "lost.lan"), Device(ca, "held.lan")
    files = [tmp_path / "lost.pem", tmp_path / "held.pem"]
    for file, device in zip(files, (lost, held)):
        file.write_bytes(pem(device.chain, *device.rest))
    ca.post(f"/v1/certificates/{lost.serial}/revoke", {"reason": "key_compromise"}).expect(200)
    ca.post(f"/v1/certificates/{held.serial}/revoke", {"reason": "certificate_hold"}).expect(200)
    for file, wanted, serial in zip(files, ("revoked", "on-hold"), (lost.serial, held.serial)):
        code, seen = pki.look(file, root=pki.base / "ca.pem", env=by_socket(ca))
        assert (code, codes(seen)) == (1, {wanted}) and serial in texts(seen) and "says the CA" in texts(seen), seen
    ca.post("/v1/crls", {}).expect(200, 201, 202)
    for file, wanted in zip(files, ("revoked", "on-hold")):
        ca.wait_until(lambda: "says the CRL" in texts(pki.look(file, root=pki.base / "ca.pem")[1]), 10, "the CRL does not say so")
        code, seen = pki.look(file, root=pki.base / "ca.pem")
        assert (code, codes(seen)) == (1, {wanted}), seen


def test_what_the_ca_does_not_know_is_told_and_not_of_the_ca_itself(pki, ca, tmp_path):
    """Signed with keys stolen from its folder; the root and the intermediate are in no list of certificates either."""
    folder, thief, file = ca.state / "signer" / "ca", object.__new__(Authority), tmp_path / "nas.pem"
    middle = x509.load_pem_x509_certificate((folder / "int-1.crt").read_bytes())
    thief.name, thief.key = middle.subject, serialization.load_pem_private_key((folder / "int-1.key").read_bytes(), None)
    file.write_bytes(pem(thief.issue("nas.lan")[0], middle))
    code, seen = pki.look(file, root=pki.base / "ca.pem", env=by_socket(ca))
    assert (code, codes(seen)) == (0, {"not-in-ca"}), seen
    for own in ("root.crt", "int-1.crt"):
        _, seen = pki.look(folder / own, root=pki.base / "ca.pem", env=by_socket(ca))
        assert "leaf-is-ca" in codes(seen) and "not-in-ca" not in codes(seen), seen


def test_a_key_of_two_certificates(pki, ca, tmp_path):
    one = Device(ca, "one.lan")
    two = Device(ca, "two.lan", key=one.key)
    file = tmp_path / "one.pem"
    file.write_bytes(pem(one.chain, *one.rest))
    code, seen = pki.look(file, root=pki.base / "ca.pem", env=by_socket(ca))
    assert (code, codes(seen)) == (0, {"key-shared"}), seen
    assert two.serial in texts(seen) and "two.lan" in texts(seen)
    # a stranger is told so, and no lie
    url = f"https://127.0.0.1:{ca.port('https')}"
    done = subprocess.run([CACTL, "--url", url, "--root", pki.base / "ca.pem", "doctor", "--json", "--root", pki.base / "ca.pem", file],
                          capture_output=True, env=pki.env, timeout=30)
    seen = json.loads(done.stdout)
    assert (done.returncode, codes(seen)) == (0, set()) and any("same key" in text for text in seen["unchecked"]), (done, seen)


def test_a_renewal_with_the_same_key_is_no_finding(pki, ca, tmp_path):
    one = Device(ca, "again.lan")
    two = Device(ca, "again.lan", key=one.key)
    file = tmp_path / "one.pem"
    file.write_bytes(pem(two.chain, *two.rest))
    assert codes(pki.look(file, root=pki.base / "ca.pem", env=by_socket(ca))[1]) == set()


def test_a_ca_on_another_machine_is_a_witness_of_the_time(pki, ca, tmp_path):
    url = f"https://127.0.0.1:{ca.port('https')}"

    def judged(device, date, when):
        with tls_server(tmp_path, [device.chain, *device.rest], device.key, date=date) as server:
            done = subprocess.run([CACTL, "--url", url, "--root", pki.base / "ca.pem", "doctor", "--json", "--root", pki.base / "ca.pem", "--name",
                                   "clock.lan", "--time", f"{when:%Y-%m-%dT%H:%M:%SZ}", f"127.0.0.1:{server.port}"], capture_output=True,
                                  env=pki.env, timeout=30)
        return json.loads(done.stdout)
    now = datetime.datetime.utcnow()
    device = Device(ca, "clock.lan")
    for date in (now, None):            # the server is of the CA's mind, or says nothing
        seen = judged(device, date, now + 400 * DAY)
        assert {"expired", "clock-here"} <= codes(seen) and f"{now + 400 * DAY:%Y-%m-%d}" in texts(seen), seen
    seen = judged(device, now + 400 * DAY, now + 400 * DAY)
    assert {"expired", "clock-unclear"} == codes(seen) and "the clock of the CA is the odd one" in texts(seen), seen
    early = Device(ca, "clock.lan", not_before=f"{now + 5 * DAY:%Y-%m-%dT%H:%M:%SZ}")
    seen = judged(early, now + 6 * DAY, now)
    assert codes(seen) == {"not-yet-valid", "clock-server"} and f"{now + 6 * DAY:%Y-%m-%d}" in texts(seen), seen
    seen = judged(early, now, now)
    assert codes(seen) == {"not-yet-valid"}, seen       # all clocks agree: it is for later


def test_a_ca_that_is_not_there_is_no_failure(pki, good, tmp_path):
    file = tmp_path / "nas.pem"
    file.write_bytes(pem(good[0], pki.middle.certificate))
    done = pki.run(file, "--json", env={"CAD_SOCKET": str(tmp_path / "none.sock")})
    assert done.returncode == 0 and b"no cad answers" in done.stderr
    assert any("none was found" in text for text in json.loads(done.stdout)["unchecked"])


def test_a_crl_is_believed_where_the_issuer_signed_it(pki, tmp_path):
    served = {}

    def serve(peer, closing):
        peer.recv(4096)
        peer.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + served["crl"])

    def crl(signer, serial, until=NOW + DAY):
        one = (x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - DAY)
               .add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), False).build())
        built = (x509.CertificateRevocationListBuilder().issuer_name(pki.middle.name).last_update(NOW - 2 * DAY).next_update(until)
                 .add_revoked_certificate(one).add_extension(x509.CRLNumber(7), False)
                 .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()), False))
        return built.sign(signer.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    with Listener(serve) as server:
        place = x509.CRLDistributionPoints([x509.DistributionPoint([x509.UniformResourceIdentifier(f"http://127.0.0.1:{server.port}/x.crl")],
                                                                   None, None, None)])
        certificate, _ = pki.middle.issue("nas.lan", extra=(place, False))
        file = tmp_path / "nas.pem"
        file.write_bytes(pem(certificate, pki.middle.certificate))
        served["crl"] = crl(pki.middle, certificate.serial_number)
        code, seen = pki.look(file)
        assert (code, codes(seen)) == (1, {"revoked"}) and "key_compromise" in texts(seen) and "says the CRL" in texts(seen), seen
        served["crl"] = crl(pki.middle, 4711)
        assert pki.look(file)[0] == 0
        served["crl"] = crl(pki.middle, 4711, until=NOW - DAY)
        code, seen = pki.look(file)
        assert code == 0 and any("out of date" in text for text in seen["unchecked"]), seen
        for lie in (crl(pki.stranger, certificate.serial_number), b"no CRL", crl(pki.middle, certificate.serial_number)[:-9]):
            served["crl"] = lie
            code, seen = pki.look(file)
            assert (code, codes(seen)) == (0, set()) and any("the CRL at" in text for text in seen["unchecked"]), seen


def test_a_crl_without_end_is_left(pki, tmp_path):
    """The CRL's place sends forever: bounded, and said."""
    def flood(peer, closing):
        peer.recv(4096)
        peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not closing.is_set():
            peer.sendall(b"0" * 65536)
    with Listener(flood) as server:
        place = x509.CRLDistributionPoints([x509.DistributionPoint([x509.UniformResourceIdentifier(f"http://127.0.0.1:{server.port}/x.crl")],
                                                                   None, None, None)])
        certificate, _ = pki.middle.issue("nas.lan", extra=(place, False))
        file = tmp_path / "nas.pem"
        file.write_bytes(pem(certificate, pki.middle.certificate))
        start = time.monotonic()
        code, seen = pki.look(file)
        assert (code, seen["findings"]) == (0, []) and any("more than 16 MiB" in text for text in seen["unchecked"]), seen
        assert time.monotonic() - start < BOUND_S
        # nobody's CRL but that of our own root is fetched
        certificate, _ = pki.stranger.issue("nas.lan", extra=(place, False))
        file.write_bytes(pem(certificate, pki.stranger.certificate))
        code, seen = pki.look(file)
        assert code == 1 and not any("CRL" in text for text in seen["unchecked"]), seen
