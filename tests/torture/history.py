#!/usr/bin/python3
"""A crowd of clients on every listener, and a check of all that they were told (threats.md §4: 80).

    tests/torture/history.py [--clients N] [--seconds S] [--faults] [--seed N]

Operators on the Unix socket and over HTTPS issue, revoke, hold, lift, publish, make tokens and decide on requests;
devices enrol with tokens, strangers hand in requests, owners renew and revoke themselves, and others only fetch CRLs.
Each call is written down with its begin, its end and what was said; check() then looks for what cannot be explained:

- a serial that was answered twice, is not in the store, or is another certificate there;
- states of a certificate that no order of the calls gives (each call takes effect at one moment between its begin and
  its end; one that was answered 503 or lost may or may not have);
- a CRL whose number went back, or that lacks what was revoked DELAY_S before, or before somebody had it published;
- a token used more often than it may be, a request decided twice, an Idempotency-Key with two certificates;
- an audit that does not verify, or has not one row for each certificate and each change.
"""

import argparse
import collections
import contextlib
import dataclasses
import hashlib
import http.client
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from cryptography import x509  # noqa: E402
from cryptography.x509.oid import CRLEntryExtensionOID, ExtensionOID  # noqa: E402

import cadtest  # noqa: E402
import crash  # noqa: E402
import csrs  # noqa: E402
import https  # noqa: E402

DELAY_S = 5             # from a revocation to a CRL that shows it, as promised
SLOW_S = 3              # and what a machine with nothing but this crowd on it may add
AGAIN_S = 15            # and until those who were killed are back and have made what they missed
FOREVER = float("inf")
CONF = """[Access]
Operator=cert:ops
[Enrolment]
PerSource=20
QueueMax=1000
[Audit]
AnchorEvery=1s
"""
REASONS = ("superseded", "cessation_of_operation", "affiliation_changed", "unspecified")
HOLD, LIFT = "certificate_hold", "remove_from_crl"
VALID, HELD, REVOKED = "valid", "held", "revoked"


# -- What is written down ------------------------------------------------------------------------

@dataclasses.dataclass(frozen=True)
class Call:
    """@what: issue, revoke, read, show (a client certificate), publish, enrol, submit, decide, renew; @on: a serial, a token's
    id, a request's code; @how: the reason, or the decision; @status: None if no answer came; @told: what is of interest in it."""
    what: str
    on: str
    how: str
    begun: float
    ended: float
    status: int
    told: object = None

    @property
    def done(self):
        return self.status in (200, 201, 202)

    @property
    def unknown(self):
        """It may have been done, or may still be."""
        return self.status is None or self.status == 503


@dataclasses.dataclass(frozen=True)
class Fetch:
    """One download of the CRL of int-1. @poller: who; @digest: of its octets."""
    poller: int
    begun: float
    ended: float
    number: int
    digest: str


# -- What must be true: pure, so that it can be tried on histories that are wrong -----------------

def after(state, call):
    """The state that @call leaves, and whether it may be answered with that status in @state. A revocation that is refused
    changes nothing, and so does an owner who is told to come back later."""
    if call.status == 429:
        return state, call.what == "renew"
    if call.what == "revoke":
        may = {HOLD: state == VALID, LIFT: state == HELD}.get(call.how, state != REVOKED)
        became = {HOLD: HELD, LIFT: VALID}.get(call.how, REVOKED)
        return (became, may) if call.done else (state, not may and call.status == 409)
    if call.what == "read":
        return state, call.told == state
    if call.what == "show":
        return state, (call.status == 200) == (state == VALID)
    return state, (state == VALID) == call.done         # renew


