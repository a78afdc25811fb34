"""The budget of memory: what would be needed is said before anything is computed."""

import resource

import pytest
import torch

import detectors
from detectors.core.memory import MemoryBudget, allowed, check_memory
from detectors.subjects.operands.view import ModelView


class Tiny:
    """A network of any size that costs nothing until its logits are asked for."""

    n_layers, architecture, weights = 0, {}, {}

    def __init__(self, n_tokens):
        self.n_tokens = n_tokens

    def forward(self, tokens, hook):
        return torch.zeros(1, 1).expand(len(tokens), self.n_tokens)

    def embedding(self, operand):
        return torch.zeros(1, 1).expand(self.n_tokens, 1)

    def readout(self, layer):
        return None


def test_add_2048_is_refused_before_it_takes_memory():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model = ModelView(Tiny(2048), "add:2048")
    for ask in (model.logits, model.figures, lambda: detectors.run(model), lambda: detectors.trig_logits(model)):
        with pytest.raises(MemoryBudget, match=r"add:2048: .* 2048 answers would need about 128.0 GiB"):
            ask()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # KiB, so one GiB


def test_the_limit_is_raised_by_the_variable_and_that_must_be_a_number(monkeypatch):
    with pytest.raises(MemoryBudget, match="DETECTORS_MEMORY=14 in the environment allows it"):
        check_memory(13 * 2**26, "it")
    monkeypatch.setenv("DETECTORS_MEMORY", "14")
    check_memory(13 * 2**26, "it")
    for text in ("much", "-1", "nan", ""):
        monkeypatch.setenv("DETECTORS_MEMORY", text)
        with pytest.raises(MemoryBudget, match="write a number of GiB, such as 12"):
            allowed()


def test_many_draws_of_many_elements_are_refused(monkeypatch):
    monkeypatch.setenv("DETECTORS_MEMORY", "0.1")
    with pytest.raises(MemoryBudget, match="1000000 permutations of 11 elements would need"):
        detectors.run(models_of(11), draws=1_000_000)


def models_of(p):
    from models_zoo import trig_mlp

    return trig_mlp(p=p, frequencies=(2,))


def test_a_table_of_more_tokens_than_there_are_tasks_is_not_inferred():
    with pytest.raises(detectors.DetectorsError, match="a network of 10000000 tokens"):
        ModelView(Tiny(10_000_000), "infer")
