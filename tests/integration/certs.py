"""Certificates in tests, by the `cryptography` of Debian 12."""

import re

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def of_pem(data):
    """All certificates of a PEM text, in order."""
    return [x509.load_pem_x509_certificate(block) for block in BLOCK.findall(data if isinstance(data, bytes) else data.encode())]


def spki(holder):
    """The SubjectPublicKeyInfo of a certificate, or of a private key: to compare them by."""
    return holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def check_issued_by(certificate, issuer):
    """Name and signature."""
    assert certificate.issuer == issuer.subject
    key, signature, octets = issuer.public_key(), certificate.signature, certificate.tbs_certificate_bytes
    if isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, octets, ec.ECDSA(certificate.signature_hash_algorithm))
    elif isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(signature, octets)
    else:
        key.verify(signature, octets, padding.PKCS1v15(), certificate.signature_hash_algorithm)
