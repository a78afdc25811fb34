"""What stands beside heads to compare with: others that have no job of their own, or directions.

Other heads of those layers, else of neighbouring ones, in the place of these, as many as share the job; of a language
model, whose jobs many share, one for one, and more than half of those must do less, as others have jobs too. Where
there are none: random directions of the residual stream behind the layer, as many as the heads write to and orthogonal
to them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from detectors.core.turns import random_frame
from detectors.subjects.sequences.asking import IN_USE, Address, Asking, Lost, layers_of
from detectors.subjects.sequences.patterns import mean_of_stratum
from detectors.subjects.sequences.view import SequenceView

DRAWS = 4  # of the control
WRITTEN = 0.99  # of the variance of what heads write: the directions that they write to
MANY = 16  # heads, of which random sets are tried as they are: to ask each alone would cost more than all else


def lost_beside(
    asking: Asking, heads: Sequence[Address], others: list[list[Address]], rng: np.random.Generator
) -> tuple[list[Lost], int]:
    """What is lost without other heads, or without random directions, and how many directions."""
    return ([asking.without(one, "z") for one in others], 0) if others else _other_directions(asking, heads, rng)


def other_heads(
    asking: Asking, heads: Sequence[Address], carriers: Sequence[Address], size: int, rng: np.random.Generator
) -> list[list[Address]]:
    """Sets of so many other heads of those layers, else of neighbouring ones; none where there are too few."""
    layers = {h.layer for h in heads}
    free = [h for h in asking.everywhere if h not in carriers]
    for near in (0, 1):
        beside = [h for h in free if min(abs(h.layer - i) for i in layers) == near]
        many = len(beside) > MANY or asking.model.language
        idle = beside if many else [h for h in beside if asking.idle(h)]
        sets = [others for others in _sets(idle, size, rng) if asking.without(others, "z").mean() < IN_USE]
        if sets:  # nor have they a job together
            return sets
    return []


def single_heads(
    asking: Asking, heads: Sequence[Address], carriers: Sequence[Address], seed: int
) -> list[list[Address]]:
    """Single heads of those layers, else of neighbouring ones, the first in an order that is the same for all motifs:
    many then share theirs, and each costs a pass.
    """
    layers = {h.layer for h in heads}
    order = [asking.everywhere[i] for i in np.random.default_rng(seed).permutation(len(asking.everywhere))]
    for near in (0, 1):
        free = (h for h in order if h not in carriers and min(abs(h.layer - i) for i in layers) == near)
        if found := list(islice(([h] for h in free if asking.idle(h)), DRAWS)):
            return found
    return []


def _sets(free: Sequence[Address], wanted: int, rng: np.random.Generator) -> list[list[Address]]:
    """Random sets of as many heads, of half as many at the least; none where there are fewer."""
    size = min(len(free), wanted)
    if 2 * size < wanted or not size:
        return []
    chosen = {tuple(sorted(rng.choice(len(free), size, replace=False).tolist())) for _ in range(DRAWS)}
    return [[free[i] for i in numbers] for numbers in sorted(chosen)]


def _other_directions(asking: Asking, heads: Sequence[Address], rng: np.random.Generator) -> tuple[list[Lost], int]:
    """Without random directions orthogonal to those that heads write to, and how many they are on the mean."""
    written = {
        layer: _written(asking, [h.head for h in heads if h.layer == layer], layer) for layer in layers_of(heads)
    }
    draws, least = [], 0
    for _ in range(DRAWS):
        edits = {}
        for layer, own in written.items():
            width, size = own.shape
            taken = min(size, width - size)
            if 2 * taken < size or not taken:
                return [], 0
            complement = torch.linalg.qr(own, mode="complete").Q[:, size:]
            turn = random_frame(rng, width - size, taken).float()
            edits[_behind(asking.model, layer)] = _flattened(complement @ turn, asking)
            least += taken
        draws.append(asking.tried(edits).lost)
    return draws, least // DRAWS


def _behind(model: SequenceView, layer: int) -> str:
    """The stream behind a layer's attention, or behind the layer where a model shows no other."""
    name = f"blocks.{layer}.hook_resid_mid"
    return name if name in model.points else f"blocks.{layer}.hook_resid_post"


def _written(asking: Asking, of: list[int], layer: int) -> Float[Tensor, "d_model directions"]:
    """Orthonormal directions of the residual stream that hold nearly all of what heads write beyond its mean."""
    name = f"blocks.{layer}.attn.hook_z"
    with torch.no_grad():
        z = asking.model.run(asking.sample.tokens, capture=(name,), at=asking.at)[1][name][:, :, of]
    out = torch.einsum("bphe,hed->bpd", z, asking.model.weight(f"blocks.{layer}.attn.W_O").float()[of])
    out = (out - mean_of_stratum(out, asking.sample.stratum)).flatten(0, 1).double()
    power, directions = torch.linalg.eigh(out.T @ out)
    share = power.flip(0).clamp_min(0).cumsum(0) / power.clamp_min(0).sum().clamp_min(1e-300)
    return directions.flip(1)[:, : int((share < WRITTEN).sum()) + 1].float()


def _flattened(directions: Float[Tensor, "d_model k"], asking: Asking) -> Callable[[Tensor], Tensor]:
    def edit(x: Tensor) -> Tensor:
        return x - (x - mean_of_stratum(x, asking.sample.stratum)) @ directions @ directions.T

    return edit
