"""Writing whole files or none."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from detectors.core.errors import DetectorsError


def write_text(target: Path, text: str) -> None:
    """Write a file atomically: another process sees the old content or the new, never a part."""
    try:
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        part = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(text)
            part.chmod(0o666 & ~_umask())  # mkstemp's 0600 would make a report that others cannot read
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise DetectorsError(f"cannot write {target}: {error.strerror or error}") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
