"""Any stack of tokens, attention, neurons, norms and layers, by structure, and by trial where shapes leave it open."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool

from detectors.core.errors import CheckpointError
from detectors.loading import account
from detectors.loading.assembly import structures
from detectors.loading.readings import Asked, default, possible, readings
from detectors.loading.shapes import Weights
from detectors.loading.stack import Reading, Stack
from detectors.loading.structure import Structure
from detectors.loading.token_layout import TokenLayout
from detectors.loading.trial import READINGS, RIGHT, Outcome, Trial
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import Tied

NAME = "by structure"
Mask = Bool[np.ndarray, " pairs"] | None
PINS = {  # options of --arch, and the axis that each settles
    "act_fn": "act_fn",
    "n_heads": "heads",
    "norm": "norm",
    "causal": "causal",
    "readout": "readout",
    "positions": "positions",
    "embed_scale": "scale",
    "normalization_type": "normalization",
    "act_on_input": "inner",
    "residual": "skip",
    "linear_head": "linear",
    "first_answer": "answers",
}
WEIGHT = re.compile(r"(^|[._])(weight|bias|kernel|[Wb](_\w+)?|(cls|class|start|bos|query)_?(token|emb\w*)?)$")
DISTINCT = 0.9  # of the answers of a row; those of a map at random are distinct to 1 - 1/e
ARITHMETIC = ("add", "sub", "mul", "div", "quad", "max", "min")
SERIES = "read as the last state of its series, which answers better"
MOST_TIED = 6  # readings whose verdicts are compared: each costs as long as a run


@dataclass(frozen=True)
class Read:
    """A network and how it was come by. account: how each part was read. notes: what to know before the verdicts.
    tied: other readings under which it answers as well. answers: whether it does, beyond chance; accuracy: on the pairs
    that it was tried on.
    """

    network: Any
    layout: str
    unused: tuple[str, ...] = ()
    account: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    tied: tuple[Tied, ...] = ()
    answers: bool = False
    accuracy: float = 0.0


def read(
    weights: Weights,
    task: Task,
    options: Mapping[str, Any],
    tokens: str | None,
    given: Callable[[Any], Mask],
    most: int = READINGS,
) -> Read | None:
    """What the structure of a state dict makes of it, None where it shows none. given: training pairs for a network.
    most: readings to try.

    Errors: CheckpointError for options that do not fit it.
    """
    if not structures(weights, task.n_tokens):
        return None
    pinned = pins(options, tokens, task.n_tokens)
    asked = Asked(task.n_tokens, task.is_symmetric, pinned)
    first = structures(weights, task.n_tokens)[0][1]
    mask = given(Stack(first, default(0, first, Asked(task.n_tokens)), task.n_tokens, {}))
    trial = Trial(weights, task, mask, pinned, most)
    if not any(possible(s, default(i, s, asked)) for i, (_, s) in enumerate(trial.structures)):
        fits = account.shown(first).removeprefix("from names and shapes: ")
        raise CheckpointError(f"what --tokens and --arch say does not fit this file, which has {fits}")
    outcome = trial.run()
    if outcome.best.accuracy < RIGHT and (better := _of_another_size(weights, task, trial)):
        raise CheckpointError(better)
    return result(trial, outcome)


def _of_another_size(weights: Weights, task: Task, trial: Trial) -> str:
    """The same task over another number of tokens that the shapes allow, where the model answers that; else empty."""
    kind, _, argument = task.spec.partition(":")
    if kind not in ARITHMETIC or not argument.isdecimal():
        return ""
    for p in sizes(weights)[:3]:
        other = Task.parse(f"{kind}:{p}")
        if p != task.n_tokens and not trial.asked.pinned:
            found = Trial(weights, other, None, {}).usual()
            if found >= RIGHT:
                return (
                    f"the task {task.spec} has {task.n_tokens} tokens; the shapes allow {p}, and under {other.spec} "
                    f"it is right on {found:.0%}: pass --task {other.spec}"
                )
    return ""


def pins(options: Mapping[str, Any], tokens: str | None, n_tokens: int) -> dict[str, Any]:
    """Axes that the call settles. Errors: CheckpointError for options that are not of this reader."""
    if unknown := options.keys() - PINS.keys():
        known = ", ".join(PINS)
        raise CheckpointError(f"--arch {', '.join(sorted(unknown))} does not apply to this file; these do: {known}")
    found = {PINS[key]: "none" if value is None else value for key, value in options.items()}
    return found | ({"tokens": TokenLayout.parse(tokens, n_tokens)} if tokens else {})


def result(trial: Trial, outcome: Outcome) -> Read:
    s = trial.structure(outcome.best.reading)
    network = trial.network(outcome.best.reading)
    if _homogeneous(network):
        network.facts["logit_factor"] = "unknown"
    sentences = (account.shown(s), account.tried(trial, outcome))
    unused = _unread(trial, outcome.best.reading)
    tied = _tied(trial, outcome) if outcome.answers else ()
    notes = tuple(account.doubts(trial, outcome, network.architecture))
    layout = f"{network.architecture['kind']} {NAME}"
    return Read(network, layout, unused, sentences, notes, tied, outcome.answers, outcome.best.accuracy)


def _unread(trial: Trial, reading: Reading) -> tuple[str, ...]:
    """Tensors on which no logit depends, also parts of a module that has others: a gate of heads, a temperature."""
    leaves = {k: t.clone().requires_grad_() if t.is_floating_point() else t for k, t in trial.weights.items()}
    s = structures(leaves, trial.task.n_tokens)[reading.structure][1]
    network = Stack(s, reading, trial.task.n_tokens, {name: leaves[name] for name in s.used})
    logits = network.forward(trial.tokens[:8], lambda _, tensor: tensor)
    floats = [name for name in s.used if leaves[name].is_floating_point()]
    found = torch.autograd.grad(logits.sum(), [leaves[name] for name in floats], allow_unused=True)
    read = {name for name, gradient in zip(floats, found, strict=True) if gradient is not None}
    return tuple(name for name in trial.weights if name not in read)


def check_unread(read: Read, weights: Weights) -> None:
    """At chance, with weights that no reading has a place for, it need not be an untrained network; beside constants of
    the code, whose names are others, it is. Errors: CheckpointError.
    """
    if read.answers or not read.layout.endswith(NAME):
        return
    left = [name for name in read.unused if WEIGHT.search(name) and len(weights[name].unique()) > 2]
    if left:
        raise CheckpointError(
            f"it answers at chance under every reading that was tried, and those have no place for "
            f"{', '.join(left[:4])}{', ...' if left[4:] else ''}: either the task is another, or the network computes "
            "what is not read here. Pass its forward pass: detectors.wrap(your_model, task), or --loader"
        )


def as_another(weights: Weights, task: Task, other: Read) -> Read | None:
    """A state read as another of its series was; None where that was not read by structure, or shapes differ."""
    network, found = other.network, structures(weights, task.n_tokens)
    if not isinstance(network, Stack) or network.reading.structure >= len(found):
        return None
    s = found[network.reading.structure][1]
    if s.used != network.structure.used:
        return None
    own = Stack(s, network.reading, task.n_tokens, {name: weights[name] for name in s.used})
    return replace(other, network=own, tied=(), account=(account.shown(s), SERIES), notes=())


def _tied(trial: Trial, outcome: Outcome) -> tuple[Tied, ...]:
    """Other readings that the trial does not tell from the best, the most usual first, alone and two together."""
    best = outcome.best.reading
    alone = [w.reading for w in sorted(outcome.tied, key=lambda w: w.cost)]
    both = [merged for one, two in combinations(alone, 2) if (merged := _merged(best, one, two))]
    found: list[Tied] = []
    for reading in dict.fromkeys([*alone, *both]):
        axes = account.differs(best, reading)
        now, other = (" ".join(account.option(r, axis) for axis in axes) for r in (best, reading))
        if axes and len(found) < MOST_TIED:
            found.append(Tied(now, other, trial.network(reading)))
    return tuple(found)


def _merged(best: Reading, one: Reading, two: Reading) -> Reading | None:
    """A reading that differs from the best on the axes of both; None where they share one."""
    first, second = account.differs(best, one), account.differs(best, two)
    if set(first) & set(second) or one.structure != two.structure:
        return None
    return replace(one, **{axis: getattr(two, axis) for axis in second})


def _homogeneous(network: Stack) -> bool:
    """Whether a constant before or behind the activation function, which no file holds, would only scale the logits:
    no bias and no norm, and squares, or logits far from any that training makes.
    """
    s, r = network.structure, network.reading
    plain = s.bias is None and not s.blocks and not s.norms and all(layer.bias is None for layer in s.chain)
    if not plain or r.act_fn not in ("square", "relu", "abs", "leaky_relu"):
        return False
    n = network.n_tokens
    pairs = torch.arange(0, n * n, max(1, n * n // 256))
    with torch.no_grad():
        logits = network.forward(torch.stack([pairs // n, pairs % n], 1), lambda _, tensor: tensor)
    return r.act_fn == "square" or not 1e-2 < float(logits.std()) < 1e3


def infer(weights: Weights, options: Mapping[str, Any], tokens: str | None) -> Read | None:
    """The reading under which a network's own answers are most like a table of a group: no answer twice in any row or
    column. None where no structure fits; CheckpointError where no reading is such and several are possible.
    """
    best: tuple[float, Any, Stack, Weights] | None = None
    count = 0
    for p in sizes(weights):
        asked = Asked(p, True, pins(options, tokens, p))
        for number, (more, s) in enumerate(structures(weights, p)):
            for level in range(2 - more):
                for reading in readings(number, s, asked, level):
                    network = Stack(s, reading, p, {n: t for n, t in weights.items() if n in s.used})
                    share, count = _distinct(network), count + 1
                    if best is None or share > best[0] + 1e-9:
                        best = (share, s, network, weights)
                    if share == 1.0:
                        return _inferred(share, s, network, weights)
    if best is None:
        return None
    if best[0] < DISTINCT and count > 1:
        raise CheckpointError(
            f"under none of {count} readings are the answers a table of a group, so --task infer does not settle how "
            "the file is read: pass --task, or say --tokens and --arch (see `detectors inspect`)"
        )
    return _inferred(*best)


def _inferred(share: float, s: Structure, network: Stack, weights: Weights) -> Read:
    how = account.said(
        network.reading, [axis for axis in account.AXES if axis in ("tokens", "heads", "norm", "act_fn")]
    )
    sentence = f"by trial, {share:.1%} of the answers in a row or column are distinct: {how}"
    unused = tuple(name for name in weights if name not in s.used)
    layout = f"{network.architecture['kind']} {NAME}"
    return Read(network, layout, unused, (account.shown(s), sentence), answers=True)


def _distinct(network: Stack) -> float:
    """Share of distinct answers among those of a few rows and columns."""
    n = network.n_tokens
    every, some = torch.arange(n), torch.linspace(0, n - 1, min(n, 6)).long()[1:-1]
    shares = []
    with torch.no_grad():
        for fixed in some.tolist():
            row = torch.stack([torch.full_like(every, fixed), every], 1)
            for tokens in (row, row.flip(1)):
                answer = network.forward(tokens, lambda _, x: x)[:, :n].argmax(1)
                shares.append(len(answer.unique()) / n)
    return float(np.mean(shares))


def sizes(weights: Weights) -> list[int]:
    """Numbers of operands that the shapes allow, the likeliest first: fewest tokens beside them."""
    axes = {size for tensor in weights.values() if 1 < tensor.ndim <= 3 for size in tensor.shape}
    found: list[tuple[int, int]] = []
    for p in sorted({size - extra for size in axes for extra in range(3)} | {size // 2 for size in axes}):
        if p < 3 or not (fitting := structures(weights, p)):
            continue
        cost = min(_far(weights, p, more, s) for more, s in fitting[:4])
        found.append((cost, p))
    return [p for cost, p in sorted(found) if cost <= min(found)[0] + 3][:8]


def _far(weights: Weights, p: int, more: int, s: Structure) -> int:
    """How far a structure is from one that uses all of a file for p tokens and no others."""
    unused, spare = len(weights) - len(s.used), len(s.table) // s.slots - p + abs(s.chain[-1].out - p)
    return more + 2 * s.tied + 3 * unused + spare


def fitting(weights: Weights, task: Task) -> str:
    """Which numbers of operands the shapes allow, for a task of another; empty where they show none."""
    known = [p for p in sizes(weights) if p != task.n_tokens]
    if not known:
        return ""
    kind = re.sub(r":.*", "", task.spec)
    said = " or ".join(f"{kind}:{p}" if kind in ARITHMETIC else str(p) for p in known[:3])
    return f"the task {task.spec} has {task.n_tokens} tokens; the shapes allow {said}"
