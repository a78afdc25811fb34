"""`@detector` attaches a record to a plain function; the registry finds the functions."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TypeVar

from detectors.core.score import Score

F = TypeVar("F", bound=Callable[..., Score])

# in reading order: from the tokens through the network to the answer
BUILTIN = (
    "sparse_fourier_embedding",
    "trig_product_neurons",
    "trig_logits",
    "generalisation",
    "memorisation",
)
ENTRY_POINTS = "detectors.motifs"

# choices of coordinates, units and names that no statement about a group's circuit should depend on
FREE = (
    "residual_rotation",
    "neuron_permutation",
    "neuron_scale",
    "head_permutation",
    "head_gauge",
    "logit_shift",
    "logit_scale",
    "vocabulary_permutation",
    "token_shift",
    "group_automorphism",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """What a detector declares.

    needs: parts of the view. invariant_to: edits that leave the score as it is. causal: False for a motif that is
    itself a decomposition of the logits and so has no cause of its own.
    """

    name: str
    needs: tuple[str, ...]
    version: int
    source: str
    invariant_to: tuple[str, ...]
    causal: bool
    summary: str


def detector(
    *,
    needs: tuple[str, ...],
    version: int,
    source: str,
    invariant_to: tuple[str, ...] = (),
    causal: bool = True,
) -> Callable[[F], F]:
    """Record on a function what it needs and where it comes from; the function itself is returned unchanged."""

    def attach(function: F) -> F:
        summary = (function.__doc__ or "").strip().split("\n")[0]
        spec = Spec(
            name=function.__name__,
            needs=needs,
            version=version,
            source=source,
            invariant_to=invariant_to,
            causal=causal,
            summary=summary,
        )
        function.__detector__ = spec  # type: ignore[attr-defined]
        return function

    return attach


def spec_of(function: Callable[..., Score]) -> Spec:
    """The record that `@detector` left on a function."""
    spec = getattr(function, "__detector__", None)
    if not isinstance(spec, Spec):
        raise TypeError(f"{function!r} is not a detector: decorate it with @detectors.detector(...)")
    return spec


def names() -> tuple[str, ...]:
    """Names of all detectors installed, ours first, without importing any. A plugin cannot take a name of ours."""
    return BUILTIN + tuple(sorted({e.name for e in entry_points(group=ENTRY_POINTS)} - set(BUILTIN)))


def load(name: str) -> Callable[..., Score]:
    """The detector of that name. KeyError if there is none; TypeError if its entry point leads to something else."""
    if name in BUILTIN:
        function: Callable[..., Score] = getattr(importlib.import_module(f"detectors.motifs.{name}"), name)
        return function
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.name == name:
            loaded: Callable[..., Score] = entry.load()
            if spec_of(loaded).name != name:
                raise TypeError(f"the entry point {name!r} leads to the detector {spec_of(loaded).name!r}")
            return loaded
    raise KeyError(name)
