"""Files that people keep their training pairs in: JSON, NumPy, torch, and tables of text."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from detectors.core.errors import CheckpointError
from detectors.loading.containers import first_line, read_bytes, read_plain

MAX_BYTES = 2**25  # all pairs of a thousand tokens as text are half of that; empty lists in JSON take 20 times theirs
TEXT = (".csv", ".tsv", ".txt")
SIDES = ("split", "set", "subset", "partition", "fold")


def read_values(path: Path) -> Any:
    """What a file holds, in plain values: lists and dictionaries of numbers, and arrays. Errors: CheckpointError."""
    if not path.exists():
        raise CheckpointError(f"no file {path} for --train-indices")
    try:
        if path.suffix == ".json":
            return json.loads(read_bytes(path, MAX_BYTES))
        if path.suffix in TEXT:
            return _table(read_bytes(path, MAX_BYTES).decode("utf-8-sig"), path)
        return read_plain(path, MAX_BYTES)
    except (ValueError, RecursionError, csv.Error) as error:
        if isinstance(error, CheckpointError) and path.suffix in (".json", *TEXT):
            raise
        raise CheckpointError(f"{path} holds no training indices: {first_line(error)}") from None


def _table(text: str, path: Path) -> Any:
    """Rows of numbers; columns by their names where the first line has such, and of a column `split` the `train`."""
    lines = text.splitlines()
    comma = "," if any("," in line for line in lines[:2]) else None
    rows = [row for row in (list(csv.reader(lines)) if comma else [line.split() for line in lines]) if row]
    if not rows:
        raise CheckpointError(f"{path}: the list of training pairs is empty")
    if any(len(row) != len(rows[0]) for row in rows):
        raise CheckpointError(f"{path}: its lines have different numbers of columns")
    named = not all(_is_number(cell) for cell in rows[0])
    names = [name.strip().lower() for name in rows[0]]
    body = rows[named:]
    if named and (side := next((names.index(name) for name in SIDES if name in names), None)) is not None:
        body = [row for row in body if row[side].strip().lower().startswith("train")]
        body = [row[:side] + row[side + 1 :] for row in body]
        names.pop(side)
    numbers = [[_number(cell, path) for cell in row] for row in body]
    if not named or len(names) == 1:
        return [row[0] for row in numbers] if numbers and len(numbers[0]) == 1 else numbers
    columns: dict[str, Any] = {name: [row[k] for row in numbers] for k, name in enumerate(names)}
    return columns


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _number(cell: str, path: Path) -> int | float | bool:
    text = cell.strip().lower()
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text) if text.lstrip("+-").isdecimal() else float(text)
    except ValueError:
        raise CheckpointError(f"{path}: {text[:20]!r} is no number") from None