def explained(calls):
    """Is there an order of @calls on one serial that respects who ended before whom, and explains each answer?
    (Wing and Gong's search, with what was seen before.)"""
    calls = sorted(calls, key=lambda call: call.begun)
    ends = [FOREVER if call.unknown else call.ended for call in calls]
    needed = sum(1 << n for n, call in enumerate(calls) if not call.unknown)
    seen, todo = set(), [(0, VALID)]
    while todo:
        done, state = todo.pop()
        if done & needed == needed:
            return True
        if (done, state) in seen:
            continue
        seen.add((done, state))
        first_end = min(end for n, end in enumerate(ends) if not done >> n & 1)
        for n, call in enumerate(calls):
            if call.begun > first_end:
                break
            if done >> n & 1:
                continue
            if call.unknown:
                became, may = after(state, dataclasses.replace(call, status=200))
            else:
                became, may = after(state, call)
            if may:
                todo.append((done | 1 << n, became))
    return False


def check_states(calls):
    by_serial = collections.defaultdict(list)
    for call in calls:
        if call.what in ("revoke", "read", "show", "renew") and not (call.unknown and call.what != "revoke"):
            by_serial[call.on].append(call)
    for serial, those in by_serial.items():
        if not explained(those):
            story = "\n  ".join(f"{c.begun:.3f} to {c.ended:.3f}: {c.what} {c.how} {c.status} {c.told}" for c in sorted(
                those, key=lambda call: call.begun))
            yield f"no order explains what was said of {serial}:\n  {story}"


def check_numbers(fetches, published):
    """Of one poller they never fall; over all, what was seen before a fetch began is not above it; one number is one CRL."""
    digests, last, told = {}, 0, sorted([(f.ended, f.number) for f in fetches] + [(c.ended, c.told) for c in published if c.done])
    for fetch in fetches:
        if digests.setdefault(fetch.number, fetch.digest) != fetch.digest:
            yield f"two CRLs have the number {fetch.number}"
    if len(set(digests.values())) != len(digests):
        yield "one CRL was seen under two numbers"
    n = 0
    for fetch in sorted(fetches, key=lambda fetch: fetch.begun):
        while n < len(told) and told[n][0] < fetch.begun:
            last = max(last, told[n][1])
            n += 1
        if fetch.number < last:
            yield f"poller {fetch.poller} got number {fetch.number} though {last} was there before"


def check_crls(fetches, contents, calls, delay_s):
    """@contents: {digest: {serial: reason}}. A CRL knows what was said @delay_s before its fetch began, or before a publication
    was asked for that was answered by then; and nothing that nobody had asked for when it ended."""
    changes = collections.defaultdict(list)
    for call in calls:
        if call.what == "revoke" and (call.done or call.unknown):
            changes[call.on].append(call)
    published = sorted((call.ended, call.begun) for call in calls if call.what == "publish" and call.done)
    known, n = -FOREVER, 0
    for fetch in sorted(fetches, key=lambda fetch: fetch.begun):
        while n < len(published) and published[n][0] < fetch.begun:
            known = max(known, published[n][1])
            n += 1
        horizon, entries = max(known, fetch.begun - delay_s), contents[fetch.digest]
        for serial in set(entries) - set(changes):
            yield f"{serial} is on CRL {fetch.number}, and nobody revoked it"
        for serial, those in changes.items():
            yield from check_entry(fetch, horizon, serial, those, entries.get(serial))


def check_entry(fetch, horizon, serial, changes, reason):
    """@reason: None where it is not on the CRL."""
    ending = lambda call: FOREVER if call.unknown else call.ended   # noqa: E731
    ons, offs = [c for c in changes if c.how != LIFT], [c for c in changes if c.how == LIFT]
    settled = [c for c in ons if c.done and c.ended < horizon and not any(
        ending(off) > c.begun and off.begun < fetch.ended for off in offs)]
    if settled and reason is None:
        ago = fetch.begun - max(c.ended for c in settled)
        yield f"{serial} is not on CRL {fetch.number}, {ago:.1f} s after its revocation was answered"
    if reason is not None and not any(on.begun < fetch.ended for on in ons):
        yield f"{serial} is on CRL {fetch.number}, and nobody had revoked it yet"
    lifted = [c for c in offs if c.done and c.ended < horizon and not any(
        ending(on) > c.begun and on.begun < fetch.ended for on in ons)]
    if lifted and reason is not None:
        yield f"{serial} is still on CRL {fetch.number}, though its hold was lifted"
    final = [c for c in settled if c.how != HOLD]
    if final and reason is not None and reason != final[0].how and not any(c.unknown for c in ons):
        yield f"{serial} is on CRL {fetch.number} for {reason}, and was revoked for {final[0].how}"


