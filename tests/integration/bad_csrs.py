"""The table of bad requests: what a hostile, broken or merely odd client sends for a certificate.

A row is one request and what has to come of it. Ids begin with the number of the row in the
list of bad inputs that they answer to (1 to 30), so that a gap is seen at once:

 1 proof of possession     2 weak signatures        3 CA wishes         4 extended key usages
 5 other extensions        6 RSA sizes              7 RSA exponents     8 RSA moduli
 9 listed weak keys       10 EC keys               11 other key types  12 reserved keys
13 key of another subject 14 no names              15 too many names   16 duplicate names
17 NUL in names           18 DNS syntax            19 IDN              20 string encodings
21 X.520 bounds           22 odd subjects          23 IP addresses     24 other name types
25 doubled, unknown, empty 26 BER                  27 lengths, nesting 28 PEM
29 challengePassword      30 names of others

Some rows must be *accepted*: they sit at the edge of a rule and keep it from being too wide.
Every request carries a true proof of possession, unless the row says why there is none.
"""

import base64
import dataclasses
import datetime
import functools
import hashlib
import json
import math
import re
import subprocess
import typing

from cryptography import x509
from cryptography.hazmat.primitives import serialization

import csrs
import der
from csrs import (OID_BC, OID_CN, OID_EKU, OID_KU, OID_O, OID_SAN, OID_SKI, RsaKey, P256, cn, csr,
                  dn, dns, email, ext_key_usage, extension, extension_request, info, ip, key_usage,
                  p256, pem, prime, rsa, san, sign, uri)

CSR_MAX = 64 * 1024         # bytes of DER
BODY_MAX = 128 * 1024       # bytes of JSON
NAMES_MAX = 100
QUICK_MS = 50               # processor time within which a costly key or structure is refused

STATUSES = {"body-too-large": {413}, "media-type": {415}}
STATUSES_ELSE = {400, 403, 422}


@dataclasses.dataclass
class Request:
    """@csr and @key are for proving the generator; @canaries may be found neither in a log nor,
    with @canaries_anywhere, in any file of the state directory."""
    body: bytes
    type: str = "application/json"
    csr: typing.Optional[bytes] = None
    key: typing.Any = None
    canaries: tuple = ()
    canaries_anywhere: bool = False


@dataclasses.dataclass(frozen=True)
class Refused:
    """@field and @says are regular expressions: for all of `field`, and for a part of `detail`."""
    slugs: frozenset
    field: str
    says: str = ""


@dataclasses.dataclass(frozen=True)
class Accepted:
    """@names: those of the certificate, in text; @cn: its whole subject, None for an empty one, by
    default the first DNS name that a CN has room for; @check: called with (answer, certificate) for
    the rest."""
    names: tuple
    cn: typing.Optional[str] = ...
    check: typing.Optional[typing.Callable] = None

    @property
    def common_name(self):
        fits = [name for name in self.names if len(name) <= 64 and re.fullmatch(r"[^:@/]*[a-z]", name)]
        return self.cn if self.cn is not ... else fits[0] if fits else None


@dataclasses.dataclass(frozen=True)
class Row:
    """@make is given the running CA (None where the generator is proved without one) and prepares
    what the row needs; @unproved says why there is no valid proof of possession; @quick: refused
    within QUICK_MS; @live: @make needs the CA; @missing: why the row cannot run, if it cannot."""
    id: str
    why: str
    make: typing.Callable
    expect: typing.Any
    unproved: str = ""
    quick: bool = False
    live: bool = False
    missing: str = ""


ROWS = []


def listed_key():
    """A sound key that no other row has."""
    return RsaKey(prime("pi", 1536), prime("e", 1032))


def weak_keys():
    """A list as Debian's openssl-blacklist has them, made as its manual page says. It holds one key of the rows."""
    printed = subprocess.run(["openssl", "req", "-inform", "DER", "-noout", "-modulus"], check=True,
        input=csr(listed_key(), names=[dns("nas.lan")]), capture_output=True).stdout
    return (b"# in the form of openssl-blacklist\n00005890bc78bcbee3ca\n" +
            hashlib.sha1(printed).hexdigest()[20:].encode() + b"\nffff5c9c49fd31e889a3\n")


def row(id, why, make, expect, **more):
    ROWS.append(Row(id, why, make, expect, **more))


def refused(slugs, field, says=""):
    return Refused(frozenset(slugs.split()), field, says)


# -- Bodies ------------------------------------------------------------------------------------

def wish(key=None, fields=None, **parts):
    """JSON with a CSR of these parts (see csrs.csr); @fields are the other members."""
    key = key or p256()
    return wish_der(csr(key, **parts), fields, key)


def wish_der(request, fields=None, key=None):
    return wish_text(pem(request), fields, request, key)


def wish_text(text, fields=None, request=None, key=None):
    body = json.dumps({"csr": text, **(fields or {})}).encode()
    return Request(body, csr=request, key=key)


def wish_signed(tbs, key=None):
    """A CSR over any CertificationRequestInfo, well or badly encoded."""
    key = key or p256()
    return wish_der(sign(tbs, key), key=key)


def raw(body, type="application/pkcs10", **more):
    return Request(body, type, **more)


def named(*names, **parts):
    """A CSR for these GeneralNames, nas.lan by default."""
    return wish(names=names or (dns("nas.lan"),), **parts)


def keyed(key):
    """A good CSR for nas.lan with this key."""
    return wish(key, names=[dns("nas.lan")])


def asked(*names, **fields):
    """A CSR without a name of its own; the names are in the JSON."""
    return wish(fields={"names": list(names), **fields})


NAS = Accepted(("nas.lan",))
EXTENSION = "csr-extension"
NAME = "name-invalid"
KEY_FIELD = r"csr\.key(\..+)?"
ANY_CSR_FIELD = r"csr(\..+)?"


def ext_field(name, oid):
    return r"csr\.extensions\.(%s|%s)" % (name, re.escape(oid))


def quoted(value):
    return re.escape(value)


# -- 1, 2: signatures --------------------------------------------------------------------------

SIGNATURE = refused("csr-signature", r"csr(\.signature)?", "possession|signature")
FORGED = "the signature is what is wrong"


def flipped():
    request = bytearray(csr(names=[dns("nas.lan")]))
    request[-1] ^= 1
    return wish_der(bytes(request))


def with_signature(signature, key=None):
    return wish(key, names=[dns("nas.lan")], signature=signature)


row("01-bit-flipped", "one bit of the signature is wrong", lambda ca: flipped(), SIGNATURE,
    unproved=FORGED)
row("01-other-key", "signed by a key that is not the one in it",
    lambda ca: wish_der(sign(info(p256(), names=[dns("nas.lan")]), csrs.EcKey())), SIGNATURE,
    unproved=FORGED)
row("01-other-request", "a true signature of the same key, over another request",
    lambda ca: with_signature(p256().sign(b"another request")), SIGNATURE, unproved=FORGED)
row("01-empty", "a signature of no octets", lambda ca: with_signature(b""),
    refused("csr-signature csr-malformed", r"csr(\.signature)?"), unproved=FORGED)
row("01-zero", "r = s = 0 (CVE-2022-21449)",
    lambda ca: with_signature(der.seq(der.integer(0), der.integer(0))), SIGNATURE, unproved=FORGED)
row("01-order", "r and s are the order of the curve",
    lambda ca: with_signature(der.seq(der.integer(P256.n), der.integer(P256.n))), SIGNATURE,
    unproved=FORGED)
row("01-trailing", "a true ECDSA signature with an octet after it",
    lambda ca: with_signature(p256().sign(info(p256(), names=[dns("nas.lan")])) + b"\0"),
    refused("csr-signature csr-malformed", r"csr(\.signature)?"), unproved=FORGED)
row("01-algorithm-of-other-key", "an EC key under sha256WithRSAEncryption",
    lambda ca: wish(names=[dns("nas.lan")], sigalg=rsa().sigalg),
    refused("csr-signature csr-malformed csr-weak-signature", r"csr(\.signature)?"),
    unproved=FORGED)
row("01-algorithm-unknown", "a signature algorithm that nobody knows",
    lambda ca: wish(names=[dns("nas.lan")], sigalg=der.seq(der.oid("1.3.6.1.4.1.99999.1"))),
    refused("csr-signature csr-malformed csr-weak-signature", r"csr(\.signature)?"),
    unproved=FORGED)
row("01-rsa-one", "an RSA signature that is the number 1",
    lambda ca: with_signature(bytes(255) + b"\1", rsa()), SIGNATURE, unproved=FORGED)

WEAK_SIGNATURE = refused("csr-weak-signature", r"csr(\.signature)?", r"sha-?1|md5")
row("02-rsa-sha1", "signed with SHA-1", lambda ca: keyed(rsa(digest="sha1")), WEAK_SIGNATURE)
row("02-rsa-md5", "signed with MD5", lambda ca: keyed(rsa(digest="md5")), WEAK_SIGNATURE)
row("02-ecdsa-sha1", "signed with SHA-1", lambda ca: keyed(csrs.EcKey(digest="sha1")),
    WEAK_SIGNATURE)

# -- 3, 4, 5: what the CSR asks for ------------------------------------------------------------

TRUE = der.boolean(True)
BC_FIELD = ext_field("basicConstraints", OID_BC)
KU_FIELD = ext_field("keyUsage", OID_KU)
EKU_FIELD = ext_field("(ext|extended)KeyUsage", OID_EKU)
SERVER_AUTH, CLIENT_AUTH = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"


def extended(*extensions):
    """A good CSR for nas.lan with these extensions."""
    return named(extensions=extensions)


for slug, why, parts in (
        ("ca", "CA:TRUE", [TRUE]),
        ("ca-pathlen", "CA:TRUE, pathlen:0", [TRUE, der.integer(0)]),
        ("pathlen-only", "CA:FALSE with a pathlen", [der.integer(0)])):
    row(f"03-{slug}", f"asks for {why}",
        lambda ca, parts=parts: extended(csrs.basic_constraints(*parts)),
        refused(EXTENSION, BC_FIELD))
row("03-ca-not-critical", "CA:TRUE in an extension that is not critical",
    lambda ca: extended(csrs.basic_constraints(TRUE, critical=None)), refused(EXTENSION, BC_FIELD))
row("03-key-cert-sign", "asks for keyCertSign", lambda ca: extended(key_usage(5)),
    refused(EXTENSION, KU_FIELD, "keyCertSign"))
row("03-crl-sign", "asks for cRLSign beside digitalSignature", lambda ca: extended(key_usage(0, 6)),
    refused(EXTENSION, KU_FIELD, "cRLSign"))
row("03-non-repudiation", "asks for a key usage outside the profile",
    lambda ca: extended(key_usage(0, 1)), refused(EXTENSION, KU_FIELD))
