use super::*;
use crate::fixtures::{catalogue, table};
use crate::others::Others;
use crate::samples::Samples;
use crate::{Choices, Proposal};

/// What the first recognised table is mapped to: the preset, and each field's origin.
fn recognised(tables: Vec<Table>) -> (&'static str, Proposal) {
    let catalogue = catalogue(tables);
    let (preset, tables) = recognise(&catalogue).expect("a preset");
    let [table] = tables[..] else { panic!("{} tables", tables.len()) };
    let samples = Samples::default();
    let others = Others::default();
    let subject = Subject { catalogue: &catalogue, table, samples: &samples, others: &others };
    let proposal = subject.propose(Some(preset), preset.evidence(&catalogue, table), &Choices::new());
    (preset.name, proposal.expect("no ambiguity"))
}

fn origin(proposal: &Proposal, field: Field) -> Origin {
    proposal.columns.iter().find(|mapped| mapped.field == field).expect("every field").from.clone()
}

fn column(name: &str) -> Origin {
    Origin::Column(name.to_owned())
}

fn sql(sql: &str) -> Origin {
    Origin::Sql(sql.to_owned())
}

#[test]
fn names_are_unique_and_complete() {
    for preset in all() {
        assert_eq!(all().filter(|other| other.name == preset.name).count(), 1, "{}", preset.name);
        let fields: Vec<_> = preset.fields.iter().map(|(field, _)| *field).collect();
        assert_eq!(fields, Field::ALL, "{}", preset.name);
        assert!(by_name(preset.name).is_some_and(|found| std::ptr::eq(found, preset)));
    }
    assert!(by_name("nothing").is_none());
}

#[test]
fn no_preset_mentions_a_credential() {
    for preset in all() {
        for rule in preset.fields.iter().flat_map(|(_, rules)| *rules) {
            let from = match rule.from {
                Source::Column(name) => column(name),
                Source::Sql(text) => sql(text),
                _ => continue,
            };
            assert_eq!(crate::check::credential(&from), None, "{}", preset.name);
        }
    }
}

const ABSTRACT_USER: &[&str] = &[
    "id pk int",
    "password text",
    "last_login time null",
    "is_superuser bool",
    "username text unique",
    "first_name text",
    "last_name text",
    "email text",
    "is_staff bool",
    "is_active bool",
    "date_joined time",
];

#[test]
fn django() {
    let migrations = || table("django_migrations", &["id pk int", "app text"]);
    let (name, proposal) = recognised(vec![migrations(), table("auth_user", ABSTRACT_USER)]);
    assert_eq!(name, "django");
    assert_eq!(origin(&proposal, Field::Name), sql("nullif(trim(first_name || ' ' || last_name), '')"));
    assert_eq!(origin(&proposal, Field::UpdatedAt), Origin::Nothing);
    assert_eq!(proposal.left_alone.len(), 1);

    let (name, proposal) = recognised(vec![migrations(), table("shop_customer", ABSTRACT_USER)]);
    assert_eq!(name, "django-custom-user");
    assert_eq!(origin(&proposal, Field::IsAdmin), column("is_superuser"));

    // The user model of Django's own tutorial: AbstractBaseUser without PermissionsMixin.
    let tutorial = &[
        "id pk int",
        "password text",
        "last_login time null",
        "email text unique",
        "is_active bool",
        "is_admin bool",
    ];
    let (_, proposal) = recognised(vec![migrations(), table("members_myuser", tutorial)]);
    assert_eq!(origin(&proposal, Field::IsAdmin), column("is_admin"));
    assert_eq!(origin(&proposal, Field::Name), Origin::Nothing);
    assert_eq!(origin(&proposal, Field::CreatedAt), Origin::Nothing);
}

const DEVISE: &[&str] =
    &["id pk int", "email text unique", "encrypted_password text", "created_at time", "updated_at time"];

