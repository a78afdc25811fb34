"""Point it at a trained model; it says which circuit is inside, how sure it is, and whether the model uses it.

Names are imported when first used: `import detectors` loads neither torch nor TransformerLens.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

from detectors.core.version import __version__ as __version__

if TYPE_CHECKING:  # for readers and type checkers; at run time `__getattr__` finds the same names
    from detectors.core.errors import DetectorsError as DetectorsError
    from detectors.core.groups import Group as Group
    from detectors.core.heads import Heads as Heads
    from detectors.core.picture import Picture as Picture
    from detectors.core.registry import detector as detector
    from detectors.core.score import Causal as Causal
    from detectors.core.score import Null as Null
    from detectors.core.score import Score as Score
    from detectors.fleet.many import score_many as score_many
    from detectors.live.callbacks import lightning_callback as lightning_callback
    from detectors.live.callbacks import trainer_callback as trainer_callback
    from detectors.live.watching import watch as watch
    from detectors.loading.bridge import from_bridge as from_bridge
    from detectors.loading.from_weights import from_weights as from_weights
    from detectors.loading.hooked import from_hooked as from_hooked
    from detectors.loading.inspection import inspect as inspect
    from detectors.loading.language import from_transformers as from_transformers
    from detectors.loading.load import load as load
    from detectors.loading.wrap import wrap as wrap
    from detectors.motifs.addition_mechanism import addition_mechanism as addition_mechanism
    from detectors.motifs.averaging_heads import averaging_heads as averaging_heads
    from detectors.motifs.copy_suppression_heads import copy_suppression_heads as copy_suppression_heads
    from detectors.motifs.copying_heads import copying_heads as copying_heads
    from detectors.motifs.coset_neurons import coset_neurons as coset_neurons
    from detectors.motifs.cyclic_concepts import cyclic_concepts as cyclic_concepts
    from detectors.motifs.digit_alignment_heads import digit_alignment_heads as digit_alignment_heads
    from detectors.motifs.duplicate_token_heads import duplicate_token_heads as duplicate_token_heads
    from detectors.motifs.generalisation import generalisation as generalisation
    from detectors.motifs.head_composition import head_composition as head_composition
    from detectors.motifs.induction_heads import induction_heads as induction_heads
    from detectors.motifs.memorisation import memorisation as memorisation
    from detectors.motifs.mirror_heads import mirror_heads as mirror_heads
    from detectors.motifs.neuron_phase_law import neuron_phase_law as neuron_phase_law
    from detectors.motifs.number_helix import number_helix as number_helix
    from detectors.motifs.position_heads import position_heads as position_heads
    from detectors.motifs.previous_token_heads import previous_token_heads as previous_token_heads
    from detectors.motifs.single_irrep_neurons import single_irrep_neurons as single_irrep_neurons
    from detectors.motifs.sparse_fourier_embedding import sparse_fourier_embedding as sparse_fourier_embedding
    from detectors.motifs.successor_heads import successor_heads as successor_heads
    from detectors.motifs.superposition_geometry import superposition_geometry as superposition_geometry
    from detectors.motifs.trig_logits import trig_logits as trig_logits
    from detectors.motifs.trig_product_neurons import trig_product_neurons as trig_product_neurons
    from detectors.program.program import Program as Program
    from detectors.program.program import program_of as program_of
    from detectors.report.report import Report as Report
    from detectors.runner import run as run
    from detectors.subjects.contract import check as check
    from detectors.subjects.features.view import FeaturesView as FeaturesView
    from detectors.subjects.operands.network import Network as Network
    from detectors.subjects.operands.task import Task as Task
    from detectors.subjects.operands.view import ModelView as ModelView
    from detectors.subjects.sequences.heads import by_content as by_content
    from detectors.subjects.sequences.patterns import Looks as Looks
    from detectors.subjects.sequences.view import SequenceView as SequenceView
    from detectors.subjects.words.view import RowsView as RowsView
    from detectors.tracker import Track as Track
    from detectors.tracker import track as track

_HOME = {
    "DetectorsError": "core.errors",
    "Group": "core.groups",
    "Picture": "core.picture",
    "detector": "core.registry",
    "Causal": "core.score",
    "Null": "core.score",
    "Score": "core.score",
    "from_bridge": "loading.bridge",
    "from_hooked": "loading.hooked",
    "from_transformers": "loading.language",
    "from_weights": "loading.from_weights",
    "wrap": "loading.wrap",
    "inspect": "loading.inspection",
    "load": "loading.load",
    "Program": "program.program",
    "program_of": "program.program",
    "Report": "report.report",
    "run": "runner",
    "watch": "live.watching",
    "lightning_callback": "live.callbacks",
    "trainer_callback": "live.callbacks",
    "Track": "tracker",
    "track": "tracker",
    "score_many": "fleet.many",
    "check": "subjects.contract",
    "Task": "subjects.operands.task",
    "ModelView": "subjects.operands.view",
    "Network": "subjects.operands.network",
    "Heads": "core.heads",
    "by_content": "subjects.sequences.heads",
    "Looks": "subjects.sequences.patterns",
    "FeaturesView": "subjects.features.view",
    "SequenceView": "subjects.sequences.view",
    "RowsView": "subjects.words.view",
}
_MOTIFS = [m.name for m in pkgutil.iter_modules([f"{__path__[0]}/motifs"]) if not m.name.endswith("_picture")]
__all__ = [*_HOME, *_MOTIFS, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'detectors' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"detectors.{_HOME.get(name, f'motifs.{name}')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
