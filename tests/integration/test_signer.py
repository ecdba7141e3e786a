"""A hostile cad against the real cad-signer: what a captured network side may say, and what it gets for it.

After every refusal the signer is alive, has signed nothing, and serves the next good wish.
"""

import contextlib
import hashlib
import os
import pathlib
import signal
import socket
import subprocess
import time

import csrs
import der
import pytest
import signertest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from signertest import DAY, ERROR, HELLO, HOUR, ISSUE, STATUS, Signer, faked, frame, issue_frame

P256 = csrs.p256()


@pytest.fixture(scope="module")
def signer():
    with Signer() as one:
        yield one


def check_intact(signer, lines):
    """Alive, nothing signed since @lines, and a good wish is served with one line."""
    assert signer.alive(), signer.tail()
    assert len(signer.lines()) == lines, "a refusal left a line in the log"
    leaf = signer.issue().expect("certificate").leaf
    after = signer.lines()
    assert len(after) == lines + 1
    assert int(after[-1]["serial"], 16) == x509.load_der_x509_certificate(leaf).serial_number


def refused(signer, slugs, field=None, **wish):
    lines = len(signer.lines())
    answer = signer.issue(**wish)
    assert answer.slug in slugs.split(), repr(answer)
    if field is not None:
        assert answer.field == field, repr(answer)
    check_intact(signer, lines)
    return answer


# -- What a certificate holds ------------------------------------------------------------------

USAGES = {0: 0, 1: 1, 2: 2}     # bit of enum key_usage → bit of RFC 5280 §4.2.1.3
EKUS = {1: "1.3.6.1.5.5.7.3.1", 2: "1.3.6.1.5.5.7.3.2", 4: "1.3.6.1.5.5.7.3.4",
        8: "1.3.6.1.5.5.7.3.9"}


def time_der(t):
    moment = time.gmtime(t)
    if moment.tm_year < 2050:
        return der.tlv(0x17, time.strftime("%y%m%d%H%M%SZ", moment).encode())
    return der.tlv(0x18, time.strftime("%Y%m%d%H%M%SZ", moment).encode())


def common_name(cn):
    """PrintableString where that has the characters (X.680 §41.4)."""
    if not cn:
        return der.seq()
    return csrs.dn((csrs.OID_CN, der.utf8(cn) if set(cn) & set("*@_") else der.printable(cn)))


def expected_tbs(signer, leaf, profile, spki, names, cn, not_before, not_after):
    """The TBSCertificate as the signer must have framed it: all but serial, SPKI, names, CN and times is its own."""
    kinds, usage, extended, *_, nocheck = signertest.PROFILES[profile]
    state, issuer = signer.issuers()["int-1"]
    url = signer.hello().fields[3].decode()
    is_rsa = bytes.fromhex("2a864886f70d010101") in spki[:24]
    key_bits = der.split(der.split(spki)[0][1])[1][1][1:]
    ski = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    usages = [bit for bit in USAGES if usage & 1 << bit and (is_rsa or bit != 2)]
    extensions = [
        csrs.extension(csrs.OID_BC, der.seq(), True),
        csrs.extension(csrs.OID_KU, der.named_bits(*usages), True),
        csrs.extension(csrs.OID_EKU, der.seq(*(der.oid(text) for bit, text in EKUS.items()
                                               if extended & bit))),
        csrs.extension(csrs.OID_SAN, signertest.general_names(names), None if cn else True),
        csrs.extension(csrs.OID_SKI, der.octets(hashlib.sha256(key_bits).digest()[:20])),
        csrs.extension(csrs.OID_AKI, der.seq(der.implicit(0, ski))),
        csrs.extension(csrs.OID_CDP, der.seq(der.seq(der.explicit(0, der.explicit(
            0, csrs.uri(f"{url}/crl/int-1.crl")))))),
        csrs.extension(csrs.OID_AIA, der.seq(der.seq(der.oid("1.3.6.1.5.5.7.48.2"),
                                                     csrs.uri(f"{url}/ca/int-1.crt")))),
    ]
    if nocheck:
        extensions.append(csrs.extension("1.3.6.1.5.5.7.48.1.5", der.null()))
    serial = x509.load_der_x509_certificate(leaf).serial_number
    return der.seq(der.explicit(0, der.integer(2)), der.integer(serial),
                   der.seq(der.oid("1.2.840.10045.4.3.2")), issuer.subject.public_bytes(),
                   der.seq(time_der(not_before), time_der(not_after)),
                   common_name(cn), spki, der.explicit(3, der.seq(*extensions)))


KEYS = {"p256": lambda: P256, "p384": lambda: csrs.EcKey(ec.SECP384R1()),
        "p521": lambda: csrs.EcKey(ec.SECP521R1()), "ed25519": csrs.EdKey,
        "rsa-2048": csrs.rsa, "rsa-4096": lambda: csrs.rsa(4096)}
WISHES = [
    ("server", "p256", ["nas.lan"], ""), ("server", "p384", ["nas.lan", "192.168.1.10"], "nas.lan"),
    ("server", "p521", ["*.nas.lan"], "*.nas.lan"), ("server", "ed25519", ["fd00::1"], ""),
    ("server", "rsa-2048", ["nas.lan"], ""), ("server", "rsa-4096", ["a.local", "b.local"], "b.local"),
    ("client", "p256", ["a@home.arpa", "https://nas.lan/x", "nas.lan"], "nas.lan"),
    ("client", "p256", ["https://nas.lan/a,b.lan"], ""),
    ("user", "p256", ["a@home.arpa"], ""), ("device", "p256", ["cam.lan"], ""),
    ("peer", "rsa-2048", ["cam.lan"], ""), ("ocsp", "p256", ["ocsp.lan"], ""),
    ("admin", "p256", ["a@home.arpa"], ""),
    ("server", "p256", [f"n{i}.lan" for i in range(100)], "n99.lan"),
]


