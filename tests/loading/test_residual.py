"""Layers that are added to what they read, without attention."""

import pytest
import torch
from torch import nn

import detectors


class Residual(nn.Module):
    def __init__(self, layers, norm, p=11, d=12, m=20):
        super().__init__()
        self.tok = nn.Embedding(p, d)
        self.blocks = nn.ModuleList(
            nn.ModuleDict({"ln": norm(d), "up": nn.Linear(d, m), "down": nn.Linear(m, d)}) for _ in range(layers)
        )
        self.ln_f, self.head = norm(d), nn.Linear(d, p, bias=False)

    def forward(self, pairs):
        x = self.tok(pairs).sum(1)
        for block in self.blocks:
            x = x + block["down"](block["up"](block["ln"](x)).relu())
        return self.head(self.ln_f(x))


@pytest.mark.parametrize(("layers", "norm"), [(1, nn.LayerNorm), (2, lambda d: nn.Identity())], ids=["one", "two"])
def test_numbered_pairs_of_layers_are_blocks(saved, layers, norm):
    """Two maps of a numbered module, to the neurons and back to the width that it reads; untrained, so that names alone
    can say it.
    """
    torch.manual_seed(layers)
    module = Residual(layers, norm)
    for p in module.parameters():  # no norm does nothing
        nn.init.normal_(p, std=0.4)
    view = detectors.load(saved(module.state_dict()), task="add:11")
    a = torch.arange(121)
    with torch.no_grad():
        torch.testing.assert_close(view.logits(), module(torch.stack([a // 11, a % 11], 1)), rtol=1e-4, atol=1e-4)
    assert (view.architecture["n_layers"], view.architecture["d_mlp"]) == (layers, 20)
    found = detectors.wrap(module, "add:11").neurons(layers - 1)
    torch.testing.assert_close(view.neurons(layers - 1), found)


def test_other_layers_are_added_where_it_is_said_or_answers(saved):
    """A stack without numbers is a stack; `residual=true` makes it blocks, and the readout is what blocks leave."""
    torch.manual_seed(0)
    module = Residual(1, lambda d: nn.Identity())
    names = {"blocks.0.up": "up", "blocks.0.down": "down"}
    weights = {}
    for name, tensor in module.state_dict().items():
        module_name, _, leaf = name.rpartition(".")
        weights[f"{names.get(module_name, module_name)}.{leaf}"] = tensor
    assert detectors.load(saved(weights), task="add:11").architecture["n_layers"] == 2
    view = detectors.load(saved(weights, "said.pt"), task="add:11", arch={"residual": "true"})
    a = torch.arange(121)
    logits = module(torch.stack([a // 11, a % 11], 1)).detach()
    torch.testing.assert_close(view.logits(), logits, rtol=1e-4, atol=1e-4)
    down, head = module.blocks[0]["down"].weight, module.head.weight
    torch.testing.assert_close(view.readout(0), (head @ down).T.detach(), rtol=1e-4, atol=1e-5)
