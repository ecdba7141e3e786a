"""What cad costs as a service for a LAN: HTTPS, revoking, CRLs. bench.py runs it.

Each pair that makes a ratio is measured in turn in the same round.
"""

import contextlib
import json
import os
import re
import subprocess
import threading
import time
from pathlib import Path

from servers import ADMIN_NAME, Cad, Failure, Static, run, say

# key, what the line says, unit, target as (comparison, bound) on the median or None
LINES = [
    ("https_ratio", "kept-alive HTTPS, client certificate: processor time of an issuance / raw",
     "×", ("<=", 1.9)),
    ("new_ratio", "a new HTTPS connection each: GETs a second / bare handshakes a second", "×",
     (">=", 0.6)),
    ("enrol_ratio",
     "1 000 devices enrol by token, a new HTTPS connection each: a second / bare handshakes a second",
     "×", (">=", 0.5)),
    ("est_ratio", "… the same through EST", "×", (">=", 0.5)),
    ("revoke_ratio", "revoking: processor time with 1 000 000 revoked / with 10", "×",
     ("<=", 1.1)),
    ("revoke_alone_ratio", "… the same for one caller, while a CRL is made", "×", None),
    ("revoke_wait_ratio",
     "one caller revoking while the CRL is made: p50 with 1 000 000 revoked / with 10", "×", None),
    ("crl_one_ratio", "CRL of 1 entry: downloads a second / libmicrohttpd, equal static body", "×",
     (">=", 0.8)),
    ("crl_many_ratio", "CRL of 100 000 entries: the same", "×", (">=", 0.8)),
    ("crl_sign_s", "CRL of 1 000 000 entries: from the wish to the signed answer", "s",
     ("<", 2.0)),
    ("crl_memory_mib", "… memory of both sides beyond the CRL's own bytes", "MiB", ("<=", 64.0)),
    ("https_cpu_us", "kept-alive HTTPS: processor time of an issuance", "µs", None),
    ("https_per_s", "kept-alive HTTPS: issuances a second", "1/s", None),
    ("https_p50_us", "kept-alive HTTPS: p50", "µs", None),
    ("https_p99_us", "kept-alive HTTPS: p99", "µs", None),
    ("handshakes_per_s", "bare handshakes a second", "1/s", None),
    ("handshakes_cpu_us", "… processor time of cad", "µs", None),
    ("new_per_s", "a new HTTPS connection each: GETs a second", "1/s", None),
    ("new_cpu_us", "… processor time of cad", "µs", None),
    ("enrol_per_s", "enrolling by token, a new HTTPS connection each: a second", "1/s", None),
    ("enrol_cpu_us", "… processor time of cad and cad-signer", "µs", None),
    ("est_per_s", "… through EST: a second", "1/s", None),
    ("est_cpu_us", "… processor time of cad and cad-signer", "µs", None),
    ("revoke_few_cpu_us", "revoking, 10 revoked at first: processor time of cad", "µs", None),
    ("revoke_few_per_s", "… revocations a second, 32 callers", "1/s", None),
    ("revoke_few_alone_cpu_us", "… one caller while the CRL is made: processor time of cad", "µs",
     None),
    ("revoke_few_p50_us", "… p50", "µs", None),
    ("revoke_few_p99_us", "… p99", "µs", None),
    ("revoke_million_cpu_us", "revoking, 1 000 000 revoked: processor time of cad", "µs", None),
    ("revoke_million_per_s", "… revocations a second, 32 callers", "1/s", None),
    ("revoke_million_alone_cpu_us", "… one caller while the CRL is made: processor time of cad", "µs",
     None),
    ("revoke_million_p50_us", "… p50", "µs", None),
    ("revoke_million_p99_us", "… p99", "µs", None),
    ("publish_million_s", "CRL of 1 000 000 entries: made, signed, checked, stored, served", "s",
     None),
    ("crl_one_per_s", "CRL of 1 entry: downloads a second", "1/s", None),
    ("crl_one_cpu_us", "… processor time of cad", "µs", None),
    ("crl_one_static_per_s", "… libmicrohttpd: downloads a second", "1/s", None),
    ("crl_one_static_cpu_us", "… libmicrohttpd: processor time", "µs", None),
    ("crl_one_304_per_s", "… conditional, unchanged (304): answers a second", "1/s", None),
    ("crl_many_per_s", "CRL of 100 000 entries: downloads a second", "1/s", None),
    ("crl_many_mb_per_s", "… the same in bytes", "MB/s", None),
    ("crl_many_cpu_us", "… processor time of cad", "µs", None),
    ("crl_many_static_per_s", "… libmicrohttpd: downloads a second", "1/s", None),
    ("crl_many_static_cpu_us", "… libmicrohttpd: processor time", "µs", None),
]
RATIOS = 11              # of these, at the beginning

