"""docs/openapi.yaml is valid, is about what cad serves and nothing else, and every answer keeps to it: each status and each member that
is documented is provoked here, but for the few of NEVER_SEEN. With CAD_CHECK_OPENAPI=1 all other tests are judged by it, too."""

import copy
import functools
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import pytest

jsonschema = pytest.importorskip("jsonschema", reason="Debian's python3-jsonschema is not installed")
yaml = pytest.importorskip("yaml", reason="Debian's python3-yaml is not installed")

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import cadtest
import contract
import fakesigner
import https
import tools

ROOT = contract.FILE.parents[1]
GUIDE = ROOT / "docs" / "guides" / "api.md"
OAI = pathlib.Path("/usr/share/openapi-specification/schemas/v3.0/schema.json")   # Debian's openapi-specification
JSON = {"Content-Type": "application/json"}
FORMS = ("application/json", "application/pem-certificate-chain", "application/pkix-cert", "application/pkcs7-mime")
CONNECTIONS_OF_OWNER = 256
NEVER_SENT = {"none", "request-timeout"}   # codes that no answer has: success, and what closes the connection

# Documented, and not provoked here: status, which operations, why not.
NEVER_SEEN = [("500", lambda method, path: (method, path) != ("post", "/v1/certificates"), "a fault of cad's own, or of its signer")]


def document():
    return yaml.safe_load(contract.FILE.read_text())


# -- The document alone -----------------------------------------------------------------------------------------------

def nodes(value, where=()):
    yield where, value
    for key, each in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from nodes(each, (*where, key))


def as_3_0(value):
    """The same in the words of OpenAPI 3.0, of which there is an official schema in Debian."""
    if isinstance(value, list):
        return [as_3_0(each) for each in value]
    if not isinstance(value, dict):
        return value
    made = {key: as_3_0(each) for key, each in value.items() if key != "dependentRequired"}
    if "const" in made:
        made["enum"] = [made.pop("const")]
    if isinstance(made.get("type"), list):
        made["nullable"], made["type"] = "null" in made["type"], made["type"][0]
    if made.get("type") == "mutualTLS":
        made["type"], made["scheme"] = "http", "mutual"
    return made


def test_the_document_fits_the_official_schema():
    if not OAI.exists():
        pytest.skip("Debian's openapi-specification is not installed")
    old = as_3_0(document())
    old["openapi"] = "3.0.3"
    del old["info"]["summary"], old["info"]["license"]["identifier"]
    wrong = [f"{'/'.join(map(str, each.absolute_path))}: {each.message[:300]}"
             for each in jsonschema.Draft4Validator(json.loads(OAI.read_text())).iter_errors(old)]
    assert not wrong, wrong


def test_a_linter_has_nothing_to_say():
    done = subprocess.run([tools.find("redocly"), "lint", "--format=json", contract.FILE], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "REDOCLY_TELEMETRY": "off", "CI": "true"})
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_reference_leads_somewhere_and_every_component_is_used():
    whole = document()
    judge, used = contract.Contract(whole), set()
    for _, each in nodes(whole):
        if isinstance(each, dict) and isinstance(each.get("$ref"), str):
            judge.resolver.resolve(each["$ref"])
            used.add(each["$ref"])
    there = {f"#/components/{kind}/{name}" for kind, group in whole["components"].items() if kind != "securitySchemes" for name in group}
    # what is said before it is known which operation is meant has no operation
    assert there - used == {"#/components/responses/MethodNotAllowed"}


def test_operations_are_complete():
    judge = contract.Contract()
    names = [operation["operationId"] for _, _, operation in judge.operations()]
    assert len(names) == len(set(names))
    schemes = set(judge.document["components"]["securitySchemes"])
    tags = {tag["name"] for tag in judge.document["tags"]}
    for method, path, operation in judge.operations():
        assert operation["summary"] and operation["x-access"] and set(operation["tags"]) <= tags, (method, path)
        declared = judge.parameters(path, method, "path")
        assert set(re.findall(r"\{(\w+)\}", path)) == set(declared) and all(each["required"] for each in declared.values()), path
        assert {name for each in operation.get("security", []) for name in each} <= schemes, path


