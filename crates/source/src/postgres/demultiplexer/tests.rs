//! Whatever a server sends, in whatever pieces: a row is never anything but what stands in a `DataRow`, and all else is the
//! driver's.

use super::super::answer;
use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;
use tokio::io::AsyncReadExt;

/// A server that says these pieces, one a read, and then hangs up.
struct Pieces(VecDeque<Vec<u8>>);

impl Pieces {
    /// The bytes cut at these places.
    fn of(bytes: &[u8], mut cuts: Vec<usize>) -> Self {
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        cuts.dedup();
        Self(cuts.windows(2).map(|ends| bytes[ends[0]..ends[1]].to_vec()).collect())
    }
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(mut piece) = self.0.pop_front() else { return Poll::Ready(Ok(())) };
        // An empty piece is a wait.
        if piece.is_empty() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let rest = piece.split_off(piece.len().min(buffer.remaining()));
        buffer.put_slice(&piece);
        if !rest.is_empty() {
            self.0.push_front(rest);
        }
        self.0.push_front(Vec::new());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What stands in the rows, and what the driver reads.
#[derive(Debug, Default, PartialEq, Eq)]
struct ToldApart {
    rows: Vec<Vec<u8>>,
    others: Vec<u8>,
}

/// As the manual says it, from the whole of the stream. What is no message ends it.
fn by_the_book(mut bytes: &[u8]) -> ToldApart {
    let mut told = ToldApart::default();
    while let [kind, a, b, c, d, rest @ ..] = bytes {
        let length = i32::from_be_bytes([*a, *b, *c, *d]);
        if length < 4 {
            bytes = &bytes[..HEADER];
            break;
        }
        let Some((content, after)) = rest.split_at_checked(length as usize - 4) else { break };
        match kind {
            b'D' => told.rows.push(content.to_vec()),
            _ => told.others.extend(&bytes[..HEADER + content.len()]),
        }
        bytes = after;
    }
    told.others.extend(bytes);
    told
}

/// Whether the driver would read no further.
fn is_malformed(mut others: &[u8]) -> bool {
    while let Some((&[_, a, b, c, d], _)) = others.split_first_chunk::<HEADER>() {
        let length = i32::from_be_bytes([a, b, c, d]);
        if length < 4 {
            return true;
        }
        others = others.get(length as usize + 1..).unwrap_or_default();
    }
    false
}

/// Reads a stream as the driver and the scan do, the driver so many bytes at once.
fn told_apart(pieces: Pieces, at_once: usize) -> ToldApart {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let (channel, mut rows) = RowChannel::new();
        let mut stream = Demultiplexer::new(pieces, channel);
        rows.is_scanned.store(true, Relaxed);
        let driver = async move {
            let (mut others, mut buffer) = (Vec::new(), vec![0; at_once]);
            // The first byte may be an answer, and not of a message.
            while !is_malformed(others.strip_prefix(b"N").unwrap_or(&others)) {
                match stream.read(&mut buffer).await.expect("no error") {
                    0 => break,
                    read => others.extend(&buffer[..read]),
                }
            }
            others
        };
        let scan = async {
            let mut contents: Vec<Vec<u8>> = Vec::new();
            while let Some(bytes) = rows.blocks.recv().await {
                contents.extend(answer::rows(&bytes).map(<[u8]>::to_vec));
            }
            contents
        };
        let (others, rows) = tokio::join!(driver, scan);
        ToldApart { rows, others }
    })
}

fn message(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + 4).expect("a short message").to_be_bytes();
    [&[kind], &length[..], content].concat()
}

/// What a server says to somebody who logs in and asks for rows.
fn conversation() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![3 => Just(b'D'), 1 => prop::sample::select(b"RSKZTHcCNAE".to_vec())];
    let messages = prop::collection::vec((kind, prop::collection::vec(any::<u8>(), 0..40)), 0..30);
    messages.prop_map(|messages| {
        let said = messages.iter().flat_map(|(kind, content)| message(*kind, content));
        message(b'R', &[0; 4]).into_iter().chain(said).collect()
    })
}

fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..20)
}

fn pieces(bytes: &[u8], cuts: &[prop::sample::Index]) -> Pieces {
    Pieces::of(bytes, cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect())
}

