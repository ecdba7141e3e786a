"""GET /metrics: Prometheus' text format 0.0.4 to the letter, values that move with what happens, and who may read it."""

import calendar
import contextlib
import math
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import pytest
from cryptography import x509

import cadtest
import csrs
import https
import tools
from csrs import csr, dns

TYPE = "text/plain; version=0.0.4; charset=utf-8"
NAME, LABEL = r"[a-zA-Z_:][a-zA-Z0-9_:]*", r"[a-zA-Z_][a-zA-Z0-9_]*"
SAMPLE = re.compile(rf'({NAME})(?:\{{((?:{LABEL}="(?:[^"\\\n]|\\["\\n])*"(?:,(?!\}}))?)+)\}})? (\S+)')
OF_SUMMARY = ("_sum", "_count")


class Metrics:
    """The text, read strictly: what a lenient reader lets pass fails here."""

    def __init__(self, text):
        assert text.endswith("\n") and "\r" not in text and "\n\n" not in text
        self.types, self.values, self.helps, family, kind = {}, {}, {}, None, None
        for line in text.splitlines():
            if line.startswith("# HELP "):
                family, words = line[7:].split(" ", 1)
                assert re.fullmatch(NAME, family) and words.strip() and family not in self.helps, line
                self.helps[family], kind = words, None
            elif line.startswith("# TYPE "):
                named, kind = line[7:].split(" ")
                assert named == family and kind in ("counter", "gauge", "summary"), line
                assert named not in self.types, f"{named} comes twice"
                self.types[named] = kind
            else:
                self.sample(line, family, kind)
        assert set(self.helps) == set(self.types)

    def sample(self, line, family, kind):
        found = SAMPLE.fullmatch(line)
        assert found, line
        name, labels, value = found.groups()
        stem = next((name[:-len(end)] for end in OF_SUMMARY if kind == "summary" and name.endswith(end)), name)
        assert stem == family and kind, f"{line} stands in the family {family}"
        key = name, tuple(sorted(re.findall(rf'({LABEL})="((?:[^"\\]|\\.)*)"', labels or "")))
        assert key not in self.values, f"{line} comes twice"
        self.values[key] = float(value)
        assert math.isfinite(self.values[key]), line
        assert kind != "counter" or self.values[key] >= 0, line

    def __call__(self, name, **labels):
        return self.values[name, tuple(sorted(labels.items()))]

    def names(self):
        return {name for name, _ in self.values}


def scrape(ca, **headers):
    answer = ca.get("/metrics", **headers).expect(200)
    assert answer.headers["content-type"] == TYPE
    return Metrics(answer.body.decode("utf-8"))


@pytest.fixture(scope="module")
def ca():
    with cadtest.Daemon() as daemon:
        yield daemon
        assert daemon.stop() == 0
        daemon.check_log()


@pytest.mark.sanitize
def test_it_is_in_the_format_to_the_letter(ca):
    m = scrape(ca)
    for name, kind in m.types.items():
        assert name.startswith(("cad_", "process_")), name
        assert name.endswith("_total") == (kind == "counter"), name
        assert not re.search(r"_(ms|us|millis\w*|kb|kib|mb|minutes|hours|days)(_|$)", name), f"{name}: base units alone"
        assert m.helps[name][0].isupper() and m.helps[name].endswith("."), m.helps[name]


def test_promtool_accepts_it(ca):
    done = subprocess.run([tools.find("promtool"), "check", "metrics"], input=ca.get("/metrics").expect(200).body, capture_output=True,
                          timeout=60)
    assert done.returncode == 0 and not done.stderr, (done.stdout, done.stderr)


def test_the_strict_reader_refuses_what_is_wrong():
    good = '# HELP a_total A.\n# TYPE a_total counter\na_total{x="1"} 1\n'
    assert Metrics(good)("a_total", x="1") == 1
    for bad in (good[:-1], good + "\n", good + good, good + "b 1\n", good.replace("counter", "count"), good.replace(" 1\n", "  1\n"),
                good.replace('"1"', "1"), good.replace('"1"', '"\\x"'), good + 'a_total{x="1"} 2\n', good.replace(" 1\n", " NaN\n"),
                good.replace(" 1\n", " -1\n"), good.replace("# HELP a_total A.\n", ""), good.replace('x="1"', 'x="1",')):
        with pytest.raises((AssertionError, ValueError)):
            Metrics(bad)


