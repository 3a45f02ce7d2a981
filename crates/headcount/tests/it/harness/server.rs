//! A running `serve` and requests to it.

use std::borrow::Borrow;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use reqwest::Method;
use reqwest::blocking::{Client, ClientBuilder, RequestBuilder};

use super::{Answer, EVENTUALLY, eventually, poll, wait_for};

pub(crate) struct Server {
    process: Process,
    pub(crate) addr: SocketAddr,
    said: Arc<Mutex<String>>,
}

/// One for all tests, because each has a thread and an event loop; no connection is used twice.
static HTTP1: LazyLock<Client> = LazyLock::new(|| client().http1_only().build().unwrap());
static HTTP2: LazyLock<Client> = LazyLock::new(|| client().http2_prior_knowledge().build().unwrap());

fn client() -> ClientBuilder {
    Client::builder().no_proxy().no_gzip().timeout(Duration::from_secs(300)).pool_max_idle_per_host(0)
}

impl Server {
    pub(crate) fn start(mut command: Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut process = Process(child.unwrap());
        let Process(child) = &mut process;
        let said = Arc::new(Mutex::new(String::new()));
        keep(child.stdout.take().unwrap(), &said);
        keep(child.stderr.take().unwrap(), &said);
        let addr = wait_for("the server listens", || {
            let so_far = said.lock().unwrap().clone();
            let end = child.try_wait().unwrap();
            assert!(end.is_none(), "the server ended at once: {so_far}");
            listening_address(&so_far)
        });
        Self { process, addr, said }
    }

