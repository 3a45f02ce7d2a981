//! Frameworks, whose users tables vary from application to application.

use super::{GUESS, GUESS_AS_IS, Preset, Remark, Rule, column, column_if, nothing, sql};
use crate::Field::{CreatedAt, Email, Id, IsActive, IsAdmin, Name, UpdatedAt};
use crate::TimestampEncoding;

pub(super) static PRESETS: &[Preset] =
    &[DJANGO, DJANGO_CUSTOM_USER, NEXTAUTH_PRISMA, DEVISE, LARAVEL, FASTAPI];

const FIRST_AND_LAST: Rule = sql(
    &["first_name", "last_name"],
    "nullif(trim(first_name || ' ' || last_name), '')",
    "first and last name, which Django keeps as '' rather than NULL",
);
const DJANGO_ACTIVE: &[Remark] = &[Remark {
    needs: &["is_active"],
    comment: "Django deactivates users rather than deleting them. To leave those out:",
    sql: "is_active",
}];

const DJANGO: Preset = Preset {
    name: "django",
    title: "Django",
    database: None,
    schema: None,
    tables: &["auth_user"],
    columns: &[
        "password",
        "last_login",
        "is_superuser",
        "date_joined",
        "first_name",
        "last_name",
        "email",
        "is_active",
    ],
    companions: &[&["django_migrations"]],
    decides: true,
    fields: [
        (Id, &[column("id")]),
        (Email, &[column("email")]),
        (Name, &[FIRST_AND_LAST]),
        (CreatedAt, &[column("date_joined")]),
        (UpdatedAt, &[GUESS, nothing("Django does not keep when a user was changed")]),
        (IsActive, &[column("is_active")]),
        (IsAdmin, &[column("is_superuser")]),
    ],
    timestamps: TimestampEncoding::Auto,
    condition: None,
    suggestions: DJANGO_ACTIVE,
    notes: &[],
    reads: &[],
};

const DJANGO_CUSTOM_USER: Preset = Preset {
    name: "django-custom-user",
    title: "Django with a user model of its own",
    database: None,
    schema: None,
    tables: &[],
    // What AbstractBaseUser always brings.
    columns: &["password", "last_login"],
    companions: &[&["django_migrations"]],
    decides: true,
    fields: [
        (Id, &[GUESS]),
        (Email, &[column_if(&["email"], "email"), GUESS]),
        (
            Name,
            &[column_if(&["full_name"], "full_name"), column_if(&["name"], "name"), FIRST_AND_LAST, GUESS],
        ),
        (CreatedAt, &[column_if(&["date_joined"], "date_joined"), GUESS]),
        (UpdatedAt, &[GUESS, nothing("Django does not keep when a user was changed")]),
        (IsActive, &[column_if(&["is_active"], "is_active"), GUESS]),
        (IsAdmin, &[column_if(&["is_superuser"], "is_superuser"), GUESS]),
    ],
    timestamps: TimestampEncoding::Auto,
    condition: None,
    suggestions: DJANGO_ACTIVE,
    notes: &[],
    reads: &[],
};

const NEXTAUTH_PRISMA: Preset = Preset {
    name: "nextauth-prisma",
    title: "Auth.js (NextAuth) with Prisma",
    database: None,
    schema: None,
    tables: &["User", "user", "users", "Users"],
    columns: &["id", "name", "email", "emailVerified", "image"],
    companions: &[&["Account", "account", "accounts", "Accounts"]],
    decides: true,
    fields: [
        (Id, &[column("id")]),
        (Email, &[column("email")]),
        (Name, &[column("name")]),
        (CreatedAt, &[GUESS, nothing("the model User has no createdAt here")]),
        (UpdatedAt, &[GUESS, nothing("the model User has no updatedAt here")]),
        (IsActive, &[GUESS, sql(&[], "true", "Auth.js cannot deactivate a user")]),
        (IsAdmin, &[GUESS, nothing("Auth.js knows no administrators")]),
    ],
    timestamps: TimestampEncoding::Auto,
    condition: None,
    suggestions: &[],
    notes: &[],
    reads: &[],
};

