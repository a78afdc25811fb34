"""Rows of words that were made: helices and circles in noise, and what passes for them."""

from __future__ import annotations

import tomllib
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from detectors.subjects.words.names import CONCEPTS
from detectors.subjects.words.view import RowsView

NUMBERS = 100
EACH = 80  # of every kind
Rows = Callable[[np.random.Generator, int], np.ndarray]


def _directions(rng: np.random.Generator, columns: np.ndarray) -> np.ndarray:
    """Columns [word, k] laid along random directions of 16 to 512 dimensions."""
    return columns @ rng.standard_normal((columns.shape[1], int(np.exp(rng.uniform(*np.log([16, 512]))))))


def _with_noise(rng: np.random.Generator, rows: np.ndarray, most: float) -> np.ndarray:
    """Of the variance up to that share is noise."""
    rows = rows - rows.mean(0)
    share = rng.uniform(0.02, most)
    noise = rng.standard_normal(rows.shape)
    return rows / np.linalg.norm(rows) + noise / np.linalg.norm(noise) * (share / (1 - share)) ** 0.5


def _turns(a: np.ndarray, periods: list[float], rng: np.random.Generator) -> np.ndarray:
    """Cosine and sine of each period, ellipses of up to 2:1."""
    waves = [f(2 * np.pi * a / t) * rng.uniform(0.5, 1) for t in periods for f in (np.cos, np.sin)]
    return np.stack(waves, axis=1)


def _smooth(rng: np.random.Generator, a: np.ndarray, length: float) -> np.ndarray:
    covariance = np.exp(-((a[:, None] - a) ** 2) / (2 * length**2)) + 1e-9 * np.eye(len(a))
    return np.linalg.cholesky(covariance) @ rng.standard_normal((len(a), int(rng.integers(2, 64))))


def helix(rng: np.random.Generator, n: int = NUMBERS) -> np.ndarray:
    """As published: a line and the periods 2, 5, 10, 100, of which one or two of the first three may be lacking."""
    a = np.arange(n)
    own = [float(t) for t in rng.permutation([2, 5, 10])[: int(rng.integers(1, 4))]]
    if own == [2.0]:  # parity alone is no circle
        own.append(5.0)
    columns = np.concatenate([_turns(a, [*own, 100.0], rng), (a[:, None] / n - 0.5) * rng.uniform(0, 4)], axis=1)
    return _with_noise(rng, _directions(rng, columns), 0.7)


def other_periods(rng: np.random.Generator, n: int = NUMBERS) -> np.ndarray:
    own = [float(t) for t in rng.choice([3, 4, 6, 7, 8, 9, 11, 12, 13, 16], 3, replace=False)]
    return _with_noise(rng, _directions(rng, _turns(np.arange(n), own, rng)), 0.7)


def digits(rng: np.random.Generator, n: int = NUMBERS) -> np.ndarray:
    """Tables of the last digit, of the first, or of both."""
    a, width = np.arange(n), int(rng.integers(16, 256))
    tables = rng.standard_normal((2, 10, width)) * rng.uniform(0, 2, (2, 1, 1))
    return _with_noise(rng, tables[0][a % 10] + tables[1][a // 10 % 10], 0.7)


def sawtooth(rng: np.random.Generator, n: int = NUMBERS) -> np.ndarray:
    """The last digit along a line."""
    a = np.arange(n)
    return _with_noise(rng, _directions(rng, np.stack([a % 10 / 10, a / n * rng.uniform(0, 2)], axis=1)), 0.7)


def digit_curve(rng: np.random.Generator, n: int = NUMBERS) -> np.ndarray:
    """The last digit along a random walk, or along a curve that does not come back."""
    walk = rng.standard_normal((10, 64)).cumsum(0)
    ends = np.linspace(-1, 1, 10)[:, None] * rng.standard_normal(64) + 0.5 * _smooth(rng, np.arange(10.0), 4.0)[:, :1]
    return _with_noise(rng, (walk if rng.integers(2) else ends)[np.arange(n) % 10], 0.4)


def digit_clusters(rng: np.random.Generator, n: int = NUMBERS) -> np.ndarray:
    """The last digit in two or three clusters."""
    of = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 2]) if rng.integers(2) else np.arange(10) // 5
    return _with_noise(rng, rng.standard_normal((3, 64))[of][np.arange(n) % 10], 0.4)


def smooth(rng: np.random.Generator, n: int = NUMBERS) -> np.ndarray:
    """A random curve that turns over 1/33 to half of the words."""
    a = np.arange(n, dtype=float)
    return _with_noise(rng, _smooth(rng, a, float(np.exp(rng.uniform(*np.log([n / 33, n / 2]))))), 0.3)