@pytest.mark.parametrize("profile,key,names,cn", WISHES)
def test_a_certificate_is_what_the_signer_framed_octet_for_octet(signer, profile, key, names, cn):
    spki, not_before = KEYS[key]().spki, int(time.time()) - 60
    not_after = not_before + 5 * DAY - 1
    leaf = signer.issue(profile=profile, names=names, cn=cn, spki=spki, not_before=not_before,
                        not_after=not_after).expect("certificate").leaf
    certificate = x509.load_der_x509_certificate(leaf)
    assert certificate.tbs_certificate_bytes == expected_tbs(
        signer, leaf, profile, spki, names, cn, not_before, not_after)
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    signer.issuers()["int-1"][1].public_key().verify(
        certificate.signature, certificate.tbs_certificate_bytes, ec.ECDSA(
            certificate.signature_hash_algorithm))


def test_the_heaviest_wishes_pass_the_sandbox():
    """What a signing thread may do is a list: big keys, long names and A-labels must not need more."""
    long = [f"{'x' * 63}.{'y' * 63}.{'z' * 63}.{i:02}.lan" for i in range(99)]
    with Signer(profiles={"server": "[Profile]\nRsaBitsMax=8192\n"}) as signer:
        wish = {"profile_digest": signertest.digest("server", rsa_bits_max=8192)}
        for spki in (csrs.rsa(8192).spki, P256.spki):
            for _ in range(10):
                signer.issue(spki=spki, names=long + ["xn--bcher-kva.lan"], **wish).expect("certificate")
                assert signer.issue(spki=csrs.rsa(16384).spki, names=long, **wish).type == ERROR


def test_it_ends_well_when_cad_closes_the_socket():
    with Signer() as signer:
        for _ in range(10):
            signer.issue_many(20)
            assert signer.stop() == 0, "killed by its own sandbox?"
            signer.start()


@pytest.mark.parametrize("kind", ["ecdsa-p384", "ed25519", "rsa-3072", "rsa-4096"])
def test_a_ca_of_each_key_type_serves(kind):
    with Signer(init=["--key", kind]) as signer:
        leaf = x509.load_der_x509_certificate(signer.issue().expect("certificate").leaf)
        key = signer.issuers()["int-1"][1].public_key()
        if kind.startswith("rsa"):
            key.verify(leaf.signature, leaf.tbs_certificate_bytes, padding.PKCS1v15(),
                       leaf.signature_hash_algorithm)
        elif kind == "ed25519":
            key.verify(leaf.signature, leaf.tbs_certificate_bytes)
        else:
            key.verify(leaf.signature, leaf.tbs_certificate_bytes,
                       ec.ECDSA(leaf.signature_hash_algorithm))


def test_encrypted_keys_serve_with_their_passphrase_alone(tmp_path):
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    for path, text in ((right, "correct horse\n"), (wrong, "incorrect horse\n")):
        path.touch(mode=0o600)
        path.write_text(text)
    with_right = ["--passphrase-file", str(right)]
    with Signer(init=with_right, args=with_right) as signer:
        signer.issue().expect("certificate")
        assert b"ENCRYPTED" in (signer.state / "ca" / "int-1.key").read_bytes()
        signer.stop()
        signer.args = ["--passphrase-file", str(wrong)]
        signer.start(hello=False)
        assert signer.receive().slug == "key-passphrase"
        assert signer.process.wait(10) == 1


# -- Another profile, other usages -------------------------------------------------------------

@pytest.mark.parametrize("name", ["ca", "root", "int-1", "subca", "Server", "SERVER", "server ", " server",
                                  "server.conf", "../profiles.d/server", "server/../ca", "", "*"])
def test_there_is_no_profile_that_makes_a_ca(signer, name):
    refused(signer, "profile-unknown", "profile", profile=name, profile_digest=signertest.digest("server"))


@pytest.mark.parametrize("name,of", [("server", "client"), ("user", "server"), ("server", "ocsp"), ("ocsp", "server")])
def test_the_digest_of_another_profile_is_stale(signer, name, of):
    refused(signer, "profile-stale", profile=name, profile_digest=signertest.digest(of))


def test_the_digest_with_one_bit_turned_is_stale(signer):
    right = signertest.digest("server")
    for bit in (0, 100, 255):
        wrong = (int.from_bytes(right, "big") ^ 1 << bit).to_bytes(32, "big")
        refused(signer, "profile-stale", profile_digest=wrong)


def test_a_standby_or_unknown_issuer_signs_nothing(signer):
    for issuer in ("int-2", "root", "int-3", "INT-1", "int-1 "):
        refused(signer, "ca-missing", issuer=issuer)
    signer.issue(issuer="int-1").expect("certificate")


# -- Names -------------------------------------------------------------------------------------

