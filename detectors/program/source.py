"""The text of a program: its numbers, the group, and what turns two tokens into logits."""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from detectors.core.errors import NotApplicable
from detectors.core.groups import Group, Ints
from detectors.core.version import __version__
from detectors.core.visible import visible
from detectors.program.tables import product_table
from detectors.subjects.operands.tables import Labels
from detectors.subjects.operands.terms import Fidelity, Term, rounded
from detectors.subjects.operands.view import ModelView

WIDTH = 116
LITERAL = 8  # lines that numbers may take as they are; longer lists are packed
LONGEST = 60  # lines of a program
LISTED = 16  # characters that are written out, one a line, of at most this many classes


def written(model: ModelView, terms: Sequence[Term], own: Fidelity, null: Sequence[Fidelity], fitted: int) -> str:
    """The whole program: what it is and how far it holds, the numbers, `logits`, `answer`, and a check. Numbers that
    would make it longer than LONGEST lines are packed.
    """
    header = _header(model, len(terms), own, null, fitted)
    texts = (_assembled(header, _body(model, terms, literal)) for literal in (LITERAL, 1))
    text = next((text for text in texts if text.count("\n") <= LONGEST), None)
    if text is None:
        raise NotApplicable(f"no program: {len(terms)} terms in {model.group.name} take more than {LONGEST} lines")
    return text


def _body(model: ModelView, terms: Sequence[Term], literal: int) -> list[str]:
    """What follows the imports. literal: lines that a list of numbers may take."""
    cyclic = model.group.is_cyclic
    numbers, logits = _waves(model.group, terms) if cyclic else _class_function(model.group, terms, literal)
    called = _labels(model.labels, model.task.n_tokens, literal)
    product = "(x + every) % N" if cyclic else "PRODUCT[x, every]"
    functions = [*_functions(logits, bool(called)), "", "", *_check(product, bool(called))]
    return [*([""] if numbers[0].startswith("def") else []), *numbers, *called, "", "", *functions]


def _assembled(header: list[str], body: list[str]) -> str:
    used = [
        f"import {m}" for m in ("base64", "functools", "itertools", "zlib") if any(f"{m}." in line for line in body)
    ]
    return "\n".join([*header, "", *used, *([""] if used else []), "import numpy as np", "", *body]) + "\n"


def _header(model: ModelView, count: int, own: Fidelity, null: Sequence[Fidelity], fitted: int) -> list[str]:
    """Names of files stand from the third line on: in the first two a comment may say how the file is encoded."""
    group = model.group
    form = (
        f"waves of x + y - z, for the elements x, y, z of {group.name} that a, b and an answer stand for"
        if group.is_cyclic
        else f"characters of a b c^-1 in {visible(group.name)}, c the answer"
    )
    best = max(f.agreement for f in null), max(f.explained for f in null), min(f.kl for f in null)
    text = (
        f"The circuit of {visible(model.checkpoint.path)} ({visible(model.task.spec)}) in {count} "
        f"term{'s' if count != 1 else ''}: {form}.\n"
        f"Fitted to {fitted} of {group.order**2} pairs. On {own.pairs} others: {_figures(*own[:3])}. Of {len(null)} "
        f"programs as long, fitted to the same model with its tokens renamed at random, the best figures: "
        f"{_figures(*best)}."
    )
    told = [f"# {line}" for part in text.split("\n") for line in textwrap.wrap(part, WIDTH - 2)]
    return [f"# Made by detectors {__version__}; needs NumPy.", "#", *told]


def _figures(agreement: float, explained: float, kl: float) -> str:
    explained = round(explained, 3) + 0.0  # and no -0.0%
    return f"{agreement:.2%} of the model's answers, {explained:.1%} of its logits, KL divergence {kl:.2g} nats"


def _waves(group: Group, terms: Sequence[Term]) -> tuple[list[str], list[str]]:
    """Of a cyclic group: the numbers, and the lines that make logits of elements x and y."""
    irreps, disc = group.irreps, any(term.offset is not None for term in terms)
    rows = [(irreps[t.irrep].frequency, t.amplitude, t.phase, *([t.offset] if disc else [])) for t in terms]
    names = "k, amplitude, phase, offset" if disc else "k, amplitude, phase"
    factor = "        factor = 1 if offset is None else np.abs(np.cos((w * (x - y) - offset) / 2))"
    return [
        f"N = {group.order}",
        f"TERMS = [  # {names.replace('k', 'frequency', 1)}",
        *(f"    ({', '.join('None' if v is None else f'{v:.4g}' for v in row)})," for row in rows),
        "]",
    ], [
        "    x, y, z, total = x[..., None], y[..., None], np.arange(N), 0",
        f"    for {names} in TERMS:",
        "        w = 2 * np.pi * k / N",
        *([factor] if disc else []),
        f"        total = total + {'factor * ' if disc else ''}amplitude * np.cos(w * (x + y - z) + phase)",
        "    return total",
    ]


