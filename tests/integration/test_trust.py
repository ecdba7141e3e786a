"""cactl trust: by the real update-ca-certificates, certutil, keytool and p11-kit, on machines of their own (machine.py)."""

import contextlib
import datetime
import hashlib
import ipaddress
import json
import os
import pathlib
import pty
import re
import select
import shutil
import socket
import sqlite3
import ssl
import subprocess
import tempfile
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

import cadtest
import flight
import https
import machine

CACTL = cadtest.BUILD / "client" / "cactl"
NEEDED = {"certutil": "libnss3-tools", "keytool": "default-jdk-headless", "update-ca-certificates": "ca-certificates"}
FIREFOX, CHROMIUM = "/home/anna/.mozilla/firefox/x1.default", "/home/anna/.pki/nssdb"
JAVA = "/etc/ssl/certs/java/cacerts"
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


@pytest.fixture(scope="module", autouse=True)
def programs():
    cadtest.require_build()
    for program, package in NEEDED.items():
        if not shutil.which(program, path="/usr/bin:/usr/sbin"):
            pytest.skip(f"{program} is not installed: {package}")


@pytest.fixture
def folder():
    """Not pytest's: users of other numbers have to get through."""
    with tempfile.TemporaryDirectory() as made:
        os.chmod(made, 0o755)
        yield pathlib.Path(made)


@pytest.fixture(scope="module")
def ca():
    with cadtest.Daemon(tcp=True) as running:
        yield running


@pytest.fixture(scope="module")
def java_store():
    """A store of Java's with one foreign certificate in it."""
    with tempfile.TemporaryDirectory() as made:
        base = pathlib.Path(made)
        (base / "other.pem").write_bytes(root_pem("Somebody Else")[0])
        subprocess.run(["keytool", "-importcert", "-noprompt", "-alias", "else", "-storetype", "JKS", "-keystore", base / "cacerts", "-storepass",
                        "changeit", "-file", base / "other.pem"], check=True, capture_output=True, timeout=60)
        yield (base / "cacerts").read_bytes()


def root_pem(name, key=None, issuer=None, confined=True, is_ca=True, days=(-1, 100), digest=hashes.SHA256(), usage=None, signer=None,
             server=None, odd=False):
    """(PEM, key) of a root, or of what is none. @server: a name for a server's certificate; @odd: with a critical extension of nobody's."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now, (first, last) = datetime.datetime.utcnow(), days
    builder = (x509.CertificateBuilder().subject_name(subject)
               .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]) if issuer else subject)
               .public_key(key.public_key()).serial_number(x509.random_serial_number())
               .not_valid_before(now + datetime.timedelta(days=first)).not_valid_after(now + datetime.timedelta(days=last))
               .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
               .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False))
    if usage is not None:
        builder = builder.add_extension(x509.KeyUsage(digital_signature=True, key_cert_sign=usage, crl_sign=False, content_commitment=False,
                                                      key_encipherment=False, data_encipherment=False, key_agreement=False,
                                                      encipher_only=False, decipher_only=False), critical=True)
    if confined:
        names = [x509.DNSName("lan")] + ([x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))] if confined != "names alone" else [])
        builder = builder.add_extension(x509.NameConstraints(names, None), critical=True)
    if odd:
        builder = builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), critical=True)
    if server:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(server)]), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return builder.sign(signer or key, digest).public_bytes(serialization.Encoding.PEM), key


def sha256(pem):
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem if isinstance(pem, str) else pem.decode())).hexdigest()


def nss(there, database, *args, user=machine.ANNA):
    return there.run("certutil", *args, "-d", f"sql:{database}", uid=user)


def make_nss(there, database, user=machine.ANNA):
    there.run("mkdir", "-p", database, uid=user)
    assert nss(there, database, "-N", "--empty-password", user=user).returncode == 0


def in_nss(there, database, digest, user=machine.ANNA):
    """Every certificate of it, by certutil's listing: {nickname: [SHA-256]} where @digest is among them."""
    listing = nss(there, database, "-L", user=user).stdout.splitlines()[4:]
    found = {line[:60].strip(): line[60:].strip() for line in listing if line.strip()}
    return {name: flags for name, flags in found.items()
            if digest in {sha256(pem) for pem in pems(nss(there, database, "-L", "-n", name, "-a", user=user).stdout)}}


def pems(text):
    return re.findall("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", text.replace("\r", ""), re.S)


def in_java(there, digest, store=JAVA):
    """A JKS has each certificate as it is, behind its type and its length."""
    content, mark = there.path(store).read_bytes(), b"X.509"
    places = [at.end() for at in re.finditer(mark, content)]
    return digest in {hashlib.sha256(content[at + 4:at + 4 + int.from_bytes(content[at:at + 4], "big")]).hexdigest() for at in places}


