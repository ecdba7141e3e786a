#!/usr/bin/python3
"""Measures cad beside what it is made of and beside cfssl, in turn, in one run.

All figures that count are ratios of things measured in the same round: a busy machine slows both
sides. Nothing is left behind: the temporary directory goes, and every process that was started is
stopped by its id.
"""

import argparse
import base64
import contextlib
import json
import operator
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import service
from servers import MB, Cad, Cfssl, Failure, process_name, resident_kb, run, say

PARTS = ("issue", "https", "revoke", "crl")
COLD_STARTS = 10
IDLE_S = 2

# key, what the line says, unit, target as (comparison, bound) on the median or None
LINES = [
    ("cpu_ratio", "cad + cad-signer: processor time of an issuance / raw", "×", ("<=", 1.6)),
    ("cfssl_ratio", "cad, durable: issuances a second / cfssl without database", "×", (">", 1.0)),
    ("cfssl_sqlite_ratio", "cad, durable: issuances a second / cfssl with SQLite", "×",
     (">=", 6.0)),
    ("cfssl_wal_ratio", "cad, durable: issuances a second / cfssl with SQLite in WAL, not durable",
     "×", None),
    ("one_ratio", "one caller alone: p50 / check + sign + durable insert in one thread", "×",
     ("<=", 1.1)),
    ("rss_idle_mb", "resident, both processes, idle", "MB", ("<", 16.0)),
    ("rss_load_mb", "resident, both processes, most under load", "MB", ("<", 32.0)),
    ("cold_start_ms", "cold start to the first answer, existing CA", "ms", ("<", 50.0)),
    ("raw_cpu_us", "raw: CSR import, check, one signature", "µs", None),
    ("cad_cpu_us", "cad + cad-signer: processor time of an issuance", "µs", None),
    ("cad_front_cpu_us", "… of it cad", "µs", None),
    ("cad_signer_cpu_us", "… of it cad-signer", "µs", None),
    ("cad_per_s", "cad: issuances a second", "1/s", None),
    ("cad_p50_us", "cad: p50", "µs", None),
    ("cad_p99_us", "cad: p99", "µs", None),
    ("cfssl_cpu_us", "cfssl without database: processor time of an issuance", "µs", None),
    ("cfssl_per_s", "cfssl without database: issuances a second", "1/s", None),
    ("cfssl_p50_us", "cfssl without database: p50", "µs", None),
    ("cfssl_p99_us", "cfssl without database: p99", "µs", None),
    ("cfssl_rss_mb", "cfssl without database: resident, most under load", "MB", None),
    ("cfssl_sqlite_cpu_us", "cfssl with SQLite: processor time of an issuance", "µs", None),
    ("cfssl_sqlite_per_s", "cfssl with SQLite: issuances a second", "1/s", None),
    ("cfssl_sqlite_p99_us", "cfssl with SQLite: p99", "µs", None),
    ("cfssl_sqlite_rss_mb", "cfssl with SQLite: resident, most under load", "MB", None),
    ("cfssl_wal_per_s", "cfssl with SQLite in WAL, not durable: issuances a second", "1/s", None),
    ("one_p50_us", "one caller alone: p50", "µs", None),
    ("one_floor_p50_us", "check + sign + durable insert in one thread: p50", "µs", None),
    ("rss_after_mb", "resident, both processes, idle after the load", "MB", None),
    ("insert_p50_us", "SQLite, one durable insert (WAL, FULL): p50", "µs", None),
    ("append_p50_us", "write of 4 KiB at the end + fdatasync: p50", "µs", None),
    ("overwrite_p50_us", "write of 4 KiB in place + fdatasync: p50", "µs", None),
]
LINES[8:8] = service.LINES[:service.RATIOS]     # what has a target comes first
LINES += service.LINES[service.RATIOS:]


# ---- one answer of each round is looked at ----

