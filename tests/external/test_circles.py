"""Circles one at a time and swapped activations of published networks, measured against what others published."""

import json
import math

import numpy as np
import pytest
import torch

import detectors
from detectors.subjects.operands.circles import circles
from detectors.subjects.operands.clusters import spectra
from detectors.subjects.operands.effects import effects_before
from detectors.subjects.operands.harmonics import harmonic_families
from detectors.subjects.operands.swaps import swapped

pytestmark = pytest.mark.external

N = 59
# arXiv:2306.17844, table 2 (A), and the outputs of the notebooks of its repository (A and the linear model beta): of
# the circles in the order of their principal components, in %.
PUBLISHED = {
    "p99zdpze5l": {
        "clock": (75.41, 75.62, 75.38),
        "pizza": (99.18, 99.18, 99.28),
        "folded": (98.31, 98.31, 98.41),
    },
    "p71frej8t7": {"clock": (75.27, 74.71, 75.46), "folded": (97.99, 97.48, 98.22)},
}


@pytest.fixture
def pizza(external):
    rows = {row["id"]: row for row in json.loads((external / "truth_pizza.json").read_text())}

    def load(name):
        row = rows[name]
        told = {"attn_coeff": str(row["attention_rate"]), "act_fn": "relu"}
        return detectors.load(external / row["file"], task="add:59", arch={} if row["n_layers"] is None else told)

    return load


