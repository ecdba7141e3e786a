"""cactl renew: what is due, when it is due, and nothing half done whenever somebody is killed."""

import datetime
import fcntl
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import time

import pytest
from cryptography.hazmat.primitives import serialization

import cadtest
import device as devices
import https
from device import SET, bad, faked, good
from test_enroll import approve, code_of, hook


@pytest.fixture(scope="module")
def ca():
    with cadtest.Daemon(tcp=True) as ca:
        yield ca
        assert ca.stop() == 0
        ca.check_log()


@pytest.fixture
def device(ca):
    device = devices.Device(ca)
    yield device
    device.close()


def enrolled(device, name, *options, **fields):
    """One certificate of the profile device, which gives 30 days of grace. Return: its serial"""
    good(device.enroll(name, *options, token=device.token(name, **fields)))
    return device.check(name)


def rows(device, *words, **more):
    done = device.run("--json", "renew", *words, **more)
    return done, {row["name"]: row for row in json.loads(done.stdout)["certificates"]}


# ---- when ------------------------------------------------------------------------------------------

def test_the_moment_is_in_the_window_the_same_each_time_and_not_the_same_for_all(ca, device):
    names = [f"w{number}.lan" for number in range(4)]
    for name in names:
        enrolled(device, name, "--validity", "1d")
    places = set()
    first, second = rows(device)[1], rows(device)[1]
    for name in names:
        assert first[name]["action"] == "none" and first[name]["renew_at"] == second[name]["renew_at"]
        window = ca.get(f"/v1/certificates/{first[name]['serial']}/renewal").json["window"]
        start, at, end = (datetime.datetime.fromisoformat(text) for text in (window["start"], first[name]["renew_at"], window["end"]))
        assert start <= at < end
        places.add((at - start).total_seconds())
    assert len(places) > 1      # of windows that are as long as each other
    done = device.run("renew", "w1.lan")
    assert "w1.lan is good until" in done.stdout and done.stderr == "" and "w2" not in done.stdout


def test_what_is_due_is_renewed_deployed_and_told(ca, device):
    serial = enrolled(device, "due.lan", "--validity", "1d")
    enrolled(device, "not.lan")
    before, later = device.set("due.lan"), faked("+21h")     # a sixth of its life is left, by then
    hook(device, "10-note", f'echo $CACTL_REASON $CACTL_NAMES $CACTL_SERIAL >> {device.base}/ran\n')
    assert "due.lan would be renewed now" in device.run("renew", "--dry-run", env=later).stdout
    assert device.set("due.lan") == before
    good(device.run("renew"))                       # not yet
    assert device.set("due.lan") == before and not (device.base / "ran").exists()
    done, all_ = rows(device, env=later)
    good(done)
    assert (all_["due.lan"]["action"], all_["not.lan"]["action"]) == ("renewed", "none")
    fresh = device.check("due.lan")
    assert fresh != serial and all_["due.lan"]["serial"] == fresh
    assert (device.base / "ran").read_text() == f"renewed due.lan {fresh}\n"
    assert device.file("due.lan", "key.pem").read_bytes() == before["key.pem"]
    assert sorted(device.certs()) == ["due.lan", "not.lan"]


def test_a_service_that_could_not_be_told_is_told_again(ca, device):
    enrolled(device, "tell.lan")
    out, fine = device.base / "out", device.base / "fine"
    fine.touch()
    device.env["CACTL_STATE_DIR"] = str(device.base / "state")
    good(device.run("deploy", "install", "web", "--to-fullchain", out, "--reload", f"test -e {fine}"))
    fine.unlink()
    bad(device.run("renew", "--force"), 1, "the old files are back")
    good(device.run("renew", "--dry-run"))      # tells nobody
    bad(device.run("renew"), 1, "the old files are back")       # not due, and not forgotten
    fine.touch()
    assert "reloaded" in good(device.run("renew"))
    assert out.read_bytes() == device.file("tell.lan", "fullchain.pem").read_bytes()
    assert "web" not in good(device.run("renew"))


def test_a_new_key_comes_by_option_and_by_setting(ca, device):
    enrolled(device, "key.lan", "--key", "ecdsa-p384")
    first = device.set("key.lan")["key.pem"]
    good(device.run("renew", "--force", "--new-key", "key.lan"))
    device.check("key.lan")
    second = device.set("key.lan")["key.pem"]
    good(device.run("renew", "--force"))
    assert device.set("key.lan")["key.pem"] == second != first
    assert device.cert("key.lan").public_key().curve.name == "secp384r1"
    conf = device.file("key.lan", "enrolled.conf")
    conf.write_text(conf.read_text().replace("RekeyAtRenewal=no", "RekeyAtRenewal=yes"))
    good(device.run("renew", "--force"))
    device.check("key.lan")
    assert device.set("key.lan")["key.pem"] != second and "RekeyAtRenewal=yes" in conf.read_text()


