"""The green padlock, proven: Chromium and Firefox load what cad has made without a warning, by name and by address; without the
root they do not; and what a thief of the CA's keys makes for a public name they never do.

Loopback stands in for the LAN: nas.lan and example.com lead to 127.0.0.1 in the browsers alone.
"""

import contextlib
import datetime
import http.server
import ssl
import subprocess
import threading

import browsers
import cadtest
import https
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

pytestmark = pytest.mark.slow

CACTL = cadtest.BUILD / "client" / "cactl"
TITLE = "a padlock"
GOOD_HOSTS = ["nas.lan", "127.0.0.1", "localhost"]
PUBLIC = "example.com"

# What a browser says where the names of the CA are the reason.
OUTSIDE = {"chromium": "ERR_CERT_INVALID", "firefox": "SEC_ERROR_CERT_NOT_IN_NAME_SPACE"}
UNTRUSTED = {"chromium": "ERR_CERT_AUTHORITY_INVALID", "firefox": "SEC_ERROR_UNKNOWN_ISSUER"}


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"<!doctype html><title>{TITLE}</title>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, chain, key):
        super().__init__(("127.0.0.1", 0), Page)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(chain, key)

    def finish_request(self, request, client_address):
        request.settimeout(cadtest.ANSWER_S)
        with contextlib.suppress(OSError), self.tls.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)


@contextlib.contextmanager
def serving(chain, key=None):
    """Its port."""
    with Server(chain, key) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


# -- the thief ------------------------------------------------------------------------------------------------------

class Thief:
    """Somebody with everything that lies in the signer's folder."""

    def __init__(self, ca):
        self.folder = ca.state / "signer" / "ca"
        self.base = ca.base

    def stolen(self, name):
        certificate = x509.load_pem_x509_certificate((self.folder / f"{name}.crt").read_bytes())
        return certificate, serialization.load_pem_private_key((self.folder / f"{name}.key").read_bytes(), None)

    def sign(self, issuer, key, subject, public_key, *extensions):
        now = datetime.datetime.utcnow()
        builder = x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])).issuer_name(
            issuer.subject).public_key(public_key).serial_number(x509.random_serial_number()).not_valid_before(
            now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=30))
        key_id = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        more = [(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id), False),
                (x509.SubjectKeyIdentifier.from_public_key(public_key), False)]
        for extension, critical in (*more, *extensions):
            builder = builder.add_extension(extension, critical)
        return builder.sign(key, hashes.SHA256())

    def leaf(self, issuer, key, name):
        own = ec.generate_private_key(ec.SECP256R1())
        return self.sign(issuer, key, name, own.public_key(), (x509.SubjectAlternativeName([x509.DNSName(name)]), False),
                         (x509.BasicConstraints(False, None), True), (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)), own

    def make(self, way, name):
        """A file with chain and key."""
        issuer, key = self.stolen("int-1" if way == "by the intermediate" else "root")
        above = [issuer] if way == "by the intermediate" else []
        if way == "by an intermediate of the thief's own":
            own = ec.generate_private_key(ec.SECP256R1())
            usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
            issuer, key = self.sign(issuer, key, "Another intermediate", own.public_key(), (x509.BasicConstraints(True, 0), True), (usage, True)), own
            above = [issuer]
        leaf, own = self.leaf(issuer, key, name)
        return https.Identity(self.base, "".join(map(https.pem, [leaf, *above])), own).file


WAYS = ["by the intermediate", "by the root", "by an intermediate of the thief's own"]


# -- the servers, for both browsers ---------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def lan():
    """Ports: of what cad has made, and of what the thief has, by way and name."""
    if not CACTL.exists():
        cadtest.require_build()
    with contextlib.ExitStack() as stack:
        ca = stack.enter_context(cadtest.Daemon())
        done = subprocess.run([CACTL, "--socket", ca.socket, "issue", *GOOD_HOSTS, "--out", ca.base / "out"], env=cadtest.environment(),
                              capture_output=True, text=True, timeout=cadtest.START_S)
        assert done.returncode == 0, done.stderr
        ca.root, thief = (ca.base / "out" / "root.pem").read_text(), Thief(ca)
        ca.good = stack.enter_context(serving(ca.base / "out" / "nas.lan.pem", ca.base / "out" / "nas.lan-key.pem"))
        ca.stolen = {(way, name): stack.enter_context(serving(thief.make(way, name))) for way in WAYS for name in ("nas.lan", PUBLIC)}
        yield ca


def check_trusting(browser, kind, lan):
    """A browser with the root: everything of cad's loads, and of the thief's what the root is for."""
    for host in GOOD_HOSTS:
        assert browser.refusal(f"https://{host}:{lan.good}/") is None, host
        assert browser.run("return [document.title, isSecureContext]") == [TITLE, True]
    for (way, name), port in lan.stolen.items():
        wanted = OUTSIDE[kind] if name == PUBLIC else None
        assert browser.refusal(f"https://{name}:{port}/") == wanted, (way, name)


def check_stranger(browser, kind, lan):
    for host in GOOD_HOSTS[:2]:
        assert browser.refusal(f"https://{host}:{lan.good}/") == UNTRUSTED[kind], host


def test_chromium_with_the_root_shows_a_padlock_for_our_names_and_never_for_public_ones(lan):
    with browsers.Chromium([lan.root]) as browser:
        check_trusting(browser, "chromium", lan)


def test_chromium_without_the_root_refuses(lan):
    with browsers.Chromium() as browser:
        check_stranger(browser, "chromium", lan)


def test_firefox_refuses_until_the_root_is_imported_and_public_names_ever_after(lan):
    with browsers.Firefox(names=["nas.lan", PUBLIC]) as browser:
        check_stranger(browser, "firefox", lan)
        browser.trust(lan.root)
        check_trusting(browser, "firefox", lan)
