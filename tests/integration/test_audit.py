"""The audit: a row each decision, in a chain that anybody can check, held against the signer's anchors.

Every kind of tampering with cad.db, done while cad is stopped, is found by `cactl audit verify`, which says which
rows; and a whole chain is whole, after kill -9 too (threats.md §4: 57, 77).
"""

import base64
import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import sqlite3
import ssl
import http.client
import struct
import subprocess
import tempfile
import threading
import time

import pytest

import cadtest
import csrs
from csrs import csr, dns

CACTL = cadtest.BUILD / "client" / "cactl"
TEXTS = ("action", "principal", "source", "object", "outcome", "detail", "request_id")
PAGE_MAX = 1000


def configured(text, **more):
    """A daemon with a configuration of its own; not started."""
    daemon = cadtest.Daemon(**more)
    (daemon.base / "etc").mkdir()
    (daemon.base / "etc" / "cad.conf").write_text(text)
    daemon.args += ["--config", str(daemon.base / "etc" / "cad.conf")]
    return daemon


@contextlib.contextmanager
def running(text, **more):
    with configured(text, **more) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def ca():
    with running("[Audit]\nAnchorEvery=1s\n") as daemon:
        yield daemon
        assert daemon.stop() == 0
        daemon.check_log()


def issue(ca, *names, **fields):
    return ca.issue(csr(csrs.EcKey(), names=[dns(name) for name in names or ["nas.lan"]]), **fields)


def audit(ca, query=""):
    """All rows, newest first."""
    rows, cursor = [], None
    while True:
        page = ca.get("/v1/audit?limit=1000" + query + (f"&cursor={cursor}" if cursor else "")).expect(200).json
        rows += page["audit"]
        cursor = page["next"]
        if not cursor:
            return rows


def state(ca):
    return ca.get("/v1/audit/anchors").expect(200).json


def cactl(ca, *words):
    done = subprocess.run([CACTL, "--socket", ca.socket, "audit", *words], capture_output=True, text=True, timeout=60,
                          env=cadtest.environment())
    return done.returncode, done.stdout + done.stderr


def anchored(ca):
    """Wait until all rows are. Rows come late, too: of the start."""
    def all_are():
        found = state(ca)
        return found["anchors"] and found["anchors"][-1]["number"] == found["head"]["number"] > 0
    ca.wait_until(all_are, 10, "the audit is not anchored")


# ---- the chain, computed here from what docs/decisions/0007-audit-chain.md says -------------------------------


def octets(text):
    text = text.encode() if isinstance(text, str) else text
    return struct.pack(">I", len(text)) + text


def encoded(row):
    at = int(time.mktime(time.strptime(row["at"], "%Y-%m-%dT%H:%M:%SZ"))) - time.timezone
    return struct.pack(">qq", row["number"], at) + b"".join(octets(row[name]) for name in TEXTS)


def check_chain(ca):
    """Computed from the rows alone, and from the fingerprint of the root."""
    root = ca.get("/v1/ca/root.pem").expect(200).body.decode()
    der = base64.b64decode("".join(root.split("-----")[2].split()))
    value = hashlib.sha256(octets("cad audit 1") + octets(hashlib.sha256(der).hexdigest())).digest()
    found = state(ca)
    assert found["begin"] == value.hex()
    hashes = {}
    rows = audit(ca)
    for number, row in enumerate(reversed(rows), start=1):
        assert row["number"] == number
        value = hashlib.sha256(value + encoded(row)).digest()
        assert row["hash"] == value.hex(), row
        hashes[number] = row["hash"]
    for anchor in found["anchors"]:
        assert hashes[anchor["number"]] == anchor["hash"]
    assert found["head"]["number"] in hashes
    return rows


# ---- rows ----------------------------------------------------------------------------------------------------


@pytest.mark.sanitize
def test_a_row_each_decision_says_who_what_when_and_from_where(ca):
    answer = issue(ca, "row.lan", "row.home.arpa").expect(201)
    serial = answer.json["serial"]
    ca.post(f"/v1/certificates/{serial.upper()}/revoke", {"reason": "superseded"}).expect(200)
    rows = audit(ca, f"&object={serial}")
    assert [row["action"] for row in rows] == ["certificate.revoke", "certificate.issue"]
    for row in rows:
        assert row["principal"].startswith(f"uid:{os.getuid()}") and row["outcome"] == "ok"
        assert f"pid:{os.getpid()}" in row["source"]
        assert abs(time.time() - time.mktime(time.strptime(row["at"], "%Y-%m-%dT%H:%M:%SZ")) + time.timezone) < 30
    assert rows[0]["detail"] == "superseded"
    assert rows[1]["detail"] == "server: row.lan, row.home.arpa"
    assert rows[1]["request_id"] == answer.headers["x-request-id"]


