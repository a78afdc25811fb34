"""Losses and accuracies by step that somebody kept: in CSV, JSON, or beside the weights in a checkpoint."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from detectors.core.errors import CheckpointError
from detectors.loading.arrays import Storages, array, no_storages, shape
from detectors.loading.containers import first_line, read_bytes, short, tree_of, whole
from detectors.loading.plain import children, plain

MAX_BYTES = 2**27  # of text: a loss takes some twenty letters
MOST = 2_000_000  # steps
FEWEST = 8  # points, of which phases can be told
TEXT = (".csv", ".tsv", ".json", ".jsonl")
STEP = re.compile(r"^(global_?)?(step|epoch|iter|iteration|update)s?$", re.I)
LOSS = re.compile(r"loss|cross_?entropy|nll", re.I)
ACCURACY = re.compile(r"acc", re.I)
TRAIN, TEST = re.compile(r"train|trn", re.I), re.compile(r"test|val|valid|eval|dev|held", re.I)


class Kept(NamedTuple):
    """train, test: by step; test None where only one is kept. is_loss: accuracies otherwise."""

    steps: list[int]
    train: list[float]
    test: list[float] | None
    is_loss: bool


def read_curves(path: Path) -> Kept:
    """The curves in a file. Errors: CheckpointError where it has none; a pickle with code in it is refused unrun."""
    data = read_bytes(path, MAX_BYTES if path.suffix.lower() in TEXT else None)
    if path.suffix.lower() in TEXT:
        found = whole(path, lambda: _text(data.decode("utf-8-sig"), path.suffix.lower()))
    else:
        found = curves_in(*whole(path, lambda: tree_of(data, path.suffix)))
    if (kept := kept_in(found)) is None:
        known = ", ".join(short(name) for name in list(found)[:6]) or "no columns of numbers"
        raise CheckpointError(
            f"{path} has no curves of training: columns train_loss and test_loss, or train_acc and test_acc, and step "
            f"where they are not at every step, are expected; it has {known}"
        )
    return kept


def kept_in(columns: Mapping[str, list[float]]) -> Kept | None:
    """Those that are curves, losses before accuracies; None where there are none, or under FEWEST points."""
    for kind, is_loss in ((LOSS, True), (ACCURACY, False)):
        named = {name: values for name, values in columns.items() if kind.search(name) and len(values) >= FEWEST}
        test = next((v for name, v in named.items() if TEST.search(name)), None)
        plain_ = [v for name, v in named.items() if not TEST.search(name)]
        train = next((v for name, v in named.items() if TRAIN.search(name)), plain_[0] if len(plain_) == 1 else None)
        if train is None or (test is not None and len(test) != len(train)):
            continue
        said = next((v for name, v in columns.items() if STEP.match(name) and len(v) == len(train)), None)
        steps = range(len(train)) if said is None or not all(math.isfinite(s) for s in said) else map(int, said)
        return Kept(list(steps), train, test, is_loss)
    return None


HOLES = ("", "-", "n/a", "na", "none", "null")  # cells of a table that hold no number


def curves_in(tree: Any, storages: Storages | None = None) -> dict[str, list[float]]:
    """Lists and arrays of numbers by their keys, at the top of a file or one level down."""
    found: dict[str, list[float]] = {}
    for key, value in _named(tree):
        if not isinstance(key, str) or not (LOSS.search(key) or ACCURACY.search(key) or STEP.match(key)):
            continue
        sizes = shape(array(value)) if array(value) is not None else ()
        if sizes[1:] or not (sizes or isinstance(value, list | tuple)):
            continue
        try:
            numbers = plain(value, storages or no_storages(), [2 * MOST])
        except (CheckpointError, ValueError):
            continue
        if (column := _numbers(list(numbers))) is not None:
            found.setdefault(key, column)
    return found


def _named(tree: Any) -> Iterable[tuple[Any, Any]]:
    below = []
    for key, value in children(tree):
        yield key, value
        if isinstance(value, dict):
            below.append(value)
    for inner in below[:8]:
        yield from children(inner)


def _numbers(values: Iterable[Any]) -> list[float] | None:
    """As floats, holes as NaN; None where a value is none."""
    try:
        return [math.nan if _is_hole(v) else float(v.item() if hasattr(v, "item") else v) for v in values]
    except (TypeError, ValueError, AttributeError):
        return None


def _is_hole(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() in HOLES)


def _text(text: str, suffix: str) -> dict[str, list[float]]:
    try:
        if suffix in (".csv", ".tsv"):
            rows: Any = list(csv.DictReader(text.splitlines(), delimiter="\t" if suffix == ".tsv" else ","))
        else:
            lines = text.splitlines() if suffix == ".jsonl" else [text]
            rows = [json.loads(line) for line in lines if line.strip()]
            rows = rows[0] if suffix == ".json" and len(rows) == 1 else rows
    except (ValueError, RecursionError, csv.Error) as error:
        raise CheckpointError(first_line(error)) from None
    if isinstance(rows, Mapping):
        rows = rows.get("log_history", rows)  # as Trainer keeps them
    if isinstance(rows, Mapping):
        return curves_in(rows)
    if not isinstance(rows, list) or len(rows) > MOST or not all(isinstance(row, Mapping) for row in rows):
        return {}
    return _columns(rows)


def _columns(rows: list[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Of lines of a log, each with what it has: those of one step, as of training and of evaluation, are one."""
    names = list(dict.fromkeys(str(name) for row in rows for name in row if name))
    step = next((name for name in names if STEP.match(name)), None)
    if step is not None:
        merged: dict[Any, dict[str, Any]] = {}
        for row in rows:
            told = {k: v for k, v in row.items() if not _is_hole(v)}
            merged.setdefault(row.get(step), {}).update(told)
        rows = [row for key, row in merged.items() if key not in (None, "")]
    found = {name: _numbers(row.get(name) for row in rows) for name in names}
    return {name: column for name, column in found.items() if column is not None}
