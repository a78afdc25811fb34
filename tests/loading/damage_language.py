"""The files of a language model's folder and a GGUF file, each with damage in one of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

import detectors
from detectors.core.errors import DetectorsError
from tests.loading.damage import after, bounded, damages

gguf, tokenizers = pytest.importorskip("gguf"), pytest.importorskip("tokenizers")

SIZES = {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
NAMES = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "generation_config.json",
    "m.gguf",
)
# what a header or a table may say in place of what it says
SAID = (b"-1", b"1e999", b"NaN", b"99999999999", b"null", b"{}", b"[]", b'""', b"\xff", b'"\\ud800"', b"[" * 9999)
RULE = b'"normalizer":{"type":"Replace","pattern":{"Regex":"x*"},"content":"aaaaaaaaa"}'

said = st.tuples(st.just("say"), st.integers(0, 1_000_000), st.sampled_from([*SAID, RULE]))
damaged_folders = st.tuples(
    st.integers(0, len(NAMES) - 1), st.lists(st.one_of(damages, said), min_size=1, max_size=4).map(tuple)
)


def saved(folder: Path) -> dict[str, bytes]:
    """By name, as the programs write them that everybody uses."""
    import transformers

    torch.manual_seed(0)
    transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES)).save_pretrained(folder)
    words = {word: number for number, word in enumerate(["<unk>", *(f"w{i}" for i in range(63))])}
    rules = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    rules.normalizer = tokenizers.normalizers.Sequence([tokenizers.normalizers.NFKC()])
    rules.pre_tokenizer = tokenizers.pre_tokenizers.Split(tokenizers.Regex(r"\s+|w\d"), "isolated")
    rules.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    _write_gguf(folder / "m.gguf", words)
    return {name: (folder / name).read_bytes() for name in NAMES}


def _write_gguf(file: Path, words: dict[str, int]) -> None:
    d, writer = SIZES["hidden_size"], gguf.GGUFWriter(file, "llama")
    writer.add_block_count(1), writer.add_context_length(256), writer.add_embedding_length(d)
    writer.add_feed_forward_length(8), writer.add_head_count(2), writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5), writer.add_rope_dimension_count(d // 2), writer.add_vocab_size(64)
    writer.add_tokenizer_model("llama"), writer.add_token_list(list(words)), writer.add_token_scores([0.0] * 64)
    writer.add_token_types([1] * 64)
    whole = {"token_embd": (64, d), "output": (64, d), "output_norm": (d,)}
    block = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), (d, d)) | {"ffn_down": (d, 8)}
    block |= {"ffn_gate": (8, d), "ffn_up": (8, d), "attn_norm": (d,), "ffn_norm": (d,)}
    for name, shape in (whole | {f"blk.0.{name}": shape for name, shape in block.items()}).items():
        writer.add_tensor(f"{name}.weight", np.full(shape, 0.1, dtype=np.float32))
    writer.write_header_to_file(), writer.write_kv_data_to_file(), writer.write_tensors_to_file(), writer.close()


def damaged(data: bytes, what: tuple) -> bytes:
    for one in what:
        if one[0] == "say":
            at = one[1] * len(data) // 1_000_000
            data = data[:at] + one[2] + data[at + len(one[2]) :]
        else:
            data = after(data, (one,))
    return data


def folder_or_refuse(folder: Path, good: dict[str, bytes], which: int, what: tuple) -> str:
    """What became of a folder, or of a GGUF file, one file of which is damaged: `read`, or the sentence."""
    name = NAMES[which]
    (folder / name).write_bytes(damaged(good[name], what))
    try:
        with bounded():
            view = detectors.load(folder / name if name == "m.gguf" else folder)
    except DetectorsError as error:
        assert str(error)
        return str(error)
    finally:
        (folder / name).write_bytes(good[name])
    assert all(bool(torch.isfinite(w).all()) for w in view.weights.values())
    return "read"
