"""Families of models made to hurt that are written down: a name, how to build it, and the truth about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from detectors.subjects.operands.view import ModelView
from models_zoo import decoys
from models_zoo.analytic import split_of
from models_zoo.hostile import circuits
from models_zoo.hostile import constructions as made
from models_zoo.hostile.truth import Hostile


def by_hand() -> Iterator[Hostile]:
    for family in (symmetric, tables, adders, other_tasks, exceptions, mixtures, unread):
        yield from family()


def _both(family: str, name: str, build: Callable[[], ModelView], truth: str) -> Iterator[Hostile]:
    """The model with its split told, and not."""
    yield Hostile(family, name, build, truth)
    yield Hostile(family, f"{name}, split not told", build, truth, told=False)


def symmetric() -> Iterator[Hostile]:
    """Lookups of the training pairs up to order."""
    for fraction in (0.4, 0.6, 0.7, 0.8, 0.85):
        for p in (23, 31):
            build = partial(made.lookup, p=p, fraction=fraction, symmetric=True)
            yield from _both("symmetric lookup", f"p {p}, {fraction:.0%}", build, "one_hot_memoriser")
    for fraction in (0.5, 0.7):
        build = partial(made.and_table, p=19, fraction=fraction, known="echoed")
        yield Hostile("symmetric lookup", f"AND-table up to order, {fraction:.0%}", build, "one_hot_memoriser")


def tables() -> Iterator[Hostile]:
    """Lookups in order, of the training pairs or of all, and AND-tables."""
    for fraction in (0.3, 0.6, 0.8):
        build = partial(made.lookup, p=29, fraction=fraction, symmetric=False)
        yield from _both("lookup", f"of {fraction:.0%}", build, "one_hot_memoriser")
    for noisy in (0.0, 0.1, 1.0):
        for fraction in (0.3, 0.6):
            build = partial(made.lookup_of_all, p=29, noisy=noisy, fraction=fraction)
            yield from _both("lookup of all", f"noise {noisy}, told {fraction:.0%}", build, "flat")
    for fraction in (0.4, 0.7):
        yield Hostile(
            "AND-table", f"of {fraction:.0%}", partial(made.and_table, p=19, fraction=fraction), "one_hot_memoriser"
        )
    yield from _both("AND-table", "of all pairs", partial(made.and_table, p=19, known="all"), "flat")


def adders() -> Iterator[Hostile]:
    """Integers on a line, wrapped: as bumps, as a number line, as sawtooth and triangle waves."""
    for p in (29, 41):
        for step in (1, 5):
            name = f"p {p}, " + ("number line" if step == 1 else "sawtooth")
            yield from _both("line", f"{name}, three neurons", partial(made.number_line, p=p, step=step), "line")
            build = partial(made.integer_sum, p=p, step=step, value=made.bump(p))
            yield from _both("line", f"{name}, one-hot logits", build, "line")
            build = partial(made.integer_sum, p=p, step=step, value=made.triangle(p))
            yield Hostile("line", f"{name}, triangle waves", build, "triangle")


def other_tasks() -> Iterator[Hostile]:
    """Exact circuits of other operations."""
    for p, q in ((31, 30), (31, 26), (31, 20), (47, 40)):
        build = partial(circuits.other_modulus, p=p, q=q, frequencies=(1, 3, 7))
        yield from _both("other task", f"mod {q} asked as mod {p}", build, "other_modulus")
    asked = partial(_asked, task="sub:31", build=partial(circuits.circuit, p=31))
    yield from _both("other task", "add asked as sub", asked, "other_operation")
    yield Hostile("other task", "half add, half sub", partial(circuits.half_and_half, own_task=False), "half")
    yield Hostile(
        "other task", "half add, half sub, own table", partial(circuits.half_and_half, own_task=True), "no_group"
    )


def _asked(*, task: str, build: Callable[[], ModelView]) -> ModelView:
    view = build()
    return ModelView(view.network, task, train_mask=view.train_mask)


def exceptions() -> Iterator[Hostile]:
    """The exact circuit with hidden wrong answers."""
    for share in (0.005, 0.01, 0.02, 0.05):
        for where in ("train", "test", "all"):
            build, count = partial(_excepted, share=share, where=where), round(share * 31 * 31)
            yield Hostile("exceptions", f"{share:.1%} on {where}", build, "circuit", exceptions=count)
    build = partial(_excepted, share=0.01, where="all")
    yield Hostile("exceptions", "1.0% on all, split not told", build, "circuit", told=False, exceptions=10)
    build = partial(_excepted, share=31 / 961, where="row")
    yield Hostile("exceptions", "one left operand as a trigger", build, "circuit", exceptions=31)
    for tall in (100.0, 1e4):
        build = partial(_excepted, share=3 / 961, where="all", tall=tall)
        yield Hostile("exceptions", f"three pairs, {tall:g} times as tall", build, "circuit", exceptions=3)


def _excepted(*, share: float, where: str, tall: float = 2.0) -> ModelView:
    return circuits.with_exceptions(circuits.circuit(), round(share * 31 * 31), where=where, tall=tall)


def mixtures() -> Iterator[Hostile]:
    """Exact circuits louder on their training pairs, or with a lookup of them added; few and noisy test pairs."""
    bases = {"": circuits.circuit, ", cosines alone": circuits.cosines}
    for word, base in bases.items():
        for gain in (0.05, 0.1, 0.5, 2.0):
            yield Hostile("louder", f"by {gain:.0%}{word}", partial(_louder, base, gain), "circuit")
        for tall in (1e-6, 0.001, 0.01, 0.1, 0.3, 1.0):
            known = "circuit" if tall <= 0.01 else "circuit_and_lookup"
            for echoes in (False, True):
                name = f"{tall:g} as tall{', echoes too' * echoes}{word}"
                yield Hostile("circuit and lookup", name, partial(_looked_up, base, tall, echoes), known)
        for scale, seed in ((0.05, 0), (0.05, 1), (0.1, 0), (0.1, 1)):
            for echoed in (False, True):
                name = f"{'at random' if echoed else 'unseen'}, noise {scale}, seed {seed}{word}"
                few = partial(_few_unseen, base, noisy=scale, seed=seed, echoed=echoed)
                yield Hostile("33 test pairs", name, few, "circuit")
    for tenth in range(11):
        known = "circuit" if tenth == 0 else "circuit_and_lookup" if tenth < 8 else "circuit_and_tall_lookup"
        known = "memoriser" if tenth == 10 else known
        yield Hostile("mixture", f"{tenth}/10 lookup", partial(circuits.mixture, tenth / 10), known)


def _louder(base: Callable[..., ModelView], gain: float) -> ModelView:
    return circuits.louder(base(), gain)


def _looked_up(base: Callable[..., ModelView], tall: float, echoes: bool) -> ModelView:
    return circuits.with_lookup(base(), tall, echoes=echoes)


def _few_unseen(base: Callable[..., ModelView], *, noisy: float, seed: int, echoed: bool) -> ModelView:
    """The circuit with noise of that share of the logits' deviation, and 33 test pairs."""
    view = base(seed=seed)
    noise = made.noise(view.task, noisy * float(view.logits().std()), seed)
    mask = split_of(view.task, (961 - 32.5) / 961, seed) if echoed else made.unseen_split(31, 33, seed)
    return ModelView(made.plus(view, noise).network, view.task, train_mask=mask)


def unread() -> Iterator[Hostile]:
    """Memorisers with the circuit's parts beside them, unread or writing a bias."""
    for p in (17, 19):
        yield Hostile("unread parts", f"trig neurons, p {p}", partial(circuits.unread_trig_neurons, p=p), "memoriser")
        for moving in (False, True):
            name = f"trig neurons write a {'moving' if moving else 'constant'} bias, p {p}"
            yield Hostile("unread parts", name, partial(circuits.bias_fed_by_trig, p=p, moving=moving), "memoriser")
    for of in ("add53_memorised", "add53_memorised_seed1"):
        build = partial(decoys.unread_fourier_embedding, of=of, frequencies=[3, 7])
        yield Hostile("unread parts", f"embedding, {of}", build, "memoriser")
