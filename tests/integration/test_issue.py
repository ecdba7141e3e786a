"""Issuing over the real socket: every way in, every form out, what the answer promises and what openssl reads."""

import concurrent.futures
import datetime
import json
import re
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import cadtest
import csrs
from cadtest import openssl
from csrs import cn, csr, dns, email, ip, uri

DAY = datetime.timedelta(days=1)
PROBLEM = "urn:cad:problem:"


@pytest.fixture(scope="module")
def ca():
    with cadtest.Daemon() as daemon:
        (daemon.base / "bundle.pem").write_bytes(daemon.get("/v1/ca/bundle.pem").expect(200).body)
        (daemon.base / "root.pem").write_bytes(daemon.get("/v1/ca/root.pem").expect(200).body)
        yield daemon
        assert daemon.stop() == 0
        daemon.check_log()


def leaf_of(answer):
    return x509.load_pem_x509_certificate(answer.expect(201).json["certificate"].encode())


def nas(**parts):
    return csr(names=[dns("nas.lan")], **parts)


def serials(ca):
    return [row["serial"] for row in ca.get("/v1/certificates?limit=1000").expect(200).json["certificates"]]


def refused(ca, answer, slug, field=None, status=422):
    problem = answer.expect(status).json
    assert answer.type == "application/problem+json" and problem["type"] == PROBLEM + slug, problem
    assert field is None or problem.get("field") == field, problem
    return problem


def moment(text):
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text)
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")


def now():
    return datetime.datetime.utcnow().replace(microsecond=0)


def stamp(when):
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def verify(ca, pem, *more):
    (ca.base / "leaf.pem").write_text(pem)
    return openssl("verify", "-x509_strict", "-CAfile", str(ca.base / "root.pem"), "-untrusted", str(ca.base / "bundle.pem"), *more,
                   str(ca.base / "leaf.pem"))


# -- The answer --------------------------------------------------------------------------------

