"""The checkpoints of one run: which files and states there are, in the order of their step, each once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from detectors.core.errors import CheckpointError
from detectors.core.steps import StepFrom, step_in
from detectors.loading.containers import short
from detectors.loading.contents import TRAIN
from detectors.loading.folders import BELOW, SUFFIXES, check_name, inside, is_checkpoint
from detectors.loading.load import resolve
from detectors.loading.tensors import Contents, Opened
from detectors.loading.train_files import read_values

LISTED = 3  # names in a message
DEEP = 4  # folders within folders
Progress = Callable[[str, int, int], None]
Shapes = frozenset[tuple[str, tuple[int, ...]]]


class State(NamedTuple):
    """One checkpoint. path: of its file or folder. key: its number in a file of several. sha256: of its weights, by
    name; None where they are not looked at before they are loaded.
    """

    step: int
    path: Path
    key: str | None = None
    sha256: str | None = None

    def __str__(self) -> str:
        return f"{self.path}, state {self.key}" if self.key else str(self.path)


@dataclass
class Run:
    """states: in order, no step twice. untold: why a step's checkpoint cannot be read. train: a file of training pairs
    beside them, its name and what it holds. says: the plain values of every checkpoint, by step.
    """

    states: list[State] = field(default_factory=list)
    untold: dict[int, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    train: tuple[str, Any] | None = None
    says: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    opened: tuple[Path, Opened] | None = None

    def contents(self, state: State) -> Contents:
        """What a state holds, with the training pairs that lie beside the run. Errors: CheckpointError."""
        if self.opened is None or self.opened[0] != state.path:
            self.opened = state.path, Opened(inside(state.path))  # of many states in one file it is read once
        found = self.opened[1].contents(state.key)
        return replace(found, train=found.train or self.train)


def states_of(
    paths: Sequence[str],
    step_from: str | None = None,
    loader: bool = False,
    progress: Progress = lambda *_: None,
) -> Run:
    """The states in files and folders. loader: a function of the user's reads them, so that names alone are looked at.
    progress: called with (what, files read, files in all).

    Errors: CheckpointError where there are none, where two of one step differ, or where the shapes are of two runs.
    """
    run, where = Run(), StepFrom(step_from)
    shapes: dict[Shapes, list[State]] = {}
    members = list(dict.fromkeys(member for text in paths for member in _members(text, run)))
    for done, path in enumerate(members):
        progress("reading the files", done, len(members))
        if loader:
            _by_name(path, where, run)
            continue
        try:
            for state, contents in _examined(path, where, run):
                run.states.append(state)
                run.says[state.step] = contents.says
                shapes.setdefault(_shapes(contents), []).append(state)
        except CheckpointError as error:
            _leave_out(path, where, str(error), run)
    if len(shapes) > 1:
        raise CheckpointError(_mixed(shapes))
    if not run.states and not run.untold:
        raise CheckpointError("; ".join([f"no checkpoint with a step in {', '.join(paths)}", *run.notes]))
    run.states = _once(run.states)
    run.untold = {s: why for s, why in run.untold.items() if s not in {state.step for state in run.states}}
    return run


def _members(text: str, run: Run) -> list[Path]:
    """Files and folders that are checkpoints each, of a path that may be one itself."""
    path = resolve(text)
    if not isinstance(path, Path):
        raise CheckpointError(f"{text} is one model, built in memory: a series has several checkpoints")
    if not Path(text).exists() and step_in(path.name) is not None and path.name not in text:
        path = path.parent  # of a series of the zoo its last checkpoint is found
    found = _inside(path, run) if path.is_dir() else [path]
    if not found:
        raise CheckpointError(f"{text} has no checkpoints in it")
    return found


def _inside(path: Path, run: Run, depth: int = 0) -> list[Path]:
    entries = sorted(path.iterdir()) if depth < DEEP else []  # a link may lead back up
    for entry in entries:
        check_name(entry.name)
    folders = [e for e in entries if e.is_dir() and step_in(e.name) is not None and _holds(e)]
    if run.train is None and (train := next((e for e in entries if e.is_file() and TRAIN.match(e.stem)), None)):
        run.train = train.name, read_values(train)
    if not folders and {"config.json", "model.safetensors"} <= {e.name for e in entries}:
        return [path]
    files = [e for e in entries if e.is_file() and is_checkpoint(e.name) and e.name[0] != "."]
    versions = sorted((e for e in entries if e.name.startswith("version_")), key=lambda e: step_in(e.name) or 0)
    below = [e for e in entries if e.name in BELOW and e.is_dir()] + [e for e in versions[-1:] if e.is_dir()]
    return [*files, *(f for f in folders if f not in below), *(m for e in below for m in _inside(e, run, depth + 1))]


def _holds(folder: Path) -> bool:
    return any(entry.suffix in SUFFIXES for entry in folder.iterdir())


def _by_name(path: Path, where: StepFrom, run: Run) -> None:
    if (step := where.named(str(path))) is None:
        run.notes.append(f"{path.name} is left out: its name says no step")
    else:
        run.states.append(State(step, path))


def _examined(path: Path, where: StepFrom, run: Run) -> list[tuple[State, Contents]]:
    """The states of a file, read once for their steps and shapes."""
    opened = Opened(inside(path))
    last = opened.contents()
    if len(last.steps) > 1:
        run.opened = path, opened
        every = [(step, opened.contents(str(step))) for step in last.steps]
        return [(State(step, path, str(step), _digest(one)), one) for step, one in every]
    step = where.named(str(path))
    step = where.said(last.says) if step is None else step
    if step is None:
        asked = f"no {where.asked}" if where.asked else "no step"
        raise CheckpointError(f"neither its name nor what it holds says one; it says {asked}")
    return [(State(step, path, None, _digest(last)), last)]


def _leave_out(path: Path, where: StepFrom, why: str, run: Run) -> None:
    """A checkpoint that cannot be read keeps its place in the series where its name says it."""
    if (step := where.named(str(path))) is None:
        run.notes.append(f"{path.name} is left out: {why}")
    else:
        run.untold[step] = why


def _shapes(contents: Contents) -> Shapes:
    return frozenset((name, tuple(tensor.shape)) for name, tensor in contents.weights.items())


def _digest(contents: Contents) -> str:
    found = hashlib.sha256()
    for name in sorted(contents.weights):
        found.update(name.encode() + contents.weights[name].numpy().tobytes())
    return found.hexdigest()


def _mixed(shapes: Mapping[Shapes, Sequence[State]]) -> str:
    """That these are of two runs, by a tensor in which they differ."""
    one, two = sorted(shapes, key=lambda s: -len(shapes[s]))[:2]
    differ = min(one ^ two)[0]
    said = []
    for which in (one, two):
        size = next((list(shape) for name, shape in which if name == differ), None)
        names = ", ".join(short(state.path.name) for state in shapes[which][:LISTED])
        more = ", ..." if len(shapes[which]) > LISTED else ""
        said.append(f"{names}{more} ({len(shapes[which])}) with {f'{differ} {size}' if size else f'no {differ}'}")
    return f"these are checkpoints of different networks, {' and '.join(said)}: pass those of one run"


def _once(states: Sequence[State]) -> list[State]:
    """In order of step; the same weights at the same step are one checkpoint."""
    found: dict[int, State] = {}
    for state in sorted(states, key=lambda s: (s.step, str(s.path), s.key or "")):
        other = found.setdefault(state.step, state)
        if other.sha256 != state.sha256 or (other.sha256 is None and other.path != state.path):
            raise CheckpointError(
                f"{other} and {state} are both of step {state.step} and their weights differ: pass the checkpoints of "
                "one run, or say with --step-from where the step stands"
            )
    return list(found.values())