row("03-decipher-only", "asks for the key usage in the second octet",
    lambda ca: extended(key_usage(0, 8)), refused(EXTENSION, KU_FIELD))
row("03-usage-empty", "a keyUsage without a bit (RFC 5280 §4.2.1.3: at least one)",
    lambda ca: extended(key_usage()), refused("csr-extension csr-malformed", KU_FIELD))
row("03-ca-false", "CA:FALSE is what the profile gives anyway",
    lambda ca: extended(csrs.basic_constraints()), NAS)
row("03-usage-inside", "a key usage of the profile", lambda ca: extended(key_usage(0)), NAS)
row("03-usage-inside-rsa", "both usages of an RSA server key",
    lambda ca: named(key=rsa(), extensions=[key_usage(0, 2)]), NAS)

for slug, why, oids in (
        ("client", "clientAuth, which is another profile's", [CLIENT_AUTH]),
        ("server-and-client", "serverAuth and clientAuth: half of it is outside",
         [SERVER_AUTH, CLIENT_AUTH]),
        ("any", "anyExtendedKeyUsage", ["2.5.29.37.0"]),
        ("ocsp", "OCSPSigning", ["1.3.6.1.5.5.7.3.9"]),
        ("code", "codeSigning", ["1.3.6.1.5.5.7.3.3"]),
        ("unknown", "a usage that nobody knows", ["1.3.6.1.4.1.99999.2"])):
    row(f"04-{slug}", f"asks for {why}", lambda ca, oids=oids: extended(ext_key_usage(*oids)),
        refused(EXTENSION, EKU_FIELD))
row("04-inside", "the profile's own extended key usage",
    lambda ca: extended(ext_key_usage(SERVER_AUTH)), NAS)

GENERAL_URI = der.seq(uri("http://evil.example/x"))
for slug, name, oid, value in (
        ("private-key-usage-period", "privateKeyUsagePeriod", "2.5.29.16",
         der.seq(der.implicit(0, b"20200101000000Z"), der.implicit(1, b"20990101000000Z"))),
        ("policies", "certificatePolicies", csrs.OID_POLICIES,
         der.seq(der.seq(der.oid("2.5.29.32.0")))),
        ("ms-template", "certificateTemplate", "1.3.6.1.4.1.311.21.7",
         der.seq(der.oid("1.3.6.1.4.1.311.21.8.1.2"), der.integer(100), der.integer(3))),
        ("ms-template-name", "certificateTemplateName", "1.3.6.1.4.1.311.20.2",
         der.tlv(der.BMP, "SubCA".encode("utf-16-be"))),
        ("ms-application-policies", "application(Cert)?Policies", "1.3.6.1.4.1.311.21.10",
         der.seq(der.seq(der.oid(CLIENT_AUTH)))),
        ("ms-sid", "ntdsCaSecurity", "1.3.6.1.4.1.311.25.2",
         der.seq(der.explicit(0, der.oid("1.3.6.1.4.1.311.25.2.1"),
                              der.explicit(0, der.octets(b"S-1-5-21-500"))))),
        ("issuer-alt-name", "issuerAltName", csrs.OID_IAN, GENERAL_URI),
        ("name-constraints", "nameConstraints", csrs.OID_NC,
         der.seq(der.explicit(0, der.seq(dns("example.com"))))),
        ("aia", "authorityInfoAccess", csrs.OID_AIA,
         der.seq(der.seq(der.oid("1.3.6.1.5.5.7.48.1"), uri("http://evil.example/ocsp")))),
        ("cdp", "(cRLDistributionPoints|crlDistributionPoints)", csrs.OID_CDP,
         der.seq(der.seq(der.explicit(0, der.explicit(0, uri("http://evil.example/crl")))))),
        ("aki", "authorityKeyIdentifier", csrs.OID_AKI, der.seq(der.implicit(0, bytes(20)))),
        ("ocsp-no-check", "(ocspNoCheck|ocsp-nocheck|noCheck)", "1.3.6.1.5.5.7.48.1.5", der.null()),
        ("must-staple", "(tlsFeature|tlsfeature)", "1.3.6.1.5.5.7.1.24", der.seq(der.integer(5))),
        ("no-rev-avail", "noRevAvail", "2.5.29.56", der.null()),
        ("netscape-type", "(nsCertType|netscapeCertType)", "2.16.840.1.113730.1.1",
         der.named_bits(5))):
    row(f"05-{slug}", "asks for an extension that only the profile gives",
        lambda ca, oid=oid, value=value: extended(extension(oid, value)),
        refused(EXTENSION, ext_field(name, oid)))

for slug, fields, field, slugs in (
        ("100-years", {"validity": "100y"}, "validity", "validity-out-of-range"),
        ("zero", {"validity": "0d"}, "validity", "validity-out-of-range body-malformed"),
        ("negative", {"validity": "-1d"}, "validity", "validity-out-of-range body-malformed"),
        ("overflow", {"validity": "99999999999999999999y"}, "validity",
         "validity-out-of-range body-malformed"),
        ("no-unit", {"validity": "ninety days"}, "validity",
         "validity-out-of-range body-malformed"),
        ("number", {"validity": 1e300}, "validity", "validity-out-of-range body-malformed"),
        ("past", {"not_before": "1970-01-01T00:00:00Z"}, "not_before", "validity-out-of-range"),
        ("future", {"not_before": "2099-01-01T00:00:00Z"}, "not_before", "validity-out-of-range"),
        ("no-date", {"not_before": "2027-02-30T00:00:00Z"}, "not_before",
         "validity-out-of-range body-malformed"),
        ("no-profile", {"profile": "root"}, "profile", "profile-unknown"),
        ("profile-path", {"profile": "../server"}, "profile", "profile-unknown")):
    row(f"05-json-{slug}", "asks in the JSON for what cannot be given",
        lambda ca, fields=fields: wish(names=[dns("nas.lan")], fields=fields),
        refused(slugs, field))

# -- 6, 7, 8, 9: RSA ---------------------------------------------------------------------------

WEAK = "key-weak"
BAD_KEY = "key-weak key-invalid"
LONG_EXPONENT = refused("key-weak key-invalid key-unsupported", r"csr\.key(\..+)?", "exponent")
BAD_NUMBER = "key-weak key-invalid csr-malformed"
NO_ROOT = "no signature can be made with this key"

for bits in (1024, 2047, 2049, 16384):
    row(f"06-rsa-{bits}", "a modulus of a size that is not allowed",
        lambda ca, bits=bits: keyed(rsa(bits)),
        refused("key-weak key-invalid key-unsupported", KEY_FIELD, str(bits)), quick=True)
row("06-rsa-10240", "a multiple of 8, but over the maximum",
    lambda ca: keyed(RsaKey(prime("pi", 8192), prime("e", 2048))),
    refused("key-weak key-invalid key-unsupported", KEY_FIELD, "10240"), quick=True)
row("06-rsa-65536", "a modulus of 8 KiB", lambda ca: keyed(RsaKey(n=csrs.pi_floor(65534) | 1)),
    refused("key-weak key-invalid key-unsupported", KEY_FIELD), quick=True,
    unproved="its factors are not known")
row("06-rsa-16384-e", "modulus and exponent of 16384 bits: a very slow verification",
    lambda ca: keyed(RsaKey(n=csrs.pi_floor(16382) | 1, e=csrs.e_floor(16381) | 1)),
    refused("key-weak key-invalid key-unsupported", KEY_FIELD), quick=True,
    unproved="its factors are not known")
row("06-rsa-4096-e", "an allowed modulus with an exponent of 4095 bits: as slow",
    lambda ca: keyed(rsa(4096, e=csrs.e_floor(4093) | 1)), LONG_EXPONENT,
    quick=True)
row("06-rsa-8192", "over what a profile takes unless its file says otherwise",
    lambda ca: keyed(rsa(8192)),
    refused("key-unsupported", KEY_FIELD, "4096 at most.*RsaBitsMax="), quick=True)
for bits in (2048, 2056, 3072, 4096):
    row(f"06-rsa-{bits}", "a size that is allowed", lambda ca, bits=bits: keyed(rsa(bits)), NAS)


def even_exponent(e):
    """One message in four is a square: try names until there is a signature."""
    for number in range(256):
        try:
            return wish(rsa(e=e), names=[dns(f"nas{number}.lan")])
        except csrs.NoSignature:
            continue
    raise AssertionError("256 messages without a root")


row("07-e-1", "everybody can sign for exponent 1", lambda ca: keyed(rsa(e=1)),
    refused(BAD_KEY, KEY_FIELD))
row("07-e-3", "exponent 3 is refused by default", lambda ca: keyed(rsa(e=3)),
    refused(BAD_KEY, KEY_FIELD, "exponent"))
row("07-e-2", "an even exponent (Rabin)", lambda ca: even_exponent(2), refused(BAD_KEY, KEY_FIELD))
row("07-e-65536", "an even exponent that looks like the usual one",
    lambda ca: even_exponent(65536), refused(BAD_KEY, KEY_FIELD))
row("07-e-0", "exponent 0", lambda ca: keyed(rsa(e=0)), refused(BAD_NUMBER, KEY_FIELD),
    unproved=NO_ROOT)
row("07-e-negative", "a negative exponent", lambda ca: keyed(rsa(e=-65537)),
    refused(BAD_NUMBER, KEY_FIELD), unproved=NO_ROOT)
row("07-e-long", "an exponent over 2^256", lambda ca: keyed(rsa(e=2**256 + 297)),
    LONG_EXPONENT)
row("07-e-as-long-as-n", "an exponent of 2047 bits",
    lambda ca: keyed(rsa(e=csrs.e_floor(2045) | 1)),
    LONG_EXPONENT)
row("07-e-leading-zero", "the exponent with an octet too many",
    lambda ca: keyed(rsa(e_der=der.tlv(der.INTEGER, b"\0\1\0\1"))), refused(BAD_NUMBER, KEY_FIELD))


@functools.lru_cache(None)
def base():
    return rsa()


def fermat(rounds):
    """Primes so close together that Fermat's method finds them in this many rounds."""
    p = prime("pi", 1024)
    return {1: RsaKey(p, p + 420),
            98: RsaKey(p, p + math.isqrt(8 * 97 * p) + 3428)}[rounds]


row("08-even", "an even modulus", lambda ca: keyed(RsaKey(2, prime("pi", 1024), prime("e", 1023))),
    refused(BAD_KEY, KEY_FIELD))
row("08-prime", "the modulus is a prime", lambda ca: keyed(RsaKey(prime("pi", 2048))),
    refused(BAD_KEY, KEY_FIELD, "prime"))