BAD_NAMES = [
    ("a public name", "server", "google.com"), ("a public suffix", "server", "com"),
    ("a public suffix with two labels", "server", "co.uk"), ("a name that only ends like ours", "server", "evillan"),
    ("a permitted name as a prefix", "server", "nas.lan.example.com"), ("everything", "server", "*"),
    ("a wildcard over a permitted domain", "server", "*.lan"), ("a wildcard outside", "server", "*.example.com"),
    ("a public address", "server", "8.8.8.8"), ("just outside 172.16/12", "server", "172.32.0.1"),
    ("a public IPv6 address", "server", "2001:4860:4860::8888"),
    ("a private address mapped into IPv6", "server", "::ffff:192.168.0.1"),
    ("e-mail outside", "user", "a@example.com"), ("e-mail that only ends like ours", "user", "a@evillan"),
    ("a URI outside", "client", "https://example.com/nas.lan"), ("a URI with a foreign host behind userinfo", "client", "https://nas.lan@example.com/"),
    ("a URI with an address", "client", "https://192.168.0.1/"), ("a URI without a host", "client", "urn:nas.lan"),
    ("a NUL inside", "server", csrs.dns(b"nas.lan\0.example.com")), ("a NUL before our domain", "server", csrs.dns(b"example.com\0.lan")),
    ("a trailing dot", "server", "example.com."), ("a space", "server", csrs.dns(b"nas.lan example.com")),
    ("an address as a DNS name", "server", csrs.dns("8.8.8.8")), ("an address of 5 octets", "server", csrs.ip(b"\x0a\0\0\0\0")),
    ("an address with its mask", "server", csrs.ip(b"\x0a\0\0\0\xff\0\0\0")), ("no address at all", "server", csrs.ip(b"")),
    ("otherName (UPN)", "server", der.explicit(0, der.oid("1.3.6.1.4.1.311.20.2.3"), der.explicit(0, der.utf8("admin@lan")))),
    ("directoryName", "server", der.explicit(4, csrs.cn("nas.lan"))), ("registeredID", "server", der.implicit(8, b"\x2a\x03")),
    ("x400Address", "server", der.explicit(3)), ("ediPartyName", "server", der.explicit(5)),
    ("e-mail under a profile for hosts", "server", "a@home.arpa"), ("a host under a profile for people", "user", "nas.lan"),
    ("a URI under a profile for hosts", "server", "https://nas.lan/"), ("a wildcard under a profile without", "device", "*.nas.lan"),
]


@pytest.mark.parametrize("why,profile,name", BAD_NAMES, ids=[row[0] for row in BAD_NAMES])
def test_a_name_outside_is_refused(signer, why, profile, name):
    refused(signer, "name-invalid name-not-permitted name-not-allowed csr-malformed", "names[0]", profile=profile, names=[name])


@pytest.mark.parametrize("why,profile,name", BAD_NAMES[::4], ids=[row[0] for row in BAD_NAMES[::4]])
def test_a_bad_name_behind_a_good_one_is_refused(signer, why, profile, name):
    good = "b@home.arpa" if profile == "user" else "good.lan"
    refused(signer, "name-invalid name-not-permitted name-not-allowed csr-malformed", "names[1]", profile=profile, names=[good, name])


def test_the_kth_of_a_hundred_names_is_found_for_every_k(signer):
    """threats.md R-16: of N names, one was checked N times."""
    lines = len(signer.lines())
    for k in range(100):
        names = [f"n{i}.lan" for i in range(100)]
        names[k] = "example.com"
        answer = signer.issue(names=names)
        assert (answer.slug, answer.field) == ("name-not-permitted", f"names[{k}]")
    check_intact(signer, lines)


@pytest.mark.parametrize("names", [b"", der.seq(), der.seq(csrs.dns("nas.lan")) + b"\0", b"\x30\x80" + csrs.dns("nas.lan") + b"\0\0",
                                   csrs.dns("nas.lan"), der.seq(b"\x82\x84\0\0\0\x07nas.lan"), b"\x30\x03\x82\x05na", b"\xff" * 100,
                                   der.set_of(csrs.dns("nas.lan")), der.seq(*[csrs.dns(f"n{i}.lan") for i in range(101)]),
                                   der.seq(*[csrs.dns("nas.lan")] * 101), der.nested(5000)])
def test_names_that_are_no_general_names_are_refused(signer, names):
    lines = len(signer.lines())
    assert signer.issue(names=names).slug in ("csr-malformed", "names-missing", "names-too-many", "name-invalid")
    check_intact(signer, lines)


@pytest.mark.parametrize("cn", ["example.com", "nas.lan\n", "nas", "NAS.LAN", "192.168.1.10", "nas.lan.", "*", "nas.lan,O=Evil",
                                "\u202enas.lan", "x" * 64])
def test_a_common_name_is_one_of_the_names_or_refused(signer, cn):
    refused(signer, "csr-subject", "csr.subject.CN", names=["nas.lan", "192.168.1.10"], cn=cn)


# -- Keys --------------------------------------------------------------------------------------

def off_curve():
    x, y = csrs.P256.g
    return csrs.EcKey(point=csrs.P256.point(x, y + 1)).spki


