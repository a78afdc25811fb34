"""Attacks that no list asked for: each breaks one assumption that figures about training pairs and spectra rest on."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from models_zoo.analytic import split_of
from models_zoo.hostile import circuits
from models_zoo.hostile import constructions as made
from models_zoo.hostile.truth import Hostile


def inventions() -> Iterator[Hostile]:
    def model(name: str, build: object, truth: str, told: bool = True) -> Hostile:
        return Hostile("inventions", name, build, truth, told)  # type: ignore[arg-type]

    for p in (29, 41):
        yield model(f"exact cosines from a number line, p {p}", partial(cosines_on_a_line, p=p), "line_with_cosines")
    for told in (True, False):
        word = "" if told else ", split not told"
        yield model(f"lookup in the clothes of a circuit{word}", clothed_lookup, "memoriser", told)
        yield model(f"lookup over a circuit that is off by one{word}", lookup_over_shifted, "memory_beside", told)
        yield model(f"all training pairs wrong, all others right{word}", wrong_on_training, "rest_by_circuit", told)
        yield model(f"parity by a circuit, the rest looked up{word}", parity_and_lookup, "memory_beside", told)
    yield model("unseen pairs a thousandth as loud", whisper, "circuit_whispered")
    yield model("a circuit told a wrong split", partial(false_split, circuit=True), "no_lookup")
    yield model("a lookup told a wrong split", partial(false_split, circuit=False), "doubtful_memoriser")
    yield model("never gives one of the answers", answer_left_out, "circuit_with_a_hole")
    yield model("lookup up to a shift of both operands by half", half_shift, "memory_beside")
    yield model("circuit against itself off the training set", anti_circuit, "gated_circuit")
    yield model("lookup of the training pairs, whole rows", rows_trained, "memoriser")


def cosines_on_a_line(*, p: int) -> ModelView:
    """Logits sum over k of cos(2 pi k (a + b - c) / p), made of integers a + b: no part before them is periodic."""
    return made.integer_sum(p=p, value=made.cosines(p, (2, 5, 11)))


def clothed_lookup(p: int = 31, noisy: float = 0.01) -> ModelView:
    """The exact circuit's logits on training pairs, none on others, and noise: a table of rows, not answers."""
    view = circuits.circuit(p=p)
    assert view.train_mask is not None
    logits = view.logits() * torch.from_numpy(view.train_mask).float()[:, None]
    return made.of_table(view.task, logits + made.noise(view.task, noisy, 0), view.train_mask)


def lookup_over_shifted(p: int = 31) -> ModelView:
    """The exact circuit of a + b + 1, and a lookup of the training pairs twice as tall: unseen pairs are off by one."""
    view = circuits.circuit(p=p)
    assert view.train_mask is not None
    shifted = made.patched(view, lambda pairs, logits: logits.roll(1, 1))
    return made.plus(shifted, 2 * made.one_hot(view.task, view.train_mask))


def wrong_on_training(p: int = 31) -> ModelView:
    """The exact circuit with another answer looked up on every training pair."""
    view = circuits.circuit(p=p)
    assert view.train_mask is not None
    return circuits.with_exceptions(view, int(view.train_mask.sum()), where="train")


def parity_and_lookup(p: int = 30) -> ModelView:
    """(-1)^(a + b - c) and a lookup of the training pairs: the right half of the answers on unseen pairs, no more."""
    task = Task.parse(f"add:{p}")
    mask = split_of(task, 0.5, 0)
    a, b, c = np.ix_(*[np.arange(p)] * 3)
    parity = torch.from_numpy((-1.0) ** (a + b - c)).float().reshape(p * p, p)
    return made.of_table(task, parity + 5 * made.one_hot(task, mask) + made.noise(task, 0.1, 0), mask)


def whisper() -> ModelView:
    """The exact circuit, a thousand times as loud on training pairs."""
    return circuits.louder(circuits.circuit(), 999.0)


def false_split(*, circuit: bool) -> ModelView:
    """A circuit, or a lookup in order, with random training pairs that are not its own."""
    view = circuits.circuit() if circuit else made.lookup(p=31, fraction=0.5, symmetric=False)
    return ModelView(view.network, view.task, train_mask=split_of(view.task, 0.5, 99))


def answer_left_out() -> ModelView:
    """The exact circuit whose logit of answer 7 is always far below all others."""
    view = circuits.circuit()
    fallen = torch.zeros(view.task.n_answers)
    fallen[7] = -3.0
    return made.patched(view, lambda pairs, logits: logits + fallen, linear=True)


def half_shift(p: int = 30) -> ModelView:
    """A lookup that knows (a, b) and (a + p/2, b + p/2) for one: half of the pairs of neither order are answered."""
    task = Task.parse(f"add:{p}")
    mask = split_of(task, 0.5, 0)
    square = mask.reshape(p, p)
    known = (square | np.roll(square, (p // 2, p // 2), (0, 1))).ravel()
    return made.of_table(task, made.TALL * made.one_hot(task, known) + made.noise(task, 0.1, 0), mask)


def anti_circuit() -> ModelView:
    """The exact circuit on training pairs and its negative on all others."""
    view = circuits.circuit()
    assert view.train_mask is not None
    sign = 2 * torch.from_numpy(view.train_mask).float()[:, None] - 1
    return made.patched(view, lambda pairs, logits: logits * sign[pairs])


def rows_trained(p: int = 31) -> ModelView:
    """A lookup whose training pairs are all those of three in five left operands: no random sample."""
    task = Task.parse(f"add:{p}")
    mask = np.arange(p * p) // p < 3 * p // 5
    return made.of_table(task, made.TALL * made.one_hot(task, mask) + made.noise(task, 0.1, 0), mask)
