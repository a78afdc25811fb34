"""`detectors.watch`: score a model in its own training loop, and stop the loop when a policy holds."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from torch import nn

from detectors.core import registry
from detectors.core.blame import told
from detectors.core.errors import DetectorsError
from detectors.core.registry import Detector
from detectors.gate.conditions import Condition, conditions, evaluate
from detectors.gate.policy import Policy, read_policy
from detectors.live.logs import PREFIX, Log, figures, loggers
from detectors.live.parts import Parts
from detectors.live.undisturbed import undisturbed
from detectors.loading.wrap import wrap
from detectors.report.model import Outcome
from detectors.report.report import Report
from detectors.report.rows import Row, error_row, rows_of
from detectors.runner import run
from detectors.series.story import axes
from detectors.subjects.operands.network import CONTRACT
from detectors.subjects.operands.view import ModelView
from detectors.subjects.tasks import of_two_operands, parse_task, subject

LEVEL, MOST = 0.05, 0.05  # of all tests together; of the time of the steps that scoring may take without a word
DRAWS = 39  # with two tests the fewest that can give `present`
_log = logging.getLogger("detectors")


def watch(
    model: Any,
    task: str,
    /,
    *,
    every: int = 500,
    train_mask: Bool[np.ndarray, " pairs"] | Sequence[bool] | None = None,
    names: Sequence[str | Detector] | None = None,
    draws: int | None = None,
    seed: int = 0,
    log: Any = None,
    folder: str | Path | None = None,
    policy: str | Path | Policy | None = None,
    tokens: str | None = None,
    parts: Mapping[str, str | Sequence[str]] | None = None,
) -> Watch:
    """Watch a model of two operands as it is trained: call `step(step)` of what this returns at every step.

    model: an nn.Module, read as by `detectors.wrap` with tokens and parts, or what `help(detectors.Network)` describes.
    every: steps between two scores. train_mask: [n_tokens * n_tokens] True on the training pairs. names: which
    detectors; by default those of G and M, which need the logits alone, and those that the policy names. draws:
    permutations of each null, by default as few as can give `present`. log: what has `log(dict)` or
    `add_scalar(name, value, step)`, a function of a dict, or a list of such. folder: where the series is kept, as
    Parquet that `detectors track` reads. policy: a gate's; where all its conditions hold, `step` returns True.

    Mode, gradients and random states are behind every score as before. What goes wrong in one is reported once, by
    `logging`, and never ends the training. Errors: DetectorsError where the call itself is wrong, CheckpointError where
    the model cannot be called.

    >>> import torch
    >>> net = torch.nn.Sequential(torch.nn.Embedding(7, 8), torch.nn.Flatten(), torch.nn.Linear(16, 7))
    >>> watching = watch(net, "add:7", every=10, train_mask=[i % 2 == 0 for i in range(49)], log=lambda found: None)
    >>> [watching.step(step) for step in range(3)], watching.report.accuracy.train is not None
    ([False, False, False], True)
    """
    if every < 1:
        raise DetectorsError(f"every={every}: scores are made every so many steps, 1 or more")
    held, beside = (policy, Path()) if isinstance(policy, Policy) or policy is None else read_policy(policy)
    chosen = list(dict.fromkeys([*(names or axes().values()), *(held.detectors if held else ())]))
    inner = model.module if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel) else model
    watching = Watch(
        model=inner,
        view=partial(_view, inner, task, train_mask, tokens, parts),
        every=every,
        scoring={
            "names": [_detector(one) for one in chosen],
            "draws": draws or max(DRAWS, round(len(chosen) / LEVEL) - 1),
            "seed": seed,
        },
        logs=loggers(log),
        conditions=conditions(held, beside) if held else [],
        parts=None,
    )
    with undisturbed(inner):  # what cannot work is better known before the training
        first = watching.view()
    watching.parts = Parts(Path(folder), _run(first)) if folder is not None else None
    return watching


def _run(view: ModelView) -> dict[str, str]:
    """What stays the same from the first step to the last, and when a run goes on."""
    shapes = sorted((name, *w.shape) for name, w in view.weights.items())
    mask = None if view.train_mask is None else view.train_mask.tobytes()
    return {
        "task": view.task.spec,
        "parameters": sha256(repr(shapes).encode()).hexdigest(),
        "training pairs": sha256(repr(mask).encode()).hexdigest(),
    }


def _detector(one: str | Detector) -> Detector:
    """Looked up once: to ask what is installed takes as long as a small score."""
    try:
        return registry.load(one) if isinstance(one, str) else one
    except KeyError:
        raise DetectorsError(f"no detector {one!r}; there are {', '.join(registry.names())}") from None


def _view(model: Any, task: str, mask: Any, tokens: str | None, parts: Mapping[str, Any] | None) -> ModelView:
    """Anew for every score: it keeps its forward passes. A module's reading is found anew too: an untrained one answers
    as little under any.
    """
    if isinstance(model, nn.Module) and not all(hasattr(model, name) for name in CONTRACT):
        return wrap(model, task, train_mask=mask, tokens=tokens, parts=parts)
    return of_two_operands(subject(model, parse_task(task))).with_train_mask(mask)


@dataclass
class Watch:
    """report: of the last score. outcomes: the policy's conditions, held against it. should_stop: whether all of them
    hold. share: time that the last score took, over that of the steps between it and the one before.
    """

    model: Any
    view: Callable[[], ModelView]
    every: int
    scoring: dict[str, Any]
    logs: list[Log]
    conditions: list[Condition]
    parts: Parts | None
    report: Report | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    should_stop: bool = False
    share: float | None = None
    _last: int | None = None
    _ended: float | None = None
    _said: set[str] = field(default_factory=set)

    def step(self, step: int, *, now: bool = False) -> bool:
        """Score if it is time, and say whether the policy holds. step: of the training, rising; it need not be called
        at every one. now: score in any case, as at the end. Errors: DetectorsError at the first call where the folder
        holds another run.
        """
        if self._last is None and self.parts:
            self.parts.begin(step)
        if self._last is not None and step < self._last:
            self._say_once("falls", f"step {step} came after {self._last}, and is not scored: count over all epochs")
        due = self._last is None or step >= (self._last // self.every + 1) * self.every
        if due or (now and step != self._last):
            self._last = step
            self._timed(step)
        return self.should_stop

    def _timed(self, step: int) -> None:
        begun = time.monotonic()
        try:
            with undisturbed(self.model):
                self._score(step)
        except Exception as error:  # whatever it is, the training is worth more
            self._say_once(told(error), f"step {step} was not scored: {told(error)}")
        ended = time.monotonic()
        if self._ended is not None:
            self.share = (ended - begun) / max(begun - self._ended, 1e-9)
            if self.share > MOST:
                more = math.ceil(self.every * self.share / MOST)
                said = f"a score takes {self.share:.0%} of the time of the steps between two"
                self._say_once("share", f"{said}: with every={more} it would be {MOST:.0%}")
        self._ended = ended

    def _score(self, step: int) -> None:
        seconds = -time.monotonic()
        self.should_stop = False
        try:
            self.report = run(self.view(), **self.scoring)
        except Exception as error:
            self._keep(step, [error_row(_named(step), told(error), step=step)])
            raise
        seconds += time.monotonic()
        made = {"draws": self.scoring["draws"], "seed": self.scoring["seed"]}
        self._keep(step, rows_of(self.report, checkpoint=_named(step), step=step, **made))
        self.outcomes = evaluate(self.conditions, self.report)
        self.should_stop = bool(self.outcomes) and all(outcome.passed for outcome in self.outcomes)
        for log in self.logs:
            log(figures(self.report, step) | {f"{PREFIX}seconds": seconds})

    def _keep(self, step: int, rows: list[Row]) -> None:
        if self.parts:
            self.parts.write(step, rows)

    def _say_once(self, what: str, sentence: str) -> None:
        if what not in self._said:
            self._said.add(what)
            _log.warning("detectors.watch: %s", sentence)


def _named(step: int) -> str:
    return f"step_{step:012}"
