"""What happens to the deployments of a soak while their clients go on: an administrator, and accidents."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from typing import Callable

import psycopg

from benches.data import make_cluster, running_cluster
from benches.lab import Failure, Lab, say
from benches.soak.deployment import Deployment, Window

DYING_WRITER = """import os, sqlite3, sys
database = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
database.execute("pragma cache_size = 10")  # so that pages go to the log before the commit that never comes
database.execute("begin immediate")
database.execute("update users set name = 'nobody'")
os.kill(os.getpid(), 9)
"""


class Cluster:
    """The PostgreSQL, with a role that reads users, and one that keeps the store."""

    def __init__(self, lab: Lab):
        self.lab, self.stack = lab, ExitStack()
        self.user = make_cluster(lab)
        self._start()
        self.password = lab.environment["PGPASSWORD"]
        with self.connect() as database:
            for role in ("reader", "keeper"):
                database.execute(f"create role {role} login password '{self.password}'")
            database.execute("create database store owner keeper")

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(self.login, autocommit=True, connect_timeout=5)

    @property
    def login(self) -> str:
        return "user={PGUSER} password={PGPASSWORD} host={PGHOST} port={PGPORT} dbname={PGDATABASE}".format(
            **self.lab.environment)

    def url(self, role: str, database: str) -> str:
        return f"postgres://{role}:{self.password}@127.0.0.1:{self.lab.environment['PGPORT']}/{database}"

    def sessions(self, role: str) -> list[str]:
        with self.connect() as database:
            sql = "select coalesce(state, '-') from pg_stat_activity where usename = %s"
            return [state for (state,) in database.execute(sql, (role,))]

    def crash(self, how: signal.Signals) -> None:
        """SIGQUIT is what `pg_ctl -m immediate` sends; SIGKILL leaves even the sessions to find out by themselves."""
        self.server.process.send_signal(how)
        self.server.process.wait()
        self.stack.close()
        for _ in range(100):
            with contextlib.suppress(Failure):
                return self._start()
            time.sleep(0.2)  # the old server's processes still hold its memory
        raise Failure("PostgreSQL did not start again")

    def kill_a_session(self) -> None:
        """After which the server throws out all others, too, and recovers."""
        with self.connect() as database:
            sql = "select pid from pg_stat_activity where usename in ('reader', 'keeper') order by random() limit 1"
            if found := database.execute(sql).fetchone():
                os.kill(found[0], signal.SIGKILL)
        for _ in range(300):
            with contextlib.suppress(psycopg.Error):
                return self.connect().close()
            time.sleep(0.1)

    def terminate_readers(self) -> None:
        with self.connect() as database:
            database.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'reader'")

    def _start(self) -> None:
        with ExitStack() as starting:
            self.server = starting.enter_context(running_cluster(self.lab, self.user))
            self.stack = starting.pop_all()


class Schedule:
    """Things to do, each again and again after a random time, and some once."""

    def __init__(self, seconds: float, choice: random.Random):
        self.seconds, self.choice, self.start = seconds, choice, time.monotonic()
        self.jobs: list[list] = []  # when, how often, what it is called, what it is
        self.done: dict[str, int] = {}

    def every(self, shortest: float, longest: float, name: str, what: Callable) -> None:
        first = min(self.choice.uniform(shortest, longest), self.seconds * self.choice.uniform(0.3, 0.6))
        self.jobs.append([self.start + first, (shortest, longest), name, what])

    def once(self, part: float, name: str, what: Callable) -> None:
        """After this part of the time."""
        self.jobs.append([self.start + part * self.seconds, None, name, what])

    def run(self) -> None:
        while (now := time.monotonic()) < self.start + self.seconds:
            for job in sorted(self.jobs, key=lambda job: job[0]):
                when, again, name, what = job
                if when > now:
                    break
                say(f"{now - self.start:.0f} s: {name}")
                what()
                self.done[name] = self.done.get(name, 0) + 1
                if again:
                    job[0] = time.monotonic() + self.choice.uniform(*again)
                else:
                    self.jobs.remove(job)
            time.sleep(0.1)


def away(site: Deployment, what: Callable) -> Callable:
    """Does it, and notes when."""

    def noted() -> None:
        window = Window(time.monotonic())
        site.outages.append(window)
        what()
        window.end = time.monotonic()

    return noted


def plan(schedule: Schedule, sites: dict[str, Deployment], cluster: Cluster) -> None:
    choice = schedule.choice
    for site in sites.values():
        schedule.every(6, 12, f"{site.name}: a new budget", lambda site=site: site.renew_budget(int(2.6 * site.users)))
        schedule.every(5, 8, f"{site.name}: a key is revoked or made", lambda site=site: turn_key(site))
        schedule.every(5, 8, f"{site.name}: a flag is switched", site.switch_support)
        schedule.once(0.5, f"{site.name}: headcount is killed", site.kill)
    sqlite, postgres = sites["sqlite"], sites["postgres"]
    schedule.every(10, 20, "sqlite: SIGHUP", sqlite.hang_up)
    crash = [(lambda how=how: cluster.crash(how)) for how in (signal.SIGQUIT, signal.SIGKILL)]
    accidents = [*crash, cluster.kill_a_session, cluster.terminate_readers]
    schedule.every(12, 30, "postgres: an accident", lambda: away(postgres, choice.choice(accidents))())
    schedule.once(0.2, "postgres: immediate restart", away(postgres, crash[0]))
    schedule.once(0.75, "postgres: killed", away(postgres, crash[1]))
    file = sqlite.lab.directory / "app.db"
    works = [checkpoint, vacuum, hold_lock, die_writing]
    schedule.every(4, 8, "sqlite: maintenance", lambda: in_background(choice.choice(works), file))
    for part, work in zip((0.15, 0.3, 0.6, 0.8), works):
        schedule.once(part, f"sqlite: {work.__name__}", lambda work=work: in_background(work, file))


def turn_key(site: Deployment) -> None:
    if site.revocable.is_on:
        site.revoke()
    else:
        site.renew_revocable()


def in_background(work: Callable, file) -> None:
    threading.Thread(target=work, args=[file], name=work.__name__, daemon=True).start()


def checkpoint(file) -> None:
    with contextlib.closing(sqlite3.connect(file, timeout=30)) as database:
        database.execute("pragma wal_checkpoint(truncate)")


def vacuum(file) -> None:
    with contextlib.closing(sqlite3.connect(file, timeout=30, isolation_level=None)) as database:
        with contextlib.suppress(sqlite3.OperationalError):  # somebody else was always first
            database.execute("vacuum")


def hold_lock(file) -> None:
    with contextlib.closing(sqlite3.connect(file, timeout=30, isolation_level=None)) as database:
        database.execute("begin exclusive")
        time.sleep(2)
        database.execute("rollback")


def die_writing(file) -> None:
    subprocess.run([sys.executable, "-c", DYING_WRITER, file], check=False)
