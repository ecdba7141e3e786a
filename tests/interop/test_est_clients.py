"""EST with other people's clients: curl and OpenSSL, strongSwan's pki, Bouncy Castle. Right and wrong, each."""

import base64
import pathlib
import re
import shutil
import subprocess

import pytest
from cryptography import x509

import cadtest

HERE = pathlib.Path(__file__).resolve().parent
JARS = [pathlib.Path("/usr/share/java") / f"{name}.jar" for name in ("bcpkix", "bcprov", "bcutil")]
CLIENT_S = 60


def token(ca, *names, **fields):
    return ca.post("/v1/tokens", {"names": list(names), "profile": "device", "uses": 10, **fields}).expect(201).json["token"]


def make(tmp, *init):
    """A CA, and the folder of a device that has its root."""
    state = tmp / "state"
    if init:
        subprocess.run([cadtest.CAD, "init", "--state-dir", state, *init], check=True, capture_output=True, timeout=60, env=cadtest.environment())
    daemon = cadtest.Daemon(state=state if init else None, tcp=True).__enter__()
    (tmp / "root.pem").write_bytes(daemon.get("/v1/ca/root.pem").body)
    (tmp / "bundle.pem").write_bytes(daemon.get("/v1/ca/bundle.pem").body)
    return daemon


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    cadtest.require_build()
    daemon = make(tmp_path_factory.mktemp("ca"))
    daemon.home = pathlib.Path(tmp_path_factory.getbasetemp())
    yield daemon
    daemon.check_log()
    daemon.close()


@pytest.fixture
def home(ca, tmp_path):
    for name in ("root.pem", "bundle.pem"):
        (tmp_path / name).write_bytes(ca.get(f"/v1/ca/{name}").body)
    return tmp_path


def run(home, *args, code=0, stdin=None, timeout=CLIENT_S):
    done = subprocess.run([str(arg) for arg in args], cwd=home, capture_output=True, timeout=timeout, input=stdin)
    assert done.returncode == code, (args, done.returncode, done.stdout[-1000:], done.stderr[-2000:])
    return done


def verified(home, name):
    """A certificate in a file, checked by OpenSSL up to the root."""
    run(home, "openssl", "verify", "-x509_strict", "-CAfile", "root.pem", "-untrusted", "bundle.pem", name)
    return x509.load_pem_x509_certificate((home / name).read_bytes())


# ---- curl and OpenSSL: the guide's own lines ----


def lines_of_the_guide(heading):
    guide = (HERE.parents[1] / "docs" / "guides" / "est.md").read_text()
    section = guide.split(f"## {heading}\n")[1].split("\n## ")[0]
    return "".join(re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL))


def test_the_guide_enrols_and_renews_with_curl_and_openssl(ca, home):
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    script = lines_of_the_guide("curl and OpenSSL")
    for told, there in (("https://ca.lan:8443", f"https://127.0.0.1:{ca.port('https')}"), ("TOKEN", token(ca, "sensor.lan"))):
        assert told in script
        script = script.replace(told, there)
    run(home, "bash", "-euxo", "pipefail", "-c", script)
    first, second = verified(home, "sensor.pem"), verified(home, "sensor.new.pem")
    assert first.subject == second.subject and first.serial_number != second.serial_number
    cas = (home / "cas.pem").read_text()
    assert cas.count("BEGIN CERTIFICATE") == 3 and (home / "root.pem").read_text().strip() in cas


@pytest.fixture
def curl(ca, home):
    """A call of an operation with curl. Return: status and body"""
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    run(home, "openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "key.pem", "-subj", "/CN=nas.lan",
        "-addext", "subjectAltName=DNS:nas.lan", "-outform", "DER", "-out", "csr.der")
    (home / "csr.b64").write_bytes(base64.encodebytes((home / "csr.der").read_bytes()))

    def call(operation, *args, code=0, body="csr.b64", type="application/pkcs10"):
        sent = ["-H", f"Content-Type: {type}", "--data-binary", f"@{body}"]
        done = run(home, "curl", "-sS", "--cacert", "root.pem", "-w", "\n%{http_code}", *sent, *args,
                   f"https://127.0.0.1:{ca.port('https')}/.well-known/est/{operation}", code=code)
        text, _, status = done.stdout.decode().rpartition("\n")
        return int(status), text
    return call


