"""The two-embedding MLP: its formula, and what does not fit."""

import pytest
import torch

import detectors
from detectors.core.errors import CheckpointError


def test_logits_are_those_of_the_formula(saved, mlp):
    mlp |= {"b_in": torch.linspace(-1, 1, 6), "b_U": torch.linspace(0, 2, 7)}
    view = detectors.load(saved(mlp), task="add:7", arch={"act_fn": "square"})
    a, b = torch.arange(49) // 7, torch.arange(49) % 7
    pre = torch.cat([mlp["W_x"][a], mlp["W_y"][b]], dim=1).double() @ mlp["W"].double() + mlp["b_in"].double()
    expected = pre**2 @ mlp["W_U"].double() + mlp["b_U"].double()
    torch.testing.assert_close(view.logits().double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("name", "axis"), [("W_x", 0), ("W_x", 1), ("W_y", 1), ("W", 0), ("W_U", 0), ("W_U", 1)])
def test_shapes_that_do_not_fit_each_other_are_refused(saved, mlp, name, axis):
    mlp[name] = mlp[name].narrow(axis, 0, mlp[name].shape[axis] - 1).contiguous()
    with pytest.raises(CheckpointError, match=r"the other tensors make it|another --task|W_U has 6 columns"):
        detectors.load(saved(mlp), task="add:7")


def test_options_of_attention_do_not_apply(saved, mlp):
    with pytest.raises(CheckpointError, match="attn_coeff does not apply to a two-embedding MLP"):
        detectors.load(saved(mlp), task="add:7", arch={"attn_coeff": "0.5"})