row("08-factor-3", "the modulus is divisible by 3",
    lambda ca: keyed(RsaKey(3, prime("pi", 1024), prime("e", 1023))), refused(BAD_KEY, KEY_FIELD))
row("08-factor-751", "the largest prime below 752 divides the modulus",
    lambda ca: keyed(RsaKey(751, prime("pi", 1024), prime("e", 1015))),
    refused(BAD_KEY, KEY_FIELD, "751|small (prime )?factor"))
row("08-fermat-1", "two neighbouring primes", lambda ca: keyed(fermat(1)),
    refused(BAD_KEY, KEY_FIELD, "fermat|close|near"))
row("08-fermat-98", "primes that Fermat's method finds in 98 rounds", lambda ca: keyed(fermat(98)),
    refused(BAD_KEY, KEY_FIELD, "fermat|close|near"))
row("08-square", "the modulus is the square of a prime",
    lambda ca: keyed(RsaKey(n=prime("pi", 1024) ** 2)), refused(BAD_KEY, KEY_FIELD),
    unproved="the arithmetic here wants different primes")
row("08-roca", "primes as Infineon's library made them (CVE-2017-15361)",
    lambda ca: keyed(RsaKey(csrs.roca_prime(1001), csrs.roca_prime(2002))),
    refused(BAD_KEY, KEY_FIELD, "roca|CVE-2017-15361|infineon"))
row("08-negative", "the modulus is written without its leading zero: negative",
    lambda ca: keyed(rsa(n_der=der.tlv(der.INTEGER, base().n.to_bytes(256, "big")))),
    refused(BAD_NUMBER, KEY_FIELD))
row("08-leading-zeros", "the modulus with leading zeros",
    lambda ca: keyed(rsa(n_der=der.tlv(der.INTEGER, bytes(3) + base().n.to_bytes(256, "big")))),
    refused(BAD_NUMBER, KEY_FIELD))
row("08-zero", "the modulus is 0", lambda ca: keyed(RsaKey(n=0)), refused(BAD_NUMBER, KEY_FIELD),
    unproved=NO_ROOT)
row("08-one", "the modulus is 1", lambda ca: keyed(RsaKey(n=1)), refused(BAD_NUMBER, KEY_FIELD),
    unproved=NO_ROOT)
row("08-no-params", "rsaEncryption without its NULL (RFC 3279 §2.3.1)",
    lambda ca: keyed(rsa(params=b"")),
    refused("key-invalid key-unsupported csr-malformed", KEY_FIELD))
# The key stands for one of Debian's OpenSSL of 2006 to 2008 (CVE-2008-0166); who starts cad lists it, see weak_keys().
row("09-debian", "a key that is on a list of weak ones", lambda ca: keyed(listed_key()),
    refused(WEAK, KEY_FIELD, "CVE-2008-0166"))
row("09-not-listed", "a key that is on none", lambda ca: keyed(rsa()), NAS)

# -- 10, 11: EC and the rest -------------------------------------------------------------------

def ec_shape(shape):
    """The shared P-256 key, its point and parameters given out in another shape."""
    key = p256()
    x, y = int.from_bytes(key.point[1:33], "big"), int.from_bytes(key.point[33:], "big")
    secret = key.key.private_numbers().private_value
    made = {
        "off-curve": dict(point=P256.point(x, y ^ 1), proves=False),
        "twist": dict(point=P256.point(x, (y * 2) % P256.p), proves=False),
        "compressed": dict(point=bytes([2 + y % 2]) + key.point[1:33]),
        "hybrid": dict(point=P256.point(x, y, 6 + y % 2)),
        "short": dict(point=key.point[:-1], proves=False),
        "long": dict(point=key.point + b"\0", proves=False),
        "empty": dict(point=b"", proves=False),
        "coordinate-p": dict(point=P256.point(P256.p, y), proves=False),
        "zero-zero": dict(point=P256.point(0, 0), proves=False),
        "explicit": dict(params=P256.explicit()),
        "no-params": dict(params=b""),
        "null-params": dict(params=der.null()),
        "p384-point-p256": dict(params=der.oid(csrs.OID_P384), proves=False),
        "unused-bits": dict(spki=der.seq(der.seq(der.oid(csrs.OID_EC), der.oid(csrs.OID_P256)),
                                         der.bits(key.point, 1))),
        "trailing": dict(spki=der.seq(der.seq(der.oid(csrs.OID_EC), der.oid(csrs.OID_P256)),
                                      der.bits(key.point), der.null())),
    }[shape]
    return csrs.EcKey(secret=secret, **made)


def generator_chosen():
    """CVE-2020-0601: explicit parameters whose generator is the victim's public key itself."""
    x, y = (int.from_bytes(part, "big") for part in (p256().point[1:33], p256().point[33:]))
    return csrs.EcKey(params=P256.explicit(g=(x, y)), point=p256().point, proves=False)


POINT = "no signature fits this point"
BAD_POINT = refused("key-invalid", KEY_FIELD)
BAD_SHAPE = refused("key-invalid key-unsupported", KEY_FIELD)
for shape, why, expect in (
        ("off-curve", "a point that is not on the curve", BAD_POINT),
        ("twist", "a point with another ordinate", BAD_POINT),
        ("coordinate-p", "a coordinate that is not below the field's prime", BAD_POINT),
        ("zero-zero", "the point (0, 0)", BAD_POINT),
        ("compressed", "a compressed point", BAD_SHAPE),
        ("hybrid", "a point in hybrid form", BAD_SHAPE),
        ("short", "a point that lacks an octet", BAD_SHAPE),
        ("long", "a point with an octet too many", BAD_SHAPE),
        ("empty", "no point", BAD_SHAPE),
        ("explicit", "the parameters of P-256 written out", BAD_SHAPE),
        ("p384-point-p256", "a point of P-256 on P-384", BAD_SHAPE)):
    row(f"10-{shape}", why, lambda ca, shape=shape: keyed(ec_shape(shape)), expect,
        unproved="" if shape in ("compressed", "hybrid", "explicit") else POINT)
for shape, why in (("no-params", "no curve"), ("null-params", "NULL in place of the curve"),
                   ("unused-bits", "a BIT STRING that claims an unused bit"),
                   ("trailing", "an element too many in SubjectPublicKeyInfo")):
    row(f"10-{shape}", why, lambda ca, shape=shape: keyed(ec_shape(shape)),
        refused("key-invalid key-unsupported csr-malformed", KEY_FIELD))
row("10-infinity", "the point at infinity, for which everybody can sign",
    lambda ca: keyed(csrs.EcInfinity()), BAD_SHAPE)
row("10-infinity-long", "the point at infinity, followed by zeros",
    lambda ca: keyed(csrs.EcInfinity(bytes(65))), BAD_SHAPE)
row("10-generator-chosen", "explicit parameters with a generator of the sender's (CVE-2020-0601)",
    lambda ca: keyed(generator_chosen()), BAD_SHAPE, unproved="only the shape matters")
for name, curve, oid in (
        ("P-192", "SECP192R1", csrs.OID_P192), ("P-224", "SECP224R1", "1.3.132.0.33"),
        ("secp256k1", "SECP256K1", "1.3.132.0.10"),
        ("brainpoolP256r1", "BrainpoolP256R1", "1.3.36.3.3.2.8.1.1.7"),
        ("brainpoolP512r1", "BrainpoolP512R1", "1.3.36.3.3.2.8.1.1.13"),
        ("sect283r1", "SECT283R1", "1.3.132.0.17")):
    row(f"10-{name.lower()}", f"a key on {name}, which is not allowed",
        lambda ca, curve=curve: keyed(csrs.EcKey(getattr(csrs.ec, curve)())),
        refused("key-unsupported key-weak", KEY_FIELD,
                "%s|%s|%s" % (quoted(name), curve, quoted(oid))))
row("10-unknown-curve", "a curve that nobody knows",
    lambda ca: keyed(csrs.EcKey(params=der.oid("1.3.6.1.4.1.99999.3"))),
    refused("key-unsupported", KEY_FIELD))
for name, curve, digest in (("p384", "SECP384R1", "sha384"), ("p521", "SECP521R1", "sha512")):
    row(f"10-{name}", "a curve that is allowed", lambda ca, curve=curve, digest=digest:
        keyed(csrs.EcKey(getattr(csrs.ec, curve)(), digest=digest)), NAS)

NO_LIBRARY = "nothing here makes such signatures"
UNSUPPORTED = "key-unsupported"
row("11-ed25519", "a key type that is allowed", lambda ca: keyed(csrs.EdKey()), NAS)
row("11-ed25519-params", "Ed25519 with parameters (RFC 8410 §3: none)",
    lambda ca: keyed(csrs.EdKey(params=der.null())),
    refused("key-invalid key-unsupported csr-malformed", KEY_FIELD))
row("11-ed25519-short", "an Ed25519 key of 31 octets",
    lambda ca: keyed(csrs.EdKey(public=bytes(range(31)), proves=False)), BAD_SHAPE, unproved=POINT)
row("11-ed25519-long", "an Ed25519 key of 33 octets",
    lambda ca: keyed(csrs.EdKey(public=bytes(range(33)), proves=False)), BAD_SHAPE, unproved=POINT)
row("11-ed25519-neutral", "the neutral element, for which everybody can sign",
    lambda ca: keyed(csrs.EdIdentity()), refused("key-weak key-invalid", KEY_FIELD))
row("11-ed448", "Ed448", lambda ca: keyed(csrs.EdKey(csrs.OID_ED448)),
    refused(UNSUPPORTED, KEY_FIELD, r"ed448|1\.3\.101\.113"))
row("11-x25519", "X25519 cannot sign", lambda ca: keyed(csrs.x25519_key()),
    refused(UNSUPPORTED, KEY_FIELD, r"x25519|1\.3\.101\.110"), unproved=NO_LIBRARY)
row("11-dsa", "DSA", lambda ca: keyed(csrs.DsaKey()),
    refused(UNSUPPORTED, KEY_FIELD, r"dsa|1\.2\.840\.10040\.4\.1"))
row("11-ml-dsa", "ML-DSA-65",
    lambda ca: keyed(csrs.BareKey(csrs.OID_ML_DSA_65, bytes(1952), signature_size=3309)),
    refused(UNSUPPORTED, KEY_FIELD, r"ml-dsa|2\.16\.840\.1\.101\.3\.4\.3\.18"), unproved=NO_LIBRARY)
row("11-rsa-pss", "a key bound to RSASSA-PSS",
    lambda ca: keyed(csrs.BareKey(
        csrs.OID_RSA_PSS, der.seq(der.integer(base().n), der.integer(65537)),
        sigalg=base().sigalg, signature_size=256)),
    refused(UNSUPPORTED, KEY_FIELD, r"pss|1\.2\.840\.113549\.1\.1\.10"), unproved=NO_LIBRARY)