def test_objects_are_closed_and_say_what_they_always_have():
    for where, each in nodes(document()["components"]["schemas"]):
        if isinstance(each, dict) and each.get("type") == "object" and not where[0].startswith("Problem"):
            assert each["additionalProperties"] is False, where
            assert set(each.get("required", [])) <= set(each["properties"]), where


def examples(judge):
    """(where, schema, example) of each."""
    for where, each in nodes(judge.document):
        if not isinstance(each, dict) or "example" not in each or "properties" in where[-1:]:
            continue
        yield where, each.get("schema", each), each["example"]


def test_the_examples_fit_their_schemas():
    judge = contract.Contract()
    for where, schema, example in examples(judge):
        judge.validate(schema, example, where)


def test_the_example_of_a_certificate_is_one():
    judge = contract.Contract()
    found = judge.component("responses", "Issued")["content"]["application/json"]["example"]
    leaf, issuer = (x509.load_pem_x509_certificate(found[name].encode()) for name in ("certificate", "chain"))
    spki = leaf.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    issuer.public_key().verify(leaf.signature, leaf.tbs_certificate_bytes, ec.ECDSA(leaf.signature_hash_algorithm))
    assert f"{leaf.serial_number:x}" == found["serial"] and leaf.fingerprint(hashes.SHA256()).hex() == found["fingerprint"]
    assert __import__("hashlib").sha256(spki).hexdigest() == found["spki"]
    assert leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName) == found["names"]


def problem_codes():
    """(slug, status, title) of each code that cad knows."""
    titles = re.findall(r'X\(ERR_(\w+), ERROR_\w+, "([^"]*)"\)', (ROOT / "lib" / "base" / "error.h").read_text())
    statuses = dict(re.findall(r"\[ERR_(\w+)\]\s*=\s*\{ (\d+),", (ROOT / "daemon" / "http" / "problem.c").read_text()))
    assert len(titles) > 50 and {name for name, _ in titles} == set(statuses)
    return {(name.lower().replace("_", "-"), int(statuses[name]), title) for name, title in titles}


def test_the_problems_are_those_of_the_code():
    judge = contract.Contract()
    codes = {each for each in problem_codes() if each[0] not in NEVER_SENT}
    table = re.findall(r"\| `([a-z-]+)` \| (\d+) \| (.*) \|", judge.component("schemas", "Problem")["description"])
    assert {(slug, int(status), title) for slug, status, title in table} == codes
    told = set()
    for name, schema in judge.document["components"]["schemas"].items():
        if name.startswith("Problem") and name != "Problem":
            said = schema["allOf"][1]["properties"]
            told |= {(each.rpartition(":")[2], said["status"]["const"]) for each in said["type"]["enum"]}
    assert told == {(slug, status) for slug, status, _ in codes}


# -- The document and the route table ---------------------------------------------------------------------------------

def routes():
    cadtest.require_build()
    done = subprocess.run([cadtest.BUILD / "tests" / "list-routes"], capture_output=True, text=True, check=True, timeout=30)
    return [line.split() for line in done.stdout.splitlines()]


def test_every_route_is_documented_and_everything_documented_is_a_route():
    judge = contract.Contract()
    there = {(method.lower(), pattern) for method, pattern, _ in routes() if not pattern.startswith(contract.NOT_REST)}
    told = {(method, path) for method, path, _ in judge.operations()}
    assert there - told == set(), "write these into docs/openapi.yaml"
    assert told - there == set(), "cad serves no such thing"


def test_listeners_are_those_of_the_routes():
    judge = contract.Contract()
    for _, pattern, listeners in routes():
        if pattern.startswith(contract.NOT_REST):
            continue
        assert judge.listeners(pattern) == listeners.split(","), pattern


# -- The guide and the running daemon ---------------------------------------------------------------------------------

