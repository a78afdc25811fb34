"""Members of the zoo that grokked, damaged in steps: what they still answer decides what a verdict may be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from detectors.subjects.operands.view import ModelView
from models_zoo import tabulated
from models_zoo.decoys import _rebuilt, trained
from models_zoo.hostile.truth import Hostile

MEMBERS = ("add53_grokked", "add53_mlp")
Matrix = Callable[[Tensor], Tensor]


def perturbed() -> Iterator[Hostile]:
    return (model._replace(parent=of) for of in MEMBERS for model in _perturbed(of))


def _perturbed(of: str) -> Iterator[Hostile]:
    for scale in (0.05, 0.1, 0.2, 0.3, 0.5, 1.0):
        yield Hostile("noise on weights", f"{of}, {scale}", partial(noisy_weights, of=of, scale=scale))
    for bits in (8, 6, 4, 3, 2):
        yield Hostile("quantised", f"{of}, {bits} bits", partial(each_matrix, of=of, change=quantised(bits)))
    for share in (0.25, 0.5, 0.75, 0.9):
        yield Hostile("pruned", f"{of}, {share:.0%}", partial(each_matrix, of=of, change=pruned(share)))
    for steps in (10, 40, 150):
        yield Hostile("random labels", f"{of}, {steps} steps", partial(fine_tuned, of=of, steps=steps))
    for factor in (1e4, 1e-4):
        name = f"{of}, {factor:g}"
        yield Hostile("rescaled neuron", name, partial(rescaled, of=of, factor=factor), "zoo_grokked")
    yield Hostile("rescaled neuron", f"{of}, all their own", partial(rescaled, of=of, factor=None), "zoo_grokked")


def noisy_weights(*, of: str, scale: float, seed: int = 0) -> ModelView:
    """Every matrix W + scale * std(W) * normal noise."""
    generator = torch.Generator().manual_seed(seed)
    return each_matrix(of=of, change=lambda w: w + scale * w.std() * torch.randn(w.shape, generator=generator))


def each_matrix(*, of: str, change: Matrix) -> ModelView:
    """The member with every matrix changed; vectors stay."""
    view, weights = trained(of)
    return _rebuilt(view, {k: change(w) if w.ndim > 1 else w for k, w in weights.items()})


def quantised(bits: int) -> Matrix:
    """Rounded to 2^bits - 1 levels of equal distance, from -max|W| to max|W|."""
    levels = 2 ** (bits - 1) - 1
    return lambda w: (w / w.abs().max() * levels).round() / levels * w.abs().max()


def pruned(share: float) -> Matrix:
    """The smallest entries set to 0."""
    return lambda w: torch.where(w.abs() >= w.abs().flatten().quantile(share), w, torch.zeros(()))


def fine_tuned(*, of: str, steps: int, pairs: int = 100, seed: int = 0) -> ModelView:
    """Adam, without decay, on random labels of a few random pairs, which are its training pairs then."""
    view, weights = trained(of)
    generator = torch.Generator().manual_seed(seed)
    n = view.task.n_tokens
    chosen = torch.randperm(n * n, generator=generator)[:pairs]
    labels = torch.randint(view.task.n_answers, (pairs,), generator=generator)
    net = _rebuilt(view, {k: w.requires_grad_() for k, w in weights.items()}).network
    optimizer = torch.optim.Adam(weights.values(), lr=2e-4)
    for _ in range(steps):
        logits = tabulated.forward(net, torch.stack([chosen // n, chosen % n], 1))[:, : view.task.n_answers]
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits, labels).backward()
        optimizer.step()
    mask = np.zeros(n * n, dtype=bool)
    mask[chosen.numpy()] = True
    tuned = _rebuilt(view, {k: w.detach() for k, w in weights.items()})
    return ModelView(tuned.network, view.task, train_mask=mask)


def rescaled(*, of: str, factor: float | None, seed: int = 0) -> ModelView:
    """The same network, a ReLU neuron's input weights times a factor and its output weights over it: the neuron of most
    variance, or for None every neuron by a factor of its own, log-uniform from 1e-3 to 1e3.
    """
    view, weights = trained(of)
    m = view.neurons().shape[1]
    factors = torch.ones(m)
    if factor is None:
        factors = 10 ** (6 * torch.rand(m, generator=torch.Generator().manual_seed(seed)) - 3)
    else:
        factors[view.neurons().var(0).argmax()] = factor
    into, bias, out = next(
        names
        for names in (("W", "b_in", "W_U"), ("blocks.0.mlp.W_in", "blocks.0.mlp.b_in", "blocks.0.mlp.W_out"))
        if names[0] in weights
    )
    weights[into], weights[out] = weights[into] * factors, weights[out] / factors[:, None]
    if bias in weights:
        weights[bias] = weights[bias] * factors
    return _rebuilt(view, weights)
