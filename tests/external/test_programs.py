"""Published networks as programs: the same answers on pairs that the numbers were not fitted to, and in all."""

import subprocess
import sys

import numpy as np
import pytest

import detectors
from detectors.core.nulls import subset
from detectors.subjects.operands.terms import fitted, has_discs, some_pairs, strongest
from tests.external.test_external import PIZZA, group_view, pizza_view, progress_view

pytestmark = pytest.mark.external
DISCS = ("C113_T_seed1", "C113_T_seed2", "C118_T_seed1", "C118_T_seed2", "progress measures")
DISCS += ("18c9ev5v5p", "dy65ktpiij", "l8k1hzciux", "p99zdpze5l")
NAMES = ("C113_T_seed1", "D59_MLP_seed1", "S5_T_seed1", "progress measures", "p99zdpze5l", "l8k1hzciux")


def view_of(name, external):
    if name == "progress measures":
        return progress_view(external)
    return pizza_view(PIZZA[name], external) if name in PIZZA else group_view(name)


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


@pytest.mark.parametrize("name", DISCS)
def test_discs_of_the_first_layer_do_not_show_in_logits_that_are_right_everywhere(name, external, capsys):
    view = view_of(name, external)
    grid, accuracy = view.plane, view.figures().accuracy.all
    pairs = some_pairs(view, subset(grid.n**2, 4096, 0))
    irreps = strongest(view.group, pairs, 5)
    plain, disc = (sum(t.share for t in fitted(view.group, pairs, irreps, disc=form)) for form in (False, True))
    with capsys.disabled():
        print(f"\n{name}, {accuracy:.1%} right: {plain:.1%} of the logits without the factor, {disc:.1%} with it")
    assert has_discs(view)
    assert (disc > plain) == (accuracy < 0.98)
