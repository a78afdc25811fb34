"""Sequences are drawn as said, and what is asked for is what the task makes of the tokens."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import detectors
from detectors.core.errors import TaskError
from detectors.subjects.sequences.task import SequenceTask


def draw(spec, d_vocab, n_ctx, batch=20, seed=0):
    return SequenceTask.parse(spec).draw(np.random.default_rng(seed), batch, d_vocab, n_ctx)


def rows(spec, d_vocab, n_ctx, batch=64):
    """Tokens, and what is asked for by place."""
    for tokens, targets in zip(*(x.tolist() for x in draw(spec, d_vocab, n_ctx, batch)), strict=True):
        yield tokens, {place: target for place, target in enumerate(targets) if target != -100}


@given(st.integers(4, 60), st.integers(9, 60), st.integers(0, 99))
def test_a_repeated_run_settles_every_token_from_its_second_on(d_vocab, n_ctx, seed):
    tokens, targets = draw("repeat", d_vocab, n_ctx, seed=seed)
    assert tokens.shape == targets.shape == (20, n_ctx - 1)
    assert bool((tokens[:, 0] == 0).all())
    assert int(tokens[:, 1:].min()) >= 1
    assert int(tokens.max()) < d_vocab
    for row, wanted in zip(tokens.tolist(), targets.tolist(), strict=True):
        length = next(i for i, t in enumerate(wanted) if t != -100) - 1
        assert n_ctx // 4 <= length <= (n_ctx - 1) // 2
        assert wanted[:-1] == [-100] * (length + 1) + row[length + 2 :]
        assert all(row[i] == row[i - length] for i in range(1 + length, n_ctx - 1))
        if length < d_vocab:
            assert len(set(row[1 : 1 + length])) == length


def test_runs_have_many_lengths_so_that_no_fixed_offset_predicts():
    targets = draw("repeat", 48, 33, batch=400).targets
    assert set(((targets >= 0).int().argmax(1) - 1).tolist()) == set(range(8, 17))


@pytest.mark.parametrize(("spec", "answers"), [("digits:3", 4), ("sum:3", 3)])
def test_sums(spec, answers):
    for tokens, asked in rows(spec, 12, 11):
        x, y = (int("".join(map(str, tokens[k]))) for k in (slice(0, 3), slice(4, 7)))
        total = f"{x + y:0{answers}}"
        assert (tokens[3], tokens[7]) == (10, 11)
        assert asked == {7 + i: int(digit) for i, digit in enumerate(total)}
        assert tokens[8:] == [int(digit) for digit in total[:-1]]


@pytest.mark.parametrize(("kind", "more"), [("digits", 2), ("sum", 1)])
def test_sums_have_twelve_digits_at_most(kind, more):
    assert len(list(rows(f"{kind}:12", 12, 36 + more))) > 0
    with pytest.raises(TaskError, match=f"{kind}:13"):
        list(rows(f"{kind}:13", 12, 39 + more))


def test_skip_trigrams_depend_on_the_query_and_one_key_alone():
    for (*keys, query), asked in rows("skip_trigrams", 36, 5, batch=200):
        assert sorted(k % 4 for k in keys) == [0, 1, 2, 3]
        (key,) = (k for k in keys if k % 4 == query - 32)
        assert asked == {4: (key + 4) % 32}


def test_sorting():
    for tokens, asked in rows("sort:4", 12, 9):
        assert tokens[4] == 11
        assert len(set(tokens[:4])) == 4
        assert list(asked) == [4, 5, 6, 7]
        assert list(asked.values()) == sorted(tokens[:4])
        assert tokens[5:] == sorted(tokens[:4])[:-1]
    for tokens, asked in rows("sort_with_start:4", 13, 10):
        assert (tokens[0], tokens[5]) == (11, 12)
        assert list(asked.values()) == sorted(tokens[1:5])
        assert list(asked) == [5, 6, 7, 8]


def test_palindromes():
    found = list(rows("palindrome:3", 12, 8, batch=200))
    for tokens, asked in found:
        assert (tokens[0], tokens[-1]) == (10, 11)
        assert asked == {7: int(tokens == [10, *tokens[6:0:-1], 11])}
    assert 100 <= sum(asked[7] for _, asked in found) <= 125  # half, and what happens to be


def test_brackets():
    found = list(rows("brackets:8", 5, 10, batch=400))
    for tokens, asked in found:
        text = "".join("S E()"[t] for t in tokens if t != 1)
        inner = text[1:-1]
        while "()" in inner:
            inner = inner.replace("()", "")
        assert (text[0], text[-1]) == ("S", "E")
        assert asked == {0: int(inner == "")}
    balanced = np.mean([asked[0] for _, asked in found])
    assert 0.5 <= balanced <= 0.75
    assert {sum(t != 1 for t in tokens) for tokens, _ in found} == {4, 6, 8, 10}


def test_signs_of_cumulative_sums():
    for tokens, asked in rows("cumsum:6", 7, 6):
        assert [asked[i] for i in range(6)] == [1 + np.sign(sum(t - 3 for t in tokens[: i + 1])) for i in range(6)]


def test_the_first_token_that_occurs_once():
    for tokens, asked in rows("first_unique:7", 5, 7):
        for end in range(1, 7):
            read = tokens[1 : end + 1]
            assert asked[end] == next((t for t in read if read.count(t) == 1), 4)


@pytest.mark.parametrize(
    ("spec", "d_vocab", "n_ctx"),
    [
        ("repeat", 3, 20),
        ("repeat", 20, 8),
        ("digits:5", 12, 16),
        ("skip_trigrams", 30, 5),
        ("sort:9", 9, 20),
        ("palindrome:5", 9, 11),
        ("brackets:8", 6, 10),
        ("cumsum:9", 7, 8),
        ("first_unique:9", 7, 8),
        ("sum:4", 12, 12),
    ],
)
def test_a_task_says_what_it_asks_of_a_model(spec, d_vocab, n_ctx):
    with pytest.raises(detectors.DetectorsError, match="asks for"):
        draw(spec, d_vocab, n_ctx)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("digits:x", "a number"),
        ("digits", "digits:N"),
        ("repeat:3", "write repeat"),
        ("sort:0", "from 1 to"),
        ("nothing", r"repeat, skip_trigrams, digits:N"),
    ],
)
def test_specs_that_are_none(spec, said):
    with pytest.raises(detectors.DetectorsError, match=said):
        SequenceTask.parse(spec)
