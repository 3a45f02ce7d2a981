"""Clients that mean no good. Each has an address of its own, so that failed keys count against nobody else."""

from __future__ import annotations

import contextlib
import random
import time

from benches.soak import exchange
from benches.soak.asks import Ask
from benches.soak.deployment import Deployment
from benches.soak.exchange import Exchange
from benches.soak.http1 import Http1
from benches.soak.http2 import Http2
from benches.soak.wire import Broken

ADDRESS = "127.0.0.66"


def hostile(site: Deployment, choice: random.Random) -> None:
    choice.choice([bad_key, bad_key, bad_key, garbage, huge_head, slow_head, resets, old_version])(site, choice)
    time.sleep(choice.random() / 2)


def bad_key(site: Deployment, choice: random.Random) -> None:
    wrong = "hc_exp_" + "".join(choice.choices("0123456789abcdefABCDEF", k=49))
    key = choice.choice(["", "x", wrong, site.keys["good"][:-1] + "?"])
    made = exchange.make(site, Ask(choice.choice(["full", "minimal"])), "bad key", key,
                         choice.choice(list(exchange.PROTOCOLS)), target=site.target.from_address(ADDRESS))
    if made.saw == "complete" or made.status not in (0, 401, 429, 503):
        made.problems.append("a bad key was not refused")


def garbage(site: Deployment, choice: random.Random) -> None:
    noise = choice.choice([
        choice.randbytes(2000),
        b"GET / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nabcde",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + choice.randbytes(500),
        b"GET /api/v1/users/export-full HTTP/1.1\r\nHost: x\r\nBad Header: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00" + choice.randbytes(300),
    ])
    send_and_wait(site, noise)


def huge_head(site: Deployment, choice: random.Random) -> None:
    fields = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 1000) for number in range(choice.choice([70, 200])))
    answer = send_and_wait(site, b"GET /api/v1/users/export-full HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n")
    if answer.startswith(b"HTTP/1.1 200"):
        site.problems.append("a huge head was accepted")


def slow_head(site: Deployment, choice: random.Random) -> None:
    """A byte every now and then, and then silence."""
    with contextlib.suppress(Broken):
        client = Http1(site.target.from_address(ADDRESS))
        for byte in b"GET /api/v1/users/export-full HT":
            client.send_raw(bytes([byte]))
            time.sleep(choice.random() / 4)
        client.close()


def send_and_wait(site: Deployment, what: bytes) -> bytes:
    """What comes back within a second."""
    answer = b""
    with contextlib.suppress(Broken, OSError):
        client = Http1(site.target.from_address(ADDRESS))
        client.send_raw(what)
        client.socket.settimeout(1)
        with contextlib.suppress(OSError):
            answer = client.socket.recv(1000)
        client.close()
    return answer


def resets(site: Deployment, choice: random.Random) -> None:
    """Exports that are asked for with a good key, and reset at once, on one connection."""
    made = [Exchange("reset", "full", "HTTP/2") for _ in range(choice.choice([3, 10, 30]))]
    try:
        client = Http2(site.target)
        for each in made:
            headers = {"x-request-id": each.request_id, "authorization": f"Bearer {site.keys['good']}"}
            stream = client.open("GET", Ask("full").path, headers)
            each.saw, each.why = "left", "reset at once"
            if choice.random() < 0.5:
                client.socket.sendall(client.connection.data_to_send())
            client.connection.reset_stream(stream)
        client.socket.sendall(client.connection.data_to_send())
        time.sleep(choice.random() / 4)
        client.close()
    except (Broken, OSError) as error:  # what was sent until then still stands in the ledger
        for each in made:
            each.why = each.why or str(error)
    for each in made:
        each.ended = time.monotonic()
    site.ledger.extend(made)


def old_version(site: Deployment, choice: random.Random) -> None:
    """HTTP/1.0 has no way to tell a cut transfer."""
    answer = send_and_wait(site, b"GET /api/v1/users/export-full HTTP/1.0\r\nAuthorization: Bearer "
                           + site.keys["good"].encode() + b"\r\n\r\n")
    if answer and b" 505 " not in answer[:20]:
        site.problems.append(f"HTTP/1.0 was answered {answer[:60]}")
