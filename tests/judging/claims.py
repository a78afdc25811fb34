"""What a report's sentence must not claim, given what the report holds: found in words, for models of any origin."""

from __future__ import annotations

import re

from detectors.report.model import Document

ANSWERING = 0.5


def false_claims(report: Document) -> list[str]:
    """The claims of the sentence that the figures of the same report contradict."""
    found, said = {d.detector: d for d in report}, report.summary
    carriers = [found[n] for n in ("sparse_fourier_embedding", "trig_product_neurons")]
    carried = any(d.score is not None and d.score >= d.threshold for d in carriers)
    unseen = report.accuracy.test if report.accuracy.unseen is None else report.accuracy.unseen
    evidence = found["trig_logits"].evidence
    share = evidence.get("explained_test_pairs")
    share = evidence.get("explained_all_pairs", 1.0) if share is None else share
    claims = {
        "all of the logits are a function": re.search("(?<!% of )its logits are a function", said) and share < 0.9,
        "the training pairs are not known": report.task.split == "given" and "not known" in said,
        "no known form, beside embedding or neurons of it": carried and "no circuit of the known form" in said,
        "a circuit that does not win answers": "by a generalising circuit" in said and (unseen or 1.0) < ANSWERING,
        "a circuit, though it is not present": "by a generalising circuit" in said
        and found["generalisation"].verdict != "present",
        "memorised, though it is not present": "memorised, its training" in said
        and found["memorisation"].verdict != "present",
        "every pair is answered": "answers every pair" in said and report.accuracy.all < 1,
    }
    return [f"{claim}: {said}" for claim, made in claims.items() if made]
