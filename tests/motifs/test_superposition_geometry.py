"""Polytopes of toy autoencoders: published figures, decoys, what a loss says of them, and mutants."""

import math

import numpy as np
import pytest
import torch

import detectors
import models_zoo
from detectors.core import polytopes as shapes
from detectors.core.picture import Bars, HeatMap
from detectors.motifs.superposition_geometry_picture import picture
from detectors.testing import detector_checks
from models_zoo import features

SEEDS = range(1000, 1003)  # beyond those that the threshold was set on
SETTLED = {"exact": "present", "silent": "inert"}
PENTAGON = [72.0 * k for k in range(5)]
FAN = [36.0 * k for k in range(5)]


def plane(degrees, norm=1.0, bias=-0.1, task="features:0.05"):
    rows = [[norm * math.cos(math.radians(a)), norm * math.sin(math.radians(a))] for a in degrees]
    return detectors.from_weights({"W": rows, "b": [float(bias)] * len(rows)}, task)


def verdict(model):
    return str(detectors.run(model)["superposition_geometry"].verdict)


@pytest.mark.parametrize("check", detector_checks(detectors.superposition_geometry), ids=str)
def test_conformance(check):
    check()


@pytest.mark.sampled(8)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", [kind for kind in features.MADE if kind != "shaken"])
def test_polytopes_are_found_and_what_passes_for_them_is_not(kind, seed):
    assert verdict(models_zoo.autoencoder(kind, seed=seed)) == SETTLED.get(kind, "absent")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("pentagons/0", ("pentagon",)),
        ("planes/5", ("pentagon",)),
        ("pairs/1", ("6 antipodal pairs",)),
        ("wide/1", ("20 antipodal pairs",)),
        ("opposed/1", ("8 antipodal pairs",)),
        ("antiprisms/1", ("square antiprism",)),
    ],
)
def test_trained_ones_have_the_published_shapes(name, found):
    """Pentagons of five sparse features in a plane, pairs of twice as many features as dimensions or of features that
    never come together, antiprisms of eight in space (arXiv:2209.10652, sections 2, 3 and 4)."""
    report = detectors.run(features.view(name))["superposition_geometry"]
    assert tuple(report.evidence["shapes"]) == found
    assert report.verdict == "present"


def test_published_figures(capsys):
    """Of exact shapes: dimensionality; D* = m / |W|^2, which is 1/2 of pairs and 2/5 of pentagons of unit vectors."""
    cases = {"two pairs": ([0, 180, 90, 270], 1 / 2), "pentagon": (PENTAGON, 2 / 5), "triangle": ([0, 120, 240], 2 / 3)}
    for name, (degrees, published) in cases.items():
        score = detectors.superposition_geometry(plane(degrees))
        with capsys.disabled():
            print(f"\n{name}: D {score.dimensionality[0]:.5f}, D* {score.dimensions_per_feature:.5f}, {published:.5f}")
        assert score.dimensionality == pytest.approx([published] * len(degrees), abs=1e-6)
        assert score.dimensions_per_feature == pytest.approx(published, abs=1e-6)
        assert score.total == pytest.approx(2)


def test_a_fan_has_the_gram_of_a_pentagon_but_for_signs_and_six_times_its_loss(capsys):
    pentagon, fan = plane(PENTAGON), plane(FAN)
    ratio = fan.figures().loss.all / pentagon.figures().loss.all
    with capsys.disabled():
        print(f"\nloss of five vectors at multiples of 36 degrees: {ratio:.1f} times a pentagon's, stated 6")
    assert 5 < ratio < 7.5
    assert (verdict(pentagon), verdict(fan)) == ("present", "absent")
    assert detectors.superposition_geometry(fan).dimensionality == pytest.approx([0.4] * 5, abs=1e-6)


def test_any_five_vectors_in_a_plane_share_it_and_are_no_pentagon():
    """D sums to the rank whatever they are."""
    score = detectors.superposition_geometry(plane([0, 40, 100, 190, 300]))
    assert score.value == 0
    assert 1.5 < score.total <= 2 + 1e-9


