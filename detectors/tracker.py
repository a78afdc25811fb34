"""A run's checkpoints scored in order and told as a story."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from detectors.core import registry
from detectors.core.errors import CheckpointError, DetectorsError
from detectors.core.picture import Picture
from detectors.judging.detection import Detection
from detectors.loading.curves import TEXT, Kept, curves_in, kept_in, read_curves
from detectors.loading.folders import is_checkpoint
from detectors.loading.load import load_as, resolve
from detectors.loading.states import Run, State, states_of
from detectors.loading.tensors import read_contents
from detectors.loading.train_splits import is_tried
from detectors.loading.trial import RIGHT
from detectors.report.parquet import read_rows
from detectors.report.report import Report
from detectors.report.rows import Row, error_row, rows_of
from detectors.runner import run
from detectors.series.curves import curves_of, sentences
from detectors.series.forecast import forecast
from detectors.series.recorded import recorded
from detectors.series.rows import story_of
from detectors.series.story import Story
from detectors.subjects.tasks import View

Progress = Callable[[str, int, int], None]
TRIED = 6  # states asked for a reading where the last does not answer


@dataclass(frozen=True)
class Track:
    """What `track` returns. rows: of the table, in order. pictures: of the detectors, by step; of checkpoints alone."""

    story: Story
    rows: list[Row] = field(default_factory=list)
    pictures: Mapping[int, list[Picture]] = field(default_factory=dict)


def track(
    paths: str | Path | Sequence[str],
    *,
    names: Sequence[str] | None = None,
    every: bool = False,
    draws: int | None = None,
    seed: int = 0,
    step_from: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Track:
    """The story of a run: its checkpoints in the order of their step, scored, with what happened when.

    paths: a folder, files, `zoo:NAME`; a folder of Parquet with rows of reports; or a file of curves. names: which
    detectors; by default those that ask what is there, not how it works, whose verdicts are then those of
    `detectors.run`. every: those too that ask how it works. step_from: a regular expression with one group for the
    path, or a key of what checkpoints say; names first and then `step`, `epoch`, ... by default. progress: called with
    (what, steps done, steps in all). options: `task`, `train_indices`, ... of `detectors.load`. A checkpoint that
    cannot be read is told as such and the others go on. Errors: DetectorsError where there is no series.

    >>> import detectors
    >>> story = detectors.track("zoo:add53_square_series", names=["trig_logits"], draws=19).story
    >>> story.onsets["trig_logits"], story.rise
    ((1600, 2000), (2400, 2800))
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    listed = [str(path) for path in given]
    if all(map(_is_table, listed)):
        rows = [row for path in listed for row in read_rows(path)]
        notes = [note for path in listed if (note := _passed_over(Path(path)))]
        return Track(_foretold(story_of(rows, step_from=step_from, notes=notes)), rows)
    if len(listed) == 1 and (kept := _curves_alone(listed[0])) is not None:
        return Track(_of_curves(kept, options.get("task")))
    scoring = {"draws": draws, "seed": seed}
    return _scored(listed, names, every, scoring, step_from, progress or (lambda *_: None), options)


def _is_table(path: str) -> bool:
    place = Path(path)
    return place.suffix == ".parquet" or (place.is_dir() and any(place.glob("*.parquet")))


def _passed_over(place: Path) -> str:
    """That there are checkpoints beside the rows."""
    files = [e.name for e in place.iterdir() if is_checkpoint(e.name)] if place.is_dir() else []
    if not files:
        return ""
    return f"the rows in {place} are read, and not the {len(files)} checkpoints beside them: pass those as files"


def _curves_alone(path: str) -> Kept | None:
    """The curves of a file without weights; None of any other. Errors: CheckpointError, of a table without curves."""
    place = resolve(path)
    if not isinstance(place, Path) or not place.is_file():
        return None
    if place.suffix.lower() in TEXT:
        return read_curves(place)
    try:
        read_contents(place)
    except CheckpointError:
        with suppress(CheckpointError):  # what is neither is told of as a checkpoint
            return read_curves(place)
    return None


def _of_curves(kept: Kept, task: Any) -> Story:
    chance = math.log(_answers(task)) if kept.is_loss and isinstance(task, str) else None
    curves = curves_of(kept.steps, kept.train, kept.test, is_loss=kept.is_loss, chance=chance)
    unknown: dict[str, list[float | None]] = {split: [] for split in ("all", "train", "test", "unseen")}
    said = sentences(curves)
    if kept.test is None:
        said.append("There is no curve of test pairs, so nothing can be said of what carries over.")
    return Story(
        task=task or "",
        steps=[],
        accuracy=unknown,
        motifs={},
        phases=curves.phases,
        curves=curves,
        telling=[*said, "Without checkpoints there is no motif, no onset and no forecast."],
    )


def _answers(task: str) -> int:
    from detectors.subjects.tasks import parse_task

    return int(getattr(parse_task(task), "n_answers", 0)) or 2


