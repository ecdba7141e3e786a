"""What is issued, held against other people's verifiers: leaf × verifier, the good and the bad.

cad refuses every name outside its constraints itself (tests/integration/test_bad_csr.py). Here it is
taken for granted that somebody has stolen a key of the CA and signs what they like with it: the
constraints in the CA's certificates are then what stands between them and everybody else's names, and
it is the verifier that enforces them. Where one does not, the table says so, and why that is borne.
"""

import collections
import json
import re
import shutil

import authorities
import pytest
import verifiers

pytestmark = pytest.mark.slow

# A row: @ca which CA (CAS below); @make how the leaf comes to be; @purpose and @name what the verifier
# is asked for; @refused None, or the kind of refusal (verifiers.py); @but {verifier: why it decides
# otherwise}: known, stated, and noticed should it change.
Row = collections.namedtuple("Row", "ca make purpose name refused but", defaults=(None, {}))

CAS = {
    "p256": (),
    "p384": ("--key", "ecdsa-p384"),
    "rsa": ("--key", "rsa-3072"),
    "ed25519": ("--key", "ed25519"),
    "domain": ("--permit-dns", "home.example.org"),
    "anything": ("--unconstrained",),
    "other": (),
}

# -- How a leaf comes to be --------------------------------------------------------------------


def issued(*names, **how):
    return lambda cas, ca: ca.issue(names, **how)


def forged(*names, **how):
    """With the stolen key of the intermediate."""
    return lambda cas, ca: ca.forge(names, **how)


def forged_by_root(*names, **how):
    """With the stolen key of the root, and no intermediate."""
    return lambda cas, ca: ca.forge(names, below="root", **how)


def below_own_ca(*names):
    return lambda cas, ca: ca.forge_below_a_ca_of_ones_own(names)


def foreign(*names):
    """A leaf and intermediate of another CA of the same name, held against our root."""
    return lambda cas, ca: cas["other"].issue(names)._replace(root=ca.root)


def foreign_leaf(*names):
    """A leaf of the other CA, our intermediate and root."""
    def make(cas, ca):
        ours = ca.issue(names)
        return cas["other"].issue(names)._replace(above=ours.above, root=ours.root)
    return make


def without_intermediate(*names):
    return lambda cas, ca: ca.issue(names)._replace(above="")


MANY = tuple(f"n{i}.lan" for i in range(99))
URI = "https://www.example.com/"

# -- Why some decide otherwise -----------------------------------------------------------------

NSS_ED25519 = "NSS 3.87 has no Ed25519: such a CA is no choice where Firefox has to trust it"
JAVA_ROOT = "Java does not enforce what stands on a trust anchor alone: so the intermediate has it too"
GNUTLS_URI = "GnuTLS 3.7 does not enforce permitted URIs: our own check before signing is the boundary"

SERVER = "server"

