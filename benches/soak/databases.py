"""Connections of the soak's own to the users table, alike for both databases."""

from __future__ import annotations

import sqlite3

import psycopg

from benches.soak.table import COLUMNS

CREATE = """create table users (id {key} primary key, email text, name text,
    created_at {time}, updated_at {time}, is_active boolean, is_admin boolean)"""


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

    errors = (psycopg.Error,)

    def __init__(self, login: str):
        self.login = login

    def __call__(self):
        return PostgresConnection(psycopg.connect(self.login, autocommit=True, connect_timeout=5))


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
