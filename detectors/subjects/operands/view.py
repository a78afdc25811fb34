"""All that a detector may ask of a two-operand model, whatever its architecture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from detectors.core.errors import CheckpointError, MissingPart, NotApplicable
from detectors.core.figures import BySplit, Counts, Figures, TaskFacts
from detectors.core.groups import Group
from detectors.core.memory import check_memory
from detectors.subjects.hooks import Edit, check_contract, hooked_pass
from detectors.subjects.operands.inference import task_of
from detectors.subjects.operands.network import CHUNK, CONTRACT, Network, check_finite
from detectors.subjects.operands.plane import LogitGrid
from detectors.subjects.operands.split import Split, decide
from detectors.subjects.operands.tables import Labels
from detectors.subjects.operands.task import Task
from detectors.subjects.right import answered
from detectors.subjects.subject import Checkpoint, Size


class Tied(NamedTuple):
    """A network that the same file makes under another reading, and answers as well. now, other: what the user would
    type to ask for the reading taken and for this one.
    """

    now: str
    other: str
    network: Network


class ModelView:
    """A model with its task. Forward passes over the pairs are made once and shared by all detectors.

    network: what `help(detectors.Network)` describes. task: a Task, or a spec such as `add:113`, or `infer` for the
    table that its own answers follow.
    train_mask: [n_tokens * n_tokens] True on the training pairs, an array or a list; None where they are unknown. tied:
    other readings of the same file under which it answers as well.
    """

    kind, reads = "operands", "two operands"

    def __init__(
        self,
        network: Network,
        task: Task | str,
        *,
        train_mask: Bool[np.ndarray, " pairs"] | Sequence[bool] | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        check_contract(network, CONTRACT, "detectors.Network")
        if isinstance(task, str):
            task = task_of(network) if task == "infer" else Task.parse(task)
        if network.n_tokens != task.n_tokens:
            raise CheckpointError(
                f"the task {task.spec} has {task.n_tokens} tokens and the model {network.n_tokens}: "
                "pass the --task that the model was trained on"
            )
        train_mask = None if train_mask is None else np.asarray(train_mask)
        if train_mask is not None and (train_mask.shape != (task.n_tokens**2,) or train_mask.dtype != bool):
            raise CheckpointError(
                f"a training mask is a boolean array over the {task.n_tokens**2} pairs, not {train_mask.dtype} of "
                f"shape {train_mask.shape}; of pair numbers: numpy.isin(numpy.arange({task.n_tokens**2}), numbers)"
            )
        self.network, self.task, self.train_mask = network, task, train_mask
        self.checkpoint = checkpoint or Checkpoint()
        self.tied: tuple[Tied, ...] = ()
        self._passed: dict[str, Tensor] = {}

    def with_train_mask(self, mask: Bool[np.ndarray, " pairs"] | Sequence[bool] | None) -> ModelView:
        """The same model with these training pairs."""
        other = ModelView(self.network, self.task, train_mask=mask, checkpoint=self.checkpoint)
        other._passed, other.tied = self._passed, self.tied
        return other

    def under(self, reading: Tied) -> ModelView:
        """The same file under another reading, with the same task and training pairs."""
        return ModelView(reading.network, self.task, train_mask=self.train_mask, checkpoint=self.checkpoint)

    @property
    def architecture(self) -> Mapping[str, Any]:
        return self.network.architecture

    @property
    def weights(self) -> Mapping[str, Tensor]:
        return self.network.weights

    @property
    def size(self) -> Size:
        return Size(self.group.order if self.task.labels else None, str(self.architecture.get("kind", "unknown")))

    @property
    def cases(self) -> Int[Tensor, "cases operands"]:
        """Operand tokens of every case that has an answer."""
        return self.tokens_of(torch.from_numpy(self.task.domain))

    def few(self, count: int) -> Int[Tensor, "batch operands"]:
        """Operand tokens of pairs from all over the table."""
        n = self.task.n_tokens
        return self.tokens_of(torch.linspace(1, max(n * n - 2, 1), count).long())

    @cached_property
    def plane(self) -> LogitGrid:
        """The logits in the order of the group elements, as G and M take them apart."""
        return LogitGrid(self.logits(), self.task)

    @cached_property
    def split(self) -> Split:
        """Which pairs were trained on, decided once for all detectors."""
        return decide(self.task, self.train_mask, self.plane if self.task.labels else None)

    def figures(self) -> Figures:
        """Over the pairs that have an answer, and the training and the other pairs among them where those are given."""
        domain = torch.from_numpy(self.task.domain)
        answers = torch.from_numpy(self.task.answer.ravel())[domain]
        logits = self.logits()
        right, losses = torch.empty(len(domain), dtype=torch.bool), torch.empty(len(domain), dtype=torch.float64)
        for some in torch.arange(len(domain)).split(CHUNK):
            rows, a = logits.index_select(0, domain[some]), answers[some]
            right[some] = answered(rows, a)
            losses[some] = torch.nn.functional.cross_entropy(rows.double(), a, reduction="none")
        masks: dict[str, Tensor] = {}
        if self.train_mask is not None:
            train = torch.from_numpy(self.train_mask)
            echoed = self.split.echoed  # of a training set that is given, whatever is doubted
            assert echoed is not None
            sides = {"train": train, "test": ~train, "echoed": echoed, "unseen": ~(train | echoed)}
            masks = {name: mask[domain] for name, mask in sides.items()}

        def by_split(figure: Tensor) -> BySplit:
            means = {name: float(figure[m].mean()) if bool(m.any()) else None for name, m in masks.items()}
            train, test, unseen = (means.get(name) for name in ("train", "test", "unseen"))
            return BySplit(all=float(figure.mean()), train=train, test=test, unseen=unseen)

        accuracy, loss = by_split(right.double()), by_split(losses)
        counts = {name: int(masks[name].sum()) if masks else None for name in ("train", "echoed", "unseen")}
        return Figures(accuracy=accuracy, loss=loss, cases=Counts(all=len(domain), **counts))

    @property
    def task_facts(self) -> TaskFacts:
        task, group = self.task, self.task.group
        return TaskFacts(
            spec=task.spec,
            subject=self.kind,
            about=f"({f'{group.name}, order {group.order}' if group else 'no group'}), {len(task.domain)} pairs",
            split=self.split.status,
            n_tokens=task.n_tokens,
            n_answers=task.n_answers,
            pairs=len(task.domain),
            group=group.name if group else None,
            order=group.order if group else None,
            note=task.note,
        )

    @cached_property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes at every hook point of one forward pass over one pair."""
        shapes: dict[str, tuple[int, ...]] = {}

        def record(name: str, tensor: Tensor) -> Tensor:
            shapes[name] = tuple(tensor.shape[1:])
            return tensor

        with torch.no_grad():
            logits = self.network.forward(torch.zeros(1, 2, dtype=torch.long), record)
        if not isinstance(logits, Tensor):
            raise CheckpointError(f"the network's forward gives {type(logits).__name__}, not a torch.Tensor")
        if logits.ndim != 2 or logits.shape[1] < self.task.n_answers:
            raise CheckpointError(
                f"the task {self.task.spec} has {self.task.n_answers} answers; the model gives logits of "
                f"shape {tuple(logits.shape[1:])}"
            )
        return shapes

    @property
    def parts(self) -> frozenset[str]:
        """What this model has: names that `needs` of a detector may hold."""
        last = self.network.n_layers - 1
        have = {"logits", "run", "embedding", "split"}
        have |= {"neurons"} if self.neuron_layers else set()
        have |= {"preactivations"} if f"blocks.{last}.mlp.hook_pre" in self._shapes else set()
        have |= {"attention"} if any("hook_pattern" in name for name in self._shapes) else set()
        have |= {"readout"} if self.network.readout(last) is not None else set()
        if self.task.labels is not None:
            have |= {"group", *self.group.kinds}
        return frozenset(have)

    @property
    def neuron_layers(self) -> list[int]:
        """Layers with neurons, first to last."""
        return [i for i in range(self.network.n_layers) if f"blocks.{i}.mlp.hook_post" in self._shapes]

    @property
    def labels(self) -> Labels:
        """The group labelling of the task."""
        if self.task.labels is None:
            raise NotApplicable(f"the task {self.task.spec} has no group behind it")
        return self.task.labels

    @property
    def group(self) -> Group:
        return self.labels.group

    @cached_property
    def grid(self) -> Int[Tensor, "n n"]:
        """Pair index of every (left, right) pair of group elements."""
        return torch.from_numpy(np.ascontiguousarray(self.task.grid))

    def weight(self, name: str) -> Tensor:
        """A parameter by its name in the checkpoint, float32."""
        if name not in self.network.weights:
            raise MissingPart(f"no weight {name!r}; this model has {', '.join(self.network.weights)}")
        return self.network.weights[name].float()

    def embedding(self, operand: int) -> Float[Tensor, "n_tokens d"]:
        """Everything up to the first nonlinearity that operand 0 or 1 passes on its own."""
        return self.network.embedding(operand).detach().float()

    def logits(self) -> Float[Tensor, "pairs answers"]:
        """Of every pair, float32."""
        return self._pass("logits")

    def neurons(self, layer: int = -1) -> Float[Tensor, "pairs m"]:
        """After the activation function, at the answer position."""
        return self._pass(self._hook("mlp.hook_post", layer, "neurons"))

    def preactivations(self, layer: int = -1) -> Float[Tensor, "pairs m"]:
        """Before the activation function, at the answer position."""
        return self._pass(self._hook("mlp.hook_pre", layer, "preactivations"))

    def attention(self, layer: int = -1) -> Float[Tensor, "pairs head pos"]:
        """Attention of the answer position."""
        return self._pass(self._hook("attn.hook_pattern", layer, "attention"))

    def readout(self, layer: int = -1) -> Float[Tensor, "m answers"] | None:
        """From neurons to logits; None where something nonlinear follows the neurons."""
        matrix = self.network.readout(layer % self.network.n_layers)
        return None if matrix is None else matrix.detach().float()[:, : self.task.n_answers]

    def run(
        self, tokens: Int[Tensor, "batch operands"], *, capture: Iterable[str] = (), edit: Edit | None = None
    ) -> tuple[Float[Tensor, "batch answers"], dict[str, Tensor]]:
        """Forward pass over pairs of tokens, with edits. Returns logits and what was captured.

        edit: a function per hook name, applied to the tensor there before it goes on. Differentiable.
        """
        logits, captured = hooked_pass(self.network.forward, tokens, self._shapes, capture, edit)
        return logits[:, : self.task.n_answers], captured

    def tokens_of(self, pairs: Int[Tensor, " batch"]) -> Int[Tensor, "batch 2"]:
        """The operand tokens of pair indices a * n_tokens + b."""
        n = self.task.n_tokens
        return torch.stack([pairs // n, pairs % n], dim=1)

    def _hook(self, point: str, layer: int, part: str) -> str:
        name = f"blocks.{layer % max(self.network.n_layers, 1)}.{point}"
        if name not in self._shapes:
            raise MissingPart(f"this model has no {part} at layer {layer}; it has {', '.join(sorted(self.parts))}")
        return name

    def _pass(self, name: str) -> Tensor:
        """One pass over all pairs, keeping what was asked, and the last neurons with the logits."""
        if name in self._passed:
            return self._passed[name]
        self._check_memory()
        last = f"blocks.{self.network.n_layers - 1}.mlp.hook_post"
        wanted = {name} | ({last} & set(self._shapes) if name in ("logits", last) else set())
        hooks, n = wanted - {"logits"}, self.task.n_tokens
        kept: dict[str, Tensor] = {}
        with torch.no_grad():
            for pairs in torch.arange(n * n).split(CHUNK):
                logits, captured = self.run(self.tokens_of(pairs), capture=hooks)
                captured["logits"] = logits
                for key in wanted | ({"logits"} if last in wanted else set()):
                    part = captured[key]
                    if key.endswith("hook_pattern"):
                        part = part[:, :, -1]
                    elif key != "logits":
                        part = part[:, -1]
                    if key not in kept:
                        kept[key] = torch.empty(n * n, *part.shape[1:], dtype=torch.float32)
                    kept[key][pairs] = part.float()
        if name == "logits" or last in wanted:
            check_finite(self.task, kept["logits"])
        self._passed.update(kept)
        return self._passed[name]

    def _check_memory(self) -> None:
        """Of all that detectors may ask for: the logits, and the neurons of every layer."""
        n, answers = self.task.n_tokens, self.task.n_answers
        neurons = sum(self._shapes[f"blocks.{i}.mlp.hook_post"][-1] for i in self.neuron_layers)
        beside = f" and {neurons} neurons" if neurons else ""
        check_memory(n * n * (answers + neurons), f"{self.task.spec}: {n} x {n} pairs with {answers} answers{beside}")
