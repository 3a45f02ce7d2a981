"""The users table of a soak: who writes to it without a pause, and how an export of it proves to be of one moment.

Every user but the first and the last holds a balance; a transaction moves some of it from one user to another, or makes or
removes a user, or changes `is_active`. The first and the last user hold the generation, which each transaction counts up, and
what it left: how many users there are, how many of them are active, and the sums of their balances and of their ids. So rows
of two moments do not add up, wherever in the table they come together.
"""

from __future__ import annotations

import contextlib
import random
import re
import sqlite3
import threading
import time
from dataclasses import dataclass
from typing import Callable, Optional

FIRST, LAST = 1, 2_000_000_000
BALANCE = 1000
COLUMNS = "id,email,name,created_at,updated_at,is_active,is_admin"
CREATE = """create table users (id {key} primary key, email text, name text,
    created_at {time}, updated_at {time}, is_active boolean, is_admin boolean)"""
TOTALS = re.compile(rb"generation (\d+) users (\d+) active (\d+) balances (-?\d+) ids (\d+)")
NOW = "2026-01-02T03:04:05Z"


@dataclass
class Totals:
    generation: int
    users: int
    active: int
    balances: int
    ids: int

    def __str__(self) -> str:
        return (f"generation {self.generation} users {self.users} active {self.active} "
                f"balances {self.balances} ids {self.ids}")


def totals_of(name: bytes) -> Totals:
    return Totals(*(int(number) for number in TOTALS.fullmatch(name).groups()))


class Writer(threading.Thread):
    """Commits to the table until it is told to stop, and begins again whenever its database was away."""

    def __init__(self, connect: Callable, users: int, seed: int):
        super().__init__(name="writer")
        self.connect, self.random = connect, random.Random(seed)
        self.balances = dict.fromkeys(range(FIRST + 1, users), BALANCE)
        self.ids = list(self.balances)
        self.active = set(self.ids)
        self.next_id = users
        self.totals = Totals(0, users, users, BALANCE * (users - 2), sum(self.ids) + FIRST + LAST)
        self.committed = 0  # the newest generation that is known to be there
        self.commits = self.lost = 0
        self.problem: Optional[str] = None
        self.is_stopped = threading.Event()

    def rows(self):
        for id in [FIRST, *self.ids, LAST]:
            name = f"balance {BALANCE}" if id in self.balances else str(self.totals)
            yield id, email(id), name, NOW, NOW, True, False

    def run(self) -> None:
        try:
            while not self.is_stopped.is_set():
                with contextlib.suppress(OSError, *self.connect.errors):
                    with contextlib.closing(self.connect()) as database:
                        self._write(database)
                self.is_stopped.wait(0.2)
        except Exception as error:  # noqa: BLE001 the soak reports it
            self.problem = f"the writer died: {error!r}"

    def _write(self, database) -> None:
        undo = None
        while not self.is_stopped.is_set():
            if undo is None:
                self._look_what_is_there(database)
            statements, undo = self._plan()
            try:
                database.transact(statements)
            except BaseException:
                self.lost += 1
                self._undo = undo
                raise
            self.committed, self._undo = self.totals.generation, None
            self.commits += 1
            self.is_stopped.wait(self.random.choice([0.001, 0.005, 0.02, 0.05]))

    _undo: Optional[Callable] = None

    def _look_what_is_there(self, database) -> None:
        """After a commit of which nobody knows whether it counted."""
        there = totals_of(database.name_of(FIRST).encode())
        if self._undo and there.generation != self.totals.generation:
            self._undo()
        self._undo = None
        if there != self.totals:
            raise RuntimeError(f"the database has {there}, and was given {self.totals}")

    def _plan(self) -> tuple[list, Callable]:
        """The statements of the next transaction, which is already in what this keeps, and how to take it out again."""
        before = Totals(**vars(self.totals))
        changed = {}  # what was known of these ids
        statements = []

        def remember(id: int) -> None:
            changed.setdefault(id, (self.balances.get(id), id in self.active))

        def set_balance(id: int, balance: int) -> None:
            remember(id)
            self.balances[id] = balance
            statements.append(("update users set name = ?, updated_at = ? where id = ?", (f"balance {balance}", NOW, id)))

        pairs = 200 if self.random.random() < 0.02 else self.random.randint(1, 5)
        for _ in range(pairs):
            one, other = self.random.sample(self.ids, 2)
            amount = self.random.randint(1, 500)
            set_balance(one, self.balances[one] - amount)
            set_balance(other, self.balances[other] + amount)
        what = self.random.random()
        if what < 0.3:
            id, giver = self.next_id, self.random.choice(self.ids)
            self.next_id += self.random.randint(1, 3)
            set_balance(giver, self.balances[giver] - 7)
            remember(id)
            self.balances[id] = 7
            self.ids.append(id)
            self.active.add(id)
            self.totals.users, self.totals.active = self.totals.users + 1, self.totals.active + 1
            self.totals.ids += id
            row = (id, email(id), "balance 7", NOW, NOW, True, False)
            statements.append((f"insert into users ({COLUMNS}) values (?, ?, ?, ?, ?, ?, ?)", row))
        elif what < 0.6:
            place = self.random.randrange(len(self.ids))
            id, heir = self.ids[place], self.random.choice(self.ids)
            if id != heir:
                set_balance(heir, self.balances[heir] + self.balances[id])
                remember(id)
                self.ids[place] = self.ids[-1]
                self.ids.pop()
                del self.balances[id]
                self.totals.users, self.totals.ids = self.totals.users - 1, self.totals.ids - id
                self.totals.active -= id in self.active
                self.active.discard(id)
                statements.append(("delete from users where id = ?", (id,)))
        elif what < 0.9:
            id = self.random.choice(self.ids)
            remember(id)
            is_active = id not in self.active
            (self.active.add if is_active else self.active.discard)(id)
            self.totals.active += 1 if is_active else -1
            statements.append(("update users set is_active = ? where id = ?", (is_active, id)))
        self.totals.generation += 1
        for end in (FIRST, LAST):
            statements.append(("update users set name = ? where id = ?", (str(self.totals), end)))

        def undo() -> None:
            self.totals = before
            for id, (balance, was_active) in changed.items():
                if balance is None:
                    del self.balances[id]
                else:
                    self.balances[id] = balance
                (self.active.add if was_active else self.active.discard)(id)
            self.ids = list(self.balances)

        return statements, undo


