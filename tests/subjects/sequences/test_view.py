"""Sequences are drawn as said, what is settled is settled, and the view edits a whole forward pass."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import detectors
from detectors.subjects.sequences.task import SequenceTask
from detectors.subjects.sequences.view import SequenceView
from models_zoo import induction_head


def draw(spec, d_vocab, n_ctx, batch=20, seed=0):
    return SequenceTask.parse(spec).draw(np.random.default_rng(seed), batch, d_vocab, n_ctx)


@given(st.integers(4, 60), st.integers(9, 60), st.integers(0, 99))
def test_a_repeated_run_settles_every_token_from_its_second_on(d_vocab, n_ctx, seed):
    tokens, settled = draw("repeat", d_vocab, n_ctx, seed=seed)
    assert tokens.shape == settled.shape == (20, n_ctx)
    assert bool((tokens[:, 0] == 0).all())
    assert int(tokens[:, 1:].min()) >= 1
    assert int(tokens.max()) < d_vocab
    for row, known in zip(tokens.tolist(), settled, strict=True):
        length = int(torch.nonzero(known)[0]) - 2
        assert n_ctx // 4 <= length <= (n_ctx - 1) // 2
        assert all(row[i] == row[i - length] for i in range(1 + length, n_ctx))
        if length < d_vocab:
            assert len(set(row[1 : 1 + length])) == length


def test_runs_have_many_lengths_so_that_no_fixed_offset_predicts():
    settled = draw("repeat", 48, 33, batch=400).settled
    lengths = settled.int().argmax(1) - 2
    assert set(lengths.tolist()) == set(range(8, 17))


def test_digits_are_sums():
    tokens, settled = draw("digits:3", 12, 11)
    for row, known in zip(tokens.tolist(), settled.tolist(), strict=True):
        x, y, total = (int("".join(map(str, row[k]))) for k in (slice(0, 3), slice(4, 7), slice(8, 12)))
        assert (row[3], row[7]) == (10, 11)
        assert x + y == total
        assert known == [False] * 8 + [True] * 4


def test_skip_trigrams_depend_on_the_query_and_one_key_alone():
    tokens, settled = draw("skip_trigrams", 36, 5, batch=200)
    assert settled.sum(1).tolist() == [1] * 200
    for *keys, query, answer in tokens.tolist():
        assert sorted(k % 4 for k in keys) == [0, 1, 2, 3]
        (key,) = (k for k in keys if k % 4 == query - 32)
        assert answer == (key + 4) % 32


@pytest.mark.parametrize(
    ("spec", "d_vocab", "n_ctx"), [("repeat", 3, 20), ("repeat", 20, 8), ("digits:5", 12, 16), ("skip_trigrams", 30, 5)]
)
def test_a_task_says_what_it_asks_of_a_model(spec, d_vocab, n_ctx):
    with pytest.raises(detectors.DetectorsError, match="asks for"):
        draw(spec, d_vocab, n_ctx)


def test_unknown_tasks_list_the_known():
    with pytest.raises(detectors.DetectorsError, match=r"repeat, skip_trigrams, digits:N"):
        SequenceTask.parse("digits:x")


def test_edits_and_captures_reach_the_forward_pass():
    view = induction_head(n_tokens=12, n_ctx=12)
    tokens = view.sample.tokens[:, :-1]
    point = "blocks.0.attn.hook_pattern"
    logits, seen = view.run(tokens, capture=[point])
    assert logits.shape == (len(tokens), 11, 12)
    assert seen[point].shape == (len(tokens), 1, 11, 11)
    right, _ = view.settled_figures(view.sample)
    without, _ = view.run(tokens, edit={point: lambda pattern: torch.full_like(pattern, 1 / 11)})
    answers = view.sample.tokens[:, 1:][view.sample.settled[:, 1:]]
    left = (without[view.sample.settled[:, 1:]].argmax(1) == answers).double().mean()
    assert bool(right.all())
    assert left < 0.5
    with pytest.raises(detectors.DetectorsError, match="no hook point"):
        view.run(tokens, capture=["blocks.0.mlp.hook_post"])


def test_a_network_of_two_operands_is_no_sequence_model():
    with pytest.raises(detectors.DetectorsError, match="lacks n_ctx"):
        SequenceView(detectors.load("zoo:add53_grokked").network, "repeat")
