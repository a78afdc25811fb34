"""The certificate in a report: as a condition of gates, and as a claim of `detectors explain`."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import detectors
from detectors.cli import app
from detectors.gate.conditions import conditions, evaluate
from detectors.gate.policy import Policy
from detectors.report.explained import as_page, of_report
from detectors.report.report import Report
from models_zoo import trig_mlp

FLOOR = Policy(accuracy={"certified": 0.95})


@pytest.fixture(scope="module")
def plain():
    return detectors.run(trig_mlp(p=11, frequencies=(3,), train_fraction=0.5), draws=19)


@pytest.fixture(scope="module")
def proved(plain):
    """As if the proof had been made of all pairs: of eleven tokens none is worth its price."""
    report = detectors.with_certificate(plain, trig_mlp(p=11, frequencies=(3,)))
    whole = replace(report.certificate, certified_accuracy=1.0, share=0.25, why="every pair is proved")
    return report.model_copy(update={"certificate": whole})


def outcome(report):
    (found,) = evaluate(conditions(FLOOR, Path()), report)
    return found


def test_a_gate_asks_for_it(plain, proved):
    assert outcome(proved).passed
    assert outcome(proved).sentence == "accuracy.certified is 1, in 25% of the operations of a pass over all pairs"
    nothing = detectors.with_certificate(plain, trig_mlp(p=11, frequencies=(3,)))
    assert not outcome(nothing).passed
    assert outcome(nothing).sentence.startswith("accuracy.certified is 0; must be >= 0.95 (a pass over all pairs is so")


def test_a_gate_fails_where_there_is_none_and_says_why(plain):
    assert outcome(plain).sentence == "accuracy.certified is not known: it was not asked for"
    other = detectors.with_certificate(plain, trig_mlp(p=11, frequencies=(3,), act_fn="square"))
    assert other.certificate is None
    assert outcome(other).sentence.endswith("no certificate: its neurons are square, not relu")


@pytest.mark.wide
def test_the_command_computes_it_where_the_policy_asks(tmp_path):
    (tmp_path / "a.gate.toml").write_text("accuracy = { certified = 0.5 }\ndraws = 19\n")
    arguments = ["gate", "zoo:add53_mlp_memorised", "--policy", tmp_path / "a.gate.toml", "--json", tmp_path / "r.json"]
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 1, done.output
    assert "accuracy.certified is 0; must be >= 0.5" in done.output
    assert json.loads((tmp_path / "r.json").read_text())["certificate"]["certified_accuracy"] == 0


def test_it_changes_no_verdict_and_survives_json(plain, proved):
    assert proved.detections == plain.detections
    assert proved.summary == plain.summary
    assert Report.model_validate_json(proved.to_json()) == proved


def test_explain_has_it_on_a_rung_of_its_own(plain, proved):
    (claim,) = (c for c in of_report(proved).claims if c.motif == "certificate")
    assert claim.rung == "certified"
    assert claim.claim.startswith("At least 100.00% of all pairs are right")
    assert claim.figures == "25% of the operations of a pass over all pairs; every pair is proved"
    nothing = of_report(detectors.with_certificate(plain, trig_mlp(p=11, frequencies=(3,))))
    assert [c.rung for c in nothing.unknown if c.motif == "certificate"] == ["not certified"]
    assert not [c for c in of_report(plain).claims if c.motif == "certificate"]
    assert "certified" in as_page(proved)


def test_what_is_told_is_never_more_than_the_bound(proved):
    less = replace(proved.certificate, certified_accuracy=0.99999)
    (claim,) = (c for c in of_report(proved.model_copy(update={"certificate": less})).claims if c.rung == "certified")
    assert claim.claim.startswith("At least 99.99% of all pairs")


def test_no_more_than_chance_is_no_claim(proved):
    chance = replace(proved.certificate, certified_accuracy=1 / 11)
    found = of_report(proved.model_copy(update={"certificate": chance}))
    assert not [c for c in found.claims if c.motif == "certificate"]
