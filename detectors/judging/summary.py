"""One sentence that says what the model does, from the verdicts: a decision table as data, then clauses.

The first row of TABLE whose conditions hold gives the sentence. A condition is a motif and its verdict, or a fact of
`_facts`. In a sentence `{part}` stands for what PARTS says of it. A motif that no row and no part knows of adds its own
clause where it is present.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from detectors.core.concentrated import CONCENTRATED
from detectors.core.figures import Figures, TaskFacts
from detectors.judging.detection import Detection
from detectors.judging.notes import Case, at_chance, certain


class Row(NamedTuple):
    when: Mapping[str, str]
    sentence: str


TABLE = (
    Row({"subject": "sequences"}, "It answers {share} what its sequences ask."),
    Row({"subject": "features"}, "An autoencoder {about}, expected loss {loss}."),
    Row({"subject": "words"}, "Rows of words, of which nothing is asked."),
    Row(
        {"group": "none", "task": "infer"},
        "Its answers follow no group's table, so the group motifs do not apply; which task it learnt stays open.",
    ),
    Row({"group": "none"}, "{answers}; the task has no group behind it, so the group motifs do not apply."),
    Row(
        {"generalisation": "present", "memorisation": "present", "unseen": "low"},
        "{answers}: half-way, the circuit is there and drowned: a structured part of the logits{irreps} would answer "
        "unseen pairs by itself, but what is memorised of the training pairs outweighs it.",
    ),
    Row(
        {"generalisation": "present", "memorisation": "inconclusive", "unseen": "low"},
        "{answers}: half-way, a structured part of the logits{irreps} would answer unseen pairs by itself, and "
        "something else outweighs it there; whether its training pairs are looked up stays open{exceptions}.",
    ),
    Row(
        {"generalisation": "present", "unseen": "low"},
        "{answers}: a structured part of the logits{irreps} would answer unseen pairs by itself, but something else "
        "outweighs it{exceptions}.",
    ),
    Row(
        {"generalisation": "present", "trig_logits": "absent", "spectrum": "few"},
        "{answers}: {faint} of its logits answers unseen pairs by itself, by few irreps, but too faint to be called a "
        "circuit of the known form{exceptions}.",
    ),
    Row(
        {"generalisation": "present", "trig_logits": "absent", "carried": ""},
        "{answers}: {faint} of its logits answers unseen pairs by itself, but its spectrum is none of few irreps, so "
        "this is no circuit of the known form{exceptions}.",
    ),
    Row(
        {"generalisation": "present", "trig_logits": "absent"},
        "{answers}: {faint} of its logits answers unseen pairs by itself, in no spectrum of few irreps{carriers}"
        "{exceptions}.",
    ),
    Row(
        {"generalisation": "present"},
        "{answers} by a generalising circuit: {explained} a function of {form}{irreps}{carriers}{beside}{exceptions}"
        "{assumed}.",
    ),
    Row(
        {"generalisation": "absent", "memorisation": "present"},
        "{answers}: memorised, its training pairs are looked up, and nothing that would answer others shows{partial}.",
    ),
    Row(
        {"generalisation": "absent", "memorisation": "absent"},
        "{answers}: neither a circuit nor a lookup table; {neither}.",
    ),
    Row(
        {"generalisation": "inconclusive", "split": "doubted"},
        "{answers}; {doubt}.",
    ),
    Row(
        {"generalisation": "inconclusive", "trig_logits": "present"},
        "{answers}, and {explained} a function of {form}{irreps}{carriers}; how much of it is memorised stays open, as "
        "{open}.",
    ),
    Row(
        {"generalisation": "inconclusive", "trig_logits": "absent", "carried": ""},
        "{answers}; no circuit of the known form shows in its logits, and what carries over stays open, as {open}.",
    ),
    Row({"generalisation": "inconclusive"}, "{answers}; what carries over to unseen pairs stays open, as {open}."),
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
    unseen = unseen_accuracy(case)
    return {
        "subject": case.task.subject,
        "group": case.task.group or "none",
        "task": case.task.spec,
        "split": case.task.split,
        "unseen": "low" if unseen is not None and unseen < LOW else "",
        "carried": "yes" if any(map(_structured, _carrying(case))) else "",
        "spectrum": "few" if _concentration(case) >= CONCENTRATED else "",
    }


def _concentration(case: Case) -> float:
    """Of the spectrum of the logits; 0 where it is not known."""
    found = case.found["trig_logits"].evidence.get("concentration") if "trig_logits" in case.found else None
    return found if isinstance(found, float) else 0.0


def unseen_accuracy(case: Case) -> float | None:
    """Accuracy on what was not trained on; of inferred training pairs, which are the ones answered right, at least."""
    accuracy = case.figures.accuracy
    known = accuracy.test if accuracy.unseen is None else accuracy.unseen
    fraction = case.found["generalisation"].evidence.get("train_fraction") if "generalisation" in case.found else None
    return known if known is not None or not fraction else (accuracy.all - fraction) / (1 - fraction)


LOW = 0.5  # of the pairs it was not trained on: what wins on most of them is not the circuit
ALL = 0.9  # of the logits' squares: what is less is said to be that share of them
KNOWING = 0.8  # of the loss of chance: untrained reference models have 1.00 and more, and a memoriser is not at chance
FEW = 0.1  # of the pairs: more are no exceptions to a circuit


def _carrying(case: Case) -> list[Detection]:
    return [d for d in case.found.values() if d.spec and d.spec.carrier]


def _structured(d: Detection) -> bool:
    """The structure is there, whatever became of its cause: one that uses every dimension leaves none for a control."""
    return d.verdict == "present" or (d.score is not None and d.threshold is not None and d.score >= d.threshold)


def _answers(case: Case) -> str:
    accuracy, cases = case.figures.accuracy, case.figures.cases
    if accuracy.all == 1:
        return "It answers every pair"
    if accuracy.train is None or accuracy.test is None:
        return f"It answers {_percent(accuracy.all or 0.0)} the pairs"
    if cases.echoed and accuracy.unseen is not None:
        unseen = f"{_percent(accuracy.unseen)} those seen in neither order"
        return f"It answers {_percent(accuracy.train)} its training pairs and {unseen}"
    return f"It answers {_percent(accuracy.train)} its training pairs and {_percent(accuracy.test)} the others"


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
    return "a part" if share is None else f"a part ({share:.1%})"


def _explained(case: Case) -> str:
    """The share of the logits that is a function of a b c^-1, where it is not next to all of them."""
    evidence = case.found["trig_logits"].evidence if "trig_logits" in case.found else {}
    share = evidence.get("explained_test_pairs")
    share = evidence.get("explained_all_pairs") if share is None else share
    if share is None and "generalisation" in case.found:
        share = case.found["generalisation"].evidence.get("structured_share")
    return "its logits are" if share is None or share >= ALL else f"{share:.0%} of its logits are"


def _exceptions(case: Case) -> str:
    evidence = case.found["generalisation"].evidence
    count, pairs = evidence.get("exceptions", 0), evidence.get("exception_pairs") or []
    if not count or count > FEW * case.task.pairs:
        return ""
    some = ", ".join(f"({a}, {b}) to {given}" for a, b, given, _ in pairs[:3])
    return f"; yet {count} pair{'s are' if count > 1 else ' is'} answered otherwise than by it, such as {some}"


def _open(case: Case) -> str:
    """Why it stays open: the split is unknown, or leaves too few unseen pairs, or the verdict's own reason."""
    found, unseen = case.found["generalisation"], case.figures.cases.unseen
    if found.score is None and case.task.split in ("unknown", "doubted"):
        return "the training pairs are not known"
    few = found.score is None and unseen is not None and "another task" not in found.reason
    return f"only {unseen} pairs are unseen" if few else found.reason.partition(":")[0]


