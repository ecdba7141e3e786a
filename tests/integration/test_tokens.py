"""Tokens: an enrolment right from its making to its end, over the real socket.

Wrong ones by the thousand, many callers with one use, cad killed at any moment: as many certificates as there are uses.
"""

import concurrent.futures
import ipaddress
import json
import os
import re
import subprocess
import threading
import time

import pytest

import cadtest
import csrs
import https

CACTL = cadtest.BUILD / "client" / "cactl"
UNKNOWN = "cad_7000000000000000_" + 32 * "0"
USER = 4242  # a uid with no right of its own

root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be another user")


@pytest.fixture(scope="module")
def ca():
    with cadtest.Daemon(tcp=True) as daemon:
        yield daemon
        daemon.check_log()


def create(ca, *names, **fields):
    """A new token: its object, with the token itself."""
    return ca.post("/v1/tokens", {"names": list(names), **fields}).expect(201).json


def show(ca, token):
    return ca.get("/v1/tokens/" + token["id"]).expect(200).json


def bearer(token):
    return {"Authorization": "Bearer " + (token if isinstance(token, str) else token["token"])}


def request_for(*names, cn=None):
    """A CSR in PEM with a key of its own."""
    def general(name):
        try:
            return csrs.ip(ipaddress.ip_address(name).packed)
        except ValueError:
            return csrs.dns(name)

    return csrs.pem(csrs.csr(csrs.EcKey(), subject=csrs.cn(cn) if cn else None,
                             names=[general(name) for name in names] if names else None))


def enrol(ca, token, *names, cn=None, **fields):
    """POST /v1/certificates with a token, for names in the CSR."""
    return ca.post("/v1/certificates", {"csr": request_for(*names, cn=cn), **fields}, **bearer(token))


def enrol_over_https(ca, token, *names, source="127.0.0.1"):
    body = json.dumps({"csr": request_for(*names)}).encode()
    return https.request(ca, "POST", "/v1/certificates", body, {"Content-Type": "application/json", **bearer(token)},
                         source=source)


def refused(answer, status, slug, field=None):
    assert answer.status == status, answer
    assert answer.json["type"] == "urn:cad:problem:" + slug, answer
    if field:
        assert answer.json["field"] == field, answer
    return answer.json


def issued_with(ca, token):
    return ca.get(f"/v1/certificates?requester=token:{token['id']}").expect(200).json["certificates"]


# ---- its life ----


def test_a_token_is_made_shown_once_used_and_over(ca):
    answer = ca.post("/v1/tokens", {"names": ["nas.lan"], "label": "kitchen"}).expect(201)
    token = answer.json
    assert re.fullmatch(r"cad_[0-9a-f]{16}_[0-9a-f]{32}", token["token"])
    assert answer.headers["location"] == "/v1/tokens/" + token["id"]
    assert answer.headers["cache-control"] == "no-store"
    assert token["token"].split("_")[1] == token["id"]
    assert (token["status"], token["uses"], token["used"], token["profile"]) == ("active", 1, 0, "server")

    again = show(ca, token)
    assert "token" not in again
    assert again == {key: value for key, value in token.items() if key != "token"}

    issued = enrol(ca, token, "nas.lan").expect(201).json
    assert issued["names"] == ["nas.lan"] and issued["label"] == "kitchen"
    assert [row["serial"] for row in issued_with(ca, token)] == [issued["serial"]]
    after = show(ca, token)
    assert (after["status"], after["used"]) == ("used_up", 1) and after["last_used_at"]

    problem = refused(enrol(ca, token, "nas.lan"), 401, "token-spent")
    assert "used up" in problem["detail"] and token["id"] in problem["detail"]


def test_each_of_several_uses_gives_a_certificate(ca):
    token = create(ca, "*.sensors.lan", uses=3, profile="device")
    for n in range(3):
        assert enrol(ca, token, f"s{n}.sensors.lan").expect(201).json["profile"] == "device"
    refused(enrol(ca, token, "s4.sensors.lan"), 401, "token-spent")


