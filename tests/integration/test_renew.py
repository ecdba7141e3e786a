"""Renewal through the REST API and cactl: by operators on the Unix socket, by who has the key over HTTPS, and when it is advised."""

import datetime
import http.client
import json
import os
import signal
import ssl
import subprocess
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

import cadtest

PROBLEM = "urn:cad:problem:"
NAMES = ["nas.lan", "10.0.0.1"]
CACTL = cadtest.BUILD / "client" / "cactl"
TLS = {"timeout": cadtest.ANSWER_S}


def make_key():
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def spki(key):
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def general_name(text):
    import ipaddress
    return x509.IPAddress(ipaddress.ip_address(text)) if text[0].isdigit() else x509.DNSName(text)


def make_csr(key, names=(), cn=None):
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)] if cn else []))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([general_name(n) for n in names]), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


@pytest.fixture(scope="module")
def ca():
    with cadtest.Daemon(tcp=True) as daemon:
        yield daemon
        assert daemon.stop() == 0
        daemon.check_log()


def issue(ca, key=None, **fields):
    fields = {"csr": make_csr(key or make_key(), NAMES, NAMES[0]), "profile": "device", **fields}
    return ca.post("/v1/certificates", fields).expect(201).json


def renew(ca, serial, body=b"", **headers):
    if isinstance(body, dict):
        return ca.post(f"/v1/certificates/{serial}/renew", body, **headers)
    return ca.request("POST", f"/v1/certificates/{serial}/renew", body, headers)


def refused(answer, slug, status, field=None):
    problem = answer.expect(status).json
    assert problem["type"] == PROBLEM + slug and problem["detail"], problem
    assert field is None or problem.get("field") == field, problem
    return problem


def moment(text):
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()


# ---- as an operator ------------------------------------------------------------------------------------------------


@pytest.mark.sanitize
@pytest.mark.parametrize("body,headers", [(None, {}), (b"", {}), (b"{}", {"Content-Type": "application/json"}),
                                          (b'{"csr":null}', {"Content-Type": "application/json"})])
def test_an_operator_renews_with_the_key_that_it_has(ca, body, headers):
    old = issue(ca, label="kitchen", validity="40d")
    answer = ca.request("POST", f"/v1/certificates/{old['serial']}/renew", body, headers).expect(201)
    new = answer.json
    assert answer.headers["location"] == f"/v1/certificates/{new['serial']}" and new["serial"] > old["serial"]
    for same in ("subject", "names", "profile", "spki", "label", "issuer"):
        assert new[same] == old[same], same
    assert moment(new["not_after"]) - moment(new["not_before"]) == 40 * 86400 - 1
    assert "warnings" not in new and new["status"] == "valid"
    assert ca.get(f"/v1/certificates/{old['serial']}").json["status"] == "valid"
    root = ca.get("/v1/ca/root.pem").expect(200).body
    with open(ca.base / "root.pem", "wb") as out:
        out.write(root)
    with open(ca.base / "chain.pem", "w") as out:
        out.write(new["chain"])
    cadtest.openssl("verify", "-CAfile", str(ca.base / "root.pem"), "-untrusted", str(ca.base / "chain.pem"),
                    input=new["certificate"])


@pytest.mark.sanitize
def test_a_csr_in_json_or_raw_brings_a_new_key(ca):
    for raw in (False, True):
        old, key = issue(ca), make_key()
        csr = make_csr(key)
        answer = renew(ca, old["serial"], csr.encode(), **{"Content-Type": "application/pkcs10"}) if raw else renew(
            ca, old["serial"], {"csr": csr})
        new = answer.expect(201).json
        assert new["names"] == old["names"] and new["subject"] == old["subject"] and new["spki"] != old["spki"]
        certificate = x509.load_pem_x509_certificate(new["certificate"].encode())
        assert certificate.public_key().public_numbers() == key.public_key().public_numbers()


@pytest.mark.parametrize("names,cn,field", [
    (["nas.lan", "10.0.0.1", "router.lan"], None, "csr.san[2]"), (["nas.lan"], None, "csr.san"),
    ([], "router.lan", "csr.subject.CN"), (["10.0.0.1", "nas.lan"], "router.lan", "csr.subject.CN"),
    (["*.nas.lan", "nas.lan", "10.0.0.1"], None, "csr.san[0]")])
