"""Requests: a CSR that anybody hands in and that waits for an operator. Their whole life, who may do what with them, floods, races, crashes."""

import concurrent.futures
import contextlib
import hashlib
import itertools
import json
import os
import pathlib
import pty
import random
import re
import select
import signal
import sqlite3
import subprocess
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs7

import bad_csrs
import cadtest
import csrs
import https
from csrs import csr, dns, email

CACTL = cadtest.BUILD / "client" / "cactl"
JSON = {"Content-Type": "application/json"}
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
DAY_S = 86400
addresses = (f"127.{a}.{b}.{c}" for a in range(1, 250) for b in range(250) for c in range(1, 250))


@contextlib.contextmanager
def daemon(enrolment="", tcp=True):
    ca = cadtest.Daemon(tcp=tcp)
    ca.conf = ca.base / "etc" / "cad.conf"
    ca.conf.parent.mkdir()
    configure(ca, enrolment)
    ca.args += ["--config", ca.conf]
    try:
        ca.start()
        yield ca
        if ca.process.poll() is None:
            assert ca.stop() == 0, ca.tail()
        ca.check_log()
    finally:
        ca.close()


def configure(ca, enrolment):
    ca.conf.write_text(f"[Access]\nOperator=uid:4002\nReader=uid:4003\n[Enrolment]\n{enrolment}\n")


@pytest.fixture(scope="module")
def ca():
    with daemon("PerSource=1000") as ca:
        yield ca


def nas(*names, key=None):
    """A CSR, with a key of its own."""
    return csr(key or csrs.EcKey(), names=[dns(name) for name in names or ("nas.lan",)])


def wish(request, **fields):
    return {"csr": csrs.pem(request), **fields}


def hand_in(ca, request=None, source=None, **fields):
    """An Answer; from an address of this machine that nobody else has, so that no limit is met by accident."""
    return https.request(ca, "POST", "/v1/requests", json.dumps(wish(request or nas(), **fields)), JSON, source=source or next(addresses))


def waiting(ca, request=None, **fields):
    """A request that waits, as the device sees it."""
    return hand_in(ca, request, **fields).expect(202).json


def poll(ca, request, **headers):
    return https.request(ca, "GET", f"/v1/requests/{request['id']}", headers=headers)


def decide(ca, request, how, headers=None, **body):
    return ca.post(f"/v1/requests/{request['code']}/{how}", body, **(headers or {}))


def listed(ca, query=""):
    rows, cursor = [], ""
    while True:
        page = ca.get(f"/v1/requests?limit=7{query}{cursor}").expect(200).json
        rows += page["requests"]
        if not page["next"]:
            return rows
        cursor = f"&cursor={page['next']}"


def problem(answer, status, slug, field=None):
    found = answer.expect(status).json
    assert answer.type == "application/problem+json" and found["type"] == "urn:cad:problem:" + slug, found
    if field is not None:
        assert found.get("field", "") == field, found
    return found


def code_of(id, key):
    bits = int.from_bytes(hashlib.sha256(bytes.fromhex(id) + key.spki).digest()[:5], "big")
    return "".join(ALPHABET[bits >> shift & 31] for shift in range(35, -1, -5))


def signatures(ca):
    return [line for line in ca.signer_log() if re.search(r"(?<![0-9a-f])[0-9a-f]{36,40}(?![0-9a-f])", line)]


def verify(ca, certificate, chain):
    folder = ca.base / "pems"
    folder.mkdir(exist_ok=True)
    (folder / "leaf").write_text(certificate)
    (folder / "chain").write_text(chain)
    (folder / "root").write_bytes(ca.get("/v1/ca/root.pem").expect(200).body)
    cadtest.openssl("verify", "-x509_strict", "-CAfile", folder / "root", "-untrusted", folder / "chain", folder / "leaf")


# -- The whole life ---------------------------------------------------------------------------------------------------


