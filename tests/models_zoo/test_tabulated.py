"""The trainer's shortcut, against the pass that scores."""

import pytest
import torch

import detectors
from models_zoo import tabulated
from models_zoo.architectures import initial_weights, network

T = {"n_layers": 2, "d_model": 16, "n_heads": 4, "d_head": 4, "d_mlp": 24, "n_ctx": 3, "d_vocab": 8, "d_vocab_out": 7}
MODELS = {
    "two layers": {"kind": "transformer", **T},
    "one layer": {"kind": "transformer", **T, "n_layers": 1},
    "separate vocabularies": {"kind": "transformer", **T, "n_ctx": 2, "d_vocab": 14, "n_layers": 1},
    "unnormalised attention": {"kind": "transformer", **T, "attn_coeff": 0.3, "act_fn": "gelu"},
    "LayerNorm": {"kind": "transformer", **T, "normalization_type": "LN", "biases": True, "n_ctx": 2, "d_vocab": 7},
    "MLP": {"kind": "mlp", "n_tokens": 7, "d_model": 4, "d_mlp": 6, "d_vocab_out": 7},
}


@pytest.mark.parametrize("name", MODELS)
def test_tabulated_logits_and_gradients_are_those_of_the_forward_pass(name):
    tokens = torch.cartesian_prod(torch.arange(7), torch.arange(7))
    gradients = []
    for forward in (tabulated.forward, lambda net, tokens: net.forward(tokens, lambda _, tensor: tensor)):
        w = {k: v.double().requires_grad_() for k, v in initial_weights(MODELS[name], 0).items()}
        logits = forward(network(MODELS[name], w, detectors.Task.parse("add:7")), tokens)
        torch.nn.functional.cross_entropy(logits, tokens.sum(1) % 7).backward()
        gradients.append({k: v.grad for k, v in w.items()} | {"logits": logits.detach()})
    for name, value in gradients[1].items():
        torch.testing.assert_close(gradients[0][name], value, atol=1e-12, rtol=1e-9)
