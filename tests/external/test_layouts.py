"""Checkpoints as people save them: read without an option, with the accuracies, logits and verdicts of their notes."""

from __future__ import annotations

import json

import numpy as np
import pytest

import detectors
from conftest import EXTERNAL
from detectors.core.errors import CheckpointError

pytestmark = pytest.mark.external
FOLDER = EXTERNAL / "layouts"
NOTES = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))} if FOLDER.is_dir() else {}
READ = [name for name, note in NOTES.items() if note["expect"] != "refused"] or ["absent"]
SCALED = {"quadratic"}  # the factors of its recipe are in no file


def loaded(name: str):
    note = NOTES[name]
    train = None if note["train_set"] is None else FOLDER / note["train_set"]
    return note, detectors.load(FOLDER / note["file"], task=note["task"], train_indices=train)


@pytest.mark.sampled(30)
@pytest.mark.parametrize("name", READ)
def test_a_file_reads_by_itself_and_gives_the_verdicts_of_its_behaviour(name):
    note, view = loaded(name)
    report = detectors.run(view)
    for part in ("all", "train", "test"):
        if (found := getattr(report.accuracy, part)) is not None:
            assert found == pytest.approx(note["accuracy"][part], abs=1e-4)
    ours = view.logits()[view.task.n_tokens + 2, :4].numpy()
    expected = np.array(note["first_4_logits_of_pair_1_2"])
    if name in SCALED:
        factor = ours @ expected / (expected @ expected)
        assert factor > 0
        assert "unknown" in view.architecture["logit_factor"]
        ours = ours / factor
    np.testing.assert_allclose(ours, expected, atol=1e-3 * max(1.0, np.abs(expected).max()) if name in SCALED else 1e-3)
    assert {motif: report[motif].verdict for motif in note["expect"]} == note["expect"]
    assert any(line.startswith("from names and shapes") for line in report.checkpoint.reading)


def test_a_pickled_module_is_refused():
    if "module" not in NOTES:
        pytest.skip(f"no {FOLDER}")
    with pytest.raises(CheckpointError, match="state"):
        detectors.load(FOLDER / "module.pt", task="sub:43")


@pytest.mark.wide
def test_a_published_pair_of_unknown_names_is_one_grokked_and_one_memoriser(external):
    """porth-bot/grokking-transformer: pre-norm, GELU by the margin alone, 4 heads, 30% of torch.randperm of seed 0."""
    files = [external / "layouts" / f"p97_frac0.30_wd1_seed0{end}.pt" for end in ("", "_memorize")]
    views = [detectors.load(file, task="add:97", train_split="0.3:0") for file in files]
    assert {view.architecture["act_fn"] for view in views} == {"gelu"}
    assert [view.figures().accuracy.train for view in views] == [1.0, 1.0]
    verdicts = [detectors.run(view, names=["generalisation", "memorisation"]) for view in views]
    assert [[d.verdict for d in report] for report in verdicts] == [["present", "absent"], ["absent", "present"]]


def test_an_addition_that_any_activation_answers_is_read_as_the_relu_that_it_is(external):
    """cop: relu, gelu, silu, |x| and x^2 all answer every pair, and the loss is lowest under x^2."""
    view = detectors.load(external / "cop" / "modular_addition_2l_mlp_model.pt", task="add:113")
    assert view.architecture["act_fn"] == "relu"
    assert view.figures().accuracy.all == 1.0
    assert "--arch act_fn=gelu" in {reading.other for reading in view.tied}


def test_a_one_hot_network_with_a_basis_beside_it_is_read(external):
    """series: W_out relu(W_in (onehot(a) + onehot(b))), with an orthogonal matrix in the file that takes no part."""
    view = detectors.load(external / "series" / "p23_relu_wd2" / "16000.pth", task="add:23")
    assert view.checkpoint.unused == ("mlp.basis",)
    assert view.architecture["act_fn"] == "relu"
