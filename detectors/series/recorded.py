"""Accuracies and losses that checkpoints say of themselves, held against those of the model as it is read."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from detectors.core.figures import BySplit

NEAR = 0.02  # relative, of a loss: sums in float32, and over batches, differ by less
CLOSE = 0.005  # of an accuracy
_NAME = re.compile(r"^(train|test|val|valid|eval)(ing)?_(loss|acc|accuracy)$", re.I)


def recorded(says: Mapping[int, Mapping[str, Any]], found: Mapping[int, tuple[BySplit, BySplit]]) -> str:
    """A sentence on whether they agree; empty where nothing is recorded.

    says: plain values of the checkpoints, by step. found: accuracy and loss, by step.

    >>> one = BySplit(all=0.9, train=1.0, test=0.8), BySplit(all=0.4, train=0.1, test=0.7)
    >>> recorded({5: {"train_loss": 0.1, "test_accuracy": 0.8}}, {5: one})
    'What the files say of their accuracy and loss is met at 1 of 1 checkpoints.'
    """
    told = {step: _differs(says.get(step, {}), *pair) for step, pair in found.items()}
    known = {step: differs for step, differs in told.items() if differs is not None}
    wrong = {step: differs for step, differs in known.items() if differs}
    if not known:
        return ""
    if not wrong:
        return f"What the files say of their accuracy and loss is met at {len(known)} of {len(known)} checkpoints."
    step, differs = next(iter(wrong.items()))
    return (
        f"What the files say of their accuracy and loss is not met at {len(wrong)} of {len(known)} checkpoints (step "
        f"{step:,}: {differs}): another reading, task or training set?"
    )


def _differs(says: Mapping[str, Any], accuracy: BySplit, loss: BySplit) -> str | None:
    """How a checkpoint contradicts itself, empty where it does not; None where it says nothing."""
    known = False
    for key, value in says.items():
        if not (match := _NAME.match(key)) or type(value) not in (int, float) or not math.isfinite(value):
            continue
        is_loss = match[3].lower() == "loss"
        own = getattr(loss if is_loss else accuracy, "train" if match[1].lower() == "train" else "test")
        if own is None:
            continue
        known = True
        if abs(own - value) > (NEAR * max(abs(value), 1e-6) if is_loss else CLOSE):
            return f"{key} {value:.4g} there, {own:.4g} here"
    return "" if known else None
