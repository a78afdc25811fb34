"""The view edits a whole forward pass, and knows which keys may be attended to."""

import pytest
import torch

import detectors
from detectors.loading.transformer import Architecture, SequenceTransformer
from detectors.subjects.sequences.view import SequenceView, allowed
from models_zoo import induction_head
from models_zoo.architectures import initial_weights

# a vocabulary of brackets, which has padding
SHAPE = {
    "n_layers": 2,
    "d_model": 8,
    "n_heads": 2,
    "d_head": 4,
    "d_mlp": 6,
    "n_ctx": 8,
    "d_vocab": 5,
    "d_vocab_out": 2,
}


def random_view(**fields):
    weights = initial_weights({"kind": "transformer", **SHAPE}, 0)
    return SequenceView(SequenceTransformer(weights, Architecture(**SHAPE, n_tokens=5, **fields)), "brackets:6")


def test_edits_and_captures_reach_the_forward_pass():
    view = induction_head(n_tokens=12, n_ctx=12)
    tokens = view.sample.tokens
    point = "blocks.0.attn.hook_pattern"
    logits, seen = view.run(tokens, capture=[point])
    assert logits.shape == (len(tokens), 11, 12)
    assert seen[point].shape == (len(tokens), 1, 11, 11)
    right, _ = view.asked_figures(view.sample)
    without, _ = view.run(tokens, edit={point: lambda pattern: torch.full_like(pattern, 1 / 11)})
    asked = view.sample.targets >= 0
    left = (without[asked].argmax(1) == view.sample.targets[asked]).double().mean()
    assert bool(right.all())
    assert left < 0.5
    with pytest.raises(detectors.DetectorsError, match="no hook point"):
        view.run(tokens, capture=["blocks.0.mlp.hook_post"])


def test_a_network_of_two_operands_is_no_sequence_model():
    with pytest.raises(detectors.DetectorsError, match="lacks n_ctx"):
        SequenceView(detectors.load("zoo:add53_grokked").network, "repeat")


def test_keys_are_those_before_and_no_padding():
    tokens = torch.tensor([[5, 1, 9]])
    assert allowed(tokens, True, None).int().tolist() == [[[1, 0, 0], [1, 1, 0], [1, 1, 1]]]
    assert allowed(tokens, False, 1).int().tolist() == [[[1, 0, 1]] * 3]


@pytest.mark.parametrize("causal", [None, True, False])
@pytest.mark.parametrize("pad", [None, 1])
def test_keys_are_those_that_the_network_attends_to(causal, pad):
    """A key is allowed where the pattern of random weights has mass."""
    view = random_view(causal=causal, pad_token=pad)
    tokens = view.sample.tokens
    assert bool((tokens == 1).any())
    assert view.causal is (causal is not False)
    for layer in range(2):
        point = f"blocks.{layer}.attn.hook_pattern"
        pattern = view.run(tokens, capture=[point])[1][point]
        assert torch.equal(pattern > 0, view.keys(tokens)[:, None].expand_as(pattern))


class Own:
    """Somebody's network with TransformerLens's hook points, whose description and weights are as he likes."""

    def __init__(self, architecture, weights):
        honest = induction_head(n_tokens=12, n_ctx=16).network
        self.architecture, self.weights, self.forward = architecture, weights, honest.forward
        self.n_tokens, self.n_ctx, self.n_layers = honest.n_tokens, honest.n_ctx, honest.n_layers


def test_heads_are_counted_in_the_patterns_where_nothing_says_how_many():
    honest = induction_head(n_tokens=12, n_ctx=16)
    view = SequenceView(Own({"kind": "mine"}, honest.weights), "repeat")
    assert view.n_heads == honest.n_heads == 1
    assert detectors.run(view, names=["induction_heads"], draws=19)[0].score == pytest.approx(1, abs=0.01)
    assert random_view().n_heads == 2


def test_what_needs_a_weight_that_is_not_there_says_which():
    names = ["induction_heads", "copying_heads", "duplicate_token_heads"]
    report = detectors.run(SequenceView(Own({"n_heads": 1}, {}), "repeat"), names=names, draws=19)
    assert {name: str(report[name].verdict) for name in names} == dict(
        zip(names, ["not_applicable", "not_applicable", "absent"], strict=True)
    )
    assert "no weight 'blocks.1.attn.W_O'" in report["induction_heads"].reason
    assert "no weight 'unembed.W_U'" in report["copying_heads"].reason


def test_a_seed_is_named_and_draws_the_same_again():
    """As a number without a name it would be taken for something else."""
    view = random_view()
    assert torch.equal(view.draw(batch=4, seed=3).tokens, view.draw(4, seed=3).tokens)
    assert not torch.equal(view.draw(4, seed=3).tokens, view.draw(4, seed=4).tokens)
    with pytest.raises(TypeError):
        view.draw(4, 3)


def test_a_context_whose_patterns_fill_the_memory_is_refused_before_a_pass():
    class Endless:
        architecture, weights = {"kind": "mine", "n_heads": 8}, {}
        n_tokens, n_ctx, n_layers = 40_000, 60_000, 12

        def forward(self, tokens, hook):
            raise AssertionError("it was run")

    with pytest.raises(detectors.DetectorsError, match=r"attention over \d+ positions in 12 layers of 8 heads"):
        SequenceView(Endless(), "repeat")
