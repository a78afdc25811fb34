"""Shapes of directions that share dimensions: known by their angles, and nothing that only looks like one."""

import itertools
import math

import numpy as np
import pytest
import torch

from detectors.core.polytopes import BOUND, JOINED, OTHER, OWN, SHAPES, dimensionality, exact, polytopes


def turned(rows, seed=0, hidden=None):
    """In more dimensions, turned and mirrored, features in another order."""
    rng = np.random.default_rng(seed)
    rows = np.asarray(rows, dtype=float)
    hidden = hidden or rows.shape[1] + 2
    wide = np.pad(rows, ((0, 0), (0, hidden - rows.shape[1])))
    return torch.from_numpy((wide @ np.linalg.qr(rng.standard_normal((hidden, hidden)))[0])[rng.permutation(len(rows))])


def plane(*degrees):
    return [[math.cos(math.radians(a)), math.sin(math.radians(a))] for a in degrees]


# written down apart from the code: corners of a cube for the tetrahedron, two squares for the antiprism
CUBE = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / math.sqrt(3)
SQUARES = [[x * math.sqrt(2), y * math.sqrt(2), 1] for x, y in plane(0, 90, 180, 270)] + [
    [x * math.sqrt(2), y * math.sqrt(2), -1] for x, y in plane(45, 135, 225, 315)
]
KNOWN = {
    "antipodal pair": [[1.0], [-1.0]],
    "triangle": plane(0, 120, 240),
    "tetrahedron": CUBE,
    "pentagon": plane(0, 72, 144, 216, 288),
    "square antiprism": np.array(SQUARES) / math.sqrt(3),
}
HELD = {"antipodal pair": 1 / 2, "triangle": 2 / 3, "tetrahedron": 3 / 4, "pentagon": 2 / 5, "square antiprism": 3 / 8}


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("seed", range(5))
def test_shapes_are_known_however_they_lie_and_however_large(name, seed):
    rows = turned(KNOWN[name], seed) * (0.6 + seed / 2)
    (found,) = polytopes(rows)
    assert found.kind == name
    assert found.error < 1e-12
    assert sorted(found.features) == list(range(len(rows)))


def test_published_dimensionalities(capsys):
    """arXiv:2209.10652: 1 alone, and a plateau for each shape; their sum is at most the rank, for these equal to it."""
    with capsys.disabled():
        print("\nshape, D measured, D published, sum, dimensions")
        for name, rows in {**KNOWN, "own direction": np.eye(4)}.items():
            found, published = dimensionality(turned(rows, 1)).numpy(), HELD.get(name, 1.0)
            print(f"{name}: {found[0]:.6f} {published:.6f} {found.sum():.6f} {np.shape(rows)[1]}")
            assert found == pytest.approx(published, abs=1e-12)
            assert found.sum() == pytest.approx(np.shape(rows)[1])


@pytest.mark.parametrize(("features", "hidden"), [(40, 5), (200, 20), (30, 30), (100, 50)])
def test_random_unit_vectors_share_as_published(features, hidden, capsys):
    """About m / (n + m - 1): E 1 / (1 + sum cos^2) with n - 1 cosines of mean square 1 / m."""
    rows = np.random.default_rng(0).standard_normal((50, features, hidden))
    rows /= np.linalg.norm(rows, axis=2, keepdims=True)
    measured = np.mean([dimensionality(torch.from_numpy(frame)).mean() for frame in rows])
    published = hidden / (features + hidden - 1)
    with capsys.disabled():
        print(f"\n{features} random directions in {hidden} dimensions: D {measured:.4f}, published {published:.4f}")
    assert measured == pytest.approx(published, rel=0.03)


@pytest.mark.parametrize("seed", range(20))
def test_dimensionalities_sum_to_the_rank_at_most(seed):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((int(rng.integers(1, 30)), int(rng.integers(1, 30)))) * rng.uniform(0.1, 3)
    assert 0 < dimensionality(torch.from_numpy(rows)).sum() <= np.linalg.matrix_rank(rows) + 1e-9


