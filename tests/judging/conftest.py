"""Detections, tasks and figures written down by hand."""

import pytest

from detectors.core.figures import BySplit, Counts, Figures, TaskFacts
from detectors.core.registry import load, spec_of
from detectors.core.score import Causal, Null
from detectors.judging.detection import Detection

EVIDENCE = {
    "trig_logits": {
        "irreps": ["freq_3", "freq_5"],
        "dimensions": [2, 2],
        "similarity": [0.8, 0.6],
        "key_irreps": ["freq_3", "freq_5"],
        "frequencies": [3, 5],
        "key_cuts": [0.1, 0.1],
        "explained_test_pairs": 0.95,
        "explained_all_pairs": 0.5,
        "concentration": 0.9,
        "basis": "unseen_pairs",
        "pairs": 28,
    },
    "generalisation": {
        "structured_accuracy": 1.0,
        "temperature": 1.0,
        "test_loss": 0.1,
        "chance_loss": 1.9,
        "structured_share": 0.6,
        "basis": "unseen_pairs",
        "pairs": 28,
        "exceptions": 0,
        "exception_pairs": [],
        "train_set": "given",
        "train_fraction": 0.4,
    },
    "memorisation": {
        "interval": [0.3, 0.4],
        "gain": 0.0,
        "share_train": 0.4,
        "share_unseen": 0.05,
        "right_apart": 0.1,
        "membership_advantage": 0.9,
        "remainder_accuracy_train": 0.6,
        "remainder_accuracy_test": 0.25,
        "train_set": "given",
        "train_fraction": 0.4,
        "phase": "cleanup",
    },
}


UNKNOWN = {"train": None, "test": None, "cases": (49, None, None, None)}
CARRIERS = ("sparse_fourier_embedding", "trig_product_neurons")
KINDS = ("all", "train", "echoed", "unseen")


def detection(name, verdict, *, necessity=None, evidence=None, **fields):
    causal = None
    if necessity is not None:
        causal = Causal(necessity=necessity, sufficiency=1.0, control=0.0, pairs=100, basis="all_pairs")
    null = Null(permuted="x", draws=19, mean=0.0, p_value=0.05, smallest=0.05)
    given = {
        "reason": f"why {name}",
        "score": 0.35,
        "null": null,
        "seconds": 0.0,
    }
    given |= {field: getattr(spec_of(load(name)), field) for field in ("version", "chose", "news")}
    given |= {"evidence": EVIDENCE.get(name, {}) | (evidence or {}), "causal": causal, **fields}
    return Detection(detector=name, verdict=verdict, **given)


def task(spec="add:7", **fields):
    given = {"subject": "operands", "about": "", "split": "given", "n_tokens": 7, "n_answers": 7, "pairs": 49}
    return TaskFacts(**given | {"spec": spec, "group": "C7", "order": 7, "note": "", **fields})


def figures(all=1.0, train=1.0, test=1.0, loss=0.0, unseen=None, cases=(49, 20, 0, 29)):
    """unseen: by default as test. cases: how many pairs of all, train, echoed, unseen."""
    by = BySplit(all=all, train=train, test=test, unseen=test if unseen is None else unseen)
    return Figures(
        accuracy=by, loss=BySplit(all=loss, train=None, test=None), cases=Counts(**dict(zip(KINDS, cases, strict=True)))
    )


def case_of(made, verdicts, of, shown):
    """(detections, task, figures); an inconclusive `generalisation` is one that came to no score."""
    detection, task, figures = made
    changed, of = of.get("evidence", {}), {k: v for k, v in of.items() if k != "evidence"}
    found = [
        detection(
            name,
            verdict,
            evidence=changed.get(name),
            necessity=0.75
            if verdict == "present" and name in ("sparse_fourier_embedding", "trig_product_neurons")
            else None,
            score=None if (name, verdict) == ("generalisation", "inconclusive") else 0.35,
        )
        for name, verdict in verdicts.items()
    ]
    return found, task(**of), figures(**shown)


@pytest.fixture(scope="session")
def made():
    """(detection, task, figures): makers of what a sentence is about."""
    return detection, task, figures
