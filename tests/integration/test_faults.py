"""Faults and floods against the whole service: its three listeners, tokens, requests, CRLs, the audit (threats.md §4: 28, 47, 48,
53, 54, 60, 62 to 64, 69, 72, 73, 80).

What one part alone shows is tested beside it; docs/threats-tests.md says where.
"""

import contextlib
import datetime
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID

import cadtest
import csrs
import https
import test_full_disk
from csrs import csr, dns
from test_http_hygiene import GONE, connect_tcp, read_reply, readable, tls_client

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "torture"))

import crash  # noqa: E402
import history  # noqa: E402

FULL = os.environ.get("CAD_TORTURE") == "full"
SEEN_S = history.DELAY_S + history.SLOW_S
ENDS_S = 20 if cadtest.CAD.exists() and cadtest.sanitized() else 5
JSON = {"Content-Type": "application/json"}
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
addresses = (f"127.{a}.{b}.{c}" for a in range(60, 80) for b in range(250) for c in range(1, 250))


@pytest.fixture(scope="module")
def ca():
    with cadtest.Daemon(tcp=True) as daemon:
        wait_for_crl(daemon)
        https.context(daemon)
        yield daemon
        assert daemon.stop() == 0, daemon.tail()
        daemon.check_log()


@pytest.fixture
def own():
    """One that a test may do anything to; it starts it itself."""
    daemon = cadtest.Daemon(tcp=True)
    daemon.conf = daemon.base / "etc" / "cad.conf"
    daemon.conf.parent.mkdir(mode=0o755)
    daemon.conf.write_text("")
    daemon.args = ["--config", daemon.conf]
    yield daemon
    daemon.close()


def wait_for_crl(daemon):
    daemon.wait_until(lambda: daemon.get("/crl/int-1.crl").status == 200, SEEN_S, "no CRL")


def nas(key=None):
    return csrs.pem(csr(key or csrs.EcKey(), names=[dns("nas.lan")]))


def issue(daemon):
    return daemon.post("/v1/certificates", {"csr": nas()}).expect(201).json["serial"]


def revoke(daemon, serial, reason="superseded"):
    return daemon.post(f"/v1/certificates/{serial}/revoke", {"reason": reason})


def crl(daemon):
    return x509.load_der_x509_crl(daemon.get("/crl/int-1.crl").expect(200).body)


def number(found):
    return found.extensions.get_extension_for_oid(ExtensionOID.CRL_NUMBER).value.crl_number


def on_crl(daemon, serial):
    return crl(daemon).get_revoked_certificate_by_serial_number(int(serial, 16)) is not None


def health(daemon, name):
    return next(check for check in daemon.get("/v1/health").expect(200, 503).json["checks"] if check["name"] == name)


# -- 80: a crowd, and a history that is checked ---------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("faults", [False, True] if FULL else [False], ids=lambda faults: "with faults" if faults else "undisturbed")
def test_a_crowd_is_told_nothing_that_cannot_be_explained(faults):
    seed = random.randrange(1 << 32)
    told = history.run(200 if FULL else 24 if cadtest.sanitized() else 60, 60 if FULL else 3, seed, faults, print)
    for what in (("issue", 201), ("enrol", 201), ("enrol", 401), ("revoke", 200), ("revoke", 409), ("decide", 201), ("decide", 409),
                 ("renew", 201), ("show", 401), ("publish", 200), ("submit", 202)):
        assert told[what], f"seed {seed}: nobody was told {what}, so nothing is proved of it"


def call(what, begun, ended, status=200, how="", on="01", told=None):
    return history.Call(what, on, how, begun, ended, status, told)


# A history of one certificate, and whether it can be explained.
STORIES = {
    "revoked, and then read": ([call("revoke", 1, 2, how="superseded"), call("read", 3, 4, told="revoked")], True),
    "revoked and forgotten": ([call("revoke", 1, 2, how="superseded"), call("read", 3, 4, told="valid")], False),
    "read meanwhile, either is fine": ([call("revoke", 1, 9, how="superseded"), call("read", 3, 4, told="valid"), call("read", 5, 6, told="revoked")], True),
    "read meanwhile, and back": ([call("revoke", 1, 9, how="superseded"), call("read", 3, 4, told="revoked"), call("read", 5, 6, told="valid")], False),
    "revoked twice": ([call("revoke", 1, 5, how="superseded"), call("revoke", 2, 6, how="unspecified")], False),
    "one of two wins": ([call("revoke", 1, 5, how="superseded"), call("revoke", 2, 6, 409, how="unspecified")], True),
    "refused for nothing": ([call("revoke", 1, 2, 409, how="superseded"), call("read", 3, 4, told="valid")], False),
    "a hold, lifted, held": ([call("revoke", 1, 2, how=history.HOLD), call("revoke", 2, 3, how=history.LIFT), call("revoke", 3, 4, how=history.HOLD)], True),
    "lifted though revoked": ([call("revoke", 1, 2, how="superseded"), call("revoke", 3, 4, how=history.LIFT)], False),
    "no answer, and done": ([call("revoke", 1, 2, None, how="superseded"), call("read", 3, 4, told="revoked")], True),
    "no answer, and not done": ([call("revoke", 1, 2, 503, how="superseded"), call("read", 3, 4, told="valid")], True),
    "no answer, done late": ([call("revoke", 1, 2, None, how="superseded"), call("read", 3, 4, told="valid"), call("read", 5, 6, told="revoked")], True),
    "no answer, done and undone": ([call("revoke", 1, 2, None, how="superseded"), call("read", 3, 4, told="revoked"), call("read", 5, 6, told="valid")], False),
    "a revoked one is let in": ([call("revoke", 1, 2, how="superseded"), call("show", 3, 4)], False),
    "a revoked one renews itself": ([call("revoke", 1, 2, how=history.HOLD), call("renew", 3, 4, 201)], False),
    "a good one is turned away": ([call("show", 3, 4, 401)], False),
}


