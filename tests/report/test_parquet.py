"""Rows in Parquet: what every reader sees, and what strangers put there."""

import json
import os

import numpy as np
import pytest

import detectors
import models_zoo
from detectors.core.errors import DetectorsError
from detectors.report import parquet
from detectors.report.parquet import files_of, read_rows, read_said, write_rows
from detectors.report.rows import COLUMNS, error_row, frame, rows_of

pandas = pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def rows():
    """Of two detectors."""
    model = models_zoo.trig_mlp(p=11, frequencies=(3,), train_fraction=0.5)
    return rows_of(detectors.run(model, names=["trig_logits", "memorisation"], draws=19), seed=0)


@pytest.fixture
def folder(tmp_path, rows):
    """Two checkpoints, the first of which alone has a step, and the last nothing but an error."""
    write_rows(tmp_path / "a.parquet", [row | {"checkpoint": "a", "step": 5} for row in rows], {"made": {"seed": 0}})
    write_rows(tmp_path / "b.parquet", [row | {"checkpoint": "b"} for row in rows])
    write_rows(tmp_path / "c.parquet", [error_row("ünï\ncode", "gone")])
    return tmp_path


def test_every_reader_sees_the_same_table(folder, rows):
    import duckdb
    from pyarrow import dataset

    kept = read_rows(folder)
    assert [row["checkpoint"] for row in kept] == ["a", "a", "b", "b", "ünï\ncode"]
    assert kept[0] == rows[0] | {"checkpoint": "a", "step": 5}
    assert dataset.dataset(folder, format="parquet").to_table().to_pylist() == kept
    found = duckdb.sql(f"select * from '{folder}/*.parquet'").fetchall()
    assert sorted(map(str, found)) == sorted(str(tuple(row.values())) for row in kept)
    pandas.testing.assert_frame_equal(pandas.read_parquet(folder), frame(kept))


def test_a_report_as_a_frame_has_columns_and_types_of_the_parquet(folder, rows):
    for name in "abc":
        assert list(pandas.read_parquet(folder / f"{name}.parquet").dtypes) == list(frame(rows).dtypes)


def test_the_footer_says_what_rows_were_made_with(folder):
    assert read_said(folder / "a.parquet") == {"made": {"seed": 0}}
    assert read_said(folder / "b.parquet") == {}
    pandas.DataFrame({"x": [1]}).to_parquet(folder / "d.parquet")
    assert read_said(folder / "d.parquet") is None
    with pytest.raises(DetectorsError, match="no column checkpoint"):
        read_rows(folder)


@pytest.mark.parametrize("keep", [0, 3, 100, -9, -1])
def test_a_part_of_a_file_is_no_file(folder, keep):
    part = folder / "b.parquet"
    part.write_bytes(part.read_bytes()[:keep])
    assert read_said(part) is None
    with pytest.raises(DetectorsError, match=r"b.parquet cannot be read as Parquet"):
        read_rows(folder)


def test_flipped_bytes_are_an_error_or_read_and_never_a_crash(folder):
    part, rng = folder / "a.parquet", np.random.default_rng(0)
    whole = part.read_bytes()
    for place in rng.integers(0, len(whole), 300):
        part.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        read_said(part)
        try:
            read_rows(part)
        except DetectorsError:
            continue


def test_other_types_and_newer_columns(folder):
    newer = frame(read_rows(folder / "a.parquet")).assign(host="somewhere")
    newer.to_parquet(folder / "a.parquet")
    assert list(read_rows(folder / "a.parquet")[0]) == list(COLUMNS)
    frame([]).assign(score=["much"], checkpoint=["x"]).to_parquet(folder / "a.parquet")
    with pytest.raises(DetectorsError, match="cannot be read"):
        read_rows(folder)


@pytest.mark.wide
def test_a_table_that_grows_when_it_is_unpacked_is_refused(tmp_path, monkeypatch):
    file = tmp_path / "a.parquet"
    write_rows(file, [error_row("a", "long " * 10_000)] * 20_000)  # a GiB of text in some KiB
    assert file.stat().st_size < 2**20
    monkeypatch.setattr(parquet, "MOST_BYTES", 2**25)
    with pytest.raises(DetectorsError, match="too large"):
        read_rows(file)
    monkeypatch.setattr(parquet, "MOST_ROWS", 19_999)
    with pytest.raises(DetectorsError, match=r"2.0e\+04 rows"):
        read_rows(file)


def test_what_is_no_data_set(tmp_path):
    with pytest.raises(DetectorsError, match="holds no Parquet files"):
        read_rows(tmp_path)
    os.mkfifo(tmp_path / "a.parquet")
    assert files_of(tmp_path) == []
    with pytest.raises(DetectorsError, match="no file"):
        read_rows(tmp_path / "a.parquet")
    with pytest.raises(DetectorsError, match="cannot write"):
        write_rows(tmp_path / "gone" / "a.parquet", [])
    assert json.loads(parquet._for_pandas())["columns"][2]["numpy_type"] == "Int64"
