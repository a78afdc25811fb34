"""The words that a verdict may be, with all that a report needs to show one."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """A word of the JSON, and as attributes: sign, shown beside the word so that colour alone tells nothing; style of a
    terminal; rank, for a gate: higher is better news of a motif that a release is meant to have; meaning.

    >>> Verdict("inert").sign, Verdict.PRESENT.better_than(Verdict.ABSENT, news="bad")
    ('◐', False)
    """

    sign: str
    style: str
    rank: int
    meaning: str

    PRESENT = "present", "●", "green", 5, "the structure is there, beyond chance, and the model uses it"
    INERT = "inert", "◐", "yellow", 4, "the structure is there, and removing it changes nothing"
    ABSENT = "absent", "○", "dim", 3, "the structure is not there, or not beyond chance"
    INCONCLUSIVE = "inconclusive", "?", "yellow", 2, "it cannot be said; the reason tells what would settle it"
    NOT_APPLICABLE = "not_applicable", "–", "dim", 1, "the question makes no sense for this model or task"  # noqa: RUF001
    ERROR = "error", "✕", "bold red", 0, "the detector crashed"

    def __new__(cls, word: str, sign: str, style: str, rank: int, meaning: str) -> Verdict:
        member = str.__new__(cls, word)
        member._value_ = word
        member.sign, member.style, member.rank, member.meaning = sign, style, rank, meaning
        return member

    __repr__ = str.__repr__

    @property
    def settled(self) -> bool:
        """Says something of the structure, one way or the other."""
        return self.rank >= Verdict.ABSENT.rank

    @property
    def unexplained(self) -> bool:
        """Needs no sentence beside the score."""
        return self in (Verdict.PRESENT, Verdict.ABSENT)

    @property
    def short(self) -> str:
        return "n/a" if self is Verdict.NOT_APPLICABLE else self.value

    @property
    def spoken(self) -> str:
        return self.value.replace("_", " ")

    def better_than(self, other: Verdict, *, news: str) -> bool:
        """Better for a release. news: `bad` where the motif is one that a release is better without."""
        swapped = {Verdict.PRESENT: Verdict.ABSENT, Verdict.ABSENT: Verdict.PRESENT} if news == "bad" else {}
        return swapped.get(self, self).rank > swapped.get(other, other).rank
