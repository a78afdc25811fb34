"""Language models: what is seen of them is what transformers computes, whatever the family; less is run for less."""

import json
import os
from collections import OrderedDict

import pytest
import torch

import detectors
from detectors.core.errors import CheckpointError, TaskError
from detectors.core.memory import MemoryBudget
from detectors.core.threads import with_threads
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
    (tmp_path / "text.txt").write_text("words")
    with pytest.raises(TaskError, match="no tokenizer beside it"):
        detectors.load(tmp_path / "m", text=tmp_path / "text.txt")
    monkeypatch.setenv("DETECTORS_MEMORY", "0.0001")
    with pytest.raises(TaskError, match=r"--text .*none\.txt"):  # before anything is said of the model's size
        detectors.load(tmp_path / "m", text=tmp_path / "none.txt")
    with pytest.raises(MemoryBudget, match="weights, and what passes keep would need about"):
        detectors.load(tmp_path / "m")


def test_memory_is_said_before_it_is_taken_and_threads_are_all_that_there_are(tmp_path, caplog):
    model_of("llama").save_pretrained(tmp_path / "m")
    usual = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with caplog.at_level("INFO", "detectors"):
            with_threads(lambda: detectors.load(tmp_path / "m"), None)
        assert torch.get_num_threads() == 2
        assert " weights; about 0.5 GiB of memory to read and score" in caplog.text
        with_threads(lambda: detectors.load(tmp_path / "m"), 1)
        assert torch.get_num_threads() == 1
        torch.set_num_threads(2)
        with_threads(lambda: detectors.load("zoo:add53_grokked"), None)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(usual)


def test_means_are_of_a_pass_without_edits():
    view = detectors.from_transformers(model_of("qwen3"))
    tokens = view.sample.tokens
    points = ["blocks.1.attn.hook_pattern", "blocks.2.attn.hook_z"]
    seen = view.run(tokens, capture=points)[1]
    for point in points:
        assert torch.allclose(view.means(tokens)[point], seen[point].mean(0, keepdim=True), atol=1e-6)
    assert len(view.means(tokens)) == 6


def test_a_folder_that_is_damaged_is_refused_in_words(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(CheckpointError, match=r"neither \*.safetensors nor"):
        detectors.load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"x" * 40)
    with pytest.raises(CheckpointError, match="is damaged"):
        detectors.load(tmp_path)


def edited(folder, **config):
    """A saved model whose config.json says something else."""
    model_of("llama").save_pretrained(folder)
    said = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(said | config))
    return folder


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"num_hidden_layers": 5}, "lacks 18 tensors that its configuration asks for"),
        ({"hidden_size": 64}, "or has them in other shapes"),
        ({"num_hidden_layers": 10**7}, "asks for 10000000 layers"),
        ({"intermediate_size": 10**5}, "its files have"),
        ({"_attn_implementation": "some/kernel"}, "may fetch and run code"),
        ({"quantization_config": {"quant_method": "mxfp4"}}, "may fetch and run code"),
        ({"model_type": "evil", "auto_map": {"AutoConfig": "evil.C"}}, "transformers does not read it"),
    ],
)
def test_a_configuration_that_asks_for_what_is_not_there_is_refused(tmp_path, config, words):
    """What transformers does not find it draws at random, and what a configuration names it may fetch."""
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(CheckpointError, match=words):
        detectors.load(edited(tmp_path, **config))
    assert not (tmp_path / "ran").exists()


def test_a_pickle_beside_a_configuration_runs_nothing(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    weights = model_of("llama").state_dict()
    edited(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(OrderedDict(weights, evil=Evil()), tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"asks for posix\.system"):
        detectors.load(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_what_is_no_plain_file_is_not_opened(tmp_path):
    edited(tmp_path)
    os.mkfifo(tmp_path / "tokenizer.json")
    with pytest.raises(CheckpointError, match=r"tokenizer.json is no plain file"):
        detectors.load(tmp_path)


def test_models_that_are_no_causal_language_models_are_refused():
    config = transformers.BertConfig(
        vocab_size=200, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4
    )
    with pytest.raises(CheckpointError, match="attends to what comes next"):
        detectors.from_transformers(transformers.BertLMHeadModel(config))
    with pytest.raises(CheckpointError, match="no language head"):
        detectors.from_transformers(transformers.LlamaModel(FAMILIES["llama"]()))


def test_options_of_small_models_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="language model: arch, step cannot be said of one"):
        detectors.load(edited(tmp_path), arch={"act_fn": "gelu"}, step="3")


def test_what_a_detector_does_to_a_pattern_stays_with_it():
    view = detectors.from_transformers(model_of("llama"))
    name, nowhere = "blocks.0.attn.hook_pattern", torch.zeros_like(view.sample.tokens, dtype=torch.bool)
    first = view.run(view.sample.tokens, capture=[name], at=nowhere)[1][name]
    before = first.clone()
    first.zero_()
    assert torch.equal(view.run(view.sample.tokens, capture=[name], at=nowhere)[1][name], before)


def test_circuits_are_of_values_outputs_and_the_unembedding():
    """By hand, for the first layer: its norm on the embedding, values of the group, outputs, the last norm's gain."""
    model = model_of("llama")
    with torch.no_grad():
        model.model.norm.weight.uniform_(0.5, 2.0)
    view = detectors.from_transformers(model)
    tokens = torch.arange(10, 30)
    layer, found = model.model.layers[0], view.network.circuits(0, tokens)
    with torch.no_grad():
        x = layer.input_layernorm(model.model.embed_tokens(tokens))
        values = layer.self_attn.v_proj(x).reshape(20, 2, 8)
        out = (model.lm_head.weight * model.model.norm.weight)[tokens].T
        for head in range(4):
            write = layer.self_attn.o_proj.weight[:, 8 * head : 8 * head + 8].T @ out
            expected = values[:, head // 2] @ write
            expected = expected - expected.mean(0) - (expected - expected.mean(0)).mean(1, keepdim=True)
            assert torch.allclose((found[head].read @ found[head].write).float(), expected, atol=1e-6)


def test_a_model_in_memory_stays_as_it_is():
    """Mode, attention and tensors; a refused one too."""
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES, **HEADS)).train()
    before = (model.training, model.config._attn_implementation, [p.data_ptr() for p in model.parameters()])
    view = detectors.from_transformers(model)
    view.run(view.few(2))
    assert (model.training, model.config._attn_implementation, [p.data_ptr() for p in model.parameters()]) == before
    assert next(view.network.model.parameters()) is next(model.parameters())  # nothing is held twice
    bloom = transformers.BloomForCausalLM(transformers.BloomConfig(vocab_size=200, hidden_size=32, n_layer=2, n_head=4))
    with pytest.raises(CheckpointError):
        detectors.from_transformers(bloom.train())
    assert bloom.training


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_model_of_half_precision_is_read_in_float32(dtype):
    model = model_of("llama").to(dtype)
    view = detectors.from_transformers(model)
    whole = model_of("llama").to(dtype).float()
    tokens = view.few(2)
    with torch.no_grad():
        assert torch.allclose(view.run(tokens)[0], whole(tokens).logits, atol=1e-5)
    assert model.dtype == dtype


def test_a_model_without_attention_is_refused_in_words():
    config = transformers.MambaConfig(vocab_size=200, hidden_size=32, num_hidden_layers=2)
    with pytest.raises(CheckpointError, match="MambaForCausalLM has no attention heads"):
        detectors.from_transformers(transformers.MambaForCausalLM(config))
