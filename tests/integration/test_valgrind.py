"""Both processes under valgrind: a short life with something of everything, no error, no definite leak."""

import re
import shutil
import signal
import time

import cadtest
import csrs
import pytest

pytestmark = pytest.mark.slow

VALGRIND = ["--quiet", "--trace-children=yes", "--leak-check=full", "--show-leak-kinds=definite",
            "--errors-for-leak-kinds=definite", "--num-callers=30", "--verbose"]
ENDS_S = 30

GOOD = [
    ({"names": [csrs.dns("nas.lan")]}, {}),
    ({"names": [csrs.dns("*.home.lan"), csrs.ip([10, 0, 0, 1]), csrs.ip([0xfd] + [0] * 15)]}, {}),
    ({"names": [csrs.ip([192, 168, 1, 5])]}, {"validity": "1d"}),
    ({"names": [csrs.email("a@home.lan")]}, {"profile": "user"}),
    ({"names": [csrs.dns("nas.lan"), csrs.uri("https://nas.lan/")]}, {"profile": "client"}),
    ({"subject": csrs.cn("nas.lan"), "names": [csrs.dns("nas.lan")]}, {"label": "the box"}),
    ({}, {"names": ["a.lan", "b.lan", "::1"]}),
    ({"names": [csrs.dns(f"n{i}.lan") for i in range(100)]}, {}),
]
BAD = [
    ({"names": [csrs.dns("www.example.com")]}, {}),
    ({"names": [csrs.ip([8, 8, 8, 8])]}, {}),
    ({"names": [csrs.dns("nas.lan"), csrs.dns("a..lan")]}, {}),
    ({"names": [csrs.dns(f"n{i}.lan") for i in range(101)]}, {}),
    ({"names": [csrs.dns("nas.lan")], "extensions": [csrs.basic_constraints(b"\1\1\xff")]}, {}),
    ({"names": [csrs.dns("nas.lan")]}, {"profile": "dragons"}),
    ({"names": [csrs.dns("nas.lan")]}, {"validity": "100y"}),
    ({"names": [csrs.dns("nas.lan")]}, {"names": [""] * 3}),
    ({}, {}),
]
KEYS = [csrs.p256, csrs.rsa, csrs.EdKey]


@pytest.fixture
def ca(tmp_path, monkeypatch):
    cadtest.require_build()
    if not shutil.which("valgrind"):
        pytest.skip("valgrind is not installed")
    if cadtest.sanitized():
        pytest.skip("valgrind and the sanitizers do not go together")
    cadtest.listen_args()               # asked of cad itself, before it is hidden
    wrapper = tmp_path / "cad"
    words = " ".join([*VALGRIND, f"--log-file={tmp_path}/valgrind.%p"])
    wrapper.write_text(f'#!/bin/sh\nexec valgrind {words} "{cadtest.CAD}" "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setattr(cadtest, "CAD", wrapper)
    with cadtest.Daemon() as daemon:
        daemon.reports = tmp_path
        yield daemon


def live(ca):
    """Something of everything that cad can do."""
    serials = []
    for number, (parts, fields) in enumerate(GOOD + GOOD[:6] + GOOD[:6]):
        headers = {"Idempotency-Key": str(number)} if number % 3 == 0 else {}
        body = {"csr": csrs.pem(csrs.csr(KEYS[number % 3](), **parts)), **fields}
        serials.append(ca.post("/v1/certificates", body, **headers).expect(201).json["serial"])
        if headers:
            ca.post("/v1/certificates", body, **headers).expect(200, 201)
    for parts, fields in BAD:
        status = ca.issue(csrs.csr(**parts), **fields).status
        assert 400 <= status < 500, status
    for body in (b"", b"{", b"[" * 100, b'{"csr": "x"}', b'{"csr": 1}', b"\xff" * 300):
        ca.post("/v1/certificates", body).expect(400)
    for accept in ("application/pem-certificate-chain", "application/pkix-cert", "application/pkcs7-mime"):
        ca.request("GET", f"/v1/certificates/{serials[0]}", headers={"Accept": accept}).expect(200)
    for path in ("/v1/ca", "/v1/ca/root.pem", "/v1/ca/bundle.pem", "/v1/profiles", "/v1/health",
                 "/v1/certificates?limit=3", "/v1/certificates?name=nas.lan", "/v1/certificates?name=*.lan&limit=2",
                 "/v1/certificates?status=valid&profile=user", f"/v1/certificates/{serials[1]}.der",
                 f"/v1/certificates/{serials[1]}.chain.pem"):
        ca.get(path).expect(200)
    for path in ("/nothing", "/v1/certificates/00", "/v1/certificates/zz", "/v1/certificates?limit=x"):
        assert ca.get(path).status in (400, 404), path
    for reason in ("superseded", "certificate_hold", "key_compromise"):
        ca.post(f"/v1/certificates/{serials.pop()}/revoke", {"reason": reason}).expect(200)
    ca.post(f"/v1/certificates/{serials[0]}/revoke", {"reason": "dragons"}).expect(400, 422)
    ca.raw(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    ca.raw(b"POST /v1/certificates HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    post = b"POST /v1/certificates HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{"
    for part in (b"", b"GET /v1/ca HT", post):
        with ca.connect() as sock:
            sock.send(part)
    ca.process.send_signal(signal.SIGHUP)
    ca.get("/v1/profiles").expect(200)


def test_no_error_and_no_leak(ca):
    live(ca)
    assert ca.stop() == 0, ca.tail()

    def reports():
        return {path.name: path.read_text() for path in ca.reports.glob("valgrind.*")}
    limit = time.monotonic() + ENDS_S
    while [text for text in reports().values() if "ERROR SUMMARY" not in text] or len(reports()) < 2:
        assert time.monotonic() < limit, f"a process has not ended: {reports()}"
        time.sleep(0.1)
    names = " ".join(re.findall(r"Command: (\S+)", " ".join(reports().values())))
    assert "cad-signer" in names and re.search(r"/cad\b(?!-)", names), names
    for name, text in reports().items():
        assert re.search(r"ERROR SUMMARY: 0 errors", text), f"{name}:\n{text[:8000]}"
