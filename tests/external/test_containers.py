"""The containers that people save in: each file of `layouts`, `cop` and `series` as a dictionary of tensors."""

import json

import numpy as np
import pytest
import torch

import detectors
from conftest import EXTERNAL
from detectors.core.errors import CheckpointError
from detectors.loading.tensors import read_contents
from detectors.loading.train_pairs import pairs_of, read_values
from detectors.loading.train_splits import split_of
from detectors.subjects.operands.task import Task

pytestmark = pytest.mark.external

NOTES = sorted((EXTERNAL / "layouts").glob("*.json"))
COP = sorted((EXTERNAL / "cop").glob("*.pt"))


def file_of(note):
    (file,) = [f for f in note.parent.glob(note.stem + ".*") if f.suffix != ".json"]
    return file


@pytest.mark.parametrize("note", NOTES, ids=lambda note: note.stem)
def test_every_layout_is_read_to_its_tensors(note):
    said = json.loads(note.read_text())
    if said["expect"] == "refused":
        with pytest.raises(CheckpointError, match="whole pickled module"):
            read_contents(file_of(note))
        return
    contents = read_contents(file_of(note))
    p = Task.parse(said["task"]).n_tokens
    assert any(
        p in tensor.shape or p + 1 in tensor.shape or p + 2 in tensor.shape for tensor in contents.weights.values()
    )
    assert not any(name.startswith(("model.", "module.", "_orig_mod.")) for name in contents.weights)
    assert all(torch.isfinite(tensor).all() for tensor in contents.weights.values())
    assert (contents.train is not None) == (said.get("train_set_inside") is not None)


@pytest.mark.parametrize("note", NOTES, ids=lambda note: note.stem)
def test_every_training_set_is_read(note):
    """As many pairs as the training accuracy and the accuracies of all and of the others make."""
    said = json.loads(note.read_text())
    task = Task.parse(said["task"])
    if said.get("train_set"):
        values = read_values(note.parent / said["train_set"])
    elif said.get("train_set_inside"):
        values = read_contents(file_of(note)).train[1]
    else:
        pytest.skip("trained on pairs that are not kept")
    found = pairs_of(values, task, "f")
    assert found.notes == ()
    share = found.mask.mean()
    accuracy = said["accuracy"]
    assert accuracy["all"] == pytest.approx(share * accuracy["train"] + (1 - share) * accuracy["test"], abs=2e-3)


@pytest.mark.parametrize("file", COP, ids=lambda file: file.stem)
def test_worked_problems_are_read(file):
    assert len(read_contents(file).weights) >= 3


def test_a_run_in_a_folder_is_read_by_its_steps():
    run = EXTERNAL / "series" / "p23_relu_wd2"
    last, early = read_contents(run), read_contents(run, "2400")
    assert "final.pth" in last.note
    assert early.says["epoch"] == 2400
    assert early.weights.keys() == last.weights.keys() == {"mlp.W_in", "mlp.W_out", "mlp.basis"}
    pairs = pairs_of(early.train[1], Task.parse("add:23"), early.train[0]).mask
    assert pairs.sum() == 23 * 23 - 133


FOUND = {
    "progress/mod_addition_no_wd.pth": ("add:113", "0.9", "0:random"),
    "progress/wd_10-1_mod_addition_loss_curve.pth": ("add:113", "0.3", "1:random"),
    "group/C113_MLP_seed1.pt": ("add:113", "0.4", "1:torch"),
    "layouts/p97_frac0.30_wd1_seed0.pt": ("add:97", "0.30", "0:torch"),
}


@pytest.mark.wide
@pytest.mark.parametrize("file", FOUND)
def test_a_split_of_somebody_elses_is_found_by_the_loss(file):
    """As their authors publish: of `progress` by random.shuffle, of the others by torch, with the seed in the name."""
    task, fraction, recipe = FOUND[file]
    found = detectors.load(EXTERNAL / file, task=task, train_split=f"{fraction}:auto")
    assert f"{recipe}." in " ".join(found.checkpoint.notes)
    assert np.array_equal(found.train_mask, split_of(f"{fraction}:{recipe}", found)[0])
    if file.startswith("progress/wd"):
        published = json.loads((EXTERNAL / "progress" / "wd_10-1_train_indices.json").read_text())
        assert np.flatnonzero(found.train_mask).tolist() == sorted(published)
