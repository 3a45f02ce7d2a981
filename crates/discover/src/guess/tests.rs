use crate::fixtures::{catalogue, table};
use crate::others::Others;
use crate::samples::Samples;
use crate::{Ambiguous, Choices, Confidence, Field, Origin, Proposal, Subject, TimestampEncoding};
use headcount_source::catalogue::{Catalogue, Database, Table};

fn propose_on(database: Database, table: &Table, samples: &Samples) -> Result<Proposal, Ambiguous> {
    let catalogue = Catalogue { database, ..catalogue(Vec::new()) };
    let others = Others::default();
    Subject { catalogue: &catalogue, table, samples, others: &others }.propose(
        None,
        String::new(),
        &Choices::new(),
    )
}

fn propose(columns: &[&str], samples: &Samples) -> Proposal {
    propose_on(Database::Postgres, &table("users", columns), samples).expect("no ambiguity")
}

fn shown(proposal: &Proposal, field: Field) -> String {
    let mapped = proposal.columns.iter().find(|mapped| mapped.field == field).expect("every field");
    match &mapped.from {
        Origin::Column(name) => name.clone(),
        Origin::Sql(sql) => sql.clone(),
        Origin::Nothing => "-".to_owned(),
    }
}

/// What one field becomes, given its columns and cells.
fn field(field: Field, columns: &[&str], samples: &Samples) -> String {
    shown(&propose(&[&["id pk int"], columns].concat(), samples), field)
}

fn all(proposal: &Proposal) -> Vec<String> {
    Field::ALL.map(|field| shown(proposal, field)).to_vec()
}

#[test]
fn a_members_table_with_short_names() {
    let samples = Samples::default();
    let members = table("members", &["id pk int", "mail text", "display text", "joined time"]);
    let proposal = propose_on(Database::Sqlite, &members, &samples).expect("no ambiguity");
    assert_eq!(all(&proposal), ["id", "mail", "display", "joined", "-", "-", "-"]);
    assert_eq!(proposal.warnings.len(), 3);
}

#[test]
fn quoted_camel_case() {
    let columns = &[
        "userId pk int",
        "emailAddress text",
        "displayName text",
        "createdAt time",
        "isEnabled bool",
        "pwHash text",
    ];
    let samples = Samples::default();
    let proposal =
        propose_on(Database::Postgres, &table("Accounts", columns), &samples).expect("no ambiguity");
    let expected = ["userId", "emailAddress", "displayName", "createdAt", "-", "isEnabled", "-"];
    assert_eq!(all(&proposal), expected);
    assert_eq!(proposal.left_alone[0].column, "pwHash");
}

#[test]
fn an_id_is_a_key_or_nothing() {
    let none = Samples::default();
    for (columns, expected) in [
        (&["key pk text", "id int"][..], "key"),
        (&["a pk int", "b pk int", "uuid uuid unique"], "uuid"),
        (&["a pk int", "b pk int", "id int"], "-"),
        (&["id int unique null"], "id"),
        (&["name text unique null", "creation_ts int"], "name"),
        (&["created time pk"], "-"),
    ] {
        assert_eq!(shown(&propose(columns, &none), Field::Id), expected, "{columns:?}");
    }
    let mut view = table("people", &["id int null", "email text null"]);
    view.is_view = true;
    let proposal = propose_on(Database::Postgres, &view, &none).expect("no ambiguity");
    assert_eq!(
        (shown(&proposal, Field::Id).as_str(), proposal.columns[0].confidence),
        ("id", Confidence::Low)
    );
}

#[test]
fn addresses() {
    let none = Samples::default();
    for (columns, expected) in [
        (&["email_verified bool", "e_mail text"][..], "e_mail"),
        (&["email text", "normalized_email text", "unconfirmed_email text", "recovery_email text"], "email"),
        (&["user_email text", "email_count int"], "user_email"),
        (&["work_email text", "primary_email text"], "primary_email"),
        (&["work_email text", "private_email text unique"], "private_email"),
        (&["EMAIL_ADDRESS text"], "EMAIL_ADDRESS"),
        (&["email_hash text", "email_token text"], "-"),
        (&["mailing_address text", "login text"], "-"),
    ] {
        assert_eq!(field(Field::Email, columns, &none), expected, "{columns:?}");
    }
    let logins = Samples::default().with("login", &["a@example.com", "b@example.com", "root"]);
    assert_eq!(field(Field::Email, &["login text"], &logins), "login");
}

