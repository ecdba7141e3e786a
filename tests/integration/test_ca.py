"""Making the CA: what `cad init` is told, what openssl reads in its certificates, what is refused (surface.md, design.md §5)."""

import datetime
import os
import pathlib
import re
import shutil
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import cadtest
import csrs
from cadtest import openssl
from csrs import csr, dns, email, ip

PRIVATE = ["home.arpa", "internal", "lan", "local", "localdomain", "localhost", "test"]
NETWORKS = ["10.0.0.0/255.0.0.0", "172.16.0.0/255.240.0.0", "192.168.0.0/255.255.0.0", "169.254.0.0/255.255.0.0", "127.0.0.0/255.0.0.0"]


class Ca:
    """A state folder in the making."""

    def __init__(self):
        self.daemon = cadtest.Daemon()
        self.base, self.state = self.daemon.base, self.daemon.state

    def init(self, *args, **more):
        return cadtest.run(["init", "--state-dir", self.state, *args], **more)

    def made(self, *args, **more):
        done = self.init(*args, **more)
        assert done.returncode == 0 and not re.search("error", done.stderr), done
        return done.stdout

    def refused(self, *args, code=1, words=(), **more):
        before = sorted(path for path in self.state.rglob("*") if path.name != "lock" and "crl" not in path.parts)
        done = self.init(*args, **more)
        lines = done.stderr.splitlines()
        assert done.returncode == code and done.stdout == "" and lines, done
        assert lines[-1].startswith("cad"), done.stderr
        for word in words:
            assert word in lines[-1], done.stderr
        after = sorted(path for path in self.state.rglob("*") if path.name != "lock" and "crl" not in path.parts)
        assert set(after) - set(before) <= {self.state / "signer"}, "something was made"
        return lines[-1]

    def path(self, name):
        return self.state / "signer" / "ca" / name

    def text(self, name):
        return openssl("x509", "-in", str(self.path(f"{name}.crt")), "-noout", "-text")

    def load(self, name):
        return x509.load_pem_x509_certificate(self.path(f"{name}.crt").read_bytes())

    def start(self, *args, **more):
        self.daemon.args = list(args)
        self.daemon.start()
        return self.daemon


@pytest.fixture
def ca():
    ca = Ca()
    yield ca
    ca.daemon.close()


def check_chain(ca, *names):
    for name in names or ("int-1", "int-2"):
        openssl("verify", "-x509_strict", "-check_ss_sig", "-CAfile", str(ca.path("root.crt")), str(ca.path(f"{name}.crt")))


def constraints(text):
    found = re.search(r"X509v3 Name Constraints: critical\n((?:\s{16,}.*\n)+)", text)
    lists = {"Permitted": [], "Excluded": []}
    where = None
    for line in found.group(1).splitlines() if found else ():
        line = line.strip()
        if line.rstrip(":") in lists:
            where = line.rstrip(":")
        else:
            lists[where].append(line)
    return lists if found else None


# -- The defaults ------------------------------------------------------------------------------

def test_a_folder_of_somebody_else_has_a_way_out(ca):
    (ca.state / "mine").mkdir()
    (ca.state / "mine").chmod(0o500)
    other = {"user": 65534} if os.geteuid() == 0 else {}
    done = cadtest.run(["init", "--state-dir", ca.state / "mine"], **other)
    assert done.returncode == 1 and "sudo" in done.stderr and "--state-dir DIR and --config FILE" in done.stderr, done


