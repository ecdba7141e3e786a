"""`cactl cert export`: each form taken by the program that it is for, and nothing written that does not belong together."""

import base64
import hashlib
import json
import os
import pathlib
import re
import shutil
import stat
import subprocess

import cadtest
import certs
import https
import pytest
import test_cactl
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat,
                                                          load_der_private_key, load_pem_private_key, pkcs7, pkcs12)

CACTL = cadtest.BUILD / "client" / "cactl"
FORMATS = ["pem", "chain", "fullchain", "der", "pkcs7", "pkcs7-pem", "pkcs12", "c-array", "pins"]


@pytest.fixture(scope="module")
def ca():
    with cadtest.Daemon() as daemon:
        cactl(daemon, "issue", "widget-7.lan", "192.168.1.7", "--out", daemon.base)
        yield daemon


@pytest.fixture
def folder(ca, tmp_path):
    """The certificate and its key in a folder of one's own."""
    for name in ("widget-7.lan.pem", "widget-7.lan-key.pem"):
        shutil.copy(ca.base / name, tmp_path / name)
    return tmp_path


def cactl(ca, *args, status=0, cwd=None, text=True):
    done = subprocess.run([CACTL, "--socket", ca.socket, *args], capture_output=True, timeout=60, cwd=cwd,
                          stdin=subprocess.DEVNULL, env=cadtest.environment())
    assert done.returncode == status, f"{args}: {done.returncode}\n{done.stdout}{done.stderr.decode()}"
    if status:
        return done.stderr.decode()
    return done.stdout.decode() if text else done.stdout


def export(ca, *args, status=0, cwd=None, text=True):
    return cactl(ca, "cert", "export", *args, status=status, cwd=cwd, text=text)


def leaf_of(ca):
    return x509.load_pem_x509_certificate((ca.base / "widget-7.lan.pem").read_bytes())


def serial_of(ca):
    return format(leaf_of(ca).serial_number, "x").zfill(2)


def issuers(ca):
    """The intermediate and the root."""
    bundle = certs.of_pem(ca.get("/v1/ca/bundle.pem").body)
    return next(one for one in bundle if one.subject == leaf_of(ca).issuer), bundle[0]


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def tool(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, **more)
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


# -- The forms -----------------------------------------------------------------------------------

@pytest.mark.parametrize("source", ["serial", "file", "leaf alone"])
def test_pem_forms_hold_what_they_say(ca, folder, source):
    leaf, (intermediate, root) = leaf_of(ca), issuers(ca)
    what = {"serial": serial_of(ca), "file": "widget-7.lan.pem", "leaf alone": "leaf.pem"}[source]
    (folder / "leaf.pem").write_bytes(leaf.public_bytes(Encoding.PEM))
    for words, wanted in [((), [leaf]), (("--format", "chain"), [intermediate]), (("--format", "fullchain"), [leaf, intermediate]),
                          (("--format", "fullchain", "--with-root"), [leaf, intermediate, root]),
                          (("--format", "chain", "--with-root"), [intermediate, root])]:
        text = export(ca, what, *words, cwd=folder)
        assert certs.of_pem(text.encode()) == wanted, words
    assert x509.load_der_x509_certificate(export(ca, what, "--format", "der", cwd=folder, text=False)) == leaf


def test_a_key_goes_along_only_when_asked_for(ca, folder):
    key = ("--key", "widget-7.lan-key.pem")
    for form in FORMATS:
        words = [serial_of(ca), "--format", form]
        if form == "pkcs12":
            assert "--key" in export(ca, *words, status=2, cwd=folder)
            continue
        export(ca, *words, "--out", f"none-{form}", cwd=folder)
        for path in folder.glob(f"none-{form}*"):
            assert b"PRIVATE KEY" not in path.read_bytes() and b"_key[" not in path.read_bytes()
            assert mode(path) == 0o644
        if form in ("chain", "der", "pkcs7", "pkcs7-pem", "pins"):
            export(ca, *words, *key, status=2, cwd=folder)
    done = export(ca, serial_of(ca), "--format", "fullchain", *key, "--out", "haproxy.pem", cwd=folder)
    assert mode(folder / "haproxy.pem") == 0o600
    pem = (folder / "haproxy.pem").read_bytes()
    assert certs.spki(load_pem_private_key(pem[pem.index(b"-----BEGIN PRIVATE"):], None)) == certs.spki(leaf_of(ca))
    assert done == ""