#[test]
fn two_addresses_that_are_equally_good_are_a_question() {
    let users = table("users", &["id pk int", "work_email text", "home_email text"]);
    let samples = Samples::default();
    let (catalogue, others) = (catalogue(Vec::new()), Others::default());
    let subject = Subject { catalogue: &catalogue, table: &users, samples: &samples, others: &others };
    let ambiguous = subject.propose(None, String::new(), &Choices::new()).expect_err("a question");
    assert_eq!(ambiguous.columns, ["work_email", "home_email"]);
    let choice = vec![(Field::Email, "home_email".to_owned())];
    let proposal = subject.propose(None, String::new(), &choice).expect("an answer");
    assert_eq!(shown(&proposal, Field::Email), "home_email");
}

#[test]
fn names() {
    let none = Samples::default();
    for (columns, expected) in [
        (&["name text", "full_name text"][..], "full_name"),
        (
            &["username text", "first_name text", "last_name text null"],
            "nullif(trim(\"first_name\" || ' ' || coalesce(\"last_name\", '')), '')",
        ),
        (
            &["firstName text null", "surname text null"],
            "nullif(trim(coalesce(\"firstName\", '') || ' ' || coalesce(\"surname\", '')), '')",
        ),
        (&["user_name text", "nick text"], "nick"),
        (&["username text"], "username"),
        (&["user_full_name text"], "user_full_name"),
        (&["first_name text"], "-"),
        (&["name text", "first_name text", "last_name text"], "name"),
        (&["display_name text", "surname text"], "display_name"),
    ] {
        assert_eq!(field(Field::Name, columns, &none), expected, "{columns:?}");
    }
}

#[test]
fn half_a_name_is_not_all_of_it() {
    let halves =
        Samples::default().with("name", &["Ada", "", "Zoë"]).with("surname", &["Lovelace", "Doe", "Doe"]);
    let whole = Samples::default().with("name", &["Ada Lovelace"]).with("surname", &["LOVELACE"]);
    let given = Samples::default().with("name", &["Lovelace"]).with("given_name", &["Ada"]);
    let none = Samples::default();
    let joined = "nullif(trim(\"name\" || ' ' || coalesce(\"surname\", '')), '')";
    let last_after = "nullif(trim(\"given_name\" || ' ' || \"name\"), '')";
    let (surname, given_name) = ("surname text null", "given_name text");
    for (beside, samples, expected, confidence) in [
        (surname, &halves, joined, Confidence::Medium),
        (surname, &whole, "name", Confidence::High),
        (surname, &none, joined, Confidence::Low),
        (given_name, &given, last_after, Confidence::Medium),
        (given_name, &none, last_after, Confidence::Low),
    ] {
        let proposal = propose(&["id pk int", "name text", beside], samples);
        let found = (shown(&proposal, Field::Name), proposal.columns[2].confidence);
        assert_eq!(found, (expected.to_owned(), confidence), "{beside} {samples:?}");
        let is_warned = proposal.warnings.iter().any(|warning| warning.starts_with("name: name is taken"));
        assert_eq!(is_warned, confidence == Confidence::Low, "{:?}", proposal.warnings);
    }
}

#[test]
fn addresses_as_ids_are_warned_of() {
    let samples = Samples::default().with("login", &["ada@example.com"]).with("key", &["a1", "b@2", "c3"]);
    for (column, expected) in [("email", true), ("login", true), ("key", false)] {
        let proposal = propose(&[&format!("{column} pk text")], &samples);
        assert_eq!(shown(&proposal, Field::Id), column);
        let is_warned = proposal.warnings.iter().any(|warning| warning.contains("holds addresses"));
        assert_eq!(is_warned, expected, "{column}: {:?}", proposal.warnings);
    }
}

