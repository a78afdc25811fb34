"""What a call names: files, folders, patterns, URLs of fsspec and models of a zoo, each checkpoint by its own name."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from detectors.core.blame import words
from detectors.core.errors import CheckpointError, DetectorsError
from detectors.core.visible import visible
from detectors.loading.containers import MAX_BYTES
from detectors.loading.folders import check_name, is_checkpoint, is_training_file, is_whole
from detectors.loading.load import MODEL_ENTRY_POINTS, resolve

_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+(://|::)")
_DEEP = 8  # folders within folders
_CHUNK = 2**20
_BESIDE = (".json", ".data.npz")  # of NAME.safetensors: its configuration, and the sequences that it names


class Source(NamedTuple):
    """A checkpoint. train: the file of training pairs that lies in the folder it was found in."""

    name: str
    train: str | None = None


def expand(names: Iterable[str]) -> list[Source]:
    """The checkpoints that are meant, each once, in the order of the names.

    A folder stands for what is in it, unless it is one checkpoint itself; a pattern for what matches. A name that is
    not there stands for itself: what has vanished is told when it is read. Errors: DetectorsError for a pattern or a
    URL that leads to nothing.

    >>> [source.name for source in expand(["./a//b.pt", "a/b.pt", "zoo:s5_*"])]
    ['a/b.pt', 'zoo:s5_transformer']
    """
    found: dict[str, Source] = {}
    for name in names:
        for source in _of(name):
            found.setdefault(source.name, source)
    return list(found.values())


def named(names: Iterable[str]) -> list[str]:
    """The same for one report after the other: a folder that is named is one checkpoint, and keeps its name."""
    return [one for name in names for one in ([name] if os.path.lexists(name) else [s.name for s in _of(name)])]


def is_url(name: str) -> bool:
    """Whether fsspec is to fetch it: `s3://...`, `hf://...`, `memory://...`."""
    return bool(_URL.match(name)) and not os.path.lexists(name)


def _of(name: str) -> list[Source]:
    if not name or "\0" in name:
        raise DetectorsError(f"{visible(name)!r} is no name of a checkpoint")
    if is_url(name):
        with _fetching(name):
            return _of_url(name)
    if os.path.isdir(name):
        return _within(os.path.normpath(name)) or [Source(os.path.normpath(name))]
    if os.path.lexists(name):
        return [Source(os.path.normpath(name))]
    prefix, _, member = name.partition(":")
    if member and (known := _members(prefix)):
        wanted = "*" if member == "all" else member
        return [Source(f"{prefix}:{one}") for one in known if fnmatch(one, wanted)] or [Source(name)]
    if not glob.has_magic(name):
        return [Source(os.path.normpath(name))]
    return _of_matches(name, _matches(Path(name)))


def _matches(pattern: Path) -> list[str]:
    """Names that match, hidden ones where the pattern says so. `**` enters no links, which may lead in circles."""
    try:
        found = sorted(Path(pattern.anchor or ".").glob(str(pattern.relative_to(pattern.anchor))))
    except ValueError as error:
        raise DetectorsError(f"{pattern}: {error}") from None
    hidden = [any(part[0] == "." and part not in pattern.parts for part in one.parts) for one in found]
    return [str(one) for one, is_hidden in zip(found, hidden, strict=True) if not is_hidden]


def _of_url(name: str) -> list[Source]:
    fs, path = _file_system(name)
    if glob.has_magic(path) and not fs.exists(path):
        start = name[: len(name) - len(path.lstrip("/"))]
        return _of_matches(name, [start + one.lstrip("/") for one in sorted(fs.glob(path))])
    return (_within(name.rstrip("/")) if fs.isdir(path) else []) or [Source(name)]


def _of_matches(pattern: str, matches: list[str]) -> list[Source]:
    """Of all that a pattern matches what looks like a checkpoint; all of it where nothing does."""
    if not matches:
        raise DetectorsError(f"nothing matches {pattern}")
    folders = {one for one in matches if _is_folder(one)}
    files = [one for one in matches if one not in folders]
    listed = [one for one in files if is_checkpoint(os.path.basename(one))] or ([] if folders else files)
    return [s for one in matches for s in (_within(one) if one in folders else [Source(one)] * (one in listed))]


def _within(folder: str, depth: int = 0) -> list[Source]:
    """The checkpoints in a folder and those in it; the folder itself where its files make one."""
    files, folders = _listing(folder)
    if is_whole(files):
        return [Source(folder)]
    train = next((f"{folder}/{file}" for file in files if is_training_file(file)), None)
    found = [Source(f"{folder}/{file}", train) for file in files if is_checkpoint(file)]
    return found + [s for one in folders if depth < _DEEP for s in _within(f"{folder}/{one}", depth + 1)]


def _listing(folder: str) -> tuple[list[str], list[str]]:
    """Names of the files and of the folders in a folder, without hidden ones and links to folders, in order."""
    if is_url(folder):
        fs, path = _file_system(folder)
        entries = [(_last(one), one["type"] == "directory") for one in fs.ls(path, detail=True)]
    else:
        with os.scandir(folder) as scanned:
            entries = [(one.name, one.is_dir()) for one in scanned if not (one.is_symlink() and one.is_dir())]
    shown = sorted((name, is_folder) for name, is_folder in entries if name and not name.startswith("."))
    return [n for n, is_folder in shown if not is_folder], [n for n, is_folder in shown if is_folder]


def _is_folder(name: str) -> bool:
    if not is_url(name):
        return os.path.isdir(name)
    fs, path = _file_system(name)
    return bool(fs.isdir(path))


def _members(prefix: str) -> list[str]:
    """Names of the models that a package offers under a prefix: its function `names`, beside that which finds them."""
    for entry in entry_points(group=MODEL_ENTRY_POINTS):
        if entry.name == prefix:
            return list(getattr(import_module(entry.module), "names", list)())
    return []


@contextmanager
def local(name: str) -> Iterator[str]:
    """Where a checkpoint is on this machine; one behind a URL is fetched, and gone again at the end.

    Errors: CheckpointError where it cannot be had, or is over the limit that files have here.
    """
    if not is_url(name):
        yield name
        return
    with TemporaryDirectory(prefix="detectors-") as folder:
        with _fetching(name):
            place = _fetched(name, Path(folder))
        yield str(place)


def content_of(source: Source) -> str:
    """What tells the content of a checkpoint from another under its name: a digest of the file or of all in the folder,
    with what lies beside and is read too; of a URL what its store says of it. Errors: CheckpointError.
    """
    return " ".join(_content(name) for name in source if name)


def _content(name: str) -> str:
    digest = hashlib.sha256()
    if is_url(name):
        with _fetching(name):
            fs, path = _file_system(name)
            digest.update(str([sorted((k, str(v)) for k, v in one.items()) for one in _wanted(fs, path)]).encode())
        return digest.hexdigest()
    place = resolve(name)
    if not isinstance(place, Path):
        return "built"  # by a package, whose version says which
    for file in _all_of(place):
        digest.update(f"{file.relative_to(place.parent)}\0".encode(errors="surrogateescape"))
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _all_of(place: Path) -> list[Path]:
    """A file, and those beside it that are read; of a folder what is in it, and below where only a loader knows what is
    its checkpoint, but no rows.
    """
    if not place.is_dir():
        return [file for file in (place, *(place.with_suffix(suffix) for suffix in _BESIDE)) if file.is_file()]
    found = place.iterdir() if is_whole(os.listdir(place)) else place.rglob("*")
    files = sorted(f for f in found if f.is_file() and f.suffix != ".parquet" and f.name[0] != ".")
    _check_size(str(place), sum(file.stat().st_size for file in files))
    return files


def _wanted(fs: Any, path: str) -> list[dict[str, Any]]:
    """What a store says of the files of a checkpoint: one, with those beside it that are read, or all in a folder."""
    if fs.isdir(path):
        return sorted((one for one in fs.ls(path, detail=True) if one["type"] == "file"), key=_last)
    beside = [str(PurePosixPath(path).with_suffix(suffix)) for suffix in _BESIDE]
    return [fs.info(path), *(fs.info(one) for one in beside if one != path and fs.exists(one))]


def _fetched(name: str, into: Path) -> Path:
    fs, path = _file_system(name)
    wanted = _wanted(fs, path)
    _check_size(name, sum(one.get("size") or 0 for one in wanted))
    copied = 0
    for one in wanted:
        target = into / Path(check_name(_last(one))).name
        with fs.open(one["name"], "rb") as source, target.open("xb") as out:
            while chunk := source.read(_CHUNK):
                copied += len(chunk)
                _check_size(name, copied)  # a store may say less than it sends
                out.write(chunk)
    return into if fs.isdir(path) else into / _last(wanted[0])


def _check_size(name: str, size: int) -> None:
    if size > MAX_BYTES:
        most = f"up to {MAX_BYTES / 2**30:.0f} GiB are read"
        raise CheckpointError(f"{name} has {size / 2**30:.1f} GiB or more; {most}")


def _last(entry: dict[str, Any]) -> str:
    return str(entry["name"]).rstrip("/").rpartition("/")[2]


def _file_system(name: str) -> tuple[Any, str]:
    try:
        import fsspec.core
    except ImportError:
        raise DetectorsError(f"{name} needs fsspec: pip install 'circuit-detectors[fleet]'") from None
    found: tuple[Any, str] = fsspec.core.url_to_fs(name)
    return found


@contextmanager
def _fetching(name: str) -> Iterator[None]:
    """Errors of whatever store, and of its package that is not installed, as one sentence."""
    try:
        yield
    except (DetectorsError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise CheckpointError(f"{name} cannot be fetched: {words(error, 300)}") from None
