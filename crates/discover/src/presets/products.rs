//! Products, whose users tables are the same everywhere.

use super::{Preset, Remark, column, nothing, sql};
use crate::Field::{CreatedAt, Email, Id, IsActive, IsAdmin, Name, UpdatedAt};
use crate::TimestampEncoding;
use headcount_source::catalogue::Database;

pub(super) static PRESETS: &[Preset] = &[SUPABASE, KEYCLOAK, DISCOURSE, GITLAB, GITEA, MATTERMOST];

const SUPABASE: Preset = Preset {
    name: "supabase",
    title: "Supabase Auth",
    database: Some(Database::Postgres),
    schema: Some("auth"),
    tables: &["users"],
    columns: &[
        "id",
        "email",
        "raw_user_meta_data",
        "raw_app_meta_data",
        "banned_until",
        "deleted_at",
        "is_super_admin",
    ],
    companions: &[&["identities"]],
    decides: true,
    fields: [
        (Id, &[column("id")]),
        (Email, &[column("email")]),
        (
            Name,
            &[sql(
                &[],
                "coalesce(raw_user_meta_data->>'full_name', raw_user_meta_data->>'name')",
                "what people typed or their provider sent; which key there is depends on the provider",
            )],
        ),
        (CreatedAt, &[column("created_at")]),
        (UpdatedAt, &[column("updated_at")]),
        (
            IsActive,
            &[sql(
                &[],
                "deleted_at IS NULL AND (banned_until IS NULL OR banned_until <= now())",
                "neither deleted nor banned; an address not confirmed yet makes nobody inactive",
            )],
        ),
        (IsAdmin, &[column("is_super_admin")]),
    ],
    timestamps: TimestampEncoding::Auto,
    condition: None,
    suggestions: &[Remark {
        needs: &["is_anonymous"],
        comment: "Without visitors who have not signed up, and without those deleted softly, whose address is a hash:",
        sql: "NOT is_anonymous AND deleted_at IS NULL",
    }],
    notes: &["Supabase Auth no longer sets is_super_admin: it is mostly NULL."],
    reads: &[],
};

const KEYCLOAK: Preset = Preset {
    name: "keycloak",
    title: "Keycloak",
    database: Some(Database::Postgres),
    schema: None,
    tables: &["user_entity"],
    columns: &[
        "id",
        "email",
        "first_name",
        "last_name",
        "username",
        "realm_id",
        "enabled",
        "created_timestamp",
    ],
    companions: &[&["realm"]],
    decides: true,
    fields: [
        (Id, &[column("id")]),
        (Email, &[column("email")]),
        (
            Name,
            &[sql(
                &[],
                "coalesce(nullif(trim(concat_ws(' ', first_name, last_name)), ''), username)",
                "first and last name, or else the user name",
            )],
        ),
        (CreatedAt, &[column("created_timestamp")]),
        (UpdatedAt, &[nothing("Keycloak does not keep when a user was changed")]),
        (IsActive, &[column("enabled")]),
        (IsAdmin, &[nothing("by roles, groups and composite roles, in other tables")]),
    ],
    timestamps: TimestampEncoding::Milliseconds,
    condition: None,
    suggestions: &[Remark {
        needs: &["service_account_client_link"],
        comment: "One realm only, and no clients' service accounts (needs SELECT on realm, too):",
        sql: "realm_id = (SELECT id FROM realm WHERE name = 'myrealm') AND service_account_client_link IS NULL",
    }],
    notes: &["The users of all realms are in one table, Keycloak's own administrators (realm master) too."],
    reads: &[],
};

const DISCOURSE: Preset = Preset {
    name: "discourse",
    title: "Discourse",
    database: Some(Database::Postgres),
    schema: None,
    tables: &["users"],
    columns: &["id", "username_lower", "trust_level", "staged", "suspended_till", "active", "admin"],
    companions: &[&["user_emails"]],
    decides: true,
    fields: [
        (Id, &[column("id")]),
        (
            Email,
            &[sql(
                &[],
                "(SELECT e.email FROM user_emails e WHERE e.user_id = users.id AND e.\"primary\")",
                "the primary address, in a table of its own",
            )],
        ),
        (Name, &[sql(&[], "coalesce(nullif(trim(name), ''), username)", "the name, or else the user name")]),
        (CreatedAt, &[column("created_at")]),
        (UpdatedAt, &[column("updated_at")]),
        (
            IsActive,
            &[sql(
                &[],
                "active AND NOT staged AND (suspended_till IS NULL OR suspended_till <= now() AT TIME ZONE 'UTC')",
                "address confirmed, not made from a mail only, not suspended. \
                 Where users are approved by hand, add: AND (approved OR admin)",
            )],
        ),
        (IsAdmin, &[column("admin")]),
    ],
    timestamps: TimestampEncoding::Auto,
    condition: None,
    suggestions: &[Remark {
        needs: &[],
        comment: "Without Discourse's own bots (-1, -2) and people who only ever wrote by mail:",
        sql: "id > 0 AND NOT staged",
    }],
    notes: &["The role needs SELECT on user_emails, too."],
    reads: &[("user_emails", &["user_id", "email", "primary"])],
};

