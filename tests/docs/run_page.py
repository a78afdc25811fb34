"""Run the code blocks of one page of the documentation, in order, in the current folder: `run_page.py PAGE.md`.

* A block with a title is a file: it is written under that name.
* `python` is executed; the blocks of a page share their names.
* `console`: each line `$ command` is run by bash, `detectors` alone in this process, which has imported it; it must end
  with 0, or with N where it says `# exit code N`. Every other line must stand in what the commands so far printed,
  whatever its spacing.
* A block after a comment `<!-- not run: why -->` is left out. Other languages are not run.
"""

import io
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(
    r"(?P<skip><!-- not run: [^>]+-->\n)?^```(?P<kind>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
EXIT = re.compile(r"#\s*exit code (\d+)\s*$")


@dataclass(frozen=True)
class Block:
    kind: str
    title: str | None
    text: str
    skipped: bool

    @property
    def runs(self) -> bool:
        return self.kind in ("python", "console") and self.title is None and not self.skipped


def blocks(page: Path) -> list[Block]:
    return [Block(m["kind"], m["title"], m["text"], bool(m["skip"])) for m in FENCE.finditer(page.read_text())]


def run(page: Path) -> None:
    names: dict[str, object] = {"__name__": "__docs__"}
    sys.path.insert(0, "")
    for block in blocks(page):
        if block.skipped:
            continue
        if block.title:
            Path(block.title).write_text(block.text)
        elif block.kind == "python":
            exec(compile(block.text, page.name, "exec"), names)
        elif block.kind == "console":
            console(block.text)


def console(text: str) -> None:
    printed = ""
    for line in text.splitlines():
        if line.startswith("$ "):
            wanted = int(found[1]) if (found := EXIT.search(line)) else 0
            code, said = command(line[2:])
            printed += " ".join(said.split()) + " "
            assert code == wanted, f"{line}\nexit code {code}\n{said}"
        else:
            assert " ".join(line.split()) in printed, f"not printed: {line}\nbut\n{printed}"


def command(line: str) -> tuple[int, str]:
    """Exit code, and all that it printed."""
    if not line.startswith("detectors ") or set(line) & set("|&;<>$`"):
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr
    from detectors.cli import main

    sys.argv, said = shlex.split(line, comments=True), io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        try:
            main()
        except SystemExit as ended:
            return int(ended.code or 0), said.getvalue()
    return 0, said.getvalue()


if __name__ == "__main__":
    run(Path(sys.argv[1]))
