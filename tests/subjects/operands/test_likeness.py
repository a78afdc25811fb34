"""Two readings of one file: what they compute alike, in logits and in neurons."""

import pytest
import torch

from detectors.subjects.operands.likeness import likeness
from detectors.subjects.operands.view import ModelView
from models_zoo import trig_mlp


class Bent:
    """A network whose neurons are something else of themselves."""

    def __init__(self, network, bend):
        self.network, self.bend = network, bend

    def __getattr__(self, name):
        return getattr(self.network, name)

    def forward(self, tokens, hook):
        def bent(name, x):
            return hook(name, self.bend(x) if name.endswith("hook_post") else x)

        return self.network.forward(tokens, bent)


@pytest.fixture(scope="module")
def model():
    return trig_mlp(p=23, frequencies=(3, 5), train_fraction=0.5)


def of(model, bend):
    return likeness(model, ModelView(Bent(model.network, bend), model.task, train_mask=model.train_mask))


def test_the_same_network_is_alike_whatever_its_scale(model):
    assert of(model, lambda x: x) == pytest.approx(1, abs=1e-9)
    assert of(model, lambda x: 3 * x) == pytest.approx(1, abs=1e-6)


def test_noise_of_a_tenth_of_the_power_leaves_ten_elevenths_of_the_neurons(model):
    drawn, spread = torch.Generator().manual_seed(0), (0.1 * model.neurons().var(0)).sqrt()
    assert 0.8 < of(model, lambda x: x + spread * torch.randn(x.shape, generator=drawn)) < 10 / 11 + 0.01


@pytest.mark.parametrize("share", [1, 2, 4])
def test_another_function_of_every_so_many_neurons_is_told(model, share):
    every = torch.arange(model.neurons().shape[1]) % share == 0
    assert of(model, lambda x: torch.where(every, 1 - x.square(), x)) < 0.99
