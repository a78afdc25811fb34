"""Copies of the weights beside them are left out, and parts of the model that only have such names stay."""

import pytest
import torch

from detectors.loading.tensors import read_contents, read_tensors

PLAIN = {"e.weight": torch.full((7, 4), 1.5), "fc.weight": torch.full((9, 8), 2.5), "head.weight": torch.ones(7, 9)}


def same(found, wanted=PLAIN):
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("copies", [["ema_model."], ["grad."], ["exp_avg.", "exp_avg_sq."], ["init."]])
@pytest.mark.parametrize("prefix", ["", "model."])
def test_copies_of_the_weights_within_the_state_dict_are_left_out(tmp_path, prefix, copies):
    torch.save({f"{k}{n}": t for k in (prefix, *copies) for n, t in PLAIN.items()}, tmp_path / "c.pt")
    contents = read_contents(tmp_path / "c.pt")
    same(contents.weights)
    named = ", ".join(copy.removesuffix(".") for copy in copies)
    assert f"{named} beside the weights, tensors of the same names and shapes, left out" in contents.note


def test_an_average_whose_names_have_lost_their_dots_is_left_out(tmp_path):
    average = {f"model_ema.{n.replace('.', '')}": t for n, t in PLAIN.items()}
    torch.save({f"model.{n}": t for n, t in PLAIN.items()} | average, tmp_path / "c.pt")
    same(read_tensors(tmp_path / "c.pt"))


def test_a_part_that_only_has_the_name_of_a_copy_stays(tmp_path):
    weights = PLAIN | {f"init.{n}": t for n, t in list(PLAIN.items())[1:]}
    torch.save(weights, tmp_path / "c.pt")
    same(read_tensors(tmp_path / "c.pt"), weights)


@pytest.mark.parametrize("part", ["schema_a", "gradient_net", "best", "target"])
def test_a_part_of_the_names_of_the_model_and_of_other_shapes_stays(tmp_path, part):
    weights = PLAIN | {f"{part}.{name}": torch.ones(3, 3) for name in PLAIN}
    torch.save(weights, tmp_path / "c.pt")
    same(read_tensors(tmp_path / "c.pt"), weights)


def test_two_parts_alike_are_parts_where_neither_name_is_a_copys(tmp_path):
    weights = {f"{first}.{name}": tensor for first in ("b", "schema_a") for name, tensor in PLAIN.items()}
    torch.save(weights, tmp_path / "c.pt")
    same(read_tensors(tmp_path / "c.pt"), weights)
