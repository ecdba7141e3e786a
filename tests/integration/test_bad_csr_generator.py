"""The generator of bad requests, without the daemon: wrong in what they say, and only in it?

Where a row claims proof of possession, the signature is checked against the key here, and by
openssl over the request as it is, wherever openssl reads such a request. Where a row says that the
signature is what is wrong, openssl must say so too.
"""

import subprocess

import pytest

import bad_csrs
import csrs

pytestmark = pytest.mark.slow     # it proves the generator, not cad

ROWS = [row for row in bad_csrs.ROWS if not row.live and not row.missing]

# What openssl does not read, or has no algorithm for, though the signature in it is true.
OPENSSL_CANNOT = {
    "06-rsa-4096-e": "exponents are at most 64 bits above 3072 bits of modulus",
    "08-even": "no Montgomery arithmetic with an even modulus",
    "10-no-params": "no curve", "10-null-params": "no curve", "10-unknown-curve": "no curve",
    "10-trailing": "does not read the key", "10-infinity-long": "does not read the point",
    "11-ed25519-params": "does not read the key",
    "20-utf8-truncated": "checks strings", "20-utf8-latin1": "checks strings",
    "20-utf8-overlong": "checks strings", "20-utf8-overlong-3": "checks strings",
    "20-utf8-surrogate": "checks strings", "20-utf8-beyond": "checks strings",
    "20-bmp-odd": "checks strings", "20-octets": "checks strings",
    "22-no-value": "does not read the subject", "22-set-for-sequence": "does not read the subject",
    "27-deep-subject": "does not read the subject",
    "26-trailing-inside": "does not read the request",
    "26-trailing-info": "does not read the request",
    "26-version-long": "does not read the request", "26-version-empty": "does not read the request",
    "26-version-missing": "does not read the request",
    "26-attributes-universal": "does not read the request",
}


def openssl_verifies(request):
    done = subprocess.run(["openssl", "req", "-verify", "-noout", "-inform", "DER"], input=request,
                          capture_output=True, timeout=30)
    return b"verify OK" in done.stdout + done.stderr


def certtool_verifies(request):
    done = subprocess.run(["certtool", "--crq-info", "--inder"], input=request, capture_output=True,
                          timeout=30)
    return b"Self signature: verified" in done.stdout + done.stderr


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_request_proves_possession_where_it_says_so(row):
    request = row.make(None)
    if request.csr is None or request.key is None:
        pytest.skip("not about a key")
    if row.unproved:
        assert not openssl_verifies(request.csr)
        return
    try:
        tbs, _, signature = csrs.parts(request.csr)
    except ValueError:
        assert row.id.startswith(("26-", "27-")), "not DER, and not about that"
    else:
        assert request.key.verify(tbs, signature)
    assert openssl_verifies(request.csr) == (row.id not in OPENSSL_CANNOT)
    if isinstance(row.expect, bad_csrs.Accepted):
        assert certtool_verifies(request.csr)


def test_rsa_numbers_are_what_the_rows_say():
    moduli = {bits: csrs.rsa(bits).n.bit_length() for bits in (1024, 2047, 2048, 2049, 2056, 8192,
    16384)}
    assert all(bits == made for bits, made in moduli.items())
    for key in (csrs.RsaKey(2, csrs.prime("pi", 1024), csrs.prime("e", 1023)),
                csrs.RsaKey(3, csrs.prime("pi", 1024), csrs.prime("e", 1023)),
                csrs.RsaKey(751, csrs.prime("pi", 1024), csrs.prime("e", 1015)),
                csrs.RsaKey(csrs.roca_prime(1001), csrs.roca_prime(2002)),
                csrs.RsaKey(csrs.prime("pi", 2048)), bad_csrs.fermat(1), bad_csrs.fermat(98)):
        assert key.n.bit_length() == 2048


@pytest.mark.parametrize("rounds", (1, 98))
def test_fermat_finds_the_close_primes_in_the_rounds_named(rounds):
    n = bad_csrs.fermat(rounds).n
    middle, tried = csrs.math.isqrt(n - 1) + 1, 1
    while csrs.math.isqrt(middle**2 - n)**2 != middle**2 - n:
        middle, tried = middle + 1, tried + 1
    assert tried == rounds


def test_roca_modulus_has_the_fingerprint():
    """Modulo each small prime it is a power of 65537 (CVE-2017-15361); the sound one is not."""
    def fingerprint(n):
        return all(n % p in {pow(65537, power, p) for power in range(p)}
                   for p in (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151,
                           157))
    assert fingerprint(csrs.roca_prime(1001) * csrs.roca_prime(2002))
    assert not fingerprint(csrs.rsa().n)
