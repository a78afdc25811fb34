"""The logits are characters of a b c^-1: for a + b mod p, sum over k of alpha_k cos(2 pi k (a + b - c) / p).

Source: arXiv:2301.05217, section 4.1 (cos(w(a+b-c))); arXiv:2302.03025, section 5 (trace similarity, any group). The
logits of a pair are scaled down where it would count for more than ten of the loudest tenth (`operands.loud`).

Score: 0 is what logits with shuffled labels explain, 1 all of the logits centred over c, by few irreps. The value rests
on the share of their squares that characters explain, positive similarities alone, times the concentration of that
spectrum (its Gini coefficient over the largest possible): a lookup table is a function of a b c^-1 where it was looked
up, and its spectrum is flat. It is taken on unseen pairs, or on all where the training set is unknown or leaves under
32 of those (`basis`). Null: one permutation relabels a, b and c alike, on a fixed random subset of the pairs.

What fools it: exact one-hot logits are flat whatever they generalise to, and no trig circuit; a network that uses every
irrep on purpose is flat too, so where no unseen pairs can tell it from a table its neurons are looked at. The right
spectrum with negative signs votes for the wrong answers, so only positive similarities count. A relabelled task without
its table has no characters to see. An offset of the logits is not structure and is centred away.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from detectors.core.concentrated import CONCENTRATED
from detectors.core.errors import Undetermined
from detectors.core.irreps import named, spoken
from detectors.core.nulls import carriers, corrected, permutation_null
from detectors.core.registry import FREE, detector
from detectors.core.score import Score
from detectors.core.spectrum import ranked
from detectors.subjects.operands.edits import cause, edit_logits, of_characters
from detectors.subjects.operands.effects import effects
from detectors.subjects.operands.families import alive, families
from detectors.subjects.operands.plane import concentration
from detectors.subjects.operands.relabelling import null_sample, relabelled_cosines
from detectors.subjects.operands.split import MIN_UNSEEN
from detectors.subjects.operands.view import ModelView

# Of the neurons' weight, in families of one irrep each: networks that generalise have 0.87 and more, memorisers less
# than 0.75.
PURE = 0.8
# Of the logits' squares: symmetric lookups hold up to 0.16 of concentrated ones, networks of all irreps 0.4 and more.
MUCH = 0.2
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
    concentration: float
    basis: str
    pairs: int


@detector(
    needs=("logits", "group", "split"),
    version=5,
    source="arXiv:2302.03025",
    formula=r"L(a, b, c) = \sum_\rho \alpha_\rho \chi_\rho(a b c^{-1})"
    "\n"
    r"\text{of a cyclic group: } \chi_k = 2 \cos\left(\frac{2\pi k (a + b - c)}{n}\right)",
    invariant_to=(*FREE, "residual_scale"),
    chose="key_irreps",
    parallel=("irreps", "dimensions", "similarity", "key_cuts"),
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
    grid = model.plane
    pairs, basis = _basis(model)
    sample = null_sample(pairs, seed)
    on_all, on_basis = grid.cosines(grid.everything), grid.cosines(pairs)
    on_null = relabelled_cosines(grid, sample, draws, seed)
    explained, peaked = float(_shares(on_basis).sum()), float(concentration(grid.group, on_basis))
    flat = peaked < CONCENTRATED and explained >= MUCH
    if flat and basis == "all_pairs":
        _check_neurons(model, explained, peaked)
    observed, null = float(_statistic(model, grid.cosines(sample))), _statistic(model, on_null)
    visible = torch.where(on_basis > VISIBLE, on_basis.square(), 0.0)
    strongest = [i for i in ranked(on_all.clamp_min(0)) if on_all[i] > VISIBLE]
    used = of_characters(grid.group, [i + 1 for i in carriers(visible, _shares(on_null))])
    return TrigLogits(
        value=corrected(explained * peaked, float(null.mean()), 1.0),
        null=permutation_null(
            observed, null, f"labels of {len(sample)} {basis.removeprefix('all_').replace('_', ' ')}"
        ),
        causal=cause(model, used, edit_logits(model, pairs), seed=seed, leaks=True),
        remark="its spectrum is flat, all irreps alike, as a table's is" if flat else "",
        **named(model.group, strongest, visible, _shares(on_null)),
        similarity=tuple(on_all[strongest].tolist()),
        explained_test_pairs=explained if basis == "unseen_pairs" else None,
        explained_all_pairs=float(_shares(on_all).sum()),
        concentration=peaked,
        basis=basis,
        pairs=len(pairs),
    )


def _basis(model: ModelView) -> tuple[Int[Tensor, " pairs"], str]:
    """Unseen pairs where they are known and enough, all otherwise."""
    grid, split = model.plane, model.split
    if split.known and split.unseen is not None and len(unseen := grid.among(split.unseen)) >= MIN_UNSEEN:
        return unseen, "unseen_pairs"
    return grid.everything, "all_pairs"


def _check_neurons(model: ModelView, explained: float, peaked: float) -> None:
    """Undetermined where the neurons beside a flat spectrum are of one irrep each: the network may use all irreps."""
    for layer in model.neuron_layers:
        found = families(model, model.neurons(layer), effects(model, layer))
        pure = found.of(alive(found.total)).shares()[0]
        if pure >= PURE:
            raise Undetermined(
                f"characters explain {explained:.0%} of the logits, with a flat spectrum (concentration {peaked:.2f}): "
                f"a table, or a network that uses every irrep, as its neurons do ({pure:.0%} of layer {layer} in one "
                "each). Unseen pairs alone could tell: pass the training pairs"
            )


def _shares(cosines: Float[Tensor, "*draws irreps"]) -> Float[Tensor, "*draws irreps"]:
    """Share of the logits' squares per irrep, positive similarities alone."""
    return cosines.clamp_min(0).square()


def _statistic(model: ModelView, cosines: Float[Tensor, "*draws irreps"]) -> Float[Tensor, "*draws"]:
    return _shares(cosines).sum(-1) * concentration(model.group, cosines)
