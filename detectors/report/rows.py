"""Reports as rows of a table: one a detection, the same columns in a DataFrame and in Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from detectors.core.errors import DetectorsError
from detectors.core.score import jsonable
from detectors.core.verdict import Verdict
from detectors.core.version import __version__
from detectors.report.model import Document

# in the order of the table; every one may be null but `checkpoint`, `verdict` and `tool_version`
COLUMNS: dict[str, type] = {
    "checkpoint": str,
    "sha256": str,
    "step": int,
    "task": str,
    "layout": str,
    "detector": str,
    "version": int,
    "verdict": str,
    "reason": str,
    "score": float,
    "threshold": float,
    "p_value": float,
    "p_adjusted": float,
    "necessity": float,
    "sufficiency": float,
    "control": float,
    "accuracy_all": float,
    "accuracy_train": float,
    "accuracy_test": float,
    "accuracy_unseen": float,
    "evidence": str,
    "error": str,
    "draws": int,
    "seed": int,
    "tool_version": str,
    "seconds": float,
}
Row = dict[str, Any]


def rows_of(
    report: Document,
    *,
    checkpoint: str | None = None,
    step: int | None = None,
    draws: int | None = None,
    seed: int | None = None,
) -> list[Row]:
    """A row a detection, in the report's order.

    checkpoint: the path as it was given, where the report names another. step: of a series. draws: permutations asked
    for; those that each null took where None. seed: of the run, which a report does not hold.
    """
    tool = report.tool.get("circuit-detectors", __version__)
    made = {"checkpoint": checkpoint or report.checkpoint.path, "sha256": report.checkpoint.sha256, "step": step}
    made |= {"task": report.task.spec, "layout": report.checkpoint.layout, "seed": seed, "tool_version": tool}
    made |= {f"accuracy_{name}": getattr(report.accuracy, name) for name in ("all", "train", "test", "unseen")}
    return [_row(**made, **_found(d), draws=draws or (d.null.draws if d.null else None)) for d in report]


def error_row(checkpoint: str, error: str, **known: Any) -> Row:
    """The one row of a checkpoint that could not be scored: verdict `error` and no detector.

    known: columns that are known all the same, such as sha256, step, task, draws, seed, seconds.
    """
    told = {"checkpoint": checkpoint, "verdict": Verdict.ERROR, "error": error, "tool_version": __version__}
    return _row(**told, **known)


def frame(rows: Iterable[Row]) -> Any:
    """Rows as a pandas DataFrame, whose columns have the types that Parquet gives them. Errors: DetectorsError where
    pandas is not installed.

    >>> frame([error_row("a.pt", "no file a.pt")])[["checkpoint", "verdict", "step", "error"]].iloc[0].to_list()
    ['a.pt', 'error', <NA>, 'no file a.pt']
    """
    try:
        import pandas
    except ImportError:
        raise DetectorsError("a DataFrame needs pandas: pip install pandas") from None
    kinds = {str: pandas.Series(["text"]).dtype, int: "Int64", float: "float64"}  # text as this pandas reads it
    listed = list(rows)
    return pandas.DataFrame(
        {name: pandas.Series([row[name] for row in listed], dtype=kinds[kind]) for name, kind in COLUMNS.items()}
    )


def _found(d: Any) -> Row:
    names = ("detector", "version", "verdict", "reason", "score", "threshold", "p_value", "p_adjusted", "seconds")
    cause = {name: getattr(d.causal, name, None) for name in ("necessity", "sufficiency", "control")}
    error = d.reason if d.verdict is Verdict.ERROR else None
    evidence = json.dumps(jsonable(d.evidence), ensure_ascii=False)
    return {name: getattr(d, name) for name in names} | cause | {"error": error, "evidence": evidence}


def _row(**found: Any) -> Row:
    """All columns in their order, text as it may stand in a file: UTF-8, and plain strings."""
    if unknown := found.keys() - COLUMNS.keys():
        raise TypeError(f"no column {', '.join(sorted(unknown))}; there are {', '.join(COLUMNS)}")
    values = {name: found.get(name) for name in COLUMNS}
    return {name: jsonable(str(v)) if isinstance(v, str) else v for name, v in values.items()}
