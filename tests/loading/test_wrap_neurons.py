"""Which linear maps of a module read neurons, where sizes alone leave it open."""

import torch
from torch import nn
from torch.nn import functional as F

import detectors


class Block(nn.Module):
    """One layer: what attention writes, then an MLP whose first map is as wide as attention's last."""

    def __init__(self, p=7, d=8, heads=2, m=24):
        super().__init__()
        self.tokens, self.places = nn.Embedding(p + 1, d), nn.Embedding(3, d)
        self.qkv, self.proj, self.heads, self.equals = nn.Linear(d, 3 * d), nn.Linear(d, d), heads, p
        self.norm, self.fc1, self.fc2, self.head = nn.LayerNorm(d), nn.Linear(d, m), nn.Linear(m, d), nn.Linear(d, p)

    def forward(self, pairs):
        x = self.tokens(F.pad(pairs, (0, 1), value=self.equals)) + self.places.weight
        q, k, v = (z.unflatten(-1, (self.heads, -1)).transpose(1, 2) for z in self.qkv(x).chunk(3, -1))
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return self.head(x + self.fc2(F.gelu(self.fc1(self.norm(x)))))[:, -1]


def test_what_reads_the_stream_behind_attention_is_no_reader_of_neurons():
    torch.manual_seed(0)
    module = Block().eval()
    view, said = detectors.wrap(module, "add:7"), detectors.wrap(module, "add:7", parts={"neurons": "fc2"})
    pairs = torch.cartesian_prod(torch.arange(7), torch.arange(7))
    assert torch.equal(view.logits(), module(pairs).detach())  # which adds a token itself, and is given two
    assert view.neuron_layers == said.neuron_layers == [0]
    assert view.neurons(0).shape == (49, 24)
    torch.testing.assert_close(view.neurons(0), said.neurons(0))
    torch.testing.assert_close(view.preactivations(0), said.preactivations(0))


def test_where_no_function_is_known_all_guesses_stay():
    """Two layers of a function of the user's own: nothing says which reads what, and both do."""

    class Own(nn.Module):
        def forward(self, x):
            return (1.7 * x).sin() + 0.3 * x

    torch.manual_seed(0)
    for second in (Own(), nn.ReLU()):  # nor does it where the other is known
        module = nn.Sequential(
            nn.Embedding(7, 8), nn.Flatten(), nn.Linear(16, 12), Own(), nn.Linear(12, 20), second, nn.Linear(20, 7)
        )
        assert detectors.wrap(module, "add:7").neuron_layers == [0, 1]


def test_a_list_of_layers_is_beside_those_that_its_owner_has_by_name():
    class Mlp(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.layers = nn.Embedding(7, 8), nn.ModuleList([nn.Linear(16, 24), nn.Linear(24, 20)])
            self.out = nn.Linear(20, 7)

        def forward(self, a, b):
            x = torch.cat([self.table(a), self.table(b)], -1)
            for layer in self.layers:
                x = F.relu(layer(x))
            return self.out(x)

    torch.manual_seed(0)
    view = detectors.wrap(Mlp(), "add:7")
    assert [view.neurons(layer).shape for layer in view.neuron_layers] == [(49, 24), (49, 20)]