def test_curl_is_told_what_is_wrong(ca, home, curl):
    good = token(ca, "nas.lan")
    assert curl("simpleenroll")[0] == 401
    for args, operation, status, says in (
            (("-u", "x:wrong"), "simpleenroll", 401, "no token"), (("-u", f"x:{good}"), "server/simpleenroll", 403, "device"),
            (("-u", f"x:{token(ca, 'other.lan')}"), "simpleenroll", 403, "nas.lan"), (("-u", f"x:{good}"), "nope/simpleenroll", 404, "nope"),
            (("-u", f"x:{good}"), "serverkeygen", 501, "not offered")):
        told, text = curl(operation, *args)
        assert told == status and says in text, (args, operation, told, text)
    assert curl("simpleenroll", "-u", f"x:{good}", type="text/plain")[0] == 415
    (home / "bad.b64").write_text("this is no base64")
    assert curl("simpleenroll", "-u", f"x:{good}", body="bad.b64")[0] == 400
    # who answers challenges only when asked, too; and the token is still good after all that
    assert curl("simpleenroll", "-u", f"x:{good}", "--anyauth")[0] == 200


def test_a_pairing_code_from_curl(ca, curl):
    code = token(ca, "nas.lan", short=True, uses=1)
    assert curl("simpleenroll", "-u", f"x:{code.lower()}")[0] == 200


def test_curl_does_not_talk_to_another_ca(ca, home, curl):
    run(home, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "x.pem", "-subj", "/CN=Other", "-out",
        "other.pem")
    with pytest.raises(AssertionError):
        curl("simpleenroll", "-u", "x:y", "--cacert", "other.pem")


# ---- strongSwan: pki --est, --estca ----


@pytest.fixture(scope="module")
def swan(tmp_path_factory):
    """strongSwan 5.9 cannot read constraints of addresses, so this CA has none."""
    if not shutil.which("pki") or b"--estca" not in subprocess.run(["pki", "--help"], capture_output=True, timeout=CLIENT_S).stdout:
        pytest.skip("strongSwan's pki with --est is not installed (strongswan-pki, libstrongswan-extra-plugins)")
    cadtest.require_build()
    folder = tmp_path_factory.mktemp("swan")
    # where it looks for CRLs nobody listens
    daemon = make(folder, "--unconstrained", "--public-url", "http://127.0.0.1:9")
    daemon.home = folder
    run(folder, "bash", "-c", "pki --gen --type ecdsa --size 256 --outform pem >key.pem && "
        "pki --req --in key.pem --type priv --dn CN=gate.lan --san gate.lan >csr.der && "
        "pki --req --in key.pem --type priv --dn CN=evil.lan --san evil.lan >evil.der")
    yield daemon
    daemon.check_log()
    daemon.close()


def pki(swan, *args, code=0, csr=None):
    url = f"https://localhost:{swan.port('https')}"
    return run(swan.home, "pki", *args, "--url", url, "--cacert", "root.pem", *(("--in", csr) if csr else ()), code=code)


def test_strongswan_gets_the_certificates_of_the_ca(swan):
    done = pki(swan, "--estca", "--caout", "got.pem", "--outform", "pem")
    assert b"Root CA equals trusted TLS Root CA" in done.stderr + done.stdout
    assert (swan.home / "got.pem").read_text().strip() == (swan.home / "root.pem").read_text().strip()
    assert len(list(swan.home.glob("got*.pem"))) == 3


def test_strongswan_enrols_and_renews(swan):
    mine = token(swan, "gate.lan")
    (swan.home / "gate.pem").write_bytes(pki(swan, "--est", "--userpass", f"x:{mine}", "--outform", "pem", csr="csr.der").stdout)
    first = verified(swan.home, "gate.pem")
    again = pki(swan, "--est", "--cert", "gate.pem", "--key", "key.pem", "--outform", "pem", csr="csr.der").stdout
    (swan.home / "again.pem").write_bytes(again)
    second = verified(swan.home, "again.pem")
    assert first.subject == second.subject and first.serial_number != second.serial_number
    refused = pki(swan, "--est", "--cert", "gate.pem", "--key", "key.pem", "--outform", "pem", csr="evil.der", code=1)
    assert b"HTTP 422" in refused.stderr


