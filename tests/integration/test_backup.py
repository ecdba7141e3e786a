"""Backup and restore, through the real programs (issue 3, point 9; threats.md §4: 54, 57, 74).

What is answered is in the backup, keys are never in it as they are, nothing is written over, and a revocation never comes
back to life in silence. A backup that comes from elsewhere runs nothing and reaches nothing.
"""

import base64
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time

import cadtest
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

import https

CACTL = cadtest.BUILD / "client" / "cactl"
DONE, REFUSED, USAGE, UNREACHABLE = 0, 1, 2, 3
LIMIT_S = 60
PASS, OWN_PASS = "of the backup", "of the keys"
KEY = ec.generate_private_key(ec.SECP256R1())
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
CAD_UID, SIGNER_UID = 64123, 64124


@pytest.fixture(autouse=True, scope="module")
def built():
    cadtest.require_build()


def cactl(ca, *words, **more):
    return subprocess.run([CACTL, "--socket", str(ca.socket), *map(str, words)], capture_output=True, text=True,
                          errors="replace", timeout=LIMIT_S, env=cadtest.environment(), stdin=subprocess.DEVNULL, **more)


def bare(*words, **more):
    more.setdefault("env", cadtest.environment())
    return subprocess.run([CACTL, *map(str, words)], capture_output=True, text=True, errors="replace", timeout=LIMIT_S,
                          stdin=subprocess.DEVNULL, **more)


def good(done):
    assert done.returncode == DONE, done.stderr
    return done


def refused(done, *words, code=REFUSED):
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    for word in words:
        assert word in done.stderr, done.stderr
    return done


def issue(ca, *names, **fields):
    return ca.post("/v1/certificates", {"csr": https.csr_pem(KEY, *names), **fields}).expect(201).json["serial"]


def revoke(ca, serial, reason="superseded"):
    ca.post(f"/v1/certificates/{serial}/revoke", {"reason": reason}).expect(200)


def status(ca, serial):
    return ca.get(f"/v1/certificates/{serial}").expect(200).json["status"]


def crl_of(ca, issuer="int-1"):
    return x509.load_der_x509_crl((ca.state / "crl" / f"{issuer}.crl").read_bytes())


def on_crl(ca, serial):
    return crl_of(ca).get_revoked_certificate_by_serial_number(int(serial, 16)) is not None


def number_of(ca):
    return crl_of(ca).extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def wait_for_crl(ca, serial):
    ca.wait_until(lambda: on_crl(ca, serial), 15, f"{serial} is not on the CRL")


def passphrase(folder, text=PASS, name="passphrase"):
    path = folder / name
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


def lose(ca):
    """cad.db is gone, as on a broken disk; nothing else is."""
    for path in ca.state.glob("cad.db*"):
        path.unlink()


def restore(state, file, *words, **more):
    return bare("restore", file, "--state-dir", state, *words, **more)


def left_overs(state):
    return [str(p) for p in pathlib.Path(state).rglob("*")
            if re.search(r"\.(part|tmp|new|restoring.*|import)$", p.name) or p.name.startswith("backup.")]


@pytest.fixture
def ca():
    with cadtest.Daemon() as daemon:
        yield daemon
        daemon.check_log()


# ---- making one ------------------------------------------------------------------------------------------

def test_what_was_answered_before_is_in_it_while_others_go_on(ca, tmp_path):
    answered, lock, going = [], threading.Lock(), threading.Event()
    going.set()

    def caller(n):
        count = 0
        while going.is_set():
            serial = issue(ca, f"host{n}-{count}.lan")
            count += 1
            with lock:
                answered.append(serial)

    callers = [threading.Thread(target=caller, args=(n,)) for n in range(8)]
    for thread in callers:
        thread.start()
    try:
        for n in range(3):
            time.sleep(0.3)
            with lock:
                before = list(answered)
            good(cactl(ca, "backup", tmp_path / f"{n}.backup"))
            with contextlib.closing(sqlite3.connect(f"file:{tmp_path}/{n}.backup?mode=ro", uri=True)) as db:
                there = {row[0].hex() for row in db.execute("SELECT serial FROM certificates")}
            assert set(before) <= there
            assert "can be restored" in good(bare("backup", "verify", tmp_path / f"{n}.backup")).stdout
    finally:
        going.clear()
        for thread in callers:
            thread.join()
    assert len(answered) > 20
    assert left_overs(ca.state) == []


def test_a_backup_is_private_and_not_written_over(ca, tmp_path):
    file = tmp_path / "a.backup"
    good(cactl(ca, "backup", file))
    assert file.stat().st_mode & 0o7777 == 0o600
    before = file.read_bytes()
    refused(cactl(ca, "backup", file), "there already", "--replace")
    assert file.read_bytes() == before
    issue(ca, "more.lan")
    good(cactl(ca, "backup", file, "--replace"))
    assert file.read_bytes() != before
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    refused(cactl(ca, "backup", link), "there already")
    assert os.listdir(tmp_path).sort() == ["a.backup", "link"].sort()