    pub(crate) fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.addr)
    }

    pub(crate) fn request(&self, method: Method, target: &str) -> RequestBuilder {
        HTTP1.request(method, self.url(target))
    }

    pub(crate) fn http2(&self, target: &str) -> RequestBuilder {
        HTTP2.get(self.url(target))
    }

    /// A GET without a key.
    pub(crate) fn get(&self, target: &str) -> Answer {
        Answer::to(self.request(Method::GET, target))
    }

    pub(crate) fn get_with(&self, key: &str, target: &str) -> Answer {
        Answer::to(self.request(Method::GET, target).bearer_auth(key))
    }

    pub(crate) fn status_with(&self, key: &str, target: &str) -> u16 {
        self.get_with(key, target).status
    }

    /// A form posted with a key.
    pub(crate) fn post_with(&self, key: &str, target: &str, form: &str) -> Answer {
        let request = self
            .request(Method::POST, target)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.to_owned());
        Answer::to(request.bearer_auth(key))
    }

    /// The sum of the samples of a metric whose labels contain all `fragments`.
    pub(crate) fn metric(&self, name: &str, fragments: &[&str]) -> f64 {
        let text = self.get("/metrics").text();
        let samples = text.lines().filter(|line| {
            let rest = line.strip_prefix(name).unwrap_or_default();
            rest.starts_with(['{', ' ']) && fragments.iter().all(|part| rest.contains(part))
        });
        samples.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// All that the process has written so far, to either stream.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    pub(crate) fn eventually_says(&self, text: &str) {
        let found = poll(EVENTUALLY, || self.said().contains(text).then_some(()));
        assert!(found.is_some(), "the log does not say {text:?}: {}", self.said());
    }

    /// Waits until `/readyz`, whose answer counts for a second, says that all is ready.
    pub(crate) fn eventually_ready(&self) {
        eventually("all is ready", || self.get("/readyz").status == 200);
    }

    /// Waits until `/readyz` says that this is not ready.
    pub(crate) fn eventually_lacks(&self, what: &str) {
        let detail = format!("Not ready: {what}");
        eventually(&detail, || {
            let answer = self.get("/readyz");
            answer.status == 503 && answer.detail(503) == detail
        });
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.process.0.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Lets the process write no file of more than so many bytes. Linux only.
    pub(crate) fn limit_files(&self, bytes: &str) {
        let pid = self.process.0.id().to_string();
        let limited = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}:")]).status();
        assert!(limited.unwrap().success());
    }

    /// How often the process has this file open. Linux only, as are those that follow.
    pub(crate) fn times_open(&self, file: &Path) -> usize {
        let file = file.canonicalize().unwrap();
        self.open_files().filter(|open| *open == file).count()
    }

    /// Files that the process has open in this directory, though they are not there any more.
    pub(crate) fn nameless_files_in(&self, directory: &Path) -> usize {
        let Ok(directory) = directory.canonicalize() else { return 0 };
        let is_nameless = |open: &PathBuf| {
            open.parent() == Some(&directory) && open.to_string_lossy().ends_with(" (deleted)")
        };
        self.open_files().filter(is_nameless).count()
    }

    /// How many files and sockets the process has open.
    pub(crate) fn count_open_files(&self) -> usize {
        self.file_descriptors().count()
    }

    /// Those files and sockets.
    fn open_files(&self) -> impl Iterator<Item = PathBuf> {
        self.file_descriptors().filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
    }

    fn file_descriptors(&self) -> std::fs::ReadDir {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.0.id())).unwrap()
    }

    /// The names of its threads, and how nice each is.
    pub(crate) fn threads(&self) -> Vec<(String, i32)> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.process.0.id())).unwrap();
        let about = threads.filter_map(|thread| {
            let stat = std::fs::read_to_string(thread.ok()?.path().join("stat")).ok()?;
            let (name, fields) = stat.split_once('(')?.1.rsplit_once(')')?;
            // The first of these fields is the third of all, and the niceness is the nineteenth (`proc_pid_stat(5)`).
            Some((name.to_owned(), fields.split_whitespace().nth(16)?.parse().ok()?))
        });
        about.collect()
    }

    /// Whether the process has read all that was sent on these connections to it. Linux only.
    pub(crate) fn has_read<S: Borrow<TcpStream>>(&self, streams: &[S]) -> bool {
        // The kernel goes through all that it knows for each look.
        let sockets = sockets();
        streams.iter().all(|stream| {
            let socket = self.socket_to(&sockets, stream.borrow().local_addr().unwrap());
            socket.is_some_and(|fields| fields[4].ends_with(":00000000"))
        })
    }

    /// Closes a connection to the process, and waits until that has noticed. Linux only.
    pub(crate) fn leave(&self, stream: TcpStream) {
        let client = stream.local_addr().unwrap();
        drop(stream);
        // Established, or closed by the client only (`include/net/tcp_states.h` of the kernel).
        let is_open = |fields: Vec<&str>| ["01", "08"].contains(&fields[3]);
        eventually("the server has closed its end", || {
            !self.socket_to(&sockets(), client).is_some_and(is_open)
        });
    }

    /// What the kernel says, in all that it says of sockets, of the process's end of a connection.
    fn socket_to<'a>(&self, sockets: &'a str, client: SocketAddr) -> Option<Vec<&'a str>> {
        let at = |addr: SocketAddr| match addr {
            SocketAddr::V4(addr) => {
                format!("{:08X}:{:04X}", u32::from_le_bytes(addr.ip().octets()), addr.port())
            }
            SocketAddr::V6(_) => panic!("the tests use IPv4"),
        };
        let ends = format!(" {} {} ", at(self.addr), at(client));
        let socket = sockets.lines().find(|line| line.contains(&ends))?;
        Some(socket.split_whitespace().collect())
    }

    /// The most memory that the process ever had, in KiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.0.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Ends the process as a crash would.
    pub(crate) fn kill(self) {
        drop(self.process);
    }

    pub(crate) fn exit(mut self) -> ExitStatus {
        wait_for_exit(&mut self.process.0)
    }
}

/// A line for each TCP socket (`proc_net_tcp` of the kernel's documentation). Linux only.
fn sockets() -> String {
    std::fs::read_to_string("/proc/net/tcp").unwrap()
}

/// A child that does not outlive its owner, even where starting it fails half way.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for the end of a process, and ends it before giving up.
pub(crate) fn wait_for_exit(child: &mut Child) -> ExitStatus {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if started.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("the process does not end");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn keep(stream: impl Read + Send + 'static, said: &Arc<Mutex<String>>) {
    let said = Arc::clone(said);
    std::thread::spawn(move || {
        let mut lines = BufReader::new(stream);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            said.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
}

fn listening_address(said: &str) -> Option<SocketAddr> {
    let (_, rest) = said.split_once("listening on http")?;
    let rest = rest.strip_prefix('s').unwrap_or(rest).strip_prefix("://")?;
    let end = rest.find(|c: char| !(c.is_ascii_hexdigit() || ".:[]".contains(c)))?;
    rest[..end].parse().ok()
}
