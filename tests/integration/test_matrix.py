"""Who may do what: every caller × every call × own and other objects (design.md §8, threats.md R-13 and row 52).

The calls are the rows of cad's own route table (the program list-routes has it linked in): a row that nobody has written an
expectation for fails here. What is expected is written down below by hand, from the documents and not from the code.
"""

import contextlib
import hashlib
import itertools
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import ssl
import subprocess
import tempfile
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

import cadtest
import https

CONF = """[Access]
Admin=uid:4001 cert:boss
Operator=uid:4002 cert:ops.lan
Reader=uid:4003 cert:watcher spki:{unused}
[Metrics]
Access=reader
"""
JSON = {"Content-Type": "application/json"}
BAD_TOKEN = "cad_0000000000000000_00000000000000000000000000000000"

# -- Who there is -----------------------------------------------------------------------------------------------------

# only root can be somebody else; another user is an admin of the cad that he runs
ROOT = os.geteuid() == 0
UNIX = {"unix:nobody": 4004, "unix:reader": 4003, "unix:operator": 4002, "unix:admin": 4001, "unix:root": 0} if ROOT else {
    "unix:root": os.geteuid()}
# profile, names, label of a certificate that is made for each
CERTIFICATES = {
    "cert:device": ("device", "sensor.lan", None),
    "cert:server": ("server", "web.lan", "boss"),
    "cert:admin not listed": ("admin", "guest.lan", "guest"),
    "cert:reader": ("admin", "watch.lan", "watcher"),
    "cert:operator": ("admin", "ops.lan", None),
    "cert:admin": ("admin", "boss.lan", "boss"),
    "cert:client named as an admin": ("client", "ops.lan", "boss"),
}
BAD_CERTIFICATES = ("bad:revoked", "bad:held", "bad:other CA", "bad:other CA with our names", "bad:self-signed", "bad:CA:TRUE")
EXPIRED = "cert:expired"
HTTP = ("http:anonymous", "http:token", "http:bad token")
CALLERS = (*UNIX, "unix:token", *(("unix:bad token",) if ROOT else ()), "unix:Basic", "https:anonymous", "https:token", "https:bad token", "https:Basic", *CERTIFICATES,
           EXPIRED, *BAD_CERTIFICATES, "https:certificate and token", *HTTP)

READERS = {"unix:reader", "unix:operator", "unix:admin", "unix:root", "cert:reader", "cert:operator", "cert:admin"}
OPERATORS = READERS - {"unix:reader", "cert:reader"}
ADMINS = OPERATORS - {"unix:operator", "cert:operator"}
LOCAL_ADMINS = {"unix:admin", "unix:root"}
TOKENS = {"unix:token", "https:token"}
DEVICES = set(CERTIFICATES)             # whoever has a valid certificate owns it
PUBLIC = READERS | TOKENS | DEVICES | {"unix:nobody", "https:anonymous"}
PLAIN = set(HTTP)


def denied(caller, call, least_is_local):
    """What may be said to who may not."""
    if caller in PLAIN:
        return {404}                    # what is not public does not exist in the clear, and nobody is asked who he is
    if least_is_local and not caller.startswith("unix:"):
        return denied(caller, call, False) | {403, 404}     # no credential helps; it may as well not exist there
    if caller.endswith(("bad token", "Basic") if call.basic else "bad token") and not call.may & TOKENS:
        return {401, 403}               # where no token may, it need not be looked up, and nobody learns whether it is one
    if caller.startswith("bad:") or caller == EXPIRED or caller.endswith(("bad token", "Basic")):
        return {401}                    # a bad credential, whatever is asked
    if caller == "https:certificate and token":
        return {400}
    if caller == "https:anonymous":
        return {401}
    return {403}


# -- What may be called -----------------------------------------------------------------------------------------------

