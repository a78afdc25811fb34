"""Tasks against arithmetic done the slow way, and inference from tables with errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.core.errors import TaskError
from detectors.core.groups import Group
from detectors.subjects.operands.inference import infer_task
from detectors.subjects.operands.tables import find_group
from detectors.subjects.operands.task import Task

OPERATIONS = {
    "add": lambda a, b, p: (a + b) % p,
    "sub": lambda a, b, p: (a - b) % p,
    "mul": lambda a, b, p: (a * b) % p,
    "quad": lambda a, b, p: (a * a + b * b) % p,
    "max": lambda a, b, p: max(a, b),
    "min": lambda a, b, p: min(a, b),
}
SPECS = [
    "add:7",
    "sub:8",
    "mul:11",
    "mul:12",
    "div:11",
    "div:9",
    "compose:S4",
    "compose:D5",
    "compose:C6",
    "compose:C2xS3",
    "compose:C3xC5",
    "compose:C4xC3",
]


@pytest.mark.parametrize("kind", OPERATIONS)
@pytest.mark.parametrize("p", [2, 5, 9])
def test_answers(kind, p):
    task = Task.parse(f"{kind}:{p}")
    assert task.answer.tolist() == [[OPERATIONS[kind](a, b, p) for b in range(p)] for a in range(p)]
    assert task.n_answers == p


def test_division_undoes_multiplication_and_leaves_zero_out():
    task = Task.parse("div:11")
    assert (task.answer[:, 0] == -1).all()
    assert len(task.domain) == 11 * 10
    for a in range(11):
        for b in range(1, 11):
            assert task.answer[a, b] * b % 11 == a


@pytest.mark.parametrize("spec", SPECS)
def test_labels_turn_the_answer_into_the_product(spec):
    task = Task.parse(spec)
    labels = task.labels
    np.testing.assert_array_equal(task.answer.ravel()[task.grid], labels.answers[labels.group.table])


def test_multiplication_is_the_cyclic_group_of_its_units():
    assert Task.parse("mul:53").group.name == "C52"
    assert Task.parse("mul:12").group.name == "C2xC2"
    assert 0 not in Task.parse("mul:53").labels.left
    assert Task.parse("quad:5").group is None


@pytest.mark.parametrize(
    ("name", "known"), [("C3xC5", "C15"), ("C4xC3", "C12"), ("C2xC2", "C2xC2"), ("C2xS3", "C2xS3")]
)
def test_a_product_that_is_cyclic_is_known_as_such(name, known):
    task = Task.parse(f"compose:{name}")
    assert task.group.name == known
    assert task.group.is_cyclic == (known in ("C15", "C12"))
    np.testing.assert_array_equal(task.answer, Group.from_name(name).table)  # tokens are numbered as the product is


@pytest.mark.sampled(7)
@pytest.mark.unchecked
@pytest.mark.parametrize("spec", ["add:29", "sub:31", "mul:29", "div:31", "compose:S4", "compose:D13", "compose:C2xS4"])
@given(errors=st.floats(0, 0.06), seed=st.integers(0, 99))
def test_inference_finds_the_group_through_errors(spec, errors, seed):
    task = Task.parse(spec)
    rng = np.random.default_rng(seed)
    table = task.answer.copy()
    holes = table < 0
    table[holes] = rng.integers(task.n_answers, size=holes.sum())
    wrong = rng.permutation(table.size)[: int(errors * table.size)]
    table.ravel()[wrong] = rng.integers(task.n_answers, size=len(wrong))
    found = infer_task(table, seed=seed)
    assert found.group is not None
    assert found.group.order == task.group.order
    np.testing.assert_array_equal(found.answer.ravel()[found.grid], found.labels.answers[found.group.table])
    right = found.answer[found.answer >= 0] == task.answer[found.answer >= 0]
    assert right.all()


@pytest.mark.parametrize("spec", [s for s in SPECS if not s.startswith("div")])
def test_inference_from_a_table_without_errors(spec):
    task = Task.parse(spec)
    found = infer_task(task.answer)
    assert found.group.order == task.group.order
    assert (found.answer[found.answer >= 0] == task.answer[found.answer >= 0]).all()


@pytest.mark.parametrize("spec", ["quad:13", "max:13", "min:12"])
def test_inference_says_that_there_is_no_group(spec):
    found = infer_task(Task.parse(spec).answer)
    assert found.group is None
    assert "no group" in found.note


@pytest.mark.wide
@pytest.mark.unchecked
def test_inference_of_random_answers_finds_no_group():
    assert infer_task(np.random.default_rng(0).integers(20, size=(20, 20))).group is None


@given(st.integers(0, 1000))
def test_a_table_isotopic_to_a_group_is_found(seed):
    rng = np.random.default_rng(seed)
    left, right, out = (rng.permutation(13) for _ in range(3))
    table = out[Task.parse("add:13").answer[np.ix_(left, right)]]
    labels = find_group(table)
    assert labels.group.name == "C13"
    np.testing.assert_array_equal(table[np.ix_(labels.left, labels.right)], labels.answers[labels.group.table])


def test_one_token_is_no_group():
    assert find_group(np.array([[0]])) is None
    assert find_group(np.array([[0, 1], [1, 0]])).group.order == 2


def test_a_table_file_carries_its_group(tmp_path):
    np.save(tmp_path / "s3.npy", Task.parse("compose:S3").answer.astype(np.uint8))
    task = Task.parse(f"table:{tmp_path / 's3.npy'}")
    assert task.group.name == "S3"
    np.save(tmp_path / "max.npy", Task.parse("max:7").answer)
    assert Task.parse(f"table:{tmp_path / 'max.npy'}").group is None


@pytest.mark.parametrize(
    "spec", ["", "add", "add:", "add:x", "add:1", "add:99999", "add:-3", "compose:", "foo:3", "table:"]
)
def test_bad_specs_are_refused(spec):
    with pytest.raises(TaskError):
        Task.parse(spec)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 3), int),
        np.zeros((2, 2)),
        np.full((2, 2), -1),
        np.full((2, 2), -7),
        np.zeros((0, 0), int),
        np.zeros(4, int),
    ],
)
def test_bad_tables_are_refused(tmp_path, array):
    np.save(tmp_path / "t.npy", array)
    with pytest.raises(TaskError):
        Task.parse(f"table:{tmp_path / 't.npy'}")


def test_a_table_that_is_a_pickle_is_refused_and_not_run(tmp_path):
    np.save(tmp_path / "t.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(TaskError, match="not a NumPy array file"):
        Task.parse(f"table:{tmp_path / 't.npy'}")
    with pytest.raises(TaskError, match="no table"):
        Task.parse(f"table:{tmp_path / 'absent.npy'}")
