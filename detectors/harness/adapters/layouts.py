"""Recognise a state dict by names and shapes, and rewrite it with TransformerLens's names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from detectors.core.errors import CheckpointError
from detectors.core.sequences import SequenceTask
from detectors.core.task import Task
from detectors.core.view import Network
from detectors.harness.adapters.mlp import TwoEmbeddingMLP
from detectors.harness.adapters.transformer import ACTIVATIONS, Architecture, SequenceTransformer, Transformer

Weights = dict[str, Tensor]

KNOWN = """known layouts:
  transformer, TransformerLens names   embed.W_E, pos_embed.W_pos, blocks.0.attn.W_Q [head, d_model, d_head], ...
  transformer, original grokking code  embed.W_E [d_model, vocab], blocks.0.attn.W_K [head, d_head, d_model], ...
  one-hidden-layer MLP                 W_x, W_y, W, W_U
  attention only, original code        attn_blocks.0.attn.W_K [head, d_head, d_model], ...
anything else: --loader package.module:function, a function (path, task) -> ModelView"""

OPTIONS = {
    "act_fn": f"{', '.join(ACTIVATIONS)}",
    "attn_coeff": "a number: attention is r * softmax + (1 - r), unmasked",
    "normalization_type": "LN, LNPre or none",
    "separate_vocabularies": "true or false; only with --task infer, otherwise shapes show it",
}
_ATTENTION = ("attn.W_Q", "attn.W_K", "attn.W_V", "attn.W_O")
_NORMS = ("ln1.w", "ln1.b", "ln2.w", "ln2.b")
_AXES = {
    "embed.W_E": "d_vocab d_model",
    "pos_embed.W_pos": "n_ctx d_model",
    "unembed.W_U": "d_model d_out",
    "unembed.b_U": "d_out",
    "ln_final.w": "d_model",
    "ln_final.b": "d_model",
    **{f"attn.W_{which}": "heads d_model d_head" for which in "QKV"},
    **{f"attn.b_{which}": "heads d_head" for which in "QKV"},
    "attn.W_O": "heads d_head d_model",
    "attn.b_O": "d_model",
    **dict.fromkeys(_NORMS, "d_model"),
    "mlp.W_in": "d_model d_mlp",
    "mlp.b_in": "d_mlp",
    "mlp.W_out": "d_mlp d_model",
    "mlp.b_out": "d_model",
}


def build(
    weights: Weights, task: Task | SequenceTask | None, arch: Mapping[str, str]
) -> tuple[Network, str, list[str]]:
    """The network in a state dict, the name of its layout, and the tensors that it does not use.

    task: None while it is still to be inferred from the predictions; for a task of sequences the network is a
    `SequenceTransformer`. arch: options as in `--arch`.
    """
    unknown = set(arch) - set(OPTIONS)
    if unknown:
        raise CheckpointError(
            f"unknown --arch option {', '.join(sorted(unknown))}; known: "
            + "; ".join(f"{k} ({v})" for k, v in OPTIONS.items())
        )
    weights = {re.sub(r"^attn_blocks\.", "blocks.", name): tensor for name, tensor in weights.items()}
    if {"W_x", "W_y", "W", "W_U"} <= set(weights):
        if isinstance(task, SequenceTask):
            raise CheckpointError(f"the task {task.spec} is one of sequences; a two-embedding MLP reads two operands")
        return _mlp(weights, task, arch)
    if "embed.W_E" in weights and any(k.startswith("blocks.0.attn.W_") for k in weights):
        return _transformer(weights, task, arch)
    raise CheckpointError(
        "this layout is not recognised. Tensors found:\n"
        + "\n".join(f"  {k} {list(v.shape)}" for k, v in list(weights.items())[:40])
        + f"\n{KNOWN}"
    )


def _mlp(weights: Weights, task: Task | None, arch: Mapping[str, str]) -> tuple[Network, str, list[str]]:
    if extra := set(arch) - {"act_fn"}:
        raise CheckpointError(f"--arch {', '.join(sorted(extra))} does not apply to a two-embedding MLP; act_fn does")
    names = ("W_x", "W_y", "W", "W_U", "b_in", "b_U")
    used = {k: weights[k] for k in names if k in weights}
    _matrices(used, "W_x", "W_y", "W", "W_U")
    n, d = used["W_x"].shape
    m = used["W"].shape[1]
    _shape(used, "W_y", (n, d))
    _shape(used, "W", (2 * d, m))
    _shape(used, "W_U", (m, used["W_U"].shape[1]))
    for bias, size in (("b_in", m), ("b_U", used["W_U"].shape[1])):
        if bias in used:
            _shape(used, bias, (size,))
    _fits(task, [n], f"W_x has {n} rows", used["W_U"].shape[1])
    network = TwoEmbeddingMLP(used, arch.get("act_fn", "relu"))
    return network, "two-embedding MLP", [k for k in weights if k not in used]


def _transformer(
    weights: Weights, task: Task | SequenceTask | None, arch: Mapping[str, str]
) -> tuple[Network, str, list[str]]:
    n_layers = 1 + max(int(m[1]) for k in weights if (m := re.match(r"blocks\.(\d+)\.attn\.W_", k)))
    if n_layers > 64:
        raise CheckpointError(f"{n_layers} layers: two-operand models have at most 64")
    needed = ["embed.W_E", "pos_embed.W_pos", "unembed.W_U"]
    needed += [f"blocks.{i}.{part}" for i in range(n_layers) for part in _ATTENTION]
    with_mlp = [i for i in range(n_layers) if any(k.startswith(f"blocks.{i}.mlp.W_") for k in weights)]
    mlps = [f"blocks.{i}.mlp.W_{part}" for i in with_mlp for part in ("in", "out")]
    needed += mlps
    if missing := [k for k in needed if k not in weights]:
        raise CheckpointError(f"a transformer checkpoint without {', '.join(missing)}: these tensors are missing")
    whole = ("embed.W_E", "pos_embed.W_pos", "unembed.W_U", "unembed.b_U", "ln_final.w", "ln_final.b")
    known = [*whole]
    for part in _AXES.keys() - set(whole):
        known += [f"blocks.{i}.{part}" for i in (with_mlp if part.startswith("mlp") else range(n_layers))]
    used = {k: weights[k] for k in sorted(known) if k in weights}
    original = used["blocks.0.attn.W_O"].ndim == 2
    _matrices(used, "embed.W_E", "pos_embed.W_pos", "unembed.W_U", *mlps)
    if original:
        used = _from_original(used, n_layers)
    architecture = _architecture(used, task, arch, n_layers)
    layout = "original grokking transformer" if original else "TransformerLens transformer"
    reads = SequenceTransformer if isinstance(task, SequenceTask) else Transformer
    return reads(used, architecture), layout, [k for k in weights if k not in used]


def _from_original(w: Weights, n_layers: int) -> Weights:
    """d_model first, W_K [head, d_head, d_model] and W_O [d_model, head * d_head] become TransformerLens's."""
    out = dict(w)
    out["embed.W_E"] = w["embed.W_E"].T
    for i in range(n_layers):
        name = f"blocks.{i}."
        for which in "QKV":
            key = f"{name}attn.W_{which}"
            if w[key].ndim != 3:
                raise CheckpointError(f"{key} has shape {list(w[key].shape)}; expected [head, d_head, d_model]")
            out[key] = w[key].transpose(1, 2)
        heads, d_head = w[f"{name}attn.W_Q"].shape[:2]
        key = f"{name}attn.W_O"
        if w[key].ndim != 2 or w[key].shape[1] != heads * d_head:
            raise CheckpointError(
                f"{key} has shape {list(w[key].shape)}; {heads} heads of {d_head} need [d_model, {heads * d_head}]"
            )
        out[key] = w[key].reshape(-1, heads, d_head).permute(1, 2, 0)
        if f"{name}mlp.W_in" in w:
            out[f"{name}mlp.W_in"], out[f"{name}mlp.W_out"] = w[f"{name}mlp.W_in"].T, w[f"{name}mlp.W_out"].T
    return {k: v.contiguous() for k, v in out.items()}


