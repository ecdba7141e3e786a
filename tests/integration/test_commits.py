"""How many transactions the database takes for what is issued: one for a lone caller, few for a crowd.

Everything is on disk before it is answered, so a commit for each certificate would bound the rate by the disk
(docs/decisions/0003-group-commit.md). The times and the gathering itself are tested with a clock that stands, in
tests/unit/test-authority-issue.c; here the whole daemon is looked at, by the log of the database: its last frame of each
transaction says how large the database is then, the others say 0 (https://sqlite.org/fileformat2.html#walformat).
"""

import http.client
import re
import struct
import time

import cadtest
import csrs
import pytest

CALLERS, ROUNDS = 16, 10
LOG_PAGES = 1000            # from here on it is moved into the database, and begins again
TOGETHER = 2                # certificates a commit that a crowd gets at least; it is 5 to 8 where nothing else runs


@pytest.fixture(scope="module")
def ca():
    with cadtest.Daemon() as daemon:
        yield daemon
        daemon.check_log()


@pytest.fixture(scope="module")
def wish():
    body = csrs.csr(names=[csrs.dns("nas.lan")])
    head = f"Host: localhost\r\nContent-Type: application/pkcs10\r\nContent-Length: {len(body)}\r\n"
    return f"POST /v1/certificates HTTP/1.1\r\n{head}\r\n".encode() + body


def commits(ca):
    """Transactions in the log of the database."""
    log = (ca.state / "cad.db-wal").read_bytes()
    page_size, _, salts = struct.unpack(">8xII8s", log[:24])
    step, found = 24 + page_size, 0
    assert len(log) < LOG_PAGES * step, "the log has begun again: issue less"
    for at in range(32, len(log) - step + 1, step):
        pages, of = struct.unpack(">4xI8s", log[at:at + 16])
        if of != salts:
            break
        found += pages != 0
    return found


def writes(ca):
    """What the metrics say of them: each certificate is one, however many share a commit."""
    return int(re.search(r"^cad_store_writes_total (\d+)$", ca.get("/metrics").expect(200).body.decode(), re.M)[1])


def settled(ca):
    """The same when nothing comes any more that the start has brought: CRLs, rows of the audit."""
    limit, found, since = time.monotonic() + 20, commits(ca), time.monotonic()
    while time.monotonic() < since + 1:
        assert time.monotonic() < limit, "cad writes all the time"
        time.sleep(0.05)
        if commits(ca) != found:
            found, since = commits(ca), time.monotonic()
    return found


def answered(sock):
    response = http.client.HTTPResponse(sock, method="POST")
    response.begin()
    with response:
        assert response.status == 201, response.read()
        response.read()


def test_a_lone_callers_certificates_are_a_commit_each(ca, wish):
    with ca.connect() as sock:
        sock.sendall(wish)      # there may have been no log before
        answered(sock)
        before = settled(ca)
        for number in range(1, 20):
            sock.sendall(wish)
            answered(sock)
            assert commits(ca) == before + number


def test_a_crowd_shares_its_commits(ca, wish):
    if cadtest.sanitized():
        pytest.skip("a sanitizer makes the callers too slow to meet")
    callers = [ca.connect() for _ in range(CALLERS)]
    try:
        before, counted = commits(ca), writes(ca)
        for _ in range(ROUNDS):
            for sock in callers:
                sock.sendall(wish)
            for sock in callers:
                answered(sock)
        made = commits(ca) - before
        assert writes(ca) - counted >= CALLERS * ROUNDS
    finally:
        for sock in callers:
            sock.close()
    assert made * TOGETHER <= CALLERS * ROUNDS, f"{CALLERS * ROUNDS} certificates took {made} commits"
