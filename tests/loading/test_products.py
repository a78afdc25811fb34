"""Networks that multiply what they have of one operand with what they have of the other (arXiv:2410.08417)."""

import math

import pytest
import torch
from torch import nn

import detectors
from detectors.core.errors import CheckpointError

P = 11
FREQUENCIES = (2, 3)
EVERY = torch.cartesian_prod(torch.arange(P), torch.arange(P))


def waves() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """[neurons, P] factors of cos w(a + b - c), four products a frequency, and the readout [P, neurons]."""
    of_a, of_b, of_c = [], [], []
    for k in FREQUENCIES:
        angle = 2 * math.pi * k / P * torch.arange(P)
        c, s = angle.cos(), angle.sin()
        of_a += [c, s, s, c]
        of_b += [c, s, c, s]
        of_c += [c, -c, s, s]
    return torch.stack(of_a), torch.stack(of_b), 10 * torch.stack(of_c, 1)


class Multiplied(nn.Module):
    """Tables of their own, whose rows are multiplied."""

    def __init__(self):
        super().__init__()
        left, right, out = waves()
        self.first, self.second = nn.Embedding(*left.T.shape), nn.Embedding(*right.T.shape)
        self.head = nn.Linear(len(left), P)
        self.first.weight.data, self.second.weight.data, self.head.weight.data = left.T, right.T, out
        self.head.bias.data.zero_()

    def forward(self, x):
        return self.head(self.first(x[:, 0]) * self.second(x[:, 1]))


class Bilinear(nn.Module):
    """One table, and a layer of it for each operand."""

    def __init__(self, bias):
        super().__init__()
        left, right, out = waves()
        self.embed = nn.Embedding(P, 16)
        torch.manual_seed(0)
        self.embed.weight.data = torch.randn(P, 16)
        read = torch.linalg.pinv(self.embed.weight.data)
        self.left, self.right = (nn.Linear(16, len(left), bias=bias) for _ in range(2))
        self.left.weight.data, self.right.weight.data = (read @ left.T).T, (read @ right.T).T
        if bias:
            self.left.bias.data.zero_()
            self.right.bias.data.zero_()
        self.out = nn.Linear(len(left), P, bias=False)
        self.out.weight.data = out

    def forward(self, x):
        e = self.embed(x)
        return self.out(self.left(e[:, 0]) * self.right(e[:, 1]))


class Added(Bilinear):
    """Such layers, of more neurons, added before a ReLU."""

    def __init__(self):
        super().__init__(True)
        self.left, self.right = nn.Linear(16, 48), nn.Linear(16, 48)
        self.out = nn.Linear(48, P, bias=False)

    def forward(self, x):
        e = self.embed(x)
        return self.out(torch.relu(self.left(e[:, 0]) + self.right(e[:, 1])))


@pytest.fixture(params=[Multiplied, lambda: Bilinear(True), lambda: Bilinear(False)], ids=["tables", "biases", "bare"])
def multiplying(request, tmp_path):
    """The module, and what is read of its state dict."""
    module = request.param()
    torch.save(module.state_dict(), tmp_path / "a.pt")
    return module, detectors.load(tmp_path / "a.pt", task=f"add:{P}")


def test_its_logits_are_read(multiplying):
    module, view = multiplying
    with torch.no_grad():
        torch.testing.assert_close(view.logits(), module(EVERY), rtol=1e-4, atol=1e-4)
    assert view.architecture["act_fn"] == "identity"
    assert not view.checkpoint.unused


def test_neurons_that_multiply_are_found_and_what_only_sums_have_is_not_asked(multiplying):
    """cos a cos b is half of cos(a + b) and half of cos(a - b): a CKA of 1/sqrt 2 with the circle, and none with waves
    of one operand, so that no phases are those of an operand.
    """
    found = detectors.run(multiplying[1])
    assert {d.detector for d in found if d.verdict == "present"} >= {"trig_product_neurons", "trig_logits"}
    how = found["addition_mechanism"].evidence["weighed"]
    assert (how["disc"], how["torus"]) == pytest.approx((0, 0), abs=1e-4)
    assert how["circle"] == pytest.approx(2**-0.5, abs=1e-4)
    assert how["phase_concentration"] is None
    assert "circle 0.71" in found.summary
    for motif in ("single_irrep_neurons", "neuron_phase_law"):
        assert found[motif].verdict == "inconclusive"
        assert "multiply the two" in found[motif].reason


def test_two_layers_on_one_table_are_also_read_as_a_sum(tmp_path):
    torch.manual_seed(0)
    module, answers = Added(), EVERY.sum(1) % P
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2)
    for _ in range(400):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(module(EVERY), answers)
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        logits = module(EVERY)
    assert (logits.argmax(1) == answers).double().mean() > 0.9
    torch.save(module.state_dict(), tmp_path / "a.pt")
    view = detectors.load(tmp_path / "a.pt", task=f"add:{P}", arch={"act_fn": "relu"})
    torch.testing.assert_close(view.logits(), logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU, nn.RNN, nn.LSTMCell])
def test_a_recurrent_network_is_refused_and_the_error_says_how_it_is_scored(cell, tmp_path):
    module = nn.ModuleDict({"embed": nn.Embedding(P, 8), "cell": cell(8, 16), "out": nn.Linear(16, P)})
    torch.save(module.state_dict(), tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"recurrent layer \(cell\.weight_hh.*detectors\.wrap"):
        detectors.load(tmp_path / "a.pt", task=f"add:{P}")


@pytest.mark.wide
@pytest.mark.parametrize("multiplies", [True, False])
def test_a_product_and_the_square_of_a_sum_are_not_told_apart_by_what_they_answer(multiplies, tmp_path):
    """Either answers most of what the other was trained on: both stay, and the run asks where verdicts differ."""
    torch.manual_seed(1)
    p, width = 23, 64
    every, table = torch.cartesian_prod(torch.arange(p), torch.arange(p)), nn.Embedding(p, 32)
    left, right, out = nn.Linear(32, width), nn.Linear(32, width), nn.Linear(width, p)
    parts = nn.ModuleDict({"embed": table, "left": left, "right": right, "out": out})

    def logits(pairs):
        a, b = left(table(pairs[:, 0])), right(table(pairs[:, 1]))
        return out(a * b if multiplies else (a + b).square())

    chosen, answers = torch.randperm(p * p)[:370], every.sum(1) % p
    optimizer = torch.optim.AdamW(parts.parameters(), lr=3e-3, weight_decay=0.5, betas=(0.9, 0.98))
    for _ in range(1200):
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits(every[chosen]), answers[chosen]).backward()
        optimizer.step()
    torch.save(parts.state_dict(), tmp_path / "a.pt")
    view = detectors.load(tmp_path / "a.pt", task=f"add:{p}")
    said = [f"{view.architecture['operands']} {view.architecture['act_fn']}", *(tied.other for tied in view.tied)]
    own = ("product", "identity") if multiplies else ("sum", "square")
    assert any(own[0] in one and own[1] in one for one in said), said
    told = detectors.load(tmp_path / "a.pt", task=f"add:{p}", arch={"readout": own[0], "act_fn": own[1]})
    with torch.no_grad():
        torch.testing.assert_close(told.logits(), logits(every), rtol=1e-3, atol=1e-3)
