"""Thresholds and rates from scores made up for the purpose, the shipped table against its promises, and a run."""

import json
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from detectors.core.registry import builtin, load, spec_of
from detectors.core.score import Null, Score
from detectors.judging.calibration import calibration
from detectors.subjects.sequences import heads
from models_zoo import population
from models_zoo.__main__ import app
from models_zoo.calibrate import Scored, levels, row, threshold
from models_zoo.cards import digest
from models_zoo.draws import FAMILIES, drawn

TABLE = calibration()
NULL = Null(permuted="x", draws=199, mean=0.0, p_value=0.005, smallest=0.005)


def one(family, truth, value, *, name="0", parent=None):
    return Scored(
        detector="generalisation",
        family=family,
        parent=parent or f"{family}/{name}",
        model=f"{family}/{name}",
        truth=truth,
        order=10,
        architecture="mlp",
        score=None if value is None else Score(value=value, null=NULL, causal=None),
        p_adjusted=0.025,
    )


def scored(family, truth, values):
    return [one(family, truth, value, name=i) for i, value in enumerate(values)]


POSITIVES = scored("grokked", "present", [0.9, 0.8]) + scored("analytic", "present", [0.95])
UNTRAINED = scored("untrained", "absent", np.linspace(0, 0.2, 101))
DECOYS = scored("wrong_phases", "absent", [0.1, 0.5])


def test_a_threshold_stands_a_third_of_the_way_between_the_levels():
    assert threshold(POSITIVES + UNTRAINED) == pytest.approx(0.196 + (0.8 - 0.196) / 3, abs=0.01)
    assert threshold(POSITIVES + UNTRAINED + DECOYS) == pytest.approx(0.6)


def test_one_in_fifty_of_a_large_family_sets_no_level_on_either_side():
    weak = scored("population", "present", [0.3, *np.linspace(0.7, 1, 99)])
    loud = scored("untrained", "absent", [0.6, *np.linspace(0, 0.2, 99)])
    negative, positive = levels(weak + loud)
    assert negative == pytest.approx(0.2, abs=0.01)
    assert positive == pytest.approx(0.7, abs=0.01)


def test_one_odd_model_of_a_small_family_sets_no_level_where_the_small_ones_are_many():
    small = [one(f"hostile, {i}", "absent", 0.9 if i == 7 else 0.1) for i in range(60)]
    assert levels(POSITIVES + small)[0] == 0.1
    assert levels(POSITIVES + small[:10])[0] == 0.9


def test_where_the_structure_may_be_there_unused_its_value_sets_no_threshold_and_its_verdict_counts():
    unused = scored("unread", "unused", [0.99])
    assert threshold(POSITIVES + UNTRAINED + unused) == threshold(POSITIVES + UNTRAINED)
    found = row(POSITIVES + UNTRAINED + unused)
    assert found["false_positives"]["value"]["of"] == 101
    assert found["false_positives"]["verdict"]["of"] == 102
    assert found["wrong"] == ["unread/0"]


def test_a_family_has_no_part_in_the_threshold_that_it_is_judged_by():
    everything = POSITIVES + UNTRAINED + DECOYS
    assert threshold(everything, without="wrong_phases") == threshold(POSITIVES + UNTRAINED)
    found = row(everything)
    assert found["threshold"] == 0.6
    # 0.5 is under the threshold that it helped to set, and over the one that it did not
    assert found["families"]["wrong_phases"]["absent"]["above"] == 1
    assert found["wrong"] == ["wrong_phases/1"]
    assert found["false_positives"]["value"]["count"] == 1
    assert found["true_positives"]["verdict"]["count"] == 3


def test_no_score_is_a_miss_or_a_false_alarm_and_no_smaller_denominator():
    crashed = [one("grokked", "present", None, name="crash"), one("untrained", "absent", None, name="crash")]
    found = row(POSITIVES + UNTRAINED + crashed)
    for which in ("value", "verdict"):
        assert (found["true_positives"][which]["count"], found["true_positives"][which]["of"]) == (3, 4)
        assert (found["false_positives"][which]["count"], found["false_positives"][which]["of"]) == (1, 102)
    assert found["missed"] == ["grokked/crash"]
    assert found["wrong"] == ["untrained/crash"]


def test_a_row_says_how_many_of_the_negatives_lie_above_a_positive_and_where_both_sides_lie():
    found = row(POSITIVES + UNTRAINED + scored("wrong_phases", "absent", [0.85, 0.1]))
    assert found["above_a_positive"] == ["wrong_phases/0"]
    assert found["values"]["present"]["least"] == 0.8
    assert found["values"]["absent"]["greatest"] == 0.85


