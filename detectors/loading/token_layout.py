"""What a network reads for two operands: which tokens in which order, and the numbers that they have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, permutations

import torch
from jaxtyping import Int
from torch import Tensor

from detectors.core.errors import CheckpointError

_ITEM = re.compile(r"([^\s:]+?)(?::(\d{1,6}))?")
MAX_TOKENS = 8  # read for two operands


@dataclass(frozen=True)
class TokenLayout:
    """items: a name and a number each; of an operand `a` or `b` the number of its digit 0.

    >>> TokenLayout((("a", 0), ("op", 5), ("b", 0), ("=", 6))).sequence(torch.tensor([[1, 2]])).tolist()
    [[1, 5, 2, 6]]
    """

    items: tuple[tuple[str, int], ...]

    @classmethod
    def parse(cls, text: str, n_tokens: int) -> TokenLayout:
        """`a op b =`, with numbers where they are not the usual ones: `a:1 b:1 =:0`.

        >>> [str(TokenLayout.parse(text, 5)) for text in ("a op b =", "= a b", "a:1 b:1")]
        ['a op:5 b =:6', '=:5 a b', 'a:1 b:1']
        """
        found, free = [], n_tokens
        for word in text.split():
            match = _ITEM.fullmatch(word)
            if match is None:
                raise CheckpointError(f'--tokens "{text}": {word} is no token; write e.g. "a b =" or "a op:97 b =:98"')
            name, number = match[1], match[2]
            if name in "ab":
                found.append((name, int(number or 0)))
            else:
                found.append((name, free if number is None else int(number)))
                free += number is None
        if sorted(name for name, _ in found if name in "ab") != ["a", "b"] or len(found) > MAX_TOKENS:
            raise CheckpointError(f'--tokens "{text}": a and b stand there once each, and at most {MAX_TOKENS} tokens')
        return cls(tuple(found))

    def __str__(self) -> str:
        return " ".join(name if name in "ab" and not number else f"{name}:{number}" for name, number in self.items)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def operands(self) -> tuple[int, int]:
        """Positions of a and b."""
        names = [name for name, _ in self.items]
        return names.index("a"), names.index("b")

    @property
    def start(self) -> int:
        """The number of the digit 0 of the first operand, and of the answers where they are numbered alike."""
        return min(number for name, number in self.items if name in "ab")

    def first(self, operand: int) -> int:
        return self.items[self.operands[operand]][1]

    def swapped(self) -> TokenLayout:
        """b where a stands, and a where b."""
        other = {"a": "b", "b": "a"}
        return TokenLayout(tuple((other.get(name, name), number) for name, number in self.items))

    def largest(self, n_tokens: int) -> int:
        return max(number + (n_tokens - 1 if name in "ab" else 0) for name, number in self.items)

    def sequence(self, tokens: Int[Tensor, "batch operands"]) -> Int[Tensor, "batch pos"]:
        a, b = tokens.unbind(1)
        columns = {"a": a, "b": b}
        return torch.stack([columns.get(name, torch.zeros_like(a)) + number for name, number in self.items], dim=1)


_NAMES = {2: ("op", "="), 1: ("=",)}


def layouts(rows: int, n_tokens: int, lengths: list[int]) -> Iterator[tuple[int, TokenLayout]]:
    """Token layouts that a table of so many rows allows, with how unusual each is. lengths: the usual one first.

    >>> [(cost, str(layout)) for cost, layout in layouts(6, 5, [3])][:4]
    [(0, 'a b =:5'), (1, 'a:1 b:1 =:0'), (1, 'a op:5 b'), (1, '=:5 a b')]
    """
    yield from _layouts(rows, n_tokens, tuple(lengths))


@lru_cache(maxsize=64)  # asked for with every reading that is tried
def _layouts(rows: int, n_tokens: int, lengths: tuple[int, ...]) -> list[tuple[int, TokenLayout]]:
    found = []
    for place, length in enumerate(lengths):
        for at in combinations(range(length), 2):
            for unusual, starts, specials in _numbers(rows, n_tokens, length - 2):
                rest, own = list(specials), list(zip("ab", starts, strict=True))
                items = [own[at.index(i)] if i in at else (_name(i, at), rest.pop(0)) for i in range(length)]
                found.append((place + unusual + _order(at, length), TokenLayout(tuple(items))))
    return sorted(found, key=lambda pair: pair[0])


def _name(position: int, operands: tuple[int, int]) -> str:
    """`=` after both operands or before both, `op` between them."""
    return "op" if operands[0] < position < operands[1] else "="


def _order(at: tuple[int, int], length: int) -> int:
    """How unusual: operands first or around an operator, `=` last."""
    usual = {2: [(0, 1)], 3: [(0, 1)], 4: [(0, 2)], 5: [(1, 3), (0, 2)], 6: [(1, 3)]}
    return 0 if at in usual.get(length, []) else 1


def _numbers(rows: int, n_tokens: int, specials: int) -> Iterator[tuple[int, tuple[int, int], tuple[int, ...]]]:
    """How unusual, the numbers of the digits 0 of both operands, and those of the special tokens."""
    apart = rows - 2 * n_tokens
    if 0 <= apart <= 4:  # every operand has numbers of its own
        for numbers in permutations(range(2 * n_tokens, rows), specials):
            yield int(list(numbers) != sorted(numbers)), (0, n_tokens), numbers
    extra = rows - n_tokens
    for start in range(min(extra, 4) + 1):
        free = [n for n in range(rows) if not start <= n < start + n_tokens]
        near = free if len(free) <= 4 else [*free[:3], *free[-2:]]
        for numbers in permutations(near, specials):
            ascending = list(numbers) == sorted(numbers)
            first = list(numbers) == free[start : start + specials] if start == 0 else True
            yield (start > 0) + (not ascending) + (not first), (start, start), numbers
