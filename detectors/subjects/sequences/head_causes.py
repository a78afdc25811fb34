"""What becomes of the answers without a head, without all heads of its kind, and with nothing but their motif.

Without a head: its output is set to its mean over sequences, place by place, or its pattern is (which leaves the output
of a head that looks at places as it was). Necessity of a head: the share of right answers that is lost without it or,
where several share a job, that it gives back to a model without all of them. Sufficiency: the share still right when
the patterns of all of them are what the motif says, where they work, and their mean elsewhere. Control: other heads of
those layers, else of neighbouring ones, that have no job of their own, in the place of these, as many as share the job
(of a language model, whose jobs many share, one for one); where there are none, random directions of the residual
stream behind the layer, as many as the heads write to and orthogonal to them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from detectors.core.nulls import mcnemar
from detectors.core.score import Causal
from detectors.subjects.right import answered, enough, still_answered
from detectors.subjects.sequences.patterns import Looks, Sample, mean_of_stratum
from detectors.subjects.sequences.view import SequenceView

DRAWS = 4  # of the control
SHARED = 1 / 3  # of the strongest head's score: heads that may share its job
WRITTEN = 0.99  # of the variance of what heads write: the directions that they write to
MANY = 16  # heads, of which random sets are tried as they are: to ask each alone would cost more than all else
IN_USE = 0.25  # necessity of a head from which it has a job of its own, and is no control

Without = Literal["z", "pattern"]
Lost = Bool[np.ndarray, " answers"]


class Address(NamedTuple):
    layer: int
    head: int


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
    sample = sample.first(model.for_causes)
    heads = [(where, looks and looks.first(model.for_causes)) for where, looks in heads]
    asking = Asking.of(model, sample) if heads else None
    if asking is None:
        return Found([None] * len(heads))
    rng = np.random.default_rng(seed)
    strong = [h for h, score in zip(heads, scores, strict=True) if score >= SHARED * scores[0]]
    carriers = [*(where for where, _ in heads), *also]
    group, together = _Group(asking, strong, without), [where for where, _ in strong]
    others = _other_heads(asking, together, carriers, len(strong), rng)
    alone = _other_heads(asking, together, carriers, 1, rng) if model.language else []
    shared = _control(asking, together, others, rng) if not alone else ([asking.without(one, "z") for one in alone], 0)
    found: list[Causal | None] = []
    for head in heads:
        of, control = group, shared
        if head not in strong:
            of = _Group(asking, [head], without)
            own = of.heads
            control = shared if alone else _control(asking, own, _other_heads(asking, own, carriers, 1, rng), rng)
        found.append(of.cause(head[0], *control))
    losses = {"as it is": asking.loss, "without them": asking.loss_without(together, group.whole)}
    losses |= {"without others": max(asking.loss_without(one, "z") for one in others)} if others else {}
    lost = max((float(asking.without(one, "z").mean()) for one in others), default=None)
    return Found(found, float(group.by_kind[group.whole].mean()), lost, losses)


class Asking:
    """The answers that a model gives right, and which of them an edit loses."""

    def __init__(self, model: SequenceView, sample: Sample, right: Bool[Tensor, " asked"], before: Tensor) -> None:
        """before: logits of all that is asked; right: which of them."""
        self.model, self.sample, self.before = model, sample, before[right]
        answers = sample.targets[sample.asked]
        self.answers, self.loss = answers[right], _loss(before, answers)
        self.at = sample.asked.clone()
        self.at[sample.asked] = right
        self.everywhere = [Address(i, j) for i in range(model.network.n_layers) for j in range(model.n_heads)]
        self._without: dict[tuple[frozenset[Address], Without], Lost] = {}

    @classmethod
    def of(cls, model: SequenceView, sample: Sample) -> Asking | None:
        """None where too few answers are right, or not more than by giving another sequence's answers. A model keeps
        it, as motifs ask for the same heads.
        """
        if isinstance(known := model.asking, Asking) and known.sample.tokens.equal(sample.tokens):
            return known
        with torch.no_grad():
            logits = model.run(sample.tokens, at=sample.asked)[0]
        right = answered(logits, sample.targets[sample.asked])
        luck = int((logits.argmax(-1) == sample.targets.roll(1, 0)[sample.asked]).sum())
        model.asking = cls(model, sample, right, logits) if enough(int(right.sum()), luck) else None
        return model.asking

    def lost(self, edit: dict[str, Callable[[Tensor], Tensor]]) -> Lost:
        with torch.no_grad():
            edited = self.model.run(self.sample.tokens, edit=edit, at=self.at)[0]
        return (~still_answered(edited, self.answers, self.before)).numpy()

    def loss_without(self, heads: Sequence[Address], kind: Without) -> float:
        with torch.no_grad():
            edited = self.model.run(self.sample.tokens, edit=self._removal(heads, kind), at=self.sample.asked)[0]
        return _loss(edited, self.sample.targets[self.sample.asked])

    def idle(self, head: Address) -> bool:
        """Whether the model does without it."""
        return float(self.without([head], "z").mean()) < IN_USE

    def without(self, heads: Sequence[Address], kind: Without) -> Lost:
        key = frozenset(heads), kind
        if key not in self._without:
            self._without[key] = self.lost(self._removal(heads, kind))
        return self._without[key]

    def _removal(self, heads: Sequence[Address], kind: Without) -> dict[str, Callable[[Tensor], Tensor]]:
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
        return {f"blocks.{layer}.attn.hook_{kind}": averaged(of[layer]) for layer in layers}

    def with_ideal(self, heads: Sequence[tuple[Address, Looks]]) -> Lost:
        """Patterns that are what the motif says; where it says nothing, the head's mean, without what it avoids. Of a
        language model only as much as the head has on the whole: the rest lies on a sink, and is the head's mean.
        """
        language = self.model.language

        def exchanged(of: list[tuple[Address, Looks]]) -> Callable[[Tensor], Tensor]:
            def edit(x: Tensor) -> Tensor:
                x = x.clone()
                for where, looks in of:
                    own, said = x[:, where.head], looks.at.any(-1, keepdim=True)
                    mean = mean_of_stratum(own, self.sample.stratum)
                    if looks.not_at is not None:
                        mean = mean * ~looks.not_at
                        mean = mean / mean.sum(-1, keepdim=True).clamp_min(1e-9)
                    share = (own * looks.at).sum() / said.sum().clamp_min(1) if language else torch.ones(())
                    x[:, where.head] = torch.where(said, share * looks.ideal + (1 - share) * mean, mean)
                return x

            return edit

        return self.lost(
            {
                f"blocks.{layer}.attn.hook_pattern": exchanged([h for h in heads if h[0].layer == layer])
                for layer in _layers([where for where, _ in heads])
            }
        )


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
        shares = [one.mean() for one in control]
        return Causal(
            necessity=float(lost.mean()),
            sufficiency=self.kept,
            control=float(np.mean(shares)) if shares else None,
            control_spread=float(np.std(shares)) if shares else None,
            p_value=max(mcnemar(lost, other) for other in control) if shares else None,
            pairs=len(lost),
            basis="asked_tokens",
            dimensions=dimensions,
            control_dimensions=dimensions,
        )

    def _lost(self, head: Address, kind: Without) -> Lost:
        """Without the head, or without the others of its group and not with it among them."""
        if len(self.heads) == 1:
            return self.by_kind[kind]
        others = self.asking.without([h for h in self.heads if h != head], kind)
        return self.asking.without([head], kind) | (self.by_kind[kind] & ~others)


def _loss(logits: Float[Tensor, "asked answers"], answers: Int[Tensor, " asked"]) -> float:
    return float(torch.nn.functional.cross_entropy(logits.double(), answers))


def _control(
    asking: Asking, heads: Sequence[Address], others: list[list[Address]], rng: np.random.Generator
) -> tuple[list[Lost], int]:
    """What is lost without other heads, or without random directions, and how many directions."""
    return ([asking.without(one, "z") for one in others], 0) if others else _other_directions(asking, heads, rng)


def _other_heads(
    asking: Asking, heads: Sequence[Address], carriers: Sequence[Address], size: int, rng: np.random.Generator
) -> list[list[Address]]:
    """Sets of so many other heads of those layers, else of neighbouring ones; none where there are too few."""
    layers = {h.layer for h in heads}
    free = [h for h in asking.everywhere if h not in carriers]
    for near in (0, 1):
        beside = [h for h in free if min(abs(h.layer - i) for i in layers) == near]
        idle = beside if len(beside) > MANY else [h for h in beside if asking.idle(h)]
        sets = [others for others in _sets(idle, size, rng) if asking.without(others, "z").mean() < IN_USE]
        if sets:  # nor have they a job together
            return sets
    return []


def _sets(free: Sequence[Address], wanted: int, rng: np.random.Generator) -> list[list[Address]]:
    """Random sets of as many heads, of half as many at the least; none where there are fewer."""
    size = min(len(free), wanted)
    if 2 * size < wanted or not size:
        return []
    chosen = {tuple(sorted(rng.choice(len(free), size, replace=False).tolist())) for _ in range(DRAWS)}
    return [[free[i] for i in numbers] for numbers in sorted(chosen)]


def _other_directions(asking: Asking, heads: Sequence[Address], rng: np.random.Generator) -> tuple[list[Lost], int]:
    """Without random directions orthogonal to those that heads write to, and how many they are on the mean."""
    written = {layer: _written(asking, [h.head for h in heads if h.layer == layer], layer) for layer in _layers(heads)}
    draws, least = [], 0
    for _ in range(DRAWS):
        edits = {}
        for layer, own in written.items():
            width, size = own.shape
            taken = min(size, width - size)
            if 2 * taken < size or not taken:
                return [], 0
            complement = torch.linalg.qr(own, mode="complete").Q[:, size:]
            turn = np.linalg.qr(rng.standard_normal((width - size, taken)))[0]
            edits[_behind(asking.model, layer)] = _flattened(complement @ torch.from_numpy(turn).float(), asking)
            least += taken
        draws.append(asking.lost(edits))
    return draws, least // DRAWS


def _behind(model: SequenceView, layer: int) -> str:
    """The stream behind a layer's attention, or behind the layer where a model shows no other."""
    name = f"blocks.{layer}.hook_resid_mid"
    return name if name in model.points else f"blocks.{layer}.hook_resid_post"