def test_many_names_are_cut_in_the_row(ca):
    serial = issue(ca, *(f"host-with-a-long-name-{n}.lan" for n in range(50))).expect(201).json["serial"]
    detail = audit(ca, f"&object={serial}")[0]["detail"]
    assert detail.startswith("server: host-with-a-long-name-0.lan, ") and detail.endswith(" more") and len(detail) < 300


@pytest.mark.sanitize
def test_what_a_known_caller_is_refused_is_a_row(ca):
    answer = issue(ca, "www.example.com").expect(422)
    row = wait_for_row(ca, "&action=certificate.issue", lambda row: row["request_id"] == answer.headers["x-request-id"])
    assert row["outcome"] == "name-not-permitted" and "www.example.com" in row["detail"] and row["object"] == ""
    answer = ca.post("/v1/certificates/0102/revoke", {}).expect(404)
    row = wait_for_row(ca, "&action=certificate.revoke", lambda row: row["request_id"] == answer.headers["x-request-id"])
    assert (row["outcome"], row["object"]) == ("not-found", "0102")


def wait_for_row(ca, query, wanted):
    """Refusals are written within a second."""
    found = []
    ca.wait_until(lambda: found.extend(filter(wanted, audit(ca, query))) or found, 5, "the row is not there")
    return found[0]


def test_what_a_replay_gives_is_no_new_decision(ca):
    body = {"csr": csrs.pem(csr(csrs.EcKey(), names=[dns("replay.lan")]))}
    first = ca.post("/v1/certificates", body, **{"Idempotency-Key": "k1"}).expect(201).json["serial"]
    again = ca.post("/v1/certificates", body, **{"Idempotency-Key": "k1"}).expect(201).json["serial"]
    assert first == again and len(audit(ca, f"&object={first}")) == 1


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_who_may_not_is_a_row_and_may_not_read_it(ca):
    ca.state.chmod(0o711)
    ca.socket.chmod(0o666)
    answer = ca.as_user(4711, 4711, [], "POST", "/v1/certificates", b"{}", {"Content-Type": "application/json"})
    assert answer.status == 403
    row = wait_for_row(ca, "", lambda row: row["principal"].startswith("uid:4711"))
    assert (row["action"], row["outcome"]) == ("certificate.issue", "forbidden")
    for path in ("/v1/audit", "/v1/audit/anchors"):
        assert ca.as_user(4711, 4711, [], "GET", path).status == 403


@pytest.mark.sanitize
def test_what_cannot_be_recorded_is_not_done(ca):
    serial = issue(ca).expect(201).json["serial"]
    before = [row["serial"] for row in ca.get("/v1/certificates").expect(200).json["certificates"]]

    def rename(this, that):
        with contextlib.closing(sqlite3.connect(ca.state / "cad.db", timeout=10)) as db:
            db.execute(f"ALTER TABLE {this} RENAME TO {that}")
            db.commit()

    rename("audit", "away")
    try:
        issue(ca).expect(503)
        ca.post(f"/v1/certificates/{serial}/revoke", {}).expect(503)
        assert ca.get(f"/v1/certificates/{serial}").expect(200).json["status"] == "valid"
        assert [row["serial"] for row in ca.get("/v1/certificates").expect(200).json["certificates"]] == before
    finally:
        rename("away", "audit")
    issue(ca).expect(201)
    ca.post(f"/v1/certificates/{serial}/revoke", {}).expect(200)
    check_chain(ca)


