"""The population: recipes by number alone, cards by behaviour alone, weights that are small."""

import numpy as np
import pytest

from detectors.loading.load import load
from detectors.subjects.operands.task import Task
from models_zoo import population
from models_zoo.behaviour import Behaviour, Side, behaviour
from models_zoo.fitting import Recipe, fitted, keep, kept
from models_zoo.population.recipes import NUMBERS, recipe
from models_zoo.population.stored import WEIGHTS, Member

PLAIN = {"kind": "mlp", "d_model": 8, "d_mlp": 16, "act_fn": "relu"}


def member(train, unseen, config=PLAIN, pairs=100):
    return Member(0, Recipe(config, 0.5, 1.0), Behaviour(Side(400, train), Side(0, None), Side(pairs, unseen), 1 / 31))


@pytest.mark.parametrize(
    ("train", "unseen", "side"),
    [(1.0, 1.0, "generalises"), (1.0, 0.97, "unknown"), (0.99, 0.97, "generalises"), (1.0, 0.02, "memorises"),
     (1.0, 0.15, "unknown"), (1.0, 0.5, "unknown"), (0.5, 0.02, "unknown"), (0.03, 0.02, "unknown")],
)  # fmt: skip
def test_accuracy_on_both_sides_decides_what_a_network_is(train, unseen, side):
    assert population.side(member(train, unseen)) == side


def test_a_card_says_only_what_behaviour_and_the_published_analyses_settle():
    grokked, memorised = population.expected(member(1.0, 1.0)), population.expected(member(1.0, 0.0))
    assert grokked == {**dict.fromkeys(grokked, "present"), "memorisation": "absent"}
    assert len(grokked) == 8
    assert memorised["memorisation"] == "present"
    assert memorised["generalisation"] == "absent"
    assert memorised["trig_logits"] == "unused"
    assert "sparse_fourier_embedding" not in memorised  # a lookup may have any embedding
    assert "sparse_fourier_embedding" not in population.expected(member(1.0, 1.0, {**PLAIN, "act_fn": "square"}))
    assert "trig_product_neurons" not in population.expected(member(1.0, 1.0, {"cell": "gru", "d": 8, "m": 8}))
    assert population.expected(member(1.0, 0.5)) == {}


def test_a_network_on_a_group_of_few_irreps_need_have_no_sparse_spectrum():
    small = member(1.0, 1.0)._replace(recipe=Recipe(PLAIN, 0.5, 1.0, "compose:A4"))  # two beside the trivial one
    large = member(1.0, 1.0)._replace(recipe=Recipe(PLAIN, 0.5, 1.0, "compose:D15"))  # eight
    assert set(population.expected(large)) - set(population.expected(small)) == {
        "trig_logits",
        "sparse_fourier_embedding",
    }
    permutations = member(1.0, 1.0)._replace(recipe=Recipe(PLAIN, 0.5, 1.0, "compose:S4"))
    assert set(population.expected(permutations)) - set(population.expected(small)) == {"coset_neurons"}


def test_recipes_cover_what_was_asked():
    recipes = [recipe(number) for number in NUMBERS]
    assert recipes[7] == recipe(7) != recipe(8)
    kinds = {r.config.get("kind") or r.config.get("cell") or "stack" for r in recipes}
    assert kinds == {"mlp", "transformer", "stack", "gru", "lstm"}
    transformers = [r.config for r in recipes if r.config.get("kind") == "transformer"]
    for key, values in {"n_ctx": {2, 3}, "n_layers": {1, 2}, "act_fn": {"relu", "gelu", "silu"}}.items():
        assert {config[key] for config in transformers} == values
    assert {r.optimiser for r in recipes} >= {"adamw", "nadam", "radam"}
    names = {r.task.split(":")[1].rstrip("0123456789") for r in recipes if r.task.startswith("compose")}
    assert names >= {"S", "A", "D", "Dic", "C5xC", "C2xA"}
    assert {int(r.task.split(":")[1]) for r in recipes if not r.task.startswith("compose")} == {23, 29, 31, 37, 41, 43}


def test_there_are_enough_on_either_side_and_they_are_small():
    sides = [population.side(m) for m in population.members()]
    assert sides.count("generalises") >= 160
    assert sides.count("memorises") >= 160
    assert sum(file.stat().st_size for file in WEIGHTS.iterdir()) < 20e6


@pytest.mark.parametrize("found", population.members()[::29], ids=lambda m: m.name)
def test_a_stored_network_answers_what_its_card_says(found):
    view = found.view()
    assert behaviour(view) == found.seen
    assert Task.parse(found.recipe.task).answer.shape == view.task.answer.shape
    assert load(f"zoo:{found.name}").logits().equal(view.logits())


def test_a_network_that_is_not_there_is_told_so():
    with pytest.raises(Exception, match=r"python -m models_zoo\.population"):
        load("zoo:population/999")


def test_training_is_reproducible_and_what_is_kept_is_what_was_fitted(tmp_path):
    small = Recipe(PLAIN, 0.6, 1.0, "add:7", steps=60, rate=1e-2, seed=3)
    keep(tmp_path / "a.safetensors", small)
    first, second = kept(tmp_path / "a.safetensors", small), fitted(small)
    assert first.logits().equal(second.logits())
    np.testing.assert_array_equal(first.train_mask, second.train_mask)
    assert first.train_mask.sum() == int(0.6 * 49)
    assert behaviour(first).train.accuracy > 0.5  # it has learnt something in sixty steps
