use super::*;
use crate::SpoolLimits;
use crate::writer::{Message, PartWriters};
use headcount_format::masks::Masks;
use headcount_format::{Assembler, Encoder, Format};
use headcount_model::schema::Schema;
use headcount_model::value::{Misfit, Value};
use headcount_source::{Parts, RowSink};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// A relay whose exports may hold their source for a second, without a disk; and what a scan tells it.
fn relay() -> (Arc<Relay>, mpsc::Sender<Progress>) {
    let (progress, parts) = mpsc::channel(2);
    let limits = SpoolLimits { directory: "none".into(), bytes: 0, hold: Duration::from_secs(1) };
    (Relay::new(parts, Spools::new(limits, Gauge::default())), progress)
}

fn chunk() -> Message {
    static ZEROS: [u8; 512 * 1024] = [0; 512 * 1024];
    Message::Chunk { bytes: Bytes::from_static(&ZEROS), rows: 1 }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), future).await.expect("what does not hang")
}

async fn take(relay: &Relay) -> Next {
    match soon(poll_fn(|context| relay.poll_take(context))).await {
        Pending::InMemory(next) => next,
        Pending::Spooled(chunk) => chunk.fetch().await.expect("a chunk"),
    }
}

async fn until_spilling(relay: &Relay) {
    while relay.state().reader.is_some() {
        tokio::time::sleep(TICK).await;
    }
}

/// As where a thread hangs in reading a file.
#[tokio::test]
async fn a_failed_scan_does_not_wait_for_a_part_that_never_ends() {
    for is_slow in [false, true] {
        let (relay, progress) = relay();
        let (hanging, part) = mpsc::channel(4);
        let (give_up, given_up) = oneshot::channel();
        let parts = progress.clone();
        let scan = async move {
            parts.send(Progress::Part { assembler: None, messages: part }).await.expect("a reader");
            given_up.await.expect("a limit");
            Err(SourceError::Stalled(Duration::from_secs(7)))
        };
        let running = Arc::clone(&relay);
        let running = tokio::spawn(async move { running.run(scan, progress).await });
        hanging.send(chunk()).await.expect("a part");
        if is_slow {
            until_spilling(&relay).await;
        } else {
            assert!(matches!(take(&relay).await, Next::Chunk { .. }));
        }
        give_up.send(()).expect("a scan");
        soon(running).await.expect("an end");
        let next = take(&relay).await;
        assert!(matches!(next, Next::Verdict(Err(SourceError::Stalled(_)))), "slow: {is_slow}");
        // It neither ended its part nor let it go.
        drop(hanging);
    }
}

#[tokio::test]
async fn a_client_that_hesitated_once_and_then_keeps_the_pace_is_not_failed() {
    const CHUNKS: usize = 150;
    let (relay, progress) = relay();
    let (chunks, part) = mpsc::channel(4);
    let parts = progress.clone();
    let scan = async move {
        parts
            .send(Progress::Part { assembler: None, messages: part })
            .await
            .map_err(|_| SourceError::Closed)?;
        for _ in 0..CHUNKS {
            chunks.send(chunk()).await.map_err(|_| SourceError::Closed)?;
        }
        chunks.send(Message::End).await.map_err(|_| SourceError::Closed)
    };
    let running = Arc::clone(&relay);
    tokio::spawn(async move { running.run(scan, progress).await });
    until_spilling(&relay).await;
    for taken in 0..CHUNKS {
        // The pace of the client: 30 MB/s, for longer than the source may be held.
        tokio::time::sleep(Duration::from_millis(15)).await;
        assert!(matches!(take(&relay).await, Next::Chunk { .. }), "after {taken} chunks");
    }
    assert!(matches!(take(&relay).await, Next::Verdict(Ok(()))));
}

/// A format whose files are seen to be whole: `[`, a dot for each row, `]`.
#[derive(Clone)]
struct Framed;

struct Dots;

impl Format for Framed {
    type Encoder = Dots;

