//! What applications call their columns. A list is in the order of preference, its names without separators.

use headcount_model::sensitive;
use headcount_source::catalogue::{Column, Table};

pub(crate) const ID: &[&str] =
    &["id", "userid", "uid", "uuid", "guid", "accountid", "memberid", "pk", "key", "personid"];

pub(super) const FULL_NAME: &[&str] = &[
    "fullname",
    "displayname",
    "display",
    "realname",
    "completename",
    "name",
    "commonname",
    "personname",
    "names",
];
pub(super) const FIRST_NAME: &[&str] =
    &["firstname", "givenname", "forename", "fname", "first", "given", "vorname"];
pub(super) const LAST_NAME: &[&str] =
    &["lastname", "familyname", "surname", "lname", "sname", "last", "family", "nachname", "secondname"];
pub(super) const LOGIN_NAME: &[&str] = &[
    "nickname",
    "preferredname",
    "screenname",
    "nick",
    "username",
    "login",
    "loginname",
    "handle",
    "uname",
    "alias",
];
/// Columns that may hold an address without being named so.
pub(super) const LOGIN: &[&str] =
    &["login", "username", "loginname", "logon", "account", "accountname", "user", "uname", "userid", "id"];

/// What happens when a user comes to be, best first. `time_rank` takes off the words that only say that it is a time.
pub(super) const CREATED: &[&str] = &[
    "created",
    "create",
    "creation",
    "registered",
    "registration",
    "register",
    "reg",
    "joined",
    "join",
    "joining",
    "signedup",
    "signup",
    "membersince",
    "member",
    "since",
    "inserted",
    "insert",
    "added",
    "add",
    "entered",
    "cr",
    "c",
];
/// What happens when it is changed.
pub(super) const UPDATED: &[&str] = &[
    "updated",
    "update",
    "modified",
    "modification",
    "modify",
    "lastmodified",
    "lastupdated",
    "lastupdate",
    "changed",
    "change",
    "lastchanged",
    "lastchange",
    "edited",
    "edit",
    "lastedited",
    "written",
    "write",
    "mod",
    "upd",
    "m",
];
/// Words beside them that say that it is a time, and how it is written.
const OF_A_TIME: [&str; 17] = [
    "at",
    "on",
    "date",
    "time",
    "datetime",
    "timestamp",
    "ts",
    "dt",
    "utc",
    "gmt",
    "unix",
    "epoch",
    "ms",
    "millis",
    "local",
    "stamp",
    "tz",
];
/// What says that something happened only beside such a word.
const NEEDS_A_TIME: [&str; 14] = [
    "c", "m", "cr", "mod", "reg", "add", "upd", "edit", "member", "register", "join", "change", "insert",
    "write",
];

/// When somebody was last there.
pub(crate) const LAST_SEEN: &[&str] = &[
    "lastlogin",
    "lastloginat",
    "lastlogindate",
    "lastsigninat",
    "currentsigninat",
    "lastseen",
    "lastseenat",
    "lastvisit",
    "lastactive",
    "lastactiveat",
    "lastaccess",
    "signincount",
    "logincount",
];

pub(super) const ACTIVE: &[&str] = &[
    "isactive",
    "active",
    "isenabled",
    "enabled",
    "activeflag",
    "isactiveflag",
    "accountenabled",
    "enable",
    "activated",
    "isactivated",
];
/// What an administrator, or the user with a mail, has to do before somebody is active. An address that is confirmed is named so,
/// and makes nobody active.
pub(super) const CONFIRMED: &[&str] = &[
    "confirmed",
    "isconfirmed",
    "approved",
    "isapproved",
    "confirmedat",
    "approvedat",
    "activatedat",
    "activatedon",
    "accountconfirmed",
    "accountapproved",
];
pub(super) const INACTIVE: &[&str] = &[
    "isdisabled",
    "disabled",
    "isinactive",
    "inactive",
    "isdeactivated",
    "deactivated",
    "isblocked",
    "blocked",
    "isbanned",
    "banned",
    "issuspended",
    "suspended",
    "islocked",
    "locked",
    "isdeleted",
    "deleted",
    "isarchived",
    "archived",
    "isremoved",
    "removed",
    "isfrozen",
    "frozen",
    "isclosed",
    "closed",
    "iserased",
    "erased",
    "ispending",
    "pending",
    "accountdisabled",
    "accountlocked",
    "deletedflag",
    "prohibitlogin",
    "nologin",
    "logindisabled",
];
pub(crate) const DELETED_TIMES: &[&str] = &[
    "deletedat",
    "deletedon",
    "deleteddate",
    "datedeleted",
    "deleteat",
    "deletiondate",
    "deleted",
    "removedat",
    "archivedat",
];
pub(super) const INACTIVE_TIMES: &[&str] = &[
    "deactivatedat",
    "deactivatedon",
    "disabledat",
    "disabledon",
    "deletedat",
    "deletedon",
    "deleteddate",
    "datedeleted",
    "deleteat",
    "deletiondate",
    "deleted",
    "bannedat",
    "suspendedat",
    "blockedat",
    "archivedat",
    "removedat",
    "lockedat",
    "discardedat",
    "erasedat",
    "closedat",
    "terminatedat",
];
pub(super) const STATUS: &[&str] = &[
    "status",
    "state",
    "accountstatus",
    "accountstate",
    "statusname",
    "statuscode",
    "userstatus",
    "userstate",
    "activestatus",
];

