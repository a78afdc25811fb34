"""Anything with TransformerLens's hook points, run through them: a `HookedTransformer` of 1.x to 3.x, a bridge of 4.x.

Nothing of it is copied: its own forward pass is what is scored, so that whatever it computes is what is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from detectors.core.errors import CheckpointError
from detectors.loading.token_layout import TokenLayout
from detectors.loading.wrap import answering, likely, of_operands
from detectors.subjects.hooks import Hook
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from detectors.subjects.subject import Checkpoint
from detectors.subjects.tasks import of_two_operands, parse_task, subject

POINTS = ("attn.hook_pattern", "mlp.hook_pre", "mlp.hook_post")


def from_hooked(
    model: Any,
    /,
    *,
    task: str | Task,
    tokens: str | None = None,
    train_mask: Bool[np.ndarray, " pairs"] | Sequence[bool] | None = None,
) -> ModelView:
    """A view of a model of two operands that has TransformerLens's hook points, whatever version it is of.

    model: has `run_with_hooks(tokens, fwd_hooks=[(name, function)])`, `hook_dict`, `cfg.n_layers`, and parameters
    `embed.W_E` [d_vocab, d_model] and `unembed.W_U`; logits are [batch, pos, d_vocab_out], the last position
    answers. tokens: what it reads, as in `--tokens`; without it the layouts that its vocabulary and context allow
    are tried, and the one that answers most is taken.
    Errors: CheckpointError where it lacks one of these.
    """
    known = of_operands(parse_task(task) if isinstance(task, str) else task)
    lacking = [name for name in ("run_with_hooks", "hook_dict", "cfg", "named_parameters") if not hasattr(model, name)]
    if lacking:
        raise CheckpointError(
            f"{type(model).__name__} has no {', '.join(lacking)}: it is no model of TransformerLens. "
            "detectors.wrap takes any nn.Module"
        )
    network = Hooked(model, known, TokenLayout.parse(tokens, known.n_tokens)) if tokens else _tried(model, known)
    origin = Checkpoint(layout=f"{type(model).__name__} in memory", reading=(f'it reads tokens "{network.layout}"',))
    return of_two_operands(subject(network, known, origin)).with_train_mask(train_mask)


class Hooked:
    """A `Network` around it."""

    def __init__(self, model: Any, task: Task, layout: TokenLayout) -> None:
        self.model, self.task, self.layout = model, task, layout
        self.named: Mapping[str, Tensor] = dict(_weights(model))
        if missing := [name for name in ("embed.W_E", "unembed.W_U") if name not in self.named]:
            raise CheckpointError(f"{type(model).__name__} has no {', '.join(missing)} among its parameters")
        self.n_tokens, self.n_layers = task.n_tokens, int(model.cfg.n_layers)
        self.architecture: Mapping[str, Any] = {
            "kind": "transformer",
            **{k: v for k in ("n_layers", "d_model", "n_heads", "d_mlp", "act_fn") if (v := _of(model.cfg, k))},
        }

    @property
    def weights(self) -> Mapping[str, Tensor]:
        return {name: w.detach().float().cpu() for name, w in self.named.items()}

    def forward(self, tokens: Int[Tensor, "batch operands"], hook: Hook) -> Float[Tensor, "batch answers"]:
        first, second = self.layout.operands
        order = torch.tensor([first, second, *(i for i in range(len(self.layout)) if i not in (first, second))])

        def passed(name: str, back: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
            return lambda tensor, hook: back(tensor)

        def embedded(tensor: Tensor) -> Tensor:
            return hook("hook_embed", tensor[:, order])[:, order.argsort()]

        hooks = [("hook_embed", passed("hook_embed", embedded))]
        for layer in range(self.n_layers):
            for point in POINTS:
                name = f"blocks.{layer}.{point}"
                if name in self.model.hook_dict:
                    hooks.append((name, passed(name, lambda tensor, name=name: hook(name, tensor))))  # type: ignore[misc]
        logits = self.model.run_with_hooks(
            self.layout.sequence(tokens), return_type="logits", fwd_hooks=hooks, reset_hooks_end=True
        )
        return torch.as_tensor(logits)[:, -1].cpu()

    def embedding(self, operand: int) -> Float[Tensor, "n_tokens d_model"]:
        start = self.layout.first(operand)
        return self.named["embed.W_E"].detach().float().cpu()[start : start + self.n_tokens]

    def readout(self, layer: int) -> Float[Tensor, "m answers"] | None:
        out = self.named.get(f"blocks.{layer}.mlp.W_out")
        if layer != self.n_layers - 1 or out is None or _of(self.model.cfg, "normalization_type"):
            return None
        return (out.detach().float() @ self.named["unembed.W_U"].detach().float()).cpu()[:, : self.task.n_answers]


def _tried(model: Any, task: Task) -> Hooked:
    """Under the layout that answers most, of those that vocabulary and context allow; the usual one at chance."""
    table = dict(_weights(model)).get("embed.W_E")
    rows, context = task.n_tokens if table is None else len(table), int(_of(model.cfg, "n_ctx") or 3)
    if rows < task.n_tokens:
        raise CheckpointError(f"the task {task.spec} has {task.n_tokens} tokens, and embed.W_E {rows} rows")
    usual = max(min(context, 2 + rows - task.n_tokens), 2)
    lengths = [usual, *(k for k in (2, 3, 4) if k != usual and k <= context)]
    named = ((f'tokens "{layout}"', Hooked(model, task, layout)) for layout in likely(rows, task.n_tokens, lengths))
    return answering(named, task, type(model).__name__, 'detectors.from_hooked(model, task=task, tokens="a b =")')


def _weights(model: Any) -> Mapping[str, Tensor]:
    """By TransformerLens's names, of which a bridge keeps a list of its own. Buffers, such as a mask, are none."""
    named = model.tl_named_parameters() if hasattr(model, "tl_named_parameters") else model.named_parameters()
    items = named.items() if hasattr(named, "items") else named
    return {name: w for name, w in items if isinstance(w, Tensor)}


def _of(config: Any, name: str) -> Any:
    return getattr(config, name, None)