def test_json_and_words(ca, tmp_path):
    file = tmp_path / "a.backup"
    told = json.loads(good(cactl(ca, "--json", "backup", file)).stdout)
    assert told == {"file": str(file), "bytes": file.stat().st_size, "with_keys": False}
    told = json.loads(good(cactl(ca, "--json", "backup", "verify", file)).stdout)
    assert told == {"file": str(file), "restorable": True}
    refused(cactl(ca, "backup"), "which file", code=USAGE)
    refused(cactl(ca, "backup", "verify", cwd=tmp_path), "which backup", code=USAGE)
    refused(cactl(ca, "backup", "a", "b"), code=USAGE)
    refused(cactl(ca, "backup", "--scheduled", "x"), code=USAGE)
    refused(cactl(ca, "backup", "x", "--folder", tmp_path), code=USAGE)
    assert os.listdir(tmp_path) == ["a.backup"]
    ca.stop()
    refused(cactl(ca, "backup", tmp_path / "b"), code=UNREACHABLE)
    assert os.listdir(tmp_path) == ["a.backup"]


@AS_ROOT
def test_only_an_admin_on_the_socket_gets_one(tmp_path):
    config = tmp_path / "cad.conf"
    config.write_text("[Access]\nOperator=uid:1001\nReader=uid:1002\nAdmin=uid:1003\n")
    with cadtest.Daemon(args=["--config", str(config)], tcp=True) as daemon:
        daemon.state.chmod(0o711)
        daemon.socket.chmod(0o666)
        for uid in (1001, 1002, 1004):
            assert daemon.as_user(uid, uid, [], "POST", "/v1/backup").status == 403
        assert daemon.as_user(1003, 1003, [], "POST", "/v1/backup").status == 200
        assert https.request(daemon, "POST", "/v1/backup").status in (401, 403)
        assert https.request(daemon, "POST", "/v1/backup", who=https.identity(daemon, "admin", "laptop.lan")).status in (401, 403)
        assert left_overs(daemon.state) == []


def test_health_tells_its_age(ca, tmp_path):
    def check():
        return next(c for c in ca.get("/v1/health").json["checks"] if c["name"] == "backup")

    assert "none was made" in json.dumps(check())
    good(cactl(ca, "backup", tmp_path / "a.backup"))
    assert "the last one was made at 20" in check()["detail"] and check()["status"] == "ok"
    for text, words in (("2020-01-01T00:00:00Z\n", "2020"), ("2999-01-01T00:00:00Z\n", "cannot be read"), ("yesterday", "cannot be read")):
        (ca.state / "last-backup").write_text(text)
        assert words in check()["detail"] and check()["status"] == "warning"
    assert ca.get("/v1/health").status == 200          # a missed backup is no reason to serve nobody


def test_scheduled_ones_are_kept_for_a_fortnight(ca, tmp_path):
    folder = tmp_path / "backups"
    folder.mkdir()
    for day in range(1, 21):
        (folder / f"cad-202601{day:02}T030000Z.backup").write_text("old")
    (folder / "cad-20260101T030000Z.backup.part").write_text("cut off")
    os.utime(folder / "cad-20260101T030000Z.backup.part", (1, 1))
    (folder / "cad-29991231T030000Z.backup.part").write_text("being written")
    (folder / "mine.backup").write_text("kept by hand")
    good(cactl(ca, "backup", "--scheduled", "--folder", folder))
    names = sorted(os.listdir(folder))
    assert "mine.backup" in names and "cad-29991231T030000Z.backup.part" in names
    ours = [n for n in names if re.fullmatch(r"cad-\d{8}T\d{6}Z\.backup", n)]
    assert len(ours) == 14 and ours[0] == "cad-20260108T030000Z.backup"
    assert "cad-20260101T030000Z.backup.part" not in names
    good(bare("backup", "verify", folder / ours[-1]))


def test_where_there_is_no_room_nothing_is_left(ca, tmp_path):
    def small():
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    assert cactl(ca, "backup", tmp_path / "a.backup", preexec_fn=small).returncode != DONE
    assert os.listdir(tmp_path) == []
    assert issue(ca, "still.lan") and left_overs(ca.state) == []


# ---- restoring -------------------------------------------------------------------------------------------

def test_nothing_is_put_over_a_store(ca, tmp_path):
    file = tmp_path / "a.backup"
    good(cactl(ca, "backup", file))
    refused(restore(ca.state, file), "stop cad first")
    ca.stop()
    before = (ca.state / "cad.db").read_bytes()
    refused(restore(ca.state, file), "cad.db", "nothing is written over it")
    refused(restore(ca.state, file, "--accept-loss"), "cad.db")
    assert (ca.state / "cad.db").read_bytes() == before


def test_what_was_revoked_and_issued_since_comes_back(ca, tmp_path):
    file = tmp_path / "a.backup"
    old, stolen = issue(ca, "old.lan"), issue(ca, "stolen.lan")
    good(cactl(ca, "backup", file))
    late = issue(ca, "late.lan", profile="client")
    revoked_late = issue(ca, "late2.lan")
    for serial in (stolen, revoked_late):
        revoke(ca, serial, "key_compromise")
    for serial in (stolen, revoked_late):
        wait_for_crl(ca, serial)
    number = number_of(ca)
    ca.stop()
    lose(ca)
    done = refused(restore(ca.state, file), late, revoked_late, "--accept-loss")
    assert "late.lan" in done.stderr and not (ca.state / "cad.db").exists()
    done = good(restore(ca.state, file, "--accept-loss"))
    assert late in done.stdout
    ca.start()
    assert [status(ca, s) for s in (old, stolen, revoked_late, late)] == ["valid", "revoked", "revoked", "valid"]
    revoke(ca, late)
    wait_for_crl(ca, late)
    assert on_crl(ca, stolen) and on_crl(ca, revoked_late) and not on_crl(ca, old)
    assert number_of(ca) > number
    # a key that was compromised stays compromised
    assert ca.post("/v1/certificates", {"csr": https.csr_pem(KEY, "again.lan")}).status in (400, 403, 409, 422)
    rows = ca.get("/v1/audit?action=backup.restore").expect(200).json
    assert "losses accepted" in json.dumps(rows)
    # and one that was made of what was put back is as good
    good(cactl(ca, "backup", tmp_path / "b.backup"))
    good(bare("backup", "verify", tmp_path / "b.backup"))


