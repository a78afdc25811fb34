"""Coordinates of a first layer: published networks by others' figures, exact discs and tori, and what is neither."""

import json

import numpy as np
import pytest
import torch

import detectors
from detectors.core.errors import NotApplicable, Undetermined
from detectors.core.registry import picture_of
from detectors.loading.layouts.two_embedding_mlp import TwoEmbeddingMLP
from detectors.motifs.addition_mechanism import clause
from detectors.subjects.operands.view import ModelView
from models_zoo import trig_mlp

P, M, W = 17, 48, 2 * np.pi * 3 / 17
A = np.arange(P)


def network(first, second, seed=0):
    """ReLU neurons cos(wa + first_i) + cos(wb + second_i), read out at the sum of the phases."""
    rows = [np.cos(W * A[:, None] + phases) for phases in (first, second)]
    out = np.cos(W * A[None] + (first + second)[:, None])
    weights = {"W_x": rows[0], "W_y": rows[1], "W": np.concatenate([np.eye(M), np.eye(M)]), "W_U": out}
    return ModelView(TwoEmbeddingMLP({k: torch.from_numpy(w).float() for k, w in weights.items()}), f"add:{P}")


def phases(seed, offset=None):
    first = np.random.default_rng(seed).uniform(0, 2 * np.pi, M)
    return first, first + offset if offset is not None else np.random.default_rng(seed + 1).uniform(0, 2 * np.pi, M)


@pytest.mark.wide
@pytest.mark.external
def test_clusters_are_those_that_others_measured(external, capsys):
    """Every figure of truth_mechanism.json within 1e-3 (a neuron that is all but dead may be counted or not)."""
    pizza = {t["id"]: t for t in json.loads((external / "truth_pizza.json").read_text())}
    apart = []
    for name, truth in json.loads((external / "truth_mechanism.json").read_text()).items():
        if name in pizza:
            arch = {"attn_coeff": str(pizza[name]["attention_rate"]), "act_fn": "relu"}
            view = detectors.load(external / pizza[name]["file"], task="add:59", arch=arch)
        else:
            view = detectors.load(external / "group" / f"{name}.pt", task=f"add:{name[1:4]}")
        score = detectors.addition_mechanism(view)
        found = {c["frequency"]: c for c in score.clusters}
        assert found.keys() == {c["frequency"] for c in truth["clusters"]}, name
        for one in truth["clusters"]:
            mine = found[one["frequency"]]
            assert abs(mine["neurons"] - one["neurons"]) <= 1
            apart += [(abs(mine[key] - value), name, key) for key, value in one.items() if key != "neurons"]
        apart += [(abs(score.mean[key] - value), name, key) for key, value in truth["mean"].items()]
        assert score.value > 0.9
    with capsys.disabled():
        print(f"\nclusters: {len(apart)} published figures, the furthest apart {max(apart)}")
    assert max(apart)[0] < 1e-3


@pytest.mark.wide
@pytest.mark.external
def test_scalars_are_those_of_the_authors_code(external, capsys):
    """Circularity of a model with tables of their own is of each; the published 0.53 is of both under each other."""
    rows = []
    for truth in json.loads((external / "truth_pizza.json").read_text()):
        arch = {} if truth["attention_rate"] is None else {"attn_coeff": str(truth["attention_rate"])}
        arch |= {} if truth["act_fn"] is None else {"act_fn": truth["act_fn"].lower()}
        view = detectors.load(external / truth["file"], task="add:59", arch=arch)
        if len(view.neuron_layers) > 1:
            with pytest.raises(Undetermined, match="not read off the first of 2 layers"):
                detectors.addition_mechanism(view)
            continue
        score = detectors.addition_mechanism(view)
        rows.append((truth["id"], score.distance_irrelevance, score.gradient_symmetricity, score.circularity))
        assert score.distance_irrelevance == pytest.approx(truth["distance_irrelevance"], abs=1e-3)
        published = truth["gradient_symmetricity_20480_triples"]
        assert score.gradient_symmetricity == pytest.approx(
            published, abs=max(1e-3, 4 * score.gradient_symmetricity_error)
        )
        if not truth["separate_vocabularies"]:
            assert score.circularity == pytest.approx(truth["circularity"], abs=1e-3)
        assert bool(score.remark) == (truth["accuracy"] < 0.99)
    with capsys.disabled():
        print("\nid, distance irrelevance, gradient symmetricity, circularity:", *rows, sep="\n")
    assert len(rows) >= 4