def test_a_csr_for_other_names_is_refused(ca, names, cn, field):
    old = issue(ca)
    problem = refused(renew(ca, old["serial"], {"csr": make_csr(make_key(), names, cn)}), "name-not-allowed", 422, field)
    assert "renewal keeps the names" in problem["detail"]


@pytest.mark.parametrize("body,type,slug,status", [
    (b"{", "application/json", "body-malformed", 400), (b'{"names":["nas.lan"]}', "application/json", "body-malformed", 400),
    (b'{"validity":"10y"}', "application/json", "body-malformed", 400), (b'{"csr":""}', "application/json", "csr-malformed", 400),
    (b'{"csr":"rubbish"}', "application/json", "csr-malformed", 400), (b"rubbish", "application/pkcs10", "csr-malformed", 400),
    (b"<x/>", "text/xml", "media-type", 415), (b"{}", None, "media-type", 415),
    (b'{"csr":"-----BEGIN PRIVATE KEY-----\\nMA==\\n-----END PRIVATE KEY-----"}', "application/json", "private-key-in-body", 400)])
def test_a_body_that_is_wrong_is_refused(ca, body, type, slug, status):
    old = issue(ca)
    refused(renew(ca, old["serial"], body, **({"Content-Type": type} if type else {})), slug, status)


@pytest.mark.parametrize("accept,type", [("application/pem-certificate-chain", b"-----BEGIN CERTIFICATE-----"),
                                         ("application/pkix-cert", b"\x30\x82"), ("application/pkcs7-mime", b"\x30\x82")])
def test_the_certificate_comes_in_the_form_that_is_wanted(ca, accept, type):
    answer = renew(ca, issue(ca)["serial"], Accept=accept).expect(201)
    assert answer.type == accept and answer.body.startswith(type)
    assert renew(ca, issue(ca)["serial"], Accept="image/png").status == 406


def test_an_idempotency_key_makes_a_retry_safe(ca):
    old = issue(ca)
    first, again = (renew(ca, old["serial"], **{"Idempotency-Key": "once"}).expect(201).json for _ in range(2))
    assert first["serial"] == again["serial"] != old["serial"]
    other = renew(ca, issue(ca)["serial"], **{"Idempotency-Key": "once"}).expect(201).json
    assert other["serial"] != first["serial"], "a key belongs to the path"
    refused(renew(ca, old["serial"], {"csr": make_csr(make_key())}, **{"Idempotency-Key": "once"}), "idempotency-mismatch", 422)


def test_what_is_revoked_or_on_hold_is_not_renewed(ca):
    held, revoked = issue(ca)["serial"], issue(ca)["serial"]
    ca.post(f"/v1/certificates/{held}/revoke", {"reason": "certificate_hold"}).expect(200)
    ca.post(f"/v1/certificates/{revoked}/revoke", {"reason": "superseded"}).expect(200)
    assert "hold" in refused(renew(ca, held), "state-conflict", 409)["detail"]
    assert "superseded" in refused(renew(ca, revoked), "already-revoked", 409)["detail"]
    ca.post(f"/v1/certificates/{held}/revoke", {"reason": "remove_from_crl"}).expect(200)
    renew(ca, held).expect(201)


def test_a_key_that_was_lost_is_renewed_nowhere(ca):
    key = make_key()
    one, other = issue(ca, key), issue(ca, key, profile="server")
    ca.post(f"/v1/certificates/{one['serial']}/revoke", {"reason": "key_compromise"}).expect(200)
    refused(renew(ca, other["serial"]), "key-reserved", 422)
    refused(renew(ca, other["serial"], {"csr": make_csr(make_key())}), "key-reserved", 422)


@pytest.mark.parametrize("serial", ["00", "ab" * 20, "ab" * 21, "nothing", "1"])
def test_a_serial_that_is_not_here_is_not_found(ca, serial):
    refused(renew(ca, serial), "not-found", 404)
    refused(ca.get(f"/v1/certificates/{serial}/renewal"), "not-found", 404)


