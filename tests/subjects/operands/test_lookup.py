"""M against loops over pairs and against closed forms, and its null against M of the training sets that it draws."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from detectors.core.groups import Group
from detectors.subjects.operands.lookup import _drawn, gain_of, lookup_of, lookup_shares, redrawn, right
from detectors.subjects.operands.split import echoes
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from models_zoo.analytic import _TableNetwork, group_network
from models_zoo.hostile import circuits
from models_zoo.hostile import constructions as made

SPECS = st.sampled_from(["add:7", "sub:8", "mul:11", "compose:S3", "compose:A4"])


def flips(grid):
    return grid.everything, grid.flip


def random_view(spec, seed, right=1.0):
    """Noise, with the right answers raised, and half of the pairs called trained."""
    task = Task.parse(spec)
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.standard_normal((task.n_tokens**2, task.n_answers))).float()
    logits += right * made.one_hot(task, task.answer.ravel() >= 0)
    return ModelView(_TableNetwork(logits, task.n_tokens), task, train_mask=rng.random(task.n_tokens**2) < 0.5)


def sides(view):
    """Of the labelled pairs, which are trained and which unseen."""
    train = torch.from_numpy(view.train_mask)
    unseen = ~(train | echoes(view.task, train))
    return train[view.plane.pairs], unseen[view.plane.pairs]


def by_loops(view, train, unseen):
    """M, gain and the mean shares, pair by pair, as section 5 of the design defines them."""
    g, labels, n = view.group, view.labels, view.group.order
    logits = view.logits().double().numpy()
    rows = {}
    for a in range(n):
        for b in range(n):
            row = logits[labels.left[a] * view.task.n_tokens + labels.right[b]][labels.answers]
            row = row - row.mean()
            rows[a * n + b] = {int(g.table[g.table[a, b], g.inverse[c]]): row[c] for c in range(n)}
    means = [
        np.array([np.mean([rows[k][x] for k in range(n * n) if side[k]]) for x in range(n)]) for side in (unseen, train)
    ]
    f = means[0]
    i = g.identity
    f = f if f.argmax() == i else 0 * f
    others = [k for k in range(n * n) if unseen[k]]
    twin = {a * n + b: b * n + a if view.task.is_symmetric else a * n + b for a in range(n) for b in range(n)}
    has = []  # of f, without the pair and its twin
    for k in others:
        row = np.array([rows[k][x] for x in range(n)])
        twice = twin[k] != k and unseen[twin[k]]
        has.append((row @ f - (1 + twice) * row @ row / len(others)) / max(f @ f, 1e-300))
    below = sorted(has)[(len(has) - 1) // 2]
    gain = max(-1.0, (means[1] - f) @ f / (f @ f)) if f.any() and below >= 0.5 else 0.0
    shares = np.zeros(n * n)
    for k, row in rows.items():
        c = max((x for x in row if x != i), key=lambda x: row[x])
        m = row[i] - row[c]
        structured = (f[i] - f[c]) * (1 + gain * bool(train[k]))
        shares[k] = np.clip((m - structured) / m, 0, 1) if m > 0 else 0.0
    return gain, shares[train].mean(), shares[unseen].mean()


@given(SPECS, st.integers(0, 9999), st.sampled_from([0.0, 1.0, 5.0]))
def test_m_is_that_of_its_definition(spec, seed, right):
    view = random_view(spec, seed, right)
    train, unseen = sides(view)
    gain, on_train, on_unseen = by_loops(view, train.numpy(), unseen.numpy())
    found = lookup_of(view.plane, train, unseen)
    assert (found.gain, found.train, found.unseen) == pytest.approx((gain, on_train, on_unseen), abs=1e-6)
    assert found.m == pytest.approx(on_train - on_unseen, abs=1e-6)


@pytest.mark.parametrize("tall", [1e-6, 0.01, 0.1, 0.3, 1.0, 10.0])
def test_a_lookup_over_exact_cosines_has_the_share_of_its_height(tall):
    """Every margin is m. h at the right answer alone, centred h (delta - 1/n), is a gain of g = h f(1) / <f, f>, and
    what it leaves of the new margin m + h is h - g m.
    """
    view = circuits.cosines()
    n, f = 31, np.cos(2 * np.pi * np.multiply.outer([2, 5, 11], np.arange(31)) / 31).sum(0) / 3
    m, gain = f[0] - np.sort(f)[-2], tall * f[0] / (f @ f)
    found = lookup_of(circuits.with_lookup(view, tall).plane, *sides(view))
    assert f.sum() == pytest.approx(0, abs=1e-9)
    assert n == view.group.order
    assert found.gain == pytest.approx(gain, rel=1e-3, abs=1e-6)
    assert found.train == pytest.approx(max(0.0, tall - gain * m) / (m + tall), abs=1e-5)
    assert found.unseen == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("gain", [0.0, 0.05, 0.5, 2.0])
@pytest.mark.parametrize("name", ["C31", "S4"])
def test_what_is_only_louder_on_training_pairs_is_no_lookup(name, gain):
    view = circuits.louder(group_network(Group.from_name(name), [2, 3], train_fraction=0.5), gain)
    found = lookup_of(view.plane, *sides(view))
    assert found.gain == pytest.approx(gain, abs=1e-5)
    assert found.m == pytest.approx(0, abs=1e-5)
    shares = lookup_shares(view.plane, view.plane.fibre_mean(torch.nonzero(sides(view)[1]).squeeze(1)))
    assert float(shares[sides(view)[0]].mean()) == pytest.approx(gain / (1 + gain), abs=1e-5)  # without the gain


def test_a_gain_is_of_a_part_that_gives_the_right_answer():
    f = torch.tensor([3.0, -1.0, -2.0], dtype=torch.float64)
    assert gain_of(f, 1.25 * f) == pytest.approx(0.25)
    assert gain_of(f, 0.75 * f) == pytest.approx(-0.25)
    assert gain_of(f, -f) == -1  # none is left, and no more than that
    assert gain_of(torch.zeros(3, dtype=torch.float64), f) == 0
    across = torch.tensor([1.0, 5.0, -1.0], dtype=torch.float64)  # <across, f> = 0: a lookup of another shape
    assert gain_of(f, 1.25 * f + across) == pytest.approx(0.25)
    assert torch.equal(right(f, 0), f)
    assert not right(f, 1).any()
    assert not right(-f, 0).any()  # a memoriser's part, which is least at the right answer


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_lookup_table_is_one_but_for_what_luck_answers(symmetric):
    """With noise one unseen pair in n is right, by a margin that is none of S."""
    view = made.lookup(p=23, fraction=0.5, symmetric=symmetric, noisy=0.0)
    found = lookup_of(view.plane, *sides(view))
    assert (found.m, found.gain) == (1, 0)
    assert (found.train, found.unseen) == (1, 0)
    view = made.lookup(p=23, fraction=0.5, symmetric=symmetric, noisy=1e-3)
    found, luck = lookup_of(view.plane, *sides(view)), 22 / 23 / 23 / int(sides(view)[1].sum())
    assert found.train == pytest.approx(1, abs=1e-3)
    assert abs(found.unseen - 1 / 23) < 4 * luck**0.5
    assert found.gain == 0


def test_pairs_that_are_not_answered_have_no_share():
    view = random_view("add:7", 3, right=-9.0)
    assert lookup_shares(view.plane, torch.randn(7, dtype=torch.float64)).abs().max() == 0


def test_twins_count_once_in_the_error_of_m():
    """Unseen pairs of a symmetric task come as twins of one share; those of another task each for themselves."""
    for spec, each in (("add:7", 2), ("sub:7", 1)):
        view = random_view(spec, 5)
        train, unseen = sides(view)
        f = view.plane.fibre_mean(torch.nonzero(unseen).squeeze(1))
        found = lookup_of(view.plane, train, unseen)
        shares = lookup_shares(view.plane, f, train, found.gain).numpy()
        a, b = shares[train.numpy()], shares[unseen.numpy()]
        assert found.deviation == pytest.approx(np.sqrt(a.var() / len(a) + b.var() * each / len(b)))


# ---- the null


@pytest.mark.parametrize("spec", ["add:9", "sub:9", "compose:S3"])
@pytest.mark.parametrize("closed", [False, True])
def test_null_draws_are_m_of_other_training_sets_with_their_own_echoes(spec, closed):
    view = random_view(spec, 1)
    grid, (train, unseen) = view.plane, sides(view)
    train = train | train[grid.flip] if closed else train
    unseen = unseen & ~train
    observed, null, pairs = redrawn(grid, train, flips(grid), 5, seed=7)
    assert (observed, pairs) == (pytest.approx(lookup_of(grid, train, unseen).m), grid.n**2)
    rng = np.random.default_rng(7)
    _, *masks = _drawn(train, grid.flip, 5, rng)
    for found, mask in zip(null, masks, strict=True):
        assert int(mask.sum()) == int(train.sum())
        assert float(found) == pytest.approx(lookup_of(grid, mask, ~(mask | mask[grid.flip])).m)


@given(st.integers(0, 9999), st.floats(0.1, 0.9))
def test_drawn_training_sets_are_closed_under_flips_where_the_own_is(seed, share):
    n, rng = 11, np.random.default_rng(seed)
    grid = random_view("add:11", 0).plane
    mask = torch.from_numpy(rng.random(n * n) < share)
    closed = mask | mask[grid.flip]
    own, drawn = _drawn(closed, grid.flip, 1, rng)
    assert torch.equal(own, closed)
    square = drawn.reshape(n, n)
    assert torch.equal(square, square.T)
    assert int(drawn.sum()) == int(closed.sum())
    assert int(square.diagonal().sum()) == int(closed.reshape(n, n).diagonal().sum())
    assert [int(one.sum()) for one in _drawn(mask, grid.flip, 2, rng)] == [int(mask.sum())] * 3


def test_draws_of_a_set_that_is_not_closed_are_not_closed_either():
    grid, rng = random_view("add:11", 0).plane, np.random.default_rng(0)
    mask = torch.arange(121) < 60
    _, *draws = _drawn(mask, grid.flip, 20, rng)
    assert not any(torch.equal(drawn, drawn[grid.flip]) for drawn in draws)
    assert torch.stack(draws).double().mean() == pytest.approx(60 / 121)
    assert len({tuple(drawn.tolist()) for drawn in draws}) == 20


def test_a_lookup_stands_out_of_its_null_and_a_circuit_does_not():
    table, circuit = (made.lookup(p=23, fraction=0.4, symmetric=True), circuits.cosines(p=23))
    observed, null, _ = redrawn(table.plane, sides(table)[0], flips(table.plane), 39, seed=0)
    assert observed > 0.9 > 0.5 > float(null.max())
    observed, null, _ = redrawn(circuit.plane, sides(circuit)[0], flips(circuit.plane), 39, seed=0)
    assert observed == pytest.approx(0, abs=1e-6)
    assert float(null.abs().max()) < 1e-6


@pytest.mark.wide
def test_p_values_are_super_uniform_where_the_training_set_is_any():
    """Answers up to order come as twins, of one share: draws that split them would reject too often. One-sided
    Kolmogorov-Smirnov at 1 in 50,000 on 150 tables, and no more than chance at 0.05.
    """
    task, p = Task.parse("add:13"), []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        logits = rng.standard_normal((13, 13, 13)) + 2 * np.eye(13)[task.answer]
        table = torch.from_numpy((logits + logits.transpose(1, 0, 2)).reshape(169, 13)).float()
        grid = ModelView(_TableNetwork(table, 13), task).plane
        observed, null, _ = redrawn(grid, torch.from_numpy(rng.random(169) < 0.4), flips(grid), 19, seed)
        p.append((1 + int((null >= observed).sum())) / 20)
    assert kstest(p, "uniform", alternative="greater").pvalue > 1 / 50_000
    assert np.mean(np.array(p) <= 0.05) < 0.05 + 3 * (0.05 * 0.95 / 150) ** 0.5
    assert np.mean(np.array(p) <= 0.5) > 0.4  # and p-values are not stuck


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("noisy", [0.0, 0.1])
def test_a_lookup_that_knows_unseen_pairs_too_is_not_the_louder_for_it(symmetric, noisy):
    """One of them or a tenth: f then has the lookup's own shape, and a gain of 90 to 24,000% would make all of M 0."""
    view = made.lookup(p=23, fraction=0.5, symmetric=symmetric, noisy=noisy)
    train, unseen = sides(view)
    for known in (1, 20):
        some = torch.nonzero(unseen).squeeze(1)[:known]
        leaked = view.train_mask.copy()
        leaked[view.plane.pairs[some]] = True
        table = view.logits().clone()
        table += 10 * made.one_hot(view.task, leaked & ~view.train_mask)
        found = lookup_of(made.of_table(view.task, table, view.train_mask).plane, train, unseen)
        assert found.gain == 0
        assert found.m > 0.7