row("11-unknown", "a key type that nobody knows",
    lambda ca: keyed(csrs.BareKey("1.3.6.1.4.1.99999.4", bytes(32))),
    refused(UNSUPPORTED, KEY_FIELD, r"1\.3\.6\.1\.4\.1\.99999\.4"), unproved=NO_LIBRARY)

# -- 12, 13: keys that are known already -------------------------------------------------------

RESERVED = refused("key-reserved", KEY_FIELD)


def ca_key(ca, name):
    """The CA's own key, read from the signer's folder as only its owner can."""
    text = (ca.state / "signer" / "ca" / f"{name}.key").read_bytes()
    return keyed(csrs.Foreign(serialization.load_pem_private_key(text, None)))


def compromised_key(ca):
    key = csrs.EcKey()
    issued = ca.issue(csr(key, names=[dns("stolen.lan")])).expect(201).json
    ca.post(f"/v1/certificates/{issued['serial']}/revoke",
            {"reason": "key_compromise"}).expect(200, 204)
    return keyed(key)


def superseded_key(ca):
    key = csrs.EcKey()
    issued = ca.issue(csr(key, names=[dns("nas.lan")])).expect(201).json
    ca.post(f"/v1/certificates/{issued['serial']}/revoke", {"reason": "superseded"}).expect(200,
        204)
    return keyed(key)


def known_key(ca):
    key = csrs.EcKey()
    ca.issue(csr(key, names=[dns("printer.lan")])).expect(201)
    return keyed(key)


def warned(answer, certificate):
    assert answer.get("warnings"), "a key of another subject is accepted, but not silently"


def not_warned(answer, certificate):
    assert not answer.get("warnings"), answer["warnings"]


for name in ("int-1", "int-2", "root"):
    row(f"12-ca-{name}", "the CA's own key", lambda ca, name=name: ca_key(ca, name), RESERVED,
        live=True)
row("12-https", "the key of the CA's own HTTPS", lambda ca: keyed(csrs.Foreign(
    serialization.load_pem_private_key((ca.state / "https.pem").read_bytes(), None))), RESERVED, live=True)
row("12-compromised", "the key of a certificate that was revoked for keyCompromise",
    compromised_key, RESERVED, live=True)
row("12-superseded", "the key of a certificate that was revoked for another reason",
    superseded_key, NAS, live=True)
row("13-other-subject", "a key that another subject has already", known_key,
    Accepted(("nas.lan",), check=warned), live=True)
row("13-new-key", "a key that nobody had", lambda ca: keyed(csrs.EcKey()),
    Accepted(("nas.lan",), check=not_warned))

# -- 14, 15, 16: how many names ----------------------------------------------------------------

MISSING = refused("names-missing", r"(csr(\.san|\.subject(\.CN)?)?|names)?")
row("14-nothing", "no subject, no SAN, no name", lambda ca: wish(), MISSING)
row("14-no-cn", "a subject without CN, and no SAN", lambda ca: wish(subject=dn((OID_O, "Home"))),
    MISSING)
row("14-json-empty", "an empty list of names", lambda ca: asked(), MISSING)
row("14-cn-words", "a CN that is no name, and no SAN", lambda ca: wish(subject=cn("My Phone")),
    refused("names-missing name-invalid csr-subject", r"csr(\.san|\.subject(\.CN)?)?|names"))
row("14-cn-empty", "an empty CN, and no SAN", lambda ca: wish(subject=cn("")),
    refused("names-missing name-invalid csr-subject", r"csr(\.san|\.subject(\.CN)?)?|names"))
row("14-san", "a SAN and an empty subject: the first name is the CN", lambda ca: named(), NAS)
row("14-ip", "only an address: an empty subject and a critical SAN (R-34)",
    lambda ca: named(ip([192, 168, 1, 5])), Accepted(("192.168.1.5",), None))
row("14-cn", "a CN that is a name, and no SAN", lambda ca: wish(subject=cn("nas.lan")),
    Accepted(("nas.lan",), "nas.lan"))
row("14-cn-ip", "a CN that is an address, and no SAN: the name constraints want no such CN",
    lambda ca: wish(subject=cn("192.168.1.5")), Accepted(("192.168.1.5",)))
row("14-cn-and-ip", "a CN beside an address only",
    lambda ca: wish(subject=cn("192.168.1.5"), names=[ip([192, 168, 1, 5])]),
    Accepted(("192.168.1.5",)))
row("14-cn-beside-san", "a CN that is none of the SANs is left out",
    lambda ca: wish(subject=cn("My Phone"), names=[dns("nas.lan")]), NAS)
row("14-cn-in-san", "a CN that is one of the SANs",
    lambda ca: wish(subject=cn("nas.lan"), names=[dns("www.nas.lan"), dns("nas.lan")]),
    Accepted(("www.nas.lan", "nas.lan"), "nas.lan"))
row("14-json", "a name in the JSON only", lambda ca: asked("nas.lan"), NAS)


def host_names(count):
    return [f"h{number}.lan" for number in range(count)]


def addresses(count):
    return [ip([10, number >> 16 & 255, number >> 8 & 255, number & 255])
            for number in range(1, count + 1)]


TOO_MANY = refused("names-too-many", r"csr(\.san.*)?|names(\[\d+\])?", "100")
TOO_LARGE = refused("body-too-large", r"(body|csr|names)?")
row("15-100", "as many names as there may be",
    lambda ca: named(*(dns(name) for name in host_names(NAMES_MAX))),
    Accepted(tuple(host_names(100))))
row("15-101", "one name too many", lambda ca: named(*(dns(name) for name in host_names(101))),
    TOO_MANY)
row("15-json-101", "one name too many, in the JSON", lambda ca: asked(*host_names(101)), TOO_MANY)
row("15-10000", "ten thousand names in less than the CSR may have",
    lambda ca: raw(csr(names=addresses(10000)), csr=csr(names=addresses(10000)), key=p256()),
    TOO_MANY, quick=True)
row("15-json-10000", "ten thousand names in the JSON", lambda ca: asked(*(
    base64.b32encode(number.to_bytes(2, "big"))[:4].decode().lower() for number in range(10000))),
    TOO_MANY, quick=True)
row("15-10000-dns", "ten thousand DNS names: over the cap",
    lambda ca: raw(csr(names=[dns(name) for name in host_names(10000)])), TOO_LARGE, quick=True)
row("15-1000000", "a million names: over every cap",
    lambda ca: raw(csr(names=[dns(name) for name in host_names(1000000)])), TOO_LARGE, quick=True)
row("15-csr-cap", "a CSR over its cap in a body that is not",
    lambda ca: wish(names=[dns("nas.lan")], extensions=[
        extension("1.3.6.1.4.1.99999.5", bytes(CSR_MAX))]),
    refused("body-too-large csr-malformed", r"(body|csr)?"))

row("16-case", "the same name in three cases",
    lambda ca: named(dns("NAS.lan"), dns("nas.LAN"), dns("nas.lan")), NAS)
row("16-cn-case", "CN and SAN in different cases", lambda ca: wish(subject=cn("NAS.Lan"),
    names=[dns("nas.lAN")]), Accepted(("nas.lan",), "nas.lan"))
row("16-ip", "an address twice", lambda ca: named(ip([192, 168, 1, 5]), ip([192, 168, 1, 5])),
    Accepted(("192.168.1.5",)))
row("16-json", "the same in the JSON",
    lambda ca: asked("Nas.lan", "nas.lan", "fd00::1", "FD00:0::1"),
    Accepted(("nas.lan", "fd00::1")))

# -- 17, 18, 19: DNS names ---------------------------------------------------------------------

SECOND = r"csr\.san\[1\]"
JSON_SECOND = r"names\[1\]"
GOOD = dns("nas.lan")
BODY_OR_NAME = r"(body|names(\[1\])?)?"

row("17-san", "a NUL in a SAN", lambda ca: named(GOOD, dns(b"good.lan\0.evil")),
    refused(NAME, SECOND))
row("17-san-last", "a NUL at the end of a SAN", lambda ca: named(GOOD, dns(b"good.lan\0")),
    refused(NAME, SECOND))
row("17-cn", "a NUL in the CN, and no SAN", lambda ca: wish(subject=cn("good.lan\0.evil")),
    refused("csr-subject name-invalid", r"csr\.subject\.CN"))
row("17-cn-beside-san", "a NUL in the CN, beside a good SAN",
    lambda ca: wish(subject=cn("good.lan\0.evil"), names=[GOOD]),
    refused("csr-subject name-invalid", r"csr\.subject\.CN"))
row("17-json", "a NUL in a name of the JSON", lambda ca: asked("nas.lan", "good.lan\0.evil"),
    refused("name-invalid body-malformed", BODY_OR_NAME))
row("17-email", "a NUL in an e-mail address", lambda ca: wish(fields={"profile": "user"},
    names=[email("a@home.lan"), email(b"a@home.lan\0.evil.example")]),
    refused(NAME, SECOND))
row("17-ip-text", "an address as text in iPAddress", lambda ca: named(GOOD, ip(b"10.0.0.1\0")),
    refused("name-invalid csr-malformed", SECOND))

LABEL_63, LABEL_64 = "a" * 63, "a" * 64
NAME_253 = ".".join([LABEL_63, LABEL_63, LABEL_63, "a" * 57, "lan"])
NAME_254 = ".".join([LABEL_63, LABEL_63, LABEL_63, "a" * 58, "lan"])
WILD = "name-invalid name-not-permitted name-not-allowed"
OTHER_TYPE = "name-invalid name-not-allowed"
# (id, why, name, slugs), once in the CSR and once in the JSON
DNS_NAMES = (
    ("empty", "no character", "", NAME), ("space", "a space", "my nas.lan", NAME),
    ("space-last", "a space at the end", "nas.lan ", NAME),
    ("newline", "a line end", "nas.lan\n", NAME),
    ("underscore", "an underscore", "my_nas.lan", OTHER_TYPE),
    ("hyphen-first", "a leading hyphen", "-nas.lan", NAME),
    ("hyphen-last", "a trailing hyphen", "nas-.lan", NAME),
    ("two-dots", "an empty label", "nas..lan", NAME),
    ("dot-first", "a leading dot", ".nas.lan", NAME),
    ("dot-last", "a trailing dot", "nas.lan.", NAME), ("dot", "only a dot", ".", NAME),
    ("label-64", "a label of 64 octets", f"{LABEL_64}.lan", NAME),
    ("name-254", "a name of 254 octets", NAME_254, NAME),
    ("numeric", "only digits", "12345", WILD), ("numeric-dots", "five numbers", "1.2.3.4.5", NAME),
    ("numeric-tld", "a last label of digits", "nas.123", WILD),
    ("star", "a bare star", "*", WILD),
    ("star-suffix", "a star over a whole suffix", "*.lan", WILD),
    ("star-middle", "a star in the middle", "a.*.lan", NAME),
    ("star-part", "a star in a label", "*a.lan", NAME), ("stars", "two stars", "*.*.nas.lan", NAME),
    ("slash", "a path", "nas.lan/x", NAME), ("percent", "a percent sign", "nas%2elan", NAME),
    ("plus", "a plus sign", "a+b.lan", NAME), ("quote", "a quote", "nas'--.lan", NAME),
    ("template", "a template", "{{nas}}.lan", NAME),
    ("url", "a URL", "https://nas.lan/", OTHER_TYPE),
    ("email", "an e-mail address", "user@host.lan", OTHER_TYPE),
    ("port", "a port", "host.lan:443", OTHER_TYPE),
)
for slug, why, name, slugs in DNS_NAMES:
    says = quoted(name) if name.strip(". \n") and len(name) < 60 and name == name.strip() else ""
    row(f"18-{slug}", f"{why} in a dNSName",
        lambda ca, name=name: named(GOOD, dns(name)), refused(slugs, SECOND, says))
    row(f"18-json-{slug}", f"{why} in a name of the JSON",
        lambda ca, name=name: asked("nas.lan", name), refused(slugs, JSON_SECOND, says))