def lag(fetches, contents, calls):
    """The longest time from the answer to a final revocation to the first fetch that shows it, seconds."""
    first = {}
    for fetch in sorted(fetches, key=lambda fetch: fetch.ended):
        for serial in contents[fetch.digest]:
            first.setdefault(serial, fetch.ended)
    return max((first[c.on] - c.ended for c in calls if c.what == "revoke" and c.done and c.how not in (HOLD, LIFT) and c.on in first),
               default=0)


def certificates(calls):
    """Calls that were answered with a certificate, whose @told is (serial, PEM)."""
    return [call for call in calls if call.status == 201 and call.what in ("issue", "enrol", "renew", "decide")]


def check_certificates(calls, rows, pem_of):
    """@rows: of the store; @pem_of: serial → the PEM that is given out now."""
    answers, keys = collections.defaultdict(set), collections.defaultdict(set)
    for call in certificates(calls):
        answers[call.told[0]].add((call.what, call.on, call.how, call.told[1]) if call.how else (call.what, id(call)))
        if call.what == "issue" and call.how:
            keys[call.how].add(call.told[0])
    for serial, those in answers.items():
        if len(those) > 1:
            yield f"{serial} was given to {len(those)}"
    for key, serials in keys.items():
        if len(serials) > 1:
            yield f"the Idempotency-Key {key} has {len(serials)} certificates"
    serials = [row["serial"] for row in rows]
    if len(set(serials)) != len(serials):
        yield "a serial is in the store twice"
    for call in certificates(calls):
        if call.told[0] not in pem_of:
            yield f"{call.told[0]} was answered and is not in the store"
        elif pem_of[call.told[0]] != call.told[1]:
            yield f"{call.told[0]} is another certificate now"


def check_tokens(calls, tokens, rows):
    """@tokens: {id: (uses, used as the store says)}."""
    held = collections.Counter(row["requester"].removeprefix("token:") for row in rows if row["requester"].startswith("token:"))
    for token, (uses, used) in tokens.items():
        mine = [call for call in calls if call.what == "enrol" and call.on == token]
        done, unknown = sum(call.done for call in mine), sum(call.unknown for call in mine)
        if not done <= used <= min(uses, done + unknown) or held[token] != used:
            yield f"token {token} of {uses}: {done} were told so, it says {used}, {held[token]} certificates, {unknown} do not know"


def check_requests(calls, requests):
    """@requests: {code: (status, serial or None)} as the devices see it."""
    for code, (status, serial) in requests.items():
        mine = [call for call in calls if call.what == "decide" and call.on == code]
        won, unknown = [call for call in mine if call.done], [call for call in mine if call.unknown]
        if len(won) > 1:
            yield f"request {code} was decided {len(won)} times"
        if won and status != {"approve": "approved", "deny": "denied"}[won[0].how.partition(" ")[0]]:
            yield f"request {code} is {status} though it was told: {won[0].how}"
        if won and won[0].status == 201 and won[0].told[0] != serial:
            yield f"request {code} has the certificate {serial}, its operator was given {won[0].told[0]}"
        if not won and not unknown and status != "waiting":
            yield f"request {code} is {status}, and nobody decided"


