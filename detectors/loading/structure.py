"""What a state dict is made of: tables, positions, blocks of attention and neurons, norms, layers to the logits.

Nothing here is known by its spelling alone. What shapes and who-multiplies-whom leave open comes out as several
structures, the most usual first, and is tried on the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from detectors.core.errors import CheckpointError
from detectors.core.visible import visible
from detectors.loading.paths import Module

_ATTEND, _THINK = r"attn|att|attention|sa|mha|self", r"mlp|ff|ffn|feed|feedforward"


@dataclass(frozen=True)
class Dense:
    """y = x @ weight.T + bias, weight [out, in]."""

    name: str
    weight: Tensor
    bias: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        # a slice of positions would be multiplied case by case, five times as slow
        return F.linear(x.contiguous(), self.weight, self.bias)

    @property
    def width(self) -> int:
        return int(self.weight.shape[1])

    @property
    def out(self) -> int:
        return int(self.weight.shape[0])


@dataclass(frozen=True)
class Norm:
    """running: mean and variance of a batch norm."""

    name: str
    gain: Tensor
    shift: Tensor | None = None
    running: tuple[Tensor, Tensor] | None = None


@dataclass(frozen=True)
class Attention:
    """n_heads: where the file shows it."""

    q: Dense
    k: Dense
    v: Dense
    o: Dense | None
    n_heads: int | None = None
    fused: bool = False


@dataclass(frozen=True)
class Neurons:
    """act(into) or, with a gate, act(gate) * into, then out."""

    into: Dense
    out: Dense
    gate: Dense | None = None


@dataclass(frozen=True)
class Block:
    attention: Attention | None
    neurons: Neurons | None
    norms: tuple[Norm, ...] = ()


@dataclass(frozen=True)
class Structure:
    """table: rows of the tokens. slots: how many operands have a part of it of their own, one below the other; 1 where
    all share it. one_hot: the table is the first matrix of a network on one-hot inputs, and `bias` its bias. chain: the
    layers from what the blocks leave to the logits, the last one the head. norms: of the chain, after the layer of that
    number (-1: before the first). what: a word or two for where it differs from the most usual structure.
    """

    table: Tensor
    chain: tuple[Dense, ...]
    slots: int = 1
    one_hot: bool = False
    bias: Tensor | None = None
    positions: Tensor | None = None
    before: Norm | None = None
    blocks: tuple[Block, ...] = ()
    final: Norm | None = None
    norms: tuple[tuple[int, Norm], ...] = ()
    tied: bool = False
    causal_mask: bool = False
    used: frozenset[str] = frozenset()
    table_name: str = ""
    what: str = ""

    @property
    def n_positions(self) -> int | None:
        return None if self.positions is None else len(self.positions)


_RECURRENT = re.compile(r"(^|\.)(weight|bias)_hh(_l\d+)?(_reverse)?$")


def check_feed_forward(names: Iterable[str]) -> None:
    """CheckpointError for a recurrent layer, by torch's names: no chain of its matrices is what it computes."""
    if recurrent := next((name for name in names if _RECURRENT.search(name)), None):
        raise CheckpointError(
            f"it has a recurrent layer ({visible(recurrent)}), which no layout reads from a file. Score the module "
            "itself, as detectors.wrap(module, task)"
        )


def dense(module: Module, n_in: int | None = None, n_out: int | None = None, turn: bool = False) -> Dense | None:
    """A module as a layer from n_in to n_out, None where it is none. turn: how a square matrix lies where that is open.

    >>> import torch
    >>> dense(Module("fc", matrix=torch.zeros(3, 5)), n_in=3).weight.shape
    torch.Size([5, 3])
    """
    matrix = module.matrix
    if matrix is None or matrix.ndim != 2:
        return None
    turned = not turn if module.turned is None else module.turned != (turn and len(set(module.shape)) == 1)
    for way in (turned, not turned):
        out, width = matrix.shape[::-1] if way else matrix.shape
        fits = n_in in (None, width) and n_out in (None, out)
        fits &= module.bias is None or module.bias.numel() == out
        if fits and (way == turned or module.turned is None or module.bias is None):
            return Dense(module.path, matrix.mT if way else matrix, module.bias)
    return None


def norm(module: Module) -> Norm:
    assert module.gain is not None
    running = tuple(module.running[key] for key in ("running_mean", "running_var") if key in module.running)
    return Norm(module.path, module.gain, module.bias, running if len(running) == 2 else None)


def in_turn(norms: list[Module]) -> list[Module]:
    """That of attention first, where names or their numbers tell which it is: `sa_norm` and `ff_norm`, `n1` and `n2`.
    A file's order may be of names.
    """
    turns = [_turn(module) for module in norms]
    told = None not in turns and len(set(turns)) == len(turns)
    return [m for _, m in sorted(zip(turns, norms, strict=True), key=lambda pair: pair[0] or 0)] if told else norms


def _turn(module: Module) -> int | None:
    attends, thinks = module.says(_ATTEND), module.says(_THINK)
    number = re.search(r"\d+$", module.path.rpartition(".")[2])
    if attends != thinks:
        return int(thinks)
    return int(number[0]) if number else None


def consistent(s: Structure) -> bool:
    """Whether every part reads what the one before it gives."""
    width = s.table.shape[1]

    def fits(layer: Dense | None, n_in: int, n_out: int) -> bool:
        shape = layer is None or (layer.width, layer.out) == (n_in, n_out)
        return shape and (layer is None or layer.bias is None or layer.bias.numel() == n_out)

    for b in s.blocks:
        a, m = b.attention, b.neurons
        if a is not None:
            both = fits(a.q, width, a.q.out) and fits(a.k, width, a.k.out) and fits(a.v, width, a.v.out)
            if not both or not fits(a.o, a.q.out if a.v.out == a.k.out else a.v.out, width):
                return False
        if m is not None:
            hidden = m.into.out
            if not (fits(m.into, width, hidden) and fits(m.gate, width, hidden) and fits(m.out, hidden, width)):
                return False
    norms = [*(n for b in s.blocks for n in b.norms), *(n for n in (s.before, s.final) if n is not None)]
    if any(n.gain.numel() != width or (n.shift is not None and n.shift.numel() != width) for n in norms):
        return False
    if s.positions is not None and s.positions.shape[1] != width:
        return False
    return all(fits(layer, layer.width, layer.out) for layer in s.chain)
