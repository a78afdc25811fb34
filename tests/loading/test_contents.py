"""Where the weights lie: under whatever key, in whatever depth, one of several states, without what lies beside."""

import argparse
import copy
import dataclasses
import pickle
import warnings
from collections import defaultdict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from detectors.core.errors import CheckpointError
from detectors.loading.tensors import read_contents, read_tensors

PLAIN = {"embedding.weight": torch.randn(7, 4), "fc.weight": torch.randn(9, 4), "fc.bias": torch.randn(9)}


def same(found, wanted=PLAIN):
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], torch.as_tensor(tensor).detach().float())


def times(factor):
    return {name: tensor * factor for name, tensor in PLAIN.items()}


def optimizer():
    moments = {k: {"step": torch.tensor(3.0), "exp_avg": torch.randn(7, 4)} for k in range(2)}
    return {"state": moments, "param_groups": [{"lr": 1e-3, "params": [0, 1]}]}


@dataclasses.dataclass
class Config:
    p: int = 7
    hidden: tuple = (4, 9)


WRAPPED = {
    "bare": PLAIN,
    "state_dict": {"state_dict": PLAIN, "epoch": 3},
    "model_state": {"optimizer_state": optimizer(), "model_state": PLAIN},
    "model_state_dict": {"model_state_dict": PLAIN, "optimizer_state_dict": optimizer(), "loss": np.float64(0.25)},
    "net": {"net": PLAIN, "opt": optimizer(), "train_losses": [0.5, 0.25]},
    "another word": {"my_model_params": PLAIN, "optim": optimizer()},
    "no word at all": {"a": {"b": PLAIN}, "optim": optimizer()},
    "below several keys": {"checkpoint": {"run": {"model": PLAIN}}, "config": {"d": 4}},
    "in a list": [{"lr": 0.1}, {"model": PLAIN}],
    "in a tuple": (PLAIN, {"lr": 0.1}),
    "in a tuple with its optimiser": (PLAIN, optimizer()),
    "a series beside": {"model_checkpoints": {"0": times(2), "100": times(3)}, "final_model": PLAIN},
    "defaults of int": defaultdict(int, model=PLAIN),
    "generators": {
        "model": PLAIN,
        "rng": np.random.default_rng(0),
        "old": np.random.RandomState(0),
        "e": ...,
        "r": range(3),
    },
    "a run": {
        "model": PLAIN,
        "rng": torch.get_rng_state(),
        "best_model": times(2),
        "best_acc": 0.5,
        "type": torch.optim.AdamW,
    },
    "data beside": {"model": PLAIN, "train_data": torch.zeros(12, 2), "activations": torch.zeros(5, 5)},
    "an average beside": {"model": PLAIN, "ema_model": times(2)},
    "parameters": {name: torch.nn.Parameter(tensor) for name, tensor in PLAIN.items()},
    "arrays": {name: tensor.numpy() for name, tensor in PLAIN.items()},
    "arrays under params": {"params": {name: tensor.numpy() for name, tensor in PLAIN.items()}},
    "configurations beside": {
        "cfg": Config(),
        "args": argparse.Namespace(p=7),
        "model": PLAIN,
        "name": np.array(["a"]),
    },
}


@pytest.mark.parametrize("how", WRAPPED)
@pytest.mark.parametrize("by", ["torch", "torch, long ago", "pickle", "pickle 2"])
def test_weights_are_found_wherever_they_lie(tmp_path, how, by):
    file = tmp_path / "c.pkl"
    match by:
        case "torch":
            torch.save(WRAPPED[how], file)
        case "torch, long ago":
            torch.save(WRAPPED[how], file, _use_new_zipfile_serialization=False)
        case "pickle":
            file.write_bytes(pickle.dumps(WRAPPED[how]))
        case "pickle 2":
            file.write_bytes(pickle.dumps(WRAPPED[how], protocol=2))
    same(read_tensors(file))


