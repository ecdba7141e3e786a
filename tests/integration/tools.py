"""Other people's checkers, as scripts/test-tools.sh puts them into a folder of their own.

    tools.find("promtool")      # a path; the test is skipped where it is not there
"""

import functools
import pathlib
import shutil
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "test-tools.sh"
PLACES = {"promtool": "promtool", "redocly": "npm/node_modules/.bin/redocly", "prism": "npm/node_modules/.bin/prism",
          "axe": "npm/node_modules/axe-core/axe.min.js"}


@functools.lru_cache(None)
def folder():
    return pathlib.Path(subprocess.run([SCRIPT, "--dir"], capture_output=True, text=True, check=True, timeout=30).stdout.strip())


def find(name):
    there = folder() / PLACES[name]
    if there.exists():
        return str(there)
    return shutil.which(name) or pytest.skip(f"{name} is not there: scripts/test-tools.sh fetches it")
