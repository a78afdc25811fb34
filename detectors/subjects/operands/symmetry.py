"""Published figures that tell the clock from the pizza: gradient symmetricity, distance irrelevance, circularity.

Source: "The Clock and the Pizza" (arXiv:2306.17844), definitions 4.1, 4.2 and B.1.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from detectors.core.device import gradient
from detectors.subjects.operands.view import ModelView

TRIPLES = 20_480
PASS = 512
COMPONENTS = 4


class Symmetricity(NamedTuple):
    """Mean cosine, and its standard error; None where no gradient reaches both embeddings."""

    mean: float | None
    error: float | None


def gradient_symmetricity(model: ModelView, seed: int) -> Symmetricity:
    """Mean over different random triples (a, b, c), or all where there are no more, of the cosine between the gradients
    of logit c by the embeddings of a and b; its error is that of a sample of so many of n^3, 0 of all. Pairs in random
    order, each as often as the others but for one, since a pass serves all answers of a pair.

    1 of whatever sees E[a] + E[b] alone, untrained or not: it can rule a clock out, and shows no pizza.
    """
    n, drawn = model.group.order, torch.Generator().manual_seed(seed)
    pairs = torch.randperm(n * n, generator=drawn)[:TRIPLES]
    rounds = min(-(-TRIPLES // len(pairs)), n)
    answers = torch.rand(len(pairs), n, generator=drawn).argsort(1)[:, :rounds].T.contiguous()
    answers.view(-1)[TRIPLES:] = -1
    several = zip(pairs.split(PASS), answers.split(PASS, dim=1), strict=True)
    found = torch.cat([_cosines(model, some, of) for some, of in several])
    found = found[found.isfinite()]
    if len(found) < 2:
        return Symmetricity(None, None)
    left = max(0.0, 1 - TRIPLES / n**3)
    return Symmetricity(float(found.mean()), float(found.std() * (left / len(found)) ** 0.5))


def _cosines(
    model: ModelView, pairs: Int[Tensor, " pairs"], answers: Int[Tensor, "rounds pairs"]
) -> Float64[Tensor, " triples"]:
    """Of the group's pairs, one pass for every answer asked of them, -1 where none is; NaN where a gradient is zero."""
    seen: list[Tensor] = []

    def watch(x: Tensor) -> Tensor:
        seen.append(x.detach().requires_grad_(True))
        return seen[0]

    found = []
    with torch.enable_grad():
        logits = model.run(model.tokens_of(model.grid.reshape(-1)[pairs]), edit={"hook_embed": watch})[0]
        if not logits.requires_grad:  # a network that gives detached logits
            return torch.zeros(0, dtype=torch.float64)
        for one in answers:
            asked = (one >= 0).nonzero()[:, 0]
            if not len(asked):
                continue
            own = logits[asked, model.plane.answers[one[asked]]].sum()
            grads = gradient(own, seen[0])
            a, b = (grads[asked, operand].double() for operand in range(2))
            found.append((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1)))
    return torch.cat(found)


def distance_irrelevance(model: ModelView) -> float | None:
    """Mean over d of the standard deviation over a of the right logit of (a, a + d), over that of all right logits: 0
    of what sees the distance alone, 1 of what sees the sum alone. None where the right logit is constant.
    """
    plane, n = model.plane, model.group.order
    table = model.logits()[plane.pairs, plane.answers[plane.product]].double().reshape(n, n)
    a = torch.arange(n)
    apart = torch.stack([table[a, (a + d) % n].std(correction=0) for d in range(n)]).mean()
    whole = table.std(correction=0)
    return float(apart / whole) if float(whole) > 1e-9 * float(table.abs().max()) else None


def circularity(model: ModelView) -> float:
    """Mean over the first four principal components of the embedding of the largest share of one frequency, and over
    the operands where they have tables of their own.
    """
    n = model.group.order
    sides = (model.labels.left, model.labels.right)
    tokens = torch.arange(model.task.n_tokens)
    with torch.no_grad():
        rows = model.run(torch.stack([tokens, tokens], dim=1), capture=("hook_embed",))[1]["hook_embed"].double()
    found = []
    for operand, side in enumerate(sides):
        table = rows[torch.from_numpy(side), operand]
        u, s, _ = torch.linalg.svd(table - table.mean(0), full_matrices=False)
        scores = (u * s)[:, :COMPONENTS]
        power = torch.fft.fft(scores, dim=0)[1:].abs().square().amax(0)
        found.append((2 * power / (n * scores.square().sum(0)).clamp_min(1e-300)).clamp(0, 1).mean())
    return float(torch.stack(found).mean())
