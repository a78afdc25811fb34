"""Structures that a state dict may have, the most usual first: tables, positions, blocks and layers together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, islice
from math import comb

import torch
from torch import Tensor

from detectors.loading.blocks import MAX_LAYERS, block, split
from detectors.loading.inputs import HEAD, SLOTS, Input, inputs
from detectors.loading.paths import Module, is_mask, modules
from detectors.loading.structure import Block, Dense, Norm, Structure, check_feed_forward, consistent, dense, norm

POSITION = "pos.*|pe|wpe|abs"
STEPS = 100_000  # layers looked at in chains: half a second
FURTHER = 4  # layers out of the file's order beyond the least that fits: a trial tries no readings less usual than that
NORM, GAINS = ".*norm.*|ln.*|rms.*|bn.*", ("weight", "w", "gamma", "gain", "g", "scale")


def structures(weights: Mapping[str, Tensor], n_tokens: int) -> list[tuple[int, Structure]]:
    """All that fit the shapes, none twice, the most usual first, with how much less usual than that each is.

    >>> weights = {"e.weight": torch.zeros(7, 4), "l.weight": torch.zeros(9, 8), "o.weight": torch.zeros(7, 9)}
    >>> [(s.table_name, [layer.name for layer in s.chain]) for _, s in structures(weights, 7)][0]
    ('e', ['l', 'o'])
    """
    check_feed_forward(weights)
    found, others = modules(weights)
    causal = any(is_mask(t.float()) for t in others.values() if t.ndim >= 2 and t.numel() < 1e7)
    listed: list[tuple[int, Structure]] = []
    for turn in (False, True):
        for cost, structure in _with_blocks(found, n_tokens, turn) or _layers_only(found, n_tokens, turn):
            if consistent(structure):
                listed.append((cost + 2 * turn, replace(structure, causal_mask=causal)))
    listed.sort(key=lambda pair: pair[0])
    first: dict[tuple[object, ...], tuple[int, Structure]] = {}
    for cost, structure in listed:
        first.setdefault(_key(structure), (cost - listed[0][0], structure))
    return list(first.values())


def _key(s: Structure) -> tuple[object, ...]:
    """Equal for structures that compute the same: which memory each part reads, and which way."""

    def place(t: Tensor | None) -> object:
        return None if t is None else (t.data_ptr(), t.shape, t.stride())

    blocks = [[place(d.weight) for d in (*_layers(b),)] + [place(n.gain) for n in b.norms] for b in s.blocks]
    chain = [place(layer.weight) for layer in s.chain]
    norms = [(i, place(n.gain)) for i, n in s.norms] + [place(n.gain) if n else None for n in (s.before, s.final)]
    return str((place(s.table), s.slots, chain, norms, place(s.positions), blocks, s.one_hot)), s.tied


def _layers(b: Block) -> Iterator[Dense]:
    a, m = b.attention, b.neurons
    if a is not None:
        yield from (d for d in (a.q, a.k, a.v, a.o) if d is not None)
    if m is not None:
        yield from (d for d in (m.gate, m.into, m.out) if d is not None)


def _with_blocks(found: Sequence[Module], n_tokens: int, turn: bool) -> list[tuple[int, Structure]]:
    """Structures with attention; none where there is no attention."""
    for width in _widths(found):
        parted = split(found, width, turn)
        if parted is None:
            continue
        groups, outside = parted
        blocks = [block(group, width, turn) for group in groups]
        if all(blocks):
            start = min(m.place for group in groups for m in group)
            inside = frozenset(name for group in groups for m in group for name in m.names)
            parts = _around([b for b in blocks if b], outside, width, n_tokens, turn, start)
            listed = [(cost, replace(s, used=s.used | inside)) for cost, s in parts]
            if listed:
                return listed
    return []


def _widths(found: Sequence[Module]) -> list[int]:
    """Of the stream: the lengths that most tensors have on some axis."""
    counts: Counter[int] = Counter()
    for m in found:
        counts.update({*m.shape, *([m.gain.numel()] if m.gain is not None else [])})
    return [size for size, _ in counts.most_common(4) if size > 1]


def _around(
    blocks: Sequence[Block], outside: Sequence[Module], width: int, n_tokens: int, turn: bool, start: int
) -> Iterator[tuple[int, Structure]]:
    """Tables, positions, norms and the head around blocks. start: the place where the blocks begin."""
    rest, positions = _positions(outside, width, n_tokens)
    every = [m for m in outside if m.is_norm and m.gain is not None and m.gain.numel() == width]
    for cost, plan in plans([m for m in rest if m.matrix is not None], n_tokens, width, turn):
        ends = [(less + more, norms, end) for less, norms in _taken(every) for more, end in _ends(norms, start)]
        for more, norms, (before, final) in ends:
            names = frozenset(n for m in (*norms[:2], *([positions] if positions else [])) for n in m.names)
            yield (
                cost + more,
                replace(
                    plan,
                    blocks=tuple(blocks),
                    positions=None if positions is None else _flat_positions(positions, width),
                    before=before,
                    final=final,
                    used=plan.used | names,
                ),
            )


def _ends(norms: Sequence[Module], start: int) -> list[tuple[int, tuple[Norm | None, Norm | None]]]:
    """The norms before and after the blocks: by the order of the file or by name, and the other way round."""
    if not norms:
        return [(0, (None, None))]
    if len(norms) > 1:
        return [(0, (norm(norms[0]), norm(norms[1]))), (3, (norm(norms[1]), norm(norms[0])))]
    one = norm(norms[0])
    early = (norms[0].place < start and not norms[0].says("ln|f|final.*|out.*|head")) or norms[0].says("emb.*|input")
    return [(3 * early, (None, one)), (3 * (not early), (one, None))]


def _flat_positions(module: Module, width: int) -> Tensor:
    assert module.matrix is not None
    return module.matrix.reshape(-1, width)


def _positions(outside: Sequence[Module], width: int, n_tokens: int) -> tuple[list[Module], Module | None]:
    """The table of positions: one that says so, else one with fewer rows than there are operands."""
    fits = [(m, m.matrix.numel() // width) for m in outside if m.matrix is not None and m.bias is None]
    fits = [(m, n) for m, n in fits if m.shape[-1] == width and n > 1 and (len(m.shape) == 2 or 1 in m.shape)]
    said = [m for m, _ in fits if m.says(POSITION)] or [m for m, n in fits if n < n_tokens]
    return ([m for m in outside if m is not said[0]], said[0]) if said else (list(outside), None)


def _layers_only(found: Sequence[Module], n_tokens: int, turn: bool) -> Iterator[tuple[int, Structure]]:
    """Networks without attention: tables or one-hot inputs, layers, and norms where a layer of their width ends."""
    matrices = [m for m in found if m.matrix is not None]
    for cost, plan in plans([m for m in matrices if not _orthogonal(m)], n_tokens, None, turn):
        for more, norms in _taken([m for m in found if m.is_norm]):
            yield cost + more, _placed(plan, norms, {m.path: m.place for m in found})


def _taken(norms: list[Module]) -> list[tuple[int, list[Module]]]:
    """Without lone vectors that neither say so nor are a module's weight, kept by pruning perhaps; and with them."""

    def says(m: Module) -> bool:
        leaf = m.names[0].rpartition(".")[2].lower()
        return m.bias is not None or bool(m.running) or m.says(NORM) or leaf in GAINS

    said = [m for m in norms if says(m)]
    return [(0, norms)] if len(said) == len(norms) else [(0, said), (1, norms)]


