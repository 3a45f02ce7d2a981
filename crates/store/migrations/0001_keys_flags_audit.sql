-- One text for SQLite and PostgreSQL. Times are microseconds since 1970-01-01T00:00:00Z.

CREATE TABLE headcount_keys (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    grants TEXT NOT NULL,
    hash TEXT NOT NULL CONSTRAINT headcount_keys_hash UNIQUE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    last_used_at BIGINT,
    revoked_at BIGINT
);

CREATE TABLE headcount_flags (
    name TEXT NOT NULL PRIMARY KEY,
    enabled BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);

-- outcome is NULL while an export runs; instance says which process runs it.
CREATE TABLE headcount_audit (
    id TEXT NOT NULL PRIMARY KEY,
    time BIGINT NOT NULL,
    endpoint TEXT NOT NULL,
    key_id TEXT,
    key_name TEXT,
    client TEXT NOT NULL,
    request_id TEXT,
    filters TEXT NOT NULL,
    outcome TEXT,
    reason TEXT,
    row_count BIGINT NOT NULL,
    byte_count BIGINT NOT NULL,
    sha256 TEXT,
    duration_ms BIGINT,
    instance BIGINT NOT NULL
);

CREATE INDEX headcount_audit_time ON headcount_audit (time, id);
CREATE INDEX headcount_audit_outcome ON headcount_audit (outcome, time);
