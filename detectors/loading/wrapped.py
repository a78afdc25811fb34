"""A user's module as a network: hooks of torch on the parts that were found, put there for a pass and taken off."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from detectors.core.errors import CheckpointError
from detectors.subjects.hooks import Hook
from detectors.subjects.operands.task import Task

PARTS = ("embedding", "neurons", "attention", "readout")
Feed = Callable[[Int[Tensor, "batch operands"]], tuple[Any, ...]]


@dataclass(frozen=True)
class Way:
    """How two operands are passed, in words and as a function."""

    said: str
    feed: Feed


@dataclass(frozen=True)
class Found:
    """Submodules by what they are. before: of each that reads neurons the linear map that gives what they are a known
    function of, where there is one.
    """

    embedding: tuple[nn.Module, ...]
    neurons: tuple[nn.Module, ...]
    attention: tuple[nn.Module, ...]
    readout: nn.Module | None
    names: Mapping[str, tuple[str, ...]]
    before: tuple[nn.Module | None, ...] = ()


class Wrapped:
    """A `Network` whose forward pass is the module's own."""

    def __init__(self, module: nn.Module, task: Task, found: Found, way: Way) -> None:
        self.module, self.task, self.found, self.way = module, task, found, way
        self.n_tokens, self.n_layers = task.n_tokens, max(1, len(found.neurons))
        self.architecture: Mapping[str, Any] = {"kind": type(module).__name__, "n_layers": self.n_layers}
        self.order = self._columns()

    def said(self) -> Iterator[str]:
        """What was guessed and tried, for the report."""
        yield f"it reads {self.way.said}"
        for part in PARTS:
            if names := self.found.names[part]:
                yield f"{part}: {', '.join(names)}{' (what they read)' if part == 'neurons' else ''}"

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """Its parameters; buffers, such as a mask of infinities, are none."""
        return {name: w.detach().float().cpu() for name, w in self.module.named_parameters()}

    def forward(self, tokens: Int[Tensor, "batch operands"], hook: Hook) -> Float[Tensor, "batch answers"]:
        first = next(self.module.parameters(), torch.zeros(0))
        with _as_it_was(self.module), ExitStack() as hooks:
            for handle in self._hooks(hook, tokens):
                hooks.callback(handle.remove)
            fed = (x.to(first.device, first.dtype if x.is_floating_point() else x.dtype) for x in self.way.feed(tokens))
            out = self.module(*fed)
        logits = self._answered(_logits(out, self.task.n_answers), len(tokens))
        if logits.ndim != 2 or logits.shape[1] < self.task.n_answers or len(logits) != len(tokens):
            raise CheckpointError(
                f"it gives {tuple(logits.shape)} for {len(tokens)} pairs, where [batch, {self.task.n_answers} or more] "
                "is asked for"
            )
        return logits.cpu()

    def _answered(self, logits: Tensor, batch: int) -> Tensor:
        """At the last position, of [batch, pos, answers] or [batch, answers, pos]."""
        if logits.ndim != 3 or len(logits) != batch:
            return logits
        read = self.way.feed(torch.zeros(1, 2, dtype=torch.long))[0].shape[1]
        n, (first, second) = self.task.n_answers, logits.shape[1:]
        last, turned = second >= n, first >= n and second == read
        if last and turned and first == read:
            raise CheckpointError(
                f"it gives {tuple(logits.shape)}: positions and answers are as many, so that nothing shows which axis "
                "is which. Return logits [batch, answers] from a module around it"
            )
        return logits[:, :, -1] if turned and not (last and first == read) else logits[:, -1]

    def _hooks(self, hook: Hook, tokens: Int[Tensor, "batch operands"]) -> Iterator[Any]:
        """On every part: what it gives, or reads, goes through the hook."""
        embeddings = self.found.embedding
        if len(embeddings) == 1:
            yield embeddings[0].register_forward_hook(lambda m, args, out: self._embedded(out, hook))
        elif len(embeddings) == 2 and all(isinstance(m, nn.Embedding) for m in embeddings):
            yield from self._two_tables(hook, tokens)

        def at(name: str, x: Tensor) -> Tensor:
            """With positions, where it has none."""
            return hook(name, x[:, None])[:, 0] if x.ndim == 2 else hook(name, x)

        for layer, reader in enumerate(self.found.neurons):
            post = partial(at, f"blocks.{layer}.mlp.hook_post")
            yield reader.register_forward_pre_hook(lambda m, args, post=post: (post(args[0]), *args[1:]))
        for layer, linear in enumerate(self.found.before):
            if linear is not None:
                pre = partial(at, f"blocks.{layer}.mlp.hook_pre")
                # a copy goes on, for an activation function that works in place not to write over what was seen
                yield linear.register_forward_hook(lambda m, args, out, pre=pre: pre(out).clone())
        for layer, module in enumerate(self.found.attention):

            def looked(m: nn.Module, args: Any, layer: int = layer) -> Any:
                return (hook(f"blocks.{layer}.attn.hook_pattern", args[0]), *args[1:])

            yield module.register_forward_pre_hook(looked)

    def _two_tables(self, hook: Hook, tokens: Int[Tensor, "batch operands"]) -> Iterator[Any]:
        """Both are seen when either of them is asked first, as what the other will give is known."""
        kept: dict[int, Tensor] = {}

        def both(operand: int, m: nn.Module, args: Any, out: Tensor) -> Tensor:
            if operand in kept:
                return kept.pop(operand)
            other = 1 - operand
            rows = self.found.embedding[other].weight[self.rows(other, tokens).to(out.device)]  # type: ignore[index]
            if out.shape != rows.shape:
                return out
            seen = hook("hook_embed", torch.stack([rows, out] if operand else [out, rows], dim=1))
            kept[other] = seen[:, other]
            return seen[:, operand]

        for operand, table in enumerate(self.found.embedding):
            yield table.register_forward_hook(partial(both, operand))

    def rows(self, operand: int, tokens: Int[Tensor, "batch operands"]) -> Int[Tensor, " batch"]:
        """Of the table of an operand."""
        fed = self.way.feed(tokens)
        found: Tensor = fed[operand] if len(fed) == 2 else fed[0][:, (self.order or [0, 1])[operand]]
        return found

    def _embedded(self, out: Tensor, hook: Hook) -> Tensor:
        """The operands at positions 0 and 1, wherever they stand, and back; as it is where it has others than were fed,
        as of a module that adds `=` itself.
        """
        if out.ndim != 3 or self.order is None or out.shape[1] != len(self.order):
            return out
        at = torch.tensor(self.order)
        return hook("hook_embed", out[:, at])[:, at.argsort()]

    def _columns(self) -> list[int] | None:
        """Places of what is read, the operands first."""
        probe = self.way.feed(torch.tensor([[0, 1], [2 % self.task.n_tokens, 1], [0, 0]]))[0]
        if probe.ndim != 2 or probe.is_floating_point():
            return None
        moved = [bool(probe[0, i] != probe[1, i]) for i in range(probe.shape[1])]
        other = [bool(probe[0, i] != probe[2, i]) for i in range(probe.shape[1])]
        if sum(moved) != 1 or sum(other) != 1:
            return None
        first, second = moved.index(True), other.index(True)
        return [first, second, *(i for i in range(len(moved)) if i not in (first, second))]

    def embedding(self, operand: int) -> Float[Tensor, "n_tokens d"]:
        tables = [m for m in self.found.embedding if isinstance(m, nn.Embedding)]
        n = self.task.n_tokens
        if tables:
            rows = self.rows(operand, torch.stack([torch.arange(n)] * 2, dim=1))
            weight = tables[min(operand, len(tables) - 1)].weight.detach()
            return weight[rows.to(weight.device)].float().cpu()
        maps = [m for m in self.module.modules() if isinstance(m, nn.Linear)]
        owned = {id(m.weight) for m in maps}
        own = [w for w in self.module.parameters() if w.ndim == 2 and id(w) not in owned and n <= len(w) <= n + 4]
        if own:  # a parameter by itself
            return own[0].detach().float().cpu()[:n]
        first = maps[0] if maps else None
        if first is None or first.in_features not in (n, 2 * n):
            raise CheckpointError("no table of tokens was found: name it in parts={'embedding': ...}")
        columns = first.weight.detach().float().cpu().T
        return columns[operand * n :][:n] if first.in_features == 2 * n else columns

    def readout(self, layer: int) -> Float[Tensor, "m answers"] | None:
        last = self.found.neurons[-1] if self.found.neurons else None
        linear = self.found.readout or (last if last is not None and self._ends_with(last) else None)
        if layer != self.n_layers - 1 or not isinstance(linear, nn.Linear):
            return None
        return linear.weight.detach().float().cpu().T[:, : self.task.n_answers]

    def _ends_with(self, last: nn.Module) -> bool:
        """Whether what it gives is the logits."""
        given: list[Tensor] = []
        handle = last.register_forward_hook(lambda m, args, out: given.append(out))
        try:
            with torch.no_grad():
                logits = self.forward(torch.tensor([[0, 1], [1, 0]]) % self.task.n_tokens, lambda _, x: x)
        finally:
            handle.remove()
        out = given[-1] if given else None
        out = out[:, -1] if out is not None and out.ndim == 3 else out
        return out is not None and out.shape == logits.shape and bool(torch.equal(out.cpu(), logits))


