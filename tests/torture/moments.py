#!/usr/bin/python3
"""kill -9, a full disk and a failing disk at each moment of each thing that cad does.

    tests/torture/moments.py [--only NAME]... [--fault kill|full|io] [--every N] [--from K]

A moment is a call that changes something on disk or says something to another process (moments.c counts them); the fault comes right
before it, in cad or in cad-signer. Whatever was answered with success is there afterwards, also after a start; what was answered
otherwise, or not at all, is whole or not there, and can be asked for again. One certificate for one right, numbers of CRLs never
fall, the audit verifies.
"""

import argparse
import contextlib
import ctypes
import http.client
import mmap
import os
import pathlib
import shutil
import sqlite3
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

import cadtest  # noqa: E402
import certs  # noqa: E402
import crash  # noqa: E402
import csrs  # noqa: E402
import history  # noqa: E402
from cryptography import x509  # noqa: E402
from cryptography.x509.oid import ExtensionOID  # noqa: E402

PRELOAD = cadtest.BUILD / "tests" / "moments.so"
FAULTS = {"kill": 0, "full": 1, "io": 2}
BACK_S = 10
MOST = 400              # moments of one thing
TAIL = 3                # cad does things by itself, too: so many moments without a fault end a round


class Control(ctypes.Structure):
    """struct control of moments.c."""
    _fields_ = [("armed", ctypes.c_int32), ("fault", ctypes.c_int32), ("wanted", ctypes.c_int64), ("seen", ctypes.c_int64),
                ("ahead_s", ctypes.c_int64)]


class Moments:
    """What moments.c shares with us; @env: for the program that is looked at."""

    def __init__(self, folder):
        path = pathlib.Path(folder) / "moments"
        path.write_bytes(bytes(4096))
        path.chmod(0o666)
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 4096)
        self.of = {name: Control.from_buffer(self.map, n * ctypes.sizeof(Control)) for n, name in enumerate(("cad", "cad-signer"))}
        self.env = {"LD_PRELOAD": str(PRELOAD), "MOMENTS": str(path)}

    def arm(self, program, wanted, fault="kill"):
        control = self.of[program]
        control.seen, control.wanted, control.fault, control.armed = 0, wanted, FAULTS[fault], 1

    def disarm(self):
        """Return: whether a fault came."""
        came = False
        for control in self.of.values():
            came = came or bool(control.armed and control.wanted and control.seen >= control.wanted)
            control.armed = 0
        return came

    def set_clock(self, ahead_s):
        """Of both, from now on, so far ahead of the right one."""
        for control in self.of.values():
            control.ahead_s = int(ahead_s)


class World:
    """A CA that things are done to. @last: the highest number of each CRL that was seen."""

    def __init__(self):
        self.ca = cadtest.Daemon()
        self.moments = Moments(self.ca.base)
        self.ca.env.update(self.moments.env)
        self.last, self.count = {}, 0
        self.ca.start()

    def close(self):
        self.ca.close()

    def name(self):
        self.count += 1
        return f"n{self.count}.lan"

    def csr(self, name=None):
        return csrs.pem(csrs.csr(csrs.EcKey(), names=[csrs.dns(name or self.name())]))

    def ask(self, method, path, value=None, **headers):
        """An Answer; None where none came."""
        try:
            if value is None:
                return self.ca.request(method, path, headers=headers)
            return self.ca.post(path, value, **headers)
        except (OSError, AssertionError, http.client.HTTPException):
            return None

    def come_back(self):
        """Both are there and work, started again where they are not."""
        if self.ca.process.poll() is not None:
            self.ca.start()
        self.ca.wait_until(lambda: self.ca.signer_pid and self.ca.get("/v1/health").status == 200, BACK_S, "it does not come back")

    def restart(self):
        self.ca.kill()
        self.ca.start()

    def issued(self, **query):
        text = "&".join(f"{key}={value}" for key, value in query.items())
        return self.ca.get(f"/v1/certificates?{text}").expect(200).json["certificates"]

    def check(self):
        """What holds whatever was done."""
        for row in self.ca.get("/v1/crls").expect(200).json["crls"]:
            answer = self.ca.get(f"/crl/{row['issuer']}.crl")
            if answer.status != 200:
                continue
            number = x509.load_der_x509_crl(answer.body).extensions.get_extension_for_oid(ExtensionOID.CRL_NUMBER).value.crl_number
            assert number >= self.last.get(row["issuer"], 0), f"the number of {row['issuer']}'s CRL fell from {self.last[row['issuer']]} to {number}"
            self.last[row["issuer"]] = number
        wrong = list(history.audit_verify(self.ca))
        assert not wrong, wrong