BAD_KEYS = {
    "off the curve": off_curve, "the point (0, 0)": lambda: csrs.EcKey(point=csrs.P256.point(0, 0)).spki,
    "infinity": lambda: csrs.EcInfinity().spki, "infinity, padded": lambda: csrs.EcInfinity(b"\0" * 65).spki,
    "a compressed point": lambda: csrs.EcKey(point=b"\x02" + P256.point[1:33]).spki,
    "a hybrid point": lambda: csrs.EcKey(point=b"\x06" + P256.point[1:]).spki,
    "coordinates over the field": lambda: csrs.EcKey(point=csrs.P256.point(csrs.P256.p, 1)).spki,
    "P-192": lambda: csrs.EcKey(ec.SECP192R1(), digest="sha256").spki, "secp256k1": lambda: csrs.EcKey(ec.SECP256K1()).spki,
    "explicit parameters": lambda: csrs.EcKey(params=csrs.P256.explicit()).spki,
    "RSA of 1024 bits": lambda: csrs.rsa(1024).spki, "RSA of 2047 bits": lambda: csrs.rsa(2047).spki,
    "RSA with e=3": lambda: csrs.rsa(e=3).spki, "RSA with e=1": lambda: csrs.rsa(e=1).spki,
    "RSA with an even modulus": lambda: csrs.RsaKey(2, csrs.prime("pi", 1024), csrs.prime("e", 1023)).spki,
    "RSA of 16384 bits": lambda: csrs.rsa(16384).spki, "RSA without its NULL": lambda: csrs.rsa(params=b"").spki,
    "Ed25519 with parameters": lambda: csrs.EdKey(params=der.null()).spki, "Ed25519 of 31 octets": lambda: csrs.EdKey(public=b"\1" * 31).spki,
    "the neutral element of Ed25519": lambda: csrs.EdIdentity().spki,
    "Ed448": lambda: csrs.EdKey(oid=csrs.OID_ED448).spki, "X25519": lambda: csrs.x25519_key().spki, "DSA": lambda: csrs.DsaKey().spki,
    "nothing": lambda: b"", "garbage": lambda: b"\x30\x59" + b"\xee" * 89, "octets behind": lambda: P256.spki + b"\0",
    "an extension behind": lambda: P256.spki + der.explicit(3, der.seq(csrs.basic_constraints(der.boolean(True)))),
    "an element inside": lambda: der.seq(*(part[2] for part in der.split(der.split(P256.spki)[0][1])), der.null()),
    "BER": lambda: der.tlv_long_length(der.SEQUENCE, der.split(P256.spki)[0][1]),
}


@pytest.mark.parametrize("why", BAD_KEYS)
def test_a_bad_key_is_refused(signer, why):
    refused(signer, "key-weak key-invalid key-unsupported", "csr.key", spki=BAD_KEYS[why]())


def spki_of(certificate):
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_the_cas_own_keys_are_refused(signer):
    for certificate in [signer.root(), *(one for _, one in signer.issuers().values())]:
        refused(signer, "key-reserved", "csr.key", spki=spki_of(certificate))


def test_an_rsa_cas_own_key_is_refused_in_any_wrapping():
    with Signer(init=["--key", "rsa-3072"]) as signer:
        spki = spki_of(signer.root())
        assert signer.issue(spki=spki).slug == "key-reserved"
        bits = der.split(der.split(spki)[0][1])[1][2]
        for oid, parameters in ((csrs.OID_RSA, b""), (csrs.OID_RSA_PSS, b""), (csrs.OID_RSA_PSS, der.null())):
            assert signer.issue(spki=der.seq(der.seq(der.oid(oid), parameters), bits)).slug.startswith("key-")


# -- Validity ----------------------------------------------------------------------------------

def test_a_validity_outside_is_refused(signer):
    now, issuer = int(time.time()), signer.issuers()["int-1"][1]
    end = int(issuer.not_valid_after.timestamp())
    most = 397 * DAY
    for why, begin, stop in (
            ("100 years", now, now + 36500 * DAY), ("a second over the profile's maximum", now, now + most),
            ("begins in the past", now - 2 * HOUR, now + DAY), ("begins in 1970", 0, DAY), ("before 1970", -1, now + DAY),
            ("begins after the longest life", now + most + HOUR, now + most + DAY), ("ends before it begins", now + HOUR, now),
            ("over already", now - HOUR, now - 1), ("beyond the issuer", end - 10 * DAY, end + 1), ("after 9999", now, 253402300800),
            ("the largest number", now, 2**63 - 1), ("the smallest", -2**63, 2**63 - 1), ("both the smallest", -2**63, -2**63)):
        answer = refused(signer, "validity-out-of-range", not_before=begin, not_after=stop)
        assert answer.field in ("validity", "not_before"), why
    signer.issue(not_before=now, not_after=now + most - 1).expect("certificate")


def test_a_leaf_never_outlives_an_issuer_that_is_about_to_end():
    with Signer(init=["--intermediate-validity", "30d"]) as signer:
        end = int(signer.issuers()["int-1"][1].not_valid_after.timestamp())
        end -= time.timezone
        assert signer.issue(not_before=int(time.time()), not_after=end + 1).slug == "validity-out-of-range"
        signer.issue(not_before=int(time.time()), not_after=end).expect("certificate")


# -- Frames ------------------------------------------------------------------------------------

def test_a_frame_cut_anywhere_is_refused(signer):
    """With the length of the header as it was, and with one that owns up to the cut."""
    whole, lines = issue_frame(7), len(signer.lines())
    for size in range(1, len(whole)):
        assert signer.raw(whole[:size]).slug == "message-malformed"
        if size >= 12:
            answer = signer.raw(size.to_bytes(4, "big") + whole[4:size], 7)
            assert answer.slug == "message-malformed", size
    check_intact(signer, lines)


def test_a_field_whose_length_lies_is_refused(signer):
    whole, lines, at = issue_frame(7), len(signer.lines()), 12
    while at < len(whole):
        size = int.from_bytes(whole[at:at + 4], "big")
        for lie in {0, 1, size - 1, size + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFB} - {size, -1}:
            answer = signer.raw(whole[:at] + lie.to_bytes(4, "big") + whole[at + 4:], 7)
            assert answer.type == ERROR, (at, lie)
        at += 4 + size
    check_intact(signer, lines)


def test_a_length_or_version_or_reserved_octet_that_lies_is_refused(signer):
    lines = len(signer.lines())
    for wrong in (frame(STATUS, 1, length=11), frame(STATUS, 1, length=13), frame(STATUS, 1, length=0), frame(STATUS, 1, length=2**32 - 1),
                  frame(STATUS, 1, version=0), frame(STATUS, 1, version=2), frame(STATUS, 1, version=255), frame(STATUS, 1, b""), frame(HELLO, 1, b"x"), frame(STATUS, 1) + b"\0",
                  issue_frame(1, more=[b""]), issue_frame(1, more=[b"CA:TRUE"]), frame(ISSUE, 1)):
        assert signer.raw(wrong).slug == "message-malformed"
    for reserved in (1, 256, 65535):
        answer = signer.raw(frame(STATUS, 1, reserved=reserved))
        assert answer.slug == "message-malformed" and "reserved octets" in answer.text
    check_intact(signer, lines)


