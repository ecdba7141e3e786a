"""Revocation lists: made within seconds, on time, true, served cheaply, and never going back (threats.md R-7, R-22, §5.2)."""

import concurrent.futures
import datetime
import http.client
import os
import pathlib
import re
import random
import shutil
import subprocess
import tempfile
import threading
import time

import pytest
from cryptography import x509
from cryptography.x509.oid import CRLEntryExtensionOID, ExtensionOID

import cadtest
import csrs
from csrs import csr, dns

SEEN_S = 8          # from a revocation to the list: a second for others to come, five at most, and a slow machine
QUIET_S = 1.5       # nothing more is made after this
PROBLEM = "urn:cad:problem:"


@pytest.fixture(scope="module")
def ca():
    with cadtest.Daemon(tcp=True) as daemon:
        wait_for_crls(daemon)
        yield daemon
        assert daemon.stop() == 0
        daemon.check_log()


def wait_for_crls(ca, issuers=("int-1", "int-2", "root")):
    ca.wait_until(lambda: all(ca.get(f"/crl/{name}.crl").status == 200 for name in issuers), SEEN_S, "no CRLs")


def issue(ca, key=None, **fields):
    return ca.issue(csr(key or csrs.EcKey(), names=[dns("nas.lan")]), **fields).expect(201).json


def revoke(ca, serial, reason=None):
    return ca.post(f"/v1/certificates/{serial}/revoke", {"reason": reason} if reason else {}).expect(200)


def crl(ca, issuer="int-1"):
    return x509.load_der_x509_crl(ca.get(f"/crl/{issuer}.crl").expect(200).body)


def number(found):
    return found.extensions.get_extension_for_oid(ExtensionOID.CRL_NUMBER).value.crl_number


def reason(entry):
    """None where it says none."""
    try:
        return entry.extensions.get_extension_for_oid(CRLEntryExtensionOID.CRL_REASON).value.reason.name
    except x509.ExtensionNotFound:
        return None


def entry(found, serial):
    return found.get_revoked_certificate_by_serial_number(int(serial, 16))


def wait_on_crl(ca, serial, present=True):
    ca.wait_until(lambda: bool(entry(crl(ca), serial)) == present, SEEN_S, f"{serial} should be {present} on the CRL")


def made(ca, issuer="int-1"):
    """How many were made since this daemon's log began."""
    return sum(f" of {issuer}: " in line for line in ca.log_text().splitlines() if "cad: CRL " in line)


def fetch(ca, path, method="GET", **headers):
    """Over plain HTTP."""
    connection = http.client.HTTPConnection("127.0.0.1", ca.port("http"), timeout=10)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return cadtest.Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


# ---- what they say -----------------------------------------------------------------------------------------

def test_each_issuer_has_one_from_the_start_and_openssl_likes_it(ca, tmp_path):
    (tmp_path / "bundle.pem").write_bytes(ca.get("/v1/ca/bundle.pem").body)
    names = [row["id"] for row in ca.get("/v1/ca").json["issuers"]] + ["root"]
    listed = {row["issuer"]: row for row in ca.get("/v1/crls").expect(200).json["crls"]}
    assert sorted(listed) == sorted(names)
    for name in names:
        answer = fetch(ca, f"/crl/{name}.crl").expect(200)
        assert answer.headers["content-type"] == "application/pkix-crl"
        (tmp_path / "crl").write_bytes(answer.body)
        done = subprocess.run(["openssl", "crl", "-inform", "DER", "-in", tmp_path / "crl", "-noout", "-verify", "-CAfile",
                               tmp_path / "bundle.pem"], capture_output=True, text=True, timeout=20)
        assert "verify OK" in done.stderr, done.stderr
        found = x509.load_der_x509_crl(answer.body)
        assert number(found) == listed[name]["number"]
        life = found.next_update - datetime.datetime.utcnow()
        days = 365 if name == "root" else 7
        assert datetime.timedelta(days=days) - datetime.timedelta(minutes=5) < life <= datetime.timedelta(days=days)
        assert len(answer.body) == listed[name]["size"] and len(found) == listed[name]["entries"]
        aki = found.extensions.get_extension_for_oid(ExtensionOID.AUTHORITY_KEY_IDENTIFIER).value.key_identifier
        issuer = x509.load_der_x509_certificate(fetch(ca, f"/ca/{name}.crt").expect(200).body)
        assert found.is_signature_valid(issuer.public_key()) and found.issuer == issuer.subject
        assert aki == issuer.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_KEY_IDENTIFIER).value.digest


