"""A pass of a wrapped module is the module's own, and leaves it as it was."""

import pytest
import torch
from torch import nn

import detectors

P = 7
PAIRS = torch.cartesian_prod(torch.arange(P), torch.arange(P))


class Tables(nn.Module):
    """Two tables, the one of b defined first; looked up in the order that is asked for."""

    def __init__(self, b_first: bool = False):
        super().__init__()
        self.eb, self.ea, self.b_first = nn.Embedding(P, 8), nn.Embedding(P, 8), b_first
        self.into, self.out = nn.Linear(16, 12), nn.Linear(12, P)

    def forward(self, a, b):
        y = self.eb(b) if self.b_first else None
        x = self.ea(a)
        return self.out(torch.relu(self.into(torch.cat([x, self.eb(b) if y is None else y], 1))))


class Twice(Tables):
    """Each table is looked up for both operands."""

    def __init__(self):
        super().__init__()
        self.into = nn.Linear(32, 12)

    def forward(self, a, b):
        rows = [table(x) for table in (self.ea, self.eb) for x in (a, b)]
        return self.out(torch.relu(self.into(torch.cat(rows, 1))))


@pytest.mark.parametrize("b_first", [False, True])
def test_tables_are_those_of_the_operands_they_are_given(b_first):
    torch.manual_seed(0)
    net = Tables(b_first)
    view = detectors.wrap(net, f"add:{P}")
    assert torch.equal(view.logits(), net(*PAIRS.T).detach())
    assert torch.equal(view.embedding(0), net.ea.weight)
    assert torch.equal(view.embedding(1), net.eb.weight)

    def no_b(x):
        return torch.stack([x[:, 0], 0 * x[:, 1]], 1)

    edited = view.run(PAIRS, edit={"hook_embed": no_b})[0]
    with torch.no_grad():
        net.eb.weight.zero_()
        assert torch.equal(edited, net(*PAIRS.T))


def test_tables_that_are_asked_twice_are_no_embedding():
    torch.manual_seed(0)
    net = Twice()
    view = detectors.wrap(net, f"add:{P}")
    assert torch.equal(view.logits(), net(*PAIRS.T).detach())
    assert not any("embedding" in said for said in view.checkpoint.reading)
    assert view.neurons().shape == (P * P, 12)


class Several(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind, self.embed = kind, nn.Embedding(P, 8)
        self.into, self.out = nn.Linear(16, 12), nn.Linear(12, P)

    def forward(self, x):
        h = torch.relu(self.into(self.embed(x).flatten(1)))
        y = self.out(h)
        return {"named": {"hidden": h, "logits": y}, "sized": (h, y), "loss": {"loss": h.sum(), "logits": y}}[self.kind]


@pytest.mark.parametrize("kind", ["named", "sized", "loss"])
def test_of_several_outputs_the_logits_are_read(kind):
    torch.manual_seed(0)
    net = Several(kind)
    out = net(PAIRS)
    view = detectors.wrap(net, f"add:{P}")
    assert torch.equal(view.logits(), (out[1] if kind == "sized" else out["logits"]).detach())


class Merging(nn.Linear):
    """Merges an adapter into its weight in evaluation mode, as loralib's do (arXiv:2106.09685)."""

    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs)
        self.adapter, self.merged = nn.Parameter(torch.randn(outputs, inputs)), False

    def train(self, mode=True):
        super().train(mode)
        if self.merged == mode:
            self.weight.data += -self.adapter if mode else self.adapter
            self.merged = not mode
        return self

    def forward(self, x):
        return super().forward(x) if self.merged else super().forward(x) + x @ self.adapter.T


def test_a_module_that_merges_an_adapter_goes_on_training():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Embedding(P, 8), nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), Merging(12, P))
    before = net[4].weight.detach().clone()
    detectors.wrap(net, f"add:{P}").logits()
    assert (net[4].training, net[4].merged) == (True, False)
    assert torch.equal(net[4].weight, before)
    net(PAIRS).sum().backward()
    assert net[4].adapter.grad is not None


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_one_hot_vectors_have_the_type_of_the_module(dtype):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2 * P, 12), nn.ReLU(), nn.Linear(12, P)).to(dtype)
    vectors = nn.functional.one_hot(PAIRS, P).flatten(1).to(dtype)
    assert torch.equal(detectors.wrap(net, f"add:{P}").logits(), net(vectors).detach().float())