def check_answer(server, path, pool_der):
    body = path.read_text()
    leaf = server.directory / "answer.pem"
    leaf.write_text(server.leaf(body))
    text = run(["openssl", "x509", "-in", leaf, "-noout", "-text"])
    for needed in ("Signature Algorithm: ecdsa-with-SHA256", "ASN1 OID: prime256v1", ".lan",
                   ".home.arpa", "IP Address:10."):
        if needed not in text:
            raise Failure(f"{server.name}: the certificate of an answer has no '{needed}':\n{text}")
    key = pem_decode(run(["openssl", "x509", "-in", leaf, "-noout", "-pubkey"]))[0]
    if not any(key in csr for csr in pool_der):
        raise Failure(f"{server.name}: the certificate of an answer is for a key that is in no CSR")
    root, chain = server.trust(body)
    files = {"root": root, "chain": chain}
    for name, content in files.items():
        (server.directory / f"answer-{name}.pem").write_text(content)
    untrusted = ["-untrusted", server.directory / "answer-chain.pem"] if chain else []
    run(["openssl", "verify", "-CAfile", server.directory / "answer-root.pem", *untrusted, leaf])
    serial = run(["openssl", "x509", "-in", leaf, "-noout", "-serial"]).strip().partition("=")[2]
    server.check_stored(serial.lower())


def pem_decode(text):
    return [base64.b64decode(block)
            for block in re.findall(r"-----BEGIN [^-]+-----([^-]+)-----END", text)]


# ---- measuring ----

