#!/usr/bin/python3
"""kill -9 and SIGSTOP of cad and cad-signer while many issue.

    tests/torture/crash.py [--rounds N] [--callers N] [--seconds S] [--seed N]

Whatever the moment: what was answered with 201 is there after it, with the same bytes; serials are
unique; every row has its line in the signer's log (the log may have more: signed, but never committed
and never given out); who asks again with the same Idempotency-Key has one certificate, not two.
"""

import argparse
import collections
import contextlib
import glob
import http.client
import json
import os
import pathlib
import random
import re
import signal
import socket
import sqlite3
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

import cadtest  # noqa: E402
import csrs  # noqa: E402

CALLERS = 32
REVOKED_OF = 8
BACK_S = 5              # a lost signer is back, and the next request works
NOTICED_S = 5           # a signer that hangs: its callers have their 503
ENDS_S = 5              # SIGTERM with work in hand
REPLACED_S = 10         # and it has been killed and started again
FINE = {201, 503, 409}  # 409: the first request with this key is still in work


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Load:
    """Many callers, each one request after the other, until stop(). Every second caller asks with an
    Idempotency-Key, and goes on asking with it until it has its certificate; one in REVOKED_OF is revoked."""

    def __init__(self, ca, callers=CALLERS):
        self.path = ca.socket
        csr = csrs.pem(csrs.csr(names=[csrs.dns("nas.lan")]))
        self.head = json.dumps({"csr": csr})[:-1]
        self.acked, self.asked = {}, set()      # {label: (serial, PEM)}, labels
        self.revoked, self.revoking = set(), set()      # serials: answered, asked
        self.statuses, self.strange = collections.Counter(), []
        self.slowest_s = 0
        self.lock, self.ending = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self.call, args=(n,), daemon=True) for n in range(callers)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.ending.set()
        for thread in self.threads:
            if thread.is_alive():
                thread.join(cadtest.ANSWER_S)
                assert not thread.is_alive(), "a caller hangs"

    def call(self, caller):
        connection, number, keyed, label = None, 0, caller % 2 == 0, None
        while not self.ending.is_set():
            if label is None or not keyed:
                number += 1
                label = f"{'key' if keyed else 'free'}-{caller}-{number}"
                self.asked.add(label)
            connection = connection or UnixConnection(self.path, cadtest.ANSWER_S)
            try:
                done = self.ask(connection, label, keyed)
                if done and number % REVOKED_OF == 0:
                    self.revoke(connection, self.acked[label][0])
            except (OSError, http.client.HTTPException):
                with self.lock:
                    self.statuses["lost"] += 1
                connection = connection.close()
                time.sleep(0.02)
                continue
            if done:
                label = None
            else:
                time.sleep(0.01)
        if connection:
            connection.close()

    def ask(self, connection, label, keyed):
        headers = {"Content-Type": "application/json", **({"Idempotency-Key": label} if keyed else {})}
        begun = time.monotonic()
        connection.request("POST", "/v1/certificates", f'{self.head}, "label": "{label}"}}', headers)
        response = connection.getresponse()
        body = response.read()
        with self.lock:
            self.statuses[response.status] += 1
            self.slowest_s = max(self.slowest_s, time.monotonic() - begun)
            if response.status not in FINE or (response.status == 503 and not response.getheader("Retry-After")):
                self.strange.append((response.status, response.getheaders(), body[:500]))
            if response.status == 201:
                found = json.loads(body)
                answer = (found["serial"], found["certificate"])
                if self.acked.setdefault(label, answer) != answer:
                    self.strange.append((label, self.acked[label][0], answer[0]))
        if response.status == 503 and response.getheader("Connection", "").lower() == "close":
            connection.close()
        return response.status == 201

    def revoke(self, connection, serial):
        self.revoking.add(serial)
        connection.request("POST", f"/v1/certificates/{serial}/revoke", '{"reason": "superseded"}',
                           {"Content-Type": "application/json"})
        response = connection.getresponse()
        body = response.read()
        with self.lock:
            if response.status == 200:
                self.revoked.add(serial)
            elif response.status not in FINE:
                self.strange.append((response.status, response.getheaders(), body[:500]))

    def wait_for_more(self, count, limit_s):
        """Until @count more certificates have been answered."""
        with self.lock:
            wanted = len(self.acked) + count
        limit = time.monotonic() + limit_s
        while len(self.acked) < wanted:
            assert time.monotonic() < limit, \
                f"no {count} certificates in {limit_s} s: {self.statuses}, {self.strange[:2]}"
            time.sleep(0.005)


