"""The activation function of a file whose layout is known: no name and no shape shows it, and the model does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from detectors.loading.evidence import Weighed, beyond_chance, is_near, margin, pull, sample, settle
from detectors.loading.reader import MOST_TIED, Mask, Read
from detectors.loading.readings import ACTS, RARE
from detectors.loading.shapes import Weights
from detectors.loading.stack import Reading
from detectors.loading.token_layout import TokenLayout
from detectors.loading.trial import MANY
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import Tied
from detectors.subjects.right import answered


def with_activation(layout: Any, weights: Weights, task: Task, options: Mapping[str, Any], mask: Mask) -> Read:
    """The network of a layout under the activation function that the trial is for; under the usual one at chance."""

    def build(tensors: Weights, act_fn: str) -> Any:
        return layout.build(tensors, task, {**options, "act_fn": act_fn})

    network, unused = build(weights, "relu")
    read = Read(network, layout.NAME, tuple(unused))
    if not network.architecture.get("d_mlp"):
        return read
    tokens, answers = sample(task, mask, MANY)

    def pulled(act_fn: str) -> float:
        return pull(lambda tensors: build(tensors, act_fn)[0], weights, tokens, answers, task.n_answers)

    found: dict[str, Weighed] = {}
    for place, (act_fn, cost) in enumerate(ACTS.items()):
        if cost >= RARE or act_fn == "gelu_new":
            continue
        with torch.no_grad():
            logits = build(weights, act_fn)[0].forward(tokens, lambda _, x: x)[:, : task.n_answers]
        share = float(answered(logits, answers).double().mean()) if bool(logits.isfinite().all()) else 0.0
        reading = Reading(0, TokenLayout((("a", 0), ("b", 0))), act_fn=act_fn)
        found[act_fn] = Weighed(reading, share, 0.0, margin(logits, answers), cost + 0.01 * place)
    best = max(found.values(), key=lambda w: w.accuracy)
    if not beyond_chance(best.accuracy, task, len(answers)):
        return read
    near = [w for w in found.values() if is_near(w, best, len(answers))]
    if len(near) > 1:
        near = [replace(w, pull=pulled(w.reading.act_fn)) for w in near]
    winner, tied = settle(near, mask is not None)
    return _said(read, build(weights, winner.reading.act_fn)[0], winner, tied, found, build, weights)


def _said(
    read: Read,
    network: Any,
    winner: Weighed,
    tied: tuple[Weighed, ...],
    found: Mapping[str, Weighed],
    build: Any,
    w: Weights,
) -> Read:
    act_fn = winner.reading.act_fn
    others = {name: o for name, o in found.items() if name != act_fn}
    rival = max(others.values(), key=lambda o: o.accuracy)
    sentence = (
        f"layout by names; by trial, right on {winner.accuracy:.1%}: act_fn {act_fn} "
        f"(else at most {rival.accuracy:.1%}, {rival.reading.act_fn}, margin {winner.margin:.2f} "
        f"against {rival.margin:.2f})"
    )
    now, names = f"--arch act_fn={act_fn}", [o.reading.act_fn for o in tied[:MOST_TIED]]
    more = tuple(Tied(now, f"--arch act_fn={name}", build(w, name)[0]) for name in names)
    return replace(read, network=network, account=(sentence,), tied=more, answers=True, accuracy=winner.accuracy)
