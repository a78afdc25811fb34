"""One sentence that says what the model does, from the verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from detectors.harness.report.model import BySplit, Detection, TaskInfo


def summarise(detections: Sequence[Detection], task: TaskInfo, accuracy: BySplit, loss: BySplit) -> str:
    """What the model does and how far the evidence goes, in one sentence."""
    found = {d.detector: d for d in detections}
    if task.pairs == 0:
        return f"It predicts {_percent(accuracy.all)} the tokens that the context determines."
    if task.group is None and task.spec == "infer":
        return "Its answers follow no group's table, so the group motifs do not apply; which task it learnt stays open."
    if task.group is None:
        return f"{_answers(accuracy)}; the task has no group behind it, so the group motifs do not apply."
    verdicts = {name: d.verdict for name, d in found.items()}
    structured, memorised = verdicts.get("generalisation"), verdicts.get("memorisation")
    says = _answers(accuracy)
    form, irreps, use = _form(task), _irreps(found), _use(found)
    if structured == "present" and memorised == "present" and _low(accuracy.test):
        return (
            f"{says}: half-way, the circuit is there and drowned: a structured part of the logits{irreps} would answer "
            "unseen pairs by itself, but what is memorised of the training pairs outweighs it."
        )
    if structured == "present" and verdicts.get("trig_logits") == "absent":
        share = found["trig_logits"].evidence.get("explained_test_pairs")
        faint = "a part" if share is None else f"a faint part ({share:.1%})"
        return (
            f"{says}: {faint} of its logits would answer unseen pairs by itself, but they are not characters of "
            f"{form}, so this is no circuit of the known form."
        )
    if structured == "present":
        beside = "; yet what is left of its logits without that still tells training pairs from others"
        beside = f"{beside} (M {found['memorisation'].score:.2f})" if memorised == "present" else ""
        return f"{says} by a generalising circuit: its logits are a function of {form}{irreps}{use}{beside}."
    if structured == "absent" and memorised == "present":
        partial = f", although part of its logits{irreps} carries over to unseen pairs" if irreps else ""
        return f"{says}: memorised, its training pairs are looked up and nothing it holds generalises{partial}."
    if structured == "absent" and memorised == "absent":
        return f"{says}: neither a circuit nor a lookup table; {_neither(accuracy, loss, task)}."
    logits = verdicts.get("trig_logits")
    if structured == "inconclusive" and logits == "present":
        rest = "how much of it is memorised stays open without the training pairs"
        return f"{says}, with logits that are a function of {form}{irreps}{use}; {rest}."
    wrong = "generalisation" in found and "cannot be right" in found["generalisation"].reason
    if structured == "inconclusive" and wrong:
        return f"{says}; {found['generalisation'].reason}."
    if structured == "inconclusive" and logits == "absent":
        return f"{says}; no circuit of the known form shows in its logits without the training pairs."
    seen = ", ".join(f"{d.detector} {d.verdict}" for d in detections) or "no detector was run"
    return f"{_answers(accuracy)}; {seen}."


def _answers(accuracy: BySplit) -> str:
    if accuracy.all == 1:
        return "It answers every pair"
    if accuracy.train is not None and accuracy.test is not None:
        return f"It answers {_percent(accuracy.train)} its training pairs and {_percent(accuracy.test)} the others"
    return f"It answers {_percent(accuracy.all)} the pairs"


def _percent(share: float) -> str:
    """Never rounded up to all or down to none."""
    if share in (0, 1):
        return "all" if share else "none of"
    return f"{min(max(share, 0.001), 0.999):.1%} of"


def _low(share: float | None) -> bool:
    return share is not None and share < 0.5


def _form(task: TaskInfo) -> str:
    cyclic = task.group is not None and task.group[0] == "C" and "x" not in task.group
    forms = {"add": "a+b-c", "sub": "a-b-c", "mul": "log a + log b - log c", "div": "log a - log b - log c"}
    return forms.get(task.spec.removeprefix("infer=").split(":")[0], "a+b-c (relabelled)") if cyclic else "a b c^-1"


def _irreps(found: dict[str, Detection]) -> str:
    logits = found.get("trig_logits")
    keys = list(logits.evidence.get("key_irreps", [])) if logits and logits.verdict == "present" else []
    if not keys:
        return ""
    frequencies = [k.removeprefix("freq_") for k in keys if k.startswith("freq_")]
    others = [k for k in keys if not k.startswith("freq_")]
    parts = [f"{'frequency' if len(frequencies) == 1 else 'frequencies'} {_list(frequencies)}"] if frequencies else []
    parts += [f"the {'irrep' if len(others) == 1 else 'irreps'} {_list(others)}"] if others else []
    return f" ({' and '.join(parts)})"


def _list(names: list[str], most: int = 8) -> str:
    shown = names[:most]
    return ", ".join(shown) + (f" and {len(names) - most} weaker" if len(names) > most else "")


def _use(found: dict[str, Detection]) -> str:
    places = {"sparse_fourier_embedding": "embedding", "trig_product_neurons": "neurons"}
    used = [word for name, word in places.items() if name in found and found[name].verdict == "present"]
    inert = [word for name, word in places.items() if name in found and found[name].verdict == "inert"]
    text = (
        f", carried by its {' and '.join(used)} (without them {_left(found, places)} of the right answers stay)"
        if used
        else ""
    )
    return text + (f"; the same structure in its {' and '.join(inert)} is not used" if inert else "")


def _left(found: dict[str, Detection], places: dict[str, str]) -> str:
    causes = [found[name].causal for name in places if name in found and found[name].verdict == "present"]
    return " and ".join(f"{1 - c.necessity:.0%}" for c in causes if c is not None)


def _neither(accuracy: BySplit, loss: BySplit, task: TaskInfo) -> str:
    chance = 1 / max(task.n_answers, 1)
    if accuracy.all < 3 * chance and loss.all > 1.5 * math.log(task.n_answers):
        return "it is certain of other answers, as under another task or another numbering of the elements"
    if accuracy.all < 3 * chance:
        return "it answers at chance, as an untrained model does"
    return "what it does is not of the forms that these detectors know"


def notes(
    detections: Sequence[Detection],
    task: TaskInfo,
    accuracy: BySplit,
    loss: BySplit,
    architecture: Mapping[str, Any],
) -> list[str]:
    """What a reader should doubt before believing the verdicts."""
    found: list[str] = []
    if task.pairs == 0:
        return found
    inferred = [d for d in detections if d.evidence.get("train_set") == "inferred"]
    if inferred:
        share = inferred[0].evidence["train_fraction"]
        found.append(
            f"the training pairs are not known; the {share:.1%} of the pairs in the lower of two humps of the loss are "
            "taken for them (--train-indices or --train-split would settle it)."
        )
    chance, uniform = 1 / task.n_answers, math.log(task.n_answers)
    middling = max(0.1, 3 * chance) < accuracy.all < 0.95
    if accuracy.train is not None and accuracy.test is not None and middling and accuracy.train - accuracy.test < 0.05:
        found.append(
            f"the training pairs are answered no better than the others ({accuracy.train:.1%}, {accuracy.test:.1%}): "
            "are these the pairs it was trained on? If not, generalisation and memorisation mean nothing here."
        )
    if accuracy.all < max(0.1, 3 * chance) and loss.all > 1.5 * uniform:
        found.append(
            f"the model is confident and wrong (loss {loss.all:.1f}, chance {uniform:.1f}): another task, or another "
            "numbering of the group's elements? Try --task infer, or table:FILE.npy with the table it was trained on."
        )
    if task.spec == "infer":
        found.append("the accuracy is that of the model's answers against themselves, for want of a task.")
    elif task.spec.startswith("infer"):
        found.append("the task was read off the model's own answers, and the accuracy is the agreement with it.")
    two_positions = architecture.get("kind") == "transformer" and architecture.get("n_ctx") == 2
    if two_positions and "attn_coeff" not in architecture:
        found.append("ordinary softmax attention is assumed; --arch attn_coeff=R says otherwise.")
    return found
