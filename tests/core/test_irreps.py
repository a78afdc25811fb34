"""What motifs say of irreps: the evidence, the sentence, the projections and the picture."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from detectors.core.groups import Group
from detectors.core.irreps import named, spectrum_bars, spoken, with_doubles, within_family
from detectors.core.nulls import key_cut


def test_key_irreps_are_above_their_own_cut_and_lists_are_in_the_order_given():
    group, rng = Group.from_name("D5"), np.random.default_rng(0)  # trivial, sign, freq_1, freq_2
    null = torch.from_numpy(rng.uniform(0, [0.1, 0.4, 0.2], (50, 3)))
    cut = key_cut(null)
    shares = cut + torch.tensor([1e-6, -1e-6, 1e-6], dtype=torch.float64)
    assert named(group, [2, 1, 0], shares, null) == {
        "irreps": ("freq_2", "freq_1", "sign"),
        "dimensions": (4, 4, 1),
        "key_irreps": ("freq_2", "sign"),
        "frequencies": (2,),
        "key_cuts": tuple(cut[[2, 1, 0]].tolist()),
    }
    assert named(group, [], shares, null)["key_cuts"] == ()
    assert named(group, [0], cut, null)["key_irreps"] == ()  # at the cut is not above it


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ([], ""),
        (["freq_3"], "frequency 3"),
        (["sign"], "the irrep sign"),
        (["standard", "sign"], "the irreps standard, sign"),
        (["sign", "freq_9", "freq_2"], "frequencies 9, 2 and the irrep sign"),
        ([f"freq_{k}" for k in range(1, 9)], "frequencies 1, 2, 3, 4, 5, 6, 7, 8"),
        ([f"freq_{k}" for k in range(1, 11)], "frequencies 1, 2, 3, 4, 5, 6, 7, 8 and 2 weaker"),
    ],
)
def test_irreps_in_a_sentence(names, sentence):
    assert spoken(names) == sentence


def test_the_family_of_a_frequency_is_the_span_of_nine_products():
    group, rng = Group.from_name("C7"), np.random.default_rng(0)
    values = rng.standard_normal((7, 7))
    angle = 2 * np.pi * 2 * np.arange(7) / 7
    one = [np.ones(7), np.cos(angle), np.sin(angle)]
    columns = np.stack([np.outer(u, v).ravel() for u in one for v in one], axis=1)
    nearest = (columns @ np.linalg.lstsq(columns, values.ravel(), rcond=None)[0]).reshape(7, 7)
    np.testing.assert_allclose(within_family(group, torch.from_numpy(values), 2).numpy(), nearest, atol=1e-9)


@pytest.mark.parametrize(
    ("n", "pooled"),
    [
        (5, [1 + 2, 2 + 1]),  # 2 doubled is 4, which is 1 again
        (9, [1 + 2, 2 + 8, 4, 8 + 1]),  # 3 doubled is 6, which is 3 itself
        (12, [1 + 2, 2 + 8, 4 + 32, 8, 16 + 2, 32]),  # 4 is its own double, and 6 doubled is the constant
    ],
)
def test_the_double_of_a_frequency(n, pooled):
    power = 2.0 ** torch.arange(n // 2, dtype=torch.float64)[None]
    assert with_doubles(Group.from_name(f"C{n}"), power).tolist() == [pooled]


def test_bars_stand_before_the_cuts_or_whatever_else_is_given():
    score = SimpleNamespace(irreps=("freq_1", "sign"), key_irreps=("sign",), key_cuts=(0.5, 0.25))
    (picture,) = spectrum_bars(score, (0.75, 0.5), "title", "reading")
    bars = picture.data
    assert (picture.title, picture.reading, picture.half) == ("title", "reading", False)
    assert (bars.names, bars.heights, bars.key, bars.chance) == (score.irreps, (0.75, 0.5), ("sign",), (0.5, 0.25))
    assert (bars.unit, bars.form) == ("share of the power", ".0%")
    other = spectrum_bars(score, (0.75, 0.5), "", "", chance=[0.0, 1.0], unit="cosine", form=".2f")[0].data
    assert (other.chance, other.unit, other.form) == ([0.0, 1.0], "cosine", ".2f")
    with pytest.raises(TypeError):
        spectrum_bars(score, (0.75, 0.5), "", "", [0.0, 1.0])  # is it the chance or the unit? by name alone
    assert spectrum_bars(SimpleNamespace(irreps=(), key_irreps=(), key_cuts=()), (), "", "") == []
