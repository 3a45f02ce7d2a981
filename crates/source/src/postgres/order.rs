//! Whether ids ascend, as they do by an index that can be trusted. One that was made before the library that compares texts was
//! updated has them in the order of then: it does not find all that are greater than one.

use super::comparison::Comparison;
use super::error::OURS;
use headcount_model::value::Value;

/// What is wrong where they do not.
pub(super) const PROBLEM: &str = "does not follow the one before it: an index on the ids has another order than they have now, \
    as after an update of the system's collations, or is damaged; REINDEX the table, and see 'headcount check'";

/// The id before, of whichever kind.
pub(super) struct Ascent {
    integer: i64,
    uuid: [u8; 16],
    /// `None` where the order is not that of the bytes.
    text: Option<Vec<u8>>,
}

impl Ascent {
    pub(super) fn new(compares_texts: bool) -> Self {
        Self { integer: i64::MIN, uuid: [0; 16], text: compares_texts.then(Vec::new) }
    }

    /// Takes the next id; `false` if it should have come before the last.
    #[inline]
    pub(super) fn takes(&mut self, id: &Value<'_>) -> bool {
        match *id {
            Value::Int(id) => id >= std::mem::replace(&mut self.integer, id),
            Value::Uuid(id) => id >= std::mem::replace(&mut self.uuid, id),
            Value::Text(id) => match &mut self.text {
                Some(last) => {
                    let ascends = id.bytes() >= last.as_slice();
                    last.clear();
                    last.extend_from_slice(id.bytes());
                    ascends
                }
                None => true,
            },
            _ => true,
        }
    }
}

/// The id as it is selected, or an error of the server, which alone knows its order, if it is less than the one before it.
pub(super) fn checked(id: &str, selected: &str, comparison: &Comparison, table: &str) -> String {
    let before = format!("pg_catalog.lag({id}) OVER (ORDER BY {id})");
    let problem = format!("{OURS}table {table}: an id {PROBLEM}").replace('\'', "''");
    // It has to depend on the row, or the planner would raise it at once.
    format!(
        "CASE WHEN {} THEN (pg_catalog.left({id}::pg_catalog.text, 0) OPERATOR(pg_catalog.||) '{problem}')\
         ::pg_catalog.int4::pg_catalog.text ELSE {selected} END",
        comparison.greater(&before, id)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ascend(ids: &[Value<'_>], compares_texts: bool) -> bool {
        let mut ascent = Ascent::new(compares_texts);
        ids.iter().all(|id| ascent.takes(id))
    }

    #[test]
    fn ids_ascend_or_not() {
        assert!(ascend(&[Value::Int(i64::MIN), Value::Int(-1), Value::Int(-1), Value::Int(i64::MAX)], true));
        assert!(!ascend(&[Value::Int(2), Value::Int(1)], true));
        assert!(ascend(&[Value::Uuid([0; 16]), Value::Uuid([1; 16])], true));
        assert!(!ascend(&[Value::Uuid([2; 16]), Value::Uuid([1; 16])], true));
        assert!(ascend(&["".into(), "a".into(), "a,b".into(), "b".into()], true));
        assert!(!ascend(&["b".into(), "a".into()], true));
        assert!(ascend(&["b".into(), "a".into()], false));
    }
}
