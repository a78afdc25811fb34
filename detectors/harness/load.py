"""From a path to a view: which network is in the file, which task, which training pairs."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import torch

from detectors.core.errors import CheckpointError, DetectorsError, TaskError
from detectors.core.sequences import SequenceNetwork, SequenceTask, SequenceView
from detectors.core.task import Task, infer_task
from detectors.core.view import CHUNK, ModelView, Network, chunks
from detectors.harness.adapters.layouts import OPTIONS, build
from detectors.harness.adapters.transformer import SequenceTransformer
from detectors.harness.tensors import first_line, read_tensors

MODEL_ENTRY_POINTS = "detectors.models"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Where a model came from. unused: tensors in the file that the architecture does not use."""

    path: str
    sha256: str | None
    layout: str
    unused: tuple[str, ...] = ()


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
    if isinstance(file, ModelView | SequenceView):
        if task or train_indices or train_split or arch or loader:
            raise CheckpointError(f"{path} carries its task and training pairs: pass it without options")
        file.checkpoint = Checkpoint(path=str(path), sha256=None, layout="built in memory")
        return file
    config = {} if loader else _config(file)  # a loader's folder has a format of its own
    arch = {**_config_arch(config), **(arch or {})}
    task = _task(task, config, file)
    if loader is not None:
        view = _by_loader(loader, file, task)
    elif isinstance(task, SequenceTask):
        if train_indices or train_split:
            raise CheckpointError(f"the task {task.spec} draws fresh sequences: there are no training pairs to pass")
        return _sequence_view(file, path, task, arch, config)
    else:
        weights = read_tensors(file)
        network, layout, unused = build(weights, task, arch)
        _check_declared(config, network)
        _check_finite(network)
        view = ModelView(network, task or _inferred(network))
        view.checkpoint = Checkpoint(path=str(path), sha256=sha256(file), layout=layout, unused=tuple(unused))
    if isinstance(view, SequenceView):
        return view
    given = _train_mask(view.task, train_indices, train_split, config)
    view.train_mask = view.train_mask if given is None else given
    try:
        _ = view.parts  # one pair through the network: what does not fit shows here
    except DetectorsError:
        raise
    except Exception as error:  # a forward pass of the user's, or shapes that names do not settle
        what = f"--loader {loader}: the" if loader else "the"
        raise CheckpointError(f"{what} forward pass raised {type(error).__name__}: {first_line(error)}") from error
    return view


def _sequence_view(
    file: Path, path: str | Path, task: SequenceTask, arch: Mapping[str, str], config: Mapping[str, Any]
) -> SequenceView:
    network, layout, unused = build(read_tensors(file), task, arch)
    assert isinstance(network, SequenceTransformer)
    _check_declared(config, network)
    _check_finite(network)
    view = SequenceView(network, task)
    view.checkpoint = Checkpoint(path=str(path), sha256=sha256(file), layout=layout, unused=tuple(unused))
    return view


def resolve(path: str) -> Path | ModelView | SequenceView:
    """A file or folder for a path; a path or a view for `prefix:NAME`, from the entry points `detectors.models`."""
    prefix, _, name = path.partition(":")
    if name and not Path(path).exists():
        for entry in entry_points(group=MODEL_ENTRY_POINTS):
            if entry.name == prefix:
                try:
                    found: Path | ModelView | SequenceView = entry.load()(name)
                    return found
                except KeyError as error:
                    raise CheckpointError(str(error.args[0])) from None
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


def _config_arch(config: Mapping[str, Any]) -> dict[str, str]:
    model = config.get("model", {})
    return {k: str(model[k]) for k in OPTIONS if model.get(k) is not None}


def _check_declared(config: Mapping[str, Any], network: Network) -> None:
    """What config.json says of the architecture and what the tensors show must agree."""
    found = network.architecture
    for key, value in config.get("model", {}).items():
        if key in found and key not in OPTIONS and isinstance(value, int | str) and value != found[key]:
            raise CheckpointError(f"config.json says {key} = {value!r}, but the tensors show {found[key]!r}")


def parse_task(spec: str) -> Task | SequenceTask:
    """A task of two operands or of sequences."""
    return SequenceTask.parse(spec) if SequenceTask.known(spec) else Task.parse(spec)


def _task(task: str | Task | SequenceTask | None, config: Mapping[str, Any], file: Path) -> Task | SequenceTask | None:
    """The task asked for, else the checkpoint's own; None: to be inferred."""
    if isinstance(task, Task | SequenceTask):
        return task
    if task is not None:
        return None if task == "infer" else parse_task(task)
    own = config.get("task")
    if not isinstance(own, dict) or "op" not in own:
        raise TaskError(f"{file} does not carry its task: pass --task, e.g. --task add:113, or --task infer")
    op = own["op"]
    if op == "table" and isinstance(own.get("file"), str):
        return Task.parse(f"table:{file / Path(own['file']).name}")
    argument = own.get("p", own.get("group", own.get("n")))
    return parse_task(op if argument is None else f"{op}:{argument}")


