"""Pictures are plain data, and what no browser could show is refused before anything is drawn."""

import numpy as np
import pytest

from detectors.core.picture import Bars, HeatMap, Shares, Strip

BARS = {"names": ["a", "b"], "heights": [0.1, 0.2], "chance": [0.0, 0.0], "key": ["a"], "unit": "share", "form": ".0%"}
STRIP = {"names": ["a", "b"], "heights": [0.1, 0.2], "numbers": [4, 5], "of": "neuron", "unit": "share", "line": 0.85}
SHARES = {"names": ["a", "b"], "shares": [0.1, None]}
HEAT = {"values": np.eye(2), "bound": 1.0, "rows": "a", "columns": "b"}


@pytest.mark.parametrize(
    ("kind", "data", "column"),
    [
        (Bars, BARS, "names"),
        (Bars, BARS, "heights"),
        (Bars, BARS, "chance"),
        (Strip, STRIP, "names"),
        (Strip, STRIP, "heights"),
        (Strip, STRIP, "numbers"),
        (Shares, SHARES, "names"),
        (Shares, SHARES, "shares"),
    ],
)
def test_columns_are_equally_long(kind, data, column):
    assert getattr(kind(**data), column) == data[column]
    with pytest.raises(ValueError, match="equally long, not"):
        kind(**data | {column: data[column][:1]})


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("kind", "data", "column", "value"),
    [
        (Bars, BARS, "heights", lambda x: [0.1, x]),
        (Bars, BARS, "chance", lambda x: [0.0, x]),
        (Strip, STRIP, "heights", lambda x: [0.1, x]),
        (Strip, STRIP, "line", lambda x: x),
        (Shares, SHARES, "shares", lambda x: [x, None]),
        (HeatMap, HEAT, "values", lambda x: np.array([[0.0, 1.0], [x, 0.0]])),
        (HeatMap, HEAT, "bound", lambda x: x),
    ],
)
def test_numbers_are_finite(kind, data, column, value, wrong):
    kind(**data)
    with pytest.raises(ValueError, match="finite"):
        kind(**data | {column: value(wrong)})


@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_a_heat_map_has_rows_and_columns(shape):
    with pytest.raises(ValueError, match="rows and columns"):
        HeatMap(**HEAT | {"values": np.zeros(shape)})
