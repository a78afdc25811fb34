"""Tasks of sequences: how they are drawn, or where they lie, and what is asked at which place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from detectors.core.errors import TaskError
from detectors.subjects.sequences.data import bank
from detectors.subjects.sequences.generators import GENERATORS, Sequences, draws

Draw = Callable[[np.random.Generator, int, int, int], Sequences]


@dataclass(frozen=True)
class SequenceTask:
    """A way to draw sequences. draw(rng, batch, d_vocab, n_ctx): for a model of that vocabulary and context.
    parameters: what the task fixes, by the names of the model's NAME.json, as `num_digits`.

    >>> tokens, targets = SequenceTask.parse("repeat").draw(np.random.default_rng(0), 1, 12, 9)
    >>> tokens[0].tolist(), targets[0].tolist()
    ([0, 5, 3, 4, 6, 5, 3, 4], [-100, -100, -100, -100, -100, 3, 4, 6])
    """

    subject: ClassVar[str] = "sequences"

    spec: str
    draw: Draw
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, spec: str, parameters: Mapping[str, Any] | None = None) -> SequenceTask:
        """`repeat` (a run of random tokens, repeated), `digits:5` (addition of 5-digit numbers), `data:FILE.npz`, ...

        parameters: of `data:FILE.npz`, which does not say them itself.
        """
        kind, _, argument = spec.partition(":")
        if kind == "data" and argument:
            return cls(spec, bank(argument), parameters or {})
        if kind in GENERATORS:
            draw, fixed = draws(kind, argument)
            return cls(spec, draw, {**fixed, **(parameters or {})})
        raise TaskError(f"unknown sequence task {spec!r}. Known: {', '.join(cls.names())}")

    @staticmethod
    def names() -> tuple[str, ...]:
        """What a spec of a sequence task may be."""
        return (
            *(f"{kind}:{made.argument}" if made.argument else kind for kind, made in GENERATORS.items()),
            "data:FILE.npz",
        )

    @staticmethod
    def known(spec: str) -> bool:
        """Whether a spec names a task of sequences rather than of two operands."""
        return spec.partition(":")[0] in (*GENERATORS, "data")