def test_a_field_over_its_maximum_is_refused(signer):
    lines = len(signer.lines())
    for wish in ({"issuer": "i" * 16}, {"profile": "p" * 32}, {"profile_digest": bytes(31)}, {"profile_digest": bytes(33)},
                 {"spki": bytes(2401)}, {"cn": "c" * 65}, {"names": bytes(32 * 1024 + 1)}, {"issuer": "\0"}, {"cn": "nas.lan\0"},
                 {"profile": "server\0ca"}):
        assert signer.issue(**wish).slug == "message-malformed", wish
    check_intact(signer, lines)


def test_no_other_type_is_known_and_none_takes_what_is_not_its_own(signer):
    lines = len(signer.lines())
    for kind in set(range(256)) - {HELLO, ISSUE, STATUS, signertest.ANCHORS}:
        for body in ((), (b"x" * 100,), (der.seq(der.null()),)):
            answer = signer.raw(frame(kind, 9, *body), 9)
            assert answer.slug == "message-malformed"
    check_intact(signer, lines)


def test_octets_to_be_signed_are_never_taken(signer):
    """A wish for a CRL that is shaped like a v1 certificate, and the like: there is no message for it."""
    issuer, lines = signer.issuers()["int-1"][1], len(signer.lines())
    moment = time_der(int(time.time()))
    v1 = der.seq(der.integer(1), der.seq(der.oid("1.2.840.10045.4.3.2")), issuer.subject.public_bytes(),
                 der.seq(moment, moment), csrs.cn("evil"), P256.spki)
    crl = der.seq(der.integer(1), der.seq(der.oid("1.2.840.10045.4.3.2")), issuer.subject.public_bytes(), moment, moment)
    for kind in (4, 5, 6, 10, 32):
        for tbs in (v1, crl, hashlib.sha256(v1).digest()):
            assert signer.raw(frame(kind, 4, "int-1", tbs), 4).slug == "message-malformed"
            assert signer.raw(frame(kind, 4, tbs), 4).slug == "message-malformed"
    for place in ("spki", "names", "profile_digest"):
        assert signer.issue(**{place: v1}).type == ERROR
    check_intact(signer, lines)


def test_garbage_and_oversized_datagrams_are_refused(signer):
    lines, generator = len(signer.lines()), hashlib.shake_256(b"cad")
    noise = generator.digest(200_000)
    for i in range(300):
        signer.send(noise[i * 311:i * 311 + 1 + i])
        assert signer.receive().type == ERROR
    for size in (65535, 65536, 65537, 100_000, 150_000):
        signer.send(size.to_bytes(4, "big") + frame(STATUS, 5)[4:] + bytes(size - 12))
        assert signer.receive().slug == "message-malformed"
    check_intact(signer, lines)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees the descriptors of a process that is not dumpable")
def test_descriptors_that_are_passed_are_not_kept(signer):
    before = len(os.listdir(f"/proc/{signer.process.pid}/fd"))
    with open("/dev/null", "rb") as null:
        for i in range(50):
            socket.send_fds(signer.socket, [frame(STATUS, i)], [null.fileno()] * 10)
            signer.receive().expect("status")
    assert len(os.listdir(f"/proc/{signer.process.pid}/fd")) == before


def test_malformed_messages_do_not_fill_the_disk():
    with Signer() as signer:
        for i in range(2000):
            assert signer.raw(b"\xff" * 13).type == ERROR
        assert len(signer.stderr()) < 4096


def test_an_empty_datagram_is_the_end_and_no_crash():
    """On this kind of socket it cannot be told from a peer that has gone."""
    with Signer() as signer:
        signer.issue().expect("certificate")
        signer.send(b"")
        assert signer.process.wait(10) == 0
        signer.start()
        signer.issue().expect("certificate")


@pytest.mark.slow
def test_a_flood_whose_answers_are_not_read_is_bounded():
    """cad pours frames in and reads nothing; when it reads again, everything goes on."""
    with Signer() as signer:
        signer.issue().expect("certificate")
        before = signer.memory_kib()
        wish, sent, answers, errors, until = issue_frame(1), 0, 0, 0, time.monotonic() + 3
        signer.socket.setblocking(False)
        while sent < 20_000 and time.monotonic() < until:
            try:
                signer.socket.send(wish)
                sent += 1
            except BlockingIOError:
                time.sleep(0.001)
        during = signer.memory_kib()
        if not signertest.sanitized():
            assert during - before < 8 * 1024, f"{before} KiB became {during}"
        while sent < 20_000 or errors < 100:
            try:
                if sent < 20_000:
                    signer.socket.send(wish)
                    sent += 1
            except BlockingIOError:
                pass
            try:
                signer.socket.recv(signertest.FRAME_MAX)
                answers, errors = answers + 1, 0
            except BlockingIOError:
                errors += sent == 20_000
                time.sleep(0.001 if errors else 0)
            assert time.monotonic() < until + 120
        assert answers > 15_000
        signer.socket.setblocking(True)
        time.sleep(0.2)
        signer.socket.setblocking(False)
        try:
            while signer.socket.recv(signertest.FRAME_MAX):
                answers += 1
        except BlockingIOError:
            pass
        check_intact(signer, len(signer.lines()))
        serials = [line["serial"] for line in signer.lines()]
        assert len(serials) == len(set(serials)) >= answers


# -- Serials, log, limit -----------------------------------------------------------------------

