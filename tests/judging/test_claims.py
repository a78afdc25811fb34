"""Sentences are claims: over every combination of verdicts, what must never be said."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

import detectors
from detectors.core.verdict import Verdict
from detectors.judging.summary import summarise
from models_zoo.cards import cards, expected
from models_zoo.draws import FAMILIES, drawn
from tests.judging.claims import false_claims
from tests.judging.conftest import UNKNOWN, case_of

MOTIFS = ("generalisation", "memorisation", "trig_logits", "sparse_fourier_embedding", "trig_product_neurons")
VERDICTS = ("present", "absent", "inconclusive")
EVERY = [dict(zip(MOTIFS, row, strict=True)) for row in product(VERDICTS, repeat=len(MOTIFS))]


@pytest.mark.parametrize("share", [0.0, 0.5, 0.8999, 0.9, 1.0])
def test_logits_are_a_function_of_the_sum_only_with_their_share(made, share):
    """Whichever figure there is: of unseen pairs, of all, or the structured share where no trig_logits was run."""
    for evidence in ({"explained_test_pairs": share}, {"explained_test_pairs": None, "explained_all_pairs": share}):
        for verdicts in EVERY:
            said = summarise(*case_of(made, verdicts, {"evidence": {"trig_logits": evidence}}, {}))
            if "a function of a+b-c" in said:
                assert (f"{share:.0%} of its logits are a function" in said) == (share < 0.9)
    of = {"evidence": {"generalisation": {"structured_share": share}}}
    said = summarise(*case_of(made, {"generalisation": "present"}, of, {}))
    assert (f"{share:.0%} of its logits are a function" in said) == (share < 0.9)


@pytest.mark.parametrize("cases", [(49, 20, 0, 29), (49, 20, 10, 19), (49, 40, 0, 9)])
def test_training_pairs_that_were_given_are_not_called_unknown(made, cases):
    for verdicts, unseen in product(EVERY, (0.1, 1.0)):
        said = summarise(*case_of(made, verdicts, {"split": "given"}, {"all": 0.9, "unseen": unseen, "cases": cases}))
        assert "not known" not in said
        assert "without the training pairs" not in said


def test_where_embedding_or_neurons_are_present_a_known_form_is_not_denied(made):
    for verdicts, split in product(EVERY, ("given", "unknown", "inferred", "doubted")):
        said = summarise(*case_of(made, verdicts, {"split": split}, {}))
        if "present" in (verdicts["sparse_fourier_embedding"], verdicts["trig_product_neurons"]):
            assert "no circuit of the known form" not in said


@pytest.mark.parametrize(
    ("of", "shown"),
    [
        ({}, {"all": 0.6, "test": 0.49}),
        ({}, {"all": 0.9, "test": 0.8, "unseen": 0.0, "cases": (49, 34, 10, 5)}),  # echoes alone are answered
        # inferred training pairs have no accuracy of their own: 40% of the pairs were taken for them, 60% are right
        ({"split": "inferred"}, {"all": 0.6, **UNKNOWN}),
    ],
)
def test_a_circuit_that_does_not_win_is_not_what_answers(made, of, shown):
    for verdicts in EVERY:
        assert "by a generalising circuit" not in summarise(*case_of(made, verdicts, of, shown))


def test_a_circuit_of_inferred_training_pairs_may_answer_the_others(made):
    verdicts = {"generalisation": "present", "trig_logits": "present"}
    assert "by a generalising circuit" in summarise(
        *case_of(made, verdicts, {"split": "inferred"}, {"all": 0.8, **UNKNOWN})
    )


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, ""),
        (1, "; yet 1 pair is answered otherwise than by it, such as (1, 2) to 6."),
        (4, "; yet 4 pairs are answered otherwise than by it, such as (1, 2) to 6, (2, 1) to 6, (3, 3) to 5."),
        (5, ""),  # more than a tenth of 49 pairs are no exceptions
    ],
)
def test_exceptions_are_counted_and_named(made, count, said):
    pairs = [[1, 2, 6, 3], [2, 1, 6, 3], [3, 3, 5, 6], [0, 1, 4, 1], [5, 5, 2, 3]][:count]
    of = {"evidence": {"generalisation": {"exceptions": count, "exception_pairs": pairs}}}
    for verdicts in (
        {"generalisation": "present", "trig_logits": "present"},
        {"generalisation": "present", "trig_logits": "absent"},
        {"generalisation": "present", "trig_logits": "absent", "trig_product_neurons": "present"},
    ):
        sentence = summarise(*case_of(made, verdicts, of, {}))
        assert sentence.endswith(said or ".")
        assert ("answered otherwise" in sentence) == bool(said)


def test_what_is_open_for_another_reason_is_not_for_want_of_unseen_pairs(made):
    """A calibration that does not judge, or draws too few, with a score at hand."""
    detection, task, figures = made
    for split in ("given", "unknown", "inferred"):
        reason = "the calibration is of another zoo than the one installed: `make calibrate` makes it anew"
        found = [detection("generalisation", "inconclusive", score=1.0, reason=reason)]
        said = summarise(found, task(split=split), figures())
        assert said.endswith("stays open, as the calibration is of another zoo than the one installed.")


@pytest.mark.wide
@pytest.mark.parametrize("family", FAMILIES)
def test_no_sentence_on_a_draw_claims_what_its_figures_deny(family):
    report = detectors.run(drawn(family, np.random.default_rng([7, len(family)]))[0])
    assert false_claims(report) == []


GROUPS = [n for n, c in cards().items() if len(set(expected(c)) & set(MOTIFS)) > 2 and c["family"] != "series"]


@pytest.mark.sampled(24)
@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize(
    "name", [n if i % 4 == 0 else pytest.param(n, marks=pytest.mark.deep) for i, n in enumerate(GROUPS)]
)
def test_no_sentence_on_a_member_of_the_zoo_claims_what_its_figures_deny(name, told):
    view = detectors.load(f"zoo:{name}")
    assert false_claims(detectors.run(view if told else view.with_train_mask(None))) == []


def test_false_claims_are_found():
    """A report whose figures are changed under its sentence."""
    report = detectors.run(detectors.load("zoo:add53_grokked"))
    assert false_claims(report) == []
    weak = report["trig_logits"].model_copy(update={"evidence": {"explained_test_pairs": 0.5}})
    absent = report["generalisation"].model_copy(update={"verdict": Verdict.ABSENT})
    changed = report.model_copy(update={"detections": [*report.detections[:2], weak, absent, report.detections[4]]})
    assert [claim.split(":")[0] for claim in false_claims(changed)] == [
        "all of the logits are a function",
        "a circuit, though it is not present",
    ]
    less = report.model_copy(update={"accuracy": replace(report.accuracy, all=0.9, unseen=0.1)})
    assert len(false_claims(less)) == 2
