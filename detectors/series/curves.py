"""Phases of a run from its curves alone: losses, or accuracies, of training and of test pairs by step.

Pairs are learnt at LEARNT: a loss down to a tenth of what chance gives, an accuracy up to nine tenths; half-way is half
of each. Curves are smoothed by a running median. A run grokked if its test pairs are learnt more than twice as many
steps from its start as its training pairs; published runs have 4 to 37 times as many. No curve tells circuit formation
from cleanup, nor echoes from unseen pairs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.ndimage import median_filter

from detectors.core.phases import CARRIED, CLEANUP, FORMING, INITIAL, LOOKUP
from detectors.series.story import Curves, Kind, Phase

HALF_WAY, LEARNT = 0.5, 0.9
LATER = 2.0
WINDOW = 200  # of so many parts of a run the median is taken over one
POINTS = 600  # kept for a picture
UNTOLD = (
    "Curves alone do not tell circuit formation from cleanup, nor echoes (b, a) of training pairs from unseen ones."
)
EITHER = f"{FORMING} or {CLEANUP}"


def curves_of(
    steps: Sequence[int],
    train: Sequence[float],
    test: Sequence[float] | None,
    *,
    is_loss: bool = True,
    chance: float | None = None,
) -> Curves:
    """What curves show. test: None where there is none. chance: the loss of guessing, ln n for n answers; the first
    training loss where None. Steps that come twice count by their last value.

    >>> import math
    >>> steps = list(range(1000))
    >>> fallen = [2.0 * math.exp(-s / 10) for s in steps]
    >>> curves_of(steps, fallen, [2.0 if s < 500 else 0.01 for s in steps]).kind
    'grokking'
    >>> curves_of(steps, fallen, fallen).kind
    'at once'
    """
    at, (one, two) = _in_order(steps, train, test)
    first = next((float(x) for x in one if np.isfinite(x)), 1.0)
    scale = (chance or max(first, 1e-12)) if is_loss else 1.0
    shares = [1 - _smooth(x) / scale if is_loss else _smooth(x) for x in (one, two)]
    half, learnt = ([_reached(at, share, bar) for share in shares] for bar in (HALF_WAY, LEARNT))
    kind = _kind(int(at[0]), learnt, half[0])
    peak = int(np.nanargmax(two)) if is_loss and np.isfinite(two).any() else None
    thin = np.concatenate([np.linspace(0, len(at) - 1, POINTS // 2), np.geomspace(1, len(at), POINTS // 2) - 1])
    return Curves(
        unit="loss" if is_loss else "accuracy",
        kind=kind,
        chance=scale if is_loss else None,
        learnt=(learnt[0], learnt[1]),
        peak=None if peak is None else (int(at[peak]), float(two[peak])),
        phases=_phases(kind, at, half, learnt),
        points=[(int(at[i]), _plain(one[i]), _plain(two[i])) for i in np.unique(thin.astype(int))],
    )


def sentences(curves: Curves) -> list[str]:
    """What they show in words, and what they cannot."""
    train, test = (f"{step:,}" if step is not None else "" for step in curves.learnt)
    bar = f"a tenth of {curves.chance:.2f}, the {curves.unit} of chance" if curves.chance else "nine tenths"
    said = {
        "grokking": f"The curves show grokking: training pairs are learnt ({bar}) at {train}, test pairs at {test}.",
        "at once": f"Test pairs are learnt at once with training pairs: at {test} and {train} ({bar}). No grokking.",
        "training pairs alone": f"Training pairs are learnt at {train} ({bar}), test pairs never: no grokking here.",
        "nothing": f"The {curves.unit} of training pairs never reaches {bar}: nothing is learnt here.",
    }[curves.kind]
    if curves.kind == "training pairs alone" and all(point[2] is None for point in curves.points):
        said = f"Training pairs are learnt at {train} ({bar})."
    peak = ""
    if curves.peak and curves.kind == "grokking":
        peak = f" The test loss is highest at {curves.peak[0]:,} ({curves.peak[1]:.2f})."
    return [f"{said}{peak}", UNTOLD]


def _in_order(
    steps: Sequence[int], train: Sequence[float], test: Sequence[float] | None
) -> tuple[np.ndarray, list[Float[np.ndarray, " steps"]]]:
    """Each step once, ascending."""
    given = np.asarray(steps, dtype=np.int64)
    at, places = np.unique(given[::-1], return_index=True)
    places = len(given) - 1 - places
    every = np.full(len(given), np.nan) if test is None else np.asarray(test, dtype=float)
    return at, [np.asarray(train, dtype=float)[places], every[places]]


def _smooth(values: Float[np.ndarray, " steps"]) -> Float[np.ndarray, " steps"]:
    finite = np.isfinite(values)
    if not finite.any():
        return values
    places = np.arange(len(values))
    filled = np.interp(places, places[finite], values[finite])
    return median_filter(filled, size=2 * (len(values) // WINDOW // 2) + 1, mode="nearest")


def _reached(at: np.ndarray, share: Float[np.ndarray, " steps"], bar: float) -> int | None:
    there = np.flatnonzero(share >= bar)
    return int(at[there[0]]) if len(there) else None


def _kind(start: int, learnt: Sequence[int | None], half: int | None) -> Kind:
    train, test = learnt
    if train is None or half is None:
        return "nothing"
    if test is None:
        return "training pairs alone"
    return "grokking" if test - start > LATER * max(train - start, 1) else "at once"


def _phases(kind: Kind, at: np.ndarray, half: Sequence[int | None], learnt: Sequence[int | None]) -> list[Phase]:
    """Of a run that grokked, or learnt at once; none of others."""
    if kind not in ("grokking", "at once"):
        return []
    marks: list[tuple[str, int | None]] = [(INITIAL, int(at[0]))]
    marks += [(LOOKUP, half[0]), (EITHER, half[1])] if kind == "grokking" else []
    marks += [(CARRIED, learnt[1])]
    known = [(name, step) for name, step in marks if step is not None]
    found = []
    for (name, start), (_, stop) in zip(known, [*known[1:], ("", int(at[-1]) + 1)], strict=True):
        inside = at[(at >= start) & (at < stop)]
        if len(inside):
            found.append(Phase.model_validate({"phase": name, "from": int(inside[0]), "to": int(inside[-1])}))
    return found


def _plain(value: float) -> float | None:
    return float(f"{value:.5g}") if np.isfinite(value) else None
