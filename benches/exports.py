"""Whole exports: ours and the peers' of the same users, in turns."""

from __future__ import annotations

import csv
import itertools
import json
from contextlib import ExitStack
from pathlib import Path

from benches import packages, ways
from benches.cpu import Cpu
from benches.lab import SOURCES, Failure, Lab, say, take_turns
from benches.servers import EXPORTS, FULL, check_download, check_file, curl, serving
from benches.ways import Row, psql_copy, same_records

SLOW_RUNS = 2  # of the peers that take minutes


class Exports:
    """The rows of the table, the digest of each export, and what there is no row for."""

    def __init__(self):
        self.rows: list[Row] = []
        self.digests: dict[str, str] = {}
        self.notes: list[str] = []

    def ours(self) -> list[Row]:
        return [row for row in self.rows if row.way == "ours"]

    def peak_memory(self) -> dict[str, float]:
        """Our server's, by database: the last row's, since it is that of the server so far."""
        return {row.source: row.peak_memory for row in self.ours()}


def measure(lab: Lab, sources: list[str], data: Path, users: int, runs: int, beside: set[str]) -> Exports:
    """Beside ours: `exports` for other settings and the databases' tools, `peers` for the packages."""
    result = Exports()
    for source in sources:
        with serving(lab, source, data) as server:
            for export in EXPORTS:
                ours = ways.our_row(source, export, server, users)
                digest = check_download(lab, ours.url, export.columns, users)
                if result.digests.setdefault(export.name, digest) != digest:
                    raise Failure(f"the {export.name} exports of the two databases differ")
                with ExitStack() as stack:
                    rows = [ours]
                    if "exports" in beside:
                        rows += ways.our_variants(lab, ours, data, stack)
                        rows += ways.tools(ours, data)
                    if "peers" in beside:
                        rows += packages.peers(lab, ours, data, stack)
                    say(f"timing {SOURCES[source]}, {export.name}")
                    time_rows(lab, rows, runs, digest, result.notes)
                result.rows += [row for row in rows if row.seconds]
                # Not among the others: a second table takes their place in the database's memory.
                if "exports" in beside and export is FULL:
                    with ways.mapped(lab, ours, data) as rows:
                        say(f"timing {SOURCES[source]}, {export.name}, mapped")
                        time_rows(lab, rows, runs, digest, result.notes)
                    result.rows += rows
    if "peers" in beside:
        result.notes += packages.left_out(lab, users)
    return result


def time_rows(lab: Lab, rows: list[Row], runs: int, digest: str, notes: list[str]) -> None:
    """Times each row, after a warm-up, which ours has had."""

    def turn_of(row: Row, turn: int) -> None:
        if turn > 0:
            run(lab, row)
        elif row.way != "ours":
            warm_up(lab, row, digest)

    take_turns(rows, runs, SLOW_RUNS, notes, turn_of)


def warm_up(lab: Lab, row: Row, digest: str) -> None:
    """A first run, for which what came out is looked at."""
    columns = row.export.columns
    if row.url:
        if check_download(lab, row.url, columns, row.users) != digest and row.is_ours:
            raise Failure(f"{row.title} differs")
    elif row.way == "psql same":
        check_same_records(lab, row)
    else:
        lab.run(*row.command, keep_output=False)
        if row.file:
            check_file(row.file, columns, row.users)
            row.file.unlink()


def check_same_records(lab: Lab, row: Row) -> None:
    file, theirs = lab.directory / "download.csv", lab.directory / "psql.csv"
    lab.run(*curl(row.ours.url, output=file))
    lab.run(*psql_copy(same_records(row.export), theirs))
    with open(file, encoding="utf-8", newline="") as ours, open(theirs, encoding="utf-8", newline="") as text:
        records = csv.reader(ours)
        next(records)  # the header
        if any(one != other for one, other in itertools.zip_longest(records, csv.reader(text))):
            raise Failure("psql does not write what Headcount writes")
    file.unlink()
    theirs.unlink()


def run(lab: Lab, row: Row) -> None:
    server = row.server.process.pid if row.server else None
    before = Cpu.so_far(server, lab.postgres)
    seconds, output = lab.time(*row.command, keep_output=row.prints)
    row.cpu += Cpu.so_far(server, lab.postgres) - before
    printed = json.loads(output) if row.prints else {}
    row.seconds.append(printed.get("seconds", seconds))
    if "first_byte" in printed:
        row.first_bytes.append(printed["first_byte"])
    if row.server:
        row.peak_memory = row.server.peak_memory()
    elif "peak_memory" in printed:
        row.peak_memory = max(row.peak_memory or 0, printed["peak_memory"])
    if row.file:
        row.file.unlink()
