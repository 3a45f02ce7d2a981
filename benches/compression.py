"""Whole exports as gzip and zstd."""

from __future__ import annotations

import dataclasses
import json
import statistics
from pathlib import Path

from benches.lab import SOURCES, Failure, Lab, say
from benches.servers import FULL, check_download, curl, serving

ENCODINGS = ["identity", "gzip", "zstd"]


@dataclasses.dataclass
class Encoded:
    source: str
    encoding: str
    accept: list  # curl's options
    size: int = 0
    seconds: list[float] = dataclasses.field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def measure(lab: Lab, sources: list[str], data: Path, users: int, runs: int) -> list[Encoded]:
    result = []
    for source in sources:
        say(f"timing {SOURCES[source]}, compressed")
        with serving(lab, source, data) as server:
            url = server.address() + FULL.path
            rows = [Encoded(source, each, ["-H", f"Accept-Encoding: {each}"]) for each in ENCODINGS]
            warm_up(lab, url, users, rows)
            for _ in range(runs):
                for row in rows:
                    seconds, output = lab.time(*curl(url, *row.accept))
                    row.seconds.append(seconds)
                    row.size = json.loads(output)["bytes"]
            result += rows
    return result


def warm_up(lab: Lab, url: str, users: int, rows: list[Encoded]) -> None:
    """That all of them are the same, as far as this curl can unpack them."""
    unpacks = lab.run("curl", "--version")
    digests = {
        check_download(lab, url, FULL.columns, users, "--compressed", *row.accept)
        for row in rows
        if row.encoding != "zstd" or "zstd" in unpacks
    }
    if len(digests) != 1:
        raise Failure("a compressed export is not the same as the plain one")
