"""Who writes to the users table of a soak."""

from __future__ import annotations

import contextlib
import random
import threading
from typing import Callable, Optional

from benches.soak.table import FIRST, Users, totals_of


class Writer(threading.Thread):
    """Commits until it is told to stop, and begins again whenever its database was away."""

    def __init__(self, connect: Callable, users: int, seed: int):
        super().__init__(name="writer", daemon=True)
        self.connect, self.random = connect, random.Random(seed)
        self.users = Users(users)
        self.committed = 0  # the newest generation that is known to be there
        self.commits = self.lost = 0
        self.problem: Optional[str] = None
        self.is_stopped = threading.Event()

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
        self._look_what_is_there(database)
        while not self.is_stopped.is_set():
            statements = self.users.change(self.random)
            try:
                database.transact(statements)
            except BaseException:
                self.lost += 1
                raise
            self.committed = self.users.totals.generation
            self.commits += 1
            self.is_stopped.wait(self.random.choice([0.001, 0.005, 0.02, 0.05]))

    def _look_what_is_there(self, database) -> None:
        """After a commit of which nobody knows whether it counted."""
        there = totals_of(database.name_of(FIRST).encode())
        if there.generation == self.users.totals.generation - 1:
            self.users.take_back()
        if there != self.users.totals:
            raise RuntimeError(f"the database has {there}, and was given {self.users.totals}")
