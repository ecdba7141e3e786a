"""CRLs as others read them: OpenSSL and GnuTLS parse what cad-signer makes, for each kind of CA key and each size, find the entries that
were handed in, hold the signature against the CA's certificate, and refuse the leaf that is on the list.
"""

import base64
import ctypes
import ctypes.util
import os
import random
import re
import shutil
import subprocess
import time

import pytest
import signertest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from signertest import Signer, crl_entry, memfd

KEYS = ["ecdsa-p256", "ecdsa-p384", "ed25519", "rsa-3072"]
ISSUERS = ["int-1", "root"]
REASONS = {0: None, 1: "Key Compromise", 2: "CA Compromise", 3: "Affiliation Changed", 4: "Superseded",
           5: "Cessation Of Operation", 6: "Certificate Hold", 9: "Privilege Withdrawn", 10: "AA Compromise"}
RUN_S = 300


def run(*command, check=True):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=RUN_S,
                          stdin=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C", "TZ": "UTC"})
    assert not check or done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout + done.stderr


def need(program):
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")


def made(count):
    """(serial, reason, time) of so many entries, of all shapes."""
    rng, reasons = random.Random(count), list(REASONS)
    return [(0x10 << 144 | rng.getrandbits(144) if i % 5 else rng.getrandbits(8 + i % 144) | 1, reasons[i % len(reasons)],
             2524608000 + i if i % 97 == 96 else 1_700_000_000 + i) for i in range(count)]


@pytest.fixture(scope="module", params=KEYS)
def signer(request):
    with Signer(init=("--key", request.param)) as one:
        yield one


