#!/usr/bin/python3
"""kill -9 at every system call of `cad-signer init`, before the call and after it.

    tests/torture/init_kill.py [--every N] [--seconds S] [--from K]

Whatever moment it was: the next start makes the CA afresh or finds it whole, its certificates verify,
what was printed stays true, and there is never a second CA over a first. The same for `init --again`
over a CA that has issued nothing: the old one or the new one is there, whole, and the old one's keys
are not lost. CAD_TORTURE=full makes the form in the suite look at every moment too.
"""

import argparse
import ctypes
import hashlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

import cadtest  # noqa: E402
import signertest  # noqa: E402
from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives.serialization import Encoding  # noqa: E402

PTRACE_TRACEME, PTRACE_SYSCALL, PTRACE_SETOPTIONS = 0, 24, 0x4200
TRACESYSGOOD, EXITKILL = 1, 0x100000
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request, pid, data=0):
    if libc.ptrace(request, pid, None, data) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request}")


def run_until(stop, args, output):
    """Run @args and kill it at its @stop-th entry to or exit from a system call.
    Return: True where it was killed, False where it ended by itself before."""
    pid = os.fork()
    if pid == 0:
        try:
            ptrace(PTRACE_TRACEME, 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.execve(args[0], args, cadtest.environment())
        finally:
            os._exit(127)
    os.waitpid(pid, 0)
    ptrace(PTRACE_SETOPTIONS, pid, TRACESYSGOOD | EXITKILL)
    seen, deliver = 0, 0
    while True:
        ptrace(PTRACE_SYSCALL, pid, deliver)
        _, status = os.waitpid(pid, 0)
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            assert os.WIFEXITED(status), f"ended by signal {os.WTERMSIG(status)}"
            return False
        number = os.WSTOPSIG(status)
        deliver = 0 if number in (signal.SIGTRAP | 0x80, signal.SIGTRAP) else number
        seen += number == signal.SIGTRAP | 0x80
        if seen == stop:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return True


def fingerprint(folder):
    """Of the root in a CA folder; None where there is no such folder."""
    if not folder.exists():
        return None
    root = x509.load_pem_x509_certificate((folder / "root.crt").read_bytes())
    return hashlib.sha256(root.public_bytes(Encoding.DER)).hexdigest()


def verify(base, root, intermediate, leaf):
    files = {}
    for name, one in (("root", root), ("int", intermediate), ("leaf", leaf)):
        files[name] = base / f"{name}.pem"
        files[name].write_bytes(one.public_bytes(Encoding.PEM))
    done = subprocess.run(["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", files["root"],
                           "-untrusted", files["int"], files["leaf"]], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stdout + done.stderr


class Place:
    """A state and a configuration folder, and what was said about them so far."""

    def __init__(self, template=None):
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="cad-kill-"))
        if template:
            shutil.copytree(template, self.base, dirs_exist_ok=True, symlinks=True)
        self.state, self.config = self.base / "state", self.base / "config"
        self.config.mkdir(exist_ok=True)

    def args(self, *more):
        return [str(signertest.SIGNER), "init", "--state-dir", str(self.state), "--config-dir", str(self.config), *more]

    def init(self, *more):
        return subprocess.run(self.args(*more), capture_output=True, text=True, timeout=30, env=cadtest.environment())

    def killed_at(self, stop, *more):
        """Return: (killed, the fingerprint that it had printed or None)."""
        with open(self.base / "said", "w+b") as said:
            killed = run_until(stop, self.args(*more), said.fileno())
        printed = re.search(r"SHA-256\s+([0-9a-f]{64})", (self.base / "said").read_text())
        assert killed or printed, (self.base / "said").read_text()
        return killed, printed and printed[1]

    def serves(self):
        """Start the signer as cad does, on what is there. Return: the CA's fingerprint."""
        signer = signertest.Signer(state=self.state, init=None)
        try:
            shutil.rmtree(signer.config)
            signer.config = self.config
            signer.start()
            ca, leaf = signer.ca_id(), x509.load_der_x509_certificate(signer.issue().expect("certificate").leaf)
            issuers = signer.issuers()
            assert sorted(issuers) == ["int-1", "int-2"], issuers
            verify(self.base, signer.root(), issuers["int-1"][1], leaf)
            assert (self.config / "ca-id").read_text().strip() == ca
            assert fingerprint(self.state / "ca") == ca and not (self.state / "ca.new").exists()
            return ca
        finally:
            signer.__exit__()

    def remove(self):
        shutil.rmtree(self.base, ignore_errors=True)