def test_serials_are_unique_rising_and_random():
    with Signer() as signer:
        count = 5000
        leaves = signer.issue_many(count)
        logged = [line["serial"] for line in signer.lines()]
        serials = {f"{x509.load_der_x509_certificate(leaf).serial_number:x}" for leaf in leaves}
        assert len(serials) == count and serials == set(logged), "a signature without its line, or twice"
        values = [bytes.fromhex(serial) for serial in logged]
        assert all(len(value) == 19 and value[0] == 0x10 for value in values)
        times = [int.from_bytes(value[1:7], "big") for value in values]
        assert times == sorted(times), "the log is not in the order of the serials"
        assert abs(times[0] / 1000 - time.time()) < 300
        tails = [int.from_bytes(value[7:], "big") for value in values]
        assert len({tail >> 64 for tail in tails}) > count - 30, "32 bits of random repeat far too often"
        for bit in range(96):       # 5000 coins: 6.5 standard deviations are 230
            ones = sum(tail >> bit & 1 for tail in tails)
            assert abs(ones - count / 2) < 230, f"bit {bit} is set {ones} times of {count}"
        for bit in range(95):       # nor do neighbours follow each other
            same = sum((tail >> bit ^ tail >> bit + 1) & 1 for tail in tails)
            assert abs(same - count / 2) < 230, f"bits {bit} and {bit + 1}"


def test_a_line_says_what_was_signed_and_is_there_before_the_answer(signer):
    for _ in range(50):
        leaf = x509.load_der_x509_certificate(signer.issue(names=["nas.lan", "10.0.0.1"], cn="nas.lan").leaf)
        line = signer.lines()[-1]
        assert line["serial"] == f"{leaf.serial_number:x}" and line["profile"] == "server" and line["issuer"] == "int-1"
        assert line["key"] == hashlib.sha256(P256.spki).hexdigest() and line["names"] == "nas.lan,10.0.0.1"
        assert line["until"] == leaf.not_valid_after.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_name_in_the_log_cannot_look_like_two(signer):
    signer.issue(profile="client", names=["https://nas.lan/a,b.lan", "nas.lan"]).expect("certificate")
    assert signer.lines()[-1]["names"].split(",") == ["https://nas.lan/a\\2cb.lan", "nas.lan"]


def test_the_log_outlives_a_kill_and_its_half_line_is_ended():
    with Signer() as signer:
        serials = {f"{x509.load_der_x509_certificate(leaf).serial_number:x}" for leaf in signer.issue_many(200)}
        signer.kill()
        assert serials <= {line["serial"] for line in signer.lines()}
        with open(signer.state / "log", "a") as log:
            log.write("2026-01-01T00:00:00Z issue serial=10")
        signer.start()
        signer.issue().expect("certificate")
        assert serials <= {line.get("serial") for line in signer.lines()} and len(signer.lines()) == 202


def test_a_full_disk_refuses_and_heals_by_itself():
    """A limit on the file's size stands for the disk: no line, no certificate."""
    import resource
    with Signer() as signer:
        signer.issue().expect("certificate")
        size = (signer.state / "log").stat().st_size
        resource.prlimit(signer.process.pid, resource.RLIMIT_FSIZE, (size + 100, resource.RLIM_INFINITY))
        for _ in range(5):
            assert signer.issue().slug in ("io", "store", "store-full")
        assert (signer.state / "log").stat().st_size == size
        assert signer.status()["log"]
        resource.prlimit(signer.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        signer.wait_until(lambda: signer.status()["log"] == "", 10, "status does not heal without a wish")
        check_intact(signer, 1)


def test_the_rate_limit_holds_and_survives_a_restart():
    with Signer(conf="[Limits]\nPerHour=5\n") as signer:
        for _ in range(5):
            signer.issue().expect("certificate")
        assert signer.issue().slug == "rate-limited"
        assert signer.status()["last_hour"] == 5 and signer.status()["per_hour"] == 5
        for end in (signer.stop, signer.kill):
            end()
            signer.start()
            assert signer.issue().slug == "rate-limited"
            assert len(signer.lines()) == 5
        refusals = [signer.issue(names=["example.com"]).slug for _ in range(3)]
        assert refusals == ["name-not-permitted"] * 3


def test_long_lines_and_restarts_do_not_forget_the_rate():
    """A captured cad makes the lines long, ends the signer, and hopes that not all of them are counted."""
    with Signer(conf="[Limits]\nPerHour=4000\n") as signer:
        names = [f"{'x' * 60}.{'y' * 60}.{i}.lan" for i in range(100)]
        signer.issue_many(3900, names=names)
        assert (signer.state / "log").stat().st_size > 4 * 1024 * 1024
        signer.stop()
        signer.start()
        assert signer.status()["last_hour"] == 3900
        signer.stop()
        (signer.state / "log").rename(signer.state / "log.1")
        signer.start()
        assert signer.status()["last_hour"] == 3900
        signer.issue_many(100)
        assert signer.issue().slug == "rate-limited"


# -- Time --------------------------------------------------------------------------------------

def test_a_clock_in_1970_signs_nothing_and_makes_no_ca():
    with Signer() as signer:
        signer.issue().expect("certificate")
        signer.stop()
        signer.start(faked("@1970-01-02 00:00:00"))
        answer = signer.issue()
        assert answer.slug == "clock" and "1970" in answer.text and "built" in answer.text
        assert "1970" in signer.status()["clock"]
        signer.stop()
        signer.start()
        signer.issue().expect("certificate")
        assert len(signer.lines()) == 2
    fresh = Signer(init=None)
    try:
        made = fresh.command("init", env=faked("@1970-01-02 00:00:00"))
        assert made.returncode == 1 and "clock" in made.stderr and not (fresh.state / "ca").exists()
    finally:
        fresh.__exit__()


@contextlib.contextmanager
def tomorrow():
    """A signer that has signed a day from now and is stopped: minutes before that are still after the
    last commit, which the clock is held against too."""
    with Signer() as signer:
        signer.stop()
        signer.start(faked("+1d"))
        signer.issue(now=int(time.time()) + DAY).expect("certificate")
        signer.stop()
        yield signer


def test_a_clock_set_back_is_refused_beyond_five_minutes():
    with tomorrow() as signer:
        signer.start(faked("+1430m"))
        answer = signer.issue(now=int(time.time()) + DAY - 600)
        assert answer.slug == "clock" and "cad clock accept" in answer.text
        signer.stop()
        signer.start(faked("+1436m"))
        first = signer.issue(now=int(time.time()) + DAY - 240).expect("certificate").leaf
        serials = [line["serial"] for line in signer.lines()]
        assert f"{x509.load_der_x509_certificate(first).serial_number:x}" == serials[-1]
        assert serials[-1][2:14] >= serials[0][2:14], "the time in the serials goes back"


@pytest.mark.slow
def test_it_goes_on_by_itself_when_the_clock_is_right_again():
    with tomorrow() as signer:
        signer.start(faked("+1430m x60"))   # its clock makes up a minute a second
        assert signer.issue(now=int(time.time()) + DAY - 600).slug == "clock"
        signer.wait_until(lambda: signer.status()["clock"] == "", 20, "it does not heal")
        signer.issue(now=int(time.time()) + DAY - 240).expect("certificate")


def synchronised():
    import ctypes
    return ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512)) != 5