def test_a_device_hands_in_waits_and_gets_its_certificate(ca):
    key = csrs.EcKey()
    answer = hand_in(ca, nas("nas.lan", "www.nas.lan", key=key), source="127.3.2.1").expect(202)
    mine = answer.json
    assert answer.headers["location"] == f"/v1/requests/{mine['id']}" and int(answer.headers["retry-after"]) == mine["interval"] == 5
    assert re.fullmatch("[0-9a-f]{32}", mine["id"]) and mine["code"] == code_of(mine["id"], key)
    assert mine["status"] == "waiting" and mine["names"] == ["nas.lan", "www.nas.lan"] and mine["profile"] == "server"
    assert mine["spki"] == hashlib.sha256(key.spki).hexdigest() and mine["key"] == "ECDSA P-256"
    assert poll(ca, mine).expect(200).json == mine
    others = [hand_in(ca, nas(), source="127.3.2.1").expect(202).json["id"] for _ in range(2)]
    assert all(len({id[at:at + 8] for id in (mine["id"], *others)}) == 3 for at in (0, 8, 16, 24))        # random, all of it

    seen, = [row for row in listed(ca, "&status=waiting") if row["code"] == mine["code"]]
    assert seen["source"] == "127.3.2.1" and "id" not in seen
    issued = decide(ca, mine, "approve").expect(201)
    assert issued.headers["location"] == f"/v1/certificates/{issued.json['serial']}"

    done = poll(ca, mine).expect(200).json
    assert done["status"] == "approved" and done["serial"] == issued.json["serial"]
    assert done["certificate"] == issued.json["certificate"] and done["chain"] == issued.json["chain"]
    verify(ca, done["certificate"], done["chain"])
    row, = [row for row in ca.get("/v1/certificates?limit=10").json["certificates"] if row["serial"] == done["serial"]]
    assert row["requester"] == f"uid:{os.getuid()} for request {mine['code']}"
    assert [row["code"] for row in listed(ca, "&status=approved")].count(mine["code"]) == 1


def test_a_certificate_comes_in_the_form_that_is_asked_for_and_its_absence_by_the_status(ca):
    mine, chain = waiting(ca), {"Accept": "application/pem-certificate-chain"}
    answer = poll(ca, mine, **chain).expect(202)
    assert answer.json["status"] == "waiting" and answer.headers["retry-after"]
    serial = int(decide(ca, mine, "approve").expect(201).json["serial"], 16)
    pems = poll(ca, mine, **chain).expect(200)
    assert pems.type == chain["Accept"] and pems.body.count(b"BEGIN CERTIFICATE") == 2
    assert x509.load_pem_x509_certificate(pems.body).serial_number == serial
    der = poll(ca, mine, Accept="application/pkix-cert").expect(200)
    assert x509.load_der_x509_certificate(der.body).serial_number == serial
    p7 = poll(ca, mine, Accept="application/pkcs7-mime").expect(200)
    assert serial in [cert.serial_number for cert in pkcs7.load_der_pkcs7_certificates(p7.body)]
    poll(ca, mine, Accept="image/png").expect(406)

    other = waiting(ca)
    decide(ca, other, "deny", reason="who are you?").expect(200)
    assert "who are you?" in problem(poll(ca, other, **chain), 409, "state-conflict")["detail"]


def test_a_denial_says_why_and_is_final(ca):
    mine = waiting(ca)
    told = decide(ca, mine, "deny", reason="Ünbekannt").expect(200).json
    assert told["status"] == "denied" and told["decided_by"] == f"uid:{os.getuid()}" and "id" not in told
    found = poll(ca, mine).expect(200).json
    assert found["status"] == "denied" and found["reason"] == "Ünbekannt" and "interval" not in found and "decided_by" not in found
    for how in ("approve", "deny"):
        assert "was denied" in problem(decide(ca, mine, how), 409, "state-conflict")["detail"]
    problem(decide(ca, waiting(ca), "deny", reason="x" * 201), 400, "body-malformed", "reason")


def test_what_nobody_decides_on_expires_and_is_forgotten_a_month_later():
    with daemon("Expires=1h") as ca:
        mine, other = waiting(ca), waiting(ca)
        decide(ca, other, "deny").expect(200)
        ca.stop()
        with sqlite3.connect(ca.state / "cad.db") as db:
            db.execute("UPDATE requests SET expires_at = expires_at - 3601, handed_in_at = handed_in_at - 3601, remove_at = remove_at - 3601")
        ca.start()
        found = poll(ca, mine).expect(200).json
        assert found["status"] == "expired" and "interval" not in found
        for how in ("approve", "deny"):
            assert "expired" in problem(decide(ca, mine, how), 409, "state-conflict")["detail"]
        assert [row["code"] for row in listed(ca, "&status=expired")] == [mine["code"]] and listed(ca, "&status=waiting") == []
        again = waiting(ca)     # it counts no more
        with contextlib.closing(sqlite3.connect(f"file:{ca.state}/cad.db?mode=ro", uri=True)) as db:
            open_ones = lambda: db.execute("SELECT count(*) FROM requests WHERE csr IS NOT NULL").fetchone()[0]
            ca.wait_until(lambda: open_ones() == 1, 10, "the CSR of what has expired is kept")

        ca.stop()
        with sqlite3.connect(ca.state / "cad.db") as db:
            db.execute("UPDATE requests SET remove_at = remove_at - ?", (30 * DAY_S + 3600,))
            db.execute("UPDATE requests SET remove_at = ? WHERE code = ?", (1 << 40, again["code"]))
        ca.start()
        ca.wait_until(lambda: len(listed(ca)) == 1, 10, "what is old is still there")
        problem(poll(ca, mine), 404, "not-found")
        problem(poll(ca, other), 404, "not-found")
        poll(ca, again).expect(200)


