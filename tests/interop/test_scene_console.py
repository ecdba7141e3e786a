"""Scene: the console of an appliance. Certificate, key and chain replaced, found bad, restored; files from Windows; the root for a Java client.

The CA is cad, the appliance an nginx that begins with a certificate of its own.
"""

import shutil
import subprocess

import cadtest
import pytest
import servers
from test_cactl import cactl

from deploying import Place

HERE = servers.pathlib.Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    with cadtest.Daemon() as daemon:
        daemon.folder = tmp_path_factory.mktemp("issued")
        for name in ("console.lan", "other.lan"):
            done = cactl("issue", name, "--out", daemon.folder, at=daemon)
            assert done.returncode == 0, done.stderr
        yield daemon


@pytest.fixture
def console(tmp_path):
    with servers.running("nginx", tmp_path / "console") as server:
        server.place = Place(tmp_path)
        server.own = server.shows()
        yield server


def curl(server, root, name="console.lan"):
    """(whether it got through, what it said)"""
    done = subprocess.run(["curl", "--silent", "--show-error", "--max-time", "10", "--noproxy", "*", "--cacert", root, "--resolve",
                           f"{name}:{server.port}:127.0.0.1", f"https://{name}:{server.port}/"], capture_output=True, text=True, timeout=20)
    return done.returncode == 0, done.stdout + done.stderr


def as_der(path, kind, out):
    """What a Windows console exports."""
    cadtest.openssl(kind, "-in", str(path), "-outform", "DER", "-out", str(out))
    return out


def der_of(path):
    return servers.ssl.PEM_cert_to_DER_cert(path.read_text()[:path.read_text().index("-----END CERTIFICATE-----") + 26])


def from_windows(ca, folder):
    """The same certificate as files of another world: leaf in DER, key in PEM with CRLF and a BOM, chain as PKCS#7, root in UTF-16."""
    folder.mkdir()
    issued = ca.folder / "console.lan.pem"
    leaf = as_der(issued, "x509", folder / "console.cer")
    key = folder / "console.key"
    key.write_bytes(b"\xef\xbb\xbf" + (ca.folder / "console.lan-key.pem").read_bytes().replace(b"\n", b"\r\n"))
    chain = folder / "chain.p7b"
    cadtest.openssl("crl2pkcs7", "-nocrl", "-certfile", str(issued), "-outform", "DER", "-out", str(chain))
    root = folder / "root.txt"
    root.write_bytes((ca.folder / "root.pem").read_text().replace("\n", "\r\n").encode("utf-16"))
    return ["--cert", leaf, "--key", key, "--chain", chain, "--root", root]


def test_replaced_with_files_from_windows_found_bad_and_restored(ca, console, tmp_path):
    root = ca.folder / "root.pem"
    place, words = console.place, console.options()
    assert not curl(console, root)[0], "its own certificate is nobody's"

    place.install("nginx", *words, *from_windows(ca, tmp_path / "windows"), "--name", "console.lan")
    console.comes_to_show(der_of(ca.folder / "console.lan.pem"))
    passed, text = curl(console, root)
    assert passed and text == "ok", text
    # clean PEM, as any program reads it
    for path in (console.cert, console.key):
        content = path.read_bytes()
        assert b"\r" not in content and content.startswith(b"-----BEGIN ") and content.isascii()
    assert console.cert.read_text() == (ca.folder / "console.lan.pem").read_text()

    # a wrong one is put there by somebody in a hurry: it fits, but it is another machine's
    text = place.refused("nginx", "--from", ca.folder / "other.lan")
    assert "is not for console.lan: it is for other.lan" in text
    place.install("nginx", "--from", ca.folder / "other.lan", "--name", "other.lan")
    console.comes_to_show(der_of(ca.folder / "other.lan.pem"))
    passed, text = curl(console, root)
    assert not passed and "no alternative certificate subject name matches" in text
    place.cactl("restore", "nginx")
    console.comes_to_show(der_of(ca.folder / "console.lan.pem"))
    assert curl(console, root)[0]

    # to the state in which it left the factory, and forward again
    rows = place.backups("nginx")
    place.cactl("restore", "nginx", rows[-1]["id"])
    console.comes_to_show(console.own)
    place.cactl("restore", "nginx")
    console.comes_to_show(der_of(ca.folder / "console.lan.pem"))


def test_parts_that_do_not_fit_leave_the_console_as_it_is(ca, console):
    place, words, folder = console.place, console.options(), ca.folder
    for cert, key, said in (("console.lan.pem", "other.lan-key.pem", "key and certificate do not belong together"),
                            ("root.pem", "console.lan-key.pem", "key and certificate do not belong together")):
        assert said in place.refused("nginx", *words, "--cert", folder / cert, "--key", folder / key, "--root", folder / "root.pem")
    leaf = as_der(folder / "console.lan.pem", "x509", console.folder / "leaf.der")
    text = place.refused("nginx", *words, "--cert", leaf, "--key", folder / "console.lan-key.pem", "--root", folder / "root.pem")
    assert "does not reach a root" in text
    assert console.shows() == console.own and not (place.conf / "deploy.d").exists()


def test_a_java_client_with_the_root_in_its_keystore_connects(ca, console, tmp_path):
    for program in ("java", "keytool"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    console.place.install("nginx", *console.options(), "--from", ca.folder / "console.lan", "--to-root", tmp_path / "root.pem")
    console.comes_to_show(der_of(ca.folder / "console.lan.pem"))
    store = tmp_path / "trust.p12"
    subprocess.run(["keytool", "-importcert", "-noprompt", "-alias", "home", "-file", tmp_path / "root.pem", "-keystore", store, "-storepass",
                    "changeit", "-J-XX:TieredStopAtLevel=1"], check=True, capture_output=True, timeout=60)
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 console.lan other.lan\n")
    urls = [f"https://{name}:{console.port}/" for name in ("console.lan", "other.lan")]
    done = subprocess.run(["java", "-XX:TieredStopAtLevel=1", f"-Djdk.net.hosts.file={hosts}", f"-Djavax.net.ssl.trustStore={store}",
                           "-Djavax.net.ssl.trustStorePassword=changeit", HERE / "Connect.java", *urls], capture_output=True, text=True, timeout=60)
    right, wrong = done.stdout.splitlines()
    assert right.startswith("200 ") and "CN=" in right, done.stdout + done.stderr
    assert "No subject alternative DNS name matching other.lan found" in wrong
