"""The decision table of algorithms row by row, and the rungs of claims."""

import pytest

from detectors.judging import explain as explaining
from detectors.judging.explain import ALGORITHMS, DISC, RUNGS, TORUS, explain
from tests.judging.conftest import case_of

G = {"generalisation": "present"}
HALF = {"all": 0.7, "train": 1.0, "test": 0.25}


def how(*concentrations, energies=None):
    weighed = {"phase_concentrations": concentrations, "energies": energies or [1.0] * len(concentrations)}
    return {"evidence": {"addition_mechanism": {"weighed": weighed}}}


# verdicts, task and changed evidence, figures, the algorithm, and its row
ROWS = [
    ({"induction_heads": "present"}, {"subject": "sequences", "group": None}, {}, "attention circuit", 0),
    ({"superposition_geometry": "present"}, {"subject": "features", "group": None}, {}, "superposition", 1),
    ({"number_helix": "present"}, {"subject": "words", "group": None}, {}, "geometry of concepts", 2),
    ({"superposition_geometry": "inconclusive"}, {"subject": "features", "group": None}, {}, "open", 3),
    ({"induction_heads": "inert", "mirror_heads": "error"}, {"subject": "sequences", "group": None}, {}, "open", 3),
    ({"superposition_geometry": "inert"}, {"subject": "features", "group": None}, {}, "none known", 4),
    ({"induction_heads": "absent"}, {"subject": "sequences", "group": None}, {}, "none known", 5),
    ({"superposition_geometry": "absent"}, {"subject": "features", "group": None}, {}, "none known", 6),
    ({"number_helix": "absent"}, {"subject": "words", "group": None}, {}, "none known", 7),
    ({}, {"spec": "max:7", "group": None}, {}, "none known", 8),
    (G | {"memorisation": "present"}, {}, HALF, "half-way", 9),
    (G | {"memorisation": "absent"}, {}, HALF, "another", 10),
    (G | {"addition_mechanism": "present"}, how(0.93), {}, "disc", 11),
    (G | {"addition_mechanism": "present"}, how(DISC), {}, "disc", 11),
    (G | {"addition_mechanism": "present"}, how(0.05), {}, "torus", 12),
    (G | {"addition_mechanism": "present"}, how(TORUS), {}, "torus", 12),
    (G | {"addition_mechanism": "present"}, how(0.5), {}, "between disc and torus", 13),
    (G | {"addition_mechanism": "present"}, how(0.95, 0.05, energies=(0.85, 0.15)), {}, "between disc and torus", 13),
    (G | {"addition_mechanism": "present"}, how(0.95, 0.05, energies=(0.92, 0.08)), {}, "disc", 11),
    (G | {"addition_mechanism": "present"}, how(0.05, None, energies=(0.3, 0.7)), {}, "torus", 12),
    (G | {"addition_mechanism": "present", "trig_logits": "present"}, how(None), {}, "representation circuit", 15),
    (G | {"coset_neurons": "present"}, {"spec": "compose:S4", "group": "S4"}, {}, "coset circuit", 14),
    (G | {"coset_neurons": "absent", "trig_logits": "present"}, {"group": "S4"}, {}, "representation circuit", 15),
    (G | {"addition_mechanism": "absent", "trig_logits": "present"}, how(0.93), {}, "representation circuit", 15),
    (G | {"trig_logits": "absent"}, {}, {}, "another", 16),
    ({"generalisation": "absent", "memorisation": "present"}, {}, HALF, "memorised", 17),
    ({"generalisation": "absent", "memorisation": "absent", "trig_logits": "present"}, {}, HALF, "none known", 18),
    ({"generalisation": "inconclusive", "trig_logits": "present"}, {}, {}, "open", 19),
    ({"trig_logits": "present"}, {}, {}, "open", 19),
]


@pytest.mark.parametrize(("verdicts", "of", "shown", "name", "row"), ROWS)
def test_every_row_gives_its_algorithm(made, verdicts, of, shown, name, row):
    found = explain(*case_of(made, verdicts, of, shown))
    assert found.algorithm == name == ALGORITHMS[row].name
    assert found.meaning == ALGORITHMS[row].meaning


