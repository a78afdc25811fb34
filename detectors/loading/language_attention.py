"""The attention of `transformers`' models, seen and edited while a pass of ours is on its way.

Patterns are had where every family hands its queries, keys and values over (transformers' attention interface), with
the family's own attention behind it: grouped keys, sliding windows, sinks, soft caps and norms on queries and keys are
as they are there.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from detectors.subjects.hooks import Hook

ATTENTION = "circuit_detectors"


@dataclass
class Pass:
    """What is wanted of a forward pass. first, last: the layers that are run; those before give what `given` says,
    those behind what the last gave. at: where logits are wanted, everywhere without. outputs: of the layers run.
    """

    hook: Hook
    first: int = 0
    last: int = 2**31
    given: Any = None
    at: Bool[Tensor, "batch pos"] | None = None
    outputs: list[Any] = field(default_factory=list)


NOW: ContextVar[Pass | None] = ContextVar("pass", default=None)


def _attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None = None, **kwargs: Any
) -> tuple[Tensor, Tensor | None]:
    """The family's own attention, seen and edited where a pass of ours is on its way."""
    out, pattern = sys.modules[type(module).__module__].eager_attention_forward(
        module, query, key, value, attention_mask, **kwargs
    )
    if (now := NOW.get()) is None:
        return out, pattern
    name = f"blocks.{module.layer_idx}.attn."
    v = value.repeat_interleave(query.shape[1] // value.shape[1], dim=1).transpose(1, 2)
    seen, values = now.hook(name + "hook_pattern", pattern), now.hook(name + "hook_v", v)
    z = out.reshape(v.shape)
    if seen is not pattern or values is not v:
        z = torch.einsum("bhqk,bkhd->bqhd", seen, values)
    return now.hook(name + "hook_z", z).reshape(out.shape), pattern


def register() -> None:
    from transformers import AttentionInterface
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface

    AttentionInterface.register(ATTENTION, _attend)
    AttentionMaskInterface.register(ATTENTION, ALL_MASK_ATTENTION_FUNCTIONS["eager"])