class Bench:
    def __init__(self, options, directory, stack):
        self.options, self.directory, self.stack = options, Path(directory), stack
        self.parts = options.parts
        self.service = service.Service(self)
        self.load_program = options.build_dir / "tests" / "bench" / "bench-load"
        self.raw_program = options.build_dir / "tests" / "bench" / "bench-raw"
        self.values = {}        # key of LINES: one value a round, or one in all
        self.answers = []       # everything that the programs said
        self.errors = []
        self.pool = self.directory / "pool.pem"
        run([self.load_program, "--make-csrs", options.pool, self.pool])
        self.pool_der = pem_decode(self.pool.read_text())

    def add(self, key, value):
        self.values.setdefault(key, []).append(value)

    def raw(self, mode, *arguments):
        command = [self.raw_program, mode, "--seconds", self.options.seconds, *arguments]
        answer = json.loads(run(command, timeout_s=60 + 4 * self.options.seconds))
        self.answers.append(answer)
        return answer

    def command(self, server, connections, arguments, target, saved):
        pids = server.pids()
        command = [self.load_program, *(target or server.target()), "--connections", connections,
                   "--pids", ",".join(map(str, pids)), *arguments]
        return [str(word) for word in command + (["--save", saved] if saved else [])]

    def note(self, server, text):
        """One answer of bench-load, looked at."""
        answer = json.loads(text)
        answer["server"] = server.name
        for process in answer["processes"]:
            process["name"] = process_name(process["pid"])
        self.answers.append(answer)
        if not answer["requests"]:
            raise Failure(f"{server.name} answered no request: {answer['statuses']}")
        if answer["errors"]:
            total = answer["requests"] + answer["errors"]
            self.errors.append(f"{server.name}: {answer['errors']} of {total} requests failed, "
                               f"answers by status: {answer['statuses']}, "
                               f"connections lost: {answer['lost']}")
        return answer

    def load(self, server, connections, *arguments, kind="csrs", target=None, timeout_s=60):
        """One bench-load; @kind "csrs" asks for certificates, and one of them is looked at."""
        saved = server.directory / "answer" if kind == "csrs" else None
        if saved:
            saved.unlink(missing_ok=True)
            arguments = ("--csrs", self.pool, "--api", server.api, *arguments)
        command = self.command(server, connections, arguments, target, saved)
        answer = self.note(server, run(command, timeout_s=timeout_s + self.options.seconds))
        if saved:
            check_answer(server, saved, self.pool_der)
        return answer

    def loads(self, server, processes, connections, *arguments, target=None):
        """Several bench-load at once, for what costs the client as much as the server."""
        command = self.command(server, max(connections // processes, 1), arguments, target, None)
        running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
                   for _ in range(processes)]
        texts = [program.communicate(timeout=60 + self.options.seconds)[0] for program in running]
        if any(program.returncode for program in running):
            raise Failure(f"{' '.join(command)} failed")
        return [self.note(server, text) for text in texts]

    def timed(self):
        return ["--seconds", self.options.seconds, "--warmup", min(0.5, self.options.seconds / 4)]

    def many(self, server, prefix):
        answer = self.load(server, self.options.connections, *self.timed())
        self.add(f"{prefix}_per_s", answer["per_s"])
        self.add(f"{prefix}_cpu_us", sum(p["cpu_us_per_request"] for p in answer["processes"]))
        self.add(f"{prefix}_p50_us", answer["p50_us"])
        self.add(f"{prefix}_p99_us", answer["p99_us"])
        self.add(f"{prefix}_rss_mb", sum(p["hwm_kb"] for p in answer["processes"]) * 1024 / MB)
        return answer

    def cold_starts(self, cad):
        cad.start()             # the first one makes the CA
        root = cad.get("/v1/ca/root.pem")
        cad.stop()
        for _ in range(COLD_STARTS):
            self.add("cold_start_ms", cad.start())
            if cad.get("/v1/ca/root.pem") != root:
                raise Failure("cad has another root after a restart")
            cad.stop()

    def resident(self, cad, key):
        time.sleep(IDLE_S)
        self.add(key, sum(resident_kb(pid) for pid in cad.pids()) * 1024 / MB)

    def preload(self, cad):
        rows = self.options.rows
        if not rows:
            return
        say(f"issuing {rows} certificates first")
        limit_s = max(600, rows // 200)
        self.load(cad, self.options.connections, "--count", rows, "--timeout", limit_s,
                  timeout_s=limit_s + 60)

    def start_cad(self):
        cad = Cad(self.directory, self.options)
        self.stack.callback(cad.stop)
        self.cold_starts(cad)
        cad.start()
        self.resident(cad, "rss_idle_mb")
        self.preload(cad)
        return cad

    def servers(self):
        found = {}
        if not self.options.without_cad and {"issue", "https"} & self.parts:
            found["cad"] = self.start_cad()
        if "issue" not in self.parts:
            return found
        if not self.options.without_cfssl:
            found["cfssl"] = Cfssl(self.directory, "cfssl")
            found["cfssl_sqlite"] = Cfssl(self.directory, "cfssl_sqlite", "DELETE")
        if self.options.cfssl_wal and not self.options.without_cfssl:
            found["cfssl_wal"] = Cfssl(self.directory, "cfssl_wal", "WAL")
        for server in found.values():
            if server.process is None:
                self.stack.callback(server.stop)
                server.start()
        return found

    def issue_round(self, servers):
        for prefix, server in servers.items():
            answer = self.many(server, prefix)
            if prefix == "cad":
                for process in answer["processes"]:
                    part = "signer" if process["name"] == "cad-signer" else "front"
                    self.add(f"cad_{part}_cpu_us", process["cpu_us_per_request"])
        floor = self.raw("one", "--csrs", self.pool, "--dir", self.directory)["p50_us"]
        self.add("one_floor_p50_us", floor)
        if "cad" in servers:
            self.add("one_p50_us", self.load(servers["cad"], 1, *self.timed())["p50_us"])

    def one_round(self, servers):
        if {"issue", "https"} & self.parts:
            self.add("raw_cpu_us", self.raw("raw", "--csrs", self.pool)["cpu_us"])
        if "https" in self.parts and "cad" in servers:
            self.service.https_round(servers["cad"])
        if "issue" in self.parts:
            self.issue_round(servers)
        self.service.one_round(self.parts)

    def ratios(self):
        def each(key, above, below):
            pairs = zip(self.values.get(above, []), self.values.get(below, []))
            for a, b in pairs:
                self.add(key, a / b)
        each("cpu_ratio", "cad_cpu_us", "raw_cpu_us")
        for other in ("cfssl", "cfssl_sqlite", "cfssl_wal"):
            each(f"{other}_ratio", "cad_per_s", f"{other}_per_s")
        each("one_ratio", "one_p50_us", "one_floor_p50_us")
        service.ratios(each)
        if "cad_rss_mb" in self.values:
            self.values["rss_load_mb"] = self.values.pop("cad_rss_mb")

    def measure(self):
        if "issue" in self.parts:
            for key, value in self.raw("fsync", "--dir", self.directory).items():
                if key.endswith("_p50_us"):
                    self.add(key, value)
        servers = self.servers()
        self.service.begin(self.parts)
        for number in range(self.options.rounds):
            say(f"round {number + 1} of {self.options.rounds}")
            self.one_round(servers)
        if "cad" in servers:
            self.resident(servers["cad"], "rss_after_mb")
        self.ratios()


# ---- the report ----

def filesystem(path):
    """(type, device) of the mount that holds path."""
    best = (Path("/"), "unknown", "")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        mount = Path(left.split()[4].replace("\\040", " "))
        if Path(path).resolve().is_relative_to(mount) and len(mount.parts) >= len(best[0].parts):
            best = (mount, *right.split()[:2])
    return best[1], best[2]


def build_options(build_dir):
    try:
        found = json.loads((build_dir / "meson-info" / "intro-buildoptions.json").read_text())
    except (OSError, ValueError):
        return {}
    wanted = ("buildtype", "optimization", "debug", "b_sanitize", "b_ndebug", "b_lto")
    return {option["name"]: option["value"] for option in found if option["name"] in wanted}


def machine(options, directory):
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    versions = {}
    for name in ("golang-cfssl", "libgnutls30", "libsqlite3-0", "libmicrohttpd12"):
        done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", name],
                              capture_output=True, text=True)
        versions[name] = done.stdout if done.returncode == 0 else "absent"
    kind, device = filesystem(directory)
    return {"cpu": cpu.group(1) if cpu else "unknown", "cores": os.cpu_count(),
            "kernel": os.uname().release, "filesystem": kind, "device": device,
            "load_before": os.getloadavg()[0], "versions": versions,
            "build": build_options(options.build_dir), "rounds": options.rounds,
            "seconds": options.seconds, "connections": options.connections,
            "rows_before": options.rows,
            "date": time.strftime("%Y-%m-%d", time.gmtime())}


COMPARISONS = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt}


