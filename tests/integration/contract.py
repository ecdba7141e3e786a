"""docs/openapi.yaml as a judge: does an answer of cad keep to it?

    judge = contract.Contract()
    judge.check("GET", "/v1/ca?x=1", answer)        # AssertionError for what is not documented: status, header, type, member
    judge.seen                                      # {("get", "/v1/ca", "200"), …}

With CAD_CHECK_OPENAPI=1 every answer that cadtest and https get, in any test, is judged so.
"""

import functools
import json
import pathlib
import re

import jsonschema
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs7

FILE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml"
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")

# Not worth a line in each operation: HTTP's own, and what every answer has.
HTTP_HEADERS = {"date", "connection", "content-length", "content-type", "transfer-encoding"}
COMMON_HEADERS = {"x-content-type-options": "nosniff", "cache-control": "no-store"}

# What may be said before it is known which operation is meant.
ANYWHERE = {"400": "BadRequest", "403": "Forbidden", "429": "TooMany"}
NO_SUCH_METHOD = {**ANYWHERE, "405": "MethodNotAllowed"}
NO_SUCH_PATH = {**ANYWHERE, "404": "NotFound", "405": "MethodNotAllowed"}
BY_LIBMICROHTTPD = (400, 414, 431)  # in HTML

# Other documents describe these: RFC 7030.
NOT_REST = "/.well-known/est/"

# How what no schema describes is read.
READERS = {
    "application/pkix-cert": x509.load_der_x509_certificate,
    "application/x-x509-ca-cert": x509.load_der_x509_certificate,
    "application/pkix-crl": x509.load_der_x509_crl,
    "application/pkcs7-mime": pkcs7.load_der_pkcs7_certificates,
    "application/vnd.sqlite3": lambda body: body.index(b"SQLite format 3\0") == 0 or 1 / 0,
}


