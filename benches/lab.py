"""Where a benchmark runs: one directory that is gone at the end, and processes that do not outlive it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Iterator, Optional, TypeVar

START_SECONDS = 1800  # making many millions of users takes its time
KEY = secrets.token_hex(32)
AUTHORIZATION = f"Authorization: Bearer {KEY}"
SOURCES = {"sqlite": "SQLite", "postgres": "PostgreSQL"}

Answer = TypeVar("Answer")


class Failure(Exception):
    """Says in a sentence why something could not be measured."""


def say(text: str) -> None:
    print(f"{Path(sys.argv[0]).name}: {text}", file=sys.stderr, flush=True)


def stop_cleanly_on_signals() -> None:
    """Turns the first signal into an exception, so that every `with` block ends; ignores those after it."""
    signals = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    signals = [each for each in signals if signal.getsignal(each) != signal.SIG_IGN]  # as under nohup

    def stop(number, _frame):
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        sys.exit(128 + number)

    for each in signals:
        signal.signal(each, stop)


@contextlib.contextmanager
def work_directory(keep: bool) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="headcount-bench-"))
    path.chmod(0o711)  # PostgreSQL, which never runs as root, has to pass through
    try:
        yield path
    finally:
        if keep:
            say(f"kept {path}")
        else:
            shutil.rmtree(path, ignore_errors=True)


class Lab:
    """The tools, the work directory, and the environment: nobody's settings but the benchmark's own."""

    def __init__(self, directory: Path, tools: dict, missing: set[str] = frozenset()):
        self.directory = directory
        self.tools = tools
        self.missing = missing  # packages of the peers
        self.postgres: Optional[int] = None  # its process
        foreign = ("HEADCOUNT_", "PG", "PYTHON", "DATASETTE_")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
        self.environment = {**inherited, "HOME": str(directory), "PYTHONDONTWRITEBYTECODE": "1"}

    def run(self, tool: str, *arguments, keep_output=True, may_fail=False) -> str:
        """Runs a tool to its end, for its output."""
        result = subprocess.run(
            [self.tools[tool], *arguments],
            env=self.environment,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if keep_output else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if result.returncode != 0 and not may_fail:
            raise Failure(f"{tool} failed: {result.stderr.strip()[-2000:]}")
        return result.stdout

    def time(self, *command, **options) -> tuple[float, str]:
        """Seconds that a tool takes, and what it printed."""
        before = time.perf_counter()
        output = self.run(*command, **options)
        return time.perf_counter() - before, output

    @contextlib.contextmanager
    def background(self, log: str, tool: str, *arguments, stop=signal.SIGTERM, user=(), **environment):
        """A tool that runs as long as the block, and not longer even if this script is killed."""
        path = self.directory / log
        with open(path, "wb") as output:
            process = subprocess.Popen(
                ["setpriv", f"--pdeathsig={stop.name[3:]}", *user, "--", self.tools[tool], *arguments],
                env={**self.environment, **environment},
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            yield Background(process, path)
        finally:
            process.send_signal(stop)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def take_turns(rows: list, runs: int, slow_runs: int, notes: list[str], run: Callable) -> None:
    """Lets `run` take a row and the number of its turn, of which the first is a warm-up; a slow row has fewer turns.
    A peer that fails loses its row, with a note why; ours ends the benchmark."""
    left = list(rows)
    for turn in range(runs + 1):
        for row in list(left):
            if row.slow and turn > slow_runs:
                continue
            try:
                run(row, turn)
            except Failure as failure:
                if row.is_ours:
                    raise
                notes.append(f"{row.title} ({row.what}, {SOURCES[row.source]}) has no row: {failure}")
                row.seconds.clear()
                left.remove(row)


@dataclasses.dataclass
class Background:
    process: subprocess.Popen
    log: Path

    def wait_for(self, ready: Callable[[], Answer]) -> Answer:
        """The first true answer of `ready`, unless the process ends or takes far too long."""
        deadline = time.monotonic() + START_SECONDS
        while not (answer := ready()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Failure(f"{self.log.stem} did not start: {self.said()}")
            time.sleep(0.02)
        return answer

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]

    def address(self) -> str:
        line = re.compile(r"listening on (http://[\w.:\[\]]+)")
        return self.wait_for(lambda: line.search(self.log.read_text(errors="replace")))[1]

    def accepts(self, port: int) -> None:
        """Waits until somebody listens."""

        def connects():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                return True

        self.wait_for(connects)

    def peak_memory(self) -> float:
        """In MiB, since the start."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