PREFIXES = ["module.", "_orig_mod.", "module._orig_mod.", "net.", "model.transformer.", "model.model."]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_of_wrappers_are_taken_off_whatever_lies_beside(tmp_path, prefix):
    weights = {prefix + name: tensor for name, tensor in PLAIN.items()}
    beside = {
        "train_acc.correct": torch.tensor(3.0),
        "val_acc.total": torch.tensor(9.0),
        "loss_fn.weight": torch.ones(7),
    }
    torch.save({"state_dict": weights | beside}, tmp_path / "c.ckpt")
    same(read_tensors(tmp_path / "c.ckpt"), PLAIN | beside)


@pytest.mark.parametrize("prefix", ["fc1.", "layers.", "blocks.0.", "mlp.", "encoder."])
def test_a_part_of_the_model_is_no_prefix(tmp_path, prefix):
    weights = {prefix + name: tensor for name, tensor in PLAIN.items()}
    torch.save(weights, tmp_path / "c.pt")
    same(read_tensors(tmp_path / "c.pt"), weights)


def test_weights_beside_those_that_are_taken_are_named(tmp_path):
    torch.save({"model": PLAIN, "ema": {k: t + 1 for k, t in PLAIN.items()}, "epoch": 3}, tmp_path / "c.pt")
    contents = read_contents(tmp_path / "c.pt")
    same(contents.weights)
    assert contents.note == "the weights under model, and not ema beside it"
    torch.save({"model": PLAIN, "optimizer": {"state": {0: {"exp_avg": torch.ones(3, 3)}}}}, tmp_path / "o.pt")
    assert read_contents(tmp_path / "o.pt").note == ""
    with pytest.raises(CheckpointError, match="--step 7 is none of its own"):
        read_contents(tmp_path / "c.pt", step="7")


SERIES = {
    "each with its step": {"snapshots": [{"step": k * 100, "params": times(k)} for k in (0, 2, 11)]},
    "keyed by epoch": {k * 100: times(k) for k in (0, 2, 11)},
    "keyed by words": {f"epoch_{k * 100}": {"model": times(k), "loss": 0.1} for k in (0, 2, 11)},
    "a list and its epochs": {
        "state_dicts": [times(k) for k in (0, 2, 11)],
        "epochs": [0, 200, 1100],
        "losses": [1.5] * 3,
    },
    "below a key": {"checkpoints": {k * 100: times(k) for k in (0, 2, 11)}, "config": {"p": 7}},
}


@pytest.mark.parametrize("how", SERIES)
def test_of_a_series_the_last_is_read_or_the_step_that_is_asked_for(tmp_path, how):
    torch.save(SERIES[how], tmp_path / "c.pt")
    last = read_contents(tmp_path / "c.pt")
    same(last.weights, times(11))
    assert last.note == "state 1100, the last of 3 (--step takes another)"
    asked = read_contents(tmp_path / "c.pt", "200")
    same(asked.weights, times(2))
    assert asked.note == "state 200 of 3"
    with pytest.raises(CheckpointError, match="holds 3 states, 0 to 1100, and none of them is --step 5"):
        read_contents(tmp_path / "c.pt", "5")


def test_a_list_of_states_goes_by_places(tmp_path):
    torch.save([times(k) for k in (1, 2, 3)], tmp_path / "c.pt")
    same(read_contents(tmp_path / "c.pt").weights, times(3))
    same(read_contents(tmp_path / "c.pt", "0").weights, times(1))


def test_states_by_name_are_asked_for_unless_one_is_the_last(tmp_path):
    torch.save({"a": times(1), "b": times(2)}, tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match="several states, a, b: say which with --step KEY"):
        read_contents(tmp_path / "c.pt")
    same(read_contents(tmp_path / "c.pt", "b").weights, times(2))
    torch.save({"start": times(1), "final": times(2)}, tmp_path / "d.pt")
    same(read_contents(tmp_path / "d.pt").weights, times(2))
    assert "the state final of start, final" in read_contents(tmp_path / "d.pt").note


