"""Language models, from a Hugging Face folder, a GGUF file, or in memory; read by `transformers`, never from a hub."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from detectors.core.errors import CheckpointError, DetectorsError, TaskError
from detectors.core.memory import MemoryBudget, check_memory
from detectors.core.plain_files import read_text
from detectors.core.visible import visible
from detectors.loading.configuration import MAX_CONFIG
from detectors.loading.containers import first_line
from detectors.loading.folders import check_name
from detectors.loading.language_files import check_rules, tensor_sizes, weights_of
from detectors.loading.language_network import KEPT, LanguageNetwork
from detectors.loading.language_rows import rows_of
from detectors.subjects.sequences.language import LanguageView
from detectors.subjects.sequences.task import SequenceTask
from detectors.subjects.sequences.words import repeats, windows
from detectors.subjects.subject import Checkpoint
from detectors.subjects.words.view import RowsView

LEAST = 1000  # words that a vocabulary has at the least, or all its tokens are taken
TEXT = 2**24  # bytes of a text
MOST_LAYERS = 10_000
POSITIONS = 149  # of a sequence of repeats
ORDINARY = ("eager", "sdpa")
COPIES = 2  # of the weights, while they are read: 1.2 GB measured for 135 million in float32
BASE = 2**27  # numbers that fit where torch and transformers lie, half a GiB
LOGITS = 3  # as they are, and in float64
OFFLINE: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
LOG = logging.getLogger("detectors")


def gguf_or_folder(path: Path) -> Path | None:
    """What holds a language model: a GGUF file, or a folder with a configuration of `transformers`; None for others."""
    if path.is_file():
        return path if path.suffix == ".gguf" else None
    try:
        config = json.loads(read_text(path / "config.json", MAX_CONFIG))
    except (OSError, ValueError, RecursionError):
        files = sorted(file for file in path.glob("*.gguf") if file.is_file())
        return Path(check_name(str(files[0]))) if len(files) == 1 else None
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        return None
    if named := sorted(_fetched(config)):
        raise CheckpointError(f"{path / 'config.json'} sets {named[0]}, by which transformers may fetch and run code")
    return path


def _fetched(config: Any) -> Iterator[str]:
    """Keys that name an implementation other than by a word, and quantisations, whose kernels come from a hub."""
    for key, value in config.items() if isinstance(config, dict) else ():
        elsewhere = "implementation" in key and not (value is None or isinstance(value, bool) or value in ORDINARY)
        if elsewhere or key == "quantization_config":
            yield visible(key)
        yield from _fetched(value)


def load_language(
    path: Path, task: str | None, text: str | Path | None, words: bool = False
) -> LanguageView | RowsView:
    """task: `repeat`, or `data:FILE.npz` of tokens; text: a file whose own sequences are taken instead. words: whether
    rows of words do, of a model too large for memory. Errors: CheckpointError for what `transformers` does not read,
    MemoryBudget before anything large is.
    """
    if text is not None:  # a name that is no file is said before a large model is read
        _content(text)
    try:
        model, tokenizer = _read(path)
    except MemoryBudget as error:
        if words and path.is_dir():
            return _rows(path)
        raise MemoryBudget(f"{error}; motifs of words, named with -d, read rows of its embedding alone") from None
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
    return LanguageView(
        network, known, tokenizer, checkpoint=Checkpoint(layout="language model in memory", notes=(note,))
    )


def _read(path: Path) -> tuple[Any, Any]:
    """Model and tokenizer. What the configuration asks for is held against what the files have, before it is made and
    after: `transformers` draws at random what it does not find.
    """
    place, file = (str(path), {}) if path.is_dir() else (str(path.parent), {"gguf_file": path.name})
    options: dict[str, Any] = {**OFFLINE, **file}
    with _in_words(path):
        from transformers import AutoConfig
        from transformers.utils import logging

        tensors = tensor_sizes(path)
        config = AutoConfig.from_pretrained(place, **options)
        skeleton = _check_size(path, config, tensors)
        wanted = {"dtype": torch.float32, "attn_implementation": "eager", "ignore_mismatched_sizes": True}
        level = logging.get_verbosity()
        logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # what it would warn of is refused below
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        try:
            read = type(skeleton).from_pretrained
            own = (place, options) if file else (None, {"config": config, "state_dict": weights_of(path)})
            model, found = read(own[0], output_loading_info=True, **wanted, **own[1])
        finally:
            logging.set_verbosity(level)
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
    if absent := sorted(map(str, [*found["missing_keys"], *found["mismatched_keys"]])):
        what = f"{len(absent)} tensors that its configuration asks for, or has them in other shapes"
        raise CheckpointError(f"{path} lacks {what}: {absent[0]}")
    return model, _tokenizer(place, **file)


def _tokenizer(place: str, **file: str) -> Any:
    from transformers import AutoTokenizer

    if not file:
        check_rules(Path(place))
    try:
        return AutoTokenizer.from_pretrained(place, **OFFLINE, **file)
    except KeyboardInterrupt:
        raise
    except (
        BaseException
    ):  # none, one of a kind that is not installed, or damaged (a panic of Rust's): all tokens are drawn
        return None


def _rows(path: Path) -> RowsView:
    with _in_words(path):
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(str(path), **OFFLINE)
        return rows_of(path, _skeleton(path, config, tensor_sizes(path)), _tokenizer(str(path)))


def _skeleton(path: Path, config: Any, tensors: list[int]) -> Any:
    """What a configuration asks for, without numbers."""
    from transformers import AutoModelForCausalLM

    _check_layers(path, config, tensors)
    with torch.device("meta"):
        made: Any = AutoModelForCausalLM
        return made.from_config(config, trust_remote_code=False, attn_implementation="eager")


def _check_layers(path: Path, config: Any, tensors: list[int]) -> None:
    """CheckpointError where more are asked for than the files can have."""
    layers = config.get_text_config().num_hidden_layers
    if layers > min(len(tensors), MOST_LAYERS):
        raise CheckpointError(f"the configuration of {path} asks for {layers} layers, of {len(tensors)} tensors in all")


def _check_size(path: Path, config: Any, tensors: list[int]) -> Any:
    """The skeleton. Errors: MemoryBudget, CheckpointError."""
    _check_layers(path, config, tensors)
    numbers = sum(tensors)
    kept = numbers_kept(config.get_text_config())
    for many in (COPIES * numbers, numbers + kept):
        check_memory(many, f"{path.name}: {numbers:,} weights, and what passes keep", copies=1)
    skeleton = _skeleton(path, config, tensors)
    tables = sum(buffer.numel() for buffer in skeleton.buffers())
    check_memory(numbers + kept + tables, f"{path.name}: {tables:,} numbers of tables of positions", copies=1)
    asked = sum(p.numel() for p in skeleton.parameters())
    if asked > 2 * numbers:  # a tied table counts twice at the most
        raise CheckpointError(f"the configuration of {path} asks for {asked:,} weights; its files have {numbers:,}")
    needed = 4 * max(COPIES * numbers, numbers + kept) / 2**30
    LOG.info("%s: %s weights; about %.1f GiB of memory to read and score", visible(path.name), f"{numbers:,}", needed)
    return skeleton


def numbers_kept(config: Any) -> int:
    """What scoring keeps beside the weights, in numbers: streams and patterns of all layers, and logits where
    asked: 2.9 GiB reckoned and 3.0 measured for 135 million weights.
    """
    tokens = LanguageView.drawn * POSITIONS
    patterns = tokens * POSITIONS * int(config.num_attention_heads)
    layers = int(config.num_hidden_layers) * (min(patterns, KEPT) + tokens * int(config.hidden_size))
    return BASE + layers + LOGITS * (tokens // 3 * int(config.vocab_size))  # asked are fewer than a third


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except DetectorsError:
        raise
    except ImportError as error:
        raise CheckpointError(
            f"{path} is a language model, which needs transformers, accelerate and gguf: pip install "
            f"'circuit-detectors[lm]' ({first_line(error)})"
        ) from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also a panic of Rust's
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
        ids = _ids(tokenizer, _content(text), text)
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


def _content(text: str | Path) -> str:
    try:
        return read_text(Path(text), TEXT)
    except (OSError, ValueError) as error:
        raise TaskError(f"--text {text}: {first_line(error)}") from None


def _ids(tokenizer: Any, content: str, text: str | Path) -> Any:
    """Errors: MemoryBudget, TaskError."""
    place = Path(str(tokenizer.name_or_path))
    check_memory(
        int(check_rules(place) * len(content)) // 4, f"--text {text}: what the tokenizer makes of it", copies=1
    )
    try:
        return tokenizer(content, add_special_tokens=False)["input_ids"]
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a panic of Rust's, where a regular expression of the tokenizer's goes on too long
        raise TaskError(f"--text {text}: the tokenizer does not read it: {first_line(error)}") from None


def _words(tokenizer: Any, size: int, bos: int | None) -> tuple[np.ndarray, str]:
    """Tokens that are whole words behind a space, in the two ways that tokenizers write one."""
    vocabulary = {} if tokenizer is None else tokenizer.get_vocab()
    found = [i for token, i in vocabulary.items() if token[:1] in "Ġ▁" and token[1:].isalpha() and i < size]
    if len(found) >= LEAST:
        return np.array(sorted(found)), "words"
    kind = "tokens" if tokenizer is not None else "tokens (there is no tokenizer, so no words)"
    special: Sequence[int] = getattr(tokenizer, "all_special_ids", None) or []
    return np.setdiff1d(np.arange(size), [*special, -1 if bos is None else bos]), kind
