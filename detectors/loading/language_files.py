"""Files of a language model: sizes by headers alone, weights read here, and what its tokenizer's rules may do."""

from __future__ import annotations

import json
import math
import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from detectors.core.errors import CheckpointError
from detectors.core.plain_files import read_text
from detectors.loading.containers import short
from detectors.loading.folders import check_name
from detectors.loading.language_rows import headers
from detectors.loading.tensors import read_tensors

PART = 256  # numbers: a *.bin does not say how many tensors it has, and none is much smaller on the mean
NAMES = ("model.safetensors", "model-*.safetensors", "*.safetensors", "pytorch_model*.bin", "*.bin")
BESIDE = 2**27  # bytes of what is no tensor: the largest tokenizers have a third
PARTS = 3 * 2**19  # of a GGUF's header, of which gguf keeps an array each: 262,144 words, scores and kinds are half
TEXT, LIST = 8, 9  # kinds of its values, and bytes of the others
WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
GROWTH = 10_000.0  # times that rules may lengthen a text: reckoned as here, those of published tokenizers 7200
# What a rule may make of a letter beside what it says itself: its bytes, what Unicode's tables have for it, twice over
# what the longest table of SentencePiece has; two tables are too many.
LONGER = {"ByteLevel": 4.0, "NFD": 4.0, "NFKD": 18.0, "NFC": 3.0, "NFKC": 18.0, "Lowercase": 2.0, "Precompiled": 200.0}


def tensor_sizes(path: Path) -> list[int]:
    """Of every tensor, from headers alone. A folder with anything but plain files is not opened.

    Errors: CheckpointError, and of any kind where a header is damaged.
    """
    if path.suffix == ".gguf":
        return _of_gguf(path)
    for one in path.iterdir():
        check_name(one.name)
        if not one.is_file() and not one.is_dir():
            raise CheckpointError(f"{one} is no plain file")
        if one.suffix in (".json", ".txt", ".model") and one.stat().st_size > BESIDE:
            raise CheckpointError(f"{one} is too large, up to {BESIDE / 2**20:.0f} MiB are read")
    if (path / "adapter_config.json").exists():
        raise CheckpointError(f"{path} has an adapter beside the model: merge them, and save what comes of it")
    return [size for file in files_of(path) for size in _sizes(file)]


def files_of(path: Path) -> list[Path]:
    """That hold the weights of a folder, and no others: an index may name any."""
    found: list[Path] = next((sorted(some) for name in NAMES if (some := [*path.glob(name)])), [])
    if not found:
        raise CheckpointError(f"{path} has a config.json of transformers, and neither *.safetensors nor *.bin")
    return found


def weights_of(path: Path) -> dict[str, Tensor]:
    """Of a folder, a *.bin read as data with its checksums. Errors: CheckpointError."""
    from safetensors.torch import load_file

    weights: dict[str, Tensor] = {}
    for file in files_of(path):
        read = load_file(file) if file.suffix == ".safetensors" else read_tensors(file)
        if twice := sorted(weights.keys() & read.keys()):
            raise CheckpointError(f"two files of {path} have the tensor {short(twice[0])}")
        weights |= read
    return weights


def _sizes(file: Path) -> list[int]:
    if file.suffix == ".bin":
        return [PART] * (file.stat().st_size // 2 // PART + 1)  # of two bytes each, at the least
    return [math.prod(tensor.shape) for tensor in headers(file)]


class _Header:
    """Of a GGUF file, read from its start: numbers, texts and lists one after the other, and nothing is kept."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path, self.data, self.at, self.left = path, data, 4, PARTS

    def number(self, form: str = "<Q") -> int:
        at = self.at
        self.skip(struct.calcsize(form))
        return int(struct.unpack_from(form, self.data, at)[0])

    def skip(self, size: int, parts: int = 1) -> None:
        self.at, self.left = self.at + size, self.left - parts
        if self.at > len(self.data):
            raise CheckpointError(f"{self.path} is damaged: its header speaks of more than it has")
        if self.left < 0:
            raise CheckpointError(f"the header of {self.path} has more than {PARTS:,} parts")

    def skip_value(self, kind: int) -> None:
        if kind == TEXT:
            self.skip(self.number(), parts=0)
        elif kind == LIST:
            kind, many = self.number("<I"), self.number()
            if kind in WIDTHS:
                self.skip(many * WIDTHS[kind], many)
            for _ in range(0 if kind in WIDTHS else many):
                self.skip_value(kind if kind == TEXT else -1)  # lists of lists are written by nobody
        else:
            self.skip(WIDTHS[kind])


def _of_gguf(path: Path) -> list[int]:
    """gguf's own reader takes a file's word for how many parts there are, and goes on behind its end for as many."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        header = _Header(path, data)
        if data[:4] != b"GGUF" or header.number("<I") not in (2, 3):
            raise CheckpointError(f"{path} is no GGUF file of version 2 or 3")
        tensors, values = header.number(), header.number()
        for _ in range(values):
            header.skip_value(TEXT)
            header.skip_value(header.number("<I"))
        sizes = []
        for _ in range(tensors):
            header.skip_value(TEXT)
            sizes.append(math.prod(header.number() for _ in range(header.number("<I"))))
            header.skip(12)
    return sizes


def check_rules(path: Path) -> float:
    """How many times longer the rules of a folder's tokenizer.json may make a text. Errors: CheckpointError where that
    is more than any real ones do: one that writes ten letters for one, nine times over, makes a word of ten gigabytes.
    """
    try:
        said = json.loads(read_text(path / "tokenizer.json", BESIDE))
    except (OSError, ValueError, RecursionError):  # none, or none that can be read
        return 1.0
    rules = [said.get(key) for key in ("normalizer", "pre_tokenizer")] if isinstance(said, dict) else []
    growth = 1.0
    for rule in _rules(rules):
        growth *= _longer(rule)
        if growth > GROWTH:
            raise CheckpointError(
                f"{path / 'tokenizer.json'} has rules that may make a text more than {GROWTH:g} times longer: not used"
            )
    return growth


def _rules(said: Any) -> Iterator[dict[str, Any]]:
    waiting = [said]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if isinstance(node.get("type"), str):
                yield node
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _longer(rule: dict[str, Any]) -> float:
    """A text that is replaced has a letter at the least; what a regular expression finds may have none."""
    written, pattern = rule.get("content", rule.get("prepend")), rule.get("pattern")
    found = pattern.get("String") if isinstance(pattern, dict) else None
    if not isinstance(written, str):
        return LONGER.get(rule["type"], 1.0)
    return max(1.0, len(written) / len(found)) if isinstance(found, str) and found else 1.0 + len(written)
