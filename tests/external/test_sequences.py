"""Sequence models that nobody here trained, against their authors' figures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import detectors

pytestmark = pytest.mark.external


@pytest.mark.wide
def test_published_figures_of_five_digit_addition(external):
    """Loss per digit, and all six digits right on 98.0% of 20,000 random sums."""
    view = detectors.load(external / "progress" / "5_digit_addition_infinite.pth", task="digits:5")
    sums = view.draw(20_000, seed=1)
    right, loss = view.asked_figures(sums)
    assert right.reshape(-1, 6).all(1).double().mean().item() == pytest.approx(0.980, abs=0.004)
    per_digit = loss.reshape(-1, 6).mean(0).tolist()
    assert per_digit == pytest.approx([0.0023, 0.0163, 0.0159, 0.0272, 0.0039, 0.0015], abs=0.004)


def test_published_heads_of_the_induction_model(external):
    """Mean attention of the heads that are known, on BOS and three segments that hold the same run."""
    view = detectors.load(external / "progress" / "induction_head_infinite.pth", task="repeat")
    rng = np.random.default_rng(0)
    tokens, firsts = np.zeros((200, 85), dtype=np.int64), []
    for row in tokens:
        run, segments = 1 + rng.choice(127, size=16, replace=False), []
        row[1:] = 1 + rng.integers(127, size=84)
        for start in (1, 29, 57):
            segments.append(start + rng.integers(13))
            row[segments[-1] : segments[-1] + 16] = run
        firsts.append(segments[:2])
    points = [f"blocks.{layer}.attn.hook_pattern" for layer in range(2)]
    _, seen = view.run(torch.from_numpy(tokens), capture=points)
    before = seen[points[0]][:, :, range(2, 29), range(1, 28)].mean((0, 2))
    assert before[2].item() == pytest.approx(0.85, abs=0.03)
    assert max(before[[0, 1, 3]].tolist()) < 0.12
    # query i of the second copy, key: the token after the same one in the first copy
    induced = torch.stack(
        [seen[points[1]][k][:, range(b, b + 15), range(a + 1, a + 16)].mean(1) for k, (a, b) in enumerate(firsts)]
    ).mean(0)
    assert induced.tolist() == pytest.approx([0.06, 0.45, 0.46, 0.45], abs=0.03)