class Call:
    """@may: who may do it to anything; @own: who more may do it to his own certificate; @fine: what is said then;
    @body: made for each call; @body_of: the same, from the caller's certificate; @object: makes what {serial} or {id} stands for."""

    def __init__(self, may, own=(), fine=(200,), body=None, object=None, not_own=(), body_of=None):
        self.may, self.own, self.fine, self.body, self.object = set(may), set(own), fine, body, object
        self.body_of = body_of or (lambda who: json.dumps(body()).encode() if body else None)
        self.basic = False              # whether "Basic" is one more way to show a token
        self.not_own = set(not_own)     # who may do it to others, but not to his own

    def __call__(self, caller, own):
        return caller in (self.may | self.own) - self.not_own if own else caller in self.may


counter = itertools.count(1)


def address():
    """An address of this machine that nobody has used yet: limits are counted by address."""
    n = next(counter)
    return f"127.{1 + n // 60000 % 250}.{n // 250 % 240}.{1 + n % 250}"


def csr(name="nas.lan"):
    return https.csr_pem(ec.generate_private_key(ec.SECP256R1()), name)


def device(ca):
    return https.identity(ca, "device", "other.lan").serial


def token(ca):
    return ca.post("/v1/tokens", {"names": ["nas.lan"], "uses": 100}).expect(201).json["id"]


def request(ca):
    """A request that an anonymous device has handed in."""
    answer = https.request(ca, "POST", "/v1/requests", json.dumps({"csr": csr(), "profile": "server"}), JSON, source=address())
    return answer.expect(202).json["id"]


WISH = lambda: {"csr": csr()}
EXPECTED = {
    "GET /v1/health": Call(PUBLIC), "GET /v1/ca": Call(PUBLIC), "GET /v1/ca/root.pem": Call(PUBLIC), "GET /v1/ca/bundle.pem": Call(PUBLIC),
    "GET /v1/profiles": Call(PUBLIC), "GET /v1/crls": Call(PUBLIC),
    "POST /v1/certificates": Call(OPERATORS | TOKENS, fine=(201,), body=WISH),
    "GET /v1/certificates": Call(READERS),
    "GET /v1/certificates/{serial}": Call(PUBLIC, object=device),
    "GET /v1/certificates/{serial}/renewal": Call(PUBLIC, object=device),
    "POST /v1/certificates/{serial}/revoke": Call(OPERATORS, own=DEVICES, body=lambda: {"reason": "superseded"}, object=device),
    # a certificate of the profile admin is made on the Unix socket alone, also in place of another
    "POST /v1/certificates/{serial}/renew": Call(OPERATORS, own={"cert:device", "cert:server", "cert:client named as an admin", EXPIRED}, fine=(201,), body=dict,
                                                 object=device, not_own={"cert:operator", "cert:admin"}),
    "POST /v1/requests": Call(PUBLIC, fine=(202,), body=WISH),
    "GET /v1/requests": Call(READERS),
    "GET /v1/requests/{id}": Call(PUBLIC, fine=(200, 202), object=request),      # the id is the right
    "POST /v1/requests/{id}/approve": Call(OPERATORS, fine=(200, 201), body=dict, object=request),
    "POST /v1/requests/{id}/deny": Call(OPERATORS, body=dict, object=request),
    "POST /v1/tokens": Call(OPERATORS, fine=(201,), body=lambda: {"names": ["nas.lan"]}),
    "GET /v1/tokens": Call(OPERATORS), "GET /v1/tokens/{id}": Call(OPERATORS, object=token),
    "DELETE /v1/tokens/{id}": Call(OPERATORS, fine=(200, 204), object=token),
    "POST /v1/crls": Call(OPERATORS, fine=(200, 202)),
    "GET /v1/audit": Call(READERS), "GET /v1/audit/anchors": Call(READERS),
    "POST /v1/ca/intermediates": Call(ADMINS, fine=(200, 201, 409, 503), body=dict),
    "POST /v1/ca/intermediates/{id}/activate": Call(ADMINS, fine=(200, 404, 409), body=dict, object=lambda ca: "int-9"),
    "POST /v1/backup": Call(LOCAL_ADMINS),
    "GET /metrics": Call(READERS),
    # in the clear, too: it proves itself
    "GET /crl/{file}": Call(PUBLIC | PLAIN, object=lambda ca: "int-1.crl"),
    "GET /ca/{file}": Call(PUBLIC | PLAIN, object=lambda ca: "int-1.crt"),
    "GET /root.crt": Call(PUBLIC | PLAIN),
    "GET /": Call(PUBLIC | PLAIN), "GET /trust": Call(PUBLIC | PLAIN), "GET /trust/{file}": Call(PUBLIC | PLAIN, object=lambda ca: "cad-root.crt"),
}
LOCAL = {"POST /v1/backup"}


