"""Arrays by name, as a file of them would be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool

from detectors.core.errors import CheckpointError
from detectors.loading.parametrized import folded
from detectors.loading.recognise import recognise
from detectors.subjects.operands.inference import task_of
from detectors.subjects.subject import Checkpoint
from detectors.subjects.tasks import AnyTask, View, parse_task, subject, with_tied


def from_weights(
    weights: Mapping[str, Any],
    task: str | AnyTask,
    /,
    *,
    arch: Mapping[str, str] | None = None,
    tokens: str | None = None,
    train_mask: Bool[np.ndarray, " pairs"] | Sequence[bool] | None = None,
) -> View:
    """A view of a network from a dictionary of its arrays, NumPy's or torch's, read as a file of them is.

    Names need not be anybody's: a module path and a word for what a matrix does are enough, as `embed.weight`,
    `attn.q_proj.weight`, `mlp.0.weight`. Linear maps lie as torch has them, [out, in], or transposed. arch, tokens: as
    in `--arch` and `--tokens`, where trying the readings does not settle them. Errors: CheckpointError.

    Ten lines, a transformer of one layer on (a, b, =) for a + b mod 7:

    >>> rng = np.random.default_rng(0)
    >>> shapes = {"embed.weight": (8, 16), "pos.weight": (3, 16), "head.weight": (7, 16)}
    >>> shapes |= {f"attn.{name}.weight": (16, 16) for name in ("q_proj", "k_proj", "v_proj", "o_proj")}
    >>> shapes |= {"mlp.up.weight": (32, 16), "mlp.down.weight": (16, 32)}
    >>> arrays = {name: rng.normal(size=shape) / 4 for name, shape in shapes.items()}
    >>> view = from_weights(arrays, "add:7", tokens="a b =", arch={"act_fn": "relu"})
    >>> view.logits().shape, view.neurons().shape, "embedding" in view.parts
    (torch.Size([49, 7]), torch.Size([49, 32]), True)
    """
    known = None if task == "infer" else parse_task(task) if isinstance(task, str) else task
    arrays, computed = folded({name: _array(name, value) for name, value in weights.items()})
    mask = None if train_mask is None else np.asarray(train_mask)
    read = recognise(arrays, known, arch or {}, tokens, lambda network: mask)
    notes = (*filter(None, [computed]), *read.notes)
    origin = Checkpoint(layout=read.layout, unused=read.unused, reading=read.account, notes=notes)
    view = with_tied(subject(read.network, known or task_of(read.network), origin), read.tied)
    return view.with_train_mask(train_mask)


def _array(name: str, value: Any) -> torch.Tensor:
    try:
        found = torch.as_tensor(value).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        raise CheckpointError(f"{name} is {type(value).__name__}, no array of numbers") from None
    found = found.float().clone() if found.is_floating_point() else found.clone()
    if bad := int((~torch.isfinite(found)).sum()):
        raise CheckpointError(f"{name} has {bad} NaN or infinite entries of {found.numel()}: not scored")
    return found
