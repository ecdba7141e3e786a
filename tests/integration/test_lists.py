"""Hundreds of devices in one command: `cactl issue --list` and `cactl cert sign --csr-list`."""

import json
import os
import pathlib
import pty
import re
import signal
import subprocess
import time

import cadtest
import certs
import csrs
import https
import pytest
import signertest
import test_cactl
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12

CACTL = cadtest.BUILD / "client" / "cactl"


@pytest.fixture(scope="module")
def ca():
    with cadtest.Daemon() as daemon:
        yield daemon


def start(ca, *args, cwd, **more):
    return subprocess.Popen([CACTL, "--socket", ca.socket, *args], cwd=cwd, stdin=subprocess.DEVNULL, text=True,
                            env=cadtest.environment(), **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more})


def cactl(ca, *args, cwd, status=0):
    process = start(ca, *args, cwd=cwd)
    out, err = process.communicate(timeout=120)
    assert process.returncode == status, f"{args}: {process.returncode}\n{out}{err}"
    return out, err


def names_of(path):
    san = x509.load_pem_x509_certificate(path.read_bytes()).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in san]


def fits(folder, base):
    key = load_pem_private_key((folder / f"{base}-key.pem").read_bytes(), None)
    return certs.spki(key) == certs.spki(x509.load_pem_x509_certificate((folder / f"{base}.pem").read_bytes()))


def issued(ca, **filters):
    query = "&".join(f"{key}={value}" for key, value in {"limit": 500, **filters}.items())
    return ca.get(f"/v1/certificates?{query}").expect(200).json["certificates"]


def test_a_list_as_a_spreadsheet_writes_it(ca, tmp_path):
    (tmp_path / "devices.csv").write_bytes(
        b"\xef\xbb\xbf# our devices\r\n"
        b"a1.lan;192.168.9.1;\r\n"
        b"\r\n;;;\r\n"
        b'"a2.lan, *.a2.lan",192.168.9.2\r\n'
        b"a3.lan\tname=third   # a comment\r\n"
        b"  anna@a.lan\r\n"
        b"a5.lan")
    out, _ = cactl(ca, "issue", "--list", "devices.csv", "--out", "made", "--label", "csv", cwd=tmp_path)
    made = tmp_path / "made"
    assert "5 issued, 0 there already, 0 failed" in out
    assert {path.name for path in made.iterdir()} == {f"{base}{end}" for base in ("a1.lan", "a2.lan", "third", "anna_at_a.lan", "a5.lan")
                                                      for end in (".pem", "-key.pem")} | {"root.pem"}
    assert names_of(made / "a1.lan.pem") == ["a1.lan", "192.168.9.1"]
    assert names_of(made / "a2.lan.pem") == ["a2.lan", "*.a2.lan", "192.168.9.2"]
    assert names_of(made / "third.pem") == ["a3.lan"] and names_of(made / "anna_at_a.lan.pem") == ["anna@a.lan"]
    assert all(fits(made, base) for base in ("a1.lan", "a2.lan", "third", "a5.lan"))
    assert {(made / name).stat().st_mode & 0o777 for name in ("a1.lan-key.pem", "third-key.pem")} == {0o600}
    assert {one["profile"] for one in issued(ca, label="csv")} == {"server", "user"}


def test_bad_lines_are_said_and_stop_nobody_else(ca, tmp_path):
    (tmp_path / "list").write_text("b1.lan\nb2.google.com\nb3.lan b 3\nb4.lan\nb1.lan\nname=x\n" + " ".join(f"n{n}.lan" for n in range(200)) + "\nb5.lan\n")
    out, err = cactl(ca, "issue", "--list", "list", "--label", "bad", cwd=tmp_path, status=1)
    assert "3 issued, 0 there already, 5 failed" in out
    lines = [re.search(r"list:(\d+): ", line).group(1) for line in err.splitlines() if line.startswith("cactl: ")]
    assert lines == ["2", "3", "5", "6", "7"], err
    assert not (tmp_path / "b2.google.com-key.pem").exists(), "a key that nothing was issued for"
    assert "b2.google.com" in err
    out, err = cactl(ca, "issue", "--list", "list", "--stop", "--label", "bad", cwd=tmp_path, status=1)
    assert "0 issued, 1 there already, 1 failed, and not all were tried" in out
    assert len(issued(ca, label="bad")) == 3


