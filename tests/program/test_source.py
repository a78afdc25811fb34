"""The text of a program computes what its numbers say, for every way that a group may be named."""

import numpy as np
import pytest
import torch

import detectors
from detectors.core.groups import Group
from detectors.program.source import written
from detectors.subjects.operands.tables import Labels
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.terms import Fidelity, Term, fidelity, some_pairs, sums
from detectors.subjects.operands.view import ModelView
from detectors.subjects.subject import Checkpoint
from models_zoo import trig_mlp
from tests.motifs.made import with_logits

LONGEST, WIDEST = 60, 120


def names_of(source):
    """What a program defines."""
    names = {"__name__": "program"}
    exec(compile(source, "program.py", "exec"), names)
    return names


def assert_same(view, program):
    """The program's own logits have the fidelity that is said of it, and its answers are tokens, -1 outside."""
    names, grid = names_of(program.source), view.plane
    a, b = np.divmod(np.arange(view.task.n_tokens**2), view.task.n_tokens)
    pairs = grid.pairs.numpy()
    made = torch.from_numpy(names["logits"](a[pairs], b[pairs])).double()
    of_all = fidelity(made, some_pairs(view, grid.everything))
    assert of_all.explained == pytest.approx(program.fidelity.explained, abs=0.02)
    assert of_all.agreement == pytest.approx(program.fidelity.agreement, abs=0.02)
    answers = names["answer"](a, b)
    given = view.logits().argmax(1).numpy()
    assert (answers[pairs] == given[pairs]).mean() == of_all.agreement
    assert (np.delete(answers, pairs) == -1).all()
    assert names["answer"](int(a[pairs[3]]), int(b[pairs[3]])) == answers[pairs[3]]
    lines = program.source.splitlines()
    assert len(lines) <= LONGEST
    assert all(len(line) <= WIDEST for line in lines if "base64" not in line and "PACKED" not in line)


EXACT = {
    "add:13": ((2, 1.0), (5, 0.6)),
    "sub:13": ((2, 1.0), (5, 0.6)),
    "mul:17": ((2, 1.0), (5, 0.6)),
    "div:17": ((2, 1.0), (5, 0.6)),
    "compose:C12": ((1, 1.0), (6, 0.5)),
    "compose:D7": ((2, 1.0), (3, 0.8)),
    "compose:D8": ((1, 0.3), (5, 1.0), (6, 0.8)),
    "compose:S4": ((3, 1.0), (1, 0.5)),
    "compose:A5": ((1, 1.0),),
    "compose:Dic5": ((4, 1.0), (5, 1.0), (6, 1.0)),
    "compose:C2xS4": ((7, 1.0), (3, 0.5)),
    "compose:C6xC4": ((3, 1.0), (7, 0.5), (9, 0.7)),
}


def exact(task, *amplitudes):
    """Logits that are characters of a b c^-1, (irrep, amplitude), 0 of tokens that the group does not label."""
    group, labels = task.group, task.labels
    where = group.table[group.table.ravel()[:, None], group.inverse]  # [pair, c] -> a b c^-1
    logits = np.zeros((task.n_tokens**2, task.n_answers))
    logits[task.grid.ravel()[:, None], labels.answers] = sum(
        x * group.irreps[i].character[where] for i, x in amplitudes
    )
    return with_logits(task, logits)


@pytest.mark.parametrize("spec", EXACT)
def test_it_computes_what_is_said_of_it(spec):
    view = exact(Task.parse(spec), *((i, 9 * alpha) for i, alpha in EXACT[spec]))
    program = detectors.program_of(view, draws=1)
    assert len(program.irreps) == len(EXACT[spec])
    assert program.fidelity.explained == pytest.approx(1, abs=1e-5)
    assert_same(view, program)


