"""A story is the same whatever the order of its rows, and refuses rows of two runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.core.errors import DetectorsError
from detectors.report.rows import error_row
from detectors.series.rows import story_of
from tests.series.runs import row

SHIFT = 10**12


def rows(offset=0):
    """Absent, then present; the accuracy follows two checkpoints later."""
    return [
        row(
            10 * i + offset,
            verdict="present" if i >= 3 else "absent",
            score=i / 8,
            accuracy_unseen=float(i >= 5),
            evidence='{"key_irreps": ["freq_3"], "power": [0.5, 0.5], "mean": 1.5, "name": "x"}',
        )
        for i in range(8)
    ]


@given(st.permutations(range(8)), st.sets(st.integers(0, 7)))
def test_order_and_duplicates_change_nothing(order, twice):
    given_rows = rows()
    shuffled = [given_rows[i] for i in order] + [given_rows[i] for i in sorted(twice)]
    assert story_of(shuffled) == story_of(given_rows)


def test_the_story_of_rows():
    story = story_of(rows())
    assert story.steps == list(range(0, 80, 10))
    assert (story.onsets, story.rise, story.rise_of) == ({"trig_logits": (20, 30)}, (40, 50), "unseen")
    assert story.lead == {"trig_logits": (10, 30)}
    course = story.motifs["trig_logits"]
    assert course.evidence == {"mean": [1.5] * 8}
    assert (course.chosen[0], course.effective[0]) == (["freq_3"], 2.0)
    assert story.convergence["trig_logits"].rise.rank == 1
    document = story.to_dict()
    assert document["accuracy_rise"] == [40, 50]
    assert set(document["accuracy"]) == {"all", "train", "test", "unseen"}
    assert document["motifs"]["trig_logits"]["verdict"][0] == "absent"
    assert document["forecast"] is None


def test_an_offset_of_a_trillion_steps_moves_all_by_itself():
    found = story_of(rows(SHIFT))
    assert found.onsets == {"trig_logits": (20 + SHIFT, 30 + SHIFT)}
    assert found.lead == {"trig_logits": (10, 30)}


def test_a_checkpoint_that_was_not_scored_keeps_its_place():
    told = rows()
    told[3] = error_row("30.pt", "damaged", step=30)
    story = story_of(told)
    assert story.untold == {30: "damaged"}
    assert story.onsets == {"trig_logits": (20, 40)}
    assert story.motifs["trig_logits"].verdict[3] is None
    assert "Not scored: 30" in " ".join(story.telling)


def test_rise_is_of_test_pairs_and_else_of_all_where_unseen_ones_are_unknown():
    known = [row(s, accuracy_test=s / 2, accuracy_all=1.0) for s in range(3)]
    assert (story_of(known).rise_of, story_of(known).rise) == ("test", (1, 2))
    assert "training pairs are unknown" in " ".join(story_of(known).telling)
    of_all = story_of([row(s, accuracy_all=1.0) for s in range(3)])
    assert (of_all.rise_of, of_all.rise, of_all.lead) == ("all", (None, 0), {})  # all pairs hold what is looked up


def test_one_checkpoint_tells_no_story():
    story = story_of([row(5, accuracy_unseen=1.0)])
    assert story.onsets == {"trig_logits": (None, 5)}
    assert "One checkpoint tells no story" in story.telling[0]


def test_a_step_that_no_column_has_is_in_the_name():
    unnamed = [row(None, checkpoint=f"run/step_{s}.pt") for s in (10, 5)]
    assert story_of(unnamed).steps == [5, 10]
    assert story_of([*unnamed, row(None, checkpoint="best.pt")]).notes == ["best.pt is left out: it has no step"]
    with pytest.raises(DetectorsError, match="--step-from"):
        story_of([row(None, checkpoint="best.pt")])


def test_rows_of_two_runs_are_refused():
    with pytest.raises(DetectorsError, match="several tasks, add:11, add:13"):
        story_of([row(0), row(1, task="add:13")])
    with pytest.raises(DetectorsError, match="rows of step 0 are of different weights"):
        story_of([row(0), row(0, sha256="another", checkpoint="b.pt")])


def test_evidence_that_is_no_json_is_none():
    assert story_of([row(0, evidence="{"), row(1, evidence="[1]")]).motifs["trig_logits"].evidence == {}


@pytest.mark.parametrize(("last", "said"), [("inconclusive", True), ("absent", False)])
def test_what_no_checkpoint_can_say_is_said_once_with_its_reason(last, said):
    """Motifs of one reason together, and as the last checkpoint has it."""
    few = "30 labelled pairs are unseen"
    table = [
        row(step, name, verdict, None, reason=reason)
        for name in ("generalisation", "memorisation")
        for step, verdict, reason in ((0, "inconclusive", "none yet"), (10, last, few))
    ]
    story = story_of(table)
    sentence = f"Not to be said at any checkpoint: generalisation, memorisation ({few})."
    assert (sentence in story.telling) == said
    assert (story.motifs["generalisation"].open == few) == said
    assert "none yet" not in " ".join(story.telling)