def components(view, first):
    """[pairs, answers] logits of the mean and the principal components `first`, each with the next, as published."""
    every, pairs = torch.arange(N), view.tokens_of(torch.arange(N * N))
    table = view.run(torch.stack([every, every], 1), capture=["hook_embed"])[1]["hook_embed"][:, 0].double()
    mean = table.mean(0)
    u, s, v = torch.linalg.svd(table - mean, full_matrices=False)
    kept = [i for j in first for i in (j, j + 1)]
    table = mean + (u[:, kept] * s[kept]) @ v[kept]
    put = {"hook_embed": lambda x: torch.cat([table[pairs].to(x.dtype), x[:, 2:]], dim=1)}
    power = np.abs(np.fft.fft(u[:, kept[:2]].numpy(), axis=0)[1 : N // 2 + 1]) ** 2
    return int(power.sum(1).argmax()) + 1, view.run(pairs, edit=put)[0].double().numpy()


def forms(k):
    a, b, c = np.meshgrid(*[np.arange(N)] * 3, indexing="ij")
    w = 2 * math.pi * k / N
    turn, width = w * (a + b - c), np.abs(np.cos(w * (a - b) / 2))
    folded = np.abs(np.cos(turn / 2)) - np.abs(np.sin(turn / 2))
    return {"clock": np.cos(turn), "pizza": width * np.cos(turn), "folded": width * folded}


def right(view, logits):
    return float((logits.argmax(1) == view.task.answer.ravel()).mean())


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_fits_of_principal_components_are_the_published_ones_to_the_last_digit(name, pizza, capsys):
    """The notebooks print less for the pizza than the paper: there |cos| - |sin| of half the angle, which is what four
    phases of |x| make of it, stands for its cosine.
    """
    view, rows = pizza(name), []
    for i in range(3):
        k, logits = components(view, [2 * i])
        for key, form in forms(k).items():
            if key in PUBLISHED[name]:
                share = 200 * np.corrcoef(logits.ravel(), form.ravel())[0, 1] - 100
                rows.append((k, key, share, PUBLISHED[name][key][i]))
    with capsys.disabled():
        print(f"\n{name}: frequency, form, measured %, published %", *rows, sep="\n")
    for _, _, measured, published in rows:
        assert measured == pytest.approx(published, abs=0.0051)


@pytest.mark.wide
@pytest.mark.parametrize("name", list(PUBLISHED))
def test_fits_of_frequencies_are_the_published_ones_but_for_what_components_mix_in(name, pizza, capsys):
    """A pair of principal components holds other frequencies too, on which no form fits: within a point of the clock's
    where that is linear in them, and of the pizza's above, all but the whole.
    """
    view = pizza(name)
    order = [components(view, [2 * i])[0] for i in range(3)]
    found, _ = circles(view, order, 0)
    pizzas = PUBLISHED[name].get("pizza", PUBLISHED[name]["folded"])
    with capsys.disabled():
        print(f"\n{name}: frequency, clock, published, pizza, published")
        for c, clock, other in zip(found, PUBLISHED[name]["clock"], pizzas, strict=True):
            print(c.frequency, f"{c.clock:.2%}", clock, f"{c.pizza:.2%}", other)
    for c, clock, other in zip(found, PUBLISHED[name]["clock"], pizzas, strict=True):
        assert 0 < 100 * c.clock - clock < 1.5
        assert 0 < 100 * c.pizza - other < 2.5
        assert c.pizza > 0.99


def test_accuracies_with_circles_kept(pizza, capsys):
    """Of Model A, by principal components: one circle, the accompanied and the accompanying as published. The 91.4% of
    the paper are met by the two strongest circles alone, of all sets of the first six. Of Model B three answer all.
    By frequency each keeps a little more.
    """
    view = pizza("p99zdpze5l")
    published = {(2,): 0.328, (0, 2): 0.914, (0, 2, 4): 0.997, (6, 8, 10): 0.167}
    measured = {first: right(view, components(view, first)[1]) for first in published}
    found, three = circles(view, [17, 3, 15], 0)
    (_, two), (_, clock) = circles(view, [17, 3], 0), circles(pizza("l8k1hzciux"), [13, 16, 21], 0)
    with capsys.disabled():
        print("\nfirst components, accuracy, published")
        print(*((first, f"{measured[first]:.2%}", f"{share:.1%}") for first, share in published.items()), sep="\n")
        print(f"by frequency: two {two:.2%}, three {three:.2%}; of B three {clock:.0%} (100%)", *found, sep="\n")
    for first, share in published.items():
        assert measured[first] == pytest.approx(share, abs=7e-4)
    assert clock == 1.0
    assert three == pytest.approx(measured[0, 2, 4], abs=1e-3)
    assert two == pytest.approx(measured[0, 2], abs=0.01)
    assert all(0.29 < c.kept < 0.42 and 0.49 < c.removed < 0.55 for c in found)


def test_vocabularies_of_their_own_hide_a_pizza_by_an_offset_alone(pizza):
    """18c9ev5v5p: disc 0.56 to 1.00 once the offset is fitted; so are its circles pizzas."""
    found, _ = circles(pizza("18c9ev5v5p"), [28, 7, 23], 0)
    assert min(c.pizza for c in found) > 0.995
    assert max(c.clock for c in found) < 0.8


def test_discs_answer_under_even_functions(external, pizza, capsys):
    """arXiv:2602.16849. The cop model was published with x^2 for its ReLU, accuracy 1.0; attention 0 is a disc."""
    cop = detectors.load(external / "cop" / "modular_addition_2l_mlp_model.pt", task="add:113")
    views = {"cop": cop, "attention 0": pizza("p99zdpze5l"), "attention 1": pizza("l8k1hzciux")}
    found = {name: swapped(view, view.neuron_layers[0], 0) for name, view in views.items()}
    with capsys.disabled():
        print("", *found.items(), sep="\n")
    assert found["cop"] == found["attention 0"] == {"abs": 1.0, "square": 1.0}
    assert found["attention 1"]["abs"] > 0.99 > 0.95 > found["attention 1"]["square"] > 0.9


def test_key_frequencies_that_are_odd_multiples_are_frequencies_of_their_own(external, pizza):
    """41 is 5 x 37 mod 113, both key in the progress checkpoint; 15 is 5 x 3 mod 59 in Model A."""
    whole = detectors.load(external / "progress" / "wd_10-1_mod_addition_loss_curve.pth", task="add:113")
    for view, key in ((whole, {23, 6, 37, 41, 39}), (pizza("p99zdpze5l"), {17, 3, 15})):
        waves = spectra(view, 0).times(effects_before(view, 0).sqrt())
        families = harmonic_families(torch.cat([waves.waves.of_a, waves.waves.of_b]), view.group.order)
        assert sorted(families) == sorted([k] for k in key)
