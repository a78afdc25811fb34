"""The similarity of the logits to each character, with the reach of chance."""

from __future__ import annotations

from detectors.core.irreps import spectrum_bars
from detectors.core.picture import Picture
from detectors.motifs.trig_logits import TrigLogits


def picture(score: TrigLogits) -> list[Picture]:
    reading = (
        "A bar is the cosine of the logits with the character of a b c⁻¹; the squares of the bars add up to the share "
        "of the logits that characters explain, and the grey band is the reach of shuffled labels."
    )
    if score.basis == "unseen_pairs":
        reading += " Bars are over all pairs; the band, and what is key, over unseen pairs."
    cuts = [cut**0.5 for cut in score.key_cuts]  # which are of squares
    title, unit = "Similarity of the logits to characters", "cosine with the logits"
    return spectrum_bars(score, score.similarity, title, reading, chance=cuts, unit=unit, form=".2f")