def test_certificates_are_counted_as_they_come_and_go(ca):
    before = scrape(ca)
    serials = [ca.issue(csr(csrs.EcKey(), names=[dns("nas.lan")])).expect(201).json["serial"] for _ in range(3)]
    ca.post(f"/v1/certificates/{serials[0]}/revoke", {"reason": "superseded"}).expect(200)
    ca.post(f"/v1/certificates/{serials[1]}/revoke", {"reason": "certificate_hold"}).expect(200)
    after = scrape(ca)
    for name, more in {"cad_certificates_issued_total": 3, "cad_certificates_revoked_total": 1, "cad_certificates_on_hold": 1,
                       "cad_signer_signatures_total": 3, "cad_signer_signatures_last_hour": 3}.items():
        assert after(name) - before(name) == more, name
    assert after("cad_signer_signatures_last_hour") == after("cad_signer_signatures_total")     # this CA is not an hour old
    assert "cad_signer_signatures_per_hour_limit" not in after.names()
    assert after("cad_store_writes_total") - before("cad_store_writes_total") >= 5

    assert after("cad_http_requests_in_hand") == 1 == scrape(ca)("cad_http_requests_in_hand")       # the scrape itself
    commits = after("cad_store_commit_duration_seconds_count") - before("cad_store_commit_duration_seconds_count")
    assert commits >= 5 and 0 < after("cad_store_commit_duration_seconds_sum") < 60
    assert after("cad_store_commit_failures_total") == 0
    ca.post(f"/v1/certificates/{serials[1]}/revoke", {"reason": "remove_from_crl"}).expect(200)
    assert scrape(ca)("cad_certificates_on_hold") == before("cad_certificates_on_hold")


def test_answers_are_counted_by_their_class(ca):
    before = scrape(ca)
    ca.get("/v1/ca").expect(200)
    ca.get("/v1/nothing").expect(404)
    ca.get("/v1/certificates/00").expect(404)
    ca.raw(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    after = scrape(ca)
    more = {c: after("cad_http_answers_total", **{"class": c}) - before("cad_http_answers_total", **{"class": c})
            for c in ("1xx", "2xx", "3xx", "4xx", "5xx")}
    assert more["2xx"] >= 2 and more["4xx"] >= 3 and more["5xx"] == 0, more
    assert after("cad_http_requests_total") - before("cad_http_requests_total") >= 4
    assert after("cad_http_connections") >= 1 and after("cad_http_requests_in_hand") >= 1


def test_what_ends_is_told_in_seconds_since_the_epoch(ca):
    m, told = scrape(ca), ca.get("/v1/ca").expect(200).json
    ends = {"root": told["root"]["not_after"], **{issuer["id"]: issuer["not_after"] for issuer in told["issuers"]}}
    for name, end in ends.items():
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(m("cad_ca_expiry_timestamp_seconds", certificate=name)))
        assert stamp == end


def test_crls_and_the_certificate_of_https_are_there(tmp_path):
    with cadtest.Daemon(tcp=True) as daemon:
        daemon.wait_until(lambda: "cad_crl_number" in scrape(daemon).names(), 20, "there is no CRL")
        daemon.wait_until(lambda: "cad_https_expiry_timestamp_seconds" in scrape(daemon).names(), 20, "there is no certificate")
        m, issuer = scrape(daemon), daemon.get("/v1/ca").json["issuers"][0]["id"]
        assert abs(m("cad_crl_this_update_timestamp_seconds", issuer=issuer) - time.time()) < 7200
        assert m("cad_crl_next_update_timestamp_seconds", issuer=issuer) > time.time() + 86400
        assert m("cad_crl_entries", issuer=issuer) == 0 and m("cad_crl_failures", issuer=issuer) == 0
        assert m("cad_https_expiry_timestamp_seconds") > time.time() + 86400
        serial = daemon.issue(csr(csrs.EcKey(), names=[dns("nas.lan")])).expect(201).json["serial"]
        daemon.post(f"/v1/certificates/{serial}/revoke", {"reason": "superseded"}).expect(200)
        daemon.wait_until(lambda: scrape(daemon)("cad_crl_entries", issuer=issuer) == 1, 20, "the CRL does not follow")
        daemon.wait_until(lambda: scrape(daemon)("cad_crl_pending_seconds", issuer=issuer) == 0, 20, "it is never over")
        after, crl = scrape(daemon), daemon.get(f"/crl/{issuer}.crl").expect(200).body
        told, = [each for each in daemon.get("/v1/crls").expect(200).json["crls"] if each["issuer"] == issuer]
        for name, value in {"number": told["number"], "size_bytes": len(crl), "this_update_timestamp_seconds": told["this_update"],
                            "next_update_timestamp_seconds": told["next_update"]}.items():
            found = after("cad_crl_" + name, issuer=issuer)
            assert (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(found)) if isinstance(value, str) else found) == value, name
            assert found > m("cad_crl_" + name, issuer=issuer) or name.startswith("this"), name
        own = x509.load_pem_x509_certificate((daemon.state / "https.pem").read_bytes())
        assert after("cad_https_expiry_timestamp_seconds") == calendar.timegm(own.not_valid_after.timetuple())
        assert after("cad_http_connections_refused_total") == after("cad_http_connections_dropped_total") == 0
        with contextlib.ExitStack() as stack:       # one more than an address may have, and all of them in the middle of a body
            for _ in range(17):
                with contextlib.suppress(OSError):
                    sock = socket.create_connection(("127.0.0.1", daemon.port("https")), timeout=10)
                    sock = stack.enter_context(https.context(daemon).wrap_socket(sock, server_hostname="localhost"))
                    sock.sendall(b"POST /v1/requests HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{")
            daemon.wait_until(lambda: scrape(daemon)("cad_http_connections_refused_total") >= 1, 5, "none was refused")
        daemon.check_log()


