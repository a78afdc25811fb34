"""TransformerLens's names: what shapes show of the architecture, and what does not fit."""

import pytest
import torch

import detectors
from detectors.core.errors import CheckpointError, DetectorsError
from models_zoo.architectures import initial_weights

BLOCK = ("attn.W_Q", "attn.W_K", "attn.W_V", "attn.W_O", "mlp.W_in", "mlp.b_in", "mlp.W_out", "mlp.b_out")
NAMES = ("embed.W_E", "pos_embed.W_pos", "unembed.W_U", *(f"blocks.0.{part}" for part in BLOCK))


def test_two_positions_separate_vocabularies_and_extra_columns(saved, shape):
    shapes = [
        ({"n_ctx": 2, "d_vocab": 7}, False),
        ({"n_ctx": 2, "d_vocab": 14, "d_vocab_out": 14}, True),
        ({"n_ctx": 3, "d_vocab": 15}, True),
        ({"d_vocab_out": 8}, False),
    ]
    for i, (change, separate) in enumerate(shapes):
        view = detectors.load(saved(initial_weights(shape | change, 0), f"{i}.pt"), task="add:7")
        assert view.network.config.separate_vocabularies is separate
        assert view.logits().shape == (49, 7)


def test_layer_norm_is_recognised_and_can_be_said(saved, transformer):
    with_norm = transformer | {
        f"{name}.{part}": torch.full((8,), 1.0 if part == "w" else 0.0)
        for name in ("blocks.0.ln1", "blocks.0.ln2", "ln_final")
        for part in "wb"
    }
    ln = detectors.load(saved(with_norm, "ln.pt"), task="add:7")
    folded = detectors.load(saved(transformer, "pre.pt"), task="add:7", arch={"normalization_type": "LNPre"})
    assert ln.network.architecture["normalization_type"] == "LN"
    torch.testing.assert_close(ln.logits(), folded.logits())
    assert ln.readout() is None
    assert "readout" not in ln.parts


@pytest.mark.parametrize("missing", ["unembed.W_U", "pos_embed.W_pos", "blocks.0.attn.W_V", "blocks.0.mlp.W_out"])
def test_missing_tensors_are_named(saved, transformer, missing):
    del transformer[missing]
    with pytest.raises(CheckpointError, match=missing.replace(".", r"\.")):
        detectors.load(saved(transformer), task="add:7")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("axis", [0, -1])
def test_shapes_that_do_not_fit_each_other_are_refused(saved, transformer, name, axis):
    short = transformer[name].narrow(axis, 0, transformer[name].shape[axis] - 1).contiguous()
    expected = "has 7 answers, but W_U has 6 columns" if (name, axis) == ("unembed.W_U", -1) else "."
    with pytest.raises(DetectorsError, match=expected):
        detectors.load(saved(transformer | {name: short}), task="add:7")


@pytest.mark.parametrize("without", [0, 1])
def test_blocks_with_and_without_an_mlp_may_mix(saved, shape, without):
    """A block without W_in and W_out is attention alone, its stray bias unused; the other block keeps its MLP."""
    w = initial_weights(shape | {"n_layers": 2}, 0)
    zeroed = w | {k: torch.zeros_like(v) for k, v in w.items() if k.startswith(f"blocks.{without}.mlp")}
    mixed = {k: v for k, v in w.items() if not k.startswith(f"blocks.{without}.mlp.W_")}
    view = detectors.load(saved(mixed), task="add:7")
    torch.testing.assert_close(view.logits(), detectors.load(saved(zeroed, "zero.pt"), task="add:7").logits())
    assert set(view.checkpoint.unused) == {f"blocks.{without}.mlp.b_in", f"blocks.{without}.mlp.b_out"}
    with pytest.raises(CheckpointError, match="expected a matrix"):
        detectors.load(saved(w | {"blocks.0.mlp.W_in": torch.zeros(12)}, "flat.pt"), task="add:7")


def test_a_layer_norm_with_a_part_missing_is_refused(saved, shape):
    w = initial_weights(shape | {"normalization_type": "LN"}, 0)
    del w["blocks.0.ln2.b"]
    with pytest.raises(CheckpointError, match=r"LayerNorm without blocks\.0\.ln2\.b: "):
        detectors.load(saved(w), task="add:7")


@pytest.mark.parametrize("number", ["64", "999999999", "9" * 5000])
def test_a_number_in_a_name_does_not_make_that_many_layers(saved, transformer, number):
    """The last is more digits than Python reads."""
    path = saved(transformer | {f"blocks.{number}.attn.W_Q": torch.zeros(2, 8, 4)})
    if len(number) > 9:
        with pytest.raises(CheckpointError, match="a name of 5016 letters"):
            detectors.load(path, task="add:7")
    else:
        with pytest.raises(CheckpointError, match=f"{int(number) + 1} layers"):
            detectors.load(path, task="add:7")


def test_positions_of_a_sequence_model_ask_for_its_task(saved, shape):
    path = saved(initial_weights(shape | {"n_ctx": 9}, 0))
    with pytest.raises(CheckpointError, match=r"9 positions.*pass its task: repeat"):
        detectors.load(path, task="add:7")
    assert detectors.load(path, task="repeat").kind == "sequences"


def test_rotary_positions_are_refused_and_not_left_out(saved, transformer):
    buffers = {f"blocks.0.attn.rotary_{part}": torch.zeros(3, 4) for part in ("sin", "cos")}
    without = {name: tensor for name, tensor in transformer.items() if name != "pos_embed.W_pos"}
    for task in ("repeat", "add:7"):
        with pytest.raises(CheckpointError, match="its positions are rotary"):
            detectors.load(saved(without | buffers, "rotary.pt"), task=task)
    assert detectors.load(saved(transformer | buffers, "both.pt"), task="add:7").checkpoint.unused == tuple(buffers)