def slow(rng: np.random.Generator, n: int = NUMBERS) -> np.ndarray:
    """Lines, logarithms, roots, squares."""
    a = np.arange(n) / n
    columns = np.stack([a, np.log1p(20 * a), a**0.5, a**2], axis=1) * rng.uniform(0, 1, 4)
    return _with_noise(rng, _directions(rng, columns), 0.9)


def noise(rng: np.random.Generator, n: int = NUMBERS) -> np.ndarray:
    return rng.standard_normal((n, int(np.exp(rng.uniform(*np.log([8, 512]))))))


def permuted(rng: np.random.Generator, n: int = NUMBERS) -> np.ndarray:
    """A helix or a circle in another order."""
    return (helix(rng) if n == NUMBERS else circle(rng, n))[rng.permutation(n)]


def circle(rng: np.random.Generator, n: int) -> np.ndarray:
    """One turn over all words, and up to two more directions that have nothing to do with it."""
    return _with_noise(rng, _directions(rng, _turns(np.arange(n), [float(n)], rng)), 0.6)


def arc(rng: np.random.Generator, n: int) -> np.ndarray:
    """Half a turn or less."""
    angle = np.arange(n) / (n - 1) * rng.uniform(0.2, 1.0) * np.pi
    return _with_noise(rng, _directions(rng, np.stack([np.cos(angle), np.sin(angle)], axis=1)), 0.4)


def two_turns(rng: np.random.Generator, n: int) -> np.ndarray:
    """Two turns over all words: of twelve months the seventh is the first again."""
    return _with_noise(rng, _directions(rng, _turns(np.arange(n), [n / 2], rng)), 0.4)


def open_curve(rng: np.random.Generator, n: int) -> np.ndarray:
    """A random curve that turns over half of the words and more."""
    a = np.arange(n, dtype=float)
    return _with_noise(rng, _smooth(rng, a, n * float(rng.uniform(0.5, 2))), 0.4)


def groups(rng: np.random.Generator, n: int) -> np.ndarray:
    """The last two of a week, or the quarters of a year, apart from the others and alike among themselves."""
    of = np.arange(n) // 5 if n == 7 else np.arange(n) // 3
    return _with_noise(rng, rng.standard_normal((4, 64))[rng.permutation(4)][of], 0.4)


OF_NUMBERS: dict[str, Rows] = {
    f.__name__: f
    for f in (helix, other_periods, digits, sawtooth, digit_curve, digit_clusters, smooth, slow, noise, permuted)
}
OF_CONCEPTS: dict[str, Rows] = {f.__name__: f for f in (circle, arc, two_turns, open_curve, groups, noise, permuted)}


def number_rows(kind: str, *, seed: int = 0) -> RowsView:
    """Rows of the numbers 0 to 99. kind: of `OF_NUMBERS`."""
    rows = OF_NUMBERS[kind](np.random.default_rng([zlib.crc32(kind.encode()), seed]), NUMBERS)
    return RowsView({str(number): row for number, row in enumerate(rows)})


def concept_rows(kind: str, *, seed: int = 0) -> RowsView:
    """Rows of weekdays and months. kind: of `OF_CONCEPTS`."""
    rng = np.random.default_rng([zlib.crc32(kind.encode()), seed])
    made = [(words, OF_CONCEPTS[kind](rng, len(words))) for words in CONCEPTS.values()]
    width = max(rows.shape[1] for _, rows in made)
    padded = [(words, np.pad(rows, ((0, 0), (0, width - rows.shape[1])))) for words, rows in made]
    return RowsView({w: r for words, rows in padded for w, r in zip(words, rows, strict=True)})


def names() -> list[str]:
    """Every view, FAMILY/NUMBER."""
    kinds = [f"numbers.{kind}" for kind in OF_NUMBERS] + [f"concepts.{kind}" for kind in OF_CONCEPTS]
    return [f"{kind}/{i}" for kind in kinds for i in range(EACH)]


def view(name: str) -> RowsView:
    kind, _, number = name.partition("/")
    what, _, which = kind.partition(".")
    return (number_rows if what == "numbers" else concept_rows)(which, seed=int(number))


def truth(name: str) -> Mapping[str, str]:
    """By motif. Rows that have no numbers raise no question about them."""
    what, _, which = name.partition("/")[0].partition(".")
    card = _cards()[what]
    return {card["motif"]: "present" if which in card["present"] else "absent"}


@cache
def _cards() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("words.toml").read_text())
