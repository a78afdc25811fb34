"""The view edits a whole forward pass, and knows which keys may be attended to."""

import pytest
import torch

import detectors
from detectors.subjects.sequences.view import SequenceView, allowed
from models_zoo import induction_head


def test_edits_and_captures_reach_the_forward_pass():
    view = induction_head(n_tokens=12, n_ctx=12)
    tokens = view.sample.tokens
    point = "blocks.0.attn.hook_pattern"
    logits, seen = view.run(tokens, capture=[point])
    assert logits.shape == (len(tokens), 11, 12)
    assert seen[point].shape == (len(tokens), 1, 11, 11)
    right, _ = view.asked_figures(view.sample)
    without, _ = view.run(tokens, edit={point: lambda pattern: torch.full_like(pattern, 1 / 11)})
    asked = view.sample.targets >= 0
    left = (without[asked].argmax(1) == view.sample.targets[asked]).double().mean()
    assert bool(right.all())
    assert left < 0.5
    with pytest.raises(detectors.DetectorsError, match="no hook point"):
        view.run(tokens, capture=["blocks.0.mlp.hook_post"])


def test_a_network_of_two_operands_is_no_sequence_model():
    with pytest.raises(detectors.DetectorsError, match="lacks n_ctx"):
        SequenceView(detectors.load("zoo:add53_grokked").network, "repeat")


def test_keys_are_those_before_and_no_padding():
    tokens = torch.tensor([[5, 1, 9]])
    assert allowed(tokens, True, None).int().tolist() == [[[1, 0, 0], [1, 1, 0], [1, 1, 1]]]
    assert allowed(tokens, False, 1).int().tolist() == [[[1, 0, 1]] * 3]
