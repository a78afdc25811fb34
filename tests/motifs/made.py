"""Models made of the functions that a motif is about: planted characters, planted neurons."""

import numpy as np
import torch

from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from models_zoo.analytic import _BilinearNetwork, _TableNetwork, random_split


def with_logits(task: Task, logits: np.ndarray, train: np.ndarray | None = None) -> ModelView:
    """A table of logits [pairs, answers]."""
    return ModelView(_TableNetwork(torch.from_numpy(logits).float(), task.n_tokens), task, train_mask=train)


def characters(spec: str, *amplitudes: tuple[int, float]) -> np.ndarray:
    """[pairs, answers] sum of the amplitude times the character of a b c^-1, of norm one, over (irrep, amplitude)."""
    g = Task.parse(spec).labels.group
    where = g.table[g.table.reshape(-1)[:, None], g.inverse[None]]  # [pair, c] -> a b c^-1
    unit = [g.irreps[i].character / np.linalg.norm(g.irreps[i].character) for i, _ in amplitudes]
    return sum(alpha * u[where] for u, (_, alpha) in zip(unit, amplitudes, strict=True))


def of_characters(spec: str, *amplitudes: tuple[int, float], train: np.ndarray | None = None) -> ModelView:
    return with_logits(Task.parse(spec), characters(spec, *amplitudes), train)


def half(spec: str) -> np.ndarray:
    return random_split(Task.parse(spec), 0.5, 0)


def with_neurons(values, spec: str | None = None, readout=None):
    """A model whose neurons are the functions [m, n, n] of (a, b), and whose logits are all zero without a readout."""
    cube = torch.as_tensor(np.asarray(values)).float().permute(1, 2, 0).contiguous()
    n, m = cube.shape[1:]
    read = torch.zeros(m, n) if readout is None else torch.from_numpy(readout).float()
    return ModelView(_BilinearNetwork(torch.eye(n), cube, read), Task.parse(spec or f"add:{n}"))


def wave(p: int, k: int) -> np.ndarray:
    """cos(2 pi k a / p) as a function of (a, b), of power p^2 / 2."""
    return np.repeat(np.cos(2 * np.pi * k * np.arange(p) / p)[:, None], p, axis=1)
