"""cactl from a laptop: HTTPS with a client certificate of the profile admin (docs/guides/remote-admin.md)."""

import hashlib
import json
import os
import pathlib
import pty
import select
import shutil
import signal
import ssl
import subprocess
import tempfile
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

import cadtest
import https

CACTL = cadtest.BUILD / "client" / "cactl"
CONF = """[Access]
Operator=cert:laptop
Reader=cert:watch@home.lan
"""


class Laptop:
    """A folder with what an admin's laptop has, and a home of its own."""

    def __init__(self, ca, base):
        self.ca, self.base = ca, base
        self.url = f"https://127.0.0.1:{https.port(ca)}"
        root = ca.get("/v1/ca/root.pem").expect(200).body
        (base / "root.pem").write_bytes(root)
        self.fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(root.decode())).hexdigest()
        self.env = {"PATH": os.environ["PATH"], "HOME": str(base), **cadtest.environment()}

    def enrol(self, name="laptop", names=("anna@home.lan",), profile="admin", label="laptop", passphrase=None):
        """A key made here, signed on the CA's machine: NAME.key and NAME.crt."""
        key = ec.generate_private_key(ec.SECP256R1())
        fields = {"label": label} if label else {}
        answer = self.ca.post("/v1/certificates", {"csr": https.csr_pem(key, *names), "profile": profile, **fields}).expect(201).json
        hidden = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
        (self.base / f"{name}.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden))
        (self.base / f"{name}.key").chmod(0o600)
        (self.base / f"{name}.crt").write_text(answer["certificate"] + answer["chain"])
        return answer["serial"]

    def run(self, *args, env=None, **more):
        return subprocess.run([CACTL, *map(str, args)], cwd=self.base, env={**self.env, **(env or {})}, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=60, **more)

    def there(self, *args, name="laptop", **more):
        return self.run("--url", self.url, "--root", "root.pem", "--cert", f"{name}.crt", "--key", f"{name}.key", *args, **more)


@pytest.fixture(scope="module")
def laptop():
    base = pathlib.Path(tempfile.mkdtemp(prefix="cad-"))
    (base / "cad.conf").write_text(CONF)
    with cadtest.Daemon(["--config", base / "cad.conf"], tcp=True) as ca:
        laptop = Laptop(ca, base)
        laptop.enrol()
        yield laptop
        assert ca.stop() == 0
        ca.check_log()
    shutil.rmtree(base)


def good(done):
    assert done.returncode == 0, (done.args, done.stdout, done.stderr)
    return done.stdout


def bad(done, code, *says):
    assert done.returncode == code and done.stdout == "", (done.args, done.stdout, done.stderr)
    assert done.stderr.count("\n") == 1, done.stderr
    for text in says:
        assert text in done.stderr, done.stderr


def test_an_operator_works_from_a_laptop(laptop):
    rows = json.loads(good(laptop.there("--json", "cert", "list")))["certificates"]
    assert "anna@home.lan" in [name for row in rows for name in row["names"]]
    good(laptop.there("issue", "nas.lan", "--out", "out"))
    serial = json.loads(good(laptop.there("--json", "cert", "list", "--name", "nas.lan")))["certificates"][0]["serial"]
    good(laptop.there("cert", "revoke", serial, "--reason", "superseded", "-y"))
    assert laptop.ca.get(f"/v1/certificates/{serial}").json["status"] == "revoked"
    assert f"CAD_PRINCIPAL=cert:" in laptop.ca.log_text()


def test_the_root_may_be_pinned_by_its_fingerprint(laptop):
    good(laptop.run("--url", laptop.url, "--fingerprint", laptop.fingerprint, "--cert", "laptop.crt", "--key", "laptop.key", "cert", "list"))
    wrong = laptop.run("--url", laptop.url, "--fingerprint", "0" * 64, "--cert", "laptop.crt", "--key", "laptop.key", "cert", "list")
    bad(wrong, 1, "another fingerprint")


def test_the_key_may_be_in_the_certificates_file(laptop):
    both = laptop.base / "both.pem"
    both.write_text((laptop.base / "laptop.key").read_text() + (laptop.base / "laptop.crt").read_text())
    both.chmod(0o600)
    good(laptop.run("--url", laptop.url, "--root", "root.pem", "--cert", "both.pem", "cert", "list"))


def test_issue_has_a_key_option_of_its_own(laptop):
    good(laptop.there("issue", "p384.lan", "--key", "ecdsa-p384", "--out", "out384"))
    assert "secp384r1" in cadtest.openssl("x509", "-in", str(laptop.base / "out384" / "p384.lan.pem"), "-noout", "-text")


@pytest.fixture
def conf(laptop):
    folder = laptop.base / ".config" / "cad"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "cactl.conf"
    yield file
    file.unlink(missing_ok=True)


def test_what_is_always_the_same_is_in_cactl_conf(laptop, conf):
    conf.write_text(f"[Ca]\nUrl={laptop.url}\nRoot=../../root.pem\nCertificate=../../laptop.crt\nKey=../../laptop.key\n")
    no_socket = {"XDG_STATE_HOME": "/nonexistent"}
    good(laptop.run("cert", "list", env=no_socket))
    good(laptop.run("--url", laptop.url + "/", "cert", "list"))         # the same CA, however it is written
    elsewhere = laptop.base / "xdg" / "cad"
    elsewhere.mkdir(parents=True, exist_ok=True)
    shutil.copy(conf, elsewhere)
    conf.unlink()
    good(laptop.run("cert", "list", env={**no_socket, "XDG_CONFIG_HOME": str(elsewhere.parent)}))                    # paths are relative to the file
    good(laptop.run("ca", "show", "--pem", env={"CAD_SOCKET": str(laptop.ca.socket)}))                              # a socket that is named wins


def test_nothing_of_cactl_conf_is_shown_to_another_ca(laptop, conf):
    conf.write_text(f"[Ca]\nUrl=https://ca.example.lan:8443\nRoot={laptop.base}/root.pem\nCertificate=/nonexistent.crt\n")
    bad(laptop.run("--url", laptop.url, "--root", "root.pem", "cert", "list"), 1, "--cert FILE --key FILE")


@pytest.mark.parametrize("text, says", [
    ("[Ca]\nUrl=https://x\nColour=red\n", "cactl.conf:3"), ("[Ca]\nRoot=x\n", "Url="), ("[Ca]\nUrl=ftp://x\n", "https://NAME"),
], ids=["unknown setting", "no url", "no https"])
def test_a_wrong_cactl_conf_says_where(laptop, conf, text, says):
    conf.write_text(text)
    bad(laptop.run("cert", "list", env={"XDG_STATE_HOME": "/nonexistent"}), 2 if "ftp" in text else 1, says)


def test_a_cactl_conf_that_others_may_write_is_not_read(laptop, conf):
    conf.write_text(f"[Ca]\nUrl={laptop.url}\n")
    conf.chmod(0o666)
    bad(laptop.run("cert", "list", env={"XDG_STATE_HOME": "/nonexistent"}), 1, "writable by everybody")


def test_an_encrypted_key_is_opened_on_the_terminal(laptop):
    laptop.enrol("locked", passphrase=b"open sesame")
    bad(laptop.there("cert", "list", name="locked"), 1, "is encrypted", "no terminal")
    args = [CACTL, "--url", laptop.url, "--root", "root.pem", "--cert", "locked.crt", "--key", "locked.key", "cert", "list"]
    for typed, code in (("open sesame\n", 0), ("close sesame\n", 1)):
        pid, fd = pty.fork()
        if pid == 0:
            os.chdir(laptop.base)
            os.execve(CACTL, list(map(str, args)), laptop.env)
        shown, limit, sent = b"", time.monotonic() + 30, False
        while time.monotonic() < limit:
            if not select.select([fd], [], [], 0.2)[0]:
                continue
            try:
                part = os.read(fd, 4096)
            except OSError:
                break
            shown += part
            if not sent and b"Passphrase of locked.key" in shown:
                os.write(fd, typed.encode())
                sent = True
            if not part:
                break
        else:
            os.kill(pid, signal.SIGKILL)
        os.close(fd)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == code, shown
        assert typed.strip().encode() not in shown and (code or b"anna@home.lan" in shown), shown


def test_files_that_cannot_be_used_are_told_before_anything_is_sent(laptop):
    laptop.enrol("other")
    (laptop.base / "empty.crt").write_text("nothing\n")
    (laptop.base / "loose.key").write_bytes((laptop.base / "laptop.key").read_bytes())
    (laptop.base / "loose.key").chmod(0o644)
    for certificate, key, says in (("laptop.crt", "other.key", "do not belong together"), ("none.crt", "laptop.key", "none.crt"),
                                   ("laptop.crt", "none.key", "none.key"), ("empty.crt", "laptop.key", "no certificate"),
                                   ("laptop.crt", "loose.key", "chmod 600 loose.key"), ("laptop.crt", "root.pem", "root.pem")):
        done = laptop.run("--url", laptop.url, "--root", "root.pem", "--cert", certificate, "--key", key, "cert", "list")
        assert done.returncode in (1, 2) and done.stdout == "" and says in done.stderr, (certificate, key, done.stderr)


@pytest.mark.parametrize("args, says", [
    (["--key", "laptop.key", "cert", "list"], "--cert"), (["--socket", "/x", "--cert", "laptop.crt", "cert", "list"], "--url"),
    (["--url", "http://127.0.0.1:1", "--cert", "laptop.crt", "--key", "laptop.key", "cert", "list"], "https://"),
    (["--cert", "a", "--cert", "b", "cert", "list"], "twice"),
], ids=["key alone", "with the socket", "in the clear", "twice"])
def test_what_does_not_go_together_is_wrong_usage(laptop, args, says):
    bad(laptop.run(*args), 2, says)


def test_who_is_not_let_in_is_told_why(laptop):
    bad(laptop.run("--url", laptop.url, "--root", "root.pem", "cert", "list"), 1, "--cert FILE --key FILE")
    laptop.enrol("guest", label="guest")
    bad(laptop.there("cert", "list", name="guest"), 1, "Reader=spki:")
    laptop.enrol("watch", names=("watch@home.lan",), label=None)
    good(laptop.there("cert", "list", name="watch"))
    serial = laptop.enrol("lost")
    good(laptop.there("cert", "list", name="lost"))
    laptop.ca.post(f"/v1/certificates/{serial}/revoke", {"reason": "key_compromise"}).expect(200)
    bad(laptop.there("cert", "list", name="lost"), 1, "revoked")


def test_an_admin_certificate_is_signed_on_the_box_alone(laptop):
    (laptop.base / "new.csr").write_text(https.csr_pem(ec.generate_private_key(ec.SECP256R1()), "new@home.lan"))
    bad(laptop.there("cert", "sign", "new.csr", "--profile", "admin"), 1, "on the Unix socket alone")
    good(laptop.run("--socket", laptop.ca.socket, "cert", "sign", "new.csr", "--profile", "admin", "--label", "x", "--out", "new.crt"))


def test_the_port_for_plain_http_says_where_the_api_is(laptop):
    url = f"http://127.0.0.1:{https.port(laptop.ca, 'http')}"
    bad(laptop.run("--url", url, "status"), 1, "only the trust page and CRLs", "--url https://127.0.0.1:8443")
