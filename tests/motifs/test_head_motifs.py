"""Motifs of heads on models that were written down head by head: found where they were put, and nowhere else.

Numbers from 100 on are of no model that thresholds were set on.
"""

import importlib
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

import detectors
from detectors.core.errors import NotApplicable
from detectors.motifs.induction_heads import clause
from detectors.subjects.sequences import positions as room
from detectors.subjects.sequences.patterns import Looks, beyond_rivals
from detectors.subjects.sequences.view import SequenceView
from models_zoo.sequences import bench


@cache
def view(kind: str, number: int = 100) -> SequenceView:
    return bench.view(f"written.{kind}/{number}")


@cache
def report(kind: str, number: int = 100):
    return detectors.run(view(kind, number))


def found(motif: str, kind: str, number: int = 100) -> str:
    return str(report(kind, number)[motif].verdict)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("number", [100, 101, 102])
def test_motifs_are_found_where_they_were_put(number):
    assert found("induction_heads", "induction", number) == "present"
    assert found("previous_token_heads", "induction", number) == "present"
    assert found("copying_heads", "induction", number) == "present"
    assert found("head_composition", "induction", number) == "present"
    assert found("duplicate_token_heads", "duplicates", number) == "present"
    assert found("successor_heads", "sorting", number) == "present"
    assert found("mirror_heads", "mirrors", number) == "present"
    assert found("averaging_heads", "cumulative", number) == "present"
    assert found("position_heads", "reversing", number) == "present"
    assert found("digit_alignment_heads", "digits", number) == "present"
    assert found("copy_suppression_heads", "missing", number) == "present"


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("motif", "kind"),
    [
        ("duplicate_token_heads", "shared_duplicates"),
        ("successor_heads", "shared_sorting"),
        ("mirror_heads", "shared_mirrors"),
    ],
)
def test_heads_that_share_a_job_are_all_found(motif, kind):
    """Each alone loses little, and gives answers back to a model without any."""
    detection = report(kind)[motif]
    present = [h for h in detection.evidence["heads"] if h["verdict"] == "present"]
    assert len(present) >= 2
    assert detection.evidence["group"] > 0.2


def test_the_heads_are_named():
    heads = report("induction")["induction_heads"].evidence["heads"]
    assert [(h["layer"], h["head"], h["verdict"]) for h in heads] == [(1, 0, "present")]
    assert heads[0]["copies"] == 1
    against = {k: -w if k == "blocks.1.attn.W_O" else w for k, w in view("induction").weights.items()}
    network = type(view("induction").network)(against, view("induction").network.config)
    score = detectors.induction_heads(SequenceView(network, "repeat"))
    assert score.heads[0]["copies"] == -1
    assert clause(score) == "1.0 of induction's shape, against what it sees"
    next_one = {**view("induction").weights}
    next_one["unembed.W_U"] = next_one["unembed.W_U"].roll(1, 1)
    says_another = detectors.induction_heads(
        SequenceView(type(view("induction").network)(next_one, network.config), "repeat")
    )
    assert says_another.heads[0]["copies"] is None
    assert clause(says_another) == "induction by head 1.0"
    both = replace(score, heads=(*score.heads, {**score.heads[0], "head": 1, "copies": 1}))
    assert clause(both) == "induction by head 1.1 (1.0 of induction's shape, against what it sees)"
    before = report("induction")["previous_token_heads"].evidence["heads"][0]
    assert (before["layer"], before["head"]) == (0, 0)
    composed = report("induction")["head_composition"].evidence["heads"][0]
    assert (composed["layer"], composed["head"], composed["with"], composed["way"]) == (1, 0, "0.0", "K")
    assert composed["ratio"] > 1.5
    assert report("induction").summary.count("by head 1.0") >= 2


@pytest.mark.wide
def test_a_place_has_a_verdict_of_its_own():
    for kind, place in (("digits", 0), ("digits_below", -1)):
        heads = report(kind)["digit_alignment_heads"].evidence["heads"]
        assert heads
        for head in heads:
            assert [p["verdict"] for p in head["places"] if p["place"] == place] == ["present"]
            assert all(p["place"] == place or p["verdict"] != "present" for p in head["places"])


@pytest.mark.parametrize("below", [0, -1])
def test_every_place_that_has_digits_is_asked_for_the_units_too(below):
    """The answer has a place more than the operands, and below its units there is none."""
    from detectors.motifs.digit_alignment_heads import _places, _scored
    from detectors.subjects.sequences.patterns import sample_of

    model = view("digits")
    sample = sample_of(model)
    looks, places = _scored(model, sample, below, 19, 0)[0].looks, _places(model, sample, below)
    queries = looks.at.any(2).any(0)
    assert set(places.wanted[queries].tolist()) == set(range(model.task.parameters["num_digits"]))
    assert looks.at[:, queries].sum(2).max() == 2  # one digit of either operand