row("18-ipv4", "an IPv4 address as dNSName", lambda ca: named(GOOD, dns("192.168.1.1")),
    refused(NAME, SECOND, r"192\.168\.1\.1"))
row("18-ipv6", "an IPv6 address as dNSName", lambda ca: named(GOOD, dns("fd00::1")),
    refused(NAME, SECOND))
row("18-brackets", "an address in brackets in a dNSName", lambda ca: named(GOOD, dns("[fd00::1]")),
    refused(OTHER_TYPE, SECOND, quoted("[fd00::1]")))
row("18-json-brackets", "an address in brackets, as people copy it out of a URL",
    lambda ca: asked("nas.lan", "[fd00::1]"), Accepted(("nas.lan", "fd00::1")))
row("18-cn", "a CN with a space is no name, and there is no other",
    lambda ca: wish(subject=cn("my nas.lan")),
    refused("names-missing name-invalid csr-subject", r"csr(\.san|\.subject(\.CN)?)?|names"))
row("18-label-63", "the longest label", lambda ca: named(dns(f"{LABEL_63}.lan")),
    Accepted((f"{LABEL_63}.lan",)))
row("18-name-253", "the longest name", lambda ca: named(dns(NAME_253)), Accepted((NAME_253,)))
row("18-wildcard", "a star for the first label", lambda ca: named(dns("*.nas.lan")),
    Accepted(("*.nas.lan",)))
row("18-digits-first", "a label that begins with a digit", lambda ca: named(dns("3com.lan")),
    Accepted(("3com.lan",)))


def a_label(label):
    return "xn--" + label.encode("punycode").decode()


IDN = (
    ("empty", "nothing after xn--", "xn--"),
    ("overflow", "punycode that overflows", "xn--99999999999"),
    ("control", "punycode of a control character", "xn--a"),
    ("ascii", "punycode of plain ASCII", "xn--abc-"),
    ("not-nfc", "an A-label of a text that is not in NFC", a_label("bu\u0308cher")),
    ("upper", "an A-label of a capital: reading and writing it gives another", a_label("bÜcher")),
    ("override", "an A-label of a right-to-left override", a_label("nas\u202elan")),
    ("mixed-script", "Latin and Cyrillic in one label", a_label("p\u0430ypal")),
)
for slug, why, label in IDN:
    row(f"19-{slug}", why, lambda ca, label=label: named(GOOD, dns(f"{label}.lan")),
        refused(NAME, SECOND, quoted(label)))
row("19-u-label", "UTF-8 in a dNSName", lambda ca: named(GOOD, dns("bücher.lan".encode())),
    refused(NAME, SECOND))
row("19-latin1", "Latin-1 in a dNSName",
    lambda ca: named(GOOD, dns("bücher.lan".encode("latin-1"))), refused(NAME, SECOND))
row("19-good", "a valid A-label is kept", lambda ca: named(dns("xn--bcher-kva.lan")),
    Accepted(("xn--bcher-kva.lan",)))

# -- 20, 21, 22: the subject -------------------------------------------------------------------

def subject(*attributes):
    """A good CSR for nas.lan with this subject."""
    return wish(subject=dn(*attributes), names=[GOOD])


def subject_field(name):
    return rf"csr\.subject\.{name}"


BAD_CN = refused("csr-subject", subject_field("CN"))
for slug, why, value in (
        ("printable-at", "what PrintableString has not", der.tlv(der.PRINTABLE, b"a@nas.lan")),
        ("printable-latin1", "Latin-1 in a PrintableString", der.tlv(der.PRINTABLE, b"n\xe4s.lan")),
        ("ia5-high", "an octet above 127 in an IA5String", der.tlv(der.IA5, b"n\xe4s.lan")),
        ("ia5", "an IA5String, which DirectoryString has not", der.ia5("nas.lan")),
        ("utf8-truncated", "UTF-8 that stops half way", der.utf8(b"n\xc3")),
        ("utf8-latin1", "Latin-1 in a UTF8String", der.utf8(b"n\xe4s.lan")),
        ("utf8-overlong", "an overlong NUL", der.utf8(b"nas.lan\xc0\x80.evil")),
        ("utf8-overlong-3", "an overlong slash", der.utf8(b"nas\xe0\x80\xaf.lan")),
        ("utf8-surrogate", "a surrogate", der.utf8(b"nas\xed\xa0\x80.lan")),
        ("utf8-beyond", "a number above U+10FFFF", der.utf8(b"nas\xf4\x90\x80\x80.lan")),
        ("override", "a right-to-left override", der.utf8("nas\u202enal")),
        ("control", "a terminal's escape sequence", der.utf8("nas\x1b[2J.lan")),
        ("bmp", "a BMPString", der.tlv(der.BMP, "nas.lan".encode("utf-16-be"))),
        ("bmp-odd", "a BMPString of an odd length", der.tlv(der.BMP, b"\0n\0a\0")),
        ("universal", "a UniversalString", der.tlv(der.UNIVERSAL, "nas.lan".encode("utf-32-be"))),
        ("teletex", "a TeletexString", der.tlv(der.TELETEX, b"nas.lan")),
        ("octets", "an OCTET STRING", der.octets(b"nas.lan")),
        ("constructed", "a UTF8String in pieces (BER)", der.tlv(0x2C, der.utf8("nas.lan")))):
    row(f"20-{slug}", f"{why} as CN", lambda ca, value=value: subject((OID_CN, value)),
        BAD_CN if slug != "constructed" else
        refused("csr-subject csr-malformed", r"csr|csr\.subject(\.CN)?"))
row("20-o-teletex", "a TeletexString in what is left out anyway",
    lambda ca: subject((OID_O, der.tlv(der.TELETEX, b"Home"))),
    refused("csr-subject", subject_field("O")))
row("20-san-high", "an octet above 127 in a dNSName",
    lambda ca: named(GOOD, dns(b"n\xe4s.lan")), refused(NAME, SECOND))
row("20-email-high", "an octet above 127 in an e-mail address", lambda ca: wish(
    fields={"profile": "user"}, names=[email("a@home.lan"), email(b"\xe4@home.lan")]),
    refused(NAME, SECOND))
row("20-utf8", "letters beyond ASCII are no fault", lambda ca: subject((OID_O, "Küche")), NAS)
row("20-printable", "a PrintableString as CN",
    lambda ca: subject((OID_CN, der.printable("nas.lan"))), Accepted(("nas.lan",), "nas.lan"))

for slug, name, oid, value in (
        ("cn-65", "CN", OID_CN, "x" * 65), ("o-65", "O", OID_O, "x" * 65),
        ("ou-65", "OU", csrs.OID_OU, "x" * 65), ("l-129", "L", csrs.OID_L, "x" * 129),
        ("st-129", "ST", csrs.OID_ST, "x" * 129),
        ("serial-65", "serialNumber", csrs.OID_SERIAL, "x" * 65),
        ("c-3", "C", csrs.OID_C, "USA"), ("c-1", "C", csrs.OID_C, "U"),
        ("c-lower", "C", csrs.OID_C, "us"), ("c-digits", "C", csrs.OID_C, "12"),
        ("o-empty", "O", OID_O, ""),
        ("serial-utf8", "serialNumber", csrs.OID_SERIAL, der.utf8("é"))):
    row(f"21-{slug}", "outside the bounds of X.520",
        lambda ca, oid=oid, value=value: subject((oid, value)),
        refused("csr-subject", subject_field(name)))
row("21-at-the-bounds", "everything as long as it may be, counted in characters",
    lambda ca: subject(
        (csrs.OID_C, "DE"), (csrs.OID_ST, "ü" * 128), (csrs.OID_L, "x" * 128), (OID_O, "ü" * 64),
        (csrs.OID_OU, "x" * 64), (OID_CN, "ü" * 64), (csrs.OID_SERIAL, "x" * 64)), NAS)
row("21-not-copied", "what is in the subject does not get into the certificate",
    lambda ca: subject((OID_O, "Google LLC"), (csrs.OID_C, "US"), (OID_CN, "nas.lan"),
                       ("1.2.840.113549.1.9.1", der.ia5("a@gmail.com"))),
    Accepted(("nas.lan",), "nas.lan"))

SUBJECT = refused("csr-subject", r"csr\.subject(\.\w+)?")
row("22-multi-valued", "an RDN of two attributes",
    lambda ca: subject([(OID_CN, "nas.lan"), (OID_O, "Home")]), SUBJECT)
row("22-500-rdns", "five hundred RDNs", lambda ca: subject(*[(OID_O, "Home")] * 500), SUBJECT,
    quick=True)
row("22-two-cns", "two CNs", lambda ca: subject((OID_CN, "nas.lan"), (OID_CN, "printer.lan")),
    SUBJECT)
row("22-same-cn-twice", "the same CN twice is one",
    lambda ca: subject((OID_CN, "nas.lan"), (OID_CN, "nas.lan")), NAS)
row("22-empty-rdn", "an RDN of no attribute",
    lambda ca: wish(subject=der.seq(der.tlv(der.SET)), names=[GOOD]),
    refused("csr-subject csr-malformed", r"csr(\.subject)?"))
row("22-no-value", "an attribute without a value",
    lambda ca: wish(subject=der.seq(der.tlv(der.SET, der.seq(der.oid(OID_CN)))), names=[GOOD]),
    refused("csr-subject csr-malformed", r"csr(\.subject(\.CN)?)?"))
