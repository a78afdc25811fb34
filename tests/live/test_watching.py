"""A run that is watched is the run that is not, and what is left of it can be read."""

import logging
import random
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import detectors
from detectors.core.errors import CheckpointError, DetectorsError
from detectors.core.registry import builtin
from detectors.gate.policy import Policy
from detectors.report.parquet import read_rows
from detectors.series.story import axes

P = 11
PAIRS = torch.cartesian_prod(torch.arange(P), torch.arange(P))
MASK = torch.zeros(P * P, dtype=torch.bool).index_fill(0, torch.randperm(P * P, generator=torch.Generator())[:45], True)


def net():
    """With parts that draw and that keep running means, and one that is frozen."""
    torch.manual_seed(0)
    found = nn.Sequential(
        nn.Embedding(P, 12), nn.Flatten(), nn.Linear(24, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.3),
        nn.Linear(32, P),
    )  # fmt: skip
    found[2].bias.requires_grad_(False)
    found[3].eval()
    return found


def trained(watching_of, steps=7):
    """Weights, buffers, gradients, modes and draws at the end, of a run that draws from all three generators."""
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(1)
    model = net()
    watching = watching_of(model)
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=1e-2)
    drawn = []
    for step in range(steps):
        optimizer.zero_grad()
        batch = torch.randperm(P * P)[:50]
        nn.functional.cross_entropy(model(PAIRS[batch]), PAIRS[batch].sum(1) % P).backward()
        if watching:
            watching.step(step)  # between the gradients and their use
        optimizer.step()
        drawn.append((random.random(), np.random.rand(), torch.rand(1).item()))  # noqa: NPY002 (a loop of anybody's)
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    return model.state_dict(), gradients, [m.training for m in model.modules()], drawn


@pytest.mark.wide
def test_a_watched_run_is_bit_for_bit_the_run_that_is_not():
    every = list(builtin("operands"))
    plain = trained(lambda model: None)
    seen = trained(lambda model: detectors.watch(model, f"add:{P}", every=2, train_mask=MASK.numpy(), names=every))
    torch.testing.assert_close(seen[:2], plain[:2], rtol=0, atol=0)
    assert seen[2:] == plain[2:]
    assert trained(lambda model: Draws)[3] != plain[3]  # so that the comparison can fail


class Draws:
    @staticmethod
    def step(step):
        torch.rand(1)


