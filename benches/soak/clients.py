"""The clients of a soak that have a key, and how they behave."""

from __future__ import annotations

import random
import re
import subprocess
import time
from typing import Optional

from benches.soak import exchange
from benches.soak.asks import Ask, any_ask
from benches.soak.deployment import STALL, Deployment
from benches.soak.exchange import Exchange, Left
from benches.soak.wire import Broken, reset

MEGABYTE = 1_000_000
CODINGS = ["identity", "identity", "gzip", "zstd"]
PROTOCOLS = list(exchange.PROTOCOLS)


def fast(site: Deployment, choice: random.Random) -> None:
    ask = any_ask(choice, site.users)
    # Who is active only a key for the full export may ask.
    key = site.keys["minimal" if ask.export == "minimal" and "is_active" not in ask.query else "good"]
    exchange.make(site, ask, "fast", key, choice.choice(PROTOCOLS), choice.choice(CODINGS))
    time.sleep(choice.random() / 4)


def curl(site: Deployment, choice: random.Random) -> None:
    """What curl takes for complete: its exit code is 0."""
    ask, protocol = any_ask(choice, site.users), choice.choice(PROTOCOLS)
    made, generation = Exchange("curl", ask.kind, protocol, "any"), site.writer.committed
    body, head = (site.lab.directory / f"{made.request_id}.{what}" for what in ("body", "head"))
    version = {"HTTP/1.1": "--http1.1", "HTTP/2": "--http2" if site.target.tls else "--http2-prior-knowledge"}
    command = [site.lab.tools["curl"], "-sS", version[protocol], "--compressed", "-o", body, "-D", head,
               "-H", f"X-Request-Id: {made.request_id}", "-H", f"Authorization: Bearer {site.keys['good']}"]
    trusted = ["--cacert", site.certificate] if site.target.tls else []
    scheme = "https" if site.target.tls else "http"
    url = f"{scheme}://127.0.0.1:{site.target.port}{ask.path}"
    ran = subprocess.run([*command, *trusted, url], capture_output=True, text=True, check=False)
    made.ended = time.monotonic()
    fields = head.read_text() if head.exists() else ""
    content = body.read_bytes() if body.exists() else b""
    made.status = int(fields.split()[1]) if fields else 0
    if found := re.search(r"^x-export-id: (\w+)", fields, re.MULTILINE | re.IGNORECASE):
        made.export_id = found[1]
    if ran.returncode == 0:
        made.saw = "complete" if made.status == 200 else "refused"
    else:
        # 92: a stream was reset, perhaps before its head.
        made.saw = "broken" if made.status or ran.returncode == 92 else "nothing"
        made.why = ran.stderr.strip() or f"curl: ({ran.returncode})"
    if made.saw == "complete":
        exchange.check_content(site, ask, made, content, generation)
    elif made.saw == "refused":
        made.detail = exchange.detail_of("identity", content, made)
    for file in (body, head):
        file.unlink(missing_ok=True)
    site.ledger.append(made)
    time.sleep(choice.random() / 4)


def slow(site: Deployment, choice: random.Random) -> None:
    """Takes about a megabyte in a second, or pauses, or stalls for longer than it may."""
    manner = choice.choice(["throttled", "throttled", "paused", "paused", "stalled"])
    first, pauses = None, choice.sample(range(1, 3 * MEGABYTE), 2)
    is_waiting = False

    def pace(made: Exchange, _client) -> None:
        nonlocal first, is_waiting
        first = first or time.monotonic()
        if manner == "throttled":
            time.sleep(max(0.0, min(1.0, first + made.received / MEGABYTE - time.monotonic())))
        elif manner == "paused" and pauses and made.received >= min(pauses):
            pauses.remove(min(pauses))
            time.sleep(choice.uniform(0.5, STALL / 2))
        elif manner == "stalled" and not is_waiting and made.received > MEGABYTE:
            is_waiting = made.is_stalled = True
            time.sleep(STALL + 4)

    ask = Ask(choice.choice(["full", "full", "support"]))
    exchange.make(site, ask, manner, site.keys["good"], choice.choice(PROTOCOLS), small_buffers=True, pace=pace)


