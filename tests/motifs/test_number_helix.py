"""Helices of numbers: rows that were made, an independent fit, and what passes for a helix."""

import numpy as np
import pytest
import torch

import detectors
import models_zoo
from detectors.core.errors import NotApplicable
from detectors.motifs.number_helix_picture import picture
from detectors.subjects.subject import Checkpoint
from models_zoo.words import OF_NUMBERS

SEEDS = range(1000, 1004)  # beyond those that the threshold was set on
A = np.arange(100)


def verdict(rows) -> str:
    return str(detectors.run(rows, names=["number_helix"])["number_helix"].verdict)


def view(rows):
    return detectors.RowsView({str(number): row for number, row in enumerate(rows)})


def turns(*periods):
    return np.stack([f(2 * np.pi * A / t) for t in periods for f in (np.cos, np.sin)], axis=1)


def laid(columns, noise, seed=0):
    rng = np.random.default_rng(seed)
    return columns @ rng.standard_normal((columns.shape[1], 64)) + noise * rng.standard_normal((100, 64))


@pytest.mark.sampled(12)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", OF_NUMBERS)
def test_helices_are_found_and_what_passes_for_one_is_not(kind, seed):
    assert verdict(models_zoo.number_rows(kind, seed=seed)) == ("present" if kind == "helix" else "absent")


def test_the_published_fit_is_fooled_by_a_smooth_curve_and_this_is_not():
    """R^2 of a line and the periods 2, 5, 10, 100 on Gaussian processes over 20 numbers: 0.93 (MOTIFS, section 9)."""
    rng = np.random.default_rng(0)
    covariance = np.exp(-((A[:, None] - A) ** 2) / (2 * 20**2)) + 1e-9 * np.eye(100)
    rows = np.linalg.cholesky(covariance) @ rng.standard_normal((100, 64))
    basis = np.column_stack([np.ones(100), A, turns(2, 5, 10, 100)])
    left = rows - basis @ np.linalg.lstsq(basis, rows, rcond=None)[0]
    assert 1 - (left**2).sum() / ((rows - rows.mean(0)) ** 2).sum() > 0.9
    assert detectors.number_helix(view(rows)).value < 1e-3


def test_periods_are_those_that_are_there_with_what_they_explain():
    rows = laid(np.column_stack([A / 100, turns(100, 5, 10)]), noise=0.5)
    score = detectors.number_helix(view(rows))
    assert score.found == [5, 10]
    total = ((rows - rows.mean(0)) ** 2).sum()

    def explained(columns):
        basis = np.column_stack([np.ones(100), A, turns(100), columns])
        return 1 - ((rows - basis @ np.linalg.lstsq(basis, rows, rcond=None)[0]) ** 2).sum() / total

    slow = explained(np.zeros((100, 0)))
    for period in score.periods:
        assert period["r2"] == pytest.approx(explained(turns(period["period"])) - slow, abs=1e-9)
    (drawn,) = picture(score)
    assert (drawn.data.names[:4], drawn.data.names[9], drawn.data.names[-1]) == (["100", "50", "33.3", "25"], "10", "2")
    assert len(drawn.data.names) == len(drawn.data.heights) == 50
    assert drawn.data.key == ["5", "10"]


def test_the_score_is_of_the_circle_inside_an_ellipse():
    """Of one direction nothing: a wave along a line is no circle."""
    circle, line = turns(5), turns(5)[:, :1]
    flat = np.column_stack([circle[:, 0], 0.2 * circle[:, 1]])
    values = [detectors.number_helix(view(laid(x, noise=0.01))).value for x in (circle, flat, line)]
    assert values[0] > 0.5
    assert 0.01 < values[1] < 0.2
    assert values[2] < 0.01


def test_what_other_periods_explain_as_well_is_none_of_it():
    """A table of last digits has as much of 10/3, which is no period of the helix."""
    assert detectors.number_helix(models_zoo.number_rows("digits", seed=1000)).value < 0.02


def test_one_period_of_many_that_are_alike_is_no_helix():
    """Period 10 stands out from its neighbours, which numbers permuted never show, and so do eight others."""
    many = (10, 7.1, 13.3, 4.3, 3.7, 3.1, 2.7, 2.3, 6.1)
    score = detectors.number_helix(view(laid(turns(*many), noise=0.5)))
    assert score.null.permuted == "periods"
    assert score.null.p_value > 0.05
    assert score.found == []
    assert detectors.number_helix(view(laid(turns(10), noise=0.5))).found == [10]


def test_a_rotation_and_another_unit_change_nothing():
    rows = laid(turns(2, 5, 10, 100), noise=1.0)
    turned = 7 * rows @ np.linalg.qr(np.random.default_rng(1).standard_normal((64, 64)))[0] + 3
    first, second = (detectors.number_helix(view(x)) for x in (rows, turned))
    assert second.value == pytest.approx(first.value, abs=1e-9)
    assert [p["p_value"] for p in second.periods] == [p["p_value"] for p in first.periods]


def test_numbers_of_several_tokens_are_no_question():
    with pytest.raises(NotApplicable, match="0 to 99 1 are no single tokens, 10 the first"):
        detectors.number_helix(detectors.RowsView({str(n): torch.randn(8) for n in (*range(10), *range(11, 100))}))
    with pytest.raises(NotApplicable, match="0 to 99 100 are no single tokens, 0 the first"):
        detectors.number_helix(detectors.RowsView({"one": torch.randn(8)}))


def test_the_strongest_place_speaks():
    numbers = {str(n): n for n in range(100)}
    helix, noise = (torch.from_numpy(laid(turns(2, 5, 10), noise=x)) for x in (0.5, 50.0))

    def rows(tokens):
        return {"embedding": noise[list(tokens)], "layer 3": helix[list(tokens)]}

    places = detectors.RowsView.reading(lambda words: [numbers.get(w) for w in words], rows, (100, 64), Checkpoint())
    score = detectors.number_helix(places)
    assert score.where == "layer 3"
    assert score.value == pytest.approx(detectors.number_helix(view(helix)).value, abs=1e-9)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_parity_alone_is_no_circle(noise):
    """Its two points are on a line, whatever else the numbers lie on; beside circles it counts."""
    parity = (-1.0) ** A[:, None]
    assert verdict(view(laid(np.hstack([A[:, None] / 30, 3 * parity]), noise))) == "absent"
    circles = detectors.number_helix(view(laid(turns(5, 10), 0.3))).value
    assert detectors.number_helix(view(laid(np.hstack([turns(5, 10), parity]), 0.3))).value > circles


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_no_size_is_too_small_or_too_large(size):
    score = detectors.number_helix(view(size * laid(turns(2, 5, 10), 0.1)))
    assert score.value > 0.5
    assert sum(p["r2"] for p in score.periods) < 1
