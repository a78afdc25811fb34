"""What a state dict is read as: one of the layouts known by their names, else a stack read by its structure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from detectors.core.activations import ACTIVATIONS, activation
from detectors.core.errors import CheckpointError
from detectors.loading import reader
from detectors.loading.layout_trial import with_activation
from detectors.loading.layouts import original_grokking, toy_autoencoder, transformer_lens, two_embedding_mlp
from detectors.loading.reader import Mask, Read
from detectors.loading.shapes import OtherTokens, Weights
from detectors.loading.trial import READINGS
from detectors.subjects.features.task import FeaturesTask
from detectors.subjects.operands.task import Task
from detectors.subjects.tasks import VIEWS, AnyTask, of_features, of_sequences

# the first that matches builds
LAYOUTS: tuple[Any, ...] = (two_embedding_mlp, original_grokking, transformer_lens, toy_autoencoder)
# by a configuration
DECLARED = frozenset(
    {"act_fn", "attn_coeff", "normalization_type", "separate_vocabularies", "causal", "pad_token", "eps", "n_ctx"}
    | {"positional_embedding_type"}
)
FEWER = 600  # readings of a file that a layout knows by its names, though not for this task
LISTED = 40  # tensors in a message


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError
    return value


def _positive(text: str) -> float:
    if not (value := _finite(text)) > 0:
        raise ValueError
    return value


def _count(text: str) -> int:
    if not 1 <= (value := int(text)) <= 1024:
        raise ValueError
    return value


def _one_of(*words: str) -> tuple[str, Callable[[str], Any]]:
    return ", ".join(words), lambda text: {word: word for word in words}[text.lower()]


_TRUTH = ("true or false", lambda text: {"true": True, "false": False}[text.lower()])
_NORMALIZATIONS = {"ln": "LN", "lnpre": "LNPre", "rms": "RMS", "none": None}

# what shapes cannot show: what may be written for it, and what is made of that; KeyError or ValueError where it may not
OPTIONS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "act_fn": (", ".join(ACTIVATIONS) + ", leaky_relu:SLOPE (0.01 without)", str.lower),
    "attn_coeff": ("a finite number: attention is r * softmax + (1 - r), unmasked", _finite),
    "normalization_type": ("LN, LNPre (without weights), RMS or none", lambda text: _NORMALIZATIONS[text.lower()]),
    "separate_vocabularies": (
        "true or false; only with --task infer, otherwise shapes show it",
        lambda text: {"true": True, "false": False}[text.lower()],
    ),
    "n_heads": ("a number that divides the width of the queries", _count),
    "norm": _one_of("pre", "post", "parallel", "overwriting", "both"),
    "causal": _TRUTH,
    "readout": _one_of("last", "first", "mean", "sum", "concat", "product", "max"),
    "positions": _one_of("learned", "none", "sinusoidal", "halves"),
    "embed_scale": ("true or false: the embedding times the root of its width", _TRUTH[1]),
    "act_on_input": ("true or false: the activation function on the summed embeddings", _TRUTH[1]),
    "residual": ("true or false: every two layers are added to what they read", _TRUTH[1]),
    "linear_head": ("true or false: no activation function between the last two layers", _TRUTH[1]),
    "pad_token": ("the number of the token that fills up a sequence and is not attended to", int),
    "n_ctx": ("the number of positions, where the file has no table of them", _count),
    "positional_embedding_type": _one_of("standard", "shortformer"),
    "eps": ("a positive number: what a norm adds to the variance", _positive),
    "first_answer": ("the number of the column of answer 0", lambda text: _count(text) if text != "0" else 0),
}


def parse_options(arch: Mapping[str, str]) -> dict[str, Any]:
    """What `--arch` says that shapes cannot show. Errors: CheckpointError."""
    if unknown := arch.keys() - OPTIONS.keys():
        known = "; ".join(f"{key} ({about})" for key, (about, _) in OPTIONS.items())
        meant = get_close_matches(min(unknown), OPTIONS, 1)
        hint = f"did you mean {meant[0]} ({OPTIONS[meant[0]][0]})?" if meant else f"known: {known}"
        raise CheckpointError(f"unknown --arch option {', '.join(sorted(unknown))}; {hint}")
    parsed = {}
    for key, text in arch.items():
        about, parse = OPTIONS[key]
        try:
            parsed[key] = parse(str(text))  # of Python's True too
        except (KeyError, ValueError):
            raise CheckpointError(f"--arch {key}={text}: write {about}") from None
    activation(parsed.get("act_fn", "relu"))
    return parsed


def recognise(
    weights: Weights,
    task: AnyTask | None,
    arch: Mapping[str, str],
    tokens: str | None = None,
    given: Callable[[Any], Mask] = lambda network: None,
) -> Read:
    """The network in a state dict, and how it was read.

    task: None while it is still to be inferred from the predictions, as it can be for two operands. arch: options as
    in `--arch`. tokens: as in `--tokens`. given: the training pairs of a network, for the trial of what shapes leave
    open. Errors: CheckpointError, with what was found and what is known, where nothing matches.
    """
    options = parse_options(arch)
    if task is not None and of_features(task):  # which says that the file is one
        return _of_features(weights, task, options, tokens)
    of_tokens = (layout for layout in LAYOUTS if layout is not toy_autoencoder)
    layout = next((layout for layout in of_tokens if layout.matches(weights)), None)
    refused: CheckpointError | None = None
    if layout is not None and tokens is None and not options.keys() & (reader.PINS.keys() - layout.OPTIONS):
        try:
            return _by_layout(layout, weights, task, options, given)
        except OtherTokens as error:  # which the structure may still allow
            refused = error
    if task is not None and of_sequences(task):
        if layout is not None and refused is None:
            others = sorted(f"--arch {key}" for key in options.keys() & (reader.PINS.keys() - layout.OPTIONS))
            said = " and ".join([*(["--tokens"] if tokens else []), *others])
            raise CheckpointError(f"{said}: does not apply to a {layout.NAME} that reads sequences; leave it out")
        known = " or ".join(x.NAME for x in LAYOUTS if "sequences" in x.SUBJECTS)
        raise refused or CheckpointError(
            f"the task {task.spec} is one of sequences, and this file is no {known}: what is read by structure "
            "reads two operands. Pass --loader, or a task of two operands"
        )
    try:
        most = READINGS if refused is None else FEWER
        read = (
            reader.infer(weights, options, tokens)
            if task is None
            else reader.read(weights, task, options, tokens, given, most)
        )
    except CheckpointError as error:
        raise refused or error from None
    if read is not None and (refused is None or read.answers):
        return read
    raise refused or _unknown(weights, task)


def _of_features(weights: Weights, task: FeaturesTask, options: Mapping[str, Any], tokens: str | None) -> Read:
    if tokens is not None:
        raise CheckpointError(f"--tokens is for models that read tokens, and the task {task.spec} is one of features")
    network, unused = toy_autoencoder.build(weights, task, options)
    features, hidden = network.W.shape
    square = (
        f"W is square, {features} by {hidden}, so it does not show which side is the features: of both readings the "
    )
    notes = (f"{square}one of the lower loss is taken.",) if features == hidden else ()
    return Read(network, toy_autoencoder.NAME, tuple(unused), notes=notes, answers=True)


def as_another(weights: Weights, task: Task, other: Read, arch: Mapping[str, str]) -> Read:
    """A state read as another of its series that answers better."""
    if (found := reader.as_another(weights, task, other)) is not None:
        return found
    options = {**arch, "act_fn": str(other.network.architecture.get("act_fn", arch.get("act_fn", "relu")))}
    return recognise(weights, task, options)


def _by_layout(layout: Any, weights: Weights, task: Any, options: Mapping[str, Any], given: Any) -> Read:
    if task and task.subject not in layout.SUBJECTS:
        reads = " or ".join(VIEWS[kind].reads for kind in sorted(layout.SUBJECTS))
        raise CheckpointError(f"the task {task.spec} is one of {task.subject}; a {layout.NAME} reads {reads}")
    network, unused = layout.build(weights, task, options)
    if task is None or of_sequences(task) or "act_fn" in options:
        return Read(network, layout.NAME, tuple(unused), answers=True)
    return with_activation(layout, weights, task, options, given(network))


def _unknown(weights: Weights, task: Any) -> CheckpointError:
    """What was found, and where to go from there."""
    shapes = f"{fits}\n" if task is not None and (fits := reader.fitting(weights, task)) else ""
    found = [f"  {name} {list(tensor.shape)}" for name, tensor in list(weights.items())[:LISTED]]
    more = [f"  and {len(weights) - LISTED} more"] if len(weights) > LISTED else []
    known = [f"  {layout.NAME:<30} {layout.TENSORS}" for layout in LAYOUTS]
    known.append("  by structure                   tokens, attention, neurons, norms and layers, whatever their names")
    otherwise = "`detectors inspect FILE --emit-loader loader.py` writes a loader to fill in: --loader loader.py:load"
    lines = [
        shapes + "this layout is not recognised. Tensors found:",
        *found,
        *more,
        "known layouts:",
        *known,
        otherwise,
    ]
    return CheckpointError("\n".join(lines))
