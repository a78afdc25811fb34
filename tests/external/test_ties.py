"""Published files read as a user has them, by nothing but the task: several activation functions answer as well."""

from __future__ import annotations

import pytest

import detectors
from tests.external.test_external import CIRCUIT, GROUP, assert_settled_without_a_split, group_task

pytestmark = pytest.mark.external
# one of every layout and kind of group, of those that other activation functions answer too
TIED = ["C113_MLP_seed1", "D59_T_seed1", "S5_MLP_seed1", "A5_MLP_seed2"]


@pytest.mark.wide
@pytest.mark.parametrize("name", TIED)
def test_readings_that_tie_agree_on_what_is_settled(name, external):
    view = detectors.load(external / GROUP[name]["file"], task=group_task(name))
    assert view.tied
    found = detectors.run(view, names=[*CIRCUIT, "memorisation"])
    assert "Every verdict is the same there" in " ".join(found.notes)
    assert_settled_without_a_split(found, GROUP[name]["accuracy"])