row("22-set-for-sequence", "a Name that is a SET", lambda ca: wish(
    subject=der.tlv(der.SET, der.tlv(der.SET, csrs.ava(OID_CN, "nas.lan"))), names=[GOOD]),
    refused("csr-subject csr-malformed", r"csr(\.subject)?"))

# -- 23, 24: other types of names --------------------------------------------------------------

for size in (0, 3, 5, 8, 15, 17, 32):
    row(f"23-{size}-octets", "an address of a length that no address has",
        lambda ca, size=size: named(GOOD, ip([10] * size)),
        refused("name-invalid csr-malformed", SECOND))
for slug, why, octets, text in (
        ("zero", "0.0.0.0", [0, 0, 0, 0], "0.0.0.0"),
        ("broadcast", "the broadcast address", [255] * 4, "255.255.255.255"),
        ("multicast", "a multicast address", [224, 0, 0, 251], "224.0.0.251"),
        ("unspecified-6", "::", [0] * 16, "::"),
        ("multicast-6", "an IPv6 multicast address", [0xFF, 2] + [0] * 13 + [1], "ff02::1"),
        ("mapped", "an IPv4-mapped address", [0] * 10 + [255, 255, 192, 168, 1, 1],
         "::ffff:192.168.1.1"),
        ("mapped-public", "an IPv4-mapped public address", [0] * 10 + [255, 255, 8, 8, 8, 8],
         "::ffff:8.8.8.8")):
    row(f"23-{slug}", f"{why} as SAN", lambda ca, octets=octets: named(GOOD, ip(octets)),
        refused(WILD, SECOND))
    row(f"23-json-{slug}", f"{why} in the JSON", lambda ca, text=text: asked("nas.lan", text),
        refused(WILD, JSON_SECOND))
for slug, text in (("network", "192.168.1.0/24"), ("octal", "192.168.01.1"), ("hex", "0x7f.0.0.1"),
                   ("short", "127.1"), ("zone", "fe80::1%eth0"), ("long", "1::2::3"),
                   ("256", "192.168.1.256")):
    row(f"23-json-{slug}", "something like an address",
        lambda ca, text=text: asked("nas.lan", text), refused(WILD, JSON_SECOND, quoted(text)))

UPN = "1.3.6.1.4.1.311.20.2.3"
OTHER_NAME = der.explicit(0, der.oid(UPN), der.explicit(0, der.utf8("root@lan")))
NOT_ALLOWED = refused("name-not-allowed", SECOND)
NOT_ALLOWED_BROKEN = refused("name-not-allowed name-invalid csr-malformed", SECOND)
for slug, why, name, expect in (
        ("other-name", "otherName (a UPN)", OTHER_NAME, NOT_ALLOWED),
        ("x400", "x400Address", der.explicit(3, der.seq()), NOT_ALLOWED_BROKEN),
        ("directory", "directoryName", der.explicit(4, cn("nas.lan")), NOT_ALLOWED),
        ("directory-empty", "an empty directoryName", der.explicit(4, der.seq()), NOT_ALLOWED),
        ("edi-party", "ediPartyName", der.explicit(5, der.explicit(1, der.utf8("x"))), NOT_ALLOWED),
        ("uri", "a URI", uri("https://nas.lan/"), NOT_ALLOWED),
        ("email", "an e-mail address, which the profile does not allow", email("a@home.lan"),
         NOT_ALLOWED),
        ("registered-id", "registeredID", der.implicit(8, b"\x2a\x03\x04"), NOT_ALLOWED),
        ("unknown-tag", "a GeneralName that does not exist", der.implicit(9, b"x"),
         NOT_ALLOWED_BROKEN),
        ("universal-tag", "a plain IA5String in place of a GeneralName", der.ia5("nas.lan"),
         NOT_ALLOWED_BROKEN),
        ("constructed-dns", "a dNSName in pieces (BER)", der.explicit(2, der.ia5("nas.lan")),
         NOT_ALLOWED_BROKEN),
        ("other-name-empty", "an otherName without anything", der.explicit(0), NOT_ALLOWED_BROKEN),
        ("other-name-no-value", "an otherName without value (CVE-2025-32988)",
         der.explicit(0, der.oid(UPN)), NOT_ALLOWED_BROKEN),
        ("other-name-bad-oid", "an otherName whose type is cut off (CVE-2025-32988)",
         der.explicit(0, der.tlv(der.OID, b"\x2b\x86"), der.explicit(0, der.null())),
         NOT_ALLOWED_BROKEN),
        ("other-name-many", "an otherName of a thousand values",
         der.explicit(0, der.oid("1.2.3"), *[der.explicit(0, der.null())] * 1000),
         NOT_ALLOWED_BROKEN)):
    row(f"24-{slug}", f"{why} as SAN", lambda ca, name=name: named(GOOD, name), expect)
row("24-email-user", "an e-mail address where the profile allows it", lambda ca: wish(
    fields={"profile": "user"}, names=[email("a@home.lan")]), Accepted(("a@home.lan",)))
row("24-dns-user", "a DNS name where the profile allows only e-mail addresses", lambda ca: wish(
    fields={"profile": "user"}, names=[GOOD]), refused("name-not-allowed", r"csr\.san\[0\]"))

# -- 25: doubled, unknown, empty ---------------------------------------------------------------

def attributed(*attributes):
    return wish(attributes=list(attributes))


GOOD_REQUEST = extension_request(san(GOOD))
ATTRIBUTE = refused("csr-attribute csr-malformed", r"csr(\.attributes.*|\.extensions)?")
UNKNOWN_EXTENSION = ext_field("unknown", "1.3.6.1.4.1.99999.6")
row("25-request-twice", "two extensionRequest attributes",
    lambda ca: attributed(GOOD_REQUEST, extension_request(csrs.basic_constraints())), ATTRIBUTE)
row("25-request-two-values", "an extensionRequest with two values", lambda ca: attributed(
    csrs.attribute(csrs.OID_EXTENSION_REQUEST, der.seq(san(GOOD)), der.seq(san(dns("evil.lan"))))),
    ATTRIBUTE)
row("25-request-no-value", "an extensionRequest without a value",
    lambda ca: attributed(csrs.attribute(csrs.OID_EXTENSION_REQUEST)), ATTRIBUTE)
row("25-request-empty", "an extensionRequest of no extension",
    lambda ca: attributed(extension_request()),
    refused("csr-attribute csr-malformed csr-extension names-missing", r"(csr(\..+)?|names)?"))
row("25-ms-request", "Microsoft's extension attribute beside the standard one",
    lambda ca: attributed(GOOD_REQUEST, csrs.attribute(
        "1.3.6.1.4.1.311.2.1.14", der.seq(san(dns("evil.lan"))))), ATTRIBUTE)
row("25-attribute-unknown", "an attribute that nobody knows",
    lambda ca: attributed(GOOD_REQUEST, csrs.attribute("1.3.6.1.4.1.99999.7", der.utf8("x"))),
    refused("csr-attribute", r"csr\.attributes.*", r"1\.3\.6\.1\.4\.1\.99999\.7"))
row("25-attribute-no-value", "a challengePassword without a value",
    lambda ca: attributed(GOOD_REQUEST, csrs.attribute(csrs.OID_CHALLENGE_PASSWORD)), ATTRIBUTE)
row("25-san-twice", "two subjectAltNames", lambda ca: named(extensions=[san(dns("evil.lan"))]),
    refused("csr-extension csr-malformed", ext_field("subjectAltName", OID_SAN) + r"|csr\.san"))
row("25-usage-twice", "the same keyUsage twice", lambda ca: extended(key_usage(0), key_usage(0)),
    refused("csr-extension csr-malformed", KU_FIELD))
row("25-unknown-critical", "an unknown critical extension",
    lambda ca: extended(extension("1.3.6.1.4.1.99999.6", der.null(), True)),
    refused(EXTENSION, UNKNOWN_EXTENSION))
row("25-unknown", "an unknown extension that is not critical",
    lambda ca: extended(extension("1.3.6.1.4.1.99999.6", der.null())),
    refused(EXTENSION, UNKNOWN_EXTENSION))
row("25-eku-empty", "an extendedKeyUsage of no usage", lambda ca: extended(ext_key_usage()),
    refused("csr-extension csr-malformed", EKU_FIELD))
row("25-san-empty", "a subjectAltName of no name", lambda ca: wish(names=[]),
    refused("csr-extension csr-malformed names-missing",
            ext_field("subjectAltName", OID_SAN) + r"|csr\.san|csr|names"))
row("25-san-empty-cn", "a subjectAltName of no name beside a CN",
    lambda ca: wish(subject=cn("nas.lan"), names=[]),
    refused("csr-extension csr-malformed names-missing",
            ext_field("subjectAltName", OID_SAN) + r"|csr\.san|csr|names"))
row("25-value-empty", "an extension whose value has no octet",
    lambda ca: extended(extension(OID_KU, b"")),
    refused("csr-extension csr-malformed", KU_FIELD))
row("25-san-trailing", "something after the names in subjectAltName",
    lambda ca: wish(extensions=[extension(OID_SAN, der.seq(GOOD) + der.null())]),
    refused("csr-extension csr-malformed", ext_field("subjectAltName", OID_SAN) + r"|csr(\.san)?"))
row("25-eku-no-oid", "an extendedKeyUsage that holds a number",
    lambda ca: extended(extension(OID_EKU, der.seq(der.integer(1)))),
    refused("csr-extension csr-malformed", EKU_FIELD))
row("25-ski-copied", "a subjectKeyIdentifier is ignored, not copied",
    lambda ca: extended(extension(OID_SKI, der.octets(b"\xee" * 20))),
    Accepted(("nas.lan",), check=lambda answer, certificate: not_copied(certificate)))
row("25-3000-extensions", "three thousand extensions", lambda ca: raw(csr(names=[GOOD], extensions=[
    extension(f"1.3.6.1.4.1.{number}", b"") for number in range(1, 3001)])),
    refused("csr-extension csr-malformed", ANY_CSR_FIELD), quick=True)
row("25-3000-attributes", "three thousand attributes", lambda ca: raw(csr(attributes=[
    csrs.attribute(f"1.3.6.1.4.1.{number}") for number in range(1, 3001)])),
    refused("csr-attribute csr-malformed", ANY_CSR_FIELD), quick=True)
row("25-10000-usages", "ten thousand extended key usages",
    lambda ca: raw(csr(names=[GOOD], extensions=[
        extension(OID_EKU, der.seq(*[der.oid("1.2.3")] * 10000))])),
    refused("csr-extension csr-malformed", EKU_FIELD), quick=True)


def not_copied(certificate):
    ski = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert ski != b"\xee" * 20


# -- 26, 27: encodings -------------------------------------------------------------------------