@pytest.mark.parametrize("story", STORIES)
def test_the_check_tells_right_states_from_wrong(story):
    calls, fine = STORIES[story]
    assert (list(history.check_states(calls)) == []) == fine


REVOKED, HELD, LIFTED = (call("revoke", 1, 2, how="superseded"), call("revoke", 1, 2, how=history.HOLD), call("revoke", 3, 4, how=history.LIFT))
ON, OFF = {"01": "superseded"}, {}
# Calls, what a CRL says that was fetched from 10 to 11, after how many seconds it has to, and whether that is fine.
LISTS = {
    "it is on it": ([REVOKED], ON, 5, True), "it is missing": ([REVOKED], OFF, 5, False), "it may still be missing": ([REVOKED], OFF, 9, True),
    "it is missing though published": ([REVOKED, call("publish", 3, 4)], OFF, 9, False),
    "published too early": ([REVOKED, call("publish", 1.5, 4)], OFF, 9, True),
    "for another reason": ([REVOKED], {"01": "unspecified"}, 5, False), "nobody asked for it": ([], ON, 5, False),
    "nobody has asked yet": ([call("revoke", 12, 13, how="superseded")], ON, 5, False),
    "it may be there early": ([call("revoke", 10.5, 13, how="superseded")], ON, 5, True),
    "a hold that was lifted": ([HELD, LIFTED], OFF, 5, True), "a hold that is still there": ([HELD, LIFTED], {"01": history.HOLD}, 5, False),
    "a hold that is being lifted": ([HELD, call("revoke", 9, 12, how=history.LIFT)], OFF, 5, True),
    "a hold, perhaps lifted": ([HELD, call("revoke", 3, 4, None, how=history.LIFT)], OFF, 5, True),
    "perhaps revoked": ([call("revoke", 1, 2, None, how="superseded")], ON, 5, True),
}


@pytest.mark.parametrize("story", LISTS)
def test_the_check_tells_right_crls_from_wrong(story):
    calls, entries, delay_s, fine = LISTS[story]
    fetch = history.Fetch(0, 10, 11, 7, "d")
    assert (list(history.check_crls([fetch], {"d": entries}, calls, delay_s)) == []) == fine


def test_the_check_finds_numbers_that_fall_tokens_that_last_and_answers_that_are_lost():
    fetch = lambda at, number, digest: history.Fetch(0, at, at + 1, number, digest)     # noqa: E731
    good = [fetch(1, 1, "a"), fetch(3, 1, "a"), fetch(5, 2, "b")]
    assert not list(history.check_numbers(good, []))
    assert list(history.check_numbers([*good, fetch(7, 1, "a")], []))
    assert list(history.check_numbers([*good, fetch(7, 2, "c")], []))
    assert list(history.check_numbers([*good, fetch(7, 3, "b")], []))
    assert list(history.check_numbers(good, [call("publish", 1, 2, told=9)]))
    used = [call("enrol", n, n + 1, 201, on="t", told=(f"{n}", "PEM")) for n in range(2)]
    rows = [{"serial": f"{n}", "requester": "token:t"} for n in range(2)]
    assert not list(history.check_tokens(used, {"t": (2, 2)}, rows)) and list(history.check_tokens(used, {"t": (1, 1)}, rows))
    assert list(history.check_tokens(used, {"t": (2, 2)}, rows[:1]))
    assert not list(history.check_certificates(used, rows, {"0": "PEM", "1": "PEM"}))
    assert list(history.check_certificates(used, rows[:1], {"0": "PEM"})) and list(history.check_certificates(used, rows, {"0": "PEM", "1": "other"}))
    twice = [call("issue", 1, 2, 201, how="key", told=("0", "PEM")), call("issue", 3, 4, 201, how="key", told=("1", "PEM"))]
    assert list(history.check_certificates(twice, rows, {"0": "PEM", "1": "PEM"}))
    decided = [call("decide", 1, 2, 201, "approve", "c", ("0", "PEM")), call("decide", 3, 4, 200, "deny", "c")]
    assert list(history.check_requests(decided, {"c": ("approved", "0")})) and not list(history.check_requests(decided[:1], {"c": ("approved", "0")}))
    assert list(history.check_requests([], {"c": ("denied", None)}))


@pytest.mark.sanitize
def test_whoever_publishes_has_all_that_was_revoked_before(ca):
    """Also where a CRL is just being made for somebody else: that one has begun too early."""
    wrong = []

    def one():
        for _ in range(4):
            serial = issue(ca)
            revoke(ca, serial).expect(200)
            ca.post("/v1/crls", {}).expect(200)
            if not on_crl(ca, serial):
                wrong.append(serial)

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong, f"{len(wrong)} were revoked, published, and not on the CRL"


