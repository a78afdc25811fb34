"""What is told apart by margins and pulls, and what stays open."""

from dataclasses import replace

import pytest
import torch

from detectors.core.errors import CheckpointError
from detectors.loading.evidence import Weighed, is_near, settle
from detectors.loading.from_weights import from_weights
from detectors.loading.load import load
from detectors.loading.stack import Reading
from detectors.loading.token_layout import TokenLayout

LAST = Weighed(Reading(0, TokenLayout((("a", 0), ("b", 0))), readout="last"), 1.0, pull=0.043, margin=2.0)
GELU = replace(LAST, reading=replace(LAST.reading, act_fn="gelu"))
MEAN = replace(LAST, reading=replace(LAST.reading, readout="mean"))


@pytest.mark.parametrize(
    ("rival", "margin", "pull", "stays_open"),
    [
        (GELU, 1.7, 0.043, True),
        (GELU, 1.6, 0.043, False),
        (GELU, 1.6, 0.326, False),  # of activation functions a pull says nothing
        (MEAN, 1.4, 0.043, True),  # of another place, whose logits have another spread
        (MEAN, 1.3, 0.043, False),
        (MEAN, 1.3, 0.2, True),  # a pull that is larger by 0.157
        (MEAN, 1.3, 0.19, False),
    ],
)
def test_what_a_margin_rules_out(rival, margin, pull, stays_open):
    rival = replace(rival, margin=margin, pull=pull)
    winner, tied = settle([LAST, rival], known=True)
    assert winner is LAST
    assert [w.reading for w in tied] == [rival.reading] * stays_open


RELU = replace(LAST, accuracy=0.86, pull=-0.06, margin=-0.9)
SQUARE = replace(RELU, reading=replace(LAST.reading, act_fn="square"), accuracy=0.98, margin=0.1, cost=1.0)


@pytest.mark.parametrize(
    ("relu", "square", "pull", "wins", "open_beside", "known"),
    [
        *((0.86, 0.98, -0.06, "relu", False, known) for known in (True, False)),  # squares answer more of the damaged
        *((0.50, 0.98, -0.06, "relu", False, known) for known in (True, False)),
        *((0.48, 0.98, -0.06, "square", True, known) for known in (True, False)),
        *((0.86, 1.00, -0.06, "square", True, known) for known in (True, False)),
        *((0.98, 1.00, -0.06, "square", True, known) for known in (True, False)),
        (0.86, 0.98, 0.6, "square", False, True),  # the loss of training pairs holds the weights there, by squares
        (0.99, 1.00, -0.06, "square", False, True),  # both are right, and margins of training pairs decide
    ],
)
def test_answers_say_little_of_the_activation_function_of_a_damaged_network(
    relu, square, pull, wins, open_beside, known
):
    rivals = [
        replace(RELU, accuracy=relu),
        replace(SQUARE, accuracy=square, pull=pull, margin=0.1 if square < 1 else 3),
    ]
    winner, tied = settle(rivals, known=known)
    assert winner.reading.act_fn == wins
    assert bool(tied) == open_beside


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("blur", "pruned"), [(0.5, 0), (0.8, 0), (0, 0.7)])
def test_a_blurred_or_pruned_relu_network_is_read_with_relu(blur, pruned, known):
    """The shipped MLP that adds mod 53; x^2 answers more of it, as much as 0.98 where ReLU answers 0.86."""
    whole, generator = load("zoo:add53_mlp"), torch.Generator().manual_seed(0)
    weights = {}
    for name, w in whole.network.weights.items():
        w = w + blur * w.std() * torch.randn(w.shape, generator=generator)
        cut = w.abs().flatten().kthvalue(int(pruned * w.numel())).values if pruned else 0
        weights[name] = w * (w.abs() > cut)
    mask = whole.train_mask if known else None
    try:
        found = from_weights(weights, "add:53", train_mask=mask)
    except CheckpointError as error:
        assert "act_fn=relu" in str(error)
    else:
        assert "relu" in (found.architecture["act_fn"], *(t.other.rpartition("=")[2] for t in found.tied))


@pytest.mark.parametrize("least", [0, 2])
def test_a_cost_that_all_readings_share_rules_nothing_in(least):
    relu, odd = (
        replace(LAST, margin=1.68, cost=least),
        replace(SQUARE, accuracy=1.0, pull=0.04, margin=2.3, cost=least + 2),
    )
    assert settle([relu, odd], known=True)[0] is relu


@pytest.mark.parametrize(
    ("act_fn", "theirs", "stays_open"), [("sigmoid", 0.72, True), ("sigmoid", 0.5, False), ("silu", 0.72, False)]
)
def test_of_tanh_and_sigmoid_either_may_answer_the_more(act_fn, theirs, stays_open):
    """A network of sigmoids answered 79% under tanh and 72% under its own, and the lookup that it was showed there."""
    tanh = replace(RELU, reading=replace(LAST.reading, act_fn="tanh"), accuracy=0.79, margin=0.1, cost=1.0)
    other = replace(tanh, reading=replace(LAST.reading, act_fn=act_fn), accuracy=theirs, margin=-0.2, cost=2.0)
    near = [tanh, replace(other, near=is_near(other, tanh, 1000))]
    winner, tied = settle(near, known=False)
    assert winner is tanh
    assert [w.reading.act_fn for w in tied] == [act_fn] * stays_open
    assert settle(near, known=True)[1] == ()
