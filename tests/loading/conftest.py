"""Small weights of every layout."""

import pytest

from models_zoo.architectures import initial_weights

MLP = {"kind": "mlp", "n_tokens": 7, "d_model": 4, "d_mlp": 6, "d_vocab_out": 7}
T = {
    "kind": "transformer",
    "n_layers": 1,
    "d_model": 8,
    "n_heads": 2,
    "d_head": 4,
    "d_mlp": 12,
    "n_ctx": 3,
    "d_vocab": 8,
    "d_vocab_out": 7,
}


@pytest.fixture
def shape():
    """The `model` table of a small transformer."""
    return T


@pytest.fixture
def transformer():
    return initial_weights(T, 0)


@pytest.fixture
def mlp():
    return initial_weights(MLP, 0)


@pytest.fixture
def original():
    """The same weights in the layout of the original grokking code."""

    def turned(w):
        out = {"embed.W_E": w["embed.W_E"].T, "pos_embed.W_pos": w["pos_embed.W_pos"], "unembed.W_U": w["unembed.W_U"]}
        n = "blocks.0."
        out |= {f"{n}attn.W_{q}": w[f"{n}attn.W_{q}"].transpose(1, 2) for q in "QKV"}
        out[f"{n}attn.W_O"] = w[f"{n}attn.W_O"].reshape(-1, w["pos_embed.W_pos"].shape[1]).T
        if f"{n}mlp.W_in" in w:
            out[f"{n}mlp.W_in"], out[f"{n}mlp.W_out"] = w[f"{n}mlp.W_in"].T, w[f"{n}mlp.W_out"].T
            out |= {f"{n}mlp.b_{q}": w[f"{n}mlp.b_{q}"] for q in ("in", "out")}
        return {k: v.contiguous() for k, v in out.items()}

    return turned
