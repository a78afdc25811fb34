"""Folders and GGUF files of strangers: what hung, ran out of memory, was scored damaged, or ended in a traceback."""

import json
import os
import struct
import time

import pytest
import torch

import detectors
from detectors.core.errors import CheckpointError, TaskError
from detectors.core.memory import MemoryBudget
from detectors.loading.language_files import check_rules, tensor_sizes

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

SIZES = {"vocab_size": 200, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES))
    model.save_pretrained(tmp_path)
    return tmp_path, model.state_dict()


def in_pickle(saved, weights):
    folder, _ = saved
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    return folder / "pytorch_model.bin"


def test_a_checksum_that_is_broken_is_no_model(saved):
    file = in_pickle(saved, saved[1])
    assert detectors.load(saved[0]).architecture["n_layers"] == 1
    data = bytearray(file.read_bytes())
    data[data.index(saved[1]["lm_head.weight"].numpy().tobytes())] ^= 1
    file.write_bytes(data)
    with pytest.raises(CheckpointError, match="Bad CRC-32"):
        detectors.load(saved[0])


def test_a_tensor_of_stride_zero_is_not_unfolded(saved):
    in_pickle(saved, saved[1] | {"more": torch.zeros(1).expand(70_000, 70_000)})
    with pytest.raises(CheckpointError, match=r"18.3 GiB would be needed"):
        detectors.load(saved[0])


