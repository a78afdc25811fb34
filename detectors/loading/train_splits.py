"""Training sets that a seed makes again: the usual recipes, and which of them the loss bears out.

A recipe shuffles the numbers a*n_tokens + b of all pairs, or of those that have an answer, and takes the first part of
them; scikit-learn takes the last.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from detectors.core.errors import CheckpointError
from detectors.core.nulls import mid_ranks
from detectors.subjects.operands.task import Task

Shuffle = Callable[[int, int], Int[np.ndarray, " pairs"]]


def _torch(seed: int, pairs: int) -> Int[np.ndarray, " pairs"]:
    return torch.randperm(pairs, generator=torch.Generator().manual_seed(seed)).numpy()


def _python(seed: int, pairs: int) -> Int[np.ndarray, " pairs"]:
    order = list(range(pairs))
    random.Random(seed).shuffle(order)
    return np.array(order)


RECIPES: dict[str, tuple[str, Shuffle]] = {
    "torch": ("torch.manual_seed(SEED); torch.randperm", _torch),
    "random": ("random.seed(SEED); random.shuffle", _python),
    "numpy": (
        "numpy.random.seed(SEED); numpy.random.permutation",
        lambda s, n: np.random.RandomState(s).permutation(n),
    ),
    "default_rng": ("numpy.random.default_rng(SEED).permutation", lambda s, n: np.random.default_rng(s).permutation(n)),
    "sklearn": (
        "sklearn's train_test_split(random_state=SEED)",
        lambda s, n: np.random.RandomState(s).permutation(n)[::-1],
    ),
}
ANSWERED = "answered"
SEEDS = (*range(50), 99, 100, 101, 111, 123, 137, 256, 314, 420, 456, 512, 598, 666, 777, 789, 999, 1000, 1024, 1111)
SEEDS += (1234, 1337, 2020, 2021, 2022, 2023, 2024, 2025, 3407, 4242, 12345, 31337, 123456)
# Of the rank sum of the margins, in deviations: of some thousand wrong splits one reaches 4 by luck, and the right one
# must stand alone.
BORNE_OUT, LUCK = 6.0, 5.0

FORM = (
    "write FRACTION:SEED, e.g. 0.4:1, the fraction below 1, for the first of torch.randperm; FRACTION:SEED:RECIPE with "
    f"{', '.join(RECIPES)}; {ANSWERED} behind it where only pairs that have an answer were shuffled; or FRACTION:auto"
)


class Recipe(NamedTuple):
    """As it is written behind the fraction."""

    name: str
    seed: int
    answered: bool

    def __str__(self) -> str:
        return f"{self.seed}:{self.name}" + f":{ANSWERED}" * self.answered


def is_tried(text: str | None) -> bool:
    """Whether a split is to be found by the loss, which needs the model as it is finally read."""
    return text is not None and text.endswith(":auto")


def split_of(text: str, view: Any) -> tuple[Bool[np.ndarray, " pairs"], tuple[str, ...]]:
    """Training pairs by a recipe, and what is to be said of it.

    text: `0.4:1`, `0.4:1:numpy`, `0.4:1:random:answered`, `0.4:auto`. view: a model of two operands.
    Errors: CheckpointError, also where `auto` finds no recipe that the loss bears out, or more than one.
    """
    number, _, rest = text.partition(":")
    match = re.fullmatch(rf"(\d{{1,18}})(?::({'|'.join(RECIPES)}))?(:{ANSWERED})?", rest)
    if not re.fullmatch(r"\d*\.?\d+", number) or not 0 < (fraction := float(number)) < 1:
        raise CheckpointError(f"--train-split {text}: {FORM}")
    if rest == "auto":
        return _borne_out(fraction, view)
    if match is None:
        raise CheckpointError(f"--train-split {text}: {FORM}")
    recipe = Recipe(match[2] or "torch", int(match[1]), match[3] is not None)
    if recipe.name in ("numpy", "sklearn") and recipe.seed >= 2**32:
        raise CheckpointError(f"--train-split {text}: NumPy's seeds are below {2**32}")
    return chosen(recipe, fraction, view.task), ()


def chosen(recipe: Recipe, fraction: float, task: Task) -> Bool[np.ndarray, " pairs"]:
    """[pairs] True on those that a recipe takes.

    >>> int(chosen(Recipe("random", 0, True), 0.5, Task.parse("div:5")).sum())
    10
    """
    pairs = task.domain if recipe.answered else np.arange(task.n_tokens**2)
    order = RECIPES[recipe.name][1](recipe.seed, len(pairs))
    mask = np.zeros(task.n_tokens**2, dtype=bool)
    mask[pairs[order[: int(fraction * len(pairs))]]] = True
    return mask


def _borne_out(fraction: float, view: Any) -> tuple[Bool[np.ndarray, " pairs"], tuple[str, ...]]:
    """The one recipe whose training pairs have the larger margins, of all that are tried."""
    task = view.task
    margins, domain = right_margins(view), task.domain
    ranks = mid_ranks(margins)
    answered = (False, True) if len(domain) < task.n_tokens**2 else (False,)
    tried = [Recipe(name, seed, of) for name in RECIPES for seed in SEEDS for of in answered]
    found = np.array([_deviations(ranks, chosen(recipe, fraction, task)[domain]) for recipe in tried])
    order = np.argsort(-found, kind="stable")
    best, second = tried[order[0]], found[order[1]]
    if not found[order[0]] >= BORNE_OUT or second >= LUCK:
        raise CheckpointError(
            f"--train-split {fraction}:auto: of {len(tried)} seeded splits the loss bears none out alone (the best, "
            f"{best} and {tried[order[1]]}, stand {found[order[0]]:.1f} and {second:.1f} deviations apart from chance, "
            f"and {BORNE_OUT:.0f} are asked for). Pass the pairs themselves with --train-indices"
        )
    how = RECIPES[best.name][0].replace("SEED", str(best.seed))
    return chosen(best, fraction, task), (
        f"the training pairs are those of {how}, which of {len(tried)} seeded splits the loss bears out alone "
        f"({found[order[0]]:.0f} deviations from chance, the next {second:.1f}): --train-split {fraction}:{best}.",
    )


def right_margins(view: Any) -> Float[np.ndarray, " domain"]:
    """Logit of the right answer over all others together: what the loss is a function of, without its saturation."""
    task = view.task
    domain = torch.from_numpy(task.domain)
    right = torch.from_numpy(task.answer.ravel())[domain]
    parts = []
    for k, answer in zip(domain.split(4096), right.split(4096), strict=True):
        logits = view.logits()[k].double()
        own = logits.gather(1, answer[:, None])
        others = logits.scatter(1, answer[:, None], -torch.inf).logsumexp(1)
        parts.append(own[:, 0] - others)
    return torch.cat(parts).numpy()


def _deviations(ranks: Float[np.ndarray, " domain"], train: Bool[np.ndarray, " domain"]) -> float:
    """Of the rank sum of the training pairs from its mean under chance (Mann and Whitney, normal)."""
    inside, outside = int(train.sum()), int((~train).sum())
    if min(inside, outside) == 0:
        return 0.0
    mean = inside * (len(ranks) + 1) / 2
    return float((ranks[train].sum() - mean) / np.sqrt(inside * outside * ranks.var() / (len(ranks) - 1) + 1e-12))
