//! HTTP/1.1 by hand, for what a well-behaved client library hides: a reader that
//! waits, a reader that leaves, and whether the last chunk came.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::Server;

pub(crate) struct Download {
    stream: BufReader<TcpStream>,
    pub(crate) head: String,
}

/// What came of a chunked body, and whether its end came too, with which trailers.
pub(crate) struct Received {
    pub(crate) body: Vec<u8>,
    pub(crate) complete: bool,
    /// The lines between the last chunk and the end.
    pub(crate) trailers: Vec<String>,
}

impl Received {
    /// Whether these bytes came.
    pub(crate) fn has(&self, bytes: &[u8]) -> bool {
        memchr::memmem::find(&self.body, bytes).is_some()
    }
}

impl Download {
    /// Asks for an export and reads no further than the head.
    pub(crate) fn open(server: &Server, target: &str, key: &str) -> Self {
        Self::open_with(server, target, &format!("Authorization: Bearer {key}\r\n"))
    }

    pub(crate) fn open_with(server: &Server, target: &str, headers: &str) -> Self {
        let mut stream = connect(server.addr);
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = stream.read_line(&mut head).unwrap();
            assert!(read > 0, "the head broke off: {head:?}");
        }
        Self { stream, head }
    }

    /// An export that has begun and, with enough rows, cannot end until it is read.
    pub(crate) fn stalled(server: &Server, target: &str, key: &str) -> Self {
        let download = Self::open(server, target, key);
        assert_eq!(download.status(), 200, "{}", download.head);
        download
    }

    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .unwrap_or_else(|| panic!("no header {name}: {}", self.head))
            .1
    }

    pub(crate) fn export_id(&self) -> String {
        self.header("x-export-id").to_owned()
    }

    /// Reads one chunk of the body.
    pub(crate) fn first_chunk(&mut self) -> Vec<u8> {
        let chunk = self.chunk();
        chunk.expect("a first chunk")
    }

    /// Reads on to the end, whichever way it ends.
    pub(crate) fn rest(mut self) -> Received {
        assert_eq!(self.header("transfer-encoding"), "chunked");
        let mut body = Vec::new();
        loop {
            match self.chunk() {
                Some(chunk) if chunk.is_empty() => {
                    let trailers = self.trailers();
                    let complete = trailers.is_some();
                    return Received { body, complete, trailers: trailers.unwrap_or_default() };
                }
                Some(chunk) => body.extend(chunk),
                None => {
                    return Received { body, complete: false, trailers: Vec::new() };
                }
            }
        }
    }

    /// The lines before the empty one that ends a chunked body; `None` when the connection broke before it.
    fn trailers(&mut self) -> Option<Vec<String>> {
        let mut trailers = Vec::new();
        loop {
            let mut line = String::new();
            unless_broken(self.stream.read_line(&mut line))?;
            match line.strip_suffix("\r\n")? {
                "" => return Some(trailers),
                line => trailers.push(line.to_owned()),
            }
        }
    }

    /// The next chunk, empty for the last one, after which trailers may follow; `None` when the connection broke before its
    /// end.
    fn chunk(&mut self) -> Option<Vec<u8>> {
        let mut size = String::new();
        unless_broken(self.stream.read_line(&mut size))?;
        let size = usize::from_str_radix(size.strip_suffix("\r\n")?, 16).unwrap();
        if size == 0 {
            return Some(Vec::new());
        }
        let mut chunk = vec![0; size + 2];
        unless_broken(self.stream.read_exact(&mut chunk))?;
        assert!(chunk.ends_with(b"\r\n"));
        chunk.truncate(size);
        Some(chunk)
    }
}

/// A connection that neither goes on nor ends is no break, but a bug.
fn unless_broken<T>(read: std::io::Result<T>) -> Option<T> {
    match read {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            panic!("the transfer hangs")
        }
        read => read.ok(),
    }
}

/// Sends bytes as they are and reads what comes until the server hangs up.
pub(crate) fn raw_exchange(server: &Server, request: &str) -> String {
    let mut stream = connect(server.addr);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

/// A connection that waits a minute for what it reads, and no longer.
pub(crate) fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}
