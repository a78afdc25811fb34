"""Heads count where what they write is read: decoys that do a motif's work elsewhere, or undo each other."""

import numpy as np
import pytest
import torch

import detectors
import models_zoo
from detectors.subjects.sequences.generators import NOTHING
from models_zoo.sequences.blocks import Blocks, model, task_of

TOKENS, PLACES, LAST = 20, 16, 19


def looks_up(by_place, by_token=None):
    """One layer, asked at the last place alone, where a head looks up the one high token of the sequence by content.
    by_place, by_token: what it does besides, at the places before.
    """

    def make(rng, batch):
        tokens = rng.integers(1, 10, size=(batch, PLACES))
        tokens[:, 0] = 0
        high = rng.integers(10, LAST, size=batch)
        tokens[np.arange(batch), rng.integers(1, PLACES - 1, size=batch)] = high
        tokens[:, -1] = LAST
        targets = np.full((batch, PLACES), NOTHING)
        targets[:, -1] = high
        return tokens, targets

    blocks = Blocks(TOKENS, PLACES, TOKENS)
    content = torch.zeros(TOKENS, TOKENS) if by_token is None else by_token
    content[LAST, 10:LAST] = 1.0
    head = (blocks.scores(content, by_place), blocks.writes(torch.eye(TOKENS)))
    rng = np.random.default_rng(0)
    return model(task_of("high", make), blocks, [head], 4 * torch.eye(TOKENS), torch.zeros(TOKENS), rng, 12.0)


def before():
    """Scores of the place before, of all queries but the last."""
    found = torch.zeros(PLACES, PLACES)
    found[torch.arange(1, PLACES - 1), torch.arange(PLACES - 2)] = 1.0
    return found


def copies():
    """Scores of equal tokens, a little of the start where there are none."""
    found = torch.eye(TOKENS)
    found[0], found[:, 0] = 0, 0.5
    found[LAST] = 0
    return found


@pytest.mark.parametrize(
    ("view", "motif"),
    [
        (lambda: looks_up(before()), "previous_token_heads"),
        (lambda: looks_up(-2 * torch.eye(PLACES), copies()), "duplicate_token_heads"),
        (lambda: looks_up(10 * before()), "position_heads"),
    ],
    ids=["previous", "copies", "places"],
)
def test_what_a_head_of_the_last_layer_does_where_nothing_is_asked_is_no_motif(view, motif):
    report = detectors.run(view(), names=[motif])
    assert report.accuracy.all == 1
    assert report[motif].verdict == "absent"


def test_in_a_layer_before_the_last_all_queries_count():
    """Of an induction model the previous-token head is heard by the next layer, where nothing is asked too."""
    assert detectors.previous_token_heads(models_zoo.induction_head(n_tokens=12, n_ctx=16)).value > 0.9


def test_heads_that_undo_each_other_are_inert():
    """One that says its own token does it all; two more look at the place before and write +8 x and -8 x."""

    def make(rng, batch):
        tokens = rng.integers(1, TOKENS, size=(batch, PLACES))
        tokens[:, 0] = 0
        targets = tokens.copy()
        targets[:, 0] = NOTHING
        return tokens, targets

    blocks, says = Blocks(TOKENS, PLACES, TOKENS), torch.eye(TOKENS)
    says[0] = 0
    own = blocks.scores(by_place=torch.eye(PLACES))
    previous = blocks.scores(by_place=torch.eye(PLACES).roll(-1, 1).tril(-1))
    heads = [(own, blocks.writes(says)), (previous, blocks.writes(8 * says)), (previous, blocks.writes(-8 * says))]
    rng = np.random.default_rng(0)
    view = model(task_of("own", make), blocks, heads, 4 * torch.eye(TOKENS), torch.zeros(TOKENS), rng, 25.0)
    found = detectors.run(view, names=["previous_token_heads"])["previous_token_heads"]
    assert found.score > 0.9
    assert (found.verdict, found.causal.necessity) == ("inert", pytest.approx(0, abs=0.01))
