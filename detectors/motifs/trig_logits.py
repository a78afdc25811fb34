"""The logits are characters of a b c^-1: for a + b mod p, sum over k of alpha_k cos(2 pi k (a + b - c) / p).

Source: arXiv:2301.05217, section 4.1 (cos(w(a+b-c))); arXiv:2302.03025, section 5 (trace similarity, any group).

Score: 0 is what logits with shuffled labels explain, 1 all of the logits centred over c. The value rests on the share
of their squares that characters explain, positive similarities alone, on pairs the model was not trained on: a part
estimated on training pairs would contain their answers. Training set unknown (`basis` all_pairs): the share on all
pairs times the Gini of its spectrum over the largest possible, since a lookup table's is flat. Null: one permutation
relabels a, b and c alike, on a fixed random subset of the pairs.

What fools it: a lookup table is a function of a b c^-1 on the pairs it was trained on. The right spectrum with negative
signs votes for the wrong answers, so only positive similarities count. A relabelled task without its table has no
characters to see. An offset of the logits is not structure and is centred away.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from detectors.core.irreps import named, spoken
from detectors.core.nulls import carriers, corrected, permutation_null
from detectors.core.registry import FREE, detector
from detectors.core.score import Score
from detectors.core.spectrum import chance_shares, weighted_gini
from detectors.subjects.operands.edits import cause, edit_logits
from detectors.subjects.operands.plane import LogitGrid, character_cosines
from detectors.subjects.operands.relabelling import null_sample, relabelled_cosines
from detectors.subjects.operands.view import ModelView

VISIBLE = 0.005  # similarities above it are listed: the cut for a learnt irrep in the code of arXiv:2302.03025


@dataclass(frozen=True, kw_only=True, slots=True)
class TrigLogits(Score):
    """Evidence. Lists are parallel, strongest irrep first, unless said.

    irreps: every irrep whose similarity exceeds 0.005. dimensions: of their blocks. similarity: cosine of the centred
    logits with the character of a b c^-1, over all pairs. key_cuts: the squared similarities of which chance passes any
    in 1 draw of 100. key_irreps: those whose similarity on `basis` exceeds 0.005 and its square the cut, and
    frequencies: their integers, for cyclic and dihedral groups (not parallel). explained_test_pairs,
    explained_all_pairs: sum of the squares of the positive similarities; the former None where the training set is
    unknown. basis: `test_pairs` or `all_pairs`, what the value rests on.
    """

    irreps: tuple[str, ...]
    dimensions: tuple[int, ...]
    similarity: tuple[float, ...]
    key_irreps: tuple[str, ...]
    frequencies: tuple[int, ...]
    key_cuts: tuple[float, ...]
    explained_test_pairs: float | None
    explained_all_pairs: float
    basis: str


@detector(
    needs=("logits", "group", "split"),
    version=1,
    source="arXiv:2302.03025",
    formula="*L*(*a*, *b*, *c*) = Σ_{*ρ*} *α*_{*ρ*} *χ*_{*ρ*}(*a b c*^{−1}); of a cyclic group *χ*_{*k*} = "  # noqa: RUF001
    "2 cos(2π*k*(*a* + *b* − *c*)/*n*)",  # noqa: RUF001
    invariant_to=FREE,
    chose="key_irreps",
    clause=lambda score: spoken(score.key_irreps),
    order=30,
)
def trig_logits(model: ModelView, /, *, draws: int = 199, seed: int = 0) -> TrigLogits:
    """Characters of a b c^-1 explain the logits.

    model: logits() [pairs, answers], and its train_mask where known. draws: permutations of the labels. Errors:
    NotApplicable where the task has no group.

    Square neurons give (1 + cos(w(a-b))) cos(w(a+b-c)), of which the character is 1 part in 1 + 1/2:

    >>> import detectors, models_zoo
    >>> score = detectors.trig_logits(models_zoo.trig_mlp(p=11, frequencies=(3,), act_fn="square"))
    >>> score.frequencies, score.basis, round(score.explained_all_pairs, 6)
    ((3,), 'all_pairs', 0.666667)
    """
    grid, claimed = model.plane, model.split.claimed
    untrained = grid.everything[:0] if claimed is None else grid.among(~claimed)
    tested = len(untrained) > 0
    basis, chance = (untrained, None) if tested else (grid.everything, chance_shares(model.group))
    sample = null_sample(basis, seed)
    on_all, on_null = _cosines(grid, grid.everything), relabelled_cosines(grid, sample, draws, seed)
    on_basis = _cosines(grid, basis) if tested else on_all
    observed, null = float(_explained(_cosines(grid, sample), chance)), _explained(on_null, chance)
    visible = torch.where(on_basis > VISIBLE, on_basis.square(), 0.0)
    ranked = [i for i in on_all.argsort(descending=True, stable=True).tolist() if on_all[i] > VISIBLE]
    used = [i + 1 for i in carriers(visible, _shares(on_null))]
    return TrigLogits(
        value=corrected(float(_explained(on_basis, chance)), float(null.mean()), 1.0),
        null=permutation_null(observed, null, f"labels of {len(sample)} pairs"),
        causal=cause(model, used, edit_logits(model, basis), seed=seed),
        **named(model.group, ranked, visible, _shares(on_null)),
        similarity=tuple(on_all[ranked].tolist()),
        explained_test_pairs=float(_explained(on_basis)) if tested else None,
        explained_all_pairs=float(_explained(on_all)),
        basis="test_pairs" if tested else "all_pairs",
    )


def _shares(cosines: Float[Tensor, "*draws irreps"]) -> Float[Tensor, "*draws irreps"]:
    """Share of the logits' squares per irrep, positive similarities alone."""
    return cosines.clamp_min(0).square()


def _explained(
    cosines: Float[Tensor, "*draws irreps"], chance: Float[Tensor, " irreps"] | None = None
) -> Float[Tensor, "*draws"]:
    """The share that all irreps explain. chance: their chance shares where the training pairs are unknown, which has
    it times the Gini coefficient of its spectrum over the largest possible: 0 for a lookup table's, which is flat.
    """
    shares = _shares(cosines)
    if chance is None:
        return shares.sum(-1)
    peaked = weighted_gini(shares, chance) / (1 - chance[cosines.argmax(-1)]).clamp_min(1e-9)
    return shares.sum(-1) * peaked.clamp_max(1)


def _cosines(grid: LogitGrid, pairs: Int[Tensor, " pairs"]) -> Float[Tensor, " irreps"]:
    return character_cosines(grid.group, grid.fibre_mean(pairs), len(pairs), grid.power(pairs))
