"""Is every member what its card says it is?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import detectors
from detectors.core import registry
from detectors.report.report import Report
from detectors.subjects.subject import Subject
from models_zoo.bench import arises
from models_zoo.cards import WEIGHTS, Card, cards, expected, folders, measured


def faults(name: str, verdicts: bool = False) -> Iterator[str]:
    """Sentences about what does not hold of a member. verdicts: run the detectors and compare with the card."""
    card = cards()[name]
    if "build" in card:
        view = detectors.load(f"zoo:{name}")
        report = detectors.run(view, names=None if verdicts else [])
        exact = report.accuracy.train if card["family"] == "table" else report.accuracy.all
        if card["family"] in ("analytic", "table") and exact != 1.0:
            yield f"{name}: exact by construction, but answers only {exact}"
        yield from _disagreements(name, card, view, report) if verdicts else ()
        return
    for folder in folders(name):
        where = str(folder.relative_to(WEIGHTS))
        facts = measured(folder)
        if not facts:
            yield f"{where}: not there; python -m models_zoo train {name}"
            continue
        try:
            view = detectors.load(folder)
        except detectors.DetectorsError as error:
            yield f"{where}: {error}"
            continue
        report = detectors.run(view, names=None if verdicts and expected(card) else [])
        yield from _changes(where, facts, view, report)
        yield from _disagreements(where, card, view, report) if verdicts else ()


def _changes(where: str, facts: Card, view: Subject, report: Report) -> Iterator[str]:
    if view.checkpoint.sha256 != facts["sha256"]:
        yield f"{where}: the digest of {Path(where) / 'model.safetensors'} is not the recorded one"
    # a sequence model has one figure, on the sample that training tested it on
    held = {"test": report.accuracy.all} if view.kind == "sequences" else asdict(report.accuracy)
    for split in held.keys() & {"train", "test"}:
        accuracy, recorded = held[split], facts[f"{split}_accuracy"]
        if accuracy is None or abs(accuracy - recorded) > 1e-3:
            yield f"{where}: {split} accuracy {accuracy}, recorded {recorded}"


def _disagreements(where: str, card: Card, view: Any, report: Report) -> Iterator[str]:
    for motif in expected(card).keys() & set(registry.names()):  # a card may know of motifs that have no detector yet
        if not arises(motif, view):
            continue
        verdict, found = expected(card)[motif], report[motif]
        if found.verdict != verdict:
            yield f"{where}: {motif} should be {verdict} ({card['known']}); found {found.verdict}: {found.reason}"
