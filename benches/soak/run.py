"""A soak from its start to its verdict."""

from __future__ import annotations

import contextlib
import random
import threading
import time
import traceback

from benches.lab import Lab, say
from benches.soak import chaos, clients, hostile, leaks, report
from benches.soak.databases import Postgres, Sqlite
from benches.soak.deployment import Deployment
from benches.soak.ledger import Comparison
from benches.soak.writer import Writer

# Threads of each kind of client, for each deployment.
CROWD = [(clients.fast, 3), (clients.slow, 3), (clients.leaving, 2), (clients.odd, 2), (clients.curl, 1),
         (hostile.hostile, 1)]
LAST_EXCHANGE = 180  # seconds that the slowest client may still need


def soak(lab: Lab, minutes: float, users: int, seed: int) -> int:
    """The exit code."""
    say(f"seed {seed}")
    with contextlib.ExitStack() as stack:
        cluster = chaos.Cluster(lab)
        stack.callback(lambda: cluster.stack.close())
        sites = deployments(lab, cluster, users, seed)
        for site in sites.values():
            stack.callback(lambda site=site: site.stack.close())
            begin(site)
        schedule = chaos.Schedule(minutes * 60, random.Random(seed))
        chaos.plan(schedule, sites, cluster)
        crowd = Crowd(sites.values(), seed)
        schedule.run()
        crowd.go_home()
        return settle(sites, cluster, schedule)


def deployments(lab: Lab, cluster: chaos.Cluster, users: int, seed: int) -> dict[str, Deployment]:
    file, postgres = lab.directory / "app.db", cluster.url("reader", "postgres")
    data = lab.directory / "data-sqlite"
    sites = {
        "sqlite": Deployment(lab, "sqlite", f"sqlite:{file}", f"sqlite:{data}/headcount.db", https=True),
        "postgres": Deployment(lab, "postgres", postgres, cluster.url("keeper", "store"), https=False),
    }
    connects = {"sqlite": Sqlite(file), "postgres": Postgres(cluster.login)}
    for number, (name, site) in enumerate(sites.items()):
        say(f"making {users:,} users in {name}")
        site.writer = Writer(connects[name], users, seed + number)
        with contextlib.closing(connects[name]()) as database:
            database.make(site.writer.users.rows())
        site.users, site.ledger, site.problems = users, [], []
    with cluster.connect() as database:
        database.execute("grant select on users to reader")
    return sites


def begin(site: Deployment) -> None:
    site.make_keys()
    site.renew_revocable()
    site.start()
    site.writer.start()
    site.watch = leaks.Watch(site)
    site.watch.start()


class Crowd:
    """Clients, each a thread, that go on until they are told to go home."""

    def __init__(self, sites, seed: int):
        self.is_over = threading.Event()
        self.threads = []
        for site in sites:
            for behave, count in CROWD:
                for number in range(count):
                    choice = random.Random(f"{seed} {site.name} {behave.__name__} {number}")
                    name = f"{site.name} {behave.__name__} {number}"
                    self.threads.append(threading.Thread(target=self._live, args=[site, behave, choice], name=name))
        for thread in self.threads:
            thread.daemon = True
            thread.start()

    def _live(self, site: Deployment, behave, choice: random.Random) -> None:
        while not self.is_over.is_set():
            try:
                behave(site, choice)
            except Exception:  # noqa: BLE001 a fault of the soak itself, which has to be seen
                site.problems.append(f"a client died: {traceback.format_exc()}")
                return
            if site.is_away(time.monotonic() - 0.2, time.monotonic()):
                time.sleep(0.2)

    def go_home(self) -> None:
        say("the clients go home")
        self.is_over.set()
        deadline = time.monotonic() + LAST_EXCHANGE
        for thread in self.threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if late := [thread.name for thread in self.threads if thread.is_alive()]:
            raise AssertionError(f"clients that never come to an end: {late}")


def settle(sites: dict[str, Deployment], cluster: chaos.Cluster, schedule: chaos.Schedule) -> int:
    for site in sites.values():
        site.writer.is_stopped.set()
        site.writer.join()
        site.watch.is_stopped.set()
    say("waiting until all is quiet")
    leaks.become_quiet(list(sites.values()), cluster.sessions)
    problems = []
    for site in sites.values():
        site.quiet_gauges = site.gauges()
        site.end = leaks.vitals(site.server.process.pid)
        if site.name == "postgres":
            site.problems += [f"left over: {what}" for what in leaks.session_leaks(cluster.sessions)]
        site.open_records = [record for record in site.records() if not record["outcome"]]
        if (code := site.stop()) != 0:
            site.problems.append(f"headcount ended with {code}")
        site.start()
        time.sleep(1)
        site.fresh = leaks.vitals(site.server.process.pid)
        site.comparison = compare(site)
        problems += [f"{site.name}: {problem}" for problem in site.comparison.problems + site.problems]
    report.show(sites.values(), schedule, problems)
    return 1 if problems else 0


def compare(site: Deployment) -> Comparison:
    site.problems += leaks.left_over(site, site.end, site.fresh, site.watch.warm_memory())
    records = site.records()
    for record in records:
        if not record["outcome"]:
            site.problems.append(f"an open record: {record}")
    try:
        site.verified = site.run("audit", "verify").strip()
    except Exception as error:  # noqa: BLE001
        site.verified = str(error)
        site.problems.append(f"audit verify: {error}")
    if site.writer.problem:
        site.problems.append(site.writer.problem)
    site.problems += [f"the log says: {line}" for line in site.logs().splitlines() if "panicked" in line]
    return Comparison(site, records)