def _orthogonal(module: Module) -> bool:
    """A change of basis that is kept beside the weights: training leaves no matrix exactly orthogonal."""
    m = module.matrix
    if m is None or m.ndim != 2 or m.shape[0] != m.shape[1] or len(m) < 3:
        return False
    return bool((m.detach() @ m.detach().mT - torch.eye(len(m))).abs().max() < 1e-4)


def _placed(plan: Structure, norms: Sequence[Module], places: Mapping[str, int]) -> Structure:
    """With every norm after the last layer before it that it fits, else after the first free one; without those that
    fit nowhere.
    """
    ends = {i: layer.out for i, layer in enumerate(plan.chain[:-1])}
    ends[-1] = plan.table.shape[1] if plan.one_hot else plan.chain[0].width
    taken: dict[int, Module] = {}
    for module in norms:
        size = 0 if module.gain is None else module.gain.numel()
        fits = [i for i in sorted(ends) if ends[i] == size and i not in taken]
        if fits:
            earlier = [i for i in fits if i < 0 or places.get(plan.chain[i].name, 0) < module.place]
            taken[max(earlier, default=fits[0])] = module
    return replace(
        plan,
        norms=tuple((i, norm(taken[i])) for i in sorted(taken)),
        used=plan.used | {name for module in taken.values() for name in module.names},
    )


