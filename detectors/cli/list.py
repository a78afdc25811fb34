"""`detectors list`: what there is to look for, and how well each is found."""

from __future__ import annotations

from typing import Any


def list_() -> None:
    """Show the detectors: what each looks for and needs, its threshold, and how often it was right and wrong.

    found: models of the zoo that have the motif and are called present. false: random models without it, untrained,
    rank-matched, under other token names, and decoys, that are called present all the same. With the bound of the 95%
    Clopper-Pearson interval that matters; each family is judged by a threshold that it had no part in.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from detectors.core.blame import words
    from detectors.core.registry import load, names, spec_of
    from detectors.core.visible import visible
    from detectors.judging.calibration import calibration
    from detectors.report.terminal import STALE

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("detector", "v", "threshold", "found", "false"):
        table.add_column(heading, no_wrap=True, justify="left" if heading == "detector" else "right")
    about = Table.grid(padding=(0, 2))
    for name in names():
        row = calibration()["rows"].get(name)
        try:
            spec = spec_of(load(name))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plugin that does not load, or exits, is a line and not the end
            table.add_row(Text(visible(name)), "", "", "", "")
            about.add_row(Text(visible(name)), Text(visible(f"does not load: {words(error)}"), "red"))
            continue
        figures = ("none", "", "") if row is None else (f"{row['threshold']:.2f}", *_rates(row))
        table.add_row(Text(visible(name)), visible(spec.version), *figures)
        needs = Text(visible(f" {spec.source}; needs {', '.join(map(str, spec.needs))}"), "dim")
        about.add_row(Text(visible(name)), Text(visible(spec.summary)) + needs)
    console = Console()
    console.print(table, "", about)
    if calibration()["status"] == "stale":
        console.print(STALE, style="red")


def _rates(row: dict[str, Any]) -> tuple[str, str]:
    """Whole verdicts: share found with its lower bound, share of false ones with its upper bound."""
    found, false = row["true_positives"]["verdict"], row["false_positives"]["verdict"]
    return (
        f"{found['count']}/{found['of']} (>= {found['low']:.0%})",
        f"{false['count']}/{false['of']} (<= {false['high']:.1%})",
    )
