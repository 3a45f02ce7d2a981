"""What the clients saw beside what the audit says: both have to agree on every request."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

from benches.soak.deployment import Deployment
from benches.soak.exchange import Exchange

REASONS = {
    "Export feature not enabled": "flag off",
    "API key lacks the grant 'users:export_full'": "missing grant users:export_full",
    "Too many failed API keys from this address": "too many failed keys",
    "All export slots are busy; try again later": "busy",
    "This API key has no rows left for today (UTC)": "over budget",
    "This API key has no more rows left for today (UTC) than its running exports are expected to need; try again when they "
    "have ended": "the rows that the key has left for today are those that its running exports are expected to need",
}
# Seconds that a server may need to find its database again after it was away.
RECOVERY = 15
OUR_FAULT = (500, 503)


class Comparison:
    """Counts what agrees, and says what does not."""

    def __init__(self, site: Deployment, records: list[dict]):
        self.site = site
        self.problems: list[str] = []
        self.agreed: Counter = Counter()  # (what the client saw, what is recorded)
        self.unmatched: Counter = Counter()
        self.by_request = defaultdict(list)
        for record in records:
            self.by_request[record["request_id"]].append(record)
        for exchange in site.ledger:
            self._compare(exchange, self.by_request.pop(exchange.request_id, []))
        for record in (record for rest in self.by_request.values() for record in rest):
            self._look_at_unmatched(record)
        self._look_at_budgets(records)

    def _compare(self, exchange: Exchange, records: list[dict]) -> None:
        problems = list(exchange.problems)
        if len(records) > 1:
            problems.append(f"has {len(records)} records")
        elif not records:
            problems += self._without_record(exchange)
            self.agreed[exchange.saw, "no record"] += 1
        else:
            problems += self._beside(exchange, records[0])
            self.agreed[self._seen(exchange), outcome_of(records[0])] += 1
        said = [f"; recorded {brief(record)}" for record in records]
        self.problems += [f"{exchange}{''.join(said)}: {problem}" for problem in problems]

    def _seen(self, exchange: Exchange) -> str:
        looks = {"head", "preflight"}
        return "looked" if exchange.saw == "complete" and exchange.manner in looks else exchange.saw

    def _without_record(self, exchange: Exchange) -> list[str]:
        if exchange.export_id or exchange.saw in ("complete", "broken"):
            return ["there is no record of it"]
        if exchange.saw == "refused" and not self._was_away(exchange):
            return ["there is no record of the refusal"]
        return []  # it may never have arrived

    def _beside(self, exchange: Exchange, record: dict) -> list[str]:
        if exchange.export_id and exchange.export_id != record["id"]:
            return ["the record has another id"]
        compare = {"complete": self._complete, "broken": self._broken, "refused": self._refused, "left": self._left,
                   "nothing": self._nothing}
        return list(compare[exchange.saw](exchange, record))

    def _complete(self, exchange: Exchange, record: dict):
        if record["outcome"] != "completed":
            yield "the client has all of it"
        elif exchange.manner in ("head", "preflight"):
            if record["reason"] != exchange.manner:
                yield "the record does not say what it was"
        elif (record["rows"], record["bytes"], record["sha256"]) != (exchange.rows, exchange.size, exchange.sha256):
            yield f"the client has {exchange.rows} rows, {exchange.size} bytes, SHA-256 {exchange.sha256}"

    def _broken(self, exchange: Exchange, record: dict):
        outcome, reason = record["outcome"], record["reason"]
        is_cut_off = exchange.is_stalled or self.site.was_killed(exchange.started, exchange.ended)
        if outcome == "completed" and not is_cut_off:
            yield "the client does not have all of it"
        if outcome == "disconnected" and not (exchange.is_stalled and reason == "client stalled"):
            yield "the client did not leave"
        if outcome == "denied":
            yield "the client had begun to get it"
        if outcome == "over_budget" and exchange.manner != "budget":
            yield "the key has no budget"
        if outcome == "failed" and not self._was_away(exchange):
            yield "nothing was wrong with the database then"
        if outcome == "interrupted" and not self.site.was_killed(exchange.started, exchange.ended) \
                and not self._was_away(exchange):
            yield "nothing had ended"

    def _refused(self, exchange: Exchange, record: dict):
        outcome, reason = record["outcome"], record["reason"] or ""
        if exchange.manner == "head" and outcome == "denied":
            return  # the answer has no body that would say why
        if exchange.status in OUR_FAULT and exchange.detail not in REASONS:
            # Without a store nobody is known to be let in, and whoever is not leaves denials only.
            if outcome == "completed" or outcome == "denied" and reason != "store unavailable":
                yield "the fault was not the client's"
            if not self._was_away(exchange):
                yield "nothing was wrong with the database then"
        elif exchange.status == 401 and not (outcome == "denied" and reason.endswith(" key")):
            yield "the record does not say so"
        elif exchange.status == 429 and (outcome == "over_budget" or (outcome, reason) == ("denied", "over budget")):
            pass  # its first rows were already too many, or more than are left as it is known to have
        elif outcome != "denied" or not self._fits(exchange, reason):
            yield "the record does not say so"

    def _fits(self, exchange: Exchange, reason: str) -> bool:
        expected = REASONS.get(exchange.detail)
        return expected == reason if expected else exchange.status in (400, 401)

    def _left(self, exchange: Exchange, record: dict):
        """It cannot know how far the server had come; only that what was sent and not taken has to fit into buffers."""
        if record["outcome"] == "completed" and exchange.coding == "identity" and exchange.manner == "leaving":
            untaken = record["bytes"] - exchange.received
            if untaken > in_flight():
                yield f"{untaken} bytes were neither taken nor on their way"
        if record["outcome"] == "failed" and not self._was_away(exchange):
            yield "nothing was wrong with the database then"

    def _nothing(self, exchange: Exchange, record: dict):
        if not self._was_away(exchange):
            yield "the server was there, and did not answer"
        if record["outcome"] == "completed" and not self.site.was_killed(exchange.started, exchange.ended):
            yield "the client has nothing"

    def _was_away(self, exchange: Exchange) -> bool:
        return self.site.is_away(exchange.started - RECOVERY, exchange.ended)

    def _look_at_unmatched(self, record: dict) -> None:
        """Only a client that sends no id of its own can have made it, and that one has no way to get an export."""
        self.unmatched[outcome_of(record)] += 1
        if (record["request_id"] or "").startswith("soak-") or record["outcome"] != "denied":
            self.problems.append(f"nobody made this request: {brief(record)}")

    def _look_at_budgets(self, records: list[dict]) -> None:
        given = Counter()
        for record in records:
            given[record["key_name"]] += record["rows"] or 0
        for name, rows in self.site.budget_rows.items():
            if given[name] > rows:
                self.problems.append(f"the key {name} gave {given[name]} rows, and may give {rows}")


def outcome_of(record: dict) -> str:
    return record["outcome"] or "open"


def brief(record: dict) -> str:
    names = ("id", "request_id", "time", "endpoint", "outcome", "reason", "rows", "bytes", "duration_ms")
    return str({name: record[name] for name in names})


def in_flight() -> int:
    """Bytes that may be between two ends of a connection: the kernel's largest send buffer, a small receive buffer, and
    what the server's HTTP holds of a few chunks."""
    return int(Path("/proc/sys/net/ipv4/tcp_wmem").read_text().split()[2]) + (1 << 20)