def debian(there, java_store):
    there.path(".local/share/ca-certificates").mkdir(exist_ok=True)
    there.path("/etc/ssl/certs/java").mkdir(parents=True)
    shipped = next(pathlib.Path("/usr/share/ca-certificates").rglob("*.crt"))
    there.write("/etc/ca-certificates.conf", f"{shipped.relative_to('/usr/share/ca-certificates')}\n")
    there.write(BUNDLE, shipped.read_text())
    there.path(JAVA).write_bytes(java_store)
    for database in (FIREFOX, CHROMIUM):
        make_nss(there, database)


@pytest.fixture
def here(folder, java_store):
    """A Debian with anna's Firefox and Chromium and a Java."""
    with machine.Machine(folder) as there:
        debian(there, java_store)
        yield there


def rows(result):
    return {(row["store"], row["where"]): row for row in json.loads(result.stdout)["stores"]}


def states(result):
    return {where: row["state"] for (_, where), row in rows(result).items()}


# ---- a whole machine ----

def test_a_leaf_is_trusted_after_install_and_not_before_or_after_removal(ca, here):
    url, root = f"https://127.0.0.1:{https.port(ca)}", ca.get("/v1/ca/root.pem").expect(200).body.decode()
    digest = sha256(root)
    words = subprocess.run([CACTL, "--socket", ca.socket, "ca", "fingerprint"], check=True, capture_output=True, text=True,
                           timeout=30).stdout.splitlines()[1]
    leaf, chain = leaf_of(ca)
    here.write("/leaf.pem", leaf)
    here.write("/chain.pem", chain)

    def trusted():
        curl = here.run("curl", "-sS", f"{url}/v1/health").returncode == 0
        openssl = here.run("openssl", "verify", "-untrusted", "/chain.pem", "/leaf.pem").returncode == 0
        browsers = []
        for database in (FIREFOX, CHROMIUM):
            for name, file in (("leaf", "/leaf.pem"), ("int", "/chain.pem")):
                nss(here, database, "-A", "-n", name, "-t", ",,", "-i", file)
            browsers.append(nss(here, database, "-V", "-n", "leaf", "-u", "V").returncode == 0)
        return {"curl": curl, "openssl": openssl, "firefox": browsers[0], "chromium": browsers[1], "java": in_java(here, digest)}

    assert not any(trusted().values())
    args = ("--url", url, "--fingerprint", words)
    install = here.cactl("trust", "install", *args, "--json")
    assert install.returncode == 0, install.stdout + install.stderr
    assert states(install) == {BUNDLE: "installed", FIREFOX: "installed", CHROMIUM: "installed", JAVA: "installed"}
    assert all(row["changed"] for row in rows(install).values())
    assert "it can only vouch for the names home.arpa" in install.stderr and digest in install.stderr.replace(" ", "")
    assert all(trusted().values()), trusted()

    before = here.path(JAVA).read_bytes(), here.path(BUNDLE).stat()
    again = here.cactl("trust", "install", *args)
    assert again.returncode == 0 and again.stdout.count("installed already") == 4 and "nothing was changed" in again.stderr
    assert (here.path(JAVA).read_bytes(), here.path(BUNDLE).stat()) == before
    assert here.cactl("trust", "status", *args, "--json", "--system", "--nss").stdout.count('"installed"') == 3
    removed = here.cactl("trust", "remove", "--fingerprint", digest)
    assert removed.returncode == 0, removed.stdout + removed.stderr
    assert removed.stdout.count("not there any more") == 4
    assert not any(trusted().values())
    assert not list(here.path(".local/share/ca-certificates").iterdir())
    links = [os.readlink(path) for path in here.path("/etc/ssl/certs").iterdir() if path.is_symlink()]
    assert links and not [link for link in links if "/usr/local" in link or "-" + digest[:8] in link]
    assert "trustedCertEntry" in here.run("keytool", "-list", "-alias", "else", "-keystore", JAVA, "-storepass", "changeit").stdout


def leaf_of(ca):
    key = ec.generate_private_key(ec.SECP256R1())
    answer = ca.post("/v1/certificates", {"csr": https.csr_pem(key, "nas.lan")}).expect(201).json
    return answer["certificate"], answer["chain"]


def test_an_image_is_changed_from_outside_by_its_own_programs(here):
    pem, _ = root_pem("Image CA")
    here.write("/root.pem", pem.decode())
    tool = cadtest.BUILD / "client" / "cactl"
    args = ("--prefix", here.root, "--root", here.path("root.pem"), "--json")
    install = here.run(tool, "trust", "install", *args, inside=False)
    assert install.returncode == 0, install.stdout + install.stderr
    assert set(states(install)) == {str(here.root) + where for where in (BUNDLE, FIREFOX, CHROMIUM, JAVA)}
    assert set(states(install).values()) == {"installed"}
    assert in_java(here, sha256(pem)) and in_nss(here, FIREFOX, sha256(pem))
    file, = here.path(".local/share/ca-certificates").iterdir()
    assert re.fullmatch("image-ca-[0-9a-f]{8}.crt", file.name) and file.stat().st_mode & 0o7777 == 0o644
    assert here.path(f"{FIREFOX}/cert9.db").stat().st_uid == machine.ANNA
    removed = here.run(tool, "trust", "remove", "--system", "--nss", *args, inside=False)
    assert removed.returncode == 0 and set(states(removed).values()) == {"absent"}


