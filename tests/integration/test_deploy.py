"""cactl deploy, without a service: files put where they are wanted, backed up, undone; what must be refused is, and costs nothing."""

import contextlib
import datetime
import grp
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time

import cadtest
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs7, pkcs12
from test_full_disk import mounted

from deploying import DER, DONE, PEM, REFUSED, USAGE, Credential, Place, open_folder, pem
from test_cactl import CACTL, LIMIT_S, Ca, environment
from test_enroll import CLONE_NEWNS, apart

ALL = ("cert", "chain", "fullchain", "key", "combined", "root")
PAIR = ("fullchain", "key")


@pytest.fixture(autouse=True, scope="module")
def built():
    cadtest.require_build()


@pytest.fixture(scope="module")
def ca():
    return Ca()


@pytest.fixture(scope="module")
def old(ca):
    return Credential(ca, "nas.lan")


@pytest.fixture(scope="module")
def new(ca):
    return Credential(ca, "nas.lan", "*.home.lan")


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@pytest.fixture
def deployed(place, old, new):
    """The old certificate is in place; its source is about to be the new one. Return: the place and the options for that."""
    place.install("web", "--from", old.store(place.base / "old"), *place.to(*PAIR))
    new.store(place.base / "new")
    return place


# ---- what is put where -----------------------------------------------------------------------------

def test_every_part_is_clean_pem_and_the_second_time_nothing_is_touched(place, new):
    told = place.base / "told"
    words = ["web", "--from", new.store(place.base / "src"), *place.to(*ALL), "--reload", f'sh -c "echo x >> {told}"']
    place.install(*words)
    assert place.holds(new, *ALL)
    modes = {part: stat.S_IMODE((place.out / part).stat().st_mode) for part in ALL}
    assert modes == {part: 0o600 if part in ("key", "combined") else 0o644 for part in ALL}
    before = place.seen()
    for again in (words, ["web"], []):
        assert "up to date" in place.install(*again).stdout
    assert place.seen() == before and told.read_text() == "x\n"
    assert len(place.backups()) == 1 and place.state_of()["up_to_date"]
    assert list(place.out.iterdir()) == [path for path in place.out.iterdir() if not path.name.startswith(".")]


def p12(credential, password, **how):
    builder = serialization.PrivateFormat.PKCS12.encryption_builder().kdf_rounds(how.get("rounds", 2048))
    builder = builder.key_cert_algorithm(how.get("pbe", pkcs12.PBES.PBESv2SHA256AndAES256CBC))
    encryption = (builder.hmac_hash(how.get("hash", hashes.SHA256())).build(password) if password
                  else serialization.NoEncryption())
    return pkcs12.serialize_key_and_certificates(b"nas", credential.key, credential.cert,
                                                 [credential.ca.intermediate, credential.ca.root], encryption)


def der(cert):
    return cert.public_bytes(DER)


def crlf(text):
    return b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()


def bag(c, encoding=DER):
    return pkcs7.serialize_certificates([c.ca.root, c.cert, c.ca.intermediate], encoding)


def old_pem_key(c):
    return c.key.private_bytes(PEM, serialization.PrivateFormat.TraditionalOpenSSL,
                               serialization.BestAvailableEncryption(b"geheim"))


# Each: files by option. "password" is written to a file of --password-file.
FORMS = {
    "PEM": lambda c: {"cert": c.parts["cert"], "key": c.parts["key"], "chain": c.parts["chain"], "root": c.parts["root"]},
    "DER": lambda c: {"cert": der(c.cert), "key": c.key_bytes(DER), "chain": der(c.ca.intermediate), "root": der(c.ca.root)},
    "all in one PEM, upside down": lambda c: {"cert": c.parts["root"] + c.parts["key"] + c.parts["chain"] + c.parts["cert"]},
    "CRLF, BOM and text, from Windows": lambda c: {"cert": crlf("Issued to: nas\n" + pem(c.cert, c.ca.intermediate, c.ca.root)),
                                                   "key": crlf(c.parts["key"])},
    "UTF-16, from PowerShell": lambda c: {"cert": (pem(c.cert, c.ca.intermediate, c.ca.root)).encode("utf-16"),
                                          "key": c.parts["key"].encode("utf-16")},
    "PKCS#7 in DER": lambda c: {"cert": bag(c), "key": c.parts["key"]},
    "PKCS#7 in PEM": lambda c: {"cert": bag(c, PEM), "key": c.parts["key"]},
    "PKCS#12": lambda c: {"p12": p12(c, b"geheim"), "password": "geheim\n"},
    "PKCS#12 of before 2018": lambda c: {"p12": p12(c, b"geheim", pbe=pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC,
                                                    hash=hashes.SHA1()), "password": "geheim"},
    "PKCS#12 with umlauts": lambda c: {"p12": p12(c, "größer".encode()), "password": "größer\r\n"},
    "PKCS#12 without a password": lambda c: {"p12": p12(c, None)},
    "an encrypted key": lambda c: {"cert": pem(c.cert, c.ca.intermediate, c.ca.root), "key": c.key_bytes(PEM, b"geheim"),
                                   "password": "geheim"},
    "an encrypted key in DER": lambda c: {"cert": bag(c), "key": c.key_bytes(DER, b"geheim"), "password": "geheim"},
    "a key encrypted as in 1993": lambda c: {"cert": old_pem_key(c) + pem(c.cert, c.ca.intermediate, c.ca.root).encode(),
                                             "password": "geheim"},
}


def files(folder, form):
    """The options for a form; "-": none."""
    words = []
    for option, content in form.items():
        path = folder / f"in-{option}"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        words += ["--password-file" if option == "password" else f"--{option}", path]
    return words


@pytest.mark.sanitize
@pytest.mark.parametrize("form", FORMS)
def test_whatever_form_it_comes_in_the_same_comes_out(place, new, form):
    place.install("web", *files(place.base, FORMS[form](new)), *place.to("fullchain", "key", "root"))
    assert place.holds(new, "fullchain", "key", "root")
    assert place.state_of()["up_to_date"]       # by what was kept of it in the target's file


