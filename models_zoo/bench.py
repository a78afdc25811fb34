"""What detectors are calibrated on: members of the zoo, the population, models made to hurt, and random draws.

A model is known to its detectors by three words: a motif is `present`, `absent`, or `unused`, where its structure may
be there and a verdict that says `present` is wrong all the same. Every model has a parent, the network that it was
made from: rates count parents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from detectors.core.registry import load, spec_of
from detectors.subjects.features.view import FeaturesView
from detectors.subjects.operands.view import ModelView
from detectors.subjects.sequences.view import SequenceView
from detectors.subjects.tasks import of_two_operands
from detectors.subjects.words.view import RowsView
from models_zoo import features, population, words
from models_zoo.behaviour import behaviour
from models_zoo.cards import cards, expected
from models_zoo.draws import FAMILIES, drawn
from models_zoo.hostile.truth import LEAST_UNSEEN
from models_zoo.sequences import bench as heads

Job = tuple[str, str]  # where a model is from, and which
UNTOLD = ", split not told"
WORDS = {"present": "present", "absent": "absent", "inert": "unused"}


class Model(NamedTuple):
    """One model, what it descends from, and what is known of it by motif. told: whether its split is, and leaves enough
    unseen pairs; else that nothing can be told from it is no fault of a detector that needs it.
    """

    family: str
    name: str
    parent: str
    truth: Mapping[str, str]
    view: ModelView | SequenceView | RowsView | FeaturesView
    told: bool = True


def jobs(draws: int) -> list[Job]:
    """All that there is, and so many draws of every random family."""
    from models_zoo.hostile import models

    zoo = [("zoo", name) for name, card in cards().items() if card["family"] != "series" and _of_operands(card)]
    networks = [("population", str(m.number)) for m in population.members() if population.expected(m)]
    hostile = [("hostile", str(i)) for i in range(len(models()))]
    sequences = [("sequences", name) for name in heads.names()]
    rows = [("words", name) for name in words.names()] + [("features", name) for name in features.names()]
    drawn = [("drawn", f"{family}/{i}") for family in FAMILIES for i in range(draws)]
    return zoo + networks + hostile + sequences + rows + drawn


def subject(job: Job) -> str:
    """Kind of model."""
    return job[0] if job[0] in ("sequences", "words", "features") else "operands"


def model(job: Job) -> Model | None:
    """The model of a job; None where nothing of it is settled."""
    source, which = job
    if (made := BUILDERS[source](which)) is None:
        return None
    return made._replace(truth={motif: word for motif, word in made.truth.items() if arises(motif, made.view)})


def arises(motif: str, view: ModelView | SequenceView | RowsView | FeaturesView) -> bool:
    """Whether the question does: not that of groups of another kind, nor of the mechanism of several layers or of
    neurons without preactivations.
    """
    spec = spec_of(load(motif))
    if spec.question == "what":
        return True
    return len(getattr(view, "neuron_layers", ())) <= 1 and set(spec.needs) <= view.parts


def family(job: Job) -> str:
    """The family of a job's model, which need not be built for it."""
    from models_zoo import hostile

    source, which = job
    if source == "zoo":
        return str(cards()[which]["family"])
    if source in ("sequences", "words", "features"):
        return heads.family(which)
    if source == "population":
        return f"population, {population.card_of(population.member(int(which)))}"
    return f"hostile, {hostile.models()[int(which)].family}" if source == "hostile" else which.partition("/")[0]


def of_zoo(name: str) -> Model:
    from detectors.loading.load import load

    truth = {motif: WORDS[word] for motif, word in expected(cards()[name]).items()}
    return Model(family(("zoo", name)), name, name, truth, of_two_operands(load(f"zoo:{name}")))


def of_population(number: str) -> Model:
    found = population.member(int(number))
    truth = population.expected(found)
    return Model(family(("population", number)), found.name, found.name, truth, found.view())


def of_hostile(index: str) -> Model | None:
    """A verdict `present` is right alone, or wrong; where it may be either nothing is settled."""
    from models_zoo.hostile import models, truth

    made = models()[int(index)]
    built = made.build()
    seen, known = behaviour(built), {}
    right = truth(made, seen)
    told = made.told and right.told and seen.unseen.pairs >= LEAST_UNSEEN
    for motif, allowed in right.allowed.items():
        if allowed == ("present",):
            known[motif] = "present"
        elif "present" not in allowed and set(allowed) - {"not_applicable"}:
            known[motif] = "unused" if "inert" in allowed else "absent"
    if not known:
        return None
    parent = f"{made.family}: {made.name.removesuffix(UNTOLD)}" if made.parent is None else made.parent
    return Model(family(("hostile", index)), f"{made.family}: {made.name}", parent, known, made.view(), told)


def of_draws(which: str) -> Model:
    name, _, seed = which.partition("/")
    number = int.from_bytes(name.encode()[:8], "big")
    view, parent = drawn(name, np.random.default_rng([number, int(seed)]))
    truth = dict.fromkeys(FAMILIES[name][1], "absent")
    if parent is not None:  # what may be there unused in a network may be there in what is made from it
        own = population.expected(population.member(int(parent.removeprefix("population/"))))
        truth |= {motif: "unused" for motif in truth if own.get(motif) == "unused"}
    return Model(name, which, parent or which, truth, view)


def of_sequences(name: str) -> Model:
    view = heads.view(name)
    return Model(heads.family(name), name, name, heads.truth(name, view), view)


def of_words(name: str) -> Model:
    return Model(heads.family(name), name, name, words.truth(name), words.view(name))


def of_features(name: str) -> Model:
    return Model(heads.family(name), name, name, features.truth(name), features.view(name))


BUILDERS: dict[str, Callable[[str], Model | None]] = {
    "zoo": of_zoo,
    "population": of_population,
    "hostile": of_hostile,
    "drawn": of_draws,
    "sequences": of_sequences,
    "words": of_words,
    "features": of_features,
}


def _of_operands(card: Mapping[str, object]) -> bool:
    from detectors.core.registry import builtin

    return bool(set(expected(dict(card))) & set(builtin("operands")))
