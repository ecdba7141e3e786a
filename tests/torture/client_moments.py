#!/usr/bin/python3
"""kill -9, a full disk and a failing disk at each moment of what cactl and `cad restore` do on disk.

    tests/torture/client_moments.py [--only NAME]... [--fault kill|full|io] [--every N] [--from K]

Moments and faults are those of moments.py. Whatever came in between: key, certificate and chain of a device fit together, files of a
service are the old set or the new one after the next run, a restore is whole or not begun; and the same again does what it says.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

import cadtest  # noqa: E402
import csrs  # noqa: E402
import deploying  # noqa: E402
import device as devices  # noqa: E402
import https  # noqa: E402
import machine  # noqa: E402
import moments  # noqa: E402
import test_cactl  # noqa: E402
import test_deploy  # noqa: E402
import test_trust  # noqa: E402

KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
LIMIT_S = 60


class Thing:
    """@shared: whatever is made once; run() is what the fault comes to."""

    def __init__(self, shared):
        self.shared = shared
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="cad-"))
        self.base.chmod(0o755)

    def close(self):
        shutil.rmtree(self.base, ignore_errors=True)

    def start(self, argv, moments_env, env):
        return subprocess.run([str(word) for word in argv], env={**cadtest.environment(), **env, **(moments_env or {})}, cwd=self.base,
                              capture_output=True, text=True, timeout=LIMIT_S, stdin=subprocess.DEVNULL)


class Enroll(Thing):
    words = ("enroll",)

    def __init__(self, shared):
        super().__init__(shared)
        self.device = devices.Device(shared.ca)
        shutil.rmtree(self.base)
        self.base, self.name = self.device.base, shared.name()
        self.token = self.device.token(self.name)

    def run(self, env=None):
        return self.start([devices.CACTL, "enroll", "--url", self.device.url, "--fingerprint", self.device.fingerprint, self.name], env,
                          {**self.device.env, "CACTL_TOKEN": self.token})

    def check(self, done):
        if self.name in self.device.certs():
            serial = self.device.check(self.name)
            assert serial in self.device.issued(self.name)
        assert done.returncode != 0 or self.name in self.device.certs(), "it said that it is enrolled"

    def again(self, done):
        more = self.run()
        assert more.returncode == 0, more
        assert self.device.issued(self.name) == [self.device.check(self.name)], "one use is one certificate"
        assert self.device.certs() == [self.name], f"left over: {self.device.certs()}"


class Renew(Enroll):
    def __init__(self, shared):
        super().__init__(shared)
        done = super().run()
        assert done.returncode == 0, done
        self.before = self.device.set(self.name)

    def run(self, env=None):
        return self.start([devices.CACTL, "renew", "--force", "--new-key"], env, self.device.env)

    def check(self, done):
        self.device.check(self.name)
        changed = self.device.set(self.name) != self.before
        assert changed or done.returncode != 0, "it said that it renewed"

    def again(self, done):
        more = self.run()
        assert more.returncode == 0, more
        assert self.device.check(self.name) in self.device.issued(self.name)
        assert self.device.set(self.name) != self.before and self.device.certs() == [self.name], self.device.certs()


class Deploy(Thing):
    """A certificate in the place of another."""

    def __init__(self, shared):
        super().__init__(shared)
        self.place = deploying.Place(self.base)
        self.old, self.new = shared.credentials
        self.old.store(self.base / "old")
        self.new.store(self.base / "new")
        self.place.install("web", "--from", self.base / "old", *self.place.to(*test_deploy.PAIR))

    def run(self, env=None):
        return self.start([devices.CACTL, "deploy", "install", "web", "--from", self.base / "new"], env, self.place.env)

    def whole(self):
        return [one for one in (self.old, self.new) if self.place.holds(one, *test_deploy.PAIR)]

    def check(self, done):
        journals = list((self.place.state / "backups" / "web").glob("*/unfinished"))
        assert self.whole() or journals, "a mixture, and nothing that knows of it"
        if done.returncode == 0:
            assert self.whole() == [self.new], "it said that it is in place"
        elif done.returncode not in KILLED:
            assert self.whole(), f"it failed, and a mixture is left: {done.stderr}"

    def again(self, done):
        self.place.install("web", "--from", self.base / "old")
        assert self.whole() == [self.old]
        self.place.install("web", "--from", self.base / "new")
        assert self.whole() == [self.new]
        self.look_for_left(done)

    def look_for_left(self, done):
        """A file that could not be removed, on a disk that fails, is all that may be left."""
        left = [name for name in self.place.seen() if name.startswith(".")]
        assert not left or (done.returncode == 0 and len(left) == 1), f"left over: {left}"


class DeployRestore(Deploy):
    """And back, from the backup."""

    def __init__(self, shared):
        super().__init__(shared)
        self.place.install("web", "--from", self.base / "new")
        self.backup = self.place.backups()[0]["id"]
        self.old, self.new = self.new, self.old

    def run(self, env=None):
        return self.start([devices.CACTL, "deploy", "restore", "web", self.backup], env, self.place.env)

    def again(self, done):
        self.place.cactl("restore", "web", self.backup)
        assert self.whole() == [self.new], "the backup cannot be brought back any more"
        self.look_for_left(done)


class Issue(Thing):
    """`cactl issue --force` over what is there. Two files cannot be replaced in one step: who is killed between both has to do it again."""

    def __init__(self, shared):
        super().__init__(shared)
        shared.ca
        done = self.run()
        assert done.returncode == 0, done
        self.before = self.pair()

    def run(self, env=None):
        return self.start([devices.CACTL, "--socket", self.shared.ca.socket, "issue", "--force", "i.lan"], env, {"HOME": str(self.base)})

    def pair(self):
        return [(self.base / name).read_bytes() for name in ("i.lan.pem", "i.lan-key.pem")]

    def fits(self):
        key, certificate = (subprocess.run(["openssl", *words], check=True, timeout=LIMIT_S, capture_output=True, cwd=self.base).stdout
                            for words in (["pkey", "-in", "i.lan-key.pem", "-pubout"], ["x509", "-in", "i.lan.pem", "-noout", "-pubkey"]))
        return key == certificate

    def check(self, done):
        assert done.returncode in KILLED or self.fits(), f"key and certificate do not fit: {done.stderr}"
        assert done.returncode != 0 or self.pair() != self.before

    def again(self, done):
        more = self.run()
        assert more.returncode == 0 and self.fits(), more
        left = [path.name for path in self.base.iterdir() if path.name not in ("i.lan.pem", "i.lan-key.pem", "root.pem")]
        # what cannot be removed, on a disk that fails, stays
        assert not left or done.returncode in KILLED or (done.returncode == 0 and len(left) == 1), f"left over: {left}"


class Restore(Thing):
    """`cad restore`, of a store or of all with its keys; after it, cad serves what it was."""
    file = "store.backup"

    def __init__(self, shared):
        super().__init__(shared)
        self.state = self.base / "state"
        self.source = shared.backups()
        if self.file == "store.backup":
            shutil.copytree(self.source / "lost", self.state, symlinks=True)

    def run(self, env=None):
        return self.start([cadtest.CAD, "restore", self.source / self.file, "--state-dir", self.state, "--accept-loss", "--passphrase-file",
                           self.source / "passphrase"], env, {"TMPDIR": str(self.base)})

    def check(self, done):
        there = (self.state / "cad.db").exists()
        assert done.returncode != 0 or there, "it said that it restored"
        if not there:
            return
        with contextlib.closing(sqlite3.connect(f"file:{self.state}/cad.db?mode=ro", uri=True)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert db.execute("PRAGMA application_id").fetchone() == (0x63616431,)
            assert db.execute("SELECT count(*) FROM certificates").fetchone()[0] >= self.shared.count
        assert (self.state / "signer" / "ca" / "root.key").exists()

    def again(self, done):
        if not (self.state / "cad.db").exists():
            more = self.run()
            assert more.returncode == 0, more.stderr
            self.check(more)
        left = [str(path) for path in self.state.rglob("*") if path.name.endswith((".part", ".tmp", ".new", ".restoring", ".import"))]
        with cadtest.Daemon(state=self.state) as ca:
            for serial, status in self.shared.known.items():
                assert ca.get(f"/v1/certificates/{serial}").expect(200).json["status"] == status
            ca.post("/v1/certificates", {"csr": csrs.pem(csrs.csr(csrs.EcKey(), names=[csrs.dns("nas.lan")]))}).expect(201)
            assert ca.stop() == 0
        assert not left or done.returncode != 0, f"left over: {left}"
        keys = [str(path) for path in self.state.rglob("*.key") if path.parent != self.state / "signer" / "ca"]
        assert not keys, f"keys are left over: {keys}"


class RestoreKeys(Restore):
    file = "keys.backup"


class Trust(Thing):
    """A root in the system's store and in a browser's, on a machine of its own."""
    words, state = ("install", "--yes", "--root", "/root.pem"), "installed"

    def __init__(self, shared):
        super().__init__(shared)
        self.there = shared.machine
        for words in (("remove", "--fingerprint", shared.digest), *([("install", "--yes", "--root", "/root.pem")] if self.state == "absent" else [])):
            done = self.there.cactl("trust", *words, *self.where)
            assert done.returncode == 0, done

    where = ("--system", "--nss")

    def run(self, env=None):
        inside = ["env", "LD_PRELOAD=/moments.so", "MOMENTS=/moments"] if env else []
        words = [self.shared.digest if word == "DIGEST" else word for word in self.words]
        return self.there.run(*inside, "/opt/cactl/cactl", "trust", *words, *self.where)

    def states(self):
        done = self.there.cactl("trust", "status", "--json", "--root", "/root.pem", *self.where)
        return {row["where"]: row["state"] for row in json.loads(done.stdout)["stores"]}

    def check(self, done):
        states = self.states()
        assert set(states.values()) <= {"installed", "absent", "distrusted"}, states
        if done.returncode == 0:
            assert set(states.values()) == {self.state}, f"it said that it is done: {states}"
        others = self.there.path(test_trust.BUNDLE).read_text()
        assert "BEGIN CERTIFICATE" in others, "the roots of others are gone"

    def again(self, done):
        more = self.run()
        assert more.returncode == 0 and set(self.states().values()) == {self.state}, (more, self.states())
        left = [path.name for path in self.there.path(".local/share/ca-certificates").iterdir() if path.suffix != ".crt"]
        assert not left or done.returncode in KILLED, f"left over: {left}"


class Distrust(Trust):
    words, state = ("remove", "--fingerprint", "DIGEST"), "absent"


THINGS = {"trust": Trust, "trust remove": Distrust, "enroll": Enroll, "renew": Renew, "deploy": Deploy, "deploy restore": DeployRestore, "issue": Issue, "restore": Restore, "restore with keys": RestoreKeys}
PROGRAMS = {"restore with keys": ("cad", "cad-signer"), "restore": ("cad", "cad-signer")}


class Shared:
    """A CA that devices enrol with, credentials to deploy, and backups of another CA: made when they are asked for."""

    def __init__(self):
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="cad-"))
        self.moments = moments.Moments(self.base)
        self.numbers, self.daemon, self.pair, self.known, self.own_machine = 0, None, None, {}, None

    def name(self):
        self.numbers += 1
        return f"d{self.numbers}.lan"

    @property
    def ca(self):
        if not self.daemon:
            self.daemon = cadtest.Daemon(tcp=True).start()
        return self.daemon

    @property
    def credentials(self):
        if not self.pair:
            ca = test_cactl.Ca()
            self.pair = deploying.Credential(ca, "nas.lan"), deploying.Credential(ca, "nas.lan", "*.home.lan")
        return self.pair

    @property
    def count(self):
        return len(self.known)

    def backups(self):
        if self.known:
            return self.base
        secret = self.base / "passphrase"
        secret.write_text("of the backup\n")
        secret.chmod(0o600)
        with cadtest.Daemon() as ca:
            cactl = [devices.CACTL, "--socket", ca.socket, "backup"]
            for n in range(3):
                serial = https.identity(ca, "device", f"r{n}.lan").serial
                self.known[serial] = "revoked" if n == 0 else "valid"
            ca.post(f"/v1/certificates/{next(iter(self.known))}/revoke", {"reason": "superseded"}).expect(200)
            ca.post("/v1/crls", {}).expect(200)
            for words in ([self.base / "store.backup"], ["--with-keys", "--state-dir", ca.state, "--passphrase-file", secret,
                                                         self.base / "keys.backup"]):
                subprocess.run([*cactl, *words], check=True, timeout=LIMIT_S, env=cadtest.environment(), capture_output=True)
            assert ca.stop() == 0
            shutil.copytree(ca.state, self.base / "lost", symlinks=True)
        for path in (self.base / "lost").glob("cad.db*"):
            path.unlink()
        return self.base

    @property
    def machine(self):
        """Its moments are counted in a file of its own, which is inside."""
        if not self.own_machine:
            self.own_machine = machine.Machine(self.base / "of").__enter__()
            self.own_machine.path(".local/share/ca-certificates").mkdir(exist_ok=True)
            shipped = next(pathlib.Path("/usr/share/ca-certificates").rglob("*.crt"))
            self.own_machine.write("/etc/ca-certificates.conf", f"{shipped.relative_to('/usr/share/ca-certificates')}\n")
            self.own_machine.write(test_trust.BUNDLE, shipped.read_text())
            self.own_machine.write("/root.pem", test_trust.root_pem("Kitchen CA")[0].decode())
            self.digest = test_trust.sha256((self.own_machine.path("/root.pem")).read_text())
            test_trust.make_nss(self.own_machine, test_trust.FIREFOX)
            shutil.copy(moments.PRELOAD, self.own_machine.path("/moments.so"))
            self.moments = moments.Moments(self.own_machine.root)
        return self.own_machine

    def close(self):
        if self.own_machine:
            self.own_machine.__exit__()
        if self.daemon:
            self.daemon.close()
        shutil.rmtree(self.base, ignore_errors=True)


def once(shared, name, program, fault, moment):
    """Return: whether the fault came."""
    thing = THINGS[name](shared)
    try:
        shared.moments.arm(program, moment, fault)
        done = thing.run(shared.moments.env)
        came = shared.moments.disarm()
        assert done.returncode in (0, 1, 3) or (fault == "kill" and done.returncode in KILLED), done
        assert done.returncode == 0 or came, done
        assert done.returncode == 0 or done.returncode in KILLED or done.stderr, "it failed and said nothing"
        thing.check(done)
        thing.again(done)
        return came
    finally:
        thing.close()


def sample(chance, names=THINGS, say=lambda text: None):
    """Of each thing one moment, with a fault, both by @chance. Return: how many came."""
    tried, shared = 0, Shared()
    try:
        for name in names:
            thing = THINGS[name](shared)
            try:
                shared.moments.arm("cad", 0)
                thing.run(shared.moments.env)
                shared.moments.disarm()
            finally:
                thing.close()
            count = shared.moments.of["cad"].seen
            fault, moment = chance.choice(list(moments.FAULTS)), chance.randint(1, count)
            say(f"{name}: {fault} at moment {moment} of {count}")
            tried += once(shared, name, "cad", fault, moment)
    finally:
        shared.close()
    return tried


def torture(names=THINGS, faults=moments.FAULTS, every=1, begin=1, say=lambda text: None):
    """Each @every-th moment of these. Return: how many were tried."""
    tried, shared = 0, Shared()
    try:
        for fault in faults:
            for name in names:
                for program in PROGRAMS.get(name, ("cad",)):
                    moment, came = begin, True
                    while came and moment < moments.MOST:
                        try:
                            came = once(shared, name, program, fault, moment)
                        except Exception as error:
                            raise AssertionError(f"{name}, {fault} at moment {moment} of {program}: {error!r}") from error
                        tried += came
                        moment += every
                    say(f"{fault}: {name}: {moment - every} moments of {program}")
    finally:
        shared.close()
    return tried


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=THINGS)
    parser.add_argument("--fault", action="append", choices=moments.FAULTS)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--from", type=int, default=1, dest="begin")
    chosen = parser.parse_args()
    print(torture(chosen.only or THINGS, chosen.fault or moments.FAULTS, chosen.every, chosen.begin, print), "moments, nothing lost")


if __name__ == "__main__":
    main()
