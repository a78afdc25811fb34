"""Modules of users' own classes: scored as they are, and afterwards as they were."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import detectors
from detectors.core.errors import CheckpointError

P = 11


class Concatenated(nn.Module):
    """Functional activation, operands apart."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Embedding(P, 8), nn.Embedding(P, 8)
        self.up, self.down = nn.Linear(16, 24), nn.Linear(24, P)

    def forward(self, a, b):
        return self.down(F.relu(self.up(torch.cat([self.left(a), self.right(b)], -1))))


class Recurrent(nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.embed, self.rnn, self.head = nn.Embedding(P + 1, 8), cell(8, 12, batch_first=True), nn.Linear(12, P)

    def forward(self, tokens):
        return self.head(self.rnn(self.embed(tokens))[0])[:, -1]


class Gated(nn.Module):
    """SwiGLU on summed embeddings, with dropout; the neurons are what `down` reads."""

    def __init__(self):
        super().__init__()
        self.embed, self.drop = nn.Embedding(P, 8), nn.Dropout(0.5)
        self.gate, self.up, self.down = nn.Linear(8, 20), nn.Linear(8, 20), nn.Linear(20, P)

    def forward(self, tokens):
        x = self.drop(self.embed(tokens).sum(1))
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Mixer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.over = nn.Embedding(P + 2, 8), nn.Sequential(nn.Linear(4, 9), nn.GELU(), nn.Linear(9, 4))
        self.mlp, self.head = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8)), nn.Linear(8, P)

    def forward(self, tokens):
        x = self.embed(tokens)
        x = x + self.over(x.transpose(1, 2)).transpose(1, 2)
        return self.head((x + self.mlp(x)).mean(1))


class Encoder(nn.Module):
    """Logits at every position."""

    def __init__(self):
        super().__init__()
        self.tokens, self.places = nn.Embedding(P + 1, 16), nn.Parameter(torch.randn(3, 16))
        self.register_buffer("mask", torch.full((3, 3), -torch.inf).triu(1))  # infinities that are no weights
        self.layer, self.head = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), nn.Linear(16, P)

    def forward(self, tokens):
        return self.head(self.layer(self.tokens(tokens) + self.places, src_mask=self.mask))


class OneHot(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2 * P, 30), nn.ReLU(), nn.Linear(30, P))

    def forward(self, x):
        return self.net(x)


MODULES = {
    "concatenated": (Concatenated, "a and b apart", 24),
    "lstm": (lambda: Recurrent(nn.LSTM), 'tokens "a b =:11"', None),
    "gru": (lambda: Recurrent(nn.GRU), 'tokens "a b =:11"', None),
    "gated": (Gated, 'tokens "a b"', 20),
    "mixer": (Mixer, 'tokens "a op:11 b =:12"', 16),
    "encoder": (Encoder, 'tokens "a b =:11"', 32),
    "one-hot": (OneHot, "one-hot a, then b", 30),
}


@pytest.fixture(params=MODULES)
def case(request):
    torch.manual_seed(0)
    make, said, width = MODULES[request.param]
    return make().train(), said, width


def fed(said, t):
    """What the module is called with, written down anew."""
    if said == "a and b apart":
        return t[:, 0], t[:, 1]
    if said.startswith("one-hot"):
        return (F.one_hot(t, P).flatten(1).float(),)
    operator, equals = (torch.full_like(t[:, 0], k) for k in (P, P + ("op" in said)))
    columns = {"a": t[:, 0], "b": t[:, 1], "op": operator, "=": equals}
    return (torch.stack([columns[name] for name in ("a", "op", "b", "=") if f"{name}:" in said or name in "ab"], 1),)


def test_its_own_logits_and_neurons_are_seen_and_edits_reach_the_logits(case):
    module, said, width = case
    view = detectors.wrap(module, f"add:{P}")
    assert said in view.checkpoint.reading[0]
    assert detectors.check(view)
    if width is None:
        assert "neurons" not in view.parts
    else:
        assert view.neurons().shape == (P * P, width)
    tokens = view.tokens_of(torch.arange(P * P))
    module.eval()
    with torch.no_grad():
        out = module(*fed(said, tokens))
    # torch takes another way through an encoder without hooks, with other rounding
    assert torch.allclose(view.logits(), out[:, -1] if out.ndim == 3 else out, atol=1e-5)


