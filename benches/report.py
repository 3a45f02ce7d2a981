"""What was measured, as Markdown."""

from __future__ import annotations

import datetime
import os
import re
import shlex
import statistics
import sys
from typing import Iterator

from benches.compression import Encoded
from benches.exports import Exports
from benches.formats import Written
from benches.health import EXPORTS, Health
from benches.lab import SOURCES
from benches.load import SLOTS, Load
from benches.shapes import Shaped
from benches.versions import Pair
from benches.ways import Row


def head(users: int, runs: int, machine: str, versions: str) -> Iterator[str]:
    yield f"## {users:,} users, {datetime.date.today()}"
    yield ""
    options = [re.sub("^(--binary=|--against=)?/.*/", r"\1", option) for option in sys.argv[1:]]  # where it lies is nobody's
    yield f"`{shlex.join(['scripts/bench', *options])}` on {machine}."
    yield ""
    yield f"With {versions}."
    yield ""
    yield f"Seconds are the median of {runs} (min–max) after a warm-up, ours and the peers' in turns."
    yield ""


def table(*columns: str) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield "|---" * len(columns) + "|"


def line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def exports(result: Exports) -> Iterator[str]:
    yield "### Whole exports"
    yield ""
    yield "HTTP is curl's, to `/dev/null`. The ratio is the peer's median over ours. Peak memory is that of the"
    yield "server so far, or of a Python process without one; the first byte is the median of what curl saw."
    yield ""
    yield from table("export", "way", "seconds", "ratio", "rows/s", "peak memory", "first byte")
    yield from map(export_line, result.rows)
    yield ""
    digests = ", ".join(f"{export} `{digest}`" for export, digest in result.digests.items())
    both = ", the same from both databases" if len({row.source for row in result.rows}) == 2 else ""
    yield f"Every export had {result.rows[0].users:,} records. SHA-256 of ours{both}: {digests}."
    yield ""
    for note in result.notes:
        yield note
        yield ""


def processors(result: Exports) -> Iterator[str]:
    cores = os.cpu_count()
    yield "### Who uses the processors"
    yield ""
    yield f"Seconds of CPU of an export, and how much of {cores} cores that is as long as it takes; the rest is idle or the"
    yield "kernel's own. The server is what curl asks; the client is curl, or the peer itself."
    yield ""
    yield from table("export", "way", "server", "PostgreSQL", "client", "together", "of the cores")
    for row in result.rows:
        each = row.cpu.each(len(row.seconds))
        together = sum(each)
        mean = statistics.mean(row.seconds)
        yield line(row.export.name, row.title, *(f"{seconds:.3f}" if seconds >= 0.001 else "" for seconds in each),
                   f"{together:.3f}", f"{together / cores / mean:.0%}")
    yield ""


def export_line(row: Row) -> str:
    return line(
        row.export.name,
        row.title,
        spread(row.seconds, row.median),
        f"{row.ratio:.2f} ×" if row.ours else "",
        f"{row.users / row.median:,.0f}",
        f"{row.peak_memory:.1f} MiB" if row.peak_memory else "",
        f"{row.first_byte:.1f} ms" if row.first_byte else "",
    )


def spread(seconds: list[float], median: float) -> str:
    return f"{median:.3f} ({min(seconds):.3f}–{max(seconds):.3f})"


def small(loads: list[Load]) -> Iterator[str]:
    yield "### Small exports"
    yield ""
    yield "Full exports with `limit` and `after`, or of one user by `email`, by one curl that keeps its connections."
    yield f"Seconds are for all requests; median and p99 are of one. `limits.concurrent_exports` was {SLOTS}."
    yield ""
    yield from table("database", "who", "what", "connections", "requests", "seconds", "requests/s", "median", "p99",
                     "errors")
    for load in loads:
        yield line(SOURCES[load.source], load.who, load.what, f"{load.connections}", f"{load.requests}",
                   spread(load.seconds, load.total), f"{load.rate:,.1f}", f"{load.median:.1f} ms",
                   f"{load.p99:.1f} ms", f"{load.errors}")
    yield ""


