"""`make bench` keeps its figures, and says how they moved."""

import importlib.util
import json
from pathlib import Path

FILE = Path(__file__).parents[2] / "tools" / "bench.py"
spec = importlib.util.spec_from_file_location("tools_bench", FILE)
bench = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bench)


def test_runs_are_appended_and_told_against_the_last(tmp_path, capsys):
    history = tmp_path / "bench.jsonl"
    bench.record({"a": {"seconds": 2.0, "nothing": 0.0}}, history)
    assert capsys.readouterr().out == ""
    bench.record({"a": {"seconds": 1.0, "nothing": 0.0, "new": 1.0}, "b": {"seconds": 1.0}}, history)
    heading, line = capsys.readouterr().out.strip().splitlines()
    assert heading.startswith("ratio to the run of ")
    assert line.split() == ["a", "seconds", "0.50"]
    first, second = map(json.loads, history.read_text().splitlines())
    assert first["figures"]["a"]["seconds"] == 2.0
    assert second["versions"].keys() >= {"python", "torch", "circuit-detectors"}
    assert "cores" in second["machine"]
    assert second["commit"]


def test_another_machine_is_named():
    last = {"when": "then", "commit": "abc", "machine": "one", "figures": {}}
    assert bench.ratios(last, last | {"machine": "two"}) == [
        "ratio to the run of then at abc, which was another machine: one"
    ]
