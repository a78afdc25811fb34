"""When it happened: rules on sequences of verdicts and figures, and what must not change them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.core.phases import training_phase
from detectors.series.events import gaps, lead, lost, onset, phases, rise
from detectors.series.story import Course, Story
from detectors.series.telling import told

STEPS = st.lists(st.integers(0, 10**12), min_size=2, max_size=30, unique=True).map(sorted)


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ("ooo###o", (20, 30)),  # three times running are enough, whatever comes after
        ("o##o##o", None),  # twice is not, where it does not last
        ("ooooo#", (40, 50)),  # once, at the end
        ("oo##", (10, 20)),
        ("###", (None, 0)),  # from the first checkpoint: nothing is before
        ("#", (None, 0)),
        ("o", None),
        ("", None),
        ("oo?###", (10, 30)),  # the checkpoint that was not scored is inside the interval
        ("o#?##o", (0, 10)),  # nor does it break a run
        ("??", None),
    ],
)
def test_an_onset_is_the_first_of_three_or_lasts_to_the_end(there, expected):
    verdicts = [{"o": False, "#": True, "?": None}[sign] for sign in there]
    assert onset([10 * i for i in range(len(there))], verdicts) == expected


@given(STEPS, st.data())
def test_subsampling_moves_an_onset_by_no_more_than_the_spacing(steps, data):
    """Of verdicts that change once, from absent to present."""
    change = data.draw(st.integers(0, len(steps)))
    kept = sorted(data.draw(st.sets(st.sampled_from(range(len(steps))), min_size=1)))
    whole = onset(steps, [i >= change for i in range(len(steps))])
    part = onset([steps[i] for i in kept], [i >= change for i in kept])
    if part is None:  # the last that was kept is before the change
        assert whole is None or kept[-1] < change
        return
    assert whole is not None
    assert part[1] >= whole[1]
    before = part[0] if part[0] is not None else -1
    assert before < whole[1] <= part[1]  # the change is inside, so no further off than two neighbours are apart


@given(STEPS, st.integers(-(10**6), 10**6), st.data())
def test_a_constant_offset_moves_all_by_itself(steps, offset, data):
    verdicts = data.draw(st.lists(st.sampled_from([True, False, None]), min_size=len(steps), max_size=len(steps)))
    first, moved = onset(steps, verdicts), onset([s + offset for s in steps], verdicts)
    expected = first and tuple(None if s is None else s + offset for s in first)
    assert moved == expected
    assert lead(moved, moved) == lead(first, first)


def test_a_rise_is_over_one_half():
    assert rise([0, 1, 2], [0.1, 0.5, 0.6]) == (1, 2)
    assert rise([0, 1, 2], [None, None, None]) is None


def test_a_lead_is_at_least_and_at_most():
    assert lead((10, 20), (50, 60)) == (30, 50)
    assert lead((None, 0), (50, 60)) == (50, None)
    assert lead((50, 60), (10, 20)) == (-50, -30)
    assert lead(None, (1, 2)) is None
    assert lead((None, 4), (None, 4)) is lead((10, 20), (None, 4)) is None  # of which nobody saw the accuracy rise


@pytest.mark.parametrize(
    ("g", "m", "accuracy", "expected"),
    [
        (0.49, 0.49, 0.49, "initial"),
        (0.49, 0.5, 0.49, "memorisation"),
        (0.5, 0.9, 0.49, "circuit formation"),
        (0.5, 0.1, 0.5, "cleanup"),
        (0.5, 0.09, 0.5, "generalisation"),
        (0.2, 0.05, 0.9, "generalisation"),
    ],
)
def test_phases_are_as_the_design_has_them(g, m, accuracy, expected):
    assert training_phase(g, m, accuracy) == expected


def test_a_checkpoint_of_which_a_figure_is_unknown_is_in_no_phase():
    found = phases([0, 1, 2, 3], [0.0, None, 0.0, 0.9], [0.9, 0.9, 0.9, 0.0], [0.0, 0.0, 0.0, 1.0])
    assert [(p.phase, p.start, p.end) for p in found] == [("memorisation", 0, 2), ("generalisation", 3, 3)]
    assert found[0].model_dump(by_alias=True) == {"phase": "memorisation", "from": 0, "to": 2}


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ([True, True, False], (10, 20)),
        ([True, False, True], None),
        ([False, False, False], None),
        ([False, True, None, False], (10, 30)),
        ([True, False, False, None], (0, 10)),
        ([None, None], None),
        ([True, None], None),
    ],
)
def test_what_is_lost_is_lost_for_good(there, expected):
    assert lost([10 * i for i in range(len(there))], there) == expected


def test_a_circuit_that_is_lost_again_is_told():
    accuracy = [0.0, 1.0, 1.0, 1.0, 0.2]
    verdict = ["absent", "present", "present", "present", "absent"]
    none = [None] * 5
    course = Course(value=accuracy, verdict=verdict, p_adjusted=none, necessity=none, sufficiency=none, control=none)
    splits = {"all": accuracy, "train": [1.0] * 5, "test": accuracy, "unseen": accuracy}
    kept, story = course.model_copy(update={"verdict": [*verdict[:4], "inconclusive"]}), {"steps": [0, 10, 20, 30, 40]}
    told_of = " ".join(told(Story(**story, accuracy=splits, motifs={"generalisation": course})).telling)
    assert "falls under one half again between 30 and 40, and ends at 0.200" in told_of
    assert "generalisation is absent again between 30 and 40" in told_of
    assert "again" not in " ".join(
        told(Story(**story, accuracy={**splits, "unseen": [0.0, *[1.0] * 4]}, motifs={"generalisation": kept})).telling
    )


def test_what_is_lost_and_comes_back_is_a_gap():
    """Two checkpoints or more without it, between its onset and one that has it again; one alone may flicker."""
    there, gone = [True] * 3, [False] * 2
    assert gaps(range(10), [False, *there, *gone, *there, True]) == [(4, 5)]
    assert gaps(range(12), [*there, *gone, *there, False, *there]) == [(3, 4)]
    assert gaps(range(8), [*there, *gone, *there]) == [(3, 4)]
    assert gaps(range(5), [*there, *gone]) == []  # lost for good
    assert gaps(range(8), [*there, None, False, None, *gone]) == []
    assert gaps(range(5), [False] * 5) == []


@pytest.mark.parametrize("dip", [1.0, 0.4], ids=["both", "one dip of unseen pairs"])
def test_what_comes_back_is_told_and_a_dip_makes_no_echoes(dip):
    """Echoes are where test pairs are answered and unseen ones are not."""
    accuracy, none = [0.0, *[1.0] * 3, 0.0, 0.0, *[1.0] * 3], [None] * 9
    verdict = ["present" if a else "absent" for a in accuracy]
    course = Course(value=accuracy, verdict=verdict, p_adjusted=none, necessity=none, sufficiency=none, control=none)
    splits = {"all": accuracy, "train": [1.0] * 9, "test": accuracy, "unseen": [*accuracy[:3], dip, *accuracy[4:]]}
    story = Story(steps=list(range(0, 90, 10)), accuracy=splits, motifs={"generalisation": course})
    said = " ".join(told(story).telling)
    assert ("It is under one half from 40 to 50, and comes back." in said) == (dip == 1)
    assert "generalisation is absent from 40 to 50, and comes back." in said
    assert "echoes" not in said