def est_csr(who):
    """Base64 of a CSR, for the names of the caller's certificate where he has one."""
    names = who.answer["names"] if who and who.answer else ["nas.lan"]
    return "".join(https.csr_pem(ec.generate_private_key(ec.SECP256R1()), *names).splitlines()[1:-1]).encode()


# who may not issue waits for an operator; who shows nothing at all is challenged
ENROLLING = Call(PUBLIC - {"https:anonymous"}, fine=(200, 202), body_of=lambda who: est_csr(None))
OWN_AGAIN = Call({"cert:device", "cert:server", "cert:client named as an admin", EXPIRED}, body_of=est_csr)
OWN_AGAIN.basic = True
NOT_OFFERED = Call(PUBLIC, fine=(501,), body_of=est_csr)
for label in ("", "{label}/"):
    EXPECTED |= {f"{method} /.well-known/est/{label}{name}": call for method, name, call in (
        ("GET", "cacerts", Call(PUBLIC)), ("GET", "csrattrs", Call(PUBLIC, fine=(204,))), ("POST", "simpleenroll", ENROLLING),
        ("POST", "simplereenroll", OWN_AGAIN), ("POST", "serverkeygen", NOT_OFFERED), ("POST", "fullcmc", NOT_OFFERED))}


def type_of_refusal(caller, path):
    est = path.startswith("/.well-known/est/") and caller not in PLAIN      # on plain HTTP there is no EST to say so
    return "text/plain; charset=utf-8" if est else "application/problem+json"


def label_for(row, who):
    """Of EST: the profile of what is asked for."""
    return who.answer["profile"] if who and who.answer and row.endswith("simplereenroll") else "server"


def routes():
    program = cadtest.BUILD / "tests" / "list-routes"
    if not program.exists():
        cadtest.require_build()
    return [line.split() for line in subprocess.run([program], capture_output=True, text=True, check=True, timeout=30).stdout.splitlines()]


ROWS = [f"{method} {pattern}" for method, pattern, _ in routes()] if cadtest.CAD.exists() else []


# -- The CA, and who is who there -------------------------------------------------------------------------------------

