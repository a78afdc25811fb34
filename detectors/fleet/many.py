"""Score many checkpoints into a data set of rows, and take up where an earlier run ended."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from detectors.core import registry
from detectors.core.device import check_device
from detectors.core.errors import DetectorsError
from detectors.core.visible import visible
from detectors.fleet.dataset import writing
from detectors.fleet.score import Ask, Scored, failed, score
from detectors.fleet.sources import expand
from detectors.fleet.spread import spread
from detectors.loading.load import load

log = logging.getLogger("detectors")
OPTIONS = [name for name in inspect.signature(load).parameters if name not in ("path", "beside", "words")]


@dataclass(frozen=True)
class Fleet:
    """What became of a call.

    parts: the files of its rows, those that stood there already too. kept: how many checkpoints had rows. scored: names
    of those that were scored. errors: why the others were not, by name. crashed: names of those of which a detector
    crashed.
    """

    folder: Path
    parts: list[Path]
    kept: int
    scored: list[str] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    crashed: list[str] = field(default_factory=list)


def score_many(
    checkpoints: str | Iterable[str],
    folder: str | Path,
    *,
    names: Sequence[str] | None = None,
    draws: int | None = None,
    seed: int = 0,
    jobs: int = 1,
    cluster: str | None = None,
    threads: int = 1,
    device: str | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    **options: Any,
) -> Fleet:
    """Score checkpoints into a folder of Parquet files, a row a checkpoint and detector, as they come.

    checkpoints: files, folders of them, patterns, URLs of fsspec, `zoo:NAME`, `zoo:all`. folder: read it with
    `pandas.read_parquet(folder)`. names, draws, seed, device: of `detectors.run`. options: of `detectors.load`, the
    same for all. jobs: processes. cluster: the address of a Dask scheduler instead. threads: of each. progress: called
    with (what is being done, checkpoints done, checkpoints in all).

    What has rows of the same bytes and the same call is not scored again, so that a run that was killed goes on where
    it ended; whatever had an error is tried again. A checkpoint that cannot be scored, or takes its process down, is a
    row with an `error`. Errors: DetectorsError where the call is wrong or the folder cannot be written to.

    >>> import tempfile, pandas
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     done = score_many(["zoo:table29", "gone.pt"], folder, names=["trig_logits"], draws=19)
    ...     rows = pandas.read_parquet(folder)
    ...     again = score_many("zoo:table29", folder, names=["trig_logits"], draws=19)
    >>> sorted(rows["verdict"]), done.errors, again.kept
    (['absent', 'error'], {'gone.pt': 'no file or folder gone.pt'}, 1)
    """
    _check(names, jobs, options)
    if not cluster:  # whose workers may have it where this machine does not
        check_device(device)
    ask = Ask(names, draws, seed, threads, device, {k: value for k, value in options.items() if value is not None})
    sources = expand([checkpoints] if isinstance(checkpoints, str) else checkpoints)
    report = progress or (lambda *_: None)
    with writing(Path(folder), ask) as rows:
        left = rows.left(sources, report)
        fleet = Fleet(Path(folder), [rows.part(source) for source in sources], len(sources) - len(left))
        report("scoring", 0, len(left))
        for done, (source, found) in enumerate(spread(partial(score, ask=ask), left, jobs, cluster), start=1):
            scored = Scored([failed(source, ask, found)]) if isinstance(found, str) else found
            rows.write(source, scored)
            _note(fleet, source.name, scored)
            report("scoring", done, len(left))
    return fleet


def _check(names: Sequence[str] | None, jobs: int, options: dict[str, Any]) -> None:
    if unknown := options.keys() - set(OPTIONS):
        raise TypeError(
            f"{', '.join(sorted(unknown))}: not an option of detectors.load; those are {', '.join(OPTIONS)}"
        )
    if missing := [name for name in names or () if name not in registry.names()]:
        raise DetectorsError(f"no detector {missing[0]!r}; there are {', '.join(registry.names())}")
    if jobs < 1:
        raise DetectorsError(f"{jobs} jobs: at least one process is needed")


def _note(fleet: Fleet, name: str, scored: Scored) -> None:
    if scored.rows and scored.rows[0]["detector"] is None:
        fleet.errors[name] = error = scored.rows[0]["error"]
        log.warning("%s", visible(error if name in error else f"{name}: {error}"))
        return
    fleet.scored.append(name)
    if any(row["error"] for row in scored.rows):
        fleet.crashed.append(name)
