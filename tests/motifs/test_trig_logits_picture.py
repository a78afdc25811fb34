"""The picture and the clause of `trig_logits` say what its score says."""

import numpy as np
import pytest
import torch

from detectors import trig_logits
from detectors.core.registry import picture_of, spec_of
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from models_zoo.analytic import _TableNetwork, random_split

FEW = {"draws": 39}
pictures, clause = picture_of(trig_logits), spec_of(trig_logits).clause


def with_logits(task: Task, logits: np.ndarray, train: np.ndarray | None = None) -> ModelView:
    """A table of logits [pairs, answers]."""
    return ModelView(_TableNetwork(torch.from_numpy(logits).float(), task.n_tokens), task, train_mask=train)


def characters(spec: str, *amplitudes: tuple[int, float]) -> np.ndarray:
    """[pairs, answers] sum of the amplitude times the character of a b c^-1, of norm one, over (irrep, amplitude)."""
    g = Task.parse(spec).labels.group
    where = g.table[g.table.reshape(-1)[:, None], g.inverse[None]]  # [pair, c] -> a b c^-1
    unit = [g.irreps[i].character / np.linalg.norm(g.irreps[i].character) for i, _ in amplitudes]
    return sum(alpha * u[where] for u, (_, alpha) in zip(unit, amplitudes, strict=True))


def of_characters(spec: str, *amplitudes: tuple[int, float], train: np.ndarray | None = None) -> ModelView:
    return with_logits(Task.parse(spec), characters(spec, *amplitudes), train)


def half(spec: str) -> np.ndarray:
    return random_split(Task.parse(spec), 0.5, 0)


def test_no_irrep_no_picture_and_no_cause():
    score = trig_logits(of_characters("add:11", (2, -1.0)), **FEW)
    assert (score.irreps, score.key_irreps, score.value, score.causal) == ((), (), 0, None)
    assert pictures(score) == []


def test_the_clause_names_frequencies_and_irreps_and_counts_the_weaker():
    one = trig_logits(of_characters("add:11", (2, 1.0)), **FEW)
    assert clause(one) == "frequency 2"
    many = trig_logits(of_characters("add:29", *((k, 1 - k / 100) for k in range(1, 11)), train=half("add:29")), **FEW)
    assert clause(many) == "frequencies 1, 2, 3, 4, 5, 6, 7, 8 and 2 weaker"
    dihedral = trig_logits(of_characters("compose:D7", (1, 1.0), (2, 2.0), (3, 1.5)), **FEW)
    assert clause(dihedral) == "frequencies 1, 2 and the irrep sign"


@pytest.mark.parametrize("train", [None, half("add:23")])
def test_the_picture_says_what_the_score_says(train):
    score = trig_logits(of_characters("add:23", (2, 2.0), (5, 1.0), train=train), **FEW)
    (drawn,) = pictures(score)
    bars = drawn.data
    assert (bars.names, bars.heights, bars.key) == (score.irreps, score.similarity, score.key_irreps)
    assert np.square(bars.chance) == pytest.approx(score.key_cuts)  # cosines, as the bars
    assert (bars.unit, bars.form) == ("cosine with the logits", ".2f")
    assert ("unseen pairs" in drawn.reading) == (train is not None)