def test_of_two_certificates_of_one_key_the_newer_counts(place, new):
    """As they are where a renewal keeps its key, and somebody gives a file with both."""
    older = dated(new, 2020, 2099, key=new.key)
    for certs in ((older, new), (new, older)):
        (place.base / "all").write_text("".join(pem(c.cert) for c in certs) + new.parts["key"] + new.parts["chain"] + new.parts["root"])
        place.install("web", "--cert", place.base / "all", *place.to(*PAIR))
        assert place.holds(new, *PAIR)


def test_layouts_of_source_folders(place, new, old):
    folder = place.base / "issued"
    folder.mkdir()
    for name, c in (("nas.lan", new), ("b.lan", old)):
        (folder / f"{name}.pem").write_text(c.parts["fullchain"])
        (folder / f"{name}-key.pem").write_text(c.parts["key"])
        (folder / "root.pem").write_text(c.parts["root"])
        if name == "nas.lan":
            place.install("web", "--from", folder, *place.to(*PAIR))
            assert place.holds(new, *PAIR)
    assert "several certificates" in place.refused("web")
    place.install("web", "--from", folder / "b.lan")
    assert place.holds(old, *PAIR)
    assert "there is no c.lan.pem" in place.refused("web", "--from", folder / "c.lan")
    assert "there is no folder" in place.refused("web", "--from", place.base / "x" / "y")
    # the one that was enrolled needs no name
    new.store(place.conf / "certs" / "nas")
    place.install("other", *place.to("cert"))
    assert place.holds(new, "cert")
    old.store(place.conf / "certs" / "second")
    assert "where does the certificate come from" in place.refused("third", *place.to("root"))


def test_a_root_that_is_not_given_is_looked_for_where_the_ca_was_pinned(place, new):
    form = {"cert": new.parts["fullchain"], "key": new.parts["key"]}
    words = ["web", *files(place.base, form), *place.to(*PAIR, "root")]
    assert "does not reach a root" in place.refused(*words)
    place.conf.mkdir(exist_ok=True)
    (place.conf / "root.pem").write_text(new.parts["root"])
    place.install(*words)
    assert place.holds(new, *PAIR, "root")


# ---- refused before anything changes ---------------------------------------------------------------

def slow_p12(c):
    """The rounds of its MAC and its encryption raised to eight million."""
    made = subprocess.run(["openssl", "pkcs12", "-export", "-iter", "70000", "-passout", "pass:geheim"],
                          input=(c.parts["key"] + c.parts["fullchain"]).encode(), capture_output=True, check=True).stdout
    assert made.count(b"\x02\x03\x01\x11\x70") >= 1
    return made.replace(b"\x02\x03\x01\x11\x70", b"\x02\x03\x7f\xff\xff")


def dated(c, begin, end, key=None):
    """A certificate of the same CA with other times."""
    before = c.ca.builder

    def builder(subject, public, issuer, days):
        made = before(subject, public, issuer, days)
        made._not_valid_before, made._not_valid_after = datetime.datetime(begin, 1, 1), datetime.datetime(end, 1, 1)
        return made
    c.ca.builder = builder
    try:
        return Credential(c.ca, "nas.lan", key=key)
    finally:
        c.ca.builder = before


def expired(c):
    return dated(c, 2020, 2021)


def early(c):
    return dated(c, 2090, 2091)


def everything(c, **more):
    return {"cert": pem(c.cert, c.ca.intermediate, c.ca.root), "key": c.parts["key"], **more}


def without(form, *options):
    return {option: content for option, content in form.items() if option not in options}


BAD = {
    "a key of another certificate": (lambda c: everything(c, key=Credential(c.ca, "x.lan").parts["key"]), (),
                                     "key and certificate do not belong together"),
    "no key": (lambda c: without(everything(c), "key"), (), "there is no private key"),
    "the chain is missing": (lambda c: everything(c, cert=c.parts["cert"], root=c.parts["root"]), (),
                             "does not reach a root: it ends with '', whose issuer 'CN=Test CA 1'"),
    "the root of another CA": (lambda c: everything(c, cert=c.parts["fullchain"], root=pem(Ca("Evil").root)), (), "does not reach a root"),
    "the root of another CA of the same name": (lambda c: everything(c, cert=c.parts["fullchain"], root=pem(Ca().root)), (),
                                                "does not reach a root"),
    "it has expired": (lambda c: everything(expired(c)), (), "has expired (2021-01-01"),
    "it is not valid yet": (lambda c: everything(early(c)), (), "is not valid before 2090"),
    "another name": (everything, ("--name", "nas.lan", "--name", "mail.lan"), "is not for mail.lan: it is for nas.lan, [*].home.lan"),
    "no certificate at all": (lambda c: everything(c, cert="hello\n"), (), "in-cert: there is neither a certificate nor"),
    "a certificate that was cut": (lambda c: everything(c, cert=c.parts["cert"][:300]), (), "it was cut"),
    "a DER file that was cut": (lambda c: everything(c, cert=der(c.cert)[:300]), (), "in-cert: "),
    "two keys": (lambda c: everything(c, cert=c.parts["cert"] + Credential(c.ca, "x.lan").parts["key"]), (), "two different private keys"),
    "a wrong password": (lambda c: {"p12": p12(c, b"geheim"), "password": "falsch"}, (), "the password does not open it"),
    "a password is wanted": (lambda c: {"p12": p12(c, b"geheim")}, (), "is encrypted: --password-file FILE"),
    "a password file that is not there": (lambda c: {"p12": p12(c, b"geheim")}, ("--password-file", "/nonexistent/x"), "cannot open /nonexistent/x"),
    "a PKCS#12 file that asks for hours": (lambda c: {"p12": slow_p12(c), "password": "geheim"}, (), "rounds: that many are not done"),
    "a PKCS#12 file that was cut": (lambda c: {"p12": p12(c, None)[:700]}, (), "cannot be read"),
    "a file that is not there": (lambda c: {}, ("--cert", "/nonexistent/x"), "cannot open /nonexistent/x"),
    "a source and files": (everything, ("--from", "."), "the certificate comes from one of them"),
    "a user that is not here": (everything, ("--owner", "nobody-here"), "there is no user 'nobody-here'"),
}