LOAD_PROCESSES = 2      # for new connections: the client's part of a handshake costs more than cad's
LARGE_CALLERS = 8
DEVICES = 1000          # that enrol, a token each
REVOCATIONS = 3000      # a round
ALONE_MAX = 4000        # a round, by one caller while a CRL is made
ALONE_MIN = 500
ALONE_S = 0.0005        # guessed, of one revocation by one caller
FEW, MILLION, HUNDRED_THOUSAND = 10, 1000000, 100000
CRL_S = 60              # until a CRL must be there
CRL_PATH = "/crl/int-1.crl"


# ---- processor time of some threads ----

def thread_times(pid):
    """{thread: (name, nanoseconds on a processor)}"""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            found[task.name] = ((task / "comm").read_text().strip(),
                                int((task / "schedstat").read_text().split()[0]))
    return found


def time_between(before, after, without):
    return sum(ns - before.get(thread, (name, 0))[1]
               for thread, (name, ns) in after.items() if name not in without)


# ---- a cad as it is needed ----

def admin_certificate(cad):
    """Key and certificate that cad.conf makes an admin of; made once. Arguments for bench-load"""
    key, csr = cad.directory / "admin.key", cad.directory / "admin.csr"
    chain, root = cad.directory / "admin.pem", cad.directory / "root.pem"
    if not chain.exists():
        run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-subj", "/", "-addext", f"subjectAltName=email:{ADMIN_NAME}",
             "-keyout", key, "-out", csr], stdin=subprocess.DEVNULL)
        answer = cad.post("/v1/certificates", {"csr": csr.read_text(), "profile": "admin"}, 201)
        chain.write_text(answer["certificate"] + answer["chain"])
        root.write_bytes(cad.get("/v1/ca/root.pem")[1])
    return ["--cert", chain, "--key", key]


def tls_target(cad):
    admin_certificate(cad)
    return ["--tls", cad.endpoint("https"), "--root", cad.directory / "root.pem"]


def published(cad):
    """Entries of the active issuer's CRL, or None."""
    crls = json.loads(cad.get("/v1/crls")[1])["crls"]
    return next((crl.get("entries") for crl in crls if crl["issuer"] == "int-1"), None)


def wait_published(cad, entries):
    deadline = time.monotonic() + CRL_S
    while published(cad) != entries:
        if time.monotonic() > deadline:
            raise Failure(f"{cad.name}: no CRL of {entries} entries within {CRL_S} s, "
                          f"but one of {published(cad)}")
        time.sleep(0.05)


def publish(cad):
    """Seconds until the CRLs were made."""
    began = time.monotonic()
    cad.post("/v1/crls", None, 200, timeout_s=CRL_S)
    return time.monotonic() - began


