"""Weights that are computed from others, held against the modules of torch that compute them."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from detectors.core.errors import CheckpointError
from detectors.loading.parametrized import folded


def pruned(layer):
    prune.random_unstructured(layer, "weight", amount=0.4)


def pruned_with_bias(layer):
    prune.l1_unstructured(layer, "weight", amount=0.2)
    prune.l1_unstructured(layer, "bias", amount=0.5)


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
@pytest.mark.parametrize(
    "make",
    [
        pruned,
        pruned_with_bias,
        nn.utils.weight_norm,
        lambda layer: nn.utils.weight_norm(layer, dim=1),
        lambda layer: nn.utils.weight_norm(layer, dim=None),
        nn.utils.spectral_norm,
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
    ],
)
@pytest.mark.parametrize("layer", [nn.Linear(5, 3), nn.Embedding(4, 6)], ids=["linear", "embedding"])
def test_a_weight_is_what_its_module_computes(make, layer):
    torch.manual_seed(0)
    layer = type(layer)(*layer.weight.shape[::-1] if isinstance(layer, nn.Linear) else layer.weight.shape)
    if make is pruned_with_bias and isinstance(layer, nn.Embedding):
        pytest.skip("an embedding has no bias")
    make(layer)
    with torch.no_grad():
        for name, tensor in layer.named_parameters():
            if name.endswith(("_g", "original0")):
                tensor.mul_(-1.7)  # of any length and sign
    layer(torch.zeros(1, 5) if isinstance(layer, nn.Linear) else torch.zeros(1, dtype=torch.long))
    layer.eval()
    layer(torch.zeros(1, 5) if isinstance(layer, nn.Linear) else torch.zeros(1, dtype=torch.long))
    found, said = folded({f"fc.{name}": tensor for name, tensor in layer.state_dict().items()})
    assert found.keys() == {"fc.weight", *["fc.bias"] * isinstance(layer, nn.Linear)}
    torch.testing.assert_close(found["fc.weight"], layer.weight.detach())
    assert "fc.weight" in said


def test_the_order_of_the_file_stays():
    parts = {
        "a": torch.ones(2),
        "b_orig": torch.ones(2, 2),
        "c": torch.ones(3),
        "b_mask": torch.eye(2),
        "d": torch.ones(1),
    }
    assert list(folded(parts)[0]) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    "names",
    [("gate_g", "gate_v"), ("W_u", "W_v", "W_orig"), ("a_orig", "b_mask"), ("W_g",), ("x_orig", "x_mask", "x_v")],
)
def test_tensors_that_only_have_such_names_stay(names):
    weights = {name: torch.arange(6.0).reshape(2, 3) for name in names}
    found, said = folded(weights)
    assert found.keys() == weights.keys()
    assert said == ""


def test_a_weight_that_is_there_itself_is_not_computed_over():
    weights = {"fc.weight": torch.ones(2, 2), "fc.weight_orig": torch.zeros(2, 2), "fc.weight_mask": torch.eye(2)}
    assert folded(weights)[0].keys() == weights.keys()
    whole = {"fc.weight_g": torch.ones(2, 1), "fc.weight_v": torch.ones(2, 2, dtype=torch.long)}
    assert folded(whole)[0].keys() == whole.keys()


def test_what_cannot_be_computed_is_refused_with_what_to_do():
    layer = parametrizations.orthogonal(nn.Linear(4, 4))
    with pytest.raises(CheckpointError, match=r"from such as weight\.|remove_parametrizations"):
        folded(layer.state_dict())
    adapter = {
        "fc.weight": torch.eye(3),
        "fc.lora_A.default.weight": torch.ones(1, 3),
        "fc.lora_B.default.weight": torch.ones(3, 1),
    }
    with pytest.raises(CheckpointError, match="merge_and_unload"):
        folded(adapter)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("fc1.lora_down.weight", "adapters.*Merge them"),
        ("fc1.lora_magnitude_vector.default.weight", "adapters.*Merge them"),
        ("act.prelu.weight", "PReLU.*wrap"),
    ],
)
def test_what_no_file_is_read_with_is_refused_in_words(name, said):
    with pytest.raises(CheckpointError, match=said):
        folded({"fc1.weight": torch.ones(2, 2), name: torch.ones(2)})
