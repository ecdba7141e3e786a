#!/usr/bin/python3
"""Count test cases in what meson (testlog.json) and pytest (JUnit XML) leave behind.

    count-results.py FILE...

Prints one line "PASSED FAILED SKIPPED", then a line for each case that did not pass: "failed NAME"
or "skipped NAME: reason". A file that is missing or cut short is a failure, never nothing.

Meson's own JUnit file is not used: it leaves out that a test ran into its time limit.
"""

import json
import re
import sys
import xml.etree.ElementTree as ET

TAP = re.compile(r"^(not )?ok\b *\d* *-? *([^#\n]*)(?:# *(\w+) *(.*))?$", re.MULTILINE)
NOT_FAILED = {"OK", "SKIP", "EXPECTEDFAIL"}


def tap_cases(name, output):
    for refused, case, directive, reason in TAP.findall(output):
        title = f"{name}::{case.strip()}"
        if (directive or "").upper() == "SKIP":
            yield "skipped", f"{title}: {reason or 'no reason given'}"
        else:
            yield "failed" if refused else "passed", title


def meson_cases(path):
    """One test a line; a test that speaks TAP holds many cases, any other is one."""
    with open(path, encoding="utf-8") as file:
        for line in file:
            test = json.loads(line)
            name, result = test["name"], test["result"]
            cases = list(tap_cases(name, test.get("stdout") or ""))
            yield from cases
            if result not in NOT_FAILED and not any(what == "failed" for what, _ in cases):
                yield "failed", f"{name}: {result}, exit status {test.get('returncode')}"
            elif not cases:
                yield "skipped" if result == "SKIP" else "passed", name


def junit_cases(path):
    for case in ET.parse(path).getroot().iter("testcase"):
        name = "::".join(part for part in (case.get("classname"), case.get("name")) if part)
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            yield "failed", name
        elif skip is not None:
            reason = " ".join((skip.get("message") or skip.text or "no reason given").split())
            yield "skipped", f"{name}: {reason}"
        else:
            yield "passed", name


def main(paths):
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    notes = []
    for path in paths:
        try:
            cases = list(meson_cases(path) if path.endswith(".json") else junit_cases(path))
        except (OSError, ValueError, KeyError, ET.ParseError) as error:
            cases = [("failed", f"{path}: {error}")]
        for what, name in cases:
            counts[what] += 1
            if what != "passed":
                notes.append(f"{what} {name}")
    print(counts["passed"], counts["failed"], counts["skipped"])
    for note in notes:
        print(note)


if __name__ == "__main__":
    main(sys.argv[1:])
