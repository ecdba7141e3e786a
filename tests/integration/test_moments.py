"""The short form of tests/torture/moments.py and client_moments.py: a moment of each thing, by chance."""

import os
import pathlib
import random
import sys

import cadtest
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "torture"))

import client_moments  # noqa: E402
import moments  # noqa: E402

FULL = os.environ.get("CAD_TORTURE") == "full"
SOME = ["some of each"]


@pytest.fixture(autouse=True)
def preloadable():
    cadtest.require_build()
    if cadtest.sanitized():
        pytest.skip("a sanitizer has to be loaded first")


def seeded():
    """The same moments each time: all of them are the long form's."""
    return random.Random(int(os.environ.get("CAD_SEED", "1")))


@pytest.mark.slow
@pytest.mark.parametrize("name", moments.THINGS if FULL else SOME)
def test_whatever_cad_does_may_be_cut_off_at_any_moment(name):
    """kill -9, a full disk, a disk that fails."""
    if FULL:
        assert moments.torture([name], say=print) > 10
    else:
        assert moments.sample(seeded(), say=print) > 8


@pytest.mark.slow
@pytest.mark.parametrize("name", client_moments.THINGS if FULL else SOME)
def test_whatever_cactl_does_on_disk_may_be_cut_off_at_any_moment(name):
    if FULL:
        assert client_moments.torture([name], every=3, say=print) > 10
    else:
        assert client_moments.sample(seeded(), say=print) > 2


def test_files_of_issue_are_those_of_before_or_the_new_ones_on_a_disk_that_is_full_or_fails():
    assert client_moments.torture(["issue"], ["full", "io"], say=print) > 10
