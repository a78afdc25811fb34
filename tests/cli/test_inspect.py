"""`detectors inspect`: what is in a file, how it is read, what would settle what is open, and a loader to fill in."""

import pytest
import torch

from detectors.subjects.operands.task import Task
from fixtures.saved_networks import Spec, trained

P = 11


@pytest.fixture(scope="module")
def weights():
    task = Task.parse(f"add:{P}")
    model = trained(Spec(kind="layers", reads="two-sum"), torch.from_numpy(task.answer), torch.arange(P * P))
    return {name: tensor.detach() for name, tensor in model.state_dict().items()}


@pytest.mark.wide
def test_a_file_is_shown_with_how_each_part_is_read(call, saved, weights):
    result = call("inspect", str(saved(weights | {"odd": torch.zeros(3)})), "--task", f"add:{P}")
    assert result.exit_code == 0
    for said in ("embed_a.weight", "[11, 32]", "not used", "mlp by structure", "from names and shapes", "by trial"):
        assert said in result.stdout


def test_without_a_task_the_sizes_that_fit_are_named(call, saved, weights):
    result = call("inspect", str(saved(weights)))
    assert result.exit_code == 0
    assert "pass --task, e.g. --task add:11" in " ".join(result.stdout.split())


def test_a_file_that_is_not_read_is_an_answer_and_gives_a_loader_that_runs(call, saved, tmp_path):
    file = saved({"table": torch.randn(13, 16), "bank": torch.randn(5, 5, 5, 5), "top": torch.randn(16, 13)})
    target = tmp_path / "loader.py"
    result = call("inspect", str(file), "--task", "add:50", "--emit-loader", str(target))
    assert result.exit_code == 0
    assert "not read" in result.stdout
    text = target.read_text()
    assert "# w['bank']: [5, 5, 5, 5]" in text
    compile(text, str(target), "exec")
    filled = text.replace("w['top'].T", "w['top']")
    target.write_text(filled)
    scored = call("run", str(file), "--task", "add:13", "--loader", f"{target}:load", "--draws", "19")
    assert scored.exit_code == 0, scored.stdout


def test_what_is_not_recognised_points_to_inspect(call, saved):
    result = call("run", str(saved({"layer1.weight": torch.zeros(3, 4)})), "--task", "add:7")
    assert result.exit_code == 2
    assert "detectors inspect FILE --emit-loader" in result.output
