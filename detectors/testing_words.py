"""The conformance kit for motifs of rows of words; `detectors.testing.detector_checks` picks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from detectors.core.turns import random_frame
from detectors.subjects.words.view import RowsView

MODELS = ("zoo:words/numbers.helix/60", "zoo:words/numbers.smooth/0", "zoo:words/concepts.circle/1")
SAME = 1e-6  # rows are float64
LOUD = 30.0  # noise in standard deviations of the rows


def _changed(model: RowsView, change: Callable[[Sequence[int], Tensor], Tensor]) -> RowsView:
    """change: of the rows of tokens, at every place."""

    def rows(tokens: Sequence[int]) -> Mapping[str, Tensor]:
        return {place: change(tokens, found) for place, found in model.rows(tokens).items()}

    return RowsView.reading(model.tokens_of, rows, model.size_of, model.checkpoint)


def _noise(tokens: Sequence[int], rows: Tensor, seed: int) -> Tensor:
    """One row a token, whatever else is asked for."""
    return torch.stack(
        [torch.from_numpy(np.random.default_rng([seed, t]).standard_normal(rows.shape[1])) for t in tokens]
    )


def _exchanged(model: RowsView, order: Sequence[int]) -> RowsView:
    def rows(tokens: Sequence[int]) -> Mapping[str, Tensor]:
        return model.rows([order[token] for token in tokens])

    return RowsView.reading(model.tokens_of, rows, model.size_of, model.checkpoint)


def input_untouched(bench: Any) -> None:
    """Scoring changes no row."""
    given: list[tuple[Tensor, Tensor]] = []

    def kept(tokens: Sequence[int], rows: Tensor) -> Tensor:
        given.append((rows, rows.clone()))
        return rows

    bench.score(_changed(bench.example, kept))
    assert given, "the detector read no rows"
    assert all(torch.equal(now, before) for now, before in given), "the detector wrote to the rows"


def other_words_are_chance(bench: Any) -> None:
    """With the rows of the words exchanged the motif is gone: low values, and p-values that are not all small."""
    scores = []
    for seed in range(8):
        order = np.random.default_rng(seed).permutation(bench.example.size_of[0])
        scores.append(bench.score(_exchanged(bench.example, order.tolist())))
    values = [score.value for score in scores]
    assert float(np.mean(values)) < bench.best.value / 2, f"values of exchanged words: {values}"
    p_values = [s.null.p_value for s in scores if s.null is not None]
    assert not p_values or float(np.mean(p_values)) > 0.1, f"p-values of exchanged words: {p_values}"


def noise_drowns(bench: Any) -> None:
    """Under noise louder than the rows the value falls to half or less, or its p-value says that it is chance."""

    def loud(tokens: Sequence[int], rows: Tensor) -> Tensor:
        return rows + LOUD * rows.std() * _noise(tokens, rows, 2)

    score = bench.score(_changed(bench.example, loud))
    chance = score.null is not None and score.null.p_value > 0.05
    assert score.value <= bench.best.value / 2 or chance, f"{bench.best.value} became {score.value} under noise"


def invariant(bench: Any, name: str) -> None:
    """The value does not depend on a choice of coordinates that the detector declares to be free."""
    assert name in COORDINATES, f"declares invariance to {name!r}; the kit for words knows {', '.join(COORDINATES)}"
    changed = bench.score(_changed(bench.example, COORDINATES[name])).value
    assert abs(changed - bench.best.value) <= SAME, f"{bench.best.value} became {changed}"


def _turned(tokens: Sequence[int], rows: Tensor) -> Tensor:
    return rows @ random_frame(np.random.default_rng(4), rows.shape[1], rows.shape[1])


COORDINATES = {"residual_rotation": _turned}
EVERY: tuple[Callable[[Any], None], ...] = (input_untouched, other_words_are_chance, noise_drowns)
