"""An ADBC driver and Arrow's CSV writer, batch by batch: adbc_copy.py sqlite|postgresql ADDRESS QUERY FILE."""

import importlib
import sys

from measured import measured
from pyarrow import csv

driver, address, query, file = sys.argv[1:]
database = importlib.import_module(f"adbc_driver_{driver}.dbapi")

with measured():
    with database.connect(address) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        batches = cursor.fetch_record_batch()
        with csv.CSVWriter(file, batches.schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
