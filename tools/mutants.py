"""Random mutants of each layer against the tests of that layer. `make mutants`, `make mutants ARGS="--layer core"`.

cosmic-ray makes the mutants and runs them. Ours are the sample, workers with a copy of the tree each (the tree itself
is never mutated), the mutated file's own tests first, and the equivalents that a person has read and given a reason.
What each mutant's tests wrote stays in build/mutants: `cr-report --show-diff --show-output build/mutants/core.sqlite`.
"""

from __future__ import annotations

import argparse
import ast
import multiprocessing
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import lru_cache
from hashlib import sha256
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple

from cosmic_ray.commands.init import init
from cosmic_ray.modules import find_modules
from cosmic_ray.mutating import mutate_and_test, mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.testing import run_tests
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkItem, WorkResult
from rich.progress import track
from scipy.stats import binomtest

LAYERS = {  # code, tests
    "core": ("detectors/core", "tests/core"),
    "subjects": ("detectors/subjects", "tests/subjects"),
    "motifs": ("detectors/motifs", "tests/motifs"),
    "judging": ("detectors/judging", "tests/judging"),
    "gate": ("detectors/gate", "tests/gate"),
}
MEMORY = 8 << 30  # bytes of address space of a mutant's tests
LEAST = 0.9  # share of a layer's mutants that its tests kill, equivalents left out
ROOT = Path(__file__).resolve().parents[1]
EQUIVALENTS = ROOT / "tools" / "mutants.equivalent.toml"
SESSIONS = ROOT / "build" / "mutants"
PYTEST = "-m pytest -x -q -p no:cacheprovider -p no:randomly -m 'not deep and not wide and not external'"

ARITHMETIC, ORDER = "(Add|Sub|Mul|Div|FloorDiv|Mod|Pow)", "(Eq|NotEq|Lt|LtE|Gt|GtE)"
# `&`, `|` and `~` are the and, or and not of tensors; `==` to `is` would test the interpreter
OPERATORS = re.compile(
    rf"ReplaceBinaryOperator_({ARITHMETIC}_{ARITHMETIC}|BitAnd_BitOr|BitOr_BitAnd)"
    rf"|ReplaceComparisonOperator_({ORDER}_{ORDER}|Is_IsNot|IsNot_Is)"
    r"|ReplaceUnaryOperator_Delete_(USub|Not|Invert)|NumberReplacer|ReplaceAndWithOr|ReplaceOrWithAnd|AddNot"
)
FOR_TYPES = ("assert ", "if TYPE_CHECKING")  # lines that are there for the type checker
source = lru_cache(Path.read_text)


class Key(NamedTuple):
    """What names a mutant and survives a shift of lines."""

    file: str
    line: str
    operator: str  # with [n] for the n-th further one of its like on lines of the same text in the file


def mutants(code: str, db: WorkDB) -> dict[Key, WorkItem]:
    """All mutants of a folder that are by our operators, in the order of the code."""
    init(find_modules([Path(code)]), db, {})
    found: dict[Key, WorkItem] = {}
    for item in sorted(db.work_items, key=lambda i: [(m.module_path, m.start_pos, m.occurrence) for m in i.mutations]):
        spec, n = item.mutations[0], 0
        line = source(spec.module_path).splitlines()[spec.start_pos[0] - 1].strip()
        key = like = Key(spec.module_path.as_posix(), line, spec.operator_name.removeprefix("core/"))
        while key in found:
            key = like._replace(operator=f"{like.operator}[{(n := n + 1)}]")
        if OPERATORS.fullmatch(like.operator) and not line.startswith(FOR_TYPES):
            found[key] = item
    return found


def mutated(item: WorkItem) -> tuple[str, str]:
    """The file's text after the mutation, and what is new in it: before -> after."""
    spec = item.mutations[0]
    text = source(spec.module_path)
    new = str(mutate_code(text, get_operator(spec.operator_name)(), spec.occurrence))
    lines = text.splitlines(keepends=True)
    start, end = (sum(map(len, lines[: row - 1])) + column for row, column in (spec.start_pos, spec.end_pos))
    head = new.removesuffix(text[end:])
    after = head[len(os.path.commonprefix([head, text[:start]])) :]  # noqa: RUF071 - by characters is meant
    return new, " -> ".join(" ".join(part.split()) or "nothing" for part in (text[start:end], after))


def running(text: str) -> str:
    """What runs of it: its tree without annotations. Empty where it is no Python."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return ""
    for node in ast.walk(tree):
        for field in {"annotation", "returns"} & set(node._fields):
            setattr(node, field, None)
    return ast.dump(tree)


def sample(found: dict[Key, WorkItem], seed: int) -> Iterator[Key]:
    """Places in random order and one mutant of each: the tool offers six for a `*` and one for an `and`.

    Ranks are hashes, so that a change of the code leaves the sample elsewhere, and what was read of it, as it was.
    """

    def place(key: Key) -> tuple[str, tuple[int, int]]:
        return key.file, found[key].mutations[0].start_pos

    def rank(key: Key, of: str = "mutant") -> bytes:
        return sha256(repr((seed, of, *key)).encode()).digest()

    def runs(key: Key) -> bool:
        return running(mutated(found[key])[0]) not in ("", running(source(Path(key.file))))

    places = [list(keys) for _, keys in groupby(found, place)]
    for keys in sorted(places, key=lambda keys: rank(min(keys), "place")):
        yield from islice(filter(runs, sorted(keys, key=rank)), 1)


def command(tests: str, file: str) -> str:
    """pytest on a layer: first the tests that share the file's name, then those of its folder, then the others."""

    def far(test: Path) -> tuple[bool, bool, Path]:
        name, folder = test.stem.removeprefix("test_"), test.parent.name
        return not Path(file).stem.startswith(name), Path(file).parent.name != folder, test

    files = sorted(Path(tests).rglob("test_*.py"), key=far) or [Path(tests)]  # without any, pytest would run all layers
    return shlex.join([sys.executable, *shlex.split(PYTEST), *map(str, files)])


