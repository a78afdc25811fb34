"""Training pairs from a file, a split or the config, and what is said of those that cannot be."""

import json

import numpy as np
import pytest
import torch
from hypothesis import example
from hypothesis import given as drawn
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import detectors
from detectors.core.errors import CheckpointError
from detectors.loading.train_pairs import pairs_of
from detectors.subjects.operands.task import Task


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[0, 49]", r"0 to 49.*\(0\.\.48\)"),
        ("[-1]", "-1"),
        ("[]", "is empty"),
        ("[1.5]", "whole numbers"),
        ("[[[0, 1]]]", "neither pair numbers"),
        ("[[0, 1], [0, 7]]", "operands run from 0 to 7.*tokens 0 to 6"),
        ('{"seed": 1}', "under `train`: seed"),
        ('{"train": [1], "train_indices": [2]}', "under `train`"),
        ("[0, 1, 1, 0]", r"a mask of \[4\].*49 pairs"),
        (json.dumps([True] * 48), r"a mask of \[48\]"),
        (json.dumps([0] * 49), "the mask is empty"),
        ("[[0, 1, 2, 3, 4]]", "rows of 5 numbers"),
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
    with pytest.raises(CheckpointError, match="is one of sequences: there are no training pairs to pass"):
        detectors.load("zoo:induction_one_layer", **option)


CHOSEN = [3, 10, 11, 24, 40]  # of 49 pairs of seven tokens
A, B = (np.array(CHOSEN) // 7).tolist(), (np.array(CHOSEN) % 7).tolist()
MASK = np.isin(np.arange(49), CHOSEN)


def given(value, spec="add:7"):
    found = pairs_of(value, Task.parse(spec), "f")
    return np.flatnonzero(found.mask).tolist(), " ".join(found.notes)


FORMS = {
    "numbers": CHOSEN,
    "tensor": torch.tensor(CHOSEN),
    "whole floats": [float(k) for k in CHOSEN],
    "pairs": list(zip(A, B, strict=True)),
    "triples": [(a, b, (a + b) % 7) for a, b in zip(A, B, strict=True)],
    "with =": [(a, b, 7) for a, b in zip(A, B, strict=True)],
    "with op and =": [(a, 8, b, 7) for a, b in zip(A, B, strict=True)],
    "with = and answer": [(a, b, 7, (a + b) % 7) for a, b in zip(A, B, strict=True)],
    "mask": MASK,
    "square mask": MASK.reshape(7, 7),
    "numbers 0 and 1": MASK.astype(int).tolist(),
    "square of 0 and 1": MASK.astype(np.uint8).reshape(7, 7),
    "under train": {"train": CHOSEN, "test": [0]},
    "under train_mask": {"train_mask": MASK.tolist(), "seed": 3},
    "columns by name": {"a": A, "b": B, "label": [0] * 5},
    "records": [{"x": a, "y": b} for a, b in zip(A, B, strict=True)],
    "columns": [A, B],
    "inputs and answers": [np.array([A, B]).T, (np.array(A) + B) % 7],
    "inputs with = and answers": [np.array([A, B, [7] * 5]).T, (np.array(A) + B) % 7],
    "repeated": [*CHOSEN, 3, 3],
}
SAID = {
    "numbers 0 and 1": "49 zeros and ones are read as a mask over all pairs",
    "square of 0 and 1": "a mask over all pairs",
    "columns": "its 2 rows are read as columns",
    "repeated": "2 of 7 pairs are there more than once",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_says_the_same_pairs(form):
    found, notes = given(FORMS[form])
    assert found == CHOSEN
    assert SAID[form] in notes if form in SAID else notes == ""


KEYS = st.sampled_from(["train", "test", "a", "b", "x", "indices", "mask", "train_idx", "split", "q"])
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-2, 60), st.integers(), st.floats(), st.text(max_size=3))
ARRAYS = arrays(
    st.sampled_from([np.int64, np.bool_, np.float32, np.uint8]),
    array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=7),
)


@example([[None, []], None])
@example({"a": 1, "b": 2})
@drawn(
    st.recursive(
        LEAVES | ARRAYS,
        lambda inner: st.lists(inner, max_size=8) | st.dictionaries(KEYS, inner, max_size=3) | st.tuples(inner, inner),
        max_leaves=30,
    )
)
def test_whatever_is_given_is_pairs_or_a_sentence(value):
    try:
        found = pairs_of(value, Task.parse("div:7"), "f")
    except CheckpointError as error:
        assert str(error).startswith("f")
    else:
        assert found.mask.shape == (49,)