def test_a_revoked_token_is_refused_and_what_it_got_stays(ca):
    token = create(ca, "nas.lan", uses=2)
    issued = enrol(ca, token, "nas.lan").expect(201).json
    revoked = ca.request("DELETE", "/v1/tokens/" + token["id"]).expect(200).json
    assert revoked["status"] == "revoked" and revoked["revoked_at"]
    assert ca.request("DELETE", "/v1/tokens/" + token["id"]).expect(200).json == revoked
    assert "revoked" in refused(enrol(ca, token, "nas.lan"), 401, "token-spent")["detail"]
    assert ca.get("/v1/certificates/" + issued["serial"]).expect(200).json["status"] == "valid"


def test_an_expired_token_is_refused(ca):
    token = create(ca, "nas.lan", expires_in="1s")
    time.sleep(1.1)
    assert "expired" in refused(enrol(ca, token, "nas.lan"), 401, "token-spent")["detail"]
    assert show(ca, token)["status"] == "expired"
    # whoever shows a credential shows a good one, whatever is asked
    refused(ca.get("/v1/health", **bearer(token)), 401, "token-spent")


def test_tokens_are_listed_by_pages_the_newest_first(ca):
    made = [create(ca, "nas.lan")["id"] for _ in range(7)]
    found, cursor = [], ""
    while cursor is not None:
        page = ca.get(f"/v1/tokens?limit=3&cursor={cursor}").expect(200).json
        assert len(page["tokens"]) <= 3 and all("token" not in row for row in page["tokens"])
        found += [row["id"] for row in page["tokens"]]
        cursor = page["next"]
    assert found[:7] == made[::-1] and len(set(found)) == len(found)


def test_a_token_that_is_not_there_is_404(ca):
    for token_id in ("7000000000000000", "nope", "7000000000000000zz"):
        refused(ca.get("/v1/tokens/" + token_id), 404, "not-found")
        refused(ca.request("DELETE", "/v1/tokens/" + token_id), 404, "not-found")


def test_the_audit_knows_who_made_used_and_revoked_it_and_no_secret(ca):
    token = create(ca, "nas.lan", "*.sensors.lan")
    serial = enrol(ca, token, "nas.lan").expect(201).json["serial"]
    ca.request("DELETE", "/v1/tokens/" + token["id"]).expect(200)
    answer = ca.get("/v1/audit?limit=100").expect(200)
    rows = {(row["action"], row["object"]): row for row in answer.json["audit"]}
    made, used, revoked = (rows["token.create", token["id"]], rows["certificate.issue", serial],
                           rows["token.revoke", token["id"]])
    assert made["principal"] == revoked["principal"] == token["created_by"]
    assert "nas.lan" in made["detail"] and made["source"].startswith("uid:") and made["request_id"]
    assert used["principal"] == "token:" + token["id"]
    assert token["token"].split("_")[2] not in answer.body.decode()


# ---- what can never work is not made ----


@pytest.mark.parametrize("why, body, status, slug, field", [
    ("a public name", {"names": ["nas.lan", "google.com"]}, 422, "name-not-permitted", "names[1]"),
    ("a public suffix", {"names": ["*.com"]}, 422, "name-not-permitted", "names[0]"),
    ("a lone star", {"names": ["*"]}, 422, "name-invalid", "names[0]"),
    ("no name", {"names": []}, 400, "body-malformed", "names"),
    ("101 names", {"names": [f"a{n}.lan" for n in range(101)]}, 422, "names-too-many", "names"),
    ("an e-mail address for a server", {"names": ["a@home.lan"]}, 422, "name-not-allowed", "names[0]"),
    ("the profile of admins", {"names": ["nas.lan"], "profile": "admin"}, 403, "forbidden", "profile"),
    ("the CA's own profile", {"names": ["nas.lan"], "profile": "ocsp"}, 403, "forbidden", "profile"),
    ("a profile that wants approval", {"names": ["a@home.lan"], "profile": "user"}, 403, "forbidden", "profile"),
    ("no such profile", {"names": ["nas.lan"], "profile": "x"}, 422, "profile-unknown", "profile"),
    ("no use", {"names": ["nas.lan"], "uses": 0}, 400, "body-malformed", "uses"),
    ("a use too many", {"names": ["nas.lan"], "uses": 1000001}, 400, "body-malformed", "uses"),
    ("a life of nothing", {"names": ["nas.lan"], "expires_in": "0s"}, 422, "validity-out-of-range", "expires_in"),
    ("a life of over a year", {"names": ["nas.lan"], "expires_in": "366d"}, 422, "validity-out-of-range", "expires_in"),
    ("no time", {"names": ["nas.lan"], "expires_in": "soon"}, 422, "validity-out-of-range", "expires_in"),
    ("too long a validity", {"names": ["nas.lan"], "validity": "400d"}, 422, "validity-out-of-range", "validity"),
    ("a member that is not known", {"names": ["nas.lan"], "role": "admin"}, 400, "body-malformed", "role"),
])
def test_what_could_never_work_is_refused(ca, why, body, status, slug, field):
    refused(ca.post("/v1/tokens", body), status, slug, field)