@pytest.mark.parametrize("who", ["the signer", "the CRL"])
def test_a_number_that_one_alone_remembers_holds_no_crl_up_and_is_not_used_again(own, who):
    """All else is of before, and numbers were used faster than seconds passed: the signer chooses the next one, or cad from the CRL."""
    own.start()
    wait_for_crl(own)
    serial = issue(own)
    assert own.stop() == 0
    kept = own.base / "kept"
    kept.mkdir()
    forgotten = [*own.state.glob("cad.db*"), *([own.state / "crl"] if who == "the signer" else own.state.glob("signer/mark"))]
    for path in forgotten:
        (shutil.copytree if path.is_dir() else shutil.copy)(path, kept / path.name)
    own.start()
    for _ in range(25):
        own.post("/v1/crls", {}).expect(200)
    last = number(crl(own))
    assert last > time.time() + 5, "the numbers are not ahead of the clock, so nothing is proved"
    assert own.stop() == 0
    for path in own.state.glob("cad.db*"):
        path.unlink()
    if who == "the signer":
        shutil.rmtree(own.state / "crl")
    else:
        (own.state / "signer" / "log").unlink()
    for path in forgotten:
        (shutil.copytree if (kept / path.name).is_dir() else shutil.copy)(kept / path.name, path)
    own.start()
    revoke(own, serial).expect(200)
    own.wait_until(lambda: on_crl(own, serial), SEEN_S, "the revocation is not published")
    assert number(crl(own)) > last
    own.check_log()


# -- 60: the end --------------------------------------------------------------------------------------------------


def term(daemon):
    daemon.process.send_signal(signal.SIGTERM)


def term_again_and_again(daemon):
    for _ in range(20):
        if daemon.process.poll() is None:
            term(daemon)
        time.sleep(0.005)


def hang_up_and_term(daemon):
    for _ in range(30):
        daemon.process.send_signal(signal.SIGHUP)
        daemon.process.send_signal(signal.SIGPIPE)
        time.sleep(0.01)
    term(daemon)
    daemon.process.send_signal(signal.SIGHUP)


@pytest.mark.slow
@pytest.mark.parametrize("end", [term, term_again_and_again, hang_up_and_term])
def test_a_hundred_in_flight_on_all_listeners_end_in_time_and_nothing_answered_is_lost(end):
    with history.daemon() as ca:
        ca.check_alive = lambda: None
        with history.Crowd(ca, 30 if cadtest.sanitized() else 100, random.randrange(1 << 32)) as crowd:
            ca.wait_until(lambda: len(crowd.calls) > 300, 30, "too little is going on")
            crowd.disturbed = True
            signer, begun = ca.signer_pid, time.monotonic()
            end(ca)
            assert ca.process.wait(cadtest.STOP_S) == 0, ca.tail()
            took = time.monotonic() - begun
            assert took < ENDS_S, f"it took {took:.1f} s"
            ca.wait_until(lambda: not cadtest.is_signer(signer), cadtest.STOP_S, "the signer outlives cad")
            assert not ca.socket.exists() and not ca.ready_file.exists()
        assert any(call.status is None or call.status == 503 for call in crowd.calls), "nobody noticed"
        crash.check_database(ca)
        del ca.check_alive
        ca.start()
        wrong = history.check(ca, crowd, SEEN_S)
        assert not wrong, "\n".join(wrong[:8])
        ca.check_log()


# -- 54: the disk is full -----------------------------------------------------------------------------------------


class Service:
    """Each write that the service knows: name → a call on the Unix socket or over HTTPS."""

    def __init__(self, daemon):
        self.ca = daemon
        https.context(daemon)
        self.waiting = [self.request().expect(202).json["code"] for _ in range(60)]
        self.serials = [issue(daemon) for _ in range(60)]
        self.owner = https.identity(daemon, "device", "cam.lan")
        self.tokens = [daemon.post("/v1/tokens", {"names": ["nas.lan"], "uses": 1000}).expect(201).json for _ in range(3)]
        self.tries = {"issue": self.issue, "revoke": self.revoke, "token": self.token, "enrol": self.enrol, "request": self.request,
                      "deny": self.deny, "approve": self.approve, "renew": self.renew, "publish": self.publish, "backup": self.backup}

    def issue(self):
        return self.ca.post("/v1/certificates", {"csr": nas(), "label": "x" * 200})

    def revoke(self):
        return revoke(self.ca, self.serials.pop())

    def token(self):
        return self.ca.post("/v1/tokens", {"names": [f"n{n}.very.long.name.of.a.sensor.lan" for n in range(100)]})

    def enrol(self):
        return https.request(self.ca, "POST", "/v1/certificates", json.dumps({"csr": nas()}),
                             {**JSON, "Authorization": f"Bearer {self.tokens[0]['token']}"}, source=next(addresses))

    def request(self):
        return https.request(self.ca, "POST", "/v1/requests", json.dumps({"csr": nas()}), JSON, source=next(addresses))

    def deny(self):
        return self.ca.post(f"/v1/requests/{self.waiting.pop()}/deny", {"reason": "no " * 30})

    def approve(self):
        return self.ca.post(f"/v1/requests/{self.waiting.pop()}/approve", {})

    def renew(self):
        return https.request(self.ca, "POST", f"/v1/certificates/{self.owner.serial}/renew", b"{}", JSON, who=self.owner)

    def publish(self):
        return self.ca.post("/v1/crls", {})

    def backup(self):
        return self.ca.request("POST", "/v1/backup")

    def counts(self):
        """What the store has of each kind."""
        lists = {"certificates": 500, "tokens": 500, "requests": 500}
        return {name: len(self.ca.get(f"/v1/{name}?limit={limit}").expect(200).json[name]) for name, limit in lists.items()}


def refused_for_want_of_room(service, disk, name):
    """The first refusal; small writes may find room in what SQLite has already."""
    for _ in range(40):
        disk.fill()
        answer = service.tries[name]()
        if answer.status == 503:
            return test_full_disk.check_problem(answer)
        answer.expect(200, 201, 202)
    raise AssertionError(f"{name} goes on though the disk is full")


