"""Training pairs from a file, a split or the config, and what is said of those that cannot be."""

import numpy as np
import pytest
import torch

import detectors
from detectors.core.errors import CheckpointError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[0, 49]", r"0 to 49.*\(0\.\.48\)"),
        ("[-1]", "-1"),
        ("[]", "is empty"),
        ("[1.5]", "whole numbers"),
        ("[[0, 1]]", "whole numbers"),
        ("[[0], [1, 2]]", "whole numbers"),
        ('{"a": 1}', "whole numbers"),
        ("not json", "no training indices"),
        ("[" * 100000, "no training indices"),
        ("[99999999999999999999999999]", "whole numbers"),
    ],
)
def test_bad_training_indices(tmp_path, saved, mlp, text, message):
    (tmp_path / "i.json").write_text(text)
    with pytest.raises(CheckpointError, match=message):
        detectors.load(saved(mlp), task="add:7", train_indices=tmp_path / "i.json")


def test_training_indices_and_splits(tmp_path, saved, mlp):
    path = saved(mlp)
    np.save(tmp_path / "i.npy", np.array([3, 1], dtype=np.uint16))
    assert np.flatnonzero(detectors.load(path, task="add:7", train_indices=tmp_path / "i.npy").train_mask).tolist() == [
        1,
        3,
    ]
    torch.manual_seed(5)
    expected = torch.randperm(49)[: int(0.4 * 49)]
    mask = detectors.load(path, task="add:7", train_split="0.4:5").train_mask
    assert sorted(expected.tolist()) == np.flatnonzero(mask).tolist()
    for bad in ("0.4", "1.5:1", "0:1", "x:1", "0.4:-1", "0.4:", ""):
        with pytest.raises(CheckpointError, match="train-split"):
            detectors.load(path, task="add:7", train_split=bad)
    with pytest.raises(CheckpointError, match="not both"):
        detectors.load(path, task="add:7", train_split="0.4:5", train_indices=tmp_path / "i.npy")
    with pytest.raises(CheckpointError, match="no file"):
        detectors.load(path, task="add:7", train_indices=tmp_path / "absent.json")


@pytest.mark.parametrize("option", [{"train_split": "0.4:1"}, {"train_indices": "absent.json"}])
def test_a_model_of_sequences_has_no_training_pairs(option):
    with pytest.raises(CheckpointError, match="draws fresh sequences: there are no training pairs to pass"):
        detectors.load("zoo:induction_one_layer", **option)