class People:
    """Callers of one CA. Certificates are made when they are first wanted, and anew where one was used up."""

    def __init__(self, ca):
        self.ca, self.cached = ca, {}
        self.token = ca.post("/v1/tokens", {"names": ["nas.lan"], "uses": 1000}).expect(201).json["token"]
        # the shortest life there is, begun as long ago as possible: it is over in a moment
        begun = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 57))
        self.cached[EXPIRED] = https.identity(ca, "device", "late.lan", validity="60s", not_before=begun)
        self.expires = time.time() + 5

    def identity(self, caller, fresh=False):
        if caller == EXPIRED:
            time.sleep(max(0, self.expires - time.time()))
        elif fresh or caller not in self.cached:
            self.cached[caller] = self.make(caller)
        return self.cached[caller]

    def make(self, caller):
        if caller in CERTIFICATES:
            profile, name, label = CERTIFICATES[caller]
            return https.identity(self.ca, profile, name, **({"label": label} if label else {}))
        if caller == "https:certificate and token":
            return https.identity(self.ca, "device", "both.lan")
        return getattr(self, "make_" + caller.partition(":")[2].replace(" ", "_").replace("-", "_").replace(":", "_").lower())()

    def make_revoked(self, reason="superseded"):
        who = https.identity(self.ca, "device", "gone.lan")
        self.ca.post(f"/v1/certificates/{who.serial}/revoke", {"reason": reason}).expect(200)
        return who

    def make_held(self):
        return self.make_revoked("certificate_hold")

    def issuer(self):
        """The active intermediate, as others would imitate it."""
        chain = https.identity(self.ca, "device", "x.lan").answer["chain"]
        return x509.load_pem_x509_certificate(chain.encode())

    def stranger(self, name=None, key_id=None, self_signed=False, **more):
        key = None if self_signed else ec.generate_private_key(ec.SECP256R1())
        name = name or (None if self_signed else x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Another CA")]))
        certificate, own = https.make(name, key, key_id=key_id, **more)
        return https.Identity(self.ca.base, https.pem(certificate), own, f"{certificate.serial_number:040x}")

    def make_other_ca(self):
        return self.stranger()

    def make_other_ca_with_our_names(self):
        issuer = self.issuer()
        return self.stranger(issuer.subject, issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest)

    def make_self_signed(self):
        return self.stranger(self_signed=True)

    def make_ca_true(self):
        return self.stranger(self_signed=True, is_ca=True, eku=())

    def authorization(self, caller):
        if caller.endswith("Basic"):
            return {"Authorization": "Basic cm9vdDpyb290"}
        if caller.endswith("token"):
            return {"Authorization": "Bearer " + (BAD_TOKEN if "bad" in caller else self.token)}
        return {}

    def ask(self, caller, method, path, body, who=None):
        type_ = {"Content-Type": "application/pkcs10"} if path.startswith("/.well-known/est/") else JSON
        headers = {**self.authorization(caller), **(type_ if body else {})}
        kind = caller.partition(":")[0]
        if kind == "unix" and not ROOT:
            return self.ca.request(method, path, body, headers)
        if kind == "unix":                  # wrong guesses are counted by uid, too
            return self.ca.as_user(UNIX.get(caller, 5000 + next(counter)), 9, [], method, path, body, headers)
        if kind == "http":
            return https.request(self.ca, method, path, body, headers, source=address(), kind="http")
        return https.request(self.ca, method, path, body, headers, source=address(), who=who)

    def has_certificate(self, caller):
        return caller in CERTIFICATES or caller == EXPIRED or caller in BAD_CERTIFICATES


@pytest.fixture(scope="module")
def people():
    base = pathlib.Path(tempfile.mkdtemp(prefix="cad-"))
    base.chmod(0o755)
    (base / "cad.conf").write_text(CONF.format(unused="0" * 64))
    with cadtest.Daemon(["--config", base / "cad.conf"], tcp=True) as daemon:
        daemon.state.chmod(0o711)           # others may reach the socket, and nothing else
        daemon.socket.chmod(0o666)
        yield People(daemon)
        assert daemon.stop() == 0
        daemon.check_log()
    shutil.rmtree(base)


# -- The matrix -------------------------------------------------------------------------------------------------------

def test_there_is_an_expectation_for_every_row():
    missing = [row for row in ROWS if row not in EXPECTED]
    assert not missing, f"write into EXPECTED who may do this, from design.md §8: {missing}"


def test_only_what_proves_itself_is_served_in_the_clear():
    for method, pattern, listeners in routes():
        row = f"{method} {pattern}"
        plain = row in EXPECTED and bool(EXPECTED[row].may & PLAIN)
        assert ("tcp" in listeners.split(",")) == plain, row


def one_call(people, row, caller, own):
    call, (method, pattern) = EXPECTED[row], row.split()
    may, changes = call(caller, own), method != "GET"
    who = people.identity(caller, fresh=changes and may) if people.has_certificate(caller) or caller.endswith("and token") else None
    value = (who.serial if own else call.object(people.ca)) if call.object else ""
    path = pattern.replace("{serial}", value).replace("{id}", value).replace("{file}", value).replace("{label}", label_for(row, who))
    body = call.body_of(who)
    before = people.ca.signed() if changes and not may else None
    answer = people.ask(caller, method, path, body, who)
    where = f"{caller}, {row}{', its own' if own else ''}: {answer!r}"
    if may:
        assert answer.status in call.fine, where
        if own and changes and caller in CERTIFICATES:
            people.cached.pop(caller)       # it may have revoked itself
        return
    assert answer.status in denied(caller, call, row in LOCAL), where
    if answer.body or not path.startswith("/.well-known/est/"):     # EST's challenge has none
        assert answer.headers["content-type"] == type_of_refusal(caller, path), where
        assert answer.json["detail"] if answer.type == "application/problem+json" else len(answer.body) > 40, where
    assert answer.status != 401 or "www-authenticate" in answer.headers, where
    if before is not None:                  # nothing was made of it
        assert len(people.ca.signed()) == len(before), where
        if "{serial}" in pattern and not own:
            assert people.ca.get(f"/v1/certificates/{value}").json["status"] == "valid", where


@pytest.mark.parametrize("row", [row for row in ROWS if row in EXPECTED])
def test_each_caller_may_what_is_written_down_and_nothing_else(people, row):
    for caller in CALLERS:
        one_call(people, row, caller, own=False)
        if "{serial}" in row and people.has_certificate(caller):
            one_call(people, row, caller, own=True)


# -- Certificates of the profile admin --------------------------------------------------------------------------------

def test_admin_certificates_are_made_on_the_unix_socket_by_an_admin_alone(people):
    wish = lambda: json.dumps({"csr": csr("new.lan"), "profile": "admin"}).encode()
    for caller in CALLERS:
        who = people.identity(caller) if people.has_certificate(caller) else None
        if caller.endswith("and token"):
            continue
        answer = people.ask(caller, "POST", "/v1/certificates", wish(), who)
        if caller in LOCAL_ADMINS:
            answer.expect(201)
        else:
            assert answer.status in (401, 403, 404), (caller, answer)
            assert answer.status == 404 or "certificate" not in answer.json, caller


def test_a_token_for_the_profile_admin_cannot_be_made_or_used(people):
    for caller in {"unix:root", "unix:operator", "cert:admin"} & set(CALLERS):
        who = people.identity(caller) if people.has_certificate(caller) else None
        body = json.dumps({"names": ["boss2.lan"], "profile": "admin"}).encode()
        answer = people.ask(caller, "POST", "/v1/tokens", body, who)
        assert answer.status in (403, 422), (caller, answer)


@pytest.mark.parametrize("caller, fine", [row for row in [("unix:root", (201,)), ("unix:admin", (201,)), ("unix:operator", (403,)), ("cert:admin", (403,)),
                                          ("cert:operator", (403,))] if row[0] in CALLERS])
def test_an_admin_certificate_is_renewed_on_the_unix_socket_by_an_admin_alone(people, caller, fine):
    target = https.identity(people.ca, "admin", "old.lan", label="boss").serial
    who = people.identity(caller) if people.has_certificate(caller) else None
    people.ask(caller, "POST", f"/v1/certificates/{target}/renew", b"{}", who).expect(*fine)


# -- What a connection is worth ---------------------------------------------------------------------------------------

def keep_alive(people, who, source=None):
    import http.client
    return http.client.HTTPSConnection("127.0.0.1", https.port(people.ca), context=https.context(people.ca, who), timeout=cadtest.ANSWER_S,
                                       source_address=(source or address(), 0))


def status_of(connection, method, path):
    connection.request(method, path)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def test_a_revocation_ends_rights_on_a_connection_that_is_open(people):
    who = https.identity(people.ca, "admin", "fired.lan", label="watcher")
    connection = keep_alive(people, who)
    assert status_of(connection, "GET", "/v1/certificates?limit=1") == 200
    people.ca.post(f"/v1/certificates/{who.serial}/revoke", {"reason": "certificate_hold"}).expect(200)
    assert status_of(connection, "GET", "/v1/certificates?limit=1") == 401
    assert status_of(connection, "GET", "/v1/ca") == 401
    people.ca.post(f"/v1/certificates/{who.serial}/revoke", {"reason": "remove_from_crl"}).expect(200)
    assert status_of(connection, "GET", "/v1/certificates?limit=1") == 200
    connection.close()


@pytest.mark.slow
def test_a_certificate_expires_on_a_connection_that_is_open(people):
    begun = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 55))
    who = https.identity(people.ca, "client", "soon.lan", validity="60s", not_before=begun)
    connection = keep_alive(people, who)
    assert status_of(connection, "GET", "/v1/ca") == 200
    time.sleep(7)
    connection.request("GET", "/v1/ca")
    answer = connection.getresponse()
    assert answer.status == 401 and "expired" in json.loads(answer.read())["detail"]
    connection.close()