def test_where_nothing_happened_since_nothing_is_lost(ca, tmp_path):
    serial = issue(ca, "nas.lan")
    ca.wait_until(lambda: (ca.state / "crl" / "int-1.crl").exists(), 15, "there is no CRL")
    good(cactl(ca, "backup", tmp_path / "a.backup"))
    ca.stop()
    lose(ca)
    told = json.loads(good(bare("--json", "restore", tmp_path / "a.backup", "--state-dir", ca.state)).stdout)
    assert told == {"file": str(tmp_path / "a.backup"), "restored": True}
    ca.start()
    assert status(ca, serial) == "valid" and issue(ca, "more.lan")


def test_a_token_that_was_used_or_revoked_since_is_no_right_again(ca, tmp_path):
    def use(token, name):
        return ca.post("/v1/certificates", {"csr": https.csr_pem(ec.generate_private_key(ec.SECP256R1()), name)},
                       Authorization=f"Bearer {token}")

    made = [ca.post("/v1/tokens", {"names": [f"{n}.lan"]}).expect(201).json for n in ("used", "revoked", "spent", "open")]
    use(made[2]["token"], "spent.lan").expect(201)
    good(cactl(ca, "backup", tmp_path / "a.backup"))
    use(made[0]["token"], "used.lan").expect(201)
    ca.request("DELETE", f"/v1/tokens/{made[1]['id']}").expect(200, 204)
    ca.stop()
    lose(ca)
    done = good(restore(ca.state, tmp_path / "a.backup", "--accept-loss"))
    assert "3 tokens of the backup were not used up" in done.stdout and "token create" in done.stdout
    ca.start()
    told = {token["id"]: token["status"] for token in ca.get("/v1/tokens").expect(200).json["tokens"]}
    assert [told[token["id"]] for token in made] == ["revoked", "revoked", "used_up", "revoked"]
    for token, name in zip(made, ("used", "revoked", "spent", "open")):
        assert use(token["token"], f"{name}.lan").status in (401, 403), name
    assert "open tokens revoked" in json.dumps(ca.get("/v1/audit?action=backup.restore").expect(200).json)


LOSSES = {
    "the signer's log": (lambda s: (s / "signer" / "log").unlink(), "signer's log is not there"),
    "the beginning of the log": (lambda s: (s / "signer" / "log").write_text(
        "2999-01-01T00:00:00Z audit number=1 hash=00\n"), "begins after the backup"),
    "a part of the log": (lambda s: (s / "signer" / "log.1").symlink_to("/etc/passwd"), "log.1 cannot be read"),
    "the CRL": (lambda s: (s / "crl" / "int-1.crl").unlink(), "the last CRL of int-1"),
    "all CRLs and their folder": (lambda s: shutil.rmtree(s / "crl"), "the last CRL of int-1"),
    "a CRL that is not as it was": (lambda s: flip(s / "crl" / "int-1.crl"), "int-1.crl is not believed"),
    "the CRL of another issuer in its place": (lambda s: shutil.copy(s / "crl" / "int-2.crl", s / "crl" / "int-1.crl"),
                                               "int-1.crl is not believed"),
    "a link in the place of the CRL": (lambda s: relink(s / "crl" / "int-1.crl"), "int-1.crl is not believed"),
}


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) - 20] ^= 1
    path.write_bytes(content)


def relink(path):
    path.rename(path.with_suffix(".there"))
    path.symlink_to(path.with_suffix(".there"))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A CA that was stopped, with a backup of it before something was revoked; tests take copies."""
    base = tmp_path_factory.mktemp("stopped")
    with cadtest.Daemon() as daemon:
        serial = issue(daemon, "nas.lan")
        good(cactl(daemon, "backup", base / "a.backup"))
        good(cactl(daemon, "backup", base / "keys.backup", "--with-keys", "--state-dir", daemon.state,
                   "--passphrase-file", passphrase(base)))
        revoke(daemon, serial)
        wait_for_crl(daemon, serial)
        daemon.stop()
        shutil.copytree(daemon.state, base / "state", ignore=shutil.ignore_patterns("cad.db*", "*.sock"))
    return base, serial


@pytest.fixture
def copy(stopped, tmp_path):
    shutil.copytree(stopped[0] / "state", tmp_path / "state", symlinks=True)
    return tmp_path / "state"


@pytest.fixture
def open_folder():
    """One that other users may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        pathlib.Path(name).chmod(0o755)
        yield pathlib.Path(name)


@pytest.mark.parametrize("label", LOSSES)
def test_what_cannot_be_known_is_said_and_not_passed_over(stopped, copy, label):
    damage, words = LOSSES[label]
    damage(copy)
    refused(restore(copy, stopped[0] / "a.backup"), words, "--accept-loss")
    assert not (copy / "cad.db").exists() and left_overs(copy) == []
    done = good(restore(copy, stopped[0] / "a.backup", "--accept-loss"))
    assert words in done.stdout


