"""One checkpoint of many: its rows, whatever becomes of it. Runs in a worker, and raises nothing."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from detectors.core import registry
from detectors.core.blame import told, words
from detectors.core.errors import CheckpointError, DetectorsError
from detectors.core.registry import spec_of
from detectors.core.threads import with_threads
from detectors.core.verdict import Verdict
from detectors.core.version import __version__
from detectors.fleet.sources import Source, content_of, local
from detectors.judging.calibration import calibration
from detectors.loading.load import load, sha256
from detectors.report.report import Report
from detectors.report.rows import Row, error_row, rows_of
from detectors.runner import run


@dataclass(frozen=True)
class Ask:
    """What is asked of every checkpoint. options: of `detectors.load`."""

    names: Sequence[str] | None = None
    draws: int | None = None
    seed: int = 0
    threads: int = 1
    device: str | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def step(self) -> int | None:
        step = str(self.options.get("step"))
        return int(step) if step.isdecimal() and len(step) < 19 else None

    @property
    def made(self) -> dict[str, Any]:
        """What rows depend on beside the checkpoint, each under the word that it is told by."""
        names = registry.names() if self.names is None else self.names
        judged = json.dumps(calibration(), sort_keys=True, default=str)
        return {
            "version of the tool": __version__,
            "calibration": hashlib.sha256(judged.encode()).hexdigest(),
            "detectors": {name: _version(name) for name in names},
            "draws": self.draws,
            "seed": self.seed,
            "device": self.device,
            "options": {key: _as_text(value) for key, value in sorted(self.options.items()) if value},
        }


class Scored(NamedTuple):
    """content: of the checkpoint, as `content_of` has it; None where something is an error, which the next run tries
    again.
    """

    rows: list[Row]
    content: str | None = None


def score(source: Source, ask: Ask) -> Scored:
    """The rows of a checkpoint; one with an error where it could not be scored."""
    start = time.perf_counter()
    try:
        content = content_of(source)
        report = _report(source, ask)
        if content_of(source) != content:
            raise CheckpointError(f"{source.name} was written to while it was scored: again")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a loader of the user's that exits, a lack of memory, a damaged disk
        return Scored([failed(source, ask, _said(error), seconds=round(time.perf_counter() - start, 3))])
    crashed = any(d.verdict is Verdict.ERROR for d in report)
    rows = rows_of(report, checkpoint=source.name, step=ask.step, draws=ask.draws, seed=ask.seed)
    return Scored(rows, None if crashed else content)


def failed(source: Source, ask: Ask, error: str, **known: Any) -> Row:
    """The row of a checkpoint that could not be scored, with what is known of it all the same."""
    with suppress(OSError, ValueError):
        known |= {"sha256": sha256(Path(source.name))}
    asked = {"step": ask.step, "task": ask.options.get("task"), "draws": ask.draws, "seed": ask.seed}
    return error_row(source.name, error, **asked, **known)


def _report(source: Source, ask: Ask) -> Report:
    options = ask.options | {"words": ask.names is not None and registry.all_of("words", ask.names)}
    with ExitStack() as fetched:
        file = fetched.enter_context(local(source.name))
        if source.train:
            options["beside"] = fetched.enter_context(local(source.train))
        try:
            model = with_threads(lambda: load(file, **options), ask.threads)
            return run(model, names=ask.names, draws=ask.draws, seed=ask.seed, device=ask.device)
        except DetectorsError as error:
            raise DetectorsError(str(error).replace(file, source.name)) from error


def _said(error: BaseException) -> str:
    return str(error) if isinstance(error, DetectorsError) else told(error)


def _version(name: str) -> int | str:
    try:
        return spec_of(registry.load(name)).version
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # of a plugin that does not load
        return words(error)


def _as_text(value: Any) -> str:
    """An option, with a digest of the file that it names: `FILE`, `table:FILE`, `FILE.py:function`."""
    text = str(value)
    for place in (text, text.partition(":")[2], text.rpartition(":")[0]):
        if place and Path(place).is_file():
            return f"{text} {sha256(Path(place))}"
    return text
