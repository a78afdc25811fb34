"""How much of a dimension each feature has, and which features point where."""

from __future__ import annotations

from detectors.core.picture import Bars, HeatMap, Picture
from detectors.core.polytopes import OTHER, OWN
from detectors.motifs.superposition_geometry import SuperpositionGeometry

MOST = 60  # features whose scalar products can be told apart


def picture(score: SuperpositionGeometry) -> list[Picture]:
    if score.chance is None or score.gram is None:
        return []
    order = [i for p in score.polytopes for i in p["features"]]
    in_shapes = {i for p in score.polytopes if p["kind"] not in (OWN, OTHER) for i in p["features"]}
    every = [*order, *sorted(set(range(len(score.dimensionality))) - set(order))]
    bars = Bars(
        names=[str(i) for i in every],
        heights=[score.dimensionality[i] for i in every],
        chance=[score.chance[i] for i in every],
        key=[str(i) for i in every if i in in_shapes],
        unit="dimensionality",
        form=".3f",
        of="feature",
        band="mean of random directions",
    )
    reading = (
        "What each feature has of a dimension: 1/2 in an antipodal pair, 2/3 in a triangle, 3/4 in a tetrahedron, 2/5 "
        "in a pentagon, 3/8 in a square antiprism, 1 alone; grey: what random directions of the same norms have."
    )
    found = [Picture(title="Dimensionality of the features", reading=reading, data=bars)]
    if 1 < len(order) <= MOST:
        gram = score.gram[order][:, order]
        data = HeatMap(
            values=gram,
            bound=float(abs(gram).max()),
            rows="features, in the order above",
            columns="features, in the order above",
        )
        said = "Scalar products of the represented features, group by group: a block is a group, and beside it is zero."
        found.append(Picture(title="Which features share dimensions", reading=said, data=data))
    return found