@pytest.mark.sanitize
def test_the_default_ca_is_as_promised(ca):
    said = ca.made()
    check_chain(ca)
    root = ca.load("root")
    assert f"{root.fingerprint(hashes.SHA256()).hex()}" in said and "lan" in said
    assert f"`cad init --state-dir {ca.state} --again --permit-dns NAME`" in said
    for name, key_usage in (("root", "Certificate Sign, CRL Sign"), ("int-1", "Certificate Sign, CRL Sign"), ("int-2", "Certificate Sign, CRL Sign")):
        text = ca.text(name)
        assert "Version: 3 " in text and "ASN1 OID: prime256v1" in text and "ecdsa-with-SHA256" in text
        path = "" if name == "root" else ", pathlen:0"
        assert re.search(rf"X509v3 Basic Constraints: critical\n\s+CA:TRUE{path}\n", text), text
        assert re.search(rf"X509v3 Key Usage: critical\n\s+{key_usage}\n", text), text
        assert "Subject Key Identifier" in text and ("Authority Key Identifier" in text) == (name != "root")
        assert "Extended Key Usage" not in text and "Subject Alternative Name" not in text
        found = constraints(text)
        for domain in PRIVATE:
            assert {f"DNS:{domain}", f"email:{domain}", f"email:.{domain}", f"URI:{domain}", f"URI:.{domain}"} <= set(found["Permitted"])
        assert {f"IP:{network}" for network in NETWORKS} <= set(found["Permitted"])
        assert not any("0.0.0.0/0.0.0.0" in line for line in found["Permitted"])
        serial = ca.load(name).serial_number
        assert serial.bit_length() > 64 and serial.bit_length() < 160
    years = lambda name: (ca.load(name).not_valid_after - ca.load(name).not_valid_before).total_seconds() + 1
    assert years("root") == 20 * 365 * 86400 and years("int-1") == 5 * 365 * 86400 == years("int-2")
    assert ca.load("int-1").public_key().public_numbers() != ca.load("int-2").public_key().public_numbers()
    for text in (ca.text("int-1"), ca.text("int-2")):
        assert "/crl/root.crl" in text and "/ca/root.crt" in text
    assert "CRL Distribution" not in ca.text("root")


def test_the_first_start_makes_the_same(ca):
    daemon = ca.start()
    made = daemon.get("/v1/ca").expect(200).json
    assert made["fingerprint"] == ca.load("root").fingerprint(hashes.SHA256()).hex()
    assert [issuer["state"] for issuer in made["issuers"]] == ["active", "standby"]
    assert constraints(ca.text("root")) == constraints(ca.text("int-1")) == constraints(ca.text("int-2"))
    assert "--permit-dns" in daemon.log_text() and made["fingerprint"] in daemon.log_text()
    daemon.stop()
    daemon.start()
    assert daemon.get("/v1/ca").json == made


def test_the_files_are_what_they_should_be(ca):
    ca.made()
    for path in ca.state.rglob("*"):
        mode = path.stat().st_mode & 0o777
        assert mode == (0o700 if path.is_dir() else 0o644 if path.suffix == ".crt" else 0o600), (path, oct(mode))
    assert sorted(path.name for path in ca.path(".").iterdir()) == [
        "ca.conf", "int-1.crt", "int-1.key", "int-2.crt", "int-2.key", "root.crt", "root.key"]


# -- Options -----------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["Home CA", "Küche & Bad", "x", "x" * 40])
def test_the_name_is_in_the_certificates(ca, name):
    ca.made("--name", name)
    for which in ("root", "int-1", "int-2"):
        organization = ca.load(which).subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)
        assert [attribute.value for attribute in organization] == [name]
    common_names = {ca.load(which).subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value for which in ("root", "int-1", "int-2")}
    assert len(common_names) == 3 and all(len(each) <= 64 for each in common_names)
    daemon = ca.start()
    assert daemon.get("/v1/ca").json["name"] == name


@pytest.mark.parametrize("name", ["", "x" * 41, "a\nb", "a\x1b[2Jb", "a=b", "[a]", "a;b", "a\u202eb"])
def test_a_name_that_is_none_is_refused(ca, name):
    ca.refused("--name", name, code=2, words=["name of a CA"])


def test_two_cas_of_one_name_differ(ca):
    ca.made("--name", "Home CA")
    first = ca.load("root").subject
    ca.made("--name", "Home CA", "--again")
    assert ca.load("root").subject != first


