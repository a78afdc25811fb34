"""The decision table row by row, its parts, its clauses, and what a reader is told to doubt."""

import math

import pytest

from detectors.core.score import Score
from detectors.judging import summary
from detectors.judging.summary import PARTS, TABLE, notes, summarise

HALF = {"all": 0.7, "train": 1.0, "test": 0.25, "loss": 2.0}
# verdicts by motif; task; figures; the sentence
ROWS = [
    (
        {},
        {"subject": "sequences", "group": None},
        {"all": 0.987},
        "It predicts 98.7% of the tokens that the context determines.",
    ),
    (
        {},
        {"spec": "infer", "group": None},
        {},
        "Its answers follow no group's table, so the group motifs do not apply; which task it learnt stays open.",
    ),
    (
        {},
        {"spec": "max:7", "group": None},
        {},
        "It answers every pair; the task has no group behind it, so the group motifs do not apply.",
    ),
    (
        {"generalisation": "present", "memorisation": "present", "trig_logits": "present"},
        {},
        HALF,
        "It answers all its training pairs and 25.0% of the others: half-way, the circuit is there and drowned: a "
        "structured part of the logits (frequencies 3, 5) would answer unseen pairs by itself, but what is "
        "memorised of the "
        "training pairs outweighs it.",
    ),
    (
        {"generalisation": "present", "trig_logits": "absent", "memorisation": "absent"},
        {},
        {},
        "It answers every pair: a faint part (3.4%) of its logits would answer unseen pairs by itself, but "
        "they are not "
        "characters of a+b-c, so this is no circuit of the known form.",
    ),
    (
        {"generalisation": "present", "trig_logits": "present", "memorisation": "present"},
        {},
        {"all": 0.9, "test": 0.8},
        "It answers all its training pairs and 80.0% of the others by a generalising circuit: its logits "
        "are a function of "
        "a+b-c (frequencies 3, 5); yet what is left of its logits without that still tells training pairs from others "
        "(M 0.35).",
    ),
    (
        {"generalisation": "absent", "memorisation": "present", "trig_logits": "present"},
        {},
        {"all": 0.4, "test": 0.0},
        "It answers all its training pairs and none of the others: memorised, its training pairs are looked "
        "up and nothing "
        "it holds generalises, although part of its logits (frequencies 3, 5) carries over to unseen pairs.",
    ),
    (
        {"generalisation": "absent", "memorisation": "present"},
        {},
        {"all": 0.4, "train": None, "test": None},
        "It answers 40.0% of the pairs: memorised, its training pairs are looked up and nothing it holds generalises.",
    ),
    (
        {"generalisation": "absent", "memorisation": "absent"},
        {},
        {"all": 1 / 7, "train": None, "test": None, "loss": 2.0},
        "It answers 14.3% of the pairs: neither a circuit nor a lookup table; it answers at chance, as an "
        "untrained model "
        "does.",
    ),
    (
        {"generalisation": "inconclusive", "trig_logits": "present"},
        {"split": "unknown"},
        {},
        "It answers every pair, with logits that are a function of a+b-c (frequencies 3, 5); how much of it "
        "is memorised "
        "stays open without the training pairs.",
    ),
    (
        {"generalisation": "inconclusive", "trig_logits": "absent"},
        {"split": "doubted"},
        {},
        "It answers every pair; why generalisation.",
    ),
    (
        {"generalisation": "inconclusive", "trig_logits": "absent"},
        {"split": "unknown"},
        {},
        "It answers every pair; no circuit of the known form shows in its logits without the training pairs.",
    ),
    ({"trig_logits": "error"}, {}, {}, "It answers every pair; trig_logits error."),
    ({}, {}, {}, "It answers every pair; no detector was run."),
]


@pytest.mark.parametrize(("verdicts", "of", "shown", "sentence"), ROWS)
def test_every_row_gives_its_sentence(made, verdicts, of, shown, sentence):
    detection, task, figures = made
    found = [detection(name, verdict) for name, verdict in verdicts.items()]
    assert summarise(found, task(**of), figures(**shown)) == sentence


def test_every_row_is_reached_by_the_rows_above(made):
    detection, task, figures = made
    reached = set()
    for verdicts, of, shown, _ in ROWS:
        case = summary.Case({n: detection(n, v) for n, v in verdicts.items()}, task(**of), figures(**shown))
        facts = summary._facts(case) | verdicts
        reached.add(next(i for i, row in enumerate(TABLE) if all(facts.get(k) == v for k, v in row.when.items())))
    assert reached == set(range(len(TABLE)))


