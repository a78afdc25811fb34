"""Models made to hurt, and what a verdict on each may be.

`models()` lists them, `truth(model, behaviour(model.build()))` says which verdicts are right. Nothing here looks at a
detector: truths come from the construction, or from the accuracy on pairs trained on, echoed and unseen.
"""

from models_zoo.hostile.by_hand import by_hand
from models_zoo.hostile.inventions import inventions
from models_zoo.hostile.perturbed import perturbed
from models_zoo.hostile.trained import missing, trained
from models_zoo.hostile.truth import Hostile, Truth, truth, truths

__all__ = ["Hostile", "Truth", "missing", "models", "truth", "truths"]


def models() -> list[Hostile]:
    """All of them, last those of `trained` that have been trained here."""
    return [*by_hand(), *perturbed(), *inventions(), *trained()]
