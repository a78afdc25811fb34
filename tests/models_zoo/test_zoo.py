"""Analytic members are exact; shipped members are what their recipes made."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from typer.testing import CliRunner

import detectors
import models_zoo
from fixtures.strategies import planted, planted_groups
from models_zoo.__main__ import app
from models_zoo.train import WEIGHTS, cards, save, train


def accuracy(view):
    answers = torch.from_numpy(view.task.answer.ravel())
    return float((view.logits().argmax(1) == answers).double().mean())


@given(planted(act_fn="square"))
def test_square_networks_are_right_on_every_pair_and_have_the_stated_logits(case):
    view, frequencies = case
    p = view.task.n_tokens
    assert accuracy(view) == 1.0
    a, b, c = np.ix_(*[np.arange(p)] * 3)
    expected = sum(
        (1 + np.cos(2 * np.pi * k * (a - b) / p)) * np.cos(2 * np.pi * k * (a + b - c) / p) for k in frequencies
    )
    np.testing.assert_allclose(view.logits().numpy().reshape(p, p, p) / 4, expected, atol=1e-4)


@given(planted())
def test_relu_networks_are_right_on_every_pair(case):
    assert accuracy(case[0]) == 1.0


@given(planted_groups())
def test_group_networks_are_right_and_give_the_character(case):
    view, name = case
    g = view.group
    irrep = next(i for i in g.irreps if i.name == name)
    assert accuracy(view) == 1.0
    a, b, c = np.ix_(*[np.arange(g.order)] * 3)
    expected = irrep.character[g.table[g.table[a, b], g.inverse[c]]]
    found = view.logits().numpy().reshape(g.order, g.order, g.order)
    np.testing.assert_allclose(found / found.max() * expected.max(), expected, atol=1e-3)


@given(st.sampled_from(["add:11", "max:9", "compose:S3", "div:7"]), st.floats(0.1, 1.0), st.integers(0, 99))
def test_lookup_tables_know_exactly_their_training_pairs(task, fraction, seed):
    view = models_zoo.lookup_table(task, train_fraction=fraction, seed=seed)
    right = (view.logits().argmax(1) == torch.from_numpy(view.task.answer.ravel())).numpy()
    assert right[view.train_mask].all()
    assert view.train_mask.sum() == int(fraction * len(view.task.domain))


@pytest.mark.parametrize("name", list(cards()))
def test_shipped_members_load_and_are_what_their_cards_say(name):
    view = detectors.load(f"zoo:{name}")
    card = cards()[name]
    assert view.task.spec == card["task"]
    config = json.loads((WEIGHTS / name / "config.json").read_text())
    assert config["recipe"] == card["recipe"]
    assert view.train_mask.sum() == int(card["recipe"]["train_fraction"] * len(view.task.domain))


def test_grokked_memorised_untrained(grokked, memorised):
    """By training control: accuracies on pairs that were and were not trained on."""
    figures = {
        name: detectors.run(view, names=[]).accuracy
        for name, view in {"g": grokked, "m": memorised, "u": detectors.load("zoo:add53_untrained")}.items()
    }
    assert (figures["g"].train, figures["g"].test) == (1.0, 1.0)
    assert figures["m"].train == 1.0
    assert figures["m"].test < 0.1
    assert figures["u"].all < 0.05


def test_training_again_gives_the_same_weights_and_losses(tmp_path):
    card = cards()["add53_memorised"]
    losses = []
    first = train(card, steps=30, every=10, report=lambda *figures: losses.append(figures))
    second = train(card, steps=30, every=10)
    assert first.losses == second.losses
    assert [step for step, *_ in losses] == [0, 10, 20, 30]
    assert all(torch.equal(first.weights[k], second.weights[k]) for k in first.weights)
    # the losses that this recipe gave when it was written down, on another run of another process
    assert first.losses[0][1] == pytest.approx(4.0126, abs=2e-3)
    assert first.losses[-1][1] < first.losses[0][1]
    save(tmp_path / "m", card, first)
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["config.json", "model.safetensors"]
    assert set(load_file(tmp_path / "m" / "model.safetensors")) == set(first.weights)


def test_untrained_weights_are_step_zero_of_the_recipe():
    fresh = train(cards()["add53_untrained"])
    shipped = load_file(WEIGHTS / "add53_untrained" / "model.safetensors")
    assert all(torch.equal(fresh.weights[k], shipped[k]) for k in shipped)


def test_the_command_lists_and_trains(tmp_path):
    listed = CliRunner().invoke(app, ["list"], env={"COLUMNS": "120"})
    assert listed.exit_code == 0
    assert "add53_grokked" in listed.stdout
    trained = CliRunner().invoke(app, ["train", "add53_untrained", "--out", str(tmp_path / "u")])
    assert trained.exit_code == 0, trained.output
    assert detectors.load(tmp_path / "u").task.spec == "add:53"
    assert CliRunner().invoke(app, ["train", "nobody"]).exit_code == 2


def test_a_wrong_name_gets_a_suggestion():
    with pytest.raises(detectors.DetectorsError, match="did you mean zoo:add53_grokked"):
        detectors.load("zoo:add53_groked")
