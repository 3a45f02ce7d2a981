-- The second version of a record also says what the export could show: scope is a JSON object with the table, the masks, the
-- administrator's conditions and, of a command, the user of the system. Its hash covers all of that, and the columns and times
-- that only receipts told before. Records of the first version stay as they are.

ALTER TABLE headcount_audit ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
ALTER TABLE headcount_audit ADD COLUMN scope TEXT;
