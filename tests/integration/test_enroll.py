"""cactl enroll: a device's first certificate, in whatever state things are, and whoever else is on the LAN."""

import contextlib
import ctypes
import json
import os
import pathlib
import pty
import re
import resource
import select
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import time
import traceback

import pytest
from cryptography.hazmat.primitives import hashes

import cadtest
import device as devices
import https
from device import bad, faked, good
from test_cactl import fingerprint_words


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


def approve(ca, code, **body):
    ca.post(f"/v1/requests/{code}/approve", body).expect(201)


def code_of(text):
    return re.search(r"\b([0-9A-Z]{4}-[0-9A-Z]{4})\b", text)[1].replace("-", "")


def waiting(ca, name):
    return [row["code"] for row in ca.get("/v1/requests?status=waiting&limit=500").json["requests"] if name in row["names"]]


def hook(device, name, text, mode=0o755):
    (device.conf / "hooks.d").mkdir(parents=True, exist_ok=True)
    path = device.conf / "hooks.d" / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(mode)
    return path


# ---- with a token --------------------------------------------------------------------------------

def test_with_a_token_all_is_there_at_once(ca, device):
    hook(device, "10-note", f'env | grep ^CACTL_ | sort > {device.base}/ran\n')
    done = device.enroll("nas.lan", "192.168.7.5", token=device.token("nas.lan", "192.168.7.5"))
    assert "warning" not in good(done)
    serial = device.check("nas.lan")
    assert device.certs() == ["nas.lan"]
    assert device.issued("nas.lan") == [serial]
    assert stat.S_IMODE(device.file("nas.lan", "key.pem").stat().st_mode) == 0o600
    assert device.file("nas.lan", "root.pem").read_text() == device.root
    conf = device.file("nas.lan", "enrolled.conf").read_text()
    assert f"Url={device.url}\n" in conf and "Profile=device\n" in conf and "Names=192.168.7.5\n" in conf
    # cactl.conf: every later command finds the CA, and verifies it by the root that was pinned
    assert good(device.run("ca", "fingerprint")).replace(" ", "").startswith(device.fingerprint)
    assert (device.base / "ran").read_text().splitlines()[:4] == [
        f"CACTL_CONFIG_DIR={device.conf}", f"CACTL_FOLDER={device.conf}/certs/nas.lan", "CACTL_NAMES=nas.lan 192.168.7.5",
        "CACTL_REASON=enrolled"]
    assert "CACTL_TOKEN" not in (device.base / "ran").read_text()
    assert "/etc/cron.d" in done.stderr     # no systemd for this folder: it says what to do
    assert re.search(rf"^  [0-9]+ \* \* \* \* root CACTL_CONFIG_DIR={device.conf} {devices.CACTL} renew >/dev/null$", done.stderr, re.MULTILINE)


def test_again_it_only_reports(ca, device):
    good(device.enroll("again.lan", token=device.token("again.lan")))
    hook(device, "10-note", f'echo again > {device.base}/ran\n')
    before = {path: path.stat().st_mtime_ns for path in device.conf.rglob("*") if not path.name.endswith(".lock")}
    for words in (["again.lan"], []):       # by name, and as the host's own: whatever is found
        if words:
            done = device.run("enroll", *words)
            said = good(done)
            assert "enrolled already" in said and "again.lan" in done.stdout and "not looked at" not in said
    said = good(device.run("enroll", "again.lan", "--key", "ed25519", "--validity", "5d", "--profile", "both", "--new-key-at-renewal"))
    assert "not looked at: --key, --profile, --validity, --new-key-at-renewal, which" in said and "--force" in said
    bad(device.run("enroll", "again.lan", "more.lan"), 1, "other names (again.lan)", "--force")
    done = device.run("--json", "enroll", "again.lan")
    assert json.loads(done.stdout)["serial"] == device.check("again.lan")
    assert before == {path: path.stat().st_mtime_ns for path in device.conf.rglob("*") if not path.name.endswith(".lock")}
    assert len(device.issued("again.lan")) == 1 and not (device.base / "ran").exists()


