//! HTTPS, with certificates that openssl makes and curl checks.

use std::fs::Permissions;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;

use crate::faults::{BAD_ROW, ROWS, with_a_bad_row};
use crate::harness::{
    Db, EXPORT_KEY, FULL, PEOPLE_FULL, Server, Site, connect, eventually, raw_exchange, wait_for,
};

/// Makes `NAME.crt` and `NAME.key` for this address.
fn make_certificate(site: &Site, name: &str) {
    let [cert, key] = [format!("{name}.crt"), format!("{name}.key")];
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-out", &cert, "-keyout", &key])
        .current_dir(site.path(""))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::set_permissions(site.path(&key), Permissions::from_mode(0o600)).unwrap();
}

/// A site that serves with `server.crt`.
fn site(limits: &str) -> Site {
    with_tls(Site::with_people(Db::Sqlite), limits)
}

fn with_tls(site: Site, limits: &str) -> Site {
    make_certificate(&site, "server");
    site.configure(&format!("[tls]\ncert = \"server.crt\"\nkey = \"server.key\"\n[limits]\n{limits}"));
    site
}

fn curl(site: &Site, server: &Server, trusted: &str, more: &[&str]) -> Command {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-f", "--noproxy", "*", "--cacert"])
        .arg(site.path(trusted))
        .args(["-H", &format!("Authorization: Bearer {EXPORT_KEY}")])
        .args(more)
        .arg(format!("https://{}{FULL}", server.addr));
    curl
}

fn download(site: &Site, server: &Server, trusted: &str, more: &[&str]) -> Output {
    curl(site, server, trusted, more).output().unwrap()
}

#[test]
fn both_versions_of_http_are_served() {
    let site = site("");
    let server = site.serve();
    assert!(server.said().contains(&format!("listening on https://{}", server.addr)));
    for (option, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let got = download(&site, &server, "server.crt", &[option, "-w", "%{http_version}"]);
        let text = String::from_utf8(got.stdout).unwrap();
        assert_eq!(text, format!("{PEOPLE_FULL}{version}"), "{}", String::from_utf8_lossy(&got.stderr));
    }
    for options in [["--tls-max", "1.2"], ["--tlsv1.3", "--http1.1"]] {
        assert!(download(&site, &server, "server.crt", &options).status.success(), "{options:?}");
    }
    let plain = raw_exchange(&server, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(!plain.contains("HTTP/1.1"), "{plain}");
}

#[test]
fn a_new_certificate_is_taken_at_a_signal() {
    let site = site("");
    let server = site.serve();
    make_certificate(&site, "next");
    for file in ["crt", "key"] {
        std::fs::copy(site.path(&format!("next.{file}")), site.path(&format!("server.{file}"))).unwrap();
    }
    server.signal("HUP");
    server.eventually_says("the certificate was read again");
    assert!(download(&site, &server, "next.crt", &[]).status.success());
}

#[test]
fn a_bad_new_certificate_is_not_taken() {
    let site = site("");
    let server = site.serve();
    make_certificate(&site, "other");
    std::fs::copy(site.path("server.crt"), site.path("old.crt")).unwrap();
    for (bad, said) in [("other.key", "does not fit"), ("headcount.toml", "PEM")] {
        std::fs::copy(site.path(bad), site.path("server.key")).unwrap();
        server.signal("HUP");
        eventually("the log says why", || {
            server
                .said()
                .lines()
                .any(|line| line.contains("the old certificate is kept") && line.contains(said))
        });
        assert!(download(&site, &server, "old.crt", &[]).status.success());
    }
}

#[test]
fn what_cannot_be_used_stops_the_start() {
    let site = site("");
    make_certificate(&site, "other");
    std::fs::write(site.path("empty.pem"), "").unwrap();
    let broken = "-----BEGIN PRIVATE KEY-----\nthis-is-a-secret\n-----END PRIVATE KEY-----\n";
    std::fs::write(site.path("broken.key"), broken).unwrap();
    for (cert, key, words) in [
        ("missing.crt", "server.key", &["tls.cert", "missing.crt", "No such file"][..]),
        ("server.crt", "missing.key", &["tls.key", "missing.key", "No such file"]),
        ("empty.pem", "server.key", &["tls.cert", "empty.pem", "none in it", "BEGIN CERTIFICATE"]),
        ("server.crt", "server.crt", &["tls.key", "server.crt", "none in it", "BEGIN PRIVATE KEY"]),
        ("server.crt", "broken.key", &["tls.key", "broken.key", "not PEM"]),
        ("server.crt", "other.key", &["tls.key", "other.key", "does not fit", "server.crt"]),
    ] {
        site.configure(&format!("[tls]\ncert = \"{cert}\"\nkey = \"{key}\"\n"));
        for command in ["serve", "check"] {
            let finished = site.run(&[command]);
            assert_eq!(finished.code, Some(1), "{command}: {}", finished.stderr);
            for word in words {
                assert!(finished.stderr.contains(word), "{word}: {}", finished.stderr);
            }
            assert!(!finished.stderr.contains("secret"), "{}", finished.stderr);
        }
    }
    site.configure("[tls]\ncert = \"server.crt\"\n");
    let finished = site.run(&["serve"]);
    assert!(finished.stderr.contains("both tls.cert and tls.key"), "{}", finished.stderr);
}

#[test]
fn a_key_that_others_can_read_is_a_warning() {
    let site = site("");
    let said = site.run(&["check"]).text();
    assert!(said.contains("ok       tls:"), "{said}");
    std::fs::set_permissions(site.path("server.key"), Permissions::from_mode(0o644)).unwrap();
    let said = site.run(&["check"]).text();
    assert!(said.contains("warning  tls: server.key"), "{said}");
    site.serve().eventually_says("can be read by other users");
}

#[test]
fn who_does_not_shake_hands_is_cut_off() {
    let site = site("client_stall = \"3s\"\n");
    let server = site.serve();
    for begun in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = connect(server.addr);
        stream.write_all(begun).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
    }
    assert!(download(&site, &server, "server.crt", &[]).status.success());
}

