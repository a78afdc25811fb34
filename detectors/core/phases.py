"""Regions of the plane of G (generalisation) and M (memorisation), after the phases of arXiv:2301.05217, section 5.

The bounds are round numbers between the measured phases of one run (a + b mod 59), for reading and not for a verdict:
G was 0 or 1.00 on either side of HALF, M 0.43 and more while the lookup was there and at most 0.02 after.
"""

from __future__ import annotations

from typing import NamedTuple

HALF, TRACE = 0.5, 0.1
WORN = 0.25  # of the membership advantage: the run had 0.48 in cleanup and 0.12 at its end


# of a series, in their order; no curve of a loss tells the third from the fourth
PHASES = INITIAL, LOOKUP, FORMING, CLEANUP, CARRIED = (
    "initial",
    "memorisation",
    "circuit formation",
    "cleanup",
    "generalisation",
)


class Region(NamedTuple):
    """G from left to right, M from low to high."""

    left: float
    right: float
    low: float
    high: float


REGIONS = {
    "initial": Region(0, HALF, 0, TRACE),
    "memorisation": Region(0, HALF, TRACE, 1),
    "circuit formation": Region(HALF, 1, TRACE, 1),
    "cleanup, generalisation": Region(HALF, 1, 0, TRACE),
}


def phase(g: float, m: float, advantage: float) -> str:
    """The region's name; of the last, `cleanup` until the trace of the training set in the remainder has worn away.

    >>> phase(0.9, 0.02, 0.48), phase(0.9, 0.02, 0.12)
    ('cleanup', 'generalisation')
    """
    region = next(
        name for name, r in REGIONS.items() if (g >= HALF) == (r.left >= HALF) and (m > TRACE) == (r.low >= TRACE)
    )
    return region if "," not in region else region.split(", ")[advantage <= WORN]


def training_phase(g: float, m: float, accuracy: float) -> str:
    """The phase of a checkpoint of a series, where the accuracy on unseen pairs is known beside G and M: the first of
    these whose condition holds.

    >>> training_phase(0.2, 0.8, 0.0), training_phase(0.9, 0.8, 0.1), training_phase(0.9, 0.05, 1.0)
    ('memorisation', 'circuit formation', 'generalisation')
    """
    if g < HALF and m >= HALF:
        return LOOKUP
    if accuracy >= HALF:
        return CLEANUP if m >= TRACE else CARRIED
    return FORMING if g >= HALF else INITIAL
