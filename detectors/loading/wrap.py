"""A user's own `nn.Module`, scored as it is: torch's forward hooks see and edit its parts, and nothing of it is copied.

Its mode, gradients, hooks and random state are afterwards as before. What has no neurons, or none that are found, gets
the motifs of logits alone.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice, pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor, nn

from detectors.core.activations import ACTIVATIONS, activation
from detectors.core.blame import told
from detectors.core.errors import CheckpointError
from detectors.loading.evidence import beyond_chance
from detectors.loading.token_layout import TokenLayout, layouts
from detectors.loading.wrapped import PARTS, Found, Way, Wrapped, borne_out
from detectors.subjects.operands.network import Network
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from detectors.subjects.right import answered
from detectors.subjects.subject import Checkpoint
from detectors.subjects.tasks import of_sequences, of_two_operands, parse_task, subject

_ATTENTION = re.compile(r"attn|attention|(^|[._])(to_)?[qkvo](_proj|_lin|_linear)?$|query|key|value", re.IGNORECASE)
ENOUGH = 0.99  # accuracy from which no other way is tried
N = TypeVar("N", bound=Network)
TRIED = 256  # pairs that a way of passing tokens is tried on
# Of the change between any two: in small untrained networks, three seeds each, of a sine under 0.01, of a norm before
# the function 0.33 to 0.40, of the stream behind attention 0.65 and more.
SMOOTH = 0.5
WAYS = 12  # token layouts of each length that are tried


def wrap(
    module: nn.Module,
    task: str | Task,
    /,
    *,
    tokens: str | None = None,
    parts: Mapping[str, str | Sequence[str]] | None = None,
    train_mask: Bool[np.ndarray, " pairs"] | Sequence[bool] | None = None,
) -> ModelView:
    """A view of a module of two operands, whatever its class.

    module: called with tokens [batch, pos], with a and b apart, or with one-hot vectors [batch, 2 n]; it gives logits
    [batch, answers], or at every position, [batch, pos, answers] or [batch, answers, pos]: the last counts. tokens:
    what it reads, as in `--tokens`; without it the ways that run are tried, and the one that answers most is taken.
    parts: paths of submodules, as `named_modules` has them: `embedding` (an nn.Embedding, or one for each operand),
    `neurons` (modules that *read* the neurons, such as the second linear map of each MLP, first to last), `attention`
    (modules that read the patterns [batch, head, query, key], such as the dropout behind the softmax), `readout` (the
    linear map from neurons to logits, where nothing nonlinear stands between). What is not named is guessed from the
    module tree, and a guess that a pass does not bear out is dropped. Errors: CheckpointError where no way of calling
    it gives logits, where nothing shows which axis the answers are on, or a path is none.

    >>> net = nn.Sequential(nn.Embedding(7, 8), nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 7))
    >>> view = wrap(net, "add:7")
    >>> view.logits().shape, view.neurons().shape, view.embedding(0).shape
    (torch.Size([49, 7]), torch.Size([49, 12]), torch.Size([7, 8]))
    """
    if task == "infer":
        raise CheckpointError("infer takes the number of tokens from a file; say the task of a module, e.g. add:113")
    known = of_operands(parse_task(task) if isinstance(task, str) else task)
    inner: nn.Module = getattr(module, "_orig_mod", module)  # a compiled one passes no hooks
    found = _named(inner, parts or {})
    ways = [_by_layout(TokenLayout.parse(tokens, known.n_tokens))] if tokens else list(_ways(inner, known, found))
    network = _tried(inner, known, found, ways, named="neurons" in (parts or {}))
    origin = Checkpoint(layout=f"{type(inner).__name__} in memory", reading=tuple(network.said()))
    return of_two_operands(subject(network, known, origin)).with_train_mask(train_mask)


def of_operands(task: Any) -> Task:
    """Errors: CheckpointError for a task of sequences."""
    if of_sequences(task):
        raise CheckpointError(f"the task {task.spec} is one of sequences; wrap takes models of two operands")
    known: Task = task
    return known


def _named(module: nn.Module, parts: Mapping[str, str | Sequence[str]]) -> Found:
    if unknown := parts.keys() - set(PARTS):
        raise CheckpointError(f"parts: no {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    every = dict(module.named_modules())
    named = {part: (paths,) if isinstance(paths, str) else tuple(paths) for part, paths in parts.items()}
    if missing := [path for paths in named.values() for path in paths if path not in every]:
        some = ", ".join(name for name in list(every)[1:13])
        raise CheckpointError(f"parts: the module has no {missing[0]!r}; it has {some}")
    guessed = {"embedding": _embeddings(every), "neurons": _readers(every), "attention": (), "readout": ()} | named
    modules = {part: tuple(every[path] for path in paths) for part, paths in guessed.items()}
    readout = modules.pop("readout")
    return Found(**modules, readout=readout[0] if readout else None, names=guessed)


def _embeddings(every: Mapping[str, nn.Module]) -> tuple[str, ...]:
    """Tables of tokens: those with as many rows as the first, which no table of positions has but by chance."""
    tables = {name: m for name, m in every.items() if isinstance(m, nn.Embedding)}
    return tuple(tables)[:2] if len({m.num_embeddings for m in tables.values()}) == 1 else tuple(tables)[:1]


def _readers(every: Mapping[str, nn.Module]) -> tuple[str, ...]:
    """Linear maps behind an activation: of two that follow each other in a module, sizes meeting, the second. Parts of
    attention, by class or by name where sizes do not tell, and of recurrent cells are none.
    """
    inside = [name for name, m in every.items() if isinstance(m, nn.MultiheadAttention | nn.RNNBase | nn.RNNCellBase)]
    linear = [
        (name, m)
        for name, m in every.items()
        if isinstance(m, nn.Linear) and not any(name.startswith(f"{other}.") for other in inside)
    ]
    blocks: dict[str, list[tuple[str, nn.Linear]]] = {}
    for name, m in linear:
        parent, _, _ = name.rpartition(".")
        if isinstance(many := every[parent], nn.ModuleList) and all(isinstance(one, nn.Linear) for one in many):
            parent, _, _ = parent.rpartition(".")  # a list of layers is beside those that its owner has by name
        blocks.setdefault(parent, []).append((name, m))
    found = []
    for own in blocks.values():
        found += [
            second[0]
            for first, second in pairwise(own)
            if first[1].out_features == second[1].in_features
            and (first[1].in_features != first[1].out_features or not _ATTENTION.search(second[0]))
        ]
    return tuple(found)


def _ways(module: nn.Module, task: Task, found: Found) -> Iterator[Way]:
    """Ways of passing two operands, the usual first."""
    n = task.n_tokens
    needed = [
        p
        for p in inspect.signature(module.forward).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    if len(needed) == 2:
        yield Way("a and b apart", lambda t: (t[:, 0], t[:, 1]))
        return
    rows = max((int(m.num_embeddings) for m in found.embedding if isinstance(m, nn.Embedding)), default=0)
    if rows >= n:
        lengths = [2 if rows == n else 3 if rows == n + 1 else 4]
        yield from map(_by_layout, likely(rows, n, [*lengths, *(k for k in (2, 3, 4) if k not in lengths)]))
        return
    one_hot = nn.functional.one_hot
    yield Way("one-hot a, then b [batch, 2 n]", lambda t: (one_hot(t, n).flatten(1).float(),))
    yield Way("one-hot a and b [batch, 2, n]", lambda t: (one_hot(t, n).float(),))
    yield Way("one-hot a plus b [batch, n]", lambda t: (one_hot(t, n).sum(1).float(),))


def likely(rows: int, n_tokens: int, lengths: Sequence[int]) -> Iterator[TokenLayout]:
    """The likeliest token layouts of each length."""
    for length in lengths:
        yield from (layout for _, layout in islice(layouts(rows, n_tokens, [length]), WAYS))


def _by_layout(layout: TokenLayout) -> Way:
    return Way(f'tokens "{layout}"', lambda t: (layout.sequence(t),))


def to_try(task: Task) -> tuple[Tensor, Tensor]:
    """Pairs to try ways of passing tokens on, and their answers."""
    pairs = np.random.default_rng(0).permutation(task.domain)[:TRIED]
    tokens = torch.from_numpy(np.stack([pairs // task.n_tokens, pairs % task.n_tokens], axis=1))
    return tokens, torch.from_numpy(task.answer.ravel()[pairs])


def answering(networks: Iterable[tuple[str, N]], task: Task, who: str, call: str) -> N:
    """The network that answers most; the first that runs, the usual one, where none does beyond chance.

    networks: each with what is said of how it passes tokens. who, call: whose they are, and what settles how tokens are
    passed. Errors: CheckpointError, with what each raised, where none runs.
    """
    tokens, answers = to_try(task)
    ran: list[tuple[float, N]] = []
    raised = []
    for said, network in networks:
        try:
            with torch.no_grad():
                logits = network.forward(tokens, lambda _, x: x)[:, : task.n_answers]
            ran.append((float(answered(logits, answers).double().mean()), network))
        except Exception as error:  # the user's code, called in a way that it may not know
            raised.append(f"{said}: {told(error)}")
        if ran and ran[-1][0] > ENOUGH:
            break
    if not ran:
        tried = "; ".join(raised[:4])
        raise CheckpointError(
            f"{who} gave no logits [batch, {task.n_answers}] for {task.spec}. Tried {tried}. Say what it reads: {call}"
        )
    best = max(ran, key=lambda pair: pair[0])
    return best[1] if beyond_chance(best[0], task, len(answers)) else ran[0][1]


def _tried(module: nn.Module, task: Task, found: Found, ways: Sequence[Way], named: bool) -> Wrapped:
    """The way that answers most."""
    networks = ((way.said, Wrapped(module, task, found, way)) for way in ways)
    network = answering(networks, task, type(module).__name__, 'detectors.wrap(module, task, tokens="a b =")')
    some = to_try(task)[0]
    network = borne_out(network, some)
    seen = _seen(module, network, some)
    if named:
        return Wrapped(module, task, _with_producers(network.found, seen), network.way)
    known = _with_producers(_checked(network.found, seen), seen)
    # one that reads no function of what a linear map gave, as of the stream behind attention, reads no neurons
    behind = [i for i, m in enumerate(known.neurons) if known.before[i] is not None or _behind(seen, m)]
    return Wrapped(module, task, _only(known, behind or range(len(known.neurons))), network.way)


class Seen(NamedTuple):
    """In a pass: what linear maps gave and what readers of neurons read, each time that they were called."""

    given: dict[nn.Module, list[Tensor]]
    read: dict[nn.Module, list[Tensor]]


def _seen(module: nn.Module, network: Wrapped, tokens: Tensor) -> Seen:
    linear = [m for m in module.modules() if isinstance(m, nn.Linear)]
    found = Seen({m: [] for m in linear}, {m: [] for m in network.found.neurons})
    # copies, since an activation function that works in place writes over what it is given
    handles = [m.register_forward_hook(lambda m, args, out: found.given[m].append(out.clone())) for m in linear]
    handles += [m.register_forward_pre_hook(lambda m, args: found.read[m].append(args[0])) for m in found.read]
    try:
        with torch.no_grad():
            network.forward(tokens, lambda _, x: x)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _checked(found: Found, seen: Seen) -> Found:
    """Without guessed readers of neurons that a pass does not call once, or that read a linear map as it is."""
    given = [out for outs in seen.given.values() for out in outs]
    kept = [
        i
        for i, once in enumerate(seen.read[m] for m in found.neurons)
        if len(once) == 1 and not any(x.shape == once[0].shape and torch.equal(x, once[0]) for x in given)
    ]
    return _only(found, kept)


def _behind(seen: Seen, reader: nn.Module) -> bool:
    """Whether what it reads is next to a function, the same for each number, of what some linear map gave: in the order
    of those it then changes by little from one to the next.
    """
    read = seen.read[reader][0].flatten()
    apart = float((read - read.roll(len(read) // 2)).abs().mean())
    outs = [outs[0] for outs in seen.given.values() if len(outs) == 1 and outs[0].shape == seen.read[reader][0].shape]
    return any(float(read[out.flatten().argsort()].diff().abs().mean()) <= SMOOTH * apart for out in outs)


def _only(found: Found, kept: Sequence[int]) -> Found:
    """With those readers of neurons."""

    def of(every: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(every[i] for i in kept) if every else ()

    names = {**found.names, "neurons": of(found.names["neurons"])}
    return replace(found, neurons=of(found.neurons), before=of(found.before), names=names)


def _with_producers(found: Found, seen: Seen) -> Found:
    """With the linear map before each reader of neurons, where these are a known activation function of it."""

    def gives(outs: list[Tensor], neurons: Tensor) -> bool:
        return (
            len(outs) == 1
            and outs[0].shape == neurons.shape
            and any(
                torch.allclose(activation(name)(outs[0]), neurons, rtol=1e-4, atol=1e-6)
                for name in ACTIVATIONS
                if name != "identity"
            )
        )

    def before(reader: nn.Module) -> nn.Module | None:
        read = seen.read[reader]
        fits = [m for m, outs in seen.given.items() if len(read) == 1 and gives(outs, read[0])]
        return fits[0] if len(fits) == 1 else None

    return replace(found, before=tuple(map(before, found.neurons)))
