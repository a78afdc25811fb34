"""Exact trigonometric circuits with something beside them, or asked something else; and circuits that answer nothing.

Conventions as in `constructions`: pairs numbered a * n + b, every view with its true training mask.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from detectors.core.groups import Group
from detectors.loading.layouts.two_embedding_mlp import TwoEmbeddingMLP
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from models_zoo.analytic import _BilinearNetwork, group_network, split_of, trig_mlp
from models_zoo.hostile.constructions import TALL, and_parts, mlp, noise, one_hot, patched, plus, up_to_order


def circuit(*, p: int = 31, frequencies: Sequence[int] = (2, 5, 11), fraction: float = 0.5, seed: int = 0) -> ModelView:
    """The exact circuit, its largest logit made 1."""
    view = trig_mlp(p=p, frequencies=frequencies, train_fraction=fraction, seed=seed)
    return scaled(view, 1 / float(view.logits().abs().max()))


def cosines(*, p: int = 31, frequencies: Sequence[int] = (2, 5, 11), seed: int = 0) -> ModelView:
    """Logits sum over k of cos(2 pi k (a + b - c) / p) and nothing else, the largest made 1, by bilinear neurons: no
    harmonics, so that what is left without them is rounding.
    """
    view = group_network(Group.from_name(f"C{p}"), frequencies, train_fraction=0.5, seed=seed)
    weights = view.network.weights
    readout = weights["U"] / float(view.logits().max())
    network = _BilinearNetwork(weights["E"], weights["H"], readout)
    return ModelView(network, view.task, train_mask=view.train_mask)


def scaled(view: ModelView, factor: float) -> ModelView:
    weights = {k: v * factor if k == "W_U" else v for k, v in view.network.weights.items()}
    return ModelView(TwoEmbeddingMLP(weights), view.task, train_mask=view.train_mask)


def with_exceptions(view: ModelView, count: int, *, where: str, tall: float = 2.0, seed: int = 0) -> ModelView:
    """Another answer looked up on a few pairs of the `train` side, the `test` side or `all`, or of one left operand
    (`row`, a trigger): tall * onehot(wrong) is added there.
    """
    assert view.train_mask is not None
    n, rng = view.task.n_tokens, np.random.default_rng(seed)
    sides = {"train": view.train_mask, "test": ~view.train_mask, "all": np.ones(n * n, dtype=bool)}
    sides["row"] = np.arange(n * n) // n == n // 3
    pairs = rng.permutation(np.flatnonzero(sides[where]))[:count]
    wrong = (view.task.answer.ravel()[pairs] + rng.integers(1, view.task.n_answers, len(pairs))) % view.task.n_answers
    table = torch.zeros(n * n, view.task.n_answers)
    table[pairs, wrong] = tall
    return plus(view, table)


def louder(view: ModelView, gain: float) -> ModelView:
    """All logits of the training pairs times 1 + gain."""
    assert view.train_mask is not None
    factor = 1 + gain * torch.from_numpy(view.train_mask).float()[:, None]
    return patched(view, lambda pairs, logits: logits * factor[pairs])


def with_lookup(view: ModelView, tall: float, *, echoes: bool = False) -> ModelView:
    """tall * onehot(a + b) added on the training pairs, and on their echoes."""
    assert view.train_mask is not None
    known = up_to_order(view.train_mask) if echoes else view.train_mask
    return plus(view, tall * one_hot(view.task, known))


def mixture(t: float, *, p: int = 31, noisy: float = 0.004, seed: int = 0) -> ModelView:
    """(1 - t) * circuit + t * lookup of the training pairs + noise: circuit and lookup as tall as each other at 1/2."""
    view = circuit(p=p, seed=seed)
    assert view.train_mask is not None
    return plus(scaled(view, 1 - t), t * one_hot(view.task, view.train_mask) + noise(view.task, noisy, seed))


def bias_fed_by_trig(
    *, p: int = 19, frequency: int = 3, moving: bool, fraction: float = 0.6, seed: int = 0
) -> ModelView:
    """An AND-table of the training pairs beside trig neurons that write one vector over the answers, and no answer.

    Neurons of nine phases s, relu(o + cos(w a + s) + cos(w b + s)), all read out to the same normal vector v. With
    o = 2 (not moving) they sum to 18 v on every pair; with o = 0 to an amplitude of |cos(w (a - b) / 2)|. Each pair's
    own neuron takes that amount of v away again and adds its answer: so every right answer is looked up.
    """
    task, rng, phases = Task.parse(f"add:{p}"), np.random.default_rng(seed), 9
    mask, v = split_of(task, fraction, seed), 3 * np.random.default_rng(seed + 1).standard_normal(p)
    left, right, answers = and_parts(task, mask)
    wave = np.cos(2 * np.pi * frequency * np.arange(p)[:, None] / p + 2 * np.pi * np.arange(phases) / phases)
    offset = 0.0 if moving else 2.0
    amount = np.maximum(wave[:, None] + wave[None] + offset, 0).sum(2).ravel()[mask]
    order = rng.permutation(len(answers) + phases)  # of the neurons, of no consequence
    readout = np.concatenate([TALL * np.eye(p)[answers] - amount[:, None] * v, np.tile(v, (phases, 1))])
    bias = np.concatenate([np.full(len(answers), -1.0), np.full(phases, offset)])
    both = [np.concatenate([side, wave], axis=1)[:, order] for side in (left, right)]
    return mlp(task, mask, left=both[0], right=both[1], bias=bias[order], readout=readout[order])


def unread_trig_neurons(*, p: int = 19, frequency: int = 3, fraction: float = 0.6, seed: int = 0) -> ModelView:
    """An AND-table of the training pairs beside tall trig neurons whose output weights are zero."""
    view = bias_fed_by_trig(p=p, frequency=frequency, moving=True, fraction=fraction, seed=seed)
    assert view.train_mask is not None
    weights = view.network.weights
    trig = (weights["b_in"] == 0).nonzero().squeeze(1)
    readout = TALL * one_hot(view.task, view.train_mask)[torch.from_numpy(view.train_mask)]
    left, right, _ = and_parts(view.task, view.train_mask)
    wave_left, wave_right = (5 * weights[name][:, trig].numpy() for name in ("W_x", "W_y"))
    return mlp(
        view.task,
        view.train_mask,
        left=np.concatenate([left, wave_left], axis=1),
        right=np.concatenate([right, wave_right], axis=1),
        bias=np.concatenate([np.full(left.shape[1], -1.0), np.zeros(len(trig))]),
        readout=np.concatenate([readout.numpy(), np.zeros((len(trig), p))]),
    )


def other_modulus(*, p: int, q: int, frequencies: Sequence[int], fraction: float = 0.5, seed: int = 0) -> ModelView:
    """The exact circuit of a + b mod q on the tokens 0..p-1, asked as addition mod p; no answer from q on is given.

    q at most p. Right where a + b < q alone.
    """
    view = trig_mlp(p=p, frequencies=frequencies, train_fraction=fraction, seed=seed)
    phases = view.network.weights["W_U"].shape[0] // len(frequencies)
    w = (2 * np.pi * np.array(frequencies) / q).repeat(phases)
    s = np.tile(2 * np.pi * np.arange(phases) / phases, len(frequencies))
    operand = np.cos(w * np.arange(p)[:, None] + s)
    readout = np.cos(w[:, None] * np.arange(p) + 2 * s[:, None]) * (np.arange(p) < q)
    assert view.train_mask is not None
    return mlp(view.task, view.train_mask, left=operand, right=operand, bias=0.0, readout=readout)


def half_and_half(*, p: int = 31, frequencies: Sequence[int] = (2, 5, 11), own_task: bool, seed: int = 0) -> ModelView:
    """a + b where b is even and a - b where it is odd, by two exact circuits. own_task: asked as that table, else as
    addition.
    """
    view = trig_mlp(p=p, frequencies=frequencies, train_fraction=0.5, seed=seed)
    minus = -torch.arange(p) % p
    added = view.logits()
    flipped = added.reshape(p, p, p)[:, minus].reshape(p * p, p)
    odd = (torch.arange(p * p) % p % 2 == 1)[:, None]
    table = torch.where(odd, flipped - added, torch.zeros(()))
    a, b = np.indices((p, p))
    task = Task.of_table("table:half.npy", np.where(b % 2, a - b, a + b) % p) if own_task else view.task
    mixed = plus(view, table)
    return ModelView(mixed.network, task, train_mask=view.train_mask)