def test_a_step_of_a_file_of_one_state_is_refused_but_its_own(tmp_path):
    torch.save({"model": PLAIN, "step": 300}, tmp_path / "c.pt")
    same(read_contents(tmp_path / "c.pt", "300").weights)
    with pytest.raises(CheckpointError, match="holds one state, and --step 5 is none of its own"):
        read_contents(tmp_path / "c.pt", "5")


def test_parts_of_a_model_saved_apart_are_one_model(tmp_path):
    parts = {"embed": {"weight": torch.randn(7, 4)}, "mlp": {"weight": torch.randn(9, 4), "bias": torch.randn(9)}}
    torch.save(parts, tmp_path / "c.pt")
    same(read_tensors(tmp_path / "c.pt"), {f"{k}.{n}": t for k, part in parts.items() for n, t in part.items()})
    layers = {"layers": [{"W": torch.randn(4, 4)}, {"W": torch.randn(4, 4)}], "W_E": torch.randn(7, 4)}
    torch.save(layers, tmp_path / "d.pt")
    assert read_tensors(tmp_path / "d.pt").keys() == {"layers.0.W", "layers.1.W", "W_E"}


def test_norms_of_nested_dictionaries_are_read_though_they_hold_no_matrix(tmp_path):
    """As Flax has them, with metrics beside that are none."""
    norm = {"scale": np.ones(4, np.float32), "bias": np.zeros(4, np.float32)}
    block = {"LayerNorm_0": norm, "Dense_0": {"kernel": np.ones((4, 4), np.float32)}}
    tree = {"Block_0": block, "LayerNorm_0": dict(norm), "Dense_1": {"kernel": np.ones((4, 7), np.float32)}}
    history = {"loss": np.ones(9, np.float32)}
    (tmp_path / "c.pkl").write_bytes(pickle.dumps({"params": tree, "history": history, "step": 3}))
    norms = {f"{path}.{name}" for path in ("Block_0.LayerNorm_0", "LayerNorm_0") for name in norm}
    found = read_tensors(tmp_path / "c.pkl")
    assert found.keys() == norms | {"Block_0.Dense_0.kernel", "Dense_1.kernel"}
    (tmp_path / "s.pkl").write_bytes(pickle.dumps({"0": copy.deepcopy(tree), "100": tree}))  # a series of them
    assert read_tensors(tmp_path / "s.pkl").keys() == found.keys()


def test_what_a_file_says_beside_its_weights(tmp_path):
    beside = {
        "epoch": 3,
        "config": Config(),
        "args": argparse.Namespace(p=7, out=None),
        "loss": np.float32(0.5),
        "nested": {"lr": [1e-3, 1e-4], "dtype": torch.float32},
        "acc": np.array(0.25),
    }
    torch.save({"model": PLAIN, **beside}, tmp_path / "c.pt")
    says = read_contents(tmp_path / "c.pt").says
    assert says["epoch"] == 3
    assert says["config"] == {"p": 7, "hidden": [4, 9]}
    assert says["args"] == {"p": 7, "out": None}
    assert (says["loss"], says["acc"]) == (0.5, 0.25)
    assert says["nested"] == {"lr": [1e-3, 1e-4], "dtype": "torch.float32"}


def test_numpy_files(tmp_path):
    arrays = {name: tensor.double().numpy() for name, tensor in PLAIN.items()}
    np.savez(tmp_path / "a.npz", **arrays)
    np.savez_compressed(tmp_path / "b.npz", **{n: np.asfortranarray(a) for n, a in arrays.items()})
    np.save(tmp_path / "c.npy", arrays)  # a dictionary, which NumPy pickles
    (tmp_path / "d.pkl").write_bytes(pickle.dumps({n: a.astype(">f4") for n, a in arrays.items()}))
    (tmp_path / "e.pkl").write_bytes(pickle.dumps({n: np.asfortranarray(a) for n, a in arrays.items()}, protocol=2))
    np.savez(tmp_path / "f.npz", model=arrays)
    for file in sorted(tmp_path.iterdir()):
        same(read_tensors(file))


