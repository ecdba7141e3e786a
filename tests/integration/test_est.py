"""EST (RFC 7030, RFC 8951): each operation, each label, right and wrong. What may be had is what REST gives; how it is told is EST's own."""

import base64
import concurrent.futures
import contextlib
import datetime
import ipaddress
import itertools
import json
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, pkcs7

import bad_csrs
import cadtest
import csrs
import der
import https
from csrs import cn, dns

EST = "/.well-known/est/"
PKCS10 = {"Content-Type": "application/pkcs10"}
UNKNOWN = "cad_7000000000000000_" + 32 * "0"
NOWHERE = ("cacerts", "csrattrs", "simpleenroll", "simplereenroll", "serverkeygen", "fullcmc")
addresses = (f"127.{a}.{b}.{c}" for a in range(1, 250) for b in range(250) for c in range(1, 250))
PROFILES = {"lab": "[Profile]\nEnrolment=approval\nExtendedKeyUsage=clientAuth\n",
            "short": "[Profile]\nExtendedKeyUsage=clientAuth\nGrace=1h\nValidity=60s\nBackdate=57s\n",
            "graceless": "[Profile]\nExtendedKeyUsage=clientAuth\nValidity=60s\nBackdate=57s\n"}


@contextlib.contextmanager
def daemon(conf=""):
    ca = cadtest.Daemon(tcp=True)
    etc = ca.base / "etc"
    (etc / "profiles.d").mkdir(parents=True)
    (etc / "cad.conf").write_text(conf)
    for name, text in PROFILES.items():
        (etc / "profiles.d" / f"{name}.conf").write_text(text)
    ca.args += ["--config", etc / "cad.conf"]
    try:
        ca.start()
        yield ca
        assert ca.stop() == 0, ca.tail()
        ca.check_log()
    finally:
        ca.close()


@pytest.fixture(scope="module")
def ca():
    with daemon() as ca:
        yield ca


def token(ca, *names, profile="device", **fields):
    return ca.post("/v1/tokens", {"names": list(names), "profile": profile, **fields}).expect(201).json


def basic(password, user="whoever"):
    password = password["token"] if isinstance(password, dict) else password
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def request(*names, key=None, subject=None, **parts):
    def general(name):
        try:
            return csrs.ip(ipaddress.ip_address(name).packed)
        except ValueError:
            return dns(name)
    return csrs.csr(key or csrs.EcKey(), subject=cn(subject) if subject else None, names=[general(name) for name in names] or None, **parts)


def b64(data):
    return base64.encodebytes(data)


def post(ca, operation, body, headers=None, who=None, source=None):
    return https.request(ca, "POST", EST + operation, body, {**PKCS10, **(headers or {})}, who=who, source=source or next(addresses))


def get(ca, operation, **more):
    return https.request(ca, "GET", EST + operation, **more)


def certificates(answer):
    assert answer.headers["content-type"] == "application/pkcs7-mime; smime-type=certs-only"
    # strongSwan's base64 knows no line breaks, Bouncy Castle reads base64 only where it is told
    assert b"\n" not in answer.body and answer.headers["content-transfer-encoding"] == "base64"
    return pkcs7.load_der_pkcs7_certificates(base64.b64decode(answer.body, validate=True))


def leaf(answer):
    found = certificates(answer.expect(200))
    assert len(found) == 1
    return found[0]


def row_of(ca, certificate):
    found = ca.get("/v1/certificates/" + f"{certificate.serial_number:038x}")
    return (found if found.status == 200 else ca.get(f"/v1/certificates/{certificate.serial_number:040x}")).expect(200).json


def names_of(certificate):
    return [str(name.value) for name in certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value]


def wait_for_the_end_of(certificate):
    end = certificate.not_valid_after.replace(tzinfo=datetime.timezone.utc).timestamp()
    time.sleep(max(0, end + 1.2 - time.time()))


def refused(answer, status, *says):
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "text/plain; charset=utf-8", answer
    text = answer.body.decode()
    for each in says:
        assert each in text, text
    assert answer.headers["x-request-id"] in text
    assert (status == 401) == ("www-authenticate" in answer.headers)
    return text


# ---- the CA's certificates ----


