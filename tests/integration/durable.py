"""Whether what a program did on disk outlives a power cut, by its system calls: `strace -f -y` with CALLS, and losses() of its log.

A file that gets its final name has been synced since it was written last, and so has every folder that was renamed; at the end, so has
each new file, and each folder in which something got its name. What is removed may come back.
"""

import os
import re

CALLS = "write,pwrite64,writev,ftruncate,fsync,fdatasync,openat,mkdirat,mkdir,unlinkat,unlink,rmdir,renameat,renameat2,rename,linkat"
PLACE = r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"([^"]*)"'
PASSING = re.compile(r"lock$|-shm$|-journal$")        # locks hold nothing, SQLite has its own order


def calls(text):
    """(name, arguments) of each call that worked, in the order in which they ended."""
    begun = {}
    for line in text.splitlines():
        pid, _, rest = line.partition(" ")
        rest = rest.strip()
        if rest.endswith("<unfinished ...>"):
            begun[pid] = rest[:-len("<unfinished ...>")]
            continue
        again = re.match(r"<\.\.\. \w+ resumed>(.*)", rest)
        call = re.match(r"(\w+)\((.*)\)\s+= (-?\d+)", begun.pop(pid, "") + again[1] if again else rest)
        if call and not call[3].startswith("-"):
            yield call[1], call[2]


class Disk:
    """@files: written, and not synced since; @names: given, and their folder not synced since."""

    def __init__(self, root):
        self.root, self.files, self.names, self.lost = str(root), {}, {}, []

    def mine(self, path):
        return path.startswith(self.root + "/") and not PASSING.search(path)

    def named(self, path, how):
        if self.mine(path):
            self.names[path] = how

    def gone(self, path):
        for there in (self.files, self.names):
            for below in [one for one in there if one == path or one.startswith(path + "/")]:
                del there[below]

    def renamed(self, old, new, exchange):
        if not self.mine(old):
            return
        unsafe = [one for one in self.files if one == old or one.startswith(old + "/")] + [one for one in self.names if one.startswith(old + "/")]
        self.lost += [f"{old} becomes {new}: {one} is not on disk" for one in unsafe]
        self.gone(old)
        self.named(new, "rename to")
        if exchange:
            self.named(old, "exchange with")

    def take(self, name, arguments):
        file = re.match(r"\d+<([^>]*)>", arguments)
        places = [os.path.normpath(os.path.join(folder, path)) for folder, path in re.findall(PLACE, arguments)]
        if name in ("fsync", "fdatasync") and file:
            self.files.pop(file[1], None)
            for path in [path for path in self.names if os.path.dirname(path) == file[1]]:
                del self.names[path]
        elif name in ("write", "pwrite64", "writev", "ftruncate"):
            if file and self.mine(file[1]):
                self.files[file[1]] = name
        elif name == "openat" and "O_CREAT" in arguments and places:
            self.named(places[0], "create")
        elif name in ("mkdir", "mkdirat") and places:
            self.named(places[0], "make")
        elif name in ("unlink", "unlinkat", "rmdir") and places:
            self.gone(places[0])
        elif name.startswith("rename") or name == "linkat":
            self.renamed(*places[:2], "RENAME_EXCHANGE" in arguments)


def losses(text, root):
    """What a power cut may take of what is below @root: sentences."""
    disk = Disk(root)
    for name, arguments in calls(text):
        disk.take(name, arguments)
    return disk.lost + [f"{path} is not on disk: {how}" for path, how in {**disk.files, **disk.names}.items() if os.path.lexists(path)]
