#![no_main]

use std::net::IpAddr;
use std::sync::LazyLock;

use ipnet::IpNet;
use libfuzzer_sys::fuzz_target;

static TRUSTED: LazyLock<Vec<IpNet>> =
    LazyLock::new(|| ["10.0.0.0/8", "::1/128"].iter().filter_map(|network| network.parse().ok()).collect());

// The peer, what came with it, and what somebody wrote before that.
fuzz_target!(|hops: (IpAddr, &[u8], &[u8])| jeton::laws::forwarded(hops.0, &TRUSTED, hops.1, hops.2));
