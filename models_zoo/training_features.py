"""`python -m models_zoo.training_features`: trains the autoencoders of features.toml, in four minutes on one core."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from models_zoo.features import COPIES, NEAR, PLATEAUS, WEIGHTS, _cards

STEPS, BATCH, RATE = 3000, 256, 5e-3
LEAST = 0.6  # of the represented features, on plateaus


def cases(rng: torch.Generator, shape: tuple[int, int, int], density: Tensor, come: str) -> Tensor:
    """[copy, case, feature]: each active in a share `density` [copy, 1, 1] of the cases."""
    copies, batch, features = shape
    values = torch.rand(shape, generator=rng)
    if come == "alone":
        return values * (torch.rand(shape, generator=rng) < density)
    groups = (copies, batch, features // 2)
    if come == "together":
        return values * (torch.rand(groups, generator=rng) < density).repeat_interleave(2, 2)
    one = torch.rand(groups, generator=rng) < 2 * density
    first = torch.rand(groups, generator=rng) < 0.5
    return values * torch.stack([one & first, one & ~first], dim=3).reshape(shape)


def train(features: int, hidden: int, density: list[float], come: str, seed: int) -> tuple[Tensor, Tensor]:
    """COPIES of them at once, W [copy, feature, hidden] and b [copy, feature]."""
    rng = torch.Generator().manual_seed(seed)
    rows = (torch.randn(COPIES, features, hidden, generator=rng) * 0.8 / hidden**0.5).requires_grad_()
    bias = torch.zeros(COPIES, 1, features, requires_grad=True)
    often = torch.tensor(density).repeat(COPIES)[:COPIES, None, None]
    optimiser = torch.optim.Adam([rows, bias], lr=RATE)
    for step in range(STEPS):
        optimiser.param_groups[0]["lr"] = RATE * math.cos(math.pi / 2 * step / STEPS)
        x = cases(rng, (COPIES, BATCH, features), often, come)
        loss = (x - torch.relu(x @ rows @ rows.mT + bias)).square().sum(2).mean(1)
        optimiser.zero_grad()
        loss.sum().backward()
        optimiser.step()
    return rows.detach(), bias.detach()[:, 0]


def on_plateaus(rows: Tensor) -> float:
    """The share of the represented features whose dimensionality is a published one, written apart from the motif."""
    w = rows.double().numpy()
    norms = (w**2).sum(1)
    shown = w[norms > 0.25]
    found = [(v @ v) ** 2 / ((shown @ v) ** 2).sum() for v in shown]
    return float(np.mean([np.abs(PLATEAUS - d).min() <= NEAR for d in found]))


def main() -> None:
    from safetensors.torch import save_file

    torch.set_num_threads(1)
    kept: dict[str, Tensor] = {}
    for seed, (kind, recipe) in enumerate(_cards()["trained"].items()):
        rows, bias = train(**recipe, seed=seed)
        shares = [on_plateaus(one) for one in rows]
        wanted = [share >= LEAST or kind not in _cards()["present"] for share in shares]
        for number in np.flatnonzero(wanted):
            kept |= {f"{kind}/{number}.W": rows[number].half(), f"{kind}/{number}.b": bias[number].half()}
        print(f"{kind}: {sum(wanted)} of {COPIES} kept, on plateaus {np.round(np.sort(shares), 2).tolist()}")
    save_file(kept, WEIGHTS)


if __name__ == "__main__":
    main()