def test_no_link_of_an_image_leads_out_of_it(here, folder):
    """Neither to a database, nor to a store of Java's, nor to the folder of roots."""
    outside = folder / "outside"
    for name in ("nssdb", "anchors"):
        (outside / name).mkdir(parents=True)
    subprocess.run(["certutil", "-N", "-d", f"sql:{outside}/nssdb", "--empty-password"], check=True, timeout=30)
    (outside / "cacerts").write_bytes(here.path(JAVA).read_bytes())
    here.path("/root/.pki").mkdir()
    here.path("/root/.pki/nssdb").symlink_to(outside / "nssdb")
    here.path(JAVA).unlink()
    here.path(JAVA).symlink_to(outside / "cacerts")
    here.path(".local/share/ca-certificates").rmdir()
    here.path(".local/share/ca-certificates").symlink_to(outside / "anchors")
    here.write("/root.pem", root_pem("Image CA")[0].decode())
    before = {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()}
    install = here.run(cadtest.BUILD / "client" / "cactl", "trust", "install", "--prefix", here.root, "--root", here.path("root.pem"), "--json",
                       inside=False)
    assert {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()} == before
    assert set(states(install)) == {str(here.root) + where for where in (FIREFOX, CHROMIUM)}


# ---- other systems ----

@pytest.fixture
def p11kit():
    if not shutil.which("trust", path="/usr/bin"):
        pytest.skip("trust is not installed: p11-kit")


@pytest.mark.parametrize("anchors, bundle, program, words, link", [
    ("/etc/pki/ca-trust/source/anchors", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "update-ca-trust", "extract",
     "/etc/pki/tls/certs/ca-bundle.crt"),
    ("/etc/ca-certificates/trust-source/anchors", "/etc/ca-certificates/extracted/tls-ca-bundle.pem", "update-ca-trust", "",
     "/etc/ssl/certs/ca-certificates.crt"),
    ("/etc/pki/trust/anchors", "/var/lib/ca-certificates/ca-bundle.pem", "update-ca-certificates", "", "/etc/ssl/ca-bundle.pem"),
], ids=["fedora", "arch", "opensuse"])
def test_other_systems_go_their_way_with_the_real_p11_kit(folder, p11kit, anchors, bundle, program, words, link):
    """The update program is a script there that calls p11-kit in this way; @link: where programs look for the bundle."""
    pem, key = root_pem("Fedora CA")
    leaf, _ = root_pem("nas.lan", issuer="Fedora CA", is_ca=False, confined=False, signer=key, server="nas.lan")
    with machine.Machine(folder) as there:
        for path in (anchors, str(pathlib.Path(bundle).parent), str(pathlib.Path(link).parent)):
            there.path(path).mkdir(parents=True, exist_ok=True)
        there.path(link).symlink_to(bundle)
        there.write("/etc/pkcs11/modules/p11-kit-trust.module",
                    f"module: p11-kit-trust.so\ntrust-policy: yes\nx-init-reserved: paths='{pathlib.Path(anchors).parent}'\n")
        there.program(program, f'echo "$0 $*" >>/argv\nexec trust extract --format=pem-bundle --filter=ca-anchors --overwrite '
                               f'--purpose server-auth {bundle}\n')
        there.write("/root.pem", pem.decode())
        there.write("/nas.pem", leaf.decode())
        assert there.cactl("doctor", "/nas.pem").returncode == 1
        install = there.cactl("trust", "install", "--root", "/root.pem", "--json")
        assert install.returncode == 0, install.stdout + install.stderr
        assert states(install) == {bundle: "installed"} and sha256(pem) in map(sha256, pems(there.path(bundle).read_text()))
        assert there.path("/argv").read_text().split() == [f"/usr/local/sbin/{program}", *words.split()]
        doctor = there.cactl("doctor", "/nas.pem")
        assert doctor.returncode == 0, doctor.stdout        # it finds the bundle, too
        both = there.cactl("trust", "status", "--root", "/root.pem", "--system", "--java")
        assert both.returncode == 1 and "no store of the kind --java" in both.stderr, both
        removed = there.cactl("trust", "remove", "--root", "/root.pem", "--json")
        assert removed.returncode == 0 and states(removed) == {bundle: "absent"}
        assert not list(there.path(anchors).iterdir())


# ---- what is there already ----

