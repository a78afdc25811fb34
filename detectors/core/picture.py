"""What a motif's picture may be: plain data, which the report draws. Nothing here knows of colours, pages or plotly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, kw_only=True, slots=True)
class Bars:
    """A bar an irrep (or whatever `names` are: `of`), with the reach of chance behind, or what `band` says.

    names, heights, chance: parallel, strongest first; `freq_3` stands at 3 on an axis of frequencies. key: the names
    that stand out. unit: of the heights; form: how they are written, `.0%`.
    """

    names: Sequence[str]
    heights: Sequence[float]
    chance: Sequence[float]
    key: Sequence[str]
    unit: str
    form: str
    of: str = "irrep"
    band: str = "reach of chance (1 draw in 100)"

    def __post_init__(self) -> None:
        _parallel(self.names, self.heights, self.chance)
        _finite(self.heights, self.chance)


@dataclass(frozen=True, kw_only=True, slots=True)
class Strip:
    """Dots over the names that they belong to. names, heights, numbers: parallel. line: a height to mark."""

    names: Sequence[str]
    heights: Sequence[float]
    numbers: Sequence[int]
    of: str
    unit: str
    line: float

    def __post_init__(self) -> None:
        _parallel(self.names, self.heights, self.numbers)
        _finite(self.heights, [self.line])


@dataclass(frozen=True, kw_only=True, slots=True)
class HeatMap:
    """Values over two axes, in colours from -bound to bound."""

    values: Float[np.ndarray, "rows columns"]
    bound: float
    rows: str
    columns: str

    def __post_init__(self) -> None:
        if np.ndim(self.values) != 2 or not np.size(self.values):
            raise ValueError(f"a heat map has rows and columns, not the shape {np.shape(self.values)}")
        _finite(*self.values, [self.bound])


@dataclass(frozen=True, kw_only=True, slots=True)
class Shares:
    """Horizontal bars from 0 to 100%, the first on top; None has no bar and says so. weak: controls, in grey."""

    names: Sequence[str]
    shares: Sequence[float | None]
    weak: Sequence[str] = ()

    def __post_init__(self) -> None:
        _parallel(self.names, self.shares)
        _finite([share for share in self.shares if share is not None])


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """title: what it shows. reading: a sentence on how to read it. half: two of its kind may stand side by side."""

    title: str
    reading: str
    data: Bars | Strip | HeatMap | Shares
    half: bool = False


def _parallel(*columns: Sequence[object]) -> None:
    if len({len(column) for column in columns}) > 1:
        raise ValueError(f"a picture's columns are equally long, not {', '.join(str(len(c)) for c in columns)}")


def _finite(*columns: Any) -> None:
    """NaN and infinity are no JSON: one of them in a page and a browser shows none of its pictures."""
    if not all(np.isfinite(np.asarray(column, dtype=float)).all() for column in columns):
        raise ValueError("a picture's numbers are finite")
