"""What is in a checkpoint and how it is read, without scoring; and a loader to fill in where it is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from detectors.core.errors import DetectorsError
from detectors.core.visible import visible
from detectors.loading import reader
from detectors.loading.folders import check_name
from detectors.loading.language import gguf_or_folder
from detectors.loading.language_rows import headers
from detectors.loading.load import load
from detectors.loading.recognise import LAYOUTS
from detectors.loading.tensors import read_tensors
from detectors.subjects.subject import Checkpoint


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """tensors: name, shape, kind of number. layout: None where nothing was recognised; why: then what was said.
    reading: how each part was read. settles: options that would settle what the trial left open. sizes: numbers of
    operands that the shapes allow. example: of a task that may be passed.
    """

    path: str
    tensors: tuple[tuple[str, tuple[int, ...], str], ...]
    layout: str | None
    reading: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    settles: tuple[str, ...] = ()
    architecture: Mapping[str, Any] | None = None
    sizes: tuple[int, ...] = ()
    why: str = ""
    example: str = "add:P"

    def loader(self, name: str, task: str | None = None) -> str:
        """A file of Python to fill in for what was not understood, with the tensors in comments. name: of that file."""
        matrices = [n for n, shape, _ in self.tensors if len(shape) == 2] or [n for n, *_ in self.tensors] or ["table"]
        shapes = "\n".join(f"        # w[{n!r}]: {list(shape)}" for n, shape, _ in self.tensors)
        said = {"file": self.path, "name": name, "task": task or f"add:{next(iter(self.sizes), 'P')}"}
        quoted = {key: visible(text).replace("\\", "/").replace('"', "'") for key, text in said.items()}
        return LOADER.format(shapes=shapes, table=matrices[0], head=matrices[-1], **quoted)


def inspect(path: str | Path, *, task: str | None = None, **options: Any) -> Inspection:
    """What a file holds and how it is read. options: those of `detectors.load`. Without a task nothing is tried.

    Errors: CheckpointError for what is no checkpoint at all; a file that is not recognised is an answer.
    """
    check_name(str(path))
    if task is None and (language := gguf_or_folder(Path(path))) is not None:
        files = sorted(language.glob("*.safetensors")) if language.is_dir() else []  # of others nothing is shown
        return Inspection(
            path=str(path),
            tensors=tuple(tensor for file in files for tensor in headers(file)),
            layout="language model by transformers",
            architecture={"kind": "language model"},
        )
    weights = read_tensors(path)
    tensors = tuple((name, tuple(t.shape), str(t.dtype).removeprefix("torch.")) for name, t in weights.items())
    layout = next((layout for layout in LAYOUTS if layout.matches(weights)), None)
    known = None if layout is None else layout.NAME
    sizes = tuple(reader.sizes(weights)) if known is None else ()
    if task is None and not (Path(path) / "config.json").is_file():
        guess = known or (reader.NAME if sizes else None)
        example = getattr(layout, "TASK", f"add:{next(iter(sizes), 'P')}")
        reading = _shown(weights, sizes)
        return Inspection(path=str(path), tensors=tensors, layout=guess, sizes=sizes, reading=reading, example=example)
    try:
        view = load(path, task=task, **options)
    except DetectorsError as error:
        return Inspection(path=str(path), tensors=tensors, layout=None, sizes=sizes, why=str(error))
    origin: Checkpoint = view.checkpoint
    return Inspection(
        path=str(path),
        tensors=tensors,
        layout=origin.layout,
        reading=origin.reading,
        notes=origin.notes,
        unused=origin.unused,
        settles=tuple(dict.fromkeys(text for tied in getattr(view, "tied", ()) for text in (tied.now, tied.other))),
        architecture=view.architecture,
        sizes=sizes,
    )


def _shown(weights: Mapping[str, Tensor], sizes: tuple[int, ...]) -> tuple[str, ...]:
    """The likeliest structure, for as many operands as the shapes make likeliest."""
    from detectors.loading.account import shown
    from detectors.loading.assembly import structures

    return (shown(structures(weights, sizes[0])[0][1]),) if sizes else ()


LOADER = '''"""A loader: detectors run {file} --task {task} --loader {name}:load

Fill in `forward`; the tensors of the file and their shapes stand below. help(detectors.Network) has the whole contract.
"""

import torch

import detectors
from detectors.loading.tensors import read_tensors


class Mine:
    n_layers = 1  # with neurons

    def __init__(self, weights, n_tokens):
        self.weights, self.n_tokens = weights, n_tokens
        self.architecture = {{"kind": "my network", "n_layers": 1, "act_fn": "relu"}}

    def forward(self, tokens, hook):
        w = self.weights
{shapes}
        embedded = hook("hook_embed", w[{table!r}][tokens])  # [batch, 2, d]: operands at positions 0 and 1
        pre = hook("blocks.0.mlp.hook_pre", embedded.sum(1, keepdim=True))  # [batch, pos, m], the answer last
        post = hook("blocks.0.mlp.hook_post", torch.relu(pre))
        return post[:, -1] @ w[{head!r}].T  # [batch, answers]

    def embedding(self, operand):  # what one operand passes on, up to the first nonlinearity: [n_tokens, d]
        return self.weights[{table!r}][: self.n_tokens]

    def readout(self, layer):  # from neurons to logits, [m, answers]; None where something nonlinear follows
        return None


def load(path, task):
    tokens = task if isinstance(task, str) else task.n_tokens
    return detectors.ModelView(Mine(read_tensors(path), tokens), task)
'''
