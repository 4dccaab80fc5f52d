#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| jeton::laws::email(text));
