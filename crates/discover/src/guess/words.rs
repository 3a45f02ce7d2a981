//! What the words in cells and in the labels of types say: yes and no, states, and roles.

use headcount_model::sensitive;

pub(super) const TRUE: [&str; 6] = ["1", "on", "t", "true", "y", "yes"];
const FALSE: [&str; 6] = ["0", "f", "false", "n", "no", "off"];

const ACTIVE: [&str; 7] = ["active", "enabled", "activated", "approved", "confirmed", "verified", "normal"];
const INACTIVE: [&str; 33] = [
    "archived",
    "awaiting",
    "banned",
    "blocked",
    "cancelled",
    "canceled",
    "closed",
    "deactivated",
    "deleted",
    "denied",
    "disabled",
    "dormant",
    "expired",
    "former",
    "frozen",
    "inactive",
    "inactivated",
    "invited",
    "locked",
    "pending",
    "purged",
    "rejected",
    "removed",
    "revoked",
    "spam",
    "suspended",
    "terminated",
    "trashed",
    "unapproved",
    "unconfirmed",
    "unverified",
    "waiting",
    "withdrawn",
];
const ADMIN: [&str; 16] = [
    "admin",
    "adm",
    "administrator",
    "administrador",
    "administrateur",
    "amministratore",
    "superadmin",
    "superadministrator",
    "superuser",
    "superowner",
    "sysadmin",
    "sysop",
    "owner",
    "root",
    "rootadmin",
    "adminuser",
];
/// What may stand before a role without making it a smaller one, as in `ROLE_ADMIN` or `global:owner`.
const BEFORE_A_ROLE: [&str; 12] = [
    "role",
    "roles",
    "global",
    "system",
    "sys",
    "site",
    "server",
    "instance",
    "app",
    "application",
    "platform",
    "main",
];
/// What may stand behind it, as in `Super admin role`.
const BEHIND_A_ROLE: [&str; 6] = ["role", "roles", "user", "users", "group", "access"];

/// Whether this is a word for yes or for no.
pub(super) fn is_flag(word: &str) -> bool {
    let word = word.to_lowercase();
    TRUE.contains(&word.as_str()) || FALSE.contains(&word.as_str())
}

/// Whether this is a word for no.
pub(super) fn is_no(word: &str) -> bool {
    FALSE.contains(&word.to_lowercase().as_str())
}

/// Whether a state says that somebody may sign in.
pub(super) fn is_active(state: &str) -> bool {
    ACTIVE.contains(&sensitive::words(state).concat().as_str())
}

/// Whether a state says that somebody may not, or not yet.
pub(super) fn is_inactive(state: &str) -> bool {
    sensitive::words(state).iter().any(|word| INACTIVE.contains(&word.as_str()))
}

/// Whether a role is that of an owner.
pub(super) fn is_owner(role: &str) -> bool {
    sensitive::words(role).iter().any(|word| word == "owner" || word == "owners")
}

/// Whether a role of this name is that of those who may do everything. `Group admin` is none: it says of what.
pub(crate) fn is_admin(role: &str) -> bool {
    let words = sensitive::words(role);
    let mut words = &words[..];
    while let [first, rest @ ..] = words
        && !rest.is_empty()
        && BEFORE_A_ROLE.contains(&first.as_str())
    {
        words = rest;
    }
    while let [rest @ .., last] = words
        && !rest.is_empty()
        && BEHIND_A_ROLE.contains(&last.as_str())
    {
        words = rest;
    }
    let is_role = |word: &str| {
        ADMIN.contains(&word) || word.strip_suffix('s').is_some_and(|word| ADMIN.contains(&word))
    };
    let is_super = words.windows(2).any(|pair| pair[0] == "super" && is_role(&pair[1]));
    is_super || is_role(&words.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_of_those_who_may_do_everything() {
        for role in [
            "admin",
            "Admin",
            "Administrators",
            "ROLE_ADMIN",
            "ROLE_SUPER_ADMIN",
            "system_admin",
            "global:owner",
            "superuser",
            "strapi-super-admin",
            "Super admin role",
            "sysop",
            "root",
            "Owner",
        ] {
            assert!(is_admin(role), "{role}");
        }
        for role in [
            "user",
            "Group admin",
            "team_owner",
            "non-admin",
            "editor",
            "role",
            "Administration",
            "",
            "admin of x",
        ] {
            assert!(!is_admin(role), "{role}");
        }
    }

    #[test]
    fn states() {
        for (state, active, inactive) in [
            ("active", true, false),
            ("ACTIVATED", true, false),
            ("inactive", false, true),
            ("blocked_pending_approval", false, true),
            ("pending", false, true),
            ("invited", false, true),
            ("warn-90", false, false),
            ("CA", false, false),
        ] {
            assert_eq!((is_active(state), is_inactive(state)), (active, inactive), "{state}");
        }
    }
}
