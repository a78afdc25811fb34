"""Terms of the logits: exact sums give their own numbers back, and what is no such sum is not taken for one."""

import numpy as np
import pytest
import torch

import detectors
from detectors.core.groups import Group
from detectors.subjects.operands.terms import Pairs, best_fitted, discs, fidelity, fitted, some_pairs, strongest, sums
from models_zoo import trig_mlp
from tests.motifs.made import of_characters, with_neurons

P = 13
A, B, C = (x.ravel() for x in np.indices((P, P, P)))


def pairs(cube):
    """Of logits over every a, b, c."""
    logits = torch.from_numpy(np.asarray(cube).reshape(P * P, P))
    logits = logits - logits.mean(1, keepdim=True)
    a, b = np.divmod(np.arange(P * P), P)
    return Pairs(torch.from_numpy(a), torch.from_numpy(b), logits, logits.argmax(1))


def wave(k, amplitude, phase, offset=None):
    w = 2 * np.pi * k / P
    factor = 1.0 if offset is None else np.abs(np.cos((w * (A - B) - offset) / 2))
    return amplitude * factor * np.cos(w * (A + B - C) + phase)


def last(group, terms, of):
    return fidelity(list(sums(group, terms, of))[-1], of)


def test_amplitudes_and_phases_come_back_from_some_pairs_and_hold_on_the_others():
    c13, whole = Group.from_name("C13"), pairs(wave(2, 3.0, 0.25) + wave(5, 1.5, -2.5))
    some = torch.from_numpy(np.random.default_rng(0).permutation(P * P))
    inside, outside = (Pairs(*(x[k] for x in whole)) for k in (some[:40], some[40:]))
    terms = fitted(c13, inside, [5, 2], disc=False)
    assert [(t.irrep, t.amplitude, t.phase, t.offset) for t in terms] == [(2, 3.0, 0.25, None), (5, 1.5, -2.5, None)]
    assert [t.share for t in terms] == pytest.approx([0.8, 0.2])  # squares of 3 and 1.5
    first, both = (fidelity(made, outside) for made in sums(c13, terms, outside))
    assert first.explained == pytest.approx(0.8)
    assert both == pytest.approx((1.0, 1.0, 0.0, P * P - 40), abs=1e-9)


def test_discs_have_a_factor_and_waves_without_one_are_not_given_it():
    c13 = Group.from_name("C13")
    disc, plain = pairs(wave(3, 2.0, 0.5, 0.75)), pairs(wave(3, 2.0, 0.5))
    (term,) = fitted(c13, disc, [3], disc=True)
    # 13 points alias the 12th harmonic of |cos| to the first, at 3 / (4 * 12^2 - 1) = 0.5% of it
    assert (term.amplitude, term.phase, term.offset) == pytest.approx((2.0, 0.5, 0.75), abs=0.01)
    assert last(c13, [term], disc).explained == pytest.approx(1, abs=1e-4)
    # of |cos| the constant holds (2 / pi)^2 / (1 / 2) = 8 / pi^2, and the other way round
    for of, form in ((disc, False), (plain, True)):
        assert last(c13, fitted(c13, of, [3], disc=form), of).explained == pytest.approx(8 / np.pi**2, abs=0.01)


def test_an_offset_does_not_depend_on_which_pairs_were_drawn():
    whole = pairs(wave(3, 2.0, 0.5, 0.75))
    for seed in range(5):
        some = Pairs(*(x[torch.from_numpy(np.random.default_rng(seed).random(P * P) < 0.4)] for x in whole))
        (term,) = fitted(Group.from_name("C13"), some, [3], disc=True)
        assert term.offset == pytest.approx(0.75, abs=0.03)  # with the constant in it, off by up to 0.4


def test_each_term_has_the_factor_where_it_explains_more_and_its_cluster_is_a_disc():
    c13, mixed = Group.from_name("C13"), pairs(wave(3, 2.0, 0.5, 0.75) + wave(5, 2.0, 0.0))

    def of_terms(discs):
        return {t.irrep: t.offset is not None for t in best_fitted(c13, mixed, [3, 5], discs)}

    assert of_terms({3, 5}) == of_terms({3}) == {3: True, 5: False}
    assert of_terms({5}) == of_terms(()) == {3: False, 5: False}
    best = last(c13, best_fitted(c13, mixed, [3, 5], {3, 5}), mixed).explained
    assert (
        best > 0.999 > 0.95 > max(last(c13, fitted(c13, mixed, [3, 5], disc=f), mixed).explained for f in (False, True))
    )


