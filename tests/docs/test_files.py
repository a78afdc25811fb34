"""The limits on the page about files are those of the code."""

from pathlib import Path

from detectors.core import memory
from detectors.loading import containers, contents, train_files, unpickle

PAGE = (Path(__file__).parents[2] / "docs" / "files.md").read_text()


def test_every_limit_on_the_page_is_the_codes():
    rows = {
        f"| a file | {containers.MAX_BYTES >> 30} GiB |",
        f"beyond their bytes | {containers.MAX_GROWTH / 2**30} GiB |",
        f"| parts of a pickle | {unpickle.MAX_OPCODES:,} |",
        f"| tensors of one state | {contents.MAX_TENSORS:,} |",
        f"| a file of training pairs | {train_files.MAX_BYTES >> 20} MiB |",
        f"| memory that all pairs take | {memory.USUAL:g} GiB | `{memory.VARIABLE}=",
    }
    for row in rows:
        assert row in PAGE, row
