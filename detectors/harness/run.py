"""Score a view with detectors and judge the scores."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from torch import Tensor

import detectors
from detectors.core import registry
from detectors.core.errors import DetectorsError, MissingPart, NotApplicable, Undetermined
from detectors.core.registry import Spec, spec_of
from detectors.core.score import Score, jsonable
from detectors.core.sequences import SAMPLE, SequenceView
from detectors.core.view import CHUNK, ModelView
from detectors.harness.report.model import BySplit, CausalInfo, CheckpointInfo, Detection, NullInfo, Report, TaskInfo
from detectors.harness.summary import notes, summarise
from detectors.harness.verdict import Verdict, calibration, holm, judge

Progress = Callable[[str, int, int], None]


def run(
    model: ModelView | SequenceView,
    *,
    names: Sequence[str | Callable[..., Score]] | None = None,
    draws: int = 199,
    seed: int = 0,
    progress: Progress | None = None,
) -> Report:
    """Run detectors on a model and return their verdicts.

    names: which detectors, by name or the functions themselves; all by default. draws: permutations of each null.
    progress: called with (what is being done, steps done, steps in all). A detector that raises becomes an `error`
    line; the others go on.

    >>> import detectors, models_zoo
    >>> report = detectors.run(models_zoo.trig_mlp(p=11, frequencies=(3,), train_fraction=0.5))
    >>> report["trig_logits"].verdict, report["memorisation"].verdict
    ('present', 'absent')
    """
    if not isinstance(model, ModelView | SequenceView):
        raise TypeError(f"run takes a model, not {type(model).__name__}: detectors.run(detectors.load(path))")
    chosen = list(registry.names()) if names is None else list(names)
    if unknown := [n for n in chosen if isinstance(n, str) and n not in registry.names()]:
        raise DetectorsError(f"no detector {unknown[0]!r}; there are {', '.join(registry.names())}")
    report = progress or (lambda *_: None)
    report("forward pass", 0, len(chosen) + 1)
    accuracy, loss = _figures(model)
    outcomes = attempt_all(model, chosen, draws=draws, seed=seed, progress=report)
    report("done", len(chosen) + 1, len(chosen) + 1)
    rows = calibration()["rows"]
    detections = [_detection(o, model, rows.get(o.name)) for o in outcomes]
    task = _task(model)
    scored = Report(
        tool=_versions(),
        checkpoint=_checkpoint(model),
        task=task,
        accuracy=accuracy,
        loss=loss,
        calibration=calibration()["status"],
        summary=summarise(detections, task, accuracy, loss),
        notes=notes(detections, task, accuracy, loss, model.network.architecture),
        detections=detections,
    )
    scored._model = model
    return scored


@dataclass
class Outcome:
    """What came of calling one detector: a score and its p-value after Holm, or a verdict with its reason."""

    name: str
    spec: Spec | None = None
    score: Score | None = None
    p_adjusted: float | None = None
    verdict: Verdict = "error"
    reason: str = ""
    seconds: float = 0.0


def attempt_all(
    model: ModelView | SequenceView,
    chosen: Sequence[str | Callable[..., Score]],
    *,
    draws: int,
    seed: int,
    progress: Progress | None = None,
) -> list[Outcome]:
    """Call every detector once, whatever becomes of the others, and adjust the p-values together."""
    outcomes = []
    for done, one in enumerate(chosen, start=1):
        name = one if isinstance(one, str) else spec_of(one).name
        if progress:
            progress(name, done, len(chosen) + 1)
        outcomes.append(_attempt(name, model, draws, seed, None if isinstance(one, str) else one))
    tested = [(o, o.score.null.p_value) for o in outcomes if o.score is not None and o.score.null is not None]
    for (outcome, _), adjusted in zip(tested, holm([p for _, p in tested]), strict=True):
        outcome.p_adjusted = adjusted
    return outcomes


def _attempt(
    name: str, model: ModelView | SequenceView, draws: int, seed: int, function: Callable[..., Score] | None = None
) -> Outcome:
    outcome, start = Outcome(name), time.perf_counter()
    try:
        function = function or registry.load(name)
        outcome.spec = spec_of(function)
        # without the training pairs a detector says itself what would settle the question
        missing = set(outcome.spec.needs) - model.parts - {"train_mask"}
        if isinstance(model, SequenceView) and "sequences" not in outcome.spec.needs:
            raise NotApplicable("this motif is one of two-operand models, and the model reads sequences")
        if "group" in missing:
            raise NotApplicable(f"the task {model.task.spec} has no group behind it")
        if missing:
            raise NotApplicable(f"this model has no {', '.join(sorted(missing))}")
        score = function(model, draws=draws, seed=seed)
        if not isinstance(score, Score):
            raise TypeError(f"the detector returned {type(score).__name__}, not a detectors.Score")
        outcome.score = score
    except (NotApplicable, MissingPart) as error:
        outcome.verdict, outcome.reason = "not_applicable", str(error)
    except Undetermined as error:
        outcome.verdict, outcome.reason = "inconclusive", str(error)
    except Exception as error:  # a crashing detector must not take the others down
        outcome.reason = f"{type(error).__name__}: {error}".splitlines()[0]
    outcome.seconds = time.perf_counter() - start
    return outcome


def _detection(outcome: Outcome, model: ModelView | SequenceView, row: dict[str, Any] | None) -> Detection:
    base: dict[str, Any] = {
        "detector": outcome.name,
        "version": outcome.spec.version if outcome.spec else 0,
        "threshold": row["threshold"] if row else None,
        "seconds": round(outcome.seconds, 3),
    }
    score = outcome.score
    if score is None or outcome.spec is None:
        return Detection(**base, verdict=outcome.verdict, reason=outcome.reason)
    verdict, reason = judge(outcome.spec, score, outcome.p_adjusted, row)
    reason += _outside(model, row)
    causal, null = score.causal, score.null
    return Detection(
        **base,
        verdict=verdict,
        reason=reason,
        score=score.value,
        p_value=null.p_value if null else None,
        p_adjusted=outcome.p_adjusted,
        null=NullInfo(permuted=null.permuted, draws=null.draws, mean=null.mean) if null else None,
        causal=CausalInfo(**jsonable(causal)) if causal else None,
        evidence=jsonable(score.evidence),
    )


def _outside(model: ModelView | SequenceView, row: dict[str, Any] | None) -> str:
    """What a reader should know of a model unlike those that the threshold was set on."""
    if row is None or "orders" not in row or isinstance(model, SequenceView):
        return ""
    (least, most), order, kind = row["orders"], model.group.order, model.network.architecture.get("kind", "unknown")
    said = []
    if not least <= order <= most:
        said.append(f"groups of order {least} to {most}, and this one has {order}")
    if kind not in row["architectures"]:
        said.append(f"architectures {', '.join(row['architectures'])}, and this one is {kind}")
    return "".join(f"; calibrated on {what}" for what in said)


def _figures(model: ModelView | SequenceView) -> tuple[BySplit, BySplit]:
    """Accuracy and mean float64 cross-entropy over all, training and test pairs that have an answer.

    Of a sequence model: over the settled tokens of its sample.
    """
    if isinstance(model, SequenceView):
        with torch.no_grad():
            right_, loss_ = model.figures(model.sample)
        figures = (float(right_.double().mean()), float(loss_.mean()))
        return tuple(BySplit(all=x, train=None, test=None) for x in figures)  # type: ignore[return-value]
    domain = torch.from_numpy(model.task.domain)
    answers = torch.from_numpy(model.task.answer.ravel())[domain]
    logits = model.logits()
    parts = [
        (logits[k].argmax(1) == a, torch.nn.functional.cross_entropy(logits[k].double(), a, reduction="none"))
        for k, a in zip(domain.split(CHUNK), answers.split(CHUNK), strict=True)
    ]
    right, loss = torch.cat([r for r, _ in parts]).double(), torch.cat([x for _, x in parts])

    def by_split(figure: Tensor) -> BySplit:
        if model.train_mask is None:
            return BySplit(all=float(figure.mean()), train=None, test=None)
        train = torch.from_numpy(model.train_mask)[domain]
        split = [float(figure[m].mean()) if bool(m.any()) else None for m in (train, ~train)]
        return BySplit(all=float(figure.mean()), train=split[0], test=split[1])

    return by_split(right), by_split(loss)


def _checkpoint(model: ModelView | SequenceView) -> CheckpointInfo:
    origin = model.checkpoint
    return CheckpointInfo(
        path=origin.path if origin else "(in memory)",
        sha256=origin.sha256 if origin else None,
        layout=origin.layout if origin else "in memory",
        architecture=jsonable(dict(model.network.architecture)),
        unused_tensors=list(origin.unused) if origin else [],
    )


def _task(model: ModelView | SequenceView) -> TaskInfo:
    if isinstance(model, SequenceView):
        size = {"n_tokens": model.network.n_tokens, "n_answers": model.n_answers, "pairs": 0}
        note = f"accuracy and loss: of the tokens that the context determines, in {SAMPLE} sequences drawn at random"
        return TaskInfo(spec=model.task.spec, **size, group=None, order=None, note=note)
    task = model.task
    return TaskInfo(
        spec=task.spec,
        n_tokens=task.n_tokens,
        n_answers=task.n_answers,
        pairs=len(task.domain),
        group=task.group.name if task.group else None,
        order=task.group.order if task.group else None,
        note=task.note,
    )


def _versions() -> dict[str, str]:
    try:
        own = version("circuit-detectors")
    except PackageNotFoundError:
        own = detectors.__version__
    return {
        "circuit-detectors": own,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": str(torch.get_num_threads()),
    }