def test_garbage_in_the_log_is_left_out_and_told(stopped, copy):
    with open(copy / "signer" / "log", "ab") as log:
        log.write(b"\xff\xfe\n\n \n2026-01-01T00:00:00Z\nnonsense issue serial=01 \n"
                  b"2999-01-01T00:00:00Z issue serial=0102 issuer=int-1 profile=ser\n"
                  b"2999-01-01T00:00:00Z issue serial=zz issuer=a profile=b key=c until=d names=e\n"
                  b"2999-01-01T00:00:00Z issue serial=" + b"01" * 19 + b" issuer=int-1 profile=server key=" + b"00" * 32 +
                  b" until=2999-01-02T00:00:00Z names=a\\0ab,\\5\n"
                  b"2999-01-01T00:00:00Z crl issuer=" + b"x" * 5000 + b" number=99999999999999999999\n"
                  b"2999-01-01T00:00:00Z issue serial=01")
    done = good(restore(copy, stopped[0] / "a.backup"))
    assert "not whole" in done.stderr


def test_a_hold_and_a_lost_name_with_commas_come_back_whole(tmp_path):
    with cadtest.Daemon() as daemon:
        good(cactl(daemon, "backup", tmp_path / "a.backup"))
        held = issue(daemon, "held.lan", "other.lan", "third.lan")
        revoke(daemon, held, "certificate_hold")
        wait_for_crl(daemon, held)
        daemon.stop()
        lose(daemon)
        good(restore(daemon.state, tmp_path / "a.backup", "--accept-loss"))
        daemon.start()
        with contextlib.closing(sqlite3.connect(f"file:{daemon.state}/cad.db?mode=ro", uri=True)) as db:
            assert list(db.execute("SELECT status, names, label FROM certificates WHERE serial = ?", (bytes.fromhex(held),))) == [
                (1, "held.lan\nother.lan\nthird.lan",
                 "lost: restored from the signer's log, the certificate itself is not known")]
        shown = daemon.get(f"/v1/certificates/{held}").expect(200).json
        assert shown["status"] == "held" and "certificate" not in shown
        told = good(cactl(daemon, "cert", "show", held)).stdout
        assert all(word in told for word in ("held", "held.lan, other.lan, third.lan", "restored from the signer's log")), told
        for words in (("show", held, "--pem"), ("export", held), ("renew", held)):
            refused(cactl(daemon, "cert", *words), "lost with a database", f"cactl cert revoke {held}")
        assert "lost" in daemon.get(f"/v1/certificates/{held}.pem").expect(404).json["detail"]
        revoke(daemon, held, "remove_from_crl")


# ---- keys ------------------------------------------------------------------------------------------------

def plain_marks(path):
    return [m for m in re.findall(rb"-----BEGIN ([A-Z0-9 ]*)-----", path.read_bytes())
            if b"KEY" in m and m != b"ENCRYPTED PRIVATE KEY"]


def key_files(state):
    return {p.name: b"ENCRYPTED" in p.read_bytes() for p in (state / "signer" / "ca").glob("*.key")}


def key_octets(state):
    """What would tell a plain key from anything else: octets out of each."""
    return [line for p in (state / "signer" / "ca").glob("*.key")
            for line in p.read_bytes().splitlines()[1:-1] if len(line) > 40 and b"ENCRYPTED" not in p.read_bytes()]


def test_keys_are_encrypted_in_it_and_plain_again_where_they_were(stopped, tmp_path):
    file = stopped[0] / "keys.backup"
    content = file.read_bytes()
    assert content.count(b"BEGIN ENCRYPTED PRIVATE KEY") == 3 and plain_marks(file) == []
    assert not any(octets in content for octets in key_octets(stopped[0] / "state"))
    assert b"PRIVATE KEY" not in (stopped[0] / "a.backup").read_bytes()
    assert "with the keys, encrypted" in good(bare("backup", "verify", file)).stdout

    empty = tmp_path / "new" / "state"
    refused(restore(empty, file), "signer's log is not there", "there is no CRL")
    refused(restore(empty, file, "--accept-loss"), "passphrase")
    refused(restore(empty, file, "--accept-loss", "--passphrase-file", passphrase(tmp_path, "wrong")), "passphrase")
    assert not (empty / "cad.db").exists() and not (empty / "signer" / "ca").exists() and left_overs(empty) == []
    good(restore(empty, file, "--accept-loss", "--passphrase-file", passphrase(tmp_path)))
    assert key_files(empty) == {"root.key": False, "int-1.key": False, "int-2.key": False}
    for part in ("root.crt", "int-1.crt", "int-2.crt", "root.key", "ca.conf"):
        assert (empty / "signer" / "ca" / part).read_bytes() == (stopped[0] / "state" / "signer" / "ca" / part).read_bytes()
    assert b"PRIVATE KEY" not in (empty / "cad.db").read_bytes()
    assert all(p.stat().st_mode & 0o077 == 0 for p in empty.rglob("*"))
    with cadtest.Daemon(state=empty) as daemon:
        assert status(daemon, stopped[1]) == "valid"
        assert issue(daemon, "again.lan")
        assert daemon.get("/v1/ca/root.pem").body == (stopped[0] / "state" / "signer" / "ca" / "root.crt").read_bytes()