def test_a_clock_far_ahead_wants_synchronisation_or_a_word():
    if synchronised():
        pytest.skip("the kernel says that this machine's clock is synchronised")
    with Signer() as signer:
        signer.issue().expect("certificate")
        signer.stop()
        ahead = int(time.time()) + 31 * DAY
        signer.start(faked("+31d"))
        assert signer.issue(now=ahead).slug == "clock"
        signer.stop()
        accepted = signer.command("clock-accept", env=faked("+31d"))
        assert accepted.returncode == 0, accepted.stderr
        signer.start(faked("+31d"))
        signer.issue(now=ahead).expect("certificate")
        assert signer.lines()[-1]["time"][:4] == time.strftime("%Y", time.gmtime(ahead))


def test_a_mark_that_is_wrong_is_put_right_by_a_word():
    """The clock was a year ahead and signed; the log's last line says so too. The right clock is accepted."""
    with Signer() as signer:
        signer.stop()
        assert signer.command("clock-accept", env=faked("+1y")).returncode == 0
        signer.start(faked("+1y"))
        signer.issue(now=int(time.time()) + 365 * DAY).expect("certificate")
        signer.stop()
        signer.start()
        assert signer.issue().slug == "clock"
        busy = signer.command("clock-accept")
        assert busy.returncode == 1 and str(signer.process.pid) in busy.stderr and "stop cad first" in busy.stderr
        signer.stop()
        assert signer.command("clock-accept").returncode == 0
        signer.start()
        signer.issue().expect("certificate")
        signer.stop()
        signer.start()
        signer.issue().expect("certificate")


def test_a_ca_made_by_a_clock_that_was_ahead_says_what_can_be_done():
    """No mark is to blame, so no word heals it: its certificates begin a year from now."""
    fresh = Signer(init=None)
    try:
        assert fresh.command("init", env=faked("+1y")).returncode == 0
        fresh.start()
        answer = fresh.issue()
        assert answer.slug == "clock" and "cad init --again" in answer.text and "clock accept" not in answer.text
        assert "cad init --again" in fresh.status()["clock"]
        fresh.stop()
        accepted = fresh.command("clock-accept")
        assert accepted.returncode == 1 and "cad init --again" in accepted.stderr
        again = fresh.command("init", "--again")
        assert again.returncode == 0, again.stderr
        fresh.start()
        fresh.issue().expect("certificate")
    finally:
        fresh.__exit__()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root works on the files of others")
def test_root_accepts_the_clock_for_the_user_of_the_signer():
    """What it writes is that user's, and the count of what was signed stays."""
    with Signer() as signer:
        signer.issue().expect("certificate")
        signer.issue().expect("certificate")
        signer.stop()
        for path in (signer.state, *signer.state.rglob("*")):
            os.chown(path, 4002, 4003)
        accepted = signer.command("clock-accept")
        assert accepted.returncode == 0, accepted.stderr
        for path in (signer.state, *signer.state.rglob("*")):
            assert (path.stat().st_uid, path.stat().st_gid) == (4002, 4003), path
        assert (signer.state / "mark").read_text().split()[1] == "2"


# -- Whose the files are -----------------------------------------------------------------------

OWN = ["", "ca", "ca/ca.conf", "ca/root.crt", "ca/root.key", "ca/int-1.crt", "ca/int-1.key", "ca/int-2.key", "log", "log.1", "mark", "lock"]


@pytest.fixture(scope="module")
def used():
    """The state of a signer that has signed and ended."""
    with Signer() as signer:
        signer.issue().expect("certificate")
        signer.stop()
        (signer.state / "log.1").write_text("")
        (signer.state / "log.1").chmod(0o600)
        yield signer.state


def start_error(used, tmp_path, harm):
    """What a start says after @harm was done to a copy."""
    state = tmp_path / "state"
    subprocess.run(["cp", "-a", used, state], check=True)
    harm(state)
    signer = Signer(state=state, init=None)
    try:
        signer.start(hello=False)
        answer = signer.receive()       # it does not wait for a HELLO to say that it will not start
        assert answer.type == ERROR and signer.process.wait(10) == 1
        return answer
    finally:
        signer.__exit__()


