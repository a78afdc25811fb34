"""What becomes of the answers when a motif's subspace is removed, kept, or exchanged for another.

Necessity: of the pairs answered right, the share that turns wrong once the subspace is projected out of the
activations that carry it, the mean kept. Sufficiency: of those pairs, the share still right when only the
subspace and the mean are kept. Control: necessity of random directions of the complement (see `controls`). An answer is
still right with a tenth of its own margin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from detectors.core.groups import Group
from detectors.core.nulls import mcnemar, subset
from detectors.core.score import Causal
from detectors.core.spectrum import BUDGET, CACHE
from detectors.subjects.operands.controls import (
    Along,
    Controls,
    Edited,
    Elsewhere,
    Intervention,
    Parts,
    controls,
    other_products,
)
from detectors.subjects.operands.network import CHUNK
from detectors.subjects.operands.once import once
from detectors.subjects.operands.view import ModelView
from detectors.subjects.right import answered, enough, still_answered

MAX_PAIRS = 2048  # a share over 2048 pairs has a standard error of at most 1.1%


@once
def eligible_pairs(model: ModelView) -> tuple[Int[Tensor, " pairs"], str] | None:
    """Labelled pairs answered right: unseen ones if known, enough and of more than half as many quotients a b^-1 as
    random pairs, since the loudness of sums of waves depends on it; else all; None where there are too few.

    Enough is 30 pairs, and an accuracy beyond chance: a model that has not learnt the task may still give answers c
    with a b c^-1 = g more often for some g than for others, so the right answers, g = 1, must be more than those of
    any other g by three standard errors.
    """
    grid, group, logits = model.plane, model.group, model.logits()
    element = torch.full((model.task.n_answers,), -1)
    element[grid.answers] = torch.arange(group.order)
    answers = grid.answers[grid.product]
    right, predicted = torch.empty_like(answers, dtype=torch.bool), torch.empty_like(answers)
    for k in grid.batches(grid.everything):
        rows = logits.index_select(0, grid.pairs[k])
        right[k], predicted[k] = answered(rows, answers[k]), element[rows.argmax(1)]
    right &= torch.from_numpy(model.task.answer.ravel())[grid.pairs] == answers  # no hole of a table
    offset = torch.from_numpy(group.table)[grid.product, torch.from_numpy(group.inverse)[predicted]]
    wrong = torch.where((predicted < 0) | (offset == group.identity), group.order, offset)  # no label, or a tie
    offset = torch.where(right, group.identity, wrong)

    def asks(among: Tensor) -> bool:
        counts = torch.bincount(offset[among], minlength=group.order)[: group.order]
        k = int(counts[group.identity])
        counts[group.identity] = 0
        return enough(k, int(counts.max()))

    split = model.split
    if split.known and split.unseen is not None and asks(unseen := split.unseen[grid.pairs]):
        a, b = np.divmod(grid.everything[right & unseen].numpy(), group.order)
        of_random = group.order * (1 - (1 - 1 / group.order) ** len(a))
        if 2 * len(np.unique(group.table[a, group.inverse[b]])) > of_random:
            return grid.pairs[right & unseen], "unseen_pairs"
    return (grid.pairs[right], "all_pairs") if asks(torch.ones_like(right)) else None


def cause(
    model: ModelView,
    motif: Parts,
    intervene: Intervention,
    *,
    seed: int,
    leaks: bool = False,
    elsewhere: Elsewhere | None = None,
) -> Causal | None:
    """Necessity, sufficiency and control of a subspace; None: unknown.

    At most 2048 of the eligible pairs are used, a fixed random subset. leaks: what is projected out holds the answers
    of training pairs whatever the model has learnt, so that only pairs which show what carries over say anything.
    elsewhere: directions for a control where the group's functions leave too few.
    """
    found = eligible_pairs(model)
    if not motif or found is None or (leaks and found[1] == "all_pairs" and not model.split.assumption):
        return None
    pairs = found[0][subset(len(found[0]), MAX_PAIRS, seed)]
    answers, whole = torch.from_numpy(model.task.answer.ravel())[pairs], model.logits().index_select(0, pairs)

    def kept(logits: Tensor) -> Bool[np.ndarray, " pairs"]:
        right: Bool[np.ndarray, " pairs"] = still_answered(logits, answers, whole).numpy()
        return right

    with torch.no_grad():
        edited = intervene(pairs, motif)
        lost, sufficient = ~kept(edited.logits(False)), kept(edited.logits(True))
        others, *dimensions = controls(pairs, motif, intervene, elsewhere, np.random.default_rng(seed))
        control = np.stack([~kept(other.logits(False)) for other in others]) if others else None
    return Causal(
        necessity=float(lost.mean()),
        sufficiency=float(sufficient.mean()),
        control=None if control is None else float(control.mean()),
        control_spread=None if control is None else float(control.mean(1).std()),
        p_value=None if control is None else max(mcnemar(lost, other) for other in control),
        pairs=len(pairs),
        basis=found[1],
        dimensions=dimensions[0],
        control_dimensions=dimensions[1],
        power=edited.power,
        control_power=float(np.mean([other.power for other in others])) if others else None,
    )


def elements(model: ModelView, pairs: Int[Tensor, " batch"]) -> tuple[Int[Tensor, " batch"], Int[Tensor, " batch"]]:
    """The group elements of both operands."""
    n = model.group.order
    place = torch.empty(model.task.n_tokens**2, dtype=torch.long)
    place[model.grid.reshape(-1)] = torch.arange(n * n)
    return place[pairs] // n, place[pairs] % n


def of_irreps(group: Group, irreps: Sequence[int]) -> Parts:
    """Bases of the isotypic blocks (indices into `group.irreps`)."""
    basis = torch.from_numpy(group.basis)
    return [basis[:, group.slices[i]] for i in irreps]


def of_characters(group: Group, irreps: Sequence[int]) -> Parts:
    """The characters alone, as unit vectors."""
    characters = (torch.from_numpy(group.irreps[i].character)[:, None] for i in irreps)
    return [c / c.norm() for c in characters]


def edit_embedding(model: ModelView) -> Intervention:
    """Project a subspace out of the two operands' embeddings along the token axis.

    Left and right tokens are read in the order of the group elements; tokens without a label stay as they are.
    """
    every = torch.arange(model.task.n_tokens)
    with torch.no_grad():
        table = model.run(torch.stack([every, every], 1), capture=["hook_embed"])[1]["hook_embed"][:, :2].double()
    tokens = [torch.from_numpy(t) for t in (model.labels.left, model.labels.right)]
    total = sum(float((table[t, p] - table[t, p].mean(0)).square().sum()) for p, t in enumerate(tokens))

    def intervene(pairs: Int[Tensor, " batch"], parts: Parts) -> Edited:
        columns = torch.cat(list(parts), dim=1)
        inside = [columns @ (columns.T @ table[order, p]) for p, order in enumerate(tokens)]

        def logits(keep: bool) -> Tensor:
            edited = table.clone()
            for p, order in enumerate(tokens):
                rows = table[order, p]
                edited[order, p] = rows.mean(0) + inside[p] if keep else rows - inside[p]

            def edit(some: Int[Tensor, " some"], embedded: Tensor) -> Tensor:
                (a, b), rows = model.tokens_of(pairs[some]).unbind(1), edited.to(embedded.dtype)
                return torch.cat([torch.stack([rows[a, 0], rows[b, 1]], dim=1), embedded[:, 2:]], dim=1)

            return edited_logits(model, pairs, "hook_embed", edit)

        return Edited(logits, sum(float(x.square().sum()) for x in inside) / total if total > 0 else 0.0)

    return intervene


def edit_neurons(model: ModelView, layer: int = -1) -> Intervention:
    """Project the families {constant, part} x {constant, part} out of a layer's neurons over the pairs.

    Where the logits are linear in those neurons only the readout is computed again, otherwise the model is run.
    """
    group, neurons = model.group, model.neurons(layer)
    n, flat = group.order, model.grid.reshape(-1)
    some = flat.split(max(1, CACHE // max(1, neurons.shape[1])))
    mean = (torch.stack([neurons.index_select(0, k).double().sum(0) for k in some]).sum(0) / len(flat)).float()
    total = float(sum((neurons.index_select(0, k) - mean).double().square().sum() for k in some))
    constant = torch.full((n, 1), n**-0.5, dtype=neurons.dtype)

    def family(pairs: Int[Tensor, " batch"], parts: Parts) -> tuple[Float[Tensor, "batch m"], float]:
        """What the neurons' families contribute at the pairs, the mean left out, and their share of the power."""
        a, b = elements(model, pairs)
        of_a = a.argsort(stable=True).split(torch.bincount(a, minlength=n).tolist())
        several = [torch.cat([constant, part.to(neurons.dtype)], dim=1) for part in parts]
        q = torch.cat(several, dim=1)
        out, power = torch.zeros(len(pairs), neurons.shape[1]), 0.0
        at_once = max(1, BUDGET // (n * max(n, q.shape[1])))
        for few, middle, inside in zip(*(x.split(at_once, -1) for x in (neurons, mean, out)), strict=True):
            centred = few.index_select(0, flat).sub_(middle).reshape(n, -1)
            along = (q.T @ centred).reshape(q.shape[1], n, -1)
            cores = [of.T @ x for of, x in zip(several, along.split([x.shape[1] for x in several]), strict=True)]
            power += float(sum(core.double().square().sum() for core in cores))
            at = torch.cat([torch.tensordot(of, core, 1) for of, core in zip(several, cores, strict=True)], dim=1)
            for some, from_a in zip(of_a, at, strict=True):
                inside[some] = q.index_select(0, b[some]) @ from_a
        return out, power / total if total > 0 else 0.0

    def intervene(pairs: Int[Tensor, " batch"], parts: Parts) -> Edited:
        inside, power = family(pairs, parts)
        return Edited(
            lambda keep: with_neurons(
                model, layer, pairs, mean + inside if keep else neurons.index_select(0, pairs) - inside
            ),
            power,
        )

    return intervene


def other_neurons(model: ModelView, layer: int = -1) -> Elsewhere:
    """Products of two different irreps, projected out of a layer's neurons, for a control."""

    def elsewhere(pairs: Int[Tensor, " batch"], motif: Parts, rng: np.random.Generator) -> Controls:
        n, neurons, flat = model.group.order, model.neurons(layer), model.grid.reshape(-1)
        centred = neurons.index_select(0, flat)
        centred = (centred - centred.mean(0)).double()
        (a, b), before = elements(model, pairs), neurons.index_select(0, pairs)
        draws, own, others = other_products(centred.reshape(n, n, -1), rng, motif)
        total = float(centred.square().sum())

        def edited(along: Along) -> Edited:
            inside = along.at(a, b).to(neurons.dtype)
            return Edited(
                lambda keep: with_neurons(model, layer, pairs, inside if keep else before - inside),
                along.power / total if total > 0 else 0.0,
            )

        return Controls([edited(along) for along in draws], own, others)

    return elsewhere


def with_neurons(model: ModelView, layer: int, pairs: Int[Tensor, " batch"], neurons: Tensor) -> Tensor:
    """Logits [batch, answers] of the pairs with other neurons [batch, m] in a layer, at the answer position."""
    readout = model.readout(layer)
    if readout is not None:
        before, own = (x.index_select(0, pairs) for x in (model.logits(), model.neurons(layer)))
        return before + (neurons - own) @ readout
    name = f"blocks.{layer % model.network.n_layers}.mlp.hook_post"
    return at_answer(model, pairs, name, lambda some, _: neurons.index_select(0, some))


def at_answer(
    model: ModelView, pairs: Int[Tensor, " batch"], name: str, edit: Callable[[Int[Tensor, " some"], Tensor], Tensor]
) -> Tensor:
    """`edited_logits` of an edit of the answer position, [some, m] to [some, m]."""
    return edited_logits(
        model, pairs, name, lambda some, x: torch.cat([x[:, :-1], edit(some, x[:, -1])[:, None].to(x.dtype)], dim=1)
    )


def edited_logits(
    model: ModelView, pairs: Int[Tensor, " batch"], name: str, edit: Callable[[Int[Tensor, " some"], Tensor], Tensor]
) -> Tensor:
    """Logits [batch, answers] of the pairs with the tensor at a hook replaced by what `edit` makes of it and of the
    places of its pairs in `pairs`: some at a time, since what a pass makes then stays in a cache.
    """
    several = torch.arange(len(pairs)).split(CHUNK)
    return torch.cat([model.run(model.tokens_of(pairs[k]), edit={name: partial(edit, k)})[0] for k in several])


def edit_logits(model: ModelView, fitted: Int[Tensor, " fitted"]) -> Intervention:
    """Project functions of a b c^-1, as fitted on some labelled pairs, out of the logits centred over the answers."""
    grid = model.plane
    f, place = grid.fibre_mean(fitted), torch.empty(model.task.n_tokens**2, dtype=torch.long)
    place[grid.pairs] = grid.everything
    total = grid.power(fitted) / max(len(fitted), 1)

    def intervene(pairs: Int[Tensor, " batch"], parts: Parts) -> Edited:
        columns = torch.cat(list(parts), dim=1)
        within = columns @ (columns.T @ f)
        structured = grid.spread(within, place[pairs])

        def logits(keep: bool) -> Tensor:
            edited = torch.full((len(pairs), model.task.n_answers), -torch.inf, dtype=torch.float64)
            edited[:, grid.answers] = structured if keep else grid.whole(place[pairs]) - structured
            return edited

        return Edited(logits, float(within.square().sum()) / total if total > 0 else 0.0)

    return intervene
