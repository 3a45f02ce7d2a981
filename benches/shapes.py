"""Tables as applications have them: expressions and a condition, many columns, ids that are not where they are read."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import statistics
from pathlib import Path
from typing import Iterator

from benches.data import psql
from benches.lab import SOURCES, Failure, Lab, say
from benches.servers import FULL, curl, postgres_url, serve

WIDE_COLUMNS = 23  # beside those of the contract: 30 in all
WIDE_SHARE = 10  # a tenth of the users, whose rows have about 2 kB
WIDE_NAMES = [f"more_{number}" for number in range(1, WIDE_COLUMNS + 1)]
WIDE_TEXT = 85


@dataclasses.dataclass(frozen=True)
class Shape:
    """A table, made of the sample users, and the configuration that maps it."""

    what: str
    source: str
    sql: list[str]
    configuration: str
    is_wide: bool = False


# What `headcount init` writes for Supabase Auth, with the condition that it suggests.
SUPABASE = Shape(
    "expressions on JSON and a condition, as for Supabase", "postgres",
    ["create table shaped (id uuid primary key, email text, raw_user_meta_data jsonb, banned_until timestamptz,"
     " deleted_at timestamptz, is_anonymous boolean not null, is_super_admin boolean, created_at timestamptz,"
     " updated_at timestamptz)",
     "insert into shaped select md5(id::text)::uuid, email, jsonb_build_object('full_name', name, 'sub', id::text),"
     " null, null, false, is_admin, created_at, updated_at from users"],
    """where = "NOT is_anonymous AND deleted_at IS NULL"
[source.columns]
name = { sql = "coalesce(raw_user_meta_data->>'full_name', raw_user_meta_data->>'name')" }
is_active = { sql = "deleted_at IS NULL AND (banned_until IS NULL OR banned_until <= now())" }
is_admin = "is_super_admin"
""")
# The same for Discourse, whose addresses are in another table.
DISCOURSE = Shape(
    "a subquery for each user and a condition, as for Discourse", "postgres",
    ["create table shaped_emails (user_id bigint, email text, \"primary\" boolean)",
     "insert into shaped_emails select id, email, true from users",
     "create index on shaped_emails (user_id) where \"primary\"",
     "create table shaped (id bigint primary key, username text, name text, active boolean, staged boolean,"
     " suspended_till timestamp, admin boolean, created_at timestamp, updated_at timestamp)",
     "insert into shaped select id, 'user' || id, name, is_active, false, null, is_admin, created_at at time zone 'UTC',"
     " updated_at at time zone 'UTC' from users order by id",
     "vacuum analyze shaped_emails"],
    """where = "id > 0 AND NOT staged"
[source.columns]
email = { sql = '(SELECT e.email FROM shaped_emails e WHERE e.user_id = shaped.id AND e."primary")' }
name = { sql = "coalesce(nullif(trim(name), ''), username)" }
is_active = { sql = "active AND NOT staged AND (suspended_till IS NULL OR suspended_till <= now() AT TIME ZONE 'UTC')" }
is_admin = "admin"
""")
SHUFFLED = Shape(
    "ids not in the order of the heap", "postgres",
    ["create table shaped as select * from users order by md5(id::text)", "alter table shaped add primary key (id)"], "")
WIDE_POSTGRES = Shape(
    "30 columns, 2 kB a row", "postgres",
    ["create table shaped as select *, " + ", ".join(f"repeat(md5(id::text || '{name}'), 3)::varchar({WIDE_TEXT}) as {name}"
                                                     for name in WIDE_NAMES) + f" from users where id % {WIDE_SHARE} = 0 order by id",
     "alter table shaped add primary key (id)"],
    "", is_wide=True)
SQLITE_EXPRESSIONS = Shape(
    "expressions and a condition", "sqlite",
    ["create table shaped as select *, '' as nick, 0 as staged from users", "create unique index shaped_id on shaped (id)"],
    """where = "id > 0 AND NOT staged"