def verdict(target, median):
    if not target:
        return "", True
    comparison, bound = target
    met = COMPARISONS[comparison](median, bound)
    return f"{comparison} {bound:g} {'met' if met else '**MISSED**'}", met


def number(value):
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def report(values, about):
    """Prints Markdown; returns whether every target was met."""
    print(f"{about['cores']} cores, {about['cpu']}, Linux {about['kernel']}, "
          f"{about['filesystem']} on {about['device']}, {about['date']}; "
          f"{about['rounds']} rounds of {about['seconds']:g} s, "
          f"{about['connections']} callers, load {about['load_before']:.2f} before, "
          f"{about['rows_before']} certificates in the store before.\n"
          f"{', '.join(f'{k} {v}' for k, v in about['versions'].items())}; build: "
          f"{', '.join(f'{k}={v}' for k, v in about['build'].items()) or 'unknown'}\n")
    print("| what | unit | least | median | most | target |")
    print("| --- | --- | ---: | ---: | ---: | --- |")
    all_met = True
    for key, text, unit, target in LINES:
        if key not in values:
            continue
        median = statistics.median(values[key])
        word, met = verdict(target, median)
        all_met &= met
        print(f"| {text} | {unit} | {number(min(values[key]))} | {number(median)} | "
              f"{number(max(values[key]))} | {word} |")
    return all_met


def warn(options, about):
    build = about["build"]
    if about["filesystem"] in ("tmpfs", "ramfs"):
        say(f"warning: '{options.dir}' is on {about['filesystem']}, where nothing is durable; "
            "give --dir on a disk")
    if build.get("b_sanitize", "none") not in ("none", []) or build.get("optimization") == "0":
        say(f"warning: this build is not optimised or has sanitizers ({build}); "
            "set one up with: meson setup --buildtype=release DIR")
    if about["load_before"] > 0.3 * about["cores"]:
        say(f"warning: the machine is busy (load {about['load_before']:.2f}); "
            "look at the ratios only")


# ---- options ----

