"""The pictures of `trig_product_neurons` say what its score says."""

import numpy as np
import pytest

from detectors import trig_product_neurons
from detectors.core.groups import Group
from detectors.core.registry import picture_of
from detectors.motifs import trig_product_neurons as module
from models_zoo import trig_mlp
from tests.motifs.made import wave, with_neurons

FEW = {"draws": 39}
pictures = picture_of(trig_product_neurons)


def test_pictures_say_what_the_score_says():
    """(cos wa + cos wb)^2 holds 1/5 of its power in cos 2wa and cos 2wb, outside its family."""
    view = trig_mlp(p=11, frequencies=(3,), act_fn="square")
    score = trig_product_neurons(view, **FEW)
    bars, strip, whole, fit = pictures(score)
    assert (bars.data.names, bars.data.heights, bars.data.chance) == (score.irreps, score.power, score.key_cuts)
    assert (bars.data.key, bars.data.unit, bars.data.form) == (("freq_3",), "share of the power", ".0%")
    assert strip.data.names == ("freq_3",) * 9
    assert strip.data.heights == pytest.approx([0.8] * 9)
    assert sorted(strip.data.numbers) == list(range(9))
    assert (strip.data.of, strip.data.unit) == ("neuron", "share explained")
    assert "strongest" not in strip.reading
    example = score.neurons.example
    assert whole.title == f"Neuron {example}, the strongest of irrep 3"
    assert fit.title == "Its fit within irrep 3"
    assert "80.0% of its power" in fit.reading
    assert "Only the first" not in whole.reading
    neuron = view.neurons()[:, example].reshape(11, 11)
    assert whole.data.values == pytest.approx((neuron - neuron.mean()).double().numpy(), abs=1e-6)
    assert score.neurons.fit_share == pytest.approx(0.8)
    assert ((whole.data.values - fit.data.values) ** 2).sum() == pytest.approx(0.2 * (whole.data.values**2).sum())
    assert whole.data.bound == fit.data.bound == max(np.abs(whole.data.values).max(), np.abs(fit.data.values).max())
    assert (whole.data.rows, whole.data.columns, fit.data.rows) == ("a", "b", "a")
    assert whole.half
    assert fit.half


def test_the_example_is_the_strongest_of_the_irrep_that_most_neurons_have():
    values = [3 * wave(11, 4), wave(11, 2), 2 * wave(11, 2) + 0.5 * wave(11, 5).T, 1.5 * wave(11, 1)]
    neurons = trig_product_neurons(with_neurons(values), **FEW).neurons
    assert neurons.numbers == (0, 2, 3, 1)
    assert neurons.irreps == ("freq_4", "freq_2", "freq_1", "freq_2")
    assert neurons.shares == pytest.approx((1, 4 / 4.25, 1, 1))
    assert neurons.example == 2
    assert neurons.fit == pytest.approx(2 * wave(11, 2), abs=1e-6)
    assert neurons.fit_share == pytest.approx(4 / 4.25)


def test_the_largest_groups_are_cut_and_other_orders_are_said():
    whole = pictures(trig_product_neurons(trig_mlp(p=131, frequencies=(3,)), draws=1))[2]
    assert whole.data.values.shape == (128, 128)
    assert "Only the first 128 of 131 elements" in whole.reading
    values = np.random.default_rng(0).standard_normal((1, 7, 7))
    for spec, relabelled in (("mul:7", True), ("add:7", False)):
        drawn = pictures(trig_product_neurons(with_neurons(values, spec), **FEW))[2].data
        assert (drawn.rows, drawn.columns) == (
            ("a, in the group's order", "b, in the group's order") if relabelled else ("a", "b")
        )
        assert len(drawn.values) == (6 if relabelled else 7)


def test_a_dot_has_three_numbers_and_the_strip_no_more_than_a_map():
    assert 3 * module.DRAWN <= module.SIDE**2
    assert Group.from_name("D61").order <= module.SIDE  # of the papers' groups the largest but S6
