"""Scoring in a process of its own, so that no code of the user's runs where a gate is decided.

A loader and a plugin may exit, print, hang, start threads or replace what they find: all of it befalls the child. What
comes back is text on a pipe, read as JSON and never unpickled; a child that ends without a report is an error. A child
that *wants* to lie can: the report comes from where the loader runs.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import IO, Any, NamedTuple, NoReturn

from pydantic import ValidationError

from detectors.core.blame import words
from detectors.core.errors import DetectorsError
from detectors.report.report import Report

# -P: the folder that we are in is no place to import from; the path is the parent's own
CHILD = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from detectors.gate.apart import child_main; child_main()"
)
LONGEST = 2**27  # characters of a message: a page with plotly.js in it has five million
SHOWN = 200  # lines of what user code prints
TICK = 0.5  # seconds between two looks at whether the child lives


class Scored(NamedTuple):
    """page: as HTML, where it was asked for."""

    report: Report
    page: str


def score_apart(
    path: str,
    options: Mapping[str, Any],
    *,
    draws: int | None,
    seed: int,
    threads: int | None = None,
    page: bool = False,
    certify: bool = False,
    timeout: float | None = None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    said: Callable[[str], None] = lambda _: None,
) -> Scored:
    """The report of a checkpoint from a child process. options: of `detectors.load`. timeout: in seconds.
    said: called with each line that the child prints. certify: with a certificate in the report.

    Errors: DetectorsError where loading or scoring fails, takes longer than that, or ends without a report.
    """
    request: dict[str, Any] = {"path": path, "draws": draws, "seed": seed, "threads": threads}
    request |= {"page": page, "certify": certify}
    request["options"] = {key: value if isinstance(value, dict) else str(value) for key, value in options.items()}
    flags = ["-I"] if sys.flags.isolated else ["-P"]
    command = [sys.executable, *flags, "-c", CHILD, json.dumps(sys.path)]
    pipe, until = subprocess.PIPE, None if timeout is None else time.monotonic() + timeout
    # unbuffered: no lock that a thread could hold when this process ends
    child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, start_new_session=True)
    messages: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    listeners = _listen(child, messages.put, said)
    try:
        with suppress(BrokenPipeError), child.stdin:  # type: ignore[union-attr]
            child.stdin.write(json.dumps(request).encode())  # type: ignore[union-attr]
        while "progress" in (message := _next(child, messages, until, timeout)):
            progress(*message["progress"])
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # with what it has started, unless that has left its group
        child.wait()
        for stream, thread in listeners:
            thread.join(TICK)  # what somebody who left the group holds open stays open with this thread
            if not thread.is_alive():
                stream.close()
    return _checked(message)


def _listen(
    child: subprocess.Popen[bytes], heard: Callable[[bytes], None], said: Callable[[str], None]
) -> list[tuple[IO[bytes], threading.Thread]]:
    """Both of a child's streams are read as it writes, so that it never waits for us."""
    shown = [0]

    def show(line: bytes) -> None:
        shown[0] += 1
        if shown[0] <= SHOWN:
            said(line.decode(errors="replace") if shown[0] < SHOWN else "(more is left out)")

    listeners = []
    for stream, longest, use in ((child.stdout, LONGEST, heard), (child.stderr, 1000, show)):
        assert stream is not None
        listeners.append((stream, threading.Thread(target=_lines, args=(stream, longest, use), daemon=True)))
        listeners[-1][1].start()
    return listeners


def _lines(stream: IO[bytes], longest: int, use: Callable[[bytes], None]) -> None:
    """Calls `use` with every line, of one that is longer with its pieces."""
    held = bytearray()
    while chunk := os.read(stream.fileno(), 2**16):
        held += chunk
        if b"\n" in chunk or len(held) > longest:
            *lines, rest = bytes(held).split(b"\n")
            held = bytearray(rest if len(rest) <= longest else b"")
            for line in lines + ([rest] if not held and rest else []):
                for start in range(0, max(len(line), 1), longest):
                    use(line[start : start + longest])
    if held:
        use(bytes(held))


def _next(
    child: subprocess.Popen[bytes], messages: queue.SimpleQueue[bytes], until: float | None, timeout: float | None
) -> dict[str, Any]:
    while True:
        if until is not None and time.monotonic() >= until:
            raise DetectorsError(f"not scored within {timeout:g} seconds: --timeout allows more")
        ended = child.poll()  # before the look into the queue, so that its last words are not missed
        left = TICK if until is None else min(TICK, until - time.monotonic())
        try:
            return _message(messages.get(timeout=max(left, 0)))
        except queue.Empty:
            if ended is not None:
                _died(ended)


def _message(line: bytes) -> dict[str, Any]:
    with suppress(ValueError, RecursionError):
        message = json.loads(line)
        match message:
            case {"progress": [str(), int(), int()]} | {"report": str()} | {"error": str()}:
                return dict(message)
    return {"error": "the process that scores sent no message of ours: did a loader or plugin write to its files?"}


def _died(code: int) -> NoReturn:
    how = f"with exit code {code}" if code >= 0 else f"by signal {-code} ({signal.strsignal(-code)})"
    why = "is there memory enough?" if code == -signal.SIGKILL else "does a loader or plugin exit?"
    raise DetectorsError(f"the process that scores ended {how} before there was a report: {why}")


def _checked(message: Mapping[str, Any]) -> Scored:
    if "report" not in message:
        raise DetectorsError(message["error"])
    try:
        return Scored(Report.model_validate_json(message["report"]), str(message.get("page", "")))
    except ValidationError as error:
        first = error.errors()[0]
        raise DetectorsError(f"the process that scores sent no report: {first['loc']} {first['msg']}") from None


def child_main() -> None:
    """The child's side: a request on stdin, messages on what was stdout. What anybody prints goes to stderr."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)

    def send(**message: Any) -> None:
        channel.write(json.dumps(message) + "\n")
        channel.flush()

    try:
        send(**_score(request, lambda *step: send(progress=step)))
    except DetectorsError as error:
        send(error=str(error))
    except BaseException as error:  # SystemExit too: whatever it is, there is no report
        send(error=f"scoring raised {words(error)}")
    os._exit(0)  # threads that somebody has started do not hold us


def _score(request: Mapping[str, Any], progress: Callable[[str, int, int], None]) -> dict[str, str]:
    import detectors
    from detectors.core.threads import with_threads

    model = with_threads(lambda: detectors.load(request["path"], **request["options"]), request["threads"])
    report = detectors.run(model, draws=request["draws"], seed=request["seed"], progress=progress)
    if request["certify"]:
        report = detectors.with_certificate(report, model, seed=request["seed"])
    return {"report": report.to_json(), "page": report.to_html() if request["page"] else ""}
