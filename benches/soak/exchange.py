"""One request of a soak: how it was made, what its client saw of the answer, and whether that was right."""

from __future__ import annotations

import base64
import gzip
import hashlib
import itertools
import json
import time
from dataclasses import dataclass, field
from typing import Callable, Optional

import zstandard

from benches.lab import Failure
from benches.soak.asks import Ask, read
from benches.soak.deployment import Deployment
from benches.soak.http1 import Http1
from benches.soak.http2 import Http2
from benches.soak.wire import Broken, Reset

NUMBERS = itertools.count(1)
PROTOCOLS = {"HTTP/1.1": Http1, "HTTP/2": Http2}


@dataclass
class Exchange:
    """What a client knows of one request; `saw` is `complete`, `broken`, `refused`, `left` (by itself) or `nothing`."""

    manner: str
    kind: str
    protocol: str
    coding: str = "identity"
    saw: str = "nothing"
    why: str = ""
    status: int = 0
    detail: str = ""
    export_id: str = ""
    received: int = 0  # bytes of the body as they came
    size: int = 0  # of a complete one, uncompressed
    rows: int = 0
    sha256: str = ""
    is_stalled: bool = False
    started: float = field(default_factory=time.monotonic)
    ended: float = 0
    problems: list[str] = field(default_factory=list)
    request_id: str = field(default_factory=lambda: f"soak-{next(NUMBERS)}")

    def __str__(self) -> str:
        what = f"{self.request_id} ({self.manner}, {self.kind}, {self.protocol}, {self.coding})"
        return f"{what} saw {self.saw} {self.status or ''} {self.detail or self.why}, export {self.export_id or '-'}"


class Left(Exception):
    """The client has gone."""


def make(site: Deployment, ask: Ask, manner: str, key: str, protocol: str, coding: str = "identity", *,
         target=None, small_buffers: bool = False, pace: Optional[Callable] = None,
         more: Optional[dict] = None) -> Exchange:
    """One request and its answer. `pace` is called with the client and what it has taken before each read, and may wait
    or raise `Left`."""
    exchange = Exchange(manner, ask.kind, protocol, coding)
    generation, body, client = site.writer.committed, [], None
    try:
        client = PROTOCOLS[protocol](target or site.target, small_buffers)
        headers = {"X-Request-Id": exchange.request_id, "Accept-Encoding": coding, **(more or {})}
        client.send(ask.method, ask.path, {**headers, "Authorization": f"Bearer {key}"} if key else headers)
        if pace:
            pace(exchange, client)
        client.read_head()
        exchange.status = client.status
        exchange.export_id = client.headers.get("x-export-id", "")
        while ask.method != "HEAD":
            if pace:
                pace(exchange, client)
            if not (piece := client.read()):
                break
            exchange.received += len(piece)
            body.append(piece)
        exchange.saw = "complete" if exchange.status == 200 else "refused"
    except Broken as broken:
        is_broken = exchange.status or isinstance(broken, Reset)
        exchange.saw, exchange.why = ("broken" if is_broken else "nothing"), str(broken)
    except Left as left:
        exchange.saw, exchange.why = "left", str(left)
    finally:
        exchange.ended = time.monotonic()
        if client:
            client.close()
    if exchange.saw == "refused" and ask.method != "HEAD":
        coding = client.headers.get("content-encoding", "identity")
        exchange.detail = detail_of(coding, b"".join(body), exchange)
    elif exchange.saw == "complete" and ask.method != "HEAD" and "preflight" not in ask.query:
        check(site, ask, exchange, client, b"".join(body), generation)
    site.ledger.append(exchange)
    return exchange


def detail_of(coding: str, body: bytes, exchange: Exchange) -> str:
    try:
        return json.loads(decode(coding, body))["detail"]
    except (ValueError, KeyError, OSError, zstandard.ZstdError):
        exchange.problems.append(f"an error that is not as promised: {body[:100]}")
        return ""


def check(site: Deployment, ask: Ask, exchange: Exchange, client, body: bytes, generation: int) -> None:
    """A download that its client takes for complete."""
    coding = client.headers.get("content-encoding", "identity")
    if coding != exchange.coding:
        exchange.problems.append(f"came as {coding}")
    try:
        content = decode(coding, body)
    except Exception as error:  # noqa: BLE001 whatever is wrong with it is what is looked for
        exchange.problems.append(f"cannot be unpacked: {error}")
        return
    check_content(site, ask, exchange, content, generation)
    expected = {
        "x-export-rows": str(exchange.rows),
        "x-export-sha256": exchange.sha256,
        "repr-digest": f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:",
    }
    if client.trailers != expected:
        exchange.problems.append(f"the trailers are {client.trailers}, not {expected}")


def check_content(site: Deployment, ask: Ask, exchange: Exchange, content: bytes, generation: int) -> None:
    """That it is one moment of the table, not before `generation`, and what the receipt says."""
    exchange.size, exchange.sha256 = len(content), hashlib.sha256(content).hexdigest()
    try:
        snapshot = read(ask, content)
    except Exception as error:  # noqa: BLE001
        (site.lab.directory / f"{exchange.request_id}.wrong").write_bytes(content)
        exchange.problems.append(f"not one moment of the table: {error}")
        return
    exchange.rows = snapshot.rows
    if snapshot.generation is not None and snapshot.generation < generation:
        exchange.problems.append(f"generation {snapshot.generation}, though {generation} was there before the request")
    verify(site, exchange, content)


def decode(coding: str, body: bytes) -> bytes:
    if coding == "gzip":
        return gzip.decompress(body)
    if coding == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(body)
    return body


def verify(site: Deployment, exchange: Exchange, content: bytes) -> None:
    """With the receipt, which is there as soon as the download is, unless the store or the server is away."""
    receipt = receipt_of(site, exchange)
    if receipt is None:
        return
    file = site.lab.directory / f"{exchange.request_id}.csv"
    receipt_file = file.with_suffix(".receipt.json")
    file.write_bytes(content)
    receipt_file.write_bytes(receipt)
    try:
        said = site.lab.run("headcount", "verify", file, "--receipt", receipt_file, "--public-key", site.public_key)
        if not said.startswith("complete and unchanged"):
            exchange.problems.append(f"verify says {said}")
    except Failure as failure:
        exchange.problems.append(str(failure))
    finally:
        file.unlink()
        receipt_file.unlink()


def receipt_of(site: Deployment, exchange: Exchange) -> Optional[bytes]:
    asked = time.monotonic()
    while True:
        status, answer = 0, b""
        try:
            status, answer = site.get(f"/api/v1/users/exports/{exchange.export_id}", site.keys["auditor"])
        except Broken as broken:
            answer = str(broken).encode()
        if status == 200:
            return answer
        now = time.monotonic()
        if now > asked + 60 or (status not in (0, 503) and not site.is_away(asked - 5, now)):
            exchange.problems.append(f"no receipt: {status} {answer[:200]}")
            return None
        time.sleep(0.5)