def test_trouble_is_told_in_numbers(tmp_path):
    (tmp_path / "cad.conf").write_text("")
    (tmp_path / "signer.conf").write_text("[Limits]\nPerHour=4000\n")
    with cadtest.Daemon(["--config", tmp_path / "cad.conf"]) as daemon:
        daemon.wait_until(lambda: daemon.get("/crl/int-1.crl").status == 200, 20, "there is no CRL")
        assert scrape(daemon)("cad_signer_signatures_per_hour_limit") == 4000
        first, second = (daemon.issue(csr(csrs.EcKey(), names=[dns("nas.lan")])).expect(201).json["serial"] for _ in range(2))
        (daemon.state / "crl" / "int-1.crl").unlink()
        (daemon.state / "crl" / "int-1.crl" / "in the way").mkdir(parents=True)
        daemon.post(f"/v1/certificates/{first}/revoke", {}).expect(200)
        daemon.wait_until(lambda: scrape(daemon)("cad_crl_failures", issuer="int-1") >= 1, 20, "it did not fail")
        assert scrape(daemon)("cad_crl_failures", issuer="int-2") == 0
        os.kill(daemon.signer_pid, signal.SIGSTOP)         # cad ends it in a while, and starts another
        daemon.post(f"/v1/certificates/{second}/revoke", {}).expect(200)
        daemon.wait_until(lambda: scrape(daemon)("cad_crl_pending_seconds", issuer="int-1") >= 1, 20, "nothing is pending")


def test_health_is_there_check_by_check(ca):
    m, states = scrape(ca), {"ok": 0, "warning": 1, "failing": 2}
    checks = {check["name"]: states[check["status"]] for check in ca.get("/v1/health").json["checks"]}
    assert checks == {dict(labels)["check"]: value for (name, labels), value in m.values.items() if name == "cad_health_status"}
    assert m("cad_signer_up") == 1 and m("cad_build_info", version=ca.get("/v1/health").json["version"]) == 1


def test_the_process_is_told_as_the_kernel_tells_it(ca):
    m = scrape(ca)
    status = pathlib.Path(f"/proc/{ca.pid}/status").read_text()
    resident = int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) * 1024
    assert 0.5 < m("process_resident_memory_bytes") / resident < 2
    assert m("process_virtual_memory_bytes") >= m("process_resident_memory_bytes")
    assert abs(m("process_open_fds") - len(os.listdir(f"/proc/{ca.pid}/fd"))) <= 4
    assert m("process_max_fds") >= m("process_open_fds")
    started = pathlib.Path(f"/proc/{ca.pid}").stat().st_mtime
    assert abs(m("process_start_time_seconds") - started) < 60 and m("process_start_time_seconds") <= time.time()
    assert 0 < m("process_cpu_seconds_total") < 600


def test_a_scrape_never_fails_for_a_signer_that_is_gone(ca):
    stopped = ca.signer_pid
    os.kill(stopped, signal.SIGSTOP)
    try:        # its threads stop one by one, and before long cad ends it and starts another
        limit = time.monotonic() + 20
        while (m := scrape(ca))("cad_signer_up") == 1 or m("cad_health_status", check="signer") != 2:
            assert time.monotonic() < limit and ca.signer_pid == stopped, "it was never seen to be gone"
        assert "cad_signer_signatures_last_hour" not in m.names()
        assert m("cad_certificates_issued_total") >= 0
    finally:
        if ca.signer_pid == stopped:
            os.kill(stopped, signal.SIGCONT)
    ca.wait_until(lambda: scrape(ca)("cad_signer_up") == 1, 20, "the signer is not back")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_readers_may_and_everybody_where_the_configuration_says_so(tmp_path):
    os.chmod(tmp_path, 0o755)
    conf = tmp_path / "cad.conf"
    conf.write_text("[Access]\nReader=uid:4201\n")
    with cadtest.Daemon(args=["--config", conf]) as daemon:
        daemon.state.chmod(0o755), daemon.socket.chmod(0o666)

        def status_for(uid):
            return daemon.as_user(uid, uid, [], "GET", "/metrics").status

        assert (status_for(0), status_for(4201), status_for(4202)) == (200, 200, 403)
        conf.write_text("[Metrics]\nAccess=public\n")
        os.kill(daemon.pid, signal.SIGHUP)
        daemon.wait_until(lambda: status_for(4202) == 200, 10, "the reload is not seen")
        conf.write_text("[Metrics]\nAccess=reader\n")
        os.kill(daemon.pid, signal.SIGHUP)
        daemon.wait_until(lambda: status_for(4202) == 403, 10, "the reload is not seen")
        daemon.check_log()


@pytest.mark.parametrize("value", ["all", "Public", "operator", ""])
def test_another_word_is_refused_with_file_and_line(tmp_path, value):
    conf = tmp_path / "cad.conf"
    conf.write_text(f"[Metrics]\nAccess={value}\n")
    done = cadtest.run(["check-config", "--config", conf, "--state-dir", tmp_path / "state"])
    assert done.returncode == 1 and "cad.conf:2" in done.stderr and "reader" in done.stderr, done.stderr