@pytest.mark.parametrize("why", BAD)
def test_what_does_not_fit_is_refused_and_nothing_is_touched(deployed, new, why):
    form, more, said = BAD[why]
    before, conf = deployed.seen(), (deployed.conf / "deploy.d" / "web.conf").read_bytes()
    text = deployed.refused("web", *files(deployed.base, form(new)), *more)
    assert re.search(said.replace("(", r"\("), text), text
    assert text.count("\n") == 1 and text.startswith("cactl: web: ")
    assert deployed.seen() == before and (deployed.conf / "deploy.d" / "web.conf").read_bytes() == conf
    assert len(deployed.backups()) == 1


# ---- checks and reloads that fail ------------------------------------------------------------------

@pytest.mark.parametrize("words, said, reloads", [
    (["--check", 'sh -c "echo the file is bad; exit 3"'], "sh ended with exit status 3: the file is bad; the old files are back", 0),
    (["--check", "no-such-program -t"], "'no-such-program' cannot be run: is it installed?; the old files are back", 0),
    (["--check", "sleep 20", "--timeout", "1s"], "sleep was not done after 1 s and was stopped; the old files are back", 0),
    (["--reload", "fails"], "sh ended with exit status 7: no; the old files are back, and it was reloaded with them", 2),
    (["--reload", "always fails"], "the old files are back, but the reload with them failed, too", 2),
    (["--check", 'sh -c "kill -9 $$"'], "sh was ended by signal 9; the old files are back", 0),
])
def test_a_check_or_reload_that_fails_brings_the_old_files_back(deployed, new, old, words, said, reloads):
    told = deployed.base / "told"
    script = deployed.base / "reload"
    script.write_text(f"cat {deployed.out}/fullchain | cksum >> {told}\n"
                      f"[ {'1' if words[1] == 'always fails' else '$(wc -l < ' + str(told) + ')'} != 1 ] || {{ echo no; exit 7; }}\n")
    before = deployed.seen()
    commands = [f"sh {script}" if word in ("fails", "always fails") else word for word in words]
    text = deployed.refused("web", "--from", deployed.base / "new", *commands)
    assert said in text, text
    assert deployed.seen() == before, "the very files are back, to the inode"
    lines = told.read_text().splitlines() if told.exists() else []
    assert len(lines) == reloads and len(set(lines)) == reloads, "reloaded with the new, then with the old"
    assert len(deployed.backups()) == 1 and deployed.state_of()["source"].endswith("/old")


def test_what_a_command_leaves_running_does_not_hold_it_up(deployed):
    begin = time.monotonic()
    deployed.install("web", "--from", deployed.base / "new", "--reload", 'sh -c "sleep 8 & exit 0"')
    assert time.monotonic() - begin < 5


def test_commands_are_words_and_no_shell_reads_them(deployed, new):
    deployed.install("web", "--from", deployed.base / "new", "--reload", f'touch "{deployed.base}/a b" $HOME;x')
    assert (deployed.base / "a b").exists() and not (deployed.base / "x").exists()
    assert (deployed.base / "$HOME;x").exists()


def test_a_process_is_signalled_by_its_pid_file_and_no_other_one_is(deployed, new):
    caught = deployed.base / "caught"
    program = ("import signal,time,pathlib;"
               f"signal.signal(signal.SIGHUP, lambda *_: pathlib.Path('{caught}').write_text('x'));"
               "print(flush=True);time.sleep(60)")
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        (deployed.base / "pid").write_text(f"{process.pid:>12}\n")       # as Postfix writes it
        # of nginx, it says: but that is a Python
        deployed.install("web2", "--service", "nginx", "--check", "no", "--pid-file", deployed.base / "pid", "--from",
                         deployed.base / "new", "--to-cert", deployed.out / "cert")
        assert not caught.exists()
        told = deployed.install("web", "--from", deployed.base / "new", "--pid-file", deployed.base / "pid").stdout
        assert "reloaded" in told
        limit = time.monotonic() + LIMIT_S
        while not caught.exists():
            assert time.monotonic() < limit
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait(10)
    # and one that ends by it is a failure
    process = subprocess.Popen(["sleep", "60"])
    try:
        (deployed.base / "pid").write_text(f"{process.pid}\n")
        deployed.cactl("restore", "web", expect=REFUSED)
        assert deployed.holds(new, *PAIR)
    finally:
        process.kill()
        process.wait(10)
    assert "it is not running" in deployed.cactl("restore", "web").stdout


def test_where_systemd_runs_a_unit_is_reloaded_and_none_that_was_stopped_is_started(deployed, new, old):
    """Where /run/systemd/system is there; systemctl is ours. tests/boot.sh has the real one."""
    log, stopped, broken = (deployed.base / name for name in ("log", "stopped", "broken"))

    def called():
        lines = log.read_text().splitlines()
        log.unlink()
        return lines

    def scene():
        for folder in ("/run", "/usr/local/sbin"):
            subprocess.run(["mount", "-t", "tmpfs", "none", folder], check=True)
        pathlib.Path("/run/systemd/system").mkdir(parents=True)
        systemctl = pathlib.Path("/usr/local/sbin/systemctl")
        systemctl.write_text(f'#!/bin/sh\necho "$@" >> {log}\n[ $1 != is-active ] || exec test ! -e {stopped}\n'
                             f'[ ! -e {broken} ] || {{ rm {broken}; echo "Job failed."; exit 1; }}\n')
        systemctl.chmod(0o755)
        asked, told = "is-active --quiet web.service", "reload-or-restart web.service"
        assert "reloaded" in deployed.install("web", "--unit", "web.service", "--from", deployed.base / "new").stdout
        assert called() == [asked, told]
        # one that does not come up with the new files is not active then, and has to be with the old ones
        broken.touch()
        text = deployed.refused("web", "--from", deployed.base / "old")
        assert "Job failed." in text and "the old files are back, and it was reloaded with them" in text
        assert called() == [asked, told, told] and deployed.holds(new, *PAIR)
        stopped.touch()
        assert "it is not running" in deployed.install("web", "--from", deployed.base / "old").stdout
        assert called() == [asked] and deployed.holds(old, *PAIR)
    apart(CLONE_NEWNS, scene)


