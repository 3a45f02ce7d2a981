-- How many rows a key may export on a day (UTC), and how many it has on the last day on which it did. A table of its own,
-- so that instances of an older version can still read the keys. Days are counted from 1970-01-01.

CREATE TABLE headcount_budgets (
    key_id TEXT NOT NULL PRIMARY KEY,
    rows_per_day BIGINT NOT NULL,
    day BIGINT NOT NULL,
    row_count BIGINT NOT NULL
);