@pytest.mark.parametrize(("noise", "least", "most"), [(0.0, 1.0, 1.0), (0.02, 0.95, 1.0), (0.1, 0.0, 0.1)])
def test_under_how_much_noise_a_pentagon_stops_being_one(noise, least, most):
    """Of the norm in every direction: half of them at 0.053."""
    rng, exact = np.random.default_rng(0), np.asarray(shapes.SHAPES[3][1])
    rows = exact + noise * rng.standard_normal((200, *exact.shape))
    share = np.mean([shapes.polytopes(torch.from_numpy(one))[0].kind == "pentagon" for one in rows])
    assert least <= share <= most


def test_the_value_is_a_share_of_the_represented_features_beyond_chance():
    """A pentagon, three features alone and two ignored: 5 of 8."""
    rows = np.zeros((10, 6))
    rows[:5, :2] = [[math.cos(math.radians(a)), math.sin(math.radians(a))] for a in PENTAGON]
    rows[[5, 6, 7], [2, 3, 4]] = 1
    rows[8:, 5] = 0.3
    score = detectors.superposition_geometry(detectors.from_weights({"W": rows, "b": [-0.1] * 10}, "features:0.05"))
    assert score.represented == 8
    assert score.value == pytest.approx(5 / 8, abs=0.02)
    assert score.shapes == ("pentagon",)
    assert [p["kind"] for p in score.polytopes] == ["pentagon", "own direction", "own direction", "own direction"]


def test_nothing_represented_is_nothing_found():
    for norm in (0.0, 0.4):
        score = detectors.superposition_geometry(plane(PENTAGON, norm=norm))
        assert (score.value, score.represented, score.polytopes, score.causal) == (0.0, 0, (), None)
        assert score.null.p_value == 1


def test_two_ends_of_one_line_are_chance():
    """Two features on a line are opposed in half of all random frames."""
    model = detectors.from_weights({"W": [[1.0], [-1.0]], "b": [0.0, 0.0]}, "features:0.05")
    assert detectors.superposition_geometry(model).null.p_value > 0.3
    assert verdict(model) == "inconclusive"  # no p-value is small enough there


@pytest.mark.wide
def test_how_close_a_shape_is_counts_where_many_random_frames_have_one_too():
    """A pair and a feature at right angles: 1 random frame in 15 has such, hardly any one as exact."""
    score = detectors.superposition_geometry(plane([0, 180, 90]), draws=999)
    assert score.value > 0.6
    assert score.null.p_value <= 0.003
    rough = detectors.superposition_geometry(plane([0, 155, 77.5]), draws=999)
    assert rough.shapes == ("antipodal pair",)
    assert rough.value == pytest.approx(score.value, abs=0.01)
    assert rough.null.p_value > 5 * score.null.p_value


def test_the_cause_is_the_loss_against_that_of_random_frames():
    """By hand: the same draws, losses of each, and of the exact pentagon, which this is."""
    model = plane(PENTAGON)
    score = detectors.superposition_geometry(model, seed=3)
    drawn = torch.from_numpy(np.random.default_rng(3).standard_normal((199, 5, 2)))[:99]
    losses = model.losses(drawn / drawn.norm(dim=2, keepdim=True))
    own = model.figures().loss.all
    assert score.causal.necessity == pytest.approx(1 - own / float(losses.mean()), abs=1e-6)
    assert score.causal.p_value == (1 + int((losses <= own).sum())) / 100
    assert score.causal.sufficiency == pytest.approx(1, abs=1e-6)
    assert score.causal.control is None


def test_a_bias_that_nothing_passes_makes_the_geometry_inert():
    report = detectors.run(plane(PENTAGON, bias=-3))["superposition_geometry"]
    assert report.verdict == "inert"
    assert report.causal.necessity == 0
    assert "random frames of the same norms" in report.reason


