"""Language models, from a Hugging Face folder, a GGUF file, or in memory; read by `transformers`, never from a hub."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from detectors.core.errors import CheckpointError, DetectorsError, TaskError
from detectors.core.memory import check_memory
from detectors.core.plain_files import read_text
from detectors.loading.containers import first_line
from detectors.loading.language_network import LanguageNetwork
from detectors.subjects.sequences.language import LanguageView
from detectors.subjects.sequences.task import SequenceTask
from detectors.subjects.sequences.words import repeats, windows
from detectors.subjects.subject import Checkpoint

LEAST = 1000  # words that a vocabulary has at the least, or all its tokens are taken
TEXT = 2**26  # bytes of a text
CONFIG = 2**24
COPIES = 2  # of the weights, while they are read: 1.2 GB measured for 135 million in float32


def gguf_or_folder(path: Path) -> Path | None:
    """What holds a language model: a GGUF file, or a folder with a configuration of `transformers`; None for others."""
    if path.is_file():
        return path if path.suffix == ".gguf" else None
    try:
        config = json.loads(read_text(path / "config.json", CONFIG))
        return path if isinstance(config, dict) and isinstance(config.get("model_type"), str) else None
    except (OSError, ValueError, RecursionError):
        files = sorted(path.glob("*.gguf"))
        return files[0] if len(files) == 1 else None


def load_language(path: Path, task: str | None, text: str | Path | None) -> LanguageView:
    """task: `repeat`, or `data:FILE.npz` of tokens; text: a file whose own sequences are taken instead. Errors:
    CheckpointError for what `transformers` does not read, MemoryBudget before anything large is.
    """
    numbers = numbers_of(path)
    check_memory(numbers, f"{path.name}: {numbers / 1e6:,.0f} million weights", copies=COPIES)
    model, tokenizer = _read(path)
    view = from_transformers(model, tokenizer, task=task or "repeat", text=text)
    view.checkpoint = Checkpoint(
        path=str(path), layout=f"language model by transformers, {model.config.model_type}", notes=view.checkpoint.notes
    )
    return view


def from_transformers(
    model: Any, tokenizer: Any = None, /, *, task: str = "repeat", text: str | Path | None = None
) -> LanguageView:
    """A view of a causal language model of `transformers` in memory, for motifs of attention heads.

    model: a `PreTrainedModel` with a language head. tokenizer: whose whole words are drawn; all tokens without one.
    task: `repeat`, chunks of words that come again at varying lags, or `data:FILE.npz`. text: a file to take sequences
    from instead; it needs the tokenizer. Errors: CheckpointError for a family that keeps its attention to itself.

    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> sizes = dict(vocab_size=300, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2)
    >>> view = from_transformers(LlamaForCausalLM(LlamaConfig(**sizes)))
    >>> view.task.spec, view.architecture["n_layers"], tuple(view.sample.tokens.shape)
    ('repeat', 2, (32, 149))
    """
    bos = _start(model, tokenizer)
    network = LanguageNetwork(model, bos)
    if bad := [name for name, tensor in model.named_parameters() if not bool(torch.isfinite(tensor).all())]:
        raise CheckpointError(f"{bad[0]} has NaN or infinite entries: not scored")
    known, note = _task(task, text, tokenizer, network, bos)
    return LanguageView(network, known, checkpoint=Checkpoint(layout="language model in memory", notes=(note,)))


def numbers_of(path: Path) -> int:
    """How many numbers the weights have, from headers and sizes alone."""
    if path.suffix == ".gguf":
        with _words_for(path):
            from gguf import GGUFReader  # maps the file

            return sum(int(np.prod(tensor.shape, dtype=np.int64)) for tensor in GGUFReader(path).tensors)
    files = [*path.glob("*.safetensors")] or [*path.glob("*.bin")]
    if not files:
        raise CheckpointError(f"{path} has a config.json of transformers, and neither *.safetensors nor *.bin")
    return sum(_numbers(file) for file in files)


def _numbers(file: Path) -> int:
    if file.suffix == ".bin":
        return file.stat().st_size // 2  # of two bytes each, at the least
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as tensors:
            return sum(int(np.prod(tensors.get_slice(name).get_shape(), dtype=np.int64)) for name in tensors.keys())  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file} is damaged: {first_line(error)}") from None


def _read(path: Path) -> tuple[Any, Any]:
    with _words_for(path):
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging as words

        words.disable_progress_bar()  # type: ignore[no-untyped-call]
        place, file = (str(path), {}) if path.is_dir() else (str(path.parent), {"gguf_file": path.name})
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False, **file}
        try:
            model = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32, **options)
        finally:
            words.enable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        return model, AutoTokenizer.from_pretrained(place, **options)
    except Exception:  # a folder without one, or of a kind that is not installed: all tokens are drawn
        return model, None


@contextmanager
def _words_for(path: Path) -> Iterator[None]:
    try:
        yield
    except DetectorsError:
        raise
    except ImportError as error:
        raise CheckpointError(
            f"{path} is a language model, which needs transformers, accelerate and gguf: pip install "
            f"'circuit-detectors[lm]' ({first_line(error)})"
        ) from None
    except Exception as error:
        raise CheckpointError(f"{path}: transformers does not read it: {first_line(error)}") from None


def _start(model: Any, tokenizer: Any) -> int | None:
    for holder in (tokenizer, model.config.get_text_config()):
        token = getattr(holder, "bos_token_id", None)
        if isinstance(token, int) and 0 <= token < model.get_input_embeddings().weight.shape[0]:
            return token
    return None


def _task(
    task: str, text: str | Path | None, tokenizer: Any, network: LanguageNetwork, bos: int | None
) -> tuple[SequenceTask, str]:
    """With what a reader has to know of the sequences."""
    if text is not None:
        if tokenizer is None:
            raise TaskError(f"--text {text}: the model has no tokenizer beside it")
        try:
            content = read_text(Path(text), TEXT)
        except (OSError, ValueError) as error:
            raise TaskError(f"--text {text}: {first_line(error)}") from None
        ids = tokenizer(content, add_special_tokens=False)["input_ids"]
        said = "scores were taken on a text of yours; asked is what follows a pair of tokens that stood there before"
        return SequenceTask(f"text:{Path(text).name}", windows(ids, bos)), said
    if task.startswith("data:"):
        return SequenceTask.parse(task), "scores were taken on sequences of a file"
    if task != "repeat":
        raise TaskError(f"a language model is scored on --task repeat, data:FILE.npz or --text FILE, not on {task}")
    words, kind = _words(tokenizer, network.n_tokens, bos)
    said = (
        f"scores were taken on chunks of 5 to 10 {kind} that come again in another order, {len(words)} of them drawn "
        "from; they move with lag, length and how much of a chunk has come already"
    )
    return SequenceTask("repeat", repeats(words, bos)), said


def _words(tokenizer: Any, size: int, bos: int | None) -> tuple[np.ndarray, str]:
    """Tokens that are whole words behind a space, in the two ways that tokenizers write one."""
    vocabulary = {} if tokenizer is None else tokenizer.get_vocab()
    found = [i for token, i in vocabulary.items() if token[:1] in "Ġ▁" and token[1:].isalpha() and i < size]
    if len(found) >= LEAST:
        return np.array(sorted(found)), "words"
    special: Sequence[int] = getattr(tokenizer, "all_special_ids", None) or []
    return np.setdiff1d(np.arange(size), [*special, -1 if bos is None else bos]), "tokens"
