//! From where a request comes.

use std::future::{Ready, ready};
use std::net::IpAddr;

use actix_web::dev::Payload;
use actix_web::http::header::{HeaderMap, HeaderValue, USER_AGENT};
use actix_web::{FromRequest, HttpRequest};
use ipnet::IpNet;

use super::request_id::RequestId;
use crate::domain::actor::Who;
use crate::domain::printable::shown;
use crate::domain::{Actor, Refusal};

/// Who calls, before it has proved who it is: an [`Actor`] that is nobody yet.
pub struct Client(pub Actor);

/// A `User-Agent` is kept up to this many characters.
const USER_AGENT_LEN: usize = 200;

impl FromRequest for Client {
    type Error = Refusal;
    type Future = Ready<Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(super::app(request).and_then(|app| {
            // A connection that was reset before it was accepted has none, and nobody escapes a limit of addresses by
            // that.
            let gone = || Refusal::MalformedRequest("The connection was reset".to_owned());
            let peer = request.peer_addr().ok_or_else(gone)?.ip();
            Ok(Self(Actor {
                who: Who::Anonymous,
                ip: Some(client_ip(peer, request.headers(), &app.config.server.trusted_proxies)),
                user_agent: user_agent(request.headers()),
                request_id: RequestId::of(request).map(|id| id.0),
                holds: None,
            }))
        }))
    }
}

/// The client's address: the peer's, or, where the peer is a trusted proxy, the last one in `X-Forwarded-For` that is
/// none. What stands before it anybody may have written (security 22).
pub(crate) fn client_ip(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut client = peer.to_canonical();
    // Split as bytes: a stranger's odd byte at the front must not hide what a proxy wrote behind it.
    let lines = headers.get_all("x-forwarded-for").map(HeaderValue::as_bytes);
    let hops: Vec<&[u8]> = lines.flat_map(|line| line.split(|byte| *byte == b',')).collect();
    for hop in hops.into_iter().rev() {
        if !is_trusted(client) {
            break;
        }
        let Some(address) = std::str::from_utf8(hop).ok().and_then(parse_hop) else { break };
        client = address;
    }
    client
}

/// An address as proxies write it: bare, with a port, or in brackets.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    bare.or_else(with_port).or_else(bracketed).map(|address| address.to_canonical())
}

fn user_agent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(USER_AGENT)?.to_str().ok()?;
    Some(shown(text, USER_AGENT_LEN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderName;

    fn resolve(peer: &str, forwarded: &[&str]) -> String {
        let lines: Vec<&[u8]> = forwarded.iter().map(|line| line.as_bytes()).collect();
        resolve_bytes(peer, &lines)
    }

    fn resolve_bytes(peer: &str, forwarded: &[&[u8]]) -> String {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(HeaderName::from_static("x-forwarded-for"), HeaderValue::from_bytes(value).unwrap());
        }
        client_ip(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn forwarded_addresses_count_only_behind_trusted_proxies() {
        assert_eq!(resolve("192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
        assert_eq!(resolve("10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(resolve("10.0.0.1", &["1.1.1.1, 203.0.113.9, 10.2.3.4"]), "203.0.113.9");
        assert_eq!(resolve("10.0.0.1", &["1.1.1.1", "203.0.113.9"]), "203.0.113.9");
        assert_eq!(resolve_bytes("10.0.0.1", &[b"\xe9, 203.0.113.9"]), "203.0.113.9");
        assert_eq!(resolve("10.0.0.1", &["nonsense"]), "10.0.0.1");
        assert_eq!(resolve("10.0.0.1", &["1.1.1.1, nonsense, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(resolve("::1", &["[2001:db8::9]:443"]), "2001:db8::9");
        assert_eq!(resolve("::ffff:10.0.0.1", &["::ffff:203.0.113.9"]), "203.0.113.9");
    }
}
