"""Exact bounds over parents, against their definition, and areas against a count of pairs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from models_zoo.rates import area, rate


@pytest.mark.parametrize(("count", "of"), [(0, 5), (3, 50), (159, 160), (160, 160), (1, 1)])
def test_bounds_are_the_shares_at_which_so_few_or_so_many_come_once_in_twenty(count, of):
    """Clopper and Pearson's definition; 159 of 160 bounds the share at 97%."""
    found = rate([(str(i), i < count) for i in range(of)], every=True)
    assert (found["count"], found["of"]) == (count, of)
    if count:
        assert binom.sf(count - 1, of, found["low"]) == pytest.approx(0.05, abs=5e-3)
    else:
        assert found["low"] == 0
    if count < of:
        assert binom.cdf(count, of, found["high"]) == pytest.approx(0.05, abs=5e-3)
    else:
        assert found["high"] == 1
    assert rate([(str(i), i < 159) for i in range(160)], every=True)["low"] == pytest.approx(0.97, abs=1e-3)


def test_what_descends_from_one_network_is_one_parent_a_hit_if_all_are_and_a_false_alarm_if_any_is():
    found = [("a", True), ("a", False), ("b", True), ("b", True), ("c", False)]
    assert [rate(found, every=every)["count"] for every in (True, False)] == [1, 2]
    assert rate(found, every=True)["of"] == 3


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_the_area_is_the_share_of_pairs_in_order(high, low):
    pairs = [(x > y) + 0.5 * (x == y) for x in high for y in low]
    assert area(high, low) == pytest.approx(np.mean(pairs), abs=1e-4)
