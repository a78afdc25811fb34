"""The same verdicts wherever they are computed; without an accelerator, that all of it would be computed there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import detectors
import models_zoo
from detectors.core import device
from detectors.core.device import Moved, accelerated, gradient, on
from detectors.core.errors import DetectorsError
from detectors.core.groups import Group
from detectors.core.spectrum import block_power

MODELS = ["add53_grokked", "table29", "s4_mlp"]
# a LayerNorm and a second layer, whose effects are gradients; heads
MORE = ["add53_ln_gelu", "add53_two_layers", "digits5", "sequences/trained.repeat/0"]


@pytest.fixture
def placed(monkeypatch):
    """Everything that an accelerator goes through, with ordinary memory in its place."""
    monkeypatch.setattr(device, "check_device", lambda name: None if name is None else torch.device("cpu"))


@pytest.mark.wide
@pytest.mark.parametrize("name", MODELS)
def test_nothing_is_computed_otherwise_for_being_placed(name, placed):
    home, there = (detectors.run(detectors.load(f"zoo:{name}"), draws=39, device=where) for where in (None, "cpu"))
    for one, other in zip(home, there, strict=True):
        assert one.model_dump(exclude={"seconds"}) == other.model_dump(exclude={"seconds"})


@pytest.mark.skipif(not torch.accelerator.is_available(), reason="no accelerator on this machine")
@pytest.mark.parametrize("name", MODELS + MORE)
def test_verdicts_on_an_accelerator_are_the_same_and_values_to_a_ten_thousandth(name):
    where = str(torch.accelerator.current_accelerator())
    home, there = (detectors.run(detectors.load(f"zoo:{name}"), device=d) for d in (None, where))
    assert there.tool["device"] == where
    for one, other in zip(home, there, strict=True):
        assert one.verdict == other.verdict, other.reason
        if one.score is not None:
            assert other.score == pytest.approx(one.score, abs=1e-4)
            assert other.p_value == pytest.approx(one.p_value, abs=1e-4)


class Elsewhere(Exception):
    """A tensor of ordinary memory met the device."""


def all_there(result: object) -> object:
    found: list[Tensor] = []
    torch.utils._pytree.tree_map_only(Tensor, found.append, result)
    if any(t.device.type != "meta" for t in found):
        raise Elsewhere
    return result


@pytest.mark.wide
@pytest.mark.parametrize("name", ["add53_grokked", "add53_mlp", "s4_mlp"])
def test_every_step_of_a_forward_pass_is_on_the_device(name):
    """The device `meta` holds no numbers and refuses to meet ordinary memory."""
    model, meta = detectors.load(f"zoo:{name}"), torch.device("meta")
    seen = []
    with torch.device(meta), Moved(meta):
        logits = model.network.forward(model.few(3), lambda name, x: seen.append(all_there(x)) or x)
    assert seen
    assert logits.device == meta


def test_a_null_of_the_embedding_is_on_the_device(monkeypatch):
    group, meta = Group.from_name("S3"), torch.device("meta")
    rows, permutation = torch.randn(6, 4), torch.randperm(6)[None]
    with torch.device(meta), Moved(meta):
        all_there(detectors.core.spectrum.permuted_block_power.__wrapped__(group, rows, permutation))


def test_weights_are_moved_once_and_anew_where_they_were_written_to():
    there = Moved(torch.device("meta"))
    weight = torch.ones(3)
    first = there.moved(weight)
    assert there.moved(weight) is first
    weight.add_(1)
    assert there.moved(weight) is not first
    with torch.inference_mode():
        assert there.moved(torch.ones(3)).device == torch.device("meta")
    needs = torch.ones(3, requires_grad=True)
    assert there.moved(needs) is not there.moved(needs)


def test_random_numbers_are_those_of_ordinary_memory_and_arrays_come_home(placed):
    @accelerated
    def drawn() -> tuple[Tensor, np.ndarray]:
        found = torch.randn(4, generator=torch.Generator().manual_seed(3))
        return found, (found * 2).numpy()

    home = drawn()
    with on("cpu"):
        there = drawn()
    assert torch.equal(home[0], there[0])
    np.testing.assert_array_equal(home[1], there[1])


def test_gradients_pass_through(placed):
    group, rows = Group.from_name("C5"), torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    marked = accelerated(block_power)
    with on("cpu"):
        marked(group, rows).sum().backward()
    centred = rows.detach() - rows.detach().mean(0)
    assert torch.allclose(rows.grad, 2 * centred)


def test_a_gradient_comes_home():
    """The device `meta` holds no numbers, so that bringing some of it home is refused."""
    there = torch.ones(3, device="meta", requires_grad=True)
    with pytest.raises(NotImplementedError, match="copy out of meta"):
        gradient(there.square().sum(), there)
    x, y = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    assert torch.equal(gradient(2 * x.square().sum(), x), torch.full((3,), 4.0))
    assert torch.equal(gradient(x.sum(), y), torch.zeros(3))


def test_gradients_are_asked_of_the_one_that_brings_them_home():
    rooms = Path(detectors.__file__).parent
    asked = [p.name for room in ("core", "subjects", "motifs") for p in (rooms / room).rglob("*.py")
             if "autograd.grad(" in p.read_text()]  # fmt: skip
    assert asked == ["device.py"]


@pytest.mark.parametrize("name", ["nonsense", "meta", "cuda:99", ""])
def test_a_device_that_is_not_there_is_refused_in_words(name):
    with pytest.raises(DetectorsError, match="--device"):
        detectors.run(models_zoo.trig_mlp(p=5, frequencies=(1,)), device=name)
