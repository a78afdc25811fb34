"""Reference models with known answers: analytic builders, and members by name."""

from models_zoo.analytic import group_network, induction_head, logit_mixture, lookup_table, trig_mlp
from models_zoo.cards import cards, digest, find

__all__ = ["cards", "digest", "find", "group_network", "induction_head", "logit_mixture", "lookup_table", "trig_mlp"]
