"""Any network of the grammar, saved in any way: its own logits, a tie that is said, or a question; never others."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice, product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

import detectors
from detectors.core.errors import CheckpointError
from detectors.loading import account
from detectors.loading.stack import Stack
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from fixtures.saved_networks import Spec, trained
from fixtures.strategies import saved_specs

P, SAME, ALMOST = 11, 1e-5, 2e-3
PREFIXES = ("", "module.", "_orig_mod.", "model.")
SAID = ("read", "tied", "asked", "doubted")
READ = 0.85  # of the examples: fewer, and the reader has lost a form


def save(weights: dict[str, Tensor], folder: Path, container: str) -> Path:
    file = folder / f"model.{container if container in ('npz', 'safetensors') else 'pt'}"
    if container == "npz":
        np.savez(file, **{name: tensor.numpy() for name, tensor in weights.items()})
    elif container == "safetensors":  # which knows no shared memory
        save_file({name: tensor.clone().contiguous() for name, tensor in weights.items()}, file)
    else:
        torch.save({"bare": weights, "dict": {"epoch": 3, "model_state_dict": weights}}[container], file)
    return file


def apart(network, logits: Tensor) -> float:
    every = torch.arange(P * P)
    with torch.no_grad():
        found = network.forward(torch.stack([every // P, every % P], 1), lambda _, x: x)[:, :P]
    return float((found - logits).abs().max() / logits.abs().max())


def said_to_tie(view: ModelView):
    """The networks of all readings that differ from the one taken in what the report says is open."""
    best, values = view.network.reading, {}
    for tied in view.tied:
        yield tied.network
        for axis in account.differs(best, tied.network.reading):
            values.setdefault(axis, {getattr(best, axis): 0})[getattr(tied.network.reading, axis)] = 0
    own = view.network
    for combination in islice(product(*values.values()), 128):
        reading = replace(best, **dict(zip(values, combination, strict=True)))
        yield Stack(own.structure, reading, P, own.weights)


def outcome(spec: Spec, op: str, prefix: str, container: str) -> str:
    """`read`, `tied`, `asked`, `doubted` (said to answer less than it was trained to), or what is wrong."""
    task = Task.parse(f"{op}:{P}")
    train = torch.randperm(P * P, generator=torch.Generator().manual_seed(spec.seed))[:85]
    model = trained(spec, torch.from_numpy(task.answer), train)
    every = torch.arange(P * P)
    with torch.no_grad():
        logits = model(every // P, every % P)[:, :P]
    weights = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    with TemporaryDirectory() as folder:
        np.save(Path(folder) / "train.npy", train.numpy())
        file = save({prefix + name: t for name, t in weights.items()}, Path(folder), container)
        try:
            view = detectors.load(file, task=task, train_indices=Path(folder) / "train.npy")
        except CheckpointError:
            return "asked"
    if apart(view.network, logits) <= SAME:
        return "read"
    if any("assumed" in note for note in view.checkpoint.notes):
        return "asked"
    if any("next to none" in line for line in view.checkpoint.reading) and apart(view.network, logits) <= ALMOST:
        return "tied"
    if any(apart(network, logits) <= ALMOST for network in said_to_tie(view)):
        return "tied"
    if any("something is read otherwise" in note for note in view.checkpoint.notes):
        return "doubted"
    return f"other logits in silence, by {apart(view.network, logits):.1e}: {view.checkpoint.reading[1]}"


EXAMPLES = (
    saved_specs(),
    st.sampled_from(["add", "sub", "mul"]),
    st.sampled_from(PREFIXES),
    st.sampled_from(["bare", "dict", "npz", "safetensors"]),
)
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


@pytest.mark.wide
@settings(max_examples=4, deadline=None, suppress_health_check=SLOW, derandomize=True, database=None)
@given(*EXAMPLES)
def test_a_network_is_never_taken_for_another_in_silence(spec, op, prefix, container):
    assert outcome(spec, op, prefix, container) in SAID


@pytest.mark.deep
@pytest.mark.timeout(3600)
def test_most_networks_of_the_grammar_are_read(capsys):
    """200 of them, the counts printed."""
    counts: Counter[str] = Counter()
    wrong: list[tuple[Spec, str, str, str, str]] = []

    @settings(max_examples=200, deadline=None, suppress_health_check=SLOW, derandomize=True, database=None)
    @given(*EXAMPLES)
    def each(spec, op, prefix, container):
        found = outcome(spec, op, prefix, container)
        wrong.extend([(spec, op, prefix, container, found)] if found not in SAID else [])
        counts[found if found in SAID else "wrong"] += 1

    each()
    with capsys.disabled():
        print(f"\nnetworks of the grammar: {dict(counts)}", *wrong, sep="\n")
    assert not wrong
    assert counts["read"] + counts["tied"] >= READ * counts.total()