def test_what_cad_does_by_itself_is_a_row(ca):
    starts = len(audit(ca, "&action=daemon.start"))
    assert ca.stop() == 0
    ca.start()
    ca.wait_until(lambda: len(audit(ca, "&action=daemon.start")) == starts + 1, 5, "the start is not there")
    assert audit(ca, "&action=daemon.stop")[0]["principal"] == "cad"
    ca.process.send_signal(1)
    assert wait_for_row(ca, "&action=config.reload", lambda row: True)["outcome"] == "ok"
    os.kill(ca.signer_pid, 9)
    wait_for_row(ca, "&action=signer.lost", lambda row: True)
    wait_for_row(ca, "&action=signer.start", lambda row: True)
    ca.post("/v1/crls", {}).expect(200)
    row = wait_for_row(ca, "&action=crl.publish&object=int-1", lambda row: row["principal"] == "cad")
    assert row["outcome"] == "ok" and "somebody asked" in row["detail"] and " entries" in row["detail"], row


# ---- lists ---------------------------------------------------------------------------------------------------


def test_pages_hold_each_row_once(ca):
    for _ in range(5):
        issue(ca).expect(201)
    rows, cursor = [], ""
    while cursor is not None:
        page = ca.get(f"/v1/audit?limit=3&cursor={cursor}").expect(200).json
        assert len(page["audit"]) <= 3
        rows += page["audit"]
        cursor = page["next"]
    numbers = [row["number"] for row in rows]
    assert numbers == list(range(numbers[0], 0, -1))


