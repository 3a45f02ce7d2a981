"""The ways to get one export out of one database: ours, and the databases' own command lines."""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
from contextlib import ExitStack
from pathlib import Path
from typing import Iterator, Optional

from benches.cpu import Cpu
from benches.lab import SOURCES, Background, Lab
from benches.servers import FULL, Export, curl, serving_alone, serving_mapped

TEXT = "case when left(ltrim({0}, ''''), 1) in ('=', '+', '-', '@', e'\\t', e'\\r') then '''' || {0} else {0} end"
TIME = """replace(to_char({0} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '.000000Z', 'Z')"""
SAME_RECORDS = {"email": TEXT, "name": TEXT, "created_at": TIME, "updated_at": TIME, "is_active": "{0}::text",
                "is_admin": "{0}::text"}


@dataclasses.dataclass
class Row:
    """One way, and what was measured of it."""

    way: str
    title: str
    source: str
    export: Export
    users: int
    command: list
    url: Optional[str] = None  # that curl reads
    ours: Optional[Row] = None
    prints: bool = True  # a line of JSON; the others print the export
    slow: bool = False
    file: Optional[Path] = None  # where the export is afterwards
    server: Optional[Background] = None
    seconds: list = dataclasses.field(default_factory=list)
    first_bytes: list = dataclasses.field(default_factory=list)
    peak_memory: Optional[float] = None  # in MiB
    cpu: Cpu = dataclasses.field(default_factory=Cpu)  # of all timed runs

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def first_byte(self) -> Optional[float]:
        return 1000 * statistics.median(self.first_bytes) if self.first_bytes else None

    @property
    def ratio(self) -> float:
        return self.median / self.ours.median

    @property
    def what(self) -> str:
        return self.export.name

    @property
    def is_ours(self) -> bool:
        return self.way in ("ours", "one thread", "unmapped", "mapped")

    def beside(self, way: str, title: str, command: list, **more) -> Row:
        return Row(way, title, self.source, self.export, self.users, command, ours=self, **more)

    def beside_over_http(self, way: str, title: str, url: str, **more) -> Row:
        return self.beside(way, title, curl(url), url=url, **more)


def our_row(source: str, export: Export, server: Background, users: int) -> Row:
    url = server.address() + export.path
    return Row("ours", f"**headcount**, {SOURCES[source]}", source, export, users, curl(url), url, server=server)


def our_variants(lab: Lab, ours: Row, data: Path, stack: ExitStack) -> Iterator[Row]:
    """The full export with one thread."""
    if ours.export is FULL and ours.source == "sqlite":
        alone = stack.enter_context(serving_alone(lab, data))
        url = alone.address() + FULL.path
        yield ours.beside_over_http("one thread", "headcount, SQLite, one thread", url, server=alone)


@contextlib.contextmanager
def mapped(lab: Lab, ours: Row, data: Path) -> Iterator[list[Row]]:
    """Ours once more, and the same export of a table whose columns are all mapped."""
    title = f"headcount, {SOURCES[ours.source]}, "
    again = our_row(ours.source, ours.export, ours.server, ours.users)
    again.way, again.title = "unmapped", title + "in turns with the next"
    with serving_mapped(lab, ours.source, data) as server:
        url = server.address() + FULL.path
        yield [again, again.beside_over_http("mapped", title + "every column mapped", url, server=server)]


def tools(ours: Row, data: Path) -> Iterator[Row]:
    """The databases' own command lines."""
    columns = ours.export.columns
    by_id = f"select {columns} from users order by id"
    if ours.source == "sqlite":
        command = ["sqlite3", "-csv", data / "users.db", by_id]
        yield ours.beside("sqlite3", "`sqlite3 -csv`, by id", command, prints=False)
        return
    plain = "users" if ours.export is FULL else f"users ({columns})"
    ways = {
        "psql by id": (r"`psql \copy … csv`, by id", f"({by_id})", "csv"),
        "psql": (r"`psql \copy … csv`, unordered", plain, "csv"),
        "psql same": (r"`psql \copy … csv`, by id, written as ours", same_records(ours.export), "csv"),
        "psql binary": (r"`psql \copy … binary`, unordered", plain, "binary"),
    }
    for way, (title, what, form) in ways.items():
        yield ours.beside(way, title, psql_copy(what, "/dev/null", form), prints=False)


def psql_copy(what: str, file, form: str = "csv") -> list:
    return ["psql", "-Xq", "-c", rf"\copy {what} to '{file}' {form}"]


def same_records(export: Export) -> str:
    """A query in brackets whose CSV has our records: only the ends of the lines are others."""
    columns = (f"{SAME_RECORDS.get(name, '{0}').format(name)} as {name}" for name in export.columns.split(","))
    return f"(select {', '.join(columns)} from users order by users.id)"
