"""The series that a watch leaves: a folder of Parquet files, one a step, which `detectors track` reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from detectors.core.errors import DetectorsError
from detectors.report.parquet import files_of, read_said, write_rows
from detectors.report.rows import Row

_NAME = re.compile(r"step_(\d{12,})\.parquet")


class Parts:
    """The parts of one run. A run that goes on from a saved state takes up the series where that was saved: parts of
    later steps are dropped, as they will be made again. Errors: DetectorsError where the folder holds another run.
    run: by what a run is known, which the footer of every part holds.
    """

    def __init__(self, folder: Path, run: Mapping[str, str]) -> None:
        self.folder, self.run = folder, dict(run)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            others = [file.name for file in files_of(folder) if not _NAME.fullmatch(file.name)]
        except OSError as error:
            raise DetectorsError(f"cannot keep a series in {folder}: {error.strerror or error}") from None
        if others:
            raise DetectorsError(
                f"{folder} holds rows of something else, such as {others[0]}: give a folder of its own"
            )

    def steps(self) -> dict[int, Path]:
        """The steps that are there."""
        return {int(m[1]): file for file in files_of(self.folder) if (m := _NAME.fullmatch(file.name))}

    def begin(self, step: int) -> None:
        """Before the first part. Errors: DetectorsError where all that is there is at or behind this step, or of
        another run.
        """
        there = self.steps()
        if there and step <= min(there):
            raise DetectorsError(
                f"{self.folder} holds a series of steps {min(there)} to {max(there)}, and this run begins at {step}: "
                "give another folder, or remove it"
            )
        said = (read_said(there[min(there)]) or {}) if there else {}
        if unlike := [what for what, mine in self.run.items() if said.get(what, mine) != mine]:
            raise DetectorsError(
                f"{self.folder} holds a series of another run: its {', '.join(unlike)} are not those of this one. "
                "Give another folder, or remove it"
            )
        for later in (file for known, file in there.items() if known >= step):
            later.unlink(missing_ok=True)

    def write(self, step: int, rows: list[Row]) -> None:
        write_rows(self.folder / f"step_{step:012}.parquet", rows, self.run)
