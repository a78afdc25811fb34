"""What a verdict must not depend on: scale of the logits, precision, basis of the residual stream, margins."""

from functools import cache

import pytest
import torch
from safetensors.torch import load_file, save_file

import detectors
from detectors.rewire import Rewired, permuted_neurons, rotated_residual, scaled_logits
from detectors.subjects.operands.view import ModelView
from fixtures.transforms import permute_neurons, rotate_residual
from models_zoo.cards import WEIGHTS

MEMBERS = ["add53_grokked", "mul53_memorised", "a5_mlp"]
MEMBERS += [
    pytest.param(name, marks=pytest.mark.deep) for name in ("add53_memorised", "d15_transformer", "add53_ln_gelu")
]


@cache
def verdicts_of(name):
    return {d.detector: d.verdict for d in detectors.run(detectors.load(f"zoo:{name}"))}


def times(factor):
    def scaled(view):
        network = Rewired(
            view.network,
            disturb=lambda name, _, x: x * factor if name == "logits" else x,
            read=lambda w: w * factor,
        )
        return ModelView(network, view.task, train_mask=view.train_mask)

    return scaled


def one_hot(view):
    """An exact table: the answer given has logit 1 and all others 0."""

    def table(name, _, x):
        return torch.nn.functional.one_hot(x.argmax(1), x.shape[1]).float() if name == "logits" else x

    return ModelView(Rewired(view.network, disturb=table, read=lambda w: None), view.task, train_mask=view.train_mask)


CHANGES = {
    "logits times 0.01": times(0.01),
    "logits times 100": times(100),
    "one-hot outputs": one_hot,
    "rotated and permuted": lambda view: permuted_neurons(rotated_residual(view, 1), 2),
    "logits in another unit": lambda view: scaled_logits(view, 3),
}


@pytest.mark.sampled(30)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", MEMBERS)
def test_every_verdict_stays(name, change):
    changed = detectors.run(CHANGES[change](detectors.load(f"zoo:{name}")))
    wanted = dict(verdicts_of(name))
    if change == "one-hot outputs":  # an exact table has a flat spectrum, whatever it was made from
        wanted["trig_logits"] = "absent"
        wanted["neuron_phase_law"] = "not_applicable"  # its logits are no longer linear in the neurons
    assert {d.detector: d.verdict for d in changed} == wanted


@pytest.mark.wide
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", MEMBERS)
def test_a_file_in_half_precision_keeps_every_verdict(name, dtype, tmp_path):
    for file in (WEIGHTS / name).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = {k: w.to(dtype) for k, w in load_file(tmp_path / "model.safetensors").items()}
    save_file(weights, tmp_path / "model.safetensors")
    assert {d.detector: d.verdict for d in detectors.run(detectors.load(tmp_path))} == verdicts_of(name)


@pytest.mark.wide
def test_rotated_weights_with_permuted_and_scaled_neurons_keep_every_verdict(grokked, memorised):
    """The same edit in the weights themselves."""
    for name, view in (("add53_grokked", grokked), ("add53_memorised", memorised)):
        changed = permute_neurons(rotate_residual(view, 5), 6)
        assert {d.detector: d.verdict for d in detectors.run(changed)} == verdicts_of(name)


def last_bits(name, _, x):
    """As another machine rounds: by half a step of float32, and at the size of the logits, which are differences."""
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(x.numel()))
    return x + 2**-24 * (x.abs().mean() if name == "logits" else x) * noise


@pytest.mark.wide
@pytest.mark.parametrize("name", ["add53_grokked", "clock31", "a5_three", "square59"])
def test_values_and_p_values_are_not_made_of_rounding(name):
    """The built members' margins, powers and draws tie, so that rounding would decide between them."""
    home = detectors.run(detectors.load(f"zoo:{name}"))
    view = detectors.load(f"zoo:{name}")
    network = Rewired(view.network, disturb=last_bits, read=lambda w: w)
    there = detectors.run(ModelView(network, view.task, train_mask=view.train_mask))
    assert not torch.equal(view.logits(), ModelView(network, view.task).logits())
    for one, other in zip(home, there, strict=True):
        assert one.verdict == other.verdict, one.detector
        if one.score is not None:
            assert other.score == pytest.approx(one.score, abs=1e-4), one.detector
            assert other.p_value == one.p_value, one.detector
        if one.evidence and "frequencies" in one.evidence:
            assert one.evidence["frequencies"] == other.evidence["frequencies"], one.detector