def test_a_hundred_names_and_the_largest_numbers_are_fine(ca):
    token = create(ca, *(f"a{n}.lan" for n in range(100)), uses=1000000, expires_in="365d", validity="397d")
    assert len(token["names"]) == 100
    enrol(ca, token, *(f"a{n}.lan" for n in range(100))).expect(201)


@root
def test_who_is_no_operator_makes_sees_and_revokes_none(ca):
    token = create(ca, "nas.lan")
    body = json.dumps({"names": ["nas.lan"]}).encode()
    ca.state.chmod(0o755)
    ca.socket.chmod(0o666)
    for method, path, sent in (("POST", "/v1/tokens", body), ("GET", "/v1/tokens", None),
                               ("GET", "/v1/tokens/" + token["id"], None),
                               ("DELETE", "/v1/tokens/" + token["id"], None)):
        headers = {"Content-Type": "application/json"} if sent else {}
        refused(ca.as_user(USER, USER, [], method, path, sent, headers), 403, "forbidden")
    # nor does a token make tokens, or see them
    refused(ca.request("POST", "/v1/tokens", body, {"Content-Type": "application/json", **bearer(token)}),
            403, "forbidden")
    refused(ca.request("GET", "/v1/tokens", headers=bearer(token)), 403, "forbidden")
    assert show(ca, token)["status"] == "active"


# ---- what is outside the grant ----


@pytest.mark.parametrize("why, names, cn, fields, status, slug, field", [
    ("a name in the SAN", ["nas.lan", "evil.lan"], None, {}, 403, "forbidden", "csr.san[1]"),
    ("an address in the SAN", ["nas.lan", "10.0.0.66"], None, {}, 403, "forbidden", "csr.san[1]"),
    ("a name in the CN", [], "evil.lan", {}, 403, "forbidden", "csr.subject.CN"),
    ("a name in the JSON", ["nas.lan"], None, {"names": ["nas.lan", "evil.lan"]}, 403, "forbidden", "names[1]"),
    ("a wildcard in the SAN", ["*.sensors.lan"], None, {}, 403, "forbidden", "csr.san[0]"),
    ("a wildcard in the JSON", ["nas.lan"], None, {"names": ["*.sensors.lan"]}, 403, "forbidden", "names[0]"),
    ("the suffix itself", ["sensors.lan"], None, {}, 403, "forbidden", "csr.san[0]"),
    ("below an exact name", ["a.nas.lan"], None, {}, 403, "forbidden", "csr.san[0]"),
    ("a public name", ["google.com"], None, {}, 422, "name-not-permitted", "csr.san[0]"),
    ("another profile", ["nas.lan"], None, {"profile": "client"}, 403, "forbidden", "profile"),
    ("the profile of admins", ["nas.lan"], None, {"profile": "admin"}, 403, "forbidden", "profile"),
    ("a longer validity", ["nas.lan"], None, {"validity": "31d"}, 422, "validity-out-of-range", "validity"),
    ("a beginning far off", ["nas.lan"], None, {"not_before": "NEXT"}, 422, "validity-out-of-range", "not_before"),
])
def test_what_is_outside_the_grant_is_refused_and_takes_no_use(ca, why, names, cn, fields, status, slug, field):
    if fields.get("not_before"):
        fields = {"not_before": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2 * 86400))}
    token = create(ca, "nas.lan", "*.sensors.lan", validity="30d")
    refused(enrol(ca, token, *names, cn=cn, **fields), status, slug, field)
    assert show(ca, token)["used"] == 0
    issued = enrol(ca, token, "nas.lan", "a.sensors.lan", "b.c.sensors.lan").expect(201).json
    assert issued["names"] == ["nas.lan", "a.sensors.lan", "b.c.sensors.lan"]


