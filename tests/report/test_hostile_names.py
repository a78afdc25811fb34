"""Names from files and plugins, wherever they are shown: nothing moves a cursor, ends a line or commands a runner."""

import json
import re
import unicodedata
import xml.etree.ElementTree as ET

import pytest
from rich.console import Console

from detectors.cli.compare import compare
from detectors.cli.options import complain, quote
from detectors.core.score import jsonable
from detectors.core.verdict import Verdict
from detectors.core.visible import visible
from detectors.gate.conditions import Condition, evaluate
from detectors.report.html import to_html
from detectors.report.junit import to_junit
from detectors.report.markdown import error_lines, to_markdown
from detectors.report.model import CheckpointInfo
from detectors.report.terminal import as_text
from tests.gate.conftest import report_of
from tests.judging.conftest import detection

HOSTILE = (
    "x\n::error file=a::b\r\x1b[2J\x1b]0;t\x07\x9b31m\u202e\u2028\u200b\ud800\x00 "
    "##[error]y ##vso[task.complete]z ##teamcity[x]  ::warning::w " + "v" * 70 + "::error::u"
)
COMMAND = re.compile(r"^\s*::|##\w*\[", re.MULTILINE)


def harmless(text, lines=True):
    """Of a log. lines: that it may have some of its own."""
    kinds = ("Cc", "Cf", "Cs", "Zl", "Zp", "Cn")
    bad = {c for c in text if unicodedata.category(c) in kinds} - ({"\n"} if lines else set())
    assert not bad
    assert not COMMAND.search(text)
    return text


@pytest.fixture
def hostile():
    """Every text that a file, a plugin or a config can have a say in."""
    report = report_of(
        detection("trig_logits", Verdict.INERT, evidence={"key_irreps": [HOSTILE], HOSTILE: HOSTILE}).model_copy(
            update={"detector": HOSTILE, "reason": HOSTILE, "chose": "key_irreps"}
        )
    )
    checkpoint = CheckpointInfo(
        path=HOSTILE,
        sha256=None,
        layout=HOSTILE,
        architecture={"kind": HOSTILE, "act_fn": HOSTILE, "n_layers": HOSTILE},
        unused_tensors=[HOSTILE] * 3,
    )
    return report.model_copy(update={"checkpoint": checkpoint, "summary": HOSTILE, "notes": [HOSTILE]})


@pytest.mark.parametrize("width", [20, 40, 80, 81, 82, 83, 100])
def test_a_terminal_of_any_width(hostile, width):
    harmless(as_text(hostile, width=width))


def test_markdown_and_annotations(hostile):
    def breached(report):
        raise ValueError(HOSTILE)

    outcomes = evaluate([Condition(HOSTILE, HOSTILE, breached)], hostile)
    harmless(to_markdown(hostile, outcomes))
    (line,) = error_lines(outcomes, "a.gate.toml")
    assert line.startswith("::error file=a.gate.toml,title=x")
    assert len(harmless(line.replace("::", "", 1), lines=False).split("::")) == 2  # its own two, and no third


def test_junit_and_the_page(hostile):
    root = ET.fromstring(to_junit([hostile]).encode())
    for element in root.iter():
        for value in element.attrib.values():
            harmless(value, lines=False)
    page = to_html(hostile)
    bad = {c for c in page if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"}
    assert not bad
    assert "\u202e" not in page


def test_errors_what_user_code_prints_and_comparisons(hostile, capsys, tmp_path):
    complain(HOSTILE)
    quote(Console(stderr=True), HOSTILE)
    for line in harmless(capsys.readouterr().err).splitlines():
        assert not line.lstrip().startswith("::")
    printable = json.dumps(jsonable(hostile.model_dump(by_alias=True)))
    (tmp_path / "a.json").write_text(printable)
    (tmp_path / "b.json").write_text(printable.replace("inert", "absent"))
    compare(tmp_path / "a.json", tmp_path / "b.json")
    harmless(capsys.readouterr().out)


@pytest.mark.parametrize("text", ["::", ":::", "a::b", "##[x", "###[x", "##a##b[c", "#" * 9 + "[", "\n::", " ::x"])
def test_no_command_is_left_however_it_is_written(text):
    for folded in (visible(text), visible(text)[1:], visible(text)[2:]):  # as where a table folds it
        assert "::" not in folded
        assert not re.search(r"##\w*\[", folded)
    assert visible("a: b, c#d [e] ü 日本") == "a: b, c#d [e] ü 日本"