TABLE = {
    # what cad issued, and every verifier takes it
    "a DNS name": Row("p256", issued("nas.lan"), SERVER, "nas.lan"),
    "a name that the JSON gives": Row("p256", issued("nas.lan", csr_names=False), SERVER, "nas.lan"),
    "a wildcard": Row("p256", issued("*.home.lan"), SERVER, "a.home.lan"),
    "a single label": Row("p256", issued("localhost"), SERVER, "localhost"),
    "a deep name": Row("p256", issued("a.b.c.d.e.home.arpa"), SERVER, "a.b.c.d.e.home.arpa"),
    "an internationalised name": Row("p256", issued("xn--kche-0ra.lan"), SERVER, "xn--kche-0ra.lan"),
    "an IPv4 address alone": Row("p256", issued("192.168.1.5"), SERVER, "192.168.1.5"),
    "an IPv6 address alone": Row("p256", issued("fd00::1"), SERVER, "fd00::1"),
    "loopback addresses": Row("p256", issued("127.0.0.1", "::1"), SERVER, "::1"),
    "mixed, asked for the name": Row("p256", issued("nas.lan", "10.1.2.3", "fe80::1"), SERVER, "nas.lan"),
    "mixed, asked for the address": Row("p256", issued("nas.lan", "10.1.2.3", "fe80::1"), SERVER, "10.1.2.3"),
    "ninety-nine names": Row("p256", issued(*MANY), SERVER, "n98.lan"),
    "the longest validity": Row("p256", issued("nas.lan", validity="397d"), SERVER, "nas.lan"),
    "a P-384 leaf": Row("p256", issued("nas.lan", key="p384"), SERVER, "nas.lan"),
    "a P-521 leaf": Row("p256", issued("nas.lan", key="p521"), SERVER, "nas.lan"),
    "an RSA leaf": Row("p256", issued("nas.lan", key="rsa-2048"), SERVER, "nas.lan"),
    "an Ed25519 leaf": Row("p256", issued("nas.lan", key="ed25519"), SERVER, "nas.lan", None,
                           {"nss": NSS_ED25519}),
    "a TLS client": Row("p256", issued("nas.lan", profile="client"), "client", None),
    "an e-mail address as TLS client": Row("p256", issued("a@home.lan", profile="user"), "client", None),
    "an e-mail address for e-mail": Row("p256", issued("a@home.lan", profile="user"), "email", "a@home.lan"),
    "an e-mail address at the domain": Row("p256", issued("a@lan", profile="user"), "email", "a@lan"),
    "a URI of a client": Row("p256", issued("nas.lan", "https://nas.lan/x", profile="client"), "client", None),
    "a peer as server": Row("p256", issued("p.lan", profile="peer"), SERVER, "p.lan"),
    "a peer as client": Row("p256", issued("p.lan", profile="peer"), "client", None),
    "a device as server": Row("p256", issued("cam.lan", profile="device"), SERVER, "cam.lan"),
    "below P-384": Row("p384", issued("nas.lan", "10.0.0.1"), SERVER, "10.0.0.1"),
    "below RSA-3072": Row("rsa", issued("nas.lan", "10.0.0.1"), SERVER, "nas.lan"),
    "an RSA leaf below RSA-3072": Row("rsa", issued("nas.lan", key="rsa-2048"), SERVER, "nas.lan"),
    "below Ed25519": Row("ed25519", issued("nas.lan", "10.0.0.1"), SERVER, "nas.lan", None,
                         {"nss": NSS_ED25519}),
    "a domain that was asked for at init": Row("domain", issued("nas.home.example.org"), SERVER,
                                               "nas.home.example.org"),
    "a public name of a CA without constraints": Row("anything", issued("www.example.com", "8.8.8.8"), SERVER,
                                                     "www.example.com"),
    # the same leaves, and they are no good for what is asked
    "another name": Row("p256", issued("nas.lan"), SERVER, "evil.lan", "name"),
    "another address": Row("p256", issued("192.168.1.5"), SERVER, "192.168.1.6", "name"),
    "an address is no DNS name": Row("p256", issued("nas.lan"), SERVER, "192.168.1.5", "name"),
    "a wildcard is one label": Row("p256", issued("*.home.lan"), SERVER, "a.b.home.lan", "name"),
    "a wildcard is not the domain": Row("p256", issued("*.home.lan"), SERVER, "home.lan", "name"),
    "a client is no server": Row("p256", issued("nas.lan", profile="client"), SERVER, None, "purpose"),
    "a user is no server": Row("p256", issued("a@home.lan", profile="user"), SERVER, None, "purpose"),
    "a server is no client": Row("p256", issued("nas.lan"), "client", None, "purpose"),
    # strangers
    "another CA of the same name": Row("p256", foreign("nas.lan"), SERVER, "nas.lan", "issuer"),
    "a leaf of another CA": Row("p256", foreign_leaf("nas.lan"), SERVER, "nas.lan", "issuer"),
    "no intermediate": Row("p256", without_intermediate("nas.lan"), SERVER, "nas.lan", "issuer"),
    # the stolen intermediate key: the control, and what the constraints hold back
    "forged inside": Row("p256", forged("nas.lan", "10.0.0.1", "fd00::1"), SERVER, "nas.lan"),
    "forged inside, e-mail": Row("p256", forged("a@home.lan", usages=("client",)), "client", None),
    "forged inside, URI": Row("p256", forged("nas.lan", "https://nas.lan/"), SERVER, "nas.lan"),
    "a public name": Row("p256", forged("www.example.com"), SERVER, "www.example.com", "constraint"),
    "a public wildcard": Row("p256", forged("*.example.com"), SERVER, "www.example.com", "constraint"),
    "a top-level domain": Row("p256", forged("*.com"), SERVER, None, "constraint"),
    "a name that only ends alike": Row("p256", forged("evil-lan"), SERVER, "evil-lan", "constraint"),
    "a private name in front": Row("p256", forged("lan.example.com"), SERVER, "lan.example.com", "constraint"),
    "a public IPv4 address": Row("p256", forged("8.8.8.8"), SERVER, "8.8.8.8", "constraint"),
    "one past a private network": Row("p256", forged("172.32.0.1"), SERVER, "172.32.0.1", "constraint"),
    "a public IPv6 address": Row("p256", forged("2001:4860:4860::8888"), SERVER, "2001:4860:4860::8888",
                                 "constraint"),
    "an e-mail address outside": Row("p256", forged("a@example.com", usages=("client",)), "client", None,
                                     "constraint"),
    "a URI outside": Row("p256", forged("nas.lan", URI), SERVER, "nas.lan", "constraint",
                         {"gnutls": GNUTLS_URI}),
    "a good name and a bad one": Row("p256", forged("nas.lan", "www.example.com"), SERVER, "nas.lan",
                                     "constraint"),
    "a good address and a bad one": Row("p256", forged("10.0.0.1", "8.8.8.8"), SERVER, "10.0.0.1",
                                        "constraint"),
    "a good name and a bad address": Row("p256", forged("nas.lan", "8.8.8.8"), SERVER, "nas.lan",
                                         "constraint"),
    "outside the domain of init": Row("domain", forged("www.example.org"), SERVER, "www.example.org",
                                      "constraint"),
    "a public name below P-384": Row("p384", forged("www.example.com"), SERVER, "www.example.com",
                                     "constraint"),
    "a public name below RSA": Row("rsa", forged("www.example.com"), SERVER, "www.example.com",
                                   "constraint"),
    "a CA below the intermediate": Row("p256", below_own_ca("nas.lan"), SERVER, "nas.lan", "length"),
    # the stolen root key: the same, but that Java does not look at the root
    "root: forged inside": Row("p256", forged_by_root("nas.lan", "10.0.0.1"), SERVER, "nas.lan"),
    "root: a public name": Row("p256", forged_by_root("www.example.com"), SERVER, "www.example.com",
                               "constraint", {"java": JAVA_ROOT}),
    "root: a public IPv4 address": Row("p256", forged_by_root("8.8.8.8"), SERVER, "8.8.8.8", "constraint",
                                       {"java": JAVA_ROOT}),
    "root: a public IPv6 address": Row("p256", forged_by_root("2001:4860:4860::8888"), SERVER,
                                       "2001:4860:4860::8888", "constraint", {"java": JAVA_ROOT}),
    "root: an e-mail address outside": Row("p256", forged_by_root("a@example.com", usages=("client",)),
                                           "client", None, "constraint", {"java": JAVA_ROOT}),
    "root: a URI outside": Row("p256", forged_by_root("nas.lan", URI), SERVER, "nas.lan", "constraint",
                               {"java": JAVA_ROOT, "gnutls": GNUTLS_URI}),
    "root: a good name and a bad one": Row("p256", forged_by_root("nas.lan", "www.example.com"), SERVER,
                                           "nas.lan", "constraint", {"java": JAVA_ROOT}),
}


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """{label of the row: Case}: every CA of the table, every leaf."""
    cas, found = {}, {}
    base = tmp_path_factory.mktemp("table")
    try:
        for name, options in CAS.items():
            cas[name] = authorities.Authority("--name", "Home CA", *options)
        for label, row in TABLE.items():
            folder = authorities.store(row.make(cas, cas[row.ca]), base / authorities.short_hash(label))
            found[label] = verifiers.Case(label, folder, row.purpose, row.name)
    finally:
        for ca in cas.values():
            ca.close()
    yield found
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="module")
def verdicts(cases):
    """verdicts(verifier) → {label: Verdict}; each verifier works through the table once."""
    known = {}

    def of(name):
        if name not in known:
            known[name] = verifiers.VERIFIERS[name].verify(list(cases.values()))
        return known[name]
    return of


