"""Which pairs a model was trained on, from what people keep of them: a file, a seeded split, or the checkpoint itself.

The forms overlap, and length and content tell them apart: as many numbers as there are pairs, all 0 or 1, are a mask;
rows of two are pairs; a third number that is no token is `=`, and one that is is held against the answers. What is left
open is refused, and what was resolved is said in the report.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from detectors.core.errors import CheckpointError
from detectors.loading.containers import short
from detectors.loading.contents import TRAIN
from detectors.loading.train_files import read_values
from detectors.loading.train_splits import split_of
from detectors.subjects.operands.task import Task
from detectors.subjects.tasks import View, of_operands

LEFT = ("a", "x", "i", "left", "lhs", "first", "operand_a", "op1", "num1", "x1")
RIGHT = ("b", "y", "j", "right", "rhs", "second", "operand_b", "op2", "num2", "x2")


class Given(NamedTuple):
    """mask: [pairs] True on training pairs. notes: what was resolved on the way, or should be known."""

    mask: Bool[np.ndarray, " pairs"]
    notes: tuple[str, ...] = ()


def with_train_pairs(
    view: View,
    indices: str | Path | None,
    split: str | None,
    own: tuple[str, Any] | None = None,
) -> View:
    """The view with the training pairs that somebody gives; as it is where nobody does.

    indices: a file that `read_values` reads. split: as `split_of` says. own: what the checkpoint itself has, with the
    place in it. Errors: CheckpointError, also for a view that has no pairs.
    """
    if not of_operands(view.task):
        given: Any = indices or split or None
        return view.with_train_mask(given)
    task: Task = view.task
    if indices is not None and split is not None:
        raise CheckpointError("pass --train-indices or --train-split, not both")
    if indices is not None and not isinstance(indices, str | Path):
        raise CheckpointError(
            f"train_indices is the path of a file, not {type(indices).__name__}: of pairs in memory make a mask over "
            "all pairs a * n_tokens + b, and pass it to view.with_train_mask(mask)"
        )
    if split is not None:
        found = Given(*split_of(split, view))
    elif indices is not None:
        found = pairs_of(read_values(Path(indices)), task, str(indices))
    elif own is not None:
        found = _own(*own, task)
    else:
        return view
    if not found.mask.any():
        return _noted(view, found.notes)
    if found.mask[task.domain].all():
        found = found._replace(notes=(*found.notes, "all pairs are given as training pairs: none is left to test on."))
    other: View = view.with_train_mask(found.mask)
    return _noted(other, found.notes)


def _noted(view: View, notes: tuple[str, ...]) -> View:
    """The same model with what is to be said of its training pairs; not once more where it is said already."""
    other = copy(view)
    fresh = tuple(note for note in notes if note not in view.checkpoint.notes)
    other.checkpoint = replace(view.checkpoint, notes=(*view.checkpoint.notes, *fresh))
    return other


def _own(where: str, values: Any, task: Task) -> Given:
    """What the checkpoint says itself: an error in a config.json, which is ours; a note in a file of somebody's."""
    try:
        found = pairs_of(values, task, where)
    except CheckpointError as error:
        if where.startswith("config.json"):
            raise
        return Given(np.zeros(task.n_tokens**2, dtype=bool), (f"{error}: no training pairs are taken from the file.",))
    if where.startswith("config.json"):
        return found
    return found._replace(notes=(f"the file's own {where} are taken for the training pairs.", *found.notes))


