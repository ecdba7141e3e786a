#!/usr/bin/env python3
"""Write the numbered SQL files given as a C table: embed-sql.py OUTPUT NNNN-name.sql...

The number of a file is the schema version that it leads to; they must be 1, 2, 3, … without a gap.
"""

import pathlib
import sys


def c_string(line: str) -> str:
    return '"' + line.replace("\\", "\\\\").replace('"', '\\"') + '\\n"'


def main() -> None:
    output, *inputs = sys.argv[1:]
    rows = []
    for expected, path in enumerate(map(pathlib.Path, inputs), start=1):
        if int(path.name.split("-")[0]) != expected:
            sys.exit(f"{path.name}: the number should be {expected:04d}")
        text = "\n".join(f"          {c_string(line)}" for line in path.read_text("ascii").splitlines())
        rows.append(f'        {{ "{path.stem}",\n{text} }},')
    pathlib.Path(output).write_text(
        "/* Made by scripts/embed-sql.py from db/migrations: do not edit. */\n"
        '#include "db/internal.h"\n\n'
        "const struct migration migrations[] = {\n" + "\n".join(rows) + "\n};\n"
        "const size_t migration_count = sizeof(migrations) / sizeof(migrations[0]);\n",
        "ascii",
    )


main()
