"""Which layout a file has, and what is said where there is none or where an option cannot be."""

import pytest
import torch

import detectors
import models_zoo
from detectors.core.errors import CheckpointError
from detectors.loading.recognise import LAYOUTS


def test_an_unknown_layout_prints_what_was_found_and_what_is_known(saved):
    with pytest.raises(CheckpointError, match=r"layer1\.weight \[3, 4\][\s\S]*W_x, W_y[\s\S]*--loader"):
        detectors.load(saved({"layer1.weight": torch.zeros(3, 4)}), task="add:7")


@pytest.mark.wide
@pytest.mark.parametrize("task", ["add:6", "add:8", "compose:S4", "max:113"])
def test_a_task_of_another_size_is_refused(saved, transformer, mlp, original, task):
    for i, weights in enumerate((transformer, mlp, original(transformer))):
        with pytest.raises(CheckpointError, match="tokens"):
            detectors.load(saved(weights, f"{i}.pt"), task=task)


@pytest.mark.parametrize(
    "arch",
    [{"act_fn": "swoosh"}, {"layers": "3"}, {"attn_coeff": "x"}, {"attn_coeff": "nan"}, {"normalization_type": "RMS"}],
)
def test_bad_arch_options(saved, transformer, arch):
    with pytest.raises(CheckpointError):
        detectors.load(saved(transformer), task="add:7", arch=arch)


@pytest.mark.parametrize("said", [False, "false"])
def test_options_are_said_in_words_or_as_they_are_in_python(saved, said):
    rng = torch.Generator().manual_seed(0)
    weights = {"embed.weight": (7, 8), "fc.weight": (16, 16), "head.weight": (7, 16)}
    file = saved({name: torch.randn(shape, generator=rng) for name, shape in weights.items()})
    assert detectors.load(file, task="add:7", arch={"act_on_input": said}).architecture["d_mlp"] == 16


def test_each_layout_has_a_matching_file_that_no_other_has(mlp, transformer, original):
    toy = {"W": torch.zeros(2, 5), "b_final": torch.zeros(5)}
    known = ((mlp, "MLP"), (original(transformer), "original"), (transformer, "TransformerLens"), (toy, "autoencoder"))
    for weights, name in known:
        first = next(layout for layout in LAYOUTS if layout.matches(weights))
        assert name in first.NAME
    assert len({layout.NAME for layout in LAYOUTS}) == len(LAYOUTS) == 4


def test_a_task_of_sequences_needs_a_layout_that_reads_them(saved, mlp):
    with pytest.raises(CheckpointError, match="one of sequences; a two-embedding MLP reads two operands"):
        detectors.load(saved(mlp), task="repeat")


def test_two_factors_of_a_readout_are_one_map(saved):
    """An exact circuit whose readout goes through six dimensions: no activation function stands between."""
    exact = models_zoo.trig_mlp(p=19, frequencies=(2, 5, 7))
    u, s, v = torch.linalg.svd(exact.weight("W_U"), full_matrices=False)
    m = len(u)
    weights = {"embed.weight": exact.weight("W_x"), "up.weight": torch.eye(m) + 0.0}
    weights |= {"down.weight": (u[:, :6] * s[:6]).T.contiguous(), "head.weight": v[:6].T.contiguous()}
    view = detectors.load(saved(weights), task="add:19")
    assert (view.architecture["n_layers"], view.architecture["d_mlp"]) == (1, m)
    assert view.figures().accuracy.all == 1
    torch.testing.assert_close(view.logits(), exact.logits(), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(view.readout(0), exact.readout(0), rtol=1e-3, atol=1e-3)
    other = detectors.load(saved(weights, "said.pt"), task="add:19", arch={"linear_head": "false", "readout": "sum"})
    assert other.architecture["n_layers"] == 2


@pytest.mark.parametrize("said", ["leaky_relu:0.2", "leaky_relu:.2", "leaky_relu"])
def test_a_leak_has_the_slope_that_is_said(saved, mlp, said):
    slope = 0.2 if ":" in said else 0.01
    view = detectors.load(saved(mlp), task="add:7", arch={"act_fn": said})
    before = view.preactivations(0)
    torch.testing.assert_close(view.neurons(0), torch.where(before > 0, before, slope * before))
    with pytest.raises(CheckpointError, match="leaky_relu:SLOPE"):
        detectors.load(saved(mlp), task="add:7", arch={"act_fn": "leaky_relu:1e99"})
