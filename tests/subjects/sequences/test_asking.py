"""Which sequences are asked, and what an edit of heads puts in their place."""

import pytest
import torch

import models_zoo
from detectors.subjects.right import MIN_RIGHT
from detectors.subjects.sequences.asking import Address, Asking
from detectors.subjects.sequences.patterns import sample_of
from detectors.subjects.sequences.view import SequenceView


@pytest.fixture
def view():
    """Of its sequences half have noise in the place of tokens that it could copy."""
    whole = models_zoo.induction_head(n_tokens=12, n_ctx=16)
    view = SequenceView(whole.network, whole.task)
    view.for_causes = 20
    return view


def test_sequences_with_the_most_right_answers_are_asked(view):
    sample = sample_of(view)
    spoilt = torch.arange(len(sample.tokens)) % 2 == 0
    sample.targets[spoilt] = torch.where(sample.targets[spoilt] >= 0, (sample.targets[spoilt] + 1) % 12, -1)
    asking = Asking.of(view, sample)
    assert len(asking.chosen) == 20
    assert not spoilt[asking.chosen].any()
    assert bool(asking.right.all())
    assert Asking.of(view, sample) is asking


def test_as_many_are_asked_as_enough_right_answers_take(view):
    """Of one sequence with a few right answers nothing could be said."""
    view.for_causes = 1
    sample = sample_of(view)
    answered = Asking.of(view, sample)
    assert int(answered.right.sum()) >= MIN_RIGHT
    assert int(answered.right.sum()) - int(answered.sample.asked.sum(1).min()) < MIN_RIGHT + sample.tokens.shape[1]
    assert len(answered.chosen) > 1


def test_the_mean_of_all_sequences_takes_a_head_s_place_where_a_model_keeps_it(view):
    sample = sample_of(view)
    name = "blocks.1.attn.hook_z"
    kept = torch.randn(1, *view.run(sample.tokens[:1], capture=[name])[1][name].shape[1:])
    seen = {}

    class Keeping(SequenceView):
        for_causes = 20

        def means(self, tokens):
            assert tokens.equal(sample.tokens)
            return {name: kept}

        def run(self, tokens, **given):
            if edit := given.get("edit"):
                seen.update({point: change(torch.zeros(20, *kept.shape[1:])) for point, change in edit.items()})
            return super().run(tokens, **given)

    asking = Asking.of(Keeping(view.network, view.task), sample)
    asking.without([Address(1, 0)], "z")
    assert torch.equal(seen[name][:, :, 0], kept[:, :, 0].expand(20, -1, -1))
    assert not seen[name][:, :, 1:].any()


def test_sequences_in_the_order_of_their_answers_are_asked_as_in_any_other(view):
    """Of two kinds: nearly every one lies beside its like, whose answers are its own."""
    sample = sample_of(view)
    kinds = torch.tensor([0] * 40 + [1] * 40)
    sample = sample.some(kinds)
    assert not torch.equal(sample.targets[0], sample.targets[40])
    assert Asking.of(view, sample) is not None
