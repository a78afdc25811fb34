"""What a run's checkpoints say together: figures by step, and what happened when."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from detectors.core.registry import builtin, load, spec_of
from detectors.core.verdict import Verdict

SPLITS = ("all", "train", "test", "unseen")
Interval = tuple[int | None, int]
Figures = list[float | None]
Kind = Literal["grokking", "at once", "training pairs alone", "nothing"]


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Course(Record):
    """A motif through training. Lists are as long as the story's steps; null where a checkpoint was not scored."""

    value: Figures
    verdict: list[Verdict | None]
    p_adjusted: Figures
    necessity: Figures
    sufficiency: Figures
    control: Figures
    evidence: dict[str, Figures] = Field(default={}, description="What of the evidence is a number, by name.")
    chosen: list[list[str]] = Field(default=[], description="Key irreps, strongest first.")
    effective: Figures = Field(default=[], description="(sum p)^2 / sum p^2 of the power p by irrep.")
    open: str = Field(
        default="", description="Why, where it is inconclusive at every checkpoint: as the last one says."
    )

    @property
    def present(self) -> list[bool | None]:
        """Whether it is there; None where that checkpoint was not scored, or the detector crashed."""
        return [None if v in (None, Verdict.ERROR) else v is Verdict.PRESENT for v in self.verdict]


class Phase(Record):
    """A stretch of checkpoints of one phase, both ends in it."""

    phase: str
    start: int = Field(alias="from")
    end: int = Field(alias="to")


class Spectrum(Record):
    """A spectrum at one checkpoint. rank: irreps beyond chance. effective: (sum p)^2 / sum p^2 of the power by irrep.
    concentration: the motif's value. kept: of its key irreps, those that are key at the last checkpoint too.
    """

    step: int
    rank: int
    effective: float | None
    concentration: float | None
    kept: int


class Convergence(Record):
    """The same spectrum where the circuit sets in, where the accuracy rises, and at the last checkpoint."""

    onset: Spectrum | None
    rise: Spectrum | None
    end: Spectrum | None


class Curves(Record):
    """Losses or accuracies by step, and what they show. kind: `grokking`, `at once` where test pairs are learnt
    together with training pairs, `training pairs alone` where they never are, `nothing` where neither are.
    learnt: step at which training and test pairs are, None where never. peak: step and height of the highest test loss.
    points: step, of training and of test pairs, thinned.
    """

    unit: Literal["loss", "accuracy"]
    kind: Kind
    chance: float | None
    learnt: tuple[int | None, int | None]
    peak: tuple[int, float] | None
    phases: list[Phase]
    points: list[tuple[int, float | None, float | None]]


class Story(Record):
    """steps: of the checkpoints, rising. accuracy: of `all`, `train`, `test` and `unseen` pairs, None where the split
    is unknown. motifs: by name. weight_norm: of all weights that the model uses; None where only rows are at hand.
    onsets: by motif, from the last checkpoint before it to the first with it, None before the first of all. rise: the
    same of the accuracy on unseen pairs (else test, else all: `rise_of`) over one half. lead: steps from onset to rise,
    by motif, at least and at most. curves: of a loss that was kept at every step. forecast: of the step at which the
    accuracy on unseen pairs passes 99%. untold: step and reason of
    checkpoints that were not scored.
    """

    task: str = ""
    steps: list[int]
    accuracy: dict[str, Figures]
    motifs: dict[str, Course]
    weight_norm: Figures = []
    onsets: dict[str, Interval | None] = {}
    rise: Interval | None = Field(default=None, alias="accuracy_rise")
    rise_of: str = ""
    lead: dict[str, tuple[int, int | None]] = {}
    phases: list[Phase] = []
    convergence: dict[str, Convergence] = {}
    curves: Curves | None = None
    forecast: dict[str, Any] | None = None
    telling: list[str] = Field(default=[], description="The story in sentences.")
    notes: list[str] = []
    untold: dict[int, str] = {}

    def on_axis(self, axis: str) -> Course | None:
        """The motif that is an axis of the plane, G or M."""
        return self.motifs.get(axes().get(axis, ""))

    def evidence(self, key: str) -> Figures:
        """What of the evidence has that name, of the first motif that has it; Nones where none does."""
        found = (course.evidence[key] for course in self.motifs.values() if key in course.evidence)
        return next(found, self.unknown)

    @property
    def unknown(self) -> Figures:
        return [None] * len(self.steps)

    @property
    def g(self) -> Figures:
        """G, generalisation, by step."""
        course = self.on_axis("G")
        return course.value if course else self.unknown

    @property
    def m(self) -> Figures:
        """M, memorisation, by step."""
        course = self.on_axis("M")
        return course.value if course else self.unknown

    @property
    def membership(self) -> Figures:
        """The trace of the training set in what is left of the logits, `membership_advantage`, by step."""
        return self.evidence("membership_advantage")

    def until(self, count: int) -> Story:
        """Its first checkpoints alone, without what was made of all: for a forecast as it was made then."""

        def cut(course: Course) -> Course:
            found: dict[str, Any] = {name: value[:count] for name, value in course if isinstance(value, list)}
            return Course(**found, evidence={k: v[:count] for k, v in course.evidence.items()})

        return Story(
            task=self.task,
            steps=self.steps[:count],
            accuracy={name: values[:count] for name, values in self.accuracy.items()},
            motifs={name: cut(course) for name, course in self.motifs.items()},
            weight_norm=self.weight_norm[:count],
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, by the names of the JSON document."""
        return self.model_dump(by_alias=True, mode="json")

    def to_json(self) -> str:
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


@cache
def axes() -> dict[str, str]:
    """Names of the motifs that are axes of the plane of G and M."""
    return {spec.axis: name for name in builtin() if (spec := spec_of(load(name))).axis}


def last_known(values: Sequence[float | None]) -> float | None:
    return next((value for value in reversed(values) if value is not None), None)
