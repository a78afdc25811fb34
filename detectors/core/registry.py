"""`@detector` attaches a record to a plain function; the registry finds the functions by looking into the folder.

A motif is a module NAME with a function NAME under `@detector`, and beside it, if there is something to look at, a
module NAME_picture with a function `picture(score) -> list[Picture]`. Ours lie in `detectors.motifs`; those of other
packages are found through the entry points of that name.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib.metadata import EntryPoints, entry_points
from importlib.util import find_spec
from typing import Literal, TypeVar, get_type_hints

from detectors.core.picture import Picture
from detectors.core.score import Score

Detector = Callable[..., Score]
F = TypeVar("F", bound=Detector)

MOTIFS = "detectors.motifs"  # the package of ours, and the group of others' entry points

# choices of coordinates, units and names that no statement about a group's circuit should depend on
FREE = (
    "residual_rotation",
    "neuron_permutation",
    "neuron_scale",
    "head_permutation",
    "head_gauge",
    "norm_gain",
    "logit_shift",
    "logit_scale",
    "vocabulary_permutation",
    "token_shift",
    "group_automorphism",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """What a detector declares, so that no other place need know its name. As the decorator `detectors.detector` it
    records itself on the function and returns that unchanged.

    needs: parts of the subject. version: of what its value means. source: the paper. subject: kind of model that it
    takes. formula: what is claimed, in LaTeX, a line for each part. invariant_to: edits that leave the score as
    it is. causal: False for a motif that is itself a decomposition of the logits and so has no cause of its own.
    chance: False for one that no permutation separates, so that value and cause decide. question: `how` of one that
    asks for the mechanism of what others find; p-values are adjusted among the motifs of one question. news:
    `bad` where a release is better without it. chose: the evidence that lists what it chose (irreps, heads, features,
    layers), shown in the tables and compared by baselines. parallel: evidence lists of which entry i speaks of the same
    thing, shown as one table. axis: of the plane of G and M. carrier: the part of the
    model that it is a structure of, as a noun. clause: from the score to what it adds to the sentence of a report where
    it is present. order: place among the motifs. name, summary: of the function, and its docstring's first line.
    """

    needs: tuple[str, ...]
    version: int
    source: str
    subject: str = "operands"
    formula: str = ""
    invariant_to: tuple[str, ...] = ()
    causal: bool = True
    chance: bool = True
    question: Literal["what", "how"] = "what"
    news: Literal["good", "bad"] = "good"
    chose: str = ""
    parallel: tuple[str, ...] = ()
    axis: Literal["", "G", "M"] = ""
    carrier: str = ""
    clause: Callable[..., str] | None = None
    order: int = 1000
    name: str = ""
    summary: str = ""

    def __call__(self, function: F) -> F:
        summary = (function.__doc__ or "").strip().split("\n")[0]
        function.__detector__ = replace(self, name=function.__name__, summary=summary)  # type: ignore[attr-defined]
        return function


detector = Spec


def spec_of(function: Detector) -> Spec:
    """The record that `@detector` left on a function."""
    spec = getattr(function, "__detector__", None)
    if not isinstance(spec, Spec):
        raise TypeError(f"{function!r} is not a detector: decorate it with @detectors.detector(...)")
    return spec


@cache
def builtin(subject: str = "") -> tuple[str, ...]:
    """Names of our own detectors in their declared order; of one kind of model, where it is named."""
    folder = importlib.import_module(MOTIFS).__path__
    found = [m.name for m in pkgutil.iter_modules(folder) if not m.name.endswith("_picture")]
    specs = {name: spec_of(_ours(name)) for name in found}
    mine = [name for name in found if subject in ("", specs[name].subject)]
    return tuple(sorted(mine, key=lambda name: (specs[name].order, name)))


def names() -> tuple[str, ...]:
    """Names of all detectors installed, ours first, the others not imported. A plugin cannot take a name of ours."""
    return builtin() + tuple(sorted({e.name for e in _plugins()} - set(builtin())))


def _plugins() -> EntryPoints:
    """Of packages installed by now: a notebook goes on after `pip install`. Reading them all takes 10 ms."""
    return _plugins_of(tuple((p, os.stat(p).st_mtime_ns) for p in sys.path if os.path.isdir(p)))


@lru_cache(maxsize=1)
def _plugins_of(_folders: tuple[tuple[str, int], ...]) -> EntryPoints:
    return entry_points(group=MOTIFS)


def installed() -> frozenset[str]:
    """The same names without an order, for which ours would have to be imported."""
    folder = importlib.import_module(MOTIFS).__path__
    ours = {m.name for m in pkgutil.iter_modules(folder) if not m.name.endswith("_picture")}
    return frozenset(ours | {e.name for e in _plugins()})


def _ours(name: str) -> Detector:
    function: Detector = getattr(importlib.import_module(f"{MOTIFS}.{name}"), name)
    return function


def load(name: str) -> Detector:
    """The detector of that name. KeyError if there is none; TypeError if its entry point leads to something else."""
    if name in builtin():
        return _ours(name)
    for entry in _plugins():
        if entry.name == name:
            loaded: Detector = entry.load()
            if spec_of(loaded).name != name:
                raise TypeError(f"the entry point {name!r} leads to the detector {spec_of(loaded).name!r}")
            return loaded
    raise KeyError(name)


def all_of(subject: str, names: Iterable[str]) -> bool:
    """Whether all of these detectors are of one kind of subject, as `words`."""
    return all((function := known(name)) is not None and spec_of(function).subject == subject for name in names)


def known(name: str) -> Detector | None:
    """The detector of that name, or None: a report may come from elsewhere, and a plugin may be broken."""
    try:
        return load(name)
    except KeyboardInterrupt:
        raise
    except BaseException:  # one that exits when it is imported
        return None


def result_of(function: Detector) -> type[Score]:
    """The class of a detector's result, from its annotation."""
    found: type[Score] = get_type_hints(function)["return"]
    return found


def picture_of(function: Detector) -> Callable[[Score], list[Picture]] | None:
    """What draws a detector's scores: `picture` in the module beside its own, or `pictures` of its results; None where
    there is neither.
    """
    beside = f"{function.__module__}_picture"
    if find_spec(beside) is None:
        return getattr(result_of(function), "pictures", None)
    draw: Callable[[Score], list[Picture]] = importlib.import_module(beside).picture
    return draw
