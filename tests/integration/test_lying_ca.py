"""A CA that is the pinned one and lies, a host that takes its place later: nothing is believed, the old files stay."""

import hashlib
import ssl

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import cadtest
import device as devices
import https
from device import bad, faked, good
from lying import LyingCa, pem
from test_cactl import Ca


def other_key():
    return ec.generate_private_key(ec.SECP256R1()).public_key()


# Each: what comes in place of the right answer, and what is said of it.
LIES = {
    "for another key": (lambda ca, asked: ca.signed(asked, key=other_key()), "is for another key"),
    "with a name more": (lambda ca, asked: ca.signed(asked, names=[*asked.names, "evil.lan"]), "evil.lan"),
    "of another CA": (lambda ca, asked: ca.signed(asked, ca=Ca()), "chain"),
    "of another CA, with our intermediate": (lambda ca, asked: {**ca.signed(asked, ca=Ca()), "chain": pem(ca.ca.intermediate)}, "chain"),
    "without a chain": (lambda ca, asked: {**ca.signed(asked), "chain": ""}, "leaf and intermediate are wanted"),
    "with a chain of a hundred": (lambda ca, asked: {**ca.signed(asked), "chain": 100 * pem(ca.ca.intermediate)}, "more than"),
    "with the root in its chain": (lambda ca, asked: {**ca.signed(asked), "chain": pem(ca.ca.intermediate, ca.ca.root)}, "chain of 3"),
    "no certificate": (lambda ca, asked: {**ca.signed(asked), "certificate": "hello"}, "certificate"),
    "two in place of one": (lambda ca, asked: {**ca.signed(asked), "certificate": 2 * ca.signed(asked)["certificate"]}, "2 certificates as one"),
    "no JSON": (lambda ca, asked: b"hello", "JSON"),
    "megabytes": (lambda ca, asked: (17 << 20) * b" ", "longer than 16 MiB"),
}
OF_RENEWALS = {
    "with a name less": (lambda ca, asked: ca.signed(asked, names=["nas.lan"]), "lacks the name two.lan"),
    "expired": (lambda ca, asked: ca.signed(asked, days=-0.002), "not a new certificate that is good"),
    "the same again": (lambda ca, asked: ca.last, "not a new certificate that is good"),
}


@pytest.fixture
def liar():
    with LyingCa() as ca:
        yield ca


@pytest.fixture
def device(liar):
    device = devices.Device(liar, liar.url)
    yield device
    device.close()


@pytest.mark.parametrize("why", [*LIES, *OF_RENEWALS])
def test_what_a_ca_must_not_send_replaces_nothing(liar, device, why):
    make, said = {**LIES, **OF_RENEWALS}[why]
    good(device.enroll("nas.lan", "two.lan", token="cad_x"))
    before = device.set("nas.lan")
    liar.lie = make
    bad(device.run("renew", "--force"), 1, said)
    if why in LIES:
        bad(device.enroll("--force", "nas.lan", "two.lan", token="cad_x"), 1, said)
    if "another" in why or "more" in why:
        good(device.enroll("--force", "--no-wait", "nas.lan", "two.lan"))
        bad(device.run("renew"), 1, said)
    assert device.set("nas.lan") == before


def test_a_clock_that_was_taken_from_the_ca_is_held_against_its_certificate(liar, device):
    """Whoever tells an hour at which an old certificate was good gets nothing kept that does not fit that hour."""
    liar.lie = lambda ca, asked: ca.signed(asked, days=-0.002)
    bad(device.enroll("nas.lan", token="cad_x", env=faked("@1970-01-01 00:10:00")), 1, "one of them is not the CA", "nothing was changed")
    assert "nas.lan" not in device.certs()


def test_no_word_of_the_ca_becomes_a_setting(liar, device):
    for number, more in enumerate(("\nUrl=https://evil.lan", "\n[Nonsense]", "\rUrl=https://evil.lan", " \x01")):
        liar.lie = lambda ca, asked, more=more: {**ca.signed(asked), "profile": "device" + more}
        good(device.enroll("--force", "nas.lan", token="cad_x"))
        conf = device.file("nas.lan", "enrolled.conf").read_text()
        assert "evil" not in conf and "Nonsense" not in conf and "\x01" not in conf and f"Url={liar.url}" in conf
        good(device.run("renew", "--force"))


def test_nor_does_it_become_one_of_a_list(liar, device):
    (device.base / "root.pem").write_text(device.root)
    (device.base / "list").write_text("a.lan\n")
    (device.base / "a.csr").write_text(https.csr_pem(ec.generate_private_key(ec.SECP256R1()), "a.lan"))
    (device.base / "csrs").write_text("a.csr\n")
    for why in ("for another key", "with a name more"):
        liar.lie, said = LIES[why]
        for words, out in ((["issue", "--list", "list"], "a"), (["cert", "sign", "--csr-list", "csrs"], "b"), (["issue", "a.lan"], "c"),
                           (["cert", "sign", "a.csr"], "x.pem")):
            bad(device.run("--url", liar.url, "--root", "root.pem", *words, "--out", out), 1, said)
    assert not (device.base / "x.pem").exists() and not [path for folder in "abc" for path in (device.base / folder).glob("a.*pem")
                                                         if "key" not in path.name]


