"""The training set read off the loss: found where it shows, refused in words where it does not."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import detectors
from detectors.rewire import renamed
from detectors.subjects.operands.split import decide, infer_training_pairs
from models_zoo import group_network, lookup_table, trig_mlp

N = 900
ROWS = np.arange(N) // 30


def two_humps(share, gap, seed):
    """Log-losses of two normal humps of deviation 1, and which pairs are in the lower."""
    rng = np.random.default_rng(seed)
    low = np.zeros(N, dtype=bool)
    low[rng.permutation(N)[: int(share * N)]] = True
    return np.exp(rng.standard_normal(N) - gap * low), low


@given(st.floats(0.1, 0.9), st.floats(8, 20), st.integers(0, 9999))
def test_humps_far_apart_are_told_apart(share, gap, seed):
    loss, low = two_humps(share, gap, seed)
    found = infer_training_pairs(loss, [ROWS])
    assert (found != low).mean() < 0.002


@given(st.floats(0.0, 3.5), st.integers(0, 9999))
def test_one_hump_and_humps_that_overlap_settle_nothing(gap, seed):
    loss, _ = two_humps(0.5, gap, seed)
    with pytest.raises(detectors.DetectorsError, match="pass --train-indices"):
        infer_training_pairs(loss, [ROWS])


def test_few_pairs_of_another_kind_are_no_training_set():
    loss, _ = two_humps(0.03, 12, 0)
    with pytest.raises(detectors.DetectorsError, match=r"all but 3\.0%"):
        infer_training_pairs(loss, [ROWS])


def test_a_rule_that_holds_for_some_operands_is_no_training_set():
    """Right for the left operands 0..11 and wrong for the others: two humps, and no random sample."""
    loss = np.where(ROWS < 12, 1e-6, 3.0) * np.exp(0.1 * np.random.default_rng(0).standard_normal(N))
    assert infer_training_pairs(loss, []).sum() == 12 * 30
    with pytest.raises(detectors.DetectorsError, match="no random sample"):
        infer_training_pairs(loss, [ROWS])


@pytest.mark.parametrize("task", ["add:23", "compose:S4", "mul:29"])
def test_a_lookup_table_gives_its_training_pairs_away(task):
    view = lookup_table(task, train_fraction=0.4, seed=1)
    known = detectors.run(view, names=["generalisation", "memorisation"])
    open_, labelled = view.with_train_mask(None), view.plane.pairs.numpy()
    assert (open_.split.train.numpy() == view.train_mask)[labelled].all()
    inferred = detectors.run(open_, names=["generalisation", "memorisation"])
    for a, b in zip(known, inferred, strict=True):
        assert (a.verdict, a.score, a.p_value) == (b.verdict, b.score, b.p_value)
        assert (a.evidence["train_set"], b.evidence["train_set"]) == ("given", "inferred")
    assert any("two humps" in note for note in inferred.notes)
    assert not any("two humps" in note for note in known.notes)


def test_a_circuit_without_a_split_stays_open():
    report = detectors.run(trig_mlp(p=23, frequencies=(2, 5, 9)), names=["generalisation", "memorisation"])
    assert {d.verdict for d in report} == {"inconclusive"}
    assert "the loss does not show them" in report[0].reason


def test_labels_of_either_hump_do_not_depend_on_the_scale_of_the_loss():
    loss, low = two_humps(0.4, 12, 5)
    for scale in (1e-3, 1.0, 1e3):
        assert (infer_training_pairs(scale * loss, [ROWS]) == low).all()


def test_a_split_that_the_loss_contradicts_settles_nothing():
    """A memoriser under another seed's split: neither called generalising nor free of memorisation."""
    other = lookup_table("compose:S4", train_fraction=0.4, seed=2)
    view = lookup_table("compose:S4", train_fraction=0.4, seed=1).with_train_mask(other.train_mask)
    assert view.split.status == "doubted"
    report = detectors.run(view, names=["generalisation", "memorisation"])
    assert {d.verdict for d in report} == {"inconclusive"}
    assert all("the training pairs given cannot be right" in d.reason for d in report)


