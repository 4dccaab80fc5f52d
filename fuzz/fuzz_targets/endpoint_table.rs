#![no_main]

use std::sync::LazyLock;

use jeton::domain::original_request::Method;
use jeton::laws;
use jeton::profile::{BUILT_IN, Profile};
use libfuzzer_sys::fuzz_target;

static PROFILES: LazyLock<Vec<Profile>> =
    LazyLock::new(|| BUILT_IN.iter().filter_map(|(name, _)| Profile::load(name).ok()).collect());

fuzz_target!(|path: &str| {
    laws::path(path);
    for profile in PROFILES.iter() {
        for method in Method::LISTED {
            laws::endpoint(&profile.endpoints, method, path);
        }
    }
});
