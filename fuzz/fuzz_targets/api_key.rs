#![no_main]

use std::sync::LazyLock;

use jeton::laws;
use jeton::profile::{BUILT_IN, Profile};
use libfuzzer_sys::fuzz_target;

static PROFILES: LazyLock<Vec<Profile>> =
    LazyLock::new(|| BUILT_IN.iter().filter_map(|(name, _)| Profile::load(name).ok()).collect());

fuzz_target!(|text: &str| PROFILES.iter().for_each(|profile| laws::api_key(&profile.key_format, text)));
