"""The original grokking code's names and axes, rewritten into TransformerLens's: the same function."""

import pytest
import torch

import detectors
from detectors.core.errors import CheckpointError
from models_zoo.architectures import initial_weights


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
def test_the_two_transformer_layouts_give_the_same_logits(saved, transformer, original, name):
    ours = detectors.load(saved(transformer, "tl_" + name), task="add:7")
    theirs = detectors.load(saved(original(transformer), "orig_" + name), task="add:7")
    torch.testing.assert_close(ours.logits(), theirs.logits())
    assert ours.checkpoint.layout != theirs.checkpoint.layout


def test_a_square_embedding_is_not_mistaken_for_its_transpose(saved, shape, original):
    """d_model equal to the vocabulary: shapes of W_E say nothing, those of W_O do."""
    w = initial_weights(shape, 1)  # d_model 8, d_vocab 8
    ours = detectors.load(saved(w, "a.pt"), task="add:7")
    theirs = detectors.load(saved(original(w), "b.pt"), task="add:7")
    torch.testing.assert_close(ours.logits(), theirs.logits())


def test_blocks_of_attention_alone_go_by_another_name(saved, shape, original):
    w = initial_weights(shape | {"d_mlp": 0}, 2)
    theirs = {k.replace("blocks.", "attn_blocks."): v for k, v in original(w).items()}
    found = detectors.load(saved(theirs), task="add:7")
    assert found.checkpoint.layout == "original grokking transformer"
    torch.testing.assert_close(found.logits(), detectors.load(saved(w, "ours.pt"), task="add:7").logits())


def test_heads_that_do_not_fill_the_output_matrix_are_refused(saved, transformer, original):
    theirs = original(transformer)
    theirs["blocks.0.attn.W_O"] = theirs["blocks.0.attn.W_O"][:, :-1].contiguous()
    with pytest.raises(CheckpointError, match=r"attn\.W_O has shape \[8, 7\]; the other tensors make it \[8, 8\]"):
        detectors.load(saved(theirs), task="add:7")
