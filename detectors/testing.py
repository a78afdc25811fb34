"""The conformance kit: small named checks that any detector should pass, ours or yours.

    @pytest.mark.parametrize("check", detector_checks(my_detector), ids=str)
    def test_conformance(check):
        check()

Which checks there are follows from what the detector declares. Models come from the reference zoo, or are passed in.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from detectors import testing_features, testing_heads, testing_words
from detectors.core.errors import DetectorsError, MissingPart, NotApplicable
from detectors.core.registry import Detector, spec_of
from detectors.core.score import Score
from detectors.rewire import COORDINATES, RELABELLINGS, noisy, renamed
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView

# a circuit in a transformer, with and without LayerNorm, exact ones of three kinds, and a lookup table
MODELS = ("zoo:d15_transformer", "zoo:add53_ln_gelu", "zoo:clock31", "zoo:pizza29", "zoo:cosets_s4_6", "zoo:table29")
DRAWS = 39  # the fewest with which a p-value can be 0.025, so that a check takes seconds
# in standard deviations of what it is added to: from a trace, which leaves our examples 0.8 of their values and more,
# to nothing but noise, which leaves at most 0.04; 3 is not enough, as right answers survive it
NOISE = (0.3, 1.0, 3.0, 300.0)
# between float32 rounding, which moves values of ours that count no pairs by at most 2.4e-7, and the tenths by which
# differences of large numbers move
SAME = 2e-3
# a relabelling changes the permutations drawn, and with 39 of them values of ours by at most 0.004: an order above that
NEARLY = 0.03
# what a model must have for a change of coordinates to be one, by how its name begins
ABLE: dict[str, tuple[str, Callable[[ModelView], bool]]] = {
    "head_": ("attention", lambda m: "attention" in m.parts),
    "norm_": ("normalisation", lambda m: any(name.endswith("ln_final.w") for name in m.weights)),
    "": ("logits", lambda m: "logits" in m.parts),
}
KITS: dict[str, Any] = {"sequences": testing_heads, "words": testing_words, "features": testing_features}  # by subject
OPTIONAL = {"split", "train_mask", "readout"}  # of which a view may say that they are unknown


@dataclass(frozen=True)
class Check:
    """One property of one detector; call it, and it raises AssertionError where the property does not hold."""

    name: str
    run: Callable[[], None]

    def __call__(self) -> None:
        self.run()

    def __str__(self) -> str:
        return self.name


def detector_checks(detector: Detector, /, *, models: Sequence[ModelView | str] = MODELS) -> list[Check]:
    """Checks of a detector, each able to fail alone.

    models: views, or what `detectors.load` takes; those that lack a part which the detector needs are left out, and
    the one that it scores highest is the example that is changed. Nothing is run before a check is called.

    >>> import detectors
    >>> [check.name for check in detector_checks(detectors.generalisation)[:4]]
    ['record', 'range', 'finite', 'deterministic']
    """
    kit = KITS.get(spec_of(detector).subject)
    bench = _Bench(detector, kit.MODELS if kit and models is MODELS else models)
    every, held = (SHARED + kit.EVERY, kit.invariant) if kit else (EVERY, invariant)
    free = [(f"invariant_to_{name}", partial(held, name=name)) for name in spec_of(detector).invariant_to]
    named = [(check.__name__.rstrip("_"), check) for check in every] + free
    return [Check(name, partial(check, bench)) for name, check in named]


class _Bench:
    """A detector with its models and scores, made when first asked for."""

    def __init__(self, detector: Detector, models: Sequence[ModelView | str]) -> None:
        self.detector, self.spec, self.given = detector, spec_of(detector), models

    def score(self, model: ModelView) -> Score:
        return self.detector(model, draws=DRAWS, seed=0)

    @cached_property
    def models(self) -> list[ModelView]:
        from detectors.loading.load import load

        loaded: list[Any] = [load(m) if isinstance(m, str) else m for m in self.given]
        fit = [m for m in loaded if m.kind == self.spec.subject and set(self.spec.needs) <= m.parts]
        fit = [m for m in fit if self._arises(m)]
        assert fit, f"none of the models has {', '.join(self.spec.needs)}: pass models that do"
        return fit

    def _arises(self, model: ModelView) -> bool:
        if self.spec.subject == "operands":
            return True
        try:
            self.score(model)
        except NotApplicable:  # no query has what the motif looks for
            return False
        return True

    @cached_property
    def scores(self) -> list[Score]:
        return [self.score(m) for m in self.models]

    @cached_property
    def best(self) -> Score:
        return max(self.scores, key=lambda score: score.value)

    @cached_property
    def example(self) -> ModelView:
        return self.models[self.scores.index(self.best)]


def record(bench: _Bench) -> None:
    """The decorator's record says what a reader needs: version, source, and a first line of documentation."""
    spec = bench.spec
    assert spec.name == getattr(bench.detector, "__name__", None), "the function was renamed after decoration"
    assert spec.version >= 1, "versions start at 1"
    assert spec.source, "source: the paper and section, or where the definition stands"
    assert spec.summary, "the docstring's first line is what `detectors list` shows"