def _inferred(network: Network) -> Task:
    n = network.n_tokens
    with torch.no_grad():
        tokens = (torch.stack([k // n, k % n], 1) for k in chunks(n * n, CHUNK))
        predicted = [network.forward(t, lambda _, tensor: tensor)[:, :n].argmax(1) for t in tokens]
    return infer_task(torch.cat(predicted).reshape(n, n).numpy())


def _by_loader(loader: str, file: Path, task: Task | SequenceTask | None) -> ModelView | SequenceView:
    call = _imported(loader)
    if task is None:
        raise TaskError("--loader needs --task: inferring it is for the layouts that are recognised")
    try:
        view = call(file, task)
    except DetectorsError:
        raise
    except Exception as error:  # the user's own code
        raise CheckpointError(f"--loader {loader} raised {type(error).__name__}: {first_line(error)}") from error
    if not isinstance(view, ModelView | SequenceView):
        raise CheckpointError(f"--loader {loader} returned {type(view).__name__}, not a detectors.ModelView")
    _check_finite(view.network)
    view.checkpoint = Checkpoint(path=str(file), sha256=sha256(file), layout=f"loader {loader}")
    return view


def _imported(loader: str) -> Any:
    """`package.module:function`, or `path/to/file.py:function`."""
    place, _, function = loader.rpartition(":")
    if not place or not function:
        raise CheckpointError(f"--loader {loader}: write package.module:function or path/to/file.py:function")
    try:
        if place.endswith(".py"):
            spec = importlib.util.spec_from_file_location(Path(place).stem, place)
            if spec is None or spec.loader is None:
                raise ImportError(f"cannot import {place}")
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(place)
        return getattr(module, function)
    except (ImportError, AttributeError, OSError) as error:
        raise CheckpointError(f"--loader {loader}: {error}") from None


def _check_finite(network: Network | SequenceNetwork) -> None:
    for name, tensor in network.weights.items():
        if not bool(torch.isfinite(tensor).all()):
            bad = int((~torch.isfinite(tensor)).sum())
            raise CheckpointError(f"{name} has {bad} NaN or infinite entries of {tensor.numel()}: not scored")


def _train_mask(
    task: Task, indices: str | Path | None, split: str | None, config: Mapping[str, Any]
) -> np.ndarray | None:
    pairs = task.n_tokens**2
    if indices is not None and split is not None:
        raise CheckpointError("pass --train-indices or --train-split, not both")
    if split is not None:
        match = re.fullmatch(r"(\d*\.?\d+):(\d{1,18})", split)
        if not match or not 0 < float(match[1]) < 1:
            raise CheckpointError(f"--train-split {split}: write FRACTION:SEED, e.g. 0.4:1, the fraction below 1")
        generator = torch.Generator().manual_seed(int(match[2]))
        chosen = torch.randperm(pairs, generator=generator)[: int(float(match[1]) * pairs)].numpy()
    elif indices is not None:
        chosen = _indices(_read_indices(Path(indices)), str(indices), pairs)
    elif config.get("train_indices") is not None:
        chosen = _indices(config["train_indices"], "config.json: train_indices", pairs)
    else:
        return None
    mask = np.zeros(pairs, dtype=bool)
    mask[chosen] = True
    return mask


def _read_indices(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False) if path.suffix == ".npy" else json.loads(path.read_text())
    except FileNotFoundError:
        raise CheckpointError(f"no file {path} for --train-indices") from None
    except (ValueError, OSError, EOFError, RecursionError) as error:
        raise CheckpointError(f"{path} holds no training indices: {first_line(error)}") from None


def _indices(values: Any, where: str, pairs: int) -> np.ndarray:
    try:
        chosen = np.asarray(values)
    except ValueError:
        chosen = np.empty((0, 0))
    if chosen.size == 0 and chosen.ndim == 1:
        raise CheckpointError(f"{where}: the list of training pairs is empty")
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
        raise CheckpointError(f"{where}: a list of whole numbers a*n_tokens + b is expected")
    if chosen.min() < 0 or chosen.max() >= pairs:
        raise CheckpointError(
            f"{where}: indices run from {chosen.min()} to {chosen.max()}, but there are {pairs} pairs (0..{pairs - 1})"
        )
    return chosen.astype(np.int64)
