"""Rows of a report: what a table of many checkpoints is made of."""

import pytest

import detectors
import models_zoo
from detectors.core.registry import detector
from detectors.report.rows import COLUMNS, error_row, frame, rows_of


@detector(needs=(), version=1, source="none")
def crashes(model, /, *, draws=199, seed=0):
    """Raises."""
    raise RuntimeError("it broke")


@pytest.fixture(scope="module")
def report():
    model = models_zoo.trig_mlp(p=11, frequencies=(3,), train_fraction=0.5)
    return detectors.run(model, names=["trig_logits", "memorisation", crashes], draws=19)


def test_a_row_says_what_the_report_says(report):
    first, second, third = rows_of(report, checkpoint="a/b.pt", step=7, seed=3)
    assert list(first) == list(COLUMNS)
    assert (first["checkpoint"], first["step"], first["seed"], first["draws"]) == ("a/b.pt", 7, 3, 19)
    assert first["necessity"] == report[0].causal.necessity
    assert first["accuracy_unseen"] == report.accuracy.unseen == 1
    assert second["necessity"] is None
    assert second["error"] is None
    assert (third["verdict"], third["error"], third["draws"]) == ("error", "RuntimeError: it broke", None)
    assert {type(v) for row in (first, second, third) for v in row.values()} == {str, int, float, type(None)}


def test_every_value_has_the_type_of_its_column(report):
    for row in [*rows_of(report), error_row("a", "b", sha256="c", step=1, seconds=0.5)]:
        assert all(value is None or isinstance(value, (COLUMNS[name], int)) for name, value in row.items())


def test_a_checkpoint_that_could_not_be_scored_is_a_row(report):
    row = error_row("gone\udcff.pt", "no file", draws=39, seed=0)
    assert row["checkpoint"] == "gone\\udcff.pt"  # text that a Parquet file can hold
    assert (row["verdict"], row["detector"], row["draws"]) == ("error", None, 39)
    with pytest.raises(TypeError, match="no column host"):
        error_row("a", "b", host="c")


def test_types_of_a_frame_do_not_depend_on_what_is_null(report):
    nulls, full = frame([error_row("a", "b")]), frame(rows_of(report, step=1, seed=2))
    assert list(nulls.dtypes) == list(full.dtypes) == list(frame([]).dtypes)
    assert str(full.dtypes["step"]) == "Int64"
