"""The shape of the house: which room may import which, what a motif touches, who may ask what kind a model is."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from detectors.core import phases
from detectors.core.registry import builtin, load, result_of, spec_of

ROOT = Path(__file__).parents[2]
PACKAGES = ("detectors", "models_zoo", "fixtures")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
# what each room may import of ours, the longest name that fits; a room may import itself
ALLOWED = {
    "detectors.core": (),
    "detectors.subjects": ("detectors.core",),
    "detectors.motifs": ("detectors.core", "detectors.subjects"),
    "detectors.loading": ("detectors.core", "detectors.subjects"),
    "detectors.rewire": ("detectors.core", "detectors.subjects"),
    "detectors.program": ("detectors.core", "detectors.subjects"),
    "detectors.certificate": ("detectors.core", "detectors.subjects", "detectors.report"),
    "detectors.judging": ("detectors.core",),
    "detectors.report": ("detectors.core", "detectors.judging"),
    "detectors.series": ("detectors.core", "detectors.judging", "detectors.report"),
    "detectors.runner": ("detectors.core", "detectors.subjects", "detectors.judging", "detectors.report"),
    "detectors.tracker": (
        "detectors.core",
        "detectors.subjects",
        "detectors.judging",
        "detectors.loading",
        "detectors.report",
        "detectors.runner",
        "detectors.series",
    ),
    "detectors.fleet": (
        "detectors.core",
        "detectors.loading",
        "detectors.judging",
        "detectors.report",
        "detectors.runner",
    ),
    "detectors.rewire_heads": ("detectors.core", "detectors.subjects"),
    "detectors.testing_heads": ("detectors.core", "detectors.subjects", "detectors.rewire_heads"),
    "detectors.testing_words": ("detectors.core", "detectors.subjects"),
    "detectors.testing_features": ("detectors.core", "detectors.subjects"),
    "detectors.testing": (
        "detectors.core",
        "detectors.subjects",
        "detectors.rewire",
        "detectors.testing_heads",
        "detectors.testing_words",
        "detectors.testing_features",
        "detectors.loading",
    ),
    # the public names, for those above it
    "detectors": (
        "detectors.core",
        "detectors.subjects",
        "detectors.motifs",
        "detectors.live",
        "detectors.loading",
        "detectors.certificate",
        "detectors.program",
        "detectors.report",
        "detectors.runner",
        "detectors.tracker",
        "detectors.fleet",
    ),
    "detectors.gate": ("detectors", "detectors.core", "detectors.judging", "detectors.report"),
    # which scores as `run` does, and stops as a gate says
    "detectors.live": (
        "detectors.core",
        "detectors.subjects",
        "detectors.loading",
        "detectors.runner",
        "detectors.report",
        "detectors.gate",
        "detectors.series",
    ),
    "detectors.cli": (
        "detectors",
        "detectors.core",
        "detectors.judging",
        "detectors.report",
        "detectors.gate",
        "detectors.series",
        "detectors.fleet",
    ),
    "models_zoo": ("detectors",),
    "fixtures": ("detectors", "models_zoo"),
}
LIBRARIES = {
    "detectors.core": {"torch", "numpy", "scipy", "jaxtyping"},
    "detectors.subjects": {"torch", "numpy", "scipy", "jaxtyping", "typing_extensions"},
    "detectors.motifs": {"torch", "numpy", "scipy", "jaxtyping"},
}
SUBJECTS = {"ModelView", "SequenceView", "FeaturesView", "Task", "SequenceTask", "FeaturesTask"}


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in SOURCES}


def room_of(module: str) -> str:
    return max((room for room in ALLOWED if module == room or module.startswith(room + ".")), key=len)


@cache
def nodes(path: Path) -> list[ast.AST]:
    """Of the file's syntax."""
    return list(ast.walk(ast.parse(path.read_text())))


