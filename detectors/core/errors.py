"""One exception family. Every message says what was asked, what there is, and what to do."""


class DetectorsError(Exception):
    """Root of everything that this package raises on purpose."""


class TaskError(DetectorsError, ValueError):
    """A task specification or table that cannot be read or is not consistent."""


class CheckpointError(DetectorsError, ValueError):
    """A file that is not a checkpoint, is damaged, or does not fit the task."""


class MissingPart(DetectorsError, KeyError):
    """A detector asked for a part that this model does not have."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0])


class NotApplicable(DetectorsError):
    """The question does not arise for this model or task."""


class Undetermined(DetectorsError):
    """The question arises, but what is known of the model does not settle it."""