def test_a_leaf_names_where_its_list_and_its_issuer_are(ca):
    leaf = x509.load_pem_x509_certificate(issue(ca)["certificate"].encode())
    point = leaf.extensions.get_extension_for_oid(ExtensionOID.CRL_DISTRIBUTION_POINTS).value[0].full_name[0].value
    access = leaf.extensions.get_extension_for_oid(ExtensionOID.AUTHORITY_INFORMATION_ACCESS).value[0].access_location.value
    listed = {row["issuer"]: row for row in ca.get("/v1/crls").json["crls"]}
    assert point == listed["int-1"]["url"]
    path = lambda url: "/" + url.split("/", 3)[3]   # noqa: E731
    assert x509.load_der_x509_crl(fetch(ca, path(point)).expect(200).body).issuer == leaf.issuer
    assert x509.load_der_x509_certificate(fetch(ca, path(access)).expect(200).body).subject == leaf.issuer


@pytest.mark.sanitize
def test_a_revoked_certificate_is_on_it_within_seconds_and_openssl_refuses_it(ca, tmp_path):
    good, bad = issue(ca), issue(ca)
    (tmp_path / "bundle.pem").write_bytes(ca.get("/v1/ca/bundle.pem").body)
    for name, certificate in (("good", good), ("bad", bad)):
        (tmp_path / name).write_text(certificate["certificate"])
    before = number(crl(ca))
    answer = revoke(ca, bad["serial"], "key_compromise").json
    wait_on_crl(ca, bad["serial"])
    found = crl(ca)
    assert number(found) > before
    row = entry(found, bad["serial"])
    assert reason(row) == "key_compromise"
    assert row.revocation_date.strftime("%Y-%m-%dT%H:%M:%SZ") == answer["revoked_at"]
    assert entry(found, good["serial"]) is None
    pem = b"".join(subprocess.run(["openssl", "crl", "-inform", "DER"], input=ca.get(f"/crl/{name}.crl").body,
                                  capture_output=True, check=True, timeout=20).stdout for name in ("int-1", "root"))
    (tmp_path / "crls.pem").write_bytes(pem)
    for name, verdict in (("good", 0), ("bad", 2)):
        done = subprocess.run(["openssl", "verify", "-crl_check_all", "-CAfile", tmp_path / "bundle.pem", "-CRLfile",
                               tmp_path / "crls.pem", tmp_path / name], capture_output=True, text=True, timeout=20)
        assert done.returncode == verdict, done.stderr
        assert ("certificate revoked" in done.stderr) == (name == "bad")


def test_unspecified_is_not_said(ca):
    serial = issue(ca)["serial"]
    revoke(ca, serial)
    wait_on_crl(ca, serial)
    assert reason(entry(crl(ca), serial)) is None


@pytest.mark.sanitize
def test_a_hold_comes_and_goes_and_can_become_final(ca):
    serial = issue(ca)["serial"]
    revoke(ca, serial, "certificate_hold")
    wait_on_crl(ca, serial)
    assert reason(entry(crl(ca), serial)) == "certificate_hold"
    revoke(ca, serial, "remove_from_crl")
    wait_on_crl(ca, serial, present=False)
    revoke(ca, serial, "certificate_hold")
    revoke(ca, serial, "cessation_of_operation")
    wait_on_crl(ca, serial)
    assert reason(entry(crl(ca), serial)) == "cessation_of_operation"