#[test]
fn a_message_is_the_same_wherever_it_is_cut() {
    let said: Vec<u8> =
        [(b'R', &[0; 4][..]), (b'D', b"one"), (b'D', b""), (b'C', b"SELECT 2\0"), (b'D', b"three")]
            .iter()
            .flat_map(|(kind, content)| message(*kind, content))
            .collect();
    let expected = by_the_book(&said);
    assert_eq!(expected.rows, [&b"one"[..], b"", b"three"]);
    for cut in 0..=said.len() {
        for other in cut..=said.len() {
            assert_eq!(told_apart(Pieces::of(&said, vec![cut, other]), 7), expected, "{cut} {other}");
        }
    }
    assert_eq!(told_apart(Pieces::of(&said, (0..said.len()).collect()), 1), expected);
}

#[test]
fn rows_that_no_scan_asked_for_are_the_drivers() {
    let said = [message(b'R', &[0; 4]), message(b'D', b"one"), message(b'C', b"SELECT 1\0")].concat();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let (channel, mut rows) = RowChannel::new();
        let mut stream = Demultiplexer::new(Pieces::of(&said, vec![9, 20]), channel);
        let mut others = Vec::new();
        stream.read_to_end(&mut others).await.expect("no error");
        drop(stream);
        assert_eq!(others, said);
        assert!(rows.blocks.recv().await.is_none());
    });
}

#[test]
fn a_scan_may_begin_in_the_middle_of_a_notice() {
    let [login, notice] = [message(b'R', &[0; 4]), message(b'N', b"as it happens")];
    let said = [&login[..], &notice, &message(b'D', b"one"), &message(b'C', b"SELECT 1\0")].concat();
    let cut = login.len() + notice.len() / 2;
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let (channel, mut rows) = RowChannel::new();
        let mut stream = Demultiplexer::new(Pieces::of(&said, vec![cut]), channel);
        let mut others = vec![0; login.len()];
        stream.read_exact(&mut others).await.expect("no error");
        rows.is_scanned.store(true, Relaxed);
        stream.read_to_end(&mut others).await.expect("no error");
        let block = rows.blocks.recv().await.expect("a block");
        assert_eq!(answer::rows(&block).collect::<Vec<_>>(), [b"one"]);
        assert_eq!(others, [&login[..], &notice, &message(b'C', b"SELECT 1\0")].concat());
    });
}

/// Once, a row's message that was shorter than its own length swallowed the rows behind it.
#[test]
fn what_is_no_message_is_for_the_driver_to_refuse() {
    for length in [0_i32, 1, 3, -1, i32::MIN] {
        let broken = [&b"D"[..], &length.to_be_bytes()].concat();
        let said = [message(b'R', &[0; 4]), message(b'D', b"one"), broken, message(b'D', b"two")].concat();
        for pieces in [vec![], (0..said.len()).collect()] {
            let told = told_apart(Pieces::of(&said, pieces), 8192);
            assert_eq!(told.rows, [b"one"], "{length}");
            assert!(is_malformed(&told.others), "{length}");
        }
    }
}

proptest! {
    #[test]
    fn rows_and_others_are_told_apart(mut said in conversation(), cuts in cuts(), at_once in 1..99_usize, end: prop::sample::Index, is_cut: bool) {
        if is_cut {
            said.truncate(end.index(said.len() + 1));
        }
        prop_assert_eq!(told_apart(pieces(&said, &cuts), at_once), by_the_book(&said));
    }

    #[test]
    fn damage_is_the_drivers(mut said in conversation(), cuts in cuts(), at_once in 1..99_usize, damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5)) {
        // From the first message on: what the first byte says has a test of its own.
        for (at, byte) in damage {
            let at = 1 + at.index(said.len() - 1);
            said[at] = byte;
        }
        let (told, expected) = (told_apart(pieces(&said, &cuts), at_once), by_the_book(&said));
        prop_assert_eq!(told.rows, expected.rows);
        prop_assert!(told.others.starts_with(&expected.others));
        prop_assert!(told.others.len() == expected.others.len() || is_malformed(&expected.others));
    }

    #[test]
    fn an_answer_about_tls_is_the_drivers(first in prop::sample::select(b"SN".to_vec()), rest in conversation(), cuts in cuts(), at_once in 1..99_usize) {
        let said = [&[first][..], &rest].concat();
        let told = told_apart(pieces(&said, &cuts), at_once);
        let expected = match first {
            b'S' => ToldApart { rows: Vec::new(), others: said },
            _ => {
                let ToldApart { rows, others } = by_the_book(&rest);
                ToldApart { rows, others: [&b"N"[..], &others].concat() }
            }
        };
        prop_assert_eq!(told, expected);
    }
}