def rehearse(tmp_path, file, *words, **more):
    """A rehearsal with a temporary folder of its own, in which nothing may be left."""
    tmp = tmp_path / "tmp"
    tmp.mkdir(exist_ok=True)
    done = bare("backup", "verify", file, *words, env={**cadtest.environment(), "TMPDIR": str(tmp)}, **more)
    assert os.listdir(tmp) == []
    return done


def test_a_rehearsal_says_whether_the_passphrase_opens_the_keys(stopped, tmp_path):
    file, right, wrong = stopped[0] / "keys.backup", passphrase(tmp_path), passphrase(tmp_path, "wrong", "wrong")
    before = file.read_bytes()
    told = good(rehearse(tmp_path, file)).stdout
    assert "the keys were not tried: add --passphrase-file" in told and "keys open" not in told
    told = good(rehearse(tmp_path, file, "--passphrase-file", right)).stdout
    assert "the keys open with this passphrase\nthe backup can be restored\n" in told and "not tried" not in told
    done = good(rehearse(tmp_path, file, "--json", "--passphrase-file", right))
    assert json.loads(done.stdout) == {"file": str(file), "restorable": True, "keys_open": True}
    done = refused(rehearse(tmp_path, file, "--passphrase-file", wrong), "the passphrase does not open the key", "int-1.key", "Give the passphrase")
    assert "keys open" not in done.stdout and "can be restored" not in done.stdout
    refused(rehearse(tmp_path, file, "--passphrase-file", tmp_path / "none"), str(tmp_path / "none"))
    refused(rehearse(tmp_path, stopped[0] / "a.backup", "--passphrase-file", right), "there are no keys in", "--with-keys")
    done = cadtest.run(["restore", file, "--check", f"--passphrase-file={right}"])
    assert done.returncode == 0 and "the keys open" in str(done.stdout)
    assert cadtest.run(["restore", file, "--check", "--passphrase-file"]).returncode == USAGE
    assert file.read_bytes() == before


KEY_DAMAGES = {
    "an issuer's key is cut off": ("UPDATE backup_files SET content = substr(content, 1, 100) WHERE name LIKE 'signer/ca/int-2.key%'", "int-2.key"),
    "the key of another": ("UPDATE backup_files SET content = (SELECT content FROM backup_files WHERE name LIKE 'signer/ca/int-1.key%')"
                           " WHERE name LIKE 'signer/ca/int-2.key%'", "does not fit"),
    "the root's key is noise": ("UPDATE backup_files SET content = randomblob(300) WHERE name LIKE 'signer/ca/root.key%'", "root.key"),
    "a key is gone": ("DELETE FROM backup_files WHERE name LIKE 'signer/ca/int-1.key%'", "int-1.key"),
}


@pytest.mark.parametrize("label", KEY_DAMAGES)
def test_a_rehearsal_finds_a_damaged_key(stopped, tmp_path, label):
    file = tmp_path / "k.backup"
    shutil.copy(stopped[0] / "keys.backup", file)
    sql, words = KEY_DAMAGES[label]
    change(file, sql)
    done = refused(rehearse(tmp_path, file, "--passphrase-file", passphrase(tmp_path)), words, "make another one")
    assert "keys open" not in done.stdout


def test_a_rehearsal_without_the_roots_key_says_so(stopped, tmp_path):
    file = tmp_path / "k.backup"
    shutil.copy(stopped[0] / "keys.backup", file)
    change(file, "DELETE FROM backup_files WHERE name LIKE 'signer/ca/root.key%'")
    assert "the root's key is not among them" in good(rehearse(tmp_path, file, "--passphrase-file", passphrase(tmp_path))).stdout


@AS_ROOT
def test_who_is_not_root_rehearses_with_the_keys(stopped, open_folder):
    tmp = open_folder / "tmp"
    tmp.mkdir()
    shutil.copy(stopped[0] / "keys.backup", open_folder / "k.backup")
    secret = passphrase(open_folder)
    for path in (tmp, open_folder / "k.backup", secret):
        os.chown(path, 1005, 1005)
    done = subprocess.run(["setpriv", "--reuid=1005", "--regid=1005", "--clear-groups", CACTL, "backup", "verify", open_folder / "k.backup",
                           "--passphrase-file", secret], capture_output=True, text=True, timeout=LIMIT_S,
                          env={**cadtest.environment(), "TMPDIR": str(tmp), "HOME": str(tmp)})
    assert "the keys open with this passphrase" in good(done).stdout
    assert os.listdir(tmp) == []


