"""Revoking: reasons, holds, what is final, and what a compromised key may never be again."""

import concurrent.futures
import datetime
import re

import pytest

import cadtest
import csrs
from csrs import csr, dns

FINAL = ["unspecified", "key_compromise", "ca_compromise", "affiliation_changed", "superseded", "cessation_of_operation",
         "privilege_withdrawn", "aa_compromise"]
OTHERS = [reason for reason in FINAL if reason != "key_compromise"]
PROBLEM = "urn:cad:problem:"


@pytest.fixture(scope="module")
def ca():
    with cadtest.Daemon() as daemon:
        yield daemon
        assert daemon.stop() == 0
        daemon.check_log()


def issue(ca, key=None, **fields):
    return ca.issue(csr(key or csrs.EcKey(), names=[dns("nas.lan")]), **fields).expect(201).json["serial"]


def revoke(ca, serial, reason=None):
    return ca.post(f"/v1/certificates/{serial}/revoke", {"reason": reason} if reason else {})


def state(ca, serial):
    return ca.get(f"/v1/certificates/{serial}").expect(200).json


def refused(answer, slug, status):
    problem = answer.expect(status).json
    assert answer.type == "application/problem+json" and problem["type"] == PROBLEM + slug and problem["detail"], problem
    return problem


@pytest.mark.sanitize
@pytest.mark.parametrize("reason", FINAL)
def test_each_reason_is_kept_and_final(ca, reason):
    serial = issue(ca)
    answer = revoke(ca, serial, reason).expect(200).json
    assert (answer["serial"], answer["status"], answer["reason"]) == (serial, "revoked", reason)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", answer["revoked_at"])
    when = datetime.datetime.strptime(answer["revoked_at"], "%Y-%m-%dT%H:%M:%SZ")
    assert abs((datetime.datetime.utcnow() - when).total_seconds()) < 30
    for again in {*OTHERS, "certificate_hold", "remove_from_crl", reason}:
        problem = refused(revoke(ca, serial, again), "already-revoked", 409)
        assert reason in problem["detail"] and answer["revoked_at"] in problem["detail"]
    assert state(ca, serial) == answer


def test_that_a_key_was_stolen_may_be_learned_later(ca):
    """It is revoked since it was revoked; now everybody knows why, and nobody gets a certificate for that key."""
    key = csrs.EcKey()
    serial = issue(ca, key)
    before = revoke(ca, serial, "superseded").expect(200).json
    after = revoke(ca, serial, "key_compromise").expect(200).json
    assert after == {**before, "reason": "key_compromise"} == state(ca, serial)
    assert "key_compromise" in refused(revoke(ca, serial, "key_compromise"), "already-revoked", 409)["detail"]
    assert ca.issue(csr(key, names=[dns("nas.lan")])).status >= 400


@pytest.mark.parametrize("body", [b"", b"{}", b'{"reason":null}'])
def test_without_a_reason_it_is_unspecified(ca, body):
    serial = issue(ca)
    answer = ca.request("POST", f"/v1/certificates/{serial}/revoke", body, {"Content-Type": "application/json"})
    assert answer.expect(200).json["reason"] == "unspecified"


def test_a_body_is_not_needed_at_all(ca):
    assert ca.request("POST", f"/v1/certificates/{issue(ca)}/revoke").expect(200).json["status"] == "revoked"


def test_a_hold_can_be_lifted_and_set_again(ca):
    serial = issue(ca)
    refused(revoke(ca, serial, "remove_from_crl"), "state-conflict", 409)
    for _ in range(2):
        held = revoke(ca, serial, "certificate_hold").expect(200).json
        assert (held["status"], held["reason"]) == ("held", "certificate_hold") and held["revoked_at"]
        refused(revoke(ca, serial, "certificate_hold"), "state-conflict", 409)
        lifted = revoke(ca, serial, "remove_from_crl").expect(200).json
        assert lifted["status"] == "valid" and "reason" not in lifted and "revoked_at" not in lifted
    revoke(ca, serial, "certificate_hold").expect(200)
    assert revoke(ca, serial, "superseded").expect(200).json["status"] == "revoked"
    refused(revoke(ca, serial, "remove_from_crl"), "already-revoked", 409)


