"""Random models of known answer, one function a family: what calibration holds the detectors against.

Every function draws its parameters from the generator that it is given, over groups of order 9 to 60. None of them
is a circuit for its task, whatever its parts look like. What is made from a network of the population comes with the
name of that network, as its parent; all else is a parent of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from detectors.core.groups import Group
from detectors.rewire import renamed
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from models_zoo import decoys, population
from models_zoo.analytic import group_network, lookup_table, random_split, trig_mlp
from models_zoo.architectures import complete, initial_weights, network
from models_zoo.cards import cards

Drawn = ModelView | tuple[ModelView, str]
PLAIN = {"kind", "n_layers", "d_model", "n_heads", "d_head", "d_mlp", "n_ctx", "act_fn"}  # of a transformer


def random_task(rng: np.random.Generator) -> str:
    """Addition mod 11 to 31, or composition in a small group that is not abelian."""
    groups = ["S4", "A4", "C2xS3", *(f"D{n}" for n in range(5, 14))]
    return f"add:{rng.integers(11, 32)}" if rng.random() < 0.5 else f"compose:{rng.choice(groups)}"


def untrained(rng: np.random.Generator) -> ModelView:
    """Weights as initialised, of a random architecture."""
    task = Task.parse(random_task(rng))
    model: dict[str, Any] = {"kind": "mlp", "act_fn": str(rng.choice(["relu", "square", "gelu"]))}
    if rng.random() < 0.7:
        model |= {"kind": "transformer", "n_layers": int(rng.integers(1, 3)), "d_model": int(rng.choice([32, 64, 128]))}
        model |= {"act_fn": str(rng.choice(["relu", "gelu"])), "n_ctx": int(rng.integers(2, 4))}
        model |= {"normalization_type": "LN"} if rng.random() < 0.3 else {}
        model |= {"attn_coeff": float(rng.random())} if rng.random() < 0.3 and model["n_layers"] == 1 else {}
    full = complete(model, task)
    weights = initial_weights(full, int(rng.integers(2**31)))
    return ModelView(network(full, weights, task), task, train_mask=_split(task, rng))


def rank_matched_random(rng: np.random.Generator) -> ModelView:
    """Random weights with the singular values of a network that carries out its task: trained, or written down."""
    if rng.random() < 0.5:
        return decoys.rank_matched_random(of=_one_of(rng, "generalises", plain=True), seed=_seed(rng))
    return decoys.matched(_trig(rng), seed=_seed(rng))


def token_permuted(rng: np.random.Generator) -> Drawn:
    """A trained or exact network under other names for the tokens and answers: right, and not by this table."""
    if rng.random() < 0.5:
        view = _trig(rng) if rng.random() < 0.5 else _group_network(rng)
        return renamed(view, rng.permutation(view.task.n_tokens))
    name = _one_of(rng, "generalises" if rng.random() < 0.7 else "memorises")
    view = population.member(int(name.removeprefix("population/"))).view()
    return renamed(view, rng.permutation(view.task.n_tokens)), name


def wrong_phases(rng: np.random.Generator) -> ModelView:
    p, frequencies = _odd_and_frequencies(rng)
    return decoys.wrong_phases(p=p, frequencies=frequencies, train_fraction=_fraction(rng, p * p), seed=_seed(rng))


def shuffled_readout(rng: np.random.Generator) -> Drawn:
    name = _one_of(rng, "generalises", plain=True)
    return decoys.shuffled_readout(of=name, seed=_seed(rng)), name


def sparse_memoriser(rng: np.random.Generator) -> ModelView:
    p, frequencies = int(rng.choice([17, 19, 23, 29, 31])), rng.choice(np.arange(1, 8), size=3, replace=False).tolist()
    fraction = _fraction(rng, p * p)
    return decoys.sparse_memoriser(p=p, frequencies=frequencies, train_fraction=fraction, seed=_seed(rng))


def table(rng: np.random.Generator) -> ModelView:
    task = random_task(rng)
    fraction = _fraction(rng, len(Task.parse(task).domain))
    return lookup_table(task, train_fraction=fraction, noise=rng.uniform(0.01, 1), seed=_seed(rng))


def unread_fourier_embedding(rng: np.random.Generator) -> Drawn:
    name = _one_of(rng, "memorises", plain=True, tasks=("add:", "sub:"))
    frequencies = rng.choice(np.arange(1, 11), size=int(rng.integers(1, 4)), replace=False).tolist()
    return decoys.unread_fourier_embedding(of=name, frequencies=frequencies, size=rng.uniform(2, 20)), name


def huge_constant_embedding(rng: np.random.Generator) -> ModelView:
    task = random_task(rng)
    fraction, size = _fraction(rng, len(Task.parse(task).domain)), rng.uniform(10, 1000)
    return decoys.huge_constant_embedding(task=task, size=size, train_fraction=fraction, seed=_seed(rng))


# by family: the function and the card, or list of motifs, that says what is absent
ALL, OF_TABLES = (tuple(cards()[name]["absent"]) for name in ("add53_untrained", "table29"))
FAMILIES: dict[str, tuple[Callable[[np.random.Generator], Drawn], tuple[str, ...]]] = {
    "untrained": (untrained, ALL),
    "rank_matched_random": (rank_matched_random, ALL),
    "token_permuted": (token_permuted, ALL),
    "lookup_table": (table, OF_TABLES),
    **{
        f.__name__: (f, tuple(cards()[f.__name__]["absent"]))
        for f in (wrong_phases, shuffled_readout, sparse_memoriser, unread_fourier_embedding, huge_constant_embedding)
    },
}


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def _fraction(rng: np.random.Generator, pairs: int) -> float:
    """Share of training pairs that leaves 33, and 32 unseen ones of a commutative task of order 11 or more: those
    are (1 - share)^2 of all, and where 50 are expected fewer than 32 come once in 200.
    """
    least = max(0.3, 33 / pairs)
    return float(rng.uniform(least, max(least, min(0.7, 1 - (50 / pairs) ** 0.5))))


def _split(task: Task, rng: np.random.Generator) -> np.ndarray | None:
    return random_split(task, _fraction(rng, len(task.domain)), _seed(rng))


def _one_of(rng: np.random.Generator, side: str, *, plain: bool = False, tasks: tuple[str, ...] = ("",)) -> str:
    """A network of the population that generalises or memorises; plain: a transformer without LayerNorm."""
    names = [
        member.name
        for member in population.members()
        if population.side(member) == side
        and member.recipe.task.startswith(tasks)
        and (not plain or ((config := member.recipe.config).get("kind") == "transformer" and config.keys() <= PLAIN))
    ]
    if not names:
        raise FileNotFoundError("the population is not here: python -m models_zoo.population trains it")
    return str(rng.choice(names))


def _odd_and_frequencies(rng: np.random.Generator) -> tuple[int, list[int]]:
    p = int(rng.choice([11, 13, 17, 19, 23, 29, 31]))
    return p, rng.choice(np.arange(1, p // 2 + 1), size=int(rng.integers(1, 4)), replace=False).tolist()


def _trig(rng: np.random.Generator) -> ModelView:
    p, frequencies = _odd_and_frequencies(rng)
    act_fn = str(rng.choice(["relu", "square"]))
    return trig_mlp(p=p, frequencies=frequencies, act_fn=act_fn, train_fraction=_fraction(rng, p * p), seed=_seed(rng))


def _group_network(rng: np.random.Generator) -> ModelView:
    group = Group.from_name(str(rng.choice(["S4", "D7", "D9", "D11", "C13", "C23"])))
    irreps = 1 + rng.choice(len(group.irreps) - 1, size=int(rng.integers(1, 3)), replace=False)
    return group_network(group, irreps.tolist(), train_fraction=_fraction(rng, group.order**2), seed=_seed(rng))


def drawn(family: str, rng: np.random.Generator) -> tuple[ModelView, str | None]:
    """A model of a family, and the network that it was made from, if it was."""
    found = FAMILIES[family][0](rng)
    return found if isinstance(found, tuple) else (found, None)
