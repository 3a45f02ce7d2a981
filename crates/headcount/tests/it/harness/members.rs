//! Users in a table of an application's own making: nothing in it is called or kept as an export shows it.

use super::{Db, Site};

/// Where the columns are. Ends inside `[source.columns]`, so that further ones can follow.
pub(crate) const MEMBERS: &str = r#"
[source]
table = "user"
timestamps = "milliseconds"
where = "kind = 'person' OR kind IS NULL"

[source.columns]
id = "userId"
email = "Mail Address"
name = { sql = "first || ' ' || last" }
created_at = { column = "createdAt" }
updated_at = { sql = "\"createdAt\" + 1000" }
is_active = { sql = "status = 'active'" }
is_admin = { sql = "\"group\" = 'staff'" }
phone = "phone"
team = "group"
"#;

pub(crate) const MEMBERS_FULL: &str = "\
id,email,name,created_at,updated_at,is_active,is_admin\r\n\
1,ada@example.com,Ada Lovelace,2025-01-08T10:30:00.123000Z,2025-01-08T10:30:01.123000Z,true,true\r\n\
2,Ada@example.com,Ada Other,2025-01-08T10:30:00.124000Z,2025-01-08T10:30:01.124000Z,true,false\r\n\
4,,,,,,\r\n\
7,bob@example.com,'=Bob X,2025-01-08T10:30:01Z,2025-01-08T10:30:02Z,false,false\r\n\
10,zoe@example.com,Zoë 山田,1969-12-31T23:59:59.999000Z,1970-01-01T00:00:00.999000Z,true,true\r\n";

/// Two profiles over [`MEMBERS`], and the further columns that they show.
pub(crate) const SUPPORT: &str = r#"
login = { sql = "lower(\"Mail Address\")", type = "text" }
seen = { column = "createdAt", type = "timestamp" }
[exports.support]
columns = ["id", { column = "email", as = "E-mail \"Kontakt\"" }, "phone", "team"]
[exports.logins]
columns = ["login", "seen", "is_admin"]
filename = "Anmeldungen für heute.csv"
"#;

impl Site {
    /// The members, without a configuration. The machine and the passwords must not leave.
    pub(crate) fn with_members(db: Db) -> Self {
        let site = Self::bare(db);
        site.sql(
            "CREATE TABLE \"user\" (password_hash TEXT, \"userId\" BIGINT PRIMARY KEY, \"Mail Address\" TEXT,
             first TEXT, last TEXT, \"createdAt\" BIGINT, status TEXT, \"group\" TEXT, phone TEXT,
             kind TEXT, reset_token TEXT);
             INSERT INTO \"user\" VALUES
             ('hush-hush', 1, 'ada@example.com', 'Ada', 'Lovelace', 1736332200123, 'active', 'staff',
              '+44 20 1', 'person', 'token-of-ada'),
             ('hush-hush', 2, 'Ada@example.com', 'Ada', 'Other', 1736332200124, 'active', 'guests', NULL,
              'person', NULL),
             ('hush-hush', 3, 'printer@example.com', 'Printer', 'One', 1736332200000, 'active', 'staff', '9',
              'machine', NULL),
             (NULL, 4, NULL, NULL, NULL, NULL, NULL, NULL, '555', NULL, NULL),
             ('hush-hush', 10, 'zoe@example.com', 'Zoë', '山田', -1, 'active', 'staff', '@x', 'person', NULL),
             ('hush-hush', 7, 'bob@example.com', '=Bob', 'X', 1736332201000, 'locked', 'a, b', '-1', 'person',
              NULL)",
        );
        site
    }
}