def _layers(heads: Sequence[Address]) -> list[int]:
    return sorted({h.layer for h in heads})


def _written(asking: Asking, of: list[int], layer: int) -> Float[Tensor, "d_model directions"]:
    """Orthonormal directions of the residual stream that hold nearly all of what heads write beyond its mean."""
    name = f"blocks.{layer}.attn.hook_z"
    with torch.no_grad():
        z = asking.model.run(asking.sample.tokens, capture=(name,), at=asking.at)[1][name][:, :, of]
    out = torch.einsum("bphe,hed->bpd", z, asking.model.weights[f"blocks.{layer}.attn.W_O"].float()[of])
    out = (out - mean_of_stratum(out, asking.sample.stratum)).flatten(0, 1).double()
    power, directions = torch.linalg.eigh(out.T @ out)
    share = power.flip(0).clamp_min(0).cumsum(0) / power.clamp_min(0).sum().clamp_min(1e-300)
    return directions.flip(1)[:, : int((share < WRITTEN).sum()) + 1].float()


def _flattened(directions: Float[Tensor, "d_model k"], asking: Asking) -> Callable[[Tensor], Tensor]:
    def edit(x: Tensor) -> Tensor:
        return x - (x - mean_of_stratum(x, asking.sample.stratum)) @ directions @ directions.T

    return edit