def test_the_line_that_token_create_prints_is_all_that_is_needed(ca, device):
    line = good(device.run("--socket", ca.socket, "--quiet", "token", "create", "line.lan", "--profile", "device"))
    line = re.sub(r"--url \S+", f"--url {device.url}", line)       # by name here, which the machine may not know
    tools = device.base / "bin"
    tools.mkdir()
    (tools / "cactl").symlink_to(devices.CACTL)
    done = subprocess.run(["sh", "-c", line], env={**device.env, "PATH": f"{tools}:{device.env['PATH']}"}, capture_output=True,
                          text=True, timeout=60, stdin=subprocess.DEVNULL)
    good(done)
    device.check("line.lan")


@pytest.mark.parametrize("how", ["option", "file", "stdin", "environment"])
def test_a_token_comes_in_each_way(ca, device, how):
    name, token = f"{how}.lan", None
    token = device.token(name)
    (device.base / "token").write_text(token + "\n")
    if how == "option":
        assert "list of processes" in good(device.enroll(name, "--token", token))
    elif how == "file":
        good(device.enroll(name, "--token-file", device.base / "token"))
    elif how == "stdin":
        with open(device.base / "token") as text:
            good(device.enroll(name, "--token-file", "-", stdin=text))
    else:
        good(device.enroll(name, token=token))
    device.check(name)


