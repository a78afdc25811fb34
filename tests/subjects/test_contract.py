"""Adapters that lie by accident: each breaks one line of the contract, and nothing is scored."""

import pytest
import torch

import detectors
from detectors.core.errors import CheckpointError
from detectors.loading.layouts.two_embedding_mlp import TwoEmbeddingMLP
from detectors.subjects.contract import contract
from detectors.subjects.operands.view import ModelView
from models_zoo import induction_head, trig_mlp

HONEST = trig_mlp(p=11, frequencies=(2, 3), train_fraction=0.5)


class Mine:
    """The honest network, spelt out, with the places where adapters go wrong."""

    n_layers, n_tokens = 1, 11

    def __init__(self, dtype=torch.float32, act=torch.relu):
        self.architecture = {"kind": "mine"}
        self.weights = {name: tensor.to(dtype) for name, tensor in HONEST.network.weights.items()}
        self.act = act

    def forward(self, tokens, hook):
        return self.out(self.post(self.pre(self.embed(tokens, hook), hook), hook))

    def embed(self, tokens, hook):
        w = self.weights
        return hook("hook_embed", torch.stack([w["W_x"][tokens[:, 0]], w["W_y"][tokens[:, 1]]], dim=1))

    def pre(self, embedded, hook):
        return hook("blocks.0.mlp.hook_pre", (embedded.flatten(1) @ self.weights["W"])[:, None])

    def post(self, pre, hook):
        return hook("blocks.0.mlp.hook_post", self.act(pre))

    def out(self, post):
        return post[:, -1] @ self.weights["W_U"]

    def embedding(self, operand):
        w, d = self.weights, self.weights["W_x"].shape[1]
        return w["W_x"] @ w["W"][:d] if operand == 0 else w["W_y"] @ w["W"][d:]

    def readout(self, layer):
        return self.weights["W_U"]


class DropsNeurons(Mine):
    def post(self, pre, hook):
        post = self.act(pre)
        hook("blocks.0.mlp.hook_post", post)
        return post


class DropsPreactivations(Mine):
    def pre(self, embedded, hook):
        super().pre(embedded, hook)
        return super().pre(embedded, lambda _, x: x)


class DropsOneOperand(Mine):
    def embed(self, tokens, hook):
        given, own = super().embed(tokens, hook), super().embed(tokens, lambda _, x: x)
        return torch.stack([given[:, 0], own[:, 1]], dim=1)


class Dropout(Mine):
    def post(self, pre, hook):
        return torch.nn.functional.dropout(super().post(pre, hook), 0.1)


class BatchNormalisation(Mine):
    def pre(self, embedded, hook):
        pre = super().pre(embedded, hook)
        return (pre - pre.mean(0)) / (pre.std(0, correction=0) + 1e-5)


class WithoutPositions(Mine):
    def pre(self, embedded, hook):
        return hook("blocks.0.mlp.hook_pre", embedded.flatten(1) @ self.weights["W"])

    def out(self, post):
        return post @ self.weights["W_U"]


class AnswersFirst(Mine):
    def pre(self, embedded, hook):
        pre = super().pre(embedded, lambda _, x: x)
        return hook("blocks.0.mlp.hook_pre", torch.cat([pre, torch.zeros_like(pre)], dim=1))

    def out(self, post):
        return super().out(post[:, :1])


class Twice(Mine):
    def post(self, pre, hook):
        return hook("blocks.0.mlp.hook_post", super().post(pre, hook))


class OneOperand(Mine):
    def embed(self, tokens, hook):
        return hook("hook_embed", super().embed(tokens, lambda _, x: x).flatten(1)[:, None])


class Whole(Mine):
    def out(self, post):
        return super().out(post)[:, None]


class Classes(Mine):
    def out(self, post):
        return torch.nn.functional.one_hot(super().out(post).argmax(1), 11)


class OneBatch(Mine):
    def out(self, post):
        return super().out(post.reshape(7, 1, -1))


class Picky(Mine):
    """Looks at what it computes, which is no fault."""

    def out(self, post):
        if not post.isfinite().all():
            raise ValueError("not finite")
        return super().out(post)


class CancellingNoise(Mine):
    """Neurons that cancel, whose rounding is another in a batch of another size, as by a library of matrices."""

    def out(self, post):
        loud = 1e5 if len(post) < 7 else 3e5
        return (super().out(post) + loud) - loud


class Infinite(Mine):
    def out(self, post):
        return super().out(post) / 0


class Raises(Mine):
    def out(self, post):
        return post @ self.weights["W_V"]


class Transposed(Mine):
    def readout(self, layer):
        return self.weights["W_U"].T


class BothTogether(Mine):
    def embedding(self, operand):
        return self.weights["W"]


class NoWeight(Mine):
    def __init__(self):
        super().__init__()
        self.weights["b"] = torch.tensor([torch.nan])


