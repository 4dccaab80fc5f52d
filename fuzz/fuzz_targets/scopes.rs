#![no_main]

libfuzzer_sys::fuzz_target!(|texts: (&str, &str)| jeton::laws::scopes(texts.0, texts.1));
