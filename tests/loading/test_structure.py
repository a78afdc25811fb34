"""Parts by shapes and paths: what a state dict is made of, whatever its names."""

import pytest
import torch
from torch import nn

from detectors.loading import assembly
from detectors.loading.assembly import structures
from detectors.loading.paths import is_mask, modules
from detectors.loading.structure import dense


def state(**layers: nn.Module) -> dict[str, torch.Tensor]:
    return dict(nn.ModuleDict(layers).state_dict())


def first(weights, p=7):
    return structures(weights, p)[0][1]


def test_a_mask_is_no_weight():
    causal = torch.ones(3, 3).tril()
    assert is_mask(causal)
    assert is_mask(causal[None, None])
    assert not is_mask(torch.randn(3, 3))
    assert not is_mask(torch.eye(3))
    _, others = modules({"attn.mask": causal, "fc.weight": torch.randn(4, 3)})
    assert set(others) == {"attn.mask"}


def test_biases_of_bare_parameters_go_with_their_matrices():
    found, _ = modules(
        {"W_in": torch.zeros(4, 6), "b_in": torch.zeros(6), "W_Q": torch.zeros(2, 4, 2), "b_Q": torch.zeros(2, 2)}
    )
    assert {m.path: (m.shape, m.bias.numel()) for m in found} == {"in": ((4, 6), 6), "Q": ((2, 4, 2), 4)}


@pytest.mark.parametrize(("width", "operands"), [(8, "sum"), (16, "concat")])
def test_one_table_feeds_layers_by_their_width(width, operands):
    s = first(state(numbers=nn.Embedding(7, 8), a=nn.Linear(width, 20), b=nn.Linear(20, 7)))
    assert (s.table_name, [layer.name for layer in s.chain]) == ("numbers", ["a", "b"])
    assert s.chain[0].width // s.table.shape[1] == {"sum": 1, "concat": 2}[operands]


def test_names_that_say_nothing_and_a_file_in_the_order_of_the_alphabet():
    s = first(state(c=nn.Embedding(7, 8), b=nn.Linear(8, 20), a=nn.Linear(20, 7)))
    sorted_again = dict(sorted(state(c=nn.Embedding(7, 8), b=nn.Linear(8, 20), a=nn.Linear(20, 7)).items()))
    assert [layer.name for layer in first(sorted_again).chain] == [layer.name for layer in s.chain] == ["b", "a"]


def test_two_tables_are_two_parts_of_one():
    s = first(state(left=nn.Embedding(7, 8), right=nn.Embedding(7, 8), h=nn.Linear(8, 20), o=nn.Linear(20, 7)))
    assert (s.slots, tuple(s.table.shape)) == (2, (14, 8))


def test_one_hot_inputs_are_a_table_and_two_of_them_one_sum():
    s = first(state(h=nn.Linear(14, 20), o=nn.Linear(20, 7)))
    assert (s.one_hot, s.slots, tuple(s.table.shape)) == (True, 2, (14, 20))
    pair = state(x=nn.Linear(7, 20), y=nn.Linear(7, 20), o=nn.Linear(20, 7))
    assert any(s.one_hot and s.slots == 2 and len(s.used) == 6 for _, s in structures(pair, 7))


def one_head() -> nn.Module:
    return nn.ModuleDict({name: nn.Linear(8, 4) for name in ("query", "key", "value")})


ATTENTION = {
    "torch": lambda: nn.MultiheadAttention(8, 2),
    "split": lambda: nn.ModuleDict({name: nn.Linear(8, 8) for name in ("wq", "wk", "wv", "wo")}),
    "fused": lambda: nn.ModuleDict({"together": nn.Linear(8, 24), "back": nn.Linear(8, 8)}),
    "heads": lambda: nn.ModuleDict({"one": nn.ModuleList([one_head(), one_head()]), "proj": nn.Linear(8, 8)}),
}


@pytest.mark.parametrize("part", ATTENTION)
def test_attention_is_known_by_who_multiplies_whom(part):
    inside = {"n1": nn.LayerNorm(8), "mixer": ATTENTION[part](), "n2": nn.LayerNorm(8)}
    block = nn.ModuleDict(inside | {"up": nn.Linear(8, 32), "down": nn.Linear(32, 8)})
    ends = {"symbols": nn.Embedding(8, 8), "places": nn.Embedding(3, 8), "out": nn.Linear(8, 7)}
    weights = state(**ends, stages=nn.ModuleList([block]))
    s = first(weights)
    (found,) = s.blocks
    assert found.attention.o is not None
    assert found.attention.n_heads == (2 if part == "heads" else None)
    assert (found.neurons.into.name, found.neurons.out.name) == ("stages.0.up", "stages.0.down")
    assert len(found.norms) == 2
    assert s.used == weights.keys()


def test_gates_and_transposed_matrices():
    inside = {"attn": nn.MultiheadAttention(8, 2), "gate": nn.Linear(8, 32), "up": nn.Linear(8, 32)}
    block = nn.ModuleDict(inside | {"down": nn.Linear(32, 8)})
    weights = state(tok=nn.Embedding(8, 8), h=nn.ModuleList([block]), out=nn.Linear(8, 7))
    assert first(weights).blocks[0].neurons.gate.name == "h.0.gate"
    turned = {name: t.T.contiguous() if "up.weight" in name else t for name, t in weights.items()}
    assert first(turned).blocks[0].neurons.into.weight.shape == (32, 8)


def test_a_head_that_is_not_there_is_the_table():
    block = nn.ModuleDict({"attn": nn.MultiheadAttention(8, 2), "a": nn.Linear(8, 32), "b": nn.Linear(32, 8)})
    s = first(state(tok=nn.Embedding(9, 8), pos=nn.Embedding(3, 8), h=nn.ModuleList([block])))
    assert s.tied
    assert s.chain[-1].out == 9


def test_nothing_is_made_of_what_does_not_fit_together():
    assert structures({"layer1.weight": torch.zeros(3, 4)}, 7) == []
    assert structures({}, 7) == []


def test_orders_of_many_layers_are_tried_up_to_a_bound(monkeypatch):
    """Sixteen layers of three shapes have more orders than can be tried; the file's own comes first all the same."""
    tried = []

    def counted(*args):
        tried.append(args)
        return dense(*args)

    monkeypatch.setattr(assembly, "dense", counted)
    shapes = {"pre": (32, 32), "up": (64, 32), "down": (32, 64), "mix": (32, 32)}
    weights = {"emb.weight": torch.randn(13, 32)}
    weights |= {f"layer.{i}.{name}.weight": torch.randn(shape) for i in range(4) for name, shape in shapes.items()}
    weights["out.weight"] = torch.randn(13, 32)
    found = structures(weights, 13)
    assert len(tried) < 10 * assembly.STEPS
    assert [layer.name for layer in found[0][1].chain][:4] == [f"layer.0.{name}" for name in shapes]


@pytest.mark.parametrize(("layers", "known"), [(60, True), (80, False), (1200, False)])
def test_a_chain_of_many_layers_of_one_shape_ends(layers, known):
    """Neither the recursion of the language nor all ways to leave one out are met."""
    weights = {"emb.weight": torch.randn(13, 8)}
    weights |= {f"layer{i}.weight": torch.randn(8, 8) for i in range(layers)} | {"out.weight": torch.randn(13, 8)}
    assert bool(structures(weights, 13)) == known
