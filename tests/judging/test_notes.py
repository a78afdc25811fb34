"""What a reader is told to doubt: a split, a task, an option that was assumed."""

import math

import pytest

from detectors.judging.notes import notes


def told(made, of=None, shown=None, found=(), architecture=None):
    _, task, figures = made
    return notes(list(found), task(**of or {}), figures(**shown or {}), architecture or {})


def test_nothing_is_doubted_without_a_reason(made):
    assert told(made) == []
    assert told(made, {"subject": "sequences", "spec": "infer"}, {"all": 0.0, "loss": 99.0}) == []


@pytest.mark.parametrize(
    ("train", "test", "all_", "doubted"),
    [
        (0.50, 0.451, 0.5, True),
        (0.50, 0.449, 0.5, False),
        (0.50, 0.45, 0.43, True),
        (0.50, 0.47, 3 / 7, False),  # no more than luck
        (0.95, 0.95, 0.949, True),
        (0.95, 0.95, 0.951, False),
        (None, 0.5, 0.5, False),
        (0.5, None, 0.5, False),
    ],
)
def test_a_split_is_doubted_where_both_sides_are_answered_alike(made, train, test, all_, doubted):
    found = told(made, shown={"all": all_, "train": train, "test": test})
    assert [("no better than the others" in note) for note in found] == [True] * doubted


@pytest.mark.parametrize("split", ["given", "inferred", "unknown", "doubted"])
def test_a_doubted_split_is_said_of_every_motif(made, split):
    found = told(made, {"split": split})
    assert ["every motif is judged without them" in note for note in found] == [True] * (split == "doubted")


@pytest.mark.parametrize(
    ("n", "accuracy", "loss", "doubted"),
    [
        (7, 2.9 / 7, 1.51, True),
        (7, 2.9 / 7, 1.49, False),
        (7, 3.1 / 7, 9, False),
        (100, 0.099, 2, True),
        (100, 0.1, 2, False),
    ],
)
def test_a_task_is_doubted_where_the_model_is_certain_and_wrong(made, n, accuracy, loss, doubted):
    shown = {"all": accuracy, "train": None, "test": None, "loss": loss * math.log(n)}
    found = told(made, {"n_answers": n}, shown)
    assert [("confident and wrong" in note) for note in found] == [True] * doubted


def test_what_was_inferred_is_said(made):
    detection, *_ = made
    inferred = detection("memorisation", "present", evidence={"train_set": "inferred", "train_fraction": 0.4})
    assert "the 40.0% of the pairs" in told(made, found=[detection("trig_logits", "absent"), inferred])[0]
    assert told(made, found=[detection("memorisation", "present")]) == []
    assert "against themselves" in told(made, {"spec": "infer"})[0]
    assert "read off the model's own answers" in told(made, {"spec": "infer=add:7"})[0]


@pytest.mark.parametrize(
    ("architecture", "assumed"),
    [
        ({"kind": "transformer", "n_ctx": 2}, True),
        ({"kind": "transformer", "n_ctx": 3}, False),
        ({"kind": "mlp", "n_ctx": 2}, False),
        ({"kind": "transformer", "n_ctx": 2, "attn_coeff": 0.0}, False),
    ],
)
def test_softmax_attention_is_an_assumption_on_two_positions(made, architecture, assumed):
    assert (
        told(made, architecture=architecture)
        == ["ordinary softmax attention is assumed; --arch attn_coeff=R says otherwise."] * assumed
    )


@pytest.mark.parametrize(("verdict", "doubted"), [("present", False), ("absent", True), ("inconclusive", True)])
def test_label_noise_is_no_wrong_split(made, verdict, doubted):
    """A circuit trained under wrong labels answers its training pairs no better than the others."""
    detection, *_ = made
    shown = {"all": 0.84, "train": 0.85, "test": 0.84, "unseen": 0.83, "cases": (49, 20, 9, 20)}
    found = told(made, shown=shown, found=[detection("generalisation", verdict)])
    assert [("no better than the others" in note) for note in found] == [True] * doubted
