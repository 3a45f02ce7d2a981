//! What an export can show, as its record tells it.

use super::Exporter;
use headcount_model::plan::{Plan, hashed};
use headcount_store::audit::Scope;
use std::collections::BTreeMap;

/// Characters in a row, in a quoted text, from which on it may be a token.
const SECRET: usize = 16;

impl Exporter {
    /// Table, masks and conditions of a plan.
    pub fn scope(&self, plan: &Plan) -> Scope {
        let masked = plan.columns.iter().filter_map(|shown| Some((shown, shown.mask?)));
        Scope {
            table: Some(self.source.table().to_string()),
            masks: masked
                .map(|(shown, mask)| (shown.shown_name().to_owned(), mask.name().to_owned()))
                .collect(),
            conditions: self.conditions(plan),
            system_user: None,
        }
    }

    /// The administrator's conditions on the users of a plan, as they are recorded, by the name of their setting.
    pub(super) fn conditions(&self, plan: &Plan) -> BTreeMap<String, String> {
        let conditions = plan.conditions(self.source.condition());
        conditions.map(|(name, sql)| (name, self.audit.discreet(&discreet(sql)))).collect()
    }
}

/// SQL as it is recorded: as it stands in the configuration, or only its hash where it may hold an address or a token.
fn discreet(sql: &str) -> String {
    let mut quoted = sql.split('\'').skip(1).step_by(2);
    let is_secret = |text: &str| text.split_whitespace().any(|word| word.chars().count() >= SECRET);
    if sql.contains(['@', '$']) || quoted.any(is_secret) { hashed(sql) } else { sql.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::discreet;

    #[test]
    fn conditions_stand_as_they_are_unless_they_may_hold_a_secret() {
        for sql in [
            "NOT blocked",
            "status = 'active' AND marketing_consent_given_at IS NOT NULL",
            "x = 'a b c d e f g h i j'",
        ] {
            assert_eq!(discreet(sql), sql);
        }
        for sql in ["email <> 'ada@example.com'", "tenant = '0123456789abcdef'", "a = $$0123456789abcdef$$"] {
            assert!(discreet(sql).starts_with("sha256:"), "{sql}");
        }
    }
}