def _architecture(w: Weights, task: Task | SequenceTask | None, arch: Mapping[str, str], n_layers: int) -> Architecture:
    d_vocab, d_model = w["embed.W_E"].shape
    n_ctx, d_out = w["pos_embed.W_pos"].shape[0], w["unembed.W_U"].shape[1]
    if w["blocks.0.attn.W_Q"].ndim != 3:
        raise CheckpointError(f"blocks.0.attn.W_Q has shape {list(w['blocks.0.attn.W_Q'].shape)}; expected 3 axes")
    heads, _, d_head = w["blocks.0.attn.W_Q"].shape
    widths = [w[f"blocks.{i}.mlp.W_in"].shape[1] for i in range(n_layers) if f"blocks.{i}.mlp.W_in" in w]
    sizes = {"d_vocab": d_vocab, "d_model": d_model, "n_ctx": n_ctx, "d_out": d_out, "heads": heads, "d_head": d_head}
    for name in w:
        block = re.match(r"blocks\.\d+\.", name)
        if block and "mlp" in name:
            sizes["d_mlp"] = w[f"{block[0]}mlp.W_in"].shape[1]
        _shape(w, name, tuple(sizes[axis] for axis in _AXES[name[block.end() if block else 0 :]].split()))
    separate, equals = _flag(arch, "separate_vocabularies"), n_ctx - 2
    if isinstance(task, SequenceTask):
        n_tokens = d_vocab
    elif n_ctx not in (2, 3):
        raise CheckpointError(
            f"pos_embed.W_pos has {n_ctx} positions; two-operand models have 2, (a, b), or 3, (a, b, =). "
            f"For a sequence model pass its task: {', '.join(SequenceTask.names())}"
        )
    elif task is None:
        n_tokens = (d_vocab - equals) // (2 if separate else 1)
    else:
        fits = d_vocab - equals in (task.n_tokens, 2 * task.n_tokens)
        _fits(task, [task.n_tokens] if fits else [], _vocabulary(d_vocab, n_ctx), d_out)
        n_tokens = task.n_tokens
    norm = arch.get("normalization_type", "LN" if any(".ln" in k or k.startswith("ln_") for k in w) else "none")
    if norm == "LN":
        wanted = [
            f"blocks.{i}.{k}" for i in range(n_layers) for k in _NORMS if "ln1" in k or f"blocks.{i}.mlp.W_in" in w
        ]
        if missing := [k for k in [*wanted, "ln_final.w", "ln_final.b"] if k not in w]:
            raise CheckpointError(f"LayerNorm without {', '.join(missing)}: these tensors are missing")
    return Architecture(
        n_layers=n_layers,
        d_model=d_model,
        n_heads=heads,
        d_head=d_head,
        d_mlp=max(widths, default=0),
        n_ctx=n_ctx,
        d_vocab=d_vocab,
        d_vocab_out=d_out,
        n_tokens=n_tokens,
        act_fn=arch.get("act_fn", "relu").lower(),
        normalization_type=None if norm.lower() == "none" else norm,
        attn_coeff=_number(arch, "attn_coeff"),
    )


