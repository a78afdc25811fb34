"""What every kind of model offers to those who run, judge and report: a subject is a model with a task, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from detectors.core.errors import NotApplicable
from detectors.core.figures import Figures, TaskFacts


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Where a model came from. unused: tensors in the file that the architecture does not use. reading: how each part
    was read, and why. notes: what to know of that before believing the verdicts.
    """

    path: str = "(in memory)"
    sha256: str | None = None
    layout: str = "in memory"
    unused: tuple[str, ...] = ()
    reading: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Size(NamedTuple):
    """What a calibration has a range of. order: of the group, None where there is none."""

    order: int | None
    architecture: str


class Subject(Protocol):
    """A model with its task, whatever it reads. Beside it, in its folder, lie its edits: what removes a motif, keeps it
    alone, or removes another in its stead.

    kind: `operands`, `sequences`, `features`, `words`; a language model, of `sequences`, has `words` among its parts.
    reads: what it reads, for a sentence. parts: names that `needs` of a detector may hold. size: for the range of
    calibration. few: inputs that its contract is tried on.
    """

    kind: str
    reads: str
    checkpoint: Checkpoint

    @property
    def parts(self) -> frozenset[str]: ...
    @property
    def architecture(self) -> Mapping[str, Any]: ...
    @property
    def weights(self) -> Mapping[str, Any]: ...
    @property
    def size(self) -> Size: ...
    @property
    def task_facts(self) -> TaskFacts: ...

    def figures(self) -> Figures: ...
    def few(self, count: int) -> Any: ...


KINDS = {
    "operands": "two-operand models",
    "sequences": "models of sequences",
    "features": "autoencoders of features",
    "words": "rows of words",
}


def check_applicable(subject: Subject, kind: str, needs: tuple[str, ...]) -> None:
    """NotApplicable, in words, where a motif of models of that kind with these needs cannot be asked of the subject."""
    if kind not in (subject.kind, *subject.parts):
        raise NotApplicable(f"this motif is one of {KINDS.get(kind, kind)}, and the model reads {subject.reads}")
    missing = set(needs) - subject.parts
    if "group" in missing:
        raise NotApplicable(f"the task {subject.task_facts.spec} has no group behind it")
    if missing:
        raise NotApplicable(f"this model has no {', '.join(sorted(missing))}")