def first_init(stop):
    """Return: whether it was killed (else there is no later moment)."""
    place = Place()
    try:
        killed, printed = place.killed_at(stop)
        there = fingerprint(place.state / "ca")
        assert printed in (None, there), "what was printed is not what is there"
        if stop % 4 < 2:       # the next start is an init …
            again = place.init()
            if there:
                assert again.returncode == 1 and "a CA here already" in again.stderr, again.stderr
            else:
                assert again.returncode == 0, again.stderr
            after = fingerprint(place.state / "ca")
            assert after and there in (None, after), "a second CA was made over a first"
            there = after
        ca = place.serves()     # … or cad itself, which makes a CA where there is none
        assert there in (None, ca), "a second CA was made over a first"
        return killed
    finally:
        place.remove()


def second_init(stop, template, old):
    place = Place(template)
    try:
        killed, printed = place.killed_at(stop, "--again")
        there = fingerprint(place.state / "ca")
        assert there, "there is a moment without a CA"
        assert printed in (None, there) and (there == old or killed or printed)
        if stop % 4 < 2:
            again = place.init("--again")
            assert again.returncode == 0, again.stderr
            before, there = there, fingerprint(place.state / "ca")
            aside = place.state / f"ca.replaced-{before[:16]}"
            assert there not in (before, old) and fingerprint(aside) == before
            assert (aside / "root.key").exists() and (aside / "int-2.key").exists()
        assert place.serves() == there, "the CA changed by itself"
        if there != old:
            assert (place.state / f"ca.replaced-{old[:16]}" / "root.key").exists(), "the old CA's keys are lost"
        return killed
    finally:
        place.remove()


def torture(every=1, seconds=None, begin=1, say=lambda text: None):
    """Both, at every @every-th moment, for at most so many @seconds each. Return: how many moments were tried."""
    tried = 0
    template = Place()
    try:
        made = template.init()
        assert made.returncode == 0, made.stderr
        old = fingerprint(template.state / "ca")
        for what, once in (("init", first_init), ("init --again", lambda stop: second_init(stop, template.base, old))):
            until = time.monotonic() + seconds if seconds else None
            stop = begin
            while True:
                try:
                    killed = once(stop)
                except AssertionError as error:
                    raise AssertionError(f"{what} killed at moment {stop}: {error}") from error
                tried += 1
                if not killed:
                    say(f"{what}: ended by itself before moment {stop}")
                    break
                stop += every
                if until and time.monotonic() > until:
                    say(f"{what}: time is up at moment {stop}")
                    break
    finally:
        template.remove()
    return tried


def moments(*more):
    """How many moments an undisturbed init has."""
    place = Place()
    try:
        low, high = 1, 1 << 14
        while low < high:       # the first that it does not live to see
            middle = (low + high) // 2
            shutil.rmtree(place.state, ignore_errors=True)
            shutil.rmtree(place.config, ignore_errors=True)
            place.config.mkdir()
            if place.killed_at(middle, *more)[0]:
                low = middle + 1
            else:
                high = middle
        return low
    finally:
        place.remove()


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--every", type=int, default=1)
    options.add_argument("--seconds", type=float)
    options.add_argument("--from", type=int, default=1, dest="begin")
    chosen = options.parse_args()
    print(f"{torture(chosen.every, chosen.seconds, chosen.begin, print)} moments, every one survived")


if __name__ == "__main__":
    main()
