"""Which of the things in a file are the weights, which the training pairs, and what the rest says of the run.

A state dict is a mapping that holds a matrix by a name. One lies in the file itself, under a key that speaks of a
model, or below keys of no meaning; several that have the same names and shapes are one model at several times, and
several that do not are parts. Nothing here reads an array: shapes are enough, and what is repeated in a pickle, or
holds itself, is looked at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from detectors.core.errors import CheckpointError
from detectors.loading.arrays import Storages, array, shape
from detectors.loading.containers import short
from detectors.loading.plain import children, is_module, plain
from detectors.loading.prefixes import is_matrix, unprefixed
from detectors.loading.unpickle import Inert

MAX_TENSORS = 10_000
TOO_MANY = f"it has more than {MAX_TENSORS} tensors in one state"
DEEP = 12  # levels of keys; Lightning and Trainer files have four
MANY = 10_000  # values of a configuration, beyond which they are none
# Keys that speak of a model, the plainest first; and of what a training run has beside one, with tensors of its own
_MODEL = ("model", "state_dict", "model_state_dict", "weights", "model_state", "net", "network", "params")
_OF_MODEL = re.compile(r"model|net(?!a)|state|weight|param|module|checkpoint|ckpt", re.I)
_BESIDE = re.compile(
    r"optim|sched|scaler|rng|random|ema|swa|averag|loss|acc(?![a-z])|metric|grad|hist|cache|callback|loop|best|init|"
    r"^(train|test|val|valid|eval|data|x|y)(ing)?(_|$)",
    re.I,
)
TRAIN = re.compile(
    r"^((train|training)_?(data_?)?(ind(ex|ices|s)?|idxs?|ids|pairs|set|mask|x|inputs|tokens|examples|samples|split)?"
    r"|(x|idx|ind|indices|pairs|mask|is)_train|train(ing)?_dataset|splits?|data_split)$",
    re.I,
)


# Keys of several states of one model
_TIMES = re.compile(r"^\D{0,24}?(epoch|step|iter|ckpt|checkpoint|e|s|t)?\D?(\d{1,12})\D{0,4}$", re.I)
_PARTS = re.compile(r"layer|block|^h$|head|module|fc|linear|dense|embed|attn|attention|norm", re.I)
_EXACT = re.compile(r"ind|idx|pair|mask", re.I)  # of several keys of training pairs, one that says what they are
_VECTORS = re.compile(r"weight|bias|scale|gamma|beta|gain|shift|offset|[gb]|running_(mean|var)")
_LAST = re.compile(r"final|last|latest|end", re.I)


@dataclass
class Found:
    """arrays: of the weights, unread. says: plain values on the way to them. train: key and value, unread. steps: the
    numbers of several states.
    """

    arrays: dict[str, Any] = field(default_factory=dict)
    says: dict[str, Any] = field(default_factory=dict)
    train: tuple[str, Any] | None = None
    note: str = ""
    steps: tuple[int, ...] = ()
    left: int = 100 * MANY  # values that may still be said: a list may be there under many keys

    def plain_train(self, storages: Storages) -> tuple[str, Any] | None:
        """The training pairs as lists, dictionaries and arrays."""
        if self.train is None:
            return None
        return self.train[0], plain(self.train[1], storages, [100 * MANY])


def find(tree: Any, step: str | None = None) -> Found:
    """The weights in what a file holds. Errors: CheckpointError where there are none, or it is open which."""
    found, node, path, beside = Found(), tree, "", ""
    holding: dict[int, bool] = {}
    if _holds(tree, holding, 0):
        for _ in range(DEEP):
            keys, own = _with_weights(node, holding)
            _beside(node, keys, found)
            key = None if own else keys[0] if len(keys) == 1 else _chosen(node, keys, path, step, found)
            if key is None:  # a state dict, or parts of one
                found.arrays, copies = unprefixed(_flat(node, None if own else set(keys), holding))
                if step is not None and not found.note and str(found.says.get("step", found.says.get("epoch"))) != step:
                    raise CheckpointError(f"it holds one state, and --step {step} is none of its own")
                found.note = "; ".join(filter(None, (found.note, beside, copies)))
                return found
            beside = beside or ("" if found.note else _not_taken(node, key))
            path, node = f"{path}.{key}".strip("."), dict(children(node))[key]
    raise CheckpointError(_nothing(tree))


def _holds(node: Any, holding: dict[int, bool], depth: int) -> bool:
    """Whether there is a matrix by a name somewhere in it; noted for every container within."""
    if not isinstance(node, dict | list | tuple | Inert) or array(node) is not None:
        return False
    if id(node) in holding:
        return holding[id(node)]
    holding[id(node)] = False
    if depth <= DEEP:
        named, many = not isinstance(node, list | tuple), 0
        for key, value in children(node):
            own = named and isinstance(key, str) and is_matrix(value)
            many += own
            if many > MAX_TENSORS:  # said before any time is spent on more
                raise CheckpointError(TOO_MANY)
            if _holds(value, holding, depth + 1) or own:
                holding[id(node)] = True
    return holding[id(node)]


def _with_weights(node: Any, holding: Mapping[int, bool]) -> tuple[list[Any], bool]:
    """Keys below which weights lie, those first that speak of a model; and whether it is a state dict itself."""
    inside = [key for key, value in children(node) if holding.get(id(value))]
    if isinstance(node, list | tuple):
        return inside, False
    for key in _MODEL:
        if key in inside:
            return [key], False
    models = [key for key in inside if isinstance(key, str) and _OF_MODEL.search(key) and not _BESIDE.search(key)]
    if models:
        return models, False
    if any(isinstance(key, str) and is_matrix(value) and not _aside(key) for key, value in children(node)):
        return [], True
    return [key for key in inside if not (isinstance(key, str) and _BESIDE.search(key))] or inside, not inside


def _aside(key: str) -> bool:
    """Whether a tensor by that name is the data's or a curve's."""
    if "." in key:
        return False
    return bool(
        TRAIN.match(key) or re.match(r"^(test|val|valid|eval)(_|$)|.*(loss|acc)(es|uracy|uracies)?$", key, re.I)
    )


def _flat(node: Any, only: set[Any] | None, holding: Mapping[int, bool]) -> dict[str, Any]:
    """Arrays by their names, those in dictionaries within by a path with dots."""
    arrays: dict[str, Any] = {}
    seen: set[int] = set()

    def walk(node: Any, prefix: str, depth: int) -> None:
        for key, value in children(node):
            norm = bool(holding) and isinstance(value, dict) and _is_norm(value)
            left_out = only is not None and key not in only and not norm
            if depth == 0 and (left_out or (isinstance(key, str) and _aside(key))):
                continue
            if isinstance(key, str | int) and array(value) is not None:
                arrays[f"{prefix}{key}"] = array(value)
                if len(arrays) > MAX_TENSORS:
                    raise CheckpointError(TOO_MANY)
            elif (
                isinstance(key, str | int)
                and (norm or holding.get(id(value)))
                and id(value) not in seen
                and depth < DEEP
            ):
                seen.add(id(value))
                walk(value, f"{prefix}{key}.", depth + 1)

    walk(node, "", 0)
    return arrays


def _is_norm(node: dict[Any, Any]) -> bool:
    """Whether it holds nothing but the vectors of a norm or of a bias."""
    named = all(isinstance(key, str) and _VECTORS.fullmatch(key) for key in node)
    return named and 0 < len(node) <= 4 and all(array(value) is not None for value in node.values())


def _chosen(node: Any, keys: list[Any], path: str, step: str | None, found: Found) -> Any:
    """One key of several states, the last where none is asked for; None where they are parts of one model."""
    inside = dict(children(node))
    distinct = {id(inside[key]): inside[key] for key in keys}.values()  # one may be there under many keys
    forms = [{name: shape(a) for name, a in _flat(state, None, {}).items()} for state in distinct]
    alike = all(form == forms[0] for form in forms) and bool(forms[0])
    nested = not any(forms)  # each with its weights under keys of its own
    direct = [key for key in keys if any(is_matrix(value) for _, value in children(inside[key]))]
    parts = any(isinstance(key, str) and _PARTS.search(key) for key in keys)
    if not (alike or parts) and len(direct) == 1 < len(keys) and not all(forms):  # others are a series, an optimiser's
        found.note = f"the state {short(direct[0])} of {_some(keys)}"
        return direct[0]
    if not (alike or nested) or (_PARTS.search(path) and isinstance(node, list | tuple)):
        return None
    labels = _labels(keys, [inside[key] for key in keys], found, isinstance(node, list | tuple))
    if labels is None:
        if parts:
            return None
        last = [key for key in keys if isinstance(key, str) and _LAST.search(key)]
        asked = [key for key in keys if str(key) == step]
        if not asked and (step is not None or len(last) != 1):
            raise CheckpointError(f"it holds several states, {_some(keys)}: say which with --step KEY")
        key = asked[0] if asked else last[0]
        found.note = f"the state {short(key)} of {_some(keys)}" + ("" if asked else " (--step KEY takes another)")
        return key
    order = sorted(range(len(keys)), key=lambda i: labels[i])
    found.steps = tuple(labels[i] for i in order)
    chosen = [i for i in order if step in (str(labels[i]), str(keys[i]))] if step is not None else order[-1:]
    if not chosen:
        known = f"{labels[order[0]]} to {labels[order[-1]]}"
        raise CheckpointError(f"it holds {len(keys)} states, {known}, and none of them is --step {step}")
    of = f" of {len(keys)}" if step else f", the last of {len(keys)} (--step takes another)"
    found.note = f"state {labels[chosen[0]]}{of}"
    return keys[chosen[0]]


def _not_taken(node: Any, key: Any) -> str:
    """Of a state that is taken because of its key: others beside it of the same names and shapes."""
    forms: dict[str, dict[str, Any]] = {}
    for name, state in children(node):
        with suppress(CheckpointError, ValueError):  # what cannot be read is none
            forms[str(name)] = {n: shape(a) for n, a in _flat(state, None, {}).items()}
    others = [name for name, form in forms.items() if name != str(key) and form and form == forms.get(str(key))]
    return f"the weights under {short(key)}, and not {_some(others)} beside it" if others else ""


def _own_steps(states: list[Any]) -> list[int] | None:
    """The step that each state says of itself, where all do and none twice."""
    said = [next((v for k, v in children(state) if k in ("step", "epoch", "global_step")), None) for state in states]
    steps = [step for step in said if isinstance(step, int)]
    return steps if len(set(steps)) == len(states) else None


def _labels(keys: list[Any], states: list[Any], found: Found, places: bool) -> list[int] | None:
    """Numbers of several states: those that the file lists beside them, those in their keys, or places in a list."""
    if places:
        beside = [v for k, v in found.says.items() if isinstance(v, list) and len(v) == len(keys)]
        steps = [v for v in beside if all(type(x) is int for x in v) and len(set(v)) == len(v)]
        return steps[0] if steps else _own_steps(states) or list(keys)
    numbers = [_TIMES.match(str(key)) for key in keys]
    found_numbers = [int(m[2]) for m in numbers if m]
    distinct = len(set(found_numbers)) == len(keys)
    return found_numbers if distinct and not any(_PARTS.search(str(key)) for key in keys) else None


def _some(keys: list[Any]) -> str:
    shown = ["(...)" if isinstance(key, Inert) else short(key)[:40] for key in keys[:8]]
    return ", ".join(shown) + (", ..." if len(keys) > 8 else "")


def _beside(node: Any, keys: list[Any], found: Found, below: bool = True) -> None:
    """Note plain values and training pairs that lie beside the weights, the latter also one level down."""
    for key, value in children(node):
        if not isinstance(key, str) or key in keys:
            continue
        if below and found.train is None and isinstance(value, dict | Inert) and not TRAIN.match(key):
            inner = Found()
            _beside(
                value, [k for k, _ in children(value) if not isinstance(k, str) or not TRAIN.match(k)], inner, False
            )
            found.train = inner.train
        with suppress(CheckpointError, ValueError, RecursionError):  # what cannot be read is neither
            if TRAIN.match(key) and _pairs(value):
                plainer = found.train is None or _EXACT.search(key)
                found.train = (key, value) if plainer else found.train
            elif array(value) is None or not shape(array(value)):
                budget = [min(MANY, found.left)]
                found.left -= budget[0]
                found.says[key] = plain(value, None, budget)
                found.left += budget[0]


def _pairs(value: Any) -> bool:
    """Whether it can be a set of pairs, and is no curve and no share."""
    if (found := array(value)) is not None:
        return len(shape(found)) >= 1
    if isinstance(value, dict):
        return any(
            isinstance(key, str) and key.lower().startswith(("train", "a")) and _pairs(v) for key, v in value.items()
        )
    first = next(iter(value), None) if isinstance(value, list | tuple) else None
    return isinstance(first, int | list | tuple | dict) or array(first) is not None


def _nothing(tree: Any) -> str:
    """What there is where there are no weights, with the way out of a whole module."""
    inside = "" if is_module(tree) else next((f"[{short(repr(k))}]" for k, v in children(tree) if is_module(v)), None)
    if inside is not None:
        return (
            "it is a whole pickled module, which only its own code can read. Save its weights, where you have that:\n"
            f'  model = torch.load("FILE", weights_only=False){inside}\n'
            '  torch.save(model.state_dict(), "weights.pt")'
        )
    keys = [key for key, _ in children(tree)] if isinstance(tree, dict | Inert) else []
    if array(tree) is not None:
        return "holds no weights: found an array without a name"
    what = short(tree.name) if isinstance(tree, Inert) else type(tree).__name__
    return f"holds no weights: found {_some(keys) or 'nothing' if isinstance(tree, dict) else what}"
