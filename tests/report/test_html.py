"""The page: its numbers, what it must say, and what it must not hold."""

import json
import os
import pickle
import re
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

import detectors
import models_zoo
from detectors.cli import app
from detectors.core import registry
from detectors.core.phases import REGIONS, phase
from detectors.core.verdict import Verdict
from detectors.judging.calibration import calibration
from detectors.motifs.trig_product_neurons import SIDE
from detectors.report.drawing import pictures
from detectors.report.html import _evidence, to_html
from detectors.report.report import Report
from detectors.report.rows import COLUMNS


def titled(report, detector, start):
    return next(p for p in pictures(report[detector], report) if p.title.startswith(start))


def neurons_of(model):
    """Pictures of single neurons, and what they are drawn from, whatever became of the cause."""
    report = detectors.run(model, names=["trig_product_neurons"], draws=39)
    return pictures(report[0].model_copy(update={"verdict": Verdict.PRESENT}), report)[1:4], report[0].scored.neurons


def bars(figure):
    return {t["customdata"][i]: y for t in figure["data"] if t["width"] < 1 for i, y in enumerate(t["y"])}


def changed(report, number=0, **fields):
    document = report.to_dict()
    document["detections"][number] |= fields
    return Report.model_validate(document)


@pytest.mark.parametrize(
    ("detector", "start", "field"),
    [
        ("sparse_fourier_embedding", "Power", "power"),
        ("trig_product_neurons", "Power", "power"),
        ("trig_logits", "Similarity", "similarity"),
    ],
)
def test_bars_are_the_evidence(report, detector, start, field):
    evidence = report[detector].evidence
    figure = titled(report, detector, start).figure
    assert bars(figure) == {
        n.removeprefix("freq_"): y for n, y in zip(evidence["irreps"], evidence[field], strict=True)
    }
    band, key = figure["data"][:2]
    cuts = dict(zip(evidence["irreps"], evidence["key_cuts"], strict=True))
    root = 0.5 if field == "similarity" else 1
    assert band["y"] == [cuts[f"freq_{k}"] ** root for k in band["x"]]
    assert {f"freq_{k}" for k in key["x"]} == set(evidence["key_irreps"])
    assert all(a < b for a, b in zip(band["x"], band["x"][1:], strict=False))


def test_bars_of_cause_and_shares_looked_up_and_the_point_on_the_plane_are_the_evidence(report):
    cause = report["trig_logits"].causal
    shown = titled(report, "trig_logits", "Does").figure["data"][0]
    assert shown["x"] == [1 - cause.necessity, cause.sufficiency, 1 - cause.control]
    remainder = titled(report, "memorisation", "Share of the winning margin").figure["data"][0]
    evidence = report["memorisation"].evidence
    assert remainder["x"] == [evidence["share_train"], evidence["share_unseen"]]
    point = titled(report, "generalisation", "The plane").figure["data"][0]
    assert (point["x"], point["y"]) == ([report["generalisation"].score], [report["memorisation"].score])


def test_regions_of_the_plane_are_the_phases_of_memorisation():
    for name, (left, right, low, high) in REGIONS.items():
        inside = [(g, m) for g in np.linspace(left, right, 9)[1:-1] for m in np.linspace(low, high, 9)[1:-1]]
        said = {phase(g, m, advantage) for g, m in inside for advantage in (0.1, 0.9)}
        assert said == set(name.split(", "))


def test_a_missing_control_is_said_and_has_no_bar(report):
    causal = report.to_dict()["detections"][0]["causal"] | {"control": None}
    figure = titled(changed(report, causal=causal), "sparse_fourier_embedding", "Does").figure
    assert figure["data"][0]["x"][2] is None
    assert figure["layout"]["annotations"][0]["text"] == "none available"


def test_the_fit_of_an_exact_neuron_explains_its_share():
    """(cos wa + cos wb)^2 holds 1/5 of its power in cos 2wa and cos 2wb, outside its family."""
    share = 0.8
    drawn, found = neurons_of(models_zoo.trig_mlp(p=11, frequencies=(3,), act_fn="square"))
    assert found.shares == pytest.approx([share] * len(found.numbers))
    assert set(found.irreps) == {"freq_3"}
    assert found.fit_share == pytest.approx(share)
    assert ((found.values - found.fit) ** 2).sum() / (found.values**2).sum() == pytest.approx(1 - share)
    values, fit = (np.array(p.figure["data"][0]["z"]) for p in drawn[1:])
    assert (fit**2).sum() / (values**2).sum() == pytest.approx(share, abs=1e-3)
    assert "80.0% of its power" in drawn[2].reading