def test_nothing_of_it_is_changed(case):
    module, _, _ = case
    before = {k: v.clone() for k, v in module.state_dict().items()}
    seed = torch.get_rng_state()
    detectors.run(detectors.wrap(module, f"add:{P}"), draws=19)
    assert all(m.training for m in module.modules())
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in module.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())
    assert torch.equal(torch.get_rng_state(), seed)


@pytest.mark.wide
def test_random_states_of_python_and_numpy_are_as_before():
    """In a process of its own, as the checker of shapes draws from Python's."""
    code = """
import random, numpy, torch, detectors
net = torch.nn.Sequential(torch.nn.Embedding(7, 4), torch.nn.Flatten(), torch.nn.Linear(8, 7))
before = random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
detectors.run(detectors.wrap(net, "add:7"), draws=19)
assert before == (random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Published(nn.Module):
    """The zoo's a + b mod 53 by an MLP on two embeddings, as somebody's own module."""

    def __init__(self, w):
        super().__init__()
        self.x, self.y = nn.Embedding.from_pretrained(w["W_x"]), nn.Embedding.from_pretrained(w["W_y"])
        self.hidden, self.out = nn.Linear(*w["W"].shape, bias=False), nn.Linear(*w["W_U"].shape, bias=False)
        self.hidden.weight.data, self.out.weight.data = w["W"].T.clone(), w["W_U"].T.clone()

    def forward(self, a, b):
        return self.out(F.relu(self.hidden(torch.cat([self.x(a), self.y(b)], -1))))


@pytest.mark.wide
@pytest.mark.parametrize("name", ["add53_mlp", "add53_mlp_memorised"])
def test_its_verdicts_are_those_of_the_file(name):
    """The embedding is taken before the first matrix, and so has other shares; the rest is the same to rounding."""
    file = detectors.load(f"zoo:{name}")
    view = detectors.wrap(Published(file.weights), "add:53", train_mask=file.train_mask)
    ours, theirs = detectors.run(view), detectors.run(file)
    for motif in ("trig_product_neurons", "trig_logits", "generalisation", "memorisation"):
        assert ours[motif].verdict == theirs[motif].verdict, motif
        assert ours[motif].score == pytest.approx(theirs[motif].score, abs=1e-3)
    assert ours["sparse_fourier_embedding"].verdict == theirs["sparse_fourier_embedding"].verdict


def test_a_compiled_module_is_scored_by_what_it_was_compiled_from():
    module = OneHot()
    compiled = torch.compile(module, backend="eager")
    assert torch.equal(detectors.wrap(compiled, f"add:{P}").logits(), detectors.wrap(module, f"add:{P}").logits())


def test_parts_may_be_named():
    module = Gated()
    view = detectors.wrap(module, f"add:{P}", parts={"neurons": "gate", "embedding": "embed"})
    assert view.neurons().shape == (P * P, 8)  # what it reads
    assert "neurons" not in detectors.wrap(module, f"add:{P}", parts={"neurons": ()}).parts
    with pytest.raises(CheckpointError, match=r"no 'nothing'; it has embed, drop, gate"):
        detectors.wrap(module, f"add:{P}", parts={"neurons": "nothing"})
    with pytest.raises(CheckpointError, match="no logit; there are embedding"):
        detectors.wrap(module, f"add:{P}", parts={"logit": "down"})


def test_what_cannot_be_called_says_what_was_tried():
    class Narrow(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Embedding(P, 4), nn.Linear(4, 3)

        def forward(self, tokens):
            return self.head(self.embed(tokens).sum(1))

    with pytest.raises(CheckpointError, match=r"Narrow gave no logits \[batch, 11\] for add:11.*tokens=\"a b =\""):
        detectors.wrap(Narrow(), f"add:{P}")
    with pytest.raises(CheckpointError, match="one of sequences"):
        detectors.wrap(Narrow(), "repeat")
    assert detectors.wrap(Encoder(), f"add:{P}", tokens="b a =").checkpoint.reading[0] == 'it reads tokens "b a =:11"'


class Transposed(nn.Module):
    """Answers before positions, as cross_entropy takes them, behind something else."""

    def __init__(self, answers):
        super().__init__()
        self.embed, self.head = nn.Embedding(P + 1, 8), nn.Linear(8, answers)

    def forward(self, tokens):
        return None, self.head(self.embed(tokens).cumsum(1)).transpose(1, 2)


def test_answers_may_come_before_positions_and_what_does_not_show_is_asked():
    module = Transposed(P)
    view = detectors.wrap(module, f"add:{P}")
    with torch.no_grad():
        tokens = torch.stack(
            [torch.arange(P).repeat_interleave(P), torch.arange(P).repeat(P), torch.full((P * P,), P)], 1
        )
        assert torch.allclose(view.logits(), module(tokens)[1][:, :, -1])
    few = Transposed(3)
    few.embed = nn.Embedding(4, 8)
    with pytest.raises(CheckpointError, match="nothing shows which axis is which"):
        detectors.wrap(few, "add:3", tokens="a b =")


class Odd(nn.Module):
    """Two maps without an activation between them, one map that is never called, and one that is called twice."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.Parameter(torch.randn(P, 8))
        self.low, self.rank = nn.Linear(8, 4), nn.Linear(4, 8)
        self.idle = nn.Sequential(nn.Linear(8, 9), nn.ReLU(), nn.Linear(9, 8))
        self.twice = nn.Sequential(nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, 8))
        self.mlp = nn.Sequential(nn.Linear(8, 20), nn.ReLU(), nn.Linear(20, P))

    def forward(self, tokens):
        x = self.rank(self.low(self.tokens[tokens].sum(1)))
        return self.mlp(self.twice(self.twice(x)))