def test_a_restart_keeps_what_waits():
    with daemon() as ca:
        mine = waiting(ca)
        assert ca.stop() == 0
        ca.start()
        assert poll(ca, mine).expect(200).json == mine
        decide(ca, mine, "approve").expect(201)
        ca.kill()
        ca.start()
        assert poll(ca, mine).expect(200).json["status"] == "approved"


# -- Handing in -------------------------------------------------------------------------------------------------------


def test_the_same_again_is_the_same_request_and_the_same_from_elsewhere_is_another(ca):
    key, here = csrs.EcKey(), next(addresses)
    first = waiting(ca, nas(key=key), source=here)
    assert waiting(ca, nas(key=key), source=here) == first      # signed anew: ECDSA has another signature each time
    raw = https.request(ca, "POST", "/v1/requests", nas(key=key), {"Content-Type": "application/pkcs10"}, source=here)
    assert raw.expect(202).json == first
    others = [waiting(ca, nas(key=key), source=next(addresses)), waiting(ca, nas(key=key), source=here, validity="10d"),
              waiting(ca, nas("www.lan", key=key), source=here), waiting(ca, nas(), source=here)]
    assert len({each["id"] for each in [first, *others]}) == len({each["code"] for each in [first, *others]}) == 5
    decide(ca, first, "deny").expect(200)
    assert waiting(ca, nas(key=key), source=here)["id"] != first["id"]


@pytest.mark.slow
def test_what_issuing_refuses_is_refused_at_once_in_the_same_words(ca):
    """One path (threats.md R-5): each row of bad_csrs.py, handed in and issued."""
    seen = 0
    for row in bad_csrs.ROWS:
        if row.missing or row.id == "09-debian":        # there is no list of weak keys here
            continue
        request = row.make(ca)
        if b"not_before" in request.body:
            continue
        answer = ca.request("POST", "/v1/requests", request.body, {"Content-Type": request.type})
        if isinstance(row.expect, bad_csrs.Accepted):
            assert answer.status == 202 or len(request.csr) > 16384 and answer.status == 413, (row.id, answer)
            if answer.status == 202:
                assert sorted(answer.json["names"]) == sorted(row.expect.names), row.id
            continue
        issued = ca.request("POST", "/v1/certificates", request.body, {"Content-Type": request.type})
        theirs, ours = issued.json, answer.json
        for each in (theirs, ours):
            del each["request_id"]
        assert (answer.status, ours) == (issued.status, theirs), row.id
        seen += 1
    assert seen > 100


@pytest.mark.parametrize("fields, status, slug, field", [
    ({"profile": "admin"}, 403, "forbidden", "profile"), ({"profile": "nope"}, 422, "profile-unknown", None),
    ({"validity": "100y"}, 422, "validity-out-of-range", "validity"), ({"not_before": "2030-01-01T00:00:00Z"}, 400, "body-malformed", "not_before"),
    ({"names": ["google.com"]}, 422, "name-not-permitted", "names[0]"), ({"label": "x" * 201}, 400, "body-malformed", "label"),
    ({"serial": "1"}, 400, "body-malformed", "serial")],
    ids=["admin", "unknown profile", "validity", "not before", "public name", "label", "unknown member"])
def test_a_wish_that_cannot_be_granted_is_refused(ca, fields, status, slug, field):
    before = (listed(ca), signatures(ca))
    problem(ca.post("/v1/requests", wish(nas(), **fields)), status, slug, field)
    assert (listed(ca), signatures(ca)) == before


def test_a_large_key_costs_a_stranger_little_of_our_time(ca):
    if cadtest.sanitized():
        pytest.skip("a sanitizer takes its time")
    request, spent = csr(csrs.rsa(8192), names=[dns("nas.lan")]), []
    for _ in range(3):
        body, before = json.dumps(wish(request)), ca.cpu_ns()
        answer = ca.request("POST", "/v1/requests", body.encode(), JSON)
        spent.append((ca.cpu_ns() - before) / 1e6)
        assert "4096 at most" in problem(answer, 422, "key-unsupported", "csr.key")["detail"]
    assert min(spent) < 15, f"{spent} ms"


def test_who_is_not_known_may_be_turned_away():
    with daemon("Anonymous=no") as ca:
        assert "Anonymous=no" in problem(hand_in(ca), 401, "unauthenticated")["detail"]
        assert listed(ca) == []
        ca.post("/v1/requests", wish(nas())).expect(202)            # the kernel says who this is
        me = https.identity(ca, "device", "sensor.lan")
        https.request(ca, "POST", "/v1/requests", json.dumps(wish(nas())), JSON, who=me).expect(202)
        token = {"Authorization": "Bearer " + ca.post("/v1/tokens", {"names": ["sensor.lan"]}).expect(201).json["token"]}
        ca.post("/v1/requests", wish(nas()), **token).expect(202)
        ca.post("/v1/certificates", wish(csr(csrs.EcKey(), names=[dns("sensor.lan")])), **token).expect(201)
        assert "used up" in ca.post("/v1/requests", wish(nas()), **token).expect(401, 403).json["detail"]
        configure(ca, "Anonymous=request")
        ca.process.send_signal(signal.SIGHUP)
        ca.wait_until(lambda: hand_in(ca).status == 202, 10, "the configuration was not read anew")