def _scored(
    paths: list[str],
    names: Sequence[str] | None,
    every: bool,
    scoring: dict[str, Any],
    step_from: str | None,
    progress: Progress,
    options: dict[str, Any],
) -> Track:
    found = states_of(paths, step_from, bool(options.get("loader")), progress)
    rows: list[Row] = [error_row(paths[0], why, step=step) for step, why in found.untold.items()]
    reports: dict[int, Report] = {}
    norms: dict[int, float] = {}
    for state, view in views(found, options, progress):
        try:
            if isinstance(view, DetectorsError):
                raise view
            report = run(view, names=_asked(view, every) if names is None else names, **scoring)
        except DetectorsError as error:
            if getattr(view, "tied", ()):  # of the state that settles how all are read
                raise
            rows.append(error_row(str(state), str(error), step=state.step, seed=scoring["seed"]))
            continue
        rows += rows_of(report, checkpoint=str(state), step=state.step, **scoring)
        reports[state.step], norms[state.step] = report, _norm(view)
    progress("done", len(found.states), len(found.states))
    if not reports:
        raise DetectorsError(f"none of these checkpoints could be scored; the first: {rows[0]['error']}")
    said = recorded(found.says, {step: (report.accuracy, report.loss) for step, report in reports.items()})
    notes = [*found.notes, *_common([report.notes for report in reports.values()]), *([said] if said else [])]
    story = story_of(rows, weight_norms=norms, notes=notes, curves=_beside(found))
    pictures = {step: [p for d in report for p in _pictures(d)] for step, report in reports.items()}
    return Track(_foretold(story), sorted(rows, key=lambda row: row["step"]), pictures)


def _common(notes: list[list[str]]) -> list[str]:
    """What is said of all checkpoints, and of the last, but for which state it is."""
    every = [note for note in notes[0] if all(note in others for others in notes)]
    return list(dict.fromkeys([*every, *(note for note in notes[-1] if not note.startswith("state "))]))


def views(found: Run, options: Mapping[str, Any], progress: Progress) -> Iterator[tuple[State, Any]]:
    """Every state as a view, or why it is none, in order. All are read as the one that answers best is."""
    best, like = (None, None) if options.get("loader") else _answering(found, options, progress)
    for done, state in enumerate(found.states):
        progress(f"step {state.step:,}", done, len(found.states))
        try:
            yield state, like if state == best else _view(found, state, options, like)
        except DetectorsError as error:
            yield state, error


def _view(found: Run, state: State, options: Mapping[str, Any], like: View | None) -> View:
    if options.get("loader"):
        return load_as(state.path, **options)
    contents = found.contents(state)
    if like is not None and is_tried(options.get("train_split")):  # found where the loss bears it out, once
        view = load_as(state.path, **{**options, "train_split": None}, contents=contents, like=like)
        return view.with_train_mask(getattr(like, "train_mask", None))
    return load_as(state.path, **options, contents=contents, like=like)


def _answering(found: Run, options: Mapping[str, Any], progress: Progress) -> tuple[State | None, View | None]:
    """The last state, or where it is wrong on its training pairs the best of a few before it, as a view."""
    last = found.states[::-1]
    tried = [last[i * len(last) // TRIED] for i in range(TRIED)] if len(last) > TRIED else last
    best: tuple[float, State | None, View | None] = (-1.0, None, None)
    for state in dict.fromkeys(tried):
        progress(f"how step {state.step:,} is read", 0, len(found.states))
        try:
            view = _view(found, state, options, None)
        except DetectorsError:
            continue
        accuracy = view.figures().accuracy
        right = accuracy.train if accuracy.train is not None else accuracy.all or 0.0
        best = max(best, (right, state, view), key=lambda found: found[0])
        if right >= RIGHT:
            break
    return best[1:]


def _asked(view: View, every: bool) -> list[str]:
    """Detectors that ask what is there: those of mechanism double the time, and their p-values are apart."""
    found = filter(None, map(registry.known, registry.names()))
    specs = [registry.spec_of(function) for function in found]
    return [s.name for s in specs if (every or s.question == "what") and s.subject in (view.kind, *view.parts)]


def _pictures(d: Detection) -> list[Picture]:
    """Whatever the verdict, so that none is missing on the way from chance to the circuit."""
    function, score = registry.known(d.detector), d.scored
    draw = registry.picture_of(function) if function is not None else None
    if draw is None or score is None:
        return []
    try:
        return draw(score)
    except Exception:  # a picture of somebody else's takes nothing down with it
        return []


def _norm(view: View) -> float:
    tensors = [w for w in view.weights.values() if isinstance(w, torch.Tensor) and w.is_floating_point()]
    return math.sqrt(sum(float(w.double().square().sum()) for w in tensors))


def _beside(found: Run) -> Any:
    """Curves that the last checkpoint holds beside its weights."""
    if not found.states or found.opened is None:
        return None
    try:
        found.contents(found.states[-1])
        kept = kept_in(curves_in(found.opened[1].tree, found.opened[1].storages))
    except DetectorsError:
        return None
    return None if kept is None else curves_of(kept.steps, kept.train, kept.test, is_loss=kept.is_loss)


def _foretold(story: Story) -> Story:
    """With a forecast."""
    return story.model_copy(update={"forecast": forecast(story)})
