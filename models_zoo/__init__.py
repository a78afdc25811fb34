"""Reference models with known answers: analytic builders, and trained members by name."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from models_zoo.analytic import group_network, logit_mixture, lookup_table, trig_mlp

__all__ = ["find", "group_network", "logit_mixture", "lookup_table", "trig_mlp"]


def find(name: str) -> Path:
    """Folder of a trained member. KeyError with a suggestion if there is none, or if it is not shipped."""
    from models_zoo.train import WEIGHTS, cards

    known = cards()
    if name not in known:
        close = get_close_matches(name, known, 1)
        hint = f"did you mean zoo:{close[0]}?" if close else f"there are {', '.join(known)}"
        raise KeyError(f"no zoo model {name!r}; {hint}")
    if not (WEIGHTS / name / "model.safetensors").exists():
        raise KeyError(f"zoo:{name} is not shipped; make it with: python -m models_zoo train {name}")
    return WEIGHTS / name