def store(signer, entries, issuer, folder):
    """A CRL and its issuer's certificate where programs find them."""
    answer = signer.crl([crl_entry(*entry) for entry in entries], issuer=issuer)
    (folder / "crl.der").write_bytes(answer.expect("crl").der)
    (folder / "crl.pem").write_text(f"-----BEGIN X509 CRL-----\n{base64.encodebytes(answer.der).decode()}-----END X509 CRL-----\n")
    certificate = signer.root() if issuer == "root" else signer.issuers()[issuer][1]
    (folder / "ca.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "root.pem").write_bytes(signer.root().public_bytes(Encoding.PEM))
    return answer


def openssl_time(text):
    return int(time.mktime(time.strptime(text, "%b %d %H:%M:%S %Y GMT"))) - time.timezone


ENTRY = re.compile(r" *Serial Number: ([0-9A-F]+)\n *Revocation Date: (.*)\n"
                   r"(?: *CRL entry extensions:\n *X509v3 CRL Reason Code: \n *(.*)\n)?")


def openssl_entries(text):
    return [(int(serial, 16), reason or None, openssl_time(" ".join(when.split())))
            for serial, when, reason in ENTRY.findall(text)]


@pytest.mark.parametrize("issuer", ISSUERS)
@pytest.mark.parametrize("count", [0, 1, 3, 1000])
def test_openssl_reads_what_was_handed_in(signer, tmp_path, count, issuer):
    need("openssl")
    entries = made(count)
    number = store(signer, entries, issuer, tmp_path).number
    said = run("openssl", "crl", "-inform", "DER", "-in", tmp_path / "crl.der", "-CAfile", tmp_path / "ca.pem",
               "-text", "-noout")
    assert "verify OK" in said and "Version 2 (0x1)" in said
    assert re.search(rf"X509v3 CRL Number: \n *{number}\n", said)
    assert ("No Revoked Certificates." in said) == (count == 0)
    assert openssl_entries(said) == [(serial, REASONS[reason], at) for serial, reason, at in entries]
    assert said.count("critical") == 0


@pytest.mark.parametrize("issuer", ISSUERS)
@pytest.mark.parametrize("count", [0, 1, 3, 1000])
def test_gnutls_reads_what_was_handed_in(signer, tmp_path, count, issuer):
    need("certtool")
    entries = made(count)
    number = store(signer, entries, issuer, tmp_path).number
    said = run("certtool", "--crl-info", "--inder", "--infile", tmp_path / "crl.der")
    assert "Version: 2" in said and f"Revoked certificates ({count})" in said or count == 0 and "No revoked" in said
    serials = [int(text, 16) for text in re.findall(r"Serial Number \(hex\): ([0-9a-f]+)", said)]
    assert serials == [serial for serial, _, _ in entries]
    assert int(re.search(r"CRL Number \(not critical\): ([0-9a-f]+)", said).group(1), 16) == number
    said = run("certtool", "--verify-crl", "--load-ca-certificate", tmp_path / "ca.pem", "--infile", tmp_path / "crl.pem")
    assert "Verification output: Verified." in said, said


@pytest.mark.skipif(not shutil.which("lint_crl"), reason="lint_crl is not installed: pipx install pkilint")
@pytest.mark.parametrize("count", [0, 20])
@pytest.mark.parametrize("issuer, kind", [("int-1", "CRL"), ("root", "ARL")])
def test_pkilint_finds_nothing(signer, tmp_path, count, issuer, kind):
    store(signer, made(count), issuer, tmp_path)
    said = run("lint_crl", "lint", "-t", kind, "-p", "PKIX", "-s", "WARNING", tmp_path / "crl.pem")
    assert not re.search(r"\((WARNING|ERROR|FATAL)\)", said), said


def leaf_and_chain(signer, folder):
    leaf = signer.issue(names=["nas.lan"]).leaf
    certificate = x509.load_der_x509_certificate(leaf)
    (folder / "leaf.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    return certificate


def verify_by_openssl(folder):
    return run("openssl", "verify", "-crl_check", "-CAfile", folder / "root.pem", "-untrusted", folder / "ca.pem",
               "-CRLfile", folder / "crl.pem", folder / "leaf.pem", check=False)


def test_openssl_refuses_the_leaf_that_is_on_the_list(signer, tmp_path):
    need("openssl")
    store(signer, made(3), "int-1", tmp_path)
    certificate = leaf_and_chain(signer, tmp_path)
    assert "leaf.pem: OK" in verify_by_openssl(tmp_path)
    store(signer, made(3) + [(certificate.serial_number, 1, int(time.time()))], "int-1", tmp_path)
    said = verify_by_openssl(tmp_path)
    assert "certificate revoked" in said, said


def test_gnutls_refuses_the_leaf_that_is_on_the_list(signer, tmp_path):
    need("certtool")
    store(signer, made(3), "int-1", tmp_path)
    certificate = leaf_and_chain(signer, tmp_path)
    (tmp_path / "chain.pem").write_text((tmp_path / "leaf.pem").read_text() + (tmp_path / "ca.pem").read_text())
    command = ("certtool", "--verify", "--load-ca-certificate", tmp_path / "root.pem", "--load-crl", tmp_path / "crl.pem",
               "--infile", tmp_path / "chain.pem")
    assert "The certificate is trusted" in run(*command, check=False)
    store(signer, [(certificate.serial_number, 1, int(time.time()))], "int-1", tmp_path)
    said = run(*command, check=False)
    assert "revoked" in said and "NOT trusted" in said, said


# -- A million ---------------------------------------------------------------------------------

MILLION = 1_000_000


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """A CRL of a million entries: (its folder, the entries)"""
    folder, entries = tmp_path_factory.mktemp("big"), made(MILLION)
    fd = memfd(b"".join(crl_entry(*entry) for entry in entries))
    with Signer() as signer:
        answer = signer.crl(fd=fd, count=MILLION)
        os.close(fd)
        (folder / "crl.der").write_bytes(answer.expect("crl").der)
        (folder / "ca.pem").write_bytes(signer.issuers()["int-1"][1].public_bytes(Encoding.PEM))
    yield folder, entries


@pytest.mark.slow
def test_openssl_reads_a_million_entries(big):
    need("openssl")
    folder, entries = big
    said = run("openssl", "crl", "-inform", "DER", "-in", folder / "crl.der", "-CAfile", folder / "ca.pem", "-text", "-noout")
    assert "verify OK" in said
    months = {name: i + 1 for i, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split())}
    found = 0
    for (serial, reason, at), match in zip(entries, ENTRY.finditer(said)):
        month, day, clock, year, _ = match.group(2).split()
        when = time.gmtime(at)
        assert int(match.group(1), 16) == serial and (match.group(3) or None) == REASONS[reason]
        assert (int(year), months[month], int(day), clock) == (*when[:3], time.strftime("%H:%M:%S", when))
        found += 1
    assert found == MILLION


class GnuTls:
    """gnutls_x509_crl_*: with its iterator, which certtool does not use."""

    def __init__(self):
        path = ctypes.util.find_library("gnutls")
        if not path:
            pytest.skip("no libgnutls")
        self.lib = ctypes.CDLL(path)

    def call(self, name, *arguments):
        done = getattr(self.lib, f"gnutls_{name}")(*arguments)
        assert done >= 0, f"{name}: {done}"
        return done


class Datum(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("size", ctypes.c_uint)]


def test_gnutls_reads_ten_thousand_entries():
    """Its time grows with the square of them (100 000: 200 s)."""
    count, gnutls = 10_000, GnuTls()
    entries = made(count)
    with Signer() as signer:
        octets = signer.crl([crl_entry(*entry) for entry in entries]).expect("crl").der
        ca = signer.issuers()["int-1"][1].public_bytes(Encoding.DER)
    crl, crt, verify = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_uint(1)
    gnutls.call("x509_crl_init", ctypes.byref(crl))
    gnutls.call("x509_crt_init", ctypes.byref(crt))
    gnutls.call("x509_crl_import", crl, ctypes.byref(Datum(octets, len(octets))), 0)
    gnutls.call("x509_crt_import", crt, ctypes.byref(Datum(ca, len(ca))), 0)
    gnutls.call("x509_crl_verify", crl, ctypes.byref(crt), 1, 0, ctypes.byref(verify))
    assert verify.value == 0, hex(verify.value)
    assert gnutls.call("x509_crl_get_crt_count", crl) == count
    iterator, serial, at = ctypes.c_void_p(), ctypes.create_string_buffer(32), ctypes.c_long()
    for wanted, _, when in entries:
        size = ctypes.c_size_t(32)
        gnutls.call("x509_crl_iter_crt_serial", crl, ctypes.byref(iterator), serial, ctypes.byref(size), ctypes.byref(at))
        assert int.from_bytes(serial.raw[:size.value], "big") == wanted and at.value == when
    gnutls.lib.gnutls_x509_crl_iter_deinit(iterator)
    gnutls.lib.gnutls_x509_crl_deinit(crl)
    gnutls.lib.gnutls_x509_crt_deinit(crt)
