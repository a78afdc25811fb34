"""The group behind a table with wrong and missing entries, planted and counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.subjects.operands import correction
from detectors.subjects.operands.correction import nearest_group
from detectors.subjects.operands.inference import infer_task
from detectors.subjects.operands.task import HELD, LISTED, Task

SPECS = ["add:29", "sub:23", "compose:S4", "compose:D13", "mul:29"]


def spoilt(table, wrong, missing, seed):
    """A share of all entries replaced by other answers, and a share left out. Returns the table and both masks."""
    rng, out = np.random.default_rng(seed), table.copy()
    order = rng.permutation(table.size)
    errors, holes = np.split(
        order[: round(wrong * table.size) + round(missing * table.size)], [round(wrong * table.size)]
    )
    n = int(table.max()) + 1
    out.ravel()[errors] = (out.ravel()[errors] + rng.integers(1, n, len(errors))) % n
    out.ravel()[holes] = -1
    masks = [np.zeros(table.shape, dtype=bool) for _ in range(2)]
    for mask, chosen in zip(masks, (errors, holes), strict=True):
        mask.ravel()[chosen] = True
    return out, *masks


@pytest.mark.parametrize("spec", SPECS)
@given(seed=st.integers(0, 9999), wrong=st.floats(0, 0.1), missing=st.floats(0, 0.1))
def test_a_table_with_errors_and_holes_is_corrected_to_the_group_that_it_was_made_from(spec, seed, wrong, missing):
    task = Task.parse(spec)
    table, errors, holes = spoilt(task.answer, wrong, missing, seed)
    found = nearest_group(table, HELD)
    assert found is not None
    assert found.labels.group.order == task.group.order
    grid = np.ix_(found.labels.left, found.labels.right)
    np.testing.assert_array_equal(found.corrected[grid], task.answer[grid])
    held = ~holes[grid]
    assert found.agreement == pytest.approx(1 - errors[grid][held].mean())


@pytest.mark.parametrize(("wrong", "found"), [(0.19, True), (0.22, False)])
def test_more_than_a_fifth_of_wrong_entries_is_no_group(wrong, found):
    """The vote would still be won: a group is refused since the table is not its own."""
    table, _, _ = spoilt(Task.parse("add:31").answer, wrong, 0.0, 0)
    assert (nearest_group(table, HELD) is not None) == found
    assert nearest_group(table, 0.5) is not None
    assert (Task.of_table("table:t.npy", table).group is not None) == found


@pytest.mark.parametrize(("wrong", "found"), [(0.09, True), (0.11, False)])
def test_predictions_are_followed_on_nine_tenths(wrong, found):
    table, _, _ = spoilt(Task.parse("add:31").answer, wrong, 0.0, 0)
    assert (infer_task(table).group is not None) == found


@pytest.mark.parametrize("table", [np.random.default_rng(0).integers(23, size=(23, 23)), Task.parse("max:23").answer])
def test_no_group_is_found_where_there_is_none(table):
    assert nearest_group(table, HELD) is None
    holes = table.copy()
    holes.ravel()[::9] = -1
    assert nearest_group(holes, HELD) is None


def test_the_note_counts_and_lists_what_is_wrong_and_missing():
    clean = Task.parse("add:23").answer
    table = clean.copy()
    table[4, 5], table[9, 2], table[0, 7] = 0, 1, -1
    task = Task.of_table("table:t.npy", table)
    assert task.group.name == "C23"
    assert "the table is that of C23 but for 2 wrong and 1 missing of 529 entries: (0, 7), (4, 5), (9, 2)" in task.note
    np.testing.assert_array_equal(task.answer, table)  # pairs are answered as the table says
    assert len(task.domain) == 528
    assert task.is_symmetric  # the group's
    i = np.arange(23)
    table[i, (3 * i + 11) % 23] = (clean[i, (3 * i + 11) % 23] + 1 + i % 5) % 23  # one more a row, none of the three
    note = Task.of_table("table:t.npy", table).note
    assert "but for 25 wrong and 1 missing" in note
    assert note.endswith(", ...")
    assert note.count("(") == LISTED
    assert Task.of_table("table:t.npy", clean).note == ""


def test_no_ballot_is_held_on_a_table_whose_quadrangles_do_not_agree(monkeypatch):
    """A tally of n^3 cells for a table without a group, 34 GB at 2048 tokens, would let a file end the program."""
    held = []
    monkeypatch.setattr(correction.np, "array_split", lambda *_: held.append(1) or [])
    table = np.random.default_rng(0).integers(0, 64, (64, 64))
    assert np.array_equal(correction._vote(table, np.random.default_rng(1)), table)
    assert held == []


def test_a_ballot_in_parts_finds_what_a_ballot_in_one_does(monkeypatch):
    table = Task.parse("compose:D15").answer.copy()
    wrong = np.random.default_rng(0).choice(table.size, 90, replace=False)
    table.flat[wrong] = np.random.default_rng(1).integers(0, 30, 90)
    monkeypatch.setattr(correction, "CELLS", 30 * 30 * 4)  # four rows at a time
    found = correction.nearest_group(table, 0.8)
    assert np.array_equal(found.corrected, Task.parse("compose:D15").answer)