def told(answer):
    return answer is not None and 200 <= answer.status < 300


def has_certificate(world, found):
    """What an answer said is what is there."""
    there = world.ca.get(f"/v1/certificates/{found['serial']}.pem").expect(200).body.decode()
    assert there == found["certificate"], f"{found['serial']} is another certificate now"


# -- The things: prepare() makes what it needs, act() does it, check() looks, with what was answered or None ------------------


class Thing:
    signer_writes = False

    def __init__(self, world):
        self.world, self.ca = world, world.ca

    def check(self, answer):
        pass

    def again(self, answer):
        """Asked for once more, on a disk that works."""


class CreateToken(Thing):
    fields = {}

    def act(self):
        self.mine = self.world.name()
        return self.world.ask("POST", "/v1/tokens", {"names": [self.mine], "label": self.mine, **self.fields})

    def check(self, answer):
        rows = [row for row in self.ca.get("/v1/tokens?limit=5").expect(200).json["tokens"] if row.get("label") == self.mine]
        assert len(rows) <= 1
        if told(answer):
            assert [row["id"] for row in rows] == [answer.json["id"]], "a token that was handed out is gone"
        for row in rows:
            assert row["used"] == 0

    def again(self, answer):
        if not told(answer):
            answer = self.act()
        bearer = {"Authorization": f"Bearer {answer.expect(201).json['token']}"}
        self.ca.post("/v1/certificates", {"csr": self.world.csr(self.mine)}, **bearer).expect(201)
        self.ca.post("/v1/certificates", {"csr": self.world.csr(self.mine)}, **bearer).expect(401)
        self.ca.request("DELETE", f"/v1/tokens/{answer.json['id']}").expect(200, 204)


class CreatePairingCode(CreateToken):
    fields = {"short": True}


class UseToken(Thing):
    """With an Idempotency-Key, as a device does."""
    fields = {}

    def __init__(self, world):
        super().__init__(world)
        self.mine = world.name()
        self.token = self.ca.post("/v1/tokens", {"names": [self.mine], **self.fields}).expect(201).json
        self.wish = {"csr": world.csr(self.mine)}
        self.bearer = {"Authorization": f"Bearer {self.token['token']}"}

    def act(self):
        return self.world.ask("POST", "/v1/certificates", self.wish, **self.bearer, **{"Idempotency-Key": self.mine})

    def check(self, answer):
        rows = self.world.issued(requester=f"token:{self.token['id']}")
        used = self.ca.get(f"/v1/tokens/{self.token['id']}").expect(200).json["used"]
        assert len(rows) == used <= 1, f"{len(rows)} certificates, {used} uses"
        if told(answer):
            assert [row["serial"] for row in rows] == [answer.json["serial"]]
            has_certificate(self.world, answer.json)

    def again(self, answer):
        found = self.act().expect(201)
        self.check(found)
        if told(answer):
            assert found.json["serial"] == answer.json["serial"], "a second certificate for one key"
        self.ca.post("/v1/certificates", self.wish, **self.bearer).expect(401)


class UsePairingCode(UseToken):
    fields = {"short": True}