# -- What must be true afterwards ----------------------------------------------------------------

def rows_of(ca):
    """Every row of the store, by its pages."""
    rows, cursor = [], ""
    while cursor is not None:
        page = ca.get(f"/v1/certificates?limit=500{cursor and '&cursor='}{cursor}").expect(200).json
        rows += page["certificates"]
        cursor = page["next"]
    return rows


def logged_serials(ca):
    """Serials of the signer's log, the files put aside too."""
    found = []
    for path in glob.glob(str(ca.state / "signer" / "log*")):
        text = pathlib.Path(path).read_text()
        assert not text or text.endswith("\n"), f"half a line at the end of {path}: {text[-100:]!r}"
        found += re.findall(r"^\S+ issue serial=([0-9a-f]+) ", text, re.MULTILINE)
    return found


def check(ca, load):
    """@load has been stopped, @ca runs. Return: how many rows there are."""
    assert not load.strange, load.strange[:3]
    rows, logged = rows_of(ca), logged_serials(ca)
    serials = [row["serial"] for row in rows]
    labels = collections.Counter(row["label"] for row in rows if row.get("label"))
    by_label = {row["label"]: row["serial"] for row in rows if row.get("label")}
    assert len(set(serials)) == len(serials), "a serial twice in the store"
    assert len(set(logged)) == len(logged), "a serial twice in the signer's log"
    lost = set(serials) - set(logged)
    assert not lost, f"{len(lost)} rows are not in the signer's log: {sorted(lost)[:3]}"
    for label, (serial, pem) in load.acked.items():
        assert by_label.get(label) == serial, f"{label} was answered with {serial}, the store has {by_label.get(label)}"
        there = ca.get(f"/v1/certificates/{serial}.pem").expect(200).body.decode()
        assert there == pem, f"{serial} is another certificate now"
    status = {row["serial"]: row["status"] for row in rows}
    forgotten = [serial for serial in load.revoked if status[serial] != "revoked"]
    assert not forgotten, f"{len(forgotten)} revocations were answered and are lost: {forgotten[:3]}"
    strange = [serial for serial in status if status[serial] != "valid" and serial not in load.revoking]
    assert not strange, f"revoked though nobody asked for it: {strange[:3]}"
    twice = [label for label, count in labels.items() if count > 1]
    assert not twice, f"two certificates for one request: {twice[:3]}"
    unknown = set(labels) - load.asked
    assert not unknown, f"rows that nobody asked for: {sorted(unknown)[:3]}"
    return len(rows)


