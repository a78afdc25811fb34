"""The view against the definition of the forward pass, written out."""

import numpy as np
import pytest
import torch

import detectors
from detectors.core.errors import CheckpointError, MissingPart
from detectors.loading.transformer import Architecture, Transformer
from detectors.subjects.operands import view as view_module
from detectors.subjects.operands.view import ModelView
from models_zoo.analytic import _TableNetwork
from models_zoo.architectures import initial_weights, network
from models_zoo.hostile import constructions as made
from models_zoo.stacks import Stack, initial

SHAPE = {
    "n_layers": 2,
    "d_model": 8,
    "n_heads": 2,
    "d_head": 4,
    "d_mlp": 12,
    "n_ctx": 3,
    "d_vocab": 8,
    "d_vocab_out": 7,
}


def by_hand(w, a, b, attn_coeff=None):
    """One pair through every position and layer, with loops over heads, as the papers write it."""
    x = torch.stack([w["embed.W_E"][t] for t in (a, b, 7)]) + w["pos_embed.W_pos"]
    for i in range(2):
        out = torch.zeros_like(x)
        for h in range(2):
            q, k, v = (x @ w[f"blocks.{i}.attn.W_{n}"][h] for n in "QKV")
            scores = q @ k.T / 2.0
            if attn_coeff is None:
                pattern = scores.masked_fill(torch.ones(3, 3).triu(1).bool(), -torch.inf).softmax(-1)
            else:
                pattern = attn_coeff * scores.softmax(-1) + (1 - attn_coeff)
            out += pattern @ v @ w[f"blocks.{i}.attn.W_O"][h]
        x = x + out
        hidden = torch.relu(x @ w[f"blocks.{i}.mlp.W_in"] + w[f"blocks.{i}.mlp.b_in"])
        x = x + hidden @ w[f"blocks.{i}.mlp.W_out"] + w[f"blocks.{i}.mlp.b_out"]
    return (x @ w["unembed.W_U"])[-1], hidden[-1]


