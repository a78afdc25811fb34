"""Steps of training: in names of checkpoints, in what checkpoints say, or where a user says that they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from detectors.core.errors import CheckpointError

_STEM = re.compile(r"\.(safetensors|pth?|ckpt|bin|npz|npy|pkl|pickle)$")
# as many digits as Parquet's whole numbers have; 10k is 10,000, and 0.5 no step
_TIMES = {"": 1, "k": 1_000, "m": 1_000_000}
_NUMBER = r"[ =_.-]?(\d{1,18}(?:\.\d{1,9})?)(?!\d)([km](?![a-z0-9]))?"
_NAMES = (  # a step is finer than an epoch; else the last number that is no part of a decimal
    re.compile(rf"(?<![a-z])(?:global_?step|step|iteration|iter|it|update)s?{_NUMBER}", re.I),
    re.compile(rf"(?<![a-z])(?:epoch|ep|e)s?{_NUMBER}", re.I),
    re.compile(r"(?<!\d)(?<!\d\.)(\d{1,18}(?:\.\d{1,9}(?=[km]))?)(?!\d|\.\d)([km](?![a-z0-9]))?", re.I),
)
KEYS = ("global_step", "step", "steps", "iteration", "iter", "epoch", "epochs")


def step_in(name: str) -> int | None:
    """The step that the name of a file or folder says: the number after a word for it, else the last; None without.

    >>> step_in("step_000100.pt"), step_in("epoch=12-step=4800-loss=0.31.ckpt"), step_in("100.pth"), step_in("last.pt")
    (100, 4800, 100, None)
    >>> step_in("step_10k.pt"), step_in("1.5M.pt"), step_in("epoch_0.5.pt")
    (10000, 1500000, None)
    """
    stem = _STEM.sub("", name.rstrip("/").rsplit("/", 1)[-1])
    found = (_whole(*each[-1]) for pattern in _NAMES if (each := pattern.findall(stem)))
    return next((step for step in found if step is not None), None)


def _whole(number: str, suffix: str) -> int | None:
    """Exactly, or None where it is no whole number."""
    step = Decimal(number) * _TIMES[suffix.lower()]
    return int(step) if step == int(step) else None


def step_said(says: Mapping[str, Any]) -> int | None:
    """The step among the plain values of a checkpoint; None where it says none."""
    return next((says[key] for key in KEYS if type(says.get(key)) is int), None)


class StepFrom:
    """Where a step is read: `names` and then what the checkpoint says, or as a user has it.

    asked: a regular expression with one group, for the path; or a key of what the checkpoint says.
    Errors: CheckpointError where it is neither.
    """

    def __init__(self, asked: str | None = None) -> None:
        self.asked, self.pattern = asked, None
        if asked is not None and "(" in asked:
            try:
                self.pattern = re.compile(asked)
            except re.error as error:
                raise CheckpointError(f"--step-from {asked}: it is no regular expression: {error}") from None
            if self.pattern.groups != 1:
                raise CheckpointError(f"--step-from {asked}: write one group, e.g. --step-from 'run_(\\d+)_'")

    @property
    def is_named(self) -> bool:
        """Whether names alone settle it, before a file is opened."""
        return self.asked is None or self.pattern is not None

    def named(self, path: str) -> int | None:
        """By the path alone. Errors: CheckpointError where the group holds no whole number."""
        if self.pattern is None:
            return step_in(path) if self.asked is None else None
        if (found := self.pattern.search(path)) is None:
            return None
        if not re.fullmatch(r"\d{1,18}", found[1] or ""):
            raise CheckpointError(f"--step-from {self.asked}: {found[1]!r} of {path} is no step")
        return int(found[1])

    def said(self, says: Mapping[str, Any]) -> int | None:
        """By what the checkpoint says."""
        if self.asked is None:
            return step_said(says)
        value = None if self.pattern else says.get(self.asked)
        return int(value) if isinstance(value, int | float) and value == value // 1 else None