def enter(folders: multiprocessing.SimpleQueue[Path]) -> None:
    """From here on this process and its children work in a copy of the tree. AssertionError if they would not."""
    os.chdir(folder := folders.get())
    os.environ.update(PYTHONPATH=str(folder), OMP_NUM_THREADS="1", HYPOTHESIS_PROFILE="ci")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # kept, it halves the start of every mutant's tests
    if sys.platform == "linux":  # a mutant that fills memory without end ends its own tests, not those of others
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    ask = [sys.executable, "-P", "-c", "import detectors; print(detectors.__file__)"]
    file = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
    assert Path(file).is_relative_to(folder), f"the tests would import {file}, which is no copy"


def clean(tests: str) -> tuple[float, str]:
    """Seconds of a layer's tests without a mutant, and what they wrote if they failed."""
    start = time.monotonic()
    outcome, output = run_tests(command(tests, ""), None)
    return time.monotonic() - start, "" if outcome == TestOutcome.SURVIVED else output or "nothing"


def kill(item: WorkItem, tests: str, timeout: float) -> tuple[WorkItem, WorkResult]:
    result = mutate_and_test(item.mutations, tests, timeout)
    if result.test_outcome not in (TestOutcome.KILLED, TestOutcome.SURVIVED):
        raise RuntimeError(f"cosmic-ray could not run {item}: {result.output}")
    return item, result


def attack(pool: ProcessPoolExecutor, layer: str, seconds: float, recorded: dict[Key, str], seed: int, n: int) -> bool:
    """Prints what became of n mutants, drops the records that it meets, and tells whether enough were killed."""
    code, tests = LAYERS[layer]
    began, survived = time.monotonic(), []
    with use_db(SESSIONS / f"{layer}.sqlite") as db:
        found = mutants(code, db)
        equivalent = {key for key in found.keys() & recorded.keys() if mutated(found[key])[1] == recorded[key]}
        chosen = list(islice(sample(found, seed), n))
        keys = {found[key].job_id: key for key in chosen if key not in equivalent}
        db.clear()
        db.add_work_items(found[key] for key in keys.values())
        jobs = [pool.submit(kill, found[key], command(tests, key.file), 3 * seconds + 10) for key in keys.values()]
        quiet = not sys.stdout.isatty()
        for job in track(as_completed(jobs), layer, len(jobs), transient=True, disable=quiet):
            item, result = job.result()
            db.set_result(item.job_id, result)
            if result.test_outcome == TestOutcome.SURVIVED:
                survived.append((keys[item.job_id], item))
    for key in equivalent:
        del recorded[key]
    others, killed = len(jobs), len(jobs) - len(survived)
    low, high = binomtest(killed, others).proportion_ci(0.95, method="exact") if others else (0, 1)
    print(f"{layer}: killed {killed} of {len(chosen)}, survivors {len(survived)}, equivalents {len(chosen) - others};")
    print(
        f"  {killed / max(others, 1):.1%} of the non-equivalent killed, 95% interval {low:.1%} to {high:.1%};", end=" "
    )
    print(f"{time.monotonic() - began:.0f} s, the tests alone {seconds:.0f} s", flush=True)
    for key, item in sorted(survived):
        print(f"  {key.file}:{item.mutations[0].start_pos[0]} {key.operator}: {mutated(item)[1]}\n      {key.line}")
    return killed >= LEAST * others


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layer", action="append", choices=LAYERS, help="repeatable; without it all of them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=60, help="mutants a layer")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    layers = list(dict.fromkeys(args.layer or LAYERS))
    entries = tomllib.loads(EQUIVALENTS.read_text()).get("equivalent", [])
    recorded = {Key(e["file"], e["line"], e["operator"]): e["change"] for e in entries if e["reason"]}
    SESSIONS.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    folders = context.SimpleQueue()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        copies = [Path(temporary).resolve() / str(worker) for worker in range(args.workers)]
        for tree, copy in zip([ROOT, *copies], copies, strict=False):  # the second of the first, so that all are alike
            shutil.copytree(tree, copy, ignore=shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "runs"))
            folders.put(copy)
        os.chdir(copies[0])
        with ProcessPoolExecutor(args.workers, context, enter, (folders,)) as pool:
            try:
                cleaned = list(pool.map(clean, [LAYERS[layer][1] for layer in layers]))
                for layer, (_, output) in zip(layers, cleaned, strict=True):
                    if output:
                        sys.exit(f"{output}\nThe tests of {layer} fail without a mutant: mend them first.")
                sizes = (args.seed, args.count)
                good = [attack(pool, layer, cleaned[i][0], recorded, *sizes) for i, layer in enumerate(layers)]
            finally:
                pool.shutdown(cancel_futures=True)
    elsewhere = tuple(f"{code}/" for layer, (code, _) in LAYERS.items() if layer not in layers)
    for key, change in recorded.items():
        if not key.file.startswith(elsewhere):
            print(f"matches nothing: {key.file} {key.operator}: {change}\n      {key.line}")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
