"""The words of a verdict, and which is better news."""

from itertools import product

import pytest

from detectors.core.verdict import Verdict


def test_a_verdict_is_its_word():
    assert [*Verdict] == ["present", "inert", "absent", "inconclusive", "not_applicable", "error"]
    for word in Verdict:
        assert (str(word), repr(word), Verdict(word.value)) == (word.value, repr(word.value), word)
    with pytest.raises(ValueError, match="is not a valid"):
        Verdict("perhaps")


def test_signs_and_meanings_tell_verdicts_apart_without_colour():
    for what in ("sign", "meaning", "short", "spoken"):
        assert len({getattr(word, what) for word in Verdict}) == 6
    assert Verdict.NOT_APPLICABLE.short == "n/a"
    assert Verdict.NOT_APPLICABLE.spoken == "not applicable"
    assert Verdict.ABSENT.short == "absent"


def test_what_is_settled_and_what_wants_a_reason():
    assert [word for word in Verdict if word.settled] == ["present", "inert", "absent"]
    assert [word for word in Verdict if word.unexplained] == ["present", "absent"]


ORDERS = {  # from worst to best
    "good": ["error", "not_applicable", "inconclusive", "absent", "inert", "present"],
    "bad": ["error", "not_applicable", "inconclusive", "present", "inert", "absent"],
}


@pytest.mark.parametrize("news", ORDERS)
def test_what_is_better_for_a_release(news):
    order = ORDERS[news]
    for a, b in product(Verdict, Verdict):
        assert a.better_than(b, news=news) == (order.index(a) > order.index(b))


def test_whose_news_it_is_is_said_by_name():
    with pytest.raises(TypeError):
        Verdict.PRESENT.better_than(Verdict.ABSENT, "bad")
