"""Which file of a folder is the checkpoint: a Trainer's, Lightning's, one of a series of steps, or the only one."""

from __future__ import annotations

import re
from collections.abc import Sequence, Sized
from pathlib import Path
from typing import NamedTuple
from unicodedata import category

from detectors.core.errors import CheckpointError
from detectors.core.visible import visible
from detectors.loading.contents import TRAIN

SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".npz", ".pkl", ".pickle", ".npy")
WEIGHTS = ("model.safetensors", "pytorch_model.bin", "model.pt", "model.pth", "pytorch_model.pt")
INDICES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
BELOW = ("checkpoints", "lightning_logs")  # where Lightning puts them
_BESIDE = re.compile(r"^(training_args|optimizer|optim|scheduler|scaler|rng_state.*|(train|test|val|valid).*)$", re.I)
_LAST = re.compile(r"^(final|last|latest|end)", re.I)
_STEP = re.compile(r"(\d{1,12})\D*$")
_DEEP = 4


def check_name(path: str) -> str:
    """The same. Errors: CheckpointError for a name that could write elsewhere than on its line of a terminal."""
    if any(category(c) in ("Cc", "Zl", "Zp") for c in path):
        raise CheckpointError(f"{visible(path)} has a line break or a control character in its name: rename it")
    return path


def is_checkpoint(name: str) -> bool:
    """Whether a file is called as checkpoints are, and not as what lies beside them."""
    file = Path(name)
    return file.suffix in (*SUFFIXES, ".gguf") and not (_lies_beside(file) or is_training_file(name))


def _lies_beside(file: Path) -> bool:
    """Whether a file is called as what is written beside a checkpoint, of which NAME.data.npz holds its sequences."""
    return bool(_BESIDE.match(file.stem)) or file.name.endswith(".data.npz")


def is_training_file(name: str) -> bool:
    """Whether a file is called as lists of training pairs are."""
    return bool(TRAIN.match(Path(name).stem))


def is_whole(names: Sequence[str]) -> bool:
    """Whether files of such names make one checkpoint together, and not several."""
    alone = "config.json" in names and sum(map(is_checkpoint, names)) == 1
    return alone or any(name in names for name in (*WEIGHTS, *INDICES))


class Inside(NamedTuple):
    """file: to be read. step: what is still to be looked for in it. note: what was chosen among several. train: a file
    of training pairs that lies beside."""

    file: Path
    step: str | None = None
    note: str = ""
    train: Path | None = None


def inside(path: Path, step: str | None = None, depth: int = 0) -> Inside:
    """The checkpoint file at a path, which may be a folder. Errors: CheckpointError where a folder has none.

    step: the number in a name, where several files or folders differ in it; the last otherwise.
    """
    if not path.is_dir():
        return Inside(path, step)
    entries = sorted(path.iterdir()) if depth < _DEEP else []
    there = {check_name(entry.name) for entry in entries}
    train = next((e for e in entries if e.is_file() and TRAIN.match(e.stem)), None)
    steps = {m[1]: e for e in entries if e.is_dir() and (m := re.fullmatch(r"checkpoint-(\d{1,12})", e.name))}
    if step is None and (whole := next((name for name in WEIGHTS if name in there), None)):
        return Inside(path / whole, train=train)
    if steps and (step is None or step in steps):
        key = step or max(steps, key=int)
        found = inside(steps[key], None, depth + 1)
        return found._replace(note=_said(key, steps, step), train=train or found.train)
    if any(name in there for name in INDICES):
        raise CheckpointError(f"{path}: its weights lie in several files; save them in one")
    files = [e for e in entries if e.suffix in SUFFIXES and not _lies_beside(e)]
    if files:
        return _one_of(path, files, step)._replace(train=train)
    versions = sorted((int(m[1]) for name in there if (m := re.fullmatch(r"version_(\d{1,9})", name))), reverse=True)
    for name in (*BELOW, *(f"version_{k}" for k in versions)):
        if (path / name).is_dir():
            return inside(path / name, step, depth + 1)
    raise CheckpointError(f"{path} is a folder without config.json and without a checkpoint; pass the checkpoint file")


def _one_of(path: Path, files: list[Path], step: str | None) -> Inside:
    """One of the checkpoints in a folder, by the number in its name."""
    if len(files) == 1:
        return Inside(files[0], step)
    numbers = {m[1].lstrip("0") or "0": file for file in files if (m := _STEP.search(file.stem))}
    last = [file for file in files if _LAST.match(file.stem)]
    if step is not None:
        named = [file for file in files if step in (file.stem, file.name)]
        if step in numbers or named:
            return Inside(numbers[step] if step in numbers else named[0], note=_said(step, numbers, step))
        known = f"{min(numbers, key=int)} to {max(numbers, key=int)}" if numbers else _names(files)
        raise CheckpointError(f"{path} holds {len(files)} checkpoints, {known}, and none of them is --step {step}")
    if len(last) == 1:
        return Inside(last[0], note=_said(last[0].name, files, None))
    if len(numbers) == len(files):
        key = max(numbers, key=int)
        return Inside(numbers[key], note=_said(key, numbers, None))
    raise CheckpointError(f"{path} holds {len(files)} checkpoints, {_names(files)}: pass one of them, or --step")


def _names(files: list[Path]) -> str:
    return ", ".join(file.name for file in files[:6]) + (", ..." if len(files) > 6 else "")


def _said(chosen: str, known: Sized, asked: str | None) -> str:
    return f"state {chosen}" + (f" of {len(known)}" if asked else f", the last of {len(known)} (--step takes another)")
