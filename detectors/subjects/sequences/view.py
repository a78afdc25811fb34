"""Models that read a sequence and predict every next token: all that a detector may ask of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from detectors.core.errors import CheckpointError, MissingPart, TaskError
from detectors.core.figures import BySplit, Counts, Figures, TaskFacts
from detectors.core.memory import check_memory
from detectors.subjects.hooks import Edit, Hook, check_contract, hooked_pass
from detectors.subjects.right import answered
from detectors.subjects.sequences.generators import Sequences
from detectors.subjects.sequences.task import SequenceTask
from detectors.subjects.subject import Checkpoint, Size

PATTERNS_KEPT = 4  # sequences: seven, by the copies that the budget reckons with and that patterns have two of
PASS = 2**24  # numbers of the patterns of a layer in one pass, 64 MiB
ROWS = 2**24  # logits that are turned to float64 at once


Passing = Callable[[Tensor, Hook], Tensor]


class SequenceNetwork(Protocol):
    """As `Network`, but `forward` maps tokens [batch, pos] to logits [batch, pos, answers] at every position."""

    @property
    def architecture(self) -> Mapping[str, Any]: ...
    @property
    def n_tokens(self) -> int: ...
    @property
    def n_ctx(self) -> int: ...
    @property
    def n_layers(self) -> int: ...
    @property
    def weights(self) -> Mapping[str, Tensor]: ...

    def forward(self, tokens: Tensor, hook: Hook) -> Tensor: ...


_CONTRACT = ("architecture", "n_tokens", "n_ctx", "n_layers", "weights", "forward")


class SequenceView:
    """A sequence model with its task. There are no pairs, so what is measured is measured on drawn sequences."""

    kind, reads = "sequences", "sequences"
    drawn = 512  # sequences for accuracies and losses: a share of 95% is exact to a percent where each asks one token
    for_causes = 256  # of those that patterns are read on, the ones with the most right answers
    language = False  # whether passes are dear, and heads that have nothing to say look at the first place

    heads_seen = 0  # in the patterns of a pass

    def __init__(
        self, network: SequenceNetwork, task: SequenceTask | str, *, checkpoint: Checkpoint | None = None
    ) -> None:
        check_contract(network, _CONTRACT, "detectors.SequenceView")
        self.network = network
        self.task = SequenceTask.parse(task) if isinstance(task, str) else task
        self.checkpoint = checkpoint or Checkpoint()
        tokens = self.draw(1, seed=0).tokens  # what the task asks of vocabulary and context shows here
        self._check_memory(tokens.shape[1])
        self.points: set[str] = set()
        self.asking: Any = None  # `asking.Asking`, what has been tried on it

        def record(name: str, tensor: Tensor) -> Tensor:
            self.points.add(name)
            if name.endswith("attn.hook_pattern"):
                self.heads_seen = tensor.shape[1]
            return tensor

        with torch.no_grad():
            logits = network.forward(tokens, record)
        if logits.ndim != 3 or logits.shape[:2] != tokens.shape:
            raise CheckpointError(f"a sequence model gives logits [batch, pos, answers], not {tuple(logits.shape)}")
        self.n_answers = int(logits.shape[2])

    def _check_memory(self, positions: int) -> None:
        """Of the patterns of all layers on the few sequences that the contract is tried on, which are kept at once."""
        pattern = max(self.n_heads, 1) * positions**2
        layers = f"{self.network.n_layers} layers of {max(self.n_heads, 1)} heads"
        what = f"{self.task.spec}: attention over {positions} positions in {layers}"
        check_memory(PATTERNS_KEPT * self.network.n_layers * pattern, what)

    def with_train_mask(self, mask: object) -> SequenceView:
        """Itself without training pairs; CheckpointError where somebody passes some."""
        if mask is None:
            return self
        raise CheckpointError(f"the task {self.task.spec} is one of sequences: there are no training pairs to pass")

    @property
    def architecture(self) -> Mapping[str, Any]:
        return self.network.architecture

    @property
    def weights(self) -> Mapping[str, Tensor]:
        return self.network.weights

    @property
    def size(self) -> Size:
        return Size(None, str(self.architecture.get("kind", "unknown")))

    @property
    def task_facts(self) -> TaskFacts:
        return TaskFacts(
            spec=self.task.spec,
            subject=self.kind,
            about=f"of sequences, {self.network.n_tokens} tokens",
            split="fresh",
            n_tokens=self.network.n_tokens,
            n_answers=self.n_answers,
            pairs=0,
            group=None,
            order=None,
            note=f"accuracy and loss: of the answers asked for in {len(self.sample.tokens)} sequences",
        )

    def figures(self) -> Figures:
        """Over all that is asked in the sample. Drawn sequences are fresh; of those of a file it is not known."""
        batch, context = self.sample.tokens.shape
        what = f"{self.task.spec}: {batch} sequences of {context} positions with {self.n_answers} answers"
        check_memory(batch * context * self.n_answers, what)
        size = max(1, PASS // (max(self.n_heads, 1) * context**2))
        parts = [Sequences(*some) for some in zip(*(x.split(size) for x in self.sample), strict=True)]
        with torch.no_grad():
            columns = [torch.cat(column) for column in zip(*map(self.asked_figures, parts), strict=True)]
        accuracy, loss = (BySplit(all=float(c.double().mean()), train=None, test=None) for c in columns)
        return Figures(
            accuracy=accuracy,
            loss=loss,
            cases=Counts(all=len(columns[0].reshape(-1)), train=None, echoed=None, unseen=None),
        )

    @property
    def parts(self) -> frozenset[str]:
        """What this model has: names that `needs` of a detector may hold."""
        attention = {"attention"} if any("hook_pattern" in name for name in self.points) else set()
        return frozenset({"sequences", "run", "weights"} | attention)

    def draw(self, batch: int, *, seed: int) -> Sequences:
        """Sequences of the task for this model's vocabulary and context."""
        return self.task.draw(np.random.default_rng(seed), batch, self.network.n_tokens, self.network.n_ctx)

    def few(self, count: int) -> Tensor:
        """Tokens of some sequences, as `run` takes them."""
        return self.draw(count, seed=0).tokens

    @cached_property
    def sample(self) -> Sequences:
        """The sequences that figures are given for, of seed 0. Errors: TaskError where an answer is none of the
        model's.
        """
        drawn = self.draw(self.drawn, seed=0)
        if (most := int(drawn.targets.max())) >= self.n_answers:
            raise TaskError(
                f"the task {self.task.spec} asks for the answer {most}, and the model has {self.n_answers}, from 0: "
                "another --task? (sorting models differ in where their separator stands: sort, sort_with_start)"
            )
        return drawn

    def run(
        self,
        tokens: Int[Tensor, "batch pos"],
        *,
        capture: Iterable[str] = (),
        edit: Edit | None = None,
        at: Bool[Tensor, "batch pos"] | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits [batch, pos, answers], or [asked, answers] where a mask says at which places; and the tensors captured
        at hook points. edit: by hook point, what is put in the place of its tensor.
        """
        capture, edit = set(capture), edit or {}
        return hooked_pass(self._passing(capture, set(edit), at), tokens, self.points, capture, edit)

    def _passing(self, read: set[str], edited: set[str], at: Bool[Tensor, "batch pos"] | None) -> Passing:
        """What makes logits where they are wanted. read, edited: names of hook points."""

        def forward(tokens: Tensor, hook: Hook) -> Tensor:
            logits = self.network.forward(tokens, hook)
            return logits if at is None else logits[at]

        return forward

    def means(self, tokens: Int[Tensor, "batch pos"]) -> Mapping[str, Tensor]:
        """Patterns and outputs of heads without edits, a mean over sequences [1, ...], where a model keeps them."""
        return {}

    def asked_figures(self, sequences: Sequences) -> tuple[Bool[Tensor, " asked"], Float64[Tensor, " asked"]]:
        """Whether each answer asked for is given, and its float64 loss."""
        where = sequences.targets >= 0
        return asked_figures(self.run(sequences.tokens, at=where)[0], sequences.targets[where])

    def weight(self, name: str) -> Tensor:
        """A parameter by TransformerLens's name. Errors: MissingPart."""
        if name not in self.weights:
            raise MissingPart(f"no weight {name!r}, which this asks for; a network's weights say what it has")
        return self.weights[name]

    @property
    def n_heads(self) -> int:
        """Heads of a layer, by its architecture or as its patterns show; 0 of a model without patterns."""
        return int(self.architecture.get("n_heads") or self.heads_seen)

    @property
    def causal(self) -> bool:
        """Whether a query attends to nothing behind it."""
        return self.architecture.get("causal") is not False

    def keys(self, tokens: Int[Tensor, "batch pos"]) -> Bool[Tensor, "batch query key"]:
        """Keys that a query may attend to: none behind it where the model is causal, and no padding."""
        return allowed(tokens, self.causal, self.architecture.get("pad_token"))


def allowed(tokens: Int[Tensor, "batch pos"], causal: bool, pad: int | None) -> Bool[Tensor, "batch query key"]:
    """See `SequenceView.keys`."""
    size = tokens.shape[1]
    keys = torch.ones(size, size, dtype=torch.bool)
    keys = (keys.tril() if causal else keys).expand(len(tokens), size, size)
    return keys if pad is None else keys & (tokens != pad)[:, None, :]


def asked_figures(
    logits: Float[Tensor, "asked answers"], answers: Int[Tensor, " asked"]
) -> tuple[Bool[Tensor, " asked"], Float64[Tensor, " asked"]]:
    """Right or not, and cross-entropy in float64."""
    size = max(1, ROWS // logits.shape[1])
    right, loss = [], []
    for rows, wanted in zip(logits.split(size), answers.split(size), strict=True):
        right.append(answered(rows.double(), wanted))
        loss.append(torch.nn.functional.cross_entropy(rows.double(), wanted, reduction="none"))
    return torch.cat(right), torch.cat(loss)