def _class_function(group: Group, terms: Sequence[Term], literal: int) -> tuple[list[str], list[str]]:
    """Of any other group: the same, with characters by conjugacy class."""
    first = np.unique(group.classes, return_index=True)[1]
    characters = [group.irreps[t.irrep].character[first] for t in terms]
    if _is_dihedral(group) and all(group.irreps[t.irrep].dimension == 4 for t in terms):
        rows = [f"    ({group.irreps[t.irrep].frequency}, {t.amplitude:.4g})," for t in terms]
        numbers = ["TERMS = [  # frequency, amplitude", *rows, "]", "R = np.arange(N // 2)"]
        numbers += ["HALF = sum(amplitude * 2 * np.cos(2 * np.pi * k * R / len(R)) for k, amplitude in TERMS)"]
        numbers += ["F = np.concatenate([HALF, 0 * HALF])  # of a b c^-1: characters of rotations, 0 of reflections"]
    elif len(first) <= LISTED:
        rows = [_row(group.irreps[t.irrep].name, t.amplitude, c) for t, c in zip(terms, characters, strict=True)]
        numbers = ["TERMS = [  # irrep, amplitude, character of each class", *rows, "]"]
        numbers += [
            "F = sum(amplitude * np.array(character)[CLASS] for _, amplitude, character in TERMS)  # of a b c^-1"
        ]
    else:
        values = np.array([t.amplitude for t in terms]) @ np.stack(characters)
        numbers = [*_array("F", [rounded(float(v)) for v in values], literal), "F = F[CLASS]  # of a b c^-1"]
    table = product_table(group)
    identity = "IDENTITY = np.flatnonzero(np.diag(PRODUCT) == np.arange(N))[0]"
    setup = [*table, "N = len(PRODUCT)", identity, "INVERSE = np.argmax(PRODUCT == IDENTITY, axis=1)"]
    if any("CLASS" in line for line in numbers):
        setup.append("# conjugacy classes, in the order of their first elements")
        setup.append("FIRST = PRODUCT[PRODUCT, INVERSE[:, None]].min(axis=0)")
        setup.append("CLASS = np.unique(FIRST, return_inverse=True)[1]")
    return [*setup, *numbers], ["    return F[PRODUCT[PRODUCT[x, y][..., None], INVERSE]]"]


def _row(name: str, amplitude: float, character: Float[np.ndarray, " classes"]) -> str:
    values = ", ".join(f"{v + 0.0:.6g}" for v in character.round(9))  # and no -0
    return f'    ("{name}", {amplitude:.4g}, [{values}]),'


def _is_dihedral(group: Group) -> bool:
    if not group.name.startswith("D") or not group.name[1:].isdecimal():
        return False
    return np.array_equal(Group.from_name(group.name).table, group.table)


def _labels(labels: Labels, n_tokens: int, literal: int) -> list[str]:
    """The tokens that elements are called; nothing where that is their own number."""
    n = labels.group.order
    called = {"LEFT": labels.left, "RIGHT": labels.right, "ANSWER": labels.answers}
    if n == n_tokens and all(np.array_equal(tokens, np.arange(n)) for tokens in called.values()):
        return []
    lines = ["# the tokens that the elements 0, 1, ... are called as left operand, right operand and answer"]
    while called:
        tokens = next(iter(called.values()))
        alike = [name for name, other in called.items() if np.array_equal(other, tokens)]
        lines += _tokens(" = ".join(alike), tokens, n_tokens, literal)
        called = {name: other for name, other in called.items() if name not in alike}
    return lines


def _tokens(names: str, tokens: Ints, p: int, literal: int) -> list[str]:
    """By arithmetic where it is one: residues, their multiples, or powers mod p."""
    n = len(tokens)
    step = int(tokens[1 % n])
    if np.array_equal(tokens, np.arange(n)):
        return [f"{names} = np.arange({n})"]
    if np.array_equal(tokens, np.arange(n) * step % n):
        return [f"{names} = {step} * np.arange({n}) % {n}"]
    if tokens.tolist() == [pow(step, k, p) for k in range(n)]:
        return [f"{names} = np.array([pow({step}, k, {p}) for k in range({n})])  # powers of {step} mod {p}"]
    return _array(names, tokens.tolist(), literal)


def _array(names: str, values: Sequence[float], literal: int) -> list[str]:
    """As they are, in that many lines at most, or else in base64."""
    text = f"{names} = np.array([{', '.join(f'{v:.6g}' for v in values)}])"
    lines = textwrap.wrap(text, WIDTH, subsequent_indent="    ")
    if len(lines) <= literal:
        return lines
    small, kind = ("<u2", "int") if all(isinstance(v, int) for v in values) else ("<f4", "float")
    packed = base64.b64encode(np.array(values).astype(small).tobytes()).decode()
    return [f'{names} = np.frombuffer(base64.b64decode("{packed}"), "{small}").astype({kind})']


def _functions(body: list[str], named: bool) -> list[str]:
    """`logits` and `answer`."""
    if named:
        operands = [
            "    x, y = (np.argmax(np.asarray(t)[..., None] == of, axis=-1) for t, of in ((a, LEFT), (b, RIGHT)))"
        ]
        return [
            "def logits(a, b):",
            '    """[..., N], of the answers ANSWER, for operands a and b, numbers or arrays of tokens."""',
            *operands,
            *body,
            "",
            "",
            "def answer(a, b):",
            '    """Its token; -1 where an operand is no element of the group."""',
            "    known = np.isin(a, LEFT) & np.isin(b, RIGHT)",
            "    return np.where(known, ANSWER[logits(a, b).argmax(axis=-1)], -1)",
        ]
    return [
        "def logits(a, b):",
        '    """[..., N], of every answer, for operands a and b, numbers or arrays of them."""',
        "    x, y = np.asarray(a), np.asarray(b)",
        *body,
        "",
        "",
        "def answer(a, b):",
        "    return logits(a, b).argmax(axis=-1)",
    ]


def _check(product: str, named: bool) -> list[str]:
    """What the program says when it is run: how far it agrees with the group's table, a row at a time."""
    ask = f"answer(LEFT[x], RIGHT) == ANSWER[{product}]" if named else f"answer(x, every) == {product}"
    return [
        'if __name__ == "__main__":',
        "    every = np.arange(N)",
        f"    right = [{ask} for x in every]",
        '    print(f"agreement with the table: {np.mean(right):.4%} of {N * N} pairs")',
    ]