def test_a_feature_without_a_direction_has_no_dimension():
    rows = torch.tensor([[0.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    assert dimensionality(rows).tolist() == [0.0, 1.0]
    assert [p.features for p in polytopes(rows)] == [(1,)]
    assert polytopes(rows * 0) == []
    assert dimensionality(rows * 1e-160).isfinite().all()


@pytest.mark.parametrize("name", KNOWN)
def test_no_shape_survives_the_turning_round_of_some_of_its_features(name):
    """Every proper subset: what all features sum to is zero in a shape, and its |Gram| stays as it was."""
    rows = np.asarray(KNOWN[name])
    size = len(rows)
    subsets = [s for k in range(1, size) for s in itertools.combinations(range(size), k)]
    if size == 8:
        subsets = [subsets[i] for i in np.random.default_rng(0).choice(len(subsets), 40, replace=False)]
    for subset in subsets:
        signs = np.ones(size)
        signs[list(subset)] = -1
        assert {p.kind for p in polytopes(turned(rows * signs[:, None]))} == {OTHER}


def test_five_vectors_at_multiples_of_36_degrees_are_no_pentagon():
    fan, pentagon = plane(0, 36, 72, 108, 144), plane(0, 72, 144, 216, 288)
    sizes = [np.sort(np.abs(np.asarray(rows) @ np.asarray(rows).T), None) for rows in (fan, pentagon)]
    assert sizes[0] == pytest.approx(sizes[1])  # alike but for signs
    assert [p.kind for p in polytopes(turned(fan))] == [OTHER]
    assert dimensionality(turned(fan)) == pytest.approx(0.4)  # which dimensionality alone does not tell


@pytest.mark.parametrize("name", KNOWN)
def test_no_shape_has_features_of_unequal_norms(name):
    rows = np.array(KNOWN[name])
    rows[0] *= 1.3
    assert polytopes(turned(rows))[0].kind == OTHER
    assert polytopes(turned(np.array(KNOWN[name]) * 1.3))[0].kind == name


def test_other_groups_have_no_name():
    cube = np.array(list(itertools.product([-1, 1], repeat=3))) / math.sqrt(3)
    for rows in (plane(0, 60, 120, 180, 240, 300), plane(0, 60), plane(0, 0), plane(*range(0, 350, 50)), cube):
        assert [p.kind for p in polytopes(turned(rows))] == [OTHER]


def test_groups_are_told_apart_by_their_dimensions_largest_first():
    """A pentagon, two pairs, one alone and one ignored, in seven dimensions."""
    rows = np.zeros((11, 7))
    rows[:5, :2] = plane(0, 72, 144, 216, 288)
    rows[5, 2], rows[6, 2], rows[7, 3], rows[8, 3], rows[9, 4], rows[10, 5] = 1, -1, 1, -1, 1, 0.49
    found = polytopes(torch.from_numpy(rows))
    assert [(p.kind, sorted(p.features)) for p in found] == [
        ("pentagon", [0, 1, 2, 3, 4]),
        ("antipodal pair", [5, 6]),
        ("antipodal pair", [7, 8]),
        (OWN, [9]),
    ]


@pytest.mark.parametrize(("apart", "kind"), [(149, "antipodal pair"), (147, OTHER)])
def test_a_pair_is_one_up_to_the_bound(apart, kind):
    """cos 148.2 degrees = -0.85."""
    assert polytopes(turned(plane(0, apart)))[0].kind == kind
    assert abs(math.cos(math.radians(148.2)) + 1 - BOUND) < 1e-3


def test_features_that_are_nearly_at_right_angles_are_no_group():
    degrees = math.degrees(math.acos(JOINED))
    assert [p.kind for p in polytopes(turned(plane(0, degrees + 1)))] == [OWN, OWN]
    assert [p.kind for p in polytopes(turned(plane(0, degrees - 1)))] == [OTHER]


def test_the_nearest_exact_shape_is_itself_and_close_to_what_is_near():
    rng = np.random.default_rng(0)
    for name, rows in KNOWN.items():
        rows = turned(rows, 3) * 1.2
        (found,) = polytopes(rows)
        order = list(found.features)
        assert exact(rows[order], name) == pytest.approx(rows[order].numpy(), abs=1e-9)
        shaken = rows[order] + 0.03 * torch.from_numpy(rng.standard_normal(tuple(rows.shape)))
        made = exact(shaken, name)
        assert (made - shaken).norm() < (rows[order] - shaken).norm() + 1e-9
        assert polytopes(made)[0].error < 1e-9
    alone = torch.ones(1, 3, dtype=torch.float64)
    assert torch.equal(exact(alone, OWN), alone)


def test_corners_of_every_shape_are_alike():
    """What lets the first feature stay at the first corner."""
    for _, corners in SHAPES:
        gram = np.sort(corners @ corners.T, axis=1)
        assert gram == pytest.approx(np.broadcast_to(gram[0], gram.shape))


@pytest.mark.wide
@pytest.mark.parametrize(("features", "hidden"), [(5, 2), (8, 3), (12, 6)])
def test_in_random_frames_hardly_anything_is_a_shape_wherever_groups_end(features, hidden, monkeypatch):
    """Of their features at most 2%, at half the limit between groups and at one and a half of it."""
    rows = np.random.default_rng(1).standard_normal((400, features, hidden))
    rows /= np.linalg.norm(rows, axis=2, keepdims=True)
    for joined in (JOINED / 2, JOINED, 1.5 * JOINED):
        monkeypatch.setattr("detectors.core.polytopes.JOINED", joined)
        found = [p for frame in rows for p in polytopes(torch.from_numpy(frame)) if p.kind not in (OWN, OTHER)]
        assert sum(len(p.features) for p in found) / (400 * features) <= 0.02
