"""docs/openapi.yaml and cad, judged by another program: Stoplight's Prism stands between the caller and cad as a validating proxy, and
answers 500 or 422 of its own where a request or an answer is not as the document says.

It speaks TCP and knows no client certificate, so a relay takes its connections to the Unix socket, and `security` is left out of what it
is given. All else is the document itself.
"""

import contextlib
import copy
import http.client
import json
import socket
import subprocess
import threading
import time

import pytest

pytestmark = pytest.mark.slow
yaml = pytest.importorskip("yaml", reason="Debian's python3-yaml is not installed")

import cadtest
import contract
import csrs
import tools
from csrs import csr, dns

START_S, ANSWER_S = 60, 30
OWN = "stoplight.io"  # in the type of what Prism says itself


def pump(source, to):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            to.sendall(data)
    with contextlib.suppress(OSError):
        to.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def relay(path):
    """A port of loopback that leads to the Unix socket at @path."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        def serve():
            with contextlib.suppress(OSError):
                while True:
                    here, _ = server.accept()
                    there = socket.socket(socket.AF_UNIX)
                    there.connect(str(path))
                    for source, to in ((here, there), (there, here)):
                        threading.Thread(target=pump, args=(source, to), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def without_security(document):
    made = copy.deepcopy(document)
    for part in (made, *(operation for item in made["paths"].values() for operation in item.values() if isinstance(operation, dict))):
        part.pop("security", None)
        if part is not made:
            part.pop("servers", None)
    return made


class Proxy:
    def __init__(self, folder, document, upstream):
        self.port, self.log = free_port(), folder / "prism.log"
        (folder / "openapi.json").write_text(json.dumps(without_security(document)))
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([tools.find("prism"), "proxy", folder / "openapi.json", f"http://127.0.0.1:{upstream}", "--port",
                                             str(self.port), "--errors"], stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=folder)

    def __enter__(self):
        limit = time.monotonic() + START_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return self
            assert self.process.poll() is None and time.monotonic() < limit, self.log.read_text()[-2000:]
            time.sleep(0.1)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)

    def ask(self, method, path, body=None, **headers):
        """Return: the Answer, Prism's own or cad's."""
        if body is not None:
            headers = {"Content-Type": "application/json", **headers}
            body = json.dumps(body)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_S)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            got = connection.getresponse()
            return cadtest.Answer(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read())

    def good(self, status, method, path, body=None, **headers):
        answer = self.ask(method, path, body, **headers).expect(status)
        assert OWN.encode() not in answer.body, answer
        return answer


def document():
    """That of cad; but for one answer, of which more is demanded than cad tells: else what is let through says nothing."""
    made = yaml.safe_load(contract.FILE.read_text())
    answer = made["paths"]["/v1/profiles"]["get"]["responses"]["200"]["content"]["application/json"]
    answer["schema"] = {"allOf": [answer["schema"], {"type": "object", "required": ["never_there"]}]}
    return made


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    tools.find("prism")
    with cadtest.Daemon() as daemon:
        with relay(daemon.socket) as port, Proxy(tmp_path_factory.mktemp("prism"), document(), port) as proxy:
            yield proxy
        daemon.check_log()


def nas():
    return csrs.pem(csr(csrs.EcKey(), names=[dns("nas.lan")]))


def test_a_validating_proxy_lets_everything_through(proxy):
    for path in ("/v1/health", "/v1/ca", "/v1/ca/root.pem", "/v1/ca/bundle.pem", "/v1/crls", "/metrics"):
        proxy.good(200, "GET", path)
    made = proxy.good(201, "POST", "/v1/certificates", {"csr": nas(), "validity": "10d"}).json
    here = f"/v1/certificates/{made['serial']}"
    for path in (here, f"{here}.pem", f"{here}.der", f"{here}.chain.pem", f"{here}/renewal", "/v1/certificates?name=nas.lan&limit=2"):
        proxy.good(200, "GET", path)
    proxy.good(201, "POST", f"{here}/renew", {})
    for reason in ("certificate_hold", "remove_from_crl", "superseded"):
        proxy.good(200, "POST", f"{here}/revoke", {"reason": reason})
    proxy.good(409, "POST", f"{here}/revoke", {"reason": "superseded"})
    proxy.good(200, "POST", "/v1/crls")

    token = proxy.good(201, "POST", "/v1/tokens", {"names": ["camera.lan"], "uses": 2}).json
    proxy.good(200, "GET", "/v1/tokens")
    proxy.good(200, "GET", f"/v1/tokens/{token['id']}")
    proxy.good(403, "POST", "/v1/certificates", {"csr": nas()}, Authorization=f"Bearer {token['token']}")
    proxy.good(200, "DELETE", f"/v1/tokens/{token['id']}")

    first, second = (proxy.good(202, "POST", "/v1/requests", {"csr": nas()}).json for _ in range(2))
    proxy.good(200, "GET", f"/v1/requests/{first['id']}")
    proxy.good(200, "GET", "/v1/requests")
    proxy.good(201, "POST", f"/v1/requests/{first['code']}/approve", {"names": ["nas.lan"]})
    proxy.good(200, "POST", f"/v1/requests/{second['code']}/deny", {"reason": "no"})
    proxy.good(200, "GET", f"/v1/requests/{first['id']}")
    for path in ("/v1/audit", "/v1/audit/anchors"):
        proxy.good(200, "GET", path)
    proxy.good(200, "POST", "/v1/backup")
    proxy.good(404, "GET", "/v1/certificates/00")
    proxy.good(422, "POST", "/v1/certificates", {"csr": csrs.pem(csr(csrs.EcKey(), names=[dns("bank.example.com")]))})


def test_the_proxy_notices_what_is_not_as_the_document_says(proxy):
    answer = proxy.ask("GET", "/v1/profiles").expect(500)
    assert OWN.encode() in answer.body and b"never_there" in answer.body
    assert OWN.encode() in proxy.ask("POST", "/v1/certificates", {"csr": 7}).expect(400, 422).body