def check_audit(calls, audit):
    """One row for each certificate and each change; @audit: rows."""
    issued = collections.Counter(row["object"] for row in audit if row["outcome"] == "ok" and row["action"] in (
        "certificate.issue", "certificate.renew"))
    for serial in {call.told[0] for call in certificates(calls)}:
        if issued[serial] != 1:
            yield f"the issuance of {serial} has {issued[serial]} rows in the audit"
    changed = collections.Counter((row["object"], row["detail"]) for row in audit if row["outcome"] == "ok" and
                                  row["action"] == "certificate.revoke")
    told = collections.Counter((call.on, call.how) for call in calls if call.what == "revoke" and call.done)
    unknown = collections.Counter((call.on, call.how) for call in calls if call.what == "revoke" and call.unknown)
    for change in changed.keys() | told.keys():
        if not told[change] <= changed[change] <= told[change] + unknown[change]:
            yield f"{change}: answered {told[change]} times, {changed[change]} rows in the audit"


# -- Who calls ---------------------------------------------------------------------------------------

class Crowd:
    """@clients who call without a pause until stop(); of them a tenth only fetches CRLs."""

    def __init__(self, ca, clients, seed):
        self.ca, self.seed = ca, seed
        self.calls, self.fetches, self.contents, self.strange = [], [], {}, []
        self.lock, self.publishing, self.disturbed = threading.Lock(), True, False      # disturbed: 503 is no news
        self.ending, self.polled = threading.Event(), threading.Event()
        self.serials, self.hot = [], []                 # to be revoked by whoever comes; by many at once
        self.tokens, self.requests = {}, {}             # id: (token, uses); code: id
        self.open_tokens, self.waiting = [], []
        self.ops = https.identity(ca, "admin", "ops.lan", label="ops")
        self.wishes = [csrs.pem(csrs.csr(csrs.EcKey(), names=[csrs.dns("nas.lan")])) for _ in range(40)]
        kinds = [Poller, Operator, Operator, Laptop, Device, Stranger, Owner, Operator, Device, Laptop]
        self.clients = [kinds[n % len(kinds)](self, n) for n in range(clients)]

    def __enter__(self):
        for client in self.clients:
            client.thread.start()
        return self

    def __exit__(self, kind, *_):
        with contextlib.suppress(*[AssertionError] if kind else []):    # what went wrong first is told
            self.stop()
            self.stop_polling()

    def stop(self):
        """End all but those who fetch CRLs."""
        self.ending.set()
        self.join(client for client in self.clients if not isinstance(client, Poller))

    def stop_polling(self):
        self.polled.set()
        self.join(client for client in self.clients if isinstance(client, Poller))

    def join(self, clients):
        for client in clients:
            client.thread.join(2 * cadtest.ANSWER_S)
            assert not client.thread.is_alive(), f"a {type(client).__name__} hangs"

    def pick(self, those, chance):
        """One of them, the newest more often."""
        with self.lock:
            return those[-1 - min(int(chance.expovariate(0.15)), len(those) - 1)] if those else None


