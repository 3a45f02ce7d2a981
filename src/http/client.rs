//! Who is at the other end.

use super::App;
use axum::extract::Request;
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
    let is_trusted =
        |address: &IpAddr| app.config.trusted_proxies.iter().any(|network| network.contains(address));
    let forwarded = request.headers().get_all("x-forwarded-for");
    let lines: Vec<_> = forwarded.iter().filter_map(|line| line.to_str().ok()).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        if !is_trusted(&address) {
            break;
        }
        match hop.trim().parse::<IpAddr>() {
            Ok(hop) => address = hop.to_canonical(),
            Err(_) => break,
        }
    }
    address
}

/// Whom failed keys are counted for: an address, or in IPv6 the /64 that one customer has.
pub(super) fn counted_as(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}