@pytest.mark.parametrize("outside", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu")])
def test_it_scores_under_whatever_the_loop_has_on(outside):
    watching = detectors.watch(model := net(), f"add:{P}", train_mask=MASK.numpy())
    watching.step(0)
    plain = watching.report
    again = detectors.watch(model, f"add:{P}", train_mask=MASK.numpy())
    with outside():
        again.step(0)
        assert torch.is_grad_enabled() == (outside not in (torch.no_grad, torch.inference_mode))
    assert [d.score for d in again.report] == [d.score for d in plain]


class Scalars:
    def __init__(self):
        self.seen = []

    def add_scalar(self, name, value, step):
        self.seen.append((name, value, step))


class Dictionaries:
    def __init__(self):
        self.seen = []

    def log(self, found):
        self.seen.append(found)


def test_figures_reach_what_logs_dictionaries_and_what_takes_scalars():
    scalars, dictionaries, called = Scalars(), Dictionaries(), []
    watching = detectors.watch(
        net(), f"add:{P}", every=3, train_mask=MASK.numpy(), log=[scalars, dictionaries, called.append]
    )
    for step in range(7):
        watching.step(step)
    assert [found["detectors/step"] for found in called] == [0, 3, 6]
    assert called == dictionaries.seen
    assert scalars.seen == [(name, value, found["detectors/step"]) for found in called for name, value in found.items()]
    assert all(isinstance(value, int | float) for found in called for value in found.values())
    found = called[-1]
    assert found["detectors/accuracy/train"] == watching.report.accuracy.train
    assert found[f"detectors/{axes()['M']}"] == watching.report[axes()["M"]].score
    with pytest.raises(DetectorsError, match="add_scalar"):
        detectors.watch(net(), f"add:{P}", log=3)


def test_steps_that_are_left_out_are_scored_at_the_next_call_and_steps_that_fall_are_said(caplog):
    seen = []
    watching = detectors.watch(net(), f"add:{P}", every=10, log=lambda f: seen.append(f["detectors/step"]))
    for step in (1, 4, 13, 19, 20, 21, 45, 47):
        watching.step(step)
    watching.step(47, now=True)
    watching.step(47, now=True)
    assert seen == [1, 13, 20, 45, 47]
    with caplog.at_level(logging.WARNING, "detectors"):
        assert not watching.step(0)
    assert "step 0 came after 47" in caplog.text


def test_it_stops_when_the_policy_holds_and_not_before(tmp_path):
    """An exact circuit takes the place of a network that knows nothing."""
    from models_zoo import lookup_table, trig_mlp

    class Learner:
        def __getattr__(self, name):
            return getattr(self.now.network, name)

    learner = Learner()
    learner.now = lookup_table(f"add:{P}", train_fraction=0.5, noise=0.1)
    mask = learner.now.train_mask
    file = tmp_path / "stop.gate.toml"
    file.write_text(f"must = {{ {axes()['G']} = 'present' }}\naccuracy = {{ unseen = 0.99 }}\n")
    for policy in (file, Policy(must={axes()["G"]: "present"}, accuracy={"unseen": 0.99})):
        learner.now = lookup_table(f"add:{P}", train_fraction=0.5, noise=0.1)
        watching = detectors.watch(learner, f"add:{P}", every=2, train_mask=mask, policy=policy)
        assert not watching.step(0)
        assert [outcome.passed for outcome in watching.outcomes] == [False, False]
        learner.now = trig_mlp(p=P, frequencies=(2, 3))
        assert not watching.step(1)
        assert watching.step(2)
        assert watching.should_stop


def test_the_series_that_it_leaves_has_a_row_a_step_and_detector(tmp_path):
    watching = detectors.watch(net(), f"add:{P}", every=5, train_mask=MASK.numpy(), folder=tmp_path, seed=4)
    for step in range(11):
        watching.step(step)
    rows = read_rows(tmp_path)
    assert [(r["step"], r["detector"]) for r in rows] == [(s, n) for s in (0, 5, 10) for n in axes().values()]
    assert {(r["task"], r["seed"], r["draws"], r["error"]) for r in rows} == {(f"add:{P}", 4, 39, None)}
    assert rows[-1]["score"] == watching.report[axes()["M"]].score
    assert rows[-1]["accuracy_unseen"] == watching.report.accuracy.unseen


def test_a_run_that_goes_on_takes_up_its_series_and_another_run_is_refused(tmp_path):
    def steps(first, last):
        watching = detectors.watch(net(), f"add:{P}", every=5, folder=tmp_path)
        for step in range(first, last):
            watching.step(step)
        return sorted({row["step"] for row in read_rows(tmp_path)})

    assert steps(0, 21) == [0, 5, 10, 15, 20]
    assert steps(12, 18) == [0, 5, 10, 12, 15]  # it was saved at 12, and 15 and 20 were of before
    with pytest.raises(DetectorsError, match="begins at 0"):
        steps(0, 1)
    assert sorted({row["step"] for row in read_rows(tmp_path)}) == [0, 5, 10, 12, 15]
    (tmp_path / "other.parquet").write_bytes(b"")
    with pytest.raises(DetectorsError, match=r"other\.parquet"):
        detectors.watch(net(), f"add:{P}", folder=tmp_path)


def test_what_goes_wrong_is_said_once_and_the_training_goes_on(tmp_path, caplog):
    def log(found):
        raise ConnectionError("the server is gone")

    model = net()
    watching = detectors.watch(model, f"add:{P}", every=1, log=log, folder=tmp_path)
    with caplog.at_level(logging.WARNING, "detectors"):
        assert [watching.step(step) for step in range(3)] == [False] * 3
        with torch.no_grad():
            model[0].weight.fill_(float("nan"))
        assert [watching.step(step) for step in range(3, 6)] == [False] * 3
    said = [record.message for record in caplog.records if "was not scored" in record.message]
    assert len(said) == 2
    assert "the server is gone" in said[0]
    assert "finite" in said[1]
    rows = read_rows(tmp_path)
    assert [row["step"] for row in rows if row["verdict"] == "error"] == [3, 4, 5]
    assert [a["step"] <= b["step"] for a, b in pairwise(rows)]


def test_a_call_that_cannot_work_is_known_before_the_training():
    for wrong in ({"every": 0}, {"names": ["none"]}, {"policy": "none.gate.toml"}, {"train_mask": [True] * 3}):
        with pytest.raises(DetectorsError):
            detectors.watch(net(), f"add:{P}", **wrong)
    for model, task in ((nn.Linear(3, 4), f"add:{P}"), (net(), "repeat")):
        with pytest.raises(CheckpointError):
            detectors.watch(model, task)


@pytest.mark.parametrize(
    ("task", "width", "masked", "unlike"),
    [("sub:11", 32, True, "task"), ("add:11", 16, True, "parameters"), ("add:11", 32, False, "training pairs")],
)
def test_another_run_does_not_take_up_a_series(tmp_path, task, width, masked, unlike):
    """It counts from the second step on, as one that goes on does: nothing that is there is lost."""

    def watch(task, width, masked):
        model = nn.Sequential(nn.Embedding(P, 12), nn.Flatten(), nn.Linear(24, width), nn.ReLU(), nn.Linear(width, P))
        mask = MASK.numpy() if masked else None
        return detectors.watch(model, task, every=5, train_mask=mask, folder=tmp_path, names=["trig_logits"])

    first = watch("add:11", 32, True)
    for step in (0, 5, 10):
        first.step(step)
    with pytest.raises(DetectorsError, match=f"another run: its {unlike} are not those"):
        watch(task, width, masked).step(1)
    assert {row["step"] for row in read_rows(tmp_path)} == {0, 5, 10}
    watch("add:11", 32, True).step(5)
    assert {row["step"] for row in read_rows(tmp_path)} == {0, 5}
