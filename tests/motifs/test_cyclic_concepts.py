"""Circles of weekdays and months: exact ones, rows that were made, and curves that do not close."""

import itertools

import numpy as np
import pytest
import torch

import detectors
import models_zoo
from detectors.core.errors import NotApplicable
from detectors.motifs.cyclic_concepts import _each, _strength, around
from detectors.subjects.words.names import CONCEPTS, MONTHS, WEEKDAYS
from models_zoo.words import OF_CONCEPTS

SEEDS = range(1000, 1004)


def view(**rows):
    """By concept, rows of its words."""
    width = max(r.shape[1] for r in rows.values())
    padded = {name: np.pad(r, ((0, 0), (0, width - r.shape[1]))) for name, r in rows.items()}
    return detectors.RowsView({w: r for name in rows for w, r in zip(CONCEPTS[name], padded[name], strict=True)})


def on_a_circle(n, turn=2 * np.pi):
    angle = turn * np.arange(n) / n
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", OF_CONCEPTS)
def test_circles_are_found_and_open_curves_are_not(kind, seed):
    found = detectors.run(models_zoo.concept_rows(kind, seed=seed), names=["cyclic_concepts"])["cyclic_concepts"]
    assert found.verdict == ("present" if kind == "circle" else "absent")


def test_an_exact_circle_has_all_of_it():
    score = detectors.cyclic_concepts(view(weekdays=on_a_circle(7)))
    (week,) = score.concepts
    assert (week["name"], week["where"]) == ("weekdays", "embedding")
    assert week["order_p_value"] == pytest.approx(1 / 360)
    assert week["closure"] == pytest.approx(1)
    assert week["r2"] == pytest.approx(1)
    assert (score.value, score.null.p_value) == (pytest.approx(1), pytest.approx(1 / 360))


def test_the_order_is_held_against_all_others():
    """By hand: the share of all 7! orders, each of 360 circles 14 times, with neighbours at least as alike."""
    rows = np.random.default_rng(3).standard_normal((7, 12)) + 2 * on_a_circle(7) @ np.ones((2, 12))
    unit = rows - rows.mean(0)
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    alike = unit @ unit.T

    def length(order):
        return sum(alike[i, j] for i, j in zip(order, (*order[1:], order[0]), strict=True))

    orders = [length(order) for order in itertools.permutations(range(7))]
    p = np.mean(np.array(orders) >= length(range(7)) - 1e-9)
    (week,) = detectors.cyclic_concepts(view(weekdays=rows)).concepts
    assert week["order_p_value"] == pytest.approx(p)


def test_places_are_held_against_each_other_in_deviations():
    """Sums around circles spread more in a plane than among many dimensions: not in their own units."""
    rng = np.random.default_rng(0)
    deep = rng.standard_normal((7, 300)) + 0.5 * on_a_circle(7) @ rng.standard_normal((2, 300))
    flat = rng.standard_normal((7, 2))
    unit = [(c := x - x.mean(0)) / np.linalg.norm(c, axis=1, keepdims=True) for x in (flat, deep)]
    grams = [torch.from_numpy(u @ u.T) for u in unit]
    orders = torch.tensor([(0, *order) for order in itertools.permutations(range(1, 7))])
    found, _ = _each("weekdays", dict(zip(("flat", "deep"), grams, strict=True)), orders)
    raw = around(torch.stack(grams), orders)
    raw -= raw.mean(0)  # the first order is the observed one, and its mirror image the last
    assert (raw.amax(1) >= raw[0, 1] - 1e-9).sum() > 100
    assert found[1]["order_p_value"] == pytest.approx((1 + 2) / (1 + 720))


def test_what_tells_an_open_curve_is_the_pair_that_closes():
    """Its order is as good as a circle's."""
    half = on_a_circle(12, np.pi)
    score = detectors.cyclic_concepts(view(months=half))
    (months,) = score.concepts
    assert months["order_p_value"] <= 1e-3
    assert months["closure"] < 0
    assert score.value == 0


def test_where_a_week_begins_and_which_way_it_runs_change_nothing():
    rows = on_a_circle(7) + 0.1 * np.random.default_rng(0).standard_normal((7, 2))
    first = detectors.cyclic_concepts(view(weekdays=rows)).concepts[0]
    turned = detectors.cyclic_concepts(view(weekdays=np.roll(rows, 3, axis=0))).concepts[0]
    back = detectors.cyclic_concepts(view(weekdays=rows[::-1])).concepts[0]
    for other in (turned, back):
        assert other["order_p_value"] == pytest.approx(first["order_p_value"])
        assert other["r2"] == pytest.approx(first["r2"])


def test_two_concepts_are_two_questions():
    both = detectors.cyclic_concepts(
        view(weekdays=on_a_circle(7), months=np.random.default_rng(0).normal(size=(12, 2)))
    )
    assert both.concepts[0]["name"] == "weekdays"
    assert both.null.p_value == pytest.approx(2 / 360)


def test_words_of_several_tokens_are_no_question():
    lacking = dict(zip(WEEKDAYS[:-1], on_a_circle(7), strict=False))
    with pytest.raises(NotApplicable, match="neither weekdays nor months are single tokens"):
        detectors.cyclic_concepts(detectors.RowsView(lacking))
    months = dict(zip(MONTHS, on_a_circle(12), strict=True))
    assert [c["name"] for c in detectors.cyclic_concepts(detectors.RowsView(lacking | months)).concepts] == ["months"]


def test_an_order_beyond_chance_goes_before_a_larger_score():
    """At 0.05, as verdicts: of three concepts only the first two are beyond chance."""
    weak, even, strong = (
        {"name": "months", "r2": 1.0, "order_p_value": p, "order": x, "closure": 1.0, "roundness": 1.0}
        for p, x in ((0.04, 0.3), (0.05, 0.3), (0.051, 0.9))
    )
    assert _strength(weak) == _strength(even) == (True, 0.3)
    assert max((weak, strong), key=_strength) is weak


@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize("kind", ["temperatures", "from September"])
def test_months_on_a_line_are_on_no_circle(kind, noise):
    """December lies beside January on both: out and back, as temperatures do, and from September to August."""
    place = {
        "temperatures": np.cos(2 * np.pi * (np.arange(12) - 0.4) / 12),
        "from September": (np.arange(12) + 4) % 12.0,
    }
    rng = np.random.default_rng(0)
    rows = np.outer(place[kind], rng.standard_normal(16)) + noise * rng.standard_normal((12, 16))
    found = detectors.run(view(months=rows), names=["cyclic_concepts"])["cyclic_concepts"]
    assert found.verdict == "absent"
    (months,) = found.evidence["concepts"]
    assert months["closure"] > 0.9
    assert months["roundness"] < 0.1


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_no_size_is_too_small_or_too_large(size):
    score = detectors.cyclic_concepts(view(weekdays=size * on_a_circle(7)))
    assert score.value == pytest.approx(1)


@pytest.mark.parametrize(("r2", "share"), [(1.0, 1.0), (2 / 11, 1.0), (1 / 11, 0.5), (0.0, 0.0)])
def test_less_than_chance_goes_round_once_of_what_is_no_circle(r2, share):
    """Of twelve rows in no order 2 of 11 dimensions are waves that go round once."""
    concept = {"name": "months", "r2": r2, "order_p_value": 0.01, "order": 0.8, "closure": 1.0, "roundness": 1.0}
    assert _strength(concept) == (True, pytest.approx(0.8 * share))
