"""Changes of coordinates leave the function as it is, changes of names leave the group's law, noise changes both."""

import numpy as np
import pytest
import torch

import detectors
from detectors.rewire import COORDINATES, RELABELLINGS, noisy, renamed
from models_zoo import group_network, trig_mlp

MODELS = {
    "transformer": lambda: detectors.load("zoo:d15_transformer"),
    "with LayerNorm and biases": lambda: detectors.load("zoo:add53_ln_gelu"),
}


def accuracy(view):
    """Right answers by the labels of the group, whatever they are."""
    labels, table = view.labels, view.group.table
    predicted = view.logits()[view.grid.reshape(-1)].argmax(1).numpy()
    return float((predicted == labels.answers[table.reshape(-1)]).mean())


@pytest.mark.parametrize("name", COORDINATES)
@pytest.mark.parametrize("model", MODELS)
def test_a_change_of_coordinates_leaves_the_function(model, name):
    view = MODELS[model]()
    changed = COORDINATES[name](view, 3)
    before, after = view.logits(), changed.logits()
    if name == "logit_shift":
        before, after = (x - x.mean(1, keepdim=True) for x in (before, after))
    if name == "logit_scale":
        after = after * (before.std() / after.std())
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("residual_rotation", lambda v: v.embedding(0)),
        ("residual_scale", lambda v: v.embedding(0)),
        ("embedding_scale", lambda v: v.embedding(0)),
        ("embedding_offset", lambda v: v.embedding(0)),
        ("neuron_permutation", lambda v: v.neurons()),
        ("neuron_scale", lambda v: v.neurons()),
        ("head_permutation", lambda v: v.attention()),
        ("head_gauge", lambda v: v.network.weights["blocks.0.attn.W_V"]),
        ("logit_shift", lambda v: v.logits()),
    ],
)
def test_what_is_seen_does_change(name, seen):
    view = MODELS["transformer"]()
    assert not torch.allclose(seen(COORDINATES[name](view, 3)), seen(view), rtol=0.05)


@pytest.mark.parametrize("name", ["neuron_permutation", "neuron_scale"])
def test_an_edit_in_other_coordinates_is_the_edit(name):
    """All neurons set to their mean, by hook and by the readout."""
    view = MODELS["transformer"]()
    changed = COORDINATES[name](view, 3)
    pairs = torch.arange(0, 900, 7)
    point = "blocks.0.mlp.hook_post"
    outputs = []
    for v in (view, changed):
        mean = v.neurons().mean(0)
        edited, _ = v.run(v.tokens_of(pairs), edit={point: lambda x, mean=mean: mean.expand_as(x)})
        torch.testing.assert_close(
            v.logits()[pairs] + (mean - v.neurons()[pairs]) @ v.readout(), edited, rtol=1e-3, atol=1e-3
        )
        outputs.append(edited)
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-3, atol=1e-3)


def test_each_neuron_and_each_head_has_a_unit_of_its_own():
    view = MODELS["transformer"]()
    ratio = COORDINATES["neuron_scale"](view, 3).neurons().std(0) / view.neurons().std(0)
    assert 1e-3 < float(ratio[ratio.isfinite()].min()) < 3e-3
    assert 3e2 < float(ratio[ratio.isfinite()].max()) < 1e3
    name = "blocks.0.attn.W_V"
    ratio = COORDINATES["head_gauge"](view, 3).network.weights[name].norm(dim=(1, 2)) / view.weight(name).norm(
        dim=(1, 2)
    )
    assert len({round(float(r), 3) for r in ratio}) == len(ratio) > 1


@pytest.mark.parametrize("name", RELABELLINGS)
@pytest.mark.parametrize("make", [lambda: trig_mlp(p=13, frequencies=(2, 5)), lambda: MODELS["transformer"]()])
def test_new_names_keep_the_law(name, make):
    view = make()
    changed = RELABELLINGS[name](view, 5)
    assert accuracy(view) == accuracy(changed) == 1.0
    moved = [getattr(changed.labels, k).tolist() != getattr(view.labels, k).tolist() for k in ("left", "answers")]
    assert all(moved)


def test_renamed_tokens_break_it():
    view = group_network(detectors.Group.from_name("S4"), [3])
    assert accuracy(renamed(view, np.random.default_rng(0).permutation(24))) < 0.3


def test_noise_has_the_size_that_it_says():
    view = trig_mlp(p=23, frequencies=(3,))
    for scale in (0.1, 10.0):
        added = noisy(view, scale, seed=0).embedding(1) - view.embedding(1)
        assert float(added.std() / view.embedding(1).std()) == pytest.approx(scale, rel=0.2)


def test_the_gain_of_each_norm_is_taken_back_by_what_follows_it():
    """Every norm of a network with LayerNorm has moved, none of its logits."""
    view = detectors.load("zoo:add53_ln_gelu")
    changed = COORDINATES["norm_gain"](view, 3)
    for norm in ("blocks.0.ln1", "blocks.0.ln2", "ln_final"):
        gain, bias = (changed.weight(f"{norm}.{part}") / view.weight(f"{norm}.{part}") for part in ("w", "b"))
        torch.testing.assert_close(gain, bias)
        assert float(gain.max() / gain.min()) > 20
    torch.testing.assert_close(changed.logits(), view.logits(), rtol=1e-4, atol=1e-4)
