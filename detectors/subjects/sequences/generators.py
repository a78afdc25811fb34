"""Sequences drawn at random, task by task, in the layouts of those who published models of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from detectors.core.errors import TaskError

NOTHING = -100  # the target where nothing is asked, torch's `ignore_index`


class Sequences(NamedTuple):
    """tokens: what the model reads. targets: the right answer of its logits at that place, -100 where none is asked."""

    tokens: Int[Tensor, "batch pos"]
    targets: Int[Tensor, "batch pos"]


class Generator(NamedTuple):
    """make(rng, batch, d_vocab, n_ctx, size) gives tokens and targets. argument: what stands behind the colon; fixed:
    the name of that number in a model's NAME.json.
    """

    make: Callable[..., tuple[np.ndarray, np.ndarray]]
    argument: str = ""
    fixed: str = ""


def draws(kind: str, argument: str) -> tuple[Callable[..., Sequences], Mapping[str, Any]]:
    """What draws, and the parameters that the spec fixes. Errors: TaskError for an argument that is none."""
    made = GENERATORS[kind]
    if bool(argument) != bool(made.argument):
        wanted = f"{kind}:{made.argument}, a number" if made.argument else kind
        raise TaskError(f"{kind}{':' if argument else ''}{argument}: write {wanted}")
    if argument and not (argument.isdecimal() and len(argument) < 10 and 1 <= int(argument) <= 512):
        raise TaskError(f"{kind}:{argument}: {made.argument} is a number from 1 to 512")
    size = (int(argument),) if argument else ()

    def draw(rng: np.random.Generator, batch: int, d_vocab: int, n_ctx: int) -> Sequences:
        tokens, targets = made.make(rng, batch, d_vocab, n_ctx, *size)
        if tokens.shape[1] > n_ctx:
            raise TaskError(f"{kind}:{argument} asks for {tokens.shape[1]} positions, and the model reads {n_ctx}")
        return Sequences(*(torch.from_numpy(np.ascontiguousarray(x, dtype=np.int64)) for x in (tokens, targets)))

    return draw, {made.fixed: int(argument)} if argument else {}


def _next(whole: np.ndarray, settled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every next token is asked for where what stands before settles it."""
    return whole[:, :-1], np.where(settled[:, 1:], whole[:, 1:], NOTHING)


def _asks(task: str, fits: bool, wanted: str, d_vocab: int, n_ctx: int) -> None:
    if not fits:
        raise TaskError(f"the task {task} asks for {wanted}, not {n_ctx} positions and {d_vocab} tokens")


