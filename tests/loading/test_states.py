"""Which checkpoints there are in a folder, in what order, and what does not belong together."""

import json

import pytest
import torch

from detectors.core.errors import CheckpointError
from detectors.core.steps import StepFrom, step_in
from detectors.loading.states import states_of
from tests.series.runs import STEPS, run, state


def steps(*paths, **options):
    return [s.step for s in states_of([str(p) for p in paths], **options).states]


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("step_000100.pt", 100),
        ("epoch=12-step=4800.ckpt", 4800),
        ("epoch=12-val_loss=0.31.ckpt", 12),
        ("100.pth", 100),
        ("checkpoint-100/", 100),
        ("seed1_5000.pt", 5000),
        ("p23_relu_wd2_800.pt", 800),
        ("1000000000000.pt", 10**12),
        ("model_lr0.001_iter7.pt", 7),
        ("final.pt", None),
        ("best_0.31.pt", None),
    ],
)
def test_the_step_in_a_name(name, step):
    assert step_in(name) == step


@pytest.mark.parametrize(
    "name", ["step_{:06d}.pt", "{}.pth", "epoch={}-loss=0.5.ckpt", "ckpt.{}.pt", "model_{:013d}.pt"]
)
def test_files_are_in_the_order_of_their_step(tmp_path, name):
    run(tmp_path / "run", name=name)
    assert steps(tmp_path / "run") == list(STEPS)
    files = sorted((tmp_path / "run").iterdir(), key=lambda f: hash(f.name))
    assert steps(*files, files[0]) == list(STEPS)


def test_steps_of_a_trillion_and_more(tmp_path):
    assert steps(run(tmp_path / "run", steps=(10**12, 5, 10**15))) == [5, 10**12, 10**15]


def test_a_step_that_no_name_says_is_in_the_file_or_where_it_is_said_to_be(tmp_path):
    for i, name in enumerate("cab"):
        torch.save({"model": state(i / 2), "epoch": 7 - i, "mine": 100 * i}, tmp_path / f"{name}.pt")
    assert steps(tmp_path) == [5, 6, 7]
    assert steps(tmp_path, step_from="mine") == [0, 100, 200]
    with pytest.raises(CheckpointError, match="no other"):
        steps(tmp_path, step_from="other")


def test_a_step_by_a_regular_expression(tmp_path):
    run(tmp_path / "run", name="at{}_seed7.pt")
    with pytest.raises(CheckpointError, match=r"both of step 7 and their weights differ.*--step-from"):
        steps(tmp_path / "run")
    assert steps(tmp_path / "run", step_from=r"at(\d+)_") == list(STEPS)
    for wrong in ("(", r"(\d+)(x)", r"at(.*)_"):
        with pytest.raises(CheckpointError, match="--step-from"):
            StepFrom(wrong).named("at1.5_seed7.pt")


def test_many_states_in_one_file(tmp_path):
    torch.save({f"step_{s}": state(s / 50) for s in STEPS[::-1]}, tmp_path / "all.pt")
    found = states_of([str(tmp_path / "all.pt")])
    assert [s.step for s in found.states] == list(STEPS)
    assert torch.equal(found.contents(found.states[1]).weights["W"], state(0.2)["W"])


def test_folders_of_a_trainer_and_of_lightning(tmp_path):
    for step in STEPS:
        (tmp_path / "hf" / f"checkpoint-{step}").mkdir(parents=True)
        torch.save(state(step / 50), tmp_path / "hf" / f"checkpoint-{step}" / "pytorch_model.bin")
    assert steps(tmp_path / "hf") == list(STEPS)
    for version in (0, 10):
        (below := tmp_path / "pl" / "lightning_logs" / f"version_{version}" / "checkpoints").mkdir(parents=True)
        run(below, name=f"epoch={{}}-step={version}{{}}.ckpt".replace("{}", "{0}"))
    assert steps(tmp_path / "pl") == [100, 1010, 1020, 1030, 1040, 1050]  # of the last version


def test_the_same_weights_twice_are_one_checkpoint(tmp_path):
    run(tmp_path / "run")
    torch.save({"model": state(1.0), "step": 50, "optimizer": {}}, tmp_path / "run" / "last.pt")
    assert steps(tmp_path / "run") == list(STEPS)


def test_two_networks_in_one_folder_are_told_apart(tmp_path):
    run(tmp_path / "run")
    torch.save(state(1.0, frequencies=(2,)), tmp_path / "run" / "step_60.pt")
    with pytest.raises(CheckpointError, match=r"different networks.*\(6\) with W.*step_60\.pt \(1\) with W"):
        steps(tmp_path / "run")


def test_what_cannot_be_read_keeps_its_place_or_is_left_out(tmp_path):
    run(tmp_path / "run")
    (tmp_path / "run" / "step_25.pt").write_bytes(b"PK\x03\x04 damaged")
    torch.save({"x": 1}, tmp_path / "run" / "notes.pt")
    torch.save({"x": 1}, tmp_path / "run" / "optimizer.pt")  # by its name no checkpoint
    found = states_of([str(tmp_path / "run")])
    assert [s.step for s in found.states] == list(STEPS)
    assert list(found.untold) == [25]
    assert [note.split(" is left out")[0] for note in found.notes] == ["notes.pt"]


def test_a_split_beside_is_taken_for_all(tmp_path):
    run(tmp_path / "run")
    (tmp_path / "run" / "train_indices.json").write_text(json.dumps(list(range(40))))
    found = states_of([str(tmp_path / "run")])
    assert found.contents(found.states[0]).train == ("train_indices.json", list(range(40)))


def test_there_must_be_something(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="has no checkpoints in it"):
        states_of([str(tmp_path / "empty")])
    with pytest.raises(CheckpointError, match="built in memory"):
        states_of(["zoo:pizza29"])
    torch.save(state(1.0), tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"no checkpoint with a step.*neither its name"):
        states_of([str(tmp_path / "model.pt")])


def test_a_link_that_leads_back_up_ends(tmp_path):
    run(tmp_path / "run")
    (tmp_path / "run" / "checkpoints").symlink_to(tmp_path / "run")
    assert steps(tmp_path / "run") == list(STEPS)
