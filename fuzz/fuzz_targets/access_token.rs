#![no_main]

use std::sync::LazyLock;

use jeton::laws::Tokens;
use libfuzzer_sys::fuzz_target;

static TOKENS: LazyLock<Option<Tokens>> = LazyLock::new(Tokens::new);

// The key was made a moment ago: nothing that the fuzzer finds is signed with it.
fuzz_target!(|jwt: &str| assert!(!TOKENS.as_ref().is_some_and(|tokens| tokens.accept(jwt))));
