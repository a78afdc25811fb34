"""The spectrum of the embedding, with the reach of chance."""

from __future__ import annotations

from detectors.core.irreps import spectrum_bars
from detectors.core.picture import Picture
from detectors.motifs.sparse_fourier_embedding import SparseFourierEmbedding


def picture(score: SparseFourierEmbedding) -> list[Picture]:
    reading = (
        "A bar is the share of the embedding's power that lies in one irrep; what rises above the grey band is more "
        "than tokens in random order give."
    )
    return spectrum_bars(score, score.power, "Power of the embedding per irrep", reading)
