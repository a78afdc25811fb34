"""What a report says of a model before any detector has looked: its task, and how well it does it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class BySplit:
    """A figure over all cases with an answer (None where nothing is answered), and where the training cases are known
    over those, over all others (test) and over the unseen ones among these, which are not even the flip (b, a) of a
    training case.
    """

    all: float | None
    train: float | None
    test: float | None
    unseen: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """How many cases there are of each kind."""

    all: int
    train: int | None
    echoed: int | None
    unseen: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """accuracy: share of the cases answered right. loss: mean cross-entropy in nats, from float64 log-softmax.
    cases: how many these are over.
    """

    accuracy: BySplit
    loss: BySplit
    cases: Counts


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskFacts:
    """subject: kind of the model's subject. pairs: that have an answer; 0 for a task of sequences. group, order: behind
    the task, order being the number of tokens that it labels. about: what stands behind the spec in a report's head.
    split: what is known of the training set, `given`, `inferred`, `unknown`, `doubted`, or `fresh` where there is none.
    """

    spec: str
    subject: str
    about: str
    split: str
    n_tokens: int
    n_answers: int
    pairs: int
    group: str | None
    order: int | None
    note: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificate:
    """A lower bound of the accuracy over all pairs that follows from the circuit, in float32 or better; in no more than
    `share` of the operations of a pass over all pairs. by_norms: what already follows from norms. why: what keeps it
    from more. idealised_margin: by which the idealised circuit's right answer leads. deviations: what the network may
    take off that, by part, for the median pair. seconds: taken here, and of that pass from a part of it.
    """

    certified_accuracy: float
    by_norms: float
    pairs: int
    why: str
    idealised_margin: float
    deviations: dict[str, float]
    slack: float
    operations: int
    brute_force_operations: int
    share: float
    seconds: float
    brute_force_seconds: float
