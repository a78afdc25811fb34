"""A TransformerLens 4 `TransformerBridge` in memory, read into the plain-torch transformer and checked against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool

from detectors.core.errors import CheckpointError
from detectors.loading.layouts import transformer_lens
from detectors.loading.recognise import parse_options
from detectors.loading.transformer import Transformer
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView

TOLERANCE = 1e-5


def from_bridge(
    bridge: Any, /, *, task: str | Task, train_mask: Bool[np.ndarray, " pairs"] | Sequence[bool] | None = None
) -> ModelView:
    """A view of a `TransformerBridge` (TransformerLens 4.2 or later) with two operands.

    The weights are copied as they stand, by `tl_named_parameters`; call this before `enable_compatibility_mode`,
    which rewrites them. Errors: CheckpointError where the copy does not give the bridge's own logits to 1e-5 of
    their largest size, so that a setting which the plain forward pass does not know cannot pass unnoticed.

    >>> from transformer_lens.config import TransformerBridgeConfig
    >>> from transformer_lens.model_bridge import TransformerBridge
    >>> sizes = dict(n_layers=1, d_model=16, d_head=8, n_heads=2, d_mlp=32, n_ctx=3, d_vocab=8, d_vocab_out=7)
    >>> bridge = TransformerBridge.boot_native(TransformerBridgeConfig(**sizes, act_fn="relu", normalization_type=None))
    >>> from_bridge(bridge, task="add:7").logits().shape
    torch.Size([49, 7])
    """
    named = bridge.tl_named_parameters()
    items = named.items() if hasattr(named, "items") else named
    weights = {name: tensor.detach().float().cpu().clone() for name, tensor in items}
    if not transformer_lens.matches(weights):
        raise CheckpointError("this bridge does not hold a transformer")
    arch = {"act_fn": str(bridge.cfg.act_fn), "normalization_type": str(bridge.cfg.normalization_type or "none")}
    known = (Task.parse(task) if isinstance(task, str) else task) if task != "infer" else None
    network, _ = transformer_lens.build(weights, known, parse_options(arch))
    view = ModelView(network, known or "infer", train_mask=train_mask)
    _check_same(bridge, network, view)
    return view


def _check_same(bridge: Any, network: Transformer, view: ModelView) -> None:
    """Compare logits on up to 64 pairs spread over the grid."""
    n = view.task.n_tokens
    tokens = view.tokens_of(torch.linspace(0, n * n - 1, min(64, n * n)).long())
    with torch.no_grad():
        ours = view.run(tokens)[0]
        theirs = bridge(network.sequence(tokens))[:, -1, : ours.shape[1]].float().cpu()
    error = float((ours - theirs).abs().max() / theirs.abs().max().clamp_min(1.0))
    if not error <= TOLERANCE:
        raise CheckpointError(
            f"the plain forward pass differs from the bridge by {error:.1e} of its largest logit: the bridge uses "
            "something that shapes do not show (positions, attention, activation, or compatibility mode)"
        )