def test_what_is_there_and_good_is_skipped_and_the_rest_is_said(ca, tmp_path):
    (tmp_path / "list").write_text("c1.lan\nc2.lan\nc3.lan\nc4.lan\n")
    cactl(ca, "issue", "--list", "list", "--label", "again", cwd=tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    told = json.loads(cactl(ca, "--json", "issue", "--list", "list", "--label", "again", cwd=tmp_path)[0])
    assert (told["issued"], told["skipped"], told["failed"], told["left"]) == (0, 4, 0, 0)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before and len(issued(ca, label="again")) == 4
    # a certificate that was lost comes back, the same one; wrong ones are not replaced unless that is wanted
    (tmp_path / "c1.lan.pem").unlink()
    os.replace(tmp_path / "c2.lan.pem", tmp_path / "c3.lan.pem")
    (tmp_path / "c4.lan.pem").write_text("mine")
    out, err = cactl(ca, "issue", "--list", "list", "--label", "again", cwd=tmp_path, status=1)
    assert "2 issued, 0 there already, 2 failed" in out and "list:3: " in err and "list:4: " in err
    assert (tmp_path / "c1.lan.pem").read_bytes() == before["c1.lan.pem"] and (tmp_path / "c2.lan.pem").read_bytes() == before["c2.lan.pem"]
    assert len(issued(ca, label="again")) == 4, "nothing was issued twice"
    cactl(ca, "issue", "--list", "list", "--label", "again", "--force", cwd=tmp_path)
    assert all(fits(tmp_path, f"c{n}.lan") for n in range(1, 5)) and len(issued(ca, label="again")) == 8


def test_what_is_there_is_taken_for_done_only_where_it_is_what_would_be_made(ca, tmp_path):
    (tmp_path / "list").write_text("".join(f"s{n}.lan\n" for n in range(1, 5)))
    cactl(ca, "issue", "--list", "list", "--label", "still", cwd=tmp_path)
    keys = [load_pem_private_key((tmp_path / f"s{n}.lan-key.pem").read_bytes(), None) for n in range(1, 5)]

    def put(number, pems):
        (tmp_path / f"s{number}.lan.pem").write_text(pems)

    def another(number, *names, **fields):
        made = ca.post("/v1/certificates", {"csr": https.csr_pem(keys[number - 1], *names), **fields}).expect(201).json
        put(number, made["certificate"] + made["chain"])
    os.replace(tmp_path / "s2.lan-key.pem", tmp_path / "s1.lan-key.pem")
    (tmp_path / "s2.lan-key.pem").write_text(https.key_pem(keys[1]))
    (tmp_path / "s2.lan-key.pem").chmod(0o600)
    another(2, "s2.lan", "more.lan")
    other = test_cactl.Ca()
    put(3, test_cactl.pem(other.sign(keys[2].public_key(), x509.Name([]), [x509.DNSName("s3.lan")]), other.intermediate))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    out, err = cactl(ca, "issue", "--list", "list", "--label", "still", cwd=tmp_path, status=1)
    assert "0 issued, 1 there already, 3 failed" in out
    for number, said in enumerate(("it is not for the key in s1.lan-key.pem", "it is for other names", "it is not of this CA"), 1):
        assert re.search(rf"list:{number}: .*{said}", err), err
    (tmp_path / "last").write_text("s4.lan\n")
    later = subprocess.run([CACTL, "--socket", ca.socket, "issue", "--list", "last"], cwd=tmp_path, capture_output=True, text=True, timeout=60,
                           env={**cadtest.environment(), **signertest.faked("+800d")})
    assert later.returncode == 1 and "last:1: s4.lan.pem is there and is not what would be made: it has expired" in later.stderr, later
    (tmp_path / "last").unlink()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    cactl(ca, "issue", "--list", "list", "--label", "still", "--force", cwd=tmp_path)
    assert all(fits(tmp_path, f"s{n}.lan") and names_of(tmp_path / f"s{n}.lan.pem") == [f"s{n}.lan"] for n in range(1, 5))


def test_killed_at_any_moment_nothing_is_issued_twice(ca, tmp_path):
    count = 60
    (tmp_path / "list").write_text("".join(f"k{n}.lan 192.168.20.{n + 1}\n" for n in range(count)))
    for delay in (0.05, 0.12, 0.2, 0.3):
        process = start(ca, "issue", "--list", "list", "--label", "killed", cwd=tmp_path)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=20)
    done = len(issued(ca, label="killed"))
    assert done > 0, "it was killed before it began"
    out, _ = cactl(ca, "issue", "--list", "list", "--label", "killed", cwd=tmp_path)
    assert f"{count - int(re.search('([0-9]+) there already', out).group(1))} issued" in out
    assert len(issued(ca, label="killed")) == count
    assert all(fits(tmp_path, f"k{n}.lan") for n in range(count))
    assert len(list(tmp_path.iterdir())) == 2 * count + 2, "something was left behind"


