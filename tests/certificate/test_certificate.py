"""The certificate is a lower bound whatever the weights are: perturbed, flipped, made to hurt, random, no numbers."""

from dataclasses import replace
from functools import cache
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import detectors
from detectors import Group, certify
from detectors.certificate.bounds import deviations, in_norms, one_by_one, tables
from detectors.certificate.circuit import circuit_of
from detectors.certificate.layers import layers_of
from detectors.core.errors import NotApplicable
from detectors.loading.layouts.two_embedding_mlp import TwoEmbeddingMLP
from detectors.subjects.operands.tables import find_group
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from models_zoo import coset_network, lookup_table, trig_mlp

ENOUGH = 1.0  # of the operations of a pass: in groups this small a proof costs nearly as much as counting
MAKERS = {
    "cyclic": lambda: trig_mlp(p=23, frequencies=(3, 5, 7)),
    "cosets": lambda: coset_network(Group.from_name("S4"), 6),
    "dihedral": lambda: detectors.load("zoo:d15_mlp"),
}


@cache
def made(name):
    return MAKERS[name]()


def changed(model, **weights):
    """The same model with other weights, given as functions of them."""
    found = {name: weights.get(name, lambda w: w)(w.clone()) for name, w in model.weights.items()}
    return ModelView(TwoEmbeddingMLP(found), model.task)


def margins(model):
    """By how much the right answer leads, of every pair, in float64."""
    w = {name: tensor.double() for name, tensor in model.weights.items()}
    wide, (a, b) = w["W_x"].shape[1], torch.from_numpy(np.indices(model.task.answer.shape).reshape(2, -1))
    hidden = ((w["W_x"] @ w["W"][:wide])[a] + (w["W_y"] @ w["W"][wide:])[b] + w.get("b_in", 0)).relu()
    logits = hidden @ w["W_U"] + w.get("b_U", 0)
    right = torch.from_numpy(model.task.answer.reshape(-1, 1))
    own = logits.gather(1, right)[:, 0]
    return own - logits.scatter(1, right, -torch.inf).amax(1)


def assert_sound(model, share=ENOUGH, seed=0):
    """Ties are wrong, and what float32 gets wrong is."""
    found = certify(model, share=share, seed=seed)
    assert found.certified_accuracy <= float((margins(model) > 0).double().mean())
    assert found.by_norms <= found.certified_accuracy <= 1
    assert found.share <= share
    logits = model.run(model.tokens_of(torch.arange(model.task.n_tokens**2)))[0]
    right = logits.argmax(1) == torch.from_numpy(model.task.answer.ravel())
    assert found.certified_accuracy <= float(right.double().mean())
    return found


@pytest.mark.parametrize("name", MAKERS)
def test_circuits_that_are_exact_are_proved(name):
    assert assert_sound(made(name)).certified_accuracy == 1


def test_a_third_of_a_pass_proves_most_of_a_circuit_of_s5():
    model = coset_network(Group.from_name("S5"), 24)
    found, m = assert_sound(model, 0.3), model.architecture["d_mlp"]
    assert found.certified_accuracy > 0.5
    assert found.brute_force_operations == 120**2 * (120 * m + 2 * m + 120)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(MAKERS)),
    st.sampled_from(["W_x", "W_y", "W", "W_U"]),
    st.floats(-4, 1.5),
    st.integers(0, 2**16),
)
def test_noise(name, where, log_size, seed):
    model = made(name)
    noise = np.random.default_rng(seed).standard_normal(model.weights[where].shape)
    size = 10**log_size * model.weights[where].std()
    assert_sound(changed(model, **{where: lambda w: w + size * torch.from_numpy(noise).float()}), seed=seed)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(MAKERS)),
    st.lists(
        st.tuples(st.sampled_from(["W_x", "W_y", "W", "W_U"]), st.integers(0, 10**6), st.integers(0, 31)), max_size=9
    ),
)
def test_flipped_bits(name, flips):
    model = made(name)

    def flipped(where):
        def edit(w):
            bits = w.numpy().reshape(-1).view(np.int32)
            for place, bit in ((p, b) for of, p, b in flips if of == where):
                bits[place % len(bits)] ^= np.int32(1 << bit) if bit < 31 else np.int32(-(2**31))
            return w

        return edit

    assert_sound(changed(model, **{where: flipped(where) for where in ("W_x", "W_y", "W", "W_U")}))


