"""A clock that is wrong for a while, ten years ahead or in 1970, as on a board without a battery: what was answered before it is there
after it, and what is answered meanwhile lasts as long as it says.
"""

import datetime
import pathlib
import sys
import time

import cadtest
import csrs
import pytest
from cryptography import x509

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "torture"))

import history  # noqa: E402
import moments  # noqa: E402

SWEPT_S = 1.3           # the first look at what is old is a pulse after the start
CLOCKS = {"ten years ahead": lambda: 3650 * 86400, "in 1970": lambda: 600 - time.time()}


def csr():
    return csrs.pem(csrs.csr(csrs.EcKey(), names=[csrs.dns("nas.lan")]))


@pytest.fixture
def ca():
    if cadtest.sanitized():
        pytest.skip("a sanitizer has to be loaded first")
    daemon = cadtest.Daemon()
    daemon.clock = moments.Moments(daemon.base)
    daemon.env.update(daemon.clock.env)
    with daemon:
        yield daemon
        assert daemon.stop() == 0
        daemon.check_log()


def start_again(ca):
    """It may be red: the clock is what is wrong."""
    assert ca.stop() == 0
    ca.ready = ca.ready_file.exists
    ca.start()
    time.sleep(SWEPT_S)


def new_token(ca, **fields):
    return ca.post("/v1/tokens", {"names": ["nas.lan"], **fields})


def hand_in(ca):
    return ca.post("/v1/requests", {"csr": csr()})


def enrol(ca, token):
    return ca.post("/v1/certificates", {"csr": csr()}, Authorization=f"Bearer {token['token']}")


def issue(ca):
    return ca.post("/v1/certificates", {"csr": csr()}).expect(201).json["serial"]


def status(ca, request):
    return ca.get(f"/v1/requests/{request['id']}").expect(200).json["status"]


@pytest.mark.parametrize("clock", CLOCKS)
def test_what_was_answered_before_the_clock_was_wrong_is_there_after_it(ca, clock):
    token, code = (new_token(ca, **fields).expect(201).json for fields in ({"uses": 2}, {"short": True}))
    waits, denied, later = (hand_in(ca).expect(202).json for _ in range(3))
    ca.post(f"/v1/requests/{denied['code']}/deny", {}).expect(200)
    approved = ca.post(f"/v1/requests/{hand_in(ca).expect(202).json['code']}/approve", {}).expect(201).json
    enrol(ca, token).expect(201)
    serial = issue(ca)

    ca.clock.set_clock(CLOCKS[clock]())
    start_again(ca)
    told = ca.post(f"/v1/requests/{later['code']}/deny", {}).status
    ca.post(f"/v1/certificates/{serial}/revoke", {"reason": "superseded"}).expect(200)
    ca.clock.set_clock(0)
    start_again(ca)

    assert (status(ca, waits), status(ca, denied)) == ("waiting", "denied")
    assert status(ca, later) == ("denied" if told == 200 else "waiting")
    ca.wait_until(lambda: ca.get("/v1/health").status == 200, 10, "health stays red")
    assert ca.post(f"/v1/requests/{waits['code']}/approve", {}).expect(201).json["names"] == ["nas.lan"]
    enrol(ca, code).expect(201)
    enrol(ca, token).expect(201)
    enrol(ca, token).expect(401)
    assert ca.get(f"/v1/certificates/{approved['serial']}").expect(200).json["status"] == "valid"
    ca.post("/v1/crls", {}).expect(200)
    crl = x509.load_der_x509_crl(ca.get("/crl/int-1.crl").expect(200).body)
    gone = crl.get_revoked_certificate_by_serial_number(int(serial, 16))
    assert gone and gone.revocation_date <= datetime.datetime.utcnow(), "its revocation is still to come"
    assert list(history.audit_verify(ca)) == []


@pytest.mark.parametrize("clock", CLOCKS)
def test_nothing_that_ends_is_made_by_a_clock_that_is_wrong(ca, clock):
    """It would last for years, or be over when the clock is right. The moment the clock is right again it is made."""
    ca.clock.set_clock(CLOCKS[clock]())
    for answer in (new_token(ca), new_token(ca, short=True)):
        problem = answer.expect(503).json
        assert problem["type"] == "urn:cad:problem:clock" and "clock says" in problem["detail"], problem
    hand_in(ca).expect(503, 422)
    ca.clock.set_clock(0)
    assert new_token(ca).expect(201).json["created_at"][:4] == str(datetime.datetime.utcnow().year)
    request = hand_in(ca).expect(202).json
    ca.post(f"/v1/requests/{request['code']}/approve", {}).expect(201)


def test_a_request_that_a_jump_of_days_has_ended_is_handed_in_again(ca):
    """Nobody can tell three weeks ahead from three weeks without a signature: what has expired meanwhile stays so, and says so."""
    request = hand_in(ca).expect(202).json
    ca.clock.set_clock(20 * 86400)
    start_again(ca)
    ca.clock.set_clock(0)
    assert "handed in again" in ca.post(f"/v1/requests/{request['code']}/approve", {}).expect(409).json["detail"]