def test_a_hold_that_is_lifted_at_once_leaves_no_trace(ca):
    serial = issue(ca)["serial"]
    before = number(crl(ca))
    revoke(ca, serial, "certificate_hold")
    revoke(ca, serial, "remove_from_crl")
    ca.wait_until(lambda: number(crl(ca)) > before, SEEN_S, "no new CRL")
    assert entry(crl(ca), serial) is None


# ---- how often ---------------------------------------------------------------------------------------------

@pytest.mark.slow
@pytest.mark.sanitize
def test_fifty_revocations_are_few_lists(ca):
    serials = [issue(ca)["serial"] for _ in range(50)]
    time.sleep(QUIET_S)
    before, started = made(ca), time.monotonic()
    for serial in serials:
        revoke(ca, serial, "superseded")
    ca.wait_until(lambda: all(entry(crl(ca), serial) for serial in serials), SEEN_S, "not all are on the CRL")
    time.sleep(QUIET_S)
    assert made(ca) - before <= 2 + (time.monotonic() - started) / 3


def test_nothing_is_made_where_nothing_happens(ca):
    time.sleep(QUIET_S)
    before, text = made(ca), ca.get("/crl/int-1.crl").body
    serial = issue(ca)["serial"]
    ca.post(f"/v1/certificates/{serial}/revoke", {"reason": "no such"}).expect(400, 422)
    time.sleep(2 * QUIET_S)
    assert made(ca) == before and ca.get("/crl/int-1.crl").body == text


# ---- publish now -------------------------------------------------------------------------------------------

@pytest.mark.sanitize
def test_an_operator_has_them_published_now(ca):
    before = {row["issuer"]: row["number"] for row in ca.get("/v1/crls").json["crls"]}
    after = {row["issuer"]: row["number"] for row in ca.post("/v1/crls", {}).expect(200).json["crls"]}
    assert all(after[name] > before[name] for name in before)
    ca.request("POST", "/v1/crls").expect(200)


def test_nobody_else_has(ca):
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    ca.socket.chmod(0o666)
    ca.state.chmod(0o755)
    try:
        refused = ca.as_user(12345, 12345, [], "POST", "/v1/crls", b"{}", {"Content-Type": "application/json"})
        assert refused.status == 403 and refused.json["type"] == PROBLEM + "forbidden"
        assert ca.as_user(12345, 12345, [], "GET", "/v1/crls").expect(200).json["crls"]
    finally:
        ca.state.chmod(0o700)
    assert fetch(ca, "/v1/crls", "POST", Content_Length="0").status == 404  # not on plain HTTP at all


@pytest.mark.parametrize("body", [b"{", b'{"issuer":"int-1"}', b"[]"])
def test_what_is_not_understood_publishes_nothing(ca, body):
    ca.post("/v1/crls", body).expect(400, 422)


def test_many_who_ask_at_once_are_all_answered(ca):
    before = made(ca)
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: ca.post("/v1/crls", {}).status, range(40)))
    assert set(answers) <= {200, 503} and answers.count(200) >= 32
    assert made(ca) - before < 40


# ---- how they are served -----------------------------------------------------------------------------------

def test_conditional_requests_are_cheap(ca):
    time.sleep(QUIET_S)
    full = fetch(ca, "/crl/int-1.crl").expect(200)
    etag, modified = full.headers["etag"], full.headers["last-modified"]
    later = "Fri, 31 Dec 2100 23:59:59 GMT"
    for expected, headers in (
            (304, {"If_None_Match": etag}), (304, {"If_None_Match": "W/" + etag}), (304, {"If_None_Match": "*"}),
            (304, {"If_None_Match": f'"x", {etag}'}), (200, {"If_None_Match": '"x"'}), (200, {"If_None_Match": etag[:-1]}),
            (200, {"If_None_Match": etag.strip('"')}), (200, {"If_None_Match": ""}),
            (304, {"If_Modified_Since": modified}), (200, {"If_Modified_Since": "Sun, 06 Nov 1994 08:49:37 GMT"}),
            (200, {"If_Modified_Since": "yesterday"}), (200, {"If_Modified_Since": later}),
            (200, {"If_None_Match": '"x"', "If_Modified_Since": modified}),  # the tag goes first
            (200, {"Range": "bytes=0-9"})):
        answer = fetch(ca, "/crl/int-1.crl", **headers)
        assert answer.status == expected, (headers, answer)
        assert answer.body == (full.body if expected == 200 else b"")
        assert answer.headers["etag"] == etag and answer.headers["last-modified"] == modified
        assert "max-age=" in answer.headers["cache-control"]
    head = fetch(ca, "/crl/int-1.crl", "HEAD").expect(200)
    assert head.body == b"" and int(head.headers["content-length"]) == len(full.body)


