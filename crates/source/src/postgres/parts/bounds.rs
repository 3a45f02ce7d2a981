//! Where the ranges of a scan in parts begin and end.
//!
//! They come from what the server knows of the table already. Where that is wrong, ranges are larger or smaller than they
//! should be, which costs time; each row is in one of them whatever they are.

use super::super::collations::IS_BYTES;
use super::super::column_type::ColumnType;
use super::super::error::mismatch;
use super::super::session::Session;
use super::super::{PostgresSource, Query};
use super::repeatable;
use crate::{SourceError, parse_uuid};
use headcount_model::plan::Column;
use headcount_model::value::append_uuid;
use std::fmt;
use tokio_postgres::types::{ToSql, Type};

/// Rows of a range, roughly: enough that asking for it costs nothing beside reading it, few enough to wait in memory.
const RANGE_ROWS: f64 = 32_768.0;
/// The same where parts should be large.
const LARGE_RANGE_ROWS: f64 = 2.0 * RANGE_ROWS;
/// A smaller table is read before several connections have come together.
const WORTH_DIVIDING: f64 = 50_000.0;

/// About how many rows a table has now, if it is an ordinary one, without further tables that inherit from it, with an index that
/// has the order of its ids, none of which can be NULL; and whether the server keeps all of it in memory. One that was never
/// analysed has -1 rows; then most rows are smaller than 200 bytes.
///
/// Ids of text have to be in the order of their bytes: in any other, an index that was made before the library that knows it was
/// updated does not find all that lie between two ids.
const ROWS: &str = "
    SELECT CASE WHEN c.reltuples >= 0 AND c.relpages > 0
                THEN c.reltuples / c.relpages * (pg_relation_size(c.oid) / current_setting('block_size')::int)
                ELSE pg_relation_size(c.oid) / 200 END::float8,
           pg_relation_size(c.oid) <= pg_size_bytes(current_setting('effective_cache_size'))
      FROM pg_catalog.pg_class c
      JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = $2 AND a.attnotnull
     WHERE c.oid = to_regclass($1) AND c.relkind = 'r' AND NOT c.relhassubclass
       AND (a.attcollation = 0 OR EXISTS (
           SELECT FROM pg_catalog.pg_collation k, pg_catalog.pg_database d
            WHERE k.oid = a.attcollation AND d.datname = current_database() AND {is_bytes}))
       AND EXISTS (
           SELECT FROM pg_catalog.pg_index i
             JOIN pg_catalog.pg_opclass o ON o.oid = i.indclass[0] AND o.opcdefault
            WHERE i.indrelid = c.oid AND i.indkey[0] = a.attnum AND i.indcollation[0] = a.attcollation
              AND i.indisvalid AND i.indisunique AND i.indnkeyatts = 1 AND i.indpred IS NULL)";

/// Why [`ROWS`] may have found nothing.
const NOT_ORDINARY: &str = "
    SELECT CASE WHEN c.relkind = 'p' THEN 'the table is partitioned'
                WHEN c.relkind = 'v' THEN 'it is a view'
                WHEN c.relkind = 'm' THEN 'it is a materialized view'
                WHEN c.relhassubclass THEN 'other tables inherit from the table'
                ELSE 'the id may be NULL, or has no unique index in its own order' END
      FROM pg_catalog.pg_class c WHERE c.oid = to_regclass($1)";

/// Whether the ids lie in the table in their order, or nearly so. Where they lie anywhere, ranges of a table that is not in memory
/// would fetch each page many times. Asked by itself, because planning it takes as long as the rest together.
const IN_ORDER: &str = "SELECT FROM {statistics} AND abs(s.correlation) > 0.5";

/// The ids that the server keeps as the bounds of equally full ranges (PostgreSQL manual, section 54.27, `pg_stats`), as far
/// as they are still there, and the first and the last.
const KEPT: &str = "
    SELECT b.id::text FROM (
        (SELECT {id} AS id FROM {table} ORDER BY {id} LIMIT 1) UNION
        (SELECT {id} FROM {table} ORDER BY {id} DESC LIMIT 1) UNION
        SELECT {id} FROM {table} WHERE {id} = ANY (ARRAY(
            SELECT unnest(s.histogram_bounds::text::{type}[]) FROM {statistics}))
    ) b ORDER BY b.id";

/// What the server knows of the ids.
const STATISTICS: &str = "pg_catalog.pg_stats s
    JOIN pg_catalog.pg_class c ON c.relname = s.tablename
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = s.schemaname
   WHERE c.oid = to_regclass($1) AND s.attname = $2 AND NOT s.inherited";

/// The ids greater than one and up to another; without them, from the first and to the last.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) after: Option<String>,
    pub(super) last: Option<String>,
}

