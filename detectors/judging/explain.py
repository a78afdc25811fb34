"""Which algorithm it is: a decision table over verdicts and coordinates, and what each claim rests on.

The first row of ALGORITHMS whose conditions hold names it. A claim stands on the highest rung that was reached: seen in
the weights, seen in the activations, seen in the answers, necessary (without it right answers turn wrong), sufficient
(alone it gives them). Above them stands what is proved, certified. What is ruled out says how often the detector finds
the motif where it is known to be.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from detectors.core.figures import Certificate, Figures, TaskFacts
from detectors.judging.calibration import rates
from detectors.judging.detection import Detection
from detectors.judging.notes import Case
from detectors.judging.summary import LOW, unseen_accuracy

# Phase concentration: discs of published networks have 0.92 and more, tori 0.07 and less (arXiv:2512.25060); where
# clusters of both kinds stand side by side, as in one network of others with 43% of its energy in discs, it is between.
DISC, TORUS = 0.75, 0.25
NEARLY_ALL = 0.9  # of the clusters' energy: those of one published network in eight are not all of one kind
FIGURE = re.compile(r"(adjusted p|necessity|sufficiency|control) [\d.]+")
RUNGS = ("seen in the weights", "seen in the activations", "seen in the answers", "necessary", "sufficient")
CERTIFIED = "certified"


class Algorithm(NamedTuple):
    """when: motifs and their verdicts, or facts. name: of the algorithm; meaning: what it does, for a paper."""

    when: Mapping[str, str]
    name: str
    meaning: str


ALGORITHMS = (
    Algorithm(
        {"subject": "sequences", "any": "present"},
        "attention circuit",
        "Its heads do the jobs named below, each by where it looks and what becomes of the answers without it.",
    ),
    Algorithm(
        {"subject": "features", "any": "present"},
        "superposition",
        "Its features share dimensions, as directions that form the corners of regular shapes.",
    ),
    Algorithm(
        {"subject": "words", "any": "present"},
        "geometry of concepts",
        "Rows of words lie as the concept is ordered. It is geometry alone: nothing is asked of the model.",
    ),
    Algorithm({"any": "open"}, "open", "What these detectors know may be there; below is what is not settled."),
    Algorithm({"any": "inert"}, "none known", "What is there of what these detectors know is not needed."),
    Algorithm({"subject": "sequences"}, "none known", "No head does a job that these detectors know."),
    Algorithm({"subject": "features"}, "none known", "Its features form no shape that these detectors know."),
    Algorithm({"subject": "words"}, "none known", "Rows of words do not lie as the concept is ordered."),
    Algorithm(
        {"group": "none"},
        "none known",
        "No group is behind the task, and of tasks without one these detectors know no algorithm.",
    ),
    Algorithm(
        {"generalisation": "present", "memorisation": "present", "unseen": "low"},
        "half-way",
        "A circuit is there that would answer unseen pairs, and a lookup of the training pairs that outweighs it.",
    ),
    Algorithm(
        {"generalisation": "present", "unseen": "low"},
        "another",
        "A part of the logits would answer unseen pairs by itself, and something that is no lookup outweighs it.",
    ),
    Algorithm(
        {"generalisation": "present", "addition_mechanism": "present", "phases": "disc"},
        "disc",
        "It adds angles wa and wb, of a few frequencies w. Each neuron sees cos wa + cos wb, with one phase for both "
        "operands (the pizza of arXiv:2306.17844); neurons of many phases together give an answer c the logit "
        "cos w(a+b-c), which is largest where c is right. Where they are few it has the factor |cos w(a-b)/2|.",
    ),
    Algorithm(
        {"generalisation": "present", "addition_mechanism": "present", "phases": "torus"},
        "torus",
        "It adds angles wa and wb, of a few frequencies w. Neurons see cosines of wa and of wb, each operand with a "
        "phase of its own, and together give an answer c the logit cos w(a+b-c), which is largest where c is right.",
    ),
    Algorithm(
        {"generalisation": "present", "addition_mechanism": "present", "phases": "both"},
        "between disc and torus",
        "It adds angles wa and wb, of a few frequencies w, and gives an answer c the logit cos w(a+b-c). Some neurons "
        "have one phase for both operands, as discs have, and others a phase for each, as tori have.",
    ),
    Algorithm(
        {"generalisation": "present", "coset_neurons": "present"},
        "coset circuit",
        "Each neuron asks in which coset of a subgroup H an operand g lies, the left one in which Hg and the right one "
        "in which gH; the answers of many neurons together single out the product a b.",
    ),
    Algorithm(
        {"generalisation": "present", "trig_logits": "present"},
        "representation circuit",
        "What it gives an answer c depends on a b c^-1, which is the identity where c is right: characters of a few "
        "irreps (of addition cos w(a+b-c), of a few frequencies w). How its first layer makes them is not settled.",
    ),
    Algorithm(
        {"generalisation": "present"},
        "another",
        "Something generalises that is a function of a b c^-1, in none of the forms that these detectors know.",
    ),
    Algorithm(
        {"generalisation": "absent", "memorisation": "present"},
        "memorised",
        "Training pairs are looked up. Nothing that it holds answers pairs that it has not seen.",
    ),
    Algorithm(
        {"generalisation": "absent"},
        "none known",
        "Neither a circuit that generalises nor a lookup of training pairs: as of an untrained model, or another task.",
    ),
    Algorithm({}, "open", "What is known does not settle it; below is what would."),
)


class Claim(BaseModel):
    """What is said of a model, where it was seen or shown, and the figures."""

    model_config = ConfigDict(frozen=True)

    motif: str
    claim: str
    rung: str
    figures: str


class Explanation(BaseModel):
    """The algorithm, what it does, the claims that it rests on, what was ruled out and what could not be known."""

    model_config = ConfigDict(frozen=True)

    algorithm: str
    meaning: str
    claims: tuple[Claim, ...]
    unused: tuple[Claim, ...]
    ruled_out: tuple[Claim, ...]
    unknown: tuple[Claim, ...]


def explain(
    detections: Sequence[Detection], task: TaskFacts, figures: Figures, certificate: Certificate | None = None
) -> Explanation:
    """Of a report's detections, and its certificate where there is one."""
    case = Case({d.detector: d for d in detections}, task, figures)
    facts = _facts(case) | {name: str(d.verdict) for name, d in case.found.items()}
    row = next(row for row in ALGORITHMS if all(facts.get(key) == value for key, value in row.when.items()))
    by = {
        verdict: [d for d in detections if d.verdict == verdict]
        for verdict in ("present", "inert", "absent", "inconclusive", "error")
    }
    present = [Claim(motif=d.detector, claim=_said(d), rung=_rung(d), figures=_causes(d)) for d in by["present"]]
    proved = [_proved(certificate)] if certificate else []
    shown = certificate is not None and certificate.certified_accuracy > 1 / (task.order or 1)
    return Explanation(
        algorithm=row.name,
        meaning=row.meaning,
        claims=tuple(present + (proved if shown else [])),
        unused=tuple(
            Claim(motif=d.detector, claim=_summary(d), rung=_seen(d), figures=f"not needed: {d.reason}")
            for d in by["inert"]
        ),
        ruled_out=tuple(
            Claim(motif=d.detector, claim=_summary(d), rung=_surely(d), figures=d.reason) for d in by["absent"]
        ),
        unknown=tuple(
            Claim(motif=d.detector, claim=_summary(d), rung="not settled", figures=d.reason)
            for d in (*by["inconclusive"], *by["error"])
        )
        + tuple([] if shown else proved),
    )


