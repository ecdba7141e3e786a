"""A device with a page of its own, as an ESP32 has: a name is chosen there, it makes its own key, shows itself with a self-signed
certificate, and lets its CSR be downloaded. The admin signs it, the certificate is uploaded, and the page is the CA's from then on."""

import datetime
import http.server
import ipaddress
import shutil
import ssl
import subprocess
import threading
import urllib.parse

import cadtest
import certs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

CACTL = cadtest.BUILD / "client" / "cactl"


class Device:
    """Its flash is a folder; its page: / what it is, POST /name, GET /csr, POST /certificate."""

    def __init__(self, flash):
        self.flash, self.name = flash, "esp32-setup"
        key = ec.generate_private_key(ec.SECP256R1())
        (flash / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.sign_itself()
        device = self

        class Page(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                if self.path == "/csr":
                    return self.reply(200, device.csr(), "application/pkcs10")
                return self.reply(200, f"I am {device.name}\n".encode())

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                done = {"/name": device.choose_name, "/certificate": device.take_certificate}[self.path](body)
                return self.reply(400 if done else 200, (done or "taken").encode())

            def reply(self, status, body, kind="text/plain"):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.server.socket = self.tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def key(self):
        return load_pem_private_key((self.flash / "key.pem").read_bytes(), None)

    def subject(self):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])

    def sans(self):
        return x509.SubjectAlternativeName([x509.DNSName(self.name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])

    def use(self, pem):
        (self.flash / "cert.pem").write_bytes(pem)
        self.tls.load_cert_chain(self.flash / "cert.pem", self.flash / "key.pem")

    def sign_itself(self):
        # its clock is what it was at the factory
        start = datetime.datetime(2020, 1, 1)
        self.use(x509.CertificateBuilder().subject_name(self.subject()).issuer_name(self.subject()).public_key(self.key().public_key())
                 .serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(start + datetime.timedelta(days=9000))
                 .add_extension(self.sans(), False).sign(self.key(), hashes.SHA256()).public_bytes(Encoding.PEM))

    def choose_name(self, body):
        self.name = urllib.parse.parse_qs(body.decode())["name"][0]
        self.sign_itself()

    def csr(self):
        return (x509.CertificateSigningRequestBuilder().subject_name(self.subject()).add_extension(self.sans(), False)
                .sign(self.key(), hashes.SHA256()).public_bytes(Encoding.PEM))

    def take_certificate(self, body):
        """What is wrong with it, or nothing."""
        try:
            leaf = certs.of_pem(body)[0]
        except (ValueError, IndexError):
            return "this is no certificate"
        if certs.spki(leaf) != certs.spki(self.key()):
            return "this certificate is for another key than mine"
        self.use(body)
        return None


@pytest.fixture(scope="module")
def ca():
    with cadtest.Daemon() as daemon:
        yield daemon


@pytest.fixture
def device(tmp_path):
    flash = tmp_path / "flash"
    flash.mkdir()
    one = Device(flash)
    yield one
    one.close()


def curl(*args, status=0):
    if not shutil.which("curl"):
        pytest.skip("no curl")
    done = subprocess.run(["curl", "-sS", "--noproxy", "*", "--max-time", "20", *args], capture_output=True, timeout=30)
    assert done.returncode == status, f"{args}: {done.returncode} {done.stderr}"
    return done.stdout


def cactl(ca, *args, cwd, status=0):
    done = subprocess.run([CACTL, "--socket", ca.socket, *args], capture_output=True, text=True, timeout=60, cwd=cwd,
                          stdin=subprocess.DEVNULL, env=cadtest.environment())
    assert done.returncode == status, f"{args}: {done.stdout}{done.stderr}"
    return done.stdout


def test_from_self_signed_to_the_cas_certificate(ca, device, tmp_path):
    url, named = f"https://127.0.0.1:{device.port}", ["--resolve", f"kitchen.lan:{device.port}:127.0.0.1"]
    assert curl("-k", "-d", "name=kitchen.lan", f"{url}/name") == b"taken"
    (tmp_path / "root.pem").write_text(cactl(ca, "ca", "show", "--pem", cwd=tmp_path))
    trusting = ["--cacert", tmp_path / "root.pem"]
    curl(*trusting, f"{url}/", status=60)                   # self-signed: nobody trusts it yet
    (tmp_path / "kitchen.csr").write_bytes(curl("-k", f"{url}/csr"))
    cactl(ca, "cert", "sign", "kitchen.csr", "--profile", "device", "--label", "ESP32", "--out", "kitchen.pem", cwd=tmp_path)
    # a wrong certificate is refused, and the page goes on as it was
    cactl(ca, "issue", "kitchen.lan", "--name", "wrong", cwd=tmp_path)
    for wrong, why in [("wrong.pem", b"for another key"), ("kitchen.csr", b"no certificate"), ("root.pem", b"for another key")]:
        assert why in curl("-k", "--data-binary", f"@{tmp_path / wrong}", f"{url}/certificate")
        curl(*trusting, f"{url}/", status=60)
    assert curl("-k", "--data-binary", f"@{tmp_path / 'kitchen.pem'}", f"{url}/certificate") == b"taken"
    assert curl(*trusting, f"{url}/") == b"I am kitchen.lan\n"
    assert curl(*trusting, *named, f"https://kitchen.lan:{device.port}/") == b"I am kitchen.lan\n"
    curl(*trusting, "--resolve", f"bath.lan:{device.port}:127.0.0.1", f"https://bath.lan:{device.port}/", status=60)
    # by the pin that cactl says, too: what an app on a phone would do
    pins = cactl(ca, "cert", "export", "kitchen.pem", "--format", "pins", cwd=tmp_path)
    pin = next(line.split()[-1] for line in pins.splitlines() if line.startswith("curl"))
    assert curl(*trusting, "--pinnedpubkey", pin, f"{url}/") == b"I am kitchen.lan\n"
    curl(*trusting, "--pinnedpubkey", "sha256//" + "A" * 43 + "=", f"{url}/", status=90)


def test_the_admin_may_choose_other_names_than_the_device_does(ca, device, tmp_path):
    url = f"https://127.0.0.1:{device.port}"
    curl("-k", "-d", "name=www.google.com", f"{url}/name")
    (tmp_path / "x.csr").write_bytes(curl("-k", f"{url}/csr"))
    (tmp_path / "root.pem").write_text(cactl(ca, "ca", "show", "--pem", cwd=tmp_path))
    cactl(ca, "cert", "sign", "x.csr", "--out", "x.pem", cwd=tmp_path, status=1)
    assert not (tmp_path / "x.pem").exists()
    cactl(ca, "cert", "sign", "x.csr", "--name", "garage.lan", "--name", "127.0.0.1", "--out", "x.pem", cwd=tmp_path)
    assert curl("-k", "--data-binary", f"@{tmp_path / 'x.pem'}", f"{url}/certificate") == b"taken"
    assert curl("--cacert", tmp_path / "root.pem", f"{url}/")
