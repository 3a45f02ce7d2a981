"""What the soak's clients ask for, and whether an answer is right in itself: one moment, in order, nothing missing."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Optional
from urllib.parse import urlencode

from benches.soak.table import LAST, email, totals_of

COLUMNS = {
    "full": ["id", "email", "name", "created_at", "updated_at", "is_active", "is_admin"],
    "minimal": ["id", "email", "name"],
    "support": ["id", "name", "E-mail"],
}
PATHS = {
    "full": "/api/v1/users/export-full",
    "minimal": "/api/v1/users/export",
    "support": "/api/v1/users/exports/profiles/support",
}


@dataclass
class Ask:
    export: str
    query: dict[str, str] = field(default_factory=dict)
    method: str = "GET"

    @property
    def path(self) -> str:
        return PATHS[self.export] + ("?" + urlencode(self.query) if self.query else "")

    @property
    def columns(self) -> list[str]:
        return self.query["fields"].split(",") if "fields" in self.query else COLUMNS[self.export]

    @property
    def kind(self) -> str:
        """As the summary counts it."""
        if "limit" in self.query:
            return f"{self.export}, page"
        return f"{self.export}, filtered" if {"email", "is_active"} & self.query.keys() else self.export


def any_ask(choice: random.Random, users: int) -> Ask:
    ask = Ask(choice.choice(["full", "full", "minimal", "support"]))
    query = choice.choice([{}, {}, {"is_active": "true"}, {"is_active": "false"}, {"email": email(users // 3)},
                           {"limit": "1000"}, {"limit": str(users // 2), "after": str(choice.randrange(users))}])
    ask.query = dict(query)
    if ask.export == "full" and choice.random() < 0.2:
        ask.query["fields"] = choice.choice(["name,id", "id,name,is_active", "is_active,id,name,email"])
    if choice.random() < 0.2:
        ask.query["bom"] = "true"
    if choice.random() < 0.2:
        ask.query["sanitize"] = "false"
    return ask


@dataclass
class Snapshot:
    """What a whole answer holds."""

    rows: int
    generation: Optional[int] = None


def read(ask: Ask, content: bytes) -> Snapshot:
    """The snapshot that an answer is; `ValueError` says why it is none."""
    content = content.removeprefix(b"\xef\xbb\xbf") if ask.query.get("bom") == "true" else content
    header, *lines, rest = content.split(b"\r\n")
    if header.decode() != ",".join(ask.columns) or rest:
        raise ValueError(f"the first line is {header[:80]}, the last {rest[:80]}")
    records = [line.split(b",") for line in lines]
    if any(len(record) != len(ask.columns) for record in records):
        raise ValueError("a record has another number of fields than the header")
    ids = [int(record[ask.columns.index("id")]) for record in records]
    names = [record[ask.columns.index("name")] for record in records]
    if any(one >= other for one, other in zip(ids, ids[1:])):
        raise ValueError("the ids do not ascend")
    snapshot = Snapshot(len(ids))
    if "limit" in ask.query:
        after = int(ask.query.get("after", 0))
        if len(ids) > int(ask.query["limit"]) or (ids and ids[0] <= after):
            raise ValueError("the page is not the one that was asked for")
    elif "email" in ask.query:
        if len(ids) > 1:
            raise ValueError("several users have one address")
    elif ask.query.get("is_active") == "false":
        if {1, LAST} & set(ids):
            raise ValueError("an active user is among the others")
    else:
        check_totals(ids, names, is_active="is_active" in ask.query)
    if names and ids[0] == 1:
        snapshot.generation = totals_of(names[0]).generation
    return snapshot


def check_totals(ids: list[int], names: list[bytes], is_active: bool) -> None:
    if not ids or ids[0] != 1 or ids[-1] != LAST:
        raise ValueError("the first or the last user is missing")
    totals, last = totals_of(names[0]), totals_of(names[-1])
    if totals != last:
        raise ValueError(f"two moments: the first user says {totals}, the last {last}")
    if is_active:
        if len(ids) != totals.active:
            raise ValueError(f"{len(ids)} active users, not {totals.active}")
        return
    balances = sum(int(name[8:]) for name in names[1:-1])
    if (len(ids), balances, sum(ids)) != (totals.users, totals.balances, totals.ids):
        raise ValueError(f"{len(ids)} users, balances {balances}, ids {sum(ids)} under {totals}")
