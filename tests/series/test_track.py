"""Whole runs from their files: made, of the zoo and published; and runs that go wrong half-way."""

import json
import re
import shutil

import pytest
import torch
from typer.testing import CliRunner

import detectors
from detectors.cli import app
from detectors.core.errors import DetectorsError
from detectors.series.story import Story
from models_zoo.cards import WEIGHTS, folders, measured
from tests.series.runs import SPLIT, STEPS, run, state

QUICK = {"names": ["trig_logits", "generalisation", "memorisation"], "draws": 99}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return run(tmp_path_factory.mktemp("made") / "run")


@pytest.fixture(scope="module")
def told(made):
    return detectors.track(made, **SPLIT, **QUICK)


def test_a_run_that_turns_exact_is_told(told):
    story = told.story
    assert story.steps == list(STEPS)
    assert story.onsets["trig_logits"] == story.onsets["generalisation"] == (20, 30)
    assert story.rise == (20, 30)
    assert story.phases[-1].phase == "generalisation"
    assert story.weight_norm[-1] == pytest.approx(sum(float(w.square().sum()) for w in state(1.0).values()) ** 0.5)
    assert {row["step"] for row in told.rows} == set(STEPS)


def test_a_verdict_is_that_of_run(made, told):
    last = detectors.run(detectors.load(made / "step_000050.pt", **SPLIT), **QUICK)
    assert [(c.verdict[-1], c.value[-1], c.p_adjusted[-1]) for c in told.story.motifs.values()] == [
        (d.verdict, d.score, d.p_adjusted) for d in last
    ]


def test_asked_is_what_is_there_and_on_request_how_it_works_too(made):
    last = made / "step_000050.pt"
    report = detectors.run(detectors.load(last, **SPLIT), draws=19)
    what = [d.detector for d in report if d.spec.question == "what"]
    assert list(detectors.track(last, draws=19, **SPLIT).story.motifs) == what
    assert list(detectors.track(last, draws=19, every=True, **SPLIT).story.motifs) == [d.detector for d in report]


def test_a_split_that_is_tried_is_found_once_for_all(tmp_path):
    for step in (0, 200, 3000):
        shutil.copytree(WEIGHTS / "add53_series" / f"step_{step:05d}", tmp_path / f"{step}")
        (tmp_path / f"{step}" / "config.json").unlink()
    story = detectors.track(tmp_path, task="add:53", train_split="0.4:auto", names=["trig_logits"], draws=19).story
    assert story.untold == {}
    assert story.accuracy["train"][1:] == [1.0, 1.0]
    assert "--train-split 0.4:0:torch" in " ".join(story.notes)


@pytest.mark.wide
def test_order_duplicates_and_an_offset_of_steps_change_nothing(made, told, tmp_path):
    files = sorted(made.iterdir())
    mixed = [str(f) for f in (*files[::-2], *files[::2], files[3])]
    assert detectors.track(mixed, **SPLIT, **QUICK).story == told.story
    moved = run(tmp_path / "moved", steps=[s + 10**12 for s in STEPS], name="{}.pt")
    found = detectors.track(moved, **SPLIT, **QUICK).story
    assert found.lead == told.story.lead
    assert found.onsets["trig_logits"] == (10**12 + 20, 10**12 + 30)


@pytest.mark.wide
def test_what_cannot_be_scored_is_told_and_the_others_go_on(made, tmp_path):
    folder = shutil.copytree(made, tmp_path / "run")
    (folder / "step_000010.pt").write_bytes(b"no checkpoint")
    weights = state(1.0)
    weights["W"][0, 0] = float("nan")
    torch.save(weights, folder / "step_000030.pt")
    story = detectors.track(folder, **SPLIT, **QUICK).story
    assert list(story.untold) == [10, 30]
    assert "damaged" in story.untold[10]
    assert "NaN" in story.untold[30]
    assert story.onsets["trig_logits"] == (20, 40)  # wider for it


def test_one_checkpoint_and_an_unknown_split(made):
    story = detectors.track(made / "step_000050.pt", task="add:11", **QUICK).story
    assert "One checkpoint tells no story" in story.telling[0]
    assert story.accuracy["unseen"] == [None]
    assert (story.rise_of, story.phases) == ("all", [])
    assert "training pairs are unknown" in " ".join(story.telling)


def test_a_loader_of_the_users_reads_files_of_any_kind(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import detectors, torch\n"
        "from detectors.loading.layouts.two_embedding_mlp import TwoEmbeddingMLP\n"
        "def load(path, task):\n"
        "    return detectors.ModelView(TwoEmbeddingMLP(torch.load(path)[0]), task)\n"
    )
    (tmp_path / "run").mkdir()
    for step in (5, 10):
        torch.save([state(step / 10)], tmp_path / "run" / f"{step}.pt")
    found = detectors.track(tmp_path / "run", loader=f"{tmp_path / 'mine.py'}:load", **SPLIT, **QUICK).story
    assert found.onsets["trig_logits"] == (5, 10)


def test_models_of_sequences_have_steps_too(tmp_path):
    for step, name in enumerate(("induction_one_layer", "induction_one_layer")):
        shutil.copytree(WEIGHTS / name, tmp_path / f"step_{step}")
    story = detectors.track(tmp_path, names=["previous_token_heads"], draws=19).story
    assert story.steps == [0, 1]
    assert not any("pairs" in sentence for sentence in story.telling)


