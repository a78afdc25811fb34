"""Weights of a checkpoint, and what else it says."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from detectors.core.errors import CheckpointError
from detectors.core.visible import visible
from detectors.loading.arrays import Storages, shape, tensor
from detectors.loading.containers import MAX_BYTES, MAX_GROWTH, read_bytes, short, tree_of, whole
from detectors.loading.contents import find
from detectors.loading.folders import Inside, inside
from detectors.loading.parametrized import folded
from detectors.loading.train_files import read_values

MAX_NAME = 1000  # letters of a tensor's


@dataclass(frozen=True, eq=False)
class Contents:
    """What a checkpoint holds.

    weights: by name, without the prefixes of wrappers, floats as float32. says: the plain values beside them, such as a
    step or a configuration. train: the key of training pairs in the file, and those as they stand; None where it has
    none. note: what was chosen where there were several states. sha256: of the file.
    """

    weights: dict[str, Tensor]
    says: Mapping[str, Any]
    train: tuple[str, Any] | None
    note: str
    sha256: str
    steps: tuple[int, ...] = ()


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """The weights alone of what `read_contents` reads."""
    return read_contents(path).weights


def read_contents(path: str | Path, step: str | None = None) -> Contents:
    """Weights in a file of safetensors, torch or NumPy, or in the one of a folder that `inside` finds.

    step: which state where there are several, by its number or its key; the last otherwise.
    Errors: CheckpointError for whatever is not a checkpoint, is damaged, too large, or holds code.
    """
    place = inside(Path(path), step)
    return Opened(place).contents(place.step)


class Opened:
    """A file read once, for any of the states in it. tree: what it holds, its arrays unread. Errors: as above."""

    def __init__(self, place: Inside) -> None:
        data = read_bytes(place.file)
        self.place, self.size, self.sha256 = place, len(data), hashlib.sha256(data).hexdigest()
        self.tree, self.storages = whole(place.file, lambda: tree_of(data, place.file.suffix))

    def contents(self, step: str | None = None) -> Contents:
        """One state, the last where none is asked for."""
        file = self.place.file
        found = whole(file, lambda: find(self.tree, step))
        weights, computed = whole(file, lambda: folded(_weights(found.arrays, self.storages, self.size)))
        train = whole(file, lambda: found.plain_train(self.storages))
        if train is None and self.place.train is not None:
            train = (self.place.train.name, read_values(self.place.train))
        note = "; ".join(filter(None, (self.place.note, found.note, computed)))
        return Contents(weights, found.says, train, note, self.sha256, found.steps)


def _weights(arrays: Mapping[str, Any], storages: Storages, size: int) -> dict[str, Tensor]:
    """Read once their sizes are known to fit. size: bytes of the file."""
    elements = 0
    for name, node in arrays.items():
        if len(name) > MAX_NAME:
            raise CheckpointError(f"a tensor in it has a name of {len(name)} letters: {short(name)}...")
        try:
            elements += math.prod(shape(node))
        except ValueError as error:
            raise CheckpointError(f"{short(name)}: {error}") from None
    if elements * 4 > 4 * size + MAX_GROWTH or elements * 4 > MAX_BYTES:
        raise CheckpointError(
            f"its tensors have {elements:.2e} elements, for which {elements * 4 / 2**30:.1f} GiB would be needed, "
            f"and the file has {size / 2**20:.1f} MiB"
        )
    read = {name: tensor(node, storages) for name, node in arrays.items()}
    for name, found in read.items():
        if found.layout != torch.strided or found.is_quantized or found.device.type != "cpu":
            raise CheckpointError(f"{short(name)} is not a dense tensor")
    return {
        _shown(name): (found.detach().float() if found.is_floating_point() else found.detach()).clone(
            memory_format=torch.contiguous_format
        )
        for name, found in read.items()
    }


def _shown(name: str) -> str:
    """As it may stand in a message; names that programs write do already."""
    return name if name.isprintable() else visible(name)
