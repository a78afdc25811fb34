"""Models made to hurt answer what their truth says that they do; no detector is asked."""

import numpy as np
import pytest
import torch

from detectors.core.registry import builtin
from detectors.core.verdict import Verdict
from detectors.subjects.operands.view import ModelView
from models_zoo.behaviour import behaviour
from models_zoo.hostile import models, truth, truths
from models_zoo.hostile.trained import RECIPES
from models_zoo.stacks import build, initial

MODELS = {f"{m.family}: {m.name}": m for m in models() if not m.family.startswith(("train", "noisy labels"))}
DAMAGED = ("noise on weights", "quantised", "pruned", "random labels")


@pytest.mark.wide
def test_truths_speak_of_motifs_and_verdicts_that_there_are():
    for one in truths().values():
        assert one.allowed.keys() <= set(builtin())
        assert all(words and set(words) <= set(Verdict) for words in one.allowed.values())
    assert {truth(m, behaviour(m.build())).name for m in MODELS.values() if m.family not in DAMAGED} <= truths().keys()


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", [n for n, m in MODELS.items() if m.family not in DAMAGED and m.told])
def test_a_model_answers_what_its_truth_says(name):
    model = MODELS[name]
    view = model.build()
    seen, word = behaviour(view), truth(model, behaviour(view)).name.removesuffix("_open")
    luck = max(3 * seen.chance, 0.2)
    if word in ("memoriser", "one_hot_memoriser", "gated_circuit"):
        assert seen.train.accuracy == 1
        assert seen.unseen.accuracy < luck
        if model.family == "symmetric lookup":
            assert seen.echoed.accuracy == 1
    elif word in ("flat", "line", "triangle", "line_with_cosines", "zoo_grokked", "circuit_whispered"):
        assert {side.accuracy for side in (seen.train, seen.echoed, seen.unseen)} <= {1.0, None}
    elif word.startswith("circuit"):
        sides = (seen.train, seen.echoed, seen.unseen)
        assert min(side.accuracy for side in sides if side.accuracy is not None) > 0.89
    elif word == "rest_by_circuit":
        assert (seen.train.accuracy, seen.unseen.accuracy) == (0, 1)
    if model.exceptions is not None:
        domain = view.task.domain
        answers = torch.from_numpy(view.task.answer.ravel())[domain]
        assert int((view.logits()[domain].argmax(1) != answers).sum()) == model.exceptions


def test_the_same_call_gives_the_same_model_and_a_split_that_is_not_told_is_not_there():
    model = MODELS["symmetric lookup: p 23, 70%, split not told"]
    torch.testing.assert_close(model.build().logits(), model.build().logits(), rtol=0, atol=0)
    np.testing.assert_array_equal(model.build().train_mask, model.build().train_mask)
    assert model.view().train_mask is None


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_has_a_network_that_offers_what_a_view_asks(name):
    _, recipe = RECIPES[name]
    view = ModelView(build(recipe.config, initial(recipe.config, 31, 0)), recipe.task)
    assert view.logits().isfinite().all()
    assert view.logits().shape == (961, 31)
    assert {"neurons", "embedding", "logits"} <= view.parts
    cube, symmetric = view.logits().reshape(31, 31, 31), recipe.config.get("shared", False)
    assert torch.allclose(cube, cube.transpose(0, 1), atol=1e-5) == symmetric
