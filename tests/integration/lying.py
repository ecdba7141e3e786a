"""A CA that is pinned, verified, and lies all the same: what it answers to whom is the test's to say.

    with lying.LyingCa() as ca:
        ca.lie = lambda ca, asked: {**ca.signed(asked), "chain": ""}    # in place of what would be right
        device = devices.Device(ca, ca.url)
"""

import hashlib
import http.server
import ipaddress
import json
import threading

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import cadtest
import https
from test_cactl import Ca, pem

ID = "ab" * 16
BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Asked:
    """What somebody wants a certificate for."""

    def __init__(self, key, names):
        self.key, self.names = key, names


class LyingCa:
    def __init__(self):
        self.ca, self.lie, self.root, self.requests = Ca(), None, None, []
        self.enrolled = self.last = None        # what was asked for, which a renewal is of; and what it got
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self.ca.sign(key.public_key(), x509.Name([]), [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, text = outer.answer(self.command, self.path, body)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = answer

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                pass        # whoever has heard enough hangs up

        self.server = Server(("127.0.0.1", 0), Handler)
        https.serve_with(self.server, pem(certificate, self.ca.intermediate) + https.key_pem(key))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"https://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def signed(self, asked, ca=None, key=None, names=None, days=90):
        """A certificate as the REST API gives it."""
        ca = ca or self.ca
        certificate = ca.sign(key or asked.key, x509.Name([]), map(x509.DNSName, names or asked.names), days)
        return {"serial": f"{certificate.serial_number:x}", "certificate": pem(certificate), "chain": pem(ca.intermediate),
                "profile": "device", "names": asked.names}

    def code(self, key):
        digest = hashlib.sha256(bytes.fromhex(ID) + key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
        bits = int.from_bytes(digest[:5], "big")
        return "".join(BASE32[bits >> shift & 31] for shift in range(35, -1, -5))

    def get(self, path):
        """For Device(), which wants to know the root."""
        return cadtest.Answer(*self.answer("GET", path, b"")[:1], {}, self.answer("GET", path, b"")[1])

    def answer(self, method, path, body):
        self.requests.append((method, path))
        if path == "/v1/ca/root.pem":
            return 200, pem(self.root or self.ca.root).encode()
        if path.endswith("/renewal"):
            return 200, b'{"window": {"start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z"}}'
        if method == "GET" and not path.startswith("/v1/requests/"):
            return 200, b'{"status": "ok"}'
        if method == "POST" and body and "csr" in json.loads(body):
            csr = x509.load_pem_x509_csr(json.loads(body)["csr"].encode())
            names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            self.enrolled = Asked(csr.public_key(), [name.value for name in names])
        code = {"id": ID, "code": self.code(self.enrolled.key)}
        if (method, path) == ("POST", "/v1/requests"):
            return 202, json.dumps({**code, "status": "waiting"}).encode()
        told = (self.lie or LyingCa.signed)(self, self.enrolled)
        self.last = self.last or told
        if isinstance(told, bytes):
            return 201, told
        if isinstance(told, int):
            return told, json.dumps({"detail": "not now"}).encode()
        return (200, json.dumps({**code, "status": "approved", **told}).encode()) if method == "GET" else (201, json.dumps(told).encode())