@pytest.mark.parametrize("name", verifiers.VERIFIERS)
def test_verifier_is_there(name):
    """One skip for a verifier that is missing, and not one for each row."""
    verifiers.VERIFIERS[name].require()


@pytest.mark.parametrize("label", TABLE)
@pytest.mark.parametrize("name", [name for name, one in verifiers.VERIFIERS.items() if one.is_there()])
def test_verdict(verdicts, name, label):
    row, verifier, verdict = TABLE[label], verifiers.VERIFIERS[name], verdicts(name)[label]
    refused = row.refused
    if refused == "name" and not verifier.checks_names:
        refused = None
    if name in row.but:
        assert verdict.accepted == bool(row.refused), \
            f"{name} decides as the others now, and no more otherwise ({row.but[name]}): {verdict.text}"
        return
    assert verdict.accepted == (refused is None), verdict.text
    assert not refused or verifier.says(verdict, refused), f"refused, but not for its {refused}: {verdict.text}"


def test_every_exception_of_the_table_says_why():
    for label, row in TABLE.items():
        for name, why in row.but.items():
            assert name in verifiers.VERIFIERS and len(why) > 20, label


# -- read by others -----------------------------------------------------------------------------

PARSERS = {"openssl": ["openssl", "x509", "-noout", "-text", "-in"],
           "gnutls": ["certtool", "--certificate-info", "--infile"]}