pub(super) const ADMIN: &[&str] = &[
    "isadmin",
    "admin",
    "isadministrator",
    "administrator",
    "issuperuser",
    "superuser",
    "issuperadmin",
    "superadmin",
    "issysadmin",
    "sysadmin",
    "adminflag",
    "adminaccess",
    "isserverowner",
    "serverowner",
    "issiteadmin",
    "siteadmin",
    "isroot",
    "issuper",
    "isowner",
    "isstaff",
    "staff",
];
pub(crate) const ROLE: &[&str] = &[
    "role",
    "roles",
    "rolename",
    "globalrole",
    "usertype",
    "accounttype",
    "type",
    "kind",
    "usergroup",
    "group",
    "groups",
    "groupname",
    "accesslevel",
    "userlevel",
    "level",
    "rank",
    "permission",
    "permissions",
    "privileges",
    "rights",
];
/// What a role is called in a table of roles.
pub(super) const ROLE_NAME: &[&str] = &[
    "code",
    "slug",
    "name",
    "key",
    "rolename",
    "groupname",
    "title",
    "label",
    "displayname",
    "permission",
    "type",
    "kind",
];
/// What a table calls a reference to a user.
pub(super) const USER_REFERENCE: &[&str] =
    &["user", "userid", "uid", "usernum", "account", "accountid", "member", "memberid", "person", "personid"];
/// What a table calls a reference to a role.
pub(super) const ROLE_REFERENCE: &[&str] = &[
    "role",
    "roleid",
    "group",
    "groupid",
    "usergroup",
    "usergroupid",
    "permission",
    "permissionid",
    "policy",
    "policyid",
];

/// Words that say how long something lasts.
const ENDS: [&str; 8] = ["until", "till", "expires", "expiry", "expire", "expiration", "end", "ends"];
/// The beginnings of what may end.
const BANS: [&str; 4] = ["ban", "block", "suspen", "lock"];

/// Whether a column says when what another one says ends, as `banned_until` and `banExpires` do of `banned`.
pub(super) fn is_end_of_a_ban(end: &str, ban: &str) -> bool {
    let (end, ban) = (sensitive::words(end), sensitive::words(ban));
    let is_end = end.iter().any(|word| ENDS.contains(&word.as_str()));
    let says = |words: &[String], stem: &str| words.iter().any(|word| word.starts_with(stem));
    is_end && BANS.iter().any(|stem| says(&end, stem) && says(&ban, stem))
}

/// Whether a column says until when a row counts, as in `expires_at`.
pub(super) fn is_expiry(name: &str) -> bool {
    let words = sensitive::words(name);
    words.iter().any(|word| ENDS.contains(&word.as_str()) || word == "expired") || words.concat() == "validto"
}

/// Who made a table of users a member of it, and is nobody's account.
pub(super) const SYSTEM_USERS: &[&str] = &[
    "guest",
    "anonymous",
    "anon",
    "nobody",
    "system",
    "default",
    "bot",
    "root",
    "daemon",
    "publicuser",
    "portaluser",
    "templateuser",
    "unknown",
    "odoobot",
    "robot",
    "service",
];
/// Flags of those.
pub(super) const BOT_FLAGS: &[&str] = &[
    "isbot",
    "bot",
    "issystem",
    "system",
    "isservice",
    "isserviceaccount",
    "isanonymous",
    "isguest",
    "isrobot",
    "isexternal",
];

