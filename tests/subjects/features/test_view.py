"""Toy autoencoders as a subject: losses known by hand, and a report without accuracies."""

import json

import numpy as np
import pytest
import torch

import detectors
import models_zoo
from detectors.core.errors import CheckpointError
from detectors.report.markdown import to_markdown
from detectors.report.report import Report
from detectors.report.terminal import as_text
from detectors.subjects.features.view import Autoencoder, FeaturesView

DENSITY = 0.1


def view(rows, bias=0.0, spec=f"features:{DENSITY}"):
    rows = torch.tensor(rows, dtype=torch.float32)
    return FeaturesView(Autoencoder(rows, torch.full((len(rows),), bias)), spec)


def loss(*args, **kwargs):
    return view(*args, **kwargs).figures().loss.all


def test_features_in_directions_of_their_own_cost_nothing():
    assert loss(np.eye(3)) < 1e-12


def test_what_is_ignored_costs_the_square_of_the_feature():
    """E x^2 = density / 3 of each; 3% is four standard errors of the mean over the cases."""
    assert loss(np.zeros((4, 2))) == pytest.approx(4 * DENSITY / 3, rel=0.03)


def test_an_antipodal_pair_fails_where_both_are_active():
    """x' = relu(x_1 - x_2): both errors are the smaller of the two, and E min^2 = 1/6."""
    assert loss([[1.0], [-1.0]]) == pytest.approx(2 * DENSITY**2 / 6, rel=0.1)


def test_a_bias_costs_its_square_where_nothing_is_active():
    """Exact: of silence no case is drawn. E (x - c)^2 = 1/3 - c + c^2 where the feature is active."""
    c, d = 0.25, 1e-3
    expected = (1 - d) * c**2 + d * (1 / 3 - c + c**2)
    assert loss([[0.0]], bias=c, spec=f"features:{d}") == pytest.approx(expected, rel=1e-3)
    assert loss([[0.0]], bias=-c, spec=f"features:{d}") == pytest.approx(d / 3, rel=0.03)


def test_errors_weigh_by_importance():
    """Two features ignored of three, of importance 1/2 and 1/4."""
    rows = [[1.0], [0.0], [0.0]]
    assert loss(rows, spec="features:1:0.5") == pytest.approx(0.75 / 3, rel=0.03)


def test_losses_of_many_frames_are_those_of_each():
    frames = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = view(np.zeros((4, 2))).losses(frames)
    assert found.tolist() == pytest.approx([loss(frame.tolist()) for frame in frames], rel=1e-5)


def test_rows_are_a_copy():
    model = view(np.eye(2))
    model.rows.zero_()
    assert model.rows.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_a_report_of_features_has_a_loss_and_no_accuracy():
    report = detectors.run(models_zoo.autoencoder("exact"))
    assert report.accuracy.all is None
    assert report.loss.all > 0
    assert [d.detector for d in report] == ["superposition_geometry"]
    assert report.summary.startswith("An autoencoder of ")
    again = Report.model_validate_json(report.to_json())
    assert again.to_json() == report.to_json()
    assert json.loads(report.to_json())["accuracy"]["all"] is None
    for text in (to_markdown(report), as_text(report)):
        assert "accuracy" not in text
    assert "right answers" not in as_text(report)
    assert "random directions" in as_text(report)
    page = report.to_html()
    assert "Dimensionality of the features" in page
    assert "McNemar" not in page


def test_other_motifs_say_what_the_model_reads():
    report = detectors.run(models_zoo.autoencoder("exact"), names=["trig_logits", "induction_heads", "number_helix"])
    assert {str(d.verdict) for d in report} == {"not_applicable"}
    assert "the model reads features" in report["trig_logits"].reason
    network = detectors.load("zoo:add53_grokked")
    found = detectors.run(network, names=["superposition_geometry"])["superposition_geometry"]
    assert found.verdict == "not_applicable"
    assert "autoencoders of features" in found.reason


def test_there_are_no_training_pairs_to_pass():
    model = models_zoo.autoencoder("exact")
    assert model.with_train_mask(None) is model
    with pytest.raises(CheckpointError, match="is one of features"):
        model.with_train_mask([True])