def test_a_token_in_the_arguments_is_soon_gone_from_there(device):
    """To a server that never answers: the process is looked at while it waits."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        process = subprocess.Popen(device.argv(["enroll", "--fingerprint", device.fingerprint, "--token", "cad_s3cret", "--label=x",
                                                "nas.lan"], url), env=device.env, stderr=subprocess.DEVNULL)
        try:
            silent.settimeout(20)
            connection, _ = silent.accept()
            line = pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes()
            connection.close()
        finally:
            process.kill()
            process.wait(10)
    assert b"s3cret" not in line and b"--token\0xxxxxxxxxx\0" in line and b"nas.lan" in line


@pytest.mark.parametrize("why", ["used", "expired", "wrong", "other name", "none"])
def test_a_token_that_is_no_good_leaves_all_as_it_was(device, why):
    name = why.replace(" ", "-") + ".lan"
    good(device.enroll(name, token=device.token(name)))
    before = device.set(name)
    token = {"used": lambda: device.token(name), "expired": lambda: device.token(name, expires_in="1s"),
             "wrong": lambda: "cad_0123456789abcdef_" + "0" * 32, "other name": lambda: device.token("o.lan"),
             "none": lambda: "rubbish"}[why]()
    if why == "used":
        good(device.enroll("--name", "elsewhere", name, token=token))
    if why == "expired":
        time.sleep(1.1)
    count = len(device.issued(name))
    said = bad(device.enroll("--force", name, token=token), 1)
    assert said.count("cactl:") == 1 and token not in said and "--cert" not in said
    assert device.set(name) == before and len(device.issued(name)) == count


@pytest.mark.parametrize("name, uses_token", [("other.lan", True), ("google.com", True), ("google.com", False)])
def test_what_the_ca_refuses_is_over_and_renewals_say_nothing_of_it(ca, device, name, uses_token):
    bad(device.enroll(name, token=device.token("mine.lan") if uses_token else None), 1, name)
    assert device.certs() == []
    assert "nothing is enrolled" in good(device.run("renew"))


# ---- without ---------------------------------------------------------------------------------------

def start(device, *words, **more):
    return subprocess.Popen(device.argv(["enroll", "--fingerprint", device.fingerprint, *words]), env=device.env, cwd=device.base,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def until_it_waits(process):
    said = ""
    while "waiting" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    return said


def test_a_request_waits_and_goes_on_after_ctrl_c(ca, device):
    first = start(device, "box.lan")
    try:
        said = until_it_waits(first)
    finally:
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=20)
    [code] = waiting(ca, "box.lan")
    assert code_of(said) == code and "Ctrl-C" in said
    assert device.certs() == [".box.lan.pending"]
    key = (device.conf / "certs" / ".box.lan.pending" / "key.pem").read_bytes()
    second = start(device, "box.lan")
    try:
        assert code_of(until_it_waits(second)) == code
        assert waiting(ca, "box.lan") == [code]     # the same one
        approve(ca, code)
        out, said = second.communicate(timeout=30)
    finally:
        second.kill()
    assert second.returncode == 0, (out, said)
    device.check("box.lan")
    assert device.file("box.lan", "key.pem").read_bytes() == key and device.certs() == ["box.lan"]


def test_what_is_not_waited_for_is_taken_by_the_timer(ca, device):
    said = good(device.enroll("--no-wait", "later.lan"))
    assert "cactl renew" in said and device.certs() == [".later.lan.pending"]
    assert "not decided yet" in good(device.run("renew"))
    approve(ca, code_of(said), names=["later.lan"])
    good(device.run("renew", "--dry-run"))      # takes nothing
    assert device.certs() == [".later.lan.pending"]
    shutil.copytree(device.conf / "certs" / ".later.lan.pending", device.base / "pending")
    hook(device, "10-note", f'echo $CACTL_REASON > {device.base}/ran\n')
    assert "was approved" in good(device.run("renew"))
    device.check("later.lan")
    assert device.certs() == ["later.lan"] and (device.base / "ran").read_text() == "enrolled\n"
    # whoever was killed before the rest of it was gone has taken it all the same, and nobody is told twice
    shutil.copytree(device.base / "pending", device.conf / "certs" / ".later.lan.pending")
    (device.base / "ran").unlink()
    assert "was approved" not in good(device.run("renew"))
    assert device.certs() == ["later.lan"] and not (device.base / "ran").exists()


def test_who_approves_may_leave_names_out_and_that_is_said(ca, device):
    said = good(device.enroll("--no-wait", "less.lan", "more.lan"))
    approve(ca, code_of(said), names=["less.lan"])
    assert "left out by whoever approved: more.lan" in good(device.enroll("less.lan", "more.lan"))
    device.check("less.lan")


def test_a_denied_request_is_told_and_the_next_is_another(ca, device):
    said = good(device.enroll("--no-wait", "no.lan"))
    ca.post(f"/v1/requests/{code_of(said)}/deny", {"reason": "not mine"}).expect(200)
    for _ in range(2):      # a timer does not hand it in anew
        bad(device.run("renew"), 1, "denied", "not mine")
    assert not waiting(ca, "no.lan")
    bad(device.enroll("no.lan"), 1, "denied", "not mine")
    assert device.certs() == []
    assert code_of(good(device.enroll("--no-wait", "no.lan"))) != code_of(said)


def test_a_token_takes_the_place_of_an_approval(ca, device):
    good(device.enroll("--no-wait", "both.lan"))
    assert "earlier run" in good(device.enroll("both.lan", token=device.token("both.lan", profile="server")))
    device.check("both.lan")
    assert device.certs() == ["both.lan"]


def test_without_names_it_is_for_those_of_the_host(ca, device):
    said = good(device.enroll("--no-wait"))
    asked = re.search("names of this host: (.*)", said)[1].split(", ")
    assert "127.0.0.1" in asked and "localhost" in asked
    left = re.search("not for them: (.*)", said)
    assert not left or not set(asked) & set(left[1].split(", "))
    [row] = [row for row in ca.get("/v1/requests?status=waiting").json["requests"] if "localhost" in row["names"]]
    assert row["names"] == asked
    approve(ca, row["code"])
    good(device.run("renew"))
    assert "enrolled already" in good(device.run("enroll"))     # found without asking anybody


# ---- the root ------------------------------------------------------------------------------------

def test_a_fingerprint_pins_in_hex_and_in_words(ca, device):
    words = fingerprint_words(device.fingerprint)
    for number, pin in enumerate([device.fingerprint.upper(), words, words.upper(), ", ".join(word[:4] for word in words.split())]):
        good(device.enroll(f"w{number}.lan", pin=pin, token=device.token(f"w{number}.lan")))


@pytest.mark.parametrize("wrong", ["hex", "words"])
def test_a_wrong_fingerprint_sends_nothing(ca, device, wrong):
    pin = "ab" * 32 if wrong == "hex" else fingerprint_words("ab" * 32)
    token = device.token("wrong.lan")
    bad(device.enroll("wrong.lan", pin=pin, token=token), 1, "--fingerprint", "nothing was sent")
    assert device.certs() == [] and not (device.conf / "cactl.conf").exists()
    bad(device.enroll("wrong.lan", pin="only three words", token=token), 2, "'words'")
    good(device.enroll("wrong.lan", token=token))       # not spent


def test_without_a_terminal_a_root_is_not_trusted(device):
    bad(device.enroll("term.lan", pin=None, token="cad_x"), 1, "no terminal", "--fingerprint")
    assert device.certs() == []


def on_terminal(device, answer, *words):
    """cactl on a terminal, @answer typed once it asks. Return: exit code, all that was shown"""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(device.base)
        os.execve(devices.CACTL, device.argv(words), {**device.env, "TERM": "dumb", "CACTL_TOKEN": device.spare})
    shown, asked, until = b"", False, time.monotonic() + 40
    with contextlib.suppress(OSError):
        while time.monotonic() < until and select.select([terminal], [], [], 20)[0]:
            part = os.read(terminal, 4096)
            if not part:
                break
            shown += part
            if not asked and b"Type yes" in shown:
                asked = True
                os.write(terminal, answer.encode() + b"\n")
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


@pytest.mark.parametrize("answer,fine", [("yes", True), ("words", True), ("y", False), ("no", False), ("", False), ("other", False)])
def test_on_a_terminal_the_root_is_shown_and_asked_for(ca, device, answer, fine):
    device.spare = device.token("tty.lan")
    words = fingerprint_words(device.fingerprint)
    typed = {"words": words, "other": fingerprint_words("00" * 32)}.get(answer, answer)
    code, shown = on_terminal(device, typed, "enroll", "tty.lan")
    assert words in shown and " ".join(re.findall("....", device.fingerprint)) in shown
    assert (code == 0) == fine, shown
    assert device.certs() == (["tty.lan"] if fine else [])


def test_a_host_that_answers_with_another_root_is_sent_nothing(device):
    with devices.Hostile() as hostile:
        bad(device.enroll("nas.lan", token="cad_s3cret", url=hostile.url), 1, "nothing was sent")
        assert [(method, path) for method, path, _, _ in hostile.requests] == [("GET", "/v1/ca/root.pem")]
        assert all("s3cret" not in headers for _, _, headers, _ in hostile.requests)
    assert device.certs() == []


def test_nor_is_one_that_hands_out_the_right_root_without_its_key(device):
    with devices.Hostile(device.root) as hostile:
        bad(device.enroll("nas.lan", token="cad_s3cret", url=hostile.url), 3, "not verified")
        assert {path for _, path, _, _ in hostile.requests} == {"/v1/ca/root.pem"}
        # also where the clock is no help
        bad(device.enroll("nas.lan", token="cad_s3cret", url=hostile.url, env=faked("@1970-01-01 00:10:00")), 3)
        assert all("s3cret" not in headers for _, _, headers, _ in hostile.requests)
    assert device.certs() == []


def test_another_ca_takes_over_by_force_alone_and_leaves_nothing_stale(ca, device):
    good(device.enroll("move.lan", token=device.token("move.lan")))
    before = device.set("move.lan")
    with cadtest.Daemon(tcp=True) as other:
        there = devices.Device(other)
        token = there.token("move.lan", uses=2)
        options = ["--fingerprint", there.fingerprint, "move.lan"]
        done = device.run(*device.argv(["enroll", *options], there.url)[1:], env={"CACTL_TOKEN": token})
        bad(done, 1, "--force")
        assert device.set("move.lan") == before
        good(device.run(*device.argv(["enroll", "--force", *options], there.url)[1:], env={"CACTL_TOKEN": token}))
        device.check("move.lan")
        assert device.file("move.lan", "root.pem").read_text() == there.root
        assert device.certs() == ["move.lan"] and there.url in (device.conf / "cactl.conf").read_text()
        assert device.url not in "".join(path.read_text() for path in device.conf.rglob("*") if path.is_file())
        assert good(device.run("ca", "fingerprint")).replace(" ", "").startswith(there.fingerprint)
        there.close()


def test_a_cactl_conf_that_somebody_wrote_is_his(ca, device):
    device.conf.mkdir()
    (device.conf / "cactl.conf").write_text("[Ca]\nUrl=https://elsewhere.lan:8443\n")
    assert "left as it is" in good(device.enroll("his.lan", token=device.token("his.lan")))
    assert "elsewhere" in (device.conf / "cactl.conf").read_text()
    device.check("his.lan")


# ---- clocks --------------------------------------------------------------------------------------

def test_a_device_that_wakes_up_in_1970_enrols_and_renews(ca, device):
    past = faked("@1970-01-01 00:10:00")
    said = good(device.enroll("old.lan", token=device.token("old.lan"), env=past))
    assert "clock says 1970-01-01" in said and "which is taken" in said
    serial = device.check("old.lan")
    assert "is good until" in good(device.run("renew", env=past))
    assert "is renewed" in good(device.run("renew", "--force", env=past))
    assert device.check("old.lan") != serial
    bad(device.enroll("old2.lan", pin="00" * 32, token="cad_x", env=past), 1, "nothing was sent")


def test_whatever_the_clock_the_server_has_to_be_the_one_in_the_url(ca, device):
    """The CA itself, by an address that is not in its certificate."""
    proxy = devices.Proxy(https.port(ca), address="127.0.0.2")
    try:
        for env in ({}, faked("@1970-01-01 00:10:00")):
            bad(device.enroll("url.lan", token="cad_s3cret", url=proxy.url, env=env), 3, "127.0.0.2")
        assert device.certs() == []
    finally:
        proxy.close()


def test_a_clock_that_may_be_right_is_believed_and_shown(device):
    """Ten years on, the CA's TLS certificate has expired, as far as anybody here can say."""
    bad(device.enroll("new.lan", token="cad_x", env=faked("+3650d")), 3, "this machine's clock says 2036")
    assert device.certs() == []


