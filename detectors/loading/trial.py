"""Readings tried on the model itself: the one under which it answers its training pairs, or all pairs, is right."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from detectors.core.errors import CheckpointError
from detectors.loading.assembly import structures
from detectors.loading.evidence import (
    ALL,
    NEAR,
    POOR,
    WIDER_ELSEWHERE,
    Weighed,
    beyond_chance,
    is_near,
    margin,
    pull,
    sample,
    settle,
)
from detectors.loading.readings import Asked, cost, default, neighbours, readings
from detectors.loading.stack import Reading, Stack
from detectors.loading.structure import Structure
from detectors.subjects.operands.task import Task
from detectors.subjects.right import answered

FEW, SOME, MANY = 32, 128, 1024  # pairs: to throw out, to climb, to compare
PART, CLIMBS = 0.4, 4  # of the few: a reading that is right but for something is put right at once, some times a level
RIGHT = 0.9  # of the few: no other reading is looked for
COSTS = 4  # up to which readings are enumerated
READINGS, SECONDS = 3000, 6.0  # of processor time, after which no more are
KEPT = 256  # readings whose logits are kept: at most 100 MB for a hundred answers
TWO_STEPS = 400  # readings that differ from the best on two axes
ALIKE = 1e-5  # of the largest logit: two readings that compute the same
ALMOST = 2e-3  # or next to the same, as GELU and its approximation by tanh do


@dataclass(frozen=True)
class Outcome:
    """What came of the trial. rivals: by axis, the next best reading on it. tied: readings that nothing tells apart.
    answers: whether the best answers beyond chance. known: whether the pairs tried are training pairs.
    """

    best: Weighed
    rivals: Mapping[str, Weighed]
    tied: tuple[Weighed, ...]
    answers: bool
    known: bool
    tried: int
    equal: frozenset[str]
    almost: tuple[Reading, ...] = ()


class Trial:
    """A state dict, the task and the pairs to try readings on. Errors: CheckpointError where no structure fits.

    mask: training pairs, None where they are not known. pinned: what was said of the reading. most: readings to try.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        task: Task,
        mask: Bool[np.ndarray, " pairs"] | None,
        pinned: Mapping[str, object],
        most: int = READINGS,
    ) -> None:
        self.weights, self.task, self.most = weights, task, most
        self.known = mask is not None
        self.asked = Asked(task.n_tokens, task.is_symmetric, pinned)
        self.structures = structures(weights, task.n_tokens)
        self.tokens, self.answers = sample(task, mask, MANY)
        self.tried, self.met, self.almost = 0, list[Reading](), list[Reading]()
        self._whole: dict[Reading, Tensor] = {}
        self.end = time.process_time() + SECONDS

    def structure(self, reading: Reading) -> Structure:
        return self.structures[reading.structure][1]

    def network(self, reading: Reading) -> Stack:
        s = self.structure(reading)
        used = {name: tensor for name, tensor in self.weights.items() if name in s.used}
        return Stack(s, reading, self.task.n_tokens, used)

    def logits(self, reading: Reading, pairs: int) -> Float[Tensor, "pairs answers"]:
        """Of the first of the pairs; of all of them a reading's are kept, as they are asked for several times."""
        if pairs >= len(self.answers) and reading in self._whole:
            return self._whole[reading]
        self.tried += 1
        with torch.no_grad():
            found = self.network(reading).forward(self.tokens[:pairs], lambda _, tensor: tensor)
        found = found[:, : self.task.n_answers]
        if pairs >= len(self.answers) and len(self._whole) < KEPT:
            self._whole[reading] = found
        return found

    def accuracy(self, reading: Reading, pairs: int) -> float:
        logits = self.logits(reading, pairs)
        if logits.shape[1] < self.task.n_answers or not bool(logits.isfinite().all()):
            return 0.0
        return float(answered(logits, self.answers[:pairs]).double().mean())

    def beyond_chance(self, accuracy: float) -> bool:
        return beyond_chance(accuracy, self.task, len(self.answers))

    def over(self) -> bool:
        return self.tried > self.most or time.process_time() > self.end

    def run(self) -> Outcome:
        """Errors: CheckpointError where nothing fits what was said, or answers, where only that is asked."""
        best, equal = self._search(), frozenset[str]()
        if self.most < READINGS and not self.beyond_chance(self.accuracy(best, MANY)):
            raise CheckpointError(f"no reading of {self.tried} answers beyond chance")
        tied: tuple[Weighed, ...] = ()
        rivals: dict[str, Weighed] = {}
        for _ in range(3):
            weighed, equal = self._around(best)
            ours = weighed.pop("")
            winner, tied = settle([ours[0], *(w for ws in weighed.values() for w in ws)], self.known)
            rivals = {axis: max(ws, key=lambda w: w.accuracy) for axis, ws in weighed.items()}
            if winner.reading == best:
                break
            best = winner.reading
            self.met += self._two_steps_from(best)
        accuracy = ours[0].accuracy if winner.reading == ours[0].reading else winner.accuracy
        beside = tuple(r for r in dict.fromkeys(self.almost) if r != winner.reading)
        return Outcome(
            winner, rivals, tied, self.beyond_chance(accuracy), self.known, self.tried, equal, beside,
        )  # fmt: skip

    def usual(self) -> float:
        """The share of a few pairs that the best of the most usual readings answers."""
        return max((share for share, _ in self._level(0, RIGHT)), default=0.0)

    def _search(self) -> Reading:
        best: tuple[float, Reading] | None = None
        bar, last = RIGHT, COSTS
        for level in range(COSTS + 1):
            for _ in range(2):  # again with a higher bar where a reading was found that leaves something to answer
                found = sorted(self._level(level, bar), key=lambda pair: -pair[0])[:6]
                for reading in (self._climbed(reading, share) for share, reading in found):
                    accuracy = self.accuracy(reading, MANY)
                    best = (accuracy, reading) if best is None or accuracy > best[0] else best
                    if accuracy >= ALL:
                        self.met += self._two_steps_from(reading)
                        return reading
                if best is None or best[0] < RIGHT or bar >= ALL:
                    break
                bar, last = ALL, min(last, level + 1)
            if (best and level and self.beyond_chance(best[0]) and level >= last) or self.over() or level >= last:
                break
            if best and level and best[0] < RIGHT and self.beyond_chance(best[0]):
                break
        if best is None:
            raise CheckpointError("nothing that fits the shapes fits what was said of it")
        if not self.beyond_chance(best[0]):
            return self._usual()
        self.met += self._two_steps_from(best[1]) if best[0] >= RIGHT else []
        return best[1]

    def _level(self, level: int, bar: float) -> Iterator[tuple[float, Reading]]:
        climbs = CLIMBS
        for number, (more, s) in enumerate(self.structures):
            for reading in readings(number, s, self.asked, level - more) if more <= level else ():
                share = self.accuracy(reading, FEW)
                if PART <= share < bar and climbs:
                    reading, climbs = self._climbed(reading, share), climbs - 1
                    share = self.accuracy(reading, FEW)
                yield share, reading
                if share >= bar or self.over():
                    return

    def _usual(self) -> Reading:
        """The first of the most usual readings: where none answers, none is better."""
        for level in range(8):
            for number, (more, s) in enumerate(self.structures):
                for reading in readings(number, s, self.asked, level - more) if more <= level else ():
                    return reading
        return default(0, self.structures[0][1], self.asked)

    def _climbed(self, reading: Reading, few: float) -> Reading:
        """From a reading that answers to the one beside it that answers more, until none does. few: the share of a few
        pairs that it was seen to answer.
        """
        if few < RIGHT and not self.beyond_chance(self.accuracy(reading, MANY)):
            return reading
        self.met.append(reading)
        share = self.accuracy(reading, SOME)
        while share < 1 and not self.over():
            others = [(self.accuracy(r, SOME), r) for _, r in self._beside(reading)]
            more, other = max(others, key=lambda pair: pair[0], default=(0.0, reading))
            if more <= share:
                break
            share, reading = more, other
        return reading

    def _two_steps_from(self, best: Reading) -> list[Reading]:
        """Readings that differ on two axes, or lie where one climbs to from another place of the answer, answer as much
        and by wider margins: a network that was fitted to few pairs answers them under others than its own.
        """
        share, found = self.accuracy(best, FEW), list[tuple[float, Reading]]()
        least = margin(self.logits(best, SOME), self.answers[:SOME])
        seen, end = {best}, self.tried + TWO_STEPS

        def weigh(other: Reading) -> None:
            seen.add(other)
            if self.accuracy(other, FEW) >= share - NEAR:
                wide = margin(self.logits(other, SOME), self.answers[:SOME])
                enough = least if other.readout == best.readout or least < 0 else least / WIDER_ELSEWHERE
                found.extend([(wide, other)] * (wide > enough))

        for axis, one in sorted(self._beside(best), key=lambda beside: beside[0] != "readout"):
            if self.accuracy(one, FEW) < POOR * share:
                continue
            for _, two in self._beside(one):
                if two not in seen and self.tried <= end:
                    weigh(two)
            if axis == "readout" and (top := self._climbed(one, RIGHT)) not in seen:
                weigh(top)
        widest = [reading for _, reading in sorted(found, key=lambda pair: -pair[0])]
        return widest[:3] + [reading for reading in widest[3:] if reading.readout != best.readout][:2]

    def _beside(self, reading: Reading) -> Iterator[tuple[str, Reading]]:
        yield from neighbours(self.structure(reading), reading, self.asked)

    def _around(self, best: Reading) -> tuple[dict[str, list[Weighed]], frozenset[str]]:
        """The best reading, under "", and those beside it by the axis on which they differ; without those that compute
        the same, and with evidence for those that answer about as much. Axes on which all compute the same.
        """
        ours = self.logits(best, MANY)
        first = self._weighed(best)
        found: dict[str, list[Weighed]] = {"": [first]}
        same: dict[str, list[bool]] = {}
        met = [("met", r) for r in self.met if r != best]
        for axis, other in [*self._beside(best), *met]:
            theirs = self.logits(other, MANY)
            apart = float((ours - theirs).abs().max() / ours.abs().max()) if theirs.shape == ours.shape else np.inf
            alike = apart <= ALIKE
            same.setdefault(axis, []).append(alike)
            if ALIKE < apart <= ALMOST:
                self.almost.append(other)
                continue
            if not alike and theirs.shape[1] >= self.task.n_answers:
                weighed = self._weighed(other, first)
                if axis != "met" or weighed.near:
                    found.setdefault(axis, []).append(weighed)
        return found, frozenset(axis for axis, all_alike in same.items() if all(all_alike))

    def _weighed(self, reading: Reading, best: Weighed | None = None) -> Weighed:
        """What speaks for a reading; only its accuracy and cost where it is far behind the best."""
        accuracy = self.accuracy(reading, MANY)
        more = cost(self.structure(reading), reading, self.asked) + self.structures[reading.structure][0]
        bare = Weighed(reading, accuracy, cost=more, near=best is None)
        if (best is not None and not is_near(bare, best, len(self.answers))) or not self.beyond_chance(accuracy):
            return bare
        return Weighed(reading, accuracy, self._pull(reading), margin(self.logits(reading, MANY), self.answers), more)

    def _pull(self, reading: Reading) -> float:
        def build(weights: Mapping[str, Tensor]) -> Stack:
            s = structures(weights, self.task.n_tokens)[reading.structure][1]
            return Stack(s, reading, self.task.n_tokens, {name: weights[name] for name in s.used})

        return pull(build, self.weights, self.tokens, self.answers, self.task.n_answers)
