"""What each neuron of a layer does to the logits, whatever its unit.

A neuron times 1e4 whose output weights are divided by it is the same neuron, so its weight is its power over the pairs
times its effect: the squared norm of its row of the readout, centred over the answers. Where the rest of the network is
not linear that row is the derivative of the centred logits, and its squared norm a mean over pairs, estimated by
random signs over the answers (Hutchinson, Communications in Statistics 18, 1989). Neurons that cancel each other have
none (see `idle`), and what they do on a few pairs alone counts little (see `loud`).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from detectors.core.device import gradient
from detectors.core.nulls import subset
from detectors.subjects.operands.idle import idle
from detectors.subjects.operands.loud import ROWS, heard, quieted
from detectors.subjects.operands.once import once
from detectors.subjects.operands.view import ModelView

# The estimate of an effect has a relative error of sqrt(2 / (256 * 8)) = 3%, and of their weighted mean much less.
PROBED, PROBES = 256, 8
PAIRS = 2048  # for inner products of what neurons add
POWER_ALONE = "power alone, since nothing is known of what they do to the logits (no gradient reaches them)"
ROUNDING = 1e-5  # of a preactivation's largest value: sums of float32 in another order


def effects(model: ModelView, layer: int) -> Float[Tensor, " m"]:
    """[m] squared norm of what a neuron adds to the centred logits, per unit of its own; ones where that is unknown."""
    found = known_effects(model, layer)
    return torch.ones(model.neurons(layer).shape[1], dtype=torch.float64) if found is None else found


@once
def effects_before(model: ModelView, layer: int) -> Float[Tensor, " m"]:
    """[m] the same per unit of the preactivation: the effect times the power of the neuron over that of its
    preactivation.
    """
    power, own = (_variance(model, x) for x in (model.preactivations(layer), model.neurons(layer)))
    return effects(model, layer) * own / power.clamp_min(torch.finfo(torch.float64).tiny)


def _variance(model: ModelView, neurons: Float[Tensor, "pairs m"]) -> Float[Tensor, " m"]:
    """Over the pairs that have an answer, in parts that a processor keeps at hand: a third of the time of one."""
    domain = torch.from_numpy(model.task.domain)
    some = domain.split(ROWS)
    mean = torch.stack([neurons.index_select(0, k).double().sum(0) for k in some]).sum(0) / len(domain)
    return torch.stack([(neurons.index_select(0, k) - mean).square().sum(0) for k in some]).sum(0) / len(domain)


@once
def known_effects(model: ModelView, layer: int) -> Float[Tensor, " m"] | None:
    """[m] `effects`; None where they are nothing for all neurons, or where the network is not differentiable. Rounding
    of what a neuron adds to all answers alike is nothing.
    """
    readout = model.readout(layer)
    added = _derivatives(model, layer) if readout is None else _linear(model, layer, readout.double())
    found = torch.where(added.raised > ROUNDING**2 * added.alike, added.raised, 0.0)
    found = torch.where(idle(added.gram), 0.0, found)
    found = found * quieted(model.neurons(layer), torch.from_numpy(model.task.domain), found)
    return found if bool((found > 0).any()) else None


@once
def embedded_effects(model: ModelView) -> Float[Tensor, " d"] | None:
    """[d] `effects_before` of the first neurons, where the embeddings add up to their preactivations. None where
    something lies between.
    """
    if not {"neurons", "preactivations"} <= model.parts or model.neuron_layers[0] != 0:
        return None
    left, right = (model.embedding(operand) for operand in range(2))
    before = model.preactivations(0)
    if before.shape[1] != left.shape[1]:
        return None
    largest, total = torch.zeros(before.shape[1]), torch.zeros(before.shape[1], dtype=torch.float64)
    most, least = torch.full_like(largest, -torch.inf), torch.full_like(largest, torch.inf)
    for k in torch.from_numpy(model.task.domain).split(ROWS):
        a, b = model.tokens_of(k).unbind(1)
        own = before.index_select(0, k)
        rest = own - left.index_select(0, a) - right.index_select(0, b)
        largest = largest.maximum(own.abs().amax(0))
        most, least, total = most.maximum(rest.amax(0)), least.minimum(rest.amin(0)), total + rest.double().sum(0)
    mean = total / len(model.task.domain)
    if bool((torch.maximum(most - mean, mean - least) > ROUNDING * largest).any()):
        return None
    return effects_before(model, 0)


def weighed_by(model: ModelView) -> str:
    """What a direction of the embedding counts by: `effect` or `power` of the neuron that it is, or its own `unit`."""
    if embedded_effects(model) is None:
        return "unit"
    return "power" if known_effects(model, 0) is None else "effect"


class Added(NamedTuple):
    """raised, alike: squared norms of what a unit of each neuron adds to the centred logits, and to all answers alike.
    gram: inner products of what the neurons add to the centred logits over pairs, about their means, none loud.
    """

    raised: Float64[Tensor, " m"]
    alike: Float64[Tensor, " m"]
    gram: Float64[Tensor, "m m"]


def _linear(model: ModelView, layer: int, rows: Float64[Tensor, "m answers"]) -> Added:
    flat = model.grid.reshape(-1)
    neurons = model.neurons(layer)[flat[subset(len(flat), PAIRS, 0)]].double()
    mean = rows.mean(1, keepdim=True)
    raised = rows - mean
    size = raised.square().sum(1)
    neurons = _ordinary(neurons, size)
    return Added(size, rows.shape[1] * mean.square().sum(1), (neurons.T @ neurons) * (raised @ raised.T))


def _ordinary(neurons: Float64[Tensor, "pairs m"], effect: Float64[Tensor, " m"]) -> Float64[Tensor, "pairs m"]:
    """About their means, no pair louder than its bound."""
    found = heard(neurons, torch.arange(len(neurons)), effect)
    return (neurons - found.mean) * found.weight.sqrt()[:, None]


def _derivatives(model: ModelView, layer: int) -> Added:
    """The same of the derivatives of the logits, means over pairs; zeros where there are none."""
    flat, seen = model.grid.reshape(-1), []
    pairs = flat[subset(len(flat), PROBED, 0)]
    neurons = model.neurons(layer)[pairs].double()

    def watch(x: Tensor) -> Tensor:
        seen.append(x[:, -1].detach().requires_grad_(True))
        return torch.cat([x[:, :-1].detach(), seen[0][:, None]], dim=1)

    def slopes(of: Tensor) -> Float64[Tensor, "pairs m"]:
        if not of.requires_grad:
            return torch.zeros_like(neurons)
        return gradient(of, seen[0]).double()

    with torch.enable_grad():
        logits = model.run(model.tokens_of(pairs), edit={f"blocks.{layer}.mlp.hook_post": watch})[0]
        mean, generator = logits.mean(1, keepdim=True), torch.Generator().manual_seed(0)
        signs = (torch.randint(0, 2, logits.shape, generator=generator) * 2 - 1 for _ in range(PROBES))
        raised = [slopes(((logits - mean) * s).sum()) for s in signs]
        alike = logits.shape[1] * slopes(mean.sum()).square().mean(0)
    size = torch.stack(raised).square().mean((0, 1))
    neurons = _ordinary(neurons, size)
    added = torch.cat([neurons * x for x in raised])
    return Added(size, alike, added.T @ added)
