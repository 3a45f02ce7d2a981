-- Keys that the deployment makes for itself, in hexadecimal: of its pseudonyms.

CREATE TABLE headcount_secrets (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);