@pytest.mark.slow
@pytest.mark.sanitize
def test_every_write_of_the_service_says_that_the_disk_is_full_and_heals():
    base = pathlib.Path(tempfile.mkdtemp(prefix="cad-full-"))      # short: a socket's path
    try:
        with test_full_disk.layout(base, "all of it") as (state, disk), cadtest.Daemon(state=state, tcp=True) as ca:
            wait_for_crl(ca)
            service, pids = Service(ca), ca.pids()
            disk.fill()
            for name in service.tries:
                refused_for_want_of_room(service, disk, name)
            test_full_disk.wait_until_red(ca)
            before = service.counts()
            for path in ("/v1/certificates?limit=5", "/v1/tokens", "/v1/requests", "/v1/audit", "/v1/audit/anchors", "/v1/crls", "/metrics",
                         f"/v1/certificates/{service.owner.serial}", f"/v1/certificates/{service.owner.serial}/renewal"):
                ca.get(path).expect(200)
            for kind, path in (("http", "/crl/int-1.crl"), ("http", "/ca/int-1.crt"), ("http", "/root.crt"), ("https", "/v1/ca")):
                https.request(ca, "GET", path, kind=kind).expect(200)
            assert https.request(ca, "GET", "/v1/health").status == 503
            assert service.counts() == before, "something that was refused is there"
            begun = time.monotonic()
            disk.empty()
            test_full_disk.heals(ca, begun)
            for name, act in service.tries.items():
                ca.wait_until(lambda act=act: act().status in (200, 201, 202), test_full_disk.HEALS_S, f"{name} does not work again")
            assert ca.pids() == pids, "a process did not live through it"
            gone = service.serials[-1]
            revoke(ca, gone).expect(200)
            ca.wait_until(lambda: on_crl(ca, gone), 2 * SEEN_S, "no CRL")
            assert list(history.audit_verify(ca)) == []
            assert not [path for path in state.rglob("*") if path.suffix in (".new", ".tmp", ".part")]
            assert ca.stop() == 0
            crash.check_database(ca)
            ca.start()
            assert list(history.audit_verify(ca)) == []
            ca.check_log()
    finally:
        shutil.rmtree(base, ignore_errors=True)


# -- 47, 48, 53: slow, idle and rude ones, against the real thing ---------------------------------------------------


def descriptors(daemon):
    return len(os.listdir(f"/proc/{daemon.pid}/fd"))


def settled(daemon, most, limit_s=40):     # a request has 30 s, whoever has gone
    daemon.wait_until(lambda: descriptors(daemon) <= most, limit_s, f"{descriptors(daemon)} descriptors are open, {most} should be")


