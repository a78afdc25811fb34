"""Trained networks read back: their own logits, or a reading that ties and is said to, or a question; never others."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

import detectors
from detectors.core.errors import CheckpointError
from detectors.loading.paths import modules
from detectors.loading.recognise import recognise
from detectors.subjects.contract import hold_to_contract
from detectors.subjects.operands.task import Task
from fixtures.readable import ENCODER, READABLE
from fixtures.saved_networks import Spec, trained
from models_zoo import trig_mlp

P = 11
PAIRS = torch.randperm(P * P, generator=torch.Generator().manual_seed(0))[:85]
MASK = np.isin(np.arange(P * P), PAIRS.numpy())
LONG = ENCODER


def saved_and_read(spec: Spec, op: str = "sub", mask=MASK, **options):
    """The logits of a trained network over all pairs, and what is read of its state dict."""
    task = Task.parse(f"{op}:{P}")
    model = trained(spec, torch.from_numpy(task.answer), PAIRS)
    every = torch.arange(P * P)
    with torch.no_grad():
        logits = model(every // P, every % P)[:, :P]
    weights = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    arch, tokens = options.get("arch", {}), options.get("tokens")
    return logits, recognise(weights, task, arch, tokens, lambda _: mask), weights


def logits_of(network) -> torch.Tensor:
    every = torch.arange(P * P)
    with torch.no_grad():
        return network.forward(torch.stack([every // P, every % P], 1), lambda _, x: x)[:, :P]


def is_same(found: torch.Tensor, logits: torch.Tensor, within: float = 1e-5) -> bool:
    return float((found - logits).abs().max()) <= within * float(logits.abs().max())


@pytest.mark.sampled(16)
@pytest.mark.parametrize("spec", [row.spec for row in READABLE], ids=[f"{row.what}: {row.reads}" for row in READABLE])
def test_a_network_of_any_form_gives_its_own_logits(spec):
    logits, read, weights = saved_and_read(spec)
    assert read.answers
    assert is_same(logits_of(read.network), logits)
    assert set(read.unused) <= weights.keys()
    assert "by trial" in read.account[1]
    hold_to_contract(detectors.ModelView(read.network, f"sub:{P}"))


def haiku(name):
    return name.replace(".weight", ".w").replace(".bias", ".b")


def bare(name):
    return name.replace(".weight", ".W").replace(".bias", ".b")


def keras(name):
    return f"model/{name.replace('.', '/')}:0"


@pytest.mark.parametrize("renamed", [haiku, bare, keras])
@pytest.mark.parametrize("spec", [Spec(kind="layers", reads="sum"), replace(ENCODER, attention="split", act="relu")])
def test_biases_are_read_beside_weights_by_any_habit_of_naming(spec, renamed):
    task = Task.parse(f"sub:{P}")
    model = trained(spec, torch.from_numpy(task.answer), PAIRS)
    every = torch.arange(P * P)
    with torch.no_grad():
        logits = model(every // P, every % P)[:, :P]
    weights = {renamed(name): tensor.detach() for name, tensor in model.state_dict().items()}
    read = recognise(weights, task, {}, None, lambda _: MASK)
    assert read.unused == ()
    assert is_same(logits_of(read.network), logits)


def test_kernels_and_biases_with_an_axis_of_heads_are_read():
    """As Flax and Keras have them: kernels [d, heads, d_head], the output's [heads, d_head, d], biases without d."""
    spec, task = replace(ENCODER, attention="split", act="relu"), Task.parse(f"sub:{P}")
    model = trained(spec, torch.from_numpy(task.answer), PAIRS)
    every = torch.arange(P * P)
    with torch.no_grad():
        logits = model(every // P, every % P)[:, :P]
    weights = {}
    for name, tensor in model.state_dict().items():
        letter = re.search(r"attn\.([qkvo])", name)
        axes = {"q": (32, 4, 8), "k": (32, 4, 8), "v": (32, 4, 8), "o": (4, 8, 32)}.get(letter[1]) if letter else None
        if tensor.ndim == 2 and "weight" in name and ("attn" in name or "mlp" in name or "head" in name):
            tensor = tensor.mT.reshape(axes) if axes else tensor.mT
            name = name.replace("weight", "kernel")
        elif axes and letter[1] != "o":
            tensor = tensor.reshape(4, 8)
        weights[name] = tensor.detach()
    read = recognise(weights, task, {}, None, lambda _: MASK)
    assert read.unused == ()
    assert is_same(logits_of(read.network), logits)


NORMS = [("sa_norm", "ff_norm"), ("norm_attention", "norm_mlp"), ("n1", "n2")]


@pytest.mark.parametrize("names", NORMS, ids=lambda names: names[0])
@pytest.mark.parametrize("turned", [False, True])
def test_the_norms_of_a_block_are_told_by_their_names_whatever_the_order_of_the_file(names, turned):
    spec = Spec(norm="pre")
    task = Task.parse(f"sub:{P}")
    model = trained(spec, torch.from_numpy(task.answer), PAIRS)
    every = torch.arange(P * P)
    with torch.no_grad():
        logits = model(every // P, every % P)[:, :P]
    weights = {k.replace("ln1", names[0]).replace("ln2", names[1]): t.detach() for k, t in model.state_dict().items()}
    order = sorted(weights, key=lambda name: any(n in name for n in names)) if not turned else list(weights)[::-1]
    read = recognise({name: weights[name] for name in order}, task, {}, None, lambda _: MASK)
    assert is_same(logits_of(read.network), logits)


def test_what_the_trial_settles_is_said_with_its_margin():
    _, read, _ = saved_and_read(LONG)
    assert "tokens a op:11 b =:12 (else at most" in read.account[1]
    assert "norm placement post" in read.account[1]
    assert {"a op:11 b =:12", "post", "last", "gelu"} <= set(map(str, read.network.architecture.values()))


def test_an_option_is_not_tried_but_taken():
    _, read, _ = saved_and_read(LONG, arch={"act_fn": "tanh", "n_heads": "2"}, tokens="b op a =")
    reading = read.network.reading
    assert (reading.act_fn, reading.heads, str(reading.tokens)) == ("tanh", 2, "b op:11 a =:12")


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("arch", "tokens"), [({"n_heads": "5"}, None), ({}, "a b = = = ="), ({"readout": "concat"}, None)]
)
def test_what_cannot_be_is_refused_with_what_there_is(arch, tokens):
    with pytest.raises(CheckpointError, match=r"does not fit this file, which has tokens embed \[13, 32\]"):
        saved_and_read(LONG, arch=arch, tokens=tokens)


@pytest.mark.wide
def test_operands_in_the_other_order_are_found_and_said_first():
    task = Task.parse(f"sub:{P}")
    model = trained(LONG, torch.from_numpy(task.answer.T.copy()), PAIRS)  # which answers b - a
    weights = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    turned = np.isin(np.arange(P * P), (PAIRS % P * P + PAIRS // P).numpy())  # as pairs (a, b) of a - b
    read = recognise(weights, task, {}, None, lambda _: turned)
    assert str(read.network.reading.tokens) == "b op:11 a =:12"
    assert "--tokens" in read.notes[0]


@pytest.mark.wide
def test_an_untrained_file_gets_the_usual_reading_marked_as_assumed():
    task = Task.parse(f"add:{P}")
    model = trained(LONG, torch.from_numpy(task.answer), PAIRS, steps=0)
    read = recognise({k: t.detach() for k, t in model.state_dict().items()}, task, {}, None, lambda _: MASK)
    assert not read.answers
    assert "assumed" in read.account[1]
    assert "assumed" in read.notes[0]
    assert read.tied == ()


@pytest.mark.wide
def test_the_task_of_another_size_is_named():
    task = Task.parse(f"add:{P}")
    model = trained(replace(LONG, act="relu"), torch.from_numpy(task.answer), torch.arange(P * P))
    weights = {k: t.detach() for k, t in model.state_dict().items()}
    with pytest.raises(CheckpointError, match="pass --task add:11"):
        recognise(weights, Task.parse("add:10"), {})
    with pytest.raises(CheckpointError, match="the shapes allow add:1"):
        recognise(weights, Task.parse("add:50"), {})


def test_a_task_is_inferred_whatever_the_layout(saved):
    task = Task.parse(f"sub:{P}")
    model = trained(LONG, torch.from_numpy(task.answer), torch.arange(P * P))
    view = detectors.load(saved({k: t.detach() for k, t in model.state_dict().items()}), task="infer")
    assert view.task.spec == f"infer=sub:{P}"


@pytest.mark.wide
def test_readings_that_tie_are_run_too_and_what_they_change_is_asked(saved):
    """A tie is harmless where the verdicts agree; here the other reading is an untrained network, and they do not."""
    from detectors.subjects.operands.view import Tied

    task = Task.parse(f"add:{P}")
    good, bad = (trained(LONG, torch.from_numpy(task.answer), torch.arange(P * P), steps=n) for n in (300, 0))
    view, other = (
        detectors.load(saved({k: t.detach() for k, t in m.state_dict().items()}), task=task) for m in (good, bad)
    )
    view.tied = (Tied("--arch act_fn=gelu", "--arch act_fn=relu", view.network),)
    assert any("Every verdict is the same there" in note for note in detectors.run(view, draws=19).notes)
    view.tied = (Tied("--arch act_fn=gelu", "--arch act_fn=relu", other.network),)
    with pytest.raises(CheckpointError, match="--arch act_fn=gelu as under --arch act_fn=relu"):
        detectors.run(view, draws=19)


def test_what_no_logit_depends_on_is_not_used_though_its_module_is(saved):
    rng = torch.Generator().manual_seed(0)
    shapes = {
        "embed.weight": (7, 8),
        "fc.weight": (16, 16),
        "fc.bias": (16,),
        "fc.temperature": (1,),
        "head.weight": (7, 16),
    }
    weights = {name: torch.randn(shape, generator=rng) for name, shape in shapes.items()}
    assert detectors.load(saved(weights), task="add:7").checkpoint.unused == ("fc.temperature",)


NAMES = {"saliency": False, "usage": False, "neuron_scale": False, "norm.weight": True, "gate.scale": True}


@pytest.mark.parametrize(("name", "is_norm"), NAMES.items())
def test_a_lone_vector_is_a_norms_where_it_says_so_or_where_the_answers_need_it(name, is_norm, saved):
    """Pruning and running means keep one number a neuron: it was taken for a norm's gain, and 100% read as 51%."""
    view = trig_mlp(p=29, frequencies=(2, 5, 11))
    own = view.network.weights
    weights = {
        "left.weight": own["W_x"],
        "right.weight": own["W_y"],
        "fc1.weight": own["W"].T,
        "fc2.weight": own["W_U"].T,
    }
    kept = saved({**weights, name: torch.rand(27, generator=torch.Generator().manual_seed(0))})
    found = detectors.load(kept, task="add:29")
    assert (name in found.checkpoint.unused) != is_norm
    if not is_norm:
        assert found.figures().accuracy.all == 1


def test_another_size_of_the_task_is_named_whether_training_pairs_are_given_or_not():
    task = Task.parse(f"add:{P}")
    model = trained(Spec(kind="layers", reads="sum"), torch.from_numpy(task.answer), torch.arange(P * P))
    weights = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    for mask in (None, np.random.default_rng(0).random(13**2) < 0.5):
        with pytest.raises(CheckpointError, match=f"pass --task add:{P}"):
            recognise(weights, Task.parse("add:13"), {}, None, lambda _, mask=mask: mask)


def test_two_names_that_differ_by_a_habit_of_writing_are_two_tensors():
    found, others = modules({"fc.weight": torch.zeros(3, 2), "fc/weight": torch.ones(3, 2)})
    assert [module.names for module in found] == [["fc.weight"], ["fc/weight"]]
    assert others == {}
