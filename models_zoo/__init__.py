"""Reference models with known answers: analytic builders, and members by name."""

from models_zoo.analytic import group_network, logit_mixture, lookup_table, trig_mlp
from models_zoo.cards import cards, find

__all__ = ["cards", "find", "group_network", "logit_mixture", "lookup_table", "trig_mlp"]