def _proved(found: Certificate) -> Claim:
    """Of a bound no better than chance, that nothing is proved."""
    bound = found.certified_accuracy
    return Claim(
        motif="certificate",
        claim=f"At least {math.floor(bound * 1e4) / 1e2:.2f}% of all pairs are right: it follows from the circuit."
        if bound
        else "Of no pair does it follow from the circuit that it is right.",
        rung=CERTIFIED if bound else "not certified",
        figures=f"{found.share:.0%} of the operations of a pass over all pairs; {found.why}",
    )


def _facts(case: Case) -> dict[str, str]:
    unseen = unseen_accuracy(case)
    how = case.found.get("addition_mechanism")
    return {
        "subject": case.task.subject,
        "group": case.task.group or "none",
        "unseen": "low" if unseen is not None and unseen < LOW else "",
        "any": _any(case),
        "phases": _phases(how.evidence.get("weighed") or {}) if how else "",
    }


def _any(case: Case) -> str:
    """The strongest that any motif is of what are no operands, where it says more than that all are absent."""
    if case.task.subject == "operands":
        return ""
    verdicts = {str(d.verdict) for d in case.found.values()}
    known = {"present": "present", "inconclusive": "open", "error": "open", "inert": "inert"}
    return next((said for verdict, said in known.items() if verdict in verdicts), "")


