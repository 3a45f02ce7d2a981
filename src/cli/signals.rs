//! The signals that end a command.

use tokio::signal::unix::{SignalKind, signal};

/// Resolves at a signal that asks for an end: SIGTERM or SIGINT. They are caught from now on.
pub(super) fn stop() -> std::io::Result<impl Future<Output = ()> + Send> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// As [`stop`], and where a terminal that goes away asks for an end, too: at SIGHUP, unless that was ignored from the start, as
/// `nohup` has it.
pub(super) fn stop_or_hangup() -> std::io::Result<impl Future<Output = ()> + Send> {
    let stop = stop()?;
    let hangup = if is_hangup_ignored() { None } else { Some(signal(SignalKind::hangup())?) };
    Ok(async move {
        let hung_up = async {
            match hangup {
                Some(mut hangup) => {
                    hangup.recv().await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop => {}
            () = hung_up => {}
        }
    })
}

/// Whether the process was started so that hang-ups do not reach it (proc(5), "SigIgn"): to catch them would undo that.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The first bit is signal 1, which is SIGHUP.
    ignored.is_some_and(|mask| mask & 1 == 1)
}
