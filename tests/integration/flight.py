"""A server of TLS 1.2 whose first flight is changed on its way: for what no honest server would send."""

import contextlib
import datetime
import random
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

CERTIFICATE, SERVER_KEY_EXCHANGE = 11, 12


def certificate(public, signer):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nas.lan")])
    now = datetime.datetime.utcnow()
    return (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(public).serial_number(x509.random_serial_number())
            .not_valid_before(now).not_valid_after(now + datetime.timedelta(days=9)).sign(signer, hashes.SHA256()))


def context(folder, cipher):
    """Of an honest server with RSA, which has this cipher alone."""
    key = rsa.generate_private_key(65537, 2048)
    file = folder / "flight.pem"
    file.write_bytes(certificate(key.public_key(), key).public_bytes(serialization.Encoding.PEM) +
                     key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers(cipher)
    made.load_cert_chain(file)
    return made


def send(peer, server, change):
    """Answer a ClientHello; @change: (type of the message, body) → body."""
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = server.wrap_bio(received, sent, server_side=True)
    received.write(peer.recv(8192))
    with contextlib.suppress(ssl.SSLWantReadError):
        session.do_handshake()
    records, messages, changed = sent.read(), b"", b""
    while records:
        end = 5 + int.from_bytes(records[3:5], "big")
        messages, records = messages + records[5:end], records[end:]
    while messages:
        end = 4 + int.from_bytes(messages[1:4], "big")
        body = change(messages[0], messages[4:end])
        changed, messages = changed + messages[:1] + len(body).to_bytes(3, "big") + body, messages[end:]
    for at in range(0, len(changed), 16000):
        part = changed[at:at + 16000]
        peer.sendall(b"\x16\x03\x03" + len(part).to_bytes(2, "big") + part)


def monstrous_key(bits=65536):
    """A change: the server's key is of so many bits, with an exponent as long. To check its signature takes a minute, and more with more."""
    chance = random.Random(5).getrandbits
    public = rsa.RSAPublicNumbers(chance(bits - 6) | 1 << bits - 7 | 1, chance(bits) | 1 << bits - 1 | 1).public_key()
    shown = certificate(public, ec.generate_private_key(ec.SECP256R1())).public_bytes(serialization.Encoding.DER)

    def change(kind, body):
        if kind == CERTIFICATE:
            return (len(shown) + 3).to_bytes(3, "big") + len(shown).to_bytes(3, "big") + shown
        if kind == SERVER_KEY_EXCHANGE:         # curve, point, algorithm, signature
            return body[:4 + body[3] + 2] + (bits // 8).to_bytes(2, "big") + bytes(bits // 8 - 1) + b"\x02"
        return body
    return change


def monstrous_group(bits=65536):
    """A change: the prime of the Diffie-Hellman is of so many bits."""
    def change(kind, body):
        if kind != SERVER_KEY_EXCHANGE:
            return body
        return (bits // 8).to_bytes(2, "big") + b"\xff" * (bits // 8) + body[2 + int.from_bytes(body[:2], "big"):]
    return change
