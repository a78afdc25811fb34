"""The decision table row by row, its parts and its clauses."""

import math

import pytest

from detectors.core.score import Score
from detectors.judging import summary
from detectors.judging.summary import PARTS, TABLE, summarise
from tests.judging.conftest import UNKNOWN, case_of

HALF = {"all": 0.7, "train": 1.0, "test": 0.25, "loss": 2.0}
SETTLED = {"evidence": {"generalisation": {"basis": "all_pairs", "train_set": "unknown", "train_fraction": None}}}
FEW_UNSEEN = {"cases": (49, 40, 0, 9)}
G_OPEN = {"generalisation": "inconclusive"}
# verdicts by motif, or what evidence is changed; task; figures; the sentence
ROWS = [
    (
        {},
        {"subject": "sequences", "group": None},
        {"all": 0.987},
        "It answers 98.7% of what its sequences ask.",
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
        "memorised of the training pairs outweighs it.",
    ),
    (
        {"generalisation": "present", "memorisation": "inconclusive", "trig_logits": "present"},
        {},
        HALF,
        "It answers all its training pairs and 25.0% of the others: half-way, a structured part of the logits "
        "(frequencies 3, 5) would answer unseen pairs by itself, and something else outweighs it there; whether its "
        "training pairs are looked up stays open.",
    ),
    (
        {"generalisation": "present", "memorisation": "absent", "trig_logits": "present"},
        {},
        HALF,
        "It answers all its training pairs and 25.0% of the others: a structured part of the logits (frequencies 3, 5) "
        "would answer unseen pairs by itself, but something else outweighs it.",
    ),
    (
        {"generalisation": "present", "trig_logits": "absent", "sparse_fourier_embedding": "absent"},
        {"evidence": {"trig_logits": {"explained_test_pairs": 0.139, "concentration": 0.4}}},
        {},
        "It answers every pair: a part (13.9%) of its logits answers unseen pairs by itself, by few irreps, but too "
        "faint to be called a circuit of the known form.",
    ),
    (
        {"generalisation": "present", "trig_logits": "absent", "sparse_fourier_embedding": "absent"},
        {"evidence": {"trig_logits": {"explained_test_pairs": 0.034, "concentration": 0.1}}},
        {},
        "It answers every pair: a part (3.4%) of its logits answers unseen pairs by itself, but its spectrum is none "
        "of few irreps, so this is no circuit of the known form.",
    ),
    (
        {"generalisation": "present", "trig_logits": "absent", "trig_product_neurons": "present"},
        {"evidence": {"trig_logits": {"explained_test_pairs": 0.46, "concentration": 0.39}}},
        {},
        "It answers every pair: a part (46.0%) of its logits answers unseen pairs by itself, in no spectrum of few "
        "irreps, carried by its neurons (without them 25% of the right answers stay).",
    ),
    (
        {"generalisation": "present", "trig_logits": "present", "memorisation": "present"},
        {},
        {"all": 0.9, "test": 0.8},
        "It answers all its training pairs and 80.0% of the others by a generalising circuit: its logits are a "
        "function of a+b-c (frequencies 3, 5); yet of the margin by which its training pairs are answered 35% is "
        "looked up (M 0.35).",
    ),
    (
        {"generalisation": "present", "trig_logits": "present"},
        {"split": "unknown", **SETTLED},
        UNKNOWN,
        "It answers every pair by a generalising circuit: its logits are a function of a+b-c (frequencies 3, 5); "
        "unless next to all pairs were trained on, which is not known.",
    ),
    (
        {"generalisation": "absent", "memorisation": "present", "trig_logits": "present"},
        {},
        {"all": 0.4, "test": 0.0},
        "It answers all its training pairs and none of the others: memorised, its training pairs are looked up, "
        "and nothing that would answer others shows, although part of its logits (frequencies 3, 5) carries over to "
        "unseen pairs.",
    ),
    (
        {"generalisation": "absent", "memorisation": "present"},
        {},
        {"all": 0.9, "test": 0.6, "unseen": 0.0, "cases": (49, 34, 10, 5)},
        "It answers all its training pairs and none of those seen in neither order: memorised, its training pairs are "
        "looked up, and nothing that would answer others shows.",
    ),
    (
        {"generalisation": "absent", "memorisation": "absent"},
        {},
        {"all": 1 / 7, "loss": 2.0, **UNKNOWN},
        "It answers 14.3% of the pairs: neither a circuit nor a lookup table; it answers at chance, as an untrained "
        "model does.",
    ),
    (
        G_OPEN | {"trig_logits": "absent"},
        {"split": "doubted"},
        {},
        "It answers every pair; why generalisation.",
    ),
    (
        G_OPEN | {"trig_logits": "present"},
        {"split": "unknown", "evidence": {"trig_logits": {"explained_test_pairs": None}}},
        UNKNOWN,
        "It answers every pair, and 50% of its logits are a function of a+b-c (frequencies 3, 5); how much of it is "
        "memorised stays open, as the training pairs are not known.",
    ),
    (
        G_OPEN | {"trig_logits": "absent", "trig_product_neurons": "absent"},
        {"split": "unknown"},
        UNKNOWN,
        "It answers every pair; no circuit of the known form shows in its logits, and what carries over stays open, as "
        "the training pairs are not known.",
    ),
    (
        G_OPEN | {"trig_logits": "absent", "trig_product_neurons": "present"},
        {},
        FEW_UNSEEN,
        "It answers every pair; what carries over to unseen pairs stays open, as only 9 pairs are unseen.",
    ),
    ({}, {"subject": "words"}, {}, "Rows of words, of which nothing is asked."),
    (
        {},
        {"subject": "features", "about": "of 5 features in 2 dimensions"},
        {"loss": 0.0123},
        "An autoencoder of 5 features in 2 dimensions, expected loss 1.23e-02.",
    ),
    ({"trig_logits": "error"}, {}, {}, "It answers every pair; trig_logits error."),
    ({}, {}, {}, "It answers every pair; no detector was run."),
]


@pytest.mark.parametrize(("verdicts", "of", "shown", "sentence"), ROWS)
def test_every_row_gives_its_sentence(made, verdicts, of, shown, sentence):
    assert summarise(*case_of(made, verdicts, of, shown)) == sentence


def test_every_row_is_reached_by_the_rows_above(made):
    reached = set()
    for verdicts, of, shown, _ in ROWS:
        found, task, figures = case_of(made, verdicts, of, shown)
        facts = summary._facts(summary.Case({d.detector: d for d in found}, task, figures)) | verdicts
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
        (("inert", 0.0), ("absent", None), "; the same structure in its embedding is not needed"),
        (
            ("inert", 0.0),
            ("present", 1.0),
            "of the right answers stay); the same structure in its embedding is not needed",
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
        (2.99 / 7, 0.81 * math.log(7), "at chance, as an untrained"),
        (2.99 / 7, math.log(3.5), "yet its loss is that of a choice among 3.5 answers of 7, as that of a circuit of a"),
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
    assert summarise(found, task(), figures()).endswith("stays open, as why generalisation.")
    monkeypatch.setattr(type(found[1]), "clause", property(lambda d: f"{d.detector} is loud"))
    assert summarise(found, task(), figures()).endswith("as why generalisation; sparse_fourier_embedding is loud.")


def test_a_score_is_restored_before_its_clause_is_asked_for(made):
    detection, *_ = made
    assert detection("trig_logits", "present").clause == "frequencies 3, 5"
    assert isinstance(detection("trig_logits", "present").scored, Score)
