"""Whole verdicts on synthetic weights: fewer with more noise, gone under other names, back with the table."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import detectors
from detectors.rewire import noisy, permuted_vocabulary
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from fixtures.strategies import planted, planted_groups
from models_zoo import trig_mlp

CIRCUIT = ("sparse_fourier_embedding", "trig_product_neurons", "trig_logits", "generalisation")
LEVELS = (0.0, 0.5, 2.0, 8.0, 300.0)
FEWER = settings(max_examples=settings.default.max_examples // 3)  # each is several verdicts


@pytest.mark.wide
@pytest.mark.parametrize("name", CIRCUIT)
@FEWER
@given(p=st.sampled_from([13, 17, 23]), k=st.integers(1, 6), seed=st.integers(0, 99))
def test_a_verdict_that_noise_has_taken_away_does_not_come_back(name, p, k, seed):
    """Of three frequencies: the margins of one alone are so small that any direction breaks them: `inconclusive`."""
    view = trig_mlp(p=p, frequencies=sorted({k, k % 6 + 1, (k + 2) % 6 + 1}), train_fraction=0.3, seed=seed)
    found = [detectors.run(noisy(view, level, seed), names=[name], draws=99)[0].verdict for level in LEVELS]
    assert found[0] == "present"
    assert found[-1] != "present"
    present = [verdict == "present" for verdict in found]
    assert present == sorted(present, reverse=True), found


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", CIRCUIT)
@FEWER
@given(case=st.one_of(planted(train_fraction=0.4), planted_groups(train_fraction=0.4)), seed=st.integers(0, 99))
def test_renamed_tokens_drop_to_the_null_and_come_back_with_the_table(name, case, seed):
    view = case[0]
    before = detectors.run(view, names=[name], draws=39)[0]
    other = permuted_vocabulary(view, seed)
    wrong = ModelView(other.network, view.task, train_mask=other.train_mask)
    left = detectors.run(wrong, names=[name], draws=39)[0]
    if (
        left.score is None
    ):  # so few tokens that the right answers are on top all the same: it is told for another table's
        assert "the answers of another task" in left.reason
    else:
        assert left.score < before.score / 2
    table = Task.of_table("table:found", other.task.answer)  # a group in disguise, recognised
    back = detectors.run(ModelView(other.network, table, train_mask=other.train_mask), names=[name], draws=39)[0]
    assert back.score == pytest.approx(before.score, abs=0.03)