#[test]
fn times_have_to_be_times() {
    let samples = Samples::default()
        .with("created", &["2024", "2025"])
        .with("signup", &["1736332200123", "0"])
        .with("updated", &["1736332200", "1736332201"])
        .with("joined", &["2025-01-08T10:30:00Z"])
        .with("since", &["last summer"]);
    for (columns, expected) in [
        (&["created int", "signup int"][..], "nullif(\"signup\", 0)"),
        (&["created_by int", "created_on time"], "created_on"),
        (&["joined text"], "nullif(\"joined\", '')::timestamptz"),
        (&["since text"], "-"),
        (&["inserted_at time"], "inserted_at"),
    ] {
        assert_eq!(field(Field::CreatedAt, columns, &samples), expected, "{columns:?}");
    }
    let proposal = propose(&["id pk int", "signup int", "updated int"], &samples);
    assert_eq!(proposal.timestamps, TimestampEncoding::Milliseconds);
    assert_eq!(shown(&proposal, Field::UpdatedAt), "\"updated\" * 1000");
    let empty = propose(&["id pk int", "created int"], &Samples::default());
    assert_eq!((empty.timestamps, empty.columns[3].confidence), (TimestampEncoding::Auto, Confidence::Low));
    assert!(empty.warnings.iter().any(|warning| warning.starts_with("created holds integers")));
}

#[test]
fn a_time_of_0_is_none() {
    let samples = Samples::default()
        .with("created", &["1736332200", "1736332201"])
        .with("updated", &["1736332200123", "0"])
        .with("modified", &["0", "0"]);
    let proposal = propose(&["id pk int", "created int", "updated int"], &samples);
    assert_eq!(shown(&proposal, Field::CreatedAt), "created");
    assert_eq!(shown(&proposal, Field::UpdatedAt), "nullif(\"updated\", 0) / 1000");
    assert!(proposal.columns[4].reason.contains("1970"));
    // Even where nothing shows the unit.
    let proposal = propose(&["id pk int", "modified int"], &samples);
    assert_eq!(shown(&proposal, Field::UpdatedAt), "nullif(\"modified\", 0)");
    assert_eq!(proposal.timestamps, TimestampEncoding::Auto);
}

#[test]
fn sqlite_lets_a_datetime_hold_integers() {
    let users = table("User", &["id pk text", "createdAt time"]);
    let samples = Samples::default().with("createdAt", &["1736332200123", "1736332200456"]);
    let proposal = propose_on(Database::Sqlite, &users, &samples).expect("no ambiguity");
    assert_eq!(proposal.timestamps, TimestampEncoding::Milliseconds);
    assert_eq!(shown(&proposal, Field::CreatedAt), "createdAt");
}

#[test]
fn the_active() {
    let samples = Samples::default()
        .with("active", &["Y", "N"])
        .with("enabled", &["0", "1"])
        .with("isactive", &["3"])
        .with("status", &["active", "blocked"])
        .with("state", &["new", "old"]);
    for (columns, expected) in [
        (&["enabled int", "status text"][..], "\"enabled\" = 1 AND \"status\" = 'active'"),
        (&["isactive int", "deleted_at time null"], "\"deleted_at\" IS NULL"),
        (&["active text"], "lower(coalesce(\"active\", '')) IN ('1', 'on', 't', 'true', 'y', 'yes')"),
        (&["status text", "banned bool"], "\"status\" = 'active' AND NOT \"banned\""),
        (&["is_active bool", "blocked bool null"], "\"is_active\" AND NOT coalesce(\"blocked\", false)"),
        (&["isActive bool", "deletedAt time null"], "\"isActive\" AND \"deletedAt\" IS NULL"),
        (
            &["confirmed_at time null", "deleted_at time null", "disabled bool"],
            "NOT \"disabled\" AND \"deleted_at\" IS NULL AND \"confirmed_at\" IS NOT NULL",
        ),
        (&["is_active bool null"], "coalesce(\"is_active\", false)"),
        (&["is_active bool null default=true"], "is_active"),
        (&["state text", "is_banned bool"], "NOT \"is_banned\""),
        (&["disabled bool null"], "NOT coalesce(\"disabled\", false)"),
        (&["blocked int"], "coalesce(\"blocked\", 0) = 0"),
        (&["deleteat int null"], "coalesce(\"deleteat\", 0) = 0"),
        (&["account_status enum=Active,Closed"], "\"account_status\"::text = 'Active'"),
        (&["state text", "activity text"], "-"),
    ] {
        assert_eq!(field(Field::IsActive, columns, &samples), expected, "{columns:?}");
    }
}