@pytest.mark.parametrize("line, says", [
    ("Anonymous=yes", "request"), ("QueueMax=0", "1 to 10000"), ("QueueMax=10001", "1 to 10000"), ("PerSource=x", "whole number"),
    ("Expires=59s", "1m"), ("Expires=2y", "1y"), ("Expires=soon", "soon"), ("Nope=1", "Nope")])
def test_a_setting_that_makes_no_sense_is_refused_with_its_line(line, says, tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "cad.conf").write_text(f"[Enrolment]\n{line}\n")
    done = cadtest.run(["check-config", "--config", tmp_path / "cad.conf", "--state-dir", tmp_path / "state"], cwd=tmp_path)
    assert done.returncode == 1 and "cad.conf:2" in done.stderr and says in done.stderr, done


# -- Who may ----------------------------------------------------------------------------------------------------------


def test_the_id_is_the_devices_right_and_the_code_is_none(ca):
    mine = waiting(ca)
    anonymous = lambda path: https.request(ca, "GET", path)
    anonymous(f"/v1/requests/{mine['id']}").expect(200)
    problem(anonymous(f"/v1/requests/{mine['code']}"), 401, "unauthenticated")
    problem(anonymous("/v1/requests/" + mine["code"].rjust(32, "-")), 401, "unauthenticated")    # as long as an id
    problem(anonymous("/v1/requests/AAAAAAAA"), 401, "unauthenticated")      # nor does it tell which there are
    problem(anonymous("/v1/requests"), 401, "unauthenticated")
    problem(anonymous("/v1/requests/" + "0" * 32), 404, "not-found")
    problem(ca.get("/v1/requests/a%20b"), 400, "request-malformed")
    for odd in ("nas.lan", "1" * 31, "1" * 33, "AAAAAAAU"):
        problem(ca.get("/v1/requests/" + odd), 404, "not-found")
    for how in ("approve", "deny"):
        answer = https.request(ca, "POST", f"/v1/requests/{mine['id']}/{how}", "{}", JSON)
        problem(answer, 401, "unauthenticated")
    code = mine["code"].lower()
    assert ca.get(f"/v1/requests/{code[:4]}-{code[4:]}").expect(200).json["code"] == mine["code"]
    assert mine["id"] not in json.dumps(listed(ca)) and mine["id"] not in ca.log_text()
    assert poll(ca, mine).expect(200).json["status"] == "waiting"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_readers_look_operators_decide_and_others_hand_in(ca):
    def by(uid, method, path, body=None):
        return ca.as_user(uid, uid, [], method, path, body and json.dumps(body).encode(), JSON if body else None)

    ca.socket.chmod(0o666)
    ca.state.chmod(0o711)
    mine = by(4004, "POST", "/v1/requests", wish(nas())).expect(202).json
    assert ca.get(f"/v1/requests/{mine['code']}").json["source"] == "uid:4004"
    by(4004, "GET", "/v1/requests").expect(403)
    by(4004, "GET", f"/v1/requests/{mine['code']}").expect(403)
    by(4004, "GET", f"/v1/requests/{mine['id']}").expect(200)
    by(4003, "GET", "/v1/requests").expect(200)
    by(4003, "GET", f"/v1/requests/{mine['code']}").expect(200)
    for uid in (4003, 4004):
        by(uid, "POST", f"/v1/requests/{mine['id']}/approve", {}).expect(403)
        by(uid, "POST", f"/v1/requests/{mine['code']}/deny", {}).expect(403)
    by(4002, "POST", f"/v1/requests/{mine['code']}/approve", {"validity": "3d"}).expect(201)


# -- Approving --------------------------------------------------------------------------------------------------------


def test_whoever_approves_may_give_less_and_choose_the_profile(ca):
    mine = waiting(ca, nas("nas.lan", "www.nas.lan", "old.lan"), validity="30d", label="from the device")
    issued = decide(ca, mine, "approve", names=["WWW.nas.lan", "nas.lan"], validity="10d", profile="client", label="kitchen").expect(201).json
    assert sorted(issued["names"]) == ["nas.lan", "www.nas.lan"] and issued["profile"] == "client" and issued["label"] == "kitchen"
    leaf = x509.load_pem_x509_certificate(issued["certificate"].encode())
    assert (leaf.not_valid_after - leaf.not_valid_before).total_seconds() + 1 == 10 * DAY_S
    assert poll(ca, mine).json["serial"] == issued["serial"]

    plain = decide(ca, waiting(ca, nas("a.lan"), validity="30d", label="lamp"), "approve").expect(201).json
    leaf = x509.load_pem_x509_certificate(plain["certificate"].encode())
    assert plain["label"] == "lamp"
    assert (leaf.not_valid_after - leaf.not_valid_before).total_seconds() + 1 == 30 * DAY_S


