"""The report: what `run` returns, what the JSON holds, and what every other format is rendered from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from detectors.core.errors import DetectorsError

Share = float


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class CheckpointInfo(_Record):
    path: str
    sha256: str | None = Field(description="Digest of the weights file; null for a model in memory.")
    layout: str
    architecture: dict[str, Any]
    unused_tensors: list[str] = Field(description="Tensors in the file that the architecture does not use.")


class TaskInfo(_Record):
    spec: str
    n_tokens: int
    n_answers: int
    pairs: int = Field(description="Pairs that have an answer; 0 for a task of sequences.")
    group: str | None
    order: int | None = Field(description="Order of the group: the tokens that it labels.")
    note: str


class BySplit(_Record):
    """A figure over all pairs with an answer, and over training and test pairs where those are known."""

    all: float
    train: float | None
    test: float | None


class NullInfo(_Record):
    permuted: str
    draws: int
    mean: float


class CausalInfo(_Record):
    necessity: float = Field(ge=0, le=1)
    sufficiency: float = Field(ge=0, le=1)
    control: float | None = Field(ge=0, le=1, description="Null: no other irreps to remove.")
    pairs: int
    basis: Literal["test_pairs", "all_pairs"]


class Detection(_Record):
    """One detector's line. `score` is null where the detector did not run to its end."""

    detector: str
    version: int
    verdict: Literal["present", "inert", "absent", "inconclusive", "not_applicable", "error"]
    reason: str
    score: float | None = Field(default=None, ge=0, le=1)
    threshold: float | None = None
    p_value: float | None = Field(default=None, ge=0, le=1)
    p_adjusted: float | None = Field(default=None, ge=0, le=1, description="Holm, over this report.")
    null: NullInfo | None = None
    causal: CausalInfo | None = None
    evidence: dict[str, Any] = Field(default_factory=dict)
    seconds: float


class Report(_Record):
    """A sequence of detections, indexable by number or by detector name."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    tool: dict[str, str] = Field(description="Versions of the tool and of what its numbers depend on.")
    checkpoint: CheckpointInfo
    task: TaskInfo
    accuracy: BySplit
    loss: BySplit = Field(description="Mean cross-entropy in nats, from float64 log-softmax.")
    calibration: Literal["calibrated", "stale"] = Field(description="stale: of another zoo; every verdict is off.")
    summary: str
    notes: list[str] = Field(description="What a reader should doubt: a split, task or option that looks wrong.")
    detections: list[Detection]
    _model: Any = PrivateAttr(None)  # the view that was scored, for pictures of its neurons; no part of the document

    def __eq__(self, other: object) -> bool:
        """Equal documents: whether the model is still at hand makes no difference."""
        return isinstance(other, Report) and self.to_dict() == other.to_dict()

    def __getstate__(self) -> dict[Any, Any]:
        """Pickled without the model, which may be large or hold what cannot be pickled."""
        return {**super().__getstate__(), "__pydantic_private__": {"_model": None}}

    def __getitem__(self, key: int | str) -> Detection:
        if isinstance(key, int):
            return self.detections[key]
        for detection in self.detections:
            if detection.detector == key:
                return detection
        raise KeyError(f"no detector {key!r} in this report; it has {', '.join(d.detector for d in self.detections)}")

    def __len__(self) -> int:
        return len(self.detections)

    def __iter__(self) -> Iterator[Detection]:  # type: ignore[override]
        return iter(self.detections)

    def __str__(self) -> str:
        """The table as the command prints it."""
        from detectors.harness.report.terminal import as_text

        return as_text(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return self.model_dump(by_alias=True, mode="json")

    def to_json(self) -> str:
        """The document whose schema is `detectors/harness/report.schema.json`."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"

    def to_html(self) -> str:
        """One page with pictures that works offline. Those of single neurons need the model: not after JSON."""
        from detectors.harness.report.html import to_html

        return to_html(self)

    def to_pandas(self) -> Any:
        """A DataFrame with a row a detection; needs pandas."""
        try:
            import pandas
        except ImportError:
            raise DetectorsError("a DataFrame needs pandas: pip install pandas") from None
        figures = ("score", "threshold", "p_value", "p_adjusted", "necessity", "sufficiency", "control")
        rows = [d.model_dump() | (d.causal.model_dump() if d.causal else {}) for d in self]
        table = pandas.DataFrame(rows, columns=["detector", "verdict", *figures, "reason"])
        return table.astype(dict.fromkeys(figures, float))

    def _repr_html_(self) -> str:
        from detectors.harness.report.html import to_notebook

        return to_notebook(self)


def schema() -> dict[str, Any]:
    """JSON Schema of `Report.to_json`."""
    document = Report.model_json_schema(by_alias=True, mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **document}