def test_what_may_be_two_things_goes_by_length_or_is_refused():
    """Two numbers 0 and 1 are two pairs, as many as there are pairs a mask, and what is between neither."""
    assert given([0, 1])[0] == [0, 1]
    assert given([[0, 1]])[0] == [1]
    for size in (3, 48, 50, 98):
        with pytest.raises(CheckpointError, match=f"a mask of \\[{size}\\], and the task add:7 has 49 pairs"):
            given([0, 1] * (size // 2) + [0] * (size % 2))
    with pytest.raises(CheckpointError, match="may be a mask or pairs"):
        given([[0, 1], [1, 0]], "add:2")


def test_a_mask_may_be_over_the_pairs_that_have_an_answer():
    task = Task.parse("div:5")
    mask = np.arange(20) % 3 == 0
    found, notes = given(mask.astype(int), "div:5")
    assert found == task.domain[mask].tolist()
    assert "the 20 pairs that have an answer" in notes


def test_answers_that_are_not_the_tasks_are_said():
    triples = [(a, b, (a - b) % 7) for a, b in zip(A, B, strict=True)]
    found, notes = given(triples)
    assert found == CHOSEN
    wrong = sum((a - b) % 7 != (a + b) % 7 for a, b in zip(A, B, strict=True))
    assert f"the third number of {wrong} of 5 triples is not the answer of add:7" in notes


def test_a_pair_on_both_sides_is_said():
    found, notes = given({"train": CHOSEN, "test": [3, 4]})
    assert found == CHOSEN
    assert "1 pairs are both in train and in test" in notes


def written(path, name, value):
    file = path / name
    match file.suffix:
        case ".json":
            file.write_text(json.dumps(value))
        case ".npy":
            np.save(file, np.array(value))
        case ".npz":
            np.savez(file, **value) if isinstance(value, dict) else np.savez(file, train=np.array(value))
        case ".pt":
            torch.save(value, file)
        case _:
            file.write_text(value)
    return file


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("i.json", {"train": CHOSEN}),
        ("i.npy", MASK.reshape(7, 7)),
        ("i.npz", CHOSEN),
        ("i.npz", {"train": CHOSEN, "test": [0]}),
        ("i.pt", torch.tensor(CHOSEN)),
        ("i.pt", {"train": list(zip(A, B, strict=True)), "test": [(0, 0)]}),
        ("i.pt", (torch.tensor([A, B]).T, torch.tensor(A) + torch.tensor(B))),
        ("i.csv", "\n".join(map(str, CHOSEN))),
        ("i.csv", "\n".join(f"{a},{b}" for a, b in zip(A, B, strict=True))),
        ("i.csv", "a,b,c\n" + "\n".join(f"{a},{b},{(a + b) % 7}" for a, b in zip(A, B, strict=True))),
        ("i.csv", "index\n" + "\n".join(map(str, CHOSEN)) + "\n"),
        ("i.csv", "a,b,split\n0,0,test\n" + "\n".join(f"{a},{b},train" for a, b in zip(A, B, strict=True))),
        ("i.txt", "\n".join(f"{a} {b}" for a, b in zip(A, B, strict=True))),
    ],
)
def test_every_kind_of_file(tmp_path, saved, mlp, name, value):
    view = detectors.load(saved(mlp), task="add:7", train_indices=written(tmp_path, name, value))
    assert np.flatnonzero(view.train_mask).tolist() == CHOSEN


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("i.csv", "a,b\n1,x\n", "'x' is no number"),
        ("i.csv", "1,2\n3\n", "different numbers of columns"),
        ("i.csv", "\n", "is empty"),
        ("i.txt", "\x00\xff", "i.txt"),
        ("i.pt", "hello", "i.pt"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, saved, mlp, name, value, message):
    (tmp_path / name).write_text(value)
    with pytest.raises(CheckpointError, match=message):
        detectors.load(saved(mlp), task="add:7", train_indices=tmp_path / name)


@pytest.mark.parametrize("key", ["train_indices", "train_data", "train_pairs", "train_mask"])
def test_a_checkpoints_own_pairs_are_used_and_said(tmp_path, mlp, key):
    value = MASK if key == "train_mask" else CHOSEN if key == "train_indices" else list(zip(A, B, strict=True))
    torch.save({"model_state_dict": mlp, key: torch.tensor(np.array(value)), "epoch": 3}, tmp_path / "c.pt")
    view = detectors.load(tmp_path / "c.pt", task="add:7")
    assert np.flatnonzero(view.train_mask).tolist() == CHOSEN
    assert f"the file's own {key} are taken for the training pairs." in view.checkpoint.notes
    other = detectors.load(tmp_path / "c.pt", task="add:7", train_split="0.5:0")  # what is asked for goes first
    assert other.train_mask.sum() == 24
    assert other.checkpoint.notes == ()


def test_a_checkpoints_own_pairs_of_another_form_are_no_error(tmp_path, mlp):
    torch.save({"model": mlp, "train_data": torch.zeros(6, 9, dtype=torch.long)}, tmp_path / "c.pt")
    view = detectors.load(tmp_path / "c.pt", task="add:7")
    assert view.train_mask is None
    assert "no training pairs are taken from the file" in " ".join(view.checkpoint.notes)


def test_all_pairs_are_said_to_be_all(tmp_path, saved, mlp):
    view = detectors.load(saved(mlp), task="add:7", train_indices=written(tmp_path, "i.json", list(range(49))))
    assert view.split.status == "given"
    assert "all pairs are given as training pairs: none is left to test on." in view.checkpoint.notes
    report = detectors.run(view, names=["memorisation"], draws=19)
    assert "all pairs are given as training pairs" in report["memorisation"].reason
