"""Some 400 small networks of every architecture and token layout that loads, trained to generalise or to memorise.

`members()` lists those that are here; `expected(member)` says which motifs behaviour settles. Weights are float16 and
no part of the wheel; `python -m models_zoo.population` trains what is missing.
"""

from models_zoo.population.stored import Member, card_of, digest, expected, member, members, missing, side

__all__ = ["Member", "card_of", "digest", "expected", "member", "members", "missing", "side"]
