"""Autoencoders of known geometry: how features come in training, what was kept, and what is made."""

import numpy as np
import pytest
import torch

from detectors.core.polytopes import SHAPES
from models_zoo import bench, features
from models_zoo.cards import find
from models_zoo.training_features import LEAST, cases, on_plateaus

DENSITY = torch.tensor([0.1, 0.4])[:, None, None]


def drawn(come):
    return cases(torch.Generator().manual_seed(0), (2, 20_000, 4), DENSITY, come).numpy() > 0


@pytest.mark.parametrize(
    ("come", "both"), [("alone", lambda d: d**2), ("together", lambda d: d), ("apart", lambda d: 0)]
)
def test_features_come_as_often_as_said_and_in_company_or_not(come, both):
    on = drawn(come)
    for copy, density in zip(on, (0.1, 0.4), strict=True):
        assert copy.mean(0) == pytest.approx([density] * 4, abs=0.015)
        assert (copy[:, 0] & copy[:, 1]).mean() == pytest.approx(both(density), abs=0.015)
        assert (copy[:, 1] & copy[:, 2]).mean() == pytest.approx(density**2, abs=0.015)


def test_what_was_kept_has_published_dimensionalities():
    trained = [name for name in features.names() if name.partition("/")[0] not in features.MADE]
    assert len(trained) > 300
    for name in trained:
        if features.truth(name)["superposition_geometry"] == "present":
            assert on_plateaus(features.view(name).network.W) >= LEAST


def test_plateaus_are_told_from_what_lies_between():
    pentagon, pair = torch.from_numpy(features.POLYTOPES["pentagon"]), torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert on_plateaus(pentagon) == on_plateaus(pair) == 1
    assert on_plateaus(torch.eye(4)) == 0
    assert on_plateaus(torch.cat([pair, 0.1 * torch.ones(3, 2)])) == 1  # what is ignored does not count


def test_polytopes_were_written_twice_and_agree():
    for kind, corners in SHAPES[:5]:
        ours, theirs = (np.sort(rows @ rows.T, None) for rows in (corners, features.POLYTOPES[kind]))
        assert ours == pytest.approx(theirs)


def test_a_model_is_found_by_its_name_and_known_to_the_bench():
    assert torch.equal(find("features/exact/3").network.W, features.autoencoder("exact", seed=3).network.W)
    with pytest.raises(KeyError, match="no autoencoder 'exact/999'"):
        find("features/exact/999")
    jobs = [job for job in bench.jobs(0) if bench.subject(job) == "features"]
    assert [name for _, name in jobs] == features.names()
    assert bench.model(("features", "silent/0")).truth == {"superposition_geometry": "unused"}
    assert bench.model(("features", "flipped/0")).family == bench.family(("features", "flipped/0")) == "flipped"