def test_curl_fetches_it_only_when_it_is_new(ca, tmp_path):
    url, out, tag = f"http://127.0.0.1:{ca.port('http')}/crl/int-1.crl", tmp_path / "crl", tmp_path / "tag"

    def curl(*words):
        done = subprocess.run(["curl", "-sS", "-w", "%{http_code}", "-o", out, *words, url], capture_output=True, text=True,
                              timeout=20)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert curl("--etag-save", tag) == "200"
    assert curl("--etag-compare", tag) == "304"
    assert curl("-z", out) in ("304", "200")
    serial = issue(ca)["serial"]
    revoke(ca, serial)
    wait_on_crl(ca, serial)
    assert curl("--etag-compare", tag) == "200"


def test_how_long_others_may_keep_it(ca):
    control = dict(part.strip().partition("=")[::2] for part in fetch(ca, "/crl/int-1.crl").headers["cache-control"].split(","))
    assert "public" in control and 0 < int(control["max-age"]) <= 3600
    assert "no-store" not in control


def test_certificates_are_served_for_whoever_builds_a_chain(ca):
    root = fetch(ca, "/root.crt").expect(200)
    assert root.headers["content-type"] == "application/x-x509-ca-cert"
    assert fetch(ca, "/ca/root.crt").expect(200).body == root.body
    assert fetch(ca, "/ca/root.crt").headers["content-type"] == "application/pkix-cert"
    assert fetch(ca, "/ca/root.crt", If_None_Match=root.headers["etag"]).status == 304
    fingerprint = ca.get("/v1/ca").json["fingerprint"]
    assert x509.load_der_x509_certificate(root.body).fingerprint(
        x509.load_der_x509_certificate(root.body).signature_hash_algorithm) and fingerprint
    issuer = x509.load_der_x509_certificate(fetch(ca, "/ca/int-1.crt").expect(200).body)
    assert issuer.issuer == x509.load_der_x509_certificate(root.body).subject


@pytest.mark.parametrize("path", [
    "/crl/int-9.crl", "/crl/int-1", "/crl/.crl", "/crl/int-1.crt", "/crl/" + "a" * 15 + ".crl", "/crl/" + "a" * 16 + ".crl",
    "/crl/int-1.crl.crl", "/crl/INT-1.crl", "/ca/int-9.crt", "/ca/int-1.crl", "/ca/.crt", "/crl", "/ca", "/root.crl"])
def test_what_is_not_there_is_said_so(ca, path):
    problem = fetch(ca, path).expect(404).json
    assert problem["type"] == PROBLEM + "not-found"
    ca.get(path).expect(404)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_they_can_only_be_read(ca, method):
    answer = fetch(ca, "/crl/int-1.crl", method).expect(405)
    assert "GET" in answer.headers["allow"]


# ---- time, restarts, copies --------------------------------------------------------------------------------

def configured(text, **more):
    """A daemon with this cad.conf; its folder is in the daemon's base."""
    daemon = cadtest.Daemon(**more)
    folder = daemon.base / "etc"
    folder.mkdir()
    (folder / "cad.conf").write_text(text)
    daemon.args += ["--config", str(folder / "cad.conf")]
    return daemon


