"""Composition by what a group does to a few points: exact circuits that count cosets, and decoys that do not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int

from detectors.core.groups import Group
from detectors.core.subgroups import subgroups
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from models_zoo.analytic import two_embedding


def action(group: Group, order: int) -> Int[np.ndarray, "n points"]:
    """Where every element moves the cosets gH of a subgroup H of that order that holds no normal one.

    >>> action(Group.from_name("S3"), 2).shape
    (6, 3)
    """
    for mask in subgroups(group, group.order // order):
        if mask.sum() != order:
            continue
        coset = np.unique(group.table[:, mask].min(1), return_inverse=True)[1]
        one = np.unique(coset, return_index=True)[1]
        moved: Int[np.ndarray, "n points"] = coset[group.table[:, one]]
        if len(np.unique(moved, axis=0)) == group.order:
            return moved
    raise ValueError(f"{group.name} moves no {group.order / order:g} cosets of a subgroup of order {order} faithfully")


def coset_network(
    group: Group, order: int, *, channels: int = 2, train_fraction: float | None = None, seed: int = 0
) -> ModelView:
    """Composition by cosets: logits are minus the sum over points z of |F(a^-1 c z) - F(b z)|, random F of a point.

    Neurons of points x, z: relu(+-(F(a^-1 x) - F(b z))), read out where c z = x. The left operand counts by cosets Hg
    of the subgroup that fixes x, the right by gH of the one that fixes z. 0 where c = a b alone, as the action is
    faithful. Source: the circuits of arXiv:2312.06581, section 5.

    >>> coset_network(Group.from_name("S3"), 2).logits().argmax(1)[:6].tolist()
    [0, 1, 2, 3, 4, 5]
    """
    moved = action(group, order)
    n, points = moved.shape
    heights = np.random.default_rng(seed).uniform(1, 2, (points, channels)) * np.arange(1, points + 1)[:, None]
    left = np.stack([heights[moved[group.inverse]], -heights[moved[group.inverse]]], -1)  # [n, x, channel, sign]
    right = np.stack([-heights[moved], heights[moved]], -1)
    wide = (n, points, points, channels, 2)
    out = -1.0 * (moved.T[None] == np.arange(points)[:, None, None])  # [x, z, n]: c z = x
    readout = np.broadcast_to(out[:, :, None, None], (points, points, channels, 2, n))
    first, second = (np.broadcast_to(x, wide).reshape(n, -1) for x in (left[:, :, None], right[:, None]))
    return _network(group, [first, second, readout.reshape(-1, n)], "relu", train_fraction, seed)


def representation_network(
    group: Group, order: int, *, train_fraction: float | None = None, seed: int = 0
) -> ModelView:
    """Composition by the matrices of the same action about the mean of the points, in a random orthonormal basis:
    neurons (rho_ij(a) +- rho_jk(b))^2, read out by +-rho_ik(c). Logits are the character of a b c^-1; no neuron counts
    cosets, and each is of these irreps alone. Source: arXiv:2302.03025, section 4.

    >>> representation_network(Group.from_name("S3"), 2).logits().argmax(1)[:6].tolist()
    [0, 1, 2, 3, 4, 5]
    """
    moved = action(group, order)
    n, points = moved.shape
    basis = np.random.default_rng(seed).standard_normal((points, points - 1))
    basis = np.linalg.qr(basis - basis.mean(0))[0]
    rho = np.einsum("nyi,yk->nik", basis[moved], basis)  # row i of point g y, column k of point y
    d = points - 1
    wide = (n, d, d, d, 2)
    left = np.broadcast_to(rho[:, :, :, None, None], wide)
    right = np.broadcast_to(rho[:, None, :, :, None] * np.array([1, -1]), wide)
    readout = np.broadcast_to(rho[:, :, None, :, None] * np.array([1, -1]), wide)
    parts = [left.reshape(n, -1), right.reshape(n, -1), readout.reshape(n, -1).T]
    return _network(group, parts, "square", train_fraction, seed)


def _network(
    group: Group, parts: Sequence[np.ndarray], act_fn: str, train_fraction: float | None, seed: int
) -> ModelView:
    left, right, readout = (torch.from_numpy(np.ascontiguousarray(x, dtype=np.float64)) for x in parts)
    return two_embedding(Task.parse(f"compose:{group.name}"), left, right, readout, act_fn, train_fraction, seed)
