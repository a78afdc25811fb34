"""Neurons that cancel each other weigh nothing, and no others."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import detectors
import models_zoo
from detectors.subjects.operands.effects import effects
from detectors.subjects.operands.idle import idle
from detectors.subjects.operands.view import ModelView
from models_zoo.hostile.constructions import Patched, beside


def cancelling(view, count, *, of=2, inputs=None, size=1.0, apart=0.0):
    """Beside it `count` sets of `of` neurons of one input whose readouts add up to nothing. apart: of the inputs of a
    set's first neuron, what is noise of its own.
    """
    generator = torch.Generator().manual_seed(3)
    w, n = view.network.weights, view.network.n_tokens
    draw = (lambda *shape: torch.randn(*shape, generator=generator)) if inputs is None else inputs
    each = [draw(n, count) * float(view.preactivations(0).std()) for _ in range(2)]
    out = torch.randn(of - 1, count, w["W_U"].shape[1], generator=generator)
    out = out * size * w["W_U"].norm(dim=1).median() / out.norm(dim=2, keepdim=True)
    out = torch.cat([out, -out.sum(0, keepdim=True)])
    left, right = (torch.cat([x] * of, 1) for x in each)
    left[:, :count] += apart * each[0].std() * torch.randn(n, count, generator=generator)
    return beside(view, left, right, out.reshape(of * count, -1))


def disc(n, count):
    """One frequency a neuron, of either operand alike."""
    generator = torch.Generator().manual_seed(4)
    k = torch.randint(1, n // 2, (count,), generator=generator)
    return (2 * torch.pi * torch.arange(n)[:, None] * k / n + k).cos()


@pytest.fixture(scope="module")
def mlp():
    return detectors.load("zoo:add53_mlp")


@pytest.mark.parametrize(
    "how", [{}, {"of": 3}, {"inputs": disc}, {"size": 30.0}, {"apart": 0.1}], ids=lambda how: "".join(how)
)
def test_neurons_whose_readouts_cancel_have_no_effect_and_the_others_keep_theirs(mlp, how):
    made = cancelling(mlp, 40, **how)
    assert made.figures().accuracy.all == mlp.figures().accuracy.all
    found, own = effects(made, 0).numpy(), effects(mlp, 0).numpy()
    assert not found[len(own) :].any()
    np.testing.assert_allclose(found[: len(own)], own)


def test_by_gradient_they_are_found_as_well(mlp):
    """Where the network does not say that its readout is linear."""
    made = cancelling(mlp, 40)
    unread = ModelView(Patched(made.network, lambda pairs, logits: logits, linear=False), made.task)
    assert unread.readout(0) is None
    found, power = effects(unread, 0), made.neurons(0).double().var(0)
    assert not found[128:].any()
    assert float((power * effects(made, 0))[found == 0].sum()) < 1e-3 * float((power * effects(made, 0)).sum())


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    "name", ["trig_product_neurons", "addition_mechanism", "single_irrep_neurons", "neuron_phase_law"]
)
def test_cancelling_neurons_of_noise_or_of_discs_move_no_value(mlp, name):
    """Without `idle` forty pairs of noise halve each, and forty of a disc move neuron_phase_law by a third."""
    motif = getattr(detectors, name)
    for how in ({}, {"inputs": disc}):
        moved, own = motif(cancelling(mlp, 40, **how), draws=19), motif(mlp, draws=19)
        assert moved.value == pytest.approx(own.value, abs=1e-6)


def test_cancelling_neurons_of_noise_do_not_hide_cosets():
    exact = models_zoo.coset_network(detectors.Group.from_name("S4"), order=6)
    assert detectors.coset_neurons(cancelling(exact, 40), draws=19).value == pytest.approx(1)


def test_a_pair_that_does_something_together_is_kept(mlp):
    """Of one input and readouts at a right angle, or of opposite readouts and other inputs."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(53, 2, generator=generator)
    out = torch.randn(2, 53, generator=generator)
    out[1] -= (out[1] @ out[0]) / (out[0] @ out[0]) * out[0]
    one_input = beside(mlp, x[:, :1].expand(-1, 2), x[:, :1].expand(-1, 2), out)
    opposite = beside(mlp, x, x.flip(1), torch.stack([out[0], -out[0]]))
    for made in (one_input, opposite):
        assert (effects(made, 0)[128:] > 0).all()


def test_a_network_that_computes_by_small_differences_keeps_all_its_neurons():
    """Hinges: a function whose second differences alternate has neurons that all but cancel, and is what they add."""
    x = torch.linspace(0, 1, 200, dtype=torch.float64)[:, None]
    hinges = torch.relu(x - torch.linspace(0, 0.9, 10, dtype=torch.float64))
    hinges = (hinges - hinges.mean(0)) * torch.tensor([1.0] + [-2.0, 2.0] * 4 + [-2.0], dtype=torch.float64)
    gram = hinges.T @ hinges
    assert float(gram.sum() / gram.trace()) < 0.1  # all together are next to nothing of what they are apart
    assert not idle(gram).any()


@given(st.integers(0, 10**6), st.integers(2, 12))
def test_contributions_that_all_pull_one_way_are_never_idle(seed, m):
    """Inner products of at least zero: taking anything away costs its own square."""
    rows = np.abs(np.random.default_rng(seed).standard_normal((m, 5)))
    assert not idle(torch.from_numpy(rows @ rows.T)).any()


def test_neurons_that_add_nothing_are_no_reason_to_fail():
    """Nothing is lost by them, and they have no weight to lose."""
    assert idle(torch.zeros(3, 3, dtype=torch.float64)).shape == (3,)
