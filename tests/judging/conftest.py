"""Detections, tasks and figures written down by hand."""

import pytest

from detectors.core.figures import BySplit, Figures, TaskFacts
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
        "explained_test_pairs": 0.034,
        "explained_all_pairs": 0.5,
        "basis": "test_pairs",
    },
    "memorisation": {
        "membership_advantage": 0.9,
        "remainder_accuracy_train": 0.6,
        "remainder_accuracy_test": 0.25,
        "train_set": "given",
        "train_fraction": 0.4,
        "phase": "cleanup",
    },
}


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
        "version": spec_of(load(name)).version,
    }
    given |= {"evidence": EVIDENCE.get(name, {}) | (evidence or {}), "causal": causal, **fields}
    return Detection(detector=name, verdict=verdict, **given)


def task(spec="add:7", **fields):
    given = {"subject": "operands", "about": "", "split": "given", "n_tokens": 7, "n_answers": 7, "pairs": 49}
    return TaskFacts(**given | {"spec": spec, "group": "C7", "order": 7, "note": "", **fields})


def figures(all=1.0, train=1.0, test=1.0, loss=0.0):
    by = BySplit(all=all, train=train, test=test)
    return Figures(accuracy=by, loss=BySplit(all=loss, train=None, test=None))


@pytest.fixture(scope="session")
def made():
    """(detection, task, figures): makers of what a sentence is about."""
    return detection, task, figures
