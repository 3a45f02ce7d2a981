-- The day on which a claim counts. Those from before count on none.

ALTER TABLE headcount_budget_claims ADD COLUMN day BIGINT NOT NULL DEFAULT 0;