def test_the_profile_of_today_holds(tmp_path):
    os.chmod(tmp_path, 0o755)
    conf, profile = tmp_path / "cad.conf", tmp_path / "profiles.d" / "device.conf"
    profile.parent.mkdir(mode=0o755)
    conf.write_text("")
    with cadtest.Daemon(args=["--config", conf]) as daemon:
        old = issue(daemon, validity="300d")
        profile.write_text("[Profile]\nNameTypes=dns\nValidityMax=100d\nValidity=30d\n")
        os.kill(daemon.pid, signal.SIGHUP)
        daemon.wait_until(lambda: renew(daemon, old["serial"]).status == 422, 10, "the reload is not seen")
        refused(renew(daemon, old["serial"]), "name-not-allowed", 422, "names[1]")
        profile.write_text("[Profile]\nValidityMax=100d\nValidity=30d\n")
        os.kill(daemon.pid, signal.SIGHUP)
        daemon.wait_until(lambda: renew(daemon, old["serial"]).status == 201, 10, "the reload is not seen")
        new = renew(daemon, old["serial"]).expect(201).json
        assert moment(new["not_after"]) - moment(new["not_before"]) == 100 * 86400 - 1
        daemon.check_log()


def test_the_audit_says_who_renewed_what_and_who_was_refused(ca):
    old, revoked = issue(ca), issue(ca)["serial"]
    new = renew(ca, old["serial"].upper()).expect(201).json
    ca.post(f"/v1/certificates/{revoked}/revoke", {"reason": "superseded"}).expect(200)
    renew(ca, revoked).expect(409)
    found = {}

    def rows():
        found.update({(row["action"], row["object"]): row for row in ca.get("/v1/audit?limit=50").expect(200).json["audit"]})
        return ("certificate.renew", revoked) in found

    ca.wait_until(rows, 10, "the refusal is not in the audit")
    row = found["certificate.renew", new["serial"]]
    assert row["outcome"] == "ok" and row["principal"] == f"uid:{os.geteuid()}" and row["request_id"] and row["source"], row
    assert "nas.lan" in row["detail"] and f"renews {old['serial']}" in row["detail"], row
    assert found["certificate.renew", revoked]["outcome"] == "already-revoked"


# ---- when ----------------------------------------------------------------------------------------------------------


@pytest.mark.sanitize
def test_the_window_is_in_the_last_third_and_may_be_asked_for_by_all(ca):
    old = issue(ca, validity="90d")
    answer = ca.get(f"/v1/certificates/{old['serial']}/renewal").expect(200)
    assert set(answer.json) == {"window"} and set(answer.json["window"]) == {"start", "end"}
    start, end = (moment(answer.json["window"][at]) for at in ("start", "end"))
    began, ends = time.time(), moment(old["not_after"])
    assert began + 59 * 86400 < start < end < ends - 14 * 86400
    assert answer.headers["retry-after"] == "21600" and answer.headers["cache-control"] == "no-cache"
    tag = answer.headers["etag"]
    path = f"/v1/certificates/{old['serial']}/renewal"
    for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        again = ca.get(path, **{"If-None-Match": known}).expect(304)
        assert again.body == b"" and again.headers["etag"] == tag and again.headers["retry-after"] == "21600"
    for other in ('"x"', tag[:-1], tag + "x", ""):
        ca.get(path, **{"If-None-Match": other}).expect(200)
    ca.post(f"/v1/certificates/{old['serial']}/revoke", {"reason": "superseded"}).expect(200)
    now = ca.get(path, **{"If-None-Match": tag}).expect(200).json["window"]
    assert moment(now["start"]) < moment(now["end"]) <= time.time()


def test_many_of_one_minute_are_not_advised_the_same_minute(ca):
    starts = set()
    for _ in range(40):
        serial = issue(ca, validity="90d")["serial"]
        starts.add(ca.get(f"/v1/certificates/{serial}/renewal").json["window"]["start"][:16])
    assert len(starts) >= 38, sorted(starts)


def test_a_short_life_is_asked_about_more_often(ca):
    serial = issue(ca, validity="12h")["serial"]
    answer = ca.get(f"/v1/certificates/{serial}/renewal").expect(200)
    assert 60 <= int(answer.headers["retry-after"]) <= 600


# ---- as its owner, over HTTPS ---------------------------------------------------------------------------------------


