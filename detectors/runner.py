"""Score a subject with detectors and judge the scores."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import torch

from detectors.core import registry
from detectors.core.blame import words
from detectors.core.device import on
from detectors.core.errors import CheckpointError, DetectorsError, MissingPart, NotApplicable, Undetermined
from detectors.core.figures import BySplit
from detectors.core.memory import check_memory
from detectors.core.registry import Detector, spec_of
from detectors.core.score import jsonable
from detectors.core.verdict import Verdict
from detectors.core.version import __version__
from detectors.judging.calibration import calibration
from detectors.judging.notes import notes
from detectors.judging.outcome import Outcome, check_reportable, detection_of, steady
from detectors.judging.summary import summarise
from detectors.judging.verdict import LEVEL, holm
from detectors.report.model import Alternative, CheckpointInfo
from detectors.report.report import Report
from detectors.subjects.contract import hold_to_contract
from detectors.subjects.operands.likeness import likeness
from detectors.subjects.subject import Subject, check_applicable
from detectors.subjects.tasks import is_subject

Progress = Callable[[str, int, int], None]
SAME = 5e-4  # of the pairs: the same to the digit that is shown
# Of 62 pairs of readings of published files and files after other people's habits that are so alike, no value and no
# figure of a cause differed by more than 0.067, and no verdict.
ALIKE, MOVED = 0.99, 0.1
FEWEST = 199  # permutations: a null mean is then known to a fourteenth of its spread, and the 99% cut from two draws


def run(
    model: Subject,
    *,
    names: Sequence[str | Detector] | None = None,
    draws: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    device: str | None = None,
) -> Report:
    """Run detectors on a model and return their verdicts.

    names: which detectors, by name or the functions themselves; by default all motifs of such models. draws:
    permutations of each null; by default as many as let a p-value pass Holm's adjustment over the calibrated ones with
    room to spare: 199 for five. progress: called with (what is being done, steps done, steps in all). device: where
    forward passes and null draws are computed, such as `cuda`, with the same random draws as in ordinary memory. A
    detector that raises becomes an `error` line; the others go on. Errors: DetectorsError for an unknown detector and
    for a device that is not there.

    >>> import detectors, models_zoo
    >>> report = detectors.run(models_zoo.trig_mlp(p=11, frequencies=(3,), train_fraction=0.5))
    >>> report["trig_logits"].verdict, report["memorisation"].verdict
    ('present', 'absent')
    """
    if not is_subject(model):
        raise TypeError(f"run takes a model, not {type(model).__name__}: detectors.run(detectors.load(path))")
    chosen = [name for name in registry.names() if _may_be_asked(name, model)] if names is None else list(names)
    if unknown := [n for n in chosen if isinstance(n, str) and n not in registry.names()]:
        raise DetectorsError(f"no detector {unknown[0]!r}; there are {', '.join(registry.names())}")
    report = progress or (lambda *_: None)
    report("forward pass", 0, len(chosen) + 1)
    with on(device):
        hold_to_contract(model)
        figures = model.figures()
        draws = enough_draws(_most_asked(model, chosen)) if draws is None else draws
        check_memory(draws * (model.size.order or 1), f"{draws} permutations of {model.size.order or 1} elements")
        outcomes = attempt_all(model, chosen, draws=draws, seed=seed, progress=report)
        report("done", len(chosen) + 1, len(chosen) + 1)
        detections = [detection_of(outcome, *model.size) for outcome in outcomes]
        task, origin = model.task_facts, model.checkpoint
        alternatives = _alike(model, outcomes, chosen, draws, seed, report)
        doubts = [*_told(alternatives, figures.accuracy), *notes(detections, task, figures, model.architecture)]
    return Report(
        tool=_tools() | {"device": device or "cpu"},
        checkpoint=CheckpointInfo(
            path=jsonable(origin.path),
            sha256=origin.sha256,
            layout=jsonable(origin.layout),
            architecture=jsonable(dict(model.architecture)),
            unused_tensors=jsonable(origin.unused),
            reading=list(origin.reading),
        ),
        task=task,
        accuracy=figures.accuracy,
        alternatives=alternatives,
        loss=figures.loss,
        pairs=figures.cases,
        calibration=calibration()["status"],
        summary=summarise(detections, task, figures),
        notes=[*origin.notes, *doubts],
        detections=detections,
    )


def _tools() -> dict[str, str]:
    return {
        "circuit-detectors": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": str(torch.get_num_threads()),
    }


def _alike(
    model: Subject,
    outcomes: Sequence[Outcome],
    chosen: Sequence[str | Detector],
    draws: int,
    seed: int,
    progress: Progress,
) -> list[Alternative]:
    """Other readings of the file that answer about as well and lead to the same verdicts. CheckpointError where they do
    not: what is not known then decides what is found. A reading that computes nearly the same is asked only for the
    verdicts that so little might change.
    """
    tied, alternatives = getattr(model, "tied", ()), []
    found = [detection_of(outcome, *model.size) for outcome in outcomes]
    for place, reading in enumerate(tied):
        progress(f"also under {reading.other}", place, len(tied))
        other = model.under(reading)  # type: ignore[attr-defined]
        alike = likeness(model, other)  # type: ignore[arg-type]
        same = {o.name: o for o in outcomes if steady(o, MOVED)} if alike >= ALIKE else {}
        theirs = attempt_all(other, chosen, draws=draws, seed=seed, known=same)
        for mine, their in zip(found, (detection_of(outcome, *other.size) for outcome in theirs), strict=True):
            if mine.verdict != their.verdict:
                raise CheckpointError(
                    "the file does not show all of how it is to be read, and it matters: the model answers about as "
                    f"well under {reading.now} as under {reading.other}, and {mine.detector} is {mine.verdict} under "
                    f"the one and {their.verdict} under the other. Pass the one that it was trained with"
                )
        accuracy = other.figures().accuracy
        alternatives.append(Alternative(reading=reading.other, accuracy=accuracy, likeness=alike))
    return alternatives


def _told(alternatives: Sequence[Alternative], accuracy: BySplit) -> list[str]:
    """That there are others, and what they answer where it is not the same."""
    if not alternatives:
        return []

    def said(other: Alternative) -> str:
        theirs, ours = other.accuracy.all, accuracy.all
        same = theirs is None or ours is None or abs(theirs - ours) < SAME
        return other.reading if same else f"{other.reading} ({theirs:.1%} right)"

    others = " or ".join(map(said, alternatives))
    alike = any(other.likeness is not None and other.likeness >= ALIKE for other in alternatives)
    taken = ", those far from their bounds as logits and neurons agree to 1%" if alike else ""
    return [
        f"the file does not show all of how it is to be read: under {others}, alone or together, the model answers "
        f"about as well. Every verdict is the same there{taken}."
    ]


def attempt_all(
    model: Subject,
    chosen: Sequence[str | Detector],
    *,
    draws: int,
    seed: int,
    progress: Progress | None = None,
    known: Mapping[str, Outcome] = MappingProxyType({}),
) -> list[Outcome]:
    """Call every detector once, whatever becomes of the others, and adjust the p-values: those of the calibrated ones
    of one question together, and apart from them those of others, whose number is no reason to doubt a calibrated one.
    known: outcomes that are taken over.
    """
    outcomes = []
    for done, one in enumerate(chosen, start=1):
        name = _name(one)
        if progress:
            progress(name, done, len(chosen) + 1)
        own = _attempt(name, model, draws, seed, None if isinstance(one, str) else one) if name not in known else None
        outcomes.append(own or replace(known[name]))
    for family in sorted({_family(o) for o in outcomes}):
        tested = [o for o in outcomes if o.score is not None and o.score.null and _family(o) == family]
        p_values = [o.score.null.p_value for o in tested if o.score is not None and o.score.null is not None]
        for outcome, adjusted in zip(tested, holm(p_values), strict=True):
            outcome.p_adjusted = adjusted
    return outcomes


def enough_draws(tests: int) -> int:
    """Permutations with which the smallest p-value, after Holm over so many tests, is half of the level.

    >>> enough_draws(5), enough_draws(11)
    (199, 439)
    """
    return max(FEWEST, math.ceil(2 * tests / LEVEL) - 1)


def _name(one: str | Detector) -> str:
    return one if isinstance(one, str) else spec_of(one).name


def _may_be_asked(name: str, model: Subject) -> bool:
    """Unless it is a motif of other models; one that cannot be loaded becomes an error line."""
    function = registry.known(name)
    return function is None or spec_of(function).subject in (model.kind, *model.parts)


def _asked_of(one: str | Detector, model: Subject) -> bool:
    """Whether it is calibrated, and a motif of such models."""
    function = one if callable(one) else registry.known(one)
    return function is not None and _calibrated(_name(one)) and spec_of(function).subject in (model.kind, *model.parts)


def _family(outcome: Outcome) -> tuple[bool, str]:
    return _calibrated(outcome.name), outcome.spec.question if outcome.spec else ""


def _most_asked(model: Subject, chosen: Sequence[str | Detector]) -> int:
    """The largest number of calibrated motifs of such models that ask one question."""
    asked = [one if callable(one) else registry.load(one) for one in chosen if _asked_of(one, model)]
    questions = [spec_of(one).question for one in asked]
    return max((questions.count(question) for question in set(questions)), default=0)


def _calibrated(name: str) -> bool:
    return name in calibration()["rows"]


def _attempt(name: str, model: Subject, draws: int, seed: int, function: Detector | None) -> Outcome:
    outcome, start = Outcome(name), time.perf_counter()
    try:
        function = function or registry.load(name)
        outcome.spec = spec_of(function)
        check_applicable(model, outcome.spec.subject, outcome.spec.needs)
        score = function(model, draws=draws, seed=seed)
        check_reportable(name, outcome.spec, score)
        outcome.score = score
    except (NotApplicable, MissingPart) as error:
        outcome.verdict, outcome.reason = Verdict.NOT_APPLICABLE, str(error)
    except Undetermined as error:
        outcome.verdict, outcome.reason = Verdict.INCONCLUSIVE, str(error)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a crashing detector must not take the others down, nor one that exits
        outcome.reason = words(error)
    outcome.seconds = time.perf_counter() - start
    return outcome