MALFORMED = refused("csr-malformed", ANY_CSR_FIELD)


def good_info():
    return info(p256(), names=[GOOD])


def inside(data):
    """The body of the one element in @data."""
    (_, body, _), = der.split(data)
    return body


def elements(data):
    return [whole for _, _, whole in der.split(inside(data))]


def replaced(index, element):
    """A CertificationRequestInfo with one of version, subject, SPKI, attributes replaced."""
    found = elements(good_info())
    found[index] = element
    return wish_signed(der.seq(*found))


row("26-indefinite", "the whole in indefinite length",
    lambda ca: wish_der(der.tlv_indefinite(der.SEQUENCE, inside(csr(names=[GOOD]))), key=p256()),
    MALFORMED)
row("26-indefinite-info", "the signed part in indefinite length",
    lambda ca: wish_signed(der.tlv_indefinite(der.SEQUENCE, inside(good_info()))), MALFORMED)
row("26-indefinite-attributes", "the attributes in indefinite length",
    lambda ca: replaced(3, der.tlv_indefinite(0xA0, GOOD_REQUEST)), MALFORMED)
row("26-long-length", "the whole with a length in too many octets",
    lambda ca: wish_der(der.tlv_long_length(der.SEQUENCE, inside(csr(names=[GOOD]))), key=p256()),
    MALFORMED)
row("26-long-length-info", "the signed part with a length in too many octets",
    lambda ca: wish_signed(der.tlv_long_length(der.SEQUENCE, inside(good_info()))), MALFORMED)
row("26-long-length-san", "the SAN with a length in too many octets",
    lambda ca: wish(extensions=[extension(OID_SAN, der.tlv_long_length(der.SEQUENCE, GOOD, 1))]),
    refused("csr-malformed csr-extension", ANY_CSR_FIELD))
row("26-trailing", "an octet after the CSR",
    lambda ca: wish_der(csr(names=[GOOD]) + b"\0", key=p256()), MALFORMED)
row("26-trailing-raw", "an octet after the CSR, posted as it is",
    lambda ca: raw(csr(names=[GOOD]) + b"\0"), MALFORMED)
row("26-trailing-inside", "a fourth element in the CSR",
    lambda ca: wish_der(der.seq(inside(csr(names=[GOOD])), der.null()), key=p256()), MALFORMED)
row("26-trailing-info", "a fifth element in the signed part",
    lambda ca: wish_signed(der.seq(inside(good_info()), der.null())), MALFORMED)
row("26-two-csrs", "two CSRs, one after the other",
    lambda ca: raw(csr(names=[GOOD]) + csr(names=[dns("evil.lan")])), MALFORMED)
row("26-boolean-1", "TRUE as 1 in an extension",
    lambda ca: extended(csrs.basic_constraints(critical=der.tlv(der.BOOLEAN, b"\1"))),
    refused("csr-malformed csr-extension", ANY_CSR_FIELD))
row("26-boolean-long", "TRUE in two octets",
    lambda ca: extended(csrs.basic_constraints(critical=der.tlv(der.BOOLEAN, b"\xff\xff"))),
    refused("csr-malformed csr-extension", ANY_CSR_FIELD))
row("26-ca-boolean-1", "CA:TRUE as 1",
    lambda ca: extended(csrs.basic_constraints(der.tlv(der.BOOLEAN, b"\1"))),
    refused("csr-malformed csr-extension", ANY_CSR_FIELD))
for slug, version in (("negative", der.integer(-1)), ("1", der.integer(1)), ("2", der.integer(2)),
                      ("long", der.tlv(der.INTEGER, b"\0\0")), ("empty", der.tlv(der.INTEGER)),
                      ("huge", der.integer(2**64)), ("missing", b"")):
    row(f"26-version-{slug}", "a version other than 0", lambda ca,
    version=version: replaced(0, version),
        MALFORMED)
row("26-unused-bits", "a signature that claims eight unused bits", lambda ca: wish_der(der.seq(
    good_info(), p256().sigalg, der.bits(p256().sign(good_info()), 8)), key=p256()),
    refused("csr-malformed csr-signature", ANY_CSR_FIELD), unproved=FORGED)
row("26-octets-in-pieces", "an extension's value in pieces (BER)", lambda ca: wish(extensions=[
    der.seq(der.oid(OID_SAN), der.tlv(0x24, der.octets(der.seq(GOOD))))]),
    refused("csr-malformed csr-extension", ANY_CSR_FIELD))
row("26-attributes-universal", "the attributes without their tag",
    lambda ca: replaced(3, der.tlv(der.SET, GOOD_REQUEST)), MALFORMED)
row("26-oid-padded", "an OID with a padded arc", lambda ca: extended(der.seq(der.tlv(der.OID,
    b"\x55\x1d\x80\x0f"), der.octets(der.named_bits(0)))),
    refused("csr-malformed csr-extension", ANY_CSR_FIELD))
row("26-high-tag", "a tag in the long form",
    lambda ca: replaced(3, b"\xbf\x00" + der.length(len(GOOD_REQUEST)) + GOOD_REQUEST), MALFORMED)
row("26-text", "no DER at all", lambda ca: wish_der(b"please give me a certificate"), MALFORMED)
row("26-null", "one NULL", lambda ca: wish_der(der.null()), MALFORMED)
row("26-no-octets", "a PEM block of nothing", lambda ca: wish_der(b""), MALFORMED)
row("26-zeros", "a thousand zeros", lambda ca: wish_der(bytes(1000)), MALFORMED)

row("27-4-gib", "the whole claims 4 GiB",
    lambda ca: wish_der(der.tlv_claiming(der.SEQUENCE, 2**32 - 1, inside(csr(names=[GOOD])))),
    MALFORMED,
    quick=True)
row("27-2-64", "the whole claims 2^64 octets less 1",
    lambda ca: wish_der(der.tlv_claiming(der.SEQUENCE, 2**64 - 1, inside(csr(names=[GOOD])))),
    MALFORMED,
    quick=True)
row("27-length-of-126", "a length in 126 octets",
    lambda ca: wish_der(bytes([der.SEQUENCE, 0xFE]) + b"\xff" * 126 + inside(csr(names=[GOOD]))),
    MALFORMED,
    quick=True)
row("27-length-ff", "the reserved length octet 255",
    lambda ca: wish_der(bytes([der.SEQUENCE, 0xFF]) + inside(csr(names=[GOOD]))), MALFORMED,
    quick=True)
row("27-inner-4-gib", "an extension that claims 4 GiB", lambda ca: wish(extensions=[der.seq(
    der.oid(OID_SAN), der.tlv_claiming(der.OCTET_STRING, 2**32 - 1, der.seq(GOOD)))]),
    refused("csr-malformed csr-extension", ANY_CSR_FIELD), quick=True)
row("27-inner-short", "a name one octet longer than what is there", lambda ca: wish(
    extensions=[extension(OID_SAN, der.seq(der.tlv_claiming(0x82, 8, b"nas.lan")))]),
    refused("csr-malformed csr-extension name-invalid", ANY_CSR_FIELD), quick=True)
DEEP = der.nested(10000)
for slug, why, make in (
        ("whole", "in place of the CSR", lambda: wish_der(DEEP)),
        ("attribute", "as the value of an attribute",
         lambda: attributed(csrs.attribute("1.3.6.1.4.1.99999.7", DEEP))),
        ("extensions", "in place of the extensions",
         lambda: attributed(csrs.attribute(csrs.OID_EXTENSION_REQUEST, DEEP))),
        ("san", "as subjectAltName", lambda: wish(extensions=[extension(OID_SAN, DEEP)])),
        ("name", "inside a directoryName", lambda: named(der.explicit(4, DEEP))),
        ("subject", "as subject", lambda: wish(subject=DEEP, names=[GOOD])),
        ("key", "as parameters of the key",
         lambda: keyed(csrs.BareKey(csrs.OID_EC, b"\4" + bytes(64), DEEP, p256().sigalg))),
        ("signature", "as parameters of the signature algorithm",
        lambda: wish(names=[GOOD], sigalg=der.seq(der.oid("1.2.840.10045.4.3.2"), DEEP)))):
    row(f"27-deep-{slug}", f"ten thousand SEQUENCEs {why}", lambda ca, make=make: make(),
        refused("csr-malformed csr-attribute csr-extension csr-subject csr-signature key-invalid "
                "key-unsupported name-not-allowed", ANY_CSR_FIELD), quick=True,
        unproved=NO_LIBRARY if slug in ("whole", "key") else "")
row("27-deep-indefinite", "thirty thousand SEQUENCEs of indefinite length",
    lambda ca: wish_der(b"\x30\x80" * 30000), MALFORMED, quick=True)
row("27-flat", "thirty thousand elements in one SEQUENCE",
    lambda ca: wish_der(der.seq(der.null() * 30000)), MALFORMED, quick=True)

# -- 28, 29: PEM, secrets ----------------------------------------------------------------------

def text_of(**how):
    request = csr(names=[GOOD])
    return pem(request, **how), request


def text_wish(change=lambda text: text, **how):
    text, request = text_of(**how)
    return wish_text(change(text), request=request, key=p256())


def text_raw(change=lambda text: text, **how):
    text, request = text_of(**how)
    return raw(change(text).encode(), csr=request, key=p256())


for slug, why, make in (
        ("crlf", "CR LF", lambda: text_wish(eol="\r\n")),
        ("crlf-raw", "CR LF, posted as it is", lambda: text_raw(eol="\r\n")),
        ("new", "the old label NEW CERTIFICATE REQUEST",
         lambda: text_wish(label="NEW CERTIFICATE REQUEST")),
        ("leading", "text before it, as openssl req -text writes",
         lambda: text_wish(lambda text: "Certificate Request:\n    Data:\n" + text)),
        ("trailing", "empty lines after it", lambda: text_wish(lambda text: text + "\n\n \n")),
        ("bom", "a byte order mark", lambda: text_wish(lambda text: "\ufeff" + text)),
        ("no-last-newline", "no line end after the last line", lambda: text_wish(str.rstrip)),
        ("width-76", "lines of 76 characters", lambda: text_wish(width=76)),
        ("raw", "PEM posted as it is", lambda: text_raw())):
    row(f"28-{slug}", f"harmless in PEM: {why}", lambda ca, make=make: make(), NAS)
row("28-der", "DER posted as it is",
    lambda ca: raw(csr(names=[GOOD]), csr=csr(names=[GOOD]), key=p256()), NAS)