def test_pkcs7_opens_everywhere(ca, folder):
    export(ca, serial_of(ca), "--format", "pkcs7", "--out", "x.p7b", cwd=folder)
    pem = export(ca, serial_of(ca), "--format", "pkcs7-pem")
    wanted = {leaf_of(ca), *issuers(ca)}
    assert set(pkcs7.load_der_pkcs7_certificates((folder / "x.p7b").read_bytes())) == wanted
    assert set(pkcs7.load_pem_pkcs7_certificates(pem.encode())) == wanted
    shown = tool("openssl", "pkcs7", "-inform", "DER", "-in", folder / "x.p7b", "-print_certs", "-noout")
    assert shown.count("subject=") == 3
    if shutil.which("keytool"):
        assert tool("keytool", "-printcert", "-file", folder / "x.p7b").count("Serial number") == 3


@pytest.mark.parametrize("words", [(), ("--p12-legacy",)], ids=["aes", "legacy"])
def test_pkcs12_opens_in_openssl_java_and_nss(ca, folder, words, password="secret 1"):
    (folder / "pw").write_text(f"{password}\r\n")
    export(ca, "widget-7.lan.pem", "--format", "pkcs12", "--key", "widget-7.lan-key.pem", "--out", "w.p12", "--name", "Widget 7",
           "--p12-password-file", "pw", *words, cwd=folder)
    path = folder / "w.p12"
    assert mode(path) == 0o600
    found = pkcs12.load_pkcs12(path.read_bytes(), password.encode())
    assert found.cert.friendly_name == b"Widget 7" and found.cert.certificate == leaf_of(ca)
    assert certs.spki(found.key) == certs.spki(leaf_of(ca))
    assert {one.certificate for one in found.additional_certs} == set(issuers(ca)), "chain and root are in it"
    (folder / "utf8").write_text(f"{password}\n")
    done = subprocess.run(["openssl", "pkcs12", "-in", path, "-passin", f"file:{folder / 'utf8'}", "-nodes", "-info",
                           *(["-legacy"] if words else [])], capture_output=True, text=True, timeout=60)
    key_ids = re.findall(r"localKeyID: ([0-9A-F ]+)", done.stdout)
    assert len(key_ids) == 2 and key_ids[0] == key_ids[1]
    # the algorithms of today, or those of then
    cipher, mac = ("pbeWithSHA1And3-KeyTripleDES-CBC", "sha1") if words else ("AES-256-CBC, Iteration [0-9]+, PRF hmacWithSHA256", "sha256")
    assert len(re.findall(cipher, done.stderr)) == 2 and f"MAC: {mac}" in done.stderr, done.stderr
    if shutil.which("keytool"):
        listed = tool("keytool", "-list", "-v", "-keystore", path, "-storetype", "PKCS12", "-storepass:file", folder / "utf8",
                      "-J-Dfile.encoding=UTF-8", env={**os.environ, "LC_ALL": "C.UTF-8"})
        assert "PrivateKeyEntry" in listed and "chain length: 3" in listed and "widget 7" in listed.lower()
    if shutil.which("pk12util") and not words:      # it takes its time
        (folder / "none").write_text("\n")
        tool("certutil", "-N", "-d", f"sql:{folder}", "-f", folder / "none")
        tool("pk12util", "-i", path, "-d", f"sql:{folder}", "-w", folder / "utf8", "-k", folder / "none")
        assert "Widget 7" in tool("certutil", "-L", "-d", f"sql:{folder}")
        assert "Widget 7" in tool("certutil", "-K", "-d", f"sql:{folder}", "-f", folder / "none")


