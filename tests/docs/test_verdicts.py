"""The bounds on the page about verdicts are those of the code."""

from pathlib import Path

from detectors.judging import verdict
from detectors.subjects.right import MIN_RIGHT

PAGE = " ".join((Path(__file__).parents[2] / "docs" / "verdicts.md").read_text().split())


def test_every_bound_on_the_page_is_the_codes():
    for text in (
        f"| control {verdict.DESTROYS:.2f} or more: the model breaks wherever it is touched | inconclusive |",
        f"| necessity beyond the control by {verdict.NOISE:.2f} or less, or not significantly",
        f"| sufficiency under {verdict.SUFFICIENT:.2f}: used, but no answer by itself | inconclusive |",
        f"With fewer than {MIN_RIGHT} right answers, or none beyond chance, the cause is unknown",
    ):
        assert text in PAGE, text
