"""The embedding holds few irreps: sum over a of W_E[a] cos(2 pi k a / p) vanishes for all but a few k.

Source: arXiv:2301.05217, section 4.1 and figure 3 (a + b mod p); arXiv:2302.03025, section 4 (any group).

Score: 0 is a spectrum as spread as that of the same rows in random order, 1 all power in one irrep. The value is the
Gini coefficient of the non-constant power over the irreps, each weighted by its chance share dimension / (n - 1), less
its mean over permutations of the rows, over the largest that the strongest irrep allows less that mean. Null: the rows
are permuted, both operands alike; where these differ the smaller Gini counts. Shares are of non-constant power. Where
the embeddings add up to preactivations, as in an MLP, a direction is weighed by what its neuron does to the logits.

What fools it: directions in the embedding that nothing reads are as sparse (their removal changes nothing: `inert`). A
memoriser may have a sparse embedding. Low-rank random rows look sparse to a plain Gini, which the null corrects. A
token order that is not the group's hides the spectrum. A large constant is not structure. The directions of a stream,
as a transformer's, have the units that the checkpoint gives them (`weighed_by` says `unit`): the zoo's add53_grokked
with its eleventh singular direction a hundred times as large, and what reads it a hundredth, is the same function, and
falls from 0.87 to 0.23, under the threshold. As training leaves them units hardly matter: in fourteen transformers
(two of the zoo, twelve of arXiv:2302.03025) weights by gradient would move the score by 0.012 at most.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from detectors.core.groups import Group
from detectors.core.irreps import named
from detectors.core.nulls import carriers, corrected, permutation_null, permutations
from detectors.core.registry import FREE, detector
from detectors.core.score import Score
from detectors.core.spectrum import block_power, chance_shares, permuted_block_power, ranked, weighted_gini
from detectors.subjects.operands.edits import cause, edit_embedding, of_irreps
from detectors.subjects.operands.effects import POWER_ALONE, embedded_effects, weighed_by
from detectors.subjects.operands.view import ModelView


@dataclass(frozen=True, kw_only=True, slots=True)
class SparseFourierEmbedding(Score):
    """Evidence. Lists are parallel, strongest irrep first, unless said.

    irreps: every irrep. dimensions: of their blocks. power: their shares, mean of the two operands. key_cuts: the
    shares of which chance passes any in 1 draw of 100 (see `nulls.key_cut`). key_irreps: those above their cut, and
    frequencies: their integers, for cyclic and dihedral groups (not parallel). gini: weighted, of the operand with the
    smaller value. gini_norms: of that operand, the plain Gini of the component norms, the published variant
    (arXiv:2301.05217, section 5; mean left out). weighed_by: what a direction counts by, where it is a neuron's
    preactivation: that neuron's `effect` on the logits, or its `power` where no gradient says more; else its `unit`.
    """

    irreps: tuple[str, ...]
    dimensions: tuple[int, ...]
    power: tuple[float, ...]
    key_irreps: tuple[str, ...]
    frequencies: tuple[int, ...]
    key_cuts: tuple[float, ...]
    gini: float
    gini_norms: float
    weighed_by: str


@detector(
    needs=("embedding", "group", "logits", "run"),
    version=4,
    source="arXiv:2301.05217",
    formula=r"W_E[a] = \sum_k u_k \cos\left(\frac{2\pi k a}{n}\right) + v_k \sin\left(\frac{2\pi k a}{n}\right)"
    "\n"
    r"\text{over few } k \text{; of any group: few irreps}",
    invariant_to=(*FREE, "embedding_scale", "embedding_offset"),  # not "residual_scale": see what fools it
    chose="key_irreps",
    parallel=("irreps", "dimensions", "power", "key_cuts"),
    carrier="embedding",
    order=10,
)
def sparse_fourier_embedding(model: ModelView, /, *, draws: int = 199, seed: int = 0) -> SparseFourierEmbedding:
    """Few irreps hold the embedding's power.

    model: embedding(operand) [n_tokens, d]. draws: permutations of the rows. Errors: NotApplicable where the task has
    no group. Reads the operand with the smaller value where they differ.

    >>> import detectors, models_zoo
    >>> score = detectors.sparse_fourier_embedding(models_zoo.trig_mlp(p=11, frequencies=(3,)))
    >>> round(score.value, 6), score.frequencies, score.null.p_value
    (1.0, (3,), 0.005)
    """
    group, weighed, operands = model.group, weighed_by(model), _operands(model)
    chance, order = chance_shares(group), permutations(group.order, draws, seed)
    power = torch.stack([_shares(block_power(group, rows)) for rows in operands])
    null_power = torch.stack([_shares(permuted_block_power(group, rows, order)) for rows in operands])
    gini, null_gini = weighted_gini(power, chance), weighted_gini(null_power, chance)
    each = torch.stack([gini, null_gini.mean(1), 1 - chance[power.argmax(1)]], dim=1)
    values = [corrected(*one) for one in each.tolist()]
    weakest = values.index(min(values))
    share, null_share = power.mean(0), null_power.mean(0)
    strongest, used = ranked(share), [i + 1 for i in carriers(share, null_share)]
    return SparseFourierEmbedding(
        value=values[weakest],
        null=permutation_null(float(gini.min()), null_gini.min(0).values, "embedding rows"),
        causal=cause(model, of_irreps(group, used), edit_embedding(model), seed=seed),
        remark=f"its directions are weighed by {POWER_ALONE}" if weighed == "power" else "",
        **named(group, strongest, share, null_share),
        power=tuple(share[strongest].tolist()),
        gini=float(gini[weakest]),
        gini_norms=_gini_of_norms(group, operands[weakest]),
        weighed_by=weighed,
    )


def _operands(model: ModelView) -> list[Float[Tensor, "n d"]]:
    """The rows of each operand in the order of the group elements, once where they are the same."""
    tokens = model.labels.left, model.labels.right
    left, right = (model.embedding(i)[torch.from_numpy(tokens[i])] for i in (0, 1))
    if (effect := embedded_effects(model)) is not None:
        left, right = (rows * effect.sqrt().to(rows.dtype) for rows in (left, right))
    return [left] if torch.equal(left, right) else [left, right]


def _shares(power: Float[Tensor, "*draws irreps"]) -> Float[Tensor, "*draws irreps"]:
    return power / power.sum(-1, keepdim=True).clamp_min(torch.finfo(power.dtype).tiny)


def _gini_of_norms(group: Group, rows: Float[Tensor, "n d"]) -> float:
    norms = (torch.from_numpy(group.basis[:, 1:]).T @ rows.double()).norm(dim=1)
    return float(weighted_gini(norms, torch.full_like(norms, 1 / len(norms))))
