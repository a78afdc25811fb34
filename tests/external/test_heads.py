"""Heads of models that others trained and took apart: what is published is found, and nothing else is."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache

import pytest

import detectors
from conftest import EXTERNAL

pytestmark = pytest.mark.external

NAMES = (
    "palindrome_july23",
    "sum_september23",
    "sorted_list_october23",
    "brackets",
    "sort5_distinct",
    "induction_infinite",
    "addition5_infinite",
)
# motifs.json's names of what we have, and the place where one is of a place
MOTIFS = {
    "next-larger ('sorting') head": ("successor_heads", None),
    "duplicate-token head": ("duplicate_token_heads", None),
    "mirror-compare head": ("mirror_heads", None),
    "digit-alignment head, place of the answer": ("digit_alignment_heads", 0),
    "digit-alignment head, place below (carry)": ("digit_alignment_heads", -1),
    "induction head": ("induction_heads", None),
    "previous-token head": ("previous_token_heads", None),
    "uniform (averaging) head": ("averaging_heads", None),
    "position-only head": ("position_heads", None),
    "copying (OV)": ("copying_heads", None),
}
FALSE = ("highest_absent", "lowest_absent", "absent", "false_positives_of_the_share_alone")


@cache
def report(name: str):
    return detectors.run(detectors.load(EXTERNAL / "sequences" / f"{name}.safetensors"))


def verdict(where: str, motif: str, place: int | None) -> str:
    """Of a head NAME:LAYER.HEAD, at a place where the motif is of one."""
    name, _, number = where.partition(":")
    for head in report(name)[motif].evidence.get("heads", []):
        if f"{head['layer']}.{head['head']}" == number:
            if place is None:
                return head["verdict"]
            return next((p["verdict"] for p in head["places"] if p["place"] == place), "absent")
    return "absent"


@pytest.mark.deep
def test_accuracies_are_those_measured(external):
    rows = {row["name"]: row for row in json.loads((external / "sequences" / "truth_sequences.json").read_text())}
    for name in NAMES:
        accuracy = report(name).accuracy.all
        assert accuracy == pytest.approx(rows[name]["accuracy"]["accuracy"], abs=0.01), name


@pytest.mark.wide
def test_heads_that_are_known_are_found_and_others_are_not(external, capsys):
    counts: Counter = Counter()
    wrong = []
    for row in json.loads((external / "sequences" / "motifs.json").read_text()):
        motif, place = MOTIFS.get(row["motif"], (None, None))
        if motif is None:
            continue
        cases = [(where, True) for where in row.get("present", ())]
        for key in FALSE:
            cases += [(one if isinstance(one, str) else one[0], False) for one in row.get(key, ())]
        for where, there in cases:
            if where.partition(":")[0] not in NAMES:
                continue
            said = verdict(where, motif, place)
            counts[motif, there, said] += 1
            if (said == "present") != there:
                wrong.append(f"{where}: {motif}{'' if place is None else f' at {place}'} is {there}, found {said}")
    with capsys.disabled():
        print()
        for (motif, there, said), number in sorted(counts.items()):
            print(f"{motif:24}{'present' if there else 'absent':9}{said} {number}")
    assert sum(counts.values()) >= 45
    assert not wrong, "\n".join(wrong)


def test_sorting_of_the_worked_problems_reads_with_data(external):
    view = detectors.load(external / "cop" / "sort_fixed_len_list_model.pt", task="sort_with_start:10")
    assert view.figures().accuracy.all > 0.9
