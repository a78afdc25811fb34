"""The logits are characters of a b c^-1: for a + b mod p, sum over k of alpha_k cos(2 pi k (a + b - c) / p).

Source: arXiv:2301.05217, section 4.1 (cos(w(a+b-c))); arXiv:2302.03025, section 5 (trace similarity, any group).

Score: 0 is what logits with shuffled labels explain, 1 all of the logits centred over c. The value rests on the
share of their squares that characters explain, positive similarities alone, on pairs the model was not trained
on: a part estimated on training pairs would contain their answers. Training set unknown (`basis` all_pairs): the
share on all pairs times the Gini of its spectrum over the largest possible, since a lookup table's is flat.
Null: one permutation relabels a, b and c alike, on a fixed random subset of the pairs.

What fools it: a lookup table is a function of a b c^-1 on the pairs it was trained on. The right spectrum with
negative signs votes for the wrong answers, so only positive similarities count. A relabelled task without its
table has no characters to see. An offset of the logits is not structure and is centred away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from detectors.core.groups import Group
from detectors.core.irreps import named
from detectors.core.nulls import carriers, corrected, key_cut, permutation_null, permutations, subset
from detectors.core.registry import FREE, detector
from detectors.core.score import Score
from detectors.core.spectrum import chance_shares, weighted_gini
from detectors.subjects.operands.edits import Intervention, cause
from detectors.subjects.operands.plane import LogitGrid, character_cosines
from detectors.subjects.operands.view import ModelView

NULL_PAIRS = 1024
VISIBLE = 0.005  # similarities above it are listed, as in arXiv:2302.03025


@dataclass(frozen=True, kw_only=True, slots=True)
class TrigLogits(Score):
    """Evidence. Lists are parallel, strongest irrep first, unless said.

    irreps: every irrep whose similarity exceeds 0.005. dimensions: of their blocks. similarity: cosine of the
    centred logits with the character of a b c^-1, over all pairs. key_cuts: the squared similarity that chance
    passes in 1 draw of 100. key_irreps: those whose squared similarity on `basis` exceeds it, and frequencies: their
    integers, for cyclic and dihedral groups (not parallel). explained_test_pairs, explained_all_pairs: sum of the
    squares of the positive similarities; the former None where the training set is unknown. basis: `test_pairs` or
    `all_pairs`, what the value rests on.
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


def _clause(score: TrigLogits) -> str:
    """`frequencies 3, 5 and the irrep sign`."""

    def listed(word: str, words: str, names: list[str], most: int = 8) -> str:
        weaker = f" and {len(names) - most} weaker" if len(names) > most else ""
        return f"{word if len(names) == 1 else words} {', '.join(names[:most])}{weaker}" if names else ""

    frequencies = [k.removeprefix("freq_") for k in score.key_irreps if k.startswith("freq_")]
    others = [k for k in score.key_irreps if not k.startswith("freq_")]
    parts = listed("frequency", "frequencies", frequencies), listed("the irrep", "the irreps", others)
    return " and ".join(part for part in parts if part)


