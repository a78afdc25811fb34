"""A loader of the user's: its file imported, called, and what it raises told with file and line."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from detectors.core.blame import told
from detectors.core.errors import CheckpointError, DetectorsError
from detectors.subjects.tasks import is_subject


def call_loader(loader: str, file: Path, task: Any) -> Any:
    """What a function of the user's makes of a file: a view. Errors: CheckpointError, whatever it raises."""
    call = _imported(loader)
    try:
        view = call(file, task)
    except (DetectorsError, KeyboardInterrupt):
        raise
    except BaseException as error:  # SystemExit too: a gate must not end with the code that somebody's script chose
        raise CheckpointError(f"--loader {loader} raised {told(error)}") from error
    if not is_subject(view):
        raise CheckpointError(f"--loader {loader} returned {type(view).__name__}, not a detectors.ModelView")
    return view


def _imported(loader: str) -> Any:
    """`package.module:function`, or `path/to/file.py:function`, which may import what lies beside it."""
    place, _, function = loader.rpartition(":")
    if not place or not function:
        raise CheckpointError(f"--loader {loader}: write package.module:function or path/to/file.py:function")
    if place.endswith(".py") and not Path(place).is_file():
        raise CheckpointError(f"--loader {loader}: no file {place}")
    try:
        module = _of_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
        return getattr(module, function)
    except KeyboardInterrupt:
        raise
    except SystemExit as error:
        guard = 'a script that runs when it is imported? Put that under `if __name__ == "__main__":`'
        raise CheckpointError(f"--loader {loader} exits when it is imported, {told(error)}: {guard}") from error
    except BaseException as error:
        raise CheckpointError(f"--loader {loader}: {told(error)}") from error


def _of_file(file: Path) -> Any:
    """A module from a file, with the file's folder first in the path as for a script."""
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(f"loader_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot import {file}")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module
