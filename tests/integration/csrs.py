"""PKCS#10 requests, good and bad (RFC 2986), byte by byte.

A key gives its SubjectPublicKeyInfo, the signature algorithm and a signature over any bytes, so
that whatever is wrong with a request, its proof of possession is right wherever that is possible
at all: the test then sees the refusal that it is about. Where it is not possible, the key's
`proves` is False.

RSA is done here with pow(), because no library signs with the moduli that are wanted. Its primes
are public: they are computed from pi and e, the first suitable one at or after a round number
(the offsets below were searched for once), so nothing slow runs and no private key lies in the
repository. None of this is secret, constant-time or fit for anything but tests.
"""

import base64
import functools
import hashlib
import math

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, ed448, utils, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import der

OID_RSA = "1.2.840.113549.1.1.1"
OID_RSA_PSS = "1.2.840.113549.1.1.10"
OID_EC = "1.2.840.10045.2.1"
OID_P192, OID_P256 = "1.2.840.10045.3.1.1", "1.2.840.10045.3.1.7"
OID_P384, OID_P521 = "1.3.132.0.34", "1.3.132.0.35"
OID_ED25519, OID_ED448, OID_X25519 = "1.3.101.112", "1.3.101.113", "1.3.101.110"
OID_DSA = "1.2.840.10040.4.1"
OID_ML_DSA_65 = "2.16.840.1.101.3.4.3.18"

OID_CN, OID_SERIAL, OID_C, OID_L, OID_ST = "2.5.4.3", "2.5.4.5", "2.5.4.6", "2.5.4.7", "2.5.4.8"
OID_O, OID_OU = "2.5.4.10", "2.5.4.11"

OID_EXTENSION_REQUEST = "1.2.840.113549.1.9.14"
OID_CHALLENGE_PASSWORD = "1.2.840.113549.1.9.7"
OID_SKI, OID_KU, OID_SAN, OID_IAN = "2.5.29.14", "2.5.29.15", "2.5.29.17", "2.5.29.18"
OID_BC, OID_NC, OID_CDP, OID_POLICIES = "2.5.29.19", "2.5.29.30", "2.5.29.31", "2.5.29.32"
OID_AKI, OID_EKU, OID_AIA = "2.5.29.35", "2.5.29.37", "1.3.6.1.5.5.7.1.1"

# name: (DigestInfo algorithm, sha*WithRSAEncryption, ecdsa-with-SHA*)
DIGESTS = {
    "md5": ("1.2.840.113549.2.5", "1.2.840.113549.1.1.4", None),
    "sha1": ("1.3.14.3.2.26", "1.2.840.113549.1.1.5", "1.2.840.10045.4.1"),
    "sha256": ("2.16.840.1.101.3.4.2.1", "1.2.840.113549.1.1.11", "1.2.840.10045.4.3.2"),
    "sha384": ("2.16.840.1.101.3.4.2.2", "1.2.840.113549.1.1.12", "1.2.840.10045.4.3.3"),
    "sha512": ("2.16.840.1.101.3.4.2.3", "1.2.840.113549.1.1.13", "1.2.840.10045.4.3.4"),
}


class NoSignature(Exception):
    """This key has no signature for these bytes (even exponents: three messages in four)."""


# -- Numbers -----------------------------------------------------------------------------------

