"""The rows of a story in a folder of Parquet, a file a checkpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from detectors.core.errors import DetectorsError
from detectors.report.parquet import write_rows
from detectors.report.rows import Row


def write_table(folder: Path, rows: Iterable[Row]) -> None:
    """Write them, a file a checkpoint with its step in the name, so that a run that is tracked again takes the place of
    what was there. Errors: DetectorsError.
    """
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise DetectorsError(f"cannot write {folder}: {error.strerror or error}") from None
    for (step, checkpoint), own in groupby(rows, key=lambda row: (row["step"], row["checkpoint"])):
        mark = hashlib.sha256(json.dumps([checkpoint, step]).encode()).hexdigest()[:12]
        write_rows(folder / f"step-{step:018d}-{mark}.parquet", own)