@pytest.mark.slow
def test_strongswan_waits_for_an_operator_and_asks_again(swan):
    url = f"https://localhost:{swan.port('https')}"
    (swan.home / "wait.der").write_bytes(run(swan.home, "bash", "-c", "pki --gen --type ecdsa --size 256 >wait.key && "
                                             "pki --req --in wait.key --type ecdsa --dn CN=wait.lan --san wait.lan").stdout)
    with subprocess.Popen(["pki", "--est", "--url", url, "--cacert", "root.pem", "--in", "wait.der", "--userpass", "x:", "--interval", "1",
                           "--outform", "pem"], cwd=swan.home, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as waiting:
        try:
            swan.wait_until(lambda: swan.get("/v1/requests?status=waiting").json["requests"], 20, "no request waits")
            code = swan.get("/v1/requests?status=waiting").json["requests"][0]["code"]
            swan.post(f"/v1/requests/{code}/approve", {}).expect(201)
            text, _ = waiting.communicate(timeout=40)       # it sleeps as long as Retry-After says
        finally:
            waiting.kill()
    (swan.home / "waited.pem").write_bytes(text)
    assert verified(swan.home, "waited.pem").subject.rfc4514_string() == "CN=wait.lan"


@pytest.mark.parametrize("password, status", [("wrong", 401), ("cad_7000000000000000_" + 32 * "0", 401), (None, 401)])
def test_strongswan_is_refused(swan, password, status):
    done = pki(swan, "--est", *(("--userpass", f"x:{password}") if password else ()), csr="csr.der", code=1)
    assert f"HTTP {status}".encode() in done.stderr and not done.stdout


def test_strongswan_does_not_read_a_ca_with_constraints_of_addresses(ca, home):
    """When this fails, strongSwan has learnt it: the guide and decision 5 can say so."""
    if not shutil.which("pki"):
        pytest.skip("strongSwan's pki is not installed")
    done = subprocess.run(["pki", "--print", "--in", "root.pem"], cwd=home, capture_output=True, timeout=CLIENT_S)
    assert done.returncode != 0 and b"Constraints" in done.stderr


# ---- Bouncy Castle ----


class Castle:
    """EstClient.java, one for all tests: a start takes seconds."""

    def __init__(self, ca, folder):
        (folder / "root.pem").write_bytes(ca.get("/v1/ca/root.pem").body)
        self.process = subprocess.Popen(
            ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", ":".join(map(str, JARS)), HERE / "EstClient.java", f"localhost:{ca.port('https')}",
             folder / "root.pem"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)

    def ask(self, *words):
        self.process.stdin.write(" ".join(words) + "\n")
        answer = self.process.stdout.readline().strip()
        assert answer, self.process.stderr.read()
        return answer

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


@pytest.fixture(scope="module")
def castle(ca, tmp_path_factory):
    if not shutil.which("java") or not all(jar.exists() for jar in JARS):
        pytest.skip("Java or Bouncy Castle (libbcpkix-java) is not installed")
    client = Castle(ca, tmp_path_factory.mktemp("castle"))
    yield client
    client.close()


def test_bouncy_castle_enrols_and_renews(ca, castle):
    assert castle.ask("cacerts", "-") == castle.ask("cacerts", "device") == "ok 3"
    assert castle.ask("csrattrs", "-") == "ok 0"
    mine = token(ca, "java.lan", "10.0.0.9")
    for label in ("-", "device"):
        found = castle.ask("enroll", label, mine, "java.lan", "10.0.0.9")
        assert found.startswith("ok "), found
        again = castle.ask("reenroll", label, "java.lan", "10.0.0.9")
        assert again.startswith("ok ") and again != found, again
    code = token(ca, "java.lan", short=True, uses=1)
    assert castle.ask("enroll", "-", code, "java.lan").startswith("ok ")


def test_bouncy_castle_waits_for_an_operator(ca, castle):
    assert re.fullmatch(r"wait \d+", castle.ask("enroll", "device", "empty", "slow.lan"))
    assert castle.ask("again").startswith("wait ")
    code = ca.get("/v1/requests?status=waiting").json["requests"][0]["code"]
    ca.post(f"/v1/requests/{code}/approve", {}).expect(201)
    assert castle.ask("again").startswith("ok ")


@pytest.mark.parametrize("words, status, says", [
    (("cacerts", "nope"), 404, "nope"), (("enroll", "-", "wrong", "java.lan"), 401, "no token"), (("enroll", "-", "-", "java.lan"), 401, ""),
    (("enroll", "server", "TOKEN", "java.lan"), 403, "'device'"), (("enroll", "-", "TOKEN", "evil.lan"), 403, "evil.lan"),
    (("enroll", "-", "TOKEN", "google.com"), 422, "google.com"), (("serverkeygen", "-", "TOKEN", "java.lan"), 501, "not offered"),
    (("reenroll", "-", "evil.lan"), 422, "evil.lan"), (("reenroll", "server", "java.lan"), 403, "'device'"),
])
def test_bouncy_castle_is_told_what_is_wrong(ca, castle, words, status, says):
    mine = token(ca, "java.lan")
    if words[0] == "reenroll":
        assert castle.ask("enroll", "-", mine, "java.lan").startswith("ok ")
    answer = castle.ask(*(mine if word == "TOKEN" else word for word in words))
    assert answer.startswith(f"error {status} ") or answer == f"error {status}", answer
    assert says in answer
