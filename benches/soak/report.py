"""The summary of a soak."""

from __future__ import annotations

from collections import Counter

from benches.soak.chaos import Schedule
from benches.soak.deployment import Deployment

MOST = 40  # problems that are printed


def show(sites: list[Deployment], schedule: Schedule, problems: list[str]) -> None:
    for site in sites:
        print(f"\n{site.name}: {len(site.ledger)} requests, {site.writer.commits} commits to the table "
              f"({site.writer.lost} lost), headcount started {site.starts} times")
        counts("by client", Counter(each.manner for each in site.ledger))
        complete = [each for each in site.ledger if each.saw == "complete"]
        counts("complete", Counter(f"{each.kind}" for each in complete))
        counts("complete over", Counter(f"{each.protocol} {each.coding}" for each in complete))
        print("  seen by the client, and recorded:")
        for (saw, outcome), count in sorted(site.comparison.agreed.items()):
            print(f"    {saw:10} {outcome:14} {count}")
        cut = [each for each in site.ledger if each.saw in ("nothing", "broken")]
        counts("why nothing, or not all", Counter(each.why for each in cut))
        counts("recorded of requests without an id", site.comparison.unmatched)
        print(f"  open before the last start: {len(site.open_records)}")
        print(f"  audit verify: {site.verified}")
        print(f"  at the end: {site.end}; after a start: {site.fresh}; "
              f"when warm: {site.watch.warm_memory():.0f} MiB at the most; gauges {site.quiet_gauges}")
    counts("\nhappened", Counter(schedule.done))
    if problems:
        print(f"\nFAILED: {len(problems)} problems")
        for problem in problems[:MOST]:
            print(f"- {problem}")
    else:
        print("\nAll agrees.")


def counts(title: str, counter: Counter) -> None:
    print(f"  {title}: " + (", ".join(f"{name} {count}" for name, count in sorted(counter.items())) or "none"))