def test_a_password_that_java_cannot_take_is_said_and_opens_elsewhere(ca, folder):
    (folder / "pw").write_text("sécret")
    done = subprocess.run([CACTL, "--socket", ca.socket, "cert", "export", "widget-7.lan.pem", "--format", "pkcs12", "--key",
                           "widget-7.lan-key.pem", "--out", "w.p12", "--p12-password-file", "pw"], capture_output=True, text=True,
                          timeout=60, cwd=folder, env=cadtest.environment())
    assert done.returncode == 0 and "Java" in done.stderr
    assert pkcs12.load_pkcs12((folder / "w.p12").read_bytes(), "sécret".encode()).cert.certificate == leaf_of(ca)


def test_a_password_that_was_made_is_told_once(ca, folder):
    done = subprocess.run([CACTL, "--socket", ca.socket, "--quiet", "cert", "export", serial_of(ca), "--format", "pkcs12", "--key",
                           "widget-7.lan-key.pem", "--out", "w.p12"], capture_output=True, text=True, timeout=60, cwd=folder,
                          env=cadtest.environment())
    password = re.search(r"password of the PKCS#12 file: (\S+)", done.stderr).group(1)
    assert pkcs12.load_pkcs12((folder / "w.p12").read_bytes(), password.encode()).cert.certificate == leaf_of(ca)


def test_pins_are_those_that_programs_compute(ca, folder):
    spki = certs.spki(leaf_of(ca))
    pins = json.loads(cactl(ca, "--json", "cert", "export", "widget-7.lan.pem", "--format", "pins", cwd=folder))
    assert pins == {"spki_sha256": hashlib.sha256(spki).hexdigest(),
                    "spki_sha256_base64": base64.b64encode(hashlib.sha256(spki).digest()).decode(),
                    "certificate_sha256": leaf_of(ca).fingerprint(hashes.SHA256()).hex()}
    text = export(ca, "widget-7.lan.pem", "--format", "pins", cwd=folder)
    assert f"sha256//{pins['spki_sha256_base64']}" in text and f'pinned_certs: [ "{pins["spki_sha256"]}" ]' in text


# -- C -------------------------------------------------------------------------------------------

MAIN = """
#include <stdio.h>
#include <string.h>
#include "%(file)s.h"
#include "%(file)s.h"
int main(void) {
        fwrite(%(prefix)s_certificate, 1, sizeof(%(prefix)s_certificate), stdout);
        fwrite(%(prefix)s_chain, 1, %(upper)s_CHAIN_SIZE, stdout);
        fwrite(%(prefix)s_root, 1, sizeof %(prefix)s_root, stdout);
        %(key)s
        return sizeof(%(prefix)s_root) == %(upper)s_ROOT_SIZE ? 0 : 1;
}
"""
STRICT = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wmissing-declarations"]


COMPILERS = [["gcc", "-std=c99"], ["g++", "-std=c++98"], ["gcc", "-std=c89", "-Wno-long-long"], ["g++", "-std=c++20"],
             ["clang", "-std=c17", "-Weverything", "-Wno-unsafe-buffer-usage", "-Wno-unknown-warning-option"]]


@pytest.mark.parametrize("form,compiler", [("der", one) for one in COMPILERS] + [("pem", one) for one in COMPILERS[:2]],
                         ids=lambda value: value if isinstance(value, str) else "-".join(value[:2]))