def test_filters(ca):
    issue(ca).expect(201)
    everything = audit(ca)
    for name in ("action", "principal"):
        for value in {row[name] for row in everything}:
            quoted = value.replace("(", "%28").replace(")", "%29")
            assert audit(ca, f"&{name}={quoted}") == [row for row in audit(ca) if row[name] == value]
    assert {row["action"] for row in audit(ca, "&action=daemon.*")} == {"daemon.start", "daemon.stop"}
    middle = everything[len(everything) // 2]["at"]
    later, earlier = audit(ca, f"&since={middle}"), audit(ca, f"&until={middle}")
    assert all(row["at"] >= middle for row in later) and all(row["at"] < middle for row in earlier)
    assert len(later) + len(earlier) == len(audit(ca))
    assert audit(ca, "&since=2100-01-01T00:00:00Z") == []


@pytest.mark.parametrize("query, field", [
    ("limit=0", "limit"), ("limit=1001", "limit"), ("limit=x", "limit"), ("cursor=x", "cursor"), ("cursor=-1", "cursor"),
    ("since=yesterday", "since"), ("until=1", "until"), ("number=1", "number"),
])
def test_a_bad_query_names_the_parameter(ca, query, field):
    problem = ca.get(f"/v1/audit?{query}").expect(400).json
    assert problem["type"].endswith(":query-invalid") and problem["field"] == field


def test_anchors_take_no_parameters(ca):
    assert ca.get("/v1/audit/anchors?limit=1").status == 400


# ---- whole chains --------------------------------------------------------------------------------------------


@pytest.mark.sanitize
def test_the_chain_can_be_checked_by_anybody(ca):
    issue(ca, "chain.lan").expect(201)
    anchored(ca)
    assert len(check_chain(ca)) > 3


def test_a_whole_chain_verifies(ca):
    issue(ca).expect(201)
    anchored(ca)
    code, said = cactl(ca, "verify")
    assert code == 0 and "none changed, none missing" in said and "that is all of them" in said, said
    code, said = cactl(ca, "verify", "--json")
    verdict = json.loads(said)
    assert code == 0 and verdict["ok"] and verdict["not_anchored"] == 0 and verdict["faults"] == []
    assert verdict["rows"] == verdict["newest"] == state(ca)["head"]["number"]


def test_the_signers_own_log_has_the_same_anchors(ca):
    anchored(ca)
    lines = [line.split() for line in ca.signer_log() if " audit " in line]
    in_log = [(line[0], int(line[2][7:]), line[3][5:]) for line in lines]
    kept = [(anchor["at"], anchor["number"], anchor["hash"]) for anchor in state(ca)["anchors"]]
    assert kept and all(anchor in in_log for anchor in kept) and kept[-1] == in_log[-1]
    code, said = cactl(ca, "verify", "--signer-log", str(ca.state / "signer" / "log"))
    assert code == 0 and "that is all of them" in said, said
    code, said = cactl(ca, "verify", "--signer-log", "/nonexistent")
    assert code == 1 and "/nonexistent" in said


def test_it_says_how_many_rows_are_not_anchored_yet():
    with running("[Audit]\nAnchorEvery=1d\n") as ca:
        ca.wait_until(lambda: state(ca)["anchors"], 5, "there is no first anchor")
        first = state(ca)["anchors"][0]["number"]
        for _ in range(3):
            issue(ca).expect(201)
        before = state(ca)["head"]["number"]
        code, said = cactl(ca, "verify")
        behind = int(re.search(r"the (\d+) newest not yet", said).group(1))
        assert code == 0 and 3 <= before - first <= behind <= state(ca)["head"]["number"] - first, said
        time.sleep(1)                       # an anchor a second at most
        assert ca.stop() == 0               # which anchors what there is
        with contextlib.closing(sqlite3.connect(ca.state / "cad.db")) as db:
            last = db.execute("SELECT max(number) FROM audit").fetchone()[0]
        assert f" audit number={last} " in ca.signer_log()[-1]
        ca.start()
        ca.wait_until(lambda: len(state(ca)["anchors"]) == 3, 5, "the start is not anchored")


def test_health_and_a_bad_setting(ca):
    checks = {check["name"]: check for check in ca.get("/v1/health").expect(200).json["checks"]}
    assert checks["audit"]["status"] == "ok"
    for value in ("0s", "2d", "soon"):
        daemon = configured(f"[Audit]\nAnchorEvery={value}\n")
        try:
            assert "cad.conf:2" in daemon.start_refused()
        finally:
            daemon.close()


@pytest.mark.slow
def test_kill_9_under_load_leaves_a_whole_chain():
    with running("[Audit]\nAnchorEvery=1s\n") as ca:
        answered, stop = [], threading.Event()
        wish = csr(csrs.EcKey(), names=[dns("load.lan")])

        def load():
            while not stop.is_set():
                with contextlib.suppress(OSError, AssertionError, http.client.HTTPException):
                    answered.append(ca.issue(wish).expect(201).json["serial"])

        for _ in range(3):
            stop.clear()
            threads = [threading.Thread(target=load) for _ in range(8)]
            for thread in threads:
                thread.start()
            time.sleep(1.5)
            ca.kill()
            stop.set()
            for thread in threads:
                thread.join(30)
            ca.start()
        assert len(answered) > 50
        anchored(ca)
        code, said = cactl(ca, "verify")
        assert code == 0, said
        assert set(answered) <= {row["object"] for row in check_chain(ca)}


def test_a_ca_that_is_started_over_has_a_chain_of_its_own():
    with running("[Audit]\nAnchorEvery=1s\n") as ca:
        anchored(ca)
        before = state(ca)
        assert ca.stop() == 0
        done = cadtest.run(["init", "--again", "--state-dir", ca.state, *ca.args])
        assert done.returncode == 0, done.stderr
        ca.start()
        anchored(ca)
        assert state(ca)["begin"] != before["begin"]
        assert cactl(ca, "verify")[0] == 0
        code, said = cactl(ca, "verify", "--signer-log", str(ca.state / "signer" / "log"))
        assert code == 0, said


# ---- tampering -----------------------------------------------------------------------------------------------


class Tampered:
    """A daemon with 30 rows or more, all anchored, and copies of its database to put back."""

    def __init__(self):
        self.ca = configured("[Audit]\nAnchorEvery=1s\n").start()
        for n in range(10):
            issue(self.ca, f"host{n}.lan").expect(201)
        anchored(self.ca)
        self.half = state(self.ca)["head"]["number"]
        self.stop()
        self.old = self.copy("old")
        self.ca.start()
        for n in range(10, 20):
            issue(self.ca, f"host{n}.lan").expect(201)
        anchored(self.ca)
        self.stop()
        self.whole = self.copy("whole")
        self.last = self.ask("SELECT max(number) FROM audit")[0][0]

    def stop(self):
        assert self.ca.stop() == 0
        assert not list(self.ca.state.glob("cad.db-*"))      # one file is all of it

    def copy(self, name):
        signer = self.ca.base / f"{name}.signer"
        shutil.copytree(self.ca.state / "signer", signer)
        return pathlib.Path(shutil.copy2(self.ca.state / "cad.db", self.ca.base / name)), signer

    def put_back(self, copy, signer=False):
        shutil.copy2(copy[0], self.ca.state / "cad.db")
        if signer:
            shutil.rmtree(self.ca.state / "signer")
            shutil.copytree(copy[1], self.ca.state / "signer")

    def ask(self, sql):
        with contextlib.closing(sqlite3.connect(self.ca.state / "cad.db")) as db:
            found = db.executescript(sql) and [] if ";" in sql else db.execute(sql).fetchall()
            db.commit()
            return found

    def verify(self):
        self.ca.start()
        try:
            code, said = cactl(self.ca, "verify", "--json")
            verdict = json.loads(said)
            assert code == (0 if verdict["ok"] else 1)
            assert cactl(self.ca, "verify", "--signer-log", str(self.ca.state / "signer" / "log"))[0] == code
            text = cactl(self.ca, "verify")[1]
        finally:
            self.stop()
        return [(fault["fault"], fault["first"], fault["last"]) for fault in verdict["faults"]], text


@pytest.fixture(scope="module")
def tampered():
    tampered = Tampered()
    yield tampered
    tampered.ca.close()


@pytest.fixture
def whole(tampered):
    """The database as it was."""
    tampered.put_back(tampered.whole, signer=True)
    return tampered


def rehash(db_path, first):
    """What who can write the database, but not the signer's log, will do: make the hashes anew from a row on."""
    with contextlib.closing(sqlite3.connect(db_path)) as db:
        columns = ", ".join(("number", "at", *TEXTS))
        value = db.execute("SELECT hash FROM audit WHERE number = ?", (first - 1,)).fetchone()[0]
        for row in db.execute(f"SELECT {columns} FROM audit WHERE number >= ? ORDER BY number", (first,)).fetchall():
            value = hashlib.sha256(value + struct.pack(">qq", row[0], row[1])
                                   + b"".join(octets(text) for text in row[2:])).digest()
            db.execute("UPDATE audit SET hash = ? WHERE number = ?", (value, row[0]))
        db.execute("UPDATE audit_head SET hash = ?", (value,))
        db.commit()


SWAP = ("UPDATE audit SET number = -5 WHERE number = 5; UPDATE audit SET number = 5 WHERE number = 6; "
        "UPDATE audit SET number = 6 WHERE number = -5;")
INSERT = ("UPDATE audit SET number = -number - 1 WHERE number > 8; UPDATE audit SET number = -number WHERE number < 0; "
          "INSERT INTO audit SELECT 9, at, action, 'uid:666', source, object, outcome, detail, request_id, hash "
          "FROM audit WHERE number = 8; UPDATE audit_head SET number = number + 1;")


@pytest.mark.parametrize("sql, found", [
    ("UPDATE audit SET principal = 'uid:666' WHERE number = 5;", {("changed", 5, 5)}),
    ("UPDATE audit SET at = at + 1 WHERE number = 5;", {("changed", 5, 5)}),
    ("UPDATE audit SET outcome = 'ok' || char(0) || 'x' WHERE number = 5;", {("changed", 5, 5)}),
    ("UPDATE audit SET detail = char(27) || '[2J' WHERE number = 5;", {("changed", 5, 5)}),
    ("UPDATE audit SET hash = zeroblob(32) WHERE number = 5;", {("changed", 5, 5), ("changed", 6, 6)}),
    ("UPDATE audit SET hash = x'00' WHERE number = 5;", {("changed", 5, 5), ("changed", 6, 6)}),
    ("DELETE FROM audit WHERE number = 5;", {("missing", 5, 5)}),
    ("DELETE FROM audit WHERE number BETWEEN 5 AND 12;", {("missing", 5, 12)}),
    ("DELETE FROM audit WHERE number < 4;", {("missing", 1, 3)}),
    (SWAP, {("changed", 5, 5), ("changed", 6, 6), ("changed", 7, 7)}),
], ids=["text", "time", "nul", "escape", "hash", "short hash", "one gone", "many gone", "first gone", "swapped"])
def test_what_was_done_to_a_row_is_found(whole, sql, found):
    whole.ask(sql)
    faults, text = whole.verify()
    assert set(faults) == found, text
    for _, first, _ in found:
        assert str(first) in text


def test_an_inserted_row_is_found(whole):
    whole.ask(INSERT)
    faults, text = whole.verify()
    assert ("changed", 9, 9) in faults and ("changed", 10, 10) in faults, text


def test_nothing_is_found_where_nothing_was_done(whole):
    assert whole.verify()[0] == []


@pytest.mark.parametrize("head", ["", "UPDATE audit_head SET number = {0};", "DELETE FROM audit_head;"])
def test_rows_cut_off_at_the_end_are_found(whole, head):
    """By the head where it is as it was: numbers go on behind it. Else by the anchors, when the chain has not grown past them."""
    whole.ask(f"DELETE FROM audit WHERE number > {whole.last - 6};" + head.format(whole.last - 6))
    faults, text = whole.verify()
    kinds = {fault for fault, _, _ in faults}
    expected = {"missing", "cut"} if not head else {"cut", "put_back", "replaced", "changed"}
    assert faults and kinds <= expected and kinds != {"changed"}, (faults, text)


def test_rows_that_were_changed_and_hashed_anew_are_found(whole):
    whole.ask("UPDATE audit SET principal = 'uid:666' WHERE number = 5;")
    rehash(whole.ca.state / "cad.db", 5)
    faults, text = whole.verify()
    assert [fault for fault, _, _ in faults] == ["replaced"], text
    _, first, last = faults[0]
    assert first <= 5 <= last and "hashed anew" in text


def test_an_older_copy_that_was_put_back_is_found(whole):
    whole.put_back(whole.old)
    faults, text = whole.verify()
    assert {fault for fault, _, _ in faults} & {"cut", "put_back", "replaced"}, text
    assert "put back" in text or "hashed anew" in text
    assert "went back from row" in whole.ca.log_text()


def test_an_older_copy_is_found_still_when_it_has_grown_past_the_anchors(whole):
    time.sleep(1)
    before = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    whole.put_back(whole.old)
    whole.ca.start()
    for _ in range(30):
        issue(whole.ca).expect(201)
    anchored(whole.ca)
    whole.stop()
    faults, text = whole.verify()
    assert {fault for fault, _, _ in faults} & {"put_back", "replaced"}, text
    whole.ca.start()                        # known of: what was anchored since then is as it should be
    code, said = cactl(whole.ca, "verify", "--anchors-since", before)
    whole.stop()
    assert code == 0 and "none changed" in said, said


def test_all_of_it_gone_is_found(whole):
    whole.ask("DELETE FROM audit; DELETE FROM audit_head;")
    faults, text = whole.verify()
    assert {fault for fault, _, _ in faults} & {"cut", "put_back", "replaced"}, text


# ---- strangers -----------------------------------------------------------------------------------------------


@pytest.mark.sanitize
def test_what_strangers_are_refused_is_summed_up():
    with cadtest.Daemon(tcp=True) as ca:
        context = ssl._create_unverified_context()
        for _ in range(40):
            connection = http.client.HTTPSConnection("127.0.0.1", ca.port("https"), context=context, timeout=10)
            connection.request("POST", "/v1/certificates", b"{}", {"Content-Type": "application/json"})
            assert connection.getresponse().status == 401
            connection.close()
        assert ca.stop() == 0                   # or a minute
        ca.start()
        rows = audit(ca, "&action=access.refused")
        assert len(rows) == 1, rows
        assert (rows[0]["principal"], rows[0]["source"], rows[0]["outcome"]) == ("anonymous", "127.0.0.1", "unauthenticated")
        assert rows[0]["detail"].startswith("40 calls from ")
        assert cactl(ca, "verify")[0] == 0


# ---- the command ---------------------------------------------------------------------------------------------


def test_the_list_of_cactl(ca):
    serial = issue(ca, "list.lan").expect(201).json["serial"]
    code, said = cactl(ca, "list", "--limit", "3")
    assert code == 0 and serial in said and "server: list.lan" in said and "there are more" in said
    code, said = cactl(ca, "list", "--object", serial, "--json")
    assert code == 0 and json.loads(said)["audit"][0]["object"] == serial
    code, said = cactl(ca, "list", "--all", "--json")
    assert code == 0 and len(json.loads(said)["audit"]) == len(audit(ca))
    code, said = cactl(ca, "list", "--action", "certificate.*", "--since", "1h", "--until", "2100-01-01", "--all")
    assert code == 0 and serial in said and "daemon.start" not in said
    code, said = cactl(ca, "list", "--since", "soon")
    assert code == 2 and "--since soon" in said
    code, said = cactl(ca, "list", "--action", "none")
    assert code == 0 and "no row is like that" in said