def plans(matrices: Sequence[Module], n_tokens: int, width: int | None, turn: bool) -> Iterator[tuple[int, Structure]]:
    """Inputs and the chains of layers from them to the logits. width: of the stream, None where there are no blocks."""
    steps = [STEPS]
    if len(matrices) > MAX_LAYERS:
        return
    for source in inputs(matrices, n_tokens, width, turn):
        rest = [m for m in matrices if m not in source.modules]
        stream = width or source.table.shape[1]
        for dropped in range(min(3, len(rest) + 1)):
            some = combinations(rest, len(rest) - dropped)
            for kept in some if comb(len(rest), dropped) <= 30 else islice(some, 1):
                yield from _planned(source, kept, stream, n_tokens, turn, 4 * dropped, width is None, steps)


def _planned(
    source: Input,
    kept: Sequence[Module],
    stream: int,
    n_tokens: int,
    turn: bool,
    cost: int,
    bare: bool,
    steps: list[int],
) -> Iterator[tuple[int, Structure]]:
    spare = len(source.table) // source.slots - n_tokens  # tokens beside the operands
    if source.slots - 2 > spare:
        return
    starts = [stream] if source.one_hot and bare else [stream, *(k * stream for k in SLOTS if k - 2 <= spare)]
    names = [n for m in (*source.modules, *kept) for n in m.names]
    made = Structure(
        source.table, (), source.slots, source.one_hot, source.bias, used=frozenset(names),
        table_name=" and ".join(m.path for m in source.modules),
    )  # fmt: skip
    for chain, order in _chains(kept, starts, n_tokens, turn, steps):
        last = next(m for m in kept if m.path == chain[-1].name)
        unsaid = 0 if last.says(HEAD) and not last.says("emb.*|tok.*") else 1
        yield source.cost + cost + order + unsaid, replace(made, chain=tuple(chain))
    if source.one_hot or source.slots > 1:
        return
    head = Dense(f"{source.modules[0].path}, tied", source.table)
    for chain, order in _chains(kept, starts, None, turn, steps) if kept else [([], 0)]:
        if (chain[-1].out if chain else stream) == stream and (chain or not bare):
            yield source.cost + cost + order + 2, replace(made, chain=(*chain, head), tied=True)


def _chains(
    modules_: Sequence[Module], starts: Sequence[int], n_tokens: int | None, turn: bool, steps: list[int]
) -> Iterator[tuple[list[Dense], int]]:
    """Orders of all these matrices in which each reads what the one before gives, and how far from the file's order.

    n_tokens: the last gives as many or more; None: whatever. Of equal shapes the order of the file is kept. steps: left
    to try, since of many layers of few shapes there are more orders than anybody can.
    """

    def longer(chain: list[Dense], left: list[Module], order: int, most: int) -> Iterator[list[Dense]]:
        if not left:
            if chain and order == most and (n_tokens is None or chain[-1].out >= n_tokens):
                yield chain
            return
        tried = set()
        for i, module in enumerate(left if order < most else left[:1]):
            steps[0] -= 1
            kind = (module.shape, module.bias is None, module.turned)
            if kind in tried or steps[0] < 0:
                continue
            tried.add(kind)
            for width in [chain[-1].out] if chain else starts:
                if (layer := dense(module, width, None, turn)) is not None:
                    yield from longer([*chain, layer], left[:i] + left[i + 1 :], order + (i > 0), most)

    least = None
    for most in range(len(modules_) + 1):
        for chain in longer([], list(modules_), 0, most):
            least = most if least is None else least
            yield chain, most
        if steps[0] <= 0 or (least is not None and most >= least + FURTHER):
            return
