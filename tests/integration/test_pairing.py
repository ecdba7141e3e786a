"""Pairing codes: tokens for poor keyboards. Good once, for ten minutes, few at a time, and no way to guess one or to lock others out."""

import contextlib
import hashlib
import json
import os
import re
import sqlite3
import ssl
import subprocess

import pytest

import cadtest
import https
from test_tokens import CACTL, UNKNOWN, USER, create, enrol, enrol_over_https, issued_with, refused, request_for, show

SHOWN = "[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}"
root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be another user")


@pytest.fixture(scope="module")
def ca():
    with cadtest.Daemon(tcp=True) as daemon:
        yield daemon
        daemon.check_log()


def code(ca, *names, **fields):
    return create(ca, *names, short=True, **fields)


def spoilt(token):
    return ("7" if token["token"][0] != "7" else "8") + token["token"][1:]


def test_a_code_is_made_shown_once_used_and_over(ca):
    token = code(ca, "printer.lan", label="hall")
    assert re.fullmatch(SHOWN, token["token"])
    assert token["short"] is True and token["uses"] == 1
    again = show(ca, token)
    assert "token" not in again and again["short"] is True
    issued = enrol(ca, token, "printer.lan").expect(201).json
    assert issued["names"] == ["printer.lan"] and issued["label"] == "hall"
    assert [row["serial"] for row in issued_with(ca, token)] == [issued["serial"]]
    refused(enrol(ca, token, "printer.lan"), 401, "token-spent")
    assert show(ca, token)["status"] == "used_up"


@pytest.mark.parametrize("typed", [str.lower, lambda text: text.replace("-", ""), lambda text: text.replace("-", " "),
                                   lambda text: text.replace("0", "o").replace("1", "l")])
def test_it_is_taken_as_people_type_it_also_over_https(ca, typed):
    token = code(ca, "printer.lan")
    enrol_over_https(ca, typed(token["token"]), "printer.lan").expect(201)


def test_a_code_gives_nothing_but_what_it_is_for(ca):
    token = code(ca, "printer.lan")
    refused(enrol(ca, token, "evil.lan"), 403, "forbidden", "csr.san[0]")
    refused(enrol(ca, token, "printer.lan", profile="client"), 403, "forbidden", "profile")
    assert show(ca, token)["used"] == 0


def test_a_retry_with_its_idempotency_key_gets_the_same_certificate(ca):
    token = code(ca, "printer.lan")
    body = {"csr": request_for("printer.lan")}
    headers = {"Authorization": "Bearer " + token["token"], "Idempotency-Key": "one"}
    first = ca.post("/v1/certificates", body, **headers).expect(201).json
    assert ca.post("/v1/certificates", body, **headers).expect(201).json["serial"] == first["serial"]


@pytest.mark.parametrize("why, fields, status, slug, field", [
    ("two uses", {"uses": 2}, 400, "body-malformed", "uses"),
    ("eleven minutes", {"expires_in": "11m"}, 422, "validity-out-of-range", "expires_in"),
    ("not a yes or no", {"short": "yes"}, 400, "body-malformed", "short"),
    ("a name outside the CA's", {"names": ["google.com"]}, 422, "name-not-permitted", "names[0]"),
])
def test_what_no_code_is_for_is_refused(ca, why, fields, status, slug, field):
    refused(ca.post("/v1/tokens", {"names": ["nas.lan"], "short": True, **fields}), status, slug, field)


def test_the_twenty_first_is_refused_until_one_is_gone_and_it_ends_with_time():
    with cadtest.Daemon() as ca:
        made = [code(ca, "a.lan", expires_in="5s" if n == 0 else "10m") for n in range(20)]
        assert len({token["token"] for token in made}) == 20
        problem = refused(ca.post("/v1/tokens", {"names": ["a.lan"], "short": True}), 429, "too-many-requests")
        assert "20" in problem["detail"]
        create(ca, "a.lan")                     # a long one is made all the same
        ca.request("DELETE", "/v1/tokens/" + made[1]["id"]).expect(200)
        code(ca, "a.lan")
        ca.post("/v1/tokens", {"names": ["a.lan"], "short": True}).expect(429)
        enrol(ca, made[2], "a.lan").expect(201)
        code(ca, "a.lan")
        ca.wait_until(lambda: show(ca, made[0])["status"] == "expired", 15, "the code does not expire")
        refused(enrol(ca, made[0], "a.lan"), 401, "unauthenticated")
        code(ca, "a.lan")
        # they outlive a restart
        assert ca.stop() == 0
        ca.start()
        enrol(ca, made[3], "a.lan").expect(201)
        ca.check_log()