class Client:
    """One who calls. Subclasses have connect() and once()."""

    pause_s = 0

    def __init__(self, crowd, number):
        self.crowd, self.ca, self.number = crowd, crowd.ca, number
        self.chance = random.Random(f"{crowd.seed}-{number}")
        self.source = f"127.{80 + number // 250}.{number % 250}.1"
        self.connection = None
        self.thread = threading.Thread(target=self.run, daemon=True)

    def connect(self):
        return crash.UnixConnection(self.ca.socket, cadtest.ANSWER_S)

    def over_https(self, who=None, source=None):
        return http.client.HTTPSConnection("127.0.0.1", self.port("https"), context=https.context(self.ca, who), timeout=cadtest.ANSWER_S,
                                           source_address=(source or self.source, 0))

    def port(self, kind):
        """OSError while cad is not there."""
        try:
            return self.ca.port(kind)
        except (OSError, ValueError, KeyError):
            raise ConnectionError("no endpoints.json") from None

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def over(self):
        return self.crowd.ending.is_set()

    def run(self):
        while not self.over():
            try:
                self.once()
            except Exception as error:                  # of the client itself, or an answer that is none
                self.crowd.strange.append(repr(error))
                return
            if self.pause_s:
                time.sleep(self.pause_s)
        self.close()

    def send(self, method, path, value=None, headers=None, connection=None):
        """(begun, ended, status or None, body or None)"""
        begun = time.monotonic()
        body = None if value is None else json.dumps(value)
        headers = {**({"Content-Type": "application/json"} if body is not None else {}), **(headers or {})}
        try:
            if connection is None and self.connection is None:
                self.connection = self.connect()
            used = connection or self.connection
            used.request(method, path, body, headers)
            answer = used.getresponse()
            status, found = answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            time.sleep(0.02)
            return begun, time.monotonic(), None, None
        if answer.getheader("Connection", "").lower() == "close":
            used.close()
        return begun, time.monotonic(), status, found

    def call(self, what, on, how, method, path, value=None, headers=None, fine=(), connection=None, told=None):
        """Written down; @fine: what may be said but 503; @told: JSON → what is kept of it. Return: the Call, and the JSON of a success."""
        begun, ended, status, body = self.send(method, path, value, headers, connection)
        found = json.loads(body) if status in (200, 201, 202) else None
        if status is not None and status not in fine and status != 503:
            self.crowd.strange.append(f"{what} {on} {how}: {status} {body[:300]!r}")
        call = Call(what, on, how, begun, ended, status, told(found) if found is not None and told else None)
        self.crowd.calls.append(call)
        return call, found

    def issue(self, headers=None, how="", **fields):
        call, found = self.call("issue", "", how, "POST", "/v1/certificates", fields, headers, fine=(201, 409), told=certificate)
        return found

    def change(self, serial, how, fine=(200, 409), **more):
        return self.call("revoke", serial, how, "POST", f"/v1/certificates/{serial}/revoke", {"reason": how}, fine=fine, **more)[0]


def certificate(found):
    return found["serial"], found["certificate"]


class Operator(Client):
    """On the Unix socket."""

    def once(self):
        what = self.chance.random()
        for share, act in ((0.30, self.do_issue), (0.12, self.do_revoke), (0.25, self.do_hold), (0.08, self.do_read), (0.02, self.do_publish),
                           (0.07, self.do_token), (0.16, self.do_decide)):
            if what < share:
                return act()
            what -= share

    def do_issue(self):
        key = f"{type(self).__name__} {self.chance.randrange(1000)}" if self.chance.random() < 0.3 else ""
        # the same key is the same body: what two ask at once is one certificate, or one is told to wait
        wish = self.crowd.wishes[int(key.split()[1]) % len(self.crowd.wishes)] if key else self.chance.choice(self.crowd.wishes)
        found = self.issue({"Idempotency-Key": key} if key else None, key, csr=wish)
        if found and not key:
            with self.crowd.lock:
                (self.crowd.hot if len(self.crowd.serials) > 30 * len(self.crowd.hot) else self.crowd.serials).append(found["serial"])

    def target(self):
        """Mostly one that few others have in hand."""
        return self.crowd.pick(self.crowd.hot if self.chance.random() < 0.1 else self.crowd.serials, self.chance)

    def do_revoke(self):
        serial = self.target()
        if serial:
            self.change(serial, self.chance.choice(REASONS))

    def do_hold(self):
        serial = self.target()
        if serial:
            self.change(serial, self.chance.choice((HOLD, LIFT)))

    def do_read(self):
        serial = self.target()
        if serial:
            self.call("read", serial, "", "GET", f"/v1/certificates/{serial}", fine=(200,), told=lambda found: found["status"])

    def do_publish(self):
        if not self.crowd.publishing:
            return
        number = lambda found: next(row["number"] for row in found["crls"] if row["issuer"] == "int-1")     # noqa: E731
        self.call("publish", "int-1", "", "POST", "/v1/crls", {}, fine=(200,), told=number)

    def do_token(self):
        uses = self.chance.choice((1, 1, 1, 3))
        call, found = self.call("token", "", "", "POST", "/v1/tokens", {"names": ["*.sensors.lan"], "uses": uses}, fine=(201,))
        if found:
            with self.crowd.lock:
                self.crowd.tokens[found["id"]] = (found["token"], uses)
                self.crowd.open_tokens.append(found["id"])

    def do_decide(self):
        code = self.crowd.pick(self.crowd.waiting, self.chance)
        if not code:
            return
        how = "deny" if self.chance.random() < 0.2 else "approve"
        call, _ = self.call("decide", code, how, "POST", f"/v1/requests/{code}/{how}", {}, fine=(200, 201, 409),
                            told=certificate if how == "approve" else None)
        if call.status == 409:
            with self.crowd.lock, contextlib.suppress(ValueError):
                self.crowd.waiting.remove(code)


