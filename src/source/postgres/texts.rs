//! Texts about whose encoding a database and we do not agree.

use super::session::{Session, mismatch};
use crate::plan::{Column, ParameterError, Plan};
use crate::source::SourceError;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

/// Refuses a text of the request for which the database has no characters: it is in no row, and the server would not take the
/// question.
pub(super) async fn refuse_unknown(session: &Session, plan: &Plan) -> Result<(), SourceError> {
    if !session.database.is_converted {
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

/// What helps where a text is not UTF-8 and the database does not know what it is.
pub(super) fn remedy(column: &Column, sql: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let name = column.name();
    let name = if name.bytes().all(is_bare) { name.to_owned() } else { quoted(name) };
    let sql = quoted(&from_latin1(sql));
    format!(
        "the database, whose encoding is SQL_ASCII, does not know what it is; if it is LATIN1, set in [source.columns] \
         {name} = {{ sql = {sql} }}"
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

/// A text in TOML.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}