def _vocabulary(d_vocab: int, n_ctx: int) -> str:
    inputs = "(a, b)" if n_ctx == 2 else "(a, b, =)"
    return f"the input is {inputs} and W_E has {d_vocab} tokens, so {d_vocab - (n_ctx - 2)} operands"


def _fits(task: Task | None, sizes: list[int], found: str, d_out: int) -> None:
    if task is None:
        return
    if task.n_tokens not in sizes:
        raise CheckpointError(f"the task {task.spec} has {task.n_tokens} tokens, but {found}: another --task?")
    if d_out < task.n_answers:
        raise CheckpointError(f"the task {task.spec} has {task.n_answers} answers, but W_U has {d_out} columns")


def _matrices(weights: Weights, *names: str) -> None:
    for name in names:
        if weights[name].ndim != 2:
            raise CheckpointError(f"{name} has shape {list(weights[name].shape)}; expected a matrix")


def _shape(weights: Weights, name: str, expected: tuple[int, ...]) -> None:
    if tuple(weights[name].shape) != expected:
        raise CheckpointError(
            f"{name} has shape {list(weights[name].shape)}; the other tensors make it {list(expected)}"
        )


def _number(arch: Mapping[str, str], key: str) -> float | None:
    if key not in arch:
        return None
    try:
        value = float(arch[key])
    except ValueError:
        raise CheckpointError(f"--arch {key}={arch[key]}: not a number") from None
    if not torch.isfinite(torch.tensor(value)):
        raise CheckpointError(f"--arch {key}={arch[key]}: not a finite number")
    return value


def _flag(arch: Mapping[str, Any], key: str) -> bool:
    value = str(arch.get(key, "false")).lower()
    if value not in ("true", "false"):
        raise CheckpointError(f"--arch {key}={arch[key]}: write true or false")
    return value == "true"
