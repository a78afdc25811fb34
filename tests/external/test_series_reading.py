"""A state of a series is read as the one that answers: at chance nothing tells readings apart."""

import json

import pytest
import torch

import detectors
from detectors.loading import reader
from detectors.loading.recognise import recognise
from detectors.loading.tensors import read_contents
from detectors.subjects.operands.task import Task

pytestmark = pytest.mark.external


@pytest.fixture(params=["encoder.pt", "decoder.pt", "proj.pth"])
def series(request, external, tmp_path):
    """The weights of a published file in another order, and as they are."""
    file = external / "layouts" / request.param
    weights = torch.load(file, weights_only=True)
    mixed = torch.Generator().manual_seed(0)
    early = {
        k: w.flatten()[torch.randperm(w.numel(), generator=mixed)].reshape(w.shape) if w.is_floating_point() else w
        for k, w in weights.items()
    }
    torch.save({"0": early, "500": dict(weights)}, tmp_path / "run.pt")
    return tmp_path / "run.pt", json.loads(file.with_suffix(".json").read_text())["task"]


@pytest.mark.wide
def test_an_early_state_is_read_as_the_last(series):
    file, task = series
    last, early = detectors.load(file, task=task), detectors.load(file, task=task, step="0")
    assert last.figures().accuracy.all > 0.9
    assert early.figures().accuracy.all < 0.2
    assert early.network.reading == last.network.reading
    assert "read as the last state of its series, which answers better" in early.checkpoint.reading
    alone = file.with_name("alone.pt")
    torch.save(torch.load(file, weights_only=True)["0"], alone)
    found = detectors.load(alone, task=task).checkpoint
    assert "at chance" in " ".join([*found.reading, *found.notes])


@pytest.mark.sampled(3)
def test_a_state_that_answers_is_read_by_itself(series):
    file, task = series
    assert "its series" not in " ".join(detectors.load(file, task=task, step="500").checkpoint.reading)


@pytest.mark.sampled(3)
def test_a_state_of_other_tensors_is_read_by_itself(series):
    file, spec = series
    task = Task.parse(spec)
    last = recognise(read_contents(file).weights, task, {})
    early = read_contents(file, "0").weights
    assert reader.as_another(early, task, last) is not None
    renamed = {name.replace("weight", "other_weight"): tensor for name, tensor in early.items()}
    assert reader.as_another(renamed, task, last) is None