@pytest.mark.slow
def test_a_restart_serves_the_old_one_at_once():
    with cadtest.Daemon() as ca:
        wait_for_crls(ca)
        serial = issue(ca)["serial"]
        revoke(ca, serial)
        wait_on_crl(ca, serial)
        time.sleep(QUIET_S)
        before = ca.get("/crl/int-1.crl")
        assert ca.stop() == 0
        ca.start()
        after = ca.get("/crl/int-1.crl").expect(200)
        assert (after.body, after.headers["etag"], after.headers["last-modified"]) == (
            before.body, before.headers["etag"], before.headers["last-modified"])
        time.sleep(2 * QUIET_S)
        assert ca.get("/crl/int-1.crl").body == before.body     # nothing has changed: nothing is made
        ca.check_log()


@pytest.mark.sanitize
def test_a_revocation_right_before_a_kill_is_on_the_next_one():
    with cadtest.Daemon() as ca:
        wait_for_crls(ca)
        before = number(crl(ca))
        serial = issue(ca)["serial"]
        revoke(ca, serial)
        ca.kill()
        ca.start()
        assert ca.get("/crl/int-1.crl").status == 200           # the old one, until the new one is there
        wait_on_crl(ca, serial)
        assert number(crl(ca)) > before
        ca.check_log()


@pytest.mark.parametrize("damage", ["cut", "changed", "of nobody", "emptied", "another's", "gone"])
def test_a_damaged_file_is_made_anew(damage):
    with cadtest.Daemon() as ca:
        wait_for_crls(ca)
        serial = issue(ca)["serial"]
        revoke(ca, serial)
        wait_on_crl(ca, serial)
        before = number(crl(ca))
        assert ca.stop() == 0
        file = ca.state / "crl" / "int-1.crl"
        der = file.read_bytes()
        if damage == "gone":
            file.unlink()
        else:
            file.write_bytes({"cut": der[:-1], "changed": der[:60] + bytes([der[60] ^ 1]) + der[61:], "emptied": b"",
                              "of nobody": der[:-1] + bytes([der[-1] ^ 1]),     # its signature is none
                              "another's": (ca.state / "crl" / "int-2.crl").read_bytes()}[damage])
        ca.start()
        wait_for_crls(ca)
        assert number(crl(ca)) > before and entry(crl(ca), serial)
        ca.check_log()


@pytest.mark.slow
@pytest.mark.sanitize
def test_an_older_database_brings_nothing_back_to_life():
    with cadtest.Daemon() as ca:
        wait_for_crls(ca)
        known = [issue(ca)["serial"] for _ in range(3)]
        revoke(ca, known[0])
        wait_on_crl(ca, known[0])
        assert ca.stop() == 0
        copy = (ca.state / "cad.db").read_bytes()
        ca.start()
        later = issue(ca)["serial"]
        revoke(ca, known[1], "key_compromise")
        revoke(ca, known[2], "certificate_hold")
        revoke(ca, later, "superseded")
        for serial in (known[1], known[2], later):
            wait_on_crl(ca, serial)
        time.sleep(QUIET_S)
        before = number(crl(ca))
        assert ca.stop() == 0
        (ca.state / "cad.db").write_bytes(copy)
        for suffix in ("-wal", "-shm"):
            (ca.state / ("cad.db" + suffix)).unlink(missing_ok=True)
        ca.start()
        ca.wait_until(lambda: number(crl(ca)) > before, SEEN_S, "no newer CRL")
        found = crl(ca)
        for serial, why in ((known[0], None), (known[1], "key_compromise"), (known[2], "certificate_hold"), (later, "superseded")):
            assert entry(found, serial), (serial, why)
            assert reason(entry(found, serial)) == why
        assert ca.get(f"/v1/certificates/{known[1]}").json["status"] == "revoked"
        assert "taken over" in ca.log_text()
        # and it goes on: revocations add, a hold can be lifted
        revoke(ca, known[2], "remove_from_crl")
        wait_on_crl(ca, known[2], present=False)
        assert entry(crl(ca), later) and number(crl(ca)) > number(found)
        ca.check_log()


