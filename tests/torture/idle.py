#!/usr/bin/env python3
"""Ten thousand connections that say nothing, or stop in the middle, each from an address of its own, while others work
(threats.md §4, 47). The form of test_faults.py::test_a_thousand_idle_connections_… that takes minutes.

    CAD_BUILD_DIR=build tests/torture/idle.py [--connections 10000] [--seconds 30]

Meanwhile somebody asks on the Unix socket, and on an HTTPS connection that was there before: their p99 is at most twice what it is
alone (and 20 ms, for a machine that has other things to do). How strangers fare who come to the flooded listeners is printed. In the end
descriptors and memory are what they were, and everybody is served. Ends with 1 where that is not so.
"""

import argparse
import contextlib
import http.client
import os
import pathlib
import resource
import socket
import ssl
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

import cadtest  # noqa: E402
import https  # noqa: E402

ROOM_S = 0.020
SETTLE_S = 120
IDLE = (b"", b"GET /crl/int-1.crl HT", b"GET /v1/ca HTTP/1.1\r\nHost: localhost\r\nX-A: ", b"POST /v1/requests HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nContent-Length: 900\r\n\r\n{")
GONE = (ConnectionError, TimeoutError, ssl.SSLError, http.client.HTTPException, OSError)
addresses = (f"127.{a}.{b}.{c}" for a in range(80, 120) for b in range(250) for c in range(1, 250))


def descriptors(ca):
    return len(os.listdir(f"/proc/{ca.pid}/fd"))


def resident_mb(ca):
    with open(f"/proc/{ca.pid}/status") as status:
        return int(next(line for line in status if line.startswith("VmRSS")).split()[1]) / 1024


def p99(times):
    return sorted(times)[len(times) * 99 // 100] if times else float("inf")


class Worker:
    """Asks on the Unix socket, and on an HTTPS connection that stays."""

    def __init__(self, ca):
        self.ca, context = ca, https.context(ca)
        self.kept = http.client.HTTPSConnection("127.0.0.1", ca.port("https"), timeout=cadtest.ANSWER_S, context=context,
                                                source_address=(next(addresses), 0))

    def unix(self):
        self.ca.get("/v1/certificates?limit=1").expect(200)

    def https(self):
        self.kept.request("GET", "/v1/ca")
        answer = self.kept.getresponse()
        answer.read()
        assert answer.status == 200

    def measure(self, seconds, between=lambda: None):
        """Return: {way: seconds of each}. @between is called after each round."""
        times, until = {"unix": [], "https": []}, time.monotonic() + seconds
        while time.monotonic() < until:
            for way, taken in times.items():
                begun = time.monotonic()
                getattr(self, way)()
                taken.append(time.monotonic() - begun)
            between()
        return times


class Flood:
    def __init__(self, ca, most):
        self.ca, self.most, self.open, self.tried, self.turned_away, self.seen = ca, most, [], 0, 0, 0
        self.ports = {kind: ca.port(kind) for kind in ("http", "https")}

    def one(self):
        kind = ("http", "https")[self.tried % 2]        # on the Unix socket the limit of a user stops them
        self.tried += 1
        sock = socket.socket()
        sock.setblocking(False)         # one that the kernel keeps waiting is one of them, too
        try:
            sock.bind((next(addresses), 0))
            with contextlib.suppress(BlockingIOError):
                sock.connect(("127.0.0.1", self.ports[kind]))
            with contextlib.suppress(BlockingIOError):
                sock.send(b"" if kind == "https" else IDLE[self.tried % len(IDLE)])
        except GONE:
            self.turned_away += 1
            sock.close()
            return
        self.open.append(sock)

    def some(self, count=100):
        for _ in range(min(count, self.most - self.tried)):
            self.one()
        self.seen = max(self.seen, descriptors(self.ca))

    def close(self):
        for sock in self.open:
            sock.close()


def strangers(ca, count=5):
    """Seconds that a connection of one's own takes on each flooded listener; None: not served."""
    told = {}
    for kind, path in (("https", "/v1/ca"), ("http", "/crl/int-1.crl")):
        told[kind] = []
        for _ in range(count):
            begun = time.monotonic()
            try:
                https.request(ca, "GET", path, kind=kind, source=next(addresses)).expect(200)
                told[kind].append(round(time.monotonic() - begun, 3))
            except (*GONE, AssertionError):
                told[kind].append(None)
    return told


def run(connections, seconds):
    wrong = []
    with cadtest.Daemon(tcp=True) as ca:
        ca.wait_until(lambda: ca.get("/crl/int-1.crl").status == 200, 20, "no CRL")
        worker = Worker(ca)
        worker.measure(2)
        alone, before, memory = worker.measure(seconds / 3), descriptors(ca), resident_mb(ca)
        flood = Flood(ca, connections)
        under = worker.measure(seconds, flood.some)
        while flood.tried < connections:
            flood.some()
        print(f"{flood.tried} connections tried, {flood.turned_away} turned away at once, {flood.seen} descriptors of cad's at most, "
              f"resident {memory:.1f} MB before, {resident_mb(ca):.1f} MB under it", flush=True)
        print("strangers, under it:", strangers(ca), flush=True)
        for way in alone:
            a, u = p99(alone[way]), p99(under[way])
            print(f"{way}: p99 {a * 1e3:.2f} ms alone, {u * 1e3:.2f} ms under it, {len(under[way])} calls", flush=True)
            if u > 2 * a + ROOM_S:
                wrong.append(f"{way} is slower than twice as alone")
        if flood.seen > 1200:
            wrong.append("more than the limit of connections were taken")
        flood.close()
        try:
            ca.wait_until(lambda: descriptors(ca) <= before + 10, SETTLE_S, "descriptors are left")
        except AssertionError as left:
            wrong.append(str(left)[:200])
        after = strangers(ca)
        print("strangers, afterwards:", after)
        if any(taken is None for each in after.values() for taken in each):
            wrong.append("not everybody is served afterwards")
        if ca.stop() != 0:
            wrong.append("it did not end well")
        ca.check_log()
    return wrong


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    options.add_argument("--connections", type=int, default=10000)
    options.add_argument("--seconds", type=int, default=30)
    chosen = options.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < chosen.connections + 500:
        sys.exit(f"at most {hard} files may be open here: ulimit -n")
    resource.setrlimit(resource.RLIMIT_NOFILE, (chosen.connections + 500, hard))
    wrong = run(chosen.connections, chosen.seconds)
    print("\n".join(wrong) or "as it should be")
    print(f"{0 if wrong else 1} passed, {len(wrong)} failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
