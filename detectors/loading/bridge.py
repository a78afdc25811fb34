"""A TransformerLens 4 `TransformerBridge` in memory: its weights, in the plain-torch transformer or the model of
`transformers` that it wraps, checked against its own logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from detectors.core.errors import CheckpointError
from detectors.loading.language import from_transformers
from detectors.loading.layouts import transformer_lens
from detectors.loading.recognise import parse_options
from detectors.loading.transformer import Transformer
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from detectors.subjects.sequences.language import LanguageView

TOLERANCE = 1e-5
WRAPPED = "._original_component"  # in the names of tensors that TransformerLens has put hooks around


def from_bridge(
    bridge: Any, /, *, task: str | Task, train_mask: Bool[np.ndarray, " pairs"] | Sequence[bool] | None = None
) -> ModelView | LanguageView:
    """A view of a `TransformerBridge` (TransformerLens 4.2 or later): with two operands, or around a language model of
    `transformers` (task: `repeat` or `data:FILE.npz`, as `from_transformers`).

    The weights are taken as they stand; call this before `enable_compatibility_mode`, which rewrites them. Errors:
    CheckpointError where the copy does not give the bridge's own logits to 1e-5 of their largest size, so that a
    setting which the plain forward pass does not know cannot pass unnoticed.

    >>> from transformer_lens.config import TransformerBridgeConfig
    >>> from transformer_lens.model_bridge import TransformerBridge
    >>> sizes = dict(n_layers=1, d_model=16, d_head=8, n_heads=2, d_mlp=32, n_ctx=3, d_vocab=8, d_vocab_out=7)
    >>> bridge = TransformerBridge.boot_native(TransformerBridgeConfig(**sizes, act_fn="relu", normalization_type=None))
    >>> from_bridge(bridge, task="add:7").logits().shape
    torch.Size([49, 7])
    """
    if hasattr(getattr(bridge, "original_model", None), "get_output_embeddings"):
        return _language(bridge, str(task))
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


def _language(bridge: Any, task: str) -> LanguageView:
    """Around a model of the same configuration that shares the bridge's tensors, which stand there in wrappers."""
    from transformers import AutoModelForCausalLM

    made: Any = AutoModelForCausalLM
    model = made.from_config(deepcopy(bridge.original_model.config), attn_implementation="eager").float()
    found = {name.replace(WRAPPED, ""): tensor for name, tensor in bridge.original_model.state_dict().items()}
    if absent := [name for name in model.state_dict() if name not in found]:
        raise CheckpointError(f"this bridge lacks {absent[0]} of the {type(model).__name__} that it says it holds")
    model.load_state_dict({name: found[name].float().cpu() for name in model.state_dict()}, assign=True)
    model.tie_weights()
    view = from_transformers(model, bridge.tokenizer, task=task)
    tokens = view.few(2)
    with torch.no_grad():
        _compare(view.run(tokens)[0], bridge(tokens.to(bridge.cfg.device)).float().cpu())
    return view


def _check_same(bridge: Any, network: Transformer, view: ModelView) -> None:
    """Compare logits on up to 64 pairs spread over the grid."""
    n = view.task.n_tokens
    tokens = view.tokens_of(torch.linspace(0, n * n - 1, min(64, n * n)).long())
    with torch.no_grad():
        ours = view.run(tokens)[0]
        theirs = bridge(network.sequence(tokens))[:, -1, : ours.shape[1]].float().cpu()
    _compare(ours, theirs)


def _compare(ours: Tensor, theirs: Tensor) -> None:
    error = float((ours - theirs).abs().max() / theirs.abs().max().clamp_min(1.0))
    if not error <= TOLERANCE:
        raise CheckpointError(
            f"the plain forward pass differs from the bridge by {error:.1e} of its largest logit: the bridge uses "
            "something that shapes do not show (positions, attention, activation, or compatibility mode)"
        )