def test_shares_of_neurons_agree_with_the_detector(report):
    found, evidence = report["trig_product_neurons"].scored.neurons, report["trig_product_neurons"].evidence
    counts = {irrep: found.irreps.count(irrep) for irrep in found.irreps}
    assert counts == dict(zip(evidence["irreps"], evidence["neurons_per_irrep"], strict=True))
    assert len(found.numbers) == evidence["live"]
    assert np.mean(np.array(found.shares) >= 0.85) == pytest.approx(evidence["share_above_0.85"])


def test_a_large_grid_is_cut_and_says_so():
    drawn, _ = neurons_of(models_zoo.trig_mlp(p=131, frequencies=(3,)))
    assert np.shape(drawn[1].figure["data"][0]["z"]) == (SIDE, SIDE)
    assert f"first {SIDE} of 131" in drawn[1].reading
    numbers = re.findall(r"[-\d.]+", json.dumps(drawn[1].figure))
    assert len(numbers) < 200_000


def test_plotly_takes_every_figure(page):
    import plotly.graph_objects as go

    assert len(page.figures) == 18
    for figure in page.figures.values():
        go.Figure(figure)  # raises on a name or value that plotly does not know


def test_the_page_is_whole_small_and_the_same_each_time(report, text, page):
    assert len(text.encode()) < 6e6
    assert text == report.to_html()
    assert text.count("plotly.js v") == 1
    for d in report:
        assert d.detector in page.text
        assert d.reason in page.text
    assert report.summary in page.text
    found = calibration()["rows"]["trig_logits"]["true_positives"]["verdict"]
    assert f"Found in {found['count']} of {found['of']}" in page.text
    assert any(a.get("href") == "https://arxiv.org/abs/2302.03025" for _, a in page.elements)


