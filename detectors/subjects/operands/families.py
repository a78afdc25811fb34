"""The neurons of a layer, each weighed by what it does to the logits, and their power in families of one irrep.

A neuron times 1e4 whose output weights are divided by it is the same neuron, so its weight is its power over the pairs
times its effect: the squared norm of its row of the readout, centred over the answers. Where the rest of the network is
not linear that row is the derivative of the centred logits, and its squared norm a mean over pairs, estimated by
random signs over the answers (Hutchinson, Communications in Statistics 18, 1989).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from detectors.core.nulls import corrected, permutations, subset
from detectors.core.spectrum import BUDGET, factored_family_power, family_power, grid_neurons, low_rank
from detectors.subjects.operands.view import ModelView

# In eleven networks of the zoo 64 neurons have the null mean of all, up to 512, within 0.005, at 10% to 65% of the
# time; 8 within 0.012. In all that were trained rank 6 keeps 97.6% or more of their power, 3, that of a family, 95.4%.
NULL_NEURONS, NULL_RANK = 64, 6
DEAD = 1e-6  # of the median weight: half the neurons have more, so that all the dead together hold under a millionth
# The estimate of an effect has a relative error of sqrt(2 / (256 * 8)) = 3%, and of their weighted mean much less.
PROBED, PROBES = 256, 8
POWER_ALONE = "power alone, since nothing is known of what they do to the logits (no gradient reaches them)"
ROUNDING = 1e-5  # of a preactivation's largest value: sums of float32 in another order


class Families(NamedTuple):
    """Weights of neurons: total [m], and in the families {trivial, irrep} x {trivial, irrep} [m, irreps]."""

    total: Float[Tensor, " m"]
    power: Float[Tensor, "m irreps"]

    def shares(self) -> tuple[float, Float[Tensor, " irreps"]]:
        """Weighted mean of the largest share, and what each irrep's own neurons contribute to it."""
        best, everything = self.power.max(1), self.total.sum().clamp_min(torch.finfo(self.total.dtype).tiny)
        shares = self._by_irrep(best.values / everything)
        return float(shares.sum()), shares

    def alike(self) -> Float[Tensor, " irreps"]:
        """The same with every neuron counted alike: of five irreps in use one may have nearly all of the weight."""
        share = self.power.amax(1) / self.total.clamp_min(torch.finfo(self.total.dtype).tiny)
        return self._by_irrep(share / max(len(share), 1))

    def _by_irrep(self, of_neurons: Float[Tensor, " m"]) -> Float[Tensor, " irreps"]:
        found = torch.zeros(self.power.shape[1], dtype=self.total.dtype)
        return found.index_add_(0, self.power.argmax(1), of_neurons)

    def of(self, neurons: Tensor) -> Families:
        return Families(self.total[neurons], self.power[neurons])


