"""The peers that are Python packages: DuckDB, ADBC, Datasette, FastAPI."""

from __future__ import annotations

import contextlib
from contextlib import ExitStack
from pathlib import Path
from typing import Iterator

from benches.lab import Background, Lab, free_port
from benches.servers import Export
from benches.ways import Row

PEERS = Path(__file__).resolve().parent / "peers"
HELD_IN_MEMORY = 2_000_000  # users, above which a peer that makes an object of each is left out
NEEDED = {
    "DuckDB": {"duckdb", "duckdb-extension-sqlite-scanner", "duckdb-extension-postgres-scanner"},
    "ADBC": {"adbc-driver-sqlite", "adbc-driver-postgresql", "pyarrow"},
    "Datasette": {"datasette"},
    "FastAPI": {"fastapi", "uvicorn", "SQLAlchemy", "psycopg[binary]"},
}


def is_there(lab: Lab, peer: str) -> bool:
    return "python" in lab.tools and not NEEDED[peer] & lab.missing


def left_out(lab: Lab, users: int) -> Iterator[str]:
    """Why peers are not in the tables, in a sentence each."""
    for peer, packages in NEEDED.items():
        if missing := packages & lab.missing:
            yield f"{peer} is left out: pip could not install {', '.join(sorted(missing))}."
    if users > HELD_IN_MEMORY:
        yield f"FastAPI is left out of the whole exports: it would hold {users:,} objects in memory."


def peers(lab: Lab, ours: Row, data: Path, stack: ExitStack) -> Iterator[Row]:
    if is_there(lab, "DuckDB"):
        address = data / "users.db" if ours.source == "sqlite" else ""  # libpq's, from the environment
        file = lab.directory / "duckdb.csv"
        for way, title, order in [("duckdb", "", ""), ("duckdb by id", ", by id", " order by id")]:
            query = f"select {ours.export.columns} from users{order}"
            command = ["python", PEERS / "duckdb_copy.py", ours.source, address, query, file]
            yield ours.beside(way, f"DuckDB, `COPY` to a file{title}", command, file=file)
    if is_there(lab, "ADBC"):
        addresses = {"sqlite": ["sqlite", data / "users.db"], "postgres": ["postgresql", "postgresql://"]}
        file = lab.directory / "adbc.csv"
        query = f"select {ours.export.columns} from users order by id"
        command = ["python", PEERS / "adbc_copy.py", *addresses[ours.source], query, file]
        yield ours.beside("adbc", "ADBC and Arrow's CSV writer to a file, by id", command, file=file)
    if is_there(lab, "Datasette") and ours.source == "sqlite":
        yield datasette(lab, ours, data, stack)
    if is_there(lab, "FastAPI") and ours.users <= HELD_IN_MEMORY:
        server, address = stack.enter_context(fastapi(lab, ours.source, data))
        title, url = "FastAPI and SQLAlchemy, by id", address + path(ours.export)
        yield ours.beside_over_http("fastapi", title, url, slow=True, server=server)


def datasette(lab: Lab, ours: Row, data: Path, stack: ExitStack) -> Row:
    port = free_port()
    settings = ["--setting", "max_csv_mb", "0", "--setting", "max_returned_rows", "10000"]
    serve = ["-m", "datasette", "serve", data / "users.db", "--port", str(port), *settings]
    server = stack.enter_context(lab.background("datasette.log", "python", *serve))
    server.accepts(port)
    columns = "&".join(f"_col={name}" for name in ours.export.columns.split(",") if name != "id")
    options = "_stream=1&_size=max&_nocount=1&_nofacet=1&_nosuggest=1"
    url = f"http://127.0.0.1:{port}/users/users.csv?{options}&{columns}"
    title = "Datasette, `_stream=1`, by id"
    return ours.beside_over_http("datasette", title, url, slow=True, server=server)


@contextlib.contextmanager
def fastapi(lab: Lab, source: str, data: Path) -> Iterator[tuple[Background, str]]:
    """The application of the tutorials, and its address."""
    port = free_port()
    url = f"sqlite:///{data}/users.db" if source == "sqlite" else "postgresql+psycopg://"
    serve = ["-m", "uvicorn", "--app-dir", PEERS, "fastapi_app:app", "--port", str(port), "--log-level", "warning"]
    with lab.background("fastapi.log", "python", *serve, DATABASE_URL=url) as server:
        server.accepts(port)
        yield server, f"http://127.0.0.1:{port}"


def path(export: Export) -> str:
    return "/export-full" if export.name == "full" else "/export"