@pytest.mark.parametrize("mode", [0o020, 0o002])
@pytest.mark.parametrize("path", OWN)
def test_a_file_that_others_may_write_is_refused(used, tmp_path, path, mode):
    if not path and mode == 0o002:
        pytest.skip("test_start.py has it")
    def harm(state):
        (state / path).chmod((state / path).stat().st_mode | mode)
    answer = start_error(used, tmp_path, harm)
    full = str(tmp_path / "state" / path)
    assert answer.slug == "file-unsafe" and full in answer.text and f"chmod go-w {full}" in answer.text, answer.text
    assert f"mode {(tmp_path / 'state' / path).stat().st_mode & 0o7777:04o}" in answer.text, answer.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("path", OWN)
def test_a_file_of_another_user_is_refused(used, tmp_path, path):
    answer = start_error(used, tmp_path, lambda state: os.chown(state / path, 12345, 12345))
    full = tmp_path / "state" / path
    command = f"chown -R {os.geteuid()} {full}" if full.is_dir() else f"chown {os.geteuid()} {full}"
    assert answer.slug == "file-unsafe" and "uid 12345" in answer.text and command in answer.text, answer.text


# -- The process -------------------------------------------------------------------------------

def test_every_thread_is_in_its_sandbox(signer):
    if signertest.sanitized():
        pytest.skip("no filters in a build with a sanitizer")
    signer.issue().expect("certificate")
    filters = []
    for thread in pathlib.Path(f"/proc/{signer.process.pid}/task").iterdir():
        status = dict(line.split(":\t", 1) for line in (thread / "status").read_text().splitlines() if ":\t" in line)
        assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1"
        filters.append(int(status.get("Seccomp_filters", 0)))
    assert len(filters) >= 2 and max(filters) > min(filters), "a signing thread has one filter more than the main thread"


def test_no_thread_of_a_user_may_trace_it(signer):
    assert os.stat(f"/proc/{signer.process.pid}/mem").st_uid == 0, "dumpable: /proc would belong to its user"
    limits = pathlib.Path(f"/proc/{signer.process.pid}/limits").read_text()
    assert [line.split()[4] for line in limits.splitlines() if line.startswith("Max core file size")] == ["0"]


def test_profiles_are_read_anew_under_load():
    with Signer(profiles={"server": "[Profile]\nValidityMax=100d\n"}) as signer:
        assert signer.issue().slug == "profile-stale"
        (signer.config / "profiles.d" / "server.conf").unlink()
        stale = total = 0
        for burst in range(200):
            if burst == 20:
                signer.process.send_signal(signal.SIGHUP)
            for i in range(20):
                signer.send(issue_frame(i + 1))
            for i in range(20):
                answer, total = signer.receive(), total + 1
                stale += answer.type == ERROR and answer.slug == "profile-stale"
        assert 0 < stale < total, "the reload was never done under load"
        signer.issue().expect("certificate")


def test_a_broken_profile_keeps_the_old_ones():
    with Signer() as signer:
        (signer.config / "profiles.d" / "server.conf").write_text("[Profile]\nKeyUsage=keyCertSign\n")
        signer.process.send_signal(signal.SIGHUP)
        signer.wait_until(lambda: "server.conf" in signer.stderr(), 10, "the error is not said")
        signer.issue().expect("certificate")


def test_no_ca_bit_can_come_from_a_profile_file():
    for text in ("KeyUsage=keyCertSign", "KeyUsage=digitalSignature cRLSign", "ExtendedKeyUsage=OCSPSigning", "CA=yes"):
        with_bad = Signer(profiles={"evil": f"[Profile]\n{text}\n"})
        try:
            with_bad.start(hello=False)
            answer = with_bad.receive()
            assert answer.slug == "config" and "evil.conf" in answer.text
            assert with_bad.process.wait(10) == 1
        finally:
            with_bad.__exit__()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_order(number):
    with Signer() as signer:
        signer.issue_many(50)
        signer.process.send_signal(number)
        assert signer.process.wait(5) == 0
        assert (signer.state / "mark").read_text().split()[1] == "50"


def test_a_second_signer_says_who_has_the_state():
    with Signer() as signer:
        second = signertest.run("init", "--again", "--state-dir", signer.state)
        assert second.returncode == 1 and str(signer.process.pid) in second.stderr
        check_intact(signer, 0)


def test_a_ca_that_has_issued_is_never_replaced():
    with Signer() as signer:
        ca = signer.ca_id()
        signer.issue().expect("certificate")
        signer.stop()
        for lost in (None, "mark"):
            if lost:
                (signer.state / lost).unlink()
            assert signer.command("init", "--again").returncode == 1
        signer.start()
        assert signer.ca_id() == ca


@pytest.mark.parametrize("witness", ["ca-id", "log", "store"])
def test_no_second_ca_is_made_where_there_was_a_first(witness):
    with Signer() as signer:
        signer.issue().expect("certificate")
        signer.stop()
        (signer.state / "ca").rename(signer.base / "lost")
        if witness != "log":
            (signer.state / "log").unlink()
        if witness != "ca-id":
            (signer.config / "ca-id").unlink()
        if witness == "store":
            (signer.base / "cad.db").touch()
            signer.args = ["--store", str(signer.base / "cad.db")]
        signer.start(hello=False)
        answer = signer.receive()
        assert answer.slug == "ca-incomplete", repr(answer)
        assert signer.process.wait(10) == 1 and not (signer.state / "ca").exists()
        (signer.base / "lost").rename(signer.state / "ca")
        signer.start()
        signer.issue().expect("certificate")