@pytest.mark.parametrize("status, asked_anew", [(503, False), (429, False), (409, True)])
def test_an_expired_one_is_asked_for_anew_where_the_ca_has_decided_and_not_where_it_is_busy(liar, device, status, asked_anew):
    liar.lie = lambda ca, asked: ca.signed(asked, days=-0.002)
    good(device.enroll("nas.lan", token="cad_x"))
    before = device.set("nas.lan")
    liar.lie = lambda ca, asked: status
    done = device.run("renew")
    assert done.returncode == (0 if asked_anew else 1) and "not now" in done.stderr
    assert (("POST", "/v1/requests") in liar.requests) == asked_anew == (".nas.lan.pending" in device.certs())
    assert device.set("nas.lan") == before


def test_another_wish_is_another_key_and_csr(liar, device):
    liar.lie = lambda ca, asked: 503
    for more in ([], ["--profile", "client"], ["--key", "ecdsa-p384"], ["--days", "3"], ["--label", "x"], ["second.lan"]):
        bad(device.enroll("nas.lan", token="cad_x"), 1)
        key = liar.enrolled.key.public_numbers()
        said = bad(device.enroll("nas.lan", *more, token="cad_x"), 1)
        assert ("earlier run" in said) == (liar.enrolled.key.public_numbers() == key) == (not more), more


@pytest.mark.parametrize("status, final", [(503, False), (429, False), (409, False), (403, True), (422, True)])
def test_what_was_asked_stays_until_the_ca_has_decided(liar, device, status, final):
    """What fails for now may have been answered all the same: the same key asks again."""
    liar.lie = lambda ca, asked: status
    bad(device.enroll("nas.lan", token="cad_x"), 1)
    assert device.certs() == ([] if final else [".nas.lan.pending"])
    key = liar.enrolled.key.public_numbers()
    liar.lie = None
    good(device.enroll("nas.lan", token="cad_x"))
    assert (liar.enrolled.key.public_numbers() == key) == (not final)


@pytest.mark.parametrize("what", ["no CA", "not signed by itself", "a signature that is none"])
def test_what_is_no_root_is_not_pinned_though_its_fingerprint_fits(liar, device, what):
    if what == "no CA":
        liar.root = https.make(None, None)[0]
    elif what == "not signed by itself":
        liar.root = liar.ca.intermediate
    else:
        liar.root = https.make(None, ec.generate_private_key(ec.SECP256R1()), is_ca=True, eku=())[0]
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem(liar.root))).hexdigest()
    bad(device.enroll("nas.lan", pin=digest, token="cad_x"), 1, "root")
    assert {path for _, path in liar.requests} == {"/v1/ca/root.pem"} and device.certs() == []


def test_megabytes_in_place_of_a_root_are_not_read(device):
    with devices.Hostile("-----BEGIN CERTIFICATE-----\n" + (8 << 20) * "A") as hostile:
        bad(device.enroll("nas.lan", url=hostile.url, token="cad_s3cret"), 1, "sends more than", "is this a cad?")
    assert device.certs() == []


# ---- somebody else answers later -------------------------------------------------------------------

@pytest.fixture(scope="module")
def ca():
    with cadtest.Daemon(tcp=True) as ca:
        yield ca
        assert ca.stop() == 0
        ca.check_log()


@pytest.fixture
def way(ca):
    """A device, the way to its CA, and a host that may take the CA's place on it."""
    proxy, device = devices.Proxy(https.port(ca)), devices.Device(ca)
    with devices.Hostile() as hostile:
        device.url = proxy.url
        yield device, proxy, hostile
    proxy.close()
    device.close()


def no_secret(hostile):
    return {path for _, path, _, _ in hostile.requests} <= {"/v1/ca/root.pem"} and not any("s3cret" in text for _, _, text, _ in hostile.requests)


@pytest.mark.parametrize("known", ["cactl.conf", "a request that waits", "--root"])
def test_a_root_that_is_known_is_not_given_up_for_another(way, known):
    """Without --fingerprint, what was pinned before is what counts: nobody is asked, and nobody else gets the token."""
    device, proxy, hostile = way
    name, words = "late.lan", []
    if known == "cactl.conf":
        good(device.enroll("first.lan", token=device.token("first.lan")))
    elif known == "--root":
        (device.base / "root.pem").write_text(device.root)
        words = ["--root", device.base / "root.pem"]
    else:
        good(device.enroll(name, "--no-wait"))
    proxy.to = hostile.server.server_address[1]
    bad(device.enroll(name, *words, pin=None, token="cad_s3cret"), 1, "is known here", "nothing was sent")
    assert hostile.requests and no_secret(hostile)
    proxy.to = https.port(device.ca)
    good(device.enroll(name, *words, pin=None, token=device.token(name, profile="server")))
    device.check(name)


def test_with_a_clock_of_1970_each_connection_is_with_the_same_key(way):
    """The root and the Date come from the CA; then somebody else answers by the same name."""
    device, proxy, hostile = way
    proxy.on_connection = lambda number: hostile.server.server_address[1] if number > 2 else proxy.to
    bad(device.enroll("old.lan", token="cad_s3cret", env=faked("@1970-01-01 00:10:00")), 3)
    assert proxy.seen > 2 and not hostile.requests and device.certs() == []


@pytest.mark.parametrize("other", ["root", "URL"])
def test_a_certificate_stays_with_its_ca_unless_by_force(way, other):
    device, _, hostile = way
    good(device.enroll("stay.lan", token=device.token("stay.lan")))
    before = device.set("stay.lan")
    more = {"pin": "ab" * 32} if other == "root" else {"url": hostile.url}
    bad(device.enroll("stay.lan", token="cad_s3cret", **more), 1, "of the CA at", "--force")
    assert device.set("stay.lan") == before and not hostile.requests