class Contract:
    def __init__(self, document=None):
        self.document = document or yaml.safe_load(FILE.read_text())
        self.resolver = jsonschema.RefResolver.from_schema(self.document)
        self.paths = {path: re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)) + r"\Z") for path in self.document["paths"]}
        self.seen, self.types, self.members = set(), set(), set()

    # -- the document ----------------------------------------------------------------------------------------------------

    def resolve(self, value):
        return self.resolve(self.resolver.resolve(value["$ref"])[1]) if "$ref" in value else value

    def operations(self):
        """(method, path, operation) of each."""
        return [(method, path, item[method]) for path, item in self.document["paths"].items() for method in METHODS if method in item]

    def listeners(self, path):
        return self.document["paths"][path].get("x-listeners", ["unix", "tls"])

    def path_of(self, target, listener):
        fits = [path for path, pattern in self.paths.items() if pattern.match(target) and listener in self.listeners(path)]
        return min(fits, key=lambda path: path.count("{"), default=None)

    def parameters(self, path, method, where):
        listed = [self.resolve(each) for item in (self.document["paths"][path], self.document["paths"][path][method])
                  for each in item.get("parameters", [])]
        return {each["name"]: each for each in listed if each["in"] == where}

    def component(self, kind, name):
        return self.document["components"][kind][name]

    # -- an answer -------------------------------------------------------------------------------------------------------

    def check(self, method, target, answer, listener="unix", body=None, headers=None):
        """@target: as it was sent; @body, @headers: of the request, as far as they are known."""
        if target.startswith(NOT_REST):
            return
        where = f"{method} {target}: {answer!r} {answer.headers}"
        path = self.path_of(target.partition("?")[0], listener)
        operation = self.document["paths"].get(path, {}).get("get" if method == "HEAD" else method.lower()) if path else None
        if answer.status in BY_LIBMICROHTTPD and answer.type == "text/html":
            return
        if operation:
            documented = operation["responses"].get(str(answer.status))
            assert documented, f"status {answer.status} is not documented: {where}"
        else:
            name = (NO_SUCH_METHOD if path else NO_SUCH_PATH).get(str(answer.status))
            assert name, f"status {answer.status} where there is no such {'method' if path else 'path'}: {where}"
            documented = self.component("responses", name)
        documented = self.resolve(documented)
        self.check_headers(documented, answer, where)
        if answer.status == 405 and path:
            self.check_allow(path, answer, where)
        self.check_body(documented, method, answer, where)
        if operation:
            self.seen.add(("get" if method == "HEAD" else method.lower(), path, str(answer.status)))
            self.types.add((path, str(answer.status), answer.type))
            if answer.status < 300:
                self.check_request(path, method, target, body, headers or {}, where)

    def check_allow(self, path, answer, where):
        methods = {method.upper() for method in METHODS if method in self.document["paths"][path]}
        methods |= {"HEAD"} if "GET" in methods else set()
        assert set(answer.headers["allow"].split(", ")) == methods, where

    def check_headers(self, documented, answer, where):
        declared = {name.lower(): self.resolve(header) for name, header in documented.get("headers", {}).items()}
        for name, header in declared.items():
            assert name in answer.headers or not header.get("required"), f"there is no header {name}: {where}"
            if name in answer.headers:
                self.validate(header["schema"], answer.headers[name], f"header {name}: {where}")
        for name, value in answer.headers.items():
            if name in declared or name in HTTP_HEADERS:
                continue
            if self.is_turned_away(answer) and name == "cache-control":
                continue
            assert COMMON_HEADERS.get(name) == value, f"header {name}: {value} is not documented: {where}"
        for name in COMMON_HEADERS:
            assert name in answer.headers or self.is_turned_away(answer), f"there is no header {name}: {where}"

    @staticmethod
    def is_turned_away(answer):
        """A connection that was one too many: there was no request yet."""
        return answer.status == 429 and "x-request-id" not in answer.headers

    def check_body(self, documented, method, answer, where):
        content = documented.get("content", {})
        if not content or method == "HEAD":
            assert not answer.body, f"a body that is not documented: {where}"
            return
        assert answer.type in content, f"type {answer.type} is not documented: {where}"
        schema = content[answer.type]["schema"]
        if answer.type.endswith("json"):
            value = answer.json
            self.validate(schema, value, where)
            self.note_members(schema, value)
        elif answer.type in READERS:
            READERS[answer.type](answer.body)
        else:
            self.validate(schema, answer.body.decode(), where)

    def validate(self, schema, value, where):
        wrong = [f"{'/'.join(map(str, each.absolute_path)) or 'it'}: {each.message[:500]}"
                 for each in jsonschema.Draft202012Validator(schema, resolver=self.resolver).iter_errors(value)]
        assert not wrong, f"{wrong}: {where}"

    # -- a request that was granted --------------------------------------------------------------------------------------

    def check_request(self, path, method, target, body, headers, where):
        if method == "HEAD":
            method = "GET"
        operation = self.document["paths"][path][method.lower()]
        headers = {name.lower(): value for name, value in headers.items()}
        query = self.parameters(path, method.lower(), "query")
        for pair in filter(None, target.partition("?")[2].split("&")):
            assert pair.partition("=")[0] in query, f"the parameter {pair} is taken, and not documented: {where}"
        if "idempotency-key" in headers:
            assert "Idempotency-Key" in self.parameters(path, method.lower(), "header"), where
        documented = self.resolve(operation.get("requestBody", {}))
        assert body or not documented.get("required"), f"it is done without a body: {where}"
        if not body:
            return
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if not kind and path == "/v1/crls":
            return
        assert kind in documented.get("content", {}), f"a body of the type {kind} is taken, and not documented: {where}"
        if kind == "application/json":
            value = {name: each for name, each in json.loads(body).items() if each is not None}
            self.validate(documented["content"][kind]["schema"], value, f"a body is taken that is not documented: {where}")

    # -- what was never seen ---------------------------------------------------------------------------------------------

    def documented(self):
        return {(method, path, status) for method, path, operation in self.operations() for status in operation["responses"]}

    def documented_types(self):
        return {(path, status, kind) for _, path, operation in self.operations() for status, response in operation["responses"].items()
                for kind in self.resolve(response).get("content", {})}

    def walk(self, schema, found, name="inline", value=None):
        """Into @found: (name of a schema, name of a member), as far as @value has them; of no value: all there are."""
        if "$ref" in schema:
            name, schema = schema["$ref"].rpartition("/")[2], self.resolve(schema)
            if (name, None) in found and value is None:
                return
            found.add((name, None))
        for part in schema.get("allOf", []):
            self.walk(part, found, name, value)
        for member, inner in schema.get("properties", {}).items():
            if value is None or member in value:
                found.add((name, member))
                self.walk(inner, found, f"{name}.{member}", None if value is None else value[member])
        if "items" in schema:
            for each in [None] if value is None else value:
                self.walk(schema["items"], found, name, each)

    def note_members(self, schema, value):
        self.walk(schema, self.members, value=value)

    def documented_members(self):
        found = set()
        for _, _, operation in self.operations():
            for response in operation["responses"].values():
                for media in self.resolve(response).get("content", {}).values():
                    self.walk(media["schema"], found)
        return {(name, member) for name, member in found if member}


@functools.lru_cache(None)
def shared():
    return Contract()
