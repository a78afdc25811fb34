"""Features in superposition as regular polytopes: pairs, triangles, tetrahedra, pentagons, square antiprisms.

Source: "Toy Models of Superposition" (arXiv:2209.10652): the dimensionality D of a feature sticks at 1/2, 2/3, 3/4,
2/5, 3/8 where features share dimensions of their own in these shapes; over all features, D* = hidden / |W|^2.

Score: the share of the represented features (squared norm above 1/4) that lie in such a shape, less what random
directions of the same norms give. A group is what cosines above 1/4 in size connect; it is a shape if its Gram matrix,
over its mean squared norm, is that of the shape with no entry off by more than 0.15: up to rotations, reflections and
scale of the hidden space, never up to the sign or norm of one feature. Null: all directions drawn at random, norms
kept; shapes weigh by how close they come. Cause: the expected loss against that of such random models.

What fools it: a direction for each feature, which is no superposition; ignored features, which may lie anywhere; any
five vectors in a plane, which share two dimensions; five at multiples of 36 degrees, which have the |Gram| of a
pentagon and six times its loss; two features in one direction; a shape of unequal norms. What it cannot see: features
that come together, whose loss is another than that of independent ones, and larger groups, whose shapes have no name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from detectors.core.nulls import corrected, permutation_null
from detectors.core.polytopes import BOUND, OTHER, OWN, Polytope, dimensionality, exact, polytopes
from detectors.core.registry import detector
from detectors.core.score import Causal, Score, for_picture
from detectors.subjects.features.view import FeaturesView

FRAMES = 99  # of which losses are taken: a p-value of 0.01 can be had


@dataclass(frozen=True, kw_only=True, slots=True)
class SuperpositionGeometry(Score):
    """Evidence. shapes: what was found, as "2 pentagons". polytopes: each `{kind, features, error}`, `own direction`
    and `other` among them; error: how far an entry of the Gram matrix is off. represented: how many features are.
    dimensions_per_feature: D*. total: sum of the dimensionalities, at most the rank. dimensionality: of each feature.
    """

    shapes: tuple[str, ...]
    polytopes: tuple[Mapping[str, Any], ...]
    represented: int
    dimensions_per_feature: float | None
    total: float
    dimensionality: tuple[float, ...]
    chance: tuple[float, ...] | None = for_picture()
    gram: Float64[np.ndarray, "feature feature"] | None = for_picture()


def clause(score: SuperpositionGeometry) -> str:
    """What was found, and of how many features."""
    held = sum(len(p["features"]) for p in score.polytopes if p["kind"] not in (OWN, OTHER))
    return (
        f"{held} of {score.represented} represented features share dimensions as polytopes: {', '.join(score.shapes)}"
    )


@detector(
    needs=("features",),
    version=1,
    source="arXiv:2209.10652",
    subject="features",
    formula=r"D_i = \frac{|W_i|^2}{\sum_j (\hat W_i \cdot W_j)^2}",
    invariant_to=("hidden_rotation", "feature_permutation"),
    chose="shapes",
    clause=clause,
    order=250,
)
def superposition_geometry(model: FeaturesView, /, *, draws: int = 199, seed: int = 0) -> SuperpositionGeometry:
    """Features lie in superposition as regular polytopes.

    >>> import detectors, math
    >>> angles = [2 * math.pi * k / 5 for k in range(5)]
    >>> pentagon = {"W": [[math.cos(a), math.sin(a)] for a in angles], "b": [-0.3] * 5}
    >>> score = detectors.superposition_geometry(detectors.from_weights(pentagon, "features:0.05"))
    >>> score.shapes, [round(d, 4) for d in score.dimensionality], score.null.p_value
    (('pentagon',), [0.4, 0.4, 0.4, 0.4, 0.4], 0.005)
    """
    rows = model.rows
    found = polytopes(rows)
    kept, drawn, chance = [], torch.zeros(draws, 2, dtype=torch.float64), torch.zeros(len(rows), dtype=torch.float64)
    for i, frame in enumerate(random_frames(rows, draws, seed)):
        drawn[i] = torch.tensor(_shares(polytopes(frame)))
        chance += dimensionality(frame) / draws
        kept += [frame] if i < FRAMES else []
    share, close = _shares(found)
    norms = float(rows.square().sum())
    return SuperpositionGeometry(
        value=corrected(share, float(drawn[:, 0].mean()), 1.0),
        null=permutation_null(close, drawn[:, 1], "directions of the features"),
        causal=_cause(model, rows, found, torch.stack(kept)) if share else None,
        shapes=_named(found),
        polytopes=tuple(p._asdict() for p in found),
        represented=sum(len(p.features) for p in found),
        dimensions_per_feature=rows.shape[1] / norms if norms else None,
        total=float(dimensionality(rows).sum()),
        dimensionality=tuple(dimensionality(rows).tolist()),
        chance=tuple(chance.tolist()),
        gram=(rows @ rows.T).numpy(),
    )


def random_frames(
    rows: Float64[Tensor, "feature hidden"], draws: int, seed: int
) -> Iterator[Float64[Tensor, "feature hidden"]]:
    """Directions from the rotation-invariant law, one apart from the other, with the norms of the rows."""
    rng, norms = np.random.default_rng(seed), rows.norm(dim=1, keepdim=True)
    for _ in range(draws):
        drawn = torch.from_numpy(rng.standard_normal(tuple(rows.shape)))
        yield drawn / drawn.norm(dim=1, keepdim=True) * norms


def _shares(found: Sequence[Polytope]) -> tuple[float, float]:
    """Of the represented features those in shapes, and each of these by how close it is."""
    total = max(1, sum(len(p.features) for p in found))
    there = [(len(p.features), 1 - p.error / BOUND) for p in found if p.kind not in (OWN, OTHER)]
    return sum(size for size, _ in there) / total, sum(size * close for size, close in there) / total


def _named(found: Sequence[Polytope]) -> tuple[str, ...]:
    kinds = [p.kind for p in found if p.kind not in (OWN, OTHER)]
    plural = {"tetrahedron": "tetrahedra"}
    return tuple(
        kind if (many := kinds.count(kind)) == 1 else f"{many} {plural.get(kind, kind + 's')}"
        for kind in dict.fromkeys(kinds)
    )


def _cause(
    model: FeaturesView,
    rows: Float64[Tensor, "feature hidden"],
    found: Sequence[Polytope],
    frames: Float64[Tensor, "many feature hidden"],
) -> Causal:
    """The loss against that of random frames; and of exact shapes and own directions among random ones."""
    own, random = float(model.losses(rows[None])), model.losses(frames)
    alone = frames.clone()
    for p in found:
        if p.kind != OTHER:
            alone[:, list(p.features)] = exact(rows[list(p.features)], p.kind)
    gain = float(random.mean()) - own
    kept = float(random.mean() - model.losses(alone).mean()) / gain if gain > 0 else 0.0
    return Causal(
        necessity=float(np.clip(gain / float(random.mean()), 0, 1)) if gain > 0 else 0.0,
        sufficiency=float(np.clip(kept, 0, 1)),
        control=None,
        pairs=len(frames),
        basis="random_frames",
        p_value=(1 + int((random <= own).sum())) / (len(frames) + 1),
    )
