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
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64
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
    sample, rng = sample_of(model), np.random.default_rng(seed)
    idle = _idle(model, sample)
    writes = [[_read_off(_writes(model, i, j)) for j in range(heads)] for i in range(layers - 1)]
    score, null = torch.zeros(layers * heads), torch.zeros(draws, layers * heads)
    best: dict[tuple[int, int], dict[str, object]] = {}
    for layer in range(1, layers):
        for head in range(heads):
            reads = [(way, _read_off(_reads(model, layer, head, way))) for way in WAYS]
            pairs = [
                (f"{i}.{j}", way, earlier, later)
                for i in range(layer)
                for j, earlier in enumerate(writes[i])
                for way, later in reads
            ]
            width = len(reads[0][1].matrix)
            found = torch.stack([_ratio(a, b) for *_, a, b in pairs])
            chance = torch.stack([_turned(a.values, b.values, width, draws, rng) for *_, a, b in pairs], dim=1)
            luck = width**-0.5  # root mean square over all rotations, whatever the singular values
            room = (torch.stack([_most(a.values, b.values) for *_, a, b in pairs]) - luck).clamp_min(1e-9)
            read = torch.tensor([earlier not in idle for earlier, *_ in pairs])  # of the others nothing arrives
            value, place = (read * (found - luck) / room).max(0)
            number = layer * heads + head
            score[number], null[:, number] = value, (read * (chance - luck) / room).amax(1)
            ratio = float(found[place]) * width**0.5
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


class Read(NamedTuple):
    """A matrix and its singular values beyond rounding."""

    matrix: Float64[Tensor, "d_model d_model"]
    values: Float64[Tensor, " rank"]


def _read_off(matrix: Float64[Tensor, "d_model d_model"]) -> Read:
    values = torch.linalg.svdvals(matrix)
    return Read(matrix, values[values > 1e-9 * values[0].clamp_min(1e-300)])


def _ratio(a: Read, b: Read) -> Tensor:
    return (a.matrix @ b.matrix).norm() / (a.matrix.norm() * b.matrix.norm()).clamp_min(1e-300)


def _most(s: Float64[Tensor, " s"], t: Float64[Tensor, " t"]) -> Tensor:
    """The largest ratio that matrices with these singular values can have: both turned so that they meet in order."""
    both = min(len(s), len(t))
    return (s[:both] * t[:both]).norm() / (s.norm() * t.norm()).clamp_min(1e-300)


def _turned(
    s: Float64[Tensor, " s"], t: Float64[Tensor, " t"], width: int, draws: int, rng: np.random.Generator
) -> Float64[Tensor, " draws"]:
    """The ratio with a random rotation between the two: a block [s, t] of a random orthogonal matrix weighed by both.

    The block is G R^-1 of a normal [width, t] matrix with R^T R its Gram matrix, of whose other width - s rows the Gram
    matrix alone is drawn, from Wishart's distribution by Bartlett's decomposition.
    """
    if not len(s) or not len(t):  # one of them is nothing
        return torch.zeros(draws, dtype=torch.float64)
    upper = torch.from_numpy(rng.standard_normal((draws, len(s), len(t))))
    below = torch.from_numpy(_wishart_root(width - len(s), len(t), draws, rng))
    root = torch.linalg.cholesky(upper.mT @ upper + below.mT @ below, upper=True)
    frames = torch.linalg.solve_triangular(root, upper, upper=True, left=False)
    return (s[:, None] * frames * t).flatten(1).norm(dim=1) / (s.norm() * t.norm()).clamp_min(1e-300)


def _wishart_root(rows: int, columns: int, draws: int, rng: np.random.Generator) -> Float64[np.ndarray, "draws k t"]:
    """Matrices with the Gram matrix of `rows` normal rows: upper triangular where there are as many rows as columns."""
    if rows < columns:
        return rng.standard_normal((draws, rows, columns))
    root = np.triu(rng.standard_normal((draws, columns, columns)), 1)
    at = np.arange(columns)
    root[:, at, at] = np.sqrt(rng.chisquare(rows - at, (draws, columns)))
    return root
