"""Whole exports in every format, beside other ways to the same format, in turns."""

from __future__ import annotations

import dataclasses
import functools
import json
import statistics
from pathlib import Path
from typing import Iterator, Optional

from benches.lab import SOURCES, Lab, say, take_turns
from benches.servers import FULL, curl, serving

PATH = "/api/v1/users/exports/profiles/full?format="
FORMATS = ["csv", "ndjson", "json", "parquet", "xlsx"]
SHEET = 1_048_575
PEER = Path(__file__).resolve().parent / "peers" / "formats.py"
SLOW_RUNS = 0  # of the peers that take minutes: their first is timed


@dataclasses.dataclass
class Written:
    """One way to a file of a format."""

    source: str
    format: str
    title: str
    command: list
    file: Path
    is_ours: bool = False
    slow: bool = False
    bytes: int = 0
    peak_memory: Optional[float] = None  # of a server of its own, in MiB
    seconds: list[float] = dataclasses.field(default_factory=list)
    ours: Optional[Written] = None  # what a peer is compared with
    csv: Optional[Written] = None  # what ours is compared with, in the same turns

    @property
    def what(self) -> str:
        return self.format

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def measure(lab: Lab, sources: list[str], data: Path, users: int, runs: int, with_slow: bool) -> tuple[list[Written], list[str]]:
    result, notes = [], []
    for source in sources:
        with serving(lab, source, data) as server:
            address = server.address()
            for format in FORMATS:
                if format == "xlsx" and users > SHEET:
                    continue
                say(f"timing {SOURCES[source]}, {format}")
                first = ours(lab, source, format, address)
                rows = [first, *(row for row in peers(lab, source, format, data) if with_slow or not row.slow)]
                if format != "csv":
                    first.csv = ours(lab, source, "csv", address)
                turns = [*rows, first.csv] if first.csv else rows
                take_turns(turns, runs, SLOW_RUNS, notes, functools.partial(time_row, lab))
                for row in rows[1:]:
                    row.ours = first
                first.peak_memory = peak_memory(lab, source, format, data)
                result += [row for row in rows if row.seconds]
    return result, notes


def ours(lab: Lab, source: str, format: str, address: str) -> Written:
    file = lab.directory / f"ours.{format}"
    title = f"**headcount**, {format}"
    return Written(source, format, title, curl(address + PATH + format, output=file), file, is_ours=True)


def peers(lab: Lab, source: str, format: str, data: Path) -> Iterator[Written]:
    file = lab.directory / f"theirs.{format}"
    columns = FULL.columns
    if "python" in lab.tools:
        where = data / "users.db" if source == "sqlite" else "postgres"
        for way, title, formats, slow in [
            ("duckdb", "DuckDB, `COPY … TO`", ["csv", "ndjson", "json", "parquet", "xlsx"], False),
            ("xlsxwriter", "XlsxWriter, `constant_memory`", ["xlsx"], True),
            ("openpyxl", "openpyxl, `write_only`", ["xlsx"], True),
        ]:
            if format in formats:
                yield Written(source, format, title, ["python", PEER, way, source, where, format, file], file, slow=slow)
    if source == "postgres" and format == "ndjson":
        query = f"select row_to_json(u) from (select {columns} from users order by id) u"
        yield Written(source, format, "`psql -c 'select row_to_json(…)'`", ["psql", "-XqAt", "-o", file, "-c", query], file)


def time_row(lab: Lab, row: Written, turn: int) -> None:
    row.file.unlink(missing_ok=True)
    seconds, printed = lab.time(*row.command)
    if row.command[0] == "python":
        seconds = json.loads(printed)["seconds"]
    row.bytes = row.file.stat().st_size
    row.file.unlink()
    if turn > 0 or row.slow:
        row.seconds.append(seconds)


def peak_memory(lab: Lab, source: str, format: str, data: Path) -> float:
    """Of a server that did nothing else."""
    with serving(lab, source, data) as server:
        lab.run(*curl(server.address() + PATH + format))
        return server.peak_memory()


def memory(lab: Lab, sources: list[str], data: Path, users: int) -> list[tuple[str, str, int, float]]:
    """The peak memory of a server, for each format, with so many users."""
    formats = [format for format in FORMATS if format != "xlsx" or users <= SHEET]
    return [(source, format, users, peak_memory(lab, source, format, data)) for source in sources for format in formats]
