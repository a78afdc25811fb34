"""One detector's line of a report: what it found, and what was made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from detectors.core.heads import label
from detectors.core.picture import Picture
from detectors.core.registry import Spec, known, picture_of, result_of, spec_of
from detectors.core.score import Causal, Null, Score
from detectors.core.verdict import Verdict


class Detection(BaseModel):
    """`score` is null where the detector did not run to its end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    detector: str
    version: int
    verdict: Verdict
    reason: str
    score: float | None = Field(default=None, ge=0, le=1)
    threshold: float | None = None
    p_value: float | None = Field(default=None, ge=0, le=1)
    p_adjusted: float | None = Field(default=None, ge=0, le=1, description="Holm, over this report.")
    null: Null | None = None
    causal: Causal | None = None
    evidence: dict[str, Any] = Field(default_factory=dict)
    chose: str = Field(default="", description="Key of the evidence that lists what was chosen, as key irreps.")
    news: Literal["good", "bad"] = Field(default="good", description="bad: a release is better without it.")
    seconds: float
    _scored: Score | None = PrivateAttr(None)  # with the arrays of its pictures; no part of the document

    def __eq__(self, other: object) -> bool:
        """Equal documents: whether the arrays of the pictures are still at hand makes no difference."""
        return isinstance(other, Detection) and self.model_dump() == other.model_dump()

    @property
    def figures(self) -> dict[str, Any]:
        """The verdict and what it rests on, for systems that show names and values; what there is not is left out."""
        names = ("verdict", "score", "threshold", "p_value", "p_adjusted")
        found = {name: getattr(self, name) for name in names}
        return {name: value for name, value in found.items() if value is not None} | {"verdict": str(self.verdict)}

    @property
    def spec(self) -> Spec | None:
        """What the detector declares; None where it is not installed here."""
        function = known(self.detector)
        return None if function is None else spec_of(function)

    @property
    def scored(self) -> Score | None:
        """The detector's own result; of a report read from JSON what can be restored of it."""
        function = known(self.detector)
        if self._scored is not None or self.score is None or function is None:
            return self._scored
        try:
            return result_of(function).restored(self.score, self.null, self.causal, self.evidence)
        except (KeyError, TypeError, NameError):  # evidence of another version
            return None

    @property
    def chosen(self) -> list[str]:
        """Names of what the detector chose, strongest first: key irreps, layers, heads whose verdict is the motif's."""
        found = self.evidence.get(self.chose)
        listed = found if isinstance(found, list | tuple) else []
        return [_name(one) for one in listed if not isinstance(one, Mapping) or self.verdict == one.get("verdict")]

    @property
    def clause(self) -> str:
        """What the motif adds to the sentence of a report; nothing where it is not present."""
        clause, score = self.spec.clause if self.spec else None, self.scored
        silent = clause is None or score is None or self.verdict is not Verdict.PRESENT
        return "" if silent or score is None else _attempted(clause, score, "")

    @property
    def pictures(self) -> list[Picture]:
        """What there is to look at; nothing where it came to no verdict on the structure."""
        function, score = known(self.detector), self.scored
        draw = picture_of(function) if function is not None and self.verdict.settled else None
        return [] if draw is None or score is None else _attempted(draw, score, [])


def _name(one: Any) -> str:
    return label(one) if isinstance(one, Mapping) and {"layer", "head"} <= one.keys() else str(one)


def _attempted(function: Any, score: Score, otherwise: Any) -> Any:
    """A clause or picture of somebody else's that crashes takes nothing down with it."""
    try:
        return function(score)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return otherwise
