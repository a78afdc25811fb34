"""A report with the certificate of its model in it."""

from __future__ import annotations

from typing import Any

from detectors.certificate.certificate import certify
from detectors.core.errors import NotApplicable
from detectors.report.report import Report


def with_certificate(report: Report, model: Any, *, seed: int = 0) -> Report:
    """The same report with a lower bound of the accuracy that follows from the circuit, or a note why there is none. No
    verdict and no score depends on it.

    >>> import detectors, models_zoo
    >>> model = models_zoo.trig_mlp(p=11, frequencies=(3,), train_fraction=0.5)
    >>> report = detectors.with_certificate(detectors.run(model), model)
    >>> report.certificate.pairs
    121
    """
    try:
        return report.model_copy(update={"certificate": certify(model, seed=seed)})
    except NotApplicable as error:
        return report.model_copy(update={"notes": [*report.notes, str(error)]})