@pytest.mark.parametrize("key, wanted", [
    ("ecdsa-p256", "ASN1 OID: prime256v1"), ("ecdsa-p384", "ASN1 OID: secp384r1"), ("ed25519", "ED25519"), ("rsa-3072", r"(3072 bit)"),
    pytest.param("rsa-4096", "(4096 bit)", marks=pytest.mark.slow)])
def test_each_type_of_key_works_to_the_leaf(ca, key, wanted):
    ca.made("--key", key)
    check_chain(ca)
    assert all(wanted in ca.text(name) for name in ("root", "int-1", "int-2"))
    daemon = ca.start()
    (ca.base / "bundle").write_bytes(daemon.get("/v1/ca/bundle.pem").body)
    for leaf_key in (csrs.EcKey(), csrs.EdKey(), csrs.rsa()):
        (ca.base / "leaf").write_text(daemon.issue(csr(leaf_key, names=[dns("nas.lan")])).expect(201).json["certificate"])
        openssl("verify", "-x509_strict", "-CAfile", str(ca.path("root.crt")), "-untrusted", str(ca.base / "bundle"), str(ca.base / "leaf"))


@pytest.mark.parametrize("key", ["rsa-1024", "rsa-2048", "rsa", "ecdsa-p521", "secp256k1", "", "dsa", "ECDSA-P256"])
def test_a_type_of_key_that_is_none_is_refused(ca, key):
    ca.refused("--key", key, code=2, words=["ecdsa-p256"])


@pytest.mark.parametrize("args, good, bad", [
    (["--permit-dns", "example.org"], [dns("a.example.org"), dns("example.org")], [dns("example.com"), dns("badexample.org")]),
    (["--permit-dns", "Example.ORG", "--permit-dns", "example.net"], [dns("a.example.org"), dns("a.example.net")], [dns("a.example.com")]),
    (["--permit-dns", "bücher.example"], [dns("a.xn--bcher-kva.example")], [dns("b.example")]),
    (["--permit-ip", "203.0.113.0/24"], [ip([203, 0, 113, 9])], [ip([203, 0, 114, 9]), ip([8, 8, 8, 8])]),
    (["--permit-ip", "2001:db8::/32"], [ip([0x20, 1, 0xd, 0xb8] + [0] * 11 + [1])], [ip([0x20, 1, 0xd, 0xb9] + [0] * 11 + [1])]),
    (["--permit-ip", "203.0.113.7"], [ip([203, 0, 113, 7])], [ip([203, 0, 113, 8])]),
    (["--permit-email", "example.org"], [email("a@example.org")], [email("a@example.com")]),
], ids=lambda value: " ".join(value) if value and isinstance(value[0], str) else "")
def test_what_is_permitted_is_issued_and_nothing_else(ca, args, good, bad):
    ca.made(*args)
    check_chain(ca)
    daemon = ca.start()
    (ca.base / "bundle").write_bytes(daemon.get("/v1/ca/bundle.pem").body)
    profile = "user" if "--permit-email" in args else "server"
    private = [email("a@home.lan")] if profile == "user" else [dns("nas.lan")]
    for name in good + private:
        (ca.base / "leaf").write_text(daemon.issue(csr(names=[name]), profile=profile).expect(201).json["certificate"])
        openssl("verify", "-x509_strict", "-CAfile", str(ca.path("root.crt")), "-untrusted", str(ca.base / "bundle"), str(ca.base / "leaf"))
    for name in bad:
        problem = daemon.issue(csr(names=[name]), profile=profile).expect(422).json
        assert problem["type"] == "urn:cad:problem:name-not-permitted" and "cad init" in problem["detail"], problem


