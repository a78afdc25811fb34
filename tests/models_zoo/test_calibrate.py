"""Thresholds and rates from scores made up for the purpose, the shipped table against its promises, and a run."""

import json

import numpy as np
import pytest
from scipy.stats import beta
from typer.testing import CliRunner

from detectors.core.registry import builtin
from detectors.core.score import Null, Score
from detectors.judging.calibration import calibration
from models_zoo import calibrate
from models_zoo.__main__ import app
from models_zoo.calibrate import Scored, rate, threshold
from models_zoo.cards import digest
from models_zoo.draws import FAMILIES

TABLE = calibration()


def scored(family, side, values):
    null = Null(permuted="x", draws=199, mean=0.0, p_value=0.005, smallest=0.005)
    return [
        Scored(
            detector="generalisation",
            family=family,
            side=side,
            model=f"{family}/{i}",
            order=10,
            architecture="mlp",
            value=v,
            judged=(Score(value=v, null=null, causal=None), 0.025),
        )
        for i, v in enumerate(values)
    ]


POSITIVES = scored("grokked", True, [0.9, 0.8]) + scored("analytic", True, [0.95])
UNTRAINED = scored("untrained", False, np.linspace(0, 0.2, 101))
DECOYS = scored("wrong_phases", False, [0.1, 0.5])


def test_a_threshold_stands_a_third_of_the_way_between_the_levels():
    assert threshold(POSITIVES + UNTRAINED) == pytest.approx(0.196 + (0.8 - 0.196) / 3, abs=0.01)
    assert threshold(POSITIVES + UNTRAINED + DECOYS) == pytest.approx(0.6)


def test_a_family_has_no_part_in_the_threshold_that_it_is_judged_by():
    everything = POSITIVES + UNTRAINED + DECOYS
    assert threshold(everything, without="wrong_phases") == threshold(POSITIVES + UNTRAINED)
    row = calibrate._row(everything)
    assert row["threshold"] == 0.6
    # 0.5 is under the threshold that it helped to set, and over the one that it did not
    assert row["negatives"]["wrong_phases"]["above"] == 1
    assert row["wrong"] == ["wrong_phases/1"]
    assert row["false_positives"]["value"]["count"] == 1
    assert row["true_positives"]["verdict"]["count"] == 3


def test_intervals_are_those_of_clopper_and_pearson():
    found = rate([True] * 3 + [False] * 47)
    assert found["low"] == pytest.approx(beta.ppf(0.025, 3, 48), abs=1e-4)
    assert found["high"] == pytest.approx(beta.ppf(0.975, 4, 47), abs=1e-4)
    assert rate([]) == {"count": 0, "of": 0, "low": 0.0, "high": 1.0}


# by name: D15's neurons use 21 of its 29 dimensions, which leaves too few for a control
MISSED = {"trig_product_neurons": ["d15_mlp"]}


@pytest.mark.parametrize("name", builtin())
def test_the_shipped_rates_keep_the_promise(name):
    """At most 2% false alarms with 95% confidence, by value and by verdict; AUC 0.99 against every negative family."""
    row = TABLE["rows"][name]
    assert row["false_positives"]["value"]["high"] <= 0.02
    assert row["false_positives"]["verdict"]["high"] <= 0.02
    assert row["auc"] >= 0.99
    assert row["auc"] == min(family["auc"] for family in row["negatives"].values())
    missed = MISSED.get(name, [])
    assert row["missed"] == missed
    positives = row["true_positives"]["verdict"]
    assert positives["count"] + len(missed) == positives["of"] >= 12


@pytest.mark.parametrize("name", builtin())
def test_the_shipped_table_is_of_enough_draws(name):
    row = TABLE["rows"][name]
    for family, (_, absent) in FAMILIES.items():
        if name in absent:
            assert row["negatives"][family]["models"] >= 500
            assert row["negatives"][family]["verdicts"] >= 50


def test_the_shipped_table_is_of_this_zoo():
    assert TABLE["status"] == "calibrated"
    assert TABLE["zoo"] == digest()


@pytest.mark.parametrize("family", FAMILIES)
def test_draws_depend_on_their_seed_alone(family):
    function, absent = FAMILIES[family]
    one, two, other = (function(np.random.default_rng([5, seed])) for seed in (1, 1, 2))
    assert one.logits().equal(two.logits())
    assert one.logits().shape != other.logits().shape or not one.logits().equal(other.logits())
    assert set(absent) <= set(builtin())


@pytest.mark.deep
def test_calibration_from_the_command_line_is_reproducible(tmp_path):
    tables = []
    for i in range(2):
        target = tmp_path / f"{i}.json"
        arguments = ["calibrate", "--draws", "4", "--verdicts", "2", "--out", str(target)]
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        tables.append(json.loads(target.read_text()))
        assert [p.name for p in tmp_path.iterdir()].count(f"{i}.json.part") == 0
    assert tables[0] == tables[1]
