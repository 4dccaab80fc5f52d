#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| jeton::laws::refresh_token(text));
