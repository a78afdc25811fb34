"""Composition of heads: a later head reads what an earlier one writes, ||*W*_{*A*} *W*_{*B*}|| beyond chance.

Source: "A Mathematical Framework for Transformer Circuits" (2021), section on composition; ||AB|| / (||A|| ||B||) in
Frobenius norms, A the OV matrix of the earlier head, B of the later one the QK matrix (Q), its transpose (K), or OV
(V), with norms folded.

Score: of a later head, the largest ratio over earlier heads and the three ways, beyond that of random rotations (the
root of its mean square is 1 / sqrt(d_model) at any rank), over what it could be at most beyond that with these singular
values; 0 of an earlier head that writes nothing or the same always. Null: the two turned against each other at random;
p-values are of the largest over all heads. Cause: the later head's output set to its mean over sequences.

What fools it: directions that all heads share, such as a common mean, raise all ratios; they are heads that read, and
what they lose says whether it matters.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from detectors.core.errors import NotApplicable
from detectors.core.heads import Heads, spoken
from detectors.core.registry import detector
from detectors.subjects.sequences.asking import Asking
from detectors.subjects.sequences.heads import WEAK, Scored, by_weights
from detectors.subjects.sequences.patterns import Sample, sample_of
from detectors.subjects.sequences.view import SequenceView

WAYS = ("Q", "K", "V")
STILL = 1e-4  # of the loss: rounding moves it by 1e-6, the least of a published head by 1e-3


@detector(
    needs=("attention", "run", "weights"),
    version=1,
    source='"A Mathematical Framework for Transformer Circuits"',
    subject="sequences",
    formula=r"\frac{\lVert W_A W_B \rVert}{\lVert W_A \rVert \lVert W_B \rVert}",
    invariant_to=("head_permutation", "head_gauge", "residual_rotation"),
    chose="heads",
    clause=spoken("composition"),
    order=200,
)
def head_composition(model: SequenceView, /, *, draws: int = 199, seed: int = 0) -> Heads:
    """A head reads what an earlier one writes.

    A head's entry has `with`, the earlier head, `way` and `ratio`, the largest ratio times sqrt(d_model), 1 by chance.

    Errors: NotApplicable where there is one layer.
    """
    layers, heads = model.network.n_layers, model.n_heads
    if "blocks.0.attn.W_Q" not in model.weights:
        raise NotApplicable("the model does not show queries and keys as matrices of the residual stream")
    if layers < 2:
        raise NotApplicable("one layer: no head reads what another writes")
    sample, generator = sample_of(model), torch.Generator().manual_seed(seed)
    idle = _idle(model, sample)
    writes = [[_writes(model, i, j) for j in range(heads)] for i in range(layers - 1)]
    score, null = torch.zeros(layers * heads), torch.zeros(draws, layers * heads)
    best: dict[tuple[int, int], dict[str, object]] = {}
    for layer in range(1, layers):
        for head in range(heads):
            pairs = [
                (f"{i}.{j}", way, earlier, _reads(model, layer, head, way))
                for i in range(layer)
                for j, earlier in enumerate(writes[i])
                for way in WAYS
            ]
            found = torch.stack([_ratio(a, b) for *_, a, b in pairs])
            chance = torch.stack([_turned(a, b, draws, generator) for *_, a, b in pairs], dim=1)
            luck = len(pairs[0][2]) ** -0.5  # root mean square over all rotations, whatever the singular values
            room = (torch.stack([_most(a, b) for *_, a, b in pairs]) - luck).clamp_min(1e-9)
            read = torch.tensor([earlier not in idle for earlier, *_ in pairs])  # of the others nothing arrives
            value, place = (read * (found - luck) / room).max(0)
            number = layer * heads + head
            score[number], null[:, number] = value, (read * (chance - luck) / room).amax(1)
            ratio = float(found[place]) * len(pairs[0][2]) ** 0.5
            best[layer, head] = {"with": pairs[place][0], "way": pairs[place][1], "ratio": ratio}
    nowhere = torch.full((len(score), sample.tokens.shape[1]), torch.nan)
    scored = Scored(score.clamp(0, 1), nowhere, score, null)
    result = by_weights(model, sample, scored, "the two turned against each other", weak=WEAK, seed=seed)
    entries = tuple({**h, **best.get((h["layer"], h["head"]), {})} for h in result.heads)
    return replace(result, heads=entries)


def _idle(model: SequenceView, sample: Sample) -> set[str]:
    """Heads whose output, at its mean over sequences, leaves the loss where it is, beside the others of their layer and
    without them: what they write is nothing, or the same always. None of a language model, where that is two passes
    for each.
    """
    asking = None if model.language else Asking.of(model, sample)
    if asking is None:
        return set()
    found = set()
    for head in asking.everywhere:
        layer = [one for one in asking.everywhere if one.layer == head.layer]
        of = [[head], layer, [one for one in layer if one != head]]
        alone, none, others = (asking.outcome(heads, "z").loss for heads in of)
        if max(abs(alone - asking.loss), abs(none - others)) <= STILL * max(asking.loss, 1e-3):
            found.add(f"{head.layer}.{head.head}")
    return found


def _writes(model: SequenceView, layer: int, head: int) -> Float[Tensor, "d_model d_model"]:
    values, outputs = (model.weights[f"blocks.{layer}.attn.W_{which}"][head].double() for which in "VO")
    return _norm(model, layer) @ values @ outputs


def _reads(model: SequenceView, layer: int, head: int, way: str) -> Float[Tensor, "d_model d_model"]:
    if way == "V":
        return _writes(model, layer, head)
    norm = _norm(model, layer)
    queries, keys = (norm @ model.weights[f"blocks.{layer}.attn.W_{which}"][head].double() for which in "QK")
    return queries @ keys.T if way == "Q" else keys @ queries.T


def _norm(model: SequenceView, layer: int) -> Float[Tensor, "d_model d_model"]:
    """LayerNorm as a matrix: the mean over d_model away, and its gain."""
    width = model.weights["embed.W_E"].shape[1]
    identity = torch.eye(width, dtype=torch.float64)
    if model.architecture.get("normalization_type") is None:
        return identity
    gain = model.weights.get(f"blocks.{layer}.ln1.w", torch.ones(width)).double()
    return (identity - 1 / width) * gain


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b).norm() / (a.norm() * b.norm()).clamp_min(1e-300)


def _most(a: Tensor, b: Tensor) -> Tensor:
    """The largest ratio that matrices with these singular values can have: both turned so that they meet in order."""
    s, t = torch.linalg.svdvals(a), torch.linalg.svdvals(b)
    return (s * t).norm() / (s.norm() * t.norm()).clamp_min(1e-300)


def _turned(a: Tensor, b: Tensor, draws: int, generator: torch.Generator) -> Float[Tensor, " draws"]:
    """The ratio with a random rotation between the two, from their singular values and directions of random frames."""
    s, t = (torch.linalg.svdvals(x) for x in (a, b))
    s, t = (x[x > 1e-9 * x[0].clamp_min(1e-300)] for x in (s, t))
    drawn = torch.randn(draws, len(a), max(len(t), 1), dtype=torch.float64, generator=generator)
    frames = torch.linalg.qr(drawn).Q[:, : len(s), : len(t)]  # of t in the coordinates of s
    return (s[:, None] * frames * t).flatten(1).norm(dim=1) / (s.norm() * t.norm()).clamp_min(1e-300)