@pytest.mark.parametrize("fields, status, slug, field", [
    ({"names": ["nas.lan", "evil.lan"]}, 422, "name-not-allowed", "names[1]"), ({"names": ["*.nas.lan"]}, 422, "name-not-allowed", "names[0]"),
    ({"names": ["not a name"]}, 422, "name-invalid", "names[0]"), ({"names": []}, 422, "names-missing", "names"),
    ({"validity": "31d"}, 422, "validity-out-of-range", "validity"), ({"validity": "0"}, 422, "validity-out-of-range", "validity"),
    ({"profile": "admin"}, 403, "forbidden", "profile"), ({"profile": "https"}, 403, "forbidden", "profile"),
    ({"profile": "user"}, 422, "name-not-allowed", None), ({"csr": "x"}, 400, "body-malformed", "csr")],
    ids=["other name", "wildcard", "no name", "none", "longer", "0", "admin", "internal", "profile without DNS names", "another CSR"])
def test_more_than_was_asked_for_is_not_given_and_the_request_waits_on(ca, fields, status, slug, field):
    mine, before = waiting(ca, validity="30d"), signatures(ca)
    problem(decide(ca, mine, "approve", **fields), status, slug, field)
    assert signatures(ca) == before and poll(ca, mine).json["status"] == "waiting"
    decide(ca, mine, "approve").expect(201)


def test_the_same_idempotency_key_gets_the_same_answer(ca):
    mine, key = waiting(ca), {"Idempotency-Key": "approve-once"}
    first = decide(ca, mine, "approve", key).expect(201).json
    assert decide(ca, mine, "approve", key).expect(201).json["serial"] == first["serial"]
    problem(decide(ca, mine, "approve", key, validity="1d"), 422, "idempotency-mismatch")
    problem(decide(ca, mine, "approve", {"Idempotency-Key": "another"}), 409, "state-conflict")


def test_a_name_that_the_ca_may_no_longer_issue_for_is_refused_at_approval_too():
    """The rules are those of the day of the decision: a profile that changed meanwhile counts."""
    with daemon() as ca:
        (ca.conf.parent / "profiles.d").mkdir()
        mine = waiting(ca, csr(csrs.rsa(2048), names=[dns("nas.lan")]))
        (ca.conf.parent / "profiles.d" / "server.conf").write_text("[Profile]\nKeyTypes=ecdsa-p256\n")
        ca.process.send_signal(signal.SIGHUP)
        ca.wait_until(lambda: ca.post("/v1/requests", wish(csr(csrs.rsa(2048), names=[dns("a.lan")]))).status == 422, 10, "not read anew")
        problem(decide(ca, mine, "approve"), 422, "key-unsupported", "csr.key")
        assert poll(ca, mine).json["status"] == "waiting"


def test_of_many_who_decide_at_once_one_does(ca):
    for _ in range(5):
        mine, before = waiting(ca), len(signatures(ca))
        start = threading.Barrier(8)

        def one(n):
            start.wait()
            return decide(ca, mine, "deny" if n == 0 else "approve")

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(one, range(8)))
        won = [answer for answer in answers if answer.status in (200, 201)]
        assert len(won) == 1 and all(answer.status == 409 for answer in answers if answer not in won), answers
        found = poll(ca, mine).json
        assert found["status"] == ("approved" if won[0].status == 201 else "denied")
        assert len(signatures(ca)) - before == (1 if won[0].status == 201 else 0), "signed and given to nobody"


def test_while_one_waits_for_the_signer_others_are_told_so_at_once(ca):
    mine, answers = waiting(ca), []
    with ca.signer_stopped():
        first = threading.Thread(target=lambda: answers.append(decide(ca, mine, "approve")))
        first.start()
        time.sleep(0.3)
        for how in ("approve", "deny"):
            started = time.monotonic()
            assert "somebody else" in problem(decide(ca, mine, how), 409, "state-conflict")["detail"]
            assert time.monotonic() - started < 1
        assert poll(ca, mine).json["status"] == "waiting"
    first.join(30)
    answers[0].expect(201)
    assert poll(ca, mine).json["status"] == "approved"


def test_a_signer_that_fails_leaves_the_request_waiting(ca):
    mine = waiting(ca)
    with ca.signer_stopped() as signer:
        first = concurrent.futures.ThreadPoolExecutor(1).submit(decide, ca, mine, "approve")
        time.sleep(0.2)
        os.kill(signer, signal.SIGKILL)
        first.result(30).expect(503)
    assert poll(ca, mine).json["status"] == "waiting"
    ca.wait_until(lambda: decide(ca, mine, "approve").status == 201, 20, "not approved with a new signer")