class Owner:
    """A device with a certificate of its own: its files, and requests that show it."""

    def __init__(self, ca, folder, **fields):
        self.ca, self.key = ca, make_key()
        self.told = issue(ca, self.key, **fields)
        self.serial = self.told["serial"]
        self.certificate, self.key_file, self.root = folder / "nas.pem", folder / "nas-key.pem", folder / "root.pem"
        self.certificate.write_text(self.told["certificate"] + self.told["chain"])
        self.key_file.write_bytes(key_pem(self.key))
        self.key_file.chmod(0o600)
        self.root.write_bytes(ca.get("/v1/ca/root.pem").expect(200).body)

    def request(self, method, path, body=None, headers=None, shown=True):
        tls = ssl.create_default_context(cafile=str(self.root))
        tls.check_hostname = False
        if shown:
            tls.load_cert_chain(self.certificate, self.key_file)
        connection = http.client.HTTPSConnection("127.0.0.1", self.ca.port("https"), context=tls, **TLS)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return cadtest.Answer(response.status, {n.lower(): v for n, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def renew(self, serial=None, **more):
        return self.request("POST", f"/v1/certificates/{serial or self.serial}/renew", **more)


@pytest.fixture
def owner(ca, tmp_path):
    return Owner(ca, tmp_path)


@pytest.mark.sanitize
def test_who_has_the_key_renews_over_https_and_nobody_else(ca, owner, tmp_path):
    new = owner.renew().expect(201).json
    assert new["names"] == owner.told["names"] and new["spki"] == owner.told["spki"]
    refused(owner.renew(shown=False), "unauthenticated", 401)
    other = issue(ca)
    assert owner.renew(other["serial"]).status in (401, 403)
    assert owner.renew(new["serial"]).status in (401, 403), "the new one renews itself, not the old one it"
    assert ca.get(f"/v1/certificates?limit=1").json["certificates"][0]["serial"] == other["serial"]


def test_an_owner_takes_a_new_key(owner):
    key = make_key()
    new = owner.renew(body=json.dumps({"csr": make_csr(key)}), headers={"Content-Type": "application/json"}).expect(201).json
    certificate = x509.load_pem_x509_certificate(new["certificate"].encode())
    assert certificate.public_key().public_numbers() == key.public_key().public_numbers()


def test_a_revoked_owner_is_turned_away(ca, owner):
    ca.post(f"/v1/certificates/{owner.serial}/revoke", {"reason": "superseded"}).expect(200)
    assert owner.renew().status in (401, 409)


def test_one_device_does_not_use_up_what_is_signed_for_all(ca, tmp_path):
    """Ten in a row, whatever key it takes and whichever of its certificates it shows; the next device and an operator do not wait."""
    greedy = Owner(ca, tmp_path, names=["greedy.lan"])
    answers = [greedy.renew() for _ in range(12)]
    assert [answer.status for answer in answers] == [201] * 10 + [429] * 2
    assert int(answers[-1].headers["retry-after"]) > 0
    revoke = lambda reason: greedy.request("POST", f"/v1/certificates/{greedy.serial}/revoke", json.dumps({"reason": reason}),    # noqa: E731
                                           {"Content-Type": "application/json"}).status
    assert (revoke("certificate_hold"), revoke("key_compromise")) == (429, 200), "only what could go on for ever is kept waiting"
    (tmp_path / "other").mkdir()
    Owner(ca, tmp_path / "other", names=["modest.lan"]).renew().expect(201)
    (tmp_path / "again").mkdir()
    ca.post(f"/v1/certificates/{Owner(ca, tmp_path / 'again', names=['greedy.lan']).serial}/renew", {}).expect(201)


def ends_in(seconds, **fields):
    """Times of a certificate that was set back by almost an hour, and ends soon."""
    begin = datetime.datetime.fromtimestamp(time.time() - 3500, datetime.timezone.utc)
    return {"not_before": begin.strftime("%Y-%m-%dT%H:%M:%SZ"), "validity": f"{3500 + seconds}s", **fields}


@pytest.mark.parametrize("profile,may", [("device", True), ("client", False)])
def test_an_expired_owner_renews_within_the_grace_of_its_profile_and_does_nothing_else(ca, tmp_path, profile, may):
    owner = Owner(ca, tmp_path, **ends_in(2, profile=profile))
    time.sleep(max(0, moment(owner.told["not_after"]) + 1.2 - time.time()))
    assert owner.request("POST", f"/v1/certificates/{owner.serial}/revoke").status == 401
    answer = owner.renew()
    if may:
        assert answer.expect(201).json["names"] == NAMES
    else:
        assert answer.status in (401, 409) and "request" in answer.json["detail"], answer
    renew(ca, owner.serial).expect(201)     # an operator could issue it anew as well


def test_an_admin_renews_on_the_unix_socket_alone(ca, tmp_path):
    admin = Owner(ca, tmp_path, profile="admin")
    assert admin.renew().status == 403
    renew(ca, admin.serial).expect(201)


# ---- cactl ---------------------------------------------------------------------------------------------------------


def cactl(code, *args, cwd):
    done = subprocess.run([CACTL, *map(str, args)], cwd=cwd, text=True, capture_output=True, timeout=60,
                          stdin=subprocess.DEVNULL, env=cadtest.environment() | {"HOME": "/nonexistent"})
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert not cadtest.REPORTS.search(done.stderr), done.stderr
    return done


def first_certificate(text):
    return x509.load_pem_x509_certificate(text.encode())


@pytest.mark.sanitize
def test_cactl_renews_a_serial_or_a_file_on_the_socket(ca, owner, tmp_path):
    for what in (owner.serial, "nas.pem"):
        done = cactl(0, "--socket", ca.socket, "cert", "renew", what, cwd=tmp_path)
        new = first_certificate(done.stdout)
        assert new.public_key().public_numbers() == owner.key.public_key().public_numbers()
        assert done.stdout.count("BEGIN CERTIFICATE") == 2 and f"renewed {owner.serial} as {new.serial_number:x}" in done.stderr
    told = json.loads(cactl(0, "--socket", ca.socket, "--json", "cert", "renew", owner.serial, cwd=tmp_path).stdout)
    assert told["names"] == NAMES


def test_cactl_makes_a_new_key_or_takes_one(ca, owner, tmp_path):
    words = ["--socket", ca.socket, "cert", "renew", "nas.pem", "--new-key", "new-key.pem", "--out", "new.pem"]
    cactl(0, *words, cwd=tmp_path)
    made = (tmp_path / "new-key.pem")
    assert made.stat().st_mode & 0o777 == 0o600
    first = first_certificate((tmp_path / "new.pem").read_text())
    assert spki(first) == cadtest_spki(made) != spki(owner.key)
    cactl(0, *words, cwd=tmp_path)      # the same key again
    assert spki(first_certificate((tmp_path / "new.pem").read_text())) == spki(first)
    (tmp_path / "a.csr").write_text(make_csr(make_key()))
    cactl(0, "--socket", ca.socket, "cert", "renew", owner.serial, "--csr", "a.csr", cwd=tmp_path)
    cactl(2, "--socket", ca.socket, "cert", "renew", owner.serial, "--csr", "a.csr", "--new-key", "x", cwd=tmp_path)


def cadtest_spki(path):
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    return spki(load_pem_private_key(path.read_bytes(), None))


def test_cactl_leaves_no_key_behind_where_it_is_refused(ca, owner, tmp_path):
    ca.post(f"/v1/certificates/{owner.serial}/revoke", {"reason": "superseded"}).expect(200)
    before = sorted(os.listdir(tmp_path))
    done = cactl(1, "--socket", ca.socket, "cert", "renew", "nas.pem", "--new-key", "new-key.pem", cwd=tmp_path)
    assert "revoked" in done.stderr and sorted(os.listdir(tmp_path)) == before


@pytest.mark.sanitize
def test_cactl_shows_the_certificate_that_it_renews_over_the_network(ca, owner, tmp_path):
    where = ["--url", f"https://localhost:{ca.port('https')}", "--root", "root.pem"]
    done = cactl(0, *where, "cert", "renew", "nas.pem", "--out", "nas2.pem", cwd=tmp_path)
    assert "renewed" in done.stderr
    (tmp_path / "elsewhere.pem").write_bytes(owner.key_file.read_bytes())
    (tmp_path / "elsewhere.pem").chmod(0o600)
    owner.key_file.unlink()
    cactl(1, *where, "cert", "renew", "nas.pem", cwd=tmp_path)
    cactl(0, *where, "cert", "renew", "nas.pem", "--key", "elsewhere.pem", cwd=tmp_path)
    cactl(2, *where, "cert", "renew", owner.serial, "--key", "elsewhere.pem", cwd=tmp_path)
    both = tmp_path / "both.pem"
    both.write_bytes((tmp_path / "nas.pem").read_bytes() + (tmp_path / "elsewhere.pem").read_bytes())
    both.chmod(0o600)
    cactl(0, *where, "cert", "renew", "both.pem", cwd=tmp_path)
