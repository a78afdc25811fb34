"""What changed between two reports, and which of it is for the worse."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from detectors.core.errors import DetectorsError
from detectors.core.plain_files import read_text
from detectors.core.verdict import Verdict
from detectors.judging.detection import Detection
from detectors.report.model import Document
from detectors.report.report import Report

MOST = 2**26  # bytes of a report: a page of pictures' figures is a tenth of a MiB


class BaselineError(DetectorsError, ValueError):
    """A baseline that cannot be read."""


@dataclass(frozen=True)
class Change:
    """One difference. kind: what differs. worse: None where it has no direction."""

    detector: str
    kind: Literal["verdict", "score", "threshold", "key_irreps", "missing", "version"]
    before: str
    after: str
    worse: bool | None
    by: float = 0.0

    def __str__(self) -> str:
        return f"{self.detector}: {self.kind.replace('_', ' ')} was {self.before}, is {self.after}"


def read_report(path: str | Path, made_by: str = "`detectors run CKPT --json FILE`") -> Report:
    """The JSON that `run --json` or `gate --update-baseline` wrote, of one model. made_by: said where there is none."""
    try:
        text = read_text(Path(path), MOST)
    except FileNotFoundError:
        raise BaselineError(f"no report {path}; {made_by} writes one") from None
    except (OSError, ValueError) as error:
        raise BaselineError(f"{path} cannot be read: {error}") from None
    try:
        report = Report.model_validate_json(text)
        if "schema_version" not in report.model_fields_set:
            raise BaselineError(f"{path} does not say of which schema it is: {made_by} writes it anew")
        return report
    except ValidationError as error:
        first = error.errors()[0]
        if first["loc"] == ("schema",):
            raise BaselineError(
                f"{path} is a report of schema {first['input']!r:.20} of another version of this tool, whose scores "
                f"are not those of this one (CHANGELOG.md lists them): {made_by} writes it anew"
            ) from None
        where = ".".join(map(str, first["loc"]))
        what = f"{where}: {first['msg']}" if where else first["msg"]
        raise BaselineError(f"{path} is not the JSON report of one model ({what})") from None


def changes(before: Document, after: Document) -> list[Change]:
    """Differences between two reports, detector by detector, in the order of the earlier one."""
    found: list[Change] = []
    ran = {d.detector: d for d in after}
    for old in before:
        new = ran.get(old.detector)
        if new is None:
            found.append(Change(old.detector, "missing", str(old.verdict), "not run", worse=True))
            continue
        found += changes_of_one(old, new)
    return found


def changes_of_one(old: Detection, new: Detection) -> list[Change]:
    """Differences between what one detector found."""
    found: list[Change] = []
    if old.version != new.version:
        found.append(Change(old.detector, "version", str(old.version), str(new.version), worse=None))
    if old.verdict != new.verdict:
        worst = Verdict.PRESENT if new.news == "bad" else Verdict.ABSENT
        found_out = new.verdict == worst and not old.verdict.settled  # better known, and no better
        worse = found_out or old.verdict.better_than(new.verdict, news=new.news)
        found.append(Change(old.detector, "verdict", str(old.verdict), str(new.verdict), worse))
    if old.score is not None and new.score is not None and old.score != new.score:
        by = (new.score - old.score) * (1 if new.news == "bad" else -1)
        found.append(Change(old.detector, "score", f"{old.score:.3f}", f"{new.score:.3f}", by > 0, max(by, 0.0)))
    if old.threshold != new.threshold:
        found.append(Change(old.detector, "threshold", str(old.threshold), str(new.threshold), worse=None))
    if set(old.chosen) != set(new.chosen):  # their order is of strength, and moves with every training step
        before, after = (" ".join(d.chosen) or "none" for d in (old, new))
        found.append(Change(old.detector, "key_irreps", before, after, worse=None))
    return found