def test_a_c_array_compiles_without_a_warning_and_is_the_certificate(ca, folder, form, compiler):
    if not shutil.which(compiler[0]):
        pytest.skip(f"no {compiler[0]}")
    words = ["--key", "widget-7.lan-key.pem"] + (["--c-pem"] if form == "pem" else [])
    export(ca, "widget-7.lan.pem", "--format", "c-array", *words, "--out", "out/wid-get.c", cwd=folder)
    source, header = folder / "out" / "wid-get.c", folder / "out" / "wid-get.h"
    assert (mode(source), mode(header)) == (0o600, 0o644)
    main = folder / "out" / ("main.cc" if compiler[0] == "g++" else "main.c")
    main.write_text(MAIN % {"file": "wid-get", "prefix": "wid_get", "upper": "WID_GET",
                            "key": "fwrite(wid_get_key, 1, sizeof(wid_get_key), stdout);"})
    # the array itself is compiled as C++ too
    language = ["-x", "c++"] if compiler[0] == "g++" else []
    tool(*compiler, *STRICT, "-o", "program", *language, source, main, cwd=folder / "out")
    out = subprocess.run([folder / "out" / "program"], capture_output=True, timeout=20, check=True).stdout
    leaf, (intermediate, root) = leaf_of(ca), issuers(ca)
    if form == "der":
        certificates = b"".join(one.public_bytes(Encoding.DER) for one in (leaf, intermediate, root))
        assert out.startswith(certificates)
        assert certs.spki(load_der_private_key(out[len(certificates):], None)) == certs.spki(leaf)
    else:
        parts = out.split(b"\0")
        assert len(parts) == 5 and parts[4] == b""
        assert [x509.load_pem_x509_certificate(part) for part in parts[:3]] == [leaf, intermediate, root]
        assert certs.spki(load_pem_private_key(parts[3], None)) == certs.spki(leaf)


def test_c_names_are_what_c_allows(ca, folder):
    for out, prefix in [("7up", "device_7up"), ("__a--b__", "a_b"), ("ü.lan.h", "lan"), ("-", None)]:
        if prefix is None:
            assert "--out" in export(ca, serial_of(ca), "--format", "c-array", "--out", out, status=2, cwd=folder)
            continue
        export(ca, serial_of(ca), "--format", "c-array", "--out", out, cwd=folder)
        name = out.removesuffix(".h")
        assert f"const unsigned char {prefix}_certificate[" in (folder / f"{name}.c").read_text()
    export(ca, serial_of(ca), "--format", "c-array", "--out", "n", "--name", "My_Device", cwd=folder)
    assert "MY_DEVICE_ROOT_SIZE" in (folder / "n.h").read_text()
    for bad in ("", "7x", "a b", "_x", "a__b", "a;", "ä"):
        export(ca, serial_of(ca), "--format", "c-array", "--out", "bad", "--name", bad, status=2, cwd=folder)
    assert not list(folder.glob("bad*"))


def test_no_name_of_a_certificate_ends_the_comment_that_it_is_in(ca, folder):
    other, key = test_cactl.Ca(), ec.generate_private_key(ec.SECP256R1())
    names = [x509.UniformResourceIdentifier("https://a.lan/*/evil"), x509.DNSName("b.lan")]
    leaf = other.sign(key.public_key(), x509.Name([]), names)
    (folder / "odd.pem").write_text(test_cactl.pem(leaf, other.intermediate, other.root))
    export(ca, "odd.pem", "--format", "c-array", "--out", "odd", cwd=folder)
    for end in ("c", "h"):
        text = (folder / f"odd.{end}").read_text()
        assert "evil" in text and "*/evil" not in text


# -- What does not belong together ---------------------------------------------------------------

