"""The names and axes of TransformerLens, and what is made of a file once its tensors have them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from detectors.core.errors import CheckpointError
from detectors.loading.shapes import OtherTokens, Weights, check_shapes, check_task
from detectors.loading.transformer import Architecture, SequenceTransformer, Transformer
from detectors.subjects.sequences.task import SequenceTask

NAME = "TransformerLens transformer"
SUBJECTS = frozenset({"operands", "sequences"})
OPTIONS = frozenset(
    {"act_fn", "attn_coeff", "normalization_type", "separate_vocabularies", "causal", "pad_token", "eps", "n_ctx"}
    | {"positional_embedding_type"}
)
TENSORS = "embed.W_E, pos_embed.W_pos, blocks.0.attn.W_Q [head, d_model, d_head], ..."

# Axes have the names of `Architecture`. Of these tensors every W is needed, and the rest is used where it is there.
AXES = {
    "embed.W_E": "d_vocab d_model",
    "pos_embed.W_pos": "n_ctx d_model",
    "unembed.W_U": "d_model d_vocab_out",
    "unembed.b_U": "d_vocab_out",
    **dict.fromkeys(("ln_final.w", "ln_final.b"), "d_model"),
    **{f"blocks.{{i}}.attn.W_{which}": "n_heads d_model d_head" for which in "QKV"},
    **{f"blocks.{{i}}.attn.b_{which}": "n_heads d_head" for which in "QKV"},
    "blocks.{i}.attn.W_O": "n_heads d_head d_model",
    "blocks.{i}.attn.b_O": "d_model",
    **dict.fromkeys((f"blocks.{{i}}.{norm}" for norm in ("ln1.w", "ln1.b", "ln2.w", "ln2.b")), "d_model"),
    "blocks.{i}.mlp.W_in": "d_model d_mlp{i}",
    "blocks.{i}.mlp.b_in": "d_mlp{i}",
    "blocks.{i}.mlp.W_out": "d_mlp{i} d_model",
    "blocks.{i}.mlp.b_out": "d_model",
}
FREE_CONTEXT = 32  # positions that are drawn for a model without a table of them, where nothing says how many
MAX_LAYERS = 64  # a number in a name costs nothing to write

Turn = Callable[[str, Tensor, dict[str, int]], Tensor]


def matches(weights: Weights) -> bool:
    return "embed.W_E" in weights and any(k.startswith("blocks.0.attn.W_") for k in weights)


def build(weights: Weights, task: Any, arch: Mapping[str, Any]) -> tuple[Transformer, list[str]]:
    return assemble(weights, AXES, lambda name, tensor, sizes: tensor, task, arch)


def assemble(
    weights: Weights, axes: Mapping[str, str], turn: Turn, task: Any, arch: Mapping[str, Any]
) -> tuple[Transformer, list[str]]:
    """The transformer in a file, and the tensors that it does not use.

    axes: of the tensors as they lie in the file. turn: (name, tensor, sizes of the axes) to the order of axes here.
    Errors: CheckpointError for tensors that are missing or do not fit each other or the task.
    """
    of_sequences = task is not None and task.subject == "sequences"
    if "pos_embed.W_pos" not in weights and (rotary := [name for name in weights if "rotary_" in name]):
        raise CheckpointError(
            f"its positions are rotary ({rotary[0]}), which this layout does not read: pass the network, as by "
            "detectors.from_bridge, or a loader of yours"
        )
    axes = _of_blocks(weights, axes, optional={"pos_embed.W_pos"} if of_sequences else set())
    n_ctx = arch.get("n_ctx")
    sizes: dict[str, Any] = {**check_shapes(weights, axes)}
    sizes.setdefault("n_ctx", n_ctx or FREE_CONTEXT)
    used = {name: turn(name, weights[name], sizes).contiguous().float() for name in sorted(axes) if name in weights}
    norms = [name for name in axes if "ln" in name]
    given = {"normalization_type": "LN" if any(name in used for name in norms) else None, **arch}
    given.pop("n_ctx", None)
    if given["normalization_type"] == "LN" and (missing := [name for name in norms if name not in used]):
        raise CheckpointError(f"LayerNorm without {', '.join(missing)}: these tensors are missing")
    reads, tokens = _READS[task.subject if task else "operands"]
    n_tokens = tokens(sizes, task, given.pop("separate_vocabularies", False))
    widths = [sizes.pop(axis) for axis in list(sizes) if axis.startswith("d_mlp")]
    n_layers = sum(name.endswith("attn.W_Q") for name in used)
    found = Architecture(**sizes, n_layers=n_layers, d_mlp=max(widths, default=0), n_tokens=n_tokens, **given)
    return reads(used, found), [name for name in weights if name not in used]


def _of_blocks(weights: Weights, axes: Mapping[str, str], optional: set[str]) -> dict[str, str]:
    """Axes of every tensor that a transformer of these blocks may have; a block without weights of an MLP has none."""
    n_layers = 1 + max(int(m[1]) for name in weights if (m := re.match(r"blocks\.(\d{1,9})\.attn\.W_", name)))
    if n_layers > MAX_LAYERS:
        raise CheckpointError(f"{n_layers} layers: two-operand models have at most {MAX_LAYERS}")
    with_mlp = [any(name.startswith(f"blocks.{i}.mlp.W_") for name in weights) for i in range(n_layers)]
    known = {
        name.format(i=i): text.format(i=i)
        for i in range(n_layers)
        for name, text in axes.items()
        if with_mlp[i] or not ("mlp" in name or "ln2" in name)
    }
    if missing := [name for name in known if "W_" in name and name not in {*weights, *optional}]:
        raise CheckpointError(f"a transformer checkpoint without {', '.join(missing)}: these tensors are missing")
    return known


def _operands(sizes: Mapping[str, int], task: Any, separate: bool) -> int:
    """Tokens of an operand: what W_E holds but for `=`, or half of that where b has a vocabulary of its own."""
    n_ctx, d_vocab = sizes["n_ctx"], sizes["d_vocab"]
    if n_ctx not in (2, 3):
        raise OtherTokens(
            f"pos_embed.W_pos has {n_ctx} positions; two-operand models have 2, (a, b), or 3, (a, b, =). "
            f"For a sequence model pass its task: {', '.join(SequenceTask.names())}"
        )
    operands = d_vocab - (n_ctx - 2)
    if task is None:
        return operands // (2 if separate else 1)
    inputs = "(a, b)" if n_ctx == 2 else "(a, b, =)"
    found = f"the input is {inputs} and W_E has {d_vocab} tokens, so {operands} operands"
    check_task(task, operands in (task.n_tokens, 2 * task.n_tokens), found, sizes["d_vocab_out"])
    return task.n_tokens


_READS: dict[str, tuple[type[Transformer], Callable[..., int]]] = {
    "operands": (Transformer, _operands),
    "sequences": (SequenceTransformer, lambda sizes, task, separate: sizes["d_vocab"]),
}