def range_(bench: _Bench) -> None:
    """Values and shares lie in [0, 1], p-values in (0, 1]; the example scores more than 0.5."""
    for score in bench.scores:
        assert 0 <= score.value <= 1
        assert score.null is None or 1 / (score.null.draws + 1) <= score.null.p_value <= 1
    assert bench.best.value > 0.5, f"no model scores above {bench.best.value:.2f}: pass one that has the motif"


def finite(bench: _Bench) -> None:
    """No NaN and no infinity anywhere in a score."""

    def walk(value: Any, where: str) -> None:
        if is_dataclass(value):
            for f in fields(value):
                walk(getattr(value, f.name), f"{where}.{f.name}")
        elif isinstance(value, dict | list | tuple):
            for key, item in value.items() if isinstance(value, dict) else enumerate(value):
                walk(item, f"{where}[{key!r}]")
        elif isinstance(value, np.ndarray | torch.Tensor | np.generic):
            assert bool(np.isfinite(np.asarray(value, dtype=float)).all()), f"{where} has NaN or infinities"
        elif isinstance(value, float):
            assert math.isfinite(value), f"{where} is {value}"

    for score in bench.scores:
        walk(score, bench.spec.name)


def deterministic(bench: _Bench) -> None:
    """The same model and seed give the same score."""
    assert bench.score(bench.example).to_dict() == bench.best.to_dict()


def input_untouched(bench: _Bench) -> None:
    """Scoring changes neither weights nor logits nor the task."""
    model = bench.example

    def state() -> list[bytes]:
        arrays = [w.detach().numpy() for w in model.weights.values()]
        arrays += [model.logits().numpy(), model.task.answer, np.asarray(model.train_mask)]
        return [np.ascontiguousarray(a).tobytes() for a in arrays]

    before = state()
    bench.score(model)
    assert state() == before, "the detector wrote to what the view gave it: clone before editing in place"


def float32_is_enough(bench: _Bench) -> None:
    """Errors of the size of float32 rounding, added to all that the network computes, leave the value as it is."""
    value = bench.score(noisy(bench.example, 1e-6, seed=1)).value
    assert abs(value - bench.best.value) < SAME, f"{bench.best.value} became {value}: differences of large numbers?"


def needs_exact(bench: _Bench) -> None:
    """`needs` lists what is used and nothing else; what may be unknown may be used undeclared, and so may what the
    detector does without where `parts` lacks it.
    """
    views = [_Recording(model) for model in bench.models]
    for view in views:
        bench.score(view)
    used = set().union(*(view.used for view in views))
    needs = {"group" if need.endswith(" group") else need for need in bench.spec.needs}
    if extra := frozenset(used - needs - OPTIONAL):
        try:
            for model in bench.models:
                bench.score(_Recording(model, without=extra))
        except MissingPart:
            raise AssertionError(f"used and not declared: {', '.join(sorted(extra))}") from None
    assert needs <= used, f"declared and not used: {', '.join(sorted(needs - used))}"


