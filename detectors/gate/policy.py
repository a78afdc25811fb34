"""The policy of a gate: what a release must show, in TOML.

    task = "add:113"
    train_indices = "train.json"                # beside the policy
    must = { trig_logits = "present", memorisation = "absent" }
    must_not = { sparse_fourier_embedding = ["inert"] }
    bounds = ["generalisation.structured_accuracy >= 0.99", "memorisation.membership_advantage <= 0.3"]
    accuracy = { test = 0.99 }
    baseline = { file = "baseline.json", tolerance = 0.05, key_irreps = "report" }

A file `*.gate.toml`, or a table `[tool.detectors.gate.NAME]` of a pyproject.toml, asked for as `pyproject.toml:NAME`.
"""

from __future__ import annotations

import re
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from detectors.core.errors import DetectorsError
from detectors.core.plain_files import read_text

Settled = Literal["present", "inert", "absent"]
Verdicts = Settled | Annotated[list[Settled], Field(min_length=1)]
Share = Annotated[float, Field(ge=0, le=1)]
_BOUND = re.compile(r"\s*([A-Za-z_]\w*)\.([\w.]+)\s*(>=|<=|>|<|==)\s*(-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")


MOST = 2**20 - 1  # bytes of a policy, or of the pyproject.toml that it stands in


class PolicyError(DetectorsError, ValueError):
    """A policy that cannot be read, or says something that is not understood."""


def _readable(text: str) -> str:
    parse_bound(text)
    return text


def parse_bound(text: str) -> tuple[str, str, str, float]:
    """(detector, name, operator, number) of `detector.name >= number`.

    >>> parse_bound("generalisation.structured_accuracy >= 0.99")
    ('generalisation', 'structured_accuracy', '>=', 0.99)
    """
    match = _BOUND.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no bound; write `detector.evidence >= number`, with >=, <=, >, < or ==")
    return match[1], match[2], match[3], float(match[4])


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Floors(_Table):
    """Least accuracy."""

    all: Share | None = None
    train: Share | None = None
    test: Share | None = None
    unseen: Share | None = Field(default=None, description="Neither trained on nor the flip of such a pair.")
    certified: Share | None = Field(default=None, description="On all pairs, as it follows from the circuit.")


class BaselinePolicy(_Table):
    """The JSON report of an earlier run, and what may differ from it."""

    file: str | None = Field(default=None, description="Beside the policy; --baseline overrules it.")
    # permutations of another seed move a score of the zoo by 0.002, noise of 0.3 deviations in it one by 0.1 and more
    tolerance: Share = Field(default=0.05, description="How far a score may move for the worse.")
    tolerances: dict[str, Share] = Field(default_factory=dict, description="The same, by detector.")
    key_irreps: Literal["report", "fail"] = Field(default="report", description="What a change of the key irreps does.")


class Policy(_Table):
    """What a release must show. Whatever cannot be evaluated has failed."""

    task: str | None = Field(default=None, description="As --task; not needed where the checkpoint says.")
    train_indices: str | None = Field(default=None, description="As --train-indices; beside the policy.")
    train_split: str | None = Field(default=None, description="As --train-split.")
    tokens: str | None = Field(default=None, description="As --tokens.")
    arch: dict[str, str | int | float] = Field(default_factory=dict, description="As --arch.")
    # a million draws of 113 tokens are a gigabyte
    draws: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(default=None, description="As --draws.")
    seed: Annotated[int, Field(ge=0)] = Field(default=0, description="As --seed.")
    must: dict[str, Verdicts] = Field(
        default_factory=dict, description="The verdict, or verdicts one of which, each detector must give."
    )
    must_not: dict[str, Verdicts] = Field(
        default_factory=dict, description="The verdicts that it must not give; it must give one of the others."
    )
    bounds: list[Annotated[str, AfterValidator(_readable)]] = Field(
        default_factory=list, description="`detector.score >= 0.5`, `detector.evidence_name <= 0.3`."
    )
    accuracy: Floors = Field(default_factory=Floors, description="Least accuracy, by kind of pair.")
    baseline: BaselinePolicy | None = None

    @property
    def detectors(self) -> list[str]:
        """The detectors that the policy speaks of, in its order; none stands for all where there is a baseline."""
        named = [*self.must, *self.must_not, *(parse_bound(b)[0] for b in self.bounds)]
        return list(dict.fromkeys(named))


def read_policy(path: str | Path) -> tuple[Policy, Path]:
    """A policy and the folder that its file names are relative to."""
    place, _, name = str(path).partition(".toml:")
    file = Path(place + ".toml") if name else Path(path)
    try:
        document = tomllib.loads(read_text(file, MOST))
    except FileNotFoundError:
        raise PolicyError(f"no policy {file}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise PolicyError(f"{file} cannot be read as TOML: {error}") from None
    if file.name == "pyproject.toml":
        document = _in_pyproject(document, file, name)
    try:
        policy = Policy.model_validate(document)
    except ValidationError as error:
        raise PolicyError(f"{path}: " + "; ".join(_sentence(e) for e in error.errors())) from None
    _check_detectors(policy, path)
    return policy, file.parent


def _in_pyproject(document: dict[str, Any], file: Path, name: str) -> dict[str, Any]:
    gates: dict[str, dict[str, Any]] = document.get("tool", {}).get("detectors", {}).get("gate", {})
    if not isinstance(gates, dict) or not gates:
        raise PolicyError(f"{file} has no table [tool.detectors.gate.NAME]")
    if not name and len(gates) > 1:
        raise PolicyError(f"{file} has several gates; say which, as {file}:{next(iter(gates))}")
    name = name or next(iter(gates))
    if name not in gates:
        raise PolicyError(f"{file} has no gate {name!r}; it has {', '.join(gates)}")
    return gates[name]


def _sentence(error: Any) -> str:
    """What pydantic found, said of the user's file."""
    where = ".".join(str(part) for part in error["loc"] if not str(part).startswith(("literal[", "list[")))
    if error["type"] == "extra_forbidden":
        tables: dict[str, type[_Table]] = {"accuracy": Floors, "baseline": BaselinePolicy}
        known = list(tables.get(str(error["loc"][0]), Policy).model_fields)
        close = get_close_matches(str(error["loc"][-1]), known, 1)
        return f"unknown key {where!r}; " + (f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}")
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{where}: {message[0].lower()}{message[1:]}"


def _check_detectors(policy: Policy, path: str | Path) -> None:
    from detectors.core.registry import installed

    known = sorted(installed())
    tolerated = policy.baseline.tolerances if policy.baseline else {}
    for name in [*policy.detectors, *tolerated]:
        if name not in known:
            close = get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
            raise PolicyError(f"{path}: no detector {name!r}; {hint}")


def schema() -> dict[str, Any]:
    """JSON Schema of a policy, for editors."""
    document = Policy.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **document}
