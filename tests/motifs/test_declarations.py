"""What every motif declares, held against what it does."""

import inspect

import pytest

from detectors.core.registry import builtin, load, result_of, spec_of
from detectors.judging.calibration import calibration
from models_zoo import logit_mixture, trig_mlp
from models_zoo.sequences import bench

MODEL = trig_mlp(p=11, frequencies=(3,), train_fraction=0.5)


def test_motifs_stand_in_the_order_of_a_forward_pass_with_room_between():
    assert builtin("operands") == (
        "sparse_fourier_embedding",
        "trig_product_neurons",
        "trig_logits",
        "generalisation",
        "memorisation",
        "addition_mechanism",
    )
    assert [spec_of(load(name)).order for name in builtin("operands")] == [10, 20, 30, 40, 50, 60]
    assert builtin() == builtin("operands") + builtin("sequences") + builtin("words") + builtin("features")
    assert len(set(builtin())) == len(builtin()) == 20


@pytest.mark.parametrize("name", builtin("operands"))
def test_a_call_without_arguments_draws_199_times_from_seed_0(name):
    """So that the smallest p-value is 0.005, and the same each time."""
    detector = load(name)
    score = detector(MODEL)
    assert score.null.draws == 199
    assert repr(score) == repr(detector(MODEL, draws=199, seed=0))
    noisy = logit_mixture("add:11", circuit=1.0, table=1.0, noise=1.0)
    if name not in (
        "trig_product_neurons",
        "addition_mechanism",
    ):  # whose neurons are one-hot here, each token permutation of which is alike
        assert detector(noisy, seed=1).null.mean != detector(noisy, seed=0).null.mean


@pytest.mark.parametrize("name", builtin("operands"))
def test_a_motif_declares_what_it_reports(name):
    spec, score = spec_of(load(name)), load(name)(MODEL)
    assert (score.causal is not None) == spec.causal
    assert spec.version == calibration()["rows"][name]["version"]
    assert not spec.chose or isinstance(getattr(score, spec.chose), tuple)
    assert bool(spec.axis) == (not spec.causal and spec.question == "what")
    assert result_of(load(name)) is type(score)
    assert len(inspect.getdoc(inspect.getmodule(load(name))).split("\n\n")) == 4  # what, source, score, what fools it


# a model that has each motif of heads
HAS = {
    "previous_token_heads": "induction",
    "induction_heads": "induction",
    "duplicate_token_heads": "duplicates",
    "successor_heads": "sorting",
    "mirror_heads": "mirrors",
    "digit_alignment_heads": "digits",
    "position_heads": "reversing",
    "averaging_heads": "cumulative",
    "copying_heads": "sorting",
    "copy_suppression_heads": "missing",
    "head_composition": "induction",
}


@pytest.mark.parametrize("name", builtin("sequences"))
def test_a_motif_of_heads_declares_what_it_reports(name):
    model = bench.view(f"written.{HAS[name]}/0")
    spec, score = spec_of(load(name)), load(name)(model)
    assert score.causal is not None
    assert spec.causal
    assert (score.null is not None) == spec.chance
    assert score.null is None or score.null.draws == 199
    assert score.to_dict() == load(name)(model, draws=199, seed=0).to_dict()
    assert spec.version == calibration()["rows"][name]["version"]
    assert spec.chose == "heads"
    assert spec.clause(score).endswith(f"{score.heads[0]['layer']}.{score.heads[0]['head']}") or len(score.heads) > 1
    assert score.pictures()
    assert len(inspect.getdoc(inspect.getmodule(load(name))).split("\n\n")) == 4  # what, source, score, what fools it