def formats(rows: list[Written], notes: list[str]) -> Iterator[str]:
    yield "### Formats"
    yield ""
    yield "Full exports into a file: ours by curl. Ours are compared with our CSV in the same turns, the peers with ours. Peak"
    yield "memory is that of a server that did nothing else."
    yield ""
    yield from table("database", "way", "seconds", "beside our CSV", "beside ours", "size", "peak memory")
    for row in rows:
        yield line(SOURCES[row.source], row.title if row.is_ours else f"{row.title}, {row.format}", spread(row.seconds, row.median),
                   f"{row.median / row.csv.median:.2f} ×" if row.csv else "",
                   f"{row.median / row.ours.median:.2f} ×" if row.ours else "",
                   f"{row.bytes / 1e6:.1f} MB", f"{row.peak_memory:.1f} MiB" if row.peak_memory else "")
    yield ""
    for note in notes:
        yield note
        yield ""


def format_memory(rows: list[tuple[str, str, int, float]]) -> Iterator[str]:
    yield from table("database", "format", "users", "peak memory")
    for source, format, users, memory in rows:
        yield line(SOURCES[source], format, f"{users:,}", f"{memory:.1f} MiB")
    yield ""


def versions(pairs: list[Pair]) -> Iterator[str]:
    yield "### Beside another version"
    yield ""
    yield "Seconds of all requests of a run, of both versions in turns. The ratio is the median of what each turn says:"
    yield "ours over the other's, so that less than 1 is faster."
    yield ""
    yield from table("database", "what", "connections", "seconds", "the other's", "ratio")
    for pair in pairs:
        yield line(SOURCES[pair.source], pair.what, f"{pair.connections}",
                   spread(pair.ours, statistics.median(pair.ours)), spread(pair.other, statistics.median(pair.other)),
                   f"{pair.ratio:.3f}")
    yield ""


def shapes(results: Iterator[Shaped]) -> Iterator[str]:
    yield "### Tables as applications have them"
    yield ""
    yield "Whole exports of other tables, in turns with the plain full export. The ratio is that of the time for a MB."
    yield ""
    yield from table("database", "table", "rows", "seconds", "rows/s", "MB/s", "ratio")
    for shaped in results:
        yield line(SOURCES[shaped.shape.source], shaped.shape.what, f"{shaped.rows:,}", spread(shaped.seconds, shaped.median),
                   f"{shaped.rows / shaped.median:,.0f}", f"{shaped.size / shaped.median / 1e6:,.0f}", f"{shaped.ratio:.2f} ×")
    yield ""


def health(results: list[Health]) -> Iterator[str]:
    yield f"### `/healthz` beside {EXPORTS} full exports"
    yield ""
    yield from table("database", "samples", "idle, median", "idle, p99", "busy, median", "busy, p99")
    for result in results:
        times = (f"{value:.2f} ms" for value in result.milliseconds())
        yield line(SOURCES[result.source], f"{len(result.busy)}", *times)
    yield ""


def compression(rows: list[Encoded]) -> Iterator[str]:
    yield "### Compressed full exports"
    yield ""
    yield "MB/s are of the content, not of what it is packed into."
    yield ""
    yield from table("database", "encoding", "seconds", "MB/s", "size", "of the content")
    plain = {row.source: row.size for row in rows if row.encoding == "identity"}
    for row in rows:
        content = plain[row.source]
        yield line(SOURCES[row.source], row.encoding, spread(row.seconds, row.median),
                   f"{content / row.median / 1e6:,.0f}", f"{row.size / 1e6:,.1f} MB", f"{row.size / content:.1%}")
    yield ""


def memory(results: list[Exports]) -> Iterator[str]:
    yield "### Peak memory and first byte, by the number of users"
    yield ""
    yield from table("users", "export", "database", "seconds", "peak memory", "first byte")
    for result in results:
        for row in result.ours():
            yield line(f"{row.users:,}", row.export.name, SOURCES[row.source], spread(row.seconds, row.median),
                       f"{row.peak_memory:.1f} MiB", f"{row.first_byte:.1f} ms")
    yield ""