# ---- what goes wrong -----------------------------------------------------------------------------

@pytest.mark.parametrize("connections", [0, 1])
def test_a_ca_that_goes_away_half_way_is_gone_on_with(ca, device, connections):
    """After the root alone, or before it: nothing is lost, and the next run goes through."""
    proxy = devices.Proxy(https.port(ca), connections)
    name = f"half{connections}.lan"
    token = device.token(name)
    try:
        bad(device.enroll(name, token=token, url=proxy.url), 3)
        assert device.certs() == []
        proxy.left = 10**9
        good(device.enroll(name, token=token, url=proxy.url))
        device.check(name)
        assert len(device.issued(name)) == 1
    finally:
        proxy.close()


def test_a_disk_that_is_full_when_the_answer_comes_loses_nothing(ca, device):
    """By the limit on the size of files, which needs no rights: the chain does not fit. The answer comes again, for one use."""
    def small():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
    token = device.token("full.lan")
    said = bad(device.enroll("full.lan", token=token, preexec_fn=small), 1, "fullchain.pem", "is as it was")
    [serial] = device.issued("full.lan")
    assert serial in said and ".full.lan.pending" in device.certs() and "full.lan" not in device.certs()
    bad(device.enroll("full.lan", token="cad_0123456789abcdef_" + "0" * 32), 1)    # which costs nothing of that
    assert "earlier run" in good(device.enroll("full.lan", token=token))
    assert device.check("full.lan") == serial and device.issued("full.lan") == [serial] and device.certs() == ["full.lan"]