def borne_out(network: Wrapped, tokens: Tensor) -> Wrapped:
    """With its two tables in the order of the operands that they are given; without tables at all where the pass with
    them is not the module's own, as where one is asked twice.
    """
    found = network.found

    def with_tables(tables: Sequence[int]) -> Wrapped:
        names = {**found.names, "embedding": tuple(found.names["embedding"][i] for i in tables)}
        own = replace(found, embedding=tuple(found.embedding[i] for i in tables), names=names)
        return Wrapped(network.module, network.task, own, network.way)

    def logits(of: Wrapped) -> Tensor:
        calls.clear()
        with torch.no_grad():
            return of.forward(tokens, seen)

    calls: list[str] = []

    def seen(name: str, x: Tensor) -> Tensor:
        calls.append(name)
        return x

    known = logits(with_tables(()))
    orders = [range(len(found.embedding)), range(len(found.embedding))[::-1]]
    found_so = (w for w in map(with_tables, orders) if torch.equal(logits(w), known) and calls.count("hook_embed") < 2)
    return next(found_so, with_tables(()))


@contextmanager
def _as_it_was(module: nn.Module) -> Iterator[None]:
    """In evaluation mode inside; every submodule's mode, and the random states, as before behind."""
    modes = {m: m.training for m in module.modules()}
    # those that do more than to change their mode, as adapters that are merged into a weight, and what they may change
    own = [m for m in modes if type(m).train is not nn.Module.train] if any(modes.values()) else []
    held = [(x, x.detach().clone()) for m in own for x in (*m.parameters(), *m.buffers())]
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 (the user's may draw from it)
    module.eval()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        for m in own:
            m.train(modes[m])
        for m, training in modes.items():
            m.training = training
        for x, before in held:
            if not torch.equal(x, before):
                x.data.copy_(before)


def _logits(out: Any, n_answers: int) -> Tensor:
    """The tensor, or what is named so, or of several the first with as many entries as there are answers, or the first
    of all.
    """
    if isinstance(out, Tensor):
        return out
    named = out.get("logits") if isinstance(out, Mapping) else getattr(out, "logits", None)
    if isinstance(named, Tensor):
        return named
    several = out.values() if isinstance(out, Mapping) else out if isinstance(out, list | tuple) else ()
    tensors = [x for x in several if isinstance(x, Tensor)]
    found = next((x for x in tensors if n_answers in x.shape[1:]), tensors[0] if tensors else None)
    if found is None:
        raise CheckpointError(f"it gives {type(out).__name__} without a tensor")
    return found
