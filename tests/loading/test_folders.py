"""Which file of a folder is read: a Trainer's, Lightning's, a series', the only one; and what lies beside them."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import detectors
from detectors.core.errors import CheckpointError
from detectors.loading.tensors import read_contents


def weights(value):
    return {"W": torch.full((2, 3), float(value))}


def value(path, step=None):
    contents = read_contents(path, step)
    return float(contents.weights["W"][0, 0]), contents.note


def trainer(path):
    """What transformers' Trainer leaves behind."""
    for step in (500, 1000):
        (path / f"checkpoint-{step}").mkdir(parents=True)
        save_file(weights(step), path / f"checkpoint-{step}" / "model.safetensors")
        for beside in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"):
            torch.save({"state": weights(-1)}, path / f"checkpoint-{step}" / beside)
        (path / f"checkpoint-{step}" / "config.json").write_text('{"model_type": "mine"}')
    return path


def test_a_trainers_folder(tmp_path):
    path = trainer(tmp_path / "run")
    assert value(path) == (1000, "state 1000, the last of 2 (--step takes another)")
    assert value(path, "500") == (500, "state 500 of 2")
    assert value(path / "checkpoint-500") == (500, "")
    torch.save(weights(7), path / "pytorch_model.bin")
    assert value(path)[0] == 7
    assert value(path, "500")[0] == 500


def test_lightnings_folder(tmp_path):
    for version in (0, 1):
        place = tmp_path / "lightning_logs" / f"version_{version}" / "checkpoints"
        place.mkdir(parents=True)
        for epoch in (3, 12):
            state = {"state_dict": {f"model.{n}": t for n, t in weights(100 * version + epoch).items()}}
            torch.save(state, place / f"epoch={epoch}-step={epoch * 10}.ckpt")
        (place.parent / "hparams.yaml").write_text("p: 7")
    assert value(tmp_path)[0] == 112
    assert value(tmp_path, "30")[0] == 103
    assert value(tmp_path / "lightning_logs" / "version_0" / "checkpoints")[0] == 12


def test_a_series_of_files(tmp_path):
    for step in (800, 12000, 1600):
        torch.save({"model": weights(step)}, tmp_path / f"{step}.pth")
    torch.save([(0, 1)], tmp_path / "test_data.pth")
    assert value(tmp_path) == (12000, "state 12000, the last of 3 (--step takes another)")
    assert value(tmp_path, "800")[0] == 800
    with pytest.raises(CheckpointError, match=r"holds 3 checkpoints, 800 to 12000, and none of them is --step 5"):
        read_contents(tmp_path, "5")
    torch.save({"model": weights(1)}, tmp_path / "final.pth")
    assert value(tmp_path)[0] == 1
    assert value(tmp_path, "1600")[0] == 1600
    assert value(tmp_path, "final")[0] == 1


def test_the_only_file_of_a_folder_and_several_that_nothing_tells_apart(tmp_path):
    torch.save({k: weights(k) for k in (1, 2)}, tmp_path / "grokked.pt")
    assert value(tmp_path)[0] == 2
    assert value(tmp_path, "1")[0] == 1
    torch.save(weights(3), tmp_path / "memorised.pt")
    with pytest.raises(CheckpointError, match=r"2 checkpoints, grokked\.pt, memorised\.pt: pass one"):
        read_contents(tmp_path)
    assert value(tmp_path, "memorised")[0] == 3


def test_a_folder_without_a_checkpoint(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(CheckpointError, match="folder without config"):
        read_contents(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(CheckpointError, match="weights lie in several files"):
        read_contents(tmp_path)


def test_a_folder_that_holds_itself_ends(tmp_path):
    (tmp_path / "checkpoints").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(CheckpointError, match="without a checkpoint"):
        read_contents(tmp_path)


def test_training_pairs_that_lie_beside_are_used_and_said(tmp_path, mlp):
    torch.save(mlp, tmp_path / "model.pt")
    torch.save([(0, 1), (2, 3)], tmp_path / "train_data.pth")
    view = detectors.load(tmp_path, task="add:7")
    assert np.flatnonzero(view.train_mask).tolist() == [1, 17]
    assert "the file's own train_data.pth are taken for the training pairs." in view.checkpoint.notes