def test_a_folder_that_cannot_be_written_to_is_found_first(device):
    device.conf.mkdir()
    (device.conf / "certs").write_text("a file")
    with socket.create_server(("127.0.0.1", 0)) as silent:      # nobody is asked
        bad(device.enroll("x.lan", token="cad_x", url=f"https://127.0.0.1:{silent.getsockname()[1]}"), 1, "certs")


def test_a_user_whose_folder_it_is_not_is_told_how(ca, device):
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    good(device.enroll("root.lan", token=device.token("root.lan")))
    device.base.chmod(0o755)
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    for words, conf in ((device.argv(["enroll", "--fingerprint", device.fingerprint, "x.lan"]), device.base / "other"),
                        ([devices.CACTL, "renew"], device.conf)):
        done = subprocess.run([*as_nobody, *words], env={**device.env, "CACTL_CONFIG_DIR": str(conf)}, capture_output=True, text=True,
                              timeout=60, stdin=subprocess.DEVNULL)
        bad(done, 1, "Permission denied: run this as root, or with a folder of your own in $CACTL_CONFIG_DIR")


@pytest.mark.parametrize("words,why", [
    (["x.lan", "--token", "a", "--token-file", "b"], "give one"), (["x.lan", "--key", "dsa"], "--key"),
    (["x.lan", "--name", "../x"], "--name"), (["x.lan", "--label", "a\nUrl=https://evil.lan"], "--label"), (["a b"], "a b"),
    (["x.lan", "--token", ""], "no token"), (["--socket", "/x"], "--url"), (["--cert", "x", "x.lan"], "--cert"),
    (["x.lan", "--deploy", "nginx", "--deploy", "iis"], "--deploy iis: it is no service"),
])
def test_wrong_usage_ends_with_2(device, words, why):
    bad(device.enroll(*words, url=None, pin=None), 2, why)
    assert not (device.conf / "certs").exists() or not device.certs()