def test_guesses_that_a_pass_does_not_bear_out_are_dropped():
    view = detectors.wrap(Odd(), f"add:{P}", tokens="a b")
    assert view.checkpoint.reading[1] == "neurons: mlp.2 (what they read)"
    assert view.neurons().shape == (P * P, 20)
    assert view.embedding(0).shape == (P, 8)
    assert view.readout().shape == (20, P)
    assert detectors.check(view)


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.drop, self.head = nn.Embedding(P, 8), nn.Dropout(0.1), nn.Linear(8, P)

    def forward(self, tokens):
        x = self.embed(tokens)
        pattern = self.drop((x @ x.transpose(1, 2)).softmax(-1)[:, None])
        return self.head((pattern[:, 0] @ x)[:, -1])


def test_patterns_are_seen_and_edited_where_they_are_read():
    view = detectors.wrap(Attending(), f"add:{P}", parts={"attention": "drop"})
    assert view.attention(0).shape == (P * P, 1, 2)
    assert detectors.check(view)
    with pytest.raises(CheckpointError, match="say the task of a module"):
        detectors.wrap(Attending(), "infer")


@pytest.mark.parametrize("nonlinear", [F.relu, F.gelu, torch.square, torch.abs])
def test_what_the_neurons_are_a_function_of_is_found_and_edited(nonlinear):
    class Summed(nn.Module):
        """Neurons behind some function, which no module shows."""

        def __init__(self):
            super().__init__()
            self.embed, self.up, self.down = nn.Embedding(P, 8), nn.Linear(8, 20), nn.Linear(20, P)

        def forward(self, tokens):
            return self.down(nonlinear(self.up(self.embed(tokens).sum(1))))

    torch.manual_seed(0)
    module = Summed()
    view = detectors.wrap(module, f"add:{P}")
    tokens = view.tokens_of(torch.arange(P * P))
    with torch.no_grad():
        before = module.up(module.embed(tokens).sum(1))
        assert torch.equal(view.preactivations(0), before)
        assert torch.equal(view.neurons(0), nonlinear(before))
        edited = view.run(tokens, edit={"blocks.0.mlp.hook_pre": lambda x: 0 * x})[0]
        assert torch.allclose(edited, module.down(nonlinear(0 * before)))
    assert detectors.run(view, names=["addition_mechanism"], draws=19)[0].verdict == "absent"


@pytest.mark.parametrize("act", [nn.ReLU, nn.SiLU, nn.LeakyReLU])
def test_an_activation_function_that_works_in_place_hides_nothing(act):
    def network(inplace):
        torch.manual_seed(0)
        layers = [nn.Embedding(P, 8), nn.Flatten(), nn.Linear(16, 20), act(inplace=inplace), nn.Linear(20, P)]
        return detectors.wrap(nn.Sequential(*layers), f"add:{P}")

    plain, inside = network(False), network(True)
    assert plain.parts == inside.parts >= {"neurons", "preactivations"}
    assert torch.equal(plain.preactivations(0), inside.preactivations(0))
    assert torch.equal(plain.neurons(0), inside.neurons(0))
    assert plain.preactivations(0).min() < -0.5


def test_neurons_of_two_maps_have_nothing_that_they_alone_are_a_function_of():
    for module in (Gated(), Recurrent(nn.GRU)):
        assert "preactivations" not in detectors.wrap(module, f"add:{P}").parts
    assert "preactivations" in detectors.wrap(Concatenated(), f"add:{P}").parts
