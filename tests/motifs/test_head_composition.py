"""Composition with a head that writes nothing, or the same always, is none."""

from dataclasses import replace

import pytest
import torch

import detectors
import models_zoo
from detectors.loading.transformer import SequenceTransformer
from detectors.subjects.sequences.view import SequenceView


def beside_another(size: float) -> SequenceView:
    """An induction head whose previous-token head is the second of its layer: the first writes where it writes, of that
    size.
    """
    view = models_zoo.induction_head(n_tokens=12, n_ctx=16)
    weights = {}
    for name, w in view.network.weights.items():
        if ".attn.W_" in name:
            first, more = ".0." in name, size if name.endswith("O") else 1.0
            w = torch.cat([w * more, w]) if first else torch.cat([w, torch.zeros_like(w)])
        weights[name] = w
    return SequenceView(SequenceTransformer(weights, replace(view.network.config, n_heads=2)), view.task)


@pytest.mark.parametrize(("size", "earlier"), [(0.0, "0.1"), (1e-7, "0.1"), (0.5, "0.0")])
def test_a_head_is_read_that_writes_something(size, earlier):
    """The ratio knows no size; of two that write alike the first is named."""
    found = detectors.run(beside_another(size), names=["head_composition"])["head_composition"]
    assert found.verdict == "present"
    reader = next(h for h in found.evidence["heads"] if (h["layer"], h["head"]) == (1, 0))
    assert reader["with"] == earlier