#[test]
fn devise_with_more_and_less() {
    let users = |more: &[&str]| table("users", &[DEVISE, more].concat());
    let map = |more: &[&str]| {
        let (name, proposal) =
            recognised(vec![table("schema_migrations", &["version pk text"]), users(more)]);
        assert_eq!(name, "devise");
        [Field::Name, Field::IsActive, Field::IsAdmin].map(|field| origin(&proposal, field))
    };
    assert_eq!(map(&[]), [Origin::Nothing, Origin::Nothing, Origin::Nothing]);
    assert_eq!(
        map(&["name text null", "admin bool null", "confirmed_at time null", "locked_at time null"]),
        [
            column("name"),
            sql("confirmed_at IS NOT NULL AND locked_at IS NULL"),
            sql("coalesce(admin, false)")
        ]
    );
    assert_eq!(
        map(&["first_name text", "last_name text", "locked_at time null", "role enum=user,admin"]),
        [
            sql("nullif(trim(\"first_name\" || ' ' || \"last_name\"), '')"),
            sql("locked_at IS NULL"),
            sql("\"role\"::text = 'admin'")
        ]
    );
}

const LARAVEL: &[&str] = &[
    "id pk int",
    "name text",
    "email text unique",
    "email_verified_at time null",
    "password text",
    "remember_token text null",
    "created_at time null",
    "updated_at time null",
];

#[test]
fn laravel_with_and_without_soft_deletes() {
    let map = |more: &[&str]| {
        let users = table("users", &[LARAVEL, more].concat());
        let (name, proposal) = recognised(vec![table("migrations", &["id pk int"]), users]);
        assert_eq!(name, "laravel");
        (origin(&proposal, Field::IsActive), proposal.suggestions.len())
    };
    assert_eq!(map(&[]), (Origin::Nothing, 1));
    assert_eq!(map(&["deleted_at time null"]), (sql("\"deleted_at\" IS NULL"), 2));
}

#[test]
fn prisma_with_and_without_times() {
    let user =
        &["id pk text", "name text null", "email text unique", "emailVerified time null", "image text null"];
    let map = |more: &[&str]| {
        let tables = vec![table("Account", &["userId text"]), table("User", &[user, more].concat())];
        let (name, proposal) = recognised(tables);
        assert_eq!(name, "nextauth-prisma");
        [Field::CreatedAt, Field::IsActive].map(|field| origin(&proposal, field))
    };
    assert_eq!(map(&[]), [Origin::Nothing, sql("true")]);
    assert_eq!(map(&["createdAt time"]), [column("createdAt"), sql("true")]);
}

#[test]
fn a_condition_can_be_part_of_a_preset() {
    let user = &[
        "id pk int",
        "lower_name text",
        "name text",
        "full_name text null",
        "email text",
        "type int",
        "passwd text",
        "created_unix int",
        "updated_unix int",
        "is_active bool",
        "is_admin bool",
        "prohibit_login bool",
    ];
    let (name, proposal) = recognised(vec![table("user", user)]);
    assert_eq!((name, proposal.timestamps), ("gitea", TimestampEncoding::Seconds));
    assert!(proposal.condition.is_some_and(|condition| condition.sql.contains("NOT IN (1, 2, 3)")));
}

#[test]
fn a_preset_needs_its_columns_companions_and_schema() {
    let without = |tables| recognise(&catalogue(tables)).map(|(preset, _)| preset.name);
    assert_eq!(without(vec![table("auth_user", ABSTRACT_USER)]), None);
    assert_eq!(without(vec![table("users", DEVISE)]), None);
    let elsewhere = vec![table("other.schema_migrations", &["version pk text"]), table("app.users", DEVISE)];
    assert_eq!(without(elsewhere), None);
    assert_eq!(without(Vec::new()), None);
}

#[test]
fn a_convention_decides_no_table_but_reads_it() {
    let users = table("users", &["id pk int", "email text unique", "hashed_password text", "is_active bool"]);
    let catalogue = catalogue(vec![users]);
    assert!(recognise(&catalogue).is_none());
    let preset = for_table(&catalogue, &catalogue.tables[0]);
    assert_eq!(preset.map(|preset| preset.name), Some("fastapi-sqlalchemy"));
}
