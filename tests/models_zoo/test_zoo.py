"""Analytic members are exact; shipped members are what their recipes made."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from typer.testing import CliRunner

import detectors
import models_zoo
from detectors.core.registry import builtin
from fixtures.strategies import networks_of_any_group, trig_mlps_of_any_modulus
from models_zoo.__main__ import app
from models_zoo.cards import WEIGHTS, cards, expected, folders, measured
from models_zoo.train import save, train
from models_zoo.verify import faults

HEADS = {"previous_token_heads", "induction_heads"}  # motifs of sequence models: known, and no detector yet


def accuracy(view):
    answers = torch.from_numpy(view.task.answer.ravel())
    return float((view.logits().argmax(1) == answers).double().mean())


@given(trig_mlps_of_any_modulus(act_fn="square"))
def test_square_networks_are_right_on_every_pair_and_have_the_stated_logits(case):
    view, frequencies = case
    p = view.task.n_tokens
    assert accuracy(view) == 1.0
    a, b, c = np.ix_(*[np.arange(p)] * 3)
    expected = sum(
        (1 + np.cos(2 * np.pi * k * (a - b) / p)) * np.cos(2 * np.pi * k * (a + b - c) / p) for k in frequencies
    )
    np.testing.assert_allclose(view.logits().numpy().reshape(p, p, p) / 4.5, expected, atol=1e-4)


@given(trig_mlps_of_any_modulus(act_fn="relu"))
def test_relu_networks_are_right_on_every_pair(case):
    assert accuracy(case[0]) == 1.0


@given(networks_of_any_group())
def test_group_networks_are_right_and_give_the_characters(case):
    """Logits are the sum over irreps of degree / n * character(a b c^-1): the projector onto their blocks."""
    view, irreps = case
    g = view.group
    assert accuracy(view) == 1.0
    a, b, c = np.ix_(*[np.arange(g.order)] * 3)
    weights = [g.irreps[i].dimension / g.irreps[i].character[g.identity] / g.order for i in irreps]
    expected = sum(w * g.irreps[i].character for w, i in zip(weights, irreps, strict=True))
    found = view.logits().numpy().reshape(g.order, g.order, g.order)
    np.testing.assert_allclose(found, expected[g.table[g.table[a, b], g.inverse[c]]], atol=1e-5)


@given(st.integers(4, 40), st.integers(9, 40), st.integers(0, 99))
def test_the_exact_induction_head_continues_whatever_repeats(n_tokens, n_ctx, seed):
    view = models_zoo.induction_head(n_tokens=max(n_tokens, n_ctx // 2 + 1), n_ctx=n_ctx)
    right, _ = view.asked_figures(view.draw(16, seed=seed))
    assert bool(right.all())
    pattern = "blocks.{}.attn.hook_pattern".format
    tokens = view.draw(1, seed=seed).tokens
    _, seen = view.run(tokens, capture=[pattern(0), pattern(1)])
    before = seen[pattern(0)][0, 0]
    assert bool((before[range(1, n_ctx - 1), range(n_ctx - 2)] > 0.999).all())


@given(st.sampled_from(["add:11", "max:9", "compose:S3", "div:7"]), st.floats(0.1, 1.0), st.integers(0, 99))
def test_lookup_tables_know_exactly_their_training_pairs(task, fraction, seed):
    view = models_zoo.lookup_table(task, train_fraction=fraction, seed=seed)
    right = (view.logits().argmax(1) == torch.from_numpy(view.task.answer.ravel())).numpy()
    assert right[view.train_mask].all()
    assert view.train_mask.sum() == int(fraction * len(view.task.domain))


@pytest.mark.sampled(33)
@pytest.mark.parametrize("name", list(cards()))
def test_members_are_what_their_cards_say(name):
    """Digest, accuracies, exactness, and the verdict on every motif that the card settles."""
    assert list(faults(name, verdicts=True)) == []


@pytest.mark.wide
def test_faults_are_found(monkeypatch):
    """A card that is wrong about its member, held against it."""
    wrong = {**cards()["add53_memorised"], "present": ["trig_logits"], "absent": [], "inert": []}
    facts = {**measured(WEIGHTS / "add53_memorised"), "sha256": "0" * 64, "test_accuracy": 1.0}
    monkeypatch.setattr("models_zoo.verify.cards", lambda: {"add53_memorised": wrong})
    monkeypatch.setattr("models_zoo.verify.measured", lambda folder: facts)
    digest, accuracy, verdict = faults("add53_memorised", verdicts=True)
    assert "digest" in digest
    assert "recorded 1.0" in accuracy
    assert "trig_logits should be present" in verdict
    assert "training control" in verdict


def test_cards_are_complete():
    for name, card in cards().items():
        assert card["about"]
        assert card["known"], name
        assert ("recipe" in card) != ("build" in card), name
        assert set(expected(card)) <= set(builtin()) | HEADS
        listed = [m for key in ("present", "absent", "inert") for m in card[key]]
        assert len(listed) == len(set(listed)), name
    kinds = [card["kind"] for card in cards().values()]
    assert len(kinds) >= 45
    assert kinds.count("negative") >= 18
    assert kinds.count("series") >= 2
    assert sum("recipe" in card for card in cards().values()) >= 25


@pytest.mark.parametrize("name", [n for n, c in cards().items() if c["family"] in ("grokked", "memorised")])
def test_training_control(name):
    """What the cards call known: accuracy on pairs that were never trained on."""
    facts = measured(folders(name)[-1])
    assert facts["train_accuracy"] == 1.0
    assert facts["test_accuracy"] >= 0.99 if cards()[name]["family"] == "grokked" else facts["test_accuracy"] < 0.25


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
    assert first.curve == second.curve
    assert [step for step, *_ in losses] == [0, 10, 20, 30]
    assert all(torch.equal(first.weights[k], second.weights[k]) for k in first.weights)
    save(tmp_path / "m", card, first)
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["config.json", "measured.json", "model.safetensors"]
    assert set(load_file(tmp_path / "m" / "model.safetensors")) == set(first.weights)


@pytest.mark.wide
def test_a_recipe_gives_the_recorded_losses():
    """The smallest recipes: two hundred steps of a series against its first checkpoints, and one to its end."""
    name = "add53_square_series"
    points = {step: figures for step, *figures in train(cards()[name], steps=200).curve}
    for folder in folders(name)[:4]:
        facts = measured(folder)
        recorded = [facts[k] for k in ("train_loss", "test_loss", "train_accuracy", "test_accuracy")]
        assert points[facts["steps"]] == pytest.approx(recorded, rel=1e-3)
    facts = measured(WEIGHTS / "skip_trigrams")
    steps, loss, test_loss, _, accuracy = train(cards()["skip_trigrams"], every=500).curve[-1]
    assert (steps, accuracy) == (facts["steps"], facts["test_accuracy"])
    assert [loss, test_loss] == pytest.approx([facts["train_loss"], facts["test_loss"]], rel=1e-2)


def test_an_interrupted_run_is_taken_up_where_it_was(tmp_path, monkeypatch):
    card = cards()["add53_mlp_memorised"]
    whole = train(card, steps=60, every=20)

    class Stop(Exception):
        pass

    def stop(step, *_):
        if step == 40:
            raise Stop

    clock = iter(range(0, 10**6, 31))  # the state is kept at every step
    monkeypatch.setattr("models_zoo.train.time.monotonic", lambda: next(clock))
    with pytest.raises(Stop):
        train(card, steps=60, every=20, report=stop, resume=tmp_path / "state.pt")
    assert (tmp_path / "state.pt").exists()
    resumed = train(card, steps=60, every=20, resume=tmp_path / "state.pt")
    assert all(torch.equal(whole.weights[k], resumed.weights[k]) for k in whole.weights)
    assert resumed.curve[-1] == whole.curve[-1]
    assert not (tmp_path / "state.pt").exists()


def test_untrained_weights_are_step_zero_of_the_recipe():
    fresh = train(cards()["add53_untrained"])
    shipped = load_file(WEIGHTS / "add53_untrained" / "model.safetensors")
    assert all(torch.equal(fresh.weights[k], shipped[k]) for k in shipped)


def test_the_command_lists_and_trains(tmp_path):
    listed = CliRunner().invoke(app, ["list"], env={"COLUMNS": "120"})
    assert listed.exit_code == 0
    assert "add53_grokked" in listed.stdout
    trained = CliRunner().invoke(app, ["train", "add53_untrained", "--out", str(tmp_path)])
    assert trained.exit_code == 0, trained.output
    assert detectors.load(tmp_path / "add53_untrained").task.spec == "add:53"
    assert CliRunner().invoke(app, ["train", "nobody"]).exit_code == 2


@pytest.mark.wide
@pytest.mark.parametrize("name", [n for n, c in cards().items() if c["family"] in ("sequences", "no_induction")])
def test_members_of_sequences_know_their_task_and_are_asked_for_motifs_of_heads_alone(name):
    report = detectors.run(detectors.load(f"zoo:{name}"))
    assert [d.detector for d in report] == list(builtin("sequences"))
    assert report.task.spec == cards()[name].get("task", "repeat")
    if name == "induction_one_layer":
        assert report.accuracy.all < 0.6
    else:
        assert report.accuracy.all > 0.98


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", [n for n, c in cards().items() if c["family"] == "series"])
def test_a_series_goes_from_chance_through_memorisation_to_generalisation(name):
    facts = [measured(folder) for folder in folders(name)]
    assert 12 <= len(facts) <= 20
    assert facts[0]["train_accuracy"] < 0.1
    assert any(f["train_accuracy"] == 1.0 and f["test_accuracy"] < 0.3 for f in facts)
    assert facts[-1]["test_accuracy"] == 1.0
    assert detectors.load(f"zoo:{name}").checkpoint.sha256 == facts[-1]["sha256"]
    assert detectors.load(f"zoo:{name}/{folders(name)[3].name}").checkpoint.sha256 == facts[3]["sha256"]
    with pytest.raises(detectors.DetectorsError, match="has no checkpoint 'step_7'"):
        detectors.load(f"zoo:{name}/step_7")


def test_a_wrong_name_gets_a_suggestion():
    with pytest.raises(detectors.DetectorsError, match="did you mean zoo:add53_grokked"):
        detectors.load("zoo:add53_groked")
