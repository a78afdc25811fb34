"""What each period explains of the rows of numbers."""

from __future__ import annotations

from detectors.core.picture import Bars, Picture
from detectors.core.waves import NUMBERS
from detectors.motifs.number_helix import NumberHelix


def picture(score: NumberHelix) -> list[Picture]:
    if score.spectrum is None:
        return []
    data = Bars(
        names=[f"{NUMBERS / k:.3g}" for k in range(1, len(score.spectrum) + 1)],
        heights=score.spectrum,
        chance=[2 / NUMBERS] * len(score.spectrum),
        key=[f"{period:.3g}" for period in score.found],
        unit="share of the rows' variance",
        form=".1%",
        of="period",
        band="rows without order",
    )
    reading = "What a circle of each period explains beyond a line and one slow turn; grey: of rows without order."
    return [Picture(title=f"Numbers 0 to {NUMBERS - 1}, {score.where}", reading=reading, data=data)]
