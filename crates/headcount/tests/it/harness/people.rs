//! A handful of users that between them need every rule of the format.

/// Inserts into the default columns; the same text for either database.
pub(crate) const PEOPLE: &str = "\
INSERT INTO users VALUES
(1, 'ada@example.com', 'Ada Lovelace',
 '2025-01-08 10:30:00', '2025-01-08 15:45:00', true, false),
(2, 'grace@example.com', 'Hopper, Grace',
 '2025-01-08 10:30:00.123456', NULL, true, true),
(3, 'Ada@example.com', '=HYPERLINK(\"http://example.com\")',
 NULL, '2025-01-09 00:00:00', false, false),
(5, NULL, NULL,
 '2025-01-10 00:00:00', '2025-01-10 00:00:00.5', NULL, NULL),
(8, 'zoë@example.com', 'Zoë 山田\nThe ''Second''',
 '2024-12-31 23:59:59', '2025-01-11 00:00:00', true, false);
";

pub(crate) const PEOPLE_MINIMAL: &str = "\
id,email,name\r\n\
1,ada@example.com,Ada Lovelace\r\n\
2,grace@example.com,\"Hopper, Grace\"\r\n\
3,Ada@example.com,\"'=HYPERLINK(\"\"http://example.com\"\")\"\r\n\
5,,\r\n\
8,zoë@example.com,\"Zoë 山田\nThe 'Second'\"\r\n";

pub(crate) const PEOPLE_FULL: &str = "\
id,email,name,created_at,updated_at,is_active,is_admin\r\n\
1,ada@example.com,Ada Lovelace,2025-01-08T10:30:00Z,2025-01-08T15:45:00Z,true,false\r\n\
2,grace@example.com,\"Hopper, Grace\",2025-01-08T10:30:00.123456Z,,true,true\r\n\
3,Ada@example.com,\"'=HYPERLINK(\"\"http://example.com\"\")\",,2025-01-09T00:00:00Z,false,false\r\n\
5,,,2025-01-10T00:00:00Z,2025-01-10T00:00:00.500000Z,,\r\n\
8,zoë@example.com,\"Zoë 山田\nThe 'Second'\",2024-12-31T23:59:59Z,2025-01-11T00:00:00Z,true,false\r\n";