def leaving(site: Deployment, choice: random.Random) -> None:
    """Goes away: after half a request, before the head, or somewhere in the body, by a close or by a reset."""
    where = choice.choice(["half a request", "before the head", "in the body", "in the body", "in the body"])
    how = choice.choice(["closed", "reset"])
    limit = choice.randrange(1, 6 * MEGABYTE)

    def go(client) -> None:
        (reset(client.socket) if how == "reset" else client.leave())
        raise Left(f"{where}, {how}")

    def pace(made: Exchange, client) -> None:
        if where == "before the head":
            time.sleep(choice.choice([0, 0.001, 0.01, 0.1]))
            go(client)
        if where == "in the body" and made.received >= limit:
            go(client)

    protocol = choice.choice(PROTOCOLS)
    if where == "half a request":
        half_a_request(site, choice, go)
    else:
        ask = Ask(choice.choice(["full", "minimal"]))
        coding = choice.choice(["identity", "identity", "gzip"])
        exchange.make(site, ask, "leaving", site.keys["good"], protocol, coding, small_buffers=True, pace=pace)
    time.sleep(choice.random() / 4)


def half_a_request(site: Deployment, choice: random.Random, go) -> None:
    made = Exchange("leaving", "full", "HTTP/1.1")
    try:
        client = exchange.Http1(site.target)
        client.send_raw(f"GET {Ask('full').path} HTTP/1.1\r\nHost: x\r\nX-Request-Id: {made.request_id}\r\n".encode())
        time.sleep(choice.random() / 2)
        go(client)
    except Left as left:
        made.saw, made.why = "left", str(left)
    except Broken as broken:
        made.why = str(broken)
    made.ended = time.monotonic()
    site.ledger.append(made)


def odd(site: Deployment, choice: random.Random) -> None:
    """`HEAD`, preflights, refusals, budgets, keys and flags that change."""
    choice.choice([head, preflight, refused, budget, budget, revocable, revocable, support, support])(site, choice)
    time.sleep(choice.random() / 4)


def head(site: Deployment, choice: random.Random) -> None:
    exchange.make(site, Ask("full", method="HEAD"), "head", site.keys["good"], "HTTP/1.1")


def preflight(site: Deployment, choice: random.Random) -> None:
    ask = Ask("full", {"preflight": "true"})
    exchange.make(site, ask, "preflight", site.keys["good"], choice.choice(PROTOCOLS))


def refused(site: Deployment, choice: random.Random) -> None:
    """By a parameter, or by a grant."""
    query, key = choice.choice([({"is_actve": "true"}, "good"), ({"limit": "0"}, "good"), ({"format": "xml"}, "good"),
                                ({}, "minimal")])
    made = exchange.make(site, Ask("full", query), "refused", site.keys[key], choice.choice(PROTOCOLS))
    if made.saw == "complete":
        made.problems.append("was not refused")


def budget(site: Deployment, choice: random.Random) -> None:
    if "budget" in site.keys:
        ask = Ask(choice.choice(["full", "minimal"]))
        exchange.make(site, ask, "budget", site.keys["budget"], choice.choice(PROTOCOLS), choice.choice(CODINGS))


def revocable(site: Deployment, choice: random.Random) -> None:
    key, started = site.keys["revocable"], time.monotonic()
    is_good = site.revocable.surely(started)
    made = exchange.make(site, Ask("minimal", {"limit": "10"}), "revocable", key, choice.choice(PROTOCOLS))
    expect(made, key == site.keys["revocable"] and site.revocable.surely(started) == is_good, is_good, 401)


def support(site: Deployment, choice: random.Random) -> None:
    started = time.monotonic()
    is_on = site.support.surely(started)
    made = exchange.make(site, Ask("support", {"limit": "10"}), "flag", site.keys["good"], choice.choice(PROTOCOLS))
    expect(made, site.support.surely(started) == is_on, is_on, 403)


def expect(made: Exchange, is_sure: bool, is_allowed: Optional[bool], status: int) -> None:
    """An answer that fits what an administrator did a second ago or earlier, if it can be told."""
    if not is_sure or is_allowed is None or made.status in (0, 429, 500, 503):
        return
    if (made.status == status) == is_allowed:
        made.problems.append(f"was answered {made.status}, though it was {'on' if is_allowed else 'off'} by then")