@pytest.mark.parametrize("name", builtin("operands"))
def test_the_shipped_rates_keep_the_promise(name):
    """False alarms at most 2% and hits at least 97%, by one-sided 95% bounds over independent parents; what stands in
    the way is listed by name."""
    found = TABLE["rows"][name]
    hits = found["true_positives"]["verdict"]
    assert found["false_positives"]["verdict"]["high"] <= 0.02
    assert found["missed"] == IN_THE_WAY.get(name, [])
    asks_how = spec_of(load(name)).question == "how"  # of networks of one kind of group and one layer alone
    of, low = FEWER.get(name, (130 if asks_how else 160, 0.96 if asks_how or name in IN_THE_WAY else 0.97))
    assert hits["of"] >= of
    assert hits["low"] >= low
    assert found["wrong"] == WRONG.get(name, found["wrong"])
    assert found["auc"] >= 0.99


@pytest.mark.parametrize("name", builtin("sequences"))
def test_the_shipped_rates_of_heads(name):
    """From fewer positives, whose bounds are wider; 500 untrained models, in hardly any of which a question arises that
    numbers of digits alone settle.
    """
    found = TABLE["rows"][name]
    hits, false = found["true_positives"]["verdict"], found["false_positives"]["verdict"]
    assert hits["of"] >= 12
    assert found["missed"] == MISSED.get(name, [])
    assert found["wrong"] == []
    assert false["high"] <= (0.04 if name == "digit_alignment_heads" else 0.02)
    assert found["auc"] >= 0.96  # by the value alone, which an untrained head that knows its own token may have too


# two heads share the job at two places each, so that one of 110 exchanges of places does as well as what was found
MISSED = {"digit_alignment_heads": ["written.digits_below/11", "written.digits_below/14"]}


# Random directions beside the embedding destroy two of them, which leaves their cause open; the third, trained without
# decay, holds its frequencies among others: a Gini of 0.25 beyond chance.
# Of the mechanisms: the neurons of population/108 are of one frequency by half (0.49); those of 234, with nothing but
# their irreps left, give half of the answers.
IN_THE_WAY = {
    "sparse_fourier_embedding": ["population/108", "population/231", "population/234"],
    "addition_mechanism": ["population/108"],
    "single_irrep_neurons": ["population/108", "population/234"],
}
# Circuits written down and five MLPs on symmetric and alternating groups: of other networks nothing says that they have
# it. All of them are found, which a bound over so few cannot show.
FEWER = {"coset_neurons": (17, 0.83)}
# A lookup whose neurons are of one frequency by 55% and more: above the threshold that is set without its family.
WRONG = {"neuron_phase_law": ["population/035"], "coset_neurons": []}


def test_the_shipped_table_counts_every_family_of_draws():
    counted: dict[str, int] = {}
    for family, (_, absent) in FAMILIES.items():
        for name in absent:
            found = TABLE["rows"][name]["families"].get(family, {"absent": {"models": 0}})["absent"]["models"]
            counted[name] = counted.get(name, 0) + found
            assert found >= 160 or spec_of(load(name)).question == "how"  # of which some raise no question
    assert min(counted.values()) >= 115
    assert min(n for name, n in counted.items() if name not in FEWER) >= 600


def test_the_shipped_table_is_of_this_zoo_and_this_population():
    assert TABLE["status"] == "calibrated"
    assert TABLE["zoo"] == digest()
    assert TABLE["population"] == population.digest()


@pytest.mark.parametrize("family", FAMILIES)
def test_draws_depend_on_their_seed_alone(family):
    _, absent = FAMILIES[family]
    one, two, other = (drawn(family, np.random.default_rng([5, seed]))[0] for seed in (1, 1, 2))
    assert one.logits().equal(two.logits())
    assert one.logits().shape != other.logits().shape or not one.logits().equal(other.logits())
    assert set(absent) <= set(builtin())


@pytest.mark.deep
def test_calibration_from_the_command_line_is_reproducible(tmp_path):
    tables = []
    for i in range(2):
        target = tmp_path / f"{i}.json"
        done = CliRunner().invoke(app, ["calibrate", "--part", "25", "--out", str(target)])
        assert done.exit_code == 0, done.output
        tables.append(json.loads(target.read_text()))
        assert [p.name for p in tmp_path.iterdir()].count(f"{i}.json.part") == 0
    assert tables[0] == tables[1]


@pytest.mark.parametrize("name", builtin("sequences"))
def test_causes_are_asked_for_wherever_a_value_is_enough(name):
    """Else a head with the structure would be said to have too few right answers."""
    module = sys.modules[load(name).__module__]
    assert getattr(module, "WEAK", heads.WEAK) < TABLE["rows"][name]["threshold"]
