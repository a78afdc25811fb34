"""Hooks of mkdocs: a page for each motif, and the tables made from the code and its data, so that no number is copied.

A page asks for a table with a line `{{ name }}`; the names are the keys of TABLES.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from motif_page import files_of, page, percent, prose
from shown import shown

from detectors.core.registry import load, spec_of
from detectors.core.registry import names as installed
from detectors.judging.calibration import calibration
from detectors.judging.explain import ALGORITHMS

MARKER = re.compile(r"^\{\{ (\w+) \}\}$", re.MULTILINE)


SUBJECTS = {
    "operands": "Of two operands",
    "sequences": "Of attention heads",
    "words": "Of words",
    "features": "Of features",
}


def on_config(config: Any, **_: Any) -> None:
    """Pages of motifs stand below their table, by what they are of."""
    below = [{title: [f"motifs/{name}.md" for name in listed]} for title, listed in _by_subject()]
    config.nav = [
        {title: [{"All": at}, *below]} if at == "catalogue.md" else {title: at}
        for one in config.nav
        for title, at in one.items()
    ]


def on_files(files: Any, *, config: Any, **_: Any) -> None:
    """A page for each motif, with its pictures."""
    from mkdocs.structure.files import File

    for name in installed():
        made = shown(name)
        files.append(File.generated(config, f"motifs/{name}.md", content=page(name, made)))
        for one, file in zip(made, files_of(name), strict=False):
            if one.picture:
                files.append(File.generated(config, f"motifs/{file}", content=one.picture))


def _by_subject() -> Iterator[tuple[str, list[str]]]:
    for subject, listed in groupby(installed(), key=lambda name: spec_of(load(name)).subject):
        yield SUBJECTS.get(subject, subject), list(listed)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for every page."""
    return MARKER.sub(lambda match: TABLES[match[1]](), markdown)


def motifs() -> str:
    """One line for each motif, by what it is of."""
    lines = []
    for title, listed in _by_subject():
        lines += ["", f"## {title}", "", "| motif | what is claimed |", "|---|---|"]
        lines += [f"| [`{name}`](motifs/{name}.md) | {prose(spec_of(load(name)).summary)} |" for name in listed]
    return "\n".join(lines)


def rules() -> str:
    """Rules of thumb on the same bench: `make calibrate` writes docs/rules."""
    lines = ["| rule | for | area under the curve | found by value | false by value |", "|---|---|---|---|---|"]
    for file in sorted((Path(__file__).parent / "rules").glob("*.json")):
        table = json.loads(file.read_text())
        ours = calibration()["rows"][table["as"]]
        lines += [_rule(f"`{name}`", table["as"], row) for name, row in table["rows"].items()]
        lines.append(_rule(f"[`{table['as']}`](motifs/{table['as']}.md)", table["as"], ours))
    return "\n".join(dict.fromkeys(lines))


def _rule(name: str, motif: str, row: dict[str, Any]) -> str:
    found, false = row["true_positives"]["value"], row["false_positives"]["value"]
    shares = [f"{c['count']} of {c['of']} ({percent(c['count'] / c['of'])})" for c in (found, false)]
    return f"| {name} | {motif.replace('_', ' ')} | {row['auc']:g} | {' | '.join(shares)} |"


def thresholds() -> str:
    """One line for each detector. Parents: independent networks, however many models are made from each."""
    lines = ["| detector | threshold | found | false |", "|---|---|---|---|"]
    for name in installed():
        row = calibration()["rows"].get(name)
        if row is None:
            lines.append(f"| [`{name}`](motifs/{name}.md) | none yet | | |")
            continue
        found, false = row["true_positives"]["verdict"], row["false_positives"]["verdict"]
        lines.append(
            f"| [`{name}`](motifs/{name}.md) | {row['threshold']:g} "
            f"| {found['count']} of {found['of']} (at least {percent(found['low'])}) "
            f"| {false['count']} of {false['of']} (at most {percent(false['high'])}) |"
        )
    return "\n".join(lines)


def members() -> str:
    """The reference models by family, from their cards."""
    return "\n\n".join(_families())


def _families() -> Iterator[str]:
    from models_zoo.cards import cards, expected, folders, measured

    known = cards()
    for family, names in groupby(known, key=lambda name: known[name]["family"]):
        listed = list(names)
        about = known[listed[0]]
        lines = [f"### {family.replace('_', ' ')}", "", f"{about['kind'].capitalize()}; {about['known']}.", ""]
        lines += ["| `zoo:` | task | test accuracy | what it is | present |", "|---|---|---|---|---|"]
        for name in listed:
            card, facts = known[name], measured(folders(name)[-1])
            there = [motif for motif, verdict in expected(card).items() if verdict == "present"]
            task = card.get("task") or card.get("table", {}).get("kind") or card.get("build", {}).get("task", "")
            accuracy = facts.get("test_accuracy")
            shown = "" if accuracy is None else f"{accuracy:.3f}"
            lines.append(f"| `{name}` | {task} | {shown} | {prose(card['about'])} | {', '.join(there) or 'none'} |")
        yield "\n".join(lines)


def readable() -> str:
    """What reads by itself, from the rows that the tests train, save and read."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from fixtures.readable import READABLE

    sys.path.pop(0)
    rows = [f"| {row.what} | {row.reads} |" for row in READABLE]
    return "\n".join(["| network | what it reads |", "|---|---|", *rows])


def algorithms() -> str:
    """The decision table of `detectors explain`."""
    rows = ["| where | algorithm | what it does |", "|---|---|---|"]
    for row in ALGORITHMS:
        where = ", ".join(f"{key}: {value}" for key, value in row.when.items()) or "anything else"
        rows.append(f"| {where} | {row.name} | {prose(row.meaning).replace('|', '&#124;')} |")
    return "\n".join(rows)


TABLES: dict[str, Callable[[], str]] = {
    "motifs": motifs,
    "thresholds": thresholds,
    "members": members,
    "rules": rules,
    "readable": readable,
    "algorithms": algorithms,
}
