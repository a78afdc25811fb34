"""A model as a program: it runs without us, its fidelity is told on other pairs, and what is no circuit gets none."""

import json
import subprocess
import sys

import numpy as np
import pytest

import detectors
from detectors.core.errors import NotApplicable
from detectors.report.drawing import draw
from detectors.rewire import renamed
from models_zoo import lookup_table, trig_mlp
from tests.motifs.made import half, of_characters, with_logits

WITHOUT_US = """
import runpy, sys
sys.modules.update(dict.fromkeys(("torch", "scipy", "detectors", "models_zoo")))  # importing one of these fails
runpy.run_path(sys.argv[1], run_name="__main__")
"""


@pytest.fixture(scope="module")
def program(grokked):
    return detectors.program_of(grokked)


def test_it_runs_without_us_and_without_torch(program, tmp_path):
    file = tmp_path / "algorithm.py"
    file.write_text(program.source)
    command = [sys.executable, "-I", "-c", WITHOUT_US, file]
    done = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True)
    assert done.stdout == "agreement with the table: 100.0000% of 2809 pairs\n", done.stderr
    assert len(program.source.splitlines()) <= 60


def test_a_trained_network_is_its_program_and_renamed_tokens_are_not(grokked, program):
    assert set(program.irreps) == set(detectors.trig_logits(grokked).key_irreps)
    assert program.fidelity.agreement >= 0.999
    assert program.fidelity.explained > 0.9
    assert len(program.null) == 5
    for draw_ in program.null:
        assert draw_.agreement < 0.2
        assert draw_.explained < 0.05
        assert draw_.kl > 1


def test_pairs_that_judge_it_are_none_that_it_was_fitted_on_nor_their_flips(grokked, program):
    """30% are fitted on; of a symmetric table 0.7^2 of the others are left once flips are taken out, as is chance."""
    total = grokked.group.order**2
    assert program.fitted_pairs == int(0.3 * total)
    assert program.fidelity.pairs == pytest.approx(0.49 * total, rel=0.05)
    other = detectors.program_of(detectors.load("zoo:s4_mlp"), draws=1)
    assert other.fitted_pairs + other.fidelity.pairs == 24**2


def test_fidelity_grows_with_the_terms_and_is_drawn(program):
    explained = [f.explained for f in program.by_terms]
    assert explained == sorted(explained)
    assert program.by_terms[-1] == program.fidelity
    assert [len(draw) for draw in program.null_by_terms] == [len(explained)] * 5
    bars = program.picture().data
    assert list(bars.heights) == explained
    assert max(bars.chance) < 0.05
    assert draw(bars, 53)[0]["data"]
    assert json.loads(json.dumps(program.to_dict()))["fidelity"]["agreement"] == program.fidelity.agreement


def test_the_same_seed_gives_the_same_text(grokked, program):
    assert detectors.program_of(grokked).source == program.source


def test_discs_get_their_factor_where_it_shows_in_the_logits(program, grokked):
    exact = detectors.program_of(trig_mlp(p=29, frequencies=(3, 5), act_fn="abs"), draws=1)
    assert exact.disc
    assert exact.fidelity.explained > 0.98
    assert "np.abs(np.cos(" in exact.source
    assert not program.disc


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (lambda: lookup_table("add:13", train_fraction=0.5), "training pairs are looked up"),
        (lambda: lookup_table("compose:S4", train_fraction=0.5), "training pairs are looked up"),
        (lambda: lookup_table("add:13", train_fraction=1.0, noise=0.0), "flat"),
        (lambda: detectors.load("zoo:wrong_phases"), "follow no rule of this group"),
        (lambda: detectors.load("zoo:max53"), "no group behind it"),
        (lambda: detectors.load("zoo:induction_exact"), "this one reads sequences"),
    ],
)
def test_what_is_no_circuit_gets_none_and_hears_why(model, why):
    with pytest.raises(NotApplicable, match=why):
        detectors.program_of(model())


def test_a_trained_memoriser_gets_none(memorised):
    with pytest.raises(NotApplicable, match=r"G 0\.00, M 1\.00"):
        detectors.program_of(memorised)


def test_a_lookup_beside_a_circuit_gets_none():
    """The program would be the circuit alone; of what is looked up there is no short account."""
    circuit = of_characters("add:23", (3, 60.0), (7, 40.0)).logits().numpy()
    train, table = half("add:23"), np.eye(23)[np.add.outer(np.arange(23), np.arange(23)).ravel() % 23]
    view = of_characters("add:23", (3, 60.0), (7, 40.0), train=train)
    assert detectors.program_of(view, draws=1).fidelity.agreement == 1
    with pytest.raises(NotApplicable, match="is looked up"):
        detectors.program_of(with_logits(view.task, circuit + 60 * table * train[:, None], train))


def test_tokens_under_other_names_have_no_circuit_and_get_no_program(grokked):
    """What the null's programs are fitted to: the same network, its answers right, by no rule of this group."""
    with pytest.raises(NotApplicable, match="no program"):
        detectors.program_of(renamed(grokked, np.random.default_rng(0).permutation(53)))
