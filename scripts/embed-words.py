#!/usr/bin/env python3
"""Write a word list as a C table: embed-words.py OUTPUT WORDS.txt

The list is held to what lib/pki/fingerprint_words.h promises: 2048 words of 3 to 8 letters, sorted, told apart by their first
four letters.
"""

import pathlib
import re
import sys

WORDS = 2048


def main() -> None:
    output, path = map(pathlib.Path, sys.argv[1:])
    words = path.read_text("ascii").split()
    if len(words) != WORDS or words != sorted(words) or len({word[:4] for word in words}) != WORDS:
        sys.exit(f"{path.name}: wanted are {WORDS} words, sorted, each with first four letters of its own")
    if wrong := [word for word in words if not re.fullmatch("[a-z]{3,8}", word)]:
        sys.exit(f"{path.name}: {wrong[0]!r} is not of 3 to 8 lower-case letters")
    rows = "\n".join("        " + " ".join(f'"{word}",' for word in words[at:at + 8]) for at in range(0, WORDS, 8))
    output.write_text(
        f"/* Made by scripts/embed-words.py from lib/pki/words/{path.name}: do not edit. */\n"
        '#include "lib/pki/fingerprint_words.h"\n\n'
        f"const char fingerprint_word_list[FINGERPRINT_WORD_LIST][FINGERPRINT_WORD_MAX] = {{\n{rows}\n}};\n",
        "ascii",
    )


main()