def slow_to_open(pem):
    """An encrypted key that wants about as many rounds of PBKDF2 as GnuTLS does: whoever opens it is at it for a second."""
    der = base64.b64decode(b"".join(pem.strip().splitlines()[1:-1]))
    salt = der.index(bytes.fromhex("06092a864886f70d01050c")) + 11 + 2
    rounds = salt + 2 + der[salt + 1]
    assert der[salt] == 4 and der[rounds] == 2
    grown, at = 4 - der[rounds + 1], 0
    out = bytearray(der)
    while at < rounds:                                   # what is around it gets longer
        size = 1 + (der[at + 1] & 0x7F if der[at + 1] & 0x80 else 0)
        octets = slice(at + (2 if size > 1 else 1), at + 1 + size)
        length = int.from_bytes(der[octets], "big")
        if at + 1 + size + length > rounds:
            out[octets] = (length + grown).to_bytes(octets.stop - octets.start, "big")
            at += 1 + size
        else:
            at += 1 + size + length
    out[rounds:rounds + 2 + der[rounds + 1]] = b"\x02\x04\x00\x98\x00\x00"
    return b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n" + base64.encodebytes(out) + b"-----END ENCRYPTED PRIVATE KEY-----\n"


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_rehearsal_that_is_ended_leaves_no_key(stopped, tmp_path, sent):
    file, tmp = tmp_path / "k.backup", tmp_path / "tmp"
    shutil.copy(stopped[0] / "keys.backup", file)
    tmp.mkdir()
    with contextlib.closing(sqlite3.connect(file)) as db, db:
        (name, pem), = db.execute("SELECT name, content FROM backup_files WHERE name LIKE 'signer/ca/int-1.key%'").fetchall()
        db.execute("UPDATE backup_files SET content = ? WHERE name = ?", (slow_to_open(bytes(pem)), name))
    process = subprocess.Popen([cadtest.CAD, "restore", file, "--check", "--passphrase-file", passphrase(tmp_path)], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, env={**cadtest.environment(), "TMPDIR": str(tmp)}, start_new_session=True)
    try:
        until = time.monotonic() + 20
        while len(keys := list(tmp.rglob("*.key"))) < 3:
            assert time.monotonic() < until and process.poll() is None
            time.sleep(0.005)
        assert all(plain_marks(key) == [] for key in keys if key.exists())
        time.sleep(0.05)
        assert process.poll() is None                    # it is at the key
        process.send_signal(sent)                        # to it alone, and not to its signer
        assert process.wait(10) == -sent
        assert os.listdir(tmp) == []
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


@pytest.mark.slow
def test_keys_with_a_passphrase_keep_theirs(tmp_path):
    own = passphrase(tmp_path, OWN_PASS, "own")
    state = tmp_path / "state"
    assert cadtest.run(["init", "--state-dir", state, "--passphrase-file", own]).returncode == 0
    with cadtest.Daemon(state=state, args=["--passphrase-file", str(own)]) as daemon:
        good(cactl(daemon, "backup", tmp_path / "k.backup", "--with-keys", "--state-dir", state))
    assert plain_marks(tmp_path / "k.backup") == []
    new = tmp_path / "new"
    refused(restore(new, tmp_path / "k.backup", "--accept-loss", "--passphrase-file", passphrase(tmp_path)), "passphrase")
    refused(rehearse(tmp_path, tmp_path / "k.backup", "--passphrase-file", passphrase(tmp_path)), "passphrase")
    assert "the keys open" in good(rehearse(tmp_path, tmp_path / "k.backup", "--passphrase-file", own)).stdout
    good(restore(new, tmp_path / "k.backup", "--accept-loss", "--passphrase-file", own))
    assert key_files(new) == {"root.key": True, "int-1.key": True, "int-2.key": True}
    with cadtest.Daemon(state=new, args=["--passphrase-file", str(own)]) as daemon:
        assert issue(daemon, "a.lan")


def test_a_plain_key_without_a_passphrase_makes_no_backup(ca, tmp_path):
    refused(cactl(ca, "backup", tmp_path / "k", "--with-keys", "--state-dir", ca.state), "--passphrase-file")
    assert os.listdir(tmp_path) == []


@AS_ROOT
def test_who_is_not_root_and_not_the_signer_gets_no_key(ca, tmp_path):
    file = tmp_path / "a.backup"
    good(cactl(ca, "backup", file))
    os.chown(file, 1005, 1005)
    for folder in (tmp_path, *list(tmp_path.parents)[:3], ca.base, ca.state):
        with contextlib.suppress(PermissionError):
            folder.chmod(folder.stat().st_mode | 0o011)
    before = file.read_bytes()
    secret = passphrase(tmp_path)
    os.chown(secret, 1005, 1005)
    done = subprocess.run(["setpriv", "--reuid=1005", "--regid=1005", "--clear-groups", cadtest.CAD, "backup-keys", file,
                           "--state-dir", ca.state, "--passphrase-file", secret], capture_output=True, text=True,
                          timeout=LIMIT_S, env=cadtest.environment())
    assert done.returncode != 0 and file.read_bytes() == before


def test_keys_of_one_ca_are_not_put_into_the_backup_of_another(stopped, tmp_path):
    with cadtest.Daemon() as other:
        good(cactl(other, "backup", tmp_path / "a.backup"))
    done = cadtest.run(["backup-keys", tmp_path / "a.backup", "--state-dir", stopped[0] / "state",
                        "--passphrase-file", passphrase(tmp_path)])
    refused(done, "another one")
    assert b"PRIVATE KEY" not in (tmp_path / "a.backup").read_bytes()


def test_a_backup_of_another_ca_is_not_put_into_its_folder(stopped, copy, tmp_path):
    with cadtest.Daemon() as other:
        good(cactl(other, "backup", tmp_path / "other.backup"))
    refused(restore(copy, tmp_path / "other.backup", "--accept-loss"), "another one")
    assert not (copy / "cad.db").exists()


def test_without_keys_and_without_a_ca_there_is_nothing_to_restore_into(stopped, tmp_path):
    refused(restore(tmp_path / "new", stopped[0] / "a.backup", "--accept-loss"), "--with-keys")
    assert not (tmp_path / "new" / "cad.db").exists()


