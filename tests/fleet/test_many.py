"""Many checkpoints into one folder: what stands in it, whatever happens meanwhile."""

import errno
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from filelock import FileLock
from typer.testing import CliRunner

import detectors
from detectors.cli import app
from detectors.core.errors import DetectorsError
from detectors.fleet import score as scoring
from detectors.report import parquet
from detectors.report.parquet import files_of, read_rows, read_said, write_rows
from detectors.report.rows import rows_of

pandas = pytest.importorskip("pandas")


def test_rows_are_those_of_the_reports(models):
    models.add("a.pt", "b.pt")
    done = models.score("a.pt", "b.pt", names=["trig_logits", "generalisation"], loader=None)
    report = detectors.run(
        detectors.load(models.folder / "a.pt", task="add:11"), names=["trig_logits", "generalisation"], draws=19
    )
    assert [one.name for one in map(type(models.folder), done.scored)] == ["a.pt", "b.pt"]
    for row in rows_of(report, draws=19, seed=0):
        assert models.kept["a.pt", row["detector"]] == {k: v for k, v in row.items() if k != "seconds"}
    assert len(models.kept) == 4
    assert set(pandas.read_parquet(models.rows)["checkpoint"]) == {str(models.folder / n) for n in ("a.pt", "b.pt")}


def test_nothing_is_scored_twice_and_what_is_new_is(models):
    models.add("a.pt", "b.pt").score()
    before = models.kept
    assert models.score().kept == 2
    assert models.add("c.pt").score().kept == 2
    assert models.calls == ["a.pt", "b.pt", "c.pt"]
    assert models.kept.items() > before.items()


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"seed": 1}, "another seed"),
        ({"draws": 29}, "another draws"),
        ({"names": ["generalisation"]}, "another detectors"),
        ({"train_split": "0.5:1"}, "another options"),
    ],
)
def test_a_row_of_another_call_is_replaced_and_it_is_said(models, caplog, changed, why):
    models.add("a.pt").score()
    caplog.set_level("INFO", "detectors")
    assert models.score(**changed).scored == [str(models.folder / "a.pt")]
    assert f"1 scored anew: {why}" in caplog.text
    assert len(read_rows(models.rows)) == 1
    assert models.score(**changed).kept == 1


def test_a_row_of_another_version_or_of_other_bytes_is_replaced(models, caplog, monkeypatch):
    models.add("a.pt").score()
    caplog.set_level("INFO", "detectors")
    models.loader = models.loader.replace("loader.py", "other.py")
    (models.folder.parent / "other.py").write_text((models.folder.parent / "loader.py").read_text())
    models.score()
    (models.folder.parent / "other.py").write_text((models.folder.parent / "loader.py").read_text() + "\n")
    models.score()
    assert caplog.text.count("another options") == 2
    models.add("b.pt")
    (models.folder / "b.pt").replace(models.folder / "a.pt")
    models.score()
    assert "1 scored anew: the file is another" in caplog.text
    monkeypatch.setattr(scoring, "__version__", "0.0.1")
    assert models.score().kept == 0
    assert "another version of the tool" in caplog.text
    assert len(models.calls) == 5
    assert len(read_rows(models.rows)) == 1


def test_rows_of_another_call_that_stay_are_told_of(models, caplog):
    models.add("a.pt", "b.pt").score()
    models.score("a.pt", seed=1)
    assert "also holds 1 checkpoints that this call does not name, made otherwise" in caplog.text
    assert {row["seed"] for row in read_rows(models.rows)} == {0, 1}


def test_damaged_unreadable_and_vanished_checkpoints_are_rows(models):
    models.add("a.pt")
    (models.folder / "damaged.pt").write_bytes((models.folder / "a.pt").read_bytes()[:-100])
    (models.folder / "empty.pt").touch()
    os.mkfifo(models.folder / "fifo.pt")
    (models.folder / "line\nbreak.pt").write_bytes(b"x")
    names = ["a.pt", "damaged.pt", "empty.pt", "fifo.pt", "line\nbreak.pt", "gone.pt", "ünï 码.pt", "half\udcff.pt"]
    models.add(*names[6:])
    done = models.score(*names, loader=None)
    assert len(done.errors) == 5
    errors = {name: row["error"] for (name, _), row in models.kept.items()}
    assert "line break" in errors["line\nbreak.pt"]
    assert errors["gone.pt"].startswith("no file or folder")
    assert errors["a.pt"] is errors["ünï 码.pt"] is errors["half\\udcff.pt"] is None
    assert {row["verdict"] for (_, detector), row in models.kept.items() if detector is None} == {"error"}
    assert models.kept["damaged.pt", None]["sha256"] == scoring.sha256(models.folder / "damaged.pt")
    again = models.add("gone.pt").score(*names, loader=None)
    assert again.kept == 3
    assert len(again.errors) == 4
    assert models.kept["gone.pt", "trig_logits"]["error"] is None
    assert ("gone.pt", None) not in models.kept


