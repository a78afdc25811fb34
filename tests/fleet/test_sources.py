"""What names mean: folders, patterns, URLs, a zoo; and what a URL brings."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

import models_zoo
from detectors.cli import app
from detectors.core.errors import CheckpointError, DetectorsError
from detectors.fleet import sources
from detectors.fleet.sources import Source, content_of, expand, local, named
from detectors.report.parquet import read_rows

ZOO = Path(models_zoo.__file__).parent / "weights"


@pytest.fixture
def memory():
    """A store, as s3 is one."""
    store = pytest.importorskip("fsspec").filesystem("memory")
    store.store.clear()
    store.pseudo_dirs[:] = [""]
    yield store
    store.store.clear()
    store.pseudo_dirs[:] = [""]


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name in (
        "runs/one/model.safetensors",
        "runs/one/config.json",
        "runs/one/checkpoint-5/model.safetensors",
        "runs/two/step_1.pt",
        "runs/two/step_2.pt",
        "runs/two/train.json",
        "runs/two/notes.md",
        "runs/two/optimizer.pt",
        "runs/.hidden/a.pt",
        "runs/three/checkpoints/last.ckpt",
        "runs/four/weird.safetensors",
        "runs/four/config.json",
        "odd/a[1].pt",
        "odd/b.weights",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "runs" / "two" / "again").symlink_to(tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_is_one_checkpoint_or_those_in_it(tree):
    two = [Source(f"runs/two/step_{i}.pt", "runs/two/train.json") for i in (1, 2)]
    whole = [Source("runs/four"), Source("runs/one"), Source("runs/three/checkpoints/last.ckpt"), *two]
    assert expand(["runs"]) == expand(["./runs/"]) == expand(["runs/*", "runs"]) == whole
    assert expand(["runs/one/"]) == [Source("runs/one")]
    assert expand(["runs/two"]) == two
    assert expand(["runs/**/step_*"]) == [Source(s.name) for s in two]
    (tree / "empty").mkdir()
    assert expand(["empty"]) == [Source("empty")]  # which is told when it is read


def test_a_pattern_that_is_a_name_is_a_name(tree):
    assert expand(["odd/a[1].pt"]) == [Source("odd/a[1].pt")]
    assert expand(["odd/*"]) == [Source("odd/a[1].pt")]
    assert expand(["odd/*.weights"]) == [Source("odd/b.weights")]
    with pytest.raises(DetectorsError, match=r"nothing matches odd/\*.pth"):
        expand(["odd/*.pth"])
    for name in ("", "a\0b", "a**b/*"):
        with pytest.raises(DetectorsError):
            expand([name])


def test_for_reports_a_folder_stays_one_checkpoint_under_its_name(tree):
    assert named(["./runs/two/", "odd/*"]) == ["./runs/two/", "odd/a[1].pt"]


def test_the_zoo(tree):
    every = expand(["zoo:all"])
    assert [s.name.removeprefix("zoo:") for s in every] == models_zoo.names()
    assert len(every) > 100
    for name in models_zoo.names():
        models_zoo.find(name)
    assert [s.name for s in expand(["zoo:add53_seed*"])] == ["zoo:add53_seed1", "zoo:add53_seed2"]
    assert expand(["zoo:nobody"]) == [Source("zoo:nobody")]
    assert len(expand([str(ZOO)])) == len(list(ZOO.rglob("model.safetensors")))


def test_a_url_is_a_file_a_folder_or_a_pattern(memory):
    memory.put(str(ZOO / "add53_mlp"), "/runs/add53_mlp", recursive=True)
    memory.pipe("/runs/two/step_1.pt", b"1")
    memory.pipe("/runs/two/splits.json", b"[]")
    assert expand(["memory://runs"]) == [
        Source("memory://runs/add53_mlp"),
        Source("memory://runs/two/step_1.pt", "memory://runs/two/splits.json"),
    ]
    assert expand(["memory://runs/*/step*"]) == [Source("memory://runs/two/step_1.pt")]
    assert expand(["memory://runs/none.pt"]) == [Source("memory://runs/none.pt")]
    for url in ("nothing://x/y.pt", "memory://no/*.pt"):
        with pytest.raises(DetectorsError, match=r"cannot be fetched|nothing matches"):
            expand([url])


def test_what_is_fetched_is_whole_and_goes_again(memory):
    memory.pipe("/runs/a.safetensors", b"weights")
    memory.pipe("/runs/a.json", b"{}")
    memory.pipe("/runs/b.safetensors", b"other")
    with local("memory://runs/a.safetensors") as file:
        assert Path(file).read_bytes() == b"weights"
        assert sorted(os.listdir(Path(file).parent)) == ["a.json", "a.safetensors"]
    assert not Path(file).exists()
    with local("memory://runs") as folder:
        assert sorted(os.listdir(folder)) == ["a.json", "a.safetensors", "b.safetensors"]


def test_a_size_is_checked_before_and_while_it_is_fetched(memory, monkeypatch):
    memory.pipe("/a.pt", b"x" * 100)
    monkeypatch.setattr(sources, "MAX_BYTES", 99)
    with pytest.raises(CheckpointError, match="up to 0 GiB are read"), local("memory://a.pt"):
        pass
    monkeypatch.setattr(sources, "_wanted", lambda fs, path: [{"name": path, "size": 1}])  # a store that lies
    with pytest.raises(CheckpointError, match="up to 0 GiB are read"), local("memory://a.pt"):
        pass


def test_content_is_told_by_all_that_is_read(memory, tmp_path):
    file = tmp_path / "a.pt"
    file.write_bytes(b"1")
    seen = [content_of(Source(str(file)))]
    (tmp_path / "a.json").write_bytes(b"{}")
    seen.append(content_of(Source(str(file))))
    (tmp_path / "train.json").write_bytes(b"[]")
    assert content_of(Source(str(file))) == seen[-1]
    seen.append(content_of(Source(str(file), str(tmp_path / "train.json"))))
    seen.append(content_of(Source(str(tmp_path))))
    memory.pipe("/a.pt", b"1")
    seen.append(content_of(Source("memory://a.pt")))
    assert content_of(Source("memory://a.pt")) == seen[-1]
    memory.pipe("/a.pt", b"2")
    seen.append(content_of(Source("memory://a.pt")))
    assert len(set(seen)) == len(seen)


def test_a_url_is_scored_as_the_file_is(memory, tmp_path):
    memory.put(str(ZOO / "add53_mlp"), "/runs/add53_mlp", recursive=True)
    memory.pipe("/runs/bad.pt", b"bad")
    asked = ["-d", "trig_logits", "--draws", "19"]
    call = CliRunner().invoke
    done = call(app, ["run", "memory://runs", "memory://gone.pt", *asked, "--parquet", str(tmp_path / "rows")])
    assert done.exit_code == 2, done.output
    rows = {row["checkpoint"]: row for row in read_rows(tmp_path / "rows")}
    assert rows["memory://runs/add53_mlp"]["verdict"] == "present"
    assert "memory://runs/bad.pt" in rows["memory://runs/bad.pt"]["error"]
    assert "cannot be fetched: FileNotFoundError" in rows["memory://gone.pt"]["error"]
    again = call(app, ["run", "memory://runs/add53_mlp", *asked, "--parquet", str(tmp_path / "rows")])
    assert "0 scored, 1 were there already" in again.output
    plain = call(app, ["run", "memory://runs/add53_mlp", *asked])
    assert plain.exit_code == 0
    assert "memory://runs/add53_mlp" in plain.output