@pytest.mark.sanitize
def test_the_answer_says_what_is_in_the_certificate(ca):
    key = csrs.EcKey()
    answer = ca.issue(csr(key, names=[dns("nas.lan"), ip([10, 0, 0, 5])]), label="the box under the stairs")
    issued, leaf = answer.expect(201).json, leaf_of(answer)
    assert answer.headers["location"] == f"/v1/certificates/{issued['serial']}"
    assert answer.headers["cache-control"] == "no-store"
    assert issued["status"] == "valid" and issued["profile"] == "server" and issued["subject"] == "CN=nas.lan"
    assert issued["names"] == ["nas.lan", "10.0.0.5"] and issued["label"] == "the box under the stairs"
    assert issued["serial"] == f"{leaf.serial_number:x}" and re.fullmatch("[0-9a-f]{36,40}", issued["serial"])
    assert moment(issued["not_before"]) == leaf.not_valid_before and moment(issued["not_after"]) == leaf.not_valid_after
    assert issued["fingerprint"] == leaf.fingerprint(hashes.SHA256()).hex()
    spki = hashes.Hash(hashes.SHA256())
    spki.update(leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    assert issued["spki"] == spki.finalize().hex()
    issuers = {each["id"]: each for each in ca.get("/v1/ca").expect(200).json["issuers"]}
    chain = x509.load_pem_x509_certificate(issued["chain"].encode())
    assert issuers[issued["issuer"]]["state"] == "active"
    assert issuers[issued["issuer"]]["fingerprint"] == chain.fingerprint(hashes.SHA256()).hex()
    assert leaf.issuer == chain.subject
    assert "OK" in verify(ca, issued["certificate"], "-purpose", "sslserver")


def test_the_certificate_is_what_browsers_want(ca):
    text = openssl("x509", "-noout", "-text", input=ca.issue(nas()).expect(201).json["certificate"])
    issuer = next(each for each in ca.get("/v1/ca").json["issuers"] if each["state"] == "active")
    for wanted in (r"Version: 3 ", r"X509v3 Basic Constraints: critical\s+CA:FALSE",
                   r"X509v3 Key Usage: critical\s+Digital Signature\n",
                   r"X509v3 Extended Key Usage: \n\s+TLS Web Server Authentication\n", r"X509v3 Subject Alternative Name: \n\s+DNS:nas.lan\n",
                   r"X509v3 Subject Key Identifier: \n", r"X509v3 Authority Key Identifier: \n",
                   r"X509v3 CRL Distribution Points: \n\s+Full Name:\n\s+URI:" + re.escape(issuer["crl_url"]),
                   r"Authority Information Access: \n\s+CA Issuers - URI:" + re.escape(issuer["issuer_url"]),
                   r"Signature Algorithm: ecdsa-with-SHA256"):
        assert re.search(wanted, text), (wanted, text)
    assert issuer["crl_url"].startswith("http://") and issuer["issuer_url"].startswith("http://")


def test_gnutls_takes_the_chain_too(ca):
    pem = ca.request("POST", "/v1/certificates", nas(), {"Content-Type": "application/pkcs10",
                     "Accept": "application/pem-certificate-chain"}).expect(201).body
    (ca.base / "chain.pem").write_bytes(pem + (ca.base / "root.pem").read_bytes())
    done = subprocess.run(["certtool", "--verify", "--load-ca-certificate", ca.base / "root.pem", "--infile", ca.base / "chain.pem"],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and "Verified" in done.stdout, done.stdout + done.stderr


FORMS = (
    ("application/json", "application/json", "json"),
    ("application/pem-certificate-chain", "application/pem-certificate-chain", "chain"),
    ("application/pkix-cert", "application/pkix-cert", "der"),
    ("application/pkcs7-mime", "application/pkcs7-mime", "pkcs7"),
    ("*/*", "application/json", "json"),
    ("application/*", "application/json", "json"),
    ("text/html, application/pkix-cert;q=0.5", "application/pkix-cert", "der"),
    ("application/pkix-cert;q=0.1, application/pem-certificate-chain;q=0.9", "application/pem-certificate-chain", "chain"),
    ("application/json;q=0, application/pkix-cert", "application/pkix-cert", "der"),
    ("APPLICATION/PKIX-CERT", "application/pkix-cert", "der"),
)


def certificates(kind, body):
    """Every certificate in an answer of this kind, read by openssl."""
    if kind == "json":
        issued = json.loads(body)
        return [x509.load_pem_x509_certificate(issued[part].encode()) for part in ("certificate", "chain")]
    if kind == "der":
        return [x509.load_pem_x509_certificate(openssl("x509", "-inform", "DER", input=body).encode())]
    text = body.decode() if kind == "chain" else openssl("pkcs7", "-inform", "DER", "-print_certs", input=body)
    blocks = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", text, re.DOTALL)
    return [x509.load_pem_x509_certificate(openssl("x509", input=block).encode()) for block in blocks]


@pytest.mark.parametrize("accept, type, kind", FORMS, ids=[row[0] for row in FORMS])
def test_the_form_is_the_one_that_is_accepted(ca, accept, type, kind):
    answer = ca.post("/v1/certificates", {"csr": csrs.pem(nas())}, Accept=accept).expect(201)
    assert answer.type == type
    found = certificates(kind, answer.body)
    assert [name.value for name in found[0].subject] == ["nas.lan"]
    assert len(found) == (1 if kind == "der" else 2)
    if len(found) == 2:
        assert found[1].subject == found[0].issuer
    assert answer.headers["location"].endswith(f"/{found[0].serial_number:x}")


def test_a_form_that_cannot_be_given_makes_no_certificate(ca):
    before = (serials(ca), ca.signed())
    refused(ca, ca.post("/v1/certificates", {"csr": csrs.pem(nas())}, Accept="text/html"), "not-acceptable", status=406)
    assert (serials(ca), ca.signed()) == before


@pytest.mark.parametrize("type, body", [
    ("application/pkcs10", lambda: nas()), ("application/pkcs10", lambda: csrs.pem(nas()).encode()),
    ("application/x-pem-file", lambda: csrs.pem(nas()).encode()), ("Application/PKCS10", lambda: nas()),
    ("application/pkcs10; x=y", lambda: nas())], ids=["DER", "PEM", "pem file", "upper case", "parameter"])
def test_a_raw_request_is_taken(ca, type, body):
    answer = ca.request("POST", "/v1/certificates", body(), {"Content-Type": type})
    assert answer.expect(201).json["names"] == ["nas.lan"]


def test_base64_without_armour_is_taken_in_json(ca):
    text = "".join(csrs.pem(nas()).split("\n")[1:-2])
    assert ca.post("/v1/certificates", {"csr": text}).expect(201).json["names"] == ["nas.lan"]


def test_what_was_issued_can_be_had_again_in_every_form(ca):
    issued = ca.issue(nas()).expect(201).json
    path = f"/v1/certificates/{issued['serial']}"
    again = ca.get(path).expect(200).json
    assert again == {**issued, **again} and again["certificate"] == issued["certificate"] and again["chain"] == issued["chain"]
    leaf = x509.load_pem_x509_certificate(issued["certificate"].encode())
    for suffix, type, kind in ((".pem", "application/x-pem-file", "chain"), (".der", "application/pkix-cert", "der"),
                               (".chain.pem", "application/pem-certificate-chain", "chain")):
        answer = ca.get(path + suffix).expect(200)
        found = certificates(kind, answer.body)
        assert answer.type == type and found[0] == leaf and len(found) == (2 if "chain" in suffix else 1)
    for accept, type, kind in FORMS:
        answer = ca.get(path, Accept=accept).expect(200)
        assert answer.type == type and certificates(kind, answer.body)[0] == leaf
    assert ca.get(f"/v1/certificates/{issued['serial'].upper()}").expect(200).json["serial"] == issued["serial"]


@pytest.mark.parametrize("serial", ["00", "1" * 40, "1" * 42, "zz", "1" * 200, "-1", "1.pem", ".pem", "..pem", "%31"])
def test_a_serial_that_is_none_is_not_found(ca, serial):
    answer = ca.get(f"/v1/certificates/{serial}")
    assert answer.expect(400, 404).type == "application/problem+json"


# -- Names -------------------------------------------------------------------------------------

def san_of(leaf):
    return leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)


def texts(leaf):
    return [str(name.value) for name in san_of(leaf).value]


def common_name(leaf):
    return [attribute.value for attribute in leaf.subject]


# (why, CSR's subject, CSR's names, the JSON's names, names of the certificate, its CN)
NAMES = (
    ("the CSR's names", None, [dns("nas.lan"), dns("www.lan")], None, ["nas.lan", "www.lan"], ["nas.lan"]),
    ("the JSON's names stand in for all of the CSR's", None, [dns("nas.lan")], ["printer.lan", "fd00::1"],
     ["printer.lan", "fd00::1"], ["printer.lan"]),
    ("the JSON's names, where the CSR's are outside the constraints", None, [dns("example.com")], ["nas.lan"], ["nas.lan"], ["nas.lan"]),
    ("no names in the JSON are no wish", None, [dns("nas.lan")], [], ["nas.lan"], ["nas.lan"]),
    ("the CN that was asked for, where it is one of the names", cn("b.lan"), [dns("a.lan"), dns("b.lan")], None,
     ["a.lan", "b.lan"], ["b.lan"]),
    ("a CN in another case", cn("B.LAN"), [dns("a.lan"), dns("b.lan")], None, ["a.lan", "b.lan"], ["b.lan"]),
    ("a CN that is no name is replaced", cn("My NAS"), [dns("a.lan")], None, ["a.lan"], ["a.lan"]),
    ("a CN that is a name, without others", cn("a.lan"), None, None, ["a.lan"], ["a.lan"]),
    ("an address alone: no CN (R-34)", None, [ip([192, 168, 1, 5])], None, ["192.168.1.5"], []),
    ("an address as CN, alone", cn("192.168.1.5"), None, None, ["192.168.1.5"], []),
    ("an address first: the CN is the DNS name", None, [ip([192, 168, 1, 5]), dns("a.lan")], None, ["192.168.1.5", "a.lan"], ["a.lan"]),
    ("an address as CN beside a DNS name", cn("192.168.1.5"), [ip([192, 168, 1, 5]), dns("a.lan")], None,
     ["192.168.1.5", "a.lan"], ["a.lan"]),
    ("a wildcard", None, [dns("*.nas.lan"), dns("nas.lan")], None, ["*.nas.lan", "nas.lan"], ["*.nas.lan"]),
    ("capitals", None, [dns("NAS.Lan")], ["Printer.LAN"], ["printer.lan"], ["printer.lan"]),
    ("a name too long for a CN: the next", None, [dns("a" * 60 + ".bcd.lan"), dns("b.lan")], None,
     ["a" * 60 + ".bcd.lan", "b.lan"], ["b.lan"]),
    ("only a name too long for a CN", None, [dns("a" * 60 + ".bcd.lan")], None, ["a" * 60 + ".bcd.lan"], []),
    ("as long as a CN may be", None, [dns("a" * 60 + ".lan")], None, ["a" * 60 + ".lan"], ["a" * 60 + ".lan"]),
    ("letters beyond ASCII become an A-label", None, [dns("nas.lan")], ["bücher.lan"], ["xn--bcher-kva.lan"], ["xn--bcher-kva.lan"]),
)


@pytest.mark.parametrize("why, subject, asked, wanted, names, cns", NAMES, ids=[row[0] for row in NAMES])
def test_names(ca, why, subject, asked, wanted, names, cns):
    parts = {name: value for name, value in (("subject", subject), ("names", asked)) if value is not None}
    answer = ca.issue(csr(**parts), **({} if wanted is None else {"names": wanted}))
    leaf = leaf_of(answer)
    assert texts(leaf) == names == answer.json["names"] and common_name(leaf) == cns
    assert san_of(leaf).critical == (not cns)
    assert answer.json["subject"] == (f"CN={cns[0]}" if cns else "")
    assert "OK" in verify(ca, answer.json["certificate"])


def test_the_field_names_the_place_in_what_was_sent(ca):
    """Names that are there twice do not move the others."""
    refused(ca, ca.issue(nas(), names=["a.lan", "A.lan", "example.com"]), "name-not-permitted", "names[2]")
    refused(ca, ca.issue(csr(names=[dns("a.lan"), dns("A.lan"), dns("example.com")])), "name-not-permitted", "csr.san[2]")
    refused(ca, ca.issue(nas(), names=["a.lan", "A.lan", "a@home.lan"]), "name-not-allowed", "names[2]")


# -- Validity ----------------------------------------------------------------------------------

@pytest.mark.parametrize("text, seconds", [("", 90 * 86400), ("1d", 86400), ("397d", 397 * 86400), ("1y", 365 * 86400), ("2w", 14 * 86400),
                                           ("1d12h", 129600), ("7200", 7200), ("90m", 5400), ("1h", 3600), ("60s", 60)])
def test_both_ends_of_the_validity_count(ca, text, seconds):
    """R-17: a certificate of a day ends 86399 s after its beginning."""
    answer = ca.issue(nas(), **({"validity": text} if text else {}))
    leaf = leaf_of(answer)
    assert (leaf.not_valid_after - leaf.not_valid_before).total_seconds() + 1 == seconds
    back = now() - leaf.not_valid_before - datetime.timedelta(seconds=min(3600, seconds // 4))      # most of a short one is left
    assert datetime.timedelta(0) <= back < datetime.timedelta(seconds=10)
    assert not any("issuer" in warning for warning in answer.json.get("warnings", ()))


@pytest.mark.parametrize("text", ["398d", "397d1s", "59s", "0", "1000y", "-1d", "1 d", "d", "", "90D", "1.5d", "١d", "1d\n"])
def test_a_validity_that_is_none_is_refused(ca, text):
    before = (serials(ca), ca.signed())
    problem = refused(ca, ca.issue(nas(), validity=text), "validity-out-of-range", "validity")
    assert problem["detail"] and (serials(ca), ca.signed()) == before


def test_a_certificate_may_begin_later(ca):
    begin = now() + 10 * DAY
    leaf = leaf_of(ca.issue(nas(), not_before=stamp(begin), validity="5d"))
    assert leaf.not_valid_before == begin and leaf.not_valid_after == begin + 5 * DAY - datetime.timedelta(seconds=1)


def test_it_may_begin_a_little_earlier(ca):
    begin = now() - datetime.timedelta(minutes=30)
    assert leaf_of(ca.issue(nas(), not_before=stamp(begin))).not_valid_before == begin


@pytest.mark.parametrize("text", ["1970-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "1900-01-01T00:00:00Z", "2020-01-01T00:00:00Z",
                                  "9999-12-31T23:59:59Z", "10000-01-01T00:00:00Z", "2027-02-29T00:00:00Z", "tomorrow", "", "2027-01-01"])
def test_a_beginning_that_is_none_is_refused(ca, text):
    refused(ca, ca.issue(nas(), not_before=text), "validity-out-of-range", "not_before")


def test_no_certificate_outlives_its_issuer():
    daemon = cadtest.Daemon()
    try:
        done = cadtest.run(["init", "--state-dir", daemon.state, "--intermediate-validity", "30d"])
        assert done.returncode == 0, done.stderr
        daemon.start()
        answer = daemon.issue(nas())
        issuer = x509.load_pem_x509_certificate(answer.expect(201).json["chain"].encode())
        assert leaf_of(answer).not_valid_after == issuer.not_valid_after
        assert any("issuer" in warning for warning in answer.json["warnings"])
        late = leaf_of(daemon.issue(nas(), not_before=stamp(now() + 20 * DAY), validity="10d"))
        assert late.not_valid_after <= issuer.not_valid_after
        refused(daemon, daemon.issue(nas(), not_before=stamp(now() + 31 * DAY), validity="10d"), "validity-out-of-range")
        assert "warnings" not in daemon.issue(nas(), validity="20d").expect(201).json
    finally:
        daemon.close()


# -- Labels ------------------------------------------------------------------------------------

@pytest.mark.parametrize("label", ["x", "Küche, oben links ☃", "a\"b\\c\n", "x" * 200, ""])
def test_a_label_is_kept_as_it_is(ca, label):
    issued = ca.issue(nas(), label=label).expect(201).json
    assert issued.get("label", "") == label
    assert ca.get(f"/v1/certificates/{issued['serial']}").json.get("label", "") == label
    assert label.encode() not in ca.issue(nas(), label=label).expect(201).json["certificate"].encode() or len(label) < 2


@pytest.mark.parametrize("label", ["x" * 201, "☃" * 67, "x" * 5000])
def test_a_label_has_a_limit(ca, label):
    refused(ca, ca.issue(nas(), label=label), "body-malformed", "label", 400)


# -- Profiles ----------------------------------------------------------------------------------

SERVER, CLIENT, EMAIL = "TLS Web Server Authentication", "TLS Web Client Authentication", "E-mail Protection"
PROFILES = (
    ("server", [dns("nas.lan"), ip([10, 0, 0, 1])], [SERVER], 90, 397),
    ("client", [dns("nas.lan"), email("a@home.lan"), uri("https://nas.lan/x")], [CLIENT], 90, 397),
    ("peer", [dns("nas.lan"), dns("*.nas.lan")], [SERVER, CLIENT], 90, 397),
    ("device", [dns("nas.lan")], [SERVER, CLIENT], 365, 825),
    ("user", [email("a@home.lan")], [CLIENT, EMAIL], 365, 825),
    ("admin", [email("a@home.lan")], [CLIENT], 90, 397),
)


@pytest.mark.parametrize("profile, names, usages, days, most", PROFILES, ids=[row[0] for row in PROFILES])
def test_each_profile_gives_what_it_says(ca, profile, names, usages, days, most):
    issued = ca.issue(csr(names=names), profile=profile).expect(201).json
    text = openssl("x509", "-noout", "-text", input=issued["certificate"])
    found = re.search(r"X509v3 Extended Key Usage: \n\s+(.*)\n", text).group(1)
    assert sorted(found.split(", ")) == sorted(usages) and issued["profile"] == profile
    leaf = x509.load_pem_x509_certificate(issued["certificate"].encode())
    assert leaf.not_valid_after - leaf.not_valid_before + datetime.timedelta(seconds=1) == days * DAY
    assert "OK" in verify(ca, issued["certificate"])
    ca.issue(csr(names=names), profile=profile, validity=f"{most}d").expect(201)
    refused(ca, ca.issue(csr(names=names), profile=profile, validity=f"{most + 1}d"), "validity-out-of-range", "validity")
    rsa = ca.issue(csr(csrs.rsa(), names=names), profile=profile).expect(201).json["certificate"]
    assert "Digital Signature, Key Encipherment\n" in openssl("x509", "-noout", "-text", input=rsa)


def test_what_the_api_says_of_profiles_is_what_they_do(ca):
    told = {row["name"]: row for row in ca.get("/v1/profiles").expect(200).json["profiles"]}
    for profile, _, usages, days, most in PROFILES:
        assert told[profile]["validity_default"] in (f"{days}d", "1y") and told[profile]["validity_max"] == f"{most}d"
        assert len(told[profile]["extended_key_usage"]) == len(usages)


@pytest.mark.parametrize("profile, status, slug", [("ocsp", 403, "forbidden"), ("nope", 422, "profile-unknown"), ("", 422, "profile-unknown"),
                                                   ("SERVER", 422, "profile-unknown"), ("server\n", 422, "profile-unknown"),
                                                   ("x" * 65, 400, "body-malformed")])
def test_a_profile_that_is_not_for_the_caller_is_refused(ca, profile, status, slug):
    refused(ca, ca.issue(nas(), profile=profile), slug, "profile", status)


@pytest.mark.parametrize("profile, names", [("user", [dns("nas.lan")]), ("server", [email("a@home.lan")]), ("server", [uri("https://nas.lan/")]),
                                            ("device", [dns("*.nas.lan")]), ("client", [dns("*.nas.lan")])])
def test_a_kind_of_name_that_the_profile_has_not_is_refused(ca, profile, names):
    refused(ca, ca.issue(csr(names=names), profile=profile), "name-not-allowed", "csr.san[0]")


@pytest.mark.parametrize("key", [lambda: csrs.EcKey(csrs.ec.SECP384R1(), digest="sha384"), lambda: csrs.EcKey(csrs.ec.SECP521R1(), digest="sha512"),
                                 csrs.EdKey, lambda: csrs.rsa(3072), lambda: csrs.rsa(4096)], ids=["p384", "p521", "ed25519", "rsa3072", "rsa4096"])
def test_each_type_of_key_is_certified(ca, key):
    key = key()
    leaf = leaf_of(ca.issue(csr(key, names=[dns("nas.lan")])))
    assert leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == key.spki
    assert "OK" in verify(ca, leaf.public_bytes(Encoding.PEM).decode())


# -- Idempotency -------------------------------------------------------------------------------

def ask(ca, key, body, path="/v1/certificates", **headers):
    return ca.post(path, body, **{"Idempotency-Key": key}, **headers)


@pytest.mark.sanitize
def test_the_same_key_and_body_give_the_same_certificate_once(ca):
    body, before = {"csr": csrs.pem(nas())}, len(serials(ca))
    first, again = ask(ca, "once", body).expect(201), ask(ca, "once", body).expect(201)
    assert {**first.json, "warnings": 0} == {**again.json, "warnings": 0}      # those are for the first
    assert first.headers["location"] == again.headers["location"]
    assert len(serials(ca)) == before + 1
    der = ask(ca, "once", body, Accept="application/pkix-cert").expect(201)
    assert certificates("der", der.body)[0].serial_number == int(first.json["serial"], 16)
    ask(ca, "another", body).expect(201)
    assert len(serials(ca)) == before + 2


def test_another_body_under_the_same_key_is_refused(ca):
    ask(ca, "reused", {"csr": csrs.pem(nas())}).expect(201)
    before = (serials(ca), ca.signed())
    refused(ca, ask(ca, "reused", {"csr": csrs.pem(nas()), "label": "x"}), "idempotency-mismatch", "Idempotency-Key")
    refused(ca, ask(ca, "reused", b"no JSON at all"), "body-malformed", status=400)
    assert (serials(ca), ca.signed()) == before


def test_a_refusal_leaves_the_key_free(ca):
    refused(ca, ask(ca, "tried", {"csr": csrs.pem(csr(names=[dns("example.com")]))}), "name-not-permitted")
    ask(ca, "tried", {"csr": csrs.pem(nas())}).expect(201)


def test_twenty_at_once_with_one_key_make_one_certificate(ca):
    body, before = {"csr": csrs.pem(nas()), "label": "at once"}, set(serials(ca))
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: ask(ca, "at once", body), range(20)))
    made = set(serials(ca)) - before
    assert len(made) == 1
    for answer in answers:
        if answer.expect(201, 409, 429).status == 201:
            assert answer.json["serial"] in made
        else:
            assert answer.headers.get("retry-after"), answer
    assert ask(ca, "at once", body).expect(201).json["serial"] in made


def test_the_key_lives_through_a_restart():
    with cadtest.Daemon() as daemon:
        body = {"csr": csrs.pem(nas())}
        first = ask(daemon, "kept", body).expect(201).json
        daemon.kill()
        daemon.start()
        assert ask(daemon, "kept", body).expect(201).json == first
        assert serials(daemon) == [first["serial"]]


@pytest.mark.parametrize("key", ["", "x" * 256], ids=["empty", "too long"])
def test_a_key_that_is_none_is_refused(ca, key):
    refused(ca, ask(ca, key, {"csr": csrs.pem(nas())}), "request-malformed", "Idempotency-Key", 400)


def test_the_longest_key_is_taken(ca):
    body = {"csr": csrs.pem(nas())}
    first = ask(ca, "x" * 255, body).expect(201).json
    assert ask(ca, "x" * 255, body).expect(201).json["serial"] == first["serial"]


# -- Many --------------------------------------------------------------------------------------

def test_serials_are_unique_and_rise(ca):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = [answer.expect(201).json["serial"] for answer in pool.map(lambda _: ca.issue(nas()), range(200))]
    assert len(set(made)) == 200 and set(made) <= set(serials(ca))
    one_by_one = [ca.issue(nas()).expect(201).json["serial"] for _ in range(20)]
    moments = [serial[:14] for serial in one_by_one]       # of a millisecond; what follows is random
    assert moments == sorted(moments) and serials(ca)[:20] == one_by_one[::-1]
