"""Many small exports: one after the other, and over several connections at once."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import sqlite3
import statistics
from pathlib import Path
from urllib.parse import quote

from benches import packages
from benches.lab import AUTHORIZATION, SOURCES, Failure, Lab, say
from benches.servers import FULL, check_download, serving

CONNECTIONS = [1, 16, 64]
SLOTS = "64"  # more exports at once than by default, or 64 connections would be answered 503
PAGE_ROWS = 10_000
PAGES = 200
SINGLES = 1_000
PEER_CONNECTIONS = [1, 16]
PEER_PAGES = 48


@dataclasses.dataclass
class Load:
    """Requests by so many connections: of each run the seconds, of all the time of each request."""

    source: str
    who: str
    what: str
    connections: int
    requests: int  # a run
    seconds: list[float] = dataclasses.field(default_factory=list)
    times: list[float] = dataclasses.field(default_factory=list)
    errors: int = 0  # another status than 200, or a transfer that was cut

    @property
    def total(self) -> float:
        return statistics.median(self.seconds)

    @property
    def rate(self) -> float:
        return self.requests / self.total

    @property
    def median(self) -> float:
        return 1000 * statistics.median(self.times)

    @property
    def p99(self) -> float:
        return 1000 * percentile(self.times, 99)


def percentile(values: list[float], percent: int) -> float:
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


def measure(lab: Lab, sources: list[str], data: Path, users: int, runs: int) -> list[Load]:
    page = min(PAGE_ROWS, users)
    starts = [(users - page) * number // PAGES for number in range(PAGES)]
    pages = [f"?limit={page}&after={start}" for start in starts]
    singles = [f"?email={quote(email)}" for email in some_emails(data)]
    loads = []
    for source in sources:
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(serving(lab, source, data, HEADCOUNT_CONCURRENT_EXPORTS=SLOTS))
            ours = server.address() + FULL.path
            kinds = [("headcount", f"{page:,} rows", ours, pages, CONNECTIONS, runs),
                     ("headcount", "one user by email", ours, singles, CONNECTIONS, runs)]
            if packages.is_there(lab, "FastAPI"):
                _, address = stack.enter_context(packages.fastapi(lab, source, data))
                theirs = address + packages.path(FULL)
                kinds.append(("FastAPI", f"{page:,} rows", theirs, pages[:PEER_PAGES], PEER_CONNECTIONS, 1))
            for who, what, url, queries, connections, times in kinds:
                check_download(lab, url + queries[0], FULL.columns, 1 if queries is singles else page)
                say(f"timing {SOURCES[source]}, {what} from {who}")
                loads += take_turns(lab, source, who, what, [url + query for query in queries], connections, times)
    return loads


def some_emails(data: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(f"file:{data}/users.db?mode=ro", uri=True)) as database:
        (last,) = database.execute("select max(id) from users").fetchone()
        ids = sorted({1 + (last - 1) * number // SINGLES for number in range(SINGLES)})
        one = "select email from users where id = ?"
        return [database.execute(one, [each]).fetchone()[0] for each in ids]


def take_turns(lab: Lab, source: str, who: str, what: str, urls: list[str], connections: list[int],
               runs: int) -> list[Load]:
    loads = [Load(source, who, what, each, len(urls)) for each in connections]
    for load in loads:
        request_all(lab, urls[:load.connections], load.connections)  # the warm-up
    for _ in range(runs):
        for load in loads:
            seconds, times, errors = request_all(lab, urls, load.connections)
            load.seconds.append(seconds)
            load.times += times
            load.errors += errors
    return loads


def request_all(lab: Lab, urls: list[str], connections: int) -> tuple[float, list[float], int]:
    """What one curl takes for all of them, what each took, and how many failed."""
    config = lab.directory / "urls.txt"
    lines = [f'header = "{AUTHORIZATION}"', r'write-out = "%{http_code} %{exitcode} %{time_total}\n"']
    if connections > 1:
        lines += ["parallel", "parallel-immediate", f"parallel-max = {connections}"]
    config.write_text("\n".join([*lines, *(f'url = "{url}"\noutput = "/dev/null"' for url in urls)]))
    seconds, output = lab.time("curl", "-sS", "-K", config, may_fail=True)
    answers = [line.split() for line in output.splitlines()]
    if len(answers) != len(urls):
        raise Failure(f"curl made {len(answers)} of {len(urls)} requests")
    errors = sum(answer[:2] != ["200", "0"] for answer in answers)
    return seconds, [float(time) for _, _, time in answers], errors