def test_an_index_names_no_other_files(saved):
    """It may name a FIFO in a folder below, which would hold us for good, or somebody else's files."""
    folder, _ = saved
    (folder / "below").mkdir()
    os.mkfifo(folder / "below" / "pipe.safetensors")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    index = {"metadata": {}, "weight_map": {"lm_head.weight": "below/pipe.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert detectors.load(folder).architecture["n_layers"] == 1


def test_a_tensor_in_two_files_is_refused(saved):
    folder, _ = saved
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").unlink()
    for part in "12":
        (folder / f"model-{part}.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match="have the tensor lm_head"):
        detectors.load(folder)


def test_an_adapter_beside_a_model_is_refused(saved):
    (saved[0] / "adapter_config.json").write_text('{"base_model_name_or_path": "elsewhere"}')
    with pytest.raises(CheckpointError, match="has an adapter beside the model: merge them"):
        detectors.load(saved[0])


def test_tables_of_positions_are_reckoned_before_they_are_made(tmp_path):
    sizes = {"vocab_size": 50, "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 64, "rotary_dim": 4}
    transformers.GPTJForCausalLM(transformers.GPTJConfig(**sizes)).save_pretrained(tmp_path)
    said = json.loads((tmp_path / "config.json").read_text()) | {"n_positions": 10**10}
    (tmp_path / "config.json").write_text(json.dumps(said))
    with pytest.raises(MemoryBudget, match="numbers of tables of positions would need"):
        detectors.load(tmp_path)


def test_a_folder_whose_files_are_written_to_is_not_scored(saved, monkeypatch):
    """Also where its weights bear other names than those of a model in one file."""
    folder, _ = saved
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    made = transformers.AutoTokenizer.from_pretrained

    def meanwhile(*args, **options):
        os.utime(folder / "model-00001-of-00001.safetensors", (1, 1))
        return made(*args, **options)

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", meanwhile)
    with pytest.raises(CheckpointError, match="was written to while it was read"):
        detectors.load(folder)


def with_rules(folder, normalizer=None, split=None):
    words = {word: number for number, word in enumerate(["<unk>", "a", "b"])}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    if normalizer is not None:
        made.normalizer = normalizer
    if split is not None:
        made.pre_tokenizer = tokenizers.pre_tokenizers.Split(tokenizers.Regex(split), "isolated")
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')


def test_rules_that_grow_without_end_are_refused(saved):
    replace = tokenizers.normalizers.Replace
    with_rules(saved[0], tokenizers.normalizers.Sequence([replace("a", "aaaaaaaaaa")] * 9))
    with pytest.raises(CheckpointError, match="more than 10000 times longer"):
        detectors.load(saved[0])
    with_rules(saved[0], tokenizers.normalizers.Sequence([replace(tokenizers.Regex("x*"), "aaa")] * 9))
    with pytest.raises(CheckpointError, match="more than 10000 times longer"):
        check_rules(saved[0])


def test_rules_of_published_tokenizers_are_read(saved):
    n = tokenizers.normalizers
    with_rules(saved[0], n.Sequence([n.Prepend("▁"), n.Replace(" ", "▁")]))  # Llama
    assert check_rules(saved[0]) == 2
    albert = [n.Replace("``", '"'), n.Replace("''", '"'), n.NFKD(), n.StripAccents(), n.Lowercase()]
    with_rules(saved[0], n.Sequence([*albert, n.Replace(tokenizers.Regex(" {2,}"), " ")]))
    assert check_rules(saved[0]) * 200 <= 20_000  # and a table of SentencePiece
    assert detectors.load(saved[0]).architecture["n_layers"] == 1


def test_a_panic_of_a_tokenizer_is_a_sentence(saved):
    """A regular expression that goes on too long ends in one, which is no `Exception`."""
    with_rules(saved[0], split="(a|aa|aaa)+c")
    (saved[0] / "text.txt").write_text("a" * 40 + "b")
    with pytest.raises(TaskError, match="the tokenizer does not read it"):
        detectors.load(saved[0], text=saved[0] / "text.txt")


def text(said):
    return struct.pack("<Q", len(said)) + said.encode()


ARCHITECTURE = text("general.architecture") + struct.pack("<I", 8) + text("llama")
TENSOR = text("t") + struct.pack("<IQQIQ", 2, 3, 5, 0, 0)


def gguf(tmp_path, tensors, values, body):
    (tmp_path / "m.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", 3, tensors, values) + body)
    return tmp_path / "m.gguf"


def test_sizes_of_a_header(tmp_path):
    listed = text("tokens") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("bc")
    scores = text("scores") + struct.pack("<IIQ2f", 9, 6, 2, 0.5, 1.5)
    assert tensor_sizes(gguf(tmp_path, 2, 3, ARCHITECTURE + listed + scores + TENSOR + TENSOR)) == [15, 15]


@pytest.mark.parametrize(
    ("tensors", "values", "body", "words"),
    [
        (1, 2, text("x") + struct.pack("<IIQ", 9, 0, 2**60), "speaks of more than it has"),
        (1, 2, text("x") + struct.pack("<IIQ", 9, 8, 2**60), "speaks of more than it has"),
        (1, 2**60, b"", "speaks of more than it has"),
        (2**60, 1, b"", "speaks of more than it has"),
        (1, 2, text("x") + struct.pack("<IQ", 8, 2**63), "speaks of more than it has"),
        (1, 1, text("t") + struct.pack("<IQ", 2**32 - 1, 1), "speaks of more than it has"),
        (1, 2, text("x") + struct.pack("<IIQ", 9, 0, 2**21) + bytes(2**21), "has more than 1,572,864 parts"),
        (1, 2, text("x") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 9999, "does not read it"),
        (1, 2, text("x") + struct.pack("<I", 77), "does not read it"),
    ],
)
def test_a_header_that_lies_is_refused_at_once(tmp_path, tensors, values, body, words):
    started = time.monotonic()
    with pytest.raises(CheckpointError, match=words):
        detectors.load(gguf(tmp_path, tensors, values, ARCHITECTURE + body))
    assert time.monotonic() - started < 5


def test_a_pipe_for_a_model_is_refused(tmp_path):
    os.mkfifo(tmp_path / "m.gguf")
    with pytest.raises(detectors.DetectorsError):
        detectors.load(tmp_path)