def test_safetensors_say_their_metadata(tmp_path):
    save_file(PLAIN, tmp_path / "c.safetensors", metadata={"p": "7", "step": "300"})
    contents = read_contents(tmp_path / "c.safetensors", "300")
    same(contents.weights)
    assert contents.says == {"p": "7", "step": "300"}


def test_a_whole_module_is_refused_with_the_lines_that_save_its_weights(tmp_path):
    module = torch.nn.Sequential(torch.nn.Linear(3, 4))
    for value, place in ((module, ""), ({"net": module, "epoch": 3}, r"\['net'\]")):
        for legacy in (False, True):
            torch.save(value, tmp_path / "m.pt", _use_new_zipfile_serialization=not legacy)
            lines = rf'model = torch\.load\(".*m\.pt", weights_only=False\){place}\n  torch\.save\(model\.state_dict'
            with pytest.raises(CheckpointError, match=rf"(?s)whole pickled module.*{lines}"):
                read_tensors(tmp_path / "m.pt")
    torch.save({"loss_fn": module, "state_dict": PLAIN}, tmp_path / "m.pt")  # beside the weights it is no harm
    same(read_tensors(tmp_path / "m.pt"))


def test_torchscript_is_refused_with_the_line_that_saves_its_weights(tmp_path):
    with warnings.catch_warnings(action="ignore"):  # that it is old
        torch.jit.script(torch.nn.Linear(3, 4)).save(tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match=r"TorchScript[\s\S]*torch\.jit\.load\(.*\)\.state_dict"):
        read_tensors(tmp_path / "m.pt")


@pytest.mark.parametrize(
    ("beside", "where"),
    [
        ({"train_indices": [3, 1]}, "train_indices"),
        ({"train_data": torch.zeros(4, 2), "train_idx": torch.tensor([3, 1])}, "train_idx"),
        ({"data": {"train_pairs": [(0, 1)], "test_pairs": [(1, 1)]}}, "train_pairs"),
        ({"config": argparse.Namespace(train_indices=np.array([3, 1]), lr=0.1)}, "train_indices"),
        ({"split": {"train": [3, 1], "test": [2]}}, "split"),
        ({"is_train": np.ones(49, dtype=bool)}, "is_train"),
        ({"train_losses": [0.5, 0.1], "train_acc": 0.9, "train_frac": 0.3, "train": 0.5}, None),
        ({"train_data": [0.5, 0.25]}, None),
    ],
)
def test_training_pairs_in_a_file_are_found_by_their_keys(tmp_path, beside, where):
    torch.save({"model": PLAIN, **beside}, tmp_path / "c.pt")
    found = read_contents(tmp_path / "c.pt").train
    assert (None if found is None else found[0]) == where


def test_keys_in_messages_are_visible(tmp_path):
    torch.save({"a\n::error::": PLAIN, "b\x1b[2J": times(2)}, tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match=r"a\\n\\x3a:error\\x3a:, b\\x1b\[2J: say which"):
        read_contents(tmp_path / "c.pt")
    assert read_contents(tmp_path / "c.pt", "b\x1b[2J").note.isprintable()


def test_a_single_array_and_an_object_are_no_weights(tmp_path):
    torch.save(torch.zeros(3, 3), tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match="found an array without a name"):
        read_contents(tmp_path / "c.pt")
    torch.save(Config(), tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match=r"found .*test_contents\.Config"):
        read_contents(tmp_path / "c.pt")


def test_safetensors_are_known_by_what_they_hold(tmp_path):
    save_file(PLAIN, tmp_path / "c.safetensors")
    (tmp_path / "c.safetensors").rename(tmp_path / "weights.bin")
    same(read_tensors(tmp_path / "weights.bin"))
