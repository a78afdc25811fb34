"""Computing on an accelerator: what is marked `accelerated` runs there, everything else in ordinary memory.

A network need not know of it: while a marked function runs, every tensor that torch is given is moved to the device
first, weights once, and what comes back is moved home. Random numbers are drawn at home, so that draws are the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ClassVar, ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only
from torch.utils.weak import WeakTensorKeyDictionary

from detectors.core.errors import DetectorsError

P = ParamSpec("P")
R = TypeVar("R")

_ASKED: ContextVar[torch.device | None] = ContextVar("device", default=None)
_AT_HOME = (Tensor.cpu, Tensor.to, Tensor.numpy, Tensor.__array__)  # given a tensor where it lies
_VIEWS = tuple(getattr(Tensor, name).__get__ for name in ("T", "mT", "H", "mH", "data"))


@contextmanager
def on(device: str | None) -> Iterator[None]:
    """What is marked runs on that device, such as `cuda` or `cuda:1`; None or `cpu` is ordinary memory.

    Errors: DetectorsError for one that is not there, or does not know float64.

    >>> with on("cpu"):
    ...     pass
    """
    token = _ASKED.set(check_device(device))
    try:
        yield
    finally:
        _ASKED.reset(token)


def check_device(device: str | None) -> torch.device | None:
    """None for ordinary memory. Errors: as of `on`."""
    if device is None:
        return None
    try:
        found = torch.device(device)
        torch.zeros(1, dtype=torch.float64, device=found).add(1).cpu()
    except Exception as error:  # torch has an error of its own for each kind of device that is not there
        raise DetectorsError(
            f"--device {device}: torch {torch.__version__} cannot compute there in float64 on this machine "
            f"({str(error).splitlines()[0]}). Leave --device out, or see what torch.accelerator.is_available() says"
        ) from error
    return None if found.type == "cpu" else found


def accelerated(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a function: it runs on the device that is asked for, and gives tensors in ordinary memory."""

    @wraps(function)
    def placed(*args: P.args, **options: P.kwargs) -> R:
        device = _ASKED.get()
        if device is None:
            return function(*args, **options)
        with torch.device(device), Moved(device):
            found = function(*args, **options)
        home: R = tree_map_only(Tensor, Tensor.cpu, found)
        return home

    return placed


def gradient(of: Tensor, by: Tensor) -> Tensor:
    """d of / d by, in ordinary memory wherever it was computed; zeros where nothing depends on it. The graph is kept.

    >>> x = torch.ones(2, requires_grad=True)
    >>> gradient((3 * x).sum(), x)
    tensor([3., 3.])
    """
    (found,) = torch.autograd.grad(of, by, retain_graph=True, allow_unused=True, materialize_grads=True)
    return found.cpu()


class Moved(TorchFunctionMode):
    """Every call of torch is given its tensors on the device. What was moved is kept as long as its original lives."""

    _kept: ClassVar[defaultdict[torch.device, Any]] = defaultdict(WeakTensorKeyDictionary)

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[Any], args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in (Tensor.numpy, Tensor.__array__):
            return func(args[0].detach().cpu(), *args[1:], **kwargs)
        if func in _AT_HOME or (getattr(func, "__name__", "") == "__get__" and func not in _VIEWS):
            return func(*args, **kwargs)
        if kwargs.get("generator") is not None:
            return func(*args, **{"device": kwargs["generator"].device, **kwargs})
        return func(*tree_map_only(Tensor, self.moved, args), **tree_map_only(Tensor, self.moved, kwargs))

    def moved(self, tensor: Tensor) -> Tensor:
        """The tensor on the device; one that gradients pass through, or that was written to since, anew."""
        if tensor.device.type == self.device.type and self.device.index in (None, tensor.device.index):
            return tensor
        if tensor.requires_grad or tensor.is_inference():  # which have no version to tell a write by
            return tensor.to(self.device)
        kept = self._kept[self.device]
        version, there = kept.get(tensor, (None, None))
        if there is None or version != tensor._version:
            there = tensor.to(self.device)
            kept[tensor] = tensor._version, there
        result: Tensor = there
        return result
