"""What every motif declares, held against what it does."""

import inspect

import pytest

import detectors
from detectors.core.groups import Group
from detectors.core.registry import builtin, load, result_of, spec_of
from detectors.judging.calibration import calibration
from models_zoo import coset_network, logit_mixture, trig_mlp
from models_zoo.sequences import bench

MODEL = trig_mlp(p=11, frequencies=(3,), train_fraction=0.5)
COSETS = coset_network(Group.from_name("S4"), 6, train_fraction=0.5)
NOISY = {  # a model without structure, that permutations move
    "trig_product_neurons": "add53_mlp_untrained",
    "addition_mechanism": "add53_mlp_untrained",
    "coset_neurons": "s4_mlp_untrained",
    "single_irrep_neurons": "s4_mlp_untrained",
    "neuron_phase_law": "add53_mlp_untrained",
}


def has(name):
    return COSETS if "non-abelian group" in spec_of(load(name)).needs else MODEL


def test_motifs_stand_in_the_order_of_a_forward_pass_with_room_between():
    assert builtin("operands") == (
        "sparse_fourier_embedding",
        "trig_product_neurons",
        "trig_logits",
        "generalisation",
        "memorisation",
        "addition_mechanism",
        "coset_neurons",
        "single_irrep_neurons",
        "neuron_phase_law",
    )
    assert [spec_of(load(name)).order for name in builtin("operands")] == list(range(10, 100, 10))
    assert builtin() == builtin("operands") + builtin("sequences") + builtin("words") + builtin("features")
    assert len(set(builtin())) == len(builtin()) == 23


@pytest.mark.parametrize("name", builtin())
def test_draws_and_seed_are_by_name_and_the_same_of_all(name):
    asked = inspect.signature(load(name)).parameters
    assert {key: p.default for key, p in asked.items() if p.kind is p.KEYWORD_ONLY} == {"draws": 199, "seed": 0}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", builtin("operands"))
def test_a_call_without_arguments_draws_199_times_from_seed_0(name):
    """So that the smallest p-value is 0.005, and the same each time."""
    detector = load(name)
    score = detector(has(name))
    assert score.null.draws == 199
    assert repr(score) == repr(detector(has(name), draws=199, seed=0))
    known = NOISY.get(name)
    noisy = detectors.load(f"zoo:{known}") if known else logit_mixture("add:11", circuit=1.0, table=1.0, noise=1.0)
    assert detector(noisy, seed=1).null.mean != detector(noisy, seed=0).null.mean


@pytest.mark.parametrize("name", builtin("operands"))
def test_a_motif_declares_what_it_reports(name):
    spec, score = spec_of(load(name)), load(name)(has(name))
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


@pytest.mark.sampled(4)
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
