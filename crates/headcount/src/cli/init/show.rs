//! What init found, for people.

use crate::cli::terminal::{self, table, tell};
use headcount_discover::mask::masked;
use headcount_discover::rank::Candidate;
use headcount_discover::{Origin, Proposal, write};
use headcount_source::catalogue::Row;

/// Rows of the sample that are shown.
const SHOWN: usize = 3;

/// A line of a list to choose from.
pub(super) fn candidate(candidate: &Candidate<'_>) -> String {
    let rows = match candidate.table.rows {
        Some(rows) => format!(", about {rows} rows"),
        None => String::new(),
    };
    format!("{}  ({}{rows})", candidate.table.name.parseable(), candidate.reasons.join(", "))
}

/// The mapping with its reasons, a masked sample, what is left alone, and what is wrong.
pub(super) fn proposal(proposal: &Proposal, rows: &[Row]) {
    tell!("recognised {}", write::recognised(proposal));
    tell!("");
    tell!("table {}, timestamps {}", proposal.table, proposal.timestamps.name());
    if let Some(condition) = &proposal.condition {
        tell!("where {}", condition.sql);
    }
    tell!("");
    for mapped in &proposal.columns {
        let (field, reason) = (mapped.field.name(), &mapped.reason);
        match &mapped.from {
            Origin::Column(from) | Origin::Sql(from) => {
                tell!("  {field:10}  {from}  ({}: {reason})", mapped.confidence.name());
            }
            Origin::Nothing => tell!("  {field:10}  -  ({reason})"),
        }
        for hint in &mapped.hints {
            tell!("  {:10}  {} {}", "", hint.comment, hint.sql);
        }
    }
    sample(proposal, rows);
    if !proposal.left_alone.is_empty() {
        let left = proposal.left_alone.iter().map(|left| format!("{} ({})", left.column, left.why));
        tell!("");
        tell!("left alone: {}", left.collect::<Vec<_>>().join(", "));
    }
    for warning in &proposal.warnings {
        tell!("warning: {warning}");
    }
}

fn sample(proposal: &Proposal, rows: &[Row]) {
    if rows.is_empty() {
        tell!("");
        tell!("no rows to show");
        return;
    }
    let fields = || proposal.columns.iter().map(|mapped| mapped.field);
    let mut lines = vec![fields().map(|field| field.name().to_owned()).collect::<Vec<_>>()];
    for row in rows.iter().take(SHOWN) {
        let cells = fields().zip(row).map(|(field, cell)| masked(field, cell.as_deref()));
        lines.push(cells.collect());
    }
    lines.iter_mut().filter_map(|line| line.first_mut()).for_each(|first| first.insert_str(0, "  "));
    tell!("");
    tell!("the first users, masked:");
    terminal::lines(&table(&lines));
}
