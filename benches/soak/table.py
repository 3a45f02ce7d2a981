"""The users table of a soak, and how an export of it proves to be of one moment.

Every user but the first and the last holds a balance. A transaction moves some of it from one user to another, and then
makes or removes a user, or changes `is_active`. The first and the last user hold the generation, which each transaction
counts up, and what it left: how many users there are, how many of them are active, and the sums of their balances and
of their ids. So rows of two moments do not add up, wherever in the table they come together.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace

FIRST, LAST = 1, 2_000_000_000
BALANCE = 1000
COLUMNS = "id,email,name,created_at,updated_at,is_active,is_admin"
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


class Users:
    """All that is in the table, and the transactions that change it. The last one can be taken back."""

    def __init__(self, count: int):
        self.balances = dict.fromkeys(range(FIRST + 1, count), BALANCE)
        self.ids = list(self.balances)
        self.active = set(self.ids)
        self.next_id = count
        self.totals = Totals(0, count, count, BALANCE * (count - 2), sum(self.ids) + FIRST + LAST)
        self.before = self.totals
        self.changed: dict = {}  # by id: the balance before the last transaction, if any, and whether it was active
        self.statements: list = []

    def rows(self):
        """At the start."""
        for id in [FIRST, *self.ids, LAST]:
            name = f"balance {BALANCE}" if id in self.balances else str(self.totals)
            yield id, email(id), name, NOW, NOW, True, False

    def change(self, choice: random.Random) -> list:
        """The statements of the next transaction."""
        self.before, self.totals = self.totals, replace(self.totals, generation=self.totals.generation + 1)
        self.changed, self.statements = {}, []
        for _ in range(200 if choice.random() < 0.02 else choice.randint(1, 5)):
            giver, taker = choice.sample(self.ids, 2)
            self._move(giver, taker, choice.randint(1, 500))
        choice.choice([self._insert, self._delete, self._switch])(choice)
        for end in (FIRST, LAST):
            self.statements.append(("update users set name = ? where id = ?", (str(self.totals), end)))
        return self.statements

    def take_back(self) -> None:
        """The last transaction did not count."""
        self.totals = self.before
        for id, (balance, was_active) in self.changed.items():
            if balance is None:
                del self.balances[id]
            else:
                self.balances[id] = balance
            self._mark(id, was_active)
        self.ids = list(self.balances)

    def _move(self, giver: int, taker: int, amount: int) -> None:
        for id, change in ((giver, -amount), (taker, amount)):
            self._remember(id)
            self.balances[id] += change
            update = "update users set name = ?, updated_at = ? where id = ?"
            self.statements.append((update, (f"balance {self.balances[id]}", NOW, id)))

    def _insert(self, choice: random.Random) -> None:
        id, giver = self.next_id, choice.choice(self.ids)
        self.next_id += choice.randint(1, 3)
        row = (id, email(id), "balance 0", NOW, NOW, True, False)
        self.statements.append((f"insert into users ({COLUMNS}) values (?, ?, ?, ?, ?, ?, ?)", row))
        self._remember(id)
        self.balances[id] = 0
        self.ids.append(id)
        self._mark(id, True)
        self._count(users=1, active=1, ids=id)
        self._move(giver, id, 7)

    def _delete(self, choice: random.Random) -> None:
        place = choice.randrange(len(self.ids) - 1)
        id, heir = self.ids[place], self.ids[-1]
        self._move(id, heir, self.balances[id])
        self.ids[place] = self.ids.pop()
        del self.balances[id]
        self._count(users=-1, active=-(id in self.active), ids=-id)
        self._mark(id, False)
        self.statements.append(("delete from users where id = ?", (id,)))

    def _switch(self, choice: random.Random) -> None:
        id = choice.choice(self.ids)
        self._remember(id)
        is_active = id not in self.active
        self._mark(id, is_active)
        self._count(active=1 if is_active else -1)
        self.statements.append(("update users set is_active = ? where id = ?", (is_active, id)))

    def _remember(self, id: int) -> None:
        self.changed.setdefault(id, (self.balances.get(id), id in self.active))

    def _mark(self, id: int, is_active: bool) -> None:
        (self.active.add if is_active else self.active.discard)(id)

    def _count(self, **changes: int) -> None:
        self.totals = replace(self.totals, **{name: getattr(self.totals, name) + by for name, by in changes.items()})


def email(id: int) -> str:
    return f"somebody.number.{id}@example.com"