def json_round_trip(bench: _Bench) -> None:
    """A score survives JSON without NaN."""
    for score in bench.scores:
        plain = score.to_dict()
        assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def no_group_is_no_crash(bench: _Bench) -> None:
    """On a task without a group: a score, or an error that says so."""
    model, said = bench.example, "a score"
    plain = Task("table:no group", model.task.answer, model.task.n_answers, None)
    try:
        bench.score(ModelView(model.network, plain, train_mask=model.train_mask))
    except DetectorsError as error:
        said = str(error)
    assert said, "an error without a word"


def noise_degrades(bench: _Bench) -> None:
    """Growing noise in all that the network computes moves the value down, and at last to half or less."""
    values = [bench.best.value] + [bench.score(noisy(bench.example, scale, seed=2)).value for scale in NOISE]
    assert all(after <= before + 0.1 for before, after in pairwise(values)), f"values under growing noise: {values}"
    assert values[-1] <= values[0] / 2, f"values under growing noise: {values}"


def permuted_tokens_are_chance(bench: _Bench) -> None:
    """Under other names for the tokens the motif is gone: low values, p-values that are not all small."""
    rng = np.random.default_rng(3)
    scores = [bench.score(renamed(bench.example, rng.permutation(bench.example.task.n_tokens))) for _ in range(8)]
    values = [s.value for s in scores]
    assert float(np.mean(values)) < bench.best.value / 4, f"values under renamed tokens: {values}"
    p_values = [s.null.p_value for s in scores if s.null is not None]
    assert not p_values or float(np.mean(p_values)) > 0.1, f"p-values under renamed tokens: {p_values}"


SHARED: tuple[Callable[[_Bench], None], ...] = (record, range_, finite, deterministic, json_round_trip)
EVERY = (
    *SHARED,
    input_untouched,
    float32_is_enough,
    needs_exact,
    no_group_is_no_crash,
    noise_degrades,
    permuted_tokens_are_chance,
)


def invariant(bench: _Bench, name: str) -> None:
    """The value does not depend on a choice of coordinates or names that the detector declares to be free."""
    known = COORDINATES | RELABELLINGS
    assert name in known, f"declares invariance to {name!r}, which the kit does not know: {', '.join(known)}"
    part, has = next((p, has) for start, (p, has) in ABLE.items() if name.startswith(start))
    able = [(s, m) for s, m in zip(bench.scores, bench.models, strict=True) if has(m)]
    assert able, f"none of the models has {part}: pass one that does, or do not declare {name}"
    before, example = max(able, key=lambda pair: pair[0].value)
    changed = bench.score(known[name](example, 4)).value
    assert abs(changed - before.value) <= (SAME if name in COORDINATES else NEARLY), f"{before.value} became {changed}"


class _Recording(ModelView):
    """A view that notes which of its parts a detector asks for; what the view asks of itself is not noted.

    without: parts that it does not have.
    """

    def __init__(self, model: ModelView, without: frozenset[str] = frozenset()) -> None:
        self.used: set[str] = set()
        self._without, self._depth = without, 1
        super().__init__(model.network, model.task, train_mask=model.train_mask)
        self._depth = 0

    @property
    def parts(self) -> frozenset[str]:
        return super().parts - self._without

    def __getattribute__(self, name: str) -> Any:
        if name not in _PARTS:
            return object.__getattribute__(self, name)
        if self._depth == 0:
            self.used |= _PARTS[name]
            if missing := _PARTS[name] & self._without:
                raise MissingPart(f"this view has no {', '.join(missing)}")

        def inside(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            self._depth += 1
            try:
                return function(*args, **kwargs)
            finally:
                self._depth -= 1

        found = inside(object.__getattribute__, self, name)
        return partial(inside, found) if name in _METHODS else found


_METHODS = ("embedding", "neurons", "preactivations", "attention", "readout", "logits", "run", "weight")
_PARTS = {name: {name} for name in (*_METHODS, "group", "train_mask", "split")}
_PARTS |= {"labels": {"group"}, "grid": {"group"}, "weight": {"weights"}, "plane": {"logits", "group"}}
