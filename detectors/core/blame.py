"""Whose line an error comes from, where the code is somebody else's."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

OURS = Path(__file__).parents[1]
LIBRARIES = {Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")}


def told(error: BaseException) -> str:
    """Kind, first line and place of an error: the last line of the user's own code that it passed through."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not _within(f.filename, {OURS})]
    own = [f for f in frames if not _within(f.filename, LIBRARIES)] or frames
    known = bool(own) and not isinstance(error, SyntaxError)  # which names its own place
    place = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if known else ""
    return f"{words(error, 200)}{place}"


def words(error: BaseException, most: int = 1000) -> str:
    """Kind of an error and the first line of what it says, where it can: `__str__` is somebody else's too."""
    try:
        text = str(error).strip() or "without a word"
        return f"{type(error).__name__}: {text.splitlines()[0][:most]}"
    except KeyboardInterrupt:
        raise
    except BaseException:
        return f"{type(error).__name__}: and raises when it is asked what for"


def _within(filename: str, folders: set[Path]) -> bool:
    return filename.startswith("<frozen") or any(Path(filename).is_relative_to(folder) for folder in folders)
