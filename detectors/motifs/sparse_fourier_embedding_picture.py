"""The spectrum of the embedding, with the reach of chance."""

from __future__ import annotations

from detectors.core.picture import Bars, Picture
from detectors.motifs.sparse_fourier_embedding import SparseFourierEmbedding


def picture(score: SparseFourierEmbedding) -> list[Picture]:
    reading = (
        "A bar is the share of the embedding's power that lies in one irrep; what rises above the grey band is more "
        "than tokens in random order give."
    )
    bars = Bars(
        names=score.irreps,
        heights=score.power,
        chance=score.key_cuts,
        key=score.key_irreps,
        unit="share of the power",
        form=".0%",
    )
    return [Picture(title="Power of the embedding per irrep", reading=reading, data=bars)]
