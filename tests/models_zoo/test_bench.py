"""What detectors are calibrated on: what is known of each model, and whom it descends from."""

import pytest

from models_zoo import bench
from models_zoo.calibrate import work
from models_zoo.hostile import models


def test_a_model_of_the_zoo_is_known_by_its_card():
    found = bench.model(("zoo", "unread_fourier_embedding"))
    assert found.truth["sparse_fourier_embedding"] == "unused"
    assert found.truth["memorisation"] == "present"
    assert found.parent == "unread_fourier_embedding"


def hostile(name):
    index = next(i for i, m in enumerate(models()) if f"{m.family}: {m.name}" == name)
    return bench.model(("hostile", str(index)))


def test_a_hostile_model_is_present_where_no_other_word_is_right_and_never_where_present_is_wrong():
    found = hostile("rescaled neuron: add53_grokked, 10000")
    assert found.truth["trig_product_neurons"] == "present"
    assert found.truth["memorisation"] == "absent"
    assert found.parent == hostile("quantised: add53_grokked, 8 bits").parent == "add53_grokked"
    lookup = hostile("symmetric lookup: p 23, 40%")
    assert lookup.truth["memorisation"] == "present"
    assert lookup.truth["trig_logits"] == "unused"
    assert lookup.truth["generalisation"] == "absent"


def test_the_same_network_told_its_split_and_not_is_one_parent():
    names = ("symmetric lookup: p 23, 40%", "symmetric lookup: p 23, 40%, split not told")
    told, untold = map(hostile, names)
    assert told.parent == untold.parent
    assert untold.view.train_mask is None
    assert (told.told, untold.told) == (True, False)


def test_that_a_split_which_is_not_told_cannot_tell_is_no_fault_of_a_detector():
    index = next(i for i, m in enumerate(models()) if m.name == "relu_all_pairs")
    job = ("hostile", str(index))
    assert bench.model(job).truth == {"memorisation": "absent"}
    assert work(job, "", "", bench.model) == []
    told = bench.model(job)._replace(told=True)
    (counted,) = work(job, "", "", lambda _: told)
    assert counted.score is None  # which is then a false alarm


def test_a_hostile_model_of_which_nothing_is_settled_is_left_out():
    assert hostile("other task: mod 30 asked as mod 31") is None or hostile("other task: mod 30 asked as mod 31").truth
    assert any(bench.model(("hostile", str(i))) is None for i, m in enumerate(models()) if m.truth == "no_group")


@pytest.mark.parametrize("family", ["untrained", "shuffled_readout"])
def test_a_draw_is_a_parent_unless_it_is_made_from_a_network(family):
    found = bench.model(("drawn", f"{family}/3"))
    assert set(found.truth.values()) == {"absent"}
    assert found.parent.startswith("population/") == (family == "shuffled_readout")


def test_every_source_is_among_the_jobs():
    jobs = bench.jobs(2)
    assert {source for source, _ in jobs} == set(bench.BUILDERS)
    assert len(jobs) == len(set(jobs))
