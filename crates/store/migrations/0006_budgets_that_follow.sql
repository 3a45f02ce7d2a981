-- A key that takes the place of another draws on the same budget: the one that was made for the first of them. What still
-- runs with an older key is counted there, too.

CREATE TABLE IF NOT EXISTS headcount_budget_heirs (
    key_id TEXT NOT NULL PRIMARY KEY,
    budget TEXT NOT NULL
);

-- Rows of a budget that a running export is expected to need, for those with a higher number to leave. A claim counts as
-- long as the record of its export is open.

CREATE TABLE IF NOT EXISTS headcount_budget_claims (
    export_id TEXT NOT NULL PRIMARY KEY,
    budget TEXT NOT NULL,
    number BIGINT NOT NULL,
    row_count BIGINT NOT NULL
);

CREATE INDEX IF NOT EXISTS headcount_budget_claims_budget ON headcount_budget_claims (budget, number);

-- Requests that were answered without an export, of which only the newest are kept.

CREATE INDEX IF NOT EXISTS headcount_audit_looks ON headcount_audit (time) WHERE sha256 IS NULL AND outcome <> 'denied';
