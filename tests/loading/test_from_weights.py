"""A dictionary of arrays is read as a file of them is."""

import numpy as np
import pytest
import torch

import detectors
from detectors.core.errors import CheckpointError


@pytest.mark.parametrize("as_numpy", [True, False])
def test_the_weights_of_a_file_give_its_model(as_numpy):
    file = detectors.load("zoo:add53_grokked")
    weights = {name: w.numpy() if as_numpy else w for name, w in file.weights.items()}
    view = detectors.from_weights(weights, "add:53", train_mask=file.train_mask)
    assert torch.equal(view.logits(), file.logits())
    assert (view.train_mask == file.train_mask).all()
    assert view.checkpoint.layout == "TransformerLens transformer"


def test_the_task_may_be_inferred_and_the_reading_said():
    file = detectors.load("zoo:add53_grokked")
    assert "C53" in str(detectors.from_weights(file.weights, "infer").task.group)
    gelu = detectors.from_weights(file.weights, "add:53", arch={"act_fn": "gelu"})
    assert gelu.architecture["act_fn"] == "gelu"
    repeated = detectors.load("zoo:induction_exact")
    assert detectors.from_weights(repeated.weights, "repeat").figures().accuracy.all == 1.0


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"W_E": "text"}, "W_E is str, no array of numbers"),
        ({"W_E": np.array([np.nan, 1.0])}, "W_E has 1 NaN or infinite entries of 2"),
        ({"a": np.zeros((3, 2))}, "not recognised"),
    ],
)
def test_what_is_none(weights, said):
    with pytest.raises(CheckpointError, match=said):
        detectors.from_weights(weights, "add:7")
