"""Every member of the zoo by the algorithm that its card settles; what is wrong is listed by name."""

import pytest

import detectors
from detectors.report.explained import of_report
from models_zoo.cards import cards

pytestmark = pytest.mark.deep
FOURIER = {"disc", "torus", "between disc and torus"}  # all answer every pair; which it is no card settles
BY_FAMILY = {
    "grokked": FOURIER,
    "memorised": {"memorised"},
    "table": {"memorised"},
    "untrained": {"none known"},
    "random_labels": {"none known"},
    "no_group": {"none known"},
    "cosets": {"coset circuit"},
    "representations": {"representation circuit"},
    "half_way": {"half-way", "memorised", "another"},
    "sequences": {"attention circuit"},
}
BY_NAME = {
    "add53_two_layers": {"representation circuit"},  # logits are not read off its first layer
    "s4_mlp": {"coset circuit"},
    "a5_mlp": {"coset circuit"},
    "a5_transformer": {"representation circuit", "coset circuit"},
    "s5_transformer": {"representation circuit", "coset circuit"},
    "d15_mlp": {"representation circuit"},
    "d15_transformer": {"representation circuit"},
    "pizza29": {"disc"},
    "square59": {"disc"},
    "clock31": {"representation circuit"},  # products of sines and cosines: no first layer of sums
    "s4_standard": {"representation circuit"},
    "a5_three": {"representation circuit"},
    "unread_fourier_embedding": {"memorised"},
    "sparse_memoriser": {"memorised"},
    "wrong_phases": {"none known"},
    "shuffled_readout": {"none known"},
    "rank_matched_random": {"none known"},
    "relabelled_without_table": {"none known"},
    "huge_constant_embedding": {"none known"},
    "dead_and_constant_neurons": FOURIER,
}
WRONG: set[str] = set()
MEMBERS = [n for n, card in cards().items() if n in BY_NAME or card["family"] in BY_FAMILY]


@pytest.mark.parametrize("name", MEMBERS)
def test_the_algorithm_is_what_the_card_settles(name):
    allowed = BY_NAME.get(name) or BY_FAMILY[cards()[name]["family"]]
    found = of_report(detectors.run(detectors.load(f"zoo:{name}"))).algorithm
    assert (found in allowed) != (name in WRONG), f"{name}: {found}, and it is {' or '.join(sorted(allowed))}"


def test_next_to_all_members_are_asked():
    asked = [n for n, card in cards().items() if card["family"] != "series"]
    assert len(MEMBERS) > 0.8 * len(asked)
