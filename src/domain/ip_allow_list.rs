//! The addresses from which an API key may be used.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::Text;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use utoipa::openapi::{RefOr, Schema};

/// Networks in CIDR notation; none at all admits every address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, AsExpression, FromSqlRow)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
#[diesel(sql_type = Text)]
pub struct IpAllowList {
    networks: Vec<IpNet>,
    text: String,
}

/// What was given is no list of networks.
#[derive(Debug, thiserror::Error)]
pub enum InvalidIpAllowList {
    /// Neither an address nor a CIDR.
    #[error("`{0}` is neither an IP address nor a network in CIDR notation")]
    Malformed(String),
    /// Longer than anyone needs.
    #[error("must be at most {} networks", IpAllowList::MOST)]
    TooMany,
}

impl IpAllowList {
    /// As many networks as one key may have.
    pub const MOST: usize = 100;

    /// Whether `address` may use the key. An IPv4-mapped IPv6 address counts as the IPv4 address; one that is not known
    /// is admitted by the empty list only.
    #[must_use]
    pub fn admits(&self, address: Option<IpAddr>) -> bool {
        let holds = |address: IpAddr| self.networks.iter().any(|network| network.contains(&address.to_canonical()));
        self.networks.is_empty() || address.is_some_and(holds)
    }

    /// The networks, separated by spaces.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for IpAllowList {
    type Err = InvalidIpAllowList;

    /// Reads addresses and CIDRs separated by spaces.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>().try_into()
    }
}

impl TryFrom<Vec<String>> for IpAllowList {
    type Error = InvalidIpAllowList;

    fn try_from(words: Vec<String>) -> Result<Self, Self::Error> {
        if words.len() > Self::MOST {
            return Err(InvalidIpAllowList::TooMany);
        }
        let networks = words
            .iter()
            .map(|word| {
                parse_network(word).ok_or_else(|| InvalidIpAllowList::Malformed(word.chars().take(64).collect()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let text = networks.iter().map(IpNet::to_string).collect::<Vec<_>>().join(" ");
        Ok(Self { networks, text })
    }
}

/// A network, or an address as a network of one. Addresses that are compared with it are canonical.
pub(crate) fn parse_network(word: &str) -> Option<IpNet> {
    if let Ok(network) = word.parse::<IpNet>() {
        return Some(canonical(network.trunc()));
    }
    word.parse::<IpAddr>().ok().map(|address| IpNet::from(address.to_canonical()))
}

/// An IPv4-mapped network is the IPv4 network, as an IPv4-mapped address is the IPv4 address.
fn canonical(network: IpNet) -> IpNet {
    let mapped = |network: Ipv6Net| {
        let address = network.addr().to_ipv4_mapped()?;
        Ipv4Net::new(address, network.prefix_len().checked_sub(96)?).ok()
    };
    match network {
        IpNet::V6(network) => mapped(network).map_or(IpNet::V6(network), IpNet::V4),
        IpNet::V4(_) => network,
    }
}

impl From<IpAllowList> for Vec<String> {
    fn from(list: IpAllowList) -> Self {
        list.networks.iter().map(IpNet::to_string).collect()
    }
}

impl fmt::Display for IpAllowList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl utoipa::PartialSchema for IpAllowList {
    fn schema() -> RefOr<Schema> {
        <Vec<String> as utoipa::PartialSchema>::schema()
    }
}

impl utoipa::ToSchema for IpAllowList {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_admit_what_they_hold() {
        let list: IpAllowList = "203.0.113.0/24 2001:db8::1".parse().unwrap();
        for good in ["203.0.113.9", "::ffff:203.0.113.9", "2001:db8::1"] {
            assert!(list.admits(good.parse().ok()), "{good}");
        }
        for bad in ["203.0.114.1", "2001:db8::2", "::1"] {
            assert!(!list.admits(bad.parse().ok()), "{bad}");
        }
        let mapped: IpAllowList = "::ffff:10.0.0.0/104 ::ffff:192.0.2.7".parse().unwrap();
        assert_eq!(mapped.to_string(), "10.0.0.0/8 192.0.2.7/32");
        assert!(mapped.admits("10.9.8.7".parse().ok()));
        assert!(IpAllowList::default().admits("192.0.2.1".parse().ok()));
        assert!(IpAllowList::default().admits(None) && !list.admits(None));
        assert!("203.0.113.0/33".parse::<IpAllowList>().is_err());
    }
}