class Service:
    def __init__(self, bench):
        self.bench, self.options = bench, bench.options
        self.revoking, self.downloads = {}, {}

    def add(self, key, value):
        self.bench.add(key, value)

    def program(self, name):
        return self.options.build_dir / "tests" / "bench" / name

    def cad(self, name, revoked=0):
        """A cad that runs, with so many revoked."""
        cad = Cad(self.bench.directory, self.options, name)
        self.bench.stack.callback(cad.stop)
        cad.start()
        if revoked:
            ca_id = json.loads(cad.get("/v1/ca")[1])["fingerprint"]
            cad.stop()
            run([self.program("bench-fill"), cad.state, ca_id, revoked], timeout_s=300)
            cad.start()
            wait_published(cad, revoked)
        return cad

    # ---- HTTPS ----

    def https_round(self, cad):
        answer = self.bench.load(cad, self.options.connections, *admin_certificate(cad),
                                 *self.bench.timed(), target=tls_target(cad))
        self.add("https_per_s", answer["per_s"])
        self.add("https_cpu_us", sum(p["cpu_us_per_request"] for p in answer["processes"]))
        self.add("https_p50_us", answer["p50_us"])
        self.add("https_p99_us", answer["p99_us"])
        for key, what in (("handshakes", ["--handshakes"]),
                          ("new", ["--get", "/v1/ca/root.pem", "--new-connections"])):
            answers = self.bench.loads(cad, LOAD_PROCESSES, self.options.connections, *what,
                                       *self.bench.timed(), target=tls_target(cad))
            done = sum(answer["requests"] for answer in answers)
            used_us = sum(p["cpu_us"] for answer in answers for p in answer["processes"])
            self.add(f"{key}_per_s", sum(answer["per_s"] for answer in answers))
            self.add(f"{key}_cpu_us", used_us / len(answers) / done)
        for key, api in (("enrol", "cad"), ("est", "est")):
            self.enrol(cad, key, api)

    def devices(self, cad):
        """Arguments for each bench-load: some CSRs of the pool, and a token for each of them, good once."""
        blocks = re.findall(r"-----BEGIN.*?-----END [^-]+-----\n", self.bench.pool.read_text(), re.DOTALL)[:DEVICES]
        share = -(-len(blocks) // LOAD_PROCESSES)
        for part in range(LOAD_PROCESSES):
            csrs, tokens = cad.directory / f"csrs-{part}.pem", cad.directory / f"tokens-{part}"
            mine = blocks[part * share:(part + 1) * share]
            csrs.write_text("".join(mine))
            numbers = range(part * share + 1, part * share + len(mine) + 1)     # csrs.c counts from 1
            wishes = ({"names": [f"h{n:06}.lan", f"h{n:06}.home.arpa", f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"]} for n in numbers)
            tokens.write_text("".join(cad.post("/v1/tokens", wish, 201)["token"] + "\n" for wish in wishes))
            yield ["--csrs", csrs, "--bearers", tokens, "--count", len(mine)]

    def enrol(self, cad, key, api):
        each = list(self.devices(cad))
        callers = max(self.options.connections // LOAD_PROCESSES, 1)
        running = [subprocess.Popen(self.bench.command(cad, callers, [*map(str, what), "--api", api, "--new-connections"], tls_target(cad), None),
                                    stdout=subprocess.PIPE, text=True) for what in each]
        texts = [program.communicate(timeout=120)[0] for program in running]
        if any(program.returncode for program in running):
            raise Failure("bench-load failed")
        answers = [self.bench.note(cad, text) for text in texts]
        done = sum(answer["requests"] for answer in answers)
        self.add(f"{key}_per_s", sum(answer["per_s"] for answer in answers))
        self.add(f"{key}_cpu_us", max(sum(p["cpu_us"] for p in answer["processes"]) for answer in answers) / done)

    # ---- revoking ----

    def revoke_begin(self):
        for name, size in (("few", FEW), ("million", MILLION)):
            say(f"a cad with {size} revoked certificates")
            cad = self.cad(name, size)
            took_s = publish(cad)
            alone = min(max(int(took_s / ALONE_S), ALONE_MIN), ALONE_MAX)
            serials = cad.directory / "serials"
            self.bench.load(cad, self.options.connections, "--serials", serials, "--count",
                            self.options.rounds * (REVOCATIONS + alone), timeout_s=600)
            self.revoking[name] = (cad, alone, serials.read_text().split())
        self.add("publish_million_s", took_s)

    def take_serials(self, name, count):
        cad, _, serials = self.revoking[name]
        path = cad.directory / "now"
        path.write_text("".join(f"{serial}\n" for serial in serials[:count]))
        del serials[:count]
        return ["--revoke", path]

    def revoke_round(self):
        for name, (cad, alone, _) in self.revoking.items():
            self.revoke_many(name, cad)
            self.revoke_alone(name, cad, alone)

    def revoke(self, cad, callers, what):
        """What the CRL's own thread does is not part of a revocation. Its answer, processor time in µs"""
        before = thread_times(cad.process.pid)
        answer = self.bench.load(cad, callers, *what, kind=None)
        used_ns = time_between(before, thread_times(cad.process.pid), {"publisher"})
        return answer, used_ns / 1000 / answer["requests"]

    def revoke_many(self, name, cad):
        answer, cpu_us = self.revoke(cad, self.options.connections,
                                     self.take_serials(name, REVOCATIONS))
        self.add(f"revoke_{name}_cpu_us", cpu_us)
        self.add(f"revoke_{name}_per_s", answer["per_s"])

    def revoke_alone(self, name, cad, count):
        what = self.take_serials(name, count)
        making = threading.Thread(target=publish, args=(cad,))
        making.start()
        answer, cpu_us = self.revoke(cad, 1, what)
        making.join()
        self.add(f"revoke_{name}_alone_cpu_us", cpu_us)
        self.add(f"revoke_{name}_p50_us", answer["p50_us"])
        self.add(f"revoke_{name}_p99_us", answer["p99_us"])

    # ---- downloads ----

    def crl_begin(self):
        threads = min(len(os.sched_getaffinity(0)), 4)
        for name, entries, callers in (("one", 1, self.options.connections),
                                       ("many", HUNDRED_THOUSAND, LARGE_CALLERS)):
            cad = self.cad(f"crl-{name}", entries)
            status, head, body = cad.ask("GET", CRL_PATH, port="http")
            if status != 200:
                raise Failure(f"{cad.name}: GET {CRL_PATH} answered {status}")
            path = cad.directory / "static.crl"
            path.write_bytes(body)
            run(["openssl", "crl", "-inform", "DER", "-in", path, "-noout"])
            static = Static(cad.directory, f"static-{name}", self.program("bench-serve"), path,
                            threads)
            self.bench.stack.callback(static.stop)
            static.start()
            etag = re.search(r"(?mi)^ETag: (.*?)\r?$", head).group(1)
            self.downloads[name] = (cad, static, callers, etag)

    def download(self, key, server, callers, target, *more):
        answer = self.bench.load(server, callers, "--get", CRL_PATH, *more, *self.bench.timed(),
                                 target=target, kind=None)
        self.add(f"{key}_per_s", answer["per_s"])
        self.add(f"{key}_mb_per_s", answer["mb_per_s"])
        self.add(f"{key}_cpu_us", sum(p["cpu_us_per_request"] for p in answer["processes"]))

    def crl_round(self):
        for name, (cad, static, callers, etag) in self.downloads.items():
            plain = ["--tcp", cad.endpoint("http")]
            self.download(f"crl_{name}", cad, callers, plain)
            self.download(f"crl_{name}_static", static, callers, static.target())
            if name == "one":
                self.download("crl_one_304", cad, callers, plain, "--etag", etag)

    # ---- a large CRL by itself ----

    def crl_sign(self):
        say("CRLs of 1 000 000 entries by cad-signer alone")
        text = run([self.program("bench-crl"), "--signer",
                    self.options.build_dir / "daemon" / "cad-signer", "--entries", MILLION,
                    "--rounds", "3"], timeout_s=300)
        self.add("crl_sign_s", float(re.search(r"signed +([0-9.]+) s", text).group(1)))
        self.add("crl_memory_mib",
                 int(re.search(r"(-?\d+) KiB beyond", text).group(1)) / 1024)

    # ---- in bench.py's order ----

    def begin(self, parts):
        if "revoke" in parts:
            self.revoke_begin()
        if "crl" in parts:
            self.crl_begin()
            self.crl_sign()

    def one_round(self, parts):
        if "revoke" in parts:
            self.revoke_round()
        if "crl" in parts:
            self.crl_round()


def ratios(each):
    each("https_ratio", "https_cpu_us", "raw_cpu_us")
    each("new_ratio", "new_per_s", "handshakes_per_s")
    each("enrol_ratio", "enrol_per_s", "handshakes_per_s")
    each("est_ratio", "est_per_s", "handshakes_per_s")
    each("revoke_ratio", "revoke_million_cpu_us", "revoke_few_cpu_us")
    each("revoke_alone_ratio", "revoke_million_alone_cpu_us", "revoke_few_alone_cpu_us")
    each("revoke_wait_ratio", "revoke_million_p50_us", "revoke_few_p50_us")
    for name in ("one", "many"):
        each(f"crl_{name}_ratio", f"crl_{name}_per_s", f"crl_{name}_static_per_s")
