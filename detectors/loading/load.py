"""From a path to a subject: what is in the file, which task, where it came from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import torch

from detectors.core.blame import told
from detectors.core.errors import CheckpointError, DetectorsError, TaskError
from detectors.loading.recognise import OPTIONS, build
from detectors.loading.tensors import read_tensors
from detectors.loading.train_pairs import with_train_pairs
from detectors.loading.user_loader import call_loader
from detectors.subjects.operands.inference import task_of
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from detectors.subjects.sequences.task import SequenceTask
from detectors.subjects.sequences.view import SequenceView
from detectors.subjects.subject import Checkpoint
from detectors.subjects.tasks import parse_task, subject

MODEL_ENTRY_POINTS = "detectors.models"


def load(
    path: str | Path,
    *,
    task: str | Task | SequenceTask | None = None,
    train_indices: str | Path | None = None,
    train_split: str | None = None,
    arch: Mapping[str, str] | None = None,
    loader: str | None = None,
) -> ModelView | SequenceView:
    """A checkpoint as a view that detectors can score: a `ModelView`, or a `SequenceView` for a task of sequences.

    path: a file, a folder with config.json and model.safetensors, or `zoo:NAME`. task: a spec such as `add:113`,
    or `infer`; not needed where the checkpoint carries its own. train_indices: JSON list or .npy of pair indices
    a*n_tokens + b; a sequence model has none. train_split: `0.4:1`, the first 40% of torch.randperm after
    torch.manual_seed(1). arch: what shapes cannot show, e.g. {"act_fn": "gelu"}. loader: `package.module:function`,
    called with (path, task).
    Errors: CheckpointError, TaskError; each says what was found and what to do.

    >>> import detectors
    >>> model = detectors.load("zoo:add53_grokked")
    >>> model.task.spec, model.task.group, int(model.train_mask.sum())
    ('add:53', Group(C53, order 53), 1123)
    """
    file = resolve(str(path))
    if not isinstance(file, Path):
        if task or train_indices or train_split or arch or loader:
            raise CheckpointError(f"{path} carries its task and training pairs: pass it without options")
        return _come_from(file, Checkpoint(path=str(path), layout="built in memory"))
    before = _identity(file)
    config = {} if loader else _config(file)  # a loader's folder has a format of its own
    wanted = _task(task, config, file)
    view = _by_loader(loader, file, wanted) if loader else _recognised(file, wanted, config, arch or {})
    view = _come_from(view, replace(view.checkpoint, path=str(path), sha256=sha256(file)))
    if _identity(file) != before:
        raise CheckpointError(
            f"{path} was written to while it was read, so its digest is not of what was loaded: again"
        )
    view = with_train_pairs(view, train_indices, train_split, config.get("train_indices"))
    try:
        _ = view.parts  # one pair through the network: what does not fit shows here
    except (DetectorsError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a forward pass of the user's, or shapes that names do not settle
        what = f"--loader {loader}: the" if loader else "the"
        raise CheckpointError(f"{what} forward pass raised {told(error)}") from error
    return view


def _recognised(
    file: Path, task: Task | SequenceTask | None, config: Mapping[str, Any], arch: Mapping[str, str]
) -> ModelView | SequenceView:
    """What one of the layouts makes of a file. arch: over what config.json says."""
    own = {key: str(value) for key, value in config.get("model", {}).items() if key in OPTIONS and value is not None}
    network, layout, unused = build(read_tensors(file), task, {**own, **arch})
    _check_declared(config, network.architecture)
    _check_finite(network.weights)
    return subject(network, task or task_of(network), Checkpoint(layout=layout, unused=tuple(unused)))


def resolve(path: str) -> Path | ModelView | SequenceView:
    """A file or folder for a path; a path or a view for `prefix:NAME`, from the entry points `detectors.models`."""
    prefix, _, name = path.partition(":")
    if name and not Path(path).exists():
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
    if not file.exists():
        raise CheckpointError(f"no file or folder {path}")
    return file


def sha256(file: Path) -> str | None:
    """Digest of a checkpoint file; of model.safetensors for a folder; None for a folder without it."""
    target = file / "model.safetensors" if file.is_dir() else file
    if not target.is_file():
        return None
    with target.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _config(file: Path) -> dict[str, Any]:
    """config.json of a folder, which has a table `model`; nothing for a file."""
    if not file.is_dir():
        return {}
    try:
        config = json.loads((file / "config.json").read_text())
    except FileNotFoundError:
        raise CheckpointError(f"{file} is a folder without config.json; pass the checkpoint file itself") from None
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{file / 'config.json'} cannot be read: {error}") from None
    if not isinstance(config, dict) or not isinstance(config.get("model"), dict):
        raise CheckpointError(f"{file / 'config.json'} has no table `model`")
    return config


def _task(task: str | Task | SequenceTask | None, config: Mapping[str, Any], file: Path) -> Task | SequenceTask | None:
    """The task asked for, else the checkpoint's own; None: to be inferred."""
    if task is not None:
        if not isinstance(task, str):
            return task
        return None if task == "infer" else parse_task(task)
    own = config.get("task")
    if not isinstance(own, dict) or "op" not in own:
        raise TaskError(f"{file} does not carry its task: pass --task, e.g. --task add:113, or --task infer")
    op = own["op"]
    if op == "table" and isinstance(own.get("file"), str):
        return parse_task(f"table:{file / Path(own['file']).name}")
    argument = own.get("p", own.get("group", own.get("n")))
    return parse_task(op if argument is None else f"{op}:{argument}")


def _check_declared(config: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """What config.json says of the architecture and what the tensors show must agree."""
    for key, value in config.get("model", {}).items():
        if key in found and key not in OPTIONS and isinstance(value, int | str) and value != found[key]:
            raise CheckpointError(f"config.json says {key} = {value!r}, but the tensors show {found[key]!r}")


def _check_finite(weights: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in weights.items():
        if bad := int((~torch.isfinite(tensor)).sum()):
            raise CheckpointError(f"{name} has {bad} NaN or infinite entries of {tensor.numel()}: not scored")


def _come_from(view: ModelView | SequenceView, checkpoint: Checkpoint) -> ModelView | SequenceView:
    """The same model, said to come from there."""
    other = copy(view)
    other.checkpoint = checkpoint
    return other


def _by_loader(loader: str, file: Path, task: Task | SequenceTask | None) -> ModelView | SequenceView:
    view: ModelView | SequenceView = call_loader(loader, file, "infer" if task is None else task)
    _check_finite(view.weights)
    return _come_from(view, Checkpoint(layout=f"loader {loader}"))


def _identity(file: Path) -> list[tuple[int, ...] | None]:
    """What tells a file, or those of a folder, from others that are put in its place, and from itself rewritten."""
    parts = [file / "config.json", file / "model.safetensors"] if file.is_dir() else [file]
    stats = [part.stat() if part.exists() else None for part in parts]
    return [s and (s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in stats]
