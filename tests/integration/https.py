"""The daemon's HTTPS and HTTP ports as its callers reach them: client certificates, tokens, other addresses of this machine.

    me = https.identity(ca, "device", "nas.lan")        # key, CSR, certificate: issued over the socket
    https.request(ca, "GET", "/v1/ca", identity=me)     # an Answer, as cadtest's
"""

import datetime
import http.client
import ipaddress
import json
import pathlib
import ssl
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cadtest import ANSWER_S, Answer, judged


def port(ca, kind="https"):
    """The port that cad says it listens on."""
    where = json.loads((ca.state / "endpoints.json").read_text())[kind]
    return int((where[0] if isinstance(where, list) else where).rpartition(":")[2].rstrip("/"))


def key_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()


def csr_pem(key, *names):
    subject = x509.Name([])
    return x509.CertificateSigningRequestBuilder().subject_name(subject).add_extension(
        x509.SubjectAlternativeName([x509.RFC822Name(name) if "@" in name else x509.DNSName(name) for name in names]),
        critical=True).sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


class Identity:
    """A certificate (PEM, with its chain), its key, and where TLS finds them."""

    def __init__(self, folder, certificate, key, serial=None, answer=None):
        self.serial, self.answer, self.key = serial, answer, key
        with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".pem", delete=False) as out:
            out.write(certificate + key_pem(key))
        self.file = pathlib.Path(out.name)


def identity(ca, profile, *names, **fields):
    """A certificate of this CA, issued on the socket by whoever runs the test."""
    key = ec.generate_private_key(ec.SECP256R1())
    answer = ca.post("/v1/certificates", {"csr": csr_pem(key, *names), "profile": profile, **fields}).expect(201).json
    return Identity(ca.base, answer["certificate"] + answer["chain"], key, answer["serial"], answer)


def make(issuer_name, issuer_key, subject="device", eku=(ExtendedKeyUsageOID.CLIENT_AUTH,), is_ca=False, key=None, days=(-1, 30),
         key_id=None, address=None):
    """A certificate that no CA of ours has made: (certificate, key)."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.utcnow()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer_name or name).public_key(key.public_key()).serial_number(
        x509.random_serial_number()).not_valid_before(now + datetime.timedelta(days[0])).not_valid_after(
        now + datetime.timedelta(days[1])).add_extension(x509.BasicConstraints(is_ca, None), True)
    if eku:
        builder = builder.add_extension(x509.ExtendedKeyUsage(eku), False)
    if address:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), False)
    if key_id:
        builder = builder.add_extension(x509.AuthorityKeyIdentifier(key_id, None, None), False)
    return builder.sign(issuer_key or key, hashes.SHA256()), key


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def context(ca, who=None, version=None):
    """TLS that trusts this CA's root alone, and shows @who. The name is the tests' own, 127.0.0.1 or localhost."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    root = ca.base / "root.pem"
    if not root.exists():
        root.write_bytes(ca.get("/v1/ca/root.pem").expect(200).body)
    tls.load_verify_locations(root)
    tls.check_hostname = False
    if version:
        tls.minimum_version = tls.maximum_version = version
    if who:
        tls.load_cert_chain(who.file)
    return tls


def request(ca, method, path, body=None, headers=None, who=None, source="127.0.0.1", kind="https", version=None):
    """One request on a connection of its own, from @source, an address of this machine."""
    where = {"port": port(ca, kind), "timeout": ANSWER_S, "source_address": (source, 0)}
    if kind == "https":
        connection = http.client.HTTPSConnection("127.0.0.1", context=context(ca, who, version), **where)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", **where)
    try:
        connection.request(method, path, body, {"Connection": "close", **(headers or {})})
        response = connection.getresponse()
        answer = Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    finally:
        connection.close()
    return judged(method, path, answer, {"https": "tls", "http": "tcp"}[kind], body, headers)


def serve_with(server, pem_text):
    """Have a server of http.server speak TLS, with the certificates and the key in @pem_text."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(pem_text)
        file.flush()
        tls.load_cert_chain(file.name)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
