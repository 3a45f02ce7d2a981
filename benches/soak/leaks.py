"""What a server still holds when nobody asks for anything any more, beside what a fresh one holds."""

from __future__ import annotations

import os
import re
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benches.soak.deployment import Deployment
from benches.soak.wire import Broken

# Connections to the source are kept for half a minute, threads of the runtime for less.
QUIET_SECONDS = 45
STORE_CONNECTIONS = 4
DATA = re.compile(r"(headcount\.db(-wal|-shm|\.lock|\.turn)?|headcount\.db\.instances(/[0-9a-f]{16})?|spool)")
GROWTH = 48  # MiB that the resident memory may be above the first third's: the allocator's, and the kernel's habit


@dataclass
class Vitals:
    memory: float  # MiB
    threads: int
    files: Counter  # open ones, by kind

    @property
    def open_files(self) -> int:
        return sum(self.files.values())

    def __str__(self) -> str:
        return f"{self.memory:.0f} MiB, {self.threads} threads, {self.open_files} open files"


def vitals(pid: int) -> Vitals:
    status = Path(f"/proc/{pid}/status").read_text()
    files = Counter()
    for number in os.listdir(f"/proc/{pid}/fd"):
        with suppress(OSError):
            link = os.readlink(f"/proc/{pid}/fd/{number}")
            files["deleted file" if link.endswith("(deleted)") else "socket" if link.startswith("socket") else
                  "file" if link.startswith("/") else "other"] += 1
    number = {name: int(re.search(rf"{name}:\s+(\d+)", status)[1]) for name in ("VmRSS", "Threads")}
    return Vitals(number["VmRSS"] / 1024, number["Threads"], files)


class Watch(threading.Thread):
    """Looks at a server's process every second, and keeps what it saw of the newest process."""

    def __init__(self, site: Deployment):
        super().__init__(name="watch", daemon=True)
        self.site, self.seen, self.pid, self.is_stopped = site, [], 0, threading.Event()

    def run(self) -> None:
        while not self.is_stopped.wait(1):
            pid = self.site.server.process.pid
            with suppress(OSError, TypeError):  # it is just being killed
                seen = vitals(pid)
                if pid != self.pid:
                    self.pid, self.seen = pid, []
                self.seen.append(seen)

    def warm_memory(self) -> float:
        """The most in the first third of the process's life."""
        return max(each.memory for each in self.seen[: len(self.seen) // 3 + 1])


def become_quiet(sites: list[Deployment], sessions) -> None:
    """Waits until everything that is kept for a while has been given up, or has had the time to."""
    deadline = time.monotonic() + QUIET_SECONDS
    while time.monotonic() < deadline:
        with suppress(Broken):
            busy = any(value for site in sites for value in site.gauges().values())
            if not busy and not sessions("reader"):
                break
        time.sleep(1)
    time.sleep(12)  # longer than the runtime keeps idle threads


def left_over(site: Deployment, end: Vitals, fresh: Vitals, warm_memory: float) -> list[str]:
    """What is there and should not be."""
    found = [f"{name} is {value:g}" for name, value in site.quiet_gauges.items() if value]
    if end.files["deleted file"]:
        found.append(f"{end.files['deleted file']} open files that are deleted")
    if end.open_files > fresh.open_files + 3 * STORE_CONNECTIONS:
        found.append(f"{end.open_files} open files ({dict(end.files)}), and {fresh.open_files} after a start")
    if end.threads > fresh.threads + 2 * STORE_CONNECTIONS:
        found.append(f"{end.threads} threads, and {fresh.threads} after a start")
    if end.memory > warm_memory + GROWTH:
        found.append(f"{end.memory:.0f} MiB of memory, and {warm_memory:.0f} at the most when it was warm")
    files = [path.relative_to(site.data) for path in site.data.rglob("*")]
    found += [f"the file {path}" for path in files if not DATA.fullmatch(str(path))]
    if sum(path.parent.name.endswith(".instances") for path in files) > 1:
        found.append("files of processes that are gone")
    return [f"left over: {what}" for what in found]


def session_leaks(sessions):
    """`sessions` gives the states of a role's sessions in PostgreSQL."""
    if reading := sessions("reader"):
        yield f"sessions of the source: {reading}"
    keeping = sessions("keeper")
    if len(keeping) > STORE_CONNECTIONS + 1 or set(keeping) - {"idle"}:
        yield f"sessions of the store: {keeping}"