def test_a_checkpoint_that_changes_while_it_is_scored_is_an_error_and_scored_next_time(models):
    models.add("moving.pt")
    (error,) = models.score().errors.values()
    assert "was written to while it was" in error
    (models.folder / "moving.pt").rename(models.folder / "still.pt")
    assert not models.add("moving.pt").score("still.pt", loader=None).errors


def test_training_pairs_that_lie_beside_are_read_and_told_apart(models):
    models.add("a.pt", "b.pt")
    (models.folder / "train.json").write_text("[0, 1, 2, 40]")
    models.score(loader=None)
    assert models.kept["a.pt", "trig_logits"]["accuracy_train"] is not None
    assert models.score(loader=None).kept == 2
    (models.folder / "train.json").write_text("[0, 1, 2]")
    assert models.score(loader=None).kept == 0
    assert not models.score(loader=None, train_split="0.5:1").errors  # which goes first
    (models.folder / "train.json").write_text("[0, 1, 2")
    assert "train.json" in models.score(loader=None).errors.popitem()[1]


def test_rows_may_lie_in_the_folder_of_the_checkpoint(models):
    models.add("model.pt", "a.pt")
    models.rows = models.folder / "rows"
    assert models.score(loader=None).scored == [str(models.folder)]
    assert models.score(loader=None).kept == 1


def test_one_file_under_two_names_is_two_checkpoints_and_one_name_written_twice_is_one(models):
    models.add("a.pt")
    (models.folder / "b.pt").hardlink_to(models.folder / "a.pt")
    models.score(".//a.pt", "a.pt", "b.pt")
    one, two = models.kept.values()
    assert one["sha256"] == two["sha256"]
    assert models.calls == ["a.pt", "b.pt"]


def test_two_runs_at_once_are_one(models):
    models.add("a.pt").score()
    with FileLock(models.rows / ".lock"), pytest.raises(DetectorsError, match="another run writes"):
        models.score()


def test_a_part_that_was_cut_short_is_scored_anew(models, caplog):
    models.add("a.pt", "b.pt").score()
    whole = models.kept
    for file in files_of(models.rows):
        file.write_bytes(file.read_bytes()[:-20])
    models.score("a.pt")
    assert "is damaged, and is of no checkpoint of this call" in caplog.text
    models.score()
    assert models.kept == whole


def test_what_a_killed_run_left_half_written_goes(models):
    models.add("a.pt").score()
    (part,) = files_of(models.rows)
    half = models.rows / f".{part.name}.0123abcd"
    half.write_bytes(b"PAR1")
    (models.rows / ".mine").touch()
    models.score()
    assert not half.exists()
    assert (models.rows / ".mine").exists()


def test_a_device_that_is_not_there_is_one_error_and_not_one_of_every_checkpoint(tmp_path):
    with pytest.raises(DetectorsError, match="--device cuda:99"):
        detectors.score_many("zoo:all", tmp_path / "rows", device="cuda:99")
    assert not (tmp_path / "rows").exists()


def test_a_folder_of_somebody_elses_is_left_alone(models):
    models.rows.mkdir()
    pandas.DataFrame({"x": [1]}).to_parquet(models.rows / "sales.parquet")
    with pytest.raises(DetectorsError, match=r"holds sales.parquet, which is none of ours"):
        models.add("a.pt").score()
    (models.rows / "sales.parquet").unlink()
    outside = models.folder.parent / "outside"
    outside.write_text("kept")
    for name in (".lock", "x.parquet", f"{'0' * 32}.parquet"):
        for target in (outside, outside.with_name("none")):
            (models.rows / name).symlink_to(target)
            with pytest.raises(DetectorsError, match="is none of ours"):
                models.score()
            (models.rows / name).unlink()
    assert outside.read_text() == "kept"
    assert models.calls == []
    file = models.folder / "a.pt"
    with pytest.raises(DetectorsError, match="cannot write to"):
        detectors.score_many([str(file)], file)


