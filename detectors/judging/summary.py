"""One sentence that says what the model does, from the verdicts: a decision table as data, then clauses.

The first row of TABLE whose conditions hold gives the sentence. A condition is a motif and its verdict, or a fact of
`_facts`. In a sentence `{part}` stands for what PARTS says of it. A motif that no row and no part knows of adds its own
clause where it is present.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from detectors.core.figures import Figures, TaskFacts
from detectors.judging.detection import Detection


class Case(NamedTuple):
    """What a sentence is about."""

    found: Mapping[str, Detection]
    task: TaskFacts
    figures: Figures


class Row(NamedTuple):
    when: Mapping[str, str]
    sentence: str


TABLE = (
    Row({"subject": "sequences"}, "It predicts {share} the tokens that the context determines."),
    Row(
        {"group": "none", "task": "infer"},
        "Its answers follow no group's table, so the group motifs do not apply; which task it learnt stays open.",
    ),
    Row({"group": "none"}, "{answers}; the task has no group behind it, so the group motifs do not apply."),
    Row(
        {"generalisation": "present", "memorisation": "present", "test": "low"},
        "{answers}: half-way, the circuit is there and drowned: a structured part of the logits{irreps} would answer "
        "unseen pairs by itself, but what is memorised of the training pairs outweighs it.",
    ),
    Row(
        {"generalisation": "present", "trig_logits": "absent"},
        "{answers}: {faint} of its logits would answer unseen pairs by itself, but they are not characters of {form}, "
        "so this is no circuit of the known form.",
    ),
    Row(
        {"generalisation": "present"},
        "{answers} by a generalising circuit: its logits are a function of {form}{irreps}{carriers}{beside}.",
    ),
    Row(
        {"generalisation": "absent", "memorisation": "present"},
        "{answers}: memorised, its training pairs are looked up and nothing it holds generalises{partial}.",
    ),
    Row(
        {"generalisation": "absent", "memorisation": "absent"},
        "{answers}: neither a circuit nor a lookup table; {neither}.",
    ),
    Row(
        {"generalisation": "inconclusive", "trig_logits": "present"},
        "{answers}, with logits that are a function of {form}{irreps}{carriers}; how much of it is memorised stays "
        "open without the training pairs.",
    ),
    Row({"generalisation": "inconclusive", "split": "doubted"}, "{answers}; {doubt}."),
    Row(
        {"generalisation": "inconclusive", "trig_logits": "absent"},
        "{answers}; no circuit of the known form shows in its logits without the training pairs.",
    ),
    Row({}, "{answers}; {seen}."),
)


def summarise(detections: Sequence[Detection], task: TaskFacts, figures: Figures) -> str:
    """What the model does and how far the evidence goes, in one sentence."""
    case = Case({d.detector: d for d in detections}, task, figures)
    facts = _facts(case) | {name: str(d.verdict) for name, d in case.found.items()}
    row = next(row for row in TABLE if all(facts.get(key) == value for key, value in row.when.items()))
    sentence = re.sub(r"\{(\w+)\}", lambda part: PARTS[part[1]](case), row.sentence)
    placed = {key for row in TABLE for key in row.when}
    more = [d.clause for d in detections if d.detector not in placed and d.clause]
    return "; ".join([sentence.removesuffix("."), *more]) + "." if more else sentence


def _facts(case: Case) -> dict[str, str]:
    test = case.figures.accuracy.test
    return {
        "subject": case.task.subject,
        "group": case.task.group or "none",
        "task": case.task.spec,
        "split": case.task.split,
        "test": "low" if test is not None and test < LOW else "",
    }


LOW = 0.5  # of the pairs it was not trained on: what wins on most of them is not the circuit


def _answers(case: Case) -> str:
    accuracy = case.figures.accuracy
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


def _form(case: Case) -> str:
    group = case.task.group or ""
    forms = {"add": "a+b-c", "sub": "a-b-c", "mul": "log a + log b - log c", "div": "log a - log b - log c"}
    kind = case.task.spec.removeprefix("infer=").split(":")[0]
    return forms.get(kind, "a+b-c (relabelled)") if group[:1] == "C" and "x" not in group else "a b c^-1"


def _clause(name: str, form: str) -> Callable[[Case], str]:
    """The motif's own clause within `form`, or nothing where it is not present or has none to add."""

    def part(case: Case) -> str:
        clause = case.found[name].clause if name in case.found else ""
        return form.format(clause) if clause else ""

    return part


def _faint(case: Case) -> str:
    share = case.found["trig_logits"].evidence.get("explained_test_pairs")
    return "a part" if share is None else f"a faint part ({share:.1%})"


