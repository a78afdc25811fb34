"""Language models: what is seen of them is what transformers computes, whatever the family; less is run for less."""

import json

import pytest
import torch

import detectors
from detectors.core.errors import CheckpointError, TaskError
from detectors.core.memory import MemoryBudget
from detectors.subjects.contract import contract

transformers = pytest.importorskip("transformers")

SIZES = {"vocab_size": 200, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
FAMILIES = {
    "llama": lambda: transformers.LlamaConfig(**SIZES, **HEADS),
    "qwen3": lambda: transformers.Qwen3Config(**SIZES, **HEADS),
    "gemma2": lambda: transformers.Gemma2Config(**SIZES, **HEADS, sliding_window=8),
    "mistral": lambda: transformers.MistralConfig(**SIZES, **HEADS, sliding_window=8),
    "gpt2": lambda: transformers.GPT2Config(vocab_size=200, n_embd=32, n_layer=3, n_head=4, n_positions=160),
    "gpt_neox": lambda: transformers.GPTNeoXConfig(**SIZES, num_attention_heads=4),
}


def model_of(family):
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(FAMILIES[family](), attn_implementation="eager").eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_seen_is_what_the_family_computes(family):
    model = model_of(family)
    tokens = torch.randint(3, 200, (3, 20), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        theirs = model(tokens, output_attentions=True, output_hidden_states=True)
    view = detectors.from_transformers(model)
    points = [f"blocks.{i}.attn.hook_pattern" for i in range(3)]
    at = torch.zeros_like(tokens, dtype=torch.bool)
    at[:, 5] = at[0, 7] = True
    logits, seen = view.run(tokens, capture=points, at=at)
    assert torch.allclose(logits, theirs.logits[at], atol=1e-5)
    for point, pattern in zip(points, theirs.attentions, strict=True):
        assert torch.allclose(seen[point], pattern, atol=1e-6)
    assert torch.allclose(view.run(tokens)[0], theirs.logits, atol=1e-5)
    assert [line.wrong for line in contract(view) if line.wrong] == []


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
@pytest.mark.parametrize("end", ["attn.hook_pattern", "attn.hook_v", "attn.hook_z", "hook_resid_post"])
def test_a_pass_from_the_edited_layer_on_is_the_whole_pass(family, end):
    view = detectors.from_transformers(model_of(family))
    tokens = view.sample.tokens[:2]
    name, at = f"blocks.1.{end}", torch.ones_like(tokens, dtype=torch.bool)

    def hook(point, tensor):
        return tensor * 0.5 if point == name else tensor

    with torch.no_grad():
        whole, plain = view.network.forward(tokens, hook), view.network.forward(tokens, lambda _, x: x)
    part = view.run(tokens, edit={name: lambda x: x * 0.5}, at=at)[0].reshape(whole.shape)
    assert torch.allclose(part, whole, atol=1e-5)
    assert not torch.allclose(part, plain, atol=1e-4)


def test_heads_write_by_their_own_rows():
    view = detectors.from_transformers(model_of("gpt2"))
    module = view.network.model.transformer.h[1].attn
    weight = view.weights["blocks.1.attn.W_O"]
    z = torch.randn(5, 4, 8)
    assert torch.allclose(
        torch.einsum("bhe,hed->bd", z, weight) + module.c_proj.bias, module.c_proj(z.flatten(1)), atol=1e-5
    )


def test_words_come_again_at_varying_lags_and_nothing_else_does():
    tokens, targets = detectors.from_transformers(model_of("llama")).sample
    lags = []
    for row, wanted in zip(tokens.tolist(), targets.tolist(), strict=True):
        for place, target in enumerate(wanted):
            if target >= 0:
                assert row[place + 1] == target
                first = row.index(target)
                assert row[first - 1] == row[place]
                lags.append(place + 1 - first)
    assert 20 < torch.tensor(lags).float().std() < 40


def test_an_untrained_model_has_no_heads():
    report = detectors.run(detectors.from_transformers(model_of("llama")))
    assert not [d for d in report if d.verdict == "present"]
    assert report["head_composition"].verdict == "not_applicable"


def test_a_folder_is_read_and_what_is_too_large_is_not(tmp_path, monkeypatch):
    model_of("llama").save_pretrained(tmp_path / "m")
    view = detectors.load(tmp_path / "m")
    assert (view.task.spec, view.architecture["model_type"]) == ("repeat", "llama")
    with pytest.raises(TaskError, match="no tokenizer beside it"):
        detectors.load(tmp_path / "m", text=tmp_path / "text.txt")
    monkeypatch.setenv("DETECTORS_MEMORY", "0.0001")
    with pytest.raises(MemoryBudget, match="million weights would need about"):
        detectors.load(tmp_path / "m")


def test_a_folder_that_is_damaged_is_refused_in_words(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(CheckpointError, match=r"neither \*.safetensors nor"):
        detectors.load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"x" * 40)
    with pytest.raises(CheckpointError, match="is damaged"):
        detectors.load(tmp_path)