    fn encoder(&self, _: &Schema, _: Option<Masks>) -> Dots {
        Dots
    }

    fn assembler(&self, _: &Schema) -> Box<dyn Assembler> {
        Box::new(Dots)
    }
}

impl Encoder for Dots {
    fn row(&mut self, fragment: &mut Vec<u8>, _: &[Value<'_>]) -> Result<(), Box<Misfit>> {
        fragment.push(b'.');
        Ok(())
    }
}

impl Assembler for Dots {
    fn head(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        out.push(b'[');
        Ok(())
    }

    fn tail(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        out.push(b']');
        Ok(())
    }
}

/// Reads a part without rows, and such of three rows, each in a chunk of its own, and says how it went once it may.
async fn scan(
    mut writers: PartWriters<Framed>,
    parts: usize,
    may_end: oneshot::Receiver<Result<(), SourceError>>,
) -> Result<(), SourceError> {
    writers.begin(&Schema(Vec::new()));
    writers.next().await?.finish().await?;
    for _ in 1..parts {
        let mut sink = writers.next().await?;
        for _ in 0..3 {
            sink.row(&[]).expect("a row");
            sink.flush().await?;
        }
        sink.finish().await?;
    }
    may_end.await.expect("a verdict")
}

#[tokio::test]
async fn a_file_has_its_end_if_and_only_if_the_scan_ended_well() {
    let directory = tempfile::tempdir().expect("a directory");
    let cases = [(false, true), (false, false), (true, true), (true, false)];
    for (parts, (is_slow, is_good)) in [1, 7].into_iter().flat_map(|parts| cases.map(|case| (parts, case))) {
        let (progress, receiver) = mpsc::channel(2);
        let limits = SpoolLimits {
            directory: directory.path().to_owned(),
            bytes: 1 << 20,
            hold: Duration::from_secs(30),
        };
        let relay = Relay::new(receiver, Spools::new(limits, Gauge::default()));
        let writers = PartWriters::new(Framed, None, progress.clone());
        let verdict = if is_good { Ok(()) } else { Err(SourceError::Stalled(Duration::from_secs(7))) };
        let (end, may_end) = oneshot::channel();
        let running = Arc::clone(&relay);
        tokio::spawn(async move { running.run(scan(writers, parts, may_end), progress).await });
        if is_slow {
            until_spilling(&relay).await;
        }
        end.send(verdict).expect("a scan");
        let (mut file, mut rows) = (Vec::new(), 0);
        let verdict = loop {
            match take(&relay).await {
                Next::Chunk { bytes, rows: more } => {
                    file.extend_from_slice(&bytes);
                    rows += more;
                }
                Next::Verdict(verdict) => break verdict,
            }
        };
        let file = String::from_utf8(file).expect("a text");
        let case = format!("{parts} parts, slow: {is_slow}, good: {is_good}: {file}");
        assert_eq!(verdict.is_ok(), is_good, "{case}");
        if is_good {
            assert_eq!(file, format!("[{}]", ".".repeat(3 * (parts - 1))), "{case}");
            assert_eq!(rows, 3 * (parts as u64 - 1), "{case}");
        } else {
            assert!(!file.contains(']'), "{case}");
        }
    }
}

#[tokio::test]
async fn an_export_of_nobody_is_handed_over_though_its_client_takes_no_verdict() {
    let (relay, progress) = relay();
    let writers = PartWriters::new(Framed, None, progress.clone());
    let (end, may_end) = oneshot::channel();
    let running = Arc::clone(&relay);
    let running = tokio::spawn(async move { running.run(scan(writers, 1, may_end), progress).await });
    end.send(Ok(())).expect("a scan");
    for expected in ["[", "]"] {
        let Next::Chunk { bytes, rows: 0 } = take(&relay).await else { panic!("no {expected}") };
        assert_eq!(bytes, expected);
    }
    soon(running).await.expect("an end");
    assert!(matches!(take(&relay).await, Next::Verdict(Ok(()))));
}