def test_nothing_is_loaded_from_elsewhere(page):
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "img", "object", "embed", "base", "form")
        assert not {"src", "srcset", "data", "poster", "background"} & set(attributes)
        assert tag == "a" or "href" not in attributes
    policy = next(a["content"] for t, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")


def test_headings_tables_and_figures_are_named(page):
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert [t for t, _ in page.elements if re.fullmatch("h[12]", t)] == ["h1"] + ["h2"] * 10
    assert all("scope" in a for t, a in page.elements if t == "th")
    for _, attributes in page.elements:
        assert attributes.get("aria-labelledby", ids[0]) in ids
        target = attributes.get("href", "")
        assert not target.startswith("#") or target[1:] in ids
    plots = [a for _, a in page.elements if a.get("class") == "plot"]
    assert all("height" in a["style"] and a["aria-label"] for a in plots)


def test_names_may_hold_anything(nasty, read):
    text = nasty.to_html()
    page = read(text)
    text.encode()
    assert text.count("<script") == len(page.figures) + 2
    assert "<img" not in text.split("<script>/**")[0]
    assert not re.search(r"[\x00\x1b\ud800]", text[: text.index("plotly.js v")])
    assert "{{ 7*7 }}" in page.text
    assert "<script" not in nasty._repr_html_()


@pytest.mark.wide
def test_a_report_of_sequences_has_its_heads_in_a_table_and_as_pictures(read):
    report = detectors.run(detectors.load("zoo:induction_exact"))
    page = read(report.to_html())
    assert "the task does not say of how many digits" in page.text
    assert "induction by head 1.0" in page.text
    assert "Head 1.0, its mean pattern" in page.text
    assert "9 to 31" in page.text  # places where it works, as a range
    assert page.figures


@pytest.mark.parametrize("verdict", ["not_applicable", "inconclusive", "error"])
def test_no_verdict_no_picture(report, verdict, read):
    other = changed(report, 1, verdict=verdict, reason="for a reason")
    assert pictures(other[1], other) == []
    assert "for a reason" in read(to_html(other)).text


def test_a_detector_of_others_shows_its_evidence(report, monkeypatch, read):
    evidence = {"lead": 1 / 3, "per_layer": list(range(300)), "nested": {"<k>": [1, None]}, "name": "x"}
    other = changed(report, detector="answer_lead", threshold=None, verdict="inconclusive", evidence=evidence)
    page = read(other.to_html())
    for shown in ("0.3333", "0 to 299", '"<k>"', "No threshold has been calibrated"):
        assert shown in page.text
    opened = [a for t, a in page.elements if t == "details" and "open" in a]
    assert len(opened) == 1
    crash = registry.load
    monkeypatch.setattr(registry, "load", lambda name: 1 / 0 if name == "answer_lead" else crash(name))
    assert "0.3333" in read(other.to_html()).text


def test_only_lists_that_a_detector_declares_parallel_make_a_table(report):
    """Every irrep is key and there are as many layers: lists of one length that speak of other things."""
    number = [d.detector for d in report].index("trig_product_neurons")
    evidence = {"irreps": ["freq_2", "freq_1"], "power": [0.7, 0.2], "layers": [0.1, 0.9], "frequencies": [2, 1]}
    rows, rest = _evidence(changed(report, number, evidence=evidence)[number])
    assert rows == [{"irreps": "freq_2", "power": "0.7"}, {"irreps": "freq_1", "power": "0.2"}]
    assert rest == [("layers", "0.1, 0.9"), ("frequencies", "2, 1")]
    torn = evidence | {"power": [0.7]}
    assert _evidence(changed(report, number, evidence=torn)[number])[0] == []
    other = changed(report, number, detector="answer_lead", evidence={"first": [1, 2], "second": [3, 4]})
    assert _evidence(other[number]) == ([], [("first", "1, 2"), ("second", "3, 4")])


def test_what_is_declared_parallel_is(report):
    for d in report:
        assert len({len(d.evidence[name]) for name in d.spec.parallel}) <= 1


def test_rates_of_another_calibration_are_not_shown(report, read):
    assert "installed here is another" in read(changed(report, threshold=0.99).to_html()).text


def test_a_report_read_back_has_all_but_the_pictures_of_neurons(report, page, read):
    again = Report.model_validate_json(report.to_json())
    assert again == report
    assert set(again.to_dict()) == set(report.to_dict())
    less = read(again.to_html())
    assert "A dot is a live neuron" in page.text
    assert "A dot is a live neuron" not in less.text
    assert len(less.figures) == len(page.figures) - 3
    whole = pickle.loads(pickle.dumps(report))
    assert read(whole.to_html()).figures == page.figures


def test_to_pandas_has_a_row_a_detection(report, monkeypatch):
    table = report.to_pandas()
    assert list(table["detector"]) == [d.detector for d in report]
    assert table["necessity"][2] == report[2].causal.necessity
    assert np.isnan(table["control"][4])
    assert table.dtypes["control"] == np.float64
    assert list(table.columns) == list(COLUMNS)
    assert json.loads(table["evidence"][0]) == report.to_dict()["detections"][0]["evidence"]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(detectors.DetectorsError, match="pip install pandas"):
        report.to_pandas()


def test_the_notebook_shows_verdicts_without_scripts_or_colours(report, read):
    text = report._repr_html_()
    assert report.summary in read(text).text
    assert len(text) < 10_000
    assert "<script" not in text
    assert "color" not in text


def test_the_command_writes_the_page_or_says_why_not(tmp_path):
    def call(*arguments):
        return CliRunner().invoke(app, ["run", *map(str, arguments)], env={"COLUMNS": "200"})

    table = "zoo:table_s4"
    target = tmp_path / "r.html"
    assert call(table, "--draws", "19", "-d", "memorisation", "-q", "--html", target).exit_code == 0
    assert target.read_text().startswith("<!doctype html>")
    assert os.listdir(tmp_path) == ["r.html"]
    missing = call(table, "--html", tmp_path / "no" / "r.html")
    assert missing.exit_code == 2
    assert "there is no folder" in missing.output
    many = call(table, "zoo:no_such", "--html", target)
    assert many.exit_code == 2
    assert "holds one report, not those of 2" in many.output