def test_what_lies_outside_the_shapes_is_no_part_of_what_they_keep():
    """A pair among eight features at random in space: made exact, with all else drawn anew, it saves little."""
    rng = np.random.default_rng(5)
    rows = np.zeros((12, 6))
    rows[0, 0], rows[1, 0] = 1, -1
    rows[2:, 1:] = (
        np.linalg.qr(rng.standard_normal((5, 5)))[0][np.arange(10) % 5] * np.where(np.arange(10) < 5, 1, -1)[:, None]
    )
    rows[2:, 1:] += 0.12 * rng.standard_normal((10, 5))
    model = detectors.from_weights({"W": rows, "b": [0.0] * 12}, "features:0.05")
    score = detectors.superposition_geometry(model)
    assert score.represented == 12
    assert score.causal.sufficiency < 0.9


def test_an_orthogonal_map_and_another_order_change_nothing_and_signs_and_norms_do():
    model = models_zoo.autoencoder("exact", seed=1)
    rows, bias = model.rows.numpy(), model.network.b.numpy()
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((rows.shape[1],) * 2))[0]
    order = rng.permutation(len(rows))
    first = detectors.superposition_geometry(model)

    def scored(changed, b=bias):
        return detectors.superposition_geometry(detectors.from_weights({"W": changed, "b": b}, model.task.spec))

    assert scored(rows @ turn).value == pytest.approx(first.value, abs=1e-9)
    assert scored(rows[order], bias[order]).shapes == first.shapes
    assert scored(rows * 1.5).shapes == first.shapes
    assert scored(rows * np.where(np.arange(len(rows)) % 2, -1, 1)[:, None]).value < first.value / 2
    assert scored(rows * np.linspace(0.8, 1.4, len(rows))[rng.permutation(len(rows))][:, None]).value < first.value / 2


def test_pictures_are_dimensionality_and_scalar_products():
    score = detectors.superposition_geometry(models_zoo.autoencoder("exact", seed=1))
    bars, products = (p.data for p in picture(score))
    assert isinstance(bars, Bars)
    assert isinstance(products, HeatMap)
    assert sorted(bars.heights) == sorted(score.dimensionality)
    assert len(bars.key) == sum(len(p["features"]) for p in score.polytopes if p["kind"] != "own direction")
    restored = type(score).restored(score.value, score.null, score.causal, score.evidence)
    assert picture(restored) == []


def test_the_sentence_counts_what_is_in_shapes():
    report = detectors.run(plane(PENTAGON))
    assert report.summary.endswith("; 5 of 5 represented features share dimensions as polytopes: pentagon.")


def test_a_motif_that_forgets_signs_takes_a_fan_for_a_pentagon(monkeypatch):
    """The decoy is one: by sizes alone the two are the same."""
    monkeypatch.setattr(shapes, "SHAPES", tuple((kind, _Unsigned(corners)) for kind, corners in shapes.SHAPES))
    real = shapes._recognised
    monkeypatch.setattr(shapes, "_recognised", lambda gram, which: real(np.abs(gram), which))
    assert detectors.superposition_geometry(plane(FAN)).shapes == ("pentagon",)


def test_a_motif_that_forgets_norms_takes_unequal_ones_for_a_shape(monkeypatch):
    model = models_zoo.autoencoder("unequal", seed=1000)
    real = shapes._recognised

    def unit(gram, which):
        norms = np.sqrt(gram.diagonal())
        return real(gram / np.outer(norms, norms), which)

    assert detectors.superposition_geometry(model).value == 0
    monkeypatch.setattr(shapes, "_recognised", unit)
    assert detectors.superposition_geometry(model).value > 0.3


def test_a_motif_that_counts_ignored_features_finds_shapes_that_are_not_represented(monkeypatch):
    model = models_zoo.autoencoder("ignored", seed=1000)
    assert detectors.superposition_geometry(model).value == 0
    monkeypatch.setattr(shapes, "REPRESENTED", 0.0)
    assert detectors.superposition_geometry(model).value > 0.3


class _Unsigned(np.ndarray):
    """Corners whose scalar products are their sizes."""

    def __new__(cls, corners):
        return np.asarray(corners).view(cls)

    def __matmul__(self, other):
        return np.abs(np.asarray(self) @ np.asarray(other))
