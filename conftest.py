"""Pytest set-up: Hypothesis profiles, one torch thread a worker, and the checkpoints of others."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from zlib import crc32

import hypothesis
import jaxtyping
import pytest

import fixtures.shapes  # noqa: F401 - the hook finds it by its name

# before anything of ours is imported: calls with wrong shapes or types raise TypeCheckError
jaxtyping.install_import_hook(["detectors.core", "detectors.motifs", "detectors.subjects"], "fixtures.shapes.checked")

pytest_plugins = ["fixtures.plugin", "pytester"]
collect_ignore = ["tests/thirdparty"]  # importing it here would install it for every test

hypothesis.settings.register_profile("dev", max_examples=15, deadline=None)
hypothesis.settings.register_profile("ci", max_examples=25, deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile("deep", max_examples=300, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))

# Checked are the calls of the layers' own tests; in others, which score whole models, checks are a third of the time.
CHECKED = ("tests/core/", "tests/motifs/", "tests/subjects/", "detectors/")
EXTERNAL = Path(os.environ.get("DETECTORS_EXTERNAL", Path(__file__).parent.parent / "shared" / "external"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parts = [f"{k}/{n}" for n in range(1, 10) for k in range(1, n + 1)]
    parser.addoption("--part", default="1/1", metavar="K/N", choices=parts, help="the K-th of N parts of the cases")


def pytest_configure() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    checked = item.nodeid.startswith(CHECKED) and item.get_closest_marker("unchecked") is None
    deep = os.environ.get("HYPOTHESIS_PROFILE") == "deep"
    jaxtyping.config.update("jaxtyping_disable", not (checked or deep))


@pytest.hookimpl(tryfirst=True)  # before pytest looks at `-m`
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    cases: Counter[str] = Counter()
    for item in items:
        sampled, test = item.get_closest_marker("sampled"), item.nodeid.partition("[")[0]
        if sampled and not item.get_closest_marker("deep"):
            if cases[test] % sampled.args[0]:
                item.add_marker("wide")
            cases[test] += 1
        if not EXTERNAL.is_dir() and item.get_closest_marker("external"):
            item.add_marker(pytest.mark.skip(reason=f"external checkpoints are absent: no {EXTERNAL}"))
    part, parts = map(int, config.getoption("part").split("/"))
    others = [item for item in items if crc32(_case(item).encode()) % parts != part - 1]
    if others:
        config.hook.pytest_deselected(items=others)
        left = set(others)
        items[:] = [item for item in items if item not in left]


def _case(item: pytest.Item) -> str:
    """Its parameters, so that what the tests of one model share is made once; a test without any is its own."""
    return item.callspec.id if isinstance(item, pytest.Function) and hasattr(item, "callspec") else item.nodeid


@pytest.fixture(scope="session")
def external() -> Path:
    """Folder of the checkpoints that others trained."""
    return EXTERNAL