const GITLAB: Preset = Preset {
    name: "gitlab",
    title: "GitLab",
    database: Some(Database::Postgres),
    schema: None,
    tables: &["users"],
    columns: &[
        "id",
        "email",
        "name",
        "username",
        "state",
        "admin",
        "projects_limit",
        "created_at",
        "updated_at",
    ],
    companions: &[&["identities"]],
    decides: true,
    fields: [
        (Id, &[column("id")]),
        (Email, &[column("email")]),
        (Name, &[column("name")]),
        (CreatedAt, &[column("created_at")]),
        (UpdatedAt, &[column("updated_at")]),
        (
            IsActive,
            &[sql(
                &[],
                "state = 'active'",
                "other states: blocked, ldap_blocked, banned, deactivated, blocked_pending_approval",
            )],
        ),
        (IsAdmin, &[column("admin")]),
    ],
    timestamps: TimestampEncoding::Auto,
    condition: None,
    suggestions: &[Remark {
        needs: &["user_type"],
        comment: "Humans only (1 support bot, 2 alert bot, 5 ghost, 6 project bot, 13 service account, ...):",
        sql: "user_type = 0",
    }],
    notes: &[],
    reads: &[],
};

const GITEA: Preset = Preset {
    name: "gitea",
    title: "Gitea or Forgejo",
    database: None,
    schema: None,
    tables: &["user"],
    columns: &[
        "id",
        "lower_name",
        "name",
        "full_name",
        "email",
        "type",
        "created_unix",
        "updated_unix",
        "is_active",
        "is_admin",
        "prohibit_login",
    ],
    companions: &[],
    decides: true,
    fields: [
        (Id, &[column("id")]),
        (Email, &[column("email")]),
        (
            Name,
            &[sql(
                &[],
                "coalesce(nullif(trim(full_name), ''), name)",
                "the full name, or else the user name",
            )],
        ),
        (CreatedAt, &[column("created_unix")]),
        (UpdatedAt, &[column("updated_unix")]),
        (
            IsActive,
            &[sql(&[], "is_active AND NOT prohibit_login", "activated, and not barred by an administrator")],
        ),
        (IsAdmin, &[column("is_admin")]),
    ],
    timestamps: TimestampEncoding::Seconds,
    condition: Some(Remark {
        needs: &[],
        comment: "Organizations (1) and reserved names (2, 3) are in the same table, but are nobody's accounts.",
        sql: "coalesce(type, 0) NOT IN (1, 2, 3)",
    }),
    suggestions: &[],
    notes: &[],
    reads: &[],
};

const MATTERMOST: Preset = Preset {
    name: "mattermost",
    title: "Mattermost",
    database: Some(Database::Postgres),
    schema: None,
    tables: &["users"],
    columns: &[
        "id",
        "createat",
        "updateat",
        "deleteat",
        "username",
        "email",
        "nickname",
        "firstname",
        "lastname",
        "roles",
    ],
    companions: &[],
    decides: true,
    fields: [
        (Id, &[column("id")]),
        (Email, &[column("email")]),
        (
            Name,
            &[sql(
                &[],
                "coalesce(nullif(trim(concat_ws(' ', firstname, lastname)), ''), nullif(nickname, ''), username)",
                "first and last name, or else the nickname or the user name",
            )],
        ),
        (CreatedAt, &[column("createat")]),
        (UpdatedAt, &[column("updateat")]),
        (IsActive, &[sql(&[], "deleteat = 0", "0 until the user is deactivated")]),
        (
            IsAdmin,
            &[sql(
                &[],
                "'system_admin' = ANY (string_to_array(coalesce(roles, ''), ' '))",
                "the role as a word of its own: others begin or end alike",
            )],
        ),
    ],
    timestamps: TimestampEncoding::Milliseconds,
    condition: None,
    suggestions: &[
        Remark {
            needs: &[],
            comment: "Without bots (needs SELECT on bots, too):",
            sql: "NOT EXISTS (SELECT FROM bots b WHERE b.userid = users.id)",
        },
        Remark { needs: &[], comment: "Without people who were deactivated:", sql: "deleteat = 0" },
    ],
    notes: &[],
    reads: &[],
};
