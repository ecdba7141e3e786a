#!/usr/bin/env python3
"""What the trust page costs a visitor: bytes in all, and the time to the first answer.

    /usr/bin/python3 tests/bench/page.py [--build-dir DIR] [--visits N] [--starts N] [--check]

Each visit is a connection of its own, as a browser's first one is: from connect() to the last byte of the page, over plain HTTP and over
HTTPS (TLS 1.3, handshake included). The very first answer of a cad that has just started is measured --starts times. With
--check the exit status is 1 where a target is missed: under 60 KB in all, plain HTTP under 5 ms (median). A cad of its own, on
loopback, in a temporary folder.
"""

import argparse
import http.client
import os
import re
import ssl
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

SYSTEMS = ["ios", "macos", "android", "windows", "linux", "firefox", "java", "other"]
BYTES_MAX, FIRST_MAX_MS = 60_000, 5.0


def visit(ca, kind, path="/", tls=None):
    """Milliseconds from connect() to the last byte, and the page."""
    port = ca.port(kind)
    began = time.perf_counter()
    if kind == "https":
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=tls, timeout=30)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers={"Connection": "close"})
    response = connection.getresponse()
    body = response.read()
    took = (time.perf_counter() - began) * 1000
    connection.close()
    assert response.status == 200, response.status
    return took, body.decode()


def size(ca, system):
    """Bytes of a page and all that it fetches by itself, without headers."""
    page = visit(ca, "http", f"/trust/{system}")[1]
    needed = set(re.findall(r'<(?:script|img)[^>]* src="([^"]+)"|<link[^>]* href="([^"]+)"', page))
    return len(page.encode()) + sum(len(visit(ca, "http", a or b)[1].encode()) for a, b in needed)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build-dir", default="build")
    parser.add_argument("--visits", type=int, default=300)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    os.environ["CAD_BUILD_DIR"] = str(Path(given.build_dir).resolve())
    import cadtest

    ca, firsts = cadtest.Daemon(tcp=True), []
    try:
        for _ in range(given.starts):
            ca.start()
            firsts.append(visit(ca, "http")[0])
            ca.stop()
        ca.start()
        tls = ssl.create_default_context(cadata=ca.get("/v1/ca/root.pem").body.decode())
        largest = max(size(ca, system) for system in SYSTEMS)
        print(f"bytes in all, largest of {len(SYSTEMS)} pages: {largest} (under {BYTES_MAX})")
        print(f"very first answer after a start, {given.starts} starts: median {statistics.median(firsts):.2f} ms, most {max(firsts):.2f} ms")
        medians = {}
        for kind in ("http", "https"):
            times = sorted(visit(ca, kind, tls=tls)[0] for _ in range(given.visits))
            medians[kind] = statistics.median(times)
            print(f"first answer over {kind}, {given.visits} connections: median {medians[kind]:.2f} ms, p99 {times[len(times) * 99 // 100 - 1]:.2f} ms"
                  + (f" (median under {FIRST_MAX_MS:.0f})" if kind == "http" else ""))
        print(f"memory of both processes: {ca.memory_kib() / 1024:.1f} MiB")
    finally:
        ca.close()
    if given.check and (largest >= BYTES_MAX or medians["http"] >= FIRST_MAX_MS):
        sys.exit(1)


main()