def test_a_role_is_given_and_taken_on_a_connection_that_is_open():
    base = pathlib.Path(tempfile.mkdtemp(prefix="cad-"))
    conf = base / "cad.conf"
    conf.write_text("[Access]\n")
    with cadtest.Daemon(["--config", conf], tcp=True) as ca:
        who = https.identity(ca, "admin", "anna@home.lan", label="anna")
        spki = who.answer["spki"]
        connection = keep_alive(People(ca), who)
        for word, status in (("", 403), ("cert:anna", 200), ("cert:Anna", 403), ("cert:ANNA@home.lan", 200), ("cert:home.lan", 403),
                             (f"spki:{spki}", 200), (f"spki:{spki.upper()}", 200), (f"spki:{spki[::-1]}", 403)):
            conf.write_text(f"[Access]\nReader={word}\n")
            read = ca.log_text().count("read anew")
            ca.process.send_signal(signal.SIGHUP)
            ca.wait_until(lambda: ca.log_text().count("read anew") > read, 10, "the configuration is not read")
            assert status_of(connection, "GET", "/v1/certificates?limit=1") == status, word
        connection.close()
        assert ca.stop() == 0
        ca.check_log()
    shutil.rmtree(base)


def test_a_key_that_is_out_proves_nothing(people):
    """Another certificate of the same key was revoked for key_compromise: this one is not, and counts no more."""
    who = https.identity(people.ca, "device", "twin.lan")
    twin = people.ca.post("/v1/certificates", {"csr": https.csr_pem(who.key, "twin.lan"), "profile": "device"}).expect(201).json["serial"]
    https.request(people.ca, "GET", "/v1/health", who=who).expect(200)
    people.ca.post(f"/v1/certificates/{twin}/revoke", {"reason": "key_compromise"}).expect(200)
    problem = https.request(people.ca, "GET", "/v1/health", who=who).expect(401).json
    assert "compromised" in problem["detail"]


