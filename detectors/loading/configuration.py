"""What lies beside the weights: config.json of a folder of ours, or NAME.json beside NAME.safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detectors.core.errors import CheckpointError, TaskError
from detectors.core.visible import visible
from detectors.loading.containers import first_line, read_bytes
from detectors.loading.recognise import DECLARED
from detectors.subjects.sequences.generators import GENERATORS
from detectors.subjects.sequences.task import SequenceTask
from detectors.subjects.tasks import AnyTask, parse_task

MAX_CONFIG = 2**24  # bytes, which may hold the training pairs
MAX_SPEC = 4096  # letters of a task: a path is the longest
# tasks that published models name otherwise than we do, of the same layout of tokens
NAMED = {"sorted_list": "sort"}
# what tells TransformerLens's configuration from notes of somebody's own that lie beside a checkpoint
SPOKEN = {"n_layers", "n_heads", "d_vocab", "attention_dir"}
# what TransformerLens may also be told, and the networks here do not compute: none of it is said, or nothing by it
OFF = (
    "parallel_attn_mlp",
    "use_local_attn",
    "scale_attn_by_inverse_layer_idx",
    "use_qk_norm",
    "gated_mlp",
    "use_normalization_before_and_after",
    "post_embedding_ln",
    "attn_scores_soft_cap",
    "output_logits_soft_cap",
)


def configuration(file: Path) -> dict[str, Any]:
    """Tables `model` and `task`; nothing where nothing says them."""
    place = file / "config.json" if file.is_dir() else file.with_suffix(".json")
    if place == file or not place.exists():
        return {}
    config = _read(place)
    if not file.is_dir():
        return _beside(config, file) if isinstance(config, dict) and config.keys() >= SPOKEN else {}
    if not isinstance(config, dict) or not isinstance(config.get("model", {}), dict):
        raise CheckpointError(f"{place} has no table `model`")
    return config


def _read(place: Path) -> Any:
    try:
        return json.loads(read_bytes(place, MAX_CONFIG))
    except CheckpointError:  # which says so itself
        raise
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{place} cannot be read: {first_line(error)}") from None


def _beside(config: dict[str, Any], file: Path) -> dict[str, Any]:
    """TransformerLens's words in ours. The sequences are those of NAME.data.npz where that is there too."""
    _check_usual(config, file)
    parameters = config.get("task_parameters")
    parameters = parameters if isinstance(parameters, dict) else {}
    model = {**config, "pad_token": parameters.get("pad_token", config.get("pad_token"))}
    if config.get("attention_dir") == "bidirectional":
        model["causal"] = False
    said, data = str(config.get("task", "")), file.with_suffix(".data.npz")
    task: dict[str, Any] = {"parameters": parameters, "said": said}
    if data.is_file():
        task["op"] = f"data:{data}"
    elif (name := NAMED.get(said, said)) in GENERATORS:  # of ours alone: a file names no other files
        fixed = GENERATORS[name].fixed
        task["op"] = f"{name}:{parameters[fixed]}" if fixed in parameters else name
    return {"model": model, "task": task}


def _check_usual(config: Mapping[str, Any], file: Path) -> None:
    """Errors: CheckpointError where the pass is another than what is computed here."""
    said = [word for word in OFF if isinstance(value := config.get(word), bool | int | float) and value > 0]
    scale, size = config.get("attn_scale"), config.get("d_head")
    usual = isinstance(size, int) and isinstance(scale, int | float) and abs(scale - abs(size) ** 0.5) < 1e-6 * size
    if isinstance(scale, int | float) and scale > 0 and not usual:
        said.append("attn_scale")
    if config.get("use_attn_scale") is False:
        said.append("use_attn_scale")
    if said:
        words = ", ".join(f"{word} = {visible(str(config[word]))}" for word in said)
        raise CheckpointError(
            f"{file.with_suffix('.json')} says {words}, which no network that is read from a file here computes. "
            "A scale of attention can be folded into W_Q and b_Q; for the rest pass a --loader that builds the network"
        )


def asked_for(task: str | AnyTask | None, config: Mapping[str, Any], file: Path) -> AnyTask | None:
    """The task asked for, else the checkpoint's own; None: to be inferred."""
    own = config.get("task")
    parameters = own.get("parameters") if isinstance(own, dict) else None
    if task is not None:
        if not isinstance(task, str):
            return task
        return None if task == "infer" else _parsed(task, parameters)
    if not isinstance(own, dict) or "op" not in own:
        raise TaskError(_unheard(file, own))
    op = own["op"]
    if not isinstance(op, str):
        raise TaskError(f"{file / 'config.json'}: the task's `op` is no text: pass --task, e.g. --task add:113")
    if op == "table" and isinstance(own.get("file"), str):
        return parse_task(f"table:{file / Path(own['file']).name}")
    argument = own.get("p", own.get("group", own.get("n")))
    spec = op if argument is None else f"{op}:{argument}"
    if len(spec) > MAX_SPEC:
        raise TaskError(f"{file / 'config.json'}: the task has a name of {len(spec)} letters: {visible(spec[:40])}...")
    return _parsed(spec, parameters)


def _unheard(file: Path, own: Any) -> str:
    if isinstance(own, dict) and own.get("said"):
        said = f"names the task {visible(str(own['said'])[:100])}, which is none of ours"
        return f"the configuration of {file} {said}: pass --task, {' or '.join(SequenceTask.names())}"
    return f"{file} does not carry its task: pass --task, e.g. --task add:113, or --task infer"


def _parsed(spec: str, parameters: Any) -> AnyTask:
    if SequenceTask.known(spec) and isinstance(parameters, dict):
        return SequenceTask.parse(spec, parameters)
    return parse_task(spec)


def check_declared(config: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """What config.json says of the architecture and what the tensors show must agree."""
    for key, value in config.get("model", {}).items():
        if key in found and key not in DECLARED and isinstance(value, int | str) and value != found[key]:
            raise CheckpointError(f"the configuration says {key} = {value!r}, but the tensors show {found[key]!r}")
