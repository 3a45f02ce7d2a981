//! What a database does to exports without the mapping's doing: whose names it finds, in what order it has text, when it ends a
//! statement, and what other servers hold.

use super::Finding;
use crate::config::Config;
use headcount_source::{Consistency, Elsewhere, Inspection};
use std::time::Duration;

/// Whether somebody else could put an operator or a function in front of one that is meant.
pub(super) fn search_path(config: &Config, inspection: &Inspection) -> Option<Finding> {
    let others = inspection.others_on_path.as_ref()?;
    let is_named = config.source.mapping.search_path.is_some();
    if others.is_empty() {
        return Some(Finding::ok(
            "search_path",
            "nobody else can create, or has created, what expressions would take for theirs",
        ));
    }
    let others = others.join(", ");
    Some(match is_named {
        true => Finding::warning(
            "search_path",
            format!(
                "source.search_path names schemas in which others can create or have created something: {others}"
            ),
            "an operator or a function of theirs could run in every export, and leave users out",
            "REVOKE CREATE ON SCHEMA … FROM those in parentheses, drop what is theirs there, or take the schema out",
        ),
        false => Finding::warning(
            "search_path",
            format!(
                "others can create, or have created something, in schemas of the role's search_path: {others}"
            ),
            "names in expressions and source.where are not looked up there, because others could put theirs in front",
            "REVOKE CREATE ON SCHEMA … FROM those in parentheses, and drop what is theirs there; or write the schema before such \
             names, or set source.search_path",
        ),
    })
}

/// Whether indexes may have the order of a library that was updated since.
pub(super) fn collations(inspection: &Inspection) -> Option<Finding> {
    let outdated = &inspection.outdated_indexes;
    (!outdated.is_empty()).then(|| {
        Finding::warning(
            "collation",
            format!("text had another order when these were made: {}", outdated.join("; ")),
            "an index in an outdated order does not find everybody: filters, pages, expressions and source.where do without \
             any, which is slow; exports that meet its disorder fail",
            "REINDEX INDEX … for each (for partitions, load their rows anew); then ALTER COLLATION … REFRESH VERSION, or, for \
             the database's own, ALTER DATABASE … REFRESH COLLATION VERSION",
        )
    })
}

/// Whether the database would end an export before it is through.
pub(super) fn timeout(inspection: &Inspection, seconds: u64) -> Option<Finding> {
    let timeout = inspection.statement_timeout.filter(|timeout| *timeout < Duration::from_secs(seconds))?;
    Some(Finding::warning(
        "timeout",
        format!(
            "the database ends statements of this role after {}, and a full export takes about {seconds} s",
            humantime::format_duration(timeout)
        ),
        "the export breaks off then; what a slow client makes it wait counts, too",
        "ALTER ROLE … SET statement_timeout = 0 for the role in source.url (and transaction_timeout), or a longer time",
    ))
}

/// Says what nobody can see from here. Where all users have to be of one moment, the exports themselves are refused.
pub(super) fn elsewhere(config: &Config, elsewhere: &Elsewhere) -> Vec<Finding> {
    let is_per_shard = config.source.mapping.consistency == Consistency::PerShard;
    let consistency = is_per_shard.then(|| consistency(elsewhere));
    let policies = (!elsewhere.foreign.is_empty()).then(|| policies(elsewhere));
    consistency.into_iter().chain(policies).collect()
}

fn consistency(elsewhere: &Elsewhere) -> Finding {
    let who = if elsewhere.is_empty() { String::new() } else { format!(" ({elsewhere})") };
    Finding::warning(
        "consistency",
        format!("source.consistency is 'per_shard': the users of an export need not be of one moment{who}"),
        "a user who is moved between servers meanwhile is left out or there twice, and receipts name no moment",
        "for one moment let source.table be a copy that one server holds, such as a materialized view, and take \
         source.consistency out",
    )
}

/// Here a policy that hides users is an error. That setting does not reach the server behind a foreign table.
fn policies(elsewhere: &Elsewhere) -> Finding {
    let foreign = Elsewhere { distributed: Vec::new(), ..elsewhere.clone() };
    Finding::warning(
        "policies",
        format!("whether a row-level policy hides rows of {foreign} cannot be seen from here"),
        "users whom it hides from the role of the user mapping are left out of every export in silence",
        "see on the other server that this role has BYPASSRLS, or that its tables have no policies",
    )
}
