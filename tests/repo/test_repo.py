"""The repository itself: generated files, the wheel, what a newcomer is told to run."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from detectors.judging.calibration import calibration

ROOT = Path(__file__).parents[2]


def test_the_rates_of_the_readme_are_those_of_the_calibration():
    readme = (ROOT / "README.md").read_text()
    for name, row in calibration()["rows"].items():
        found, false = row["true_positives"]["verdict"], row["false_positives"]["verdict"]
        cells = (
            f"`{name}`",
            f"{row['threshold']:.2f}",
            f"{found['count']} of {found['of']} (at least {found['low']:.1%})",
            f"{false['count']} of {false['of']} (at most {false['high']:.1%})",
        )
        assert f"| {' | '.join(cells)} |" in readme


def test_the_published_schemas_are_the_ones_that_the_code_writes():
    from detectors.gate.policy import schema as policy
    from detectors.report.report import schema as report

    for place, schema in (("report/report", report), ("gate/policy", policy)):
        assert json.loads((ROOT / "detectors" / f"{place}.schema.json").read_text()) == schema()


def test_the_first_commands_of_the_readme_are_the_make_targets():
    readme = (ROOT / "README.md").read_text()
    assert readme.index("make demo") < readme.index("make test") < 1200
    for target in ("demo", "test", "check", "deep", "bench", "mutants"):
        assert f"\n{target}:" in (ROOT / "Makefile").read_text()
    assert "make test" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.wide
def test_the_wheel_holds_what_users_import_and_nothing_else(tmp_path):
    """Built, opened and, beside nothing else of ours, imported; the weights are counted and left out of the copy."""
    tree = tmp_path / "tree"
    for name in ("detectors", "models_zoo", "fixtures", "pyproject.toml", "README.md", "LICENSE"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        skip = {"ignore": shutil.ignore_patterns("weights", "__pycache__")} if (ROOT / name).is_dir() else {}
        tree.mkdir(exist_ok=True)
        copy(ROOT / name, tree / name, **skip)
    shutil.copytree(ROOT / "models_zoo" / "weights" / "d15_mlp", tree / "models_zoo" / "weights" / "d15_mlp")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
        str(tree),
    ]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("circuit_detectors-*.whl")
    held = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in held} - {wheel.stem.split("-py3")[0] + ".dist-info"} == {
        "detectors",
        "models_zoo",
    }
    sources = {str(p.relative_to(ROOT)) for p in (ROOT / "detectors").rglob("*") if p.suffix in (".py", ".json", ".j2")}
    assert sources | {"detectors/py.typed", "models_zoo/cards.toml"} <= set(held)
    assert {name for name in held if "/weights/" in name} == {
        f"models_zoo/weights/d15_mlp/{name}" for name in ("config.json", "measured.json", "model.safetensors")
    }
    code = "import sys; sys.path.insert(0, sys.argv[1]); import detectors; print(detectors.__file__, detectors.Score)"
    done = subprocess.run([sys.executable, "-I", "-c", code, str(wheel)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(wheel))


def test_importing_the_package_is_light():
    code = "import sys, detectors; dir(detectors); print({'torch', 'numpy', 'pydantic', 'scipy'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_shipped_weights_stay_small():
    size = sum(p.stat().st_size for p in (ROOT / "models_zoo" / "weights").rglob("*") if p.is_file())
    assert size < 40e6
