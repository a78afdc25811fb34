"""The conformance kit for motifs of attention heads; `detectors.testing.detector_checks` picks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from detectors.core.errors import NotApplicable
from detectors.core.heads import Heads
from detectors.rewire_heads import COORDINATES, blurred

# one model for each motif of ours, whose heads were written down
MODELS = tuple(
    f"zoo:sequences/written.{which}"
    for which in (
        *("induction/2", "duplicates/0", "sorting/1", "mirrors/0"),
        *("cumulative/0", "reversing/0", "digits/1", "missing/0"),
    )
)
SAME = 5e-3  # float32 in another order of summation moves values by 1e-6; a rounded p-value is not compared
LOUD = 30.0  # noise in standard deviations of the weights, which leaves nothing of any of ours


def input_untouched(bench: Any) -> None:
    """Scoring changes no weight."""
    model = bench.example
    before = {k: w.clone() for k, w in model.weights.items()}
    bench.score(model)
    assert all(torch.equal(w, before[k]) for k, w in model.weights.items()), "the detector wrote to the weights"


def heads_are_the_models(bench: Any) -> None:
    """Every head that is listed is one of the model, the strongest first, with a score, and a p-value where there is a
    null.
    """
    for score, model in zip(bench.scores, bench.models, strict=True):
        assert isinstance(score, Heads), "a motif of heads returns detectors.core.heads.Heads"
        values = [head["score"] for head in score.heads]
        assert values == sorted(values, reverse=True)
        assert score.heads_looked_at == model.network.n_layers * model.n_heads
        for head in score.heads:
            assert 0 <= head["layer"] < model.network.n_layers
            assert 0 <= head["head"] < model.n_heads
            assert (head["p_value"] is None) == (not bench.spec.chance)


def shuffled_weights_are_no_motif(bench: Any) -> None:
    """Under noise that is louder than the weights the cause is gone: nothing is right that could be lost."""
    try:
        score = bench.score(blurred(bench.example, LOUD, seed=2))
    except NotApplicable:
        return
    assert score.causal is None or score.causal.necessity < 0.5, f"necessity {score.causal} of nothing but noise"


def invariant(bench: Any, name: str) -> None:
    """The value does not depend on a choice of coordinates that the detector declares to be free."""
    assert name in COORDINATES, f"declares invariance to {name!r}; the kit for heads knows {', '.join(COORDINATES)}"
    changed = bench.score(COORDINATES[name](bench.example, 4)).value
    assert abs(changed - bench.best.value) <= SAME, f"{bench.best.value} became {changed}"


EVERY: tuple[Callable[[Any], None], ...] = (input_untouched, heads_are_the_models, shuffled_weights_are_no_motif)
