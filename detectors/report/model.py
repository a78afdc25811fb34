"""What a report says: what its JSON holds, and what every other format is rendered from. Data, and no model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from detectors.core.figures import BySplit, Certificate, Counts, TaskFacts
from detectors.core.visible import visible
from detectors.judging.detection import Detection

RECORD = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class CheckpointInfo(BaseModel):
    model_config = RECORD

    path: str
    sha256: str | None = Field(description="Digest of the weights file; null for a model in memory.")
    layout: str
    architecture: dict[str, Any]
    unused_tensors: list[str] = Field(description="Tensors in the file that the architecture does not use.")
    reading: list[str] = Field(default=[], description="How each part of the file was read, and why.")


@dataclass(frozen=True)
class Outcome:
    """What became of a condition of a gate. sentence: what was found, or why it failed."""

    id: str
    detector: str | None
    passed: bool
    sentence: str
    properties: dict[str, Any] = field(default_factory=dict)


class Alternative(BaseModel):
    """Another reading of the file, which nothing tells from the one taken and which has the same verdicts."""

    model_config = RECORD

    reading: str = Field(description="What is typed to ask for it.")
    accuracy: BySplit
    likeness: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="How much of what its logits and neurons do those of the reading taken do too.",
    )


class Document(BaseModel):
    """A sequence of detections, indexable by number or by detector name."""

    model_config = RECORD

    schema_version: Literal[2] = Field(default=2, alias="schema")
    tool: dict[str, str] = Field(description="Versions of the tool and of what its numbers depend on.")
    checkpoint: CheckpointInfo
    task: TaskFacts
    accuracy: BySplit
    alternatives: list[Alternative] = Field(
        default=[], description="Readings of the file that answer about as well. A gate's accuracy holds under all."
    )
    pairs: Counts = Field(description="How many cases there are, trained on, the flip of one, and neither.")
    loss: BySplit = Field(description="Mean cross-entropy in nats, from float64 log-softmax.")
    certificate: Certificate | None = Field(
        default=None, description="A lower bound of the accuracy that follows from the circuit, where it was asked for."
    )
    calibration: Literal["calibrated", "stale"] = Field(description="stale: of another zoo; every verdict is off.")
    summary: str
    notes: list[str] = Field(description="What a reader should doubt: a split, task or option that looks wrong.")
    detections: list[Detection]

    def __getitem__(self, key: int | str) -> Detection:
        if isinstance(key, int):
            return self.detections[key]
        for detection in self.detections:
            if detection.detector == key:
                return detection
        raise KeyError(f"no detector {key!r} in this report; it has {', '.join(d.detector for d in self.detections)}")

    def __repr__(self) -> str:
        found = ", ".join(f"{d.detector} {d.verdict}" for d in self.detections)
        return f"<{type(self).__name__} of {visible(self.checkpoint.path)}, {self.task.spec}: {visible(found)}>"

    def __len__(self) -> int:
        return len(self.detections)

    def __iter__(self) -> Iterator[Detection]:  # type: ignore[override]
        return iter(self.detections)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return self.model_dump(by_alias=True, mode="json")

    def to_json(self) -> str:
        """The document whose schema is `detectors/report/report.schema.json`."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"
