"""A third party's detector, calibrated end to end on a small part of the bench and on models of its author."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from detectors.core.errors import DetectorsError
from detectors.judging import calibration as shipped
from models_zoo import own_models
from models_zoo.__main__ import app
from models_zoo.cards import cards

THIRD_PARTY = Path(__file__).parents[1] / "thirdparty"
WEIGHTS = Path(__file__).parents[2] / "models_zoo" / "weights"
NAMES = {"add53_mlp": "present", "add53_mlp_memorised": "absent", "sub53_grokked": "present"}


@pytest.fixture
def folder(tmp_path):
    """Models of the author: members of the zoo under their own names, as files elsewhere."""
    for name in NAMES:
        (tmp_path / name).symlink_to(WEIGHTS / name)
    cards = [f'[models.{name}]\nmotif = "{word}"\n' for name, word in NAMES.items()]
    (tmp_path / "cards.toml").write_text('absent = ["untrained", "rank_matched_random"]\n' + "".join(cards))
    return tmp_path


def test_the_models_of_a_folder_are_known_by_its_cards(folder):
    found = own_models.model(("own", "add53_mlp"), folder=folder, motif="answer_lead")
    assert found.truth == {"answer_lead": "present"}
    assert found.view.train_mask.any()
    drawn = own_models.model(("drawn", "untrained/0"), folder=folder, motif="answer_lead")
    assert drawn.truth == {"answer_lead": "absent"}
    assert own_models.model(("zoo", "add53_seed1"), folder=folder, motif="answer_lead") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("presnt = []", "unknown key 'presnt'"),
        ('[models.a]\nmotif = "yes"', "'a' says motif = 'yes'"),
        (None, "no cards"),
    ],
)
def test_cards_that_cannot_be_used_are_refused_by_name(tmp_path, text, message):
    if text is not None:
        (tmp_path / "cards.toml").write_text(text)
    with pytest.raises(DetectorsError, match=message):
        own_models.read(tmp_path)


@pytest.mark.deep
def test_a_plugin_earns_its_row_and_a_verdict_with_it(folder, monkeypatch):
    monkeypatch.syspath_prepend(THIRD_PARTY)
    monkeypatch.setenv("PYTHONPATH", str(THIRD_PARTY), prepend=":")  # for the workers
    out = folder / "row.json"
    arguments = ["calibrate", "tiny_motif:answer_lead", "--models", str(folder), "--draws", "5", "--out", str(out)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    row = json.loads(out.read_text())["rows"]["answer_lead"]
    assert row["version"] == 1
    assert row["true_positives"]["verdict"]["of"] == 2
    of_zoo = sum(card["family"] == "untrained" for card in cards().values())
    assert row["false_positives"]["value"]["of"] == 1 + 5 + 5 + of_zoo
    assert 0 < row["threshold"] < 1
    assert "AUC" in done.output

    class Entry:
        load = staticmethod(lambda: lambda: json.loads(out.read_text()))

    monkeypatch.setattr(shipped, "entry_points", lambda group: [Entry] if group == shipped.PLUGINS else [])
    shipped.calibration.cache_clear()
    try:
        assert shipped.calibration()["rows"]["answer_lead"] == row
        import detectors

        report = detectors.run(detectors.load("zoo:add53_mlp"), names=[sys.modules["tiny_motif"].answer_lead], draws=99)
        assert report["answer_lead"].threshold == row["threshold"]
        assert "no calibrated threshold" not in report["answer_lead"].reason
    finally:
        shipped.calibration.cache_clear()


@pytest.mark.parametrize("row", [{"version": 1}, {"threshold": 2, "version": 1}, {}, 3])
def test_a_row_that_is_none_calibrates_nothing_and_one_of_ours_is_not_replaced(monkeypatch, row):
    class Entry:
        load = staticmethod(lambda: lambda: {"rows": {"mine": row}})

    class Thief:
        load = staticmethod(lambda: lambda: {"rows": {"generalisation": {"version": 4, "threshold": 0.0}}})

    monkeypatch.setattr(shipped, "entry_points", lambda group: [Entry, Thief] if group == shipped.PLUGINS else [])
    shipped.calibration.cache_clear()
    try:
        assert "mine" not in shipped.calibration()["rows"]
        assert shipped.calibration()["rows"]["generalisation"]["threshold"] > 0
    finally:
        shipped.calibration.cache_clear()
