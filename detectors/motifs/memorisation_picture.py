"""What the remainder answers on either side."""

from __future__ import annotations

from detectors.core.picture import Picture, Shares
from detectors.motifs.memorisation import Memorisation


def picture(score: Memorisation) -> list[Picture]:
    reading = (
        "What is left of the logits without any function of a b c⁻¹ answers this share of the pairs; M is how much "
        "longer the upper bar is."
    )
    sides = {"training pairs": score.remainder_accuracy_train, "test pairs": score.remainder_accuracy_test}
    bars = Shares(names=list(sides), shares=list(sides.values()))
    return [Picture(title="Accuracy of the unstructured remainder", reading=reading, data=bars)]
