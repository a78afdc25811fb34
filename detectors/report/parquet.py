"""Rows in a folder of Parquet files, which pandas, DuckDB and pyarrow read as one table as it stands.

A file is written whole or not at all and holds the rows of one checkpoint; what they were made with stands in its
footer. Nothing in a folder is trusted: sizes are checked before rows are read, and text is never more than text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from detectors.core.errors import DetectorsError
from detectors.core.plain_files import write_bytes
from detectors.report.rows import COLUMNS, Row

KEY = b"detectors"  # of the footer
MOST_ROWS = 10_000_000  # of a data set: a hundred thousand checkpoints with a hundred detectors
MOST_BYTES = 2**31  # of the rows that are read at once; evidence is some thousand letters a row
MOST_FOOTER = 2**20
BATCH = 256  # rows


def write_rows(file: Path, rows: Iterable[Row], said: Mapping[str, Any] | None = None) -> None:
    """Write the rows of one checkpoint. said: JSON for the footer. Errors: DetectorsError."""
    import pyarrow
    import pyarrow.parquet

    schema = _schema().with_metadata({b"pandas": _for_pandas(), KEY: json.dumps(said or {}).encode()})
    table, out = pyarrow.Table.from_pylist(list(rows), schema), pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, out, compression="zstd", write_page_checksum=True)
    try:
        write_bytes(file, out.getvalue().to_pybytes())
    except OSError as error:
        raise DetectorsError(f"cannot write {file}: {error.strerror or error}") from None


def read_said(file: Path) -> dict[str, Any] | None:
    """What `write_rows` put into the footer; None of a file that is damaged or that it did not write."""
    try:
        found = json.loads(_opened(file).schema_arrow.metadata[KEY])
        return found if isinstance(found, dict) else None
    except (DetectorsError, ValueError, TypeError, KeyError, RecursionError):
        return None


def files_of(folder: str | Path) -> list[Path]:
    """The Parquet files of a data set: its own, not those that begin with . or _, which no reader takes for a part."""
    found = sorted(f for f in Path(folder).iterdir() if f.suffix == ".parquet" and f.name[0] not in "._")
    return [f for f in found if f.is_file()]


def read_rows(folder: str | Path) -> list[Row]:
    """All rows of a data set, or of one file. Columns that a newer version added are left out.

    Errors: DetectorsError where there is none, where it is too large, damaged, or holds other columns.
    """
    place = Path(folder)
    files = files_of(place) if place.is_dir() else [place]
    if not files:
        raise DetectorsError(f"{place} holds no Parquet files; `detectors run CKPT... --parquet {place}` writes them")
    rows: list[Row] = []
    size = 0
    for file in files:
        for batch in _batches(file):
            size += batch.nbytes
            if size > MOST_BYTES or len(rows) + batch.num_rows > MOST_ROWS:
                raise DetectorsError(f"{place} is too large to be read at once: pass a part of it")
            rows += _values(file, batch)
    return rows


def _batches(file: Path) -> Iterator[Any]:
    opened = _opened(file)
    if missing := [name for name in COLUMNS if name not in opened.schema_arrow.names]:
        raise DetectorsError(f"{file} holds no rows of this tool: it has no column {', '.join(missing[:4])}")
    with _reading(file):
        for batch in opened.iter_batches(BATCH, columns=list(COLUMNS), use_threads=False):
            yield batch.select(list(COLUMNS)).cast(_schema())


def _values(file: Path, batch: Any) -> list[Row]:
    with _reading(file):
        found: list[Row] = batch.to_pylist()
    return found


def _opened(file: Path) -> Any:
    """A Parquet file with its footer read. Errors: DetectorsError."""
    import pyarrow.parquet

    limits = {"thrift_string_size_limit": MOST_FOOTER, "thrift_container_size_limit": MOST_FOOTER}
    with _reading(file):
        if not file.is_file():  # a FIFO would hold us
            raise OSError("it is no file")
        found = pyarrow.parquet.ParquetFile(file, page_checksum_verification=True, **limits)
    if found.metadata.num_rows > MOST_ROWS:
        raise DetectorsError(f"{file} speaks of {found.metadata.num_rows:.1e} rows: it is none of this tool's")
    return found


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Errors of pyarrow as sentences; text that is no UTF-8 is among them."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        said = (str(error).splitlines() or [""])[0][:200]
        raise DetectorsError(f"{file} cannot be read as Parquet: {said}") from None


def _schema() -> Any:
    import pyarrow

    kinds = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64()}
    return pyarrow.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])


def _for_pandas() -> bytes:
    """What pandas reads its types from: integers that may be null stay integers, whatever is null in a file."""
    kinds = {str: ("unicode", "str"), int: ("int64", "Int64"), float: ("float64", "float64")}
    columns = [
        dict(zip(("pandas_type", "numpy_type"), kinds[kind], strict=True), name=name, field_name=name, metadata=None)
        for name, kind in COLUMNS.items()
    ]
    said = {"index_columns": [], "column_indexes": [], "columns": columns, "pandas_version": "2.2.0"}
    return json.dumps(said).encode()
