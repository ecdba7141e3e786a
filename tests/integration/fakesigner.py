"""A signer that lies: stands between cad and the real cad-signer, and changes what comes back.

The test puts a copy of cad into a directory of its own, and install() puts this beside it under the
name cad-signer. All is passed on as it is but certificates and CRLs of int-1: what is done with those is the
word in the file `way`, looked up in WAYS and CRLS. It has the CA's keys, so that what it changes is signed anew: only what
was changed is wrong.
"""

import calendar
import functools
import os
import pathlib
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import time

import csrs
import der
import signertest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

CERTIFICATE, ERROR, STATUS_OK, HELLO_OK, CRL_OK = 66, 127, 67, 65, 68
DAY = 86400
LATE_S = 4                      # later than cad waits


def install(folder, real):
    """Write the program @folder/cad-signer that lies about what @real says."""
    program = folder / "cad-signer"
    program.write_text("#!/usr/bin/python3\nimport sys\n"
                       f"sys.path.insert(0, {str(pathlib.Path(__file__).resolve().parent)!r})\n"
                       f"import fakesigner\nfakesigner.main({str(folder)!r}, {str(real)!r})\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    say(folder, "honest")


def say(folder, way):
    """From now on, do this with certificates."""
    fresh = folder / "way.new"
    fresh.write_text(way)
    fresh.replace(folder / "way")


# -- Certificates, taken apart and put together ------------------------------------------------

class Leaf:
    """The parts of a certificate; to_der() signs them with the CA's key."""

    NAMES = ("version", "serial", "algorithm", "issuer", "validity", "subject", "spki", "extensions")

    def __init__(self, relay, whole):
        self.relay, self.key, self.outer = relay, "int-1", None
        (_, body, _), = der.split(whole)
        (_, tbs, _), _, (_, self.signature, _) = der.split(body)
        for name, (_, _, element) in zip(self.NAMES, der.split(tbs)):
            setattr(self, name, element)

    def get_extensions(self):
        """{oid: (whole extension)} in their order."""
        found = {}
        (_, explicit, _), = der.split(self.extensions)
        (_, body, _), = der.split(explicit)
        for _, inner, whole in der.split(body):
            found[der.split(inner)[0][2]] = whole
        return found

    def set_extensions(self, extensions):
        self.extensions = der.explicit(3, der.seq(*extensions))
        return self

    def replace_extension(self, oid, whole):
        """Without it where @whole is empty; at the end where it was not there."""
        found = self.get_extensions()
        found[der.oid(oid)] = whole
        return self.set_extensions(found.values())

    def tbs(self):
        return der.seq(*(getattr(self, name) for name in self.NAMES))

    def to_der(self):
        key = self.relay.key(self.key)
        signature = key.sign(self.tbs(), ec.ECDSA(hashes.SHA256()))
        return der.seq(self.tbs(), self.outer or self.algorithm, der.bits(signature))


def time_der(when):
    return der.tlv(0x17, time.strftime("%y%m%d%H%M%SZ", time.gmtime(when)).encode())


def times(leaf):
    return [calendar.timegm(time.strptime(body.decode(), "%y%m%d%H%M%SZ"))
            for _, body, _ in der.split(der.split(leaf.validity)[0][1])]


def with_times(leaf, before=0, after=0):
    start, end = times(leaf)
    leaf.validity = der.seq(time_der(start + before), time_der(end + after))
    return leaf


def with_part(name, value):
    def change(leaf):
        setattr(leaf, name, value(leaf) if callable(value) else value)
        return leaf
    return change


def with_names(*names):
    return lambda leaf: leaf.replace_extension(csrs.OID_SAN, csrs.san(*names))


def with_extension(oid, value, critical=None):
    return lambda leaf: leaf.replace_extension(oid, csrs.extension(oid, value, critical))


def from_standby(leaf):
    """A good certificate of the other intermediate: key, issuer and key id all fit."""
    issuer = leaf.relay.certificate("int-2")
    leaf.key, leaf.issuer = "int-2", issuer.subject.public_bytes()
    ski = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    return leaf.replace_extension(csrs.OID_AKI, csrs.extension(csrs.OID_AKI, der.seq(der.implicit(0, ski))))


def unordered(leaf):
    return leaf.set_extensions(reversed(list(leaf.get_extensions().values())))


def twice(oid):
    def change(leaf):
        found = leaf.get_extensions()
        return leaf.set_extensions([*found.values(), found[der.oid(oid)]])
    return change


# What is done to the leaf before it is signed anew: each of these must be noticed (500).
LEAVES = {
    "another key": with_part("spki", lambda leaf: csrs.EcKey().spki),
    "another name": with_names(csrs.dns("evil.lan")),
    "a name more": with_names(csrs.dns("nas.lan"), csrs.dns("evil.lan")),
    "a public name": with_names(csrs.dns("www.example.com")),
    "no names": lambda leaf: leaf.replace_extension(csrs.OID_SAN, b""),
    "critical names": lambda leaf: leaf.replace_extension(csrs.OID_SAN,
                                                          csrs.san(csrs.dns("nas.lan"), critical=True)),
    "another common name": with_part("subject", csrs.cn("evil.lan")),
    "an organisation": with_part("subject", csrs.dn((csrs.OID_O, "Bank"), (csrs.OID_CN, "nas.lan"))),
    "a CA": with_extension(csrs.OID_BC, der.seq(der.boolean(True)), True),
    "no basic constraints": lambda leaf: leaf.replace_extension(csrs.OID_BC, b""),
    "keyCertSign": lambda leaf: leaf.replace_extension(csrs.OID_KU, csrs.key_usage(0, 5)),
    "no key usage": lambda leaf: leaf.replace_extension(csrs.OID_KU, b""),
    "clientAuth too": lambda leaf: leaf.replace_extension(
        csrs.OID_EKU, csrs.ext_key_usage("1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2")),
    "anyExtendedKeyUsage": lambda leaf: leaf.replace_extension(csrs.OID_EKU, csrs.ext_key_usage("2.5.29.37.0")),
    "no extended key usage": lambda leaf: leaf.replace_extension(csrs.OID_EKU, b""),
    "a policy": with_extension(csrs.OID_POLICIES, der.seq(der.seq(der.oid("2.23.140.1.2.1")))),
    "an unknown critical extension": with_extension("1.3.6.1.4.1.99999.1", der.null(), True),
    "an unknown extension": with_extension("1.3.6.1.4.1.99999.1", der.null()),
    "no CRL address": lambda leaf: leaf.replace_extension(csrs.OID_CDP, b""),
    "extensions in another order": unordered,
    "an extension twice": twice(csrs.OID_EKU),
    "no extensions": with_part("extensions", b""),
    "a second more of life": lambda leaf: with_times(leaf, after=1),
    "a second less": lambda leaf: with_times(leaf, after=-1),
    "a second earlier": lambda leaf: with_times(leaf, before=-1),
    "ten years": lambda leaf: with_times(leaf, after=3650 * DAY),
    "a serial of one octet": with_part("serial", der.integer(5)),
    "serial 0": with_part("serial", der.integer(0)),
    "a negative serial": with_part("serial", der.integer(-(1 << 150))),
    "a serial of 21 octets": with_part("serial", der.integer(1 << 160)),
    "a serial with a zero in front": with_part("serial", der.tlv(2, b"\0\0" + b"\x11" * 16)),
    "another issuer": with_part("issuer", csrs.cn("Somebody")),
    "of the standby": from_standby,
    "version 1": with_part("version", b""),
    "version 4": with_part("version", der.explicit(0, der.integer(3))),
    "another algorithm inside": with_part("algorithm", der.seq(der.oid("1.2.840.10045.4.3.3"))),
    "another algorithm outside": with_part("outer", der.seq(der.oid("1.2.840.10045.4.3.3"))),
}


def in_frame(change):
    return lambda relay, number, issuer, leaf: [certificate(number, issuer, change(leaf))]


def certificate(number, issuer, leaf):
    return signertest.frame(CERTIFICATE, number, issuer, leaf)


# -- Frames --------------------------------------------------------------------------------------

def swap(relay, number, issuer, leaf):
    """Keep the first until there is a second; then each gets the other's."""
    if not relay.kept:
        relay.kept.append((number, issuer, leaf))
        return []
    first, first_issuer, first_leaf = relay.kept.pop()
    return [certificate(first, issuer, leaf), certificate(number, first_issuer, first_leaf)]


def late(relay, number, issuer, leaf):
    relay.later.append((time.monotonic() + LATE_S, certificate(number, issuer, leaf)))
    return []


def leave(relay, number, issuer, leaf):
    relay.end()


def hang(relay, number, issuer, leaf):
    os.kill(os.getpid(), signal.SIGSTOP)
    return []


def bad_signature(relay, number, issuer, leaf):
    """A bit of the signature flipped: RSA or ECDSA gone wrong, by a fault or on purpose."""
    return [certificate(number, issuer, leaf[:-1] + bytes([leaf[-1] ^ 1]))]


def closed(relay, number, issuer, leaf):
    """The socket is closed, the process lives on."""
    relay.cad.close()
    time.sleep(60)
    relay.end()


# name: (what is sent in place of the certificate, the statuses that the caller may see)
FRAMES = {
    "garbage for a certificate": (in_frame(lambda leaf: b"\xde\xad\xbe\xef" * 64), {500}),
    "no octets": (in_frame(lambda leaf: b""), {500}),
    "a certificate cut short": (in_frame(lambda leaf: leaf[:-1]), {500}),
    "an octet more": (in_frame(lambda leaf: leaf + b"\0"), {500}),
    "two certificates": (in_frame(lambda leaf: leaf + leaf), {500}),
    "a field too large": (in_frame(lambda leaf: leaf + bytes(60000 - len(leaf))), {500, 503}),
    "a length of 4 GiB": (in_frame(lambda leaf: b"\x30\x84\xff\xff\xff\xff" + leaf[6:]), {500}),
    "a field missing": (lambda r, n, i, leaf: [signertest.frame(CERTIFICATE, n, i)], {500, 503}),
    "a field more": (lambda r, n, i, leaf: [signertest.frame(CERTIFICATE, n, i, leaf, b"")], {500, 503}),
    "an issuer's id that is too long": (lambda r, n, i, leaf: [certificate(n, "x" * 200, leaf)], {500, 503}),
    "a type that is none": (lambda r, n, i, leaf: [signertest.frame(99, n, i, leaf)], {500, 503}),
    "a hello": (lambda r, n, i, leaf: [signertest.frame(HELLO_OK, n, i, leaf)], {500, 503}),
    "a status": (lambda r, n, i, leaf: [signertest.frame(STATUS_OK, n, 1, 1, 1, "", "")], {503}),
    "an error without a cause": (lambda r, n, i, leaf: [signertest.frame(ERROR, n, "none", "", "")], {500}),
    "an error that nobody knows": (lambda r, n, i, leaf: [signertest.frame(ERROR, n, "dragons", "", "x")], {500}),
    "an error that cannot be read": (lambda r, n, i, leaf: [signertest.frame(ERROR, n, b"\xff" * 900)], {500, 503}),
    "an error with a NUL": (lambda r, n, i, leaf: [signertest.frame(ERROR, n, "x\0y", "", "")], {500, 503}),
    "garbage frames": (lambda r, n, i, leaf: [b"\xff" * 100, b"", b"x", bytes(12)], {503}),
    "another version": (lambda r, n, i, leaf: [signertest.frame(CERTIFICATE, n, i, leaf, version=2)], {503}),
    "a wrong length": (lambda r, n, i, leaf: [signertest.frame(CERTIFICATE, n, i, leaf, length=7)], {503}),
    "half a frame": (lambda r, n, i, leaf: [certificate(n, i, leaf)[:100]], {503}),
    "another id": (lambda r, n, i, leaf: [certificate(n + 1000, i, leaf)], {503}),
    "an answer that is late": (late, {503}),
    "no answer": (lambda r, n, i, leaf: [], {503}),
    "the process ends": (leave, {503}),
    "the process hangs": (hang, {503}),
    "the socket is closed": (closed, {503}),
}

# Not wrong: cad must take these, else the rows above prove nothing.
GOOD = {
    "honest": lambda r, n, i, leaf: [certificate(n, i, leaf)],
    "signed anew": lambda r, n, i, leaf: [certificate(n, i, Leaf(r, leaf).to_der())],
    "answered twice": lambda r, n, i, leaf: [certificate(n, i, leaf)] * 2,
}

def in_leaf(change):
    return lambda r, n, i, leaf: [certificate(n, i, change(Leaf(r, leaf)).to_der())]


WAYS = {**GOOD,
        **{name: in_leaf(change) for name, change in LEAVES.items()},
        **{name: row[0] for name, row in FRAMES.items()},
        "swapped": swap, "a wrong signature": bad_signature}


# -- CRLs --------------------------------------------------------------------------------------

def crl_anew(relay, whole, old, new):
    """@old is @new in it, and it is signed anew."""
    (_, body, _), = der.split(whole)
    (_, _, tbs), (_, _, algorithm), _ = der.split(body)
    assert tbs.count(old) == 1
    tbs = tbs.replace(old, new)
    return der.seq(tbs, algorithm, der.bits(relay.key("int-1").sign(tbs, ec.ECDSA(hashes.SHA256()))))


def first_serial(whole):
    serial = min(entry.serial_number for entry in x509.load_der_x509_crl(whole))
    return der.integer(serial), der.integer(serial ^ 1)


def next_number(whole):
    number = x509.load_der_x509_crl(whole).extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    return der.integer(number), der.integer(number ^ 1)


# name: what becomes of the CRL. The first is good.
CRLS = {
    "a CRL signed anew": lambda relay, whole: crl_anew(relay, whole, *[first_serial(whole)[0]] * 2),
    "another entry": lambda relay, whole: crl_anew(relay, whole, *first_serial(whole)),
    "another number": lambda relay, whole: crl_anew(relay, whole, *next_number(whole)),
    "another's signature": lambda relay, whole: whole[:-1] + bytes([whole[-1] ^ 1]),
}


# -- The process ---------------------------------------------------------------------------------

def take(sock):
    """A frame, and the descriptors that came with it: CRLs go in sealed files."""
    data, files, _, _ = socket.recv_fds(sock, 1 << 16, 4)
    return data, files


def give(sock, data, files):
    socket.send_fds(sock, [data], files) if files else sock.send(data)
    for each in files:
        os.close(each)


class Relay:
    def __init__(self, folder, real):
        words = sys.argv[1:]
        self.folder = pathlib.Path(folder)
        self.state = pathlib.Path(words[words.index("--state-dir") + 1])
        at = words.index("--socket-fd") + 1
        self.cad = socket.socket(fileno=int(words[at]))
        self.signer, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        words[at] = str(theirs.fileno())
        self.process = subprocess.Popen([real, *words], pass_fds=[theirs.fileno()])
        theirs.close()
        self.kept, self.later = [], []

    @functools.lru_cache(None)
    def key(self, name):
        return serialization.load_pem_private_key((self.state / "ca" / f"{name}.key").read_bytes(), None)

    def certificate(self, name):
        return x509.load_pem_x509_certificate((self.state / "ca" / f"{name}.crt").read_bytes())

    def end(self):
        self.signer.close()
        self.process.wait(10)
        os._exit(0)

    def changed(self, data, files):
        """The frames in place of one of the real signer's."""
        length, version, kind, reserved, number = struct.unpack(">IBBHI", data[:12])
        way = (self.folder / "way").read_text()
        if kind == CRL_OK and way in CRLS and signertest.fields_of(data)[0] == b"int-1":
            return [self.changed_crl(data, number, files, CRLS[way])]
        if kind != CERTIFICATE or way in CRLS:
            return [data]
        issuer, leaf = signertest.fields_of(data)
        return WAYS[way](self, number, issuer.decode(), leaf)

    def changed_crl(self, data, number, files, change):
        """The frame, and in place of the file beside it another."""
        whole = change(self, signertest.read_all(files[0]))
        os.close(files.pop())
        files.append(signertest.memfd(whole))
        return signertest.frame(CRL_OK, number, *signertest.fields_of(data)[:2], len(whole))

    def run(self):
        while True:
            ready = select.select([self.cad, self.signer], [], [], 0.1)[0]
            for due, data in [row for row in self.later if row[0] <= time.monotonic()]:
                self.later.remove((due, data))
                self.cad.send(data)
            if self.cad in ready:
                data, files = take(self.cad)
                if not data:
                    self.end()
                give(self.signer, data, files)
            if self.signer in ready:
                data, files = take(self.signer)
                if not data:
                    self.end()
                for frame in self.changed(data, files):
                    if frame:
                        give(self.cad, frame, files)
                        files = []


def main(folder, real):
    try:
        Relay(folder, real).run()
    except OSError:
        os._exit(1)
