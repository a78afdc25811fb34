"""Toy autoencoders: exact polytopes and what passes for them, and trained ones (`python -m models_zoo.features`)."""

from __future__ import annotations

import tomllib
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from detectors.subjects.features.view import Autoencoder, FeaturesView

EACH, COPIES = 40, 32  # of every kind; of every trained one, before those that are neither are left out
PLATEAUS, NEAR = np.array([1 / 2, 2 / 3, 3 / 4, 2 / 5, 3 / 8]), 0.02  # published dimensionalities
Made = tuple[np.ndarray, np.ndarray]  # directions [feature, hidden], bias
WEIGHTS = Path(__file__).with_name("features.safetensors")


def _polygon(corners: int, turn: float = 2.0) -> np.ndarray:
    angles = turn * np.pi * np.arange(corners) / corners
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _antiprism() -> np.ndarray:
    top, bottom = _polygon(4), _polygon(8)[1::2]
    height = np.full((4, 1), 0.5**0.5)
    return np.concatenate([np.hstack([top, height]), np.hstack([bottom, -height])]) / 1.5**0.5


POLYTOPES: dict[str, np.ndarray] = {
    "antipodal pair": np.array([[1.0], [-1.0]]),
    "triangle": _polygon(3),
    "tetrahedron": np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / 3**0.5,
    "pentagon": _polygon(5),
    "square antiprism": _antiprism(),
}


def together(rng: np.random.Generator, blocks: list[np.ndarray]) -> np.ndarray:
    """Each block in dimensions of its own; the whole turned, its features in any order."""
    rows, columns = (sum(block.shape[axis] for block in blocks) for axis in (0, 1))
    whole, row, column = np.zeros((rows, columns)), 0, 0
    for block in blocks:
        whole[row : row + block.shape[0], column : column + block.shape[1]] = block
        row, column = row + block.shape[0], column + block.shape[1]
    turn = np.linalg.qr(rng.standard_normal((columns, columns)))[0]
    return (whole @ turn)[rng.permutation(rows)]


def fitting_bias(rows: np.ndarray) -> np.ndarray:
    """Below zero by half of what the nearest other feature passes on, which silences most of it."""
    others = rows @ rows.T - np.diag((rows**2).sum(1))
    return -0.5 * others.max(1).clip(0)