@cache
def imports(module: str) -> frozenset[str]:
    """What a module imports, inside functions and for type checkers alone too, each name as the module it is."""
    found = set()
    for node in nodes(MODULES[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inside & MODULES.keys()) | ({node.module} if not inside <= MODULES.keys() else set())
    return frozenset(found)


def wrong_arrows(module: str) -> set[str]:
    room = room_of(module)
    ours = {i for i in imports(module) if i.split(".")[0] in (*PACKAGES, "tests")}
    allowed = {room, *ALLOWED[room]}
    if room == "models_zoo" or room == "fixtures":  # which stand above the whole of detectors
        allowed |= {r for r in ALLOWED if r.startswith("detectors")}
    return {i for i in ours if i in MODULES and room_of(i) not in allowed}


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_one_way(module):
    assert not wrong_arrows(module)
    room = room_of(module)
    if room in LIBRARIES:
        import sys

        foreign = {i.split(".")[0] for i in imports(module)} - {"detectors"} - set(sys.stdlib_module_names)
        assert foreign <= LIBRARIES[room]


def test_motifs_are_reached_through_the_registry_alone():
    """Besides the public names, only a picture knows the result that it draws."""
    for module in MODULES:
        known = {i for i in imports(module) if i.startswith("detectors.motifs.")}
        allowed = {module.removesuffix("_picture")} if module.endswith("_picture") else set()
        assert module == "detectors" or known <= allowed, module


def circles(graph: dict[str, frozenset[str]]) -> list[set[str]]:
    """Sets of modules that reach each other."""
    reach = {module: {i for i in edges if i in graph} for module, edges in graph.items()}
    for through in graph:
        for module in graph:
            if through in reach[module]:
                reach[module] |= reach[through]
    found = [{m, *(o for o in reach[m] if m in reach[o])} for m in graph if m in reach[m]]
    return [s for i, s in enumerate(found) if s not in found[:i]]


def test_no_import_circle():
    assert circles({"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("b")}) == [{"b", "c"}]
    assert circles({module: imports(module) - {module} for module in MODULES}) == []


def places(name: str) -> set[str]:
    """Files of the code that know a motif by its name, as an identifier or a whole string, outside its own room.

    Those that use detectors as any user does (README, docs, examples, tests of other rooms) are not counted: a new
    motif touches none of them. Two words name a motif and a phase of training, and stand as phases in one file.
    """
    own = {f"detectors/motifs/{name}.py", f"detectors/motifs/{name}_picture.py", "detectors/__init__.py"}
    tables = {"detectors/judging/summary.py", "detectors/judging/explain.py", "detectors/judging/calibration.json"}
    tables |= {"models_zoo/cards.toml"}
    phase = {"detectors/core/phases.py"} if any(name in r.split(", ") for r in phases.REGIONS) else set()
    others = [ROOT / f for f in ("conftest.py", "pyproject.toml", "Makefile", "action.yml", "mkdocs.yml")]
    files = [*SOURCES, *others, *(ROOT / "tools").rglob("*.py"), *(ROOT / "docs").rglob("*.py")]
    found = set()
    for path in files:
        text = path.read_text()
        if name not in text:
            continue
        if path.suffix != ".py":
            if re.search(rf"\b{name}\b", text):
                found.add(str(path.relative_to(ROOT)))
            continue
        for node in nodes(path):
            identifier = getattr(node, "id", None) or getattr(node, "attr", None) or getattr(node, "name", None)
            imported = getattr(node, "module", None) or ""
            if identifier == name or imported.endswith(f".{name}") or getattr(node, "value", None) == name:
                found.add(str(path.relative_to(ROOT)))
    return found - own - tables - phase


def test_a_motif_is_one_room(capsys):
    touched = {name: places(name) for name in builtin()}
    with capsys.disabled():
        print(f"\nplaces that a motif touches outside its room: {sum(map(len, touched.values()))}")
    assert not any(touched.values()), touched
    assert places("ModelView")  # that the search finds a name at all


def test_only_the_folder_of_subjects_asks_what_kind_a_model_is():
    for module, path in MODULES.items():
        if room_of(module) == "detectors.subjects":
            continue
        for node in nodes(path):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("isinstance", "issubclass"):
                asked = {getattr(n, "id", getattr(n, "attr", "")) for n in ast.walk(node.args[1])}
                assert not asked & SUBJECTS, f"{module}, line {node.lineno}"


def test_a_motif_its_file_its_function_and_its_result_share_their_name():
    files = {p.stem for p in (ROOT / "detectors" / "motifs").glob("*.py")} - {"__init__"}
    assert {name.removesuffix("_picture") for name in files} == set(builtin())
    orders = []
    for name in builtin():
        spec = spec_of(load(name))
        assert spec.name == name
        assert spec.source
        assert spec.formula
        orders.append(spec.order)
        result = result_of(load(name)).__name__
        assert result == ("Heads" if spec.subject == "sequences" else "".join(p.title() for p in name.split("_")))
    assert orders == sorted(set(orders))


@cache
def called() -> list[set[str]]:
    """By test of a motif, the functions it calls and the strings it passes."""
    found = []
    for path in (ROOT / "tests" / "motifs").glob("test_*.py"):
        for function in nodes(path):
            if isinstance(function, ast.FunctionDef) and function.name.startswith("test_"):
                calls = [n for n in ast.walk(function) if isinstance(n, ast.Call)]
                names = {getattr(c.func, "id", getattr(c.func, "attr", "")) for c in calls}
                found.append(names | {c.value for n in calls for c in ast.walk(n) if isinstance(c, ast.Constant)})
    return found


def calls_in_tests(name: str) -> int:
    """Tests that call a detector, or have it run by its name."""
    return sum(name in one for one in called())


def test_every_motif_is_called_by_tests_of_its_own():
    assert calls_in_tests("no_such_motif") == 0
    for name in builtin():
        assert calls_in_tests(name) >= 3, name


LONG = 40


def test_functions_are_short_or_say_why_not():
    """Lines of a function's body; its signature and docstring are no code."""
    for module, path in MODULES.items():
        for node in nodes(path):
            if isinstance(node, ast.FunctionDef) and room_of(module).startswith("detectors"):
                doc = ast.get_docstring(node) or ""
                first = node.body[1 if doc and len(node.body) > 1 else 0]
                length = (node.end_lineno or 0) - first.lineno + 1
                assert length <= LONG or "lines because" in doc, f"{module}.{node.name} has {length} lines"


def test_no_python_file_is_over_300_lines_without_a_reason():
    long = {module: n for module, path in MODULES.items() if (n := len(path.read_text().splitlines())) > 300}
    assert not long
