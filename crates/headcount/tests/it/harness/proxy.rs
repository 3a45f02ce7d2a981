//! A TCP proxy between a client and its server: it forwards, is silent, cuts, or loses a row.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Duration;

use memchr::memmem;

pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    /// Connections made so far.
    made: AtomicUsize,
    /// Of the first so many nothing is forwarded, and nobody is told.
    silent: AtomicUsize,
    /// Connections are closed as soon as they are made.
    is_shut: AtomicBool,
    /// The row of PostgreSQL in which this stands is not forwarded.
    lost: Mutex<Option<&'static str>>,
    /// Words of clients that the server does not know.
    unknown: Mutex<&'static [&'static str]>,
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// A proxy to this port of this machine. Its threads live as long as the connections, or the tests.
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let shared = Arc::new(Shared {
            server: SocketAddr::from(([127, 0, 0, 1], port)),
            made: AtomicUsize::new(0),
            silent: AtomicUsize::new(0),
            is_shut: AtomicBool::new(false),
            lost: Mutex::default(),
            unknown: Mutex::default(),
            open: Mutex::default(),
        });
        let proxy = Self { port: listener.local_addr().unwrap().port(), shared: Arc::clone(&shared) };
        std::thread::spawn(move || {
            for client in listener.incoming() {
                shared.accept(&client.unwrap());
            }
        });
        proxy
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Cuts all connections; new ones are made as before.
    pub(crate) fn cut(&self) {
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Cuts all connections, and every new one.
    pub(crate) fn shut(&self) {
        self.shared.is_shut.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// Forwards nothing from now on, and cuts nothing.
    pub(crate) fn fall_silent(&self) {
        self.shared.silent.store(usize::MAX, Ordering::SeqCst);
    }

    /// Forwards what comes on connections that are made from now on.
    pub(crate) fn answer_new_connections(&self) {
        self.shared.silent.store(self.shared.made.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Forwards all but the row of PostgreSQL in which this text stands, on connections that are made from now on and not
    /// encrypted.
    pub(crate) fn lose_the_row_with(&self, text: &'static str) {
        *self.shared.lost.lock().unwrap() = Some(text);
    }

    /// Makes the server one that does not know these words of SQL, on connections that are made from now on and not encrypted: what
    /// clients write of them is misspelt.
    pub(crate) fn make_unknown(&self, words: &'static [&'static str]) {
        *self.shared.unknown.lock().unwrap() = words;
    }

    /// Forwards again. What it kept while it was silent goes on its way late.
    pub(crate) fn open_again(&self) {
        self.shared.is_shut.store(false, Ordering::SeqCst);
        self.shared.silent.store(0, Ordering::SeqCst);
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, client: &TcpStream) {
        if self.is_shut.load(Ordering::SeqCst) {
            return;
        }
        let Ok(server) = TcpStream::connect(self.server) else { return };
        let number = self.made.fetch_add(1, Ordering::SeqCst);
        let (lost, unknown) = (*self.lost.lock().unwrap(), *self.unknown.lock().unwrap());
        for (from, to, lost, unknown) in [(client, &server, None, unknown), (&server, client, lost, &[])] {
            let (from, to, shared) = (from.try_clone().unwrap(), to.try_clone().unwrap(), Arc::clone(self));
            from.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            self.open.lock().unwrap().push(from.try_clone().unwrap());
            std::thread::spawn(move || shared.forward(number, from, to, lost, unknown));
        }
    }

    fn forward(
        &self,
        number: usize,
        mut from: TcpStream,
        mut to: TcpStream,
        lost: Option<&str>,
        unknown: &[&str],
    ) {
        let mut bytes = [0; 16 * 1024];
        let mut unsent = Vec::new();
        loop {
            let read = from.read(&mut bytes);
            while number < self.silent.load(Ordering::SeqCst) {
                sleep(Duration::from_millis(10));
            }
            match read {
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Ok(n) if n > 0 => {
                    unknown.iter().for_each(|word| misspell(word, &mut bytes[..n]));
                    unsent.extend(&bytes[..n]);
                    let passed = match lost {
                        None => std::mem::take(&mut unsent),
                        Some(text) => without(text, &mut unsent),
                    };
                    if to.write_all(&passed).is_err() {
                        break;
                    }
                }
                _ => break,
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }
}

/// Changes the last letter of a word wherever it stands, so that messages stay as long as they are.
fn misspell(word: &str, bytes: &mut [u8]) {
    let starts: Vec<_> = memmem::find_iter(bytes, word).collect();
    for start in starts {
        bytes[start + word.len() - 1] = b'X';
    }
}

/// Takes the whole messages of PostgreSQL but for the `DataRow` in which this text stands (PostgreSQL manual, section 55.7).
fn without(text: &str, unsent: &mut Vec<u8>) -> Vec<u8> {
    let mut passed = Vec::new();
    while let [kind, a, b, c, d, ..] = **unsent {
        let end = u32::from_be_bytes([a, b, c, d]) as usize + 1;
        if unsent.len() < end {
            break;
        }
        let message: Vec<u8> = unsent.drain(..end).collect();
        if kind != b'D' || memmem::find(&message, text.as_bytes()).is_none() {
            passed.extend(message);
        }
    }
    passed
}
