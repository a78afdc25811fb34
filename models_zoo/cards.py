"""What is known of every member, and the members themselves as views."""

from __future__ import annotations

import hashlib
import json
import tomllib
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from detectors.core.groups import Group
from detectors.subjects.features.view import FeaturesView
from detectors.subjects.operands.view import ModelView
from detectors.subjects.sequences.view import SequenceView
from detectors.subjects.words.view import RowsView

HERE = Path(__file__).parent
WEIGHTS = HERE / "weights"
MOTIF_LISTS = ("present", "absent", "inert")  # and `unknown`: what the family settles and the member does not
Card = dict[str, Any]


@cache
def cards() -> dict[str, Card]:
    """Every member's card by name, with what its family says; a motif that a card lists overrules the family."""
    tables = tomllib.loads((HERE / "cards.toml").read_text())
    families = tables.pop("families")
    return {name: _merged(families[card["family"]], card) for name, card in tables.items()}


def _merged(family: Card, card: Card) -> Card:
    own = {motif for key in (*MOTIF_LISTS, "unknown") for motif in card.get(key, [])}
    lists = {key: [m for m in family.get(key, []) if m not in own] + card.get(key, []) for key in MOTIF_LISTS}
    return {**family, **card, **lists}


def expected(card: Card) -> dict[str, str]:
    """The verdict that the card settles, by motif."""
    return {motif: verdict for verdict in MOTIF_LISTS for motif in card[verdict]}


def folders(name: str) -> list[Path]:
    """Where the weights of a trained member are: one folder, or one for each checkpoint of a series, in order."""
    steps = cards()[name].get("recipe", {}).get("keep")
    return [WEIGHTS / name] if steps is None else [WEIGHTS / name / f"step_{step:05d}" for step in steps]


def measured(folder: Path) -> Card:
    """What training made of the weights in a folder: steps, losses, accuracies, digest; empty where there are none."""
    file = folder / "measured.json"
    return json.loads(file.read_text()) if file.exists() else {}


@cache
def digest() -> str:
    """SHA-256 of all that the zoo is: its cards, and the digests of its weights as recorded beside them."""
    weights = {
        str(folder.relative_to(WEIGHTS)): measured(folder).get("sha256") for n in cards() for folder in folders(n)
    }
    return hashlib.sha256(
        ((HERE / "cards.toml").read_text() + json.dumps(weights, sort_keys=True)).encode()
    ).hexdigest()


def find(name: str) -> Path | ModelView | SequenceView | RowsView | FeaturesView:
    """Folder of a trained member, or the view of a built one. KeyError, with what to do, if there is neither.

    A series is found as its last checkpoint, and `NAME/step_00500` as that one; `population/017` as network 17.
    """
    member, _, step = name.partition("/")
    if member == "population":
        from models_zoo.population import member as of_population

        return of_population(int(step) if step.isdecimal() else -1).view()
    if member == "sequences":
        from models_zoo.sequences import bench

        if step not in bench.names():
            raise KeyError(f"no model {step!r} of sequences; there are {', '.join(bench.names()[:3])}, ...")
        return bench.view(step)
    if member == "words":
        from models_zoo import words

        if step not in words.names():
            raise KeyError(f"no rows {step!r} of words; there are {', '.join(words.names()[:3])}, ...")
        return words.view(step)
    if member == "features":
        from models_zoo import features

        if step not in features.names():
            raise KeyError(f"no autoencoder {step!r} of features; there are {', '.join(features.names()[:3])}, ...")
        return features.view(step)
    if member not in cards():
        close = get_close_matches(member, cards(), 1)
        hint = f"did you mean zoo:{close[0]}?" if close else "python -m models_zoo list shows them"
        raise KeyError(f"no zoo model {name!r}; {hint}")
    if "build" in cards()[member]:
        return build(cards()[member]["build"])
    known = folders(member)
    folder = WEIGHTS / member / step if step else known[-1]
    if folder not in known:
        raise KeyError(f"zoo:{member} has no checkpoint {step!r}; it has {', '.join(f.name for f in known)}")
    if not (folder / "model.safetensors").exists():
        raise KeyError(f"zoo:{name} is not shipped; make it with: python -m models_zoo train {member}")
    return folder


def names() -> list[str]:
    """What `find` takes for the members that are there: of a series every checkpoint."""
    trained = [folder for name, card in cards().items() if "build" not in card for folder in folders(name)]
    shipped = [str(folder.relative_to(WEIGHTS)) for folder in trained if (folder / "model.safetensors").exists()]
    return shipped + [name for name, card in cards().items() if "build" in card]


def build(table: Card) -> ModelView | SequenceView:
    """The view that a card's `build` table describes: a function of one of three modules here, with its arguments."""
    from models_zoo import actions, analytic, decoys

    arguments = dict(table)
    name = arguments.pop("function")
    if "group" in arguments:
        arguments["group"] = Group.from_name(arguments["group"])
    function = next(getattr(made, name) for made in (decoys, actions, analytic) if hasattr(made, name))
    view: ModelView | SequenceView = function(**arguments)
    return view
