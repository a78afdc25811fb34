"""The documentation builds without a network and without a warning, its code runs, and its numbers are the table's."""

import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.run_page import blocks

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
BIN = Path(sys.executable).parent
CALIBRATION = json.loads((ROOT / "detectors" / "judging" / "calibration.json").read_text())
pytestmark = pytest.mark.timeout(900)  # every motif is drawn from two models
# proxies that lead nowhere: whatever asks the network fails
OFFLINE = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")


def environment(**more):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GITHUB_", "PYTEST_", "COV_"))}
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "PATH": path, "COLUMNS": "140", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", **more}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", out]
    # its own process: what mkdocs and its theme warn of is no concern of these tests, and --strict is
    done = subprocess.run(
        command, cwd=ROOT, env=environment(**OFFLINE, NO_MKDOCS_2_WARNING="1"), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def text_of(page: Path) -> str:
    """A page as a reader sees it, cells apart by spaces."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.read_text())).split())


@pytest.mark.wide
def test_it_builds_strictly_with_every_page(site):
    assert {p.stem for p in site.glob("*.html")} >= {p.stem for p in PAGES}
    assert not list(site.rglob("*.py"))


@pytest.mark.wide
def test_a_page_loads_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]+src=\"([^\"]+)\"", page.read_text())
        loaded += re.findall(
            r"<link[^>]+rel=\"(?:stylesheet|icon|preconnect)\"[^>]*href=\"([^\"]+)\"", page.read_text()
        )
        loaded += re.findall(
            r"<link[^>]*href=\"([^\"]+)\"[^>]+rel=\"(?:stylesheet|icon|preconnect)\"", page.read_text()
        )
        assert loaded
        assert not [url for url in loaded if re.match(r"(https?:)?//", url)], page.name


@pytest.mark.wide
@pytest.mark.parametrize("name", CALIBRATION["rows"])
def test_the_numbers_of_the_catalogue_are_those_of_the_calibration(site, name):
    row, section = CALIBRATION["rows"][name], text_of(site / "motifs" / f"{name}.html")
    assert f"Threshold {row['threshold']:g} , a third of the way from {row['levels']['negative']:g}," in section
    assert f"Area under the curve {row['auc']:g} " in section
    if "orders" in row:
        assert f"order {row['orders'][0]} to {row['orders'][1]};" in section
    for label, counted in (
        ("with the motif, whole verdict", row["true_positives"]["verdict"]),
        ("with the motif, value alone", row["true_positives"]["value"]),
        ("without it, whole verdict", row["false_positives"]["verdict"]),
        ("without it, value alone", row["false_positives"]["value"]),
    ):
        share, low, high = (
            f"{100 * x:.4g}%" for x in (counted["count"] / counted["of"], counted["low"], counted["high"])
        )
        assert f"{label} {counted['of']} {counted['count']} {share} {low}, {high}" in section
    for family, sides in row["families"].items():
        for side in sides.keys() - {"threshold_without"}:
            counts = " ".join(str(sides[side][key]) for key in ("models", "parents", "above", "called_present"))
            assert f"{family.replace('_', ' ')} {side} {counts}" in section
    found = row["true_positives"]["verdict"]
    assert f"{name} {row['threshold']:g} {found['count']} of {found['of']}" in text_of(site / "verdicts.html")


@pytest.mark.wide
def test_every_motif_has_a_page_with_its_formula_set_and_a_picture_of_each_side(site):
    """Of a model that has it, and of one that has not; of some nothing is there to be drawn where it is not."""
    from detectors.core.registry import builtin

    bare = set()
    for name in builtin():
        page = (site / "motifs" / f"{name}.html").read_text()
        assert "<math " in page
        there, missing = re.findall(r"<figure><p>(.*?)</figure>", page, re.DOTALL)
        assert "<b>present</b>" in there, name
        assert "<b>absent</b>" in missing, name
        for which, figure in (("present", there), ("absent", missing)):
            if (drawn := re.search(r'<img src="([^"]+)" alt="([^"]+)"', figure)) is None:
                bare.add((name, which))
                continue
            assert drawn[1] == f"{name}.{which}.svg"
            assert "zoo:" in drawn[2]
            text = (site / "motifs" / drawn[1]).read_text()
            assert text.startswith("<svg")
            assert len(text) < 100_000
            assert not re.search(r"<script|href=\"http", text)
    assert bare == {("coset_neurons", "absent"), ("single_irrep_neurons", "absent")}


@pytest.mark.wide
def test_the_catalogue_holds_every_motif_and_the_zoo_page_every_member(site):
    from detectors.core.registry import builtin
    from models_zoo.cards import cards

    catalogue, zoo = (text_of(site / f"{page}.html") for page in ("catalogue", "zoo"))
    for name in builtin():
        assert f" {name} " in catalogue
    for name in cards():
        assert f" {name} " in zoo
    assert not re.search(r"\{\{ \w+ \}\}", catalogue + zoo)


def test_no_number_of_the_calibration_is_copied_by_hand():
    for page in (DOCS / "catalogue.md", DOCS / "verdicts.md"):
        for row in CALIBRATION["rows"].values():
            found = row["true_positives"]["verdict"]
            assert f"{found['count']} of {found['of']}" not in page.read_text()


@pytest.mark.sampled(20)
@pytest.mark.parametrize("page", [p for p in PAGES if any(b.runs for b in blocks(p))], ids=lambda p: p.stem)
def test_the_code_of_a_page_runs(page, tmp_path):
    script = Path(__file__).with_name("run_page.py")
    done = subprocess.run(
        [sys.executable, script, page], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_conformance_kit_says_of_the_documented_detector_what_the_page_says(tmp_path, monkeypatch):
    page = {block.title: block.text for block in blocks(DOCS / "writing-a-detector.md")}
    (tmp_path / "shared_embedding.py").write_text(page["shared_embedding.py"])
    monkeypatch.syspath_prepend(tmp_path)
    from shared_embedding import shared_embedding

    from detectors.testing import detector_checks

    failed = []
    for check in detector_checks(shared_embedding):
        try:
            check()
        except AssertionError:
            failed.append(check.name)
    assert failed == ["permuted_tokens_are_chance"]


@pytest.mark.wide
def test_the_documented_pytest_file_passes(tmp_path):
    for block in blocks(DOCS / "gate.md"):
        if block.title in ("release.gate.toml", "test_release.py"):
            (tmp_path / block.title).write_text(block.text)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "release.gate.toml",
            "test_release.py",
            "--detectors-checkpoint",
            "zoo:add53_grokked",
        ],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "9 passed" in done.stdout