def test_owners_modes_and_other_files_stay(ca, device):
    enrolled(device, "own.lan")
    folder = device.conf / "certs" / "own.lan"
    (folder / "README").write_text("mine")
    (folder / "key.pem").chmod(0o640)
    (folder / "cert.pem").chmod(0o660)
    folder.chmod(0o750)
    if os.geteuid() == 0:
        for file in ("key.pem", "fullchain.pem", "."):
            os.chown(folder / file, 0, 4711)
    good(device.run("renew", "--force"))
    device.check("own.lan")
    assert (folder / "README").read_text() == "mine"
    assert [(folder / file).stat().st_mode & 0o777 for file in ("key.pem", "cert.pem", ".")] == [0o640, 0o660, 0o750]
    if os.geteuid() == 0:
        assert {(folder / file).stat().st_gid for file in ("key.pem", "fullchain.pem", ".")} == {4711}
    (folder / "key.pem").chmod(0o644)       # a key for everybody is not used any more
    bad(device.run("renew", "--force"), 1, "chmod 600")


def shorten(device, name, profile):
    """In place of what was enrolled, a certificate of the same key that ends in two seconds, or as soon as a busy machine makes one. Return: when"""
    key = serialization.load_pem_private_key(device.file(name, "key.pem").read_bytes(), None)
    for left_s in (2, 4, 8, 16):
        begin = datetime.datetime.utcnow().replace(microsecond=0) - datetime.timedelta(hours=1)
        answer = device.ca.post("/v1/certificates", {
            "csr": https.csr_pem(key, name), "profile": profile, "not_before": begin.isoformat() + "Z", "validity": f"{3600 + left_s}s"})
        if answer.status == 201:
            break
    answer = answer.expect(201).json
    conf = device.file(name, "enrolled.conf")
    conf.write_text(re.sub("Serial=.*", f"Serial={answer['serial']}", conf.read_text()))
    device.file(name, "cert.pem").write_text(answer["certificate"])
    device.file(name, "fullchain.pem").write_text(answer["certificate"] + answer["chain"])
    return datetime.datetime.fromisoformat(answer["not_after"]).timestamp()


# ---- one that slept ----------------------------------------------------------------------------------

def test_within_its_grace_an_expired_one_renews_itself_beyond_it_asks_and_waits(ca, device):
    ends = []
    for name, profile in (("grace.lan", "device"), ("slept.lan", "server")):     # 30 days, and none
        enrolled(device, name, profile=profile)
        ends.append(shorten(device, name, profile))
    before = device.set("slept.lan")
    time.sleep(max(0, max(ends) + 1.1 - time.time()))
    done = device.run("renew")
    said = good(done)
    assert "grace.lan is renewed" in said and "slept.lan has expired" in said
    device.check("grace.lan")
    assert device.set("slept.lan") == before        # until somebody approves
    code = code_of(said)
    for _ in range(2):
        assert code_of(good(device.run("renew"))) == code      # the same request
    approve(ca, code)
    assert "slept.lan was approved" in good(device.run("renew"))
    device.check("slept.lan")
    fresh = device.set("slept.lan")
    assert fresh["key.pem"] != before["key.pem"] and sorted(device.certs()) == ["grace.lan", "slept.lan"]


def test_a_revoked_one_is_not_asked_for_anew(ca, device):
    serial = enrolled(device, "gone.lan")
    before = device.set("gone.lan")
    ca.post(f"/v1/certificates/{serial}/revoke", {"reason": "key_compromise"}).expect(200)
    bad(device.run("renew"), 1, "revoked")
    assert device.set("gone.lan") == before and device.certs() == ["gone.lan"]


# ---- what goes wrong ---------------------------------------------------------------------------------

def test_nothing_enrolled_is_no_failure_and_a_name_that_is_not_there_is(device):
    assert "nothing is enrolled" in good(device.run("renew"))
    (device.conf / "certs").mkdir(parents=True)
    assert "nothing is enrolled" in good(device.run("renew"))
    bad(device.run("renew", "who.lan"), 1, "who.lan", "cactl enroll")
    bad(device.run("renew", "../x"), 1, "not there")
    bad(device.run("--url", "https://x.lan", "renew"), 2, "enrolled.conf")


def test_a_ca_that_is_away_is_tried_again_next_time_and_does_not_hold_up_others(ca, device):
    enrolled(device, "a.lan")
    enrolled(device, "b.lan")
    conf = device.file("a.lan", "enrolled.conf")
    proxy = devices.Proxy(https.port(ca), 0)
    conf.write_text(conf.read_text().replace(device.url, proxy.url))
    before = device.set("a.lan")
    done = device.run("renew", "--force")
    bad(done, 3, proxy.url)
    proxy.close()
    assert "b.lan is renewed" in done.stderr and device.set("a.lan") == before