@functools.lru_cache(None)
def pi_floor(bits):
    """floor(pi * 2^bits), by Machin's formula."""
    one = 1 << (bits + 64)

    def arctan_of_inverse(x):
        term, total, n, sign = one // x, 0, 1, 1
        while term:
            total += sign * (term // n)
            term, n, sign = term // (x * x), n + 2, -sign
        return total

    return 4 * (4 * arctan_of_inverse(5) - arctan_of_inverse(239)) >> 64


@functools.lru_cache(None)
def e_floor(bits):
    """floor(e * 2^bits)."""
    term, total, k = 1 << (bits + 64), 0, 1
    while term:
        total, term, k = total + term, term // k, k + 1
    return total >> 64


# Both sources have two integer bits, so that source(n - 2) has n bits, and a prime of each gives
# a modulus of exactly the sum. Each p = 11 mod 12: exponent 3 is invertible, and -1 no square.
PRIME_OFFSETS = {
    ("pi", 512): 938, ("pi", 1024): 665, ("pi", 1536): 584,
    ("e", 512): 346, ("e", 1015): 866, ("e", 1023): 4407, ("e", 1024): 522, ("e", 1025): 996,
    ("e", 1032): 1618, ("e", 1536): 6120,
}
# The well-known groups of RFC 3526 (from pi) and RFC 7919 (from e).
GROUP_OFFSETS = {
    ("pi", 2048): 124476, ("pi", 4096): 240904, ("pi", 8192): 4743158,
    ("e", 2048): 560316, ("e", 4096): 5736041, ("e", 8192): 10965728,
}


def prime(source, bits):
    """The public prime of this many bits made from "pi" or "e"."""
    floor = pi_floor if source == "pi" else e_floor
    if (source, bits) in PRIME_OFFSETS:
        return floor(bits - 2) + PRIME_OFFSETS[source, bits]
    digits = floor(bits - 130) + GROUP_OFFSETS[source, bits]
    return 2**bits - 2**(bits - 64) - 1 + (digits << 64)


def roca_prime(power):
    """A prime k * M + 65537^power mod M of the shape of CVE-2017-15361, M being a primorial."""
    small = [n for n in range(2, 702) if all(n % d for d in range(2, math.isqrt(n) + 1))]
    primorial = math.prod(small)            # the first 126 primes: 971 bits
    first, offset = {1001: (3 << 1022, 61), 2002: (7 << 1021, 291)}[power]
    return (first // primorial + offset) * primorial + pow(65537, power, primorial)


# -- Keys --------------------------------------------------------------------------------------

class RsaKey:
    """RSA from the primes of its modulus: any number of them, any exponent."""

    def __init__(self, *factors, e=65537, digest="sha256", n=None, n_der=None, e_der=None,
                 params=None):
        self.factors, self.e, self.digest = factors, e, digest
        self.n = math.prod(factors) if n is None else n
        self.proves = bool(factors) and e > 0
        number = der.seq(n_der or der.integer(self.n), e_der or der.integer(e))
        params = der.null() if params is None else params
        self.spki = der.seq(der.seq(der.oid(OID_RSA), params), der.bits(number))

    @property
    def sigalg(self):
        return der.seq(der.oid(DIGESTS[self.digest][1]), der.null())

    def _exponent(self, p):
        """The inverse of e for one prime; for e = 2^k the root that is itself a square."""
        if math.gcd(self.e, p - 1) == 1:
            return pow(self.e, -1, p - 1)
        if self.e & (self.e - 1) or p % 4 != 3:
            raise NoSignature("e has no inverse and is no power of two")
        return pow((p + 1) // 4, self.e.bit_length() - 1, (p - 1) // 2)

    def padded(self, data):
        """EMSA-PKCS1-v1_5 (RFC 8017 §9.2) as a number."""
        info = der.seq(der.seq(der.oid(DIGESTS[self.digest][0]), der.null()),
                       der.octets(hashlib.new(self.digest, data).digest()))
        size = (self.n.bit_length() + 7) // 8
        return int.from_bytes(b"\0\1" + b"\xff" * (size - 3 - len(info)) + b"\0" + info, "big")

    def sign(self, data):
        if not self.proves:
            return b"\x5a" * max(1, (abs(self.n).bit_length() + 7) // 8)
        message = self.padded(data)
        signature, modulus = 0, 1
        for p in self.factors:              # Chinese remainders, one prime after the other
            root = message % 2 if p == 2 else pow(message % p, self._exponent(p), p)
            signature += modulus * ((root - signature) * pow(modulus, -1, p) % p)
            modulus *= p
        if pow(signature, self.e, self.n) != message:
            raise NoSignature("no root of this message")
        return signature.to_bytes((self.n.bit_length() + 7) // 8, "big")

    def verify(self, data, signature):
        return pow(int.from_bytes(signature, "big"), self.e, self.n) == self.padded(data)


def rsa(bits=2048, **more):
    """A sound RSA key of one of the sizes that there are primes for."""
    halves = {1024: (512, 512), 2047: (1024, 1023), 2048: (1024, 1024), 2049: (1024, 1025),
              2056: (1024, 1032), 3072: (1536, 1536), 4096: (2048, 2048), 8192: (4096, 4096),
              16384: (8192, 8192)}[bits]
    return RsaKey(prime("pi", halves[0]), prime("e", halves[1]), **more)


class EcKey:
    """ECDSA on a curve of the library, its public key given out in any shape."""

    def __init__(self, curve=None, secret=None, digest="sha256", params=None, point=None,
                 spki=None, proves=True):
        curve = curve or ec.SECP256R1()
        self.key = ec.derive_private_key(secret,
            curve) if secret else ec.generate_private_key(curve)
        self.digest, self.proves = digest, proves
        native = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        (_, algorithm, _), (_, key_bits, _) = der.split(der.split(native)[0][1])
        self.params = der.split(algorithm)[1][2]
        self.point = key_bits[1:]
        params = self.params if params is None else params
        point = self.point if point is None else point
        self.spki = spki or der.seq(der.seq(der.oid(OID_EC), params), der.bits(point))

    @property
    def sigalg(self):
        return der.seq(der.oid(DIGESTS[self.digest][2]))

    def sign(self, data):
        return self.key.sign(data, ec.ECDSA(getattr(hashes, self.digest.upper())()))

    def verify(self, data, signature):
        self.key.public_key().verify(signature, data,
                                     ec.ECDSA(getattr(hashes, self.digest.upper())()))
        return True


class P256:
    """The numbers of P-256 (SEC 2 §2.4.2), for explicit parameters and impossible points."""
    p = 2**256 - 2**224 + 2**192 + 2**96 - 1
    a = p - 3
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    g = (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
         0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)
    n = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

    @classmethod
    def point(cls, x, y, form=4):
        return bytes([form]) + x.to_bytes(32, "big") + y.to_bytes(32, "big")

    @classmethod
    def explicit(cls, b=None, g=None):
        """ECParameters written out (RFC 3279 §2.3.5), which RFC 5480 forbids."""
        size = lambda value: der.octets(value.to_bytes(32, "big"))
        return der.seq(der.integer(1),
                       der.seq(der.oid("1.2.840.10045.1.1"), der.integer(cls.p)),
                       der.seq(size(cls.a), size(cls.b if b is None else b)),
                       der.octets(cls.point(*(g or cls.g))), der.integer(cls.n), der.integer(1))


class EcInfinity:
    """The point at infinity as public key: its secret is 0, so that everybody can sign for it."""
    proves = True
    sigalg = der.seq(der.oid(DIGESTS["sha256"][2]))

    def __init__(self, point=b"\0"):
        self.spki = der.seq(der.seq(der.oid(OID_EC), der.oid(OID_P256)), der.bits(point))

    def sign(self, data):
        nonce = 0x1234567
        r = ec.derive_private_key(nonce, ec.SECP256R1()).public_key().public_numbers().x % P256.n
        z = int.from_bytes(hashlib.sha256(data).digest(), "big")
        return utils.encode_dss_signature(r, z * pow(nonce, -1, P256.n) % P256.n)

    def verify(self, data, signature):
        r, s = utils.decode_dss_signature(signature)
        u1 = int.from_bytes(hashlib.sha256(data).digest(), "big") * pow(s, -1, P256.n) % P256.n
        return ec.derive_private_key(u1,
            ec.SECP256R1()).public_key().public_numbers().x % P256.n == r


class EdKey:
    """Ed25519 or Ed448; the public key may be given out in any shape."""

    def __init__(self, oid=OID_ED25519, params=b"", public=None, proves=True):
        kind = {OID_ED25519: ed25519.Ed25519PrivateKey, OID_ED448: ed448.Ed448PrivateKey}[oid]
        self.key, self.proves = kind.generate(), proves
        self.public = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.sigalg = der.seq(der.oid(oid))
        self.spki = der.seq(der.seq(der.oid(oid), params),
                            der.bits(self.public if public is None else public))

    def sign(self, data):
        return self.key.sign(data)

    def verify(self, data, signature):
        self.key.public_key().verify(signature, data)
        return True


class EdIdentity:
    """The neutral element as Ed25519 key: R = neutral, S = 0 is a signature for every message."""
    proves = True
    sigalg = der.seq(der.oid(OID_ED25519))
    spki = der.seq(der.seq(der.oid(OID_ED25519)), der.bits(b"\1" + bytes(31)))

    def sign(self, data):
        return b"\1" + bytes(63)

    def verify(self, data, signature):
        return True         # [S]B = 0 and R + [k]A = 0 + [k]0, whatever k is


class DsaKey:
    """DSA with a 2048-bit p and a 256-bit q (FIPS 186-4 §4)."""
    proves = True
    sigalg = der.seq(der.oid("2.16.840.1.101.3.4.3.2"))

    def __init__(self):
        self.q = pi_floor(254) + 87
        self.p = 2 * self.q * (pi_floor(2046) // (2 * self.q) + 1521) + 1
        self.g = pow(2, (self.p - 1) // self.q, self.p)
        self.x = 0x5EC2E7
        self.y = pow(self.g, self.x, self.p)
        params = der.seq(*(der.integer(n) for n in (self.p, self.q, self.g)))
        self.spki = der.seq(der.seq(der.oid(OID_DSA), params), der.bits(der.integer(self.y)))

    def sign(self, data):
        k, z = 0x7654321, int.from_bytes(hashlib.sha256(data).digest(), "big")
        r = pow(self.g, k, self.p) % self.q
        return utils.encode_dss_signature(r, pow(k, -1, self.q) * (z + self.x * r) % self.q)

    def verify(self, data, signature):
        r, s = utils.decode_dss_signature(signature)
        w, z = pow(s, -1, self.q), int.from_bytes(hashlib.sha256(data).digest(), "big")
        return pow(self.g, z * w % self.q, self.p) * pow(self.y, r * w % self.q, self.p) \
            % self.p % self.q == r


class BareKey:
    """An SPKI that nothing here can sign for; the signature is made up."""
    proves = False

    def __init__(self, oid, public, params=b"", sigalg=None, signature_size=64):
        self.spki = der.seq(der.seq(der.oid(oid), params), der.bits(public))
        self.sigalg = sigalg or der.seq(der.oid(oid))
        self.size = signature_size

    def sign(self, data):
        return b"\x5a" * self.size


class Foreign:
    """Somebody else's private key, as the cryptography library loaded it."""
    proves = True

    def __init__(self, key):
        self.key = key
        self.spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            self.sigalg = der.seq(der.oid(DIGESTS["sha256"][2]))
            self.sign = lambda data: key.sign(data, ec.ECDSA(hashes.SHA256()))
        elif isinstance(key, ed25519.Ed25519PrivateKey):
            self.sigalg, self.sign = der.seq(der.oid(OID_ED25519)), key.sign
        else:
            from cryptography.hazmat.primitives.asymmetric import padding
            self.sigalg = der.seq(der.oid(DIGESTS["sha256"][1]), der.null())
            self.sign = lambda data: key.sign(data, padding.PKCS1v15(), hashes.SHA256())


@functools.lru_cache(None)
def p256():
    """The P-256 key of all requests that are about something else: always one, with an even y."""
    return EcKey(secret=int.from_bytes(hashlib.sha256(b"cad tests 3245").digest(), "big"))


def x25519_key():
    public = x25519.X25519PrivateKey.generate().public_key().public_bytes(Encoding.Raw,
    PublicFormat.Raw)
    return BareKey(OID_X25519, public, sigalg=der.seq(der.oid(OID_ED25519)))


# -- Names -------------------------------------------------------------------------------------

def ava(oid, value):
    """One attribute of a name; @value is text (UTF8String, C and serialNumber as
    PrintableString) or an encoded element."""
    if isinstance(value, str):
        value = (der.printable if oid in (OID_C, OID_SERIAL) else der.utf8)(value)
    return der.seq(der.oid(oid), value)


def dn(*attributes):
    """A Name of (oid, value) pairs, one RDN each; a list of pairs makes one multi-valued RDN."""
    rdns = [rdn if isinstance(rdn, list) else [rdn] for rdn in attributes]
    return der.seq(*(der.set_of(*(ava(*pair) for pair in rdn)) for rdn in rdns))


def cn(value):
    return dn((OID_CN, value))


def dns(name):
    return der.implicit(2, name.encode("ascii") if isinstance(name, str) else name)


def email(name):
    return der.implicit(1, name.encode("ascii") if isinstance(name, str) else name)


def uri(name):
    return der.implicit(6, name.encode())


def ip(octets):
    return der.implicit(7, bytes(octets))


# -- Requests ----------------------------------------------------------------------------------

def extension(oid, value, critical=None):
    """@critical: True or False is written out, None leaves it out; bytes go in as they are."""
    if isinstance(critical, bool):
        critical = der.boolean(critical)
    return der.seq(der.oid(oid), critical or b"", der.octets(value))


def san(*names, critical=None):
    return extension(OID_SAN, der.seq(*names), critical)


def basic_constraints(*parts, critical=True):
    return extension(OID_BC, der.seq(*parts), critical)


def key_usage(*bits):
    return extension(OID_KU, der.named_bits(*bits), True)


def ext_key_usage(*oids):
    return extension(OID_EKU, der.seq(*(der.oid(oid) for oid in oids)))


def attribute(oid, *values):
    return der.seq(der.oid(oid), der.set_of(*values))


def extension_request(*extensions):
    return attribute(OID_EXTENSION_REQUEST, der.seq(*extensions))


def info(key, subject=None, names=None, extensions=(), attributes=None, version=None):
    """CertificationRequestInfo.

    @subject:    encoded Name, empty by default
    @names:      GeneralNames for a subjectAltName, before the other @extensions
    @attributes: encoded attributes in place of those that @names and @extensions make
    @version:    encoded version, by default v1(0)
    """
    if names is not None:
        extensions = (san(*names), *extensions)
    if attributes is None:
        attributes = [extension_request(*extensions)] if extensions else []
    return der.seq(version or der.integer(0), subject or der.seq(), key.spki,
                   der.explicit(0, *sorted(attributes)))


def sign(tbs, key, signature=None, sigalg=None):
    """CertificationRequest over @tbs; @signature and @sigalg replace what the key gives."""
    value = key.sign(tbs) if signature is None else signature
    return der.seq(tbs, sigalg or key.sigalg, der.bits(value))


def csr(key=None, *, signature=None, sigalg=None, **parts):
    """A whole request in DER; see info() for @parts."""
    key = key or p256()
    return sign(info(key, **parts), key, signature, sigalg)


def pem(data, label="CERTIFICATE REQUEST", eol="\n", width=64):
    text = base64.b64encode(data).decode()
    lines = [text[at:at + width] for at in range(0, len(text), width)]
    return eol.join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def parts(request):
    """(tbs, algorithm, signature) of a request in strict DER; ValueError otherwise."""
    (_, body, whole), = der.split(request)
    (_, _, tbs), (_, _, algorithm), (_, signature, _) = der.split(body)
    return tbs, algorithm, signature[1:]
