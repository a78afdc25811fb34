"""Damaged files of every container load whole or are refused: nothing runs, no checksum is broken, and it ends soon.

What once failed is kept where it belongs: as a trick, a bomb or a lie in the tests of the module that was wrong.
"""

import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.loading.damage import GOOD, bytes_or_refuse, damaged_files, load_or_refuse, warmed
from tests.loading.programs import in_archive, programs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="peaks of memory are read from /proc")

CALM = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("damaged")
    warmed(path)
    return path


def test_the_good_files_are_read(folder):
    for which in range(len(GOOD)):
        assert load_or_refuse(folder, which, False, ()) == "read"


@settings(max_examples=150, derandomize=True, database=None, suppress_health_check=CALM, deadline=None)
@given(case=damaged_files)
def test_a_sample_of_damaged_files(folder, case):
    load_or_refuse(folder, *case)


@settings(max_examples=150, derandomize=True, database=None, suppress_health_check=CALM, deadline=None)
@given(program=programs, archived=st.booleans())
def test_a_sample_of_programs(folder, program, archived):
    bytes_or_refuse(folder, ".pt", in_archive(program) if archived else program)


@pytest.mark.deep
@settings(max_examples=10_000, suppress_health_check=CALM, deadline=None)
@given(program=programs, archived=st.booleans())
def test_ten_thousand_programs(folder, program, archived):
    bytes_or_refuse(folder, ".pt", in_archive(program) if archived else program)


@pytest.mark.deep
@settings(max_examples=10_000, suppress_health_check=CALM, deadline=None)
@given(case=damaged_files)
def test_ten_thousand_damaged_files(folder, case):
    load_or_refuse(folder, *case)
