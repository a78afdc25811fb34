"""Groups against hand-written character tables, numpy.fft, and the laws themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.core.errors import TaskError
from detectors.core.groups import Group, _isotypic_spans, is_associative
from detectors.core.irrep_names import Irrep, in_order
from detectors.core.irrep_names import named as named_irreps
from detectors.core.named_groups import recognise
from detectors.core.named_tables import MAX_ORDER, named_table, permutations
from fixtures.strategies import SMALL, group_names, relabelled

# rows: characters at (identity, then one element of each class as (class size, element order))
TABLES = {
    "S3": [{(1, 1): 1, (3, 2): 1, (2, 3): 1}, {(1, 1): 1, (3, 2): -1, (2, 3): 1}, {(1, 1): 2, (3, 2): 0, (2, 3): -1}],
    "S4": [
        {(1, 1): 1, (6, 2): 1, (3, 2): 1, (8, 3): 1, (6, 4): 1},
        {(1, 1): 1, (6, 2): -1, (3, 2): 1, (8, 3): 1, (6, 4): -1},
        {(1, 1): 2, (6, 2): 0, (3, 2): 2, (8, 3): -1, (6, 4): 0},
        {(1, 1): 3, (6, 2): 1, (3, 2): -1, (8, 3): 0, (6, 4): -1},
        {(1, 1): 3, (6, 2): -1, (3, 2): -1, (8, 3): 0, (6, 4): 1},
    ],
    # the two characters of degree one that are complex stand joined: 1 + w, 1 + w^2 summed with the conjugate
    "A4": [
        {(1, 1): 1, (3, 2): 1, (4, 3): 1},
        {(1, 1): 2, (3, 2): 2, (4, 3): -1},
        {(1, 1): 3, (3, 2): -1, (4, 3): 0},
    ],
}
QUATERNIONS = [
    [0, 1, 2, 3, 4, 5, 6, 7],
    [1, 0, 3, 2, 5, 4, 7, 6],
    [2, 3, 1, 0, 6, 7, 5, 4],
    [3, 2, 0, 1, 7, 6, 4, 5],
    [4, 5, 7, 6, 1, 0, 2, 3],
    [5, 4, 6, 7, 0, 1, 3, 2],
    [6, 7, 4, 5, 3, 2, 1, 0],
    [7, 6, 5, 4, 2, 3, 0, 1],
]


@pytest.mark.parametrize("name", TABLES)
def test_characters_are_those_of_the_textbook(name):
    g = Group.from_name(name)
    kinds = list(zip(g.class_sizes.tolist(), g.element_orders.tolist(), strict=True))
    found = sorted([round(float(i.character[e])) for e in range(g.order)] for i in g.irreps)
    expected = sorted([row[kind] for kind in kinds] for row in TABLES[name])
    assert found == expected
    for irrep in g.irreps:
        np.testing.assert_allclose(irrep.character, np.round(irrep.character), atol=1e-9)


def test_a5_has_the_golden_ratio():
    g = Group.from_name("A5")
    three = next(i for i in g.irreps if i.name == "a5_3d_a")
    five_cycles = sorted(set(np.round(three.character[g.element_orders == 5], 9)))
    golden = (1 + 5**0.5) / 2
    np.testing.assert_allclose(five_cycles, [1 - golden, golden], atol=1e-9)


def test_quaternions_have_a_block_of_four_that_is_not_a_real_two_dimensional_irrep():
    g = Group(np.array(QUATERNIONS))
    assert [i.dimension for i in g.irreps] == [1, 1, 1, 1, 4]
    np.testing.assert_allclose(g.irreps[-1].character, [2, -2, 0, 0, 0, 0, 0, 0], atol=1e-9)
    assert recognise(g)[0].name == "Dic2"


def test_a_thousand_irreps_are_told_apart():
    """Of ten switches: the characters are all the functions that multiply, values of 1 and -1."""
    g = Group(np.bitwise_xor.outer(np.arange(1024), np.arange(1024)))
    signs = np.array([[(a & b).bit_count() % 2 for a in 2 ** np.arange(10)] for b in range(1024)])
    walsh = 1 - 2 * (signs @ signs.T % 2)
    columns = np.concatenate(_isotypic_spans(g), axis=1)
    found = np.round(columns / columns[0], 6).T
    assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, walsh.tolist()))


def test_blocks_of_many_dimensions_stay_whole():
    """Degrees of the irreps of S6, from its partitions by the hook length formula."""
    degrees = [1, 1, 5, 5, 5, 5, 9, 9, 10, 10, 16]
    assert [i.dimension for i in Group.from_name("S6").irreps] == [d * d for d in degrees]


@given(group_names(2))
def test_blocks_are_orthogonal_projectors_that_add_up_to_one(name):
    g = Group.from_name(name)
    projectors = [g.projector(i) for i in g.irreps]
    np.testing.assert_allclose(sum(projectors), np.eye(g.order), atol=1e-9)
    for k, p in enumerate(projectors):
        np.testing.assert_allclose(p @ p, p, atol=1e-9)
        np.testing.assert_allclose(p, p.T, atol=1e-9)
        assert round(np.trace(p)) == g.irreps[k].dimension
        columns = g.basis[:, g.slices[k]]
        np.testing.assert_allclose(columns @ columns.T, p, atol=1e-9)
    characters = np.stack([i.character for i in g.irreps])
    gram = characters @ characters.T / g.order
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-9)


@given(group_names(2))
def test_a_block_holds_all_translates_and_a_character_is_a_class_function(name):
    g = Group.from_name(name)
    rng = np.random.default_rng(0)
    for k, irrep in enumerate(g.irreps):
        f = g.basis[:, g.slices[k]] @ rng.standard_normal(irrep.dimension)
        shift = rng.integers(g.order)
        for moved in (f[g.table[shift]], f[g.table[:, shift]]):
            np.testing.assert_allclose(g.projector(irrep) @ moved, moved, atol=1e-8)
        conjugated = irrep.character[g.table[g.table[shift], g.inverse[shift]]]
        np.testing.assert_allclose(conjugated, irrep.character, atol=1e-9)


@given(st.integers(2, 40), st.integers(0, 2**32 - 1))
def test_cyclic_power_is_that_of_numpy_fft(n, seed):
    x = np.random.default_rng(seed).standard_normal(n)
    g = Group.from_name(f"C{n}")
    coefficients = g.basis.T @ x
    power = [float((coefficients[s] ** 2).sum()) for s in g.slices]
    fourier = np.abs(np.fft.fft(x)) ** 2 / n
    expected = [fourier[0]] + [fourier[k] + (fourier[n - k] if 2 * k != n else 0) for k in range(1, n // 2 + 1)]
    np.testing.assert_allclose(power, expected, atol=1e-9)
    assert [i.frequency for i in g.irreps] == list(range(n // 2 + 1))


@given(group_names(2), st.integers(0, 1000))
def test_a_relabelled_group_is_recognised_with_its_isomorphism(name, seed):
    disguised, _ = relabelled(name, seed)
    named, label = recognise(disguised)
    assert sorted(label) == list(range(named.order))
    np.testing.assert_array_equal(label[disguised.table], named.table[np.ix_(label, label)])
    same = {"D3": "S3", "C2xC2": "C2xC2", "C2xC4": "C4xC2", "C2xS3": "D6"}
    assert named.name == same.get(name, name)


@pytest.mark.parametrize("name", ["C3xS3", "C2xD4", "C3xD5", "C2xD6", "C2xA4", "C2xS4", "C2xA5", "C2xS5"])
def test_a_relabelled_product_is_recognised(name):
    disguised, _ = relabelled(name, 1)
    product, label = recognise(disguised)
    assert product.name == name
    assert sorted(label) == list(range(product.order))
    np.testing.assert_array_equal(label[disguised.table], product.table[np.ix_(label, label)])


@pytest.mark.parametrize("name", ["C2xC2xC2xC2xC2xC2", "C4xC4xC4xC4", "C4xC4xC4xC2xC2"])
def test_a_relabelled_group_of_many_generators_is_recognised(name):
    """Too many images of them all to try each; in the last, twos that have roots serve for those that have none."""
    disguised, _ = relabelled(name, 5)
    product, label = recognise(disguised)
    assert product.name == name
    assert sorted(label) == list(range(product.order))
    np.testing.assert_array_equal(label[disguised.table], product.table[np.ix_(label, label)])


@given(group_names())
def test_group_axioms(name):
    g = Group.from_name(name)
    t, e = g.table, g.identity
    assert is_associative(t)
    a, b, c = np.ix_(*[range(g.order)] * 3)
    np.testing.assert_array_equal(t[t[a, b], c], t[a, t[b, c]])
    np.testing.assert_array_equal(t[e], range(g.order))
    np.testing.assert_array_equal(t[np.arange(g.order), g.inverse], e)
    assert (g.order % g.element_orders == 0).all()
    assert np.bincount(g.classes).sum() == g.order


def test_orientation_of_permutations_is_b_first():
    g = Group.from_name("S3")  # (0,1,2) (0,2,1) (1,0,2) (1,2,0) (2,0,1) (2,1,0)
    assert g.table[1, 2] == 4  # 0 -> 1 -> 2, 1 -> 0 -> 0, 2 -> 2 -> 1
    assert g.table[2, 1] == 3


def test_orientation_of_dihedral_groups_is_rotation_then_reflection():
    g = Group.from_name("D5")
    assert g.table[1, 5] == 6  # r * s is r s
    assert g.table[5, 1] == 9  # s * r is r^-1 s


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([[0, 1], [1, 1]], "repeats an element"),
        ([[0, 1, 2]], "square"),
        ([[0, 5], [5, 0]], "holds 0..1"),
        ([[0.0, 1.0], [1.0, 0.0]], "integers"),
        ([[1, 2, 0], [0, 1, 2], [2, 0, 1]], "no identity"),
        # a loop of order 5 that is not associative
        ([[0, 1, 2, 3, 4], [1, 0, 3, 4, 2], [2, 4, 0, 1, 3], [3, 2, 4, 0, 1], [4, 3, 1, 2, 0]], "not associative"),
    ],
)
def test_tables_that_are_no_groups_are_refused(table, message):
    with pytest.raises(TaskError, match=message):
        Group(np.array(table))


def test_the_largest_groups():
    assert len(named_table(f"C{MAX_ORDER}")) == len(named_table(f"D{MAX_ORDER // 2}")) == MAX_ORDER
    for name in (f"C{MAX_ORDER + 1}", f"D{MAX_ORDER // 2 + 1}", f"C2xD{MAX_ORDER // 2}", "S6xC3"):
        with pytest.raises(TaskError, match=f"more than {MAX_ORDER} elements"):
            named_table(name)
    n = np.arange(MAX_ORDER + 1)
    with pytest.raises(TaskError, match=f"up to order {MAX_ORDER} are supported; this table has {MAX_ORDER + 1}"):
        Group(np.add.outer(n, n) % len(n))
    assert (len(named_table("S6")), len(named_table("A6"))) == (720, 360)
    for name in ("S7", "A7"):  # 5040 and 2520
        with pytest.raises(TaskError, match=f"{name} has too many elements; up to {name[0]}6 is supported"):
            named_table(name)


def test_irreps_are_ordered_by_what_rounding_does_not_move():
    """By the classes in turn: rounding of the first leaves the second to decide, a real difference does not."""

    def irrep(*character):
        return Irrep("", 1, np.array(character))

    classes = np.array([0, 1])
    trivial = irrep(1.0, 1.0 - 1e-12)
    assert in_order([irrep(1.0 + 1e-12, -1.0), irrep(1.0, 0.5), trivial], classes) == [2, 1, 0]
    nearest = 2 * (1 - np.cos(2 * np.pi / 1024))  # of the characters of D1024, at the rotation
    assert in_order([irrep(1.0 - nearest, 0.5), irrep(1.0, -1.0), trivial], classes) == [2, 1, 0]


def test_frequencies_are_of_the_irreps_counted_without_the_trivial_one():
    assert Group.from_name("C7").frequencies([0, 2]) == (1, 3)
    assert Group.from_name("C7").frequencies([2, 0]) == (3, 1)
    assert Group.from_name("D5").frequencies([0, 1, 2]) == (1, 2)  # the first is the sign, which has none
    assert Group.from_name("S4").frequencies([0, 1, 2, 3]) == ()


def test_permutations_are_in_lexicographic_order_and_even_is_said_by_name():
    assert permutations(3, even=True).tolist() == [[0, 1, 2], [1, 2, 0], [2, 0, 1]]
    assert permutations(3, even=False)[[1, 2, 5]].tolist() == [[0, 2, 1], [1, 0, 2], [2, 1, 0]]
    with pytest.raises(TypeError):
        permutations(3, True)


def test_rounding_makes_the_trivial_irrep_no_other():
    """C2xC2 with every character off by a millionth, which is more than eigenvectors are."""
    rows = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]])
    for off in (-1e-6, 1e-6):
        found = named_irreps([Irrep("", 1, row + off) for row in rows], "C2xC2")
        assert [i.name for i in found] == ["trivial", "block_1_0", "block_1_1", "block_1_2"]


@pytest.mark.parametrize("name", ["", "C0", "Z5", "S9", "C3y", "C99999", "D-1", "x", "C2x"])
def test_names_that_are_no_groups_are_refused(name):
    with pytest.raises(TaskError):
        Group.from_name(name)


def test_names_of_irreps_follow_the_literature():
    names = {n: [i.name for i in Group.from_name(n).irreps] for n in ("C6", "S4", "S5", "A5")}
    assert names["C6"] == ["trivial", "freq_1", "freq_2", "sign"]
    assert names["S4"] == ["trivial", "sign", "s4_2d_a", "standard", "standard_sign"]
    assert {"sign", "standard", "standard_sign", "s5_5d_a", "s5_5d_b"} < set(names["S5"])
    assert names["A5"] == ["trivial", "a5_3d_a", "a5_3d_b", "standard", "a5_5d_a"]
    standard = next(i for i in Group.from_name("S5").irreps if i.name == "standard")
    assert standard.character[Group.from_name("S5").identity] == pytest.approx(4)
    dihedral = Group.from_name("D7")
    for irrep in dihedral.irreps[2:]:
        expected = 2 * np.cos(2 * np.pi * irrep.frequency * np.arange(7) / 7)
        np.testing.assert_allclose(irrep.character[:7], expected, atol=1e-9)
    assert len(SMALL) == len(set(SMALL))


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("C2xC59", 2 + 116 // 2),  # two elements are their own inverse, and every other is joined with its own
        ("C2xC2xC2xC2xC2", 2**5),
        ("C2xD59", 2 * (2 + 58 // 2)),  # of D59: two of dimension 1, and a frequency for k and -k
    ],
)
def test_more_irreps_of_one_dimension_than_letters(name, count):
    names = [i.name for i in Group.from_name(name).irreps]
    assert len(names) == len(set(names)) == count


@pytest.mark.parametrize("m", [2, 3, 5, 6])
def test_a_dicyclic_group_has_its_presentation_and_is_recognised(m):
    g = Group.from_name(f"Dic{m}")
    a, x, power = 1, 2 * m, [0]
    for _ in range(2 * m):
        power.append(g.table[power[-1], a])
    assert power == [*range(2 * m), 0]  # a^2m = 1, and no power before
    assert g.table[x, x] == m  # x^2 = a^m
    assert g.table[x, a] == g.table[g.inverse[a], x]  # x a = a^-1 x
    assert (g.element_orders == 2).sum() == 1  # which a dihedral group of this order has more of
    names = np.random.default_rng(m).permutation(g.order)
    table = np.empty_like(g.table)
    table[np.ix_(names, names)] = names[g.table]
    assert recognise(Group(table))[0].name == g.name