@pytest.mark.slow
def test_it_is_made_on_schedule():
    ca = configured("[Crl]\nValidity=12s\nRefresh=3s\n")
    with ca:
        wait_for_crls(ca)
        numbers, until = [], time.monotonic() + 14
        while time.monotonic() < until:
            found = crl(ca)
            assert found.next_update > datetime.datetime.utcnow() + datetime.timedelta(seconds=4)
            if not numbers or number(found) != numbers[-1]:
                numbers.append(number(found))
            time.sleep(0.2)
        assert 4 <= len(numbers) <= 6 and numbers == sorted(set(numbers))
        assert made(ca, "root") == 1


@pytest.mark.slow
def test_without_a_signer_health_is_red_in_time_and_somebody_is_told(tmp_path):
    told = tmp_path / "told"
    script = tmp_path / "tell"
    script.write_text(f'#!/bin/sh\nprintf "%s|%s|%s|%s\\n" "$CAD_ALERT" "$*" "$CAD_ALERT_SINCE" "$CAD_ALERT_TEXT" >>{told}\n'
                      'grep NoNewPrivs /proc/self/status >>' f"{told}\nls /proc/self/fd | wc -l >>{told}\n")
    script.chmod(0o755)
    tmp_path.chmod(0o777)
    for folder in tmp_path.parents:
        if folder.owner() != "root" or folder == pathlib.Path("/tmp"):
            break
        folder.chmod(folder.stat().st_mode | 0o111)
    ca = configured(f"[Crl]\nValidity=24s\nRefresh=4s\n[Alert]\nCommand={script} 'two words' $HOME\n")
    with ca:
        wait_for_crls(ca)
        row = lambda: next(check for check in ca.get("/v1/health").json["checks"] if check["name"] == "crl")   # noqa: E731
        assert row()["status"] == "ok"
        before = number(crl(ca))
        (ca.state / "signer" / "ca").rename(ca.state / "signer" / "away")
        os.kill(ca.signer_pid, 9)
        ca.wait_until(lambda: row()["status"] == "failing", 24, "the crl check is not red")
        left = crl(ca).next_update - datetime.datetime.utcnow()
        assert left > datetime.timedelta(seconds=4), left
        assert "no new one can be made" in row()["detail"]
        assert ca.get("/v1/health").status == 503
        ca.get("/crl/int-1.crl").expect(200)                    # what is there is served
        ca.wait_until(lambda: told.exists() and "NoNewPrivs" in told.read_text(), 40, "nobody was told")
        kind, words, since, text = told.read_text().splitlines()[0].split("|")
        assert kind == "failing" and words == "two words $HOME" and "signer" in text
        assert datetime.datetime.strptime(since, "%Y-%m-%dT%H:%M:%SZ")
        (ca.state / "signer" / "away").rename(ca.state / "signer" / "ca")
        ca.wait_until(lambda: number(crl(ca)) > before and row()["status"] == "ok", 45, "no new CRL")
        ca.wait_until(lambda: "\nok|" in "\n" + told.read_text(), 90, "nobody was told that all is well")
        lines = told.read_text().splitlines()
        assert [line.split("|")[0] for line in lines if "|" in line].count("failing") == 1
        assert any(line.split()[-1] == "1" for line in lines if line.startswith("NoNewPrivs"))
        assert all(int(line) <= 4 for line in lines if line.strip().isdigit())
        ca.check_log()


@pytest.mark.slow
def test_a_command_that_hangs_is_killed_and_holds_nobody_up(tmp_path):
    script = tmp_path / "hang"
    script.write_text(f"#!/bin/sh\nsleep 300.{os.getpid()}\n")
    script.chmod(0o755)
    ca = configured(f"[Alert]\nCommand={script}\n")
    with ca:
        wait_for_crls(ca)
        (ca.state / "signer" / "ca").rename(ca.state / "signer" / "away")
        os.kill(ca.signer_pid, 9)

        def hanging():
            out = subprocess.run(["pgrep", "-P", str(ca.pid), "-f", "hang"], capture_output=True, text=True).stdout
            return out.split()

        ca.wait_until(hanging, 30, "the command was not run")
        started = time.monotonic()
        ca.get("/crl/int-1.crl").expect(200)
        assert time.monotonic() - started < 1
        assert ca.stop() == 0                                   # ends with the command still there
        assert time.monotonic() - started < 8
        left = subprocess.run(["pgrep", "-f", f"sleep 300.{os.getpid()}"], capture_output=True, text=True).stdout
        assert not left, f"what the command has started goes on: {left}"
        ca.check_log()


