"""A verdict for each head and one for the motif."""

import pytest

from detectors.core.heads import Heads, label, spoken
from detectors.core.registry import Spec
from detectors.core.score import Causal, Null
from detectors.judging.heads import judged

SPEC = Spec(needs=(), version=1, source="x", name="some_heads")
ROW = {"version": 1, "threshold": 0.3}
USED = Causal(necessity=0.9, sufficiency=1.0, control=0.0, pairs=100, basis="asked_tokens", p_value=0.0)
UNUSED = Causal(necessity=0.0, sufficiency=1.0, control=0.0, pairs=100, basis="asked_tokens", p_value=1.0)
NULL = Null(permuted="x", draws=999, mean=0.0, p_value=0.001, smallest=0.001)


def head(number, score, p=0.001, **more):
    return {"layer": 0, "head": number, "score": score, "p_value": p, "positions": [], **more}


def heads(*entries, causes, value=0.9):
    return Heads(value=value, null=NULL, causal=causes[0][0], heads=entries, heads_looked_at=9, causes=causes)


def verdicts(score, p=0.005):
    verdict, kept = judged(SPEC, score, p, ROW)
    return str(verdict.verdict), {label(h): h["verdict"] for h in kept.heads}


def test_each_head_has_its_own_verdict_and_absent_ones_are_left_out():
    score = heads(head(0, 0.9), head(1, 0.5), head(2, 0.2), causes=((UNUSED,), (USED,), (USED,)))
    assert verdicts(score) == ("present", {"0.0": "inert", "0.1": "present"})
    assert verdicts(heads(head(0, 0.9), head(1, 0.5), causes=((UNUSED,), (None,)))) == (
        "inert",
        {"0.0": "inert", "0.1": "inconclusive"},
    )
    assert verdicts(heads(head(0, 0.2), causes=((USED,),), value=0.2)) == ("absent", {})


def test_the_cause_is_that_of_the_head_that_decides():
    """The strongest head's would say beside `present` that nothing is lost without it."""
    score = heads(head(0, 0.9), head(1, 0.5), causes=((UNUSED,), (USED,)))
    assert judged(SPEC, score, 0.005, ROW)[1].causal is USED
    assert judged(SPEC, heads(head(0, 0.9), causes=((UNUSED,),)), 0.005, ROW)[1].causal is UNUSED
    plain = Heads(value=0.9, null=NULL, causal=USED, heads=(head(0, 0.9),), heads_looked_at=9)
    assert judged(SPEC, plain, 0.005, ROW)[1].causal is USED


def test_a_head_is_held_to_its_own_p_value_and_the_motifs_after_holm():
    score = heads(head(0, 0.9), head(1, 0.5, p=0.06), causes=((USED,), (USED,)))
    assert verdicts(score) == ("present", {"0.0": "present"})
    rare = Null(permuted="x", draws=999, mean=0.0, p_value=0.03, smallest=0.001)
    score = Heads(
        value=0.9, null=rare, causal=USED, heads=(head(0, 0.9, p=0.03),), heads_looked_at=9, causes=((USED,),)
    )
    assert verdicts(score, p=0.04) == ("present", {"0.0": "present"})
    assert verdicts(score, p=0.2) == ("absent", {})


def test_places_have_verdicts_of_their_own():
    places = [{"place": 0, "score": 0.9, "p_value": 0.001}, {"place": -1, "score": 0.4, "p_value": 0.001}]
    score = heads(head(0, 0.9, places=places), causes=((UNUSED, USED),))
    verdict, kept = judged(SPEC, score, 0.005, ROW)
    assert [p["verdict"] for p in kept.heads[0]["places"]] == ["inert", "present"]
    assert (verdict.verdict, kept.heads[0]["verdict"]) == ("present", "present")
    assert "head 0.0, place -1" in verdict.reason


def test_a_motif_that_no_permutation_separates_is_judged_by_value_and_cause():
    spec = Spec(needs=(), version=1, source="x", name="some_heads", chance=False)
    for cause, word in ((USED, "present"), (UNUSED, "inert"), (None, "inconclusive")):
        score = Heads(
            value=0.9, null=None, causal=cause, heads=(head(0, 0.9, p=None),), heads_looked_at=1, causes=((cause,),)
        )
        assert judged(spec, score, None, ROW)[0].verdict == word
    assert judged(SPEC, Heads(value=0.9, null=None, causal=USED, heads=(head(0, 0.9, p=None),), heads_looked_at=1),
                  None, ROW)[0].verdict == "inconclusive"  # fmt: skip


def test_sufficiency_is_asked_for_where_it_is_known():
    for kept, word in ((None, "present"), (0.1, "inconclusive")):
        cause = Causal(necessity=0.9, sufficiency=kept, control=0.0, pairs=99, basis="asked_tokens", p_value=0.0)
        assert verdicts(heads(head(0, 0.9), causes=((cause,),)))[0] == word


def test_the_clause_names_what_is_present():
    score = heads(head(0, 0.9, verdict="inert"), head(1, 0.5, verdict="present"), causes=((None,), (None,)))
    assert spoken("induction")(score) == "induction by head 0.1"


@pytest.mark.parametrize("field", ["heads", "heads_looked_at", "group"])
def test_evidence_has_no_arrays(field):
    assert field in heads(head(0, 0.9), causes=((USED,),)).evidence
    assert {"causes", "seen"}.isdisjoint(heads(head(0, 0.9), causes=((USED,),)).evidence)