def test_a_stolen_issuers_key_makes_nobody_known_and_is_out_when_it_is_known():
    """What it signs beside the CA is not in the store; from when it is known to be out, nothing of it counts."""
    def get(who):
        answer = https.request(ca, "GET", "/v1/health", who=who)
        return answer.status, answer.json.get("detail", "")

    with cadtest.Daemon(tcp=True) as ca:
        real = https.identity(ca, "device", "dev.lan")
        issuer = x509.load_pem_x509_certificate(real.answer["chain"].encode())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "dev.lan")])
        stolen = serialization.load_pem_private_key((ca.state / "signer" / "ca" / "int-1.key").read_bytes(), None)
        for serial, why in ((int(real.serial, 16), "another one with its serial number"), (int(real.serial, 16) ^ 1, "knows no certificate")):
            key = ec.generate_private_key(ec.SECP256R1())
            builder = x509.CertificateBuilder(issuer.subject, name, key.public_key(), serial).not_valid_before(
                issuer.not_valid_before).not_valid_after(issuer.not_valid_after)
            for extension in (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), x509.AuthorityKeyIdentifier(
                    issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest, None, None)):
                builder = builder.add_extension(extension, False)
            status, said = get(https.Identity(ca.base, https.pem(builder.sign(stolen, hashes.SHA256())), key))
            assert status == 401 and why in said, said
        assert get(real)[0] == 200
        assert ca.stop() == 0
        with contextlib.closing(sqlite3.connect(ca.state / "cad.db")) as db, db:
            db.execute("INSERT INTO compromised_keys VALUES (?, x'01', 0)", (hashlib.sha256(issuer.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).digest(),))
        ca.start()
        status, said = get(real)
        assert status == 401 and "issuer was compromised" in said, said


