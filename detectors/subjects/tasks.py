"""From the string that names a task to the task, and from a network and its task to the subject that they make."""

from __future__ import annotations

from typing import Any, TypeAlias

from typing_extensions import TypeIs

from detectors.subjects.features.task import FeaturesTask
from detectors.subjects.features.view import FeaturesView
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView, Tied
from detectors.subjects.sequences.task import SequenceTask
from detectors.subjects.sequences.view import SequenceView
from detectors.subjects.subject import Checkpoint
from detectors.subjects.words.view import RowsView

AnyTask: TypeAlias = Task | SequenceTask | FeaturesTask
View: TypeAlias = ModelView | SequenceView | FeaturesView  # of a network with its task

VIEWS: dict[str, Any] = {view.kind: view for view in (ModelView, SequenceView, FeaturesView)}
SUBJECTS = (*VIEWS.values(), RowsView)


def parse_task(spec: str) -> AnyTask:
    """A task of two operands, of sequences or of features. Errors: TaskError, with what is known.

    >>> parse_task("add:5").subject, parse_task("repeat").subject, parse_task("features:0.1").subject
    ('operands', 'sequences', 'features')
    """
    if FeaturesTask.known(spec):
        return FeaturesTask.parse(spec)
    return SequenceTask.parse(spec) if SequenceTask.known(spec) else Task.parse(spec)


def is_subject(model: object) -> bool:
    """Whether detectors can be run on it."""
    return isinstance(model, SUBJECTS)


def subject(network: Any, task: AnyTask, checkpoint: Checkpoint | None = None) -> View:
    """A network as the kind of model that its task asks for."""
    view: View = VIEWS[task.subject](network, task, checkpoint=checkpoint)
    return view


def with_tied(view: View, tied: tuple[Tied, ...]) -> View:
    """The same model with the networks that answer as well under other readings of its file."""
    if isinstance(view, ModelView):
        view.tied = tied
    return view


def of_sequences(task: AnyTask) -> TypeIs[SequenceTask]:
    """For those who build networks and must tell the tasks apart."""
    return isinstance(task, SequenceTask)


def of_features(task: AnyTask) -> TypeIs[FeaturesTask]:
    """Whether its file is read by the layout of autoencoders alone."""
    return isinstance(task, FeaturesTask)


def of_operands(task: AnyTask) -> TypeIs[Task]:
    """Whether there are pairs, some of which may have been trained on."""
    return isinstance(task, Task)


def of_two_operands(model: object) -> ModelView:
    """The model, which is known to be one of two operands. TypeError where it is not."""
    if not isinstance(model, ModelView):
        raise TypeError(f"a model of two operands is needed, not {type(model).__name__}")
    return model
