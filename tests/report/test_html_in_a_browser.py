"""The page in a browser that has no network: it draws, moves nothing, and works by keyboard."""

import shutil

import pytest

CHROMIUM = shutil.which("chromium")
in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
SHIFT = """
window.shift = 0;
new PerformanceObserver(list => { for (const entry of list.getEntries()) window.shift += entry.value })
    .observe({ type: "layout-shift", buffered: true });
"""


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def file(text, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(text)
    return path


@pytest.fixture
def opened(browser, file):
    """A function that opens a page; afterwards nothing may have been said or asked for, but the page itself."""
    said, asked, contexts = [], [], []

    def open_(path=file, **options):
        contexts.append(browser.new_context(offline=True, **options))
        tab = contexts[-1].new_page()
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.add_init_script(SHIFT)
        tab.on("dialog", lambda dialog: said.append(dialog.message))
        tab.goto(path.as_uri())
        tab.wait_for_selector(".plot >> nth=-1 >> svg.main-svg", state="attached")
        return tab

    yield open_
    for context in contexts:
        context.close()
    assert said == []
    assert len(asked) == len(contexts)


def background(tab):
    return tab.evaluate("getComputedStyle(document.body).backgroundColor")


@pytest.mark.wide
@in_a_browser
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (420, "light")])
def test_plots_are_drawn_and_nothing_moves(opened, page, width, scheme):
    tab = opened(viewport={"width": width, "height": 800}, color_scheme=scheme)
    plots = tab.locator(".plot")
    assert plots.count() == len(page.figures)
    assert plots.evaluate_all("all => all.every(p => p.querySelector('svg.main-svg'))")
    assert plots.evaluate_all("all => all.every(p => p.scrollHeight <= p.clientHeight + 1)")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.wait_for_timeout(200)
    assert tab.evaluate("window.shift") < 0.1
    assert background(tab) == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 28)")


@pytest.mark.wide
@in_a_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_turns_by_keyboard_and_the_plots_with_it(opened, scheme):
    tab = opened(color_scheme=scheme)
    ink = "getComputedStyle(document.querySelector('.plot .xtick text')).fill"
    before = background(tab), tab.evaluate(ink)
    tab.focus("#theme")
    tab.keyboard.press("Enter")
    after = background(tab), tab.evaluate(ink)
    assert before[0] != after[0]
    assert before[1] != after[1]
    tab.keyboard.press("Space")
    assert (background(tab), tab.evaluate(ink)) == before


@pytest.mark.wide
@in_a_browser
def test_tab_reaches_links_tables_and_details(opened):
    tab = opened()
    reached = []
    for _ in range(14):
        tab.keyboard.press("Tab")
        reached.append(
            tab.evaluate(
                "document.activeElement.className || document.activeElement.id || document.activeElement.tagName"
            )
        )
    assert reached[:3] == ["skip", "theme", "scroll"]
    assert {"A", "SUMMARY"} <= set(reached)
    tab.focus("summary")
    tab.keyboard.press("Enter")
    assert tab.locator("details").first.get_attribute("open") is not None
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


@pytest.mark.wide
@in_a_browser
def test_names_that_hold_scripts_run_nothing(opened, nasty, tmp_path):
    (tmp_path / "nasty.html").write_text(nasty.to_html())
    tab = opened(tmp_path / "nasty.html")
    assert tab.locator("script").count() == tab.locator(".plot").count() + 2
    assert tab.locator("img").count() == 0
    assert "<img" in tab.inner_text("h1")
    assert any("</script>" in drawn for drawn in tab.locator(".plot").all_text_contents())


@pytest.mark.wide
@in_a_browser
def test_it_prints_in_light_whatever_the_theme(opened):
    tab = opened(color_scheme="dark")
    tab.set_viewport_size({"width": 718, "height": 1000})  # A4 between its margins
    tab.emulate_media(media="print", color_scheme="dark")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert tab.locator(".verdicts .scroll").evaluate("table => table.scrollWidth <= table.clientWidth")
    assert background(tab) == "rgb(255, 255, 255)"
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert background(tab) == "rgb(20, 23, 28)"
    assert tab.pdf().startswith(b"%PDF")
