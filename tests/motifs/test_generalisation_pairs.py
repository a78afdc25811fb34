"""What `generalisation` rests on, pairs and flips, and the pairs that a model answers against its own circuit."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import detectors
from detectors import generalisation
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from models_zoo.hostile.circuits import circuit, cosines
from models_zoo.hostile.constructions import noise, of_table, one_hot, plus, split_of, unseen_split, up_to_order

FEW = {"draws": 39}


def noisy(spec: str, train: np.ndarray) -> ModelView:
    task = Task.parse(spec)
    return of_table(task, one_hot(task) + noise(task, 0.5, 0), train)


def test_without_a_split_a_network_that_answers_all_pairs_is_judged_on_them():
    score = generalisation(cosines().with_train_mask(None), **FEW)
    assert (score.basis, score.pairs, score.train_set, score.train_fraction) == ("all_pairs", 961, "unknown", None)
    assert score.value == pytest.approx(1, abs=0.01)
    assert "if at least 32 pairs (3.3%) were trained on in neither order" in score.remark
    assert score.null.permuted == "labels of 961 pairs"
    assert generalisation(cosines(), **FEW).basis == "unseen_pairs"
    found = detectors.run(cosines().with_train_mask(None), names=["generalisation"])[0]
    assert found.verdict == "present"
    assert "if at least 32 pairs" in found.reason


def hidden(view: ModelView, count: int, tall: float = 2.0) -> tuple[ModelView, set[tuple[int, ...]]]:
    """The network with `count` other answers in it, and the rows (a, b, answer given, right answer)."""
    n, rng = view.task.n_tokens, np.random.default_rng(4)
    pairs = rng.permutation(n * n)[:count]
    right = view.task.answer.ravel()[pairs]
    wrong = (right + rng.integers(1, n, count)) % n
    table = torch.zeros(n * n, n)
    table[pairs, wrong] = tall
    rows = np.stack([pairs // n, pairs % n, wrong, right], axis=1)
    return plus(view, table), {tuple(row) for row in rows.tolist()}


@pytest.mark.parametrize("told", [True, False])
def test_hidden_wrong_answers_are_found_by_name(told):
    view, rows = hidden(circuit(), 15)
    assert view.figures().accuracy.all == 1 - 15 / 961  # under 99%: without its split the model stays open
    if not told:
        view, rows = hidden(cosines(), 9)
        view = view.with_train_mask(None)
    score = generalisation(view, **FEW)
    assert score.value > 0.9
    assert score.exceptions == len(rows)
    assert set(score.exception_pairs) == rows
    assert generalisation(circuit(), **FEW).exceptions == 0


def test_what_leads_by_less_than_a_tenth_of_the_usual_is_no_exception():
    """Every pair leads by 1; four change their minds by 0.11 of that, four by 0.09."""
    task = Task.parse("add:23")
    table = one_hot(task)
    for k in range(8):
        table[k * 40, (task.answer.ravel()[k * 40] + 5) % 23] = 1.11 if k % 2 else 1.09
    score = generalisation(of_table(task, table, split_of(task, 0.5, 0)), **FEW)
    assert score.exceptions == 4
    assert {a * 23 + b for a, b, *_ in score.exception_pairs} == {40, 120, 200, 280}


@pytest.mark.wide
def test_a_hundred_exceptions_are_listed_and_all_counted():
    view, rows = hidden(circuit(), 120)
    score = generalisation(view, **FEW)
    assert score.exceptions == 120
    assert len(score.exception_pairs) == 100
    assert set(score.exception_pairs) < rows


def test_a_pair_and_its_flip_lie_in_one_block():
    grid = noisy("add:13", np.zeros(169, dtype=bool)).plane
    pairs = grid.among(torch.from_numpy(~unseen_split(13, 65, 0)))
    for seed in range(5):
        block = dict(zip(pairs.tolist(), grid.blocks(pairs, np.random.default_rng(seed)).tolist(), strict=True))
        assert all(block[k] == block[int(grid.flip[k])] for k in block)
        assert max(np.bincount(list(block.values()))) <= 2 * 3  # 33 questions in 16 blocks


def test_without_a_symmetric_table_each_pair_is_a_question_of_its_own():
    grid = noisy("sub:13", np.zeros(169, dtype=bool)).plane
    assert torch.equal(grid.flip, grid.everything)
    block = grid.blocks(grid.everything, np.random.default_rng(0))
    assert sorted(block.bincount().tolist()) == [10] * 7 + [11] * 9


def test_echoes_do_not_make_up_the_number():
    """At 90% of the pairs nearly every other one is the flip of one that was trained on."""
    view = cosines()
    train = np.random.default_rng(0).permutation(961) < 865
    unseen = int((~up_to_order(train)).sum())
    assert unseen < 32 < 96
    verdict = detectors.run(ModelView(view.network, view.task, train_mask=train), names=["generalisation"])[0]
    assert verdict.verdict == "inconclusive"
    assert f"{unseen} labelled pairs are unseen" in verdict.reason


def test_a_circuit_of_another_group_is_no_circuit_of_the_task(tmp_path):
    """The tables of S4 and D12 agree on a fifth of the pairs, so that the mean along D12's fibres is right."""
    s4 = detectors.load("zoo:s4_mlp")
    save_file(dict(s4.network.weights), tmp_path / "s4.safetensors")
    (tmp_path / "train.json").write_text(json.dumps(np.flatnonzero(s4.train_mask).tolist()))
    view = detectors.load(tmp_path / "s4.safetensors", task="compose:D12", train_indices=tmp_path / "train.json")
    found = detectors.run(view, names=["generalisation"], draws=39)
    assert found[0].verdict == "inconclusive"
    assert "follow the table of S4" in found[0].reason
    assert "as what generalises may be the answers of another task" in found.summary
    in_memory = detectors.from_weights(dict(s4.network.weights), "compose:D12", train_mask=s4.train_mask)
    assert detectors.run(in_memory, names=["generalisation"], draws=39)[0].verdict == "inconclusive"
