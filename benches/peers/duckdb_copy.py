"""DuckDB's COPY of another database's table to a CSV file: duckdb_copy.py sqlite|postgres ADDRESS QUERY FILE.

The extensions come from PyPI: `INSTALL` would ask extensions.duckdb.org.
"""

import importlib
import sys
from pathlib import Path

import duckdb
from measured import measured

source, address, query, file = sys.argv[1:]
package = Path(importlib.import_module(f"duckdb_extension_{source}_scanner").__file__).parent
(extension,) = package.rglob("*.duckdb_extension")

database = duckdb.connect()
database.execute(f"load '{extension}'")

with measured():
    database.execute(f"attach '{address}' as application (type {source}, read_only)")
    database.execute("use application")
    database.execute(f"copy ({query}) to '{file}' (format csv, header)")
