"""The tests here start the same daemon as those of tests/integration, with the same helpers."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