[source.columns]
name = { sql = "coalesce(nullif(trim(name), ''), nick)" }
is_active = { sql = "is_active AND NOT staged" }
""")
SQLITE_TEXT_IDS = Shape(
    "ids that are no rowids", "sqlite",
    ["create table shaped (id text primary key, email text, name text, created_at timestamp, updated_at timestamp,"
     " is_active boolean, is_admin boolean)",
     "insert into shaped select lower(hex(randomblob(16))), email, name, created_at, updated_at, is_active, is_admin"
     " from users"], "")
WIDE_SQLITE = Shape(
    "30 columns, 2 kB a row", "sqlite",
    [f"create table shaped (id integer primary key, email text, name text, created_at timestamp, updated_at timestamp,"
     f" is_active boolean, is_admin boolean, {', '.join(f'{name} text' for name in WIDE_NAMES)})",
     "insert into shaped select *, " + ", ".join([f"substr(hex(randomblob(43)), 1, {WIDE_TEXT})"] * WIDE_COLUMNS)
     + f" from users where id % {WIDE_SHARE} = 0"],
    "", is_wide=True)

SHAPES = [SQLITE_EXPRESSIONS, SQLITE_TEXT_IDS, WIDE_SQLITE, SUPABASE, DISCOURSE, SHUFFLED, WIDE_POSTGRES]


@dataclasses.dataclass
class Shaped:
    """What an export of such a table took, and the plain export in the same turns."""

    shape: Shape
    rows: int
    size: int
    seconds: list[float] = dataclasses.field(default_factory=list)
    plain: list[float] = dataclasses.field(default_factory=list)
    plain_size: int = 0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def ratio(self) -> float:
        """Of the time for a MB to that of the plain export."""
        per_byte = [ours / self.size / (plain / self.plain_size) for ours, plain in zip(self.seconds, self.plain)]
        return statistics.median(per_byte)


def measure(lab: Lab, sources: list[str], data: Path, runs: int) -> Iterator[Shaped]:
    for source in sources:
        with serve(lab, f"serve-plain-{source}", lab.directory / f"data-plain-{source}", source,
                   **plain_source(source, data)) as plain:
            url = plain.address() + FULL.path
            for shape in (shape for shape in SHAPES if shape.source == source):
                say(f"timing {SOURCES[source]}, {shape.what}")
                with serving(lab, shape, data) as shaped:
                    yield take_turns(lab, shape, shaped, curl(url), runs)


def plain_source(source: str, data: Path) -> dict:
    return {"HEADCOUNT_SOURCE_URL": f"sqlite:{data / 'users.db'}"} if source == "sqlite" else {}


@contextlib.contextmanager
def serving(lab: Lab, shape: Shape, data: Path) -> Iterator[list]:
    """The command that asks for its export, as long as there is a server for it."""
    directory = lab.directory / f"data-shaped-{shape.source}"
    directory.mkdir(exist_ok=True)
    file, settings = directory / "shaped.db", {}
    url = postgres_url(lab) if shape.source == "postgres" else f"sqlite:{file}"
    if shape.source == "sqlite":
        file.unlink(missing_ok=True)
        statements = [f"attach '{data / 'users.db'}' as app", *shape.sql]
        lab.run("sqlite3", file, ";".join(statements).replace("from users", "from app.users"))
    else:
        psql(lab, "drop table if exists shaped, shaped_emails", *shape.sql, "vacuum analyze shaped", "checkpoint")
    config = directory / "headcount.toml"
    config.write_text(f'[source]\nurl = "{url}"\ntable = "shaped"\n{shape.configuration}' + (wide_profile() if shape.is_wide else ""))
    settings["HEADCOUNT_FEATURES"] = "users:export_full" + (",users:export_wide" if shape.is_wide else "")
    with serve(lab, "serve-shaped", directory, shape.source, "--config", config, **settings) as server:
        address = server.address()
        if shape.is_wide:
            options = ["--config", config, "--data-dir", directory]
            key = lab.run("headcount", *options, "keys", "create", "bench", "--export", "wide").strip()
            yield curl(address + "/api/v1/users/exports/profiles/wide", authorization=f"Authorization: Bearer {key}")
        else:
            yield curl(address + FULL.path)
    if shape.source == "postgres":
        psql(lab, "drop table if exists shaped, shaped_emails")


def wide_profile() -> str:
    names = [*FULL.columns.split(","), *WIDE_NAMES]
    columns = "".join(f'{name} = "{name}"\n' for name in WIDE_NAMES)
    listed = ", ".join(f'"{name}"' for name in names)
    return f"[source.columns]\n{columns}[exports.wide]\ncolumns = [{listed}]\n"


def take_turns(lab: Lab, shape: Shape, asked: list, plain: list, runs: int) -> Shaped:
    size, rows = what_comes(lab, asked)
    shaped = Shaped(shape, rows, size, plain_size=what_comes(lab, plain)[0])
    if rows < 1:
        raise Failure(f"{shape.what}: the export is empty")
    for turn in range(runs):
        for command in (asked, plain) if turn % 2 == 0 else (plain, asked):
            seconds = lab.time(*command)[0]
            (shaped.seconds if command is asked else shaped.plain).append(seconds)
    return shaped


def what_comes(lab: Lab, command: list) -> tuple[int, int]:
    """Bytes and records of an export."""
    file = lab.directory / "download.csv"
    lab.run(*[file if part == "/dev/null" else part for part in command])
    with open(file, encoding="utf-8", newline="") as text:
        rows = sum(1 for _ in csv.reader(text)) - 1
    size = file.stat().st_size
    file.unlink()
    return size, rows
