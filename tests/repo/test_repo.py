"""The repository itself: import arrows, generated files, names, sizes."""

import ast
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from detectors.core.registry import BUILTIN, load, spec_of

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    [*(ROOT / "detectors").rglob("*.py"), *(ROOT / "models_zoo").rglob("*.py"), *(ROOT / "fixtures").rglob("*.py")]
)
# what each part may import of ours
ALLOWED = {
    "detectors.core": ("detectors.core",),
    "detectors.motifs": ("detectors.core",),
    "detectors.harness": ("detectors.core", "detectors.harness"),
    "detectors.testing": ("detectors.core", "detectors.harness"),
    "models_zoo": ("detectors", "models_zoo"),
    "fixtures": ("detectors", "models_zoo", "fixtures"),
    "detectors": (),
}
LIBRARIES_OF_CORE = {"torch", "numpy", "scipy"}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    layer = next(name for name in ALLOWED if module.startswith(name))
    ours = {i for i in imports(path) if i.split(".")[0] in ("detectors", "models_zoo", "fixtures", "tests")}
    if path == ROOT / "detectors" / "harness" / "run.py":
        ours.discard("detectors")  # for its version
    if path.name in ("cli.py", "pytest_plugin.py"):
        ours.discard("detectors")  # command and plugin use the public names
    wrong = {i for i in ours if not any(i == a or i.startswith(a + ".") for a in ALLOWED[layer])}
    assert not wrong
    if layer in ("detectors.core", "detectors.motifs"):
        foreign = {i.split(".")[0] for i in imports(path)} - {"detectors"} - set(sys.stdlib_module_names)
        assert foreign <= LIBRARIES_OF_CORE


def test_motif_files_functions_and_tests_share_their_names():
    files = {p.stem for p in (ROOT / "detectors" / "motifs").glob("*.py")} - {"__init__"}
    assert files == set(BUILTIN)
    tested = " ".join(p.read_text() for p in (ROOT / "tests" / "motifs").glob("*.py"))
    for name in BUILTIN:
        spec = spec_of(load(name))
        assert spec.name == name
        assert name in tested
        assert spec.source.startswith("arXiv:")


def test_the_published_schema_is_the_one_that_the_code_writes():
    from detectors.harness.report.model import schema

    assert json.loads((ROOT / "detectors" / "harness" / "report.schema.json").read_text()) == schema()


def test_no_python_file_is_over_300_lines_without_a_reason():
    long = {str(p.relative_to(ROOT)): n for p in SOURCES if (n := len(p.read_text().splitlines())) > 300}
    assert set(long) <= set(), long


def test_the_first_commands_of_the_readme_are_the_make_targets():
    readme = (ROOT / "README.md").read_text()
    assert readme.index("make demo") < readme.index("make test") < 1200
    for target in ("demo", "test", "check", "deep", "bench"):
        assert f"\n{target}:" in (ROOT / "Makefile").read_text()
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_the_wheel_holds_what_users_import_and_nothing_else(tmp_path):
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert config["tool"]["setuptools"]["packages"]["find"]["include"] == ["detectors*", "models_zoo*"]
    code = "from setuptools import find_packages; print(find_packages(include=['detectors*', 'models_zoo*']))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "fixtures" not in found
    assert "detectors.motifs" in found


def test_shipped_weights_stay_small():
    size = sum(p.stat().st_size for p in (ROOT / "models_zoo" / "weights").rglob("*") if p.is_file())
    assert size < 40e6
