"""Headcount's server, how curl reads an export from it, and what a download must hold."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import hashlib
from pathlib import Path

from benches.data import mapped_configuration
from benches.lab import AUTHORIZATION, KEY, Failure, Lab


@dataclasses.dataclass(frozen=True)
class Export:
    name: str
    path: str
    columns: str


FULL = Export("full", "/api/v1/users/export-full", "id,email,name,created_at,updated_at,is_active,is_admin")
MINIMAL = Export("minimal", "/api/v1/users/export", "id,email,name")
EXPORTS = [FULL, MINIMAL]


def serving(lab: Lab, source: str, data: Path, **settings):
    if source == "postgres":
        data = lab.directory / "data-postgres"
    return serve(lab, f"serve-{source}", data, source, **settings)


def serving_alone(lab: Lab, data: Path):
    """A server that reads with one thread."""
    config = lab.directory / "one-thread.toml"
    config.write_text("[source]\nparallelism = 1\n")
    return serve(lab, "serve-one-thread", data, "sqlite", "--config", config)


@contextlib.contextmanager
def serving_mapped(lab: Lab, source: str, data: Path):
    """A server of the same users in a table with other names, which is there as long."""
    directory = lab.directory / f"data-mapped-{source}"
    with mapped_configuration(lab, source, data, directory) as config:
        with serve(lab, f"serve-mapped-{source}", directory, source, "--config", config) as server:
            yield server


def serve(lab: Lab, log: str, data: Path, source: str, *options, tool: str = "headcount", **settings):
    environment = {
        "HEADCOUNT_FEATURES": "users:export,users:export_full",
        "HEADCOUNT_EXPORT_API_KEY": KEY,
        **settings,
    }
    if source == "postgres":
        environment["HEADCOUNT_SOURCE_URL"] = postgres_url(lab)
    command = [*options, "--data-dir", data, "serve", "--listen", "127.0.0.1:0"]
    return lab.background(f"{log}.log", tool, *command, **environment)


def postgres_url(lab: Lab) -> str:
    return "postgres://{PGUSER}:{PGPASSWORD}@{PGHOST}:{PGPORT}/{PGDATABASE}".format(**lab.environment)


def curl(url: str, *options, output="/dev/null", authorization=AUTHORIZATION) -> list:
    """Prints what curl saw as a line of JSON."""
    show = '{"first_byte": %{time_starttransfer}, "bytes": %{size_download}}'
    return ["curl", "-sS", "--fail", "-w", show, "-o", output, "-H", authorization, *options, url]


def check_download(lab: Lab, url: str, columns: str, users: int, *options) -> str:
    """Lets curl save an export; its SHA-256, if it is whole."""
    file = lab.directory / "download.csv"
    lab.run(*curl(url, *options, output=file))
    check_file(file, columns, users)
    digest = sha256(file)
    file.unlink()
    return digest


def check_file(file: Path, columns: str, users: int) -> None:
    """That a CSV has all its columns and one record a user."""
    with open(file, encoding="utf-8", newline="") as text:
        records = csv.reader(text, strict=True)
        header = next(records, [])
        count = sum(len(record) == len(header) for record in records)
    if ",".join(header) != columns or count != users:
        raise Failure(f"a download has {count:,} records of {header}, not {users:,} of {columns}")


def sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with open(file, "rb") as content:
        while block := content.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
