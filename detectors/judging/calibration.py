"""Thresholds and error rates: `calibration.json`, made by `python -m models_zoo calibrate`, and what plugins ship."""

from __future__ import annotations

import json
import math
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from typing import Any

PLUGINS = "detectors.calibration"  # entry points: functions that give what `calibrate PACKAGE:NAME` wrote
ZOO_DIGESTS = "detectors.zoo_digests"  # entry points: functions that give the digest of an installed zoo


@cache
def calibration() -> dict[str, Any]:
    """Its rows are `stale` where the zoo is not the one that it is of."""
    table: dict[str, Any] = json.loads(files("detectors.judging").joinpath("calibration.json").read_text())
    installed = [_digest(entry) for entry in entry_points(group=ZOO_DIGESTS)]
    if installed and table["zoo"] not in installed:
        table["status"] = "stale"
        table["rows"] = {name: {**row, "stale": True} for name, row in table["rows"].items()}
    for entry in entry_points(group=PLUGINS):
        table["rows"] = _rows(entry) | table["rows"]  # nobody sets the threshold of a detector of ours
    return table


def _rows(entry: EntryPoint) -> dict[str, Any]:
    """What a plugin says of its detectors; nothing where it cannot be had, which leaves them uncalibrated."""
    try:
        rows = entry.load()()["rows"]
        return {str(name): row for name, row in rows.items() if _is_row(row)}
    except KeyboardInterrupt:
        raise
    except BaseException:  # one that exits too
        return {}


def _digest(entry: EntryPoint) -> Any:
    """None, which is no zoo's, where it cannot be had."""
    try:
        return entry.load()()
    except KeyboardInterrupt:
        raise
    except BaseException:
        return None


def _is_row(row: Any) -> bool:
    return isinstance(row.get("version"), int) and 0 <= float(row.get("threshold", math.nan)) <= 1


def rates(name: str, version: int, threshold: float | None) -> dict[str, Any] | None:
    """The row of a detector, if it is the one that a report was judged by."""
    row: dict[str, Any] | None = calibration()["rows"].get(name)
    same = row is not None and threshold is not None and (row["version"], row["threshold"]) == (version, threshold)
    return row if same else None