def test_the_root_is_found_and_removed_under_any_name_and_others_stay(here):
    mine, _ = root_pem("Same CA")
    old, _ = root_pem("Same CA")
    other, _ = root_pem("Another CA")
    for name, pem in (("mine", mine), ("old", old), ("other", other)):
        here.write(f"/{name}.pem", pem.decode())
    shutil.copy(here.path("/mine.pem"), here.path(".local/share/ca-certificates/by-hand.crt"))
    shutil.copy(here.path("/old.pem"), here.path(".local/share/ca-certificates/old.crt"))
    here.run("update-ca-certificates")
    for database, names in ((FIREFOX, ("shared name", "shared name")), (CHROMIUM, ("one", "two"))):
        nss(here, database, "-A", "-n", names[0], "-t", "CT,C,", "-i", "/mine.pem")
        nss(here, database, "-A", "-n", names[1], "-t", "CT,C,", "-i", "/old.pem")
        nss(here, database, "-A", "-n", "other", "-t", "C,,", "-i", "/other.pem")
    for alias, name in (("my mine", "mine"), ("mine again", "mine"), ("my old", "old")):
        here.run("keytool", "-importcert", "-noprompt", "-alias", alias, "-keystore", JAVA, "-storepass", "changeit", "-file", f"/{name}.pem")

    install = here.cactl("trust", "install", "--root", "/mine.pem", "--json", "--system", "--nss")
    assert install.returncode == 0, install.stdout + install.stderr
    for row in rows(install).values():
        assert row["state"] == "installed" and not row["changed"] and row["same_name"] == [sha256(old)], row
    told = here.cactl("trust", "install", "--root", "/mine.pem", "--system")
    assert "another root of the same name" in told.stdout and "--replace" in told.stdout

    removed = here.cactl("trust", "remove", "--root", "/mine.pem", "--json")
    assert removed.returncode == 0, removed.stdout + removed.stderr
    assert set(states(removed).values()) == {"absent"}
    for database in (FIREFOX, CHROMIUM):
        assert in_nss(here, database, sha256(mine)) == {}
        assert list(in_nss(here, database, sha256(old)).values()) == ["CT,C,"]
        assert list(in_nss(here, database, sha256(other)).values()) == ["C,,"]
    assert in_java(here, sha256(old)) and not in_java(here, sha256(mine))
    assert sha256(old) in map(sha256, pems(here.path(BUNDLE).read_text()))

    replaced = here.cactl("trust", "install", "--root", "/mine.pem", "--replace", "--json")
    assert replaced.returncode == 0, replaced.stdout + replaced.stderr
    for row in rows(replaced).values():
        assert row["state"] == "installed" and row["changed"] and row["same_name"] == [], row
    assert not in_java(here, sha256(old)) and in_nss(here, FIREFOX, sha256(old)) == {}
    assert sha256(old) not in map(sha256, pems(here.path(BUNDLE).read_text()))


def test_a_root_that_is_there_without_trust_is_no_success_and_install_mends_it(here):
    pem, _ = root_pem("Home CA")
    here.write("/root.pem", pem.decode())
    nss(here, FIREFOX, "-A", "-n", "some", "-t", ",,", "-i", "/root.pem")
    args = ("--root", "/root.pem", "--nss", "--json")
    assert states(here.cactl("trust", "status", *args)) == {FIREFOX: "distrusted", CHROMIUM: "absent"}
    assert states(here.cactl("trust", "install", *args)) == {FIREFOX: "installed", CHROMIUM: "installed"}
    assert in_nss(here, FIREFOX, sha256(pem)) == {"some": "C,,"}


def test_what_is_in_the_way_in_the_folder_of_roots_is_left_and_told(here):
    pem, other = (root_pem(name)[0] for name in ("Home CA", "Another CA"))
    here.write("/root.pem", pem.decode())
    folder = here.path(".local/share/ca-certificates")

    def told(action):
        done = here.cactl("trust", action, "--root", "/root.pem", "--system", "--json")
        assert done.returncode == 1 and states(done) == {BUNDLE: "failed"}, done
        return rows(done)["system", BUNDLE]["note"]
    place = folder / f"home-ca-{sha256(pem)[:8]}.crt"
    place.write_bytes(other)
    assert "is something else" in told("install") and place.read_bytes() == other
    place.write_bytes(other + pem)
    here.run("update-ca-certificates")
    assert "holds other certificates" in told("remove") and place.read_bytes() == other + pem
    place.unlink()
    here.run("update-ca-certificates", "--fresh")
    folder.chmod(0o777)
    assert "chmod o-w" in told("install") and not list(folder.iterdir())


# ---- whose rights ----

def test_a_folder_that_is_somebody_elses_is_nobodys_home(here):
    here.write("/root.pem", root_pem("Home CA")[0].decode())
    here.write("/etc/passwd", "eve:x:12399:12399::/home/anna:/bin/sh\n" + machine.PASSWD)
    status = here.cactl("trust", "status", "--root", "/root.pem", "--nss", "--json")
    assert status.returncode == 0 and {row["user"] for row in rows(status).values()} == {"anna"}, status