DECOYS = {
    "lagged": "a head that looks back by the lag that all copies have",
    "second_half": "heads that look at the second half",
    "cumulative": "a head that looks at all alike",
    "reversing": "a head that looks at places",
}


@pytest.mark.parametrize("kind", DECOYS)
def test_decoys_of_motifs_by_content_are_none(kind):
    assert found("induction_heads", kind) in ("absent", "not_applicable")
    assert found("duplicate_token_heads", kind) in ("absent", "not_applicable")
    assert found("successor_heads", kind) == "absent"
    assert found("mirror_heads", kind) in ("absent", "not_applicable")
    assert found("previous_token_heads", kind) == "absent"
    assert found("head_composition", kind) == "not_applicable"  # one layer


def test_decoys_of_motifs_by_position_shape_and_weights_are_none():
    for kind in ("duplicates", "sorting", "mirrors"):
        assert found("position_heads", kind) == "absent"
        assert found("averaging_heads", kind) == "absent"
    assert found("averaging_heads", "second_half") == "absent"
    assert found("position_heads", "cumulative") == "absent"
    assert found("copying_heads", "missing") == "absent"
    assert found("copy_suppression_heads", "sorting") == "absent"
    assert found("copying_heads", "digits") == "absent"
    assert found("digit_alignment_heads", "second_half") == "not_applicable"
    with pytest.raises(NotApplicable, match="num_digits"):
        detectors.digit_alignment_heads(view("sorting"))


@pytest.mark.parametrize("kind", ["duplicates", "shared_duplicates", "unread"])
def test_a_head_that_looks_at_equal_tokens_wherever_they_are_compares_no_mirror_images(kind):
    detection = report(kind)["mirror_heads"]
    assert detection.verdict == "absent"
    assert detection.score < 0.12


def test_mass_beyond_rivals_counts_queries_with_both_alone():
    at, rivals = torch.zeros(2, 1, 3, 4, dtype=torch.bool)
    at[0, :, 0] = True
    rivals[0, :2, 2:] = True  # two rivals of the first two queries, none of the third
    pattern = torch.tensor([[0.6, 0.0, 0.1, 0.3], [0.6, 0.0, 0.3, 0.1], [0.0, 1.0, 0.0, 0.0]])[None, None]
    found = beyond_rivals(pattern, Looks(at, None, rivals))
    assert found.tolist() == pytest.approx([1 - 0.2 / 0.6])
    assert beyond_rivals(pattern, Looks(at, None, at)).tolist() == [0]
    assert (
        beyond_rivals(pattern, Looks(at, None, rivals & False)).tolist() == beyond_rivals(pattern, Looks(at)).tolist()
    )
    assert beyond_rivals(pattern, Looks(at)).tolist() == [1]


def test_a_head_that_nothing_reads_is_inert():
    detection = report("unread")["duplicate_token_heads"]
    assert detection.verdict == "inert"
    assert detection.score > 0.9


@pytest.mark.wide
@pytest.mark.parametrize("kind", ["induction", "sorting", "digits", "duplicates"])
def test_shuffled_weights_have_no_motif(kind):
    shuffled = detectors.run(bench.view(f"shuffled/{kind}.100"))
    assert {str(d.verdict) for d in shuffled}.isdisjoint({"present", "inert"})


def shifted(looks: Looks) -> Looks:
    """The key before what is asked for."""
    return Looks(looks.at.roll(-1, 2), None if looks.not_at is None else looks.not_at.roll(-1, 2))


MUTANTS = {
    "induction_heads": ("induction", "behind_a_copy", shifted),
    "duplicate_token_heads": ("duplicates", "copies", shifted),
    "successor_heads": ("sorting", "next_larger", shifted),
    "mirror_heads": ("mirrors", "mirrored", lambda looks: Looks(looks.not_at, looks.at)),
}


@pytest.mark.parametrize("motif", MUTANTS)
def test_a_template_that_names_another_key_is_noticed(motif, monkeypatch):
    kind, name, change = MUTANTS[motif]
    module = importlib.import_module(f"detectors.motifs.{motif}")
    template = getattr(module, name)
    before = getattr(detectors, motif)(view(kind)).value
    monkeypatch.setattr(module, name, lambda sample: change(template(sample)))
    assert before > 0.25
    assert getattr(detectors, motif)(view(kind)).value < 0.25 * before