@pytest.mark.parametrize("args", [
    ["--permit-dns", ""], ["--permit-dns", "a b"], ["--permit-dns", "*.lan"], ["--permit-dns", ".org"], ["--permit-dns", "10.0.0.1"],
    ["--permit-dns", "x" * 300], ["--permit-ip", "10.0.0.0/33"], ["--permit-ip", "10.0.0.1/8"], ["--permit-ip", "x"], ["--permit-ip", "10/8"],
    ["--permit-ip", "::/129"], ["--permit-ip", "10.0.0.0/-1"], ["--permit-email", "a@b@c"], ["--permit-email", ""],
    ["--root-validity", "1d"], ["--root-validity", "9000y"], ["--root-validity", "x"], ["--intermediate-validity", "1d"],
    ["--intermediate-validity", "30y"], ["--root-validity", "1y", "--intermediate-validity", "2y"],
    ["--public-url", "https://ca.lan"], ["--public-url", "ca.lan"], ["--public-url", "http://"], ["--public-url", "http://ca.lan:99999"],
    ["--public-url", "http://a b"], ["--public-url", "http://ca.lan/path"], ["--public-url", "http://user@ca.lan"],
    ["--root-cert", "/nowhere"], ["--root-key", "/nowhere"]], ids=lambda args: " ".join(args)[:60])
def test_an_option_that_is_none_is_refused(ca, args):
    done = ca.init(*args)
    assert done.returncode in (1, 2) and done.stdout == "" and not (ca.state / "signer" / "ca").exists(), done
    value = args[-1]
    assert args[0] in done.stderr or not value or value[:30] in done.stderr, done.stderr
    assert "Sanitizer" not in done.stderr


def test_an_unconstrained_ca_says_so_everywhere(ca):
    done = ca.init("--unconstrained")
    assert done.returncode == 0 and "every name" in done.stderr + done.stdout
    assert all(constraints(ca.text(name)) is None for name in ("root", "int-1", "int-2"))
    daemon = ca.start()
    daemon.issue(csr(names=[dns("example.com"), ip([8, 8, 8, 8])])).expect(201)
    assert "not constrained" in daemon.log_text() and "not constrained" in daemon.get("/v1/ca").json["constraints"]["text"]
    daemon.issue(csr(names=[dns("*.com")])).expect(201, 422)


def test_validities_are_those_that_were_asked_for(ca):
    ca.made("--root-validity", "10y", "--intermediate-validity", "400d")
    seconds = lambda name: (ca.load(name).not_valid_after - ca.load(name).not_valid_before).total_seconds() + 1
    assert seconds("root") == 10 * 365 * 86400 and seconds("int-1") == seconds("int-2") == 400 * 86400


def test_a_root_beyond_2049_is_written_in_the_other_form_of_time(ca):
    ca.made("--root-validity", "60y", "--intermediate-validity", "40y")
    for name in ("root", "int-1"):
        ends = re.search(r"UTCTIME.*\n.*:(GENERALIZEDTIME|UTCTIME) ", openssl("asn1parse", "-in", str(ca.path(f"{name}.crt"))))
        found = re.findall(r"(UTCTIME|GENERALIZEDTIME)\s+:(\d+)Z", openssl("asn1parse", "-in", str(ca.path(f"{name}.crt"))))
        assert [kind for kind, _ in found] == ["UTCTIME", "GENERALIZEDTIME"], (found, ends)
    check_chain(ca)
    daemon = ca.start()
    daemon.issue(csr(names=[dns("nas.lan")])).expect(201)


@pytest.mark.parametrize("url, wanted", [("http://ca.lan", "http://ca.lan"), ("http://ca.lan:8080", "http://ca.lan:8080"),
                                         ("http://192.168.1.1:80", "http://192.168.1.1"), ("http://[fd00::1]:8080", "http://[fd00::1]:8080"),
                                         ("http://CA.lan/", "http://ca.lan")])
def test_the_public_url_is_in_what_is_issued(ca, url, wanted):
    ca.made("--public-url", url)
    daemon = ca.start()
    told = daemon.get("/v1/ca").json["public_url"]
    assert told.lower() in (wanted, wanted + ":80"), told
    leaf = daemon.issue(csr(names=[dns("nas.lan")])).expect(201).json["certificate"]
    text = openssl("x509", "-noout", "-text", input=leaf)
    assert f"URI:{told}/crl/int-1.crl" in text and f"URI:{told}/ca/int-1.crt" in text
    assert f"URI:{told}/crl/root.crl" in ca.text("int-1")


