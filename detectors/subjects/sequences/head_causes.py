"""What becomes of the answers without a head, without all heads of its kind, and with nothing but their motif.

Without a head: its output is set to its mean over sequences, place by place, or its pattern is (which leaves the output
of a head that looks at places as it was). Necessity of a head: the share of right answers that is lost without it or,
where several share a job, that it gives back to a model without all of them. Sufficiency: the share still right when
the patterns of all of them are what the motif says, where they work, and their mean elsewhere. Control: other heads of
those layers, else of neighbouring ones, that have no job of their own, in the place of these; where there is none,
random directions of the residual stream behind the layer, as many as the heads write to and orthogonal to them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from detectors.core.nulls import mcnemar
from detectors.core.score import Causal
from detectors.subjects.right import answered, enough, still_answered
from detectors.subjects.sequences.patterns import Looks, Sample, mean_of_stratum
from detectors.subjects.sequences.view import SequenceView

DRAWS = 4  # of the control
SHARED = 1 / 3  # of the strongest head's score: heads that may share its job
WRITTEN = 0.99  # of the variance of what heads write: the directions that they write to
IN_USE = 0.25  # necessity of a head from which it has a job of its own, and is no control

Without = Literal["z", "pattern"]
Lost = Bool[np.ndarray, " answers"]


class Address(NamedTuple):
    layer: int
    head: int


Ideal = tuple[Address, Looks | None]


class Found(NamedTuple):
    """Of each head its cause, None where too few answers are right; what all heads that share a job lose together."""

    causes: list[Causal | None]
    group: float | None


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
        return Found([None] * len(heads), None)
    strong = [h for h, score in zip(heads, scores, strict=True) if score >= SHARED * scores[0]]
    rng = np.random.default_rng(seed)
    carriers = [*(where for where, _ in heads), *also]
    shared = _Group(asking, strong, carriers, without, rng)
    found: list[Causal | None] = []
    for head in heads:
        of = shared if head in strong else _Group(asking, [head], carriers, without, rng)
        found.append(of.cause(head[0]))
    return Found(found, float(shared.whole.mean()))


class Asking:
    """The answers that a model gives right, and which of them an edit loses."""

    def __init__(self, model: SequenceView, sample: Sample, right: Bool[Tensor, "batch pos"], before: Tensor) -> None:
        self.model, self.sample, self.right, self.before = model, sample, right, before
        self.answers = sample.targets[right]
        self.everywhere = [Address(i, j) for i in range(model.network.n_layers) for j in range(model.n_heads)]
        self._idle: dict[Address, bool] = {}

    @classmethod
    def of(cls, model: SequenceView, sample: Sample) -> Asking | None:
        """None where too few answers are right, or not more than by giving another sequence's answers."""
        with torch.no_grad():
            logits = model.run(sample.tokens)[0]
        right = torch.zeros_like(sample.asked)
        right[sample.asked] = answered(logits[sample.asked], sample.targets[sample.asked])
        others = sample.targets.roll(1, 0)
        luck = int(((logits.argmax(-1) == others) & sample.asked & (others >= 0)).sum())
        if not enough(int(right.sum()), luck):
            return None
        return cls(model, sample, right, logits[right])

    def lost(self, edit: dict[str, Callable[[Tensor], Tensor]]) -> Lost:
        with torch.no_grad():
            edited = self.model.run(self.sample.tokens, edit=edit)[0][self.right]
        return (~still_answered(edited, self.answers, self.before)).numpy()

    def idle(self, head: Address) -> bool:
        """Whether the model does without it."""
        if head not in self._idle:
            self._idle[head] = float(self.without([head], "z").mean()) < IN_USE
        return self._idle[head]

    def without(self, heads: Sequence[Address], kind: Without) -> Lost:
        stratum = self.sample.stratum

        def averaged(of: list[int]) -> Callable[[Tensor], Tensor]:
            def edit(x: Tensor) -> Tensor:
                x = x.clone()
                at = (slice(None), of) if kind == "pattern" else (slice(None), slice(None), of)
                x[at] = mean_of_stratum(x[at], stratum)
                return x

            return edit

        layers = _layers(heads)
        of = {layer: [h.head for h in heads if h.layer == layer] for layer in layers}
        return self.lost({f"blocks.{layer}.attn.hook_{kind}": averaged(of[layer]) for layer in layers})

    def with_ideal(self, heads: Sequence[tuple[Address, Looks]]) -> Lost:
        """Patterns that are what the motif says; where it says nothing, the head's mean, without what it avoids."""

        def exchanged(of: list[tuple[Address, Looks]]) -> Callable[[Tensor], Tensor]:
            def edit(x: Tensor) -> Tensor:
                x = x.clone()
                for where, looks in of:
                    mean = mean_of_stratum(x[:, where.head], self.sample.stratum)
                    if looks.not_at is not None:
                        mean = mean * ~looks.not_at
                        mean = mean / mean.sum(-1, keepdim=True).clamp_min(1e-9)
                    x[:, where.head] = torch.where(looks.at.any(-1, keepdim=True), looks.ideal, mean)
                return x

            return edit

        return self.lost(
            {
                f"blocks.{layer}.attn.hook_pattern": exchanged([h for h in heads if h[0].layer == layer])
                for layer in _layers([where for where, _ in heads])
            }
        )


