"""Weights that a file holds as what they are computed from: pruned, with a norm of their own, or with adapters.

As torch names them: `torch.nn.utils.prune` keeps `weight_orig` and `weight_mask`; `weight_norm` (arXiv:1602.07868)
`weight_g` and `weight_v`, a length and a direction; `spectral_norm` (arXiv:1802.05957) `weight_orig` and the vectors
`weight_u` and `weight_v`; `torch.nn.utils.parametrizations` the same below `parametrizations.weight`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from detectors.core.errors import CheckpointError
from detectors.core.visible import visible

_NESTED = re.compile(r"^(.*?)parametrizations\.([^.]+)\.(original[01]?|0\._[uv])$")
_PART = {"original0": "g", "original1": "v", "original": "orig", "0._u": "u", "0._v": "v"}
_FLAT = re.compile(r"^(.*)_(orig|mask|g|v|u)$")
_ADAPTER = re.compile(r"(^|\.)lora_(A|B|down|up|magnitude\w*|embedding_[AB])(\.|$)")
_PRELU = re.compile(r"(^|\.)prelu\w*\.weight$", re.IGNORECASE)


def folded(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """The weights themselves, in the order of the file, and which were computed, empty of none.

    Errors: CheckpointError for adapters, whose scale no file holds, for slopes of PReLU, and for parametrizations of
    other kinds.

    >>> import torch
    >>> pruned = {"fc.weight_orig": torch.ones(2, 2), "fc.weight_mask": torch.eye(2)}
    >>> folded(pruned)[0]["fc.weight"].tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    if adapters := [name for name in weights if _ADAPTER.search(name)]:
        raise CheckpointError(
            f"it holds adapters, such as {visible(adapters[0])}, and no file says by what they are multiplied. "
            "Merge them where you have the model, as peft's merge_and_unload() does, and save its state dict"
        )
    if slopes := [name for name in weights if _PRELU.search(name)]:
        raise CheckpointError(
            f"it holds slopes of PReLU, {visible(slopes[0])}, an activation function that is not read from files. "
            "Where you have the model: detectors.wrap(module, task)"
        )
    parts: dict[str, dict[str, Tensor]] = {}
    of: dict[str, str] = {}
    for name, tensor in weights.items():
        nested, flat = _NESTED.match(name), _FLAT.match(name)
        if nested or flat:
            whole, part = (nested[1] + nested[2], _PART[nested[3]]) if nested else (flat[1], flat[2])  # type: ignore[index]
            parts.setdefault(whole, {})[part] = tensor
            of[name] = whole
    made = {w: found for w, p in parts.items() if w not in weights and (found := _computed(p)) is not None}
    if other := [name for name in weights if "parametrizations." in name and of.get(name) not in made]:
        raise CheckpointError(
            f"its weights are computed in a way that is not known here, from such as {visible(other[0])}: call "
            "torch.nn.utils.parametrize.remove_parametrizations for each, and save the state dict"
        )
    plain = {of[n] if of.get(n) in made else n: made.get(of.get(n, ""), tensor) for n, tensor in weights.items()}
    said = ", ".join(map(visible, made))
    return plain, f"computed from its parts: {said}" if made else ""


def _computed(parts: Mapping[str, Tensor]) -> Tensor | None:
    """None of parts that do not belong together."""
    if not all(tensor.is_floating_point() or part == "mask" for part, tensor in parts.items()):
        return None
    shapes = {part: tuple(tensor.shape) for part, tensor in parts.items()}
    if parts.keys() == {"orig", "mask"} and shapes["orig"] == shapes["mask"]:
        return parts["orig"] * parts["mask"]
    if parts.keys() == {"g", "v"} and len(shapes["v"]) >= 2 and len(shapes["g"]) in (0, len(shapes["v"])):
        g, v = parts["g"], parts["v"]
        summed = [i for i, size in enumerate(g.shape) if size == 1] or (None if g.ndim == 0 else [])
        if all(size in (1, v.shape[i]) for i, size in enumerate(g.shape)) and summed != []:
            return v * (g / v.norm(dim=summed, keepdim=g.ndim > 0))
    if parts.keys() == {"orig", "u", "v"} and len(shapes["orig"]) >= 2:
        matrix, u, v = parts["orig"].flatten(1), parts["u"], parts["v"]
        if (*u.shape, *v.shape) == tuple(matrix.shape):
            return parts["orig"] / (u @ matrix @ v)
    return None