def cut_off(database):
    """As it is when somebody is killed in the middle of a change: pages written, and the journal to undo them."""
    files = [database, database.with_name("cert9.db-journal")]
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as db:
        db.execute("PRAGMA cache_size = 2")
        db.execute("BEGIN IMMEDIATE")
        db.execute("CREATE TABLE more (data)")
        for _ in range(50):
            db.execute("INSERT INTO more VALUES (randomblob(2000))")
        kept = [path.read_bytes() for path in files]
    owner = database.stat()
    for path, data in zip(files, kept):
        path.write_bytes(data)
        os.chown(path, owner.st_uid, owner.st_gid)


def test_a_database_in_which_somebody_was_killed_is_made_good_and_used(here):
    here.write("/mine.pem", root_pem("Kitchen CA")[0].decode())
    for words, state in ((("install", "--root", "/mine.pem"), "installed"), (("status", "--root", "/mine.pem"), "installed"),
                         (("remove", "--fingerprint", sha256(here.path("/mine.pem").read_text())), "absent")):
        cut_off(here.path(FIREFOX) / "cert9.db")
        assert "SEC_ERROR_BAD_DATABASE" in nss(here, FIREFOX, "-L").stderr
        done = here.cactl("trust", *words, "--nss", "--json")
        assert done.returncode == 0 and states(done)[FIREFOX] == state, done.stdout + done.stderr

def test_no_link_in_a_home_leads_root_into_another(here):
    pem, _ = root_pem("Home CA")
    here.write("/root.pem", pem.decode())
    make_nss(here, "/root/secret", user=0)
    here.path("/root").chmod(0o700)
    profiles = here.path("/home/bob/.mozilla/firefox")
    profiles.mkdir(parents=True)
    (profiles / "evil").symlink_to("/root/secret")
    (profiles / "more").mkdir()
    (profiles / "more/cert9.db").symlink_to("/root/secret/cert9.db")
    for path in (*here.path("/home/bob").rglob("*"),):
        os.chown(path, machine.BOB, machine.BOB, follow_symlinks=False)
    before = here.path("/root/secret/cert9.db").read_bytes()
    install = here.cactl("trust", "install", "--root", "/root.pem", "--nss", "--json")
    assert here.path("/root/secret/cert9.db").read_bytes() == before
    mine = [row for row in rows(install).values() if row["user"] == "bob"]
    assert all(row["state"] == "failed" for row in mine)
    assert states(install)[FIREFOX] == "installed"


def test_a_user_needs_root_for_the_system_and_nobody_for_her_own(here):
    pem, _ = root_pem("Home CA")
    here.write("/root.pem", pem.decode())
    install = here.cactl("trust", "install", "--root", "/root.pem", "--json", uid=machine.ANNA)
    assert install.returncode == 1
    assert states(install) == {BUNDLE: "needs_root", JAVA: "needs_root", FIREFOX: "installed", CHROMIUM: "installed"}
    own = here.cactl("trust", "install", "--root", "/root.pem", "--json", "--user", uid=machine.ANNA)
    assert own.returncode == 0 and set(states(own)) == {FIREFOX, CHROMIUM}
    assert here.cactl("trust", "status", "--root", "/root.pem", "--user", uid=machine.BOB).returncode == 1


# ---- programs that fail ----

@pytest.mark.parametrize("program, text", [("certutil", 'case "$*" in *-A*) echo cannot >&2; exit 9;; esac\nexec /usr/bin/certutil "$@"\n'),
                                           ("certutil", 'case "$*" in *-A*) exit 0;; esac\nexec /usr/bin/certutil "$@"\n'),
                                           ("keytool", 'case "$*" in *-import*) echo cannot >&2; exit 9;; esac\nexec /usr/bin/keytool "$@"\n'),
                                           ("keytool", 'case "$*" in *-import*) exit 0;; esac\nexec /usr/bin/keytool "$@"\n'),
                                           ("update-ca-certificates", "echo cannot; exit 9\n"),
                                           ("update-ca-certificates", "exit 0\n")],
                         ids=["certutil-fails", "certutil-lies", "keytool-fails", "keytool-lies", "updater-fails", "updater-lies"])
def test_a_program_that_fails_or_lies_is_a_failure(here, program, text):
    pem, _ = root_pem("Home CA")
    here.write("/root.pem", pem.decode())
    here.program(program, text)
    before = here.path(JAVA).read_bytes()
    kind = {"certutil": "--nss", "keytool": "--java", "update-ca-certificates": "--system"}[program]
    install = here.cactl("trust", "install", "--root", "/root.pem", kind)
    assert install.returncode == 1 and "failed" in install.stdout and "see above" in install.stderr, install
    assert ("cannot" if "cannot" in text else "read back") in install.stdout
    assert here.path(JAVA).read_bytes() == before


