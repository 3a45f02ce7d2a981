-- The chain of the audit (docs/audit.md): NULL until a record is settled, and for a denial always.

ALTER TABLE headcount_audit ADD COLUMN sequence BIGINT;
ALTER TABLE headcount_audit ADD COLUMN previous TEXT;
ALTER TABLE headcount_audit ADD COLUMN hash TEXT;
CREATE UNIQUE INDEX headcount_audit_sequence ON headcount_audit (sequence) WHERE sequence IS NOT NULL;

-- One row, which whoever lengthens the chain locks: its newest record, and whether what was settled before there was a
-- chain is in it.
CREATE TABLE headcount_audit_head (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    sequence BIGINT NOT NULL,
    hash TEXT NOT NULL,
    has_all BIGINT NOT NULL
);

INSERT INTO headcount_audit_head (id, sequence, hash, has_all)
VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000', 0);