def test_what_does_not_belong_together_is_refused_and_writes_nothing(ca, folder):
    key = ec.generate_private_key(ec.SECP256R1())
    (folder / "other.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")))
    (folder / "plain.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    said = export(ca, "widget-7.lan.pem", "--format", "fullchain", "--key", "plain.pem", "--out", "x", status=1, cwd=folder)
    assert "does not fit" in said
    export(ca, "widget-7.lan.pem", "--key", "other.pem", "--out", "x", status=1, cwd=folder)
    said = export(ca, "widget-7.lan-key.pem", status=1, cwd=folder)
    assert "private key" in said
    assert "status" not in export(ca, "ff" * 10, status=1, cwd=folder)
    export(ca, "nothing.pem", status=1, cwd=folder)
    export(ca, serial_of(ca), "--format", "jks", status=2, cwd=folder)
    export(ca, serial_of(ca), "--p12-password-file", "plain.pem", status=2, cwd=folder)
    assert not (folder / "x").exists()


def test_a_chain_that_only_has_the_right_names_is_refused(ca, folder):
    root, root_key = https.make(None, None, "Root", is_ca=True, eku=())
    named, named_key = https.make(root.subject, root_key, "Int", is_ca=True, eku=())
    leaf, _ = https.make(named.subject, ec.generate_private_key(ec.SECP256R1()), "leaf")      # nobody's of these
    (folder / "all.pem").write_text("".join(map(https.pem, (leaf, named, root))))
    for form in ("fullchain", "pkcs7", "chain"):
        words = ["--with-root"] if form == "fullchain" else []
        assert "do not belong together" in export(ca, "all.pem", "--format", form, *words, "--out", "x", status=1, cwd=folder)
    assert not (folder / "x").exists()


def test_another_cas_certificate_has_no_chain_here(ca, folder):
    tool("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=foreign",
         "-keyout", folder / "f-key.pem", "-out", folder / "f.pem")
    assert json.loads(cactl(ca, "--json", "cert", "export", "f.pem", "--format", "pins", cwd=folder))["spki_sha256"]
    for form in ("chain", "pkcs7"):
        assert "not issued by the CA" in export(ca, "f.pem", "--format", form, status=1, cwd=folder)


def test_files_that_are_there_stay(ca, folder):
    for name in ("a", "b.h"):
        (folder / name).write_text("mine")
    for words in (["--out", "a"], ["--format", "c-array", "--out", "b"]):
        assert "--force" in export(ca, serial_of(ca), *words, status=1, cwd=folder)
    assert (folder / "a").read_text() == (folder / "b.h").read_text() == "mine" and not (folder / "b.c").exists()
    os.symlink("a", folder / "link")
    export(ca, serial_of(ca), "--out", "link", "--force", status=1, cwd=folder)
    export(ca, serial_of(ca), "--out", "a", "--force", cwd=folder)
    assert x509.load_pem_x509_certificate((folder / "a").read_bytes()) == leaf_of(ca)
    told = json.loads(cactl(ca, "--json", "cert", "export", serial_of(ca), "--format", "c-array", "--out", "sub/c", cwd=folder))
    assert told == {"format": "c-array", "files": ["sub/c.c", "sub/c.h"], "key": False}


def test_a_full_disk_leaves_nothing(ca, folder):
    done = subprocess.run(f"ulimit -f 1; trap '' XFSZ; exec {CACTL} --socket {ca.socket} cert export {serial_of(ca)} --format c-array "
                          "--out big", shell=True, executable="/bin/bash", capture_output=True, text=True, timeout=30, cwd=folder,
                          env=cadtest.environment())
    assert done.returncode == 1 and "cannot write" in done.stderr, done.stderr
    assert not [path for path in folder.iterdir() if path.name.startswith(("big", ".big"))]


def test_it_needs_no_ca_where_the_file_has_all(ca, folder):
    whole = folder / "whole.pem"
    whole.write_text(export(ca, serial_of(ca), "--format", "fullchain", "--with-root"))
    away = pathlib.Path("/nonexistent.sock")
    for form in ("pem", "chain", "fullchain", "der", "pkcs7", "pins"):
        done = subprocess.run([CACTL, "--socket", away, "cert", "export", whole, "--format", form], capture_output=True, timeout=30,
                              env=cadtest.environment())
        assert done.returncode == 0 and done.stdout, (form, done.stderr)
