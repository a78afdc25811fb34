"""Train the runs that the forecast of a series rests on, and keep their scores: `forecast_runs.py --out DIR`.

A hundred small networks of two operands, drawn from a fixed generator: some generalise, late or soon, some never do
within their budget of steps. Every run is scored at steps spaced evenly in the logarithm, as it is trained, and ends
three checkpoints after 99% of unseen pairs are answered, at its budget, or with the clock. A finished run is a file of
its own, which is written whole or not at all; the end joins all into `forecast.parquet`, which
`models_zoo.forecast_fit` reads.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

RUNS = 112
CHECKPOINTS = 30  # of a run that lasts to its budget, beside step 0
FIRST = 30  # step of the second
ANSWERED = 0.99
LEAST = 25  # seconds that a run is worth beginning for
READ = {"logits", "group", "split", "run", "embedding"}  # by the motifs that are scored: neurons cost as much again
DRAWS = 99  # the fewest with which four tests can be `present`
GROUPS = ("D9", "D11", "D13", "D15", "Dic6", "C5xC5", "C3xC9")


def recipe(number: int) -> dict[str, Any]:
    """Run `number`: three of four with decay, and a transformer in every fourth."""
    import numpy as np

    from detectors.subjects.operands.task import Task

    rng = np.random.default_rng([number, 21])
    attends, decays = number % 4 == 3, number % 4 != 1
    cyclic = rng.random() < 0.8
    p = int(rng.choice([23, 29, 31] if attends else [23, 29, 31, 37, 41, 43, 47, 53, 59]))
    task = f"{rng.choice(['add', 'add', 'sub', 'mul'])}:{p}" if cyclic else f"compose:{rng.choice(GROUPS)}"
    pairs = len(Task.parse(task).domain)
    low, high = (0.3, 0.75) if Task.parse(task).is_symmetric else (0.35, 0.85)
    high = min(high, 1 - (60 / pairs) ** (0.5 if Task.parse(task).is_symmetric else 1))
    model: dict[str, Any] = {"kind": "mlp", "d_model": int(rng.integers(24, 41)), "d_mlp": int(rng.integers(48, 97))}
    model["act_fn"] = str(rng.choice(["relu", "relu", "gelu", "square"]))
    if attends:
        model = {"kind": "transformer", "n_layers": 1, "n_heads": 2, "n_ctx": 2, "act_fn": "relu"}
        model |= {"d_model": 32, "d_head": 16, "d_mlp": int(rng.integers(64, 97))}
    decay = round(float(10 ** rng.uniform(-0.3, 0.5)), 3) if decays else float(rng.choice([0.0, 0.0, 0.03]))
    return {
        "run": number,
        "task": task,
        "model": model,
        "train_fraction": round(float(rng.uniform(low, high)), 3),
        "learning_rate": round(float(10 ** rng.uniform(-2.7, -2)), 5),
        "weight_decay": decay,
        "seed": number,
        "budget": 4000 if attends else 15000,
    }


def checkpoints(budget: int) -> list[int]:
    import numpy as np

    return [0, *sorted({int(step) for step in np.geomspace(FIRST, budget, CHECKPOINTS).round(-1)})]


def one_run(number: int, deadline: float, out: str, most: int | None = None) -> str:
    """Train and score a run until it is over or the clock says so, and write what there is."""
    from detectors.subjects.operands.task import Task
    from models_zoo.architectures import complete
    from models_zoo.train import split

    card, target, start = recipe(number), Path(out) / "runs" / f"{number:03}.json", time.perf_counter()
    if target.exists() or time.time() > deadline - LEAST:
        return f"run {number}: {'is there' if target.exists() else 'not begun'}"
    task = Task.parse(card["task"])
    model, train = complete(card["model"], task), split(task, card["train_fraction"], card["seed"])[0]
    pairs = {"train": train, "unseen": _unseen(task, train)}
    keep, rows, curve, answered, ended = set(checkpoints(card["budget"])), [], [], 0, "budget"
    for step, weights in _training(card, task, model, train, min(card["budget"], most or card["budget"])):
        if step % (20 if step <= 1000 else 100) == 0:
            curve.append((step, *(_accuracy(model, weights, task, pairs[side]) for side in ("train", "unseen"))))
        late = step % 50 == 0 and time.time() > deadline
        if step in keep or late:
            rows.append(_score(model, weights, task, train, step))
            answered = answered + 1 if rows[-1]["accuracy_unseen"] >= ANSWERED else 0
            if late or answered == 3:
                ended = "answered" if answered == 3 else "clock"
                break
    found = {**card, "ended": ended, "seconds": time.perf_counter() - start, "rows": rows, "curve": curve}
    target.with_suffix(".part").write_text(json.dumps(found))
    os.replace(target.with_suffix(".part"), target)
    last = {k: round(rows[-1][k], 2) for k in ("accuracy_unseen", "G", "M")}
    return f"run {number}: {card['task']} {model['kind']} {ended} at {step}, {last}, {found['seconds']:.0f} s"


def _training(card: dict[str, Any], task: Any, model: Any, train: Any, budget: int) -> Iterator[tuple[int, Any]]:
    """The weights at every step, before the step is made."""
    import torch

    from models_zoo import tabulated
    from models_zoo.architectures import initial_weights, network

    torch.set_num_threads(1)
    weights = {k: w.requires_grad_() for k, w in initial_weights(model, card["seed"]).items()}
    net = network(model, weights, task)
    optimizer = torch.optim.AdamW(
        weights.values(), lr=card["learning_rate"], weight_decay=card["weight_decay"], betas=(0.9, 0.98), fused=True
    )
    tokens, answers = _of(task, train)
    for step in range(budget + 1):
        yield step, weights
        optimizer.param_groups[0]["lr"] = card["learning_rate"] * min((step + 1) / 10, 1.0)
        logits = tabulated.forward(net, tokens)[:, : task.n_answers].double()
        loss = torch.nn.functional.cross_entropy(logits, answers)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _of(task: Any, pairs: Any) -> tuple[Any, Any]:
    """Tokens and answers of pairs."""
    import torch

    tokens = torch.stack([pairs // task.n_tokens, pairs % task.n_tokens], dim=1)
    return tokens, torch.from_numpy(task.answer.ravel())[pairs]


def _mask(task: Any, pairs: Any) -> Any:
    import torch

    return torch.zeros(task.n_tokens**2, dtype=torch.bool).index_fill(0, torch.as_tensor(pairs), True)


def _unseen(task: Any, train: Any) -> Any:
    """The pairs trained on in neither order."""
    from detectors.subjects.operands.split import echoes

    mask = _mask(task, train)
    return (_mask(task, task.domain) & ~mask & ~echoes(task, mask)).nonzero().flatten()


def _accuracy(model: Any, weights: Any, task: Any, pairs: Any) -> float:
    import torch

    from models_zoo import tabulated
    from models_zoo.architectures import network

    tokens, answers = _of(task, pairs)
    with torch.no_grad():
        logits = tabulated.forward(network(model, weights, task), tokens)[:, : task.n_answers]
    return float((logits.argmax(1) == answers).double().mean())


def _score(model: Any, weights: Any, task: Any, train: Any, step: int) -> dict[str, Any]:
    """A wide row: figures, and of each motif value, verdict and what the forecast may ask."""
    import detectors
    from detectors.core.registry import builtin, load, spec_of
    from models_zoo.architectures import network

    begun = time.perf_counter()
    copies = {k: w.detach().clone() for k, w in weights.items()}
    view = detectors.ModelView(network(model, copies, task), task, train_mask=_mask(task, train).numpy())
    names = [name for name in builtin(view.kind) if set(spec_of(load(name)).needs) <= READ]
    report = detectors.run(view, names=names, draws=DRAWS)
    row: dict[str, Any] = {"step": step}
    for name in ("all", "train", "test", "unseen"):
        row |= {f"accuracy_{name}": getattr(report.accuracy, name), f"loss_{name}": getattr(report.loss, name)}
    for found in report.detections:
        name = spec_of(load(found.detector)).axis or found.detector
        row |= {name: found.score, f"{name}_verdict": str(found.verdict), f"{name}_p": found.p_value}
        scalars = {k: v for k, v in (found.evidence or {}).items() if isinstance(v, float | int | str)}
        row |= {f"{name}_{k}": v for k, v in scalars.items()}
    row["weight_norm"] = float(sum(w.double().square().sum() for w in copies.values()) ** 0.5)
    row["score_seconds"] = time.perf_counter() - begun
    return row


KEPT = {"G", "M", "G_verdict", "M_verdict", "M_membership_advantage", "G_structured_accuracy", "weight_norm", "step"}


def join(out: Path) -> None:
    """One Parquet file of the scores of all runs that are finished, with the step at which each was answered."""
    import pandas as pd

    scores = []
    for file in sorted((out / "runs").glob("*.json")):
        run = json.loads(file.read_text())
        rows, curve = run.pop("rows"), run.pop("curve")
        run |= {f"model_{k}": v for k, v in run.pop("model").items() if k in ("kind", "d_model", "d_mlp", "act_fn")}
        run["answered"] = next((step for step, _, unseen in curve if unseen >= ANSWERED), None)
        run["lasted"] = max(curve[-1][0], rows[-1]["step"])
        kept = [{k: v for k, v in row.items() if k in KEPT or k.startswith("accuracy")} for row in rows]
        scores += [{**run, **row} for row in kept]
    if not scores:
        raise SystemExit("no run was finished")
    table = pd.DataFrame(scores).rename(columns={"M_membership_advantage": "membership"})
    table = table.astype({"answered": float} | dict.fromkeys(table.select_dtypes("float").columns, "float32"))
    table.to_parquet(out / "forecast.parquet", index=False, compression="zstd")
    print(f"{table.run.nunique()} runs, {len(scores)} rows", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=330, help="wall time until the runs in progress stop")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", type=int, nargs="*", help="numbers of runs; by default all")
    parser.add_argument("--steps", type=int, help="no more than so many a run, to try the script")
    args = parser.parse_args()
    (args.out / "runs").mkdir(parents=True, exist_ok=True)
    deadline, chosen = time.time() + args.seconds, args.runs or range(RUNS)
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(args.jobs, get_context("spawn")) as pool:
        futures = [pool.submit(one_run, number, deadline, str(args.out), args.steps) for number in chosen]
        for future in as_completed(futures):
            print(future.exception() or future.result(), flush=True)
    join(args.out)


if __name__ == "__main__":
    main()
