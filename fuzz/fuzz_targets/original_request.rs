#![no_main]

use libfuzzer_sys::fuzz_target;

// Method, target, and what another header says of it.
fuzz_target!(|told: (&[u8], &[u8], Option<&[u8]>)| jeton::laws::original_request(told.0, told.1, told.2));
