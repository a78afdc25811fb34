"""The view against the definition of the forward pass, written out."""

import numpy as np
import pytest
import torch

import detectors
from detectors.core.errors import CheckpointError, MissingPart
from detectors.loading.transformer import Architecture, Transformer
from detectors.subjects.operands import view as view_module
from detectors.subjects.operands.view import ModelView
from models_zoo.architectures import initial_weights, network

SHAPE = {
    "n_layers": 2,
    "d_model": 8,
    "n_heads": 2,
    "d_head": 4,
    "d_mlp": 12,
    "n_ctx": 3,
    "d_vocab": 8,
    "d_vocab_out": 7,
}


def by_hand(w, a, b, attn_coeff=None):
    """One pair through every position and layer, with loops over heads, as the papers write it."""
    x = torch.stack([w["embed.W_E"][t] for t in (a, b, 7)]) + w["pos_embed.W_pos"]
    for i in range(2):
        out = torch.zeros_like(x)
        for h in range(2):
            q, k, v = (x @ w[f"blocks.{i}.attn.W_{n}"][h] for n in "QKV")
            scores = q @ k.T / 2.0
            if attn_coeff is None:
                pattern = scores.masked_fill(torch.ones(3, 3).triu(1).bool(), -torch.inf).softmax(-1)
            else:
                pattern = attn_coeff * scores.softmax(-1) + (1 - attn_coeff)
            out += pattern @ v @ w[f"blocks.{i}.attn.W_O"][h]
        x = x + out
        hidden = torch.relu(x @ w[f"blocks.{i}.mlp.W_in"] + w[f"blocks.{i}.mlp.b_in"])
        x = x + hidden @ w[f"blocks.{i}.mlp.W_out"] + w[f"blocks.{i}.mlp.b_out"]
    return (x @ w["unembed.W_U"])[-1], hidden[-1]


@pytest.mark.parametrize("attn_coeff", [None, 0.0, 0.7])
def test_forward_pass_is_that_of_the_papers(attn_coeff):
    model = {"kind": "transformer", **SHAPE}
    w = initial_weights(model, 0)
    view = ModelView(
        Transformer(w, Architecture(**SHAPE, n_tokens=7, attn_coeff=attn_coeff)), detectors.Task.parse("add:7")
    )
    for a, b in [(0, 0), (3, 5), (6, 1)]:
        logits, hidden = by_hand(w, a, b, attn_coeff)
        torch.testing.assert_close(view.logits()[7 * a + b], logits, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(view.neurons()[7 * a + b], hidden, atol=1e-5, rtol=1e-5)


def test_chunks_make_no_difference(grokked, monkeypatch):
    whole = grokked.logits()
    monkeypatch.setattr(view_module, "CHUNK", 100)
    parts = ModelView(grokked.network, grokked.task).logits()
    torch.testing.assert_close(whole, parts, atol=1e-4, rtol=1e-5)


def test_neurons_times_readout_and_the_rest_make_the_logits(grokked):
    """What the readout gives for a change of the neurons is what a run with that edit gives."""
    pairs = torch.arange(0, 2809, 97)
    change = torch.randn(len(pairs), 256, generator=torch.Generator().manual_seed(0))
    edited, _ = grokked.run(grokked.tokens_of(pairs), edit={"blocks.0.mlp.hook_post": lambda x: x + change[:, None]})
    expected = grokked.logits()[pairs] + change @ grokked.readout()
    torch.testing.assert_close(edited, expected, atol=1e-3, rtol=1e-4)


def test_run_is_differentiable_with_respect_to_the_embeddings(grokked):
    embedded = grokked.run(torch.tensor([[1, 2]]), capture=["hook_embed"])[1]["hook_embed"].detach().requires_grad_()
    logits, _ = grokked.run(torch.tensor([[1, 2]]), edit={"hook_embed": lambda _: embedded})
    logits[0, 3].backward()
    assert float(embedded.grad.abs().sum()) > 0


def test_parts_and_missing_parts(grokked):
    assert {"embedding", "neurons", "preactivations", "readout", "attention", "group", "split"} <= grokked.parts
    mlp = {"kind": "mlp", "n_tokens": 7, "d_model": 4, "d_mlp": 6, "d_vocab_out": 7}
    task = detectors.Task.parse("max:7")
    view = ModelView(network(mlp, initial_weights(mlp, 0), task), task)
    assert "group" not in view.parts
    assert view.split.status == "unknown"
    with pytest.raises(MissingPart, match="attention"):
        view.attention()
    with pytest.raises(MissingPart, match="hook point"):
        view.run(torch.tensor([[0, 0]]), capture=["blocks.3.hook"])
    with pytest.raises(MissingPart, match="W_Q"):
        view.weight("W_Q")
    assert grokked.attention().shape == (2809, 4, 3)
    torch.testing.assert_close(grokked.attention().sum(-1), torch.ones(2809, 4))


def test_a_model_that_does_not_fit_its_task_is_refused(grokked):
    with pytest.raises(CheckpointError, match="59 tokens and the model 53"):
        ModelView(grokked.network, detectors.Task.parse("add:59"))
    with pytest.raises(CheckpointError, match="training mask"):
        ModelView(grokked.network, grokked.task, train_mask=np.ones(5, dtype=bool))


def test_separate_vocabularies_read_b_from_the_second_half():
    shape = SHAPE | {"n_layers": 1, "n_ctx": 2, "d_vocab": 14}
    w = initial_weights({"kind": "transformer", **shape}, 0)
    net = Transformer(w, Architecture(**shape, n_tokens=7))
    assert net.sequence(torch.tensor([[2, 3]])).tolist() == [[2, 10]]
    torch.testing.assert_close(net.embedding(1), w["embed.W_E"][7:14])