def test_an_exact_disc_and_an_exact_torus():
    disc, torus = (detectors.addition_mechanism(network(*phases(0, offset))) for offset in (0.0, None))
    (of_disc,), (of_torus,) = disc.clusters, torus.clusters
    assert (of_disc["frequency"], of_disc["neurons"], of_torus["frequency"]) == (3, M, 3)
    assert of_disc["phase_concentration"] == pytest.approx(1, abs=1e-6)
    assert of_torus["phase_concentration"] < 0.4
    assert of_disc["torus"] == pytest.approx(0.5**0.5, abs=0.02)
    assert of_disc["disc"] > 0.98
    assert of_torus["torus"] > 0.95
    assert max(of_disc["circle"], of_torus["circle"]) < 1e-6
    assert "disc" in detectors.run(network(*phases(0, 0.0)), names=["addition_mechanism"]).summary


@pytest.mark.wide
@pytest.mark.parametrize("offset", [0.7, 2.0, -1.3])
def test_an_offset_between_the_operands_is_fitted(offset):
    """Separate vocabularies have one; without the fit it is (1 + cos(offset)) / 2 of a disc."""
    plain, moved = (detectors.addition_mechanism(network(*phases(0, x))).clusters[0] for x in (0.0, offset))
    assert moved["disc"] == pytest.approx(plain["disc"], abs=1e-4)
    assert moved["phase_concentration"] == pytest.approx(1, abs=1e-6)


def test_what_sees_a_sum_alone_is_symmetric_untrained_or_not():
    rng = np.random.default_rng(0)
    table = rng.standard_normal((P, M))
    weights = {"W_x": table, "W_y": table, "W": np.concatenate([np.eye(M)] * 2), "W_U": rng.standard_normal((M, P))}
    view = ModelView(TwoEmbeddingMLP({k: torch.from_numpy(w).float() for k, w in weights.items()}), f"add:{P}")
    report = detectors.run(view, names=["addition_mechanism"])["addition_mechanism"]
    assert report.evidence["gradient_symmetricity"] == pytest.approx(1, abs=1e-6)
    assert report.verdict == "absent"


def test_units_of_a_neuron_move_coordinates_and_neither_value_nor_verdict():
    view = network(*phases(0))
    grown = {k: w.clone() for k, w in view.weights.items()}
    for name in ("W_x", "W_y"):
        grown[name][:, 0] *= 1e4
    grown["W_U"][0] /= 1e4
    before, after = (detectors.addition_mechanism(v) for v in (view, ModelView(TwoEmbeddingMLP(grown), f"add:{P}")))
    assert after.value == pytest.approx(before.value, abs=1e-4)
    assert after.clusters[0]["phase_concentration"] == pytest.approx(1, abs=1e-3)


def test_the_sentence_is_of_no_units():
    """A torus of which one neuron is in units of 1e-4: the same function, and its own coordinates those of a disc."""
    view = network(*phases(0))
    grown = {k: w.clone() for k, w in view.weights.items()}
    for name in ("W_x", "W_y"):
        grown[name][:, 0] *= 1e4
    grown["W_U"][0] /= 1e4
    other = ModelView(TwoEmbeddingMLP(grown), f"add:{P}")
    torch.testing.assert_close(other.logits(), view.logits(), rtol=1e-4, atol=1e-4)
    before, after = (detectors.addition_mechanism(v) for v in (view, other))
    assert after.mean["phase_concentration"] > 0.99
    assert after.weighed["frequencies"] == before.weighed["frequencies"] == [3]
    for key in ("disc", "torus", "phase_concentration"):
        assert after.weighed[key] == pytest.approx(before.weighed[key], abs=1e-4)
    assert clause(after) == clause(before)


def periods(shape, p, frequencies, m=40):
    """ReLU neurons of a disc whose rows are waves of another shape, m phases a period."""
    rows, out = [], []
    for k in frequencies:
        turn, phase = 2 * np.pi * k / p * np.arange(p), 2 * np.pi * (np.arange(m) + 0.3) / m
        rows.append(shape(turn[:, None] + phase))
        out.append(np.cos(turn + 2 * phase[:, None]))
    table, eye = np.concatenate(rows, axis=1), np.eye(m * len(frequencies))
    weights = {"W_x": table, "W_y": table, "W": np.concatenate([eye, eye]), "W_U": np.concatenate(out)}
    return ModelView(TwoEmbeddingMLP({k: torch.from_numpy(w).float() for k, w in weights.items()}), f"add:{p}")


