"""`detectors.watch` as a callback of Lightning and of Hugging Face's Trainer. Every process scores, so that all stop at
the same step; the first alone logs and keeps the series.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from detectors.core.errors import DetectorsError
from detectors.live.watching import Watch, watch


def lightning_callback(
    task: str, /, *, model: Callable[[Any], nn.Module] = lambda module: module, **options: Any
) -> Any:
    """A callback for `lightning.Trainer(callbacks=[...])`, which stops the trainer when the policy holds.

    model: from the LightningModule to the module that reads the tokens, where it is not itself. options: of
    `detectors.watch`; without log the figures go to the trainer's loggers. Steps are the trainer's `global_step`.
    Errors: DetectorsError where Lightning is not installed.
    """
    try:
        from lightning.pytorch import Callback
    except ImportError:
        raise DetectorsError('this needs Lightning: pip install "circuit-detectors[lightning]"') from None

    class Watching(Callback):
        watching: Watch

        def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
            log = [partial(_to, one) for one in trainer.loggers]
            self.watching = watch(model(pl_module), task, **_own({"log": log, **options}, trainer.is_global_zero))

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            self.on_train_batch_end(trainer)

        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if self.watching.step(trainer.global_step):
                trainer.should_stop = True

        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            self.watching.step(trainer.global_step, now=True)

    return Watching()


def trainer_callback(task: str, /, **options: Any) -> Any:
    """A callback for `transformers.Trainer(callbacks=[...])`, which stops the training when the policy holds.

    options: of `detectors.watch`. Steps are the trainer's `global_step`. Errors: DetectorsError where transformers is
    not installed.
    """
    try:
        from transformers import TrainerCallback
    except ImportError:
        raise DetectorsError('this needs transformers: pip install "circuit-detectors[lm]"') from None

    class Watching(TrainerCallback):
        watching: Watch

        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            self.watching = watch(model, task, **_own(options, state.is_world_process_zero))
            self.on_step_end(args, state, control)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if self.watching.step(state.global_step):
                control.should_training_stop = True

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.watching.step(state.global_step, now=True)

    return Watching()


def _to(logger: Any, found: dict[str, float]) -> None:
    logger.log_metrics(found, step=int(found["detectors/step"]))


def _own(options: dict[str, Any], first: bool) -> dict[str, Any]:
    """Of one process: only the first writes."""
    return options if first else options | {"log": None, "folder": None}
