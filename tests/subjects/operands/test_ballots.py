"""The votes by which a square corrects itself: when they are held, in parts, and of few elements."""

import numpy as np

from detectors.subjects.operands import ballots
from detectors.subjects.operands.ballots import completed, loops
from detectors.subjects.operands.correction import nearest_group
from detectors.subjects.operands.task import Task


def test_no_ballot_is_held_on_a_table_whose_quadrangles_do_not_agree(monkeypatch):
    """A tally of n^3 cells for a table without a group, 34 GB at 2048 tokens, would let a file end the program."""
    held = []
    monkeypatch.setattr(ballots.np, "array_split", lambda *_: held.append(1) or [])
    table = np.random.default_rng(0).integers(0, 64, (64, 64))
    assert np.array_equal(ballots.ballot(table, np.random.default_rng(1)), table)
    assert held == []


def test_a_ballot_in_parts_finds_what_a_ballot_in_one_does(monkeypatch):
    table = Task.parse("compose:D15").answer.copy()
    wrong = np.random.default_rng(0).choice(table.size, 90, replace=False)
    table.flat[wrong] = np.random.default_rng(1).integers(0, 30, 90)
    monkeypatch.setattr(ballots, "CELLS", 30 * 30 * 4)  # four rows at a time
    found = nearest_group(table, 0.8)
    assert np.array_equal(found.corrected, Task.parse("compose:D15").answer)


def test_one_empty_row_and_column_are_filled_by_what_the_others_lack():
    table = Task.parse("compose:S3").answer
    empty = table.copy()
    empty[2] = -1
    assert np.array_equal(completed(empty), table)
    assert np.array_equal(completed(empty.T), table.T)
    empty[4] = -1
    assert np.array_equal(completed(empty), empty)  # two: which is which is not determined


def test_loops_are_right_where_every_row_and_column_has_an_error():
    """One in each, so that no row or column is right as it stands."""
    table = Task.parse("add:7").answer
    wrong, i = table.copy(), np.arange(7)
    wrong[i, 3 * i % 7] = (table[i, 3 * i % 7] + 1 + i % 6) % 7
    assert ((wrong != table).sum(0) == 1).all()
    assert any(np.array_equal(candidate, table) for candidate in loops(wrong))
    assert list(loops(np.random.default_rng(0).integers(7, size=(7, 7)))) == []
