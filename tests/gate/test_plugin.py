"""Gates as pytest items, run by pytest itself."""

import sys
import xml.etree.ElementTree as ET

import pytest
import torch

import detectors

GOOD, BAD = "zoo:d15_transformer", "zoo:a5_mlp_memorised"
POLICY = """
must = { trig_logits = "present", memorisation = "absent" }
bounds = ["generalisation.structured_accuracy >= 0.99"]
accuracy = { test = 0.99 }
draws = 99
"""


pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def gate(pytester):
    """Runs pytest on a folder with one policy, here or, where a test is of what is found and imported, afresh.

    Here torch is imported once for all of them, which is most of what a run of its own takes.
    """
    pytester.makefile(".gate.toml", release=POLICY)
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider -p no:randomly")

    def run(*arguments, afresh=False):
        return (pytester.runpytest_subprocess if afresh else pytester.runpytest_inprocess)(*arguments)

    return run


def test_a_good_model_passes_with_readable_ids(gate):
    done = gate("release.gate.toml", "--detectors-checkpoint", GOOD, "-v", afresh=True)
    done.assert_outcomes(passed=4)
    done.stdout.fnmatch_lines(
        [
            "release.gate.toml::trig_logits is present PASSED*",
            "release.gate.toml::memorisation is absent PASSED*",
            "release.gate.toml::generalisation.structured_accuracy >= 0.99 PASSED*",
            "release.gate.toml::accuracy.test >= 0.99 PASSED*",
        ]
    )


@pytest.mark.wide
def test_a_memoriser_fails_in_one_line_each_and_x_stops_at_the_first(gate):
    done = gate("--detectors-checkpoint", BAD)
    done.assert_outcomes(failed=4)
    done.stdout.fnmatch_lines(["trig_logits is absent (*score 0.000*; must be present"])
    assert "Traceback" not in done.stdout.str()
    gate("--detectors-checkpoint", BAD, "-x").assert_outcomes(failed=1)


@pytest.mark.wide
def test_k_selects(gate):
    gate("--detectors-checkpoint", GOOD, "-k", "memorisation").assert_outcomes(passed=1, deselected=3)


def test_junitxml_holds_the_figures(gate, pytester):
    gate("--detectors-checkpoint", GOOD, "--junitxml", "j.xml")
    cases = {c.get("name"): c for c in ET.parse(pytester.path / "j.xml").iter("testcase")}
    figures = {p.get("name"): p.get("value") for p in cases["trig_logits is present"].iter("property")}
    assert figures["verdict"] == "present"
    assert set(figures) == {"verdict", "score", "threshold", "p_value", "p_adjusted"}
    assert 0.5 < float(figures["score"]) < 0.7


@pytest.mark.wide
def test_several_workers_score_once(gate, pytester):
    """Every call of the scorer leaves a line; two workers of four items leave one."""
    pytester.makeconftest(
        """
from detectors.gate import apart
real = apart.score_apart
def counted(*a, **k):
    with open("calls.txt", "a") as f:
        f.write("x")
    return real(*a, **k)
apart.score_apart = counted
"""
    )
    gate("--detectors-checkpoint", GOOD, "-n", "2", afresh=True).assert_outcomes(passed=4)
    assert (pytester.path / "calls.txt").read_text() == "x"


def test_without_a_checkpoint_a_policy_is_no_test_unless_it_is_asked_for(gate):
    assert gate().ret == pytest.ExitCode.NO_TESTS_COLLECTED
    done = gate("release.gate.toml")
    assert done.ret == pytest.ExitCode.INTERRUPTED
    done.stdout.fnmatch_lines(["*pass --detectors-checkpoint CKPT, the model to judge*"])


def test_a_malformed_policy_and_a_missing_model_are_errors_in_words(gate, pytester):
    pytester.makefile(".gate.toml", broken="mus = 1")
    done = gate("broken.gate.toml", "--detectors-checkpoint", GOOD)
    assert done.ret == pytest.ExitCode.INTERRUPTED
    done.stdout.fnmatch_lines(["*unknown key 'mus'; did you mean 'must'?*"])
    missing = gate("release.gate.toml", "--detectors-checkpoint", "nowhere.pt")
    missing.assert_outcomes(failed=4)
    missing.stdout.fnmatch_lines(["*no file or folder nowhere.pt*"])