class Laptop(Operator):
    """The same from elsewhere, with a client certificate."""

    def connect(self):
        return self.over_https(self.crowd.ops)


class Device(Client):
    """Enrols with a token that others show, too."""

    def connect(self):
        return self.over_https()

    def once(self):
        token = self.crowd.pick(self.crowd.open_tokens, self.chance)
        if not token:
            return time.sleep(0.05)
        text = csrs.pem(csrs.csr(csrs.EcKey(), names=[csrs.dns(f"s{self.number}.sensors.lan")]))
        call, _ = self.call("enrol", token, "", "POST", "/v1/certificates", {"csr": text},
                            {"Authorization": f"Bearer {self.crowd.tokens[token][0]}"}, fine=(201, 401), told=certificate)
        if call.status == 401 and self.chance.random() < 0.5:
            with self.crowd.lock, contextlib.suppress(ValueError):
                self.crowd.open_tokens.remove(token)


class Stranger(Client):
    """Hands in requests, each from an address of its own, and polls."""

    pause_s = 0.05

    def __init__(self, crowd, number):
        super().__init__(crowd, number)
        self.count, self.mine = 0, []

    def once(self):
        self.count += 1
        source = f"127.{120 + self.number}.{self.count // 250}.{1 + self.count % 250}"
        with contextlib.closing(self.over_https_or_none(source)) as connection:
            if self.mine and self.chance.random() < 0.4:
                self.send("GET", f"/v1/requests/{self.chance.choice(self.mine)}", connection=connection)
                return
            wish = csrs.pem(csrs.csr(csrs.EcKey(), names=[csrs.dns("cam.lan")]))
            # those of loopback are one network: its budget may be spent
            call, found = self.call("submit", "", "", "POST", "/v1/requests", {"csr": wish}, fine=(202, 429), connection=connection)
        if found:
            self.mine.append(found["id"])
            with self.crowd.lock:
                self.crowd.requests[found["code"]] = found["id"]
                self.crowd.waiting.append(found["code"])

    def over_https_or_none(self, source):
        try:
            return self.over_https(source=source)
        except ConnectionError:
            return crash.UnixConnection("/nonexistent", 1)


class Owner(Client):
    """Has a certificate of its own: shows it, renews it, revokes it, and shows it again; others may revoke it meanwhile."""

    def connect(self):
        return self.over_https(self.me)

    def once(self):
        key = https.ec.generate_private_key(https.ec.SECP256R1())
        with contextlib.closing(crash.UnixConnection(self.ca.socket, cadtest.ANSWER_S)) as unix:
            call, found = self.call("issue", "", "", "POST", "/v1/certificates", {
                "csr": https.csr_pem(key, f"o{self.number}.lan"), "profile": "device"}, fine=(201,), connection=unix, told=certificate)
        if not found:
            return
        self.me, serial = https.Identity(self.ca.base, found["certificate"] + found["chain"], key, found["serial"]), found["serial"]
        with self.crowd.lock:
            self.crowd.serials.append(serial)
        for _ in range(self.chance.randrange(2, 10)):
            if self.over():
                break
            if self.chance.random() < 0.3:
                self.call("renew", serial, "", "POST", f"/v1/certificates/{serial}/renew", {}, fine=(201, 401, 409, 429), told=certificate)
            else:
                self.call("show", serial, "", "GET", "/v1/health", fine=(200, 401))
        # 401 where somebody else has: that is a state, too, and no revocation
        if self.chance.random() < 0.5:
            call = self.change(serial, self.chance.choice(REASONS), fine=(200, 401, 409))
            if call.status == 401:
                self.crowd.calls.remove(call)
                self.crowd.calls.append(dataclasses.replace(call, what="show"))
            self.call("show", serial, "", "GET", "/v1/health", fine=(200, 401))
        self.me.file.unlink()
        self.close()