def families(model: ModelView, neurons: Float[Tensor, "pairs m"], effect: Float[Tensor, " m"]) -> Families:
    """Of every neuron of a layer, weighed by its effect."""
    group = model.group
    some = torch.arange(neurons.shape[1]).split(max(1, BUDGET // group.order**2))
    parts = (family_power(group, grid_neurons(neurons, model.grid, columns)) for columns in some)
    total, power = (torch.cat(column) for column in zip(*parts, strict=True))
    return Families(total * effect, power * effect[:, None])


def alive(total: Float[Tensor, " m"]) -> Int[Tensor, " live"]:
    """The neurons with a weight, strongest first."""
    live = total > DEAD * total[total > 0].median()  # nowhere where none varies: NaN
    return total.argsort(descending=True, stable=True)[: int(live.sum())]


def effects(model: ModelView, layer: int) -> Float[Tensor, " m"]:
    """[m] squared norm of what a neuron adds to the centred logits, per unit of its own; ones where that is unknown."""
    found = known_effects(model, layer)
    return torch.ones(model.neurons(layer).shape[1], dtype=torch.float64) if found is None else found


def effects_before(model: ModelView, layer: int) -> Float[Tensor, " m"]:
    """[m] the same per unit of the preactivation: the effect times the power of the neuron over that of its
    preactivation.
    """
    domain = torch.from_numpy(model.task.domain)
    power, own = (x[domain].double().var(0, correction=0) for x in (model.preactivations(layer), model.neurons(layer)))
    return effects(model, layer) * own / power.clamp_min(torch.finfo(torch.float64).tiny)


def known_effects(model: ModelView, layer: int) -> Float[Tensor, " m"] | None:
    """[m] `effects`; None where they are nothing for all neurons, or where the network is not differentiable. Rounding
    of what a neuron adds to all answers alike is nothing.
    """
    readout = model.readout(layer)
    raised, alike = _derivatives(model, layer) if readout is None else _squares(readout.double())
    found = torch.where(raised > ROUNDING**2 * alike, raised, 0.0)
    return found if bool((found > 0).any()) else None


def embedded_effects(model: ModelView) -> Float[Tensor, " d"] | None:
    """[d] `effects_before` of the first neurons, where the embeddings add up to their preactivations. None where
    something lies between.
    """
    if not {"neurons", "preactivations"} <= model.parts or model.neuron_layers[0] != 0:
        return None
    domain = torch.from_numpy(model.task.domain)
    rows = [model.embedding(operand)[model.cases[:, operand]] for operand in range(2)]
    before = model.preactivations(0)[domain]
    if before.shape[1] != rows[0].shape[1]:
        return None
    rest = before - rows[0] - rows[1]
    if bool(((rest - rest.mean(0)).abs().amax(0) > ROUNDING * before.abs().amax(0)).any()):
        return None
    return effects_before(model, 0)


def weighed_by(model: ModelView) -> str:
    """What a direction of the embedding counts by: `effect` or `power` of the neuron that it is, or its own `unit`."""
    if embedded_effects(model) is None:
        return "unit"
    return "power" if known_effects(model, 0) is None else "effect"


def _squares(rows: Float[Tensor, "m answers"]) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
    """Squared norms of what rows add to centred logits, and of what they add to all answers alike."""
    mean = rows.mean(1, keepdim=True)
    return (rows - mean).square().sum(1), rows.shape[1] * mean.square().sum(1)


def _derivatives(model: ModelView, layer: int) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
    """`_squares` of the derivatives of the logits, the mean over pairs; zeros where there are none."""
    flat, seen = model.grid.reshape(-1), []
    tokens = model.tokens_of(flat[subset(len(flat), PROBED, 0)])

    def watch(x: Tensor) -> Tensor:
        seen.append(x[:, -1].detach().requires_grad_(True))
        return torch.cat([x[:, :-1].detach(), seen[0][:, None]], dim=1)

    def squares(of: Tensor) -> Tensor:
        if not of.requires_grad:
            return torch.zeros(seen[0].shape[1], dtype=torch.float64)
        (found,) = torch.autograd.grad(of, seen[0], retain_graph=True, allow_unused=True, materialize_grads=True)
        return found.double().square().mean(0)

    with torch.enable_grad():
        logits = model.run(tokens, edit={f"blocks.{layer}.mlp.hook_post": watch})[0]
        mean, generator = logits.mean(1, keepdim=True), torch.Generator().manual_seed(0)
        signs = (torch.randint(0, 2, logits.shape, generator=generator) * 2 - 1 for _ in range(PROBES))
        raised = torch.stack([squares(((logits - mean) * s).sum()) for s in signs]).mean(0)
        return raised, logits.shape[1] * squares(mean.sum())


class Permuted(NamedTuple):
    """Of the strongest neurons: the weighted mean share, and under permutations it [draws], what each irrep contributes
    to it, and that with every neuron counted alike [draws, irreps].
    """

    observed: float
    means: Float[Tensor, " draws"]
    shares: Float[Tensor, "draws irreps"]
    alike: Float[Tensor, "draws irreps"]


def permuted(
    model: ModelView,
    neurons: Float[Tensor, "pairs m"],
    strongest: Int[Tensor, " live"],
    effect: Float[Tensor, " m"],
    draws: int,
    seed: int,
) -> Permuted:
    """One permutation of the tokens for both operands, on a low-rank approximation of the strongest neurons."""
    group, top = model.group, strongest[:NULL_NEURONS]
    cube = grid_neurons(neurons, model.grid, top).double()
    cube = (cube - cube.mean((1, 2), keepdim=True)) * effect[top, None, None].sqrt()
    u, v = low_rank(cube, NULL_RANK, torch.Generator().manual_seed(seed))
    total = torch.einsum("ams,amr,bms,bmr->m", u, u, v, v)
    orders = [torch.arange(group.order), *permutations(group.order, draws, seed)]
    found = [Families(total, factored_family_power(group, u[k], v[k])) for k in orders]
    (observed, _), *null = (each.shares() for each in found)
    means, shares = zip(*null, strict=True)
    alike = torch.stack([each.alike() for each in found[1:]])
    return Permuted(observed, torch.tensor(means, dtype=torch.float64), torch.stack(shares), alike)


class Layer(NamedTuple):
    """A layer's neurons, and how far the strongest are beyond chance. weighed: by known effects, not power alone."""

    number: int
    families: Families
    live: Int[Tensor, " live"]
    score: float
    null: Permuted
    null_mean: float
    weighed: bool


def layer_of(model: ModelView, number: int, draws: int, seed: int, before: bool = False) -> Layer:
    """The weighted mean share of the live neurons, corrected for chance, with its null. before: of what they are before
    their activation function, weighed as they are behind it.
    """
    effect = effects_before(model, number) if before else effects(model, number)
    neurons = model.preactivations(number) if before else model.neurons(number)
    found = families(model, neurons, effect)
    live = alive(found.total)
    null = permuted(model, neurons, live, effect, draws, seed)
    mean = float(null.means.mean())
    weighed = known_effects(model, number) is not None
    return Layer(number, found, live, corrected(found.of(live).shares()[0], mean, 1.0), null, mean, weighed)
