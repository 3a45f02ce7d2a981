"""Writes the full export in a format by DuckDB, XlsxWriter or openpyxl: WAY sqlite|postgres FILE.db FORMAT OUT."""

import datetime
import importlib
import os
import sqlite3
import sys
from pathlib import Path

from measured import measured

COLUMNS = ["id", "email", "name", "created_at", "updated_at", "is_active", "is_admin"]
QUERY = f"select {', '.join(COLUMNS)} from users order by id"
TIMES, FLAGS = (3, 4), (5, 6)
COPY = {
    "csv": "(FORMAT csv, HEADER)",
    "ndjson": "(FORMAT json)",
    "json": "(FORMAT json, ARRAY true)",
    "parquet": "(FORMAT parquet, COMPRESSION zstd)",
    "xlsx": "(FORMAT xlsx, HEADER true)",
}


def by_duckdb(source, database, form, out):
    import duckdb

    connection = duckdb.connect()
    # They come from PyPI: `INSTALL` would ask extensions.duckdb.org.
    for name in [f"{source}_scanner"] + (["excel"] if form == "xlsx" else []):
        package = Path(importlib.import_module(f"duckdb_extension_{name}").__file__).parent
        (extension,) = package.rglob("*.duckdb_extension")
        connection.execute(f"load '{extension}'")
    with measured():
        where = database if source == "sqlite" else ""
        connection.execute(f"attach '{where}' as application (type {source}, read_only)")
        connection.execute("use application")
        connection.execute(f"copy ({QUERY}) to '{out}' {COPY[form]}")


def rows(source, database):
    """The users, with times and flags as Python has them."""
    if source == "sqlite":
        for row in sqlite3.connect(database).execute(QUERY):
            cells = list(row)
            for at in TIMES:
                cells[at] = cells[at] and datetime.datetime.fromisoformat(cells[at]).replace(tzinfo=None)
            for at in FLAGS:
                cells[at] = None if cells[at] is None else bool(cells[at])
            yield cells
        return
    import psycopg

    with psycopg.connect("") as connection, connection.cursor("users") as cursor:
        cursor.itersize = 10_000
        for row in cursor.execute(QUERY):
            yield [cell.replace(tzinfo=None) if isinstance(cell, datetime.datetime) else cell for cell in row]


def by_xlsxwriter(source, database, _form, out):
    import xlsxwriter

    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with measured(), xlsxwriter.Workbook(out, options) as book:
        sheet = book.add_worksheet()
        time = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss.000"})
        sheet.write_row(0, 0, COLUMNS)
        for at, row in enumerate(rows(source, database), 1):
            for column, cell in enumerate(row):
                if column in TIMES and cell is not None:
                    sheet.write_datetime(at, column, cell, time)
                else:
                    sheet.write(at, column, cell)


def by_openpyxl(source, database, _form, out):
    import openpyxl

    with measured():
        book = openpyxl.Workbook(write_only=True)
        sheet = book.create_sheet()
        sheet.append(COLUMNS)
        for row in rows(source, database):
            sheet.append(row)
        book.save(out)


if __name__ == "__main__":
    way, *arguments = sys.argv[1:]
    os.environ.setdefault("TZ", "UTC")
    {"duckdb": by_duckdb, "xlsxwriter": by_xlsxwriter, "openpyxl": by_openpyxl}[way](*arguments)
