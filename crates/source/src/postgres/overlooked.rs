//! What the administrator's SQL may mean in a schema in which it is not looked up. Where an operator is left out with its schema,
//! PostgreSQL takes the next best: for `citext`, that of `text`, which tells upper case from lower.

use super::error::mismatch;
use super::holders::READ;
use super::session::Session;
use super::tokens::{Token, implied, tokens};
use crate::{Mapping, SourceError, query};
use headcount_model::plan::Plan;
use tokio_postgres::types::{ToSql, Type};

/// An operator or a function in the schemas `$4` that takes a type of what the SQL names, as it has to be written: the types of the
/// columns of that name, or of all columns of what is read where there are subqueries (`$5`), which need not name them; types of
/// that name; and what functions of that name return. And what such a type is made of: a domain of its base, an array of its
/// elements, a composite type of its attributes; and the rows of tables of that name.
const OVERLOOKED: &str = ", types (oid) AS (
        SELECT n.oid FROM (
            SELECT a.atttypid FROM read JOIN pg_attribute a ON a.attrelid = read.oid AND ($5 OR a.attname = ANY ($1))
             UNION
            SELECT t.oid FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
             WHERE t.typname = ANY ($1) AND (c.relkind IS NULL OR c.relkind = 'c')
             UNION
            SELECT p.prorettype FROM pg_proc p WHERE p.proname = ANY ($1)
        ) AS n (oid)
        UNION
        SELECT part.oid FROM types JOIN pg_type t ON t.oid = types.oid CROSS JOIN LATERAL (
            SELECT t.typbasetype UNION SELECT t.typelem UNION
            SELECT r.rngsubtype FROM pg_range r WHERE r.rngtypid = t.oid UNION
            SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = nullif(t.typrelid, 0) AND a.attnum > 0
        ) AS part (oid)
    ), own (oid) AS (
        SELECT t.oid FROM types JOIN pg_type t ON t.oid = types.oid AND t.typnamespace <> 'pg_catalog'::regnamespace
         UNION
        SELECT c.reltype FROM read JOIN pg_class c ON c.oid = read.oid AND c.relname = ANY ($1)
    )
    SELECT format('%I', n.nspname), format('operator %s (%s, %s)', o.oprname, o.oprleft::regtype, o.oprright::regtype),
           format('OPERATOR(%I.%s)', n.nspname, o.oprname), array_position($3, o.oprname::text)
      FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace AND n.nspname = ANY ($4)
     WHERE o.oprname = ANY ($3) AND (o.oprleft IN (SELECT oid FROM own) OR o.oprright IN (SELECT oid FROM own))
    UNION ALL
    SELECT format('%I', n.nspname), format('function %I(%s)', p.proname, pg_get_function_identity_arguments(p.oid)),
           format('%I.%I(…)', n.nspname, p.proname), 0
      FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace AND n.nspname = ANY ($4)
     WHERE p.proname = ANY ($2) AND EXISTS (SELECT FROM unnest(p.proargtypes) AS a (oid) JOIN own ON own.oid = a.oid)
     ORDER BY 4 LIMIT 1";

/// What a subquery begins with; what it reads need not be named.
const SUBQUERIES: [&str; 4] = ["select", "table", "values", "with"];

/// Refuses SQL that would mean something else than it would along the role's own path. What it reads has to be locked.
pub(super) async fn refuse(session: &Session, mapping: &Mapping, plan: &Plan) -> Result<(), SourceError> {
    if session.names.left_out.is_empty() {
        return Ok(());
    }
    let referenced = query::referenced_columns(plan);
    let expressions = referenced.iter().filter(|column| mapping.own_column(column).is_none());
    let expressions = expressions.map(|column| (mapping.described(column), mapping.sql(column)));
    for (what, sql) in expressions.chain(mapping.conditions(plan)) {
        let named = Named::in_sql(&sql);
        if named.called.is_empty() && named.operators.is_empty() {
            continue;
        }
        let values: [(&(dyn ToSql + Sync), Type); 5] = [
            (&named.names, Type::TEXT_ARRAY),
            (&named.called, Type::TEXT_ARRAY),
            (&named.operators, Type::TEXT_ARRAY),
            (&session.names.left_out, Type::TEXT_ARRAY),
            (&named.has_subquery, Type::BOOL),
        ];
        let sql = format!("{READ}{OVERLOOKED}");
        let found = session.ask(&sql, &values).await.map_err(|error| mismatch(&error))?;
        if let Some(row) = found.first() {
            let (schema, it, written): (&str, &str, &str) = (row.get(0), row.get(1), row.get(2));
            return Err(SourceError::Mismatch(format!(
                "table {}, {what}: the {it} of the schema {schema} may be meant; {}",
                mapping.table,
                session.names.not_looked_for(&format!("write {written}"))
            )));
        }
    }
    Ok(())
}

/// What SQL names, as far as it is looked up.
#[derive(Debug, Default, PartialEq, Eq)]
struct Named {
    /// All names.
    names: Vec<String>,
    /// Names of functions without a schema.
    called: Vec<String>,
    /// Operators without a schema.
    operators: Vec<String>,
    has_subquery: bool,
}

impl Named {
    fn in_sql(sql: &str) -> Self {
        let (tokens, mut named) = (tokens(sql), Self::default());
        for (at, token) in tokens.iter().enumerate() {
            let after = tokens.get(at + 1);
            let has_schema =
                matches!(tokens[..at], [.., Token::Word(_) | Token::Quoted(_), Token::Mark('.')]);
            if let Token::Operator(operator) = token {
                named.operators.extend((!has_schema).then(|| operator.clone()));
            }
            let Some(name) = token.name() else { continue };
            named.operators.extend(implied(token, after).iter().map(|&operator| operator.to_owned()));
            named.has_subquery |= token.is_one_of(&SUBQUERIES);
            if !has_schema && after == Some(&Token::Mark('(')) {
                named.called.push(name.clone());
            }
            named.names.push(name);
        }
        named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked_up(sql: &str) -> (String, String) {
        let named = Named::in_sql(sql);
        (named.called.join(" "), named.operators.join(" "))
    }

    #[test]
    fn what_has_no_schema_is_looked_up() {
        for (sql, called, operators) in [
            ("lower(kind) = 'x' AND a.strpos(kind, 'y')>-1", "lower", "= > -"),
            ("kind OPERATOR(public.=) 'x' OR \"F\" (kind) != 1.<b", "operator F", "<> <"),
            ("kind IN ('a')", "in", "= <>"),
            ("kind NOT BETWEEN 'a' AND 'b'", "", "< <= > >="),
            ("kind ILIKE 'a' OR kind SIMILAR TO 'b'", "", "~~* !~~* ~ !~"),
            ("CASE WHEN is_active THEN 'a' END", "", ""),
            ("CASE kind WHEN 'a' THEN 'b' END", "", "= <>"),
            ("a.kind - b", "", "-"),
        ] {
            assert_eq!(looked_up(sql), (called.to_owned(), operators.to_owned()), "{sql}");
        }
    }
}
