//! The two databases, and what their SQL says differently.

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Db {
    Sqlite,
    Postgres,
}

impl Db {
    pub(crate) fn users_table(self) -> &'static str {
        match self {
            Self::Sqlite => {
                "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, name TEXT, \
                 created_at TIMESTAMP, updated_at TIMESTAMP, is_active BOOLEAN, is_admin BOOLEAN);"
            }
            Self::Postgres => {
                "CREATE TABLE users (id BIGINT PRIMARY KEY, email TEXT, name TEXT, \
                 created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ, is_active BOOLEAN, is_admin BOOLEAN);"
            }
        }
    }

    /// A FROM item with one column, `i`, from 1 to `n`.
    pub(crate) fn series(self, n: u32) -> String {
        match self {
            Self::Sqlite => format!(
                "(WITH RECURSIVE up(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM up WHERE i < {n}) \
                 SELECT i FROM up) AS series"
            ),
            Self::Postgres => format!("generate_series(1, {n}) AS series(i)"),
        }
    }

    /// The `i`-th second of 2025, for the first day of that year.
    pub(crate) fn second_of_2025(self) -> &'static str {
        match self {
            Self::Sqlite => "datetime(1735689600 + i % 86400, 'unixepoch')",
            Self::Postgres => "TIMESTAMP '2025-01-01 00:00:00' + i % 86400 * INTERVAL '1 second'",
        }
    }

    /// Ten thousand characters, others for each `i`, that compress to half of that.
    pub(crate) fn noise(self) -> &'static str {
        match self {
            Self::Sqlite => "hex(randomblob(5000))",
            Self::Postgres => {
                "(SELECT string_agg(md5(i::text || part), '') FROM generate_series(1, 312) AS parts(part))"
            }
        }
    }

    /// Ten thousand characters.
    pub(crate) fn wide_text(self) -> &'static str {
        match self {
            Self::Sqlite => "hex(zeroblob(5000))",
            Self::Postgres => "repeat('0', 10000)",
        }
    }
}