#[test]
fn text_that_says_who_is_gone() {
    let flags = "lower(coalesce(\"deleted\", '')) NOT IN ('1', 'on', 't', 'true', 'y', 'yes')";
    let absent = "coalesce(\"deleted\", '') = ''";
    for (cells, expected) in [
        (&["Y", "N"][..], flags),
        (&["no", ""], flags),
        (&["true", "False"], flags),
        (&["0"], flags),
        (&["2025-01-08 10:30:00", ""], absent),
        (&["2025-01-08", "N"], "-"),
        (&["by Ada"], "-"),
        (&[""], "-"),
    ] {
        let samples = Samples::default().with("deleted", cells);
        assert_eq!(field(Field::IsActive, &["deleted text null"], &samples), expected, "{cells:?}");
    }
    let none = Samples::default();
    assert_eq!(field(Field::IsActive, &["deleted_at text"], &none), "coalesce(\"deleted_at\", '') = ''");
    assert_eq!(
        field(Field::IsActive, &["banned enum=Y,N"], &none),
        "lower(coalesce(\"banned\"::text, '')) NOT IN ('1', 'on', 't', 'true', 'y', 'yes')"
    );
}

#[test]
fn administrators() {
    let samples = Samples::default()
        .with("role", &["user", "admin", "super_admin"])
        .with("type", &["a'b", "x"])
        .with("roles", &["user,admin", "user"]);
    for (columns, expected) in [
        (&["is_staff bool", "is_superuser bool"][..], "is_superuser"),
        (&["role text"], "\"role\" IN ('admin', 'super_admin')"),
        (&["role enum=member,owner"], "\"role\"::text = 'owner'"),
        (&["role enum=member,guest"], "-"),
        (&["role text null"], "coalesce(\"role\", '') IN ('admin', 'super_admin')"),
        (&["is_admin bool null"], "coalesce(\"is_admin\", false)"),
        (&["roles text"], "'admin' = ANY (string_to_array(replace(coalesce(\"roles\", ''), ' ', ''), ','))"),
        (&["userType enum=USER,ADMIN"], "\"userType\"::text = 'ADMIN'"),
        (&["type text", "administrative_area text"], "-"),
    ] {
        assert_eq!(field(Field::IsAdmin, columns, &samples), expected, "{columns:?}");
    }
}

#[test]
fn credentials_are_never_mapped() {
    let samples = Samples::default()
        .with("name", &["$2b$12$KIXQ0zJ4vN5Z1yP8cQeH1uJ9vT2sW3xY4zA5bC6dE7fG8hI9jK0lM"])
        .with("display_name", &["Ada"]);
    let proposal = propose(&["id pk int", "name text", "display_name text", "api_key text"], &samples);
    assert_eq!(shown(&proposal, Field::Name), "display_name");
    let left: Vec<_> =
        proposal.left_alone.iter().map(|left| (left.column.as_str(), left.why.as_str())).collect();
    assert_eq!(left, [("name", "bcrypt"), ("api_key", "named like a credential: api_key")]);

    let users = table("users", &["id pk int", "password text"]);
    let (catalogue, others) = (catalogue(Vec::new()), Others::default());
    let subject = Subject { catalogue: &catalogue, table: &users, samples: &samples, others: &others };
    let choice = vec![(Field::Name, "password".to_owned())];
    let proposal = subject.propose(None, String::new(), &choice).expect("no ambiguity");
    assert_eq!(shown(&proposal, Field::Name), "-");
}

/// What `is_admin` becomes in the first of these tables, where others have these roles.
fn admin_by(tables: Vec<Table>, roles: &[(&str, &str, &[&str])]) -> (String, Proposal) {
    let catalogue = catalogue(tables);
    let mut others = Others::default();
    for (name, column, cells) in roles {
        let table = catalogue.tables.iter().find(|table| table.name.name() == *name).expect("a table");
        others.add(table, Samples::default().with(column, cells));
    }
    let samples = Samples::default();
    let subject =
        Subject { catalogue: &catalogue, table: &catalogue.tables[0], samples: &samples, others: &others };
    let proposal = subject.propose(None, String::new(), &Choices::new()).expect("no ambiguity");
    (shown(&proposal, Field::IsAdmin), proposal)
}