def test_another_root_at_the_url_gets_nothing(ca, device):
    enrolled(device, "a2.lan")
    conf = device.file("a2.lan", "enrolled.conf")
    with devices.Hostile(device.root) as hostile:
        conf.write_text(conf.read_text().replace(device.url, hostile.url))
        before = device.set("a2.lan")
        bad(device.run("renew", "--force"), 3, "not verified")
        assert not hostile.requests and device.set("a2.lan") == before


@pytest.mark.parametrize("damage", ["key of another", "chain cut", "root of another", "no key", "conf"])
def test_a_set_that_does_not_fit_is_said_and_left(ca, device, damage):
    enrolled(device, "bad.lan")
    enrolled(device, "other.lan")
    folder = device.conf / "certs" / "bad.lan"
    if damage == "key of another":
        shutil.copy(device.file("other.lan", "key.pem"), folder / "key.pem")
    elif damage == "chain cut":
        (folder / "fullchain.pem").write_bytes((folder / "cert.pem").read_bytes())
    elif damage == "root of another":
        certificate, _ = https.make(None, None, "Other Root", is_ca=True)
        (folder / "root.pem").write_text(https.pem(certificate))
    elif damage == "no key":
        (folder / "key.pem").unlink()
    else:
        (folder / "enrolled.conf").write_text("[Enrolment]\nUlr=x\n")
    before = device.set("bad.lan")
    done = device.run("renew", "--force")
    bad(done, 1, "bad.lan cannot be renewed", "cactl enroll")
    assert "other.lan is renewed" in done.stderr and device.set("bad.lan") == before
    # and enroll mends it
    good(device.enroll("bad.lan", token=device.token("bad.lan")))
    device.check("bad.lan")


