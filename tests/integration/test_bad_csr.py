"""Bad requests for certificates over the real socket: each row of bad_csrs.py.

A refusal is a clear 4xx problem that names the field; no serial was drawn for it, and both
processes are as they were. Where the row says so, it costs little processor time.
"""

import re
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import bad_csrs
import cadtest
import csrs
from bad_csrs import Accepted

pytestmark = pytest.mark.sanitize

GROWTH_KIB = 12 * 1024          # of both processes, over all rows: caches, arenas
PEAK_KIB = 16 * 1024            # for one row
# A signature in the signer's log has a serial of 20 octets or a little less; the head of the audit
# chain, which is no signature, has 32.
SERIAL = re.compile(r"(?<![0-9a-f])[0-9a-f]{36,40}(?![0-9a-f])")
PROBLEM = "urn:cad:problem:"


def with_weak_keys(daemon):
    lists = daemon.base / "etc" / "weak-keys.d"
    lists.mkdir(parents=True)
    (lists / "blacklist.RSA-2048").write_bytes(bad_csrs.weak_keys())
    (lists.parent / "cad.conf").touch()
    daemon.args += ["--config", lists.parent / "cad.conf"]
    return daemon


@pytest.fixture(scope="module")
def ca():
    with with_weak_keys(cadtest.Daemon(tcp=True)) as daemon:
        daemon.pems = daemon.base / "pems"
        daemon.pems.mkdir()
        for name in ("root", "bundle"):
            (daemon.pems / name).write_bytes(daemon.get(f"/v1/ca/{name}.pem").expect(200).body)
        for _ in range(20):     # warm: caches are filled, threads have their arenas
            daemon.issue(csrs.csr(names=[csrs.dns("warm.lan")])).expect(201)
            daemon.issue(csrs.csr(names=[csrs.dns("google.com")])).expect(400, 403, 422)
        daemon.warm_kib = daemon.memory_kib()
        daemon.unlisted = len(signatures(daemon)) - len(listed(
            daemon))     # the CA's own, for example
        yield daemon
        assert daemon.stop() == 0, daemon.tail()
        daemon.check_log()


def signatures(ca):
    return [line for line in ca.signer_log() if SERIAL.search(line)]


def newest(ca):
    return [entry["serial"] for entry in ca.get("/v1/certificates?limit=1").expect(
        200).json["certificates"]]


def listed(ca):
    """Every serial of the store, page by page."""
    page = ca.get("/v1/certificates?limit=100").expect(200).json
    serials = [entry["serial"] for entry in page["certificates"]]
    while page.get("next"):
        page = ca.get(f"/v1/certificates?limit=100&cursor={page['next']}").expect(200).json
        serials += [entry["serial"] for entry in page["certificates"]]
    return serials


def send(ca, request):
    return ca.request("POST", "/v1/certificates", request.body, {"Content-Type": request.type})


def check_refusal(answer, expect):
    assert answer.type == "application/problem+json", answer
    problem = answer.json
    slug = problem["type"].removeprefix(PROBLEM)
    assert slug in expect.slugs and problem["type"].startswith(PROBLEM), problem
    assert answer.status in bad_csrs.STATUSES.get(slug, bad_csrs.STATUSES_ELSE), problem
    assert problem["status"] == answer.status and problem["title"], problem
    assert problem["request_id"] and problem["detail"], problem
    assert re.fullmatch(expect.field, problem.get("field") or ""), problem
    assert re.search(expect.says, problem["detail"], re.IGNORECASE), problem


def name_texts(san):
    return sorted(str(name.value) for name in san)


