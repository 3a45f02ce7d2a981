//! What this process asks of the system: room for open files, and the signals that end a command.

use crate::config::Limits;
use headcount_export::IN_FLIGHT_PER_SLOT;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// Connections, unless the configuration says otherwise.
const CONNECTIONS: usize = 10_000;
/// Files that are no connections: the store, the log, the libraries.
const OTHERS: usize = 256;
/// Files of one export: the database, its log and its index for each thread of it, and a spool; and the spools of those that
/// were read and wait for their clients.
const OF_AN_EXPORT: usize = 16 + IN_FLIGHT_PER_SLOT;

/// Raises the limit of open files (`RLIMIT_NOFILE`, getrlimit(2)) as far as the connections need it and the system
/// allows, and says how many connections there is room for: at least 1.
pub(super) fn connections(limits: &Limits) -> usize {
    let wanted = limits.connections.unwrap_or(CONNECTIONS);
    let kept = OTHERS + OF_AN_EXPORT * limits.concurrent_exports;
    let allowed = allow(wanted.saturating_add(kept));
    if allowed >= wanted + kept {
        return wanted;
    }
    // Half of few files is still better than none for those who are to be served.
    let room = allowed.saturating_sub(kept).max(allowed / 2).max(1);
    tracing::warn!(
        wanted,
        room,
        open_files = allowed,
        "fewer connections than limits.connections: the process may not open more files; raise its limit \
         (systemd: LimitNOFILE=, a shell: ulimit -n)"
    );
    room
}

/// Raises the soft limit to `files`, or to the hard one, and says what it is then.
fn allow(files: usize) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let in_files =
        |limit: Option<u64>| limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    if in_files(current) >= files {
        return in_files(current);
    }
    let raised = files.min(in_files(maximum));
    let limit = Rlimit { current: Some(raised as u64), maximum };
    if setrlimit(Resource::Nofile, limit).is_ok() { raised } else { in_files(current) }
}

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
