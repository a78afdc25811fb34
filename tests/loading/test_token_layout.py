"""What is read for two operands, written and read back, and what a table of tokens allows."""

import pytest
import torch

from detectors.core.errors import CheckpointError
from detectors.loading.token_layout import TokenLayout, layouts


@pytest.mark.parametrize("text", ["a b", "a b =:5", "a op:5 b =:6", "=:0 a:1 b:1", "b a =:5"])
def test_a_layout_reads_as_it_is_written(text):
    assert str(TokenLayout.parse(text, 5)) == text


def test_special_tokens_follow_the_digits_unless_they_are_numbered():
    layout = TokenLayout.parse("a op b =", 5)
    assert layout.sequence(torch.tensor([[3, 4]])).tolist() == [[3, 5, 4, 6]]
    assert TokenLayout.parse("a:2 b:2 =:0", 5).sequence(torch.tensor([[0, 4]])).tolist() == [[2, 6, 0]]


@pytest.mark.parametrize("text", ["a", "a a", "a b a", "", "a: b", "a b 1 2 3 4 5 6 7"])
def test_what_is_no_layout_is_refused(text):
    with pytest.raises(CheckpointError, match="--tokens"):
        TokenLayout.parse(text, 5)


def test_every_layout_stays_within_the_table():
    for rows in range(5, 9):
        for _, layout in layouts(rows, 5, [2, 3, 4]):
            assert layout.largest(5) < rows
            special = [number for name, number in layout.items if name not in "ab"]
            assert len(set(special)) == len(special) == len(layout) - 2
            assert not set(special) & set(range(layout.start, layout.start + 5))
