use crate::fixtures::table;
use crate::samples::Samples;
use crate::{Ambiguous, Choices, Confidence, Field, Origin, Proposal, Subject, TimestampEncoding};
use headcount_source::catalogue::{Database, Table};

fn propose_on(database: Database, table: &Table, samples: &Samples) -> Result<Proposal, Ambiguous> {
    Subject { database, table, samples }.propose(None, String::new(), &Choices::new())
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
        (&["id int unique null"], "-"),
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
    let subject = Subject { database: Database::Postgres, table: &users, samples: &samples };
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
        (&["joined text"], "\"joined\"::timestamptz"),
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
        (&["enabled int", "status text"][..], "enabled"),
        (&["isactive int", "deleted_at time null"], "\"deleted_at\" IS NULL"),
        (&["active text"], "lower(\"active\") IN ('1', 'on', 't', 'true', 'y', 'yes')"),
        (&["status text", "banned bool"], "\"status\" = 'active'"),
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
    let samples =
        Samples::default().with("role", &["user", "admin", "super_admin"]).with("type", &["a'b", "x"]);
    for (columns, expected) in [
        (&["is_staff bool", "is_superuser bool"][..], "is_superuser"),
        (&["role text"], "\"role\" IN ('admin', 'super_admin')"),
        (&["role enum=member,owner"], "-"),
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
    let subject = Subject { database: Database::Postgres, table: &users, samples: &samples };
    let choice = vec![(Field::Name, "password".to_owned())];
    let proposal = subject.propose(None, String::new(), &choice).expect("no ambiguity");
    assert_eq!(shown(&proposal, Field::Name), "-");
}
