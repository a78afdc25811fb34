"""What shapes leave open, as axes: the values that each may have under a structure, and how unusual every one is.

Costs say how far a reading is from what the field usually does: 0 is usual, 1 seen now and then, 2 and more rare. What
is tried first, and what is taken where the model itself cannot tell, follows from them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from detectors.loading.stack import Reading
from detectors.loading.structure import Norm, Structure
from detectors.loading.token_layout import TokenLayout, layouts

Costs = dict[Any, int]


@dataclass(frozen=True)
class Asked:
    """n_tokens: of an operand. symmetric: whether (a, b) and (b, a) are one question. pinned: what was said."""

    n_tokens: int
    symmetric: bool = False
    pinned: Mapping[str, Any] = field(default_factory=dict)


ACTS = {"relu": 0, "gelu": 0, "silu": 1, "square": 1, "tanh": 1, "gelu_new": 2, "abs": 2, "sigmoid": 2, "leaky_relu": 3}
ACTS |= {"elu": 3}
GATED = {"silu": 0, "gelu": 0, "relu": 1, "sigmoid": 1, "gelu_new": 2, "tanh": 2, "identity": 2}
RARE = 3  # a cost at which a value is tried in its turn alone
HEADS = {4: 0, 1: 0, 2: 0, 8: 0}


def default(number: int, s: Structure, asked: Asked) -> Reading:
    """The usual reading of a structure."""
    return fitted(s, Reading(number, TokenLayout((("a", 0), ("b", 0))), heads=-1, readout=""), asked)


def values(axis: str, s: Structure, reading: Reading, asked: Asked) -> Costs:
    """The values that an axis may have where the axes before it are as in the reading, the usual first."""
    if axis in asked.pinned:
        return {asked.pinned[axis]: 0}
    costs = AXES[axis](s, reading, asked)
    return dict(sorted(costs.items(), key=lambda pair: pair[1]))


def possible(s: Structure, reading: Reading) -> bool:
    """Whether what was said can be: token numbers within the table, heads that divide, as many tokens as are read."""
    rows, length = len(s.table) // s.slots, len(reading.tokens)
    if s.slots > 1 and length != s.slots:
        return False
    if reading.readout == "concat" and s.chain[0].width != length * s.table.shape[1]:
        return False
    if reading.readout != "concat" and not (s.one_hot and not s.blocks) and s.chain[0].width != s.table.shape[1]:
        return False
    if s.n_positions is not None and length > s.n_positions:
        return False
    if (reading.skip and not _paired(s, reading)) or (reading.linear and not _factored(s, reading)):
        return False
    attention = [b.attention for b in s.blocks if b.attention]
    heads = reading.heads
    if any(a.q.out % heads or a.k.out % (a.q.out // heads) or a.v.out % heads for a in attention):
        return False
    return max(number for _, number in reading.tokens.items) < rows


def readings(number: int, s: Structure, asked: Asked, cost: int) -> Iterator[Reading]:
    """All of exactly this cost."""

    def further(reading: Reading, axes: Sequence[str], left: int) -> Iterator[Reading]:
        if not axes:
            if left == 0 and possible(s, reading):
                yield reading
            return
        for place, (value, more) in enumerate(values(axes[0], s, reading, asked).items()):
            more += axes[0] == "act_fn" and place > 0 and more == 0  # what one answers in part, the other answers too
            if more <= left:
                yield from further(replace(reading, **{axes[0]: value}), axes[1:], left - more)

    yield from further(Reading(number, TokenLayout((("a", 0), ("b", 0)))), list(AXES), cost)


def neighbours(s: Structure, reading: Reading, asked: Asked) -> Iterator[tuple[str, Reading]]:
    """Readings that differ on one axis, or on one and on those after it that no longer fit; none too rare. Of a product
    also the square of a sum, which has it beside two squares of one operand, so that it answers what that does.
    """
    square = replace(reading, readout="sum", act_fn="square")
    if reading.readout == "product" and fitted(s, square, asked) == square and possible(s, square):
        yield "readout", square
    for axis in AXES:
        for value, more in values(axis, s, reading, asked).items():
            if value != getattr(reading, axis) and more < RARE:
                other = fitted(s, replace(reading, **{axis: value}), asked)
                if possible(s, other):
                    yield axis, other


def cost(s: Structure, reading: Reading, asked: Asked) -> float:
    """How unusual, all axes together; a hundredth for every value that is named before it."""
    total = 0.0
    for axis in AXES:
        known = values(axis, s, reading, asked)
        value = getattr(reading, axis)
        total += known.get(value, RARE) + 0.01 * (list(known).index(value) if value in known else 0)
    return total


def fitted(s: Structure, reading: Reading, asked: Asked) -> Reading:
    """The reading with the usual value wherever its own is not to be had."""
    for axis in AXES:
        costs = values(axis, s, reading, asked)
        if getattr(reading, axis) not in costs:
            reading = replace(reading, **{axis: next(iter(costs))})
    return reading


def _tokens(s: Structure, reading: Reading, asked: Asked) -> Costs:
    rows = len(s.table) // s.slots
    found = list(layouts(rows, asked.n_tokens, _lengths(s, rows - asked.n_tokens)))
    swapped = [(more + 2, layout.swapped()) for more, layout in found if more == 0 and not asked.symmetric]
    return {layout: more for more, layout in reversed([*found, *swapped])}


def _lengths(s: Structure, extra: int) -> list[int]:
    side_by_side = s.chain[0].width // s.table.shape[1] if not s.one_hot or s.blocks else 1
    if s.slots > 1 or side_by_side > 1:
        return [max(s.slots, side_by_side)]
    usual = [min(2 + extra, 5), *range(min(1 + extra, 4), 1, -1)]
    if not s.blocks:
        return [2, *([3] if extra else [])]
    if s.n_positions is None or s.n_positions > 6:
        return usual
    return [n for n in range(s.n_positions, 1, -1) if n - 2 <= extra] or [2]


def _readout(s: Structure, reading: Reading, asked: Asked) -> Costs:
    width = s.table.shape[1]
    if (s.blocks or not s.one_hot) and s.chain[0].width != width:
        return {"concat": 0}
    if s.blocks:
        first = 1 if reading.tokens.items[0][0] not in "ab" else 3
        return {"last": 0, "mean": 0, "first": first, "sum": 2, "max": 2}
    return {"sum": 0, "product": 1, "mean": 2, "max": 3} if not s.one_hot else {"sum": 0}


def _heads(s: Structure, reading: Reading, asked: Asked) -> Costs:
    attention = [b.attention for b in s.blocks if b.attention]
    if not attention:
        return {0: 0}
    known = {a.n_heads for a in attention if a.n_heads}
    sizes = {size for a in attention for size in (a.q.out, a.k.out)}
    if known:
        return {max(known): 0}
    largest = max(sizes)
    fit = [h for h in range(1, largest + 1) if all(size % (largest // h) == 0 for size in sizes) and largest % h == 0]
    return {h: HEADS.get(h, 1 if largest // h >= 4 else 3) for h in sorted(fit, key=lambda h: (h != 4, h))}


def _norms(s: Structure) -> list[Norm]:
    inside = [n for b in s.blocks for n in b.norms]
    return inside + [n for n in (s.before, s.final, *(n for _, n in s.norms)) if n is not None]


def _norm(s: Structure, reading: Reading, asked: Asked) -> Costs:
    if not any(b.norms for b in s.blocks):
        return {"pre": 0}
    usual = {"pre": 0, "post": 1} if s.final is not None else {"post": 0, "pre": 0}
    if all(b.attention and b.neurons and len(b.norms) == 1 for b in s.blocks):  # one norm that both read
        return {"parallel": 0, "pre": 1, "post": 1, "overwriting": 2}
    return {**usual, "overwriting": 2, "parallel": 3, "both": 3}


def _causal(s: Structure, reading: Reading, asked: Asked) -> Costs:
    if len(s.blocks) <= 1 and reading.readout == "last":
        return {True: 0}
    if reading.readout == "first" or not s.blocks:
        return {False: 0}
    if s.causal_mask:
        return {True: 0, False: 2}
    return {True: 0, False: 0} if reading.readout == "last" else {False: 0, True: 1}


def _act_fn(s: Structure, reading: Reading, asked: Asked) -> Costs:
    if any(b.neurons and b.neurons.gate for b in s.blocks):
        return dict(GATED)
    if not s.blocks and reading.readout == "product" and len(s.chain) == 1:
        return {"identity": 0, **{name: more + 1 for name, more in ACTS.items()}}
    neurons = any(b.neurons for b in s.blocks) or len(s.chain) > 1 or not s.blocks
    return dict(ACTS) if neurons else {"relu": 0}


def _positions(s: Structure, reading: Reading, asked: Asked) -> Costs:
    if s.positions is not None:
        return {"learned": 0}
    return {"none": 0, "sinusoidal": 0, "halves": 2} if s.blocks else {"none": 0}


def _scale(s: Structure, reading: Reading, asked: Asked) -> Costs:
    return {False: 0, True: 1} if s.blocks else {False: 0}


def _normalization(s: Structure, reading: Reading, asked: Asked) -> Costs:
    norms = _norms(s)
    if not norms:
        return {"none": 0, "LNPre": 2} if s.blocks else {"none": 0}
    if all(n.shift is not None for n in norms):
        return {"LN": 0}
    return {"RMS": 0, "LN": 0}


def _answers(s: Structure, reading: Reading, asked: Asked) -> Costs:
    start, out = reading.tokens.start, s.chain[-1].out
    if start == 0 or out < asked.n_tokens + start:
        return {0: 0}
    return {start: 0, 0: 0}


def _inner(s: Structure, reading: Reading, asked: Asked) -> Costs:
    if s.blocks:
        return {False: 0}
    return {True: 0} if len(s.chain) == 1 or s.one_hot else {False: 0, True: 1}


def _paired(s: Structure, reading: Reading) -> bool:
    """Whether every two layers lead from the stream to neurons and back."""
    stream, inside = s.chain[0].width, s.chain[:-1]
    fits = all(layer.width == stream for layer in inside[::2]) and all(layer.out == stream for layer in inside[1::2])
    return len(inside) > 0 and len(inside) % 2 == 0 and fits and not s.blocks and not reading.inner


def _skip(s: Structure, reading: Reading, asked: Asked) -> Costs:
    if not _paired(s, reading):
        return {False: 0}
    parents = [layer.name.rpartition(".")[0] for layer in s.chain]
    pairs = set(zip(parents[:-1:2], parents[1:-1:2], strict=True))
    numbered = all(one == two != parents[-1] and re.search(r"\d", one) for one, two in pairs)
    return {True: 0, False: 1} if numbered and len(pairs) == len(s.chain) // 2 else {False: 0, True: 1}


def _factored(s: Structure, reading: Reading) -> bool:
    """Whether there are neurons before the last two layers."""
    return len(s.chain) > 1 and (bool(s.blocks) or len(s.chain) + reading.inner > 2)


def _linear(s: Structure, reading: Reading, asked: Asked) -> Costs:
    if reading.skip:
        return {True: 0}
    if not _factored(s, reading):
        return {False: 0}
    if s.tied and not s.blocks:
        return {True: 0, False: 1}
    narrow = s.chain[-2].out < s.chain[-2].width
    return {False: 0, True: 0 if narrow and not s.blocks else 2}


AXES: dict[str, Callable[[Structure, Reading, Asked], Costs]] = {
    "tokens": _tokens,
    "readout": _readout,
    "heads": _heads,
    "norm": _norm,
    "causal": _causal,
    "act_fn": _act_fn,
    "positions": _positions,
    "scale": _scale,
    "normalization": _normalization,
    "answers": _answers,
    "inner": _inner,
    "skip": _skip,
    "linear": _linear,
}
