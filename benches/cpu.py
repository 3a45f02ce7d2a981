"""Who uses the processors."""

from __future__ import annotations

import dataclasses
import os
import resource
from pathlib import Path
from typing import Optional

TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass
class Cpu:
    """Seconds of CPU: of our server, of the database's, and of the program that was timed."""

    headcount: float = 0.0
    database: float = 0.0
    client: float = 0.0

    def __add__(self, other: Cpu) -> Cpu:
        return Cpu(self.headcount + other.headcount, self.database + other.database, self.client + other.client)

    def __sub__(self, other: Cpu) -> Cpu:
        return Cpu(self.headcount - other.headcount, self.database - other.database, self.client - other.client)

    def each(self, runs: int) -> tuple[float, float, float]:
        return self.headcount / runs, self.database / runs, self.client / runs

    @staticmethod
    def so_far(headcount: Optional[int], database: Optional[int]) -> Cpu:
        """Of the processes with these numbers, if there are any, and of the tools that have ended."""
        tools = resource.getrusage(resource.RUSAGE_CHILDREN)
        return Cpu(headcount and used(headcount) or 0.0, database and used(database) or 0.0,
                   tools.ru_utime + tools.ru_stime)


def used(process: int) -> float:
    """Of a process and its children, those that have ended, too (proc(5), `/proc/pid/stat`)."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return sum(ticks(number) for number in [str(process), *children]) * TICK


def ticks(process: str) -> int:
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it has ended since, and is counted with its parent
    return sum(int(field) for field in stat.rpartition(")")[2].split()[11:15])
