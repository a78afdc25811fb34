"""What motifs of heads are calibrated on: models written down, trained ones, and attention by chance."""

from __future__ import annotations

import tomllib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from detectors.loading.transformer import SequenceTransformer
from detectors.subjects.sequences.generators import NOTHING, Sequences
from detectors.subjects.sequences.task import SequenceTask
from detectors.subjects.sequences.view import SequenceView
from models_zoo import architectures
from models_zoo.analytic import induction_head
from models_zoo.sequences import trained, written

EACH = 16  # of every kind that is written down
FORMS = ("shared_", "ranged_", "short_")  # of a kind that has a card
DOES, MATCHES = 0.9, 0.4  # accuracy of a model that does its task, attention of one that does it by induction
CHANCE = 500  # untrained models, each a parent of its own
SHUFFLED = 4  # of every kind that is written down, its weights in random order


def _induction(rng: np.random.Generator, *, short: bool) -> SequenceView:
    """short: no run is longer than a third of the context, and behind that no token knows the one before."""
    context = int(rng.integers(16, 33))
    vocab = int(rng.integers(context // 2 + 1, 33))
    view = induction_head(n_tokens=vocab, n_ctx=context, sharpness=float(np.exp(rng.uniform(1.0, 4.0))))
    if not short:
        return _with_idle(view, view.task, rng)
    longest = context // 3
    view.weights["blocks.0.attn.W_Q"][0, vocab + longest + 2 : vocab + context] = 0
    return _with_idle(view, SequenceTask("written: short runs, repeated", _short_runs(longest)), rng)


def _shared(make: Callable[..., SequenceView]) -> Callable[[np.random.Generator], SequenceView]:
    """By two to five heads, each of which does its part alone."""
    return lambda rng: make(rng, heads=int(rng.integers(2, 6)))


def _with_idle(view: SequenceView, task: SequenceTask, rng: np.random.Generator) -> SequenceView:
    """A head beside the one of each layer that looks about and hardly says anything."""
    generator, network = torch.Generator().manual_seed(int(rng.integers(2**31))), cast(Any, view.network)

    def doubled(name: str, w: torch.Tensor) -> torch.Tensor:
        size = 0.02 if name.endswith("W_O") else 1.0
        return torch.cat([w, size * torch.randn(w.shape, generator=generator) / w.shape[1] ** 0.5])

    weights = {k: doubled(k, w) if ".attn.W_" in k else w for k, w in view.weights.items()}
    return SequenceView(SequenceTransformer(weights, replace(network.config, n_heads=2)), task)


def _short_runs(longest: int) -> Callable[..., Sequences]:
    """As `repeat`, of runs that are no longer than that, and of four tokens at the least."""

    def draw(rng: np.random.Generator, batch: int, d_vocab: int, n_ctx: int) -> Sequences:
        tokens, targets = np.zeros((batch, n_ctx - 1), dtype=np.int64), np.full((batch, n_ctx - 1), NOTHING)
        for row, wanted in zip(tokens, targets, strict=True):
            length = int(rng.integers(4, longest, endpoint=True))
            whole = np.resize(1 + rng.choice(d_vocab - 1, size=length, replace=False), n_ctx - 1)
            row[1:], wanted[length + 1 :] = whole[:-1], whole[length + 1 :]
        return Sequences(torch.from_numpy(tokens), torch.from_numpy(targets))

    return draw


KINDS: dict[str, Callable[[np.random.Generator], SequenceView]] = {
    "induction": partial(_induction, short=False),
    "short_induction": partial(_induction, short=True),
    "duplicates": written.duplicates,
    "shared_duplicates": _shared(written.duplicates),
    "ranged_duplicates": _shared(partial(written.duplicates, ranges=True)),
    "lagged": written.lagged,
    "unread": partial(written.duplicates, unread=True),
    "sorting": written.sorting,
    "shared_sorting": _shared(written.sorting),
    "mirrors": written.mirrors,
    "shared_mirrors": _shared(written.mirrors),
    "ranged_mirrors": _shared(partial(written.mirrors, ranges=True)),
    "cumulative": written.cumulative,
    "reversing": written.reversing,
    "digits": partial(written.digits, below=0),
    "digits_below": partial(written.digits, below=-1),
    "missing": written.missing,
    "second_half": written.second_half,
}


def names(chance: int = CHANCE) -> list[str]:
    """Every model, FAMILY/NUMBER."""
    found = [f"written.{kind}/{i}" for kind in KINDS for i in range(EACH)]
    found += [f"trained.{m.recipe.task.partition(':')[0]}/{m.number}" for m in trained.members()]
    found += [f"shuffled/{kind}.{i}" for kind in KINDS for i in range(SHUFFLED)]
    return found + [f"untrained/{i}" for i in range(chance)]


def family(name: str) -> str:
    return name.partition("/")[0]


def truth(name: str, model: SequenceView) -> Mapping[str, str]:
    """By motif: `present`, `absent` or `unused`; nothing is present in a model that does not do its task."""
    kind = family(name)
    source, _, which = kind.partition(".")
    form, _, plain = which.rpartition("_") if which.startswith(FORMS) else ("", "", which)
    card = _cards()[source][plain] if which else _cards()["chance"]
    words = ["present", "absent", "unused"] if _does_it(kind, model) else ["absent", "unused"]
    several = card.get("unsettled_by_several", ()) if form in ("shared", "ranged") else ()
    return {motif: word for word in words for motif in card.get(word, ()) if motif not in several}


def _does_it(kind: str, model: SequenceView) -> bool:
    """Answers, and where it was trained on repeats looks at the tokens behind copies (prefix matching of
    arXiv:2209.11895): there are other ways, such as to look one place further at what a first layer has moved there.
    """
    if (model.figures().accuracy.all or 0.0) < DOES:
        return False
    return kind != "trained.repeat" or prefix_matching(model) >= MATCHES


def prefix_matching(model: SequenceView) -> float:
    """Attention from where an answer is asked for to the token behind its copy, of the head that has most."""
    tokens, targets = (x[:64] for x in model.sample)
    behind = torch.zeros(*tokens.shape, tokens.shape[1], dtype=torch.bool)
    behind[:, :, 1:] = (tokens[:, :, None] == tokens[:, None, :-1]).tril(-1)
    points = [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.network.n_layers)]
    _, seen = model.run(tokens, capture=points)
    mass = torch.cat([(seen[p] * behind[:, None]).sum(-1).transpose(0, 1) for p in points])
    return float(mass[:, targets >= 0].mean(1).max())


def view(name: str) -> SequenceView:
    kind, _, which = name.partition("/")
    source, _, what = kind.partition(".")
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if source == "written":
        return KINDS[what](rng)
    if source == "trained":
        return next(m for m in trained.members() if m.number == int(which)).view()
    if source == "shuffled":
        return shuffled(KINDS[which.partition(".")[0]](rng), rng)
    return untrained(rng)


def shuffled(model: SequenceView, rng: np.random.Generator) -> SequenceView:
    """The same numbers in another order, matrix by matrix."""
    order = {k: torch.from_numpy(rng.permutation(w.numel())) for k, w in model.weights.items()}
    weights = {k: w.flatten()[order[k]].reshape(w.shape) for k, w in model.weights.items()}
    network: Any = model.network
    return SequenceView(SequenceTransformer(weights, network.config), model.task)


def untrained(rng: np.random.Generator) -> SequenceView:
    """Random attention on a random task: from nearly uniform patterns to ones that look at one key each."""
    spec, vocab, context, answers, more = _tasks(rng)[int(rng.integers(7))]
    heads, width = int(rng.integers(1, 5)), 16 * int(rng.integers(1, 5))
    table = {
        "kind": "transformer",
        "n_layers": int(rng.integers(1, 4)),
        "d_model": width,
        "n_heads": heads,
        "d_head": int(rng.integers(4, 17)),
        "d_mlp": 2 * width if rng.random() < 0.3 else 0,
        "n_ctx": context,
        "d_vocab": vocab,
        "d_vocab_out": answers,
        "n_tokens": vocab,
        "normalization_type": "LN" if rng.random() < 0.5 else None,
        **more,
    }
    weights = architectures.initial_weights(table, int(rng.integers(2**31)))
    loud = float(np.exp(rng.uniform(0, 2.5)))
    scaled = {
        k: w * loud if k.endswith(("W_Q", "W_K")) else w
        for k, w in weights.items()
        if ".ln2" not in k or table["d_mlp"]
    }
    network: Any = architectures.network(table, scaled, SequenceTask.parse(spec))
    return SequenceView(network, spec)


def _tasks(rng: np.random.Generator) -> list[tuple[str, int, int, int, dict[str, Any]]]:
    """Spec, tokens, positions, answers, and more of the architecture."""
    v, size = int(rng.integers(12, 40)), int(rng.integers(3, 8))
    return [
        ("repeat", v, int(rng.integers(16, 40)), v, {}),
        (f"sort:{size}", v, 2 * size + 1, v, {}),
        (f"palindrome:{size}", v, 2 * size + 2, 2, {}),
        (f"brackets:{4 * size}", 5, 4 * size + 2, 2, {"causal": False, "pad_token": 1}),
        (f"cumsum:{3 * size}", 2 * size + 1, 3 * size, 3, {}),
        (f"digits:{size}", 12, 3 * size + 2, 12, {}),
        (f"first_unique:{3 * size}", v, 3 * size, v, {}),
    ]


@cache
def _cards() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("cards.toml").read_text())