@pytest.mark.parametrize("attn_coeff", [None, 0.0, 0.7])
def test_forward_pass_is_that_of_the_papers(attn_coeff):
    model = {"kind": "transformer", **SHAPE}
    w = initial_weights(model, 0)
    view = ModelView(
        Transformer(w, Architecture(**SHAPE, n_tokens=7, attn_coeff=attn_coeff)), detectors.Task.parse("add:7")
    )
    for a, b in [(0, 0), (3, 5), (6, 1)]:
        logits, hidden = by_hand(w, a, b, attn_coeff)
        torch.testing.assert_close(view.logits()[7 * a + b], logits, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(view.neurons()[7 * a + b], hidden, atol=1e-5, rtol=1e-5)


def test_chunks_make_no_difference(grokked, monkeypatch):
    whole = grokked.logits()
    monkeypatch.setattr(view_module, "CHUNK", 100)
    parts = ModelView(grokked.network, grokked.task).logits()
    torch.testing.assert_close(whole, parts, atol=1e-4, rtol=1e-5)


def test_neurons_times_readout_and_the_rest_make_the_logits(grokked):
    """What the readout gives for a change of the neurons is what a run with that edit gives."""
    pairs = torch.arange(0, 2809, 97)
    change = torch.randn(len(pairs), 256, generator=torch.Generator().manual_seed(0))
    edited, _ = grokked.run(grokked.tokens_of(pairs), edit={"blocks.0.mlp.hook_post": lambda x: x + change[:, None]})
    expected = grokked.logits()[pairs] + change @ grokked.readout()
    torch.testing.assert_close(edited, expected, atol=1e-3, rtol=1e-4)


def test_run_is_differentiable_with_respect_to_the_embeddings(grokked):
    embedded = grokked.run(torch.tensor([[1, 2]]), capture=["hook_embed"])[1]["hook_embed"].detach().requires_grad_()
    logits, _ = grokked.run(torch.tensor([[1, 2]]), edit={"hook_embed": lambda _: embedded})
    logits[0, 3].backward()
    assert float(embedded.grad.abs().sum()) > 0


def test_parts_and_missing_parts(grokked):
    assert {"embedding", "neurons", "preactivations", "readout", "attention", "group", "split"} <= grokked.parts
    mlp = {"kind": "mlp", "n_tokens": 7, "d_model": 4, "d_mlp": 6, "d_vocab_out": 7}
    task = detectors.Task.parse("max:7")
    view = ModelView(network(mlp, initial_weights(mlp, 0), task), task)
    assert "group" not in view.parts
    assert view.split.status == "unknown"
    with pytest.raises(MissingPart, match="attention"):
        view.attention()
    with pytest.raises(MissingPart, match="hook point"):
        view.run(torch.tensor([[0, 0]]), capture=["blocks.3.hook"])
    with pytest.raises(MissingPart, match="W_Q"):
        view.weight("W_Q")
    assert grokked.attention().shape == (2809, 4, 3)
    torch.testing.assert_close(grokked.attention().sum(-1), torch.ones(2809, 4))


def test_a_model_that_does_not_fit_its_task_is_refused(grokked):
    with pytest.raises(CheckpointError, match="59 tokens and the model 53"):
        ModelView(grokked.network, detectors.Task.parse("add:59"))
    with pytest.raises(CheckpointError, match="training mask"):
        ModelView(grokked.network, grokked.task, train_mask=np.ones(5, dtype=bool))
    with pytest.raises(CheckpointError, match="training mask"):
        ModelView(grokked.network, grokked.task, train_mask=np.ones(2810, dtype=bool))


def test_separate_vocabularies_read_b_from_the_second_half():
    shape = SHAPE | {"n_layers": 1, "n_ctx": 2, "d_vocab": 14}
    w = initial_weights({"kind": "transformer", **shape}, 0)
    net = Transformer(w, Architecture(**shape, n_tokens=7))
    assert net.sequence(torch.tensor([[2, 3]])).tolist() == [[2, 10]]
    torch.testing.assert_close(net.embedding(1), w["embed.W_E"][7:14])


def test_figures_are_over_trained_test_and_unseen_pairs_and_say_how_many():
    """Mod 5: trained on (0, 1), (1, 0), (2, 3), (4, 4) and (1, 2), of which (2, 3) and (1, 2) have an echo."""
    task = detectors.Task.parse("add:5")
    mask = np.zeros((5, 5), dtype=bool)
    for a, b in ((0, 1), (1, 0), (2, 3), (4, 4), (1, 2)):
        mask[a, b] = True
    right = mask.copy()
    right[4, 4], right[3, 2], right[0, 0] = False, True, True  # a trained pair wrong, an echo and an unseen one right
    logits = 3 * made.one_hot(task)
    logits[~right.ravel()] = logits[~right.ravel()].roll(1, 1)
    view = ModelView(_TableNetwork(logits, 5), task, train_mask=mask.ravel())
    found = view.figures()
    assert (found.cases.all, found.cases.train, found.cases.echoed, found.cases.unseen) == (25, 5, 2, 18)
    accuracy = found.accuracy
    assert (accuracy.all, accuracy.train, accuracy.test, accuracy.unseen) == pytest.approx(
        (6 / 25, 4 / 5, 2 / 20, 1 / 18)
    )
    low, high = np.log(1 + 4 * np.exp(-3)), np.log(1 + 4 * np.exp(-3)) + 3
    assert found.loss.unseen == pytest.approx((low + 17 * high) / 18)
    assert found.loss.test == pytest.approx((2 * low + 18 * high) / 20)
    unknown = view.with_train_mask(None).figures()
    assert (unknown.cases.all, unknown.cases.train, unknown.cases.echoed, unknown.cases.unseen) == (
        25,
        None,
        None,
        None,
    )
    assert (unknown.accuracy.all, unknown.accuracy.test, unknown.accuracy.unseen) == (6 / 25, None, None)


def test_a_split_that_leaves_no_unseen_pair_has_no_figure_of_them():
    task = detectors.Task.parse("add:5")
    mask = np.triu(np.ones((5, 5), dtype=bool)).ravel()
    found = ModelView(_TableNetwork(made.one_hot(task), 5), task, train_mask=mask).figures()
    assert (found.cases.train, found.cases.echoed, found.cases.unseen) == (15, 10, 0)
    assert (found.accuracy.test, found.accuracy.unseen, found.loss.unseen) == (1, None, None)


def test_every_layer_with_neurons_is_offered(grokked):
    deep = {"layers": 3, "d": 6, "m": 5, "shared": True, "act": "relu", "residual": True, "norm": False}
    view = ModelView(Stack(deep, initial(deep, 7, 0)), "add:7")
    assert view.neuron_layers == [0, 1, 2]
    x = view.embedding(0)[[2]] + view.embedding(1)[[5]]
    for i in range(3):
        neurons = (x @ view.weight(f"{i}.W_in") + view.weight(f"{i}.b")).relu()
        torch.testing.assert_close(view.neurons(i)[[2 * 7 + 5]], neurons)
        x = x + neurons @ view.weight(f"{i}.W_out")
    torch.testing.assert_close(view.neurons(-1), view.neurons(2))
    assert view.readout(0) is None
    assert view.readout(2) is not None
    assert grokked.neuron_layers == [0]
    table = ModelView(Silent(made.one_hot(view.task), 7), "add:7")
    assert table.neuron_layers == []
    assert not {"neurons", "preactivations"} & table.parts


class Silent(_TableNetwork):
    """A table without hook points."""

    def forward(self, tokens, hook):
        return self.logits[tokens[:, 0] * self.n_tokens + tokens[:, 1]]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_logits_that_are_not_finite_are_refused_by_the_names_of_the_pairs(value):
    task = detectors.Task.parse("add:7")
    logits = made.one_hot(task)
    logits[2 * 7 + 5, 3] = logits[6 * 7 + 1, 0] = value
    network = Silent(logits, 7)
    network.weights = {}  # which would be told of first
    view = ModelView(network, task)
    for ask in (view.logits, view.figures, lambda: view.split, lambda: detectors.run(view)):
        with pytest.raises(
            CheckpointError, match=r"logits of 2 of 49 pairs are not finite, such as \(2, 5\), \(6, 1\): "
        ):
            ask()
    logits[:, 3] = value
    with pytest.raises(CheckpointError, match=r"of 49 of 49 .*\(0, 0\), \(0, 1\), \(0, 2\), \(0, 3\), \(0, 4\): "):
        ModelView(Silent(logits, 7), task).logits()


def test_pairs_without_an_answer_and_columns_that_are_none_may_hold_anything():
    task = detectors.Task.parse("div:7")
    right = torch.nn.functional.one_hot(made.answers_of(task).clamp_min(0), 7).float()
    logits = torch.cat([right, torch.full((49, 2), torch.nan)], dim=1)
    logits[0] = torch.inf  # 0 / 0
    view = ModelView(Silent(logits, 7), task)
    assert view.figures().accuracy.all == 1


def test_holes_of_a_groups_table_are_scored_with_it_and_must_be_finite():
    """The group labels (2, 3), so that its logits are part of every fibre, though the table has no answer there."""
    table = detectors.Task.parse("add:11").answer.copy()
    table[2, 3] = -1
    task = detectors.Task.of_table("table:t.npy", table)
    logits = made.one_hot(detectors.Task.parse("add:11"))
    logits[2 * 11 + 3] = torch.nan
    with pytest.raises(CheckpointError, match=r"logits of 1 of 121 pairs are not finite, such as \(2, 3\)"):
        ModelView(Silent(logits, 11), task).logits()


def test_a_task_may_be_inferred_from_the_models_own_answers():
    logits = made.one_hot(detectors.Task.parse("sub:13"))
    logits[5] = logits[5].roll(1)
    view = ModelView(Silent(logits, 13), "infer")
    assert (view.task.spec, view.group.name) == ("infer=sub:13", "C13")
    assert view.figures().accuracy.all == 168 / 169
