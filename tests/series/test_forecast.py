"""What a forecast says does not hang on units, and what it was fitted on stands in the repository."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import detectors
from detectors.core.verdict import Verdict
from detectors.series.forecast import ANSWERED, NEED, fitted, forecast
from detectors.series.story import Course, Story, axes
from models_zoo.forecast_fit import Prefixes, fit, halves, runs, straight


def story(steps, unseen, g, m, membership):
    empty = {"p_adjusted": [], "necessity": [], "sufficiency": [], "control": []}
    verdicts = [Verdict.ABSENT] * len(steps)
    motifs = {
        axes()["G"]: Course(value=g, verdict=verdicts, **empty),
        axes()["M"]: Course(value=m, verdict=verdicts, evidence={"membership_advantage": membership}, **empty),
    }
    return Story(steps=steps, accuracy={"unseen": unseen}, motifs=motifs)


shares = st.floats(0, 0.98)
checkpoints = st.lists(st.tuples(shares, shares, shares, shares), min_size=2, max_size=6)


@given(checkpoints, st.integers(0, 10**6), st.integers(1, 1000), st.data())
def test_an_interval_lies_ahead_and_moves_with_offset_and_unit_of_the_steps(rows, offset, unit, data):
    gaps = data.draw(st.lists(st.integers(1, 10**4), min_size=len(rows) - 1, max_size=len(rows) - 1))
    steps = [0, *np.cumsum(gaps).tolist()]
    columns = [list(column) for column in zip(*rows, strict=True)]
    plain = forecast(story(steps, *columns))
    assert plain["level"] == 0.8
    assert plain["forming"] == (columns[1][-1] >= 0.1)
    low, high = plain["interval"]
    assert steps[-1] <= low
    assert high is None or high >= low
    moved = forecast(story([offset + unit * step for step in steps], *columns))["interval"]
    assert moved[0] == pytest.approx(offset + unit * low, abs=unit + 1)
    assert (moved[1] is None) == (high is None)
    assert high is None or moved[1] == pytest.approx(offset + unit * high, abs=unit + 1)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (story([], [], [], [], []), NEED),
        (story([5], [0.2], [0.3], [0.3], [0.9]), NEED),
        (story([0, 5], [0.2, 0.3], [0.3, None], [0.3, 0.3], [0.9, 0.9]), NEED),
        (story([0, 5], [None, None], [0.3, 0.9], [0.3, 0.3], [0.9, 0.9]), NEED),
        (story([0, 5, 9], [0.0, 0.995, 0.5], [0.0, 1.0, 1.0], [0.9, 0.1, 0.1], [0.9] * 3), "it is over"),
    ],
)
def test_where_there_is_no_interval_it_says_why(found, reason):
    said = forecast(found)
    assert said["interval"] is None
    assert said["reason"].startswith(reason)


def test_a_line_is_recovered_from_data_half_of_which_are_censored():
    rng = np.random.default_rng(0)
    x = np.column_stack([np.ones(4000), rng.normal(size=(4000, 2))])
    y, until = x @ [1.0, 2.0, -1.0] + rng.normal(size=4000), rng.normal(1.0, 2.0, size=4000)
    found = straight(Prefixes(x, np.minimum(y, until), y > until, np.zeros(4000)))
    assert (y > until).mean() > 0.4
    assert found == pytest.approx([1.0, 2.0, -1.0], abs=0.1)


@pytest.mark.wide
def test_half_of_the_runs_are_held_out_and_the_shipped_fit_is_of_the_others():
    every = runs()
    used, kept = halves(every)
    assert {run.number for run in used} & {run.number for run in kept} == set()
    assert len(used) == len(kept) == len(every) // 2 >= 24
    for run in every:
        assert run.answered is None or run.answered <= run.lasted
        if run.answered is None and run.whole:
            assert run.lasted == run.budget
    again, there = fit(used), json.loads((Path(detectors.__file__).parent / "series" / "forecast.json").read_text())
    assert again["runs"] == there["runs"]
    for name, line in there["lines"].items():
        assert again["lines"][name] == pytest.approx(line, abs=0.05)
    for name, both in there["left"].items():
        assert [q is None for q in again["left"][name]] == [q is None for q in both]
    assert fitted() == there


@pytest.mark.wide
@pytest.mark.parametrize("name", ["add53_series", "add53_square_series"])
def test_a_series_of_the_zoo_cut_anywhere_gives_an_interval_or_says_why_not(name):
    """p = 53 and a width that no run of the fit had."""
    from models_zoo.cards import folders

    rows = []
    for folder in folders(name):
        report = detectors.run(detectors.load(folder), names=list(axes().values()), draws=1)
        g, m = (report[axes()[axis]] for axis in "GM")
        rows.append(
            (int(folder.name[5:]), report.accuracy.unseen, g.score, m.score, m.evidence["membership_advantage"])
        )
    columns = [list(column) for column in zip(*rows, strict=True)]
    after = next(i for i, a in enumerate(columns[1]) if a >= ANSWERED)
    for k in range(len(rows) + 1):
        said = forecast(story(*(column[:k] for column in columns)))
        assert (said["interval"] is None) == ("reason" in said)
        if k > after:
            assert said["reason"].startswith("it is over")
        elif k > 1:
            assert said["interval"][0] >= columns[0][k - 1]
    before = next(i for i, g in enumerate(columns[2]) if g >= 0.5) + 1  # where the circuit has just formed
    said = forecast(story(*(column[:before] for column in columns)))
    assert said["forming"]
    assert said["interval"][0] <= columns[0][after]


@pytest.mark.deep
def test_the_tables_of_the_documentation_are_those_of_the_held_out_half():
    from models_zoo.forecasting import table

    said = (Path(__file__).parents[2] / "docs" / "forecast.md").read_text()
    for line in filter(None, table(*halves(runs()), fitted()).splitlines()):
        assert line in said