# ---- what is there already -------------------------------------------------------------------------

def test_owner_mode_and_labels_stay(deployed, new):
    if os.geteuid():
        pytest.skip("only root may give files away")
    key, chain = deployed.out / "key", deployed.out / "fullchain"
    os.chown(key, 1234, 4321)
    key.chmod(0o640)
    chain.chmod(0o664)
    os.setxattr(key, "user.note", b"mine")
    acl = bytes.fromhex("02000000" "01000600ffffffff" "02000400d2040000" "04000000ffffffff" "10000400ffffffff" "20000000ffffffff")
    os.setxattr(key, "system.posix_acl_access", acl)
    label = b"system_u:object_r:cert_t:s0\0"
    try:
        os.setxattr(key, "security.selinux", label)
    except OSError:
        label = None
    labels = {name: os.getxattr(key, name) for name in os.listxattr(key)}
    with contextlib.suppress(OSError):
        os.setxattr(key, "security.ima", b"\x01" + bytes(20))       # of the old content, and a lie of any other
    deployed.install("web", "--from", deployed.base / "new")
    assert deployed.holds(new, *PAIR)
    found = key.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 4321, 0o640)
    assert stat.S_IMODE(chain.stat().st_mode) == 0o664
    assert {name: os.getxattr(key, name) for name in os.listxattr(key)} == labels
    assert label is None or labels["security.selinux"] == label
    # a restore brings them back, too
    os.removexattr(key, "user.note")
    os.chown(key, 0, 0)
    deployed.cactl("restore", "web")
    assert os.getxattr(key, "user.note") == b"mine" and key.stat().st_uid == 1234


def test_a_link_becomes_a_file_and_what_it_led_to_stays(deployed, new, old):
    (deployed.base / "shared").write_text(old.parts["key"])
    (deployed.base / "shared").chmod(0o644)
    (deployed.out / "key").unlink()
    (deployed.out / "key").symlink_to(deployed.base / "shared")
    (deployed.out / "fullchain").rename(deployed.base / "public")
    (deployed.out / "fullchain").symlink_to(deployed.base / "public")
    text = deployed.install("web", "--from", deployed.base / "new").stderr
    assert "was a symbolic link" in text
    assert not (deployed.out / "key").is_symlink() and deployed.holds(new, *PAIR)
    assert (deployed.base / "shared").read_text() == old.parts["key"]
    assert stat.S_IMODE((deployed.out / "key").stat().st_mode) == 0o640, "no key for everybody by way of a link"
    assert stat.S_IMODE((deployed.out / "fullchain").stat().st_mode) == 0o644
    deployed.cactl("restore", "web")
    assert os.readlink(deployed.out / "key") == str(deployed.base / "shared")
    # one that leads nowhere
    (deployed.base / "shared").unlink()
    deployed.install("web")
    assert deployed.holds(new, *PAIR) and stat.S_IMODE((deployed.out / "key").stat().st_mode) == 0o600


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


def make_hard_link(path):
    (path.parent / "another").write_text("-----BEGIN PRIVATE KEY-----")
    os.link(path.parent / "another", path)


ODD = {
    "a folder": (lambda path: path.mkdir(), "is not a regular file"),
    "a FIFO": (os.mkfifo, "is not a regular file"),
    "a socket": (make_socket, "is a socket"),
    "a hard link": (make_hard_link, "has 2 hard links"),
    "something else": (lambda path: path.write_text("root:x:0:0::/root:/bin/sh\n"), "has neither a certificate nor a key"),
    "a large file": (lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 2 << 20), "that is no certificate"),
    "a certificate": (lambda path: path.write_text(pem(Ca().root)), "holds no private key, and Key= would put one there"),
}


@pytest.mark.parametrize("what", ODD)
def test_what_is_no_key_file_is_not_replaced_by_one(deployed, what):
    make, said = ODD[what]
    (deployed.out / "key").unlink()
    make(deployed.out / "key")
    before = deployed.seen()
    assert said in deployed.refused("web", "--from", deployed.base / "new")
    assert deployed.seen() == before


def test_a_key_that_everybody_may_read_is_told_of(deployed):
    (deployed.out / "key").chmod(0o644)
    for _ in range(2):      # also where it is up to date
        said = deployed.install("web", "--from", deployed.base / "new").stderr
        assert "everybody may read it (mode 0644): chmod o=" in said


def test_another_mode_or_group_is_a_change_though_the_certificate_is_the_same(deployed, old):
    assert "replaced" in deployed.install("web", "--mode", "0640").stdout
    assert stat.S_IMODE((deployed.out / "key").stat().st_mode) == 0o640 and deployed.holds(old, *PAIR)
    if os.geteuid() == 0:
        assert "replaced" in deployed.install("web", "--group", "daemon").stdout
        assert (deployed.out / "key").stat().st_gid == grp.getgrnam("daemon").gr_gid
    assert "up to date" in deployed.install("web").stdout


def test_a_new_source_replaces_the_old_one_whole(place, old, new):
    """A key that was named before is not taken for the key of what is named now."""
    place.install("web", *files(place.base, everything(old)), *place.to(*PAIR))
    (place.base / "all").write_text(new.parts["key"] + new.parts["fullchain"] + new.parts["root"])
    place.install("web", "--cert", place.base / "all")
    assert place.holds(new, *PAIR)
    place.install("web", "--from", old.store(place.base / "folder"))
    assert place.holds(old, *PAIR)