# -- Passphrases -------------------------------------------------------------------------------

def secret(ca, text="correct horse", name="pass", mode=0o600):
    path = ca.base / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


@pytest.mark.sanitize
def test_keys_are_encrypted_with_a_passphrase(ca):
    ca.made("--passphrase-file", secret(ca))
    for key in ("root", "int-1", "int-2"):
        pem = ca.path(f"{key}.key").read_bytes()
        assert pem.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
        with pytest.raises(ValueError):
            serialization.load_pem_private_key(pem, b"wrong")
        own = serialization.load_pem_private_key(pem, b"correct horse")
        assert own.public_key().public_numbers() == ca.load(key).public_key().public_numbers()
    daemon = ca.start("--passphrase-file", secret(ca))
    daemon.issue(csr(names=[dns("nas.lan")])).expect(201)
    assert daemon.get("/v1/ca").json["keys_encrypted"] is True
    for pid in daemon.pids():
        proc = pathlib.Path(f"/proc/{pid}")
        assert b"correct horse" not in (proc / "cmdline").read_bytes()
        if os.geteuid() == 0:  # nobody else may look: the signer is not dumpable
            assert b"correct horse" not in (proc / "environ").read_bytes()
    assert "correct horse" not in daemon.log_text()


@pytest.mark.parametrize("text", ["correct horse\n", "correct horse\r\n"])
def test_one_line_end_does_not_count(ca, text):
    ca.made("--passphrase-file", secret(ca))
    ca.start("--passphrase-file", secret(ca, text)).issue(csr(names=[dns("nas.lan")])).expect(201)


@pytest.mark.parametrize("text", ["wrong", "correct horse ", " correct horse", "Correct horse", "correct horse\n\n", "x" * 500])
def test_a_wrong_passphrase_is_said(ca, text):
    ca.made("--passphrase-file", secret(ca))
    ca.daemon.args = ["--passphrase-file", secret(ca, text)]
    began = time.monotonic()
    line = ca.daemon.start_refused().splitlines()[-1]
    assert line.startswith("cad: ") and "passphrase" in line and text not in line
    assert time.monotonic() - began > 0.05, "the derivation of the key was cut short"
    ca.start("--passphrase-file", secret(ca)).issue(csr(names=[dns("nas.lan")])).expect(201)       # nobody was locked out


def test_no_passphrase_and_nobody_to_ask_is_said(ca):
    ca.made("--passphrase-file", secret(ca))
    line = ca.daemon.start_refused(start_new_session=True).splitlines()[-1]
    assert "--passphrase-file" in line


def test_a_passphrase_for_open_keys_does_no_harm(ca):
    ca.made()
    ca.start("--passphrase-file", secret(ca)).issue(csr(names=[dns("nas.lan")])).expect(201)


@pytest.mark.parametrize("make, words", [
    (lambda ca: secret(ca, ""), ["empty"]), (lambda ca: secret(ca, "\n"), ["empty"]), (lambda ca: secret(ca, mode=0o644), ["chmod 600"]),
    (lambda ca: secret(ca, mode=0o640), ["chmod 600"]), (lambda ca: ca.base / "nowhere", ["nowhere"]),
    (lambda ca: secret(ca, "x" * 100000), ["pass"]), (lambda ca: ca.base, ["regular file"]),
    (lambda ca: (secret(ca), (ca.base / "link").symlink_to(ca.base / "pass"), ca.base / "link")[2], ["symbolic link"]),
], ids=["empty", "a line end", "for all", "for a group", "not there", "too long", "a folder", "a link"])
def test_a_passphrase_file_that_is_none_is_refused(ca, make, words):
    path = make(ca)
    done = ca.init("--passphrase-file", path)
    assert done.returncode in (1, 2) and all(word in done.stderr for word in words), done
    assert not ca.path("").exists()


