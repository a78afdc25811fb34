"""`detectors list`, with detectors of others installed or not."""

import pytest

import detectors
from detectors.core.registry import builtin, spec_of
from detectors.judging.calibration import calibration


def test_list_shows_every_detector_with_its_threshold_and_rates(call):
    result = call("list")
    assert result.exit_code == 0
    for name, row in calibration()["rows"].items():
        line = next(line for line in result.stdout.splitlines() if line.startswith(name))
        found, false = row["true_positives"]["verdict"], row["false_positives"]["verdict"]
        assert f"{row['threshold']:.2f}" in line
        assert f"{found['count']}/{found['of']}" in line
        assert f"{false['count']}/{false['of']} (<= {false['high']:.1%})" in line


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """Third-party packages as installed: one good, one broken, one that takes a name of ours, one misnamed."""
    (tmp_path / "theirs.py").write_text(
        "import detectors\n"
        "@detectors.detector(needs=('logits',), version=1, source='here')\n"
        "def constant_logits(model, /, *, draws=199, seed=0):\n"
        '    """All logits are one number."""\n'
        "    spread = float(model.logits().std())\n"
        "    return detectors.Score(value=float(spread == 0), null=None, causal=None)\n"
    )
    info = tmp_path / "theirs-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[detectors.motifs]\nconstant_logits = theirs:constant_logits\nbroken = theirs:absent\n"
        "trig_logits = theirs:constant_logits\nother_name = theirs:constant_logits\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


def test_detectors_of_others_are_found_and_bad_ones_do_no_harm(call, plugins, untrained):
    report = detectors.run(detectors.load(untrained, task="add:13"), draws=19)
    assert [d.detector for d in report] == [*builtin("operands"), "broken", "constant_logits", "other_name"]
    assert report["constant_logits"].score == 0.0
    assert report["constant_logits"].verdict == "inconclusive"
    assert report["trig_logits"].version == spec_of(detectors.trig_logits).version
    assert "absent" in report["broken"].reason
    assert "leads to the detector 'constant_logits'" in report["other_name"].reason
    listed = call("list")
    assert listed.exit_code == 0
    assert "does not load" in listed.stdout.replace("\n", " ")