def test_the_cn_of_a_csr_does_not_bring_in_a_name(ca):
    token = create(ca, "nas.lan")
    issued = enrol(ca, token, "nas.lan", cn="evil.lan")
    if issued.status == 201:
        assert issued.json["names"] == ["nas.lan"] and issued.json["subject"] == "CN=nas.lan"
    else:
        assert show(ca, token)["used"] == 0


# ---- wrong ones ----


def test_unknown_id_and_wrong_secret_look_the_same(ca):
    token = create(ca, "nas.lan")
    wrong = token["token"][:-1] + ("0" if token["token"][-1] != "0" else "1")
    seen = set()
    for text in (UNKNOWN, wrong, "nonsense"):
        problem = refused(enrol(ca, text, "nas.lan"), 401, "unauthenticated")
        seen.add(problem["detail"])
    assert len(seen) == 1
    enrol(ca, token, "nas.lan").expect(201)


@root
def test_a_thousand_wrong_guesses_shut_out_nobody_else():
    with cadtest.Daemon() as ca:
        token = create(ca, "nas.lan", uses=2)
        body = json.dumps({"csr": request_for("nas.lan")}).encode()
        ca.state.chmod(0o755)
        ca.socket.chmod(0o666)
        own = {"Content-Type": "application/json"}

        def guess(n):
            text = f"cad_{token['id']}_{n:032x}"
            return ca.post("/v1/certificates", body, **bearer(text))

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(guess, range(1000)))
        told = [answer.status for answer in answers]
        assert set(told) == {401, 429}
        assert 10 <= told.count(401) <= 10 + 8 + 2, told.count(401)  # the burst, the workers, what drained
        limited = next(answer for answer in answers if answer.status == 429)
        assert int(limited.headers["retry-after"]) > 0
        refused(limited, 429, "too-many-requests")
        # this source waits, with a good one too; another is not concerned, nor is who shows none
        refused(enrol(ca, token, "nas.lan"), 429, "too-many-requests")
        ca.as_user(USER, USER, [], "POST", "/v1/certificates", body, {**own, **bearer(token)}).expect(201)
        assert show(ca, token)["used"] == 1
        assert len(re.findall("wrong token", ca.log_text())) <= 2
        ca.check_log()


def test_no_secret_is_in_the_log_or_in_the_database(ca):
    token = create(ca, "canary.lan", uses=2, label="canary")
    wrong = f"cad_{token['id']}_" + 32 * "c"
    enrol(ca, token, "canary.lan").expect(201)
    enrol(ca, token, "evil.lan").expect(403)
    enrol(ca, wrong, "canary.lan").expect(401, 429)
    ca.post("/v1/tokens", {"names": ["canary.lan"], "token": token["token"]}).expect(400)
    ca.request("DELETE", "/v1/tokens/" + token["id"]).expect(200)
    enrol(ca, token, "canary.lan").expect(401, 429)
    secrets = [token["token"].split("_")[2].encode(), 32 * b"c"]
    for path, content in ca.kept():
        for secret in secrets:
            assert secret not in content and bytes.fromhex(secret.decode()) not in content, path
    assert token["id"] in ca.log_text()


# ---- over the network ----