def _repeat(rng: np.random.Generator, batch: int, d_vocab: int, n_ctx: int) -> tuple[np.ndarray, np.ndarray]:
    """BOS = 0, then a run of random tokens, over and over until the context is full.

    The run's length differs between sequences (a quarter to half of the context), so that no fixed offset predicts
    the next token. Tokens of a run differ from each other where the vocabulary is large enough.
    """
    _asks("repeat", n_ctx >= 9 and d_vocab >= 4, "9 positions and 4 tokens or more", d_vocab, n_ctx)
    lengths = rng.integers(n_ctx // 4, (n_ctx - 1) // 2, endpoint=True, size=batch)
    tokens = np.zeros((batch, n_ctx), dtype=np.int64)
    for row, length in zip(tokens, lengths, strict=True):
        run = 1 + rng.choice(d_vocab - 1, size=length, replace=length > d_vocab - 1)
        row[1:] = np.resize(run, n_ctx - 1)
    return _next(tokens, np.arange(n_ctx) > lengths[:, None] + 1)


def _skip_trigrams(rng: np.random.Generator, batch: int, d_vocab: int, n_ctx: int) -> tuple[np.ndarray, np.ndarray]:
    """Four keys, one of each class, in any order; one of four queries; then what query j and the key of class j make.

    The last four tokens of the vocabulary are the queries; the class of a key is its number mod 4, and the answer is
    the key four further on. "A ... B, C": A the key, B the query, and nothing in between counts.
    """
    fits = d_vocab >= 8 and d_vocab % 4 == 0 and n_ctx >= 5
    _asks("skip_trigrams", fits, "5 positions or more and 4k tokens", d_vocab, n_ctx)
    keys = d_vocab - 4
    chosen = 4 * rng.integers(keys // 4, size=(batch, 4)) + np.arange(4)
    query = rng.integers(4, size=batch)
    answer = (chosen[np.arange(batch), query] + 4) % keys
    tokens = np.column_stack([rng.permuted(chosen, axis=1), keys + query, answer])
    return _next(tokens, np.broadcast_to(np.arange(6) == 5, tokens.shape))


def _written(number: np.ndarray, size: int) -> np.ndarray:
    """Most significant digit first."""
    return number[:, None] // 10 ** np.arange(size)[::-1] % 10


def _digits(rng: np.random.Generator, batch: int, d_vocab: int, n_ctx: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """x, 10, y, 11, x + y; most significant digit first, as the code of arXiv:2301.05217 writes them."""
    fits = d_vocab == 12 and n_ctx >= 3 * size + 2 and size <= 12
    _asks(f"digits:{size}", fits, f"{3 * size + 2} positions or more and 12 tokens", d_vocab, n_ctx)
    return _sums(rng.integers(10**size, size=(2, batch)), size, size + 1)


def _sum(rng: np.random.Generator, batch: int, d_vocab: int, n_ctx: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The same with sums of as many digits: first digits are under 5 (the problem of ARENA, September 2023)."""
    fits = d_vocab == 12 and n_ctx >= 3 * size + 1 and size <= 12
    _asks(f"sum:{size}", fits, f"{3 * size + 1} positions or more and 12 tokens", d_vocab, n_ctx)
    return _sums(rng.integers(5 * 10 ** (size - 1), size=(2, batch)), size, size)


def _sums(numbers: np.ndarray, size: int, answers: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = numbers
    plus, equals = np.full((len(x), 1), 10), np.full((len(x), 1), 11)
    whole = np.hstack([_written(x, size), plus, _written(y, size), equals, _written(x + y, answers)])
    return _next(whole, np.broadcast_to(np.arange(whole.shape[1]) > 2 * size + 1, whole.shape))


def _sort(rng: np.random.Generator, batch: int, d_vocab: int, n_ctx: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A list of different values, the last token of the vocabulary, the list in order."""
    fits = n_ctx >= 2 * size and d_vocab > size
    _asks(f"sort:{size}", fits, f"{2 * size} positions and {size + 1} tokens or more", d_vocab, n_ctx)
    values = rng.permuted(np.tile(np.arange(d_vocab - 1), (batch, 1)), axis=1)[:, :size]
    whole = np.hstack([values, np.full((batch, 1), d_vocab - 1), np.sort(values, axis=1)])
    return _next(whole, np.broadcast_to(np.arange(2 * size + 1) > size, whole.shape))


def _sort_behind(
    rng: np.random.Generator, batch: int, d_vocab: int, n_ctx: int, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same behind a first token: the last but one of the vocabulary."""
    tokens, targets = _sort(rng, batch, d_vocab - 1, n_ctx - 1, size)
    tokens = np.where(tokens == d_vocab - 2, d_vocab - 1, tokens)
    start = np.full((batch, 1), d_vocab - 2)
    return np.hstack([start, tokens]), np.hstack([np.full_like(start, NOTHING), targets])


def _palindrome(
    rng: np.random.Generator, batch: int, d_vocab: int, n_ctx: int, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """START, values, END, which are the last two tokens; at END, 1 for a palindrome, else 0. Half of them are; in the
    others a value of the second half is drawn anew with probability 1/2 (the problem of ARENA, July 2023).
    """
    _asks(f"palindrome:{size}", n_ctx >= 2 * size + 2 and d_vocab >= 4, f"{2 * size + 2} positions", d_vocab, n_ctx)
    first = rng.integers(d_vocab - 2, size=(batch, size))
    second = first[:, ::-1].copy()
    anew = (rng.random(second.shape) < 0.5) & (np.arange(batch) % 2 == 1)[:, None]
    second[anew] = rng.integers(d_vocab - 2, size=int(anew.sum()))
    ends = [np.full((batch, 1), d_vocab - 2), np.full((batch, 1), d_vocab - 1)]
    tokens = np.hstack([ends[0], first, second, ends[1]])
    targets = np.full(tokens.shape, NOTHING)
    targets[:, -1] = (first == second[:, ::-1]).all(1)
    return tokens, targets


def _brackets(
    rng: np.random.Generator, batch: int, d_vocab: int, n_ctx: int, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """START = 0, up to so many of `(` = 3 and `)` = 4, END = 2, padding = 1; at START, 1 where they balance."""
    _asks(f"brackets:{size}", n_ctx >= size + 2 and d_vocab == 5, f"{size + 2} positions and 5 tokens", d_vocab, n_ctx)
    tokens = np.ones((batch, size + 2), dtype=np.int64)
    targets = np.full(tokens.shape, NOTHING)
    for i in range(batch):
        pairs = int(rng.integers(1, size // 2 + 1))
        steps = _balanced(rng, pairs) if i % 2 else rng.permuted(np.repeat([1, -1], pairs))
        if i % 4 == 2:  # another number of each, as a wrong string may have
            steps = rng.choice([1, -1], 2 * pairs)
        height = np.cumsum(steps)
        tokens[i, : 2 * pairs + 2] = [0, *np.where(steps > 0, 3, 4), 2]
        targets[i, 0] = height[-1] == 0 and height.min() >= 0
    return tokens, targets


def _balanced(rng: np.random.Generator, pairs: int) -> np.ndarray:
    """A balanced string: of a shuffled one, read from where it is lowest (the cycle lemma)."""
    steps = rng.permuted(np.repeat([1, -1], pairs))
    return np.roll(steps, -1 - int(np.cumsum(steps).argmin()))


def _cumulative(
    rng: np.random.Generator, batch: int, d_vocab: int, n_ctx: int, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Values -k to k, token k standing for 0; at each place the sign of the sum so far: 0, 1 for none, 2 for plus (the
    problem of ARENA, November 2023).
    """
    _asks(f"cumsum:{size}", n_ctx >= size and d_vocab % 2 == 1, f"{size} positions and an odd number", d_vocab, n_ctx)
    middle = d_vocab // 2
    values = rng.integers(-middle, middle, endpoint=True, size=(batch, size))
    return values + middle, np.sign(values.cumsum(1)) + 1


def _first_unique(
    rng: np.random.Generator, batch: int, d_vocab: int, n_ctx: int, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """START, the last token, then random ones; at each the first that occurs once so far, START where none does."""
    _asks(f"first_unique:{size}", n_ctx >= size and d_vocab >= 3, f"{size} positions", d_vocab, n_ctx)
    tokens = np.hstack([np.full((batch, 1), d_vocab - 1), rng.integers(d_vocab - 1, size=(batch, size - 1))])
    targets = np.full(tokens.shape, NOTHING)
    for end in range(1, size):
        counts = (tokens[:, 1 : end + 1, None] == tokens[:, None, 1 : end + 1]).sum(-1)
        first = (counts == 1).argmax(1)
        targets[:, end] = np.where((counts == 1).any(1), tokens[np.arange(batch), first + 1], d_vocab - 1)
    return tokens, targets


GENERATORS: Mapping[str, Generator] = {
    "repeat": Generator(_repeat),
    "skip_trigrams": Generator(_skip_trigrams),
    "digits": Generator(_digits, "N", "num_digits"),
    "sum": Generator(_sum, "N", "num_digits"),
    "sort": Generator(_sort, "LENGTH", "list_len"),
    "sort_with_start": Generator(_sort_behind, "LENGTH", "list_len"),
    "palindrome": Generator(_palindrome, "HALF", "half_length"),
    "brackets": Generator(_brackets, "LENGTH", "max_length"),
    "cumsum": Generator(_cumulative, "LENGTH", "seq_len"),
    "first_unique": Generator(_first_unique, "LENGTH", "seq_len"),
}