def test_a_ca_that_goes_away_stops_it_and_the_rest_comes_later(tmp_path):
    with cadtest.Daemon() as ca:
        (tmp_path / "list").write_text("".join(f"g{n}.lan\n" for n in range(120)))
        process = start(ca, "issue", "--list", "list", cwd=tmp_path)
        ca.wait_until(lambda: len(list(tmp_path.glob("*.lan.pem"))) >= 5, 30, "nothing is issued")
        ca.kill()
        out, err = process.communicate(timeout=60)
        assert process.returncode == 3 and "1 failed, and not all were tried" in out, out + err
        ca.start()
        cactl(ca, "issue", "--list", "list", cwd=tmp_path)
        assert len(issued(ca)) == 120 and len(list(tmp_path.glob("*.lan.pem"))) == 120


def test_pkcs12_files_share_one_password(ca, tmp_path):
    (tmp_path / "list").write_text("p1.lan\np2.lan\n")
    _, err = cactl(ca, "--quiet", "issue", "--list", "list", "--p12", "--p12-legacy", cwd=tmp_path)
    password = re.search(r"password of all PKCS#12 files: (\S+)", err).group(1)
    for name in ("p1.lan", "p2.lan"):
        assert pkcs12.load_pkcs12((tmp_path / f"{name}.p12").read_bytes(), password.encode()).key


@pytest.mark.parametrize("content", [b"", b"# nothing\n\r\n;;\n", b"\xff\xfea\x00", b"a.lan\0\n"], ids=["empty", "comments", "UTF-16", "NUL"])
def test_what_is_no_list_is_refused(ca, tmp_path, content):
    (tmp_path / "list").write_bytes(content)
    cactl(ca, "issue", "--list", "list", cwd=tmp_path, status=1)
    assert {path.name for path in tmp_path.iterdir()} <= {"list", "root.pem"}


def test_words_that_do_not_go_together(ca, tmp_path):
    (tmp_path / "list").write_text("a.lan\n")
    for words in (["issue"], ["issue", "a.lan", "--list", "list"], ["issue", "--list", "list", "--name", "x"], ["issue", "a.lan", "--stop"],
                  ["cert", "sign"], ["cert", "sign", "--csr-list", "list"], ["cert", "sign", "x.csr", "--stop"],
                  ["cert", "sign", "x.csr", "--csr-list", "list", "--out", "x"]):
        cactl(ca, *words, cwd=tmp_path, status=2)


def test_progress_is_for_a_terminal_alone(ca, tmp_path):
    (tmp_path / "list").write_text("t1.lan\nt2.google.com\nt3.lan\n")
    ours, theirs = pty.openpty()
    process = start(ca, "issue", "--list", "list", cwd=tmp_path, stderr=theirs)
    os.close(theirs)
    out = process.communicate(timeout=60)[0]
    shown = b""
    try:
        while data := os.read(ours, 65536):
            shown += data
    except OSError:
        pass
    os.close(ours)
    assert b"1/3 t1.lan" in shown and b"3/3 t3.lan" in shown and b"cactl: list:2: " in shown
    assert "2 issued, 0 there already, 1 failed" in out


