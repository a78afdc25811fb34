"""How much alike the words of a concept are, in their order."""

from __future__ import annotations

import numpy as np

from detectors.core.picture import HeatMap, Picture
from detectors.motifs.cyclic_concepts import CyclicConcepts


def picture(score: CyclicConcepts) -> list[Picture]:
    where = {concept["name"]: concept["where"] for concept in score.concepts}
    return [
        Picture(
            title=f"{name.capitalize()}, {where[name]}",
            reading="Cosines about the mean. A circle has them along the diagonal and in the corners far from it.",
            data=HeatMap(values=np.asarray(values), bound=1.0, rows=f"{name}, from the first", columns="the same"),
            half=True,
        )
        for name, values in (score.likeness or {}).items()
    ]
