"""Gates as pytest items: `pytest release.gate.toml --detectors-checkpoint CKPT`, and fixtures for tests of your own.

Idle, and importing neither torch nor the rest of the package, until a gate file is collected with
--detectors-checkpoint or a fixture is asked for. The model is scored once, also with several workers of pytest-xdist.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from detectors.gate.conditions import Condition
    from detectors.gate.policy import Policy
    from detectors.report.report import Report

SUFFIX = ".gate.toml"


def pytest_addoption(parser: pytest.Parser) -> None:
    if any(
        argument.split("=")[0] == "--checkpoint" for argument in sys.argv
    ):  # said where nobody else has such an option
        parser.extra_info["--checkpoint"] = "of circuit-detectors 0.1 is --detectors-checkpoint now"
    group = parser.getgroup("detectors", "gates on trained models (circuit-detectors)")
    group.addoption(
        "--detectors-checkpoint", metavar="CKPT", help="The model that *.gate.toml files and the fixtures judge."
    )
    group.addoption("--detectors-baseline", metavar="FILE", help="JSON report to compare with, over the policy's own.")
    group.addoption("--detectors-task", metavar="SPEC", help="Task of the checkpoint, over the policy's own.")
    group.addoption("--detectors-train-indices", metavar="FILE", help="Its training pairs, over the policy's own.")
    group.addoption(
        "--detectors-loader", metavar="MODULE:FUNCTION", help="Your own loader, as `detectors run --loader`."
    )
    group.addoption("--detectors-timeout", metavar="SECONDS", type=float, help="How long scoring may take.")
    group.addoption("--detectors-train-split", metavar="FRACTION:SEED", help="The same, as a seeded split.")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> GateFile | None:
    if not file_path.name.endswith(SUFFIX):
        return None
    named = any(Path(str(a).partition("::")[0]).name == file_path.name for a in parent.config.invocation_params.args)
    if parent.config.getoption("--detectors-checkpoint") is None and not named:
        return None  # a policy that lies about is no test by itself
    return GateFile.from_parent(parent, path=file_path)


class GateFile(pytest.File):
    """A policy: one item a condition, known before the model is scored."""

    def collect(self) -> Iterator[GateItem]:
        from detectors.core.errors import DetectorsError
        from detectors.core.visible import visible_lines
        from detectors.gate.conditions import conditions
        from detectors.gate.policy import read_policy

        if self.config.getoption("--detectors-checkpoint") is None:
            raise self.CollectError(f"{self.path.name}: pass --detectors-checkpoint CKPT, the model to judge")
        try:
            policy, folder = read_policy(self.path)
            found = conditions(policy, folder, self.config.getoption("--detectors-baseline"))
        except DetectorsError as error:
            raise self.CollectError(visible_lines(error)) from None
        for condition in found:
            yield GateItem.from_parent(self, name=condition.id, condition=condition, policy=policy)


class GateItem(pytest.Item):
    """One condition held against the report."""

    def __init__(self, *, condition: Condition, policy: Policy, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.condition, self.policy = condition, policy

    def runtest(self) -> None:
        from detectors.gate.conditions import Breach, outcome

        found = outcome(self.condition, report_of(self.config, self.policy, self.path.parent))
        self.user_properties += list(found.properties.items())
        if not found.passed:
            raise Breach(found.sentence)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        from detectors.core.errors import DetectorsError
        from detectors.core.visible import visible, visible_lines
        from detectors.gate.conditions import Breach

        if isinstance(excinfo.value, Breach):
            return visible(excinfo.value)
        if isinstance(excinfo.value, DetectorsError):
            return visible_lines(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, f"gate: {self.name}"  # a bare name would have its dots replaced


def report_of(config: pytest.Config, policy: Policy, folder: Path) -> Report:
    """The report of the session's checkpoint under a policy, scored by whichever worker comes first."""
    from detectors.gate.conditions import loading

    given = ("task", "train_indices", "train_split", "loader")
    options = loading(policy, folder, **{name: config.getoption(f"detectors_{name}") for name in given})
    certified = policy.accuracy.certified is not None
    asked = [config.getoption("--detectors-checkpoint"), options, policy.draws, policy.seed, certified]
    key = json.dumps(asked, default=str, sort_keys=True)
    reports: dict[str, Report] = config.stash.setdefault(_REPORTS, {})
    if key not in reports:
        reports[key] = _shared(config, key, options, policy)
    return reports[key]


_REPORTS = pytest.StashKey[dict[str, Any]]()


def _shared(config: pytest.Config, key: str, options: dict[str, Any], policy: Policy) -> Report:
    """Under xdist the first worker scores and writes the report where the others wait for it."""
    workers = getattr(config, "workerinput", None)
    if workers is None:
        return _scored(config, options, policy)
    from filelock import FileLock

    from detectors.gate.baseline import read_report
    from detectors.report.files import write_text

    # the base of every worker's temporary folder is common to the run
    common = config._tmp_path_factory.getbasetemp().parent  # type: ignore[attr-defined]
    file = common / f"detectors-{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
    with FileLock(f"{file}.lock"):
        if not file.exists():
            write_text(file, _scored(config, options, policy).to_json())
        return read_report(file)


def _scored(config: pytest.Config, options: dict[str, Any], policy: Policy) -> Report:
    """By a process of its own, as under the command: a loader that exits does not end pytest."""
    from detectors.core.visible import visible
    from detectors.gate import apart

    def said(line: str) -> None:
        print(f"| {visible(line)}", file=sys.stderr)

    timeout = config.getoption("--detectors-timeout")
    checkpoint = config.getoption("--detectors-checkpoint")
    certify = policy.accuracy.certified is not None
    asked = {"draws": policy.draws, "seed": policy.seed, "certify": certify, "timeout": timeout}
    return apart.score_apart(checkpoint, options, **asked, said=said).report


@pytest.fixture(scope="session")
def detectors_checkpoint(request: pytest.FixtureRequest) -> str:
    """The path given as --detectors-checkpoint."""
    path: str | None = request.config.getoption("--detectors-checkpoint")
    if path is None:
        pytest.fail("this test judges a model: pass --detectors-checkpoint CKPT", pytrace=False)
    return path


@pytest.fixture(scope="session")
def detections(request: pytest.FixtureRequest, detectors_checkpoint: str) -> Report:
    """The report of every detector on the checkpoint: `detections["trig_logits"].verdict`.

    No policy stands behind it: what a checkpoint does not say of itself is given by the options --detectors-task,
    --detectors-train-indices, --detectors-train-split and --detectors-loader.
    """
    from detectors.core.errors import DetectorsError
    from detectors.core.visible import visible_lines
    from detectors.gate.policy import Policy

    try:
        return report_of(request.config, Policy(), Path.cwd())
    except DetectorsError as error:
        pytest.fail(
            f"{visible_lines(error)} (under pytest these options are called --detectors-task and so on)", pytrace=False
        )
