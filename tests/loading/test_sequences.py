"""Models of sequences from a file with its configuration beside it, whatever they do with places."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import detectors
from detectors.core.errors import CheckpointError, TaskError
from detectors.core.memory import MemoryBudget
from detectors.loading.folders import inside, is_checkpoint
from detectors.loading.transformer import Architecture, SequenceTransformer
from models_zoo.architectures import initial_weights

MODEL = {"n_layers": 2, "d_model": 16, "n_heads": 2, "d_head": 8, "d_mlp": 0, "n_ctx": 9, "d_vocab": 12}
MODEL |= {"d_vocab_out": 12, "normalization_type": "LN"}


@pytest.fixture
def written(tmp_path):
    def write(config=(), without=(), **more):
        weights = initial_weights({"kind": "transformer", **MODEL, "biases": True}, 0)
        weights = {k: w for k, w in weights.items() if ".ln2" not in k and k not in without}
        save_file(weights, tmp_path / "m.safetensors")
        said = {**MODEL, "attention_dir": "causal", "attn_only": True, **dict(config)}
        (tmp_path / "m.json").write_text(
            json.dumps(said | {"task": "sorted_list", "task_parameters": {"list_len": 4}} | more)
        )
        return tmp_path / "m.safetensors", weights

    return write


def reference(weights, tokens, *, places="added", hidden=None):
    """Attention by a loop over queries, in float64."""
    w = {k: v.double() for k, v in weights.items()}
    table = w.get("pos_embed.W_pos")
    x = w["embed.W_E"][tokens]
    x = x + table[: len(tokens)] if places == "added" and table is not None else x

    def normed(x, name):
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        return x * w[f"{name}.w"] + w[f"{name}.b"]

    for i in range(2):
        read = normed(x, f"blocks.{i}.ln1")
        placed = read + table[: len(tokens)] if places == "apart" else read
        out = torch.zeros_like(x)
        for h in range(2):
            q, k, v = (y @ w[f"blocks.{i}.attn.W_{c}"][h] + w[f"blocks.{i}.attn.b_{c}"][h]
                       for y, c in ((placed, "Q"), (placed, "K"), (read, "V")))  # fmt: skip
            for query in range(len(tokens)):
                keys = [j for j in range(len(tokens)) if (hidden or (lambda q, j: j > q))(query, j) is False]
                a = (k[keys] @ q[query] / 8**0.5).softmax(0)
                out[query] += a @ v[keys] @ w[f"blocks.{i}.attn.W_O"][h]
        x = x + out + w[f"blocks.{i}.attn.b_O"]
    return normed(x, "ln_final") @ w["unembed.W_U"]


@pytest.mark.parametrize(
    ("config", "without", "how"),
    [
        ({}, (), {}),
        ({}, ("pos_embed.W_pos",), {}),
        ({"positional_embedding_type": "shortformer"}, (), {"places": "apart"}),
        ({"attention_dir": "bidirectional"}, (), {"hidden": lambda q, j: False}),
    ],
    ids=["usual", "no places", "places for queries and keys", "bidirectional"],
)
def test_logits_are_those_of_the_configuration(written, config, without, how):
    file, weights = written(config, without)
    view = detectors.load(file)
    assert view.task.spec == "sort:4"
    tokens = view.sample.tokens[:5]
    ours = view.run(tokens)[0]
    for row, expected in zip(ours, tokens, strict=True):
        assert torch.allclose(row.double(), reference(weights, expected, **how), atol=1e-4)
    assert detectors.check(view)


def test_padding_is_attended_to_by_nobody(written):
    file, weights = written({"attention_dir": "bidirectional"}, task_parameters={"list_len": 4, "pad_token": 3})
    view = detectors.load(file)
    tokens = next(row for row in view.sample.tokens if bool((row == 3).any()))
    expected = reference(weights, tokens, hidden=lambda q, j: bool(tokens[j] == 3))
    assert torch.allclose(view.run(tokens[None])[0][0].double(), expected, atol=1e-4)
    assert not bool(view.keys(tokens[None])[0][:, tokens == 3].any())


def test_sequences_beside_are_taken_and_others_on_request(written, tmp_path):
    file, _ = written(task="something else", task_parameters={"num_digits": 3})
    with pytest.raises(TaskError, match="names the task something else, which is none of ours: pass --task, repeat or"):
        detectors.load(file)
    tokens = np.random.default_rng(0).integers(0, 12, (20, 6))
    np.savez(tmp_path / "m.data.npz", tokens=tokens, targets=tokens)
    view = detectors.load(file)
    assert view.sample.tokens.shape == (20, 6)
    assert view.task.parameters == {"num_digits": 3}
    assert detectors.load(file, task="sort:3").task.spec == "sort:3"


def test_a_configuration_that_the_tensors_contradict(written):
    with pytest.raises(CheckpointError, match="says d_head = 4, but the tensors show 8"):
        detectors.load(written({"d_head": 4})[0])


def test_hook_points_of_every_layer():
    config = Architecture(**{k: v for k, v in MODEL.items() if k != "normalization_type"}, n_tokens=12)
    network = SequenceTransformer(initial_weights({"kind": "transformer", **MODEL}, 0), config)
    seen = {}
    network.forward(torch.zeros(3, 9, dtype=torch.long), lambda name, x: seen.setdefault(name, x))
    for layer in range(2):
        assert seen[f"blocks.{layer}.attn.hook_pattern"].shape == (3, 2, 9, 9)
        assert seen[f"blocks.{layer}.attn.hook_z"].shape == seen[f"blocks.{layer}.attn.hook_v"].shape == (3, 9, 2, 8)
        assert (
            seen[f"blocks.{layer}.hook_resid_pre"].shape == seen[f"blocks.{layer}.hook_resid_mid"].shape == (3, 9, 16)
        )


def test_attention_that_would_not_fit_is_refused_before_it_is_computed(written, monkeypatch):
    file, _ = written()
    monkeypatch.setenv("DETECTORS_MEMORY", "0.00001")
    with pytest.raises(MemoryBudget, match="attention over 8 positions in 2 layers of 2 heads"):
        detectors.load(file)


@pytest.mark.parametrize(
    "config",
    [
        {"use_attn_scale": False},
        {"attn_scale": 1.0},
        {"parallel_attn_mlp": True},
        {"use_local_attn": True, "window_size": 4},
        {"attn_scores_soft_cap": 30.0},
        {"scale_attn_by_inverse_layer_idx": True},
    ],
    ids=str,
)
def test_a_configuration_of_another_pass_is_refused_with_what_it_says(written, config):
    file, _ = written(config)
    with pytest.raises(CheckpointError, match=rf"m\.json says {next(iter(config))} = "):
        detectors.load(file)


def test_what_transformer_lens_writes_of_an_ordinary_model_is_one(written):
    usual = {"use_attn_scale": True, "attn_scale": 8**0.5, "parallel_attn_mlp": False, "attn_types": None}
    usual |= {"attn_scores_soft_cap": -1.0, "use_local_attn": False, "window_size": None, "gated_mlp": False}
    file, _ = written(usual)
    assert detectors.load(file).task.spec == "sort:4"


def test_weights_that_are_whole_numbers(written):
    file, weights = written()
    whole = {name: (8 * w).round() for name, w in weights.items()}
    save_file({name: w.to(torch.int8) for name, w in whole.items()}, file)
    found = detectors.load(file)
    save_file(whole, file)
    assert torch.equal(found.run(found.few(3))[0], detectors.load(file).run(found.few(3))[0])


def test_sequences_that_lie_beside_are_no_checkpoint_of_a_folder(written, tmp_path):
    file, _ = written()
    tokens = np.arange(36).reshape(4, 9) % 12
    np.savez(tmp_path / "m.data.npz", tokens=tokens, targets=tokens)
    assert is_checkpoint(file.name)
    assert not is_checkpoint("m.data.npz")
    assert inside(tmp_path).file == file


def test_options_of_what_is_read_by_structure_are_said_not_to_apply(written):
    file, _ = written()
    with pytest.raises(CheckpointError, match=r"^--tokens: does not apply to a TransformerLens transformer"):
        detectors.load(file, tokens="a b =")
    with pytest.raises(CheckpointError, match=r"^--arch n_heads: does not apply"):
        detectors.load(file, arch={"n_heads": "2"})
