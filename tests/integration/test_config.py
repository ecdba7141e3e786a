"""The configuration: found, read, refused with file and line, read anew without losing what was good."""

import hashlib
import os
import pathlib
import re
import shutil
import signal
import tempfile

import pytest

import bad_csrs
import cadtest
import csrs
from csrs import csr, dns


class Place:
    """A folder with a configuration and a state folder, not started yet."""

    def __init__(self):
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="cad-"))
        self.base.chmod(0o755)
        self.etc, self.state = self.base / "etc", self.base / "state"
        self.etc.mkdir(mode=0o755)
        self.conf = self.etc / "cad.conf"

    def write(self, text, name="cad.conf"):
        path = self.etc / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def check(self, *more):
        return cadtest.run(["check-config", "--config", self.conf, "--state-dir", self.state, *more], cwd=self.base)

    def refused(self, *words):
        done = self.check()
        assert done.returncode == 1 and done.stdout == "", done
        assert done.stderr.count("\n") == 1 and done.stderr.startswith("cad: "), done.stderr
        for word in words:
            assert word in done.stderr, done.stderr
        return done.stderr


@pytest.fixture
def place():
    place = Place()
    yield place
    shutil.rmtree(place.base, ignore_errors=True)


@pytest.mark.parametrize("text", [
    "", "\n\n", "# nothing\n; nothing\n", "[Access]\n", "[Access]\nAdmin=uid:0 gid:0\n", "[Access]\nOperator=uid:root, gid:root\n",
    "[Limits]\nConnectionsPerPeer=4\n", "[Listen]\r\nSocket=/run/cad/x.sock\r\n\r\n[Access]\r\nReader=gid:100\r\n",
    "\ufeff[Access]\nReader=uid:1\n", "  [Access]  \n  Reader = uid:1  \n", "[Access]\nReader=uid:1",
    "[Access]\nReader=" + " ".join(f"uid:{n}" for n in range(20)) + "\n", "[Access]\nAdmin=cert:boss spki:" + "0" * 64 + "\n"],
    ids=["empty", "lines", "comments", "section", "ids", "names", "limits", "CRLF", "BOM", "spaces", "no last line end",
         "a long list", "certificates"])
def test_what_is_right_is_taken(place, text):
    place.write(text)
    done = place.check()
    assert done.returncode == 0 and "is fine" in done.stdout and done.stderr == "", done


@pytest.mark.parametrize("text, words", [
    ("[Access]\nAdmin=uid:0\nAdmim=uid:0\n", ["cad.conf:3:", "Admim"]),
    ("[Acess]\nAdmin=uid:0\n", ["cad.conf:2:", "[Acess]"]),
    ("Admin=uid:0\n", ["cad.conf:1:"]),
    ("[access]\nAdmin=uid:0\n", ["cad.conf:2:", "[access]"]),
    ("[Access]\nadmin=uid:0\n", ["cad.conf:2:", "admin"]),
    ("[Access]\n\n\nnonsense\n", ["cad.conf:4:"]),
    ("[Access\nAdmin=uid:0\n", ["cad.conf:1:"]),
    ("[Access]\nOperator=nobody-here\n", ["cad.conf:2:", "Operator", "nobody-here", "uid:NAME"]),
    ("[Access]\nOperator=uid:there-is-no-such-user\n", ["cad.conf:2:", "there-is-no-such-user"]),
    ("[Access]\nOperator=gid:there-is-no-such-group\n", ["cad.conf:2:", "there-is-no-such-group"]),
    ("[Access]\nReader=uid:1 # systemd has no comments behind a value\n", ["cad.conf:2:", "'#'"]),
    ("[Access]\nOperator=uid:0 uid:\n", ["cad.conf:2:", "uid:"]),
    ("[Access]\nOperator=uid:-1\n", ["cad.conf:2:", "-1"]),
    ("[Access]\nOperator=uid:4294967295\n", ["cad.conf:2:", "4294967295"]),
    ("[Access]\nOperator=uid:99999999999999999999\n", ["cad.conf:2:"]),
    ("[Access]\nAdmin=spki:abc\n", ["cad.conf:2:", "spki"]),
    ("[Access]\nAdmin=cert:\n", ["cad.conf:2:"]),
    ("[Limits]\nConnectionsPerPeer=many\n", ["cad.conf:2:", "many"]),
    ("[Limits]\nConnectionsPerPeer=-1\n", ["cad.conf:2:", "-1"]),
    ("[Limits]\nConnectionsPerPeer=4294967296\n", ["cad.conf:2:"]),
    ("[Limits]\nConnectionsPerPeer=\n", ["cad.conf:2:"]),
    ("[Limits]\nConnectionsPerPeer=0\n", ["cad.conf:2:", "0"]),
    ("[Limits]\nWorkers=100000\n", ["cad.conf:2:", "100000"]),
    ("[Limits]\nConnectionsPerPeer=100000\n", ["cad.conf:2:", "100000"]),
    ("[Limits]\nRequestsWaiting=0\n", ["cad.conf:2:", "'0'"]),
    ("[Listen]\nSocket=\n", ["cad.conf:2:", "absolute"]),
    ("[Listen]\nSocket=run/cad.sock\n", ["cad.conf:2:", "run/cad.sock"]),
    ("[Listen]\nSocket=" + "x" * 5000 + "\n", ["cad.conf:2:"]),
    (b"[Access]\nAdmin=uid:0\0\n", ["cad.conf", "NUL"]),
    (b"\0" * 100, ["cad.conf", "NUL"]),
    (b"#" + b"x" * (10 * 1024 * 1024) + b"\n", ["cad.conf", "bytes"]),
    ("[Access]\nReader=" + " ".join(f"uid:{n}" for n in range(5000)) + "\n", ["cad.conf:2:"]),
], ids=lambda value: None if isinstance(value, list) else repr(value[:40]))
def test_what_is_wrong_is_refused_with_its_line(place, text, words):
    place.write(text)
    place.refused(*words)


