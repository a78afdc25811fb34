"""Run the code blocks of one page of the documentation, in order, in the current folder: `run_page.py PAGE.md`.

* A block with a title is a file: it is written under that name.
* `python` is executed; the blocks of a page share their names.
* `console`: each line `$ command` is run by bash and must end with 0, or with N where it says `# exit code N`. Every
  other line must stand in what the commands so far printed, whatever its spacing.
* A block after a comment `<!-- not run: why -->` is left out. Other languages are not run.
"""

import re
import subprocess
import sys
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
            done = subprocess.run(["bash", "-c", line[2:]], capture_output=True, text=True)
            printed += " ".join((done.stdout + done.stderr).split()) + " "
            assert done.returncode == wanted, f"{line}\nexit code {done.returncode}\n{done.stdout}{done.stderr}"
        else:
            assert " ".join(line.split()) in printed, f"not printed: {line}\nbut\n{printed}"


if __name__ == "__main__":
    run(Path(sys.argv[1]))
