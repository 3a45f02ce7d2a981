-- What a receipt tells beyond the audit: the columns, as a JSON array of their names; a time just before the database's
-- snapshot was taken; and when the export ended. NULL where it is not known, as in records from before.

ALTER TABLE headcount_audit ADD COLUMN column_names TEXT;
ALTER TABLE headcount_audit ADD COLUMN snapshot_at BIGINT;
ALTER TABLE headcount_audit ADD COLUMN ended_at BIGINT;
