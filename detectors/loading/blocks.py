"""Blocks of attention and neurons, by shapes, by who shares a path with whom, and by the letters q, k and v."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import Tensor

from detectors.loading.paths import Module, sorted_by_number
from detectors.loading.structure import Attention, Block, Dense, Neurons, dense, in_turn, norm

_LETTER = re.compile(r"(?:w|to|c|attn|in|lin|fc)?([qkv])(?:uery|ueries|eys?|al|alues?|s|proj)?")
_AROUND = {"w", "to", "c", "proj", "projection", "lin", "linear", "layer", "weight", "kernel", "net", "fc", "map", "in"}
_OUT = r"o|wo|out|output|proj|outproj|projection|to_out|final|dense|unify|merge|combine|fc"
_FUSED = r"qkv|kqv|wqkv|in|attn|qkvs|attention|inproj"
MAX_LAYERS = 64  # a number in a name costs nothing to write


def letter(module: Module) -> str | None:
    """q, k or v where the end of the name says so."""
    for word in reversed(module.words):
        if match := _LETTER.fullmatch(word):
            return match[1]
        if word not in _AROUND and not word.isdecimal():
            return None
    return None


def split(found: Sequence[Module], width: int, turn: bool) -> tuple[list[list[Module]], list[Module]] | None:
    """The modules of every block, in order, and those outside; None where there is no attention."""
    numbered = _numbered(found)
    for _, groups in sorted(numbered.items(), key=lambda item: item[0].count(".")):
        inside = [groups[i] for i in sorted(groups)]
        if len(inside) <= MAX_LAYERS and all(attention(group, width, turn) for group in inside):
            if not all(_has_neurons(group, width, turn) for group in inside):
                inside = _joined(inside, groups, numbered)
            if all(block(group, width, turn) for group in inside):
                taken = {id(m) for group in inside for m in group}
                return inside, [m for m in found if id(m) not in taken]
    loose = [m for m in found if width in m.shape or (m.gain is not None and m.gain.numel() == width)]
    if attention(loose, width, turn) is None:
        return None
    return _lone_block(found, width, turn)


def _numbered(found: Sequence[Module]) -> dict[str, dict[int, list[Module]]]:
    """Modules below the same path by the number that follows it: `layers.0.attn.q` is number 0 of `layers`."""
    numbered: dict[str, dict[int, list[Module]]] = {}
    for module in found:
        parts = module.path.split(".")
        for i, part in enumerate(parts if parts[-1].isdecimal() else parts[:-1]):
            if match := re.fullmatch(r"(.*?)_?(\d{1,4})", part):
                prefix = ".".join([*parts[:i], match[1]])
                numbered.setdefault(prefix, {}).setdefault(int(match[2]), []).append(module)
    return numbered


def _joined(
    inside: list[list[Module]], groups: dict[int, list[Module]], numbered: dict[str, dict[int, list[Module]]]
) -> list[list[Module]]:
    """Blocks kept in parallel lists, `attentions.0` and `mlps.0`: what has the same numbers belongs together."""
    taken = {id(m) for group in inside for m in group}
    for other in numbered.values():
        fresh = all(id(m) not in taken for group in other.values() for m in group)
        if other.keys() == groups.keys() and fresh:
            inside = [[*mine, *theirs] for mine, theirs in zip(inside, (other[i] for i in sorted(other)), strict=True)]
            taken |= {id(m) for group in other.values() for m in group}
    return inside


def _has_neurons(group: Sequence[Module], width: int, turn: bool) -> bool:
    found = attention(group, width, turn)
    return found is not None and neurons([m for m in group if m not in found[1]], width, turn) is not None


def _lone_block(found: Sequence[Module], width: int, turn: bool) -> tuple[list[list[Module]], list[Module]] | None:
    """One block that no number marks: attention, the two or three matrices from and to the stream, two norms."""
    inside = attention([m for m in found if width in m.shape], width, turn)
    assert inside is not None
    attn = inside[1]
    rest = [m for m in found if m not in attn]
    mlp: list[Module] = []
    for size in (3, 2):
        for start in range(len(matrices := [m for m in rest if m.matrix is not None]) - size + 1):
            some = matrices[start : start + size]
            known = neurons(some, width, turn)
            if not mlp and known and known.into.out != width and _beside(some):
                mlp = some
    norms = [m for m in rest if m.is_norm and m.gain is not None and m.gain.numel() == width]
    within = ([m for m in norms if not m.says("f|final|last|out")] or norms)[: 2 if mlp else 1]
    block = sorted([*attn, *mlp, *within], key=lambda m: m.place)
    return [block], [m for m in found if m not in block]


def _beside(some: Sequence[Module]) -> bool:
    """Whether these share a path but for its last two parts, as `mlp.0`, `mlp.2` and `fc1`, `fc2` do, and neither is
    a table: one that nothing is added to and whose name speaks of it.
    """
    parents = {m.path.rpartition(".")[0] for m in some}
    return len(parents) == 1 and not any(m.says("embed.*|emb|wte|wpe|tok|un.*|head|pos") for m in some)


def block(group: Sequence[Module], width: int, turn: bool) -> Block | None:
    """What a group of modules makes; None where its matrices are not those of a block."""
    found = attention(group, width, turn)
    if found is None:
        return None
    rest = [m for m in group if m.matrix is not None and m not in found[1]]
    mlp = neurons(rest, width, turn) if rest else None
    if rest and mlp is None:
        return None
    norms = [m for m in group if m.is_norm and m.gain is not None and m.gain.numel() == width]
    return Block(found[0], mlp, tuple(map(norm, in_turn(norms))))


def attention(group: Sequence[Module], width: int, turn: bool) -> tuple[Attention, list[Module]] | None:
    """The attention in a group of modules, and those that it takes."""
    matrices = [m for m in group if m.matrix is not None]
    by_letter = {x: [m for m in matrices if letter(m) == x and width in m.shape] for x in "qkv"}
    if all(by_letter.values()):
        return _of_three(matrices, by_letter, width, turn)
    for module in matrices:
        fused = _fused(module, width, turn)
        if fused is not None and (module.says(_FUSED) or _partner(matrices, module, fused[0].out, width)):
            size = fused[0].out
            o = _output(matrices, [module], size, width, turn)
            return Attention(*fused, o and o[0], fused=True), [module, *([o[1]] if o else [])]
    return _of_squares(matrices, width, turn)


def _of_three(
    matrices: Sequence[Module], by_letter: dict[str, list[Module]], width: int, turn: bool
) -> tuple[Attention, list[Module]] | None:
    sizes = {len(v) for v in by_letter.values()}
    parts, heads = [], []
    for x in "qkv":
        order = sorted_by_number(m.path for m in by_letter[x])
        found = [_flat(next(m for m in by_letter[x] if m.path == path), width, turn) for path in order]
        if any(f is None for f in found):
            return None
        whole, n_heads = _side_by_side([f for f in found if f is not None])
        parts.append(whole)
        heads.append(n_heads)
    taken = [m for some in by_letter.values() for m in some]
    if len(sizes) != 1 or len({p.out for p in parts[:2]}) != 1:
        return None
    o = _output(matrices, taken, parts[2].out, width, turn)
    if sizes != {1} and o is None and parts[0].out != width:  # of several layers, not of several heads
        return None
    q, k, v = parts
    return Attention(q, k, v, o and o[0], n_heads=heads[0]), [*taken, *([o[1]] if o else [])]


def _flat(module: Module, width: int, turn: bool) -> tuple[Dense, int | None] | None:
    """A matrix of one letter, [heads, d, d_head] and the like flattened, and the heads that its axes show."""
    matrix = module.matrix
    if matrix is not None and matrix.ndim == 3:
        if matrix.shape[1] == width and (matrix.shape[2] != width or not turn):
            matrix, heads = matrix.permute(0, 2, 1).flatten(0, 1), len(matrix)
        elif matrix.shape[2] == width:
            matrix, heads = matrix.flatten(0, 1), len(matrix)
        else:
            matrix, heads = matrix.permute(1, 2, 0).flatten(0, 1), matrix.shape[1]
        bias = None if module.bias is None else module.bias.flatten()
        return Dense(module.path, matrix, bias), heads
    layer = dense(module, width, None, turn)
    return None if layer is None else (layer, None)


def _side_by_side(found: list[tuple[Dense, int | None]]) -> tuple[Dense, int | None]:
    """Matrices of several heads as one."""
    import torch

    if len(found) == 1:
        return found[0]
    layers = [layer for layer, _ in found]
    biases = [layer.bias for layer in layers if layer.bias is not None]
    bias = torch.cat(biases) if len(biases) == len(layers) else None
    return Dense(layers[0].name, torch.cat([layer.weight for layer in layers]), bias), len(layers)


def _fused(module: Module, width: int, turn: bool) -> tuple[Dense, Dense, Dense] | None:
    """The thirds of a matrix from the stream to three times something."""
    if module.matrix is None or module.matrix.ndim != 2:
        return None
    layer = dense(module, width, None, turn)
    if layer is None or layer.out % 3 or layer.out == width:
        return None
    biases: tuple[Tensor | None, ...] = layer.bias.chunk(3) if layer.bias is not None else (None, None, None)
    parts = zip(layer.weight.chunk(3), biases, strict=True)
    q, k, v = (Dense(module.path, weight, bias) for weight, bias in parts)
    return q, k, v


def _partner(matrices: Sequence[Module], fused: Module, inner: int, width: int) -> bool:
    """Whether a matrix that goes back to the stream from a third stands beside, and none from all three thirds."""
    others = [m.shape for m in matrices if m is not fused]
    return any(sorted(s) == sorted((inner, width)) for s in others) and not any(
        sorted(s) == sorted((3 * inner, width)) for s in others
    )


def _output(
    matrices: Sequence[Module], taken: Sequence[Module], inner: int, width: int, turn: bool
) -> tuple[Dense, Module] | None:
    """The matrix that leads from the heads back to the stream: of those that fit, one below the same path as q, k and
    v, one that says so, the first.
    """
    parent = _common([m.path for m in taken])
    fits = [m for m in matrices if m not in taken and _back(m, inner, width, turn)]
    below = [m for m in fits if parent and m.path.startswith(parent + ".")]
    said = [m for m in below or fits if m.says(_OUT)]
    if not below and not said and inner == width and len(fits) != 1 and len(fits) % 2 == 0:
        return None
    for module in said or below or fits:
        if layer := _back(module, inner, width, turn):
            return layer, module
    return None


def _back(module: Module, inner: int, width: int, turn: bool) -> Dense | None:
    matrix = module.matrix
    if matrix is not None and matrix.ndim == 3:  # [heads, d_head, d] or [heads, d, d_head]
        if matrix.shape[2] == width and (matrix.shape[1] != width or not turn):
            return Dense(module.path, matrix.flatten(0, 1).mT, module.bias)
        return Dense(module.path, matrix.permute(1, 0, 2).flatten(1), module.bias)
    return dense(module, inner, width, turn)


def _common(paths: Sequence[str]) -> str:
    """The longest path that all are below."""
    parts = [p.split(".")[:-1] for p in paths]
    shared = []
    for level in zip(*parts, strict=False):
        if len(set(level)) != 1:
            break
        shared.append(level[0])
    return ".".join(shared)


def _of_squares(matrices: Sequence[Module], width: int, turn: bool) -> tuple[Attention, list[Module]] | None:
    """Four or three equal matrices of one path, in the order of the file: q, k, v and the output."""
    for number in (4, 3):
        for start in range(len(matrices) - number + 1):
            some = list(matrices[start : start + number])
            shapes = {m.shape for m in some}
            if len(shapes) != 1 or set(some[0].shape) != {width} or not _common([m.path for m in some]):
                continue
            q, k, v, *o = (dense(m, width, width, turn) for m in some)
            if q and k and v:
                return Attention(q, k, v, o[0] if o else None), some
    return None


def neurons(matrices: Sequence[Module], width: int, turn: bool) -> Neurons | None:
    """Two matrices, from the stream and back, or three, of which two go the same way and one of these is the gate."""
    if len(matrices) == 2:
        return _plain(matrices, width, turn)
    if len(matrices) == 3:
        for a, b, c in _orders(matrices):
            gate, into = dense(a, width, None, turn), dense(b, width, None, turn)
            out = into and dense(c, into.out, width, turn)
            if gate and into and out and gate.out == into.out:
                return Neurons(into, out, gate)
    return None


def _orders(three: Sequence[Module]) -> list[tuple[Module, Module, Module]]:
    """Gate, into, out: the gate is the one that says so, else the first; what goes back says so or is the last."""
    first = [m for m in three if m.says("gate.*|g")] or [m for m in three if m.says("1")] or list(three[:1])
    rest = [m for m in three if m is not first[0]]
    pairs = [rest, rest[::-1]]
    pairs.sort(key=lambda pair: not pair[1].says("out|output|down|proj|o|2"))
    return [(first[0], a, b) for a, b in pairs]


def _plain(matrices: Sequence[Module], width: int, turn: bool) -> Neurons | None:
    a, b = sorted(matrices, key=lambda m: m.says("out|output|down"))
    for first, second in ((a, b), (b, a)):
        into = dense(first, width, None, turn)
        if into is None:
            continue
        if out := dense(second, into.out, width, turn):
            return Neurons(into, out)
        half = into.out // 2
        if into.out % 2 == 0 and (out := dense(second, half, width, turn)):
            biases = into.bias.chunk(2) if into.bias is not None else (None, None)
            gate, up = (Dense(into.name, w, c) for w, c in zip(into.weight.chunk(2), biases, strict=True))
            return Neurons(up, out, gate)
    return None