class RevokeToken(UseToken):
    def act(self):
        return self.world.ask("DELETE", f"/v1/tokens/{self.token['id']}")

    def check(self, answer):
        status = self.ca.get(f"/v1/tokens/{self.token['id']}").expect(200).json["status"]
        assert status == "revoked" if told(answer) else status in ("revoked", "active"), status

    def again(self, answer):
        if not told(answer):
            self.act()
        self.check(answer)
        self.ca.post("/v1/certificates", self.wish, **self.bearer).expect(401)


class Submit(Thing):
    def __init__(self, world):
        super().__init__(world)
        self.mine = world.name()
        self.wish = {"csr": world.csr(self.mine)}

    def act(self):
        return self.world.ask("POST", "/v1/requests", self.wish)

    def rows(self):
        return [row for row in self.ca.get("/v1/requests?limit=200").expect(200).json["requests"] if self.mine in row["names"]]

    def check(self, answer):
        rows = self.rows()
        assert len(rows) <= 1
        if told(answer):
            assert rows and self.ca.get(f"/v1/requests/{answer.json['id']}").expect(200).json["status"] == "waiting"

    def again(self, answer):
        found = self.act().expect(202)
        if told(answer):
            assert found.json["id"] == answer.json["id"]
        assert len(self.rows()) == 1
        self.ca.post(f"/v1/requests/{found.json['code']}/deny", {}).expect(200)


class Approve(Thing):
    def __init__(self, world):
        super().__init__(world)
        self.mine = world.name()
        self.request = self.ca.post("/v1/requests", {"csr": world.csr(self.mine)}).expect(202).json

    def act(self):
        return self.world.ask("POST", f"/v1/requests/{self.request['code']}/approve", {})

    def check(self, answer):
        found = self.ca.get(f"/v1/requests/{self.request['id']}").expect(200).json
        rows = [row["serial"] for row in self.world.issued(name=self.mine)]
        assert rows == ([found["serial"]] if found["status"] == "approved" else []), (found, rows)
        assert found["status"] in ("approved", "waiting"), found
        if told(answer):
            assert rows == [answer.json["serial"]]
            has_certificate(self.world, answer.json)

    def again(self, answer):
        found = self.act().expect(201, 409)
        assert found.status == 409 if told(answer) else True
        self.check(found if found.status == 201 else answer)
        assert len(self.world.issued(name=self.mine)) == 1


class Deny(Approve):
    def act(self):
        return self.world.ask("POST", f"/v1/requests/{self.request['code']}/deny", {"reason": "unknown"})

    def check(self, answer):
        status = self.ca.get(f"/v1/requests/{self.request['id']}").expect(200).json["status"]
        assert status == "denied" if told(answer) else status in ("denied", "waiting"), status
        assert not self.world.issued(name=self.mine)

    def again(self, answer):
        self.act().expect(*([409] if told(answer) else [200, 409]))
        self.ca.post(f"/v1/requests/{self.request['code']}/approve", {}).expect(409)
        assert not self.world.issued(name=self.mine)


class Renew(Thing):
    def __init__(self, world):
        super().__init__(world)
        self.mine = world.name()
        self.old = self.ca.post("/v1/certificates", {"csr": world.csr(self.mine)}).expect(201).json
        self.body = {}

    def act(self):
        return self.world.ask("POST", f"/v1/certificates/{self.old['serial']}/renew", self.body, **{"Idempotency-Key": self.mine})

    def check(self, answer):
        rows = [row["serial"] for row in self.world.issued(name=self.mine)]
        assert self.old["serial"] in rows and len(rows) <= 2, rows
        if told(answer):
            assert answer.json["serial"] in rows
            has_certificate(self.world, answer.json)

    def again(self, answer):
        found = self.act().expect(201)
        if told(answer):
            assert found.json["serial"] == answer.json["serial"], "a second certificate for one key"
        self.check(found)


class Rekey(Renew):
    def __init__(self, world):
        super().__init__(world)
        self.body = {"csr": world.csr(self.mine)}