def test_a_device_enrols_over_https_with_its_token_alone(ca):
    token = create(ca, "nas.lan")
    issued = enrol_over_https(ca, token, "nas.lan").expect(201).json
    assert issued["names"] == ["nas.lan"]
    assert [row["serial"] for row in issued_with(ca, token)] == [issued["serial"]]
    answer = enrol_over_https(ca, token, "nas.lan")
    refused(answer, 401, "token-spent")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_wrong_guesses_from_one_address_do_not_concern_another():
    with cadtest.Daemon(tcp=True) as ca:
        token = create(ca, "nas.lan")
        told = [enrol_over_https(ca, UNKNOWN, "nas.lan", source="127.0.0.7").status for _ in range(15)]
        assert told[:10] == 10 * [401] and 429 in told
        refused(enrol_over_https(ca, token, "nas.lan", source="127.0.0.7"), 429, "too-many-requests")
        enrol_over_https(ca, token, "nas.lan", source="127.0.0.8").expect(201)
        # another port of the same address is the same source, and its next guess is one line in the log at most
        assert len(re.findall("wrong token", ca.log_text())) == 1
        ca.check_log()


# ---- one use, many callers ----


def test_fifty_callers_with_one_use_get_one_certificate(ca):
    token = create(ca, "nas.lan")
    wishes = [request_for("nas.lan") for _ in range(50)]
    start = threading.Barrier(50)

    def ask(csr):
        start.wait()
        return ca.post("/v1/certificates", {"csr": csr}, **bearer(token))

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(ask, wishes))
    told = sorted(answer.status for answer in answers)
    assert told == [201] + 49 * [401], told
    won = next(answer.json for answer in answers if answer.status == 201)
    assert [row["serial"] for row in issued_with(ca, token)] == [won["serial"]]
    assert show(ca, token)["used"] == 1


def test_a_retry_with_its_idempotency_key_gets_the_same_certificate(ca):
    token = create(ca, "nas.lan")
    csr = request_for("nas.lan")

    def ask(key, csr=csr):
        return ca.post("/v1/certificates", {"csr": csr}, **bearer(token), **{"Idempotency-Key": key})

    first = ask("one").expect(201).json
    again = ask("one").expect(201).json
    assert again["serial"] == first["serial"] and again["certificate"] == first["certificate"]
    refused(ask("two"), 401, "token-spent")
    refused(ask("one", request_for("nas.lan")), 422, "idempotency-mismatch")
    # the key is the token's: another token does not see it
    other = create(ca, "nas.lan")
    found = ca.post("/v1/certificates", {"csr": csr}, **bearer(other), **{"Idempotency-Key": "one"}).expect(201)
    assert found.json["serial"] != first["serial"]


def test_parallel_tries_with_one_key_give_one_certificate(ca):
    token = create(ca, "nas.lan")
    csr = request_for("nas.lan")

    def ask(_):
        limit = time.monotonic() + 20
        while True:
            answer = ca.post("/v1/certificates", {"csr": csr}, **bearer(token), **{"Idempotency-Key": "k"})
            if answer.status != 409 or time.monotonic() > limit:
                return answer
            time.sleep(0.05)

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, range(20)))
    assert {answer.status for answer in answers} == {201}, answers
    assert len({answer.json["serial"] for answer in answers}) == 1


@pytest.mark.parametrize("after_ms", [5, 15, 30, 60])
def test_killed_at_any_moment_a_use_and_its_certificate_are_both_there_or_neither(after_ms):
    with cadtest.Daemon() as ca:
        tokens = [create(ca, "nas.lan") for _ in range(5)]
        work = [(token, request_for("nas.lan")) for _ in range(10) for token in tokens]
        start = threading.Barrier(len(work) + 1)
        told = []

        def ask(job):
            token, csr = job
            start.wait()
            try:
                answer = ca.post("/v1/certificates", {"csr": csr}, **bearer(token))
            except (OSError, AssertionError, ValueError):
                return
            except Exception as error:  # http.client's, of an answer that was cut
                assert type(error).__module__ == "http.client", error
                return
            if answer.status == 201:
                told.append((token["id"], answer.json["serial"]))

        with concurrent.futures.ThreadPoolExecutor(len(work)) as pool:
            jobs = [pool.submit(ask, job) for job in work]
            start.wait()
            time.sleep(after_ms / 1000)
            ca.kill()
            for job in jobs:
                job.result()
        ca.start()
        for token in tokens:
            serials = [row["serial"] for row in issued_with(ca, token)]
            assert len(serials) == show(ca, token)["used"] <= 1
            assert [serial for owner, serial in told if owner == token["id"]] in ([], serials)