def test_a_gain_of_a_part_that_rounding_made_is_none():
    f = torch.tensor([3.0, -1.0, -2.0], dtype=torch.float64)
    assert gain_of(1e-7 * f, f) == 0
    assert gain_of(1e-5 * f, f) > 1e4


@pytest.mark.parametrize("tall", [0.5, 1.0, 2.0])
def test_a_lookup_in_the_place_of_a_circuit_is_one(tall):
    """The circuit's logits are taken away on training pairs and a row of a table put there, as high as its margin or
    not: S would give the margin, and is not there. Of S a one-hot has the share h f(1) / <f, f>, a tenth to two fifths.
    """
    view = circuits.cosines()
    train, unseen = sides(view)
    f = np.cos(2 * np.pi * np.multiply.outer([2, 5, 11], np.arange(31)) / 31).sum(0) / 3
    height = tall * (f[0] - np.sort(f)[-2])
    logits = view.logits().clone()
    one_hot = made.one_hot(view.task, view.train_mask)
    logits[view.train_mask] = height * one_hot[view.train_mask]
    found = lookup_of(made.of_table(view.task, logits, view.train_mask).plane, train, unseen)
    left = height * f[0] / (f @ f)
    assert found.gain == pytest.approx(left - 1, abs=0.02)
    assert found.train > 0.75
    assert found.unseen == pytest.approx(0, abs=1e-5)


def test_what_answers_no_pair_right_is_no_structured_part():
    """Circuits of a + b and, a little louder, of a + b + 1, and a lookup of the training pairs: it alone is right."""
    view = circuits.cosines()
    off = view.logits().reshape(31, 31, 31).roll(1, dims=2).reshape(-1, 31)
    wrong = made.plus(view, 1.04 * off)
    assert wrong.figures().accuracy.all == 0
    found = lookup_of(made.plus(wrong, 0.5 * made.one_hot(view.task, view.train_mask)).plane, *sides(view))
    assert (found.train, found.unseen, found.gain) == (1, 0, 0)
