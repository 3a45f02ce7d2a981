"""How soon `/healthz` answers while whole exports run."""

from __future__ import annotations

import dataclasses
import http.client
import statistics
import time
from pathlib import Path
from urllib.parse import urlsplit

from benches.lab import AUTHORIZATION, SOURCES, Background, Failure, Lab, say
from benches.load import percentile
from benches.servers import FULL, serving

EXPORTS = 8
SAMPLES = 300  # at least
PAUSE = 0.005


@dataclasses.dataclass
class Health:
    source: str
    idle: list[float]
    busy: list[float]

    def milliseconds(self) -> list[float]:
        """Median and 99th percentile, idle and busy."""
        return [1000 * value for times in (self.idle, self.busy)
                for value in (statistics.median(times), percentile(times, 99))]

    @property
    def busy_p99(self) -> float:
        return 1000 * percentile(self.busy, 99)


def measure(lab: Lab, sources: list[str], data: Path) -> list[Health]:
    result = []
    for source in sources:
        say(f"timing {SOURCES[source]}, /healthz beside {EXPORTS} exports")
        # One more than run: one key is not let into the last.
        with serving(lab, source, data, HEADCOUNT_CONCURRENT_EXPORTS=str(EXPORTS + 1)) as server:
            address = server.address()
            connection = http.client.HTTPConnection(urlsplit(address).netloc)
            idle = [sample(connection) for _ in range(SAMPLES)]
            busy = []
            while len(busy) < SAMPLES:
                with exporting(lab, address + FULL.path) as exports:
                    busy += samples_during(connection, exports)
            connection.close()
            result.append(Health(source, idle, busy))
    return result


def exporting(lab: Lab, url: str):
    """One curl that reads as many exports at once."""
    parallel = ["--parallel", "--parallel-immediate", "--parallel-max", str(EXPORTS)]
    each = [part for _ in range(EXPORTS) for part in ("-o", "/dev/null", url)]
    return lab.background("exports.log", "curl", "-sS", "--fail", *parallel, "-H", AUTHORIZATION, *each)


def samples_during(connection: http.client.HTTPConnection, exports: Background) -> list[float]:
    samples = []
    while exports.process.poll() is None:
        samples.append(sample(connection))
    if exports.process.returncode != 0:
        raise Failure(f"an export failed beside /healthz: {exports.said()}")
    return samples


def sample(connection: http.client.HTTPConnection) -> float:
    time.sleep(PAUSE)
    before = time.perf_counter()
    connection.request("GET", "/healthz")
    response = connection.getresponse()
    response.read()
    if response.status != 200:
        raise Failure(f"/healthz answered {response.status}")
    return time.perf_counter() - before
