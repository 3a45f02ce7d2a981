"""The sample users of `headcount demo`, in SQLite and in a throw-away PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
from pathlib import Path
from typing import Iterator

from benches.lab import Failure, Lab, free_port, say

CREATE_USERS = """create table users (id bigint primary key, email text, name text,
    created_at timestamptz, updated_at timestamptz, is_active boolean, is_admin boolean)"""
# The same table as some other application would have made it.
MAPPED = {"id": "member_no", "email": "mail", "name": "display", "created_at": "joined", "updated_at": "changed",
          "is_active": "enabled", "is_admin": "staff"}


def make_users(lab: Lab, count: int, sources: list[str]) -> Path:
    """The sample users as a data directory of Headcount's, and in PostgreSQL if that is a source."""
    say(f"making {count:,} users")
    data = lab.directory / "data"
    shutil.rmtree(data, ignore_errors=True)
    demo = ["--data-dir", data, "demo", "--users", str(count), "--listen", "127.0.0.1:0"]
    with lab.background("demo.log", "headcount", *demo) as server:
        server.address()
    if "postgres" in sources:
        load_into_postgres(lab, data)
    return data


def load_into_postgres(lab: Lab, data: Path) -> None:
    say("loading them into PostgreSQL")
    file = lab.directory / "users.csv"
    lab.run("headcount", "--data-dir", data, "export", "full", "--sanitize", "false", "-o", file)
    psql(lab, "drop table if exists users", CREATE_USERS, f"\\copy users from '{file}' csv header")
    psql(lab, "create index users_email on users (email)", "vacuum analyze users", "checkpoint")
    file.unlink()


@contextlib.contextmanager
def mapped_configuration(lab: Lab, source: str, data: Path, directory: Path) -> Iterator[Path]:
    """The same users in a table with other names, and the configuration that maps them."""
    directory.mkdir(exist_ok=True)
    columns = "".join(f'{column} = "{name}"\n' for column, name in MAPPED.items())
    url = ""
    if source == "sqlite":
        file = directory / "app.db"
        shutil.copyfile(data / "users.db", file)
        renames = [f"alter table users rename column {column} to {name}" for column, name in MAPPED.items()]
        lab.run("sqlite3", file, ";".join([*renames, "alter table users rename to members"]))
        url = f'url = "sqlite:{file}"\n'
    else:
        selected = ", ".join(f"{column} as {name}" for column, name in MAPPED.items())
        psql(lab, "drop table if exists members", f"create table members as select {selected} from users order by id",
             f"alter table members add primary key ({MAPPED['id']})", "vacuum analyze members", "checkpoint")
    config = directory / "headcount.toml"
    config.write_text(f'[source]\n{url}table = "members"\n[source.columns]\n{columns}')
    yield config
    if source == "postgres":
        psql(lab, "drop table members")


@contextlib.contextmanager
def postgres(lab: Lab):
    """A PostgreSQL as initdb makes it; only where it listens is set."""
    user = make_cluster(lab)
    with running_cluster(lab, user) as server:
        lab.postgres = server.process.pid
        yield


def make_cluster(lab: Lab) -> tuple:
    """Makes one, and says with which options of setpriv it has to run."""
    say("starting PostgreSQL")
    data, password = lab.directory / "postgres", lab.directory / "password"
    data.mkdir(mode=0o700)
    password.write_text(secrets.token_hex(16))
    user = ()
    if os.geteuid() == 0:
        account = unprivileged_account()
        user = (f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups")
        os.chown(data, account.pw_uid, account.pw_gid)
        os.chown(password, account.pw_uid, account.pw_gid)
    password.chmod(0o400)
    login = {"PGUSER": "bench", "PGPASSWORD": password.read_text(), "PGDATABASE": "postgres"}
    lab.environment.update(login, PGHOST="127.0.0.1", PGPORT=str(free_port()))
    cluster = ["-U", "bench", "-A", "scram-sha-256", f"--pwfile={password}", "-E", "UTF8", "--locale=C"]
    with lab.background("initdb.log", "initdb", "-D", data, *cluster, user=user) as creation:
        if creation.process.wait() != 0:
            raise Failure(f"initdb failed: {creation.said()}")
    return user


@contextlib.contextmanager
def running_cluster(lab: Lab, user: tuple):
    where = ["-h", "127.0.0.1", "-p", lab.environment["PGPORT"], "-c", "unix_socket_directories="]
    where += ["-c", "max_connections=300"]  # two servers over 64 connections each
    data = lab.directory / "postgres"
    running = lab.background("postgres.log", "postgres", "-D", data, *where, stop=signal.SIGINT, user=user)
    with running as server:
        server.wait_for(lambda: answers(lab))
        yield server


def unprivileged_account() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise Failure("PostgreSQL does not run as root, and there is no user postgres or nobody to run it")


def psql(lab: Lab, *commands: str) -> None:
    lab.run("psql", "-Xq", "-v", "ON_ERROR_STOP=1", *(f"--command={command}" for command in commands))


def answers(lab: Lab) -> bool:
    try:
        psql(lab, "select")
    except Failure:
        return False
    return True
