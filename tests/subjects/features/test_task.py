"""How often features are active: the law of the cases, and what is to be written."""

import itertools

import numpy as np
import pytest

from detectors.core.errors import TaskError
from detectors.subjects.features.task import FeaturesTask
from detectors.subjects.tasks import of_features, of_operands, parse_task

MANY = 40_000


@pytest.mark.parametrize("density", [0.02, 0.3, 1.0])
def test_cases_have_the_law_of_independent_features_of_which_one_is_active(density):
    """Each subset of three features as often as it should be, within four standard errors."""
    on = FeaturesTask.parse(f"features:{density}").active(MANY, 3, seed=1).numpy() > 0
    some = 1 - (1 - density) ** 3
    for subset in itertools.product([False, True], repeat=3):
        chance = np.prod([density if one else 1 - density for one in subset]) / some if any(subset) else 0.0
        share = (on == np.array(subset)).all(1).mean()
        assert abs(share - chance) <= 4 * (chance * (1 - chance) / MANY) ** 0.5


def test_values_are_uniform_where_a_feature_is_active():
    values = FeaturesTask.parse("features:0.1").active(MANY, 3, seed=0).numpy()
    values = values[values > 0]
    assert np.abs(np.quantile(values, [0.1, 0.5, 0.9]) - [0.1, 0.5, 0.9]).max() < 0.01


def test_importance_falls_by_the_decay():
    assert FeaturesTask.parse("features:0.1:0.5").importance(3).tolist() == [1.0, 0.5, 0.25]
    assert FeaturesTask.parse("features:0.1").importance(2).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("spec", ["features", "features:", "features:many", "features:0.1:none"])
def test_a_task_that_does_not_say_how_often_is_told_what_to_write(spec):
    with pytest.raises(TaskError, match=r"how often a feature is active: write features:DENSITY.*features:0\.05"):
        parse_task(spec)


@pytest.mark.parametrize("spec", ["features:0", "features:-1", "features:1.5", "features:0.1:0", "features:0.1:2"])
def test_shares_lie_between_none_and_all(spec):
    with pytest.raises(TaskError, match="above 0 and up to 1"):
        parse_task(spec)


def test_more_than_two_numbers_and_no_number_are_refused():
    for spec in ("features:0.1:0.9:0.9", "features:nan"):
        with pytest.raises(TaskError):
            parse_task(spec)


def test_a_task_of_features_is_told_apart():
    tasks = [parse_task(spec) for spec in ("features:0.1", "add:5", "repeat")]
    assert [of_features(task) for task in tasks] == [True, False, False]
    assert [of_operands(task) for task in tasks] == [False, True, False]