def test_the_guide_s_hook_does_its_part_and_fails_for_no_other_certificate(tmp_path):
    guide = pathlib.Path(__file__).parents[2] / "docs/guides/enroll.md"
    script, called = tmp_path / "50-mqtt", tmp_path / "called"
    script.write_text(re.search(r"^```\n(#!/bin/sh\n.*?)^```$", guide.read_text(), re.MULTILINE | re.DOTALL)[1])
    (tmp_path / "systemctl").write_text(f'#!/bin/sh\necho "$@" >> {called}\n')
    (tmp_path / "systemctl").chmod(0o755)
    for folder in ("nas.lan", "mqtt.lan"):
        env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CACTL_FOLDER": f"/etc/cad/certs/{folder}"}
        assert subprocess.run(["sh", script], env=env, timeout=10).returncode == 0, folder
    assert called.read_text() == "reload mosquitto\n"


def test_a_hook_that_fails_is_shown_and_tried_again(ca, device):
    broken = hook(device, "20-broken", "echo it is the cable\nexit 3\n")
    hook(device, "30-late", f"echo ran > {device.base}/late\n")
    bad(device.enroll("hook.lan", token=device.token("hook.lan")), 1, "exit status 3", "it is the cable")
    device.check("hook.lan")
    assert (device.base / "late").exists()      # one does not keep the next from being run
    bad(device.run("renew"), 1, "it is the cable")
    broken.write_text("#!/bin/sh\ntrue\n")
    good(device.run("renew"))
    (device.base / "late").unlink()
    good(device.run("renew"))
    assert not (device.base / "late").exists()      # told once


