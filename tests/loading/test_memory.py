"""Too large a table is refused from its sizes, before a file is tried on it."""

import pytest
import torch

import detectors
from detectors.core.errors import DetectorsError


def weights(n, width=6):
    """Of a two-embedding MLP, stored in a few bytes by strides of zero."""
    one = torch.zeros(1)
    return {"W_x": one.expand(n, 4), "W_y": one.expand(n, 4), "W": one.expand(8, width), "W_U": one.expand(width, n)}


def test_what_is_needed_is_said_before_anything_is_computed(saved):
    """34 GB for the logits of 2048 tokens, and copies of them, from a file of some kilobytes."""
    path = saved(weights(2048))
    assert path.stat().st_size < 5000
    for task in ("add:2048", "infer"):
        with pytest.raises(DetectorsError, match=r"2048 answers would need about 128\.0 GiB of memory"):
            detectors.load(path, task=task)


def test_a_wide_layer_counts(saved):
    """Before any activation function is tried on it."""
    with pytest.raises(DetectorsError, match=r"113 answers would need about 190\.3 GiB"):
        detectors.load(saved(weights(113, width=10**6)), task="add:113")


def test_the_limit_can_be_raised_and_lowered(saved, monkeypatch):
    path = saved(weights(53))
    assert detectors.load(path, task="add:53").logits().shape == (53 * 53, 53)
    monkeypatch.setenv("DETECTORS_MEMORY", "0.001")
    with pytest.raises(DetectorsError, match="DETECTORS_MEMORY"):
        detectors.load(path, task="add:53")
