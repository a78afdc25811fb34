"""A hook of mkdocs: the tables that are made from the code and its data, so that no number is copied by hand.

A page asks for one with a line `{{ name }}`; the names are the keys of TABLES.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from detectors.core.registry import load, result_of, spec_of
from detectors.core.registry import names as installed
from detectors.judging.calibration import calibration
from detectors.judging.explain import ALGORITHMS

PAPER = re.compile(r"arXiv:(\d{4}\.\d{4,5})")
MARKER = re.compile(r"^\{\{ (\w+) \}\}$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for every page."""
    return MARKER.sub(lambda match: TABLES[match[1]](), markdown)


def motifs() -> str:
    """One section for each motif: its module's four paragraphs, what it needs, what it reports, its rates."""
    return "\n\n".join(_motif(name) for name in installed())


def _motif(name: str) -> str:
    function, row = load(name), calibration()["rows"].get(name)
    spec, module = spec_of(function), importlib.import_module(function.__module__)
    claim, source, *rest = (_prose(p) for p in inspect.getdoc(module).split("\n\n"))
    result = result_of(function)
    lines = [f"## `{name}` {{ #{name} }}", claim, _formula(spec.formula), _linked(source), *map(_labelled, rest)]
    facts = [
        f"Version {spec.version}. Needs {', '.join(f'`{n}`' for n in spec.needs)}.",
        f"Free choices that leave the value as it is: {', '.join(f'`{i}`' for i in spec.invariant_to)}.",
        "Judged with a causal check." if spec.causal else "A decomposition of the logits: no cause of its own.",
    ]
    lines += [" ".join(facts), f"**Evidence.** {_prose(inspect.getdoc(result)).removeprefix('Evidence. ')}"]
    lines.append(_rates(row) if row else "**Calibration.** None yet, so its verdict stays `inconclusive`.")
    return "\n\n".join(lines)


def _formula(text: str) -> str:
    """`Spec.formula` in Markdown: its italics are, below and above are HTML."""
    text = text.replace("<", "&lt;")
    return re.sub(r"\^\{([^{}]*)\}", r"<sup>\1</sup>", re.sub(r"_\{([^{}]*)\}", r"<sub>\1</sub>", text))


def _prose(paragraph: str) -> str:
    return " ".join(paragraph.split()).replace("*", "\\*").replace("<", "&lt;")


def _linked(text: str) -> str:
    return _labelled(PAPER.sub(r"[arXiv:\1](https://arxiv.org/abs/\1)", text))


def _labelled(text: str) -> str:
    """`Score: 0 is ...` with its first word in bold."""
    head, colon, rest = text.partition(": ")
    return f"**{head}.** {rest[0].upper()}{rest[1:]}" if colon and len(head) < 20 else text


def _rates(row: dict[str, Any]) -> str:
    """The line of calibration.json, and its families."""
    found, false = row["true_positives"], row["false_positives"]
    groups = "Groups of order {} to {}; architectures".format(*row["orders"]) if "orders" in row else "Architectures"
    at, values = row["levels"], row["values"]
    lines = [
        f"**Calibration.** Threshold **{row['threshold']:g}**, a third of the way from {at['negative']:g}, the highest "
        f"level of a family without the motif, to {at['positive']:g}, the lowest of one with it. Area under the curve "
        f"{row['auc']:g} in the worst family; {len(row['above_a_positive'])} models without it lie above the least of "
        f"those with it. {groups}: {', '.join(row['architectures'])}.",
        "",
        "| what is counted | parents | positive | share | one-sided 95% bounds |",
        "|---|---|---|---|---|",
    ]
    what = {
        "with the motif, whole verdict": found["verdict"],
        "with the motif, value alone": found["value"],
        "without it, whole verdict": false["verdict"],
        "without it, value alone": false["value"],
    }
    lines += [
        f"| {label} | {c['of']} | {c['count']} | {_percent(c['count'] / c['of'])} "
        f"| {_percent(c['low'])}, {_percent(c['high'])} |"
        for label, c in what.items()
    ]
    rule = "|---|---|---|---|---|---|"
    lines += ["", "| values | least | 1 in 50 | median | 49 in 50 | greatest |", rule]
    lines += [f"| {side} | {' | '.join(f'{x:g}' for x in values[side].values())} |" for side in ("present", "absent")]
    lines += [
        "",
        "| family | motif | models | parents | above the threshold | called present |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {family.replace('_', ' ')} | {side} | {f[side]['models']} | {f[side]['parents']} | {f[side]['above']} "
        f"| {f[side]['called_present']} |"
        for side in ("present", "absent")
        for family, f in sorted(row["families"].items())
        if side in f
    ]
    missed, wrong = (", ".join(f"`{name}`" for name in row[key]) or "none" for key in ("missed", "wrong"))
    return "\n".join([*lines, "", f"Models missed: {missed}. Models called present wrongly: {wrong}."])


def rules() -> str:
    """Rules of thumb on the same bench: `make calibrate` writes docs/rules."""
    lines = ["| rule | for | area under the curve | found by value | false by value |", "|---|---|---|---|---|"]
    for file in sorted((Path(__file__).parent / "rules").glob("*.json")):
        table = json.loads(file.read_text())
        ours = calibration()["rows"][table["as"]]
        lines += [_rule(f"`{name}`", table["as"], row) for name, row in table["rows"].items()]
        lines.append(_rule(f"[`{table['as']}`](catalogue.md#{table['as']})", table["as"], ours))
    return "\n".join(dict.fromkeys(lines))


def _rule(name: str, motif: str, row: dict[str, Any]) -> str:
    found, false = row["true_positives"]["value"], row["false_positives"]["value"]
    shares = [f"{c['count']} of {c['of']} ({_percent(c['count'] / c['of'])})" for c in (found, false)]
    return f"| {name} | {motif.replace('_', ' ')} | {row['auc']:g} | {' | '.join(shares)} |"


def _percent(share: float) -> str:
    return f"{100 * share:.4g}%"


def thresholds() -> str:
    """One line for each detector. Parents: independent networks, however many models are made from each."""
    lines = ["| detector | threshold | found | false |", "|---|---|---|---|"]
    for name in installed():
        row = calibration()["rows"].get(name)
        if row is None:
            lines.append(f"| [`{name}`](catalogue.md#{name}) | none yet | | |")
            continue
        found, false = row["true_positives"]["verdict"], row["false_positives"]["verdict"]
        lines.append(
            f"| [`{name}`](catalogue.md#{name}) | {row['threshold']:g} "
            f"| {found['count']} of {found['of']} (at least {_percent(found['low'])}) "
            f"| {false['count']} of {false['of']} (at most {_percent(false['high'])}) |"
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
            lines.append(f"| `{name}` | {task} | {shown} | {_prose(card['about'])} | {', '.join(there) or 'none'} |")
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
        rows.append(f"| {where} | {row.name} | {_prose(row.meaning).replace('|', '&#124;')} |")
    return "\n".join(rows)


TABLES: dict[str, Callable[[], str]] = {
    "motifs": motifs,
    "thresholds": thresholds,
    "members": members,
    "rules": rules,
    "readable": readable,
    "algorithms": algorithms,
}