const DEVISE: Preset = Preset {
    name: "devise",
    title: "Rails with Devise",
    database: None,
    schema: None,
    tables: &[],
    columns: &["id", "email", "encrypted_password", "created_at", "updated_at"],
    companions: &[&["schema_migrations"]],
    decides: true,
    fields: [
        (Id, &[column("id")]),
        (Email, &[column("email")]),
        (Name, &[column_if(&["name"], "name"), GUESS]),
        (CreatedAt, &[column("created_at")]),
        (UpdatedAt, &[column("updated_at")]),
        (
            IsActive,
            &[
                sql(
                    &["confirmed_at", "locked_at"],
                    "confirmed_at IS NOT NULL AND locked_at IS NULL",
                    "confirmed, and not locked after failed passwords",
                ),
                sql(&["confirmed_at"], "confirmed_at IS NOT NULL", "confirmed"),
                sql(&["locked_at"], "locked_at IS NULL", "not locked after failed passwords"),
                GUESS,
                nothing("neither confirmable nor lockable, and no flag"),
            ],
        ),
        (
            IsAdmin,
            &[
                sql(&["admin"], "coalesce(admin, false)", "the flag, which is often NULL"),
                GUESS,
                nothing("Devise knows no administrators"),
            ],
        ),
    ],
    timestamps: TimestampEncoding::Auto,
    condition: None,
    suggestions: &[Remark {
        needs: &["confirmed_at"],
        comment: "To leave out those who never confirmed their address:",
        sql: "confirmed_at IS NOT NULL",
    }],
    notes: &[],
    reads: &[],
};

const LARAVEL: Preset = Preset {
    name: "laravel",
    title: "Laravel",
    database: None,
    schema: None,
    tables: &["users"],
    columns: &["id", "name", "email", "password", "remember_token", "created_at", "updated_at"],
    companions: &[&["migrations"]],
    decides: true,
    fields: [
        (Id, &[column("id")]),
        (Email, &[column("email")]),
        (Name, &[column("name")]),
        (CreatedAt, &[column("created_at")]),
        (UpdatedAt, &[column("updated_at")]),
        (
            IsActive,
            &[
                GUESS,
                sql(&["deleted_at"], "deleted_at IS NULL", "SoftDeletes"),
                nothing("the skeleton neither locks nor deactivates anybody"),
            ],
        ),
        (IsAdmin, &[GUESS, nothing("the skeleton knows no administrators")]),
    ],
    timestamps: TimestampEncoding::Auto,
    condition: None,
    suggestions: &[
        Remark {
            needs: &["deleted_at"],
            comment: "Without those who are deleted softly:",
            sql: "deleted_at IS NULL",
        },
        Remark {
            needs: &["email_verified_at"],
            comment: "Only those who confirmed their address:",
            sql: "email_verified_at IS NOT NULL",
        },
    ],
    notes: &[
        "Laravel's timestamps have no zone; it writes them in config('app.timezone'), which is UTC unless changed.",
    ],
    reads: &[],
};

const FASTAPI: Preset = Preset {
    name: "fastapi-sqlalchemy",
    title: "the usual names, as with FastAPI and SQLAlchemy",
    database: None,
    schema: None,
    tables: &["users", "user"],
    columns: &["id", "email", "is_active"],
    companions: &[],
    decides: false,
    fields: [
        (Id, &[GUESS]),
        (Email, &[GUESS]),
        (Name, &[GUESS]),
        (CreatedAt, &[GUESS]),
        (UpdatedAt, &[GUESS]),
        // A table with the names of an export gives what it would give without a mapping.
        (IsActive, &[GUESS_AS_IS]),
        (IsAdmin, &[GUESS_AS_IS]),
    ],
    timestamps: TimestampEncoding::Auto,
    condition: None,
    suggestions: &[],
    notes: &[],
    reads: &[],
};
