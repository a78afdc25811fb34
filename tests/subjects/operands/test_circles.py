"""Circles of the embedding one at a time, and another activation function, on circuits whose logits are known."""

import numpy as np
import pytest
import torch

from detectors.loading.layouts.two_embedding_mlp import TwoEmbeddingMLP
from detectors.subjects.operands.circles import circles, clock_form, explained, offset, pizza_form
from detectors.subjects.operands.swaps import swapped
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from models_zoo import trig_mlp

P = 13


def cube():
    a, b, c = np.meshgrid(*[np.arange(P)] * 3, indexing="ij")
    return a, b, c, torch.arange(P * P) // P, torch.arange(P * P) % P


@pytest.mark.parametrize("k", [1, 4, 6])
def test_the_forms_are_the_published_formulas_at_every_a_b_and_c(k):
    a, b, c, i, j = cube()
    w = 2 * np.pi * k / P
    clock = np.cos(w * (a + b - c))
    np.testing.assert_allclose(clock_form(P, k, i, j).numpy(), clock.reshape(-1, P), atol=1e-12)
    for shift in (0.0, 0.7):
        pizza = np.abs(np.cos((w * (a - b) - shift) / 2)) * clock
        np.testing.assert_allclose(pizza_form(P, k, i, j, shift).numpy(), pizza.reshape(-1, P), atol=1e-12)
    assert torch.equal(pizza_form(P, k, i, j), pizza_form(P, k, i, j, 0.0))


def test_the_published_share_is_that_of_explained_variance_between_standardised_values():
    """scikit-learn's explained_variance_score, of which the authors' code makes it: 1 - var(x - y) / var(x)."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 7)), rng.standard_normal((40, 7))
    y += 2 * x + rng.standard_normal((40, 1))
    one, other = ((v - v.mean()) / v.std() for v in (x, y))
    assert explained(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(1 - (one - other).var() / one.var())


def test_exact_pizza_logits_are_clock_by_four_fifths():
    """MOTIFS, section 5: r = 0.900 between the two forms, 2r - 1 = 0.801. Of a prime order, as near as 1 / p^2."""
    i, j = torch.arange(59**2) // 59, torch.arange(59**2) % 59
    pizza, clock = pizza_form(59, 7, i, j), clock_form(59, 7, i, j)
    assert explained(pizza, clock) == pytest.approx(0.801, abs=1e-3)
    assert explained(pizza, pizza_form(59, 8, i, j)) == pytest.approx(-1, abs=1e-6)


def test_an_offset_is_that_of_the_first_operand_over_the_second():
    _, _, _, i, j = cube()
    assert offset(pizza_form(P, 5, i, j, -1.1), 5, i, j) == pytest.approx(-1.1, abs=0.02)
    assert offset(pizza_form(P, 5, j, i, -1.1), 5, i, j) == pytest.approx(1.1, abs=0.02)


def shifted(k, shift, p=P, m=24):
    """A disc of ReLU neurons whose second operand comes later in phase."""
    phase = 2 * np.pi * np.arange(m) / m
    w, token = 2 * np.pi * k / p, np.arange(p)[:, None]
    rows = [np.cos(w * token + phase + s) for s in (0, shift)]
    out = np.cos(w * token.T + 2 * phase[:, None] + shift)
    weights = {"W_x": rows[0], "W_y": rows[1], "W": np.concatenate([np.eye(m)] * 2), "W_U": out}
    return ModelView(TwoEmbeddingMLP({n: torch.from_numpy(w).float() for n, w in weights.items()}), f"add:{p}")


@pytest.mark.parametrize("shift", [0.0, 0.9, -2.0])
def test_a_disc_of_relu_neurons_is_a_pizza_whatever_the_offset_between_its_operands(shift):
    ((circle,), together) = circles(shifted(3, shift), [3], 0)
    assert circle.pizza > 0.995
    assert circle.clock == pytest.approx(0.801, abs=0.02)
    assert (circle.kept, together) == (1.0, 1.0)
    assert circle.removed == 0.0


def test_one_circle_of_two_is_kept_and_removed():
    """In a network of squares the logits of one are (1 + cos w(a - b)) cos w(a + b - c) times a number."""
    view = trig_mlp(p=P, frequencies=(2, 5), amplitudes=(1.0, 3.0), act_fn="square")
    (weak, strong), together = circles(view, [2, 5], 0)
    a, b, c, *_ = cube()
    for circle in (weak, strong):
        w = 2 * np.pi * circle.frequency / P
        logits = (1 + np.cos(w * (a - b))) * np.cos(w * (a + b - c))
        form = np.abs(np.cos(w * (a - b) / 2)) * np.cos(w * (a + b - c))
        r = np.corrcoef(logits.ravel(), form.ravel())[0, 1]
        assert circle.pizza == pytest.approx(2 * r - 1, abs=1e-4)
        assert circle.kept == circle.removed == 1.0  # either answers alone
    (other,), alone = circles(view, [3], 0)
    assert (other.clock, other.pizza, other.kept, other.removed, alone) == (None, None, 0.0, 1.0, 0.0)
    assert together == 1.0


def test_no_circle_is_no_share():
    assert circles(trig_mlp(p=7, frequencies=(2,)), [], 0) == ([], None)


def test_circles_and_swaps_are_of_the_group_and_not_of_the_tokens():
    """a b mod 11 is addition of logarithms: the same circuit under other tokens, with 0 outside the group."""
    own = trig_mlp(p=10, frequencies=(1, 3), act_fn="square")
    task = Task.parse("mul:11")
    left, right, answers = (torch.from_numpy(x) for x in (task.labels.left, task.labels.right, task.labels.answers))
    assert answers.tolist() != sorted(answers.tolist())
    w, m = own.weights, own.weights["W_x"].shape[1]
    weights = {"W_x": torch.zeros(11, m), "W_y": torch.zeros(11, m), "W": w["W"], "W_U": torch.zeros(m, 11)}
    weights["W_x"][left], weights["W_y"][right], weights["W_U"][:, answers] = w["W_x"], w["W_y"], w["W_U"]
    other = ModelView(TwoEmbeddingMLP(weights | {"b_U": -100.0 * (torch.arange(11) == 0)}, "square"), task)
    (found, together), (expected, all_of_them) = (circles(view, [1, 3], 0) for view in (other, own))
    for one, same in zip(found, expected, strict=True):
        assert one[:3] == pytest.approx(same[:3], abs=1e-5)
        assert one[3:] == pytest.approx(same[3:], abs=0.1)  # opposite operands tie, which rounding decides
    assert together == all_of_them
    assert swapped(other, 0, 0) == swapped(own, 0, 0)
    assert swapped(own, 0, 0)["square"] > 0
