"""The shipped table of thresholds and error rates, `calibration.json`, made by `python -m models_zoo calibrate`."""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files
from typing import Any

ZOO_DIGESTS = "detectors.zoo_digests"  # entry points: functions that give the digest of an installed zoo


@cache
def calibration() -> dict[str, Any]:
    """Its rows are `stale` where the zoo is not the one that it is of."""
    table: dict[str, Any] = json.loads(files("detectors.judging").joinpath("calibration.json").read_text())
    installed = [entry.load()() for entry in entry_points(group=ZOO_DIGESTS)]
    if installed and table["zoo"] not in installed:
        table["status"] = "stale"
        table["rows"] = {name: {**row, "stale": True} for name, row in table["rows"].items()}
    return table


def rates(name: str, version: int, threshold: float | None) -> dict[str, Any] | None:
    """The row of a detector, if it is the one that a report was judged by."""
    row: dict[str, Any] | None = calibration()["rows"].get(name)
    same = row is not None and threshold is not None and (row["version"], row["threshold"]) == (version, threshold)
    return row if same else None
