"""cactl deploy with the real servers: each presents the new certificate after it, and goes on with the old one after one that failed."""

import ssl

import cadtest
import pytest
import servers
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from test_cactl import Ca

from deploying import Credential, Place, open_folder


@pytest.fixture(autouse=True, scope="module")
def built():
    cadtest.require_build()


@pytest.fixture(scope="module")
def ca():
    return Ca()


@pytest.fixture
def base():
    with open_folder() as folder:
        yield folder


def der(credential):
    return credential.cert.public_bytes(Encoding.DER)


@pytest.mark.parametrize("name", servers.SERVERS)
def test_a_server_presents_what_was_deployed(base, ca, name):
    place = Place(base)
    first, second = (Credential(ca, "nas.lan") for _ in range(2))
    first.store(base / "first")
    second.store(base / "second")
    with servers.running(name, base / "service") as server:
        own = server.shows()
        # where its files are, its configuration says
        told = place.install(name, *server.options(), "--from", base / "first").stdout
        assert "reloaded" in told
        server.comes_to_show(der(first))
        files = {path: path.stat().st_ino for path in (server.cert, server.key, server.both) if path.exists()}
        assert "up to date" in place.install(name).stdout

        # what its own check refuses, or (where it has none) a reload that fails
        if "broken" in server.row:
            server.write_config(server.row["broken"])
            text = place.refused(name, "--from", base / "second")
            assert "ended with exit status" in text, text
        else:
            text = place.refused(name, "--from", base / "second", "--reload", "false")
        assert "the old files are back" in text
        assert {path: path.stat().st_ino for path in files} == files
        assert server.shows() == der(first)
        server.write_config()

        place.install(name, "--from", base / "second")
        server.comes_to_show(der(second))
        place.cactl("restore", name, place.backups(name)[-1]["id"])
        server.comes_to_show(own)
        assert not [path for path in server.folder.iterdir() if path.name.startswith(".cactl")]
        # a server that is not there reads them when it starts
        server.stop()
        assert "it is not running" in place.install(name).stdout
        server.start()
        server.comes_to_show(der(second))


def test_a_client_with_the_root_connects(base, ca):
    """The chain is sent along: the root alone is enough."""
    place, credential = Place(base), Credential(ca, "nas.lan")
    with servers.running("nginx", base / "service") as server:
        place.install("nginx", *server.options(), "--from", credential.store(base / "src"), "--name", "nas.lan")
        server.comes_to_show(der(credential))
        context = ssl.create_default_context(cafile=base / "src" / "root.pem")
        with servers.socket.create_connection(("127.0.0.1", server.port), 5) as sock, context.wrap_socket(
                sock, server_hostname="nas.lan") as tls:
            assert x509.load_der_x509_certificate(tls.getpeercert(True)) == credential.cert
    assert place.refused("nginx", "--name", "other.lan").count("is not for other.lan") == 1