def test_half_the_order_is_a_sign():
    n = 8
    a, b, c = np.indices((n, n, n))
    logits = torch.from_numpy(-2.0 * (-1.0) ** (a + b - c)).reshape(n * n, n)
    of = Pairs(torch.arange(n * n) // n, torch.arange(n * n) % n, logits, logits.argmax(1))
    (term,) = fitted(Group.from_name("C8"), of, [4], disc=True)
    assert (term.amplitude, term.phase, term.offset) == (2.0, 3.142, None)
    assert last(Group.from_name("C8"), [term], of).explained == pytest.approx(1, abs=1e-6)


def test_characters_of_another_group():
    view = of_characters("compose:S4", (3, 2.0), (1, 1.0))
    grid, s4 = view.plane, view.group
    of = some_pairs(view, grid.everything)
    assert sorted(strongest(s4, of, 2)) == [1, 3]
    terms = fitted(s4, of, [1, 3], disc=False)
    assert [t.irrep for t in terms] == [3, 1]
    assert [t.amplitude for t in terms] == pytest.approx([2 / 24**0.5, 1 / 24**0.5], rel=1e-3)
    assert last(s4, terms, of).explained == pytest.approx(1, abs=1e-6)
    assert last(s4, fitted(s4, of, [2, 4], disc=False), of).explained == pytest.approx(0, abs=1e-6)


def test_noise_is_no_sum_of_terms():
    c13, noise = Group.from_name("C13"), pairs(np.random.default_rng(0).standard_normal(P**3))
    found = last(c13, fitted(c13, noise, [1, 2, 3], disc=False), noise)
    assert found.explained < 0.02
    assert found.agreement < 0.2


def test_kl_and_agreement_are_those_of_the_definition():
    rng = np.random.default_rng(1)
    model, made = rng.standard_normal((2, 4, P))
    model -= model.mean(1, keepdims=True)
    given = torch.tensor([int(made[0].argmax()), -1, int(made[2].argmin()), int(made[3].argmax())])
    found = fidelity(torch.from_numpy(made), Pairs(torch.arange(4), torch.arange(4), torch.from_numpy(model), given))
    q, p = (np.exp(x) / np.exp(x).sum(1, keepdims=True) for x in (made, model))
    assert found.kl == pytest.approx((p * np.log(p / q)).sum(1).mean())
    assert found.agreement == 0.5  # an answer that the group does not label is nobody's
    assert found.explained == pytest.approx(1 - ((model - made) ** 2).sum() / (model**2).sum())


def test_renamed_elements_keep_the_answers_and_lose_the_circuit():
    c13, whole = Group.from_name("C13"), pairs(wave(2, 3.0, 0.0) + wave(5, 1.5, 0.0))
    perm = torch.from_numpy(np.random.default_rng(0).permutation(P))
    moved = whole.renamed(perm)
    assert torch.equal(moved.logits.argmax(1), moved.given)
    assert torch.equal(moved.given, perm[(whole.left + whole.right) % P])
    assert all(torch.equal(x, y) for x, y in zip(moved.renamed(perm.argsort()), whole, strict=True))
    assert last(c13, fitted(c13, moved, strongest(c13, moved, 2), disc=False), moved).explained < 0.2


def test_discs_are_of_one_phase_for_both_operands():
    assert discs(trig_mlp(p=P, frequencies=(3,))) == {3}
    w, phases = 2 * np.pi * 3 / P, np.random.default_rng(0).uniform(0, 2 * np.pi, (2, 40))
    a, b = np.indices((P, P))
    torus = [np.cos(w * a + s) + np.cos(w * b + t) for s, t in phases.T]
    out = np.cos(w * np.arange(P) + phases.sum(0)[:, None])
    assert not discs(with_neurons(torus, readout=out))
    assert not discs(detectors.load("zoo:s4_mlp"))