class Revoke(Renew):
    """A hold, and then for good."""
    reason, becomes = "certificate_hold", "held"

    def act(self):
        return self.world.ask("POST", f"/v1/certificates/{self.old['serial']}/revoke", {"reason": self.reason})

    def check(self, answer):
        status = self.ca.get(f"/v1/certificates/{self.old['serial']}").expect(200).json["status"]
        assert status == self.becomes if told(answer) else status in ("valid", self.becomes), status

    def again(self, answer):
        self.act().expect(200, 409)
        self.ca.post("/v1/crls", {}).expect(200)
        crl = x509.load_der_x509_crl(self.ca.get("/crl/int-1.crl").expect(200).body)
        assert crl.get_revoked_certificate_by_serial_number(int(self.old["serial"], 16)), "it is not on the CRL"


class Publish(Thing):
    signer_writes = True

    def act(self):
        return self.world.ask("POST", "/v1/crls", {})

    def check(self, answer):
        if not told(answer):
            return
        for row in answer.json["crls"]:
            there = x509.load_der_x509_crl(self.ca.get(f"/crl/{row['issuer']}.crl").expect(200).body)
            number = there.extensions.get_extension_for_oid(ExtensionOID.CRL_NUMBER).value.crl_number
            assert number >= row["number"], f"CRL {row['number']} of {row['issuer']} was published, {number} is there"

    def again(self, answer):
        self.check(self.act().expect(200))


class Rotate(Thing):
    """The standby takes over, or another one is prepared, whichever it is time for."""
    signer_writes = True

    def __init__(self, world):
        super().__init__(world)
        self.before = self.states()
        self.setting = [name for name, state in self.before.items() if state == "standby"]

    def states(self):
        return {one["id"]: one["state"] for one in self.ca.get("/v1/ca").expect(200).json["issuers"]}

    def act(self):
        self.asked = self.setting[0] if self.setting else None
        return self.world.ask("POST", f"/v1/ca/intermediates/{self.asked}/activate" if self.asked else "/v1/ca/intermediates", {})

    def check(self, answer):
        now = self.states()
        assert sorted(now.values()).count("active") == 1 and list(now.values()).count("standby") <= 1, now
        if self.asked:
            done = {**{name: "retired" if state == "active" else state for name, state in self.before.items()}, self.asked: "active"}
        else:
            done = {**self.before, f"int-{1 + max(int(name[4:]) for name in self.before)}": "standby"}
        assert now == done if told(answer) else now in (done, self.before), (answer, self.before, now)
        found = self.ca.post("/v1/certificates", {"csr": self.world.csr()}).expect(201).json
        leaf, chain = x509.load_pem_x509_certificate(found["certificate"].encode()), certs.of_pem(found["chain"].encode())
        issuer = next(one for one in chain if one != leaf)
        certs.check_issued_by(leaf, issuer)
        certs.check_issued_by(issuer, x509.load_pem_x509_certificate(self.ca.get("/v1/ca/root.pem").expect(200).body))
        self.now, self.done = now, done

    def again(self, answer):
        """What was not done can be done."""
        if self.now != self.done:
            self.check(self.act().expect(200, 201))
        for name in self.now:
            self.ca.wait_until(lambda name=name: self.ca.get(f"/crl/{name}.crl").status == 200, BACK_S, f"{name} has no CRL")
        left = [path.name for path in (self.ca.state / "signer" / "ca").iterdir() if path.suffix in (".tmp", ".new", ".part")]
        assert not left, f"left over: {left}"


class Prepare(Rotate):
    def __init__(self, world):
        super().__init__(world)
        if self.setting:
            self.ca.post(f"/v1/ca/intermediates/{self.setting[0]}/activate", {}).expect(200)
            self.before, self.setting = self.states(), []


class Backup(Thing):
    def act(self):
        return self.world.ask("POST", "/v1/backup")

    def check(self, answer):
        if not told(answer):
            return
        with tempfile.TemporaryDirectory(prefix="cad-") as folder:
            file = pathlib.Path(folder) / "backup"
            file.write_bytes(answer.body)
            with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
                assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
                names = {name for name, in db.execute("SELECT name FROM backup_files")}
                assert {"ca/root.crt", "ca/int-1.crt"} <= names, names

    def again(self, answer):
        self.check(self.act().expect(200))
        assert not (self.ca.state / "backup.new").exists()