def test_every_row_is_reached():
    assert {row for *_, row in ROWS} == set(range(len(ALGORITHMS)))


def test_a_memoriser_with_a_disc_in_its_first_layer_is_no_disc(made):
    verdicts = {"generalisation": "absent", "memorisation": "present", "addition_mechanism": "present"}
    assert explain(*case_of(made, verdicts, how(0.99), HALF)).algorithm == "memorised"


def test_claims_stand_on_the_rung_that_was_reached(made):
    """With a cause, on necessary and sufficient; without one, where the motif is seen."""
    detection, task, figures = made
    found = [
        detection("sparse_fourier_embedding", "present", necessity=0.75),
        detection("trig_product_neurons", "present"),
        detection("addition_mechanism", "present"),
        detection("generalisation", "present"),
    ]
    rungs = {c.motif: c.rung for c in explain(found, task(), figures()).claims}
    assert rungs == {
        "sparse_fourier_embedding": "necessary and sufficient",
        "trig_product_neurons": RUNGS[1],
        "addition_mechanism": RUNGS[1],
        "generalisation": RUNGS[2],
    }
    (embedding, *_) = explain(found, task(), figures()).claims
    assert "without it 25% of the right answers stay" in embedding.figures
    assert "with it alone 100%" in embedding.figures


def test_figures_stand_once(made):
    """The reason of a head has them again, each under another name."""
    detection, task, figures = made
    reason = "score 0.45, threshold 0.14; of head 1.2, adjusted p 0.018, necessity 0.54, control 0.02; present too: 1.1"
    judged = detection("induction_heads", "present", reason=reason, necessity=0.54)
    (claim,) = explain([judged], task(subject="sequences", group=None), figures()).claims
    assert claim.figures.endswith("; of head 1.2; present too: 1.1")
    assert "necessity" not in claim.figures


def test_of_an_embedding_without_a_cause_it_was_seen_in_the_weights(made):
    detection, task, figures = made
    inert = detection("sparse_fourier_embedding", "inert", necessity=0.0)
    found = explain([inert, detection("generalisation", "present")], task(), figures())
    assert [(c.motif, c.rung) for c in found.unused] == [("sparse_fourier_embedding", RUNGS[0])]
    assert "not needed" in found.unused[0].figures


def test_what_is_ruled_out_says_how_surely(made):
    """With the rates of the threshold that it was judged by, and none of another's."""
    detection, task, figures = made
    row = explaining.rates.__globals__["calibration"]()["rows"]["memorisation"]
    judged = detection("memorisation", "absent", threshold=row["threshold"])
    other = detection("trig_logits", "absent", threshold=0.987)
    first, second = explain([judged, other, detection("generalisation", "present")], task(), figures()).ruled_out
    hits = row["true_positives"]["verdict"]
    assert f"found in {hits['count']} of {hits['of']}" in first.rung
    assert second.rung == "no error rates are known"


def test_what_is_open_has_its_reason(made):
    detection, task, figures = made
    found = [detection("generalisation", "inconclusive", score=None), detection("trig_logits", "error", score=None)]
    assert [(c.motif, c.figures) for c in explain(found, task(), figures()).unknown] == [
        ("generalisation", "why generalisation"),
        ("trig_logits", "why trig_logits"),
    ]


def test_a_claim_says_what_it_assumes_and_the_p_value_that_decided(made):
    """Of a model whose training pairs are not known nothing is said of unseen ones without that."""
    detection, task, figures = made
    reason = "score 1.000, adjusted p 0.025; settled on all pairs"
    judged = detection("generalisation", "present", reason=reason, p_value=0.005, p_adjusted=0.025)
    found = explain([judged], task(), figures())
    assert found.claims[0].figures.endswith("; settled on all pairs")
    assert "adjusted p 0.025" in found.claims[0].figures
    assert "0.005" not in found.claims[0].figures