def test_every_line_of_the_guide_works(tmp_path):
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    lines = "\n".join(re.findall(r"^```sh\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL))
    with cadtest.Daemon(tcp=True) as ca:
        for told, there in (("/run/cad/cad.sock", str(ca.socket)), ("https://ca.lan:8443", f"https://127.0.0.1:{ca.port('https')}"),
                            ("http://ca.lan:8080", f"http://127.0.0.1:{ca.port('http')}")):
            assert told in lines
            lines = lines.replace(told, there)
        done = subprocess.run(["bash", "-euxo", "pipefail", "-c", lines], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        certificates = [x509.load_pem_x509_certificate((tmp_path / name).read_bytes()) for name in ("nas.crt", "again.crt", "box.crt", "box.crt.new")]
        assert certificates[0] == certificates[1] and certificates[2] != certificates[3]
        issued = re.findall(r'^\{"serial":"([0-9a-f]+)","status":"valid","profile":"device"', done.stdout.replace("}{", "}\n{"), re.MULTILINE)
        assert len(issued) == 2 and issued[0] == issued[1], "the Idempotency-Key made no difference"
        ca.check_log()


# -- The document and the running daemon ------------------------------------------------------------------------------

class Stage:
    """One CA, and a judge who sees every answer."""

    def __init__(self):
        self.judge, self.played = contract.Contract(), set()
        self.ca = cadtest.Daemon(tcp=True)
        self.key = ec.generate_private_key(ec.SECP256R1())

    def judged(self, method, path, answer, listener="unix", body=None, headers=None):
        self.judge.check(method, path, answer, listener, body, headers)
        return answer

    def ask(self, method, path, body=None, headers=None):
        if body is not None and not isinstance(body, bytes):
            body, headers = json.dumps(body).encode(), {**JSON, **(headers or {})}
        return self.judged(method, path, self.ca.request(method, path, body, headers), "unix", body, headers)

    def ask_tls(self, method, path, body=None, headers=None, **more):
        answer = https.request(self.ca, method, path, body, headers, **more)
        return self.judged(method, path, answer, {"https": "tls", "http": "tcp"}[more.get("kind", "https")], body, headers)

    def get(self, path, **headers):
        return self.ask("GET", path, None, headers)

    def post(self, path, body=None, **headers):
        return self.ask("POST", path, body, headers)

    def csr(self, *names, key=None):
        return https.csr_pem(key or ec.generate_private_key(ec.SECP256R1()), *(names or ("nas.lan",)))

    def issue(self, *names, key=None, **fields):
        return self.post("/v1/certificates", {"csr": self.csr(*names, key=key), **fields}).expect(201).json

    def hand_in(self, **fields):
        return self.post("/v1/requests", {"csr": self.csr(), **fields}).expect(202).json

    @functools.cached_property
    def objects(self):
        """What the parameters of paths stand for."""
        return {"certificates": self.issue()["serial"], "requests": self.hand_in()["id"],
                "tokens": self.post("/v1/tokens", {"names": ["nas.lan"]}).expect(201).json["id"], "crl": "int-1.crl", "ca": "int-1.crt", "trust": "cad-root.crt"}

    def path(self, path):
        group = path.removeprefix("/v1").split("/")[1]
        return re.sub(r"\{\w+\}", lambda _: self.objects[group], path)

    def each(self):
        return [(method.upper(), path, self.path(path)) for method, path, _ in self.judge.operations()]


def scene_what_everybody_may_know(s):
    for path in ("/v1/health", "/v1/ca", "/v1/ca/root.pem", "/v1/ca/bundle.pem", "/v1/profiles", "/v1/crls", "/metrics", "/root.crt",
                 "/crl/int-1.crl", "/ca/int-1.crt", "/ca/root.crt", "/", "/trust", "/trust/ios", "/trust/qr.svg", "/trust/style.css", "/trust/test.js",
                 "/trust/cad-root.pem", "/trust/cad-root.mobileconfig"):
        s.get(path).expect(200)
        s.ask("HEAD", path).expect(200)
        s.ask_tls("GET", path).expect(401 if path == "/metrics" else 200)
    assert all("detail" in check for check in s.get("/v1/health").json["checks"])
    assert not any("detail" in check for check in s.ask_tls("GET", "/v1/health").json["checks"])


def scene_in_the_clear(s):
    for method, path, target in s.each():
        public = "tcp" in s.judge.listeners(path)
        answer = s.ask_tls(method, target, kind="http").expect(200 if public else 404)
        if not public:
            continue
        for headers in ({"If-None-Match": answer.headers["etag"]}, {"If-Modified-Since": answer.headers["last-modified"]}):
            s.ask_tls(method, target, None, headers, kind="http").expect(304)
    for path in ("/crl/int-9.crl", "/ca/int-9.crt", "/trust/x"):
        s.ask_tls("GET", path, kind="http").expect(404)


def scene_issuing(s):
    csr = s.csr()
    der = x509.load_pem_x509_csr(csr.encode()).public_bytes(serialization.Encoding.DER)
    for form in FORMS:
        s.post("/v1/certificates", {"csr": s.csr()}, Accept=form).expect(201)
    s.ask("POST", "/v1/certificates", der, {"Content-Type": "application/pkcs10"}).expect(201)
    s.ask("POST", "/v1/certificates", s.csr().encode(), {"Content-Type": "application/x-pem-file"}).expect(201)
    wish = {"csr": s.csr(key=s.key), "profile": "device", "names": ["a.lan"], "validity": "1d", "not_before": "2026-01-01T00:00:00Z", "label": "x"}
    wish["not_before"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 30))
    made = s.post("/v1/certificates", wish, **{"Idempotency-Key": "one"}).expect(201).json
    assert s.issue("b.lan", key=s.key)["warnings"]
    s.post(f"/v1/certificates/{made['serial']}/revoke", {"reason": "superseded"}).expect(200)
    again = s.post("/v1/certificates", wish, **{"Idempotency-Key": "one"}).expect(201).json
    assert again["serial"] == made["serial"] and again["status"] == "revoked"
    s.post("/v1/certificates", {"csr": s.csr()}, **{"Idempotency-Key": "one"}).expect(422)
    for status, body, headers in ((400, {"csr": "x"}, {}), (400, {"csr": csr, "wrong": 1}, {}), (406, {"csr": csr}, {"Accept": "text/html"}),
                                  (415, b"x", {"Content-Type": "text/plain"}), (422, {"csr": s.csr("www.example.com")}, {})):
        s.post("/v1/certificates", body, **headers).expect(status)


def scene_two_at_a_time_with_one_idempotency_key(s):
    """Both wait for the signer; one of them is told."""
    paths = {"/v1/certificates": {"csr": s.csr()}, f"/v1/certificates/{s.issue()['serial']}/renew": {}}
    for path, body in paths.items():
        answers = []
        with s.ca.signer_stopped():
            threads = [threading.Thread(target=lambda: answers.append(s.post(path, body, **{"Idempotency-Key": "two"}))) for _ in range(2)]
            for thread in threads:
                thread.start()
            time.sleep(0.3)
        for thread in threads:
            thread.join(cadtest.ANSWER_S)
        assert {answer.status for answer in answers} <= {201, 409} and len(answers) == 2, answers
        told = [answer for answer in answers if answer.status == 409]
        assert all("retry-after" in answer.headers for answer in told), answers


def scene_one_certificate(s):
    serial = s.issue(label="label")["serial"]
    path = f"/v1/certificates/{serial}"
    for form in FORMS:
        s.get(path, Accept=form).expect(200)
    for ending in (".pem", ".der", ".chain.pem"):
        s.get(path + ending).expect(200)
    s.get(path, Accept="text/html").expect(406)
    s.get("/v1/certificates/00ff").expect(404)
    s.get("/v1/certificates/00ff/renewal").expect(404)
    tag = s.get(path + "/renewal").expect(200).headers["etag"]
    s.get(path + "/renewal", **{"If-None-Match": tag}).expect(304)
    s.post(path + "/revoke", {"reason": "boredom"}).expect(422)
    s.post(path + "/revoke", b"reason", **{"Content-Type": "text/plain"}).expect(415)
    s.post(path + "/revoke", {"why": "x"}).expect(400)
    s.post("/v1/certificates/00ff/revoke").expect(404)
    s.post(path + "/revoke", {"reason": "certificate_hold"}).expect(200)
    assert s.get(path).json["status"] == "held"
    s.post(path + "/revoke", {"reason": "remove_from_crl"}).expect(200)
    s.post(path + "/revoke").expect(200)
    s.post(path + "/revoke", {}).expect(409)
    assert s.get(path).json["reason"] == "unspecified"


def scene_renewing(s):
    serial = s.issue(label="label", key=s.key)["serial"]
    path = f"/v1/certificates/{serial}/renew"
    for form in FORMS:
        s.post(path, None, Accept=form).expect(201)
    s.post(path, {"csr": s.csr()}).expect(201)
    s.ask("POST", path, s.csr().encode(), {"Content-Type": "application/pkcs10"}).expect(201)
    s.ask("POST", path, s.csr().encode(), {"Content-Type": "application/x-pem-file"}).expect(201)
    assert s.post(path, {}, **{"Idempotency-Key": "r"}).expect(201).json == s.post(path, {}, **{"Idempotency-Key": "r"}).expect(201).json
    s.post(path, {"csr": s.csr("other.lan")}).expect(422)
    s.post(path, {"csr": ""}).expect(400)
    s.post(path, b"x", **{"Content-Type": "text/plain"}).expect(415)
    s.post(path, None, Accept="text/html").expect(406)
    s.post("/v1/certificates/00ff/renew").expect(404)
    s.post(f"/v1/certificates/{serial}/revoke").expect(200)
    s.post(path).expect(409)


def scene_a_device_with_its_own_certificate(s):
    who = https.identity(s.ca, "device", "sensor.lan")
    s.ask_tls("POST", f"/v1/certificates/{who.serial}/renew", who=who).expect(201)
    s.ask_tls("POST", f"/v1/certificates/{s.issue()['serial']}/revoke", b"{}", JSON, who=who).expect(403)
    s.ask_tls("POST", f"/v1/certificates/{who.serial}/revoke", b"{}", JSON, who=who).expect(200)
    s.ask_tls("GET", "/v1/ca", who=who).expect(401)
    s.ask_tls("GET", "/v1/ca", headers={"Host": "ca.example.com"}).expect(403)


def scene_listing(s):
    made = s.issue("list.lan", label="listed")
    s.post(f"/v1/certificates/{made['serial']}/revoke", {}).expect(200)
    page = s.get("/v1/certificates?limit=1").expect(200).json
    assert page["next"]
    s.get("/v1/certificates?limit=1&cursor=" + page["next"]).expect(200)
    filters = {"name": "list.lan", "status": "revoked", "profile": "server", "issuer": "int-1", "requester": f"uid:{os.geteuid()}", "label": "listed",
               "fingerprint": made["fingerprint"], "spki": made["spki"], "expires_after": made["not_after"], "expires_before": "2099-01-01T00:00:00Z",
               "issued_after": "2020-01-01T00:00:00Z", "issued_before": "2099-01-01T00:00:00Z"}
    documented = {name for name in s.judge.parameters("/v1/certificates", "get", "query")}
    assert documented == set(filters) | {"limit", "cursor"}
    rows = s.get("/v1/certificates?" + "&".join(f"{name}={value}" for name, value in filters.items())).expect(200).json["certificates"]
    assert [row["serial"] for row in rows] == [made["serial"]]
    for query in ("limit=0", "wrong=1", "status=lost", "spki=1", "expires_after=soon", "cursor=x"):
        assert s.get("/v1/certificates?" + query).expect(400).json["field"] == query.partition("=")[0]


def scene_requests(s):
    wish = {"csr": s.csr("a.lan", "b.lan"), "profile": "server", "validity": "30d", "label": "box"}
    s.post("/v1/requests", wish).expect(202)
    s.ask("POST", "/v1/requests", s.csr().encode(), {"Content-Type": "application/pkcs10"}).expect(202)
    s.ask("POST", "/v1/requests", s.csr().encode(), {"Content-Type": "application/x-pem-file"}).expect(202)
    for status, body, headers in ((400, {"csr": "x"}, {}), (415, b"x", {"Content-Type": "text/plain"}), (422, {"csr": s.csr("example.com")}, {}),
                                  (413, {"csr": "A" * 140000}, {}), (403, {"csr": s.csr(), "profile": "admin"}, {})):
        s.post("/v1/requests", body, **headers).expect(status)
    mine = s.ask_tls("POST", "/v1/requests", json.dumps(wish).encode(), JSON).expect(202).json
    one, coded = f"/v1/requests/{mine['id']}", f"/v1/requests/{mine['code']}"
    s.get(one).expect(200)
    s.ask_tls("GET", one).expect(200)
    s.ask_tls("GET", coded).expect(401)
    assert "id" not in s.get(coded).expect(200).json
    s.get(one, Accept=FORMS[1]).expect(202)
    s.get(one, Accept="text/html").expect(406)
    s.get("/v1/requests/" + "0" * 32).expect(404)
    page = s.get("/v1/requests?status=waiting&limit=1").expect(200).json
    s.get("/v1/requests?cursor=" + page["next"]).expect(200)
    s.get("/v1/requests?status=lost").expect(400)
    approval = {"profile": "device", "names": ["a.lan"], "validity": "1d", "label": "y"}
    s.post(coded + "/approve", {"names": ["c.lan"]}).expect(422)
    s.post(coded + "/approve", {"wrong": 1}).expect(400)
    s.post(coded + "/approve", b"x", **{"Content-Type": "text/plain"}).expect(415)
    s.post(coded + "/approve", {}, Accept="text/html").expect(406)
    s.post(f"/v1/requests/{'0' * 32}/approve", {}).expect(404)
    s.post(coded + "/approve", approval, **{"Idempotency-Key": "a"}).expect(201)
    s.post(coded + "/approve", {}).expect(409)
    for form in FORMS:
        s.get(one, Accept=form).expect(200)
        s.post(f"/v1/requests/{s.hand_in()['code']}/approve", None, Accept=form).expect(201)
    s.get("/v1/requests?status=approved").expect(200)


def scene_denying(s):
    request = s.hand_in(label="box")
    path = f"/v1/requests/{request['code']}/deny"
    s.post(path, {"reason": "x" * 201}).expect(400)
    s.post(path, b"x", **{"Content-Type": "text/plain"}).expect(415)
    s.post(f"/v1/requests/{'0' * 32}/deny").expect(404)
    s.post(path, {"reason": "nobody knows this device"}).expect(200)
    s.post(path).expect(409)
    s.get(f"/v1/requests/{request['id']}", Accept=FORMS[1]).expect(409)
    assert s.get(f"/v1/requests/{request['id']}").expect(200).json["reason"]


def scene_tokens(s):
    wish = {"names": ["*.iot.lan"], "profile": "device", "validity": "30d", "uses": 2, "expires_in": "2d", "label": "sensors"}
    made = s.post("/v1/tokens", wish).expect(201).json
    bearer = {"Authorization": "Bearer " + made["token"], **JSON}
    wish = json.dumps({"csr": s.csr("a.iot.lan")}).encode()
    s.ask_tls("POST", "/v1/certificates", wish, bearer).expect(201)
    s.ask("POST", "/v1/certificates", json.dumps({"csr": s.csr("b.iot.lan")}).encode(), bearer).expect(201)
    assert s.ask_tls("POST", "/v1/certificates", wish, bearer).expect(401).json["type"] == "urn:cad:problem:token-spent"
    s.ask_tls("GET", "/v1/tokens", headers=bearer).expect(403)
    path = f"/v1/tokens/{made['id']}"
    assert s.get(path).expect(200).json["status"] == "used_up"
    assert s.ask("DELETE", path).expect(200).json["status"] == "revoked"
    s.ask("DELETE", path).expect(200)
    for method in ("GET", "DELETE"):
        s.ask(method, "/v1/tokens/" + "0" * 16).expect(404)
    s.post("/v1/tokens", {"names": ["nas.lan"]}).expect(201)
    page = s.get("/v1/tokens?limit=1").expect(200).json
    s.get("/v1/tokens?cursor=" + page["next"]).expect(200)
    s.get("/v1/tokens?limit=1001").expect(400)
    for status, body, headers in ((400, {"names": []}, {}), (415, b"x", {"Content-Type": "text/plain"}), (422, {"names": ["example.com"]}, {}),
                                  (403, {"names": ["a.lan"], "profile": "admin"}, {})):
        s.post("/v1/tokens", body, **headers).expect(status)


def scene_pairing_codes(s):
    made = s.post("/v1/tokens", {"names": ["nas.lan"], "short": True}).expect(201).json
    s.get(f"/v1/tokens/{made['id']}").expect(200)
    s.ask("DELETE", f"/v1/tokens/{made['id']}").expect(200)


def scene_wrong_tokens(s):
    bad = {"Authorization": "Bearer cad_0000000000000000_" + "0" * 32}
    statuses = [s.ask_tls("GET", "/v1/ca", headers=bad, source="127.0.77.1").status for _ in range(40)]
    assert statuses[0] == 401 and statuses[-1] == 429, statuses


def scene_a_rotation(s):
    """In one place: what is active is the same after it for every other scene."""
    made, over = "/v1/ca/intermediates", "/v1/ca/intermediates/{}/activate".format
    for path in (made, over("int-2")):
        s.post(path, {"x": 1}).expect(400)
        s.post(path, b"{}", **{"Content-Encoding": "gzip"}).expect(415)
    s.post(made, {}).expect(409)
    s.post(over("int-9"), {}).expect(404)
    s.post(over("int-2")).expect(200)
    s.post(over("int-1"), {}).expect(409)
    s.post(made).expect(201)


def scene_crls(s):
    s.post("/v1/crls").expect(200)
    s.post("/v1/crls", {}).expect(200)
    s.post("/v1/crls", {"x": 1}).expect(400)
    s.post("/v1/crls", b"{}", **{"Content-Encoding": "gzip"}).expect(415)
    for path in ("/crl/int-1.crl", "/ca/int-1.crt", "/root.crt"):
        s.get(path, **{"If-None-Match": "*"}).expect(304)
    s.get("/crl/int-1.crt").expect(404)


def scene_the_audit(s):
    page = s.get("/v1/audit?limit=1").expect(200).json
    s.get("/v1/audit?cursor=" + page["next"]).expect(200)
    filters = {"action": "certificate.issue", "principal": f"uid:{os.geteuid()}", "object": s.issue()["serial"], "since": "2020-01-01T00:00:00Z",
               "until": "2099-01-01T00:00:00Z"}
    assert set(s.judge.parameters("/v1/audit", "get", "query")) == set(filters) | {"limit", "cursor"}
    assert len(s.get("/v1/audit?" + "&".join(f"{name}={value}" for name, value in filters.items())).expect(200).json["audit"]) == 1
    s.get("/v1/audit?since=soon").expect(400)
    s.ca.wait_until(lambda: s.get("/v1/audit/anchors").expect(200).json["anchors"], 10, "nothing is anchored")
    s.get("/v1/audit/anchors?x=1").expect(400)


def scene_a_backup(s):
    s.post("/v1/backup").expect(200)


def scene_the_signer_hangs(s):
    with s.ca.signer_stopped():
        assert s.get("/v1/health").expect(503).json["status"] == "failing"
        s.ask_tls("GET", "/v1/health").expect(503)
        assert s.post("/v1/certificates", {"csr": s.csr()}).expect(503).json["type"] == "urn:cad:problem:signer-unavailable"
    s.ca.wait_until(lambda: s.get("/v1/health").status == 200, 30, "cad is not well again")


def scene_the_signer_lies(s):
    """Another CA, whose signer makes another certificate than it is asked for."""
    real = cadtest.CAD.parent / "cad-signer"
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        patch.setattr(cadtest, "CAD", folder / "cad")
        shutil.copy2(real.parent / "cad", folder / "cad")
        fakesigner.install(folder, real)
        with cadtest.Daemon() as ca:
            fakesigner.say(folder, list(fakesigner.LEAVES)[0])
            answer = ca.post("/v1/certificates", {"csr": s.csr()})
            s.judged("POST", "/v1/certificates", answer).expect(500)


def scene_what_each_operation_refuses(s):
    for method, path, target in s.each():
        for status, headers in ((400, {"Expect": "nonsense"}), (401, {"Authorization": "Basic cm9vdDpyb290"}), (403, {"Origin": "https://evil.example"}),
                                (413, {"Content-Length": "999999999"})):
            s.ask(method, target, b"" if status == 413 else None, headers).expect(status)
    for path in s.judge.document["paths"]:
        s.ask("PATCH", s.path(path)).expect(405)
        s.ask("GET", s.path(path).rstrip("/") + "/more").expect(404)
    for target, status in (("/x", 404), ("//v1/ca", 400), ("/v1/%63a", 400), ("/v1/../v1/ca", 400)):
        s.get(target).expect(status)
    for method in ("OPTIONS", "TRACE"):
        s.ask(method, "/v1/ca").expect(405)


def scene_who_has_no_credential(s):
    """Over HTTPS 401, exactly where `security` wants a credential."""
    for method, path, target in s.each():
        operation = s.judge.document["paths"][path][method.lower()]
        if "tls" in s.judge.listeners(path) and path != "/v1/backup":
            wants = {} not in operation.get("security", s.judge.document["security"])
            status = s.ask_tls(method, target, source="127.0.77.2").status
            assert (status == 401) == wants, (method, path, status)


def open_connections(ca):
    return int(re.search(r"^cad_http_connections (\d+)$", ca.get("/metrics").body.decode(), re.MULTILINE).group(1))


def scene_too_many_connections(s):
    held = []
    try:
        while len(held) < CONNECTIONS_OF_OWNER:
            held.append(s.ca.connect())
        s.ca.wait_until(lambda: s.ca.get("/v1/ca").status == 429, 10, "there is room for more")
        for method, _, target in s.each():
            s.ask(method, target).expect(429)
    finally:
        for each in held:
            each.close()
    s.ca.wait_until(lambda: s.ca.get("/v1/ca").status == 200 and open_connections(s.ca) < 10, 10, "there is no room again")


def ask_on(sock, method, target):
    sock.sendall(f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    response = http.client.HTTPResponse(sock, method=method)
    response.begin()
    return cadtest.Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


def scene_it_is_being_stopped(s):
    """The last scene: on connections that are open, everything is refused while what is in work ends."""
    open_ones = [(method, target, s.ca.connect()) for method, _, target in s.each()]
    for _, _, sock in open_ones:
        assert ask_on(sock, "GET", "/v1/ca").status == 200
    with s.ca.signer_stopped():
        in_work = threading.Thread(target=lambda: s.ca.post("/v1/certificates", {"csr": s.csr()}))
        in_work.start()
        time.sleep(0.3)
        s.ca.process.send_signal(signal.SIGTERM)
        s.ca.wait_until(lambda: not s.ca.socket.exists(), 5, "it does not begin to stop")
        for method, target, sock in open_ones:
            s.judged(method, target, ask_on(sock, method, target)).expect(503)
            sock.close()
    in_work.join(cadtest.ANSWER_S)
    assert s.ca.process.wait(cadtest.STOP_S) == 0, s.ca.tail()
    s.ca.check_log()


SCENES = [each for name, each in list(globals().items()) if name.startswith("scene_")]


@pytest.fixture(scope="module")
def stage():
    made = Stage()
    try:
        with made.ca:
            yield made
    finally:
        made.ca.close()


def play(stage, scene):
    if scene not in stage.played:
        stage.played.add(scene)
        scene(stage)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__[6:])
def test_every_answer_is_as_documented(stage, scene):
    play(stage, scene)


def excused(method, path, status):
    return any(status == each and applies(method, path) for each, applies, _ in NEVER_SEEN)


def test_everything_that_is_documented_was_seen(stage):
    for scene in SCENES:
        play(stage, scene)
    judge = stage.judge
    unseen = {each for each in judge.documented() - judge.seen if not excused(*each)}
    assert not unseen, f"statuses that never came: {sorted(unseen)}"
    assert not {each for each in judge.seen if excused(*each)}, "take these out of NEVER_SEEN"
    unseen = {each for each in judge.documented_types() - judge.types if not any(excused(method, each[0], each[1]) for method in contract.METHODS)}
    assert not unseen, f"types that never came: {sorted(unseen)}"
    unseen = judge.documented_members() - judge.members
    assert not unseen, f"members that never came: {sorted(unseen)}"
