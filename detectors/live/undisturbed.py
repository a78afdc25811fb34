"""A training run that goes on as if nobody had looked."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def undisturbed(model: object) -> Iterator[None]:
    """Whatever happens inside, the random states of Python, NumPy and torch are behind it as before, and of a module
    the mode of every part and which parameters ask for gradients, and those gradients. Inside, gradients are on and
    automatic casting is off, as in a script of its own.
    """
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    parameters = list(model.parameters()) if isinstance(model, nn.Module) else []
    modes = [(m, m.training) for m in modules]
    asked = [(p, p.requires_grad, p.grad) for p in parameters]
    devices = {p.device for p in parameters}
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 (the user's loop may draw from it)
    with ExitStack() as inside:
        inside.enter_context(torch.random.fork_rng([d.index or 0 for d in devices if d.type == "cuda"]))
        inside.enter_context(torch.inference_mode(False))
        inside.enter_context(torch.enable_grad())
        for kind in {"cpu", *(d.type for d in devices)} - {"meta"}:
            inside.enter_context(torch.autocast(kind, enabled=False))
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
            for module, training in modes:
                module.training = training
            for parameter, wanted, gradient in asked:
                parameter.requires_grad_(wanted)
                parameter.grad = gradient
