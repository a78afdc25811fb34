"""The story of a run: what happened when, and in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from detectors.core.phases import HALF, TRACE
from detectors.core.registry import known, spec_of
from detectors.core.verdict import Verdict
from detectors.series.curves import sentences
from detectors.series.events import gaps, lead, lost, onset, phases, rise
from detectors.series.story import Convergence, Course, Figures, Interval, Spectrum, Story, axes, last_known

SETTLED = 0.01  # of an accuracy: within that of its last value it has stopped
SHARPER = 0.02  # of a motif's value: more than noise of one checkpoint, less than any published sharpening
ECHOED = ("test", "unseen")


def told(story: Story) -> Story:
    """The same figures with what they say."""
    split = next((s for s in ("unseen", "test", "all") if last_known(story.accuracy[s]) is not None), "")
    risen = rise(story.steps, story.accuracy[split]) if split else None
    onsets = {name: onset(story.steps, course.present) for name, course in story.motifs.items()}
    found = story.model_copy(
        update={
            "onsets": onsets,
            "rise": risen,
            "rise_of": split,
            "lead": {} if split == "all" else _leads(onsets, risen),  # which hold what is looked up too
            "phases": phases(story.steps, story.g, story.m, story.accuracy["unseen"]),
            "convergence": {name: c for name in onsets if (c := _convergence(story, name, onsets[name], risen))},
        }
    )
    return found.model_copy(update={"telling": list(_sentences(found))})


def _leads(onsets: Mapping[str, Interval | None], risen: Interval | None) -> dict[str, tuple[int, int | None]]:
    return {name: between for name, first in onsets.items() if (between := lead(first, risen))}


def _convergence(story: Story, name: str, first: Interval | None, risen: Interval | None) -> Convergence | None:
    course = story.motifs[name]
    if all(e is None for e in course.effective) and not any(course.chosen):
        return None
    scored = [step for step, value in zip(story.steps, course.value, strict=True) if value is not None]

    def at(step: int | None) -> Spectrum | None:
        if step is None or step not in scored:
            return None
        i, end = story.steps.index(step), story.steps.index(scored[-1])
        kept = len(set(course.chosen[i]) & set(course.chosen[end]))
        rank = len(course.chosen[i])
        return Spectrum(step=step, rank=rank, effective=course.effective[i], concentration=course.value[i], kept=kept)

    return Convergence(onset=at(first[1] if first else None), rise=at(risen[1] if risen else None), end=at(scored[-1]))


def _sentences(story: Story) -> Iterator[str]:
    if len(story.steps) - len(story.untold) < 2:
        yield "One checkpoint tells no story: an onset, a rise and phases need several."
    yield from _accuracy(story)
    yield from _circuit(story)
    yield from _lookup(story)
    for name in story.convergence:
        yield from _transition(story, name)
    for name, course in story.motifs.items():
        yield from _sharpening(story, name, course)
    yield from _open(story)
    if story.curves:
        yield sentences(story.curves)[0]
    if story.untold:
        steps = ", ".join(map(grouped, story.untold))
        yield f"Not scored: {steps}. An interval that ends beside one of these is wider for it."


def _accuracy(story: Story) -> Iterator[str]:
    test, unseen = (story.accuracy[split] for split in ECHOED)
    if not story.rise_of:
        return
    of_pairs = _of_pairs(story)
    if story.rise_of != "unseen" and of_pairs:
        yield (
            "The training pairs are unknown, so unseen pairs cannot be told from others, and there are no phases: pass "
            "--train-indices FILE or --train-split FRACTION:SEED. What is said of a lookup rests at each checkpoint on "
            "the pairs that its own loss shows."
        )
    early = rise(story.steps, test) if story.rise_of == "unseen" else None
    i = story.steps.index(early[1]) if early is not None else 0
    if early is not None and (story.rise is None or early[1] < story.rise[1]) and (unseen[i] or 0.0) <= HALF:
        none = "not one unseen pair is" if unseen[i] == 0 else f"of the unseen pairs {unseen[i]:.1%} are"
        yield (
            f"Accuracy on test pairs leaps to {test[i]:.2f} at {grouped(early[1])}, where {none} answered: these are "
            "echoes, flips (b, a) of training pairs, which a lookup up to order answers as well."
        )
        first = onset(story.steps, [None if a is None else a > 0 for a in unseen])
        if unseen[i] == 0 and first is not None and first[0] is not None:
            value = unseen[story.steps.index(first[1])]
            yield f"Unseen pairs come after {grouped(first[0])}: {value:.3f} of them are right at {grouped(first[1])}."
    of = {"unseen": "unseen pairs", "test": "test pairs", "all": "all pairs, trained on or not,"}[story.rise_of]
    of = of if of_pairs else "what is asked"
    accuracy = story.accuracy[story.rise_of]
    over = [None if a is None else a > HALF for a in accuracy]
    end, gone = last_known(accuracy), lost(story.steps, over)
    if story.rise is None:
        yield f"Accuracy on {of} never passes one half for good; it ends at {end:.3f}."
        return
    yield f"Accuracy on {of} passes one half {between(story.rise)}."
    for without in gaps(story.steps, over):
        yield f"It is under one half {_from_to(without)}, and comes back."
    if gone is not None:
        yield f"It falls under one half again {between(gone)}, and ends at {end:.3f}."


def _of_pairs(story: Story) -> bool:
    """Whether its model takes two operands, and no sequences or features."""
    functions = [function for name in story.motifs if (function := known(name))]
    return not functions or any(spec_of(function).subject == "operands" for function in functions)


def _circuit(story: Story) -> Iterator[str]:
    """When what generalises set in, the motifs that a release wants, earliest first."""
    good = {n: first for n, first in story.onsets.items() if first is not None and _news(n) == "good"}
    if not good:
        yield "No motif of a circuit sets in."
    for name, first in sorted(good.items(), key=lambda item: item[1][1]):
        before = f", {_before(*story.lead[name])}" if name in story.lead else ""
        yield f"{name} sets in {between(first)}{before}."
        course = story.motifs[name]
        said = [v is Verdict.PRESENT if v in (Verdict.PRESENT, Verdict.ABSENT) else None for v in course.verdict]
        for without in gaps(story.steps, said):
            yield f"{name} is absent {_from_to(without)}, and comes back."
        if gone := lost(story.steps, said):
            yield f"{name} is absent again {between(gone)}."


def _lookup(story: Story) -> Iterator[str]:
    """When the lookup was gone, after it was there."""
    m = [(step, value) for step, value in zip(story.steps, story.m, strict=True) if value is not None]
    there = [step for step, value in m if value >= HALF]
    if not there:
        return
    gone = onset([s for s, _ in m if s > there[-1]], [value < TRACE for s, value in m if s > there[-1]])
    name = axes()["M"]
    if gone is None:
        yield f"The lookup stays: M of {name} ends at {m[-1][1]:.2f}."
    else:
        before = there[-1] if gone[0] is None else gone[0]
        yield f"The lookup is gone (M under {TRACE}) {between((before, gone[1]))}."


def _open(story: Story) -> Iterator[str]:
    """What no checkpoint could say, and why: those of one reason together."""
    by_reason: dict[str, list[str]] = {}
    for name, course in story.motifs.items():
        if course.open:
            by_reason.setdefault(course.open, []).append(name)
    for reason, names in by_reason.items():
        yield f"Not to be said at any checkpoint: {', '.join(names)} ({reason})."


def _transition(story: Story, name: str) -> Iterator[str]:
    """What is read of a spectrum where the accuracy rises beside what it comes to (arXiv:2607.06639)."""
    c = story.convergence[name]
    if c.rise is None or c.end is None or c.rise.step == c.end.step:
        return
    at, then = f"at {grouped(c.rise.step)}", f"at {grouped(c.end.step)}"
    said = []
    if c.rise.effective and c.end.effective:
        said.append(f"its power lies in {c.rise.effective:.1f} irreps {at} and in {c.end.effective:.1f} {then}")
    if c.rise.rank and c.end.rank:
        said.append(f"beyond chance {c.rise.rank} {at} and {c.end.rank} {then}, {c.rise.kept} in both")
    if said:
        yield f"{name}: {'; '.join(said)}."


def _sharpening(story: Story, name: str, course: Course) -> Iterator[str]:
    """A structure that goes on when the accuracy has stopped."""
    function = known(name)
    if story.rise is None or function is None or not spec_of(function).carrier:
        return
    stop = _stopped(story.steps, story.accuracy[story.rise_of])
    values = dict(zip(story.steps, course.value, strict=True))
    at, end = values.get(stop) if stop is not None else None, last_known(course.value)
    if at is None or end is None or stop is None or end - at < SHARPER:
        return
    yield (
        f"{name} goes on sharpening after the accuracy has stopped at {grouped(stop)}: its value is {at:.2f} there and "
        f"{end:.2f} at {grouped(story.steps[-1])}."
    )


def _stopped(steps: Sequence[int], accuracy: Figures) -> int | None:
    """The first step from which an accuracy stays where it ends."""
    end = last_known(accuracy)
    if end is None:
        return None
    known = [(s, abs(a - end) <= SETTLED) for s, a in zip(steps, accuracy, strict=True) if a is not None]
    moving = [i for i, (_, still) in enumerate(known) if not still]
    return known[moving[-1] + 1][0] if moving else known[0][0]


def _news(name: str) -> str:
    function = known(name)
    return spec_of(function).news if function else "good"


def _before(least: int, most: int | None) -> str:
    if most is not None and most <= 0:
        return f"{grouped(-most)} to {grouped(-least)} steps after the accuracy"
    if least >= 0:
        return f"{grouped(least)} to {grouped(most)} steps before the accuracy" if most else "before the accuracy"
    return "between the same checkpoints as the accuracy, or next to them"


def between(interval: Interval) -> str:
    """An interval of steps in words.

    >>> between((None, 0)), between((800, 1600))
    ('by step 0, the first checkpoint', 'between 800 and 1,600')
    """
    before, then = interval
    return (
        f"by step {grouped(then)}, the first checkpoint"
        if before is None
        else f"between {grouped(before)} and {grouped(then)}"
    )


def _from_to(stretch: tuple[int, int]) -> str:
    return f"from {grouped(stretch[0])} to {grouped(stretch[1])}"


def grouped(step: int) -> str:
    return f"{step:,}"
