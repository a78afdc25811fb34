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


@pytest.fixture(scope="module")
def wrapped(tmp_path_factory):
    """A language model that a bridge is put around, its folder, and logits of before."""
    transformers, tokenizers = pytest.importorskip("transformers"), pytest.importorskip("tokenizers")
    from transformer_lens.model_bridge import TransformerBridge

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
    config = transformers.LlamaConfig(
        vocab_size=300, num_key_value_heads=2, architectures=["LlamaForCausalLM"], **sizes
    )
    model = transformers.LlamaForCausalLM(config).eval()
    folder = tmp_path_factory.mktemp("bridge")
    model.save_pretrained(folder)
    vocabulary = {"<unk>": 0, **{f"w{i}": i for i in range(1, 300)}}
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", pad_token="w1")
    tokenizer.save_pretrained(folder)
    tokens = torch.randint(0, 300, (2, 20))
    with torch.no_grad():
        before = model(tokens).logits
    return TransformerBridge.boot_transformers(str(folder), hf_model=model, tokenizer=tokenizer), tokens, before


def test_a_language_model_in_a_bridge_is_that_model(wrapped):
    bridge, tokens, before = wrapped
    view = detectors.from_bridge(bridge, task="repeat")
    assert torch.allclose(view.run(tokens)[0], before, atol=1e-5)
    assert view.tokens_of(["w7"]) == [7]
    assert detectors.run(view, names=["induction_heads"])["induction_heads"].verdict == "absent"


def test_a_bridge_that_says_something_else_is_refused(wrapped):
    bridge, _, _ = wrapped

    class Louder:
        def __getattr__(self, name):
            return getattr(bridge, name)

        def __call__(self, tokens):
            return 1.01 * bridge(tokens)

    with pytest.raises(CheckpointError, match="differs from the bridge"):
        detectors.from_bridge(Louder(), task="repeat")
