"""Every model made to hurt, what the detectors say of it, and where they are wrong. `python tools/hostile.py`.

Prints one table a family, wrong verdicts and sentences in red with what they may be, and a confusion table of families.
--family TEXT: those whose name holds it. --name TEXT: likewise of models. --json FILE: all of it. --text FILE: what is
printed. --wrong: only rows with something wrong. Exit status 0, whatever the verdicts.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

import detectors
from models_zoo.behaviour import behaviour
from models_zoo.hostile import Hostile, missing, models, truth


def judged(model: Hostile, draws: int) -> dict[str, Any]:
    """One model: what it answers, each verdict with its figures, and which of them are wrong."""
    start = time.perf_counter()
    built = model.build()
    seen = behaviour(built)
    right = truth(model, seen)
    report = detectors.run(built if model.told else built.with_train_mask(None), draws=draws)
    found = {}
    for d in report.detections:
        cause = d.causal
        found[d.detector] = {
            "verdict": str(d.verdict),
            "allowed": right.allowed.get(d.detector),
            "wrong": d.verdict not in right.allowed.get(d.detector, (d.verdict,)) or d.verdict == "error",
            "score": d.score,
            "p_adjusted": d.p_adjusted,
            "cause": None if cause is None else [cause.necessity, cause.sufficiency, cause.control],
            "reason": d.reason,
            **({"exceptions": d.evidence["exceptions"]} if "exceptions" in d.evidence else {}),
        }
    said = " ".join([report.summary, *report.notes])
    says = [pattern for pattern in right.never_says if re.search(pattern, said)]
    return {
        "family": model.family,
        "name": model.name,
        "told": model.told,
        "truth": right.name,
        "why": right.why,
        "sides": {side: list(getattr(seen, side)) for side in ("train", "echoed", "unseen")},
        "exceptions": model.exceptions,
        "detections": found,
        "summary": report.summary,
        "notes": report.notes,
        "says": says,
        "wrong": sum(d["wrong"] for d in found.values()) + bool(says),
        "seconds": round(time.perf_counter() - start, 2),
    }


def share(side: list[Any]) -> str:
    pairs, accuracy = side
    return "-" if accuracy is None else f"{accuracy:.2f} ({pairs})"


def cell(found: dict[str, Any]) -> str:
    text = found["verdict"].replace("not_applicable", "n/a").replace("inconclusive", "open")
    if found["score"] is not None:
        text += f" {found['score']:.2f}"
    if found["cause"]:
        text += " " + "/".join("-" if x is None else f"{x:.2f}" for x in found["cause"])
    if "exceptions" in found:
        text += f", {found['exceptions']} exceptions"
    return f"[bold red]✗ {text}[/]" if found["wrong"] else text


def family_table(family: str, rows: list[dict[str, Any]]) -> Table:
    columns = list(rows[0]["detections"])
    table = Table(title=family, title_justify="left", caption="score, necessity/sufficiency/control")
    for column in ("model", "truth", "train", "echoed", "unseen", *columns, "sentence"):
        table.add_column(column, overflow="fold")
    for row in rows:
        found = row["detections"]
        said = "[bold red]✗ " + row["summary"] + "[/]" if row["says"] else "ok"
        sides = [share(side) for side in row["sides"].values()]
        name = row["name"] + (f" ({row['exceptions']} of them)" if row["exceptions"] is not None else "")
        table.add_row(name, row["truth"], *sides, *(cell(found[c]) for c in columns), said)
    return table


def confusion(rows: list[dict[str, Any]]) -> Table:
    """By family: of the verdicts that its truth settles, how many are wrong, right, and right by saying nothing."""
    columns = list(rows[0]["detections"])
    table = Table(title="wrong / settled by the truth (of these inconclusive), by family", title_justify="left")
    for column in ("family", "models", "with a fault", *columns, "sentence"):
        table.add_column(column, justify="left" if column == "family" else "right")
    for family in [*dict.fromkeys(r["family"] for r in rows), None]:
        mine = [r for r in rows if family in (None, r["family"])]
        cells = []
        for column in columns:
            asked = [r["detections"][column] for r in mine if r["detections"][column]["allowed"]]
            wrong, open_ = sum(d["wrong"] for d in asked), sum(d["verdict"] == "inconclusive" for d in asked)
            cells.append(f"{'[bold red]' if wrong else '[green]'}{wrong}[/] / {len(asked)} ({open_})" if asked else "")
        says = sum(bool(r["says"]) for r in mine)
        faulty = sum(bool(r["wrong"]) for r in mine)
        sentences = f"{'[bold red]' if says else '[green]'}{says}[/]"
        table.add_row(family or "all", str(len(mine)), str(faulty), *cells, sentences)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", default="")
    parser.add_argument("--name", default="")
    parser.add_argument("--draws", type=int, default=199)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--text", type=Path)
    parser.add_argument("--wrong", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    chosen = [m for m in models() if options.family in m.family and options.name in m.name]
    if not chosen:
        parser.error(f"no model of a family with {options.family!r} and a name with {options.name!r}")
    if absent := missing():
        print(f"{len(absent)} trained models are not here: python -m models_zoo.hostile", file=sys.stderr)
    start = time.perf_counter()
    rows = [judged(model, options.draws) for model in track(chosen, "scoring", console=Console(stderr=True))]
    console = Console(record=True, width=220)
    for family in dict.fromkeys(r["family"] for r in rows):
        mine = [r for r in rows if r["family"] == family and (r["wrong"] or not options.wrong)]
        if mine:
            console.print(family_table(family, mine))
    console.print(confusion(rows))
    faults = Counter(bool(r["wrong"]) for r in rows)
    console.print(
        f"{faults[True]} of {len(rows)} models with a wrong verdict or sentence; {time.perf_counter() - start:.0f} s"
    )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    if options.text:
        console.save_text(str(options.text))


if __name__ == "__main__":
    main()