def test_hostile_footers_lead_to_scoring(models):
    models.add("a.pt").score()
    (part,) = files_of(models.rows)
    whole, rows = models.kept, read_rows(models.rows)
    for said in ({}, {"made": 3, "content": "x"}, {"made": {}, "content": ["x"]}, {"content": None}):
        write_rows(part, rows, said)
        assert models.score().kept == 0
    assert models.kept == whole


def test_a_full_disk_ends_the_run_and_loses_nothing(models, monkeypatch):
    models.add("a.pt", "b.pt", "c.pt").score("a.pt")
    written = []

    def full(target, content, keep=parquet.write_bytes):
        if written:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(target)
        keep(target, content)

    monkeypatch.setattr(parquet, "write_bytes", full)
    with pytest.raises(DetectorsError, match="No space left on device"):
        models.score()
    assert len(read_rows(models.rows)) == 2
    monkeypatch.undo()
    models.score()
    assert len(models.kept) == 3


def test_a_data_set_of_a_newer_version_is_read_and_its_rows_scored_anew(models):
    models.add("a.pt").score()
    (part,) = files_of(models.rows)
    pandas.read_parquet(part).assign(colour="red").to_parquet(part)
    assert models.score().kept == 0
    assert "colour" not in pandas.read_parquet(models.rows).columns


def test_what_a_call_may_not_ask(models):
    with pytest.raises(TypeError, match=r"taskk: not an option of detectors.load"):
        models.score("a.pt", taskk="add:11")
    with pytest.raises(DetectorsError, match="no detector 'trig'"):
        models.score("a.pt", names=["trig"])
    with pytest.raises(DetectorsError, match="0 jobs"):
        models.score("a.pt", jobs=0)
    with pytest.raises(DetectorsError, match="nothing matches"):
        models.score("*.pt")
    assert not models.rows.exists()


def test_exit_codes_and_what_the_command_says(models, monkeypatch):
    def call(*more):
        return CliRunner().invoke(app, [*models.command, *more], env={"COLUMNS": "120"})

    models.add("a.pt", "b.pt")
    first = call()
    assert first.exit_code == 0, first.output
    assert "2 checkpoints: 2 scored; rows in" in first.output.replace("\n", "")
    (models.folder / "bad.pt").write_bytes(b"bad")
    second = call()
    assert second.exit_code == 2
    assert "0 scored, 2 were there already, 1 could not be scored" in second.output
    assert "bad.pt" in second.stderr
    assert call("--json", "x.json").exit_code == 2
    assert CliRunner().invoke(app, ["run", "a.pt", "--jobs", "2"]).exit_code == 2
    (models.folder / "bad.pt").unlink()
    monkeypatch.setattr("detectors.runner.registry.load", lambda name: 1 / 0)
    crashed = call("--seed", "1")
    assert crashed.exit_code == 3
    assert "a detector crashed in 2" in crashed.output
    monkeypatch.undo()
    assert call("--seed", "1").exit_code == 0  # tried again
    assert call("--jobs", "2", "--cluster", "x").exit_code == 2
    monkeypatch.setitem(sys.modules, "filelock", None)
    missing = call()
    assert (missing.exit_code, "circuit-detectors[fleet]" in missing.output) == (2, True)


@pytest.mark.wide
def test_killed_at_any_moment_it_ends_with_the_rows_of_one_that_was_not(models):
    names = [f"slow{i}.pt" for i in range(5)]
    models.add(*names)
    for wanted in (1, 3):
        child = subprocess.Popen(
            [sys.executable, "-m", "detectors.cli", *models.command, "-q"], start_new_session=True, cwd=os.getcwd()
        )
        while len(files_of(models.rows) if models.rows.exists() else []) < wanted and child.poll() is None:
            time.sleep(0.01)
        time.sleep(0.2)  # in the middle of the next
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        assert wanted <= len(read_rows(models.rows)) < len(names)  # and the folder can be read
    killed = len(read_rows(models.rows))
    assert models.score().kept == killed
    resumed, calls = models.kept, models.calls
    models.rows = models.rows.with_name("whole")
    models.score()
    assert resumed == models.kept
    assert len(calls) <= len(names) + 2  # what was being scored when it was killed, and nothing else


def test_a_footer_says_in_words_what_the_rows_were_made_with(models):
    models.add("a.pt").score()
    said = read_said(files_of(models.rows)[0])
    assert said["made"]["detectors"].keys() == {"trig_logits"}
    assert said["made"]["options"]["task"] == "add:11"
    assert models.loader in said["made"]["options"]["loader"]
    assert "host" not in json.dumps(said)