def test_a_hook_that_others_may_write_is_not_run(ca, device):
    hook(device, "10-open", f"echo ran > {device.base}/ran\n", mode=0o777)
    bad(device.enroll("open.lan", token=device.token("open.lan")), 1, "10-open", "chmod go-w")
    assert not (device.base / "ran").exists()
    if os.geteuid() == 0:       # nor one of somebody else's, whatever its mode
        os.chown(hook(device, "10-open", f"echo ran > {device.base}/ran\n"), 1234, 0)
        bad(device.run("renew"), 1, "10-open", "belong to root")
        assert not (device.base / "ran").exists()
        os.chown(device.conf / "hooks.d" / "10-open", 0, 0)
    # nor any in a folder that others write to: a link to a program of root's would do
    hook(device, "10-open", f"echo ran > {device.base}/ran\n")
    (device.conf / "hooks.d").chmod(0o775)
    bad(device.run("renew"), 1, "no hook was run", "hooks.d", "chmod go-w")
    assert not (device.base / "ran").exists()
    (device.conf / "hooks.d").chmod(0o755)
    for name in ("10-open", "x~", "y.dpkg-old", ".z"):
        hook(device, name, f"echo ran > {device.base}/ran\n", mode=0o644 if name == "10-open" else 0o755)
    good(device.run("renew"))
    assert not (device.base / "ran").exists()


# ---- namespaces: systemd, and the LAN --------------------------------------------------------------

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000


def apart(flags, scene):
    """Run @scene in a child with namespaces of its own; its AssertionError is ours."""
    if os.geteuid() != 0:
        pytest.skip("only root may make namespaces")
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        told = b""
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.unshare(flags) != 0:
                told = b"skip"
            else:
                subprocess.run(["mount", "--make-rprivate", "/"], check=True)
                scene()
        except BaseException:
            told = traceback.format_exc().encode()
        os.write(writer, told)
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as told:
        text = told.read().decode()
    os.waitpid(pid, 0)
    if text == "skip":
        pytest.skip("no namespaces can be made here")
    assert not text, text


def test_the_timer_is_enabled_where_systemd_runs(ca, device):
    """Where /run/systemd/system is there, and with the folder that cactl was built for; systemctl is ours."""
    built = subprocess.run(["strings", "-n", "4", devices.CACTL], capture_output=True, text=True).stdout
    conf = pathlib.Path(re.search(r"^(/\S*etc/cad)$", built, re.MULTILINE)[1])
    token, log = device.token("unit.lan", uses=3), device.base / "systemctl"
    tools = device.base / "bin"
    tools.mkdir()
    (tools / "systemctl").write_text(f'#!/bin/sh\necho "$@" >> {log}\n[ ! -e {device.base}/broken ] || {{ echo "Unit is masked"; exit 1; }}\n')
    (tools / "systemctl").chmod(0o755)

    def scene():
        for folder in ("/run", conf.parent):
            subprocess.run(["mount", "-t", "tmpfs", "none", folder], check=True)
        pathlib.Path("/run/systemd/system").mkdir(parents=True)
        del device.env["CACTL_CONFIG_DIR"]
        device.env["PATH"] = f"{tools}:{device.env['PATH']}"
        assert "cactl-renew.timer is enabled" in good(device.enroll("unit.lan", token=token))
        assert log.read_text() == "enable --now cactl-renew.timer\n"
        assert (conf / "certs" / "unit.lan" / "cert.pem").exists() and (conf / "cactl.conf").exists()
        log.unlink()
        good(device.enroll("waits.lan", "--no-wait"))       # who takes it later is needed all the more
        assert log.read_text() == "enable --now cactl-renew.timer\n"
        (device.base / "broken").touch()
        bad(device.enroll("unit.lan"), 1, "Unit is masked", "/etc/cron.d")
        good(device.enroll("unit.lan", "--no-timer"))
    apart(CLONE_NEWNS, scene)


# -- discovery, through a real Avahi on a loopback and a bus of its own

BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path={base}/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>"""
AVAHI = """[server]
host-name=cadtest
use-ipv6=no
allow-interfaces=lo
disallow-other-stacks=no
[publish]
publish-hinfo=no
publish-workstation=no
"""


class Lan:
    """A network of its own with Avahi on it; announce() puts the shipped service file there, with another name and port."""

    def __init__(self, base):
        self.base, self.processes = base, []
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        services = pathlib.Path("/etc/avahi/services")
        subprocess.run(["mount", "-t", "tmpfs", "none", services], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
        self.services = services
        (base / "bus.conf").write_text(BUS.format(base=base))
        (base / "avahi.conf").write_text(AVAHI)

    def announce(self, name, port):
        text = (cadtest.BUILD / "systemd" / "cad.avahi.service").read_text()
        assert ">8443<" in text and ">cad on %h<" in text
        (self.services / f"{name}.service").write_text(text.replace("8443", str(port)).replace("cad on", f"{name} on"))

    def start(self):
        out = open(self.base / "avahi.log", "ab")
        self.processes.append(subprocess.Popen(["dbus-daemon", f"--config-file={self.base}/bus.conf", "--nofork", "--nopidfile"],
                                               stdout=out, stderr=out))
        self.env = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={self.base}/bus"}
        limit = time.monotonic() + 10
        while not (self.base / "bus").exists():
            assert time.monotonic() < limit
            time.sleep(0.02)
        self.processes.append(subprocess.Popen(
            ["avahi-daemon", "-f", self.base / "avahi.conf", "--no-drop-root", "--no-chroot", "--no-rlimits"],
            env={**os.environ, **self.env}, stdout=out, stderr=out))
        while b"Server startup complete" not in (self.base / "avahi.log").read_bytes():
            assert time.monotonic() < limit, (self.base / "avahi.log").read_text()
            time.sleep(0.02)

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
            process.wait(10)


@pytest.mark.skipif(not shutil.which("avahi-daemon") or not shutil.which("dbus-daemon") or not shutil.which("ip"),
                    reason="avahi-daemon, dbus-daemon or ip is not installed")
def test_the_ca_is_found_on_the_lan_and_a_hostile_one_that_answers_is_left_out(device):
    del device.ca       # another one, inside

    def scene():
        lan = Lan(device.base)
        with cadtest.Daemon(tcp=True) as ca, devices.Hostile() as hostile:
            try:
                found = devices.Device(ca)
                lan.announce("cad", https.port(ca))
                lan.start()
                token = found.token("lan.lan", "two.lan", uses=5)
                # one: found by itself, pinned by its fingerprint
                done = found.enroll("lan.lan", url=None, token=token, env=lan.env)
                assert f"found cad on cadtest at https://127.0.0.1:{https.port(ca)}" in good(done)
                found.check("lan.lan")
                # two: without a fingerprint it is asked which; with one, the one that has it
                second = devices.Device(ca)
                lan.announce("aaa", hostile.server.server_address[1])
                time.sleep(1.5)     # Avahi looks, probes and announces
                said = bad(second.enroll("two.lan", url=None, pin=None, token=token, env=lan.env), 2, "2 CAs answer")
                assert hostile.url in said and second.url in said and not hostile.requests
                good(second.enroll("two.lan", url=None, token=token, env=lan.env))
                second.check("two.lan")
                assert {path for _, path, _, _ in hostile.requests} == {"/v1/ca/root.pem"}
                bad(devices.Device(ca).enroll("x.lan", url=None, pin="00" * 32, token=token, env=lan.env), 1, "none of those")
                for each in (found, second):
                    each.close()
            finally:
                lan.stop()
    apart(CLONE_NEWNS | CLONE_NEWNET, scene)


def test_without_avahi_it_says_so(device):
    nowhere = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={device.base}/none"}
    bad(device.enroll("x.lan", url=None, env=nowhere), 3, "Avahi", "--url")