def test_fixtures_for_tests_of_ones_own(gate, pytester):
    pytester.makepyfile(
        """
def test_circuit(detections, detectors_checkpoint):
    assert detectors_checkpoint.startswith("zoo:")
    assert detections["trig_logits"].verdict == "present"
"""
    )
    gate("--detectors-checkpoint", GOOD, "-k", "circuit").assert_outcomes(passed=1, deselected=4)
    without = gate("-k", "circuit")
    without.assert_outcomes(errors=1)
    without.stdout.fnmatch_lines(["*this test judges a model: pass --detectors-checkpoint CKPT*"])


@pytest.mark.wide
def test_options_of_the_command_line_overrule_the_policy(gate, pytester):
    pytester.makefile(".gate.toml", other="task = 'add:30'\nmust = { trig_logits = 'present' }")
    gate("other.gate.toml", "--detectors-checkpoint", GOOD).assert_outcomes(failed=1)
    done = gate("other.gate.toml", "--detectors-checkpoint", GOOD, "--detectors-task", "compose:D15")
    done.assert_outcomes(passed=1)


@pytest.mark.wide
def test_a_fixture_without_a_task_names_the_options_of_pytest(gate, pytester, grokked):
    torch.save(dict(grokked.network.weights), pytester.path / "bare.pt")
    pytester.makepyfile("def test_circuit(detections): assert detections['trig_logits'].verdict == 'present'")
    without = gate("-k", "circuit", "--detectors-checkpoint", "bare.pt")
    without.assert_outcomes(errors=1)
    without.stdout.fnmatch_lines(["*--detectors-task*"])
    gate("-k", "circuit", "--detectors-checkpoint", "bare.pt", "--detectors-task", "add:53").assert_outcomes(
        passed=1, deselected=4
    )


@pytest.mark.wide
def test_a_baseline_makes_items_of_its_own(gate, pytester):
    (pytester.path / "b.json").write_text(detectors.run(detectors.load(GOOD), draws=99).to_json())
    gate("--detectors-checkpoint", GOOD, "--detectors-baseline", "b.json").assert_outcomes(passed=14)
    gate("--detectors-checkpoint", GOOD, "--detectors-baseline", "none.json").assert_outcomes(errors=1)


def test_the_plugin_is_idle_until_asked(pytester):
    pytester.makepyfile(
        """
import sys
def test_nothing_heavy_is_imported():
    ours = {m for m in sys.modules if m.startswith("detectors")}
    assert ours == {"detectors", "detectors.core", "detectors.core.version", "detectors.gate", "detectors.gate.plugin"}
    assert not {"torch", "numpy", "pydantic", "rich"} & set(sys.modules)
"""
    )
    plain = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:jaxtyping", "-p", "no:typeguard"]
    done = pytester.run(sys.executable, "-m", "pytest", *plain)
    done.assert_outcomes(passed=1)


OWN = """
import pytest
def pytest_addoption(parser):
    parser.addoption("--checkpoint", default="theirs.ckpt")
@pytest.fixture(scope="session")
def checkpoint(request):
    return 7
"""


def test_a_project_keeps_its_own_option_and_fixture_of_that_name(gate, pytester):
    pytester.makeconftest(OWN)
    pytester.makepyfile(
        """
def test_theirs(checkpoint, request):
    assert checkpoint == 7
    assert request.config.getoption("--checkpoint") == "other.ckpt"

def test_ours(detections):
    assert detections["trig_logits"].verdict == "present"
"""
    )
    arguments = ("--checkpoint", "other.ckpt", "--detectors-checkpoint", GOOD)
    gate("-k", "theirs or ours", *arguments).assert_outcomes(passed=2, deselected=4)


def test_the_old_option_is_told_what_it_is_called_now(gate):
    done = gate("release.gate.toml", "--checkpoint", GOOD, afresh=True)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*--checkpoint: of circuit-detectors 0.1 is --detectors-checkpoint now*"])


@pytest.mark.wide
def test_a_loader_that_exits_does_not_end_pytest(gate, pytester):
    pytester.makepyfile(mine="import os\nprint('4 passed')\nos._exit(0)")
    arguments = ("--detectors-checkpoint", "mine.py", "--detectors-task", "add:7", "--detectors-loader", "mine.py:load")
    done = gate("release.gate.toml", *arguments, "-x", afresh=True)
    done.assert_outcomes(failed=1)
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    done.stdout.fnmatch_lines(["*ended with exit code 0 before there was a report*"])


@pytest.mark.wide
def test_a_timeout(gate, pytester):
    pytester.makepyfile(mine="import time\ntime.sleep(600)")
    arguments = ("--detectors-checkpoint", "mine.py", "--detectors-task", "add:7", "--detectors-loader", "mine.py:load")
    done = gate("release.gate.toml", *arguments, "-x", "--detectors-timeout", "5", afresh=True)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*not scored within 5 seconds*"])