@pytest.mark.parametrize("text,word", [
    ("[Crl]\nValidity=5s\n", "10s"), ("[Crl]\nValidity=401d\n", "400d"), ("[Crl]\nRefresh=4d\n", "half"),
    ("[Crl]\nValidity=1h\nRefresh=31m\n", "half"), ("[Crl]\nRefresh=0\n", "1s"), ("[Crl]\nValidity=soon\n", "soon"),
    ("[Alert]\nCommand=mail root\n", "absolute"), ('[Alert]\nCommand=/bin/a "b\n', "quotation")])
def test_settings_that_cannot_be_meant_are_refused(tmp_path, text, word):
    (tmp_path / "cad.conf").write_text(text)
    done = cadtest.run(["check-config", "--config", str(tmp_path / "cad.conf"), "--state-dir", str(tmp_path / "state")])
    assert done.returncode == 1 and word in done.stderr, done.stderr


def test_a_short_validity_alone_is_fine(tmp_path):
    (tmp_path / "cad.conf").write_text("[Crl]\nValidity=12h\n[Alert]\nCommand=\n")
    done = cadtest.run(["check-config", "--config", str(tmp_path / "cad.conf"), "--state-dir", str(tmp_path / "state")])
    assert done.returncode == 0, done.stderr


def test_a_reload_takes_other_settings():
    ca = configured("")
    with ca:
        wait_for_crls(ca)
        (ca.base / "etc" / "cad.conf").write_text("[Crl]\nValidity=1h\n")
        ca.process.send_signal(1)
        ca.wait_until(lambda: "read anew" in ca.log_text(), 5, "not reloaded")
        ca.post("/v1/crls", {}).expect(200)
        assert crl(ca).next_update <= datetime.datetime.utcnow() + datetime.timedelta(hours=1, seconds=1)
        # and nobody is to keep it beyond the time when there is a new one: a third of its life
        assert 900 < int(re.search(r"max-age=(\d+)", ca.get("/crl/int-1.crl").headers["cache-control"])[1]) <= 1200


# ---- R-7 and row 80 against the real thing -----------------------------------------------------------------

@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_after_any_sequence_the_next_one_is_what_a_model_says(seed):
    chance, model = random.Random(seed), {}
    with cadtest.Daemon() as ca:
        wait_for_crls(ca)
        serials = [issue(ca)["serial"] for _ in range(25)]
        last = 0
        for _ in range(60):
            what = chance.random()
            serial = chance.choice(serials)
            if what < 0.75:
                why = chance.choice(["superseded", "key_compromise", "certificate_hold", "certificate_hold",
                                     "remove_from_crl"])
                status = ca.post(f"/v1/certificates/{serial}/revoke", {"reason": why}).status
                before = model.get(serial)
                allowed = (before == "certificate_hold" if why == "remove_from_crl" else
                           before is None or before == "certificate_hold" != why or (before, why) == ("superseded", "key_compromise"))
                assert (status == 200) == allowed, (before, why, status)
                if allowed and why == "remove_from_crl":
                    del model[serial]
                elif allowed:
                    model[serial] = why
            elif what < 0.85:
                time.sleep(chance.random() * 1.5)
            elif what < 0.93:
                ca.kill()
                ca.start()
            else:
                ca.post("/v1/crls", {}).expect(200)
                found = crl(ca)
                assert {f"{row.serial_number:x}".zfill(len(serials[0])): reason(row) for row in found} == model
                assert number(found) > last
                last = number(found)
        ca.post("/v1/crls", {}).expect(200)
        assert {f"{row.serial_number:x}".zfill(len(serials[0])): reason(row) for row in crl(ca)} == model
        ca.check_log()


