"""Two who do the same at the same moment, or what contradicts it: one of them does it, and what is there afterwards is whole."""

import concurrent.futures
import contextlib
import json
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import threading
import time

import cadtest
import csrs
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "torture"))

import history  # noqa: E402

CACTL = cadtest.BUILD / "client" / "cactl"
MANY = 32


@pytest.fixture(scope="module")
def ca():
    with cadtest.Daemon() as daemon:
        yield daemon
        assert list(history.audit_verify(daemon)) == []
        assert daemon.stop() == 0
        daemon.check_log()


def csr(name="nas.lan"):
    return csrs.pem(csrs.csr(csrs.EcKey(), names=[csrs.dns(name)]))


def at_once(*calls):
    """All of them from one moment on. Return: what each gave, in their order."""
    start = threading.Barrier(len(calls))

    def one(call):
        start.wait()
        return call()

    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(one, calls))


def statuses(answers):
    return sorted(answer.status for answer in answers)


def issued(ca, **query):
    return ca.get("/v1/certificates?" + "&".join(f"{key}={value}" for key, value in query.items())).expect(200).json["certificates"]


def states(ca):
    return {one["id"]: one["state"] for one in ca.get("/v1/ca").expect(200).json["issuers"]}


@pytest.mark.parametrize("fields", [{}, {"short": True}], ids=["a token", "a pairing code"])
def test_one_use_is_one_certificate_and_revoking_it_meanwhile_is_a_use_or_none(ca, fields):
    for revoking in (False, True):
        token = ca.post("/v1/tokens", {"names": ["nas.lan"], **fields}).expect(201).json
        wishes = [csr() for _ in range(MANY)]
        uses = [lambda wish=wish: ca.post("/v1/certificates", {"csr": wish}, Authorization=f"Bearer {token['token']}") for wish in wishes]
        if revoking:
            uses.insert(MANY // 2, lambda: ca.request("DELETE", f"/v1/tokens/{token['id']}"))
        answers = at_once(*uses)
        won = [answer for answer in answers if answer.status == 201]
        rows = issued(ca, requester=f"token:{token['id']}")
        assert [row["serial"] for row in rows] == [answer.json["serial"] for answer in won]
        assert len(won) == 1 or (revoking and not won), statuses(answers)
        assert ca.get(f"/v1/tokens/{token['id']}").json["used"] == len(won)
        # guesses at codes are counted: who comes too late may be asked to wait
        assert set(statuses(answers)) <= {200, 201, 204, 401, 409, 429}, statuses(answers)


def test_renewed_twice_at_once_with_one_key_it_is_one_certificate(ca):
    for body in ({}, {"csr": csr("renewed.lan")}):
        serial = ca.post("/v1/certificates", {"csr": csr("renewed.lan")}).expect(201).json["serial"]

        def renew():
            limit = time.monotonic() + 20
            while (answer := ca.post(f"/v1/certificates/{serial}/renew", body, **{"Idempotency-Key": serial})).status == 409:
                assert time.monotonic() < limit
                time.sleep(0.02)
            return answer

        answers = at_once(*[renew] * 8)
        assert statuses(answers) == [201] * 8
        assert len({answer.json["serial"] for answer in answers}) == 1


def test_who_polls_while_it_is_decided_sees_one_change(ca):
    """Approved and denied at once, approved twice at once, with a device that polls all the time."""
    for ways in (("approve", "deny"), ("approve", "approve"), ("deny", "approve", "deny", "approve")):
        request = ca.post("/v1/requests", {"csr": csr("polled.lan")}).expect(202).json
        before, seen, over = len(issued(ca, name="polled.lan")), [], threading.Event()

        def poll():
            while not over.is_set():
                seen.append(ca.get(f"/v1/requests/{request['id']}").expect(200).json)

        poller = threading.Thread(target=poll)
        poller.start()
        answers = at_once(*[lambda way=way: ca.post(f"/v1/requests/{request['code']}/{way}", {}) for way in ways])
        over.set()
        poller.join(cadtest.ANSWER_S)
        seen.append(ca.get(f"/v1/requests/{request['id']}").expect(200).json)
        won = [answer for answer in answers if answer.status != 409]
        assert len(won) == 1 and won[0].status in (200, 201), statuses(answers)
        changes = [row["status"] for row, next_ in zip(seen, [*seen[1:], {}]) if row["status"] != next_.get("status")]
        assert changes in (["waiting", seen[-1]["status"]], [seen[-1]["status"]]), changes
        new = issued(ca, name="polled.lan")[:len(issued(ca, name="polled.lan")) - before]
        if won[0].status == 201:
            assert [row["serial"] for row in new] == [won[0].json["serial"]] == [seen[-1]["serial"]]
        else:
            assert not new and seen[-1]["status"] == "denied"


def test_of_many_rotations_at_once_each_step_is_taken_once(ca):
    """Beside a backup with the keys, which is good for what it was."""
    secret = ca.base / "passphrase"
    secret.write_text("of the backup\n")
    secret.chmod(0o600)
    backups = []

    def back_up(number):
        file = ca.base / f"{number}.backup"
        done = subprocess.run([CACTL, "--socket", ca.socket, "backup", file, "--with-keys", "--state-dir", ca.state, "--passphrase-file",
                               secret], capture_output=True, text=True, timeout=60, env=cadtest.environment())
        assert done.returncode == 0, done.stderr
        backups.append(file)

    before = states(ca)
    standby = next(name for name, state in before.items() if state == "standby")
    answers = at_once(*[lambda: ca.post(f"/v1/ca/intermediates/{standby}/activate", {})] * 4, lambda: back_up(1))
    assert set(statuses(answers[:-1])) <= {200, 409, 503} and 200 in statuses(answers[:-1]), statuses(answers[:-1])
    assert sorted(states(ca).values()) == ["active", "retired"] and states(ca)[standby] == "active"
    answers = at_once(*[lambda: ca.post("/v1/ca/intermediates", {})] * 4, lambda: back_up(2))
    made = [answer.json["id"] for answer in answers[:-1] if answer.status == 201]
    assert len(made) == 1 and set(statuses(answers[:-1])) <= {201, 409, 503}, statuses(answers[:-1])
    assert states(ca) == {**before, "int-1": "retired", standby: "active", made[0]: "standby"}
    conf = (ca.state / "signer" / "ca" / "ca.conf").read_text()
    assert conf.count(made[0]) == 1, conf
    for number, file in enumerate(backups):
        state = ca.base / f"restored-{number}"
        done = cadtest.run(["restore", file, "--state-dir", state, "--accept-loss", "--passphrase-file", secret], timeout=60)
        assert done.returncode == 0, done.stderr
        with cadtest.Daemon(state=state) as again:
            assert again.get("/v1/ca/root.pem").body == ca.get("/v1/ca/root.pem").body
            again.post("/v1/certificates", {"csr": csr()}).expect(201)


@pytest.mark.parametrize("lost", ["the store", "all"])
def test_of_two_restores_at_once_one_is_done_and_one_refused(ca, tmp_path, lost):
    secret, file, state = tmp_path / "passphrase", tmp_path / "a.backup", tmp_path / "state"
    secret.write_text("of the backup\n")
    secret.chmod(0o600)
    serial = ca.post("/v1/certificates", {"csr": csr()}).expect(201).json["serial"]
    done = subprocess.run([CACTL, "--json", "--socket", ca.socket, "backup", file, "--with-keys", "--state-dir", ca.state, "--passphrase-file",
                           secret], capture_output=True, text=True, timeout=60, env=cadtest.environment())
    assert done.returncode == 0 and json.loads(done.stdout), done
    if lost == "the store":
        shutil.copytree(ca.state, state, ignore=shutil.ignore_patterns("cad.db*", "*.sock", "lock", "endpoints.json"))
    words = ["restore", file, "--state-dir", state, "--accept-loss", "--passphrase-file", secret]
    both = at_once(*[lambda: cadtest.run(words, timeout=60)] * 3)
    assert sorted(done.returncode for done in both) == [0, 1, 1], [done.stderr for done in both]
    assert all(done.stderr for done in both if done.returncode), both
    with contextlib.closing(sqlite3.connect(f"file:{state}/cad.db?mode=ro", uri=True)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    left = [str(path) for path in state.rglob("*") if path.suffix in (".tmp", ".part", ".new", ".import") or "restoring" in path.name]
    assert not left, left
    with cadtest.Daemon(state=state) as again:
        again.get(f"/v1/certificates/{serial}").expect(200)
        again.post("/v1/certificates", {"csr": csr()}).expect(201)
