"""Runs of a + b mod 11 that go from noise to an exact circuit, as files; and rows without any model."""

from pathlib import Path

import torch

import models_zoo
from detectors.report.rows import COLUMNS

STEPS = (0, 10, 20, 30, 40, 50)
SPLIT = {"task": "add:11", "train_split": "0.4:0"}


def state(share: float, frequencies=(3, 5)) -> dict[str, torch.Tensor]:
    """Weights of which a share is the circuit's and the rest noise of the same size."""
    drawn = torch.Generator().manual_seed(0)
    circuit = models_zoo.trig_mlp(p=11, frequencies=frequencies).network.weights
    noise = {k: torch.randn(w.shape, generator=drawn) * w.std() for k, w in circuit.items()}
    return {k: share * w + (1 - share) * noise[k] for k, w in circuit.items()}


def run(folder: Path, steps=STEPS, name="step_{:06d}.pt") -> Path:
    """The second half of them exact."""
    folder.mkdir(exist_ok=True)
    for i, step in enumerate(steps):
        torch.save(state(float(i >= len(steps) // 2)), folder / name.format(step))
    return folder


def row(step, detector="trig_logits", verdict="present", score=0.5, **known):
    """Of a table, with what is not said unknown."""
    found = dict.fromkeys(COLUMNS) | {"checkpoint": f"{step}.pt", "step": step, "task": "add:11", "evidence": "{}"}
    return found | {"detector": detector, "verdict": verdict, "score": score, "sha256": f"sha{step}"} | known
