"""The short form of tests/torture/init_kill.py: some moments of an init, spread over the whole of it."""

import os
import pathlib
import sys

import pytest
import signertest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "torture"))

import init_kill  # noqa: E402

FULL = os.environ.get("CAD_TORTURE") == "full"


@pytest.mark.slow
def test_init_may_be_killed_at_any_moment():
    signertest.require_build()
    if signertest.sanitized():
        pytest.skip("a sanitizer's own system calls are not what is looked at")
    # an odd stride that no period of init shares: entries and exits, and both ways to go on, take turns
    tried = init_kill.torture(every=1 if FULL else max(3, init_kill.moments() // 40) | 1)
    assert tried > 40