def test_a_removal_that_fails_or_lies_is_a_failure(here):
    here.write("/root.pem", root_pem("Home CA")[0].decode())
    assert here.cactl("trust", "install", "--root", "/root.pem").returncode == 0
    here.program("certutil", 'case "$*" in *-D*) echo cannot >&2; exit 9;; esac\nexec /usr/bin/certutil "$@"\n')
    here.program("keytool", 'case "$*" in *-delete*) exit 0;; esac\nexec /usr/bin/keytool "$@"\n')
    here.program("update-ca-certificates", "exit 0\n")
    removed = here.cactl("trust", "remove", "--root", "/root.pem", "--json")
    assert removed.returncode == 1 and set(states(removed).values()) == {"failed"}, removed
    notes = {where: row["note"] for (_, where), row in rows(removed).items()}
    assert "cannot" in notes[FIREFOX] and "read back" in notes[JAVA] and "read back" in notes[BUNDLE], notes
    here.write("/newer.pem", root_pem("Home CA")[0].decode())
    replaced = here.cactl("trust", "install", "--root", "/newer.pem", "--replace", "--java")
    assert replaced.returncode == 1 and "one is still there" in replaced.stdout, replaced


def test_without_certutil_the_package_is_named(folder, java_store):
    with machine.Machine(folder, hidden=("bin/keytool", "lib/jvm")) as there:
        there.path(JAVA).parent.mkdir(parents=True)
        there.path(JAVA).write_bytes(java_store)
        there.write("/root.pem", root_pem("Home CA")[0].decode())
        status = there.cactl("trust", "status", "--root", "/root.pem", "--java")
        assert status.returncode == 1 and "needs keytool" in status.stdout and "default-jre-headless" in status.stdout
    with tempfile.TemporaryDirectory() as more, machine.Machine(more, hidden=("bin/certutil",)) as there:
        there.write(FIREFOX + "/cert9.db", "")
        os.chown(there.path(FIREFOX + "/cert9.db"), machine.ANNA, machine.ANNA)
        there.write("/root.pem", root_pem("Home CA")[0].decode())
        os.chmod(more, 0o755)
        status = there.cactl("trust", "install", "--root", "/root.pem", "--nss")
        assert status.returncode == 1 and "needs certutil" in status.stdout and "libnss3-tools" in status.stdout


def test_a_primary_password_and_another_store_password_are_told(here):
    pem, _ = root_pem("Home CA")
    here.write("/root.pem", pem.decode())
    here.write("/tmp/password", "secret\n")
    here.run("rm", "-r", CHROMIUM)
    here.run("mkdir", "-p", CHROMIUM, uid=machine.ANNA)
    assert nss(here, CHROMIUM, "-N", "-f", "/tmp/password").returncode == 0
    install = here.cactl("trust", "install", "--root", "/root.pem", "--nss", "--json")
    assert install.returncode == 1 and states(install) == {FIREFOX: "installed", CHROMIUM: "failed"}
    assert "primary password" in rows(install)["nss", CHROMIUM]["note"]
    assert here.run("keytool", "-storepasswd", "-keystore", JAVA, "-storepass", "changeit", "-new", "another").returncode == 0
    install = here.cactl("trust", "install", "--root", "/root.pem", "--java")
    assert install.returncode == 1 and "--java-password-file" in install.stdout
    here.write("/pw", "another\n")
    assert here.cactl("trust", "install", "--root", "/root.pem", "--java", "--java-password-file", "/pw").returncode == 0


# ---- roots that may not be trusted ----

def refused(tmp_path, pem, *args):
    (tmp_path / "root.pem").write_bytes(pem)
    (tmp_path / "image").mkdir(exist_ok=True)
    done = subprocess.run([CACTL, "trust", "install", "--root", tmp_path / "root.pem", "--prefix", tmp_path / "image", *args], capture_output=True,
                          text=True, stdin=subprocess.DEVNULL, timeout=30, env={**cadtest.environment(), "HOME": str(tmp_path)})
    assert not cadtest.REPORTS.search(done.stderr), done.stderr
    return done


def sha1_root():
    return subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "/dev/null", "-subj", "/CN=x", "-days", "9", "-sha1"],
                          check=True, capture_output=True).stdout