def test_whoever_owns_a_folder_on_the_way_cannot_lead_it_elsewhere(deployed, new):
    """A service's user may put a link in place of a folder: root follows it to what is that user's, and no further."""
    if os.geteuid():
        pytest.skip("only root may give files away")
    svc, link, before = deployed.base / "svc", deployed.base / "svc" / "tls", deployed.seen()

    def install(path):
        return ["web2", "--from", deployed.base / "new", "--to-key", path]
    svc.mkdir()
    link.symlink_to(deployed.out)
    for path in (svc, link):
        os.chown(path, 1234, 1234, follow_symlinks=False)
    for path in (link / "key", link / "more" / "key"):
        text = deployed.refused(*install(path))
        assert "a link that belongs to uid 1234 leads into a folder of uid 0" in text
        assert deployed.seen() == before
    (svc / "own").mkdir()
    os.chown(svc / "own", 1234, 1234)
    link.unlink()
    link.symlink_to("own")
    os.chown(link, 1234, 1234, follow_symlinks=False)
    deployed.install(*install(link / "key"))
    assert new.is_key(svc / "own" / "key")
    # a link of root's is the admin's
    (deployed.base / "admins").symlink_to(deployed.out)
    deployed.install("web3", "--from", deployed.base / "new", "--to-key", deployed.base / "admins" / "deep" / "key3")
    assert new.is_key(deployed.out / "deep" / "key3")


def test_whoever_owns_the_folder_cannot_have_another_file_written(deployed, old):
    """By links where cactl is about to write, whose names can be foreseen."""
    victim = deployed.base / "victim"
    victim.write_text("precious")
    before = deployed.seen()
    now = datetime.datetime.utcnow()
    links = [deployed.out / f".cactl-web-{now + datetime.timedelta(seconds=after):%Y-%m-%dT%H-%M-%SZ}-{n}-{part}"
             for after in range(20) for n in (1, 2) for part in range(2)]
    for link in links:
        link.symlink_to(victim)
    assert "File exists" in deployed.refused("web", "--from", deployed.base / "new")
    for link in links:
        link.unlink(missing_ok=True)
    assert victim.read_text() == "precious" and deployed.seen() == before


def test_force_replaces_a_foreign_file(deployed, new):
    (deployed.out / "key").write_text("nonsense")
    deployed.install("web", "--from", deployed.base / "new", "--force")
    assert deployed.holds(new, *PAIR)
    deployed.cactl("restore", "web")
    assert (deployed.out / "key").read_text() == "nonsense"


def test_the_folder_of_a_stranger_that_everybody_writes_to_is_refused(deployed):
    deployed.out.chmod(0o777)
    assert "writable by everybody" in deployed.refused("web", "--from", deployed.base / "new")


