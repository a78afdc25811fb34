"""A neuron weighs what it does to the logits, whatever its unit, and of several layers the purest is spoken of."""

import numpy as np
import pytest
import torch
from torch import Tensor

import detectors
from detectors import trig_product_neurons
from detectors.core.registry import picture_of
from detectors.subjects.hooks import Hook
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from fixtures.transforms import with_weights
from models_zoo import trig_mlp
from models_zoo.analytic import _BilinearNetwork
from models_zoo.hostile.constructions import Patched

FEW = {"draws": 39}


@pytest.mark.wide
@pytest.mark.parametrize("factor", [1e4, 1e-4])
@pytest.mark.parametrize("neuron", [0, 200])
def test_one_neuron_in_another_unit_changes_nothing(grokked, neuron, factor):
    scale = torch.ones(grokked.neurons().shape[1])
    scale[neuron] = factor
    into, bias, out = (grokked.weight(f"blocks.0.mlp.{w}") for w in ("W_in", "b_in", "W_out"))
    other = with_weights(
        grokked,
        blocks__0__mlp__W_in=into * scale,
        blocks__0__mlp__b_in=bias * scale,
        blocks__0__mlp__W_out=out / scale[:, None],
    )
    before, after = trig_product_neurons(grokked, **FEW), trig_product_neurons(other, **FEW)
    for name in ("value", "mean_share", "with_harmonic", "share_above_085"):
        assert getattr(after, name) == pytest.approx(getattr(before, name), abs=1e-4)
    assert after.neurons.numbers[:20] == before.neurons.numbers[:20]
    assert (after.live, after.key_irreps) == (before.live, before.key_irreps)
    assert after.causal.necessity == pytest.approx(before.causal.necessity, abs=0.02)


def two_neurons(*readouts: float) -> ModelView:
    """A wave of frequency 2, and noise ten times as tall, each read as cos of c by this factor."""
    wave = np.cos(2 * np.pi * 2 * np.arange(11) / 11)
    cube = np.stack([np.repeat(wave[:, None], 11, 1), 10 * np.random.default_rng(0).standard_normal((11, 11))], axis=2)
    read = torch.tensor(readouts)[:, None] * torch.from_numpy(wave).float()
    network = _BilinearNetwork(torch.eye(11), torch.from_numpy(cube).float(), read)
    return ModelView(network, Task.parse("add:11"))


def test_a_neuron_that_nothing_reads_weighs_nothing():
    score = trig_product_neurons(two_neurons(1.0, 0.0), **FEW)
    assert (score.live, score.dead, score.irreps) == (1, 1, ("freq_2",))
    assert score.mean_share == pytest.approx(1)
    read = trig_product_neurons(two_neurons(1.0, 0.1), **FEW)
    assert read.live == 2
    assert read.mean_share < 0.8


def test_what_is_added_to_all_answers_alike_is_read_by_nobody():
    view = two_neurons(1.0, 0.0)
    weights = dict(view.network.weights) | {"U": view.weight("U") + torch.tensor([[0.0], [5.0]])}
    network = _BilinearNetwork(*(weights[k] for k in ("E", "H", "U")))
    score = trig_product_neurons(ModelView(network, view.task), **FEW)
    assert score.mean_share == pytest.approx(1, abs=1e-6)


def test_a_weight_is_the_power_times_the_squared_norm_of_the_row_that_reads_it():
    """Three neurons of power 1, 4 and 1 with rows of norm 2, 1 and 1: weights 4, 4 and 1, of which the last is pure."""
    wave = {k: np.repeat(np.cos(2 * np.pi * k * np.arange(13) / 13)[:, None], 13, 1) for k in (1, 2, 3, 5)}
    mixed = 0.5**0.5 * (wave[1] + wave[2])
    cube = np.stack([mixed, 2 * wave[3], wave[5]], axis=2)
    row = torch.from_numpy(np.cos(2 * np.pi * np.arange(13) / 13)).float()
    read = torch.tensor([2.0, 1.0, 1.0])[:, None] * row
    view = ModelView(_BilinearNetwork(torch.eye(13), torch.from_numpy(cube).float(), read), Task.parse("add:13"))
    assert trig_product_neurons(view, **FEW).mean_share == pytest.approx((0.5 * 4 + 4 + 1) / 9, abs=1e-6)


