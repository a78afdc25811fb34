"""The layers that a certificate is about, in the order of the group's elements, and what rounding may do to them.

logits[a, b] = U relu(P[a] + Q[b]) + d: a network of two embeddings, one hidden layer of ReLU and a linear readout.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int

from detectors.certificate.rounding import TINY32, U32, gamma
from detectors.core.errors import NotApplicable
from detectors.core.groups import Group
from detectors.subjects.operands.view import ModelView

NEEDED = {"W_x", "W_y", "W", "W_U"}


@dataclass(frozen=True)
class Layers:
    """left, right: P with the bias of the neurons, and Q. readout: U. size: the most that what a neuron sums adds up to
    in absolute values. terms: products in a logit. slack: what evaluation in float32, in any order, may move the
    difference of two logits by.
    """

    group: Group
    left: Float[np.ndarray, "n m"]
    right: Float[np.ndarray, "n m"]
    readout: Float[np.ndarray, "m n"]
    bias: Float[np.ndarray, " n"]
    size: Float[np.ndarray, " m"]
    terms: int
    slack: float

    @cached_property
    def kinds(self) -> Int[np.ndarray, " n"]:
        """Of every element its conjugacy class, joined with that of its inverse."""
        of = self.group.classes
        found: Int[np.ndarray, " n"] = np.unique(np.minimum(of, of[self.group.inverse]), return_inverse=True)[1]
        return found

    @property
    def brute_force(self) -> int:
        """Operations of a pass over all pairs from P, Q and U: sums, ReLU, readout and comparison of the answers. A
        multiplication with the addition that follows is one, and so is anything else alone.
        """
        n, m = self.left.shape
        return n * n * (n * m + 2 * m + n)


def layers_of(model: ModelView) -> Layers:
    """NotApplicable for any other network, or a task that is not all of a group."""
    if model.kind != "operands" or not NEEDED <= model.weights.keys() <= NEEDED | {"b_in", "b_U"}:
        raise NotApplicable(
            "no certificate: one is made of networks with the weights W_x, W_y, W and W_U, two embeddings and one "
            "hidden layer of neurons (docs/certificate.md says how to write another's so)"
        )
    if model.architecture.get("act_fn") != "relu":
        raise NotApplicable(f"no certificate: its neurons are {model.architecture.get('act_fn')}, not relu")
    if any(tensor.dtype not in (torch.float32, torch.float64) for tensor in model.weights.values()):
        raise NotApplicable("no certificate: it is about float32 or better, and these weights are coarser")
    labels, n = model.labels, model.group.order
    asked = model.task.answer[np.ix_(labels.left, labels.right)]
    if not n == model.task.n_tokens == model.task.n_answers or (asked != labels.answers[model.group.table]).any():
        raise NotApplicable("no certificate: the group is not all of its tokens and answers")
    w = {name: tensor.detach().cpu().double().numpy() for name, tensor in model.weights.items()}
    wide, m = w["W_x"].shape[1], w["W"].shape[1]
    x, y = w["W_x"][labels.left], w["W_y"][labels.right]
    above, below, b_in = w["W"][:wide], w["W"][wide:], w.get("b_in", np.zeros(m))
    readout = np.ascontiguousarray(w["W_U"][:, labels.answers])
    bias = w.get("b_U", np.zeros(w["W_U"].shape[1]))[labels.answers]
    # by Cauchy and Schwarz, of the absolute values of the products
    size = np.abs(b_in) + sum(_longest(e) * np.linalg.norm(part, axis=0) for e, part in ((x, above), (y, below)))
    size = size * (1 + gamma(4 * wide + 8))
    terms = 2 * wide + m + 8
    # products that underflow to zero, and weights that do, are off by the least normal number times a factor
    largest, factor = np.abs(readout).max(1), 1 + max(np.abs(array).max() for array in w.values())
    moved = gamma(terms, U32) * (size @ largest + np.abs(bias).max())
    moved += TINY32 * terms * factor**2 * (largest.sum() + m + 1)
    return Layers(model.group, x @ above + b_in, y @ below, readout, bias, size, terms, float(2.01 * moved))


def _longest(rows: Float[np.ndarray, "n d"]) -> float:
    return float(np.linalg.norm(rows, axis=1).max())
