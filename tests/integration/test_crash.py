"""The short form of tests/torture/crash.py: a few kills and stops of each process under load."""

import fcntl
import os
import pathlib
import random
import sys
import threading

import cadtest
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "torture"))

import crash  # noqa: E402

FULL = os.environ.get("CAD_TORTURE") == "full"
TIMES = 20 if FULL else 1

# Fewer rounds of what takes its time: a signer that hangs is noticed after seconds.
ROUNDS = {
    "cad is killed": ["cad killed"] * 5 * TIMES,
    "the signer is killed": ["signer killed"] * 4 * TIMES,
    "both are killed": ["both killed"] * 3 * TIMES,
    "the signer hangs": ["signer stopped"] * TIMES,
    "cad ends and starts": ["cad ended"] * 3 * TIMES,
    "cad reads its files anew": ["cad reloaded"] * 3 * TIMES,
    "cad is stopped for a while": ["cad stopped"] * TIMES,
}


@pytest.mark.slow
@pytest.mark.sanitize
@pytest.mark.parametrize("label", ROUNDS)
def test_nothing_answered_is_lost_when(label):
    cadtest.require_build()
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    callers = 8 if cadtest.sanitized() else crash.CALLERS
    acked, rows = crash.torture(ROUNDS[label], callers, seed, report=print)
    assert acked <= rows


def test_the_signer_of_a_killed_cad_is_waited_for():
    """A service manager starts cad again at once, when the old signer may still be ending."""
    with cadtest.Daemon() as ca:
        assert ca.stop() == 0
        with open(ca.state / "signer" / "lock", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            leaving = threading.Timer(0.5, fcntl.flock, (lock, fcntl.LOCK_UN))
            leaving.start()
            ca.start()
            leaving.join()
        assert ca.stop() == 0


@pytest.mark.slow
def test_a_signer_that_stays_is_not_waited_for_for_ever():
    with cadtest.Daemon() as ca:
        assert ca.stop() == 0
        with open(ca.state / "signer" / "lock", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert "already in use by process" in ca.start_refused()