def _carriers(case: Case) -> str:
    """The parts whose structure is used, with what is left without each, and those whose is not."""
    nouns = {d.detector: d.spec.carrier for d in case.found.values() if d.spec and d.spec.carrier}
    used, inert = (
        [d for d in case.found.values() if d.detector in nouns and d.verdict == v] for v in ("present", "inert")
    )
    text = ""
    if used:
        left = " and ".join(f"{1 - d.causal.necessity:.0%}" for d in used if d.causal is not None)
        carried = " and ".join(nouns[d.detector] for d in used)
        text = f", carried by its {carried} (without them {left} of the right answers stay)"
    unused = " and ".join(nouns[d.detector] for d in inert)
    return text + (f"; the same structure in its {unused} is not used" if inert else "")


def _neither(case: Case) -> str:
    if not _at_chance(case):
        return "what it does is not of the forms that these detectors know"
    if _certain(case):
        return "it is certain of other answers, as under another task or another numbering of the elements"
    return "it answers at chance, as an untrained model does"


# Chance is 1 / answers; always giving one answer is right on less than 2 / answers of a table (max: (2n - 1) / n^2).
# Reference models that know nothing have 0.85 to 1.23 times chance; three times it is knowledge, however little.
LUCK = 3.0
# Of ln(answers), the loss of knowing nothing: untrained reference models have 1.00 to 1.34 times it, one under another
# numbering 7 to 11 times.
CERTAIN = 1.5


def _at_chance(case: Case) -> bool:
    return case.figures.accuracy.all < LUCK / max(case.task.n_answers, 1)


def _certain(case: Case) -> bool:
    return case.figures.loss.all > CERTAIN * math.log(case.task.n_answers)


def _seen(case: Case) -> str:
    return ", ".join(f"{d.detector} {d.verdict}" for d in case.found.values()) or "no detector was run"


PARTS: dict[str, Callable[[Case], str]] = {
    "share": lambda case: _percent(case.figures.accuracy.all),
    "answers": _answers,
    "form": _form,
    "irreps": _clause("trig_logits", " ({})"),
    "partial": _clause("trig_logits", ", although part of its logits ({}) carries over to unseen pairs"),
    "beside": _clause("memorisation", "; yet {}"),
    "faint": _faint,
    "carriers": _carriers,
    "neither": _neither,
    "doubt": lambda case: case.found["generalisation"].reason,
    "seen": _seen,
}


def notes(
    detections: Sequence[Detection], task: TaskFacts, figures: Figures, architecture: Mapping[str, Any]
) -> list[str]:
    """What a reader should doubt before believing the verdicts."""
    if task.subject != "operands":
        return []
    return [note for note in (_inferred(detections), *_doubts(Case({}, task, figures)), _assumed(architecture)) if note]


def _inferred(detections: Sequence[Detection]) -> str:
    evidence = next((d.evidence for d in detections if d.evidence.get("train_set") == "inferred"), None)
    if evidence is None:
        return ""
    return (
        f"the training pairs are not known; the {evidence['train_fraction']:.1%} of the pairs in the lower of two "
        "humps of the loss are taken for them (--train-indices or --train-split would settle it)."
    )


MIDDLING = (0.1, 0.95)  # accuracy of a model that has learnt a part; above, both sides are within SAME of each other
SAME = 0.05  # two standard errors of the difference of two shares near one half, of 800 pairs each


def _doubts(case: Case) -> list[str]:
    task, accuracy, loss = case.task, case.figures.accuracy, case.figures.loss
    found, chance = [], LUCK / task.n_answers
    known = accuracy.train is not None and accuracy.test is not None
    middling = max(MIDDLING[0], chance) < accuracy.all < MIDDLING[1]
    if known and middling and accuracy.train - accuracy.test < SAME:  # type: ignore[operator]
        found.append(
            f"the training pairs are answered no better than the others ({accuracy.train:.1%}, {accuracy.test:.1%}): "
            "are these the pairs it was trained on? If not, generalisation and memorisation mean nothing here."
        )
    if accuracy.all < max(MIDDLING[0], chance) and _certain(case):
        found.append(
            f"the model is confident and wrong (loss {loss.all:.1f}, chance {math.log(task.n_answers):.1f}): another "
            "task, or another numbering of the group's elements? Try --task infer, or table:FILE.npy with the table it "
            "was trained on."
        )
    if task.spec == "infer":
        found.append("the accuracy is that of the model's answers against themselves, for want of a task.")
    elif task.spec.startswith("infer"):
        found.append("the task was read off the model's own answers, and the accuracy is the agreement with it.")
    return found


def _assumed(architecture: Mapping[str, Any]) -> str:
    two_positions = architecture.get("kind") == "transformer" and architecture.get("n_ctx") == 2
    assumed = two_positions and "attn_coeff" not in architecture
    return "ordinary softmax attention is assumed; --arch attn_coeff=R says otherwise." if assumed else ""
