"""Other people's verifiers of certificate chains, all asked the same way.

    verdicts = OpenSsl().verify([Case("nas", folder, "server", "nas.lan"), …])
    verdicts["nas"].accepted, verdicts["nas"].text

A case is a folder: root.pem, chain.pem (leaf first), leaf.pem, above.pem (what is between, may be empty).
Each verifier also has the words of its refusals, by kind: a certificate that is refused for another
reason than the one that was meant says nothing.
"""

import collections
import ipaddress
import os
import pathlib
import re
import shutil
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent
RUN_S = 60

Case = collections.namedtuple("Case", "label folder purpose name")
Verdict = collections.namedtuple("Verdict", "accepted text")

# Extended key usages (RFC 5280 §4.2.1.12).
OIDS = {"server": "1.3.6.1.5.5.7.3.1", "client": "1.3.6.1.5.5.7.3.2", "email": "1.3.6.1.5.5.7.3.4"}


def kind_of(name):
    """"ip", "email" or "dns"."""
    try:
        ipaddress.ip_address(name)
        return "ip"
    except ValueError:
        return "email" if "@" in name else "dns"


def run(*command, **more):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          timeout=RUN_S, stdin=subprocess.DEVNULL if "input" not in more else None,
                          env={**os.environ, "LC_ALL": "C"}, **more)
    return done.returncode, f"{done.stdout}\n{done.stderr}"


class Verifier:
    """@program: what must be there; @checks_names: whether it compares the name; @refusals: what it
    says, by kind of refusal (regular expressions)."""

    program, checks_names, refusals = None, True, {}

    def is_there(self):
        return shutil.which(self.program) is not None

    def require(self):
        """Skip where the program is missing."""
        if not self.is_there():
            pytest.skip(f"{self.program} is not installed")

    def verify(self, cases):
        """{label: Verdict}"""
        return {case.label: self.one(case) for case in cases}

    def says(self, verdict, kind):
        return re.search(self.refusals[kind], verdict.text, re.IGNORECASE | re.DOTALL)


class OpenSsl(Verifier):
    program = "openssl"
    refusals = {"name": "mismatch", "purpose": "unsuitable certificate purpose|unsupported certificate purpose",
                "issuer": "unable to get (local )?issuer certificate|unable to verify|signature failure",
                "constraint": "permitted subtree violation|excluded subtree violation",
                "length": "path length constraint exceeded"}

    def one(self, case):
        purpose = {"server": "sslserver", "client": "sslclient", "email": "smimesign"}[case.purpose]
        words = ["openssl", "verify", "-x509_strict", "-no-CApath", "-no-CAstore",
                 "-CAfile", case.folder / "root.pem", "-purpose", purpose]
        if (case.folder / "above.pem").stat().st_size:
            words += ["-untrusted", case.folder / "above.pem"]
        if case.name:
            option = {"ip": "-verify_ip", "email": "-verify_email", "dns": "-verify_hostname"}
            words += [option[kind_of(case.name)], case.name]
        code, text = run(*words, case.folder / "leaf.pem")
        return Verdict(code == 0, text)


class GnuTls(Verifier):
    program = "certtool"
    refusals = {"name": "name in the certificate does not match|not trusted.*unexpected|does not match",
                "purpose": "purpose", "issuer": "issuer is unknown|issuer.*not.*found|signature.*invalid|not trusted",
                "constraint": "violates the signer's constraints", "length": "constraints"}

    def one(self, case):
        words = ["certtool", "--verify", "--load-ca-certificate", case.folder / "root.pem",
                 "--infile", case.folder / "chain.pem", "--verify-purpose", OIDS[case.purpose]]
        if case.name:
            words += ["--verify-email" if kind_of(case.name) == "email" else "--verify-hostname",
                      case.name]
        code, text = run(*words)
        return Verdict(code == 0, text)


class Nss(Verifier):
    """certutil -V: a database of its own for each chain. It does not compare names."""

    program, checks_names = "certutil", False
    refusals = {"purpose": "Certificate type not approved for application|inadequate",
                "issuer": "issuer.*(unknown|not recognized|not trusted)|Peer's certificate issuer|signature",
                "constraint": "not permitted to issue a certificate with this name", "length": "path length"}

    def database(self, case):
        folder = case.folder / "nss"
        folder.mkdir()
        where = ["-d", f"sql:{folder}"]
        run("certutil", "-N", *where, "--empty-password")
        run("certutil", "-A", *where, "-n", "root", "-t", "CT,CT,CT", "-i", case.folder / "root.pem")
        above = (case.folder / "above.pem").read_text()
        for number, text in enumerate(re.findall("-----BEGIN.*?-----END[^\n]*\n", above, re.DOTALL)):
            path = folder / f"above-{number}.pem"
            path.write_text(text)
            run("certutil", "-A", *where, "-n", f"above-{number}", "-t", ",,", "-i", path)
        run("certutil", "-A", *where, "-n", "leaf", "-t", ",,", "-i", case.folder / "leaf.pem")
        return where

    def one(self, case):
        usage = {"server": "V", "client": "C", "email": "S"}[case.purpose]
        code, text = run("certutil", "-V", *self.database(case), "-n", "leaf", "-u", usage, "-e", "-l")
        return Verdict(code == 0 and "certificate is valid" in text, text)


class Batch(Verifier):
    """A program of ours around a library: a line in and a line out for each case."""

    def lines(self, cases):
        return "".join("\t".join([case.label, str(case.folder), case.purpose, case.name or ""]) + "\n"
                       for case in cases)

    def verify(self, cases):
        code, text = run(*self.command(), input=self.lines(cases))
        found = {}
        for line in text.splitlines():
            label, _, rest = line.partition("\t")
            verdict, _, why = rest.partition("\t")
            if verdict in ("accepted", "refused"):
                found[label] = Verdict(verdict == "accepted", why)
        missing = [case.label for case in cases if case.label not in found]
        assert code == 0 and not missing, f"{self.command()} ended with {code}: {text[-3000:]}"
        return found


class Java(Batch):
    """The trust manager that HttpsURLConnection uses, and its comparison of names."""

    program = "java"
    refusals = {"name": "No subject alternative|doesn't match|No name matching",
                "purpose": "extended key usage|ExtendedKeyUsage|keyUsage",
                "issuer": "unable to find valid certification path|signature",
                "constraint": "name constraints|outside the permitted", "length": "pathLen|path length"}

    def command(self):
        return ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "--add-exports",
                "java.base/sun.security.util=ALL-UNNAMED", HERE / "Verify.java"]


class Go(Batch):
    """crypto/x509. Without network: the program needs nothing but the standard library."""

    program = "go"
    refusals = {"name": "certificate is (not )?valid for|doesn't contain|not valid for any names|cannot validate",
                "purpose": "incompatible key usage", "issuer": "unknown authority|verification error",
                "constraint": "not permitted by any constraint|name constraint", "length": "too many intermediates"}

    def command(self):
        return ["go", "run", HERE / "verify.go"]

    def verify(self, cases):
        os.environ.setdefault("GOFLAGS", "-mod=mod")
        os.environ.setdefault("GOPROXY", "off")
        return super().verify(cases)


VERIFIERS = {"openssl": OpenSsl(), "gnutls": GnuTls(), "nss": Nss(), "java": Java(), "go": Go()}