@pytest.mark.parametrize("reason", ["nothing", "KEY_COMPROMISE", "keyCompromise", "1", "7", " superseded", "x" * 64])
def test_a_reason_that_is_none_is_refused(ca, reason):
    serial = issue(ca)
    problem = refused(revoke(ca, serial, reason), "reason-invalid", 422)
    assert problem["field"] == "reason" and "key_compromise" in problem["detail"]
    assert state(ca, serial)["status"] == "valid"


@pytest.mark.parametrize("body, status, slug", [
    (b'{"reason":1}', 400, "body-malformed"), (b'{"why":"superseded"}', 400, "body-malformed"), (b"[]", 400, "body-malformed"),
    (b'{"reason":"superseded","reason":"unspecified"}', 400, "body-malformed"), (b"superseded", 400, "body-malformed"),
    (b'{"reason":"' + b"x" * 65 + b'"}', 400, "body-malformed"), (b'{"reason":"' + b"x" * 20000 + b'"}', 413, "body-too-large"),
    (b'{"reason":""}', 422, "reason-invalid")])
def test_a_body_that_is_none_revokes_nothing(ca, body, status, slug):
    serial = issue(ca)
    refused(ca.request("POST", f"/v1/certificates/{serial}/revoke", body, {"Content-Type": "application/json"}), slug, status)
    assert state(ca, serial)["status"] == "valid"


def test_another_media_type_is_refused(ca):
    serial = issue(ca)
    refused(ca.request("POST", f"/v1/certificates/{serial}/revoke", b"reason=superseded",
                       {"Content-Type": "application/x-www-form-urlencoded"}), "media-type", 415)
    assert state(ca, serial)["status"] == "valid"


@pytest.mark.parametrize("serial", ["00", "ab" * 20, "ab" * 21, "zz", "1"])
def test_what_was_never_issued_is_not_found(ca, serial):
    refused(revoke(ca, serial, "superseded"), "not-found", 404)


def test_reading_is_not_revoking(ca):
    serial = issue(ca)
    ca.get(f"/v1/certificates/{serial}/revoke").expect(405)
    assert state(ca, serial)["status"] == "valid"


@pytest.mark.parametrize("reason", FINAL + ["certificate_hold"])
def test_only_a_compromised_key_is_never_certified_again(ca, reason):
    key = csrs.EcKey()
    revoke(ca, issue(ca, key), reason).expect(200)
    before = ca.signed()
    answer = ca.issue(csr(key, names=[dns("other.lan")]))
    if reason == "key_compromise":
        assert refused(answer, "key-reserved", 422)["field"] == "csr.key"
        assert ca.signed() == before
    else:
        answer.expect(201)


def test_all_certificates_of_a_key_block_it(ca):
    """Two of one key, one revoked as compromised: the key is gone, the other certificate is not revoked behind anybody's back."""
    key = csrs.EcKey()
    one, two = issue(ca, key), issue(ca, key)
    revoke(ca, two, "key_compromise").expect(200)
    assert state(ca, one)["status"] == "valid"
    refused(ca.issue(csr(key, names=[dns("nas.lan")])), "key-reserved", 422)


def test_of_twenty_at_once_one_revokes(ca):
    serial = issue(ca)
    with concurrent.futures.ThreadPoolExecutor(15) as pool:
        answers = list(pool.map(lambda number: revoke(ca, serial, OTHERS[number % len(OTHERS)]), range(20)))
    won = [answer.json for answer in answers if answer.expect(200, 409, 429).status == 200]
    assert len(won) == 1 and state(ca, serial)["reason"] == won[0]["reason"]


def test_a_revocation_outlives_a_kill():
    with cadtest.Daemon() as daemon:
        keys = {reason: csrs.EcKey() for reason in FINAL}
        made = {reason: issue(daemon, key) for reason, key in keys.items()}
        held = issue(daemon)
        for reason, serial in made.items():
            revoke(daemon, serial, reason).expect(200)
        revoke(daemon, held, "certificate_hold").expect(200)
        daemon.kill()
        daemon.start()
        for reason, serial in made.items():
            assert (state(daemon, serial)["status"], state(daemon, serial)["reason"]) == ("revoked", reason)
        assert state(daemon, held)["status"] == "held"
        refused(daemon.issue(csr(keys["key_compromise"], names=[dns("nas.lan")])), "key-reserved", 422)
        assert daemon.get("/v1/certificates?status=revoked&limit=100").json["certificates"]
