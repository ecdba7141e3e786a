"""The active intermediate and its standby: changed over, prepared, killed at any moment, with requests in flight."""

import json
import os
import random
import signal
import subprocess
import threading
import time

import cadtest
import certs
import csrs
import https
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

CACTL = cadtest.BUILD / "client" / "cactl"


@pytest.fixture
def ca():
    with cadtest.Daemon() as daemon:
        yield daemon


def cactl(ca, *args, status=0):
    done = subprocess.run([CACTL, "--socket", ca.socket, *args], capture_output=True, text=True, timeout=90,
                          env=cadtest.environment())
    assert done.returncode == status, f"{args}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout if status == 0 else done.stderr


def states(ca):
    return {one["id"]: one["state"] for one in ca.get("/v1/ca").expect(200).json["issuers"]}


def activate(ca, name):
    return ca.post(f"/v1/ca/intermediates/{name}/activate", {})


def prepare(ca):
    return ca.post("/v1/ca/intermediates", {})


def verify(ca, answer):
    """The leaf with the chain that came with it, by OpenSSL. Return: the subject of its issuer."""
    chain = certs.of_pem(answer["chain"].encode())
    leaf = x509.load_pem_x509_certificate(answer["certificate"].encode())
    issuer = chain[0] if chain[0] != leaf else chain[1]
    certs.check_issued_by(leaf, issuer)
    certs.check_issued_by(issuer, x509.load_pem_x509_certificate(ca.get("/v1/ca/root.pem").expect(200).body))
    return issuer.subject


def issuer_subject(ca, name):
    data = ca.get("/v1/ca/bundle.pem").expect(200).body
    wanted = next(one["fingerprint"] for one in ca.get("/v1/ca").json["issuers"] if one["id"] == name)
    return next(one.subject for one in certs.of_pem(data)
                if one.fingerprint(hashes.SHA256()).hex() == wanted)


def test_the_standby_takes_over_and_the_next_one_is_prepared(ca):
    old = ca.issue(csrs.csr(names=[csrs.dns("old.lan")])).expect(201).json
    assert verify(ca, old) == issuer_subject(ca, "int-1")
    assert "standby" in cactl(ca, "ca", "rotate", status=1), "there is one already"
    assert "int-2" in cactl(ca, "ca", "activate")
    assert states(ca) == {"int-1": "retired", "int-2": "active"}
    new = ca.issue(csrs.csr(names=[csrs.dns("new.lan")])).expect(201).json
    assert verify(ca, new) == issuer_subject(ca, "int-2")
    assert verify(ca, old) == issuer_subject(ca, "int-1"), "what was issued stays good"
    made = json.loads(cactl(ca, "--json", "ca", "rotate"))
    assert made["id"] == "int-3" and made["state"] == "standby"
    assert states(ca) == {"int-1": "retired", "int-2": "active", "int-3": "standby"}
    bundle = certs.of_pem(ca.get("/v1/ca/bundle.pem").expect(200).body)
    assert len(bundle) == 4 and len({one.public_bytes(Encoding.DER) for one in bundle}) == 4
    shown = cactl(ca, "ca", "show")
    assert all(word in shown for word in ("retired", "active", "standby"))
    # the same after a start: with its CRLs, and old certificates are renewed by the new one
    ca.stop()
    ca.start()
    assert states(ca) == {"int-1": "retired", "int-2": "active", "int-3": "standby"}
    again = ca.post(f"/v1/certificates/{old['serial']}/renew", {}).expect(201).json
    assert verify(ca, again) == issuer_subject(ca, "int-2")
    audit = ca.get("/v1/audit").expect(200).json["audit"]
    assert {(one["action"], one.get("object")) for one in audit if one["outcome"] == "ok"} >= {
        ("ca.activate", "int-2"), ("ca.prepare", "int-3")}
    cactl(ca, "audit", "verify")
    log = "\n".join(ca.signer_log())
    assert "activate id=int-2 retires=int-1" in log and "issuer=root id=int-3" in log


def test_every_intermediate_has_its_crl_and_the_retired_one_goes_on(ca):
    old = ca.issue(csrs.csr(names=[csrs.dns("old.lan")])).expect(201).json
    activate(ca, "int-2").expect(200)
    prepare(ca).expect(201)
    ca.post(f"/v1/certificates/{old['serial']}/revoke", {"reason": "superseded"}).expect(200)
    ca.post("/v1/crls", {}).expect(200)
    crls = {one["issuer"]: one for one in ca.get("/v1/crls").expect(200).json["crls"]}
    assert set(crls) == {"root", "int-1", "int-2", "int-3"}
    assert all(one["status"] == "current" for one in crls.values()), crls
    crl = x509.load_der_x509_crl(ca.get("/crl/int-1.crl").expect(200).body)
    assert [entry.serial_number for entry in crl] == [int(old["serial"], 16)]
    assert list(x509.load_der_x509_crl(ca.get("/crl/int-3.crl").expect(200).body)) == []
    assert x509.load_der_x509_certificate(ca.get("/ca/int-3.crt").expect(200).body)


