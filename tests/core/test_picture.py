"""Pictures are plain data, and columns that do not belong together are refused before anything is drawn."""

import pytest

from detectors.core.picture import Bars, Shares, Strip

BARS = {"names": ["a", "b"], "heights": [0.1, 0.2], "chance": [0.0, 0.0], "key": ["a"], "unit": "share", "form": ".0%"}
STRIP = {"names": ["a", "b"], "heights": [0.1, 0.2], "numbers": [4, 5], "of": "neuron", "unit": "share", "line": 0.85}
SHARES = {"names": ["a", "b"], "shares": [0.1, None]}


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