@detector(
    needs=("logits", "group", "split"),
    version=1,
    source="arXiv:2302.03025",
    formula="*L*(*a*, *b*, *c*) = Σ_{*ρ*} *α*_{*ρ*} *χ*_{*ρ*}(*a b c*^{−1}); of a cyclic group *χ*_{*k*} = "  # noqa: RUF001
    "2 cos(2π*k*(*a* + *b* − *c*)/*n*)",  # noqa: RUF001
    invariant_to=FREE,
    chose="key_irreps",
    clause=_clause,
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
    grid, group = model.plane, model.group
    everything, claimed = grid.everything, model.split.claimed
    on_all = _cosines(grid, everything)
    basis = everything if claimed is None else grid.among(~claimed)
    tested = claimed is not None and len(basis) > 0
    basis = basis if tested else everything
    on_basis = _cosines(grid, basis) if tested else on_all
    sample = basis[subset(len(basis), NULL_PAIRS, seed)]
    sample_cosines = _cosines(grid, sample)
    null_cosines = _permuted_cosines(grid, sample, draws, seed)
    statistic = _explained if tested else partial(_explained_and_peaked, chance=chance_shares(group))
    null = statistic(null_cosines)
    cut = key_cut(_shares(null_cosines))
    ranked = [i for i in on_all.argsort(descending=True, stable=True).tolist() if on_all[i] > VISIBLE]
    key = [i for i in ranked if on_basis[i] > VISIBLE and on_basis[i] ** 2 > cut[i]]
    used = [i for i in carriers(_shares(on_basis), _shares(null_cosines)) if on_basis[i] > VISIBLE]
    return TrigLogits(
        value=corrected(float(statistic(on_basis)), float(null.mean()), 1.0),
        null=permutation_null(float(statistic(sample_cosines)), null, f"labels of {len(sample)} pairs"),
        causal=cause(model, [i + 1 for i in used], _edit_logits(model, grid, basis), seed=seed),
        **named(group, ranked, key),
        similarity=tuple(on_all[ranked].tolist()),
        key_cuts=tuple(cut[ranked].tolist()),
        explained_test_pairs=float(_explained(on_basis)) if tested else None,
        explained_all_pairs=float(_explained(on_all)),
        basis="test_pairs" if tested else "all_pairs",
    )


def _shares(cosines: Tensor) -> Tensor:
    """Share of the logits' squares per irrep, positive similarities alone."""
    return cosines.clamp_min(0).square()


def _explained(cosines: Tensor) -> Tensor:
    return _shares(cosines).sum(-1)


def _explained_and_peaked(cosines: Tensor, chance: Tensor) -> Tensor:
    """The share, times the Gini coefficient of its spectrum over the largest possible: 0 for a lookup table's,
    which is proportional to the blocks' dimensions."""
    shares = _shares(cosines)
    peaked = weighted_gini(shares, chance) / (1 - chance[cosines.argmax(-1)]).clamp_min(1e-9)
    return shares.sum(-1) * peaked.clamp_max(1)


def _cosines(grid: LogitGrid, pairs: Tensor) -> Tensor:
    return character_cosines(grid.group, grid.fibre_mean(pairs), len(pairs), grid.power(pairs))


def _permuted_cosines(grid: LogitGrid, pairs: Tensor, draws: int, seed: int) -> Tensor:
    """[draws, irreps] similarities of a few pairs' logits under one relabelling of a, b and c."""
    group, n = grid.group, grid.n
    rows, power = grid.rows(pairs), grid.power(pairs)
    table = torch.from_numpy(group.table)
    out = []
    for perm in permutations(n, draws, seed):
        product = table[perm[pairs // n], perm[pairs % n]]
        by_product = torch.zeros(n, n, dtype=torch.float64).index_add_(0, product, rows)
        # the answer column c is now called perm[c], so column perm^-1(g^-1 w) stands at g
        f = by_product.gather(1, perm.argsort()[grid.shift]).sum(0) / len(pairs)
        out.append(character_cosines(group, f, len(pairs), power))
    return torch.stack(out)


def _edit_logits(model: ModelView, grid: LogitGrid, basis: Tensor) -> Intervention:
    """Remove from the centred logits, or keep of them, the characters as fitted on the pairs `basis`."""
    f = grid.fibre_mean(basis)
    place = torch.empty(model.task.n_tokens**2, dtype=torch.long)
    place[grid.pairs] = torch.arange(grid.n**2)

    def intervene(pairs: Tensor, irreps: Sequence[int]) -> Callable[[bool], Tensor]:
        rows = grid.rows(place[pairs])
        structured = grid.spread(_project(grid.group, f, irreps), place[pairs])

        def logits(keep: bool) -> Tensor:
            edited = torch.full((len(pairs), model.task.n_answers), -torch.inf, dtype=torch.float64)
            edited[:, grid.answers] = structured if keep else rows - structured
            return edited

        return logits

    return intervene


def _project(group: Group, f: Tensor, irreps: Sequence[int]) -> Tensor:
    """Part of f [n] along the characters of the irreps (indices into `group.irreps`)."""
    out = torch.zeros_like(f)
    for i in irreps:
        character = torch.from_numpy(group.irreps[i].character)
        out += character * (character @ f) / character.square().sum()
    return out