def pairs_of(values: Any, task: Task, where: str) -> Given:
    """Pairs in whatever form: numbers a*n_tokens + b, rows (a, b), (a, b, c) or with tokens for `op` and `=`, masks,
    columns by name, inputs beside answers, and each of them under `train`.

    Errors: CheckpointError where they are of no such form, of more than one, or do not fit the task.

    >>> task = Task.parse("add:5")
    >>> pairs_of({"train": [[0, 1], [2, 3]], "test": [[4, 4]]}, task, "split.json").mask.nonzero()[0].tolist()
    [1, 13]
    """
    if isinstance(values, Mapping):
        return _of_mapping(values, task, where)
    if isinstance(values, list) and values and all(isinstance(row, Mapping) for row in values):
        columns = {key: [row.get(key) for row in values] for key in values[0]}
        return pairs_of(columns, task, where)
    if _inputs_and_answers(values):
        rows = np.column_stack([np.asarray(values[0]), np.asarray(values[1])])
        return _of_rows(_whole_numbers(rows, where), task, where)
    found = _whole_numbers(values, where)
    if found.size == 0:
        raise CheckpointError(f"{where}: the list of training pairs is empty")
    if found.ndim == 2 and (found.shape[1] == 1 or (len(found) == 1 and found.size > 5)):
        found = found.ravel()
    if (mask := _as_mask(found, task, where)) is not None:
        return mask
    if found.ndim == 1:
        return _of_numbers(found, task, where)
    lying = found.ndim == 2 and found.shape[0] in (2, 3) and found.shape[1] > 3
    if found.ndim == 2 and found.shape[1] in (2, 3, 4, 5) and not lying:
        return _of_rows(found, task, where)
    if lying:
        turned = _of_rows(found.T, task, where)
        return turned._replace(notes=(f"{where}: its {len(found)} rows are read as columns of pairs.", *turned.notes))
    n = task.n_tokens
    raise CheckpointError(
        f"{where}: an array {list(found.shape)} is neither pair numbers a*{n} + b, nor rows (a, b), nor a mask "
        f"[{n}, {n}] or [{n * n}]"
    )


def _of_mapping(values: Mapping[Any, Any], task: Task, where: str) -> Given:
    lower = {str(key).lower(): key for key in values}
    trained = [key for name, key in lower.items() if TRAIN.match(name)]
    if len(trained) == 1:
        found = pairs_of(values[trained[0]], task, f"{where}, {short(trained[0])}")
        tested = next((lower[name] for name in ("test", "val", "valid", "eval", "test_indices") if name in lower), None)
        if tested is None or not len(values[tested]):
            return found
        both = int((found.mask & pairs_of(values[tested], task, f"{where}, {tested}").mask).sum())
        said = (f"{where}: {both} pairs are both in {trained[0]} and in {tested}; they are taken as trained on.",)
        return found._replace(notes=found.notes + said * (both > 0))
    left, right = (next((lower[name] for name in names if name in lower), None) for names in (LEFT, RIGHT))
    if not trained and left is not None and right is not None:
        return _of_rows(_whole_numbers([values[left], values[right]], where).T, task, where)
    single = [lower[name] for name in ("indices", "idx", "pairs", "mask", "data") if name in lower]
    if not trained and len(single) == 1:
        return pairs_of(values[single[0]], task, f"{where}, {single[0]}")
    keys = ", ".join(short(key) for key in list(values)[:8])
    raise CheckpointError(
        f"{where}: training pairs are a list of whole numbers, pairs or a mask, or under `train`: {keys}"
    )


def _inputs_and_answers(values: Any) -> bool:
    """Whether it is (inputs, answers): rows of tokens, and one number for each row."""
    if not isinstance(values, list | tuple) or len(values) != 2:
        return False
    try:
        rows, answers = (np.asarray(v) for v in values)
    except ValueError:
        return False
    return rows.ndim == 2 and rows.shape[1] >= 2 and answers.shape == (len(rows),)


def _whole_numbers(values: Any, where: str) -> np.ndarray:
    try:
        found = np.asarray(values)
    except ValueError:
        found = np.empty(0, dtype=object)
    if found.dtype.kind == "f" and found.size and np.isfinite(found).all() and (found == found.round()).all():
        found = found.astype(np.int64) if abs(found).max() < 2**53 else found
    if found.size and found.dtype.kind not in "biu":
        raise CheckpointError(f"{where}: whole numbers are expected, pair numbers, pairs or a mask")
    if found.size == 0 and found.dtype.kind == "O":
        raise CheckpointError(f"{where}: whole numbers are expected, pair numbers, pairs or a mask")
    return found


