"""What a detector returns: a value in [0, 1], how unlikely it is by chance, and what the motif does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class Null:
    """A permutation test. permuted: what was exchanged; draws: how often; mean: of the statistic.

    p_value = (1 + #{null >= observed}) / (draws + 1), exact (Phipson and Smyth 2010, arXiv:1603.05766).
    smallest: the p-value that these draws would have given the largest statistic among them and the
    observed one, so above the level when too few tokens leave too few distinct permutations.
    """

    permuted: str
    draws: int
    mean: float
    p_value: float
    smallest: float


_BASES = {
    "unseen_pairs": "unseen pairs",
    "asked_tokens": "right answers",
    "random_frames": "random frames of the same norms",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Causal:
    """What becomes of the answers when the motif's subspace is edited, or of the loss.

    necessity: share of the pairs answered right that turn wrong once the subspace is removed, mean kept.
    sufficiency: share of them still right when only the subspace and the mean are kept, or a head's patterns are what
    the motif says; None where the motif says nothing that could be kept alone.
    control, control_spread: necessity of random directions outside the subspace, mean and standard deviation over
    several draws; None: none available. p_value: that removing the subspace loses no more of the same pairs than
    removing the random directions (McNemar, one-sided, the strictest of the draws).
    pairs: how many pairs; basis: `unseen_pairs`, `all_pairs`, `asked_tokens` of sequences, or `random_frames`.
    dimensions, control_dimensions: of what was removed.
    power, control_power: share that it held of the variance of the activations.

    Of a loss (basis `random_frames`) necessity is 1 - loss / mean loss of the same model with its features in random
    directions; sufficiency the share of that gain that the motif keeps, made exact and everything else random; p_value
    the chance of a loss as low in these `pairs` random models, which are control themselves.
    """

    necessity: float
    sufficiency: float | None
    control: float | None
    pairs: int
    basis: str
    control_spread: float | None = None
    p_value: float | None = None
    dimensions: int = 0
    control_dimensions: int = 0
    power: float | None = None
    control_power: float | None = None

    def __post_init__(self) -> None:
        for name in ("necessity", "sufficiency", "control"):
            if (share := getattr(self, name)) is not None and not 0 <= share <= 1:
                raise ValueError(f"{name} is a share in [0, 1], not {share}")

    @property
    def of_loss(self) -> bool:
        """Of a loss against random models, not of answers against a control."""
        return self.basis == "random_frames"

    @property
    def where(self) -> str:
        """The pairs in words."""
        return f"{self.pairs} {_BASES.get(self.basis, 'of all pairs')}"


def for_picture() -> Any:
    """A field with what a picture is drawn from and no report prints: small arrays, None in a report read from JSON."""
    return field(default=None, metadata={"picture": True})


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """Base of every motif's result. Further fields of a subclass are its evidence, by name.

    value: in [0, 1], higher is more. null: None where nothing was permuted. causal: None where the
    motif has no cause of its own, or where too few right answers leave it unknown. remark: what a reader must know of
    the value, such as an assumption that it rests on, said with the reason of the verdict. unsettled: why a low value
    is no absence, empty where it is.
    """

    value: float
    null: Null | None
    causal: Causal | None
    remark: str = ""
    unsettled: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 1:
            raise ValueError(f"{type(self).__name__}.value must lie in [0, 1], not {self.value}")

    @property
    def evidence(self) -> dict[str, Any]:
        """The fields that the subclass adds; metadata `key` renames what no Python name can say."""
        return {key: getattr(self, f.name) for key, f in _evidence(type(self)).items()}

    @classmethod
    def restored(cls, value: float, null: Null | None, causal: Causal | None, evidence: Mapping[str, Any]) -> Score:
        """The score that a report's JSON speaks of, without what only its pictures need."""
        found = {f.name: evidence[key] for key, f in _evidence(cls).items()}
        own = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
        return cls(value=value, null=null, causal=causal, **own)  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types throughout: arrays become lists, NaN and infinities null."""
        return {f.name: jsonable(getattr(self, f.name)) for f in fields(self) if not f.metadata.get("picture")}


def _evidence(cls: type[Score]) -> dict[str, Field[Any]]:
    base = {f.name for f in fields(Score)}
    own = [f for f in fields(cls) if f.name not in base and not f.metadata.get("picture")]
    return {f.metadata.get("key", f.name): f for f in own}


def jsonable(value: Any) -> Any:
    """Plain JSON types of dataclasses, NumPy values, mappings and sequences; NaN and infinities are None."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if hasattr(value, "__dataclass_fields__"):
        return {f.name: jsonable(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {jsonable(str(k)): jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):  # halves of surrogate pairs, as file names that are no UTF-8 give, are no JSON
        return value.encode(errors="backslashreplace").decode()
    return value
