"""How many threads a model is scored with: one, as small models gain little from more, or all for a language model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def with_threads(load: Callable[[], Any], threads: int | None) -> Any:
    """What `load` gives. threads: of torch from here on; by kind of model where None."""
    usual = torch.get_num_threads()  # all cores, or what the environment says
    torch.set_num_threads(threads or 1)
    model = load()
    if threads is None and getattr(model, "language", False):
        torch.set_num_threads(usual)
    return model
