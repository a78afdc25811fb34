"""Copy-suppression heads: what a head reads it keeps from being said, OV with negative eigenvalues.

Source: arXiv:2310.04625.

Score: the smaller of two shares, clipped to [0, 1]: of the eigenvalues' size that is negative, and of the tokens whose
diagonal entry is the smallest of their row. OV, null and cause as for copying heads.

What fools it: as copying heads; and a head that copies some values and suppresses others has what the others weigh.
"""

from __future__ import annotations

from detectors.core.heads import Heads, spoken
from detectors.core.registry import detector
from detectors.subjects.sequences.eigenvalues import by_eigenvalues
from detectors.subjects.sequences.view import SequenceView


@detector(
    needs=("attention", "run", "weights"),
    version=2,
    source="arXiv:2310.04625",
    subject="sequences",
    formula=r"-\frac{\sum_i \operatorname{Re}(\lambda_i)}{\sum_i |\lambda_i|} \text{ of } W_E W_{OV} W_U",
    invariant_to=("head_permutation", "head_gauge", "residual_rotation"),
    chose="heads",
    clause=spoken("copy suppression"),
    order=190,
)
def copy_suppression_heads(model: SequenceView, /, *, draws: int = 199, seed: int = 0) -> Heads:
    """A head keeps from being said what it looks at.

    Errors: NotApplicable where the model does not answer with the tokens that it reads.
    """
    return by_eigenvalues(model, -1.0, draws=draws, seed=seed)