class _Group:
    """Heads that may share one job, with its control."""

    def __init__(
        self,
        asking: Asking,
        heads: Sequence[Ideal],
        carriers: Sequence[Address],
        without: tuple[Without, ...],
        rng: np.random.Generator,
    ) -> None:
        self.asking, self.heads, self.kinds = asking, [where for where, _ in heads], without
        self.by_kind = {kind: asking.without(self.heads, kind) for kind in without}
        self.whole = min(self.by_kind.values(), key=lambda lost: float(lost.mean()))
        ideal = [(where, looks) for where, looks in heads if looks is not None]
        self.kept = float((~asking.with_ideal(ideal)).mean()) if ideal else None
        self.control, self.dimensions = control(asking, self.heads, carriers, rng)

    def cause(self, head: Address) -> Causal:
        lost = min((self._lost(head, kind) for kind in self.kinds), key=lambda lost: float(lost.mean()))
        control = self.control
        return Causal(
            necessity=float(lost.mean()),
            sufficiency=self.kept,
            control=float(control.mean()) if len(control) else None,
            control_spread=float(control.mean(1).std()) if len(control) else None,
            p_value=max(mcnemar(lost, other) for other in control) if len(control) else None,
            pairs=len(lost),
            basis="asked_tokens",
            dimensions=self.dimensions,
            control_dimensions=self.dimensions,
        )

    def _lost(self, head: Address, kind: Without) -> Lost:
        """Without the head, or without the others of its group and not with it among them."""
        alone = self.asking.without([head], kind)
        if len(self.heads) == 1:
            return alone
        others = self.asking.without([h for h in self.heads if h != head], kind)
        return alone | (self.by_kind[kind] & ~others)


def control(
    asking: Asking, heads: Sequence[Address], carriers: Sequence[Address], rng: np.random.Generator
) -> tuple[Bool[np.ndarray, "draws answers"], int]:
    """What is lost without other heads, or without random directions; none where there is neither. The directions'
    number, 0 where heads are the control.
    """
    layers = {h.layer for h in heads}
    free = [h for h in asking.everywhere if h not in carriers]
    for near in (0, 1):
        beside = [h for h in free if min(abs(h.layer - i) for i in layers) == near]
        idle = [h for h in beside if asking.idle(h)]
        lost = [asking.without(others, "z") for others in _sets(idle, len(heads), rng)]
        if lost := [one for one in lost if one.mean() < IN_USE]:  # nor have they one together
            return np.stack(lost), 0
    return _other_directions(asking, heads, rng)


def _sets(free: Sequence[Address], wanted: int, rng: np.random.Generator) -> list[list[Address]]:
    """Random sets of as many heads, of half as many at the least; none where there are fewer."""
    size = min(len(free), wanted)
    if 2 * size < wanted or not size:
        return []
    chosen = {tuple(sorted(rng.choice(len(free), size, replace=False).tolist())) for _ in range(DRAWS)}
    return [[free[i] for i in numbers] for numbers in sorted(chosen)]


def _other_directions(
    asking: Asking, heads: Sequence[Address], rng: np.random.Generator
) -> tuple[Bool[np.ndarray, "draws answers"], int]:
    written = {layer: _written(asking, [h.head for h in heads if h.layer == layer], layer) for layer in _layers(heads)}
    draws, least = [], 0
    for _ in range(DRAWS):
        edits = {}
        for layer, own in written.items():
            width, size = own.shape
            taken = min(size, width - size)
            if 2 * taken < size or not taken:
                return np.empty((0, len(asking.answers)), dtype=bool), 0
            complement = torch.linalg.qr(own, mode="complete").Q[:, size:]
            turn = np.linalg.qr(rng.standard_normal((width - size, taken)))[0]
            edits[f"blocks.{layer}.hook_resid_mid"] = _flattened(complement @ torch.from_numpy(turn).float(), asking)
            least += taken
        draws.append(asking.lost(edits))
    return np.stack(draws), least // DRAWS


def _layers(heads: Sequence[Address]) -> list[int]:
    return sorted({h.layer for h in heads})


def _written(asking: Asking, of: list[int], layer: int) -> Float[Tensor, "d_model directions"]:
    """Orthonormal directions of the residual stream that hold nearly all of what heads write beyond its mean."""
    name = f"blocks.{layer}.attn.hook_z"
    with torch.no_grad():
        z = asking.model.run(asking.sample.tokens, capture=(name,))[1][name][:, :, of]
    out = torch.einsum("bphe,hed->bpd", z, asking.model.weights[f"blocks.{layer}.attn.W_O"].float()[of])
    out = (out - mean_of_stratum(out, asking.sample.stratum)).flatten(0, 1).double()
    power, directions = torch.linalg.eigh(out.T @ out)
    share = power.flip(0).clamp_min(0).cumsum(0) / power.clamp_min(0).sum().clamp_min(1e-300)
    return directions.flip(1)[:, : int((share < WRITTEN).sum()) + 1].float()


def _flattened(directions: Float[Tensor, "d_model k"], asking: Asking) -> Callable[[Tensor], Tensor]:
    def edit(x: Tensor) -> Tensor:
        return x - (x - mean_of_stratum(x, asking.sample.stratum)) @ directions @ directions.T

    return edit