class Deep:
    """A network whose neurons are passed through two layers more, which mix them and which the end takes back."""

    n_layers = 3

    def __init__(self, inner, seed: int = 0) -> None:
        m, rng = inner.readout(0).shape[0], np.random.default_rng(seed)
        self.inner, self.n_tokens, self.weights, self.architecture = inner, inner.n_tokens, {}, inner.architecture
        self.turns = [torch.from_numpy(np.linalg.qr(rng.standard_normal((m, m)))[0]).float() for _ in range(2)]

    def forward(self, tokens: Tensor, hook: Hook) -> Tensor:
        def outer(name: str, x: Tensor) -> Tensor:
            x = hook(name, x)
            if name.endswith("hook_post"):
                for layer, turn in enumerate(self.turns, 1):
                    x = hook(f"blocks.{layer}.mlp.hook_post", x @ turn)
                x = x @ self.turns[1].T @ self.turns[0].T
            return x

        return self.inner.forward(tokens, outer)

    def embedding(self, operand: int) -> Tensor:
        return self.inner.embedding(operand)

    def readout(self, layer: int) -> Tensor | None:
        return self.turns[1].T @ self.turns[0].T @ self.inner.readout(0) if layer in (2, -1) else None


def test_of_three_layers_the_purest_is_named_and_edited():
    flat = trig_mlp(p=23, frequencies=(2, 5, 7), train_fraction=0.4)
    view = ModelView(Deep(flat.network), flat.task, train_mask=flat.train_mask)
    torch.testing.assert_close(view.logits(), flat.logits(), rtol=1e-4, atol=1e-4)
    score, alone = trig_product_neurons(view, **FEW), trig_product_neurons(flat, **FEW)
    assert (score.layer, len(score.layers)) == (0, 3)
    assert score.value == score.layers[0] == max(score.layers)
    assert score.layers[0] > max(score.layers[1:]) + 0.2
    # effects from derivatives of the whole rest, estimated, against those of a readout
    assert score.mean_share == pytest.approx(alone.mean_share, abs=0.01)
    assert score.remark == "of layer 0, 3 looked at"
    assert score.null.permuted.endswith("the largest of 3 layers")
    assert (score.causal.necessity, score.causal.sufficiency) == (alone.causal.necessity, alone.causal.sufficiency)
    assert score.causal.necessity > 0.5 > score.causal.control
    strip = picture_of(trig_product_neurons)(score)[1]
    assert "of layer 0" in strip.reading
    found = detectors.run(view, names=["trig_product_neurons"])[0]
    assert "layer 0" in found.reason
    assert (alone.layer, len(alone.layers), alone.remark) == (0, 1, "")


@pytest.mark.wide
def test_looking_at_several_layers_is_paid_for():
    """Three layers of noise: the null of the largest is above that of one, so one in ten is still one in ten."""
    rng, p_values = np.random.default_rng(0), []
    for _ in range(20):
        cube = torch.from_numpy(rng.standard_normal((7, 7, 12))).float()
        network = _BilinearNetwork(torch.eye(7), cube, torch.from_numpy(rng.standard_normal((12, 7))).float())
        view = ModelView(Deep(network, int(rng.integers(99))), Task.parse("add:7"))
        p_values.append(trig_product_neurons(view, draws=19).null.p_value)
    assert np.mean(np.array(p_values) <= 0.1) < 0.35  # beyond which 20 draws of a tenth lie once in a thousand
    assert 0.3 < np.mean(p_values) < 0.75


def test_the_reason_says_where_neurons_are_weighed_by_power_alone():
    view = trig_mlp(p=23, frequencies=(3, 5), train_fraction=0.4)
    for last, weighed in ((lambda pairs, logits: logits, "effect"), (lambda pairs, logits: logits.detach(), "power")):
        other = ModelView(Patched(view.network, last, linear=False), view.task, train_mask=view.train_mask)
        names = ["sparse_fourier_embedding", "trig_product_neurons"]
        for found, parts in zip(detectors.run(other, names=names), ("directions", "neurons"), strict=True):
            assert found.evidence["weighed_by"] == weighed
            sentence = f"its {parts} are weighed by power alone"
            assert (sentence in found.reason) == (weighed == "power")