class Poller(Client):
    """Fetches the CRL over plain HTTP."""

    pause_s = 0.05

    def over(self):
        return self.crowd.polled.is_set()

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port("http"), timeout=cadtest.ANSWER_S, source_address=(self.source, 0))

    def once(self):
        begun, ended, status, body = self.send("GET", "/crl/int-1.crl")
        if status is None or (status == 503 and self.crowd.disturbed):
            return
        if status != 200:
            self.crowd.strange.append(f"no CRL: {status}")
            return
        digest = hashlib.sha256(body).hexdigest()
        crl = x509.load_der_x509_crl(body)
        number = crl.extensions.get_extension_for_oid(ExtensionOID.CRL_NUMBER).value.crl_number
        with self.crowd.lock:
            self.crowd.contents.setdefault(digest, body)
        self.crowd.fetches.append(Fetch(self.number, begun, ended, number, digest))


# -- All of it -----------------------------------------------------------------------------------------

def entries(body):
    """{serial: reason} of a CRL; serials are of 19 octets here, in hex as cad writes them."""
    found = {}
    for row in x509.load_der_x509_crl(body):
        try:
            reason = row.extensions.get_extension_for_oid(CRLEntryExtensionOID.CRL_REASON).value.reason.name
        except x509.ExtensionNotFound:
            reason = "unspecified"
        text = f"{row.serial_number:x}"
        found[text.zfill(len(text) + len(text) % 2)] = reason
    return found


def audit_of(ca):
    rows, cursor = [], ""
    while cursor is not None:
        page = ca.get(f"/v1/audit?limit=1000{cursor and '&cursor='}{cursor}").expect(200).json
        rows += page["audit"]
        cursor = page["next"]
    return rows


def audit_verify(ca):
    done = subprocess.run([cadtest.BUILD / "client" / "cactl", "--socket", ca.socket, "audit", "verify"], capture_output=True, text=True,
                          timeout=120, env=cadtest.environment())
    if done.returncode:
        yield f"the audit does not verify: {done.stdout}{done.stderr}"


def in_the_end(ca, crowd):
    """What the store says of tokens, requests and certificates: arguments of the checks."""
    rows = crash.rows_of(ca)
    pems = {serial: ca.get(f"/v1/certificates/{serial}.pem").expect(200).body.decode()
            for serial in {call.told[0] for call in certificates(crowd.calls)} & {row["serial"] for row in rows}}
    tokens = {id: (uses, ca.get(f"/v1/tokens/{id}").expect(200).json["used"]) for id, (_, uses) in crowd.tokens.items()}
    requests = {}
    for code, id in crowd.requests.items():
        found = ca.get(f"/v1/requests/{id}").expect(200).json
        requests[code] = (found["status"], found.get("serial"))
    return rows, pems, tokens, requests


