"""Every network of others by the algorithm that its truth settles; what is wrong is listed by name."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

import detectors
from conftest import EXTERNAL
from detectors.report.explained import of_report
from tests.external.test_external import GROUP, PIZZA, SETTLED, group_view, pizza_view, progress_view, rows
from tests.external.test_heads import MOTIFS
from tests.external.test_heads import NAMES as SEQUENCES
from tests.external.test_layouts import NOTES, READ, loaded
from tests.external.test_series import published_run

pytestmark = [pytest.mark.external, pytest.mark.deep]
FOURIER = {"disc", "torus", "between disc and torus", "representation circuit"}
GENERALISES = FOURIER | {"coset circuit"}
COUNTED = 0.984  # of the energy aligned with cosets: the least of 56 networks that generalise, see external/README.md
MECHANISM, COSETS = dict(rows("truth_mechanism.json") or {}), dict(rows("truth_cosets.json") or {})
# train accuracy 1 and unseen 0, 0.56, 0.92 of a+b mod 23: test_series has them
SERIES = {2400: {"memorised"}, 4000: {"memorised"}, 8000: FOURIER | {"half-way", "another"}, 49600: FOURIER}
WRONG: set[str] = set()


def mechanism(name: str) -> set[str]:
    """Disc or torus where the truth has its phases."""
    if name not in MECHANISM:
        return FOURIER
    return {"disc" if MECHANISM[name]["mean"]["phase_concentration"] > 0.9 else "torus"}


def of_group(name: str) -> set[str]:
    row = GROUP[name]
    if row.get("G") is not None and row["test_accuracy"] < 0.9:
        if row["G"] == 0:
            return {"memorised"}
        return {"half-way"} if row["M2"] > 0.2 else GENERALISES
    if row["group"].startswith("C"):
        return mechanism(name)
    if row["group"].startswith("D"):  # of twice a prime: no subgroup of an index from 3 to a third of the order
        return {"representation circuit"}
    counted = name in COSETS and COSETS[name]["alignment_above_090"] >= COUNTED
    return {"coset circuit"} if counted else {"coset circuit", "representation circuit"}


def of_layout(name: str) -> set[str]:
    return FOURIER if NOTES[name]["expect"]["generalisation"] == "present" else {"memorised"}


def without_decay():
    """Trained on the first 90% of all pairs as Python shuffles them."""
    import random

    pairs = [(a, b) for a in range(113) for b in range(113)]
    random.Random(0).shuffle(pairs)
    mask = np.zeros(113 * 113, dtype=bool)
    mask[[a * 113 + b for a, b in pairs[: int(0.9 * len(pairs))]]] = True
    file = EXTERNAL / "progress" / "mod_addition_no_wd.pth"
    return detectors.load(file, task="add:113").with_train_mask(mask)


def grown(end: str):
    file = EXTERNAL / "layouts" / f"p97_frac0.30_wd1_seed0{end}.pt"
    return detectors.load(file, task="add:97", train_split="0.3:0")


def of_others():
    """Name, loader and what the truth allows."""
    cop = EXTERNAL / "cop"
    yield from ((name, lambda name=name: group_view(name), of_group(name)) for name in GROUP)
    for name, row in PIZZA.items():  # at 97% and without its training pairs whether it generalises is open
        allowed = mechanism(name) if row["accuracy"] >= SETTLED else {"open"}
        yield name, lambda row=row: pizza_view(row, EXTERNAL), allowed
    yield "progress measures", lambda: progress_view(EXTERNAL), FOURIER
    yield "no weight decay", without_decay, FOURIER
    yield "cop", lambda: detectors.load(cop / "modular_addition_2l_mlp_model.pt", task="add:113"), FOURIER
    yield "p97", lambda: grown(""), FOURIER
    yield "p97 memorised", lambda: grown("_memorize"), {"memorised"}
    yield from (
        (f"layout {name}", lambda name=name: loaded(name)[1], of_layout(name)) for name in READ if name in NOTES
    )
    for step, allowed in SERIES.items():
        yield f"series {step}", lambda step=step: published_run(EXTERNAL, step), allowed


@pytest.mark.timeout(7200)
def test_the_algorithm_is_what_the_truth_settles(external, capsys):
    """Half an hour of a core; the four networks of S6 take as long as the others."""
    counts: Counter = Counter()
    wrong = {}
    for name, load, allowed in of_others():
        found = of_report(detectors.run(load())).algorithm
        counts[found, " or ".join(sorted(allowed))] += 1
        if found not in allowed:
            wrong[name] = f"{name}: {found}, and it is {' or '.join(sorted(allowed))}"
    with capsys.disabled():
        print(f"\n{'found':24}settled")
        for (found, allowed), number in sorted(counts.items()):
            print(f"{found:24}{allowed}: {number}")
    assert set(wrong) == WRONG, "\n".join(wrong.values())
    assert sum(counts.values()) >= 65


@pytest.mark.parametrize("name", SEQUENCES)
def test_heads_that_are_known_are_claims_of_an_attention_circuit(name, external):
    found = of_report(detectors.run(detectors.load(EXTERNAL / "sequences" / f"{name}.safetensors")))
    known = json.loads((external / "sequences" / "motifs.json").read_text())
    there = {
        MOTIFS[row["motif"]][0]
        for row in known
        if row["motif"] in MOTIFS and any(head.partition(":")[0] == name for head in row.get("present", ()))
    }
    assert found.algorithm == "attention circuit"
    assert {claim.motif for claim in found.claims} >= there
