"""From a path to a view: what a folder carries, what a loader of the user's gives, and what is not scored."""

import importlib
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import detectors
import models_zoo
from detectors.core.errors import CheckpointError, DetectorsError


def folder(path, model, weights, task, **more):
    path.mkdir()
    save_file(weights, path / "model.safetensors")
    (path / "config.json").write_text(json.dumps({"model": model, "task": task, **more}))
    return path


def test_a_folder_carries_its_task_and_training_pairs(tmp_path, shape, transformer):
    path = folder(tmp_path / "m", shape, transformer, {"op": "sub", "p": 7}, train_indices=[0, 5, 48], note="kept")
    view = detectors.load(path)
    assert view.task.spec == "sub:7"
    assert np.flatnonzero(view.train_mask).tolist() == [0, 5, 48]
    assert detectors.load(path, task="add:7").task.spec == "add:7"


def test_a_folder_says_what_shapes_cannot(tmp_path, shape, transformer):
    path = folder(tmp_path / "m", shape | {"act_fn": "square", "attn_coeff": 0.5}, transformer, {"op": "add", "p": 7})
    architecture = detectors.load(path).network.architecture
    assert (architecture["act_fn"], architecture["attn_coeff"]) == ("square", 0.5)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "no table `model`"),
        ('{"model": 3}', "no table `model`"),
        ("{}", "pass --task"),
        ("[" * 100_000, "cannot be read"),
        ('{"model": {}, "task": {"op": [], "p": 7}}', "`op` is no text"),
        ('{"model": {}, "task": {"op": {"op": "add"}}}', "`op` is no text"),
        ('{"model": {}, "task": {"op": "add", "p": [[7]]}}', "unknown task"),
        ('{"model": {"kind": "transformer"}}', "pass --task"),
        ('{"model": {"kind": "transformer"}, "task": {"op": "add", "p": "x"}}', "unknown task"),
        ('{"model": {"kind": "transformer"}, "task": {"op": "add", "p": 7}, "train_indices": [0, 49]}', "0 to 49"),
        ('{"model": {"kind": "transformer"}, "task": {"op": "add", "p": 7}, "train_indices": ["a"]}', "whole numbers"),
        ('{"model": {"kind": "transformer", "n_layers": 3}, "task": {"op": "add", "p": 7}}', "n_layers = 3"),
    ],
)
def test_bad_configs(tmp_path, shape, transformer, config, message):
    path = folder(tmp_path / "m", shape, transformer, {"op": "add", "p": 7})
    (path / "config.json").write_text(config)
    with pytest.raises(DetectorsError, match=message):
        detectors.load(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinite_weights_are_refused(saved, mlp, value):
    mlp["W"][1, 2] = value
    with pytest.raises(CheckpointError, match="W has 1 NaN or infinite entries"):
        detectors.load(saved(mlp), task="add:7")


def test_a_nan_in_an_unused_tensor_is_no_reason_to_refuse(saved, mlp):
    assert detectors.load(saved(mlp | {"old": torch.full((2, 2), float("nan"))}), task="add:7")


def gated(seed: int, **more: torch.Tensor) -> dict[str, torch.Tensor]:
    """down(silu(gate(x)) * up(x)) of no block, as which it is not read."""
    rng = torch.Generator().manual_seed(seed)
    shapes = {"emb": (11, 8), "gate": (24, 16), "down": (11, 24)}
    return {f"{name}.weight": torch.randn(shape, generator=rng) for name, shape in shapes.items()} | more


def test_at_chance_a_file_with_weights_that_are_not_read_is_refused(saved):
    """Its network may be any; one that is read whole is as untrained as it seems."""
    up = {"up.weight": torch.randn(24, 16, generator=torch.Generator().manual_seed(9))}
    with pytest.raises(CheckpointError, match=r"no place for up\.weight: either[\s\S]*detectors\.wrap"):
        detectors.load(saved(gated(0, **up)), task="add:11")
    assert detectors.load(saved(gated(0)), task="add:11").figures().accuracy.all < 0.3
    constants = {"mask.weight": torch.ones(5, 5).tril(), "basis": torch.randn(13, 13)}  # of the code, not trained
    assert detectors.load(saved(gated(0, **constants)), task="add:11")


def test_training_pairs_in_memory_are_refused_with_what_takes_them(saved, mlp):
    with pytest.raises(CheckpointError, match=r"path of a file, not list: [\s\S]*with_train_mask"):
        detectors.load(saved(mlp), task="add:7", train_indices=[1, 2, 3])


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
        "import detectors\nfrom detectors.loading.tensors import read_tensors\n"
        "from detectors.loading.layouts.two_embedding_mlp import TwoEmbeddingMLP\n"
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
        "from detectors.loading.tensors import read_tensors\n"
        "from detectors.loading.layouts.two_embedding_mlp import TwoEmbeddingMLP\n"
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


def test_a_view_of_the_users_is_left_as_it_is(tmp_path, saved, mlp, monkeypatch):
    """What load adds to it, where it came from and its training pairs, goes onto a copy."""
    (tmp_path / "their_views.py").write_text(
        "import detectors\nfrom detectors.loading.layouts.two_embedding_mlp import TwoEmbeddingMLP\n"
        "from detectors.loading.tensors import read_tensors\nkept = []\n"
        "def load(path, task):\n"
        "    kept.append(detectors.ModelView(TwoEmbeddingMLP(read_tensors(path)), task))\n    return kept[-1]\n"
        "def again(path, task):\n    return kept[-1]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    first = detectors.load(saved(mlp), task="add:7", loader="their_views:load", train_split="0.5:0")
    second = detectors.load(saved(mlp), task="add:7", loader="their_views:again")
    assert first.checkpoint.layout == "loader their_views:load"
    assert first.train_mask.sum() == 24
    assert second.train_mask is None
    assert importlib.import_module("their_views").kept[-1].checkpoint.path == "(in memory)"


def test_infer_works_in_memory_and_with_a_loader(tmp_path):
    """A circuit of a + b mod 11 by construction says itself what it answers, however it is brought."""
    network = models_zoo.trig_mlp(p=11, frequencies=(3, 5)).network
    assert detectors.ModelView(network, "infer").task.spec == "infer=add:11"
    torch.save(dict(network.weights), tmp_path / "m.pt")
    loader = tmp_path / "mine.py"
    loader.write_text(
        "import torch, detectors\n"
        "from detectors.loading.layouts.two_embedding_mlp import TwoEmbeddingMLP\n"
        "def load(path, task):\n"
        f"    return detectors.ModelView(TwoEmbeddingMLP(torch.load(path), {network.architecture['act_fn']!r}), task)\n"
    )
    found = detectors.load(tmp_path / "m.pt", task="infer", loader=f"{loader}:load")
    assert found.task.spec == "infer=add:11"
    assert found.figures().accuracy.all == 1