def square(x):
    return np.sign(np.cos(x) + 1e-9)


def triangle(x):
    return 1 - 2 * np.arccos(np.clip(np.cos(x), -1, 1)) / np.pi


@pytest.mark.parametrize(("shape", "share"), [(np.cos, 1.0), (triangle, 96 / np.pi**4), (square, 8 / np.pi**2)])
def test_concentration_of_a_code_of_one_period(shape, share):
    """The strongest frequency has 1, 0.986, 0.811 of a cosine's, triangle's, square wave's power: the concentration of
    the embedding falls by 0.05 at most, and counts a second frequency of the square wave as key.
    """
    view = periods(shape, 113, [16], 240)
    wrong = 1 / 113 if shape is square else 0.0  # where a = b
    assert view.figures().accuracy.all == pytest.approx(1 - wrong, abs=1e-3)
    embedding = detectors.sparse_fourier_embedding(view, draws=99)
    assert embedding.power[0] == pytest.approx(share, abs=2e-3)
    assert embedding.value > 0.95
    assert embedding.frequencies == ((16, 48) if shape is square else (16,))


def test_a_square_wave_is_one_family_and_answers_by_its_base():
    view = periods(square, 59, [7], 236)
    score = detectors.addition_mechanism(view, draws=9)
    assert score.families == ([7, 21, 24],)  # 24 is 5 x 7 up to the sign
    assert score.circles[0]["kept"] > 0.98


@pytest.mark.wide
def test_five_codes_are_five_periods():
    """2 has 3 x 37 and 5 x 23 of their harmonics. The spectrum is less concentrated than that of five cosines."""
    keys = [23, 6, 37, 41, 39]
    plain, wave = (
        detectors.sparse_fourier_embedding(periods(shape, 113, keys), draws=99) for shape in (np.cos, square)
    )
    assert set(plain.frequencies) == set(wave.frequencies) == set(keys)
    assert plain.value - wave.value == pytest.approx(0.076, abs=0.01)
    families = detectors.addition_mechanism(periods(square, 113, keys), draws=9).families
    assert {family[0] for family in families} == set(keys)
    assert [family for family in families if len(family) > 1] == [[37, 2]]


def test_circles_are_of_the_eight_strongest_clusters_and_of_no_units():
    view = trig_mlp(p=37, frequencies=range(1, 11), amplitudes=[1 + k / 10 for k in range(10)])
    score = detectors.addition_mechanism(view)
    assert len(score.clusters) == 10
    assert [c["frequency"] for c in score.circles] == [10, 9, 8, 7, 6, 5, 4, 3]
    assert score.circles_alone == 1.0
    grown = {k: w.clone() for k, w in view.weights.items()}
    for name in ("W_x", "W_y"):
        grown[name][:, 0] *= 1e3
    grown["W_U"][0] /= 1e3
    other = detectors.addition_mechanism(ModelView(TwoEmbeddingMLP(grown), view.task))
    assert len(other.clusters) == 1
    assert [c["frequency"] for c in other.circles] == [c["frequency"] for c in score.circles]
    assert sorted(other.families) == sorted(score.families)


def test_the_picture_says_what_a_circle_does_alone():
    score = detectors.addition_mechanism(trig_mlp(p=P, frequencies=(3, 5), act_fn="square"))
    *_, alone = picture_of(detectors.addition_mechanism)(score)
    bars = dict(zip(alone.data.names, alone.data.shares, strict=True))
    for circle in score.circles:
        for key in ("clock", "pizza", "kept"):
            assert bars[f"{key}, {circle['frequency']}"] == circle[key]
    assert set(alone.data.weak) == {"kept, 3", "kept, 5"}


@pytest.mark.wide
def test_memorisers_other_groups_and_several_layers():
    report = detectors.run(detectors.load("zoo:add53_memorised"), names=["addition_mechanism"])
    assert report["addition_mechanism"].verdict == "absent"
    with pytest.raises(Undetermined, match="first of 2 layers"):
        detectors.addition_mechanism(detectors.load("zoo:add53_two_layers"))
    with pytest.raises(NotApplicable, match="D15 is no cyclic group"):
        detectors.addition_mechanism(detectors.load("zoo:d15_transformer"))
    other = detectors.run(detectors.load("zoo:d15_transformer"), names=["addition_mechanism"])["addition_mechanism"]
    assert (other.verdict, other.reason) == ("not_applicable", "this model has no cyclic group")
