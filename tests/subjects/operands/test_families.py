"""What a neuron does to the logits, and that no choice of its units moves a share."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from detectors.core.nulls import permutations
from detectors.loading.layouts.two_embedding_mlp import TwoEmbeddingMLP
from detectors.subjects.operands.effects import effects, embedded_effects, known_effects, weighed_by
from detectors.subjects.operands.families import NULL_RANK, Families, alive, families, permuted
from detectors.subjects.operands.view import ModelView
from models_zoo import trig_mlp
from models_zoo.hostile import circuits
from models_zoo.hostile.constructions import Patched
from models_zoo.stacks import Stack, initial

STACK = {"layers": 2, "d": 10, "m": 8, "shared": False, "act": "relu", "residual": True, "norm": False}


def unread(view):
    """The same network, which does not say that its readout is linear."""
    return ModelView(Patched(view.network, lambda pairs, logits: logits, linear=False), view.task)


def stack(p=7, **other):
    config = STACK | other
    return ModelView(Stack(config, initial(config, p, 1)), f"add:{p}")


def rescaled(view, factors):
    """The same ReLU network: input weights of each neuron times its factor, output weights over it."""
    w = view.network.weights
    scaled = {"W": w["W"] * factors, "W_U": w["W_U"] / factors[:, None]}
    return ModelView(TwoEmbeddingMLP({**w, **scaled}), view.task)


# ---- effects


def test_an_effect_is_the_squared_norm_of_the_readout_row_centred_over_the_answers():
    view = trig_mlp(p=11, frequencies=(2, 3))
    readout = view.network.weights["W_U"].numpy().astype(float)
    expected = ((readout - readout.mean(1, keepdims=True)) ** 2).sum(1)
    np.testing.assert_allclose(effects(view, 0).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("build", [lambda: trig_mlp(p=11, frequencies=(2, 3)), stack])
def test_by_gradient_effects_are_those_of_a_linear_readout(build):
    """Up to the error of the estimate, 3% of a neuron; five of them here."""
    view = build()
    layer = view.neuron_layers[-1]
    assert unread(view).readout(layer) is None
    exact, estimated = effects(view, layer), effects(unread(view), layer)
    assert exact.shape == estimated.shape
    np.testing.assert_allclose(estimated.numpy(), exact.numpy(), rtol=0.16)
    assert float(estimated.sum()) == pytest.approx(float(exact.sum()), rel=0.05)


def test_by_gradient_an_effect_goes_through_the_layers_that_follow():
    """Of the first of two layers: mean over pairs of the squared norm of the derivative, by differences; the estimate
    from 169 pairs is exact to 4%.
    """
    view = stack(p=13, norm=True)
    pairs = torch.arange(169)
    tokens, neurons = view.tokens_of(pairs), view.neurons(0)
    found, step = effects(view, 0), 1e-3
    for j in range(8):

        def logits(change, j=j):
            moved = neurons + change * torch.eye(8)[j]
            return view.run(tokens, edit={"blocks.0.mlp.hook_post": lambda _: moved[:, None]})[0].double()

        slope = (logits(step) - logits(-step)) / (2 * step)
        slope = slope - slope.mean(1, keepdim=True)
        assert float(found[j]) == pytest.approx(float(slope.square().sum(1).mean()), rel=0.2)


def test_a_readout_that_raises_all_answers_alike_does_nothing():
    view = trig_mlp(p=11, frequencies=(2, 3))
    weights = dict(view.network.weights)
    weights["W_U"] = weights["W_U"].clone()
    weights["W_U"][4] = 100.0
    for other in (
        ModelView(TwoEmbeddingMLP(weights), view.task),
        unread(ModelView(TwoEmbeddingMLP(weights), view.task)),
    ):
        found = effects(other, 0)
        assert float(found[4]) < 1e-6 * float(found.max())
        kept = alive(families(other, other.neurons(0), found).total)
        assert 4 not in kept.tolist()
        assert len(kept) == len(found) - 1


def test_where_nothing_reaches_the_logits_all_neurons_count_alike():
    view = trig_mlp(p=11, frequencies=(2,))
    weights = {**view.network.weights, "W_U": torch.zeros(9, 11)}
    for other in (
        ModelView(TwoEmbeddingMLP(weights), view.task),
        unread(ModelView(TwoEmbeddingMLP(weights), view.task)),
    ):
        assert effects(other, 0).tolist() == [1.0] * 9


def test_where_all_neurons_raise_every_answer_alike_they_count_alike():
    """By gradient rounding was left of it, and weighed them."""
    view = trig_mlp(p=11, frequencies=(2,))
    weights = {**view.network.weights, "W_U": torch.linspace(0.1, 97.3, 9)[:, None].expand(9, 11).clone()}
    for other in (
        ModelView(TwoEmbeddingMLP(weights), view.task),
        unread(ModelView(TwoEmbeddingMLP(weights), view.task)),
    ):
        assert known_effects(other, 0) is None
        assert effects(other, 0).tolist() == [1.0] * 9


def detached(view):
    """The same network, of whose forward pass no gradient comes back."""
    return ModelView(Patched(view.network, lambda pairs, logits: logits.detach(), linear=False), view.task)


def test_without_a_gradient_effects_are_unknown_and_ones():
    view = trig_mlp(p=11, frequencies=(2,))
    for other in (detached(view), half_detached(view)):
        assert known_effects(other, 0) is None
        assert effects(other, 0).tolist() == [1.0] * 9
        assert weighed_by(other) == "power"
    assert known_effects(unread(view), 0) is not None
    assert (weighed_by(view), weighed_by(unread(view)), weighed_by(stack(residual=False, d=8))) == (
        "effect",
        "effect",
        "unit",
    )


def half_detached(view):
    """Logits that have a gradient, though none that reaches the neurons: of a parameter that is only added."""
    bias = torch.zeros(11, requires_grad=True)
    return ModelView(Patched(view.network, lambda pairs, logits: logits.detach() + bias, linear=False), view.task)


def test_trig_neurons_that_write_nothing_have_no_weight():
    view = circuits.unread_trig_neurons(p=17)
    trig = torch.nonzero(view.network.weights["b_in"] == 0).squeeze(1)
    kept = alive(families(view, view.neurons(0), effects(view, 0)).total)
    assert len(trig) == 9
    assert not set(trig.tolist()) & set(kept.tolist())


# ---- units


@given(st.integers(0, 9999))
@pytest.mark.parametrize("linear", [True, False])
def test_a_neuron_in_other_units_is_the_same_neuron(linear, seed):
    view = trig_mlp(p=11, frequencies=(2, 3), amplitudes=(1.0, 0.3))
    factors = 10 ** torch.from_numpy(np.random.default_rng(seed).uniform(-4, 4, 18)).float()
    other = rescaled(view, factors)
    torch.testing.assert_close(other.logits(), view.logits(), atol=1e-3, rtol=1e-4)
    found = [(v if linear else unread(v)) for v in (view, other)]
    first, second = (families(v, v.neurons(0), effects(v, 0)) for v in found)
    torch.testing.assert_close(second.total, first.total, rtol=1e-3, atol=0)
    assert torch.equal(alive(second.total).sort().values, alive(first.total).sort().values)
    torch.testing.assert_close(second.shares()[1], first.shares()[1], rtol=1e-3, atol=1e-6)


def test_without_the_effect_units_would_decide():
    view = trig_mlp(p=11, frequencies=(2, 3), amplitudes=(1.0, 0.3))
    factors = torch.ones(18)
    factors[0] = 1e4
    ones = torch.ones(18, dtype=torch.float64)
    first, second = (families(v, v.neurons(0), ones).shares()[1] for v in (view, rescaled(view, factors)))
    assert float((first - second).abs().max()) > 0.3


# ---- shares


def test_shares_are_the_weighted_mean_of_each_neurons_largest():
    found = Families(
        torch.tensor([6.0, 3.0, 1.0], dtype=torch.float64),
        torch.tensor([[5.0, 1.0], [0.0, 1.5], [0.5, 0.1]], dtype=torch.float64),
    )
    mean, shares = found.shares()
    assert mean == pytest.approx(0.7)  # (5 + 1.5 + 0.5) / 10
    assert shares.tolist() == pytest.approx([0.55, 0.15])
    assert found.of(torch.tensor([1])).shares()[0] == pytest.approx(0.5)
    nothing = Families(torch.zeros(2, dtype=torch.float64), torch.zeros(2, 2, dtype=torch.float64))
    assert nothing.shares()[0] == 0


def test_square_neurons_of_one_frequency_are_in_its_family_and_the_next_harmonic():
    """(cos x + cos y)^2 = 1 + cos 2x / 2 + cos 2y / 2 + 2 cos x cos y, of powers 0, 1/8, 1/8 and 1."""
    view = trig_mlp(p=11, frequencies=(2,), act_fn="square")
    found = families(view, view.neurons(0), effects(view, 0))
    names = [i.name for i in view.group.irreps[1:]]
    shares = (found.power / found.total[:, None]).numpy()
    np.testing.assert_allclose(shares[:, names.index("freq_2")], 0.8, rtol=1e-5)
    np.testing.assert_allclose(shares[:, names.index("freq_4")], 0.2, rtol=1e-5)
    mean, by_irrep = found.shares()
    assert mean == pytest.approx(0.8, rel=1e-5)
    assert float(by_irrep[names.index("freq_2")]) == pytest.approx(mean)


@pytest.mark.parametrize("spec", [(0, 0), (3, 3), (3, 2)])
def test_under_a_permutation_shares_are_those_of_renamed_tokens(spec):
    """Of square neurons, which have rank 3, so that their factors are exact."""
    draws, seed = 4, spec[1]
    view = trig_mlp(p=11, frequencies=(2, 3), amplitudes=(1.0, 0.5), act_fn="square")
    effect = effects(view, 0)
    strongest = alive(families(view, view.neurons(0), effect).total)[: spec[0] or None]
    observed, null, shares, alike = permuted(view, view.neurons(0), strongest, effect, draws, seed, NULL_RANK)
    own = families(view, view.neurons(0), effect).of(strongest).shares()[0]
    assert observed == pytest.approx(own, rel=1e-4)
    grid = view.grid
    for draw, perm in enumerate(permutations(11, draws, seed)):
        view.grid = grid[perm][:, perm]
        mean, by_irrep = families(view, view.neurons(0), effect).of(strongest).shares()
        assert float(null[draw]) == pytest.approx(mean, rel=1e-4)
        torch.testing.assert_close(shares[draw], by_irrep, rtol=1e-3, atol=1e-6)
        torch.testing.assert_close(
            alike[draw], families(view, view.neurons(0), effect).of(strongest).alike(), rtol=1e-3, atol=1e-6
        )


def test_neurons_counted_alike_do_not_know_of_weights():
    """By hand: two neurons of the first irrep and one of the second, which has a thousand times the weight."""
    found = Families(
        torch.tensor([1.0, 2.0, 1000.0]).double(), torch.tensor([[0.5, 0.1], [2.0, 0.0], [0.0, 900.0]]).double()
    )
    assert found.alike().tolist() == pytest.approx([(0.5 + 1.0) / 3, 0.9 / 3])
    assert found.shares()[1].tolist() == pytest.approx([2.5 / 1003, 900 / 1003])


# ---- the dead


def test_a_millionth_of_the_median_weight_is_dead():
    total = torch.tensor([4.0, 1.0, 0.0, 1.1e-6, 1.0, 0.9e-6, 1.0, 0.0, 2.0], dtype=torch.float64)
    assert alive(total).tolist() == [0, 8, 1, 4, 6, 3]
    assert alive(1e-30 * total).tolist() == alive(total).tolist()  # in any units
    assert alive(torch.zeros(3, dtype=torch.float64)).tolist() == []


# ---- the embedding in the neurons' units


def moved(view, change):
    """The view with something added to what its activation function is given: change(tokens, values)."""

    class Moved(Patched):
        def forward(self, tokens, hook):
            def between(name, tensor):
                tensor = tensor + change(tokens, tensor) if name.endswith("hook_pre") else tensor
                return hook(name, tensor)

            return self.inner.forward(tokens, between)

    return ModelView(Moved(view.network, lambda pairs, logits: logits, linear=True), view.task)


def test_an_embedding_that_is_the_neurons_has_their_units_and_a_bias_is_no_matter(grokked):
    view = trig_mlp(p=11, frequencies=(2, 3))
    before, after = (x.double().var(0, correction=0) for x in (view.preactivations(), view.neurons()))
    torch.testing.assert_close(embedded_effects(view), effects(view, 0) * after / before)
    assert embedded_effects(moved(view, lambda _, x: 0.7 * torch.ones_like(x))) is not None
    assert embedded_effects(grokked) is None  # attention between
    assert embedded_effects(stack(residual=False, d=8)) is None  # a matrix between


@pytest.mark.parametrize(("size", "same"), [(3e-6, True), (3e-5, False), (0.1, False)])
def test_more_than_rounding_between_embedding_and_neurons_is_a_part_of_its_own(size, same):
    """What is added goes with the product of the operands, so that neither of them carries it."""
    view = trig_mlp(p=11, frequencies=(2, 3))
    largest = float(view.preactivations(0).abs().max())

    def change(tokens, x):
        return size * largest * (torch.where(tokens[:, 0] == tokens[:, 1], 1.0, 0.0)[:, None, None]).expand_as(x)

    assert (embedded_effects(moved(view, change)) is not None) == same