def random_network(name, rng, scale, biased):
    n, m = Group.from_name(name).order, 12
    shapes = {"W_x": (n, 5), "W_y": (n, 5), "W": (10, m), "W_U": (m, n)}
    shapes |= {"b_in": (m,), "b_U": (n,)} if biased else {}
    weights = {k: torch.from_numpy(rng.standard_normal(shape) * scale).float() for k, shape in shapes.items()}
    return ModelView(TwoEmbeddingMLP(weights), f"compose:{name}")


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**16),
    st.sampled_from(["C7", "S3", "D4", "C2xC2xC2", "Dic3"]),
    st.floats(-3, 3),
    st.booleans(),
    st.sampled_from([0.02, 0.3, 2.0]),
    st.sampled_from([80.0, 120.0, 1e9]),
)
def test_random_networks_bound_every_answer_from_below(seed, name, log_scale, biased, key, allowance):
    """Not only the accuracy: the bound of each pair and kind of answer, for any weights at all, whatever is read of the
    neurons (allowance) and bounded by itself (key).
    """
    group, model = Group.from_name(name), random_network(name, np.random.default_rng(seed), 10**log_scale, biased)
    n, layers = group.order, layers_of(model)
    with patch("detectors.certificate.circuit.KEY", key):
        assert_sound(model, seed=seed)
        circuit = circuit_of(layers, allowance, seed)
    shared = tables(layers, circuit)
    found = deviations(layers, circuit, np.arange(n))
    logits = np.maximum(layers.left[:, None] + layers.right, 0.0) @ layers.readout + layers.bias
    a, b, g = np.indices((n, n, n))
    other = np.take_along_axis(logits, group.table[group.table[a, g], b], axis=2)
    leads = np.take_along_axis(logits, group.table[:, :, None], axis=2) - other
    lower = in_norms(layers, shared, found)
    for kind in set(layers.kinds.tolist()) - {int(layers.kinds[group.identity])}:
        least = leads[:, :, layers.kinds == kind].min(2)
        assert (lower[:, :, kind] <= least + shared.slack).all()
    # held against more than 0, so that some pairs are at the edge of being proved
    leads[:, :, group.identity] = np.inf
    least, pairs = leads.min(2).ravel(), tuple(np.indices((n, n)).reshape(2, -1))
    for raised in np.quantile(least, [0.1, 0.5, 0.9]):
        at = replace(shared, slack=shared.slack + raised)
        proved, _ = one_by_one(layers, circuit, at, found, lower.reshape(n * n, -1), pairs)
        assert (least[proved] > raised).all()


def one_more_neuron(model, a, b, size, wrong):
    """A neuron that is active at one pair, and there gives `size` to a wrong answer."""
    w, n = model.weights, model.task.n_tokens
    x, y = (torch.cat([w[name], 2.0 * (torch.arange(n) == t)[:, None]], 1) for name, t in (("W_x", a), ("W_y", b)))
    wide, m = w["W_x"].shape[1], w["W"].shape[1]
    first = torch.zeros(2 * (wide + 1), m + 1)
    first[:wide, :m], first[wide + 1 : -1, :m] = w["W"][:wide], w["W"][wide:]
    first[wide, m] = first[-1, m] = 1.0
    bias = torch.zeros(m + 1)
    bias[m] = -3.0
    out = torch.zeros(1, w["W_U"].shape[1])
    out[0, wrong] = size
    weights = {"W_x": x, "W_y": y, "W": first, "W_U": torch.cat([w["W_U"], out]), "b_in": bias}
    return ModelView(TwoEmbeddingMLP(weights), model.task)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(("over", "right"), [(1.01, False), (0.05, True)])
