"""From a path to a subject: what is in the file, which task, where it came from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import torch

from detectors.core.blame import told
from detectors.core.errors import CheckpointError, DetectorsError
from detectors.core.memory import check_memory
from detectors.loading.configuration import asked_for, check_declared, configuration
from detectors.loading.folders import check_name
from detectors.loading.language import gguf_or_folder, load_language
from detectors.loading.reader import Read, check_unread
from detectors.loading.recognise import DECLARED, as_another, recognise
from detectors.loading.tensors import Contents, read_contents
from detectors.loading.train_files import read_values
from detectors.loading.train_pairs import with_train_pairs
from detectors.loading.train_splits import is_tried
from detectors.loading.trial import RIGHT
from detectors.loading.user_loader import call_loader
from detectors.subjects.operands.inference import task_of
from detectors.subjects.operands.numbering import symptom
from detectors.subjects.operands.task import Task
from detectors.subjects.subject import Checkpoint
from detectors.subjects.tasks import AnyTask, View, of_operands, subject, with_tied

MODEL_ENTRY_POINTS = "detectors.models"


def load(
    path: str | Path,
    *,
    task: str | AnyTask | None = None,
    train_indices: str | Path | None = None,
    train_split: str | None = None,
    arch: Mapping[str, str] | None = None,
    loader: str | None = None,
    tokens: str | None = None,
    step: str | None = None,
    text: str | Path | None = None,
    beside: str | Path | None = None,
    words: bool = False,
) -> View:
    """A checkpoint as a view that detectors can score: a `ModelView`, or a `SequenceView` for a task of sequences.

    path: a file, a folder with one or several, or `zoo:NAME`. task: a spec such as `add:113`, or `infer`; not needed
    where the checkpoint carries its own. train_indices: a file of training pairs (`pairs_of` says in which forms); a
    sequence model has none. train_split: `0.4:1`, the first 40% of torch.randperm after torch.manual_seed(1), or
    another recipe (`split_of`). arch: what shapes cannot show, e.g. {"act_fn": "gelu"}. loader:
    `package.module:function`, called with (path, task). tokens: what the model reads, where the trial of the usual
    layouts does not settle it: `a op b =`, `= a b`, `a:1 b:1 =:0` with the numbers of the special tokens and of the
    digit 0. step: which state of a series, by its number or its key; the last otherwise. text: of a language model (a
    Hugging Face folder, a GGUF file), a file whose sequences are taken instead of repeated words. beside: a file of
    training pairs that lies in the checkpoint's folder, read where nothing else says them. words: of a language model
    too large for memory, a `RowsView` of its embedding, for motifs of words alone.
    Errors: CheckpointError, TaskError; each says what was found and what to do.

    >>> import detectors
    >>> model = detectors.load("zoo:add53_grokked")
    >>> model.task.spec, model.task.group, int(model.train_mask.sum())
    ('add:53', Group(C53, order 53), 1123)
    """
    asked = {"task": task, "train_indices": train_indices, "train_split": train_split, "arch": arch, "loader": loader}
    more = {"tokens": tokens, "step": step, "text": text, "beside": beside, "words": words}
    return load_as(path, **asked, **more)  # type: ignore[arg-type]


def load_as(
    path: str | Path,
    *,
    task: str | AnyTask | None = None,
    train_indices: str | Path | None = None,
    train_split: str | None = None,
    arch: Mapping[str, str] | None = None,
    loader: str | None = None,
    tokens: str | None = None,
    step: str | None = None,
    text: str | Path | None = None,
    beside: str | Path | None = None,
    words: bool = False,
    contents: Contents | None = None,
    like: View | None = None,
) -> View:
    """The same of one state of a series. contents: what it holds, where that has been read. like: the state whose
    reading it is to take.
    """
    file = resolve(str(path))
    if not isinstance(file, Path):
        if task or train_indices or train_split or arch or loader or tokens or step:
            raise CheckpointError(f"{path} carries its task and training pairs: pass it without options")
        return _come_from(file, Checkpoint(path=str(path), layout="built in memory"))
    if (language := _language(file, task, loader)) is not None:
        _check_unused(path, train_indices=train_indices, train_split=train_split, arch=arch, tokens=tokens, step=step)
        return _language_model(language, path, task, text, words)
    if text is not None:
        raise CheckpointError(f"--text is for language models, and {path} is none")
    before = _identity(file)
    config = {} if loader else configuration(file)  # a loader's folder has a format of its own
    wanted = asked_for(task, config, file)
    if loader and (tokens or step):
        raise CheckpointError("--tokens and --step do not apply with --loader, whose function says what is read")
    if not loader and contents is None:
        contents = read_contents(file, step)
    if wanted is not None and of_operands(wanted):  # before anything is tried on all pairs
        _check_memory(wanted, contents)
    own = ("config.json: train_indices", config["train_indices"]) if "train_indices" in config else None
    own = own or (contents.train if contents else None)
    if own is None and beside is not None:
        own = (Path(beside).name, read_values(Path(beside)))

    def paired(view: View) -> View:
        return with_train_pairs(view, train_indices, train_split, own)

    if contents is None:
        view = _by_loader(loader or "", file, wanted)
        sha = sha256(file)
    else:
        tried = None if is_tried(train_split) else paired
        last = None if step is None else partial(read_contents, file)
        view, sha = _recognised(contents, wanted, config, arch or {}, tokens, tried, last, like), contents.sha256
    view = _come_from(view, replace(view.checkpoint, path=str(path), sha256=sha))
    return _run_once(paired(_unchanged(view, file, before)), loader)


def _language(file: Path, task: object, loader: str | None) -> Path | None:
    """Unless a loader or a task of small models is asked for, as of what Trainer saved."""
    asked = task is None or (isinstance(task, str) and task.partition(":")[0] in ("repeat", "data"))
    return gguf_or_folder(file) if asked and not loader else None


def _check_unused(path: str | Path, **options: object) -> None:
    if useless := [name for name, value in options.items() if value]:
        raise CheckpointError(f"{path} is a language model: {', '.join(useless)} cannot be said of one")


def _language_model(file: Path, path: str | Path, task: object, text: str | Path | None, words: bool) -> View:
    before = _identity(file, every=True)
    view: Any = load_language(file, task if isinstance(task, str) else None, text, words)  # rows of words on request
    origin = replace(view.checkpoint, path=str(path), sha256=sha256(file))
    return _unchanged(_come_from(view, origin), file, before, every=True)


def _check_memory(task: Task, contents: Contents | None) -> None:
    """By the sizes of the tensors alone."""
    n, answers = task.n_tokens, task.n_answers
    sizes = [size for tensor in contents.weights.values() for size in tensor.shape] if contents else []
    widest = max((size for size in sizes if size > 2 * n), default=0)  # of what is no token
    check_memory(n * n * (answers + widest), f"{task.spec}: {n} x {n} pairs with {answers} answers")


def _run_once(view: View, loader: str | None) -> View:
    try:
        _ = view.parts  # one pair through the network: what does not fit shows here
        return _with_doubts(view)
    except (DetectorsError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a forward pass of the user's, or shapes that names do not settle
        what = f"--loader {loader}: the" if loader else "the"
        raise CheckpointError(f"{what} forward pass raised {told(error)}") from error


def _with_doubts(view: View) -> View:
    """With a note before all others where its answers are those of its task in another order or numbering."""
    if view.kind == "operands" and (found := symptom(view)):  # type: ignore[arg-type]
        view.checkpoint = replace(view.checkpoint, notes=(found, *view.checkpoint.notes))
    return view


def _recognised(
    contents: Contents,
    task: AnyTask | None,
    config: Mapping[str, Any],
    arch: Mapping[str, str],
    tokens: str | None,
    paired: Callable[[View], View] | None,
    last: Callable[[], Contents] | None,
    like: View | None,
) -> View:
    """What a layout, or the structure, makes of a file. arch: over what config.json says. paired: with training pairs,
    on which a reading is tried; None where they are found by the loss of the reading. last: the last state of a series.
    like: a state of it whose reading is taken.
    """
    own = {key: str(value) for key, value in config.get("model", {}).items() if key in DECLARED and value is not None}
    own = {"act_fn": "relu", **own} if "model" in config else own  # a folder of ours says what is not the usual

    def given(network: Any) -> Any:
        view = paired(subject(network, task)) if task is not None and paired is not None else None
        return getattr(view, "train_mask", None)

    if like is not None and task is not None and of_operands(task):
        other = Read(like.network, like.checkpoint.layout, like.checkpoint.unused, answers=True)
        read, last = as_another(contents.weights, task, other, {**own, **arch}), None
    else:
        read = recognise(contents.weights, task, {**own, **arch}, tokens, given)
    if last is not None and task is not None and of_operands(task) and read.accuracy < RIGHT:
        other = recognise(last().weights, task, {**own, **arch}, tokens, given)
        if other.answers and other.accuracy > read.accuracy:
            read = as_another(contents.weights, task, other, {**own, **arch})
    if task is not None:
        check_unread(read, contents.weights)
    check_declared(config, read.network.architecture)
    _check_finite(read.network.weights)
    known = task or task_of(read.network)
    notes = (*([contents.note + "."] if contents.note else []), *read.notes)
    origin = Checkpoint(layout=read.layout, unused=read.unused, reading=read.account, notes=notes)
    return with_tied(subject(read.network, known, origin), read.tied)


def resolve(path: str) -> Path | View:
    """A file or folder for a path; a path or a view for `prefix:NAME`, from the entry points `detectors.models`."""
    prefix, _, name = check_name(path).partition(":")
    if name and not os.path.exists(path):
        for entry in entry_points(group=MODEL_ENTRY_POINTS):
            if entry.name == prefix:
                try:
                    return entry.load()(name)
                except (DetectorsError, KeyboardInterrupt):
                    raise
                except KeyError as error:
                    raise CheckpointError(str(error.args[0])) from None
                except BaseException as error:  # of whoever offers models under that prefix
                    raise CheckpointError(f"{path}: {told(error)}") from error
    file = Path(path)
    try:
        there = file.exists()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    if not there:
        raise CheckpointError(f"no file or folder {path}")
    return file


def sha256(file: Path) -> str | None:
    """Digest of a checkpoint file; of model.safetensors for a folder; None for a folder without it."""
    target = file / "model.safetensors" if file.is_dir() else file
    if not target.is_file():
        return None
    with target.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_finite(weights: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in weights.items():
        if bad := int((~torch.isfinite(tensor)).sum()):
            raise CheckpointError(f"{name} has {bad} NaN or infinite entries of {tensor.numel()}: not scored")


def _come_from(view: View, checkpoint: Checkpoint) -> View:
    """The same model, said to come from there."""
    other = copy(view)
    other.checkpoint = checkpoint
    return other


def _unchanged(view: View, file: Path, before: list[tuple[int, ...]], every: bool = False) -> View:
    if _identity(file, every) != before:
        raise CheckpointError(
            f"{file} was written to while it was read, so its digest is not of what was loaded: again"
        )
    return view


def _by_loader(loader: str, file: Path, task: AnyTask | None) -> View:
    view: View = call_loader(loader, file, "infer" if task is None else task)
    _check_finite(view.weights)
    return _come_from(view, Checkpoint(layout=f"loader {loader}"))


def _identity(file: Path, every: bool = False) -> list[tuple[int, ...]]:
    """What tells a file, or those of a folder, from others that are put in its place, and from itself rewritten. every:
    of a folder all files, for a language model, and not only those whose digest is said.
    """
    parts = [file / "config.json", file / "model.safetensors"] if file.is_dir() else [file]
    stats = [part.stat() for part in (sorted(file.iterdir()) if every and file.is_dir() else parts) if part.is_file()]
    return [(s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in stats]