def _blocks(rng: np.random.Generator) -> list[np.ndarray]:
    """One to four polytopes, and directions of their own for at most as many features."""
    blocks = [POLYTOPES[kind] * rng.uniform(1, 1.15) for kind in rng.choice(list(POLYTOPES), int(rng.integers(1, 5)))]
    if sum(map(len, blocks)) == 2:  # a pair alone is no more than chance: it is a line with two ends
        blocks.append(POLYTOPES["triangle"])
    alone = int(rng.integers(0, sum(map(len, blocks)) // 2 + 1))
    return blocks + [np.eye(1)] * alone


def _built(rng: np.random.Generator, blocks: list[np.ndarray]) -> Made:
    rows = together(rng, blocks)
    return rows, fitting_bias(rows)


def exact(rng: np.random.Generator) -> Made:
    return _built(rng, _blocks(rng))


def shaken(rng: np.random.Generator) -> Made:
    """With noise of up to a thirtieth of the norms in every direction."""
    rows = together(rng, _blocks(rng))
    rows = rows + rng.uniform(0, 0.033) * rng.standard_normal(rows.shape)
    return rows, fitting_bias(rows)


def silent(rng: np.random.Generator) -> Made:
    """Exact, under a bias that nothing passes."""
    rows = together(rng, _blocks(rng))
    return rows, np.full(len(rows), -4.0)


def frames(rng: np.random.Generator) -> Made:
    """Random directions of one norm, more than there are dimensions."""
    hidden = int(rng.integers(2, 13))
    rows = rng.standard_normal((int(rng.integers(hidden + 2, 4 * hidden + 3)), hidden))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows, fitting_bias(rows)


def untrained(rng: np.random.Generator) -> Made:
    hidden = int(rng.integers(2, 13))
    return rng.standard_normal((3 * hidden, hidden)) / hidden**0.5, np.zeros(3 * hidden)


def noisy(rng: np.random.Generator) -> Made:
    """A pentagon or more in noise of 0.2 to 0.6 of the norms in every direction."""
    rows = together(rng, [POLYTOPES["pentagon"], *_blocks(rng)])
    rows = rows + rng.uniform(0.2, 0.6) * rng.standard_normal(rows.shape)
    return rows, fitting_bias(rows)


def own(rng: np.random.Generator) -> Made:
    """A direction for each feature; up to as many others ignored."""
    count = int(rng.integers(3, 13))
    rows = together(rng, [np.eye(count) * rng.uniform(0.9, 1.1)])
    small = rng.standard_normal((int(rng.integers(0, count)), count)) * 0.3 / count**0.5
    rows = np.concatenate([rows, small])
    return rows, fitting_bias(rows)


def ignored(rng: np.random.Generator) -> Made:
    """Polytopes of features that are too small to be represented, and a direction for each of some others."""
    small = [block * rng.uniform(0.1, 0.4) for block in _blocks(rng) if len(block) > 1]
    return _built(rng, small + [np.eye(1)] * int(rng.integers(1, 6)))


def unequal(rng: np.random.Generator) -> Made:
    """Directions of polytopes, norms from 0.8 to 1.3 in each."""
    blocks = []
    for block in _blocks(rng):
        norms = np.linspace(0.8, 1.3, len(block)) if len(block) > 1 else np.ones(1)
        blocks.append(block * rng.permutation(norms)[:, None])
    return _built(rng, blocks)


def flipped(rng: np.random.Generator) -> Made:
    """One to all but one features of each polytope turned round: |Gram| as before, the loss not."""
    blocks = []
    for block in _blocks(rng):
        signs = np.ones(len(block))
        if len(block) > 1:
            signs[rng.permutation(len(block))[: int(rng.integers(1, len(block)))]] = -1
        blocks.append(block * signs[:, None])
    return _built(rng, blocks)


def shared(rng: np.random.Generator) -> Made:
    """As many features in as many dimensions as polytopes have, in any directions: two groups or more."""
    some = [(3, 2), (4, 3), (5, 2), (8, 3)]
    blocks = []
    for i in rng.choice(len(some), int(rng.integers(2, 5))):
        block = rng.standard_normal(some[i])
        blocks.append(block / np.linalg.norm(block, axis=1, keepdims=True))
    return _built(rng, blocks)


def other_shapes(rng: np.random.Generator) -> Made:
    """Regular polygons of 6, 7 and 9 corners and cubes, which have no name here."""
    cube = np.stack(np.meshgrid(*[[-1, 1]] * 3), axis=-1).reshape(8, 3) / 3**0.5
    some = [_polygon(6), _polygon(7), _polygon(9), cube]
    return _built(rng, [some[i] for i in rng.choice(len(some), int(rng.integers(1, 4)))])


MADE: dict[str, Callable[[np.random.Generator], Made]] = {
    f.__name__: f
    for f in (exact, shaken, silent, frames, untrained, noisy, own, ignored, unequal, flipped, shared, other_shapes)
}


def autoencoder(kind: str, *, seed: int = 0) -> FeaturesView:
    """One of `MADE`, of features active in 2 to 10% of the cases."""
    rng = np.random.default_rng([zlib.crc32(kind.encode()), seed])
    density = float(rng.uniform(0.02, 0.1))
    return _view(*MADE[kind](rng), density)


def _view(rows: Any, bias: Any, density: float) -> FeaturesView:
    network = Autoencoder(torch.as_tensor(rows, dtype=torch.float32), torch.as_tensor(bias, dtype=torch.float32))
    return FeaturesView(network, f"features:{density:.3g}")


def names() -> list[str]:
    """Every view, FAMILY/NUMBER."""
    made = [f"{kind}/{i}" for kind in MADE for i in range(EACH)]
    return made + sorted({key.partition(".")[0] for key in _weights()})


def view(name: str) -> FeaturesView:
    kind, _, number = name.partition("/")
    if kind in MADE:
        return autoencoder(kind, seed=int(number))
    densities = _cards()["trained"][kind]["density"]
    rows, bias = (_weights()[f"{name}.{part}"].float() for part in ("W", "b"))
    return _view(rows, bias, densities[int(number) % len(densities)])


def truth(name: str) -> Mapping[str, str]:
    kind, card = name.partition("/")[0], _cards()
    return {card["motif"]: next((word for word in ("present", "unused") if kind in card[word]), "absent")}


@cache
def _cards() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("features.toml").read_text())


@cache
def _weights() -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(WEIGHTS)
