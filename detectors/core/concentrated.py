"""Where a spectrum is of few irreps. Apart from `core.spectrum`, since judging does without torch."""

from __future__ import annotations

# A Gini coefficient, which no lookup table has: published networks that generalise have 0.74 and more; those of all
# frequencies and symmetric lookups up to 0.18.
CONCENTRATED = 0.4