/// Words that make a column with an address in its name something else, or somebody else's address.
const NOT_THE_ADDRESS: [&str; 66] = [
    "host",
    "server",
    "port",
    "box",
    "list",
    "quota",
    "alias",
    "recovery",
    "dummy",
    "signature",
    "provider",
    "format",
    "visibility",
    "id",
    "ids",
    "hidden",
    "public",
    "bounce",
    "bouncing",
    "digest",
    "setting",
    "settings",
    "verified",
    "verification",
    "confirmed",
    "confirmation",
    "unconfirmed",
    "validated",
    "valid",
    "is",
    "has",
    "opt",
    "optin",
    "in",
    "out",
    "subscribed",
    "notification",
    "notifications",
    "notify",
    "enabled",
    "frequency",
    "count",
    "sent",
    "at",
    "new",
    "old",
    "pending",
    "previous",
    "change",
    "changed",
    "backup",
    "secondary",
    "alternate",
    "alternative",
    "alt",
    "normalized",
    "lower",
    "canonical",
    "template",
    "subject",
    "body",
    "domain",
    "preference",
    "preferences",
    "status",
    "type",
];
/// Words for the address that mail goes to; before all, where another is only shown.
const REAL_ADDRESS: [&str; 2] = ["delivery", "real"];
const MAIN_ADDRESS: [&str; 6] = ["primary", "main", "login", "default", "account", "user"];

/// A name without separators and case: `emailAddress` and `EMAIL_ADDRESS` are `emailaddress`.
pub(crate) fn joined(name: &str) -> String {
    sensitive::words(name).concat()
}

/// Where a column's name stands in a list; as it is, or without a prefix that only says whose column it is.
pub(crate) fn rank(name: &str, table: &Table, list: &[&str]) -> Option<usize> {
    let place = |name: &str| list.iter().position(|known| *known == name);
    let words = sensitive::words(name);
    place(&words.concat()).or_else(|| {
        let (first, rest) = words.split_first().filter(|(_, rest)| !rest.is_empty())?;
        // A user name is what somebody signs in with, not a user's name.
        let is_login = matches!(first.as_str(), "user" | "account") && rest == ["name"];
        (is_owner(first, table) && !is_login).then(|| place(&rest.concat())).flatten()
    })
}

/// The columns of a list, in its order.
pub(super) fn in_order<'a>(
    columns: impl Iterator<Item = &'a Column>,
    table: &Table,
    list: &[&str],
) -> impl Iterator<Item = &'a Column> {
    let mut ranked: Vec<_> =
        columns.filter_map(|column| Some((rank(&column.name, table, list)?, column))).collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, column)| column)
}

/// Where what a name of a time says happened stands in a list: `created_at`, `dateCreated` and `creation_ts` all say `created`.
pub(crate) fn time_rank(name: &str, table: &Table, list: &[&str]) -> Option<usize> {
    let place = |words: &[String]| {
        let said: Vec<_> = words.iter().filter(|word| !OF_A_TIME.contains(&word.as_str())).collect();
        let has_more = said.len() < words.len();
        let joined: String = said.into_iter().map(String::as_str).collect();
        let position = |stem: &str| list.iter().position(|known| *known == stem);
        // Written together, as in "ctime" and "datecreated".
        let glued = || {
            let stems =
                OF_A_TIME.iter().flat_map(|word| [joined.strip_suffix(word), joined.strip_prefix(word)]);
            stems.flatten().find_map(position)
        };
        let alone = position(&joined).filter(|_| has_more || !NEEDS_A_TIME.contains(&joined.as_str()));
        alone.or_else(glued)
    };
    let words = sensitive::words(name);
    place(&words).or_else(|| {
        let (first, rest) = words.split_first().filter(|(_, rest)| !rest.is_empty())?;
        is_owner(first, table).then(|| place(rest)).flatten()
    })
}

/// How well a name fits an address: the less, the better.
pub(crate) fn email_rank(name: &str, table: &Table) -> Option<usize> {
    let mut words = sensitive::words(name);
    if words.len() > 1 && is_owner(&words[0], table) {
        words.remove(0);
    }
    let joined = words.concat();
    if ["email", "mail", "emailaddress", "mailaddress", "emailaddr", "emailid"].contains(&joined.as_str()) {
        return Some(1);
    }
    let is_address = |word: &String| matches!(word.as_str(), "email" | "mail");
    // "e_mail" is split in two.
    let names_address = words.iter().any(is_address);
    if !names_address || words.iter().any(|word| NOT_THE_ADDRESS.contains(&word.as_str())) {
        return None;
    }
    let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    Some(if has(&REAL_ADDRESS) { 0 } else { 3 - usize::from(has(&MAIN_ADDRESS)) })
}

/// Whether a word only says whose column it is, as `user` in `user_email`.
fn is_owner(word: &str, table: &Table) -> bool {
    let of_table = sensitive::words(table.name.name());
    let is_of_table = |own: &String| own == word || own.strip_suffix('s') == Some(word);
    ["user", "usr", "u", "account", "acct", "member", "customer", "cust", "person", "profile", "contact"]
        .contains(&word)
        || of_table.iter().any(is_of_table)
}