def _as_mask(found: np.ndarray, task: Task, where: str) -> Given | None:
    """A mask over all pairs or over those that have an answer; None where it is none. An error where it may be two."""
    n, pairs, domain = task.n_tokens, task.n_tokens**2, task.domain
    truth = found.dtype.kind == "b"
    if not truth and (found.min() < 0 or found.max() > 1):
        return None
    fits = found.shape in ((n, n), (pairs,), (len(domain),))
    if fits and not truth and found.ndim == 2 and n in (2, 3):
        raise CheckpointError(
            f"{where}: {n} rows of {n} zeros and ones may be a mask or pairs; save a mask as booleans"
        )
    if fits:
        mask = np.zeros(pairs, dtype=bool)
        mask[np.arange(pairs) if found.size == pairs else domain] = found.ravel() > 0
        if not mask.any():
            raise CheckpointError(f"{where}: the mask is empty")
        what = "all pairs, row by row" if found.size == pairs else f"the {len(domain)} pairs that have an answer"
        said = f"{where}: {found.size} zeros and ones are read as a mask over {what}."
        return Given(mask, () if truth else (said,))
    if truth or (found.ndim == 1 and found.size > 2):
        raise CheckpointError(
            f"{where}: a mask of {list(found.shape)}, and the task {task.spec} has {pairs} pairs, [{n}, {n}]"
            + (f", {len(domain)} of them with an answer" if len(domain) < pairs else "")
        )
    return None


def _of_numbers(found: Int[np.ndarray, " train"], task: Task, where: str) -> Given:
    pairs = task.n_tokens**2
    if found.min() < 0 or found.max() >= pairs:
        raise CheckpointError(
            f"{where}: indices run from {found.min()} to {found.max()}, but there are {pairs} pairs (0..{pairs - 1})"
        )
    mask = np.zeros(pairs, dtype=bool)
    mask[found.astype(np.int64)] = True
    return Given(mask, _repeated(len(found), mask, where))


def _repeated(given: int, mask: Bool[np.ndarray, " pairs"], where: str) -> tuple[str, ...]:
    again = given - int(mask.sum())
    return (f"{where}: {again} of {given} pairs are there more than once and count once.",) if again else ()


def _of_rows(rows: Int[np.ndarray, "train columns"], task: Task, where: str) -> Given:
    """(a, b), (a, b, c), and these with columns of one token that is no operand: `op` and `=`."""
    if rows.ndim != 2 or not rows.size:
        raise CheckpointError(f"{where}: rows of numbers, pairs (a, b), are expected")
    n = task.n_tokens
    keep = [k for k in range(rows.shape[1]) if not (rows[:, k] == rows[0, k]).all() or rows[0, k] < n]
    kept = rows[:, keep]
    if kept.shape[1] not in (2, 3):
        raise CheckpointError(
            f"{where}: rows of {rows.shape[1]} numbers; pairs (a, b) or triples (a, b, c) are expected"
        )
    a, b = kept[:, 0].astype(np.int64), kept[:, 1].astype(np.int64)
    if min(a.min(), b.min()) < 0 or max(a.max(), b.max()) >= n:
        raise CheckpointError(
            f"{where}: operands run from {min(a.min(), b.min())} to {max(a.max(), b.max())}, and the task {task.spec} "
            f"has the tokens 0 to {n - 1}"
        )
    mask = np.zeros(n * n, dtype=bool)
    mask[a * n + b] = True
    notes = _repeated(len(rows), mask, where)
    if kept.shape[1] == 3 and (wrong := int((task.answer[a, b] != kept[:, 2]).sum())):
        notes += (
            f"{where}: the third number of {wrong} of {len(rows)} triples is not the answer of {task.spec}: noise in "
            "the labels, another order of operands, or another task?",
        )
    return Given(mask, notes)
