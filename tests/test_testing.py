"""The conformance kit: ours pass it, a third party's package passes it, and a detector with a fault fails a check."""

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
import torch

import detectors
from detectors import ModelView, Score
from detectors.core.nulls import permutation_null
from detectors.core.registry import builtin, load
from detectors.rewire import noisy
from detectors.testing import NOISE, detector_checks

THIRD_PARTY = Path(__file__).parent / "thirdparty"
CHECKS = [(name, check) for name in builtin() for check in detector_checks(load(name))]


@pytest.mark.sampled(40)
@pytest.mark.parametrize(("name", "check"), CHECKS, ids=[f"{n}-{c}" for n, c in CHECKS])
def test_ours_conform(name, check):
    check()


@pytest.mark.wide
def test_a_third_party_package_is_found_runs_and_conforms():
    """Found by its entry point in a fresh process, run and reported like ours, and put through the kit."""
    code = """
import json, detectors
from detectors.core.registry import load, names
from detectors.testing import detector_checks
assert names()[-1] == "answer_lead"
for check in detector_checks(load("answer_lead")):
    check()
found = detectors.run(detectors.load("zoo:clock31"))["answer_lead"]
print(json.dumps([found.verdict, found.reason, found.score, found.evidence["lead"]]))
"""
    env = os.environ | {"PYTHONPATH": str(THIRD_PARTY)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    verdict, reason, score, lead = json.loads(done.stdout)
    assert (verdict, reason) == ("inconclusive", "this detector has no calibrated threshold")
    assert score == min(1.0, 3 * lead / 31**0.5)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lead(Score):
    extra: float = 0.0


def lead(model: ModelView, *, draws: int, seed: int) -> Lead:
    """A sound detector to put faults into: how often the model answers by the table, beyond chance."""
    rows, answers = model.grid.reshape(-1), torch.from_numpy(model.labels.answers)
    predicted = model.logits()[rows].argmax(1)
    table = torch.from_numpy(model.group.table.reshape(-1))
    right = float((predicted == answers[table]).double().mean())
    generator = torch.Generator().manual_seed(seed)
    shuffled = [answers[torch.randperm(model.group.order, generator=generator)][table] for _ in range(draws)]
    null = torch.stack([(predicted == s).double().mean() for s in shuffled])
    return Lead(value=right, null=permutation_null(right, null, "answers"), causal=None)


def made(function, needs=("logits", "group"), **record):
    function.__name__, function.__doc__ = "made", "A detector made for this test."
    return detectors.detector(**{"needs": needs, "version": 1, "source": "here", **record})(function)


def sound(model, /, *, draws, seed):
    return lead(model, draws=draws, seed=seed)


CALLS = iter(range(10**6))


def forgetful(model, /, *, draws, seed):
    return replace(lead(model, draws=draws, seed=seed), extra=float(next(CALLS)))


def writing(model, /, *, draws, seed):
    found = lead(model, draws=draws, seed=seed)
    model.logits()[0] += 1
    return found


def not_a_number(model, /, *, draws, seed):
    return replace(lead(model, draws=draws, seed=seed), extra=float("nan"))


def constant(model, /, *, draws, seed):
    return replace(lead(model, draws=draws, seed=seed), value=1.0)


def never_present(model, /, *, draws, seed):
    return replace(lead(model, draws=draws, seed=seed), value=0.0)


def crashing_without_a_group(model, /, *, draws, seed):
    if model.task.labels is None:
        raise AttributeError("labels")
    return lead(model, draws=draws, seed=seed)


def reading_more(model, /, *, draws, seed):
    model.neurons()
    return lead(model, draws=draws, seed=seed)


def reading_what_there_is(model, /, *, draws, seed):
    if "neurons" in model.parts:
        model.neurons()
    return lead(model, draws=draws, seed=seed)


def of_the_largest_neuron(model, /, *, draws, seed):
    power = model.neurons().double().var(0)
    return replace(lead(model, draws=draws, seed=seed), value=float(power.max() / power.sum()))


def of_one_coordinate(model, /, *, draws, seed):
    first = model.embedding(0)[:, 0].double()
    found = lead(model, draws=draws, seed=seed)
    return replace(found, value=found.value * float(first.abs().max() / (1 + first.abs().max())))


def of_the_first_token(model, /, *, draws, seed):
    found = lead(model, draws=draws, seed=seed)
    first = (
        model.logits()[int(model.grid[0, 0])].double().softmax(0)[int(model.labels.answers[model.group.table[0, 0]])]
    )
    return replace(found, value=found.value * float(first))


def of_cancelling_numbers(model, /, *, draws, seed):
    found = lead(model, draws=draws, seed=seed)
    return replace(found, value=found.value * float(abs((1e7 * model.logits().double().mean()) % 1)))


FAULTS = {
    "deterministic": forgetful,
    "input_untouched": writing,
    "finite": not_a_number,
    "noise_degrades": constant,
    "permuted_tokens_are_chance": constant,
    "range": never_present,
    "no_group_is_no_crash": crashing_without_a_group,
    "needs_exact": reading_more,
    "float32_is_enough": of_cancelling_numbers,
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_fails_its_check(name):
    checks = {c.name: c for c in detector_checks(made(FAULTS[name]), models=["zoo:clock31", "zoo:d15_transformer"])}
    with pytest.raises((AssertionError, AttributeError)):
        checks[name]()


@pytest.mark.parametrize("name", [*FAULTS, "record", "json_round_trip"])
def test_a_sound_detector_passes_the_same_checks(name):
    checks = {c.name: c for c in detector_checks(made(sound), models=["zoo:clock31", "zoo:d15_transformer"])}
    checks[name]()


@pytest.mark.parametrize(
    ("check", "moved", "found"),
    [
        ("float32_is_enough", 2.4e-6, False),  # ten times what rounding does
        ("float32_is_enough", 0.01, True),
        ("invariant_to_logit_scale", 2.4e-6, False),
        ("invariant_to_logit_scale", 0.01, True),
        ("invariant_to_token_shift", 0.004, False),  # as much as other permutations do
        ("invariant_to_token_shift", 0.1, True),
    ],
)
def test_how_much_a_value_may_move(check, moved, found):
    calls = iter(range(10))

    def slipping(model, /, *, draws, seed):
        return Lead(value=0.9 - moved * (next(calls) > 0), null=None, causal=None)

    detector = made(slipping, invariant_to=("logit_scale", "token_shift"))
    checks = {c.name: c for c in detector_checks(detector, models=["zoo:clock31"])}
    with pytest.raises(AssertionError, match="became") if found else nullcontext():
        checks[check]()


def test_noise_goes_from_a_trace_to_nothing_but_noise():
    """Of right answers, among 31: more than the half that the most noise may leave, and as many as by chance."""
    model = detectors.load("zoo:clock31")
    right = [lead(noisy(model, scale, seed=2), draws=1, seed=0).value for scale in (NOISE[0], NOISE[-1])]
    assert right[0] > 0.5
    chance = 1 / 31
    assert abs(right[1] - chance) < 5 * (chance * (1 - chance) / 31**2) ** 0.5  # of 31 * 31 answers


@pytest.mark.parametrize(
    ("invariance", "function", "needs"),
    [
        ("residual_rotation", of_one_coordinate, ("logits", "group", "embedding")),
        ("embedding_scale", of_one_coordinate, ("logits", "group", "embedding")),
        ("logit_scale", of_the_first_token, ("logits", "group")),
        ("neuron_scale", of_the_largest_neuron, ("logits", "group", "neurons")),
        ("gravity", sound, ("logits", "group")),
    ],
)
def test_an_invariance_that_does_not_hold_is_found(invariance, function, needs):
    detector = made(partial(function), needs=needs, invariant_to=(invariance,))
    checks = {c.name: c for c in detector_checks(detector, models=["zoo:pizza29"])}
    with pytest.raises(AssertionError):
        checks[f"invariant_to_{invariance}"]()


def test_declared_and_not_used_is_found():
    detector = made(partial(sound), needs=("logits", "group", "embedding"))
    checks = {c.name: c for c in detector_checks(detector, models=["zoo:clock31"])}
    with pytest.raises(AssertionError, match="declared and not used: embedding"):
        checks["needs_exact"]()


def test_what_a_detector_does_without_need_not_be_declared():
    {c.name: c for c in detector_checks(made(reading_what_there_is), models=["zoo:clock31"])}["needs_exact"]()


def test_models_that_lack_what_is_needed_are_left_out_and_none_is_said():
    checks = list(detector_checks(made(partial(sound), needs=("logits", "attention")), models=["zoo:clock31"]))
    with pytest.raises(AssertionError, match="none of the models has logits, attention"):
        checks[1]()