#[test]
fn a_client_that_takes_nothing_is_cut_off() {
    let site = with_tls(Site::with_wide_users(Db::Sqlite), "client_stall = \"3s\"\n");
    let server = site.serve();
    let mut stalled =
        curl(&site, &server, "server.crt", &["--http1.1"]).stdout(Stdio::piped()).spawn().unwrap();
    let record =
        wait_for("the export is over", || site.audit().pop().filter(|record| record["outcome"].is_string()));
    assert_eq!(record["reason"], "client stalled", "{record}");
    let mut taken = Vec::new();
    stalled.stdout.take().unwrap().read_to_end(&mut taken).unwrap();
    assert!(!stalled.wait().unwrap().success(), "curl took {} bytes for complete", taken.len());
}

type Overheard = (Vec<u8>, Option<ErrorKind>);

/// Passes one connection on to the server, and says what came from there and with which error that ended.
fn listen_in(server: SocketAddr) -> (SocketAddr, JoinHandle<Overheard>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let listening = std::thread::spawn(move || {
        let (mut client, mut server) = (listener.accept().unwrap().0, connect(server));
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        let (mut said, mut piece) = (Vec::new(), [0; 16 * 1024]);
        let end = loop {
            match server.read(&mut piece) {
                Ok(0) => break None,
                Ok(read) => {
                    said.extend(&piece[..read]);
                    let _ = client.write_all(&piece[..read]);
                }
                Err(error) => break Some(error.kind()),
            }
        };
        let _ = client.shutdown(Shutdown::Both);
        (said, end)
    });
    (address, listening)
}

/// The types of the records (RFC 5246 section 6.2.1).
fn record_types(mut said: &[u8]) -> Vec<u8> {
    let mut types = Vec::new();
    while let [kind, _, _, high, low, rest @ ..] = said {
        types.push(*kind);
        said = rest.get(usize::from(u16::from_be_bytes([*high, *low]))..).unwrap_or_default();
    }
    types
}

const ALERT: u8 = 21;
const APPLICATION_DATA: u8 = 23;

/// In TLS 1.2, where everybody can see which record is a farewell.
#[test]
fn a_broken_transfer_is_reset_without_a_farewell() {
    let site = with_tls(with_a_bad_row(Db::Sqlite, ROWS, BAD_ROW), "");
    let server = site.serve();
    let (address, listening) = listen_in(server.addr);
    let through = ["--connect-to", &format!("::{address}"), "--http1.1", "--tls-max", "1.2"];
    assert!(!download(&site, &server, "server.crt", &through).status.success());
    let (said, end) = listening.join().unwrap();
    assert_eq!(end, Some(ErrorKind::ConnectionReset));
    let types = record_types(&said);
    assert!(types.contains(&APPLICATION_DATA) && !types.contains(&ALERT), "{types:?}");
}
