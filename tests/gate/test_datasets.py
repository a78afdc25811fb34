"""What changed between two folders of rows."""

import pytest
from typer.testing import CliRunner

from detectors.cli import app
from detectors.core.errors import DetectorsError
from detectors.gate.datasets import changes_of_pairs, pairs, read_data_set
from detectors.report.parquet import write_rows
from detectors.report.rows import error_row, rows_of


@pytest.fixture
def write(tmp_path, plain):
    """Rows of checkpoints, each with what differs in its first row; an error where that is text."""

    def written(folder, checkpoints, **every):
        (tmp_path / folder).mkdir()
        for number, (name, other) in enumerate(checkpoints.items()):
            rows = rows_of(plain, checkpoint=name, seed=0, draws=19)
            rows = [error_row(name, other)] if isinstance(other, str) else [rows[0] | other, *rows[1:]]
            write_rows(tmp_path / folder / f"{number}.parquet", [row | every for row in rows])
        return tmp_path / folder

    return written


def shown(*arguments):
    done = CliRunner().invoke(app, ["compare", *map(str, arguments)], env={"COLUMNS": "150"})
    return done.exit_code, [" ".join(line.split()) for line in done.output.splitlines()]


def test_verdicts_and_scores_are_counted_and_verdicts_listed(write, plain):
    was = plain.detections[0]
    a = write("a", {"x.pt": {}, "y.pt": {}, "z.pt": {}, "gone.pt": {}, "bad.pt": "no file"})
    b = write("b", {"x.pt": {}, "y.pt": {"verdict": "inert"}, "z.pt": {"score": was.score / 2}, "bad.pt": {}})
    code, lines = shown(a, b)
    assert code == 0
    assert f"A {a}: 5 checkpoints, 1 that could not be scored" in lines
    count = len(plain.detections)
    assert f"rows in both: {3 * count}; in A alone: {count}; in B alone: {count}" in lines
    assert f"{was.detector} 1 1 0 1 {was.score:.3f} to {was.score / 2:.3f} 0" in lines
    assert f"y.pt {was.detector} {was.verdict} inert worse" in lines
    assert len([line for line in lines if line.endswith("worse")]) == 1
    assert shown(a, a)[1][-1] == "no difference"


def test_checkpoints_of_two_runs_are_compared_by_what_is_below_their_folders(write):
    a = write("a", {"old/run/1.pt": {}, "old/run/2/3.pt": {}})
    b = write("b", {"/new/1.pt": {"score": 0.0}, "/new/2/3.pt": {}})
    compared = pairs(read_data_set(a), read_data_set(b))
    assert {name for name, _, _ in compared} == {"1.pt", "2/3.pt"}
    assert [(name, change.kind) for name, change in changes_of_pairs(compared)] == [("1.pt", "score")]


def test_it_says_where_the_calls_differ(write):
    a = write("a", {"x.pt": {}})
    assert "they were made with seed 0 and 1" in shown(a, write("b", {"x.pt": {}}, seed=1))[1]


def test_what_cannot_be_compared(write, tmp_path):
    a = write("a", {"x.pt": {}})
    with pytest.raises(DetectorsError, match="cannot be read"):
        read_data_set(tmp_path / "none")
    for other in ({"verdict": "perhaps"}, {"score": 7.0}, {"evidence": "[" * 100_000}, {"evidence": "{"}):
        folder = write(f"b{len(list(tmp_path.iterdir()))}", {"x.pt": other})
        with pytest.raises(DetectorsError, match=r"x\.pt, "):
            read_data_set(folder)
    (a / "again.parquet").write_bytes((a / "0.parquet").read_bytes())
    with pytest.raises(DetectorsError, match=r"two rows of x\.pt"):
        read_data_set(a)
