"""How many threads a model is scored with: one, as small models gain little from more, or all for a language model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from detectors.loading.load import load
from detectors.subjects.subject import Subject


def load_with_threads(path: str, options: Mapping[str, Any], threads: int | None) -> Subject:
    """options: of `load`. threads: of torch from here on, by kind of model where None."""
    usual = torch.get_num_threads()  # all cores, or what the environment says
    torch.set_num_threads(threads or 1)
    model = load(path, **options)
    if threads is None and getattr(model, "language", False):
        torch.set_num_threads(usual)
    return model