@AS_ROOT
def test_in_the_folders_of_others_root_has_their_rights_and_leaves_them_theirs(stopped, tmp_path, open_folder):
    copy, bait = open_folder / "state", tmp_path / "bait"
    shutil.copytree(stopped[0] / "state", copy, symlinks=True)
    bait.write_text("precious")
    for path in [copy, *copy.rglob("*")]:
        uid = SIGNER_UID if copy / "signer" in [path, *path.parents] else CAD_UID
        os.chown(path, uid, uid, follow_symlinks=False)
    for name in ("cad.db.restoring", "cad.db.restoring-journal", "cad.db.restoring-wal"):
        (copy / name).symlink_to(bait)
    file = tmp_path / "k.backup"
    shutil.copy(stopped[0] / "a.backup", file)
    assert cadtest.run(["backup-keys", file, "--state-dir", copy, "--passphrase-file", passphrase(tmp_path)]).returncode == 0
    assert plain_marks(file) == []
    good(restore(copy, file))                        # the CRL of cad's user is believed: nothing is lost
    assert bait.read_text() == "precious" and bait.stat().st_uid == 0
    assert (copy / "cad.db").stat().st_uid == CAD_UID
    shutil.rmtree(copy / "signer" / "ca")
    (copy / "cad.db").unlink()
    good(restore(copy, file, "--passphrase-file", passphrase(tmp_path)))
    assert {p.stat().st_uid for p in (copy / "signer").rglob("*")} == {SIGNER_UID}
    (copy / "cad.db").unlink()
    (copy / "lock").unlink()
    (copy / "lock").symlink_to(bait)
    refused(restore(copy, file), "lock")
    assert bait.read_text() == "precious"


# ---- damaged, and made by somebody -----------------------------------------------------------------------

def change(path, sql):
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(sql)