@pytest.mark.sanitize
@pytest.mark.parametrize("make, why", [
    (lambda: root_pem("x", is_ca=False)[0], "no CA certificate"),
    (lambda: root_pem("x", issuer="y")[0], "an intermediate"),
    (lambda: root_pem("x", usage=False)[0], "may not sign"),
    (lambda: root_pem("x", days=(-9, -1))[0], "has expired"),
    (lambda: root_pem("x", days=(1, 9))[0], "clock"),
    (lambda: root_pem("x", key=rsa.generate_private_key(65537, 1024))[0], "key is not good enough"),
    (sha1_root, "SHA-1"),
    (lambda: root_pem("x", odd=True)[0], "critical extension"),
    (lambda: root_pem("x", confined=False)[0], "--yes"),
    (lambda: root_pem("x", confined="names alone")[0], "--yes"),
    (lambda: root_pem("x")[0] + root_pem("y")[0], "2 certificates"),
    (lambda: b"hello", "no certificate"),
], ids=["leaf", "intermediate", "usage", "expired", "future", "rsa-1024", "sha-1", "odd", "unconfined", "any-address", "two", "text"])
def test_what_may_not_be_trusted_is_refused(tmp_path, make, why):
    result = refused(tmp_path, make())
    assert result.returncode == 1 and why in result.stderr, result.stderr
    assert not list((tmp_path / "image").iterdir())


@pytest.mark.sanitize
@pytest.mark.parametrize("name, label", [("Home CA", "home-ca"), ("../../etc/passwd", "etc-passwd"), ("-rf $(id) 'x'", "rf-id-x"), ("日本", "root"),
                                         ("a" * 64, "a" * 40), ("\x1b[31mÄrger", "root")])
def test_the_name_of_a_file_in_a_store_is_harmless(tmp_path, name, label):
    pem, _ = root_pem(name)
    result = refused(tmp_path, pem, "--json")
    assert json.loads(result.stdout)["root"]["label"] == f"{label}-{sha256(pem)[:8]}"
    assert "\x1b" not in result.stderr


def test_a_wrong_fingerprint_is_refused_and_the_right_one_is_not(tmp_path):
    pem, _ = root_pem("x")
    wrong = refused(tmp_path, pem, "--fingerprint", "ab" * 32)
    assert wrong.returncode == 1 and "another root" in wrong.stderr
    right = refused(tmp_path, pem, "--fingerprint", sha256(pem))
    assert "no store was found" in right.stderr


def test_an_unconfined_root_is_warned_of_also_with_yes(tmp_path):
    result = refused(tmp_path, root_pem("x", confined=False)[0], "--yes", "--quiet")
    assert "NOT confined" in result.stderr and "no store was found" in result.stderr


# ---- servers ----

def fetched(tmp_path, url, *args):
    (tmp_path / "image").mkdir(exist_ok=True)
    return subprocess.run([CACTL, "trust", "status", "--url", url, "--prefix", tmp_path / "image", *args], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=40, env={**cadtest.environment(), "HOME": str(tmp_path)})


def test_the_root_comes_over_plain_http_too_and_nothing_without_its_fingerprint(ca, tmp_path):
    digest = sha256(ca.get("/v1/ca/root.pem").expect(200).body)
    for url in (f"http://127.0.0.1:{https.port(ca, 'http')}", f"https://127.0.0.1:{https.port(ca)}"):
        assert "no store was found" in fetched(tmp_path, url, "--fingerprint", digest).stderr
        wrong = fetched(tmp_path, url, "--fingerprint", "00" * 32)
        assert wrong.returncode == 1 and "somebody answers in its place" in wrong.stderr and digest in wrong.stderr.replace(" ", "")
        without = fetched(tmp_path, url)
        assert without.returncode == 2 and "--fingerprint" in without.stderr


def test_the_root_comes_from_the_cad_of_this_machine(ca, tmp_path):
    (tmp_path / "image").mkdir()
    result = subprocess.run([CACTL, "--socket", ca.socket, "trust", "install", "--prefix", tmp_path / "image"], capture_output=True, text=True,
                            stdin=subprocess.DEVNULL, timeout=30, env={**cadtest.environment(), "HOME": str(tmp_path)})
    digest = sha256(ca.get("/v1/ca/root.pem").expect(200).body)
    assert digest in result.stderr.replace(" ", "") and "no store was found" in result.stderr


@pytest.mark.parametrize("typed, why", [("yes", "is not in the list"), ("legal winner thank", "3 words"), ("{words}", "no store was found"),
                                        ("{hex}", "no store was found"), ("00" * 32, "another one than the fingerprint says")],
                         ids=["yes", "short", "words", "hex", "wrong"])
def test_a_terminal_is_asked_for_the_fingerprint_itself(ca, tmp_path, typed, why):
    shown = subprocess.run([CACTL, "--socket", ca.socket, "ca", "fingerprint"], check=True, capture_output=True, text=True, timeout=30).stdout
    typed = typed.format(hex=shown.splitlines()[0], words=shown.splitlines()[1])
    said = at_terminal([CACTL, "trust", "status", "--url", f"https://127.0.0.1:{https.port(ca)}", "--prefix", tmp_path], "as 'cactl", typed)
    assert why in said, said


@pytest.mark.parametrize("typed, why", [("yes", "no store was found"), ("y", "nothing was changed")])
def test_a_terminal_is_asked_about_a_root_that_is_not_confined(tmp_path, typed, why):
    (tmp_path / "root.pem").write_bytes(root_pem("x", confined=False)[0])
    said = at_terminal([CACTL, "trust", "install", "--root", tmp_path / "root.pem", "--prefix", tmp_path], "Type yes", typed)
    assert "WARNING" in said and why in said, said


