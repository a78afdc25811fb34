"""Gates on heads: how many are present, and the verdict of the motif, by the command, as JUnit and as HTML."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

import detectors
from detectors.cli import app
from detectors.gate.conditions import conditions, evaluate
from detectors.gate.policy import Policy

POLICY = """
bounds = ["induction_heads.heads >= 1", "previous_token_heads.heads >= 1"]

[must]
induction_heads = "present"
"""


@pytest.mark.wide
@pytest.mark.parametrize(("name", "code"), [("induction_exact", 0), ("induction_one_layer", 1)])
def test_a_gate_passes_on_a_model_with_the_heads_and_fails_on_one_without(tmp_path, name, code):
    policy, junit, html = tmp_path / "h.gate.toml", tmp_path / "j.xml", tmp_path / "r.html"
    policy.write_text(POLICY)
    files = ["--junit", str(junit), "--html", str(html)]
    result = CliRunner().invoke(app, ["gate", f"zoo:{name}", "--policy", str(policy), *files])
    assert result.exit_code == code, result.output
    assert 'name="induction_heads is present"' in junit.read_text()
    assert "induction_heads" in html.read_text()


def test_heads_that_are_not_present_are_not_counted():
    report = detectors.run(detectors.load("zoo:sequences/written.unread/0"), names=["duplicate_token_heads"])
    assert report[0].verdict == "inert"
    assert len(report[0].evidence["heads"]) == 1
    policy = Policy.model_validate({"bounds": ["duplicate_token_heads.heads >= 1"]})
    (outcome,) = evaluate(conditions(policy, Path()), report)
    assert not outcome.passed
    assert outcome.sentence == "duplicate_token_heads.heads is 0; must be >= 1"
