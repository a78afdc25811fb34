"""The command `detectors`. Heavy imports happen inside the commands, so `--help` is instant."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from detectors.cli.compare import compare
from detectors.cli.explain import explain
from detectors.cli.gate import gate
from detectors.cli.inspect import inspect
from detectors.cli.list import list_
from detectors.cli.options import complain
from detectors.cli.run import run
from detectors.cli.track import track
from detectors.core.errors import DetectorsError
from detectors.core.version import __version__

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
app.command()(run)
app.command("list")(list_)
app.command()(explain)
app.command()(inspect)
app.command()(gate)
app.command()(track)
app.command()(compare)


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    """Which circuit is inside a trained model, how sure is that, and does the model use it?

    Exit codes: 0 done; 2 the call or an input is wrong (other checkpoints are scored all the same); 3 a detector
    crashed (the rest is reported); 130 interrupted.
    """
    if version:
        typer.echo(f"detectors {__version__}")
        raise typer.Exit


def main() -> None:
    """Entry point: exit codes as documented, whatever raised."""
    try:
        app(standalone_mode=True)
    except DetectorsError as error:
        complain(str(error))
        sys.exit(2)
    except OSError as error:  # a name too long, a folder that may not be read, a terminal or a disk that takes no more
        what = f" {error.filename}" if error.filename else " of the output"
        complain(f"a file{what}: {error.strerror or error}")
        sys.exit(2)
    except (SystemExit, KeyboardInterrupt) as stopped:
        if isinstance(stopped, SystemExit) and stopped.code != 130:  # typer turns Ctrl-C into this without a word
            raise
        complain("interrupted; what was not finished is not written")
        sys.exit(130)