#[test]
fn administrators_by_a_table_between() {
    let tables = || {
        vec![
            table("ab_user", &["id pk int", "email text"]),
            table("ab_role", &["id pk int", "name text unique"]),
            table(
                "ab_user_role",
                &["id pk int", "user_id int null ->ab_user.id", "role_id int null ->ab_role.id"],
            ),
            table("teams", &["id pk int", "name text", "owner_id int ->ab_user.id"]),
        ]
    };
    let (sql, proposal) = admin_by(tables(), &[("ab_role", "name", &["Admin", "Public", "Gamma"])]);
    assert_eq!(
        sql,
        "EXISTS (SELECT 1 FROM \"ab_user_role\" AS l JOIN \"ab_role\" AS r ON r.\"id\" = l.\"role_id\" \
         WHERE l.\"user_id\" = \"ab_user\".\"id\" AND r.\"name\" = 'Admin')"
    );
    let reads: Vec<_> = proposal.columns[6]
        .reads
        .iter()
        .map(|(table, columns)| (table.to_string(), columns.join(",")))
        .collect();
    assert_eq!(
        reads,
        [
            ("ab_user_role".to_owned(), "user_id,role_id".to_owned()),
            ("ab_role".to_owned(), "id,name".to_owned())
        ]
    );
    // Nobody knows which of these may do everything: the reader does.
    let (sql, proposal) = admin_by(tables(), &[("ab_role", "name", &["Alpha", "Gamma"])]);
    assert_eq!(sql, "-");
    assert!(proposal.columns[6].hints[0].comment.contains("Alpha, Gamma"), "{:?}", proposal.columns[6].hints);
    assert!(proposal.columns[6].hints[0].sql.contains("r.\"name\" = 'Alpha'"));
}

#[test]
fn administrators_by_a_reference() {
    let tables = vec![
        table("directus_users", &["id pk uuid", "email text", "role uuid null ->directus_roles.id"]),
        table("directus_roles", &["id pk uuid", "name text", "description text"]),
    ];
    let (sql, _) = admin_by(tables, &[("directus_roles", "name", &["Administrator", "Editor"])]);
    assert_eq!(
        sql,
        "EXISTS (SELECT 1 FROM \"directus_roles\" AS r WHERE r.\"id\" = \"directus_users\".\"role\" AND r.\"name\" = 'Administrator')"
    );
    let tables = vec![
        table("users", &["id pk int", "email text", "roleid int ->role.roleid"]),
        table("role", &["roleid pk int", "title text", "is_admin bool"]),
    ];
    let (sql, _) = admin_by(tables, &[("role", "title", &["Chief", "Staff"])]);
    assert!(sql.ends_with("AND r.\"is_admin\")"), "{sql}");
}

#[test]
fn administrators_by_words_beside_them() {
    let tables = vec![
        table("user", &["user_id pk int", "user_name text"]),
        table("user_groups", &["ug_user pk int", "ug_group pk text"]),
        table("page", &["page_id pk int", "page_title text"]),
    ];
    let (sql, proposal) = admin_by(tables, &[("user_groups", "ug_group", &["sysop", "bureaucrat", "bot"])]);
    assert_eq!(
        sql,
        "EXISTS (SELECT 1 FROM \"user_groups\" AS r WHERE r.\"ug_user\" = \"user\".\"user_id\" AND r.\"ug_group\" = 'sysop')"
    );
    assert_eq!(proposal.columns[6].confidence, Confidence::Low);
}

#[test]
fn an_owner_of_a_team_is_no_administrator() {
    let tables = vec![
        table("users", &["id pk int", "email text"]),
        table("teams", &["id pk int", "name text"]),
        table("team_user_roles", &["user_id int ->users.id", "team_id int ->teams.id", "role text"]),
    ];
    let (sql, _) = admin_by(tables, &[("team_user_roles", "role", &["owner", "member"])]);
    assert_eq!(sql, "-");
}

