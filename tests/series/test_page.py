"""The page of a run: its data, and in a browser at the size of a laptop, of a phone and on paper."""

import json
import re
import shutil

import pytest

import detectors
from detectors.series.curves import curves_of
from detectors.series.page import to_html
from detectors.series.rows import story_of
from detectors.series.story import Story
from tests.series.runs import SPLIT, STEPS, row, run

pytest.importorskip("plotly")
CHROMIUM = shutil.which("chromium")
NAMES = ["sparse_fourier_embedding", "trig_product_neurons", "generalisation", "memorisation"]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    return detectors.track(run(tmp_path_factory.mktemp("made") / "run"), names=NAMES, draws=19, **SPLIT)


@pytest.fixture(scope="module")
def page(told):
    return to_html(told.story, told.pictures)


def data(page, mark):
    found = re.findall(rf'<script type="application/json" id="([^"]*{mark})">(.*?)</script>', page, re.DOTALL)
    return {name: json.loads(text) for name, text in found}


def test_a_frame_a_checkpoint_and_each_of_its_own(page):
    frames = data(page, "-frames")
    assert len(frames) == 3  # the plane, the spectrum, the neuron
    for name, found in frames.items():
        assert len(found["data"]) == len(STEPS), name
    spectrum = [frame[0]["y"] for frame in frames["moving-2-frames"]["data"]]
    assert sum(spectrum[-1]) == pytest.approx(1, abs=1e-3)
    assert sum(height > 0.01 for height in spectrum[-1]) == 2  # an exact circuit of two frequencies
    assert sum(height > 0.01 for height in spectrum[0]) == 5  # and noise of all of C11's
    assert len(data(page, "captions")["captions"]) == len(STEPS)


def test_it_needs_nothing_from_elsewhere_and_tells_all(page, told):
    assert not re.search(r'<(script|link|img)[^>]+(src|href)="http', page)
    assert all(str(sentence).split(" (")[0] in page for sentence in told.story.telling)
    assert "circuit formation" in page


def test_of_rows_and_of_curves_there_are_figures_alone():
    rows = to_html(story_of([row(s, accuracy_unseen=s / 2) for s in range(3)]))
    assert 'id="step"' not in rows
    assert "Motifs by step" in rows
    curves = curves_of(range(100), [1 / (1 + s) for s in range(100)], None)
    alone = to_html(
        Story(steps=[], accuracy={k: [] for k in ("all", "train", "test", "unseen")}, motifs={}, curves=curves)
    )
    assert "Curves of the loss" in alone


def test_names_that_hold_scripts_run_nothing():
    nasty = '</script><img src=x onerror="alert(1)">'
    page = to_html(story_of([row(s, detector=nasty, task=nasty) for s in range(2)], notes=[nasty]))
    assert "<img" not in page


@pytest.mark.wide
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_in_a_browser_the_slider_moves_all_and_paper_is_wide_enough(page, tmp_path):
    from playwright.sync_api import sync_playwright

    (tmp_path / "page.html").write_text(page)
    said = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for width in (1280, 390):
            tab = browser.new_context(offline=True, viewport={"width": width, "height": 800}).new_page()
            tab.on("console", lambda message: said.append(message.text))
            tab.on("pageerror", lambda error: said.append(str(error)))
            tab.goto((tmp_path / "page.html").as_uri())
            tab.wait_for_selector(".plot >> nth=-1 >> svg.main-svg", state="attached")
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            point = "document.querySelector('#moving-1').data[1].y[0]"
            last = tab.evaluate(point), tab.inner_text("#caption")
            tab.focus("#step")
            tab.keyboard.press("Home")
            assert (tab.evaluate(point), tab.inner_text("#caption")) != last
            assert tab.inner_text("#caption").startswith("step 0;")
            tab.evaluate("dispatchEvent(new Event('beforeprint'))")
            inside = "all => all.every(p => p.querySelector('svg.main-svg').clientWidth <= 700)"
            assert tab.locator(".plot").evaluate_all(inside)
            assert tab.inner_text("#caption").startswith("step 0;")
        browser.close()
    assert said == []
