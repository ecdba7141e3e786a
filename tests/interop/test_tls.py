"""Real TLS handshakes: a server with a certificate of cad's, other people's clients.

A client that has the root and asks for the right name gets through; one that asks for another name, or
has not the root, or another CA's of the same name, does not.
"""

import contextlib
import re
import shutil

import authorities
import pytest
import tlsserver
import verifiers

pytestmark = pytest.mark.slow

CLIENT_S = "10"


def curl(port, name, root):
    done = verifiers.run("curl", "--silent", "--show-error", "--max-time", CLIENT_S, "--noproxy", "*",
                         "--cacert", root, "--connect-to", f"::127.0.0.1:{port}", "--output", "/dev/null",
                         f"https://{name}:{port}/")
    return done[0] == 0, done[1]


def openssl(port, name, root):
    option = "-verify_ip" if verifiers.kind_of(name) == "ip" else "-verify_hostname"
    code, text = verifiers.run("timeout", CLIENT_S, "openssl", "s_client", "-connect", f"127.0.0.1:{port}",
                               "-servername", "x.lan", "-no-CApath", "-no-CAstore", "-CAfile", root,
                               "-verify_return_error", option, name)
    return code == 0 and "Verify return code: 0 (ok)" in text, text


def gnutls(port, name, root):
    code, text = verifiers.run("timeout", CLIENT_S, "gnutls-cli", "--x509cafile", root,
                               "--verify-hostname", name, "--port", port, "127.0.0.1")
    return code == 0 and "Status: The certificate is trusted" in text, text


# What they say; that a connection fails for any reason at all proves nothing.
WRONG_NAME = ("no alternative certificate subject name matches|hostname mismatch|IP address mismatch"
              "|name in the certificate does not match")
UNTRUSTED = ("unable to get (local )?issuer certificate|self.signed certificate|certificate signature failure"
             "|issuer is unknown|NOT trusted")
OUTSIDE = "permitted subtree violation|violates the signer's constraints"

CLIENTS = {"curl": ("curl", curl), "openssl": ("openssl", openssl), "gnutls": ("gnutls-cli", gnutls)}

# Certificate (names, key of the leaf, init of the CA): right name, wrong name.
SERVERS = {
    "a DNS name": (("nas.lan",), "p256", (), "nas.lan", "evil.lan"),
    "a wildcard": (("*.home.lan",), "p256", (), "a.home.lan", "home.lan"),
    "an address": (("127.0.0.1", "10.0.0.1"), "p256", (), "127.0.0.1", "127.0.0.2"),
    "an RSA leaf": (("nas.lan",), "rsa-2048", (), "nas.lan", "nas.lan.evil.lan"),
    "an Ed25519 leaf": (("nas.lan",), "ed25519", (), "nas.lan", "as.lan"),
    "a P-384 leaf below RSA": (("nas.lan",), "p384", ("--key", "rsa-3072"), "nas.lan", "lan"),
}


@pytest.fixture(scope="module")
def authority():
    """authority(*init) → an Authority, one for each set of options; and one that is a stranger."""
    with contextlib.ExitStack() as stack:
        made = {}

        def of(*init):
            if init not in made:
                options = [word for word in init if word != "stranger"]
                made[init] = authorities.Authority("--name", "Home CA", *options)
                stack.callback(made[init].close)
            return made[init]
        yield of


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("label", SERVERS)
def test_a_client_with_the_root_accepts_the_right_name_alone(authority, tmp_path, client, label):
    program, connect = CLIENTS[client]
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    names, key, init, right, wrong = SERVERS[label]
    chain = authority(*init).issue(names, key)
    stranger = tmp_path / "stranger.pem"
    stranger.write_text(authority("stranger").root)
    with tlsserver.serving(chain, tmp_path / "server") as port:
        root = tmp_path / "server" / "root.pem"
        accepted, text = connect(port, right, root)
        assert accepted, text
        accepted, text = connect(port, wrong, root)
        assert not accepted and re.search(WRONG_NAME, text), f"{wrong} for {names}: {text}"
        accepted, text = connect(port, right, stranger)
        assert not accepted and re.search(UNTRUSTED, text), f"with the root of another CA: {text}"


@pytest.mark.parametrize("client", CLIENTS)
def test_a_server_that_leaves_out_the_intermediate_is_not_trusted(authority, tmp_path, client):
    program, connect = CLIENTS[client]
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    chain = authority().issue(["nas.lan"])._replace(above="")
    with tlsserver.serving(chain, tmp_path / "server") as port:
        accepted, text = connect(port, "nas.lan", tmp_path / "server" / "root.pem")
        assert not accepted and re.search(UNTRUSTED, text), text


@pytest.mark.parametrize("client", CLIENTS)
def test_a_server_with_a_stolen_intermediate_key_cannot_be_somebody_else(authority, tmp_path, client):
    program, connect = CLIENTS[client]
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    chain = authority().forge(["www.example.com"])
    with tlsserver.serving(chain, tmp_path / "server") as port:
        accepted, text = connect(port, "www.example.com", tmp_path / "server" / "root.pem")
        assert not accepted and re.search(OUTSIDE, text), text


def test_mutual_tls_knows_clients_from_servers(authority, tmp_path):
    """s_server asks for a client certificate: that of profile client passes, that of profile server not."""
    ca = authority()
    server = ca.issue(["nas.lan"])
    with tlsserver.serving(server, tmp_path / "server", "-Verify", "3", "-verify_return_error", "-CAfile",
                           "root.pem") as port:
        for profile, passes in (("client", True), ("peer", True), ("server", False)):
            folder = authorities.store(ca.issue(["pc.lan"], profile=profile), tmp_path / f"as-{profile}")
            code, text = verifiers.run(
                "curl", "--silent", "--show-error", "--max-time", CLIENT_S, "--noproxy", "*", "--cacert",
                folder / "root.pem", "--cert", folder / "chain.pem", "--key", folder / "key.pem", "--resolve",
                f"nas.lan:{port}:127.0.0.1", "--output", "/dev/null", f"https://nas.lan:{port}/")
            assert (code == 0) == passes, f"{profile}: {text}"
