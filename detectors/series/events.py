"""When it happened: onsets, the rise of an accuracy, and the phases, from figures by step."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from detectors.core.phases import HALF, training_phase
from detectors.series.story import Figures, Interval, Phase

RUNNING = 3  # times that a motif must be present in turn: one verdict of a checkpoint may flicker


def onset(steps: Sequence[int], there: Sequence[bool | None]) -> Interval | None:
    """From the last checkpoint before it to the first from which it is there three times running, or until the end.

    there: None where it is not known, which neither breaks a run nor adds to one; the interval is then wider. The first
    bound is None where it is there from the first checkpoint. None where it never sets in.

    >>> onset([0, 10, 20, 30, 40], [False, True, False, True, True])
    (20, 30)
    """
    known = [(step, is_there) for step, is_there in zip(steps, there, strict=True) if is_there is not None]
    for i, (step, _) in enumerate(known):
        if all(is_there for _, is_there in known[i : i + RUNNING]):
            return known[i - 1][0] if i else None, step
    return None


def rise(steps: Sequence[int], accuracy: Figures) -> Interval | None:
    """The same of an accuracy over one half."""
    return onset(steps, [None if a is None else a > HALF for a in accuracy])


def lost(steps: Sequence[int], there: Sequence[bool | None]) -> Interval | None:
    """From the last checkpoint with it to the first after that is known to be without. None where it lasts to the end,
    or never was.

    >>> lost([0, 10, 20, 30, 40], [False, True, None, False, False]), lost([0, 10], [False, True])
    ((10, 30), None)
    """
    known = [(step, is_there) for step, is_there in zip(steps, there, strict=True) if is_there is not None]
    last = max((i for i, (_, is_there) in enumerate(known) if is_there), default=len(known))
    return (known[last][0], known[last + 1][0]) if last + 1 < len(known) else None


def gaps(steps: Sequence[int], there: Sequence[bool | None]) -> list[tuple[int, int]]:
    """Of each stretch without it, between its onset and a checkpoint that has it again, the first step and the last.
    One checkpoint alone may flicker, and is none.

    >>> gaps([0, 10, 20, 30, 40, 50, 60], [False, True, True, True, False, False, True])
    [(40, 50)]
    """
    first = onset(steps, there)
    known = [(s, t) for s, t in zip(steps, there, strict=True) if t is not None and first is not None and s >= first[1]]
    runs = [(is_there, [s for s, _ in run]) for is_there, run in groupby(known, key=lambda pair: pair[1])]
    return [(run[0], run[-1]) for is_there, run in runs[:-1] if not is_there and len(run) > 1]


def lead(first: Interval | None, then: Interval | None) -> tuple[int, int | None] | None:
    """Steps from one event to another, at least and at most; None at most where the first was there from the start, and
    None of an event that was over by the first checkpoint: any other may have been before it or behind it.

    >>> lead((20, 30), (100, 120))
    (70, 100)
    """
    if first is None or then is None or then[0] is None:
        return None
    return then[0] - first[1], None if first[0] is None else then[1] - first[0]


def phases(steps: Sequence[int], g: Figures, m: Figures, accuracy: Figures) -> list[Phase]:
    """Stretches of checkpoints of one phase; those of which a figure is unknown are in none.

    accuracy: on unseen pairs.

    >>> [(p.phase, p.start, p.end) for p in phases([0, 5, 9], [0.0, 0.0, 0.9], [0.0, 0.8, 0.7], [0.0] * 3)]
    [('initial', 0, 0), ('memorisation', 5, 5), ('circuit formation', 9, 9)]
    """
    named = [
        (step, training_phase(x, y, a))
        for step, x, y, a in zip(steps, g, m, accuracy, strict=True)
        if x is not None and y is not None and a is not None
    ]
    runs = [(name, [step for step, _ in run]) for name, run in groupby(named, key=lambda pair: pair[1])]
    return [Phase.model_validate({"phase": name, "from": run[0], "to": run[-1]}) for name, run in runs]