def test_who_turns_out_to_have_no_role_is_refused_before_the_body_is_read(people):
    """A client certificate might have any role until it is looked up; then the handler does not begin."""
    for caller in ("cert:device", "cert:reader"):
        answer = people.ask(caller, "POST", "/v1/tokens", b"no JSON", who=people.identity(caller))
        assert answer.status == 403, answer


WHY = {"bad:revoked": "revoked", "bad:held": "on hold", "bad:other CA": "another CA", "bad:other CA with our names": "signature",
       "bad:self-signed": "self-signed", "bad:CA:TRUE": "CA's", EXPIRED: "expired"}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])
@pytest.mark.parametrize("caller", WHY)
def test_a_bad_certificate_is_told_why_and_the_handshake_stands(people, caller, version):
    for path in ("/v1/ca", "/v1/health"):
        problem = https.request(people.ca, "GET", path, who=people.identity(caller), version=version, source=address()).expect(401).json
        assert problem["type"] == "urn:cad:problem:unauthenticated" and WHY[caller] in problem["detail"], problem


def test_a_chain_of_twenty_is_refused(people):
    who = people.identity("cert:device")
    certificate, _, key = who.file.read_text().partition("-----BEGIN PRIVATE KEY-----")
    strangers = "".join(https.pem(https.make(None, None)[0]) for _ in range(19))
    long = people.ca.base / "long.pem"
    long.write_text(who.answer["certificate"] + strangers + "-----BEGIN PRIVATE KEY-----" + key)
    who = https.Identity(people.ca.base, "", who.key)
    who.file = long
    problem = https.request(people.ca, "GET", "/v1/ca", who=who).expect(401).json
    assert "20 of them" in problem["detail"]


def test_credentials_in_the_clear_are_not_looked_at(people):
    for caller in HTTP:
        https.request(people.ca, "GET", "/root.crt", headers=people.authorization(caller), kind="http").expect(200)


# -- What is logged ---------------------------------------------------------------------------------------------------

def test_refusals_are_summed_up_by_peer():
    with cadtest.Daemon(tcp=True) as ca:
        bad = https.Identity(ca.base, *(lambda made: (https.pem(made[0]), made[1]))(https.make(None, None)))
        for n in range(40):                 # anonymous, with a bad token, with a bad certificate, from two addresses
            source = f"127.0.0.{2 + n % 2}"
            https.request(ca, "GET", "/v1/certificates", source=source).expect(401)
            https.request(ca, "GET", "/v1/ca", headers={"Authorization": "Bearer " + BAD_TOKEN}, source=source).expect(401, 429)
            https.request(ca, "GET", "/v1/ca", source=source, who=bad).expect(401)
        for source in ("127.0.0.2", "127.0.0.3"):
            lines = [line for line in ca.log_text().splitlines() if f"refused {source}:" in line]
            assert len(lines) == 1, lines
        assert ca.stop() == 0
        for source in ("127.0.0.2", "127.0.0.3"):
            assert f"refused {source} 59 more times within a minute" in ca.log_text(), ca.tail()
        ca.check_log()


def test_no_secret_of_a_caller_is_logged(people):
    secret = "cad_00000000000000aa_" + "5ec4e7" * 5 + "00"
    https.request(people.ca, "GET", "/v1/ca", headers={"Authorization": "Bearer " + secret}, source=address()).expect(401)
    assert secret not in people.ca.log_text() and "5ec4e75ec4e7" not in people.ca.log_text()
    assert people.token not in people.ca.log_text() and people.token.rpartition("_")[2] not in people.ca.log_text()