def check_database(ca):
    """After cad has stopped: the file itself."""
    with contextlib.closing(sqlite3.connect(f"file:{ca.state}/cad.db?mode=ro", uri=True)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


# -- What is done to them ------------------------------------------------------------------------

def wait_for_signer(ca, other_than, limit_s):
    ca.wait_until(lambda: ca.signer_pid not in (None, other_than), limit_s,
                  f"there is no signer in place of {other_than}")


def kill_cad(ca, load):
    """As power would: at once, and started again at once, as a service manager does."""
    ca.signer_pid           # remembered, so that close() ends it whatever happens
    ca.process.kill()
    ca.process.wait(cadtest.STOP_S)
    ca.start()


def kill_signer(ca, load):
    pid, signer = ca.pid, ca.signer_pid
    os.kill(signer, signal.SIGKILL)
    begun = time.monotonic()
    wait_for_signer(ca, signer, BACK_S)
    load.wait_for_more(1, max(0.1, begun + BACK_S - time.monotonic()))
    assert ca.pid == pid and ca.process.poll() is None, "cad ended with its signer"


def kill_both(ca, load):
    os.kill(ca.signer_pid, signal.SIGKILL)
    kill_cad(ca, load)


def stop_signer(ca, load):
    """It hangs: 503 within NOTICED_S for those who wait, then it is killed and replaced."""
    pid, signer = ca.pid, ca.signer_pid
    refused = load.statuses[503]
    os.kill(signer, signal.SIGSTOP)
    begun = time.monotonic()
    try:
        ca.wait_until(lambda: load.statuses[503] > refused, NOTICED_S, "nobody was answered 503")
        wait_for_signer(ca, signer, REPLACED_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(signer, signal.SIGCONT)
    load.wait_for_more(1, max(1, begun + REPLACED_S + BACK_S - time.monotonic()))
    assert ca.pid == pid and ca.process.poll() is None, "cad ended with its signer"


def stop_cad(ca, load, seconds=2.5):
    """SIGSTOP and SIGCONT: work goes on where it was."""
    pid = ca.pid
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)
    load.wait_for_more(1, BACK_S)
    assert ca.pid == pid and ca.process.poll() is None


def end_cad(ca, load):
    """SIGTERM with work in hand (threats.md R-26)."""
    begun = time.monotonic()
    assert ca.stop() == 0, ca.tail()
    assert time.monotonic() - begun < ENDS_S, "it ends slowly"
    ca.start()


def reload_cad(ca, load):
    """SIGHUP, again and again: profiles and configuration are read anew, nobody is disturbed."""
    pids, refused = ca.pids(), load.statuses[503] + load.statuses["lost"]
    for _ in range(5):
        ca.process.send_signal(signal.SIGHUP)
        time.sleep(0.05)
    load.wait_for_more(1, BACK_S)
    assert ca.pids() == pids and load.statuses[503] + load.statuses["lost"] == refused, load.statuses


FAULTS = {"cad killed": kill_cad, "signer killed": kill_signer, "both killed": kill_both, "cad ended": end_cad,
          "cad reloaded": reload_cad, "signer stopped": stop_signer, "cad stopped": stop_cad}


def torture(faults, callers=CALLERS, seed=None, between_s=0.4, report=None):
    """One CA, load without a pause, these faults one after the other, and a look after all of it.
    Return: (certificates that were answered, rows)."""
    chance = random.Random(seed)
    with cadtest.Daemon() as ca:
        with Load(ca, callers) as load:
            for number, name in enumerate(faults):
                load.wait_for_more(callers, 2 * BACK_S)
                time.sleep(chance.random() * between_s)
                FAULTS[name](ca, load)
                if report:
                    report(f"{number + 1}: {name}; {len(load.acked)} answered, {dict(load.statuses)}")
            load.wait_for_more(callers, 2 * BACK_S)
        rows = check(ca, load)
        assert ca.stop() == 0, ca.tail()
        check_database(ca)
        ca.start()
        assert check(ca, load) == rows
        ca.check_log()
        return len(load.acked), rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--callers", type=int, default=CALLERS)
    parser.add_argument("--seconds", type=float, default=0.4, help="of load between two faults, at most")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    chance = random.Random(options.seed)
    # what kills is tried more often than what only stops, which takes its time
    names = ["cad killed"] * 4 + ["signer killed"] * 4 + ["both killed"] * 2 + ["cad ended"] * 2 + \
        ["cad reloaded", "signer stopped", "cad stopped"]
    done, rows = torture([chance.choice(names) for _ in range(options.rounds)], options.callers, options.seed,
                         options.seconds, print)
    print(f"{options.rounds} faults: {done} certificates answered, {rows} rows, nothing lost")


if __name__ == "__main__":
    main()