def at_terminal(args, question, typed):
    """All that it says on a terminal of its own, on which @typed is typed at @question."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(args, stdin=theirs, stdout=theirs, stderr=theirs, env={**cadtest.environment(), "HOME": "/nowhere"})
    os.close(theirs)
    text, answered = "", False
    try:
        while select.select([ours], [], [], 20)[0]:
            text += os.read(ours, 4096).decode()
            if question in text and not answered:
                os.write(ours, typed.encode() + b"\n")
                answered = True
    except OSError:             # its end
        pass
    finally:
        os.close(ours)
        process.wait(20)
    return text.replace("\r\n", " ")


def drip(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    for _ in range(200):
        connection.sendall(b"x")
        time.sleep(0.1)


def endless(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n-----BEGIN CERTIFICATE-----\n")
    while True:
        connection.sendall(b"QUFB" * 4000 + b"\n")


def headers(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X-More: " + b"y" * 4000 + b"\r\n")


def stall(connection):
    time.sleep(20)


def huge(connection):
    """A TLS record that claims a handshake message of 16 MiB."""
    connection.recv(4096)
    connection.sendall(b"\x16\x03\x03\x40\x00\x02\xff\xff\xff" + b"\0" * 16380)
    while True:
        connection.sendall(b"\x16\x03\x03\x40\x00" + b"\0" * 16384)


def monster(connection):
    """It signs the handshake with a key that would take a minute to check."""
    with tempfile.TemporaryDirectory() as folder:
        context = flight.context(pathlib.Path(folder), "ECDHE-RSA-AES128-GCM-SHA256")
    flight.send(connection, context, flight.monstrous_key())
    time.sleep(20)


def nonsense(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n0\x84\xff\xff\xff\xff" + b"\0" * 24)


def redirect(connection):
    connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize("url", ["ftp://ca.lan", "ca.lan", "https://ca.lan/ca", "http://anna:x@ca.lan", "http://ca.lan/?a", "http://ca.lan/#a", "http://"])
def test_a_url_is_scheme_host_and_port_alone(tmp_path, url):
    result = fetched(tmp_path, url, "--fingerprint", "00" * 32)
    assert result.returncode == 2 and "http(s)://NAME[:PORT]" in result.stderr, result


def serve(behaviour):
    listener = socket.create_server(("127.0.0.1", 0))

    def answer():
        try:
            connection, _ = listener.accept()
            with connection:
                behaviour(connection)
        except OSError:
            pass
    threading.Thread(target=answer, daemon=True).start()
    return listener


HOSTILE = [("http", drip, 3, "within 10 s"), ("http", endless, 1, "more than 65536 bytes"), ("http", headers, None, "root.crt"),
           ("http", stall, 3, "within 10 s"), ("https", stall, 3, "within 10 s"), ("https", huge, 3, "root.pem"), ("https", monster, 3, "within 10 s"),
           ("http", nonsense, 1, "no root certificate"), ("http", redirect, 1, "status 302")]


def test_hostile_servers_are_left_in_bounded_time_with_a_reason(tmp_path):
    """All at once, for some take as long as they may."""
    listeners = [serve(row[1]) for row in HOSTILE]
    begin = time.monotonic()
    (tmp_path / "image").mkdir()
    (tmp_path / "root.pem").write_bytes(root_pem("Home CA")[0])
    other = serve(monster)      # every other call to a CA, too
    status = subprocess.Popen([CACTL, "--url", f"https://127.0.0.1:{other.getsockname()[1]}", "--root", tmp_path / "root.pem", "status"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
                              env={**cadtest.environment(), "HOME": str(tmp_path)})
    running = [subprocess.Popen([CACTL, "trust", "install", "--prefix", tmp_path / "image", "--fingerprint", "00" * 32, "--url",
                                 f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                stdin=subprocess.DEVNULL, env={**cadtest.environment(), "HOME": str(tmp_path)})
               for (scheme, *_), listener in zip(HOSTILE, listeners)]
    try:
        for (_, behaviour, code, why), process in zip(HOSTILE, running):
            out, err = process.communicate(timeout=30)
            assert process.returncode in ((1, 3) if code is None else (code,)), (behaviour.__name__, process.returncode, err)
            assert (why in err or behaviour is nonsense) and out == "" and not cadtest.REPORTS.search(err), (behaviour.__name__, err)
        out, err = status.communicate(timeout=30)
        assert (status.returncode, out) == (3, "") and "in its place" in err, (status.returncode, err)
    finally:
        for process in (*running, status):
            process.kill()
    assert time.monotonic() - begin < 20
    for listener in (*listeners, other):
        listener.close()
