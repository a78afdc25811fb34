"""phi_a + phi_b = phi_c: exact networks with and without it, and memorisers, which have the phases and no frequency."""

import numpy as np
import pytest
import torch

import detectors
from detectors.core.errors import MissingPart, NotApplicable
from detectors.loading.layouts.two_embedding_mlp import TwoEmbeddingMLP
from detectors.motifs.neuron_phase_law_picture import picture
from detectors.subjects.operands.view import ModelView

P, M, K = 17, 60, (3, 5)
A = np.arange(P)


def network(off=0.0, sign=1, seed=0, noise=0.0, act_fn="relu"):
    """Neurons cos(wa + phi_a) + cos(wb + phi_b) with random phases, read out by cos(wc + phi_a + sign phi_b + off)."""
    rng = np.random.default_rng(seed)
    w = 2 * np.pi / P * np.repeat(K, M // 2)
    first, second = rng.uniform(0, 2 * np.pi, (2, M))
    rows = [np.cos(w * A[:, None] + x) + noise * rng.standard_normal((P, M)) for x in (first, second)]
    out = np.cos(w[:, None] * A + (first + sign * second + off)[:, None])
    weights = {"W_x": rows[0], "W_y": rows[1], "W": np.concatenate([np.eye(M)] * 2), "W_U": out}
    return ModelView(TwoEmbeddingMLP({k: torch.from_numpy(x).float() for k, x in weights.items()}, act_fn), f"add:{P}")


@pytest.mark.parametrize("act_fn", ["relu", "square"])
def test_the_law_holds_of_a_network_written_with_it(act_fn):
    score = detectors.neuron_phase_law(network(act_fn=act_fn))
    assert (score.value, score.mean_cosine, score.share) == pytest.approx((1, 1, 1), abs=1e-5)
    assert score.deviation == pytest.approx(0, abs=1e-5)
    assert score.null.p_value == 0.005
    assert {one["frequency"] for one in score.phases} == set(K)


@pytest.mark.parametrize("off", [0.5, 1.2, -2.0])
def test_a_turned_readout_is_off_by_its_angle(off):
    """And not by its negative: of the law's sides, phi_c is the one that was turned."""
    score = detectors.neuron_phase_law(network(off))
    assert score.deviation == pytest.approx(-off, abs=1e-5)
    (drawn,) = picture(score)
    assert drawn.data.heights == pytest.approx([1 - abs(off) / np.pi] * len(score.phases), abs=1e-4)
    assert score.value == pytest.approx(max(np.cos(off), 0), abs=1e-5)


def test_a_difference_of_phases_is_no_sum():
    """phi_c = phi_a - phi_b: all phases are there, and the wrong law."""
    report = detectors.run(network(sign=-1), names=["neuron_phase_law"])["neuron_phase_law"]
    assert report.score < 0.3
    assert report.verdict == "absent"


def test_the_relabelled_task_has_its_own_law():
    """Of a - b, where the group's b is minus the token: the same network with the right table mirrored."""
    view = network()
    mirrored = {**view.weights, "W_y": view.weights["W_y"][(-torch.arange(P)) % P]}
    other = ModelView(TwoEmbeddingMLP(mirrored, "relu"), f"sub:{P}")
    assert detectors.neuron_phase_law(other).value == pytest.approx(1, abs=1e-5)


def test_noise_in_the_inputs_takes_their_share():
    """Noise of variance s^2 beside a wave of 1/2 leaves 1/2 / (1/2 + s^2 (P - 3) / (P - 1)) of the power, about."""
    score = detectors.neuron_phase_law(network(noise=0.5))
    assert score.share == pytest.approx(0.5 / (0.5 + 0.25 * (P - 3) / (P - 1)), abs=0.05)
    assert score.value == pytest.approx(score.share * score.mean_cosine, abs=0.05)


@pytest.mark.parametrize("side", ["W_x", "W_y"])
def test_neurons_that_read_one_operand_obey_no_law_and_have_no_phase_of_the_other(side):
    """Half of them read nothing of one operand, but for what rounding would leave of it."""
    view = network()
    alone = view.weights[side].clone()
    alone[:, ::2] = 1e-7 * torch.randn(P, M // 2, generator=torch.Generator().manual_seed(0))
    other = ModelView(TwoEmbeddingMLP({**view.weights, side: alone}, "relu"), f"add:{P}")
    score = detectors.neuron_phase_law(other)
    assert score.value == pytest.approx(score.share, abs=1e-5)
    assert 0.2 < score.value < 0.8
    assert score.share == pytest.approx(score.mean_cosine, abs=1e-5)
    every = {**view.weights, side: 1e-7 * torch.randn(P, M, generator=torch.Generator().manual_seed(0))}
    blind = ModelView(TwoEmbeddingMLP(every, "relu"), f"add:{P}")
    assert detectors.neuron_phase_law(blind).value == 0
    found = detectors.addition_mechanism(blind)
    assert {one["phase_concentration"] for one in found.clusters} == {None}
    assert found.mean["phase_concentration"] is None


def test_a_readout_shuffled_over_neurons_keeps_nothing():
    view = network()
    order = torch.from_numpy(np.random.default_rng(0).permutation(M))
    other = ModelView(TwoEmbeddingMLP({**view.weights, "W_U": view.weights["W_U"][order]}, "relu"), f"add:{P}")
    assert detectors.run(other, names=["neuron_phase_law"])["neuron_phase_law"].verdict == "absent"


def test_memorisers_have_the_phases_and_no_frequency():
    score = detectors.neuron_phase_law(detectors.load("zoo:add53_memorised"))
    assert score.mean_cosine > 0.7
    assert score.share < 0.3
    for name, verdict in (("add53_memorised", "absent"), ("add53_mlp", "present"), ("add53_mlp_untrained", "absent")):
        found = detectors.run(detectors.load(f"zoo:{name}"), names=["neuron_phase_law"])["neuron_phase_law"]
        assert found.verdict == verdict, name


@pytest.mark.wide
@pytest.mark.external
def test_published_networks_obey_it(external, capsys):
    """Discs (transformers) and tori (MLPs), as arXiv:2311.07568 has it of margins and arXiv:2306.17844 of discs."""
    rows = []
    for name in ("C113_MLP_seed1", "C118_MLP_seed1", "C113_T_seed1", "C118_T_seed1"):
        view = detectors.load(external / "group" / f"{name}.pt", task=f"add:{name[1:4]}")
        score = detectors.neuron_phase_law(view, draws=19)
        rows.append((name, round(score.value, 3), round(score.mean_cosine, 3), round(score.share, 3)))
        assert score.mean_cosine > 0.95
    with capsys.disabled():
        print("\nnetwork, value, mean cosine, share:", *rows, sep="\n")


def test_called_on_what_it_does_not_speak_of():
    with pytest.raises(NotApplicable, match="S4 is no cyclic group"):
        detectors.neuron_phase_law(detectors.load("zoo:s4_mlp"))
    with pytest.raises(MissingPart, match="no readout"):
        detectors.neuron_phase_law(detectors.load("zoo:add53_ln_gelu"))


@pytest.mark.parametrize("other", [0.0, 1.0, 50.0])
def test_a_readout_at_another_frequency_counts_by_its_share(other):
    """The law holds of what is read at the neuron's own frequency, and that is 1 / (1 + other^2) of the readout."""
    view = network()
    w = 2 * np.pi / P * np.repeat((4, 6), M // 2)
    elsewhere = torch.from_numpy(np.cos(w[:, None] * A)).float()
    mixed = {**view.weights, "W_U": view.weights["W_U"] + other * elsewhere}
    score = detectors.neuron_phase_law(ModelView(TwoEmbeddingMLP(mixed, "relu"), f"add:{P}"))
    assert score.mean_cosine == pytest.approx(1, abs=1e-3)
    assert (score.value, score.share_out) == pytest.approx((1 / (1 + other**2),) * 2, abs=0.02)