BAD_PEM = refused("csr-malformed", r"(csr|body)?")
for slug, why, make in (
        ("no-end", "no end line", lambda: text_wish(lambda text: text[:text.index("-----END")])),
        ("no-begin", "no begin line", lambda: text_wish(lambda text: text[text.index("\n") + 1:])),
        ("two", "two requests",
         lambda: text_wish(lambda text: text + pem(csr(names=[dns("evil.lan")])))),
        ("labels-differ", "an end line of another kind",
         lambda: text_wish(lambda text: text.replace("END CERTIFICATE REQUEST", "END X509 CRL"))),
        ("not-base64", "characters that base64 has not",
         lambda: text_wish(lambda text: text.replace("M", "!"))),
        ("padding", "base64 after its padding", lambda: text_wish(
            lambda text: text.replace("\n-----END", "\nAAAA====\nAAAA\n-----END"))),
        ("bare-base64", "base64 without PEM's lines",
         lambda: text_wish(lambda text: "".join(text.split("\n")[1:-2]) + "?")),
        ("empty", "no text", lambda: wish_text("")),
        ("nul", "a NUL before the end line",
         lambda: text_raw(lambda text: text.replace("\n-----END", "\0\n-----END")))):
    row(f"28-{slug}", f"broken PEM: {why}", lambda ca, make=make: make(),
        refused("csr-malformed body-malformed", r"(csr|body)?"))


@functools.lru_cache(None)
def a_certificate():
    """A certificate of somebody's, self-signed."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nas.lan")])
    day = datetime.datetime(2026, 1, 1)
    public, end = p256().key.public_key(), day.replace(2036)
    builder = x509.CertificateBuilder(name, name, public, 1, day, end)
    return builder.sign(p256().key, csrs.hashes.SHA256()).public_bytes(serialization.Encoding.DER)


row("28-certificate", "a certificate in place of a CSR",
    lambda ca: wish_text(pem(a_certificate(), "CERTIFICATE")),
    refused("csr-malformed", r"csr", "certificate"))
row("28-certificate-labelled", "a certificate under the label of a CSR",
    lambda ca: wish_der(a_certificate()), BAD_PEM)
row("28-certificate-der", "a certificate, posted as it is", lambda ca: raw(a_certificate()),
    BAD_PEM)
row("28-8-mib", "8 MiB of PEM", lambda ca: wish_text(pem(bytes(6 * 1024 * 1024))), TOO_LARGE,
    quick=True)
row("28-8-mib-raw", "8 MiB, posted as it is", lambda ca: raw(bytes(8 * 1024 * 1024)), TOO_LARGE,
    quick=True)
row("28-no-body", "no body", lambda ca: raw(b"", "application/json"),
    refused("body-malformed", r"(body)?"))
row("28-no-body-pkcs10", "no CSR", lambda ca: raw(b""),
    refused("csr-malformed body-malformed", r"(csr|body)?"))
row("28-no-csr", "JSON without csr", lambda ca: raw(b'{"names":["nas.lan"]}', "application/json"),
    refused("body-malformed csr-malformed", r"csr"))
row("28-csr-number", "a number for the csr", lambda ca: raw(b'{"csr":1}', "application/json"),
    refused("body-malformed csr-malformed", r"csr"))
row("28-names-text", "a text for the names", lambda ca: wish(fields={"names": "nas.lan"}),
    refused("body-malformed", r"names"))
row("28-names-numbers", "numbers for the names", lambda ca: wish(fields={"names": [1, 2]}),
    refused("body-malformed name-invalid", r"names(\[0\])?"))
row("28-media-type", "a CSR as text/plain", lambda ca: raw(text_of()[0].encode(), "text/plain"),
    refused("media-type", r".*", "pkcs10|json"))


def private_key(kind, how):
    """A private key next to its CSR, as `openssl req -keyout - ` and many a user send it."""
    key = rsa_private() if kind == "rsa" else csrs.EcKey().key
    form = {"pkcs8": serialization.PrivateFormat.PKCS8,
            "traditional": serialization.PrivateFormat.TraditionalOpenSSL,
            "openssh": serialization.PrivateFormat.OpenSSH}[how.split("-")[0]]
    encryption = (serialization.BestAvailableEncryption(b"secret") if how.endswith("-encrypted")
                  else serialization.NoEncryption())
    text = key.private_bytes(serialization.Encoding.PEM, form, encryption).decode()
    return text, text.split("\n")[2][:40].encode()


@functools.lru_cache(None)
def rsa_private():
    from cryptography.hazmat.primitives.asymmetric import rsa as library
    return library.generate_private_key(65537, 2048)


def with_private_key(kind, how, arrange):
    text, canary = private_key(kind, how)
    request = arrange(text, text_of()[0])
    request.canaries, request.canaries_anywhere = (canary,), True
    return request


PRIVATE = refused("private-key-in-body", r"(csr|body|label|names(\[0\])?)?",
    "private key|secret|key")
for slug, kind, how in (("pkcs8", "ec", "pkcs8"), ("ec", "ec", "traditional"),
    ("rsa", "rsa", "traditional"),
                        ("encrypted", "ec", "pkcs8-encrypted"), ("openssh", "ec", "openssh")):
    row(f"28-private-{slug}", "a private key after the CSR", lambda ca, kind=kind, how=how:
        with_private_key(kind, how, lambda text, good: wish_text(good + text)), PRIVATE)
row("28-private-first", "a private key before the CSR",
    lambda ca: with_private_key("ec", "pkcs8", lambda text, good: wish_text(text + good)), PRIVATE)
row("28-private-only", "a private key in place of the CSR",
    lambda ca: with_private_key("ec", "pkcs8", lambda text, good: wish_text(text)), PRIVATE)
row("28-private-raw", "a private key and a CSR, posted as they are",
    lambda ca: with_private_key("rsa", "pkcs8", lambda text, good: raw((text + good).encode())),
    PRIVATE)
row("28-private-label", "a private key in the label", lambda ca: with_private_key("ec", "pkcs8",
    lambda text, good: wish_text(good, {"label": text})), PRIVATE)
row("28-private-name", "a private key for a name", lambda ca: with_private_key("ec", "pkcs8",
    lambda text, good: wish_text(good, {"names": [text]})), PRIVATE)


def private_der():
    key = csrs.EcKey().key
    data = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())
    secret = key.private_numbers().private_value.to_bytes(32, "big")
    return raw(data, canaries=(secret, secret.hex().encode()), canaries_anywhere=True)


row("28-private-der", "a private key in DER", lambda ca: private_der(),
    refused("private-key-in-body csr-malformed", r"(csr|body)?"))

PASSWORD = "Xyzzy-Plugh-Canary-77"


def traces(secret):
    """A secret as it is, and as it looks inside base64 wherever it begins."""
    shifted = (base64.b64encode(bytes(shift) + secret)[4:-4] for shift in range(3))
    return (secret, *shifted)


row("29-challenge", "a challengePassword is ignored and not logged", lambda ca: dataclasses.replace(
    wish(attributes=[GOOD_REQUEST,
    csrs.attribute(csrs.OID_CHALLENGE_PASSWORD, der.utf8(PASSWORD))]),
    canaries=traces(PASSWORD.encode())),
    Accepted(("nas.lan",), check=lambda answer, certificate: no_password(answer)))
row("29-challenge-refused", "nor is it when the CSR is refused",
    lambda ca: dataclasses.replace(wish(attributes=[extension_request(san(dns("google.com"))),
                     csrs.attribute(csrs.OID_CHALLENGE_PASSWORD, der.utf8(PASSWORD))]),
    canaries=traces(PASSWORD.encode())),
    refused("name-not-permitted", r"csr\.san\[0\]"))


def no_password(answer):
    assert PASSWORD not in json.dumps(answer)


# -- 30: names of others -----------------------------------------------------------------------

def not_permitted(field, name):
    return refused("name-not-permitted", field, quoted(name))


for name in ("google.com", "nas.lan.evil.com", "evillan", "nas.xlan", "lan.com",
        "localhost.evil.com",
             "*.google.com", "xn--bcher-kva.com"):
    slug = name.replace("*.", "star-").replace(".", "-")
    row(f"30-{slug}", "a DNS name outside the constraints", lambda ca,
        name=name: named(GOOD, dns(name)),
        not_permitted(SECOND, name))
    row(f"30-json-{slug}", "a DNS name outside the constraints, in the JSON",
        lambda ca, name=name: asked("nas.lan", name), not_permitted(JSON_SECOND, name))
for slug, octets, text in (("8-8-8-8", [8, 8, 8, 8], "8.8.8.8"),
    ("172-32", [172, 32, 0, 1], "172.32.0.1"),
                           ("2001", [0x20, 1, 0x48, 0x60] + [0] * 11 + [1], "2001:4860::1")):
    row(f"30-{slug}", "an address outside the constraints", lambda ca,
    octets=octets: named(GOOD, ip(octets)),
        not_permitted(SECOND, text))
    row(f"30-json-{slug}", "an address outside the constraints, in the JSON",
        lambda ca, text=text: asked("nas.lan", text), not_permitted(JSON_SECOND, text))
row("30-email", "an e-mail address outside the constraints",
    lambda ca: wish(fields={"profile": "user"}, names=[email("a@home.lan"), email("a@gmail.com")]),
    not_permitted(SECOND, "a@gmail.com"))
row("30-json-email", "the same in the JSON",
    lambda ca: asked("a@home.lan", "a@gmail.com", profile="user"),
    not_permitted(JSON_SECOND, "a@gmail.com"))
row("30-email-server", "an e-mail address outside profile and constraints", lambda ca: named(GOOD,
    email("a@gmail.com")), refused("name-not-allowed name-not-permitted", SECOND))
row("30-cn", "a CN outside the constraints, and no SAN", lambda ca: wish(subject=cn("google.com")),
    not_permitted(r"csr\.subject\.CN", "google.com"))
row("30-cn-ip", "an address outside the constraints as CN, and no SAN",
    lambda ca: wish(subject=cn("8.8.8.8")),
    not_permitted(r"csr\.subject\.CN", "8.8.8.8"))
row("30-cn-beside-san", "a CN outside the constraints beside a good SAN does not get in",
    lambda ca: wish(subject=cn("google.com"), names=[GOOD]), NAS)
for slug in ("https", "ocsp"):
    row(f"30-own-{slug}", "what the CA gives to itself alone",
        lambda ca, slug=slug: wish(fields={"profile": slug}, names=[dns("localhost")]), refused("forbidden", "profile", "CA's own"))
row("30-upper", "case does not matter for constraints", lambda ca: named(dns("NAS.LAN")), NAS)
row("30-each-of-100", "one bad name among a hundred: the hundredth", lambda ca: named(
    *(dns(name) for name in host_names(99)), dns("google.com")),
    not_permitted(r"csr\.san\[99\]", "google.com"))

assert len({each.id for each in ROWS}) == len(ROWS), "two rows with one id"
assert {int(each.id[:2]) for each in ROWS} == set(range(1, 31)), "a row of the list has no case"
