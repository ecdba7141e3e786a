"""A device as `cactl enroll` and `cactl renew` see it: a folder of configuration, a home, and nothing else of this machine.

    device = Device(ca)
    device.enroll("nas.lan", token=device.token("nas.lan"))    # a finished process, as run() gives it
    device.file("nas.lan", "cert.pem")                         # CONF/certs/nas.lan/cert.pem
"""

import contextlib
import hashlib
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

import cadtest
import https
import signertest

CACTL = cadtest.BUILD / "client" / "cactl"
SET = ["cert.pem", "chain.pem", "enrolled.conf", "fullchain.pem", "key.pem", "root.pem"]


class Device:
    def __init__(self, ca, url=None):
        self.ca, self.base = ca, pathlib.Path(tempfile.mkdtemp(prefix="cad-"))
        self.conf = self.base / "etc"
        self.url = url or f"https://127.0.0.1:{https.port(ca)}"
        self.root = ca.get("/v1/ca/root.pem").expect(200).body.decode()
        self.fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(self.root)).hexdigest()
        self.env = {"HOME": str(self.base), "CACTL_CONFIG_DIR": str(self.conf), **cadtest.environment()}

    def close(self):
        shutil.rmtree(self.base)

    def token(self, *names, **fields):
        return self.ca.post("/v1/tokens", {"names": list(names), "profile": "device", **fields}).expect(201).json["token"]

    def argv(self, words, url=True):
        words = list(map(str, words))
        where = ["--url", self.url] if url is True else ["--url", url] if url else []
        return [CACTL, *words[:1], *where, *words[1:]]

    def run(self, *words, env=None, **more):
        """Any command. Standard input is no terminal."""
        return subprocess.run([CACTL, *map(str, words)], env={**self.env, **(env or {})}, cwd=self.base, capture_output=True,
                              text=True, timeout=60, **{"stdin": subprocess.DEVNULL, **more})

    def enroll(self, *words, token=None, pin=True, url=True, env=None, **more):
        pinned = ["--fingerprint", self.fingerprint if pin is True else pin] if pin else []
        env = {**(env or {}), **({"CACTL_TOKEN": token} if token else {})}
        return self.run(*self.argv(["enroll", *pinned, *words], url)[1:], env=env, **more)

    def certs(self):
        """What is under CONF/certs but for locks."""
        folder = self.conf / "certs"
        return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock")) if folder.exists() else []

    def file(self, name, file):
        return self.conf / "certs" / name / file

    def set(self, name):
        """The content of every file of a set."""
        return {path.name: path.read_bytes() for path in (self.conf / "certs" / name).iterdir()}

    def cert(self, name):
        return x509.load_pem_x509_certificate(self.file(name, "cert.pem").read_bytes())

    def check(self, name):
        """The set is whole: key, certificate and chain fit by OpenSSL's word, and the key is for its owner alone."""
        assert sorted(set(os.listdir(self.conf / "certs" / name)) & set(SET)) == SET
        key, cert, chain, root = (self.file(name, file) for file in ("key.pem", "cert.pem", "chain.pem", "root.pem"))
        assert key.stat().st_mode & 0o137 == 0, oct(key.stat().st_mode)
        assert self.file(name, "fullchain.pem").read_bytes() == cert.read_bytes() + chain.read_bytes()
        openssl = ["openssl"]
        subprocess.run([*openssl, "verify", "-no_check_time", "-CAfile", root, "-untrusted", chain, cert], check=True, timeout=30,
                       capture_output=True)
        ours, theirs = (subprocess.run([*openssl, *words], check=True, timeout=30, capture_output=True).stdout for words in (
            ["pkey", "-in", key, "-pubout"], ["x509", "-in", cert, "-noout", "-pubkey"]))
        assert ours == theirs
        serial = f"{self.cert(name).serial_number:x}"
        assert f"Serial={serial}\n" in self.file(name, "enrolled.conf").read_text()
        return serial

    def issued(self, name):
        """Serials of all certificates that the CA has made for a name."""
        return [row["serial"] for row in self.ca.get(f"/v1/certificates?name={name}").expect(200).json["certificates"]]


def good(done):
    assert done.returncode == 0, (done.args, done.stdout, done.stderr)
    return done.stdout + done.stderr


def bad(done, code, *says):
    assert done.returncode == code, (done.args, done.returncode, done.stdout, done.stderr)
    for text in says:
        assert text in done.stderr, (text, done.stderr)
    return done.stderr


def faked(when):
    """The environment of a process whose clock says so ("@1970-01-01 00:10:00", "+23h")."""
    return signertest.faked(when)


class Proxy:
    """In front of cad: lets so many connections through, then turns everybody away; on_connection(number) says to which port."""

    def __init__(self, port, connections=10**9, address="127.0.0.1"):
        self.listener, self.to, self.left = socket.create_server((address, 0)), port, connections
        self.seen, self.on_connection = 0, lambda _: self.to
        threading.Thread(target=self.serve, daemon=True).start()

    @property
    def url(self):
        return "https://{}:{}".format(*self.listener.getsockname())

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.seen += 1
                if self.seen > self.left:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self.on_connection(self.seen)))
                for a, b in ((client, server), (server, client)):
                    threading.Thread(target=self.pump, args=(a, b), daemon=True).start()

    @staticmethod
    def pump(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def close(self):
        self.listener.close()


class Hostile:
    """A host of the LAN with a CA of its own, that answers whatever it is asked: 200 and @root; it keeps what was sent to it."""

    def __init__(self, root_pem=None):
        import http.server
        certificate, key = https.make(None, None, "127.0.0.1", eku=(ExtendedKeyUsageOID.SERVER_AUTH,), address="127.0.0.1")
        pem = https.pem(certificate) + https.key_pem(key)
        self.requests = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.requests.append((self.command, self.path, str(self.headers), body))
                text = outer.root.encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-pem-file")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                with contextlib.suppress(OSError):      # whoever has heard enough hangs up
                    self.wfile.write(text)

            do_GET = do_POST = answer

            def log_message(self, *_):
                pass

        ca, _ = https.make(None, None, "Hostile Root", is_ca=True)
        self.root = root_pem or https.pem(ca)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        https.serve_with(self.server, pem)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"https://127.0.0.1:{self.server.server_address[1]}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