def test_one_pair_that_is_made_wrong_is_not_proved(name, over, right):
    """The worst case: a circuit that is right everywhere, but for a backdoor of one pair."""
    model = made(name)
    n, pair = model.task.n_tokens, int(margins(model).argmin())
    logits = model.logits()[pair].clone()
    logits[model.task.answer.ravel()[pair]] = -torch.inf
    backdoor = one_more_neuron(model, pair // n, pair % n, over * float(margins(model)[pair]), int(logits.argmax()))
    assert bool((margins(backdoor) > 0).all()) is right
    assert 0.95 < assert_sound(backdoor).certified_accuracy <= 1 - (not right) / n**2


@pytest.mark.parametrize("name", MAKERS)
def test_ties_are_not_proved(name):
    def twin(w):
        w[:, 1] = w[:, 0]
        return w

    found = assert_sound(changed(made(name), W_U=twin))
    assert found.certified_accuracy <= 1 - 2 / made(name).task.n_tokens


@pytest.mark.parametrize("size", [1e-38, 1e-30, 1e12, 1e30])
def test_sizes_at_which_float32_ends(size):
    assert_sound(changed(made("cyclic"), W_U=lambda w: w * size))
    assert_sound(changed(made("cyclic"), W_x=lambda w: w * size, W_y=lambda w: w * size))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 0.0])
def test_what_is_no_number_proves_nothing_and_nor_do_ties_of_all_answers(value):
    for where in ("W", "W_U"):
        assert certify(changed(made("cyclic"), **{where: lambda w: w * 0 + value})).certified_accuracy == 0
    assert_sound(changed(made("cyclic"), W_x=lambda w: w * 0 + value))


def test_a_margin_that_rounding_in_float32_may_eat_is_not_proved():
    """All answers but for 1e-6 of the logits are the same: right in float64, and a matter of luck in float32."""
    model = changed(made("cyclic"), W_U=lambda w: 1e-7 * w)
    weights = dict(model.weights) | {"b_U": torch.full((23,), 1e3)}
    drowned = ModelView(TwoEmbeddingMLP(weights), model.task)
    assert float((margins(drowned) > 0).double().mean()) == 1
    assert certify(drowned, share=ENOUGH).certified_accuracy == 0


def test_operations_are_no_more_than_allowed_and_more_prove_no_less_of_an_exact_circuit():
    model = coset_network(Group.from_name("S4"), 6)
    shares = (0.05, 0.3, 0.9, 1.0)
    found = [certify(model, share=share) for share in shares]
    assert all(f.share <= share for f, share in zip(found, shares, strict=True))
    assert found[0].certified_accuracy == 0
    assert found[0].why.startswith("a pass over all pairs is so small")
    assert found[-1].certified_accuracy == 1
    with pytest.raises(ValueError, match="share lies in \\(0, 1\\], not 0"):
        certify(model, share=0)


def test_other_names_of_the_elements_prove_as_much():
    model, rng = made("cyclic"), np.random.default_rng(1)
    left, right, answers = (rng.permutation(23) for _ in range(3))
    table = np.empty((23, 23), dtype=np.int64)
    table[np.ix_(left, right)] = answers[model.task.answer]
    weights = {k: w.clone() for k, w in model.weights.items()}
    weights["W_x"][left], weights["W_y"][right] = model.weights["W_x"], model.weights["W_y"]
    weights["W_U"][:, answers] = model.weights["W_U"]
    task = Task("renamed", table, 23, find_group(table))
    assert assert_sound(ModelView(TwoEmbeddingMLP(weights), task)).certified_accuracy == 1


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (lambda: trig_mlp(p=7, frequencies=(2,), act_fn="square"), "its neurons are square, not relu"),
        (lambda: lookup_table("add:7", train_fraction=0.5), "two embeddings and one hidden layer"),
        (lambda: detectors.load("zoo:min53_mlp"), "has no group"),
        (lambda: changed(made("cyclic"), W=lambda w: w.half()), "these weights are coarser"),
    ],
)
def test_of_other_models_there_is_none_and_it_is_said_why(model, why):
    with pytest.raises(NotApplicable, match=why):
        certify(model())


def test_memorisers_and_untrained_networks_are_at_chance():
    for name in ("add53_mlp_memorised", "add53_mlp_untrained", "a5_mlp_memorised"):
        model = detectors.load(f"zoo:{name}")
        assert certify(model, share=ENOUGH).certified_accuracy <= 1 / model.task.n_tokens
