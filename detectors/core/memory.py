"""How much memory an analysis may take, reckoned before anything is computed."""

from __future__ import annotations

import os

from detectors.core.errors import DetectorsError

VARIABLE = "DETECTORS_MEMORY"
USUAL = 12.0  # GiB: S6, the largest group of the literature, takes 9.5 with 512 neurons
# Of the activations that are kept: logits as they are, in float64, half by half, and permuted. Measured with trig_mlp
# as the peak over what is there before: 4.9, 4.4 without what does not grow, at 307 tokens, 3.9 at 401.
COPIES = 4


class MemoryBudget(DetectorsError):
    """More memory would be needed than may be used."""


def allowed() -> float:
    """GiB, by the environment variable DETECTORS_MEMORY. Errors: MemoryBudget where it is no positive number."""
    text = os.environ.get(VARIABLE, str(USUAL))
    try:
        gib = float(text)
    except ValueError:
        gib = 0.0
    if not gib > 0:
        raise MemoryBudget(f"{VARIABLE}={text}: write a number of GiB, such as {USUAL:g}")
    return gib


def check_memory(numbers: int, what: str, copies: int = COPIES) -> None:
    """MemoryBudget, with what would be needed, where so many float32 numbers and the copies of them are too many.

    >>> check_memory(2048**3, "the logits of 2048 x 2048 pairs")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    detectors.core.memory.MemoryBudget: the logits of 2048 x 2048 pairs would need about 128.0 GiB ...
    """
    needed = 4 * copies * numbers / 2**30
    if needed > (most := allowed()):
        raise MemoryBudget(
            f"{what} would need about {needed:.1f} GiB of memory, and up to {most:g} may be used: "
            f"{VARIABLE}={needed * 1.1:.0f} in the environment allows it"
        )
