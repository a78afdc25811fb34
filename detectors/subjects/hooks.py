"""Forward passes with hook points: what is seen at one, and what is put in its place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from torch import Tensor

from detectors.core.device import accelerated
from detectors.core.errors import CheckpointError, MissingPart

Hook = Callable[[str, Tensor], Tensor]
Edit = Mapping[str, Callable[[Tensor], Tensor]]


def check_contract(network: object, contract: tuple[str, ...], described: str) -> None:
    """CheckpointError, with what is missing, for a network that does not offer all that a view asks of it."""
    lacking = [name for name in contract if not hasattr(network, name)]
    if lacking:
        raise CheckpointError(
            f"a network has {', '.join(contract)}; {type(network).__name__} lacks {', '.join(lacking)}. "
            f"See help({described})"
        )


@accelerated
def hooked_pass(
    forward: Callable[[Tensor, Hook], Tensor],
    tokens: Tensor,
    points: Iterable[str],
    capture: Iterable[str],
    edit: Edit | None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits of a forward pass with edits, and the tensors at the hook points named, after their edits; in float32,
    whatever the network computes in.
    """
    wanted, edits = set(capture), dict(edit or {})
    if unknown := (wanted | set(edits)) - set(points):
        raise MissingPart(f"no hook point {sorted(unknown)}; this model has {', '.join(sorted(points))}")
    captured: dict[str, Tensor] = {}

    def hook(name: str, tensor: Tensor) -> Tensor:
        if name in edits:
            tensor = edits[name](tensor.float()).to(tensor.dtype)
        if name in wanted:
            captured[name] = tensor.float()
        return tensor

    return forward(tokens, hook).float(), captured
