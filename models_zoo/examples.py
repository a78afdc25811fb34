"""Of each motif a model that has it and one that has not, for its page in the documentation."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from models_zoo import bench
from models_zoo.cards import cards


class Example(NamedTuple):
    """address: `zoo:NAME`. about: what its card says, if it has one."""

    address: str
    about: str
    model: bench.Model


def with_and_without(motif: str) -> tuple[list[Example], list[Example]]:
    """Those that have it, first the one of which most is known; and those that lack it, decoys first, and of these the
    one that lacks least else, so that it could be taken for one that has it.

    >>> [found[0].address for found in with_and_without("trig_logits")]
    ['zoo:add53_grokked', 'zoo:wrong_phases']
    """
    known = [one for one in _candidates() if motif in one.model.truth]
    having = [one for one in known if one.model.truth[motif] == "present" and one.model.family != "decoy"]
    lacking = [one for one in known if one.model.truth[motif] == "absent"]
    having.sort(key=lambda one: -len(one.model.truth))
    return having, sorted(lacking, key=lambda one: _apart(one.model, having[0].model)) if having else lacking


def _apart(model: bench.Model, there: bench.Model) -> tuple[bool, int, bool]:
    lacks = sum(word == "absent" for word in model.truth.values())
    return model.family != "decoy", lacks, _task(model) != _task(there)


def _task(model: bench.Model) -> str:
    """Rows of words answer nothing, so they have none."""
    task = getattr(model.view, "task", None)
    return "" if task is None else str(task.spec)


@cache
def _candidates() -> list[Example]:
    """Members with a card, and the first of every other kind."""
    found = []
    for source, name in bench.jobs(0):
        if source == "zoo" or name.endswith(("/0", ".0")):
            address, about = (name, cards()[name]["about"]) if source == "zoo" else (f"{source}/{name}", "")
            if (model := bench.model((source, name))) is not None:
                found.append(Example(f"zoo:{address}", about, model))
    return found