def check_certificate(ca, answer, expect, key):
    issued = answer.expect(201).json
    leaf = x509.load_pem_x509_certificate(issued["certificate"].encode())
    san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    common_names = [attribute.value for attribute in leaf.subject]
    constraints = leaf.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert name_texts(san.value) == sorted(expect.names) == sorted(issued["names"])
    assert common_names == ([expect.common_name] if expect.common_name else [])
    assert san.critical == (not common_names), "critical if and only if the subject is empty"
    assert not constraints.ca
    assert f"{leaf.serial_number:x}" == issued["serial"].lstrip("0")
    if key:
        assert leaf.public_key().public_bytes(Encoding.DER,
            PublicFormat.SubjectPublicKeyInfo) == key.spki
    (ca.pems / "leaf").write_text(issued["certificate"])
    subprocess.run(["openssl", "verify", "-x509_strict", "-CAfile", ca.pems / "root", "-untrusted",
                    ca.pems / "bundle", ca.pems / "leaf"], check=True, timeout=30,
                    capture_output=True)
    if expect.check:
        expect.check(issued, leaf)
    return issued["serial"]


def check_canaries(ca, request):
    logs = (ca.log, ca.state / "signer" / "log")
    for path, content in ca.kept():
        for canary in request.canaries:
            assert canary not in content or (path not in logs and not request.canaries_anywhere), f"a secret of the request is in {path}"


def check_quick(ca, request):
    """The least of three: others use this machine too."""
    peak, spent = ca.memory_kib("VmHWM"), []
    for _ in range(3):
        before = ca.cpu_ns()
        send(ca, request)
        spent.append((ca.cpu_ns() - before) / 1e6)
    assert min(spent) < bad_csrs.QUICK_MS, f"{spent} ms of processor time"
    assert ca.memory_kib("VmHWM") - peak < PEAK_KIB, "memory of a refused request"


@pytest.mark.parametrize("row", bad_csrs.ROWS, ids=lambda row: row.id)
def test_request(ca, row):
    if row.missing:
        pytest.skip(row.missing)
    ca.check_alive()
    request = row.make(ca)
    before = (ca.pid, ca.signer_pid, newest(ca), signatures(ca))
    answer = send(ca, request)

    if isinstance(row.expect, Accepted):
        serial = check_certificate(ca, answer, row.expect, request.key)
        drawn = signatures(ca)[len(before[3]):]
        assert len(drawn) == 1 and serial in drawn[0], f"one signature, one line: {drawn}"
        before = (*before[:2], newest(ca), signatures(ca))
    else:
        check_refusal(answer, row.expect)
        if row.quick and not cadtest.sanitized():
            check_quick(ca, request)
    ca.check_alive()
    ca.get("/v1/health").expect(200)
    assert (ca.pid, ca.signer_pid, newest(ca), signatures(ca)) == before
    check_canaries(ca, request)
    ca.check_log()


def test_every_prefix_of_a_good_csr_is_refused(ca):
    good, before = csrs.csr(names=[csrs.dns("nas.lan")]), (newest(ca), signatures(ca))
    assert len(good) < 400
    for size in range(len(good)):
        answer = send(ca, bad_csrs.raw(good[:size]))
        check_refusal(answer, bad_csrs.refused("csr-malformed body-malformed" if size == 0 else
                                               "csr-malformed", r"(csr(\..+)?|body)?"))
    assert (newest(ca), signatures(ca)) == before


def test_every_changed_octet_of_a_good_csr_is_refused(ca):
    good, before = csrs.csr(names=[csrs.dns("nas.lan")]), (newest(ca), signatures(ca))
    slugs = " ".join(["csr-malformed csr-signature csr-weak-signature csr-extension csr-attribute",
                      "csr-subject key-unsupported key-weak key-invalid name-invalid",
                      "name-not-permitted name-not-allowed names-missing"])
    for place in range(len(good)):
        changed = good[:place] + bytes([good[place] ^ 1 << place % 8]) + good[place + 1:]
        check_refusal(send(ca, bad_csrs.raw(changed)),
            bad_csrs.refused(slugs, r"(csr(\..+)?|names)?"))
    assert (newest(ca), signatures(ca)) == before


def test_store_and_signer_agree_on_what_was_made(ca):
    found = listed(ca)
    assert len(set(found)) == len(found)
    assert len(signatures(ca)) - len(found) == ca.unlisted


def test_memory_is_back_at_its_base(ca):
    if cadtest.sanitized():
        pytest.skip("a sanitizer keeps what was freed")
    grown = ca.memory_kib() - ca.warm_kib
    assert grown < GROWTH_KIB, f"{grown} KiB more than before the bad requests"