@pytest.mark.parametrize(
    ("of", "form"),
    [
        ({"spec": "add:7"}, "a+b-c"),
        ({"spec": "infer=sub:7"}, "a-b-c"),
        ({"spec": "mul:8"}, "log a + log b - log c"),
        ({"spec": "div:8"}, "log a - log b - log c"),
        ({"spec": "table:t.npy"}, "a+b-c (relabelled)"),
        ({"spec": "compose:C2xC4", "group": "C2xC4"}, "a b c^-1"),
        ({"spec": "compose:S4", "group": "S4"}, "a b c^-1"),
    ],
)
def test_the_form_of_a_group(made, of, form):
    _, task, figures = made
    assert PARTS["form"](summary.Case({}, task(**of), figures())) == form


@pytest.mark.parametrize(
    ("share", "said"),
    [(1, "all"), (0, "none of"), (0.9999, "99.9% of"), (1e-6, "0.1% of"), (0.5, "50.0% of"), (0.0004, "0.1% of")],
)
def test_a_share_is_never_rounded_to_all_or_none(share, said):
    assert summary._percent(share) == said


@pytest.mark.parametrize(
    ("embedding", "neurons", "said"),
    [
        (
            ("present", 0.99),
            ("present", 0.5),
            ", carried by its embedding and neurons (without them 1% and 50% of the right",
        ),
        (("absent", None), ("present", 0.75), ", carried by its neurons (without them 25% of the right answers stay)"),
        (("inert", 0.0), ("absent", None), "; the same structure in its embedding is not used"),
        (
            ("inert", 0.0),
            ("present", 1.0),
            "of the right answers stay); the same structure in its embedding is not used",
        ),
        (("absent", None), ("inconclusive", None), ""),
    ],
)
def test_what_carries_it(made, embedding, neurons, said):
    detection, task, figures = made
    parts = {"sparse_fourier_embedding": embedding, "trig_product_neurons": neurons}
    found = {name: detection(name, verdict, necessity=share) for name, (verdict, share) in parts.items()}
    text = PARTS["carriers"](summary.Case(found, task(), figures()))
    assert said in text
    assert bool(text) == bool(said)


def test_a_part_of_unknown_size_is_a_part(made):
    detection, task, figures = made
    unknown = detection("trig_logits", "absent", evidence={"explained_test_pairs": None})
    assert PARTS["faint"](summary.Case({"trig_logits": unknown}, task(), figures())) == "a part"


@pytest.mark.parametrize(
    ("accuracy", "loss", "said"),
    [
        (2.99 / 7, 1.49 * math.log(7), "at chance, as an untrained"),
        (2.99 / 7, 1.51 * math.log(7), "certain of other answers"),
        (3 / 7, 9.0, "not of the forms"),
    ],
)
def test_what_is_neither_is_told_by_luck_and_certainty(made, accuracy, loss, said):
    _, task, figures = made
    assert said in PARTS["neither"](summary.Case({}, task(), figures(all=accuracy, loss=loss)))


@pytest.mark.parametrize(("train", "test"), [(None, 0.5), (0.5, None), (None, None)])
def test_what_is_known_of_one_side_alone_is_not_said(made, train, test):
    _, task, figures = made
    case = summary.Case({}, task(), figures(all=0.5, train=train, test=test))
    assert PARTS["answers"](case) == "It answers 50.0% of the pairs"


def test_half_way_ends_where_most_other_pairs_are_answered(made):
    detection, task, figures = made
    found = [detection(name, "present") for name in ("generalisation", "memorisation")]
    assert "drowned" in summarise(found, task(), figures(all=0.7, test=0.49))
    assert "drowned" not in summarise(found, task(), figures(all=0.7, test=0.5))


def test_a_motif_that_no_row_places_adds_its_own_clause(made, monkeypatch):
    detection, task, figures = made
    found = [detection("generalisation", "inconclusive", version=0), detection("sparse_fourier_embedding", "present")]
    assert summarise(found, task(), figures()).endswith("sparse_fourier_embedding present.")
    monkeypatch.setattr(type(found[1]), "clause", property(lambda d: f"{d.detector} is loud"))
    assert summarise(found, task(), figures()).endswith(
        "sparse_fourier_embedding present; sparse_fourier_embedding is loud."
    )


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


def test_a_score_is_restored_before_its_clause_is_asked_for(made):
    detection, *_ = made
    assert detection("trig_logits", "present").clause == "frequencies 3, 5"
    assert isinstance(detection("trig_logits", "present").scored, Score)
