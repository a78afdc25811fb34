"""Fibre means and character similarities against triple loops over a, b and c."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from detectors.subjects.operands.plane import LogitGrid, character_cosines, remainder_loss
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from models_zoo.analytic import _TableNetwork


def random_view(spec: str, seed: int, known: bool = False) -> ModelView:
    task = Task.parse(spec)
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.standard_normal((task.n_tokens**2, task.n_answers))).float()
    mask = rng.random(task.n_tokens**2) < 0.5 if known else None
    return ModelView(_TableNetwork(logits, task.n_tokens), task, train_mask=mask)


def cube(view: ModelView) -> np.ndarray:
    """[n, n, n] logits over labelled a, b, c, centred over c."""
    labels, n = view.labels, view.task.n_tokens
    logits = view.logits().double().numpy().reshape(n, n, -1)
    out = logits[np.ix_(labels.left, labels.right, labels.answers)]
    return out - out.mean(-1, keepdims=True)


SPECS = st.sampled_from(["add:5", "sub:6", "mul:7", "div:7", "compose:S3", "compose:A4", "compose:D5"])


@given(SPECS, st.integers(0, 1000))
def test_fibre_means(spec, seed):
    view = random_view(spec, seed)
    g, values = view.group, cube(view)
    n = g.order
    sums, counts = np.zeros(n), np.zeros(n)
    for a in range(n):
        for b in range(n):
            for c in range(n):
                fibre = g.table[g.table[a, b], g.inverse[c]]
                sums[fibre] += values[a, b, c]
                counts[fibre] += 1
    found = view.plane.fibre_mean(torch.arange(n * n))
    np.testing.assert_allclose(found.numpy(), sums / counts, atol=1e-6)


@given(SPECS, st.integers(0, 1000))
def test_similarities_are_cosines_with_character_cubes(spec, seed):
    view = random_view(spec, seed)
    g, values = view.group, cube(view)
    a, b, c = np.ix_(*[range(g.order)] * 3)
    grid = view.plane
    k = torch.arange(g.order**2)
    found = character_cosines(g, grid.fibre_mean(k), len(k), grid.power(k))
    for i, irrep in enumerate(g.irreps[1:]):
        character = irrep.character[g.table[g.table[a, b], g.inverse[c]]]
        expected = (values * character).sum() / np.linalg.norm(values) / np.linalg.norm(character)
        assert float(found[i]) == pytest.approx(expected, abs=1e-6)


def test_orientation_matters_where_the_group_does_not_commute():
    """f(a b c^-1) and f(c^-1 a b) differ off class functions, so a transposed table would show here."""
    view = random_view("compose:S4", 0)
    g = view.group
    f = torch.from_numpy(np.random.default_rng(1).standard_normal(g.order))
    grid = view.plane
    spread = grid.spread(f, torch.arange(g.order**2)).reshape(g.order, g.order, g.order)
    a, b, c = 3, 11, 17
    assert float(spread[a, b, c]) == float(f[g.table[g.table[a, b], g.inverse[c]]])
    assert float(spread[a, b, c]) != float(f[g.table[g.inverse[c], g.table[a, b]]])


@given(SPECS, st.integers(0, 1000))
def test_remainder_is_the_logits_less_the_structured_part(spec, seed):
    view = random_view(spec, seed)
    g, values = view.group, cube(view)
    grid = view.plane
    f = grid.fibre_mean(torch.arange(g.order**2))
    a, b, c = np.ix_(*[range(g.order)] * 3)
    remainder = values - f.numpy()[g.table[g.table[a, b], g.inverse[c]]]
    right = np.take_along_axis(remainder, g.table[:, :, None], 2)[..., 0]
    expected = np.log(np.exp(remainder).sum(-1)) - right
    loss, correct = remainder_loss(grid, f)
    np.testing.assert_allclose(loss.numpy().reshape(g.order, -1), expected, atol=1e-5)
    np.testing.assert_array_equal(correct.numpy().reshape(g.order, -1), remainder.argmax(-1) == g.table)


@pytest.mark.parametrize(("share", "loud"), [(0.4, False), (0.6, True)])
def test_offsets_of_answers_are_taken_out_where_they_hold_half_of_the_squares(share, loud):
    """Of noise beside one bias; what stays is as if there had been none."""
    n = 31
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((n * n, n)))
    bias = (share / (1 - share) * (n - 1) / (1 - 1 / n)) ** 0.5
    task = Task.parse(f"add:{n}")
    with_bias, without = (LogitGrid((noise + b * torch.eye(n)[7]).float(), task) for b in (bias, 0.0))
    assert without.offsets is None
    assert (with_bias.offsets is not None) == loud
    if loud:
        assert float(with_bias.offsets[7]) == pytest.approx(bias * (1 - 1 / n), rel=0.02)
        k = with_bias.everything
        assert float((with_bias.rows(k) - without.rows(k)).abs().max()) < 0.2  # the medians of noise
        assert with_bias.power(k) == pytest.approx(without.power(k), rel=0.01)
        assert with_bias.each.margin[k].min() < without.each.margin[k].min() - 1  # a margin is the network's own
