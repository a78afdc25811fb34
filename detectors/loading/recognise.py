"""Which layout a state dict has, by names and shapes, and the network that this layout makes of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from detectors.core.errors import CheckpointError
from detectors.loading.layouts import original_grokking, transformer_lens, two_embedding_mlp
from detectors.loading.shapes import Weights
from detectors.loading.transformer import ACTIVATIONS
from detectors.subjects.operands.task import Task
from detectors.subjects.sequences.task import SequenceTask
from detectors.subjects.tasks import VIEWS

LAYOUTS: tuple[Any, ...] = (two_embedding_mlp, original_grokking, transformer_lens)  # the first that matches builds


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError
    return value


# what shapes cannot show: what may be written for it, and what is made of that; KeyError or ValueError where it may not
OPTIONS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "act_fn": (", ".join(ACTIVATIONS), str.lower),
    "attn_coeff": ("a finite number: attention is r * softmax + (1 - r), unmasked", _finite),
    "normalization_type": ("LN, LNPre or none", lambda text: None if text.lower() == "none" else text),
    "separate_vocabularies": (
        "true or false; only with --task infer, otherwise shapes show it",
        lambda text: {"true": True, "false": False}[text.lower()],
    ),
}


def parse_options(arch: Mapping[str, str]) -> dict[str, Any]:
    """What `--arch` says that shapes cannot show. Errors: CheckpointError."""
    if unknown := arch.keys() - OPTIONS.keys():
        known = "; ".join(f"{key} ({about})" for key, (about, _) in OPTIONS.items())
        raise CheckpointError(f"unknown --arch option {', '.join(sorted(unknown))}; known: {known}")
    parsed = {}
    for key, text in arch.items():
        about, parse = OPTIONS[key]
        try:
            parsed[key] = parse(text)
        except (KeyError, ValueError):
            raise CheckpointError(f"--arch {key}={text}: write {about}") from None
    return parsed


def build(weights: Weights, task: Task | SequenceTask | None, arch: Mapping[str, str]) -> tuple[Any, str, list[str]]:
    """The network in a state dict, the name of its layout, and the tensors that it does not use.

    task: None while it is still to be inferred from the predictions, as it can be for two operands. arch: options as
    in `--arch`. Errors: CheckpointError, with what was found and what is known, where no layout matches.
    """
    options = parse_options(arch)
    for layout in LAYOUTS:
        if layout.matches(weights):
            if task and task.subject not in layout.SUBJECTS:
                reads = " or ".join(VIEWS[kind].reads for kind in sorted(layout.SUBJECTS))
                raise CheckpointError(f"the task {task.spec} is one of {task.subject}; a {layout.NAME} reads {reads}")
            network, unused = layout.build(weights, task, options)
            return network, layout.NAME, unused
    found = [f"  {name} {list(tensor.shape)}" for name, tensor in list(weights.items())[:40]]
    known = [f"  {layout.NAME:<30} {layout.TENSORS}" for layout in LAYOUTS]
    otherwise = "anything else: --loader package.module:function, a function (path, task) -> ModelView"
    lines = ["this layout is not recognised. Tensors found:", *found, "known layouts:", *known, otherwise]
    raise CheckpointError("\n".join(lines))
