"""The layout of the original grokking code: d_model first in most matrices, and the heads of W_O side by side.

Source: the code of arXiv:2301.05217 and of arXiv:2306.17844; models of attention alone call their blocks `attn_blocks`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from detectors.loading.layouts import transformer_lens
from detectors.loading.shapes import Weights
from detectors.loading.transformer import Transformer

NAME = "original grokking transformer"
SUBJECTS = transformer_lens.SUBJECTS
OPTIONS = transformer_lens.OPTIONS
TENSORS = "embed.W_E [d_model, vocab], blocks.0 or attn_blocks.0.attn.W_K [head, d_head, d_model], ..."

AXES = {
    **transformer_lens.AXES,
    "embed.W_E": "d_model d_vocab",
    **{f"blocks.{{i}}.attn.W_{which}": "n_heads d_head d_model" for which in "QKV"},
    "blocks.{i}.attn.W_O": "d_model n_heads*d_head",
    "blocks.{i}.mlp.W_in": "d_mlp{i} d_model",
    "blocks.{i}.mlp.W_out": "d_model d_mlp{i}",
}
_TURNED = ("W_E", "W_Q", "W_K", "W_V", "W_in", "W_out")


def matches(weights: Weights) -> bool:
    """W_O tells it from TransformerLens's: shapes of W_E say nothing where d_model is the size of the vocabulary."""
    named = _named(weights)
    renamed, output = named.keys() != weights.keys(), named.get("blocks.0.attn.W_O")
    return transformer_lens.matches(named) and (renamed or (output is not None and output.ndim == 2))


def build(weights: Weights, task: Any, arch: Mapping[str, Any]) -> tuple[Transformer, list[str]]:
    return transformer_lens.assemble(_named(weights), AXES, _turn, task, arch)


def _named(weights: Weights) -> dict[str, Tensor]:
    return {re.sub(r"^attn_blocks\.", "blocks.", name): tensor for name, tensor in weights.items()}


def _turn(name: str, tensor: Tensor, sizes: dict[str, int]) -> Tensor:
    if name.endswith("attn.W_O"):
        return tensor.unflatten(1, (sizes["n_heads"], sizes["d_head"])).permute(1, 2, 0)
    return tensor.mT if name.endswith(_TURNED) else tensor
