//! What applications call their columns. A list is in the order of preference, its names without separators.

use headcount_model::sensitive;
use headcount_source::catalogue::Table;

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

pub(super) const CREATED: &[&str] = &[
    "createdat",
    "created",
    "createdon",
    "createddate",
    "createddatetime",
    "createdtime",
    "createdtimestamp",
    "createdutc",
    "createdunix",
    "createdts",
    "datecreated",
    "timecreated",
    "creationdate",
    "creationtime",
    "creationtimestamp",
    "createat",
    "createdate",
    "createtime",
    "creation",
    "joinedat",
    "joined",
    "joinedon",
    "datejoined",
    "joindate",
    "joineddate",
    "joiningdate",
    "registeredat",
    "registered",
    "registeredon",
    "registrationdate",
    "registrationtime",
    "registration",
    "dateregistered",
    "registerdate",
    "regdate",
    "regtime",
    "signupat",
    "signedupat",
    "signedup",
    "signupdate",
    "signuptime",
    "signup",
    "membersince",
    "since",
    "insertedat",
    "inserted",
    "insertdate",
    "addedat",
    "added",
    "addedon",
    "dateadded",
    "ctime",
    "crdate",
    "memberdate",
];
pub(super) const UPDATED: &[&str] = &[
    "updatedat",
    "updated",
    "updatedon",
    "updateddate",
    "updateddatetime",
    "updatedtime",
    "updatedtimestamp",
    "updatedutc",
    "updatedunix",
    "updatedts",
    "dateupdated",
    "updateat",
    "updatedate",
    "updatetime",
    "modifiedat",
    "modified",
    "modifiedon",
    "modifieddate",
    "modifiedtime",
    "datemodified",
    "timemodified",
    "modificationdate",
    "modificationtime",
    "lastmodified",
    "lastmodifiedat",
    "lastmodifieddate",
    "lastmodifiedon",
    "lastupdated",
    "lastupdatedat",
    "lastupdate",
    "lastupdateddate",
    "changedat",
    "changed",
    "changedon",
    "lastchanged",
    "lastchange",
    "editedat",
    "edited",
    "mtime",
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

pub(super) const ACTIVE: &[&str] =
    &["isactive", "active", "isenabled", "enabled", "activeflag", "isactiveflag", "accountenabled", "enable"];
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
    "accountdisabled",
    "deletedflag",
];
pub(crate) const DELETED_TIMES: &[&str] = &[
    "deletedat",
    "deletedon",
    "deleteddate",
    "datedeleted",
    "deleteat",
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
    "deleted",
    "bannedat",
    "suspendedat",
    "blockedat",
    "archivedat",
    "removedat",
    "lockedat",
    "discardedat",
    "terminatedat",
];
pub(super) const STATUS: &[&str] =
    &["status", "state", "accountstatus", "accountstate", "statusname", "statuscode"];
pub(super) const ACTIVE_VALUES: &[&str] = &["active", "enabled", "activated"];

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
    "isroot",
    "issuper",
    "isstaff",
    "staff",
];
pub(super) const ROLE: &[&str] = &[
    "role",
    "rolename",
    "usertype",
    "accounttype",
    "type",
    "usergroup",
    "accesslevel",
    "permission",
    "group",
];
pub(super) const ADMIN_VALUES: &[&str] =
    &["admin", "administrator", "superadmin", "superadministrator", "superuser", "sysadmin", "root"];

/// Words that make a column with an address in its name something else, or somebody else's address.
const NOT_THE_ADDRESS: [&str; 44] = [
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

/// How well a name fits an address: the less, the better.
pub(crate) fn email_rank(name: &str, table: &Table) -> Option<usize> {
    let mut words = sensitive::words(name);
    if words.len() > 1 && is_owner(&words[0], table) {
        words.remove(0);
    }
    let joined = words.concat();
    if ["email", "mail", "emailaddress", "mailaddress", "emailaddr", "emailid"].contains(&joined.as_str()) {
        return Some(0);
    }
    let is_address = |word: &String| matches!(word.as_str(), "email" | "mail");
    // "e_mail" is split in two.
    let names_address = words.iter().any(is_address);
    if !names_address || words.iter().any(|word| NOT_THE_ADDRESS.contains(&word.as_str())) {
        return None;
    }
    Some(if words.iter().any(|word| MAIN_ADDRESS.contains(&word.as_str())) { 1 } else { 2 })
}

/// Whether a word only says whose column it is, as `user` in `user_email`.
fn is_owner(word: &str, table: &Table) -> bool {
    let of_table = sensitive::words(table.name.name());
    let is_of_table = |own: &String| own == word || own.strip_suffix('s') == Some(word);
    ["user", "usr", "u", "account", "acct", "member", "customer", "cust", "person", "profile", "contact"]
        .contains(&word)
        || of_table.iter().any(is_of_table)
}