def consistent(ca, requests):
    """Approved if and only if there is its certificate, and then just one."""
    by_request = {}
    page = {"next": ""}
    while page["next"] is not None:
        page = ca.get("/v1/certificates?limit=500" + (f"&cursor={page['next']}" if page["next"] else "")).expect(200).json
        for row in page["certificates"]:
            if " for request " in row["requester"]:
                by_request.setdefault(row["requester"].rpartition(" ")[2], []).append(row["serial"])
    for request in requests:
        found = poll(ca, request).expect(200).json
        assert by_request.get(request["code"], []) == ([found["serial"]] if found["status"] == "approved" else []), found
    return {poll(ca, request).json["code"]: poll(ca, request).json["status"] for request in requests}


@pytest.mark.slow
def test_kill_9_while_approving_leaves_both_or_neither():
    with daemon("PerSource=1000\nQueueMax=1000") as ca:
        rng, requests, acked = random.Random(7), [], set()
        for _ in range(8):
            fresh = [waiting(ca) for _ in range(12)]
            requests += fresh
            todo = iter(fresh)
            lock = threading.Lock()

            def approve_some():
                while True:
                    with lock:
                        mine = next(todo, None)
                    if mine is None:
                        return
                    with contextlib.suppress(OSError, AssertionError, ValueError):
                        if decide(ca, mine, "approve").status == 201:
                            acked.add(mine["code"])

            ca.check_alive, alive = lambda: None, ca.check_alive
            threads = [threading.Thread(target=approve_some) for _ in range(3)]
            for thread in threads:
                thread.start()
            time.sleep(rng.uniform(0.002, 0.05))
            ca.kill()
            for thread in threads:
                thread.join(30)
            ca.check_alive = alive
            ca.start()
            statuses = consistent(ca, requests)
            assert all(statuses[code] == "approved" for code in acked), "an approval that was answered is lost"
        for mine in requests:
            if statuses[mine["code"]] == "waiting":
                decide(ca, mine, "approve").expect(201)
        consistent(ca, requests)


# -- Floods -----------------------------------------------------------------------------------------------------------


def test_one_source_has_a_few_and_is_told_when_to_come_back():
    with daemon("PerSource=3") as ca:
        here = next(addresses)
        for _ in range(3):
            waiting(ca, source=here)
        answer = hand_in(ca, source=here)
        assert here in problem(answer, 429, "too-many-requests")["detail"] and int(answer.headers["retry-after"]) > 0
        waiting(ca)
        for _ in range(6):
            hand_in(ca, source=here).expect(429)
        # ten a minute: from now on nothing of it is even looked at …
        assert "minute" in problem(hand_in(ca, b"no CSR at all", source=here), 429, "too-many-requests")["detail"]
        waiting(ca)         # … and others are not kept waiting
        ca.post("/v1/requests", wish(nas())).expect(202)
        assert len([row for row in listed(ca) if row["source"] == here]) == 3


def test_a_flood_from_one_address_does_not_touch_what_others_have_in_a_full_queue():
    with daemon("PerSource=20\nQueueMax=20") as ca:
        flooder, honest = next(addresses), [waiting(ca) for _ in range(5)]
        flood = [hand_in(ca, source=flooder) for _ in range(10)]
        more = [ca.post("/v1/requests", wish(nas())).expect(202).json for _ in range(5)]        # the admin's own: full
        assert len(listed(ca, "&status=waiting")) == 20
        late = [waiting(ca) for _ in range(4)]
        alive = {row["code"] for row in listed(ca, "&status=waiting")}
        assert {mine["code"] for mine in honest + late + more} <= alive and len(alive) == 20
        assert [answer.json["code"] in alive for answer in flood] == [True] * 6 + [False] * 4, "the newest of it gives way"
        problem(poll(ca, flood[-1].json), 404, "not-found")
        assert "gave way" in ca.log_text()


def test_a_flood_from_many_addresses_leaves_each_its_share():
    with daemon("PerSource=10\nQueueMax=40") as ca:
        honest = [waiting(ca) for _ in range(3)]
        flooders = [next(addresses) for _ in range(12)]
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda n: hand_in(ca, source=flooders[n % 12]), range(120)))
        assert {answer.status for answer in answers} <= {202, 429, 503}
        rows = listed(ca, "&status=waiting")
        held = [sum(row["source"] == each for row in rows) for each in flooders]
        assert len(rows) == 40 and max(held) - min(held) <= 1, held
        late = [waiting(ca) for _ in range(10)]
        alive = {row["code"] for row in listed(ca, "&status=waiting")}
        assert {mine["code"] for mine in honest + late} <= alive and len(alive) == 40
        ca.get("/v1/health").expect(200)