DAMAGES = {
    "cut off": lambda p: os.truncate(p, p.stat().st_size // 2),
    "empty": lambda p: os.truncate(p, 0),
    "no database": lambda p: p.write_text("hello\n" * 5000),
    "a page of noise": lambda p: p.write_bytes(p.read_bytes()[:8192] + os.urandom(4096) + p.read_bytes()[12288:]),
    "a trigger": lambda p: change(p, "CREATE TRIGGER t AFTER INSERT ON audit BEGIN DELETE FROM certificates; END"),
    "a view": lambda p: change(p, "CREATE VIEW v AS SELECT 1"),
    "another table": lambda p: change(p, "CREATE TABLE t (a)"),
    "a later schema": lambda p: change(p, "PRAGMA user_version = 99"),
    "an audit row changed": lambda p: change(p, "UPDATE audit SET principal = 'nobody' WHERE number = 1"),
    "an audit row less": lambda p: change(p, "DELETE FROM audit WHERE number = 1"),
    "a certificate that is none": lambda p: change(p, "UPDATE certificates SET der = x'300130'"),
    "another CA's id": lambda p: change(p, "UPDATE meta SET ca_id = replace(ca_id, substr(ca_id, 1, 1), 'z')"),
    "an id that paints the terminal": lambda p: change(p, "UPDATE meta SET ca_id = char(27) || '[31m'"),
    "no root": lambda p: change(p, "DELETE FROM backup_files WHERE name = 'ca/root.crt'"),
    "an issuer that is not the root's": lambda p: change(
        p, "UPDATE backup_files SET content = (SELECT content FROM backup_files WHERE name = 'ca/root.crt') WHERE name = 'ca/int-1.crt';"
           "UPDATE backup_files SET content = x'78' WHERE name = 'ca/int-2.crt'"),
    "a journal beside it": lambda p: pathlib.Path(f"{p}-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(504)),
}


@pytest.mark.parametrize("label", DAMAGES)
def test_verify_finds_what_is_wrong_and_leaves_nothing(stopped, tmp_path, label):
    file, tmp = tmp_path / "a.backup", tmp_path / "tmp"
    shutil.copy(stopped[0] / "a.backup", file)
    tmp.mkdir()
    DAMAGES[label](file)
    env = {**cadtest.environment(), "TMPDIR": str(tmp)}
    done = refused(bare("backup", "verify", file, env=env))
    assert done.stderr.startswith("cad: ") and "\x1b" not in done.stdout + done.stderr
    assert os.listdir(tmp) == []


def test_one_is_no_plural(ca, tmp_path):
    issue(ca, "one.lan")
    ca.post("/v1/tokens", {"names": ["one.lan"]}).expect(201)
    good(cactl(ca, "backup", tmp_path / "a.backup"))
    ca.stop()
    lose(ca)
    said = good(restore(ca.state, tmp_path / "a.backup", "--accept-loss")).stdout
    assert ": 1 certificate, 0 revoked" in said and "1 token of the backup was not used up" in said, said


def test_what_is_no_backup_at_all_is_called_that(tmp_path):
    (tmp_path / "hostname").write_text("nas\n")
    said = refused(bare("backup", "verify", tmp_path / "hostname")).stderr
    assert "is no backup of cad's" in said and "damaged" not in said and "cad.db" not in said and "cactl backup FILE" in said


@pytest.mark.parametrize("label", DAMAGES)
def test_what_verify_refuses_is_not_restored(stopped, copy, tmp_path, label):
    file = tmp_path / "a.backup"
    shutil.copy(stopped[0] / "a.backup", file)
    DAMAGES[label](file)
    refused(restore(copy, file))
    assert not (copy / "cad.db").exists() and left_overs(copy) == []
    if label in ("cut off", "a trigger", "another table", "no root"):   # nobody can want that
        refused(restore(copy, file, "--accept-loss"))
        assert not (copy / "cad.db").exists() and left_overs(copy) == []


def test_a_backup_whose_audit_was_changed_is_restored_only_by_who_wants_it_so(stopped, copy, tmp_path):
    file = tmp_path / "a.backup"
    shutil.copy(stopped[0] / "a.backup", file)
    DAMAGES["an audit row changed"](file)
    refused(restore(copy, file), "the audit is not whole", "--accept-loss")
    done = good(restore(copy, file, "--accept-loss"))
    assert "not as it was made: the audit is not whole" in done.stdout


NAMES = ["signer/log", "signer/../../escaped", "signer/ca/../../escaped", "signer/lock", "/tmp/escaped", "signer/passphrase"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_in_a_backup_leads_nowhere(stopped, tmp_path, name):
    file = tmp_path / "k.backup"
    shutil.copy(stopped[0] / "keys.backup", file)
    with contextlib.closing(sqlite3.connect(file)) as db, db:
        db.execute("INSERT INTO backup_files VALUES (?, ?)", (name, b"evil"))
    new = tmp_path / "new"
    good(restore(new, file, "--accept-loss", "--passphrase-file", passphrase(tmp_path)))
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p != file and b"evil" in p.read_bytes()]
    assert not pathlib.Path("/tmp/escaped").exists()


def test_the_keys_of_another_ca_in_a_backup_are_refused(stopped, tmp_path):
    file = tmp_path / "k.backup"
    shutil.copy(stopped[0] / "keys.backup", file)
    with cadtest.Daemon() as other:
        good(cactl(other, "backup", tmp_path / "o.backup", "--with-keys", "--state-dir", other.state,
                   "--passphrase-file", passphrase(tmp_path)))
    change(file, f"ATTACH '{tmp_path}/o.backup' AS o; DELETE FROM backup_files WHERE name LIKE 'signer/%';"
                 "INSERT INTO main.backup_files SELECT * FROM o.backup_files WHERE name LIKE 'signer/%'")
    refused(restore(tmp_path / "new", file, "--accept-loss", "--passphrase-file", passphrase(tmp_path)), "another one")
    assert not (tmp_path / "new" / "signer" / "ca").exists()


def kill_group(process):
    """And wait until the last of it, perhaps a cad-signer, has let go of its lock."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)
    until = time.monotonic() + 10
    while True:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        assert time.monotonic() < until
        time.sleep(0.002)


# ---- killed, and without room ----------------------------------------------------------------------------

@pytest.mark.slow
@pytest.mark.parametrize("file", ["a.backup", "keys.backup"])
def test_killed_at_any_moment_the_next_try_works(stopped, tmp_path, file):
    """All of its processes at once, after a delay that grows until it was done before."""
    delay, state, killed = 0.0005, tmp_path / "state", 0
    words = ["--accept-loss", "--passphrase-file", str(passphrase(tmp_path))]
    while True:
        if not state.exists() and file == "a.backup":
            shutil.copytree(stopped[0] / "state", state, symlinks=True)
        process = subprocess.Popen([cadtest.CAD, "restore", stopped[0] / file, "--state-dir", state, *words],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=cadtest.environment(),
                                   start_new_session=True)
        try:
            code = process.wait(delay)
        except subprocess.TimeoutExpired:
            kill_group(process)
            killed += 1
            code = None
        if not (state / "cad.db").exists():
            assert code is None
            good(restore(state, stopped[0] / file, *words))
        with contextlib.closing(sqlite3.connect(f"file:{state}/cad.db?mode=ro", uri=True)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert db.execute("PRAGMA application_id").fetchone() == (0x63616431,)
        assert (state / "signer" / "ca" / "root.key").exists()
        if code == 0:
            break
        if code is None and delay > 20:
            raise AssertionError("it never ends")
        shutil.rmtree(state)
        delay *= 1.15 if file == "a.backup" else 1.3
    assert killed > 5
    assert left_overs(state) == []
    with cadtest.Daemon(state=state) as daemon:
        assert issue(daemon, "after.lan")


@pytest.mark.slow
def test_a_backup_that_is_killed_leaves_at_most_what_the_next_one_removes(tmp_path):
    with cadtest.Daemon() as daemon:
        for n in range(30):
            issue(daemon, f"h{n}.lan")
        for n in range(6):
            process = subprocess.Popen([CACTL, "--socket", daemon.socket, "backup", tmp_path / f"{n}.backup"],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=cadtest.environment())
            time.sleep(0.004 * n)
            daemon.kill()
            process.wait(LIMIT_S)
            daemon.start()
            assert len(left_overs(daemon.state)) <= 3
        good(cactl(daemon, "backup", tmp_path / "last.backup"))
        assert left_overs(daemon.state) == []
        for file in tmp_path.glob("*.backup"):
            good(bare("backup", "verify", file))
        assert list(tmp_path.glob("*.part")) == []


@AS_ROOT
@pytest.mark.slow
def test_a_full_disk_leaves_nothing_half(stopped, tmp_path):
    """A file system of its own with less room than the store needs; then it has more."""
    import test_full_disk

    state = tmp_path / "state"
    with test_full_disk.mounted(state, "1m"):
        shutil.copytree(stopped[0] / "state", state, dirs_exist_ok=True)
        disk = test_full_disk.Disk(state)
        disk.fill()
        refused(restore(state, stopped[0] / "a.backup"), "full")
        assert not (state / "cad.db").exists() and left_overs(state) == []
        disk.empty()
        good(restore(state, stopped[0] / "a.backup"))
