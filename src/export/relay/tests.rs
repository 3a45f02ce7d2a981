use super::*;
use crate::export::SpoolLimits;
use crate::export::writer::Message;
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

async fn until_deputised(relay: &Relay) {
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
            parts.send(Progress::Part(part)).await.expect("a reader");
            given_up.await.expect("a limit");
            Err(SourceError::Stalled(Duration::from_secs(7)))
        };
        let running = Arc::clone(&relay);
        let running = tokio::spawn(async move { running.run(scan, progress).await });
        hanging.send(chunk()).await.expect("a part");
        if is_slow {
            until_deputised(&relay).await;
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
        parts.send(Progress::Part(part)).await.map_err(|_| SourceError::Closed)?;
        for _ in 0..CHUNKS {
            chunks.send(chunk()).await.map_err(|_| SourceError::Closed)?;
        }
        chunks.send(Message::End).await.map_err(|_| SourceError::Closed)
    };
    let running = Arc::clone(&relay);
    tokio::spawn(async move { running.run(scan, progress).await });
    until_deputised(&relay).await;
    for taken in 0..CHUNKS {
        // The pace of the client: 30 MB/s, for longer than the source may be held.
        tokio::time::sleep(Duration::from_millis(15)).await;
        assert!(matches!(take(&relay).await, Next::Chunk { .. }), "after {taken} chunks");
    }
    assert!(matches!(take(&relay).await, Next::Verdict(Ok(()))));
}