def test_too_many_entries_are_refused(place):
    place.write("[Access]\n" + "".join(f"Reader=uid:{n}\n" for n in range(300)))
    place.refused("cad.conf:", "256")


def test_a_start_is_refused_as_the_check_is(place):
    place.write("[Access]\nAdmim=uid:0\n")
    done = cadtest.run(["--config", place.conf, "--state-dir", place.state], cwd=place.base)
    assert done.returncode == 1 and "cad.conf:2:" in done.stderr and not place.state.exists()


def test_a_file_that_was_named_must_be_there(place):
    place.refused("cad.conf", f"{place.conf} is not there")
    done = cadtest.run(["check-config", "--config", place.base / "nowhere" / "cad.conf", "--state-dir", place.state])
    assert done.returncode == 1 and "nowhere" in done.stderr


@pytest.mark.parametrize("make, words", [
    (lambda path: path.symlink_to("/dev/null"), ["symbolic link"]), (lambda path: os.mkfifo(path), ["cad.conf"]),
    (lambda path: path.mkdir(), ["cad.conf"]), (lambda path: os.mknod(path, 0o644 | 0o020000, os.makedev(1, 5)), ["cad.conf"]),
    (lambda path: (path.write_text(""), path.chmod(0o666)), ["everybody"]),
    (lambda path: (path.write_text(""), os.chown(path, 12345, 12345)), ["12345"]),
], ids=["link", "fifo", "folder", "device", "writable by all", "another owner"])
def test_what_is_no_plain_file_of_ours_is_refused(place, make, words):
    if os.geteuid() != 0 and "12345" in words:
        pytest.skip("only root gives files away")
    try:
        make(place.conf)
    except PermissionError:
        pytest.skip("this machine makes no such file")
    place.refused("cad.conf", *words)


def test_a_folder_for_everybody_is_refused(place):
    place.write("")
    place.etc.chmod(0o777)
    assert place.check().returncode == 1
    place.etc.chmod(0o755)
    assert place.check().returncode == 0


def test_drop_ins_come_on_top_in_their_order(place):
    place.write("[Listen]\nSocket=/run/one.sock\n")
    place.write("[Listen]\nSocket=/run/three.sock\n", "cad.conf.d/20-b.conf")
    place.write("[Listen]\nSocket=/run/two.sock\n", "cad.conf.d/10-a.conf")
    place.write("[Nothing]\nX=1\n", "cad.conf.d/notes.txt")
    place.write("[Nothing]\nX=1\n", "cad.conf.d/.hidden.conf")
    place.write("[Nothing]\nX=1\n", "cad.conf.d/30-c.conf~")
    assert "/run/three.sock" in place.check().stdout
    assert "/run/four.sock" in place.check("--socket", "/run/four.sock").stdout
    assert "/run/five.sock" in place.check("--socket=/run/five.sock").stdout
    place.write("[Listen]\nSockett=/run/x.sock\n", "cad.conf.d/20-b.conf")
    place.refused("cad.conf.d/20-b.conf:2:", "Sockett")


