"""Damaged folders and GGUF files of language models load or are refused, soon: `transformers` reads what is left to it.

What once failed is kept in test_language_files.py.
"""

import sys

import pytest
from hypothesis import given, settings

pytest.importorskip("transformers")
pytest.importorskip("gguf")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="peaks of memory are read from /proc")

from tests.loading.damage_language import NAMES, damaged_folders, folder_or_refuse, saved  # noqa: E402
from tests.loading.test_damage import CALM  # noqa: E402


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The folder, and what its files hold."""
    path = tmp_path_factory.mktemp("language")
    return path, saved(path)


def test_the_good_files_are_read(good):
    for which in range(len(NAMES)):
        assert folder_or_refuse(*good, which, ()) == "read"


@settings(max_examples=25, derandomize=True, database=None, suppress_health_check=CALM, deadline=None)
@given(case=damaged_folders)
def test_a_sample_of_damaged_folders(good, case):
    folder_or_refuse(*good, *case)


@pytest.mark.deep
@pytest.mark.timeout(1800)
@settings(max_examples=3_000, suppress_health_check=CALM, deadline=None)
@given(case=damaged_folders)
def test_three_thousand_damaged_folders(good, case):
    folder_or_refuse(*good, *case)
