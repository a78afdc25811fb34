"""Toy autoencoders in files: whichever way the matrix lies, under any names."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import detectors
from detectors.core.errors import CheckpointError

W = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])  # a row a feature
B = torch.tensor([-0.1, -0.2, -0.3])
TASK = "features:0.05"


@pytest.mark.parametrize("rows", [W, W.T.contiguous()])
@pytest.mark.parametrize("names", [("W", "b_final"), ("encoder.weight", "bias")])
@pytest.mark.parametrize("kind", ["pt", "npz", "safetensors"])
def test_a_file_of_either_form_is_read_the_same(tmp_path, rows, names, kind):
    file, arrays = tmp_path / f"toy.{kind}", dict(zip(names, (rows, B), strict=True))
    if kind == "pt":
        torch.save(arrays, file)
    elif kind == "npz":
        np.savez(file, **{name: array.numpy() for name, array in arrays.items()})
    else:
        save_file(arrays, file)
    view = detectors.load(file, task=TASK)
    assert torch.equal(view.network.W, W)
    assert torch.equal(view.network.b, B)
    assert view.checkpoint.layout == "toy autoencoder"
    assert len(view.checkpoint.sha256) == 64


def test_without_a_bias_the_longer_side_is_the_features():
    view = detectors.from_weights({"W": W.T}, TASK)
    assert torch.equal(view.network.W, W)
    assert view.network.b.tolist() == [0, 0, 0]


def test_of_a_square_matrix_the_reading_of_the_lower_loss_is_taken_and_said():
    """A pair and a feature of its own, and nothing along the third dimension; by its columns it would be wrong."""
    square = torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    for rows in (square, square.T):
        view = detectors.from_weights({"W": rows, "b": torch.zeros(3)}, TASK)
        assert torch.equal(view.network.W, square)
        assert "does not show which side" in view.checkpoint.notes[0]


def test_whole_numbers_will_do():
    assert detectors.from_weights({"W": [[1, -1]], "b": [0, 0]}, TASK).network.W.tolist() == [[1.0], [-1.0]]


def test_what_is_no_part_of_it_is_listed():
    view = detectors.from_weights({"W": W, "b": B, "step": torch.tensor(5)}, TASK)
    assert view.checkpoint.unused == ("step",)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"W": W, "V": W, "b": B}, r"has one matrix W.*W \[3, 2\], V \[3, 2\]"),
        ({"W": torch.stack([W, W]), "b": torch.stack([B, B])}, "Of several models in one file pass one"),
        ({"W": W, "b": torch.zeros(4)}, r"there is b \[4\]"),
        ({"W": W, "b": B, "c": B}, r"b \[3\], c \[3\]"),
        ({"b": B}, "has one matrix"),
        ({"W": torch.zeros(3, 0), "b": B}, r"has one matrix W.*W \[3, 0\]"),
    ],
)
def test_what_is_none_is_refused_with_what_was_found(arrays, words):
    with pytest.raises(CheckpointError, match=words):
        detectors.from_weights(arrays, TASK)


def test_options_that_mean_nothing_here_are_refused(tmp_path):
    arrays = {"W": W, "b": B}
    with pytest.raises(CheckpointError, match="act_fn does not apply"):
        detectors.from_weights(arrays, TASK, arch={"act_fn": "gelu"})
    with pytest.raises(CheckpointError, match="--tokens is for models that read tokens"):
        detectors.from_weights(arrays, TASK, tokens="a b")
    torch.save(arrays, tmp_path / "toy.pt")
    with pytest.raises(CheckpointError, match="one of features: there are no training pairs"):
        detectors.load(tmp_path / "toy.pt", task=TASK, train_split="0.4:1")


def test_numbers_that_are_none_are_refused(tmp_path):
    torch.save({"W": W * torch.nan, "b": B}, tmp_path / "toy.pt")
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        detectors.load(tmp_path / "toy.pt", task=TASK)


def test_inspect_says_what_to_pass(tmp_path):
    torch.save({"W": W, "b": B}, tmp_path / "toy.pt")
    found = detectors.inspect(tmp_path / "toy.pt")
    assert (found.layout, found.example) == ("toy autoencoder", "features:0.05")
    assert detectors.inspect(tmp_path / "toy.pt", task=TASK).architecture["n_features"] == 3


def test_a_task_of_operands_does_not_make_it_one_of_features():
    with pytest.raises(CheckpointError, match="not recognised"):
        detectors.from_weights({"W": W, "b": B}, "add:5")