def parts_of(text):
    parts = set(text.split(","))
    if not parts <= set(PARTS):
        raise argparse.ArgumentTypeError(f"'{text}': known are {', '.join(PARTS)}")
    return parts


def parse_options():
    here = Path(__file__).resolve()
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--build-dir", type=Path, default=here.parents[2] / "build")
    add("--dir", default="/var/tmp", help="a directory on a real disk (default /var/tmp)")
    add("--rounds", type=int, default=5)
    add("--seconds", type=float, default=4, help="of each measurement in a round")
    add("--connections", type=int, default=32)
    add("--pool", type=int, default=1000, help="CSRs in the pool")
    add("--rows", type=int, default=0, help="certificates that cad issues before the rounds")
    add("--parts", type=parts_of, default=set(PARTS), metavar="PART,…",
        help=f"of {', '.join(PARTS)} (all)")
    add("--quick", action="store_true", help="one round of one second")
    add("--json", type=Path, metavar="FILE", help="write everything that was measured")
    add("--check", action="store_true", help="end with status 1 when a target is missed")
    add("--keep", action="store_true", help="leave the temporary directory, say where it is")
    add("--without-cad", action="store_true")
    add("--without-cfssl", action="store_true")
    add("--cfssl-wal", action="store_true", help="also cfssl with SQLite in WAL (not durable)")
    add("--cad-api", choices=("cad", "cad-pem"), default="cad", help="JSON, or PEM in and out")
    add("--cad-config", type=Path, metavar="FILE", help="instead of the one made here")
    add("--cad-arg", action="append", default=[], metavar="ARG", help="one more argument for cad")
    options = parser.parse_args()
    options.build_dir = options.build_dir.resolve()
    if options.without_cad:
        options.parts &= {"issue"}
    if "issue" not in options.parts:
        options.without_cfssl = True
    if options.quick:
        options.rounds, options.seconds = 1, 1
    return options


def require(options):
    programs = [f"bench-{name}" for name in ("load", "raw", "fill", "serve", "crl")]
    if (options.build_dir / "build.ninja").exists():
        run(["meson", "compile", "-C", options.build_dir, *programs], timeout_s=600)
    for program, needed, hint in (
            *((f"tests/bench/{name}", True, f"meson compile -C BUILD {name}") for name in programs),
            ("daemon/cad", not options.without_cad, "meson compile -C BUILD, or --without-cad"),
            ("daemon/cad-signer", not options.without_cad, "meson compile -C BUILD")):
        if needed and not (options.build_dir / program).exists():
            raise Failure(f"'{options.build_dir / program}' is missing; do: {hint}")
    for program, needed, hint in (
            ("openssl", True, "openssl"),
            ("cfssl", not options.without_cfssl, "golang-cfssl, or use --without-cfssl"),
            ("sqlite3", not options.without_cfssl, "sqlite3, or use --without-cfssl")):
        if needed and not shutil.which(program):
            raise Failure(f"'{program}' is missing; install {hint}")


def measure(options):
    with contextlib.ExitStack() as stack:
        directory = tempfile.mkdtemp(prefix="cad-bench-", dir=options.dir)
        # cad started as root gives up root, and must still reach its state.
        os.chmod(directory, 0o711)
        if options.keep:
            stack.callback(say, f"left: {directory}")
        else:
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
        about = machine(options, directory)
        warn(options, about)
        bench = Bench(options, directory, stack)
        bench.measure()
    met = report(bench.values, about)
    for error in bench.errors:
        print(f"\nerrors: {error}")
    if options.json:
        everything = {"about": about, "values": bench.values, "errors": bench.errors,
                      "answers": bench.answers}
        options.json.write_text(json.dumps(everything, indent=1) + "\n")
    if any(error.startswith("cad:") for error in bench.errors):
        raise Failure("cad must answer every request of a benchmark")
    return met


def main():
    options = parse_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        require(options)
        met = measure(options)
    except (Failure, OSError, subprocess.TimeoutExpired) as failure:
        sys.exit(f"bench.py: {failure}")
    return 1 if options.check and not met else 0


if __name__ == "__main__":
    sys.exit(main())
