"""What becomes of the answers when a motif's subspace is removed, kept, or exchanged for another.

Necessity: of the pairs answered right, the share that turns wrong once the subspace is projected out of the
activations that carry it, the mean kept. Sufficiency: of those pairs, the share still right when only the
subspace and the mean are kept. Control: necessity of a random set of other irreps of nearly the same dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from detectors.core.groups import Group
from detectors.core.irreps import along_characters
from detectors.core.nulls import subset
from detectors.core.score import Causal
from detectors.core.spectrum import BUDGET
from detectors.subjects.operands.view import ModelView
from detectors.subjects.right import answered

# Of 20 right answers one alone is the 5 points that judging takes for noise; half as many again leave some room.
MIN_PAIRS = 30
MAX_PAIRS = 4096  # a share over 4096 pairs has a standard error of at most 0.8%
SURE = (
    3.0  # standard errors between the right answers and any other relation: 1 in 740 for one, some % over 100 of them
)

# (pair indices [batch], irreps) -> keep -> logits [batch, answers] with only that subspace kept, or with it removed
Intervention = Callable[[Tensor, Sequence[int]], Callable[[bool], Tensor]]


def eligible_pairs(model: ModelView) -> tuple[Tensor, str] | None:
    """Labelled pairs answered right: test pairs if known and enough, else all; None where there are too few.

    Enough is 30 pairs, and an accuracy beyond chance: a model that has not learnt the task may still give answers c
    with a b c^-1 = g more often for some g than for others, so the right answers, g = 1, must be more than those of
    any other g by three standard errors.
    """
    grid, group, logits = model.plane, model.group, model.logits()
    element = torch.full((model.task.n_answers,), -1)
    element[grid.answers] = torch.arange(group.order)
    right = answered(logits[grid.pairs], grid.answers[grid.product])
    predicted = element[logits[grid.pairs].argmax(1)]
    offset = torch.from_numpy(group.table)[grid.product, torch.from_numpy(group.inverse)[predicted]]
    wrong = torch.where((predicted < 0) | (offset == group.identity), group.order, offset)  # no label, or a tie
    offset = torch.where(right, group.identity, wrong)

    def enough(among: Tensor) -> bool:
        counts = torch.bincount(offset[among], minlength=group.order)[: group.order]
        k = int(counts[group.identity])
        counts[group.identity] = 0
        other = int(counts.max())
        return k >= MIN_PAIRS and k > other + SURE * (k + other) ** 0.5

    claimed = model.split.claimed
    if claimed is not None and enough(test := ~claimed[grid.pairs]):
        return grid.pairs[right & test], "test_pairs"
    return (grid.pairs[right], "all_pairs") if enough(torch.ones_like(right)) else None


def cause(model: ModelView, key: Sequence[int], intervene: Intervention, *, seed: int) -> Causal | None:
    """Necessity, sufficiency and control of the key irreps (indices into `group.irreps`); None: unknown.

    At most 4096 of the eligible pairs are used, a fixed random subset.
    """
    found = eligible_pairs(model)
    if not key or found is None:
        return None
    pairs = found[0][subset(len(found[0]), MAX_PAIRS, seed)]
    answers, whole = torch.from_numpy(model.task.answer.ravel())[pairs], model.logits()[pairs]

    def share_right(logits: Tensor) -> float:
        return float(answered(logits, answers, of=whole).double().mean())

    with torch.no_grad():
        edited = intervene(pairs, key)
        removed, kept = share_right(edited(False)), share_right(edited(True))
        control = matched_irreps(model.group, key, seed)
        without_control = share_right(intervene(pairs, control)(False)) if control else None
    return Causal(
        necessity=1 - removed,
        sufficiency=kept,
        control=None if without_control is None else 1 - without_control,
        pairs=len(pairs),
        basis=found[1],
    )


def matched_irreps(group: Group, key: Sequence[int], seed: int) -> list[int]:
    """A random set of the other irreps, of as nearly the same total dimension as a greedy choice finds."""
    others = [i for i in range(1, len(group.irreps)) if i not in set(key)]
    missing = sum(group.irreps[i].dimension for i in key)
    chosen = []
    for i in np.random.default_rng(seed).permutation(others).tolist() if others else []:
        dimension = group.irreps[i].dimension
        if abs(missing - dimension) < abs(missing):
            chosen.append(i)
            missing -= dimension
    return chosen


def edit_embedding(model: ModelView) -> Intervention:
    """Project irreps out of the two operands' embeddings along the token axis.

    Left and right tokens are read in the order of the group elements; tokens without a label stay as they are.
    """
    n = model.task.n_tokens
    every = torch.arange(n)
    with torch.no_grad():
        table = model.run(torch.stack([every, every], 1), capture=["hook_embed"])[1]["hook_embed"][:, :2].double()
    tokens = [torch.from_numpy(t) for t in (model.labels.left, model.labels.right)]
    basis = torch.from_numpy(model.group.basis)

    def intervene(pairs: Tensor, irreps: Sequence[int]) -> Callable[[bool], Tensor]:
        columns = torch.cat([basis[:, model.group.slices[i]] for i in irreps], dim=1)
        inside = [columns @ (columns.T @ table[order, p]) for p, order in enumerate(tokens)]
        a, b = model.tokens_of(pairs).unbind(1)

        def logits(keep: bool) -> Tensor:
            edited = table.clone()
            for p, order in enumerate(tokens):
                rows = table[order, p]
                edited[order, p] = rows.mean(0) + inside[p] if keep else rows - inside[p]

            def edit(embedded: Tensor) -> Tensor:
                operands = torch.stack([edited[a, 0], edited[b, 1]], dim=1).to(embedded.dtype)
                return torch.cat([operands, embedded[:, 2:]], dim=1)

            return model.run(torch.stack([a, b], 1), edit={"hook_embed": edit})[0]

        return logits

    return intervene


def edit_neurons(model: ModelView) -> Intervention:
    """Project the families {trivial, irrep} x {trivial, irrep} out of the last neurons over the pairs.

    Where the logits are linear in those neurons only the readout is computed again, otherwise the model is run.
    """
    group, neurons, readout = model.group, model.neurons(), model.readout()
    n, flat = group.order, model.grid.reshape(-1)
    place = torch.empty(model.task.n_tokens**2, dtype=torch.long)
    place[flat] = torch.arange(n * n)
    mean = neurons[flat].mean(0)
    constant = torch.full((n, 1), n**-0.5, dtype=neurons.dtype)
    basis = torch.from_numpy(group.basis).to(neurons.dtype)
    size = max(1, BUDGET // n**2)

    def family(pairs: Tensor, irreps: Sequence[int]) -> Tensor:
        """[batch, m] what the neurons' families of these irreps contribute at the pairs, the mean left out."""
        out = torch.zeros(len(pairs), neurons.shape[1])
        for start in range(0, neurons.shape[1], size):
            columns = slice(start, start + size)
            cube = (neurons[flat][:, columns] - mean[columns]).reshape(n, -1)  # [a, (b, m)]
            for i in irreps:
                q = torch.cat([constant, basis[:, group.slices[i]]], dim=1)
                within_a = (q @ (q.T @ cube)).reshape(n, n, -1)
                within = torch.einsum("bj,ajm->abm", q, torch.einsum("bj,abm->ajm", q, within_a))
                out[:, columns] += within.reshape(n * n, -1)[place[pairs]]
        return out

    def intervene(pairs: Tensor, irreps: Sequence[int]) -> Callable[[bool], Tensor]:
        inside = family(pairs, irreps)

        def logits(keep: bool) -> Tensor:
            edited = mean + inside if keep else neurons[pairs] - inside
            if readout is not None:
                return model.logits()[pairs] + (edited - neurons[pairs]) @ readout
            name = f"blocks.{model.network.n_layers - 1}.mlp.hook_post"
            return model.run(model.tokens_of(pairs), edit={name: lambda _: edited[:, None]})[0]

        return logits

    return intervene


def edit_logits(model: ModelView, fitted: Int[Tensor, " fitted"]) -> Intervention:
    """Project the characters, as fitted on some of the labelled pairs, out of the logits centred over the answers."""
    grid = model.plane
    f, place = grid.fibre_mean(fitted), torch.empty(model.task.n_tokens**2, dtype=torch.long)
    place[grid.pairs] = grid.everything

    def intervene(pairs: Tensor, irreps: Sequence[int]) -> Callable[[bool], Tensor]:
        structured = grid.spread(along_characters(grid.group, f, irreps), place[pairs])

        def logits(keep: bool) -> Tensor:
            edited = torch.full((len(pairs), model.task.n_answers), -torch.inf, dtype=torch.float64)
            edited[:, grid.answers] = structured if keep else grid.rows(place[pairs]) - structured
            return edited

        return logits

    return intervene
