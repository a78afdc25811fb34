"""Lines that build a group's table build that table."""

import numpy as np
import pytest

from detectors.core.groups import Group
from detectors.program.tables import product_table


def built(group):
    names = {"np": np}
    exec("import base64, functools, itertools, zlib\n" + "\n".join(product_table(group)), names)
    return names["PRODUCT"]


@pytest.mark.parametrize("name", ["C6", "D5", "Dic3", "S4", "A4", "S1", "C2xC2", "C2xS3xDic2"])
def test_named_groups_by_their_rule(name):
    group = Group.from_name(name)
    assert np.array_equal(built(group), group.table)
    assert not any("PACKED" in line for line in product_table(group))


@pytest.mark.parametrize("name", [None, "D4", "S3"])
def test_others_and_those_that_bear_a_name_wrongly_from_a_literal(name):
    moved = np.random.default_rng(0).permutation(8)
    table = moved[Group.from_name("Dic2").table][np.ix_(moved.argsort(), moved.argsort())]
    group = Group(table, name)
    assert np.array_equal(built(group), table)
    assert any("PACKED" in line for line in product_table(group))