@pytest.mark.parametrize("name, text, words", [
    ("x.conf", "[Profile]\nValidty=1d\n", ["x.conf:2:", "Validty"]), ("x.conf", "[Profile]\nValidity=0d\n", ["x.conf"]),
    ("x.conf", "[Profile]\nKeyUsage=keyCertSign\n", ["x.conf"]), ("x.conf", "[Profile]\nExtendedKeyUsage=anyExtendedKeyUsage\n", ["x.conf:2:"]),
    ("server.conf", "[Profile]\nValidityMax=10y\n", ["server.conf", "825"]), ("bad name.conf", "[Profile]\n", ["bad name"])],
    ids=["typo", "no validity", "CA usage", "any usage", "too long for servers", "name"])
def test_a_profile_that_is_wrong_is_refused(place, name, text, words):
    place.write("")
    place.write(text, f"profiles.d/{name}")
    place.refused(*words)


@pytest.mark.parametrize("args, words", [
    (["--nothing"], ["--nothing", "--help"]), (["--config"], ["--config"]), (["--state-dir="], ["--state-dir"]), (["nothing"], ["nothing"]),
    (["check-config", "x"], ["x"]), (["clock"], ["clock accept"]), (["clock", "set"], ["clock accept"]), (["init", "--nothing"], ["--nothing"]),
    (["init", "word"], ["word"]), (["--socket", ""], ["--socket"])])
def test_words_that_are_none_are_wrong_usage(tmp_path, args, words):
    done = cadtest.run([*args[:1], *args[1:]] if args[0] != "init" else [*args, "--state-dir", tmp_path / "s"], cwd=tmp_path,
                       env={**cadtest.environment(), "HOME": str(tmp_path)})
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done
    for word in words:
        assert word in done.stderr


def test_help_and_version_are_answers():
    for word, wanted in (("--help", "cad init"), ("-h", "cad init"), ("--version", "cad ")):
        done = cadtest.run([word])
        assert done.returncode == 0 and wanted in done.stdout and not done.stderr


def test_defaults_are_found_in_the_environment(tmp_path):
    """surface.md: $STATE_DIRECTORY, else $XDG_STATE_HOME/cad; $RUNTIME_DIRECTORY/cad.sock, else STATE/cad.sock."""
    base = cadtest.environment()
    for env, state, sock in (
            ({"STATE_DIRECTORY": "/s/cad", "XDG_STATE_HOME": "/x", "HOME": "/h"}, "/s/cad", "/s/cad/cad.sock"),
            ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/cad", "/x/cad/cad.sock"),
            ({"HOME": "/h"}, "/h/.local/state/cad", "/h/.local/state/cad/cad.sock"),
            ({"HOME": "/h", "RUNTIME_DIRECTORY": "/r/cad"}, "/h/.local/state/cad", "/r/cad/cad.sock")):
        done = cadtest.run(["check-config"], env={**base, **env}, cwd=tmp_path)
        assert done.returncode == 0 and f"state in {state}, socket {sock}," in done.stdout, done
    done = cadtest.run(["check-config"], env=base, cwd=tmp_path)
    assert done.returncode == 2 and "--state-dir" in done.stderr


@pytest.mark.parametrize("extra, state", [((), "/var/lib/cad"), (("--state-dir", "/s"), "/s")])
def test_where_the_signer_has_a_folder_of_its_own_the_state_is_the_service_s(place, extra, state):
    """`sudo cactl restore FILE` on an installed CA: without this it works on /root/.local/state/cad."""
    place.write("[Signer]\nStateDir=/var/lib/cad-signer\n")
    done = cadtest.run(["check-config", "--config", place.conf, *extra], env={**cadtest.environment(), "HOME": "/root", "XDG_STATE_HOME": "/x"})
    assert done.returncode == 0 and f"state in {state}, socket {state}/cad.sock," in done.stdout, done


@pytest.mark.parametrize("source, page", [("daemon/config.c", "cad.conf.5"), ("daemon/signer/main.c", "cad-signer.8"),
                                          ("lib/pki/profile.c", "cad-profile.5")])
def test_every_setting_is_in_its_man_page(source, page):
    project = pathlib.Path(__file__).parents[2]
    man = (project / f"docs/man/{page}.scd").read_text()
    rows = re.findall(r'^ +\{ "([A-Z]\w+)", "([A-Z]\w+)",', (project / source).read_text(), re.MULTILINE)
    assert len(rows) >= 3
    for section, setting in rows:
        assert re.search(rf"\[{section}\](?:(?!^# )[\s\S])*?\*{setting}=\*", man, re.MULTILINE | re.IGNORECASE), (section, setting)


# -- Read anew ---------------------------------------------------------------------------------

