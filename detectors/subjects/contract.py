"""Whether a network keeps what `help(detectors.Network)` asks of it, found out on a few inputs before it is scored.

An adapter that drops what `hook` returns makes a true circuit inert, and one that keeps dropout on makes it absent.
What is put at a hook point must come out: NaN does, also of a layer whose weights are zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from detectors.core.blame import told
from detectors.core.errors import CheckpointError, DetectorsError
from detectors.subjects.subject import Subject
from detectors.subjects.tasks import VIEWS, is_subject, parse_task, subject

FEW = 7  # inputs: a number that no axis of a network has by chance
CLOSE = 1e-4  # of the largest logit: what another order of summation does in float32 is 1e-6, what dropout does 1e-2
# axes by the end of a hook's name; of patterns and neurons the answer position, the last, is read
AXES = {
    "hook_embed": "batch pos d_model",
    "attn.hook_pattern": "batch head query key",
    "mlp.hook_pre": "batch pos d_mlp",
    "mlp.hook_post": "batch pos d_mlp",
}
Part = Callable[[Tensor], Tensor]
LAST: dict[str, Part] = {
    "attn.hook_pattern": lambda x: x[:, :, -1],
    "mlp.hook_pre": lambda x: x[:, -1],
    "mlp.hook_post": lambda x: x[:, -1],
}


class Line(NamedTuple):
    """One line of the contract. wrong: what is not as asked; empty where the line is kept."""

    asked: str
    wrong: str


def check(network: Any, task: Any = None) -> bool:
    """Hold a network, or a view of one, against the contract, print a line for each thing asked, and say whether all
    hold. task: as for `detectors.ModelView`; none with a view.

    >>> import models_zoo
    >>> check(models_zoo.trig_mlp(p=7, frequencies=(2,)))
    ok     forward gives finite logits [batch, answers]
    ok     two passes agree
    ok     a case's logits do not depend on what else is in the batch
    ok     weights are finite tensors
    ok     hook_embed is [batch, pos, d_model] of floats, once a pass
    ok     hook_embed: what is put at operand 0 reaches the logits
    ok     hook_embed: what is put at operand 1 reaches the logits
    ok     blocks.0.mlp.hook_pre is [batch, pos, d_mlp] of floats, once a pass
    ok     blocks.0.mlp.hook_pre: what is put at the last position reaches the logits
    ok     blocks.0.mlp.hook_post is [batch, pos, d_mlp] of floats, once a pass
    ok     blocks.0.mlp.hook_post: what is put at the last position reaches the logits
    ok     embedding(0) is [n_tokens, d], finite
    ok     embedding(1) is [n_tokens, d], finite
    ok     readout(0) is [d_mlp, answers], finite, or None
    True
    """
    try:
        model = network if is_subject(network) else _view(network, task)
        lines = list(contract(model))
    except DetectorsError as error:  # it lacks something, or its tokens are not those of the task
        lines = [Line("a network of this task", str(error))]
    for asked, wrong in lines:
        print(f"{'WRONG ' if wrong else 'ok    '} {asked}{': ' if wrong else ''}{wrong}")
    return not any(line.wrong for line in lines)


def _view(network: Any, task: Any) -> Any:
    if task == "infer":
        return VIEWS["operands"](network, task)
    return subject(network, parse_task(task) if isinstance(task, str) else task)


def hold_to_contract(model: Subject) -> None:
    """CheckpointError, with the line that is broken, for a network that would be scored as what it is not."""
    for asked, wrong in contract(model):
        if wrong:
            raise CheckpointError(f"the network does not keep its contract, so nothing is scored: {asked}: {wrong}")


def contract(model: Any) -> Iterator[Line]:
    """The lines in order, up to the first without which the others mean nothing."""
    if model.kind in ("words", "features"):  # nothing of anybody's own is run; numbers are checked as they are read
        return
    inputs = model.few(FEW)
    seen: dict[str, Tensor] = {}
    calls: list[str] = []

    def record(name: str, tensor: Tensor) -> Tensor:
        seen[name] = tensor
        calls.append(name)
        return tensor

    shape = "[batch, answers]" if model.kind == "operands" else "[batch, pos, answers]"
    try:
        logits = _forward(model, inputs, record)
        wrong = _of_logits(logits, inputs, len(shape.split(",")))
    except DetectorsError as error:
        wrong = str(error)
    except (Exception, SystemExit) as error:  # the user's code
        wrong = f"it raised {told(error)}"
    yield Line(f"forward gives finite logits {shape}", wrong)
    if not wrong:
        yield from _repeated(model, inputs, logits)
        yield Line("weights are finite tensors", _of_weights(model.weights))
        for name in getattr(model.network, "probed", seen):
            yield from _of_hook(model, name, seen[name], calls.count(name), inputs, logits)
        if model.kind == "operands":
            yield from _of_methods(model, seen)


def _forward(model: Any, inputs: Tensor, hook: Callable[[str, Tensor], Tensor]) -> Any:
    with torch.no_grad():
        return model.network.forward(inputs, hook)


def _of_logits(logits: Any, inputs: Tensor, axes: int) -> str:
    if not isinstance(logits, Tensor):
        return f"it gives {type(logits).__name__}, not a torch.Tensor"
    if logits.ndim != axes or len(logits) != len(inputs):
        return f"of {len(inputs)} inputs it gives shape {tuple(logits.shape)}"
    return _finite(logits)


def _finite(tensor: Tensor) -> str:
    if not tensor.is_floating_point():
        return f"{tensor.dtype} is no floating point"
    bad = int((~tensor.isfinite()).sum())
    return f"{bad} of {tensor.numel()} entries are NaN or infinite" if bad else ""


def _repeated(model: Any, inputs: Tensor, logits: Tensor) -> Iterator[Line]:
    def differs(other: Tensor, first: Tensor) -> bool:
        coarse = max(CLOSE, 4 * torch.finfo(logits.dtype).eps)
        return bool((other - first).abs().max() > coarse * logits.abs().max().clamp_min(1e-6))

    again = _forward(model, inputs, lambda _, x: x)
    why = "they do not: is dropout on, or does it keep a state? Call .eval()"
    yield Line("two passes agree", why if differs(again, logits) else "")
    why = "they do: is batch normalisation in training mode? Call .eval()"
    try:
        half = _forward(model, inputs[: FEW // 2], lambda _, x: x)
        # its logits are held against those of a batch of the same size, since another sums in another order, which
        # neurons that cancel make as large as they are
        among = torch.cat([inputs[: FEW // 2], inputs[:1].expand(len(inputs) - FEW // 2, *inputs.shape[1:])])
        other = _forward(model, among, lambda _, x: x)[: FEW // 2]
        wrong = why if half.shape[1:] != logits.shape[1:] or differs(other, logits[: len(other)]) else ""
    except Exception as error:  # the user's code, which knows of one size of batch
        wrong = f"it raised {told(error)}"
    yield Line("a case's logits do not depend on what else is in the batch", wrong)


def _of_weights(weights: Mapping[str, Any]) -> str:
    for name, tensor in weights.items():
        if not isinstance(tensor, Tensor):
            return f"{name} is {type(tensor).__name__}"
        if tensor.is_floating_point() and (wrong := _finite(tensor)):
            return f"{name}: {wrong}"
    return ""


def _of_hook(model: Any, name: str, tensor: Tensor, count: int, inputs: Tensor, logits: Tensor) -> Iterator[Line]:
    end = next((end for end in AXES if name.endswith(end)), "")
    axes = AXES.get(end, "batch ...").split()
    wrong = "" if count == 1 else f"it is called {count} times, and an edit would be made as often"
    if (end and tensor.ndim != len(axes)) or len(tensor) != len(inputs):
        without = len(axes) == 3 and tensor.ndim == 2
        hint = "; without a position axis, give it one of size 1 with [:, None]" if without else ""
        wrong = f"it has shape {tuple(tensor.shape)} for {len(inputs)} inputs{hint}"
    wrong = wrong or _finite(tensor)
    yield Line(f"{name} is [{', '.join(axes)}] of floats, once a pass", wrong)
    if wrong:
        return
    if end == "hook_embed" and model.kind == "operands":
        parts: dict[str, Part] = {"at operand 0 ": lambda x: x[:, 0], "at operand 1 ": lambda x: x[:, 1]}
        if tensor.shape[1] < 2:
            yield Line(f"{name} has both operands, at positions 0 and 1", f"it has shape {tuple(tensor.shape)}")
            return
    else:
        parts = {"at the last position ": LAST[end]} if end in LAST else {"": lambda x: x}
    for where, part in parts.items():
        dead = not any(_comes_out(model, name, part, put, inputs, logits) for put in (_nan, _noise))
        why = "it does not: go on with what hook(name, tensor) returns" if dead else ""
        yield Line(f"{name}: what is put {where}reaches the logits", why)


def _nan(x: Tensor) -> Tensor:
    return torch.full_like(x, torch.nan)


def _noise(x: Tensor) -> Tensor:
    """Where NaN is lost without a fault, as in a comparison."""
    drawn = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).to(x)
    return x + 10 * x.abs().max().clamp_min(1.0) * drawn


def _comes_out(
    model: Any, name: str, part: Part, put: Callable[[Tensor], Tensor], inputs: Tensor, logits: Tensor
) -> bool:
    def hook(at: str, tensor: Tensor) -> Tensor:
        if at == name:
            tensor = tensor.clone()
            part(tensor)[...] = put(part(tensor))
        return tensor

    try:
        return not torch.equal(_forward(model, inputs, hook), logits)
    except Exception:  # it saw what was put there
        return True


def _of_methods(model: Any, seen: Mapping[str, Tensor]) -> Iterator[Line]:
    n, network = model.task.n_tokens, model.network
    for operand in (0, 1):
        yield Line(f"embedding({operand}) is [n_tokens, d], finite", _of_matrix(lambda: network.embedding(operand), n))  # noqa: B023
    widths = {i: seen.get(f"blocks.{i}.mlp.hook_post") for i in range(network.n_layers)}
    for layer, width in ((i, post.shape[-1]) for i, post in widths.items() if post is not None):
        matrix = _of_matrix(lambda: network.readout(layer), width, model.task.n_answers)  # noqa: B023
        yield Line(f"readout({layer}) is [d_mlp, answers], finite, or None", matrix)


def _of_matrix(made: Callable[[], Any], rows: int, columns: int | None = None) -> str:
    try:
        matrix = made()
    except Exception as error:  # the user's code
        return f"it raised {told(error)}"
    if matrix is None and columns is not None:
        return ""
    if not isinstance(matrix, Tensor):
        return f"it is {type(matrix).__name__}"
    if matrix.ndim != 2 or len(matrix) != rows or matrix.shape[1] < (columns or 1):
        return f"it has shape {tuple(matrix.shape)}, where {rows} rows are asked for"
    return _finite(matrix)
