"""CAs of cad's for the tests, what they issue, and what somebody with their stolen keys would.

    ca = authorities.make("rsa-3072")
    chain = ca.issue(["nas.lan"], key="p384")        # by cad, over its socket
    chain = ca.forge(["example.com"], below="int-1") # with the stolen key, past every check
"""

import collections
import contextlib
import datetime
import functools
import hashlib
import ipaddress
import pathlib
import shutil
import subprocess
import tempfile

import cadtest
import csrs
import signertest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

INIT_S = 60

# PEM texts: the leaf, what is between, the root; and the leaf's private key where it is known.
Chain = collections.namedtuple("Chain", "leaf above root key", defaults=(None,))

EKUS = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH,
        "email": ExtendedKeyUsageOID.EMAIL_PROTECTION}


@functools.lru_cache(None)
def leaf_key(kind):
    """A private key of each kind, made once."""
    return {"p256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
            "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
            "ed25519": ed25519.Ed25519PrivateKey.generate,
            "rsa-2048": lambda: rsa.generate_private_key(65537, 2048)}[kind]()


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption()).decode()


def general_name(text):
    """A SubjectAltName entry: "IP", "a@b", "scheme://…", else DNS."""
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(text))
    if "://" in text:
        return x509.UniformResourceIdentifier(text)
    return x509.RFC822Name(text) if "@" in text else x509.DNSName(text)


def leaf_builder(subject, names, public_key, issuer, usages=("server",)):
    """A certificate like cad's, whatever it says, below @issuer (a certificate)."""
    now = datetime.datetime.utcnow()
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer.subject) \
        .public_key(public_key).serial_number(x509.random_serial_number()) \
        .not_valid_before(now - datetime.timedelta(hours=1)) \
        .not_valid_after(now + datetime.timedelta(days=30)) \
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), False) \
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
            issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value), False)
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage([EKUS[use] for use in usages]), False)
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([general_name(name) for name in names]), False)
    return builder


def usage_of_leaf():
    return x509.KeyUsage(True, False, False, False, False, False, False, False, False)


def usage_of_ca():
    return x509.KeyUsage(False, False, False, False, False, True, True, False, False)


class Authority:
    """A CA in a directory of its own, with cad running until close()."""

    def __init__(self, *init):
        cadtest.require_build()
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="cad-interop-"))
        self.state = self.base / "state"
        try:
            done = subprocess.run([cadtest.CAD, "init", "--state-dir", self.state, *init],
                                  capture_output=True, text=True, timeout=INIT_S,
                                  env=cadtest.environment())
            assert done.returncode == 0, done.stderr
            self.daemon = cadtest.Daemon(state=self.state).__enter__()
        except BaseException:
            shutil.rmtree(self.base, ignore_errors=True)
            raise

    def close(self):
        self.daemon.close()
        shutil.rmtree(self.base, ignore_errors=True)

    # -- as cad issues -----------------------------------------------------------------------

    @functools.cached_property
    def root(self):
        return self.daemon.get("/v1/ca/root.pem").expect(200).body.decode()

    def issue(self, names, key="p256", profile="server", csr_names=True, **more):
        """A chain for these names; with @csr_names they are in the CSR, else in the JSON."""
        private = leaf_key(key)
        csr = csrs.csr(csrs.Foreign(private),
                       names=[signertest.general_name(name) for name in names] if csr_names else None)
        if not csr_names:
            more["names"] = list(names)
        found = self.daemon.issue(csr, profile=profile, **more).expect(201).json
        return Chain(found["certificate"], found["chain"], self.root, key_pem(private))

    # -- with the stolen keys ----------------------------------------------------------------

    def stolen(self, name):
        """(certificate, private key) of "root", "int-1" or "int-2"."""
        folder = self.state / "signer" / "ca"
        key = serialization.load_pem_private_key((folder / f"{name}.key").read_bytes(), None)
        return x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes()), key

    @staticmethod
    def sign(builder, key):
        digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        return builder.sign(key, digest)

    def forge(self, names, below="int-1", usages=("server",), common_name=None):
        """What somebody with the key of @below would sign: nothing is checked."""
        issuer, key = self.stolen(below)
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Forged")]
        if common_name:
            attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
        private = leaf_key("p256")
        builder = leaf_builder(x509.Name(attributes), names, private.public_key(), issuer, usages) \
            .add_extension(x509.BasicConstraints(False, None), True) \
            .add_extension(usage_of_leaf(), True)
        return Chain(pem(self.sign(builder, key)), "" if below == "root" else pem(issuer), self.root,
                     key_pem(private))

    def forge_below_a_ca_of_ones_own(self, names):
        """A CA below the intermediate, which may have none (pathLen 0), and a leaf below that."""
        issuer, key = self.stolen("int-1")
        own = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Forged CA")])
        ca = self.sign(leaf_builder(subject, (), own.public_key(), issuer, ())
                       .add_extension(x509.BasicConstraints(True, None), True)
                       .add_extension(usage_of_ca(), True), key)
        private = leaf_key("p256")
        leaf = leaf_builder(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Forged")]), names,
                            private.public_key(), ca) \
            .add_extension(x509.BasicConstraints(False, None), True) \
            .add_extension(usage_of_leaf(), True)
        return Chain(pem(self.sign(leaf, own)), pem(ca) + pem(issuer), self.root, key_pem(private))


def store(chain, folder):
    """Write a chain where programs find it: see verifiers.py."""
    folder.mkdir(parents=True)
    for name, text in (("root.pem", chain.root), ("leaf.pem", chain.leaf), ("above.pem", chain.above),
                       ("chain.pem", chain.leaf + chain.above), ("key.pem", chain.key or "")):
        (folder / name).write_text(text)
    return folder


def short_hash(text):
    return hashlib.sha256(text.encode()).hexdigest()[:8]
