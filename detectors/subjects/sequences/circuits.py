"""Circuits of heads read off the weights: from tokens to what a head would have the model say (OV), with norms folded.

Source: "A Mathematical Framework for Transformer Circuits" (2021). Where the first layer has neurons, a token's
residual behind it takes the place of its embedding, since models write what a token is there.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from detectors.core.activations import activation
from detectors.core.errors import NotApplicable
from detectors.core.nulls import subset
from detectors.subjects.sequences.patterns import Sample
from detectors.subjects.sequences.view import SequenceView

SOME = 500  # tokens of a vocabulary that is too large for all of them
FEWEST = 5  # tokens that a model both reads and says


class Circuit(NamedTuple):
    """OV = read @ write, of the tokens that are no markers; rows and columns about their means."""

    read: Float[Tensor, "token d_head"]
    write: Float[Tensor, "d_head token"]

    def eigenvalues(self) -> Tensor:
        """The non-zero ones, from the small product."""
        product = self.write @ self.read
        try:
            return torch.linalg.eigvals(product)
        except RuntimeError:  # all but equal, as in a head that copies exactly
            generator = torch.Generator().manual_seed(0)
            noise = torch.randn(product.shape, dtype=product.dtype, generator=generator)
            return torch.linalg.eigvals(product + 1e-9 * product.norm() * noise)


def circuits(model: SequenceView, sample: Sample) -> list[Circuit]:
    """One a head, layer by layer. Errors: NotApplicable where too few tokens can be both read and said."""
    tokens = content(model, sample)
    if (of_layer := getattr(model.network, "circuits", None)) is not None:
        some = tokens[subset(len(tokens), SOME, 0)]
        return [c for layer in range(model.network.n_layers) for c in of_layer(layer, some)]
    out = _unembedding(model)[:, tokens]
    out = out - out.mean(1, keepdim=True)
    found = []
    for layer in range(model.network.n_layers):
        stream = folded(model, _residual(model, layer)[tokens], f"blocks.{layer}.ln1")
        for head in range(model.n_heads):
            values, outputs = (model.weight(f"blocks.{layer}.attn.W_{which}")[head].double() for which in "VO")
            read = stream @ values
            found.append(Circuit(read - read.mean(0), outputs @ out))
    return found


def content(model: SequenceView, sample: Sample) -> Int[Tensor, " token"]:
    """Tokens of the sequences that are no markers and have an answer of their number."""
    found = sample.tokens[~sample.markers].unique()
    found = found[found < model.n_answers]
    if len(found) < FEWEST or model.n_answers < model.network.n_tokens - 2:
        raise NotApplicable(
            f"of the {model.network.n_tokens} tokens that the model reads {len(found)} can be its answers, of which "
            f"there are {model.n_answers}: answers are not taken for tokens, so no head for one that copies them"
        )
    return found


def folded(model: SequenceView, stream: Float[Tensor, "token d_model"], norm: str) -> Float[Tensor, "token d_model"]:
    """What a layer reads of a residual stream: its LayerNorm without the bias, which is the same for all tokens."""
    kind = model.architecture.get("normalization_type")
    if kind is None:
        return stream
    stream = stream - stream.mean(1, keepdim=True)
    stream = stream / stream.square().mean(1, keepdim=True).sqrt().clamp_min(1e-12)
    weight = model.weights.get(f"{norm}.w")
    return stream if weight is None else stream * weight.double()


def _residual(model: SequenceView, layer: int) -> Float[Tensor, "token d_model"]:
    embedded = model.weight("embed.W_E").double()
    name = "blocks.0.mlp."
    if layer == 0 or name + "W_in" not in model.weights:
        return embedded
    act = activation(str(model.architecture.get("act_fn", "relu")))
    w = {k: model.weights[name + k].double() for k in ("W_in", "W_out")}
    pre = (
        folded(model, embedded, "blocks.0.ln2") @ w["W_in"] + model.weights.get(name + "b_in", torch.zeros(1)).double()
    )
    return embedded + act(pre) @ w["W_out"]


def _unembedding(model: SequenceView) -> Float[Tensor, "d_model answers"]:
    out = model.weight("unembed.W_U").double()
    weight = model.weights.get("ln_final.w")
    out = out if weight is None else weight.double()[:, None] * out
    return out if model.architecture.get("normalization_type") is None else out - out.mean(0)
