//! What a scan asks, as the driver says it and as it is sent.

use super::data_row::Wire;
use bytes::{Bytes, BytesMut};
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend;
use std::error::Error;
use tokio_postgres::types::Type;

/// Cells in their types' own format (PostgreSQL manual, section 55.2.3, "Formats and Format Codes").
const BINARY: i16 = 1;
/// Cells as text.
const TEXT: i16 = 0;

/// A question of the driver's, which asks for all cells in the binary format, and what is sent in its place: texts are asked for as
/// texts. Their bytes are the same, and a server spends some hundredths less on a row.
pub(super) struct Question {
    written: Bytes,
    sent: Bytes,
}

impl Question {
    /// `None` if it cannot be said in a message.
    pub(super) fn of(sql: &str, texts: &[&str], wires: &[Wire]) -> Option<Self> {
        let formats: Vec<_> = wires.iter().map(|wire| if wire.is_text() { TEXT } else { BINARY }).collect();
        Some(Self { written: said(sql, texts, &[BINARY]).ok()?, sent: said(sql, texts, &formats).ok()? })
    }

    /// What to send instead of what the driver has written, if the question is the last of it.
    pub(super) fn instead_of(&self, written: &[u8]) -> Option<BytesMut> {
        let mut instead = BytesMut::from(written.strip_suffix(&*self.written)?);
        instead.extend_from_slice(&self.sent);
        Some(instead)
    }
}

/// The messages of [`tokio_postgres::Client::query_typed_raw`] with texts as parameters.
fn said(sql: &str, texts: &[&str], formats: &[i16]) -> Result<Bytes, Box<dyn Error + Send + Sync>> {
    let mut said = BytesMut::new();
    frontend::parse("", sql, texts.iter().map(|_| Type::TEXT.oid()), &mut said)?;
    let value = |text: &&str, value: &mut BytesMut| {
        value.extend_from_slice(text.as_bytes());
        Ok(IsNull::No)
    };
    let parameters = texts.iter().map(|_| BINARY);
    frontend::bind("", "", parameters, texts, value, formats.iter().copied(), &mut said)
        .map_err(|_| "a parameter is too large")?;
    frontend::describe(b'S', "", &mut said)?;
    frontend::execute("", 0, &mut said)?;
    frontend::sync(&mut said);
    Ok(said.freeze())
}

#[cfg(test)]
mod tests {
    use super::super::answer::Answer;
    use super::super::demultiplexer::{Demultiplexer, RowChannel};
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio_postgres::NoTls;

    const SQL: &str = "SELECT id, email, at FROM users WHERE id > $1";
    const WIRES: [Wire; 3] = [Wire::Int, Wire::Text, Wire::Timestamp];

    /// Lets anybody in, and gives what it is asked then.
    async fn question_to(mut server: DuplexStream) -> Vec<u8> {
        let length = server.read_u32().await.expect("a start");
        server.read_exact(&mut vec![0; length as usize - 4]).await.expect("the rest of it");
        server.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I").await.expect("a client");
        let mut asked = Vec::new();
        while !asked.ends_with(b"S\0\0\0\x04") {
            server.read_buf(&mut asked).await.expect("a question");
        }
        asked
    }

    /// What comes to a server through so narrow a pipe.
    async fn asked(width: usize) -> Vec<u8> {
        let (stream, server) = tokio::io::duplex(width);
        let (way, mut rows) = RowChannel::new();
        let ask = async move {
            let config = "user=somebody".parse::<tokio_postgres::Config>().expect("a configuration");
            let (client, connection) =
                config.connect_raw(Demultiplexer::new(stream, way), NoTls).await.expect("a login");
            tokio::spawn(connection);
            let _ = Answer::to(SQL, &["7"], &WIRES, &client, &mut rows).await;
        };
        tokio::select! {
            asked = question_to(server) => asked,
            () = ask => panic!("nobody answers"),
        }
    }

    #[tokio::test]
    async fn texts_are_asked_for_as_texts_instead_of_what_the_driver_writes() {
        let expected = said(SQL, &["7"], &[BINARY, TEXT, BINARY]).expect("a question");
        for width in [1, 7, 64 * 1024] {
            assert_eq!(asked(width).await, expected, "{width}");
        }
    }

    #[test]
    fn only_a_question_at_the_end_is_replaced() {
        let question = Question::of(SQL, &["7"], &WIRES).expect("a question");
        let (written, sent) = (&question.written, &question.sent);
        let after = |before: &[u8], after: &Bytes| [before, &after[..]].concat();
        assert_eq!(
            question.instead_of(&after(b"before", written)),
            Some(BytesMut::from(&after(b"before", sent)[..]))
        );
        assert_eq!(question.instead_of(&after(written, sent)), None);
        assert_eq!(question.instead_of(&written[1..]), None);
        assert_eq!(question.instead_of(b""), None);
    }
}
