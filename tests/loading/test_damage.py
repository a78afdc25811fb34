"""Damaged files of every container load whole or are refused: nothing runs, no checksum is broken, and it ends soon."""

import sys

import pytest
from hypothesis import HealthCheck, given, settings

from tests.loading.damage import GOOD, damaged_files, load_or_refuse, warmed

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="peaks of memory are read from /proc")

CALM = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
# once failed: (file, inside, what)
KEPT: list[tuple[int, bool, tuple]] = []


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("damaged")
    warmed(path)
    return path


def test_the_good_files_are_read(folder):
    for which in range(len(GOOD)):
        assert load_or_refuse(folder, which, False, ()) == "read"


@pytest.mark.parametrize("case", KEPT, ids=range(len(KEPT)))
def test_what_once_failed(folder, case):
    load_or_refuse(folder, *case)


@settings(max_examples=150, derandomize=True, database=None, suppress_health_check=CALM, deadline=None)
@given(case=damaged_files)
def test_a_sample_of_damaged_files(folder, case):
    load_or_refuse(folder, *case)


@pytest.mark.deep
@settings(max_examples=10_000, suppress_health_check=CALM, deadline=None)
@given(case=damaged_files)
def test_ten_thousand_damaged_files(folder, case):
    load_or_refuse(folder, *case)
