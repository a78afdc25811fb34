"""A third party's detector: does one character alone carry the right answer's lead?"""

from dataclasses import dataclass

import torch

from detectors import ModelView, Null, Score, detector


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerLead(Score):
    """Evidence. lead: mean centred logit of the right answer, in standard deviations of all logits."""

    lead: float


@detector(needs=("logits", "group"), version=1, source="none: an example", invariant_to=("logit_shift", "logit_scale"))
def answer_lead(model: ModelView, /, *, draws: int = 199, seed: int = 0) -> AnswerLead:
    """The right answer's logit leads."""
    labels, group = model.labels, model.group
    logits = model.logits()[model.grid.reshape(-1)][:, torch.from_numpy(labels.answers)].double()
    logits = (logits - logits.mean(1, keepdim=True)) / logits.std()
    product = torch.from_numpy(group.table.reshape(-1))
    everything = torch.arange(len(product))
    lead = float(logits[everything, product].mean())
    generator = torch.Generator().manual_seed(seed)
    null = torch.stack(
        [logits[everything, torch.randperm(group.order, generator=generator)[product]].mean() for _ in range(draws)]
    )
    p = (1 + int((null >= lead).sum())) / (draws + 1)
    value = min(max(lead, 0.0) / group.order**0.5, 1.0)
    return AnswerLead(
        value=min(1.0, 3 * value),
        null=Null(permuted="answers", draws=draws, mean=float(null.mean()), p_value=p, smallest=1 / (draws + 1)),
        causal=None,
        lead=lead,
    )
