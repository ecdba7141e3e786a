#!/usr/bin/env python3
"""Write text files as C strings: embed-files.py HEADER PREFIX OUTPUT FILE...

page.html becomes `const char PREFIXpage_html[]`. HEADER declares them, so that a file that nobody knows, or one that is
not there, does not compile or link.
"""

import pathlib
import re
import sys


def c_string(line: str) -> str:
    escaped = line.replace("\\", "\\\\").replace('"', '\\"')
    # octal escapes end after three digits, whatever follows
    return '"' + "".join(c if c < "\x7f" else "".join(f"\\{b:03o}" for b in c.encode()) for c in escaped) + '\\n"'


def main() -> None:
    header, prefix, output, *inputs = sys.argv[1:]
    arrays = []
    for path in map(pathlib.Path, inputs):
        name = prefix + re.sub(r"\W", "_", path.name)
        text = "\n".join(f"        {c_string(line)}" for line in path.read_text("utf-8").splitlines())
        arrays.append(f"const char {name}[] =\n{text};\n")
    pathlib.Path(output).write_text(
        f'/* Made by scripts/embed-files.py: do not edit. */\n#include "{header}"\n\n' + "\n".join(arrays), "ascii")


main()