# -- CSRs ------------------------------------------------------------------------------------------

def folder_of_csrs(path, count):
    path.mkdir()
    for n in range(count):
        data = csrs.csr(names=[csrs.dns(f"{path.name}{n}.lan")])
        (path / f"{n}.csr").write_bytes(csrs.pem(data).encode() if n % 2 else data)


def test_a_folder_of_csrs_is_signed(ca, tmp_path):
    folder_of_csrs(tmp_path / "in", 6)
    (tmp_path / "in" / "notes.txt").write_text("no CSR")
    (tmp_path / "in" / "7.csr").write_text("no CSR either")
    out, err = cactl(ca, "cert", "sign", "--csr-list", "in", "--out", "made", "--label", "folder", cwd=tmp_path, status=1)
    assert "6 issued, 0 there already, 1 failed" in out and "in/7.csr: " in err
    assert {path.name for path in (tmp_path / "made").iterdir()} == {f"{n}.pem" for n in range(6)}
    assert len(certs.of_pem((tmp_path / "made" / "1.pem").read_bytes())) == 2
    assert names_of(tmp_path / "made" / "1.pem") == ["in1.lan"]
    # again: what is there stays; what was lost comes back and is not issued twice
    before = (tmp_path / "made" / "3.pem").read_bytes()
    (tmp_path / "made" / "3.pem").unlink()
    (tmp_path / "made" / "4.pem").write_text("mine")
    out, err = cactl(ca, "cert", "sign", "--csr-list", "in", "--out", "made", "--label", "folder", cwd=tmp_path, status=1)
    assert "1 issued, 4 there already, 2 failed" in out and "in/4.csr: " in err
    assert (tmp_path / "made" / "3.pem").read_bytes() == before and (tmp_path / "made" / "4.pem").read_text() == "mine"
    assert len(issued(ca, label="folder")) == 6


def test_a_csr_is_taken_for_signed_only_by_a_certificate_of_its_key_and_names(ca, tmp_path):
    (tmp_path / "sn").mkdir()
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    for n, key in enumerate(keys):
        (tmp_path / "sn" / f"{n}.csr").write_text(https.csr_pem(key, f"sn{n}.lan"))
    (tmp_path / "made").mkdir()
    for file, key, name in (("0.pem", keys[1], "sn0.lan"), ("1.pem", keys[1], "other.lan")):
        made = ca.post("/v1/certificates", {"csr": https.csr_pem(key, name)}).expect(201).json
        (tmp_path / "made" / file).write_text(made["certificate"] + made["chain"])
    out, err = cactl(ca, "cert", "sign", "--csr-list", "sn", "--out", "made", cwd=tmp_path, status=1)
    assert "0 issued, 0 there already, 2 failed" in out and "it is for another key" in err and "it is for other names" in err


def test_a_list_of_csrs_is_relative_to_where_it_lies(ca, tmp_path):
    folder_of_csrs(tmp_path / "in", 3)
    (tmp_path / "in" / "list").write_text(f"0.csr\r\n# 1.csr\n{tmp_path}/in/2.csr\nnone.csr\n")
    told, err = cactl(ca, "--json", "cert", "sign", "--csr-list", "in/list", "--out", "made", cwd=tmp_path, status=1)
    assert [(one["name"], one["outcome"]) for one in json.loads(told)["devices"]] == [
        ("0.csr", "issued"), (f"{tmp_path}/in/2.csr", "issued"), ("none.csr", "failed")]
    assert "in/list:4: " in err
    assert {path.name for path in (tmp_path / "made").iterdir()} == {"0.pem", "2.pem"}
    assert pathlib.Path(tmp_path / "made" / "0.pem").stat().st_mode & 0o777 == 0o644
