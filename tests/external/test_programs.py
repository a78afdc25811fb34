"""Published networks as programs: the same answers on pairs that the numbers were not fitted to, and in all."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import detectors
from detectors.core.nulls import subset
from detectors.core.subgroups import subgroups
from detectors.subjects.operands.terms import discs, fitted, some_pairs, strongest
from tests.external.test_external import GROUP, PIZZA, group_view, pizza_view, progress_view

pytestmark = pytest.mark.external
DISCS = ("C113_T_seed1", "C113_T_seed2", "C118_T_seed1", "C118_T_seed2", "progress measures")
DISCS += ("18c9ev5v5p", "dy65ktpiij", "l8k1hzciux", "p99zdpze5l")
COUNTING = [n for n, row in GROUP.items() if n.startswith("S5_MLP") and row["test_accuracy"] > 0.9]
NAMES = ("C113_T_seed1", "D59_MLP_seed1", "S5_T_seed1", "S5_MLP_seed1", "S5_MLP_seed2")
NAMES += ("progress measures", "p99zdpze5l", "l8k1hzciux")


def view_of(name, external):
    if name == "progress measures":
        return progress_view(external)
    return pizza_view(PIZZA[name], external) if name in PIZZA else group_view(name)


@pytest.mark.wide
@pytest.mark.parametrize("name", NAMES)
def test_a_published_network_is_its_program(name, external, capsys, tmp_path):
    view = view_of(name, external)
    program = detectors.program_of(view)
    names = {"__name__": "program"}
    exec(compile(program.source, name, "exec"), names)
    a, b = np.divmod(np.arange(view.task.n_tokens**2), view.task.n_tokens)
    everywhere = (names["answer"](a, b) == view.logits().argmax(1).numpy()).mean()
    own, null = program.fidelity, max(draw.agreement for draw in program.null)
    with capsys.disabled():
        print(f"\n{name}: {len(program.irreps)} terms, {len(program.source.splitlines())} lines")
        print(f"of {own.pairs} other pairs {own.agreement:.2%} (null {null:.1%}), of logits {own.explained:.1%}")
        print(f"KL divergence {own.kl:.1e} nats")
        print(f"of all pairs {everywhere:.2%}")
    assert own.agreement >= 0.999
    assert everywhere >= 0.999
    assert null < 0.1
    assert len(program.source.splitlines()) <= 60
    file = tmp_path / "algorithm.py"
    file.write_text(program.source)
    done = subprocess.run([sys.executable, "-I", file], cwd=tmp_path, env={}, capture_output=True, text=True)
    assert done.stdout.startswith("agreement with the table: 100.0000%"), done.stderr


def test_a_published_memoriser_gets_none(external):
    with pytest.raises(detectors.DetectorsError, match="no program"):
        detectors.program_of(group_view("S5_MLP_hidden_dim_64_seed1"))


@pytest.mark.parametrize("name", COUNTING or ["absent"])
def test_indicators_of_cosets_are_no_better_terms_than_characters(name, capsys):
    """Of a b c^-1: the best function of it, of which characters are some, holds hardly more of the logits than they do;
    and of indicators of subgroups, chosen one by one and fitted anew, more are needed for as much.
    """
    view = group_view(name)
    grid, group = view.plane, view.group
    f = grid.fibre_mean(grid.everything)
    whole = grid.power(grid.everything) / grid.n**2
    characters = torch.from_numpy(np.stack([irrep.character for irrep in group.irreps[1:]]))
    held = (characters @ f).square() / characters.square().sum(1)
    by_characters = (held.sort(descending=True).values.cumsum(0) / whole).tolist()
    inside = torch.from_numpy(subgroups(group, group.order)).double()
    inside -= inside.mean(1, keepdim=True)
    chosen, rest, by_indicators = [], f, []
    for _ in range(6):
        chosen.append(int(((inside @ rest).abs() / inside.norm(dim=1)).argmax()))
        rest = f - inside[chosen].T @ torch.linalg.lstsq(inside[chosen].T, f).solution
        by_indicators.append(float((f.square().sum() - rest.square().sum()) / whole))
    most = float(f.square().sum() / whole)
    with capsys.disabled():
        print(f"\n{name}: any function {most:.1%}; characters", *(f"{share:.1%}" for share in by_characters[:4]))
        print("indicators", *(f"{share:.1%}" for share in by_indicators))
    assert most - by_characters[-1] < 0.02
    assert all(few > many for few, many in zip(by_characters, by_indicators[:4], strict=False))


@pytest.mark.wide
@pytest.mark.parametrize("name", DISCS)
def test_discs_of_the_first_layer_do_not_show_in_logits_that_are_right_everywhere(name, external, capsys):
    view = view_of(name, external)
    grid, accuracy = view.plane, view.figures().accuracy.all
    pairs = some_pairs(view, subset(grid.n**2, 4096, 0))
    irreps = strongest(view.group, pairs, 5)
    plain, disc = (sum(t.share for t in fitted(view.group, pairs, irreps, disc=form)) for form in (False, True))
    with capsys.disabled():
        print(f"\n{name}, {accuracy:.1%} right: {plain:.1%} of the logits without the factor, {disc:.1%} with it")
    assert discs(view)
    assert (disc > plain) == (accuracy < 0.98)
