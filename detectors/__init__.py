"""Point it at a trained model; it says which circuit is inside, how sure it is, and whether the model uses it.

Names are imported when first used: `import detectors` loads neither torch nor TransformerLens.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "sparse_fourier_embedding": "detectors.motifs.sparse_fourier_embedding",
    "trig_product_neurons": "detectors.motifs.trig_product_neurons",
    "trig_logits": "detectors.motifs.trig_logits",
    "generalisation": "detectors.motifs.generalisation",
    "memorisation": "detectors.motifs.memorisation",
    "load": "detectors.harness.load",
    "from_bridge": "detectors.harness.adapters.bridge",
    "run": "detectors.harness.run",
    "Report": "detectors.harness.report.model",
    "detector": "detectors.core.registry",
    "ModelView": "detectors.core.view",
    "Network": "detectors.core.view",
    "SequenceView": "detectors.core.sequences",
    "Task": "detectors.core.task",
    "Group": "detectors.core.groups",
    "Score": "detectors.core.score",
    "Null": "detectors.core.score",
    "Causal": "detectors.core.score",
    "DetectorsError": "detectors.core.errors",
}
__all__ = [*_HOME, "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'detectors' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value  # also replaces a submodule of the same name that the import has bound here
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
