"""How much of what a network computes it computes under another reading of its file too.

The share R^2 = <x, y>^2 / (|x|^2 |y|^2) of x under one, y under the other, over pairs from all over the table: of the
centred logits, and of the neurons of every layer about their means, weighted by what they do to the logits. The least
of them is the likeness.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from detectors.core.nulls import subset
from detectors.subjects.operands.effects import effects
from detectors.subjects.operands.view import ModelView

PAIRS = 4096  # of which it is a mean


def likeness(model: ModelView, other: ModelView) -> float:
    """Of two networks with the same weights: 1 where they compute the same, 0 where nothing that one does tells what
    the other does.
    """
    domain = torch.from_numpy(model.task.domain)
    tokens = model.tokens_of(domain[subset(len(domain), PAIRS, 0)])
    layers = model.neuron_layers
    hooks = [f"blocks.{layer}.mlp.hook_post" for layer in layers]
    with torch.no_grad():
        (logits, own), (others, theirs) = (view.run(tokens, capture=hooks) for view in (model, other))
    found = [_share(*(x.double() - x.double().mean(1, keepdim=True) for x in (logits, others)))]
    for layer, hook in zip(layers, hooks, strict=True):
        pair = (x[hook].double().reshape(len(tokens), -1, x[hook].shape[-1])[:, -1] for x in (own, theirs))
        weights = effects(model, layer).sqrt()
        found.append(_share(*((x - x.mean(0)) * weights for x in pair)))
    return min(found)


def _share(x: Float[Tensor, "pairs k"], y: Float[Tensor, "pairs k"]) -> float:
    power = float(x.square().sum() * y.square().sum())
    return float((x * y).sum()) ** 2 / power if power > 0 else float(torch.equal(x, y))
