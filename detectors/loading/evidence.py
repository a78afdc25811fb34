"""What speaks for a reading beside what it answers: the margin of that, and that training ended there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from detectors.loading.stack import Reading
from detectors.subjects.operands.network import Network
from detectors.subjects.operands.task import Task

NEAR = 0.02  # of the pairs: readings closer than that are weighed by more than their answers
POOR = 0.6  # of the best accuracy, where the best is itself not right: too near to tell
ALL = 0.99  # accuracy from which a reading that answers less is no rival
# Of networks of two embeddings whose weights were pruned by 50% to 80% or blurred by 0.3 to 0.8 of their spread:
# trained with ReLU or GELU, ReLU answers at least 0.47 of what the best of x^2 and |x| does, mostly 0.66 and more;
# of those trained with x^2 or |x| at most 0.47, and 0.27 or more.
# Where the best answers all of them, as |x| does of one blurred by half, ReLU is no rival under three quarters.
DAMAGED, EITHER, RIVAL = 0.5, 0.25, 0.75
# A network at the end of training lies where the gradient of its loss points back at it, since decay of the weights (or
# the growth of the margin) holds against it. Over the reference files the right activation function has a mean cosine
# of 0.8 to 0.97 in networks of layers, others at least 0.03 less; in transformers trained by AdamW 0.03 to 0.4, which
# says nothing.
STEADY, LESS = 0.5, 0.03
# Where no reading reaches that, one that the loss pulls by so much more than the one of the widest margin is not ruled
# out by it: a transformer whose positions are averaged has a pull of 0.33 so read, and 0.04 with a margin a third wider
# where its last position alone is read. Of activation functions it says nothing (see `_not_told_apart`).
PULLED = 0.15
# The logits of another place have another spread: two networks of two layers whose positions are averaged have a margin
# a third wider where the last is read.
WIDER_ELSEWHERE = 1.5
# Margins of the hardest twentieth of the training pairs, in standard deviations of the logits, are largest as trained.
# Over all pairs neither says much: |x|, x^2 and products answer more of a + b mod p than a ReLU that was trained on it.
WIDER, WIDER_UNSEEN, UNUSUAL = 1.2, 1.5, 0.1


@dataclass(frozen=True)
class Weighed:
    """A reading and what speaks for it: the share of pairs answered, the pull of the loss along the weights, the
    margin of the hardest answers, how unusual it is.
    """

    reading: Reading
    accuracy: float
    pull: float = 0.0
    margin: float = 0.0
    cost: float = 0.0
    near: bool = True


def beyond_chance(accuracy: float, task: Task, pairs: int) -> bool:
    """By six standard errors of a share, which thousands of readings at chance do not reach; chance is the share of the
    commonest answer.
    """
    chance = float(np.bincount(task.answer.ravel()[task.domain]).max() / len(task.domain))
    return accuracy > chance + 6 * (chance * (1 - chance) / pairs) ** 0.5 + 2 / pairs


def is_near(w: Weighed, best: Weighed, pairs: int) -> bool:
    """Whether a reading answers about as much as the best. Of a network that does not answer all of these pairs, what
    another reading answers is partly luck; and a best that is less usual may be better than the network that was
    trained: then a more usual one may be far behind.
    """
    luck = 0.0 if best.accuracy >= ALL else 2 * (best.accuracy * (1 - best.accuracy) / pairs) ** 0.5
    rarer, least = w.cost <= best.cost - 0.5, POOR if best.accuracy < ALL else np.inf
    if _but_for_activation(w, best):
        least = EITHER if best.accuracy < ALL else RIVAL
    if _squares(w, best) or _alike_but_for_a_line(w, best):
        rarer, least = True, RIVAL
    return w.accuracy >= best.accuracy - max(NEAR, luck) or (rarer and w.accuracy >= least * best.accuracy)


def _but_for_activation(w: Weighed, other: Weighed) -> bool:
    return replace(w.reading, act_fn=other.reading.act_fn) == other.reading


def _alike_but_for_a_line(w: Weighed, best: Weighed) -> bool:
    """tanh(x) = 2 sigmoid(2x) - 1: what one answers the other answers in part, the steeper at times the more."""
    return _but_for_activation(w, best) and {w.reading.act_fn, best.reading.act_fn} == {"tanh", "sigmoid"}


def _squares(w: Weighed, best: Weighed) -> bool:
    """Whether it is the square of a sum, and the best a product, which that has beside two squares of one operand."""
    return best.reading.readout == "product" and (w.reading.readout, w.reading.act_fn) == ("sum", "square")


def sample(
    task: Task, mask: Bool[np.ndarray, " pairs"] | None, most: int
) -> tuple[Int[Tensor, "pairs operands"], Int[Tensor, " pairs"]]:
    """Training pairs, or pairs of all where those are not known, in random order, and their answers."""
    domain = task.domain if mask is None else task.domain[mask[task.domain]]
    pairs = np.random.default_rng(0).permutation(domain if len(domain) else task.domain)[:most]
    tokens = torch.from_numpy(np.stack([pairs // task.n_tokens, pairs % task.n_tokens], axis=1))
    return tokens, torch.from_numpy(task.answer.ravel()[pairs])


def margin(logits: Float[Tensor, "pairs answers"], answers: Int[Tensor, " pairs"]) -> float:
    """Of the right answer over the next, of the hardest twentieth of the pairs, in spreads of the logits."""
    logits = logits.double()
    right = logits.gather(1, answers[:, None])
    next_best = logits.scatter(1, answers[:, None], -torch.inf).amax(1)
    spread = (logits - logits.mean(1, keepdim=True)).std().clamp_min(1e-12)
    return float(torch.quantile((right[:, 0] - next_best) / spread, 0.05))


def pull(
    build: Callable[[Mapping[str, Tensor]], Network],
    weights: Mapping[str, Tensor],
    tokens: Int[Tensor, "pairs operands"],
    answers: Int[Tensor, " pairs"],
    n_answers: int,
) -> float:
    """Mean cosine, over the matrices, of a matrix with the way the loss would have it go."""
    leaves = {k: t.clone().requires_grad_() if t.is_floating_point() else t for k, t in weights.items()}
    network = build(leaves)
    logits = network.forward(tokens, lambda _, tensor: tensor)[:, :n_answers]
    loss = F.cross_entropy(logits.double(), answers)
    matrices = [leaves[name] for name in sorted(network.weights) if name in leaves and leaves[name].ndim >= 2]
    gradients = torch.autograd.grad(loss, matrices, allow_unused=True)
    cosines = [
        float(-F.cosine_similarity(g.double().flatten(), m.detach().double().flatten(), dim=0, eps=1e-300))
        for g, m in zip(gradients, matrices, strict=True)
        if g is not None
    ]
    return float(np.mean(cosines)) if cosines else 0.0


def settle(weighed: list[Weighed], known: bool) -> tuple[Weighed, tuple[Weighed, ...]]:
    """The reading that the evidence is for, and those that it does not tell from it. known: on training pairs.

    >>> from detectors.loading.token_layout import TokenLayout
    >>> from dataclasses import replace
    >>> reading = Reading(0, TokenLayout((("a", 0), ("b", 0))))
    >>> relu, square = Weighed(reading, 1.0, 0.9, 3.1), Weighed(replace(reading, act_fn="square"), 1.0, 0.1, 1.0, 1)
    >>> winner, tied = settle([square, relu], known=True)
    >>> winner.reading.act_fn, tied
    ('relu', ())
    """
    near = [w for w in weighed if w.near]
    most = max(near, key=lambda w: w.accuracy)
    # of either network either may answer the more, by as much
    also = {} if known else {w.reading: w for w in near if _squares(w, most) or _alike_but_for_a_line(w, most)}
    near = [w for w in near if w.reading not in also]
    top, usual = _damaged(near, known)
    if usual and (top.accuracy >= ALL or max(w.accuracy for w in usual) < DAMAGED * top.accuracy):
        return top, (*usual, *also.values())
    near = [w for w in near if not usual or w.cost < usual[0].cost + 0.5]
    equal = _not_told_apart(near) if known else _about_as_usual(near)
    best = [w for w in equal if known and not usual and all(o is w or _better(w, o) for o in equal)]
    winner = best[0] if best else min(equal, key=lambda w: w.cost)
    alike = [w for w in equal if known and not usual and not best and w.cost < winner.cost + 0.5]
    wider = max(alike, key=lambda w: w.margin, default=winner)
    winner = wider if wider.margin > winner.margin * (1 + LESS) > 0 else winner
    return winner, tuple(({w.reading: w for w in equal if w.reading != winner.reading} | also).values())


def _damaged(near: list[Weighed], known: bool) -> tuple[Weighed, tuple[Weighed, ...]]:
    """What answers most, and what differs from it by a more usual activation function, the most usual first, where its
    answers are no evidence: of a network that was pruned or blurred x^2 and |x| answer more than its own function.
    """
    top = max(near, key=lambda w: w.accuracy)
    alike = sorted((w for w in near if _but_for_activation(w, top)), key=lambda w: w.cost)
    usual = tuple(w for w in alike if w.cost < alike[0].cost + 0.5)
    right = any(w.accuracy >= ALL for w in usual)
    steady = known and max(w.pull for w in near) >= STEADY
    return top, () if right or steady or usual[0].cost > top.cost - 0.5 else usual


def _better(w: Weighed, other: Weighed) -> bool:
    """On both counts, however little on one of them."""
    return w.reading == other.reading or (w.margin >= other.margin and w.pull >= other.pull + LESS / 2)


def _not_told_apart(near: list[Weighed]) -> list[Weighed]:
    """By the pull where it shows in any, else by the margin; what is less usual must have more of either.

    Where the two speak against each other, a more usual reading stays: GELU is pulled more in eight published networks
    that were trained with ReLU (arXiv:2302.03025, by up to 0.3), and in none of them has it the wider margin.
    """
    pull = {id(w): w.pull - LESS * w.cost for w in near}
    if max(w.pull for w in near) >= STEADY:
        most = max(near, key=lambda w: pull[id(w)])
        return [
            w for w in near if pull[id(w)] > pull[id(most)] - LESS or (w.cost <= most.cost and w.margin >= most.margin)
        ]
    least = min(w.cost for w in near)
    margin = {id(w): w.margin / (1 + UNUSUAL * (w.cost - least)) if w.margin > 0 else w.margin for w in near}
    widest = max(near, key=lambda w: margin[id(w)])

    def wide(w: Weighed) -> bool:
        by = WIDER if w.reading.readout == widest.reading.readout else WIDER_ELSEWHERE
        return margin[id(w)] >= (margin[id(widest)] / by if margin[id(widest)] > 0 else margin[id(widest)] * by)

    enough = [w for w in near if wide(w)]

    def pulled(w: Weighed) -> bool:
        others = [o.pull for o in enough if o.reading.act_fn == w.reading.act_fn]
        return bool(others) and w.pull > max(others) + PULLED

    return [w for w in near if w in enough or pulled(w)]


def _about_as_usual(near: list[Weighed]) -> list[Weighed]:
    """The most usual, unless the margin of another is very much wider, and those about as usual and as wide."""
    usual = min(near, key=lambda w: w.cost)

    def beats(w: Weighed, other: Weighed) -> bool:
        return w.margin > max(0.0, other.margin) * WIDER_UNSEEN ** (1 + 2 * max(0.0, round(w.cost - other.cost)))

    better = [w for w in near if usual.margin > 0 and beats(w, usual)]
    winner = max(better, key=lambda w: w.margin) if better else usual
    return [w for w in near if w is winner or (w.cost < winner.cost + 1.5 and not beats(winner, w))]