@pytest.mark.parametrize("parser", PARSERS)
def test_every_certificate_of_the_run_is_read(cases, parser):
    """Each leaf, intermediate and root, by a second implementation; and no extension is unknown to it."""
    if not shutil.which(PARSERS[parser][0]):
        pytest.skip(f"{PARSERS[parser][0]} is not installed")
    seen = set()
    for label, case in cases.items():
        for name in ("leaf.pem", "above.pem", "root.pem"):
            path = case.folder / name
            text = path.read_text()
            if not text or text in seen:
                continue
            seen.add(text)
            code, out = verifiers.run(*PARSERS[parser], path)
            assert code == 0 and "Subject Alternative Name" in out or "CA:TRUE" in out \
                or "Certificate Authority (CA): TRUE" in out, f"{label}, {name}: {out}"
            assert "Unknown extension" not in out and "<unsupported>" not in out.lower(), f"{label}, {name}: {out}"
    assert len(seen) > len(TABLE)


# What linters say of design §5's constraints, and no more: they hold single labels (`lan`) for no domain names.
ZLINT_SAYS = {"e_name_constraint_not_fqdn"}
PKILINT_SAYS = re.compile(r'pkix\.invalid_(domain_name|email_address|uri)_syntax \(ERROR\): [^"]*"\.?[a-z]+"')


def zlint(path):
    """What it finds in a certificate that is not at once of a kind that is said above."""
    code, out = verifiers.run("zlint", "-includeSources=RFC3279,RFC5280,RFC5480,RFC5891,RFC8813,Apple,Community", path)
    assert code == 0, out
    found = json.loads(out[:out.rindex("}") + 1])
    assert sum(lint["result"] == "pass" for lint in found.values()) > 20, "it looked at nothing"
    return [name for name, lint in found.items() if lint["result"] in ("error", "warn", "fatal") and name not in ZLINT_SAYS]


def pkilint(path):
    code, out = verifiers.run("lint_pkix_cert", "lint", "-s", "WARNING", path)
    findings = re.findall(r"^ +(.* \((?:WARNING|ERROR|FATAL)\).*)$", out, re.MULTILINE)
    assert (code == 0) == (not findings) and "usage:" not in out, out
    return [text for text in findings if not PKILINT_SAYS.fullmatch(text.strip())]


# Neither is in Debian 12: how to have it.
LINTERS = {"zlint": (zlint, "zlint", "go install github.com/zmap/zlint/v3/cmd/zlint@latest, and its folder on PATH"),
           "pkilint": (pkilint, "lint_pkix_cert", "pipx install pkilint")}


@pytest.mark.parametrize("name", LINTERS)
def test_linters_find_nothing(cases, name):
    """In roots and intermediates of each kind of key and constraint, and in a leaf of each CA and purpose."""
    lint, program, way = LINTERS[name]
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed: {way}")
    paths = {}
    for label, case in cases.items():
        if TABLE[label].refused is None:
            for file in ("root.pem", "above.pem"):
                paths.setdefault((TABLE[label].ca, file), case.folder / file)
            paths.setdefault((TABLE[label].ca, "leaf.pem", case.purpose), case.folder / "leaf.pem")
    found = {what: lint(path) for what, path in paths.items()}
    assert len(found) >= 3 * (len(CAS) - 1), sorted(found)
    assert not any(found.values()), {what: words for what, words in found.items() if words}
