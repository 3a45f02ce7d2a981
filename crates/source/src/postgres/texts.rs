//! Texts about whose encoding a database and we do not agree.

use super::data_row::{self, Wire};
use super::error::{error_text, mismatch};
use super::session::Session;
use super::{PostgresSource, Query, answer, id_text};
use crate::SourceError;
use crate::mapping::as_expression;
use bytes::Bytes;
use headcount_model::plan::{Column, ParameterError, Plan};
use headcount_model::value::Value;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

/// Refuses a text of the request for which the database has no characters: it is in no row, and the server would not take the
/// question.
pub(super) async fn refuse_unknown(session: &Session, plan: &Plan) -> Result<(), SourceError> {
    if session.database.converted_from.is_none() {
        return Ok(());
    }
    for (name, text) in plan.texts().filter(|(_, text)| !text.is_ascii()) {
        match session.ask("SELECT $1", &[(&text, Type::TEXT)]).await {
            Ok(_) => {}
            Err(error) if error.code() == Some(&SqlState::UNTRANSLATABLE_CHARACTER) => {
                let problem = "has characters that the encoding of this database does not have";
                return Err(ParameterError::invalid(name, problem).into());
            }
            Err(error) => return Err(mismatch(&error)),
        }
    }
    Ok(())
}

impl PostgresSource {
    /// An error in the midst of rows, of which these were the last. That a text cannot be converted says the server, but not which.
    pub(super) fn broken_off(
        &self,
        query: &Query,
        error: &tokio_postgres::Error,
        last: Option<&Bytes>,
    ) -> SourceError {
        let code = error.code();
        let is_odd = code == Some(&SqlState::UNTRANSLATABLE_CHARACTER);
        let (Some(encoding), true) =
            (&query.database.converted_from, is_odd || code == Some(&SqlState::CHARACTER_NOT_IN_REPERTOIRE))
        else {
            return SourceError::Failed(error_text(error));
        };
        let is_text = |wire: &Wire| matches!(wire, Wire::Text | Wire::TimeText);
        let columns = query.selection.columns().iter().zip(&query.wires);
        let texts: Vec<_> =
            columns.filter(|(_, wire)| is_text(wire)).map(|(column, _)| column.name()).collect();
        let before = last.and_then(|block| self.last_id(query, block));
        let whose =
            before.map_or_else(|| "of the first user".to_owned(), |id| format!("of the user after id {id}"));
        let bytes = bytes_in(error.as_db_error().map_or("", |error| error.message()));
        let shown: Vec<_> = bytes.iter().map(|byte| format!("0x{byte:02x}")).collect();
        // Ids, which come last or first, are rarely it.
        let suspect = texts.iter().rfind(|name| **name != Column::ID.name()).or(texts.first());
        let remedy = suspect.filter(|_| is_odd && !bytes.is_empty()).map_or_else(String::new, |name| {
            let sql = without(&bytes, encoding, &self.mapping.written(name));
            format!(
                "; to leave it out, write in [source.columns] for the column that has it, as for this one, {}",
                as_expression(name, &sql)
            )
        });
        SourceError::Failed(format!(
            "table {}, a text in {}, {whose}: {}, from the database's encoding {encoding}: {}{remedy}",
            self.mapping.table,
            texts.join(" or "),
            error_text(error),
            shown.join(" "),
        ))
    }

    /// The id of the last of some rows.
    fn last_id(&self, query: &Query, block: &Bytes) -> Option<String> {
        let mut values = vec![Value::Null; query.wires.len()];
        let row = answer::rows(block).last()?;
        data_row::read(row, &query.wires, &self.mapping, &mut values).ok()?;
        values.get(query.selection.id_at()).map(id_text)
    }
}

/// The bytes that a message of the server names, in whatever language.
fn bytes_in(message: &str) -> Vec<u8> {
    let hex = |word: &str| {
        let digits = word.strip_prefix("0x").filter(|digits| digits.len() == 2)?;
        u8::from_str_radix(digits, 16).ok()
    };
    message.split(|c: char| !c.is_ascii_alphanumeric()).filter_map(hex).collect()
}

/// An expression for a text without a character, of which an encoding has these bytes.
fn without(character: &[u8], encoding: &str, cell: &str) -> String {
    match character {
        [byte] => format!("translate({cell}::text, chr({byte}), '')"),
        bytes => {
            format!(
                "replace({cell}::text, convert_from('\\x{}', '{encoding}'), '')",
                headcount_model::text::hex(bytes)
            )
        }
    }
}

/// What helps where a text is not UTF-8 and the database does not know what it is.
pub(super) fn remedy(column: &Column, sql: &str) -> String {
    let mapped = as_expression(column.name(), &from_latin1(sql));
    format!(
        "the database, whose encoding is SQL_ASCII, does not know what it is; if it is LATIN1, set in [source.columns] \
         {mapped}"
    )
}

/// The texts that are UTF-8 (RFC 3629, section 4), or so nearly that they are nothing else, in hexadecimal.
const UTF8: &str = "^([0-7].|(c[2-9a-f]|d.)[89ab].|e.([89ab].){2}|f[0-4]([89ab].){3})*$";

/// An expression in UTF-8 for one that is in UTF-8 in some rows and in LATIN1 in others.
fn from_latin1(sql: &str) -> String {
    let bytes = format!("convert_to({sql}::text, 'SQL_ASCII')");
    format!(
        "CASE WHEN encode({bytes}, 'hex') ~ '{UTF8}' THEN {sql}::text \
         ELSE convert_from(convert({bytes}, 'LATIN1', 'UTF8'), 'UTF8') END"
    )
}
