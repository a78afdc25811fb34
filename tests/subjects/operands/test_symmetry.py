"""Gradient symmetricity against cosines of whole Jacobians, and its error against its spread."""

import pytest
import torch

from detectors.loading.layouts.two_embedding_mlp import TwoEmbeddingMLP
from detectors.subjects.operands import symmetry
from detectors.subjects.operands.symmetry import gradient_symmetricity
from detectors.subjects.operands.view import ModelView
from detectors.subjects.tasks import parse_task


@pytest.fixture(scope="module")
def model():
    """Untrained, with tables of its own for each operand, so that the cosines differ."""
    shapes = {"W_x": (11, 5), "W_y": (11, 5), "W": (10, 24), "W_U": (24, 11)}
    generator = torch.Generator().manual_seed(0)
    weights = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return ModelView(TwoEmbeddingMLP(weights, "gelu"), parse_task("add:11"))


def by_jacobians(model):
    """[n, n, n] the cosine of every triple."""
    n = model.group.order
    pairs = model.tokens_of(torch.arange(n * n))
    rows = model.run(pairs, capture=("hook_embed",))[1]["hook_embed"].detach()

    def logits(embedded):
        return model.run(pairs, edit={"hook_embed": lambda _: embedded})[0].sum(0)

    whole = torch.autograd.functional.jacobian(logits, rows)  # [answer, pair, operand, d]: a pair's own logits alone
    a, b = whole[:, :, 0].double(), whole[:, :, 1].double()
    return torch.nn.functional.cosine_similarity(a, b, dim=2)


def test_of_all_triples_it_is_their_mean_without_an_error(model):
    found, cosines = gradient_symmetricity(model, seed=3), by_jacobians(model)
    assert cosines.std() > 0.1
    assert found.mean == pytest.approx(float(cosines.mean()), abs=1e-6)
    assert found.error == 0
    assert gradient_symmetricity(model, seed=4).mean == pytest.approx(found.mean, abs=1e-12)


@pytest.mark.parametrize("triples", [300, 1100])
def test_its_error_is_the_spread_over_seeds(model, monkeypatch, triples):
    """Of 300 and of 1,100 of 1,331: the second is a third of what as many of any number would have."""
    monkeypatch.setattr(symmetry, "TRIPLES", triples)
    found = [gradient_symmetricity(model, seed) for seed in range(60)]
    means = torch.tensor([one.mean for one in found], dtype=torch.float64)
    error = sum(one.error for one in found) / len(found)
    assert 0.75 * error < float(means.std()) < 1.3 * error
    assert abs(float(means.mean() - by_jacobians(model).mean())) < 4 * error / len(found) ** 0.5