@pytest.mark.slow
@pytest.mark.sanitize
def test_no_list_is_older_than_an_answered_revocation_by_more_than_seconds():
    with cadtest.Daemon() as ca:
        wait_for_crls(ca)
        acked, lock, over = {}, threading.Lock(), threading.Event()

        def revoker(_):
            for _ in range(12):
                serial = issue(ca)["serial"]
                revoke(ca, serial)
                with lock:
                    acked[serial] = time.monotonic()

        def reader():
            last = 0
            while not over.is_set():
                with lock:
                    due = [serial for serial, at in acked.items() if time.monotonic() - at > SEEN_S]
                found = crl(ca)
                assert number(found) >= last
                last = number(found)
                for serial in due:
                    assert entry(found, serial), f"{serial} was revoked {SEEN_S} s ago"
                time.sleep(0.02)

        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            readers = [pool.submit(reader) for _ in range(2)]
            list(pool.map(revoker, range(8)))
            time.sleep(SEEN_S)
            over.set()
            for done in readers:
                done.result()
        assert all(entry(crl(ca), serial) for serial in acked)
        ca.check_log()


# ---- a full disk (row 54) ----------------------------------------------------------------------------------

@pytest.mark.slow
def test_a_full_disk_stops_no_list_from_being_served():
    base = pathlib.Path(tempfile.mkdtemp(prefix="cad-crl-"))
    crls = base / "state" / "crl"
    crls.mkdir(parents=True, mode=0o700)
    crls.parent.chmod(0o700)
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "cad-test", crls],
                                      capture_output=True).returncode:
        shutil.rmtree(base)
        pytest.skip("no file system can be mounted here")
    try:
        with cadtest.Daemon(state=base / "state") as ca:
            wait_for_crls(ca)
            with open(crls / "filler", "wb", buffering=0) as filler:
                try:
                    while True:
                        filler.write(bytes(512))
                except OSError:
                    pass
            serial = issue(ca)["serial"]
            revoke(ca, serial)
            wait_on_crl(ca, serial)                             # it is served though it cannot be written down
            problem = ca.post("/v1/crls", {}).expect(503).json
            assert "full" in problem["detail"] or "space" in problem["detail"].lower()
            rows = {check["name"]: check for check in ca.get("/v1/health").json["checks"]}
            assert rows["crl"]["status"] != "ok"
            (crls / "filler").unlink()
            ca.wait_until(lambda: ca.post("/v1/crls", {}).status == 200, 30, "it does not heal")
            rows = {check["name"]: check for check in ca.get("/v1/health").json["checks"]}
            assert rows["crl"]["status"] == "ok"
            ca.check_log()
    finally:
        subprocess.run(["umount", "--lazy", crls], check=True)
        shutil.rmtree(base, ignore_errors=True)


# ---- cactl -------------------------------------------------------------------------------------------------

def test_cactl_shows_and_publishes(ca, tmp_path):
    def cactl(*words, code=0):
        done = subprocess.run([cadtest.BUILD / "client" / "cactl", "--socket", ca.socket, *words], capture_output=True,
                              text=True, timeout=30, env=cadtest.environment())
        assert done.returncode == code, (words, done.stdout, done.stderr)
        return done.stdout + done.stderr

    shown = cactl("crl", "show")
    assert all(name in shown for name in ("int-1", "int-2", "root", "current"))
    assert "int-2" not in cactl("crl", "show", "int-1")
    before = number(crl(ca))
    cactl("crl", "publish")
    assert number(crl(ca)) > before
    pem = cactl("crl", "show", "--pem")
    assert pem.count("-----BEGIN X509 CRL-----") == 3
    assert number(x509.load_pem_x509_crl(cactl("crl", "show", "root", "--pem").encode())) > 0
    assert "there is no issuer" in cactl("crl", "show", "int-7", code=1)
    assert '"crls"' in cactl("--json", "crl", "show")
