"""Too large a table is refused from its sizes, with what it would need and how to raise the limit."""

import pytest
import torch

import detectors
from detectors.core.errors import DetectorsError


def weights(n, width=6):
    """Of a two-embedding MLP, stored in a few bytes by strides of zero."""
    one = torch.zeros(1)
    return {"W_x": one.expand(n, 4), "W_y": one.expand(n, 4), "W": one.expand(8, width), "W_U": one.expand(width, n)}


@pytest.mark.parametrize("task", ["add:2048", "infer"])
def test_what_is_needed_is_said_before_anything_is_computed(saved, task):
    """34 GB for the logits of 2048 tokens alone, from a file of some kilobytes."""
    path = saved(weights(2048))
    assert path.stat().st_size < 5000
    with pytest.raises(DetectorsError, match=r"would need about 128\.\d GiB of memory, and up to 8 may be used"):
        detectors.load(path, task=task)


def test_a_wide_layer_counts(saved):
    with pytest.raises(DetectorsError, match=r"113 x 113 pairs with 113 answers would need about 19\d\.\d GiB"):
        detectors.load(saved(weights(113, width=10**6)), task="add:113")


def test_the_limit_can_be_lowered(saved, monkeypatch):
    path = saved(weights(53))
    assert detectors.load(path, task="add:53").logits().shape == (53 * 53, 53)
    monkeypatch.setenv("DETECTORS_MEMORY", "0.001")
    with pytest.raises(DetectorsError, match="DETECTORS_MEMORY="):
        detectors.load(path, task="add:53")
