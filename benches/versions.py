"""Two versions of Headcount beside each other, in turns: a machine that drifts drifts for both."""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
from pathlib import Path
from typing import Callable
from urllib.parse import quote

from benches.lab import SOURCES, Failure, Lab, say
from benches.load import CONNECTIONS, PAGE_ROWS, PAGES, SLOTS, request_all, some_emails
from benches.servers import EXPORTS, FULL, check_download, curl, serve

OURS, OTHER = "headcount", "other"


@dataclasses.dataclass
class Pair:
    """The seconds of each run of the one version, and of the other right before or after it."""

    source: str
    what: str
    connections: int
    ours: list[float] = dataclasses.field(default_factory=list)
    other: list[float] = dataclasses.field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Ours over the other's: the median of what each turn says."""
        return statistics.median(ours / other for ours, other in zip(self.ours, self.other))


def measure(lab: Lab, sources: list[str], data: Path, users: int, runs: int) -> list[Pair]:
    pairs = []
    for source in sources:
        with contextlib.ExitStack() as stack:
            addresses = {tool: stack.enter_context(server(lab, tool, source, data)).address() for tool in (OURS, OTHER)}
            for export in EXPORTS:
                def whole(tool, path=export.path):
                    return lab.time(*curl(addresses[tool] + path))[0]

                for address in addresses.values():
                    check_download(lab, address + export.path, export.columns, users)
                pairs.append(take_turns(Pair(source, f"{export.name}, whole", 1), whole, 4 * runs))
            page = min(PAGE_ROWS, users)
            pages = [f"?limit={page}&after={(users - page) * number // PAGES}" for number in range(PAGES)]
            singles = [f"?email={quote(email)}" for email in some_emails(data)]
            for what, queries in ((f"{page:,} rows", pages), ("one user by email", singles)):
                for connections in CONNECTIONS:
                    def small(tool, queries=queries, connections=connections):
                        urls = [addresses[tool] + FULL.path + query for query in queries]
                        seconds, _, errors = request_all(lab, urls, connections)
                        if errors:
                            raise Failure(f"{errors} of {len(urls)} requests over {connections} connections failed")
                        return seconds

                    pairs.append(take_turns(Pair(source, what, connections), small, runs))
    return pairs


def server(lab: Lab, tool: str, source: str, data: Path):
    directory = lab.directory / f"data-{tool}-{source}"
    settings = {"HEADCOUNT_CONCURRENT_EXPORTS": SLOTS}
    if source == "sqlite":
        settings["HEADCOUNT_SOURCE_URL"] = f"sqlite:{data / 'users.db'}"
    return serve(lab, f"serve-{tool}-{source}", directory, source, tool=tool, **settings)


def take_turns(pair: Pair, run: Callable[[str], float], turns: int) -> Pair:
    say(f"comparing {SOURCES[pair.source]}, {pair.what}, {pair.connections}")
    for tool in (OURS, OTHER):
        run(tool)  # the warm-up
    for turn in range(turns):
        for tool in (OURS, OTHER) if turn % 2 == 0 else (OTHER, OURS):
            (pair.ours if tool == OURS else pair.other).append(run(tool))
    return pair