def test_mutants_of_positions_shapes_and_weights(monkeypatch):
    kinds = {"previous_token_heads": "induction", "digit_alignment_heads": "digits"}
    real = room.positional

    def moved(model, sample, places, **more):
        return real(model, sample, places._replace(wanted=places.wanted.roll(2)), **more)

    for motif, kind in kinds.items():
        before = getattr(detectors, motif)(view(kind)).value
        monkeypatch.setattr(room, "positional", moved)
        if motif == "digit_alignment_heads":
            monkeypatch.setattr(importlib.import_module(f"detectors.motifs.{motif}"), "positional", moved)
        assert getattr(detectors, motif)(view(kind)).value < 0.5 * before
        monkeypatch.undo()
    assert detectors.copying_heads(view("missing")).value < 0.1 < 0.9 < detectors.copying_heads(view("sorting")).value
    suppressed = detectors.copy_suppression_heads
    assert suppressed(view("sorting")).value < 0.1 < 0.9 < suppressed(view("missing")).value
    assert detectors.averaging_heads(view("sorting")).value < 0.74 < detectors.averaging_heads(view("cumulative")).value
    assert detectors.position_heads(view("sorting")).value < 0.86 < detectors.position_heads(view("reversing")).value


@pytest.mark.wide
def test_every_motif_has_its_picture_and_the_query_that_is_drawn_is_one_where_it_works():
    def drawn(motif: str, kind: str) -> list[str]:
        score = report(kind)[motif].scored
        assert score.seen.query in (score.heads[0]["positions"] or [score.seen.query])
        return [picture.title for picture in report(kind)[motif].pictures]

    assert drawn("induction_heads", "induction") == [
        "Head 1.0, its mean pattern",
        "The motif",
        "Head 1.0 on one sequence",
    ]
    assert len(drawn("previous_token_heads", "induction")) == 3
    assert len(drawn("duplicate_token_heads", "duplicates")) == 3
    assert len(drawn("successor_heads", "sorting")) == 3
    assert len(drawn("mirror_heads", "mirrors")) == 3
    assert len(drawn("digit_alignment_heads", "digits")) == 3
    assert len(drawn("averaging_heads", "cumulative")) == 3
    assert drawn("position_heads", "reversing")[0] == "Scores of the heads"  # the mean pattern is the motif
    assert len(drawn("copying_heads", "sorting")) == 2
    assert len(drawn("copy_suppression_heads", "missing")) == 2
    assert len(drawn("head_composition", "induction")) == 2


def test_values_depend_neither_on_length_nor_on_vocabulary():
    views = [view("duplicates", n) for n in range(100, 108)]
    assert len({(v.network.n_tokens, v.network.n_ctx) for v in views}) >= 6
    assert sum(detectors.duplicate_token_heads(v).value > 0.9 for v in views) >= 5  # the others are soft


def test_a_head_that_works_at_some_places_says_which():
    """The first copy is all that is looked at."""
    for number in range(100, 104):
        score = detectors.previous_token_heads(view("short_induction", number))
        places = score.heads[0]["positions"]
        assert places == list(range(2, len(places) + 2))  # before the first one stands the start, which is no place
        assert len(places) < view("short_induction", number).sample.tokens.shape[1] / 2


def test_the_rotation_null_is_one_over_the_root_of_the_width():
    from detectors.motifs.head_composition import _most, _ratio, _read_off, _turned

    generator, width = torch.Generator().manual_seed(0), 64
    for rank in (16, 40, 64):
        factors = torch.randn(4, width, rank, generator=generator).double()
        a, b = (_read_off(x @ y.T) for x, y in factors.unflatten(0, (2, 2)))
        assert len(a.values) == len(b.values) == rank
        drawn = _turned(a.values, b.values, width, 400, np.random.default_rng(0))
        assert float(drawn.square().mean().sqrt()) == pytest.approx(1 / 8, rel=0.03)
        turns = torch.linalg.qr(torch.randn(400, width, width, generator=generator).double()).Q
        true = torch.stack([_ratio(a._replace(matrix=a.matrix @ turn), b) for turn in turns])
        assert ks_2samp(drawn, true).pvalue > 0.001  # a rotation in full, of the whole width
        assert float(drawn.max()) < float(_most(a.values, b.values))
    one, nothing = _read_off(torch.eye(64).double()), _read_off(torch.zeros(64, 64).double())
    assert float(_ratio(one, one)) == pytest.approx(1 / 8)
    assert float(_most(one.values, one.values)) == pytest.approx(1 / 8)
    assert _turned(one.values, nothing.values, 64, 5, np.random.default_rng(0)).tolist() == [0.0] * 5
