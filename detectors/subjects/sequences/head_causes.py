"""What becomes of the answers without a head, without all heads of its kind, and with nothing but their motif.

Without a head: its output is set to its mean over sequences, place by place, or its pattern is (which leaves the output
of a head that looks at places as it was). Necessity of a head: the share of right answers that is lost without it or,
where several share a job, that it gives back to a model without all of them; of four and more, of which neither may be
noticed, also what is lost without it besides without a quarter, half or three quarters of the others. Heads that undo
each other, so that less is lost without all of them than half of what is without one, have the necessity of all.
Sufficiency: the share still right when the patterns of all of them are what the motif says, where they work, and their
mean elsewhere. Control: see `head_controls`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from detectors.core.nulls import mcnemar
from detectors.core.score import Causal
from detectors.subjects.sequences.asking import Address, Asking, Lost, Without
from detectors.subjects.sequences.head_controls import lost_beside, other_heads, single_heads
from detectors.subjects.sequences.patterns import Looks, Sample
from detectors.subjects.sequences.view import SequenceView

SHARED = 1 / 3  # of the strongest head's score: heads that may share its job
CANCELLED = 0.5  # of what is lost without one: where less is without all of them, they undo each other
MANY = 4  # of which one may be too little to be missed, and to help alone

Ideal = tuple[Address, Looks | None]


class Found(NamedTuple):
    """Of each head its cause, None where too few answers are right; what is lost without all heads that share a job,
    and without as many others at the most; and the loss as it is and without either, in nats a token asked for.
    """

    causes: list[Causal | None]
    group: float | None = None
    group_control: float | None = None
    losses: Mapping[str, float] | None = None


def causes(
    model: SequenceView,
    sample: Sample,
    heads: Sequence[Ideal],
    scores: Sequence[float],
    without: tuple[Without, ...],
    seed: int,
    also: Sequence[Address] = (),
) -> Found:
    """heads: strongest first, with what the motif has them look at, None where that alone keeps too little (a head may
    weigh what it looks at by its content); scores: theirs. also: other heads that are no control.
    """
    asking = Asking.of(model, sample) if heads else None
    if asking is None:
        return Found([None] * len(heads))
    heads = [(where, looks and looks.some(asking.chosen)) for where, looks in heads]
    rng = np.random.default_rng(seed)
    strong = [h for h, score in zip(heads, scores, strict=True) if score >= SHARED * scores[0]]
    carriers = [*(where for where, _ in heads), *also]
    group, together = _Group(asking, strong, without), [where for where, _ in strong]
    others = other_heads(asking, together, carriers, len(strong), rng)
    alone = single_heads(asking, together, carriers, seed) if model.language else []
    shared = (
        lost_beside(asking, together, others, rng) if not alone else ([asking.without(one, "z") for one in alone], 0)
    )
    found: list[Causal | None] = []
    for head in heads:
        of, control = group, shared
        if head not in strong:
            of = _Group(asking, [head], without)
            own = of.heads
            control = shared if alone else lost_beside(asking, own, other_heads(asking, own, carriers, 1, rng), rng)
        found.append(of.cause(head[0], *control))
    beside = [asking.outcome(one, "z") for one in others]
    whole = asking.outcome(together, group.whole)
    losses = {"as it is": asking.loss, "without them": whole.loss}
    losses |= {"without others": max(one.loss for one in beside)} if beside else {}
    lost = max((float(one.lost.mean()) for one in beside), default=None)
    return Found(found, float(whole.lost.mean()), lost, losses)


class _Group:
    """Heads that may share one job."""

    def __init__(self, asking: Asking, heads: Sequence[Ideal], without: tuple[Without, ...]) -> None:
        self.asking, self.heads, self.kinds = asking, [where for where, _ in heads], without
        self.by_kind = {kind: asking.without(self.heads, kind) for kind in without}
        self.whole = min(without, key=lambda kind: float(self.by_kind[kind].mean()))
        ideal = [(where, looks) for where, looks in heads if looks is not None]
        self.kept = float((~asking.with_ideal(ideal)).mean()) if ideal else None

    def cause(self, head: Address, control: Sequence[Lost], dimensions: int) -> Causal:
        lost = min((self._lost(head, kind) for kind in self.kinds), key=lambda lost: float(lost.mean()))
        shares, p = [one.mean() for one in control], sorted(mcnemar(lost, other) for other in control)
        return Causal(
            necessity=float(lost.mean()),
            sufficiency=self.kept,
            control=float(np.mean(shares)) if shares else None,
            control_spread=float(np.std(shares)) if shares else None,
            p_value=(p[len(p) // 2] if self.asking.model.language else p[-1]) if shares else None,
            pairs=len(lost),
            basis="asked_tokens",
            dimensions=dimensions,
            control_dimensions=dimensions,
        )

    def _lost(self, head: Address, kind: Without) -> Lost:
        """Without the head, or without the others of its group and not with it among them."""
        if len(self.heads) == 1:
            return self.by_kind[kind]
        alone, together = self.asking.without([head], kind), self.by_kind[kind]
        if float(together.mean()) < CANCELLED * float(alone.mean()):
            return together
        others = self.asking.without([h for h in self.heads if h != head], kind)
        ends = alone | (together & ~others)
        return max([ends, *self._amid(head, kind)], key=lambda lost: float(lost.mean()))

    def _amid(self, head: Address, kind: Without) -> Iterator[Lost]:
        """Of one among many: what is lost with it besides some of the others, those before it in a circle."""
        many, place = len(self.heads), self.heads.index(head)
        if many < MANY or self.asking.model.language:  # where passes are dear
            return
        for size in sorted({many // 4, many // 2, 3 * many // 4}):
            some = [self.heads[place - i] for i in range(1, size + 1)]
            yield self.asking.without([*some, head], kind) & ~self.asking.without(some, kind)