def _assumed(case: Case) -> str:
    settled = case.found["generalisation"].evidence.get("basis") == "all_pairs"
    return "; unless next to all pairs were trained on, which is not known" if settled else ""


def _carriers(case: Case) -> str:
    """The parts whose structure is used, with what is left without each, and those whose is not."""
    nouns = {d.detector: d.spec.carrier for d in _carrying(case) if d.spec}
    used, inert = (
        [d for d in case.found.values() if d.detector in nouns and d.verdict == v] for v in ("present", "inert")
    )
    text = ""
    if used:
        left = " and ".join(f"{1 - d.causal.necessity:.0%}" for d in used if d.causal is not None)
        carried = " and ".join(nouns[d.detector] for d in used)
        text = f", carried by its {carried} (without them {left} of the right answers stay)"
    unused = " and ".join(nouns[d.detector] for d in inert)
    return text + (f"; the same structure in its {unused} is not needed" if inert else "")


def _neither(case: Case) -> str:
    if not at_chance(case):
        return "what it does is not of the forms that these detectors know"
    if certain(case):
        return "it is certain of other answers, as under another task or another numbering of the elements"
    loss, n = case.figures.loss.all or 0.0, case.task.n_answers
    if loss < KNOWING * math.log(n):
        return (
            f"it answers at chance, yet its loss is that of a choice among {math.exp(loss):.1f} answers of {n}, as "
            "that of a circuit of a quotient is"
        )
    return "it answers at chance, as an untrained model does"


def _seen(case: Case) -> str:
    return ", ".join(f"{d.detector} {d.verdict}" for d in case.found.values()) or "no detector was run"


PARTS: dict[str, Callable[[Case], str]] = {
    "share": lambda case: _percent(case.figures.accuracy.all or 0.0),
    "about": lambda case: case.task.about,
    "loss": lambda case: f"{case.figures.loss.all or 0.0:.2e}",
    "answers": _answers,
    "form": _form,
    "irreps": _clause("trig_logits", " ({})"),
    "partial": _clause("trig_logits", ", although part of its logits ({}) carries over to unseen pairs"),
    "beside": _clause("memorisation", "; yet {}"),
    "faint": _faint,
    "explained": _explained,
    "exceptions": _exceptions,
    "open": _open,
    "assumed": _assumed,
    "carriers": _carriers,
    "neither": _neither,
    "doubt": lambda case: case.found["generalisation"].reason,
    "seen": _seen,
}
