"""Too large a table is refused from its sizes, with what it would need and how to raise the limit."""

import pytest
import torch

import detectors
from detectors.core.errors import CheckpointError, DetectorsError
from detectors.subjects.operands.budget import check_memory


def weights(n, width=6):
    """Of a two-embedding MLP, stored in a few bytes by strides of zero."""
    one = torch.zeros(1)
    return {"W_x": one.expand(n, 4), "W_y": one.expand(n, 4), "W": one.expand(8, width), "W_U": one.expand(width, n)}


def test_what_is_needed_is_said_before_anything_is_computed(saved):
    """34 GB for the logits of 2048 tokens, from a file of some kilobytes."""
    path = saved(weights(2048))
    assert path.stat().st_size < 5000
    with pytest.raises(
        CheckpointError, match=r"2048 tokens with 2048 answers need 160\.0 GiB .*\(their logits alone 32\.0\)"
    ):
        detectors.load(path, task="add:2048")
    with pytest.raises(DetectorsError, match=r"need 16\d\.\d GiB"):
        detectors.load(path, task="infer")


def test_a_wide_layer_counts(saved):
    with pytest.raises(CheckpointError, match=r"113 tokens with 113 answers need 4\d\.\d GiB"):
        detectors.load(saved(weights(113, width=10**6)), task="add:113")


def test_the_limit_can_be_raised_and_lowered(saved, monkeypatch):
    path = saved(weights(53))
    assert detectors.load(path, task="add:53").logits().shape == (53 * 53, 53)
    monkeypatch.setenv("DETECTORS_MEMORY_GIB", "0.001")
    with pytest.raises(CheckpointError, match="DETECTORS_MEMORY_GIB=1 raises that"):
        detectors.load(path, task="add:53")
    monkeypatch.setenv("DETECTORS_MEMORY_GIB", "200")
    check_memory(2048, 2048)
    monkeypatch.setenv("DETECTORS_MEMORY_GIB", "plenty")
    with pytest.raises(CheckpointError, match="write a number of GiB"):
        detectors.load(path, task="add:53")


def test_the_largest_published_group_fits():
    check_memory(720, 720, 128)
