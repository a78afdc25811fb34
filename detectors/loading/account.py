"""How a file was read, in sentences: what names and shapes showed, what the trial settled and by what margin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from detectors.loading.evidence import ALL, Weighed
from detectors.loading.stack import Reading
from detectors.loading.structure import Structure
from detectors.loading.trial import Outcome, Trial

AXES = {  # the option that settles an axis, and what it is called
    "tokens": ('--tokens "{}"', "tokens"),
    "readout": ("--arch readout={}", "answer read from"),
    "heads": ("--arch n_heads={}", "heads"),
    "norm": ("--arch norm={}", "norm placement"),
    "causal": ("--arch causal={}", "causal"),
    "act_fn": ("--arch act_fn={}", "act_fn"),
    "positions": ("--arch positions={}", "positions"),
    "scale": ("--arch embed_scale={}", "embedding scaled"),
    "normalization": ("--arch normalization_type={}", "normalisation"),
    "inner": ("--arch act_on_input={}", "act_fn on the input"),
    "skip": ("--arch residual={}", "layers added to what they read"),
    "linear": ("--arch linear_head={}", "last two layers one linear map"),
    "answers": ("--arch first_answer={}", "column of answer 0"),
}


def value(reading: Reading, axis: str) -> str:
    """As it is written in an option."""
    found = getattr(reading, axis)
    return str(found).lower() if isinstance(found, bool) else str(found)


def option(reading: Reading, axis: str) -> str:
    return AXES[axis][0].format(value(reading, axis))


def differs(one: Reading, other: Reading) -> list[str]:
    """Axes on which two readings are not the same."""
    return [axis for axis in AXES if getattr(one, axis) != getattr(other, axis)]


def shown(s: Structure) -> str:
    """What names and shapes say.

    >>> import torch
    >>> from detectors.loading.assembly import structures
    >>> weights = {"e.weight": torch.zeros(7, 4), "l.weight": torch.zeros(9, 8), "o.weight": torch.zeros(7, 9)}
    >>> shown(structures(weights, 7)[0][1])
    'from names and shapes: tokens e [7, 4]; layers l [9, 8], o [7, 9]'
    """
    table = f"{'one-hot tokens read by' if s.one_hot else 'tokens'} {s.table_name} {list(s.table.shape)}"
    parts = [table + (", the head is tied to it" if s.tied else "")]
    if s.positions is not None:
        parts.append(f"positions {list(s.positions.shape)}")
    for i, b in enumerate(s.blocks):
        inside = []
        if b.attention:
            fused = "fused" if b.attention.fused else "q, k, v"
            inside.append(f"attention ({fused}) {b.attention.q.name}")
        if b.neurons:
            gated = "gated " if b.neurons.gate else ""
            inside.append(f"{gated}neurons {b.neurons.into.name}, {b.neurons.out.name}")
        norms = f" with {len(b.norms)} norms" if b.norms else ""
        parts.append(f"block {i}: {', '.join(inside)}{norms}")
    if s.final is not None:
        parts.append(f"closing norm {s.final.name}")
    layers = ", ".join(f"{layer.name} {list(layer.weight.shape)}" for layer in s.chain)
    parts.append(f"{'head' if s.blocks and len(s.chain) == 1 else 'layers'} {layers}")
    return "from names and shapes: " + "; ".join(parts)


def tried(trial: Trial, outcome: Outcome) -> str:
    """What the trial settled, with what the next best value of each axis answers."""
    best = outcome.best
    pairs = f"{len(trial.answers)} {'training pairs' if outcome.known else 'of all pairs'}"
    if not outcome.answers:
        return (
            f"at chance on {pairs} under each of {outcome.tried} readings, so what shapes leave open is assumed: "
            + said(best.reading, [axis for axis in AXES if axis in outcome.rivals or axis == "tokens"])
        )
    settled = [
        f"{AXES[axis][1]} {value(best.reading, axis)} ({_against(best, rival)})"
        for axis, rival in outcome.rivals.items()
        if axis in AXES
    ]
    found = f"by trial, right on {best.accuracy:.1%} of {pairs}: " + (
        "; ".join(settled) or said(best.reading, ["tokens"]) + ", the only reading that fits"
    )
    equal = [AXES[axis][1] for axis in outcome.equal if axis in AXES]
    almost = [option(r, axis) for r in outcome.almost for axis in differs(best.reading, r)[:1]]
    found += f"; makes no difference: {', '.join(sorted(equal))}" if equal else ""
    return found + (f"; next to none, under 0.2% of the largest logit: {', '.join(almost)}" if almost else "")


def _against(best: Weighed, rival: Weighed) -> str:
    near = rival.near and rival.accuracy >= best.accuracy - 0.02
    more = f", margin {best.margin:.2f} against {rival.margin:.2f}" if near else ""
    return f"else at most {rival.accuracy:.1%}{more}"


def said(reading: Reading, axes: Sequence[str]) -> str:
    return ", ".join(f"{AXES[axis][1]} {value(reading, axis)}" for axis in axes if axis in AXES)


def doubts(trial: Trial, outcome: Outcome, architecture: Mapping[str, Any]) -> list[str]:
    """What a reader should know before all else: an order that was turned, numbers that were moved, a lost factor."""
    found = []
    best = outcome.best.reading
    names = [name for name, _ in best.tokens.items if name in "ab"]
    if names == ["b", "a"] and outcome.answers and "tokens" not in trial.asked.pinned:
        ours = trial.accuracy(_turned(best), len(trial.answers))
        found.append(
            f'the operands are read in the order "{best.tokens}", under which {outcome.best.accuracy:.1%} of the pairs '
            f"are right; in the order (a, b) {ours:.1%} are. If the task was meant otherwise, say it: "
            f"{option(_turned(best), 'tokens')}."
        )
    if architecture.get("logit_factor") == "unknown":
        found.append(
            "the logits are known up to a positive factor, as a homogeneous network leaves open what it is scaled by: "
            "the loss depends on it, the verdicts do not."
        )
    if outcome.known and outcome.answers and outcome.best.accuracy < ALL:
        found.append(
            f"the best reading answers {outcome.best.accuracy:.1%} of the training pairs: if the model answered more "
            "of them when it was saved, something is read otherwise than it was trained (--tokens, --arch, --loader)."
        )
    if not outcome.answers:
        open_axes = sorted({axis for axis in outcome.rivals if axis in AXES} - set(trial.asked.pinned))
        if open_axes:
            found.append(
                "the model is at chance under every reading, as an untrained one is: its "
                f"{', '.join(AXES[axis][1] for axis in open_axes)} {'are' if len(open_axes) > 1 else 'is'} assumed "
                f"({', '.join(option(best, axis) for axis in open_axes)}), and other values would be said so."
            )
    return found


def _turned(reading: Reading) -> Reading:
    from dataclasses import replace

    return replace(reading, tokens=reading.tokens.swapped())