def test_arithmetic_stands_for_tokens_where_they_are_arithmetic():
    def line(spec):
        source = detectors.program_of(exact(Task.parse(spec), (2, 5.0), (5, 4.0)), draws=1).source
        return [line for line in source.splitlines() if line.startswith(("LEFT", "RIGHT", "ANSWER"))]

    assert line("add:13") == []
    assert line("sub:13") == ["LEFT = ANSWER = np.arange(13)", "RIGHT = 12 * np.arange(13) % 13"]
    (powers,) = line("mul:17")
    assert "pow(" in powers


@pytest.mark.parametrize("offset", [None, 0.75])
def test_waves_are_the_terms_that_were_fitted(offset):
    """Sign and place of every number, the offset of discs with them, which half the order has not."""
    view = exact(Task.parse("add:14"), (3, 5.0), (7, 4.0))
    terms = [Term(3, 2.5, 0.5, offset, 0.6), Term(5, 1.5, -2.0, offset, 0.3), Term(7, 1.0, 0.0, None, 0.1)]
    told = Fidelity(1.0, 1.0, 0.0, 9)
    names, pairs = names_of(written(view, terms, told, [told], 9)), some_pairs(view, view.plane.everything)
    made = names["logits"](pairs.left.numpy(), pairs.right.numpy())
    assert made == pytest.approx(list(sums(view.group, terms, pairs))[-1].numpy(), abs=1e-9)


def renamed(group, seed):
    """Tokens that are the elements in any order, each side in its own."""
    left, right, answers = (np.random.default_rng(seed + k).permutation(group.order) for k in range(3))
    answer = np.empty_like(group.table)
    answer[np.ix_(left, right)] = answers[group.table]
    return Task("renamed", answer, group.order, Labels(group, left, right, answers))


@pytest.mark.wide
@pytest.mark.parametrize("name", ["C37", "S4", "S5"])
def test_a_table_of_any_names(name):
    group = Group.from_name(name)
    view = exact(renamed(group, 0), (2, 5.0), (len(group.irreps) - 1, 4.0))
    program = detectors.program_of(view, draws=1)
    assert program.fidelity.explained == pytest.approx(1, abs=1e-5)
    assert_same(view, program)


@pytest.mark.wide
def test_a_group_of_no_name_and_one_of_many_classes():
    table, moved = Group.from_name("S4").table, np.random.default_rng(0).permutation(24)
    group, e = Group(moved[table][np.ix_(moved.argsort(), moved.argsort())]), np.arange(24)
    view = exact(Task("unnamed", group.table, 24, Labels(group, e, e, e)), (3, 5.0), (1, 4.0))
    program = detectors.program_of(view, draws=1)
    assert "PACKED" in program.source
    assert_same(view, program)
    task = Task.parse("compose:C2xC2xC2xC2xC2xC2xC2")  # 128 classes; seven signs that tell the identity from the rest
    many, left = [], np.ones(128, dtype=bool)
    for i, irrep in enumerate(task.group.irreps):
        if 0 < (left & (irrep.character > 0)).sum() < left.sum():
            many, left = [*many, i], left & (irrep.character > 0)
    many = exact(task, *((i, 4.0 - k / 8) for k, i in enumerate(many)))
    program = detectors.program_of(many, draws=1)
    assert_same(many, program)


@pytest.mark.parametrize(
    "path", ["m\nimport os", "# coding: utf-7", "coding=rot13\r\nexit()", "\x0c'''\"\"\"", "\u2028x"]
)
def test_the_name_of_a_file_stays_in_its_comment(path):
    exact = trig_mlp(p=11, frequencies=(3, 5), act_fn="abs")
    view = ModelView(exact.network, exact.task, checkpoint=Checkpoint(path=path))
    source, plain = (detectors.program_of(v, draws=1).source for v in (view, exact))
    code = [[line for line in text.split("\n") if not line.startswith("#")] for text in (source, plain)]
    assert code[0] == code[1]
    assert not any("coding" in line for line in source.split("\n")[:2])
    assert not set(source) & {"\r", "\x0c", "\u2028"}
    compile(source.encode(), "program.py", "exec")