def test_where_every_source_has_one_nobody_gives_way():
    with daemon("QueueMax=10") as ca:
        all_of_them = [waiting(ca) for _ in range(10)]
        answer = hand_in(ca)
        problem(answer, 503, "overloaded")
        assert int(answer.headers["retry-after"]) > 0
        assert {row["code"] for row in listed(ca)} == {mine["code"] for mine in all_of_them}
        decide(ca, all_of_them[3], "deny").expect(200)
        waiting(ca)


@pytest.mark.slow
def test_a_full_queue_costs_whoever_hands_in_little():
    with daemon("QueueMax=1000\nPerSource=1000") as ca:
        def took():
            started = time.monotonic()
            ca.post("/v1/requests", wish(nas())).expect(202)
            return time.monotonic() - started

        few = sorted(took() for _ in range(50))[25]
        for _ in range(900):
            ca.post("/v1/requests", wish(nas())).expect(202)
        many = sorted(took() for _ in range(49))[25]
        assert many < few + 0.005, f"{few * 1000:.1f} ms with few, {many * 1000:.1f} ms with 1000"


# -- Lists and records ------------------------------------------------------------------------------------------------


def test_lists_are_paged_and_take_no_nonsense(ca):
    codes = [waiting(ca)["code"] for _ in range(9)]
    assert [row["code"] for row in listed(ca, "&status=waiting")][:9] == codes[::-1]
    for query, field in (("status=odd", "status"), ("limit=0", "limit"), ("limit=1001", "limit"), ("cursor=x", "cursor"), ("odd=1", "odd")):
        problem(ca.get("/v1/requests?" + query), 400, "query-invalid", field)


def test_decisions_are_in_the_audit_and_ids_are_not(ca):
    mine, other = waiting(ca), waiting(ca)
    serial = decide(ca, mine, "approve").expect(201).json["serial"]
    decide(ca, other, "deny", reason="no").expect(200)
    problem(ca.post(f"/v1/requests/{other['id']}/deny", {}), 409, "state-conflict")
    found = []

    def rows():
        page = ca.get("/v1/audit?limit=50").expect(200).json
        found[:] = [row for each in page.values() if isinstance(each, list) for row in each]
        return sum(row["action"].startswith("request.") for row in found) >= 3

    ca.wait_until(rows, 10, "not in the audit")
    by = {(row["action"], row["object"]): row for row in found}
    assert serial in by["request.approve", mine["code"]]["detail"] and by["certificate.issue", serial]["outcome"] == "ok"
    assert by["request.deny", other["code"]]["detail"] == "no"
    assert mine["id"] not in json.dumps(found) and other["id"] not in json.dumps(found)


# -- cactl ------------------------------------------------------------------------------------------------------------


def cactl(ca, *args, code=0, **more):
    done = subprocess.run([CACTL, "--socket", ca.socket, *map(str, args)], capture_output=True, text=True, timeout=60,
                          env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **cadtest.SANITIZERS}, **more)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


@pytest.fixture
def csr_file(tmp_path):
    path = tmp_path / "nas.csr"
    path.write_text(csrs.pem(nas("nas.lan", "www.nas.lan")))
    return path


def test_cactl_submits_lists_shows_approves_and_denies(ca, csr_file):
    told = cactl(ca, "request", "submit", csr_file, "--json")
    mine = json.loads(told.stdout)
    shown = f"{mine['code'][:4]}-{mine['code'][4:]}"
    text = cactl(ca, "request", "submit", csr_file)
    assert shown in text.stdout and mine["id"] in text.stdout and "tell the code" in text.stderr
    line, = [line for line in cactl(ca, "request", "list").stdout.splitlines() if shown in line]
    assert "nas.lan, www.nas.lan" in line and "ECDSA P-256" in line and "uid:" in line and "waiting" in line
    assert json.loads(cactl(ca, "request", "list", "--json").stdout)["requests"][0]["code"] == mine["code"]
    for handle in (mine["id"], shown.lower(), mine["code"]):
        assert "waiting" in cactl(ca, "request", "show", handle).stdout
    assert "--yes" in cactl(ca, "request", "approve", shown, code=2).stderr
    cactl(ca, "request", "approve", shown, "--name", "evil.lan", "--yes", code=1)
    done = cactl(ca, "request", "approve", shown, "--name", "nas.lan", "--validity", "5d", "--yes")
    assert "is approved" in done.stderr and "for nas.lan," in done.stderr
    pem = cactl(ca, "request", "show", mine["id"], "--pem").stdout
    assert pem.count("BEGIN CERTIFICATE") == 2
    cactl(ca, "request", "deny", shown, code=1)
    cactl(ca, "request", "show", "nas.lan", code=2)

    csr_file.write_text(csrs.pem(nas("b.lan")))
    other = json.loads(cactl(ca, "request", "submit", csr_file, "--json").stdout)
    assert "is denied" in cactl(ca, "request", "deny", other["code"], "--reason", "who?").stderr
    assert "who?" in cactl(ca, "request", "show", other["code"]).stdout
    assert other["code"][:4] in cactl(ca, "request", "list", "--status", "denied").stdout
    cactl(ca, "request", "show", other["code"], "--pem", code=1)


