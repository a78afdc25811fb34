"""The similarity of the logits to each character, with the reach of chance."""

from __future__ import annotations

from detectors.core.picture import Bars, Picture
from detectors.motifs.trig_logits import TrigLogits


def picture(score: TrigLogits) -> list[Picture]:
    if not score.irreps:
        return []
    reading = (
        "A bar is the cosine of the logits with the character of a b c⁻¹; the squares of the bars add up to the share "
        "of the logits that characters explain, and the grey band is the reach of shuffled labels."
    )
    if score.basis == "test_pairs":
        reading += " Bars are over all pairs; the band, and what is key, over those it was not trained on."
    bars = Bars(
        names=score.irreps,
        heights=score.similarity,
        chance=[cut**0.5 for cut in score.key_cuts],  # which are of squares
        key=score.key_irreps,
        unit="cosine with the logits",
        form=".2f",
    )
    return [Picture(title="Similarity of the logits to characters", reading=reading, data=bars)]