#[test]
fn numbers_are_left_to_the_reader() {
    let samples = Samples::default()
        .with("role", &["2", "32", "258"])
        .with("status", &["1", "2", "3"])
        .with("level", &["0", "9"]);
    let proposal = propose(&["id pk int", "role int", "status int", "level int"], &samples);
    let hints = |field| {
        let mapped = proposal.columns.iter().find(|mapped| mapped.field == field).expect("every field");
        mapped.hints.iter().map(|hint| hint.sql.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(shown(&proposal, Field::IsAdmin), "-");
    assert_eq!(hints(Field::IsAdmin), ["coalesce(\"role\", 0) & 1 = 1", "coalesce(\"level\", -1) = 9"]);
    assert_eq!(hints(Field::IsActive), ["\"status\" = 1"]);
}

#[test]
fn cells_go_before_names() {
    let samples = Samples::default()
        .with("mail_host", &["localhost", "localhost"])
        .with("username", &["ada@example.com", "bob@example.com"])
        .with("recovery_email", &["", ""])
        .with("email", &["", ""])
        .with("login", &["ada@example.com", "x@example.com"]);
    assert_eq!(field(Field::Email, &["username text", "mail_host text"], &samples), "username");
    assert_eq!(field(Field::Email, &["recovery_email text", "login text"], &samples), "login");
    assert_eq!(field(Field::Email, &["email text", "login text"], &samples), "login");
    assert_eq!(field(Field::Email, &["email text"], &samples), "email");
    let none = Samples::default();
    assert_eq!(field(Field::Email, &["email text", "delivery_email text"], &none), "delivery_email");
}

#[test]
fn names_of_times() {
    let samples = Samples::default();
    for name in [
        "created_at",
        "createdAt",
        "create_datetime",
        "creation_ts",
        "date_joined",
        "registered_at",
        "signup_date",
        "member_since",
        "ctime",
        "regdate",
        "user_registration_time",
        "datecreated",
        "crdate",
        "create_date",
        "joined",
        "timecreated",
    ] {
        assert_eq!(field(Field::CreatedAt, &[&format!("{name} time")], &samples), name);
    }
    for name in [
        "write_date",
        "last_modified",
        "updatedAt",
        "mtime",
        "modified_on",
        "last_update",
        "timemodified",
        "changed",
        "upd_date",
    ] {
        assert_eq!(field(Field::UpdatedAt, &[&format!("{name} time")], &samples), name);
    }
    for name in [
        "last_login",
        "password_changed_at",
        "email_verified_at",
        "created_by",
        "birth_date",
        "deleted_at",
        "date",
    ] {
        assert_eq!(field(Field::CreatedAt, &[&format!("{name} time")], &samples), "-", "{name}");
        assert_eq!(field(Field::UpdatedAt, &[&format!("{name} time")], &samples), "-", "{name}");
    }
}

#[test]
fn system_users_are_hinted_at() {
    let samples = Samples::default().with("username", &["ada", "Guest"]).with("id", &["0", "1"]);
    let hint = |columns: &[&str], samples: &Samples| {
        propose(columns, samples).suggestions.first().map(|hint| hint.sql.clone()).unwrap_or_default()
    };
    assert_eq!(
        hint(&["id pk int", "username text"], &samples),
        "coalesce(\"username\", '') NOT IN ('Guest')"
    );
    assert_eq!(hint(&["id pk int", "is_bot bool"], &samples), "NOT \"is_bot\"");
    assert_eq!(hint(&["id pk int", "email text"], &samples), "\"id\" > 0");
}

#[test]
fn what_is_random_and_refers_to_nothing_is_left_alone() {
    let random = &["3f2a9c1d4b5e4f60a7b8c9d0e1f2a3b4", "9d8c7b6a5f4e4d3c8b2a1f0e9d8c7b6a"];
    let samples = Samples::default()
        .with("fs_uniquifier", random)
        .with("marker", random)
        .with("facility_id", random)
        .with("public_id", random);
    let proposal = propose(
        &[
            "id pk int",
            "fs_uniquifier text unique",
            "marker text unique",
            "facility_id text ->facilities.id",
            "public_id text unique",
        ],
        &samples,
    );
    let left: Vec<_> = proposal.left_alone.iter().map(|left| left.column.as_str()).collect();
    assert_eq!(left, ["fs_uniquifier", "marker"]);
}

#[test]
fn nothing_is_sure_without_a_cell() {
    let proposal = propose(&["id pk int", "email text unique", "is_active bool"], &Samples::default());
    assert!(proposal.columns.iter().all(|mapped| mapped.confidence < Confidence::High));
    let samples = Samples::default().with("id", &["1"]).with("email", &["a@b"]).with("is_active", &["t"]);
    let proposal = propose(&["id pk int", "email text unique", "is_active bool"], &samples);
    let sure: Vec<_> = proposal
        .columns
        .iter()
        .filter(|mapped| mapped.confidence == Confidence::High)
        .map(|mapped| mapped.field.name())
        .collect();
    assert_eq!(sure, ["id", "email", "is_active"]);
}

#[test]
fn a_ban_that_is_over_ends_nothing_else() {
    let columns = &["id pk int", "deleted bool", "banned bool", "ban_expires time null"];
    assert_eq!(
        shown(&propose(columns, &Samples::default()), Field::IsActive),
        "(NOT \"banned\" OR coalesce(\"ban_expires\" <= now(), false)) AND NOT \"deleted\""
    );
}

#[test]
fn an_administrator_of_a_part_is_none() {
    let samples = Samples::default()
        .with("role", &["Group Admin", "Non Admin", "Member"])
        .with("roles", &["[{\"name\":\"admin\"}]"])
        .with("state", &["OK", "CA", "NY"]);
    assert_eq!(field(Field::IsAdmin, &["role text"], &samples), "-");
    assert_eq!(field(Field::IsAdmin, &["roles text"], &samples), "-");
    assert_eq!(field(Field::IsActive, &["state text"], &samples), "-");
    let proposal = propose(&["id pk int", "role enum=owner,tenant,vet"], &Samples::default());
    assert_eq!(proposal.columns[6].confidence, Confidence::Medium);
    let users = || table("users", &["id pk int", "username text"]);
    for beside in [
        table("team_members", &["user_id int ->users.id", "team_id int", "is_admin bool"]),
        table("ticket_replies", &["id pk int", "user_id int ->users.id", "is_staff bool"]),
        table("team_roles", &["user_id int ->users.id", "team int", "role text"]),
    ] {
        let name = beside.name.name().to_owned();
        let (sql, _) = admin_by(vec![users(), beside], &[(&name, "role", &["admin", "member"])]);
        assert_eq!(sql, "-", "{name}");
    }
    let of_organizations = vec![
        users(),
        table("roles", &["id pk int", "name text", "organization_id int"]),
        table("users_roles", &["user_id int ->users.id", "role_id int ->roles.id"]),
    ];
    assert_eq!(admin_by(of_organizations, &[("roles", "name", &["admin"])]).0, "-");
}

#[test]
fn what_people_wrote_and_secrets_are_not_shown() {
    let samples = Samples::default()
        .with("status", &["Call me at +49 170 1234", "At lunch until two, then home"])
        .with("group", &["carol@private.example", "x"]);
    let proposal = propose(&["id pk int", "status text", "group text"], &samples);
    assert!(proposal.columns.iter().all(|mapped| mapped.hints.is_empty()), "{:?}", proposal.columns);
    let tables = vec![
        table("users", &["id pk int", "username text"]),
        table("access_tokens", &["id pk int", "user_id int ->users.id", "value text"]),
        table("roles", &["user_id int ->users.id", "name text"]),
    ];
    let (_, proposal) = admin_by(
        tables,
        &[("access_tokens", "value", &["glpat-SECRETSECRET"]), ("roles", "name", &["a@x.org"])],
    );
    assert!(proposal.columns[6].hints.is_empty(), "{:?}", proposal.columns[6].hints);
}

#[test]
fn somebody_else_is_not_the_user() {
    for reference in ["emergency_contact_id", "manager_id", "created_by"] {
        let tables = vec![
            table("users", &["id pk int", "username text", &format!("{reference} int null ->contacts.id")]),
            table("contacts", &["id pk int", "full_name text", "email text"]),
            table("blocked_emails", &["user_id int ->users.id", "email text"]),
        ];
        let (_, proposal) = admin_by(tables, &[]);
        assert_eq!(shown(&proposal, Field::Email), "-", "{reference}");
        assert_eq!(shown(&proposal, Field::Name), "username", "{reference}");
    }
    let tables = vec![
        table("res_users", &["id pk int", "login text", "partner_id int ->res_partner.id"]),
        table("res_partner", &["id pk int", "name text", "email text"]),
    ];
    let (_, proposal) = admin_by(tables, &[]);
    assert_eq!(
        shown(&proposal, Field::Email),
        "(SELECT e.\"email\" FROM \"res_partner\" AS e WHERE e.\"id\" = \"res_users\".\"partner_id\")"
    );
}

#[test]
fn a_secret_is_no_id() {
    let random = &["3f2a9c1d4b5e4f60a7b8c9d0e1f2a3b4", "9d8c7b6a5f4e4d3c8b2a1f0e9d8c7b6a"];
    let samples = Samples::default().with("handoff", random);
    assert_eq!(shown(&propose(&["email text unique", "handoff text unique"], &samples), Field::Id), "-");
}
