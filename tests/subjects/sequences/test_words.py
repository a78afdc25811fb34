"""What is asked of a text, and how words come again."""

from itertools import pairwise

import numpy as np
import pytest

from detectors.core.errors import TaskError
from detectors.subjects.sequences.words import WINDOW, repeats, windows


def test_of_a_text_is_asked_what_follows_a_pair_that_stood_there_before():
    text = np.random.default_rng(0).integers(2, 12, 8 * (WINDOW - 1)).tolist()
    tokens, targets = windows(text, bos=1)(np.random.default_rng(0), 32, 12, 512)
    assert tokens.shape == (8, WINDOW)
    for row, wanted in zip(tokens.tolist(), targets.tolist(), strict=True):
        pairs = list(pairwise(row))
        assert wanted[:-1] == [row[i + 1] if pairs[i] in pairs[:i] else -100 for i in range(WINDOW - 1)]
        assert wanted[-1] == -100
    with pytest.raises(TaskError, match="1016 are needed"):
        windows(text[:-1], bos=1)


@pytest.mark.parametrize(("words", "n_ctx", "length"), [(40, 512, 61), (500, 40, 39)])
def test_short_contexts_and_small_vocabularies_have_fewer(words, n_ctx, length):
    tokens, targets = repeats(np.arange(5, 5 + words), bos=1)(np.random.default_rng(0), 4, 600, n_ctx)
    assert tokens.shape[1] <= min(length, n_ctx)
    assert bool((targets >= 0).any(1).all())
    with pytest.raises(TaskError, match="31 tokens and 20 words"):
        repeats(np.arange(19), bos=1)(np.random.default_rng(0), 4, 600, 512)
    repeats(np.arange(20), bos=None)(np.random.default_rng(0), 4, 600, 31)
