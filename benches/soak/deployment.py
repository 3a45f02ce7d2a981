"""One Headcount with its source and its store: how it starts, dies, and what its administrator does meanwhile."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from benches.lab import Failure, Lab, free_port
from benches.soak.http1 import Http1
from benches.soak.wire import Target, trusting

FEATURES = ["users:export", "users:export_full", "users:export_support"]
STALL = 5  # seconds; limits.client_stall
CONFIGURATION = """listen = "127.0.0.1:{port}"
features = {features}
[source]
url = "{source}"
parallelism = 2
[store]
url = "{store}"
[exports.support]
columns = ["id", "name", {{ column = "email", as = "E-mail" }}]
mask = {{ email = "partial" }}
[log]
format = "json"
[limits]
client_stall = "{stall}s"
shutdown_grace = "10s"
queue_timeout = "5s"
failed_keys_per_minute = 60
"""
TLS = '[tls]\ncert = "{0}.crt"\nkey = "{0}.key"\n'


@dataclass
class Window:
    """A time in which something was away, by the monotonic clock."""

    start: float
    end: float = float("inf")

    def meets(self, start: float, end: float) -> bool:
        return self.start <= end and start <= self.end


@dataclass
class Switched:
    """A flag, or a key: since when it has been so for sure, and whether that is just changing."""

    is_on: bool = True
    since: float = field(default_factory=time.monotonic)

    def change(self, is_on: bool, settled: float) -> None:
        self.is_on, self.since = is_on, settled

    def surely(self, started: float) -> Optional[bool]:
        """Its state, if that had counted everywhere when a request started (within a second, as promised)."""
        state, since = self.is_on, self.since
        return state if started > since + 1 else None


class Deployment:
    def __init__(self, lab: Lab, name: str, source: str, store: str, https: bool):
        self.lab, self.name = lab, name
        self.data = lab.directory / f"data-{name}"
        self.config = lab.directory / f"{name}.toml"
        self.target = Target(free_port())
        text = CONFIGURATION.format(port=self.target.port, features=json.dumps(FEATURES), stall=STALL,
                                    source=source, store=store)
        if https:
            certificate = lab.directory / name
            make_certificate(lab, certificate)
            self.certificate = f"{certificate}.crt"
            self.target.tls = trusting(self.certificate)
            text += TLS.format(certificate)
        self.config.write_text(text)
        self.stack = ExitStack()
        self.server = None
        self.starts = 0
        self.deaths: list[Window] = []
        self.outages: list[Window] = []  # of the database of source and store
        self.keys: dict[str, str] = {}
        self.support = Switched()
        self.revocable = Switched()
        self.budget_rows: dict[str, int] = {}

    # The process

    def start(self) -> None:
        self.starts += 1
        options = ["--config", self.config, "--data-dir", self.data, "serve"]
        log = f"{self.name}-{self.starts}.log"
        self.server = self.stack.enter_context(self.lab.background(log, "headcount", *options))
        self.server.wait_for(lambda: "listening on" in self.server.log.read_text(errors="replace"))

    def stop(self) -> int:
        """Lets it end as a service manager would; its exit code."""
        self.server.process.send_signal(signal.SIGTERM)
        code = self.server.process.wait(60)
        self.stack.close()
        return code

    def kill(self) -> None:
        """Ends it as the kernel would for want of memory, and starts it anew."""
        window = Window(time.monotonic())
        self.deaths.append(window)
        self.server.process.kill()
        self.server.process.wait()
        self.stack.close()
        self.start()
        window.end = time.monotonic()

    def hang_up(self) -> None:
        self.server.process.send_signal(signal.SIGHUP)

    def logs(self) -> str:
        names = (self.lab.directory / f"{self.name}-{start}.log" for start in range(1, self.starts + 1))
        return "".join(name.read_text(errors="replace") for name in names)

    # The administrator

    def run(self, *arguments) -> str:
        """A command of Headcount's; again, for a minute, if the store is away."""
        deadline = time.monotonic() + 60
        while True:
            try:
                return self.lab.run("headcount", "--config", self.config, "--data-dir", self.data, *arguments)
            except Failure:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def make_keys(self) -> None:
        grants = ["--grant", "users:export_support"]
        self.keys["good"] = self.make_key("good", "--kind", "export", *grants)
        self.keys["minimal"] = self.make_key("minimal", "--kind", "standard")
        self.keys["auditor"] = self.make_key(
            "auditor", "--kind", "standard", "--grant", "audit:read", "--without", "users:export")
        self.public_key = self.lab.directory / f"{self.name}.pem"
        self.public_key.write_text(self.run("receipts", "public-key"))

    def make_key(self, *arguments) -> str:
        return self.run("keys", "create", *arguments).strip()

    def renew_budget(self, rows: int) -> None:
        name = f"budget-{len(self.budget_rows)}"
        key = self.make_key(name, "--kind", "export", "--rows-per-day", str(rows))
        self.budget_rows[name] = rows
        self.keys["budget"] = key

    def renew_revocable(self) -> None:
        key = self.make_key("revocable", "--kind", "export")
        self.keys["revocable"] = key
        self.revocable.change(True, time.monotonic())

    def revoke(self) -> None:
        listed = json.loads(self.run("keys", "list", "--json"))
        self.revocable.change(True, float("inf"))
        for key in listed:
            if key["name"] == "revocable" and not key["revoked_at"]:
                self.run("keys", "revoke", key["id"])
        self.revocable.change(False, time.monotonic())

    def switch_support(self) -> None:
        is_on = not self.support.is_on
        self.support.change(self.support.is_on, float("inf"))
        self.run("flags", "enable" if is_on else "disable", "users:export_support")
        self.support.change(is_on, time.monotonic())

    def records(self) -> list[dict]:
        return json.loads(self.run("audit", "list", "--json"))

    # What it says of itself

    def get(self, path: str, key: Optional[str] = None) -> tuple[int, bytes]:
        client = Http1(self.target)
        try:
            client.send("GET", path, {"Authorization": f"Bearer {key}"} if key else {})
            client.read_head()
            return client.status, b"".join(iter(client.read, b""))
        finally:
            client.close()

    def gauges(self) -> dict[str, float]:
        """The gauges of work in hand, as far as this version has them."""
        text = self.get("/metrics")[1].decode()
        names = "headcount_exports_in_flight|headcount_exports_waiting|headcount_spool_\\w+"
        found = re.findall(rf"^({names}) ([\d.e+]+)$", text, re.MULTILINE)
        return {name: float(value) for name, value in found if not name.endswith("_total")}

    def is_away(self, start: float, end: float) -> bool:
        return any(window.meets(start, end) for window in [*self.deaths, *self.outages])

    def was_killed(self, start: float, end: float) -> bool:
        return any(window.meets(start, end) for window in self.deaths)


def make_certificate(lab: Lab, name: Path) -> None:
    lab.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
            "-out", f"{name}.crt", "-keyout", f"{name}.key")
    os.chmod(f"{name}.key", 0o600)
