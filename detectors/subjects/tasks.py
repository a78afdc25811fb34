"""From the string that names a task to the task, and from a network and its task to the subject that they make."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypeIs

from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView, Tied
from detectors.subjects.sequences.task import SequenceTask
from detectors.subjects.sequences.view import SequenceView
from detectors.subjects.subject import Checkpoint
from detectors.subjects.words.view import RowsView

VIEWS: dict[str, Any] = {view.kind: view for view in (ModelView, SequenceView)}
SUBJECTS = (*VIEWS.values(), RowsView)


def parse_task(spec: str) -> Task | SequenceTask:
    """A task of two operands or of sequences. Errors: TaskError, with what is known.

    >>> parse_task("add:5").subject, parse_task("repeat").subject
    ('operands', 'sequences')
    """
    return SequenceTask.parse(spec) if SequenceTask.known(spec) else Task.parse(spec)


def is_subject(model: object) -> bool:
    """Whether detectors can be run on it."""
    return isinstance(model, SUBJECTS)


def subject(network: Any, task: Task | SequenceTask, checkpoint: Checkpoint | None = None) -> ModelView | SequenceView:
    """A network as the kind of model that its task asks for."""
    view: ModelView | SequenceView = VIEWS[task.subject](network, task, checkpoint=checkpoint)
    return view


def with_tied(view: ModelView | SequenceView, tied: tuple[Tied, ...]) -> ModelView | SequenceView:
    """The same model with the networks that answer as well under other readings of its file."""
    if isinstance(view, ModelView):
        view.tied = tied
    return view


def of_sequences(task: Task | SequenceTask) -> TypeIs[SequenceTask]:
    """For those who build networks and must tell the tasks apart."""
    return isinstance(task, SequenceTask)


def of_two_operands(model: object) -> ModelView:
    """The model, which is known to be one of two operands. TypeError where it is not."""
    if not isinstance(model, ModelView):
        raise TypeError(f"a model of two operands is needed, not {type(model).__name__}")
    return model