def test_a_full_disk_costs_nothing(place, old, new):
    with mounted(place.base / "disk", "96k") as disk:
        place.out = disk / "out"
        place.out.mkdir()
        place.install("web", "--from", old.store(place.base / "old"), *place.to(*PAIR))
        before = place.seen()
        with open(disk / "filler", "wb", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(bytes(4096))
        text = place.refused("web", "--from", new.store(place.base / "new"))
        assert "No space left" in text and "the old files are back" in text
        assert place.seen() == before and len(place.backups()) == 1
        (disk / "filler").unlink()
        place.install("web", "--from", place.base / "new")
        assert place.holds(new, *PAIR)


def test_a_state_folder_that_is_full_costs_nothing(place, old, new):
    with mounted(place.base / "state", "32k"):
        (place.base / "state" / "filler").write_bytes(bytes(28 * 1024))
        text = place.refused("web", "--from", old.store(place.base / "old"), *place.to(*PAIR))
        assert "No space left" in text and not list(place.out.iterdir())
        (place.base / "state" / "filler").unlink()
        place.install("web", "--from", place.base / "old", *place.to(*PAIR))


def test_a_read_only_file_system_is_said_to_be_one(place, old, new):
    with mounted(place.base / "disk", "96k") as disk:
        place.out = disk / "out"
        place.out.mkdir()
        place.install("web", "--from", old.store(place.base / "old"), *place.to(*PAIR))
        before = place.seen()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        assert "Read-only file system" in place.refused("web", "--from", new.store(place.base / "new"))
        assert place.seen() == before


def test_a_file_that_cannot_be_replaced_leaves_the_pair_as_it_was(deployed, old):
    """The second of two: the first is put back."""
    if os.geteuid():
        pytest.skip("only root may make a file immutable")
    if subprocess.run(["chattr", "+i", deployed.out / "key"], capture_output=True).returncode:
        pytest.skip("no immutable files here")
    try:
        text = deployed.refused("web", "--from", deployed.base / "new")
        assert "cannot replace" in text and "the old files are back" in text
        assert deployed.holds(old, *PAIR)
    finally:
        subprocess.run(["chattr", "-i", deployed.out / "key"], check=True)
    deployed.install("web", "--from", deployed.base / "new")


# ---- cut off ---------------------------------------------------------------------------------------

def test_what_was_cut_off_before_the_reload_is_undone_by_the_next_run(deployed, new, old):
    words = ["install", "web", "--from", deployed.base / "new", "--check", 'sh -c "kill -9 $PPID"']
    deployed.cactl(*words, expect=-signal.SIGKILL)
    assert deployed.holds(new, *PAIR)
    # a run that cannot do more undoes it at least, and tells the service, which may have read it
    (deployed.base / "new" / "key.pem").rename(deployed.base / "away")
    deployed.refused("web", "--from", deployed.base / "new", "--reload", f"touch {deployed.base}/told")
    assert (deployed.base / "told").exists()
    assert deployed.holds(old, *PAIR) and not [name for name in deployed.seen() if name.startswith(".")]
    (deployed.base / "away").rename(deployed.base / "new" / "key.pem")
    deployed.cactl(*words, expect=-signal.SIGKILL)
    text = deployed.install("web", "--from", deployed.base / "new").stdout
    assert "was cut off was undone" in text and deployed.holds(new, *PAIR)
    assert len(deployed.backups()) == 2


def test_what_was_changed_by_hand_after_a_crash_is_left(deployed, new, old, ca):
    third = Credential(ca, "hand.lan")
    deployed.cactl("install", "web", "--from", deployed.base / "new", "--check", 'sh -c "kill -9 $PPID"', expect=-signal.SIGKILL)
    (deployed.out / "key").write_text(third.parts["key"])
    deployed.refused("web", "--from", deployed.base / "nowhere")
    assert deployed.holds(old, "fullchain") and deployed.holds(third, "key")


@pytest.mark.parametrize("call", ["renameat2", "fsync", "unlinkat", "openat"])
def test_killed_anywhere_old_or_new_is_there_after_the_next_run(place, old, new, call):
    """SIGKILL at the n-th call of each kind that changes something, until it gets through."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    # of those there are many: one in a few is enough, the others are few
    first, step = (60, 9) if call == "openat" else (1, 1)
    old.store(place.base / "old")
    new.store(place.base / "new")
    place.install("web", "--from", place.base / "old", *place.to(*PAIR))
    for n in range(first, 400, step):
        done = subprocess.run(["strace", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={n}", CACTL,
                               "deploy", "install", "web", "--from", place.base / "new"], env=environment(**place.env),
                              capture_output=True, text=True, timeout=LIMIT_S, cwd=place.base)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        pair = {place.holds(c, *PAIR) for c in (old, new)}
        journal = list((place.state / "backups" / "web").glob("*/unfinished"))
        assert True in pair or journal, f"{call} {n}: a mixture, and nothing that knows of it"
        place.install("web", "--from", place.base / "old")
        assert place.holds(old, *PAIR), f"{call} {n}"
        assert not [name for name in place.seen() if name.startswith(".")], f"{call} {n}"
    assert done.returncode == 0 and n > first, "it was never killed"
    place.install("web", "--from", place.base / "new")
    assert place.holds(new, *PAIR)


def test_of_two_at_once_one_waits_for_another_time(deployed, new):
    slow = subprocess.Popen([CACTL, "deploy", "install", "web", "--from", deployed.base / "new", "--check", "sleep 1.5"],
                            env=environment(**deployed.env), stdout=subprocess.DEVNULL)
    try:
        limit = time.monotonic() + LIMIT_S
        while not list((deployed.state / "backups" / "web").glob("*/unfinished")):
            assert time.monotonic() < limit and slow.poll() is None
            time.sleep(0.01)
        text = deployed.refused("web", "--from", deployed.base / "old")
        assert f"already in use by process {slow.pid}" in text
        assert slow.wait(LIMIT_S) == DONE and deployed.holds(new, *PAIR)
    finally:
        slow.kill()
        slow.wait(10)


# ---- backups ---------------------------------------------------------------------------------------

def test_any_backup_can_be_brought_back_and_that_can_be_taken_back(place, ca, new):
    several = [Credential(ca, f"n{i}.lan") for i in range(3)]
    for i, c in enumerate(several):
        place.install("web", "--from", c.store(place.base / f"src{i}"), *place.to(*PAIR))
    rows = place.backups()
    assert [row.get("certificate", {}).get("names") for row in rows] == ["n1.lan", "n0.lan", None]
    table = place.cactl("backups").stdout
    assert "nothing was there" in table and "n0.lan" in table and rows[1]["id"] in table
    assert "nothing was replaced for wbe" in place.cactl("backups", "wbe").stderr
    place.cactl("restore", "web", rows[1]["id"])
    assert place.holds(several[0], *PAIR)
    place.cactl("restore", "web")
    assert place.holds(several[2], *PAIR), "the newest backup is of what the restore replaced"
    assert re.search("key removed; ", place.cactl("restore", "web", rows[2]["id"]).stdout)
    assert not list(place.out.iterdir()), "nothing was there"
    assert "up to date" in place.cactl("restore", "web", rows[2]["id"]).stdout
    place.cactl("restore", "web")
    assert place.holds(several[2], *PAIR)
    assert {row["reason"] for row in place.backups()} == {"install", "restore"}
    assert "there is no backup 2020-x" in place.cactl("restore", "web", "2020-x", expect=REFUSED).stderr
    assert "there is no backup" in place.cactl("restore", "web", "../../x", expect=REFUSED).stderr
    assert "there is no backup of it" in place.cactl("restore", "other", expect=REFUSED).stderr
    # keys are in there
    for path in place.state.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_backup_that_is_damaged_is_not_put_in_place(deployed, old, new):
    deployed.install("web", "--from", deployed.base / "new")
    folder = deployed.state / "backups" / "web" / deployed.backups()[0]["id"]
    kept = (folder / "1").read_bytes()
    for damage in (lambda: (folder / "1").write_bytes(kept[:-1] + b"!"), lambda: (folder / "1").unlink(),
                   lambda: (folder / "manifest.json").write_text("{"), lambda: (folder / "manifest.json").write_text("{}"),
                   lambda: (folder / "manifest.json").write_text('{"files": [{"path": "x"}]}')):
        damage()
        assert "is damaged" in deployed.cactl("restore", "web", folder.name, expect=REFUSED).stderr
        assert deployed.holds(new, *PAIR)


def test_backups_are_bounded_and_the_oldest_go(deployed):
    folder = deployed.state / "backups" / "web"
    made = deployed.backups()[0]["id"]
    for day in range(1, 25):
        shutil.copytree(folder / made, folder / f"2020-01-{day:02}T00-00-00Z-1")
    shutil.copytree(folder / made, folder / "2019-01-01T00-00-00Z-1.part")
    deployed.install("web", "--from", deployed.base / "new")
    rows = [row["id"] for row in deployed.backups()]
    assert len(rows) == 20 and rows[1] == made and rows[2] == "2020-01-24T00-00-00Z-1" and rows[-1] == "2020-01-07T00-00-00Z-1"
    assert not list(folder.glob("*.part"))


# ---- files of targets ------------------------------------------------------------------------------

CONFS = {
    "a key that is not known": ("[Target]\nKeyy=/x\n", r"web.conf:2: there is no setting Keyy= in [Target]"),
    "a section that is not known": ("[Targets]\nKey=/x\n", "web.conf:2: there is no section [Targets]"),
    "no setting": ("[Target]\nhello\n", "web.conf:2: this line is neither"),
    "a service that is not known": ("[Target]\nService=iis\n", "Service=iis is not known: nginx, apache"),
    "a relative path": ("[Target]\nKey=x\n", "Key=x: the absolute path"),
    "a path upwards": ("[Target]\nKey=/x/../y\n", "the absolute path of a file is wanted, without '..'"),
    "one path twice": ("[Target]\nKey=/x\nFullChain=/x\n", "are the same file /x: key and certificate in one is Combined="),
    "a mode for all": ("[Target]\nMode=0644\n", "Mode=0644 would let everybody use the private key"),
    "no mode": ("[Target]\nMode=rw\n", "Mode=rw: octal digits"),
    "a timeout without end": ("[Target]\nTimeout=1d\n", "web.conf:2: Timeout=: 1s to 600s"),
    "two sources": ("[Target]\nSource=/x\nSourceKey=/y\n", "the certificate comes from one of them"),
}


@pytest.mark.parametrize("why", CONFS)
def test_a_file_that_is_wrong_is_said_to_be_with_its_line(place, why):
    content, said = CONFS[why]
    folder = place.conf / "deploy.d"
    folder.mkdir(parents=True)
    (folder / "web.conf").write_text(content)
    text = place.refused("web")
    assert said in text, text
    place.cactl("list", expect=REFUSED)


def test_all_targets_are_done_though_one_fails(place, old, new):
    old.store(place.base / "src")
    for name in "abc":
        place.install(name, "--from", place.base / "src", "--to-cert", place.out / f"cert-{name}")
    new.store(place.base / "src")
    (place.out / "cert-b").unlink()
    (place.out / "cert-b").mkdir()
    done = place.install(expect=REFUSED)
    assert "cert-b is not a regular file" in done.stderr and done.stderr.count("cactl:") == 1
    for name in "ac":
        assert (place.out / f"cert-{name}").read_text() == new.parts["cert"]
    rows = {row["target"]: row["up_to_date"] for row in json.loads(place.cactl("list", "--json").stdout)}
    assert rows == {"a": True, "b": False, "c": True}


def test_what_a_person_may_get_wrong_on_the_command_line(place):
    for words, code, said in [
        (("x", "y", "--from", "."), USAGE, "options go with one target"),
        (("x/y",), USAGE, "is no name of a target"),
        (("-x",), USAGE, "there is no option"),
        (("x", "--cert", "-", "--to-key", "/x"), USAGE, "standard input cannot be read again"),
        (("x", "--from", "."), USAGE, "where to? 'x' is no service that is known (nginx,"),
        (("x", "--timeout", "0"), USAGE, "--timeout 0"),
        (("x", "--to-key", "/" + "x" * 300, "--from", "."), REFUSED, "x: "),
    ]:
        done = place.install(*words, expect=code)
        assert said in done.stderr, done.stderr
    assert "there is no target" in place.cactl("list").stderr
    assert "nothing to deploy" in place.install().stderr
    assert json.loads(place.install("--json").stdout) == []


def test_json_says_what_was_done(place, new):
    words = ["web", "--from", new.store(place.base / "src"), *place.to(*PAIR), "--json"]
    first, second = (json.loads(place.install(*words).stdout)[0] for _ in range(2))
    assert first == {"target": "web", "changed": True, "recovered": False, "files": [str(place.out / part) for part in PAIR],
                     "reload": "none", "backup": place.backups()[0]["id"]}
    assert second == {"target": "web", "changed": False, "recovered": False, "files": [], "reload": "none"}


def test_a_user_who_may_not_write_there_is_told_how(new):
    if os.geteuid():
        pytest.skip("only root can become somebody else")
    with open_folder() as base:
        place = Place(base)
        new.store(base / "src")
        (base / "src" / "key.pem").chmod(0o644)
        (base / "not-mine").mkdir(mode=0o755)
        place.env["CACTL_STATE_DIR"] = str(base / "not-mine")
        done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", CACTL, "deploy", "install", "web", "--from",
                               base / "src", *place.to(*PAIR)], env=environment(**place.env), capture_output=True, text=True, timeout=LIMIT_S)
        assert done.returncode == REFUSED and "as root, or with a folder of your own in $CACTL_STATE_DIR" in done.stderr, done.stderr


# ---- services that are known -----------------------------------------------------------------------

# What their configurations look like, and which files that means: %c, %k, %a, %b stand for files in the place.
SERVICES = {
    "nginx": ("server { listen 443 ssl; # ssl_certificate /no;\n ssl_certificate_key  %k;ssl_certificate %c; }\n", {"c": "fullchain", "k": "key"}),
    "apache": ("SSLEngine on\n  SSLCertificateFile \"%c\"\n SSLCertificateKeyFile %k\n", {"c": "fullchain", "k": "key"}),
    "apache with a chain file": ("SSLCertificateFile %c\nSSLCertificateKeyFile %k\nSSLCertificateChainFile %a\n",
                                 {"c": "cert", "k": "key", "a": "chain"}),
    "haproxy": ("frontend f\n bind :443 ssl crt %b alpn h2\n", {"b": "combined"}),
    "lighttpd": ("ssl.engine = \"enable\"\nssl.pemfile = \"%b\"\n", {"b": "combined"}),
    "lighttpd with a key file": ("ssl.pemfile = \"%c\"\nssl.privkey=\"%k\"\n", {"c": "fullchain", "k": "key"}),
    "nats": ("tls {\n  cert_file: \"%c\"\n  key_file: '%k'\n ca_file: /x\n}\n", {"c": "fullchain", "k": "key"}),
    "nats on one line": ("tls: { cert_file: \"%c\", key_file: \"%k\" }\n", {"c": "fullchain", "k": "key"}),
    "mosquitto": ("listener 8883\ncertfile %c\nkeyfile %k\n#certfile /no\n", {"c": "fullchain", "k": "key"}),
    "postgresql": ("ssl = on\nssl_cert_file = '%c'\t# comment\nssl_key_file = '%k'\n", {"c": "fullchain", "k": "key"}),
    "postfix": ("smtpd_tls_cert_file=%c\nsmtpd_tls_key_file = %k\n", {"c": "fullchain", "k": "key"}),
    "dovecot": ("ssl = yes\nssl_cert = <%c\nssl_key = <%k\n", {"c": "fullchain", "k": "key"}),
    "nginx with both in one file": ("ssl_certificate %b;\nssl_certificate_key %b;\n", {"b": "combined"}),
}


@pytest.mark.parametrize("label", SERVICES)
def test_files_go_where_the_configuration_of_the_service_says(place, new, label):
    text, wanted = SERVICES[label]
    for letter, part in wanted.items():
        text = text.replace(f"%{letter}", str(place.out / part))
    (place.base / "service.conf").write_text(text)
    service = label.split()[0]
    place.install("web", "--service", service, "--config", place.base / "service.conf", "--check", "no", "--reload", "no", "--owner", "root",
                  "--group", "root", "--from", new.store(place.base / "src"))
    assert place.holds(new, *wanted.values()) and set(os.listdir(place.out)) == set(wanted.values())
    # and the root besides, where that is asked for
    place.install("web", "--to-root", place.out / "root")
    assert place.holds(new, *wanted.values(), "root")


@pytest.mark.parametrize("text, said", [
    ("ssl_certificate /a/x;\nssl_certificate /a/y;\n", "names several certificates (/a/x, /a/y)"),
    ("ssl_certificate cert.pem;\n", "names 'cert.pem', which is no absolute path"),
    ("ssl_certificate $dir/x;\n", "which is no absolute path"),
])
def test_a_configuration_that_leaves_it_open_is_not_guessed_at(place, new, text, said):
    (place.base / "service.conf").write_text(text)
    assert said in place.refused("nginx", "--config", place.base / "service.conf", "--from", new.store(place.base / "src"))


def test_the_snakeoil_of_all_services_is_not_replaced_in_passing(place, old, new):
    snakeoil = [place.out / f"ssl-cert-snakeoil.{end}" for end in ("pem", "key")]
    for path, part in zip(snakeoil, PAIR):
        path.write_text(old.parts[part])
    (place.base / "service.conf").write_text("ssl_certificate {}; ssl_certificate_key {};\n".format(*snakeoil))
    etc = pathlib.Path("/etc/nginx")
    if not etc.exists():
        pytest.skip("there is no /etc/nginx")
    before = place.seen()

    def scene():        # an /etc/nginx of its own
        subprocess.run(["mount", "-t", "tmpfs", "none", etc], check=True)
        told = place.install("nginx", "--config", place.base / "service.conf", "--check", "no", "--reload", "no", "--from",
                             new.store(place.base / "src"))
        assert (etc / "cad" / "fullchain.pem").read_text() == new.parts["fullchain"] and place.seen() == before
        assert "has to be told of them" in told.stderr
    apart(CLONE_NEWNS, scene)


# ---- what enrolling and renewing call ---------------------------------------------------------------

def test_a_renewed_folder_is_brought_to_all_its_targets_and_to_no_other(place, old, new):
    def call(*words, expect=DONE):
        done = subprocess.run([cadtest.BUILD / "tests" / "deploy-calls", *words], env=environment(**place.env), capture_output=True,
                              text=True, timeout=LIMIT_S, cwd=place.base)
        assert done.returncode == expect and not done.stdout and "asked for" not in done.stderr, done.stderr
        return done.stderr
    mine, others = (old.store(place.base / name) for name in ("mine", "others"))
    assert call("folder", mine) == ""
    for name, source in (("a", mine), ("b", others), ("c", mine)):
        place.install(name, "--from", source, "--to-cert", place.out / name)
    for folder in (mine, others):
        new.store(folder)
    (place.base / "link").symlink_to(mine)
    text = call("folder", place.base / "link")
    assert [(place.out / name).read_text() == new.parts["cert"] for name in "abc"] == [True, False, True]
    assert "a: " in text and "c: " in text and "b: " not in text
    assert call("folder", mine).count("up to date") == 2
    # one that fails keeps none of the others from theirs, and is told of
    old.store(mine)
    (place.out / "a").unlink()
    (place.out / "a").mkdir()
    assert "is not a regular file" in call("folder", mine, expect=REFUSED)
    assert (place.out / "c").read_text() == old.parts["cert"]
    # another folder for a target that has one: what is said of it else stays
    call("add", "b", mine)
    assert (place.out / "b").read_text() == old.parts["cert"] and place.state_of("b")["source"] == str(mine)
    assert "where to? 'd' is no service" in call("add", "d", mine, expect=USAGE)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another group")
def test_commands_that_others_may_write_are_not_run(deployed):
    folder = deployed.conf / "deploy.d"
    for path, mode in ((folder / "web.conf", 0o664), (folder, 0o775), (folder, 0o757)):
        kept = stat.S_IMODE(path.stat().st_mode)
        os.chown(path, 0, 1234)
        path.chmod(mode)
        assert f"chmod go-w {path}\n" in deployed.refused("web", "--from", deployed.base / "new")
        path.chmod(kept)
    deployed.install("web", "--from", deployed.base / "new")
