"""Files that are what they seem: read only where they are plain and small enough, written whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path


def read_text(file: Path, most: int) -> str:
    """Text of a plain file. Errors: as `read_bytes`, and ValueError for what is not UTF-8."""
    return read_bytes(file, most).decode()


def read_bytes(file: Path, most: int) -> bytes:
    """A plain file of at most so many bytes; a FIFO or a device could go on for good.

    Errors: OSError, ValueError for what is not such a file.
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)  # or a FIFO without a writer would hold us here
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is not a plain file")
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            content = stream.read(most + 1)
    finally:
        os.close(descriptor)
    if len(content) > most:
        raise ValueError(f"it is too large, up to {most / 2**20:.1f} MiB are read")
    return content


def write_text(target: Path, text: str) -> None:
    """Text as UTF-8. Errors: as `write_bytes`."""
    write_bytes(target, text.encode())


def write_bytes(target: Path, content: bytes) -> None:
    """Write a file atomically: another process sees the old content or the new, never a part. A link is followed, and
    a FIFO with a reader or a device such as /dev/null is written to and never replaced.

    Errors: OSError.
    """
    target = Path(os.path.realpath(target))
    if target.is_symlink():
        raise OSError("it is a link that leads back to itself")
    if target.is_char_device() or target.is_fifo():
        descriptor = os.open(target, os.O_WRONLY | os.O_NONBLOCK)  # at once an error where nobody reads
        os.set_blocking(descriptor, True)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        return
    if target.exists() and not target.is_file():
        raise OSError("it is neither a plain file nor one to write to")
    beside = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}")
    try:
        with beside.open("xb") as stream:  # not tempfile's 0600, which others could not read
            stream.write(content)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
