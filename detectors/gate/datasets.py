"""What changed between two data sets of rows: checkpoint by checkpoint and detector by detector."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from detectors.core.registry import known, spec_of
from detectors.gate.baseline import BaselineError, Change, changes_of_one
from detectors.judging.detection import Detection
from detectors.report.parquet import read_rows
from detectors.report.rows import Row

Key = tuple[str, int | None, str]  # checkpoint, step, detector
CALL = ("draws", "seed", "tool_version")  # what rows were made with


@dataclass(frozen=True)
class DataSet:
    """Rows by checkpoint, step and detector. errors: checkpoints that could not be scored. made: values of CALL."""

    place: str
    detections: dict[Key, Detection] = field(default_factory=dict)
    errors: set[str] = field(default_factory=set)
    made: dict[str, set[Any]] = field(default_factory=lambda: {name: set() for name in CALL})

    @property
    def checkpoints(self) -> set[str]:
        return {name for name, _, _ in self.detections} | self.errors


def read_data_set(place: str | Path) -> DataSet:
    """The folder that `detectors run --parquet` wrote. Errors: DetectorsError, BaselineError."""
    found = DataSet(str(place))
    for row in read_rows(place):
        for name in CALL:
            found.made[name].add(row[name])
        if row["detector"] is None:
            found.errors.add(str(row["checkpoint"]))
            continue
        key = (str(row["checkpoint"]), row["step"], row["detector"])
        if key in found.detections:
            raise BaselineError(f"{place} has two rows of {key[0]}, {key[2]}: it is put together from several runs")
        found.detections[key] = _detection(place, row)
    return found


def pairs(before: DataSet, after: DataSet) -> list[tuple[str, Detection, Detection]]:
    """Detections of the same checkpoint, step and detector, with the checkpoint's name in the earlier one.

    Where no name is in both, names are taken relative to the folder that all of a data set's lie in.
    """
    old, new = before.detections, after.detections
    if not before.checkpoints & after.checkpoints:
        old, new = _relative(old), _relative(new)
    return [(key[0] if key[1] is None else f"{key[0]}, step {key[1]}", old[key], new[key]) for key in old if key in new]


def changes_of_pairs(compared: Iterable[tuple[str, Detection, Detection]]) -> list[tuple[str, Change]]:
    """Each with the checkpoint that it is of."""
    return [(name, change) for name, old, new in compared for change in changes_of_one(old, new)]


def _relative(found: Mapping[Key, Detection]) -> dict[Key, Detection]:
    names = {name for name, _, _ in found}
    with suppress(ValueError):  # absolute names and others
        root = os.path.commonpath([os.path.dirname(name) for name in names])
        return {(os.path.relpath(name, root or "."), step, one): d for (name, step, one), d in found.items()}
    return dict(found)


def _detection(place: str | Path, row: Row) -> Detection:
    function = known(row["detector"])
    declared = {} if function is None else {"chose": spec_of(function).chose, "news": spec_of(function).news}
    names = Detection.model_fields.keys() & row.keys() - {"evidence"}
    try:
        evidence = json.loads(row["evidence"] or "{}")
        return Detection(**{name: row[name] for name in names}, **declared, evidence=evidence)
    except (ValueError, RecursionError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": ("evidence",), "msg": "is no JSON"}
        where = f"{place}, {row['checkpoint']}, {row['detector']}"
        raise BaselineError(f"{where}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