@pytest.mark.parametrize(
    ("network", "line"),
    [
        (DropsNeurons, "blocks.0.mlp.hook_post: what is put at the last position reaches the logits: it does not"),
        (DropsPreactivations, "blocks.0.mlp.hook_pre: what is put at the last position reaches the logits"),
        (DropsOneOperand, "hook_embed: what is put at operand 1 reaches the logits: it does not: go on with"),
        (Dropout, "two passes agree: they do not: is dropout on"),
        (BatchNormalisation, "do not depend on what else is in the batch: they do: is batch normalisation in training"),
        (WithoutPositions, "without a position axis, give it one of size 1"),
        (AnswersFirst, "blocks.0.mlp.hook_post: what is put at the last position reaches the logits"),
        (Twice, "it is called 2 times"),
        (OneOperand, "hook_embed has both operands, at positions 0 and 1"),
        (Whole, "forward gives finite logits [batch, answers]: of 7 inputs it gives shape (7, 1, 11)"),
        (Classes, "torch.int64 is no floating point"),
        (OneBatch, "what else is in the batch: it raised RuntimeError: shape '[7, 1, -1]' is invalid"),
        (Infinite, "entries are NaN or infinite"),
        (Raises, "it raised KeyError: 'W_V' (test_contract.py, line"),
        (Transposed, "readout(0) is [d_mlp, answers], finite, or None: it has shape (11, 18)"),
        (BothTogether, "embedding(0) is [n_tokens, d], finite: it has shape (36, 18)"),
        (NoWeight, "weights are finite tensors: b: 1 of 1 entries are NaN or infinite"),
    ],
)
def test_each_broken_line_is_named_and_nothing_is_scored(network, line, capsys):
    view = ModelView(network(), "add:11")
    assert not detectors.check(network(), "add:11")
    wrong = [text for text in capsys.readouterr().out.splitlines() if text.startswith("WRONG")]
    assert any(line in text for text in wrong), wrong
    with pytest.raises(CheckpointError) as caught:
        detectors.run(view, names=["trig_logits"], draws=19)
    assert "does not keep its contract, so nothing is scored" in str(caught.value)


def test_the_honest_network_and_what_passes_nan_on_otherwise_keep_it(capsys):
    hard = Mine(act=lambda x: (x > 0).float())  # NaN is not above 0, and noise is
    dead = Mine()
    dead.weights["W_U"] = torch.zeros_like(dead.weights["W_U"])
    for network in (Mine(), hard, dead, Picky(), CancellingNoise()):
        assert detectors.check(network, "add:11")
        assert "WRONG" not in capsys.readouterr().out
    assert detectors.check(Mine(), "infer")


def test_what_is_no_network_of_the_task_is_a_line_too(capsys):
    assert not detectors.check(object(), "add:11")
    assert "object lacks architecture" in capsys.readouterr().out
    assert not detectors.check(Mine(), "add:12")
    assert "has 12 tokens and the model 11" in capsys.readouterr().out


def test_a_model_of_sequences(capsys):
    view = induction_head(n_tokens=12, n_ctx=16)
    assert detectors.check(view)

    class Drops:
        def __getattr__(self, name):
            return getattr(view.network, name)

        def forward(self, tokens, hook):
            return view.network.forward(tokens, lambda name, x: (hook(name, x), x)[1])

    assert not detectors.check(Drops(), "repeat")
    assert "reaches the logits: it does not" in capsys.readouterr().out


@pytest.mark.wide
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_a_network_in_memory_of_any_precision_has_the_same_verdicts(dtype):
    mask = HONEST.train_mask
    wanted = {d.detector: d.verdict for d in detectors.run(HONEST)}
    assert "present" in wanted.values()
    found = detectors.run(ModelView(Mine(dtype), "add:11", train_mask=mask))
    assert {d.detector: d.verdict for d in found} == wanted


def test_few_passes_of_few_inputs():
    class Counting(Mine):
        rows = 0

        def forward(self, tokens, hook):
            self.rows += len(tokens)
            return super().forward(tokens, hook)

    network = Counting()
    assert not any(line.wrong for line in contract(ModelView(network, "add:11")))
    assert network.rows <= 60


def test_a_training_mask_may_be_a_list():
    mask = HONEST.train_mask
    view = ModelView(TwoEmbeddingMLP(HONEST.network.weights), "add:11", train_mask=mask.tolist())
    assert (view.train_mask == mask).all()
    with pytest.raises(CheckpointError, match="boolean array over the 121 pairs"):
        ModelView(Mine(), "add:11", train_mask=[0, 1])


def test_a_report_is_short_in_a_session():
    report = detectors.run(HONEST, names=["trig_logits"], draws=19)
    assert repr(report) == f"<Report of (in memory), add:11: trig_logits {report[0].verdict}>"
