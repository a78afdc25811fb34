"""Models made to hurt, and what a verdict on each may be.

`models()` lists them, `truth(model, behaviour(model.build()))` says which verdicts are right. Nothing here looks at a
detector: truths come from the construction, or from the accuracy on pairs trained on, echoed and unseen.
"""

from models_zoo.hostile.by_hand import by_hand
from models_zoo.hostile.inventions import inventions
from models_zoo.hostile.perturbed import perturbed
from models_zoo.hostile.truth import Behaviour, Hostile, Side, Truth, behaviour, truth, truths

__all__ = ["Behaviour", "Hostile", "Side", "Truth", "behaviour", "models", "truth", "truths"]


def models() -> list[Hostile]:
    """All of them, the trained ones last."""
    return [*by_hand(), *perturbed(), *inventions()]