def test_two_at_once_take_turns_and_the_second_says_who(ca, device):
    enrolled(device, "turn.lan")
    before = device.set("turn.lan")
    with open(device.conf / "certs" / ".turn.lan.lock", "r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        lock.write("4242\n")
        lock.flush()
        bad(device.run("renew", "--force"), 1, "being worked on", "4242")
        bad(device.enroll("--force", "turn.lan", token="cad_x"), 1, "being worked on", "4242")
    assert device.set("turn.lan") == before
    running = [subprocess.Popen([devices.CACTL, "renew", "--force"], env=device.env, stderr=subprocess.PIPE, text=True)
               for _ in range(4)]
    codes = []
    for process in running:
        said = process.communicate(timeout=60)[1]
        codes.append(process.returncode)
        assert process.returncode == 0 or "being worked on" in said, said
    assert 0 in codes
    device.check("turn.lan")
    assert device.certs() == ["turn.lan"]


def test_a_full_disk_leaves_the_old_set(ca, device):
    def small():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
    serial = enrolled(device, "full2.lan")
    before = device.set("full2.lan")
    said = bad(device.run("renew", "--force", preexec_fn=small), 1, "fullchain.pem", "is as it was")
    assert device.set("full2.lan") == before and re.search("cert show [0-9a-f]+", said)
    good(device.run("renew", "--force"))
    assert device.check("full2.lan") != serial and device.certs() == ["full2.lan"]


# ---- kill -9 -------------------------------------------------------------------------------------------

FULL = os.environ.get("CAD_TORTURE") == "full"     # each call; else each tenth, and all that exchange folders
STEPS = "mkdirat,renameat,renameat2,unlinkat,fsync"


def steps(device, words, env=None):
    """How often each of STEPS is called by a whole run."""
    log = device.base / "calls"
    subprocess.run(["strace", "-f", "-o", log, "-e", f"trace={STEPS}", devices.CACTL, *words], env={**device.env, **(env or {})},
                   check=True, timeout=60, capture_output=True, stdin=subprocess.DEVNULL)
    return {call: len(re.findall(rf"\b{call}\(", log.read_text())) for call in STEPS.split(",")}


def moments(counted):
    return [(call, number) for call, count in counted.items()
            for number in range(1, count + 1, 1 if FULL or call == "renameat2" else 10)]


def killed_at(device, words, call, number, env=None, how="signal=KILL"):
    return subprocess.run(["strace", "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:{how}:when={number}",
                           devices.CACTL, *words], env={**device.env, **(env or {})}, timeout=60, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL)


@pytest.fixture
def strace():
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    if cadtest.sanitized():
        pytest.skip("a sanitizer's own system calls are not what is looked at")


def test_a_renewal_may_be_killed_before_every_change_on_disk(ca, device, strace):
    """One set is there, whole, whenever it is looked at; the next run clears up, and whoever uses it is told in the end."""
    name, words = "kill.lan", ["renew", "--force", "--new-key"]
    enrolled(device, name)
    hook(device, "10-note", f'echo $CACTL_SERIAL >> {device.base}/ran\n')
    counted = steps(device, words)
    assert counted["renameat2"] and counted["fsync"] > 6, counted
    for turn, (call, number) in enumerate(moments(counted)):
        if turn % 4 == 3:       # nobody renews one and the same ten times in a row
            shutil.rmtree(device.conf / "certs")
            name = f"kill{turn}.lan"
            enrolled(device, name)
        before = device.set(name)
        (device.base / "ran").unlink(missing_ok=True)
        done = killed_at(device, words, call, number)
        assert done.returncode in (137, -9), (call, number, done)
        between = device.set(name)
        device.check(name)
        told = (device.base / "ran").exists()
        good(device.run("renew"))               # not due: it only clears up
        assert device.set(name) == between and device.certs() == [name], (call, number)
        if between != before and not told:
            assert (device.base / "ran").read_text() == device.check(name) + "\n", (call, number)


def unsynced(log, base):
    """Of a run under strace -y: what was renamed before it was on disk, and folders that no fsync() followed their last rename."""
    wrong, files, folders = [], set(), set()
    for line in log.read_text().splitlines():
        call = re.search(r"\b(write|fsync|rename\w*)\((.*)\) += [0-9]", line)
        paths = {path for path in re.findall(r"<(/[^>]*)>", call[2]) if path.startswith(str(base))} if call else set()
        if call and call[1] == "write":
            files |= paths
        elif call and call[1] == "fsync":
            files, folders = files - paths, folders - paths
        elif paths:
            wrong += [f"{path} before {line}" for path in files]
            folders |= paths
    return wrong + sorted(folders)


def test_everything_is_on_disk_before_it_takes_its_place(ca, device, strace):
    enrolled(device, "sync.lan")
    log, out = device.base / "calls", device.base / "out"
    watched = ["strace", "-f", "-y", "-s", "0", "-o", log, "-e", "trace=openat,write,fsync,rename,renameat,renameat2", devices.CACTL]
    env = {**device.env, "CACTL_STATE_DIR": str(device.base / "state")}
    for words in (["deploy", "install", "web", "--to-key", out / "key", "--to-fullchain", out / "chain"], ["renew", "--force", "--new-key"]):
        subprocess.run([*watched, *words], env=env, check=True, timeout=60, capture_output=True, stdin=subprocess.DEVNULL)
        assert len(re.findall(r"\brename", log.read_text())) > 2 and unsynced(log, device.base) == [], words
        # nor can anybody open a key before it has its mode, to read what comes into it
        made = re.findall(r'openat\(.*"(?:\.cactl-|key\.pem)[^"]*", .*O_CREAT.*, (0[0-9]+)\)', log.read_text())
        assert made and set(made) == {"0600"}
    assert (out / "chain").read_bytes() == device.file("sync.lan", "fullchain.pem").read_bytes()


def test_an_enrolment_may_be_killed_before_every_change_on_disk(ca, device, strace):
    """The next run goes through, with one use of the token and one certificate at the CA."""
    names = (f"e{number}.lan" for number in range(10**6))
    name = next(names)
    words = ["enroll", "--url", device.url, "--fingerprint", device.fingerprint]
    counted = steps(device, [*words, name], {"CACTL_TOKEN": device.token(name)})
    device.check(name)
    for call, number in moments(counted):
        shutil.rmtree(device.conf)
        name = next(names)
        env = {"CACTL_TOKEN": device.token(name)}
        done = killed_at(device, [*words, name], call, number, env)
        assert done.returncode in (137, -9), (call, number, done)
        good(device.enroll(name, token=env["CACTL_TOKEN"]))
        assert device.issued(name) == [device.check(name)] and device.certs() == [name], (call, number)


def test_a_file_system_that_cannot_exchange_folders_does_as_well(ca, device, strace):
    serial = enrolled(device, "nfs.lan")
    (device.file("nfs.lan", "dhparams.pem")).write_text("mine")
    done = killed_at(device, ["renew", "--force"], "renameat2", "1+", how="error=EINVAL")
    assert done.returncode == 0, done
    fresh = device.check("nfs.lan")
    assert fresh != serial and device.certs() == ["nfs.lan"]
    assert device.file("nfs.lan", "dhparams.pem").read_text() == "mine"
    # killed between the two steps: nothing is there under its name, and the next run puts the old one back
    folder = device.conf / "certs"
    os.rename(folder / "nfs.lan", folder / ".nfs.lan.old")
    shutil.copytree(folder / ".nfs.lan.old", folder / ".nfs.lan.new")
    (folder / ".nfs.lan.new" / "enrolled.conf").unlink()
    good(device.run("renew"))
    assert device.check("nfs.lan") == fresh and device.certs() == ["nfs.lan"]
    assert sorted(os.listdir(folder / "nfs.lan")) == sorted([*SET, "dhparams.pem"])
