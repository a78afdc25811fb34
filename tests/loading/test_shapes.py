"""Named axes against the shapes of tensors."""

import pytest
import torch

from detectors.core.errors import CheckpointError
from detectors.loading.shapes import check_shapes

AXES = {"W_E": "n d", "W_O": "d heads*d_head", "W_Q": "heads d_head d", "b": "d"}


def weights(**changed):
    shapes = {"W_Q": (2, 3, 4), "W_E": (5, 4), "W_O": (4, 6), **changed}
    return {name: torch.zeros(shape) for name, shape in shapes.items()}


def test_sizes_are_those_of_the_first_tensor_with_an_axis():
    axes = {name: AXES[name] for name in ("W_E", "W_Q", "W_O", "b")}
    assert check_shapes(weights(), axes) == {"n": 5, "d": 4, "heads": 2, "d_head": 3}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"W_Q": (2, 3, 7)}, r"W_Q has shape \[2, 3, 7\]; the other tensors make it \[2, 3, 4\]"),
        ({"W_O": (4, 5)}, r"W_O has shape \[4, 5\]; the other tensors make it \[4, 6\]"),
        ({"W_E": (5, 4, 1)}, r"W_E has shape \[5, 4, 1\]; expected a matrix \[n, d\]"),
        ({"W_Q": (2,)}, r"W_Q has shape \[2\]; expected \[heads, d_head, d\]"),
        ({"b": ()}, r"b has shape \[\]; expected \[d\]"),
    ],
)
def test_a_shape_that_does_not_fit_is_named_with_the_one_that_would(changed, message):
    axes = {name: AXES[name] for name in ("W_E", "W_Q", "W_O", "b")}
    with pytest.raises(CheckpointError, match=message):
        check_shapes(weights(**changed), axes)