def _phases(weighed: Mapping[str, Any]) -> str:
    """Of which kind nearly all of the clusters are: a loud one beside three others speaks for itself alone."""
    found = zip(weighed.get("phase_concentrations", ()), weighed.get("energies", ()), strict=True)
    known = [(phases, energy) for phases, energy in found if phases is not None]
    least = NEARLY_ALL * sum(energy for _, energy in known)
    kinds = {
        "disc": sum(energy for phases, energy in known if phases >= DISC),
        "torus": sum(energy for phases, energy in known if phases <= TORUS),
    }
    return next((kind for kind, energy in kinds.items() if energy >= least), "both") if known else ""


def _summary(d: Detection) -> str:
    return d.spec.summary if d.spec else d.detector


def _said(d: Detection) -> str:
    """With its figures, where the motif has a clause of its own."""
    clause = d.clause
    return f"{_summary(d)} Here: {clause}." if clause else _summary(d)


def _seen(d: Detection) -> str:
    needs = set(d.spec.needs) if d.spec else set()
    if needs & {"neurons", "preactivations", "attention"}:
        return RUNGS[1]
    return RUNGS[0] if needs & {"embedding", "weights", "rows", "features"} else RUNGS[2]


def _rung(d: Detection) -> str:
    """The highest: a verdict `present` with a cause has passed both bounds of it that apply."""
    if d.causal is None:
        return _seen(d)
    return RUNGS[3] if d.causal.sufficiency is None else f"{RUNGS[3]} and {RUNGS[4]}"


def _causes(d: Detection) -> str:
    parts = [f"score {d.score:.2f}" if d.score is not None else ""]
    p = d.p_value if d.p_adjusted is None else d.p_adjusted
    parts += [f"adjusted p {p:.3f}" if p is not None else ""]
    if d.causal is not None and d.causal.of_loss:
        parts += [f"the loss is {1 - d.causal.necessity:.0%} of that with the features in random directions"]
        kept = d.causal.sufficiency
        parts += [f"the motif keeps {kept:.0%} of what that saves" if kept is not None else ""]
    elif d.causal is not None:
        parts += [f"without it {1 - d.causal.necessity:.0%} of the right answers stay"]
        parts += [f"with it alone {d.causal.sufficiency:.0%}" if d.causal.sufficiency is not None else ""]
        parts += [f"with as much else removed {1 - d.causal.control:.0%}" if d.causal.control is not None else ""]
        parts += [f"of {d.causal.where}"]
    return "; ".join([", ".join(filter(None, parts)), *_remarks(d)])


def _remarks(d: Detection) -> list[str]:
    """What a reader must know of it, such as that nothing is known of the training pairs, without the figures again."""
    where = "" if d.causal is None else d.causal.where
    kept = [
        ", ".join(said for said in part.split(", ") if said != where and not FIGURE.fullmatch(said))
        for part in d.reason.split("; ")[1:]
    ]
    return [text for text in kept if text]


def _surely(d: Detection) -> str:
    """How often it is found where it is known to be."""
    row = rates(d.detector, d.version, d.threshold)
    if row is None:
        return "no error rates are known"
    found = row["true_positives"]["verdict"]
    return f"found in {found['count']} of {found['of']} models that have it (at least {found['low']:.1%})"