def test_what_cannot_be_is_refused_with_the_way_out(ca):
    assert prepare(ca).expect(409).json["type"].endswith("state-conflict")
    for name in ("int-9", "root", "x" * 15, "x" * 16, "x" * 200):
        activate(ca, name).expect(404)
    ca.post("/v1/ca/intermediates/int-2/activate", {"now": True}).expect(400)
    assert states(ca) == {"int-1": "active", "int-2": "standby"}
    activate(ca, "int-1").expect(200)
    assert states(ca) == {"int-1": "active", "int-2": "standby"}, "it was active already"
    activate(ca, "int-2").expect(200)
    assert "rotate" in activate(ca, "int-1").expect(409).json["detail"]
    (ca.state / "signer" / "ca" / "root.key").rename(ca.base / "root.key")
    assert "root.key" in prepare(ca).expect(409).json["detail"]
    assert "there is no standby" in cactl(ca, "ca", "activate", status=1)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_only_an_admin_changes_the_ca(ca):
    os.chmod(ca.state, 0o755)
    os.chmod(ca.socket, 0o666)
    for path in ("/v1/ca/intermediates", "/v1/ca/intermediates/int-2/activate"):
        answer = ca.as_user(12345, 12345, [], "POST", path, b"{}", {"Content-Type": "application/json"})
        assert answer.status == 403, answer
    assert states(ca) == {"int-1": "active", "int-2": "standby"}


def test_client_certificates_of_both_are_known_over_https():
    with cadtest.Daemon(tcp=True) as ca:
        old = https.identity(ca, "client", "old.lan")
        activate(ca, "int-2").expect(200)
        new = https.identity(ca, "client", "new.lan")
        for who in (old, new):
            answer = https.request(ca, "POST", f"/v1/certificates/{who.serial}/renew", b"{}",
                                   {"Content-Type": "application/json"}, who=who)
            assert answer.status == 201, answer


def test_requests_in_flight_verify_with_the_chain_handed_out_with_them(ca):
    answers, stop, lock = [], threading.Event(), threading.Lock()

    def issue(number):
        request, n = csrs.csr(names=[csrs.dns(f"w{number}.lan")]), 0
        while not stop.is_set():
            answer = ca.issue(request)
            n += 1
            with lock:
                answers.append(answer)

    threads = [threading.Thread(target=issue, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    try:
        for name in ("int-2", "int-3", "int-4"):
            time.sleep(0.3)
            activate(ca, name).expect(200)
            prepare(ca).expect(201)
    finally:
        time.sleep(0.3)
        stop.set()
        for thread in threads:
            thread.join(30)
    refused = [answer for answer in answers if answer.status != 201]
    assert not refused, refused[0]
    root = x509.load_pem_x509_certificate(ca.get("/v1/ca/root.pem").body)
    issuers = set()
    for answer in answers:
        chain = certs.of_pem(answer.json["chain"].encode())
        leaf = x509.load_pem_x509_certificate(answer.json["certificate"].encode())
        issuer = next(one for one in chain if one != leaf)
        certs.check_issued_by(leaf, issuer)
        certs.check_issued_by(issuer, root)
        issuers.add(leaf.issuer)
    assert len(issuers) >= 3, "nothing was issued between the changes"


def test_killed_at_any_moment_it_is_the_old_one_or_the_new_one(ca):
    """The signer alone, and both of them; what was answered with 200 stays."""
    random.seed(4)
    for round_ in range(12):
        before = states(ca)
        standby = next((name for name, state in before.items() if state == "standby"), None)
        if not standby and len(before) == 8:
            break
        result = []

        def change():
            try:
                result.append((activate(ca, standby) if standby else prepare(ca)).status)
            except OSError:
                result.append(0)

        thread = threading.Thread(target=change)
        signer = ca.signer_pid
        thread.start()
        time.sleep(random.random() * (0.02 if standby else 0.03))
        if round_ % 2:
            os.kill(signer, signal.SIGKILL)
        else:
            ca.kill()
        thread.join(90)
        if round_ % 2 == 0:
            ca.start()
        ca.wait_until(lambda: ca.issue(csrs.csr(names=[csrs.dns("a.lan")])).status == 201, 20, "it does not issue again")
        after = states(ca)
        assert list(after.values()).count("active") == 1, after
        assert list(after.values()).count("standby") <= 1, after
        if standby:
            assert after[standby] in ("active", "standby") and set(after) == set(before)
            if result[0] == 200:
                assert after[standby] == "active"
        else:
            assert len(after) - len(before) in (0, 1)
            if result[0] == 201:
                assert len(after) == len(before) + 1
        verify(ca, ca.issue(csrs.csr(names=[csrs.dns("b.lan")])).expect(201).json)