def test_who_guesses_waits_and_nobody_else_and_long_tokens_go_on():
    with cadtest.Daemon(tcp=True) as ca:
        token, long_one = code(ca, "nas.lan"), create(ca, "nas.lan", uses=5)
        wrong = spoilt(token)
        told = [enrol_over_https(ca, wrong, "nas.lan", source="127.0.0.7").status for _ in range(8)]
        assert told[:5] == 5 * [401] and told[-1] == 429, told
        answer = enrol_over_https(ca, token, "nas.lan", source="127.0.0.7")
        assert "cad_" in refused(answer, 429, "too-many-requests")["detail"] and int(answer.headers["retry-after"]) > 0
        enrol_over_https(ca, long_one, "nas.lan", source="127.0.0.7").expect(201)
        # nor do guesses at long tokens concern codes
        for _ in range(12):
            enrol_over_https(ca, UNKNOWN, "nas.lan", source="127.0.0.8")
        refused(enrol_over_https(ca, long_one, "nas.lan", source="127.0.0.8"), 429, "too-many-requests")
        enrol_over_https(ca, token, "nas.lan", source="127.0.0.8").expect(201)
        assert len(re.findall("wrong token", ca.log_text())) == 2
        ca.check_log()


def test_no_code_is_in_the_log_the_audit_or_the_database(ca):
    token = code(ca, "canary.lan", label="canary")
    wrong = spoilt(token)
    enrol(ca, wrong, "canary.lan").expect(401, 429)
    enrol(ca, token, "canary.lan").expect(201)
    rows = json.dumps(ca.get("/v1/audit?limit=50").expect(200).json)
    assert "pairing code" in rows
    for text in (token["token"], token["token"].replace("-", ""), wrong, wrong.replace("-", "")):
        assert text not in rows and text not in ca.log_text()
        for path, content in ca.kept():
            assert text.encode() not in content, path


def test_what_is_kept_of_a_code_is_slow_to_guess_from_and_this_cas_alone(ca):
    token = code(ca, "kept.lan")
    typed = token["token"].replace("-", "")
    salt = hashlib.sha256(ssl.PEM_cert_to_DER_cert(ca.get("/v1/ca/root.pem").body.decode())).digest()
    with contextlib.closing(sqlite3.connect(f"file:{ca.state}/cad.db?mode=ro", uri=True)) as db:
        kept = {row[0] for row in db.execute("SELECT hash FROM tokens")}
    assert hashlib.pbkdf2_hmac("sha256", typed.encode(), salt, 20000) in kept


# ---- cactl ----


def test_cactl_prints_the_line_with_the_code(ca):
    done = subprocess.run([CACTL, "--socket", ca.socket, "token", "create", "--short", "printer.lan"], capture_output=True, text=True,
                          timeout=30, env=cadtest.environment())
    assert done.returncode == 0, done.stderr
    found = re.fullmatch(rf"cactl enroll --url https://\S+ --fingerprint ([0-9a-f]{{64}}) --token ({SHOWN}) printer\.lan\n", done.stdout)
    assert found and found[1] == ca.get("/v1/ca").json["fingerprint"]
    assert "pairing code" in done.stderr and len(done.stderr.splitlines()) == 2
    enrol(ca, found[2], "printer.lan").expect(201)


def test_cactl_says_what_is_wrong(ca):
    done = subprocess.run([CACTL, "--socket", ca.socket, "token", "create", "--short", "--uses", "2", "a.lan"], capture_output=True, text=True,
                          timeout=30, env=cadtest.environment())
    assert done.returncode == 1 and "once" in done.stderr and not done.stdout
