"""One report of the shipped transformer, rendered once, and a reader of pages."""

import json
from html.parser import HTMLParser

import pytest

import detectors
from detectors.report.report import Report

NASTY = "a</script><script>alert(1)</script><img src=x onerror=alert(2)>\x00\x1b\ud800&\N{LINE SEPARATOR}{{ 7*7 }}"


class Page(HTMLParser):
    """Elements with their attributes, text outside scripts, and the figures."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self.figures, self._inside = [], "", {}, None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._inside = self.elements[-1]

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        tag, attributes = self._inside or ("", {})
        if attributes.get("type") == "application/json":
            self.figures[attributes["id"]] = json.loads(data)
        elif tag not in ("script", "style"):
            self.text += data


@pytest.fixture(scope="session")
def read():
    """From the text of a page to its elements, words and figures."""
    return Page


@pytest.fixture(scope="session")
def report(grokked):
    return detectors.run(grokked, draws=119)


@pytest.fixture(scope="session")
def text(report):
    return report.to_html()


@pytest.fixture(scope="session")
def page(text):
    return Page(text)


@pytest.fixture(scope="session")
def nasty(report):
    """A report whose every name would be a script, were it not escaped."""
    document = report.to_dict()
    document["detections"][0] |= {"reason": NASTY, "detector": NASTY}
    document |= {"summary": NASTY, "notes": [NASTY], "tool": {NASTY: NASTY}}
    document["checkpoint"] |= {"path": NASTY, "layout": NASTY}
    document["detections"][2]["evidence"] |= {
        "irreps": [NASTY, "freq_2", "b"],
        "key_irreps": [NASTY],
        NASTY: {NASTY: 1},
    }
    document["detections"][1] |= {"verdict": "error", "reason": NASTY}
    return Report.model_validate(document)