/// The ranges of a table in their order: together they hold every id once.
pub(super) struct Ranges {
    after: Option<String>,
    bounds: std::vec::IntoIter<String>,
    is_done: bool,
}

impl Ranges {
    fn new(bounds: Vec<String>) -> Self {
        Self { after: None, bounds: bounds.into_iter(), is_done: false }
    }
}

impl Iterator for Ranges {
    type Item = Range;

    fn next(&mut self) -> Option<Range> {
        if self.is_done {
            return None;
        }
        let last = self.bounds.next();
        self.is_done = last.is_none();
        Some(Range { after: std::mem::replace(&mut self.after, last.clone()), last })
    }
}

impl PostgresSource {
    /// The ranges that several connections should read; `None` where one is enough.
    pub(super) async fn ranges(
        &self,
        session: &Session,
        query: &Query,
        are_large: bool,
    ) -> Result<Option<Ranges>, SourceError> {
        let id = Column::ID;
        let own = self.mapping.own_column(&id);
        let (Some(own), Some(cast)) = (own, query.id_type.cast()) else {
            return Ok(self.alone("the id is an expression"));
        };
        let table = query.names.table.clone();
        let asked: [(&(dyn ToSql + Sync), Type); 2] = [(&table, Type::TEXT), (&own, Type::TEXT)];
        let ask = async |sql: &str| {
            let sql = sql.replace("{statistics}", STATISTICS).replace("{is_bytes}", IS_BYTES);
            session.ask(&sql, &asked).await.map_err(|error| mismatch(&error))
        };
        let found = ask(ROWS).await?;
        let Some((rows, is_cached)) = found.first().map(|row| (row.get::<_, f64>(0), row.get::<_, bool>(1)))
        else {
            let why = ask(NOT_ORDINARY).await?;
            return Ok(self.alone(why.first().map_or("the table is gone", |row| row.get(0))));
        };
        if rows < WORTH_DIVIDING {
            return Ok(self.alone("the table is small"));
        }
        if !is_cached && ask(IN_ORDER).await?.is_empty() {
            return Ok(
                self.alone("the ids lie scattered in a table that is larger than effective_cache_size")
            );
        }
        if let Some(culprit) = repeatable::culprit(session, &query.expressions).await? {
            let why = format!("{culprit} in an expression or condition may not be the same for several");
            return Ok(self.alone(&why));
        }
        let id_type = if cast.is_empty() { "text" } else { cast.trim_start_matches(':') };
        let kept = KEPT.replace("{id}", &self.mapping.sql(&id)).replace("{table}", &table);
        let kept = kept.replace("{type}", id_type);
        let kept = ask(&kept).await?;
        // Where there is NULL after all, it is in no range; what is no UTF-8 is for the scan to tell.
        let kept: Option<Vec<String>> = kept.iter().map(|row| row.try_get(0).ok()).collect();
        let Some(kept) = kept else { return Ok(self.alone("an id is NULL, or no UTF-8")) };
        let range_rows = if are_large { LARGE_RANGE_ROWS } else { RANGE_ROWS };
        Ok(Some(Ranges::new(divided(&kept, rows / range_rows, query.id_type))))
    }
}

/// The bounds of about so many ranges, made of bounds between which about as many rows lie.
fn divided(kept: &[String], wanted: f64, id_type: ColumnType) -> Vec<String> {
    let per_pair = wanted / kept.len().saturating_sub(1).max(1) as f64;
    let numbers: Option<Vec<_>> = kept.iter().map(|id| Number::of(id, id_type)).collect();
    let mut bounds = match numbers {
        Some(numbers) if per_pair > 1.0 => interpolated(&numbers, per_pair.ceil() as u128, wanted as u128),
        _ => {
            let step = ((1.0 / per_pair).ceil() as usize).max(1);
            // The last two are read in halves, so that no connection has much to read when the others have nothing.
            let (most, last) = kept.split_at(kept.len().saturating_sub(2 * step));
            let last = last.iter().skip(usize::from(most.is_empty())).step_by(step.div_ceil(2));
            most.iter().skip(1).step_by(step).chain(last).cloned().collect()
        }
    };
    // The last range has no end: there may be rows that nobody knew of when the bounds were kept.
    if bounds.last() == kept.last() {
        bounds.pop();
    }
    bounds
}

