"""A causal language model of `transformers`, with hook points, passes from a layer on, and its OV circuits.

Layers in front of an edit give what they gave before it; logits are had where they are wanted alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from functools import cached_property, partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from detectors.core.errors import CheckpointError
from detectors.loading.language_attention import ATTENTION, NOW, Pass, register
from detectors.subjects.hooks import Hook
from detectors.subjects.sequences.circuits import Circuit

KEPT = 2**28  # numbers of what layers gave and of their patterns, 1 GiB each at the most
POINTS = ("attn.hook_pattern", "attn.hook_v", "attn.hook_z", "hook_resid_post")


class _Kept(NamedTuple):
    """Of a batch, without edits: what layers gave, and their patterns; empty where that would be too much. means: of
    patterns and outputs of heads, over sequences.
    """

    outputs: list[Any]
    patterns: dict[str, Tensor]
    means: dict[str, Tensor]


def _own(model: Any) -> Any:
    tensors = [*model.parameters(), *model.buffers()]
    if all(x.device.type == "cpu" and (x.dtype == torch.float32 or not x.is_floating_point()) for x in tensors):
        return deepcopy(model, {id(x): x for x in tensors}).eval()
    return deepcopy(model).float().cpu().eval()


class LanguageNetwork:
    """As `SequenceNetwork`: tokens [batch, pos] to logits [batch, pos, vocabulary]; `run` makes less of both.

    bos: the token that sequences start with, if any. What passes is a copy that shares the model's float32 tensors, in
    evaluation mode and with our attention, which is its eager one: the model stays as it is. What passes give is kept,
    so a model that is trained on needs a network anew.
    """

    def __init__(self, model: Any, bos: int | None = None) -> None:
        if getattr(model, "get_output_embeddings", lambda: None)() is None:
            raise CheckpointError(f"{type(model).__name__} has no language head: load it with AutoModelForCausalLM")
        self.model, self.bos = _own(model), bos
        config = model.config.get_text_config()
        if not getattr(config, "num_attention_heads", None):
            raise CheckpointError(f"{type(model).__name__} has no attention heads, and those alone are scored")
        self.n_layers, heads = int(config.num_hidden_layers), int(config.num_attention_heads)
        self.n_tokens = int(model.get_input_embeddings().weight.shape[0])
        self.n_ctx = int(getattr(config, "max_position_embeddings", None) or 2**20)
        self.architecture: Mapping[str, Any] = {
            "kind": "language model",
            "model_type": str(config.model_type),
            "n_layers": self.n_layers,
            "n_heads": heads,
            "n_key_value_heads": int(getattr(config, "num_key_value_heads", None) or heads),
            "d_model": int(config.hidden_size),
            "n_tokens": self.n_tokens,
        }
        self.layers = self._layers()
        self._kept: dict[bytes, _Kept] = {}
        register()
        self._outputs, self._norm = self._parts()

    @property
    def probed(self) -> tuple[str, ...]:
        """Hook points that stand for those of all layers, which are of one class and have one hook."""
        return tuple(f"blocks.{layer}.{point}" for layer in {0, self.n_layers - 1} for point in POINTS)

    def forward(self, tokens: Int[Tensor, "batch pos"], hook: Hook) -> Float[Tensor, "batch pos answers"]:
        return self._pass(tokens, Pass(hook))

    def run(
        self,
        tokens: Int[Tensor, "batch pos"],
        hook: Hook,
        *,
        read: set[str],
        edited: set[str],
        at: Bool[Tensor, "batch pos"],
    ) -> Float[Tensor, "asked answers"]:
        """Logits where they are wanted, in order. read, edited: names of the hook points that `hook` does something at.
        Only the layers that these need are run, behind a first pass through all of them.
        """
        kept = self._of(tokens)
        if not edited and read <= kept.patterns.keys():
            for name in read:
                hook(name, kept.patterns[name].clone())
            read = set()
        layers = sorted(int(name.split(".")[1]) for name in read | edited)
        answers = bool(at.any())
        if not layers and not answers:
            return torch.zeros(0, self.n_tokens)
        wanted = Pass(hook, at=at, last=self.n_layers if answers else layers[-1])
        if kept.outputs:
            wanted.first = layers[0] if layers else self.n_layers
            wanted.given = _copied(kept.outputs[max(wanted.first - 1, 0)])
        return self._pass(tokens, wanted)[0]

    def means(self, tokens: Int[Tensor, "batch pos"]) -> Mapping[str, Tensor]:
        """Patterns and outputs of heads without edits, by hook point, a mean over sequences [1, ...]."""
        return self._of(tokens).means

    def streams(self, tokens: Int[Tensor, " token"]) -> dict[str, Float[Tensor, "token d_model"]]:
        """The residual stream behind a quarter, half and three quarters of the layers, at a token behind the start."""
        found = self._of(self._alone(tokens)).outputs
        behind = (
            sorted({len(found) * quarter // 4 for quarter in (1, 2, 3)} & set(range(1, len(found)))) if found else []
        )
        return {f"layer {layer - 1}": _stream(found[layer - 1])[:, -1].float() for layer in behind}

    def _alone(self, tokens: Int[Tensor, " token"]) -> Int[Tensor, "token pos"]:
        """Each behind the start of a text."""
        start = [] if self.bos is None else [torch.full_like(tokens, self.bos)]
        return torch.stack([*start, tokens], dim=1)

    def circuits(self, layer: int, tokens: Int[Tensor, " token"]) -> list[Circuit]:
        """OV of every head of a layer: from what a token behind the start of a text is after the first layer, to the
        tokens as the unembedding has them.
        """
        texts = self._alone(tokens)
        values: list[Tensor] = []

        def hook(name: str, tensor: Tensor) -> Tensor:
            if name == f"blocks.{layer}.attn.hook_v":
                values.append(tensor[:, -1].double())
            return tensor

        wanted = Pass(hook, first=layer, last=layer, at=torch.zeros_like(texts, dtype=torch.bool))
        if layer > 0:
            wanted.given = _copied(self._of(texts, last=0).outputs[0])
        with torch.no_grad():
            self._pass(texts, wanted)
        out = self._gain[:, None] * self.weights["unembed.W_U"][:, tokens].double()
        out = out - out.mean(1, keepdim=True)
        writes = self.weights[f"blocks.{layer}.attn.W_O"].double()
        return [Circuit(v - v.mean(0), w @ out) for v, w in zip(values[0].unbind(1), writes, strict=True)]

    @cached_property
    def weights(self) -> Mapping[str, Tensor]:
        """What heads write by, `blocks.N.attn.W_O` [head, d_head, d_model]; the table of tokens and the unembedding."""
        table = {
            "embed.W_E": self.model.get_input_embeddings().weight.detach(),
            "unembed.W_U": self.model.get_output_embeddings().weight.detach().T,
        }
        return table | {f"blocks.{i}.attn.W_O": self._writes(i) for i in range(self.n_layers)}

    def _writes(self, layer: int) -> Float[Tensor, "head d_head d_model"]:
        module, heads = self._outputs[layer], int(self.architecture["n_heads"])
        size = module.weight.numel() // int(self.architecture["d_model"])
        with torch.no_grad():
            matrix = module(torch.eye(size)) - module(torch.zeros(1, size))
        return matrix.reshape(heads, size // heads, -1)

    @cached_property
    def _gain(self) -> Float64[Tensor, " d_model"]:
        """Of the norm before the unembedding, found with a vector that no norm changes but by its gain."""
        sign = torch.ones(int(self.architecture["d_model"]))
        sign[1::2] = -1
        if self._norm is None:
            return torch.ones_like(sign).double()
        with torch.no_grad():
            return ((self._norm(sign[None]) - self._norm(-sign[None]))[0] / 2 * sign).double()

    def _of(self, tokens: Int[Tensor, "batch pos"], last: int = 2**31) -> _Kept:
        """What layers give without edits. Of the last three batches: patterns, causes and texts of single tokens."""
        key = str((*tokens.shape, last)).encode() + tokens.contiguous().numpy().tobytes()
        if key not in self._kept:
            while len(self._kept) > 2:
                del self._kept[next(iter(self._kept))]
            small = self.n_layers * self.architecture["n_heads"] * len(tokens) * tokens.shape[1] ** 2 <= KEPT
            patterns: dict[str, Tensor] = {}
            means: dict[str, Tensor] = {}

            def hook(name: str, tensor: Tensor) -> Tensor:
                if small and name.endswith("hook_pattern"):
                    patterns[name] = tensor
                if name.endswith(("hook_pattern", "hook_z")):
                    means[name] = tensor.mean(0, keepdim=True).float()
                return tensor

            wanted = Pass(hook, last=last, at=torch.zeros_like(tokens, dtype=torch.bool))
            with torch.no_grad():
                self._pass(tokens, wanted)
            small = sum(_stream(x).numel() for x in wanted.outputs) <= KEPT
            self._kept[key] = _Kept(wanted.outputs if small else [], patterns, means)
        return self._kept[key]

    def _pass(self, tokens: Tensor, wanted: Pass) -> Tensor:
        def asked(module: Any, args: tuple[Any, ...]) -> Any:
            return None if wanted.at is None else (args[0][wanted.at][None], *args[1:])

        if self.model.config._attn_implementation != ATTENTION:
            self.model.set_attn_implementation(ATTENTION)
        head = self.model.get_output_embeddings().register_forward_pre_hook(asked)
        token = NOW.set(wanted)
        try:
            with self._routed(wanted):
                return self.model(input_ids=tokens, use_cache=False).logits.float()
        finally:
            NOW.reset(token)
            head.remove()

    @contextmanager
    def _routed(self, wanted: Pass) -> Iterator[None]:
        before = [layer.__dict__.get("forward") for layer in self.layers]
        for number, layer in enumerate(self.layers):
            layer.forward = partial(_layer, wanted, number, layer.forward)
        try:
            yield
        finally:
            for layer, own in zip(self.layers, before, strict=True):
                del layer.forward
                if own is not None:
                    layer.forward = own

    def _layers(self) -> list[Any]:
        for module in self.model.base_model.modules():
            if isinstance(module, torch.nn.ModuleList) and len(module) == self.n_layers:
                return list(module)
        raise CheckpointError(f"no list of {self.n_layers} layers in this {type(self.model).__name__}: it is not read")

    def _parts(self) -> tuple[list[Any], Any]:
        """The linear map behind each layer's heads, the first that is called once attention has been; and the norm
        whose output the unembedding takes, if any.
        """
        found, norms, last = {}, [], -1

        def noted(name: str, tensor: Tensor) -> Tensor:
            nonlocal last
            if name.endswith("hook_pattern") and bool(tensor[..., 0, 1].any()):
                raise CheckpointError(f"{type(self.model).__name__} attends to what comes next: it is no causal model")
            last = int(name.split(".")[1]) if name.endswith("hook_z") else last
            return tensor

        def called(module: Any, args: Any) -> None:
            if last >= 0 and last not in found and getattr(module, "weight", torch.empty(0)).ndim == 2:
                found[last] = module

        def gave(module: Any, args: Any, out: Any) -> None:
            if isinstance(out, Tensor):
                norms.append((module, out.data_ptr()))

        def taken(module: Any, args: Any) -> None:
            norms[:] = [one for one in norms if one[1] == args[0].data_ptr()]

        head, within = self.model.get_output_embeddings(), {m for layer in self.layers for m in layer.modules()}
        hooks = [m.register_forward_pre_hook(called) for m in within]
        hooks += [
            m.register_forward_hook(gave) for m in self.model.base_model.modules() if _is_norm(m) and m not in within
        ]
        hooks.append(head.register_forward_pre_hook(taken))
        try:
            with torch.no_grad():
                self._pass(torch.zeros(1, 2, dtype=torch.long), Pass(noted))
        finally:
            for hook in hooks:
                hook.remove()
        if len(found) != self.n_layers:
            raise CheckpointError(
                f"{type(self.model).__name__} keeps its attention to itself: {len(found)} of {self.n_layers} layers "
                "hand it over to transformers' attention interface, where patterns are read"
            )
        return [found[layer] for layer in range(self.n_layers)], norms[-1][0] if norms else None


def _is_norm(module: Any) -> bool:
    return getattr(module, "weight", None) is not None and module.weight.ndim == 1


def _layer(wanted: Pass, number: int, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if number < wanted.first:
        return wanted.given
    if number > wanted.last:
        return wanted.outputs[-1]
    out = original(*args, **kwargs)
    wanted.outputs.append(out)
    stream = _stream(out)
    seen = wanted.hook(f"blocks.{number}.hook_resid_post", stream)
    return out if seen is stream else seen if isinstance(out, Tensor) else (seen, *out[1:])


def _copied(out: Any) -> Any:
    """A family may add to its stream in place."""
    return out.clone() if isinstance(out, Tensor) else (out[0].clone(), *out[1:])


def _stream(out: Any) -> Tensor:
    return out if isinstance(out, Tensor) else out[0]
