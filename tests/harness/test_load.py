"""Every layout loads, and what does not fit gets one clear sentence."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import detectors
from detectors.core.errors import CheckpointError, DetectorsError
from models_zoo.architectures import initial_weights

MLP = {"kind": "mlp", "n_tokens": 7, "d_model": 4, "d_mlp": 6, "d_vocab_out": 7}
T = {
    "kind": "transformer",
    "n_layers": 1,
    "d_model": 8,
    "n_heads": 2,
    "d_head": 4,
    "d_mlp": 12,
    "n_ctx": 3,
    "d_vocab": 8,
    "d_vocab_out": 7,
}


@pytest.fixture
def mlp():
    return initial_weights(MLP, 0)


@pytest.fixture
def transformer():
    return initial_weights(T, 0)


def original(w, layers=1):
    """The same weights in the layout of the original grokking code."""
    out = {"embed.W_E": w["embed.W_E"].T, "pos_embed.W_pos": w["pos_embed.W_pos"], "unembed.W_U": w["unembed.W_U"]}
    for i in range(layers):
        n = f"blocks.{i}."
        out |= {f"{n}attn.W_{q}": w[f"{n}attn.W_{q}"].transpose(1, 2) for q in "QKV"}
        out[f"{n}attn.W_O"] = w[f"{n}attn.W_O"].reshape(-1, w["pos_embed.W_pos"].shape[1]).T
        out[f"{n}mlp.W_in"], out[f"{n}mlp.W_out"] = w[f"{n}mlp.W_in"].T, w[f"{n}mlp.W_out"].T
        out |= {f"{n}mlp.b_{q}": w[f"{n}mlp.b_{q}"] for q in ("in", "out")}
    return {k: v.contiguous() for k, v in out.items()}


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
def test_the_two_transformer_layouts_give_the_same_logits(saved, transformer, name):
    ours = detectors.load(saved(transformer, "tl_" + name), task="add:7")
    theirs = detectors.load(saved(original(transformer), "orig_" + name), task="add:7")
    torch.testing.assert_close(ours.logits(), theirs.logits())
    assert ours.checkpoint.layout != theirs.checkpoint.layout


def test_a_square_embedding_is_not_mistaken_for_its_transpose(saved):
    """d_model equal to the vocabulary: shapes of W_E say nothing, those of W_O do."""
    w = initial_weights(T, 1)  # d_model 8, d_vocab 8
    ours = detectors.load(saved(w, "a.pt"), task="add:7")
    theirs = detectors.load(saved(original(w), "b.pt"), task="add:7")
    torch.testing.assert_close(ours.logits(), theirs.logits())


@pytest.mark.parametrize("key", ["model", "state_dict", "model_state_dict", "weights"])
def test_weights_under_a_key_load_and_unused_tensors_are_listed(tmp_path, mlp, key):
    torch.save({key: mlp | {"x_embed": torch.zeros(3, 3)}, "epoch": 3, "losses": [1.0, 2.0]}, tmp_path / "c.pt")
    view = detectors.load(tmp_path / "c.pt", task="add:7")
    assert view.checkpoint.unused == ("x_embed",)


def test_two_positions_separate_vocabularies_and_extra_columns(saved):
    shapes = [
        ({"n_ctx": 2, "d_vocab": 7}, False),
        ({"n_ctx": 2, "d_vocab": 14, "d_vocab_out": 14}, True),
        ({"n_ctx": 3, "d_vocab": 15}, True),
        ({"d_vocab_out": 8}, False),
    ]
    for i, (change, separate) in enumerate(shapes):
        view = detectors.load(saved(initial_weights(T | change, 0), f"{i}.pt"), task="add:7")
        assert view.network.config.separate_vocabularies is separate
        assert view.logits().shape == (49, 7)


def test_layer_norm_is_recognised_and_can_be_said(saved, transformer):
    with_norm = transformer | {
        f"{name}.{part}": torch.full((8,), 1.0 if part == "w" else 0.0)
        for name in ("blocks.0.ln1", "blocks.0.ln2", "ln_final")
        for part in "wb"
    }
    ln = detectors.load(saved(with_norm, "ln.pt"), task="add:7")
    folded = detectors.load(saved(transformer, "pre.pt"), task="add:7", arch={"normalization_type": "LNPre"})
    assert ln.network.architecture["normalization_type"] == "LN"
    torch.testing.assert_close(ln.logits(), folded.logits())
    assert ln.readout() is None
    assert "readout" not in ln.parts


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types(saved, mlp, dtype):
    view = detectors.load(saved({k: v.to(dtype) for k, v in mlp.items()}), task="add:7")
    exact = detectors.load(saved(mlp, "exact.pt"), task="add:7")
    assert view.weight("W").dtype == torch.float32
    torch.testing.assert_close(view.logits(), exact.logits(), atol=0.05, rtol=0.05)


def folder(path, model, weights, task, **more):
    path.mkdir()
    save_file(weights, path / "model.safetensors")
    (path / "config.json").write_text(json.dumps({"model": model, "task": task, **more}))
    return path


def test_a_folder_carries_its_task_and_training_pairs(tmp_path, transformer):
    path = folder(tmp_path / "m", T, transformer, {"op": "sub", "p": 7}, train_indices=[0, 5, 48], note="kept")
    view = detectors.load(path)
    assert view.task.spec == "sub:7"
    assert np.flatnonzero(view.train_mask).tolist() == [0, 5, 48]
    assert detectors.load(path, task="add:7").task.spec == "add:7"


def test_a_folder_says_what_shapes_cannot(tmp_path, transformer):
    path = folder(tmp_path / "m", T | {"act_fn": "square", "attn_coeff": 0.5}, transformer, {"op": "add", "p": 7})
    architecture = detectors.load(path).network.architecture
    assert (architecture["act_fn"], architecture["attn_coeff"]) == ("square", 0.5)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "no table `model`"),
        ("{}", "no table `model`"),
        ('{"model": {"kind": "transformer"}}', "pass --task"),
        ('{"model": {"kind": "transformer"}, "task": {"op": "add", "p": "x"}}', "unknown task"),
        ('{"model": {"kind": "transformer"}, "task": {"op": "add", "p": 7}, "train_indices": [0, 49]}', "0 to 49"),
        ('{"model": {"kind": "transformer"}, "task": {"op": "add", "p": 7}, "train_indices": ["a"]}', "whole numbers"),
        ('{"model": {"kind": "transformer", "n_layers": 3}, "task": {"op": "add", "p": 7}}', "n_layers = 3"),
    ],
)
def test_bad_configs(tmp_path, transformer, config, message):
    path = folder(tmp_path / "m", T, transformer, {"op": "add", "p": 7})
    (path / "config.json").write_text(config)
    with pytest.raises(DetectorsError, match=message):
        detectors.load(path)


def test_an_unknown_layout_prints_what_was_found_and_what_is_known(saved):
    with pytest.raises(CheckpointError, match=r"layer1\.weight \[3, 4\][\s\S]*W_x, W_y[\s\S]*--loader"):
        detectors.load(saved({"layer1.weight": torch.zeros(3, 4)}), task="add:7")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinite_weights_are_refused(saved, mlp, value):
    mlp["W"][1, 2] = value
    with pytest.raises(CheckpointError, match="W has 1 NaN or infinite entries"):
        detectors.load(saved(mlp), task="add:7")


def test_a_nan_in_an_unused_tensor_is_no_reason_to_refuse(saved, mlp):
    assert detectors.load(saved(mlp | {"old": torch.full((2, 2), float("nan"))}), task="add:7")


@pytest.mark.parametrize("missing", ["unembed.W_U", "pos_embed.W_pos", "blocks.0.attn.W_V", "blocks.0.mlp.W_out"])
def test_missing_tensors_are_named(saved, transformer, missing):
    del transformer[missing]
    with pytest.raises(CheckpointError, match=missing.replace(".", r"\.")):
        detectors.load(saved(transformer), task="add:7")


@pytest.mark.parametrize("name", sorted(initial_weights(T, 0)))
@pytest.mark.parametrize("axis", [0, -1])
def test_shapes_that_do_not_fit_each_other_are_refused(saved, transformer, name, axis):
    short = transformer[name].narrow(axis, 0, transformer[name].shape[axis] - 1).contiguous()
    expected = "has 7 answers, but W_U has 6 columns" if (name, axis) == ("unembed.W_U", -1) else "."
    with pytest.raises(DetectorsError, match=expected):
        detectors.load(saved(transformer | {name: short}), task="add:7")


@pytest.mark.parametrize("task", ["add:6", "add:8", "compose:S4", "max:113"])
def test_a_task_of_another_size_is_refused(saved, transformer, mlp, task):
    for i, weights in enumerate((transformer, mlp, original(transformer))):
        with pytest.raises(CheckpointError, match="tokens"):
            detectors.load(saved(weights, f"{i}.pt"), task=task)


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


@pytest.mark.parametrize(
    "arch",
    [{"act_fn": "swoosh"}, {"layers": "3"}, {"attn_coeff": "x"}, {"attn_coeff": "nan"}, {"normalization_type": "RMS"}],
)
def test_bad_arch_options(saved, transformer, arch):
    with pytest.raises(CheckpointError):
        detectors.load(saved(transformer), task="add:7", arch=arch)


def test_infer_reads_the_task_from_the_predictions(tmp_path):
    from models_zoo import trig_mlp

    view = trig_mlp(p=13, frequencies=(2, 5))
    torch.save(dict(view.network.weights), tmp_path / "m.pt")
    found = detectors.load(tmp_path / "m.pt", task="infer")
    assert found.task.spec == "infer=add:13"
    with pytest.raises(DetectorsError, match="pass --task"):
        detectors.load(tmp_path / "m.pt")


def test_a_loader_of_the_users(tmp_path, saved, mlp, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "import detectors\nfrom detectors.harness.tensors import read_tensors\n"
        "from detectors.harness.adapters.mlp import TwoEmbeddingMLP\n"
        "def load(path, task):\n    return detectors.ModelView(TwoEmbeddingMLP(read_tensors(path), 'tanh'), task)\n"
        "def bad(path, task):\n    return 3\n"
    )
    view = detectors.load(saved(mlp), task="add:7", loader=f"{tmp_path / 'mine.py'}:load")
    assert view.network.architecture["act_fn"] == "tanh"
    monkeypatch.syspath_prepend(tmp_path)
    assert detectors.load(saved(mlp), task="add:7", loader="mine:load").logits().shape == (49, 7)
    for loader in ("mine:absent", "absent_module:load", "mine", ":f", f"{tmp_path}/no.py:load", "mine:bad"):
        with pytest.raises(CheckpointError, match="loader"):
            detectors.load(saved(mlp), task="add:7", loader=loader)


def test_a_loader_that_fails_is_a_sentence(tmp_path, saved, mlp):
    (tmp_path / "theirs.py").write_text(
        "import detectors, numpy, torch\n"
        "from detectors.harness.tensors import read_tensors\n"
        "from detectors.harness.adapters.mlp import TwoEmbeddingMLP\n"
        "def raises(path, task):\n    raise KeyError('config')\n"
        "def too_few(path):\n    pass\n"
        "class Bare:\n    n_tokens = 7\n"
        "def bare(path, task):\n    return detectors.ModelView(Bare(), task)\n"
        "class Numpy(TwoEmbeddingMLP):\n    def forward(self, tokens, hook):\n        return numpy.zeros((1, 7))\n"
        "def arrays(path, task):\n    return detectors.ModelView(Numpy(read_tensors(path)), task)\n"
        "class Broken(TwoEmbeddingMLP):\n    def forward(self, tokens, hook):\n        return 1 / 0\n"
        "def broken(path, task):\n    return detectors.ModelView(Broken(read_tensors(path)), task)\n"
        "class Double(TwoEmbeddingMLP):\n"
        "    def forward(self, tokens, hook):\n        return super().forward(tokens, hook).double()\n"
        "def double(path, task):\n    return detectors.ModelView(Double(read_tensors(path)), task)\n"
    )
    cases = {
        "raises": "raised KeyError",
        "too_few": "raised TypeError",
        "bare": "lacks architecture, n_layers, weights, forward",
        "arrays": "gives ndarray",
        "broken": "forward pass raised ZeroDivisionError",
    }
    for name, message in cases.items():
        with pytest.raises(CheckpointError, match=message):
            detectors.load(saved(mlp), task="add:7", loader=f"{tmp_path / 'theirs.py'}:{name}")
    double = detectors.load(saved(mlp), task="add:7", loader=f"{tmp_path / 'theirs.py'}:double")
    assert double.logits().dtype == torch.float32


def test_a_built_member_takes_no_options():
    for option in ({"task": "mul:29"}, {"train_split": "0.5:1"}, {"arch": {"act_fn": "gelu"}}):
        with pytest.raises(CheckpointError, match="pass it without options"):
            detectors.load("zoo:pizza29", **option)


def test_a_loader_may_read_a_folder_of_any_format(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import models_zoo\ndef load(path, task):\n    assert path.is_dir()\n"
        "    return models_zoo.trig_mlp(p=7, frequencies=(1,))\n"
    )
    view = detectors.load(tmp_path, task="add:7", loader=f"{tmp_path / 'mine.py'}:load")
    assert view.checkpoint.sha256 is None


@pytest.mark.parametrize("without", [0, 1])
def test_blocks_with_and_without_an_mlp_may_mix(saved, without):
    """A block without W_in and W_out is attention alone, its stray bias unused; the other block keeps its MLP."""
    w = initial_weights(T | {"n_layers": 2}, 0)
    zeroed = w | {k: torch.zeros_like(v) for k, v in w.items() if k.startswith(f"blocks.{without}.mlp")}
    mixed = {k: v for k, v in w.items() if not k.startswith(f"blocks.{without}.mlp.W_")}
    view = detectors.load(saved(mixed), task="add:7")
    torch.testing.assert_close(view.logits(), detectors.load(saved(zeroed, "zero.pt"), task="add:7").logits())
    assert set(view.checkpoint.unused) == {f"blocks.{without}.mlp.b_in", f"blocks.{without}.mlp.b_out"}
    with pytest.raises(CheckpointError, match="expected a matrix"):
        detectors.load(saved(w | {"blocks.0.mlp.W_in": torch.zeros(12)}, "flat.pt"), task="add:7")
