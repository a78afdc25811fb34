"""The plain-torch pass against TransformerLens 4, as an independent implementation of the forward pass."""

import pytest
import torch

import detectors
from detectors.core.errors import CheckpointError

pytest.importorskip("transformer_lens", reason="transformer-lens is an extra")

BASE = {
    "n_layers": 1,
    "d_model": 32,
    "d_head": 8,
    "n_heads": 4,
    "d_mlp": 64,
    "n_ctx": 3,
    "d_vocab": 12,
    "d_vocab_out": 11,
}


def boot(**change):
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge

    bridge = TransformerBridge.boot_native(TransformerBridgeConfig(**BASE | {"seed": 0} | change))
    with torch.no_grad():  # biases start at zero, where a mistake would hide
        for k, parameter in enumerate(bridge.parameters()):
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(k)))
    return bridge


@pytest.mark.parametrize(
    "change",
    [
        {"normalization_type": None, "act_fn": "relu"},
        {"normalization_type": "LN", "act_fn": "gelu", "n_layers": 2},
        {"normalization_type": None, "act_fn": "silu", "n_ctx": 2, "d_vocab": 11},
        {"normalization_type": "LN", "act_fn": "relu", "d_vocab": 23},
    ],
)
def test_logits_are_those_of_the_bridge(change):
    bridge = boot(**change)
    view = detectors.from_bridge(bridge, task="add:11")
    pairs = torch.arange(121)
    with torch.no_grad():
        theirs = bridge(view.network.sequence(view.tokens_of(pairs)))[:, -1]
    torch.testing.assert_close(view.logits(), theirs[:, :11], atol=1e-5, rtol=1e-5)


def test_a_setting_that_the_plain_pass_does_not_know_is_refused():
    with pytest.raises(CheckpointError, match="differs from the bridge"):
        detectors.from_bridge(
            boot(normalization_type=None, act_fn="relu", n_layers=2, attention_dir="bidirectional"), task="add:11"
        )


def test_the_view_of_a_bridge_is_scored():
    report = detectors.run(detectors.from_bridge(boot(normalization_type=None, act_fn="relu"), task="add:11"), draws=19)
    assert report["trig_logits"].verdict == "absent"
    assert report.checkpoint.path == "(in memory)"
