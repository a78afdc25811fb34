"""Ways in which a network may read its operands, by shapes: tables, one-hot layers, two layers on one table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise, product

import torch
from torch import Tensor

from detectors.loading.paths import Module
from detectors.loading.structure import dense

SPECIAL = 16  # tokens beside the operands: of `=`, operators, padding and the like there are a few
SLOTS = range(2, 6)  # tokens whose embeddings one matrix may read side by side
TABLE = "emb.*|wte|we|e|tok.*|vocab.*|lookup|char.*|num.*|digit.*|input.*|in"
HEAD = "un.*|head|out.*|lm|logits?|classif.*|readout|fc.*|decode.*|u|wu|pred.*|final|to|linear"


@dataclass(frozen=True)
class Input:
    """A way to read the operands: the table, what of it each has, and the widths that may follow."""

    table: Tensor
    modules: tuple[Module, ...]
    slots: int
    cost: int
    one_hot: bool = False
    bias: Tensor | None = None


def inputs(matrices: Sequence[Module], n_tokens: int, width: int | None, turn: bool) -> Iterator[Input]:
    """One table, two of one shape, or a first matrix that reads one-hot tokens."""
    tables = [(m, t) for m in matrices for t in _tables(m, n_tokens, width)]
    for m, table in tables:
        slots = 1
        first = all(o.place > m.place for o, _ in tables if o is not m)
        yield Input(table, (m,), slots, (not m.says(TABLE)) + (not first))
    for (m, left), (o, right) in combinations(tables, 2):
        if m is not o and left.shape == right.shape:
            early = len(left) == n_tokens and sorted(matrices, key=lambda x: x.place)[:2] == [m, o]
            says = early or (m.says(TABLE) and o.says(TABLE))
            yield Input(torch.cat([left, right]), (m, o), 2, 2 * (not says) + (m.says(HEAD) or o.says(HEAD)))
    if width is None:
        yield from _two_of_one_hot(matrices, n_tokens, turn)
        yield from _two_of_one_table(tables, matrices, turn)
    for m in matrices:
        sizes = {n * k for n in _sizes(n_tokens) for k in (1, *SLOTS)}
        for size in sorted(sizes & set(m.shape)):
            layer = dense(m, size, width, turn)
            if layer is None or (width is not None and m.bias is None):  # without a bias it is a table
                continue
            for slots in (k for k in (1, *SLOTS) if size % k == 0 and size // k in _sizes(n_tokens)):
                cost = 1 + 2 * any(o.place < m.place for o in matrices) + min(2, (size // slots - n_tokens) // 2)
                yield Input(layer.weight.mT, (m,), slots, cost, True, layer.bias)


def _two_of_one_hot(matrices: Sequence[Module], n_tokens: int, turn: bool) -> Iterator[Input]:
    """Two matrices that read one one-hot operand each, into one sum."""
    read = [(m, dense(m, n, None, turn)) for m in matrices for n in sorted(_sizes(n_tokens) & set(m.shape))]
    for (m, one), (o, two) in combinations(read, 2):
        if m is not o and one and two and one.weight.shape == two.weight.shape and one.out != one.width:
            biases = [d.bias for d in (one, two) if d.bias is not None]
            table = torch.cat([one.weight.mT, two.weight.mT])
            yield Input(table, (m, o), 2, 2, True, torch.stack(biases).sum(0) if biases else None)


def _two_of_one_table(
    tables: Sequence[tuple[Module, Tensor]], matrices: Sequence[Module], turn: bool
) -> Iterator[Input]:
    """Two layers, one after the other in the file, that read one operand each from the same table."""
    for (m, table), (x, y) in product(tables, pairwise(sorted(matrices, key=lambda x: x.place))):
        one, two = (None if z is m else dense(z, table.shape[1], None, turn) for z in (x, y))
        if one and two and one.weight.shape == two.weight.shape:
            yield Input(torch.cat([one(table), two(table)]), (m, x, y), 2, 3)


def _sizes(n_tokens: int) -> set[int]:
    return set(range(n_tokens, n_tokens + SPECIAL))


def _tables(module: Module, n_tokens: int, width: int | None) -> Iterator[Tensor]:
    """A matrix, without a bias, as a table of token rows: [tokens, d] of a module, of a bare parameter either way."""
    matrix = module.matrix
    if matrix is None or matrix.ndim != 2 or module.bias is not None:
        return
    rows = {*_sizes(n_tokens), *range(2 * n_tokens, 2 * n_tokens + SPECIAL)}
    for table in (matrix,) if module.turned is not None else (matrix, matrix.mT):
        many = len(table) >= n_tokens and module.says("emb.*|wte|tok.*|vocab.*")
        if (many or len(table) in rows) and width in (None, table.shape[1]):
            yield table
