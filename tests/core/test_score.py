"""Results: what is in range, what goes into a report, what comes back from one."""

import json
from dataclasses import dataclass, field

import numpy as np
import pytest

from detectors.core.score import Causal, Null, Score, for_picture, jsonable

NULL = Null(permuted="rows", draws=19, mean=0.1, p_value=0.05, smallest=0.05)
CAUSAL = Causal(necessity=1.0, sufficiency=0.0, control=None, pairs=40, basis="all_pairs")


@dataclass(frozen=True, kw_only=True, slots=True)
class Found(Score):
    names: tuple[str, ...]
    share: float = field(metadata={"key": "share_above_0.85"})
    dots: np.ndarray | None = for_picture()


FOUND = Found(value=1.0, null=NULL, causal=CAUSAL, names=("a", "b"), share=0.5, dots=np.zeros(3))


def test_evidence_is_what_the_subclass_adds_without_what_only_a_picture_needs():
    assert FOUND.evidence == {"names": ("a", "b"), "share_above_0.85": 0.5}
    assert set(FOUND.to_dict()) == {"value", "null", "causal", "remark", "unsettled", "names", "share"}
    assert Score(value=0.0, null=None, causal=None).evidence == {}


def test_a_score_comes_back_from_its_json():
    evidence = json.loads(json.dumps(jsonable(FOUND.evidence)))
    again = Found.restored(FOUND.value, NULL, CAUSAL, evidence)
    assert again.dots is None
    assert (again.value, again.null, again.causal) == (1.0, NULL, CAUSAL)
    assert (again.names, again.share) == (("a", "b"), 0.5)
    with pytest.raises(KeyError):
        Found.restored(1.0, None, None, {"names": []})


@pytest.mark.parametrize("value", [-1e-9, 1 + 1e-9, float("nan"), float("inf")])
def test_values_and_shares_lie_between_0_and_1(value):
    with pytest.raises(ValueError, match="must lie in"):
        Score(value=value, null=None, causal=None)
    for name in ("necessity", "sufficiency", "control"):
        shares = {"necessity": 0.0, "sufficiency": 1.0, "control": 0.5, name: value}
        with pytest.raises(ValueError, match=f"{name} is a share"):
            Causal(**shares, pairs=1, basis="all_pairs")


def test_the_ends_of_the_range_are_in_it():
    assert [Score(value=v, null=None, causal=None).value for v in (0.0, 1.0)] == [0.0, 1.0]
    assert Causal(necessity=0.0, sufficiency=1.0, control=1.0, pairs=1, basis="all_pairs").control == 1.0


def test_plain_json_has_no_arrays_and_no_nan():
    nasty = {1: np.array([1.5, np.nan]), "t": (np.int64(3), float("-inf")), "d": NULL, "n": None, "b": True}
    assert jsonable(nasty) == {
        "1": [1.5, None],
        "t": [3, None],
        "d": {"permuted": "rows", "draws": 19, "mean": 0.1, "p_value": 0.05, "smallest": 0.05},
        "n": None,
        "b": True,
    }
