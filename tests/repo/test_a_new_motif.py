"""What one writes for a new motif: a detector, a picture, a clause. Everything else shows it without another line."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

MOTIF = '''
"""The right answer stands out: mean lead of its logit, in standard deviations.

Source: none, an example.

Score: 0 is no lead, 1 a lead of one deviation. Null: none is drawn.

What fools it: a lookup table.
"""
from dataclasses import dataclass
from detectors import Null, Score, detector
from detectors.core.score import for_picture


@dataclass(frozen=True, kw_only=True, slots=True)
class LoudAnswers(Score):
    """Evidence. pairs: how many. loudest: tokens whose lead is largest. leads: of each left token, for the picture."""

    pairs: int
    loudest: tuple[str, ...]
    leads: tuple[float, ...] | None = for_picture()


@detector(
    needs=("logits",),
    version=3,
    source="arXiv:2301.05217",
    formula=r"L(a, b, a+b) > 0_{\\text{everywhere}}",
    news="bad",
    chose="loudest",
    clause=lambda score: f"its answers are loud ({score.value:.1f})",
    causal=False,
)
def loud_answers(model, /, *, draws: int = 199, seed: int = 0) -> LoudAnswers:
    """The right answer stands out."""
    logits = model.logits().double()
    leads = (logits.max(1).values / logits.std()).reshape(model.task.n_tokens, -1).mean(1)
    order = leads.argsort(descending=True).tolist()
    value = float(leads.mean().clamp(0, 1))
    least = 1 / (draws + 1)
    return LoudAnswers(
        null=Null(permuted="nothing", draws=draws, mean=0.0, p_value=least, smallest=least),
        value=value, causal=None, pairs=len(logits),
        loudest=tuple(f"token {i}" for i in order[:2]), leads=tuple(leads.tolist()),
    )
'''
PICTURE = """
from detectors.core.picture import Picture, Shares


def picture(score):
    if score.leads is None:
        return []
    names = [f"token {i}" for i in range(3)]
    return [Picture(title="Leads of the first tokens", reading="Longer is louder.",
                    data=Shares(names=names, shares=[min(1, x) for x in score.leads[:3]]))]
"""
SCRIPT = """
import json, sys
import detectors, models_zoo
from detectors.core import registry
from detectors.judging.calibration import calibration
from detectors.report.markdown import to_markdown
from detectors.report.report import Report

row = calibration()["rows"]["generalisation"]  # what a calibration would give it: the verdict is then one
calibration()["rows"]["loud_answers"] = {**row, "threshold": 0.5, "version": 3}
report = detectors.run(models_zoo.trig_mlp(p=11, frequencies=(3,), train_fraction=0.5))
sys.path.insert(0, sys.argv[1])
import hooks
again = Report.model_validate_json(report.to_json())
print(json.dumps({
    "names": registry.names(),
    "terminal": str(report),
    "summary": report.summary,
    "markdown": to_markdown(report),
    "json": report.to_dict()["detections"][-1],
    "html": report.to_html().split("<script>/**")[0],
    "restored": [type(again[-1].scored).__name__, again[-1].pictures],
    "docs": [hooks.motifs(), hooks.page("loud_answers", [])],
}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A package of somebody else's, as pip would leave it; the environment that has it on its path."""
    site = tmp_path_factory.mktemp("site")
    package, info = site / "others", site / "others-1.dist-info"
    package.mkdir()
    info.mkdir()
    for file, text in (("__init__", ""), ("loud_answers", MOTIF), ("loud_answers_picture", PICTURE)):
        (package / f"{file}.py").write_text(text)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[detectors.motifs]\nloud_answers = others.loud_answers:loud_answers\n")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])}


def run(installed, *arguments):
    return subprocess.run([sys.executable, *map(str, arguments)], env=installed, capture_output=True, text=True)


def test_a_new_motif_is_seen_everywhere(installed, request):
    done = run(installed, "-c", SCRIPT, request.config.rootpath / "docs")
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["names"][-1] == "loud_answers"
    line = next(line for line in seen["terminal"].splitlines() if line.startswith("loud_answers"))
    assert "token" in line
    assert "key irreps, loudest" in seen["terminal"]
    assert seen["summary"].endswith("; its answers are loud (1.0).")
    assert "| loud\\_answers | present |" in seen["markdown"]
    assert seen["json"]["verdict"] == "present"
    assert set(seen["json"]["evidence"]) == {"pairs", "loudest"}
    for shown in (
        "The right answer stands out",
        "<mtext>everywhere</mtext>",
        "Leads of the first tokens",
        "Longer is louder.",
    ):
        assert shown in seen["html"]
    assert seen["restored"] == ["LoudAnswers", []]  # the arrays of a picture are no part of the document
    listed, page = seen["docs"]
    assert "(motifs/loud_answers.md)" in listed
    assert "<mtext>everywhere</mtext>" in page
    assert "a lead of one deviation" in " ".join(page.split())


@pytest.mark.wide
def test_the_commands_know_it_too(installed, tmp_path):
    listed = run(installed, "-m", "detectors.cli", "list")
    assert "loud_answers" in listed.stdout
    assert "The right answer stands out" in listed.stdout
    policy = tmp_path / "x.gate.toml"
    policy.write_text('bounds = ["loud_answers.pairs >= 225"]\nmust = { loud_answers = "present" }\n')
    gate = run(installed, "-m", "detectors.cli", "gate", "zoo:d15_mlp", "--policy", policy)
    assert gate.returncode == 1  # without a calibration it is inconclusive, and so fails
    assert "no calibrated threshold" in gate.stdout


@pytest.mark.wide
def test_news_of_a_bad_motif_turn_a_baseline_round(installed):
    code = """
        from detectors.core.verdict import Verdict
        from detectors.gate.baseline import changes
        import detectors
        report = detectors.run(detectors.load("zoo:d15_mlp"), names=["loud_answers"])
        def said(verdict, score):
            found = [d.model_copy(update={"verdict": Verdict(verdict), "score": score}) for d in report]
            return report.model_copy(update={"detections": found})
        print([c.worse for c in changes(said("absent", 0.1), said("present", 0.9))])
    """
    done = run(installed, "-c", textwrap.dedent(code))
    assert done.stdout.strip() == "[True, True]", done.stderr
