"""How much of the winning margin is looked up on either side."""

from __future__ import annotations

from detectors.core.picture import Picture, Shares
from detectors.motifs.memorisation import Memorisation


def picture(score: Memorisation) -> list[Picture]:
    if score.share_train is None:  # of a network that settles it on all pairs there are no two sides
        return []
    reading = (
        "Of the margin by which the right answer wins, this share is no function of a b c⁻¹, however loud, mean over "
        "the pairs; M is how much longer the upper bar is."
    )
    sides = {"training pairs": score.share_train, "unseen pairs": score.share_unseen}
    bars = Shares(names=list(sides), shares=list(sides.values()))
    return [Picture(title="Share of the winning margin that is looked up", reading=reading, data=bars)]
