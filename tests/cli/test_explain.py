"""`detectors explain`: the sentence, the program, and why there is none."""

import json
import runpy

import numpy as np
import pytest


def test_the_sentence_alone(call):
    document = json.loads(call("explain", "zoo:add53_grokked", "--json", "-").stdout)
    assert document["summary"].startswith("It answers every pair")
    assert document["program"] is None


@pytest.mark.wide
def test_a_program_is_written_and_its_fidelity_said(call, tmp_path):
    target, data, page = (tmp_path / name for name in ("algorithm.py", "explained.json", "page.html"))
    result = call("explain", "zoo:add53_grokked", "--program", target, "--json", data, "--html", page)
    assert result.exit_code == 0, result.output
    assert "gives 100.00% of the model's answers" in " ".join(result.stdout.split())
    program = runpy.run_path(str(target))
    a, b = np.divmod(np.arange(53**2), 53)
    assert (program["answer"](a, b) == (a + b) % 53).all()
    assert "As a program" in page.read_text()
    written = json.loads(data.read_text())
    assert written["program"]["source"] == target.read_text()
    assert written["summary"].startswith("It answers every pair")


@pytest.mark.wide
def test_a_memoriser_is_refused_and_nothing_is_written(call, tmp_path):
    target = tmp_path / "algorithm.py"
    result = call("explain", "zoo:add53_memorised", "--program", target)
    assert result.exit_code == 2
    assert "training pairs are looked up" in " ".join(result.stderr.split())
    assert "It answers all" in result.stdout
    assert not target.exists()


def test_a_folder_that_is_not_there_is_said_before_anything_is_scored(call, tmp_path):
    result = call("explain", "no.pt", "--program", tmp_path / "no" / "algorithm.py")
    assert result.exit_code == 2
    assert "there is no folder" in " ".join(result.output.replace("│", " ").split())