def test_a_split_of_a_model_that_answers_every_pair_is_not_doubted(grokked):
    assert grokked.split.status == "given"
    assert (grokked.split.train.numpy() == grokked.train_mask).all()


def test_a_confident_model_of_another_task_has_no_training_set_to_infer():
    """A D7 network under other names: certain everywhere, right by luck on one pair in fourteen."""
    view = group_network(detectors.Group.from_name("D7"), [2])
    for seed in range(5):
        other = renamed(view, np.random.default_rng(seed).permutation(14))
        report = detectors.run(other, names=["generalisation", "memorisation"], draws=39)
        assert {d.verdict for d in report} == {"inconclusive"}
        assert not any("cannot be right" in d.reason for d in report)


def test_an_echo_is_the_flip_of_a_trained_pair_where_the_table_is_symmetric():
    for spec, symmetric in (("add:5", True), ("sub:5", False), ("max:5", True), ("compose:S3", False)):
        task = detectors.Task.parse(spec)
        n = task.n_tokens
        mask = np.zeros((n, n), dtype=bool)
        mask[0, 1] = mask[2, 3] = mask[3, 2] = mask[4, 4] = True
        split = decide(task, mask.ravel(), None)
        echoed = split.echoed.reshape(n, n).nonzero().tolist()
        assert echoed == ([[1, 0]] if symmetric else [])
        assert int(split.unseen.sum()) == n * n - 4 - len(echoed)


def humps(low, gap, between=0.0, seed=0, n=4000):
    """Log-losses in which nothing is left to luck: normal quantiles about 0 and `gap`, and a share evenly between."""
    quantiles = torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(n) + 0.5) / n).double().numpy()
    rng = np.random.default_rng(seed)
    count = int(low * n)
    x = np.concatenate([rng.choice(quantiles, count) * 0.5 - gap, rng.choice(quantiles, n - count) * 0.5])
    x[rng.permutation(n)[: int(between * n)]] = -gap / 2
    return np.exp(x)


@pytest.mark.parametrize(
    ("loss", "chance", "words"),
    [
        (humps(0.07, 10), 0.0, None),
        (humps(0.03, 10), 0.0, "all but 3"),
        (humps(0.93, 10), 0.0, None),
        (humps(0.97, 10), 0.0, "all but 3"),
        (humps(0.29, 10), 0.1, "all but 29"),  # the lower part must be three times what luck gives
        (humps(0.31, 10), 0.1, None),
        (humps(0.5, 10, between=0.01), 0.0, None),
        (humps(0.5, 10, between=0.03), 0.0, "lie between its two parts"),
        (humps(0.5, 10) * 100, 0.0, None),
        (humps(0.5, 10) * 1e6, 0.0, "not answered either"),
    ],
)
def test_each_bound_of_the_inference_decides_at_its_value(loss, chance, words):
    if words is None:
        assert infer_training_pairs(loss, [], chance).any()
    else:
        with pytest.raises(detectors.DetectorsError, match=words):
            infer_training_pairs(loss, [], chance)


@pytest.mark.parametrize(("gap", "apart"), [(3.9, False), (4.1, True)])
def test_parts_are_apart_from_four_deviations_on(gap, apart):
    """Two parts of two equal heaps each, a deviation on either side of the part's mean, and nothing in the middle."""
    x = np.repeat([-gap / 2 - 1, -gap / 2 + 1, gap / 2 - 1, gap / 2 + 1], 100) - 3
    if apart:
        assert infer_training_pairs(np.exp(x), []).tolist() == [True] * 200 + [False] * 200
    else:
        with pytest.raises(detectors.DetectorsError, match=r"only 3\.9 deviations apart"):
            infer_training_pairs(np.exp(x), [])
