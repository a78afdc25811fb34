"""The circuit of a two-operand model as a program of a few lines, and how far that is the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from detectors.core.concentrated import CONCENTRATED
from detectors.core.errors import NotApplicable, Undetermined
from detectors.core.nulls import key_cut, permutations, subset
from detectors.core.picture import Bars, Picture
from detectors.core.spectrum import BUDGET
from detectors.program.source import written
from detectors.subjects.operands.lookup import lookup_of
from detectors.subjects.operands.relabelling import null_sample, relabelled_cosines
from detectors.subjects.operands.split import MIN_UNSEEN
from detectors.subjects.operands.structured import g_of
from detectors.subjects.operands.terms import (
    Fidelity,
    Pairs,
    Term,
    best_fitted,
    discs,
    fidelity,
    some_pairs,
    strongest,
    sums,
)
from detectors.subjects.operands.view import ModelView

FITTED, FITTED_SHARE = 4096, 0.3  # pairs that the numbers come from, at most; the others judge them
NULL_DRAWS = 99  # relabellings that name the irreps: enough for a cut that chance passes once in 100
VISIBLE = 0.005  # cosine of a character with the logits: the cut for a learnt irrep in the code of arXiv:2302.03025
MOST = 24  # terms, one a line
GENERALISES, LOOKED_UP = (
    0.5,
    0.3,
)  # G and M: memorisers of the table have 0 and 0.7 to 1, generalisers 1 and 0.2 at most
AGREES = 0.9  # of the pairs: of fewer answers it is no account of the model


@dataclass(frozen=True, kw_only=True)
class Program:
    """source: the text, which runs with Python and NumPy alone. fidelity: on pairs that it was not fitted on. null: the
    same of equally long programs fitted to the model with its tokens renamed at random. irreps: one a term, the
    strongest first; disc: whether any term has the factor of discs. by_terms, null_by_terms: fidelity of the first
    term, the first two, and so on, of the program and of each of the others.
    """

    source: str
    fidelity: Fidelity
    null: tuple[Fidelity, ...]
    irreps: tuple[str, ...]
    disc: bool
    fitted_pairs: int
    by_terms: tuple[Fidelity, ...]
    null_by_terms: tuple[tuple[Fidelity, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "source": self.source,
            "fidelity": self.fidelity._asdict(),
            "null": [f._asdict() for f in self.null],
            "irreps": list(self.irreps),
            "disc": self.disc,
            "fitted_pairs": self.fitted_pairs,
            "by_terms": [f._asdict() for f in self.by_terms],
            "null_by_terms": [[f._asdict() for f in draw] for draw in self.null_by_terms],
        }

    def picture(self) -> Picture:
        """Share of the logits explained against the number of terms, beside the best of the null."""
        names = [f"{k}: {name}" for k, name in enumerate(self.irreps, 1)]
        best = [max(0.0, *(draw[k].explained for draw in self.null_by_terms)) for k in range(len(self.by_terms))]
        return Picture(
            title="Fidelity against the number of terms",
            reading="How much of the logits so many terms explain, on pairs that they were not fitted on.",
            data=Bars(
                names=names,
                heights=[max(0.0, f.explained) for f in self.by_terms],
                chance=best,
                key=names,
                unit="share of the logits",
                form=".0%",
                of="term",
                band="programs fitted to renamed tokens, the best",
            ),
        )


def program_of(model: ModelView, *, draws: int = 5, seed: int = 0) -> Program:
    """A model's circuit as a NumPy program of at most 60 lines, where its logits are a sum of few terms.

    draws: of the null. Errors: NotApplicable where the task has no group, or where no such program is the model, as of
    a lookup table; the sentence says why.

    >>> import detectors, models_zoo
    >>> program = detectors.program_of(models_zoo.trig_mlp(p=11, frequencies=(3,), act_fn="abs"))
    >>> program.irreps, program.disc, program.fidelity.agreement, round(program.fidelity.explained, 2)
    (('freq_3',), True, 1.0, 1.0)
    """
    if model.kind != "operands":
        raise NotApplicable(f"no program: one is written of a model of two operands, and this one reads {model.reads}")
    grid, group = model.plane, model.group
    _check_circuit(model, seed)
    fit, rest = _dealt(model, seed)
    chosen = _key_irreps(model, fit, seed)
    if not chosen:
        raise NotApplicable("no program: no irrep of its logits is beyond chance, so there is no circuit to write down")
    inside, outside = some_pairs(model, fit), some_pairs(model, rest)
    terms = best_fitted(group, inside, chosen, discs(model))
    disc = any(term.offset is not None for term in terms)
    by_terms = _by_terms(model, terms, outside)
    if by_terms[-1].agreement < AGREES:
        raise NotApplicable(
            f"no program: a sum of its {len(terms)} key irreps gives the model's own answer on "
            f"{by_terms[-1].agreement:.1%} of the pairs that it was not fitted on, so what answers is something else"
        )
    null = tuple(
        _renamed(model, (inside, outside), perm, len(terms), disc) for perm in permutations(grid.n, draws, seed)
    )
    last = tuple(draw[-1] for draw in null)
    return Program(
        source=written(model, terms, by_terms[-1], last, len(fit)),
        fidelity=by_terms[-1],
        null=last,
        irreps=tuple(group.irreps[term.irrep].name for term in terms),
        disc=disc,
        fitted_pairs=len(fit),
        by_terms=by_terms,
        null_by_terms=null,
    )


def _check_circuit(model: ModelView, seed: int) -> None:
    """NotApplicable where what answers is a lookup table, or nothing is known to generalise."""
    grid, split = model.plane, model.split
    try:
        pairs, _ = split.basis(grid)
    except Undetermined:  # then the program's own fidelity decides
        pairs = None
    m = _looked_up(model)
    if pairs is not None and (g := g_of(grid, pairs, seed).g) < GENERALISES:
        looked_up = "its training pairs are looked up, and a table has no shorter account than itself"
        raise NotApplicable(
            f"no program: too little of its logits generalises (G {g:.2f}, M {m:.2f}): "
            f"{looked_up if m >= LOOKED_UP else 'its answers follow no rule of this group'}"
        )
    if m >= LOOKED_UP:
        raise NotApplicable(
            f"no program: of the margin by which its training pairs are answered {m:.0%} is looked up (M {m:.2f}), "
            "which no program of few lines holds"
        )
    if grid.concentration < CONCENTRATED:
        raise NotApplicable(
            f"no program: the spectrum of its logits is flat (concentration {grid.concentration:.2f}), all irreps "
            "alike, as a table's is"
        )


def _looked_up(model: ModelView) -> float:
    """M, 0 where it is not known."""
    grid, split = model.plane, model.split
    if not split.known or split.assumption or split.train is None or split.unseen is None:
        return 0.0
    train, unseen = split.train[grid.pairs], split.unseen[grid.pairs]
    few = min(int(train.sum()), int(unseen.sum())) < MIN_UNSEEN
    return 0.0 if few else max(0.0, lookup_of(grid, train, unseen).m)


def _dealt(model: ModelView, seed: int) -> tuple[Tensor, Tensor]:
    """The labelled pairs to fit on, and those to judge by: neither fitted on nor the flip of one that is the same
    question, as many as a chunk of memory holds.
    """
    grid = model.plane
    total = grid.n**2
    fit = subset(total, min(FITTED, max(1, int(FITTED_SHARE * total))), seed)
    rest = torch.ones(total, dtype=torch.bool)
    rest[fit] = rest[grid.flip[fit]] = False
    others = rest.nonzero()[:, 0]
    return fit, others[subset(len(others), BUDGET // grid.n, seed)]


def _key_irreps(model: ModelView, fit: Tensor, seed: int) -> list[int]:
    """Those that the logits hold beyond chance, the strongest first, as indices into `group.irreps`."""
    cosines = model.plane.cosines(fit)
    null = relabelled_cosines(model.plane, null_sample(fit, seed), NULL_DRAWS, seed)
    cut = key_cut(null.clamp_min(0).square())
    ranked = cosines.argsort(descending=True, stable=True).tolist()
    return [i + 1 for i in ranked if cosines[i] > VISIBLE and cosines[i] ** 2 > cut[i]][:MOST]


def _by_terms(model: ModelView, terms: list[Term], pairs: Pairs) -> tuple[Fidelity, ...]:
    return tuple(fidelity(made, pairs) for made in sums(model.group, terms, pairs))


def _renamed(
    model: ModelView, pairs: tuple[Pairs, Pairs], perm: Tensor, count: int, disc: bool
) -> tuple[Fidelity, ...]:
    """Fidelity of a program of as many terms, made of the same pairs under other names."""
    inside, outside = (side.renamed(perm) for side in pairs)
    irreps = strongest(model.group, inside, count)
    terms = best_fitted(model.group, inside, irreps, range(1, model.group.order) if disc else ())
    return _by_terms(model, terms, outside)
