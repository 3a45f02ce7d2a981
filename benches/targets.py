"""What Headcount promises itself, and whether it was met."""

from __future__ import annotations

from typing import Iterator, Optional

from benches.exports import Exports
from benches.health import Health
from benches.lab import SOURCES
from benches.load import Load

PEERS = [  # our export is so many times as fast
    ("full", "psql", r"`psql \copy … csv`, unordered", 2.0),
    ("full", "psql binary", r"`psql \copy … binary`", 1.2),
    ("full", "sqlite3", "`sqlite3 -csv`", 3.5),
    ("minimal", "sqlite3", "`sqlite3 -csv`", 2.5),
    ("minimal", "psql", r"`psql \copy … csv`, unordered", 1.8),
]
MIB = 64
GROWTH = 1.1
MAPPED = 1.1
FIRST_BYTE = 20  # ms
TAIL = 4  # p99 by median
FASTAPI = 40
HEALTH = 20  # ms


def lines(exports: Optional[Exports], larger: list[Exports], loads: list[Load],
          healths: list[Health]) -> Iterator[str]:
    yield "### Targets"
    yield ""
    if exports:
        yield from of_exports(exports)
        yield from of_memory(exports, larger)
    yield from of_loads(loads)
    for health in healths:
        p99 = health.busy_p99
        yield target(f"`/healthz` p99 under {HEALTH} ms, {SOURCES[health.source]}", p99 < HEALTH, f"{p99:.2f} ms")


def target(text: str, met: bool, measured: str) -> str:
    return f"- {text}: {'met' if met else '**missed**'} ({measured})"


def of_exports(exports: Exports) -> Iterator[str]:
    for export, way, title, least in PEERS:
        for row in exports.rows:
            if (row.export.name, row.way) == (export, way):
                yield target(f"{export} export at least {least} × {title}", row.ratio >= least, f"{row.ratio:.2f} ×")
    for ours in (row for row in exports.rows if row.ours is None):
        rivals = [row.ratio for row in exports.rows if row.ours is ours and row.way.startswith("duckdb")]
        if rivals:
            text = f"{ours.export.name} export ahead of DuckDB, {SOURCES[ours.source]}"
            yield target(text, min(rivals) > 1, f"{min(rivals):.2f} ×")
    for row in exports.rows:
        if row.way == "mapped":
            text = f"mapped full export at most 10 % slower, {SOURCES[row.source]}"
            yield target(text, row.ratio <= MAPPED, f"{row.ratio:.2f} ×")
    first = max(row.first_byte for row in exports.ours())
    yield target(f"first byte of an export within {FIRST_BYTE} ms", first <= FIRST_BYTE, f"{first:.1f} ms")


def of_memory(exports: Exports, larger: list[Exports]) -> Iterator[str]:
    memory = exports.peak_memory()
    peak = max(peak for result in [exports, *larger] for peak in result.peak_memory().values())
    yield target(f"peak memory at most {MIB} MiB", peak <= MIB, f"{peak:.1f} MiB")
    for result in larger:
        growth = max(peak / memory[source] for source, peak in result.peak_memory().items())
        text = f"at most 10 % more memory with {result.rows[0].users:,} users"
        yield target(text, growth <= GROWTH, f"{growth:.3f} ×")


def of_loads(loads: list[Load]) -> Iterator[str]:
    by_key = {(load.source, load.who, load.what, load.connections): load for load in loads}
    for (source, who, what, connections), load in by_key.items():
        one = by_key[source, who, what, 1]
        where = f"{what}, {SOURCES[source]}"
        if who == "headcount" and connections == 16:
            change = load.total / one.total
            text = f"16 connections not slower than one after the other, {where}"
            yield target(text, change <= 1, f"{change:.2f} of the time")
            tail = load.p99 / load.median
            yield target(f"16 connections, p99 under {TAIL} × the median, {where}", tail < TAIL, f"{tail:.2f} ×")
        if who == "FastAPI":
            ratio = by_key[source, "headcount", what, connections].rate / load.rate
            over = "one after the other" if connections == 1 else f"over {connections} connections"
            text = f"{FASTAPI} × FastAPI, {over}, {where}"
            yield target(text, ratio >= FASTAPI, f"{ratio:.1f} ×")
    ours = [load for load in loads if load.who == "headcount"]
    if ours:
        errors = sum(load.errors for load in ours)
        requests = sum(len(load.times) for load in ours)
        yield target("small exports without an error", errors == 0, f"{errors} of {requests:,} requests")