def test_nothing_that_can_be_scored_is_an_error(tmp_path):
    torch.save({f"step_{s}": {"W": torch.full((5, 5), float("nan"))} for s in (1, 2)}, tmp_path / "all.pt")
    with pytest.raises(DetectorsError, match="none of these checkpoints could be scored"):
        detectors.track(tmp_path / "all.pt", **SPLIT)


@pytest.mark.wide
def test_a_memoriser_has_no_onset_of_a_circuit(tmp_path):
    """Two lookups that others' seeds trained are two states of no grokking run."""
    for step, name in enumerate(("add53_untrained", "add53_memorised", "add53_memorised_seed1")):
        shutil.copytree(WEIGHTS / name, tmp_path / f"step_{step}")
    story = detectors.track(tmp_path, **QUICK).story
    assert story.onsets == {"trig_logits": None, "generalisation": None, "memorisation": (0, 1)}
    assert story.rise is None
    assert [p.phase for p in story.phases] == ["initial", "memorisation"]
    assert "No motif of a circuit sets in." in story.telling
    assert any("The lookup stays" in sentence for sentence in story.telling)


@pytest.mark.wide
@pytest.mark.parametrize("name", ["add53_square_series", pytest.param("add53_series", marks=pytest.mark.deep)])
def test_in_the_series_of_the_zoo_the_circuit_comes_before_the_accuracy(name):
    story = detectors.track(f"zoo:{name}", **QUICK).story
    recorded = [measured(folder) for folder in folders(name)]
    assert story.steps == [card["steps"] for card in recorded]
    assert story.accuracy["test"] == pytest.approx([card["test_accuracy"] for card in recorded], abs=1e-3)
    assert story.onsets["generalisation"][1] <= story.rise[0]
    assert story.lead["generalisation"][0] >= 0
    assert [p.phase for p in story.phases if p.phase != "cleanup"] == [  # which one of them has between checkpoints
        "initial",
        "memorisation",
        "circuit formation",
        "generalisation",
    ]


@pytest.mark.wide
@pytest.mark.external
def test_the_published_run_tells_its_story(external, tmp_path):
    """external/README.md: test accuracy leaps to 0.71 at 2,400 on echoes alone, unseen pairs come after 4,000."""
    source = external / "series" / "p23_relu_wd2"
    for name in ("0", "1600", "2400", "4000", "5600", "8000", "16000", "final", "train_data", "test_data"):
        (tmp_path / f"{name}.pth").symlink_to(source / f"{name}.pth")
    names = ["trig_product_neurons", "generalisation", "memorisation"]
    story = detectors.track(tmp_path, task="add:23", names=names, draws=99).story
    assert story.steps == [0, 1600, 2400, 4000, 5600, 8000, 16000, 50000]
    assert story.accuracy["test"][2:4] == pytest.approx([0.707, 0.707], abs=6e-4)
    assert story.accuracy["unseen"] == pytest.approx([0, 0, 0, 0, 0.051, 0.564, 0.923, 0.923], abs=6e-4)
    said = " ".join(story.telling)
    assert "leaps to 0.71 at 2,400, where not one unseen pair is answered: these are echoes" in said
    assert "Unseen pairs come after 4,000" in said
    assert "trig_product_neurons goes on sharpening after the accuracy has stopped at 16,000" in said
    assert (story.rise, story.onsets["generalisation"]) == ((5600, 8000), (5600, 8000))
    assert story.curves.kind == "grokking"
    assert story.curves.peak == (983, pytest.approx(3.40, abs=0.005))
    assert "met at 8 of 8 checkpoints" in " ".join(story.notes)


def test_the_command_writes_what_it_reads_again(made, tmp_path):
    out = tmp_path / "rows"
    call = ["track", str(made), "--task", "add:11", "--train-split", "0.4:0"]
    call += ["-d", "trig_logits", "-d", "generalisation"]
    done = CliRunner().invoke(app, [*call, "--json", str(tmp_path / "a.json"), "--parquet", str(out)])
    assert done.exit_code == 0, done.output
    assert re.search(r"trig_logits +[▁▂▃▄▅▆▇█]{6} +\d\.\d+ +○○○●●● +20 to 30", done.output)
    document = json.loads((tmp_path / "a.json").read_text())
    keys = {"steps", "accuracy", "motifs", "onsets", "accuracy_rise", "phases", "forecast"}
    assert keys <= document.keys()
    assert Story.model_validate(document).to_dict() == document
    again = CliRunner().invoke(app, ["track", str(out), "--json", "-"])
    assert again.exit_code == 0, again.output
    read = json.loads(again.stdout)
    assert {key: read[key] for key in keys - {"forecast"}} == {key: document[key] for key in keys - {"forecast"}}


def test_the_command_says_what_is_wrong(made, tmp_path):
    (damaged := shutil.copytree(made, tmp_path / "run") / "step_000000.pt").write_bytes(b"no")
    call = ["track", str(damaged.parent), "--task", "add:11", "-d", "trig_logits", "--draws", "19"]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 2
    assert "damaged" in done.output
