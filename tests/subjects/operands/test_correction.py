"""The group behind a table with wrong and missing entries, planted and counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@pytest.mark.sampled(8)
@pytest.mark.unchecked
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


@pytest.mark.wide
@pytest.mark.unchecked
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


@pytest.mark.wide
@pytest.mark.unchecked
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


# ---- whole rows, columns and answers


def without(task, what, some=(3,)):
    """The table without the rows, the columns or the answers of some elements."""
    table, labels = task.answer.copy(), task.labels
    if what == "row":
        table[labels.left[list(some)]] = -1
    elif what == "column":
        table[:, labels.right[list(some)]] = -1
    else:
        table[np.isin(table, labels.answers[list(some)])] = -1
    return table


@pytest.mark.sampled(8)
@pytest.mark.parametrize("wrong", [0.0, 0.1])
@pytest.mark.parametrize("what", ["row", "column", "answer"])
@pytest.mark.parametrize("spec", ["add:7", "mul:29", "compose:D13", "compose:S5"])
def test_a_row_a_column_and_an_answer_that_a_table_misses_are_determined_by_the_rest(spec, what, wrong):
    task = Task.parse(spec)
    table = without(task, what)
    spoilt_table, _, _ = spoilt(task.answer, wrong, 0.0, 1)
    table = np.where(table >= 0, spoilt_table, -1)
    found = nearest_group(table, HELD)
    assert found is not None
    grid = np.ix_(found.labels.left, found.labels.right)
    assert grid[0].size == task.group.order
    np.testing.assert_array_equal(found.corrected[grid], task.answer[grid])
    assert found.agreement == pytest.approx((table == task.answer)[grid].sum() / (table[grid] >= 0).sum())


def test_a_missing_answer_that_is_the_last_one_is_counted_and_listed():
    task = Task.parse("add:23")
    found = Task.of_table("table:t.npy", without(task, "answer", (22,)))
    assert (found.n_answers, found.group.name, len(found.domain)) == (23, "C23", 22 * 23)
    assert "0 wrong and 23 missing of 529" in found.note


@pytest.mark.parametrize(
    ("spec", "what", "some"), [("add:29", "row", (3, 8)), ("add:29", "answer", (3, 8)), ("div:29", "column", (3,))]
)
def test_where_it_cannot_be_said_which_element_is_missing_there_is_no_group(spec, what, some):
    """Of division the column of 0 has no answers either: two are empty, and one is the group's."""
    assert nearest_group(without(Task.parse(spec), what, some), HELD) is None


@pytest.mark.parametrize("spec", ["add:7", "add:11", "compose:D8"])
def test_small_tables_with_fifteen_percent_wrong_are_recognised(spec):
    task = Task.parse(spec)
    for seed in range(2):
        found = nearest_group(spoilt(task.answer, 0.15, 0.0, seed)[0], HELD)
        assert found is not None
        np.testing.assert_array_equal(found.corrected, task.answer)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("spec", ["add:7", "compose:S3", "add:11", "compose:D8", "mul:7", "add:31"])
def test_thirty_percent_wrong_is_no_group(spec):
    assert nearest_group(spoilt(Task.parse(spec).answer, 0.3, 0.0, 0)[0], HELD) is None


@pytest.mark.wide
@pytest.mark.unchecked
@pytest.mark.parametrize("n", [5, 8, 16])
def test_random_tables_are_no_group_whatever_they_miss(n):
    """Some hold a group of two or three elements by chance."""
    for seed in range(2):
        table = np.random.default_rng(seed).integers(n, size=(n, n))
        assert nearest_group(table, HELD) is None
        table[n // 2] = -1
        assert nearest_group(table, HELD) is None


def test_a_table_as_near_to_one_group_table_as_to_another_is_neither():
    """Two tables of C4, in two numberings, share twelve of its sixteen entries each."""
    table = np.array([[0, 1, 2, 3], [1, 0, 3, 1], [0, 3, 0, 2], [3, 0, 1, 2]])
    sums = (np.arange(4)[:, None] + np.arange(4)) % 4
    others = np.array([[0, 1, 2, 3], [2, 0, 3, 1], [1, 3, 0, 2], [3, 2, 1, 0]])
    for group in (sums, others):
        assert infer_task(group).group.name == "C4"
        assert int((group == table).sum()) == 12
    assert nearest_group(table, 0.5) is None
