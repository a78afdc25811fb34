"""What several motifs ask of one model is computed for the first of them and kept with the model, as its passes are."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from detectors.subjects.operands.view import ModelView

P = ParamSpec("P")
R = TypeVar("R")


def once(function: Callable[Concatenate[ModelView, P], R]) -> Callable[Concatenate[ModelView, P], R]:
    """Of a model and what else it is asked with, which has to be hashable. Nobody may write into what comes back."""

    @wraps(function)
    def kept(model: ModelView, /, *args: P.args, **options: P.kwargs) -> R:
        found: dict[Any, R] = vars(model).setdefault("_once", {})
        key = (function, args, tuple(sorted(options.items())))
        if key not in found:
            found[key] = function(model, *args, **options)
        return found[key]

    return kept