THINGS = {"create a token": CreateToken, "create a pairing code": CreatePairingCode, "use a token": UseToken, "use a pairing code": UsePairingCode,
          "revoke a token": RevokeToken, "hand in a request": Submit, "approve": Approve, "deny": Deny, "renew": Renew, "rekey": Rekey,
          "hold": Revoke, "publish": Publish, "activate": Rotate, "prepare": Prepare, "back up": Backup}


# -- One moment of one thing -----------------------------------------------------------------------------------------------------


class Worlds:
    """One after the other: a CA that has had its intermediates is left."""

    def __init__(self):
        self.world = None

    def get(self):
        if self.world and len(self.world.ca.get("/v1/ca").expect(200).json["issuers"]) > 5:
            self.close()
        self.world = self.world or World()
        return self.world

    def close(self):
        if self.world:
            self.world.close()
        self.world = None


def once(world, name, program, fault, moment):
    """Return: whether the fault came while it was done."""
    thing = THINGS[name](world)
    world.moments.arm(program, moment, fault)
    answer = thing.act()
    came = world.moments.disarm()
    if came and fault == "kill" and program == "cad":
        world.ca.process.wait(cadtest.STOP_S)
    elif fault != "kill":
        assert world.ca.process.poll() is None, f"cad ended:\n{world.ca.tail()}"
        assert answer is None or answer.status < 500 or answer.status == 503 or fault == "io", answer
    world.come_back()
    thing.check(answer)
    if fault != "kill":
        world.restart()
        thing.check(answer)
    thing.again(answer)
    world.check()
    return came


def sample(chance, names=THINGS, say=lambda text: None):
    """Of each thing one moment, with a fault, both by @chance; of cad-signer, too, where it does more than answer. Return: how many came:
    what cad does by itself meanwhile makes some miss."""
    tried, worlds = 0, Worlds()
    try:
        for name in names:
            for program in ("cad", "cad-signer") if THINGS[name].signer_writes else ("cad",):
                fault, world = chance.choice(list(FAULTS)), worlds.get()
                thing = THINGS[name](world)
                world.moments.arm(program, 0, fault)
                answer = thing.act()
                world.moments.disarm()
                thing.check(answer)
                count = world.moments.of[program].seen
                if not count:
                    continue
                moment = chance.randint(1, count)
                say(f"{name}: {fault} at moment {moment} of {count} of {program}")
                tried += once(worlds.get(), name, program, fault, moment)
    finally:
        worlds.close()
    return tried


def torture(names=THINGS, programs=("cad", "cad-signer"), faults=FAULTS, every=1, begin=1, say=lambda text: None):
    """Each @every-th moment of these. Return: how many were tried."""
    tried, worlds = 0, Worlds()
    try:
        for fault in faults:
            for name in names:
                for program in programs:
                    missed, moment = 0, begin
                    while missed < TAIL and moment < MOST:
                        try:
                            came = once(worlds.get(), name, program, fault, moment)
                        except Exception as error:
                            raise AssertionError(f"{name}, {fault} at moment {moment} of {program}: {error!r}") from error
                        tried += came
                        missed = 0 if came else missed + 1
                        moment += every
                    say(f"{fault}: {name}: {moment - every} moments of {program}")
    finally:
        worlds.close()
    return tried


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=THINGS)
    parser.add_argument("--program", action="append", choices=("cad", "cad-signer"))
    parser.add_argument("--fault", action="append", choices=FAULTS)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--from", type=int, default=1, dest="begin")
    chosen = parser.parse_args()
    print(torture(chosen.only or THINGS, chosen.program or ("cad", "cad-signer"), chosen.fault or FAULTS, chosen.every, chosen.begin, print),
          "moments, nothing lost")


if __name__ == "__main__":
    main()
