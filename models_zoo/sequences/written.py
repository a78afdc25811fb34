"""Models of sequences written down head by head, exactly: what each head does is known because it was put there."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from detectors.subjects.sequences.generators import NOTHING
from detectors.subjects.sequences.task import SequenceTask
from detectors.subjects.sequences.view import SequenceView
from models_zoo.sequences.blocks import Blocks, model, sharp, task_of

NEVER = -40.0  # the score of a key that is not looked at, of the sharpness


def duplicates(rng: np.random.Generator, *, unread: bool = False, heads: int = 1, ranges: bool = False) -> SequenceView:
    """Has this token been here before? By one head, or by several for some tokens each. unread: the answer is another,
    whether a token is in the lower half.
    """
    v, n = int(rng.integers(8, 20)), int(rng.integers(10, 21))

    def make(rng: np.random.Generator, batch: int) -> tuple[np.ndarray, np.ndarray]:
        tokens = 1 + rng.integers(v - 1, size=(batch, n))
        tokens[:, 0] = 0
        before = (tokens[:, :, None] == tokens[:, None, :]) & np.tril(np.ones((n, n), dtype=bool), -1)
        answer = tokens < v / 2 if unread else before.any(-1)
        return tokens, np.where(np.arange(n) > 0, answer, NOTHING)

    blocks = Blocks(v, n, 2)
    rest = torch.zeros(v, v)
    rest[:, 0] = 0.5
    found = torch.where(torch.arange(v) > 0, 1.0, -1.0)[:, None] * torch.tensor([-1.0, 1.0])
    looking = [
        (blocks.scores(torch.eye(v) * own[:, None] + rest, -2 * torch.eye(n)), found * (0.0 if unread else 1.0))
        for own in _parts(v, heads, rng, ranges)
    ]
    if unread:  # a head that looks at its own token says it
        low = torch.where(torch.arange(v) < v / 2, 1.0, -1.0)[:, None] * torch.tensor([-1.0, 1.0])
        looking.append((blocks.scores(by_place=2 * torch.eye(n)), low))
    every = [(looks, blocks.writes(says)) for looks, says in looking]
    bias = (heads - 1) * torch.tensor([-1.0, 1.0])  # of the heads that find nothing, as it is not theirs to find
    return model(task_of("written: seen before", make), blocks, every, torch.eye(2), bias, rng, sharp(rng) + 2 * heads)


def _parts(v: int, heads: int, rng: np.random.Generator, ranges: bool) -> list[Tensor]:
    """As many tokens for each head: at random, or those that follow each other."""
    of = torch.from_numpy(np.arange(v) * heads // v if ranges else rng.permutation(v) % heads)
    return [of == i for i in range(heads)]


def lagged(rng: np.random.Generator) -> SequenceView:
    """What stood there some places back? Half of the tokens are copies of just that one, and there are no others."""
    n, lag = int(rng.integers(12, 21)), int(rng.integers(2, 5))
    v = n + 4

    def make(rng: np.random.Generator, batch: int) -> tuple[np.ndarray, np.ndarray]:
        tokens = rng.permuted(np.tile(np.arange(v), (batch, 1)), axis=1)[:, :n]
        again = rng.random((batch, n)) < 0.5
        for q in range(lag, n):
            tokens[:, q] = np.where(again[:, q], tokens[:, q - lag], tokens[:, q])
        answers = np.full((batch, n), NOTHING)
        answers[:, lag:] = tokens[:, : n - lag]
        return tokens, answers

    blocks = Blocks(v, n, v)
    looks = blocks.scores(by_place=torch.eye(n).roll(-lag, 1).tril(-1))
    heads = [(looks, blocks.writes(torch.eye(v)))]
    return model(
        task_of("written: some places back", make), blocks, heads, 4 * torch.eye(v), torch.zeros(v), rng, sharp(rng)
    )


def sorting(rng: np.random.Generator, *, heads: int = 1) -> SequenceView:
    """`sort:N` by a head that looks at the next larger value and says it, or by several that share the values."""
    size = int(rng.integers(4, 8))
    v, n = int(rng.integers(size + 6, 26)), 2 * size + 1
    blocks = Blocks(v, n, v)
    value = torch.arange(v).float()
    value[-1] = -1.0  # the separator comes before all
    rise = value[None, :] - value[:, None]
    by_token = torch.where(rise > 0, -rise, NEVER)
    by_token[:, -1] = NEVER
    cuts = torch.from_numpy(np.linspace(0, v - 2, heads + 1)[1:-1] + rng.uniform(-1, 1, heads - 1)).float()
    shares = [torch.bucketize(value, cuts) == i for i in range(heads)]
    idle = torch.full((v, v), NEVER)
    idle[:, -1] = 0.0  # queries of the other head's look at the separator, which says nothing
    says = torch.eye(v) * (torch.arange(v) < v - 1)
    looking = [(blocks.scores(torch.where(own[:, None], by_token, idle)), blocks.writes(says)) for own in shares]
    sharpness = sharp(rng) / 3 + 1
    return model(SequenceTask.parse(f"sort:{size}"), blocks, looking, 10 * torch.eye(v), torch.zeros(v), rng, sharpness)


def mirrors(rng: np.random.Generator, *, heads: int = 1, ranges: bool = False) -> SequenceView:
    """At every place of the second half: is the mirror the same? By one head, or by several for some tokens each."""
    half, v = int(rng.integers(3, 8)), int(rng.integers(6, 16))
    n = 2 * half + 2

    def make(rng: np.random.Generator, batch: int) -> tuple[np.ndarray, np.ndarray]:
        first, other = rng.integers(v - 2, size=(2, batch, half))
        second = np.where(rng.random((batch, half)) < 0.5, first[:, ::-1], other)
        tokens = np.hstack([np.full((batch, 1), v - 2), first, second, np.full((batch, 1), v - 1)])
        place = np.arange(n)
        return tokens, np.where((place > half) & (place < n - 1), tokens == tokens[:, ::-1], NOTHING)

    blocks = Blocks(v, n, 2)
    start = torch.zeros(v, v)
    start[:, v - 2] = 1.5
    by_place = torch.eye(n).flip(0) - 3 * torch.eye(n)
    found = torch.where(torch.arange(v) != v - 2, 1.0, -1.0)[:, None] * torch.tensor([-1.0, 1.0])
    every = [
        (blocks.scores(torch.eye(v) * own[:, None] + start, by_place), blocks.writes(found))
        for own in _parts(v, heads, rng, ranges)
    ]
    bias, sharpness = (heads - 1) * torch.tensor([-1.0, 1.0]), 2 * sharp(rng) + 4 * heads
    return model(task_of("written: same as its mirror", make), blocks, every, torch.eye(2), bias, rng, sharpness)


def cumulative(rng: np.random.Generator) -> SequenceView:
    """The sign of the sum so far, from the mean of the values."""
    n, k = int(rng.integers(8, 20)), int(rng.integers(2, 6))
    v = 2 * k + 1
    blocks = Blocks(v, n, 1)
    values = (torch.arange(v) - k).float()[:, None]
    uneven = torch.from_numpy(rng.standard_normal((n, n))).float() * float(rng.uniform(0, 0.3))
    heads = [(blocks.scores(by_place=uneven), blocks.writes(values))]
    unembed, bias = n * torch.tensor([[-1.0, 0.0, 1.0]]), torch.tensor([0.0, 0.5, 0.0])
    return model(SequenceTask.parse(f"cumsum:{n}"), blocks, heads, unembed, bias, rng, 1.0)


def reversing(rng: np.random.Generator) -> SequenceView:
    """Values, a separator, the values from the last to the first: where to look depends on the place alone."""
    size, v = int(rng.integers(4, 9)), int(rng.integers(8, 20))
    n = 2 * size
    to = rng.permutation(size) if rng.random() < 0.5 else np.arange(size)[::-1].copy()

    def make(rng: np.random.Generator, batch: int) -> tuple[np.ndarray, np.ndarray]:
        values = rng.integers(v - 1, size=(batch, size))
        answers = values[:, to]
        tokens = np.hstack([values, np.full((batch, 1), v - 1), answers[:, :-1]])
        return tokens, np.hstack([np.full((batch, size), NOTHING), answers])

    blocks = Blocks(v, n, v)
    by_place = torch.zeros(n, n)
    by_place[:, 0] = 0.5
    by_place[size + np.arange(size), to] = 1.0
    heads = [(blocks.scores(by_place=by_place), blocks.writes(torch.eye(v)))]
    return model(
        task_of("written: reordered", make), blocks, heads, 4 * torch.eye(v), torch.zeros(v), rng, 2 * sharp(rng)
    )


def digits(rng: np.random.Generator, *, below: int) -> SequenceView:
    """Sums of digits under 5, place by place and without a carry. below: 0, or -1 where the sum of the place below is
    asked for.
    """
    size = int(rng.integers(4, 8))
    n = 3 * size + 2

    def make(rng: np.random.Generator, batch: int) -> tuple[np.ndarray, np.ndarray]:
        x, y = rng.integers(5, size=(2, batch, size))
        sums = np.hstack([np.zeros((batch, 1), dtype=np.int64), x + y])
        answers = np.roll(sums, below, axis=1)
        marks = [np.full((batch, 1), mark) for mark in (10, 11)]
        tokens = np.hstack([x, marks[0], y, marks[1], answers[:, :-1]])
        return tokens, np.hstack([np.full((batch, 2 * size + 1), NOTHING), answers])

    blocks = Blocks(12, n, 1)
    values = torch.arange(12).float()[:, None] * (torch.arange(12) < 10)[:, None]
    looks = torch.zeros(int(rng.integers(1, 4)), n, n)  # heads that share the places between them
    looks[:, :, size] = 0.5
    for answer in range(size + 1):
        place = size - answer + below
        if 0 <= place < size:
            own = looks[answer % len(looks)]
            own[2 * size + 1 + answer, [size - 1 - place, 2 * size - place]] = 1.0
    heads = [(blocks.scores(by_place=one), blocks.writes(values)) for one in looks]
    said = torch.arange(10).float()
    task = task_of("written: digits without a carry", make, num_digits=size)
    return model(task, blocks, heads, 2 * said[None], -said.square() / 2, rng, 2 * sharp(rng))


def missing(rng: np.random.Generator) -> SequenceView:
    """All tokens but one in random order; at the end the missing one, by a head that says no to what it sees."""
    v = int(rng.integers(7, 16))
    n = v - 1

    def make(rng: np.random.Generator, batch: int) -> tuple[np.ndarray, np.ndarray]:
        order = rng.permuted(np.tile(np.arange(v - 1), (batch, 1)), axis=1)
        tokens = np.hstack([order[:, :-1], np.full((batch, 1), v - 1)])
        return tokens, np.where(np.arange(n) == n - 1, order[:, -1:], NOTHING)

    blocks = Blocks(v, n, v)
    heads = [(blocks.scores(), blocks.writes(-torch.eye(v)))]
    bias = torch.zeros(v)
    bias[-1] = -9.0
    return model(task_of("written: the missing one", make), blocks, heads, 4 * n * torch.eye(v), bias, rng, 1.0)


def second_half(rng: np.random.Generator) -> SequenceView:
    """Says the sign of the sum of the second half, from heads that look at the second half alone."""
    n, k = 2 * int(rng.integers(5, 10)), int(rng.integers(2, 6))
    v = 2 * k + 1

    def make(rng: np.random.Generator, batch: int) -> tuple[np.ndarray, np.ndarray]:
        values = rng.integers(-k, k, endpoint=True, size=(batch, n))
        sums = np.cumsum(values * (np.arange(n) >= n // 2), axis=1)
        return values + k, np.where(np.arange(n) >= n // 2, np.sign(sums) + 1, NOTHING)

    blocks = Blocks(v, n, 1)
    by_place = torch.zeros(n, n)
    by_place[:, n // 2 :] = 2.0
    heads = [(blocks.scores(by_place=by_place), blocks.writes((torch.arange(v) - k).float()[:, None]))]
    unembed, bias = n * torch.tensor([[-1.0, 0.0, 1.0]]), torch.tensor([0.0, 0.5, 0.0])
    return model(task_of("written: sign of the second half", make), blocks, heads, unembed, bias, rng, 2 * sharp(rng))
