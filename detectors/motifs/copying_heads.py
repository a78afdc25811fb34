"""Copying heads: what a head reads it says, OV with positive eigenvalues and each token its own first choice.

Source: "A Mathematical Framework for Transformer Circuits" (2021), section on copying; formula sum Re *λ* / sum |*λ*|.

Score: the smaller of two shares, clipped to [0, 1]: of the eigenvalues' size that is positive, and of the tokens whose
diagonal entry is the largest of their row. OV is taken from tokens to answers with norms folded, on the residual behind
layer 0 for later layers. Null: rows of OV exchanged; p-values are of the largest share, in its own standard deviations,
over all heads. Cause: the head's output set to its mean over sequences.

What fools it: where one or two directions dominate, the share of the eigenvalues is near 1 by chance, which its
standard deviation under the null shows. A head that copies and is not read is inert.
"""

from __future__ import annotations

from detectors.core.heads import Heads, spoken
from detectors.core.registry import detector
from detectors.subjects.sequences.eigenvalues import by_eigenvalues
from detectors.subjects.sequences.view import SequenceView


@detector(
    needs=("attention", "run", "weights"),
    version=2,
    source='"A Mathematical Framework for Transformer Circuits"',
    subject="sequences",
    formula=r"\frac{\sum_i \operatorname{Re}(\lambda_i)}{\sum_i |\lambda_i|} \text{ of } W_E W_{OV} W_U",
    invariant_to=("head_permutation", "head_gauge", "residual_rotation"),
    chose="heads",
    clause=spoken("copying"),
    order=180,
)
def copying_heads(model: SequenceView, /, *, draws: int = 199, seed: int = 0) -> Heads:
    """A head says what it looks at.

    Errors: NotApplicable where the model does not answer with the tokens that it reads.
    """
    return by_eigenvalues(model, 1.0, draws=draws, seed=seed)