/// Further bounds between each two of them, at equal distances.
fn interpolated(numbers: &[Number], per_pair: u128, most: u128) -> Vec<String> {
    let mut bounds = Vec::new();
    let last_pair = numbers.len().saturating_sub(2);
    for (at, pair) in numbers.windows(2).enumerate() {
        let distance = pair[1].value.saturating_sub(pair[0].value);
        let count = if at == last_pair && at > 0 {
            // What was added since the bounds were kept lies here, so that only the distance tells how much it is.
            let usual = (pair[0].value - numbers[0].value) / at as u128 / per_pair;
            (distance / usual.max(1)).clamp(1, most)
        } else {
            per_pair
        };
        let width = distance / count;
        bounds.extend((1..count).filter(|_| width > 0).map(|nth| pair[0].plus(width * nth)));
        bounds.push(pair[1].to_string());
    }
    bounds
}

/// An id with which one can reckon: in the order of the ids, from 0 on.
#[derive(Clone, Copy)]
struct Number {
    value: u128,
    is_uuid: bool,
}

impl Number {
    fn of(id: &str, id_type: ColumnType) -> Option<Self> {
        let value = match id_type {
            ColumnType::Int => id.parse::<i64>().ok()?.abs_diff(i64::MIN).into(),
            ColumnType::Uuid => u128::from_be_bytes(parse_uuid(id.as_bytes())?),
            _ => return None,
        };
        Some(Self { value, is_uuid: id_type == ColumnType::Uuid })
    }

    fn plus(self, distance: u128) -> String {
        Self { value: self.value + distance, ..self }.to_string()
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_uuid {
            true => write!(f, "{}", uuid_text(self.value)),
            false => write!(f, "{}", i64::MIN.wrapping_add_unsigned(self.value as u64)),
        }
    }
}

fn uuid_text(value: u128) -> String {
    let mut text = Vec::with_capacity(36);
    append_uuid(&mut text, value.to_be_bytes());
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(ids: &[i64]) -> Vec<String> {
        ids.iter().map(i64::to_string).collect()
    }

    #[test]
    fn two_known_ids_are_divided_evenly() {
        assert_eq!(divided(&texts(&[1, 401]), 4.0, ColumnType::Int), texts(&[101, 201, 301]));
        assert_eq!(divided(&texts(&[1, 2]), 4.0, ColumnType::Int), texts(&[]));
        assert_eq!(divided(&texts(&[]), 4.0, ColumnType::Int), texts(&[]));
        let all = texts(&[i64::MIN, i64::MAX]);
        assert_eq!(divided(&all, 2.0, ColumnType::Int), texts(&[-1]));
    }

    #[test]
    fn what_was_added_behind_the_known_ids_is_divided_by_its_distance() {
        let bounds = divided(&texts(&[0, 10, 20, 50]), 6.0, ColumnType::Int);
        assert_eq!(bounds, texts(&[5, 10, 15, 20, 25, 30, 35, 40, 45]));
    }

    #[test]
    fn close_bounds_are_left_out_but_at_the_end() {
        let kept = texts(&[0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(divided(&kept, 3.0, ColumnType::Int), texts(&[1, 3, 4, 5]));
    }

    #[test]
    fn the_last_two_ranges_are_read_in_halves() {
        let kept = texts(&(0..=40).collect::<Vec<_>>());
        let bounds = texts(&[1, 9, 17, 25, 29, 33, 37]);
        assert_eq!(divided(&kept, 5.0, ColumnType::Int), bounds);
    }

    #[test]
    fn texts_are_taken_as_they_are() {
        let kept = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(divided(&kept, 10.0, ColumnType::Text), ["b"]);
    }

    #[test]
    fn uuids_are_numbers() {
        let kept = ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"];
        let bounds = divided(&kept.map(str::to_owned), 2.0, ColumnType::Uuid);
        assert_eq!(bounds, ["7fffffff-ffff-ffff-ffff-ffffffffffff"]);
    }

    proptest! {
        #[test]
        fn however_many_ids_are_known_there_are_few_more_ranges_than_wanted(known in 0..10_004_usize, wanted in 1.0..700.0) {
            let kept = texts(&(0..known as i64).collect::<Vec<_>>());
            let bounds = divided(&kept, wanted, ColumnType::Text);
            prop_assert!(bounds.len() as f64 <= wanted + 6.0, "{}", bounds.len());
        }

        #[test]
        fn bounds_ascend_between_the_known_ids(mut ids in proptest::collection::vec(any::<i64>(), 0..20), wanted in 1.0..100.0) {
            ids.sort_unstable();
            ids.dedup();
            let bounds = divided(&texts(&ids), wanted, ColumnType::Int);
            let bounds: Vec<i64> = bounds.iter().map(|bound| bound.parse().expect("an integer")).collect();
            prop_assert!(bounds.is_sorted_by(|a, b| a < b));
            prop_assert!(bounds.iter().all(|bound| ids[0] <= *bound && *bound < ids[ids.len() - 1]));
        }
    }
}