# ---- cactl ----


def cactl(ca, *args, code=0):
    done = subprocess.run([CACTL, "--socket", ca.socket, *args], capture_output=True, text=True, timeout=30,
                          env=cadtest.environment())
    assert done.returncode == code, (done.stdout, done.stderr)
    return done


def test_cactl_prints_the_whole_line_for_the_device(ca):
    done = cactl(ca, "token", "create", "nas.lan", "192.168.1.5", "*.sensors.lan", "--profile", "peer", "--uses", "2",
                 "--expires", "7d", "--days", "30", "--label", "kitchen")
    about = ca.get("/v1/ca").json
    found = re.fullmatch(r"cactl enroll --url (https://\S+:\d+) --fingerprint ([0-9a-f]{64}) --token (cad_\S+)"
                         r" nas\.lan 192\.168\.1\.5\n", done.stdout)
    assert found, done.stdout
    assert found[2] == about["fingerprint"]
    token = {"token": found[3], "id": found[3].split("_")[1]}
    made = show(ca, token)
    assert (made["profile"], made["uses"], made["validity"], made["label"]) == ("peer", 2, "30d", "kitchen")
    assert token["id"] in done.stderr and "2 certificates" in done.stderr
    enrol(ca, token, "x.sensors.lan").expect(201)


def test_the_url_of_the_line_answers(ca):
    line = cactl(ca, "token", "create", "nas.lan").stdout.split()
    url, fingerprint = line[line.index("--url") + 1], line[line.index("--fingerprint") + 1]
    done = subprocess.run([CACTL, "--url", url, "--fingerprint", fingerprint, "ca", "fingerprint"],
                          capture_output=True, text=True, timeout=30, env=cadtest.environment())
    assert done.returncode == 0, done.stderr


def test_cactl_lists_and_revokes(ca):
    token = json.loads(cactl(ca, "--json", "token", "create", "printer.lan", "--label", "hall").stdout)
    listed = cactl(ca, "token", "list").stdout
    row = next(line for line in listed.splitlines() if line.startswith(token["id"]))
    assert "printer.lan" in row and "active" in row and "0 of 1" in row and "hall" in row
    assert token["token"] not in listed
    found = json.loads(cactl(ca, "--json", "token", "list", "--all", "--limit", "2").stdout)
    assert token["id"] in [row["id"] for row in found["tokens"]] and found["next"] is None
    # the whole token is taken for its id; the secret is not sent anywhere
    assert "is revoked" in cactl(ca, "token", "revoke", token["token"]).stderr
    assert token["token"].split("_")[2] not in ca.log_text()
    assert show(ca, token)["status"] == "revoked"


@pytest.mark.parametrize("args, code, said", [
    (["token", "create"], 2, "NAME"),
    (["token", "create", "nas.lan", "--uses", "0"], 2, "--uses"),
    (["token", "create", "nas.lan", "--expires", "soon"], 2, "--expires"),
    (["token", "create", "nas.lan", "--days", "x"], 2, "--days"),
    (["token", "create", "google.com"], 1, "google.com"),
    (["token", "create", "nas.lan", "--profile", "admin"], 1, "admin"),
    (["token", "revoke"], 2, "ID"),
    (["token", "revoke", "nope"], 2, "16 hex digits"),
    (["token", "revoke", "7000000000000000"], 1, "7000000000000000"),
])
def test_cactl_says_what_is_wrong(ca, args, code, said):
    done = cactl(ca, *args, code=code)
    assert said in done.stderr and len(done.stderr.splitlines()) == 1 and not done.stdout
