//! Who is at the other end.

use super::App;
use axum::extract::Request;
use ipnet::IpNet;
use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The other end of the connection, put into every request by the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// The client's address: the peer's, or, behind proxies that are trusted, the last one in `X-Forwarded-For` that is
/// not such a proxy. Everything before that could be forged.
pub(super) fn address(app: &App, request: &Request) -> IpAddr {
    let peer =
        request.extensions().get::<Peer>().map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| peer.0.ip());
    let mut address = peer.to_canonical();
    let lines: Vec<_> = request.headers().get_all("x-forwarded-for").iter().collect();
    let hops = lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|&byte| byte == b','));
    // An empty element of a list is none (RFC 9110 section 5.6.1).
    for hop in hops.map(<[u8]>::trim_ascii).filter(|hop| !hop.is_empty()) {
        if !is_trusted(&app.config.trusted_proxies, address) {
            break;
        }
        match read_hop(hop) {
            Some(hop) => address = hop,
            None => break,
        }
    }
    address
}

/// Reads one address of the list, with or without a port: `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1`, `[2001:db8::1]:443`; also
/// in quotes (RFC 7239 section 6), and with a zone. What stands before it may be of any bytes.
fn read_hop(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?;
    let hop = hop.strip_prefix('"').and_then(|hop| hop.strip_suffix('"')).unwrap_or(hop);
    let hop = &*without_zone(hop);
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse::<IpAddr>().or_else(|_| hop.parse().map(|hop: SocketAddr| hop.ip()));
    address.ok().map(|address| address.to_canonical())
}

/// `fe80::1%eth0` and `[fe80::1%eth0]:443` without the zone (RFC 4007 section 11), which means something on the proxy's host only.
fn without_zone(hop: &str) -> Cow<'_, str> {
    match hop.split_once('%') {
        Some((address, rest)) if address.trim_start_matches('[').parse::<Ipv6Addr>().is_ok() => {
            let end = rest.find(']').map_or("", |end| &rest[end..]);
            format!("{address}{end}").into()
        }
        _ => hop.into(),
    }
}

/// Whether somebody is a proxy whose word counts.
pub(super) fn is_trusted(proxies: &[IpNet], address: IpAddr) -> bool {
    proxies.iter().any(|network| network.contains(&address))
}

/// Who counts as one, in failed keys and in connections: an address, or in IPv6 the /64 that one customer has.
pub(super) fn counted_as(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hop_has_a_port_or_none() {
        for (hop, address) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:5678", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:5678", "2001:db8::1"),
            ("[::ffff:192.0.2.1]:5678", "192.0.2.1"),
            ("\"192.0.2.1\"", "192.0.2.1"),
            ("\"192.0.2.1:5678\"", "192.0.2.1"),
            ("\"[2001:db8::1]:5678\"", "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%eth0]", "fe80::1"),
            ("[2001:db8::7%eth0]:80", "2001:db8::7"),
            ("\"[fe80::1%25]:80\"", "fe80::1"),
        ] {
            assert_eq!(read_hop(hop.as_bytes()), address.parse().ok(), "{hop}");
        }
        for hop in [
            "unknown",
            "_hidden",
            "192.0.2.1:",
            "192.0.2.1:70000",
            "[192.0.2.1",
            "192.0.2",
            "\u{e9}",
            "\"192.0.2.1",
            "192.0.2.1%eth0",
            "[fe80::1%eth0",
            "%eth0",
            "\"",
        ] {
            assert_eq!(read_hop(hop.as_bytes()), None, "{hop}");
        }
        assert_eq!(read_hop(b"192.0.2.1\x80"), None);
    }
}
