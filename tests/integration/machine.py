"""A machine of its own for tests of what changes machines: a root folder with this one's programs and nothing else of it.

    with machine.Machine(folder) as there:
        there.run("update-ca-certificates")       # in it, by chroot, as root
        there.run("id", uid=12345)
        there.path("/etc/ssl/certs")              # the same from outside

/usr is mounted read-only, in a mount namespace that ends with it; /etc, /var, the homes and /usr/local are its own. It wants root.
"""

import os
import pathlib
import select
import shutil
import subprocess

import pytest

import cadtest

ANNA, BOB = 12345, 12346
PASSWD = f"""root:x:0:0:root:/root:/bin/sh
anna:x:{ANNA}:{ANNA}::/home/anna:/bin/sh
bob:x:{BOB}:{BOB}::/home/bob:/bin/sh
daemon:x:1:1::/usr/sbin:/usr/sbin/nologin
"""
OWN = ("etc", "var/lib", "root", "home/anna", "home/bob", "run", "proc", "dev", "usr", "opt/cactl", "tmp", ".local/share",
       ".local/sbin", ".local/bin")
COPIED = ("nsswitch.conf", "ld.so.cache", "ld.so.conf", "hosts", "ssl/openssl.cnf", "host.conf", "localtime")


class Machine:
    """@hidden: programs and folders of this machine's /usr that it has not: "bin/certutil"."""

    def __init__(self, base, hidden=()):
        if os.geteuid() != 0:
            pytest.skip("a machine of its own wants root")
        self.root = pathlib.Path(base) / "machine"
        self.hidden = hidden
        self.holder = None

    def path(self, text):
        return self.root / text.lstrip("/")

    def write(self, path, text, mode=0o644):
        self.path(path).parent.mkdir(parents=True, exist_ok=True)
        self.path(path).write_text(text)
        self.path(path).chmod(mode)

    def program(self, name, text):
        """One in front of all others."""
        self.write(f"/.local/sbin/{name}", "#!/bin/sh\n" + text, 0o755)

    def make(self):
        for name in OWN:
            self.path(name).mkdir(parents=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            self.path(name).symlink_to(f"usr/{name}")
        for name in COPIED:
            if (there := pathlib.Path("/etc") / name).exists():
                self.path(f"etc/{name}").parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(there, self.path(f"etc/{name}"))
        self.write("/etc/passwd", PASSWD)
        self.write("/etc/group", "root:x:0:\n")
        for user, uid in (("anna", ANNA), ("bob", BOB)):
            os.chown(self.path(f"home/{user}"), uid, uid)
        self.path("tmp").chmod(0o1777)

    def mounts(self):
        script = ["set -e", f"cd {self.root}"]
        for source, target, options in (("/usr", "usr", "ro"), (self.path(".local"), "usr/local", "rw"), ("/proc", "proc", "rw"),
                                        ("/dev", "dev", "ro"), (cadtest.BUILD / "client", "opt/cactl", "ro")):
            script += [f"mount --rbind {source} {target}", f"mount -o remount,bind,{options} {target} 2>/dev/null || :"]
        for java in pathlib.Path("/etc").glob("java-*"):
            self.path(f"etc/{java.name}").mkdir()
            script.append(f"mount --bind {java} etc/{java.name}")
        self.path("etc/alternatives").mkdir()
        script.append("mount --bind /etc/alternatives etc/alternatives")
        for name in self.hidden:
            nothing = self.path("run") if (pathlib.Path("/usr") / name).is_dir() else "/dev/null"
            script.append(f"mount --bind {nothing} usr/{name}")
        return "\n".join([*script, "echo ready", "exec sleep 900"])

    def __enter__(self):
        self.make()
        self.holder = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", self.mounts()],
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if not select.select([self.holder.stdout], [], [], 20)[0] or (line := self.holder.stdout.readline()) != "ready\n":
            self.__exit__()
            pytest.skip(f"no mount namespace of its own can be had here: {line.strip()}")
        return self

    def __exit__(self, *_):
        if self.holder:
            self.holder.kill()
            self.holder.wait()
            self.holder.stdout.close()

    def run(self, *args, uid=None, env=None, inside=True, **more):
        """Inside by chroot; else only in its mount namespace, as one sees it who builds an image."""
        who = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if uid else []
        home = {ANNA: "/home/anna", BOB: "/home/bob"}.get(uid, "/root")
        done = subprocess.run(["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", *(["chroot", self.root] if inside else []), *who,
                               *map(str, args)],
                              env={**cadtest.environment(), "TMPDIR": "/tmp", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
                                   "HOME": home if inside else "/nowhere", **(env or {})},
                              capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120, **more)
        assert not cadtest.REPORTS.search(done.stderr), done.stderr
        return done

    def cactl(self, *args, **more):
        return self.run("/opt/cactl/cactl", *args, **more)
