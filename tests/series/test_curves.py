"""Phases from curves alone: made ones, published ones, and files that hold them."""

import json
import math
import pickle

import numpy as np
import pytest
import torch

import detectors
from detectors.core.errors import CheckpointError, DetectorsError
from detectors.loading.curves import read_curves
from detectors.series.curves import curves_of, sentences

STEPS = np.arange(2000)


def falls(at, depth=2.0, end=1e-3):
    """A loss of `depth` until a step, and next to nothing some steps later."""
    return end + depth / (1 + np.exp((STEPS - at) / 20))


def noisy(curve):
    return curve * np.exp(0.1 * np.random.default_rng(0).standard_normal(len(curve)))


@pytest.mark.parametrize(
    ("train", "test", "kind", "phases"),
    [
        (
            falls(100),
            falls(1000),
            "grokking",
            ["initial", "memorisation", "circuit formation or cleanup", "generalisation"],
        ),
        (falls(300), falls(310), "at once", ["initial", "generalisation"]),
        (falls(100), falls(1e9), "training pairs alone", []),
        (falls(1e9), falls(1e9), "nothing", []),
    ],
)
@pytest.mark.parametrize("made", [noisy, np.asarray])
def test_what_curves_show(train, test, kind, phases, made):
    found = curves_of(STEPS.tolist(), made(train).tolist(), made(test).tolist())
    assert found.kind == kind
    assert [p.phase for p in found.phases] == phases
    assert "do not tell" in sentences(found)[-1]


def test_phases_of_a_curve_that_groks_are_where_it_was_made_to():
    found = curves_of(STEPS.tolist(), falls(100).tolist(), falls(1000).tolist())
    initial, lookup, forming, carried = found.phases
    assert initial.start == 0
    assert lookup.start == pytest.approx(100, abs=3)
    assert forming.start == pytest.approx(1000, abs=3)
    assert carried.start == pytest.approx(1000 + 20 * np.log(9), abs=4)  # a tenth of its height
    assert carried.end == 1999
    assert found.learnt[1] == carried.start


def test_accuracies_tell_the_same():
    train, test = (1 - falls(at, depth=1.0, end=0.0) for at in (100, 1000))
    assert curves_of(STEPS.tolist(), train.tolist(), test.tolist(), is_loss=False).kind == "grokking"


def test_steps_in_any_order_with_holes_and_offsets_tell_the_same():
    train, test = falls(100), falls(1000)
    train[5:9], test[700] = np.nan, np.inf
    order = np.random.default_rng(1).permutation(len(STEPS))
    whole = curves_of((STEPS + 10**12).tolist(), train.tolist(), test.tolist())
    mixed = curves_of((STEPS[order] + 10**12).tolist(), train[order].tolist(), test[order].tolist())
    assert mixed == whole
    assert whole.kind == "grokking"
    assert whole.phases[0].start == 10**12


def test_a_curve_of_training_pairs_alone_says_nothing_of_others(tmp_path):
    (tmp_path / "log.csv").write_text("step,train_loss\n" + "".join(f"{s},{v}\n" for s, v in enumerate(falls(100))))
    story = detectors.track(tmp_path / "log.csv").story
    assert story.phases == []
    assert "no curve of test pairs" in " ".join(story.telling)


def logged(kind, folder):
    """The same two curves as people keep them."""
    rows = list(zip(STEPS[::10].tolist(), falls(100)[::10].tolist(), falls(1000)[::10].tolist(), strict=True))
    file = folder / f"log{kind}"
    if kind == ".csv":  # Lightning's: a line of training and one of evaluation for a step
        lines = [f"{s},{a},\n{s},,{b}" for s, a, b in rows]
        file.write_text("step,train/loss,val/loss\n" + "\n".join(lines))
    elif kind == ".json":
        file.write_text(
            json.dumps(
                {
                    "steps": [r[0] for r in rows],
                    "train_losses": [r[1] for r in rows],
                    "test_losses": [r[2] for r in rows],
                }
            )
        )
    elif kind == ".jsonl":
        file.write_text("\n".join(json.dumps({"step": s, "loss": a, "eval_loss": b}) for s, a, b in rows))
    else:
        torch.save(
            {
                "step": [r[0] for r in rows],
                "train_losses": torch.tensor([r[1] for r in rows]),
                "test_losses": [torch.tensor(r[2]) for r in rows],
            },
            file,
        )
    return file


@pytest.mark.parametrize("kind", [".csv", ".json", ".jsonl", ".pth"])
def test_files_of_curves_are_read(tmp_path, kind):
    story = detectors.track(logged(kind, tmp_path)).story
    assert story.curves.kind == "grokking"
    assert story.curves.learnt[1] == pytest.approx(1044, abs=20)


def test_a_hostile_file_is_never_run(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    (tmp_path / "losses.pth").write_bytes(pickle.dumps({"train_losses": [1.0] * 20, "x": Hostile()}))
    with pytest.raises(DetectorsError, match="code in it and was not run"):
        detectors.track(tmp_path / "losses.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "train_loss\n1\nx\n", '{"train_loss": 3}', "[" * 10_000])
def test_files_without_curves_say_so(tmp_path, text):
    for name in ("log.csv", "log.json"):
        (tmp_path / name).write_text(text)
        with pytest.raises(CheckpointError, match=r"no curves|is empty|is not a checkpoint|log\.json"):
            read_curves(tmp_path / name)


@pytest.mark.external
@pytest.mark.parametrize(("name", "learnt"), [("5_digit_addition_finite", 14_839), ("skip_trigram_finite", 1_748)])
def test_published_curves_grok(external, name, learnt):
    """Test loss under a tenth of its start for good: by eye near 14,800 and between 1,400 and 1,900."""
    story = detectors.track(external / "progress" / f"{name}.pth").story
    assert story.curves.kind == "grokking"
    assert story.curves.learnt[1] == pytest.approx(learnt, rel=0.02)
    assert [p.phase for p in story.phases][::3] == ["initial", "generalisation"]


@pytest.mark.parametrize("hole", ["n/a", "-", "None", ""])
def test_a_cell_without_a_number_is_a_hole_of_its_column(tmp_path, hole):
    """One among three hundred: the curve stays."""
    file = tmp_path / "run.csv"
    lines = [
        f"{s},{2 * math.exp(-s / 50)},{hole if s == 10 else 2.0 if s < 2000 else 0.01}" for s in range(0, 3000, 10)
    ]
    file.write_text("\n".join(["step,train_loss,test_loss", *lines]))
    assert detectors.track(file).story.curves.kind == "grokking"


def test_without_a_curve_of_test_pairs_nothing_is_said_of_grokking(tmp_path):
    file = tmp_path / "run.csv"
    lines = [f"{s},{2 * math.exp(-s / 50)}" for s in range(0, 3000, 10)]
    file.write_text("\n".join(["step,train_loss", *lines]))
    told = " ".join(detectors.track(file).story.telling)
    assert "Training pairs are learnt at" in told
    assert "no curve" in told
    assert "never" not in told