def test_cactl_shows_an_international_name_of_a_request_both_ways(ca, csr_file):
    csr_file.write_text(csrs.pem(nas("xn--bcher-kva.lan")))
    mine = json.loads(cactl(ca, "request", "submit", csr_file, "--json").stdout)
    assert "xn--bcher-kva.lan (bücher.lan)" in cactl(ca, "request", "show", mine["code"]).stdout


@pytest.mark.parametrize("answer, code", [(b"y\n", 0), (b"n\n", 1), (b"\n", 1)])
def test_cactl_shows_what_will_be_issued_and_asks(ca, csr_file, answer, code):
    mine = json.loads(cactl(ca, "request", "submit", csr_file, "--json", "--label", str(random.random())).stdout)
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(CACTL, [str(CACTL), "--socket", str(ca.socket), "request", "approve", mine["code"], "--name", "nas.lan"],
                  {"PATH": "/usr/bin:/bin", "TERM": "xterm"})
    shown, asked, limit = b"", False, time.monotonic() + 20
    while time.monotonic() < limit and select.select([fd], [], [], 10)[0]:
        try:
            part = os.read(fd, 4096)
        except OSError:
            break
        shown += part
        if b"[y/N]" in shown and not asked:
            os.write(fd, answer)
            asked = True
    os.close(fd)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == code, shown
    for word in (mine["code"][:4], "names     nas.lan", "asked for nas.lan, www.nas.lan", "server", "ECDSA P-256", "uid:"):
        assert word.encode() in shown, (word, shown)
    assert ca.get(f"/v1/requests/{mine['code']}").json["status"] == ("approved" if code == 0 else "waiting")


@pytest.mark.slow
def test_cactl_waits_until_it_is_decided_and_writes_the_certificate(ca, csr_file, tmp_path):
    """Over HTTPS, as a device does, and with a restart of cad in between."""
    with daemon() as ca:
        root, out = tmp_path / "root.pem", tmp_path / "nas.pem"
        root.write_bytes(ca.get("/v1/ca/root.pem").body)
        port = ca.port("https")
        ca.listen = ["--https", f"127.0.0.1:{port}", "--http", "no"]
        url = ["--url", f"https://127.0.0.1:{port}", "--root", root]
        device = subprocess.Popen([CACTL, *map(str, url), "request", "submit", csr_file, "--wait", "--out", out], text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"})
        try:
            ca.wait_until(lambda: listed(ca), 20, "nothing was handed in")
            code = listed(ca)[0]["code"]
            assert ca.stop() == 0
            time.sleep(6)       # it asks, and nobody is there
            ca.start()
            decide(ca, {"code": code}, "approve", names=["nas.lan"]).expect(201)
            output, errors = device.communicate(timeout=60)
        finally:
            device.kill()
        assert device.returncode == 0 and output == "", (output, errors)
        assert f"{code[:4]}-{code[4:]}" in errors and "left out by whoever approved: www.nas.lan" in errors
        pems = out.read_text()
        assert pems.count("BEGIN CERTIFICATE") == 2
        verify(ca, pems[:pems.index("-----END") + 26], pems[pems.index("-----END") + 26:])


@pytest.mark.slow
def test_cactl_that_waits_is_told_no(ca, csr_file):
    device = subprocess.Popen([CACTL, "--socket", ca.socket, "request", "submit", csr_file, "--wait", "--label", "no"], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"})
    try:
        mine = lambda: [row for row in listed(ca, "&status=waiting") if row.get("label") == "no"]
        ca.wait_until(mine, 20, "nothing was handed in")
        decide(ca, mine()[0], "deny", reason="not today").expect(200)
        output, errors = device.communicate(timeout=30)
    finally:
        device.kill()
    assert device.returncode == 1 and output == "" and "not today" in errors


def test_cactl_trusts_no_code_but_its_own(csr_file):
    """A server that hands the request of another key on is found out."""
    import test_cactl

    ca = test_cactl.Fake(pathlib.Path(csr_file.parent))
    ca.replies["POST", "/v1/requests"] = test_cactl.Reply(202, {"id": "00" * 16, "code": "AAAAAAAA", "status": "waiting"})
    try:
        done = cactl(ca, "request", "submit", csr_file, code=1)
        assert "not that of this key" in done.stderr
    finally:
        ca.close() if hasattr(ca, "close") else None
