"""A place to deploy to, and certificates to deploy: for tests of `cactl deploy`, here and with real servers (tests/interop)."""

import contextlib
import json
import os
import pathlib
import shutil
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

import test_cactl
from test_cactl import DONE, REFUSED, USAGE, pem      # noqa: F401

PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER


@contextlib.contextmanager
def open_folder():
    """A folder that other users get into: pytest closes its own to them, each time that one starts."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="cad-deploy-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Credential:
    """A key and what a Ca (test_cactl) has signed for it."""

    def __init__(self, ca, *names, days=90, key=None):
        self.ca, self.names = ca, names
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.cert = ca.sign(self.key.public_key(), x509.Name([]), map(x509.DNSName, names), days)

    def key_bytes(self, encoding=PEM, password=None):
        how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        return self.key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, how)

    def is_key(self, path):
        """Whether it is the same key, maybe with parameters that need not be there."""
        found = serialization.load_pem_private_key(path.read_bytes(), None)
        return found.private_numbers() == self.key.private_numbers()

    @property
    def parts(self):
        """What cactl has to make of it, by its options."""
        leaf, chain, key = pem(self.cert), pem(self.ca.intermediate), self.key_bytes().decode()
        return {"cert": leaf, "chain": chain, "fullchain": leaf + chain, "key": key,
                "combined": leaf + chain + key, "root": pem(self.ca.root)}

    def store(self, folder):
        """As `cactl enroll` keeps it."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("cert", "chain", "fullchain", "key", "root"):
            (folder / f"{name}.pem").write_text(self.parts[name])
        (folder / "key.pem").chmod(0o600)
        return folder


class Place:
    """Folders of cactl's own, and of a service."""

    def __init__(self, base):
        self.base, self.conf, self.state, self.out = base, base / "conf", base / "state", base / "out"
        self.out.mkdir(parents=True, exist_ok=True)
        self.env = {"CACTL_CONFIG_DIR": str(self.conf), "CACTL_STATE_DIR": str(self.state)}

    def cactl(self, *args, expect=DONE, **more):
        """`cactl deploy` with these words; AssertionError for another exit code."""
        more.setdefault("cwd", self.base)
        done = test_cactl.cactl("deploy", *args, env=self.env, **more)
        assert done.returncode == expect, f"{args}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def install(self, *args, **more):
        return self.cactl("install", *args, **more)

    def refused(self, *args, **more):
        """What it says."""
        return self.install(*args, expect=REFUSED, **more).stderr

    def to(self, *parts):
        """--to-PART options, each to a file of that name."""
        return [word for part in parts for word in (f"--to-{part}", self.out / part)]

    def holds(self, credential, *parts):
        return all((self.out / part).read_text() == credential.parts[part] or
                   part == "key" and credential.is_key(self.out / part) for part in parts)

    def seen(self):
        """What is in the service's folder, to the inode."""
        return {path.name: (os.lstat(path).st_ino, os.lstat(path).st_mtime_ns, os.lstat(path).st_mode,
                            path.read_bytes() if path.is_file() else None)
                for path in pathlib.Path(self.out).iterdir()}

    def backups(self, target="web"):
        return json.loads(self.cactl("backups", target, "--json").stdout)

    def state_of(self, target="web"):
        return next(row for row in json.loads(self.cactl("list", "--json").stdout) if row["target"] == target)
