"""Rules of thumb that people judge such networks by, as detectors, so that the bench which ours stand on measures them.

`python -m models_zoo.rules_of_thumb FOLDER` writes what becomes of each. None has a null, hence none a verdict: values
are what is compared.
"""

from __future__ import annotations

import torch

from detectors.core.registry import detector
from detectors.core.score import Score
from detectors.subjects.operands.families import alive, families
from detectors.subjects.operands.view import ModelView


def _value(value: float) -> Score:
    return Score(value=value, null=None, causal=None)


@detector(needs=("neurons", "group"), version=1, source="arXiv:2301.05217", causal=False)
def neurons_over_85_percent(model: ModelView, /, *, draws: int = 199, seed: int = 0) -> Score:
    """The share of neurons of which one frequency explains over 85% (section 4.1 of the source)."""
    found = families(model, model.neurons(), torch.ones(model.neurons().shape[1], dtype=torch.float64))
    live = alive(found.total)
    share = found.power[live].amax(1) / found.total[live]
    return _value(float((share > 0.85).double().mean()) if len(live) else 0.0)


@detector(needs=("logits",), version=1, source="arXiv:2205.10343", causal=False)
def small_weights(model: ModelView, /, *, draws: int = 199, seed: int = 0) -> Score:
    """1 / (1 + mean square of the weights): decay leaves small weights to what generalises."""
    weights = torch.cat([w.flatten() for w in model.network.weights.values()]).double()
    return _value(float(1 / (1 + weights.square().mean())))


@detector(needs=("logits",), version=1, source="arXiv:2201.02177", causal=False)
def accuracy_alone(model: ModelView, /, *, draws: int = 199, seed: int = 0) -> Score:
    """Accuracy on all pairs."""
    return _value(float(model.figures().accuracy.all or 0))


def main(folder: str) -> None:
    """Calibrate each, as a detector of the motif that rules_of_thumb.toml gives it, into a file of its own."""
    import tomllib
    from pathlib import Path

    from models_zoo.calibrating import of_plugin

    for name, motif in tomllib.loads(Path(__file__).with_suffix(".toml").read_text()).items():
        plugin, out = f"models_zoo.rules_of_thumb:{name}", Path(folder) / f"{name}.json"
        of_plugin(plugin, folder=None, motif=motif, draws=160, part=1, workers=2, out=out)


if __name__ == "__main__":
    import sys

    main(*sys.argv[1:])
