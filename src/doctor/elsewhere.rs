//! What other servers hold of the users: of which moment is it, and is it all there?

use super::Finding;
use crate::config::Config;
use crate::source::{Consistency, Elsewhere};

/// Says what nobody can see from here. Where all users have to be of one moment, the exports themselves are refused.
pub(super) fn examine(config: &Config, elsewhere: &Elsewhere) -> Vec<Finding> {
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