@contextlib.contextmanager
def many_files(count):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count:
        pytest.skip(f"at most {hard} files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def p99(daemon, kind="unix", path="/v1/certificates?limit=1", count=50):
    """Of requests with a connection each, from an address of their own."""
    times, source = [], next(addresses)
    for _ in range(count):
        begun = time.monotonic()
        (daemon.get(path) if kind == "unix" else https.request(daemon, "GET", path, kind=kind, source=source)).expect(200)
        times.append(time.monotonic() - begun)
    return sorted(times)[count * 99 // 100]


def healthy(daemon, alone=None):
    """{listener: p99} of those who behave; with @alone: none of them is ten times that, in the best of three tries. (A machine that
    has other things to do is no fault.)"""
    calls = {"unix": "/v1/certificates?limit=1", "https": "/v1/ca", "http": "/crl/int-1.crl"}
    found = {kind: p99(daemon, kind, path) for kind, path in calls.items()}
    for kind, path in calls.items():
        for _ in range(2):
            if alone and found[kind] > 10 * alone[kind] + 0.05:
                found[kind] = p99(daemon, kind, path)
        assert not alone or found[kind] < 10 * alone[kind] + 0.05, f"{kind}: p99 {found[kind] * 1e3:.1f} ms beside {alone[kind] * 1e3:.1f} ms alone"
    return found


def from_elsewhere(daemon, kind, context=None):
    """A connection from an address that nobody else has; HTTPS with @context through its handshake, else silent in the middle of it."""
    sock = socket.create_connection(("127.0.0.1", daemon.port(kind)), timeout=cadtest.ANSWER_S, source_address=(next(addresses), 0))
    return context.wrap_socket(sock, server_hostname="localhost") if context else sock


IDLE = (b"", b"GET /crl/int-1.crl HT", b"GET /v1/ca HTTP/1.1\r\nHost: localhost\r\nX-A: ", b"POST /v1/requests HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nContent-Length: 900\r\n\r\n{")


def test_a_thousand_idle_connections_delay_nobody_and_are_gone_afterwards(ca):
    """Silent, in the middle of a handshake, of a header, of a body. A third of all connections is each listener's: where one is full,
    the others do not notice."""
    with many_files(3000), contextlib.ExitStack() as stack:
        before, alone, tls = descriptors(ca), healthy(ca), https.context(ca)

        def hold(kind, sent, context=None):
            with contextlib.suppress(*GONE, ssl.SSLError):      # over the limit: turned away, or waits
                sock = stack.enter_context(ca.connect() if kind == "unix" else from_elsewhere(ca, kind, context))
                sock.sendall(sent)

        for kind, count in (("http", 300), ("https", 300), ("unix", 200)):
            for n in range(count):
                shakes = kind == "https" and n < 100
                hold(kind, b"" if kind == "https" and not shakes else IDLE[n % (3 if kind == "http" else 4)], tls if shakes else None)
        ca.wait_until(lambda: descriptors(ca) > before + 750, 5, "too few connections are accepted")
        healthy(ca, alone)
        for _ in range(200):
            hold("http", b"")
        assert p99(ca) < 10 * alone["unix"] + 0.05 and p99(ca, "https", "/v1/ca") < 10 * alone["https"] + 0.05
    settled(ca, before + 10)
    healthy(ca, alone)


def endless(sock, head, piece):
    """Send without an end until it is answered or closed. Return: (status or None, octets sent)."""
    sent, limit = 0, time.monotonic() + 20
    with contextlib.suppress(*GONE):
        sock.sendall(head)
        while time.monotonic() < limit and sent < 64 << 20:
            sock.sendall(piece)
            sent += len(piece)
            if readable(sock, 0):
                return read_reply(sock).status, sent
    with contextlib.suppress(AssertionError, *GONE):
        return read_reply(sock, timeout=2).status, sent
    return None, sent


@pytest.mark.sanitize
@pytest.mark.parametrize("kind, path", [("unix", b"/v1/certificates"), ("https", b"/v1/requests"), ("https", b"/v1/certificates"), ("http", b"/crl/int-1.crl")],
                         ids=["issuing", "a request", "a stranger", "plain HTTP"])
@pytest.mark.parametrize("how", ["chunks", "a length", "fields"])
def test_what_never_ends_is_answered_and_closed(ca, kind, path, how):
    head = b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    data = {"chunks": (head + b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b" " * 4096 + b"\r\n"),
            "a length": (head + b"Content-Length: 1099511627776\r\n\r\n", b" " * 4096), "fields": (head, b"X-A: " + b"a" * 4000 + b"\r\n")}[how]
    before, memory = descriptors(ca), ca.memory_kib()
    with ca.connect() if kind == "unix" else from_elsewhere(ca, kind, https.context(ca) if kind == "https" else None) as sock:
        status, sent = endless(sock, *data)
        assert status in ({431} if how == "fields" else {413, 401, 405}) or (status is None and sent), status
        assert sent < 8 << 20, f"{sent} octets were taken"
        if readable(sock, 5):
            with contextlib.suppress(*GONE):
                while sock.recv(65536):
                    pass
    settled(ca, before)
    assert cadtest.sanitized() or ca.memory_kib() < memory + 16384
    ca.get("/v1/ca").expect(200)


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def maps(daemon):
    return len(pathlib.Path(f"/proc/{daemon.pid}/maps").read_text().splitlines())


@pytest.mark.slow
@pytest.mark.sanitize
def test_replies_that_are_lent_are_given_back_whoever_goes_away(own):
    """A CRL is lent to an answer without a copy, a backup is a mapped file without a name: readers who stop in the middle, half close or
    reset leave neither behind, while new ones are made."""
    own.start()
    wait_for_crl(own)
    for _ in range(200):
        revoke(own, issue(own)).expect(200)
    own.post("/v1/crls", {}).expect(200)
    tls = https.context(own)
    get = b"GET /crl/int-1.crl HTTP/1.1\r\nHost: localhost\r\n\r\n"

    def rude(n):
        if n % 10 == 9:
            sock, data = own.connect(), b"POST /v1/backup HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
        else:
            kind = ("http", "https")[n % 2]
            sock, data = from_elsewhere(own, kind, tls if kind == "https" else None), get * (1, 8)[n // 2 % 2]
        with contextlib.suppress(*GONE):
            sock.sendall(data)
            if n % 4 == 0 and not isinstance(sock, ssl.SSLSocket):
                sock.shutdown(socket.SHUT_WR)
            if n % 3:
                sock.recv(1000)
        if n % 20 == 0:
            own.post("/v1/crls", {}).expect(200, 503)
        (reset if n % 2 or n % 10 == 9 else socket.socket.close)(sock)

    for n in range(60):     # what is there once is there
        rude(n)
    time.sleep(1)
    before, mapped, memory = descriptors(own), maps(own), own.memory_kib()
    for n in range(60 if cadtest.sanitized() else 200):
        rude(n)
    settled(own, before + 2)
    own.wait_until(lambda: maps(own) <= mapped + 8, 10, f"{maps(own)} maps, {mapped} before")
    assert cadtest.sanitized() or own.memory_kib() < memory + 8192, f"{own.memory_kib()} KiB, {memory} before"
    assert not any("(deleted)" in os.readlink(f"/proc/{own.pid}/fd/{fd}") and "backup" in os.readlink(f"/proc/{own.pid}/fd/{fd}")
                   for fd in os.listdir(f"/proc/{own.pid}/fd") if os.path.islink(f"/proc/{own.pid}/fd/{fd}"))
    own.get("/crl/int-1.crl").expect(200)
    own.check_log()


def test_readers_who_do_not_read_delay_nobody(ca):
    """Pipelined until the window is full, on both; others are served at once."""
    tls, alone = https.context(ca), healthy(ca)
    with contextlib.ExitStack() as stack:
        for n in range(60):
            sock = stack.enter_context(from_elsewhere(ca, "https", tls) if n % 2 else from_elsewhere(ca, "http"))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            sock.settimeout(0.05)
            path = b"/v1/profiles" if n % 2 else b"/ca/int-1.crt"
            with contextlib.suppress(OSError):
                for _ in range(300):
                    sock.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        healthy(ca, alone)


# -- 62, 63: descriptors and threads ---------------------------------------------------------------------------------


def test_without_descriptors_it_waits_quietly_and_goes_on(own):
    """EMFILE at every accept, and for whatever makes a file: no busy loop, a clear word, and then all is well."""
    own.start()
    wait_for_crl(own)
    tls, serial = https.context(own), issue(own)
    with own.connect() as kept, contextlib.ExitStack() as stack:
        kept.sendall(b"GET /v1/ca HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert read_reply(kept, wait_close=0).status == 200
        before = descriptors(own)
        hard = resource.prlimit(own.pid, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(own.pid, resource.RLIMIT_NOFILE, (before + 6, hard))
        for n in range(30):
            stack.enter_context(from_elsewhere(own, ("http", "https")[n % 2]))
        time.sleep(0.3)
        used = own.cpu_ns()
        time.sleep(1.5)
        used = (own.cpu_ns() - used) / 1.5e9
        assert used < 0.15 or cadtest.sanitized(), f"{used:.0%} of a processor for nothing"
        kept.sendall(b"POST /v1/crls HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        answer = read_reply(kept, wait_close=0)
        assert answer.status in (200, 500, 503), answer
        kept.sendall(f"POST /v1/certificates/{serial}/revoke HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode())
        assert read_reply(kept, wait_close=0).status in (200, 503)
        resource.prlimit(own.pid, resource.RLIMIT_NOFILE, (hard, hard))
    own.check_alive()
    own.wait_until(lambda: https.request(own, "GET", "/v1/ca", source=next(addresses)).status == 200, 15, "it does not recover")
    own.wait_until(lambda: revoke(own, serial).status in (200, 409), 10, "it does not recover")
    own.wait_until(lambda: on_crl(own, serial), 2 * SEEN_S, "no CRL")
    own.wait_until(lambda: own.get("/v1/health").status == 200, 15, "health stays red")
    assert tls
    own.check_log()


@AS_ROOT
def test_without_threads_it_does_not_start_and_says_so(own):
    uid = 40000 + os.getpid() % 20000       # nobody's: the limit is of a user
    for path in (own.base, own.state, own.conf.parent, own.conf):
        os.chown(path, uid, uid)

    def before():
        resource.setrlimit(resource.RLIMIT_NPROC, (6, 6))
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)

    said = own.start_refused(preexec_fn=before)
    assert re.search("thread|process|cannot start|temporarily unavailable", said), said
    assert not own.socket.exists()
    assert not [pid for pid in os.listdir("/proc") if pid.isdigit() and owner_of(pid) == uid], "something of it is left"


def owner_of(pid):
    with contextlib.suppress(OSError):
        return os.stat(f"/proc/{pid}").st_uid
    return None


# -- 64: the signer hangs while a CRL is made -------------------------------------------------------------------------


def test_a_signer_that_hangs_holds_up_no_revocation_and_no_reader(own):
    own.start()
    wait_for_crl(own)
    serials, signer, before = [issue(own) for _ in range(20)], own.signer_pid, number(crl(own))
    os.kill(signer, signal.SIGSTOP)
    try:
        told = []
        asking = threading.Thread(target=lambda: told.append((own.post("/v1/crls", {}), time.monotonic())))
        begun = time.monotonic()
        asking.start()
        time.sleep(0.1)
        for serial in serials:
            asked = time.monotonic()
            revoke(own, serial).expect(200)
            assert time.monotonic() - asked < 1, "a revocation waits for the signer"
        https.request(own, "GET", "/crl/int-1.crl", kind="http").expect(200)
        asking.join(30)
        (answer, at), = told
        assert at - begun < 6, f"who asked for a CRL waited {at - begun:.1f} s"
        if answer.status != 200:        # the new signer may be that fast
            answer.expect(503)
            assert int(answer.headers["retry-after"]) > 0 and "signer" in answer.json["detail"]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(signer, signal.SIGCONT)
    own.wait_until(lambda: own.signer_pid not in (None, signer), 10, "there is no new signer")
    own.wait_until(lambda: all(on_crl(own, serial) for serial in serials), SEEN_S, "the CRL is not made up for")
    assert number(crl(own)) > before
    own.wait_until(lambda: own.get("/v1/health").status == 200, 10, "health stays red")
    own.check_log()


# -- 69: sockets ------------------------------------------------------------------------------------------------------


def test_a_port_that_is_taken_leaves_nothing_half_started(own):
    """Whichever comes last: no socket, no endpoints, no CA's processes, and the other port is free again."""
    with socket.socket() as taken, socket.socket() as free:
        for sock in (taken, free):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", 0))
        taken.listen()
        port = free.getsockname()[1]
        free.close()
        own.listen = ["--https", f"127.0.0.1:{port}", "--http", f"127.0.0.1:{taken.getsockname()[1]}"]
        assert "taken" in own.start_refused()
        assert not own.socket.exists() and not own.ready_file.exists()
        with socket.socket() as again:
            again.bind(("127.0.0.1", port))
    own.listen = cadtest.listen_args(tcp=True)
    own.start()
    own.get("/v1/ca").expect(200)


@AS_ROOT
def test_without_ipv6_the_defaults_are_those_of_ipv4(own):
    """In a network of its own, where IPv6 is turned off."""
    script = "ip link set lo up && echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6 && exec \"$@\""
    own.listen = []
    with open(own.log, "ab") as log:
        own.process = subprocess.Popen(["unshare", "-n", "sh", "-c", script, "sh", cadtest.CAD, "--state-dir", own.state, *map(str, own.args)],
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=own.env, cwd=own.base)
    try:
        own.wait_until(own.ready, 20, "cad is not ready")
    except AssertionError:
        if re.search("unshare|RTNETLINK|nonexistent directory|cannot create|Operation not permitted", own.log_text()):
            pytest.skip("no networks of one's own here")
        raise
    found = own.endpoints
    assert found["https"].endswith(":8443") and found["http"].endswith(":8080"), found
    look = "import socket; [socket.create_connection(('127.0.0.1', port), timeout=5).close() for port in (8443, 8080)]"
    subprocess.run(["nsenter", "-n", "-t", str(own.pid), sys.executable, "-c", look], check=True, timeout=20)
    assert own.stop() == 0


# -- 72: configuration ------------------------------------------------------------------------------------------------

WRONG = [("Listen", line) for line in (
    "Https=nonsense", "Https=localhost:8443", "Http=1.2.3.4", "Http=[::1]", "Http=127.0.0.1:70000", "PublicUrl=ca.lan", "PublicUrl=https://ca.lan",
    "Names=nas..lan", "Names=a b*", "HttpsValidity=1s", "HttpsValidity=soon", "Htpps=no", "https=no")] + [("Enrolment", line) for line in (
        "Anonymous=yes", "Anonymous=", "QueueMax=0", "QueueMax=99999", "PerSource=x", "PerSource=-1", "Expires=1s", "Expires=", "Tokens=yes")] + [
    ("Crl", line) for line in ("Validity=5s", "Validity=500d", "Validity=", "Refresh=0", "Refresh=-1h", "Refrsh=1h")] + [
    ("Audit", line) for line in ("AnchorEvery=0s", "AnchorEvery=2d", "AnchorEvery=", "Anchor=1s")] + [
    ("Alert", line) for line in ("Command=mail root", "Command=\"/bin/x", "Commnd=/bin/true")] + [
    ("Metrics", line) for line in ("Access=everybody", "Access=", "Acces=public")] + [
    ("Access", line) for line in ("Operator=cert:", "Reader=spki:12", "Admin=token:x", "Owner=uid:0")] + [
    ("Limits", line) for line in ("ConnectionsPerPeer=0", "ConnectionsPerPeer=1e3", "Conections=4")] + [("Tokens", "Max=5"), ("Backup", "Every=1d")]


@pytest.mark.parametrize("section, line", WRONG, ids=[f"{section} {line}" for section, line in WRONG])
def test_a_setting_that_is_wrong_is_told_with_file_and_line(tmp_path, section, line):
    tmp_path.chmod(0o755)
    (tmp_path / "cad.conf").write_text(f"# a comment\n\n[{section}]\n{line}\n")
    done = cadtest.run(["check-config", "--config", tmp_path / "cad.conf", "--state-dir", tmp_path / "state"], cwd=tmp_path)
    assert done.returncode == 1 and "cad.conf:4:" in done.stderr and done.stderr.count("\n") == 1, done
    key, _, value = line.partition("=")
    assert key in done.stderr or (value and value in done.stderr) or section in done.stderr, done.stderr


def test_a_reload_of_what_is_wrong_keeps_every_setting_and_says_so(own):
    own.conf.write_text("[Crl]\nValidity=2h\n[Enrolment]\nAnonymous=no\n[Metrics]\nAccess=public\n")
    own.start()
    wait_for_crl(own)

    def as_it_was():
        own.post("/v1/crls", {}).expect(200)
        assert crl(own).next_update <= datetime.datetime.utcnow() + datetime.timedelta(hours=2, seconds=1)
        https.request(own, "POST", "/v1/requests", json.dumps({"csr": nas()}), JSON, source=next(addresses)).expect(401)
        https.request(own, "GET", "/metrics", source=next(addresses)).expect(200)

    as_it_was()
    for n, (section, line) in enumerate(WRONG):
        own.conf.write_text(f"[Crl]\nValidity=1d\n[Enrolment]\nAnonymous=request\n[{section}]\n{line}\n")
        before = len(own.log_text())
        own.process.send_signal(signal.SIGHUP)
        own.wait_until(lambda: "the old one stays" in own.log_text()[before:], 10, f"nothing is said of [{section}] {line}")
        assert "cad.conf:6:" in own.log_text()[before:], (section, line)
        if n % 12 == 0:
            as_it_was()
    as_it_was()
    own.conf.write_text("")
    own.process.send_signal(signal.SIGHUP)
    own.wait_until(lambda: https.request(own, "POST", "/v1/requests", json.dumps({"csr": nas()}), JSON, source=next(addresses)).status == 202, 10,
                   "what is right is not read any more")


# -- 73: it was off for too long --------------------------------------------------------------------------------------


def issuer(daemon):
    folder = daemon.state / "signer" / "ca"
    return (x509.load_pem_x509_certificate((folder / "int-1.crt").read_bytes()),
            serialization.load_pem_private_key((folder / "int-1.key").read_bytes(), None))


def let_lapse(daemon, serial):
    """The stored CRL becomes one of the same number whose time is over, as if cad had been off for long; @serial is on it."""
    certificate, key = issuer(daemon)
    path, now = daemon.state / "crl" / "int-1.crl", datetime.datetime.utcnow()
    was = x509.load_der_x509_crl(path.read_bytes())
    builder = x509.CertificateRevocationListBuilder().issuer_name(certificate.subject).last_update(now - datetime.timedelta(days=8)).next_update(
        now - datetime.timedelta(days=1))
    for extension in was.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    builder = builder.add_revoked_certificate(was.get_revoked_certificate_by_serial_number(int(serial, 16)))
    path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER))
    return number(was)


def fresh(daemon):
    return crl(daemon).next_update > datetime.datetime.utcnow()


@pytest.mark.sanitize
def test_a_crl_that_lapsed_while_it_was_off_is_made_anew_at_once(own):
    own.start()
    wait_for_crl(own)
    serial = issue(own)
    revoke(own, serial).expect(200)
    own.wait_until(lambda: on_crl(own, serial), SEEN_S, "no CRL")
    assert own.stop() == 0
    before = let_lapse(own, serial)
    own.ready = own.ready_file.exists
    own.start()
    own.wait_until(lambda: fresh(own), SEEN_S, "no new CRL")
    assert number(crl(own)) > before and on_crl(own, serial)
    own.wait_until(lambda: own.get("/v1/health").status == 200, SEEN_S, "health stays red")
    own.check_log()


def test_a_crl_that_lapsed_and_cannot_be_made_is_served_and_told(own):
    """R-23: the signer refuses, since it signed at a later time once. cad starts, serves what there is, says so, and mends it when it can."""
    own.start()
    wait_for_crl(own)
    serial = issue(own)
    revoke(own, serial).expect(200)
    own.wait_until(lambda: on_crl(own, serial), SEEN_S, "no CRL")
    assert own.stop() == 0
    before, mark = let_lapse(own, serial), own.state / "signer" / "mark"
    mark.write_text(re.sub(r"^\d+", str(int((time.time() + 86400) * 1000)), mark.read_text()))
    own.ready = own.ready_file.exists
    own.start()
    own.wait_until(lambda: health(own, "crl")["status"] == "failing", SEEN_S, "health does not see it")
    row = health(own, "crl")
    assert re.search("ended|lapsed|over|expired", row["detail"]) and own.get("/v1/health").status == 503, row
    assert own.get("/v1/crls").json["crls"][0]["status"] == "lapsed"
    https.request(own, "GET", "/root.crt", kind="http").expect(200)
    assert not fresh(own) and on_crl(own, serial), "what there is, is served"
    own.get("/v1/certificates").expect(200)
    own.post(f"/v1/certificates/{serial}/revoke", {"reason": "superseded"}).expect(409)
    assert own.stop() == 0
    done = cadtest.run(["clock", "accept", "--state-dir", own.state])
    assert done.returncode == 0, done
    own.start()
    own.wait_until(lambda: fresh(own), SEEN_S, "no new CRL")
    assert number(crl(own)) > before and on_crl(own, serial)
    own.wait_until(lambda: own.get("/v1/health").status == 200, SEEN_S, "health stays red")
    own.check_log()


# -- 28, 29: what must never be kept ------------------------------------------------------------------------------------


def test_a_private_key_in_any_member_of_any_call_is_kept_nowhere(own):
    """Refused where it stands for something else, and in no log, no row, no file."""
    own.start()
    key = ec.generate_private_key(ec.SECP256R1())
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    secret = key.private_numbers().private_value.to_bytes(32, "big")
    serial = issue(own)
    code = own.post("/v1/requests", {"csr": nas()}).expect(202).json["code"]
    good = nas()
    calls = [("/v1/certificates", {"csr": good, "label": text}), ("/v1/certificates", {"csr": good, "names": [text]}),
             ("/v1/certificates", {"csr": text + good}), ("/v1/certificates", {"csr": good, "profile": text[:60]}),
             ("/v1/requests", {"csr": good + text}), ("/v1/requests", {"csr": text}), ("/v1/requests", {"csr": good, "label": text[:190]}),
             (f"/v1/certificates/{serial}/renew", {"csr": text}), (f"/v1/certificates/{serial}/renew", {"csr": good + text}),
             (f"/v1/certificates/{serial}/revoke", {"reason": text[:60]}), ("/v1/tokens", {"names": [text[:200]]}),
             ("/v1/tokens", {"names": ["nas.lan"], "label": text[:190]}), (f"/v1/requests/{code}/approve", {"names": [text[:200]]}),
             (f"/v1/requests/{code}/approve", {"label": text[:190]}), (f"/v1/requests/{code}/deny", {"reason": text[:190]})]
    for path, body in calls:
        answer = own.post(path, body)
        assert 400 <= answer.status < 500, (path, list(body), answer)
    line = "".join(text.splitlines()[1:3])
    for headers in ({"Authorization": f"Bearer {line}"}, {"Idempotency-Key": line[:60]}, {"X-A": line}):
        own.post("/v1/certificates", {"csr": text}, **headers).expect(400, 401, 422)
    own.get(f"/v1/certificates?name={line[:40]}").expect(200, 400, 422)
    assert own.stop() == 0
    pieces = [text.splitlines()[1][:40].encode(), text.splitlines()[1][-30:].encode(), secret, secret.hex().encode()]
    for path in [own.log, *(path for path in own.state.rglob("*") if path.is_file())]:
        content = path.read_bytes()
        for piece in pieces:
            assert piece not in content, (path, piece)


# -- the table ------------------------------------------------------------------------------------------------------------


def test_each_test_that_the_table_of_threats_names_is_there():
    project = pathlib.Path(__file__).resolve().parents[2]
    named = re.findall(r"`(test[-_][\w.-]+)::(\w+)`", (project / "docs" / "threats-tests.md").read_text())
    assert len(named) > 80
    for file, name in named:
        folder, form = ("unit", f"START_TEST({name})") if file.endswith(".c") else ("integration", f"def {name}(")
        path = project / "tests" / folder / file
        assert path.exists() and form in path.read_text(), f"{file} has no {name}"
