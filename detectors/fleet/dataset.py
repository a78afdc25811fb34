"""The folder that rows are written to: a file a checkpoint, named after the checkpoint's name, with what its rows were
made with in the footer. A file is replaced at once, so that no reader ever sees two sets of rows of one checkpoint.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from detectors.core.errors import DetectorsError
from detectors.fleet.score import Ask, Scored
from detectors.fleet.sources import Source, content_of
from detectors.report.parquet import files_of, read_said, write_rows

LOCK = ".lock"
_OURS = re.compile(r"[0-9a-f]{32}\.parquet")
_UNFINISHED = re.compile(rf"\.{_OURS.pattern}\.[0-9a-f]{{8}}")  # as `plain_files.write_bytes` names them
log = logging.getLogger("detectors")


class Dataset:
    """Open for one run, which holds the folder's lock. said: what each file's footer says; None if damaged."""

    def __init__(self, folder: Path, ask: Ask) -> None:
        self.folder, self.ask, self.made = folder, ask, ask.made
        self.said = {file.name: read_said(file) for file in files_of(folder)}

    def part(self, source: Source) -> Path:
        """The file of a checkpoint's rows. States of a series, which --step takes from one name, have one each."""
        step = self.ask.options.get("step")
        name = f"{source.name}\0{'' if step is None else step}".encode(errors="surrogateescape")
        return self.folder / f"{hashlib.sha256(name).hexdigest()[:32]}.parquet"

    def write(self, source: Source, scored: Scored) -> None:
        """The rows of a checkpoint, in place of those that there were. Errors: DetectorsError."""
        said = {"made": self.made, "content": scored.content}
        write_rows(self.part(source), scored.rows, said)

    def left(self, sources: Sequence[Source], progress: Callable[[str, int, int], None]) -> list[Source]:
        """Those whose rows are not there, or are of other bytes or of another call; of which it is said why."""
        found, why = [], []
        for done, source in enumerate(sources):
            progress("what is there already", done, len(sources))
            differs = self._differs(source)
            found += [] if differs == "" else [source]
            why += [differs] if differs else []
        for reason in sorted(set(why)):
            log.info("%d scored anew: %s", why.count(reason), reason)
        self._tell_of_others({self.part(source).name for source in sources})
        return found

    def _differs(self, source: Source) -> str | None:
        """Why a checkpoint is scored anew: empty where its rows stand, None where it has none that count."""
        said = self.said.get(self.part(source).name)
        if said is None or said.get("content") is None:
            return None
        if other := _others(said.get("made"), self.made):
            return f"another {', '.join(other)}"
        try:
            return "" if content_of(source) == said["content"] else "the file is another"
        except (DetectorsError, OSError):  # which is told where it is scored
            return "the file cannot be read"

    def _tell_of_others(self, named: set[str]) -> None:
        others = {file: said for file, said in self.said.items() if file not in named}
        for file, said in others.items():
            if said is None:
                log.warning("%s is damaged, and is of no checkpoint of this call: delete it", self.folder / file)
        unlike = [said for said in others.values() if said and _others(said.get("made"), self.made)]
        if unlike:
            log.warning(
                "%s also holds %d checkpoints that this call does not name, made otherwise than these",
                self.folder,
                len(unlike),
            )


@contextmanager
def writing(folder: Path, ask: Ask) -> Iterator[Dataset]:
    """A folder of rows, made where it is not there, for one run at a time. Errors: DetectorsError."""
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / LOCK, timeout=0):
            if foreign := [f.name for f in files_of(folder) if not _OURS.fullmatch(f.name)]:
                raise DetectorsError(f"{folder} holds {foreign[0]}, which is none of ours: pass a folder for rows")
            for file in folder.iterdir():
                if _UNFINISHED.fullmatch(file.name):  # of a run that was killed
                    file.unlink()
            yield Dataset(folder, ask)
    except Timeout:
        raise DetectorsError(f"another run writes to {folder}: wait for it, or pass another folder") from None
    except OSError as error:
        raise DetectorsError(f"cannot write to {folder}: {error.strerror or error}") from None


def _others(old: Any, new: Mapping[str, Any]) -> list[str]:
    """The words of what two calls do not share."""
    old = old if isinstance(old, dict) else {}
    return [key for key in new if old.get(key) != new[key]]
