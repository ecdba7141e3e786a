"""Two thousand requests, good, bad and broken off: descriptors, threads and memory are what they were."""

import contextlib
import os
import pathlib
import socket
import struct
import time

import cadtest
import csrs
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.sanitize]

REQUESTS = 2000
SETTLE_S = 10
GROWTH_KIB = 2048       # of both processes over the second thousand; the store's cache has its limit before
STORE_DESCRIPTORS = 20  # a file and its log each for the writer and a few readers, and what those share
RESIDENT_KIB = 32 * 1024

CSR = csrs.pem(csrs.csr(names=[csrs.dns("nas.lan")]))
OUTSIDE = csrs.pem(csrs.csr(names=[csrs.dns("www.example.com")]))
BODY = ('{"csr": "' + CSR.replace("\n", "\\n") + '"}').encode()
HEAD = (b"POST /v1/certificates HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n")
WHOLE = HEAD % len(BODY) + BODY


def broken(data, reset=False):
    """Send and go, without a look at the answer; with @reset rudely (RST)."""
    def send(ca):
        with ca.connect() as sock:
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.sendall(data)
    return send


def half_closed(ca):
    """No more is sent, the answer is read."""
    with ca.connect() as sock:
        sock.sendall(WHOLE)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass


def byte_by_byte(ca):
    with ca.connect() as sock:
        for octet in b"GET /v1/ca HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n":
            sock.send(bytes([octet]))
        while sock.recv(65536):
            pass


WAYS = [
    lambda ca: ca.post("/v1/certificates", {"csr": CSR}).expect(201),
    lambda ca: ca.post("/v1/certificates", {"csr": OUTSIDE}).expect(422),
    lambda ca: ca.post("/v1/certificates", b"{").expect(400),
    lambda ca: ca.get("/v1/certificates?limit=20").expect(200),
    lambda ca: ca.get("/v1/nothing").expect(404),
    lambda ca: ca.get("/v1/health").expect(200),
    broken(b""),
    broken(b"GET /v1/ca HTTP/1.1\r\nHo"),
    broken(WHOLE[:-10]),
    broken(WHOLE),
    broken(WHOLE, reset=True),
    broken(WHOLE * 3),
    broken(b"GET /v1/certificates?limit=500 HTTP/1.1\r\nHost: localhost\r\n\r\n", reset=True),
    broken(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200)),
    half_closed,
    byte_by_byte,
]


def opened(pid):
    """What a process has open: the targets of its descriptors."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found


def descriptors(pid):
    """All but the store's, whose connections for reading are opened when they are needed first."""
    try:
        found = opened(pid)
    except PermissionError:     # the signer hides itself from all but root
        return None
    store = [path for path in found if "/cad.db" in path]
    assert len(store) <= STORE_DESCRIPTORS, store
    return len(found) - len(store)


def threads(pid):
    return len(list(pathlib.Path(f"/proc/{pid}/task").iterdir()))


def state_of(ca):
    return [(descriptors(pid), threads(pid)) for pid in ca.pids()]


def settled(ca, wanted=None):
    """The state when it no longer changes, or @wanted as soon as it is that."""
    limit, last, since = time.monotonic() + SETTLE_S, None, 0
    while time.monotonic() < limit:
        now = state_of(ca)
        if now == wanted:
            return now
        if now != last:
            last, since = now, time.monotonic()
        if wanted is None and time.monotonic() - since > 0.5:
            return now
        time.sleep(0.05)
    return last


def run(ca, count):
    for number in range(count):
        WAYS[number % len(WAYS)](ca)


def test_nothing_is_left_behind():
    cadtest.require_build()
    with cadtest.Daemon() as ca:
        run(ca, 10 * len(WAYS))
        base, pids = settled(ca), ca.pids()
        run(ca, REQUESTS // 2)
        settled(ca, base)
        before = ca.memory_kib()
        run(ca, REQUESTS // 2)
        assert settled(ca, base) == base, "descriptors or threads (of cad, of the signer)"
        assert ca.pids() == pids
        after = ca.memory_kib()
        if not cadtest.sanitized():
            assert after - before < GROWTH_KIB, f"{before} → {after} KiB"
            assert after < RESIDENT_KIB
        ca.check_log()
        assert ca.stop() == 0