def check(ca, crowd, delay_s):
    """@crowd has stopped, @ca runs. Return: what is wrong, sentences."""
    calls, contents = list(crowd.calls), {digest: entries(body) for digest, body in crowd.contents.items()}
    rows, pems, tokens, requests = in_the_end(ca, crowd)
    published = [call for call in calls if call.what == "publish"]
    wrong = list(crowd.strange)
    wrong += check_states(calls)
    wrong += check_numbers(crowd.fetches, published)
    wrong += check_crls(crowd.fetches, contents, calls, delay_s)
    wrong += check_certificates(calls, rows, pems)
    wrong += check_tokens(calls, tokens, rows)
    wrong += check_requests(calls, requests)
    wrong += check_audit(calls, audit_of(ca))
    wrong += audit_verify(ca)
    logged = set(crash.logged_serials(ca))
    wrong += [f"{row['serial']} is not in the signer's log" for row in rows if row["serial"] not in logged]
    return wrong


@contextlib.contextmanager
def daemon():
    ca = cadtest.Daemon(tcp=True)
    (ca.base / "etc").mkdir()
    (ca.base / "etc" / "cad.conf").write_text(CONF)
    ca.args += ["--config", ca.base / "etc" / "cad.conf"]
    with ca:
        ca.wait_until(lambda: ca.get("/crl/int-1.crl").status == 200, 10, "no CRL")
        https.context(ca)           # which writes the root down
        yield ca


def disturb(ca, crowd, chance, seconds, faults):
    """Until the time is over: SIGHUP now and then; with @faults kill -9 of either, and a stop and start."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(min(chance.uniform(0.3, 1.2), max(0, until - time.monotonic())))
        crowd.publishing = time.monotonic() < until - seconds / 2       # then they come by themselves alone
        what = chance.random() if faults else 1
        if what < 0.15:
            signer = ca.signer_pid
            if signer:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(signer, signal.SIGKILL)
        elif what < 0.3:
            crash.kill_cad(ca, None)
        elif what < 0.4:
            assert ca.stop() == 0, ca.tail()
            ca.start()
        else:
            ca.process.send_signal(signal.SIGHUP)


def last_crl(ca, crowd, delay_s):
    """Wait until the CRL is what the store says: no longer than was promised."""
    wanted = {row["serial"] for row in crash.rows_of(ca) if row["status"] in (HELD, REVOKED) and row["issuer"] == "int-1"}
    ca.wait_until(lambda: crowd.fetches and set(entries(crowd.contents[crowd.fetches[-1].digest])) == wanted, delay_s,
                  "the last CRL is not what the store says")


def run(clients, seconds, seed, faults=False, report=None):
    """A crowd for @seconds, then a check of what it was told, before and after a restart."""
    delay_s = DELAY_S + SLOW_S + (AGAIN_S if faults else 0)
    with daemon() as ca:
        with Crowd(ca, clients, seed) as crowd:
            begun, crowd.disturbed = time.monotonic(), faults
            disturb(ca, crowd, random.Random(seed), seconds, faults)
            crowd.stop()
            last_crl(ca, crowd, delay_s)
            took = time.monotonic() - begun
            crowd.stop_polling()
        wrong = check(ca, crowd, delay_s)
        assert not wrong, f"seed {seed}: {len(wrong)} things are wrong:\n" + "\n".join(wrong[:8])
        told = collections.Counter((call.what, call.status) for call in crowd.calls)
        if report:
            contents = {digest: entries(body) for digest, body in crowd.contents.items()}
            report(f"seed {seed}: {len(crowd.calls)} calls of {clients} in {took:.1f} s, {len(certificates(crowd.calls))} certificates, "
                   f"{len(contents)} CRLs in {len(crowd.fetches)} downloads, {lag(crowd.fetches, contents, crowd.calls):.1f} s at most to one")
            report(str(dict(sorted(told.items(), key=str))))
        if not faults:
            ca.get("/v1/health").expect(200)
        assert ca.stop() == 0, ca.tail()
        crash.check_database(ca)
        ca.start()
        wrong = check(ca, crowd, delay_s)
        assert not wrong, f"seed {seed}, after a restart:\n" + "\n".join(wrong[:8])
        ca.check_log()
        return told


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--faults", action="store_true", help="processes are killed, stopped and started meanwhile")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    run(options.clients, options.seconds, options.seed, options.faults, print)


if __name__ == "__main__":
    main()