@pytest.mark.parametrize("label", ["", "device/", "server/", "lab/"])
def test_cacerts_are_the_root_and_all_intermediates(ca, label):
    found = certificates(get(ca, label + "cacerts").expect(200))
    bundle = ca.get("/v1/ca/bundle.pem").body.decode().split("-----BEGIN")[1:]
    assert {https.pem(each) for each in found} == {"-----BEGIN" + each for each in bundle}
    assert len(found) == 3
    head = https.request(ca, "HEAD", EST + label + "cacerts").expect(200)
    assert head.body == b"" and int(head.headers["content-length"]) > 2000


def test_there_are_no_attributes_to_ask_for(ca):
    for label in ("", "device/"):
        answer = get(ca, label + "csrattrs").expect(204)
        assert answer.body == b""


@pytest.mark.parametrize("label", ["nope", "https", "Device", "device~", "cacerts"])
@pytest.mark.parametrize("operation", ["cacerts", "csrattrs", "simpleenroll"])
def test_an_unknown_label_is_not_there(ca, label, operation):
    if operation == "simpleenroll":
        answer = post(ca, f"{label}/{operation}", b64(request("nas.lan")), basic(token(ca, "nas.lan")))
    else:
        answer = get(ca, f"{label}/{operation}")
    refused(answer, 404, label, "profile")


# ---- what is not there (threats.md R-1) ----

OFFERED = {("GET", "cacerts"): 200, ("GET", "csrattrs"): 204, ("POST", "simpleenroll"): None, ("POST", "simplereenroll"): None,
           ("POST", "serverkeygen"): 501, ("POST", "fullcmc"): 501}


@pytest.mark.parametrize("label", ["", "device/"])
def test_every_operation_of_the_rfc_has_its_answer_and_what_is_not_offered_draws_no_serial(ca, label):
    before = len(ca.signed())
    for operation in (*NOWHERE, "simplepki", "cacert", "", "simpleenroll/more", "crls", "startssp"):
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
            expected = OFFERED.get((method, operation), 405 if operation in NOWHERE else 404)
            if expected is None:
                continue
            body = b64(request("nas.lan")) if method in ("POST", "PUT", "PATCH") else None
            answer = https.request(ca, method, EST + label + operation, body, PKCS10 if body else {}, source=next(addresses))
            assert answer.status == expected, (method, operation, answer)
            if expected >= 400:
                assert answer.headers["content-type"].startswith("text/plain") and answer.body, (method, operation)
            if expected == 405:
                assert answer.headers["allow"] in ("GET, HEAD", "GET", "POST")
    assert len(ca.signed()) == before


def test_nothing_of_it_is_in_the_clear(ca):
    for method, operation in OFFERED:
        body = b64(request("nas.lan")) if method == "POST" else None
        assert https.request(ca, method, EST + operation, body, PKCS10, kind="http").status == 404


# ---- enrolling with a token ----


@pytest.mark.parametrize("why, label, headers", [
    ("HTTP Basic", "", basic), ("its label", "device/", basic), ("no user", "", lambda t: basic(t, "")),
    ("a user of anything", "", lambda t: basic(t, "root")), ("another case of the scheme", "", lambda t: {
        "Authorization": basic(t)["Authorization"].replace("Basic", "bASIC ")}),
    ("Bearer", "", lambda t: {"Authorization": "Bearer " + t["token"]}),
])
def test_a_token_gets_a_certificate(ca, why, label, headers):
    mine, key = token(ca, "nas.lan", label="attic"), csrs.EcKey()
    found = leaf(post(ca, label + "simpleenroll", b64(request("nas.lan", key=key)), headers(mine)))
    assert found.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == key.spki
    row = row_of(ca, found)
    assert (row["names"], row["profile"], row["label"]) == (["nas.lan"], "device", "attic")
    assert ca.get("/v1/tokens/" + mine["id"]).json["status"] == "used_up"
    assert "token:" + mine["id"] in json.dumps(ca.get("/v1/audit?limit=3").json)


def test_a_pairing_code_is_a_password_too(ca):
    mine = token(ca, "printer.lan", short=True)
    assert names_of(leaf(post(ca, "simpleenroll", b64(request("printer.lan")), basic(mine["token"].lower().replace("-", " "))))) == ["printer.lan"]
    refused(post(ca, "simpleenroll", b64(request("printer.lan")), basic(mine)), 401, "used up")


