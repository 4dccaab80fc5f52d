//! `workload.*`: how the servers of trusted issuers are called.

use std::path::PathBuf;

use ipnet::IpNet;

use super::parse;
use super::settings::{ConfigError, Settings};

/// Calls to trusted issuers.
#[derive(Debug, Clone)]
pub struct Workload {
    /// Networks that are not of the Internet, and whose addresses may be called all the same.
    pub allowed_networks: Vec<IpNet>,
    /// Certificate authorities that are believed besides the system's.
    pub ca_file: Option<PathBuf>,
}

impl Workload {
    pub(super) fn take(settings: &mut Settings) -> Result<Self, ConfigError> {
        Ok(Self {
            allowed_networks: settings.take(
                "workload.allowed_networks",
                "",
                "a list of networks like [\"10.0.0.0/8\"]",
                parse::networks,
            )?,
            ca_file: settings.take("workload.ca_file", "", "the path of a PEM file", parse::optional::<PathBuf>)?,
        })
    }
}
