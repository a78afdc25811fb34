"""Reference models with known answers: analytic builders, and members by name."""

from models_zoo.actions import coset_network, representation_network
from models_zoo.analytic import group_network, induction_head, logit_mixture, lookup_table, trig_mlp
from models_zoo.cards import cards, digest, find, names
from models_zoo.features import autoencoder
from models_zoo.words import concept_rows, number_rows

__all__ = [
    "autoencoder",
    "cards",
    "concept_rows",
    "coset_network",
    "digest",
    "find",
    "group_network",
    "induction_head",
    "logit_mixture",
    "lookup_table",
    "names",
    "number_rows",
    "representation_network",
    "trig_mlp",
]
