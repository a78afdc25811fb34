"""A third party's models of known answer: a folder with cards.toml, for the calibration of a detector of theirs.

    present = ["grokked", "population, published"]   # families of ours that have the motif, as `list` names them
    absent = ["memorised", "untrained"]              # and those that do not

    [models."run_17.pt"]        # a file or folder beside cards.toml
    motif = "present"           # present, absent, or unused: its structure may be there, and nothing rests on it
    task = "add:53"             # where the file does not say it
    train_indices = "train.npy" # likewise
    parent = "run_17"           # what it was made from, where several share one

Without a folder the networks that hold no structure at all are absent: untrained ones, and random ones of trained rank.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from detectors.core.errors import DetectorsError
from detectors.subjects.tasks import of_two_operands
from models_zoo import bench

WITHOUT = {"absent": ["untrained", "rank_matched_random"]}
OWN = "own"


def read(folder: Path | None) -> dict[str, Any]:
    """The cards of a folder; DetectorsError where they cannot be used."""
    if folder is None:
        return dict(WITHOUT)
    file = folder / "cards.toml"
    if not file.is_file():
        raise DetectorsError(f"{folder} has no cards.toml, which says what is known of the models beside it")
    cards = tomllib.loads(file.read_text())
    if unknown := cards.keys() - {"present", "absent", "unused", "models"}:
        raise DetectorsError(f"{file}: unknown key {min(unknown)!r}; there are present, absent, unused and models")
    for name, card in cards.get("models", {}).items():
        if card.get("motif") not in ("present", "absent", "unused"):
            raise DetectorsError(f"{file}: {name!r} says motif = {card.get('motif')!r}: present, absent or unused")
    return cards


def jobs(cards: dict[str, Any], ours: list[bench.Job]) -> list[bench.Job]:
    """The models of the folder, and of ours those that the cards speak of."""
    return [(OWN, name) for name in cards.get("models", {})] + [job for job in ours if _word(cards, job)]


def model(job: bench.Job, *, folder: Path | None, motif: str) -> bench.Model | None:
    """The model of a job, and what the cards say of the motif in it; None where they say nothing."""
    cards = read(folder)
    if job[0] == OWN:
        assert folder is not None
        return _own(job[1], cards["models"][job[1]], folder, motif)
    word, made = _word(cards, job), bench.model(job)
    return made._replace(truth={motif: word}) if made and word else None


def _word(cards: dict[str, Any], job: bench.Job) -> str:
    """What the cards say of the motif in a model of ours, by its family; empty where they say nothing."""
    return next((word for word in ("present", "absent", "unused") if bench.family(job) in cards.get(word, ())), "")


def _own(name: str, card: dict[str, Any], folder: Path, motif: str) -> bench.Model:
    from detectors.loading.load import load

    indices = card.get("train_indices")
    view = load(folder / name, task=card.get("task"), train_indices=folder / indices if indices else None)
    return bench.Model(OWN, name, card.get("parent", name), {motif: card["motif"]}, of_two_operands(view))
