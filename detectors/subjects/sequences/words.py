"""Sequences for language models: words that come again at varying lags, and a user's own text.

On a constant lag a head that looks back by it looks like an induction head; so what comes again does so in chunks, in
another order, with other words between them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Int

from detectors.core.errors import TaskError
from detectors.subjects.sequences.generators import NOTHING, Sequences

REPEATED, BETWEEN = 50, 24  # words of a copy that come again, and those between the chunks
CHUNK = (5, 10)  # words of a chunk
WINDOW = 128  # tokens of a text that are read at once

Draw = Callable[[np.random.Generator, int, int, int], Sequences]


def repeats(words: Int[np.ndarray, " words"], bos: int | None) -> Draw:
    """The start of a text, chunks with other words between them, and the same chunks in another order with others
    between them. All words of a sequence differ but for the second copies. Asked: what follows inside a second copy.

    >>> tokens, targets = repeats(np.arange(5, 500), bos=1)(np.random.default_rng(0), 1, 500, 512)
    >>> tokens.shape, len(set(tokens[0].tolist())), bool((targets >= 0).sum() > 36)
    (torch.Size([1, 149]), 99, True)
    """

    def draw(rng: np.random.Generator, batch: int, d_vocab: int, n_ctx: int) -> Sequences:
        most = min((n_ctx - 1) // 2 / (REPEATED + BETWEEN), len(words) / (REPEATED + 2 * BETWEEN), 1.0)
        repeated, between = int(most * REPEATED), int(most * BETWEEN)
        if repeated < 2 * CHUNK[0]:
            raise TaskError(
                f"repeats need a context of 31 tokens and 20 words at the least, not {n_ctx} and {len(words)}: other "
                "sequences by --text FILE or --task data:FILE.npz"
            )
        rows = [_one(rng, words, repeated, between) for _ in range(batch)]
        tokens, targets = (np.stack(x) for x in zip(*rows, strict=True))
        if bos is not None:
            tokens, targets = np.insert(tokens, 0, bos, axis=1), np.insert(targets, 0, NOTHING, axis=1)
        return Sequences(torch.from_numpy(tokens), torch.from_numpy(targets))

    return draw


def _one(
    rng: np.random.Generator, words: Int[np.ndarray, " words"], repeated: int, between: int
) -> tuple[np.ndarray, np.ndarray]:
    drawn = rng.choice(words, size=repeated + 2 * between, replace=False)
    content, fillers = drawn[:repeated], np.split(drawn[repeated:], 2)
    sizes: list[int] = []
    while sum(sizes) < repeated:
        sizes.append(int(rng.integers(CHUNK[0], CHUNK[1], endpoint=True)))
    if len(sizes) > 1 and repeated - sum(sizes[:-1]) < CHUNK[0]:  # too little is left for a chunk of its own
        sizes.pop()
    chunks = np.split(content, np.cumsum(sizes[: len(sizes) - 1]))
    order, tokens, targets = rng.permutation(len(chunks)), [], []
    for copy, numbers in enumerate((np.arange(len(chunks)), order)):
        gaps = rng.multinomial(between, np.full(len(chunks) + 1, 1 / (len(chunks) + 1)))
        filled = np.split(fillers[copy], np.cumsum(gaps[:-1]))
        for gap, number in zip(filled, [*numbers, None], strict=True):
            chunk = chunks[number] if number is not None else gap[:0]
            tokens.extend([gap, chunk])
            following = np.append(chunk[1:], NOTHING)[: len(chunk)] if copy else np.full(len(chunk), NOTHING)
            targets.extend([np.full(len(gap), NOTHING), following])
    return np.concatenate(tokens).astype(np.int64), np.concatenate(targets).astype(np.int64)


def windows(text: Sequence[int], bos: int | None) -> Draw:
    """Pieces of a text, in random order. Asked: what follows where the same two tokens stood before in the piece.

    Errors: TaskError for a text that is shorter than eight pieces.
    """
    size = WINDOW - (bos is not None)
    pieces = np.array(text[: len(text) // size * size], dtype=np.int64).reshape(-1, size)
    if len(pieces) < 8:
        raise TaskError(f"the text (--text) has {len(text)} tokens: {8 * size} are needed at the least")

    def draw(rng: np.random.Generator, batch: int, d_vocab: int, n_ctx: int) -> Sequences:
        if n_ctx < WINDOW:
            raise TaskError(f"texts are read {WINDOW} tokens at once, and the model reads {n_ctx}")
        drawn = pieces[rng.permutation(len(pieces))[:batch]]
        tokens = drawn if bos is None else np.insert(drawn, 0, bos, axis=1)
        pairs = tokens[:, :-1] * (int(tokens.max()) + 1) + tokens[:, 1:]
        known = np.triu(pairs[:, :, None] == pairs[:, None, :], 1).any(1)  # the same pair begins earlier
        targets = np.full(tokens.shape, NOTHING)
        targets[:, :-1] = np.where(known, tokens[:, 1:], NOTHING)
        return Sequences(torch.from_numpy(tokens), torch.from_numpy(targets))

    return draw