def test_a_credential_of_systemd_s_is_found(ca):
    credentials = ca.base / "credentials"
    credentials.mkdir()
    unit = (cadtest.BUILD / "systemd/cad-signer.service").read_text()
    credential = credentials / re.search(r"^LoadCredentialEncrypted=(.+)$", unit, re.MULTILINE)[1]
    credential.write_text("correct horse\n")
    credential.chmod(0o400)
    env = {**cadtest.environment(), "CREDENTIALS_DIRECTORY": str(credentials)}
    ca.made(env=env)
    assert b"ENCRYPTED" in ca.path("root.key").read_bytes()
    ca.daemon.env = env
    ca.start().issue(csr(names=[dns("nas.lan")])).expect(201)


# -- A root from elsewhere ---------------------------------------------------------------------

def foreign_root(base, key=None, days=3650, ca=True, length=None, usage=True, ski=True, signer=None, name="Old Root", begin=-1):
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.utcnow()
    builder = (x509.CertificateBuilder(subject, subject, key.public_key(), 1000, now + datetime.timedelta(days=begin), now + datetime.timedelta(days=days))
               .add_extension(x509.BasicConstraints(ca, length), True))
    if usage is not None:
        builder = builder.add_extension(x509.KeyUsage(not usage, False, False, False, False, usage, usage, False, False), True)
    if ski:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    (base / "old.crt").write_bytes(builder.sign(signer or key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    (base / "old.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    (base / "old.key").chmod(0o600)
    return ["--root-cert", base / "old.crt", "--root-key", base / "old.key"]


@pytest.mark.parametrize("key", [lambda: ec.generate_private_key(ec.SECP256R1()), lambda: ec.generate_private_key(ec.SECP384R1()),
                                 lambda: rsa.generate_private_key(65537, 2048)], ids=["p256", "p384", "rsa"])
def test_a_root_from_elsewhere_is_used_as_it_is(ca, key):
    args = foreign_root(ca.base, key())
    ca.made(*args)
    assert ca.load("root") == x509.load_pem_x509_certificate((ca.base / "old.crt").read_bytes())
    check_chain(ca)
    assert constraints(ca.text("int-1"))["Permitted"], "the intermediates are constrained, whatever the root is"
    daemon = ca.start()
    (ca.base / "bundle").write_bytes(daemon.get("/v1/ca/bundle.pem").body)
    (ca.base / "leaf").write_text(daemon.issue(csr(names=[dns("nas.lan")])).expect(201).json["certificate"])
    openssl("verify", "-CAfile", str(ca.base / "old.crt"), "-untrusted", str(ca.base / "bundle"), str(ca.base / "leaf"))
    daemon.issue(csr(names=[dns("example.com")])).expect(422)


def test_intermediates_do_not_outlive_a_root_from_elsewhere(ca):
    ca.made(*foreign_root(ca.base, days=100))
    assert ca.load("int-1").not_valid_after <= ca.load("root").not_valid_after


@pytest.mark.parametrize("how, words", [
    ({"ca": False}, ["CA:TRUE"]), ({"length": 0}, ["path length"]), ({"usage": False}, ["keyCertSign"]), ({"days": 5}, ["valid until"]),
    ({"ski": False}, ["key identifier"]), ({"begin": 3}, ["not yet"])], ids=lambda how: next(iter(how), "") if isinstance(how, dict) else "")
def test_a_root_that_cannot_be_one_is_refused(ca, how, words):
    line = ca.refused(*foreign_root(ca.base, **how), code=2, words=words)
    assert "old.crt" in line


def test_a_key_that_does_not_fit_the_root_is_refused(ca):
    args = foreign_root(ca.base)
    (ca.base / "other").mkdir()
    other = foreign_root(ca.base / "other")
    ca.refused(args[0], args[1], other[2], other[3], code=2, words=["does not fit"])
    (ca.base / "old.key").chmod(0o644)
    ca.refused(*args, words=["chmod 600"])
    (ca.base / "old.key").write_text("nothing")
    (ca.base / "old.key").chmod(0o600)
    assert ca.init(*args).returncode in (1, 2)
    assert not ca.path("").exists()


def test_a_root_whose_signature_is_another_s_is_refused(ca):
    """It says that it signed itself, and did not."""
    args = foreign_root(ca.base, signer=ec.generate_private_key(ec.SECP256R1()))
    done = ca.init(*args)
    assert done.returncode in (1, 2) and not ca.path("").exists(), done


# -- Again -------------------------------------------------------------------------------------

def test_a_ca_is_not_made_twice(ca):
    ca.made()
    before = ca.path("root.crt").read_bytes()
    ca.refused(words=["--again"])
    ca.refused("--name", "Other", words=["--again"])
    assert ca.path("root.crt").read_bytes() == before


@pytest.mark.sanitize
def test_again_starts_over_as_long_as_nothing_was_issued(ca):
    daemon = ca.start()
    first = daemon.get("/v1/ca").json["fingerprint"]
    daemon.stop()
    ca.made("--again", "--permit-dns", "example.org")
    daemon.start()
    again = daemon.get("/v1/ca").expect(200).json
    assert again["fingerprint"] != first
    daemon.issue(csr(names=[dns("a.example.org")])).expect(201)
    daemon.stop()
    ca.refused("--again", words=["issued"])
    daemon.start()
    assert daemon.get("/v1/ca").json["fingerprint"] == again["fingerprint"]
    assert len(daemon.get("/v1/certificates").json["certificates"]) == 1


def test_again_is_refused_while_cad_runs(ca):
    daemon = ca.start()
    # what a start writes by itself: the first anchor of the audit, once a minute after that
    daemon.wait_until((daemon.state / "signer" / "anchors").exists, 10, "the audit is not anchored")
    ca.refused("--again", words=[str(daemon.signer_pid)])
    daemon.issue(csr(names=[dns("nas.lan")])).expect(201)


def test_again_of_nothing_makes_one(ca):
    ca.made("--again")
    ca.start().issue(csr(names=[dns("nas.lan")])).expect(201)


def test_init_of_a_folder_with_a_database_and_no_keys_is_refused(ca):
    daemon = ca.start()
    daemon.issue(csr(names=[dns("nas.lan")])).expect(201)
    daemon.stop()
    shutil.rmtree(ca.state / "signer")
    for args in ((), ("--again",)):
        ca.refused(*args, words=["cad.db"])
    assert not ca.path("").exists()


# -- Its own word ------------------------------------------------------------------------------

def test_the_api_and_the_files_say_the_same(ca):
    ca.made("--name", "Home CA")
    daemon = ca.start()
    told = daemon.get("/v1/ca").expect(200).json
    assert daemon.get("/v1/ca/root.pem").expect(200).body == ca.path("root.crt").read_bytes()
    bundle = re.findall(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", daemon.get("/v1/ca/bundle.pem").body, re.DOTALL)
    assert {x509.load_pem_x509_certificate(each) for each in bundle} == {ca.load(name) for name in ("root", "int-1", "int-2")}
    for issuer in told["issuers"]:
        own = ca.load(issuer["id"])
        assert issuer["fingerprint"] == own.fingerprint(hashes.SHA256()).hex() and issuer["serial"] == f"{own.serial_number:x}"
        assert issuer["not_after"] == own.not_valid_after.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert told["root"]["fingerprint"] == told["fingerprint"] and told["root_key_present"] is True and told["keys_encrypted"] is False
    permitted = {(each["type"], each["value"]) for each in told["constraints"]["permitted"]}
    assert {("dns", domain) for domain in PRIVATE} <= permitted and ("ip", "10.0.0.0/8") in permitted
