"""The modules that a state dict tells of: a matrix with its bias, or the gain and shift of a norm, by their path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from detectors.core.errors import CheckpointError

_LEAF = re.compile(r"^(.*?)[._]?(weight|kernel|bias|gamma|beta|scale|shift|gain|running_mean|running_var)$")
_SHIFTS = ("bias", "beta", "shift", "b")
_RAW = {"b": re.compile(r"^[bB](_|(?![a-z]{2}))"), "w": re.compile(r"^[wW](_|(?![a-z]{2}))")}
MAX_MODULES = 2000  # of small models; a name costs nothing to write


@dataclass(eq=False)
class Module:
    """turned: whether the matrix is [in, out], None where nothing in the file shows it. place: among the modules."""

    path: str
    place: int = 0
    name: str = ""
    matrix: Tensor | None = None
    turned: bool | None = None
    bias: Tensor | None = None
    gain: Tensor | None = None
    running: dict[str, Tensor] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, ...]:
        return () if self.matrix is None else tuple(self.matrix.shape)

    @property
    def is_norm(self) -> bool:
        return self.matrix is None and self.gain is not None

    @property
    def words(self) -> list[str]:
        """Of the path and the tensor's name, lower case: `blocks.0.attn.W_Q` is blocks, 0, attn, w, q."""
        text = self.name or self.path
        return re.findall(r"[a-z]+|\d+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", text).lower())

    def says(self, pattern: str) -> bool:
        """Whether some word of the path matches, from its beginning to its end."""
        return any(re.fullmatch(pattern, word) for word in self.words)


def modules(weights: Mapping[str, Tensor]) -> tuple[list[Module], dict[str, Tensor]]:
    """Modules with floating-point tensors in the order of the file, and what belongs to none of them.

    >>> found, _ = modules({"net.0.weight": torch.zeros(5, 3), "net.0.bias": torch.zeros(5), "ln.gamma": torch.ones(3)})
    >>> [(m.path, m.shape, m.turned, m.is_norm) for m in found]
    [('net.0', (5, 3), False, False), ('ln', (), None, True)]
    """
    if list(weights) == sorted(weights):  # safetensors' order, which says nothing of the model's
        weights = {name: weights[name] for name in sorted_by_number(weights)}
    found: dict[str, Module] = {}
    others: dict[str, Tensor] = {}
    called = {name: _plain(name) for name in weights}
    if len(set(called.values())) < len(called):  # else one would stand in for another, unsaid
        called = {name: name for name in weights}
    plain = {called[name]: tensor for name, tensor in weights.items()}
    for name, tensor in weights.items():
        small = tensor.ndim == 0 or tensor.numel() == 0
        if small or not tensor.is_floating_point() or tensor.ndim > 3 or is_mask(tensor):
            others[name] = tensor
            continue
        path, leaf = _path(called[name], tensor, plain)
        module = found.setdefault(path, Module(path, len(found)))
        module.names.append(name)
        _put(module, name, leaf, tensor)
    if len(found) > MAX_MODULES:
        raise CheckpointError(f"{len(found)} modules: small models have at most {MAX_MODULES}")
    listed = [m for m in _with_biases(list(found.values())) if m.matrix is not None or m.is_norm]
    kept = {name for module in listed for name in module.names}
    return listed, others | {name: tensor for name, tensor in weights.items() if name not in kept}


def is_mask(tensor: Tensor) -> bool:
    """A square, after axes of length 1, whose triangle above the diagonal has one value of 0, 1 or minus infinity, and
    the rest another: which position may see which.
    """
    shape = [n for n in tensor.shape if n != 1]
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] > 4096:
        return False
    square = tensor.detach().reshape(shape).float()
    above = torch.ones(shape).triu(1).bool()
    values = {*square[above][:1].tolist(), *square[~above][:1].tolist()}
    same = bool((square[above] == square[0, 1]).all()) and bool((square[~above] == square[0, 0]).all())
    return same and len(values) == 2 and all(v in (0.0, 1.0) or v <= -1e4 for v in values)


def _path(name: str, tensor: Tensor, weights: Mapping[str, Tensor]) -> tuple[str, str]:
    """The module of a tensor and what it is there; of a bare parameter the name without its W or b."""
    if match := _LEAF.match(name):
        return match[1], match[2]
    parent, _, last = name.rpartition(".")
    if tensor.ndim == 1 and last in ("w", "W", "g", "b"):
        return parent, last
    stripped = _RAW["b"].sub("", last)
    beside = (weights.get(".".join(filter(None, [parent, w + stripped]))) for w in ("W_", "w_", "W", "w"))
    is_bias = stripped != last and (tensor.ndim == 1 or any(w is not None and w.ndim > tensor.ndim for w in beside))
    leaf, stripped = ("b", stripped) if is_bias else ("raw", last if tensor.ndim == 1 else _RAW["w"].sub("", last))
    return ".".join(filter(None, [parent, stripped])), leaf


def _plain(name: str) -> str:
    """As PyTorch writes it.

    >>> _plain("model/dense/kernel:0")
    'model.dense.kernel'
    """
    return re.sub(r":\d+$", "", name).replace("/", ".")


def _put(module: Module, name: str, leaf: str, tensor: Tensor) -> None:
    if leaf.startswith("running"):
        module.running[leaf] = tensor
    elif tensor.ndim >= 2 and leaf not in _SHIFTS:  # a bias may have axes of heads
        module.matrix, module.name = tensor, name
        module.turned = {"weight": False, "kernel": True}.get(leaf)
    elif leaf in _SHIFTS:
        module.bias = tensor.flatten()
    else:
        module.gain = tensor


def _with_biases(found: list[Module]) -> list[Module]:
    """Biases without a matrix given to the matrix beside them that has none and that they fit."""
    for lone in (m for m in found if m.matrix is None and m.gain is None and m.bias is not None):
        parent = lone.path.rpartition(".")[0]
        for module in found:
            beside = module.path.rpartition(".")[0] == parent and module.matrix is not None and module.bias is None
            if beside and lone.bias is not None and lone.bias.numel() in module.shape[-2:]:
                module.bias = lone.bias
                module.names += lone.names
                lone.bias = None
                break
    for module in found:
        _orient(module)
    return found


def _orient(module: Module) -> None:
    """A bias has the length of what comes out."""
    if module.matrix is None or module.matrix.ndim != 2 or module.bias is None:
        return
    out, inside = module.shape
    size = module.bias.numel()
    if out != inside and size in (out, inside):
        module.turned = size == inside


def sorted_by_number(paths: Iterable[str]) -> list[str]:
    """`heads.10` after `heads.9`.

    >>> sorted_by_number(["h.10", "h.9"])
    ['h.9', 'h.10']
    """
    return sorted(paths, key=lambda path: [int(t) if t.isdecimal() else t for t in re.split(r"(\d+)", path)])
