"""Memory that scoring takes, known from sizes alone, so that nothing is computed that does not fit."""

from __future__ import annotations

import os

from detectors.core.errors import CheckpointError

LIMIT_GIB = 16.0
VARIABLE = "DETECTORS_MEMORY_GIB"
# S6, of 720 tokens and answers, takes 7.5 GiB where its logits are 1.4: copies in the order of the group, parts, ranks
COPIES = 5


def needed(n_tokens: int, n_answers: int, widest: int = 0) -> int:
    """Bytes for the logits of all pairs with their copies, and for as wide a layer of neurons.

    >>> round(needed(720, 720, 128) / 2**30, 1)
    7.2
    """
    return 4 * n_tokens**2 * (COPIES * n_answers + widest)


def check_memory(n_tokens: int, n_answers: int, widest: int = 0) -> None:
    """CheckpointError, with what would be needed, where that is beyond the limit."""
    limit = _limit()
    if (wanted := needed(n_tokens, n_answers, widest) / 2**30) > limit:
        logits = 4 * n_tokens**2 * n_answers / 2**30
        raise CheckpointError(
            f"all pairs of {n_tokens} tokens with {n_answers} answers need {wanted:.1f} GiB of memory (their logits "
            f"alone {logits:.1f}), and up to {limit:g} are used: {VARIABLE}={max(1, round(wanted + 1))} raises that"
        )


def _limit() -> float:
    text = os.environ.get(VARIABLE, "")
    try:
        return float(text) if text else LIMIT_GIB
    except ValueError:
        raise CheckpointError(f"{VARIABLE}={text}: write a number of GiB") from None
