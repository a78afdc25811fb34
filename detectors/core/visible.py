"""Text from files and from other people's code, as it may stand in a terminal, a log or an annotation."""

from __future__ import annotations

import re

# commands of CI runners: `::error`, read at the start of a line by GitHub, and `##[error]`, `##vso[`, `##teamcity[`,
# read wherever they stand; a line may also begin where a table is folded, so that both are broken everywhere
_COMMAND = re.compile(r":(?=:)|#(?=#\w*\[)")


def visible(text: object) -> str:
    r"""One line of what can be printed: control characters, newlines, marks that turn the direction of writing and
    halves of surrogate pairs are escaped, and so is what a CI runner reads as a command.

    >>> print(visible("a\x1b[2J\n::error::b \u202e"))
    a\x1b[2J\n\x3a:error\x3a:b \u202e
    >>> print(visible("##[error]##vso[x]"))
    \x23#[error]\x23#vso[x]
    """
    broken = _COMMAND.sub(lambda match: f"\\x{ord(match[0]):02x}", str(text))
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in broken)


def visible_lines(text: object) -> str:
    """The same of a message that has lines of its own."""
    return "\n".join(map(visible, str(text).split("\n")))