def email(id: int) -> str:
    return f"somebody.number.{id}@example.com"


class Sqlite:
    """Connects to the table in a SQLite file."""

    errors = (sqlite3.Error,)

    def __init__(self, path):
        self.path = path

    def __call__(self):
        return SqliteConnection(self.path)


class SqliteConnection:
    def __init__(self, path):
        self.database = sqlite3.connect(path, timeout=60, isolation_level=None)

    def make(self, rows) -> None:
        self.database.execute("pragma journal_mode = wal")
        self.database.execute(CREATE.format(key="integer", time="text"))
        self.database.execute("begin")
        self.database.executemany(f"insert into users ({COLUMNS}) values (?, ?, ?, ?, ?, ?, ?)", rows)
        self.database.execute("commit")

    def transact(self, statements) -> None:
        self.database.execute("begin immediate")
        for sql, values in statements:
            self.database.execute(sql, values)
        self.database.execute("commit")

    def name_of(self, id: int) -> str:
        return self.database.execute("select name from users where id = ?", (id,)).fetchone()[0]

    def close(self) -> None:
        self.database.close()


class Postgres:
    """Connects to the table in PostgreSQL."""

    def __init__(self, login: str):
        import psycopg

        self.psycopg, self.login, self.errors = psycopg, login, (psycopg.Error,)

    def __call__(self):
        return PostgresConnection(self.psycopg.connect(self.login, autocommit=True, connect_timeout=5))


class PostgresConnection:
    def __init__(self, database):
        self.database = database

    def make(self, rows) -> None:
        self.database.execute(CREATE.format(key="bigint", time="timestamptz"))
        with self.database.cursor().copy(f"copy users ({COLUMNS}) from stdin") as copy:
            for row in rows:
                copy.write_row(row)
        self.database.execute("vacuum analyze users")

    def transact(self, statements) -> None:
        with self.database.transaction():
            for sql, values in statements:
                self.database.execute(sql.replace("?", "%s"), values)

    def name_of(self, id: int) -> str:
        return self.database.execute("select name from users where id = %s", (id,)).fetchone()[0]

    def close(self) -> None:
        self.database.close()