@pytest.mark.parametrize("form", [
    lambda data: base64.b64encode(data), lambda data: base64.encodebytes(data).replace(b"\n", b"\r\n"),
    lambda data: b" \t\r\n" + b"\n".join(base64.b64encode(data)[at:at + 7] for at in range(0, 4 * len(data) // 3 + 4, 7)) + b"\n\n",
    lambda data: csrs.pem(data).encode(), lambda data: b"Subject: text before\n" + csrs.pem(data).encode(),
])
def test_base64_comes_with_any_white_space(ca, form):
    mine = token(ca, "nas.lan")
    leaf(post(ca, "simpleenroll", form(request("nas.lan")), {**basic(mine), "Content-Transfer-Encoding": "base64"}))


def test_it_is_on_the_unix_socket_too(ca):
    mine, body = token(ca, "nas.lan"), b64(request("nas.lan"))
    before = ca.request("POST", EST + "simpleenroll", body, {**PKCS10, **basic(mine)})
    assert leaf(before)
    # an operator needs no token, and gets the profile of the label
    assert row_of(ca, leaf(ca.request("POST", EST + "client/simpleenroll", b64(request("me.lan")), PKCS10)))["profile"] == "client"
    assert len(certificates(ca.request("GET", EST + "cacerts"))) == 3


WRONG_BODIES = [
    ("nothing", b"", 400, "base64"), ("white space", b" \n", 400, "base64"), ("no base64", b"nonsense!", 400, "base64"),
    ("base64 cut", b64(request("nas.lan"))[:-3], 400, ""), ("base64 with padding inside", b"TQ==TQ==", 400, "base64"),
    ("DER as it is", request("nas.lan"), 400, "base64"), ("an empty SEQUENCE", b64(b"\x30\x00"), 400, "CSR"),
    ("SEQUENCEs of nothing", b64(der.seq(der.seq(), der.seq(), b"\x03\x01\x00")), 400, ""),
    ("half a CSR", b64(request("nas.lan")[:100]), 400, ""), ("a CSR and more", b64(request("nas.lan") + b"\x00"), 400, ""),
    ("an empty SAN", b64(request(key=csrs.EcKey(), attributes=[csrs.extension_request(csrs.extension(csrs.OID_SAN, der.seq()))])), 400, ""),
    ("an empty EKU", b64(request("nas.lan", extensions=(csrs.ext_key_usage(),))), 400, ""),
    ("no proof of possession", b64(request("nas.lan", signature=b"\x30\x06\x02\x01\x01\x02\x01\x01")), 400, "signature"),
    ("a CA", b64(request("nas.lan", extensions=(csrs.basic_constraints(b"\x01\x01\xff"),))), 422, "CA"),
    ("a name outside the token", b64(request("evil.lan")), 403, "evil.lan"),
    ("an address outside the token", b64(request("nas.lan", "10.0.0.66")), 403, "10.0.0.66"),
    ("a name outside the CA", b64(request("google.com")), 422, "google.com"),
    ("a private key", https.key_pem(ec.generate_private_key(ec.SECP256R1())).encode(), 400, "private key"),
    ("more than is taken", b"QUFB" * 50000, 413, ""),
]


@pytest.mark.parametrize("why, body, status, says", WRONG_BODIES, ids=[each[0] for each in WRONG_BODIES])
def test_a_wrong_request_is_told_what_is_wrong_and_takes_no_use(ca, why, body, status, says):
    mine, before = token(ca, "nas.lan"), len(ca.signed())
    refused(post(ca, "simpleenroll", body, basic(mine)), status, says)
    assert len(ca.signed()) == before and ca.get("/v1/tokens/" + mine["id"]).json["used"] == 0


@pytest.mark.parametrize("headers, status, says", [
    ({"Content-Type": "application/x-www-form-urlencoded"}, 415, "application/pkcs10"), ({"Content-Type": "text/plain"}, 415, "application/pkcs10"),
    ({"Content-Type": "application/pkcs10", "Content-Encoding": "gzip"}, 415, "")])
def test_a_wrong_type_is_told_so(ca, headers, status, says):
    refused(post(ca, "simpleenroll", b64(request("nas.lan")), {**basic(token(ca, "nas.lan")), **headers}), status, says)


def expired(ca):
    mine = token(ca, "nas.lan", expires_in="1s")
    time.sleep(1.1)
    return mine


def revoked(ca):
    mine = token(ca, "nas.lan")
    ca.request("DELETE", "/v1/tokens/" + mine["id"]).expect(200)
    return mine


@pytest.mark.parametrize("why, headers, label, status, says", [
    ("an unknown token", lambda ca: basic(UNKNOWN), "", 401, "no token of this CA"), ("nonsense", lambda ca: basic("hunter2!"), "", 401, "no token of this CA"),
    ("an expired one", lambda ca: basic(expired(ca)), "", 401, "expired"), ("a revoked one", lambda ca: basic(revoked(ca)), "", 401, "revoked"),
    ("a code that is none", lambda ca: basic("7XK2-M9QP"), "", 401, "no token of this CA"),
    ("one for another profile", lambda ca: basic(token(ca, "nas.lan")), "server/", 403, "'device'"),
    ("one for another profile, at admin", lambda ca: basic(token(ca, "nas.lan")), "admin/", 403, "'device'"),
    ("no base64", lambda ca: {"Authorization": "Basic !"}, "", 401, "base64"), ("no colon", lambda ca: {"Authorization": "Basic YWJj"}, "", 401, "base64"),
    ("a NUL", lambda ca: {"Authorization": "Basic " + base64.b64encode(b"a:b\0c").decode()}, "", 401, "base64"),
    ("another scheme", lambda ca: {"Authorization": "Digest abc"}, "", 401, "Basic"),
])
def test_a_wrong_credential_is_refused(ca, why, headers, label, status, says):
    headers, before = headers(ca), len(ca.signed())
    refused(post(ca, label + "simpleenroll", b64(request("nas.lan")), headers), status, says)
    assert len(ca.signed()) == before


def test_without_a_credential_there_is_a_challenge_that_every_client_can_take(ca):
    answer = post(ca, "simpleenroll", b64(request("nas.lan"))).expect(401)
    assert answer.headers["www-authenticate"].startswith('Basic realm="') and "token" in answer.headers["www-authenticate"]
    assert answer.body == b""       # Bouncy Castle's client does not read it, and stumbles


def test_basic_is_for_est_alone(ca):
    mine = token(ca, "nas.lan")
    answer = https.request(ca, "POST", "/v1/certificates", json.dumps({"csr": csrs.pem(request("nas.lan"))}),
                           {"Content-Type": "application/json", **basic(mine)}, source=next(addresses))
    assert answer.status == 401 and "Bearer" in answer.json["detail"] and answer.headers["www-authenticate"].startswith("Bearer")


def test_guesses_through_est_are_counted_with_all_others(ca):
    source = next(addresses)
    told = [post(ca, "simpleenroll", b64(request("nas.lan")), basic(UNKNOWN), source=source).status for _ in range(13)]
    assert told[0] == 401 and told[-1] == 429
    mine = token(ca, "nas.lan")
    answer = post(ca, "simpleenroll", b64(request("nas.lan")), basic(mine), source=source)
    refused(answer, 429, "try again in")
    assert int(answer.headers["retry-after"]) > 0
    leaf(post(ca, "simpleenroll", b64(request("nas.lan")), basic(mine)))


def test_what_rest_refuses_est_refuses_in_the_same_words(ca):
    """One path (threats.md R-5): of each kind of refusal in bad_csrs.py the first that is a CSR and no more."""
    seen = set()
    for row in bad_csrs.ROWS:
        kind = None if row.missing or isinstance(row.expect, bad_csrs.Accepted) else (row.expect.slugs, row.expect.field)
        if not kind or kind in seen or row.id.startswith(("09-debian", "26-text", "28")):
            continue
        made = row.make(ca)
        if not made.csr or made.type != "application/json" or set(json.loads(made.body)) - {"csr"}:
            continue
        told = ca.request("POST", "/v1/certificates", made.body, {"Content-Type": made.type})
        answer = ca.request("POST", EST + "simpleenroll", b64(made.csr), PKCS10)
        assert answer.status == told.status, (row.id, answer, told)
        assert told.json["detail"] in answer.body.decode(), (row.id, answer.body, told.json)
        seen.add(kind)
    assert len(seen) > 20, seen


# ---- an answer that was lost ----


def test_the_same_csr_gets_the_same_certificate_and_takes_one_use(ca):
    mine, key = token(ca, "nas.lan"), csrs.EcKey()
    first = leaf(post(ca, "simpleenroll", b64(request("nas.lan", key=key)), basic(mine)))
    # signed anew, from another address, in another form
    again = leaf(post(ca, "simpleenroll", base64.b64encode(request("nas.lan", key=key)), basic(mine)))
    assert again == first
    assert ca.get("/v1/tokens/" + mine["id"]).json["used"] == 1
    refused(post(ca, "simpleenroll", b64(request("nas.lan")), basic(mine)), 401, "used up")


def test_many_at_a_time_get_one_certificate(ca):
    mine, body = token(ca, "nas.lan"), b64(request("nas.lan"))

    def ask(_):
        limit = time.monotonic() + 20
        while True:
            answer = post(ca, "simpleenroll", body, basic(mine))
            if answer.status != 202 or time.monotonic() > limit:
                return answer
            assert answer.headers["retry-after"] == "1"
            time.sleep(0.05)

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        found = {leaf(answer).serial_number for answer in pool.map(ask, range(10))}
    assert len(found) == 1


def test_what_was_revoked_does_not_come_again_and_what_is_over_is_made_anew(ca):
    mine = token(ca, "nas.lan", uses=5)
    body = b64(request("nas.lan"))
    first = row_of(ca, leaf(post(ca, "simpleenroll", body, basic(mine))))
    ca.post(f"/v1/certificates/{first['serial']}/revoke", {"reason": "superseded"}).expect(200)
    refused(post(ca, "simpleenroll", body, basic(mine)), 409, "revoked", "new key")
    held = b64(request("nas.lan"))
    first = leaf(post(ca, "simpleenroll", held, basic(mine)))
    where = f"/v1/certificates/{row_of(ca, first)['serial']}/revoke"
    ca.post(where, {"reason": "certificate_hold"}).expect(200)
    refused(post(ca, "simpleenroll", held, basic(mine)), 409, "on hold")
    ca.post(where, {"reason": "remove_from_crl"}).expect(200)
    assert leaf(post(ca, "simpleenroll", held, basic(mine))) == first
    brief = token(ca, "sensor.lan", profile="short", uses=5)
    body = b64(request("sensor.lan"))
    first = leaf(post(ca, "simpleenroll", body, basic(brief)))
    wait_for_the_end_of(first)
    second = leaf(post(ca, "simpleenroll", body, basic(brief)))
    assert second.serial_number != first.serial_number
    assert ca.get("/v1/tokens/" + brief["id"]).json["used"] == 2


# ---- waiting for an operator ----


def wait(ca, operation, body, headers=None, **more):
    answer = post(ca, operation, body, headers, **more)
    assert answer.status == 202 and answer.body == b"", answer
    assert 10 <= int(answer.headers["retry-after"]) <= 300
    return answer.headers["x-request-code"]


def test_who_has_no_token_may_ask_for_approval_and_posts_the_same_again(ca):
    body, here, before = b64(request("box.lan")), next(addresses), len(ca.signed())
    code = wait(ca, "device/simpleenroll", body, basic(""), source=here)
    assert wait(ca, "device/simpleenroll", body, basic(""), source=here) == code
    assert len(ca.signed()) == before
    ca.post(f"/v1/requests/{code}/approve", {}).expect(201)
    first = leaf(post(ca, "device/simpleenroll", body, basic(""), source=here))
    assert row_of(ca, first)["profile"] == "device" and names_of(first) == ["box.lan"]
    # its answer was lost, and it has another address now
    assert leaf(post(ca, "device/simpleenroll", body, basic(""))) == first
    ca.post(f"/v1/certificates/{row_of(ca, first)['serial']}/revoke", {"reason": "superseded"}).expect(200)
    refused(post(ca, "device/simpleenroll", body, basic(""), source=here), 409, "revoked")


def test_a_denial_is_told_with_its_reason_to_who_asked_and_a_new_key_asks_anew(ca):
    here, body = next(addresses), b64(request("box.lan"))
    code = wait(ca, "simpleenroll", body, basic(""), source=here)
    ca.post(f"/v1/requests/{code}/deny", {"reason": "not ours"}).expect(200)
    refused(post(ca, "simpleenroll", body, basic(""), source=here), 403, "denied: not ours")
    assert wait(ca, "simpleenroll", body, basic("")) != code       # from elsewhere it is another's
    assert wait(ca, "simpleenroll", b64(request("box.lan")), basic(""), source=here) != code


def test_a_profile_with_approval_makes_everybody_wait_but_operators(ca):
    body = b64(request("lab.lan"))
    code = wait(ca, "lab/simpleenroll", body)                     # no challenge: no token is for it
    ca.post(f"/v1/requests/{code}/approve", {}).expect(201)
    assert row_of(ca, leaf(post(ca, "lab/simpleenroll", body)))["profile"] == "lab"
    leaf(ca.request("POST", EST + "lab/simpleenroll", b64(request("lab2.lan")), PKCS10))


def test_a_device_with_a_certificate_asks_for_another_name(ca):
    me = https.identity(ca, "device", "known.lan")
    code = wait(ca, "device/simpleenroll", b64(request("other.lan")), who=me)
    row = ca.get("/v1/requests/" + code).expect(200).json
    assert row["names"] == ["other.lan"] and row["profile"] == "device"


def test_what_would_not_be_granted_does_not_wait(ca):
    refused(post(ca, "simpleenroll", b64(request("google.com")), basic("")), 422, "google.com")
    refused(post(ca, "admin/simpleenroll", b64(request("nas.lan")), basic("")), 403, "admin")


def test_where_nobody_may_ask_nobody_waits():
    with daemon("[Enrolment]\nAnonymous=no\n") as ca:
        refused(post(ca, "simpleenroll", b64(request("nas.lan")), basic("")), 401, "Anonymous=no")
        refused(post(ca, "lab/simpleenroll", b64(request("nas.lan")), basic("")), 401, "Anonymous=no")
        leaf(post(ca, "simpleenroll", b64(request("nas.lan")), basic(token(ca, "nas.lan"))))


# ---- enrolling again ----


class Device:
    """A device that enrolled, and its key as TLS wants it."""

    def __init__(self, ca, *names, profile="device", subject=None, **fields):
        self.ca, self.names, self.key = ca, names, ec.generate_private_key(ec.SECP256R1())
        mine = token(ca, *names, profile=profile, **fields)
        self.certificate = leaf(post(ca, "simpleenroll", b64(request(*names, key=csrs.Foreign(self.key), subject=subject)), basic(mine)))
        self.who = https.Identity(ca.base, https.pem(self.certificate), self.key)

    def again(self, body, label="", **more):
        return post(self.ca, label + "simplereenroll", body, who=self.who, **more)


def foreign():
    return csrs.Foreign(ec.generate_private_key(ec.SECP256R1()))


numbers = itertools.count(1)        # an identity each: how often one renews is limited


def two_names():
    n = next(numbers)
    return f"dev{n}.lan", f"10.0.7.{n}"


@pytest.mark.parametrize("why, label, make", [
    ("a new key", "", lambda d: request(*d.names, key=foreign())), ("the same key", "", lambda d: request(*d.names, key=csrs.Foreign(d.key))),
    ("its label", "device/", lambda d: request(*d.names)), ("the subject as it is", "", lambda d: request(*d.names, subject=d.names[0])),
    ("names in another order", "", lambda d: request(*reversed(d.names), subject=d.names[0])),
])
def test_a_device_renews_its_own_certificate_and_keeps_what_it_is(ca, why, label, make):
    device = Device(ca, *two_names())
    found = leaf(device.again(b64(make(device)), label))
    assert found.subject == device.certificate.subject and names_of(found) == names_of(device.certificate) == list(device.names)
    assert found.serial_number != device.certificate.serial_number
    assert row_of(ca, found)["profile"] == "device"
    assert "renews" in json.dumps(ca.get("/v1/audit?limit=3").json)


CHANGE_SUBJECT_NAME = "1.3.6.1.5.5.7.7.36"     # RFC 6402 §2.8


@pytest.mark.parametrize("why, label, make, status, says", [
    ("another SAN", "", lambda d: request("evil.lan", d.names[1]), 422, "evil.lan"), ("a SAN more", "", lambda d: request(*d.names, "evil.lan"), 422, "evil.lan"),
    ("a SAN less", "", lambda d: request(d.names[0]), 422, "10.0.7."), ("no names", "", lambda d: request(), 422, "lacks"),
    ("a subject alone", "", lambda d: request(subject=d.names[0]), 422, "10.0.7."), ("another subject", "", lambda d: request(*d.names, subject="evil.lan"), 422, "evil.lan"),
    ("a wish for another", "", lambda d: request(attributes=[csrs.extension_request(csrs.san(dns(d.names[0]))), csrs.attribute(
        CHANGE_SUBJECT_NAME, der.seq())]), 422, "1.3.6.1.5.5.7.7.36"),
    ("another profile", "server/", lambda d: request(*d.names), 403, "'device'"), ("no such profile", "nope/", lambda d: request(*d.names), 404, "nope"),
    ("no CSR", "", lambda d: b"", 400, "base64"), ("nobody's key", "", lambda d: request(*d.names, signature=b"\x30\x06\x02\x01\x01\x02\x01\x01"), 400, "signature"),
])
def test_a_renewal_that_would_change_it_is_refused(ca, why, label, make, status, says):
    device, before = Device(ca, *two_names()), len(ca.signed())
    refused(device.again(b64(make(device)), label), status, says)
    assert len(ca.signed()) == before


def test_it_takes_the_certificate_and_nothing_else(ca):
    body = b64(request("dev.lan"))
    post(ca, "simplereenroll", body).expect(401)
    refused(post(ca, "simplereenroll", body, basic(token(ca, "dev.lan"))), 403, "token")
    refused(ca.request("POST", EST + "simplereenroll", body, PKCS10), 403, "client certificate")
    refused(post(ca, "simplereenroll", body, basic(token(ca, "dev.lan")), who=Device(ca, "dev.lan").who), 400, "both")
    certificate, key = https.make(None, None, subject="dev.lan")
    refused(post(ca, "simplereenroll", body, who=https.Identity(ca.base, https.pem(certificate), key)), 401, "client certificate")


def test_a_servers_certificate_renews_itself_and_has_no_other_right(ca):
    """It is for no TLS client, but who shows it holds its key."""
    server = https.identity(ca, "server", "dev.lan")
    assert leaf(post(ca, "server/simplereenroll", b64(request("dev.lan")), who=server))
    assert https.request(ca, "GET", "/v1/certificates", who=server).status == 403


@pytest.mark.parametrize("reason, says", [("superseded", "revoked"), ("key_compromise", "revoked"), ("certificate_hold", "hold")])
def test_a_revoked_or_held_one_is_no_right(ca, reason, says):
    device = Device(ca, "dev.lan")
    ca.post(f"/v1/certificates/{row_of(ca, device.certificate)['serial']}/revoke", {"reason": reason}).expect(200)
    assert device.again(b64(request("dev.lan"))).status in (401, 409)
    assert says in device.again(b64(request("dev.lan"))).body.decode()


def test_an_expired_one_renews_within_the_grace_of_its_profile_and_does_nothing_else(ca):
    device, other = Device(ca, "dev.lan", profile="short"), Device(ca, "dev.lan", profile="graceless")
    wait_for_the_end_of(other.certificate)
    refused(post(ca, "simpleenroll", b64(request("dev.lan")), who=device.who), 401, "expired")
    assert names_of(leaf(device.again(b64(request("dev.lan"))))) == ["dev.lan"]
    assert other.again(b64(request("dev.lan"))).status in (401, 409)


def test_a_life_that_a_token_limited_is_no_longer_after_any_renewal(ca):
    """The profile gives months; who has a certificate of an hour renews it for an hour."""
    device = Device(ca, "limited.lan", validity="1h")
    found = [device.certificate, leaf(device.again(b64(request("limited.lan")))), leaf(device.again(b64(request("limited.lan", key=foreign()))))]
    serial = row_of(ca, device.certificate)["serial"]
    answer = https.request(ca, "POST", f"/v1/certificates/{serial}/renew", who=device.who).expect(201)
    found.append(x509.load_pem_x509_certificate(answer.json["certificate"].encode()))
    assert [each.not_valid_after - each.not_valid_before for each in found] == [datetime.timedelta(seconds=3599)] * 4


def test_a_lost_answer_of_a_renewal_is_given_again(ca):
    device, body = Device(ca, "dev.lan"), b64(request("dev.lan"))
    first = leaf(device.again(body))
    assert leaf(device.again(body)) == first
    assert leaf(device.again(b64(request("dev.lan")))) != first


# ---- secrets ----


def test_no_password_is_in_the_log_or_in_the_store(ca):
    mine = token(ca, "canary.lan")
    wrong = f"cad_{mine['id']}_" + 32 * "c"
    post(ca, "simpleenroll", b64(request("canary.lan")), basic(wrong)).expect(401)
    leaf(post(ca, "simpleenroll", b64(request("canary.lan")), basic(mine)))
    shown = [text.encode() for text in (mine["token"].split("_")[2], 32 * "c", basic(mine)["Authorization"][6:], basic(wrong)["Authorization"][6:])]
    for path, content in ca.kept():
        assert not any(each in content for each in shown), path