@pytest.mark.sanitize
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_reload_takes_what_is_right_and_keeps_the_old_otherwise(place):
    place.write("[Access]\nReader=uid:4711\n")
    daemon = cadtest.Daemon(["--config", place.conf])
    try:
        daemon.start()
        daemon.socket.chmod(0o666)
        daemon.state.chmod(0o711)
        who = (4711, 4711, [], "GET", "/v1/certificates")
        daemon.as_user(*who).expect(200)
        for text, status, said in (
                ("[Access]\nReader=uid:4712\n", 403, "read anew"), ("[Access]\nReader=uid:4711\n", 200, "read anew"),
                ("[Access]\nReadr=uid:4712\n", 200, "cad.conf:2:"), ("[Access]\nReader=uid:4712\nReader=x\n", 200, "cad.conf:3:"),
                ("", 403, "read anew")):
            before = len(daemon.log_text())
            place.write(text)
            daemon.process.send_signal(signal.SIGHUP)
            daemon.wait_until(lambda: said in daemon.log_text()[before:], 10, f"{said!r} is not said")
            daemon.as_user(*who).expect(status)
        assert "the old one stays" in daemon.log_text()
    finally:
        daemon.close()


def test_a_reload_reads_the_profiles_in_both_processes(place):
    place.write("")
    daemon = cadtest.Daemon(["--config", place.conf])
    try:
        daemon.start()
        ask = lambda **fields: daemon.issue(csr(names=[dns("nas.lan")]), **fields)
        ask(profile="tiny").expect(422)
        before = len(daemon.log_text())
        place.write("[Profile]\nDescription=small\nNameTypes=dns\nExtendedKeyUsage=serverAuth\nValidity=1d\nValidityMax=2d\n", "profiles.d/tiny.conf")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_until(lambda: "read anew" in daemon.log_text()[before:], 10, "it is not read")
        daemon.wait_until(lambda: ask(profile="tiny").expect(201, 422, 503).status == 201, 10, "the profile is not taken by both")
        ask(profile="tiny", validity="3d").expect(422)
        before = len(daemon.log_text())
        place.write("[Profile]\nDescription=small\nValidity=x\n", "profiles.d/tiny.conf")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_until(lambda: "tiny.conf:3:" in daemon.log_text()[before:], 10, "the error is not said")
        ask(profile="tiny").expect(201)
    finally:
        daemon.close()


def test_a_reload_reads_a_long_list_of_weak_keys_in_both_processes(place):
    """As long as Debian's lists have to be: sorting it is more than the signer did before it locked itself in."""
    place.write("")
    daemon = cadtest.Daemon(["--config", place.conf])
    key = bad_csrs.listed_key()
    try:
        daemon.start()
        signer, before = daemon.signer_pid, len(daemon.log_text())
        daemon.issue(csr(key, names=[dns("nas.lan")])).expect(201)
        lines = [hashlib.sha1(b"%d" % n).hexdigest()[20:].encode() + b"\n" for n in range(20000)]
        place.write((bad_csrs.weak_keys() + b"".join(lines)).decode(), "weak-keys.d/blacklist.RSA-2048")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_until(lambda: daemon.log_text()[before:].count("read anew") >= 2, 10, "both do not read it")
        problem = daemon.issue(csr(key, names=[dns("nas.lan")])).expect(400, 422).json
        assert problem["type"].endswith(":key-weak"), problem
        daemon.issue(csr(csrs.rsa(), names=[dns("nas.lan")])).expect(201)
        assert daemon.signer_pid == signer, "the signer did not live through it"
        before = len(daemon.log_text())
        place.write("no list\n", "weak-keys.d/other")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_until(lambda: "weak-keys.d/other:1:" in daemon.log_text()[before:], 10, "the error is not said")
        daemon.issue(csr(key, names=[dns("nas.lan")])).expect(400, 422)
    finally:
        daemon.close()


def test_no_connection_is_lost_by_a_reload(place):
    place.write("")
    daemon = cadtest.Daemon(["--config", place.conf])
    try:
        daemon.start()
        with daemon.connect() as sock:
            for number in range(30):
                if number % 3 == 0:
                    daemon.process.send_signal(signal.SIGHUP)
                sock.sendall(b"GET /v1/ca HTTP/1.1\r\nHost: localhost\r\n\r\n")
                head = b""
                while b"\r\n\r\n" not in head:
                    part = sock.recv(1)
                    assert part, "the connection was closed"
                    head += part
                length = int(next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")).split(b":")[1])
                while length:
                    length -= len(sock.recv(length))
                assert b" 200 " in head
        for _ in range(40):
            daemon.process.send_signal(signal.SIGHUP)
            daemon.issue(csr(names=[dns("nas.lan")])).expect(201, 503)
        daemon.issue(csr(names=[dns("nas.lan")])).expect(201)
    finally:
        daemon.close()
